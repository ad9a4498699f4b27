"""Does a coupon earn more than it costs? The scorecard, randomized evidence, money, and a decision for each."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.analysis import Analysis, remembers
from workbench.coupon.criteria import CLEARLY_BELOW
from workbench.coupon.decision_findings import decision_findings
from workbench.coupon.depth import coupon_depth
from workbench.coupon.evidence import evidence_notes, gather_evidence
from workbench.coupon.findings import coupon_findings, coupon_headline
from workbench.coupon.headline_figures import coupon_figures
from workbench.coupon.repurchase import coupon_repurchase
from workbench.coupon.scorecard import coupon_scorecard, coupon_tables
from workbench.experiment.findings import experiment_findings
from workbench.experiment.plan import OUTCOMES, ReadoutRules, make_rules
from workbench.language import Language, format_rate, say
from workbench.metrics.coupons import buyer_exits
from workbench.parameters import check_days, check_rate
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE
from workbench.stats.multiplicity import Method

NEEDED = ("coupon_evaluation", "orders", "coupon_grants")
"""The question, and the tables without which it has no answer."""
CURVE_DAYS = 90
"""How far the curve of repurchase reaches where no window was asked for."""
_REASONS = {
    "never_used": ("Given but never used on a paid order: {}.", "已发放但从未用于支付订单：{}。"),
    "used_once": (
        "Used on a single paid order, which says nothing about the coupon: {}.",
        "仅用于一笔支付订单，不足以评价：{}。",
    ),
    "nothing_paid": ("All orders were free, nothing was paid: {}.", "全部订单实付为零：{}。"),
    "all_refunded": ("All that was paid was refunded: {}.", "实付金额全部退款：{}。"),
}


@remembers
def evaluate_coupons(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    only_users: Sequence[str] = (),
    coupon_ids: Sequence[str] | None = None,
    subsidy_limit: float = 0.20,
    repurchase_days: Sequence[int] = (30, 60, 90),
    margin_rate: float | None = None,
    experiment_ids: Sequence[str] | None = None,
    control_variant: str = "control",
    outcomes: Sequence[str] = tuple(OUTCOMES),
    outcome_days: Sequence[int] = (7, 30, 60),
    pre_period_days: int = 28,
    expected_shares: Sequence[str] | None = None,
    multiple_testing: Method = "holm",
) -> Analysis:
    """Does a coupon earn more than it costs?

    Parameters
    ----------
    shop
        Needs ``orders`` and ``coupon_grants``; ``coupons`` for names and depth, ``order_lines`` for categories,
        ``events`` for active days; ``experiments`` and ``experiment_assignments`` for what coupons add.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``; None is all the data. Grants count by when they
        were given, orders by when they were paid.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    only_users
        Users that it is about, as in ``Shop.only``; empty: all.
    coupon_ids
        Only these coupons, and together only these; None is all.
    subsidy_limit
        Share of gross amount that a coupon should not exceed.
    repurchase_days
        Windows after a user's first paid order with the coupon in which another paid order counts.
    margin_rate
        Margin before discounts where orders have no cost; None: from ``cost_amount``.
    experiment_ids, control_variant, outcomes, outcome_days, pre_period_days, expected_shares, multiple_testing
        How experiments are read: see ``workbench.experiment.read_experiments``.

    Returns
    -------
    Analysis
        ``coupon_decision``: one row per coupon, from randomized evidence alone; ``coupon_money``: what tested coupons
        add; ``flow_experiment`` and ``flow_funnel``: coupons given before or after payment; the tables of the
        experiments read;
        ``coupon_scorecard``: one row per coupon (``level`` coupon) by redeemed_count, per kind (``kind``), and one for
        all coupons together (``all``); ``coupon_depth``: one row per dimension and band of discount;
        ``coupon_repurchase``: one row per coupon and day since its first use.

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    shop = shop.only(only_users)
    rules = read_rules(
        subsidy_limit=subsidy_limit,
        repurchase_days=repurchase_days,
        control_variant=control_variant,
        outcomes=outcomes,
        outcome_days=outcome_days,
        pre_period_days=pre_period_days,
        margin_rate=margin_rate,
        expected_shares=expected_shares,
        multiple_testing=multiple_testing,
        confidence_level=confidence_level,
    )
    shop.require(*NEEDED)
    period = shop.period(start_date, end_date, timezone)
    tables = coupon_tables(shop, period, coupon_ids, margin_rate)
    exits = shop.collect(buyer_exits(tables.by_level, period, repurchase_days))
    card = coupon_scorecard(tables, exits, repurchase_days, subsidy_limit, confidence_level)
    last_day = max(repurchase_days, default=CURVE_DAYS)
    evidence = gather_evidence(tables, card, rules, experiment_ids, repurchase_days, subsidy_limit)
    written = {
        "coupon_decision": evidence.decisions,
        "coupon_scorecard": card,
        "coupon_depth": coupon_depth(tables, repurchase_days, confidence_level),
        "coupon_repurchase": coupon_repurchase(exits, card, last_day, confidence_level),
        **evidence.tables(),
    }
    return Analysis(
        name="coupon_evaluation",
        lang=lang,
        period=period,
        tables=written,
        headline=coupon_headline(card, evidence, period, lang, subsidy_limit, repurchase_days),
        findings=(
            *decision_findings(evidence, lang),
            *coupon_findings(card, lang, subsidy_limit, repurchase_days),
            *experiment_findings(evidence.readout.tables(), lang),
        ),
        notes=(*_notes(shop, lang, card), *evidence_notes(shop, evidence, rules, lang)),
        flags=shop.flags(period, lang, has_orders=not (card["coupon_reason"] == "no_orders").any()),
        figures=coupon_figures(written, repurchase_days, lang),
    )


