"""Names of outcomes, arms and verdicts in both languages."""

from collections.abc import Mapping

from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say

OUTCOME_WORDS: Mapping[str, tuple[str, str]] = {
    "buyer_rate": ("buyers per user", "购买率"),
    "orders_per_user": ("orders per user", "人均订单"),
    "paid_amount_per_user": ("paid amount per user", "人均实付"),
    "net_amount_per_user": ("net amount per user", "人均净额"),
    "profit_per_user": ("profit per user", "人均利润"),
}
VERDICT_WORDS: Mapping[str, tuple[str, str]] = {
    "better": ("better", "更好"),
    "worse": ("worse", "更差"),
    "open": ("not settled", "未定"),
    "broken": ("not valid", "无效"),
    "none": ("cannot say", "无法判断"),
}
REASON_WORDS: Mapping[str, tuple[str, str]] = {
    "no_units": ("an arm has no users whose window has elapsed", "某一组没有观察期已满的用户"),
    "one_unit": ("an arm has a single user", "某一组只有一名用户"),
    "small_cell": ("a week has fewer than two users in an arm", "某一周某一组不足两名用户"),
    "one_unit_decides": (
        "one user's past alone decides the adjustment",
        "调整仅由一名用户的过往决定",
    ),
    "costs_missing": (
        "too many paid orders have no cost, which makes profits too high",
        "过多已支付订单没有成本，利润偏高",
    ),
    "no_variation": ("nobody bought, or all did alike", "没有人购买，或人人相同"),
}


def outcome_words(outcome: str, lang: Language) -> str:
    """What is measured."""
    return say(lang, *OUTCOME_WORDS[outcome])


def number_words(value: float, outcome: str, lang: Language, *, signed: bool = False) -> str:
    """A mean or a difference in the outcome's unit; differences of rates are in points."""
    sign = "+" if signed and value > 0 else ""
    if outcome == "buyer_rate":
        points = say(lang, " points", " 个百分点")
        return f"{sign}{100 * value:.2f}{points}".replace("-", "−") if signed else format_rate(value, 2)
    if outcome == "orders_per_user":
        return f"{sign}{value:.4f}".replace("-", "−")
    return f"{sign}{format_amount(value, lang)}"


def interval_words(lower: float, upper: float, outcome: str, lang: Language) -> str:
    """An interval of a difference."""
    if lower != lower or upper != upper:
        return ""
    if outcome in ("buyer_rate", "orders_per_user"):
        scale, digits = (100, 2) if outcome == "buyer_rate" else (1, 4)
        return f"{scale * lower:.{digits}f} – {scale * upper:.{digits}f}".replace("-", "−")
    return format_interval(lower, upper, lang, "amount")


def count_words(treatment: int, control: int, lang: Language) -> str:
    """How many users stand on both sides."""
    return say(
        lang,
        f"{format_count(treatment)} against {format_count(control)} users",
        f"{format_count(treatment)} 人对 {format_count(control)} 人",
    )
