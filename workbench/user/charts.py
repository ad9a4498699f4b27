"""Pictures of the tables of users; each draws from tables of the analysis and nothing else."""

import altair as alt
import numpy as np
import pandas as pd

from workbench.analysis import Analysis
from workbench.language import Language, format_amount, format_count, format_rate, say, wrap
from workbench.user.findings import alarm_text, alarms_of, is_judged, last_groups
from workbench.user.strategy import load_strategies

_BLUE, _ORANGE, _GREY = "#1f6fa5", "#d97a06", "#8a9097"
_COLOURS = {"high_high": "#1f6fa5", "high_low": "#d97a06", "low_high": "#2f8f6b", "low_low": "#8a9097"}
_CELLS, _CELL_INK = ["#eef4f9", "#7fb0d6"], "#10151b"
_STATES = {
    "new": ("new", "新增", "#2f8f6b"),
    "back": ("back", "回归", "#7fb0d6"),
    "active": ("active", "活跃", "#1f6fa5"),
    "quiet": ("quiet", "静默", "#c3c8cd"),
    "dormant": ("dormant", "沉睡", "#d9a860"),
    "gone": ("gone", "流失", "#8a9097"),
}
_BUYERS = {
    "once": ("once", "一次"),
    "twice": ("twice", "两次"),
    "more": ("three or more", "三次及以上"),
    "(all)": ("all", "全部"),
}
_MOST_VALUES = 6
_LEAST_USERS = 30  # a smaller group before says nothing by its change


def _title(analysis: Analysis, *names: str, otherwise: str) -> str:
    """The first finding of these names; else a plain title."""
    found = next((one for name in names for one in analysis.findings if one.name == name), None)
    return found.text if found else otherwise


# -- the groups ----------------------------------------------------------------------------------------------


def quadrant_picture(analysis: Analysis) -> alt.LayerChart | None:
    """The four groups on their sides of the two lines, circles by users, with their money; for the first screen."""
    lang = analysis.lang
    groups = last_groups(analysis.tables)
    if not groups["user_count"].sum():
        return None
    sides = {axis: _sides(groups, axis, lang) for axis in ("x", "y")}
    drawn = groups.assign(
        x=[sides["x"][one.split("_")[0]] for one in groups["quadrant"]],
        y=[sides["y"][one.split("_")[1]] for one in groups["quadrant"]],
        share=[say(lang, "{} of users", "用户 {}").format(format_rate(one, 0)) for one in groups["user_share"]],
        money=[
            say(lang, "{} of money", "金额 {}").format(format_rate(one, 0)) if one == one else ""
            for one in groups["amount_share"]
        ],
        paid=[format_amount(one, lang) for one in groups["paid_amount"]],
        users=[format_count(one) for one in groups["user_count"]],
    )
    x = alt.X(
        "x:N",
        title=_axis_title(analysis, "x"),
        sort=[sides["x"]["low"], sides["x"]["high"]],
        axis=alt.Axis(labelAngle=0, domain=False, ticks=False, titlePadding=2),
        scale=alt.Scale(paddingInner=0.03, paddingOuter=0),
    )
    y = alt.Y(
        "y:N",
        title=_axis_title(analysis, "y"),
        sort=[sides["y"]["high"], sides["y"]["low"]],
        axis=alt.Axis(domain=False, ticks=False, labelLimit=70),
        scale=alt.Scale(paddingInner=0.05, paddingOuter=0),
    )
    base = alt.Chart(drawn).encode(x=x, y=y)
    tips = [
        alt.Tooltip("name:N", title=say(lang, "group", "群体")),
        alt.Tooltip("users:N", title=say(lang, "users", "用户")),
        alt.Tooltip("paid:N", title=say(lang, "paid", "实付")),
        alt.Tooltip("x_mean:Q", title=_axis_title(analysis, "x"), format=",.1f"),
        alt.Tooltip("y_mean:Q", title=_axis_title(analysis, "y"), format=",.1f"),
    ]
    layers = [
        base.mark_rect(color=_GREY, opacity=0.12).encode(tooltip=tips),
        base.mark_circle(opacity=0.4).encode(
            size=alt.Size("user_count:Q", legend=None, scale=alt.Scale(range=[30, 3800], domainMin=0)),
            color=alt.Color(
                "quadrant:N", legend=None, scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
            ),
            tooltip=tips,
        ),
        base.mark_text(dy=-16, fontWeight="bold").encode(text="name:N"),
        base.mark_text(dy=2).encode(text="share:N"),
        base.mark_text(dy=18).encode(text="money:N"),
    ]
    return alt.LayerChart(layer=layers).properties(
        width="container", height=150, title=alt.Title(wrap(_groups_title(analysis, groups)), anchor="start")
    )


