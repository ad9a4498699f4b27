"""Pictures of the slot tables; each draws from tables of the analysis and nothing else, and is None where they hold none.

``chart_rows`` takes the rows from the tables, ``chart_words`` says what they show; here is only how it is drawn.
"""

from collections.abc import Iterable
from textwrap import wrap

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.language import Language, say
from workbench.slot import chart_rows, chart_words
from workbench.slot.findings import step_words

_GREY = "#8b929b"
"""What slots are compared with: readable on white and on dark paper. All other colours are the theme's."""
_DASHES = [4, 3]
_LEGEND = alt.Legend(symbolOpacity=1)
_TIMES = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
_HEADER = alt.Header(labelLimit=230, labelAnchor="start", labelFontSize=12)

# -- first screen ------------------------------------------------------------------------------------------


def traffic_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Traffic against conversion, cut at the medians; the slots to change are numbered. For the first screen.

    Without purchases: click-through rate of the most clicked slots with intervals.
    """
    rows = chart_rows.traffic_rows(analysis.tables)
    if rows.empty:
        return _click_through(analysis)
    lang = analysis.lang
    drawn = rows[(rows["role"] == "to_change") | rows.index.isin(rows.index[: chart_rows.MOST_POINTS])]
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "click_count:Q",
            title=say(lang, "clicks (log scale)", "点击（对数）"),
            scale=alt.Scale(type="log", nice=False, padding=14),
            axis=alt.Axis(format="~s", values=_round_numbers(rows["click_count"])),
        ),
        y=alt.Y(
            "orders_per_click:Q",
            title=say(lang, "orders / click", "订单/点击"),
            axis=_rates(rows["orders_per_click"], count=4),
            scale=alt.Scale(zero=True, padding=8),
        ),
    )
    points = base.mark_circle(opacity=0.85).encode(
        color=_two_colours("role", "other", "to_change"),
        size=alt.condition("datum.label != ''", alt.value(110), alt.value(34)),
        tooltip=_tips(
            lang,
            ("slot_name", "slot", "坑位"),
            ("page", "page", "页面"),
            ("position", "position", "位置", ".0f"),
            ("click_count", "clicks", "点击", ","),
            ("conversion_credit", "orders credited", "归因订单", ",.1f"),
            ("orders_per_click", "orders per click", "订单/点击", ".2%"),
        ),
    )
    numbers = base.transform_filter("datum.label != ''").mark_text(dy=-12, fontWeight="bold", fontSize=12)
    middle = alt.Chart(rows[["click_count", "orders_per_click"]].median().to_frame().T)
    lines = middle.mark_rule(color=_GREY, strokeDash=_DASHES)
    corner = middle.mark_text(align="right", baseline="bottom", dx=-2, dy=-2, color=_GREY, fontSize=10)
    weak = say(lang, "many clicks, few orders", "点击多、成交少")
    layers = [
        lines.encode(x="click_count:Q"),
        lines.encode(y="orders_per_click:Q"),
        corner.encode(x=alt.value("width"), y=alt.value("height"), text=alt.value(weak)),
        points,
        numbers.encode(text="label:N"),
    ]
    title = alt.Title(_lines(chart_words.traffic_words(rows, lang), 52), anchor="start")
    return alt.LayerChart(layer=layers).properties(width="container", height=155, title=title)


def _round_numbers(values: pd.Series) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, with 2 and 5 between them where the values span little."""
    steps = (1,) if values.max() >= 1000 * values.min() else (1, 2, 5)
    return [step * 10.0**power for power in range(8) for step in steps]


def _click_through(analysis: Analysis) -> alt.LayerChart | None:
    lang = analysis.lang
    rows = chart_rows.click_through_rows(analysis.tables)
    if rows["click_through_rate"].isna().all():
        return None
    base = alt.Chart(rows).encode(y=_names(rows["name"], limit=130))
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X(
            "click_through_rate:Q",
            title=say(lang, "click-through rate", "点击率"),
            axis=_rates(rows["ci_upper"]),
            scale=alt.Scale(zero=True),
        ),
        tooltip=_tips(
            lang,
            ("name", "slot", "坑位"),
            ("impression_count", "exposures", "曝光", ","),
            ("click_count", "clicks", "点击", ","),
            ("click_through_rate", "click-through rate", "点击率", ".2%"),
        ),
    )
    title = alt.Title(say(lang, "Click-through rate by slot", "各坑位点击率"), anchor="start")
    return alt.LayerChart(layer=[_span(base, "ci_lower", "ci_upper"), point]).properties(
        width="container", height=20 * max(len(rows), 2) + 8, title=title
    )


