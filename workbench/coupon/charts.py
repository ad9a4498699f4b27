"""Pictures of the coupon scorecard; each draws from one table of the analysis and nothing else."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.coupon.criteria import CRITERIA, FAILED, judged_column
from workbench.coupon.depth import NO_MINIMUM_BAND, band_name
from workbench.coupon.findings import MIN_ORDERS
from workbench.language import Language, format_amount, format_rate, say, wrap
from workbench.metrics.coupons import DEPTH_EDGES
from workbench.stats.tables import shown_window

_BLUE, _ORANGE, _GREY = "#1f6fa5", "#c44e13", "#9aa5ad"
_MOST_ROWS, _MOST_PANELS = 20, 9
_HEADINGS = {
    "is_subsidy_ok": ("subsidy", "补贴率"),
    "is_redeemed_well": ("used", "核销率"),
    "sells": ("per order", "客单价"),
    "is_diverse": ("diversity", "品类 分散度"),
    "brings_back": ("again {}\u00a0d", "{}\u00a0天 复购"),
}


def _coupons(analysis: Analysis) -> pd.DataFrame:
    card = analysis.tables["coupon_scorecard"]
    return card[(card["level"] == "coupon") & (card["order_count"].fillna(0) > 0)].drop(columns="coupon_id")


def subsidy_picture(analysis: Analysis, subsidy_limit: float) -> alt.LayerChart | None:
    """Subsidy rate of each coupon with its interval against the limit; for the first screen."""
    lang = analysis.lang
    card = _coupons(analysis).sort_values("coupon_discount_amount", ascending=False).head(8)
    if card["subsidy_rate"].isna().all():
        return None
    # Each layer writes its rows anew: columns that none reads would cost more than all the rest.
    read = ["coupon_name", "subsidy_rate", "subsidy_ci_lower", "subsidy_ci_upper", "coupon_discount_amount"]
    known = card["order_count"] >= MIN_ORDERS  # as the verdict counts them
    card = card[read].assign(is_over=(card["subsidy_rate"] > subsidy_limit) & known)
    rate = say(lang, "subsidy rate", "补贴率")
    base = alt.Chart(card).encode(
        y=alt.Y("coupon_name:N", sort=card["coupon_name"].tolist(), title=None, axis=alt.Axis(labelLimit=130)),
        color=alt.condition("datum.is_over", alt.value(_ORANGE), alt.value(_BLUE)),
    )
    rule = base.mark_rule(strokeWidth=3, opacity=0.45).encode(
        x=alt.X("subsidy_ci_lower:Q", title=rate, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(zero=True)),
        x2=alt.X2("subsidy_ci_upper:Q"),
    )
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("subsidy_rate:Q"),
        tooltip=[
            alt.Tooltip("coupon_name:N", title=say(lang, "coupon", "优惠券")),
            alt.Tooltip("subsidy_rate:Q", title=rate, format=".1%"),
            alt.Tooltip("subsidy_ci_lower:Q", title=say(lang, "lower", "下限"), format=".1%"),
            alt.Tooltip("subsidy_ci_upper:Q", title=say(lang, "upper", "上限"), format=".1%"),
            alt.Tooltip("coupon_discount_amount:Q", title=say(lang, "discount", "减免"), format=",.0f"),
        ],
    )
    limit = (
        alt.Chart(pd.DataFrame({"limit": [subsidy_limit]}))
        .mark_rule(strokeDash=[4, 3], color=_GREY, strokeWidth=1.5)
        .encode(alt.X("limit:Q"))
    )
    over = int(card["is_over"].sum())
    title = say(
        lang,
        f"{over} of {len(card)} coupons take more than {format_rate(subsidy_limit, 0)} (dashed)",
        f"{len(card)} 张券中 {over} 张超过 {format_rate(subsidy_limit, 0)}（虚线）",
    )
    return (limit + rule + point).properties(
        width="container", height=20 * max(len(card), 2) + 8, title=alt.Title(title, anchor="start")
    )


def _windows(card: pd.DataFrame) -> list[int]:
    """The windows of repurchase that a table holds."""
    names = [one for one in card.columns if one.startswith("repurchase_rate_") and one.endswith("_ci_lower")]
    return sorted(int(one.split("_")[2]) for one in names)


def _close_below(x: pd.Series, y: pd.Series) -> list[bool]:
    """Whether another point stands close above each one, so that its name is better written below."""
    wide, high = max(float(x.max()), 1e-9), max(float(y.max()), 1e-9)
    pairs = list(zip(x, y, strict=True))
    return [any(abs(a - c) < 0.15 * wide and 0 < d - b < 0.15 * high for c, d in pairs) for a, b in pairs]


def usage_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Redemption against repurchase: used often and coming back are different things."""
    lang = analysis.lang
    card = _coupons(analysis)
    windows = _windows(card)
    window = shown_window(windows)
    column = f"repurchase_rate_{window}"
    if window is None or card[column].isna().all():
        return None
    lowest = next((one for one in analysis.findings if one.name == "lowest_repurchase"), None)
    title = lowest.text if lowest else say(lang, "Redemption and repurchase", "核销与复购")
    drawn = card.dropna(subset=[column])
    drawn = drawn.assign(is_below=_close_below(drawn["redemption_rate"], drawn[column]))
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "redemption_rate:Q",
            title=say(lang, "redeemed, of those given", "核销率"),
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[0, float(card["redemption_rate"].max()) * 1.15], nice=False),
        ),
        y=alt.Y(
            f"{column}:Q",
            title=say(lang, f"bought again within {window} days", f"{window} 天复购率"),
            axis=alt.Axis(format="%"),
            scale=alt.Scale(zero=True),
        ),
    )
    bars = base.mark_rule(strokeWidth=2, opacity=0.35, color=_BLUE).encode(
        y=alt.Y(f"{column}_ci_lower:Q"), y2=f"{column}_ci_upper:Q"
    )
    points = base.mark_circle(opacity=0.85, color=_BLUE).encode(
        size=alt.Size("coupon_discount_amount:Q", legend=None, scale=alt.Scale(range=[60, 700])),
        tooltip=[
            alt.Tooltip("coupon_name:N", title=say(lang, "coupon", "优惠券")),
            alt.Tooltip("redemption_rate:Q", title=say(lang, "redeemed", "核销率"), format=".1%"),
            alt.Tooltip(f"{column}:Q", title=say(lang, "bought again", "复购率"), format=".1%"),
            alt.Tooltip("coupon_discount_amount:Q", title=say(lang, "discount", "减免"), format=",.0f"),
        ],
    )
    edge = 0.6 * card["redemption_rate"].max()
    names = base.encode(text="coupon_name:N")
    left, right = f"datum.redemption_rate <= {edge}", f"datum.redemption_rate > {edge}"
    labels = []
    if (drawn["redemption_rate"] <= edge).any():
        labels.append(names.transform_filter(left).mark_text(align="left", dx=14, dy=-4, limit=150))
    for is_below, shift in ((False, -6), (True, 12)):
        if ((drawn["redemption_rate"] > edge) & (drawn["is_below"] == is_below)).any():
            chosen = names.transform_filter(f"{right} && datum.is_below == {str(is_below).lower()}")
            labels.append(chosen.mark_text(align="right", dx=-14, dy=shift, limit=150))
    subtitle = (
        say(lang, "size: discount amount; bars: intervals. ", "圆面积为减免金额，竖线为区间。") + analysis.period.words
    )
    return alt.LayerChart(layer=[bars, points, *labels]).properties(
        width="container", height=300, title=alt.Title(wrap(title), anchor="start", subtitle=subtitle)
    )


