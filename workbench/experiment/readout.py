"""Read randomized experiments: what did assignment change, may it be believed, and what follows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from workbench.analysis import Analysis, remembers
from workbench.errors import TableError
from workbench.experiment.checks import COLUMNS as CHECK_COLUMNS
from workbench.experiment.checks import check_rows
from workbench.experiment.collect import Collected, collect_experiment
from workbench.experiment.costs import CostGap, cost_gap, cost_note
from workbench.experiment.curve import COLUMNS as CURVE_COLUMNS
from workbench.experiment.curve import curve_rows
from workbench.experiment.effects import COLUMNS as EFFECT_COLUMNS
from workbench.experiment.effects import effect_rows
from workbench.experiment.findings import experiment_findings, experiment_headline
from workbench.experiment.headline_figures import experiment_figures
from workbench.experiment.plan import OUTCOMES, ReadoutRules, find_experiments, make_rules
from workbench.experiment.verdicts import COLUMNS as VERDICT_COLUMNS
from workbench.experiment.verdicts import verdict_rows
from workbench.language import Language, say
from workbench.period import Period
from workbench.source.shop import Shop


@dataclass(frozen=True)
class Readout:
    """The tables of a read-out, and what they were made of.

    Attributes
    ----------
    effects, curve, checks, verdicts
        ``experiment_effect``, ``experiment_curve``, ``experiment_checks``, ``experiment_verdict``.
    collected
        Sums by experiment id, for whoever goes on from here.
    unread
        Experiments without the control arm or without a treatment, which cannot be read.
    costs
        Paid orders without a cost.
    """

    effects: pd.DataFrame
    curve: pd.DataFrame
    checks: pd.DataFrame
    verdicts: pd.DataFrame
    collected: dict[str, Collected]
    unread: tuple[str, ...]
    costs: CostGap = field(default_factory=CostGap)

    def without(self, names: Collection[str]) -> "Readout":
        """The same without some experiments."""

        def rest(table: pd.DataFrame) -> pd.DataFrame:
            return table[~table["experiment_id"].isin(names)]

        return replace(
            self,
            effects=rest(self.effects),
            curve=rest(self.curve),
            checks=rest(self.checks),
            verdicts=rest(self.verdicts),
            collected={name: one for name, one in self.collected.items() if name not in names},
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names under which they are published."""
        return {
            "experiment_verdict": self.verdicts,
            "experiment_effect": self.effects,
            "experiment_curve": self.curve,
            "experiment_checks": self.checks,
        }


def read_out(shop: Shop, period: Period, experiment_ids: Sequence[str] | None, rules: ReadoutRules) -> Readout:
    """Read the experiments of a shop, one after the other; none of their users leaves the engine."""
    effects, curves, checks, verdicts = [], [], [], []
    collected, unread = {}, []
    costs = cost_gap(shop, period, rules)
    for one in find_experiments(shop, experiment_ids, rules):
        found = collect_experiment(shop, one, period, rules)
        arms = set(found.sums["variant"])
        if not arms:  # nobody was assigned in the period
            continue
        if one.control not in arms or not arms & set(one.treatments):
            unread.append(one.experiment_id)
            continue
        collected[one.experiment_id] = found
        effects.append(effect_rows(found, rules))
        checks.append(check_rows(found, effects[-1], rules, costs))
        curves.append(curve_rows(found, rules))
        verdicts.append(verdict_rows(effects[-1], checks[-1]))
    return Readout(
        effects=_stacked(effects, EFFECT_COLUMNS),
        curve=_stacked(curves, CURVE_COLUMNS),
        checks=_stacked(checks, CHECK_COLUMNS),
        verdicts=_stacked(verdicts, VERDICT_COLUMNS),
        collected=collected,
        unread=tuple(unread),
        costs=costs,
    )


def empty_readout() -> Readout:
    """Where there is no experiment."""
    effects, curve, checks, verdicts = (
        pd.DataFrame(columns=one) for one in (EFFECT_COLUMNS, CURVE_COLUMNS, CHECK_COLUMNS, VERDICT_COLUMNS)
    )
    return Readout(effects, curve, checks, verdicts, {}, ())


def _stacked(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    parts = [one.dropna(axis=1, how="all") for one in parts if len(one)]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns) if parts else pd.DataFrame(columns=columns)


