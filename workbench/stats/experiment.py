"""What did being assigned change, and how sure is that? Differences of two arms from sums, never from rows of users."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats
from workbench.stats.sums import ROUNDING, Sums, cell_weights

_CLEAR = 1_000.0  # standard errors between zero and the means that tea-tasting is given
NAN = math.nan

Reason = Literal[
    "no_units",
    "one_unit",
    "small_cell",
    "no_variation",
    "no_denominator",
    "one_unit_decides",
    "control_mean_zero",
    "control_mean_negative",
]


@dataclass(frozen=True)
class Effect:
    """One treatment against control, per unit assigned, in the unit of the outcome.

    What the data cannot answer is NaN and ``reason`` says why: ``no_units`` or ``one_unit`` in an arm, ``small_cell``
    (a cell with fewer than two units in an arm), ``no_variation``, ``no_denominator`` (a ratio whose denominator sums
    to 0 or less), ``one_unit_decides`` (the slope of an adjustment hangs on one unit); ``control_mean_zero`` and
    ``control_mean_negative`` leave only the relative change without a number.
    """

    estimate: float
    """Treatment less control."""
    std_error: float
    degrees: float
    """Degrees of freedom of Student's t, by Welch and Satterthwaite."""
    ci_lower: float
    ci_upper: float
    p_value: float
    """Two-sided, of no difference."""
    relative_estimate: float
    """The estimate as a fraction of the unadjusted control mean."""
    relative_ci_lower: float
    relative_ci_upper: float
    mean_treatment: float
    """Of an adjusted estimate the adjusted means: their difference is the estimate."""
    mean_control: float
    n_treatment: int
    n_control: int
    reason: Reason | None


@dataclass(frozen=True)
class ArmValue:
    """An estimated value of one arm: parts of its variance, each with its degrees of freedom, shape (parts,)."""

    value: float
    count: float
    variances: Floats
    degrees: Floats

    @property
    def variance(self) -> float:
        """Variance of the value."""
        return float(self.variances.sum())


def mean_difference(treatment: Sums, control: Sums, *, confidence_level: float = 0.95) -> Effect:
    """What did assignment change per unit? Welch's interval, units independent, all cells in one.

    Parameters
    ----------
    treatment, control
        Sums of the outcome y over every unit assigned; cells are added up.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    Effect
        Interval and p-value by tea-tasting; the relative change by the delta method, which also knows the chance in
        the control mean.

    Notes
    -----
    A unit is what was randomized: an inviter with all invited counts once. Wrong where the share of the treatment
    changed while the experiment ran: then ``stratified_difference`` by week.

    References
    ----------
    Welch, B. L. (1947), doi:10.2307/2332510. Deng, A., Knoblich, U. and Lu, J. (2018), doi:10.1145/3219819.3219919.

    Examples
    --------
    >>> from workbench.stats.sums import sums_of
    >>> found = mean_difference(sums_of([3.0, 5.0, 4.0]), sums_of([2.0, 1.0, 3.0]))
    >>> found.estimate, round(found.ci_lower, 3), found.relative_estimate
    (2.0, -0.267, 1.0)
    """
    return _two_samples(treatment.total(), control.total(), checked(confidence_level), is_ratio=False)


def ratio_difference(treatment: Sums, control: Sums, *, confidence_level: float = 0.95) -> Effect:
    """What did assignment change in a ratio of two sums, such as refunds over paid amount? Delta method.

    Parameters
    ----------
    treatment, control
        Sums with y the numerator and x the denominator. Several cells are weighted by their share of all units,
        numerator and denominator alike.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    Effect
        ``mean_treatment`` and ``mean_control`` are the ratios.

    Notes
    -----
    Misleads where the treatment changes the denominator: look at the sums per unit too.
    """
    level = checked(confidence_level)
    if treatment.count.size == 1:
        return _two_samples(treatment, control, level, is_ratio=True)
    reason = cells_reason(treatment.count, control.count)
    if reason:
        return no_effect(reason, treatment, control)
    weights = cell_weights(treatment.count, control.count)
    if min((weights * arm.x / np.maximum(arm.count, 1)).sum() for arm in (treatment, control)) <= 0:
        return no_effect("no_denominator", treatment, control)
    arms = []
    for arm in (treatment, control):
        here = weights > 0
        top, bottom = (float(weights[here] @ one[here]) for one in (arm.mean_y, arm.mean_x))
        ratio = top / bottom
        spread = (arm.variance_y + ratio**2 * arm.variance_x - 2 * ratio * arm.covariance)[here] / bottom**2
        arms.append(
            ArmValue(ratio, arm.count.sum(), weights[here] ** 2 * spread / arm.count[here], arm.count[here] - 1)
        )
    return effect_of(arms[0], arms[1], level)


