"""Pictures of the tables of users; each draws from tables of the analysis and nothing else, and is None where they hold none.

Colours are the theme's, so that they suit white and dark paper: a group has the colour of its place in ``_GROUPS``.
"""

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from workbench.analysis import Analysis
from workbench.glossary import codes
from workbench.language import (
    Language,
    format_amount,
    format_count,
    format_rate,
    say,
    with_minus,
    wrap,
)
from workbench.user.chart_rows import (
    QUADRANTS,
    band_words,
    chosen_outflow,
    days_of,
    end_lines,
    flow_title,
    groups_title,
    in_lines,
    laid_out,
    outflow_title,
    profile_title,
    sides,
    two_lines,
    value_label,
)
from workbench.user.strategy import load_strategies
from workbench.user.words import last_groups

_GROUPS = ["high_high", "high_low", "low_high", "returned", "low_low", "new"]
_ORANGE, _GREY = "#d97a06", "#8a9097"
_STATES = {
    "new": ("new", "新增"),
    "back": ("back", "回归"),
    "active": ("active", "活跃"),
    "quiet": ("quiet", "静默"),
    "dormant": ("dormant", "沉睡"),
    "gone": ("gone", "流失"),
}
_STATE_COLOURS = ["active", "dormant", "new", "back", "gone", "quiet"]
_BUYERS = {
    "once": ("bought once", "购买一次"),
    "twice": ("bought twice", "购买两次"),
    "more": ("three times or more", "三次及以上"),
    "(all)": ("all buyers", "全部买家"),
}
_MOST_VALUES = 6
_LEAST_USERS = 30  # a smaller group before says nothing by its change
_NAME_PLACE = 114  # pixels beside the flows for names


def _title(analysis: Analysis, *names: str, otherwise: str) -> str:
    """The first finding of these names; else a plain title."""
    found = next((one for name in names for one in analysis.findings if one.name == name), None)
    return found.text if found else otherwise


def _group_colour(column: str, legend: alt.Legend | None = None) -> alt.Color:
    """The colour of a group, told by its code."""
    return alt.Color(f"{column}:N", title=None, scale=alt.Scale(domain=_GROUPS), legend=legend)


def _legend(words: Mapping[str, str], columns: int) -> alt.Legend:
    """A legend of codes in words, in this order."""
    spoken = f"{json.dumps(dict(words), ensure_ascii=False)}[datum.label]"
    return alt.Legend(orient="bottom", columns=columns, values=list(words), labelExpr=spoken, labelLimit=300)


def _counts(lang: Language) -> alt.Axis:
    """An axis of counts, in Chinese by 万."""
    chinese = "datum.value >= 10000 ? format(datum.value / 10000, '~g') + '万' : format(datum.value, ',')"
    return alt.Axis(labelExpr=say(lang, "format(datum.value, '~s')", chinese), tickCount=5)


# -- the groups ----------------------------------------------------------------------------------------------


