"""Keep the source's path and its password out of everything a run leaves behind."""

import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SHORTEST_SECRET = 4


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


def scrub(content: Any, *sources: str) -> Any:
    """Replace every mention of sources in the texts of nested lists and mappings by their safe names.

    Examples
    --------
    >>> scrub({"text": ["cannot read /data/shops/spring/orders.csv"]}, "/data/shops/spring")
    {'text': ['cannot read spring/orders.csv']}
    """
    return _scrub(content, _replacements(sources))


def _scrub(content: Any, pairs: list[tuple[str, str]]) -> Any:
    if isinstance(content, str):
        for old, new in pairs:
            content = content.replace(old, new)
        return content
    if isinstance(content, dict):
        return {key: _scrub(value, pairs) for key, value in content.items()}
    return [_scrub(value, pairs) for value in content] if isinstance(content, list) else content


def _replacements(sources: tuple[str, ...]) -> list[tuple[str, str]]:
    """What to write instead of the sources, in each way they may be spelt, longest first."""
    found = _places_of_this_machine()
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


def _spellings_of_url(source: str, name: str) -> dict[str, str]:
    parts = urlsplit(source)
    hidden = {parts.password or "", unquote(parts.password or ""), parts.netloc}
    return {source: name, **dict.fromkeys(hidden, "…"), **({parts.path: name} if parts.path.count("/") > 1 else {})}


def _spellings_of_path(source: str, name: str) -> dict[str, str]:
    found = {}
    for path in (Path(source).absolute(), Path(source).resolve()):
        found[str(path)] = name
        if path.is_relative_to(Path.home()) and path != Path.home():
            found[f"~/{path.relative_to(Path.home()).as_posix()}"] = name
    return found
