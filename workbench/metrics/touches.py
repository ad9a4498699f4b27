"""Exposures and clicks of slots, and the credit that touches get for conversions."""

from collections.abc import Sequence
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, DIRECT, EXPOSURE
from workbench.metrics.funnel import sortable_id, total_order
from workbench.period import HOUR_MS, Period

CreditModel = Literal["first", "last", "linear"]
_TOUCH, _CONVERSION, _PAYMENT = 0, 1, 2


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


def conversions(events: ir.Table, orders: ir.Table, target: str, period: Period) -> ir.Table:
    """What is credited, one row per conversion in the period.

    ``purchase`` is an order by its payment with its paid amount, ``begin_checkout`` an order by its submission
    with its gross amount, any other target an event of that name, without amount.

    Returns
    -------
    ibis.Table
        user_id, user_bucket, conversion_ms, conversion_key (unique within user and instant), amount.
    """
    if target in ("purchase", "begin_checkout"):
        instant = orders.paid_ms if target == "purchase" else orders.submitted_ms
        amount = orders.paid_amount if target == "purchase" else orders.gross_amount
        table = orders.select(
            "user_id", "user_bucket", conversion_ms=instant, conversion_key=sortable_id(orders.order_id), amount=amount
        )
    else:
        chosen = events.filter(events.event == target)
        place = ibis.row_number().over(group_by="user_id", order_by=[chosen.event_ms, *total_order(chosen)])
        table = chosen.select(
            "user_id",
            "user_bucket",
            conversion_ms=chosen.event_ms,
            conversion_key=sortable_id(place.cast("int64")),
            amount=ibis.null("float64"),
        )
    return table.filter(_.conversion_ms >= period.start_ms, _.conversion_ms < period.end_ms)


def carried_by_users(converted: ir.Table, measure: Literal["amount", "conversions"]) -> ir.Table:
    """One row: total, total_of_squares and largest of what users convert; conversions without a user are left out.

    They give the number of effective buyers and the share that one of them carries.
    """
    known = converted.filter(converted.user_id.notnull())
    value = known.amount.sum() if measure == "amount" else known.count().cast("float64")
    by_user = known.group_by("user_id").aggregate(value=value)
    return by_user.aggregate(total=_.value.sum(), total_of_squares=(_.value * _.value).sum(), largest=_.value.max())


def credit_by_bucket(
    events: ir.Table,
    orders: ir.Table,
    *,
    target: str,
    models: Sequence[CreditModel],
    period: Period,
    lookback_hours: float,
    reset_after_order: bool,
    touch: str = CLICK,
    credit_to: str = "slot_id",
) -> ir.Table:
    """Share each conversion among the touches before it.

    A touch is eligible if it lies in ``[conversion - lookback, conversion]``; at the same instant every touch
    comes before the conversion. With ``reset_after_order`` it must also lie strictly after the user's previous
    paid order: for ``purchase`` the previous in (paid_at, order_id), for other targets the last one strictly
    before the conversion. Conversions without an eligible touch go to ``(direct)``.

    Returns
    -------
    ibis.Table
        One row per model, credited_id and user_bucket: conversion_credit, amount_credit. Per model and bucket
        they sum to the conversions and their amount.

    Notes
    -----
    No join multiplies rows. Touches, conversions and payments stand in one sequence per user; payments cut it
    into segments; a backward window tells each conversion how many touches it has and which are first and last;
    a forward window hands each touch the sum of 1/n over the conversions that it serves.
    """
    lookback_ms = round(lookback_hours * HOUR_MS)
    sequence = _sequence(events, orders, target, period, lookback_ms, touch, credit_to, reset_after_order)
    window = {"group_by": ["user_id", "segment"], "order_by": "instant_ms"}
    back = ibis.range_window(preceding=lookback_ms, following=0, **window)
    is_touch = (sequence.kind == _TOUCH).cast("int64")
    place = ibis.cases((sequence.kind == _TOUCH, sequence.place))
    seen = sequence.mutate(
        touches=is_touch.sum().over(back), first_place=place.min().over(back), last_place=place.max().over(back)
    )
    seen = seen.mutate(touches=seen.takes_touches.ifelse(seen.touches, 0))
    served = (seen.kind == _CONVERSION) & (seen.touches > 0)
    forward = ibis.range_window(preceding=0, following=lookback_ms, **window)
    part = ibis.cases((served, 1.0 / seen.touches.nullif(0)))
    money = ibis.cases((served, seen.amount / seen.touches.nullif(0)))
    parts = []
    if "linear" in models:
        shared = seen.mutate(conversion_credit=part.sum().over(forward), amount_credit=money.sum().over(forward))
        shared = shared.filter(shared.kind == _TOUCH).mutate(model=ibis.literal("linear"))
        parts.append(_summed(shared))
    converted = seen.filter(seen.kind == _CONVERSION)
    touches = seen.filter(seen.kind == _TOUCH).select(
        touch_user_id=_.user_id, touch_place=_.place, touched_id=_.credited_id
    )
    for model, column in (("first", "first_place"), ("last", "last_place")):
        if model in models:
            taken = converted.filter(converted.touches > 0)
            joined = taken.join(touches, [taken.user_id == touches.touch_user_id, taken[column] == touches.touch_place])
            credited = joined.mutate(
                credited_id=joined.touched_id, conversion_credit=ibis.literal(1.0), amount_credit=joined.amount
            )
            parts.append(_summed(credited.mutate(model=ibis.literal(model))))
    untouched = converted.filter(converted.touches == 0).mutate(
        credited_id=ibis.literal(DIRECT), conversion_credit=ibis.literal(1.0), amount_credit=_.amount
    )
    parts += [_summed(untouched.mutate(model=ibis.literal(model))) for model in models]
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _summed(credited: ir.Table) -> ir.Table:
    kept = credited.filter(credited.conversion_credit.notnull())
    return kept.group_by(["model", "credited_id", "user_bucket"]).aggregate(
        conversion_credit=_.conversion_credit.sum(), amount_credit=_.amount_credit.fill_null(0.0).sum()
    )


