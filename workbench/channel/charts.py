"""Pictures of the channel tables; each draws from one table of the analysis and nothing else."""

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.channel.apart import clearest_gap, clearest_pair, ranked_channels
from workbench.channel.audience import ALL, PARTS
from workbench.channel.audience_findings import points, told_by
from workbench.channel.findings import named_channels
from workbench.language import Language, format_amount, format_hours, format_rate, say, wrap

_BLUE, _GREY, _ORANGE = "#1f6fa5", "#9aa5ad", "#c44e13"
_CELLS, _CELL_INK = ["#eef4f9", "#7fb0d6"], "#10151b"  # the ink is read on the darkest cell, on either paper
_PARTS = {
    "mix": ("audience", "受众"),
    "rate": ("same audience", "受众相同"),
    "unsupported": ("no counterpart", "无对照"),
}
_MOST_CHANNELS, _MOST_PANELS, _MOST_CELLS = 7, 9, 12
_MOST_PERIODS, _MOST_COHORTS = 12, 14
_HEADER = alt.Header(labelLimit=220, labelAnchor="start", labelFontSize=12)
_CREDITED = ("most_credited", "least_credited", "credits_alike")


def _is_credited(analysis: Analysis) -> bool:
    """Whether channels are credited with orders, so that a gap is no question of who comes."""
    return any(one.name in _CREDITED for one in analysis.findings)


def _bands(rows: pd.DataFrame, column: str) -> alt.Chart:
    """Grey ground behind every other row, so that marks of one row are seen to belong together."""
    named = rows[[column]].drop_duplicates()
    return alt.Chart(named.iloc[1::2]).mark_rect(color=_GREY, opacity=0.16)


# -- conversion and its gaps ---------------------------------------------------------------------------------


