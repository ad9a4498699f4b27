"""How uncertain is a rate or a ratio? Intervals for independent users and for sums over buckets of users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from workbench.errors import ParameterError

Floats = NDArray[np.float64]
_BLOCK = 1_000  # ratios at a time, so that memory does not grow with their number
MINIMUM_EFFECTIVE = 50
"""Below this many effective buyers no interval of money is given."""
MINIMUM_ENTROPY = 100
"""Draws below which the interval of an entropy covers too little."""


@dataclass(frozen=True)
class Interval:
    """Estimates with their bounds, arrays of one shape; NaN where there is none."""

    estimate: Floats
    lower: Floats
    upper: Floats


def wilson(successes: ArrayLike, trials: ArrayLike, *, confidence_level: float = 0.95) -> Interval:
    """How sure is a share of users? Wilson's score interval, for rows that are one user each.

    Parameters
    ----------
    successes, trials
        Counts, broadcast together.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    Interval
        Fractions 0-1; NaN where there are no trials.

    Notes
    -----
    Wrong where one user gives several rows: then the rows are not independent; use ``ratio_by_bucket``.

    References
    ----------
    Wilson, E. B. (1927), doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> found = wilson(10, 100)
    >>> found.lower.round(4).item(), found.upper.round(4).item()
    (0.0552, 0.1744)
    """
    z = stats.norm.ppf(0.5 + _checked(confidence_level) / 2)
    k, n = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(trials, dtype=float))
    n = np.where(n > 0, n, np.nan)
    share = k / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(share, np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1))


def ratio_by_bucket(
    numerators: ArrayLike, denominators: ArrayLike, *, confidence_level: float = 0.95, is_share: bool = True
) -> Interval:
    """How sure is a ratio of sums, when users and not rows are independent?

    Parameters
    ----------
    numerators, denominators
        Sums by bucket of users, shape (buckets, ratios); denominators may have one column for all. Users are hashed into buckets, so buckets are
        independent however many rows a user has.
    confidence_level
        Coverage wanted, strictly between 0 and 1.
    is_share
        True for a ratio between 0 and 1, whose interval is built on the logit scale and stays inside.

    Returns
    -------
    Interval
        One estimate per ratio. The bounds are NaN where fewer than two buckets hold anything or where the
        ratio does not vary (0, 1, or all from one bucket).

    Notes
    -----
    Delete-one-bucket jackknife with Student's t on (non-empty buckets - 1) degrees of freedom.

    References
    ----------
    Efron, B. and Stein, C. (1981), doi:10.1214/aos/1176345462.
    """
    top, bottom = (np.atleast_2d(np.asarray(one, dtype=float)) for one in (numerators, denominators))
    if top.shape[1] > _BLOCK:
        parts = [
            ratio_by_bucket(
                top[:, start : start + _BLOCK],
                bottom if bottom.shape[1] == 1 else bottom[:, start : start + _BLOCK],
                confidence_level=confidence_level,
                is_share=is_share,
            )
            for start in range(0, top.shape[1], _BLOCK)
        ]
        return Interval(
            *(np.concatenate([getattr(one, name) for one in parts]) for name in ("estimate", "lower", "upper"))
        )
    filled = (bottom != 0) | (top != 0)
    count = filled.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = top.sum(axis=0) / bottom.sum(axis=0)
        left_out = (top.sum(axis=0) - top) / (bottom.sum(axis=0) - bottom)
        scale = (lambda x: np.log(x / (1 - x))) if is_share else (lambda x: x)
        deleted = np.where(filled, scale(left_out), np.nan)
        middle = np.where(count > 0, np.nansum(deleted, axis=0) / np.maximum(count, 1), np.nan)
        squares = np.nansum((deleted - middle) ** 2, axis=0)
        error = np.sqrt(np.maximum(count - 1, 0) / np.maximum(count, 1) * squares)
        usable = (count >= 2) & np.isfinite(scale(estimate)) & (error > 0)
        usable &= np.where(filled, np.isfinite(deleted), True).all(axis=0)
        half = stats.t.ppf(0.5 + _checked(confidence_level) / 2, np.maximum(count - 1, 1)) * error
        bounds = [np.where(usable, scale(estimate) + sign * half, np.nan) for sign in (-1, 1)]
    if is_share:
        bounds = [1 / (1 + np.exp(-one)) for one in bounds]
    return Interval(estimate, bounds[0], bounds[1])


def zero_share_upper(units: ArrayLike, *, confidence_level: float = 0.95) -> Floats:
    """How large can a share still be when none of so many independent units showed it? Exact binomial bound.

    Examples
    --------
    >>> zero_share_upper(100).round(4).item()
    0.0362
    """
    n = np.asarray(units, dtype=float)
    with np.errstate(divide="ignore"):
        return np.where(n > 0, 1 - ((1 - _checked(confidence_level)) / 2) ** (1 / n), np.nan)


def effective_counts(totals: ArrayLike, totals_of_squares: ArrayLike) -> Floats:
    """The same as ``effective_count`` for arrays."""
    x, squares = (np.asarray(one, dtype=float) for one in (totals, totals_of_squares))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(squares > 0, x**2 / squares, 0.0)


def effective_count(total: float, total_of_squares: float) -> float:
    """How many equal buyers carry as much as these? (sum x)^2 / sum x^2.

    Examples
    --------
    >>> effective_count(4.0, 4.0), round(effective_count(103.0, 10_003.0), 2)
    (4.0, 1.06)
    """
    return effective_counts(total, total_of_squares).item()


def _checked(confidence_level: float) -> float:
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}; it lies strictly between 0 and 1, such as 0.95.")
    return confidence_level


def entropy_interval(
    entropy: ArrayLike, squares: ArrayLike, categories: ArrayLike, draws: ArrayLike, *, confidence_level: float = 0.95
) -> tuple[Floats, Floats]:
    """Interval of the entropy -sum p ln p of the shares from which so many draws were made.

    Parameters
    ----------
    entropy, squares
        Of the shares found, in nats: -sum p ln p, and sum p (ln p)^2; shape (groups,).
    categories
        Categories found.
    draws
        Independent draws, such as effective buyers.
    confidence_level
        Coverage wanted.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Lower and upper bound, shape (groups,), the entropy found between them; NaN below ``MINIMUM_ENTROPY`` draws.

    Notes
    -----
    The entropy of a sample is too low by some (categories - 1) / (2 draws) (Miller, 1955), by which the interval is
    shifted; the second term of the variance (Harris, 1975) counts where all categories are drawn about alike, and the
    first one vanishes.
    """
    found, second, cells, count = (np.asarray(one, dtype=float) for one in (entropy, squares, categories, draws))
    count = np.where(count >= MINIMUM_ENTROPY, count, np.nan)
    unseen = (cells - 1) / (2 * count)
    spread = np.sqrt((np.maximum(second - found**2, 0) + unseen) / count)
    half = stats.norm.ppf(0.5 + confidence_level / 2) * spread
    return found + np.minimum(unseen - half, 0), found + unseen + half
