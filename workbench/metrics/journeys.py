"""Which touches serve which conversions: the journeys over which credit is shared."""

from dataclasses import dataclass
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, EVENT_RANK, LAST_RANK, UNKNOWN
from workbench.metrics.funnel import event_rank, sortable_id
from workbench.metrics.local_days import local_day
from workbench.period import HOUR_MS, Period

Measure = Literal["conversions", "amount"]
CreditTo = Literal["slot_id", "content_id", "page", "floor"]
ORDER_TARGETS = ("purchase", "begin_checkout")
MANY_CONVERSIONS = 100
"""A user with more conversions than this may be a robot, whose touches should not meet them all one by one."""


@dataclass(frozen=True)
class JourneyRules:
    """Which touches are eligible and to what their credit goes.

    Attributes
    ----------
    touch
        Event name of a touch: a click or an exposure of a slot.
    credit_to
        What the credit goes to; ``page`` and ``floor`` are those of the touch's slot.
    lookback_hours
        A touch counts from this long before the conversion up to its instant, both included.
    key_event
        An event that must lie between the touch and the conversion in the total order; None: none.
    match_on
        ``product_id``: order lines (or events) are attributed, to touches of their own product or, with
        ``key_event``, to touches followed by a key event of that product.
    reset_after_order
        Whether a touch must also lie after the user's previous paid order.
    net_of_refunds
        Whether refunds are taken off the amount of a purchase.
    """

    touch: str = CLICK
    credit_to: CreditTo = "slot_id"
    lookback_hours: float = 168
    key_event: str | None = None
    match_on: Literal["product_id"] | None = None
    reset_after_order: bool = True
    net_of_refunds: bool = False

    @property
    def lookback_ms(self) -> int:
        """The lookback in whole milliseconds."""
        return round(self.lookback_hours * HOUR_MS)


@dataclass(frozen=True)
class Sales:
    """The tables that journeys are made of; lazy.

    Attributes
    ----------
    events
        All events of the shop.
    orders
        All orders; None where the source has none.
    lines
        Order lines, for ``match_on``; None where the source has none.
    slots
        Slots with page and floor, for ``credit_to`` page and floor; None where the source has none.
    """

    events: ir.Table
    orders: ir.Table | None = None
    lines: ir.Table | None = None
    slots: ir.Table | None = None


def touches(sales: Sales, rules: JourneyRules, period: Period) -> ir.Table:
    """Touches that may serve a conversion of the period; one row per touch.

    Returns
    -------
    ibis.Table
        user_id, user_bucket, touch_ms, seq, credited_id and the other ids that break ties; with ``key_event``
        also touch_place, the touch's place among all of the user's touches and key events.
    """
    events = sales.events
    if rules.key_event is None:
        chosen = events.filter(events.event == rules.touch)
    else:
        chosen = _placed(events.filter(events.event.isin([rules.touch, rules.key_event])))
        chosen = chosen.filter(chosen.event == rules.touch)
    chosen = chosen.filter(
        chosen.event_ms >= period.start_ms - rules.lookback_ms,
        chosen.event_ms < period.end_ms,
        chosen.user_id.notnull(),
        _has_place(chosen, rules.credit_to),
    )
    ties = [name if name != "credited_id" else rules.credit_to for name in tie_columns(rules)]
    columns = list(dict.fromkeys([*ties, *(["product_id"] if rules.match_on else [])]))
    place = {"touch_place": chosen.place} if rules.key_event else {}
    page = {"page": chosen.page} if rules.credit_to == "page" else {}
    kept = chosen.select("user_id", "user_bucket", "seq", *columns, touch_ms=chosen.event_ms, **page, **place)
    return _credited(kept, sales.slots, rules.credit_to)