# -- criteria ------------------------------------------------------------------------------------------------


def criteria_picture(analysis: Analysis) -> alt.LayerChart | None:
    """The five criteria of each coupon; those that fail are marked, those not known are grey."""
    lang = analysis.lang
    card = _coupons_by_failures(analysis)
    if card.empty:
        return None
    cells = _criteria_cells(card, _windows(card), lang)
    base = alt.Chart(cells).encode(
        y=alt.Y(
            "coupon_name:N",
            sort=cells["coupon_name"].drop_duplicates().tolist(),
            title=None,
            axis=alt.Axis(labelLimit=116, labelOverlap=False, ticks=False, domain=False),
        ),
        x=alt.X(
            "heading:N",
            sort=cells["heading"].drop_duplicates().tolist(),
            title=None,
            axis=alt.Axis(
                orient="top",
                labelAngle=0,
                labelOverlap=False,
                labelExpr="split(datum.label, ' ')",
                labelPadding=14,
                ticks=False,
                domain=False,
            ),
        ),
        tooltip=[
            alt.Tooltip("coupon_name:N", title=say(lang, "coupon", "优惠券")),
            alt.Tooltip("heading:N", title=say(lang, "criterion", "标准")),
            alt.Tooltip("number:N", title=say(lang, "value", "数值")),
            alt.Tooltip("word:N", title=say(lang, "judged", "判定")),
        ],
    )
    layers = []
    for role, colour, opacity in (("met", _BLUE, 0.1), ("failed", _ORANGE, 0.45), ("unknown", _GREY, 0.25)):
        if (cells["role"] == role).any():
            chosen = base.transform_filter(f"datum.role == '{role}'")
            layers.append(chosen.mark_rect(color=colour, opacity=opacity, stroke=colour, strokeWidth=1))
            text = chosen.mark_text(fontWeight="bold") if role == "failed" else chosen.mark_text()
            layers.append(text.encode(text="text:N"))
    names = card.loc[card["failed_count"] > 0, "coupon_name"]
    title = _criteria_title(card, len(names), lang)
    told = say(
        lang,
        "✕ fails (subsidy over the limit; others: interval wholly below half the median of the other coupons); "
        "? not known. Not causal. ",
        "✕ 不达标（补贴率超限；其余为区间整体低于其他券中位数的一半）；? 未知。非因果。",
    )
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=24 * max(card["coupon_name"].nunique(), 2),
        title=alt.Title(wrap(title), anchor="start", subtitle=told + analysis.period.words),
    )


