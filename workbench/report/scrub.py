"""Keep places of the machine, and what leads into a database, out of everything a run leaves behind."""

import html
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

from workbench.source.address import SECRET_NAME, VARIABLE, Address, is_secret_option, readings

_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SHORTEST = 4
_PLAIN = re.compile(r"(?i)true|false|yes|no|on|off|none|[0-9]{1,3}")
_SHORTEST_TOKEN = 8
_NAMES_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_FILES = ("chdb", "duckdb", "file", "sqlite")
"""Schemes whose URLs are paths of this machine."""

_STARTS = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"
_ENDS = r"(?![A-Za-z0-9_])"

# A user, a host or a password may be called as a column is. Such a word (\0) is hidden beside one of these alone.
_BESIDE_HOST = r"(?:/|%2F){2}\0|\S(?:@|%40)\0|\0:\d{2,5}\b|\(['\"]\0['\"], \d{2,5}\)|\b(?:host(?:[ _]?name)?|server(?: at)?)\W{1,8}\0"
_BESIDE_USER = r"(?:/|%2F){2}\0[:@]|\0(?:@|%40)|\0: Auth|\b(?:user(?:_?name)?|role|login)\W{1,8}\0"
_BESIDE_SECRET = rf"(?::|%3A)\0(?:@|%40)|(?:{SECRET_NAME})\w*\W{{1,8}}\0"
_NEAR = 24

_Beside = re.Pattern[str] | None


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
        return Path(source).name or _paths(source)[0].rpartition(os.sep)[2] or "source"
    read = readings(source)[0]
    last = unquote(read.path.partition("#")[0].rstrip("/").rsplit("/", 1)[-1])
    return last if last and "@" not in last else f"{read.scheme} database"


def scrub(content: Any, *sources: str, folders: Mapping[str, str] | None = None) -> Any:
    """Replace every mention of sources in the texts of nested lists and mappings by their safe names.

    Parameters
    ----------
    content
        Texts, nested or not; keys of mappings stay.
    sources
        Paths of folders and files, and URLs. Of a URL the host, the user and the password go too, also one that stands in
        the environment. A user, a host of one word and a password of three signs go only where a URL or a message about
        a connection has them: columns may be called the same.
    folders
        Other places, and what to write instead of each.

    Examples
    --------
    >>> scrub({"text": ["cannot read /data/shops/spring/orders.csv"]}, "/data/shops/spring")
    {'text': ['cannot read spring/orders.csv']}
    >>> scrub("in /data/shops/out/.a.tmp", folders={"/data/shops/out/.a.tmp": "out"})
    'in out'
    >>> scrub(["the channel db", "DB:9000 refused"], "clickhouse://db/shop")
    ['the channel db', '…:9000 refused']
    """
    return _scrub(content, _replacer(_Hidden(sources, folders or {})))