def _sides(groups: pd.DataFrame, axis: str, lang: Language) -> dict[str, str]:
    """What both sides of a line are called: up to the threshold, and above it."""
    threshold = float(groups[f"{axis}_threshold"].iloc[0])
    if groups[f"{axis}_metric"].iloc[0] in ("paid_amount", "average_order_value"):
        word = format_amount(threshold, lang) if threshold else "0"
    else:
        word = f"{threshold:,.4g}"
    return {"low": f"≤ {word}", "high": f"> {word}"}


def _axis_title(analysis: Analysis, axis: str) -> str:
    return load_strategies().metric(str(analysis.tables["quadrants"][f"{axis}_metric"].iloc[0]), analysis.lang)


def _groups_title(analysis: Analysis, groups: pd.DataFrame) -> str:
    lang = analysis.lang
    row = groups.sort_values("user_count", ascending=False).iloc[0]
    told = say(
        lang,
        f"{row['name']} is the largest group: {format_rate(row['user_share'])} of users",
        f"“{row['name']}”人数最多：占 {format_rate(row['user_share'])}",
    )
    if row["amount_share"] == row["amount_share"]:
        told += say(
            lang,
            f", {format_rate(row['amount_share'])} of the money",
            f"，金额占 {format_rate(row['amount_share'])}",
        )
    return told


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
        title = say(
            lang,
            f"{row['name']} changed most in the last period: {change:+.0%}".replace("-", "−"),
            f"上一周期变化最大的是“{row['name']}”：{change:+.0%}".replace("-", "−"),
        )
    names = last["name"].tolist()
    colours = [_COLOURS[one] for one in last["quadrant"]]
    return (
        alt.Chart(table.assign(end=pd.to_datetime(table["end_date"])))
        .mark_line(point=True)
        .encode(
            x=alt.X("end:T", title=None, axis=alt.Axis(format="%m-%d", tickCount=6)),
            y=alt.Y("user_count:Q", title=say(lang, "users", "用户数"), axis=alt.Axis(tickCount=5, format="~s")),
            color=alt.Color(
                "name:N",
                title=None,
                sort=names,
                scale=alt.Scale(domain=names, range=colours),
                legend=alt.Legend(orient="bottom", columns=2, labelLimit=180),
            ),
            tooltip=[
                alt.Tooltip("end_date:N", title=say(lang, "until", "截至")),
                alt.Tooltip("name:N", title=say(lang, "group", "群体")),
                alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            ],
        )
        .properties(width="container", height=220, title=alt.Title(wrap(title), anchor="start"))
    )


