"""Assumptions and limits of the sales report."""

from collections.abc import Mapping
from datetime import timedelta

import pandas as pd

from workbench.language import Language, say
from workbench.period import Period
from workbench.sales.alerts import Alerts
from workbench.sales.baskets import LEAST_ORDERS, MOST_PRODUCTS
from workbench.sales.baskets import LOOK_BACK_DAYS as BASKET_DAYS
from workbench.sales.collect import Collected
from workbench.sales.figures import has_enough
from workbench.sales.spans import YEAR_DAYS, Spans
from workbench.sales.stock import COVER_DAYS, LOOK_BACK_DAYS
from workbench.sales.words import segment_word
from workbench.source.shop import Shop
from workbench.stats.alarms import SILENT_WEEKS


def sales_notes(
    shop: Shop,
    period: Period,
    spans: Spans,
    found: Collected | None,
    alerts: Alerts,
    tables: Mapping[str, pd.DataFrame],
    segment_by: str,
    lang: Language,
) -> tuple[str, ...]:
    """What was assumed, what is missing, and what would be gained by adding it."""
    if found is None:
        return ()
    pairs = [
        *_rules(spans, segment_by, lang),
        *_of_comparison(period, spans, lang),
        *_of_targets(tables),
        *_of_people(shop, found, segment_by, lang),
        *_of_money(shop, found, tables, lang),
        *_of_alerts(alerts, lang),
        *_of_goods(shop, tables, lang),
    ]
    return tuple(say(lang, en, zh) for en, zh in pairs)


def _rules(spans: Spans, segment_by: str, lang: Language) -> list[tuple[str, str]]:
    word = segment_word(segment_by, lang)
    assert spans.now is not None
    days = f"{spans.wanted_first} – {spans.wanted_end - timedelta(days=1)}"
    return [
        (
            f"Asked for are {spans.now.first} – {spans.now.last} against {days}. A day is compared with the same weekday a week "
            "before and a week with the one before it; with previous_year 52 weeks before; with days of your own in order, "
            "so that a promotion meets the last one.",
            f"本期 {spans.now.first} – {spans.now.last}，对比期 {days}。按日与前一周同一星期几对比，按周与前一周对比；"
            "previous_year 为 52 周前；自定日期按先后顺序逐日对应，便于对齐大促。",
        ),
        (
            "A visitor has an event or a paid order in the period and counts once however often they come; every buyer is a "
            f"visitor. The {word} of a visitor is the one in users (channel: of acquisition).",
            f"访客指期内有行为或已支付订单的用户，多次到访只计一次，买家均为访客。访客的{word}取自 users（渠道为获客渠道）。",
        ),
        (
            "The split of the change is arithmetic: which factor moved, not why. A mix effect is explained by the measured "
            "segments, not caused by them.",
            "变化拆解为恒等计算：说明哪个因素变动，而非为何变动；结构效应是由所测分组解释，并非由其引起。",
        ),
        (
            "A factor is named if it moved beyond chance with all factors judged together, a segment if it moved beyond its "
            "share with all segments judged together (Benjamini–Hochberg). What is not named may have moved too.",
            "只有在全部因素一并检验后仍超出随机波动的因素才会点名，只有在全部分组一并检验后仍超出其份额的分组才会点名"
            "（Benjamini–Hochberg）；未点名者也可能有变动。",
        ),
        (
            "Refunds count with the orders they belong to; late refunds of the newest orders are still to come, so that net "
            "sales of the last days look too good.",
            "退款计入其所属订单；最近订单的退款可能尚未发生，最后几天的净销售额会偏高。",
        ),
        (
            "Intervals take users as random and days as given: they say whether the users explain a change, not whether such "
            "a week is usual. That is what the alerts are for.",
            "区间只反映用户的随机性，不反映日期之间的波动：是否属于常见波动由预警判断。",
        ),
    ]


