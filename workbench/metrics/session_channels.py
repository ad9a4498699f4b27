"""Which channels users come through, and how an order's credit is shared among them: the attribution of slots."""

from collections.abc import Mapping, Sequence
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import UNKNOWN
from workbench.metrics.credit import rule_credit
from workbench.metrics.journeys import JourneyRules, Sales, conversions, pairs, touches
from workbench.metrics.local_days import local_day
from workbench.metrics.orders import first_payments
from workbench.metrics.population import Population
from workbench.period import DAY_MS, Period

CreditBasis = Literal["session", "first", "last", "linear"]
_TOUCH = "session"


def sessions(events: ir.Table, period: Period, *, has_sessions: bool) -> ir.Table:
    """Visits and the channel that brought them; one row per session.

    Parameters
    ----------
    events
        All events.
    period
        Gives the time zone of local days.
    has_sessions
        Whether events name their session; if not, or where one is null, a user's local day is one session.

    Returns
    -------
    ibis.Table
        user_id, user_bucket, start_ms, channel (of the session's first event that names one; null if none does) and
        channel_count (how many different ones it names).
    """
    day = local_day(events.event_ms, period).cast("string")
    session = events.session_id.cast("string").fill_null(day) if has_sessions else day
    rows = events.filter(events.user_id.notnull()).select(
        "user_id", "user_bucket", "event_ms", "channel", "seq", session=session
    )
    named = rows.filter(rows.channel.notnull())
    # Of several channels named first at one instant the smallest seq decides, then the name.
    place = ibis.row_number().over(group_by=["user_id", "session"], order_by=[named.event_ms, named.seq, named.channel])
    first = named.mutate(place=place)
    counted = named.group_by(["user_id", "session"]).aggregate(channel_count=named.channel.nunique())
    first = first.filter(first.place == 0).select("user_id", "session", "channel")
    starts = rows.group_by(["user_id", "session"]).aggregate(
        user_bucket=rows.user_bucket.max(), start_ms=rows.event_ms.min()
    )
    keys = ["user_id", "session"]
    joined = starts.left_join(first, keys).drop("user_id_right", "session_right")
    joined = joined.left_join(counted, keys).drop("user_id_right", "session_right")
    return joined.select(
        "user_id", "user_bucket", "start_ms", "channel", channel_count=joined.channel_count.fill_null(0)
    )


def order_credit(
    visits: ir.Table, orders: ir.Table, period: Period, basis: CreditBasis, *, lookback_days: int, has_channel: bool
) -> ir.Table:
    """How much of each payment of a user does each channel get?

    Parameters
    ----------
    visits
        From ``sessions``.
    orders
        All orders.
    period
        Payments from its start to the end of the data are credited.
    basis
        ``session``: all to the channel of the order's own session: that of ``orders.channel``, or, where the source has
        none, of the last session that began at or before the payment. ``first``, ``last``, ``linear``: shared among the
        sessions with a known channel, as slots share credit: no further back than ``lookback_days``, nor than the order
        before.
    lookback_days
        Days before the payment in which a session counts.
    has_channel
        Whether orders name their channel.

    Returns
    -------
    ibis.Table
        One row per user_id, paid_ms and channel: weight, 0-1; the weights of a payment sum to 1. What no session serves
        goes to ``(unknown)``.
    """
    credited = Period(
        **{**period.__dict__, "end_ms": max(period.end_ms, period.data_end_ms)}  # conversions may follow the period
    )
    payments = orders.filter(orders.paid_ms.notnull(), orders.user_id.notnull())
    payments = payments.filter(payments.paid_ms >= credited.start_ms, payments.paid_ms < credited.end_ms)
    if basis == "session" and has_channel:
        named = payments.select("user_id", "paid_ms", channel=payments.channel.cast("string").fill_null(UNKNOWN))
        counted = named.group_by(["user_id", "paid_ms", "channel"]).aggregate(orders=named.count())
        total = counted.orders.sum().over(group_by=["user_id", "paid_ms"])
        return counted.select(
            "user_id", "paid_ms", "channel", weight=counted.orders.cast("float64") / total.cast("float64")
        )
    known = visits.mutate(channel=visits.channel.fill_null(UNKNOWN)) if basis == "session" else visits
    known = known.filter(known.channel.notnull())
    shown = known.select(
        "user_id",
        "user_bucket",
        event=ibis.literal(_TOUCH),
        event_ms=known.start_ms,
        seq=ibis.literal(0, type="int64"),
        slot_id=known.channel,
    )
    rules = JourneyRules(touch=_TOUCH, lookback_hours=24 * lookback_days)
    sales = Sales(events=shown, orders=orders)
    served = pairs(
        touches(sales, rules, credited), conversions(sales, rules, "purchase", credited), rules, by_nearest=True
    )
    model = "last" if basis == "session" else basis
    shared = rule_credit(
        served,
        rules,
        models=[model],
        half_life_hours=24,
        position_weights=(0.4, 0.2, 0.4),
        by=["credited_id", "user_id", "conversion_ms"],
    )
    found = shared.select(
        "user_id", paid_ms=shared.conversion_ms, channel=shared.credited_id, weight=shared[f"{model}_conversions"]
    )
    found = found.filter(found.weight > 0)
    instants = payments.select("user_id", "paid_ms").distinct()
    rest = instants.anti_join(found, ["user_id", "paid_ms"])
    rest = rest.select("user_id", "paid_ms", channel=ibis.literal(UNKNOWN), weight=ibis.literal(1.0))
    return ibis.union(found.cast({"weight": "float64"}), rest)


