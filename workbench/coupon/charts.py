"""Pictures of the coupon scorecard; each draws from one table of the analysis and nothing else."""

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.language import format_rate, say, wrap
from workbench.stats.tables import shown_window

_BLUE, _ORANGE, _GREY = "#2f6f9f", "#c8601c", "#9aa5ad"


def _coupons(analysis: Analysis) -> pd.DataFrame:
    card = analysis.tables["coupon_scorecard"]
    return card[(card["level"] == "coupon") & (card["order_count"].fillna(0) > 0)].drop(columns="coupon_id")


def subsidy_picture(analysis: Analysis, subsidy_limit: float) -> alt.LayerChart | None:
    """Subsidy rate of each coupon with its interval against the limit; for the first screen."""
    lang = analysis.lang
    card = _coupons(analysis).sort_values("coupon_discount_amount", ascending=False).head(8)
    if card["subsidy_rate"].isna().all():
        return None
    card = card.assign(is_over=card["subsidy_rate"] > subsidy_limit)
    rate = say(lang, "subsidy rate", "补贴率")
    base = alt.Chart(card).encode(
        y=alt.Y("coupon_name:N", sort=card["coupon_name"].tolist(), title=None, axis=alt.Axis(labelLimit=130)),
        color=alt.condition("datum.is_over", alt.value(_ORANGE), alt.value(_BLUE)),
    )
    rule = base.mark_rule(strokeWidth=3, opacity=0.45).encode(
        x=alt.X("subsidy_ci_lower:Q", title=rate, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(zero=True)),
        x2="subsidy_ci_upper:Q",
    )
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        x="subsidy_rate:Q",
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
        .encode(x="limit:Q")
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


def _close_below(x: pd.Series, y: pd.Series) -> list[bool]:
    """Whether another point stands close above each one, so that its name is better written below."""
    wide, high = max(float(x.max()), 1e-9), max(float(y.max()), 1e-9)
    pairs = list(zip(x, y, strict=True))
    return [any(abs(a - c) < 0.15 * wide and 0 < d - b < 0.15 * high for c, d in pairs) for a, b in pairs]


def usage_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Redemption against repurchase: used often and coming back are different things."""
    lang = analysis.lang
    card = _coupons(analysis)
    windows = sorted(
        int(one.split("_")[2])
        for one in card.columns
        if one.startswith("repurchase_rate_") and one.endswith("_ci_lower")
    )
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
