"""Pictures of the read-out; each draws from tables of the analysis and nothing else."""

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.experiment.effects import DECIDING
from workbench.experiment.words import VERDICT_WORDS, outcome_words
from workbench.language import Language, format_rate, say, wrap

_GREY = "#8b929b"
_DASHES = [4, 3]


def verdict_picture(analysis: Analysis) -> alt.LayerChart | None:
    """Change of the primary outcome in per cent of the control, with intervals, raw and adjusted; for the first screen."""
    rows = _primary(analysis)
    if rows.empty:
        return None
    return _forest(analysis, rows, "arm", _verdict_title(analysis), height=34 * rows["arm"].nunique())


def outcome_picture(analysis: Analysis) -> alt.FacetChart | None:
    """Every outcome in the primary window, one panel for each arm."""
    effects = analysis.tables["experiment_effect"]
    days = effects.loc[effects["is_primary"].astype(bool), ["experiment_id", "variant", "outcome_days"]]
    rows = _drawable(effects.merge(days, on=["experiment_id", "variant", "outcome_days"]), analysis)
    if rows.empty:
        return None
    layers = _marks(rows, "measured", analysis.lang)
    panels = alt.LayerChart(layer=layers, data=rows).properties(width=250, height=150)
    title = say(
        analysis.lang,
        "What moved, in per cent of the control: raw and adjusted side by side",
        "各指标相对对照组的变化：原始与调整后对照",
    )
    facet = alt.Facet("arm:N", title=None, header=alt.Header(labelAnchor="start", labelFontSize=12))
    return panels.facet(facet=facet, columns=3, spacing=18).properties(
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(_measured(analysis), 90))
    )


def curve_picture(analysis: Analysis) -> alt.FacetChart | None:
    """The cumulative effect over the days after assignment: sales pulled forward come and go."""
    lang = analysis.lang
    curve = analysis.tables["experiment_curve"]
    outcome = "profit_per_user" if (curve["outcome"] == "profit_per_user").any() else "orders_per_user"
    rows = curve[(curve["outcome"] == outcome) & curve["estimate"].notna()]
    if rows.empty:
        return None
    rows = rows.assign(arm=_arms(rows), zero=0)
    base = alt.Chart().encode(
        x=alt.X("day:Q", title=say(lang, "days after assignment", "分组后天数"), axis=alt.Axis(grid=False)),
    )
    difference = say(lang, "difference", "差值")
    tips = [
        alt.Tooltip("day:Q", title=say(lang, "day", "天")),
        alt.Tooltip("estimate:Q", title=difference, format=".3f"),
        alt.Tooltip("ci_lower:Q", title=say(lang, "lower", "下限"), format=".3f"),
        alt.Tooltip("ci_upper:Q", title=say(lang, "upper", "上限"), format=".3f"),
        alt.Tooltip("n_treatment:Q", title=say(lang, "users, treatment", "实验组用户"), format=","),
        alt.Tooltip("n_control:Q", title=say(lang, "users, control", "对照组用户"), format=","),
    ]
    y_axis = alt.Axis(tickCount=4, format=",.3~f")
    layers = [
        base.mark_area(opacity=0.25).encode(y=alt.Y("ci_lower:Q", title=None, axis=y_axis), y2="ci_upper:Q"),
        base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18)).encode(y="estimate:Q", tooltip=tips),
        base.mark_rule(color=_GREY, strokeDash=_DASHES).encode(y="zero:Q", x=alt.Undefined),
    ]
    panels = alt.LayerChart(layer=layers, data=rows).properties(width=250, height=130)
    what = outcome_words(outcome, lang)
    title = say(
        lang,
        f"Cumulative difference of {what} by days after assignment",
        f"分组后累计{what}差值",
    )
    below = say(
        lang,
        "treatment less control; band: interval; users followed to the last day",
        "实验组减对照组；带：区间；仅含观察期已满的用户",
    )
    facet = alt.Facet("arm:N", title=None, header=alt.Header(labelAnchor="start", labelFontSize=12))
    return (
        panels.facet(facet=facet, columns=3, spacing=18)
        .resolve_scale(y="independent")
        .properties(title=alt.Title(wrap(title), anchor="start", subtitle=wrap(below, 90)))
    )


def _arms(rows: pd.DataFrame) -> pd.Series:
    """Name of each arm; the arm's own only where it is not plainly the treatment."""
    plain = rows["variant"] == "treatment"
    return rows["experiment_id"].astype(str).where(plain, rows["experiment_id"] + " · " + rows["variant"])


def _primary(analysis: Analysis) -> pd.DataFrame:
    effects = analysis.tables["experiment_effect"]
    primary = effects.loc[effects["is_primary"].astype(bool), ["experiment_id", "variant", "outcome", "outcome_days"]]
    return _drawable(effects.merge(primary), analysis)


