"""Who is in an audience, who of it is held back, and what they did afterwards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK
from workbench.metrics.user_states import UserPeriods, metric_value, user_days, user_windows
from workbench.period import DAY_MS, Period, local_date

PURCHASE = "purchase"
"""Done by a purchase event or a paid order."""
AUDIENCE, CONTROL = "audience", "control"
DRAWS = 1 << 24
"""Numbers from 0 to one below this are drawn for users."""
RESPONSES = ("returned", "clicked")
_INSTANTS = (("events", "event_ms"), ("orders", "submitted_ms"), ("orders", "paid_ms"))


def activity(tables: Mapping[str, ir.Table], start_ms: int, end_ms: int) -> ir.Table:
    """Events, submitted and paid orders of known users in ``start_ms <= instant < end_ms``: user_id, instant_ms."""
    parts = []
    for name, instant in _INSTANTS:
        if name in tables:
            table = tables[name]
            inside = (table[instant] >= start_ms) & (table[instant] < end_ms)
            parts.append(table.filter(inside, table.user_id.notnull()).select("user_id", instant_ms=table[instant]))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def user_numbers(
    tables: Mapping[str, ir.Table],
    period: Period,
    start_ms: int,
    end_ms: int,
    names: Sequence[str],
    *,
    days: ir.Table | None = None,
    has_sessions: bool = False,
) -> ir.Table:
    """Numbers of each user over a window, as quadrants have them.

    Parameters
    ----------
    tables
        As for ``user_states.user_windows``, with ``user_key``.
    period
        Gives the time zone.
    start_ms, end_ms
        The window, UTC milliseconds: starts of local days.
    names
        Of ``user_states.UserMetric``.
    days
        From ``user_states.user_days``, where they are held already.
    has_sessions
        Whether events name their session.

    Returns
    -------
    ibis.Table
        One row per user_key with an event or an order in the window: one column for each of ``names``.
    """
    first, end = ((local_date(one, period.timezone) - date(1970, 1, 1)).days for one in (start_ms, end_ms))
    window = UserPeriods((end,), period_days=end - first, window_days=end - first)
    days = user_days(tables, period) if days is None else days
    days = days.filter(days.day >= first, days.day < end)
    users = user_windows(tables, days, period, window, names, has_sessions=has_sessions)
    return users.select("user_key", **{name: metric_value(users, name, window, 0) for name in names})


def last_done(tables: Mapping[str, ir.Table], names: Iterable[str], start_ms: int, end_ms: int) -> ir.Table:
    """When did each user do one of these last? One row per user_id who did in the window: last_ms.

    ``names`` are events; ``purchase`` is a paid order too.
    """
    wanted, parts = set(names), []
    if "events" in tables:
        events = tables["events"]
        inside = (events.event_ms >= start_ms) & (events.event_ms < end_ms)
        done = events.filter(inside, events.event.isin(sorted(wanted)), events.user_id.notnull())
        parts.append(done.select("user_id", instant_ms=done.event_ms))
    if PURCHASE in wanted and "orders" in tables:
        orders = tables["orders"]
        paid = orders.filter(orders.paid_ms >= start_ms, orders.paid_ms < end_ms, orders.user_id.notnull())
        parts.append(paid.select("user_id", instant_ms=paid.paid_ms))
    rows = ibis.union(*parts) if len(parts) > 1 else parts[0]
    return rows.group_by("user_id").aggregate(last_ms=_.instant_ms.max())


def drop_outs(
    tables: Mapping[str, ir.Table], did: Sequence[str], did_not: Sequence[str], start_ms: int, end_ms: int
) -> ir.Table:
    """Who did one thing and not another since? One row per user, user_id.

    Parameters
    ----------
    tables
        ``events``, ``orders``.
    did
        Events, all of which the user did in the window; at least one.
    did_not
        Events, none of which the user did from the last of the above on (the same instant included) to the end; may be
        empty.
    start_ms, end_ms
        The window, UTC milliseconds.
    """
    parts = [last_done(tables, [name], start_ms, end_ms) for name in did]
    rows = ibis.union(*parts) if len(parts) > 1 else parts[0]
    users = rows.group_by("user_id").aggregate(done=_.count(), since_ms=_.last_ms.max())
    users = users.filter(users.done == len(did))
    if not did_not:
        return users.select("user_id")
    other = last_done(tables, did_not, start_ms, end_ms).select(other_id=_.user_id, other_ms=_.last_ms)
    joined = users.left_join(other, users.user_id == other.other_id)
    return joined.filter(joined.other_ms.isnull() | (joined.other_ms < joined.since_ms)).select("user_id")


def drawn(user_id: ir.Value, seed: int, first_byte: Callable[[ir.Value], ir.IntegerValue]) -> ir.IntegerValue:
    """A number from 0 to ``DRAWS`` - 1 for each user, the same for the same seed and id on every engine.

    Parameters
    ----------
    user_id
        Ids, text or whole numbers.
    seed
        Another one gives numbers that have nothing to do with these; so has the bucket of the user.
    first_byte
        The first byte of the MD5 of a text, such as ``Engine.user_bucket``.
    """
    text = user_id.cast("string")
    high, middle, low = (
        first_byte(ibis.literal(f"control {seed} {part} ") + text).cast("int64") for part in ("a", "b", "c")
    )
    return high * 65536 + middle * 256 + low


def arm(user_id: ir.Value, share: float, seed: int, first_byte: Callable[[ir.Value], ir.IntegerValue]) -> ir.Value:
    """``control`` with probability ``share``, else ``audience``; see ``drawn``."""
    return (drawn(user_id, seed, first_byte) < round(share * DRAWS)).ifelse(CONTROL, AUDIENCE)


def audience_counts(rows: ir.Table) -> ir.Table:
    """How many users are in each audience?

    Parameters
    ----------
    rows
        user_id, audience, segment, arm, order_count, paid_amount.

    Returns
    -------
    ibis.Table
        One row per audience, segment and arm: user_count, order_count, paid_amount (null where no amount is known).
    """
    return rows.group_by(["audience", "segment", "arm"]).aggregate(
        user_count=_.count().cast("int64"), order_count=_.order_count.sum(), paid_amount=_.paid_amount.sum()
    )


def known_users(tables: Mapping[str, ir.Table]) -> ir.Table:
    """Users that a shop knows: those of ``users``, of events and of orders; user_id, one row each."""
    parts = [
        tables[name].filter(_.user_id.notnull()).select("user_id")
        for name in ("users", "events", "orders")
        if name in tables
    ]
    return (ibis.union(*parts) if len(parts) > 1 else parts[0]).distinct()


def matched(rows: ir.Table, known: ir.Table) -> ir.Table:
    """Rows of a file with the ids as the shop writes them.

    Parameters
    ----------
    rows
        With user_id as text.
    known
        From ``known_users``.

    Returns
    -------
    ibis.Table
        The rows of users that the shop knows: their columns, user_id of the shop's type.
    """
    told = known.select(known_id=known.user_id, known_text=known.user_id.cast("string"))
    named = rows.rename(file_id="user_id")
    joined = named.inner_join(told, named.file_id == told.known_text)
    rest = [name for name in rows.columns if name != "user_id"]
    return joined.select(*rest, user_id=joined.known_id)


def responses(units: ir.Table, tables: Mapping[str, ir.Table], start_ms: int, days: Sequence[int]) -> ir.Table:
    """How many of each arm came back, and how many clicked a promotion?

    Parameters
    ----------
    units
        user_id and arm, a user once.
    tables
        ``events``, ``orders``.
    start_ms
        From when on, UTC milliseconds.
    days
        Lengths of the windows.

    Returns
    -------
    ibis.Table
        One row per arm: unit_count and for each of ``days`` returned_<d> (users with an event, or an order submitted or
        paid, in ``start <= instant < start + d days``) and clicked_<d> (with a ``select_promotion``).
    """
    end_ms = start_ms + max(days) * DAY_MS
    seen = activity(tables, start_ms, end_ms)
    parts = [seen.mutate(is_click=ibis.literal(False))]
    if "events" in tables:
        events = tables["events"]
        inside = (events.event_ms >= start_ms) & (events.event_ms < end_ms) & (events.event == CLICK)
        clicks = events.filter(inside, events.user_id.notnull())
        parts.append(clicks.select("user_id", instant_ms=clicks.event_ms, is_click=ibis.literal(True)))
    rows = ibis.union(*parts) if len(parts) > 1 else parts[0]
    first = rows.group_by("user_id").aggregate(
        returned_ms=_.instant_ms.min(), clicked_ms=_.instant_ms.min(where=_.is_click)
    )
    first = first.select(active_id=first.user_id, returned_ms=first.returned_ms, clicked_ms=first.clicked_ms)
    joined = units.left_join(first, units.user_id == first.active_id)
    counts = {}
    for one in days:
        for name in RESPONSES:
            inside = (joined[f"{name}_ms"] < start_ms + one * DAY_MS).fill_null(False)
            counts[f"{name}_{one}"] = inside.cast("int64").sum()
    return joined.group_by("arm").aggregate(unit_count=joined.count(), **counts)
