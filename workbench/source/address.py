"""A database URL taken apart, also one that no standard allows: who types a password puts any sign into it."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

VARIABLE = re.compile(r"\$\{?(\w+)\}?")
"""The password of a URL stands in the environment; the URL has its name."""

SECRET_NAME = r"pass|pwd|secret|token|credential|(?:api|access|private)[_-]?key"
"""What options of a URL that hold a secret are called."""

_SECRET_OPTION = re.compile(rf"(?i)[^=]*(?:{SECRET_NAME})[^=]*=")
_END = re.compile(r"[/?#]|$")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::\d*)?")


class Address(NamedTuple):
    """The parts of a URL as they are written in it."""

    scheme: str
    login: str
    hosts: str
    path: str
    query: str

    @property
    def user(self) -> str:
        """What stands before the colon of the login."""
        return self.login.partition(":")[0]

    @property
    def password(self) -> str:
        """What stands behind the colon of the login."""
        return self.login.partition(":")[2]

    @property
    def options(self) -> list[tuple[str, str]]:
        """Names and values of the query."""
        return [(name, value) for name, _, value in (one.partition("=") for one in self.query.split("&"))]


def readings(url: str) -> list[Address]:
    """Take a URL apart, in both ways if its login may end at either of two signs; the likelier one is first.

    Examples
    --------
    >>> [(one.password, one.hosts, one.path) for one in readings("postgres://me:p#ss@host:5432/shop")]
    [('p#ss', 'host:5432', '/shop')]
    """
    scheme, _, rest = url.partition("://")
    end = _end(rest, 0)
    last = re.split(r"\?\w+=", rest, maxsplit=1)[0].rfind("@")
    found = [] if last > end and "@" not in rest[:end] and not _HOST_AND_PORT.fullmatch(rest[:end]) else [end]
    if last > end:
        found.append(_end(rest, last))
    return [_read(scheme, rest, one) for one in found]


def _end(rest: str, start: int) -> int:
    found = _END.search(rest, start)
    return found.start() if found else len(rest)


def _read(scheme: str, rest: str, end: int) -> Address:
    login, _, hosts = rest[:end].rpartition("@")
    path, _, query = rest[end:].partition("?")
    return Address(scheme, login, hosts, path, query)


def is_secret_option(name: str) -> bool:
    """Whether an option of a URL holds a secret, as its name says."""
    return bool(_SECRET_OPTION.match(f"{name}="))


def why_unreadable(source: str) -> str:
    """Why a source is no URL that can be connected to; "" for one that is, and for a path."""
    try:
        _ = urlsplit(source).port
    except ValueError:
        return (
            f"the URL {source.partition('://')[0]}://… cannot be read. Write its port as a number, and brackets in a password "
            "as %5B and %5D; or put the password into the environment and write its name instead: ${SHOP_PASSWORD}."
        )
    return ""


def without_secrets(source: str) -> str:
    """A path, or a URL without passwords and secret options that could be secrets themselves; names of variables stay.

    Examples
    --------
    >>> without_secrets("postgres://me:p#ss@host/shop?sslmode=require&password=x"), without_secrets("data/sample")
    ('postgres://me@host/shop?sslmode=require', 'data/sample')
    """
    if "://" not in source:
        return source
    first, *others = readings(source)
    secret = [one for one in (first, *others) if one.password] if not VARIABLE.fullmatch(first.password) else []
    read = secret[-1] if secret else first
    login = read.user if secret else read.login
    query = "&".join(one for one in read.query.split("&") if not _SECRET_OPTION.match(one))
    at = "@" if read.login else ""
    return f"{read.scheme}://{login}{at}{read.hosts}{read.path}{'?' if query else ''}{query}"