def profile_picture(analysis: Analysis) -> alt.FacetChart | None:
    """What marks each group: the values that differ most from the others, with intervals."""
    lang, table = analysis.lang, analysis.tables["quadrant_profile"]
    if table.empty:
        return None
    known = table[table["ci_lower"].notna() & ~table["value"].isin(["(unknown)", "(other)"])]
    if known.empty:
        return None
    names = dict(zip(last_groups(analysis.tables)["quadrant"], last_groups(analysis.tables)["name"], strict=True))
    known = known.assign(size=known["difference"].abs())
    known = known.sort_values("size", ascending=False).groupby("quadrant", sort=False).head(_MOST_VALUES)
    known = known.assign(
        group=known["quadrant"].map(names),
        label=known["value"].astype(str),
        row=known["quadrant"] + "|" + known["value"].astype(str),  # a value stands elsewhere in each group
        points=100 * known["difference"],
        zero=0,
        lower=100 * known["ci_lower"],
        upper=100 * known["ci_upper"],
    )
    order = [names[one] for one in _COLOURS if one in set(known["quadrant"])]
    known = known.sort_values("points", ascending=False)
    base = alt.Chart().encode(
        y=alt.Y(
            "row:N",
            sort=None,  # as the rows stand
            title=None,
            axis=alt.Axis(labelLimit=120, labelExpr="slice(datum.label, indexof(datum.label, '|') + 1)"),
        )
    )
    layers = alt.LayerChart(
        data=known,
        layer=[
            base.mark_rule(color=_GREY, strokeDash=[3, 3]).encode(x="zero:Q", y=alt.Undefined),
            base.mark_rule(strokeWidth=3, opacity=0.5, color=_BLUE).encode(
                x=alt.X("lower:Q", title=say(lang, "points more than the others", "较其他群体高（百分点）")),
                x2="upper:Q",
            ),
            base.mark_point(filled=True, size=50, opacity=1, color=_BLUE).encode(
                x="points:Q",
                tooltip=[
                    alt.Tooltip("group:N", title=say(lang, "group", "群体")),
                    alt.Tooltip("dimension:N", title=say(lang, "column", "维度")),
                    alt.Tooltip("label:N", title=say(lang, "value", "取值")),
                    alt.Tooltip("points:Q", title=say(lang, "points", "百分点"), format="+.1f"),
                    alt.Tooltip("lower:Q", title=say(lang, "lower", "下限"), format="+.1f"),
                    alt.Tooltip("upper:Q", title=say(lang, "upper", "上限"), format="+.1f"),
                ],
            ),
        ],
    ).properties(width=300, height=22 * int(known.groupby("quadrant").size().max()))
    title = _title(
        analysis,
        *[f"profile_{one}" for one in ("high_low", "high_high", "low_high", "low_low")],
        otherwise=say(lang, "No value marks a group beyond chance", "没有取值在群体间有超出随机的差异"),
    )
    return (
        layers.facet(
            facet=alt.Facet("group:N", sort=order, title=None, header=alt.Header(labelAnchor="start")), columns=2
        )
        .resolve_scale(y="independent")
        .properties(title=alt.Title(wrap(title), anchor="start"))
    )


# -- moves ---------------------------------------------------------------------------------------------------


