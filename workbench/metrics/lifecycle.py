"""On which days users come and buy, how long they stay silent between, and what they are at the end of each period."""

from collections.abc import Iterable, Sequence
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.local_days import local_day
from workbench.metrics.repurchase import repurchase_counts
from workbench.period import DAY_MS, Period

State = Literal["new", "back", "active", "quiet", "dormant", "gone"]
STATES: tuple[State, ...] = ("new", "back", "active", "quiet", "dormant", "gone")
BUCKETS = 64
"""Four of the 256 buckets of users are one of these: counts by day and bucket stay small."""
LONGEST_DAYS = 730
"""Longer gaps count as not ended."""
_LONGEST_GAP = 2**15 - 1
_AT_ONCE = 4
"""Periods that are counted in one pass; the combinations of states grow with them."""
MOST_PURCHASES = 3
"""Purchases are told apart up to this number; from it on they are one group."""


def key_buckets(tables: Iterable[ir.Table], only: ir.Table | None = None) -> ir.Table:
    """Which bucket does each user belong to? One row per user_key: user_bucket, the same on every engine.

    The key itself is not the same on every engine, so that a bucket made of it would not be either. Of large tables name
    the users that are wanted: ``only``, with ``user_key``.
    """
    named = [one.filter(one.user_id.notnull()).select("user_key", "user_bucket") for one in tables]
    parts = named if only is None else [one.semi_join(only, "user_key") for one in named]
    union = ibis.union(*parts) if len(parts) > 1 else parts[0]
    return union.group_by("user_key").aggregate(user_bucket=_.user_bucket.min())


