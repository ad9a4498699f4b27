"""Figures of a span of days from sums by bucket of users, and how sure their change is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from workbench.stats.intervals import MINIMUM_EFFECTIVE, Floats, effective_count

MEASURES = (
    "visitor_count",
    "buyer_count",
    "order_count",
    "gross_amount",
    "coupon_discount_amount",
    "other_discount_amount",
    "refund_amount",
    "net_amount",
)
VISITORS, BUYERS, ORDERS, GROSS, COUPONS, OTHERS, REFUNDS, NET = range(len(MEASURES))
FIGURES = (
    "net_amount",
    "visitor_count",
    "conversion_rate",
    "buyer_count",
    "orders_per_buyer",
    "order_count",
    "gross_per_order",
    "gross_amount",
    "coupon_discount_amount",
    "other_discount_amount",
    "refund_amount",
    "average_order_value",
)
"""Figures of the picture, in the order shown; ad spend has its own source and no buckets."""
PEOPLE = frozenset({"visitor_count", "conversion_rate", "buyer_count", "orders_per_buyer"})
MONEY = frozenset(FIGURES) - PEOPLE - {"order_count"}
BUCKETS = 256
"""Buckets of users, as the engine makes them."""


@dataclass(frozen=True)
class Known:
    """What the source can tell: visitors (events in both spans), people (user ids) and money (amounts)."""

    visitors: bool
    people: bool
    money: bool

    def figure(self, name: str) -> bool:
        """Whether a figure of ``FIGURES`` can be known."""
        if name in ("visitor_count", "conversion_rate"):
            return self.visitors and self.people
        return (name not in PEOPLE or self.people) and (name not in MONEY or self.money)


@dataclass(frozen=True)
class Sums:
    """Sums of a span of days.

    Attributes
    ----------
    segments
        Names of the segments.
    by_bucket
        Shape (buckets, segments, measures), measures as in ``MEASURES``.
    effective
        Effective buyers, by gross amount.
    largest_share
        Of the gross amount, the part of the buyer with the most.
    """

    segments: tuple[str, ...]
    by_bucket: Floats
    effective: float
    largest_share: float

    @property
    def total(self) -> Floats:
        """Shape (measures,)."""
        return self.by_bucket.sum(axis=(0, 1))

    @property
    def by_segment(self) -> Floats:
        """Shape (segments, measures)."""
        return self.by_bucket.sum(axis=0)


def aligned(frames: Sequence[pd.DataFrame]) -> list[Sums]:
    """Bring collected ``visitor_sums`` of several spans to the same segments, largest first."""
    size = pd.concat([one.groupby("segment")[["visitor_count", "gross_amount"]].sum() for one in frames])
    size = size.groupby(level=0).sum().reset_index().sort_values(["gross_amount", "visitor_count"], ascending=False)
    segments = tuple(
        size.sort_values(["gross_amount", "visitor_count", "segment"], ascending=[False, False, True])["segment"]
    )
    place = {segment: number for number, segment in enumerate(segments)}
    found = []
    for one in frames:
        cube = np.zeros((BUCKETS, max(len(segments), 1), len(MEASURES)))
        if len(one):
            rows = one["user_bucket"].to_numpy(dtype=int), one["segment"].map(place).to_numpy(dtype=int)
            cube[rows] = one[list(MEASURES)].to_numpy(dtype=float)
        gross, squares = float(one["gross_amount"].sum()), float(one["gross_squares"].sum())
        largest = float(one["gross_largest"].max()) if len(one) else 0.0
        found.append(Sums(segments, cube, effective_count(gross, squares), largest / gross if gross else float("nan")))
    return found


def figures(sums: Floats) -> dict[str, Floats]:
    """The figures of ``FIGURES`` from sums, shape (..., measures); NaN where the denominator is 0."""
    x = np.asarray(sums, dtype=float)
    paid = x[..., GROSS] - x[..., COUPONS] - x[..., OTHERS]
    found = {name: x[..., place] for place, name in enumerate(MEASURES)}
    found |= {
        "conversion_rate": _ratio(x[..., BUYERS], x[..., VISITORS]),
        "orders_per_buyer": _ratio(x[..., ORDERS], x[..., BUYERS]),
        "gross_per_order": _ratio(x[..., GROSS], x[..., ORDERS]),
        "average_order_value": _ratio(paid, x[..., ORDERS]),
    }
    return {name: found[name] for name in FIGURES}


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)


def left_out(by_bucket: Floats) -> Floats:
    """Sums without each bucket in turn, scaled up to all of them; shape as given, buckets first.

    What counting without a bucket leaves of floating point, a cent of nobody's order, is 0.
    """
    buckets = len(by_bucket)
    rest = (by_bucket.sum(axis=0) - by_bucket) * (buckets / (buckets - 1))
    rest[np.abs(rest) < 1e-7] = 0.0
    for level, parent in ((BUYERS, VISITORS), (ORDERS, BUYERS), (GROSS, ORDERS)):
        rest[..., level] = np.where(rest[..., parent] == 0, 0.0, rest[..., level])
    return rest


def bounds(
    now: Floats, before: Floats | None, measure: Callable[[Floats, Floats | None], Floats], confidence_level: float
) -> tuple[Floats, Floats]:
    """Bounds of what a function makes of the sums of one or two spans, users being independent and days not.

    Parameters
    ----------
    now, before
        Sums by bucket, shape (buckets, ..., measures); a user lies in the same bucket in both.
    measure
        Makes estimates, shape (..., estimates), of sums now and before, with any leading axes.
    confidence_level
        Coverage wanted.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Lower and upper bound of each estimate; NaN where it does not vary or is none without some bucket.

    Notes
    -----
    Student's t around the estimate with the error of ``jackknife``.
    """
    return jackknife(now, before, measure).bounds(confidence_level)


@dataclass(frozen=True)
class Estimated:
    """Estimates with their standard errors (NaN where one does not vary) and the degrees of freedom of Student's t."""

    estimate: Floats
    error: Floats
    degrees: int

    def bounds(self, confidence_level: float) -> tuple[Floats, Floats]:
        """Lower and upper bound of each estimate."""
        half = stats.t.ppf(0.5 + confidence_level / 2, self.degrees) * self.error
        return self.estimate - half, self.estimate + half

    @property
    def p_value(self) -> Floats:
        """Of an estimate of 0, two-sided; NaN where there is no error."""
        return 2 * stats.t.sf(np.abs(self.estimate) / self.error, self.degrees)


