"""How many conversions would be lost without a slot? Removal effects of a first-order Markov chain, exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from workbench.errors import EstimationError, ParameterError
from workbench.parameters import check_rate
from workbench.stats.intervals import Interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STATE_LIMIT = 500
"""Most states of a chain, ``(other)`` among them; one inverse with its jackknife then takes seconds."""
OTHER = "(other)"
"""Name for the state into which the tail is merged."""
_CELLS = 2_000_000  # cells of slot-to-slot matrices held at a time, 16 MB for each working copy


@dataclass(frozen=True)
class Transitions:
    """Counts of steps between states; journeys start, pass slots and end in a conversion or in null.

    Attributes
    ----------
    states
        Names of the K slots, the order of all arrays.
    starts
        (K,), journeys that begin with the slot.
    moves
        (K, K), steps from the row's slot to the column's slot.
    conversions, nulls
        (K,), journeys that end after the slot, with and without a conversion.
    """

    states: tuple[str, ...]
    starts: Floats
    moves: Floats
    conversions: Floats
    nulls: Floats


@dataclass(frozen=True)
class BucketMoves:
    """Steps from slot to slot by bucket of users, long: four arrays of one length.

    Attributes
    ----------
    bucket, origin, destination
        Whole numbers from 0: the bucket, the slot left and the slot entered. A triple may repeat; it adds up.
    count
        Number of steps.
    """

    bucket: Integers
    origin: Integers
    destination: Integers
    count: Floats


@dataclass(frozen=True)
class MarkovResult:
    """Removal effects of K slots.

    Attributes
    ----------
    conversion_probability
        Fraction 0-1: how likely the chain ends in a conversion.
    removal_effects
        (K,), fraction 0-1 of conversions that are lost when the slot is taken away; 0 for a slot never visited.
    shares
        (K,), removal effects over their sum; they sum to 1. Credit is the share times all conversions with a touch.
    null_count
        Journeys without conversion. With 0, every journey converts whatever its path, and the effects only say
        through how much of the chain a slot is passed: whoever reports them has to refuse or to warn.
    """

    conversion_probability: float
    removal_effects: Floats
    shares: Floats
    null_count: float


@dataclass(frozen=True)
class MarkovShares:
    """Shares of K slots with what B buckets of users say of their uncertainty.

    Attributes
    ----------
    result
        The chain of all buckets.
    interval
        (K,) shares with bounds; NaN where the share does not vary or a chain without one bucket has no conversion.
    left_out
        (B, K), shares when the bucket is left out; NaN where that leaves no conversion. A bucket without journeys
        has the shares of all.
    is_filled
        (B,), whether the bucket has journeys. Differences and ranks use the filled rows alone.
    """

    result: MarkovResult
    interval: Interval
    left_out: Floats
    is_filled: NDArray[np.bool_]


@dataclass(frozen=True)
class TailGroups:
    """Which states stay alone and which are merged; indices point into the states as they were given.

    Attributes
    ----------
    kept
        States that stay, most visits first, names in order where visits are equal.
    merged
        States that become one, in the same order; empty where all fit.
    positions
        For each state given its place in the new chain: its rank among the kept, or ``len(kept)`` if merged.
    """

    kept: Integers
    merged: Integers
    positions: Integers


def transitions_of_paths(
    paths: Sequence[Sequence[str]], conversions: ArrayLike, nulls: ArrayLike | None = None
) -> Transitions:
    """How often does each step occur in these paths?

    Parameters
    ----------
    paths
        Touches of each journey in order, at least one.
    conversions, nulls
        How often each path ended in a conversion and how often in null; nulls None: never.

    Returns
    -------
    Transitions
        States sorted by name.

    Raises
    ------
    ParameterError
        If a path has no touch (it belongs to ``(direct)``), counts do not fit the paths or are negative, or there
        are more than ``STATE_LIMIT`` states.

    Examples
    --------
    >>> found = transitions_of_paths([["a", "b"], ["b"]], [3, 1], [1, 0])
    >>> found.states, found.starts.tolist(), found.moves.tolist()
    (('a', 'b'), [4.0, 1.0], [[0.0, 4.0], [0.0, 0.0]])
    """
    converted = np.asarray(conversions, dtype=float)
    lost = np.zeros(len(paths)) if nulls is None else np.asarray(nulls, dtype=float)
    _check_counts({"conversions": (converted, (len(paths),)), "nulls": (lost, (len(paths),))})
    lengths = np.fromiter(map(len, paths), dtype=np.int64, count=len(paths))
    if any(isinstance(path, str) for path in paths) or (lengths == 0).any():
        raise ParameterError("paths: each is a list of one touch or more; a journey without a touch is left out.")
    states = tuple(sorted(set(chain.from_iterable(paths))))
    if len(states) > STATE_LIMIT:
        raise ParameterError(
            f"paths name {len(states)} states; a chain holds {STATE_LIMIT}. Merge the tail into {OTHER}: group_tail."
        )
    place = {name: index for index, name in enumerate(states)}
    touched = np.fromiter(map(place.__getitem__, chain.from_iterable(paths)), dtype=np.int64, count=lengths.sum())
    return transitions_of_codes(touched, lengths, states, converted, lost)


def transitions_of_codes(
    codes: ArrayLike, lengths: ArrayLike, states: Sequence[str], conversions: ArrayLike, nulls: ArrayLike
) -> Transitions:
    """The same for paths whose touches are numbers already: a million journeys in a fraction of a second.

    Parameters
    ----------
    codes
        Touches of all journeys one after the other, as positions in ``states``.
    lengths
        Touches of each journey, at least one.
    states
        Names.
    conversions, nulls
        How often each path ended in a conversion and how often in null.

    Examples
    --------
    >>> transitions_of_codes([0, 1, 1], [2, 1], ["a", "b"], [3, 1], [1, 0]).starts.tolist()
    [4.0, 1.0]
    """
    touched, counts = np.asarray(codes, dtype=np.int64), np.asarray(lengths, dtype=np.int64)
    converted, lost = np.asarray(conversions, dtype=float), np.asarray(nulls, dtype=float)
    if counts.sum() != len(touched) or (counts < 1).any():
        raise ParameterError(
            f"lengths sum to {counts.sum()} with a least of {counts.min(initial=1)}, but there are {len(touched)} codes; "
            "each journey has at least one touch."
        )
    ends = np.cumsum(counts) - 1
    journeys = converted + lost
    size = len(states)
    is_last = np.zeros(len(touched), dtype=bool)
    is_last[ends] = True
    cells = touched[:-1] * size + touched[1:]
    steps = _summed(cells[~is_last[:-1]], np.repeat(journeys, counts)[:-1][~is_last[:-1]], size * size)
    return Transitions(
        tuple(states),
        _summed(touched[ends - counts + 1], journeys, size),
        steps.reshape(size, size),
        _summed(touched[ends], converted, size),
        _summed(touched[ends], lost, size),
    )


def group_tail(counts_by_state: Mapping[str, float], limit: int = STATE_LIMIT) -> TailGroups:
    """Which slots stay alone when there are more than a chain can hold?

    Parameters
    ----------
    counts_by_state
        Visits of each state.
    limit
        Most states wanted, at least 2. Where there are more, the ``limit - 1`` most visited stay and all others
        become one, for which ``OTHER`` is the name.

    Returns
    -------
    TailGroups
        Index arrays into the order of ``counts_by_state``; the caller adds up counts by ``positions``.

    Notes
    -----
    A merged chain is another chain: removing ``(other)`` removes all its slots at once, and the effects of the
    others change a little, because a path through ``(other)`` forgets which slot it was.

    Examples
    --------
    >>> found = group_tail({"a": 1, "b": 9, "c": 5, "d": 1}, limit=3)
    >>> found.kept.tolist(), found.merged.tolist(), found.positions.tolist()
    ([1, 2], [0, 3], [2, 0, 1, 2])
    """
    if limit < 2:
        raise ParameterError(f"limit is {limit}; a chain has at least 2 states, one slot and {OTHER}.")
    names = list(counts_by_state)
    ranked = sorted(range(len(names)), key=lambda index: (-counts_by_state[names[index]], names[index]))
    alone = len(ranked) if len(ranked) <= limit else limit - 1
    order = np.array(ranked, dtype=np.int64)
    positions = np.empty(len(ranked), dtype=np.int64)
    positions[order] = np.minimum(np.arange(len(ranked)), alone)
    return TailGroups(order[:alone], order[alone:], positions)


def removal_effects(starts: ArrayLike, moves: ArrayLike, conversions: ArrayLike, nulls: ArrayLike) -> MarkovResult:
    """How much of all conversions is lost when the way through a slot is closed?

    Parameters
    ----------
    starts
        (K,), journeys that begin with the slot.
    moves
        (K, K), steps from the row's slot to the column's; the diagonal changes nothing.
    conversions, nulls
        (K,), journeys that end after the slot in a conversion, and without one.

    Returns
    -------
    MarkovResult
        In the order of the arrays.

    Raises
    ------
    ParameterError
        If shapes do not fit, or a count is negative or no number.
    EstimationError
        If there are no journeys, if none converts, or if a slot has journeys that never end.

    Notes
    -----
    Counts become probabilities by row: Q from slot to slot, r from slot to conversion, s from the start. With
    N = (I - Q)^-1, h = N r is the probability of converting from each slot and P = s h that of a journey. The
    effect of slot i is 1 - P(without i)/P, where "without" sends every step into i to null. The chance of ever
    being in i is (s N)_i / N_ii, and what is lost is what would have converted from there, so

        effect_i = (s N)_i / N_ii x h_i / P,

    all slots from one inverse, equal to solving the chain again without each. Staying in a slot (the diagonal)
    only delays the next step; it is dropped, which changes no effect.

    The chain remembers one step: how a user came to a slot is forgotten. A large effect says that many
    conversions pass there, not that the slot causes them.

    References
    ----------
    Anderl, E. et al. (2016), doi:10.1016/j.ijresmar.2016.03.001 (removal effect).
    Kemeny, J. G. and Snell, J. L. (1960), Finite Markov Chains, chapter III (N, h, the chance of ever being in i).

    Examples
    --------
    Ten journeys a-b convert and ten do not, twenty of a do not; of b alone five convert and fifteen do not.

    >>> found = removal_effects([40, 20], [[0, 20], [0, 0]], [0, 15], [20, 25])
    >>> found.conversion_probability, found.removal_effects.round(12).tolist()
    (0.25, [0.5, 1.0])
    """
    begin, step, converted, lost = (np.asarray(one, dtype=float) for one in (starts, moves, conversions, nulls))
    size = begin.size
    _check_counts(
        {
            "starts": (begin, (size,)),
            "moves": (step, (size, size)),
            "conversions": (converted, (size,)),
            "nulls": (lost, (size,)),
        }
    )
    if begin.sum() == 0:
        raise EstimationError("Markov: there are no journeys with a touch. Widen the period or the lookback.")
    probability, effects = _effects(begin[None], step[None], converted[None], lost[None])
    if not probability[0] > 0:
        raise EstimationError(
            "Markov: no journey with a touch converts, so no slot can lose a conversion. "
            "Widen the period or the lookback, or choose a target that happens."
        )
    return MarkovResult(probability.item(), effects[0], effects[0] / effects[0].sum(), float(lost.sum()))


def jackknife_shares(
    starts: ArrayLike,
    moves: BucketMoves,
    conversions: ArrayLike,
    nulls: ArrayLike,
    *,
    confidence_level: float = 0.95,
) -> MarkovShares:
    """How sure is each slot's share of removal effects, when users and not journeys are independent?

    Parameters
    ----------
    starts, conversions, nulls
        (B, K), counts as for ``removal_effects`` by bucket of users. All journeys of a user lie in one bucket.
    moves
        Steps from slot to slot by bucket.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    MarkovShares
        The chain of all, the intervals and the shares without each bucket.

    Raises
    ------
    ParameterError
        If shapes do not fit, indices lie outside, or a count is negative or not whole.
    EstimationError
        As ``removal_effects``, on all buckets together.

    Notes
    -----
    Delete-one-bucket jackknife on the logit scale with Student's t on (filled buckets - 1) degrees of freedom, the
    convention of ``ratio_by_bucket``. The chain is solved once for each bucket, on counts of all less those of the
    bucket; only as many matrices are held at a time as fit into some 16 MB (B x K x K is never there at once).
    Counts are whole so that this difference is exact and a slot known to one bucket alone is gone without it.

    References
    ----------
    Efron, B. and Stein, C. (1981), doi:10.1214/aos/1176345462.
    """
    check_rate("confidence_level", confidence_level)
    begin, converted, lost = (np.atleast_2d(np.asarray(one, dtype=float)) for one in (starts, conversions, nulls))
    buckets, size = begin.shape
    _check_bucket_counts(begin, moves, converted, lost)
    bucket, origin, destination = (
        np.asarray(one, dtype=np.int64) for one in (moves.bucket, moves.origin, moves.destination)
    )
    cell, count = origin * size + destination, np.asarray(moves.count, dtype=float)
    all_moves = _summed(cell, count, size * size)
    result = removal_effects(begin.sum(axis=0), all_moves.reshape(size, size), converted.sum(axis=0), lost.sum(axis=0))
    is_filled = begin.sum(axis=1) > 0
    left_out = np.tile(result.shares, (buckets, 1))
    filled = np.flatnonzero(is_filled)
    block = max(1, _CELLS // (size * size))
    for first in range(0, len(filled), block):
        rows = filled[first : first + block]
        row_of_bucket = np.full(buckets, -1)
        row_of_bucket[rows] = np.arange(len(rows))
        here = np.flatnonzero(row_of_bucket[bucket] >= 0)
        gone = _summed(
            row_of_bucket[bucket[here]] * size * size + cell[here],
            count[here],
            len(rows) * size * size,
        )
        rest = all_moves - gone.reshape(len(rows), -1)
        _, effects = _effects(
            begin.sum(axis=0) - begin[rows],
            rest.reshape(len(rows), size, size),
            converted.sum(axis=0) - converted[rows],
            lost.sum(axis=0) - lost[rows],
        )
        with np.errstate(invalid="ignore"):
            left_out[rows] = effects / effects.sum(axis=1, keepdims=True)
    interval = _logit_interval(result.shares, left_out[is_filled], confidence_level)
    return MarkovShares(result, interval, left_out, is_filled)


def _logit_interval(shares: Floats, left_out: Floats, confidence_level: float) -> Interval:
    """Delete-one jackknife of shares: Student's t on the logit scale, NaN where the share cannot vary."""
    count = len(left_out)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.log(shares / (1 - shares))
        deleted = np.log(left_out / (1 - left_out))
        spread = ((deleted - deleted.mean(axis=0)) ** 2).sum(axis=0)
        error = np.sqrt((count - 1) / count * spread)
        moving = error > 1e-12  # less is the rounding of the inverse: the share is the same without any bucket
        usable = (count >= 2) & np.isfinite(middle) & np.isfinite(deleted).all(axis=0) & moving
    half = stats.t.ppf(0.5 + confidence_level / 2, max(count - 1, 1)) * np.where(usable, error, np.nan)
    middle = np.where(usable, middle, np.nan)
    return Interval(shares, 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle)))


