"""What the units of an experiment did in the days after their assignment, and the sums that its estimates need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from workbench.metrics.local_days import local_day
from workbench.metrics.orders import borne_coupon_discount
from workbench.metrics.retention import period_number
from workbench.period import DAY_MS, Period

if TYPE_CHECKING:
    from workbench.stats.cuped import CupedFit

MEASURES = ("buyers", "orders", "paid_amount", "net_amount", "profit", "refund_amount", "borne_discount_amount")
"""What is summed over the orders of a unit; ``buyers`` is 1 where there is an order."""
CURVE_MEASURES = ("orders", "profit")
"""Measures whose growth from day to day is followed."""

NEW, NO_ORDERS = "new", "0"
"""Strata of units without history, and of those with one but without orders in the time before."""

_CELL = ("variant", "week", "is_new", "stratum", "elapsed")
_OF_X = ("middle", "even", "shift", "narrow")
_LEAST_REST = 1e-9
"""A unit whose leverage comes this near to 1 alone decides the slope, and has no residual to judge it by."""


def followed_units(units: ir.Table, users: ir.Table | None, period: Period, days: Sequence[int]) -> ir.Table:
    """How long is each unit followed, and was it there before?

    Parameters
    ----------
    units
        Of one experiment, from ``experiment_units``.
    users
        Users of the shop; None: the source has none, and no unit is called new.
    period
        Gives the time zone of weeks and the end of the data.
    days
        Lengths of the windows after the assignment, in days.

    Returns
    -------
    ibis.Table
        One row per unit: its columns, week (number of the local week from Monday in which it was
        assigned), is_new (first seen at or after the assignment; a unit that is not in ``users`` is not new), elapsed
        (how many of the windows have elapsed; a shorter one has elapsed before a longer one).
    """
    columns, is_new = units.columns, ibis.literal(False)
    if users is not None:
        seen = users.select(seen_id=users.user_id, first_seen_ms=users.first_seen_ms)
        units = units.left_join(seen, units.unit_id == seen.seen_id)
        is_new = (units.first_seen_ms >= units.assigned_ms).fill_null(False)
    elapsed = ibis.literal(0, "int64")
    for one in sorted(set(days)):
        elapsed += (units.assigned_ms + one * DAY_MS <= period.data_end_ms).cast("int64")
    week = period_number(local_day(units.assigned_ms, period), "week")
    return units.select(*columns, week=week, is_new=is_new, elapsed=elapsed)


def unit_outcomes(
    members: ir.Table,
    orders: ir.Table,
    period: Period,
    *,
    days: Sequence[int],
    pre_days: int,
    profit: Callable[[ir.Table], ir.NumericValue] | None,
    names: Sequence[str] = MEASURES,
    curve_days: Sequence[int] = (),
) -> ir.Table:
    """What did each unit that ordered do after its assignment, and before?

    Parameters
    ----------
    members
        Of one experiment, from ``experiment_units``, made from ``followed_units``.
    orders
        Orders of the shop; unpaid ones and those of nobody do not count.
    period
        In which the units were assigned.
    days
        Lengths of the windows after the assignment, in days.
    pre_days
        Length of the window before it.
    profit
        What an order earns, such as ``lambda orders: profit_amount(orders, margin_rate)``; None: costs are not known,
        and there are no columns of profit.
    names
        Of ``MEASURES``; orders and buyers are there in any case.
    curve_days
        Further windows, none longer than those of ``days``, for ``CURVE_MEASURES`` alone.

    Returns
    -------
    ibis.Table
        One row per unit with an order in one of its windows; all numbers of the other units are 0. The unit_id,
        variant, week, is_new and elapsed of ``followed_units``, and stratum. For each name <name>_<d> over orders paid
        in ``assigned <= paid < assigned + d days``, and <name>_pre over orders paid in ``assigned - pre_days <= paid <
        assigned``. ``borne_discount_amount`` is what coupons took off at the shop's own expense.

    Notes
    -----
    Windows are counted from the assignment of the unit. Orders of other members count from their ``since_ms`` on; the
    past is the unit's own. The stratum is fixed before the assignment: ``new``, else by the unit's own orders in the
    time before ``0``, ``1`` or ``2+``. A unit that is new has no past: orders before its assignment contradict its
    first visit and are left out.

    An order lies in one of the bands between the ends of windows, and a window is the sum of its bands: each sum is
    kept once per unit, which is what the engine's time and memory go by.
    """
    ends = sorted(set(days))
    edges = sorted({*ends, *(one for one in curve_days if one <= max(ends, default=0))})
    bases = _bases(names, has_profit=profit is not None)
    near = _orders_near(members, orders, period, max(edges, default=0), pre_days, profit, bases)
    band = ibis.cases(
        (near.after_ms < 0, 0), *((near.after_ms < edge * DAY_MS, place) for place, edge in enumerate(edges, 1))
    )
    near = near.mutate(band=band.cast("int8")).drop("after_ms")
    sums, windows = {}, {}
    for name in ("orders", *bases):
        own = edges if name in CURVE_MEASURES else ends
        start = 1
        for edge in own:
            last = edges.index(edge) + 1
            windows[name, edge] = f"{name}_to_{edge}"
            sums[f"{name}_to_{edge}"] = _within(near, name, start, last)
            start = last + 1
        sums[f"{name}_pre"] = _within(near, name, 0, 0)
    keys = ("unit_id", "variant", "week", "is_new", "elapsed")
    return _cumulated(near.group_by(list(keys)).aggregate(**sums), keys, bases, windows, names)


def _bases(names: Sequence[str], *, has_profit: bool) -> tuple[str, ...]:
    """What is summed over orders, from which the measures follow: the net amount is paid less refunded."""
    wanted = {"profit"} & set(names) if has_profit else set()
    wanted |= {"paid_amount", "refund_amount", "borne_discount_amount"} & set(names)
    wanted |= {"paid_amount", "refund_amount"} if "net_amount" in names else set()
    return tuple(name for name in MEASURES if name in wanted)


def _within(near: ir.Table, name: str, first: int, last: int) -> ir.NumericScalar:
    """Sum over orders from one band to another; adding zeros is faster than a condition on each sum."""
    inside = near.band == first if first == last else (near.band >= first) & (near.band <= last)
    return near.count(where=inside) if name == "orders" else (near[name] * inside.cast("float64")).sum()


def _cumulated(
    sums: ir.Table,
    keys: Sequence[str],
    bases: Sequence[str],
    windows: Mapping[tuple[str, int], str],
    names: Sequence[str],
) -> ir.Table:
    """Windows from their bands, and the measures from what was summed."""
    values: dict[tuple[str, str], ir.NumericValue] = {}
    for name in ("orders", *bases):
        total: ir.NumericValue = ibis.literal(0)
        for (other, edge), column in windows.items():
            if other == name:
                total = total + sums[column].fill_null(0)
                values[name, str(edge)] = total
        values[name, "pre"] = sums[f"{name}_pre"].fill_null(0)
    columns = {f"{name}_{ending}": value for (name, ending), value in values.items()}
    for (name, ending), value in values.items():
        if name == "orders":
            columns[f"buyers_{ending}"] = (value > 0).cast("int64")
        if name == "paid_amount" and "net_amount" in names:
            columns[f"net_amount_{ending}"] = value - values["refund_amount", ending]
    past = values["orders", "pre"]
    stratum = ibis.cases((sums.is_new, NEW), (past == 0, NO_ORDERS), (past == 1, "1"), else_="2+")
    return sums.select(*keys, stratum=stratum, **columns)


def _orders_near(
    members: ir.Table,
    orders: ir.Table,
    period: Period,
    longest: int,
    pre_days: int,
    profit: Callable[[ir.Table], ir.NumericValue] | None,
    bases: Sequence[str],
) -> ir.Table:
    """Paid orders in the windows of the units for which they count, with the columns of the unit."""
    values = {"paid_amount": orders.paid_amount}
    for name, value in (
        ("refund_amount", orders.refund_amount),
        ("borne_discount_amount", borne_coupon_discount(orders)),
    ):
        values[name] = ibis.cases((orders.paid_amount.notnull(), value))  # an order without an amount is in no amount
    if profit is not None:
        values["profit"] = profit(orders)
    paid = orders.filter(
        orders.paid_ms >= period.start_ms - pre_days * DAY_MS,
        orders.paid_ms < period.end_ms + longest * DAY_MS,
        orders.user_id.notnull(),
    ).select("user_id", "paid_ms", **{name: values[name].cast("float64") for name in bases})
    met = paid.inner_join(members, paid.user_id == members.member_id)
    after = met.paid_ms - met.assigned_ms
    is_past = ~met.is_new & (met.member_id == met.unit_id) & (after < 0) & (after >= -pre_days * DAY_MS)
    is_since = (met.paid_ms >= met.since_ms) & (after >= 0) & (after < longest * DAY_MS)
    return met.filter(is_past | is_since).select(
        "unit_id", "variant", "week", "is_new", "elapsed", *bases, after_ms=after
    )


def unit_sums(
    outcomes: ir.Table,
    units: ir.Table,
    names: Sequence[str],
    days: Sequence[int],
    *,
    ratios: Mapping[str, tuple[str, str]] | None = None,
    curve: Sequence[tuple[str, int]] = (),
) -> ir.Table:
    """What do estimates of an effect need to know of the units?

    Parameters
    ----------
    outcomes
        From ``unit_outcomes``.
    units
        From ``followed_units``: all units, so also those without orders.
    names
        Of ``MEASURES``.
    days
        Those of ``units``.
    ratios
        Ratios of two sums, such as refunds by paid amount: name to numerator and denominator, two of ``MEASURES``.
    curve
        Measures and days whose growth over the same units is asked for.

    Returns
    -------
    ibis.Table
        One row per variant, week, is_new, stratum and elapsed: unit_count, and sums over its units. For each name
        <name>_pre_x and _xx (of the measure before the assignment, and of its square), and for d of ``days`` <name>_<d>_y
        and _yy (of the measure and its square), _xy (of the product of both). For each ratio <ratio>_<d>_y, _yy (the
        numerator), _x, _xx (the denominator in the same window) and _xy. For ``curve`` <name>_<d>_curve_y and _curve_yy.
        Sums are null where no unit has orders; the windows of units that were not followed for d days are not whole.

    Notes
    -----
    Whoever wants the units followed for d days adds up the few rows with ``elapsed`` high enough: a condition on every
    sum over all units would take the engine far longer than the sum.
    """
    parts: dict[str, ir.FloatingValue] = {}
    for name in names:
        x = _outcome(outcomes, name, "pre")
        parts |= {f"{name}_pre_{ending}": value for ending, value in _powers("x", x).items()}
        for one in days:
            y = _outcome(outcomes, name, one)
            parts |= {f"{name}_{one}_{ending}": value for ending, value in (_powers("y", y) | {"xy": x * y}).items()}
    for ratio, (numerator, denominator) in (ratios or {}).items():
        for one in days:
            y, x = _outcome(outcomes, numerator, one), _outcome(outcomes, denominator, one)
            powers = _powers("y", y) | _powers("x", x) | {"xy": x * y}
            parts |= {f"{ratio}_{one}_{ending}": value for ending, value in powers.items()}
    for name, one in curve:
        y = _outcome(outcomes, name, one)
        parts |= {f"{name}_{one}_curve_{ending}": value for ending, value in _powers("y", y).items()}
    rows = outcomes.select(*_CELL, **parts)
    sums = rows.group_by(list(_CELL)).aggregate(
        units=rows.count().cast("float64"), **{name: rows[name].sum() for name in parts}
    )
    counts = _unit_counts(units, sums)
    found = counts.left_join(sums.drop("units"), list(_CELL))
    return found.select(*counts.columns, *parts)


def _unit_counts(units: ir.Table, sums: ir.Table) -> ir.Table:
    """Units by cell; whoever has no orders stands in the stratum of a past without any."""
    home = {"stratum": units.is_new.ifelse(NEW, NO_ORDERS)}
    # as floats: ClickHouse counts without a sign, and what is taken off has one
    every = units.group_by("variant", "week", "is_new", "elapsed", **home).aggregate(
        units=units.count().cast("float64")
    )
    moved = sums.select(*_CELL, "units")
    left = moved.mutate(stratum=moved.is_new.ifelse(NEW, NO_ORDERS), units=-moved.units)
    rows = ibis.union(*(one.select(*_CELL, "units") for one in (every, moved, left)))
    found = rows.group_by(list(_CELL)).aggregate(unit_count=rows.units.sum().cast("int64"))
    return found.filter(found.unit_count > 0)


def _outcome(outcomes: ir.Table, name: str, ending: int | str) -> ir.FloatingValue:
    return outcomes[f"{name}_{ending}"].cast("float64")


def _powers(name: str, value: ir.FloatingValue) -> dict[str, ir.FloatingValue]:
    return {name: value, name * 2: value * value}


def cuped_squares(
    outcomes: ir.Table, fits: Mapping[tuple[str, int | None, str, int], CupedFit], days: Sequence[int]
) -> ir.Table:
    """What do the robust errors of the adjusted effect need, once its regressions are fitted?

    Parameters
    ----------
    outcomes
        From ``unit_outcomes``.
    fits
        The fit of each arm by variant, week (None: all weeks are one cell), name and days. One without a slope
        (``sxx`` is 0) needs no second pass and is passed over.
    days
        Those of ``outcomes``.

    Returns
    -------
    ibis.Table
        One row per variant and week with such a unit (0: all weeks): for each name and days <name>_<d>_squares, the sum over followed
        units with orders in the time before of ``(1/n + shift (x - mean_x)/sxx)^2 e^2 / (1 - h)``, where e is the
        residual and ``h = 1/n + (x - mean_x)^2 / sxx`` the leverage (HC2, MacKinnon and White 1985). 0 where there is
        no fit with a slope, or nobody; NaN where one unit alone decides the slope. Units with a history but without
        orders in the time before all have x = 0: ``stats.cuped.squares_at`` has their part from the sums.

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
    steps = sorted(set(days))
    measured = list(dict.fromkeys((name, d) for _variant, _week, name, d in fits))
    lines, twins = _lines(fits)
    old = outcomes.filter(outcomes.stratum.notin([NEW, NO_ORDERS]))
    same = [old.variant == lines.line_variant, *([old.week == lines.line_week] if True in by_week else [])]
    met = old.inner_join(lines, same)
    squares = {f"{name}_{d}": _square(met, name, d, twins[name, d]).sum() for name, d in measured}
    # by elapsed, for the reason given in unit_sums; a line without a slope stands there as null
    few = met.group_by("line_variant", "line_week", "elapsed").aggregate(**squares)
    sums = few.group_by(variant=few.line_variant, week=few.line_week).aggregate(
        **{f"{name}_{d}_squares": few[f"{name}_{d}"].sum(where=few.elapsed > steps.index(d)) for name, d in measured}
    )
    return sums.select(
        "variant", "week", **{f"{n}_{d}_squares": sums[f"{n}_{d}_squares"].fill_null(0.0) for n, d in measured}
    )