def jackknife(now: Floats, before: Floats | None, measure: Callable[[Floats, Floats | None], Floats]) -> Estimated:
    """What a function makes of the sums of one or two spans, and its error; arguments as in ``bounds``.

    Notes
    -----
    Delete-one-bucket jackknife with Student's t on (buckets with anybody - 1) degrees, the rest scaled up so that totals
    count as drawn too: who comes is as random as what they do. For the difference of two totals this is the plain
    variance of the buckets' differences.

    References
    ----------
    Efron, B. and Stein, C. (1981), doi:10.1214/aos/1176345462.
    """
    estimate = measure(now.sum(axis=0), None if before is None else before.sum(axis=0))
    deleted = measure(left_out(now), None if before is None else left_out(before))
    buckets = len(now)
    axes = tuple(range(1, now.ndim))
    filled = int(((now != 0).any(axis=axes) | (False if before is None else (before != 0).any(axis=axes))).sum())
    middle = deleted.mean(axis=0)
    error = np.sqrt((buckets - 1) / buckets * ((deleted - middle) ** 2).sum(axis=0))
    return Estimated(estimate, np.where((error > 1e-12) & (filled >= 2), error, np.nan), max(filled - 1, 1))


def has_enough(*spans: Sums) -> bool:
    """Whether each span has the effective buyers that an interval of money needs."""
    return all(one.effective >= MINIMUM_EFFECTIVE for one in spans)
