"""How sure is a ratio of two uncertain numbers, such as a return on what a coupon cost?"""

import math
from dataclasses import dataclass
from typing import Literal

from workbench.stats.experiment import NAN, checked, critical


@dataclass(frozen=True)
class Ratio:
    """A ratio of two estimates with its confidence set.

    ``reason`` is ``denominator_may_be_zero`` where the set is not an interval (all numbers, or all outside a gap): the
    bounds are then infinite; ``no_numbers`` where an input is missing: all are NaN.
    """

    estimate: float
    lower: float
    upper: float
    reason: Literal["denominator_may_be_zero", "no_numbers"] | None


def fieller(
    numerator: float,
    denominator: float,
    variance_numerator: float,
    variance_denominator: float,
    covariance: float,
    *,
    degrees: float = math.inf,
    confidence_level: float = 0.95,
) -> Ratio:
    """How sure is a ratio of two estimates, such as incremental profit over discount? Fieller's set.

    Parameters
    ----------
    numerator, denominator
        Estimates, with the variances and the covariance of the estimates (not of single units).
    degrees
        Degrees of freedom of Student's t; infinite for the normal distribution.

    Notes
    -----
    The set of r for which numerator - r x denominator is not distinguishable from 0; exact for normal estimates even
    where the denominator is weak, where the delta method is not.

    References
    ----------
    Fieller, E. C. (1954), https://www.jstor.org/stable/2984043.

    Examples
    --------
    >>> found = fieller(10.0, 5.0, 1.0, 0.01, 0.0)
    >>> found.estimate, round(found.lower, 3), round(found.upper, 3)
    (2.0, 1.603, 2.403)
    """
    inputs = (numerator, denominator, variance_numerator, variance_denominator, covariance)
    critical_square = critical(checked(confidence_level), degrees) ** 2
    if not all(math.isfinite(one) for one in inputs) or math.isnan(critical_square):
        return Ratio(NAN, NAN, NAN, "no_numbers")
    square = denominator**2 - critical_square * variance_denominator
    middle = numerator * denominator - critical_square * covariance
    constant = numerator**2 - critical_square * variance_numerator
    estimate = numerator / denominator if denominator else NAN
    if square <= 0:
        return Ratio(estimate, -math.inf, math.inf, "denominator_may_be_zero")
    half = math.sqrt(max(middle**2 - square * constant, 0.0))
    return Ratio(estimate, (middle - half) / square, (middle + half) / square, None)