def gap_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Each channel's gap in conversion, split into audience and rate, with intervals; for the first screen.

    Without a split, the conversion rates themselves; None if there is nothing to draw.
    """
    lang = analysis.lang
    adjusted, card = analysis.tables["channel_adjusted"], analysis.tables["channel_scorecard"]
    ranked = card.loc[card["unranked_reason"].isna(), "channel"].head(_MOST_CHANNELS)
    known = adjusted[adjusted["channel"].isin(ranked) & adjusted["mix_ci_lower"].notna()]
    if known.empty or len(analysis.tables["channel_mix"]) <= len(adjusted) or _is_credited(analysis):
        return conversion_picture(analysis)
    parts = [part for part in PARTS if part != "unsupported" or (known["unsupported"].abs() > 1e-9).any()]
    words = {part: say(lang, *_PARTS[part]) for part in parts}
    rows = [
        {
            "channel": row["channel"],
            "part": words[part],
            "value": 100 * row[part],
            "lower": 100 * row[f"{part}_ci_lower"],
            "upper": 100 * row[f"{part}_ci_upper"],
            "gap": 100 * row["gap"],
        }
        for row in known.sort_values("gap").to_dict("records")
        for part in parts
    ]
    drawn = pd.DataFrame(rows)
    y = alt.Y("channel:N", sort=drawn["channel"].drop_duplicates().tolist(), title=None, axis=alt.Axis(labelLimit=110))
    base = alt.Chart(drawn).encode(
        y=y,
        yOffset=alt.YOffset("part:N", sort=list(words.values())),
        color=alt.Color(
            "part:N",
            sort=list(words.values()),
            title=None,
            scale=alt.Scale(domain=list(words.values()), range=[_BLUE, _ORANGE, _GREY][: len(words)]),
            legend=alt.Legend(orient="bottom", offset=2),
        ),
    )
    tips = [
        alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
        alt.Tooltip("part:N", title=say(lang, "part of the gap", "差距部分")),
        alt.Tooltip("value:Q", title=say(lang, "points", "百分点"), format="+.1f"),
        alt.Tooltip("lower:Q", title=say(lang, "lower", "下限"), format="+.1f"),
        alt.Tooltip("upper:Q", title=say(lang, "upper", "上限"), format="+.1f"),
        alt.Tooltip("gap:Q", title=say(lang, "whole gap", "总差距"), format="+.1f"),
    ]
    x = alt.X(
        "lower:Q",
        title=say(lang, "points of conversion", "转化率百分点"),
        axis=alt.Axis(format="+d", tickCount=5, titlePadding=2),
    )
    layers = [
        _bands(drawn, "channel").encode(y=y),
        alt.Chart(drawn).mark_rule(color=_GREY).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, x2="upper:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(x="value:Q", tooltip=tips),
    ]
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=(18 if len(parts) == 2 else 20) * max(drawn["channel"].nunique(), 2),
        title=alt.Title(_gap_title(analysis), anchor="start"),
    )


def _gap_title(analysis: Analysis) -> str:
    lang, adjusted = analysis.lang, analysis.tables["channel_adjusted"]
    row = clearest_gap(analysis.tables)
    base = _baseline_words(adjusted, lang)
    if row is None:
        return say(lang, f"No channel is beyond chance apart from {base}", f"没有渠道与{base}有超出随机的差距")
    told = {
        "audience": ("mostly its audience", "主要来自受众"),
        "rate": ("mostly not its audience", "主要不是受众"),
        "unsupported": ("mostly groups without a counterpart", "主要来自无对照的受众"),
        "open": ("of no sure part", "来源尚不确定"),
    }[told_by(row)]
    return say(lang, f"{row['channel']}'s gap to {base}: {told[0]}", f"{row['channel']} 与{base}的差距{told[1]}")


def _baseline_words(adjusted: pd.DataFrame, lang: Language) -> str:
    name = adjusted["baseline"].iloc[0] if len(adjusted) else ALL
    return say(lang, "the whole shop", "整体") if name == ALL else str(name)


def segment_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Which groups of users make up the clearest gap; None without one."""
    lang, mix = analysis.lang, analysis.tables["channel_mix"]
    row = clearest_gap(analysis.tables)
    columns = _cell_columns(mix)
    if row is None or not columns:
        return None
    own = mix[mix["channel"] == row["channel"]].head(_MOST_CELLS)
    named = own[columns].astype(str).agg(" · ".join, axis=1)
    words = {part: say(lang, *_PARTS[part]) for part in ("mix", "rate")}
    rows = [
        {
            "cell": cell,
            "part": word,
            "value": 100 * one[part],
            "share": one["audience_share"],
            "base": one["baseline_share"],
            "converts": one["conversion_rate"],
            "base_converts": one["baseline_rate"],
        }
        for cell, one in zip(named, own.to_dict("records"), strict=True)
        for part, word in words.items()
    ]
    drawn = pd.DataFrame(rows)
    base = alt.Chart(drawn).encode(
        y=alt.Y("cell:N", sort=named.tolist(), title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("part:N", sort=list(words.values())),
        color=alt.Color(
            "part:N",
            sort=list(words.values()),
            title=None,
            scale=alt.Scale(domain=list(words.values()), range=[_BLUE, _ORANGE]),
        ),
    )
    tips = [
        alt.Tooltip("cell:N", title=say(lang, "group", "人群")),
        alt.Tooltip("part:N", title=say(lang, "part of the gap", "差距部分")),
        alt.Tooltip("value:Q", title=say(lang, "points", "百分点"), format="+.2f"),
        alt.Tooltip("share:Q", title=say(lang, "of the channel's users", "占渠道用户"), format=".1%"),
        alt.Tooltip("base:Q", title=say(lang, "of those compared with", "占对照用户"), format=".1%"),
        alt.Tooltip("converts:Q", title=say(lang, "conversion", "转化率"), format=".1%"),
        alt.Tooltip("base_converts:Q", title=say(lang, "conversion compared with", "对照转化率"), format=".1%"),
    ]
    x = alt.X("value:Q", title=say(lang, "points of the gap", "差距百分点"), axis=alt.Axis(format="+.1f", tickCount=5))
    layers = [
        base.mark_bar(height={"band": 0.8}).encode(x=x, tooltip=tips),
        alt.Chart(drawn).mark_rule(color=_GREY).encode(x=alt.datum(0)),
    ]
    told = next((one for one in analysis.findings if one.name == "segment_behind_gap"), None)
    title = told.text if told else say(lang, f"{row['channel']}'s gap by group", f"{row['channel']} 的差距按人群拆分")
    subtitle = say(
        lang,
        f"parts of {row['channel']}'s gap of {points(row['gap'], lang)}, by group of users. ",
        f"按人群拆分 {row['channel']} 的差距 {points(row['gap'], lang)}。",
    )
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=26 * max(len(own), 2),
        title=alt.Title(wrap(title), anchor="start", subtitle=subtitle + analysis.period.words),
    )


