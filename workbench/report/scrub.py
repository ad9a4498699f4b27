"""Keep places of the machine, and what leads into a database, out of everything a run leaves behind."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SHORTEST_SECRET = 4
_SHORTEST_TOKEN = 8
_NAMES_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
"""The password of a URL stands in the environment; the URL has its name."""


def is_url(source: str) -> bool:
    """Whether the source is a database URL rather than a path."""
    return bool(_URL.match(source))


def safe_name(source: str) -> str:
    """The last part of a path or URL, which may be shown: no folders, no host, no user, no password.

    Examples
    --------
    >>> safe_name("clickhouse://me:secret@host:9000/shop?secure=1"), safe_name("/data/spring/")
    ('shop', 'spring')
    """
    if not is_url(source):
        return Path(source).name or Path(source).absolute().name or "source"
    parts = urlsplit(source)
    last = parts.path.rstrip("/").rsplit("/", 1)[-1]
    return unquote(last) or f"{parts.scheme} database"


def scrub(content: Any, *sources: str, folders: Mapping[str, str] | None = None) -> Any:
    """Replace every mention of sources in the texts of nested lists and mappings by their safe names.

    Parameters
    ----------
    content
        Texts, nested or not; keys of mappings stay.
    sources
        Paths of folders and files, and URLs. Of a URL the host, the user and the password go too, also one that stands in
        the environment.
    folders
        Other places, and what to write instead of each.

    Examples
    --------
    >>> scrub({"text": ["cannot read /data/shops/spring/orders.csv"]}, "/data/shops/spring")
    {'text': ['cannot read spring/orders.csv']}
    >>> scrub("in /data/shops/out/.a.tmp", folders={"/data/shops/out/.a.tmp": "out"})
    'in out'
    """
    return _scrub(content, _replacements(sources, folders or {}))


def _scrub(content: Any, pairs: list[tuple[str, str]]) -> Any:
    if isinstance(content, str):
        for old, new in pairs:
            content = content.replace(old, new)
        return content
    if isinstance(content, dict):
        return {key: _scrub(value, pairs) for key, value in content.items()}
    return [_scrub(value, pairs) for value in content] if isinstance(content, list) else content


def _replacements(sources: tuple[str, ...], folders: Mapping[str, str]) -> list[tuple[str, str]]:
    """What to write instead of the sources, in each way they may be spelt, longest first."""
    found = {
        str(path): word
        for folder, word in folders.items()
        for path in (Path(folder).absolute(), Path(folder).resolve())
    }
    found |= _places_of_this_machine() | _secrets_of_environment()
    for source in sources:
        name = safe_name(source)
        found |= _spellings_of_url(source, name) if is_url(source) else _spellings_of_path(source, name)
    pairs = [(old, new) for old, new in found.items() if len(old) >= _SHORTEST_SECRET and old != new]
    return sorted(pairs, key=lambda pair: -len(pair[0]))


def _places_of_this_machine() -> dict[str, str]:
    """Folders that a traceback or a warning may name: the environment, the package, the home of who runs it."""
    package = Path(__file__).resolve().parents[2]
    places = {sys.prefix: "python", sys.base_prefix: "python", str(package): "workbench"}
    return places | ({str(Path.home()): "~"} if len(Path.home().parts) > 1 else {})


def _secrets_of_environment() -> dict[str, str]:
    """Values of variables that are called passwords or the like; very short ones are words too, and stay."""
    return {
        value: "…" for name, value in os.environ.items() if _NAMES_SECRET.search(name) and len(value) >= _SHORTEST_TOKEN
    }


def _spellings_of_url(source: str, name: str) -> dict[str, str]:
    parts = urlsplit(source)
    hidden = {parts.password or "", unquote(parts.password or ""), parts.netloc, parts.hostname or ""}
    for variable in _VARIABLE.findall(parts.password or ""):
        secret = os.environ.get(variable, "")
        hidden |= {secret, quote(secret, safe="")}
        hidden.discard(f"${{{variable}}}")  # a name is no secret, and tells what to set
    if parts.username:
        # not the name alone: a user may be called "default", as other things are
        hidden |= {f"{parts.username}{end}" for end in (":", "@")} | {f"{mark}{parts.username}{mark}" for mark in "'\""}
    return {source: name, **dict.fromkeys(hidden, "…"), **({parts.path: name} if parts.path.count("/") > 1 else {})}


def _spellings_of_path(source: str, name: str) -> dict[str, str]:
    found = {}
    for path in (Path(source).absolute(), Path(source).resolve()):
        found[str(path)] = name
        if path.is_relative_to(Path.home()) and path != Path.home():
            found[f"~/{path.relative_to(Path.home()).as_posix()}"] = name
    if len(Path(source).parts) > 1:
        found[source] = name  # as it was given, from the folder of the command or with a ~
    return found
