"""What a panel shows of some users at once is what the sales picture says of these users."""

import duckdb
import pandas as pd
import pytest

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.sales import overview_sales
from workbench.sales.live import live_tables

TABLES = {"sales_kpis", "sales_contribution", "sales_alerts", "sales_watched", "sales_history"}
CHOICES = [
    [],
    ["region=North"],
    ["device=ios", "device=android", "age_group=18-24"],
    ["channel=paid_search", "channel=organic"],
    ["channel=(unknown)", "channel=referral", "region=South"],
]
ASKED = [
    {"timezone": "Asia/Shanghai", "false_alarms_per_month": 60.0, "least_alert_amount": 0.0},
    {
        "start_date": "2026-05-04",
        "end_date": "2026-06-01",
        "compare_to": ["2026-03-30", "2026-04-27"],
        "segment_by": "region",
        "sales_targets": ["2026-05=100000"],
        "annotated_dates": ["2026-05-10"],
        "confidence_level": 0.9,
        "lang": "zh",
    },
]


def same_as_whole(answer, shop, only_users, asked):
    whole = overview_sales(shop, only_users=only_users, **asked).tables
    found = answer(only_users)
    assert set(found) == TABLES
    for name, table in found.items():
        told = f"{name} {only_users}"
        pd.testing.assert_frame_equal(table, whole[name], check_dtype=False, rtol=1e-9, atol=1e-9, obj=told)
    return found


@pytest.mark.parametrize("asked", ASKED, ids=["all data", "chosen days"])
@pytest.mark.slow
def test_every_choice_is_the_picture_of_these_users(small_folder, asked):
    shop = open_shop(small_folder)
    answer = live_tables(shop, asked)
    for only_users in CHOICES:
        found = same_as_whole(answer, shop, only_users, asked)
        assert len(found["sales_kpis"])
        assert len(found["sales_history"])


@pytest.fixture(scope="module")
def odd(small_folder, tmp_path_factory):
    """The small shop with some users unknown, those of a region never seen, those of another without an order."""
    folder = tmp_path_factory.mktemp("odd")
    users = f"read_parquet('{small_folder}/users.parquet')"
    left = {
        "users": "hash(user_id) % 7 > 0",
        "events": f"user_id NOT IN (SELECT user_id FROM {users} WHERE region = 'West')",
        "orders": f"user_id NOT IN (SELECT user_id FROM {users} WHERE region = 'East')",
        "channel_spend": "channel <> 'paid_search'",
    }
    for name, condition in left.items():
        source = f"read_parquet('{small_folder}/{name}.parquet')"
        duckdb.sql(f"COPY (SELECT * FROM {source} WHERE {condition}) TO '{folder}/{name}.parquet' (FORMAT parquet)")
    return open_shop(folder)


def test_users_without_a_row_events_or_spend_are_told_alike(odd):
    asked = {"start_date": "2026-05-04", "end_date": "2026-06-01", "segment_by": "region"}
    answer = live_tables(odd, asked)
    everyone = same_as_whole(answer, odd, [], asked)["sales_contribution"]
    assert "(unknown)" in set(everyone["segment"])
    same_as_whole(answer, odd, ["channel=(unknown)"], asked)  # and not those that no row tells of
    unseen = same_as_whole(answer, odd, ["region=West"], asked)["sales_kpis"].set_index("metric")["value"]
    assert unseen["visitor_count"].isna().all()
    unspent = same_as_whole(answer, odd, ["channel=paid_search"], asked)["sales_kpis"].set_index("metric")["value"]
    assert unspent["spend_amount"].isna().all()
    spent = same_as_whole(answer, odd, ["channel=paid_search", "channel=social_video"], asked)["sales_kpis"]
    assert spent.loc[spent["metric"] == "spend_amount", "value"].gt(0).any()
    with pytest.raises(TableError) as whole:
        overview_sales(odd, only_users=["region=East"], **asked)
    with pytest.raises(TableError) as told:
        answer(["region=East"])
    assert str(told.value) == str(whole.value)


def test_days_without_data_have_no_tables_and_still_check_the_users(small_folder):
    shop, asked = open_shop(small_folder), {"start_date": "2027-01-01", "end_date": "2027-01-08"}
    answer = live_tables(shop, asked)
    assert not any(map(len, same_as_whole(answer, shop, ["region=North"], asked).values()))
    with pytest.raises(ParameterError, match="no user has region"):
        answer(["region=Nort"])


def test_what_cannot_be_chosen_is_refused_alike(small_folder):
    shop = open_shop(small_folder)
    answer = live_tables(shop, {})
    for only_users in (["region=Nort"], ["region"], ["age=3"]):
        with pytest.raises(ParameterError) as whole:
            overview_sales(shop, only_users=only_users)
        with pytest.raises(ParameterError) as told:
            answer(only_users)
        assert str(told.value) == str(whole.value)
    with pytest.raises(ParameterError, match="segment_by"):
        live_tables(shop, {"segment_by": "colour"})


def test_a_shop_without_users_has_nobody_to_choose(odd, tmp_path):
    source = f"read_parquet('{odd.folder}/orders.parquet')"
    duckdb.sql(f"COPY (SELECT * FROM {source}) TO '{tmp_path}/orders.parquet' (FORMAT parquet)")
    assert live_tables(open_shop(tmp_path), {}) is None


@pytest.mark.engine
def test_clickhouse_answers_alike(small_folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    asked, only_users = ASKED[1], CHOICES[2]
    found = [live_tables(open_shop(source), asked)(only_users) for source in (small_folder, f"chdb://{small_folder}")]
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name], check_dtype=False, rtol=0, atol=1e-9, obj=name)
