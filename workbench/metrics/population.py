"""Which users a channel comparison speaks of, and what they did."""

from collections.abc import Mapping, Sequence
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import UNKNOWN
from workbench.metrics.orders import first_payments, paid_in_period
from workbench.metrics.repurchase import next_payments, repurchase_counts
from workbench.period import DAY_MS, Period

Population = Literal["new", "active"]
USER_COLUMNS = ("age_group", "gender", "region", "device")
"""Columns that describe users as of acquisition."""


def user_key(*tables: ir.Table) -> str:
    """The column by which these tables of users are joined: ``user_key`` where all carry it, else ``user_id``."""
    return "user_key" if all("user_key" in table.columns for table in tables) else "user_id"


def population_users(
    tables: Mapping[str, ir.Table], population: Population, period: Period, columns: Sequence[str] = ()
) -> ir.Table:
    """The users compared, one row each: user_id, user_bucket, channel, first_seen_ms and the columns asked for.

    ``new``: users first seen in the period. ``active``: users with an event or a submitted order in it; those
    missing in ``users`` have no channel and count under ``(unknown)``. Other columns of users are text, null is
    ``(unknown)`` too.
    """
    users = tables["users"]
    named = {name: users[name].cast("string") for name in ("channel", *columns)}
    known = users.select("user_id", "user_bucket", "first_seen_ms", **named)
    if population == "new":
        new = known.filter(known.first_seen_ms >= period.start_ms, known.first_seen_ms < period.end_ms)
        return new.mutate(**{name: new[name].fill_null(UNKNOWN) for name in named})
    seen = []
    for name, instant in (("events", "event_ms"), ("orders", "submitted_ms"), ("orders", "paid_ms")):
        if name in tables:
            table = tables[name]
            inside = (table[instant] >= period.start_ms) & (table[instant] < period.end_ms)
            seen.append(table.filter(inside, table.user_id.notnull()).select("user_id", "user_bucket").distinct())
    active = ibis.union(*seen, distinct=True) if len(seen) > 1 else seen[0]
    joined = active.left_join(known.drop("user_bucket"), "user_id")
    return joined.select(
        "user_id",
        "user_bucket",
        first_seen_ms=joined.first_seen_ms,
        **{name: joined[name].fill_null(UNKNOWN) for name in named},
    )


def channel_sums(
    members: ir.Table,
    paid: ir.Table,
    population: Population,
    period: Period,
    conversion_days: int,
    by: Sequence[str] = ("channel",),
) -> ir.Table:
    """Everything that adds up over users, by channel and bucket of users.

    Parameters
    ----------
    members
        From ``population_users``.
    paid
        Paid orders with ``profit_amount``.
    population, period, conversion_days
        As the notebook's parameters.
    by
        Columns of ``members`` to sum by.

    Returns
    -------
    ibis.Table
        One row per value of ``by`` and user_bucket: user_count, buyer_count, repeat_buyer_count, order_count,
        gross_amount, paid_amount, refund_amount (paid orders in the period), amount_count (of them with an
        amount), paid_squares (sum over users of their squared paid amount); eligible_count, converted_count
        (conversion as defined for the population); early_profit_amount (paid orders of eligible users in their
        first ``conversion_days``).
    """
    window = conversion_days * DAY_MS
    inside = (
        paid_in_period(paid, period)
        .group_by("user_id")
        .aggregate(
            orders=_.count(),
            amounts=_.gross_amount.count(),
            gross=_.gross_amount.sum(),
            paid=_.paid_amount.sum(),
            refunds=_.refund_amount.sum(),
        )
    )
    first = first_payments(paid)
    seen = members.select("user_id", "first_seen_ms")
    joined = paid.inner_join(seen, "user_id")
    early = joined.filter(joined.paid_ms >= joined.first_seen_ms, joined.paid_ms < joined.first_seen_ms + window)
    early = early.group_by("user_id").aggregate(early_profit=_.profit_amount.sum())
    users = members.left_join(inside, "user_id").drop("user_id_right")
    users = users.left_join(first, "user_id").drop("user_id_right")
    users = users.left_join(early, "user_id").drop("user_id_right")
    bought = users.orders.fill_null(0)
    if population == "new":
        eligible = users.first_seen_ms + window <= period.data_end_ms
        since = users.first_paid_ms - users.first_seen_ms
        converted = eligible & ((since >= 0) & (since < window)).fill_null(False)
    else:
        eligible, converted = ibis.literal(True), bought > 0
    marked = users.mutate(is_eligible=eligible, is_converted=converted, bought=bought)
    return marked.group_by([*by, "user_bucket"]).aggregate(
        user_count=_.count(),
        buyer_count=(_.bought > 0).cast("int64").sum(),
        repeat_buyer_count=(_.bought > 1).cast("int64").sum(),
        order_count=_.bought.sum(),
        gross_amount=_.gross.sum(),
        paid_amount=_.paid.sum(),
        refund_amount=_.refunds.sum(),
        amount_count=_.amounts.fill_null(0).sum(),
        paid_squares=(_.paid * _.paid).sum(),
        eligible_count=_.is_eligible.cast("int64").sum(),
        converted_count=_.is_converted.cast("int64").sum(),
        early_profit_amount=ibis.cases((_.is_eligible, _.early_profit)).sum(),
    )


def channel_repurchase(
    members: ir.Table, paid: ir.Table, period: Period, days: Sequence[int], by: Sequence[str] = ("channel",)
) -> ir.Table:
    """When do members pay again on a later local day? Counts by channel (or other columns) and day since the first paid order.

    Day d reaches from d to d + 1 times 24 hours after the first paid order in the data, which lies in the period; a
    buyer is followed on it if all of it lies before the end of the data.

    Returns
    -------
    ibis.Table
        One row per value of ``by``, ``exit_day`` (of the next payment, or the first day not followed, whichever is earlier) and
        ``is_repurchase``: origin_count, and for each W ``eligible_<W>`` (W days have elapsed) and ``repurchased_<W>``
        (of these, paid again before origin + W days).
    """
    origins = members.inner_join(first_payments(paid), "user_id")
    origins = origins.filter(origins.first_paid_ms >= period.start_ms, origins.first_paid_ms < period.end_ms)
    origins = origins.select(*by, "user_id", origin_ms=origins.first_paid_ms)
    following = next_payments(origins, paid, period, by)
    followed = ((period.data_end_ms - following.origin_ms) // DAY_MS).cast("int64")
    again = ((following.next_ms - following.origin_ms) // DAY_MS).cast("int64")
    is_repurchase = (again < followed).fill_null(False)
    timed = following.mutate(is_repurchase=is_repurchase, exit_day=ibis.cases((is_repurchase, again), else_=followed))
    return repurchase_counts(timed, period, days, [*by, "exit_day", "is_repurchase"])
