"""What quadrants are made of, against a pandas loop; favourite category and coupon use by hand; equal on ClickHouse."""

import ibis
import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.coupons import categorised_lines
from workbench.metrics.orders import paid_orders
from workbench.metrics.profiles import (
    buyer_cells,
    coupon_users,
    favourite_categories,
    user_cells,
    value_counts,
)

COLUMNS = ["channel", "region"]


@pytest.fixture(scope="module")
def bought(tmp_path_factory):
    """a: two orders with tea, one with two lines of cups; b: one order each of tea and cups, the cups with two lines;
    c: tea and cups once; d: an order without lines."""
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("profiles") / "shop",
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount",
                *[
                    (number, user, "2026-03-01", "2026-03-01", 20.0, discount)
                    for number, user, discount in [
                        (1, "a", 0.0), (2, "a", 1.0), (3, "a", 0.0), (4, "b", 0.0), (5, "b", 0.0), (6, "c", 0.0),
                        (7, "c", None), (8, "d", 0.0),
                    ]
                ],
            ),
            order_lines=frame(
                "order_id line_no product_id category quantity amount",
                (1, 1, "p", "tea", 1, 20.0),
                (2, 1, "p", None, 1, 20.0),
                (3, 1, "q", "cups", 1, 10.0),
                (3, 2, "q", "cups", 1, 10.0),
                (4, 1, "p", "tea", 1, 20.0),
                (5, 1, "q", "cups", 1, 10.0),
                (5, 2, "q", "cups", 1, 10.0),
                (6, 1, "p", "tea", 1, 20.0),
                (7, 1, "q", "cups", 1, 20.0),
            ),
            products=frame("product_id category", ("p", "tea"), ("q", "cups")),
            coupons=frame("coupon_id", ("k",)),
            coupon_grants=frame(
                "grant_id coupon_id user_id granted_at order_id", (1, "k", "c", "2026-03-01", 6), (2, "k", "d", "2026-03-01", None)
            ),
        )
    )  # fmt: skip


def test_favourite_is_where_most_orders_were_then_most_lines_then_by_name(bought):
    paid = bought.keyed(paid_orders(bought.orders))
    found = bought.collect(favourite_categories(categorised_lines(bought.order_lines, bought.products), paid))
    users = bought.collect(paid.select("user_id", "user_key").distinct()).merge(found, on="user_key")
    assert users.set_index("user_id")["category"].to_dict() == {"a": "tea", "b": "cups", "c": "cups"}


def test_a_coupon_is_seen_by_its_discount_or_its_grant(bought):
    paid = bought.keyed(paid_orders(bought.orders))
    names = bought.collect(paid.select("user_id", "user_key").distinct()).set_index("user_key")["user_id"]
    for grants, expected in ((None, "yes no no no"), (bought.coupon_grants, "yes no yes no")):
        found = bought.collect(coupon_users(paid, grants))
        found = found.assign(user_id=found["user_key"].map(names)).sort_values("user_id")
        assert found["coupon_use"].tolist() == expected.split()


def test_buyers_without_lines_are_unknown(bought):
    paid = bought.keyed(paid_orders(bought.orders))
    users = paid.select("user_id", "user_key").distinct()
    members = users.mutate(quadrant=ibis.literal("high_high")).filter(users.user_id != "b")
    described = [
        favourite_categories(categorised_lines(bought.order_lines, bought.products), paid),
        coupon_users(paid, None),
    ]
    found = bought.collect(buyer_cells(members, described, paid))
    assert sorted(found.to_numpy().tolist()) == [
        ["high_high", "(unknown)", "no", 1],
        ["high_high", "cups", "no", 1],
        ["high_high", "tea", "yes", 1],
    ]


def random_shop(seed, users=400):
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2026-03-01", tz="UTC")
    ids = [f"u{number}" for number in range(users)]
    people = pd.DataFrame(
        {
            "user_id": ids[:-20],
            "first_seen_at": start + pd.to_timedelta(rng.integers(0, 60 * 24, users - 20), unit="h"),
            "channel": rng.choice(["ads", "mail", "none"], users - 20),
            "region": [f"r{one}" for one in rng.geometric(0.15, users - 20)],
        }
    )
    people.loc[rng.random(users - 20) < 0.1, "channel"] = None
    moments = start + pd.to_timedelta(rng.integers(0, 60 * 24, 200), unit="h")
    orders = pd.DataFrame({"order_id": range(200), "user_id": rng.choice(ids, 200), "submitted_at": moments})
    orders["paid_at"], orders["gross_amount"] = orders["submitted_at"], 10.0
    return {"users": people, "orders": orders}


def quadrants(shop):
    users = ibis.union(
        *[shop.tables[name].select("user_id", "user_bucket") for name in ("users", "orders")], distinct=True
    )
    code = ibis.cases((users.user_bucket < 60, "high_high"), (users.user_bucket < 160, "high_low"), else_="low_low")
    return shop.keyed(users.select("user_id", "user_bucket", quadrant=code))


def counted(shop, most):
    cells = user_cells(quadrants(shop), shop.keyed(shop.users), COLUMNS)
    found = shop.collect(value_counts(cells, COLUMNS, most))
    return found.sort_values(["dimension", "quadrant", "value"]).reset_index(drop=True)


@pytest.mark.parametrize("most", [50, 4])
def test_counts_equal_a_loop_and_rare_values_are_one(tmp_path, most):
    tables = random_shop(1)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    people = shop.collect(quadrants(shop)).merge(tables["users"], on="user_id", how="left")
    rows = []
    for name in COLUMNS:
        values = people[name].astype(object).where(people[name].notna(), "(unknown)")
        total = values.value_counts()
        ranked = sorted(total.index, key=lambda value, total=total: (-total[value], value))
        kept = {*ranked[:most], "(unknown)"}
        folded = values.map(lambda value, kept=kept: value if value in kept else "(other)")
        for (quadrant, value), count in folded.groupby([people["quadrant"], folded]).size().items():
            rows.append((quadrant, value, count, len(ranked), name))
    expected = pd.DataFrame(rows, columns=["quadrant", "value", "user_count", "value_count", "dimension"])
    expected = expected.sort_values(["dimension", "quadrant", "value"]).reset_index(drop=True)
    found = counted(shop, most)
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False)
    assert ("(other)" in found["value"].tolist()) == (most == 4)
    assert found.groupby("dimension")["user_count"].sum().tolist() == [len(people)] * 2


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = write_shop(tmp_path / "shop", **random_shop(2))
    found = [counted(open_shop(source), 4) for source in (folder, f"chdb://{folder}")]
    pd.testing.assert_frame_equal(*found, check_dtype=False)
