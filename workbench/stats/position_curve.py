"""What would a place earn going by where it stands? A robust curve over depth, and how far each place is off it."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats

POWERS = (0.0, 0.5, 1.0)
"""Shapes tried for the fall with depth: log value is linear in log depth, in its root, or in depth itself."""
MINIMUM_BUCKETS = 5
"""A place with value in fewer buckets gets no range of usual ratios: its chance cannot be measured."""
_CELLS = 4_000_000  # replicates x places at a time, so that memory does not grow with their number
_BISQUARE = 4.685  # Tukey's constant for 95 % efficiency with normal errors
_CAP = 2.5  # a standardised residual beyond counts as this much in the scatter
_PRIOR = 8.0  # weight, in places, of the scatter of all groups in that of one group
_CAPPED_SQUARE = float(stats.chi2.cdf(_CAP**2, 3) + _CAP**2 * stats.chi2.sf(_CAP**2, 1))  # E min(Z^2, cap^2)
_NONE = 1e-12  # keeps logs and divisions finite where neither chance nor scatter moves anything


@dataclass(frozen=True)
class PositionCurve:
    """Places against what the curve of the others expects; arrays of one entry per place, NaN where unknown."""

    expected: Floats
    """Value expected of the place, in the unit of the sums."""
    ratio: Floats
    """Value over expected value."""
    lower: Floats
    """Interval of the ratio that knows the chance of who came; NaN without weights."""
    upper: Floats
    usual_lower: Floats
    """Ratios that chance and the scatter of places explain, simultaneous over all places; NaN without weights."""
    usual_upper: Floats
    scatter: Floats
    """Standard deviation of log value around the curve beyond chance, by the other places."""
    power: float
    """Shape that was chosen, one of ``POWERS``; NaN where nothing could be fitted."""


@dataclass(frozen=True)
class _Where:
    """Where the places stand, sorted by group: ``starts`` are the first of each group."""

    group: NDArray[np.intp]
    starts: NDArray[np.intp]
    depth: Floats
    side: Floats

    def sums(self, values: Floats) -> Floats:
        """Sum the last axis by group."""
        return np.add.reduceat(values, self.starts, axis=-1)


@dataclass(frozen=True)
class _Basis:
    """Level, slope and side of every place, orthonormal under the weights of the rows within each group.

    A fit is then three sums: the level and the slope of the place's own group, and the side, which all share.
    """

    where: _Where
    row_weights: Floats
    level: Floats
    slope: Floats
    side: Floats
    rank: int

    def fitted(self, target: Floats) -> Floats:
        """Give the curve at every place; ``target`` may hold several rows, such as replicates."""
        weighted = target * self.row_weights
        group = self.where.group
        own = self.level * self.where.sums(weighted * self.level)[..., group]
        own += self.slope * self.where.sums(weighted * self.slope)[..., group]
        return own + self.side * (weighted @ self.side)[..., None]

    def leverage(self) -> Floats:
        """Weight of each place in its own fitted value."""
        return self.row_weights * (self.level**2 + self.slope**2 + self.side**2)

    def brought(self) -> Floats:
        """Variance of each fitted value, the place itself left out, when every log value has variance 1."""
        group = self.where.group
        square = self.row_weights**2
        parts = {
            (one, other): self.where.sums(square * getattr(self, one) * getattr(self, other))
            for one, other in (("level", "level"), ("level", "slope"), ("slope", "slope"))
        }
        cross_level, cross_slope = (
            self.where.sums(square * self.side * own)[group] for own in (self.level, self.slope)
        )
        total = self.level**2 * parts["level", "level"][group] + self.slope**2 * parts["slope", "slope"][group]
        total = total + 2 * self.level * self.slope * parts["level", "slope"][group]
        total = total + 2 * self.side * (self.level * cross_level + self.slope * cross_slope)
        total = total + self.side**2 * (square * self.side**2).sum()
        return np.maximum(total - self.leverage() ** 2, 0)


@dataclass(frozen=True)
class _Fit:
    basis: _Basis
    scatter: float
    badness: float
    power: float


def fit_position_curve(
    sums: Floats,
    group: NDArray[np.integer],
    depth: Floats,
    place: Floats,
    weights: NDArray[np.number] | None,
    *,
    confidence_level: float = 0.95,
) -> PositionCurve:
    """Which places earn more or less than where they stand explains?

    Parameters
    ----------
    sums
        Values by bucket of independent units, shape (buckets, places). A place with nothing in all buckets does
        not shape the curve and has a ratio of 0.
    group
        Which curve a place belongs to, shape (places,); each group has a level and a slope of its own.
    depth
        How far down a place stands in its group, above 0; shape (places,).
    place
        How far to the side it stands, from 1; shape (places,). Its effect is common to all groups.
    weights
        How often each replicate draws each bucket, shape (replicates, buckets); None for no intervals.
    confidence_level
        Coverage of the interval of one ratio, and of the range of usual ratios over all places at once.

    Returns
    -------
    PositionCurve
        ``expected`` is NaN where the others cannot tell: a group with fewer than three places with value, or a
        place without which nothing fixes the level, the slope or the side it needs.

    Raises
    ------
    ParameterError
        For a ``confidence_level`` that cannot be.

    Notes
    -----
    log value = level of the group + slope of the group * shape(depth) + side * log(place) + scatter + chance. The
    shape is the one of ``POWERS`` (Box and Cox) that leaves the least scatter: where the same part of the people
    goes on from screen to screen the fall is geometric (power 1), ranked lists fall by a power law (power 0).

    Weights of the fit are 1 / (scatter^2 + chance^2), times Tukey's bisquare from a start by least absolute
    deviations: an extreme place counts for nothing in its neighbours' curve. Each place is compared with the
    curve without it; the weights of the others are kept (one formula in place of a fit per place), and so
    they are in the replicates. Scatter is the variance at which capped squares of standardised residuals add up
    to what normal errors give on (places - parameters) degrees of freedom.

    The interval of a ratio is symmetric in logs. The usual range is wider: chance, plus the scatter of places and
    what it does to the curve, at a level adjusted for all places (Sidak), on Satterthwaite's degrees of freedom.
    Its scatter is that of the group's other places, shrunk towards that of all as if eight places of
    the common scatter were added to them.

    References
    ----------
    Box, G. E. P. and Cox, D. R. (1964), doi:10.1111/j.2517-6161.1964.tb00553.x.
    Beaton, A. E. and Tukey, J. W. (1974), doi:10.1080/00401706.1974.10489171.
    Satterthwaite, F. E. (1946), doi:10.2307/3002019.

    Examples
    --------
    >>> sums = np.array([[800.0, 400.0, 200.0, 300.0, 50.0, 25.0]])
    >>> depth = np.arange(1.0, 7.0)
    >>> fit_position_curve(sums, np.zeros(6, int), depth, np.ones(6), None).ratio.round(2).tolist()
    [1.0, 1.0, 1.0, 3.0, 1.0, 1.0]
    """
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}; it lies strictly between 0 and 1, such as 0.95.")
    values = np.asarray(sums, dtype=float)
    order = np.argsort(group, kind="stable")
    values = values[:, order]
    total = values.sum(axis=0)
    if not (total > 0).any():
        none = np.full(len(total), np.nan)
        return PositionCurve(none, none, none, none, none, none, none, np.nan)
    codes = np.unique(np.asarray(group)[order], return_inverse=True)[1]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    where = _Where(codes, starts, np.asarray(depth, float)[order], np.log(np.asarray(place, float)[order]))
    target = np.log(np.where(total > 0, total, 1.0))
    chance = _chance(values, total)
    fit = min((_fit(target, chance, where, power) for power in POWERS), key=lambda one: one.badness)
    found = _compared(values, target, chance, fit, weights, confidence_level)
    back = np.argsort(order)
    arrays = {one.name: getattr(found, one.name)[back] for one in fields(found) if one.name != "power"}
    return replace(found, **arrays)


def _chance(values: Floats, total: Floats) -> Floats:
    """Variance of the log of each column's sum, when the rows are what chance draws; infinite without value."""
    part = values / np.where(total > 0, total, 1.0)
    return np.where(total > 0, ((part - part.mean(axis=0)) ** 2).sum(axis=0), np.inf)


