"""How many have come back by each day, when not all could be watched equally long?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from workbench.errors import ParameterError

Floats = NDArray[np.float64]
_RANK = 1e-9  # an eigenvalue of correlations below this is 0


@dataclass(frozen=True)
class ReturnCurve:
    """Share that has come back, arrays of one shape (days,); entry i speaks of the first i + 1 days.

    Attributes
    ----------
    share
        One minus the Kaplan-Meier survival, 0-1.
    lower, upper
        Interval; NaN where nobody or everybody has come back.
    at_risk
        Who was watched through the last of these days and had not come back before it.
    """

    share: Floats
    lower: Floats
    upper: Floats
    at_risk: Floats


@dataclass(frozen=True)
class LogRank:
    """Whether groups come back at different speeds.

    Attributes
    ----------
    statistic, degrees
        Chi-square and its degrees of freedom: groups at risk together with others when somebody came back, less 1.
    p_value
        0 where it is smaller than the smallest number; NaN where nothing can be compared.
    log10_p_value
        Its decimal logarithm, which does not underflow: -320 is a p-value of 1e-320.
    observed, expected
        Users that came back in each group, and as many as would have if all groups were alike, shape (groups,).
    """

    statistic: float
    degrees: int
    p_value: float
    log10_p_value: float
    observed: Floats
    expected: Floats


def return_curve(returned: ArrayLike, left: ArrayLike, *, confidence_level: float = 0.95) -> ReturnCurve:
    """What share has come back within so many days? Kaplan-Meier on whole days.

    Parameters
    ----------
    returned
        Users that came back on day 0, 1, ..., shape (days,).
    left
        Users that could not be watched through day 0, 1, ... and had not come back before it, shape (days,).
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    ReturnCurve
        As long as somebody is at risk.

    Raises
    ------
    ParameterError
        If counts are negative or of two lengths, or confidence_level is outside 0-1.

    Notes
    -----
    S(d) = product over days t < d of 1 - r_t / n_t, with n_t who is at risk on day t. Intervals are Greenwood's on the
    scale log(-log S), so that they stay inside 0-1. Assumes that how long a user could be watched says nothing about
    whether the user comes back. When all are watched to the end, the share is the plain one.

    References
    ----------
    Kaplan, E. L. and Meier, P. (1958), doi:10.1080/01621459.1958.10501452. Kalbfleisch, J. D. and Prentice, R. L.
    (2002), doi:10.1002/9781118032985, section 1.4.

    Examples
    --------
    >>> return_curve([1, 0, 1], [0, 2, 1]).share.round(2).tolist()  # one of 5 at once, 2 leave, one of 1 on day 2
    [0.2, 0.2, 1.0]
    """
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}; it lies strictly between 0 and 1, such as 0.95.")
    back, gone = (np.asarray(one, dtype=float) for one in (returned, left))
    if back.shape != gone.shape or back.ndim != 1 or (back < 0).any() or (gone < 0).any():
        raise ParameterError(
            "return_curve: returned and left are counts of 0 or more, one of each per day; "
            f"found shapes {back.shape} and {gone.shape}."
        )
    total = back.sum() + gone.sum()
    before = np.concatenate([[0.0], np.cumsum(back + gone)[:-1]])
    at_risk = total - before - gone
    watched = int((at_risk > 0).sum())
    back, at_risk = back[:watched], at_risk[:watched]
    survival = np.cumprod(1 - back / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(back / (at_risk * (at_risk - back)))
        half = stats.norm.ppf(0.5 + confidence_level / 2) * np.sqrt(variance) / np.abs(np.log(survival))
        usable = (survival > 0) & (survival < 1)
        lower, upper = (np.where(usable, 1 - survival ** np.exp(sign * half), np.nan) for sign in (-1, 1))
    return ReturnCurve(1 - survival, lower, upper, at_risk)


def log_rank(returned: ArrayLike, left: ArrayLike) -> LogRank:
    """Do two or more groups come back at the same speed?

    Parameters
    ----------
    returned, left
        As in ``return_curve``, one row per group: shape (groups, days).

    Returns
    -------
    LogRank

    Raises
    ------
    ParameterError
        If counts are negative or of two shapes, or there are fewer than two groups.

    Notes
    -----
    On each day the returns of a group are compared with its part of all users at risk; variances and covariances are
    those of drawing the returns without replacement (Mantel-Haenszel), the statistic is the squared sum of deviations
    in the metric of their covariance. Has most power where one group is faster by the same factor all the time; curves
    that cross can cancel out. Assumes, as the curves do, that how long a user was watched says nothing about returning.

    References
    ----------
    Mantel, N. (1966), Cancer Chemotherapy Reports 50; Peto, R. and Peto, J. (1972), doi:10.2307/2344317.

    Examples
    --------
    >>> found = log_rank([[2, 1], [0, 1]], [[0, 1], [0, 3]])  # 2 of 4 and 0 of 4 on day 0, 1 of 1 and 1 of 1 on day 1
    >>> round(found.statistic, 3), found.degrees, round(found.p_value, 3), round(found.log10_p_value, 3)
    (2.333, 1, 0.127, -0.897)
    """
    back, gone = (np.asarray(one, dtype=float) for one in (returned, left))
    if back.shape != gone.shape or back.ndim != 2 or len(back) < 2 or (back < 0).any() or (gone < 0).any():
        raise ParameterError(
            "log_rank: returned and left are counts of 0 or more, one row for each of two or more groups and one "
            f"column per day; found shapes {back.shape} and {gone.shape}."
        )
    at_risk = np.cumsum((back + gone)[:, ::-1], axis=1)[:, ::-1] - gone
    watched, events = at_risk.sum(axis=0), back.sum(axis=0)
    counted = (watched > 0) & (events > 0)
    share = at_risk[:, counted] / watched[counted]
    expected = (share * events[counted]).sum(axis=1)
    count, drawn = watched[counted], events[counted]
    spread = np.where(count > 1, drawn * (count - drawn) / np.maximum(count - 1, 1), 0.0)
    covariance = np.diag((spread * share).sum(axis=1)) - (spread * share) @ share.T
    observed = back.sum(axis=1)
    scale = np.sqrt(np.diag(covariance))
    told = scale > 1e-6 * np.sqrt(max(spread.sum(), 1e-300))
    unit = covariance[np.ix_(told, told)] / np.outer(scale[told], scale[told])
    degrees = int(np.linalg.matrix_rank(unit, tol=_RANK, hermitian=True)) if told.any() else 0
    if degrees < 1:
        return LogRank(np.nan, 0, np.nan, np.nan, observed, expected)
    deviation = (observed - expected)[told] / scale[told]
    statistic = float(deviation @ np.linalg.pinv(unit, rcond=_RANK, hermitian=True) @ deviation)
    log_p = _log_chi_square_tail(statistic, degrees)
    return LogRank(statistic, degrees, float(np.exp(log_p)), float(log_p / np.log(10)), observed, expected)


def _log_chi_square_tail(statistic: float, degrees: int) -> float:
    """Natural logarithm of the upper tail, by the continued fraction of the incomplete gamma function when it is tiny.

    NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov/8.9.E2.
    """
    tail = stats.chi2.sf(statistic, degrees)
    if tail > 1e-250:
        return float(np.log(tail))
    a, x = degrees / 2, statistic / 2
    fraction = 0.0
    for step in range(200, 0, -1):
        fraction = step * (step - a) / (x + 2 * step + 1 - a - fraction)
    return float(a * np.log(x) - x - special.gammaln(a) - np.log(x + 1 - a - fraction))
