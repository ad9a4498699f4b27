"""Paid orders and their profit."""

import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.orders import first_payments, paid_orders


@pytest.fixture
def shop(tmp_path):
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount "
        "platform_discount_amount refund_amount cost_amount shipping_cost_amount platform_fee_amount",
        (1, "a", "2026-03-01", "2026-03-02", 100.0, 10.0, 5.0, 4.0, 20.0, 30.0, 6.0, 2.0),
        (2, "a", "2026-03-01", None, 50.0, 0.0, 0.0, 0.0, 0.0, 20.0, 0.0, 0.0),
        (3, "a", "2026-03-05", "2026-03-05", 15.0, 0.0, 0.0, 0.0, 0.0, None, 0.0, 0.0),
        (4, None, "2026-03-05", "2026-03-05", 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    )
    return open_shop(write_shop(tmp_path / "shop", orders=orders))


def test_amounts_follow_the_contract(shop):
    found = shop.collect(paid_orders(shop.orders).order_by("order_id")).set_index("order_id")
    assert found.index.tolist() == [1, 3, 4]
    first = found.loc[1]
    # paid 100 - 10 - 5 = 85, net 85 - 20 = 65, profit 65 + 4 - 30 - 6 - 2 = 31
    assert first[["paid_amount", "net_amount", "profit_amount"]].tolist() == [85.0, 65.0, 31.0]
    assert found.loc[3, "profit_amount"] == 15.0  # a missing optional amount is 0


def test_first_payments_leave_out_orders_without_a_user(shop):
    found = shop.collect(first_payments(paid_orders(shop.orders)))
    assert found["user_id"].tolist() == ["a"]
