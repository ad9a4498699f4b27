"""How far users get through ordered steps inside a window: the best chain, not only the first."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import EVENT_RANK, LAST_RANK


def event_rank(event: ir.StringValue) -> ir.IntegerValue:
    """The contract's order of events within the same instant and seq."""
    return ibis.cases(*[(event == name, rank) for name, rank in EVENT_RANK.items()], else_=LAST_RANK).cast("int64")


def total_order(table: ir.Table) -> list[ir.Value]:
    """Sort keys of the contract's total order after ``event_ms``: seq, rank, then the ids (null first)."""
    ids = [sortable_id(table[name]) for name in ("slot_id", "content_id", "product_id", "order_id")]
    return [table.seq, event_rank(table.event), *ids]


def sortable_id(value: ir.Value) -> ir.StringValue:
    """An id as text that sorts as the id does: whole numbers by size, null first."""
    text = value.cast("string")
    return (text.lpad(20, "0") if value.type().is_integer() else text).fill_null("")


def funnel_reach(events: ir.Table, steps: Sequence[str], window_ms: int, by: str) -> ir.Table:
    """Count users by the steps that they reach.

    Parameters
    ----------
    events
        Events of the users and the period wanted, with the column ``by``, which is constant for a user.
    steps
        Event names in order, each once.
    window_ms
        Longest time from step 1 to the last step of a chain, its end included.
    by
        Column to break down by.

    Returns
    -------
    ibis.Table
        One row per value of ``by``: ``step_1``, ``step_2``, ... counts of users.

    Notes
    -----
    Step k counts when a chain of steps 1..k in the contract's total order fits the window, for the best such
    chain. For each event of step k the latest start of a valid chain up to step k-1 is carried forward by a
    running maximum: the latest start is the best one, since the window ends by it. The same number as
    ClickHouse's ``windowFunnel`` on time packed with seq.
    """
    numbered = events.filter(events.event.isin(list(steps)))
    order = [numbered.event_ms, numbered.seq, event_rank(numbered.event)]
    if sum(step not in EVENT_RANK for step in steps) > 1:
        order = [numbered.event_ms, *total_order(numbered)]
    chain = numbered.mutate(**{f"order_{number}": key for number, key in enumerate(order)})
    keys = [f"order_{number}" for number in range(len(order))]
    chain = chain.select("user_id", by, "event_ms", "event", *keys)
    running = ibis.window(group_by="user_id", order_by=keys, preceding=None, following=0)
    chain = chain.mutate(start_1=ibis.cases((chain.event == steps[0], chain.event_ms)))
    for number, step in enumerate(steps[1:], start=2):
        carried = chain[f"start_{number - 1}"].max().over(running)
        chain = chain.mutate(carried=carried)
        in_time = (chain.event == step) & (chain.event_ms - chain.carried <= window_ms)
        chain = chain.mutate(**{f"start_{number}": ibis.cases((in_time, chain.carried))})
    reached = {f"step_{number}": chain[f"start_{number}"].max().notnull() for number in range(1, len(steps) + 1)}
    by_user = chain.group_by([by, "user_id"]).aggregate(**reached)
    return by_user.group_by(by).aggregate(**{name: _[name].cast("int64").sum() for name in reached})
