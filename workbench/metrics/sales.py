"""Sales by user, day, channel, region, product and floor: every sum of the sales picture, one grouped query each."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, UNKNOWN
from workbench.metrics.local_days import local_day
from workbench.period import Period

Tables = Mapping[str, ir.Table]
Reach = tuple[int, int]
"""First instant of a span of days and the first one after it, UTC milliseconds."""
AMOUNTS = ("gross_amount", "coupon_discount_amount", "other_discount_amount", "refund_amount", "net_amount")
COSTS = ("platform_discount_amount", "cost_amount", "shipping_cost_amount", "platform_fee_amount")
_EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Number of a calendar day as ``local_day`` counts them (1970-01-01 is 0)."""
    return (day - _EPOCH).days


def counted_orders(orders: ir.Table, *, has_money: bool) -> ir.Table:
    """Orders that the sales picture counts: paid, and with an amount where the shop has amounts; one row per order."""
    paid = orders.filter(orders.paid_ms.notnull())
    if has_money:
        paid = paid.filter(paid.gross_amount.notnull())
    amounts = {name: paid[name].cast("float64") for name in (*AMOUNTS, *COSTS)}
    return paid.select("order_id", "user_id", "user_bucket", "paid_ms", "region", **amounts)


def left_out_orders(orders: ir.Table, reach: Reach) -> ir.Table:
    """One row: ``row_count``, orders paid in the span that have no amount."""
    inside = (orders.paid_ms >= reach[0]) & (orders.paid_ms < reach[1])
    return orders.filter(inside, orders.gross_amount.isnull()).aggregate(row_count=_.count())


def visitor_sums(
    tables: Tables, orders: ir.Table, reach: Reach, segment_by: str, apart: Sequence[str] = ()
) -> ir.Table:
    """Visitors, buyers, orders and money of a span, each user once.

    Parameters
    ----------
    tables
        ``users`` gives the segment, ``events`` the visitors; without events the buyers are all that is seen.
    orders
        From ``counted_orders``.
    reach
        The span.
    segment_by
        Column of users; null and users missing in ``users`` are ``(unknown)``.
    apart
        Further columns of users whose values are kept apart; null for users missing in ``users``.

    Returns
    -------
    ibis.Table
        One row per segment, value of ``apart`` and user_bucket: visitor_count, buyer_count, order_count, the sums of ``AMOUNTS``,
        gross_squares and gross_largest (squared sums of single users, and the largest of them).
    """
    inside = orders.filter(orders.paid_ms >= reach[0], orders.paid_ms < reach[1])
    rows = [inside.select("user_id", "user_bucket", order_count=ibis.literal(1, "int64"), **_sums())]
    if "events" in tables:
        events = tables["events"]
        seen = events.filter(events.event_ms >= reach[0], events.event_ms < reach[1], events.user_id.notnull())
        seen = seen.select("user_id", "user_bucket").distinct()
        rows.append(seen.mutate(order_count=ibis.literal(0, "int64"), **_zeros()).select(*rows[0].columns))
    by_user = (
        _together(rows).group_by(["user_id", "user_bucket"]).aggregate(order_count=_.order_count.sum(), **_added())
    )
    return (
        with_segment(by_user, tables, segment_by, apart)
        .group_by(["segment", *apart, "user_bucket"])
        .aggregate(
            visitor_count=_.count(),
            buyer_count=(_.order_count > 0).cast("int64").sum(),
            order_count=_.order_count.sum(),
            gross_squares=(_.gross_amount * _.gross_amount).sum(),
            gross_largest=_.gross_amount.max(),
            **_added(),
        )
    )


