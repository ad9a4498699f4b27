"""Pictures of the slot tables; each draws from tables of the analysis and nothing else."""

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.contract import DIRECT
from workbench.language import format_rate, say, wrap

_BLUE, _ORANGE, _GREY = "#2f6f9f", "#c8601c", "#9aa5ad"


def _model(credit: pd.DataFrame) -> str:
    models = credit["model"].unique().tolist()
    return "linear" if "linear" in models else models[-1]


def _round_numbers(values: pd.Series) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, with 2 and 5 between them where the values span little."""
    steps = (1,) if values.max() >= 1000 * values.min() else (1, 2, 5)
    return [step * 10.0**power for power in range(8) for step in steps]


def _traffic(analysis: Analysis) -> pd.DataFrame:
    """Clicks and orders per click of each slot, from slot_metrics and slot_credit."""
    metrics, credit = analysis.tables["slot_metrics"], analysis.tables["slot_credit"]
    mine = credit[(credit["target"] == "purchase") & (credit["credited_id"] != DIRECT)]
    if mine.empty:
        return pd.DataFrame(columns=["slot_name", "click_count", "orders_per_click", "label"])
    mine = mine[mine["model"] == _model(mine)]
    table = metrics.merge(mine[["credited_id", "conversion_credit"]], left_on="slot_id", right_on="credited_id")
    table = table[table["click_count"] > 0]
    table["orders_per_click"] = table["conversion_credit"] / table["click_count"]
    numbers = {slot: str(number) for number, slot in enumerate(analysis.tables["slot_focus"]["slot_id"], start=1)}
    table["label"] = table["slot_id"].map(numbers).fillna("")
    return table[["slot_name", "page", "position", "click_count", "conversion_credit", "orders_per_click", "label"]]


def traffic_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Traffic against conversion, cut at the medians; slots worth a look are named. For the first screen.

    Without purchases: click-through rate of the most clicked slots with intervals.
    """
    table = _traffic(analysis)
    if table.empty:
        return _click_through(analysis)
    lang = analysis.lang
    middle = pd.DataFrame(
        {"clicks": [table["click_count"].median()], "orders_per_click": [table["orders_per_click"].median()]}
    )
    x_scale = alt.Scale(type="log", nice=False, padding=14)
    base = alt.Chart(table).encode(
        x=alt.X(
            "click_count:Q",
            title=say(lang, "clicks (log scale)", "点击（对数）"),
            scale=x_scale,
            axis=alt.Axis(format="~s", values=_round_numbers(table["click_count"])),
        ),
        y=alt.Y(
            "orders_per_click:Q",
            title=say(lang, "orders / click", "订单/点击"),
            axis=alt.Axis(format=".1%", tickCount=4),
            scale=alt.Scale(padding=8),
        ),
    )
    points = base.mark_circle(opacity=0.8).encode(
        color=alt.condition("datum.label != ''", alt.value(_ORANGE), alt.value(_BLUE)),
        size=alt.condition("datum.label != ''", alt.value(80), alt.value(36)),
        tooltip=[
            alt.Tooltip("slot_name:N", title=say(lang, "slot", "坑位")),
            alt.Tooltip("page:N", title=say(lang, "page", "页面")),
            alt.Tooltip("position:Q", title=say(lang, "position", "位置")),
            alt.Tooltip("click_count:Q", title=say(lang, "clicks", "点击"), format=","),
            alt.Tooltip("conversion_credit:Q", title=say(lang, "orders credited", "归因订单"), format=",.1f"),
            alt.Tooltip("orders_per_click:Q", title=say(lang, "orders per click", "订单/点击"), format=".2%"),
        ],
    )
    names = (
        base.transform_filter("datum.label != ''")
        .mark_text(dy=-11, fontWeight="bold", fontSize=12, color=_ORANGE)
        .encode(text="label:N")
    )
    lines = alt.Chart(middle)
    vertical = lines.mark_rule(color=_GREY, strokeDash=[4, 3]).encode(x=alt.X("clicks:Q", scale=x_scale))
    horizontal = lines.mark_rule(color=_GREY, strokeDash=[4, 3]).encode(y="orders_per_click:Q")
    named = int((table["label"] != "").sum())
    title = say(
        lang,
        f"Traffic × conversion: the {named} numbered of {len(table)} stand out"
        if named
        else "Traffic × conversion of slots",
        f"流量 × 转化：{len(table)} 个坑位中编号的 {named} 个突出" if named else "各坑位的流量 × 转化",
    )
    layers = [vertical, horizontal, points, *([names] if named else [])]
    return alt.LayerChart(layer=layers).properties(
        width="container", height=170, title=alt.Title(wrap(title, 52), anchor="start")
    )


def _click_through(analysis: Analysis) -> alt.LayerChart | None:
    lang = analysis.lang
    table = analysis.tables["slot_metrics"].head(12)[
        ["slot_name", "impression_count", "click_count", "click_through_rate", "ci_lower", "ci_upper"]
    ]
    if table["click_through_rate"].isna().all():
        return None
    rate = say(lang, "click-through rate", "点击率")
    base = alt.Chart(table).encode(
        y=alt.Y("slot_name:N", sort=table["slot_name"].tolist(), title=None, axis=alt.Axis(labelLimit=130))
    )
    rule = base.mark_rule(strokeWidth=3, color=_BLUE, opacity=0.45).encode(
        x=alt.X("ci_lower:Q", title=rate, axis=alt.Axis(format=".1%", tickCount=5), scale=alt.Scale(zero=True)),
        x2="ci_upper:Q",
    )
    point = base.mark_point(filled=True, size=60, color=_BLUE, opacity=1).encode(x="click_through_rate:Q")
    return (rule + point).properties(
        width="container",
        height=20 * max(len(table), 2) + 8,
        title=alt.Title(say(lang, "Click-through rate by slot", "各坑位点击率"), anchor="start"),
    )


