"""Which factor and which segment changed a total? Exact splits of a change into parts that sum to it."""

from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats

MOST_ORDERED_FACTORS = 12
"""More factors than this have too many orders for ``shapley``."""


@dataclass(frozen=True)
class SegmentedChange:
    """A change split over factors, then over segments; money (the unit of the last level) throughout.

    The identities hold to rounding: ``factors`` sums to ``change``; ``factors[1:]`` sums to ``mix`` and ``within``
    together; so ``factors[0] + mix.sum() + within.sum()`` is ``change``.

    Attributes
    ----------
    change
        Total after less total before.
    factors
        Shape (levels,): the first level (visitors, quantity), then each ratio of a level to the one before it.
    mix
        Shape (segments,): by how much the segment's share of the first level moved the total, against the average.
    within
        Shape (segments, levels - 1): by how much each ratio moved the total inside the segment.
    """

    change: float
    factors: Floats
    mix: Floats
    within: Floats


def factors_of(levels: ArrayLike) -> Floats:
    """Turn levels such as visitors, buyers, orders, amount into factors whose product is the last level.

    Parameters
    ----------
    levels
        Shape (..., levels), numbers of 0 or more; where a level is 0, all that follow are.

    Returns
    -------
    numpy.ndarray
        The same shape: the first level, then each level divided by the one before it; NaN for 0/0, which no factor of
        0 precedes but one that says why (no visitors, so no conversion).

    Raises
    ------
    ParameterError
        A level that is negative or no number, or above 0 where the one before it is 0.

    Examples
    --------
    >>> factors_of([[10_000, 500, 500, 100_000.0], [0, 0, 0, 0]]).tolist()
    [[10000.0, 0.05, 1.0, 200.0], [0.0, nan, nan, nan]]
    """
    given = np.asarray(levels, dtype=float)
    if given.ndim < 1 or given.shape[-1] < 1:
        raise ParameterError("levels: none given; wanted is at least one, such as visitors, buyers, orders, amount.")
    if not (np.isfinite(given) & (given >= 0)).all():
        raise ParameterError(
            "levels hold a number that is negative or missing; a level is a count or amount, 0 or more."
        )
    orphans = (given[..., 1:] > 0) & (given[..., :-1] == 0)
    if orphans.any():
        place = np.argwhere(orphans)[0]
        raise ParameterError(
            f"levels: at {tuple(place.tolist())} a level is 0 and the next one {given[..., 1:][tuple(place)]:g}; "
            "nothing comes from nothing, so count every buyer as a visitor (every sold line in its quantity) first."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([given[..., :1], given[..., 1:] / given[..., :-1]], axis=-1)


def lmdi(before: ArrayLike, after: ArrayLike) -> Floats:
    """How much of the change of a product does each factor explain? Logarithmic mean Divisia index.

    Parameters
    ----------
    before, after
        Factors, shape (..., factors), 0 or more. NaN is a factor that does not exist, such as the conversion of no
        visitors; it is taken to be as on the other side, so it explains nothing.

    Returns
    -------
    numpy.ndarray
        Contributions in the unit of the product, the same shape; over the last axis they sum to the change.

    Raises
    ------
    ParameterError
        Shapes that differ, a negative or infinite factor.

    Notes
    -----
    With V the product and L(a, b) = (a - b) / (ln a - ln b), L(a, a) = a, factor x explains L(V1, V0) ln(x1 / x0).
    Exchanging before and after changes the sign and nothing else; the order of the factors does not matter.

    Zeros are limits, not small numbers: let every zero factor be d and d go to 0. Where V goes from 0 to V1, the
    factors that were 0 share V1 equally and the others explain nothing; likewise where V falls to 0; where it is 0 on
    both sides, all explain nothing.

    References
    ----------
    Ang, B. W. (2005), doi:10.1016/j.enpol.2003.10.010. Wood, R. and Lenzen, M. (2006),
    doi:10.1016/j.enpol.2004.11.010, for the zeros.

    Examples
    --------
    >>> lmdi([10_000, 0.05, 200], [12_000, 0.04, 220]).round(2).tolist()  # visitors, conversion, order value
    [18738.02, -22933.48, 9795.46]
    """
    old, new = _both_known(before, after)
    gone_up, gone_down = (old == 0) & (new > 0), (old > 0) & (new == 0)
    first, last = old.prod(axis=-1, keepdims=True), new.prod(axis=-1, keepdims=True)
    positive = (old > 0).all(axis=-1, keepdims=True) & (new > 0).all(axis=-1, keepdims=True)
    logs = np.log(np.divide(new, old, out=np.ones_like(old), where=positive))
    moved = logs.sum(axis=-1, keepdims=True)
    found = np.where(positive, _mean_from(first, moved), 0.0) * logs
    for switched, side in ((gone_up, last), (gone_down, -first)):
        count = switched.sum(axis=-1, keepdims=True)
        found += np.where(switched, side / np.maximum(count, 1), 0.0)
    return found


def shapley(before: ArrayLike, after: ArrayLike) -> Floats:
    """How much of the change of a product does each factor explain, averaged over all orders of changing them?

    Parameters
    ----------
    before, after
        As in ``lmdi``, at most ``MOST_ORDERED_FACTORS`` factors.

    Returns
    -------
    numpy.ndarray
        As in ``lmdi``: sums to the change. Differs from it by the way of sharing what factors did together.

    Raises
    ------
    ParameterError
        As in ``lmdi``, or too many factors.

    Notes
    -----
    Needs no limit for zeros. The work doubles with each factor.

    References
    ----------
    Sun, J. W. (1998), doi:10.1016/S0140-9883(97)00018-4.

    Examples
    --------
    >>> shapley([10_000, 0.05, 200], [12_000, 0.04, 220]).round(2).tolist()
    [18866.67, -23133.33, 9866.67]
    """
    old, new = _both_known(before, after)
    count = old.shape[-1]
    if count > MOST_ORDERED_FACTORS:
        raise ParameterError(
            f"shapley: {count} factors; at most {MOST_ORDERED_FACTORS} can be ordered in every way. Use lmdi."
        )
    found = np.zeros_like(old)
    for factor in range(count):
        others = [one for one in range(count) if one != factor]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for changed in combinations(others, size):
                value = np.ones(old.shape[:-1])
                for one in others:
                    value = value * (new if one in changed else old)[..., one]
                found[..., factor] += weight * value * (new - old)[..., factor]
    return found


def change_by_segment(before: ArrayLike, after: ArrayLike) -> SegmentedChange:
    """Did the total change by more visitors, by other segments, or by other behaviour inside the segments?

    Parameters
    ----------
    before, after
        Levels by segment, shape (segments, levels), at least two levels. Segments partition the first level: visitors,
        buyers, orders, amount by channel or region; or, for lines by category, quantity and amount, whose ratio is the
        price. A segment that is new or gone has zeros on that side.

    Returns
    -------
    SegmentedChange

    Raises
    ------
    ParameterError
        Shapes that differ or are not (segments, levels), and what ``factors_of`` refuses.

    Notes
    -----
    V are the visitors, r = R / V the revenue per visitor, m_s = V_s / V the shares of segments, mean() that of
    before and after, L the logarithmic mean of ``lmdi``.

    1. Over the totals, by LMDI: R1 - R0 = traffic + one term for each ratio; traffic = L(R1, R0) ln(V1 / V0).
    2. What is left belongs to the revenue per visitor: R1 - R0 - traffic = K (r1 - r0), with K = L(R1, R0) / L(r1, r0),
       a number of visitors between V0 and V1.
    3. Among the segments with visitors on both sides, r1 - r0 = Σ_s mean(m_s) (r_s1 - r_s0) + Σ_s (mean(r_s) - mean(r))
       (m_s1 - m_s0): within and mix with symmetric weights (Kitagawa). Subtracting mean(r) leaves the sum as it is,
       since shares sum to 1, and gives a segment's mix its sign: a segment above the average that grows adds.
    4. A new segment moves the average by m_s1 (r_s1 - r1), with r1 that of the segments that were there before; one
       that is gone by -m_s0 (r_s0 - r0). They are all mix; the shares of step 3 are those among the others (Ñopo).
    5. Within a segment, r_s1 - r_s0 is split over its ratios by LMDI.

    Equal rates in all segments give mix 0 in each, also in new ones. Where no segment has visitors on both sides
    nothing says what its rate did: all is mix. Without any visitors on one side all is traffic. Before and after
    exchanged change the signs only.

    What the ratios explain in the totals and the sums of ``within`` differ by the mix: the conversion of the
    whole falls when no segment's does but visitors move to where it is low. An LMDI over segments with shares as a
    factor would not do: with equal rates everywhere it still finds a mix.

    References
    ----------
    Kitagawa, E. M. (1955), doi:10.1080/01621459.1955.10501299. Ñopo, H. (2008), doi:10.1162/rest.90.2.290. Ang (2005)
    and Wood and Lenzen (2006) as in ``lmdi``.

    Examples
    --------
    All convert as before and pay as before; more of the visitors come by the better channel.

    >>> found = change_by_segment([[500, 5_000.0], [500, 1_000.0]], [[750, 7_500.0], [250, 500.0]])
    >>> found.change, found.factors.round(6).tolist(), found.mix.round(6).tolist(), found.within.ravel().tolist()
    (2000.0, [0.0, 2000.0], [750.0, 1250.0], [0.0, 0.0])
    """
    old, new = (np.asarray(one, dtype=float) for one in (before, after))
    if old.shape != new.shape or old.ndim != 2 or old.shape[1] < 2 or not len(old):
        raise ParameterError(
            f"change_by_segment: shapes {old.shape} and {new.shape}; wanted is (segments, levels) twice, the same "
            "segments on both sides (zeros where one is new or gone) and at least two levels."
        )
    segment_old, segment_new = _both_known(factors_of(old)[:, 1:], factors_of(new)[:, 1:])
    total_old, total_new = old.sum(axis=0), new.sum(axis=0)
    change = float(total_new[-1] - total_old[-1])
    factors = lmdi(factors_of(total_old), factors_of(total_new))
    if total_old[0] == 0 or total_new[0] == 0:
        return SegmentedChange(change, factors, np.zeros(len(old)), np.zeros_like(segment_old))
    is_old, is_new = old[:, 0] > 0, new[:, 0] > 0
    both = is_old & is_new
    rate_old, rate_new = segment_old.prod(axis=1), segment_new.prod(axis=1)
    share_old, average_old = _shares_and_average(old, both)
    share_new, average_new = _shares_and_average(new, both)
    if not both.any():
        average_old = average_new = (total_old[-1] / total_old[0] + total_new[-1] / total_new[0]) / 2
    middle = (rate_old + rate_new - average_old - average_new) / 2
    mix = np.select(
        [both, is_new, is_old],
        [
            middle * (share_new - share_old),
            new[:, 0] / total_new[0] * (rate_new - average_new),
            -old[:, 0] / total_old[0] * (rate_old - average_old),
        ],
        0.0,
    )
    within = ((share_old + share_new) / 2)[:, None] * lmdi(segment_old, segment_new)
    visitors = _visitors_between(total_old, total_new)
    return SegmentedChange(change, factors, visitors * mix, visitors * within)


def _shares_and_average(levels: Floats, both: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Shares of the first level among the segments that are on both sides, and the last level per unit of the first."""
    visitors = np.where(both, levels[:, 0], 0.0)
    whole = visitors.sum()
    return (visitors / whole, levels[both, -1].sum() / whole) if whole else (visitors, 0.0)


def _visitors_between(before: Floats, after: Floats) -> float:
    """K of step 2: the visitors that turn a change per visitor into money; its limits where a rate is 0."""
    old_rate, new_rate = before[-1] / before[0], after[-1] / after[0]
    if old_rate == 0 and new_rate == 0:
        return float(_mean_from(before[0], np.log(after[0] / before[0])))
    if old_rate == 0 or new_rate == 0:
        return float(after[0] if old_rate == 0 else before[0])
    rate_moved = np.log(new_rate / old_rate)
    moved = np.log(after[0] / before[0]) + rate_moved
    return float(_mean_from(before[-1], moved) / _mean_from(old_rate, rate_moved))


def _mean_from(first: ArrayLike, moved: ArrayLike) -> Floats:
    """Logarithmic mean of a and a exp(d), exact also for small d."""
    d = np.asarray(moved, dtype=float)
    return np.asarray(first, dtype=float) * np.divide(np.expm1(d), d, out=np.ones_like(d), where=d != 0)


def _both_known(before: ArrayLike, after: ArrayLike) -> tuple[Floats, Floats]:
    """Factors as arrays; one that does not exist on a side is as on the other, and 1 where it is on neither."""
    old, new = (np.array(one, dtype=float) for one in (before, after))
    if old.shape != new.shape or old.ndim < 1:
        raise ParameterError(
            f"factors: shapes {old.shape} and {new.shape} differ or hold no factor; give the same factors before and "
            "after."
        )
    for one in (old, new):
        if (np.isinf(one) | (one < 0)).any():
            raise ParameterError(
                "factors hold a negative or infinite number; a product of factors can be split where each is 0 or "
                "more. Take what lowers the total (discounts, refunds) as a term of its own."
            )
    old, new = np.where(np.isnan(old), new, old), np.where(np.isnan(new), old, new)
    return np.where(np.isnan(old), 1.0, old), np.where(np.isnan(new), 1.0, new)
