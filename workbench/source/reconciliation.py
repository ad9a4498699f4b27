"""Rules that compare tables with each other. Each gives the rows that break it, as a lazy table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from workbench.contract import CENT, CLICK, EXPOSURE
from workbench.source.faults import Level


@dataclass(frozen=True)
class Reconciliation:
    """A rule over several rows or tables.

    Attributes
    ----------
    rule, table, column, level, en, zh
        As in ``Fault``.
    broken
        Rows that break the rule, lazy.
    key
        Column of ``broken`` that names an offender.
    """

    rule: str
    table: str
    column: str
    level: Level
    broken: ir.Table
    key: str
    en: str
    zh: str


def reconciliations(
    tables: Mapping[str, ir.Table], row_hash: Callable[[Sequence[ir.Value]], ir.IntegerValue]
) -> Iterator[Reconciliation]:
    """Yield the rules whose tables are there; ``row_hash`` makes one number of several values, as ``Engine.row_hash``."""
    if {"orders", "users"} <= tables.keys():
        yield _missing_parent(
            tables,
            "orders",
            "users",
            "user_id",
            "order_id",
            "its user is not in users; it counts under (unknown) among active users and for no channel among new ones.",
            "用户不在 users 表中，活跃用户口径计入 (unknown)，新客口径不计入任何渠道。",
        )
    if {"events", "users"} <= tables.keys():
        users_of_events = tables["events"].filter(ibis._.user_id.notnull()).select("user_id").distinct()
        yield _missing_parent(
            {"events": users_of_events, "users": tables["users"]},
            "events",
            "users",
            "user_id",
            "user_id",
            "(users, not rows) act in events but are not in users.",
            "（用户数）出现在 events 中，但不在 users 表中。",
        )
    if {"events", "slots"} <= tables.keys():
        shown = tables["events"].filter(ibis._.slot_id.notnull()).select("slot_id").distinct()
        yield _missing_parent(
            {"events": shown, "slots": tables["slots"]},
            "events",
            "slots",
            "slot_id",
            "slot_id",
            "(slots, not rows) appear in events but are not in slots; their id stands for the name.",
            "（坑位数）出现在 events 中，但不在 slots 表中，以编号代替名称。",
        )
    if {"coupon_grants", "coupons"} <= tables.keys():
        yield _missing_parent(
            tables,
            "coupon_grants",
            "coupons",
            "coupon_id",
            "grant_id",
            "its coupon is not in coupons; its id stands for the name.",
            "优惠券不在 coupons 表中，以编号代替名称。",
        )
    if {"order_lines", "orders"} <= tables.keys():
        yield _missing_parent(
            tables,
            "order_lines",
            "orders",
            "order_id",
            "order_id",
            "its order is not in orders.",
            "订单不在 orders 表中。",
        )
        yield _lines_differ(tables["orders"], tables["order_lines"])
    yield from _spellings(tables)
    if "events" in tables:
        yield from _promotions(tables["events"], row_hash)
    if {"events", "orders"} <= tables.keys():
        yield from _purchases(tables["events"], tables["orders"])
    if "coupon_grants" in tables:
        yield from _stacked(tables["coupon_grants"])
    if {"coupon_grants", "orders"} <= tables.keys():
        yield from _redemptions(tables["coupon_grants"], tables["orders"])


_BLANKS = (" ", "\u3000", "\u00a0", "\t")


def _spellings(tables: Mapping[str, ir.Table]) -> Iterator[Reconciliation]:
    """Channels that are one but for capital letters or blanks: each table's own spellings meet no other's."""
    named = {
        name: tables[name].select("channel").distinct()
        for name in ("users", "events", "orders", "channel_spend")
        if name in tables and not tables[name].channel.type().is_null()
    }
    if not named:
        return
    spelt = ibis.union(*named.values(), distinct=True) if len(named) > 1 else next(iter(named.values()))
    plain = spelt.channel.lower()
    for blank in _BLANKS:
        plain = plain.replace(blank, "")
    met = spelt.filter(spelt.channel.notnull()).group_by(plain=plain)
    found = met.aggregate(spellings=ibis._.count(), first=ibis._.channel.min(), last=ibis._.channel.max())
    several = found.filter(found.spellings > 1)
    yield Reconciliation(
        "channel_spellings",
        next(iter(named)),
        "channel",
        "warned",
        several.select(spelling=several["first"] + " = " + several["last"]),
        "spelling",
        "(channels, not rows) are written in more than one way, here or in another table: they differ by capital letters "
        "or blanks alone. Each way counts as a channel of its own, and spend meets only the users written alike. "
        "Write each one way, or name it under values in the mapping.",
        "（渠道数）在本表或其他表中有多种写法，仅大小写或空格不同；每种写法会算作一个渠道，花费也只对上写法相同的用户。"
        "请统一写法，或在映射的 values 中写明。",
    )


def _missing_parent(
    tables: Mapping[str, ir.Table], child: str, parent: str, column: str, key: str, en: str, zh: str
) -> Reconciliation:
    rows = tables[child].select(*{key, column}).filter(ibis._[column].notnull())
    broken = rows.anti_join(tables[parent].select(column), column)
    return Reconciliation(f"unknown_{column}", child, column, "warned", broken, key, en, zh)


def _lines_differ(orders: ir.Table, lines: ir.Table) -> Reconciliation:
    totals = lines.group_by("order_id").aggregate(line_total=ibis._.amount.sum())
    joined = orders.select("order_id", "gross_amount").inner_join(totals, "order_id")
    broken = joined.filter((joined.line_total - joined.gross_amount).abs() > 2 * CENT)
    return Reconciliation(
        "lines_differ",
        "order_lines",
        "amount",
        "warned",
        broken,
        "order_id",
        "(orders) the lines do not sum to gross_amount; orders is taken as right.",
        "（订单数）明细之和与 gross_amount 不符，以 orders 为准。",
    )


def _promotions(
    events: ir.Table, row_hash: Callable[[Sequence[ir.Value]], ir.IntegerValue]
) -> Iterator[Reconciliation]:
    promotions = events.filter(events.event.isin([EXPOSURE, CLICK]), events.slot_id.notnull())
    exposed_ms = (promotions.event == EXPOSURE).ifelse(promotions.event_ms, ibis.null("int64"))
    first = promotions.mutate(exposed_ms=exposed_ms, is_click=(promotions.event == CLICK).cast("int64"))
    any_exposure = first.filter(first.event == EXPOSURE).limit(1).select(has_exposures=ibis.literal(1))
    by_user = first.group_by(pair=row_hash([first.user_id, first.slot_id])).aggregate(
        slot_id=ibis._.slot_id.arbitrary(),
        first_exposure_ms=ibis._.exposed_ms.min(),
        first_click_ms=ibis.cases((ibis._.is_click == 1, ibis._.event_ms)).min(),
    )
    bad = by_user.filter(
        by_user.first_click_ms.notnull()
        & (by_user.first_exposure_ms.isnull() | (by_user.first_exposure_ms > by_user.first_click_ms))
    ).cross_join(any_exposure)
    yield Reconciliation(
        "click_without_exposure",
        "events",
        "slot_id",
        "warned",
        bad,
        "slot_id",
        "(users and slots) clicked a slot before any exposure of it to that user; exposures may be sampled or lost.",
        "（用户×坑位）点击前没有曝光记录；曝光日志可能被抽样或丢失。",
    )
    by_slot = first.group_by("slot_id").aggregate(clicks=ibis._.is_click.sum(), rows=ibis._.count())
    more = by_slot.filter(by_slot.clicks > by_slot.rows - by_slot.clicks)
    yield Reconciliation(
        "more_clicks_than_exposures",
        "events",
        "slot_id",
        "warned",
        more.cross_join(any_exposure),
        "slot_id",
        "(slots) have more clicks than exposures; their click-through rate is null.",
        "（坑位数）点击多于曝光，其点击率置空。",
    )


def _purchases(events: ir.Table, orders: ir.Table) -> Iterator[Reconciliation]:
    purchases = events.filter(events.event == "purchase").select("order_id", "user_id").distinct()
    paid = orders.filter(orders.paid_ms.notnull()).select("order_id")
    known = purchases.filter(purchases.order_id.notnull())
    yield Reconciliation(
        "purchase_without_order",
        "events",
        "order_id",
        "warned",
        known.anti_join(paid, "order_id"),
        "order_id",
        "(purchase events) match no paid order; orders is taken as right.",
        "（purchase 事件）没有对应的已支付订单，以 orders 为准。",
    )
    some = known.limit(1).select(has_purchases=ibis.literal(1))
    missing = paid.anti_join(known.select("order_id").distinct(), "order_id").cross_join(some)
    yield Reconciliation(
        "order_without_purchase",
        "orders",
        "order_id",
        "warned",
        missing,
        "order_id",
        "paid, but no purchase event tells of it; orders is taken as right.",
        "已支付，但没有 purchase 事件，以 orders 为准。",
    )


def _stacked(grants: ir.Table) -> Iterator[Reconciliation]:
    used = grants.filter(grants.order_id.notnull()).group_by("order_id")
    stacked = used.aggregate(grants=ibis._.count(), without=ibis._.discount_amount.isnull().cast("int64").sum())
    broken = stacked.filter((stacked.grants > 1) & (stacked.without > 0))
    yield Reconciliation(
        "stacked_without_amount",
        "coupon_grants",
        "discount_amount",
        "refused",
        broken,
        "order_id",
        "(orders) carry several grants, not all with discount_amount; say what each took off.",
        "（订单数）使用了多张券，但并非每张都有 discount_amount，请分别写明。",
    )


def _redemptions(grants: ir.Table, orders: ir.Table) -> Iterator[Reconciliation]:
    used = grants.filter(grants.order_id.notnull())
    known = orders.select("order_id").distinct()
    yield Reconciliation(
        "unknown_order_id",
        "coupon_grants",
        "order_id",
        "warned",
        used.anti_join(known, "order_id").select("grant_id", "order_id"),
        "grant_id",
        "its order is not in orders; it does not count as redeemed.",
        "订单不在 orders 表中，不计为核销。",
    )
    totals = (
        used.filter(used.discount_amount.notnull()).group_by("order_id").aggregate(granted=ibis._.discount_amount.sum())
    )
    joined = orders.select("order_id", "coupon_discount_amount").inner_join(totals, "order_id")
    broken = joined.filter((joined.granted - joined.coupon_discount_amount).abs() > 2 * CENT)
    yield Reconciliation(
        "discount_differs",
        "coupon_grants",
        "discount_amount",
        "warned",
        broken,
        "order_id",
        "(orders) the grants' discounts do not sum to coupon_discount_amount; coupon tables go by the grants, all others by orders.",
        "（订单数）各券优惠之和与 coupon_discount_amount 不符：优惠券表以发放记录为准，其余以 orders 为准。",
    )
