"""Tags by hand, against a pandas loop and on ClickHouse; a preference is found where there is one and nowhere else."""

import ibis
import numpy as np
import pandas as pd
import pytest
from audience_shops import members_of, random_tables, window_of
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.tags import (
    base_shares,
    bought,
    category_choices,
    choice_agreement,
    choice_counts,
    coupon_choices,
    coupon_sensitivity,
    preferred_category,
    price_bands_of_users,
    price_cuts,
    price_indices,
    price_levels,
    with_category,
)
from workbench.user.tags import STRENGTHS, prior_strength

START, END = (int(pd.Timestamp(day, tz="UTC").value // 10**6) for day in ("2026-03-01", "2026-04-01"))


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """Four buyers. Orders 7 (April) and 8 (not paid) lie outside; order 6 has no category but that of its product."""
    orders = [
        (1, "a", "2026-03-02", "2026-03-02", 10.0, 1.0),
        (2, "a", "2026-03-03", "2026-03-03", 20.0, 1.0),
        (3, "a", "2026-03-04", "2026-03-04", 10.0, 2.0),
        (4, "b", "2026-03-04", "2026-03-04", 12.0, 0.0),
        (5, "b", "2026-03-05", "2026-03-05", 30.0, 0.0),
        (6, "c", "2026-03-06", "2026-03-06", 40.0, 0.0),
        (7, "d", "2026-04-01", "2026-04-01", 40.0, 0.0),
        (8, "d", "2026-03-06", None, 40.0, 0.0),
    ]
    lines = [
        (1, 1, "p1", "food", 2, 10.0),
        (2, 1, "p1", "food", 1, 10.0),
        (2, 2, "p2", "food", 1, 10.0),
        (3, 1, "p1", "food", 1, 10.0),
        (4, 1, "p3", "toys", 3, 12.0),
        (5, 1, "p3", "toys", 1, 6.0),
        (5, 2, "p1", "food", 2, 24.0),
        (6, 1, "p3", None, 5, 40.0),
        (7, 1, "p3", "toys", 1, 40.0),
        (8, 1, "p3", "toys", 1, 40.0),
    ]
    columns = "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount"
    shop = open_shop(
        write_shop(
            tmp_path_factory.mktemp("tags") / "shop",
            orders=frame(columns, *orders),
            order_lines=frame("order_id line_no product_id category quantity amount", *lines),
            products=frame("product_id category", ("p3", "toys"), ("p1", "never asked")),
        )
    )
    everyone = shop.orders.select("user_id").distinct()
    return shop, bought(shop.orders, everyone, START, END), with_category(shop.order_lines, shop.products)


def rows_of(shop, table, *by):
    return shop.collect(table).sort_values(list(by)).to_numpy().tolist()


def test_choices_and_base_by_hand(by_hand):
    shop, orders, lines = by_hand
    choices = category_choices(orders, lines)
    counts = choice_counts(choices)
    # two food lines of order 2 are one choice; order 6 is toys by its product
    assert rows_of(shop, counts.select("user_id", "value", "choice_count", "total_count"), "user_id", "value") == [
        ["a", "food", 3, 3],
        ["b", "food", 1, 3],
        ["b", "toys", 2, 3],
        ["c", "toys", 1, 1],
    ]
    # shares of food: 1, 1/3, 0; their mean is 4/9, whatever the number of orders
    base = rows_of(shop, base_shares(counts), "value")
    assert base == [["food", pytest.approx(4 / 9)], ["toys", pytest.approx(5 / 9)]]
    sums = shop.collect(choice_agreement(choices, counts)).iloc[0]
    # a: 3 * 2 of 9 - 3 pairs agree: all. b: 2 of the 9 - (1 + 4) = 4 pairs from two orders. c has one order: no pair
    assert sums["user_count"] == 3
    assert sums["square_sum"] == pytest.approx(1 + 5 / 9 + 1)
    assert sums["pair_user_count"] == 2
    assert sums["agreement_sum"] == pytest.approx(1 + 0.5)


def test_preference_by_hand(by_hand):
    shop, orders, lines = by_hand
    counts = choice_counts(category_choices(orders, lines))
    base = base_shares(counts)

    def tags(strength):
        return rows_of(shop, preferred_category(counts, base, strength), "user_id")

    # a, food: (3 + 4/9) / (3 + 1) = 0.861, lift 1.9375. b, toys: (2 + 5/9) / 4 = 0.639, lift 1.15
    # c has one order only
    assert tags(1.0) == [["a", "food"]]
    # with 5 orders of average behaviour a has (3 + 20/9) / 8 = 0.653, lift 1.47
    assert tags(5.0) == []
    # the bound itself counts: a's lift is 1.5 where (3 + 4 s / 9) / (3 + s) = 2/3, so s = 4.5
    assert tags(4.5) == [["a", "food"]]


def test_coupon_sensitivity_by_hand(by_hand):
    shop, orders, _lines = by_hand
    counts = choice_counts(coupon_choices(orders))
    # base 1/3 (a always, b and c never), base odds 1/2. Strength 3: a (3 + 1) : (0 + 2), odds 2, four times the base;
    # b (0 + 1) : (2 + 2), odds 1/4, half the base: at the bound. c (0 + 1) : (1 + 2), odds 1/3
    found = rows_of(shop, coupon_sensitivity(counts, 1 / 3, 3.0), "user_id")
    assert found == [["a", "high"], ["b", "none"], ["c", "normal"]]
    # nobody differs from the base
    for base in (0.0, 1.0):
        assert {row[1] for row in rows_of(shop, coupon_sensitivity(counts, base, 3.0), "user_id")} == {"normal"}


def test_price_bands_by_hand(by_hand):
    shop, orders, lines = by_hand
    levels = price_levels(lines, orders)
    # food: 64 for 7 pieces; toys: 58 for 9
    assert rows_of(shop, levels, "category") == [["food", pytest.approx(64 / 7)], ["toys", pytest.approx(58 / 9)]]
    indices = price_indices(lines, orders, levels)
    food, toys = 64 / 7, 58 / 9
    expected = {"a": 40 / (5 * food), "b": 42 / (4 * toys + 2 * food), "c": 40 / (5 * toys)}
    found = dict(rows_of(shop, indices, "user_id"))
    assert found == {user: round(value * 1e6) for user, value in expected.items()}
    cuts = shop.collect(price_cuts(indices)).iloc[0]
    # a 0.875, b 0.952, c 1.241: one below, one above
    assert (cuts["low_cut"], cuts["high_cut"]) == (found["b"], found["b"])
    bands = price_bands_of_users(indices, int(cuts["low_cut"]), int(cuts["high_cut"]))
    assert rows_of(shop, bands, "user_id") == [["a", "low"], ["b", "middle"], ["c", "high"]]


def test_thirds_without_ties_and_one_price_without_bands():
    con = ibis.duckdb.connect()
    for users in (1, 2, 3, 7, 30, 100):
        values = np.random.default_rng(users).permutation(users) + 5
        table = ibis.memtable(pd.DataFrame({"user_id": range(users), "price_index": values}))
        cuts = con.to_pandas(price_cuts(table)).iloc[0]
        bands = con.to_pandas(price_bands_of_users(table, int(cuts["low_cut"]), int(cuts["high_cut"])))
        counts = bands["value"].value_counts().to_dict()
        assert counts.get("low", 0) == counts.get("high", 0) == users // 3
        flat = price_bands_of_users(table.mutate(price_index=7), 7, 7)
        assert set(con.to_pandas(flat)["value"]) == {"middle"}


def tags_by_loop(tables, window, strengths):
    """Tags one user at a time with pandas and dictionaries."""
    orders = tables["orders"]
    paid = orders["paid_at"].astype("datetime64[ns, UTC]").astype("int64").where(orders["paid_at"].notna(), -1) // 10**6
    orders = orders[(paid >= window.start_ms) & (paid < window.end_ms)]
    own = tables["products"].set_index("product_id")["category"]
    lines = tables["order_lines"].merge(orders[["order_id", "user_id"]], on="order_id")
    lines["category"] = lines["category"].where(lines["category"].notna(), lines["product_id"].map(own))
    chosen = lines[["user_id", "order_id", "category"]].drop_duplicates()
    counts = {user: part["category"].value_counts().to_dict() for user, part in chosen.groupby("user_id")}
    base = {}
    for own_counts in counts.values():
        for value, count in own_counts.items():
            base[value] = base.get(value, 0) + count / sum(own_counts.values()) / len(counts)
    category = {}
    for user, own_counts in counts.items():
        total, best = sum(own_counts.values()), []
        for value, count in own_counts.items():
            share = (count + strengths["category"] * base[value]) / (total + strengths["category"])
            if count >= 2 and share / base[value] >= 1.5:
                best.append((-round(share / base[value], 6), -count, value))
        if best:
            category[user] = min(best)[2]
    with_coupon = orders.assign(used=orders["coupon_discount_amount"] > 0).groupby("user_id")["used"]
    rate = with_coupon.mean().mean()
    coupon = {}
    for user, used in with_coupon:
        a = strengths["coupon_sensitivity"]
        odds = (used.sum() + a * rate) / ((~used).sum() + a * (1 - rate)) / (rate / (1 - rate))
        coupon[user] = (
            "high" if odds >= 2 and used.sum() >= 2 else "none" if odds <= 0.5 and not used.any() else "normal"
        )
    level = lines.groupby("category")["amount"].sum() / lines.groupby("category")["quantity"].sum()
    lines["usual"] = lines["category"].map(level) * lines["quantity"]
    by_user = lines.groupby("user_id")[["amount", "usual"]].sum()
    index = (by_user["amount"] / by_user["usual"]).sort_values()
    third = len(index) // 3
    band = {
        user: "low" if at < third else "high" if at >= len(index) - third else "middle"
        for at, user in enumerate(index.index)
    }
    return {"category": category, "coupon_sensitivity": coupon, "price_band": band}


def collected_tags(shop, window):
    from workbench.user.tags import read_tags

    found = read_tags(shop, members_of(shop, window), window.start_ms, window.end_ms)
    return found, shop.collect(found.tagged).sort_values("user_id").reset_index(drop=True)


def with_preferences(seed):
    """Random tables in which half of the users buy mostly one category of their own, and some always use coupons."""
    tables = random_tables(seed)
    rng = np.random.default_rng(seed)
    users = {user: rng.choice(["food", "toys", "books", "shoes"]) for user in tables["orders"]["user_id"].unique()}
    lines, orders = tables["order_lines"], tables["orders"]
    owner = lines["order_id"].map(orders.set_index("order_id")["user_id"])
    mine = rng.random(len(lines)) < 0.8
    fond = owner.str[-1].isin(list("13579")) & mine
    lines["category"] = lines["category"].where(~fond, owner.map(users))
    keen = orders["user_id"].str[-1].isin(list("12"))
    orders["coupon_discount_amount"] = np.where(keen, 1.0, np.where(rng.random(len(orders)) < 0.15, 1.0, 0.0))
    return tables


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equals_a_loop(tmp_path, seed):
    tables = with_preferences(seed)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    window = window_of(shop)
    found, rows = collected_tags(shop, window)
    assert STRENGTHS[0] < found.strengths["category"] < 20
    expected = tags_by_loop(tables, window, found.strengths)
    for name, tags in expected.items():
        mine = rows[~rows[name].isin(["(none)", "(no orders)"])].set_index("user_id")[name].to_dict()
        assert mine == tags, name
        assert len(set(mine.values())) > 1
    buyers = rows["order_count"] > 0
    assert ((rows["coupon_sensitivity"] == "(no orders)") == ~buyers).all()


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = write_shop(tmp_path / "shop", **with_preferences(4))
    found = []
    for source in (folder, f"chdb://{folder}"):
        shop = open_shop(source)
        found.append(collected_tags(shop, window_of(shop)))
    pd.testing.assert_frame_equal(found[0][1], found[1][1], check_dtype=False)
    pd.testing.assert_frame_equal(found[0][0].table, found[1][0].table, atol=1e-9, rtol=0)
    assert found[0][0].strengths == found[1][0].strengths


def drawn_choices(rng, users, strength, base, orders_per_user=6):
    """Orders of users whose shares come from a Dirichlet distribution around the base (None: all alike)."""
    rows = []
    for user in range(users):
        share = base if strength is None else rng.dirichlet(np.array(base) * strength)
        for order in range(1 + rng.poisson(orders_per_user - 1)):
            rows.append((user, user * 1000 + order, f"c{rng.choice(len(base), p=share)}"))
    return pd.DataFrame(rows, columns=["user_id", "order_id", "value"])


BASE = (0.4, 0.3, 0.2, 0.1)


def strength_of(con, choices):
    counts = choice_counts(choices)
    base = base_shares(counts)
    shares = con.to_pandas(base)["base_share"].to_numpy()
    sums = con.to_pandas(choice_agreement(choices, counts)).iloc[0]
    return counts, base, prior_strength(*sums[["user_count", "square_sum", "pair_user_count", "agreement_sum"]], shares)


def test_the_strength_of_the_prior_is_recovered():
    """The moment estimator over 40 shops of 400 users: its correlation 1 / (a + 1) is right on average."""
    con, rng = ibis.duckdb.connect(), np.random.default_rng(8)
    for strength in (2.0, 10.0):
        found = [
            1 / (1 + strength_of(con, ibis.memtable(drawn_choices(rng, 400, strength, BASE)))[2]) for _shop in range(40)
        ]
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - 1 / (1 + strength)) < 3.3 * error
        assert error < 0.01


def test_nobody_is_tagged_where_all_are_alike_and_most_who_differ_are():
    con, rng = ibis.duckdb.connect(), np.random.default_rng(9)
    alike, differing = [], []
    for _shop in range(20):
        counts, base, strength = strength_of(con, ibis.memtable(drawn_choices(rng, 500, None, BASE)))
        alike.append(len(con.to_pandas(preferred_category(counts, base, strength))) / 500)
        counts, base, strength = strength_of(con, ibis.memtable(drawn_choices(rng, 500, 1.0, BASE)))
        differing.append(len(con.to_pandas(preferred_category(counts, base, strength))) / 500)
    # without shrinkage two of three orders in one category would tag half of all users
    assert np.mean(alike) < 0.005
    assert np.mean(differing) > 0.4


def test_one_bulk_buyer_does_not_move_the_base():
    con = ibis.duckdb.connect()
    rows = drawn_choices(np.random.default_rng(2), 300, None, BASE)
    bulk = pd.DataFrame({"user_id": 999, "order_id": np.arange(10**6, 10**6 + 5000), "value": "c3"})
    shares = con.to_pandas(base_shares(choice_counts(ibis.memtable(pd.concat([rows, bulk]))))).set_index("value")
    assert shares.loc["c3", "base_share"] == pytest.approx(0.1, abs=0.03)


def test_the_strength_without_pairs_or_with_one_value_tells_nobody_apart():
    assert prior_strength(100.0, 100.0, 0.0, 0.0, np.array([0.5, 0.5])) == STRENGTHS[1]
    assert prior_strength(1.0, 1.0, 1.0, 1.0, np.array([1.0])) == STRENGTHS[1]
    assert prior_strength(50.0, 50.0, 50.0, 50.0, np.array([1.0])) == STRENGTHS[1]
