"""Grants, redemptions and orders of coupons."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.orders import paid_in_period
from workbench.metrics.repurchase import next_payments, repurchase_counts
from workbench.period import Period

ALL_COUPONS = "(all)"


def grant_counts(grants: ir.Table, paid: ir.Table, period: Period) -> ir.Table:
    """Grants given in the period and those of them redeemed by a paid order up to the end of the data.

    Returns
    -------
    ibis.Table
        One row per coupon_id: granted_count, redeemed_count.
    """
    given = grants.filter(grants.granted_ms >= period.start_ms, grants.granted_ms < period.end_ms)
    known = paid.select(paid_order_id=paid.order_id).distinct()
    joined = given.left_join(known, given.order_id == known.paid_order_id)
    marked = joined.mutate(is_redeemed=joined.paid_order_id.notnull())
    return marked.group_by("coupon_id").aggregate(
        granted_count=_.count(),
        redeemed_count=_.is_redeemed.cast("int64").sum(),
    )


def coupon_orders(grants: ir.Table, paid: ir.Table) -> ir.Table:
    """Paid orders on which a coupon was used; one row per coupon and order.

    Returns
    -------
    ibis.Table
        coupon_id, order_id, user_id, user_bucket, paid_ms, gross_amount, paid_amount, refund_amount, and
        ``discount``: the grant's own amount, or the order's coupon discount where the grant does not say.
    """
    used = grants.filter(grants.order_id.notnull())
    by_order = used.group_by(["coupon_id", "order_id"]).aggregate(granted_discount=_.discount_amount.sum())
    joined = by_order.inner_join(paid, "order_id")
    return joined.select(
        "coupon_id",
        "order_id",
        "user_id",
        "user_bucket",
        "paid_ms",
        "gross_amount",
        "paid_amount",
        "refund_amount",
        discount=ibis.coalesce(joined.granted_discount, joined.coupon_discount_amount),
    )


def any_coupon_orders(orders_by_coupon: ir.Table) -> ir.Table:
    """The same with each order once, whatever coupons it carries; coupon_id is ``(all)``."""
    once = orders_by_coupon.group_by(
        ["order_id", "user_id", "user_bucket", "paid_ms", "gross_amount", "paid_amount", "refund_amount"]
    ).aggregate(discount=_.discount.sum())
    return once.mutate(coupon_id=ibis.literal(ALL_COUPONS)).select(*orders_by_coupon.columns)


def coupon_sums(orders_by_coupon: ir.Table, period: Period) -> ir.Table:
    """What a coupon's orders paid in the period add up to, by bucket of users.

    Returns
    -------
    ibis.Table
        One row per coupon_id and user_bucket: order_count, amount_count (orders with an amount), gross_amount,
        coupon_discount_amount, paid_amount, refund_amount, gross_squares (sum over users of their squared gross
        amount; orders without a user left out).
    """
    inside = paid_in_period(orders_by_coupon, period)
    by_user = inside.group_by(["coupon_id", "user_bucket", "user_id"]).aggregate(
        orders=_.count(),
        amounts=_.gross_amount.count(),
        gross=_.gross_amount.sum(),
        discount=_.discount.sum(),
        paid=_.paid_amount.sum(),
        refund=_.refund_amount.sum(),
    )
    return by_user.group_by(["coupon_id", "user_bucket"]).aggregate(
        order_count=_.orders.sum(),
        amount_count=_.amounts.sum(),
        gross_amount=_.gross.sum(),
        coupon_discount_amount=_.discount.sum(),
        paid_amount=_.paid.sum(),
        refund_amount=_.refund.sum(),
        gross_squares=ibis.cases((_.user_id.notnull(), _.gross * _.gross)).sum(),
    )


def coupon_repurchase(orders_by_coupon: ir.Table, paid: ir.Table, period: Period, days: Sequence[int]) -> ir.Table:
    """Repurchase counts by coupon; the origin is a user's first paid order with the coupon, inside the period."""
    known = orders_by_coupon.filter(orders_by_coupon.user_id.notnull())
    origins = known.group_by(["coupon_id", "user_id"]).aggregate(origin_ms=_.paid_ms.min())
    origins = origins.filter(origins.origin_ms >= period.start_ms, origins.origin_ms < period.end_ms)
    return repurchase_counts(next_payments(origins, paid, period, ["coupon_id"]), period, days, ["coupon_id"])
