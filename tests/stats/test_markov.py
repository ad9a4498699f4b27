"""Markov removal effects: published values, removal by solving again, what changes nothing, coverage, bad input."""

import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from workbench.errors import EstimationError, ParameterError
from workbench.stats.markov import (
    OTHER,
    STATE_LIMIT,
    BucketMoves,
    group_tail,
    jackknife_shares,
    removal_effects,
    transitions_of_paths,
)

ROOT = Path(__file__).resolve().parents[2]
EXACT = 1e-9
REPLICATES = 2_000
LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)

# Published journeys (path, conversions, nulls) with P and effects by slot.
BY_HAND = {
    # serhiipuzyrov.com/2019/07/markov-chain-attribution-simple-explanation-of-removal-effect: start>ads 0.8,
    # start>mail 0.2, ads>conversion 0.5, ads>mail 0.25, ads>null 0.25, mail>conversion 1. P = 0.8 x 0.75 + 0.2 = 0.8;
    # without ads 0.2, without mail 0.4.
    "ads_mail": (
        [(["ads"], 2, 1), (["mail"], 1, 0), (["ads", "mail"], 1, 0)],
        0.8,
        {"ads": 0.75, "mail": 0.5},
        {"ads": 2.4, "mail": 1.6},
    ),
    # eeghor/mta 0.0.9, tests/test_probabilistic_models.py (MIT): a>b 2/3, a>c 1/3, b>conversion 3/4, c>conversion 1/2.
    # P = 1/2 + 1/6; without a 0, without b 1/6, without c 1/2.
    "a_b_c": (
        [(["a", "b"], 3, 1), (["a", "c"], 1, 1)],
        2 / 3,
        {"a": 1, "b": 0.75, "c": 0.25},
        {"a": 2, "b": 1.5, "c": 0.5},
    ),
    # 10 A-B convert, 20 A do not, 5 B convert, 15 B do not, 10 A-B do not: P = 15/60 where A>B is 1/2 and
    # B>conversion 3/8: (2/3 x 1/2 + 1/3) x 3/8 = 1/4. Without A 1/8, without B 0.
    "two_slots": (
        [(["A", "B"], 10, 10), (["A"], 0, 20), (["B"], 5, 15)],
        0.25,
        {"A": 0.5, "B": 1.0},
        {"A": 5, "B": 10},
    ),
}


@pytest.fixture(scope="session")
def published():
    """Published journeys with values computed by another program."""
    home = Path(os.environ.get("WORKBENCH_CASES", ROOT.parent / "shared" / "cases"))
    if not (home / "attribution_small.json").is_file():
        pytest.skip("attribution_small.json is not here: WORKBENCH_CASES names the folder that holds it")
    return json.loads((home / "attribution_small.json").read_text(encoding="utf-8"))


def solved(paths, conversions, nulls):
    """The counts of paths and their Markov result."""
    counts = transitions_of_paths(paths, conversions, nulls)
    return counts, removal_effects(counts.starts, counts.moves, counts.conversions, counts.nulls)


def check_case(paths, conversions, nulls, probability, effects, credit):
    counts, found = solved(paths, conversions, nulls)
    assert found.conversion_probability == pytest.approx(probability, abs=1e-12)
    assert dict(zip(counts.states, found.removal_effects)) == pytest.approx(effects, abs=1e-12)
    assert dict(zip(counts.states, found.shares * sum(conversions))) == pytest.approx(credit, abs=1e-9)
    assert found.shares.sum() == pytest.approx(1, abs=1e-12)
    assert found.null_count == sum(nulls)


@pytest.mark.parametrize("name", BY_HAND)
def test_published_chains_by_hand(name):
    journeys, probability, effects, credit = BY_HAND[name]
    check_case(*map(list, zip(*journeys)), probability, effects, credit)


def test_all_published_values(published):
    assert len(published) >= 5
    for case in published:
        here = case["computed_here"]
        check_case(
            [one["path"].split(" > ") for one in case["paths"]],
            [one["conv"] for one in case["paths"]],
            [one["null"] for one in case["paths"]],
            here["p_conversion"],
            here["removal_effect"],
            here["markov_conversions"],
        )


def random_paths(rng, slots, count=60):
    """Paths with repeats and self loops, counts of both ends."""
    paths = [[f"s{one:02d}" for one in rng.integers(0, slots, rng.integers(1, 9))] for _ in range(count)]
    return paths, rng.integers(0, 5, count), rng.integers(0, 9, count)


