"""What did assignment change, seen against what each unit did before? Lin's regression with HC2 errors, from sums."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from workbench.stats.experiment import (
    NAN,
    ArmValue,
    Effect,
    cells_reason,
    checked,
    effect_of,
    no_effect,
)
from workbench.stats.intervals import Floats
from workbench.stats.sums import Sums, cell_weights

LEAST_OLD_UNITS = 3
"""With fewer units that have a history in an arm a cell is not adjusted."""
_LEAST_REST = 1e-9  # of the leverage: a unit that leaves less to the others decides the slope alone


@dataclass(frozen=True)
class CupedFit:
    """The line of one arm in one cell, as plain numbers: what the second pass over the units needs.

    The line y = mean_y + slope (x - mean_x) runs through the old units, those with a history. New units are a part of
    their own with their own mean. Where an arm has fewer than two new units they are on the line too, with x = 0.
    """

    count_old: int
    """Units on the line, in this arm."""
    count_new: int
    """New units that are a part of their own; 0 where they are on the line."""
    mean_x: float
    mean_y: float
    """Means of the units on the line."""
    slope: float
    """0 where the cell is not adjusted."""
    sxx: float
    """Sum of squares of x around its mean; 0 where the cell is not adjusted."""
    shift: float
    """Mean x of the units on the line in both arms, less ``mean_x``."""
    share_old: float
    """Share of the units on the line among all units of the cell, both arms."""
    mean_y_new: float
    variance_y_new: float
    """Of the new units that are a part of their own; 0 where there are none."""
    squares_known: float
    """Squares known before the second pass: the part of new units on the line; all of them where the slope is 0."""
    unadjusted_mean: float
    """Plain mean of y over all units of this arm and cell."""
    unadjusted_variance: float
    """Sample variance of y over them; NaN below two units."""

    @property
    def count(self) -> int:
        """All units of this arm in this cell."""
        return self.count_old + self.count_new

    @property
    def value(self) -> float:
        """Mean outcome that this arm would show at the cell's mean history."""
        return self.share_old * (self.mean_y + self.slope * self.shift) + (1 - self.share_old) * self.mean_y_new


def fit_cuped(
    old_treatment: Sums, old_control: Sums, new_treatment: Sums, new_control: Sums
) -> tuple[CupedFit, CupedFit]:
    """Fit the lines of one cell: treatment, control.

    Parameters
    ----------
    old_treatment, old_control
        Sums over the units with a history, y the outcome and x the same before assignment; one cell each (more are
        added up).
    new_treatment, new_control
        Sums over the units without a history; their x is 0 whatever the sums say.

    Notes
    -----
    Regression of y on treatment, centred x, a centred indicator of new units and both interactions with treatment is
    one regression for each arm on (1, x, new), evaluated at the means over both arms. New units have x = 0, so they are
    a stratum and only old units have a slope. Not adjusted (slope 0, new units on the line) is a cell with fewer than
    three old units in an arm, or where x does not vary in an arm or all of it is one unit's: what decides is x and
    counts, never the outcome, so the estimate stays unbiased.

    References
    ----------
    Lin, W. (2013), doi:10.1214/12-AOAS583. Deng, A. and others (2013), doi:10.1145/2433396.2433413.
    """
    olds = [one.total() for one in (old_treatment, old_control)]
    zero = np.zeros(1)
    news = [replace(one.total(), x=zero, xx=zero, xy=zero) for one in (new_treatment, new_control)]
    is_adjusted = all(one.count.item() >= LEAST_OLD_UNITS for one in olds)
    is_apart = is_adjusted and all(one.count.item() >= 2 for one in news)
    lines = olds if is_apart else [old + new for old, new in zip(olds, news)]
    on_line = sum(one.count.item() for one in lines)
    everyone = sum(one.count.item() for one in olds + news)
    is_adjusted = is_adjusted and all(_has_slope(one) for one in lines)
    mean_x = sum(one.x.item() for one in lines) / on_line if on_line else NAN
    fits = []
    for old, new, line in zip(olds, news, lines):
        count = line.count.item()
        sxx = (line.variance_x * (count - 1)).item() if is_adjusted else 0.0
        fit = CupedFit(
            count_old=int(count),
            count_new=int(new.count.item()) if is_apart else 0,
            mean_x=line.mean_x.item(),
            mean_y=line.mean_y.item(),
            slope=(line.covariance * (count - 1)).item() / sxx if is_adjusted else 0.0,
            sxx=sxx,
            shift=mean_x - line.mean_x.item() if is_adjusted else 0.0,
            share_old=on_line / everyone if everyone else NAN,
            mean_y_new=new.mean_y.item() if is_apart else 0.0,
            variance_y_new=new.variance_y.item() if is_apart else 0.0,
            squares_known=0.0,
            unadjusted_mean=(old + new).mean_y.item(),
            unadjusted_variance=(old + new).variance_y.item(),
        )
        if not is_adjusted:
            fit = replace(fit, squares_known=line.variance_y.item() / count if count else NAN)
        elif not is_apart:
            fit = replace(fit, squares_known=squares_at(0.0, new, fit))
        fits.append(fit)
    return fits[0], fits[1]


def cuped_squares(x: ArrayLike, y: ArrayLike, fit: CupedFit) -> float:
    """Sum what each old unit of the arm adds to the HC2 variance of the line at the pooled mean; the second pass.

    Parameters
    ----------
    x, y
        Of the old units of this arm and cell, shape (units,).
    fit
        Its line.

    Returns
    -------
    float
        Sum of (1/n + shift (x - mean_x) / sxx)^2 e^2 / (1 - h) with h = 1/n + (x - mean_x)^2 / sxx; the parts with sxx
        are 0 where sxx is. NaN where one unit decides the slope alone (1 - h below 1e-9).
    """
    history, outcome = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if fit.count_old < 2:
        return NAN
    away = history - fit.mean_x
    rest = outcome - fit.mean_y - fit.slope * away
    weight, left = _weight_and_rest(away, fit)
    if history.size and left.min() < _LEAST_REST:
        return NAN
    return float((weight**2 * rest**2 / left).sum())


