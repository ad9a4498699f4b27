"""Rule models: published values, sums, names that change nothing, Shapley over all coalitions, bad input."""

import json
import os
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest

from workbench.contract import DIRECT
from workbench.errors import ParameterError
from workbench.stats.attribution import (
    RULE_MODELS,
    Journey,
    check_position_weights,
    credit_journey,
    credit_journeys,
)

ROOT = Path(__file__).resolve().parents[2]
CLOSED = [model for model in RULE_MODELS if model != "participation"]
A_B_C, DAYS = ["A", "B", "C"], [8 * 24.0, 3 * 24.0, 24.0]  # 8, 3 and 1 days before an order of 100

# The first two of the published journeys with first, last, linear and equal split over distinct slots by hand:
# serhiipuzyrov.com/2019/07/markov-chain-attribution-simple-explanation-of-removal-effect; eeghor/mta 0.0.9,
# tests/test_probabilistic_models.py (MIT).
BY_HAND = [
    (
        [(["ads"], 2, 1), (["mail"], 1, 0), (["ads", "mail"], 1, 0)],
        {"first": (3, 1), "last": (2, 2), "linear": (2.5, 1.5), "shapley": (2.5, 1.5)},
    ),
    (
        [(["a", "b"], 3, 1), (["a", "c"], 1, 1)],
        {"first": (4, 0, 0), "last": (0, 3, 1), "linear": (2, 1.5, 0.5), "shapley": (2, 1.5, 0.5)},
    ),
]


@pytest.fixture(scope="session")
def published():
    """Published journeys with values computed by another program."""
    home = Path(os.environ.get("WORKBENCH_CASES", ROOT.parent / "shared" / "cases"))
    if not (home / "attribution_small.json").is_file():
        pytest.skip("attribution_small.json is not here: WORKBENCH_CASES names the folder that holds it")
    return json.loads((home / "attribution_small.json").read_text(encoding="utf-8"))


def random_journeys(rng, slots=6, count=30):
    """Journeys of one to eight touches with repeats, hours that may tie, counts and amounts."""
    for _ in range(count):
        length = rng.integers(1, 9)
        yield Journey(
            tuple(f"s{one}" for one in rng.integers(0, slots, length)),
            tuple(np.sort(rng.integers(0, 48, length))[::-1].astype(float).tolist()),
            float(rng.integers(0, 5)),
            float(rng.integers(0, 5)),
            float(rng.uniform(1, 100)),
        )


def renamed(journeys, new_name):
    """The same journeys with every touch named by a function of the touch."""
    return [
        Journey(tuple(map(new_name, one.touches)), one.hours_before, one.conversion_count, one.null_count, one.value)
        for one in journeys
    ]


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("first", {}, (100, 0, 0)),
        ("last", {}, (0, 0, 100)),
        ("linear", {}, (33.33, 33.33, 33.33)),
        ("position_based", {}, (40, 20, 40)),
        ("position_based", {"position_weights": (0.2, 0.2, 0.6)}, (20, 20, 60)),
        ("time_decay", {"half_life_hours": 7 * 24}, (21.5486, 35.3542, 43.0972)),
        ("time_decay", {"half_life_hours": 7.5 * 24}, (22.2366, 35.2985, 42.4649)),
        ("participation", {}, (100, 100, 100)),
        ("shapley", {}, (33.33, 33.33, 33.33)),
    ],
)
def test_worked_checks_of_the_definitions(model, options, expected):
    credit = credit_journey(A_B_C, DAYS, model, value=100, **options)
    digits = 2 if 33.33 in expected else 4
    assert [round(one, digits) for one in credit.values()] == list(expected)


@pytest.mark.parametrize(
    ("weights", "touches", "expected"),
    [
        ((0.4, 0.2, 0.4), ["A"], {"A": 1}),
        ((0.0, 1.0, 0.0), ["A"], {"A": 1}),
        ((0.4, 0.2, 0.4), ["A", "B"], {"A": 0.5, "B": 0.5}),
        ((0.2, 0.2, 0.6), ["A", "B"], {"A": 0.25, "B": 0.75}),  # f/(f+l), not the middle split over both
        ((0.0, 1.0, 0.0), ["A", "B"], {"A": 0.5, "B": 0.5}),
        ((0.0, 1.0, 0.0), ["A", "B", "C"], {"A": 0, "B": 1, "C": 0}),
        ((0.4, 0.2, 0.4), ["A", "B", "C", "D"], {"A": 0.4, "B": 0.1, "C": 0.1, "D": 0.4}),
        ((0.4, 0.2, 0.4), ["A", "B", "A", "B"], {"A": 0.5, "B": 0.5}),
        ([1, 0, 0], ["A", "B"], {"A": 1, "B": 0}),
    ],
)
def test_position_based_at_every_length(weights, touches, expected):
    assert credit_journey(touches, None, "position_based", position_weights=weights) == pytest.approx(expected)