def _scrub(content: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return replace(content)
    if isinstance(content, dict):
        return {key: _scrub(value, replace) for key, value in content.items()}
    if isinstance(content, tuple):
        return tuple(_scrub(value, replace) for value in content)
    return [_scrub(value, replace) for value in content] if isinstance(content, list) else content


class _Hidden:
    """What is to be hidden: a pattern of each thing, what to write instead, and beside what alone."""

    def __init__(self, sources: Iterable[str], folders: Mapping[str, str]) -> None:
        self._found: dict[str, tuple[str, str]] = {}
        self._beside: dict[str, set[str]] = {}
        for folder, word in folders.items():
            self._place(folder, word)
        self._machine()
        for source in sources:
            self._url(source) if is_url(source) else self._path(source, safe_name(source))

    def rules(self) -> list[tuple[str, str, str, _Beside]]:
        """Texts, longest first, as what begins alike is told apart by its end; their patterns, words, and what is beside."""
        rules: list[tuple[str, str, str, _Beside]]
        rules = [(text, pattern, word, None) for text, (pattern, word) in self._found.items()]
        rules += [
            (text, f"(?i:{_STARTS}{_spellings(text)}{_ENDS})", "…", re.compile("|".join(sorted(beside)), re.IGNORECASE))
            for text, beside in self._beside.items()
            if text not in self._found
        ]
        return sorted(rules, key=lambda rule: -len(rule[0]))

    def _add(self, text: str, word: str, starts: str = "", ends: str = "", flags: str = "") -> None:
        if len(text) >= _SHORTEST and text != word:
            self._found[text] = (f"(?{flags}:{starts}{_spellings(text)}{ends})", word)

    def _place(self, given: str, word: str) -> None:
        for path in _paths(given):
            self._add(path, word, ends=_ENDS if re.match(r"[A-Za-z0-9_]", path[-1]) else "")

    def _path(self, given: str, name: str) -> None:
        self._place(given, name)
        for path in _paths(given):
            for home in _paths("~"):
                if path.startswith(f"{home}/"):
                    self._add(f"~{path.removeprefix(home)}", name, ends=_ENDS)
        if len(Path(given).parts) > 1:  # as it was given, from the folder of the command or with a ~
            self._add(given.rstrip("/"), name, "" if given.startswith("/") else _STARTS, _ENDS)

    def _machine(self) -> None:
        """Folders that a traceback or a warning may name, and values of variables that are called passwords or the like."""
        for prefix in (sys.prefix, sys.base_prefix):
            self._place(prefix, "python")
        self._place(str(Path(__file__).parents[2]), "workbench")
        if all(len(Path(home).parts) > 1 for home in _paths("~")):
            self._place("~", "~")
        for name, value in os.environ.items():
            if _NAMES_SECRET.search(name) and len(value) >= _SHORTEST_TOKEN:  # very short ones are words too, and stay
                self._add(value, "…")

    def _url(self, source: str) -> None:
        name = safe_name(source)
        for read in readings(source):
            if read.scheme.lower() in _FILES:
                self._path(unquote(read.hosts + read.path), name)
            else:
                self._server(read, name)
            for secret in _secrets(read):
                if len(secret) >= _SHORTEST and not _PLAIN.fullmatch(
                    secret
                ):  # allowCleartextPasswords=true is a switch
                    self._add(secret, "…")
                elif secret:
                    self._beside.setdefault(secret, set()).add(_BESIDE_SECRET)
        self._add(source, name, ends=_ENDS if source[-1].isalnum() else "")

    def _server(self, read: Address, name: str) -> None:
        if read.login:
            self._add(f"{read.login}@{read.hosts}", "…", ends=_ENDS, flags="i")
        if read.path.count("/") > 1:
            self._place(read.path, name)
        hosts = [re.sub(r":\d*$", "", one).strip("[]") for one in read.hosts.split(",")]
        users = [read.user]
        for option, value in read.options:
            hosts += [value] if option.lower() in ("host", "hostaddr", "hostname", "server") else []
            users += [value] if option.lower() in ("user", "username") else []
        for host in filter(None, hosts):
            if re.search(r"[.\d]", host):
                self._add(host, "…", _STARTS, _ENDS, "i")
            self._beside.setdefault(host.lower(), set()).add(_BESIDE_HOST)
        for user in users:
            for text in {user, unquote(user)} - {""}:
                self._beside.setdefault(text.lower(), set()).add(_BESIDE_USER)


def _replacer(hidden: _Hidden) -> Callable[[str], str]:
    rules = hidden.rules()
    pattern = re.compile("|".join(f"({rule[1]})" for rule in rules))
    probes = {_probe(rule[0]) for rule in rules}
    known: dict[str, str] = {}

    def word(found: re.Match[str]) -> str:
        _, _, instead, beside = rules[(found.lastindex or 1) - 1]
        if beside:
            start, end = found.span()
            near = f"{found.string[max(start - _NEAR, 0) : start]}\0{found.string[end : end + _NEAR]}"
            if not beside.search(near):
                return found[0]
        return instead

    def replace(text: str) -> str:
        done = known.get(text)
        if done is None:
            folded = text.lower()
            done = known[text] = pattern.sub(word, text) if any(probe in folded for probe in probes) else text
        return done

    return replace


def _probe(text: str) -> str:
    """The longest part that is the same in all spellings: texts without it need no search, which is slow."""
    return max(re.findall("[a-z0-9]*", text.lower()), key=len)


def _secrets(read: Address) -> set[str]:
    """Passwords of a URL, also in the environment: the name of a variable is no secret, and tells what to set."""
    given = [read.password]
    for name, value in read.options:
        if is_secret_option(name):
            given += [value, re.split("[;#]", value)[0]]
    secrets = set()
    for one in given:
        variable = VARIABLE.fullmatch(one)
        secrets |= {os.environ.get(variable[1], "")} if variable else {one, unquote(one), unquote_plus(one)}
    return secrets


def _paths(given: str) -> list[str]:
    """Where a path leads, as it is written and behind its links; a path that no machine has stays as it is."""
    path = os.path.expanduser(given)
    try:
        return list(dict.fromkeys([str(Path(path).absolute()), os.path.abspath(path), os.path.realpath(path)]))
    except (OSError, ValueError):  # the folder of the command is gone, or the path has a null in it
        return [path]


def _spellings(text: str) -> str:
    return "".join(map(_spelling, text))


@cache
def _spelling(sign: str) -> str:
    r"""A pattern of a sign as it is and as programs write it: ``\'``, ``\u5e97``, ``%2F``, ``&amp;``, as deep as may be."""
    if sign.isascii() and (sign.isalnum() or sign in "-_.~"):
        return re.escape(sign)
    if sign == "/":
        return r"(?:/|\\+/|%(?:25)*2[Ff])"
    code, octets = ord(sign), sign.encode(errors="replace")
    ways = [rf"\\*{re.escape(sign)}", "".join(f"%(?:25)*{one:02x}" for one in octets)]
    ways += ["".join(rf"\\+x{one:02x}" for one in octets), rf"\\+U{code:08x}", f"&#0*{code};", f"&#x0*{code:x};"]
    if code < 0x10000:
        ways.append(rf"\\+u{code:04x}")
    else:
        ways.append(rf"\\+u{0xD7C0 + (code >> 10):04x}\\+u{0xDC00 + (code & 0x3FF):04x}")
    ways += [rf"\\+x{code:02x}"] if code < 0x100 else []
    ways += [re.escape(html.escape(sign))] if html.escape(sign) != sign else []
    ways += {" ": [r"\+"], "\\": [r"\\+"], "\n": [r"\\+n"], "\t": [r"\\+t"], "\r": [r"\\+r"]}.get(sign, [])
    return f"(?i:{'|'.join(ways)})"