def probability_by_solving(starts, moves, conversions, nulls, without=None):
    """Chance to convert from the start by a linear system with the ends as states; a step into ``without`` is null."""
    size = len(starts)
    leaving = moves.sum(axis=1) + conversions + nulls
    seen = leaving > 0
    system, right = np.eye(size), np.zeros(size)
    for state in np.flatnonzero(seen):
        if state == without:
            continue  # entered, it is null: its chance to convert stays 0
        system[state] -= moves[state] / leaving[state]
        right[state] = conversions[state] / leaving[state]
    return starts @ np.linalg.solve(system, right) / starts.sum()


@pytest.mark.parametrize("seed", range(15))
def test_effects_equal_removal_by_solving_again(seed):
    rng = np.random.default_rng(seed)
    counts, found = solved(*random_paths(rng, slots=2 * seed + 2))
    arrays = (counts.starts, counts.moves, counts.conversions, counts.nulls)
    whole = probability_by_solving(*arrays)
    expected = [1 - probability_by_solving(*arrays, without=one) / whole for one in range(len(counts.states))]
    assert found.conversion_probability == pytest.approx(whole, abs=EXACT)
    assert_allclose(found.removal_effects, expected, atol=EXACT, rtol=0)
    assert_allclose(found.shares, expected / np.sum(expected), atol=EXACT, rtol=0)


def test_effects_equal_removal_in_long_chains():
    # 30 states that are left 1 time in 500: visits are many and the system is nearly singular.
    rng = np.random.default_rng(2)
    moves = rng.integers(0, 100, (30, 30)).astype(float)
    starts, conversions, nulls = (rng.integers(1, high, 30).astype(float) for high in (50, 4, 4))
    found = removal_effects(starts, moves, conversions, nulls)
    whole = probability_by_solving(starts, moves, conversions, nulls)
    expected = [1 - probability_by_solving(starts, moves, conversions, nulls, without=one) / whole for one in range(30)]
    assert_allclose(found.removal_effects, expected, atol=EXACT, rtol=0)


def test_effects_equal_walks_that_are_counted():
    """Third way, without algebra: follow 200,000 walks and count those that pass a slot and convert."""
    rng = np.random.default_rng(5)
    counts, found = solved(*random_paths(rng, slots=4))
    steps = np.column_stack([counts.moves, counts.conversions, counts.nulls])
    cumulative = np.cumsum(steps, axis=1) / steps.sum(axis=1, keepdims=True)
    state = rng.choice(4, 200_000, p=counts.starts / counts.starts.sum())
    passed = np.zeros((200_000, 4), dtype=bool)
    while (walking := np.flatnonzero(state < 4)).size:
        passed[walking, state[walking]] = True
        state[walking] = (rng.random(walking.size)[:, None] > cumulative[state[walking]]).sum(axis=1)
    converted = state == 4
    assert found.conversion_probability == pytest.approx(converted.mean(), abs=0.005)
    assert_allclose(found.removal_effects, passed[converted].mean(axis=0), atol=0.007)


def test_self_loops_change_nothing():
    counts, found = solved(*random_paths(np.random.default_rng(1), slots=6))
    looping = counts.moves + np.diag([1e6, 0, 3, 70, 0, 12])
    again = removal_effects(counts.starts, looping, counts.conversions, counts.nulls)
    assert_array_equal(again.removal_effects, found.removal_effects)
    paths = [["a", "b"], ["b"]]
    repeated = [["a", "a", "a", "b", "b"], ["b", "b"]]
    assert_array_equal(solved(paths, [2, 1], [1, 3])[1].shares, solved(repeated, [2, 1], [1, 3])[1].shares)


def test_order_of_states_changes_nothing():
    rng = np.random.default_rng(6)
    counts, found = solved(*random_paths(rng, slots=12))
    shuffled = rng.permutation(12)
    again = removal_effects(
        counts.starts[shuffled],
        counts.moves[np.ix_(shuffled, shuffled)],
        counts.conversions[shuffled],
        counts.nulls[shuffled],
    )
    assert_allclose(again.removal_effects, found.removal_effects[shuffled], atol=1e-12)
    assert again.conversion_probability == pytest.approx(found.conversion_probability, abs=1e-12)


