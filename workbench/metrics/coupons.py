"""Grants, redemptions and orders of coupons."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import UNKNOWN
from workbench.metrics.local_days import local_day
from workbench.metrics.orders import first_payments, paid_in_period
from workbench.period import DAY_MS, Period

ALL_COUPONS = "(all)"
LEVELS = ("coupon", "kind", "all")
DEPTH_EDGES = (0.0, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 1.0)
"""Bands of depth: from each edge up to the next, the next not included; the last band includes 100 %."""
NO_MINIMUM = -1
"""Band of coupons that ask for no minimum spend, so that face value ÷ minimum says nothing."""
_ORDER = ("user_id", "user_bucket", "paid_ms", "gross_amount", "paid_amount", "refund_amount", "profit_amount")
_GROUP = ("level", "group_id")


def described_coupons(coupons: ir.Table) -> ir.Table:
    """Coupons with their kind and how deep they cut.

    Returns
    -------
    ibis.Table
        One row per coupon_id (as text): coupon_kind, and ``face_band``, the place in ``DEPTH_EDGES`` of face value ÷
        minimum spend, ``NO_MINIMUM`` where no minimum is asked for, null where the face value is not known. The face
        value of a percentage is the most it takes off; one of up to 1 can only be the percentage, and is the depth.
    """
    rate = (coupons.kind == "percentage") & (coupons.face_value <= 1)
    depth = rate.fill_null(False).ifelse(coupons.face_value, coupons.face_value / coupons.min_spend.nullif(0))
    has_minimum = rate.fill_null(False) | (coupons.min_spend > 0).fill_null(False)
    return coupons.select(
        coupon_id=coupons.coupon_id.cast("string"),
        coupon_kind=coupons.kind.fill_null(UNKNOWN),
        face_band=ibis.cases(
            (coupons.face_value.isnull(), ibis.null("int64")), (~has_minimum, NO_MINIMUM), else_=_band(depth)
        ),
    )


def _band(depth: ir.FloatingValue) -> ir.IntegerValue:
    """Place of the band that holds a depth; what lies above 100 % is in the last."""
    whole = ibis.cases(*((depth < edge, place) for place, edge in enumerate(DEPTH_EDGES[1:-1])), else_=6)
    return depth.isnull().ifelse(ibis.null("int64"), whole.cast("int64"))


def grant_counts(grants: ir.Table, paid: ir.Table, period: Period) -> ir.Table:
    """Grants given in the period and what became of them up to the end of the data.

    Returns
    -------
    ibis.Table
        One row per coupon_id and user_bucket: granted_count; redeemed_count (used on a paid order); collected_count and
        collected_redeemed_count (of the collected); ended_count (validity over) and expired_count (of these, never used
        on a paid order); holder_count (users) and grant_squares (sum over users of their squared number of grants).
    """
    given = _with_use(grants, paid, period)
    is_ended = (given.expires_ms <= period.data_end_ms).fill_null(False)
    by_user = given.group_by(["coupon_id", "user_bucket", "user_id"]).aggregate(
        granted=_.count(),
        redeemed=_.is_redeemed.cast("int64").sum(),
        collected=_.collected_ms.count(),
        collected_redeemed=(_.is_redeemed & _.collected_ms.notnull()).cast("int64").sum(),
        ended=is_ended.cast("int64").sum(),
        expired=(is_ended & ~given.is_redeemed).cast("int64").sum(),
    )
    return by_user.group_by(["coupon_id", "user_bucket"]).aggregate(
        granted_count=_.granted.sum(),
        redeemed_count=_.redeemed.sum(),
        collected_count=_.collected.sum(),
        collected_redeemed_count=_.collected_redeemed.sum(),
        ended_count=_.ended.sum(),
        expired_count=_.expired.sum(),
        holder_count=_.count(),
        grant_squares=(_.granted * _.granted).sum(),
    )


def _with_use(grants: ir.Table, paid: ir.Table, period: Period) -> ir.Table:
    """Grants given in the period, whether a paid order redeemed them, and when that was paid."""
    given = grants.filter(grants.granted_ms >= period.start_ms, grants.granted_ms < period.end_ms)
    known = paid.select(paid_order_id=paid.order_id, used_paid_ms=paid.paid_ms)
    joined = given.left_join(known, given.order_id == known.paid_order_id)
    return joined.mutate(is_redeemed=joined.paid_order_id.notnull())


def time_to_use(grants: ir.Table, paid: ir.Table, coupons: ir.Table | None, period: Period) -> ir.Table:
    """How long do users wait before they use a coupon? The exact median, the same on every engine.

    Returns
    -------
    ibis.Table
        One row per level and group_id: ``median_hours_to_use``, from collecting where that time is known, else from
        granting, to redeeming or else to payment; over grants of the period that a paid order redeemed.
    """
    given = _with_use(grants, paid, period)
    waited = ibis.coalesce(given.redeemed_ms, given.used_paid_ms) - ibis.coalesce(given.collected_ms, given.granted_ms)
    used = given.filter(given.is_redeemed).select("coupon_id", waited_ms=waited)
    used = _with_coupons(used, coupons).select("coupon_id", "coupon_kind", "waited_ms")
    levels = []
    for level, group in _levels(used, coupons):
        ordered = used.select(
            "waited_ms",
            level=ibis.literal(level),
            group_id=group,
            place=ibis.row_number().over(group_by=group, order_by=used.waited_ms).cast("int64"),
            number=used.waited_ms.count().over(group_by=group).cast("int64"),
        )
        middle = ordered.filter(2 * ordered.place >= ordered.number - 2, 2 * ordered.place <= ordered.number)
        levels.append(middle.group_by(list(_GROUP)).aggregate(median_hours_to_use=_.waited_ms.mean() / 3_600_000))
    return ibis.union(*levels)


def coupon_orders(grants: ir.Table, paid: ir.Table, coupons: ir.Table | None) -> ir.Table:
    """Paid orders on which a coupon was used; one row per coupon and order.

    Parameters
    ----------
    grants
        With coupon_id as text.
    paid
        Paid orders.
    coupons
        From ``described_coupons``; None where the source has no coupons.

    Returns
    -------
    ibis.Table
        coupon_id, coupon_kind, face_band, order_id, the order's user, time and amounts, and ``discount``: the grant's
        own amount, or the order's coupon discount where the grant does not say.
    """
    used = grants.filter(grants.order_id.notnull())
    by_order = used.group_by(["coupon_id", "order_id"]).aggregate(granted_discount=_.discount_amount.sum())
    joined = by_order.inner_join(paid, "order_id")
    found = joined.select(
        "coupon_id",
        "order_id",
        *_ORDER,
        discount=ibis.coalesce(joined.granted_discount, joined.coupon_discount_amount),
    )
    return _with_coupons(found, coupons)


def _with_coupons(table: ir.Table, coupons: ir.Table | None) -> ir.Table:
    if coupons is None:
        return table.mutate(coupon_kind=ibis.literal(UNKNOWN), face_band=ibis.null("int64"))
    joined = table.left_join(coupons, "coupon_id")
    return joined.select(*table.columns, coupon_kind=joined.coupon_kind.fill_null(UNKNOWN), face_band=joined.face_band)


def _levels(table: ir.Table, coupons: ir.Table | None) -> list[tuple[str, ir.StringValue]]:
    kinds = [] if coupons is None else [("kind", table.coupon_kind)]
    return [("coupon", table.coupon_id), *kinds, ("all", ibis.literal(ALL_COUPONS))]


def orders_by_level(used: ir.Table, coupons: ir.Table | None) -> ir.Table:
    """The orders of each coupon, each kind and all together, an order once in each.

    Returns
    -------
    ibis.Table
        One row per level, group_id and order: the order's columns and ``discount``, what the group's coupons took off.
    """
    return ibis.union(*(_once(used, level, group) for level, group in _levels(used, coupons)))


def orders_by_depth(used: ir.Table, coupons: ir.Table | None) -> ir.Table:
    """The orders with a coupon in bands of depth, in the shape of ``orders_by_level``.

    Levels are ``discount_to_gross`` (all coupons' discount ÷ gross amount of the order) and, where coupons are
    described, ``face_to_minimum``; ``group_id`` is the band's place in ``DEPTH_EDGES`` as text. Orders without a gross
    amount, and coupons without a face value, have no depth and are left out.
    """
    once = _once(used, "discount_to_gross", ibis.literal(ALL_COUPONS))
    depth = _band(once.discount / once.gross_amount.nullif(0))
    by_discount = once.mutate(group_id=depth.cast("string")).filter(_.group_id.notnull())
    if coupons is None:
        return by_discount
    known = used.filter(used.face_band.notnull())
    by_face = _once(known, "face_to_minimum", known.face_band.cast("string"))
    return ibis.union(by_discount, by_face)


def _once(used: ir.Table, level: str, group: ir.StringValue) -> ir.Table:
    if level == "coupon":  # already one row per coupon and order
        return used.select("order_id", *_ORDER, "discount", group_id=group, level=ibis.literal(level)).select(
            "group_id", "order_id", *_ORDER, "discount", "level"
        )
    grouped = used.mutate(group_id=group).group_by(["group_id", "order_id"])
    once = grouped.aggregate(**{name: used[name].max() for name in _ORDER}, discount=_.discount.sum())
    return once.select("group_id", "order_id", *_ORDER, "discount", level=ibis.literal(level))


def order_sums(orders: ir.Table, paid: ir.Table | None, period: Period) -> ir.Table:
    """What the orders of each group, paid in the period, add up to, by bucket of users.

    Parameters
    ----------
    orders
        From ``orders_by_level`` or ``orders_by_depth``.
    paid
        All paid orders: a new buyer's order is the first of them; None leaves new buyers uncounted (null).

    Returns
    -------
    ibis.Table
        One row per level, group_id and user_bucket: order_count, amount_count (orders with an amount), gross_amount,
        coupon_discount_amount, paid_amount, refund_amount, profit_amount; buyer_count, new_buyer_count (users whose
        first paid order is among these); gross_squares and order_squares (sums over users of their squared gross
        amount and number of orders). Orders without a user are in the sums of orders only.
    """
    chosen = paid_in_period(orders, period)
    if paid is None:
        is_new = ibis.null("int64")
    else:
        chosen = chosen.left_join(first_payments(paid), "user_id")
        is_new = (chosen.paid_ms == chosen.first_paid_ms).fill_null(False).cast("int64")
    by_user = (
        chosen.mutate(is_new=is_new)
        .group_by([*_GROUP, "user_bucket", "user_id"])
        .aggregate(
            orders=_.count(),
            amounts=_.gross_amount.count(),
            gross=_.gross_amount.sum(),
            discount=_.discount.sum(),
            paid=_.paid_amount.sum(),
            refund=_.refund_amount.sum(),
            profit=_.profit_amount.sum(),
            is_new=_.is_new.max(),
        )
    )
    known = by_user.user_id.notnull()
    return by_user.group_by([*_GROUP, "user_bucket"]).aggregate(
        order_count=_.orders.sum(),
        amount_count=_.amounts.sum(),
        gross_amount=_.gross.sum(),
        coupon_discount_amount=_.discount.sum(),
        paid_amount=_.paid.sum(),
        refund_amount=_.refund.sum(),
        profit_amount=_.profit.sum(),
        buyer_count=known.cast("int64").sum(),
        new_buyer_count=_.is_new.sum(),
        gross_squares=ibis.cases((known, _.gross * _.gross)).sum(),
        order_squares=ibis.cases((known, (_.orders * _.orders).cast("float64"))).sum(),
    )


def first_uses(orders: ir.Table, period: Period) -> ir.Table:
    """A user's first paid order in each group, where it lies in the period: level, group_id, user_id, origin_ms."""
    known = orders.filter(orders.user_id.notnull())
    origins = known.group_by([*_GROUP, "user_id"]).aggregate(origin_ms=_.paid_ms.min())
    return origins.filter(origins.origin_ms >= period.start_ms, origins.origin_ms < period.end_ms)


def repurchase_exits(orders: ir.Table, paid: ir.Table, period: Period, days: Sequence[int]) -> ir.Table:
    """When do buyers of each group pay again on a later local day? Counts by day since the first use.

    Day d reaches from d to d + 1 times 24 hours after the first use; a buyer is followed on it if all of it lies before
    the end of the data.

    Parameters
    ----------
    orders
        From ``orders_by_level`` or ``orders_by_depth``.
    days
        Windows W of the rates.

    Returns
    -------
    ibis.Table
        One row per level, group_id, ``exit_day`` (of the next payment, or the first day not followed, whichever is
        earlier) and ``is_repurchase``: buyer_count, and for each W ``eligible_<W>`` (W days have elapsed) and
        ``repurchased_<W>`` (of these, paid again before origin + W days).

    Notes
    -----
    The next payment is looked up by the day of the first use, which is one join on equal keys where comparing every
    order with every later one multiplies rows.
    """
    later = _later_payments(paid, period)
    origins = first_uses(orders, period).mutate(local_day=local_day(_.origin_ms, period))
    joined = origins.left_join(later, ["user_id", "local_day"])
    followed = ((period.data_end_ms - joined.origin_ms) // DAY_MS).cast("int64")
    again = ((joined.next_ms - joined.origin_ms) // DAY_MS).cast("int64")
    is_repurchase = (again < followed).fill_null(False)
    timed = joined.select(
        *_GROUP,
        followed=followed,
        again=again,
        is_repurchase=is_repurchase,
        exit_day=is_repurchase.ifelse(again, followed),
    )
    counts = {}
    for window in days:
        elapsed = _.followed >= window
        counts[f"eligible_{window}"] = elapsed.cast("int64").sum()
        counts[f"repurchased_{window}"] = (elapsed & (_.again < window)).fill_null(False).cast("int64").sum()
    return timed.group_by([*_GROUP, "exit_day", "is_repurchase"]).aggregate(buyer_count=_.count(), **counts)


def _later_payments(paid: ir.Table, period: Period) -> ir.Table:
    """For each user and local day with a payment, the first payment on a later one (null: none)."""
    known = paid.filter(paid.user_id.notnull())
    daily = known.group_by(["user_id", local_day(known.paid_ms, period).name("local_day")]).aggregate(
        day_ms=_.paid_ms.min()
    )
    # nullif: ClickHouse says "none" only of what can be null
    return daily.select(
        "user_id",
        "local_day",
        next_ms=daily.day_ms.nullif(0).lead().over(group_by="user_id", order_by="local_day"),
    )


def active_days(orders: ir.Table, events: ir.Table, period: Period, window: int) -> ir.Table:
    """On how many later local days do users act after their first use of a coupon?

    Returns
    -------
    ibis.Table
        One row per level and group_id: active_user_count (users whose ``window`` days have elapsed) and active_day_count,
        their local days after that of the first use with an event before origin + window days.
    """
    origins = first_uses(orders, period)
    followed = origins.filter(origins.origin_ms + window * DAY_MS <= period.data_end_ms)
    followed = followed.mutate(origin_day=local_day(followed.origin_ms, period))
    seen = events.filter(events.user_id.notnull())
    seen = seen.group_by(seen_user_id=seen.user_id, seen_day=local_day(seen.event_ms, period)).aggregate(
        seen_ms=_.event_ms.min()
    )
    end = followed.origin_ms + window * DAY_MS
    joined = followed.left_join(
        seen,
        [followed.user_id == seen.seen_user_id, seen.seen_day > followed.origin_day, seen.seen_ms < end],
    )
    by_user = joined.group_by([*_GROUP, "user_id"]).aggregate(days=_.seen_day.count())
    return by_user.group_by(list(_GROUP)).aggregate(active_user_count=_.count(), active_day_count=_.days.sum())


def category_amounts(
    orders: ir.Table, paid: ir.Table, lines: ir.Table, products: ir.Table | None, period: Period
) -> ir.Table:
    """Across which categories is each group used? Amounts before discounts of orders paid in the period.

    Returns
    -------
    ibis.Table
        One row per level, group_id and category with a positive amount: amount. ``level`` ``shop`` holds all paid orders of the period. A line
        without a category has its product's, else ``(unknown)``.
    """
    named = lines.select("order_id", "product_id", "category", "amount")
    if products is not None:
        known = products.select("product_id", own_category=products.category)
        joined = named.left_join(known, "product_id")
        named = joined.select("order_id", "amount", category=ibis.coalesce(joined.category, joined.own_category))
    named = named.select("order_id", "amount", category=named.category.fill_null(UNKNOWN))
    every = paid_in_period(paid, period).select(
        "order_id", level=ibis.literal("shop"), group_id=ibis.literal(ALL_COUPONS)
    )
    chosen = ibis.union(every, paid_in_period(orders, period).select("order_id", *_GROUP))
    summed = named.inner_join(chosen, "order_id").group_by([*_GROUP, "category"]).aggregate(amount=_.amount.sum())
    return summed.filter(summed.amount > 0)
