"""The first screen of the sales report: what changed, by which factor, and what to do."""

from datetime import timedelta

import pandas as pd

from workbench.analysis import Action, Cell, Headline
from workbench.language import Language, say
from workbench.sales.findings import (
    Row,
    Tables,
    alert_text,
    driver,
    driving_segment,
    largest_row,
    period_figures,
    rows_of,
    signed,
)
from workbench.sales.spans import Spans
from workbench.sales.words import change_text, factor_word, figure_text, segment_word

_SHOWN = ("net_amount", "visitor_count", "conversion_rate", "orders_per_buyer", "gross_per_order")
_ACTIONS = 3


def sales_headline(tables: Tables, spans: Spans, segment_by: str, lang: Language, days: str) -> Headline:
    """The first screen of the sales report."""
    return Headline(
        verdict=_verdict(tables, spans, segment_by, lang, days),
        table=_headline_table(tables, lang),
        source="sales_kpis",
        actions=_actions(tables, segment_by, lang),
    )


def _verdict(tables: Tables, spans: Spans, segment_by: str, lang: Language, days: str) -> str:
    if spans.now is None or tables["sales_kpis"].empty:
        return say(lang, f"No data from {days}.", f"{days} 没有数据。")
    found = period_figures(tables)
    net, orders = found["net_amount"], found["order_count"]
    if not orders["value"]:
        return say(lang, f"No paid order from {days}.", f"{days} 没有已支付订单。")
    main = net if net["value"] == net["value"] else orders
    what = factor_word(main["metric"], lang)
    value = figure_text(main["metric"], main["value"], lang)
    if main["comparison_value"] != main["comparison_value"]:
        last = spans.wanted_end - timedelta(days=1)
        return say(
            lang,
            f"{what.capitalize()} of {days}: {value}. There is nothing to compare them with: the data do not hold "
            f"{spans.wanted_first} to {last}.",
            f"{days} {what}为 {value}；数据不含 {spans.wanted_first} 至 {last}，无法对比。",
        )
    return _moved(tables, main, what, value, segment_by, lang)


def _moved(tables: Tables, main: Row, what: str, value: str, segment_by: str, lang: Language) -> str:
    change, relative = main["change"], change_text(main["relative_change"])
    is_clear = not main["change_ci_lower"] <= 0 <= main["change_ci_upper"]
    verb = say(lang, "rose", "上升") if change > 0 else say(lang, "fell", "下降")
    size = relative.lstrip("+−") if relative != "–" else figure_text(main["metric"], abs(change), lang)
    told = say(
        lang,
        f"{what.capitalize()} {verb} by {size} to {value}" if change else f"{what.capitalize()} stayed at {value}",
        f"{what}{verb} {size}，为 {value}" if change else f"{what}持平，为 {value}",
    )
    if change and main["change_ci_lower"] != main["change_ci_lower"]:
        told += say(lang, ", with too few buyers to be sure", "，买家过少，尚不能确定")
    elif change and not is_clear:
        told += say(lang, ", no more than chance moves them", "，未超出随机波动")
    factor = driver(tables)
    if factor is None:
        return told + say(lang, ".", "。")
    where = driving_segment(tables, factor)
    name = str(factor["factor"])
    place = ""
    if where is not None:
        along, every = where["along"], where["every"]
        word = segment_word(segment_by, lang)
        place = say(
            lang,
            f", in {along} of {every} {word}s, most in {where['segment']}",
            f"；{every} 个{word}中 {along} 个同向，以 {where['segment']} 为最",
        )
    span = [figure_text(name, factor[one], lang) for one in ("comparison_value", "value")]
    word = factor_word(name, lang)
    return told + say(
        lang,
        f": {word} did most ({span[0]} → {span[1]}, {signed(factor['contribution'], lang)}){place}.",
        f"：主因是{word}（{span[0]} → {span[1]}，{signed(factor['contribution'], lang)}）{place}。",
    )


def _headline_table(tables: Tables, lang: Language) -> pd.DataFrame:
    if tables["sales_kpis"].empty:
        return pd.DataFrame()
    found = period_figures(tables)
    factors = tables["sales_contribution"]
    parts = factors[factors["part"] == "factor"].set_index("factor")["contribution"]
    less = ["coupon_discount_amount", "refund_amount"]
    names = [one for one in (*_SHOWN, *less) if found[one]["value"] == found[one]["value"]]
    rows = []
    for name in names:
        row = found[name]
        cells = {
            say(lang, "Figure", "指标"): factor_word(name, lang),
            say(lang, "Now", "本期"): figure_text(name, row["value"], lang),
        }
        if found["order_count"]["comparison_value"] == found["order_count"]["comparison_value"]:
            amount = parts.get(name, float("nan")) if name != "net_amount" else row["change"]
            cells[say(lang, "Before", "对比期")] = figure_text(name, row["comparison_value"], lang)
            cells[say(lang, "Change", "变化")] = change_text(row["relative_change"])
            cells[say(lang, "In net sales", "对净销售额")] = "–" if amount != amount else signed(amount, lang)
        rows.append(cells)
    return pd.DataFrame(rows)