# -- who earns the credit ----------------------------------------------------------------------------------


def ranking_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Share of each slot with interval and rank interval, the band of the models, and lines that join slots tied."""
    lang = analysis.lang
    rows = chart_rows.ranking_rows(analysis.tables)
    if rows.empty:
        return None
    runs = chart_rows.tied_runs(analysis.tables, rows)
    of = chart_words.share_words(rows["measure"].iloc[0], rows["target"].iloc[0], lang)
    farthest = rows[["share", "ci_upper", "highest_share"]].max().max()
    lane = 0.03 * farthest
    room = farthest + lane * (2 + runs["lane"].max()) if len(runs) else farthest
    x = alt.X("share:Q", title=of, scale=alt.Scale(domain=[0, room], nice=False), axis=_rates(rows["highest_share"]))
    y = _names(rows["label"], limit=185)
    base = alt.Chart(rows).encode(y=y)
    tips = _tips(
        lang,
        ("name", "slot", "坑位"),
        ("places", "rank", "排名"),
        ("conversion_credit", "credit", "归因数", ",.1f"),
        ("share", of, of, ".2%"),
        *_bounds("ci_lower", "ci_upper", ".2%"),
        ("lowest_share", "lowest of the models", "各模型最低", ".2%"),
        ("lowest_model", "lowest: model", "最低的模型"),
        ("highest_share", "highest of the models", "各模型最高", ".2%"),
        ("highest_model", "highest: model", "最高的模型"),
    )
    band = base.transform_filter("isValid(datum.lowest_share)").mark_bar(color=_GREY, opacity=0.4, height=11)
    layers = [
        band.encode(x="lowest_share:Q", x2="highest_share:Q", tooltip=tips),
        _span(base, "ci_lower", "ci_upper"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, tooltip=tips),
    ]
    if len(runs):
        first, last = (rows["label"].iloc[runs[side]].tolist() for side in ("first", "last"))
        joined = pd.DataFrame({"label": first, "last": last, "share": farthest + lane * (1 + runs["lane"])})
        layers.append(alt.Chart(joined).mark_rule(strokeWidth=2).encode(x="share:Q", y=y, y2="last:N"))
    return _filling(layers, 22 * len(rows), chart_words.ranking_words(analysis.tables, rows, runs, lang), analysis)


def error_picture(analysis: Analysis) -> alt.LayerChart | None:
    """How much each model misplaces, against what chance alone would; None where the truth is not known."""
    lang = analysis.lang
    rows = chart_rows.error_rows(analysis.tables)
    if rows.empty:
        return None
    words = {
        "misplaced_share_among_slots": say(lang, "between slots", "坑位之间"),
        "misplaced_share": say(lang, "with orders of no slot", "含无坑位订单"),
    }
    drawn = rows.assign(of=rows["of"].map(words))
    points = (
        alt.Chart(drawn)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            y=_names(rows["model"].drop_duplicates(), limit=130),
            x=alt.X(
                "share:Q",
                title=say(lang, "share of orders given to the wrong place", "错配的订单占比"),
                axis=_rates(rows["share"]),
                scale=alt.Scale(zero=True),
            ),
            color=alt.Color("of:N", title=None, sort=list(words.values())),
            tooltip=_tips(
                lang,
                ("model", "model", "模型"),
                ("of", "counted", "口径"),
                ("share", "misplaced", "错配", ".1%"),
                ("misplaced_share_by_chance", "by chance", "随机所致", ".1%"),
            ),
        )
    )
    chance = alt.Chart(drawn).mark_rule(color=_GREY, strokeDash=_DASHES).encode(x="mean(misplaced_share_by_chance):Q")
    return _filling([chance, points], 22 * rows["model"].nunique(), chart_words.error_words(rows, lang), analysis)


# -- targets and leaks -------------------------------------------------------------------------------------


def target_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Share of each target's conversions that the top slots get, side by side; None with fewer than two targets."""
    lang = analysis.lang
    rows = chart_rows.target_rows(analysis.tables)
    words = {target: chart_words.target_words(target, lang) for target in chart_rows.in_funnel_order(rows["target"])}
    if len(words) < 2:
        return None
    base = alt.Chart(rows.assign(of=rows["target"].map(words))).encode(
        y=_names(rows["name"].drop_duplicates()),
        x=alt.X("of:N", sort=list(words.values()), title=None, axis=_headings(words.values())),
        tooltip=_tips(
            lang,
            ("name", "slot", "坑位"),
            ("of", "target", "目标"),
            ("conversion_credit", "credit", "归因数", ",.1f"),
            ("conversion_share", "share", "占比", ".2%"),
        ),
    )
    shade = alt.Opacity("conversion_share:Q", legend=None, scale=alt.Scale(domainMin=0, range=[0.04, 0.5]))
    numbers = base.mark_text().encode(text=alt.Text("conversion_share:Q", format=".1%"))
    height = 22 * rows["name"].nunique()
    return _filling(
        [base.mark_rect().encode(opacity=shade), numbers], height, chart_words.target_share_words(rows, lang), analysis
    )


