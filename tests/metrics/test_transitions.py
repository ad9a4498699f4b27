"""Moves from slot to slot: against loops that build each journey, by hand, and what goes in comes out."""

from collections import Counter

import pandas as pd
import pytest
from random_shops import (
    FACTORS,
    MOVE_KEYS,
    bucket,
    covering_cases,
    draw_rows,
    journeys_by_loop,
    leaving_by_loop,
    moves_by_loop,
    open_case,
    same_cells,
    write_rows,
)
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics.journeys import JourneyRules, Sales, conversions, pairs, touches
from workbench.metrics.transitions import converting_moves, leaving_moves

CASES = covering_cases(FACTORS, seed=4)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two random shops, with ids as texts and as numbers."""
    found = []
    for seed in (40, 41):
        rows = draw_rows(seed)
        found.append(open_case(rows, write_rows(rows, tmp_path_factory.mktemp(f"shop{seed}") / "shop")))
    return found


def both(case, rules, target, *, by_nearest=False):
    touched, converted = touches(case.sales, rules, case.period), conversions(case.sales, rules, target, case.period)
    served = pairs(touched, converted, rules, by_nearest=by_nearest)
    converting = case.shop.collect(converting_moves(served, rules))
    return converting, case.shop.collect(leaving_moves(touched, converted, rules, case.period))


@pytest.mark.parametrize("part", range(4))
def test_moves_equal_the_loop(cases, part):
    """Converting journeys and those that end in null, for every pair of what can be asked."""
    for number in range(part, len(CASES), 4):
        case, asked = cases[number // 4 % 2], CASES[number]
        rules = JourneyRules(**{name: value for name, value in asked.items() if name != "target"})
        journeys = journeys_by_loop(case.rows, rules, asked["target"], case.period)
        expected = moves_by_loop(journeys), leaving_by_loop(case.rows, rules, journeys, case.period)
        assert all(len(one) for one in expected), "a case without moves shows nothing"
        nearest = asked["target"] == "purchase" and rules.reset_after_order
        found = both(case, rules, asked["target"], by_nearest=nearest)
        for mine, other in zip(found, expected, strict=True):
            assert list(mine.columns) == [*MOVE_KEYS, "journeys"]
            same_cells(mine, other, MOVE_KEYS)


def test_what_leaves_a_slot_less_what_comes_to_it_started_there(cases):
    """By bucket: starts are those of the loop, none is negative, and as many journeys start as end."""
    for case in cases:
        rules = JourneyRules(credit_to="page")
        journeys = journeys_by_loop(case.rows, rules, "view_item", case.period)
        expected = Counter((bucket(one.user_id) // 4, one.touches[0][0]) for one in journeys if one.touches)
        for number, moves in enumerate(both(case, rules, "view_item")):
            flow, ends = Counter(), Counter()
            for one in moves.itertuples():
                flow[one.bucket, one.origin] += one.journeys
                if pd.isna(one.destination):
                    ends[one.bucket] += one.journeys
                else:
                    flow[one.bucket, one.destination] -= one.journeys
            assert len(flow) > 20
            assert min(flow.values()) >= 0
            starts = Counter()
            for (name, _), count in flow.items():
                starts[name] += count
            assert +starts == ends
            if number == 0:
                assert +flow == expected


def test_one_bucket_for_all(cases):
    case, rules = cases[0], JourneyRules()
    touched, converted = (
        touches(case.sales, rules, case.period),
        conversions(case.sales, rules, "purchase", case.period),
    )
    served = pairs(touched, converted, rules)
    for lazy, whole in (
        (converting_moves(served, rules), converting_moves(served, rules, by_bucket=False)),
        (
            leaving_moves(touched, converted, rules, case.period),
            leaving_moves(touched, converted, rules, case.period, by_bucket=False),
        ),
    ):
        found = case.shop.collect(whole)
        assert set(found["bucket"]) == {0}
        same_cells(found, case.shop.collect(lazy).assign(bucket=0), MOVE_KEYS)


def test_moves_by_hand(tmp_path):
    """u touches a (0), b (1), buys twice at 2, touches a (3), a (4) and leaves; v touches b (1) and leaves.

    The period starts at midnight; w touched b the day before and buys at 5: the touch serves, but is no move of one
    who leaves. x touched b the day before and does nothing more: x is in no journey of the period.
    The second order of u's instant has no touches: one journey a, b, with the reset; two without it.
    """
    hour = lambda h: at("2026-03-02") + pd.Timedelta(hours=h)  # noqa: E731
    touched = [
        ("u", 0, "a"),
        ("u", 1, "b"),
        ("u", 3, "a"),
        ("u", 4, "a"),
        ("v", 1, "b"),
        ("w", -3, "b"),
        ("x", -3, "b"),
    ]
    orders = [(1, "u", 2), (2, "u", 2), (3, "w", 5)]
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame(
                "user_id event_at event slot_id",
                *((user, hour(time), "select_promotion", slot) for user, time, slot in touched),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                *((number, user, hour(time), hour(time), 1.0) for number, user, time in orders),
            ),
        )
    )
    period, sales = shop.period("2026-03-02", None, "UTC"), Sales(shop.events, shop.orders)
    for reset, count in ((True, 1), (False, 2)):
        rules = JourneyRules(lookback_hours=12, reset_after_order=reset)
        seen, converted = touches(sales, rules, period), conversions(sales, rules, "purchase", period)
        converting = shop.collect(converting_moves(pairs(seen, converted, rules), rules)).fillna("end")
        leaving = shop.collect(leaving_moves(seen, converted, rules, period)).fillna("end")
        for moves, expected in (
            (converting, {("a", "b"): count, ("b", "end"): count + 1}),
            (leaving, {("a", "a"): 1, ("a", "end"): 1, ("b", "end"): 1}),
        ):
            assert moves.groupby(["origin", "destination"])["journeys"].sum().to_dict() == expected
        assert set(leaving["bucket"]) == {bucket("u") // 4, bucket("v") // 4}
