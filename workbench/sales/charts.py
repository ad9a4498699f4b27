"""Pictures of the sales tables; each draws from tables of the analysis and nothing else."""

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.contract import UNKNOWN
from workbench.language import Language, format_amount, say, wrap
from workbench.sales.composition import OTHER, SIGNS
from workbench.sales.findings import driver, factors_moved, rows_of
from workbench.sales.words import change_text, factor_word

_BLUE, _ORANGE, _GREY = "#1f6fa5", "#d97a06", "#6b6f76"
_MOST_BARS = 8


def waterfall_picture(analysis: Analysis) -> alt.LayerChart | None:
    """How factors, discounts and refunds lead from the net sales before to those now; for the first screen."""
    lang = analysis.lang
    steps = _steps(analysis)
    if steps is None:
        return None
    order = steps["word"].tolist()
    ends = steps[["start", "end"]].to_numpy()
    low, high = float(ends[1:-1].min()), float(ends.max())
    floor = max(0.0, low - 0.5 * (high - low))
    steps["start"] = steps["start"].clip(lower=floor)
    room = 0.32 * (high - floor)
    cut = say(lang, " (axis cut)", "（横轴截断）") if floor > 0 else ""
    base = alt.Chart(steps).encode(y=alt.Y("word:N", sort=order, title=None, axis=alt.Axis(labelLimit=120)))
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X(
            "start:Q",
            title=None,
            axis=_money_axis(lang, ticks=4),
            scale=alt.Scale(domain=[floor, high + room], nice=False),
        ),
        x2="end:Q",
        color=alt.Color(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=["total", "up", "down"], range=[_GREY, _BLUE, _ORANGE]),
        ),
        tooltip=[
            alt.Tooltip("word:N", title=say(lang, "factor", "因素")),
            alt.Tooltip("amount:Q", title=say(lang, "net sales", "净销售额"), format=",.0f"),
        ],
    )
    texts = base.mark_text(align="left", dx=4).encode(x=alt.X("right:Q"), text="text:N")
    return (bars + texts).properties(
        width="container",
        height=18 * len(steps),
        title=alt.Title(_waterfall_title(analysis) + cut, anchor="start"),
    )


def _money_axis(lang: Language, ticks: int = 5) -> alt.Axis:
    """Amounts on an axis as people of the language write them."""
    if lang == "zh":
        expression = "abs(datum.value) >= 10000 ? format(datum.value / 10000, '~g') + '万' : format(datum.value, ',')"
        return alt.Axis(labelExpr=expression, tickCount=ticks)
    return alt.Axis(format="~s", tickCount=ticks)


def _steps(analysis: Analysis) -> pd.DataFrame | None:
    lang = analysis.lang
    factors = analysis.tables["sales_contribution"]
    factors = factors[factors["part"] == "factor"]
    if factors.empty:
        return None
    kpis = analysis.tables["sales_kpis"]
    net = kpis[(kpis["grain"] == "period") & (kpis["metric"] == "net_amount")].iloc[0]
    at = float(net["comparison_value"])
    rows = [(say(lang, "before", "对比期"), 0.0, at, at, "total")]
    for row in factors.to_dict("records"):
        amount = float(row["contribution"])
        rows.append((factor_word(row["factor"], lang), at, at + amount, amount, "up" if amount >= 0 else "down"))
        at += amount
    rows.append((say(lang, "now", "本期"), 0.0, float(net["value"]), float(net["value"]), "total"))
    steps = pd.DataFrame(rows, columns=["word", "start", "end", "amount", "kind"])
    steps["right"] = steps[["start", "end"]].max(axis=1)
    steps["text"] = [
        ("" if kind == "total" or amount < 0 else "+") + format_amount(amount, lang)
        for amount, kind in zip(steps["amount"], steps["kind"], strict=True)
    ]
    return steps


def _waterfall_title(analysis: Analysis) -> str:
    factor = driver(analysis.tables)
    lang = analysis.lang
    if factor is None:
        return say(lang, "No factor moved clearly beyond chance", "没有因素明显超出随机波动")
    word, amount = factor_word(str(factor["factor"]), lang), float(factor["contribution"])
    size = format_amount(abs(amount), lang)
    return say(
        lang,
        f"{word.capitalize()} {'added' if amount > 0 else 'took'} {size}",
        f"{word}使净销售额{'增加' if amount > 0 else '减少'} {size}",
    )