def _drawable(rows: pd.DataFrame, analysis: Analysis) -> pd.DataFrame:
    """Raw and adjusted rows in per cent of the control; without the post-stratified, which the table has.

    ``lower`` and ``upper`` are the interval of the difference on which verdicts rest, divided by the control's
    unadjusted mean. The delta method's relative interval also knows the chance in that mean, and near 0 would say
    something else than the verdict.
    """
    lang, key = analysis.lang, ["experiment_id", "variant", "outcome", "outcome_days"]
    raw = rows.loc[rows["adjustment"] == "none", [*key, "mean_control"]].rename(columns={"mean_control": "base"})
    rows = rows[rows["adjustment"].isin(["none", DECIDING])].merge(raw, on=key)
    rows = rows[rows["adjusted_ci_lower"].notna() & (rows["base"] > 0)]
    verdicts = analysis.tables["experiment_verdict"]
    unjudged = verdicts.loc[verdicts["verdict"].isin(["broken", "none"]), ["experiment_id", "variant", "verdict"]]
    verdict = rows[["experiment_id", "variant"]].merge(unjudged, how="left")["verdict"].to_numpy()
    words = {"none": say(lang, "raw", "原始"), DECIDING: say(lang, "adjusted", "调整后")}
    warned = {one: say(lang, " ({})", "（{}）").format(say(lang, *VERDICT_WORDS[one])) for one in ("broken", "none")}
    return rows.assign(
        arm=[f"{arm}{warned.get(one, '')}" for arm, one in zip(_arms(rows), verdict, strict=True)],
        lower=rows["adjusted_ci_lower"] / rows["base"],
        upper=rows["adjusted_ci_upper"] / rows["base"],
        measured=[outcome_words(one, lang) for one in rows["outcome"]],
        kind=rows["adjustment"].map(words),
        zero=0,
    )


def _marks(rows: pd.DataFrame, column: str, lang: Language) -> list[alt.Chart]:
    kinds = rows["kind"].drop_duplicates().tolist()
    names = rows[column].drop_duplicates().tolist()
    change = say(lang, "change against the control", "相对对照组的变化")
    base = alt.Chart(rows).encode(
        y=alt.Y(f"{column}:N", sort=names, title=None, axis=alt.Axis(labelLimit=150, labelOverlap=False)),
        yOffset=alt.YOffset("kind:N", sort=kinds),
        color=alt.Color("kind:N", sort=kinds, title=None, legend=alt.Legend(orient="bottom")),
    )
    tips = [
        alt.Tooltip("arm:N", title=say(lang, "experiment", "实验")),
        alt.Tooltip("measured:N", title=say(lang, "measured", "指标")),
        alt.Tooltip("kind:N", title=say(lang, "estimate", "估计")),
        alt.Tooltip("relative_estimate:Q", title=change, format="+.1%"),
        alt.Tooltip("lower:Q", title=say(lang, "lower", "下限"), format="+.1%"),
        alt.Tooltip("upper:Q", title=say(lang, "upper", "上限"), format="+.1%"),
        alt.Tooltip("estimate:Q", title=say(lang, "difference per user", "人均差值"), format="+.4f"),
    ]
    x = alt.X("lower:Q", title=change, axis=alt.Axis(format="+.0%", tickCount=5))
    return [
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, x2="upper:Q"),
        base.mark_point(filled=True, size=55, opacity=1).encode(x="relative_estimate:Q", tooltip=tips),
        alt.Chart(rows).mark_rule(color=_GREY, strokeDash=_DASHES).encode(x="zero:Q"),
    ]


def _forest(analysis: Analysis, rows: pd.DataFrame, column: str, title: str, *, height: int) -> alt.LayerChart:
    return alt.LayerChart(layer=_marks(rows, column, analysis.lang)).properties(
        width="container",
        height=max(height, 60),
        title=alt.Title(wrap(title), anchor="start", subtitle=wrap(_measured(analysis), 90)),
    )


def _verdict_title(analysis: Analysis) -> str:
    lang, verdicts = analysis.lang, analysis.tables["experiment_verdict"]
    better = verdicts[(verdicts["verdict"] == "better") & verdicts["relative_estimate"].notna()]
    better = better.sort_values("relative_estimate", ascending=False)
    if len(better):
        row = better.iloc[0]
        rate, what = format_rate(row["relative_estimate"]), outcome_words(row["outcome"], lang)
        return say(
            lang,
            f"{row['experiment_id']} raises {what} most, by {rate}",
            f"{row['experiment_id']} 提升{what}最多，{rate}",
        )
    return say(lang, "No treatment is surely better than its control", "没有实验组明确优于对照组")


def _measured(analysis: Analysis) -> str:
    lang, verdicts = analysis.lang, analysis.tables["experiment_verdict"]
    windows = sorted(set(verdicts["outcome_days"].dropna().astype(int)))
    days = ", ".join(str(one) for one in windows)
    told = say(
        lang,
        f"{days} days after assignment; lines: intervals of the difference, several arms allowed for, in per cent of "
        "the control's mean; adjusted: by the time before. ",
        f"分组后 {days} 天；横线：差值区间（按多组校正）÷ 对照组均值；调整：按分组前数据。",
    )
    return told + analysis.period.words