def _cell_columns(mix: pd.DataFrame) -> list[str]:
    names = mix.columns.tolist()
    return names[1 : names.index("conversion_eligible_count")]


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
    if _is_credited(analysis):
        rate = say(lang, "share of the users credited", "归功用户占比")
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
    lang, scorecard, pairs = analysis.lang, analysis.tables["channel_scorecard"], analysis.tables["channel_pairs"]
    is_credited = _is_credited(analysis)
    if len(ranked_channels(scorecard)) < 2 or pairs["p_value"].isna().all():
        return say(lang, "Conversion by channel", "各渠道转化率")
    pair = clearest_pair(pairs, scorecard)
    if pair is None:
        what, what_zh = ("is credited with", "归功比例") if is_credited else ("converts", "转化率")
        return say(lang, f"No channel {what} more than another beyond chance", f"各渠道{what_zh}没有超出随机的差异")
    high, low = pair
    what, what_zh = ("is credited with more", "归功比例高于") if is_credited else ("converts more", "转化高于")
    rates = format_rate(high["conversion_rate"]), format_rate(low["conversion_rate"])
    return say(
        lang,
        f"{high['channel']} {what} than {low['channel']}: {rates[0]} against {rates[1]}",
        f"{high['channel']} {what_zh} {low['channel']}：{rates[0]} 对 {rates[1]}",
    )