def _sequence(
    events: ir.Table,
    orders: ir.Table,
    target: str,
    period: Period,
    lookback_ms: int,
    touch: str,
    credit_to: str,
    reset_after_order: bool,
) -> ir.Table:
    """One row per touch and conversion: its segment between payments and its place in the user's order."""
    rows = [_touch_rows(events, touch, credit_to, period, lookback_ms)]
    rows.append(_conversion_rows(conversions(events, orders, target, period), target, reset_after_order))
    if reset_after_order:
        rows.append(_payment_rows(orders))
    union = ibis.union(*rows)
    order = [union.instant_ms, union.kind, union.seq, union.tie]
    running = ibis.window(group_by="user_id", order_by=order, preceding=None, following=0)
    numbered = union.mutate(
        segment=(union.kind == _PAYMENT).cast("int64").sum().over(running),
        place=ibis.row_number().over(group_by="user_id", order_by=order).cast("int64"),
    )
    return numbered.filter(numbered.kind != _PAYMENT)


def _touch_rows(events: ir.Table, touch: str, credit_to: str, period: Period, lookback_ms: int) -> ir.Table:
    chosen = events.filter(
        events.event == touch,
        events[credit_to].notnull(),
        events.event_ms >= period.start_ms - lookback_ms,
        events.event_ms < period.end_ms,
    )
    tie = ibis.literal("")
    for name in ("slot_id", "content_id", "product_id", "order_id"):
        tie = tie + sortable_id(chosen[name]) + "\x1f"
    return _row(chosen, chosen.event_ms, _TOUCH, seq=chosen.seq, tie=tie, credited_id=chosen[credit_to].cast("string"))


def _conversion_rows(converted: ir.Table, target: str, reset_after_order: bool) -> ir.Table:
    takes = ibis.literal(True)
    if target == "purchase" and reset_after_order:
        same_instant = ibis.row_number().over(
            group_by=[converted.user_id, converted.conversion_ms], order_by=converted.conversion_key
        )
        takes = same_instant == 0
    marked = converted.mutate(takes_touches=takes)
    return _row(
        marked,
        marked.conversion_ms,
        _CONVERSION,
        tie=marked.conversion_key,
        amount=marked.amount,
        takes_touches=marked.takes_touches,
    )


def _payment_rows(orders: ir.Table) -> ir.Table:
    paid = orders.filter(orders.paid_ms.notnull(), orders.user_id.notnull())
    return _row(paid, paid.paid_ms, _PAYMENT)


def _row(table: ir.Table, instant_ms: ir.IntegerValue, kind: int, **given: ir.Value) -> ir.Table:
    """Bring touches, conversions and payments to the same columns."""
    columns = {
        "seq": ibis.literal(0, type="int64"),
        "tie": ibis.literal(""),
        "credited_id": ibis.null("string"),
        "amount": ibis.null("float64"),
        "takes_touches": ibis.literal(True),
    } | given
    return table.select(
        "user_id",
        "user_bucket",
        instant_ms=instant_ms.cast("int64"),
        kind=ibis.literal(kind, type="int64"),
        seq=columns["seq"].cast("int64"),
        tie=columns["tie"],
        credited_id=columns["credited_id"],
        amount=columns["amount"],
        takes_touches=columns["takes_touches"],
    )