def test_states_never_visited_have_no_effect():
    found = removal_effects([3, 0, 1], [[0, 0, 2], [0, 0, 0], [0, 0, 0]], [1, 0, 1], [0, 0, 2])
    without = removal_effects([3, 1], [[0, 2], [0, 0]], [1, 1], [0, 2])
    assert found.removal_effects[1] == found.shares[1] == 0
    assert_allclose(found.removal_effects[[0, 2]], without.removal_effects, atol=1e-15)


def test_slots_that_never_lead_to_a_conversion_have_exactly_none():
    # Slots 2 and 3 are passed in turns and end in null. The inverse alone leaves -6e-17 and -8e-17 here, and the
    # logarithm of a share would make something of it.
    moves = [[0, 0, 0, 2, 3], [0, 0, 0, 0, 0], [0, 0, 0, 3, 0], [0, 0, 1, 0, 0], [2, 0, 0, 2, 0]]
    found = removal_effects(np.ones(5), moves, [1, 0, 0, 0, 1], [1, 1, 1, 0, 0])
    assert_array_equal(found.removal_effects[1:4], np.zeros(3))
    assert (found.removal_effects[[0, 4]] > 0.1).all()


def test_slots_that_nothing_enters_have_exactly_none():
    # Slot 3 is left but never entered, which whole journeys never give; the inverse alone leaves 5e-17.
    moves = [[0, 0, 2, 0, 0], [0, 0, 0, 0, 0], [3, 0, 0, 0, 3], [2, 0, 2, 0, 0], [0, 0, 2, 0, 0]]
    found = removal_effects([1, 0, 1, 0, 1], moves, [1, 0, 0, 0, 1], [0, 1, 1, 0, 1])
    assert_array_equal(found.removal_effects[[1, 3]], [0, 0])


def test_all_converting_is_computed_and_says_so():
    _, found = solved([["a"], ["a", "b"]], [1, 1], [0, 0])
    assert found.conversion_probability == 1.0
    assert found.removal_effects.tolist() == [1.0, 0.5]
    assert found.null_count == 0


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (([2, 1], [[0, 1], [0, 0]], [0, 0], [1, 2]), "no journey with a touch converts"),
        (([0, 0], [[0, 0], [0, 0]], [0, 0], [0, 0]), "there are no journeys with a touch"),
        (([], np.zeros((0, 0)), [], []), "there are no journeys with a touch"),
        (([2, 1], [[0, 1], [1, 0]], [0, 0], [0, 0]), r"2 states \(positions 0, 1\) are entered or left"),
        (([2, 1], [[0, 0], [0, 4]], [2, 0], [0, 0]), r"1 states \(positions 1\)"),  # a self loop alone never ends
        (([2, 0], [[0, 1], [0, 0]], [1, 0], [0, 0]), r"1 states \(positions 1\)"),  # entered, never left
    ],
)
def test_data_that_cannot_answer_are_refused(counts, message):
    with pytest.raises(EstimationError, match=message):
        removal_effects(*counts)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (([1, 1], [[0, 0, 0]], [1, 1], [0, 0]), r"moves has the shape \(1, 3\); \(2, 2\) is needed"),
        (([1, 1], np.zeros((2, 2)), [1], [0, 0]), "conversions has the shape"),
        (([1, 1], np.zeros((2, 2)), [1, 1], [0, -1]), "nulls has values below 0"),
        (([1, np.nan], np.zeros((2, 2)), [1, 1], [0, 0]), "starts has values below 0 or that are no numbers"),
    ],
)
def test_counts_are_checked(counts, message):
    with pytest.raises(ParameterError, match=message):
        removal_effects(*counts)