def _coupons_by_failures(analysis: Analysis) -> pd.DataFrame:
    """Coupons that were given or used, most failures first, then most discount; their names told apart."""
    card = analysis.tables["coupon_scorecard"]
    card = card[(card["level"] == "coupon") & ~card["coupon_reason"].isin(("never_given", "no_orders", "use_unknown"))]
    failed = card[list(CRITERIA)].isin(FAILED).sum(axis=1)
    card = card.assign(failed_count=failed)
    repeated = card["coupon_name"].duplicated(keep=False)
    card["coupon_name"] = card["coupon_name"].mask(
        repeated, card["coupon_name"] + " · " + card["coupon_id"].astype(str)
    )
    order = ["failed_count", "coupon_discount_amount", "granted_count"]
    return card.sort_values(order, ascending=False, kind="stable").head(_MOST_ROWS)


def _criteria_title(card: pd.DataFrame, failing: int, lang: Language) -> str:
    few = card.loc[card["brings_back"] == "fail", "coupon_name"].tolist()
    title = say(
        lang,
        f"{failing} of {len(card)} coupons fail a criterion" if failing else "No coupon fails a criterion",
        f"{len(card)} 张券中 {failing} 张有不达标项" if failing else "没有券被判为不达标",
    )
    if len(few) == 1:
        title += say(lang, f"; few come back after {few[0]}", f"；{few[0]} 的买家很少回头")
    return title


