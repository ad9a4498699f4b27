"""Grants, redemptions and orders of coupons."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import UNKNOWN
from workbench.metrics.local_days import local_day
from workbench.metrics.orders import borne_share, paid_in_period
from workbench.period import DAY_MS, Period

ALL_COUPONS = "(all)"
LEVELS = ("coupon", "kind", "all")
DEPTH_EDGES = (0.0, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 1.0)
"""Bands of depth: from each edge up to the next, the next not included; the last band includes 100 %."""
NO_MINIMUM = -1
"""Band of coupons that ask for no minimum spend, so that face value ÷ minimum says nothing."""
_ORDER = ("user_id", "paid_ms", "gross_amount", "paid_amount", "refund_amount", "profit_amount")
_FOLLOWED = (*_ORDER, "user_bucket", "next_ms", "is_first")
_GROUP = ("level", "group_id")


def described_coupons(coupons: ir.Table) -> ir.Table:
    """Coupons with their kind and how deep they cut.

    Returns
    -------
    ibis.Table
        One row per coupon_id (as text): coupon_kind, and ``face_band``, the place in ``DEPTH_EDGES`` of face value ÷
        minimum spend, ``NO_MINIMUM`` where no minimum is asked for, null where the face value is not known. The face
        value of a percentage is the share taken off where it is up to 1, and is then the depth; above 1 it is the most
        that the coupon takes off.
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


def grant_counts(grants: ir.Table, used: ir.Table, period: Period, apart: Sequence[str] = ()) -> ir.Table:
    """Grants given in the period and what became of them up to the end of the data.

    Parameters
    ----------
    grants
        With coupon_id as text.
    used
        Paid orders with a coupon, from ``coupon_orders``.
    apart
        Further columns of ``grants`` whose values are kept apart.

    Returns
    -------
    ibis.Table
        One row per coupon_id, value of ``apart`` and user_bucket: granted_count; redeemed_count (used on a paid order); collected_count and
        collected_redeemed_count (of the collected); ended_count (validity over) and expired_count (of these, never used
        on a paid order).
    """
    given = _with_use(grants, used, period)
    is_ended = (given.expires_ms <= period.data_end_ms).fill_null(False)
    return given.group_by(["coupon_id", *apart, "user_bucket"]).aggregate(
        granted_count=_.count(),
        redeemed_count=_.is_redeemed.cast("int64").sum(),
        collected_count=_.collected_ms.count(),
        collected_redeemed_count=(_.is_redeemed & _.collected_ms.notnull()).cast("int64").sum(),
        ended_count=is_ended.cast("int64").sum(),
        expired_count=(is_ended & ~given.is_redeemed).cast("int64").sum(),
    )


def holder_squares(grants: ir.Table, period: Period) -> ir.Table:
    """On how few users do the grants of the period rest? Sum over users of their squared number of grants.

    Returns
    -------
    ibis.Table
        One row per coupon_id: grant_squares.
    """
    given = _given(grants, period)
    by_user = given.group_by(["coupon_id", "user_id"]).aggregate(granted=_.count())
    return by_user.group_by("coupon_id").aggregate(grant_squares=(_.granted * _.granted).sum())


def _given(grants: ir.Table, period: Period) -> ir.Table:
    return grants.filter(grants.granted_ms >= period.start_ms, grants.granted_ms < period.end_ms)


def _with_use(grants: ir.Table, used: ir.Table, period: Period) -> ir.Table:
    """Grants given in the period, whether a paid order redeemed them, and when that was paid."""
    given = _given(grants, period)
    known = used.select(paid_coupon_id=used.coupon_id, paid_order_id=used.order_id, used_paid_ms=used.paid_ms)
    joined = given.left_join(known, [given.order_id == known.paid_order_id, given.coupon_id == known.paid_coupon_id])
    return joined.mutate(is_redeemed=joined.paid_order_id.notnull())


def time_to_use(grants: ir.Table, used: ir.Table, coupons: ir.Table | None, period: Period) -> ir.Table:
    """How long do users wait before they use a coupon? The exact median, the same on every engine.

    Returns
    -------
    ibis.Table
        One row per level and group_id: ``median_hours_to_use``, from collecting where that time is known, else from
        granting, to redeeming or else to payment; over grants of the period that a paid order redeemed.
    """
    return median_waits(waits(grants, used, coupons, period), coupons)