def test_the_arrays_given_stay_as_they_were():
    moves = np.array([[5.0, 2.0], [1.0, 7.0]])
    before = moves.copy()
    removal_effects(np.array([1.0, 1.0]), moves, np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    assert_array_equal(moves, before)


def test_transitions_of_paths_by_hand():
    counts = transitions_of_paths([["b", "a", "a"], ["a"], ["b", "a", "b"]], [2, 1, 0], [0, 5, 3])
    assert counts.states == ("a", "b")
    assert counts.starts.tolist() == [6, 5]  # b: 2 + 3
    assert counts.moves.tolist() == [[2, 3], [5, 0]]
    assert counts.conversions.tolist() == [3, 0]
    assert counts.nulls.tolist() == [5, 3]
    inflow, outflow = counts.starts + counts.moves.sum(axis=0), counts.moves.sum(axis=1)
    assert_array_equal(inflow, outflow + counts.conversions + counts.nulls)


def test_transitions_without_nulls_and_without_paths():
    assert transitions_of_paths([["a"]], [1]).nulls.tolist() == [0]
    assert transitions_of_paths([], []).moves.shape == (0, 0)


@pytest.mark.parametrize(
    ("paths", "conversions", "message"),
    [
        ([["a"], []], [1, 1], "a journey without a touch is left out"),
        ([["a"], "ab"], [1, 1], "each is a list"),
        ([["a"]], [1, 2], "conversions has the shape"),
        ([["a"]], [-1], "below 0"),
        ([[str(one)] for one in range(STATE_LIMIT + 1)], np.ones(STATE_LIMIT + 1), "group_tail"),
    ],
)
def test_paths_are_checked(paths, conversions, message):
    with pytest.raises(ParameterError, match=message):
        transitions_of_paths(paths, conversions)


def test_group_tail_keeps_the_most_visited_and_breaks_ties_by_name():
    visits = {"d": 2, "a": 1, "c": 2, "b": 9, "e": 1}
    found = group_tail(visits, 4)
    names = list(visits)
    assert [names[one] for one in found.kept] == ["b", "c", "d"]
    assert [names[one] for one in found.merged] == ["a", "e"]
    assert found.positions.tolist() == [2, 3, 1, 0, 3]
    assert found.positions.max() + 1 == 4  # the merged state is one of the four


def test_group_tail_leaves_what_fits():
    found = group_tail({"b": 1, "a": 1}, 2)
    assert found.kept.tolist() == [1, 0]
    assert found.merged.size == 0
    assert group_tail({}).kept.size == 0
    with pytest.raises(ParameterError, match="limit is 1; a chain has at least 2 states"):
        group_tail({"a": 1}, 1)


def test_group_tail_of_very_many_states_makes_a_chain_that_can_be_solved():
    rng = np.random.default_rng(8)
    names = [f"slot {one}" for one in range(100_000)]
    found = group_tail(dict(zip(names, rng.zipf(1.5, 100_000).tolist())))
    assert (len(found.kept), len(found.merged)) == (STATE_LIMIT - 1, 100_000 - STATE_LIMIT + 1)
    short = [*(names[one] for one in found.kept), OTHER]
    paths = [[short[found.positions[one]] for one in rng.integers(0, 100_000, 3)] for _ in range(2_000)]
    _, result = solved(paths, rng.integers(0, 2, 2_000), np.ones(2_000))
    assert result.shares.sum() == pytest.approx(1)


def bucketed(rng, slots=5, buckets=8, journeys=200):
    """Paths of journeys in buckets: the counts by bucket, the moves long and with repeats, and the paths."""
    paths, converted, lost = random_paths(rng, slots, journeys)
    bucket = rng.integers(0, buckets, journeys)
    bucket[bucket == 2] = 3  # one bucket stays empty
    names = sorted({touch for path in paths for touch in path})
    starts, ends, nulls = np.zeros((3, buckets, len(names)))
    long = []
    for path, good, bad, here in zip(paths, converted, lost, bucket):
        touched = [names.index(one) for one in path]
        starts[here, touched[0]] += good + bad
        ends[here, touched[-1]] += good
        nulls[here, touched[-1]] += bad
        long += [(here, origin, goal, good + bad) for origin, goal in pairwise(touched)]
    return starts, BucketMoves(*map(np.array, zip(*long))), ends, nulls, (paths, converted, lost, bucket)


def test_jackknife_equals_solving_without_each_bucket():
    starts, moves, ends, nulls, (paths, converted, lost, bucket) = bucketed(np.random.default_rng(11))
    found = jackknife_shares(starts, moves, ends, nulls)
    assert_allclose(found.result.shares, solved(paths, converted, lost)[1].shares, atol=1e-12)
    assert found.is_filled.tolist() == [True, True, False, True, True, True, True, True]
    assert_array_equal(found.left_out[2], found.result.shares)
    for one in np.flatnonzero(found.is_filled):
        kept = np.flatnonzero(bucket != one)
        _, expected = solved([paths[index] for index in kept], converted[kept], lost[kept])
        assert_allclose(found.left_out[one], expected.shares, atol=1e-12)
    # The interval by hand: t with 6 degrees of freedom, 97.5 %: 2.446912.
    odds = np.log(found.left_out / (1 - found.left_out))[found.is_filled]
    error = np.sqrt(6 / 7 * ((odds - odds.mean(axis=0)) ** 2).sum(axis=0))
    middle = np.log(found.result.shares / (1 - found.result.shares))
    for bound, sign in ((found.interval.lower, -1), (found.interval.upper, 1)):
        assert_allclose(np.log(bound / (1 - bound)), middle + sign * 2.446912 * error, atol=1e-5)
    assert_array_equal(found.interval.estimate, found.result.shares)


def test_jackknife_in_small_blocks_is_the_same(monkeypatch):
    starts, moves, ends, nulls, _ = bucketed(np.random.default_rng(12))
    whole = jackknife_shares(starts, moves, ends, nulls)
    monkeypatch.setattr("workbench.stats.markov._CELLS", 3 * 25)  # three chains of five states at a time
    assert_allclose(jackknife_shares(starts, moves, ends, nulls).left_out, whole.left_out, atol=1e-14)


def test_jackknife_gives_no_interval_where_a_share_cannot_vary():
    # b converts in bucket 0 alone; the only slot of the second chain has share 1; one bucket has nothing to leave out.
    none = BucketMoves(*(np.array([], dtype=int) for _ in range(4)))
    found = jackknife_shares([[5, 3], [5, 3], [5, 3]], none, [[2, 1], [1, 0], [2, 0]], [[3, 2], [4, 3], [3, 3]])
    assert np.isnan(found.interval.lower).all()
    assert np.isnan(found.interval.upper).all()
    assert (found.interval.estimate > 0).all()
    assert found.left_out[0].tolist() == [1.0, 0.0]
    single = jackknife_shares([[5], [6]], none, [[2], [1]], [[3], [5]])
    assert single.interval.estimate.tolist() == [1.0]
    assert np.isnan(single.interval.lower).all()
    alone = jackknife_shares([[5, 3]], none, [[2, 1]], [[3, 2]])
    assert np.isnan(alone.interval.lower).all()
    assert np.isnan(alone.left_out).all()


def test_jackknife_of_a_conversion_in_one_bucket_alone():
    none = BucketMoves(*(np.array([], dtype=int) for _ in range(4)))
    found = jackknife_shares([[5, 3], [5, 3]], none, [[2, 1], [0, 0]], [[3, 2], [5, 3]])
    assert np.isnan(found.left_out[0]).all()
    assert_array_equal(np.isnan(found.interval.lower), [True, True])


@pytest.mark.parametrize("seed", [1, 3, 7])
def test_shares_that_never_differ_have_no_interval(seed):
    # Every journey passes the same six slots: a sixth each, whatever bucket is missing. Rounding is not uncertainty.
    rng = np.random.default_rng(seed)
    good, bad = rng.integers(1, 9, 10), rng.integers(1, 9, 10)
    starts, ends, nulls = np.zeros((3, 10, 6))
    starts[:, 0], ends[:, 5], nulls[:, 5] = good + bad, good, bad
    bucket, step = np.repeat(np.arange(10), 5), np.tile(np.arange(5), 10)
    found = jackknife_shares(starts, BucketMoves(bucket, step, step + 1, np.repeat(good + bad, 5)), ends, nulls)
    assert_allclose(found.interval.estimate, 1 / 6)
    assert np.isnan(found.interval.lower).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": np.array([2])}, "moves.origin runs from 2 to 2; it lies in 0 to 1"),
        ({"bucket": np.array([-1])}, "moves.bucket runs from -1 to -1"),
        ({"destination": np.array([0.5])}, "it holds one whole number"),
        ({"destination": np.array([0, 1])}, "each of the 1 counts"),
        ({"count": np.array([0.5])}, "moves.count has fractions; the jackknife takes whole counts"),
        ({"count": np.array([-1])}, "moves.count has values below 0"),
    ],
)
def test_moves_by_bucket_are_checked(change, message):
    given = {"bucket": np.array([0]), "origin": np.array([0]), "destination": np.array([1]), "count": np.array([1])}
    with pytest.raises(ParameterError, match=message):
        jackknife_shares([[1, 1], [1, 1]], BucketMoves(**(given | change)), np.ones((2, 2)), np.ones((2, 2)))


