"""Who is in an audience, by hand and against a loop over users; who is held back is random, and the same everywhere."""

import hashlib

import ibis
import numpy as np
import pandas as pd
import pytest
from audience_shops import members_of, random_tables, window_of
from scipy import stats
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError
from workbench.metrics.audiences import CONTROL, DRAWS, arm, drawn
from workbench.period import DAY_MS
from workbench.source.shop import read_shop
from workbench.user.audience import find_audiences, make_audiences
from workbench.user.audience_rules import read_audience_rules
from workbench.user.tags import read_tags

NEEDS_CHDB = "chdb is not installed: pip install 'workbench[engines-test]'"


def rows_of(shop, where, window=None, **more):
    text = yaml_of({"audiences": {"one": {"where": where, **more}}})
    window = window or window_of(shop)
    found = find_audiences(shop, read_audience_rules(text), members_of(shop, window), window)
    return found, shop.collect(found.rows).sort_values("user_id").reset_index(drop=True)


def yaml_of(content):
    import yaml

    return yaml.safe_dump(content, allow_unicode=True)


def users_of(shop, where, window=None):
    return list(rows_of(shop, where, window, control={"share": 0.5})[1]["user_id"])


@pytest.fixture(scope="module")
def drop_outs(tmp_path_factory):
    """Carts and orders of the first eight days of March; the window ends on the 9th, 00:00 UTC.

    a: cart on the 7th. b: cart on the 7th, bought a minute later. c: bought on the 6th, cart on the 7th. d: cart at the instant of
    the payment. e: cart on the 2nd. f: cart on the 7th, order not paid. g: no cart; h: cart by event, purchase by event alone.
    """
    events = [
        ("a", "2026-03-07 10:00", "add_to_cart"),
        ("b", "2026-03-07 10:00", "add_to_cart"),
        ("c", "2026-03-07 10:00", "add_to_cart"),
        ("d", "2026-03-07 10:00", "add_to_cart"),
        ("e", "2026-03-02 10:00", "add_to_cart"),
        ("f", "2026-03-07 10:00", "add_to_cart"),
        ("g", "2026-03-08 10:00", "view_item"),
        ("h", "2026-03-07 10:00", "add_to_cart"),
        ("h", "2026-03-07 11:00", "purchase"),
        ("i", "2026-03-01 00:00", "view_item"),
    ]
    orders = [
        (1, "b", "2026-03-07 10:00:30", "2026-03-07 10:01", 5.0),
        (2, "c", "2026-03-06 10:00", "2026-03-06 10:00", 5.0),
        (3, "d", "2026-03-07 09:00", "2026-03-07 10:00", 5.0),
        (4, "f", "2026-03-07 11:00", None, 5.0),
    ]
    folder = tmp_path_factory.mktemp("carts") / "shop"
    write_shop(
        folder,
        events=frame("user_id event_at event", *events),
        orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
    )
    return open_shop(folder)


def test_drop_outs_by_hand(drop_outs):
    window = window_of(drop_outs, days=8)
    carted = {"did": "add_to_cart", "did_not": "purchase", "within_days": 3}
    assert users_of(drop_outs, carted, window) == ["a", "c", "f"]
    assert users_of(drop_outs, carted | {"within_days": 7}, window) == ["a", "c", "e", "f"]
    # 38 hours before the 9th, 00:00, is the 7th, 10:00, and the start of a window is in it
    hours = {"did": "add_to_cart", "did_not": "purchase"}
    assert users_of(drop_outs, hours | {"within_hours": 38}, window) == ["a", "c", "f"]
    assert users_of(drop_outs, {"did": "purchase", "within_days": 3}, window) == ["b", "c", "d", "h"]
    assert users_of(drop_outs, {"did_not": "purchase", "within_days": 3}, window) == ["a", "e", "f", "g", "i"]
    both = {"did": ["add_to_cart", "purchase"], "within_days": 3}
    assert users_of(drop_outs, both, window) == ["b", "c", "d", "h"]
    neither = {"did_not": ["add_to_cart", "purchase"], "within_days": 3}
    assert users_of(drop_outs, neither, window) == ["e", "g", "i"]
    assert users_of(drop_outs, {"not": carted}, window) == ["b", "d", "e", "g", "h", "i"]


