"""Assumptions and limits of the slot report."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from workbench.contract import CLICK
from workbench.language import Language, format_count, format_rate, say
from workbench.metrics.journeys import JourneyRules
from workbench.slot.content import ContentResult
from workbench.slot.credit import TargetSums
from workbench.slot.leak import SlotLeak
from workbench.slot.retention import SlotRetention
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE
from workbench.stats.markov import OTHER

Tables = Mapping[str, pd.DataFrame]
LARGE_BUYER = 0.2
"""From this share on one buyer is told of as the reason why there are no intervals."""


@dataclass(frozen=True)
class Facts:
    """What the notes and findings speak of beyond the tables."""

    rules: JourneyRules
    models: tuple[str, ...]
    targets: tuple[str, ...]
    sums: Mapping[str, TargetSums]
    has_intervals: bool
    markov_states: int
    unnamed_count: int
    user_ids_known: bool
    nobody_share: float
    floors_are_shared: bool
    leak: SlotLeak
    retention: SlotRetention
    content: ContentResult
    model_of_slots: str | None
    """Under it purchases credit slots where credit goes to something else; None without orders."""


def slot_notes(shop: Shop, lang: Language, tables: Tables, facts: Facts) -> tuple[str, ...]:
    """What was assumed, what is missing, and what would be gained by adding it."""
    told = [*_rule_notes(facts), *_target_notes(facts), *_model_notes(facts), *_data_notes(shop, tables, facts)]
    return tuple(say(lang, en, zh) for en, zh in told)


Told = list[tuple[str, str]]


def _rule_notes(facts: Facts) -> Told:
    rules = facts.rules
    touch = ("A click", "点击") if rules.touch == CLICK else ("An exposure", "曝光")
    told = [
        (
            "Attribution is not incrementality: credit says which touches came before a sale, not which caused it.",
            "归因不等于增量：功劳只说明成交前接触过哪些坑位，不说明由谁带来。",
        ),
        (
            f"{touch[0]} counts if it lies within {rules.lookback_hours:g} hours before the conversion, both ends included"
            + (", and after the user's previous paid order." if rules.reset_after_order else "."),
            f"{touch[1]}须在转化前 {rules.lookback_hours:g} 小时内（含两端）"
            + ("，且晚于该用户上一笔已支付订单。" if rules.reset_after_order else "。"),
        ),
    ]
    if rules.key_event:
        told.append(
            (
                f"A touch counts only if {rules.key_event} follows it before the conversion"
                + (" with the product of the order line." if rules.match_on else "."),
                f"触点之后、转化之前须有 {rules.key_event}" + ("，且商品与订单行一致。" if rules.match_on else "。"),
            )
        )
    if rules.match_on:
        told.append(
            (
                "Order lines are attributed, not orders: each carries its part of the order's amount and of one order.",
                "按订单行而非订单归因：每行按金额占比分得订单金额与订单数。",
            )
        )
    if rules.net_of_refunds:
        told.append(("Amounts of purchases are net of refunds.", "成交金额已扣除退款。"))
    if facts.floors_are_shared:
        told.append(
            ("Floors of several pages that have the same number are added together.", "不同页面同号楼层合并计算。")
        )
    return told


def _target_notes(facts: Facts) -> Told:
    told: Told = []
    for target in facts.targets:
        if target not in facts.sums:
            told.append(
                (
                    f"{target} is credited from orders, which are not there.",
                    f"{target} 依据 orders 表归因，该表缺失。",
                )
            )
            continue
        sums = facts.sums[target]
        if not sums.total["conversions"].sum():
            told.append((f"No {target} in the period: nothing to credit for it.", f"期内没有 {target}，无可归因。"))
        elif sums.effective < MINIMUM_EFFECTIVE and facts.has_intervals:
            told.append(_carried_note(sums))
    return told


def _carried_note(sums: TargetSums) -> tuple[str, str]:
    """Why shares of a target have no interval."""
    share = sums.largest_share
    if not share > LARGE_BUYER:
        return (
            f"No intervals for {sums.target}: fewer than {MINIMUM_EFFECTIVE} effective buyers stand behind it.",
            f"{sums.target} 不给区间：有效买家不足 {MINIMUM_EFFECTIVE} 人。",
        )
    return (
        f"No intervals for {sums.target}: one buyer carries {share:.0%} of it, and fewer than {MINIMUM_EFFECTIVE} "
        "effective buyers stand behind it.",
        f"{sums.target} 不给区间：单个买家占 {share:.0%}，有效买家不足 {MINIMUM_EFFECTIVE} 人。",
    )


def _model_notes(facts: Facts) -> Told:
    told: Told = []
    if not facts.has_intervals:
        told.append(
            (
                "No intervals were asked for (bootstrap_replicates is 0): nothing is said to differ, no slot is named.",
                "未要求区间（bootstrap_replicates 为 0），因此不判断差异，也不点名坑位。",
            )
        )
    if "participation" in facts.models:
        told.append(
            (
                "participation gives every slot the whole conversion: its credits sum above the total and are no shares of it.",
                "participation 让每个坑位都得到整个转化，合计超过总量，不是占比。",
            )
        )
    if "shapley" in facts.models:
        told.append(
            (
                "shapley equals an equal split over the distinct slots of a journey: linear without repeats, no new information.",
                "shapley 等于在路径中不同坑位间平分：即去重后的 linear，没有新信息。",
            )
        )
    if "markov" in facts.models:
        told += [_refusal(sums) for sums in facts.sums.values() if sums.refusal and sums.total["conversions"].sum()]
        grouped = [sums.target for sums in facts.sums.values() if OTHER in sums.markov_ids]
        if grouped:
            told.append(
                (
                    f"markov holds at most {facts.markov_states} states; the less touched stand together as {OTHER}.",
                    f"markov 最多 {facts.markov_states} 个状态，接触较少的合并为 {OTHER}。",
                )
            )
    return told


def _refusal(sums: TargetSums) -> tuple[str, str]:
    why = {
        "no_null_journeys": (
            "no journey ends without one, so that every slot looks indispensable",
            "没有未转化路径，每个坑位都会显得不可或缺",
        ),
        "no_journeys": ("no conversion has a touch", "没有任何转化带有触点"),
    }.get(str(sums.refusal), ("its chain has no answer", "该链无解"))
    return (
        f"markov refuses {sums.target}: {why[0]}. Read another model.",
        f"markov 拒绝 {sums.target}：{why[1]}。请看其他模型。",
    )


def _data_notes(shop: Shop, tables: Tables, facts: Facts) -> Told:
    told: Told = []
    if not shop.user_ids_known:
        told.append(
            (
                "The source cannot tell people apart: counts of viewers and clickers, leaks, retention and the check for "
                "personalised placement are empty.",
                "数据源无法区分用户：曝光与点击人数、漏斗、留存与个性化投放检查为空。",
            )
        )
    if facts.nobody_share > 0:
        told.append(
            (
                f"{format_rate(facts.nobody_share)} of paid orders name no user: they stand under (direct).",
                f"{format_rate(facts.nobody_share)} 的支付订单没有用户编号，归入 (direct)。",
            )
        )
    if facts.rules.touch != CLICK:
        told.append(
            (
                "Exposures are the touches: orders per click would mislead, so no slot is named to change.",
                "以曝光为触点：订单/点击会误导，因此不点名坑位。",
            )
        )
    if facts.unnamed_count:
        count = format_count(facts.unnamed_count)
        told.append(
            (
                f"{count} touches name no slot and credit none; conversions with only such touches stand under (direct). "
                "Fill slot_id at the source.",
                f"{count} 次触点没有坑位编号，不参与归因；仅有此类触点的转化归入 (direct)。请在数据源补全 slot_id。",
            )
        )
    if (tables["slot_metrics"]["reason"] == "clicks_above_exposures").any():
        told.append(
            (
                "Slots with more clicks than exposures have no click-through rate: exposures are missing or sampled.",
                "点击多于曝光的坑位不给点击率：曝光缺失或被抽样。",
            )
        )
    if not shop.has("slots"):
        told.append(
            (
                "No slots table: ids stand for names, and pages and positions are unknown.",
                "没有 slots 表，以编号代替名称，页面与位置未知。",
            )
        )
    if not shop.has("orders"):
        told.append(
            (
                "No orders: purchases and money are off. Add orders to see what slots sell.",
                "没有 orders 表，无法计算成交与金额。",
            )
        )
    elif not shop.has_money:
        told.append(("orders carry no amounts: credit is in orders only.", "订单没有金额，仅按订单数归因。"))
    return told + _part_notes(tables, facts)


def _part_notes(tables: Tables, facts: Facts) -> Told:
    """Limits of leaks, retention and contents."""
    told: Told = []
    if facts.rules.credit_to != "slot_id" and tables["slot_leak"]["credit_share"].notna().any():
        told.append(
            (
                f"Credit goes to {facts.rules.credit_to}: slot_leak has credit shares of slots for purchases alone, under "
                f"{facts.model_of_slots}.",
                f"归因到 {facts.rules.credit_to}：slot_leak 中仅成交一步有坑位归因占比，按 {facts.model_of_slots}。",
            )
        )
    if facts.leak.missing_steps:
        steps = ", ".join(facts.leak.missing_steps)
        told.append(
            (f"The source never records {steps}; the funnel leaves it out.", f"数据源从不记录 {steps}，漏斗中略去。")
        )
    if facts.retention.slots_left_out:
        left = format_count(facts.retention.slots_left_out)
        told.append(
            (
                f"Retention covers the most used slots; {left} others are left out.",
                f"留存只含使用最多的坑位，略去 {left} 个。",
            )
        )
    content = facts.content.facts
    if content.get("contents_beyond_limit") or content.get("slots_beyond_limit"):
        told.append(
            (
                "The click model covers the most shown contents and slots; the others have no appeal.",
                "点击模型只含曝光最多的素材与坑位，其余没有吸引力数值。",
            )
        )
    if content.get("inseparable_count"):
        count = format_count(content["inseparable_count"])
        told.append(
            (
                f"For {count} contents place and content cannot be told apart: they stood in no slot that links them to others.",
                f"{count} 个素材无法区分位置与内容的作用：没有与其他素材相连的坑位。",
            )
        )
    if len(tables["model_error"]):
        told.append(
            (
                "This is a simulated shop: model_error holds each model against the sales that slots truly bring.",
                "这是模拟店铺：model_error 将各模型与坑位真实带来的成交对照。",
            )
        )
    lowest = tables["attributable_rate"]
    if len(lowest) and lowest["attributable_rate"].median() > 0 and (lowest["attributable_rate"] == 0).any():
        days = int((lowest["attributable_rate"] == 0).sum())
        told.append(
            (
                f"On {days} days no order has a touch, on others {format_rate(lowest['attributable_rate'].median())} have: "
                "clicks were probably not recorded.",
                f"有 {days} 天没有任何订单带触点，其余日子中位为 {format_rate(lowest['attributable_rate'].median())}：点击可能未被记录。",
            )
        )
    return told
