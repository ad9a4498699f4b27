"""Which orders count, what they earn, who bears their discounts, and which is a user's first."""

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.period import Period


def profit_amount(orders: ir.Table, margin_rate: float | None = None) -> ir.FloatingValue:
    """What an order earns: net amount + what the platform pays of discounts - cost - shipping - fee.

    Parameters
    ----------
    orders
        Orders of the shop.
    margin_rate
        Share of the gross amount that is left after the cost of the goods; None: the cost is ``cost_amount``, and 0
        where that is empty, so that the profit is too high: see ``cost_counts``.
    """
    cost = orders.cost_amount.fill_null(0.0) if margin_rate is None else orders.gross_amount * (1 - margin_rate)
    earned = orders.net_amount + orders.platform_discount_amount - cost
    return (earned - orders.shipping_cost_amount - orders.platform_fee_amount).cast("float64")


def borne_share(orders: ir.Table) -> ir.FloatingValue:
    """Part of an order's discounts that the shop itself bears, from 0 to 1; 1 where the platform pays nothing.

    The platform's amount is one for coupons and other discounts together. It is taken to pay the same part of both:
    the source does not say which.
    """
    discount = orders.coupon_discount_amount + orders.other_discount_amount
    paid = orders.platform_discount_amount
    return ibis.cases((paid <= 0, 1.0), (paid >= discount, 0.0), else_=1 - paid / discount.nullif(0))


def borne_coupon_discount(orders: ir.Table) -> ir.FloatingValue:
    """What coupons took off an order at the shop's own expense."""
    return (orders.coupon_discount_amount * borne_share(orders)).cast("float64")


def cost_counts(orders: ir.Table, start_ms: int) -> ir.Table:
    """How many paid orders have no cost, so that they seem to earn too much?

    Parameters
    ----------
    orders
        Orders of the shop.
    start_ms
        Only orders paid from then on, in milliseconds since 1970 in UTC.

    Returns
    -------
    ibis.Table
        One row: order_count, paid orders with an amount; costless_count, those of them whose ``cost_amount`` is empty.
    """
    known = orders.filter(orders.paid_ms >= start_ms, orders.gross_amount.notnull())
    return known.aggregate(
        order_count=known.count(), costless_count=known.cost_amount.isnull().cast("int64").sum().fill_null(0)
    )


def paid_orders(orders: ir.Table, margin_rate: float | None = None) -> ir.Table:
    """Orders that were paid, with ``profit_amount``; one row per order."""
    paid = orders.filter(orders.paid_ms.notnull())
    return paid.mutate(profit_amount=profit_amount(paid, margin_rate))


def paid_in_period(paid: ir.Table, period: Period) -> ir.Table:
    """Paid orders whose payment lies in the period; one row per order."""
    return paid.filter((paid.paid_ms >= period.start_ms) & (paid.paid_ms < period.end_ms))


def first_payments(paid: ir.Table) -> ir.Table:
    """One row per buyer: ``user_id``, ``first_paid_ms`` of the first paid order in the data."""
    return paid.filter(paid.user_id.notnull()).group_by("user_id").aggregate(first_paid_ms=_.paid_ms.min())