def tie_columns(rules: JourneyRules) -> tuple[str, ...]:
    """Ids that decide between touches of one instant and seq.

    Touches that agree in these are credited alike, so that the rest of the contract's total order, content_id,
    product_id and order_id, cannot change any credit.
    """
    return {"slot_id": ("credited_id",), "content_id": ("slot_id", "content_id")}.get(
        rules.credit_to, ("slot_id", "content_id", "product_id", "order_id")
    )


def touch_order(table: ir.Table, rules: JourneyRules) -> list[ir.Value]:
    """Sort keys that put touches into the contract's total order."""
    ids = [table[name] if name == "credited_id" else sortable_id(table[name]) for name in tie_columns(rules)]
    return [table.touch_ms, table.seq, *ids]


def journey_columns(served: ir.Table, rules: JourneyRules) -> list[str]:
    """Columns that tell the journeys of ``pairs`` apart."""
    return ["journey"] if "journey" in served.columns else ["user_id", "conversion_ms", *journey_extras(rules)]


def _has_place(events: ir.Table, credit_to: CreditTo) -> ir.BooleanValue:
    """A touch is of some slot; where contents are credited, of some content at least."""
    named = events.slot_id.notnull()
    return named | events.content_id.notnull() if credit_to == "content_id" else named


def _credited(table: ir.Table, slots: ir.Table | None, credit_to: CreditTo) -> ir.Table:
    if credit_to == "slot_id":
        return table.rename(credited_id="slot_id")
    if credit_to == "content_id":
        return table.mutate(credited_id=table.content_id.cast("string").fill_null(UNKNOWN))
    if slots is None:
        found = table.mutate(credited_id=table.page if credit_to == "page" else ibis.null("string"))
    else:
        described = slots.select(described_id=slots.slot_id, described=slots[credit_to].cast("string"))
        joined = table.left_join(described, table.slot_id == described.described_id).drop("described_id")
        own = joined.described.fill_null(joined.page) if credit_to == "page" else joined.described
        found = joined.mutate(credited_id=own).drop("described")
    found = found.mutate(credited_id=found.credited_id.fill_null(UNKNOWN))
    return found.drop("page") if credit_to == "page" else found


def _placed(events: ir.Table) -> ir.Table:
    """Events with their place in their user's total order.

    Touches rank below key events, so after time, seq and rank no id can put one before the other.
    """
    order = [events.event_ms, events.seq, event_rank(events.event)]
    return events.mutate(place=ibis.row_number().over(group_by="user_id", order_by=order).cast("int64"))


def conversions(sales: Sales, rules: JourneyRules, target: str, period: Period) -> ir.Table:
    """What touches can serve; one row per journey: a set of conversions of the period that share their touches.

    ``purchase`` is an order by its payment with its paid amount, ``begin_checkout`` an order by its submission
    with its gross amount, any other target an event of that name, without amount. With ``match_on`` an order
    counts by its lines: each has the line's part of the order's amount, and the same part of one conversion.
    Of orders that a user pays at one instant only the first, by order_id, can have touches after the previous
    order: with ``reset_after_order`` the others are left out here, and ``totals`` has them.

    Returns
    -------
    ibis.Table
        user_id, user_bucket, conversion_ms, opens_ms (a touch must lie strictly after it and up to
        conversion_ms), matched_product_id with ``match_on``, key_place with ``key_event`` (place of the last key
        event before the conversion), conversion_count and amount (null for events), and journey_count: orders,
        lines or events that the row stands for (a float: engines count in whole numbers of different kinds, which
        ClickHouse does not unite).
    """
    if target in ORDER_TARGETS:
        table = _orders_as_conversions(sales, rules, target, period)
    else:
        table = _events_as_conversions(sales, rules, target, period)
    if rules.key_event is not None:
        table = _with_key_event(sales, rules, target, table)
    if rules.match_on is None and rules.key_event is None:
        return table
    keys = ["user_id", "user_bucket", "conversion_ms", "opens_ms", *journey_extras(rules)]
    return table.group_by(keys).aggregate(
        conversion_count=_.conversion_count.sum(), amount=_.amount.sum(), journey_count=_.journey_count.sum()
    )