def test_jackknife_checks_its_level_and_shapes():
    none = BucketMoves(*(np.array([], dtype=int) for _ in range(4)))
    with pytest.raises(ParameterError, match="strictly between 0 and 1"):
        jackknife_shares(np.ones((2, 2)), none, np.ones((2, 2)), np.ones((2, 2)), confidence_level=95)
    with pytest.raises(ParameterError, match="conversions has the shape"):
        jackknife_shares(np.ones((2, 2)), none, np.ones((2, 3)), np.ones((2, 2)))


# Two kinds of users, each with a chain of its own on four slots (columns: the slots, conversion, null). Together they
# are no Markov chain; the truth is the share at the expected counts, which is what the estimate tends to.
KINDS = np.array(
    [
        [
            [0.10, 0.35, 0.10, 0.05, 0.10, 0.30],
            [0.10, 0.05, 0.30, 0.10, 0.15, 0.30],
            [0.05, 0.10, 0.10, 0.20, 0.25, 0.30],
            [0.10, 0.05, 0.10, 0.05, 0.05, 0.65],
        ],
        [
            [0.05, 0.05, 0.05, 0.35, 0.02, 0.48],
            [0.20, 0.10, 0.05, 0.15, 0.05, 0.45],
            [0.05, 0.05, 0.20, 0.10, 0.10, 0.50],
            [0.15, 0.05, 0.05, 0.10, 0.20, 0.45],
        ],
    ]
)
BEGIN = np.array([[0.5, 0.2, 0.1, 0.2], [0.2, 0.1, 0.2, 0.5]])
KIND_SHARE, JOURNEYS = np.array([0.6, 0.4]), np.array([2.0, 5.0])  # of users; mean journeys of one user