def stratified_difference(
    treatment: Sums, control: Sums, *, confidence_level: float = 0.95, unadjusted_control_mean: float | None = None
) -> Effect:
    """What did assignment change, cell by cell, weighted by each cell's share of all units of both arms?

    Parameters
    ----------
    treatment, control
        Sums by cell. Cells are fixed before assignment: strata, or weeks of assignment.
    confidence_level
        Coverage wanted, strictly between 0 and 1.
    unadjusted_control_mean
        Base of the relative change; by default the control mean weighted as the difference is.

    Returns
    -------
    Effect
        With one cell the same numbers as ``mean_difference``. ``small_cell`` where a cell has fewer than two units in
        an arm: merge it first (``merge_small_cells``).

    Notes
    -----
    By strata it is more precise than the plain difference where strata differ; by weeks it is right where the share
    of the treatment changed from week to week and the plain difference is not. The same as a regression with centred
    cells and their interactions with treatment, HC2 errors.

    References
    ----------
    Miratrix, L., Sekhon, J. and Yu, B. (2013), doi:10.1111/j.1467-9868.2012.01048.x.
    """
    level = checked(confidence_level)
    reason = cells_reason(treatment.count, control.count)
    if reason:
        return no_effect(reason, treatment, control)
    weights = cell_weights(treatment.count, control.count)
    here = weights > 0
    arms = [
        ArmValue(
            float(weights[here] @ arm.mean_y[here]),
            arm.count.sum(),
            weights[here] ** 2 * arm.variance_y[here] / arm.count[here],
            arm.count[here] - 1,
        )
        for arm in (treatment, control)
    ]
    if unadjusted_control_mean is None:
        return effect_of(arms[0], arms[1], level)
    all_control = control.total()
    base_variance = (all_control.variance_y / all_control.count).item()
    return effect_of(arms[0], arms[1], level, base=unadjusted_control_mean, base_variance=base_variance)


Status = Literal["holds", "violated", "open"]


def non_inferiority(
    effect: Effect, margin: float, *, higher_is_better: bool = True, is_relative: bool = False
) -> Status:
    """Is a guardrail kept? It holds when the interval rules out a harm of the margin or more.

    Parameters
    ----------
    effect
        The guardrail's effect; its two-sided interval is used.
    margin
        Largest harm that is still accepted, 0 or more, in the outcome's unit or, with ``is_relative``, as a fraction
        of the control mean.
    higher_is_better
        False where more is worse, such as hours to pay.
    is_relative
        Whether the margin is a fraction of the control mean.

    Returns
    -------
    str
        ``holds``: a harm of the margin is ruled out; ``violated``: the harm surely exceeds it; ``open``: neither, also
        where there is no interval.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ParameterError(f"margin is {margin}; it is the largest harm accepted: 0 or more, such as 0.02.")
    lower, upper = (
        (effect.relative_ci_lower, effect.relative_ci_upper) if is_relative else (effect.ci_lower, effect.ci_upper)
    )
    if not higher_is_better:
        lower, upper = -upper, -lower
    if lower > -margin:
        return "holds"
    return "violated" if upper < -margin else "open"


# Pieces that the adjusted estimates of cuped.py share


def checked(confidence_level: float) -> float:
    """Return the level if it lies strictly between 0 and 1."""
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}; it lies strictly between 0 and 1, such as 0.95.")
    return confidence_level


def critical(confidence_level: float, degrees: float) -> float:
    """Two-sided critical value of Student's t, or of the normal distribution at infinite degrees."""
    upper = 0.5 + confidence_level / 2
    return float(special.ndtri(upper) if math.isinf(degrees) else special.stdtrit(degrees, upper))


