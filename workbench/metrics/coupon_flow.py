"""Coupon before or after payment: what assigned users do from their first submitted order on."""

import ibis
import ibis.expr.types as ir

from workbench.metrics.funnel import sortable_id
from workbench.metrics.local_days import local_day
from workbench.period import DAY_MS, HOUR_MS, Period


def flow_units(
    units: ir.Table,
    orders: ir.Table,
    period: Period,
    days: int,
    *,
    grants: ir.Table | None = None,
    coupon_id: object = None,
) -> ir.Table:
    """How far did each unit get in the window after its assignment, and did it come back?

    Parameters
    ----------
    units
        From ``experiment_units.assigned_units``, also through ``experiments.followed_units``.
    orders
        Orders of the shop; those of nobody do not count.
    period
        Gives the time zone of local days and the end of the data.
    days
        Length of the window ``assigned <= instant < assigned + days``, in which everything counted here lies.
    grants
        Coupon grants, for the columns of coupons; None: there are no such columns.
    coupon_id
        The coupon whose grants count; None: those of all coupons.

    Returns
    -------
    ibis.Table
        One row per unit: its columns, followed (the window has elapsed), submitted
        (there is an order submitted in the window), paid (the first of these, by instant and id, was paid in it),
        pay_hours (hours from its submission to its payment; null: not paid), has_paid_any (an order was paid),
        paid_again (another one on a later local day than the first). With ``grants``: has_grant, and has_used (an
        order with the coupon was paid).
    """
    near = _orders_in_window(units, orders, period, days)
    if grants is not None:
        given = grants if coupon_id is None else grants.filter(grants.coupon_id == coupon_id)
        used = given.filter(given.order_id.notnull()).select(coupon_order_id=given.order_id).distinct()
        near = near.left_join(used, near.order_id == used.coupon_order_id)
    is_first = near.is_submitted & (near.order_number == 0)
    found = {
        "order_count": near.is_submitted.cast("int64").sum(),
        "first_paid_count": (is_first & near.is_paid).cast("int64").sum(),
        "pay_ms": (near.paid_ms - near.submitted_ms).max(where=is_first & near.is_paid),
        "paid_count": near.is_paid.cast("int64").sum(),
        "first_day": near.paid_day.min(where=near.is_paid),
        "last_day": near.paid_day.max(where=near.is_paid),
    }
    if grants is not None:
        found["used_count"] = (near.is_paid & near.coupon_order_id.notnull()).cast("int64").sum()
    steps = near.group_by(step_unit_id=near.unit_id).aggregate(**found)
    joined = units.left_join(steps, units.unit_id == steps.step_unit_id)
    columns: dict[str, ir.Value] = {
        "followed": joined.assigned_ms + days * DAY_MS <= period.data_end_ms,
        "submitted": joined.order_count.fill_null(0) > 0,
        "paid": joined.first_paid_count.fill_null(0) > 0,
        "pay_hours": joined.pay_ms / HOUR_MS,
        "has_paid_any": joined.paid_count.fill_null(0) > 0,
        "paid_again": (joined.last_day > joined.first_day).fill_null(False),
    }
    if grants is not None:
        holders = _holders(units, given, days)
        joined = joined.left_join(holders, joined.unit_id == holders.holder_unit_id)
        columns["has_grant"] = joined.holder_unit_id.notnull()
        columns["has_used"] = joined.used_count.fill_null(0) > 0
    return joined.select(*units.columns, **columns)


def _orders_in_window(units: ir.Table, orders: ir.Table, period: Period, days: int) -> ir.Table:
    """Orders of units submitted or paid in the window; those submitted in it come first and are numbered from 0."""
    known = orders.filter(orders.user_id.notnull()).select("order_id", "user_id", "submitted_ms", "paid_ms")
    since = units.select("unit_id", "assigned_ms")
    met = known.inner_join(since, known.user_id == since.unit_id)
    end = met.assigned_ms + days * DAY_MS
    marked = met.mutate(
        is_submitted=(met.submitted_ms >= met.assigned_ms) & (met.submitted_ms < end),
        is_paid=((met.paid_ms >= met.assigned_ms) & (met.paid_ms < end)).fill_null(False),
    )
    near = marked.filter(marked.is_submitted | marked.is_paid)
    order = [(~near.is_submitted).cast("int64"), near.submitted_ms, sortable_id(near.order_id)]
    return near.mutate(
        paid_day=local_day(near.paid_ms, period),
        order_number=ibis.row_number().over(group_by=near.unit_id, order_by=order),
    )


def _holders(units: ir.Table, given: ir.Table, days: int) -> ir.Table:
    """Units to which the coupon was given in the window, once each."""
    own = given.select(holder_id=given.user_id, granted_ms=given.granted_ms)
    since = units.select("unit_id", "assigned_ms").view()
    met = own.inner_join(since, own.holder_id == since.unit_id)
    inside = met.filter(met.granted_ms >= met.assigned_ms, met.granted_ms < met.assigned_ms + days * DAY_MS)
    return inside.select(holder_unit_id=inside.unit_id).distinct()


def flow_sums(flow: ir.Table) -> ir.Table:
    """How far did the arms get?

    Parameters
    ----------
    flow
        From ``flow_units``.

    Returns
    -------
    ibis.Table
        One row per variant, and week where the units have one: unit_count; of the units whose window has elapsed followed_count, submitted_count,
        paid_count (the first submitted order was paid), paid_any_count, paid_again_count, pay_hours_sum and
        pay_hours_squares (over the ``paid_count`` first orders); where ``flow`` has coupons granted_count, used_count
        and used_again_count (used it and paid again on a later day).
    """
    marks = {
        "submitted_count": flow.submitted,
        "paid_count": flow.paid,
        "paid_any_count": flow.has_paid_any,
        "paid_again_count": flow.paid_again,
    }
    if "has_used" in flow.columns:
        marks |= {
            "granted_count": flow.has_grant,
            "used_count": flow.has_used,
            "used_again_count": flow.has_used & flow.paid_again,
        }
    hours = {"pay_hours_sum": flow.pay_hours, "pay_hours_squares": flow.pay_hours * flow.pay_hours}
    cell = [name for name in ("variant", "week") if name in flow.columns]
    return flow.group_by(cell).aggregate(
        unit_count=flow.count(),
        followed_count=flow.followed.cast("int64").sum(),
        **{name: (flow.followed & mark).cast("int64").sum() for name, mark in marks.items()},
        **{name: value.sum(where=flow.followed).fill_null(0.0) for name, value in hours.items()},
    )
