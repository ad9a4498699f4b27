"""What a panel shows of some users at once is what the evaluation of coupons says of these users."""

import duckdb
import pandas as pd
import pytest

from workbench import open_shop
from workbench.coupon import evaluate_coupons
from workbench.coupon.live import live_tables
from workbench.errors import ParameterError, TableError

CHOICES = [
    [],
    ["region=North"],
    ["device=ios", "device=android", "age_group=18-24"],
    ["channel=paid_search", "channel=organic"],
    ["channel=(unknown)", "channel=referral", "region=South"],
]
ASKED = [
    {"timezone": "Asia/Shanghai"},
    {
        "timezone": "Asia/Shanghai",
        "start_date": "2026-04-01",
        "end_date": "2026-05-01",
        "coupon_ids": ["c01", "c03", "c04"],
        "repurchase_days": [14],
        "margin_rate": 0.4,
        "subsidy_limit": 0.1,
        "confidence_level": 0.9,
    },
]


def same_as_whole(answer, shop, only_users, asked):
    whole = evaluate_coupons(shop, only_users=only_users, **asked).tables
    found = answer(only_users)
    assert set(found) == {"coupon_scorecard"}
    for name, table in found.items():
        told = f"{name} {only_users}"
        pd.testing.assert_frame_equal(table, whole[name], check_dtype=False, rtol=1e-9, atol=1e-9, obj=told)
    return found["coupon_scorecard"]


def copied(source, folder, wanted):
    """Tables of a folder, some rows left out or some columns written anew; DuckDB writes them."""
    for name, query in wanted.items():
        table = f"read_parquet('{source}/{name}.parquet')"
        duckdb.sql(f"COPY ({query.format(table=table)}) TO '{folder}/{name}.parquet' (FORMAT parquet)")
    return open_shop(folder)


@pytest.fixture(scope="module")
def folder(small_folder, tmp_path_factory):
    """The small shop without its experiments, on which no scorecard rests and which take most of an evaluation."""
    made = tmp_path_factory.mktemp("without_experiments")
    for path in small_folder.glob("*.parquet"):
        if not path.stem.startswith("experiment"):
            (made / path.name).symlink_to(path)
    return made


@pytest.mark.parametrize("asked", ASKED, ids=["all data", "chosen days and coupons"])
@pytest.mark.slow
def test_every_choice_is_the_scorecard_of_these_users(folder, asked):
    shop = open_shop(folder)
    answer = live_tables(shop, asked)
    for only_users in CHOICES:
        card = same_as_whole(answer, shop, only_users, asked)
        assert card["order_count"].gt(0).any()


@pytest.fixture(scope="module")
def odd(small_folder, tmp_path_factory):
    """The small shop without coupons and products, half of the orders on two coupons; some users are unknown.

    Users of one region were never seen, those of another never bought, those of a third bought nothing that is listed.
    """
    users = f"read_parquet('{small_folder}/users.parquet')"
    orders = f"read_parquet('{small_folder}/orders.parquet')"
    of = f"user_id {{0}}IN (SELECT user_id FROM {users} WHERE region = '{{1}}')"
    second = "coupon_id || '+' AS coupon_id, grant_id || '+' AS grant_id, discount_amount / 3 AS discount_amount"
    wanted = {
        "users": "SELECT * FROM {table} WHERE hash(user_id) % 7 > 0",
        "events": "SELECT * FROM {table} WHERE " + of.format("NOT ", "West"),
        "orders": "SELECT * FROM {table} WHERE " + of.format("NOT ", "East"),
        "order_lines": "SELECT *, 'x' || hash(product_id) % 5 AS category FROM {table} WHERE order_id NOT IN "
        f"(SELECT order_id FROM {orders} WHERE " + of.format("", "North") + ")",
        "coupon_grants": "SELECT * FROM {table} UNION ALL SELECT * REPLACE (" + second + ") FROM {table} "
        "WHERE hash(order_id) % 2 = 0",
    }
    described = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{small_folder}/order_lines.parquet')").fetchall()
    if "category" in {one[0] for one in described}:
        wanted["order_lines"] = wanted["order_lines"].replace("*,", "* EXCLUDE (category),", 1)
    return copied(small_folder, tmp_path_factory.mktemp("odd"), wanted)


