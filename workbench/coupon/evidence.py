"""Everything about coupons that rests on randomization: read-out, money, timing, and the decision that follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from workbench.coupon.decision import decision_rows
from workbench.coupon.flow import COLUMNS as FLOW_COLUMNS
from workbench.coupon.flow import FUNNEL_COLUMNS, Flow, flow_tables, is_flow
from workbench.coupon.holdout import holdout_plans
from workbench.coupon.money import CouponSales, money_rows
from workbench.coupon.scorecard import CouponTables
from workbench.experiment.costs import cost_gap, cost_note
from workbench.experiment.plan import ReadoutRules, find_experiments, measurable_outcomes
from workbench.experiment.readout import Readout, empty_readout, read_out, readout_notes
from workbench.language import Language, say
from workbench.metrics.orders import paid_in_period
from workbench.source.shop import Shop
from workbench.stats.tables import shown_window


@dataclass(frozen=True)
class Evidence:
    """Tables of the coupon report beside the scorecard.

    Attributes
    ----------
    readout
        Of all experiments that test one of the coupons.
    flow
        Of those in which both arms get the coupon, before or after payment.
    money, decisions
        ``coupon_money``, ``coupon_decision``.
    unmeasured
        Experiments that are not read, because the source has none of the outcomes asked for.
    """

    readout: Readout
    flow: Flow
    money: pd.DataFrame
    decisions: pd.DataFrame
    unmeasured: tuple[str, ...] = ()

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names under which they are published."""
        return {
            "coupon_decision": self.decisions,
            "coupon_money": self.money,
            "flow_experiment": self.flow.table,
            "flow_funnel": self.flow.funnel,
            **self.readout.tables(),
        }


def gather_evidence(
    tables: CouponTables,
    card: pd.DataFrame,
    rules: ReadoutRules,
    experiment_ids: Sequence[str] | None,
    repurchase_days: Sequence[int],
    subsidy_limit: float,
) -> Evidence:
    """Read the experiments of the coupons, put them into money, and decide.

    An experiment is about a coupon where the table ``experiments`` says so. Where both arms get the coupon it is about
    when: it says nothing about whether the coupon pays, and has tables of its own. Where its arms have coupons of
    their own, each coupon is held against the control. Where the source has none of the outcomes asked for, the
    scorecard stands alone.
    """
    shop, period = tables.shop, tables.period
    coupons = set(card.loc[card["level"] == "coupon", "coupon_id"].astype(str))
    tested: dict[str, set[str]] = {}
    if shop.has("experiment_assignments") and shop.has("experiments", "coupon_id"):
        found = find_experiments(shop, experiment_ids, rules, coupons)
        tested = {one.experiment_id: set(one.coupons.values()) for one in found}
    unmeasured = () if measurable_outcomes(shop, rules) else tuple(tested)
    if tested and not unmeasured:
        readout = read_out(shop, period, list(tested), rules)
    else:
        readout = replace(empty_readout(), costs=cost_gap(shop, period, rules))
    timed = [name for name, one in readout.collected.items() if is_flow(one)]
    sales = _sales(tables, card) if readout.collected else {}
    money = money_rows(readout.without(timed), sales, rules.confidence_level, rules.multiple_testing)
    money = money[money["coupon_id"].isin(coupons)].reset_index(drop=True)
    flow = Flow(pd.DataFrame(columns=FLOW_COLUMNS), pd.DataFrame(columns=FUNNEL_COLUMNS))
    window = shown_window(list(repurchase_days))
    if timed:
        flow = flow_tables(shop, period, readout, timed, rules)
    plans = holdout_plans(shop, tables.grants, tables.used, period, window or 30, rules.margin_rate)
    about_when = {str(readout.collected[name].experiment.coupon_id) for name in timed}
    unread, unmeasurable = (
        {coupon for name in group for coupon in tested[name]} for group in (readout.unread, unmeasured)
    )
    decisions = decision_rows(card, money, plans, window, subsidy_limit, about_when, unread, unmeasurable)
    return Evidence(readout, flow, money, decisions, unmeasured)