def funnel_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Users left at each step as a share of step 1, one line per channel; None if there is no funnel."""
    lang = analysis.lang
    funnel = analysis.tables["channel_funnel"]
    if funnel.empty:
        return None
    if "breakdown_value" in funnel:  # one line per channel: each user counts under one value
        summed = funnel.groupby(["channel", "step", "step_index"], sort=False)["user_count"].sum()
        funnel = summed.reset_index()
        by_channel = funnel.groupby("channel", sort=False)["user_count"]
        funnel["overall_rate"] = funnel["user_count"] / by_channel.transform("first")
        funnel["step_rate"] = (funnel["user_count"] / by_channel.shift()).fillna(1.0)
    steps = funnel.sort_values("step_index")["step"].unique().tolist()
    worst = next((one for one in analysis.findings if one.name == "leakiest_step"), None)
    title = worst.text if worst else say(lang, "How far users of each channel get", "各渠道用户到达的步骤")
    funnel = funnel.assign(
        hours=[format_hours(value, lang) for value in funnel["median_hours"]] if "median_hours" in funnel else "–"
    )
    highlighted = worst.cell.key["channel"] if worst else None
    base = alt.Chart(funnel).encode(
        x=alt.X(
            "step:N",
            sort=steps,
            title=None,
            axis=alt.Axis(labelAngle=0, labelOverlap=False, labelExpr="split(datum.label, '_')"),
        ),
        y=alt.Y("overall_rate:Q", title=say(lang, "share of step 1", "占第一步的比例"), axis=alt.Axis(format="%")),
        detail="channel:N",
        tooltip=[
            alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
            alt.Tooltip("step:N", title=say(lang, "step", "步骤")),
            alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            alt.Tooltip("overall_rate:Q", title=say(lang, "of step 1", "占第一步"), format=".1%"),
            alt.Tooltip("step_rate:Q", title=say(lang, "of the step before", "占上一步"), format=".1%"),
            alt.Tooltip("hours:N", title=say(lang, "median time from step 1", "自第一步中位用时")),
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
        title=alt.Title(wrap(title), anchor="start", subtitle=analysis.period.words),
    )


def repurchase_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Repurchase rates with intervals at each window, channels side by side; None if there is none."""
    lang = analysis.lang
    card = named_channels(analysis.tables["channel_scorecard"])
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
    y = alt.Y("channel:N", sort=card["channel"].tolist(), title=None, axis=alt.Axis(labelLimit=110))
    base = alt.Chart(long).encode(
        y=y,
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
    title = (
        best.text
        if best
        else say(
            lang,
            "No channel's buyers pay again more than the others' beyond chance",
            "没有渠道的买家复购率超出随机地高于其他渠道",
        )
    )
    if long["channel"].nunique() < 2:
        title = say(lang, "Buyers who pay again", "买家复购率")
    return alt.LayerChart(layer=[_bands(long, "channel").encode(y=y), rule, point]).properties(
        width="container",
        height=max(len(card), 2) * 42,
        title=alt.Title(wrap(title), anchor="start", subtitle=analysis.period.words),
    )


# -- coming back ---------------------------------------------------------------------------------------------


def curve_picture(analysis: Analysis) -> alt.FacetChart | None:
    """Share of buyers who paid again by day, a panel for each channel beside all channels in grey; None without buyers."""
    lang, curves = analysis.lang, analysis.tables["channel_repurchase"]
    own, every = curves[~curves["channel"].isin((ALL, "(unknown)"))], curves[curves["channel"] == ALL]
    shown = own["channel"].drop_duplicates().head(_MOST_PANELS).tolist()
    if not shown:
        return None
    parts = []
    for name in shown:
        mine = own[own["channel"] == name]
        apart = mine["p_value_adjusted"].iloc[0] < 0.05
        below = mine["repurchase_share"].iloc[-1] < _at(every, mine["day"].iloc[-1])
        role = "few" if apart and below else "own"
        parts += [mine.assign(panel=name, role=role), every.assign(panel=name, role="all")]
    drawn = pd.concat(parts, ignore_index=True).drop(columns="channel")
    drawn = drawn[["panel", "role", "day", "repurchase_share", "ci_lower", "ci_upper", "at_risk_count"]]
    last = drawn[drawn["role"] != "all"].groupby("panel", as_index=False, sort=False).tail(1)
    is_above = [one["repurchase_share"] >= _at(every, one["day"]) for one in last.to_dict("records")]
    ends = last.assign(text=[format_rate(value, 0) for value in last["repurchase_share"]], is_above=is_above)
    drawn = drawn.merge(ends[["panel", "role", "day", "text", "is_above"]], how="left", on=["panel", "role", "day"])
    colour = alt.Color(
        "role:N", legend=None, scale=alt.Scale(domain=["own", "few", "all"], range=[_BLUE, _ORANGE, _GREY])
    )
    base = alt.Chart().encode(
        x=alt.X("day:Q", title=say(lang, "days after the first order", "首单后天数"), axis=alt.Axis(tickCount=4)),
        color=colour,
    )
    line = base.mark_line(strokeWidth=2, interpolate="step-after").encode(
        y=alt.Y("repurchase_share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=4)),
        tooltip=[
            alt.Tooltip("panel:N", title=say(lang, "channel", "渠道")),
            alt.Tooltip("day:Q", title=say(lang, "days", "天")),
            alt.Tooltip("repurchase_share:Q", title=say(lang, "paid again", "已复购"), format=".1%"),
            alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=".1%"),
            alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=".1%"),
            alt.Tooltip("at_risk_count:Q", title=say(lang, "still watched", "仍在观察"), format=","),
        ],
    )
    band = base.transform_filter("datum.role != 'all' && isValid(datum.ci_lower)")
    # The number stands on the side of the curve away from that of all channels.
    labels = [
        base.transform_filter(f"isValid(datum.text) && {side}datum.is_above")
        .mark_text(align="right", dy=shift, fontWeight="bold")
        .encode(y="repurchase_share:Q", text="text:N")
        for side, shift in (("", -9), ("!", 12))
    ]
    layers = [
        band.mark_area(opacity=0.2, interpolate="step-after").encode(y="ci_lower:Q", y2="ci_upper:Q"),
        line,
        *labels,
    ]
    few = drawn.loc[drawn["role"] == "few", "panel"].drop_duplicates().tolist()
    title = say(lang, "Who pays again, and when", "多少买家复购，何时复购")
    if few:
        title = say(
            lang,
            f"Buyers of {', '.join(few[:3])} come back less than the others (orange)",
            f"{'、'.join(few[:3])} 的买家回头少于其他渠道（橙色）",
        )
    told = say(
        lang,
        "grey: all channels; band: interval; Kaplan–Meier, so buyers not yet watched to the end count too. ",
        "灰线为全部渠道，色带为区间；Kaplan–Meier 估计，含尚未观察完的买家。",
    )
    return (
        alt.LayerChart(layer=layers, data=drawn)
        .properties(width=225, height=105)
        .facet(facet=alt.Facet("panel:N", sort=shown, title=None, header=_HEADER), columns=3, spacing=18)
        .properties(title=alt.Title(wrap(title), anchor="start", subtitle=told + analysis.period.words))
    )


def _at(curve: pd.DataFrame, day: int) -> float:
    """The curve on a day, or at its end."""
    return float(curve.loc[curve["day"] <= day, "repurchase_share"].iloc[-1])


