"""Who is in an audience, by rules over quadrants, tags, numbers, columns of users and drop-outs; a control is held back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from workbench.contract import TABLES, UNKNOWN
from workbench.errors import ParameterError, nearest
from workbench.metrics.audiences import (
    AUDIENCE,
    CONTROL,
    PURCHASE,
    arm,
    audience_counts,
    drop_outs,
    last_done,
    user_numbers,
)
from workbench.metrics.tags import HIGH, LOW, MIDDLE, NO_ORDERS, NO_TAG, NONE, NORMAL
from workbench.metrics.user_states import QUADRANTS
from workbench.period import Period, local_date, parse_date, start_of_day_ms
from workbench.source.shop import Shop
from workbench.user.audience_rules import (
    NUMBERS,
    AnyOf,
    AudienceRule,
    AudienceRules,
    Between,
    Condition,
    Done,
    Every,
    Not,
    OneOf,
    leaves,
    listed,
)
from workbench.user.next_purchase import ALL
from workbench.user.periods import day_of
from workbench.user.quadrants import QuadrantRules, QuadrantsFound, read_quadrants
from workbench.user.tags import TAGS, TagsFound, read_tags

FILE_COLUMNS = ("user_id", "audience", "segment", "arm")
"""Columns of the file."""
SUMMARY_COLUMNS = [
    "audience",
    "segment",
    "user_count",
    "user_share",
    "audience_count",
    "control_count",
    "control_share",
    "order_count",
    "paid_amount",
]
MANY_VALUES = 10_000
"""A column of users with more values than these is no segment, and its values are not checked."""
_FIXED = {
    "quadrant": QUADRANTS,
    "coupon_sensitivity": (HIGH, NORMAL, NONE, NO_ORDERS),
    "price_band": (LOW, MIDDLE, HIGH, NO_TAG, NO_ORDERS),
}


@dataclass(frozen=True)
class Window:
    """What the rules look at.

    Attributes
    ----------
    period
        Gives the time zone.
    start_ms, end_ms
        UTC milliseconds; ``end_ms`` is the end of the last period, the start of a local day.
    reference
        The window of the reference period, which freezes price bands; None: this window.
    days
        Days with activity of each user, from ``user_states.user_days``, where they are known already.
    """

    period: Period
    start_ms: int
    end_ms: int
    reference: tuple[int, int] | None = None
    days: ir.Table | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Audiences:
    """Audiences of a shop.

    Attributes
    ----------
    rows
        Lazy, one row per audience and user: ``FILE_COLUMNS``, order_count, paid_amount of the window.
    summary
        ``audience_summary``: one row per audience and segment, and one per audience with segment ``(all)`` first:
        user_count, user_share (of all users of the window), audience_count, control_count, control_share, order_count,
        paid_amount (of the window).
    rules
        What was asked.
    window
        When.
    population_count
        Users of the window.
    """

    rows: ir.Table = field(repr=False)
    summary: pd.DataFrame
    rules: AudienceRules
    window: Window
    population_count: int


def make_audiences(shop: Shop, rules: AudienceRules) -> Audiences:
    """Who is in each audience of a rules file, by the period and the quadrants that the file asks for?

    Raises
    ------
    ParameterError, TableError, EstimationError
        As ``read_quadrants`` and ``find_audiences``.
    """
    asked = rules.settings
    period = shop.period(asked.start_date, asked.end_date, asked.timezone)
    found = read_quadrants(
        shop,
        period,
        QuadrantRules(
            x_metric=asked.x_metric,
            y_metric=asked.y_metric,
            window_days=asked.window_days,
            period_days=asked.period_days,
            threshold=asked.threshold,
            reference_end=asked.reference_end,
            include_users_without_orders=asked.include_users_without_orders,
            hysteresis=asked.hysteresis,
        ),
    )
    return find_audiences(shop, rules, shop.hold("audience_population", found.members), quadrant_window(found, period))


def quadrant_window(found: QuadrantsFound, period: Period) -> Window:
    """The window of the last period of some quadrants, with the one of their reference."""
    last, reference = (
        tuple(start_of_day_ms(day_of(day), period.timezone) for day in found.periods.window(number))
        for number in (len(found.periods) - 1, found.reference)
    )
    return Window(period, last[0], last[1], (reference[0], reference[1]), found.days)


def find_audiences(
    shop: Shop, rules: AudienceRules, members: ir.Table, window: Window, tags: TagsFound | None = None
) -> Audiences:
    """Who is in each audience of a rules file, and who of it is held back?

    Parameters
    ----------
    shop
        The shop.
    rules
        From ``load_audience_rules``.
    members
        One row per user of the last period: user_id, user_bucket, quadrant, order_count, paid_amount.
    window
        The window of the last period.
    tags
        Those of the members; None: they are read where the rules need them.

    Returns
    -------
    Audiences
        The rows stay in the engine.

    Raises
    ------
    ParameterError
        With all names that the shop does not know, each with its line; or if an audience is nobody, or everybody.
    """
    wanted = {
        one.name for rule in rules.audiences for one in leaves(rule.condition) if isinstance(one, OneOf | Between)
    }
    wanted |= {rule.segment for rule in rules.audiences}
    columns = _known_columns(shop)
    _check_names(shop, rules, columns)
    _check_starts(rules, window)
    if wanted & set(TAGS) and tags is None:
        tags = read_tags(shop, members, window.start_ms, window.end_ms, reference=window.reference)
    _check_tags(rules, tags)
    table = _described(shop, members, window, tags, wanted, columns)
    deeds = {
        one: number
        for number, one in enumerate(
            dict.fromkeys(one for rule in rules.audiences for one in leaves(rule.condition) if isinstance(one, Done))
        )
    }
    table = _with_deeds(shop, table, deeds, window)
    table = shop.hold("audience_members", table)
    _check_values(shop, rules, table, () if tags is None else tags.categories)
    parts = [_audience(shop, table, rule, deeds) for rule in rules.audiences]
    rows = shop.hold("audience_rows", ibis.union(*parts) if len(parts) > 1 else parts[0])
    population = int(shop.collect(table.aggregate(users=table.count()))["users"].iloc[0])
    counts = shop.collect(audience_counts(rows))
    _check_sizes(rules, counts, population)
    return Audiences(rows, summary_rows(counts, rules, population), rules, window, population)


def summary_rows(counts: pd.DataFrame, rules: AudienceRules, population: int) -> pd.DataFrame:
    """The table ``audience_summary``; audiences in the order of the rules, segments with most users first."""
    parts = []
    for rule in rules.audiences:
        mine = counts[counts["audience"] == rule.name]
        by_segment = _summed(mine, mine["segment"].astype(str).to_numpy(dtype=object))
        by_segment = by_segment.sort_values(["user_count", "segment"], ascending=[False, True])
        parts += [_summed(mine, np.full(len(mine), ALL, dtype=object)), by_segment]
        for one in parts[-2:]:
            one.insert(0, "audience", rule.name)
    table = pd.concat(parts, ignore_index=True)
    table["user_share"] = table["user_count"] / population if population else np.nan
    return table[SUMMARY_COLUMNS]


def _summed(mine: pd.DataFrame, segment: Any) -> pd.DataFrame:
    """Counts by segment."""
    users, arms = mine["user_count"].to_numpy(dtype=float), mine["arm"].to_numpy(dtype=object)
    numbers = pd.DataFrame(
        {
            "segment": segment,
            "user_count": users,
            "audience_count": np.where(arms == AUDIENCE, users, 0.0),
            "control_count": np.where(arms == CONTROL, users, 0.0),
            "order_count": mine["order_count"].to_numpy(dtype=float),
            "paid_amount": mine["paid_amount"].to_numpy(dtype=float),
        }
    )
    found = numbers.groupby("segment", sort=True).sum(min_count=1).reset_index()
    for name in ("user_count", "audience_count", "control_count", "order_count"):
        found[name] = found[name].fillna(0).astype(np.int64)
    found["control_share"] = found["control_count"] / found["user_count"]
    return found


# -- what the shop knows -----------------------------------------------------------------------------------


def _known_columns(shop: Shop) -> dict[str, bool]:
    """Columns of users that a rule may name, and whether each is a number; keys and times are not among them."""
    if not shop.has("users"):
        return {}
    contract, users = TABLES["users"].columns, shop.users
    found = {}
    for name, type_ in users.schema().items():
        is_ours = name in contract and name in shop.present["users"] and contract[name].type == "text"
        is_own = name not in contract and name not in ("user_bucket", "first_seen_ms") and not name.startswith("raw__")
        if is_ours or (is_own and (type_.is_string() or type_.is_numeric() or type_.is_boolean())):
            found[name] = type_.is_numeric()
    return found


def _check_names(shop: Shop, rules: AudienceRules, columns: Mapping[str, bool]) -> None:
    """Refuse names that are no quadrant, tag, number or column of users, and events that the shop does not have."""
    faults = []
    texts = ["quadrant", *TAGS, *(name for name, is_number in columns.items() if not is_number)]
    # columns of CSV files have no types: what one asks for as a number is read as one
    has_types = "users" not in shop.engine.text_tables
    numbers = [*NUMBERS, *(name for name, is_number in columns.items() if is_number or _is_open(name, has_types))]
    events: list[str] | None = None
    has_categories = shop.has("order_lines", "category") or (
        shop.has("order_lines") and shop.has("products", "category")
    )
    needs = {"paid_amount": shop.has_money, "average_order_value": shop.has_money, "sessions": shop.has("events")}
    needs |= {"orders": shop.has("orders"), "categories_bought": has_categories}
    for rule in rules.audiences:
        for one in leaves(rule.condition):
            if isinstance(one, Done):
                events = _events(shop) if events is None else events
                faults += [
                    (one.line, f'{rule.name}: no event "{name}"{nearest(name, events, ".")} There are: {_few(events)}.')
                    for name in (*one.did, *one.did_not)
                    if name not in events
                ]
                continue
            allowed, others = (numbers, texts) if isinstance(one, Between) else (texts, numbers)
            if one.name in others and one.name not in allowed:
                what = "is a text: name its values" if one.name in texts else "is a number: give a bound such as '>= 3'"
                faults.append((one.line, f"{rule.name}: {one.name} {what}."))
            elif one.name not in allowed:
                every = [*texts, *numbers, "any", "not", "did", "did_not"]
                hint = nearest(one.name, every, ".")
                faults.append((one.line, f'{rule.name}: "{one.name}" is not known{hint} Allowed: {_few(every)}.'))
            elif one.name in needs and not needs[one.name]:
                faults.append((one.line, f"{rule.name}: the shop has not the tables or amounts for {one.name}."))
        if rule.segment not in texts:
            hint = nearest(rule.segment, texts, ".")
            faults.append(
                (rule.line, f'{rule.name}: segment "{rule.segment}" is not known{hint} Allowed: {_few(texts)}.')
            )
    if faults:
        raise ParameterError(listed(rules.name, faults))


def _is_open(name: str, has_types: bool) -> bool:
    """Whether a column of users may be a text or a number."""
    return not has_types and name not in TABLES["users"].columns


def _few(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    return ", ".join(every[:20]) + (f" and {len(every) - 20} more" if len(every) > 20 else "")


def _events(shop: Shop) -> list[str]:
    found = [PURCHASE] if shop.has("orders") else []
    if shop.has("events"):
        events = shop.collect(shop.events.select("event").distinct())["event"].dropna()
        found += sorted(str(one) for one in events)
    return list(dict.fromkeys(found))


def _check_starts(rules: AudienceRules, window: Window) -> None:
    """Refuse a start before the end of what the users were chosen by."""
    faults = []
    end = local_date(window.end_ms, window.period.timezone)
    for rule in rules.audiences:
        day = parse_date(rule.start_date, "start_date")
        if day is not None and start_of_day_ms(day, window.period.timezone) < window.end_ms:
            faults.append(
                (
                    rule.line,
                    f"{rule.name}: start_date {day} lies before the end of the window, {end}, by which users are "
                    "chosen: what they did afterwards would count for both. Give a later start_date or an earlier end_date.",
                )
            )
    if faults:
        raise ParameterError(listed(rules.name, faults))


def _check_tags(rules: AudienceRules, tags: TagsFound | None) -> None:
    """Refuse tags that the source cannot give."""
    faults = []
    needs = {
        "category": "order_lines with category",
        "coupon_sensitivity": "coupon_discount_amount of orders",
        "price_band": "order_lines",
        "channel": "channel of users",
    }
    for rule in rules.audiences:
        names = [(one.name, one.line) for one in leaves(rule.condition) if isinstance(one, OneOf)]
        for name, line in [*names, (rule.segment, rule.line)]:
            if name in TAGS and (tags is None or name not in tags.names):
                faults.append((line, f"{rule.name}: the shop has no {name}; it needs {needs[name]}."))
    if faults:
        raise ParameterError(listed(rules.name, faults))


def _check_values(shop: Shop, rules: AudienceRules, table: ir.Table, categories: Iterable[str]) -> None:
    """Refuse values that no user has, and name the nearest; of quadrants and tags those that cannot be."""
    faults = []
    known: dict[str, list[str]] = {name: list(values) for name, values in _FIXED.items()}
    known["category"] = [*categories, NO_TAG, NO_ORDERS]
    for rule in rules.audiences:
        for one in leaves(rule.condition):
            if not isinstance(one, OneOf):
                continue
            if one.name not in known:
                values = table.select(value=table[one.name]).distinct().limit(MANY_VALUES + 1)
                known[one.name] = sorted(str(value) for value in shop.collect(values)["value"].dropna())
            there = known[one.name]
            if len(there) > MANY_VALUES:
                continue
            faults += [
                (
                    one.line,
                    f'{rule.name}: no {one.name} "{value}"{nearest(value, there, ".")} There are: {_few(there)}.',
                )
                for value in one.values
                if value not in there
            ]
    if faults:
        raise ParameterError(listed(rules.name, faults))


def _check_sizes(rules: AudienceRules, counts: pd.DataFrame, population: int) -> None:
    """Refuse an audience that is nobody, or everybody."""
    faults = []
    for rule in rules.audiences:
        mine = counts[counts["audience"] == rule.name]
        users = int(mine["user_count"].sum())
        if not users:
            faults.append(
                (
                    rule.line,
                    f"{rule.name}: of {population:,} users of the window, the rules select nobody. Loosen a condition.",
                )
            )
        elif users == population:
            faults.append(
                (
                    rule.line,
                    f"{rule.name}: the rules select all {population:,} users of the window; that is no audience. Add a condition.",
                )
            )
        elif mine["arm"].nunique() < 2:
            faults.append(
                (
                    rule.line,
                    f"{rule.name}: {users:,} users, and a control of {rule.share:g} of them leaves one arm empty. Raise the share or "
                    "loosen a condition.",
                )
            )
    if faults:
        raise ParameterError(listed(rules.name, faults))


# -- the lazy rows -----------------------------------------------------------------------------------------


def _described(
    shop: Shop, members: ir.Table, window: Window, tags: TagsFound | None, wanted: set[str], columns: Mapping[str, bool]
) -> ir.Table:
    """Members with every name that the rules use; texts are never null."""
    table = tags.tagged if tags is not None else members
    numbers = [name for name in NUMBERS if name in wanted - {"orders", "paid_amount"}]
    if numbers:
        found = user_numbers(
            {name: shop.keyed(one) if "user_id" in one.columns else one for name, one in shop.tables.items()},
            window.period,
            window.start_ms,
            window.end_ms,
            numbers,
            days=window.days,
            has_sessions=shop.has("events", "session_id"),
        ).rename(number_key="user_key")
        table = shop.keyed(table)
        table = table.left_join(found, table.user_key == found.number_key)
    own = [name for name in columns if name in wanted and name not in TAGS]
    if own:
        told = shop.users.select(own_id="user_id", **{f"own_{name}": name for name in own})
        table = table.left_join(told, table.user_id == told.own_id)
    paid = table.paid_amount.cast("float64")
    described = {
        "user_id": table.user_id,
        "quadrant": table.quadrant,
        "orders": table.order_count,
        "paid_amount": paid.fill_null(0.0) if shop.has_money else ibis.null("float64"),
    }
    described |= {name: table[name] for name in TAGS if name in wanted}
    for name in own:
        value = table[f"own_{name}"]
        described[name] = value if columns[name] else value.cast("string").nullif("").fill_null(UNKNOWN)
    described |= {name: table[name] for name in numbers}
    return table.select(**described)


def _with_deeds(shop: Shop, table: ir.Table, deeds: Mapping[Done, int], window: Window) -> ir.Table:
    """A column for each drop-out condition: whether it holds."""
    for one, number in deeds.items():
        start_ms = window.end_ms - one.within_ms
        if one.did:
            users = drop_outs(shop.tables, one.did, one.did_not, start_ms, window.end_ms)
        else:
            users = last_done(shop.tables, one.did_not, start_ms, window.end_ms)
        marked = users.select(deed_id=users.user_id)
        joined = table.left_join(marked, table.user_id == marked.deed_id)
        met = joined.deed_id.notnull() if one.did else joined.deed_id.isnull()
        table = joined.select(*table.columns, **{f"deed_{number}": met})
    return table


def _holds(table: ir.Table, condition: Condition, deeds: Mapping[Done, int]) -> ir.BooleanValue:
    """Whether a condition holds for a row; never null."""
    if isinstance(condition, Every):
        return reduce(and_, (_holds(table, one, deeds) for one in condition.parts), ibis.literal(True))
    if isinstance(condition, AnyOf):
        return reduce(or_, (_holds(table, one, deeds) for one in condition.parts), ibis.literal(False))
    if isinstance(condition, Not):
        return ~_holds(table, condition.part, deeds)
    if isinstance(condition, Done):
        return table[f"deed_{deeds[condition]}"]
    value = table[condition.name]
    if isinstance(condition, OneOf):
        return value.cast("string").isin(list(condition.values)).fill_null(False)
    if value.type().is_string():
        value = value.try_cast("float64")
    bounds = []
    if condition.lower is not None:
        bounds.append(value >= condition.lower)
    if condition.upper is not None:
        bounds.append(value <= condition.upper)
    return reduce(and_, bounds, value.notnull()).fill_null(False)


def _audience(shop: Shop, table: ir.Table, rule: AudienceRule, deeds: Mapping[Done, int]) -> ir.Table:
    """Rows of one audience."""
    chosen = table.filter(_holds(table, rule.condition, deeds))
    return chosen.select(
        "user_id",
        audience=ibis.literal(rule.name),
        segment=chosen[rule.segment].cast("string").fill_null(UNKNOWN),
        arm=arm(chosen.user_id, rule.share, rule.seed, shop.engine.user_bucket),
        order_count=chosen.orders,
        paid_amount=chosen.paid_amount,
    )