def _effects(starts: Floats, moves: Floats, conversions: Floats, nulls: Floats) -> tuple[Floats, Floats]:
    """Conversion probability (C,) and removal effects (C, K) of C chains at once.

    A chain without journeys or conversions has probability 0 and NaN effects.
    """
    diagonal = np.arange(starts.shape[1])
    moves = moves.copy()
    moves[:, diagonal, diagonal] = 0.0
    back = moves.transpose(0, 2, 1)
    ends = conversions + nulls
    is_visited = (starts > 0) | (moves.sum(axis=1) > 0) | (moves.sum(axis=2) > 0)
    _check_journeys_end(is_visited & ~_reaching(moves, ends > 0))
    # The inverse leaves 1e-18 where 0 belongs, which would turn "no share" into a share; the graph knows better.
    is_entered, may_convert = _reaching(back, starts > 0), _reaching(moves, conversions > 0)
    leaving = moves.sum(axis=2) + ends
    leaving[leaving == 0] = 1.0  # never visited: a row of zeros
    moves /= -leaving[:, :, None]
    moves[:, diagonal, diagonal] = 1.0
    visits = np.linalg.inv(moves)
    began = starts.sum(axis=1, keepdims=True)
    begin = starts / np.where(began > 0, began, 1.0)
    converting = np.matmul(visits, (conversions / leaving)[:, :, None])[:, :, 0] * may_convert
    entered = np.matmul(begin[:, None, :], visits)[:, 0, :] / visits[:, diagonal, diagonal] * is_entered
    probability = (begin * converting).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        effects = np.where(probability[:, None] > 0, entered * converting / probability[:, None], np.nan)
    return probability, effects