@remembers
def read_experiments(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    only_users: Sequence[str] = (),
    experiment_ids: Sequence[str] | None = None,
    control_variant: str = "control",
    outcomes: Sequence[str] = tuple(OUTCOMES),
    outcome_days: Sequence[int] = (7, 30, 60),
    pre_period_days: int = 28,
    margin_rate: float | None = None,
    expected_shares: Sequence[str] | None = None,
    multiple_testing: Literal["holm", "benjamini_hochberg", "none"] = "holm",
) -> Analysis:
    """What did a randomized change do: a coupon, a landing page, a slot, a message?

    Parameters
    ----------
    shop
        Needs ``experiment_assignments`` and ``orders``; ``experiments`` for planned shares, ``users`` for who is new.
    start_date, end_date, timezone
        Users assigned on ``start_date <= local day < end_date`` count; they are followed to the end of the data.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    only_users
        Users that it is about, as in ``Shop.only``; empty: all.
    experiment_ids
        Which are read; None: all that have assignments.
    control_variant
        The arm that the others are held against.
    outcomes
        Means per assigned unit: ``buyer_rate``, ``orders_per_user``, ``paid_amount_per_user``, ``net_amount_per_user``,
        ``profit_per_user``. Whoever bought nothing counts as 0.
    outcome_days
        Windows after assignment; only units whose window has elapsed count.
    pre_period_days
        Days before assignment by which the outcome is adjusted.
    margin_rate
        Margin before discounts where orders have no cost; None: from ``cost_amount``.
    expected_shares
        Planned shares such as ``["control=0.1", "treatment=0.9"]``; None: from the table ``experiments``.
    multiple_testing
        How p-values and intervals are adjusted over the arms of one experiment.

    Returns
    -------
    Analysis
        experiment_verdict, experiment_effect, experiment_curve, experiment_checks.

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    shop = shop.only(only_users)
    rules = make_rules(
        control_variant=control_variant,
        outcomes=outcomes,
        outcome_days=outcome_days,
        pre_period_days=pre_period_days,
        margin_rate=margin_rate,
        expected_shares=expected_shares,
        multiple_testing=multiple_testing,
        confidence_level=confidence_level,
    )
    shop.require("experiment_readout", "experiment_assignments", "orders")
    period = shop.period(start_date, end_date, timezone)
    found = read_out(shop, period, experiment_ids, rules)
    if found.unread and not found.collected:
        raise TableError(
            f"{shop.name}: {', '.join(found.unread)} cannot be read: users assigned from {period.start_date} to "
            f'{period.last_date} stand in one arm only, or none in the control arm "{rules.control_variant}". Name '
            "another control_variant or a longer period."
        )
    tables = found.tables()
    return Analysis(
        name="experiment_readout",
        lang=lang,
        period=period,
        tables=tables,
        headline=experiment_headline(tables, period, lang),
        findings=experiment_findings(tables, lang),
        notes=readout_notes(shop, found, rules, lang),
        flags=shop.flags(period, lang, has_orders=True),
        figures=experiment_figures(tables, lang),
    )


def readout_notes(shop: Shop, found: Readout, rules: ReadoutRules, lang: Language) -> tuple[str, ...]:
    """What was assumed, and what the read-out cannot say."""
    told = [
        (
            "Every user assigned counts, whether the treatment was used or not; whoever bought nothing counts as 0.",
            "所有被分组的用户都计入，无论是否使用；没有购买的记为 0。",
        ),
        (
            "The verdict rests on one outcome and one window, adjusted by the time before assignment; both were fixed by rule: "
            "profit, and the longest window that has elapsed for half of the users. All other rows are read beside it.",
            "结论只依据一个指标与一个窗口，并按分组前数据调整；二者由规则预先确定：利润，以及半数用户已满的最长窗口。其余行供对照。",
        ),
        (
            "Intervals hold for one look at the end. Whoever looks every day and stops at will reads the sequential bounds.",
            "区间适用于结束时看一次；若每天查看并随时停止，请看序贯区间。",
        ),
    ]
    if found.unread:
        names = ", ".join(found.unread)
        told.append(
            (
                f"Not read, for want of a control or a treatment arm in the period: {names}.",
                f"期内缺少对照组或实验组，未读取：{names}。",
            )
        )
    missing = [
        one for one in rules.outcomes if found.collected and one not in next(iter(found.collected.values())).outcomes
    ]
    if missing:
        told.append(
            (
                f"Without amounts or costs these outcomes are off: {', '.join(missing)}. Give cost_amount or margin_rate.",
                f"缺少金额或成本，以下指标未计算：{'、'.join(missing)}。请提供 cost_amount 或 margin_rate。",
            )
        )
    inviters = [one.experiment.experiment_id for one in found.collected.values() if one.experiment.by_inviter]
    if inviters:
        names = ", ".join(inviters)
        told.append(
            (
                f"{names}: the unit is the inviter with all whom he brings later; the time before is the inviter's own.",
                f"{names}：以邀请人及其之后带来的用户为一个单位；分组前数据为邀请人自身。",
            )
        )
    if not shop.has("users"):
        told.append(
            (
                "No users table: nobody is known to be new, and a past without orders counts as 0.",
                "没有 users 表，无法识别新用户；没有订单的过去记为 0。",
            )
        )
    costs = cost_note(found.costs, lang)
    return (*(say(lang, *one) for one in told), *([costs] if costs else []))