def _criteria_cells(card: pd.DataFrame, windows: Sequence[int], lang: Language) -> pd.DataFrame:
    """One row per coupon and criterion: heading, text, and whether it is met, failed or unknown."""
    window, rows = shown_window(windows), []
    for row in card.to_dict("records"):
        for criterion in CRITERIA:
            column = judged_column(criterion, windows)
            if column is None:
                continue
            value = row[column]
            number = (
                _short_amount(value, lang)
                if criterion == "sells"
                else f"{value:.2f}"
                if criterion == "is_diverse" and value == value
                else format_rate(value)
            )
            word = row[criterion]
            role = "failed" if word in FAILED else "unknown" if word in ("unknown", "unsure") else "met"
            mark = {"failed": "✕", "unknown": "?", "met": ""}[role]
            heading = say(lang, *_HEADINGS[criterion]).format(window)
            rows.append((row["coupon_name"], heading, f"{mark}{number}", number, _judged(word, lang), role))
    return pd.DataFrame(rows, columns=["coupon_name", "heading", "text", "number", "word", "role"])


def _short_amount(value: float, lang: Language) -> str:
    """Money without cents from 10 on, so that it fits a narrow cell."""
    return f"{value:,.0f}" if 10 <= abs(value) < 10_000 else format_amount(value, lang)


def _judged(word: str, lang: Language) -> str:
    words = {
        "ok": ("within the limit", "未超限"),
        "over": ("over the limit", "超限"),
        "unsure": ("the interval includes the limit", "区间包含上限"),
        "pass": ("not far behind", "未明显落后"),
        "fail": ("far behind the others", "明显落后"),
        "unknown": ("not known", "未知"),
    }
    return say(lang, *words[word])


# -- repurchase and depth ------------------------------------------------------------------------------------


def repurchase_picture(analysis: Analysis) -> alt.FacetChart | None:
    """Share of buyers who bought again by day, a panel for each coupon beside all coupons in grey."""
    lang = analysis.lang
    curves = analysis.tables["coupon_repurchase"]
    own, every = curves[curves["level"] == "coupon"], curves[curves["level"] == "all"]
    card = _coupons_by_failures(analysis).set_index("coupon_id")
    shown = [one for one in card.index if one in set(own["coupon_id"])][:_MOST_PANELS]
    if not shown:
        return None
    failing = set(card.index[card["brings_back"] == "fail"])
    parts = []
    for one in shown:
        name = card.loc[one, "coupon_name"]
        mine = own[own["coupon_id"] == one]
        role = "few" if one in failing else "own"
        parts += [mine.assign(panel=name, role=role), every.assign(panel=name, role="all")]
    drawn = pd.concat(parts, ignore_index=True).drop(columns=["coupon_id", "coupon_name"])
    colour = alt.Color(
        "role:N", legend=None, scale=alt.Scale(domain=["own", "few", "all"], range=[_BLUE, _ORANGE, _GREY])
    )
    base = alt.Chart().encode(
        x=alt.X("day:Q", title=say(lang, "days after the first use", "首次用券后天数"), axis=alt.Axis(tickCount=4)),
        color=colour,
    )
    own_only = base.transform_filter("datum.role != 'all' && isValid(datum.ci_lower)")
    line = base.mark_line(strokeWidth=2, interpolate="step-after").encode(
        y=alt.Y(
            "repurchase_share:Q",
            title=None,
            axis=alt.Axis(format=".0%", tickCount=4),
            scale=alt.Scale(zero=True),
        ),
        tooltip=[
            alt.Tooltip("panel:N", title=say(lang, "coupon", "优惠券")),
            alt.Tooltip("day:Q", title=say(lang, "days", "天")),
            alt.Tooltip("repurchase_share:Q", title=say(lang, "bought again", "已复购"), format=".1%"),
            alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=".1%"),
            alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=".1%"),
            alt.Tooltip("at_risk_count:Q", title=say(lang, "still watched", "仍在观察"), format=","),
        ],
    )
    last = drawn[drawn["role"] != "all"].groupby("panel", as_index=False, sort=False).tail(1)
    ends = last.assign(text=[format_rate(value, 0) for value in last["repurchase_share"]])
    drawn = drawn.merge(ends[["panel", "role", "day", "text"]], how="left", on=["panel", "role", "day"])
    label = base.transform_filter("isValid(datum.text)").mark_text(align="right", dy=-9, fontWeight="bold")
    layers = [
        own_only.mark_area(opacity=0.2, interpolate="step-after").encode(y="ci_lower:Q", y2="ci_upper:Q"),
        line,
        label.encode(y="repurchase_share:Q", text="text:N"),
    ]
    title = say(lang, "Who buys again, and when", "多少买家复购，何时复购")
    if failing & set(shown):
        names = [card.loc[one, "coupon_name"] for one in shown if one in failing]
        title = say(
            lang,
            f"Few buyers come back after {', '.join(names[:3])} (orange)",
            f"{'、'.join(names[:3])} 的买家很少回头（橙色）",
        )
    told = say(
        lang,
        "grey: all coupons; band: interval; Kaplan–Meier, so buyers not yet watched to the end count too. ",
        "灰线为全部券，色带为区间；Kaplan–Meier 估计，含尚未观察完的买家。",
    )
    facet = alt.Facet("panel:N", sort=[card.loc[one, "coupon_name"] for one in shown], title=None, header=_HEADER)
    return (
        alt.LayerChart(layer=layers, data=drawn)
        .properties(width=225, height=105)
        .facet(facet=facet, columns=3, spacing=18)
        .properties(title=alt.Title(wrap(title), anchor="start", subtitle=told + analysis.period.words))
    )


