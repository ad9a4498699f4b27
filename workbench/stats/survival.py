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


@dataclass(frozen=True)
class ReturnQuantiles:
    """By which day have so many of those come back who do so within a horizon? Arrays of shape (shares,).

    Attributes
    ----------
    day
        Smallest d such that this share of them has come back within d days, at least 1; NaN where nobody has.
    lower, upper
        Interval; NaN where there is none.
    """

    day: Floats
    lower: Floats
    upper: Floats


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


def return_curve_by_bucket(returned: ArrayLike, left: ArrayLike, *, confidence_level: float = 0.95) -> ReturnCurve:
    """``return_curve`` where a user counts several times, such as with every visit.

    Parameters
    ----------
    returned, left
        As in ``return_curve``, by bucket of users: shape (buckets, days).
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    ReturnCurve
        As long as somebody is at risk; the share is that of ``return_curve`` over all buckets.

    Raises
    ------
    ParameterError
        If counts are negative or of two shapes, or confidence_level is outside 0-1.

    Notes
    -----
    Bucket b, with r_bt returns and n_bt at risk of the r_t and n_t of all, moves log S(d) by
    e_b(d) = -Σ (r_bt - n_bt r_t / n_t) / (n_t - r_t) over days t < d. Buckets are independent, so its variance is
    Σ e_b² B / (B - 1) with B the buckets that hold users: the infinitesimal jackknife. The interval is built on the scale
    log(-log S) with Student's t on B - 1 degrees of freedom. With one row per user it is Greenwood's, but for chance.

    References
    ----------
    Efron, B. (1981), doi:10.1080/01621459.1981.10477650. Williams, R. L. (1995), doi:10.2307/2533350.

    Examples
    --------
    >>> found = return_curve_by_bucket([[1, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 1, 1]])
    >>> found.share.round(2).tolist(), found.at_risk.tolist()
    ([0.2, 0.2, 1.0], [5.0, 2.0, 1.0])
    """
    curve = _by_bucket("return_curve_by_bucket", returned, left, confidence_level)
    half = curve.multiplier * curve.errors(curve.moved)
    return ReturnCurve(1 - curve.survival, *_log_log(curve.survival, half), curve.at_risk)


def returns_after_silence(
    returned: ArrayLike, left: ArrayLike, horizon_days: int, *, confidence_level: float = 0.95
) -> ReturnCurve:
    """Of those who have not come back for d days, what share does within the next so many days?

    Parameters
    ----------
    returned, left
        By bucket of users, shape (buckets, days), as in ``return_curve_by_bucket``.
    horizon_days
        How far each silence is followed, from 1. A share without a horizon cannot be known: who has not come back by the
        end of the data may do so later.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    ReturnCurve
        Entry d, from 0, speaks of those silent for d days: 1 - S(d + horizon) / S(d); ``at_risk``: silent for d days and
        watched through the next. As long as somebody is watched through the whole horizon; empty if nobody is.

    Raises
    ------
    ParameterError
        As ``return_curve_by_bucket``, and for a horizon that is not a whole number from 1 on.

    Notes
    -----
    The interval is that of ``return_curve_by_bucket`` over the days of the horizon alone. Short gaps between visits do
    not count in it: who comes often does not outweigh those who fell silent.

    Examples
    --------
    >>> returns_after_silence([[1, 1, 0], [1, 0, 0]], [[0, 0, 2], [0, 0, 1]], 1).share.round(3).tolist()
    [0.333, 0.25]
    """
    if isinstance(horizon_days, bool) or not isinstance(horizon_days, int | np.integer) or horizon_days < 1:
        raise ParameterError(f"horizon_days is {horizon_days!r}; it is a whole number of days from 1 on, such as 90.")
    curve = _by_bucket("returns_after_silence", returned, left, confidence_level)
    start = np.arange(max(len(curve.survival) - horizon_days + 1, 0))
    survival = np.concatenate([[1.0], curve.survival])
    moved = np.hstack([np.zeros((len(curve.moved), 1)), curve.moved])
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = survival[start + horizon_days] / survival[start]
        half = curve.multiplier * curve.errors(moved[:, start + horizon_days] - moved[:, start])
    return ReturnCurve(1 - kept, *_log_log(kept, half), curve.at_risk[start])


def silence_until(silence: ReturnCurve, share: float) -> tuple[float, float, float]:
    """After how many days of silence do fewer than this share come back?

    Parameters
    ----------
    silence
        From ``returns_after_silence``.
    share
        Strictly between 0 and 1.

    Returns
    -------
    tuple[float, float, float]
        The first day below the share, and an interval: the first days on which the lower and the upper bound are below.
        NaN where no day is.

    Raises
    ------
    ParameterError
        If share is outside 0-1.
    """
    if not 0 < share < 1:
        raise ParameterError(f"share is {share}; it lies strictly between 0 and 1, such as 0.05.")
    lower = np.where(silence.share == 0, 0.0, silence.lower)
    day, low, high = (_first(one < share) for one in (silence.share, lower, silence.upper))
    return day, low, high


