"""Outcomes of units and their sums, against loops over random shops, and by hand; on both engines."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from experiment_shops import (
    DAYS,
    MEASURES,
    PERIOD,
    PRE_DAYS,
    WAYS,
    ZONE,
    clusters_of,
    opened,
    outcomes_of,
    random_shops,
    units_of,
)
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics.experiment_units import assigned_units, inviter_members, inviter_units, own_members
from workbench.metrics.experiments import (
    cuped_squares,
    followed_units,
    unit_outcomes,
    unit_sums,
)
from workbench.metrics.orders import profit_amount
from workbench.stats.cuped import CupedFit, fit_cuped, squares_at
from workbench.stats.cuped import cuped_squares as squares_of_arrays
from workbench.stats.sums import Sums

CELL = ["variant", "week", "is_new", "stratum", "elapsed"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return random_shops(tmp_path_factory.mktemp("shops"), 3)


def lazy_units(shop, period, margin_rate=None, days=DAYS, *, by_inviter=False, **asked):
    """The units of a shop, and the outcomes of those with orders."""
    assigned, users = shop.experiment_assignments, shop.users
    chosen = inviter_units(assigned, users, period) if by_inviter else assigned_units(assigned, period)
    units = followed_units(chosen, users, period, days)
    members = inviter_members(units, users, assigned) if by_inviter else own_members(units)
    asked = {"days": days, "pre_days": PRE_DAYS, "profit": lambda orders: profit_amount(orders, margin_rate)} | asked
    return units, unit_outcomes(members, shop.orders, period, **asked)


def with_orders(units):
    return units[units[f"orders_{max(DAYS)}"] + units["orders_pre"] > 0]


def expected_units(rows, period, margin_rate=None):
    units = units_of(rows, period)
    members = [(unit, unit, ms) for unit, (_variant, ms) in units.items()]
    return outcomes_of(rows, units, members, period, days=DAYS, pre_days=PRE_DAYS, margin_rate=margin_rate)


def same(found, expected, keys):
    found = found.sort_values(keys).reset_index(drop=True)
    expected = expected.sort_values(keys).reset_index(drop=True)[list(found.columns)]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_inviter", [False, True])
def test_outcomes_equal_the_loop(folders, way, by_inviter):
    for number, (rows, folder) in enumerate(folders):
        if way and by_inviter and number != 1:
            continue  # ClickHouse plans the chain of joins for seconds
        margin_rate = (None, 0.3, None)[number]
        shop = opened(way, folder)
        period = shop.period(*PERIOD, ZONE)
        expected = expected_units(rows, period, margin_rate)
        if by_inviter:
            clusters = clusters_of(rows, period)
            expected = outcomes_of(rows, *clusters, period, days=DAYS, pre_days=PRE_DAYS, margin_rate=margin_rate)
        units, lazy = lazy_units(shop, period, margin_rate, by_inviter=by_inviter)
        found = shop.collect(lazy)
        assert not found.isna().any().any()
        same(found, with_orders(expected), ["unit_id"])
        same(shop.collect(units.drop("assigned_ms")), expected, ["unit_id"])


def test_the_random_shops_hold_what_they_are_drawn_for(folders):
    """Without these cases the comparison with the loop would show little."""
    rows = folders[0][0]
    period = open_shop(folders[0][1]).period(*PERIOD, ZONE)
    units = units_of(rows, period)
    after = {
        (order["paid_ms"] - units[order["user_id"]][1]) / 86_400_000
        for order in rows.orders
        if order["paid_ms"] is not None and order["user_id"] in units
    }
    assert {0.0, float(-PRE_DAYS), *map(float, DAYS)} <= after
    assert set(units) - set(rows.users), "units that are not in users"
    assert any(period.data_end_ms == ms + d * 86_400_000 for _variant, ms in units.values() for d in DAYS)
    assert any(order["user_id"] is None for order in rows.orders)
    assert any(order["paid_ms"] is None for order in rows.orders)
    assert set(units) - {order["user_id"] for order in rows.orders}
    expected = expected_units(rows, period)
    assert set(expected["stratum"]) == {"new", "0", "1", "2+"}
    assert expected["week"].nunique() > 1
    assert expected["followed_5"].nunique() == 2


@pytest.mark.parametrize("way", WAYS)
def test_windows_worked_by_hand(tmp_path, way):
    """Assigned on 10 March 12:00 UTC, windows of 2 days, 3 days before. Data end on 16 March (exclusive).

    a: paid 12:00 sharp (10) counts, 12:00 two days on (20) does not; three days before sharp (1) is in the pre-period,
       a millisecond earlier (2) is nowhere: stratum 1. A day on (16) is in the curve's third window.
    b: first seen at the assignment: new, and the order before it (4) is nobody's history: no row.
    c: in no table of users, order never paid. Not new, no row.
    d: assigned on 14 March 00:00: two days end with the data, followed.
    e: assigned a millisecond later: not followed.
    """
    noon, ms = at("2026-03-10 12:00"), pd.Timedelta(milliseconds=1)
    day = pd.Timedelta(days=1)
    late = at("2026-03-14")
    assigned = {"a": noon, "b": noon, "c": noon, "d": late, "e": late + ms}
    paid = [("a", noon, 10.0), ("a", noon + 2 * day, 20.0), ("a", noon - 3 * day, 1.0), ("a", noon - 3 * day - ms, 2.0)]
    paid += [("a", noon + day, 16.0), ("b", noon - day, 4.0), ("d", at("2026-03-15 23:00"), 8.0)]
    orders = [(f"o{number}", user, time, time, gross) for number, (user, time, gross) in enumerate(paid)]
    orders.append(("o9", "c", noon, None, 5.0))
    folder = write_shop(
        tmp_path,
        users=frame("user_id first_seen_at", ("b", noon), *((user, noon - 30 * day) for user in "ade")),
        orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        experiment_assignments=frame(
            "experiment_id user_id variant assigned_at", *(("e", user, "t", time) for user, time in assigned.items())
        ),
    )
    shop = opened(way, folder)
    period = shop.period(None, None, "UTC")
    units, lazy = lazy_units(shop, period, 0.5, days=(2,), curve_days=(1, 2, 9))
    found = shop.collect(lazy).set_index("unit_id").sort_index()
    assert found.index.to_list() == ["a", "d"]
    assert found["paid_amount_2"].to_list() == [26.0, 8.0]
    assert found["profit_2"].to_list() == [13.0, 4.0]
    assert found["profit_1"].to_list() == [5.0, 0.0]
    assert found["orders_1"].to_list() == [1, 0]
    assert not [name for name in found if name.endswith("_9") or name == "paid_amount_1"]
    assert found["paid_amount_pre"].to_list() == [1.0, 0.0]
    assert found["stratum"].to_list() == ["1", "0"]
    everyone = shop.collect(units).set_index("unit_id").sort_index()
    assert everyone["elapsed"].to_list() == [1, 1, 1, 1, 0]
    assert everyone["is_new"].to_list() == [False, True, False, False, False]
    # 10 and 14 March lie in the week from Monday 9 March, 2931 weeks after the one of 29 December 1969
    assert set(everyone["week"]) == set(found["week"]) == {2932}
    sums = shop.collect(unit_sums(lazy, units, ["paid_amount"], (2,))).set_index(["stratum", "elapsed"]).sort_index()
    assert sums["unit_count"].to_dict() == {("0", 0): 1, ("0", 1): 2, ("1", 1): 1, ("new", 1): 1}
    assert sums["paid_amount_2_yy"].fillna(0).to_list() == [0.0, 64.0, 676.0, 0.0]


def test_without_costs_there_is_no_profit_and_without_users_nobody_is_new(folders):
    shop = open_shop(folders[0][1])
    period = shop.period(*PERIOD, ZONE)
    units = followed_units(assigned_units(shop.experiment_assignments, period), None, period, (2,))
    lazy = unit_outcomes(own_members(units), shop.orders, period, days=(2,), pre_days=PRE_DAYS, profit=None)
    assert not [name for name in lazy.columns if name.startswith("profit")]
    found = shop.collect(lazy)
    assert not found["is_new"].any()
    assert "new" not in set(found["stratum"])


def expected_sums(units, days, names, ratios, curve):
    """Sums by cell in pandas."""
    found = []
    for cell, group in units.groupby(CELL):
        row = dict(zip(CELL, cell, strict=True)) | {"unit_count": len(group)}
        for name in names:
            x = group[f"{name}_pre"]
            row |= {f"{name}_pre_x": x.sum(), f"{name}_pre_xx": (x**2).sum()}
            for d in days:
                y = group[f"{name}_{d}"]
                row |= {f"{name}_{d}_y": y.sum(), f"{name}_{d}_yy": (y**2).sum(), f"{name}_{d}_xy": (x * y).sum()}
        for ratio, (top, bottom) in ratios.items():
            for d in days:
                y, x = group[f"{top}_{d}"], group[f"{bottom}_{d}"]
                sums = {"y": y, "yy": y * y, "x": x, "xx": x * x, "xy": x * y}
                row |= {f"{ratio}_{d}_{ending}": values.sum() for ending, values in sums.items()}
        for name, d in curve:
            y = group[f"{name}_{d}"]
            row |= {f"{name}_{d}_curve_y": y.sum(), f"{name}_{d}_curve_yy": (y**2).sum()}
        found.append(row)
    return pd.DataFrame(found)


@pytest.mark.parametrize("way", WAYS)
def test_sums_equal_pandas_over_the_units(folders, way):
    for rows, folder in folders[: 1 if way else 2]:
        shop = opened(way, folder)
        period = shop.period(*PERIOD, ZONE)
        units, lazy = lazy_units(shop, period, curve_days=(1, 4))
        expected = expected_units(rows, period)
        curve = [("orders", 2), ("profit", 5)]
        ratios = {"refund_rate": ("refund_amount", "paid_amount")}
        found = shop.collect(unit_sums(lazy, units, MEASURES, DAYS, ratios=ratios, curve=curve))
        assert found["orders_2_y"].isna().any(), "cells without orders have no sums"
        same(found.fillna(0), expected_sums(expected, DAYS, MEASURES, ratios, curve), CELL)


def test_windows_asked_in_any_order_give_the_same_sums(folders):
    shop = open_shop(folders[0][1])
    period = shop.period(*PERIOD, ZONE)
    found = []
    for days in ((2, 5), (5, 2)):
        units, lazy = lazy_units(shop, period, days=days)
        found.append(shop.collect(unit_sums(lazy, units, ("orders",), days)))
    same(found[1], found[0], CELL)


def test_measures_asked_for_alone_are_the_same(folders):
    shop = open_shop(folders[0][1])
    period = shop.period(*PERIOD, ZONE)
    whole = shop.collect(lazy_units(shop, period)[1])
    found = shop.collect(lazy_units(shop, period, names=["net_amount", "orders"])[1])
    assert not [name for name in found if name.startswith(("profit", "borne"))]
    same(found, whole, ["unit_id"])


def sums(units, name, d):
    own = units[units[f"followed_{d}"]]
    y, x = own[f"{name}_{d}"].to_numpy(float), own[f"{name}_pre"].to_numpy(float)
    return Sums(len(own), y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum())


def fits_of(units, name, d):
    """Fits of test against control over these units, by variant."""
    parts = [
        sums(units[(units["variant"] == variant) & (units["is_new"] == is_new)], name, d)
        for is_new in (False, True)
        for variant in ("test", "control")
    ]
    return dict(zip(("test", "control"), fit_cuped(*parts), strict=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_week", [False, True])
def test_squares_equal_those_of_the_arrays(folders, way, by_week):
    compared = 0
    for rows, folder in folders[: 2 if way else 3]:
        shop = opened(way, folder)
        period = shop.period(*PERIOD, ZONE)
        lazy, units = lazy_units(shop, period)[1], expected_units(rows, period)
        weeks = sorted(set(units["week"])) if by_week else [None]
        fits = {
            (variant, week, name, d): fit
            for week in weeks
            for name in ("orders", "paid_amount")
            for d in DAYS
            for variant, fit in fits_of(units if week is None else units[units["week"] == week], name, d).items()
        }
        found = shop.collect(cuped_squares(lazy, fits, DAYS)).set_index(["variant", "week"])
        for (variant, week, name, d), fit in fits.items():
            own = units[(units["variant"] == variant) & ~units["is_new"] & units[f"followed_{d}"]]
            own = own if week is None else own[own["week"] == week]
            if fit.sxx == 0:
                continue
            expected = squares_of_arrays(own[f"{name}_pre"], own[f"{name}_{d}"], fit)
            second = found[f"{name}_{d}_squares"].get((variant, week or 0), 0.0)
            still = squares_at(0.0, sums(own[own["stratum"] == "0"], name, d), fit)
            assert second + still == pytest.approx(expected, abs=1e-9, nan_ok=True)
            compared += np.isfinite(expected)
    assert compared > (0 if by_week else 8)


FIT = CupedFit(
    **dict.fromkeys(("count_new", "share_old", "mean_y_new", "variance_y_new", "squares_known"), 0.0),
    count_old=4,
    mean_x=1.0,
    mean_y=1.0,
    slope=0.5,
    sxx=12.0,
    shift=0.3,
    unadjusted_mean=0.0,
    unadjusted_variance=0.0,
)


@pytest.mark.parametrize("way", WAYS)
def test_one_unit_that_decides_the_slope_is_not_a_number(tmp_path, way):
    """Four units of t, one with 4 orders before and three with none: mean 1, sxx 9 + 3 = 12, its leverage is 1.

    With sxx 24 instead its rest is 1 - 1/4 - 9/24 = 3/8, the others' 1 - 1/4 - 1/24 = 17/24. Nobody buys afterwards:
    residuals 0 - 1 - 0.5 (x - 1) are -2.5 and -0.5; weights 1/4 + 0.3 (x - 1)/24 are 0.2875 and 0.2375.
    """
    noon = at("2026-03-10 12:00")
    orders = [
        (f"o{number}", "a", noon - pd.Timedelta(hours=5), noon - pd.Timedelta(hours=4), 1.0) for number in range(4)
    ]
    orders.append(("o9", None, at("2026-03-20"), None, 1.0))
    folder = write_shop(
        tmp_path,
        users=frame("user_id first_seen_at", *((user, at("2026-01-01")) for user in "abcd")),
        orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        experiment_assignments=frame(
            "experiment_id user_id variant assigned_at", *(("e", user, "t", noon) for user in "abcd")
        ),
    )
    shop = opened(way, folder)
    lazy = lazy_units(shop, shop.period(None, None, "UTC"), days=(2, 3, 4))[1]
    wide = CupedFit(**{**vars(FIT), "sxx": 24.0})
    flat = CupedFit(**{**vars(FIT), "sxx": 0.0})
    fits = {("t", None, "orders", 2): FIT, ("t", None, "orders", 3): wide, ("t", None, "orders", 4): flat}
    row = shop.collect(cuped_squares(lazy, fits, (2, 3, 4))).iloc[0]
    assert (row["variant"], row["week"]) == ("t", 0)
    assert np.isnan(row["orders_2_squares"])
    # mean_x is 1, x of the others 0: they are in the sums, not in the second pass
    by_hand = 0.2875**2 * 2.5**2 / (3 / 8)
    assert row["orders_3_squares"] == pytest.approx(by_hand, abs=1e-12)
    others = squares_at(0.0, Sums(3, 0, 0, 0, 0, 0), wide)
    assert others == pytest.approx(3 * 0.2375**2 * 0.5**2 / (17 / 24), abs=1e-12)
    assert row["orders_4_squares"] == 0, "a line without a slope needs no second pass"


def test_fits_by_week_and_over_all_weeks_do_not_mix():
    fits = {("t", None, "orders", 2): FIT, ("t", 5, "orders", 2): FIT}
    with pytest.raises(ValueError, match="some fits are by week and some over all weeks"):
        cuped_squares(SimpleNamespace(), fits, (2,))


@pytest.mark.parametrize("way", WAYS)
def test_nobody_assigned_gives_no_rows(folders, way):
    shop = opened(way, folders[0][1])
    units, lazy = lazy_units(shop, shop.period("2027-01-01", "2027-01-02", ZONE))
    assert shop.collect(lazy).empty
    assert shop.collect(unit_sums(lazy, units, ("orders",), DAYS)).empty
    found = shop.collect(cuped_squares(lazy, {("t", None, "orders", 2): FIT}, DAYS))
    assert found.empty
