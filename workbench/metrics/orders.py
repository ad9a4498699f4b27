"""Which orders count, what they earn, and which is a user's first."""

import ibis.expr.types as ir
from ibis import _

from workbench.period import Period


def paid_orders(orders: ir.Table) -> ir.Table:
    """Orders that were paid, with ``profit_amount``; one row per order.

    Returns
    -------
    ibis.Table
        The orders' columns and ``profit_amount`` = net amount + what the platform pays - cost - shipping - fee.
    """
    profit = _.net_amount + _.platform_discount_amount - _.cost_amount - _.shipping_cost_amount - _.platform_fee_amount
    return orders.filter(orders.paid_ms.notnull()).mutate(profit_amount=profit)


def paid_in_period(paid: ir.Table, period: Period) -> ir.Table:
    """Paid orders whose payment lies in the period; one row per order."""
    return paid.filter((paid.paid_ms >= period.start_ms) & (paid.paid_ms < period.end_ms))


def first_payments(paid: ir.Table) -> ir.Table:
    """One row per buyer: ``user_id``, ``first_paid_ms`` of the first paid order in the data."""
    return paid.filter(paid.user_id.notnull()).group_by("user_id").aggregate(first_paid_ms=_.paid_ms.min())
