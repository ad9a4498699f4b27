"""Pictures of the channel tables; each draws from one table of the analysis and nothing else."""

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.channel.findings import named_channels
from workbench.language import format_rate, say

_BLUE, _GREY, _ORANGE = "#2f6f9f", "#9aa5ad", "#c8601c"


def conversion_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Conversion rate of each channel with its interval, largest channel first; for the first screen. None if there is nothing to draw."""
    lang = analysis.lang
    card = named_channels(analysis.tables["channel_scorecard"]).head(7)
    if card["conversion_rate"].isna().all():
        return None
    base = alt.Chart(card).encode(
        y=alt.Y("channel:N", sort=card["channel"].tolist(), title=None, axis=alt.Axis(labelLimit=110))
    )
    rate = say(lang, "conversion rate", "转化率")
    rule = base.mark_rule(strokeWidth=3, color=_BLUE, opacity=0.45).encode(
        x=alt.X(
            "ci_lower:Q", title=rate, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(zero=False, padding=12)
        ),
        x2="ci_upper:Q",
    )
    point = base.mark_point(filled=True, size=60, color=_BLUE, opacity=1).encode(
        x="conversion_rate:Q",
        tooltip=[
            alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
            alt.Tooltip("conversion_rate:Q", title=rate, format=".2%"),
            alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=".2%"),
            alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=".2%"),
            alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
        ],
    )
    return (rule + point).properties(
        width="container",
        height=20 * max(len(card), 2) + 8,
        title=alt.Title(_conversion_title(card, analysis), anchor="start"),
    )


def _conversion_title(card: pd.DataFrame, analysis: Analysis) -> str:
    known = card[card["conversion_rate"].notna()]
    if len(known) < 2:
        return say(analysis.lang, "Conversion by channel", "各渠道转化率")
    low, high = known["conversion_rate"].min(), known["conversion_rate"].max()
    return say(
        analysis.lang,
        f"Conversion runs from {format_rate(low)} to {format_rate(high)}",
        f"转化率介于 {format_rate(low)} 与 {format_rate(high)} 之间",
    )


def funnel_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Users left at each step as a share of step 1, one line per channel; None if there is no funnel."""
    lang = analysis.lang
    funnel = analysis.tables["channel_funnel"]
    if funnel.empty:
        return None
    steps = funnel.sort_values("step_index")["step"].unique().tolist()
    worst = next((one for one in analysis.findings if one.name == "leakiest_step"), None)
    title = worst.text if worst else say(lang, "How far users of each channel get", "各渠道用户到达的步骤")
    highlighted = worst.cell.key["channel"] if worst else None
    base = alt.Chart(funnel).encode(
        x=alt.X("step:N", sort=steps, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=False)),
        y=alt.Y("overall_rate:Q", title=say(lang, "share of step 1", "占第一步的比例"), axis=alt.Axis(format="%")),
        detail="channel:N",
        tooltip=[
            alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
            alt.Tooltip("step:N", title=say(lang, "step", "步骤")),
            alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            alt.Tooltip("overall_rate:Q", title=say(lang, "of step 1", "占第一步"), format=".1%"),
            alt.Tooltip("step_rate:Q", title=say(lang, "of the step before", "占上一步"), format=".1%"),
        ],
    )
    marked = alt.datum.channel == highlighted
    lines = base.mark_line(point=True).encode(
        color=alt.condition(marked, alt.value(_ORANGE), alt.value(_GREY)),
        strokeWidth=alt.condition(marked, alt.value(3), alt.value(1.5)),
    )
    last = base.transform_filter((alt.datum.channel == highlighted) & (alt.datum.step == steps[-1]))
    name = last.mark_text(align="right", dy=14, fontWeight="bold", color=_ORANGE).encode(text="channel:N")
    return alt.LayerChart(layer=[lines, name]).properties(
        width="container",
        height=260,
        title=alt.Title(_wrapped(title), anchor="start", subtitle=analysis.period.words),
    )


def repurchase_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Repurchase rates with intervals at each window, channels side by side; None if there is none."""
    lang = analysis.lang
    card = analysis.tables["channel_scorecard"]
    windows = sorted(
        int(name.split("_")[2])
        for name in card.columns
        if name.startswith("repurchase_rate_") and name.endswith("_ci_lower")
    )
    rows = [
        {
            "channel": row["channel"],
            "window": say(lang, f"{window} days", f"{window} 天"),
            "rate": row[f"repurchase_rate_{window}"],
            "lower": row[f"repurchase_rate_{window}_ci_lower"],
            "upper": row[f"repurchase_rate_{window}_ci_upper"],
            "buyers": row[f"repurchase_rate_{window}_eligible_count"],
        }
        for row in card.to_dict("records")
        for window in windows
    ]
    long = (
        pd.DataFrame(rows).dropna(subset=["rate"])
        if rows
        else pd.DataFrame(columns=["channel", "window", "rate", "lower", "upper", "buyers"])
    )
    if long.empty:
        return None
    order = [say(lang, f"{window} days", f"{window} 天") for window in windows]
    base = alt.Chart(long).encode(
        y=alt.Y("channel:N", sort=card["channel"].tolist(), title=None, axis=alt.Axis(labelLimit=110)),
        yOffset=alt.YOffset("window:N", sort=order),
        color=alt.Color("window:N", sort=order, title=None, legend=alt.Legend(orient="top")),
    )
    rule = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=alt.X("lower:Q", title=say(lang, "bought again", "复购率"), axis=alt.Axis(format="%", tickCount=5)),
        x2="upper:Q",
    )
    point = base.mark_point(filled=True, size=45, opacity=1).encode(
        x="rate:Q",
        tooltip=[
            alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
            alt.Tooltip("window:N", title=say(lang, "within", "窗口")),
            alt.Tooltip("rate:Q", title=say(lang, "bought again", "复购率"), format=".1%"),
            alt.Tooltip("buyers:Q", title=say(lang, "buyers followed", "已观察买家"), format=","),
        ],
    )
    best = next((one for one in analysis.findings if one.name == "highest_repurchase"), None)
    title = best.text if best else say(lang, "Buyers who pay again, by channel", "各渠道买家复购率")
    return (rule + point).properties(
        width="container",
        height=max(len(card), 2) * 38,
        title=alt.Title(_wrapped(title), anchor="start", subtitle=analysis.period.words),
    )


def _wrapped(text: str, width: int = 60) -> list[str]:
    from workbench.language import wrap

    return wrap(text, width)