def _actions(tables: Tables, segment_by: str, lang: Language) -> tuple[Action, ...]:
    found = [
        *_driver_action(tables, segment_by, lang),
        *_alert_action(tables, lang),
        *_stock_action(tables, lang),
        *_losing_action(tables, lang),
        *_falling_action(tables, lang),
    ]
    return tuple(found[:_ACTIONS])


def _driver_action(tables: Tables, segment_by: str, lang: Language) -> list[Action]:
    factor = driver(tables)
    if factor is None:
        return []
    name, amount = str(factor["factor"]), float(factor["contribution"])
    where = driving_segment(tables, factor)
    word = factor_word(name, lang)
    first = "" if where is None else say(lang, f", {where['segment']} first", f"，先看 {where['segment']}")
    text = say(
        lang,
        f"Find out what moved {word}{first}." if amount < 0 else f"Keep what moved {word}{first}.",
        f"查明{word}变化的原因{first}。" if amount < 0 else f"保持带动{word}的做法{first}。",
    )
    sign = 1.0 if amount > 0 else -1.0
    ends = sorted(sign * float(factor[one]) for one in ("ci_lower", "ci_upper"))
    basis = say(
        lang,
        f"{'gained' if amount > 0 else 'lost'} in net sales by {word}, against the comparison",
        f"与对比期相比，{word}使净销售额{'增加' if amount > 0 else '减少'}",
    )
    cell = Cell("sales_contribution", {"part": "factor", "factor": name}, "contribution")
    return [Action("find_driver", text, cell, abs(amount), *_known(ends), basis, "descriptive")]


def _known(ends: list[float]) -> tuple[float | None, float | None]:
    return (ends[0], ends[1]) if ends[0] == ends[0] and ends[1] == ends[1] else (None, None)


def _alert_action(tables: Tables, lang: Language) -> list[Action]:
    alerts = tables["sales_alerts"]
    if alerts.empty:
        return []
    row = rows_of(alerts)[0]
    cell = Cell("sales_alerts", {"rank": int(row["rank"])}, "amount")
    basis = say(lang, "away from what its own history explains", "偏离其历史规律的金额")
    return [
        Action("check_alert", alert_text(row, lang), cell, abs(float(row["amount"])), None, None, basis, "descriptive")
    ]


def _stock_action(tables: Tables, lang: Language) -> list[Action]:
    stock = tables["stock_days"]
    urgent = stock[stock["hint"] == "order_now"] if len(stock) else stock
    if urgent.empty or not urgent["at_risk_amount"].iloc[0] > 0:
        return []
    row = rows_of(urgent)[0]
    more = len(urgent) - 1
    others = say(lang, f" and {more} more", f" 等 {more + 1} 项") if more else ""
    text = say(
        lang,
        f"Reorder {row['product_name']} in {row['region']}{others}: {row['days_of_stock']:.1f} days of stock left.",
        f"补货 {row['product_name']}（{row['region']}）{others}：库存仅够 {row['days_of_stock']:.1f} 天。",
    )
    cell = Cell("stock_days", {"product_id": row["product_id"], "region": row["region"]}, "at_risk_amount")
    basis = say(
        lang, "gross amount at risk in the next 14 days, of the first one", "未来 14 天有风险的优惠前金额（首项）"
    )
    return [Action("reorder", text, cell, float(row["at_risk_amount"]), None, None, basis, "descriptive")]


def _losing_action(tables: Tables, lang: Language) -> list[Action]:
    table = tables["profit_composition"]
    rows = table[(table["dimension"] == "channel") & (table["contribution_amount"] < 0)] if len(table) else table
    if rows.empty:
        return []
    row = largest_row(rows, "contribution_amount", -1.0)
    text = say(
        lang,
        f"Cut or mend {row['member']}: it costs more than it earns.",
        f"削减或改进 {row['member']}：成本高于所得。",
    )
    cell = Cell("profit_composition", {"dimension": "channel", "member": row["member"]}, "contribution_amount")
    basis = say(lang, "lost in the period, first orders and later ones together", "本期亏损（首单与复购合计）")
    return [
        Action("cut_losing_channel", text, cell, -float(row["contribution_amount"]), None, None, basis, "descriptive")
    ]


def _falling_action(tables: Tables, lang: Language) -> list[Action]:
    table = tables["product_ranking"]
    rows = table[(table["ranking"] == "falling") & (table["level"] == "category")] if len(table) else table
    if rows.empty:
        return []
    row = rows_of(rows)[0]
    text = say(lang, f"Look at {row['member_name']}: it lost most.", f"关注 {row['member_name']}：下降最多。")
    cell = Cell("product_ranking", {"level": "category", "ranking": "falling", "member": row["member"]}, "change")
    basis = say(lang, "less net sales than in the comparison", "较对比期减少的净销售额")
    return [Action("look_at_falling", text, cell, -float(row["change"]), None, None, basis, "descriptive")]