def retention_picture(analysis: Analysis) -> alt.LayerChart | None:
    """The weekly triangle of all channels: share of each cohort active in each later week; None without a later week."""
    lang, table = analysis.lang, analysis.tables["channel_retention"]
    weeks = table[(table["channel"] == ALL) & (table["unit"] == "week") & table["cohort_date"].notna()]
    drawn = weeks[weeks["period_index"].between(1, _MOST_PERIODS)]
    if drawn.empty:
        return None
    kept = drawn["cohort_date"].drop_duplicates().sort_values().tail(_MOST_COHORTS)
    drawn = drawn[drawn["cohort_date"].isin(kept)]
    drawn = drawn.assign(
        cohort=drawn["cohort_date"].dt.strftime("%m-%d"),
        text=[f"{100 * value:.0f}" for value in drawn["retention_rate"]],
    )[
        [
            "cohort",
            "period_index",
            "retention_rate",
            "on_or_after_rate",
            "buyer_count",
            "order_count",
            "paid_amount",
            "cohort_user_count",
            "text",
        ]
    ]
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "period_index:O", title=say(lang, "weeks later", "之后第几周"), axis=alt.Axis(labelAngle=0, orient="top")
        ),
        y=alt.Y("cohort:O", sort=kept.dt.strftime("%m-%d").tolist(), title=None),
    )
    tips = [
        alt.Tooltip("cohort:N", title=say(lang, "week from", "周起")),
        alt.Tooltip("period_index:O", title=say(lang, "weeks later", "之后第几周")),
        alt.Tooltip("cohort_user_count:Q", title=say(lang, "users", "用户"), format=","),
        alt.Tooltip("retention_rate:Q", title=say(lang, "active in this week", "当周活跃"), format=".1%"),
        alt.Tooltip("on_or_after_rate:Q", title=say(lang, "in it or later", "当周或之后活跃"), format=".1%"),
        alt.Tooltip("buyer_count:Q", title=say(lang, "buyers", "买家"), format=","),
        alt.Tooltip("order_count:Q", title=say(lang, "orders", "订单"), format=","),
        alt.Tooltip("paid_amount:Q", title=say(lang, "paid", "实付"), format=",.0f"),
    ]
    cell = base.mark_rect(stroke="white", strokeWidth=1, strokeOpacity=0.3).encode(
        color=alt.Color("retention_rate:Q", legend=None, scale=alt.Scale(range=_CELLS, domainMin=0)), tooltip=tips
    )
    number = base.mark_text(fontSize=10, color=_CELL_INK).encode(text="text:N")
    sums = table[(table["channel"] == ALL) & (table["unit"] == "week") & table["cohort_date"].isna()]
    first = sums[sums["period_index"] == 1].iloc[0]
    title = say(
        lang,
        f"{format_rate(first['retention_rate'], 0)} of new users come again in the week after",
        f"{format_rate(first['retention_rate'], 0)} 的新客在次周再次到来",
    )
    told = say(
        lang,
        "per cent of the users who came in a week that are active so many weeks later; whole weeks from Monday. ",
        "某周新客在之后各周的活跃百分比；仅完整自然周（周一起）。",
    )
    return alt.LayerChart(layer=[cell, number]).properties(
        width="container",
        height=20 * max(len(kept), 2),
        title=alt.Title(wrap(title), anchor="start", subtitle=told + analysis.period.words),
    )


# -- money ---------------------------------------------------------------------------------------------------