def quadrant_picture(analysis: Analysis) -> alt.LayerChart | None:
    """The four groups on their sides of the two lines, circles by users, with their money; for the first screen."""
    lang = analysis.lang
    groups = last_groups(analysis.tables)
    if not groups["user_count"].sum():
        return None
    side = {"low": 0.5, "high": 1.5}
    # Each layer writes its rows anew: columns that none reads would cost more than all the rest.
    drawn = groups[["quadrant", "name", "user_count", "x_mean", "y_mean"]].assign(
        x=[side[one.split("_")[0]] for one in groups["quadrant"]],
        y=[side[one.split("_")[1]] for one in groups["quadrant"]],
        share=[say(lang, "{} of users", "用户 {}").format(format_rate(one, 0)) for one in groups["user_share"]],
        money=[
            say(lang, "{} of money", "金额 {}").format(format_rate(one, 0)) if one == one else ""
            for one in groups["amount_share"]
        ],
        paid=[format_amount(one, lang) for one in groups["paid_amount"]],
        users=[format_count(one) for one in groups["user_count"]],
    )
    # The name stands above, in one line or two; below it the circle, and right of the circle what it holds.
    names = [two_lines(one) for one in groups["name"]]
    drawn = drawn.assign(lines=["\n".join(one) for one in names])
    above, below, largest = (-20, 8, 1000) if max(map(len, names)) == 1 else (-20, 13, 500)
    has_money = bool(groups["amount_share"].notna().any())
    base = alt.Chart(drawn).encode(x=alt.X(**_side(analysis, groups, "x")), y=alt.Y(**_side(analysis, groups, "y")))
    tips = [
        alt.Tooltip("name:N", title=say(lang, "group", "群体")),
        alt.Tooltip("users:N", title=say(lang, "users", "用户")),
        *([alt.Tooltip("paid:N", title=say(lang, "paid", "实付"))] if has_money else []),
        alt.Tooltip("x_mean:Q", title=_axis_title(analysis, "x"), format=",.1f"),
        alt.Tooltip("y_mean:Q", title=_axis_title(analysis, "y"), format=",.1f"),
    ]
    # Channels by name: of a plain text Altair looks for the right one, which takes as long as to answer.
    corners = [alt.X("left:Q"), alt.Y("low:Q"), alt.X2("right:Q"), alt.Y2("top:Q")]
    cells = (
        alt.Chart(
            drawn.assign(left=drawn["x"] - 0.5, right=drawn["x"] + 0.5, low=drawn["y"] - 0.5, top=drawn["y"] + 0.5)
        )
        .mark_rect(opacity=0.12)
        .encode(*corners, color=_group_colour("quadrant"), tooltip=tips)
    )
    middle = alt.Chart(pd.DataFrame({"line": [1]}))
    layers = [
        cells,
        middle.mark_rule(strokeWidth=1.5).encode(alt.X("line:Q")),
        middle.mark_rule(strokeWidth=1.5).encode(alt.Y("line:Q")),
        base.mark_point(filled=True, opacity=0.9, strokeWidth=0).encode(
            xOffset=alt.value(-44),
            yOffset=alt.value(below),
            size=alt.Size(
                "user_count:Q",
                legend=None,
                scale=alt.Scale(range=[0, largest], domain=[0, int(groups["user_count"].max())]),
            ),
            color=_group_colour("quadrant"),
            tooltip=tips,
        ),
        base.mark_text(
            dy=above, fontWeight="bold", lineBreak="\n", lineHeight=12, limit=alt.ExprRef("width / 2 - 4")
        ).encode(alt.Text("lines:N")),
        base.mark_text(dx=-20, dy=below - 8 * has_money, align="left").encode(alt.Text("share:N")),
        *([base.mark_text(dx=-20, dy=below + 7, align="left").encode(alt.Text("money:N"))] if has_money else []),
    ]
    return alt.LayerChart(layer=layers).properties(
        width="container", height=150, title=alt.Title(wrap(groups_title(analysis, groups)), anchor="start")
    )


def _side(analysis: Analysis, groups: pd.DataFrame, axis: str) -> dict[str, Any]:
    """One axis of two halves, low and high, each called by its side of the line."""
    words = sides(groups, axis, analysis.lang)
    spoken = f"datum.value < 1 ? {json.dumps(words['low'])} : {json.dumps(words['high'])}"
    return {
        "shorthand": f"{axis}:Q",
        "title": _axis_title(analysis, axis),
        "scale": alt.Scale(domain=[0, 2], nice=False),
        "axis": alt.Axis(
            values=[0.5, 1.5], labelExpr=spoken, labelLimit=70, grid=False, domain=False, ticks=False, titlePadding=3
        ),
    }


def _axis_title(analysis: Analysis, axis: str) -> str:
    return load_strategies().metric(str(analysis.tables["quadrants"][f"{axis}_metric"].iloc[0]), analysis.lang)