def migration_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Where the users of each group went in the last period; None with a single period."""
    lang, table = analysis.lang, analysis.tables["migration"]
    if table.empty:
        return None
    last = table[(table["period_index"] == table["period_index"].max()) & (table["user_count"] > 0)]
    if table["period_index"].max() == 0 or last.empty:
        return None
    # New and returned users have no share to compare: their row is told in users.
    drawn = last.assign(
        text=[
            format_rate(row["row_share"], 0)
            if row["row_share"] == row["row_share"]
            else format_count(row["user_count"])
            for row in last.to_dict("records")
        ],
        share=last["row_share"].fillna(0.0),
    )
    order = list(dict.fromkeys(drawn["from_name"])), list(dict.fromkeys(table["to_name"]))
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "to_name:N",
            sort=order[1],
            title=say(lang, "to", "去向"),
            axis=alt.Axis(labelAngle=0, labelLimit=110, labelExpr="split(datum.label, ' ')"),
        ),
        y=alt.Y("from_name:N", sort=order[0], title=say(lang, "from", "来源"), axis=alt.Axis(labelLimit=130)),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("share:Q", legend=None, scale=alt.Scale(range=_CELLS, domain=[0, 1])),
        tooltip=[
            alt.Tooltip("from_name:N", title=say(lang, "from", "来源")),
            alt.Tooltip("to_name:N", title=say(lang, "to", "去向")),
            alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            alt.Tooltip("row_share:Q", title=say(lang, "share", "占比"), format=".1%"),
            alt.Tooltip("row_share_ci_lower:Q", title=say(lang, "lower", "下限"), format=".1%"),
            alt.Tooltip("row_share_ci_upper:Q", title=say(lang, "upper", "上限"), format=".1%"),
        ],
    )
    texts = base.mark_text(color=_CELL_INK).encode(text="text:N")
    title = _title(analysis, "largest_flow", otherwise=say(lang, "Nobody changed groups", "没有用户换组"))
    return (cells + texts).properties(
        width="container",
        height=alt.Step(34),
        title=alt.Title(wrap(title), anchor="start", subtitle=_period_of(last, lang)),
    )


def _period_of(rows: pd.DataFrame, lang: Language) -> str:
    first, end = rows["start_date"].iloc[0], rows["end_date"].iloc[0]
    last = (pd.Timestamp(end) - pd.Timedelta(days=1)).date()
    return say(lang, f"{first} – {last}; share of the row", f"{first} 至 {last}；按行占比")


def outflow_picture(analysis: Analysis) -> alt.LayerChart | None:
    """The outflow that matters most over the periods, with the range of its history; None without a history."""
    lang, alerts = analysis.lang, analysis.tables["migration_alerts"]
    if alerts.empty or alerts["period_index"].nunique() < 2:
        return None
    alarms = alarms_of(analysis.tables)
    watched = alerts[(alerts["from_group"] == "high_low") & alerts["is_watched"].astype(bool)]
    chosen = alarms.iloc[0] if len(alarms) else (watched if len(watched) else alerts).iloc[0]
    rows = alerts[(alerts["from_group"] == chosen["from_group"]) & (alerts["to_group"] == chosen["to_group"])]
    rows = rows.sort_values("period_index")
    rows = rows.assign(day=pd.to_datetime(rows["start_date"]), is_alarm=rows["is_alarm"].astype(bool))
    if len(alarms):
        title = alarm_text(chosen.to_dict(), lang)
    elif is_judged(analysis.tables):
        title = say(
            lang,
            f"“{chosen['from_name']}” to “{chosen['to_name']}”: no period beyond what the history explains",
            f"“{chosen['from_name']}”→“{chosen['to_name']}”：没有周期超出历史水平",
        )
    else:
        title = say(
            lang,
            f"“{chosen['from_name']}” to “{chosen['to_name']}”: too short a history for alarms",
            f"“{chosen['from_name']}”→“{chosen['to_name']}”：历史不足以预警",
        )
    base = alt.Chart(rows).encode(x=alt.X("day:T", title=None, axis=alt.Axis(format="%m-%d", tickCount=6)))
    top = 1.15 * float(np.nanmax(rows[["row_share", "expected_upper"]].to_numpy(dtype=float)))
    y = alt.Y(
        "row_share:Q",
        title=say(lang, "share who leave", "流出占比"),
        axis=alt.Axis(format="~%", tickCount=5),
        scale=alt.Scale(domain=[0, max(top, 0.01)]),
    )
    layers = []
    if rows["expected_lower"].notna().any():
        layers.append(
            base.mark_area(opacity=0.18, color=_BLUE).encode(
                y=alt.Y("expected_lower:Q", title=say(lang, "share who leave", "流出占比")), y2="expected_upper:Q"
            )
        )
    layers.append(
        base.mark_line(color=_BLUE, point=True).encode(
            y=y,
            tooltip=[
                alt.Tooltip("start_date:N", title=say(lang, "from", "自")),
                alt.Tooltip("row_share:Q", title=say(lang, "share", "占比"), format=".1%"),
                alt.Tooltip("expected_share:Q", title=say(lang, "usual", "通常"), format=".1%"),
                alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
            ],
        )
    )
    if rows["is_alarm"].any():
        layers.append(
            base.transform_filter("datum.is_alarm")
            .mark_point(filled=True, size=140, opacity=1, color=_ORANGE)
            .encode(y=y)
        )
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=210,
        title=alt.Title(
            wrap(title),
            anchor="start",
            subtitle=wrap(
                say(
                    lang,
                    "band: range of the earlier periods; orange: alarm.",
                    "色带为此前各周期的范围；橙色为预警。",
                )
            ),
        ),
    )


# -- lifecycle and the next purchase -------------------------------------------------------------------------


def lifecycle_picture(analysis: Analysis) -> alt.Chart | None:
    """Users by state at the end of each period; None without orders."""
    lang = analysis.lang
    table = analysis.tables.get("lifecycle", pd.DataFrame())
    if table.empty or not table["user_count"].sum():
        return None
    words = {state: say(lang, en, zh) for state, (en, zh, _) in _STATES.items()}
    drawn = table.assign(word=table["state"].map(words), place=table["state"].map(list(_STATES).index))
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
                title=say(lang, "until", "截至"),
                axis=alt.Axis(labelAngle=0, labelExpr="slice(datum.label, 5)", labelOverlap=True),
            ),
            y=alt.Y("user_count:Q", title=say(lang, "users", "用户数"), axis=alt.Axis(format="~s", tickCount=5)),
            color=alt.Color(
                "word:N",
                title=None,
                sort=list(words.values()),
                scale=alt.Scale(domain=list(words.values()), range=[colour for *_, colour in _STATES.values()]),
                legend=alt.Legend(orient="bottom", columns=3),
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("end_date:N", title=say(lang, "until", "截至")),
                alt.Tooltip("word:N", title=say(lang, "state", "状态")),
                alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
                alt.Tooltip("user_share:Q", title=say(lang, "share", "占比"), format=".1%"),
            ],
        )
        .properties(width="container", height=230, title=alt.Title(wrap(title), anchor="start"))
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
    band = base.mark_area(opacity=0.18, color=_BLUE).encode(
        y=alt.Y("ci_lower:Q", title=words, axis=alt.Axis(format="~%", tickCount=5)), y2="ci_upper:Q"
    )
    line = base.mark_line(color=_BLUE).encode(
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
            say(
                lang, f"{format_count(row['contact_count'])} there now", f"期末 {format_count(row['contact_count'])} 人"
            )
            if row["contact_count"] == row["contact_count"]
            else ""
            for row in table.to_dict("records")
        ],
    )
    base = alt.Chart(drawn).encode(
        y=alt.Y("group:N", sort=[words[one] for one in words], title=say(lang, "bought", "购买次数"))
    )
    high = float(drawn["upper_quartile_day"].max())
    x = alt.X(
        "lower_quartile_day:Q",
        title=say(lang, "days after the last purchase", "距上次购买天数"),
        scale=alt.Scale(domain=[0, 1.3 * high], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    tips = [
        alt.Tooltip("group:N", title=say(lang, "bought", "购买次数")),
        alt.Tooltip("lower_quartile_day:Q", title=say(lang, "a quarter by day", "四分之一（天）")),
        alt.Tooltip("median_day:Q", title=say(lang, "half by day", "半数（天）")),
        alt.Tooltip("upper_quartile_day:Q", title=say(lang, "three quarters by day", "四分之三（天）")),
        alt.Tooltip("return_share:Q", title=say(lang, "buy again", "再次购买"), format=".1%"),
    ]
    bars = base.mark_bar(height={"band": 0.45}, color=_BLUE, opacity=0.35).encode(
        x=x, x2="upper_quartile_day:Q", tooltip=tips
    )
    contact = base.mark_bar(height={"band": 0.45}, color=_BLUE).encode(
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
        height=alt.Step(38),
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