def _lines(
    fits: Mapping[tuple[str, int | None, str, int], CupedFit],
) -> tuple[ir.Table, dict[tuple[str, int], int]]:
    """The fits as a table, one row per variant and week, and for each name and days which days' columns of x it shares.

    What depends on x alone is the same for all windows that hold the same units, and then computed once.
    """
    rows: dict[tuple[str, int], dict[tuple[str, str, int], float | None]] = {}
    for (variant, week, name, d), fit in fits.items():
        slope = fit.sxx > 0
        numbers = {
            "middle": fit.mean_x if slope else None,
            "even": 1 / fit.count_old if slope else None,
            "shift": fit.shift / fit.sxx if slope else None,
            "narrow": 1 / fit.sxx if slope else None,
            "slope": fit.slope if slope else None,
            "start": fit.mean_y - fit.slope * fit.mean_x if slope else None,
        }
        rows.setdefault((variant, week or 0), {}).update({(part, name, d): one for part, one in numbers.items()})
    kinds: dict[tuple[object, ...], int] = {}
    twins = {}
    for name, d in dict.fromkeys((name, d) for _variant, _week, name, d in fits):
        of_x = tuple(row.get((part, name, d)) for row in rows.values() for part in _OF_X)
        twins[name, d] = kinds.setdefault((name, *of_x), d)
    one = ibis.range(0, 1).unnest().name("one").as_table()
    tables = []
    for (variant, week), row in rows.items():
        # as text: DuckDB reads 0.5 as a decimal, and would turn it into a float again for every unit
        columns = {
            f"{part}_{name}_{d}": ibis.literal(None if value is None else repr(value), "string").cast("float64")
            for name, d in twins
            for part in (*_OF_X, "slope", "start")
            if part not in _OF_X or twins[name, d] == d
            for value in [row.get((part, name, d))]
        }
        tables.append(one.select(line_variant=ibis.literal(variant), line_week=ibis.literal(week, "int64"), **columns))
    return (tables[0] if len(tables) == 1 else ibis.union(*tables)), twins


def _square(met: ir.Table, name: str, days: int, twin: int) -> ir.FloatingValue:
    """A unit's part of the sum of squares; ``twin`` are the days whose columns hold what depends on x."""
    x, y = _outcome(met, name, "pre"), _outcome(met, name, days)
    middle, even, shift, narrow = (met[f"{part}_{name}_{twin}"] for part in _OF_X)
    beside = x - middle
    weight = beside * shift + even
    rest = 1 - even - beside * beside * narrow
    share = weight * weight / (rest >= _LEAST_REST).ifelse(rest, float("nan"))
    residual = y - x * met[f"slope_{name}_{days}"] - met[f"start_{name}_{days}"]
    return share * (residual * residual)
