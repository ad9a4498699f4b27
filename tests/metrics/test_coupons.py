"""Grants and orders of coupons against loops over rows, on both engines."""

from statistics import median

import numpy as np
import pandas as pd
import pytest
from ibis import _
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics import coupons as metrics
from workbench.metrics.orders import paid_orders
from workbench.metrics.repurchase import next_payments, repurchase_counts

DAY = 86_400_000


def random_folder(folder, seed=3, users=60):
    """Some users, two kinds of three coupons, stacked coupons, unpaid orders, two time zones' midnights."""
    rng = np.random.default_rng(seed)
    first = pd.Timestamp("2026-03-01", tz="UTC")

    def instant(days=90):
        return first + pd.Timedelta(seconds=int(rng.integers(0, days * 86_400)))

    orders, grants, lines = [], [], []
    for number in range(400):
        user = None if rng.random() < 0.05 else f"u{rng.integers(0, users)}"
        submitted = instant()
        paid = None if rng.random() < 0.1 else submitted + pd.Timedelta(minutes=int(rng.integers(1, 90)))
        gross = float(rng.integers(20, 200))
        coupons = [one for one in ("a", "b", "c") if rng.random() < 0.3]
        off = [float(rng.integers(1, 6)) for _ in coupons]
        orders.append((number, user, submitted, paid, gross, sum(off), 0.0))
        lines.append((number, 1, rng.choice(["p", "q"]), rng.choice(["x", "y", None]), 1, gross))
        for coupon, amount in zip(coupons, off, strict=True):
            granted = submitted - pd.Timedelta(hours=int(rng.integers(1, 200)))
            collected = granted + pd.Timedelta(minutes=3) if coupon == "b" and rng.random() < 0.8 else None
            redeemed = submitted if rng.random() < 0.7 else None
            grants.append((coupon, user or "nobody", granted, collected, None, redeemed, number, amount))
    for _i in range(300):
        granted = instant(60)
        ends = granted + pd.Timedelta(days=int(rng.integers(1, 60)))
        grants.append(
            (rng.choice(["a", "b", "c"]), f"u{rng.integers(0, users)}", granted, None, ends, None, None, None)
        )
    events = [(f"u{rng.integers(0, users)}", instant(), "page_view") for _ in range(3000)]
    return write_shop(
        folder,
        orders=frame(
            "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount", *orders
        ),
        order_lines=frame("order_id line_no product_id category quantity amount", *lines),
        products=frame("product_id name category", ("p", "P", "z"), ("q", "Q", None)),
        events=frame("user_id event_at event", *events),
        coupons=frame(
            "coupon_id name kind face_value min_spend", ("a", "A", "k", 5.0, 20.0), ("b", "B", "k", 5.0, 0.0)
        ),
        coupon_grants=frame(
            "grant_id coupon_id user_id granted_at collected_at expires_at redeemed_at order_id discount_amount",
            *((number, *row) for number, row in enumerate(grants)),
        ).astype({"order_id": "Int64"}),
    )


@pytest.fixture(scope="module", params=["", pytest.param("chdb://", marks=pytest.mark.engine)], ids=["duckdb", "chdb"])
def opened(request, tmp_path_factory):
    if request.param:
        pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = random_folder(tmp_path_factory.mktemp("coupons") / "shop")
    shop = open_shop(f"{request.param}{folder}")
    period = shop.period("2026-03-10", "2026-05-10", "Asia/Shanghai")
    paid = paid_orders(shop.orders)
    grants = shop.coupon_grants.mutate(coupon_id=_.coupon_id.cast("string"))
    coupons = metrics.described_coupons(shop.coupons)
    used = metrics.followed_orders(metrics.coupon_orders(grants, paid, coupons), paid, period)
    used = shop.hold("used", used.mutate(user_bucket=shop.engine.user_bucket(used.user_id)))
    return shop, period, paid, grants, coupons, used


@pytest.fixture(scope="module")
def rows(opened):
    """Orders and grants in pandas, and the groups that each coupon belongs to."""
    shop, period, paid, grants, *_rest = opened
    orders, given = shop.collect(paid), shop.collect(grants)
    groups = {"a": "k", "b": "k", "c": "(unknown)"}
    given["groups"] = [
        [("coupon", one), ("kind", groups[one]), ("all", "(all)")] for one in given["coupon_id"].astype(str)
    ]
    used = given[given["order_id"].notna()].explode("groups").merge(orders, on="order_id", suffixes=("", "_order"))
    discounts = used.groupby(["groups", "order_id"])["discount_amount"].sum().rename("discount").reset_index()
    known = discounts.merge(orders, on="order_id")
    return period, orders, given, known


def keyed(table, *columns):
    return {(row.level, row.group_id): tuple(getattr(row, one) for one in columns) for row in table.itertuples()}


def local_days(ms):
    return (ms + 8 * 3_600_000) // DAY


