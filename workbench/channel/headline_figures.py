"""Which numbers of a channel comparison the next report is held against."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from workbench.analysis import Cell, Figure, Kind, figures_at
from workbench.channel.audience import ALL
from workbench.language import Language, say
from workbench.stats.intervals import wilson

MOST_COUNTED, MOST_CONVERTED = 3, 2


def channel_figures(
    tables: Mapping[str, pd.DataFrame], population: str, basis: str, confidence_level: float, lang: Language
) -> tuple[Figure, ...]:
    """Conversion of all users, and users and conversion of the largest channels.

    Channels are chosen by their users, not by how they convert: the best of a month is often not the best of the next.
    """
    card = tables["channel_scorecard"]
    largest = list(card.sort_values(["user_count", "channel"], ascending=[False, True])["channel"])
    counted: Kind = "sum" if population == "new" else "distinct"
    converted: Kind = "level" if population == "new" else "distinct"
    users = say(lang, *(("new users", "新用户") if population == "new" else ("users", "用户")))
    figures = _conversion_of_all(tables, basis, converted, confidence_level, lang)
    for channel in largest[:MOST_CONVERTED]:
        figures += figures_at(
            tables,
            f"conversion_rate {channel}",
            say(lang, f"conversion, {channel}", f"{channel}转化率"),
            Cell("channel_scorecard", {"channel": channel}, "conversion_rate"),
            interval=("ci_lower", "ci_upper"),
            unit="rate",
            better="up",
            kind=converted,
        )
    for channel in largest[:MOST_COUNTED]:
        figures += figures_at(
            tables,
            f"user_count {channel}",
            say(lang, f"{users}, {channel}", f"{channel}{users}"),
            Cell("channel_scorecard", {"channel": channel}, "user_count"),
            unit="count",
            better="up",
            kind=counted,
        )
    return figures


def _conversion_of_all(
    tables: Mapping[str, pd.DataFrame], basis: str, kind: Kind, confidence_level: float, lang: Language
) -> tuple[Figure, ...]:
    """Conversion of everybody; its interval is Wilson's where a row of the sums is one user."""
    adjusted = tables["channel_adjusted"]
    if adjusted.empty or adjusted["baseline"].iloc[0] != ALL:
        return ()
    cell = Cell("channel_adjusted", {"channel": adjusted["channel"].iloc[0]}, "baseline_rate")
    label = say(lang, "conversion, all users", "全体用户转化率")
    found = figures_at(tables, "conversion_rate", label, cell, unit="rate", better="up", kind=kind)
    if not found or basis != "acquisition":
        return found
    users = float(adjusted["conversion_eligible_count"].sum())
    ends = wilson([round(found[0].value * users)], [users], confidence_level=confidence_level)
    return (replace(found[0], ci_lower=float(ends.lower[0]), ci_upper=float(ends.upper[0])),)
