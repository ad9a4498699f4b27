"""What operators want of a coupon, criterion by criterion: passed, failed, or not known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.stats.intervals import MINIMUM_EFFECTIVE, MINIMUM_ENTROPY
from workbench.stats.tables import shown_window

CLEARLY_BELOW = 0.5
"""A coupon fails where its whole interval lies below this part of the median of the others."""
LEAST_OTHERS = 2
"""So many other coupons make a comparison."""
CRITERIA = ("is_subsidy_ok", "is_redeemed_well", "sells", "is_diverse", "brings_back")
FAILED = ("fail", "over")
"""Words of a criterion that is not met."""


def judged_column(criterion: str, days: Sequence[int]) -> str | None:
    """Name of the number on which a criterion rests; None where no window of repurchase was asked for."""
    window = shown_window(days)
    return {
        "is_subsidy_ok": "subsidy_rate",
        "is_redeemed_well": "redemption_rate",
        "sells": "average_order_value",
        "is_diverse": "category_entropy",
        "brings_back": f"repurchase_rate_{window}" if window else None,
    }[criterion]


def add_criteria(card: pd.DataFrame, days: Sequence[int], limit: float, enough: pd.DataFrame) -> pd.DataFrame:
    """Judge every row of the scorecard.

    Parameters
    ----------
    card
        With level, the judged columns and the lower and upper ends of their intervals.
    days
        Windows of repurchase.
    limit
        Share of gross amount that a coupon should not take off.
    enough
        Same rows; for ``holders``, ``buyers``, ``eligible``: how many effective users a number rests on.

    Returns
    -------
    pandas.DataFrame
        The card with the five criteria: ``is_subsidy_ok`` ok, over, unsure, unknown; the others pass, fail, unknown.

    Notes
    -----
    A coupon fails only where it is surely far behind: its interval lies wholly below half the median of the other
    rows of its level. The median itself is taken as known. Fewer than 50 effective users (for diversity 100), or fewer
    than two others, are "unknown".
    """
    again = judged_column("brings_back", days)
    bounds = {
        "is_redeemed_well": ("redemption_ci_upper", "holders", MINIMUM_EFFECTIVE),
        "sells": ("average_order_ci_upper", "buyers", MINIMUM_EFFECTIVE),
        "is_diverse": ("category_entropy_ci_upper", "buyers", MINIMUM_ENTROPY),
        "brings_back": (f"{again}_ci_upper", "eligible", MINIMUM_EFFECTIVE),
    }
    found: dict[str, pd.Series] = {"is_subsidy_ok": _subsidy(card, limit, enough["buyers"])}
    for criterion, (upper, who, least) in bounds.items():
        column = judged_column(criterion, days)
        if column is None:
            found[criterion] = pd.Series("unknown", index=card.index)
        else:
            found[criterion] = _against_others(card, column, upper, enough[who] >= least)
    return card.assign(**found)


def _subsidy(card: pd.DataFrame, limit: float, buyers: pd.Series) -> pd.Series:
    known = card["subsidy_rate"].notna() & (buyers >= MINIMUM_EFFECTIVE)
    lower, upper = (card[f"subsidy_ci_{side}"].fillna(card["subsidy_rate"]) for side in ("lower", "upper"))
    words = pd.Series("unknown", index=card.index).mask(known, "unsure")
    return words.mask(known & (upper <= limit), "ok").mask(known & (lower > limit), "over")


def _against_others(card: pd.DataFrame, column: str, upper: str, is_enough: pd.Series) -> pd.Series:
    """Pass, fail or unknown, each level by itself; a number without spread is its own interval."""
    words = ["unknown"] * len(card)
    known = (card[column].notna() & is_enough).to_numpy()
    values = card[column].to_numpy(dtype=float)
    highest = card[upper].fillna(card[column]).to_numpy(dtype=float)
    for level in card["level"].unique():
        mine = np.flatnonzero(known & (card["level"] == level).to_numpy())
        if len(mine) <= LEAST_OTHERS:
            continue
        for number, place in enumerate(mine):
            others = np.median(values[np.delete(mine, number)])
            words[place] = "fail" if highest[place] < CLEARLY_BELOW * others else "pass"
    return pd.Series(words, index=card.index)
