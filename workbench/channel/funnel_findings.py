"""What the funnel says, in sentences that name their cell."""

import pandas as pd

from workbench.analysis import Cell, Finding
from workbench.channel.apart import rest_p_values
from workbench.channel.wishes import Wishes
from workbench.language import Language, format_count, format_hours, format_rate, say


def leak_findings(funnel: pd.DataFrame, wishes: Wishes, lang: Language) -> list[Finding]:
    """The channel (and value of the breakdown) and step that lose most against all others, beyond chance.

    All channels and steps are tested together. Sessions are not: those of one user are not independent. Nor are values of
    the last step that a user gets to, which follow from how far that is.
    """
    if funnel.empty or wishes.count == "sessions":
        return []
    if "breakdown_value" in funnel and wishes.breakdown_at == "last":
        return []
    keys = [name for name in ("channel", "breakdown_value") if name in funnel]
    steps = funnel[~funnel["step"].isin(wishes.optional_steps)].sort_values("step_index")
    steps = steps.assign(
        base_count=steps.groupby(keys)["user_count"].shift(),
        all_count=steps.groupby("step_index")["user_count"].transform("sum"),
    )
    steps = steps[steps["base_count"].notna()]
    steps["all_base_count"] = steps.groupby("step_index")["base_count"].transform("sum")
    steps = steps[(steps["base_count"] >= wishes.min_users) & (steps["channel"] != "(unknown)")]
    counts = [steps[name].astype(float) for name in ("user_count", "base_count", "all_count", "all_base_count")]
    p_values = rest_p_values(*counts)
    steps = steps.assign(all_rate=counts[2] / counts[3])
    steps["lost_count"] = ((steps["all_rate"] - steps["step_rate"]) * steps["base_count"]).round()
    surely = steps[(p_values < 1 - wishes.confidence_level) & (steps["lost_count"] > 0)]
    found = []
    for one in surely.sort_values("lost_count", ascending=False, kind="stable").head(1).to_dict("records"):
        who = " · ".join(str(one[name]) for name in keys)
        found.append(
            Finding(
                "leakiest_step",
                say(
                    lang,
                    f"{who} loses most at {one['step']}: {format_rate(one['step_rate'])} go on, "
                    f"{format_rate(one['all_rate'])} over all channels ({format_count(one['lost_count'])} users fewer).",
                    f"{who} 在 {one['step']} 流失最多：{format_rate(one['step_rate'])} 继续，全部渠道为 "
                    f"{format_rate(one['all_rate'])}（少 {format_count(one['lost_count'])} 人）。",
                ),
                Cell("channel_funnel", {**{name: one[name] for name in keys}, "step": one["step"]}, "step_rate"),
                one["step_rate"],
            )
        )
    return found


def time_findings(funnel: pd.DataFrame, wishes: Wishes, lang: Language) -> list[Finding]:
    """How long users of the channel from which most get through take."""
    if funnel.empty or "breakdown_value" in funnel:
        return []
    first, last = (funnel.loc[funnel["step_index"] == end, "step"].iloc[0] for end in (1, funnel["step_index"].max()))
    rows = funnel[
        (funnel["step"] == last) & (funnel["user_count"] >= wishes.min_users) & funnel["median_hours"].notna()
    ]
    found = []
    for one in rows.sort_values("user_count", ascending=False, kind="stable").head(1).to_dict("records"):
        low, middle, high = (format_hours(one[f"{end}_hours"], lang) for end in ("lower", "median", "upper"))
        found.append(
            Finding(
                "time_to_convert",
                say(
                    lang,
                    f"From {first} to {last} {wishes.count} of {one['channel']} take {middle} in the middle; a quarter take at "
                    f"most {low}, a quarter at least {high}.",
                    f"{one['channel']} 从 {first} 到 {last} 的中位用时为 {middle}；四分之一不超过 {low}，四分之一不少于 {high}。",
                ),
                Cell("channel_funnel", {"channel": one["channel"], "step": last}, "median_hours"),
                one["median_hours"],
            )
        )
    return found