def test_numbers_by_hand(drop_outs):
    window = window_of(drop_outs, days=8)
    assert users_of(drop_outs, {"days_since_last_visit": 1}, window) == list("abcdfh")
    assert users_of(drop_outs, {"days_since_last_visit": ">= 1"}, window) == list("abcdefhi")
    # c: an order on the 6th, a cart on the 7th
    assert users_of(drop_outs, {"visit_days": 1}, window) == list("abdefghi")
    assert users_of(drop_outs, {"orders": {"between": [1, 1]}, "paid_amount": ">= 5"}, window) == ["b", "c", "d"]


@pytest.fixture(scope="module")
def random_shop(tmp_path_factory):
    tables = random_tables(5)
    return open_shop(write_shop(tmp_path_factory.mktemp("audience") / "shop", **tables)), tables


def facts_by_loop(tables, window, tagged):
    """What is known of each user of the window, one user at a time."""
    ms = {
        name: tables[name][column].astype("datetime64[ns, UTC]").astype("int64") // 10**6
        for name, column in (("events", "event_at"), ("orders", "submitted_at"))
    }
    paid_at = tables["orders"]["paid_at"]
    paid_ms = paid_at.astype("datetime64[ns, UTC]").astype("int64").where(paid_at.notna(), -1) // 10**6
    people = tables["users"].set_index("user_id")
    found = {}
    for user in {*tables["events"]["user_id"], *tables["orders"]["user_id"]}:
        mine = tables["events"]["user_id"] == user
        bought = tables["orders"]["user_id"] == user
        stamps = [*ms["events"][mine], *ms["orders"][bought], *paid_ms[bought & (paid_ms >= 0)]]
        inside = [one for one in stamps if window.start_ms <= one < window.end_ms]
        if not inside:
            continue
        paid = bought & (paid_ms >= window.start_ms) & (paid_ms < window.end_ms)
        own = people.loc[user].to_dict() if user in people.index else {}
        carts = ms["events"][mine & (tables["events"]["event"] == "add_to_cart")]
        found[user] = {
            "visit_days": len({one // DAY_MS for one in inside}),
            "days_since_last_visit": window.end_ms // DAY_MS - 1 - max(inside) // DAY_MS,
            "orders": int(paid.sum()),
            "paid_amount": float(
                (tables["orders"]["gross_amount"] - tables["orders"]["coupon_discount_amount"])[paid].sum()
            ),
            "region": own.get("region", "(unknown)"),
            "loyalty_points": own.get("loyalty_points", np.nan),
            "carts": [one for one in carts if one < window.end_ms],
            "payments": [one for one in paid_ms[bought] if 0 <= one < window.end_ms],
            **tagged.get(user, {}),
        }
    return found


def dropped(fact, window, days):
    carts = [one for one in fact["carts"] if one >= window.end_ms - days * DAY_MS]
    return bool(carts) and not any(one >= max(carts) for one in fact["payments"])


RULES = [
    ({"visit_days": ">= 3", "region": "north"}, lambda f, w: f["visit_days"] >= 3 and f["region"] == "north"),
    (
        [{"any": [{"region": "south"}, {"orders": ">= 2"}]}, {"paid_amount": {"between": [10, 60]}}],
        lambda f, w: (f["region"] == "south" or f["orders"] >= 2) and 10 <= f["paid_amount"] <= 60,
    ),
    ({"loyalty_points": "<= 50"}, lambda f, w: f["loyalty_points"] <= 50),
    ({"not": {"loyalty_points": "<= 50"}}, lambda f, w: not f["loyalty_points"] <= 50),
    ({"region": "(unknown)"}, lambda f, w: f["region"] == "(unknown)"),
    (
        {"did": "add_to_cart", "did_not": "purchase", "within_days": 10, "days_since_last_visit": "<= 6"},
        lambda f, w: dropped(f, w, 10) and f["days_since_last_visit"] <= 6,
    ),
    (
        {"price_band": ["high", "middle"], "not": {"channel": "ads"}},
        lambda f, w: f["price_band"] in ("high", "middle") and f["channel"] != "ads",
    ),
    ({"quadrant": "high_high"}, lambda f, w: f["quadrant"] == "high_high"),
]


@pytest.fixture(scope="module")
def facts(random_shop):
    shop, tables = random_shop
    window = window_of(shop)
    members = members_of(shop, window)
    tags = shop.collect(read_tags(shop, members, window.start_ms, window.end_ms).tagged)
    tagged = tags.set_index("user_id")[["quadrant", "price_band", "channel"]].to_dict("index")
    found = facts_by_loop(tables, window, tagged)
    assert set(found) == set(tags["user_id"])
    return found


@pytest.mark.parametrize("number", range(len(RULES)))
def test_equals_a_loop(random_shop, facts, number):
    shop, _tables = random_shop
    where, holds = RULES[number]
    window = window_of(shop)
    expected = sorted(user for user, fact in facts.items() if holds(fact, window))
    assert 3 < len(expected) < len(facts)
    found, rows = rows_of(shop, where, control={"share": 0.5})
    assert list(rows["user_id"]) == expected
    assert found.population_count == len(facts)
    total = found.summary.iloc[0]
    assert (total["segment"], total["user_count"]) == ("(all)", len(expected))
    assert total["paid_amount"] == pytest.approx(sum(facts[user]["paid_amount"] for user in expected))
    assert total["audience_count"] + total["control_count"] == total["user_count"]
    by_segment = found.summary[found.summary["segment"] != "(all)"]
    assert by_segment["user_count"].sum() == len(expected)
    assert set(by_segment["segment"]) == {facts[user]["quadrant"] for user in expected}


def drawn_by_hand(seed, user):
    """The number drawn for a user, from the definition."""
    parts = [hashlib.md5(f"control {seed} {part} {user}".encode()).digest()[0] for part in "abc"]
    return parts[0] * 65536 + parts[1] * 256 + parts[2]


@pytest.mark.parametrize("whole", [False, True])
def test_the_control_is_the_hash_of_seed_and_id(tmp_path, whole):
    shop = open_shop(write_shop(tmp_path / "shop", **random_tables(6, users=80, whole_ids=whole)))
    _found, rows = rows_of(shop, {"visit_days": "<= 3"}, control={"share": 0.3, "seed": 12})
    expected = ["control" if drawn_by_hand(12, user) < round(0.3 * DRAWS) else "audience" for user in rows["user_id"]]
    assert list(rows["arm"]) == expected
    assert {"control", "audience"} == set(expected)


@pytest.fixture(scope="module")
def draws():
    """Numbers drawn for 3,000 users by 100 seeds, with the users' bucket and attributes of theirs."""
    from workbench.source.engine import Engine

    con = ibis.duckdb.connect()
    engine = Engine(con, "duckdb", {}, frozenset(), "test", {})
    users = 3_000
    table = ibis.memtable(pd.DataFrame({"user_id": [f"u{one:07d}" for one in range(users)], "place": range(users)}))
    numbers = {f"seed_{seed}": drawn(table.user_id, seed, engine.user_bucket) for seed in range(1, 101)}
    rows = con.to_pandas(table.select("place", bucket=engine.user_bucket(table.user_id), **numbers)).sort_values(
        "place"
    )
    return rows["bucket"].to_numpy(), rows[[*numbers]].to_numpy()


def test_the_share_is_met_within_binomial_bounds(draws):
    """100 seeds at three shares: the standardised counts are standard normal by Kolmogorov and by their variance."""
    _bucket, numbers = draws
    for share in (0.05, 0.1, 0.5):
        counts = (numbers < round(share * DRAWS)).sum(axis=0)
        z = (counts - len(numbers) * share) / np.sqrt(len(numbers) * share * (1 - share))
        assert abs(z.mean()) * np.sqrt(len(z)) < 3.29
        low, high = stats.chi2.ppf([0.0005, 0.9995], len(z))
        assert low < (z**2).sum() < high
        assert np.abs(z).max() < 4.2


def test_numbers_are_spread_evenly(draws):
    _bucket, numbers = draws
    pooled = stats.kstest(numbers.ravel() / DRAWS, "uniform")
    assert pooled.pvalue > 0.001


def test_the_control_has_nothing_to_do_with_bucket_order_or_another_seed(draws):
    """Chi-square over 100 seeds; a draw from the bucket or by order would fail at once."""
    bucket, numbers = draws
    held = numbers < round(0.2 * DRAWS)
    attributes = {
        "bucket": bucket // 32,
        "order": np.arange(len(bucket)) // 500,
        "last digit": np.arange(len(bucket)) % 10,
        "another seed": held[:, 0].astype(int),
    }
    for name, values in attributes.items():
        total, degrees = 0.0, 0
        for seed in range(1 if name == "another seed" else 0, held.shape[1]):
            table = np.stack([np.bincount(values, held[:, seed] == arm_) for arm_ in (False, True)], axis=1)
            expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
            total += ((table - expected) ** 2 / expected).sum()
            degrees += (table.shape[0] - 1) * (table.shape[1] - 1)
        low, high = stats.chi2.ppf([0.0005, 0.9995], degrees)
        assert low < total < high, name


def test_the_same_seed_gives_the_same_control_and_another_one_another(random_shop):
    shop, _tables = random_shop
    where = {"visit_days": ">= 2"}
    one, two, other = (rows_of(shop, where, control={"share": 0.3, "seed": seed})[1] for seed in (4, 4, 5))
    assert list(one["arm"]) == list(two["arm"])
    assert list(one["arm"]) != list(other["arm"])
    # whoever is held back is so in every audience of that seed, so no user is addressed through a second one
    both = rows_of(shop, {"visit_days": ">= 3"}, control={"share": 0.3, "seed": 4})[1].set_index("user_id")["arm"]
    assert (one.set_index("user_id")["arm"].loc[both.index] == both).all()


def test_several_audiences_with_segments(random_shop):
    shop, _tables = random_shop
    text = """
audiences:
  north: {where: {region: north}, segment: age_group}
  south: {where: {region: south}, segment: price_band, control: {share: 0.5, seed: 2}}
"""
    window = window_of(shop)
    found = find_audiences(shop, read_audience_rules(text), members_of(shop, window), window)
    assert list(found.summary["audience"].unique()) == ["north", "south"]
    rows = shop.collect(found.rows)
    assert set(rows.loc[rows["audience"] == "north", "segment"]) == {"18-24", "25-34", "35+"}
    assert set(rows.loc[rows["audience"] == "south", "segment"]) == {"low", "middle", "high", "(no orders)"}
    north, south = (found.summary[found.summary["audience"] == name] for name in ("north", "south"))
    assert south.iloc[0]["control_share"] > 0.3 > north.iloc[0]["control_share"]
    assert not rows.duplicated(["audience", "user_id"]).any()


UNKNOWN = [
    ({"visit_day": ">= 3"}, '"visit_day" is not known, did you mean "visit_days"?'),
    ({"visit_days": ">= 3", "regoin": "north"}, '"regoin" is not known, did you mean "region"?'),
    ({"quadrant": "high_lo"}, 'no quadrant "high_lo", did you mean "high_low"?'),
    ({"region": "nort"}, 'no region "nort", did you mean "north"?'),
    ({"category": "fod"}, 'no category "fod", did you mean "food"?'),
    ({"category": "food", "visit_days": ">= 999"}, "the rules select nobody"),
    ({"coupon_sensitivity": "hihg"}, 'no coupon_sensitivity "hihg", did you mean "high"?'),
    ({"did": "add_to_card", "within_days": 3}, 'no event "add_to_card", did you mean "add_to_cart"?'),
    ({"region": ">= 3"}, "region is a text: name its values"),
    ({"loyalty_points": 3}, "loyalty_points is a number: give a bound"),
    ({"first_seen_at": "2026-03-01"}, '"first_seen_at" is not known'),
    ({"user_id": "u0001"}, '"user_id" is not known'),
    ({"visit_days": ">= 999"}, "the rules select nobody"),
    ({"visit_days": ">= 1"}, "the rules select all"),
    ({}, "the rules select all"),
]


@pytest.mark.parametrize(("where", "says"), UNKNOWN)
def test_what_cannot_be_is_refused_with_its_line(random_shop, where, says):
    with pytest.raises(ParameterError) as told:
        rows_of(random_shop[0], where)
    assert says in str(told.value)
    assert "line " in str(told.value)


def test_an_unknown_segment_and_an_early_start_are_refused(random_shop):
    shop, _tables = random_shop
    with pytest.raises(ParameterError, match='segment "regoin" is not known, did you mean "region"'):
        rows_of(shop, {"region": "north"}, segment="regoin")
    with pytest.raises(ParameterError, match="lies before the end of the window"):
        rows_of(shop, {"region": "north"}, start_date="2026-04-01")
    with pytest.raises(ParameterError, match="leaves one arm empty"):
        rows_of(shop, {"region": "north"}, control={"share": 1e-6})


def test_a_shop_without_lines_users_or_money_says_what_it_lacks(tmp_path):
    tables = random_tables(7, users=60)
    orders = tables["orders"][["order_id", "user_id", "submitted_at", "paid_at"]].assign(gross_amount=np.nan)
    shop, _faults = read_shop(write_shop(tmp_path / "shop", events=tables["events"], orders=orders), None)
    for where, says in [
        ({"category": "food"}, "the shop has no category; it needs order_lines"),
        ({"channel": "ads"}, "the shop has no channel; it needs channel of users"),
        ({"coupon_sensitivity": "high"}, "the shop has no coupon_sensitivity"),
        ({"paid_amount": ">= 3"}, "the shop has not the tables or amounts for paid_amount"),
        ({"categories_bought": ">= 3"}, "the shop has not the tables or amounts for categories_bought"),
        ({"region": "north"}, '"region" is not known'),
    ]:
        with pytest.raises(ParameterError) as told:
            rows_of(shop, where)
        assert says in str(told.value)
    _found, rows = rows_of(shop, {"orders": ">= 1"})
    assert rows["paid_amount"].isna().all()


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason=NEEDS_CHDB)
    folder = write_shop(tmp_path / "shop", **random_tables(8))
    shops = [open_shop(source) for source in (folder, f"chdb://{folder}")]
    for where, _holds in RULES[1::2]:
        found = [rows_of(shop, where, control={"share": 0.5}) for shop in shops]
        pd.testing.assert_frame_equal(found[0][1], found[1][1], check_dtype=False)
        pd.testing.assert_frame_equal(found[0][0].summary, found[1][0].summary, atol=1e-9, rtol=0)


def test_numbers_of_csv_files(tmp_path):
    """A column without a type may be asked for as a number, and as a text."""
    tables = random_tables(8)
    shops = [open_shop(write_shop(tmp_path / f"shop{csv:d}", csv=csv, **tables)) for csv in (False, True)]
    points = [rows_of(shop, {"loyalty_points": "<= 50"}, control={"share": 0.5})[1] for shop in shops]
    assert list(points[0]["user_id"]) == list(points[1]["user_id"])
    few = rows_of(shops[1], {"loyalty_points": ["7", "8", "9", "10"]}, control={"share": 0.5})[1]
    some = rows_of(shops[1], {"loyalty_points": {"between": [7, 10]}}, control={"share": 0.5})[1]
    assert list(few["user_id"]) == list(some["user_id"])
    with pytest.raises(ParameterError, match="region is a text"):
        rows_of(shops[1], {"region": ">= 3"})


def test_by_the_quadrants_of_the_shop(tmp_path):
    """The whole way from a rules file: members are those of the quadrants, days are the shop's."""
    shop = open_shop(write_shop(tmp_path / "shop", **random_tables(9)))
    text = """
timezone: Asia/Shanghai
end_date: 2026-04-20
window_days: 21
period_days: 7
audiences: {few: {where: {quadrant: [low_low, low_high], visit_days: '>= 2'}, segment: quadrant}}
"""
    found = make_audiences(shop, read_audience_rules(text))
    # 20 April, 00:00 in Shanghai
    assert found.window.end_ms == pd.Timestamp("2026-04-20", tz="Asia/Shanghai").value // 10**6
    assert found.window.end_ms - found.window.start_ms == 21 * DAY_MS
    rows = shop.collect(found.rows)
    assert 0 < len(rows) < found.population_count
    assert set(rows["segment"]) <= {"low_low", "low_high"}
    assert set(rows["arm"]) == {"audience", CONTROL}


def test_an_arm_needs_no_engine_of_its_own():
    """Any function that gives the first byte of the MD5 will do: the draw is arithmetic on it."""
    con = ibis.duckdb.connect()
    table = ibis.memtable(pd.DataFrame({"user_id": ["a", "b"]}))
    always = arm(table.user_id, 0.5, 1, lambda _text: ibis.literal(0))
    never = arm(table.user_id, 0.5, 1, lambda _text: ibis.literal(255))
    assert con.to_pandas(table.select(one=always, other=never)).to_numpy().tolist() == [[CONTROL, "audience"]] * 2