def _sales(tables: CouponTables, card: pd.DataFrame) -> dict[str, CouponSales]:
    """By coupon, with the part of its discount that the shop bears."""
    used = paid_in_period(tables.used, tables.period)
    lazy = used.group_by("coupon_id").aggregate(borne=used.borne_discount.sum())
    borne = tables.shop.collect(lazy).set_index("coupon_id")["borne"]
    shown = card[card["level"] == "coupon"]
    return {
        str(row["coupon_id"]): CouponSales(
            order_count=float(row["order_count"]),
            paid_amount=float(row["paid_amount"]),
            discount_amount=float(row["coupon_discount_amount"]),
            borne_discount_amount=float(borne.get(row["coupon_id"], 0.0)),
            profit_amount=float(row["profit_amount"]),
        )
        for row in shown.to_dict("records")
    }


def evidence_notes(shop: Shop, evidence: Evidence, rules: ReadoutRules, lang: Language) -> tuple[str, ...]:
    """What the decisions rest on, and what they cannot say."""
    told = []
    if evidence.unmeasured:
        names, asked = ", ".join(evidence.unmeasured), ", ".join(rules.outcomes)
        told.append(
            (
                f"Not read: {names}. {asked} cannot be measured, as orders have no amounts or no costs. Give cost_amount "
                "or margin_rate, or ask for buyer_rate and orders_per_user too; the scorecard stands without them.",
                f"未读取：{names}。订单没有金额或成本，无法计算 {asked}。请提供 cost_amount 或 margin_rate，"
                "或同时选择 buyer_rate 与 orders_per_user；评分卡不受影响。",
            )
        )
    elif not evidence.readout.collected and not evidence.readout.unread:
        told.append(
            (
                "No experiment tests one of these coupons: hold it back from a random share of users to learn what it adds. "
                "The tests proposed tell a coupon that brings no order from one that pays for itself, with 80 % power.",
                "没有实验检验这些券：对随机一部分用户不发券，才能知道增量。所建议的试验以 80% 功效区分“不带来订单”与“刚好回本”。",
            )
        )
    elif evidence.readout.collected:
        told.append(
            (
                "Increments are totals over the treated users whose window has elapsed, treatment less control. Cannibalisation "
                "takes the coupon's orders as given; incremental return counts all coupon discounts of these users that the shop "
                "bears. Where the platform pays a part of an order's discounts, it is taken to pay the same part of each.",
                "增量为窗口已满的实验组用户合计，实验组减对照组。蚕食率以用券订单为给定；增量回报计入这些用户由店铺承担的全部券减免。"
                "平台承担订单部分优惠时，视为对各项优惠承担相同比例。",
            )
        )
    uneven = [
        name for name in evidence.flow.table["experiment_id"].unique() if evidence.readout.collected[name].by_week
    ]
    if uneven:
        names = ", ".join(uneven)
        told.append(
            (
                f"{names}: the arms' shares changed over the weeks. Arms are compared within weeks; the funnel adds weeks up, "
                "and its arms hold different ones.",
                f"{names}：各组占比随周变化，各指标按周内比较；漏斗为各周合计，各组所含周次不同。",
            )
        )
    if not (shop.has("orders", "cost_amount") or rules.margin_rate is not None):
        told.append(
            (
                "orders carry no cost and no margin_rate is given: there is no profit, and so no decision but to test.",
                "订单没有成本，也未给出 margin_rate：无法计算利润，因此只能建议试验。",
            )
        )
    notes = tuple(say(lang, *one) for one in told)
    costs = cost_note(evidence.readout.costs, lang)
    has_any = evidence.readout.collected or evidence.readout.unread
    return (
        (*notes, *readout_notes(shop, evidence.readout, rules, lang))
        if has_any
        else (*notes, *([costs] if costs else []))
    )
