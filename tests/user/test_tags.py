"""The table of tags: users, money and its interval by tag, and what a shop lacks is left out."""

import numpy as np
import pandas as pd
import pytest
from audience_shops import members_of, random_tables, window_of
from shops import write_shop

from workbench import open_shop
from workbench.period import DAY_MS
from workbench.user.tags import COLUMNS, TAGS, read_tags, tag_rows


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    shop = open_shop(write_shop(tmp_path_factory.mktemp("tags") / "shop", **random_tables(21)))
    window = window_of(shop)
    tags = read_tags(shop, members_of(shop, window), window.start_ms, window.end_ms)
    return shop, window, tags, shop.collect(tags.tagged)


def test_the_table_is_a_count_of_the_rows(found):
    _shop, _window, tags, rows = found
    assert tags.names == TAGS
    assert list(tags.table.columns) == COLUMNS
    for name in TAGS:
        mine = tags.table[tags.table["tag"] == name].set_index("value")
        groups = rows.groupby(name)
        assert mine["user_count"].to_dict() == groups.size().to_dict()
        assert mine["order_count"].to_dict() == groups["order_count"].sum().to_dict()
        assert mine["paid_amount"].to_dict() == pytest.approx(groups["paid_amount"].sum().to_dict())
        assert mine["paid_amount_per_user"].to_dict() == pytest.approx(groups["paid_amount"].mean().to_dict())
        assert mine["share"].sum() == pytest.approx(1)
        assert mine["user_count"].is_monotonic_decreasing
        assert not rows[name].isna().any()


def test_a_null_channel_is_unknown_and_so_is_a_user_of_no_table(found):
    shop, _window, _tags, rows = found
    users = shop.collect(shop.users.select("user_id", "channel")).set_index("user_id")["channel"]
    expected = [users.get(user) for user in rows["user_id"]]
    expected = ["(unknown)" if pd.isna(one) else one for one in expected]
    assert list(rows["channel"]) == expected
    assert "(unknown)" in expected


def test_a_third_of_the_buyers_in_each_outer_band(found):
    _shop, _window, tags, rows = found
    bands = rows["price_band"].value_counts()
    priced = bands["low"] + bands["middle"] + bands["high"]
    assert bands["low"] == bands["high"] == priced // 3
    assert 0 < tags.price_cuts[0] < tags.price_cuts[1]


def test_frozen_cuts_move_with_prices_and_not_with_the_crowd(tmp_path):
    """All prices double in April: by March's cuts everyone is high; by April's own a third is."""
    tables = random_tables(22, days=61)
    april = tables["orders"]["submitted_at"] >= pd.Timestamp("2026-04-01", tz="UTC")
    dear = tables["order_lines"]["order_id"].map(april)
    tables["order_lines"]["amount"] *= np.where(dear, 4.0, 1.0)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    window = window_of(shop, days=28)
    members = members_of(shop, window)
    march = (window.start_ms - 31 * DAY_MS, window.start_ms - 3 * DAY_MS)
    own = read_tags(shop, members, window.start_ms, window.end_ms)
    own_bands = shop.collect(own.tagged)["price_band"].value_counts()
    frozen = read_tags(shop, members, window.start_ms, window.end_ms, reference=march)
    bands = shop.collect(frozen.tagged)["price_band"].value_counts()
    priced = own_bands[["low", "middle", "high"]].sum()
    assert own_bands["high"] == priced // 3
    assert bands["high"] > 0.9 * priced
    assert frozen.price_cuts[1] < 2


def test_what_the_shop_lacks_is_left_out(tmp_path):
    tables = random_tables(23, users=60)
    orders = tables["orders"][["order_id", "user_id", "submitted_at", "paid_at", "gross_amount"]]
    shop = open_shop(write_shop(tmp_path / "shop", events=tables["events"], orders=orders))
    window = window_of(shop)
    tags = read_tags(shop, members_of(shop, window), window.start_ms, window.end_ms)
    assert (tags.names, tags.strengths, tags.price_cuts) == ((), {}, None)
    assert list(tags.table.columns) == COLUMNS
    assert not len(tags.table)


def test_a_window_without_orders_tags_nobody(tmp_path):
    tables = random_tables(24, users=60)
    tables["orders"]["paid_at"] = tables["orders"]["paid_at"].where(tables["orders"]["order_id"] < 0)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    window = window_of(shop)
    tags = read_tags(shop, members_of(shop, window), window.start_ms, window.end_ms)
    bought = tags.table[tags.table["tag"] != "channel"]
    assert set(bought["value"]) == {"(no orders)"}
    assert tags.price_cuts is None


def test_money_per_user_covers_its_mean():
    """2,000 shops of 600 users in 256 buckets: between 93.4 and 96.6 % of the intervals hold the mean."""
    rng, shops, users = np.random.default_rng(25), 2_000, 600
    paid = np.where(rng.random((shops, users)) < 0.6, rng.lognormal(0, 1, (shops, users)), 0)
    numbers = pd.DataFrame(
        {
            "tag": "t",
            "value": np.repeat([f"{one:04d}" for one in range(shops)], users),
            "user_bucket": rng.integers(0, 256, shops * users),
            "paid_amount": paid.ravel(),
            "paid_squares": paid.ravel() ** 2,
            "user_count": 1,
            "order_count": 1,
        }
    )
    sums = numbers.groupby(["tag", "value", "user_bucket"]).sum().reset_index()
    rows = tag_rows(sums, ("t",), 0.95)
    truth = 0.6 * np.exp(0.5)
    assert len(rows) == shops
    covered = ((rows["ci_lower"] <= truth) & (truth <= rows["ci_upper"])).mean()
    assert 0.934 <= covered <= 0.966


def test_no_interval_where_one_buyer_carries_all():
    sums = pd.DataFrame(
        {
            "tag": "t",
            "value": "v",
            "user_bucket": range(256),
            "user_count": 10,
            "order_count": 10,
            "paid_amount": [1e6, *[1.0] * 255],
            "paid_squares": [1e12, *[1.0] * 255],
        }
    )
    row = tag_rows(sums, ("t",), 0.95).iloc[0]
    assert row["paid_amount_per_user"] == pytest.approx((1e6 + 255) / 2560)
    assert np.isnan([row["ci_lower"], row["ci_upper"]]).all()
