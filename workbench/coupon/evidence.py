"""Everything about coupons that rests on randomization: read-out, money, timing, and the decision that follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.coupon.decision import decision_rows
from workbench.coupon.flow import COLUMNS as FLOW_COLUMNS
from workbench.coupon.flow import FUNNEL_COLUMNS, Flow, flow_tables, is_flow
from workbench.coupon.holdout import holdout_plans
from workbench.coupon.money import CouponSales, money_rows
from workbench.coupon.scorecard import CouponTables
from workbench.experiment.plan import ReadoutRules, find_experiments
from workbench.experiment.readout import Readout, empty_readout, read_out, readout_notes
from workbench.language import Language, say
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
    """

    readout: Readout
    flow: Flow
    money: pd.DataFrame
    decisions: pd.DataFrame

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
    when: it says nothing about whether the coupon pays, and has tables of its own.
    """
    shop, period = tables.shop, tables.period
    coupons = set(card.loc[card["level"] == "coupon", "coupon_id"].astype(str))
    names: list[str] = []
    tested: dict[str, str] = {}
    if shop.has("experiment_assignments") and shop.has("experiments", "coupon_id"):
        tested = {
            one.experiment_id: str(one.coupon_id) for one in find_experiments(shop, experiment_ids, rules, coupons)
        }
        names = list(tested)
    readout = read_out(shop, period, names, rules) if names else empty_readout()
    timed = [name for name, one in readout.collected.items() if is_flow(one)]
    money = money_rows(readout.without(timed), _sales(card), rules.confidence_level)
    flow = Flow(pd.DataFrame(columns=FLOW_COLUMNS), pd.DataFrame(columns=FUNNEL_COLUMNS))
    window = shown_window(list(repurchase_days))
    if timed:
        flow = flow_tables(shop, period, readout, timed, rules)
    plans = holdout_plans(shop, tables.grants, tables.used, period, window or 30, rules.margin_rate)
    about_when = {str(readout.collected[name].experiment.coupon_id) for name in timed}
    unread = {tested[name] for name in readout.unread}
    decisions = decision_rows(card, money, plans, window, subsidy_limit, about_when, unread)
    return Evidence(readout, flow, money, decisions)


def _sales(card: pd.DataFrame) -> dict[str, CouponSales]:
    names = ("order_count", "paid_amount", "coupon_discount_amount", "profit_amount")
    return {
        str(row["coupon_id"]): CouponSales(*(float(row[name]) for name in names))
        for row in card[card["level"] == "coupon"].to_dict("records")
    }


def evidence_notes(shop: Shop, evidence: Evidence, rules: ReadoutRules, lang: Language) -> tuple[str, ...]:
    """What the decisions rest on, and what they cannot say."""
    told = []
    if not evidence.readout.collected and not evidence.readout.unread:
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
                "takes the coupon's orders as given; incremental return counts all coupon discounts of these users.",
                "增量为窗口已满的实验组用户合计，实验组减对照组。蚕食率以用券订单为给定；增量回报计入这些用户的全部券减免。",
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
    has_any = evidence.readout.collected or evidence.readout.unread
    return (*notes, *readout_notes(shop, evidence.readout, rules, lang)) if has_any else notes