def _basis(where: _Where, power: float, row_weights: Floats) -> _Basis:
    """Make level, slope and side orthonormal; what the rows with weight do not fix is 0."""
    group = where.group

    def inverse_root(squares: Floats, least: Floats) -> Floats:
        return np.where(squares > least, 1 / np.sqrt(np.maximum(squares, 1e-300)), 0.0)

    weight = where.sums(row_weights)
    level = inverse_root(weight, np.zeros_like(weight))
    shape = np.log(where.depth) if power == 0 else where.depth**power
    shape = shape - np.minimum.reduceat(shape, where.starts)[group]
    shape = shape / np.maximum(np.maximum.reduceat(shape, where.starts), _NONE)[group]
    shape = shape - (level**2 * where.sums(row_weights * shape))[group]
    spread = inverse_root(where.sums(row_weights * shape**2), 1e-9 * weight)
    unit_slope = shape * spread[group]
    side = where.side - (level**2 * where.sums(row_weights * where.side))[group]
    side = side - unit_slope * where.sums(row_weights * unit_slope * side)[group]
    reach = inverse_root((row_weights * side**2).sum(), 1e-9 * row_weights.sum())
    rank = int((level > 0).sum() + (spread > 0).sum() + (reach > 0))
    return _Basis(where, row_weights, level[group], unit_slope, side * reach, rank)