_HEADER = alt.Header(labelLimit=220, labelAnchor="start", labelFontSize=12)


def depth_picture(analysis: Analysis) -> alt.FacetChart | None:
    """Profit of an order by how deep its coupon cuts; without costs, who comes back."""
    lang = analysis.lang
    table = analysis.tables["coupon_depth"]
    if table.empty:
        return None
    is_profit = bool(table["profit_per_order"].notna().any())
    windows = _windows(table)
    if not is_profit and not windows:
        return None
    column = "profit_per_order" if is_profit else f"repurchase_rate_{windows[0]}"
    stem = "profit" if is_profit else column
    band = {NO_MINIMUM_BAND: say(lang, "no minimum", "无门槛")}
    words = {
        "discount_to_gross": say(lang, "discount ÷ gross amount", "减免 ÷ 优惠前金额"),
        "face_to_minimum": say(lang, "face value ÷ minimum spend", "面额 ÷ 使用门槛"),
    }
    drawn = table.assign(
        band=table["band"].replace(band),
        of=table["dimension"].map(words),
        lower=table[f"{stem}_ci_lower"],
        upper=table[f"{stem}_ci_upper"],
        value=table[column],
        role=table["pays"].where(table["pays"].isin(("no", "unsure")), "yes"),
    )
    drawn = drawn[["band", "of", "lower", "upper", "value", "role", "order_count", "subsidy_rate"]]
    bands = [
        name for name in (*map(band_name, range(len(DEPTH_EDGES) - 1)), *band.values()) if name in set(drawn["band"])
    ]
    named = say(lang, "profit per order", "每单利润") if is_profit else say(lang, "bought again", "复购率")
    form = ",.1f" if is_profit else ".1%"
    base = alt.Chart().encode(
        y=alt.Y("band:N", sort=bands, title=None, axis=alt.Axis(labelLimit=90)),
        color=alt.Color(
            "role:N", legend=None, scale=alt.Scale(domain=["yes", "no", "unsure"], range=[_BLUE, _ORANGE, _GREY])
        ),
    )
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("value:Q", title=named, axis=alt.Axis(format="~s" if is_profit else "%", tickCount=5)),
        tooltip=[
            alt.Tooltip("of:N", title=say(lang, "depth", "深度")),
            alt.Tooltip("band:N", title=say(lang, "band", "区间段")),
            alt.Tooltip("order_count:Q", title=say(lang, "orders", "订单"), format=","),
            alt.Tooltip("value:Q", title=named, format=form),
            alt.Tooltip("lower:Q", title=say(lang, "lower", "下限"), format=form),
            alt.Tooltip("upper:Q", title=say(lang, "upper", "上限"), format=form),
        ],
    )
    known = base.transform_filter("isValid(datum.lower)").mark_bar(height=3, opacity=0.7)
    zero = alt.Chart().mark_rule(color=_GREY).encode(x=alt.datum(0))
    layers = [zero, known.encode(x="lower:Q", x2="upper:Q"), point]
    told = say(
        lang,
        "line: interval; orange: surely no profit; what the same buyers would have bought anyway is not known. ",
        "横线为区间，橙色为确定不盈利；这些买家没有券是否也会购买不得而知。",
    )
    facet = alt.Facet("of:N", sort=list(words.values()), title=None, header=_HEADER)
    return (
        alt.LayerChart(layer=layers, data=drawn)
        .properties(width=250, height=22 * max(len(bands), 2))
        .facet(facet=facet, columns=2, spacing=24)
        .properties(
            title=alt.Title(
                wrap(_depth_title(table, is_profit, lang)), anchor="start", subtitle=told + analysis.period.words
            )
        )
    )