def cuped_difference(
    fits: Sequence[tuple[CupedFit, CupedFit]],
    squares_treatment: ArrayLike,
    squares_control: ArrayLike,
    *,
    confidence_level: float = 0.95,
    unadjusted_control_mean: float | None = None,
) -> Effect:
    """What did assignment change per unit, beyond what the history of the units explains?

    Parameters
    ----------
    fits
        Lines of treatment and control, one pair per cell. Cells (weeks) are weighted by their share of all units.
    squares_treatment, squares_control
        Sums of the second pass, shape (cells,), not read where the slope is 0 (``cuped_squares``).
    confidence_level
        Coverage wanted, strictly between 0 and 1.
    unadjusted_control_mean
        Base of the relative change; by default the plain control mean, cells weighted as the difference is.

    Returns
    -------
    Effect
        ``mean_treatment`` and ``mean_control`` are the means at equal history. ``one_unit_decides`` where the squares
        of a cell with a slope are NaN.

    Notes
    -----
    Without cells the estimate and its error are those of ordinary least squares with HC2 errors. Student's t on
    Welch-Satterthwaite degrees.

    References
    ----------
    Lin, W. (2013), doi:10.1214/12-AOAS583. MacKinnon, J. G. and White, H. (1985), doi:10.1016/0304-4076(85)90158-7.
    """
    level = checked(confidence_level)
    sides = list(zip(*fits)) or [(), ()]
    counts = [np.array([one.count for one in side], dtype=float) for side in sides]
    plain = [_plain_sums(side) for side in sides]
    reason = cells_reason(counts[0], counts[1])
    if reason:
        return no_effect(reason, plain[0], plain[1])
    weights = cell_weights(counts[0], counts[1])
    squares = [np.atleast_1d(np.asarray(one, dtype=float)) for one in (squares_treatment, squares_control)]
    used = np.flatnonzero(weights > 0)
    if any(side[cell].sxx > 0 and not math.isfinite(own[cell]) for side, own in zip(sides, squares) for cell in used):
        return no_effect("one_unit_decides", plain[0], plain[1])
    arms = [_arm(side, own, weights, used) for side, own in zip(sides, squares)]
    base, base_variance = 0.0, 0.0
    for cell in used:
        fit = sides[1][cell]
        base += weights[cell] * fit.unadjusted_mean
        base_variance += weights[cell] ** 2 * fit.unadjusted_variance / fit.count
    if unadjusted_control_mean is not None:
        base = unadjusted_control_mean
    return effect_of(arms[0], arms[1], level, base=base, base_variance=base_variance)


def _has_slope(line: Sums) -> bool:
    """Whether x varies over more than one unit. One unit's alone: its square is then all squares."""
    variance, total, squares = line.variance_x.item(), line.x.item(), line.xx.item()
    return line.count.item() > 2 and variance > 0 and not math.isclose(total**2, squares, rel_tol=1e-9)


def squares_at(x: float, units: Sums, fit: CupedFit) -> float:
    """The second pass for units on the line that all stand at one x, such as 0: their sums are enough.

    Parameters
    ----------
    x
        Where they stand.
    units
        Sums over these units, one cell.
    fit
        The line of their arm and cell.

    Returns
    -------
    float
        As ``cuped_squares``.
    """
    if units.count.item() == 0:
        return 0.0
    fitted = fit.mean_y + fit.slope * (x - fit.mean_x)
    rest = (units.yy - 2 * fitted * units.y + units.count * fitted**2).item()
    weight, left = _weight_and_rest(np.array([x - fit.mean_x]), fit)
    return NAN if left[0] < _LEAST_REST else float(weight[0] ** 2 * max(rest, 0.0) / left[0])


def _weight_and_rest(away: Floats, fit: CupedFit) -> tuple[Floats, Floats]:
    """Weight of units in the arm's value, and what their leverage leaves to the others."""
    even = 1 / fit.count_old
    if fit.sxx == 0:
        return np.full(away.shape, even), np.full(away.shape, 1 - even)
    return even + fit.shift * away / fit.sxx, 1 - even - away**2 / fit.sxx


def _arm(side: Sequence[CupedFit], squares: Floats, weights: Floats, used: np.ndarray) -> ArmValue:
    value, variances, degrees = 0.0, [], []
    for cell in used:
        fit, weight = side[cell], weights[cell]
        value += weight * fit.value
        if fit.count_old:
            own = fit.squares_known + (squares[cell] if fit.sxx > 0 else 0.0)
            variances.append((weight * fit.share_old) ** 2 * own)
            degrees.append(fit.count_old - (2 if fit.sxx > 0 else 1))
        if fit.count_new:
            variances.append((weight * (1 - fit.share_old)) ** 2 * fit.variance_y_new / fit.count_new)
            degrees.append(fit.count_new - 1)
    count = sum(one.count for one in side)
    return ArmValue(float(value), float(count), np.array(variances), np.array(degrees, dtype=float))


def _plain_sums(side: Sequence[CupedFit]) -> Sums:
    """Counts and sums of y, for the means of an effect that has no number."""
    count = np.array([one.count for one in side], dtype=float)
    y = np.array([one.count * one.unadjusted_mean if one.count else 0.0 for one in side])
    none = np.zeros_like(count)
    return Sums(count, y, none, none, none, none)