def return_quantiles(
    returned: ArrayLike, left: ArrayLike, shares: ArrayLike, horizon_days: int, *, confidence_level: float = 0.95
) -> ReturnQuantiles:
    """By which day have a quarter, half, ... come back of those who do so within a horizon?

    Parameters
    ----------
    returned, left
        By bucket of users, shape (buckets, days), as in ``return_curve_by_bucket``.
    shares
        Of those who come back within the horizon, strictly between 0 and 1.
    horizon_days
        From 1; days that nobody was watched through are left out of it.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    ReturnQuantiles
        One entry per share.

    Raises
    ------
    ParameterError
        As ``returns_after_silence``, and for shares outside 0-1.

    Notes
    -----
    With F = 1 - S the share that has come back, G(d) = F(d) / F(horizon). The interval of G is built on the logit scale
    from what each bucket moves it by; a day is inside the interval of a quantile as long as the one of G there holds the
    share asked for (Brookmeyer and Crowley's inversion). It holds for each share on its own.

    References
    ----------
    Brookmeyer, R. and Crowley, J. (1982), doi:10.2307/2530286.

    Examples
    --------
    >>> return_quantiles([[2, 1, 1, 0], [2, 1, 1, 0]], [[0, 0, 0, 5], [0, 0, 0, 5]], [0.25, 0.5, 0.75], 3).day.tolist()
    [1.0, 1.0, 2.0]
    """
    wanted = np.atleast_1d(np.asarray(shares, dtype=float))
    if not ((wanted > 0) & (wanted < 1)).all():
        raise ParameterError(f"shares are {wanted.tolist()}; each lies strictly between 0 and 1, such as 0.5.")
    if isinstance(horizon_days, bool) or not isinstance(horizon_days, int | np.integer) or horizon_days < 1:
        raise ParameterError(f"horizon_days is {horizon_days!r}; it is a whole number of days from 1 on, such as 90.")
    curve = _by_bucket("return_quantiles", returned, left, confidence_level)
    survival, moved = curve.survival[:horizon_days], curve.moved[:, :horizon_days]
    nothing = np.full(wanted.shape, np.nan)
    if not survival.size or survival[-1] == 1:
        return ReturnQuantiles(nothing, nothing, nothing)
    back = 1 - survival
    part = back / back[-1]
    moved_back = -survival * np.nan_to_num(moved)  # what a bucket moves F by; nothing where all have come back
    error = curve.errors((moved_back - part * moved_back[:, -1:]) / back[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        half = curve.multiplier * error / (part * (1 - part))
        logit = np.log(part / (1 - part))
        low, high = (1 / (1 + np.exp(-(logit + sign * half))) for sign in (-1, 1))
    low, high = (np.where((part <= 0) | (part >= 1), part, one) for one in (low, high))
    days = [np.array([_first(one >= share - 1e-12) for share in wanted]) + 1 for one in (part, high, low)]
    known = np.isfinite(half[(part > 0) & (part < 1)]).all()
    return ReturnQuantiles(days[0], *(one if known else nothing for one in days[1:]))


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


@dataclass(frozen=True)
class _Moved:
    """Kaplan-Meier over all buckets, and what each bucket moves its logarithm by: ``moved``, shape (buckets, days)."""

    survival: Floats
    at_risk: Floats
    moved: Floats
    filled: int
    multiplier: float

    def errors(self, moved: Floats) -> Floats:
        """Standard errors of what the buckets move by so much; NaN with fewer than two buckets."""
        if self.filled < 2:
            return np.full(moved.shape[1], np.nan)
        return np.sqrt((moved**2).sum(axis=0) * self.filled / (self.filled - 1))


def _by_bucket(name: str, returned: ArrayLike, left: ArrayLike, confidence_level: float) -> _Moved:
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}; it lies strictly between 0 and 1, such as 0.95.")
    back, gone = (np.asarray(one, dtype=float) for one in (returned, left))
    if back.shape != gone.shape or back.ndim != 2 or (back < 0).any() or (gone < 0).any():
        raise ParameterError(
            f"{name}: returned and left are counts of 0 or more, one row per bucket of users and one column per day; "
            f"found shapes {back.shape} and {gone.shape}."
        )
    own = np.cumsum((back + gone)[:, ::-1], axis=1)[:, ::-1] - gone
    at_risk = own.sum(axis=0)
    watched = int((at_risk > 0).sum())
    back, own, at_risk = back[:, :watched], own[:, :watched], at_risk[:watched]
    events = back.sum(axis=0)
    hazard = events / at_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = -np.cumsum((back - own * hazard) / (at_risk - events), axis=1)
    filled = int((own[:, 0] > 0).sum()) if watched else 0
    multiplier = float(stats.t.ppf(0.5 + confidence_level / 2, max(filled - 1, 1)))
    return _Moved(np.cumprod(1 - hazard), at_risk, moved, filled, multiplier)


def _log_log(survival: Floats, half: Floats) -> tuple[Floats, Floats]:
    """Bounds of 1 - survival from the half width of log survival, on the scale log(-log)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = half / np.abs(np.log(survival))
        usable = (survival > 0) & (survival < 1) & np.isfinite(scaled)
        lower, upper = (np.where(usable, 1 - survival ** np.exp(sign * scaled), np.nan) for sign in (-1, 1))
    return lower, upper


def _first(is_so: NDArray[np.bool_]) -> float:
    return float(np.argmax(is_so)) if is_so.any() else np.nan
