"""Which of several groups of users differ in a share, and by how much?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats, Interval, wilson
from workbench.stats.multiplicity import benjamini_hochberg


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
