"""Columns that several scorecards share: rates with their intervals from counts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.stats.intervals import wilson


def repurchase_columns(counts: pd.DataFrame, days: Sequence[int], confidence_level: float) -> pd.DataFrame:
    """Turn ``eligible_<W>`` and ``repurchased_<W>`` into rates with Wilson intervals.

    Returns
    -------
    pandas.DataFrame
        For each W: repurchase_rate_W, repurchase_rate_W_eligible_count, _ci_lower, _ci_upper. A rate is NaN
        where no buyer's window has elapsed.
    """
    columns: dict[str, np.ndarray | pd.Series] = {}
    for window in days:
        eligible = counts[f"eligible_{window}"].fillna(0)
        found = wilson(counts[f"repurchased_{window}"].fillna(0), eligible, confidence_level=confidence_level)
        name = f"repurchase_rate_{window}"
        columns |= {
            name: found.estimate,
            f"{name}_eligible_count": eligible,
            f"{name}_ci_lower": found.lower,
            f"{name}_ci_upper": found.upper,
        }
    return pd.DataFrame(columns, index=counts.index)


def shown_window(days: Sequence[int]) -> int | None:
    """The repurchase window that sentences and first screens speak of: 30 days if it was asked for, else the shortest.

    Examples
    --------
    >>> shown_window([7, 30]), shown_window([90, 60]), shown_window([])
    (30, 60, None)
    """
    return 30 if 30 in days else min(days, default=None)


def divide(numerator: pd.Series, denominator: pd.Series) -> pd.Series:
    """Divide; NaN where the denominator is 0 or missing."""
    return numerator / denominator.where(denominator != 0)