def totals(sales: Sales, rules: JourneyRules, target: str, period: Period, measure: Measure) -> ir.Table:
    """All there is to credit, with or without touches, and how it lies on people.

    Parameters
    ----------
    measure
        ``amount`` or ``conversions``: what the squares and the largest are of.

    Returns
    -------
    ibis.Table
        One row per user_bucket (null: conversions without a user): conversions, amount; squares, the sum over users
        of their squared measure, and largest, that of the largest user; busy_users, those with more than
        ``MANY_CONVERSIONS``.
    """
    if target in ORDER_TARGETS:
        rows = _inside(_order_rows(sales, rules, target), period)
    else:
        chosen = sales.events.filter(sales.events.event == target)
        rows = _inside(
            chosen.select("user_id", "user_bucket", conversion_ms=chosen.event_ms, amount=ibis.null("float64")), period
        )
    by_user = rows.group_by("user_id").aggregate(
        user_bucket=_.user_bucket.max(), conversions=_.count(), amount=_.amount.sum()
    )
    value = ibis.cases((by_user.user_id.notnull(), by_user[measure].cast("float64")))
    busy = by_user.user_id.notnull() & (by_user.conversions > MANY_CONVERSIONS)
    return (
        by_user.mutate(value=value, busy=busy.cast("int64"))
        .group_by("user_bucket")
        .aggregate(
            conversions=_.conversions.sum().cast("float64"),
            amount=_.amount.sum(),
            squares=(_.value * _.value).sum(),
            largest=_.value.max(),
            busy_users=_.busy.sum(),
        )
    )


def journey_extras(rules: JourneyRules) -> list[str]:
    """Columns that tell journeys of one user and instant apart."""
    return [*(["matched_product_id"] if rules.match_on else []), *(["key_place"] if rules.key_event else [])]


def _order_rows(sales: Sales, rules: JourneyRules, target: str) -> ir.Table:
    """Paid or submitted orders: user_id, user_bucket, order_id, conversion_ms, amount."""
    orders = sales.orders
    assert orders is not None, "the caller leaves out targets of orders where there are none"
    instant, amount = orders.submitted_ms, orders.gross_amount
    if target == "purchase":
        instant, amount = orders.paid_ms, orders.net_amount if rules.net_of_refunds else orders.paid_amount
    found = orders.filter(instant.notnull())
    return found.select("user_id", "user_bucket", "order_id", conversion_ms=instant, amount=amount)


def _orders_as_conversions(sales: Sales, rules: JourneyRules, target: str, period: Period) -> ir.Table:
    rows = _order_rows(sales, rules, target)
    rows = rows.filter(rows.user_id.notnull())
    same_instant = rows.group_by(["user_id", "conversion_ms"])
    once = {"conversion_count": ibis.literal(1.0), "journey_count": ibis.literal(1.0)}
    bucket = {"user_bucket": _.user_bucket.max()}
    if target == "purchase" and rules.reset_after_order:
        first = {"order_id": _.order_id.min(), "amount": _.amount.argmin(_.order_id)}
        firsts = same_instant.aggregate(**first, **once, **bucket)
        before = firsts.conversion_ms.lag().over(group_by="user_id", order_by="conversion_ms")
        table = _inside(_opened(firsts.mutate(previous_ms=before), rules), period)
    elif rules.match_on:
        table = _inside(rows.mutate(**once), period)
        table = _opened(_after_payments(table, sales.orders, rules), rules)
    else:
        inside = _inside(rows, period).group_by(["user_id", "conversion_ms"])
        count = _.count().cast("float64")
        table = inside.aggregate(amount=_.amount.sum(), conversion_count=count, journey_count=count, **bucket)
        table = _opened(_after_payments(table, sales.orders, rules), rules)
    return _by_line(table, sales.lines) if rules.match_on else table


