"""What the one door gives on every engine: buckets of users, and tables kept inside."""

import hashlib
from types import SimpleNamespace

import ibis
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.source.address import without_secrets
from workbench.source.engine import Engine


@pytest.fixture(params=["", pytest.param("chdb://", marks=pytest.mark.engine)])
def shop(request, tmp_path):
    if request.param:
        pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    users = ["u1", "张三", "", None, *(f"x{number}" for number in range(50))]
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount",
        *((number, user, at("2026-03-01"), None, 1.0) for number, user in enumerate(users)),
    )
    return open_shop(f"{request.param}{write_shop(tmp_path / 'shop', orders=orders)}")


def test_a_bucket_is_the_first_byte_of_the_md5(shop):
    found = shop.collect(shop.orders.select("user_id", "user_bucket"))
    known = found[found["user_id"].notna()]
    assert len(known) >= 52
    assert known["user_bucket"].tolist() == [hashlib.md5(one.encode()).digest()[0] for one in known["user_id"]]
    assert found.loc[found["user_id"].isna(), "user_bucket"].isna().all()


@pytest.mark.parametrize("dialect", ["postgres", "pyspark"])
def test_buckets_compile_elsewhere(dialect):
    table = ibis.table({"user_id": "string"}, name="users")
    found = Engine.user_bucket(SimpleNamespace(kind="other"), table.user_id)
    assert "MD5" in ibis.to_sql(table.select(bucket=found), dialect=dialect).upper()


def test_a_table_held_keeps_its_types_and_rows_and_a_later_one_replaces_it(shop):
    asked = shop.orders.select("user_id", "user_bucket", big=shop.orders.gross_amount > 0.5)
    held = shop.hold("orders", asked)
    assert held.schema() == asked.schema()
    order = ["user_id", "user_bucket"]
    first, second = (shop.collect(one.filter(one.big)).sort_values(order, ignore_index=True) for one in (asked, held))
    assert first.equals(second)
    assert len(shop.collect(shop.hold("orders", asked.limit(3)))) == 3


class TestWhereAShopComesFrom:
    """``Shop.source`` and ``Shop.mapping`` open it again."""

    @pytest.mark.parametrize("scheme", ["", pytest.param("chdb://", marks=pytest.mark.engine)])
    def test_what_was_given_opens_it_again(self, tmp_path, scheme):
        if scheme:
            pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
        folder = write_shop(
            tmp_path / "shop",
            users=frame(
                "user_id first_seen_at region", ("u1", at("2026-03-01"), "North"), ("u2", at("2026-03-01"), "South")
            ),
        )
        rules = tmp_path / "rules.yml"
        rules.write_text("timezone: UTC\n")
        given = open_shop(f"{scheme}{folder}", rules)
        assert (given.source, given.mapping) == (f"{scheme}{folder}", str(rules))
        assert open_shop(given.source, given.mapping or None).fingerprint == given.fingerprint
        some = given.only(["region=North"])
        assert (some.source, some.mapping) == (given.source, given.mapping)

    def test_a_mapping_inside_the_folder_needs_no_name(self, tmp_path):
        folder = write_shop(tmp_path / "shop", slots=frame("slot_id", ("home",)))
        (folder / "mapping.yml").write_text("timezone: UTC\n")
        assert open_shop(folder).mapping == ""

    def test_the_source_of_a_run_is_known_too(self, tmp_path, monkeypatch):
        folder = write_shop(tmp_path / "shop", slots=frame("slot_id", ("home",)))
        monkeypatch.setenv("WORKBENCH_SOURCE", str(folder))
        assert open_shop().source == str(folder)

    def test_places_are_not_shown_with_the_shop(self, tmp_path):
        folder = write_shop(tmp_path / "shop", slots=frame("slot_id", ("home",)))
        assert "source=" not in repr(open_shop(folder))
        assert "mapping=" not in repr(open_shop(folder))

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("clickhouse://reader:${SHOP_PASSWORD}@db.example:9000/shop", None),
            ("postgres://reader:$SHOP@db.example/shop?sslmode=require", None),
            ("chdb:///data/shop", None),
            ("data/a?password=b", None),  # a folder may be named so
            ("postgres://reader:hunter2@db.example:5432/shop", "postgres://reader@db.example:5432/shop"),
            ("postgres://:hunter2@db.example/shop", "postgres://@db.example/shop"),
            ("postgres://h/shop?user=me&PassWord=hunter2&sslmode=require", "postgres://h/shop?user=me&sslmode=require"),
            ("databricks://h/shop?access_token=hunter2", "databricks://h/shop"),
        ],
    )
    def test_no_password_is_kept(self, given, kept):
        assert without_secrets(given) == (kept or given)
