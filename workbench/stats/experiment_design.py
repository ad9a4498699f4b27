"""Was the experiment drawn as planned, how long must it run, and may one look at it every day?"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from workbench.errors import ParameterError
from workbench.stats.experiment import checked
from workbench.stats.intervals import Floats

SAMPLE_RATIO_ALARM = 0.001
"""Below this p-value the arms do not have the sizes that were drawn, and no effect is read."""
PLANNED_UNITS = 5_000
"""Units at which the sequential interval is tightest when no size was planned."""


class Statistic(NamedTuple):
    """A statistic with its p-value; both NaN where the data cannot answer."""

    statistic: float
    p_value: float


def sample_ratio(counts: ArrayLike, expected_shares: ArrayLike) -> Statistic:
    """Do the arms have the sizes that were drawn? Pearson's chi-square.

    Parameters
    ----------
    counts
        Units per arm, those in two arms left out beforehand, shape (arms,).
    expected_shares
        Share drawn for each arm, above 0; scaled to sum to 1.

    Returns
    -------
    Statistic
        Alarm at p < ``SAMPLE_RATIO_ALARM``. NaN without units or with fewer than two arms.

    Raises
    ------
    ParameterError
        Negative counts, shares that are not positive, or not one share per arm.

    References
    ----------
    Fabijan, A. and others (2019), doi:10.1145/3292500.3330722.

    Examples
    --------
    >>> found = sample_ratio([5_000, 5_200], [0.5, 0.5])
    >>> round(found.statistic, 4), round(found.p_value, 4)
    (3.9216, 0.0477)
    """
    observed, shares = (np.asarray(one, dtype=float) for one in (counts, expected_shares))
    if observed.shape != shares.shape or observed.ndim != 1:
        raise ParameterError(f"{observed.size} arms have {shares.size} expected shares; each arm has one.")
    if not (np.isfinite(shares).all() and (shares > 0).all()):
        raise ParameterError(f"expected shares are {shares.tolist()}; each is above 0, such as 0.5 for half the units.")
    if not (np.isfinite(observed).all() and (observed >= 0).all()):
        raise ParameterError(f"counts are {observed.tolist()}; each is 0 or more.")
    if observed.size < 2 or observed.sum() == 0:
        return Statistic(math.nan, math.nan)
    expected = observed.sum() * shares / shares.sum()
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return Statistic(statistic, float(special.chdtrc(observed.size - 1, statistic)))


def two_proportions(
    successes_treatment: float, n_treatment: float, successes_control: float, n_control: float
) -> Statistic:
    """Do two shares of users differ? The pooled z test, as calculators print it.

    For reports the interval of ``mean_difference`` on 0 and 1 is the one to use.

    Examples
    --------
    >>> round(two_proportions(721, 42_364, 319, 42_170).statistic, 2)
    12.47
    """
    for successes, n in ((successes_treatment, n_treatment), (successes_control, n_control)):
        if not 0 <= successes <= n:
            raise ParameterError(
                f"{successes} successes of {n} users: successes lie between 0 and the number of users."
            )
    if min(n_treatment, n_control) == 0:
        return Statistic(math.nan, math.nan)
    pooled = (successes_treatment + successes_control) / (n_treatment + n_control)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_treatment + 1 / n_control))
    if error == 0:
        return Statistic(math.nan, math.nan)
    z = (successes_treatment / n_treatment - successes_control / n_control) / error
    return Statistic(z, float(2 * special.ndtr(-abs(z))))


def smallest_detectable_effect(std_error: ArrayLike, *, power: float = 0.8, confidence_level: float = 0.95) -> Floats:
    """How large must a true effect be to be found with this probability? In the unit of the standard error.

    Examples
    --------
    >>> smallest_detectable_effect(1.0).round(3).item()
    2.802
    """
    return np.asarray(std_error, dtype=float) * _planning_factor(power, confidence_level)


def units_needed(
    effect: float, variance: float, *, share_treatment: float = 0.5, power: float = 0.8, confidence_level: float = 0.95
) -> int:
    """How many units, both arms together, find a true effect of this size with this probability?

    Parameters
    ----------
    effect
        Difference per unit, in the outcome's unit, not 0.
    variance
        Of the outcome between units (after adjustment, where it will be adjusted), above 0.
    share_treatment
        Share of the units in the treatment, strictly between 0 and 1.

    Examples
    --------
    >>> units_needed(0.1, 1.0)
    3140
    """
    if not (math.isfinite(effect) and effect != 0):
        raise ParameterError(f"effect is {effect}; it is the difference to be found, and not 0.")
    if not (math.isfinite(variance) and variance > 0):
        raise ParameterError(
            f"variance is {variance}; it is above 0: an outcome that does not vary needs no experiment."
        )
    share = _between(share_treatment, "share_treatment")
    return math.ceil(
        _planning_factor(power, confidence_level) ** 2 * variance * (1 / share + 1 / (1 - share)) / effect**2
    )


def sequential_multiplier(n: ArrayLike, planned_n: float = PLANNED_UNITS, *, confidence_level: float = 0.95) -> Floats:
    """Standard errors to each side that hold however often one looks, in place of 1.96.

    Parameters
    ----------
    n
        Units whose window has elapsed, both arms together; NaN below 1.
    planned_n
        Units at which the interval is to be tightest; NaN where none are planned.

    Notes
    -----
    sqrt(2 (n r^2 + 1) / (n r^2) ln(sqrt(n r^2 + 1) / a)), r^2 = (-2 ln a + ln(1 - 2 ln a)) / planned_n.

    References
    ----------
    Waudby-Smith, I. and others (2021), arXiv:2103.06476.

    Examples
    --------
    >>> sequential_multiplier(5_000).round(3).item()
    3.035
    """
    if not (math.isfinite(planned_n) and planned_n >= 0):
        raise ParameterError(f"planned_n is {planned_n}; it is the planned number of units, 0 or more.")
    if planned_n == 0:
        return np.full(np.shape(n), np.nan)
    alpha = 1 - checked(confidence_level)
    units = np.asarray(n, dtype=float)
    tightness = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned_n
    seen = np.where(units >= 1, units, np.nan) * tightness
    return np.sqrt(2 * (seen + 1) / seen * np.log(np.sqrt(seen + 1) / alpha))


def sequential_interval(
    estimate: ArrayLike,
    std_error: ArrayLike,
    n: ArrayLike,
    planned_n: float = PLANNED_UNITS,
    *,
    confidence_level: float = 0.95,
) -> tuple[Floats, Floats]:
    """How sure is an effect when one looks every day and stops when one likes? Asymptotic confidence sequence.

    Parameters
    ----------
    estimate, std_error
        Of the effect so far, over units whose window has elapsed.
    n, planned_n, confidence_level
        As in ``sequential_multiplier``.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper bounds. All looks together miss the truth in at most 1 - confidence_level of experiments, from
        some hundred units on.
    """
    middle = np.asarray(estimate, dtype=float)
    half = sequential_multiplier(n, planned_n, confidence_level=confidence_level) * np.asarray(std_error, dtype=float)
    return middle - half, middle + half


def _planning_factor(power: float, confidence_level: float) -> float:
    return float(special.ndtri(0.5 + checked(confidence_level) / 2) + special.ndtri(_between(power, "power")))


def _between(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise ParameterError(f"{name} is {value}; it lies strictly between 0 and 1.")
    return value