def expected_counts():
    """Expected starts, moves, conversions and nulls of one user."""
    journeys = KIND_SHARE * JOURNEYS
    visits = [
        weight * begin @ np.linalg.inv(np.eye(4) - kind[:, :4]) for weight, begin, kind in zip(journeys, BEGIN, KINDS)
    ]
    steps = sum(one[:, None] * kind for one, kind in zip(visits, KINDS))
    return journeys @ BEGIN, steps[:, :4], steps[:, 4], steps[:, 5]


def simulated_counts(rng, shops, users, by_journey):
    """Counts of many shops at once, by 64 buckets of users (or, wrongly, of journeys): (shops, 64, ...)."""
    kind = (rng.random(shops * users) > KIND_SHARE[0]).astype(int)
    journeys = rng.geometric(1 / JOURNEYS[kind])  # at least one, some users with very many
    user = np.repeat(np.arange(shops * users), journeys)
    kind, shop = kind[user], user // users
    bucket = rng.integers(0, 64, len(user)) if by_journey else rng.integers(0, 64, shops * users)[user]
    group = shop * 64 + bucket
    state = (rng.random(len(user))[:, None] > np.cumsum(BEGIN, axis=1)[kind]).sum(axis=1)
    starts = np.bincount(group * 4 + state, minlength=shops * 64 * 4).reshape(shops, 64, 4)
    steps = np.zeros(shops * 64 * 4 * 6)
    limits = np.cumsum(KINDS, axis=2)[:, :, :5]
    while state.size:
        after = (rng.random(len(state))[:, None] > limits[kind, state]).sum(axis=1)
        steps += np.bincount((group * 4 + state) * 6 + after, minlength=steps.size)
        on = after < 4
        state, kind, group = after[on], kind[on], group[on]
    steps = steps.reshape(shops, 64, 4, 6)
    return starts, steps[..., :4], steps[..., 4], steps[..., 5]


def coverage(seed, replicates, users, by_journey=False):
    """How often the interval of each share holds the truth."""
    rng = np.random.default_rng(seed)
    truth = removal_effects(*expected_counts()).shares
    cells = [one.ravel() for one in np.meshgrid(np.arange(64), np.arange(4), np.arange(4), indexing="ij")]
    hits = np.zeros(4)
    for _ in range(replicates // 50):
        for starts, moves, conversions, nulls in zip(*simulated_counts(rng, 50, users, by_journey)):
            found = jackknife_shares(starts, BucketMoves(*cells, moves.ravel()), conversions, nulls).interval
            hits += (found.lower <= truth) & (truth <= found.upper)
    return hits / replicates


@pytest.mark.parametrize("users", [300, 1_500])
def test_jackknife_covers_the_share_at_the_expected_counts(users):
    found = coverage(21, REPLICATES, users)
    assert found.min() >= LOWEST, found
    assert found.max() <= HIGHEST, found


def test_buckets_of_journeys_instead_of_users_would_not_cover():
    # The test above can tell: with journeys as the independent units the same interval is too narrow.
    assert coverage(22, 400, 1_500, by_journey=True).min() < 0.91