def visit_gaps(seen: ir.Table, reach: tuple[int, int], buckets: ir.Table) -> ir.Table:
    """How many days were users silent after each visit, as far as they were watched?

    Parameters
    ----------
    seen
        From ``user_states.user_days``.
    reach
        Numbers of the first local day of the data and of the one after the last.
    buckets
        One row per user_key: user_bucket; it may lack users.

    Returns
    -------
    ibis.Table
        One row per ``bucket`` (64; null: of users that ``buckets`` lacks), ``exit_day`` (whole days of silence before the
        user came again, or that were watched) and ``is_return``: origin_count, visits.
    """
    known = buckets.select(bucket_key=buckets.user_key, bucket=buckets.user_bucket // 4)
    told = seen.left_join(known, seen.user_key == known.bucket_key)
    day = told.day.cast("int32")
    followed = ibis.least(reach[1] - 1 - day, LONGEST_DAYS)
    silent = told.next_day.cast("int32") - day - 1
    is_return = (silent < followed).fill_null(False)
    told = told.select(
        "bucket",
        exit_day=ibis.cases((is_return, silent), else_=followed).cast("int32"),
        is_return=is_return,
        is_inside=(day >= reach[0]) & (day < reach[1]),
    )
    # Filtered when it is counted: before, DuckDB would guess a fifth is left, and build the join on the visits.
    counted = told.group_by(["bucket", "exit_day", "is_return"]).aggregate(
        origin_count=told.count(where=told.is_inside)
    )
    return counted.filter(counted.origin_count > 0)


def user_lives(
    seen: ir.Table,
    users: ir.Table | None,
    first_day: int,
    periods: Sequence[tuple[int, int]],
    dormant_days: int,
    gone_days: int,
) -> ir.Table:
    """What is each user at the end of each period?

    Parameters
    ----------
    seen
        From ``user_states.user_days``.
    users
        Users of the shop with ``user_key``; None where there are none.
    first_day
        Number of the first local day of the data, with ``first_seen_day`` of ``users`` in the same days.
    periods
        Numbers of the first local day of each period and of the one after its last, ascending, none before the data.
    dormant_days, gone_days
        Whole days without a visit after which a user is dormant, and gone.

    Returns
    -------
    ibis.Table
        One row per user: user_key and for period k ``state_<k>`` (place in ``STATES``; null: not known by then). Users are
        known from their first visit on, which counts as one; if it was before the data, as on the day before them: what
        was between is not known.
    """
    # in 16 bits, as days are: what is kept of ten million users while they are grouped would else not fit the memory
    gap = ibis.least(seen.next_day.cast("int32") - seen.day.cast("int32"), _LONGEST_GAP).cast("int16")
    seen = seen.mutate(gap=gap)
    sums: dict[str, ir.Value] = {"own_first": seen.day.min()}
    for number, (start, end) in enumerate(periods):
        came = (seen.next_day >= start) & (seen.next_day < end)
        sums[f"last_{number}"] = seen.day.max(where=seen.day < end)
        sums[f"gap_{number}"] = seen.gap.max(where=came)
    by_user = seen.group_by("user_key").aggregate(**sums)
    if users is None:
        found = by_user.mutate(told_first=ibis.null("int32"))
    else:
        known = users.select(told_key=users.user_key, told_first=users.first_seen_day.cast("int32"))
        found = by_user.outer_join(known, by_user.user_key == known.told_key)
        found = found.mutate(user_key=ibis.coalesce(found.user_key, found.told_key)).drop("told_key")
    found = found.mutate(**{name: found[name].cast("int32") for name in sums})
    is_told = (found.own_first.isnull() | (found.told_first < found.own_first)).fill_null(False)
    told = ibis.cases((is_told, found.told_first))
    there = ibis.cases((is_told, ibis.greatest(found.told_first, first_day - 1)))
    found = found.mutate(first_known=ibis.coalesce(told, found.own_first), there=there, waited=found.own_first - there)
    lives: dict[str, ir.Value] = {}
    for number, (start, end) in enumerate(periods):
        before = ibis.cases((found.there < end, found.there))
        last = ibis.coalesce(found[f"last_{number}"], before)
        came_first = ((found.own_first >= start) & (found.own_first < end)).fill_null(False)
        gap = found[f"gap_{number}"].fill_null(0)
        gap = ibis.greatest(gap, ibis.cases((came_first, found.waited.fill_null(0)), else_=0)) - 1
        silent = end - 1 - last
        lives[f"state_{number}"] = ibis.cases(
            (last.isnull(), ibis.null("int8")),
            (found.first_known >= start, STATES.index("new")),
            ((last >= start) & (gap >= dormant_days), STATES.index("back")),
            (last >= start, STATES.index("active")),
            (silent < dormant_days, STATES.index("quiet")),
            (silent < gone_days, STATES.index("dormant")),
            else_=STATES.index("gone"),
        ).cast("int8")
    return found.select("user_key", **lives)


def state_counts(lives: ir.Table, bought: ir.Table, periods: Sequence[tuple[int, int]]) -> ir.Table:
    """How many users are what at the end of each period, what were they a period before, and what did they pay in it?

    Parameters
    ----------
    lives
        From ``user_lives``.
    bought
        From ``purchases``.
    periods
        Those of ``user_lives``.

    Returns
    -------
    ibis.Table
        One row per ``period_index``, ``from_state`` (place in ``STATES``; -1: not known, or the first period) and
        ``to_state``: user_count, order_count, paid_amount.
    """
    money: dict[str, ir.Value] = {}
    for number, (start, end) in enumerate(periods):
        inside = (bought.day >= start) & (bought.day < end)
        money[f"orders_{number}"] = bought.order_count.sum(where=inside).cast("int64")
        money[f"paid_{number}"] = bought.paid_amount.sum(where=inside)
    paid = bought.group_by("user_key").aggregate(**money).rename(buyer_key="user_key")
    lived = lives.left_join(paid, lives.user_key == paid.buyer_key)
    parts = []
    for first in range(0, len(periods), _AT_ONCE):
        # one pass over the users for several periods: first who was the same in all of them
        numbers = range(first, min(first + _AT_ONCE, len(periods)))
        by = [f"state_{number}" for number in range(max(first - 1, 0), numbers[-1] + 1)]
        sums = {f"{name}_{number}": _[f"{name}_{number}"].sum() for name in ("orders", "paid") for number in numbers}
        cells = lived.group_by(by).aggregate(users=_.count(), **sums)
        for number in numbers:
            known = cells.filter(cells[f"state_{number}"].notnull())
            before = known[f"state_{number - 1}"].fill_null(-1) if number else ibis.literal(-1, type="int64")
            told = known.select(
                from_state=before.cast("int64"),
                to_state=known[f"state_{number}"].cast("int64"),
                users=known.users,
                orders=known[f"orders_{number}"].fill_null(0),
                paid=known[f"paid_{number}"].fill_null(0.0),
            )
            counted = told.group_by(["from_state", "to_state"]).aggregate(
                user_count=told.users.sum(), order_count=told.orders.sum(), paid_amount=told.paid.sum()
            )
            parts.append(counted.mutate(period_index=ibis.literal(number, type="int64")))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def purchases(paid: ir.Table, period: Period) -> ir.Table:
    """On which local days did each user buy, which purchase was it, and when was the next?

    Parameters
    ----------
    paid
        Paid orders with ``user_key``.
    period
        Gives the time zone of local days.

    Returns
    -------
    ibis.Table
        One row per user_key and local ``day`` with a paid order: user_bucket, origin_ms (the first of that day),
        order_count, paid_amount (null: none has an amount), ``purchase_number`` from 1, next_ms (the first on a later
        local day; null: none).
    """
    bought = paid.filter(paid.user_id.notnull())
    dated = bought.select("user_key", "user_bucket", "paid_ms", "paid_amount", day=local_day(bought.paid_ms, period))
    by_day = dated.group_by(["user_key", "user_bucket", "day"]).aggregate(
        origin_ms=dated.paid_ms.min(), order_count=dated.count(), paid_amount=dated.paid_amount.sum().cast("float64")
    )
    number = ibis.row_number().over(group_by="user_key", order_by="day").cast("int64") + 1
    following = by_day.origin_ms.nullif(-1).lead().over(group_by="user_key", order_by="day")
    return by_day.mutate(purchase_number=number, next_ms=following)


def purchase_gaps(bought: ir.Table, period: Period, windows: Sequence[int]) -> ir.Table:
    """When do users pay again on a later local day, after their first, second, ... purchase?

    Parameters
    ----------
    bought
        From ``purchases``.
    period
        Purchases are followed to the end of its data.
    windows
        Days within which another purchase counts.

    Returns
    -------
    ibis.Table
        One row per ``bucket`` (64), ``purchase_number`` (up to ``MOST_PURCHASES``, which stands for all from it on),
        ``exit_day`` (day of 24 hours each, from 0, of the next purchase, or the first not wholly watched) and
        ``is_repurchase``: origin_count, and for each W ``eligible_<W>``, ``repurchased_<W>``.
    """
    watched = ibis.greatest(((period.data_end_ms - bought.origin_ms) // DAY_MS).cast("int64"), 0)
    followed = ibis.least(watched, LONGEST_DAYS)
    again = ((bought.next_ms - bought.origin_ms) // DAY_MS).cast("int64")
    is_repurchase = (again < followed).fill_null(False)
    told = bought.select(
        "origin_ms",
        "next_ms",
        bucket=bought.user_bucket // 4,
        purchase_number=_group(bought.purchase_number),
        is_repurchase=is_repurchase,
        exit_day=ibis.cases((is_repurchase, again), else_=followed).cast("int64"),
    )
    return repurchase_counts(told, period, windows, ["bucket", "purchase_number", "exit_day", "is_repurchase"])


def buyer_sums(bought: ir.Table, end_ms: int) -> ir.Table:
    """How many users had bought once, twice, more often before an instant, and for how much?

    Returns
    -------
    ibis.Table
        One row per user_bucket and ``purchase_number`` (of days with a purchase, up to ``MOST_PURCHASES``): user_count,
        order_count, paid_amount, paid_squares (sum over users of their squared amount).
    """
    before = bought.filter(bought.origin_ms < end_ms)
    by_user = before.group_by(["user_key", "user_bucket"]).aggregate(
        number=before.purchase_number.max(),
        orders=before.order_count.sum(),
        paid=before.paid_amount.sum().fill_null(0.0),
    )
    return by_user.group_by(["user_bucket", _group(by_user.number).name("purchase_number")]).aggregate(
        user_count=_.count(),
        order_count=_.orders.sum(),
        paid_amount=_.paid.sum(),
        paid_squares=(_.paid * _.paid).sum(),
    )


def days_since_purchase(bought: ir.Table, period: Period, members: ir.Table | None = None) -> ir.Table:
    """How long ago was each user's last purchase, at the end of the period (of the data, if that is earlier)?

    Parameters
    ----------
    bought
        From ``purchases``.
    period
        Gives the end.
    members
        Users to tell apart by ``quadrant``, with ``user_key``; None: all together.

    Returns
    -------
    ibis.Table
        One row per ``purchase_number`` (so far, up to ``MOST_PURCHASES``), ``elapsed_days`` (whole days of 24 hours, up to
        ``LONGEST_DAYS``) and, with ``members``, quadrant (null: not among them): user_count.
    """
    end_ms = min(period.end_ms, period.data_end_ms)
    last = bought.filter(bought.origin_ms < end_ms, bought.next_ms.isnull() | (bought.next_ms >= end_ms))
    elapsed = ibis.least(((end_ms - last.origin_ms) // DAY_MS).cast("int64"), LONGEST_DAYS)
    told = last.mutate(group_number=_group(last.purchase_number), elapsed_days=elapsed)
    by = ["group_number", "elapsed_days"]
    if members is not None:
        of = members.select("user_key", quadrant=members.quadrant.cast("string").nullif(""))
        told = told.left_join(of, "user_key")
        by.append("quadrant")
    counted = told.group_by(by).aggregate(user_count=_.count())
    return counted.rename(purchase_number="group_number")


def _group(number: ir.IntegerValue) -> ir.IntegerValue:
    return ibis.least(number, MOST_PURCHASES).cast("int64")