def waits(
    grants: ir.Table, used: ir.Table, coupons: ir.Table | None, period: Period, apart: Sequence[str] = ()
) -> ir.Table:
    """One row per grant of the period that a paid order redeemed: coupon_id, coupon_kind, ``apart`` and waited_ms."""
    given = _with_use(grants, used, period)
    waited = ibis.coalesce(given.redeemed_ms, given.used_paid_ms) - ibis.coalesce(given.collected_ms, given.granted_ms)
    redeemed = given.filter(given.is_redeemed).select("coupon_id", *apart, waited_ms=waited)
    return _with_coupons(redeemed, coupons).select("coupon_id", "coupon_kind", *apart, "waited_ms")


def median_waits(redeemed: ir.Table, coupons: ir.Table | None) -> ir.Table:
    """The median of ``waits`` of each level and group_id; see ``time_to_use``."""
    levels = []
    for level, group in _levels(redeemed, coupons):
        grouped = redeemed.group_by(level=ibis.literal(level), group_id=group)
        levels.append(grouped.aggregate(median_hours_to_use=_.waited_ms.median() / 3_600_000))
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
        coupon_id, coupon_kind, face_band, order_id, the order's user, time and amounts, ``discount``: the grant's
        own amount, or the order's coupon discount where the grant does not say, and ``borne_discount``, the part of it
        that the shop bears.
    """
    used = grants.filter(grants.order_id.notnull())
    by_order = used.group_by(["coupon_id", "order_id"]).aggregate(granted_discount=_.discount_amount.sum())
    joined = by_order.inner_join(paid, "order_id")
    discount = ibis.coalesce(joined.granted_discount, joined.coupon_discount_amount)
    found = joined.select(
        "coupon_id",
        "order_id",
        *_ORDER,
        discount=discount,
        borne_discount=discount * borne_share(joined),
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


def followed_orders(used: ir.Table, paid: ir.Table, period: Period) -> ir.Table:
    """What did the user of each of these orders pay before and after?

    Parameters
    ----------
    used
        From ``coupon_orders``.
    paid
        All paid orders.

    Returns
    -------
    ibis.Table
        The rows and columns of ``used`` with ``next_ms``, when its user first paid on a later local day (null: never),
        and ``is_first`` (the user paid for nothing before; false where the user is not known).

    Notes
    -----
    Payments are looked up once for each user and local day with a coupon. Of several orders the earliest has the
    earliest next payment, so the next payment after a user's first use of any group of coupons is the least of the
    group.
    """
    used = used.mutate(use_day=local_day(used.paid_ms, period))
    days = used.filter(used.user_id.notnull()).select(day_user_id=used.user_id, day=used.use_day).distinct()
    payments = paid.select("user_id", "paid_ms", paid_day=local_day(paid.paid_ms, period))
    met = payments.inner_join(days, payments.user_id == days.day_user_id)
    found = met.group_by("day_user_id", "day").aggregate(
        next_ms=met.paid_ms.min(where=met.paid_day > met.day), first_paid_ms=met.paid_ms.min()
    )
    joined = used.left_join(found, [used.user_id == found.day_user_id, used.use_day == found.day])
    return joined.select(
        *[name for name in used.columns if name != "use_day"],
        next_ms=joined.next_ms,
        is_first=(joined.paid_ms == joined.first_paid_ms).fill_null(False),
    )


def orders_by_level(used: ir.Table, coupons: ir.Table | None, *, is_stacked: bool = True) -> ir.Table:
    """The orders of each coupon, each kind and all together, an order once in each.

    Parameters
    ----------
    used
        From ``followed_orders``, with the ``user_bucket``.
    coupons
        From ``described_coupons``; None where the source has no coupons.
    is_stacked
        Whether there may be several coupons on one order; False spares the engine to look for them.

    Returns
    -------
    ibis.Table
        One row per level, group_id and order: the order's columns and ``discount``, what the group's coupons took off.
    """
    levels = _levels(used, coupons)
    return ibis.union(*(_once(used, level, group, is_stacked=is_stacked) for level, group in levels))


def orders_by_depth(used: ir.Table, coupons: ir.Table | None, *, is_stacked: bool = True) -> ir.Table:
    """The orders with a coupon in bands of depth, in the shape of ``orders_by_level``.

    Levels are ``discount_to_gross`` (all coupons' discount ÷ gross amount of the order) and, where coupons are
    described, ``face_to_minimum``; ``group_id`` is the band's place in ``DEPTH_EDGES`` as text. Orders without a gross
    amount, and coupons without a face value, have no depth and are left out.
    """
    once = _once(used, "discount_to_gross", ibis.literal(ALL_COUPONS), is_stacked=is_stacked)
    depth = _band(once.discount / once.gross_amount.nullif(0))
    by_discount = once.mutate(group_id=depth.cast("string")).filter(_.group_id.notnull())
    if coupons is None:
        return by_discount
    known = used.filter(used.face_band.notnull())
    by_face = _once(known, "face_to_minimum", known.face_band.cast("string"), is_stacked=is_stacked)
    return ibis.union(by_discount, by_face)


def _once(used: ir.Table, level: str, group: ir.StringValue, *, is_stacked: bool) -> ir.Table:
    columns = ("group_id", "order_id", *_FOLLOWED, "discount", "level")
    if level == "coupon" or not is_stacked:  # already one row per group and order
        return used.mutate(group_id=group, level=ibis.literal(level)).select(*columns)
    grouped = used.mutate(group_id=group).group_by(["group_id", "order_id"])
    once = grouped.aggregate(**{name: used[name].max() for name in _FOLLOWED}, discount=_.discount.sum())
    return once.mutate(level=ibis.literal(level)).select(*columns)


def order_sums(orders: ir.Table, period: Period, apart: Sequence[str] = ()) -> ir.Table:
    """What the orders of each group, paid in the period, add up to, by bucket of users.

    Parameters
    ----------
    orders
        From ``orders_by_level`` or ``orders_by_depth``.
    apart
        Further columns of ``orders`` whose values are kept apart.

    Returns
    -------
    ibis.Table
        One row per level, group_id, value of ``apart`` and user_bucket: order_count, amount_count (orders with an amount), gross_amount,
        coupon_discount_amount, paid_amount, refund_amount, profit_amount.
    """
    return (
        paid_in_period(orders, period)
        .group_by([*_GROUP, *apart, "user_bucket"])
        .aggregate(
            order_count=_.count(),
            amount_count=_.gross_amount.count(),
            gross_amount=_.gross_amount.sum(),
            coupon_discount_amount=_.discount.sum(),
            paid_amount=_.paid_amount.sum(),
            refund_amount=_.refund_amount.sum(),
            profit_amount=_.profit_amount.sum(),
        )
    )


def first_uses(orders: ir.Table, period: Period, apart: Sequence[str] = ()) -> ir.Table:
    """A user's first paid order in each group, where it lies in the period: level, group_id, user_id, origin_ms.

    And ``apart``, columns of ``orders`` that are the user's.
    """
    known = orders.filter(orders.user_id.notnull())
    origins = known.group_by([*_GROUP, *apart, "user_id"]).aggregate(origin_ms=_.paid_ms.min())
    return origins.filter(origins.origin_ms >= period.start_ms, origins.origin_ms < period.end_ms)


def buyer_exits(orders: ir.Table, period: Period, days: Sequence[int], apart: Sequence[str] = ()) -> ir.Table:
    """Who buys in each group, and when do buyers pay again on a later local day? Counts by day since the first use.

    Day d reaches from d to d + 1 times 24 hours after the first use; a buyer is followed on it if all of it lies before
    the end of the data.

    Parameters
    ----------
    orders
        From ``orders_by_level`` or ``orders_by_depth``.
    days
        Windows W of the rates.
    apart
        Further columns of ``orders``, those of the user, whose values are kept apart.

    Returns
    -------
    ibis.Table
        One row per level, group_id, value of ``apart``, ``exit_day`` (of the next payment, or the first day not followed, whichever is
        earlier) and ``is_repurchase``. Of buyers whose first use lies in the period: origin_count, and for each W
        ``eligible_<W>`` (W days have elapsed) and ``repurchased_<W>`` (of these, paid again before origin + W days);
        ``exit_day`` is null and all these are 0 for the others. Of buyers with an order paid in the period: buyer_count,
        new_buyer_count (users whose first paid order is among these), buyer_amount and buyer_squares (sums over users
        of their gross amount and of its square).
    """
    known = orders.filter(orders.user_id.notnull())
    inside = (known.paid_ms >= period.start_ms) & (known.paid_ms < period.end_ms)
    by_user = known.group_by([*_GROUP, *apart, "user_id"]).aggregate(
        origin_ms=known.paid_ms.min(),
        next_ms=known.next_ms.min(),
        orders=inside.cast("int64").sum(),
        gross=known.gross_amount.sum(where=inside),
        is_new=(known.is_first & inside).cast("int64").max(),
    )
    is_origin = (by_user.origin_ms >= period.start_ms) & (by_user.origin_ms < period.end_ms)
    followed = ((period.data_end_ms - by_user.origin_ms) // DAY_MS).cast("int64")
    again = ((by_user.next_ms - by_user.origin_ms) // DAY_MS).cast("int64")
    is_repurchase = is_origin & (again < followed).fill_null(False)
    timed = by_user.filter(is_origin | (by_user.orders > 0)).select(
        *_GROUP,
        *apart,
        is_origin=is_origin,
        followed=followed,
        again=again,
        is_repurchase=is_repurchase,
        exit_day=ibis.cases((is_repurchase, again), (is_origin, followed)),
        is_buyer=(by_user.orders > 0).cast("int64"),
        is_new=by_user.is_new,
        gross=by_user.gross.cast("float64").fill_null(0.0),
    )
    counts = {}
    for window in days:
        elapsed = timed.is_origin & (timed.followed >= window)
        counts[f"eligible_{window}"] = elapsed.cast("int64").sum()
        counts[f"repurchased_{window}"] = (elapsed & (timed.again < window)).fill_null(False).cast("int64").sum()
    return timed.group_by([*_GROUP, *apart, "exit_day", "is_repurchase"]).aggregate(
        origin_count=timed.is_origin.cast("int64").sum(),
        **counts,
        buyer_count=timed.is_buyer.sum(),
        new_buyer_count=timed.is_new.sum(),
        buyer_amount=timed.gross.sum(),
        buyer_squares=(timed.gross * timed.gross).sum(),
    )


def active_days(orders: ir.Table, events: ir.Table, period: Period, window: int, apart: Sequence[str] = ()) -> ir.Table:
    """On how many later local days do users act after their first use of a coupon?

    Returns
    -------
    ibis.Table
        One row per level, group_id and value of ``apart`` (columns of ``orders``, those of the user): active_user_count (users whose ``window`` days have elapsed) and active_day_count,
        their local days after that of the first use with an event before origin + window days.
    """
    origins = first_uses(orders, period, apart)
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
    by_user = joined.group_by([*_GROUP, *apart, "user_id"]).aggregate(days=_.seen_day.count())
    return by_user.group_by([*_GROUP, *apart]).aggregate(active_user_count=_.count(), active_day_count=_.days.sum())


def categorised_lines(lines: ir.Table, products: ir.Table | None) -> ir.Table:
    """Order lines with a category each: their own, else their product's, else ``(unknown)``; order_id, category, amount."""
    named = lines.select("order_id", "product_id", "category", "amount")
    if products is not None:
        known = products.select("product_id", own_category=products.category)
        joined = named.left_join(known, "product_id")
        named = joined.select("order_id", "amount", category=ibis.coalesce(joined.category, joined.own_category))
    return named.select("order_id", "amount", category=named.category.fill_null(UNKNOWN))


def category_amounts(orders: ir.Table, lines: ir.Table, period: Period, apart: Sequence[str] = ()) -> ir.Table:
    """Across which categories is each group used? Amounts before discounts of orders paid in the period.

    Parameters
    ----------
    orders
        From ``orders_by_level``.
    lines
        From ``categorised_lines``.
    apart
        Further columns of ``orders`` whose values are kept apart.

    Returns
    -------
    ibis.Table
        One row per level, group_id, category and value of ``apart`` with a positive amount: amount.
    """
    chosen = paid_in_period(orders, period).select("order_id", *_GROUP, *apart)
    joined = lines.inner_join(chosen, "order_id")
    summed = joined.group_by([*_GROUP, *apart, "category"]).aggregate(amount=_.amount.sum())
    return summed.filter(summed.amount > 0)
