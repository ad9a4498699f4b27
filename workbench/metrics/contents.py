"""Exposures and clicks of contents: by slot and week for the click model, and of whom they are shown to."""

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, EXPOSURE
from workbench.metrics.local_days import local_day
from workbench.period import Period

MONDAY_SHIFT = 3
"""1970-01-01 was a Thursday: three days more, and whole sevens start on Mondays."""
PRIOR_EXPOSURES = 20
"""A user's click-through rate elsewhere counts as if the user had had so many average exposures besides."""


def promoted(events: ir.Table, period: Period) -> ir.Table:
    """Exposures and clicks of the period that name a content: ids as text, is_exposure and is_click as 0 or 1.

    A column ``slot_id`` is null where the source has none.
    """
    chosen = events.filter(
        events.event.isin([EXPOSURE, CLICK]),
        events.content_id.notnull(),
        events.event_ms >= period.start_ms,
        events.event_ms < period.end_ms,
    )
    return chosen.select(
        "user_id",
        "user_bucket",
        "event_ms",
        content_id=chosen.content_id.cast("string"),
        slot_id=chosen.slot_id.cast("string"),
        is_exposure=(chosen.event == EXPOSURE).cast("int64"),
        is_click=(chosen.event == CLICK).cast("int64"),
    )


def content_slots(events: ir.Table, period: Period) -> ir.Table:
    """Which contents stood in which slots, and did they stand there alone?

    Returns
    -------
    ibis.Table
        One row per content_id and slot_id (null: an event without one): impression_count, click_count and
        shared_day_count, the local days on which the slot showed other contents too.
    """
    rows = promoted(events, period)
    by_day = (
        rows.mutate(day=local_day(rows.event_ms, period))
        .group_by(["slot_id", "content_id", "day"])
        .aggregate(exposures=_.is_exposure.sum(), clicks=_.is_click.sum())
    )
    shown = ibis.cases((by_day.exposures > 0, by_day.content_id))
    slot_day = ibis.window(group_by=["slot_id", "day"])
    is_shared = (shown.min().over(slot_day) != shown.max().over(slot_day)) & (by_day.exposures > 0)
    return (
        by_day.mutate(shared=(is_shared & by_day.slot_id.notnull()).fill_null(False).cast("int64"))
        .group_by(["content_id", "slot_id"])
        .aggregate(impression_count=_.exposures.sum(), click_count=_.clicks.sum(), shared_day_count=_.shared.sum())
    )


def content_users(events: ir.Table, period: Period) -> ir.Table:
    """How many people saw and clicked each content? One row per content_id: viewer_count, clicker_count."""
    by_user = promoted(events, period).group_by(["content_id", "user_id"])
    sums = by_user.aggregate(exposures=_.is_exposure.sum(), clicks=_.is_click.sum())
    return sums.group_by("content_id").aggregate(
        viewer_count=(_.exposures > 0).cast("int64").sum(), clicker_count=(_.clicks > 0).cast("int64").sum()
    )


def content_cells(
    events: ir.Table, period: Period, *, slots: list[str] | None = None, contents: list[str] | None = None
) -> ir.Table:
    """Exposures and clicks of the cells of the click model, by bucket of users.

    Parameters
    ----------
    events, period
        As above.
    slots, contents
        Ids to tell apart; all if not given. Others keep their content, without slot and week.

    Returns
    -------
    ibis.Table
        One row per slot_id, content_id, week and bucket: impression_count, click_count. ``week`` is the number of
        the local week from Monday to Sunday (that of 1970-01-01 is 0); ``bucket`` one of 64, text, four of the 256
        buckets of users each. Where there is no slot, slot_id and week are null.
    """
    rows = promoted(events, period)
    inside = rows.slot_id.notnull()
    if slots is not None:
        inside = inside & rows.slot_id.isin(slots)
    if contents is not None:
        inside = inside & rows.content_id.isin(contents)
    week = (local_day(rows.event_ms, period) + MONDAY_SHIFT) // 7
    rows = rows.mutate(slot_id=ibis.cases((inside, rows.slot_id)), week=ibis.cases((inside, week.cast("int64"))))
    fine = rows.group_by(["slot_id", "content_id", "week", "user_bucket"]).aggregate(
        exposures=_.is_exposure.sum(), clicks=_.is_click.sum()
    )
    return (
        fine.mutate(bucket=fine.user_bucket % 64)
        .group_by(["slot_id", "content_id", "week", "bucket"])
        .aggregate(impression_count=_.exposures.sum(), click_count=_.clicks.sum())
    )


def content_audience(events: ir.Table, period: Period, average_rate: float, *, buckets: int = 256) -> ir.Table:
    """Is a content shown to users who click more, or less, than others who see the same slot on the same day?

    Parameters
    ----------
    events, period
        As above.
    average_rate
        Clicks per exposure of all contents, to which the rates of users with few exposures are drawn.
    buckets
        So many of the 256 buckets of users are looked at; fewer are faster.

    Returns
    -------
    ibis.Table
        One row per slot_id, week, content_id and user_bucket: exposures on days on which the slot showed several
        contents, and rate_surplus: summed over these exposures, the user's click-through rate elsewhere minus its
        mean over all exposures of that slot and day. Divided by each other they say how much more viewers click.

    Notes
    -----
    Rate of a user seen from one slot and day: (clicks elsewhere + 20 r) / (exposures elsewhere + 20), r the average
    rate; elsewhere is in other slots on other days. The day is left out or the visit itself would speak, the slot
    or a content that a user always meets there would speak for itself. Where contents are placed without regard to
    the user, every exposure of a slot and day is as likely to be of any of its contents, and the surplus is 0 on
    average, also where a user keeps the content drawn at first. Contents that follow each other within a day are
    compared all the same.
    """
    rows = promoted(events, period)
    rows = rows.mutate(day=local_day(rows.event_ms, period))
    if buckets < 256:
        rows = rows.filter(rows.user_bucket < buckets)
    visits = rows.group_by(["user_id", "user_bucket", "slot_id", "day", "content_id"]).aggregate(
        exposures=_.is_exposure.sum(), clicks=_.is_click.sum()
    )
    user, slot, day, both = (
        ibis.window(group_by=["user_id", *more]) for more in ([], ["slot_id"], ["day"], ["slot_id", "day"])
    )
    exposures, clicks = (
        one.sum().over(user) - one.sum().over(slot) - one.sum().over(day) + one.sum().over(both)
        for one in (visits.exposures, visits.clicks)
    )
    rate = (clicks + PRIOR_EXPOSURES * average_rate) / (exposures + PRIOR_EXPOSURES)
    seen = visits.mutate(rates=rate * visits.exposures)
    seen = seen.filter(seen.slot_id.notnull(), seen.exposures > 0)
    shown = seen.group_by(["slot_id", "day", "content_id", "user_bucket"]).aggregate(
        exposures=_.exposures.sum(), rates=_.rates.sum()
    )
    stratum = ibis.window(group_by=["slot_id", "day"])
    shown = shown.mutate(
        mean=shown.rates.sum().over(stratum) / shown.exposures.sum().over(stratum).nullif(0),
        is_shared=shown.content_id.min().over(stratum) != shown.content_id.max().over(stratum),
    )
    shared = shown.filter(shown.is_shared).mutate(week=((_.day + MONDAY_SHIFT) // 7).cast("int64"))
    return shared.group_by(["slot_id", "week", "content_id", "user_bucket"]).aggregate(
        exposures=_.exposures.sum(), rate_surplus=(_.rates - _.exposures * _.mean).sum()
    )
