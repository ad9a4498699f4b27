"""The amounts of orders, in whole cents so that every sum is exact."""

from __future__ import annotations

import numpy as np

from workbench.source.simulate.catalogue import REGION_SHIPPING_CENTS
from workbench.source.simulate.ledger import PROMOTION, PROMOTION_SIZE, REFUND, REFUND_SIZE, Block, Outcome
from workbench.source.simulate.truth import Truth

PROMOTION_RATE = 0.12
PLATFORM_SHARE_OF_PROMOTION, PLATFORM_SHARE_OF_NEWCOMER = 0.5, 0.3
FULL_REFUND_SHARE = 0.7
FEE_RATE = 0.02


def order_amounts(block: Block, outcome: Outcome, truth: Truth) -> dict[str, np.ndarray]:
    """Give every amount of the contract, and the profit, one position per order.

    Orders that were never paid cost nothing and give nothing back. The order's profit is net amount plus what the
    platform pays, less cost of goods, shipping and fee.
    """
    orders, baskets = outcome.orders, block.baskets
    draws = block.draws[orders["visit"]].astype(np.float64)
    is_paid, cart, coupon = orders["is_paid"], orders["cart"], orders["coupon_cents"]
    gross = baskets.gross_cents[cart]
    rate = np.where(draws[:, PROMOTION] < PROMOTION_RATE, 0.04 + 0.06 * draws[:, PROMOTION_SIZE], 0.0)
    other = np.round((gross - coupon) * rate).astype(np.int64)
    is_newcomer = orders["coupon"] == truth.coupon_index("arrival")
    platform = other * PLATFORM_SHARE_OF_PROMOTION + coupon * is_newcomer * PLATFORM_SHARE_OF_NEWCOMER
    paid = gross - coupon - other
    refunded = np.where(draws[:, REFUND_SIZE] < FULL_REFUND_SHARE, 1.0, 0.5)
    refund = paid * refunded * (draws[:, REFUND] < baskets.refund_rate[cart])
    region = block.population.region[orders["user"]]
    amounts = {
        "gross": gross,
        "coupon_discount": coupon,
        "other_discount": other,
        "platform_discount": np.round(platform).astype(np.int64),
        "refund": np.round(refund).astype(np.int64) * is_paid,
        "cost": baskets.cost_cents[cart] * is_paid,
        "shipping_cost": REGION_SHIPPING_CENTS[region] * is_paid,
        "platform_fee": np.round(paid * FEE_RATE).astype(np.int64) * is_paid,
    }
    profit = paid - amounts["refund"] + amounts["platform_discount"] - amounts["cost"]
    amounts["profit"] = (profit - amounts["shipping_cost"] - amounts["platform_fee"]) * is_paid
    return amounts