def leak_picture(analysis: Analysis) -> alt.FacetChart | None:
    """Step by step, the users that go on against comparable slots, a panel for each slot; None without a funnel."""
    lang = analysis.lang
    rows = chart_rows.leak_rows(analysis.tables)
    if rows.empty:
        return None
    drawn = rows.assign(step=[step_words(step, lang) for step in rows["step"]], end=1.32)
    steps = drawn["step"].drop_duplicates().tolist()
    x = alt.X(
        "shrunk_rate:Q",
        title=say(lang, "users that go on", "继续的用户"),
        scale=alt.Scale(domain=[0, 1.32], nice=False),
        axis=alt.Axis(format=".0%", values=[0, 0.5, 1]),
    )
    base = alt.Chart().encode(y=alt.Y("step:N", sort=steps, title=None, axis=alt.Axis(labelLimit=120)))
    points = base.mark_point(filled=True, size=65, opacity=1).encode(
        x=x,
        color=_two_colours("role", "step", "loses_most"),
        tooltip=_tips(
            lang,
            ("name", "slot", "坑位"),
            ("step", "step", "环节"),
            ("user_count", "users that went on", "继续的用户数", ","),
            ("step_rate", "rate", "比率", ".1%"),
            *_bounds("ci_lower", "ci_upper", ".1%"),
            ("shrunk_rate", "rate, shrunk", "收缩后比率", ".1%"),
            ("comparable_rate", "comparable slots", "可比坑位", ".1%"),
            ("stake_amount", "at stake, at most", "至多影响金额", ",.0f"),
            ("credit_share", "of all such conversions", "占全部该转化", ".1%"),
        ),
    )
    compared = base.transform_filter("isValid(datum.comparable_rate)")
    between = compared.mark_rule(strokeWidth=2, color=_GREY, opacity=0.6)
    usual = compared.mark_tick(thickness=2.5, size=13, color=_GREY)
    shares = base.transform_filter("isValid(datum.credit_share)").mark_text(align="right", color=_GREY)
    layers = [
        between.encode(x=x, x2="comparable_rate:Q"),
        usual.encode(x="comparable_rate:Q"),
        points,
        shares.encode(x="end:Q", text=alt.Text("credit_share:Q", format=".1%")),
    ]
    panels = alt.LayerChart(layer=layers, data=drawn).properties(width=230, height=21 * max(len(steps), 2))
    return _panels(panels, rows["name"], chart_words.leak_words(rows, lang), analysis)


# -- position ----------------------------------------------------------------------------------------------