def history_picture(analysis: Analysis) -> alt.Chart | None:
    """Users of each group at the end of each period; None with a single period."""
    lang, table = analysis.lang, analysis.tables["quadrants"]
    if table["period_index"].nunique() < 2:
        return None
    last = last_groups(analysis.tables)
    before = last["user_count"] - last["user_count_change"].astype(float)
    moved = last[before >= _LEAST_USERS]
    title = say(lang, "Users of each group", "各群体人数")
    if len(moved):
        row = moved.iloc[int(moved["user_count_change"].astype(float).abs().to_numpy().argmax())]
        change = row["user_count_change"] / max(row["user_count"] - row["user_count_change"], 1)
        count, rate = with_minus(row["user_count_change"], 0, signed=True), with_minus(100 * change, 0, signed=True)
        title = say(
            lang,
            f"{row['name']} changed most in the last period: {count} users ({rate}%)",
            f"上一周期变化最大的是“{row['name']}”：{count} 人（{rate}%）",
        )
    names = dict(zip(last["quadrant"], last["name"], strict=True))
    return (
        alt.Chart(table.assign(end=pd.to_datetime(table["end_date"])))
        .mark_line(point=True)
        .encode(
            x=alt.X("end:T", title=None, axis=alt.Axis(format="%m-%d", tickCount=6), scale=alt.Scale(padding=8)),
            y=alt.Y("user_count:Q", title=None, axis=_counts(lang)),
            color=_group_colour("quadrant", _legend(names, 2 if max(len(one) for one in names.values()) < 24 else 1)),
            tooltip=[
                alt.Tooltip("end_date:N", title=say(lang, "until", "截至")),
                alt.Tooltip("name:N", title=say(lang, "group", "群体")),
                alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            ],
        )
        .properties(
            width="container",
            height=220,
            title=alt.Title(
                wrap(title), anchor="start", subtitle=say(lang, "users at the end of each period", "各周期末的用户数")
            ),
        )
    )


