"""What the coupon scorecard says, in sentences that name their cell."""

from collections.abc import Sequence

import pandas as pd

from workbench.analysis import Cell, Finding, Headline
from workbench.coupon.decision_findings import decision_headline
from workbench.coupon.evidence import Evidence
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.period import Period
from workbench.stats.tables import shown_window

MIN_ORDERS = 30
"""Coupons with fewer paid orders are not judged."""


def _coupons(card: pd.DataFrame) -> pd.DataFrame:
    return card[card["level"] == "coupon"]


def _total(card: pd.DataFrame) -> dict:
    return card[card["level"] == "all"].iloc[0].to_dict()


def coupon_headline(
    card: pd.DataFrame, evidence: Evidence, period: Period, lang: Language, limit: float, days: Sequence[int]
) -> Headline:
    """The first screen: what coupons cost against the limit, and what to do with each."""
    return decision_headline(evidence, _verdict(card, period, lang, limit), shown_window(days), lang)


def _verdict(card: pd.DataFrame, period: Period, lang: Language, limit: float) -> str:
    total = _total(card)
    if pd.isna(total["redeemed_count"]):
        return say(
            lang,
            f"{format_count(total['granted_count'])} coupons were given; without their orders nothing says how they were used.",
            f"共发放 {format_count(total['granted_count'])} 张券；缺少订单号，无法得知使用情况。",
        )
    if not total["order_count"] or pd.isna(total["order_count"]):
        return say(
            lang,
            f"No paid order with a coupon from {period.start_date} to {period.last_date}.",
            f"{period.start_date} 至 {period.last_date} 没有用券的已支付订单。",
        )
    if pd.isna(total["subsidy_rate"]):
        return say(
            lang,
            f"{format_count(total['redeemed_count'])} of {format_count(total['granted_count'])} coupons given were used "
            f"({format_rate(total['redemption_rate'])}); without amounts their cost is unknown.",
            f"发放 {format_count(total['granted_count'])} 张，使用 {format_count(total['redeemed_count'])} 张"
            f"（{format_rate(total['redemption_rate'])}）；没有金额，成本未知。",
        )
    known = _coupons(card)
    over = known[(known["subsidy_rate"] > limit) & (known["order_count"] >= MIN_ORDERS)]
    side = say(lang, "above", "高于") if total["subsidy_rate"] > limit else say(lang, "within", "未超过")
    return say(
        lang,
        f"Coupons took {format_amount(total['coupon_discount_amount'], lang)} off, {format_rate(total['subsidy_rate'])} of "
        f"their orders, {side} the limit of {format_rate(limit, 0)}; {len(over)} of {len(known)} exceed{'s' if len(over) == 1 else ''} it.",
        f"优惠券共减免 {format_amount(total['coupon_discount_amount'], lang)}，占用券订单 {format_rate(total['subsidy_rate'])}，"
        f"{side} {format_rate(limit, 0)} 的上限；{len(known)} 张券中 {len(over)} 张超限。",
    )


def coupon_findings(card: pd.DataFrame, lang: Language, limit: float, days: Sequence[int]) -> tuple[Finding, ...]:
    """Sentences on subsidy, redemption and repurchase."""
    found = []
    total, known = _total(card), _coupons(card)
    cell = {"level": "all"}
    if total["order_count"] and not pd.isna(total["order_share"]):
        found.append(
            Finding(
                "coupon_share",
                say(
                    lang,
                    f"{format_rate(total['order_share'])} of paid orders carry a coupon"
                    + (
                        "."
                        if pd.isna(total["amount_share"])
                        else f", with {format_rate(total['amount_share'])} of the paid amount."
                    ),
                    f"{format_rate(total['order_share'])} 的支付订单使用了优惠券"
                    + (
                        "。"
                        if pd.isna(total["amount_share"])
                        else f"，占支付金额 {format_rate(total['amount_share'])}。"
                    ),
                ),
                Cell("coupon_scorecard", cell, "order_share"),
                total["order_share"],
            )
        )
    over = known[(known["subsidy_rate"] > limit) & (known["order_count"] >= MIN_ORDERS)]
    for row in over.sort_values("subsidy_rate", ascending=False).to_dict("records"):
        found.append(_over_limit(row, lang, limit))
    used = known[known["granted_count"] >= MIN_ORDERS].sort_values("redemption_rate", ascending=False)
    for row in used.head(1 if len(used) > 1 and used["redemption_rate"].notna().all() else 0).to_dict("records"):
        found.append(
            Finding(
                "most_used",
                say(
                    lang,
                    f"{row['coupon_name']} is used most: {format_rate(row['redemption_rate'])} of {format_count(row['granted_count'])} given.",
                    f"{row['coupon_name']} 核销率最高：发放 {format_count(row['granted_count'])} 张，核销 {format_rate(row['redemption_rate'])}。",
                ),
                Cell("coupon_scorecard", {"level": "coupon", "coupon_id": row["coupon_id"]}, "redemption_rate"),
                row["redemption_rate"],
            )
        )
    return (*found, *_repurchase_findings(known, lang, days))


def _over_limit(row: dict, lang: Language, limit: float) -> Finding:
    sure = row["subsidy_ci_lower"] > limit
    doubt = "" if sure else say(lang, " (the interval includes the limit)", "（区间包含上限）")
    return Finding(
        "subsidy_above_limit",
        say(
            lang,
            f"{row['coupon_name']} takes {format_rate(row['subsidy_rate'])} off its orders, above the limit of {format_rate(limit, 0)}{doubt}.",
            f"{row['coupon_name']} 补贴率 {format_rate(row['subsidy_rate'])}，高于 {format_rate(limit, 0)} 的上限{doubt}。",
        ),
        Cell("coupon_scorecard", {"level": "coupon", "coupon_id": row["coupon_id"]}, "subsidy_rate"),
        row["subsidy_rate"],
    )


def _repurchase_findings(known: pd.DataFrame, lang: Language, days: Sequence[int]) -> list[Finding]:
    window = shown_window(days)
    if not window:
        return []
    column = f"repurchase_rate_{window}"
    enough = known[known[f"{column}_eligible_count"] >= MIN_ORDERS].sort_values(column)
    others = enough[column].iloc[1:]
    enough = enough[enough[f"{column}_ci_upper"] < others.median()] if len(others) else enough.head(0)
    found = []
    for row in enough.head(1).to_dict("records"):
        span = format_interval(row[f"{column}_ci_lower"], row[f"{column}_ci_upper"])
        found.append(
            Finding(
                "lowest_repurchase",
                say(
                    lang,
                    f"Buyers with {row['coupon_name']} come back least: {format_rate(row[column])} ({span}) within {window} days.",
                    f"使用 {row['coupon_name']} 的买家回头最少：{window} 天内 {format_rate(row[column])}（{span}）。",
                ),
                Cell("coupon_scorecard", {"level": "coupon", "coupon_id": row["coupon_id"]}, column),
                row[column],
            )
        )
    return found
