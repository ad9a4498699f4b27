"""Words for factors and figures in the two languages."""

from workbench.language import Language, format_amount, format_count, format_rate, say

FACTORS = {
    "visitor_count": ("visitors", "访客数"),
    "conversion_rate": ("conversion", "转化率"),
    "buyer_count": ("buyers", "买家数"),
    "orders_per_buyer": ("orders per buyer", "人均订单数"),
    "order_count": ("orders", "订单数"),
    "gross_per_order": ("gross per order", "单均优惠前金额"),
    "coupon_discount_amount": ("coupons", "优惠券"),
    "other_discount_amount": ("other discounts", "其他优惠"),
    "refund_amount": ("refunds", "退款"),
    "net_amount": ("net sales", "净销售额"),
    "gross_amount": ("gross amount", "优惠前金额"),
    "average_order_value": ("average order value", "客单价"),
    "spend_amount": ("ad spend", "投放花费"),
    "mix": ("mix", "结构"),
}
LESS = ("coupon_discount_amount", "other_discount_amount", "refund_amount")
"""Factors that lower net sales when they grow."""


def factor_word(name: str, lang: Language) -> str:
    """A factor or figure as people say it."""
    return say(lang, *FACTORS[name])


def figure_text(name: str, value: float | None, lang: Language) -> str:
    """A figure as people write it."""
    if name == "conversion_rate":
        return format_rate(value, 2).replace("-", "−")
    if name in ("visitor_count", "buyer_count", "order_count"):
        return format_count(value if value is None or value != value else round(value)).replace("-", "−")
    if name == "orders_per_buyer":
        return "–" if value is None or value != value else f"{value:.3f}".replace("-", "−")
    return format_amount(value, lang)


def change_text(relative: float | None) -> str:
    """A relative change with its sign; a dash where there is none."""
    if relative is None or relative != relative:
        return "–"
    return f"{'−' if relative < 0 else '+'}{format_rate(abs(relative))}"


def segment_word(segment_by: str, lang: Language) -> str:
    """What the segments are."""
    words = {
        "channel": ("channel", "渠道"),
        "region": ("region", "地区"),
        "age_group": ("age group", "年龄段"),
        "gender": ("gender", "性别"),
        "device": ("device", "设备"),
    }
    return say(lang, *words[segment_by])
