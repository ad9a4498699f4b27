"""Who comes back: users of a slot who use it again, and users of a slot who come to the site again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK
from workbench.metrics.local_days import local_day
from workbench.period import Period, local_date

RetentionUnit = Literal["day", "week"]
_EPOCH = date(1970, 1, 1)
_DAYS_BEFORE_MONDAY = 3
"""1970-01-01 was a Thursday; three days before it a week began."""


@dataclass(frozen=True)
class WholePeriods:
    """Days or weeks by number that lie whole inside the report and inside the data.

    Attributes
    ----------
    first, end
        A start is one of these: ``first <= number < end``.
    data_end
        What is followed lies before this one.
    """

    first: int
    end: int
    data_end: int


def period_number(day: ir.IntegerValue, unit: RetentionUnit) -> ir.IntegerValue:
    """Number of the day or of its week from Monday (ISO 8601); both count from those that hold 1970-01-01 as 0."""
    if unit == "day":
        return day
    return ((day + _DAYS_BEFORE_MONDAY) // 7).cast("int64")


def whole_periods(period: Period, unit: RetentionUnit) -> WholePeriods:
    """Which days or weeks lie whole in the report's period and in the data?

    The data reach from the local day of the first event or order to that of the last one, both taken as whole days.

    Examples
    --------
    >>> from workbench.period import make_period
    >>> march = make_period("2026-03-01", "2026-03-20", "UTC", data_start_ms=0, data_last_ms=1774569600000)
    >>> whole_periods(march, "day")  # 2026-03-01 is day 20513, a Sunday; the data end on 2026-03-27
    WholePeriods(first=20513, end=20532, data_end=20540)
    >>> whole_periods(march, "week")  # whole in the report: the weeks from Monday 2026-03-02 and 03-09
    WholePeriods(first=2931, end=2933, data_end=2934)
    """
    first = (max(period.start_date, local_date(period.data_start_ms, period.timezone)) - _EPOCH).days
    data_end = (local_date(period.data_end_ms, period.timezone) - _EPOCH).days
    end = min((period.end_date - _EPOCH).days, data_end)
    if unit == "week":
        first = -((-first - _DAYS_BEFORE_MONDAY) // 7)
        end, data_end = ((one + _DAYS_BEFORE_MONDAY) // 7 for one in (end, data_end))
    return WholePeriods(first, end, data_end)


def touch_counts(events: ir.Table, period: Period, touch: str = CLICK) -> ir.Table:
    """How often was each slot used in the period?

    Returns
    -------
    ibis.Table
        One row per slot_id: touch_count.
    """
    inside = events.filter(
        events.event == touch,
        events.slot_id.notnull(),
        events.event_ms >= period.start_ms,
        events.event_ms < period.end_ms,
    )
    return inside.group_by("slot_id").aggregate(touch_count=_.count())


def retention_counts(
    events: ir.Table,
    period: Period,
    longest: Mapping[RetentionUnit, int],
    *,
    touch: str = CLICK,
    slot_ids: Sequence[object] | None = None,
) -> ir.Table:
    """How many users of a slot use it again, and how many come again at all, 1, 2, ... days or weeks later?

    Parameters
    ----------
    events
        Events of the shop.
    period
        A start is a user, a slot and a local day (or a week from Monday) on which the user used the slot; the day
        (week) must lie whole in the period and in the data.
    longest
        The last number of days and of weeks later.
    touch
        Event by which a slot is used.
    slot_ids
        Slots to look at; None for all.

    Returns
    -------
    ibis.Table
        One row per unit, slot_id and user_bucket: start_count, and for k from 1 to the longest: followed_k (starts
        of which the k-th day or week later lies whole in the data), retained_k (of those, the user used the slot in
        it) and site_retained_k (of those, the user had any event in it). Beyond the longest k of a unit all are 0.

    Notes
    -----
    A user, a slot and a day give one row however often the user clicks, so joining starts with later uses grows
    with the days of the data, never with the square of clicks.
    """
    number = local_day(events.event_ms, period)
    touched = events.filter(events.event == touch, events.slot_id.notnull())
    if slot_ids is not None:
        touched = touched.filter(touched.slot_id.isin(list(slot_ids)))
    uses = touched.select("slot_id", "user_id", "user_bucket", number=number).distinct()
    visits = events.select("user_id", number=number).distinct()
    steps = range(1, max(longest.values()) + 1)
    columns = ["start_count", *(f"{name}_{k}" for name in ("followed", "retained", "site_retained") for k in steps)]
    zero = ibis.literal(0, type="int64")
    parts = [
        part.select(
            "slot_id",
            "user_bucket",
            unit=ibis.literal(unit),
            **{name: part[name].cast("int64") if name in part.columns else zero for name in columns},
        )
        for unit, last in longest.items()
        for part in _unit_counts(uses, visits, whole_periods(period, unit), unit, last)
    ]
    union = ibis.union(*parts)
    return union.group_by(["unit", "slot_id", "user_bucket"]).aggregate(**{name: union[name].sum() for name in columns})


def _unit_counts(
    uses: ir.Table, visits: ir.Table, whole: WholePeriods, unit: RetentionUnit, longest: int
) -> tuple[ir.Table, ir.Table, ir.Table]:
    """Count by slot and bucket: starts and those followed, those retained, those retained by the site."""
    if unit != "day":
        uses, visits = (one.mutate(number=period_number(one.number, unit)).distinct() for one in (uses, visits))
    uses, visits = (one.filter(one.number >= whole.first, one.number < whole.data_end) for one in (uses, visits))
    starts = uses.filter(uses.number < whole.end)
    followed = starts.group_by(["slot_id", "user_bucket"]).aggregate(
        start_count=starts.count(),
        **{f"followed_{k}": (starts.number + k < whole.data_end).cast("int64").sum() for k in range(1, longest + 1)},
    )
    again = uses.select(later_slot_id=_.slot_id, later_user_id=_.user_id, later=_.number)
    visited = visits.select(later_user_id=_.user_id, later=_.number)
    return (
        followed,
        _later_counts(starts, again, ["slot_id", "user_id"], "retained", longest),
        _later_counts(starts, visited, ["user_id"], "site_retained", longest),
    )


def _later_counts(starts: ir.Table, later: ir.Table, keys: Sequence[str], name: str, longest: int) -> ir.Table:
    """Count starts by how much later the same user (and slot) is seen again."""
    same = [starts[key] == later[f"later_{key}"] for key in keys]
    joined = starts.join(later, [*same, later.later > starts.number, later.later <= starts.number + longest])
    after = {f"{name}_{k}": (joined.later == joined.number + k).cast("int64").sum() for k in range(1, longest + 1)}
    return joined.group_by(["slot_id", "user_bucket"]).aggregate(**after)
