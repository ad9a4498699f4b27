"""Assumptions and limits of the user report."""

from collections.abc import Mapping

import pandas as pd

from workbench.language import Language, format_amount, format_count, say
from workbench.source.shop import Shop
from workbench.user.headline import shorter_periods, value_hint
from workbench.user.periods import day_of
from workbench.user.quadrants import QuadrantRules, QuadrantsFound
from workbench.user.strategy import load_strategies
from workbench.user.words import counted


def user_notes(
    shop: Shop, rules: QuadrantRules, found: QuadrantsFound, tables: Mapping[str, pd.DataFrame], lang: Language
) -> tuple[str, ...]:
    """What was assumed, what is missing, and what would be gained by adding it."""
    pairs = [
        *_of_lines(rules, found, lang),
        *_of_lines_at_zero(tables, rules, found),
        *_of_periods(rules, found),
        *_of_alarms(rules, found),
        *_of_lifecycle(tables),
        *_of_source(shop),
    ]
    return tuple(say(lang, en, zh) for en, zh in pairs)


def _of_lines(rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> list[tuple[str, str]]:
    words = load_strategies()
    lines, lines_zh = [], []
    for line in (found.x, found.y):
        is_money = line.metric in ("paid_amount", "average_order_value")
        value = format_amount(line.threshold, lang) if is_money else f"{line.threshold:,.4g}"
        lines.append(f"{words.metric(line.metric, 'en')} above {value}")
        lines_zh.append(f"{words.metric(line.metric, 'zh')}高于 {value}")
    first, last = found.periods.window(found.reference)
    days, days_zh = f"{day_of(first)} to {day_of(last - 1)}", f"{day_of(first)} 至 {day_of(last - 1)}"
    told = [
        (
            f"High is {lines[0]}, and {lines[1]}. The lines come from the users active from {days} and stay where they are, so "
            f"that people move and not the line; who was there before changes sides only beyond the line by {rules.hysteresis:.0%}.",
            f"“高”指{lines_zh[0]}、{lines_zh[1]}。分界线由 {days_zh} 的活跃用户得出并固定不变，因此移动的是人而非线；"
            f"已在内的用户须越过分界线 {rules.hysteresis:.0%} 才换组。",
        )
    ]
    if found.one_sided:
        names = " and ".join(found.one_sided)
        told.append(
            (
                f"On {names} all users of the reference period are on one side of the line: two groups are empty. Give another "
                "threshold.",
                f"参考期内所有用户均在 {names} 轴分界线同侧，两个群体为空；请更换阈值。",
            )
        )
    if found.unknown_count:
        told.append(
            (
                f"{counted(found.unknown_count, 'user')} of the reference period without the column: in no group.",
                f"参考期 {format_count(found.unknown_count)} 名用户缺少该字段，未归入任何群体。",
            )
        )
    return told


def _of_lines_at_zero(
    tables: Mapping[str, pd.DataFrame], rules: QuadrantRules, found: QuadrantsFound
) -> list[tuple[str, str]]:
    """What high means where a line lies at 0, and how to split by value."""
    words = load_strategies()
    told = []
    for line in (found.x, found.y):
        if words.only_tells_who(line.metric, line.threshold):
            told.append(
                (
                    f"The line of {words.metric(line.metric, 'en')} is 0: high is whoever has any, much or little; an order that "
                    "was free is no purchase here.",
                    f"{words.metric(line.metric, 'zh')}的分界线为 0：“高”即大于 0，不分多少；金额为 0 的订单在此不算购买。",
                )
                if line.metric in ("paid_amount", "average_order_value")
                else (
                    f"The line of {words.metric(line.metric, 'en')} is 0: high is whoever has any, much or little.",
                    f"{words.metric(line.metric, 'zh')}的分界线为 0：“高”即大于 0，不分多少。",
                )
            )
    hints = [value_hint(tables, rules, found, lang) for lang in ("en", "zh")]
    return [*told, (hints[0], hints[1])] if hints[0] else told


def _of_periods(rules: QuadrantRules, found: QuadrantsFound) -> list[tuple[str, str]]:
    who = "an event or an order" if rules.include_users_without_orders else "a paid order"
    who_zh = "行为或订单" if rules.include_users_without_orders else "支付订单"
    return [
        (
            f"A user is in a period with {who} in the {rules.window_days} days up to its end. Periods last {rules.period_days} days; "
            "windows overlap, so that a change shows over several periods. New: first seen in the period; returned: seen before, "
            "not in the period before; gone: no longer in; stopped: no event and no order in the period's own days.",
            f"截至周期末 {rules.window_days} 天内有{who_zh}的用户计入该周期；周期为 {rules.period_days} 天，窗口相互重叠，"
            "变化会在多个周期内显现。新增：本周期首次出现；回流：曾出现但上一周期不在；流失：不再计入；停访：本周期自身天数内无任何行为与订单。",
        )
    ]


def _of_alarms(rules: QuadrantRules, found: QuadrantsFound) -> list[tuple[str, str]]:
    dial = f"{rules.false_alarms_per_month:g} false alarm{'' if rules.false_alarms_per_month == 1 else 's'}"
    short = [(shorter_periods(rules, found, "en"), shorter_periods(rules, found, "zh"))]
    return [
        *(short if short[0][0] else []),
        (
            "An alarm compares a group's outflow with its own earlier periods, with what shares usually move between periods "
            f"(beta-binomial); at most {dial} a month over all outflows together. Money at "
            "risk is what users beyond the usual number paid less in the window: an order of size, not a forecast.",
            "预警将群体流出与其自身历史比较，并计入周期间的正常波动（贝塔—二项分布）；全部流出合计每月误报不超过 "
            f"{rules.false_alarms_per_month:g} 次。涉及金额为超出常态的用户在窗口内少付的金额，仅为量级而非预测。",
        ),
        (
            "A group's profile says who its users are, not why they are in it; moving somebody to another group does not make "
            "them like its users.",
            "画像只说明群体由谁组成，不说明原因；把用户推入某群体并不会使其与该群体相同。",
        ),
    ]


def _of_lifecycle(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    gaps = tables.get("lifecycle_gaps", pd.DataFrame())
    if not len(gaps):
        return []
    visit = {str(row["state"]): row for row in gaps[gaps["basis"] == "visit"].to_dict("records")}
    told = {
        "set": ("as set", "按设定"),
        "data": ("as the data suggest", "由数据得出"),
        "default": ("by default, since the data do not say", "默认值，数据不足以判断"),
    }
    dormant, gone = (
        (f"{float(visit[state]['used_days']):.0f}", told[str(visit[state]["source"])]) for state in ("dormant", "gone")
    )
    return [
        (
            f"Dormant after {dormant[0]} days without a visit ({dormant[1][0]}), gone after {gone[0]} ({gone[1][0]}). What was "
            "before the data is not known.",
            f"连续 {dormant[0]} 天未访问为沉睡（{dormant[1][1]}），{gone[0]} 天为流失（{gone[1][1]}）。数据之前的情况未知。",
        )
    ]


def _of_source(shop: Shop) -> list[tuple[str, str]]:
    told = []
    if not shop.has("events"):
        told.append(
            (
                "There are no events: days with an order are all that is seen as a visit. Add events to see who comes without buying.",
                "没有行为事件：仅下单日计为访问。补充 events 可识别未购买的访客。",
            )
        )
    if not shop.has("users"):
        told.append(
            (
                "There is no table of users: profiles by channel and age are missing, and who is new is told from the data.",
                "没有用户表：缺少渠道、年龄等画像，新增用户由数据推断。",
            )
        )
    if not shop.has_money:
        told.append(
            (
                "Orders carry no amounts: money at risk and worth are missing.",
                "订单没有金额：缺少涉及金额与价值。",
            )
        )
    return told