def test_repeats_are_touches_except_where_slots_are_distinct():
    journey = ["A", "B", "A"]
    assert credit_journey(journey, None, "linear", value=3) == {"A": 2.0, "B": 1.0}
    assert credit_journey(journey, None, "shapley", value=3) == {"A": 1.5, "B": 1.5}
    assert credit_journey(journey, None, "participation", value=3) == {"A": 3.0, "B": 3.0}
    assert credit_journey(journey, None, "last", value=3) == {"A": 3.0, "B": 0.0}


def test_equal_hours_are_told_apart_by_their_order():
    assert credit_journey(["B", "A"], [5, 5], "first") == {"B": 1.0, "A": 0.0}
    assert credit_journey(["B", "A"], [5, 5], "time_decay") == {"B": 0.5, "A": 0.5}


def test_time_decay_long_before_the_conversion_does_not_underflow():
    # 2^-(100 000/0.1) is 0 in floating point for both; relative to the last touch they are 1/2 and 1.
    credit = credit_journey(["A", "B"], [100_000.1, 100_000.0], "time_decay", half_life_hours=0.1, value=3)
    assert credit == pytest.approx({"A": 1, "B": 2})


@pytest.mark.parametrize("model", RULE_MODELS)
def test_without_touches_the_conversion_is_direct(model):
    assert credit_journey([], None, model, value=7) == {DIRECT: 7.0}
    assert credit_journeys([Journey([], conversion_count=2, value=7)], model) == {DIRECT: 14.0}
    assert credit_journeys([Journey([], conversion_count=0, null_count=3)], model) == {}


def test_slots_that_never_convert_are_there_with_zero():
    assert credit_journeys([Journey(["A"]), Journey(["B"], None, 0, 9)], "linear") == {"A": 1.0, "B": 0.0}


@pytest.mark.parametrize(("paths", "expected"), BY_HAND, ids=["ads_mail", "a_b_c"])
def test_published_journeys_by_hand(paths, expected):
    journeys = [Journey(touches, None, converted, lost) for touches, converted, lost in paths]
    for model, credit in expected.items():
        assert tuple(credit_journeys(journeys, model).values()) == pytest.approx(credit)


def test_all_published_values(published):
    assert len(published) >= 5
    for case in published:
        journeys = [Journey(one["path"].split(" > "), None, one["conv"], one["null"]) for one in case["paths"]]
        for theirs, mine in (("first",) * 2, ("last",) * 2, ("linear",) * 2, ("shapley_sets", "shapley")):
            found = credit_journeys(journeys, mine)
            assert found == pytest.approx(case["computed_here"][theirs], abs=1e-12), (case["id"], mine)
        shapley = case["expected"].get("shapley")
        assert shapley is None or credit_journeys(journeys, "shapley") == pytest.approx(shapley)


@pytest.mark.parametrize("seed", range(10))
def test_shapley_equals_all_coalitions(seed):
    """phi_k = sum over S without k of |S|!(n-|S|-1)!/n! x (v(S with k) - v(S)), v(S) = value inside S."""
    rng = np.random.default_rng(seed)
    journeys = list(random_journeys(rng, slots=int(rng.integers(1, 7))))
    slots = sorted({touch for one in journeys for touch in one.touches})

    def worth(coalition):
        return sum(one.conversion_count * one.value for one in journeys if set(one.touches) <= set(coalition))

    n = len(slots)
    expected = {
        slot: sum(
            factorial(size) * factorial(n - size - 1) / factorial(n) * (worth([*chosen, slot]) - worth(chosen))
            for size in range(n)
            for chosen in combinations([one for one in slots if one != slot], size)
        )
        for slot in slots
    }
    assert credit_journeys(journeys, "shapley") == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("model", CLOSED)
@pytest.mark.parametrize("seed", range(5))
def test_credits_sum_to_totals(model, seed):
    journeys = [*random_journeys(np.random.default_rng(seed)), Journey([], [], 3, 1, 12.5)]
    total = sum(one.conversion_count * one.value for one in journeys)
    credit = credit_journeys(journeys, model, position_weights=(0.3, 0.1, 0.6), half_life_hours=5)
    assert sum(credit.values()) == pytest.approx(total, rel=1e-12)
    assert min(credit.values()) >= 0