def _depth_title(table: pd.DataFrame, is_profit: bool, lang: Language) -> str:
    """From which band on orders surely bring no profit."""
    if not is_profit:
        return say(lang, "Who comes back, by how deep the coupon cuts", "按优惠深度看复购")
    bands = table[table["dimension"] == "discount_to_gross"]
    surely = bands["pays"].eq("no")
    from_here = surely[::-1].cummin()[::-1]  # this band and all deeper ones
    if not from_here.any():
        return say(
            lang,
            "No depth of discount surely stops paying",
            "没有哪个优惠深度确定不盈利",
        )
    first = str(bands.loc[from_here, "band"].iloc[0]).split("-")[0]
    return say(
        lang,
        f"Orders stop paying from {first}% off",
        f"减免达到 {first}% 起订单不再盈利：每单利润低于 0",
    )


# -- what was tested -----------------------------------------------------------------------------------------


def money_picture(analysis: Analysis) -> alt.LayerChart | None:
    """What each tested coupon added in profit and in paid amount, with intervals; None without an experiment."""
    lang, money = analysis.lang, analysis.tables["coupon_money"]
    names = analysis.tables["coupon_decision"].set_index("coupon_id")["coupon_name"]
    words = {
        "incremental_paid_amount": say(lang, "paid amount", "实付"),
        "incremental_profit": say(lang, "profit", "利润"),
    }
    several = money["coupon_id"].duplicated(keep=False).to_numpy()
    labels = [
        f"{names.get(row['coupon_id'], row['coupon_id'])}"
        + (f" · {row['experiment_id']} · {row['variant']}" if again else "")
        for row, again in zip(money.to_dict("records"), several, strict=True)
    ]
    rows = [
        {
            "coupon": label,
            "measure": words[column],
            "amount": row[column],
            "lower": row[f"{column}_ci_lower"],
            "upper": row[f"{column}_ci_upper"],
            "zero": 0,
        }
        for label, row in zip(labels, money.to_dict("records"), strict=True)
        for column in words
        if row[f"{column}_ci_lower"] == row[f"{column}_ci_lower"]
    ]
    if not rows:
        return None
    drawn = pd.DataFrame(rows)
    base = alt.Chart(drawn).encode(
        y=alt.Y("coupon:N", sort=drawn["coupon"].drop_duplicates().tolist(), title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("measure:N", sort=list(words.values())),
        color=alt.Color("measure:N", sort=list(words.values()), title=None, legend=alt.Legend(orient="bottom")),
    )
    title = say(lang, "added beyond the control", "超出对照组的增量")
    x = alt.X("lower:Q", title=title, axis=alt.Axis(format="~s", tickCount=5))
    tips = [
        alt.Tooltip("coupon:N", title=say(lang, "coupon", "优惠券")),
        alt.Tooltip("measure:N", title=say(lang, "measure", "指标")),
        alt.Tooltip("amount:Q", title=say(lang, "added", "增量"), format=",.0f"),
        alt.Tooltip("lower:Q", title=say(lang, "lower", "下限"), format=",.0f"),
        alt.Tooltip("upper:Q", title=say(lang, "upper", "上限"), format=",.0f"),
    ]
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, x2="upper:Q"),
        base.mark_point(filled=True, size=55, opacity=1).encode(x="amount:Q", tooltip=tips),
        alt.Chart(drawn).mark_rule(color=_GREY, strokeDash=[4, 3]).encode(x="zero:Q"),
    ]
    told = say(
        lang, "all treated users whose window has elapsed; lines: intervals. ", "窗口已满的全部实验组用户；横线：区间。"
    )
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=36 * drawn["coupon"].nunique(),
        title=alt.Title(wrap(_money_title(money, names, lang)), anchor="start", subtitle=told + analysis.period.words),
    )