def _inside(table: ir.Table, period: Period) -> ir.Table:
    return table.filter(table.conversion_ms >= period.start_ms, table.conversion_ms < period.end_ms)


def _by_line(table: ir.Table, lines: ir.Table | None) -> ir.Table:
    """Spread orders over their lines in proportion to the lines' amounts; orders without lines stay whole."""
    assert lines is not None, "the caller refuses match_on without order lines"
    amount = lines.amount.fill_null(0.0)
    total = amount.sum().over(group_by="order_id")
    part = ibis.ifelse(total > 0, amount / total.nullif(0), 1.0 / lines.count().over(group_by="order_id"))
    parts = lines.select(line_order_id=lines.order_id, matched_product_id=lines.product_id, part=part)
    joined = table.left_join(parts, table.order_id == parts.line_order_id).drop("line_order_id")
    part = joined.part.fill_null(1.0)
    return joined.mutate(conversion_count=joined.conversion_count * part, amount=joined.amount * part).drop("part")


def _events_as_conversions(sales: Sales, rules: JourneyRules, target: str, period: Period) -> ir.Table:
    events = sales.events
    chosen = events.filter(events.event == target, events.user_id.notnull())
    columns = {"matched_product_id": chosen.product_id} if rules.match_on else {}
    columns |= {"seq": chosen.seq.cast("int64")} if rules.key_event else {}
    columns |= {f"order_{name}": sortable_id(chosen[name]) for name in _ids_that_order(rules, target)}
    rows = _inside(chosen.select("user_id", "user_bucket", conversion_ms=chosen.event_ms, **columns), period)
    table = rows.group_by(["user_id", "conversion_ms", *columns]).aggregate(
        user_bucket=_.user_bucket.max(),
        conversion_count=_.count().cast("float64"),
        amount=ibis.null("float64"),
        journey_count=_.count().cast("float64"),
    )
    return _opened(_after_payments(table, sales.orders, rules), rules)


def _after_payments(table: ir.Table, orders: ir.Table | None, rules: JourneyRules) -> ir.Table:
    """Add ``previous_ms``, the user's last payment strictly before each conversion."""
    if orders is None or not rules.reset_after_order:
        return table.mutate(previous_ms=ibis.null("int64"))
    paid = orders.filter(orders.paid_ms.notnull(), orders.user_id.notnull())
    blank = {
        name: ibis.null(type_) for name, type_ in table.schema().items() if name not in ("user_id", "conversion_ms")
    }
    payments = paid.select("user_id", conversion_ms=paid.paid_ms, **blank).select(*table.columns)
    union = ibis.union(table.mutate(payment_ms=ibis.null("int64")), payments.mutate(payment_ms=payments.conversion_ms))
    # At one instant conversions stand before payments: the payment of the same instant is not yet there.
    running = ibis.window(
        group_by="user_id",
        order_by=[union.conversion_ms, union.payment_ms.notnull()],
        preceding=None,
        following=0,
    )
    known = union.mutate(previous_ms=union.payment_ms.max().over(running))
    return known.filter(known.payment_ms.isnull()).drop("payment_ms")


def _opened(table: ir.Table, rules: JourneyRules) -> ir.Table:
    """Add ``opens_ms``, the later of the lookback's edge and the previous payment."""
    edge = table.conversion_ms - rules.lookback_ms - 1
    opens = ibis.greatest(edge, table.previous_ms.fill_null(edge))
    return table.mutate(opens_ms=opens.cast("int64")).drop("previous_ms")


