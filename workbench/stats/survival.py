"""How many have come back by each day, when not all could be watched equally long?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from workbench.errors import ParameterError

Floats = NDArray[np.float64]


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
