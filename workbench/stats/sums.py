"""Sums over the units of an arm: all that an effect needs, so that no row of a unit leaves the engine."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats

LEAST_UNITS = 20
"""A stratum with fewer units in an arm is merged with others."""
ROUNDING = 1e-12
"""A sum of squares around the mean below this share of the plain one is rounding, not variation."""


@dataclass(frozen=True)
class Sums:
    """Sums over the units of one arm, by cell (week, stratum, or both); arrays of shape (cells,).

    ``x`` is the covariate of an adjustment (the same outcome before assignment) or the denominator of a ratio. Scalars
    become one cell. A unit without orders is in ``count`` with y = 0; nulls are no units and are not to be summed.

    Raises
    ------
    ParameterError
        Shapes that differ, a sum that is not a finite number, a negative count.

    Examples
    --------
    >>> arm = sums_of([1.0, 0.0, 5.0])
    >>> arm.mean_y.item(), arm.variance_y.item()
    (2.0, 7.0)
    """

    count: Floats
    y: Floats
    yy: Floats
    x: Floats
    xx: Floats
    xy: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, np.atleast_1d(np.asarray(getattr(self, field.name), dtype=float)))
        values = [getattr(self, field.name) for field in fields(self)]
        if len({one.shape for one in values}) > 1 or values[0].ndim != 1:
            raise ParameterError(f"sums have shapes {[one.shape for one in values]}; each holds one number per cell.")
        wrong = [field.name for field, one in zip(fields(self), values) if not np.isfinite(one).all()]
        if wrong or (self.count < 0).any():
            found = f"{', '.join(wrong)} hold what is no finite number" if wrong else "count holds a negative number"
            raise ParameterError(
                f"sums: {found}; "
                "a unit without orders counts as 0, and null outcomes are left out and counted before summing."
            )

    def __add__(self, other: "Sums") -> "Sums":
        """Sum cell by cell."""
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __getitem__(self, cell: int) -> "Sums":
        """One cell alone."""
        return Sums(*(getattr(self, field.name)[cell] for field in fields(self)))

    def total(self) -> "Sums":
        """All cells in one."""
        return Sums(*(getattr(self, field.name).sum() for field in fields(self)))

    def grouped(self, group: NDArray[np.intp]) -> "Sums":
        """Cells of one group number in one, in the order of the numbers 0, 1, ... (``merge_small_cells``)."""
        cells = int(group.max(initial=-1)) + 1
        return Sums(*(np.bincount(group, getattr(self, field.name), cells).astype(float) for field in fields(self)))

    @property
    def mean_y(self) -> Floats:
        """NaN where there are no units."""
        return _divide(self.y, self.count)

    @property
    def mean_x(self) -> Floats:
        """NaN where there are no units."""
        return _divide(self.x, self.count)

    @property
    def variance_y(self) -> Floats:
        """Sample variance; NaN below two units."""
        return self._centred(self.yy, self.y, self.y)

    @property
    def variance_x(self) -> Floats:
        """Sample variance; NaN below two units."""
        return self._centred(self.xx, self.x, self.x)

    @property
    def covariance(self) -> Floats:
        """Sample covariance of x and y; NaN below two units."""
        return self._centred(self.xy, self.x, self.y)

    def _centred(self, products: Floats, left: Floats, right: Floats) -> Floats:
        around = products - _divide(left, self.count) * right
        if left is right:
            around = np.where(around > ROUNDING * products, around, 0.0)
        return np.where(self.count >= 2, _divide(around, self.count - 1), np.nan)


def sums_of(y: ArrayLike, x: ArrayLike | None = None, cell: ArrayLike | None = None, cells: int | None = None) -> Sums:
    """Sum units held in memory, for small data and tests.

    Parameters
    ----------
    y, x
        Outcome and covariate (or denominator) of each unit, shape (units,); x defaults to 0.
    cell
        Number of each unit's cell, from 0; all in one when missing.
    cells
        How many cells there are, so that both arms have the same; defaults to those seen.
    """
    outcome = np.asarray(y, dtype=float)
    covariate = np.zeros_like(outcome) if x is None else np.asarray(x, dtype=float)
    where = np.zeros(outcome.shape, dtype=np.intp) if cell is None else np.asarray(cell, dtype=np.intp)
    least = int(where.max(initial=-1)) + 1 if cells is None else cells
    products = (np.ones_like(outcome), outcome, outcome**2, covariate, covariate**2, covariate * outcome)
    return Sums(*(np.bincount(where, one, max(least, 1)).astype(float) for one in products))


def merge_small_cells(
    count_treatment: ArrayLike, count_control: ArrayLike, least: int = LEAST_UNITS
) -> NDArray[np.intp]:
    """Which cells have to go together so that each has enough units in both arms?

    Cells with fewer than ``least`` units in an arm are merged with each other, and what they make, while it is still
    too small, with the smallest other cell.

    Returns
    -------
    numpy.ndarray
        Group number of each cell, from 0, shape (cells,). One group where nothing else helps.

    Examples
    --------
    >>> merge_small_cells([100, 5, 3, 40], [90, 30, 2, 60]).tolist()
    [0, 1, 1, 1]
    """
    counts = np.stack([np.asarray(one, dtype=float) for one in (count_treatment, count_control)])
    small: NDArray[np.bool_] = np.any(counts < least, axis=0)
    while small.any() and not small.all() and (counts[:, small].sum(axis=1) < least).any():
        others = np.flatnonzero(~small)
        small[others[counts.sum(axis=0)[others].argmin()]] = True
    leaders = np.where(small, small.argmax() if small.any() else 0, np.arange(small.size))
    return np.unique(leaders, return_inverse=True)[1].astype(np.intp)


def cell_weights(count_treatment: Floats, count_control: Floats) -> Floats:
    """Share of each cell among all units of both arms."""
    both = count_treatment + count_control
    return both / both.sum()


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