def _with_key_event(sales: Sales, rules: JourneyRules, target: str, table: ir.Table) -> ir.Table:
    """Add ``key_place``, the place of the last key event before each conversion, of its product with ``match_on``.

    Orders come after every event of their instant. An event stands in the total order; it is no key event of its own.
    With ``match_on`` a key event without a product matches nothing.
    """
    events = sales.events
    placed = _placed(events.filter(events.event.isin([rules.touch, rules.key_event])))
    keys = placed.filter(placed.event == rules.key_event)
    keys = keys.filter(keys.product_id.notnull()) if rules.match_on else keys
    ids = {f"order_{name}": name for name in _ids_that_order(rules, target)}
    keys = keys.mutate(**{column: sortable_id(keys[name]) for column, name in ids.items()})
    keys = keys.rename(matched_product_id="product_id")
    by = ["user_id", *(["matched_product_id"] if rules.match_on else [])]
    # One sequence of key events and conversions; ``step`` and the ids order those of one instant and seq.
    key_rows = keys.select(
        *by,
        conversion_ms=keys.event_ms,
        order_seq=keys.seq.cast("int64"),
        step=ibis.literal(_rank(rules.key_event)),
        found=keys.place,
        **{name: keys[name] for name in ids},
    )
    is_order = target in ORDER_TARGETS
    numbered = table.mutate(
        order_seq=ibis.literal(2**62) if is_order else table.seq.cast("int64"),
        step=ibis.literal(_rank(target)),
        found=ibis.null("int64"),
    )
    blank = {name: ibis.null(type_) for name, type_ in numbered.schema().items() if name not in (*key_rows.columns,)}
    union = ibis.union(
        numbered.mutate(is_key=ibis.literal(False)),
        key_rows.mutate(**blank).select(*numbered.columns).mutate(is_key=ibis.literal(True)),
    )
    # Of equals the conversion stands first: neither it nor its repetition is a key event of its own.
    order = [union.conversion_ms, union.order_seq, union.step, *(union[name] for name in ids), union.is_key]
    running = ibis.window(group_by=by, order_by=order, preceding=None, following=0)
    known = union.mutate(key_place=union.found.max().over(running))
    return known.filter(~known.is_key).drop("is_key", "found", "step", "order_seq", *ids)


def _rank(event: str | None) -> int:
    return EVENT_RANK.get(str(event), LAST_RANK)


def _ids_that_order(rules: JourneyRules, target: str) -> tuple[str, ...]:
    """Ids that put an event before or after a key event of its instant and seq: needed where both rank alike."""
    if rules.key_event is None or target in ORDER_TARGETS or _rank(target) != _rank(rules.key_event):
        return ()
    return ("slot_id", "content_id", "product_id", "order_id")


def pairs(touched: ir.Table, converted: ir.Table, rules: JourneyRules, *, by_nearest: bool = False) -> ir.Table:
    """Each conversion with each touch that serves it; one row per journey and touch.

    Parameters
    ----------
    touched, converted
        From ``touches`` and ``conversions`` under the same rules.
    by_nearest
        For purchases with ``reset_after_order``, where a touch serves the user's next order alone: find that of
        users with very many orders by an ASOF join instead of trying all of them. The same rows.

    Notes
    -----
    Without ``by_nearest`` each user's touches meet each user's conversions, which is the cheapest way for people and
    explodes for robots; ``busy_users`` tells them.
    """
    touched = touched.drop("user_bucket")
    # One number partitions faster than the columns it stands for.
    number = ibis.row_number()
    if not by_nearest:
        return _served(_met(touched, converted.mutate(journey=number), rules), rules)
    busy = busy_users(converted)
    people = converted.anti_join(busy, "user_id").mutate(journey=number)
    robots = converted.semi_join(busy, "user_id").mutate(journey=-1 - number)
    served = _served(_met(touched, people, rules), rules)
    nearest = _served(_nearest(touched.semi_join(busy, "user_id"), robots, rules), rules)
    return ibis.union(served, nearest.select(served.columns))


def _met(touched: ir.Table, converted: ir.Table, rules: JourneyRules) -> ir.Table:
    """Touches tried against all conversions of their user."""
    right = converted.view()
    inside = [touched.touch_ms > right.opens_ms, touched.touch_ms <= right.conversion_ms]
    return touched.join(right, [touched.user_id == right.user_id, *inside, *_own_product(touched, right, rules)])


