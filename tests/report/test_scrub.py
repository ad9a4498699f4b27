"""Secrets and places go in every way they may be spelt, words that are no secrets stay, and nothing makes it raise."""

import html
import json
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from workbench.report.scrub import safe_name, scrub

SPELLINGS = {
    "as it is": str,
    "repr": repr,
    "repr of a repr": lambda text: repr(repr(text)),
    "bytes": lambda text: repr(text.encode()),
    "json": json.dumps,
    "json of its own letters": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps({"said": text})),
    "ascii": ascii,
    "quote": quote,
    "quote of all": lambda text: quote(text, safe=""),
    "quote in small letters": lambda text: quote(text, safe="").replace("%2F", "%2f"),
    "quote twice": lambda text: quote(quote(text, safe=""), safe=""),
    "quote_plus": quote_plus,
    "html": html.escape,
}
spelt = pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home that is a link, as on machines with a disk for homes."""
    place = tmp_path / "disk" / "al"
    place.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "al").symlink_to(place)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "al"))
    return tmp_path / "home" / "al"


class TestPasswords:
    @spelt
    @pytest.mark.parametrize("password", [r"""a\b'c"d""", "hün ter/2@x", "店铺&密码 1", "p%41ss+word", "🔑<key>"])
    def test_a_password_goes_however_it_is_spelt(self, spell, password, monkeypatch):
        monkeypatch.setenv("SHOP_LOGIN", password)
        for url in ("clickhouse://me:${SHOP_LOGIN}@db/shop", "clickhouse://me:$SHOP_LOGIN@db/shop"):
            assert re.search("Q(.*)Q", scrub(spell(f"Q{password}Q"), url))[1] == "…"

    @pytest.mark.parametrize("option", ["password", "sslPassword", "access_token", "api_key", "pwd", "credential"])
    def test_secrets_of_the_query_go(self, option):
        url = f"postgres://db.example/shop?user=me&{option}=secret%20123&sslmode=require"
        for said in (url, f"{option}='secret 123'", "secret%20123", "secret+123"):
            assert "123" not in scrub(said, url)
        assert scrub("require", url) == "require"

    @pytest.mark.parametrize(
        "password", ["p#ssw0rd", "p/ssw0rd", "p?ssw0rd", "p@ssw0rd", "p:ssw0rd", "p@s/sw0rd", "[ssw0rd"]
    )
    def test_a_password_may_hold_signs_that_end_a_part_of_a_url(self, password):
        for end in ("/shop", "", "/shop?user=a@b.example"):
            url = f"clickhouse://me:{password}@db.example:9000{end}"
            assert "sw0rd" not in safe_name(url)
            for said in (
                f"cannot open {url}.",
                f"Authentication of '{password}' failed",
                url.replace("click", "other"),
            ):
                assert "sw0rd" not in scrub(said, url)

    def test_a_short_password_goes_where_a_url_has_it_and_stays_a_word_elsewhere(self):
        url = "postgres://me:abc@db.example/shop"
        assert "abc" not in scrub("postgresql+psycopg://me:abc@127.0.0.1/shop and password='abc'", url)
        assert scrub("abc: the alphabet, of abc", url) == "abc: the alphabet, of abc"

    def test_the_name_of_a_variable_tells_what_to_set(self, monkeypatch):
        monkeypatch.delenv("SHOP_LOGIN", raising=False)
        assert scrub("${SHOP_LOGIN} is not set", "postgres://me:${SHOP_LOGIN}@db/shop") == "${SHOP_LOGIN} is not set"

    def test_secrets_of_the_environment_go_spelt_in_any_way(self, monkeypatch):
        monkeypatch.setenv("SHOP_TOKEN", "to/ken wörd")
        assert "rd" not in scrub([json.dumps("to/ken wörd"), quote_plus("to/ken wörd")], "shop")[0][1:]


class TestHostsAndUsers:
    def test_the_letters_of_a_host_may_be_large_or_small(self):
        url = "clickhouse://me@Db.Example.com:9000/shop"
        for said in ("DB.Example.COM", "db.example.com:9000", "server at 'Db.Example.com'", r"'one\nDB.EXAMPLE.COM'"):
            assert "example" not in scrub(said, url).lower()

    @pytest.mark.parametrize("host", ["channel", "db", "localhost", "main-host"])
    def test_a_host_of_one_word_goes_where_a_url_or_a_message_has_it(self, host):
        url = f"clickhouse://{host}:9000/shop"
        for said in (
            f"http://{host}/?query=1",
            f"tcp://me:x@{host.upper()}:8123",
            f"{host}:8123 refused",
            f"HTTPConnectionPool(host='{host}', port=8123)",
            f'connection to server at "{host}" failed',
            f'could not translate host name "{host}" to address',
            f"cannot connect to ('{host}', 9000)",
        ):
            assert host not in scrub(said, url).lower()

    def test_a_host_or_a_user_called_as_a_column_leaves_charts_alone(self):
        url = "clickhouse://day:secret12@channel/shop"
        chart = {
            "encoding": {"color": {"field": "channel", "type": "nominal"}, "x": {"field": "day"}},
            "transform": [{"calculate": "datum.channel == 'channel' ? datum['day'] : 'day: 1'"}],
            "data": {"values": [{"channel": "channel", "day": "day"}]},
        }
        assert scrub(chart, url) == chart

    def test_all_of_several_hosts_go_and_those_of_the_query(self):
        url = "postgres://me@one.example,two.example:5433/shop?host=three.example&user=she"
        assert "example" not in scrub("one.example two.example:5433 three.example", url)
        assert "she" not in scrub("Access denied for user 'she'", url)
        assert "fe80" not in scrub("[fe80::1]:9000", "clickhouse://[fe80::1]:9000/shop")

    def test_the_user_goes_where_it_logs_in(self):
        url = "clickhouse://reader:secret12@db/shop"
        for said in ("http://reader:***@x", "reader@elsewhere", "user 'reader'", "reader: Authentication failed"):
            assert "reader" not in scrub(said, url)
        assert scrub("a reader: she reads", url) == "a reader: she reads"

    def test_a_number_that_ends_as_an_address_does_stays(self):
        assert scrub("10.0.0.5 and 110.0.0.52", "clickhouse://10.0.0.5/shop") == "… and 110.0.0.52"