def _money_title(money: pd.DataFrame, names: pd.Series, lang: Language) -> str:
    known = money[money["incremental_profit_ci_lower"].notna()]
    sure = known[(known["incremental_profit_ci_lower"] > 0) | (known["incremental_profit_ci_upper"] < 0)]
    if len(sure):
        row = sure.iloc[0]
        name, amount = names.get(row["coupon_id"], row["coupon_id"]), format_amount(row["incremental_profit"], lang)
        return say(lang, f"{name} changes profit by {amount}", f"{name} 带来利润变化 {amount}")
    selling = known[known["incremental_paid_amount_ci_lower"] > 0]
    if len(selling):
        told = say(lang, ", ", "、").join(str(names.get(one, one)) for one in selling["coupon_id"])
        return say(lang, f"{told}: more is sold, whether it pays is not settled", f"{told}：销售增加，是否盈利未定")
    return say(lang, "No tested coupon surely adds or loses profit", "没有券被证明增加或减少利润")


def flow_picture(analysis: Analysis) -> alt.FacetChart | None:
    """How far all assigned users got when the coupon comes before payment or after it; None without such a test."""
    lang, funnel = analysis.lang, analysis.tables["flow_funnel"]
    if funnel.empty:
        return None
    words = {
        "assigned": say(lang, "assigned", "被分组"),
        "submitted": say(lang, "submitted", "提交"),
        "paid": say(lang, "paid", "支付"),
        "paid_again": say(lang, "paid again", "再次支付"),
    }
    drawn = funnel.assign(named=funnel["step"].map(words))
    base = alt.Chart().encode(
        y=alt.Y("variant:N", title=None, axis=alt.Axis(labelLimit=120)),
        x=alt.X(
            "overall_rate:Q", title=None, axis=alt.Axis(format="%", tickCount=3), scale=alt.Scale(domain=[0, 1.18])
        ),
    )
    tips = [
        alt.Tooltip("variant:N", title=say(lang, "arm", "组别")),
        alt.Tooltip("named:N", title=say(lang, "step", "步骤")),
        alt.Tooltip("user_count:Q", title=say(lang, "users", "用户"), format=","),
        alt.Tooltip("overall_rate:Q", title=say(lang, "of all assigned", "占全部分组用户"), format=".1%"),
    ]
    bars = base.mark_bar(height=14).encode(color=alt.Color("variant:N", legend=None), tooltip=tips)
    labels = base.mark_text(align="left", dx=4).encode(text=alt.Text("overall_rate:Q", format=".1%"))
    panels = alt.LayerChart(layer=[bars, labels], data=drawn).properties(
        width=215, height=26 * drawn["variant"].nunique()
    )
    timing = next((one.text for one in analysis.findings if one.name == "coupon_timing"), "")
    title = timing or say(lang, "Before or after payment", "支付前或支付后发券")
    facet = alt.Facet("named:N", sort=list(words.values()), title=None, header=alt.Header(labelAnchor="start"))
    below = say(lang, "of all assigned users whose window has elapsed", "占窗口已满的全部分组用户")
    return panels.facet(facet=facet, columns=4, spacing=14).properties(
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(below, 90))
    )