def profile_picture(analysis: Analysis) -> alt.FacetChart | None:
    """What marks each group: the values that differ most from the others, with intervals; grey where it may be chance."""
    lang, table = analysis.lang, analysis.tables["quadrant_profile"]
    if table.empty:
        return None
    known = table[table["ci_lower"].notna() & ~table["value"].isin(["(unknown)", "(other)"])]
    if known.empty:
        return None
    known = known.assign(
        size=known["difference"].abs(),
        sure=known["is_different"].astype(bool) & ((known["ci_lower"] > 0) | (known["ci_upper"] < 0)),
    )
    mirrored = (known["dimension"] == "coupon_use") & (known["value"] == "no")  # says what "yes" says
    known = (
        known[~mirrored]
        .sort_values(["sure", "size"], ascending=False)
        .groupby("quadrant", sort=False)
        .head(_MOST_VALUES)
    )
    groups = last_groups(analysis.tables)
    names = dict(zip(groups["quadrant"], groups["name"], strict=True))
    columns, values = (codes(one, "quadrant_profile") for one in ("dimension", "value"))
    label = [
        value_label(columns[column].word(lang) if column in columns else column.replace("_", " "), value, lang)
        for column, value in zip(
            known["dimension"].astype(str),
            [values[one].word(lang) if one in values else one for one in known["value"].astype(str)],
            strict=True,
        )
    ]
    known = known.assign(
        group=known["quadrant"].map(names),
        label=label,
        # a value stands elsewhere in each group
        row=[f"{one}|{text}" for one, text in zip(known["quadrant"], label, strict=True)],
        points=100 * known["difference"],
        zero=0,
        lower=100 * known["ci_lower"],
        upper=100 * known["ci_upper"],
    )
    order = [names[one] for one in QUADRANTS if one in set(known["quadrant"])]
    known = known.sort_values("points", ascending=False)
    base = alt.Chart().encode(
        y=alt.Y(
            "row:N",
            sort=None,  # as the rows stand
            title=None,
            axis=alt.Axis(
                labelLimit=160,
                labelExpr="split(slice(datum.label, indexof(datum.label, '|') + 1), '\\n')",
                labelBaseline=_centred("indexof(datum.label, '\\n') >= 0"),
                ticks=False,
            ),
        )
    )
    colour = alt.when("!datum.sure").then(alt.value(_GREY))
    layers = alt.LayerChart(
        data=known,
        layer=[
            alt.Chart().mark_rule(strokeDash=[3, 3]).encode(x="zero:Q"),
            base.mark_bar(height=3, opacity=0.55).encode(
                x=alt.X(
                    "lower:Q",
                    title=None,
                    axis=alt.Axis(format="+d", labelExpr="datum.value ? datum.label : '0'", tickCount=5),
                ),
                x2="upper:Q",
                color=colour,
            ),
            base.mark_point(filled=True, size=50, opacity=1).encode(
                x="points:Q",
                color=colour,
                tooltip=[
                    alt.Tooltip("group:N", title=say(lang, "group", "群体")),
                    alt.Tooltip("label:N", title=say(lang, "value", "取值")),
                    alt.Tooltip("user_share:Q", title=say(lang, "share", "占比"), format=".1%"),
                    alt.Tooltip("rest_share:Q", title=say(lang, "share of the others", "其他群体占比"), format=".1%"),
                    alt.Tooltip("points:Q", title=say(lang, "difference, points", "差异（百分点）"), format="+.1f"),
                    alt.Tooltip("lower:Q", title=say(lang, "lower", "下限"), format="+.1f"),
                    alt.Tooltip("upper:Q", title=say(lang, "upper", "上限"), format="+.1f"),
                ],
            ),
        ],
    ).properties(width=270, height=26 * int(known.groupby("quadrant").size().max()))
    title = _title(
        analysis,
        *[f"profile_{one}" for one in ("high_low", "high_high", "low_high", "low_low")],
        otherwise=profile_title(known, lang),
    )
    told = say(
        lang,
        "percentage points more or fewer than in all other groups, with intervals; grey: may be chance.",
        "与其他群体占比之差（百分点）及区间；灰色：可能出于偶然。",
    )
    return (
        layers.facet(
            facet=alt.Facet("group:N", sort=order, title=None, header=alt.Header(labelAnchor="start", labelLimit=300)),
            columns=2,
        )
        .resolve_scale(y="independent")
        .resolve_axis(x="independent")
        .properties(title=alt.Title(wrap(title), anchor="start", subtitle=wrap(told)))
    )


def _centred(has_two_lines: str) -> dict[str, Any]:
    """The baseline of labels of which some have two lines, which stand as far above their place as below it."""
    return {"condition": {"test": has_two_lines, "value": "bottom"}, "value": "middle"}


# -- moves ---------------------------------------------------------------------------------------------------