def concentration_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Cumulative share by page position and by rank, beside the band that the first positions usually hold."""
    lang = analysis.lang
    rows = chart_rows.concentration_rows(analysis.tables)
    if rows.empty:
        return None
    words = {
        "position": say(lang, "by page position", "按页面位置"),
        "rank": say(lang, "by contribution", "按贡献排名"),
    }
    rows = rows.assign(order=rows["order_by"].map(words))
    placed = rows[(rows["order_by"] == "position") & rows["position"].notna()]
    colour = alt.Color("order:N", title=None, scale=alt.Scale(domain=list(words.values())), legend=_LEGEND)
    place = alt.X("place:Q", title=say(lang, "number of slots", "坑位数"), axis=alt.Axis(tickMinStep=1))
    share = alt.Y(
        "cumulative_share:Q",
        title=say(lang, "share of slot sales", "占坑位贡献"),
        axis=alt.Axis(format=".0%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    base = alt.Chart(rows if len(placed) else rows[rows["order_by"] == "rank"]).encode(x=place, color=colour)
    lines = base.mark_line(strokeWidth=2.5).encode(
        y=share,
        tooltip=_tips(
            lang,
            ("place", "place", "次序", ".0f"),
            ("slot_name", "slot", "坑位"),
            ("share", "own share", "自身占比", ".1%"),
            ("cumulative_share", "up to here", "累计", ".1%"),
            *_bounds("ci_lower", "ci_upper", ".1%"),
        ),
    )
    known = base.transform_filter("isValid(datum.ci_lower)")
    layers = [known.mark_area(opacity=0.18).encode(y="ci_lower:Q", y2="ci_upper:Q"), lines]
    if placed["is_top"].any() and not placed["is_top"].all():
        top = alt.Chart(placed[placed["is_top"]].tail(1)).encode(x=place)
        usual = top.mark_bar(color=_GREY, opacity=0.45, width=14)
        layers = [
            top.mark_rule(color=_GREY, strokeDash=_DASHES),
            usual.encode(y="benchmark_lower:Q", y2="benchmark_upper:Q"),
            *layers,
            top.mark_point(filled=True, size=80, opacity=1).encode(y=share, color=colour),
        ]
    return _filling(layers, 250, chart_words.concentration_words(placed, lang), analysis)


def misfit_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Credit of slots over what their position explains, beside the usual range; None where no page has a curve."""
    lang = analysis.lang
    rows = chart_rows.misfit_rows(analysis.tables)
    if rows.empty:
        return None
    base = alt.Chart(rows).encode(y=_names(rows["name"]))
    x = _times("ratio", say(lang, "credit ÷ what the position explains (log)", "贡献 ÷ 位置所能解释的（对数）"), rows)
    colour = alt.Color("role:N", legend=None, scale=alt.Scale(domain=["usual", "below", "above"]))
    tips = _tips(
        lang,
        ("name", "slot", "坑位"),
        ("page", "page", "页面"),
        ("position", "position", "位置", ".0f"),
        ("credit", "orders credited", "归因订单", ",.1f"),
        ("expected_credit", "expected there", "该位置预期", ",.1f"),
        ("ratio", "times", "倍数", ".2f"),
        *_bounds("ci_lower", "ci_upper", ".2f"),
        ("usual_lower", "usual from", "常见下限", ".2f"),
        ("usual_upper", "usual to", "常见上限", ".2f"),
    )
    usual = base.mark_bar(color=_GREY, opacity=0.25, height=13)
    layers = [
        usual.encode(x="band_lower:Q", x2="band_upper:Q"),
        alt.Chart().mark_rule(color=_GREY).encode(x=alt.datum(1)),
        _span(base, "line_lower", "line_upper").encode(color=colour),
        base.mark_point(filled=True, size=65, opacity=1).encode(x=x, color=colour, tooltip=tips),
    ]
    return _filling(layers, 22 * len(rows), chart_words.misfit_words(rows, lang), analysis)