def segment_picture(analysis: Analysis) -> alt.Chart | None:
    """What the driving factor (without one, the largest) did in each segment; None where it has no segments."""
    lang = analysis.lang
    factor = driver(analysis.tables)
    rows = analysis.tables["sales_contribution"]
    by_segment = rows[rows["part"].isin(["traffic", "within"])]
    if factor is None:
        every = factors_moved(analysis.tables)
        every = every[every["factor"].isin(by_segment["factor"])]
        if every.empty:
            return None
        factor = rows_of(every.head(1))[0]
    rows = by_segment[by_segment["factor"] == factor["factor"]]
    if len(rows) < 2:
        return None
    rows = rows.reindex(rows["contribution"].abs().sort_values(ascending=False).index).head(12)
    word = factor_word(str(factor["factor"]), lang)
    names = ("driving_segment", "no_driving_segment", "no_driving_factor")
    found = next((one for one in analysis.findings if one.name in names), None)
    title = found.text if found else say(lang, f"What {word} did by segment", f"{word}的分组贡献")
    base = alt.Chart(rows).encode(
        y=alt.Y("segment:N", sort=rows["segment"].tolist(), title=None, axis=alt.Axis(labelLimit=120))
    )
    bars = base.mark_bar(height={"band": 0.6}).encode(
        x=alt.X("contribution:Q", title=say(lang, "net sales", "净销售额"), axis=_money_axis(lang)),
        color=alt.condition("datum.contribution < 0", alt.value(_ORANGE), alt.value(_BLUE)),
        tooltip=[
            alt.Tooltip("segment:N", title=say(lang, "segment", "分组")),
            alt.Tooltip("contribution:Q", title=say(lang, "contribution", "贡献"), format=",.0f"),
            alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=",.0f"),
            alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=",.0f"),
        ],
    )
    rules = base.mark_rule(strokeWidth=2).encode(x="ci_lower:Q", x2="ci_upper:Q")
    ticks = base.mark_tick(color=_GREY, thickness=3, height={"band": 0.9}).encode(x="proportional_contribution:Q")
    return (bars + rules + ticks).properties(
        width="container",
        height=26 * len(rows),
        title=alt.Title(
            wrap(title),
            anchor="start",
            subtitle=wrap(
                say(
                    lang,
                    f"{word.capitalize()}, by segment. Bars: part of the change; ticks: its share, had all moved alike; lines: "
                    "intervals. ",
                    f"{word}按分组。柱为对变化的贡献，刻度为按份额应有的贡献，线为区间。",
                )
                + analysis.period.words
            ),
        ),
    )