def credited_sums(
    members: ir.Table,
    visits: ir.Table,
    paid: ir.Table,
    weights: ir.Table,
    population: Population,
    period: Period,
    conversion_days: int,
    by: Sequence[str] = (),
) -> ir.Table:
    """Everything that adds up, by the channels through which users come instead of the one that acquired them.

    Parameters
    ----------
    members
        From ``population_users``.
    visits, weights
        From ``sessions`` and ``order_credit``.
    paid, population, period, conversion_days
        As in ``channel_sums``.
    by
        Columns of ``members`` to sum by beside the channel.

    Returns
    -------
    ibis.Table
        The columns of ``channel_sums`` but early_profit_amount. A user counts under every channel through which the user came in the period or
        that has credit of the user's orders, so users of channels do not add up; orders and amounts are credit and do.
        ``converted_count`` is the credit of the user's first payment that counts as conversion.
    """
    window = conversion_days * DAY_MS
    inside = visits.filter(visits.start_ms >= period.start_ms, visits.start_ms < period.end_ms)
    came = inside.select("user_id", channel=inside.channel.fill_null(UNKNOWN)).distinct()
    known = members.drop("channel")
    amounts = paid.select("user_id", "paid_ms", "gross_amount", "paid_amount", "refund_amount").inner_join(
        weights, ["user_id", "paid_ms"]
    )
    amounts = amounts.inner_join(
        known.select("user_id", "first_seen_ms").left_join(first_payments(paid), "user_id").drop("user_id_right"),
        "user_id",
    )
    is_inside = (amounts.paid_ms >= period.start_ms) & (amounts.paid_ms < period.end_ms)
    since = amounts.paid_ms - amounts.first_seen_ms
    is_early = (since >= 0) & (since < window)
    if population == "new":
        converts = is_early & (amounts.paid_ms == amounts.first_paid_ms)
    else:
        first_inside = ibis.cases((is_inside, amounts.paid_ms)).min().over(group_by="user_id")
        converts = is_inside & (amounts.paid_ms == first_inside)
    told = amounts.mutate(is_inside=is_inside, converts=converts)
    # orders paid at the same instant are one conversion
    together = told.group_by(["user_id", "channel", "paid_ms"]).aggregate(
        converted=ibis.cases((told.converts, told.weight), else_=0.0).max(),
        orders=ibis.cases((told.is_inside, told.weight), else_=0.0).sum(),
        touched=told.is_inside.cast("int64").sum(),
        gross=ibis.cases((told.is_inside, told.weight * told.gross_amount)).sum(),
        paid=ibis.cases((told.is_inside, told.weight * told.paid_amount)).sum(),
        refunds=ibis.cases((told.is_inside, told.weight * told.refund_amount)).sum(),
        amounts=ibis.cases((told.is_inside & told.gross_amount.notnull(), told.weight), else_=0.0).sum(),
    )
    names = ("converted", "orders", "touched", "gross", "paid", "refunds", "amounts")
    credit = together.group_by(["user_id", "channel"]).aggregate(**{name: together[name].sum() for name in names})
    shown = ibis.union(came, credit.filter(credit.touched > 0).select("user_id", "channel"))
    shown = ibis.union(shown, credit.filter(credit.converted > 0).select("user_id", "channel")).distinct()
    users = shown.inner_join(known, "user_id")
    users = users.left_join(credit, ["user_id", "channel"]).drop("user_id_right", "channel_right")
    has_elapsed = users.first_seen_ms + window <= period.data_end_ms
    eligible = has_elapsed if population == "new" else ibis.literal(True)
    marked = users.mutate(is_eligible=eligible)
    return marked.group_by(["channel", *by, "user_bucket"]).aggregate(
        user_count=_.count(),
        buyer_count=(_.touched.fill_null(0) > 0).cast("int64").sum(),
        repeat_buyer_count=(_.touched.fill_null(0) > 1).cast("int64").sum(),
        order_count=_.orders.sum().fill_null(0.0),
        gross_amount=_.gross.sum(),
        paid_amount=_.paid.sum(),
        refund_amount=_.refunds.sum(),
        amount_count=_.amounts.sum().fill_null(0.0),
        paid_squares=(_.paid * _.paid).sum(),
        eligible_count=_.is_eligible.cast("int64").sum(),
        converted_count=ibis.cases((_.is_eligible, _.converted)).sum().fill_null(0.0),
    )


def visitors(tables: Mapping[str, ir.Table], period: Period) -> ir.Table:
    """Users who came through each channel in the period: channel of their events, visitor_count; null is left out."""
    events = tables["events"]
    inside = events.filter(events.event_ms >= period.start_ms, events.event_ms < period.end_ms)
    named = inside.filter(inside.channel.notnull(), inside.user_id.notnull())
    return named.group_by("channel").aggregate(visitor_count=named.user_id.nunique())