def test_sums_count_an_order_once_in_each_group(opened, rows):
    shop, period, _paid, _grants, coupons, used = opened
    _period, orders, _given, known = rows
    levels = metrics.orders_by_level(used, coupons)
    found, buyers = (
        shop.collect(one).groupby(["level", "group_id"]).sum(numeric_only=True)
        for one in (metrics.order_sums(levels, period), metrics.buyer_exits(levels, period, []))
    )
    found = found.join(buyers[["buyer_count", "new_buyer_count", "buyer_amount", "buyer_squares"]]).reset_index()
    first = orders.dropna(subset="user_id").groupby("user_id")["paid_ms"].min()
    expected = {}
    for group, mine in known[known["paid_ms"].between(period.start_ms, period.end_ms - 1)].groupby("groups"):
        users = mine.dropna(subset="user_id")
        new = users[users["paid_ms"] == users["user_id"].map(first)]
        expected[group] = (
            len(mine),
            mine["gross_amount"].sum(),
            pytest.approx(mine["discount"].sum()),
            users["user_id"].nunique(),
            new["user_id"].nunique(),
            pytest.approx(users["gross_amount"].sum()),
            pytest.approx((users.groupby("user_id")["gross_amount"].sum() ** 2).sum()),
        )
    columns = ["order_count", "gross_amount", "coupon_discount_amount", "buyer_count", "new_buyer_count"]
    assert keyed(found, *columns, "buyer_amount", "buyer_squares") == expected
    assert len(expected) == 6


def test_orders_without_stacked_coupons_need_no_looking_for_them(opened):
    shop, period, paid, grants, coupons, _used = opened
    single = paid.inner_join(
        grants.filter(grants.order_id.notnull()).group_by("order_id").aggregate(n=_.count()).filter(_.n == 1),
        "order_id",
    )
    used = metrics.followed_orders(metrics.coupon_orders(grants, single, coupons), paid, period)
    used = shop.hold("single", used.mutate(user_bucket=shop.engine.user_bucket(used.user_id)))
    for rows_of in (metrics.orders_by_level, metrics.orders_by_depth):
        found = []
        for is_stacked in (True, False):
            orders = rows_of(used, coupons, is_stacked=is_stacked)
            table = shop.collect(orders).sort_values(["level", "group_id", "order_id"])
            found.append(table.reset_index(drop=True))
        assert len(found[0]) > 100
        pd.testing.assert_frame_equal(*found, check_dtype=False)


def test_grants_and_their_fate(opened, rows):
    shop, period, _paid, grants, _coupons, used = opened
    _period, orders, given, _known = rows
    found = shop.collect(metrics.grant_counts(grants, used, period)).groupby("coupon_id").sum()
    squares = shop.collect(metrics.holder_squares(grants, period)).set_index("coupon_id")["grant_squares"]
    inside = given[given["granted_ms"].between(period.start_ms, period.end_ms - 1)]
    for coupon, mine in inside.groupby("coupon_id"):
        is_used, is_collected = mine["order_id"].isin(orders["order_id"]), mine["collected_ms"].notna()
        ended = mine["expires_ms"] <= period.data_end_ms
        assert found.loc[coupon, ["granted_count", "redeemed_count", "collected_count"]].tolist() == [
            len(mine),
            is_used.sum(),
            is_collected.sum(),
        ]
        assert found.loc[coupon, "collected_redeemed_count"] == (is_used & is_collected).sum()
        assert found.loc[coupon, ["ended_count", "expired_count"]].tolist() == [ended.sum(), (ended & ~is_used).sum()]
        assert squares[coupon] == (mine["user_id"].value_counts() ** 2).sum()


def test_time_to_use_is_the_exact_median(opened, rows):
    shop, period, _paid, grants, coupons, used = opened
    _period, orders, given, _known = rows
    found = shop.collect(metrics.time_to_use(grants, used, coupons, period))
    inside = given[given["granted_ms"].between(period.start_ms, period.end_ms - 1)]
    paid_ms = orders.set_index("order_id")["paid_ms"]
    inside = inside[inside["order_id"].isin(paid_ms.index)].explode("groups")
    start = inside["collected_ms"].fillna(inside["granted_ms"])
    end = inside["redeemed_ms"].fillna(inside["order_id"].map(paid_ms).astype(float))
    hours = ((end - start) / 3_600_000).astype(float)
    expected = {group: (pytest.approx(median(mine), abs=1e-9),) for group, mine in hours.groupby(inside["groups"])}
    assert keyed(found, "median_hours_to_use") == expected


def test_repurchase_equals_the_join_of_every_order_with_every_later_one(opened):
    shop, period, paid, _grants, coupons, used = opened
    orders = metrics.orders_by_level(used, coupons)
    exits = shop.collect(metrics.buyer_exits(orders, period, [7, 30]))
    columns = ["eligible_7", "repurchased_7", "eligible_30", "repurchased_30"]
    found = keyed(exits.groupby(["level", "group_id"], as_index=False)[columns].sum(), *columns)
    by = ["level", "group_id"]
    other = repurchase_counts(next_payments(metrics.first_uses(orders, period), paid, period, by), period, [7, 30], by)
    assert {group: counts for group, counts in found.items() if any(counts)} == keyed(shop.collect(other), *columns)
    assert max(one[1] for one in found.values()) > 3