def test_orders_on_two_coupons_and_users_without_rows_events_or_lines_are_told_alike(odd):
    asked = {"start_date": "2026-04-01", "end_date": "2026-06-01"}
    answer = live_tables(odd, asked)
    everyone = same_as_whole(answer, odd, [], asked)
    coupons = everyone[everyone["level"] == "coupon"]
    assert coupons["order_count"].sum() > everyone.loc[everyone["level"] == "all", "order_count"].item()
    assert everyone["category_entropy"].notna().any()
    assert same_as_whole(answer, odd, ["region=West"], asked)["active_days"].isna().all()
    assert same_as_whole(answer, odd, ["region=North"], asked)["category_entropy"].isna().all()
    same_as_whole(answer, odd, ["region=South", "region=North", "gender=female"], asked)
    same_as_whole(answer, odd, ["channel=(unknown)"], asked)  # and not those that no row tells of
    with pytest.raises(TableError) as whole:
        evaluate_coupons(odd, only_users=["region=East"], **asked)
    with pytest.raises(TableError) as told:
        answer(["region=East"])
    assert str(told.value) == str(whole.value)


def test_a_coupon_that_nobody_chosen_was_given_is_refused_alike(small_folder, tmp_path):
    users = f"read_parquet('{small_folder}/users.parquet')"
    wanted = dict.fromkeys(("users", "orders"), "SELECT * FROM {table}") | {
        "coupon_grants": "SELECT * FROM {table} WHERE coupon_id <> 'c03' OR user_id IN "
        f"(SELECT user_id FROM {users} WHERE region = 'North')"
    }
    shop, asked = copied(small_folder, tmp_path, wanted), {"coupon_ids": ["c01", "c03"]}
    answer = live_tables(shop, asked)
    same_as_whole(answer, shop, ["region=North"], asked)
    with pytest.raises(ParameterError) as whole:
        evaluate_coupons(shop, only_users=["region=South"], **asked)
    with pytest.raises(ParameterError) as told:
        answer(["region=South"])
    assert str(told.value) == str(whole.value)


def test_what_cannot_be_chosen_is_refused_alike(folder):
    shop = open_shop(folder)
    answer = live_tables(shop, {})
    for only_users in (["region=Nort"], ["region"], ["age=3"]):
        with pytest.raises(ParameterError) as whole:
            evaluate_coupons(shop, only_users=only_users)
        with pytest.raises(ParameterError) as told:
            answer(only_users)
        assert str(told.value) == str(whole.value)
    for wrong in ({"subsidy_limit": 2}, {"coupon_ids": ["c99"]}):
        with pytest.raises(ParameterError) as whole:
            evaluate_coupons(shop, **wrong)
        with pytest.raises(ParameterError) as told:
            live_tables(shop, wrong)
        assert str(told.value) == str(whole.value)


def test_what_rests_on_two_users_or_on_none_is_not_held(small_folder, tmp_path):
    orders = f"read_parquet('{small_folder}/orders.parquet')"
    free = "order_id NOT IN (SELECT order_id FROM {table} WHERE order_id IS NOT NULL)"
    given_away = f"(SELECT max(order_id) FROM {orders} WHERE paid_at IS NOT NULL AND user_id <> g.user_id AND {free})"
    wanted = dict.fromkeys(("users", "orders"), "SELECT * FROM {table}") | {
        "coupon_grants": "SELECT g.* REPLACE (CASE WHEN grant_id = (SELECT max(grant_id) FROM {table}) THEN "
        f"{given_away} ELSE order_id END AS order_id) FROM {{table}} g"
    }
    shop = copied(small_folder, tmp_path, wanted)
    assert live_tables(shop, {}) is None
    (tmp_path / "users.parquet").unlink()
    assert live_tables(open_shop(tmp_path), {}) is None


@pytest.mark.engine
def test_clickhouse_answers_alike(folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    asked, only_users = ASKED[1], CHOICES[3]
    found = [live_tables(open_shop(source), asked)(only_users) for source in (folder, f"chdb://{folder}")]
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name], check_dtype=False, rtol=0, atol=1e-9, obj=name)
