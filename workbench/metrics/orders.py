"""Which orders count, what they earn, and which is a user's first."""

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
        Share of the gross amount that is left after the cost of the goods; None: the cost is ``cost_amount``.
    """
    cost = orders.cost_amount if margin_rate is None else orders.gross_amount * (1 - margin_rate)
    earned = orders.net_amount + orders.platform_discount_amount - cost
    return (earned - orders.shipping_cost_amount - orders.platform_fee_amount).cast("float64")


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