def _fit(target: Floats, chance: Floats, where: _Where, power: float) -> _Fit:
    """Alternate between the curve, given how much places scatter, and the scatter, given the curve."""
    used = np.isfinite(chance)
    scatter = 0.1
    for _ in range(12):
        precision = 1 / (scatter + chance + _NONE)
        basis = _basis(where, power, precision)
        rank = basis.rank
        for _ in range(20):  # least absolute deviations: the start must not bend towards an extreme place
            off = np.abs(target - basis.fitted(target)) * np.sqrt(precision)
            basis = _basis(where, power, precision / np.maximum(off, 1e-4))
        for _ in range(10):
            off = np.abs(target - basis.fitted(target)) * np.sqrt(precision)
            unit = max(_median_spread(off[used], rank), 1.0 if scatter == 0 else 1e-6)
            robust = np.clip(1 - (off / unit / _BISQUARE) ** 2, 0, None) ** 2
            basis = _basis(where, power, precision * robust)
        rest = target - basis.fitted(target)
        before, scatter = scatter, _scatter(rest[used], chance[used], int(used.sum()) - rank)
        if abs(scatter - before) <= 1e-6 + 1e-3 * before:
            break
    variance = scatter + chance[used] + _NONE
    # a likelihood with capped squares: small where little scatters and no place is far off
    badness = float((np.log(variance) + np.minimum(rest[used] ** 2 / variance, _CAP**2)).sum())
    return _Fit(basis, scatter, badness, power)


def _median_spread(off: Floats, rank: int) -> float:
    """Standard deviation by the median of the residuals that the fit did not have to make small."""
    return float(np.median(np.sort(off)[min(rank, len(off) - 1) :])) / 0.6745


