"""Exposures and clicks of slots."""

import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, EXPOSURE
from workbench.period import Period


def promotion_counts(events: ir.Table, period: Period, by: str) -> ir.Table:
    """Exposures and clicks by slot and bucket of users.

    Returns
    -------
    ibis.Table
        One row per value of ``by`` and ``user_bucket``: impression_count, click_count, viewer_count,
        clicker_count. A user lies in one bucket, so users add up over buckets.
    """
    inside = events.filter(
        events.event.isin([EXPOSURE, CLICK]),
        events[by].notnull(),
        events.event_ms >= period.start_ms,
        events.event_ms < period.end_ms,
    )
    by_user = inside.group_by([by, "user_id", "user_bucket"]).aggregate(
        exposures=(_.event == EXPOSURE).cast("int64").sum(), clicks=(_.event == CLICK).cast("int64").sum()
    )
    return by_user.group_by([by, "user_bucket"]).aggregate(
        impression_count=_.exposures.sum(),
        click_count=_.clicks.sum(),
        viewer_count=(_.exposures > 0).cast("int64").sum(),
        clicker_count=(_.clicks > 0).cast("int64").sum(),
    )


def unnamed_touches(events: ir.Table, touch: str, period: Period, *, contents_count: bool) -> ir.Table:
    """One row: ``rows``, touches of the period that name no slot (and no content, if those count) and credit none."""
    inside = events.filter(events.event == touch, events.event_ms >= period.start_ms, events.event_ms < period.end_ms)
    unnamed = inside.slot_id.isnull() & inside.content_id.isnull() if contents_count else inside.slot_id.isnull()
    return inside.filter(unnamed).aggregate(rows=_.count())