def flow_picture(analysis: Analysis) -> alt.LayerChart | None:
    """From which group to which one users went in the last period, as streams; None with a single period."""
    lang, table = analysis.lang, analysis.tables["migration"]
    if table.empty:
        return None
    last = table[(table["period_index"] == table["period_index"].max()) & (table["user_count"] > 0)]
    if last.empty:
        return None
    streams, ends, height = laid_out(last)
    has_money = bool(streams["paid_amount_before"].notna().any())
    # Without money there is nothing to say of it, and of who is new nothing before.
    amounts = {
        name: [format_amount(one, lang) if one == one else "–" for one in streams[f"paid_amount_{name}"]]
        for name in ("before", "after")
    }
    streams = streams.assign(
        users=[format_count(one) for one in streams["user_count"]],
        share=[
            format_rate(count / of) for count, of in zip(streams["user_count"], streams["from_user_count"], strict=True)
        ],
        **amounts,
    )
    tips = [
        alt.Tooltip("from_name:N", title=say(lang, "from", "来源")),
        alt.Tooltip("to_name:N", title=say(lang, "to", "去向")),
        alt.Tooltip("users:N", title=say(lang, "users", "用户")),
        alt.Tooltip("share:N", title=say(lang, "of where they come from", "占来源群体")),
    ]
    if has_money:
        tips += [
            alt.Tooltip("before:N", title=say(lang, "paid in the window before", "前一窗口实付")),
            alt.Tooltip("after:N", title=say(lang, "paid in the window after", "后一窗口实付")),
        ]
    place = alt.X(
        "t:Q",
        axis=None,
        scale=alt.Scale(domain=[0, 1], nice=False, range=[_NAME_PLACE, alt.ExprRef(f"width - {_NAME_PLACE}")]),
    )
    down = alt.Scale(domain=[0, height], nice=False, reverse=True)
    # A curve that leaves and arrives level: the share of the way down, at each share of the way across.
    curve = "datum.{0} + (datum.{1} - datum.{0}) * datum.t * datum.t * (3 - 2 * datum.t)"
    bands = (
        alt.Chart(streams)
        .transform_calculate(t="sequence(0, 1.02, 0.05)")
        .transform_flatten(["t"])
        .transform_calculate(
            upper=curve.format("top_before", "top_after"), lower=curve.format("bottom_before", "bottom_after")
        )
        .mark_area()
        .encode(
            x=place,
            y=alt.Y("upper:Q", axis=None, scale=down),
            y2="lower:Q",
            detail=["from_group:N", "to_group:N"],
            color=_group_colour("from_group"),
            opacity=alt.Opacity("is_stay:O", scale=alt.Scale(domain=[True, False], range=[0.28, 0.7]), legend=None),
            tooltip=tips,
        )
    )
    blocks = alt.Chart(ends).encode(x=place, y=alt.Y("top:Q", axis=None, scale=down), y2="bottom:Q")
    lines = end_lines(ends)
    words = alt.Chart(lines).encode(x=place, y=alt.Y("y:Q", axis=None, scale=down), text="text:N")
    layers = [
        bands,
        blocks.transform_filter("datum.group != 'gone'").mark_rule(strokeWidth=5).encode(color=_group_colour("group")),
        blocks.transform_filter("datum.group == 'gone'").mark_rule(strokeWidth=5),
    ]
    layers += [
        words.transform_filter(f"datum.t == {t} && datum.is_number == {is_number}").mark_text(
            align="left" if t else "right",
            dx=6 if t else -6,
            limit=_NAME_PLACE - 8,
            fontWeight="bold" if is_number == "true" else "normal",
        )
        for t in (0, 1)
        for is_number in ("true", "false")
    ]
    first, until = days_of(last)
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=height,
        title=alt.Title(
            wrap(flow_title(last, lang)),
            anchor="start",
            subtitle=wrap(
                say(
                    lang,
                    f"{first} – {until}; left: group before, right: group after, width: users; pale: stayed.",
                    f"{first} 至 {until}；左为之前的群体，右为之后的群体，宽度为用户数；浅色为留在原群体。",
                )
            ),
        ),
    )