def cells_reason(count_treatment: Floats, count_control: Floats) -> Reason | None:
    """Say why cells cannot be compared, if they cannot; cells that are empty in both arms do not matter."""
    if count_treatment.shape != count_control.shape:
        raise ParameterError(
            f"treatment has {count_treatment.size} cells and control {count_control.size}; both list the same cells, "
            "with 0 units where an arm has none."
        )
    least = min(count_treatment.sum(), count_control.sum())
    if least < 2:
        return "one_unit" if least >= 1 else "no_units"
    seen = (count_treatment + count_control) > 0
    return "small_cell" if min(count_treatment[seen].min(), count_control[seen].min()) < 2 else None


def no_effect(reason: Reason, treatment: Sums, control: Sums, *, estimate: float = NAN) -> Effect:
    """Give the means that are there and the reason why nothing else is."""
    one, other = treatment.total(), control.total()
    return _without_interval(
        reason, estimate, (one.mean_y.item(), other.mean_y.item()), (one.count.item(), other.count.item())
    )


def _without_interval(
    reason: Reason, estimate: float, means: Sequence[float], counts: Sequence[float], relative: float = NAN
) -> Effect:
    missing = dict.fromkeys(("std_error", "degrees", "ci_lower", "ci_upper", "p_value"), NAN)
    return Effect(
        estimate=estimate,
        **missing,
        relative_estimate=relative,
        relative_ci_lower=NAN,
        relative_ci_upper=NAN,
        mean_treatment=means[0],
        mean_control=means[1],
        n_treatment=int(counts[0]),
        n_control=int(counts[1]),
        reason=reason,
    )


def effect_of(
    treatment: ArmValue,
    control: ArmValue,
    confidence_level: float,
    *,
    base: float | None = None,
    base_variance: float | None = None,
) -> Effect:
    """Compare two estimated arm values.

    Parameters
    ----------
    base, base_variance
        Unadjusted control mean, to which the change is relative, and the plain variance of that mean; by default the
        control value.

    Notes
    -----
    Relative change D / B with D the difference and B the base. Its variance by the delta method is
    (V_T + V_C) / B^2 + D^2 V_B / B^4 + 2 D V_C / B^3: the covariance of adjusted and unadjusted control value is V_C,
    since what adjustment removes is uncorrelated with what it leaves. Like the errors of adjusted values this is for
    the units at hand: what adjustment removes from the plain variance is the chance of which of them are control, so
    V_B = V_C + (plain - V_C) n_T / (n_T + n_C). Where B is the control value itself, all this is GrowthBook's
    V_T / B^2 + V_C (B + D)^2 / B^4.
    """
    estimate = treatment.value - control.value
    variance = treatment.variance + control.variance
    counts, means = (treatment.count, control.count), (treatment.value, control.value)
    if not variance > 0:
        return _without_interval("no_variation", estimate, means, counts)
    std_error = math.sqrt(variance)
    degrees = _degrees(treatment, control)
    half = critical(confidence_level, degrees) * std_error
    p_value = float(2 * special.stdtr(degrees, -abs(estimate) / std_error))
    interval = (estimate - half, estimate + half, p_value)
    if base is None or base_variance is None:
        base, base_variance = control.value, control.variance
    drawn = treatment.count / (treatment.count + control.count)
    base_variance = control.variance + max(base_variance - control.variance, 0.0) * drawn
    return _effect(treatment, control, degrees, interval, confidence_level, base, base_variance)


def _effect(
    treatment: ArmValue,
    control: ArmValue,
    degrees: float,
    interval: tuple[float, float, float],
    confidence_level: float,
    base: float,
    base_variance: float,
) -> Effect:
    """Put an effect together; what is left to do is the relative change."""
    estimate = treatment.value - control.value
    reason: Reason | None = None
    relative = lower = upper = NAN
    if base > 0:
        relative = estimate / base
        variance = (treatment.variance + control.variance + relative**2 * base_variance) / base**2
        variance += 2 * relative * control.variance / base**2
        half = critical(confidence_level, degrees) * math.sqrt(max(variance, 0.0))
        lower, upper = relative - half, relative + half
    else:
        reason = "control_mean_zero" if base == 0 else "control_mean_negative"
    return Effect(
        estimate=estimate,
        std_error=math.sqrt(treatment.variance + control.variance),
        degrees=degrees,
        ci_lower=interval[0],
        ci_upper=interval[1],
        p_value=interval[2],
        relative_estimate=relative,
        relative_ci_lower=lower,
        relative_ci_upper=upper,
        mean_treatment=treatment.value,
        mean_control=control.value,
        n_treatment=int(treatment.count),
        n_control=int(control.count),
        reason=reason,
    )