def test_each_buyer_leaves_once(opened, rows):
    shop, period, _paid, _grants, coupons, used = opened
    _period, orders, _given, known = rows
    exits = shop.collect(metrics.buyer_exits(metrics.orders_by_level(used, coupons), period, []))
    assert not exits.loc[exits["exit_day"].isna(), "origin_count"].any()
    assert exits["exit_day"].isna().any()
    found = {
        (group, int(row.exit_day), bool(row.is_repurchase)): row.origin_count
        for group, mine in exits.dropna(subset="exit_day").groupby(["level", "group_id"])
        for row in mine.itertuples()
    }
    expected = {}
    for (group, user), mine in known.dropna(subset="user_id").groupby(["groups", "user_id"]):
        origin = mine["paid_ms"].min()
        if not period.start_ms <= origin < period.end_ms:
            continue
        own = orders.loc[orders["user_id"] == user, "paid_ms"]
        later = own[local_days(own) > local_days(origin)]
        followed = (period.data_end_ms - origin) // DAY
        again = (later.min() - origin) // DAY if len(later) else followed
        key = (group, int(min(again, followed)), bool(again < followed))
        expected[key] = expected.get(key, 0) + 1
    assert found == expected


def test_active_days_are_later_local_days(opened, rows):
    shop, period, _paid, _grants, coupons, used = opened
    _period, _orders, _given, known = rows
    found = shop.collect(metrics.active_days(metrics.orders_by_level(used, coupons), shop.events, period, 10))
    events = shop.collect(shop.events)
    expected = {}
    for (group, user), mine in known.dropna(subset="user_id").groupby(["groups", "user_id"]):
        origin = mine["paid_ms"].min()
        if period.start_ms <= origin < period.end_ms and origin + 10 * DAY <= period.data_end_ms:
            ms = events.loc[events["user_id"] == user, "event_ms"]
            ms = ms[(ms < origin + 10 * DAY) & (local_days(ms) > local_days(origin))]
            users, days = expected.get(group, (0, 0))
            expected[group] = (users + 1, days + local_days(ms).nunique())
    assert keyed(found, "active_user_count", "active_day_count") == expected


def test_categories_fall_back_to_the_product(opened, rows):
    shop, period, _paid, _grants, coupons, used = opened
    _period, _orders, _given, known = rows
    named = metrics.categorised_lines(shop.order_lines, shop.products)
    lazy = metrics.category_amounts(metrics.orders_by_level(used, coupons), named, period)
    found = {(row.level, row.group_id, row.category): row.amount for row in shop.collect(lazy).itertuples()}
    lines = shop.collect(shop.order_lines)
    lines["category"] = lines["category"].fillna(lines["product_id"].map({"p": "z"})).fillna("(unknown)")
    inside = known[known["paid_ms"].between(period.start_ms, period.end_ms - 1)]
    both = inside[["groups", "order_id"]].merge(lines, on="order_id")
    expected = {
        (*group, category): mine["amount"].sum() for (group, category), mine in both.groupby(["groups", "category"])
    }
    assert found == expected
    assert {one[2] for one in found} == {"x", "y", "z", "(unknown)"}


def test_depth_by_hand(tmp_path):
    """a: 20 off from 100; p: 10 %, at most 30 off; q: a rate of 0.1 as face value; n: no minimum; u: face value unknown."""
    coupons = frame(
        "coupon_id name kind face_value min_spend",
        ("a", "", "full_reduction", 20.0, 100.0),
        ("p", "", "percentage", 30.0, 200.0),
        ("q", "", "percentage", 0.1, 129.0),
        ("n", "", "free_order", 80.0, 0.0),
        ("u", "", "full_reduction", None, 100.0),
        ("e", "", "full_reduction", 50.0, 20.0),
    )
    order = ("o", "u", "2026-03-02", "2026-03-02", 100.0, 5.0, 0.0)
    grants = frame(
        "grant_id coupon_id user_id granted_at order_id discount_amount", (1, "a", "u", "2026-03-01", "o", 5.0)
    )
    names = "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount"
    shop = open_shop(write_shop(tmp_path / "s", coupons=coupons, orders=frame(names, order), coupon_grants=grants))
    found = shop.collect(metrics.described_coupons(shop.coupons)).set_index("coupon_id")["face_band"]
    assert found.drop("u").to_dict() == {"a": 4, "p": 3, "q": 2, "n": metrics.NO_MINIMUM, "e": 6}
    assert pd.isna(found["u"])
    paid = paid_orders(shop.orders)
    used = metrics.coupon_orders(shop.coupon_grants, paid, metrics.described_coupons(shop.coupons))
    used = metrics.followed_orders(used, paid, shop.period(None, None, "UTC"))
    used = used.mutate(user_bucket=shop.engine.user_bucket(used.user_id))
    depth = shop.collect(metrics.orders_by_depth(used, metrics.described_coupons(shop.coupons)))
    assert set(zip(depth["level"], depth["group_id"], strict=True)) == {
        ("discount_to_gross", "1"),
        ("face_to_minimum", "4"),
    }
