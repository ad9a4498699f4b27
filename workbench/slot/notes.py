"""Assumptions and limits of the slot report."""

from collections.abc import Sequence

import pandas as pd

from workbench.language import Language, say
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_count


def slot_notes(
    shop: Shop,
    lang: Language,
    targets: Sequence[str],
    credit: pd.DataFrame,
    carried: dict[str, pd.Series],
    metrics: pd.DataFrame,
    reset_after_order: bool,
    lookback_hours: float,
) -> tuple[str, ...]:
    """What was assumed, what is missing, and what would be gained by adding it."""
    notes = [
        say(
            lang,
            "Attribution is not incrementality: credit says which touches came before a sale, not which caused it.",
            "归因不等于增量：功劳只说明成交前接触过哪些坑位，不说明由谁带来。",
        ),
        say(
            lang,
            f"A click counts if it lies within {lookback_hours:g} hours before the conversion"
            + (" and after the user's previous paid order." if reset_after_order else "."),
            f"点击须在转化前 {lookback_hours:g} 小时内"
            + ("，且晚于该用户上一笔已支付订单。" if reset_after_order else "。"),
        ),
    ]
    for target in targets:
        if target not in carried:
            notes.append(
                say(
                    lang,
                    f"{target} is credited from orders, which are not there.",
                    f"{target} 依据 orders 表归因，该表缺失。",
                )
            )
        elif credit.empty or target not in set(credit["target"]):
            notes.append(
                say(lang, f"No {target} in the period: nothing to credit for it.", f"期内没有 {target}，无可归因。")
            )
        elif effective_count(carried[target]["total"], carried[target]["total_of_squares"]) < MINIMUM_EFFECTIVE:
            notes.append(_carried_note(target, carried[target], lang))
    if not shop.user_ids_known:
        notes.append(
            say(
                lang,
                "The source cannot tell people apart: counts of viewers and clickers are empty.",
                "数据源无法区分用户，曝光人数与点击人数为空。",
            )
        )
    if (metrics["reason"] == "clicks_above_exposures").any():
        notes.append(
            say(
                lang,
                "Slots with more clicks than exposures have no click-through rate: exposures are missing or sampled.",
                "点击多于曝光的坑位不给点击率：曝光缺失或被抽样。",
            )
        )
    if not shop.has("slots"):
        notes.append(
            say(
                lang,
                "No slots table: ids stand for names, and pages and positions are unknown.",
                "没有 slots 表，以编号代替名称，页面与位置未知。",
            )
        )
    if not shop.has("orders"):
        notes.append(
            say(
                lang,
                "No orders: purchases and money are off. Add orders to see what slots sell.",
                "没有 orders 表，无法计算成交与金额。",
            )
        )
    elif not shop.has_money:
        notes.append(say(lang, "orders carry no amounts: credit is in orders only.", "订单没有金额，仅按订单数归因。"))
    return tuple(notes)


def _carried_note(target: str, carried: pd.Series, lang: Language) -> str:
    """Why shares of a target have no interval."""
    share = carried["largest"] / carried["total"] if carried["total"] else float("nan")
    return say(
        lang,
        f"No intervals for {target}: one buyer carries {share:.0%} of it, and fewer than {MINIMUM_EFFECTIVE} effective "
        "buyers stand behind it.",
        f"{target} 不给区间：单个买家占 {share:.0%}，有效买家不足 {MINIMUM_EFFECTIVE} 人。",
    )
