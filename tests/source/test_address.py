"""A URL is taken apart whatever its password holds, and no secret of it is kept."""

import pytest

from workbench import open_shop
from workbench.errors import SourceError
from workbench.source.address import is_secret_option, readings, why_unreadable, without_secrets


@pytest.mark.parametrize(
    ("url", "login", "hosts", "path", "query"),
    [
        ("postgres://me:x@host:5432/shop?a=b&c", "me:x", "host:5432", "/shop", "a=b&c"),
        ("postgres://host/shop?user=a@b", "", "host", "/shop", "user=a@b"),
        ("postgres://host:5432/shop?user=a@b", "", "host:5432", "/shop", "user=a@b"),
        ("postgres://[::1]:5432/shop", "", "[::1]:5432", "/shop", ""),
        ("postgres://me:p[s@host/shop", "me:p[s", "host", "/shop", ""),
        ("postgres://me:p#s@host/shop", "me:p#s", "host", "/shop", ""),
        ("postgres://me:p/s@host/shop", "me:p/s", "host", "/shop", ""),
        ("postgres://me:p?s@host/shop?user=a@b", "me:p?s", "host", "/shop", "user=a@b"),
        ("postgres://me:p@s@host/shop", "me:p@s", "host", "/shop", ""),
        ("chdb:///data/shop", "", "", "/data/shop", ""),
        ("pyspark://", "", "", "", ""),
    ],
)
def test_the_parts_of_a_url(url, login, hosts, path, query):
    assert readings(url)[0] == (url.partition("://")[0], login, hosts, path, query)


def test_a_login_that_may_end_at_two_signs_is_read_both_ways():
    assert [one.password for one in readings("postgres://me:p@s/w@host/shop")] == ["p", "p@s/w"]
    assert [one.hosts for one in readings("postgres://me:12/34@host/shop")] == ["me:12", "host"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgres://me:p#ssw0rd@host/shop", "postgres://me@host/shop"),
        ("postgres://me:p[ss@host/shop", "postgres://me@host/shop"),
        ("postgres://me:p@s/sw0rd@host/shop", "postgres://me@host/shop"),
        ("postgres://me:12/34@host/shop", "postgres://me@host/shop"),
        ("postgres://me:${SHOP}@host/shop@2", "postgres://me:${SHOP}@host/shop@2"),
        ("postgres://h/shop?private-key=x&sslmode=require&Credential=y", "postgres://h/shop?sslmode=require"),
        ("chdb:///data/shop", "chdb:///data/shop"),
    ],
)
def test_no_secret_is_kept(given, kept):
    assert without_secrets(given) == kept


def test_options_that_hold_secrets():
    assert [one for one in ("password", "sslmode", "api_key", "user", "PWD") if is_secret_option(one)] == [
        "password", "api_key", "PWD",
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["postgres://me:p[s@host/shop", "postgres://me:${PW}@host:54x2/shop"])
def test_a_url_that_cannot_be_read_is_told_before_anything_connects(url):
    assert why_unreadable(url).startswith("the URL postgres://… cannot be read.")
    with pytest.raises(SourceError, match="postgres://… cannot be read"):
        open_shop(url)
    assert not why_unreadable("postgres://me:${PW}@host:5432/shop")
    assert not why_unreadable("data/sample")
