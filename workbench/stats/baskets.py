"""Which goods are bought together more often than chance would put them together?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from workbench.errors import ParameterError
from workbench.parameters import check_rate
from workbench.stats.intervals import Floats, Interval, ratio_by_bucket
from workbench.stats.multiplicity import benjamini_hochberg
from workbench.stats.resampling import MINIMUM_OWN, effective_by_bucket

LEAST_BY_CHANCE = 10
"""A pair has bounds of its lift if chance alone would put it together for so many effective buyers, or if it has
``MINIMUM_OWN`` of them."""


@dataclass(frozen=True)
class BoughtTogether:
    """Pairs of goods in one order, one entry per pair.

    Attributes
    ----------
    pair_count
        Orders with both.
    support
        Of all orders, those with both, 0-1.
    confidence, reverse_confidence
        Of the orders with the first, those that have the second too; and the other way round, 0-1.
    lift
        How many times as often both are together as if one said nothing about the other; 1 is chance.
    p_value, p_value_adjusted
        For a lift of 1, two-sided; adjusted by Benjamini and Hochberg over all pairs that have one.
    effective
        Effective buyers behind the orders with both, estimated from the buckets.
    reason
        ``few_buyers`` or ``no_variation`` where the lift has no bounds and no p-value; else None.
    """

    pair_count: Floats
    support: Interval
    confidence: Interval
    reverse_confidence: Interval
    lift: Interval
    p_value: Floats
    p_value_adjusted: Floats
    effective: Floats
    reason: NDArray[np.object_]


def bought_together(
    pair_orders: ArrayLike,
    item_orders: ArrayLike,
    orders: ArrayLike,
    pairs: ArrayLike,
    *,
    confidence_level: float = 0.95,
) -> BoughtTogether:
    """How often are two goods in one order, against what chance would give?

    Parameters
    ----------
    pair_orders, item_orders, orders
        Orders by bucket of users: with both goods of each pair, shape (buckets, pairs); with each good, shape (buckets,
        items); all, shape (buckets,). Users are hashed into buckets: who buys the same two things every week is one
        buyer, not fifty.
    pairs
        Numbers of the two goods of each pair, shape (pairs, 2).
    confidence_level
        Coverage wanted for each pair by itself, strictly between 0 and 1.

    Returns
    -------
    BoughtTogether

    Raises
    ------
    ParameterError
        Shapes that do not fit, counts that are negative or missing, a pair with more orders than one of its goods, a
        good paired with itself.

    Notes
    -----
    lift = pairs × orders / (orders with the first × orders with the second). Bounds and p-value come from √lift, whose
    spread does not depend on its size (counts are close to Poisson), by the delete-one-bucket jackknife with Student's
    t on (filled buckets - 1) degrees. Support and confidences are those of ``ratio_by_bucket``.

    Which pairs have bounds hangs on what chance would give (orders with the first × with the second / orders, in
    effective buyers) and not on what was seen, or luck would choose them: with "15 seen" as the condition, pairs that
    are given by one shop in ten hold the truth in 80-90 % only. ``MINIMUM_OWN`` effective buyers are more than luck
    brings to a pair that chance gives less than ``LEAST_BY_CHANCE``.

    Large orders put everything together: where their size differs much, most lifts are above 1 and none need mean that
    two goods belong together. Compare pairs with each other rather than with 1.

    References
    ----------
    Brin, S., Motwani, R. and Silverstein, C. (1997), doi:10.1145/253260.253327. Anscombe, F. J. (1948),
    doi:10.1093/biomet/35.3-4.246, for the root.

    Examples
    --------
    >>> bread, butter, both = [20, 22, 18, 20], [10, 11, 9, 10], [8, 9, 7, 8]  # of 50 orders in each of four buckets
    >>> found = bought_together(np.c_[both], np.c_[bread, butter], [50] * 4, [[0, 1]])
    >>> [one.estimate.round(6).item() for one in (found.support, found.confidence, found.lift)]
    [0.16, 0.4, 2.0]
    """
    check_rate("confidence_level", confidence_level)
    both, items, every, chosen = _checked(pair_orders, item_orders, orders, pairs)
    first, second = items[:, chosen[:, 0]], items[:, chosen[:, 1]]
    support, confidence, reverse = (
        ratio_by_bucket(both, bottom, confidence_level=confidence_level) for bottom in (every[:, None], first, second)
    )
    effective = effective_by_bucket(both)
    filled = int((every > 0).sum())
    total = [one.sum(axis=0) for one in (both, every[:, None], first, second)]
    root = _root_lift(*total)
    left_out = _root_lift(*(whole - one for whole, one in zip(total, (both, every[:, None], first, second))))[every > 0]
    reason = np.full(len(chosen), None, dtype=object)
    if filled:
        squares = ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
        error = np.sqrt((filled - 1) / filled * squares)
    else:
        error = np.full(len(chosen), np.nan)
    reason[~(error > 1e-12)] = "no_variation"
    reason[~_has_enough(total, effective)] = "few_buyers"
    told = np.array([one is None for one in reason], dtype=bool)
    error = np.where(told, error, np.nan)
    degrees = max(filled - 1, 1)
    half = stats.t.ppf(0.5 + confidence_level / 2, degrees) * error
    p_value = 2 * stats.t.sf(abs(root - 1) / error, degrees)
    return BoughtTogether(
        pair_count=total[0],
        support=support,
        confidence=confidence,
        reverse_confidence=reverse,
        lift=Interval(root**2, np.maximum(root - half, 0) ** 2, (root + half) ** 2),
        p_value=p_value,
        p_value_adjusted=benjamini_hochberg(p_value),
        effective=effective,
        reason=reason,
    )


def _has_enough(total: list[Floats], effective: Floats) -> NDArray[np.bool_]:
    both, every, first, second = total
    by_chance = np.divide(first * second, every, out=np.zeros_like(both), where=every > 0)
    by_order = np.divide(effective, both, out=np.ones_like(both), where=both > 0)
    by_order = np.where(np.isnan(by_order), 1.0, np.minimum(by_order, 1.0))
    return (by_chance * by_order >= LEAST_BY_CHANCE) | (effective >= MINIMUM_OWN)


def _root_lift(both: Floats, every: Floats, first: Floats, second: Floats) -> Floats:
    chance = first * second
    return np.sqrt(np.divide(both * every, chance, out=np.full(both.shape, np.nan), where=chance > 0))


def _checked(
    pair_orders: ArrayLike, item_orders: ArrayLike, orders: ArrayLike, pairs: ArrayLike
) -> tuple[Floats, Floats, Floats, NDArray[np.intp]]:
    both, items, every = (np.asarray(one, dtype=float) for one in (pair_orders, item_orders, orders))
    chosen = np.asarray(pairs, dtype=np.intp)
    if (
        both.ndim != 2
        or items.ndim != 2
        or every.shape != both.shape[:1]
        or len(items) != len(both)
        or chosen.shape != (both.shape[1], 2)
    ):
        raise ParameterError(
            f"bought_together: pair_orders {both.shape}, item_orders {items.shape}, orders {every.shape} and pairs "
            f"{chosen.shape} do not fit; wanted are (buckets, pairs), (buckets, items), (buckets,) and (pairs, 2)."
        )
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < items.shape[1]):
        raise ParameterError(f"pairs hold a number outside 0 to {items.shape[1] - 1}, the goods of item_orders.")
    if (chosen[:, 0] == chosen[:, 1]).any():
        raise ParameterError("pairs hold a good with itself; give two goods for each pair.")
    if not all((one >= 0).all() for one in (both, items, every)):
        raise ParameterError("bought_together: counts are negative or missing; each is a number of orders, 0 or more.")
    if (both > np.minimum(items[:, chosen[:, 0]], items[:, chosen[:, 1]])).any() or (items > every[:, None]).any():
        raise ParameterError(
            "bought_together: more orders with a pair than with one of its goods, or with a good than in all; count "
            "each order once per good and once per pair."
        )
    return both, items, every, chosen