def position_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Click-through rate against position on the page; None without positions."""
    lang = analysis.lang
    rows = chart_rows.position_rows(analysis.tables)
    if rows.empty:
        return None
    base = alt.Chart(rows).encode(
        x=alt.X(
            "position:Q",
            title=say(lang, "position on the page", "页面位置"),
            axis=alt.Axis(tickMinStep=1, grid=False),
            scale=alt.Scale(zero=False, nice=False, padding=12),
        ),
        color=alt.Color(
            "page:N",
            title=None,
            sort=rows["page"].drop_duplicates().tolist(),
            legend=alt.Legend(columns=4, symbolOpacity=1),
        ),
    )
    known = base.transform_filter("isValid(datum.ci_lower)")
    points = base.mark_point(filled=True, size=45, opacity=0.9).encode(
        y=alt.Y("click_through_rate:Q", title=say(lang, "click-through rate", "点击率"), axis=_rates(rows["ci_upper"])),
        tooltip=_tips(
            lang,
            ("slot_name", "slot", "坑位"),
            ("position", "position", "位置", ".0f"),
            ("impression_count", "exposures", "曝光", ","),
            ("click_through_rate", "click-through rate", "点击率", ".2%"),
        ),
    )
    layers = [known.mark_rule(opacity=0.4).encode(y="ci_lower:Q", y2="ci_upper:Q"), points]
    return _filling(layers, 240, chart_words.position_words(rows, lang), analysis)


# -- contents, users, days ---------------------------------------------------------------------------------


def content_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Appeal of the best and worst contents beside their raw click-through rate, which their place flatters or hides."""
    lang = analysis.lang
    rows = chart_rows.content_rows(analysis.tables)
    if rows.empty:
        return None
    base = alt.Chart(rows).encode(y=_names(rows["name"]))
    tips = _tips(
        lang,
        ("name", "content", "素材"),
        ("impression_count", "exposures", "曝光", ","),
        ("click_through_rate", "click-through rate", "点击率", ".2%"),
        ("raw_ratio", "÷ average", "÷ 平均", ".2f"),
        ("appeal", "at equal place", "同等位置", ".2f"),
        *_bounds("appeal_ci_lower", "appeal_ci_upper", ".2f"),
    )
    x = _times("appeal", say(lang, "times the average content (log)", "平均素材的倍数（对数）"), rows)
    colour = _two_colours("role", "compared", "personalised")
    raw = base.mark_point(filled=False, size=55, color=_GREY, strokeWidth=2)
    layers = [
        alt.Chart().mark_rule(color=_GREY).encode(x=alt.datum(1)),
        base.mark_rule(color=_GREY, strokeDash=[2, 2]).encode(x="raw_ratio:Q", x2="appeal:Q"),
        _span(base, "line_lower", "line_upper").encode(color=colour),
        base.mark_point(filled=True, size=65, opacity=1).encode(x=x, color=colour, tooltip=tips),
        raw.encode(x="raw_ratio:Q", tooltip=tips),
    ]
    return _filling(layers, 21 * len(rows), chart_words.content_words(rows, lang), analysis)


def retention_picture(analysis: Analysis) -> alt.FacetChart | None:
    """How many users of a slot use it again, and how many come back to the site; None where nothing is followed."""
    lang = analysis.lang
    rows, unit = chart_rows.retention_rows(analysis.tables)
    if rows.empty:
        return None
    words = {
        "slot": say(lang, "use the slot again", "再次使用该坑位"),
        "site": say(lang, "come back to the site", "回到站内"),
    }
    later = say(lang, *(("weeks later", "周后") if unit == "week" else ("days later", "天后")))
    drawn = rows.assign(of=rows["series"].map(words))
    base = alt.Chart().encode(
        x=alt.X("period_index:Q", title=later, axis=alt.Axis(tickMinStep=1, grid=False), scale=alt.Scale(padding=8)),
        y=alt.Y("rate:Q", title=None, axis=_rates(rows["rate"], count=4), scale=alt.Scale(zero=True)),
        color=alt.Color("of:N", title=None, sort=list(words.values())),
        tooltip=_tips(
            lang,
            ("name", "slot", "坑位"),
            ("period_index", later, later, ".0f"),
            ("of", "counted", "口径"),
            ("rate", "rate", "比率", ".1%"),
            *_bounds("lower", "upper", ".1%"),
            ("user_count", "users followed", "已观察用户", ","),
        ),
    )
    layers = [base.mark_line(strokeWidth=1.5)]
    if rows["is_complete"].any():
        layers.append(base.transform_filter("datum.is_complete").mark_point(filled=True, size=34, opacity=1))
    if not rows["is_complete"].all():
        layers.append(base.transform_filter("!datum.is_complete").mark_point(filled=False, size=30, opacity=1))
    panels = alt.LayerChart(layer=layers, data=drawn).properties(width=270, height=120)
    return _panels(panels, rows["name"], chart_words.retention_words(rows, unit, lang), analysis)


