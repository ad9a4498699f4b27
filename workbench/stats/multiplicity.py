"""How sure is one of many comparisons? Adjusted p-values and the intervals that go with them; NaN stays NaN."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from workbench.errors import ParameterError
from workbench.stats.experiment import checked
from workbench.stats.intervals import Floats

Method = Literal["holm", "benjamini_hochberg", "none"]


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values so that any false alarm among all is as rare as one comparison's.

    Parameters
    ----------
    p_values
        Shape (comparisons,); NaN is no comparison and stays NaN.

    References
    ----------
    Holm, S. (1979), https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> holm([0.01, 0.04, float("nan"), 0.03]).round(4).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    p, order = _ranked(p_values)
    stepped = p[order] * np.arange(order.size, 0, -1)
    return _placed(np.maximum.accumulate(stepped), p, order)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjust p-values so that among what is called an effect the expected share of false ones is held.

    Parameters
    ----------
    p_values
        Shape (comparisons,), independent or positively dependent; NaN is no comparison and stays NaN.

    References
    ----------
    Benjamini, Y. and Hochberg, Y. (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    p, order = _ranked(p_values)
    stepped = p[order] * order.size / np.arange(1, order.size + 1)
    return _placed(np.minimum.accumulate(stepped[::-1])[::-1], p, order)


def adjusted_p_values(p_values: ArrayLike, method: Method) -> Floats:
    """Adjust by the method named; ``none`` leaves p-values as they are."""
    if method == "none":
        return np.asarray(p_values, dtype=float).copy()
    return {"holm": holm, "benjamini_hochberg": benjamini_hochberg}[_known(method)](p_values)


def adjusted_intervals(
    estimate: ArrayLike,
    std_error: ArrayLike,
    p_values: ArrayLike,
    method: Method,
    *,
    degrees: ArrayLike = np.inf,
    confidence_level: float = 0.95,
) -> tuple[Floats, Floats]:
    """Give intervals that say the same as the adjusted p-values: 0 is outside exactly where p_adjusted < 1 - level.

    Parameters
    ----------
    estimate, std_error, p_values
        Of each comparison, shape (comparisons,); ``p_values`` unadjusted.
    method
        ``holm``: the k-th smallest of m p-values has level a / (m - k + 1), where a = 1 - confidence_level, and every
        comparison after the first that is not rejected has that one's. ``benjamini_hochberg``: all have level a R / m,
        where R comparisons are rejected (1 if none): false-coverage adjusted. ``none``: each has level a.
    degrees
        Degrees of freedom of Student's t that the p-values come from; infinite for the normal distribution.
    confidence_level
        Coverage wanted, strictly between 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper bounds, NaN where the p-value is.

    Notes
    -----
    With Holm the intervals that hold 0 cover together at the level or above. Those of rejected comparisons are for the
    size of each one; that all of them cover together needs level a / m for each.

    References
    ----------
    Benjamini, Y. and Yekutieli, D. (2005), doi:10.1198/016214504000001907.
    """
    alpha = 1 - checked(confidence_level)
    p, order = _ranked(p_values)
    level = np.full(p.shape, np.nan)
    count = order.size
    rejected = int((adjusted_p_values(p, method)[order] < alpha).sum())
    if method == "holm":
        step = np.minimum(np.arange(count), rejected)
        level[order] = alpha / np.maximum(count - step, 1)
    elif method == "benjamini_hochberg":
        level[order] = alpha * max(rejected, 1) / max(count, 1)
    else:
        level[order] = alpha
    middle, error, freedom = (np.asarray(one, dtype=float) for one in (estimate, std_error, degrees))
    is_normal = np.isinf(freedom)
    student = special.stdtrit(np.where(is_normal, 1.0, freedom), level / 2)
    half = -np.where(is_normal, special.ndtri(level / 2), student) * error
    return middle - half, middle + half


def _known(method: str) -> Literal["holm", "benjamini_hochberg"]:
    if method not in ("holm", "benjamini_hochberg"):
        raise ParameterError(f'method is "{method}"; allowed are "holm", "benjamini_hochberg" and "none".')
    return method  # type: ignore[return-value]


def _ranked(p_values: ArrayLike) -> tuple[Floats, np.ndarray]:
    """Return p-values and the places of those that are numbers, smallest first."""
    p = np.asarray(p_values, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise ParameterError(
            "p_values hold a number outside 0 to 1; each is a probability, or NaN where there is none."
        )
    order = np.argsort(p, kind="stable")
    return p, order[: int(np.isfinite(p).sum())]


def _placed(stepped: Floats, p: Floats, order: np.ndarray) -> Floats:
    found = np.full(p.shape, np.nan)
    found[order] = np.minimum(stepped, 1.0)
    return found
