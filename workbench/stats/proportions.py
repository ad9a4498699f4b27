"""Which of several groups of users differ in a share, and by how much?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats, Interval, wilson
from workbench.stats.multiplicity import benjamini_hochberg
from workbench.stats.resampling import MINIMUM_OWN, effective_by_bucket


@dataclass(frozen=True)
class ProportionPairs:
    """Every pair of groups compared once; arrays of shape (pairs,).

    Attributes
    ----------
    first, other
        Numbers of the two groups, first < other.
    difference
        Share of the first less share of the other, -1 to 1; NaN where one of them has no user.
    statistic, p_value
        Of the pooled two-proportion test, two-sided; NaN where it does not exist: a group without users, or nobody or
        everybody in both.
    p_value_adjusted
        Benjamini-Hochberg over all pairs.
    """

    first: NDArray[np.intp]
    other: NDArray[np.intp]
    difference: Interval
    statistic: Floats
    p_value: Floats
    p_value_adjusted: Floats


def pairwise_proportions(successes: ArrayLike, trials: ArrayLike, *, confidence_level: float = 0.95) -> ProportionPairs:
    """Which of several independent groups of users differ in a share, and by how much?

    Parameters
    ----------
    successes, trials
        Users with and all users of each group, shape (groups,); no user in two groups.
    confidence_level
        Coverage wanted of each interval, strictly between 0 and 1.

    Returns
    -------
    ProportionPairs

    Raises
    ------
    ParameterError
        If shapes differ, a count is negative or no number, or successes exceed trials.

    Notes
    -----
    z = (p_1 - p_2) / √(p (1 - p) (1 / n_1 + 1 / n_2)) with p the share of both together. The interval is Newcombe's from
    the two Wilson intervals (his method 10): it stays inside -1 to 1 and is right for small shares; near its edge it may
    disagree with the test. It holds for each pair on its own, the adjusted p-value for all pairs together.

    References
    ----------
    Newcombe, R. G. (1998), doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Examples
    --------
    >>> found = pairwise_proportions([20, 40], [100, 100])
    >>> found.difference.estimate.round(2).tolist(), found.statistic.round(3).tolist(), found.p_value.round(4).tolist()
    ([-0.2], [-3.086], [0.002])
    """
    k, n = (np.asarray(one, dtype=float) for one in (successes, trials))
    if k.ndim != 1 or k.shape != n.shape or not (np.isfinite(k) & np.isfinite(n) & (k >= 0) & (k <= n)).all():
        raise ParameterError(
            "pairwise_proportions: successes and trials are counts, one of each per group, with 0 <= successes <= "
            f"trials; found shapes {k.shape} and {n.shape}."
        )
    first, other = np.triu_indices(len(k), 1)
    single = wilson(k, n, confidence_level=confidence_level)
    share, below, above = single.estimate, single.estimate - single.lower, single.upper - single.estimate
    difference = share[first] - share[other]
    lower = difference - np.hypot(below[first], above[other])
    upper = difference + np.hypot(above[first], below[other])
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k[first] + k[other]) / (n[first] + n[other])
        error = np.sqrt(pooled * (1 - pooled) * (1 / n[first] + 1 / n[other]))
        statistic = np.where(error > 0, difference / error, np.nan)
    p_value = 2 * special.ndtr(-np.abs(statistic))
    return ProportionPairs(
        first, other, Interval(difference, lower, upper), statistic, p_value, benjamini_hochberg(p_value)
    )


def pairs_by_bucket(converted: ArrayLike, users: ArrayLike, *, confidence_level: float = 0.95) -> ProportionPairs:
    """Which groups differ in a share, when a user may count in several of them?

    Parameters
    ----------
    converted, users
        Sums by bucket of users, shape (buckets, groups): conversions (or credit for them, 0-1 per user) and users.
    confidence_level
        Coverage wanted of each interval, strictly between 0 and 1.

    Returns
    -------
    ProportionPairs
        Bounds, statistic and p-values are NaN for a pair of which one group has fewer than ``MINIMUM_OWN`` effective
        users who convert, or who do not, and where the difference does not vary.

    Notes
    -----
    With p the share of a group, N its users and, by bucket b, c_b its conversions and n_b its users, the bucket moves
    the share by e_b = (c_b - p n_b) / N, and the difference of groups g and h by d_b = e_gb - e_hb. Buckets are
    independent, so the variance of the difference is Σ d_b² B / (B - 1): Var_g + Var_h - 2 Cov_gh, where users who count
    in both groups make the covariance. B is the number of buckets that hold users of the group that fills fewer of
    them. The statistic is the difference over its error, read as Student's t with B - 1 degrees of freedom.

    Measured at 5 % with equal rates of 3 % to 20 %, 2,000 replicates of 600 to 20,000 users who count in one group
    or several: 4.2-6.0 % rejected, up to 7.5 % where samples were taken to be independent. An interval of 95 % held a
    difference of 5 points in 94.8 %.
    """
    top, bottom = (np.asarray(one, dtype=float) for one in (converted, users))
    first, other = np.triu_indices(top.shape[1], 1)
    count = (bottom > 0).sum(axis=0)
    effective = np.fmin(effective_by_bucket(top), effective_by_bucket(bottom - top))  # NaN: more than buckets can tell
    enough = ~(effective < MINIMUM_OWN) & (count > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = bottom.sum(axis=0)
        share = top.sum(axis=0) / total
        moved = (top - share * bottom) / total
    filled = np.maximum(np.minimum(count[first], count[other]), 2)
    products = moved.T @ moved
    own = np.diag(products)[first] + np.diag(products)[other]
    square = own - 2 * products[first, other]
    difference = share[first] - share[other]
    usable = enough[first] & enough[other] & (square > 1e-12 * own)
    error = np.sqrt(np.where(usable, square, np.nan) * filled / (filled - 1))
    half = stats.t.ppf(0.5 + confidence_level / 2, filled - 1) * error
    bounds = [np.clip(difference + sign * half, -1, 1) for sign in (-1, 1)]
    statistic = difference / error
    p_value = 2 * stats.t.sf(np.abs(statistic), filled - 1)
    return ProportionPairs(first, other, Interval(difference, *bounds), statistic, p_value, benjamini_hochberg(p_value))
