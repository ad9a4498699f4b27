"""What the units of an experiment did in the days after their assignment, and the sums that its estimates need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from workbench.metrics.local_days import local_day
from workbench.metrics.retention import period_number
from workbench.period import DAY_MS, Period

if TYPE_CHECKING:
    from workbench.stats.cuped import CupedFit

MEASURES = ("buyers", "orders", "paid_amount", "net_amount", "profit", "refund_amount", "discount_amount")
"""What is summed over the orders of a unit; ``buyers`` is 1 where there is an order."""

NEW = "new"
"""Stratum of units without history."""

_LEAST_REST = 1e-9
"""A unit whose leverage comes this near to 1 alone decides the slope, and has no residual to judge it by."""


def unit_outcomes(
    units: ir.Table,
    members: ir.Table,
    orders: ir.Table,
    users: ir.Table | None,
    period: Period,
    *,
    days: Sequence[int],
    pre_days: int,
    profit: Callable[[ir.Table], ir.NumericValue] | None,
) -> ir.Table:
    """What did each unit do after its assignment, and before?

    Parameters
    ----------
    units, members
        Of one experiment, from ``experiment_units``.
    orders
        Orders of the shop; unpaid ones and those of nobody do not count.
    users
        Users of the shop; None: the source has none, and no unit is called new.
    period
        Gives the time zone of weeks and the end of the data.
    days
        Lengths of the windows after the assignment, in days.
    pre_days
        Length of the window before it.
    profit
        What an order earns, such as ``lambda orders: profit_amount(orders, margin_rate)``; None: costs are not known,
        and there are no columns of profit.

    Returns
    -------
    ibis.Table
        One row per unit: unit_id, variant, assigned_ms, week (number of the local week from Monday in
        which it was assigned), is_new (first seen at or after the assignment), stratum, and for d of ``days``
        followed_<d> (the window has elapsed). For each of ``MEASURES``: <name>_<d> over orders paid in
        ``assigned <= paid < assigned + d days``, and <name>_pre over orders paid in ``assigned - pre_days <= paid <
        assigned``. No orders are 0, never null. ``discount_amount`` is the coupon discount.

    Notes
    -----
    Windows are counted from the assignment of the unit. Orders of other members count from their ``since_ms`` on; the
    past is the unit's own. The stratum is fixed before the assignment: ``new``, else by all the unit's own paid orders
    before it ``0``, ``1`` or ``2+``. A unit that is new has no past: orders before its assignment contradict its first
    visit and are left out. A unit that is not in ``users`` is not new.
    """
    windows = {str(one): one for one in days}
    names = [name for name in MEASURES if name != "buyers" and (name != "profit" or profit is not None)]
    sums = _order_sums(members, orders, windows, pre_days, profit, names)
    joined = _with_history(units, users)
    joined = joined.left_join(sums, joined.unit_id == sums.sum_unit_id)
    columns: dict[str, ir.Value] = {}
    for ending in (*windows, "pre"):
        values = {name: joined[f"{name}_{ending}"].fill_null(0) for name in names}
        if ending == "pre":
            values = {name: joined.is_new.ifelse(0, value) for name, value in values.items()}
        columns[f"buyers_{ending}"] = (values["orders"] > 0).cast("int64")
        columns |= {f"{name}_{ending}": value for name, value in values.items()}
    past = joined.orders_before.fill_null(0)
    return joined.select(
        "unit_id",
        "variant",
        "assigned_ms",
        "is_new",
        week=period_number(local_day(joined.assigned_ms, period), "week"),
        stratum=ibis.cases((joined.is_new, NEW), (past == 0, "0"), (past == 1, "1"), else_="2+"),
        **{f"followed_{one}": joined.assigned_ms + one * DAY_MS <= period.data_end_ms for one in days},
        **columns,
    )


def _with_history(units: ir.Table, users: ir.Table | None) -> ir.Table:
    """The units with ``is_new``."""
    if users is None:
        return units.mutate(is_new=ibis.literal(False))
    seen = users.select(seen_id=users.user_id, first_seen_ms=users.first_seen_ms)
    known = units.left_join(seen, units.unit_id == seen.seen_id)
    return known.select(*units.columns, is_new=(known.first_seen_ms >= known.assigned_ms).fill_null(False))


def _order_sums(
    members: ir.Table,
    orders: ir.Table,
    windows: Mapping[str, int],
    pre_days: int,
    profit: Callable[[ir.Table], ir.NumericValue] | None,
    names: Sequence[str],
) -> ir.Table:
    """One row per unit with orders: the sums over each window, and its own orders before the assignment."""
    values = {name: orders[name] for name in ("paid_amount", "net_amount", "refund_amount")}
    values["discount_amount"] = orders.coupon_discount_amount
    if profit is not None:
        values["profit"] = profit(orders)
    paid = orders.filter(orders.paid_ms.notnull(), orders.user_id.notnull()).select(
        "user_id", "paid_ms", **{name: value.cast("float64") for name, value in values.items()}
    )
    met = paid.inner_join(members, paid.user_id == members.member_id)
    near = met.select(
        "unit_id",
        *values,
        after_ms=met.paid_ms - met.assigned_ms,
        is_own=met.member_id == met.unit_id,
        is_member=met.paid_ms >= met.since_ms,
    )
    longest = max(windows.values(), default=0) * DAY_MS
    near = near.filter(near.after_ms < longest, (near.is_own & (near.after_ms < 0)) | near.is_member)
    past, since = near.is_own & (near.after_ms < 0), near.is_member & (near.after_ms >= 0)
    inside = {ending: since & (near.after_ms < days * DAY_MS) for ending, days in windows.items()}
    inside["pre"] = past & (near.after_ms >= -pre_days * DAY_MS)
    found: dict[str, ir.Value] = {"orders_before": near.count(where=past)}
    for ending, where in inside.items():
        for name in names:
            found[f"{name}_{ending}"] = near.count(where=where) if name == "orders" else near[name].sum(where=where)
    return near.group_by(sum_unit_id=near.unit_id).aggregate(**found)


def unit_sums(outcomes: ir.Table, names: Sequence[str], days: Sequence[int]) -> ir.Table:
    """What do estimates of an effect need to know of the units?

    Parameters
    ----------
    outcomes
        From ``unit_outcomes``.
    names
        Of ``MEASURES``.
    days
        Of the days of ``outcomes``.

    Returns
    -------
    ibis.Table
        One row per variant, week, is_new and stratum: unit_count; for d of ``days`` n_<d>, the units followed for d
        days, and over these for each name <name>_<d>_y and _yy (sum of the outcome and of its square), _x and _xx (of
        the same before the assignment), _xy (of their product). For each name also <name>_pre_x and _pre_xx over all
        units.
    """
    past = {name: outcomes[f"{name}_pre"].cast("float64") for name in names}
    pairs = {(name, one): (_outcome(outcomes, name, one), past[name]) for name in names for one in days}
    return _by_cell(outcomes, pairs, days, past)


def ratio_sums(outcomes: ir.Table, numerator: str, denominator: str, days: Sequence[int]) -> ir.Table:
    """What does the ratio of two sums, such as refunds by paid amount, need to know of the units?

    Returns
    -------
    ibis.Table
        The shape of ``unit_sums``, for one name: y is the numerator and gives the name, x the denominator in the same
        window. There is nothing of the time before.
    """
    pairs = {
        (numerator, one): (_outcome(outcomes, numerator, one), _outcome(outcomes, denominator, one)) for one in days
    }
    return _by_cell(outcomes, pairs, days, {})


def _outcome(outcomes: ir.Table, name: str, days: int) -> ir.FloatingValue:
    return outcomes[f"{name}_{days}"].cast("float64")


def _by_cell(
    outcomes: ir.Table,
    pairs: Mapping[tuple[str, int], tuple[ir.FloatingValue, ir.FloatingValue]],
    days: Sequence[int],
    past: Mapping[str, ir.FloatingValue],
) -> ir.Table:
    """Sums of the pairs of y and x by cell, over the units followed long enough.

    Units are first summed by how many of the windows have elapsed, and these few rows then added up: a condition on
    every sum over all units takes an engine far longer than the sum.
    """
    steps = sorted(set(days))
    elapsed = ibis.literal(0, "int64")
    for one in steps:
        elapsed += outcomes[f"followed_{one}"].cast("int64")
    parts = {f"{name}_pre_{ending}": value for name, x in past.items() for ending, value in _powers("x", x).items()}
    for (name, one), (y, x) in pairs.items():
        parts |= {f"{name}_{one}_{ending}": value for ending, value in _powers("y", y).items()}
        parts[f"{name}_{one}_xy"] = x * y
        if name not in past:
            parts |= {f"{name}_{one}_{ending}": value for ending, value in _powers("x", x).items()}
    cell = ["variant", "week", "is_new", "stratum"]
    rows = outcomes.select(*cell, elapsed=elapsed, **parts)
    few = rows.group_by([*cell, "elapsed"]).aggregate(units=rows.count(), **{name: rows[name].sum() for name in parts})

    def followed(column: str, one: int) -> ir.Value:
        return few[column].sum(where=few.elapsed > steps.index(one)).fill_null(0)

    sums = {f"n_{one}": followed("units", one) for one in days}
    sums |= {f"{name}_pre_{ending}": few[f"{name}_pre_{ending}"].sum() for name in past for ending in ("x", "xx")}
    for name, one in pairs:
        for ending in ("y", "yy", "x", "xx", "xy"):
            is_past = name in past and ending in ("x", "xx")
            sums[f"{name}_{one}_{ending}"] = followed(f"{name}_{'pre' if is_past else one}_{ending}", one)
    return few.group_by(cell).aggregate(unit_count=few.units.sum(), **sums)


def _powers(name: str, value: ir.FloatingValue) -> dict[str, ir.FloatingValue]:
    return {name: value, name * 2: value * value}


def cuped_squares(outcomes: ir.Table, fits: Mapping[tuple[str, int | None, str, int], CupedFit]) -> ir.Table:
    """What do the robust errors of the adjusted effect need, once its regressions are fitted?

    Parameters
    ----------
    outcomes
        From ``unit_outcomes``.
    fits
        The fit of each arm by variant, week (None: all weeks are one cell), name and days. One without a slope
        (``sxx`` is 0) needs no second pass and is passed over.

    Returns
    -------
    ibis.Table
        One row per variant and week (0: all weeks): for each name and days <name>_<d>_squares, the sum over followed
        units with history of ``(1/n + shift (x - mean_x)/sxx)^2 e^2 / (1 - h)``, where e is the residual and
        ``h = 1/n + (x - mean_x)^2 / sxx`` the leverage (HC2, MacKinnon and White 1985). Null where there is no
        fit with a slope; NaN where one unit alone decides the slope. There is no row where no unit has a history.

    Raises
    ------
    ValueError
        If some fits are by week and some over all weeks.

    References
    ----------
    MacKinnon and White (1985), https://doi.org/10.1016/0304-4076(85)90158-7
    """
    by_week = {week is not None for _variant, week, _name, _days in fits}
    if len(by_week) > 1:
        raise ValueError("cuped_squares: some fits are by week and some over all weeks. Ask for one or the other.")
    week = outcomes.week if True in by_week else ibis.literal(0, "int64")
    old = outcomes.mutate(week=week).filter(~outcomes.is_new)
    branches: dict[tuple[str, int], list[tuple[ir.BooleanValue, ir.FloatingValue]]] = {}
    for (variant, number, name, d), fit in fits.items():
        here = branches.setdefault((name, d), [])
        if not fit.sxx > 0:
            continue
        is_here = (old.variant == variant) & old[f"followed_{d}"]
        if number is not None:
            is_here &= old.week == number
        x, y = (old[f"{name}_{one}"].cast("float64") for one in ("pre", d))
        here.append((is_here, _square(x, y, fit)))
    no_fit = (old.is_new, ibis.literal(0.0))
    squares = {f"{name}_{d}_squares": ibis.cases(*(found or [no_fit])).sum() for (name, d), found in branches.items()}
    return old.group_by(["variant", "week"]).aggregate(**squares)


def _square(x: ir.FloatingValue, y: ir.FloatingValue, fit: CupedFit) -> ir.FloatingValue:
    """A unit's part of the sum of squares, with the numbers of its fit written out."""
    beside = x - fit.mean_x
    residual = y - fit.mean_y - fit.slope * beside
    weighted = (beside * (fit.shift / fit.sxx) + 1 / fit.count_old) * residual
    rest = (1 - 1 / fit.count_old) - beside * beside / fit.sxx
    return weighted * weighted / (rest >= _LEAST_REST).ifelse(rest, float("nan"))


def curve_sums(outcomes: ir.Table, names: Sequence[str], days: Sequence[int]) -> ir.Table:
    """How does the outcome grow day by day over the same units?

    Returns
    -------
    ibis.Table
        One row per variant: n, the units followed for the last of ``days``, and over these for each name and d of
        ``days`` <name>_<d>_y and _yy, the sums of the outcome up to d days and of its square.
    """
    followed = outcomes.filter(outcomes[f"followed_{max(days)}"])
    sums: dict[str, ir.Value] = {}
    for name in names:
        for one in days:
            y = followed[f"{name}_{one}"].cast("float64")
            sums |= {f"{name}_{one}_y": y.sum(), f"{name}_{one}_yy": (y * y).sum()}
    return followed.group_by("variant").aggregate(n=followed.count(), **sums)