def test_participation_gives_each_slot_all_conversions_it_was_in():
    journeys = list(random_journeys(np.random.default_rng(3)))
    credit = credit_journeys(journeys, "participation")
    for slot, found in credit.items():
        assert found == pytest.approx(sum(one.conversion_count * one.value for one in journeys if slot in one.touches))
    assert sum(credit.values()) > sum(one.conversion_count * one.value for one in journeys)


@pytest.mark.parametrize("model", RULE_MODELS)
def test_renaming_slots_changes_nothing(model):
    journeys = list(random_journeys(np.random.default_rng(4)))
    other = {f"s{one}": f"z{(one * 5 + 2) % 6}" for one in range(6)}
    expected = {other[slot]: credit for slot, credit in credit_journeys(journeys, model).items()}
    assert credit_journeys(renamed(journeys, other.get), model) == expected


@pytest.mark.parametrize("seed", range(5))
def test_splitting_a_slot_never_changes_the_others_under_linear(seed):
    rng = np.random.default_rng(seed)
    journeys = list(random_journeys(rng, count=100))
    split = renamed(journeys, lambda touch: touch if touch != "s0" else str(rng.choice(["s0_left", "s0_right"])))
    before, after = credit_journeys(journeys, "linear"), credit_journeys(split, "linear")
    assert after.pop("s0_left") + after.pop("s0_right") == pytest.approx(before.pop("s0"))
    assert after == before
    # The test can tell: under the equal split over distinct slots the others do lose.
    assert any(
        credit_journeys(split, "shapley")[slot] < credit_journeys(journeys, "shapley")[slot] - 1e-9 for slot in before
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.4, 0.4), r"has 2 values \(0.4, 0.4\); it has three"),
        ((40, 20, 40), "40, 20, 40 sum to 100; .* sum to 1, such as 0.4, 0.2, 0.4"),
        ((0.6, -0.2, 0.6), "-0.2 is not a number of 0 or above"),
        ((0.4, float("nan"), 0.4), "nan is not a number of 0 or above"),
        ((True, 0, 0), "True is not a number"),
        (("0.4", "0.2", "0.4"), "'0.4' is not a number"),
        ("0.4,0.2,0.4", "it is a list of three numbers"),
        (0.4, "it is a list of three numbers"),
    ],
)
def test_position_weights_are_checked(weights, message):
    with pytest.raises(ParameterError, match=message):
        check_position_weights(weights)
    with pytest.raises(ParameterError, match="position_weights"):
        credit_journey(["A"], None, "position_based", position_weights=weights)


@pytest.mark.parametrize("weights", [(0.4, 0.2, 0.4), [0.1, 0.2, 0.7], (1, 0, 0), (1 / 3, 1 / 3, 1 / 3)])
def test_usable_position_weights_pass(weights):
    check_position_weights(weights)
    assert sum(
        credit_journey(["a", "b", "c"], None, "position_based", position_weights=weights).values()
    ) == pytest.approx(1)


@pytest.mark.parametrize(
    ("touches", "hours", "model", "options", "message"),
    [
        (["A"], None, "linaer", {}, 'did you mean "linear"'),
        (["A"], None, "time_decay", {}, "hours_before is missing; time_decay needs one number for each of the 1"),
        (["A", "B"], [1], "time_decay", {}, "hours_before is 1 numbers"),
        (["A"], [-1], "time_decay", {}, "0 or more hours before"),
        (["A"], [float("nan")], "time_decay", {}, "0 or more hours before"),
        (["A", "B"], [1, 2], "time_decay", {}, "earliest first"),
        (["A"], [1], "time_decay", {"half_life_hours": 0}, "half_life_hours is 0; it must be above 0 hours"),
        ("A>B", None, "linear", {}, "it is a list of names"),
        (["A", None], None, "linear", {}, "without nulls"),
    ],
)
def test_bad_input_is_refused_with_the_reason(touches, hours, model, options, message):
    with pytest.raises(ParameterError, match=message):
        credit_journey(touches, hours, model, **options)


@pytest.mark.parametrize("counts", [(-1, 0), (float("nan"), 0), (1, -2)])
def test_counts_below_zero_are_refused(counts):
    with pytest.raises(ParameterError, match="it is 0 or more"):
        credit_journeys([Journey(["A"], None, *counts)], "linear")