class TestPlaces:
    @spelt
    @pytest.mark.parametrize("name", ["My Shop", "店铺's", "a+b&c", 'quo"te'])
    def test_a_path_goes_however_it_is_spelt(self, spell, name, tmp_path):
        folder = tmp_path / name
        said = scrub(spell(f"in {folder}/orders.csv"), str(folder))
        assert tmp_path.name not in said
        assert "orders.csv" in said

    def test_an_address_of_a_file_goes(self, tmp_path):
        folder = tmp_path / "My Shop"
        assert scrub(f"open {(folder / 'a.csv').as_uri()}", str(folder)) == "open file://My Shop/a.csv"

    @pytest.mark.parametrize("scheme", ["chdb", "duckdb", "sqlite"])
    def test_the_path_of_a_url_goes(self, scheme, tmp_path):
        url = f"{scheme}://{tmp_path}/My Shop"
        assert scrub([url, f"{tmp_path}/My%20Shop/x"], url) == ["My Shop", "My Shop/x"]

    def test_a_path_ends_where_a_name_ends(self, home):
        other = home.parent / "alice"
        assert scrub([f"{home}/x", f"{other}/secret"]) == ["~/x", f"{other}/secret"]
        said = [f"{home}/shop2/a", f"{home}/shop/a", f"{home}/shop.", f"无法读取{home}/shop的文件"]
        assert scrub(said, f"{home}/shop") == ["~/shop2/a", "shop/a", "shop.", "无法读取shop的文件"]

    def test_a_path_begins_anywhere(self, home):
        assert scrub([f"one\\n{home}/x", f"at={home}"]) == ["one\\n~/x", "at=~"]

    def test_a_path_given_from_here_is_not_sought_inside_words(self):
        said = scrub(["cannot read data/shop/a", "metadata/shop", r"one\ndata/shop"], "data/shop/")
        assert said == ["cannot read shop/a", "metadata/shop", r"one\nshop"]

    def test_a_home_that_is_a_link_goes_with_what_it_leads_to(self, home):
        assert scrub([str(home), str(home.resolve()), f"{home.resolve()}/a"]) == ["~", "~", "~/a"]
        assert scrub("~/shops/spring/a", str(home.resolve() / "shops" / "spring")) == "spring/a"
        assert scrub(f"{home.resolve()}/shops/spring/a", "~/shops/spring") == "spring/a"

    def test_other_places_are_called_as_asked(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "out")
        said = [f"{tmp_path}/link/a", f"{tmp_path}/out/a"]
        assert scrub(said, folders={f"{tmp_path}/link": "there"}) == ["there/a", "there/a"]


class TestNothingMakesItRaise:
    @pytest.mark.parametrize(
        "source",
        [
            "clickhouse://me:p[ss@host/shop",
            "clickhouse://[::1/shop",
            "clickhouse://me:x@host:port/shop",
            "clickhouse://",
            "clickhouse://@/",
            "clickhouse://?",
            "clickhouse://me:%ff%zz@h/x?password",
            "pyspark://",
            "chdb://",
            "a\0b/c",
            "a\udcffb/c",
            "~nobody/x",
            "/",
            "",
            ".",
        ],
    )
    def test_any_source(self, source):
        assert safe_name(source)
        assert scrub({"a": ["some text", None, 1]}, source) == {"a": ["some text", None, 1]}

    def test_the_folder_of_the_command_may_be_gone(self, tmp_path, monkeypatch):
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert scrub("in data/shop", "data/shop", folders={"out": "there"}) == "in shop"
        assert safe_name(".")

    def test_a_source_that_leads_to_itself(self, tmp_path):
        Path(tmp_path / "a").symlink_to(tmp_path / "a")
        assert scrub(f"{tmp_path}/a/b", f"{tmp_path}/a") == "a/b"

    def test_texts_in_tuples_are_told_apart_from_numbers(self):
        assert scrub((1, "data/shop/a", ["data/shop"]), "data/shop") == (1, "shop/a", ["shop"])
