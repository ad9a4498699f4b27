"""Which numbers of a user report the next one is held against."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from workbench.analysis import Cell, Figure, figures_at
from workbench.language import Language, say
from workbench.user.words import last_groups

_BETTER: dict[str, Literal["up", "down", ""]] = {"high_high": "up", "low_low": "down"}


def user_figures(tables: Mapping[str, pd.DataFrame], window_days: int, lang: Language) -> tuple[Figure, ...]:
    """How large each of the four groups is at the end, and what the best one pays.

    They count all that users did in the window, which may begin before the report.
    """
    if tables["quadrants"].empty:
        return ()
    found: tuple[Figure, ...] = ()
    for one in last_groups(tables).to_dict("records"):
        key = {"period_index": one["period_index"], "quadrant": one["quadrant"]}
        found += figures_at(
            tables,
            f"user_share {one['quadrant']}",
            say(lang, f"{one['name']}, share of users", f"{one['name']}的用户占比"),
            Cell("quadrants", key, "user_share"),
            interval=("user_share_ci_lower", "user_share_ci_upper"),
            unit="rate",
            better=_BETTER.get(str(one["quadrant"]), ""),
            days=window_days,
        )
        if one["quadrant"] == "high_high":
            found += figures_at(
                tables,
                "amount_share high_high",
                say(lang, f"{one['name']}, share of the paid amount", f"{one['name']}的支付金额占比"),
                Cell("quadrants", key, "amount_share"),
                interval=("amount_share_ci_lower", "amount_share_ci_upper"),
                unit="rate",
                days=window_days,
            )
    return found