def credit_picture(analysis: Analysis, most: int = 15) -> alt.LayerChart | None:
    """Share of the paid amount (or of orders) by slot with its interval; ticks show the other models."""
    lang = analysis.lang
    credit = analysis.tables["slot_credit"]
    credit = credit[(credit["target"] == "purchase") & (credit["credited_id"] != DIRECT)]
    if credit.empty:
        return None
    measure = "amount_share" if credit["amount_share"].notna().any() else "conversion_share"
    model = _model(credit)
    names = analysis.tables["slot_metrics"].set_index("slot_id")["slot_name"]
    credit = credit.assign(slot=credit["credited_id"].map(names).fillna(credit["credited_id"]))
    main = credit[credit["model"] == model].sort_values(measure, ascending=False).head(most)
    others = credit[(credit["model"] != model) & credit["slot"].isin(main["slot"])]
    order = main["slot"].tolist()
    of = (
        say(lang, "share of paid amount", "占支付金额")
        if measure == "amount_share"
        else say(lang, "share of orders", "占订单")
    )
    y = alt.Y("slot:N", sort=order, title=None, axis=alt.Axis(labelLimit=150))
    bars = (
        alt.Chart(main)
        .mark_bar(color=_BLUE, opacity=0.75, height={"band": 0.62})
        .encode(
            y=y,
            x=alt.X(f"{measure}:Q", title=of, axis=alt.Axis(format=".1%", tickCount=5)),
            tooltip=[
                alt.Tooltip("slot:N", title=say(lang, "slot", "坑位")),
                alt.Tooltip("conversion_credit:Q", title=say(lang, "orders credited", "归因订单"), format=",.1f"),
                alt.Tooltip(f"{measure}:Q", title=of, format=".2%"),
                alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=".2%"),
                alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=".2%"),
            ],
        )
    )
    spans = alt.Chart(main).mark_rule(strokeWidth=1.5, color=_GREY).encode(y=y, x="ci_lower:Q", x2="ci_upper:Q")
    ticks = (
        alt.Chart(others)
        .mark_point(filled=True, size=42, opacity=0.95)
        .encode(
            y=y,
            x=f"{measure}:Q",
            color=alt.Color(
                "model:N", title=None, legend=alt.Legend(orient="top"), scale=alt.Scale(range=[_ORANGE, "#3b8f6b"])
            ),
            shape=alt.Shape("model:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=["slot:N", "model:N", alt.Tooltip(f"{measure}:Q", title=of, format=".2%")],
        )
    )
    top = main.iloc[0]
    title = say(
        lang,
        f"{top['slot']} earns most: {format_rate(top[measure])} of the {'paid amount' if measure == 'amount_share' else 'orders'}",
        f"{top['slot']} 贡献最多：{of} {format_rate(top[measure])}",
    )
    subtitle = (
        say(lang, f"bars: {model}, lines: interval, points: other models. ", f"柱：{model}，线：区间，点：其他模型。")
        + analysis.period.words
    )
    return (bars + spans + ticks).properties(
        width="container",
        height=22 * max(len(main), 2),
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(subtitle, 90)),
    )


def position_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Click-through rate against position on the page: how much the place alone explains."""
    lang = analysis.lang
    table = analysis.tables["slot_metrics"]
    table = table[table["position"].notna() & table["click_through_rate"].notna()]
    table = table[
        [
            "slot_name",
            "page",
            "position",
            "impression_count",
            "click_count",
            "click_through_rate",
            "ci_lower",
            "ci_upper",
        ]
    ]
    if table.empty:
        return None
    largest = table.groupby("page")["impression_count"].sum().sort_values(ascending=False).index.tolist()
    base = alt.Chart(table).encode(
        x=alt.X("position:Q", title=say(lang, "position on the page", "页面位置"), axis=alt.Axis(tickMinStep=1)),
        color=alt.Color(
            "page:N",
            title=None,
            sort=largest,
            legend=alt.Legend(orient="top", columns=4, symbolType="circle", symbolOpacity=1),
        ),
    )
    spans = base.mark_rule(opacity=0.4).encode(
        y=alt.Y("ci_lower:Q", title=say(lang, "click-through rate", "点击率"), axis=alt.Axis(format="%")),
        y2="ci_upper:Q",
    )
    points = base.mark_circle(size=45, opacity=0.9).encode(
        y="click_through_rate:Q",
        tooltip=[
            alt.Tooltip("slot_name:N", title=say(lang, "slot", "坑位")),
            alt.Tooltip("position:Q", title=say(lang, "position", "位置")),
            alt.Tooltip("impression_count:Q", title=say(lang, "exposures", "曝光"), format=","),
            alt.Tooltip("click_through_rate:Q", title=say(lang, "click-through rate", "点击率"), format=".2%"),
        ],
    )
    first = table[table["page"] == largest[0]].sort_values("position")
    title = say(
        lang,
        f"On page {largest[0]} the click-through rate goes from {format_rate(first['click_through_rate'].iloc[0])} at the top "
        f"to {format_rate(first['click_through_rate'].iloc[-1])} at the bottom",
        f"页面 {largest[0]} 的点击率从顶部 {format_rate(first['click_through_rate'].iloc[0])} 到底部 "
        f"{format_rate(first['click_through_rate'].iloc[-1])}",
    )
    return (spans + points).properties(
        width="container", height=260, title=alt.Title(wrap(title), anchor="start", subtitle=analysis.period.words)
    )
