"""Rules that single rows of a table can break."""

from collections.abc import Iterator
from dataclasses import dataclass

import ibis.expr.types as ir

from workbench.contract import CENT, Column, Table
from workbench.source.faults import Level
from workbench.source.standardise import OFFSET_PATTERN, RAW, ms_name, wanted_words

EARLIEST_MS, LATEST_MS = -2_208_988_800_000, 4_102_444_800_000  # 1900 and 2100


@dataclass(frozen=True)
class RowRule:
    """A rule that one row alone can break: ``broken`` is true for the rows that do."""

    rule: str
    column: str
    level: Level
    broken: ir.BooleanValue
    en: str
    zh: str


def _is_blank(value: ir.Value, raw: ir.Value | None) -> ir.BooleanValue:
    """Whether nothing stands there: a text that cannot be read is a fault of its own."""
    if raw is None or not raw.type().is_string():
        return value.isnull()
    return raw.strip().nullif("").isnull()


def _null_words(table: str, column: str) -> tuple[str, str]:
    if table == "events":
        return "is null; such events are left out.", "为空，这些事件不计入。"
    if (table, column) == ("orders", "user_id"):
        return "is null; the order counts in totals, and for no user.", "为空，该订单计入总数但不属于任何用户。"
    return "is null; a value is needed.", "为空，应有值。"


def _type_rule(column: Column, value: ir.Value, raw: ir.Value) -> RowRule:
    wanted = wanted_words(column.type)
    if not raw.type().is_string():  # an id written as a decimal number
        return RowRule("type", column.name, "refused", raw != raw.floor(), "is not a whole number.", "不是整数。")
    hint = (
        "" if column.type not in ("time", "date") else " Another form is read with its format in the mapping (formats)."
    )
    return RowRule(
        "type",
        column.name,
        "refused",
        raw.strip().nullif("").notnull() & value.isnull(),
        f"is not {wanted[0]}.{hint}",
        f"不是{wanted[1]}。{'其他写法请在映射的 formats 中给出格式。' if hint else ''}",
    )


def row_rules(contract: Table, table: ir.Table, zone_known: frozenset[str]) -> Iterator[RowRule]:
    """The rules of one table that look at single rows."""
    for column in contract.columns.values():
        value = table[column.name]
        raw = table[RAW + column.name] if RAW + column.name in table.columns else None
        if raw is not None:
            yield _type_rule(column, value, raw)
        if raw is not None and column.type == "time" and column.name not in zone_known:
            yield from _zone_rules(column.name, value, raw)
        if column.need == "required":
            level: Level = "refused" if column.name in contract.key else "warned"
            yield RowRule("null", column.name, level, _is_blank(value, raw), *_null_words(contract.name, column.name))
        if column.type == "time":
            calendar = (table[ms_name(column.name)] < EARLIEST_MS) | (table[ms_name(column.name)] > LATEST_MS)
            yield RowRule(
                "no_calendar_time",
                column.name,
                "refused",
                calendar,
                "lies before 1900 or after 2100; leave it empty if there is no such time.",
                "早于 1900 年或晚于 2100 年；若没有该时间请留空。",
            )
        if column.type in ("amount", "rate"):
            yield RowRule("not_finite", column.name, "refused", value.isinf(), "is infinite.", "为无穷大。")
        if column.type in ("amount", "rate") or column.name in ("quantity", "on_hand_quantity"):
            level = "refused" if column.type == "amount" else "warned"
            yield RowRule(
                "negative_amount",
                column.name,
                level,
                value < 0,
                "is negative; write refunds and discounts as positive amounts.",
                "为负数；退款和优惠请写为正数。",
            )
    yield from _amount_rules(contract.name, table)


def _zone_rules(column: str, value: ir.Value, raw: ir.StringValue) -> Iterator[RowRule]:
    text = raw.strip()
    with_offset = text.re_search(OFFSET_PATTERN) & (text.length() > 10)
    yield RowRule("zone_given", column, "warned", value.notnull() & with_offset, "", "")
    yield RowRule(
        "no_timezone",
        column,
        "warned",
        value.notnull() & ~with_offset,
        "times carry no time zone and are read as UTC; name the zone in the mapping (timezone: Asia/Shanghai).",
        "时间不带时区，按 UTC 读取；请在映射中写明时区（timezone: Asia/Shanghai）。",
    )


def _amount_rules(name: str, table: ir.Table) -> Iterator[RowRule]:
    if name == "orders":
        raw = table[RAW + "gross_amount"] if RAW + "gross_amount" in table.columns else None
        discount = table.coupon_discount_amount + table.other_discount_amount
        yield RowRule(
            "discount_above_gross",
            "coupon_discount_amount",
            "refused",
            discount > table.gross_amount + CENT,
            "the discounts are above gross_amount.",
            "优惠合计超过 gross_amount。",
        )
        yield RowRule(
            "platform_above_discount",
            "platform_discount_amount",
            "warned",
            table.platform_discount_amount > discount + CENT,
            "is above the discounts of which it is a part.",
            "超过其所属的优惠合计。",
        )
        yield RowRule(
            "refund_above_paid",
            "refund_amount",
            "warned",
            (table.refund_amount > 0) & (table.refund_amount > table.gross_amount - discount + CENT),
            "is above what was paid.",
            "退款超过实付金额。",
        )
        yield RowRule(
            "paid_before_submitted",
            "paid_at",
            "warned",
            table.paid_ms < table.submitted_ms,
            "the order was paid before it was submitted.",
            "支付时间早于提交时间。",
        )
        yield RowRule(
            "no_amount",
            "gross_amount",
            "warned",
            _is_blank(table.gross_amount, raw),
            "no amount; such orders are left out of amounts and averages. Where all are null, money tables are off.",
            "没有金额；这些订单不计入金额与均值。若全部为空，则不计算金额。",
        )
        cost = table[RAW + "cost_amount"] if RAW + "cost_amount" in table.columns else None
        yield RowRule(
            "no_cost",
            "cost_amount",
            "warned",
            table.paid_ms.notnull() & table.gross_amount.notnull() & _is_blank(table.cost_amount, cost),
            "the paid order has no cost; it counts as 0, and profits are too high. Fill it in, or give margin_rate.",
            "已支付订单没有成本，按 0 计，利润偏高；请补齐，或给出 margin_rate。",
        )
    if name == "coupon_grants":
        yield RowRule(
            "redeemed_before_granted",
            "redeemed_at",
            "warned",
            table.redeemed_ms < table.granted_ms,
            "redeemed before it was given.",
            "核销早于发放。",
        )
        yield RowRule(
            "redeemed_after_expiry",
            "redeemed_at",
            "warned",
            table.redeemed_ms > table.expires_ms,
            "redeemed after it expired.",
            "核销晚于过期时间。",
        )
    if name == "events":
        promotion = table.event.isin(["view_promotion", "select_promotion"])
        yield RowRule(
            "no_slot",
            "slot_id",
            "warned",
            promotion & table.slot_id.isnull(),
            "exposures and clicks without a slot; they are left out of slot tables.",
            "曝光或点击缺少坑位，未计入坑位表。",
        )
        yield RowRule(
            "no_order_id",
            "order_id",
            "warned",
            (table.event == "purchase") & table.order_id.isnull(),
            "purchase events without an order; they cannot be matched.",
            "purchase 事件缺少订单号，无法对账。",
        )
