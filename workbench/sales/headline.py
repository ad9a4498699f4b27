"""The first screen of the sales report: what changed, by which factor, and what to do."""

from datetime import timedelta

import pandas as pd

from workbench.analysis import Action, Cell, Headline
from workbench.language import Language, say
from workbench.sales.findings import (
    Row,
    Tables,
    alert_text,
    between,
    driver,
    driving_segment,
    factor_segments,
    factors_moved,
    has_amounts,
    is_net_clear,
    largest_row,
    net_watched,
    period_figures,
    rows_of,
    signed,
    target_text,
)
from workbench.sales.spans import Spans
from workbench.sales.words import FACTORS, LESS, change_text, factor_word, figure_text, segment_word
from workbench.stats.alarms import SILENT_WEEKS

_COUNTS = ("visitor_count", "conversion_rate", "buyer_count", "orders_per_buyer", "order_count")
_CHAINS = (
    ("visitor_count", "conversion_rate", "orders_per_buyer"),
    ("buyer_count", "orders_per_buyer"),
    ("order_count",),
)
_ACTIONS = 3
_WEEKS_FOR_WEEKS = 12
"""Weeks of history that alerts of weeks need; those of days need ``SILENT_WEEKS``."""
_RECENT_DAYS = 28


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
    main = net if has_amounts(tables) else orders
    what = factor_word(main["metric"], lang)
    value = figure_text(main["metric"], main["value"], lang)
    if main["comparison_value"] != main["comparison_value"]:
        told = say(lang, f"{what.capitalize()} of {days}: {value}.", f"{days} {what}为 {value}。")
        sentences = [told, _nothing_before(spans, lang)]
    else:
        sentences = [_moved(tables, main, what, value, segment_by, lang)]
    if main is orders and net["value"] == net["value"]:
        sentences.append(say(lang, "All amounts are 0, so money says nothing.", "全部金额为 0，金额指标没有意义。"))
    sentences += [target_text(tables, lang), _alerts_told(tables, lang)]
    return say(lang, " ", "").join(one for one in sentences if one)