def _nearest(touched: ir.Table, converted: ir.Table, rules: JourneyRules) -> ir.Table:
    """Touches with the user's next order alone."""
    right = converted.view()
    if not rules.match_on:
        joined = touched.asof_join(right, on=touched.touch_ms <= right.conversion_ms, predicates="user_id")
        return joined.filter(joined.touch_ms > joined.opens_ms)
    # An order stands here once for each product of its lines: the order first, then its lines.
    orders = converted.select("user_id", "conversion_ms").distinct().view()
    nearest = touched.asof_join(orders, on=touched.touch_ms <= orders.conversion_ms, predicates="user_id")
    nearest = nearest.select(*touched.columns, next_ms=nearest.conversion_ms)
    same = [nearest.user_id == right.user_id, nearest.next_ms == right.conversion_ms]
    inside = nearest.touch_ms > right.opens_ms
    return nearest.join(right, [*same, inside, *_own_product(nearest, right, rules)]).drop("next_ms")


def _own_product(touched: ir.Table, converted: ir.Table, rules: JourneyRules) -> list[ir.BooleanValue]:
    if not rules.match_on or rules.key_event:
        return []
    return [touched.product_id == converted.matched_product_id]


def _served(joined: ir.Table, rules: JourneyRules) -> ir.Table:
    if rules.key_event:
        joined = joined.filter(joined.touch_place < joined.key_place)
    return joined.drop(*[name for name in joined.columns if name.endswith("_right")])


def busy_users(converted: ir.Table) -> ir.Table:
    """Users with so many conversions that their touches should not meet them all; one column, user_id."""
    counted = converted.group_by("user_id").aggregate(conversions=converted.count())
    return counted.filter(counted.conversions > MANY_CONVERSIONS).select("user_id")


def reach(touched: ir.Table, converted: ir.Table) -> ir.Table:
    """Users in whom touches meet very many conversions; one row: users, and touches times conversions over them."""
    counted = converted.group_by("user_id").aggregate(conversions=converted.count())
    busy = counted.filter(counted.conversions > MANY_CONVERSIONS)
    clicks = touched.semi_join(busy, "user_id").group_by("user_id").aggregate(touches=_.count())
    met = clicks.join(busy, "user_id")
    return met.aggregate(users=met.count(), pairs=(met.touches * met.conversions).sum().fill_null(0))


def with_touch(touched: ir.Table, converted: ir.Table, rules: JourneyRules) -> ir.Table:
    """Conversions that have an eligible touch: rows of ``conversions``, each once.

    The latest touch up to the conversion tells: if it does not lie after opens_ms, no other does.
    """
    person = ["user_id"]
    left = converted
    if rules.match_on and not rules.key_event:
        person.append("product_id")
        # An ASOF join of DuckDB takes one null for another.
        left = left.filter(left.matched_product_id.notnull()).rename(product_id="matched_product_id")
    if rules.key_event:
        # Touches before the last key event are those of a smaller place; their times ascend with it.
        known = left.filter(left.key_place.notnull())
        right = touched.select(*person, "touch_place", "touch_ms").view()
        found = known.asof_join(right, on=known.key_place >= right.touch_place, predicates=person)
    else:
        right = touched.select(*person, "touch_ms").distinct().view()
        found = left.asof_join(right, on=left.conversion_ms >= right.touch_ms, predicates=person)
    return found.filter(found.touch_ms > found.opens_ms)


def order_days(sales: Sales, period: Period) -> ir.Table:
    """Paid orders of the period with the number of their local ``day``; one row per order."""
    rows = _inside(_order_rows(sales, JourneyRules(), "purchase"), period)
    return rows.mutate(day=local_day(rows.conversion_ms, period))