def attributable_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Share of each day's orders with a slot before them; None without orders."""
    lang = analysis.lang
    rows = chart_rows.attributable_rows(analysis.tables)
    if rows.empty:
        return None
    line = alt.Chart(rows).mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=16))
    share = say(lang, "orders with a slot before them", "有坑位触点的订单")
    drawn = line.encode(
        x=alt.X("instant:T", title=None, axis=alt.Axis(format="%m-%d", tickCount=6, grid=False)),
        y=alt.Y("attributable_rate:Q", title=share, axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
        tooltip=_tips(
            lang,
            ("date", "day", "日期"),
            ("order_count", "paid orders", "支付订单", ","),
            ("attributed_count", share, share, ",.0f"),
            ("attributable_rate", "share", "占比", ".1%"),
        ),
    )
    whole = alt.Chart(rows.head(1)).mark_rule(color=_GREY, strokeDash=_DASHES).encode(y="whole:Q")
    return _filling([whole, drawn], 170, chart_words.attributable_words(rows, lang), analysis)


# -- parts of pictures -------------------------------------------------------------------------------------


def _title(words: chart_words.Words, analysis: Analysis) -> alt.Title:
    """The finding, and below it what is drawn and of which days."""
    below = say(analysis.lang, ". ", "。").join(filter(None, [words[1], analysis.period.words]))
    return alt.Title(_lines(words[0], 60), anchor="start", subtitle=_lines(below, 90))


def _lines(text: str, width: int) -> list[str]:
    """A title in lines, broken at spaces only, so that a report can join them to one sentence again."""
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _filling(layers: list[alt.Chart], height: int, words: chart_words.Words, analysis: Analysis) -> alt.LayerChart:
    """One view as wide as its column."""
    return alt.LayerChart(layer=layers).properties(
        width="container", height=max(height, 44), title=_title(words, analysis)
    )


def _panels(panels: alt.LayerChart, names: pd.Series, words: chart_words.Words, analysis: Analysis) -> alt.FacetChart:
    """A small view for each name, side by side where there is room."""
    facet = alt.Facet("name:N", sort=names.drop_duplicates().tolist(), title=None, header=_HEADER)
    return panels.facet(facet=facet, columns=3, spacing=18).properties(title=_title(words, analysis))


def _headings(words: Iterable[str]) -> alt.Axis:
    """Headings of columns, a word below the other, so that they fit on a phone."""
    lines = max(1 + word.count(" ") for word in words)
    return alt.Axis(
        orient="top",
        labelAngle=0,
        labelOverlap=False,
        labelExpr="split(datum.label, ' ')",
        labelPadding=13 * lines - 9,
        domain=False,
        ticks=False,
    )


def _names(names: pd.Series, limit: int = 160) -> alt.Y:
    """One row for each name, in this order."""
    axis = alt.Axis(labelLimit=limit, labelOverlap=False)
    return alt.Y(f"{names.name}:N", scale=alt.Scale(domain=names.tolist()), title=None, axis=axis)


def _rates(values: pd.Series, count: int = 5) -> alt.Axis:
    """An axis of rates, with a digit after the point where they are small."""
    return alt.Axis(format=".0%" if values.max() > 0.05 else ".1%" if values.max() > 0.005 else ".2%", tickCount=count)


def _times(column: str, title: str, rows: pd.DataFrame) -> alt.X:
    """A logarithmic axis of ratios, as wide as ``axis_lower`` and ``axis_upper`` say."""
    low, high = (float(rows[f"axis_{side}"].iloc[0]) for side in ("lower", "upper"))
    return alt.X(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=[one for one in _TIMES if low <= one <= high], format="~g"),
    )


def _span(base: alt.Chart, lower: str, upper: str) -> alt.Chart:
    """An interval in the theme's first colour, where there is one."""
    known = base.transform_filter(f"isValid(datum.{lower})").mark_bar(height=2.5, opacity=0.75)
    return known.encode(x=f"{lower}:Q", x2=f"{upper}:Q")


def _two_colours(column: str, plain: str, marked: str) -> alt.Color:
    return alt.Color(f"{column}:N", scale=alt.Scale(domain=[plain, marked]), legend=None)


def _bounds(lower: str, upper: str, form: str) -> list[tuple[str, ...]]:
    return [(lower, "lower", "下限", form), (upper, "upper", "上限", form)]


def _tips(lang: Language, *told: tuple[str, ...]) -> list[alt.Tooltip]:
    """What a mark tells when pointed at: column, its name in both languages, and the format of a number."""
    return [
        alt.Tooltip(
            column,
            type="quantitative" if form else "nominal",
            title=say(lang, en, zh),
            format=form[0] if form else alt.Undefined,
        )
        for column, en, zh, *form in told
    ]
