"""How far users get after clicking a slot: exposure, click, detail view, cart, submitted and paid order."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, EXPOSURE
from workbench.period import HOUR_MS, Period

FUNNEL_STEPS = (EXPOSURE, CLICK, "view_item", "add_to_cart", "begin_checkout", "purchase")
"""Steps of a slot in order, by the names of their events."""


def exposed_users(events: ir.Table, period: Period) -> ir.Table:
    """How many users saw each slot?

    Returns
    -------
    ibis.Table
        One row per slot_id: view_promotion, the users with an exposure in the period.
    """
    users = _touched(events, EXPOSURE, period).select("slot_id", "user_id").distinct()
    return users.group_by("slot_id").aggregate(**{EXPOSURE: _.count()})


def slot_funnel(
    events: ir.Table,
    orders: ir.Table | None,
    *,
    steps: Sequence[str] = FUNNEL_STEPS[2:],
    period: Period,
    lookback_hours: float,
) -> ir.Table:
    """How many of the users who clicked a slot reach each step after it?

    Parameters
    ----------
    events
        Events of the shop.
    orders
        Orders of the shop: ``begin_checkout`` is then an order by its submission, ``purchase`` an order by its
        payment. None: both are the events of that name.
    steps
        Steps after the click, in the order of ``FUNNEL_STEPS``; one that the source never records is left out, and
        the chain goes on from the step before.
    period
        In which clicks count. What follows a click may lie after the period.
    lookback_hours
        Longest time from a click to the step, its end included.

    Returns
    -------
    ibis.Table
        One row per slot_id: select_promotion, the users with a click in the period, and for each of ``steps`` a
        column of its name, the users who reach it.

    Notes
    -----
    From a click the earliest chain is followed: the first detail view at or after the click, the first addition
    to the cart at or after that view, and so on; at the same instant steps count in their order. No other chain
    from the same click ends earlier, so a step is reached in time exactly if the earliest chain reaches it. A
    user reaches a step if any of his clicks of the slot does. Chains follow what the user does anywhere in the
    shop, as a funnel does: a view that another slot led to counts too.

    The chain is built from its end: a running minimum over the rows that follow hands each addition to the cart
    the submission after it and what that one leads to, then each detail view the addition after it, and at last
    each click the whole chain. Rows never multiply, however many clicks and orders a user has.
    """
    lookback_ms = round(lookback_hours * HOUR_MS)
    clicked = _touched(events, CLICK, period).select("user_id", "slot_id", instant_ms=_.event_ms)
    chain = None
    for number in reversed(range(len(steps))):
        rows = _occurrences(events, orders, steps[number], period, lookback_ms)
        chain = _followed(rows, chain, steps[number + 1 :]).mutate(**{_at(steps[number]): _.instant_ms})
    followed = _followed(clicked, chain, steps)
    reached = {
        step: (followed[_at(step)] - followed.instant_ms <= lookback_ms).fill_null(False).cast("int64").max()
        for step in steps
    }
    by_user = followed.group_by(["slot_id", "user_id"]).aggregate(click_count=_.count(), **reached)
    return by_user.group_by("slot_id").aggregate(
        **{CLICK: by_user.count()}, **{step: by_user[step].sum() for step in steps}
    )


def recorded_steps(events: ir.Table) -> ir.Table:
    """Which steps do the events of a source know?

    Returns
    -------
    ibis.Table
        One row per event name that is a step: event.
    """
    return events.filter(events.event.isin(list(FUNNEL_STEPS))).select("event").distinct()


def _touched(events: ir.Table, event: str, period: Period) -> ir.Table:
    return events.filter(
        events.event == event,
        events.slot_id.notnull(),
        events.event_ms >= period.start_ms,
        events.event_ms < period.end_ms,
    )


def _at(step: str) -> str:
    return f"{step}_ms"


def _occurrences(events: ir.Table, orders: ir.Table | None, step: str, period: Period, lookback_ms: int) -> ir.Table:
    """user_id and instant_ms of a step, as far as a click of the period can lead."""
    if orders is not None and step in ("begin_checkout", "purchase"):
        known = orders.filter(orders.user_id.notnull())
        table = known.select("user_id", instant_ms=known.paid_ms if step == "purchase" else known.submitted_ms)
    else:
        chosen = events.filter(events.event == step)
        table = chosen.select("user_id", instant_ms=chosen.event_ms)
    return table.filter(table.instant_ms >= period.start_ms, table.instant_ms < period.end_ms + lookback_ms)


def _followed(rows: ir.Table, later: ir.Table | None, steps: Sequence[str]) -> ir.Table:
    """Add to each row the instants of the chain that starts with the user's next row of ``later``, at or after it."""
    if later is None:
        return rows
    instants = [_at(step) for step in steps]
    own = [name for name in rows.columns if name not in ("user_id", "instant_ms")]
    no_instant = {name: ibis.null("int64") for name in instants}
    first = rows.select("user_id", "instant_ms", *own, **no_instant, follows=ibis.literal(0, type="int64"))
    second = later.select(
        "user_id",
        "instant_ms",
        **{name: ibis.null(rows[name].type()) for name in own},
        **{name: later[name] for name in instants},
        follows=ibis.literal(1, type="int64"),
    )
    both = ibis.union(first, second)
    # Backwards in time, so that engines only ever add a row to the minimum: what follows a row is a prefix.
    backwards = ibis.window(
        group_by=both.user_id, order_by=[both.instant_ms.desc(), both.follows.desc()], preceding=None, following=0
    )
    looked = both.mutate(**{name: both[name].min().over(backwards) for name in instants})
    return looked.filter(looked.follows == 0).drop("follows")