def _reaching(moves: Floats, goal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """From which states of (C, K, K) chains does some way lead to a goal (C, K)? The goals themselves included."""
    found = goal
    while True:
        grown = found | (np.matmul(moves, found[:, :, None].astype(float))[:, :, 0] > 0)
        if (grown == found).all():
            return found
        found = grown


def _check_journeys_end(is_endless: NDArray[np.bool_]) -> None:
    """Refuse slots from which neither a conversion nor null can be reached: no whole journey gives such counts."""
    states = np.flatnonzero(is_endless.any(axis=0))
    if states.size:
        shown = ", ".join(str(one) for one in states[:3])
        raise EstimationError(
            f"Markov: {states.size} states (positions {shown}) are entered or left, but no journey through them "
            "ends, in a conversion or in null. Count the end of every journey, also of those that do not convert."
        )


def _summed(index: Integers, values: Floats, size: int) -> Floats:
    """Sums of values by their index."""
    return np.bincount(index, values, minlength=size).astype(float)


def _check_counts(given: Mapping[str, tuple[Floats, tuple[int, ...]]]) -> None:
    for name, (values, shape) in given.items():
        if values.shape != shape:
            raise ParameterError(f"{name} has the shape {values.shape}; {shape} is needed beside the other arrays.")
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ParameterError(f"{name} has values below 0 or that are no numbers; counts are 0 or more.")


def _check_bucket_counts(starts: Floats, moves: BucketMoves, conversions: Floats, nulls: Floats) -> None:
    buckets, size = starts.shape
    length = (np.size(moves.count),)
    counts = {
        "starts": (starts, starts.shape),
        "conversions": (conversions, starts.shape),
        "nulls": (nulls, starts.shape),
        "moves.count": (np.asarray(moves.count, dtype=float), length),
    }
    _check_counts(counts)
    for name, (values, _) in counts.items():
        if (values != np.rint(values)).any():
            raise ParameterError(f"{name} has fractions; the jackknife takes whole counts.")
    for name, most in (("bucket", buckets), ("origin", size), ("destination", size)):
        index = np.asarray(getattr(moves, name))
        if index.shape != length or (index.size and not np.issubdtype(index.dtype, np.integer)):
            raise ParameterError(
                f"moves.{name} has the shape {index.shape} and the type {index.dtype}; it holds one whole number for "
                f"each of the {length[0]} counts."
            )
        if index.size and not 0 <= index.min() <= index.max() < most:
            raise ParameterError(f"moves.{name} runs from {index.min()} to {index.max()}; it lies in 0 to {most - 1}.")
