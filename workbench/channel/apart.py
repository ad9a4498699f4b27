"""Which channels are surely apart: every sentence and title that names the highest or the lowest asks here first.

Of seven alike channels one is always the lowest, and without adjusting for the choice three quiet shops of ten are told
that it is: what is named here has passed a test adjusted for all channels looked at.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from workbench.stats.multiplicity import holm

Row = Mapping[Any, Any]


def ranked_channels(scorecard: pd.DataFrame) -> pd.DataFrame:
    """Channels that may be ranked, highest conversion first."""
    known = scorecard["conversion_rate"].notna() & scorecard["unranked_reason"].isna()
    return scorecard[known].sort_values(["conversion_rate", "channel"], ascending=[False, True])


def clearest_gap(tables: Mapping[str, pd.DataFrame]) -> pd.Series | None:
    """The ranked channel that converts furthest below the baseline beyond chance, or else furthest above it.

    None where no gap is surely there, all gaps tested together, or nothing could be compared like with like. The test of
    pairs must say so too: of a channel of them, or of the baseline where that is one. So the two tables never disagree,
    and quiet shops are told of a channel as rarely as one family of tests allows (4.5 % of 800 simulated shops of seven
    alike channels; by either family 7.8 %; by the interval of the furthest gap alone 30 %).
    """
    adjusted, scorecard = tables["channel_adjusted"], tables["channel_scorecard"]
    ranked = scorecard.loc[scorecard["unranked_reason"].isna(), "channel"]
    rows = adjusted[adjusted["channel"].isin(ranked) & adjusted["reason"].isna() & adjusted["is_different"].eq(True)]
    if rows.empty:
        return None
    apart = tables["channel_pairs"]
    apart = apart[apart["is_different"].eq(True)]
    base = rows["baseline"].iloc[0]
    if base in set(ranked):
        apart = apart[(apart["channel"] == base) | (apart["other_channel"] == base)]
    below = rows[(rows["gap"] < 0) & rows["channel"].isin(apart["other_channel"])]
    above = rows[(rows["gap"] > 0) & rows["channel"].isin(apart["channel"])]
    if len(below):
        return below.sort_values(["gap", "channel"]).iloc[0]
    return above.sort_values(["gap", "channel"], ascending=[False, True]).iloc[0] if len(above) else None


def clearest_pair(pairs: pd.DataFrame, scorecard: pd.DataFrame) -> tuple[Row, Row] | None:
    """Two channels of the scorecard that differ beyond chance, the higher first; None if none do.

    The highest and the lowest, or the clearest pair where these two are too small to tell.
    """
    apart = pairs[pairs["is_different"].eq(True)]
    if apart.empty:
        return None
    ranked = ranked_channels(scorecard)
    ends = (ranked["channel"].iloc[0], ranked["channel"].iloc[-1])
    outer = apart[(apart["channel"] == ends[0]) & (apart["other_channel"] == ends[1])]
    chosen = (outer if len(outer) else apart).iloc[0]
    rows = {row["channel"]: row for row in ranked.to_dict("records")}
    return rows[chosen["channel"]], rows[chosen["other_channel"]]


def surely_above(pairs: pd.DataFrame, channel: str) -> list[str]:
    """Channels that convert less than this one beyond chance."""
    return pairs.loc[(pairs["channel"] == channel) & pairs["is_different"].eq(True), "other_channel"].tolist()


def surely_below(pairs: pd.DataFrame, channel: str) -> list[str]:
    """Channels that convert more than this one beyond chance."""
    return pairs.loc[(pairs["other_channel"] == channel) & pairs["is_different"].eq(True), "channel"].tolist()


def is_outermost(pairs: pd.DataFrame, channel: str, *, above: bool) -> bool:
    """Whether a channel is beyond chance above (or below) every other channel that is ranked."""
    others = int(((pairs["channel"] == channel) | (pairs["other_channel"] == channel)).sum())
    told = surely_above(pairs, channel) if above else surely_below(pairs, channel)
    return 0 < others == len(told)


def rest_p_values(
    successes: ArrayLike, trials: ArrayLike, all_successes: ArrayLike, all_trials: ArrayLike
) -> NDArray[np.float64]:
    """Is a share among a group's users other than among the rest? Adjusted (Holm) for all groups looked at.

    Parameters
    ----------
    successes, trials
        Users with and all users of each group, shape (groups,).
    all_successes, all_trials
        The same of all users that the group is compared with, itself among them.

    Returns
    -------
    numpy.ndarray
        Adjusted two-sided p-values of the pooled two-proportion test; NaN where there is no rest, or nobody or everybody
        in both.
    """
    k, n, whole_k, whole_n = (np.asarray(one, dtype=float) for one in (successes, trials, all_successes, all_trials))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = whole_k / whole_n
        error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / (whole_n - n)))
        statistic = (k / n - (whole_k - k) / (whole_n - n)) / np.where(error > 0, error, np.nan)
    statistic[~np.isfinite(statistic)] = np.nan
    return holm(2 * special.ndtr(-np.abs(statistic)))