def _nothing_before(spans: Spans, lang: Language) -> str:
    """Why there is no comparison, and which dates would give one."""
    assert spans.now is not None
    last = spans.wanted_end - timedelta(days=1)
    why = say(
        lang,
        f"There is nothing to compare them with: the data do not hold {spans.wanted_first} to {last}.",
        f"数据不含 {spans.wanted_first} 至 {last}，无法对比。",
    )
    length = min(_RECENT_DAYS, (spans.now.end - spans.data.first).days // 2)
    if spans.compare_to == "chosen" or length < 1:
        return why
    first = spans.now.end - timedelta(days=length)
    asked = [f"start_date={first}"]
    asked += [] if spans.now.end == spans.data.end else [f"end_date={spans.now.end}"]
    asked += [] if spans.compare_to == "previous_period" else ["compare_to=previous_period"]
    told = ", ".join(asked)
    return why + say(
        lang,
        f" For the last {length} days against the {length} before, set {told}.",
        f"要看最近 {length} 天与此前 {length} 天的对比，请设定 {told}。",
    )


def _alerts_told(tables: Tables, lang: Language) -> str:
    """How many alerts there are; without any, how far sales would have had to fall for one, or why none could be."""
    watched, alerts = net_watched(tables), tables["sales_alerts"]
    if not watched:
        return ""
    if len(alerts):
        return say(lang, f"Alerts: {len(alerts)}.", f"预警 {len(alerts)} 条。")
    falls = {one["grain"]: one["least_fall"] for one in watched if one["least_fall"] == one["least_fall"]}
    told = [
        say(lang, f"{change_text(falls[grain])} in a {en}", f"单{zh} {change_text(falls[grain])}")
        for grain, en, zh in (("week", "week", "周"), ("day", "day", "日"))
        if grain in falls
    ]
    if told:
        return say(
            lang,
            f"No alert; one would have taken {' or '.join(told)}.",
            f"没有预警；净销售额需{'或'.join(told)}才会报警。",
        )
    if any(one["expected_upper"] == one["expected_upper"] for one in watched):
        return say(
            lang, "No alert; after so short a history no fall gives one.", "没有预警；历史过短，下降不会触发预警。"
        )
    weeks = max(one["history_count"] / (1 if one["grain"] == "week" else 7) for one in watched)
    return say(
        lang,
        f"Alerts are silent: {weeks:.0f} weeks of history; days need {SILENT_WEEKS} before them, weeks {_WEEKS_FOR_WEEKS}.",
        f"预警静默：仅 {weeks:.0f} 周历史；按日需此前 {SILENT_WEEKS} 周，按周需 {_WEEKS_FOR_WEEKS} 周。",
    )


def _moved(tables: Tables, main: Row, what: str, value: str, segment_by: str, lang: Language) -> str:
    change, relative, name = main["change"], change_text(main["relative_change"]), str(main["metric"])
    verb = say(lang, "rose", "上升") if change > 0 else say(lang, "fell", "下降")
    ends = between(main["change_ci_lower"], main["change_ci_upper"], name, lang)
    moved = f"{'+' if change > 0 else '−'}{figure_text(name, abs(change), lang)}"
    size = f"{relative.lstrip('+−')} " if relative != "–" else ""
    inside = (
        say(lang, f"({moved}; {ends})", f"（{moved}；{ends}）") if ends else say(lang, f"({moved})", f"（{moved}）")
    )
    told = say(
        lang,
        f"{what.capitalize()} {verb} by {size}{inside if size else moved} to {value}"
        if change
        else f"{what.capitalize()} stayed at {value}",
        f"{what}{verb} {size.strip()}{inside if size else moved}，为 {value}" if change else f"{what}持平，为 {value}",
    )
    is_known = period_figures(tables)["buyer_count"]["value"] == period_figures(tables)["buyer_count"]["value"]
    if change and not is_known:
        return told + say(lang, "; without user ids chance cannot be told.", "；没有用户标识，无法判断随机波动。")
    if change and not ends:
        return told + say(lang, ", with too few buyers to be sure.", "，买家过少，尚不能确定。")
    is_clear = not main["change_ci_lower"] <= 0 <= main["change_ci_upper"]
    if change and not is_clear:
        told += say(lang, ", no more than chance moves them", "，未超出随机波动")
    if factors_moved(tables).empty or not has_amounts(tables):
        return told + say(lang, ".", "。")
    factor = driver(tables)
    if factor is None:
        return told + say(lang, "; no factor moved clearly beyond chance.", "；没有因素明显超出随机波动。")
    return told + _did_most(tables, factor, segment_by, lang)


def _did_most(tables: Tables, factor: Row, segment_by: str, lang: Language) -> str:
    rows, where = factor_segments(tables, factor), driving_segment(tables, factor)
    name, by, place = str(factor["factor"]), segment_word(segment_by, lang), ""
    word, amount = factor_word(name, lang), signed(factor["contribution"], lang)
    if len(rows):
        along, every = int(rows["_along"].sum()), len(rows)
        most = say(lang, "none clearly beyond its share", "没有一个明显超出其份额")
        if where is not None:
            most = say(lang, f"beyond its share in {where['segment']}", f"{where['segment']} 超出其份额")
        place = say(lang, f", in {along} of {every} {by}s, {most}", f"；{every} 个{by}中 {along} 个同向，{most}")
    span = [figure_text(name, factor[one], lang) for one in ("comparison_value", "value")]
    inside = f"{span[0]} → {span[1]}{say(lang, ', ', '，')}{amount}"
    if is_net_clear(tables):
        return say(lang, f": {word} did most ({inside}){place}.", f"：主因是{word}（{inside}）{place}。")
    return say(lang, f"; yet {word} moved ({inside}){place}.", f"；但{word}有变动（{inside}）{place}。")


def _headline_table(tables: Tables, lang: Language) -> pd.DataFrame:
    if tables["sales_kpis"].empty:
        return pd.DataFrame()
    found = period_figures(tables)
    net = found["net_amount"]
    has_before = found["order_count"]["comparison_value"] == found["order_count"]["comparison_value"]
    has_money = has_amounts(tables)
    rows = []
    for word, name, values in _lines(tables):
        now, before, amount = values
        cells = {say(lang, "Figure", "指标"): say(lang, *word), say(lang, "Now", "本期"): figure_text(name, now, lang)}
        if has_before:
            relative = (now - before) / before if before > 0 else float("nan")
            cells[say(lang, "Before", "对比期")] = figure_text(name, before, lang)
            cells[say(lang, "Change", "变化")] = change_text(relative)
            if has_money:
                cells[say(lang, "In net sales", "对净销售额")] = "–" if amount != amount else signed(amount, lang)
        rows.append(cells)
    if has_money and net["target_amount"] == net["target_amount"]:
        planned = [
            say(lang, "planned net sales", "计划净销售额"),
            figure_text("net_amount", net["target_amount"], lang),
        ]
        rows.insert(1, dict(zip(rows[0], [*planned, *["–"] * (len(rows[0]) - 2)], strict=True)))
    return pd.DataFrame(rows)


def _lines(tables: Tables) -> list[tuple[tuple[str, str], str, tuple[float, float, float]]]:
    """Words, metric and (now, before, part of the change) of at most seven lines; the parts sum to the first one's.

    Discounts and refunds stand together as far as they must.
    """
    found = period_figures(tables)
    moved = factors_moved(tables)
    parts = dict(zip(moved["factor"], moved["contribution"], strict=True))

    def line(*names: str) -> tuple[float, float, float]:
        rows = [(found[one]["value"], found[one]["comparison_value"], parts.get(one, float("nan"))) for one in names]
        return tuple(float(sum(one)) for one in zip(*rows, strict=True))  # type: ignore[return-value]

    if not has_amounts(tables):
        known = [one for one in _COUNTS if found[one]["value"] == found[one]["value"]]
        return [(FACTORS[one], one, line(one)) for one in known]
    net = found["net_amount"]
    split = tables["sales_contribution"]
    chain = [str(one) for one in split.loc[split["part"] == "factor", "factor"] if one not in LESS]
    if not chain:
        known = [one for one in _COUNTS if found[one]["value"] == found[one]["value"]]
        chain = [*next(one for one in _CHAINS if set(one) <= set(known)), "gross_per_order"]
    lines = [(FACTORS["net_amount"], "net_amount", (net["value"], net["comparison_value"], net["change"]))]
    lines += [(FACTORS[one], one, line(one)) for one in chain]
    less = [one for one in LESS if any(abs(value) > 0 for value in line(one) if value == value)]
    room = 7 - len(lines) - int(net["target_amount"] == net["target_amount"])
    if len(less) <= room:
        return lines + [(FACTORS[one], one, line(one)) for one in less]
    discounts = [one for one in less if one != "refund_amount"]
    if room >= 2:
        lines.append((("coupons and discounts", "优惠券与其他优惠"), LESS[0], line(*discounts)))
        return [*lines, (FACTORS["refund_amount"], LESS[-1], line("refund_amount"))]
    return [*lines, (("discounts and refunds", "优惠与退款"), LESS[0], line(*less))]


def _actions(tables: Tables, segment_by: str, lang: Language) -> tuple[Action, ...]:
    found = [
        *_driver_action(tables, segment_by, lang),
        *_alert_action(tables, lang),
        *_stock_action(tables, lang),
        *_losing_action(tables, lang),
    ]
    return tuple(found[:_ACTIONS])


def _driver_action(tables: Tables, segment_by: str, lang: Language) -> list[Action]:
    factor = driver(tables)
    if factor is None:
        return []
    name, amount = str(factor["factor"]), float(factor["contribution"])
    where = driving_segment(tables, factor)
    word = factor_word(name, lang)
    first = "" if where is None else say(lang, f", first in {where['segment']}", f"，先看 {where['segment']}")
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
