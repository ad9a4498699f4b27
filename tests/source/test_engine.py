"""What the one door gives on every engine: buckets of users, and tables kept inside."""

import hashlib
from types import SimpleNamespace

import ibis
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
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