def _scatter(rest: Floats, chance: Floats, free: int) -> float:
    """Variance beyond chance at which capped squared residuals add up to their expectation."""

    def excess(variance: float) -> float:
        return float(np.minimum(rest**2 / (variance + chance + _NONE), _CAP**2).sum() - free * _CAPPED_SQUARE)

    if free <= 0 or excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float((rest**2).max()) * len(rest) + _NONE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _compared(
    values: Floats,
    target: Floats,
    chance: Floats,
    fit: _Fit,
    weights: NDArray[np.number] | None,
    confidence_level: float,
) -> PositionCurve:
    """Compare each place with the curve of the others."""
    basis, used = fit.basis, np.isfinite(chance)
    stay = np.where(_is_told(basis, fit.power, used), 1 - basis.leverage(), np.nan)
    log_ratio = (target - basis.fitted(target)) / stay
    expected = np.exp(target - log_ratio)
    ratio = np.where(np.isnan(expected), np.nan, np.where(used, np.exp(log_ratio), 0.0))
    grown, group_freedom = _group_growth(log_ratio, chance, stay, fit)
    scatter, none = np.sqrt(fit.scatter * grown), np.full(len(target), np.nan)
    if weights is None:
        return PositionCurve(expected, ratio, none, none, none, none, scatter, fit.power)

    filled = np.count_nonzero(values, axis=0)
    own_freedom = np.maximum(filled - 1, 1)
    error = _replicate_error(values, log_ratio, stay, basis, weights)
    half = stats.t.ppf(0.5 + confidence_level / 2, own_freedom) * error
    inside = used & (filled >= 2) & np.isfinite(log_ratio)
    lower, upper = (np.where(inside, np.exp(log_ratio + sign * half), np.nan) for sign in (-1, 1))
    # nothing seen where so many equal units were expected: the exact bound of a Poisson count
    one_unit = np.median(chance[used] * np.exp(target[used]))
    unseen = -np.log((1 - confidence_level) / 2) * one_unit / expected
    lower = np.where(used, lower, np.where(np.isnan(unseen), np.nan, 0.0))
    upper = np.where(used, upper, unseen)

    between = fit.scatter * (1 + basis.brought() / stay**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.minimum(max(int(used.sum()) - basis.rank, 1), group_freedom)
        freedom = (error**2 + between) ** 2 / (between**2 / free + error**4 / own_freedom)
    judged = inside & (filled >= MINIMUM_BUCKETS)
    level = confidence_level ** (1 / max(int(judged.sum()), 1))
    variance = np.maximum((error**2 + between) * grown, error**2)
    usual = stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(variance)
    low, high = (np.where(judged, np.exp(sign * usual), np.nan) for sign in (-1, 1))
    return PositionCurve(expected, ratio, lower, upper, low, high, scatter, fit.power)


def _is_told(basis: _Basis, power: float, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the other places fix all that the curve needs at this place."""
    where = basis.where
    told = (where.sums(used.astype(float)) >= 3)[where.group] & (basis.level > 0) & (basis.leverage() < 1 - 1e-6)
    # a place whose weight is 0 may stand where no place with weight fixes the slope or the side
    anywhere = _basis(where, power, basis.row_weights + 1e-6 * basis.row_weights.max())
    return told & ((basis.slope != 0) | (np.abs(anywhere.slope) < 1e-9)) & ((basis.side != 0) | (where.side == 0))


def _group_growth(log_ratio: Floats, chance: Floats, stay: Floats, fit: _Fit) -> tuple[Floats, Floats]:
    """How many times the variance of all places the others of the group have, shrunk to 1; and of how many places."""
    where = fit.basis.where
    squares = np.minimum(log_ratio**2 * stay / (fit.scatter + chance + _NONE), _CAP**2) / _CAPPED_SQUARE
    there = np.isfinite(squares) & np.isfinite(chance)
    squares = np.where(there, squares, 0.0)
    others = where.sums(squares)[where.group] - squares
    count = where.sums(there.astype(float))[where.group] - there
    return (_PRIOR + others) / (_PRIOR + count), _PRIOR + count


def _replicate_error(
    values: Floats, log_ratio: Floats, stay: Floats, basis: _Basis, weights: NDArray[np.number]
) -> Floats:
    """Standard deviation of each log ratio over replicates, the curve fitted anew in each."""
    counts = np.asarray(weights, dtype=float)
    total = values.sum(axis=0)
    # a replicate in which a place has nothing counts half of one of its equal buckets
    least = np.where(total > 0, 0.5 * (values**2).sum(axis=0) / np.where(total > 0, total, 1.0), 1.0)
    first, second = np.zeros(len(total)), np.zeros(len(total))
    step = max(1, _CELLS // len(total))
    for start in range(0, len(counts), step):
        drawn = np.log(np.maximum(counts[start : start + step] @ values, least))
        off = (drawn - basis.fitted(drawn)) / stay - log_ratio  # around the estimate, so that squares lose no digits
        first += off.sum(axis=0)
        second += (off**2).sum(axis=0)
    variance = (second - first**2 / len(counts)) / max(len(counts) - 1, 1)
    return np.where(total > 0, np.sqrt(np.maximum(variance, 0)), np.nan)