def payback_picture(analysis: Analysis) -> alt.LayerChart | None:
    """What a new user has earned since the first visit less the cost of winning it, channels with spend; None without."""
    lang, economics = analysis.lang, analysis.tables["channel_economics"]
    paying = economics.loc[economics["spend_amount"] > 0, "channel"].head(_MOST_CHANNELS)
    curves = analysis.tables["channel_payback"]
    drawn = curves[curves["channel"].isin(paying)]
    if drawn.empty:
        return None
    names = [one for one in paying if one in set(drawn["channel"])]
    base = alt.Chart(drawn).encode(
        x=alt.X("day:Q", title=say(lang, "days after the first visit", "首访后天数"), axis=alt.Axis(tickCount=6)),
        color=alt.Color("channel:N", sort=names, title=None),
    )
    tips = [
        alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
        alt.Tooltip("day:Q", title=say(lang, "day", "天")),
        alt.Tooltip("balance_per_user:Q", title=say(lang, "earned less cost", "利润减成本"), format=",.2f"),
        alt.Tooltip("profit_per_user:Q", title=say(lang, "earned", "利润"), format=",.2f"),
        alt.Tooltip("at_risk_count:Q", title=say(lang, "users watched", "观察用户"), format=","),
    ]
    line = base.mark_line(strokeWidth=2, interpolate="step-after").encode(
        y=alt.Y("balance_per_user:Q", title=say(lang, "per new user", "每个新客")), tooltip=tips
    )
    zero = alt.Chart(drawn).mark_rule(color=_GREY, strokeDash=[4, 3]).encode(y=alt.datum(0))
    known = economics[economics["channel"].isin(names) & economics["payback_day"].notna()]
    if known.empty:
        title = say(lang, "No channel's spend has come back yet", "尚无渠道收回投放成本")
    else:
        slow = known.sort_values("payback_day", kind="stable").iloc[-1]
        cost, day = format_amount(slow["cost_per_new_user"], lang), f"{slow['payback_day']:.0f}"
        title = say(
            lang,
            f"{slow['channel']} takes longest to pay back: day {day}, at {cost} a user",
            f"{slow['channel']} 回本最慢：第 {day} 天，每个新客成本 {cost}",
        )
        if len(known) < len(names):
            title = say(
                lang,
                f"{len(known)} of {len(names)} channels have paid back their spend",
                f"{len(names)} 个渠道中 {len(known)} 个已回本",
            )
    told = say(
        lang,
        "profit since the first visit less spend per new user, as far as enough users are watched; above 0: paid back. ",
        "首访以来利润减单个新客成本，只画到观察用户足够的天数；高于 0 即回本。",
    )
    return alt.LayerChart(layer=[zero, line]).properties(
        width="container",
        height=240,
        title=alt.Title(wrap(title), anchor="start", subtitle=told + analysis.period.words),
    )


def price_picture(analysis: Analysis) -> alt.FacetChart | None:
    """Shares of price bands among what users of each channel view and buy; None without prices."""
    lang, prices = analysis.lang, analysis.tables["channel_prices"]
    shown = [one for one in prices["channel"].drop_duplicates() if one != "(unknown)"][:_MOST_CHANNELS]
    table = prices[
        prices["channel"].isin(shown) & (prices["bought_count"].groupby(prices["channel"]).transform("sum") > 0)
    ]
    if table.empty:
        return None
    words = {"viewed": say(lang, "viewed", "浏览"), "bought": say(lang, "bought", "购买")}
    rows = [
        {
            "channel": row["channel"],
            "band": f"{row['lowest_price']:,.0f}–{row['highest_price']:,.0f}",
            "kind": word,
            "share": row[f"{kind}_share"],
            "lower": row[f"{kind}_ci_lower"],
            "upper": row[f"{kind}_ci_upper"],
        }
        for row in table.to_dict("records")
        for kind, word in words.items()
    ]
    drawn = pd.DataFrame(rows)
    bands = drawn["band"].drop_duplicates().tolist()
    base = alt.Chart().encode(
        y=alt.Y("channel:N", sort=shown, title=None, axis=alt.Axis(labelLimit=110)),
        yOffset=alt.YOffset("kind:N", sort=list(words.values())),
        color=alt.Color("kind:N", sort=list(words.values()), title=None, legend=alt.Legend(orient="top")),
    )
    tips = [
        alt.Tooltip("channel:N", title=say(lang, "channel", "渠道")),
        alt.Tooltip("band:N", title=say(lang, "price", "价格")),
        alt.Tooltip("kind:N", title=say(lang, "products", "商品")),
        alt.Tooltip("share:Q", title=say(lang, "share", "占比"), format=".1%"),
    ]
    x = alt.X("lower:Q", title=None, axis=alt.Axis(format=".0%", tickCount=4), scale=alt.Scale(zero=False))
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, x2="upper:Q"),
        base.mark_point(filled=True, size=40, opacity=1).encode(x="share:Q", tooltip=tips),
    ]
    found = next((one for one in analysis.findings if one.name == "looks_dearer_than_buys"), None)
    title = (
        found.text if found else say(lang, "No channel clearly buys cheaper than it looks", "没有渠道明显“看贵买便宜”")
    )
    told = say(
        lang,
        "share of each quarter of products by price, among products viewed and bought; lines: intervals. ",
        "按价格四等分商品，各档占浏览与购买商品的比例；横线为区间。",
    )
    facet = alt.Facet("band:N", sort=bands, title=say(lang, "price of a piece", "单价"), header=_HEADER)
    return (
        alt.LayerChart(layer=layers, data=drawn)
        .properties(width=230, height=20 * max(len(shown), 2))
        .facet(facet=facet, columns=2, spacing=18)
        .properties(title=alt.Title(wrap(title), anchor="start", subtitle=told + analysis.period.words))
    )
