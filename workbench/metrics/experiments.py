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

_CELL = ("variant", "week", "is_new", "stratum")
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
        One row per variant, week, is_new and stratum: unit_count; for d of ``days`` n_<d>, the units followed for d
        days, and over these for each name <name>_<d>_y and _yy (sum of the outcome and of its square), _x and _xx (of
        the same before the assignment), _xy (of their product). For each name also <name>_pre_x and _pre_xx over all
        units. For each ratio the columns of a name, y the numerator and x the denominator in the same window. For
        ``curve`` <name>_<d>_curve_y and _curve_yy, over the units followed for the longest of ``days``.
    """
    steps = sorted(set(days))
    parts: dict[str, ir.FloatingValue] = {}
    taken: dict[str, tuple[str, int]] = {}  # column: which part it adds up, and how many windows must have elapsed

    def take(column: str, part: str, value: ir.FloatingValue, elapsed: int) -> None:
        parts[part], taken[column] = value, (part, elapsed)

    for name in names:
        x = _outcome(outcomes, name, "pre")
        for ending, value in _powers("x", x).items():
            take(f"{name}_pre_{ending}", f"{name}_pre_{ending}", value, 0)
        for place, one in enumerate(steps, 1):
            y = _outcome(outcomes, name, one)
            for ending, value in (_powers("y", y) | {"xy": x * y}).items():
                take(f"{name}_{one}_{ending}", f"{name}_{one}_{ending}", value, place)
            for ending in ("x", "xx"):
                take(f"{name}_{one}_{ending}", f"{name}_pre_{ending}", parts[f"{name}_pre_{ending}"], place)
    for ratio, (numerator, denominator) in (ratios or {}).items():
        for place, one in enumerate(steps, 1):
            y, x = _outcome(outcomes, numerator, one), _outcome(outcomes, denominator, one)
            for ending, value in (_powers("y", y) | _powers("x", x) | {"xy": x * y}).items():
                take(f"{ratio}_{one}_{ending}", f"{ratio}_{one}_{ending}", value, place)
    for name, one in curve:
        for ending, value in _powers("y", _outcome(outcomes, name, one)).items():
            take(f"{name}_{one}_curve_{ending}", f"{name}_{one}_curve_{ending}", value, len(steps))
    # First by how many windows have elapsed, and these few rows then added up: a condition on every sum over all units
    # takes an engine far longer than the sum.
    rows = outcomes.select(*_CELL, "elapsed", **parts)
    few = rows.group_by([*_CELL, "elapsed"]).aggregate(units=rows.count(), **{name: rows[name].sum() for name in parts})
    sums = few.group_by(list(_CELL)).aggregate(
        **{column: few[part].sum(where=few.elapsed >= elapsed) for column, (part, elapsed) in taken.items()}
    )
    counts = _unit_counts(units, few, steps)
    found = counts.left_join(sums, list(_CELL))
    return found.select(*counts.columns, **{column: found[column].fill_null(0) for column in taken})


def _unit_counts(units: ir.Table, few: ir.Table, steps: Sequence[int]) -> ir.Table:
    """Units by cell, all and those followed; whoever has no orders stands in the stratum of a past without any."""
    home = {"stratum": units.is_new.ifelse(NEW, NO_ORDERS)}
    every = units.group_by("variant", "week", "is_new", "elapsed", **home).aggregate(units=units.count())
    moved = few.select("variant", "week", "is_new", "elapsed", "stratum", "units")
    left = moved.mutate(stratum=moved.is_new.ifelse(NEW, NO_ORDERS), units=-moved.units)
    columns = ("variant", "week", "is_new", "elapsed", "stratum", "units")
    rows = ibis.union(*(one.select(*columns) for one in (every, moved, left)))
    elapsed = {f"n_{one}": rows.units.sum(where=rows.elapsed >= place) for place, one in enumerate(steps, 1)}
    found = rows.group_by(list(_CELL)).aggregate(
        unit_count=rows.units.sum(), **{name: value.fill_null(0) for name, value in elapsed.items()}
    )
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
        One row per variant and week of the fits (0: all weeks): for each name and days <name>_<d>_squares, the sum over followed
        units with orders in the time before of ``(1/n + shift (x - mean_x)/sxx)^2 e^2 / (1 - h)``, where e is the
        residual and ``h = 1/n + (x - mean_x)^2 / sxx`` the leverage (HC2, MacKinnon and White 1985). 0 where there is
        no fit with a slope, or nobody; NaN where one unit alone decides the slope. Units with a history but without
        orders in the time before all have x = 0: ``stats.cuped.squares_at_zero`` has their part from the sums.

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
    old = outcomes.filter(outcomes.stratum.notin([NEW, NO_ORDERS]))
    measured = list(dict.fromkeys((name, d) for _variant, _week, name, d in fits))
    rows = []
    for variant, number in dict.fromkeys((variant, week) for variant, week, _name, _days in fits):
        here = old.filter(old.variant == variant, *([] if number is None else [old.week == number]))
        squares = {}
        for name, d in measured:
            fit = fits.get((variant, number, name, d))
            value = ibis.cases((here.is_new, 0.0))  # nobody here is new
            if fit is not None and fit.sxx > 0:
                value = _square(_outcome(here, name, "pre"), _outcome(here, name, d), fit)
            squares[f"{name}_{d}_squares"] = value.sum(where=here.elapsed > steps.index(d)).fill_null(0.0)
        one = here.aggregate(**squares)
        rows.append(
            one.select(
                variant=ibis.literal(variant), week=ibis.literal(number or 0, "int64"), **{k: one[k] for k in squares}
            )
        )
    return ibis.union(*rows)


def _square(x: ir.FloatingValue, y: ir.FloatingValue, fit: CupedFit) -> ir.FloatingValue:
    """A unit's part of the sum of squares, with the numbers of its fit written out."""
    beside = x - fit.mean_x
    residual = y - fit.mean_y - fit.slope * beside
    weighted = (beside * (fit.shift / fit.sxx) + 1 / fit.count_old) * residual
    rest = (1 - 1 / fit.count_old) - beside * beside / fit.sxx
    return weighted * weighted / (rest >= _LEAST_REST).ifelse(rest, float("nan"))
