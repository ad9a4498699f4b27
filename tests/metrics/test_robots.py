"""Credit and moves without a row per pair: the same as the join's and as the loop's, and cheap where the join explodes."""

import numpy as np
import pandas as pd
import pytest
from random_shops import (
    FACTORS,
    MODELS,
    MOVE_KEYS,
    covering_cases,
    credit_by_loop,
    draw_rows,
    journeys_by_loop,
    moves_by_loop,
    open_case,
    same_cells,
    write_rows,
)
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics.credit import rule_credit
from workbench.metrics.journeys import JourneyRules, Sales, conversions, pairs, touches
from workbench.metrics.robots import robot_credit, robot_moves
from workbench.metrics.transitions import converting_moves

KEYS = ["credited_id", "user_bucket"]
WEIGHTS = {"half_life_hours": 5, "position_weights": (0.3, 0.5, 0.2)}
CASES = covering_cases({name: values for name, values in FACTORS.items() if name != "key_event"}, seed=3)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two random shops, with ids as texts and as numbers."""
    found = []
    for seed in (30, 31):
        rows = draw_rows(seed, users=60)
        found.append(open_case(rows, write_rows(rows, tmp_path_factory.mktemp(f"shop{seed}") / "shop")))
    return found


@pytest.mark.parametrize("part", range(4))
def test_robots_equal_the_join_and_the_loop(cases, part):
    """Every pair of target, touch, credit_to, lookback, matching, reset and refunds."""
    lengths = set()
    for number in range(part, len(CASES), 4):
        case, asked = cases[number // 4 % 2], CASES[number]
        rules = JourneyRules(**{name: value for name, value in asked.items() if name != "target"})
        touched = touches(case.sales, rules, case.period)
        converted = conversions(case.sales, rules, asked["target"], case.period)
        journeys = journeys_by_loop(case.rows, rules, asked["target"], case.period)
        lengths |= {len(one.touches) for one in journeys}
        assert any(one.touches for one in journeys), "a case without touches shows nothing"
        expected = credit_by_loop(journeys, MODELS, *WEIGHTS.values())
        found = case.shop.collect(robot_credit(touched, converted, case.sales.orders, rules, models=MODELS, **WEIGHTS))
        same_cells(found, expected, KEYS)
        ways = [False, True] if asked["target"] == "purchase" and rules.reset_after_order else [False]
        for by_nearest in ways:
            served = pairs(touched, converted, rules, by_nearest=by_nearest)
            joined = case.shop.collect(rule_credit(served, rules, models=MODELS, **WEIGHTS))
            assert set(joined.columns) == set(found.columns)
            same_cells(found, joined, KEYS)
        moves = case.shop.collect(robot_moves(touched, converted, case.sales.orders, rules))
        assert list(moves.columns) == [*MOVE_KEYS, "journeys"]
        assert (moves["journeys"] > 0).all()
        same_cells(moves, moves_by_loop(journeys), MOVE_KEYS)
    assert {0, 1, 2, 3, 4} <= lengths, "journeys of every length that the models tell apart"


def test_moves_equal_the_joins_moves(cases):
    case, rules = cases[1], JourneyRules(reset_after_order=False)
    touched, converted = (
        touches(case.sales, rules, case.period),
        conversions(case.sales, rules, "purchase", case.period),
    )
    joined = case.shop.collect(converting_moves(pairs(touched, converted, rules), rules))
    found = case.shop.collect(robot_moves(touched, converted, case.sales.orders, rules))
    assert list(found.columns) == list(joined.columns)
    same_cells(found, joined, MOVE_KEYS)


@pytest.mark.parametrize("weights", [(0.0, 1.0, 0.0), (0.5, 0.0, 0.5)])
def test_weights_at_their_ends(cases, weights):
    """A lookback of 480 half-lives: weights of 2^-480 neither vanish nor overflow; models asked for alone."""
    case, rules = cases[0], JourneyRules(lookback_hours=96, reset_after_order=False)
    touched = touches(case.sales, rules, case.period)
    converted = conversions(case.sales, rules, "view_item", case.period)
    journeys = journeys_by_loop(case.rows, rules, "view_item", case.period)
    for models in (["time_decay", "position_based"], ["shapley"], ["last"]):
        asked = {"models": models, "half_life_hours": 0.2, "position_weights": weights}
        found = case.shop.collect(robot_credit(touched, converted, case.sales.orders, rules, **asked))
        same_cells(found, credit_by_loop(journeys, models, 0.2, weights), KEYS)


def test_robots_by_hand(tmp_path):
    """u touches a (0), b (2), a (4) and fills carts at 4 and 6 twice; lookback 4 hours, both ends included; no orders.

    Journeys: cart 4: a, b, a. The two carts of 6: b, a. Linear: a 2/3 + 1/2 + 1/2, b 1/3 + 1/2 + 1/2.
    First: a 1, b 2. Last: a 3. Position 0.3/0.5/0.2: cart 4 gives a 0.5, b 0.5; the others b 0.6, a 0.4 each.
    Shapley: halves, 1.5 each. Participation: 3 each. Decay with half-life 2: cart 4 weighs 1/4, 1/2, 1: a 5/7, b 2/7;
    the others 1/2, 1: b 1/3, a 2/3 each.
    Moves: a-b 1, b-a 3, a-end 3; so one journey starts at a (4 leave it, 3 come) and two at b (3 leave, 1 comes).
    """
    hour = lambda h: at("2026-03-01") + pd.Timedelta(hours=h)  # noqa: E731
    rows = [(hour(h), "select_promotion", slot) for h, slot in ((0, "a"), (2, "b"), (4, "a"))]
    rows += [(hour(h), "add_to_cart", None) for h in (4, 6, 6)]
    events = frame("user_id event_at event slot_id", *(("u", *row) for row in rows))
    shop = open_shop(write_shop(tmp_path, events=events))
    rules, period, sales = JourneyRules(lookback_hours=4), shop.period(None, None, "UTC"), Sales(shop.events)
    touched, converted = touches(sales, rules, period), conversions(sales, rules, "add_to_cart", period)
    asked = {"models": MODELS, "half_life_hours": 2, "position_weights": (0.3, 0.5, 0.2), "by": ["credited_id"]}
    found = shop.collect(robot_credit(touched, converted, None, rules, **asked)).set_index("credited_id")
    expected = {
        "first": (1, 2),
        "last": (3, 0),
        "linear": (5 / 3, 4 / 3),
        "position_based": (1.3, 1.7),
        "time_decay": (5 / 7 + 4 / 3, 2 / 7 + 2 / 3),
        "participation": (3, 3),
        "shapley": (1.5, 1.5),
        "matched": (1, 2),
    }
    for model, credits in expected.items():
        assert found.loc[["a", "b"], f"{model}_conversions"].tolist() == pytest.approx(credits, abs=1e-12)
    moves = shop.collect(robot_moves(touched, converted, None, rules)).fillna("")
    assert {(one.origin, one.destination): one.journeys for one in moves.itertuples()} == {
        ("a", "b"): 1,
        ("b", "a"): 3,
        ("a", ""): 3,
    }


def test_a_robot_makes_no_row_per_pair(tmp_path):
    """One user, 20,000 clicks of 7 slots, one a minute, and 2,000 carts: 12 million pairs in a lookback of 100 hours.

    Under linear a cart shares itself over the clicks of its last 6,000 minutes: numpy sums that in a line.
    """
    clicks, carts = np.arange(20_000), np.sort(np.random.default_rng(1).integers(0, 20_000, 2_000))
    minute = pd.to_timedelta(np.r_[clicks, carts], unit="min")
    events = pd.DataFrame(
        {
            "user_id": "u",
            "event_at": at("2026-03-01") + minute,
            "event": np.repeat(["select_promotion", "add_to_cart"], [len(clicks), len(carts)]),
            "slot_id": [f"s{number % 7}" for number in clicks] + [None] * len(carts),
        }
    )
    shop = open_shop(write_shop(tmp_path, events=events))
    rules, period, sales = JourneyRules(lookback_hours=100), shop.period(None, None, "UTC"), Sales(shop.events)
    touched, converted = touches(sales, rules, period), conversions(sales, rules, "add_to_cart", period)
    asked = {"models": ["linear", "first"], "by": ["credited_id"], **WEIGHTS}
    found = shop.collect(robot_credit(touched, converted, None, rules, **asked)).set_index("credited_id").sort_index()
    firsts = np.maximum(0, carts - 100 * 60)
    expected = np.zeros(len(clicks))
    for first, last in zip(firsts, carts, strict=True):
        expected[first : last + 1] += 1 / (last + 1 - first)
    by_slot = np.bincount(clicks % 7, weights=expected)
    assert found["linear_conversions"].to_numpy() == pytest.approx(by_slot, rel=1e-11)
    assert found["first_conversions"].to_numpy() == pytest.approx(np.bincount(firsts % 7, minlength=7))
