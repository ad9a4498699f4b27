"""Steps from the first submitted order on, against a loop over random shops, and by hand; on both engines."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from experiment_shops import PERIOD, WAYS, ZONE, opened, random_shops, units_of
from shops import at, frame, write_shop

from workbench.metrics.coupon_flow import flow_sums, flow_units
from workbench.metrics.experiment_units import assigned_units
from workbench.period import DAY_MS, HOUR_MS

DAYS = 5


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return random_shops(tmp_path_factory.mktemp("shops"), 3)


def local_date(ms):
    return datetime.fromtimestamp(ms / 1000, tz=UTC).astimezone(ZoneInfo(ZONE)).date()


def flow_of(rows, period, coupon_id):
    """One row per unit, as ``flow_units`` gives them."""
    used = {order for coupon, _u, _g, order, _d in rows.grants if order is not None and coupon_id in (None, coupon)}
    found = []
    for unit, (variant, start) in units_of(rows, period).items():
        end = start + DAYS * DAY_MS
        own = [order for order in rows.orders if order["user_id"] == unit]
        submitted = [order for order in own if start <= order["submitted_ms"] < end]
        paid = [order for order in own if order["paid_ms"] is not None and start <= order["paid_ms"] < end]
        first = min(submitted, key=lambda order: (order["submitted_ms"], order["order_id"]), default=None)
        dates = [local_date(order["paid_ms"]) for order in paid]
        is_paid = first is not None and first in paid
        found.append(
            {
                "unit_id": unit,
                "variant": variant,
                "assigned_ms": start,
                "followed": end <= period.data_end_ms,
                "submitted": first is not None,
                "paid": is_paid,
                "pay_hours": (first["paid_ms"] - first["submitted_ms"]) / HOUR_MS if is_paid else math.nan,
                "has_paid_any": bool(paid),
                "paid_again": len(set(dates)) > 1,
                "has_grant": any(
                    user == unit and coupon_id in (None, coupon) and start <= given < end
                    for coupon, user, given, _order, _discount in rows.grants
                ),
                "has_used": any(order["order_id"] in used for order in paid),
            }
        )
    return pd.DataFrame(found)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("coupon_id", [None, "c1"])
def test_flow_equals_the_loop(folders, way, coupon_id):
    for rows, folder in folders:
        shop = opened(way, folder)
        period = shop.period(*PERIOD, ZONE)
        units = assigned_units(shop.experiment_assignments, period)
        lazy = flow_units(units, shop.orders, period, DAYS, grants=shop.coupon_grants, coupon_id=coupon_id)
        expected = flow_of(rows, period, coupon_id).sort_values("unit_id").reset_index(drop=True)
        for mark in ("followed", "submitted", "paid", "has_paid_any", "paid_again", "has_grant", "has_used"):
            assert expected[mark].nunique() == 2, mark
        found = shop.collect(lazy).sort_values("unit_id").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0, atol=1e-9)
        bare = shop.collect(flow_units(units, shop.orders, period, DAYS)).sort_values("unit_id").reset_index(drop=True)
        pd.testing.assert_frame_equal(bare, found.drop(columns=["has_grant", "has_used"]), check_dtype=False)
        own = expected[expected["followed"]]
        again = own["has_used"] & own["paid_again"]
        marks = {
            "submitted_count": own["submitted"],
            "paid_count": own["paid"],
            "paid_any_count": own["has_paid_any"],
            "paid_again_count": own["paid_again"],
            "granted_count": own["has_grant"],
            "used_count": own["has_used"],
            "used_again_count": again,
            "pay_hours_sum": own["pay_hours"],
            "pay_hours_squares": own["pay_hours"] ** 2,
        }
        sums = pd.DataFrame(
            {"unit_count": expected.groupby("variant").size(), "followed_count": own.groupby("variant").size()}
            | {name: value.groupby(own["variant"]).sum() for name, value in marks.items()}
        ).reset_index()
        found = shop.collect(flow_sums(lazy)).sort_values("variant").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, sums, check_dtype=False, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", ["", pytest.param("chdb://", marks=pytest.mark.engine)])
def test_flow_worked_by_hand(tmp_path, way):
    """Assigned on 10 March 12:00 UTC, a window of 2 days; local days are those of Shanghai (midnight at 16:00 UTC).

    a submitted 1 (paid two hours later) and 2 at the very instant of the assignment: 1 is first. 2 is paid at 15:00
       and 3 at 17:00 UTC, the next local day: came back.
    b submitted 4 before the assignment and paid it after: paid something, but submitted nothing.
    c submitted 5 in the window and paid it at its very end: submitted, not paid; order 6 is submitted at the end.
    """
    noon, hour = at("2026-03-10 12:00"), pd.Timedelta(hours=1)
    orders = [
        (2, "a", noon, noon + 3 * hour),
        (1, "a", noon, noon + 2 * hour),
        (3, "a", noon + 4 * hour, noon + 5 * hour),
        (4, "b", noon - hour, noon),
        (5, "c", noon + hour, noon + 48 * hour),
        (6, "c", noon + 48 * hour, noon + 90 * hour),
    ]
    folder = write_shop(
        tmp_path,
        orders=frame("order_id user_id submitted_at paid_at gross_amount", *((*one, 1.0) for one in orders)),
        experiment_assignments=frame(
            "experiment_id user_id variant assigned_at", *(("e", user, "t", noon) for user in "abc")
        ),
    )
    shop = opened(way, folder)
    period = shop.period(None, None, "Asia/Shanghai")
    lazy = flow_units(assigned_units(shop.experiment_assignments, period), shop.orders, period, 2)
    found = shop.collect(lazy).set_index("unit_id").sort_index()
    assert found["submitted"].to_list() == [True, False, True]
    assert found["paid"].to_list() == [True, False, False]
    assert found["has_paid_any"].to_list() == [True, True, False]
    assert found["paid_again"].to_list() == [True, False, False]
    assert found["pay_hours"].fillna(-1).to_list() == [2.0, -1.0, -1.0]
    row = shop.collect(flow_sums(lazy)).iloc[0]
    assert (row["pay_hours_sum"], row["pay_hours_squares"]) == (2.0, 4.0)