def _of_comparison(period: Period, spans: Spans, lang: Language) -> list[tuple[str, str]]:
    del lang
    notes = []
    assert spans.now is not None
    if spans.before is None:
        notes.append(
            (
                f"The data ({spans.data.first} – {spans.data.last}) do not hold all of {spans.wanted_first} – "
                f"{spans.wanted_end - timedelta(days=1)}: there is no comparison. Choose a later start_date, or other days in compare_to.",
                f"数据（{spans.data.first} – {spans.data.last}）未完整覆盖 {spans.wanted_first} 至 {spans.wanted_end - timedelta(days=1)}，"
                "因此没有对比；请选较晚的 start_date，或在 compare_to 中指定其他日期。",
            )
        )
    if spans.year is None:
        notes.append(
            (
                f"The data do not reach {YEAR_DAYS} days back: the values of last year are empty.",
                f"数据不足 {YEAR_DAYS} 天，去年同期为空。",
            )
        )
    if spans.now.end < period.end_date:
        notes.append(
            (
                f"The data end on {spans.now.last}: the period is taken up to there, and compared with as many days.",
                f"数据截至 {spans.now.last}：本期计至该日，并与相同天数对比。",
            )
        )
    return notes


def _of_targets(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    kpis = tables["sales_kpis"]
    planned = kpis.loc[kpis["target_amount"].notna(), "grain"]
    if planned.empty or planned.eq("period").any():
        return []
    return [
        (
            "sales_targets do not cover every day of the period: the period has no target, only the weeks and days that "
            "have one.",
            "sales_targets 未覆盖本期每一天：整期没有目标，仅有计划的周与日列出目标。",
        )
    ]


def _of_people(shop: Shop, found: Collected, segment_by: str, lang: Language) -> list[tuple[str, str]]:
    notes = []
    word = segment_word(segment_by, lang)
    if not found.known.people:
        notes.append(
            (
                "The source cannot tell users apart: visitors, buyers and conversion are empty, and the change is split into "
                "orders and gross per order without segments.",
                "数据源无法区分用户：访客、买家与转化率为空，变化仅拆为订单数与单均优惠前金额，不分组。",
            )
        )
    elif not found.known.visitors:
        notes.append(
            (
                "No events of visitors who do not buy in both spans: visitors and conversion are empty, and the change is "
                "split from buyers on. Add events to see conversion.",
                "两期没有未购买访客的行为数据：访客与转化率为空，变化从买家数开始拆解；补充 events 后可见转化率。",
            )
        )
    segments = found.sums["now"].segments
    if found.known.people and len(segments) < 2:
        notes.append(
            (
                f"There is one {word} only: the mix is 0 and segments say nothing.",
                f"只有一个{word}：结构效应为 0，分组没有信息。",
            )
        )
    if not shop.has("users", segment_by):
        notes.append(
            (
                f"users carry no {segment_by}: all visitors are (unknown). Add it to see which {word} drives a change.",
                f"users 没有 {segment_by}，全部访客记为 (unknown)；补充后可见由哪个{word}带动。",
            )
        )
    if not has_enough(*[found.sums[one] for one in ("now", "before") if one in found.sums]) and found.known.money:
        share = max(one.largest_share for name, one in found.sums.items() if name != "year")
        if share == share:
            notes.append(
                (
                    f"Too few buyers carry the amount for intervals: one buyer carries {100 * share:.0f}%.",
                    f"金额集中于过少买家，不给区间：单个买家占 {100 * share:.0f}%。",
                )
            )
    return notes


def _of_money(
    shop: Shop, found: Collected, tables: Mapping[str, pd.DataFrame], lang: Language
) -> list[tuple[str, str]]:
    del lang
    if not shop.has_money:
        return [
            (
                "orders carry no amounts: money, the split of the change and alerts are off. Add gross_amount to see them.",
                "orders 没有金额：金额、变化拆解与预警均关闭；补充 gross_amount 后可见。",
            )
        ]
    notes = []
    if found.left_out:
        notes.append(
            (
                f"{found.left_out:,} paid orders of the period have no amount and count nowhere.",
                f"期内 {found.left_out:,} 个已支付订单没有金额，全部不计。",
            )
        )
    if not shop.has("orders", "refund_amount"):
        notes.append(("orders carry no refund_amount: refunds count as 0.", "orders 没有 refund_amount，退款按 0 计。"))
    composition = tables["profit_composition"]
    if not shop.has("orders", "cost_amount"):
        notes.append(
            (
                "orders carry no cost_amount: margin and contribution are unknown.",
                "orders 没有 cost_amount，毛利与贡献未知。",
            )
        )
    elif len(composition) and (composition["costless_order_count"] > 0).any():
        notes.append(
            (
                "Some orders have no cost_amount: cost and contribution of their groups are empty.",
                "部分订单没有 cost_amount，所在分组的成本与贡献为空。",
            )
        )
    if found.spend is None:
        notes.append(("No channel_spend: contribution is before ad spend.", "没有 channel_spend：贡献未扣投放花费。"))
    else:
        notes.append(
            (
                "Ad spend belongs to channels: the contribution of regions and products is before it.",
                "投放花费只归渠道：地区与商品的贡献未扣投放花费。",
            )
        )
        channels = composition[composition["dimension"] == "channel"]
        idle = channels[(channels["spend_amount"] > 0) & (channels["order_count"] == 0)]["member"].tolist()
        if idle:
            notes.append(
                (
                    f"Ad spend without any order in the period: {', '.join(idle)}.",
                    f"期内有投放但没有订单：{'、'.join(idle)}。",
                )
            )
    notes.append(
        (
            "Discounts, refunds and costs of an order are spread over its lines in proportion to amount.",
            "订单的优惠、退款与成本按明细金额比例分摊。",
        )
    )
    return notes


def _of_alerts(alerts: Alerts, lang: Language) -> list[tuple[str, str]]:
    words = {"day": ("days", "按日"), "week": ("weeks", "按周")}
    notes = []
    for grain in alerts.silent:
        notes.append(
            (
                f"Alerts by {words[grain][0]} are silent: there are fewer than {SILENT_WEEKS} weeks of history before the "
                "period, or too few judged ones to set a threshold.",
                f"{words[grain][1]}的预警静默：本期之前不足 {SILENT_WEEKS} 周历史，或可比较的历史过少。",
            )
        )
    if alerts.series_count:
        amount = f"{alerts.minimum:,.0f}"
        notes.append(
            (
                f"Alerts watch {alerts.series_count} series together, days and weeks with half of the dial each; those of less "
                f"than {amount} are left out. After a short history bounds are wide.",
                f"预警同时监控 {alerts.series_count} 条序列，按日与按周各用一半误报额度；金额不足 {amount} 的不列出。历史较短时界限较宽。",
            )
        )
    del lang
    return notes


def _of_goods(shop: Shop, tables: Mapping[str, pd.DataFrame], lang: Language) -> list[tuple[str, str]]:
    del lang
    notes = [
        (
            "Best and falling members are seen, not tested: what stood high by chance falls next time.",
            "排行为观察结果，未作检验：偶然偏高者下期往往回落。",
        )
    ]
    if not shop.has("order_lines"):
        notes.append(
            (
                "No order_lines: products, categories, stock and baskets are off.",
                "没有 order_lines：商品、品类、库存与同购分析关闭。",
            )
        )
        return notes
    if tables["product_ranking"]["level"].eq("page_floor").any():
        notes.append(
            (
                "A page floor gets the orders whose buyer clicked there last, before payment on the same day; it need not "
                "have caused them.",
                "页面楼层的订单指买家当日支付前最后一次点击所在楼层的订单，未必由其带来。",
            )
        )
    if not shop.has("stock"):
        notes.append(("No stock: days of stock and replenishment are off.", "没有 stock 表：库存天数与补货提示关闭。"))
    elif len(tables["stock_days"]):
        notes.append(
            (
                f"Days of stock are those of {tables['stock_days']['stock_date'].iloc[0]}; demand is that of the {LOOK_BACK_DAYS} "
                f"days before the end of the period without days out of stock; the hint covers {COVER_DAYS} days. Goods on the "
                "way and delivery times are not known.",
                f"库存为 {tables['stock_days']['stock_date'].iloc[0]} 的数据；需求取期末前 {LOOK_BACK_DAYS} 天并剔除缺货日；"
                f"补货提示覆盖 {COVER_DAYS} 天。在途与到货时间未知。",
            )
        )
    notes.append(
        (
            f"Pairs are counted among the {MOST_PRODUCTS} products of most order lines in the period, over the period or the {BASKET_DAYS} days "
            f"before its end, whichever is longer; those in fewer than {LEAST_ORDERS} orders say nothing and are left out.",
            f"同购只在本期订单行最多的 {MOST_PRODUCTS} 个商品之间统计，时段取本期与期末前 {BASKET_DAYS} 天中较长者；"
            f"不足 {LEAST_ORDERS} 单的组合没有意义，不列出。",
        )
    )
    if tables["bought_together"].empty:
        notes.append(
            (
                f"No pair was bought together in {LEAST_ORDERS} orders: what goes together cannot be told.",
                f"没有任何两个商品同单出现 {LEAST_ORDERS} 次：无法判断哪些商品常一起购买。",
            )
        )
    return notes
