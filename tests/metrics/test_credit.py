"""Credit of the rule models: against loops over random shops, by hand, and what must hold whatever the data."""

import itertools
import math
from collections import defaultdict
from dataclasses import replace

import ibis
import pandas as pd
import pytest
from random_shops import (
    FACTORS,
    MODELS,
    bucket,
    covering_cases,
    credit_by_loop,
    draw_rows,
    journeys_by_loop,
    open_case,
    same_cells,
    write_rows,
)
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics.credit import rule_credit
from workbench.metrics.journeys import JourneyRules, Sales, conversions, pairs, totals, touches, with_touch
from workbench.metrics.robots import robot_credit, robot_moves
from workbench.metrics.transitions import converting_moves, leaving_moves

KEYS = ["credited_id", "user_bucket"]
WEIGHTS = {"half_life_hours": 5, "position_weights": (0.3, 0.5, 0.2)}
CASES = covering_cases(FACTORS, seed=2, strength=3)


def opened(folder, seed, **options):
    rows = draw_rows(seed, **options)
    return open_case(rows, write_rows(rows, folder / "shop"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two random shops, with ids as texts and as numbers."""
    return [opened(tmp_path_factory.mktemp(f"shop{seed}"), seed) for seed in (20, 21)]


def credit(case, rules, target, *, models=MODELS, by_nearest=False, **weights):
    touched, converted = touches(case.sales, rules, case.period), conversions(case.sales, rules, target, case.period)
    served = pairs(touched, converted, rules, by_nearest=by_nearest)
    return case.shop.collect(rule_credit(served, rules, models=models, **(WEIGHTS | weights)))


def rules_of(asked):
    return JourneyRules(**{name: value for name, value in asked.items() if name != "target"})


@pytest.mark.parametrize("part", range(6))
def test_credit_equals_the_loop(cases, part):
    """Every combination of three of target, touch, credit_to, lookback, key event, matching, reset and refunds."""
    for number in range(part, len(CASES), 6):
        case, asked = cases[number // 6 % 2], CASES[number]
        journeys = journeys_by_loop(case.rows, rules_of(asked), asked["target"], case.period)
        assert any(one.touches for one in journeys), "a case without touches shows nothing"
        expected = credit_by_loop(journeys, MODELS, *WEIGHTS.values())
        same_cells(credit(case, rules_of(asked), asked["target"]), expected, KEYS)


@pytest.mark.parametrize("weights", [(0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.25, 0.75)])
def test_weights_at_their_ends(cases, weights):
    """Middle only: two touches share in halves; a half-life of a fifth of an hour forgets all but the last."""
    case, rules = cases[0], JourneyRules(lookback_hours=96)
    journeys = journeys_by_loop(case.rows, rules, "begin_checkout", case.period)
    assert {1, 2, 3} <= {len(one.touches) for one in journeys}
    models = ("position_based", "time_decay")
    found = credit(case, rules, "begin_checkout", models=models, half_life_hours=0.2, position_weights=weights)
    same_cells(found, credit_by_loop(journeys, models, 0.2, weights), KEYS)


def test_credit_by_hand(tmp_path):
    """u pays 90 at hour 24 after a (0), b (12), a (24); v pays 10 after c; w pays 5 without a touch; half-life 12.

    linear: a 60, b 30, c 10. first and last: a 90, c 10. position 40/20/40: a 72, b 18. Decay weighs 1/4, 1/2, 1:
    a 90 x 5/7, b 90 x 2/7. Participation: a 90, b 90. Shapley: a 45, b 45. Alone: v's conversion.
    """
    hour = lambda h: at("2026-03-01") + pd.Timedelta(hours=h)  # noqa: E731
    click = "select_promotion"
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame(
                "user_id event_at event slot_id",
                ("u", hour(0), click, "a"),
                ("u", hour(12), click, "b"),
                ("u", hour(24), click, "a"),
                ("v", hour(23), click, "c"),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                (1, "u", hour(24), hour(24), 90.0),
                (2, "v", hour(24), hour(24), 10.0),
                (3, "w", hour(24), hour(24), 5.0),
            ),
        )
    )
    rules, period, sales = JourneyRules(), shop.period(None, None, "UTC"), Sales(shop.events, shop.orders)
    served = pairs(touches(sales, rules, period), conversions(sales, rules, "purchase", period), rules)
    asked = {"models": MODELS, "half_life_hours": 12, "position_weights": (0.4, 0.2, 0.4), "by": ["credited_id"]}
    found = shop.collect(rule_credit(served, rules, **asked)).set_index("credited_id").sort_index()
    expected = {
        "first": (90, 0, 10),
        "last": (90, 0, 10),
        "linear": (60, 30, 10),
        "position_based": (72, 18, 10),
        "time_decay": (90 * 5 / 7, 90 * 2 / 7, 10),
        "participation": (90, 90, 10),
        "shapley": (45, 45, 10),
        "matched": (90, 0, 10),
    }
    for model, amounts in expected.items():
        assert found[f"{model}_amount"].tolist() == pytest.approx(amounts, abs=1e-9)
    assert found["linear_conversions"].tolist() == pytest.approx([2 / 3, 1 / 3, 1])
    assert found["alone_conversions"].tolist() == [0, 0, 1]


@pytest.mark.parametrize("target", ["purchase", "begin_checkout", "view_item"])
@pytest.mark.parametrize("match_on", [None, "product_id"])
def test_credit_and_direct_equal_all_orders_to_the_cent(cases, target, match_on):
    """By bucket of users: what the models share and what has no touch sum to all conversions and all money."""
    for case in cases:
        rules = JourneyRules(match_on=match_on, lookback_hours=12)
        everything = case.shop.collect(totals(case.sales, rules, target, case.period, "conversions"))
        everything = everything.set_index("user_bucket")[["conversions", "amount"]].fillna(0.0)
        orders = [one for one in case.rows.orders if (one.paid_ms if target == "purchase" else True)]
        if target != "view_item":
            start, end = case.period.start_ms, case.period.end_ms
            instant = "paid_ms" if target == "purchase" else "submitted_ms"
            orders = [one for one in orders if start <= getattr(one, instant) < end]
            paid = [(one.gross or 0) - (one.coupon if target == "purchase" else 0) for one in orders]
            assert everything.sum().tolist() == pytest.approx([len(orders), sum(paid)], abs=1e-6)
        found = credit(case, rules, target).groupby("user_bucket").sum(numeric_only=True)
        direct = defaultdict(lambda: [0.0, 0.0])
        for one in journeys_by_loop(case.rows, rules, target, case.period):
            if not one.touches:
                direct[bucket(one.user_id)][0] += one.count
                direct[bucket(one.user_id)][1] += one.amount
        for model in (*MODELS, "matched"):
            if model == "participation":
                continue
            for place, measure in enumerate(("conversions", "amount")):
                shared = found[f"{model}_{measure}"].reindex(everything.index).astype(float).fillna(0.0)
                for name, total in everything[measure].items():
                    key = None if isinstance(name, float) and math.isnan(name) else name
                    assert shared[name] + direct[key][place] == pytest.approx(total, abs=1e-6)
        assert found["participation_conversions"].sum() > found["linear_conversions"].sum()


def renamed(rows, names):
    return replace(
        rows,
        events=tuple(one._replace(slot_id=names.get(one.slot_id)) for one in rows.events),
        slots=tuple(one._replace(slot_id=names[one.slot_id]) for one in rows.slots),
    )


def test_names_of_slots_and_order_of_rows_change_nothing(tmp_path):
    """No two rows share an instant, so that names decide no tie; slots trade places in the alphabet."""
    rows = draw_rows(22, distinct_times=True)
    names = dict(zip(["s0", "s1", "s2", "s3", "s4"], ["z", "k", "s3", "a", "s0"], strict=True))
    rules = JourneyRules(lookback_hours=48)
    before = credit(open_case(rows, write_rows(rows, tmp_path / "one")), rules, "purchase")
    assert len(before) > 20
    other = renamed(rows, names)
    after = credit(open_case(other, write_rows(other, tmp_path / "two", seed=5)), rules, "purchase")
    before["credited_id"] = before["credited_id"].map(names)
    same_cells(after, before, KEYS)


def test_order_of_rows_changes_nothing_among_ties(tmp_path, cases):
    rows, rules = cases[0].rows, JourneyRules(credit_to="page")
    backwards = replace(rows, events=rows.events[::-1], orders=rows.orders[::-1], lines=rows.lines[::-1])
    case = open_case(backwards, write_rows(backwards, tmp_path / "shop", seed=9))
    same_cells(credit(case, rules, "view_item"), credit(cases[0], rules, "view_item"), KEYS)


def test_splitting_a_slot_never_changes_the_others_under_linear(tmp_path, cases):
    """Every other touch of s1 becomes one of s1b: the two together have what s1 had, all others what they had."""
    case, turns = cases[0], itertools.count()
    events = [
        one._replace(slot_id="s1b") if one.slot_id == "s1" and next(turns) % 2 else one for one in case.rows.events
    ]
    split = replace(case.rows, events=tuple(events))
    other = open_case(split, write_rows(split, tmp_path / "shop"))
    for target in ("purchase", "view_item"):
        before = credit(case, JourneyRules(), target, models=["linear", "shapley"])
        after = credit(other, JourneyRules(), target, models=["linear", "shapley"])
        assert "s1b" in set(after["credited_id"])
        after["credited_id"] = after["credited_id"].replace("s1b", "s1")
        columns = [*KEYS, "linear_conversions", "linear_amount"]
        same_cells(after[columns], before[columns], KEYS)
        # under shapley the two halves count as two slots: the others lose
        rest = [one.loc[one["credited_id"] != "s1", "shapley_conversions"].sum() for one in (before, after)]
        assert rest[1] < rest[0] - 0.1


def test_shapley_is_the_value_of_the_game(cases):
    """All 32 coalitions: v(S) is the conversions of journeys whose slots all lie in S. Equal shares, no more."""
    case, rules = cases[0], JourneyRules()
    journeys = [
        (frozenset(slot for slot, _ in one.touches), one.amount)
        for one in journeys_by_loop(case.rows, rules, "purchase", case.period)
        if one.touches
    ]
    players = sorted(frozenset().union(*(slots for slots, _ in journeys)))
    assert len(players) == 5

    def value(coalition):
        return sum(amount for slots, amount in journeys if slots <= coalition)

    found = credit(case, rules, "purchase", models=["shapley"]).groupby("credited_id")["shapley_amount"].sum()
    for player in players:
        others = [one for one in players if one != player]
        expected = 0.0
        for size in range(len(players)):
            weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(players))
            for coalition in map(frozenset, itertools.combinations(others, size)):
                expected += weight * (value(coalition | {player}) - value(coalition))
        assert found[player] == pytest.approx(expected, abs=1e-9)


def test_only_what_is_asked_for_is_there(cases):
    found = credit(cases[0], JourneyRules(), "purchase", models=["linear"])
    numbers = ["linear_conversions", "linear_amount", "matched_conversions", "matched_amount", "alone_conversions"]
    assert list(found.columns) == [*KEYS, *numbers]


def test_nothing_to_share(tmp_path):
    """Clicks only: no row."""
    clicks = [("u", at("2026-03-02"), "select_promotion", slot) for slot in "ab"]
    shop = open_shop(write_shop(tmp_path, events=frame("user_id event_at event slot_id", *clicks)))
    sales, rules, period = Sales(shop.events), JourneyRules(), shop.period(None, None, "UTC")
    touched, converted = touches(sales, rules, period), conversions(sales, rules, "view_item", period)
    assert shop.collect(rule_credit(pairs(touched, converted, rules), rules, models=MODELS, **WEIGHTS)).empty


ON_BOTH = {
    False: [
        ("purchase", JourneyRules()),
        ("begin_checkout", JourneyRules(match_on="product_id", reset_after_order=False, credit_to="content_id")),
        ("view_item", JourneyRules(key_event="view_item", lookback_hours=30)),
        ("begin_checkout", JourneyRules(net_of_refunds=True)),
    ],
    True: [
        ("purchase", JourneyRules(key_event="view_item", match_on="product_id", credit_to="page", net_of_refunds=True)),
        ("add_to_cart", JourneyRules(lookback_hours=9, credit_to="floor", touch="view_promotion")),
    ],
}


@pytest.mark.engine
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.slow
def test_same_on_clickhouse(tmp_path, declared):
    """Every way to every number; ``declared``: columns without nulls say so, and no order is unpaid."""
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    rows = draw_rows(24 + declared, users=25)
    if declared:
        rows = replace(rows, orders=tuple(one._replace(paid_ms=one.submitted_ms) for one in rows.orders))
    folder = write_rows(rows, tmp_path / "shop", declared=declared)
    duckdb, clickhouse = open_case(rows, folder), open_case(rows, f"chdb://{folder}")
    for target, rules in ON_BOTH[declared]:
        found = [answers(case, target, rules) for case in (duckdb, clickhouse)]
        for name, (lazy, keys) in found[0].items():
            expected, other = duckdb.shop.collect(lazy), clickhouse.shop.collect(found[1][name][0])
            assert len(expected), f"{target} {name}: nothing to compare"
            assert len(other) == len(expected), f"{target} {name}"
            same_cells(other, expected, keys)


def answers(case, target, rules):
    """Lazy tables with their keys."""
    touched, converted = touches(case.sales, rules, case.period), conversions(case.sales, rules, target, case.period)
    asked = {"models": MODELS, **WEIGHTS}
    moves = ["bucket", "origin", "destination"]
    known = with_touch(touched, converted, rules).group_by("user_bucket")
    found = {
        "join": (rule_credit(pairs(touched, converted, rules), rules, **asked), KEYS),
        "moves": (converting_moves(pairs(touched, converted, rules), rules), moves),
        "leaving": (leaving_moves(touched, converted, rules, case.period), moves),
        "with_touch": (known.aggregate(count=ibis._.journey_count.sum(), amount=ibis._.amount.sum()), ["user_bucket"]),
        "totals": (totals(case.sales, rules, target, case.period, "conversions"), ["user_bucket"]),
    }
    if target == "purchase" and rules.reset_after_order:
        nearest = pairs(touched, converted, rules, by_nearest=True)
        found["nearest"] = (rule_credit(nearest, rules, **asked), KEYS)
    if rules.key_event is None:
        found["robots"] = (robot_credit(touched, converted, case.sales.orders, rules, **asked), KEYS)
        found["robots' moves"] = (robot_moves(touched, converted, case.sales.orders, rules), moves)
    return found