def _degrees(treatment: ArmValue, control: ArmValue) -> float:
    """Welch-Satterthwaite over all parts of both variances."""
    variances = np.concatenate([treatment.variances, control.variances])
    degrees = np.concatenate([treatment.degrees, control.degrees])
    share = variances / variances.sum()
    return float(1 / (share**2 / degrees)[variances > 0].sum())


def _two_samples(treatment: Sums, control: Sums, confidence_level: float, *, is_ratio: bool) -> Effect:
    """Compare means or ratios of one cell by tea-tasting."""
    reason = cells_reason(treatment.count, control.count)
    if reason:
        estimate = NAN if is_ratio else (treatment.mean_y - control.mean_y).item()
        return no_effect(reason, treatment, control, estimate=estimate)
    if is_ratio and min(treatment.x.item(), control.x.item()) <= 0:
        return no_effect("no_denominator", treatment, control)
    arms = [_moments(arm, is_ratio=is_ratio) for arm in (treatment, control)]
    values = [arm.mean_y / arm.mean_x for arm in arms]
    parts = [
        ArmValue(value, arm.count, np.array([arm.spread(value) / arm.count]), np.array([arm.count - 1]))
        for value, arm in zip(values, arms)
    ]
    variance = parts[0].variance + parts[1].variance
    if not variance > 0:
        return _without_interval("no_variation", values[0] - values[1], values, [arm.count for arm in arms])
    # The difference stays when both ratios move alike. Moved away from zero, they keep tea-tasting's own relative
    # interval, which is not used, from overflowing.
    moved = max(0.0, _CLEAR * math.sqrt(variance) - min(values))
    interval = _tea_tasting(arms[0].moved(moved), arms[1].moved(moved), confidence_level, is_ratio=is_ratio)
    return _effect(
        parts[0],
        parts[1],
        _degrees(parts[0], parts[1]),
        interval,
        confidence_level,
        parts[1].value,
        parts[1].variance,
    )


@dataclass(frozen=True)
class _Moments:
    """Numerator y and denominator x of one arm; of a mean x is 1."""

    count: int
    mean_y: float
    mean_x: float
    variance_y: float
    variance_x: float
    covariance: float

    def spread(self, ratio: float) -> float:
        """Variance of a unit's part in the ratio."""
        spread = self.variance_y + ratio**2 * self.variance_x - 2 * ratio * self.covariance
        scale = self.variance_y + ratio**2 * self.variance_x
        return spread / self.mean_x**2 if spread > ROUNDING * scale else 0.0

    def moved(self, by: float) -> "_Moments":
        """Add ``by`` to the ratio: y becomes y + by x."""
        return _Moments(
            self.count,
            self.mean_y + by * self.mean_x,
            self.mean_x,
            self.variance_y + 2 * by * self.covariance + by**2 * self.variance_x,
            self.variance_x,
            self.covariance + by * self.variance_x,
        )


def _moments(arm: Sums, *, is_ratio: bool) -> _Moments:
    count, mean_y, variance_y = int(arm.count.item()), arm.mean_y.item(), arm.variance_y.item()
    if not is_ratio:
        return _Moments(count, mean_y, 1.0, variance_y, 0.0, 0.0)
    return _Moments(count, mean_y, arm.mean_x.item(), variance_y, arm.variance_x.item(), arm.covariance.item())


def _tea_tasting(
    treatment: _Moments, control: _Moments, confidence_level: float, *, is_ratio: bool
) -> tuple[float, float, float]:
    """Bounds and p-value of the difference; tea-tasting is imported here because it brings a whole engine with it."""
    from tea_tasting.aggr import Aggregates
    from tea_tasting.metrics.mean import Mean, RatioOfMeans

    arms = [
        Aggregates(
            count_=one.count,
            mean_={"y": one.mean_y, "x": one.mean_x},
            var_={"y": one.variance_y, "x": one.variance_x},
            cov_={("x", "y"): one.covariance},
        )
        for one in (control, treatment)
    ]
    settings: dict[str, Any] = {"alternative": "two-sided", "equal_var": False, "use_t": True}
    settings["confidence_level"] = confidence_level
    metric = RatioOfMeans("y", "x", **settings) if is_ratio else Mean("y", **settings)
    found = metric.analyze_aggregates(*arms)
    return float(found.effect_size_ci_lower), float(found.effect_size_ci_upper), float(found.pvalue)