def migration_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Where the users of each group went in the last period, as shares; None with a single period."""
    lang, table = analysis.lang, analysis.tables["migration"]
    if table.empty:
        return None
    last = table[(table["period_index"] == table["period_index"].max()) & (table["from_user_count"] > 0)]
    if last.empty:
        return None
    drawn = last.assign(text=[format_rate(one, 0) for one in last["row_share"]])
    rows, columns = (list(dict.fromkeys(drawn[f"{side}_name"])) for side in ("from", "to"))
    lines = max(len(wrap(name, 10)) for name in columns)
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "to_name:N",
            sort=columns,
            title=None,
            axis=alt.Axis(
                orient="top",
                labelAngle=0,
                labelOverlap=False,
                labelFontSize=10,
                labelExpr=in_lines(columns, 10),
                labelPadding=13 * lines - 9,
                domain=False,
                ticks=False,
            ),
        ),
        y=alt.Y(
            "from_name:N",
            sort=rows,
            title=None,
            axis=alt.Axis(
                labelExpr=in_lines(rows, 17),
                labelBaseline=_centred(f"length({in_lines(rows, 17)}) > 1"),
                labelLimit=105,
                labelOverlap=False,
                domain=False,
                ticks=False,
            ),
        ),
    )
    # The shade lies over the paper, white or dark, and never hides the ink of the number.
    cells = base.mark_rect().encode(
        opacity=alt.Opacity("row_share:Q", legend=None, scale=alt.Scale(range=[0.04, 0.5], domain=[0, 1])),
        tooltip=[
            alt.Tooltip("from_name:N", title=say(lang, "from", "来源")),
            alt.Tooltip("to_name:N", title=say(lang, "to", "去向")),
            alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            alt.Tooltip("row_share:Q", title=say(lang, "share", "占比"), format=".1%"),
            alt.Tooltip("row_share_ci_lower:Q", title=say(lang, "lower", "下限"), format=".1%"),
            alt.Tooltip("row_share_ci_upper:Q", title=say(lang, "upper", "上限"), format=".1%"),
        ],
    )
    title = _title(analysis, "largest_flow", otherwise=say(lang, "Nobody changed groups", "没有用户换组"))
    first, until = days_of(last)
    told = say(
        lang,
        f"{first} – {until}; rows: group before, columns: group after; share of the row.",
        f"{first} 至 {until}；行为之前的群体，列为之后的群体；按行占比。",
    )
    return alt.LayerChart(layer=[cells, base.mark_text().encode(text="text:N")]).properties(
        width="container",
        height=34 * len(rows),
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(told)),
    )


def outflow_picture(analysis: Analysis) -> alt.LayerChart | None:
    """The outflow that matters most over the periods, its alarms and what its history lets expect; None without moves."""
    lang, alerts = analysis.lang, analysis.tables["migration_alerts"]
    alerts = alerts[alerts["row_share"].notna()] if len(alerts) else alerts
    if alerts.empty:
        return None
    chosen = chosen_outflow(alerts)
    rows = alerts[(alerts["from_group"] == chosen["from_group"]) & (alerts["to_group"] == chosen["to_group"])]
    rows = rows.sort_values("period_index").assign(is_alarm=rows["is_alarm"].astype(bool))
    base = alt.Chart(rows).encode(
        x=alt.X(
            "start_date:O",
            title=say(lang, "period from", "周期起始日"),
            axis=alt.Axis(labelAngle=0, labelExpr="slice(datum.label, 5)", labelOverlap=True),
        )
    )
    seen = rows[["row_share", "expected_lower", "expected_upper"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
    room = max(0.3 * (high - low), 0.02)
    scale = alt.Scale(domain=[max(low - room, 0), min(high + 1.5 * room, 1)], nice=False)
    title = say(lang, "share who leave", "流出占比")
    axis = alt.Axis(format=".0%" if high - low > 0.04 else ".1%", tickCount=5)
    tips = [
        alt.Tooltip("start_date:N", title=say(lang, "from", "自")),
        alt.Tooltip("row_share:Q", title=say(lang, "share", "占比"), format=".1%"),
        alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
        alt.Tooltip("expected_share:Q", title=say(lang, "usual", "通常"), format=".1%"),
        alt.Tooltip("expected_lower:Q", title=say(lang, "least so far", "此前最低"), format=".1%"),
        alt.Tooltip("expected_upper:Q", title=say(lang, "most so far", "此前最高"), format=".1%"),
    ]
    judged = base.transform_filter("isValid(datum.expected_lower)")
    has_band = bool(rows["expected_lower"].notna().any())
    y = alt.Y("row_share:Q", title=title, axis=axis, scale=scale)
    layers = [
        judged.mark_bar(opacity=0.25, width=alt.RelativeBandSize(0.9), color=_GREY).encode(
            y=alt.Y("expected_lower:Q", title=title, axis=axis, scale=scale), y2="expected_upper:Q", tooltip=tips
        ),
        judged.mark_tick(thickness=2, color=_GREY, width=alt.RelativeBandSize(0.9)).encode(
            y=alt.Y("expected_share:Q", title=title, axis=axis, scale=scale)
        ),
    ] * has_band
    layers.append(base.mark_line(point=True).encode(y=y, tooltip=tips))
    if rows["is_alarm"].any():
        rung = base.transform_filter("datum.is_alarm")
        layers.append(
            rung.mark_point(filled=True, shape="diamond", size=190, opacity=1, color=_ORANGE).encode(y=y, tooltip=tips)
        )
        # The words stand at one alarm: others may be too near.
        told = base.transform_filter(alt.FieldEqualPredicate(field="start_date", equal=str(chosen["start_date"])))
        layers.append(told.mark_text(dy=-16, fontWeight="bold").encode(y=y, text=alt.value(say(lang, "alarm", "预警"))))
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=210,
        title=alt.Title(wrap(outflow_title(rows, chosen, lang)), anchor="start", subtitle=wrap(band_words(rows, lang))),
    )


# -- lifecycle and the next purchase -------------------------------------------------------------------------


def lifecycle_picture(analysis: Analysis) -> alt.Chart | None:
    """Users by state at the end of each period; None without orders."""
    lang = analysis.lang
    table = analysis.tables.get("lifecycle", pd.DataFrame())
    if table.empty or not table["user_count"].sum():
        return None
    words = {state: say(lang, en, zh) for state, (en, zh) in _STATES.items()}
    drawn = table[["end_date", "state", "user_count", "user_share"]].assign(
        end_date=table["end_date"].astype(str),
        word=table["state"].map(words),
        place=table["state"].map(list(_STATES).index),
    )
    title = _title(
        analysis,
        "lifecycle_dormant",
        "lifecycle_gone",
        otherwise=say(lang, "Users by what they do", "按状态划分的用户"),
    )
    return (
        alt.Chart(drawn)
        .mark_bar()
        .encode(
            x=alt.X(
                "end_date:O",
                title=None,
                axis=alt.Axis(labelAngle=0, labelExpr="slice(datum.label, 5)", labelOverlap=True),
            ),
            y=alt.Y("user_count:Q", title=None, axis=_counts(lang)),
            color=alt.Color("state:N", title=None, scale=alt.Scale(domain=_STATE_COLOURS), legend=_legend(words, 3)),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("end_date:N", title=say(lang, "until", "截至")),
                alt.Tooltip("word:N", title=say(lang, "state", "状态")),
                alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
                alt.Tooltip("user_share:Q", title=say(lang, "share", "占比"), format=".1%"),
            ],
        )
        .properties(
            width="container",
            height=230,
            title=alt.Title(
                wrap(title),
                anchor="start",
                subtitle=say(lang, "users at the end of each period, by state", "各周期末的用户数，按状态"),
            ),
        )
    )


def silence_picture(analysis: Analysis) -> alt.LayerChart | None:
    """How many still come back after so many silent days; None where the data are too short."""
    lang = analysis.lang
    table = analysis.tables.get("lifecycle_silence", pd.DataFrame())
    table = table[table["basis"] == "visit"] if len(table) else table
    if len(table) < 2:
        return None
    horizon = int(table["horizon_days"].iloc[0])
    row = table.iloc[-1]
    title = _title(
        analysis,
        "silence",
        otherwise=say(
            lang,
            f"Even after {row['silent_days']:.0f} silent days {format_rate(row['return_share'])} come back within {horizon} more",
            f"即使沉默 {row['silent_days']:.0f} 天，{horizon} 天内仍有 {format_rate(row['return_share'])} 回访",
        ),
    )
    base = alt.Chart(table).encode(
        x=alt.X("silent_days:Q", title=say(lang, "days without a visit", "未访问天数"), axis=alt.Axis(tickCount=6))
    )
    words = say(lang, f"back within {horizon} days", f"{horizon} 天内回访")
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("ci_lower:Q", title=words, axis=alt.Axis(format="~%", tickCount=5)), y2="ci_upper:Q"
    )
    line = base.mark_line().encode(
        y=alt.Y("return_share:Q", title=words, axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(domainMin=0)),
        tooltip=[
            alt.Tooltip("silent_days:Q", title=say(lang, "silent days", "沉默天数")),
            alt.Tooltip("return_share:Q", title=words, format=".1%"),
            alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=".1%"),
            alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=".1%"),
        ],
    )
    return (band + line).properties(width="container", height=200, title=alt.Title(wrap(title), anchor="start"))


def next_purchase_picture(analysis: Analysis) -> alt.LayerChart | None:
    """When buyers buy next, by how often they have bought; None where no day is known."""
    lang = analysis.lang
    table = analysis.tables.get("next_purchase", pd.DataFrame())
    table = table[table["median_day"].notna()] if len(table) else table
    if table.empty:
        return None
    words = {group: say(lang, *pair) for group, pair in _BUYERS.items()}
    drawn = table.assign(
        group=table["buyer_group"].map(words),
        text=[
            say(lang, f"{format_count(row['contact_count'])} due now", f"期末 {format_count(row['contact_count'])} 人")
            if row["contact_count"] == row["contact_count"]
            else ""
            for row in table.to_dict("records")
        ],
    )
    base = alt.Chart(drawn).encode(y=alt.Y("group:N", sort=list(words.values()), title=None))
    high = float(drawn["upper_quartile_day"].max())
    x = alt.X(
        "lower_quartile_day:Q",
        title=say(lang, "days after the last purchase", "距上次购买天数"),
        scale=alt.Scale(domain=[0, 1.5 * high], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    tips = [
        alt.Tooltip("group:N", title=say(lang, "bought", "购买次数")),
        alt.Tooltip("lower_quartile_day:Q", title=say(lang, "a quarter by day", "四分之一（天）")),
        alt.Tooltip("median_day:Q", title=say(lang, "half by day", "半数（天）")),
        alt.Tooltip("upper_quartile_day:Q", title=say(lang, "three quarters by day", "四分之三（天）")),
        alt.Tooltip("return_share:Q", title=say(lang, "buy again", "再次购买"), format=".1%"),
    ]
    bars = base.mark_bar(height={"band": 0.45}, opacity=0.35).encode(x=x, x2="upper_quartile_day:Q", tooltip=tips)
    contact = base.mark_bar(height={"band": 0.45}).encode(
        x=alt.X("contact_from_day:Q"), x2="contact_until_day:Q", tooltip=tips
    )
    ticks = base.mark_tick(color=_ORANGE, thickness=3, height={"band": 0.7}).encode(x="median_day:Q")
    texts = base.mark_text(align="left", dx=6).encode(x="upper_quartile_day:Q", text="text:N")
    title = _title(
        analysis,
        "next_purchase_once",
        "next_purchase_more",
        otherwise=say(lang, "When buyers buy next", "下次购买时点"),
    )
    return alt.LayerChart(layer=[bars, contact, ticks, texts]).properties(
        width="container",
        height=38 * len(drawn),
        title=alt.Title(
            wrap(title),
            anchor="start",
            subtitle=wrap(
                say(
                    lang,
                    "bars: middle half of those who buy again; strong colour: when to contact; tick: median.",
                    "柱为复购者的中间一半；强色段为建议联系区间；刻度为中位数。",
                )
            ),
        ),
    )