def read_rules(
    *, confidence_level: float, subsidy_limit: float, repurchase_days: Sequence[int], **of_experiments: Any
) -> ReadoutRules:
    """Check the arguments of ``evaluate_coupons``; those of experiments become the rules of a read-out.

    Raises
    ------
    ParameterError
        If one of them cannot be used.
    """
    check_rate("confidence_level", confidence_level)
    check_rate("subsidy_limit", subsidy_limit)
    check_days("repurchase_days", repurchase_days)
    return make_rules(confidence_level=confidence_level, **of_experiments)


def _notes(shop: Shop, lang: Language, card: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        say(
            lang,
            "The scorecard is not causal: orders with a coupon include those that would have come without it. "
            "A redemption is not an effect; decisions rest on experiments alone.",
            "评分卡数字并非因果：用券订单包含没有券也会发生的订单。核销不等于效果；决策仅依据实验。",
        ),
        say(
            lang,
            "Redemption counts grants given in the period and used on a paid order up to the end of the data; grants "
            "whose validity has not ended may still be used.",
            "核销率统计期内发放、截至数据末已用于支付订单的券；尚在有效期内的券仍可能被使用。",
        ),
        say(
            lang,
            "Repurchase counts another paid order on a later local day after a user's first paid order with the coupon.",
            "复购指用户首个用券支付订单之后，在更晚的自然日再次支付。",
        ),
        say(
            lang,
            f"A coupon fails a criterion where its interval lies wholly below {format_rate(CLEARLY_BELOW, 0)} of the median "
            "of the other coupons (subsidy: wholly above the limit); a pass is no praise.",
            f"区间整体低于其余券中位数的 {format_rate(CLEARLY_BELOW, 0)}（补贴：整体高于上限）判为不达标；未判不达标不等于表现好。",
        ),
    ]
    single = card[card["subsidy_rate"].notna() & card["subsidy_ci_lower"].isna() & (card["order_count"] > 1)]
    if len(single):
        notes.append(
            say(
                lang,
                f"{len(single)} subsidy rates have no interval: fewer than {MINIMUM_EFFECTIVE} effective buyers, or no spread.",
                f"{len(single)} 个补贴率没有区间：有效买家不足 {MINIMUM_EFFECTIVE} 人，或没有差异。",
            )
        )
    coupons = card[card["level"] == "coupon"]
    for reason, words in _REASONS.items():
        named = coupons.loc[coupons["coupon_reason"] == reason, "coupon_name"]
        if len(named):
            more = say(lang, f" and {len(named) - 8} more", f"等 {len(named)} 张") if len(named) > 8 else ""
            notes.append(say(lang, *words).format(", ".join(named.head(8)) + more))
    if not shop.has("coupons"):
        notes.append(say(lang, "No coupons table: ids stand for names.", "没有 coupons 表，以编号代替名称。"))
    if not shop.has_money:
        notes.append(say(lang, "orders carry no amounts: money columns are empty.", "订单没有金额，金额列为空。"))
    if not shop.has("coupon_grants", "order_id"):
        notes.append(
            say(
                lang,
                "coupon_grants has no order_id: redemptions and coupon orders cannot be counted. Add it.",
                "coupon_grants 没有 order_id，无法统计核销与用券订单，请补充。",
            )
        )
    return tuple(notes)
