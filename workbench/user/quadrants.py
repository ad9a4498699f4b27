"""Users in four groups by two metrics, with lines that stay where they are, and who moves between the groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from workbench.contract import TABLES
from workbench.errors import EstimationError, ParameterError, TableError, nearest
from workbench.language import Language, say
from workbench.metrics.user_states import (
    QUADRANTS,
    Line,
    UserMetric,
    UserPeriods,
    UserStates,
    bucket_sums,
    is_member,
    move_sums,
    ordered_values,
    quadrant_members,
    user_days,
    user_windows,
    value_range,
)
from workbench.parameters import check_positive, check_rate
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, Interval, effective_counts, ratio_by_bucket, wilson
from workbench.user.alerts import migration_alerts
from workbench.user.migration import Moves, migration_table, moves_of
from workbench.user.periods import day_of, find_periods, find_reference
from workbench.user.strategy import load_strategies

Threshold = str | float | Mapping[str, Any]
_BUCKETS = 256
_DECIMALS = 6
"""Lines are rounded to so many decimals, so that engines that add in another order draw the same ones."""
COLUMNS = [
    "period_index",
    "quadrant",
    "name",
    "start_date",
    "end_date",
    "user_count",
    "user_count_change",
    "user_share",
    "paid_amount",
    "amount_share",
    "paid_amount_per_user",
    "stopped_count",
    "stopped_share",
    "order_count",
    "user_share_ci_lower",
    "user_share_ci_upper",
    "amount_share_ci_lower",
    "amount_share_ci_upper",
    "paid_amount_change",
    "x_mean",
    "y_mean",
    "x_threshold",
    "y_threshold",
]


@dataclass(frozen=True)
class QuadrantRules:
    """How users are put into quadrants and what rings an alarm.

    Attributes
    ----------
    x_metric, y_metric
        ``visit_days``, ``sessions``, ``orders``, ``paid_amount``, ``average_order_value``, ``days_since_last_visit``,
        ``categories_bought``, or a numeric column of users beyond those of the contract.
    window_days, period_days
        Days whose activity counts, up to the end of a period; days of a period.
    threshold
        ``median``, ``mean``, a quantile strictly between 0 and 1, or ``{"x": ..., "y": ...}`` with a value (or ``median``
        or ``mean``) for each axis. Taken over the users in the reference period and frozen for all.
    reference_end
        The day after the last one of the reference period; None: the first period of the report.
    include_users_without_orders
        True: whoever was active in the window is in the period. False: whoever has a paid order in it.
    hysteresis
        Who was in the period before changes side only beyond threshold × (1 ± hysteresis), from 0 to below 1. A threshold
        of 0 has no band.
    false_alarms_per_month
        Alarms a month that quiet groups may give on average, all outflows together.
    min_users
        Smaller groups are not judged, and fewer users who go are no alarm.
    least_amount
        Money at risk below which nothing rings but in the group that is watched; None: a thousandth of the paid amount in
        the window before.
    confidence_level
        Coverage of intervals.
    """

    x_metric: str = "visit_days"
    y_metric: str = "paid_amount"
    window_days: int = 90
    period_days: int = 28
    threshold: Threshold = "median"
    reference_end: object = None
    include_users_without_orders: bool = True
    hysteresis: float = 0.05
    false_alarms_per_month: float = 1.0
    min_users: int = 30
    least_amount: float | None = None
    confidence_level: float = 0.95


@dataclass(frozen=True)
class QuadrantsFound:
    """Users in four groups over consecutive periods.

    Lazy tables hold until the next ``read_quadrants`` on the same shop, which computes its own in their place.

    Attributes
    ----------
    quadrants, migration, migration_alerts
        Tables of the report; see ``quadrants_table``, ``workbench.user.migration`` and ``workbench.user.alerts``.
    periods, first_in_report, reference
        All periods, those before the report among them, and the numbers of the first in the report and of the one that
        froze the lines.
    x, y
        The axes with their thresholds.
    moves
        Users, money and moves of all periods, the history before the report among them.
    days
        Lazy, held in the engine: one row per user_key and ``day`` with activity.
    states
        Lazy: everything about each user in each period.
    members
        Lazy: one row per user in the last period: user_key, user_id, user_bucket, quadrant, x_value, y_value,
        order_count, paid_amount (null where the shop has no money).
    unknown_count
        Users of the reference period left out because an own column is empty.
    one_sided
        Axes (``x``, ``y``) of which all users of the reference period are on one side.
    names
        What the groups are called; also ``new``, ``returned``, ``gone`` and ``stopped``.
    strategies
        What is advised, by quadrant.
    """

    quadrants: pd.DataFrame
    migration: pd.DataFrame
    migration_alerts: pd.DataFrame
    periods: UserPeriods
    first_in_report: int
    reference: int
    x: Line
    y: Line
    moves: Moves = field(repr=False)
    days: ir.Table = field(repr=False)
    states: UserStates = field(repr=False)
    members: ir.Table = field(repr=False)
    unknown_count: int
    one_sided: tuple[str, ...]
    names: Mapping[str, str]
    strategies: Mapping[str, str]


def read_quadrants(
    shop: Shop, period: Period, rules: QuadrantRules = QuadrantRules(), lang: Language = "en"
) -> QuadrantsFound:
    """Who are the users, who moves between the groups, and which group loses more than usual?

    Parameters
    ----------
    shop
        Needs ``events`` or ``orders``.
    period
        Of the report; periods before it are computed too, as history.
    rules
        Metrics, windows, lines and alarms.
    lang
        Language of the groups' names.

    Raises
    ------
    ParameterError, TableError
        If a rule or the data cannot be used; if a metric does not vary, or all users are in one quadrant.
    EstimationError
        If nobody is in the reference period.
    """
    held = hold_users(shop, period, rules)
    x, y, unknown, one_sided = find_lines(shop, held, rules)
    states = UserStates(held.users, held.periods, x, y, with_buyers_only=not rules.include_users_without_orders)
    moves = moves_of(shop.collect(move_sums(states)), len(held.periods))
    buckets = shop.collect(bucket_sums(states)) if shop.has_money else None
    names, members = names_of(rules, x, y, lang), quadrant_members(states, held.tables, shop.engine.user_bucket)
    words, at = load_strategies(), (x.threshold, y.threshold)
    return QuadrantsFound(
        **group_tables(shop, held, rules, moves, buckets, names, x, y),
        periods=held.periods,
        first_in_report=held.first_in_report,
        reference=held.reference,
        x=x,
        y=y,
        moves=moves,
        days=held.days,
        states=states,
        members=members if shop.has_money else members.mutate(paid_amount=_no_amount()),
        unknown_count=unknown,
        one_sided=one_sided,
        names=names,
        strategies={one: words.strategy(rules.x_metric, rules.y_metric, one, lang, at) for one in QUADRANTS},
    )


@dataclass(frozen=True)
class HeldUsers:
    """What users did in the windows of all periods, held in the engine, before any line is drawn.

    Attributes
    ----------
    periods, first_in_report, reference
        As in ``QuadrantsFound``.
    tables
        The shop's tables with user_key.
    days, users
        Lazy: ``metrics.user_states.user_days`` and ``user_windows``.
    """

    periods: UserPeriods
    first_in_report: int
    reference: int
    tables: Mapping[str, ir.Table] = field(repr=False)
    days: ir.Table = field(repr=False)
    users: ir.Table = field(repr=False)


def hold_users(shop: Shop, period: Period, rules: QuadrantRules) -> HeldUsers:
    """Check the rules and count what each user did in each window; errors as of ``read_quadrants``."""
    _check(shop, rules)
    periods, first_in_report = find_periods(period, window_days=rules.window_days, period_days=rules.period_days)
    reference = find_reference(periods, first_in_report, rules.reference_end)
    tables = _keyed(shop)
    days = shop.hold("quadrant_days", user_days(tables, period))
    windows = user_windows(
        tables,
        days,
        period,
        periods,
        (rules.x_metric, rules.y_metric),
        has_sessions=shop.has("events", "session_id"),
    )
    return HeldUsers(periods, first_in_report, reference, tables, days, shop.hold("quadrant_users", windows))


def names_of(rules: QuadrantRules, x: Line, y: Line, lang: Language) -> dict[str, str]:
    """What the groups are called, those beside the quadrants too."""
    words, at = load_strategies(), (x.threshold, y.threshold)
    return {one: words.name(rules.x_metric, rules.y_metric, one, lang, at) for one in QUADRANTS} | {
        "new": say(lang, "New", "新增"),
        "returned": say(lang, "Returned", "回流"),
        "gone": say(lang, "Gone", "流失"),
        "stopped": say(lang, "Stopped coming", "停访"),
    }


GROUP_TABLES = ("quadrants", "migration", "migration_alerts")


def group_tables(
    shop: Shop,
    held: HeldUsers,
    rules: QuadrantRules,
    moves: Moves,
    buckets: pd.DataFrame | None,
    names: Mapping[str, str],
    x: Line,
    y: Line,
    wanted: Sequence[str] = GROUP_TABLES,
) -> dict[str, pd.DataFrame]:
    """The tables of groups from what was counted: ``quadrants``, ``migration``, ``migration_alerts``, as far as wanted."""
    periods, first, has_money = held.periods, held.first_in_report, shop.has_money
    found = {}
    if "quadrants" in wanted:
        found["quadrants"] = quadrants_table(moves, buckets, periods, x, y, first, names, rules.confidence_level)
    if "migration" in wanted:
        found["migration"] = migration_table(
            moves,
            periods,
            first,
            confidence_level=rules.confidence_level,
            name_of=names.__getitem__,
            has_money=has_money,
        )
    if "migration_alerts" in wanted:
        found["migration_alerts"] = migration_alerts(
            moves,
            periods,
            first,
            with_stopped=rules.window_days > rules.period_days or not rules.include_users_without_orders,
            false_alarms_per_month=rules.false_alarms_per_month,
            min_users=rules.min_users,
            least_amount=rules.least_amount,
            name_of=names.__getitem__,
            has_money=has_money,
        )
    return found


def _no_amount() -> ir.Scalar:
    return ibis.null("float64")


def _keyed(shop: Shop) -> dict[str, ir.Table]:
    """The tables that groups are made of; those of users with their key."""
    found = {name: shop.tables[name] for name in ("order_lines", "products") if shop.has(name)}
    return found | {name: shop.keyed(shop.tables[name]) for name in ("events", "orders", "users") if shop.has(name)}


def own_columns(shop: Shop) -> list[str]:
    """Numeric columns of users beyond those of the contract; of CSV files all, since they have no types."""
    if not shop.has("users"):
        return []
    known = {*TABLES["users"].columns, "user_bucket", "first_seen_ms", *UserMetric.__args__}  # type: ignore[attr-defined]
    is_text = "users" in shop.engine.text_tables
    return [
        name
        for name, type_ in shop.tables["users"].schema().items()
        if name not in known and ((type_.is_numeric() and not type_.is_boolean()) or (is_text and type_.is_string()))
    ]


def _check(shop: Shop, rules: QuadrantRules) -> None:
    """Refuse rules that cannot be, and metrics that the source cannot give."""
    if not shop.has("events") and not shop.has("orders"):
        shop.require("user_quadrants", "events", "orders")
    if not shop.user_ids_known:
        raise TableError(
            f"{shop.name}: the source cannot tell users apart (user_ids: per_event); there are no groups of users."
        )
    needs = {
        "sessions": ("events", shop.has("events")),
        "orders": ("orders", shop.has("orders")),
        "paid_amount": ("orders with amounts", shop.has_money),
        "average_order_value": ("orders with amounts", shop.has_money),
        "categories_bought": (
            "order_lines with a category, or products with one",
            shop.has("orders")
            and shop.has("order_lines")
            and (shop.has("order_lines", "category") or shop.has("products", "category")),
        ),
    }
    own = own_columns(shop)
    there = [one for one in get_args(UserMetric) if needs.get(one, ("", True))[1]] + own
    for name in ("x_metric", "y_metric"):
        given = getattr(rules, name)
        if given in there:
            continue
        if given in needs:
            raise ParameterError(
                f'{name}: "{given}" needs {needs[given][0]}; {shop.name} has none. Allowed here: {", ".join(there)}.'
            )
        numbers = "a numeric column of users" if not own else f"numeric columns of users: {', '.join(own)}"
        raise ParameterError(
            f'{name}: "{given}" is not known{nearest(str(given), there, ".")} Allowed: {", ".join(get_args(UserMetric))}, '
            f"or {numbers}."
        )
    if rules.x_metric == rules.y_metric:
        raise ParameterError(
            f'x_metric and y_metric are both "{rules.x_metric}"; quadrants need two different metrics.'
        )
    if not 0 <= rules.hysteresis < 1:
        raise ParameterError(f"hysteresis is {rules.hysteresis}; it lies from 0 to below 1, such as 0.05.")
    if isinstance(rules.min_users, bool) or not isinstance(rules.min_users, int) or rules.min_users < 1:
        raise ParameterError(f"min_users is {rules.min_users!r}; it is a whole number of users from 1 on, such as 30.")
    check_rate("confidence_level", rules.confidence_level)
    check_positive("false_alarms_per_month", rules.false_alarms_per_month, "alarms a month")
    _axes(rules.threshold)


def _axes(threshold: Threshold) -> tuple[str | float, str | float]:
    """The rule of each axis: ``median``, ``mean``, ``("quantile", q)`` as ``q:0.8``, or a value."""
    allowed = 'Allowed: median, mean, a quantile strictly between 0 and 1, or values {"x": 10, "y": 200}.'
    if isinstance(threshold, Mapping):
        if set(threshold) != {"x", "y"}:
            raise ParameterError(
                f"threshold: {dict(threshold)} does not name x and y, both and nothing else. {allowed}"
            )
        found: list[str | float] = []
        for axis in ("x", "y"):
            value = threshold[axis]
            if isinstance(value, str) and value in ("median", "mean"):
                found.append(value)
            elif isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
                found.append(float(value))
            else:
                raise ParameterError(f"threshold: {value!r} for {axis} is no number. {allowed}")
        return found[0], found[1]
    if isinstance(threshold, str) and threshold in ("median", "mean"):
        return threshold, threshold
    if isinstance(threshold, int | float) and not isinstance(threshold, bool) and 0 < threshold < 1:
        return f"q:{float(threshold)!r}", f"q:{float(threshold)!r}"
    hint = nearest(str(threshold), ["median", "mean"], ".")
    raise ParameterError(f"threshold: {threshold!r} is not known{hint} {allowed}")


def find_lines(
    shop: Shop,
    held: HeldUsers,
    rules: QuadrantRules,
    ranges: Callable[[], pd.DataFrame] | None = None,
    values_at: Callable[[str, Sequence[int]], pd.DataFrame] | None = None,
) -> tuple[Line, Line, int, tuple[str, ...]]:
    """Where the axes are cut, how many users an empty column leaves out, and axes of which one side is empty.

    Without ``ranges`` (what ``value_range`` gives) and ``values_at`` (what ``ordered_values`` gives at places of a metric)
    this is about all users of ``held``, else about those of whom the two tell.
    """
    metrics, periods, reference = (rules.x_metric, rules.y_metric), held.periods, held.reference
    only = not rules.include_users_without_orders
    inside = is_member(held.users, metrics, reference, with_buyers_only=only)
    if ranges is None or values_at is None:
        every = value_range(held.users, metrics, periods, reference, with_buyers_only=only)
        ranges = partial(shop.collect, every)

        def values_at(metric: str, places: Sequence[int]) -> pd.DataFrame:
            return shop.collect(ordered_values(held.users, metric, inside, periods, reference, places))

    found = ranges().iloc[0]
    count = int(found["user_count"])
    where = f"the reference period that ends before {day_of(periods.ends[reference])}"
    if not count:
        raise EstimationError(
            f"{shop.name}: no user {'with a paid order' if only else 'with activity'} is in {where} (window of "
            f"{periods.window_days} days). Name another reference_end or a longer window."
        )
    lines, one_sided = [], []
    for i, (axis, metric, rule) in enumerate(zip("xy", metrics, _axes(rules.threshold))):
        least, most = float(found[f"least_{i}"]), float(found[f"most_{i}"])
        if least == most:
            raise ParameterError(
                f"{axis}_metric {metric}: all {count:,} users in {where} have {least:g}; no line divides them. Choose "
                "another metric, a longer window or another reference_end."
            )
        threshold: float
        if rule == "mean":
            threshold = float(found[f"mean_{i}"])
        elif isinstance(rule, str):
            share = 0.5 if rule == "median" else float(rule.removeprefix("q:"))
            position = share * (count - 1)
            places = [int(np.floor(position)), int(np.ceil(position))]
            low, high = values_at(metric, places).iloc[0]
            threshold = low + (high - low) * (position - places[0])
        else:
            threshold = rule
        lines.append(Line(metric, round(float(threshold), _DECIMALS), rules.hysteresis))
        if not least <= lines[-1].threshold < most:
            one_sided.append(axis)
    if len(one_sided) == 2:
        told = "; ".join(
            f"{line.metric} from {found[f'least_{i}']:g} to {found[f'most_{i}']:g} with the line at {line.threshold:g}"
            for i, line in enumerate(lines)
        )
        raise ParameterError(
            f"threshold: all {count:,} users in {where} are in one quadrant: {told}. Choose values inside these ranges, "
            "below the greatest."
        )
    return lines[0], lines[1], int(found["unknown_count"]), tuple(one_sided)


def quadrants_table(
    moves: Moves,
    buckets: pd.DataFrame | None,
    periods: UserPeriods,
    x_line: Line,
    y_line: Line,
    first_in_report: int,
    names: Mapping[str, str],
    confidence_level: float,
) -> pd.DataFrame:
    """How many users are in each quadrant, and what do they pay?

    Parameters
    ----------
    moves
        From ``moves_of``.
    buckets
        Collected from ``bucket_sums``; None where the shop has no money, amounts are null then.
    periods, x_line, y_line
        The periods and the lines.
    first_in_report
        Earlier periods are left out.
    names
        What the quadrants are called.
    confidence_level
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per period of the report, the newest first, and quadrant: user_count and user_share (Wilson interval); order_count,
        paid_amount, amount_share (interval by buckets of users; none below ``MINIMUM_EFFECTIVE`` effective buyers) and
        paid_amount_per_user of the window; x_mean, y_mean; user_count_change and paid_amount_change since the period
        before (null in the very first); stopped_count and stopped_share: of the quadrant's users in the period before,
        those without any activity in this period's own days; x_threshold, y_threshold.
    """
    every = slice(len(QUADRANTS))
    users, orders, paid, x, y = (
        one.sum(axis=1)[:, every] for one in (moves.users, moves.orders, moves.paid_after, moves.x, moves.y)
    )
    shares = _amount_shares(buckets, len(periods), confidence_level)
    parts = []
    for k in reversed(range(first_in_report, len(periods))):
        share = wilson(users[k], users[k].sum(), confidence_level=confidence_level)
        before = moves.users[k, every].sum(axis=1)
        stopped = moves.stopped[k, every].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = pd.DataFrame(
                {
                    "period_index": k,
                    "start_date": day_of(periods.own(k)[0]).isoformat(),
                    "end_date": day_of(periods.ends[k]).isoformat(),
                    "quadrant": QUADRANTS,
                    "name": [names[one] for one in QUADRANTS],
                    "user_count": users[k].astype(int),
                    "user_share": share.estimate,
                    "user_share_ci_lower": share.lower,
                    "user_share_ci_upper": share.upper,
                    "order_count": orders[k].astype(int),
                    "paid_amount": paid[k],
                    "amount_share": shares.estimate[k],
                    "amount_share_ci_lower": shares.lower[k],
                    "amount_share_ci_upper": shares.upper[k],
                    "paid_amount_per_user": paid[k] / users[k],
                    "x_mean": x[k] / users[k],
                    "y_mean": y[k] / users[k],
                    "user_count_change": users[k] - users[k - 1] if k else np.nan,
                    "paid_amount_change": paid[k] - paid[k - 1] if k else np.nan,
                    "stopped_count": stopped if k else np.nan,
                    "stopped_share": stopped / before if k else np.nan,
                    "x_threshold": x_line.threshold,
                    "y_threshold": y_line.threshold,
                }
            )
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    for name in ("user_count_change", "stopped_count"):
        table[name] = table[name].astype("Int64")
    if buckets is None:
        table[[one for one in COLUMNS if one.startswith(("paid_amount", "amount_share"))]] = np.nan
    return table[COLUMNS]


def _amount_shares(buckets: pd.DataFrame | None, count: int, confidence_level: float) -> Interval:
    """Share of the period's paid amount, shape (periods, quadrants)."""
    paid, squares = np.zeros((2, count, _BUCKETS, len(QUADRANTS)))
    if buckets is not None:
        names = ("period_index", "user_bucket", "code")
        at, bucket, code = (buckets[name].to_numpy(dtype=int) for name in names)
        paid[at, bucket, code - 1] = buckets["paid_amount"].to_numpy(dtype=float)
        squares[at, bucket, code - 1] = buckets["paid_squares"].to_numpy(dtype=float)
    few = effective_counts(paid.sum(axis=1), squares.sum(axis=1)) < MINIMUM_EFFECTIVE
    found = [ratio_by_bucket(one, one.sum(axis=1)[:, None], confidence_level=confidence_level) for one in paid]
    estimate, lower, upper = (
        np.stack([getattr(one, name) for one in found]) for name in ("estimate", "lower", "upper")
    )
    return Interval(estimate, np.where(few, np.nan, lower), np.where(few, np.nan, upper))