def history_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Net sales by day with what its history lets one expect, and the days beyond it; None without amounts."""
    lang = analysis.lang
    table = analysis.tables["sales_history"]
    if table.empty:
        return None
    table = table.assign(is_alarm=table["is_alarm"].astype(bool), is_in_period=table["is_in_period"].astype(bool))
    top = 1.25 * float(table[["net_amount", "expected_value"]].max().max())
    highest = float(table["expected_upper"].max())
    table["expected_upper"] = table["expected_upper"].clip(upper=top)
    title = _history_title(analysis)
    x = alt.X("date:T", title=None, axis=alt.Axis(format="%m-%d", tickCount=6))
    base = alt.Chart(table).encode(x=x)
    scale = alt.Scale(domain=[min(0.0, float(table["net_amount"].min())), top], nice=False)
    y = alt.Y("net_amount:Q", title=say(lang, "net sales", "净销售额"), axis=_money_axis(lang), scale=scale)
    band = base.mark_area(opacity=0.18, color=_BLUE).encode(
        y=alt.Y("expected_lower:Q", title=say(lang, "net sales", "净销售额"), axis=_money_axis(lang), scale=scale),
        y2="expected_upper:Q",
    )
    usual = base.mark_line(strokeDash=[4, 3], strokeWidth=1.2, color=_GREY).encode(y=alt.Y("expected_value:Q"))
    line = base.mark_line(color=_BLUE).encode(
        y=y,
        tooltip=[
            alt.Tooltip("date:T", title=say(lang, "day", "日期"), format="%Y-%m-%d"),
            alt.Tooltip("net_amount:Q", title=say(lang, "net sales", "净销售额"), format=",.0f"),
            alt.Tooltip("expected_value:Q", title=say(lang, "expected", "预期"), format=",.0f"),
            alt.Tooltip("expected_lower:Q", title=say(lang, "lower", "下限"), format=",.0f"),
            alt.Tooltip("expected_upper:Q", title=say(lang, "upper", "上限"), format=",.0f"),
        ],
    )
    layers = [band] if table["expected_lower"].notna().any() else []
    layers += [usual] if table["expected_value"].notna().any() else []
    layers.append(line)
    for column, size, colour in (("is_in_period", 45, _BLUE), ("is_alarm", 110, _ORANGE)):
        if table[column].any():
            dots = base.transform_filter(f"datum.{column}").mark_point(filled=True, size=size, opacity=1, color=colour)
            layers.append(dots.encode(y=y))
    subtitle = say(
        lang,
        "dots: days of the period; dashed: expected; band: usual; orange: alerts.",
        "圆点为本期；虚线为预期；色带为常态范围；橙色为预警。",
    )
    if highest > top:
        amount = format_amount(highest, lang)
        subtitle += say(
            lang,
            f" The band is cut: its upper end, up to {amount}, lies beyond the picture.",
            f"色带上端（最高 {amount}）超出图外，已截断。",
        )
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=240,
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(subtitle)),
    )


def _history_title(analysis: Analysis) -> str:
    """How many days are beyond what the history explains, and how many alerts the table holds beside them."""
    lang = analysis.lang
    alerts, days = analysis.tables["sales_alerts"], analysis.tables["sales_history"]
    if not analysis.tables["sales_watched"]["expected_upper"].notna().any():
        return say(lang, "Net sales by day: too short a history for alerts", "每日净销售额：历史过短，没有预警")
    drawn = int((days["is_alarm"].astype(bool) & days["is_in_period"].astype(bool)).sum())
    is_drawn = (alerts["grain"] == "day") & (alerts["metric"] == "net_amount") & alerts["segment"].isna()
    weeks, others = (int(((alerts["grain"] == one) & ~is_drawn).sum()) for one in ("week", "day"))
    if not (drawn or weeks or others):
        return say(lang, "Net sales by day: no alert", "每日净销售额：没有预警")
    told = [
        say(
            lang,
            f"{drawn or 'no'} {'day' if drawn == 1 else 'days'} beyond what history explains",
            f"{drawn} 天超出历史可解释的范围",
        )
    ]
    if weeks:
        told.append(say(lang, f"{weeks} {'alert' if weeks == 1 else 'alerts'} by week", f"按周预警 {weeks} 条"))
    if others:
        told.append(say(lang, f"{others} of other series by day", f"其他序列按日预警 {others} 条"))
    return say(lang, "Net sales by day: ", "每日净销售额：") + say(lang, "; ", "；").join(told)


def composition_picture(analysis: Analysis) -> alt.LayerChart | None:
    """How much of the gross amount each part takes, and what is left; None where costs are unknown."""
    lang = analysis.lang
    table = analysis.tables["profit_composition"]
    whole = table[table["dimension"] == "all"]
    if whole.empty or whole["contribution_amount"].isna().all():
        return None
    row = whole.iloc[0]
    at, rows = 0.0, []
    for name, sign in (*SIGNS.items(), ("spend_amount", -1)):
        amount = sign * float(row[name]) if row[name] == row[name] else 0.0
        if amount:
            kind = "total" if name == "gross_amount" else "up" if amount > 0 else "down"
            rows.append((_part_word(name, lang), at, at + amount, amount, kind))
            at += amount
    rows.append((say(lang, "contribution", "贡献"), 0.0, at, at, "total"))
    steps = pd.DataFrame(rows, columns=["word", "start", "end", "amount", "kind"])
    steps["right"] = steps[["start", "end"]].max(axis=1)
    steps["text"] = [format_amount(one, lang) for one in steps["amount"]]
    found = next((one for one in analysis.findings if one.name == "contribution"), None)
    base = alt.Chart(steps).encode(
        y=alt.Y("word:N", sort=steps["word"].tolist(), title=None, axis=alt.Axis(labelLimit=120))
    )
    high = float(steps["right"].max())
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X(
            "start:Q",
            title=None,
            axis=_money_axis(lang, ticks=4),
            scale=alt.Scale(domain=[min(0.0, float(steps["end"].min())), 1.2 * high], nice=False),
        ),
        x2="end:Q",
        color=alt.Color(
            "kind:N", legend=None, scale=alt.Scale(domain=["total", "up", "down"], range=[_GREY, _BLUE, _ORANGE])
        ),
        tooltip=[
            alt.Tooltip("word:N", title=say(lang, "part", "项目")),
            alt.Tooltip("amount:Q", title=say(lang, "amount", "金额"), format=",.0f"),
        ],
    )
    texts = base.mark_text(align="left", dx=4).encode(x="right:Q", text="text:N")
    title = found.text if found else say(lang, "From gross amount to contribution", "从优惠前金额到贡献")
    return (bars + texts).properties(
        width="container",
        height=24 * len(steps),
        title=alt.Title(wrap(title), anchor="start", subtitle=analysis.period.words),
    )


def _part_word(name: str, lang: Language) -> str:
    words = {
        "gross_amount": ("gross amount", "优惠前金额"),
        "coupon_discount_amount": ("coupons", "优惠券"),
        "other_discount_amount": ("other discounts", "其他优惠"),
        "platform_discount_amount": ("platform's part", "平台承担"),
        "refund_amount": ("refunds", "退款"),
        "cost_amount": ("cost of goods", "商品成本"),
        "shipping_cost_amount": ("shipping", "运费"),
        "platform_fee_amount": ("platform fee", "平台费"),
        "spend_amount": ("ad spend", "投放花费"),
    }
    return say(lang, *words[name])


def ranking_picture(analysis: Analysis, level: str = "category") -> alt.LayerChart | None:
    """Net sales now (bars) and before (ticks) of the members of a level; None where there are none."""
    lang = analysis.lang
    table = analysis.tables["product_ranking"]
    table = table[table["level"] == level].drop_duplicates("member")
    if table.empty or set(table["member"]) <= {UNKNOWN, OTHER}:
        return None
    table = table.sort_values("net_amount", ascending=False).head(_MOST_BARS + 4)
    table = table.assign(text=[change_text(one) if one == one else "" for one in table["relative_change"]])
    table["right"] = table[["net_amount", "comparison_amount"]].max(axis=1)
    fallen = next((one for one in analysis.findings if one.name == f"falling_{level}"), None)
    best = next((one for one in analysis.findings if one.name == f"best_{level}"), None)
    found = fallen or best
    title = found.text if found else say(lang, "What sells", "销售排行")
    base = alt.Chart(table).encode(
        y=alt.Y("member_name:N", sort=table["member_name"].tolist(), title=None, axis=alt.Axis(labelLimit=140))
    )
    bars = base.mark_bar(height={"band": 0.6}, color=_BLUE).encode(
        x=alt.X(
            "net_amount:Q",
            title=say(lang, "net sales", "净销售额"),
            axis=_money_axis(lang),
            scale=alt.Scale(domain=[min(0.0, float(table["net_amount"].min())), 1.2 * float(table["right"].max())]),
        ),
        tooltip=[
            alt.Tooltip("member_name:N", title=say(lang, "member", "对象")),
            alt.Tooltip("net_amount:Q", title=say(lang, "now", "本期"), format=",.0f"),
            alt.Tooltip("comparison_amount:Q", title=say(lang, "before", "对比期"), format=",.0f"),
        ],
    )
    layers = [bars]
    subtitle = analysis.period.words
    if table["comparison_amount"].notna().any():
        layers.append(base.mark_tick(color=_ORANGE, thickness=3, height={"band": 0.9}).encode(x="comparison_amount:Q"))
        layers.append(base.mark_text(align="left", dx=6).encode(x="right:Q", text="text:N"))
        subtitle = say(lang, "bars: now; orange: before. ", "柱为本期，橙线为对比期。") + subtitle
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=26 * len(table),
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(subtitle)),
    )