def block_sums(
    tables: Tables,
    orders: ir.Table,
    period: Period,
    segment_by: str,
    *,
    first: date,
    end: date,
    days: int,
    apart: Sequence[str] = (),
) -> ir.Table:
    """Visitors, buyers, orders and money of each day or week, each user once in each.

    Parameters
    ----------
    tables, orders, segment_by, apart
        As in ``visitor_sums``.
    period
        Gives the time zone.
    first, end
        First day of block 0, and the day after the last block.
    days
        Days of a block: 1 or 7.

    Returns
    -------
    ibis.Table
        One row per block, segment and value of ``apart``: visitor_count, buyer_count, order_count and, for days, the sums of ``AMOUNTS``;
        those of weeks are the sums of their days.
    """
    start, stop = day_number(first), day_number(end)

    def numbered(table: ir.Table, instant: ir.IntegerValue) -> ir.Table:
        day = local_day(instant, period)
        marked = table.mutate(day=day).filter(_.day >= start, _.day < stop)
        return marked.mutate(block=((marked.day - start) // days).cast("int64"))

    amounts = AMOUNTS if days == 1 else ()
    bought = numbered(orders, orders.paid_ms).mutate(is_order=ibis.literal(1, "int64"))
    rows = [bought.select("block", "user_id", "is_order", *amounts)]
    if "events" in tables:
        events = tables["events"]
        seen = numbered(events.filter(events.user_id.notnull()), events.event_ms).select("block", "user_id").distinct()
        seen = seen.mutate(is_order=ibis.literal(0, "int64"), **{name: ibis.literal(0.0) for name in amounts})
        rows.append(seen.select(*rows[0].columns))
    if not amounts:
        by_user = _together(rows).group_by(["block", "user_id"]).aggregate(order_count=_.is_order.sum())
        return (
            with_segment(by_user, tables, segment_by, apart)
            .group_by(["block", "segment", *apart])
            .aggregate(
                visitor_count=_.count(),
                buyer_count=(_.order_count > 0).cast("int64").sum(),
                order_count=_.order_count.sum(),
            )
        )
    # Most users of a day have one row: counting them apart is cheaper than summing their amounts first.
    is_buyer = _.is_order == 1 if len(rows) > 1 else None
    sums = {name: _[name].sum().fill_null(0.0) for name in amounts}
    return (
        with_segment(_together(rows), tables, segment_by, apart)
        .group_by(["block", "segment", *apart])
        .aggregate(
            visitor_count=_.user_id.nunique(),
            buyer_count=_.user_id.nunique(where=is_buyer),
            order_count=_.is_order.sum(),
            **sums,
        )
    )


def with_segment(rows: ir.Table, tables: Tables, segment_by: str, apart: Sequence[str] = ()) -> ir.Table:
    """Rows of users with ``segment``, the user's value of a column of ``users``; ``(unknown)`` where there is none.

    ``apart`` are further columns of ``users``; null where there is none.
    """
    if "users" not in tables:
        return rows.mutate(segment=ibis.literal(UNKNOWN))
    users = tables["users"]
    known = users.select("user_id", *apart, own_segment=users[segment_by].cast("string"))
    joined = rows.left_join(known, "user_id").drop("user_id_right")
    return joined.mutate(segment=joined.own_segment.fill_null(UNKNOWN)).drop("own_segment")


def order_groups(tables: Tables, orders: ir.Table, spans: Sequence[Reach]) -> ir.Table:
    """Money of orders by span, the buyer's channel of acquisition, and region.

    The region is where the order goes; where the order does not say, the buyer's.

    Returns
    -------
    ibis.Table
        One row per span (0, 1, ...), channel and region: order_count, costless_count (orders without a cost), the sums
        of ``AMOUNTS`` and ``COSTS``.
    """
    inside = _in_spans(orders, spans)
    if "users" in tables:
        users = tables["users"]
        known = users.select("user_id", channel=users.channel.cast("string"), home=users.region.cast("string"))
        joined = inside.left_join(known, "user_id").drop("user_id_right")
    else:
        joined = inside.mutate(channel=ibis.null("string"), home=ibis.null("string"))
    marked = joined.mutate(
        channel=joined.channel.fill_null(UNKNOWN),
        region=joined.region.cast("string").fill_null(joined.home).fill_null(UNKNOWN),
    )
    return marked.group_by(["span", "channel", "region"]).aggregate(
        order_count=_.count(), costless_count=_.cost_amount.isnull().cast("int64").sum(), **_added(*COSTS)
    )


def product_sums(tables: Tables, orders: ir.Table, spans: Sequence[Reach]) -> ir.Table:
    """Money of order lines by span and product; discounts, refunds and costs spread over lines in proportion to amount.

    Returns
    -------
    ibis.Table
        One row per span, product_id and category: line_count, quantity, costless_count, the sums of ``AMOUNTS`` and
        ``COSTS``. Lines without an amount, and lines of orders of amount 0, carry no money.
    """
    lines = tables["order_lines"]
    inside = _in_spans(orders, spans).drop("region")
    joined = lines.select("order_id", "product_id", "category", "quantity", "amount").inner_join(inside, "order_id")
    part = (joined.amount.cast("float64") / joined.gross_amount.nullif(0.0)).fill_null(0.0)
    shares = {name: (joined[name] * part) for name in (*AMOUNTS, *COSTS)}
    spread = joined.select(
        "span",
        product_id=joined.product_id.cast("string"),
        category=joined.category.cast("string"),
        quantity=joined.quantity,
        is_costless=joined.cost_amount.isnull().cast("int64"),
        **shares,
    )
    summed = spread.group_by(["span", "product_id", "category"]).aggregate(
        line_count=_.count(), quantity=_.quantity.sum(), costless_count=_.is_costless.sum(), **_added(*COSTS)
    )
    if "products" not in tables:
        return summed.mutate(category=summed.category.fill_null(UNKNOWN))
    products = tables["products"]
    own = products.select(product_key=products.product_id.cast("string"), own_category=products.category.cast("string"))
    joined = summed.left_join(own, summed.product_id == own.product_key)
    category = ibis.coalesce(joined.category, joined.own_category).fill_null(UNKNOWN)
    return joined.mutate(category=category).drop("product_key", "own_category")


def floor_sums(tables: Tables, orders: ir.Table, spans: Sequence[Reach], period: Period) -> ir.Table:
    """Net sales by the page and floor of the buyer's last click on a slot before payment, on the same local day.

    Returns
    -------
    ibis.Table
        One row per span, page and floor: order_count, gross_amount, net_amount. Orders without such a click have no row.
    """
    inside = _in_spans(orders, spans).select("span", "order_id", "user_id", "paid_ms", "gross_amount", "net_amount")
    inside = inside.mutate(day=local_day(inside.paid_ms, period))
    events, slots = tables["events"], tables["slots"]
    reached = ibis.or_(*[(events.event_ms >= start) & (events.event_ms < end) for start, end in spans])
    clicks = events.filter(reached, events.event == CLICK, events.slot_id.notnull())
    clicks = clicks.select("user_id", "slot_id", "event_ms", "seq", click_day=local_day(clicks.event_ms, period))
    met = inside.inner_join(clicks, [inside.user_id == clicks.user_id, inside.day == clicks.click_day])
    met = met.filter(met.event_ms <= met.paid_ms)
    last = ibis.row_number().over(
        group_by=met.order_id, order_by=[met.event_ms.desc(), met.seq.desc(), met.slot_id.cast("string")]
    )
    chosen = met.mutate(place=last).filter(_.place == 0)
    named = slots.select("slot_id", page=slots.page.cast("string"), floor=slots.floor.cast("string"))
    joined = chosen.inner_join(named.filter(named.page.notnull()), "slot_id")
    return joined.group_by(["span", "page", "floor"]).aggregate(
        order_count=_.count(), gross_amount=_.gross_amount.sum(), net_amount=_.net_amount.sum()
    )


def last_stock_day(stock: ir.Table, end: date) -> ir.Table:
    """One row: ``stock_date``, the last day before ``end`` for which stock was recorded."""
    return stock.filter(stock.date < ibis.literal(end)).aggregate(stock_date=_.date.max())


def stock_levels(stock: ir.Table, first: date, last: date) -> ir.Table:
    """What lies in stock on a day, and on how many of the days up to it there was any.

    Returns
    -------
    ibis.Table
        One row per product_id and region that the day ``last`` lists: on_hand_quantity, recorded_count (days from
        ``first`` with a row) and stocked_count (of them with pieces on hand).
    """
    inside = stock.filter(stock.date >= ibis.literal(first), stock.date <= ibis.literal(last))
    is_last = inside.date == ibis.literal(last)
    grouped = inside.group_by(
        product_id=inside.product_id.cast("string"), region=inside.region.cast("string")
    ).aggregate(
        listed=is_last.cast("int64").sum(),
        on_hand_quantity=is_last.ifelse(inside.on_hand_quantity, 0).sum(),
        recorded_count=inside.count(),
        stocked_count=(inside.on_hand_quantity > 0).cast("int64").sum(),
    )
    return grouped.filter(grouped.listed > 0).drop("listed")


def sold_pieces(tables: Tables, orders: ir.Table, end: date, days: int, period: Period) -> ir.Table:
    """Pieces and amount sold by product and region on the last days before ``end``; only products with stock rows."""
    lines, stock = tables["order_lines"], tables["stock"]
    day = local_day(orders.paid_ms, period)
    inside = orders.mutate(day=day).filter(_.day >= day_number(end - timedelta(days=days)), _.day < day_number(end))
    if "users" in tables:
        homes = tables["users"].select("user_id", home=tables["users"].region.cast("string"))
        inside = inside.left_join(homes, "user_id").drop("user_id_right")
        inside = inside.mutate(region=inside.region.cast("string").fill_null(inside.home))
    inside = inside.select("order_id", region=inside.region.cast("string").fill_null(UNKNOWN))
    kept = lines.semi_join(stock.select("product_id").distinct(), "product_id")
    joined = kept.select("order_id", "product_id", "quantity", "amount").inner_join(inside, "order_id")
    return joined.group_by([joined.product_id.cast("string").name("product_id"), "region"]).aggregate(
        sold_quantity=_.quantity.sum(), sold_amount=_.amount.cast("float64").sum()
    )


def basket_orders(orders: ir.Table, reach: Reach) -> ir.Table:
    """One row per user_bucket: order_count of the span."""
    inside = orders.filter(orders.paid_ms >= reach[0], orders.paid_ms < reach[1])
    return inside.group_by("user_bucket").aggregate(order_count=_.count())


def basket_lines(tables: Tables, orders: ir.Table, reach: Reach, products: Sequence[str]) -> ir.Table:
    """These products in the orders of the span, each once per order: order_id, product_id, user_bucket."""
    lines = tables["order_lines"]
    inside = orders.filter(orders.paid_ms >= reach[0], orders.paid_ms < reach[1]).select("order_id", "user_bucket")
    named = lines.select("order_id", product_id=lines.product_id.cast("string"))
    chosen = named.filter(named.product_id.isin(list(products))).distinct()
    return chosen.inner_join(inside, "order_id").select("order_id", "product_id", "user_bucket")


def basket_items(baskets: ir.Table) -> ir.Table:
    """Orders with each product of ``basket_lines``; one row per user_bucket and product_id: order_count."""
    return baskets.group_by(["user_bucket", "product_id"]).aggregate(order_count=_.count())


def basket_pairs(baskets: ir.Table) -> ir.Table:
    """Orders with two products of ``basket_lines``; one row per user_bucket, product_id and other_id: order_count.

    ``other_id`` is the later one in the order of texts.
    """
    other = baskets.view().select("order_id", other_id="product_id")
    both = baskets.inner_join(other, "order_id")
    both = both.filter(both.product_id < both.other_id)
    return both.group_by(["user_bucket", "product_id", "other_id"]).aggregate(order_count=_.count())


def daily_spend(spend: ir.Table, first: date, end: date) -> ir.Table:
    """Ad spend of each day and channel, ``first <= date < end``; one row per date and channel."""
    inside = spend.filter(spend.date >= ibis.literal(first), spend.date < ibis.literal(end))
    return inside.group_by(["date", "channel"]).aggregate(spend_amount=_.spend_amount.cast("float64").sum())


def _in_spans(orders: ir.Table, spans: Sequence[Reach]) -> ir.Table:
    """Orders of the spans, with ``span``, the number of theirs; spans do not overlap."""
    inside = [(orders.paid_ms >= start) & (orders.paid_ms < end) for start, end in spans]
    return orders.filter(ibis.or_(*inside)).mutate(
        span=ibis.cases(*[(one, number) for number, one in enumerate(inside)], else_=len(spans)).cast("int64")
    )


def _together(rows: Sequence[ir.Table]) -> ir.Table:
    return ibis.union(*rows) if len(rows) > 1 else rows[0]


def _sums() -> dict[str, ibis.Deferred]:
    return {name: _[name].fill_null(0.0) for name in AMOUNTS}


def _zeros() -> dict[str, ir.FloatingValue]:
    return {name: ibis.literal(0.0) for name in AMOUNTS}


def _added(*more: str) -> dict[str, ibis.Deferred]:
    return {name: _[name].sum().fill_null(0.0) for name in (*AMOUNTS, *more)}
