"""When do buyers of a channel pay again, and do channels differ in it?"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.channel.audience import ALL
from workbench.contract import UNKNOWN
from workbench.stats.multiplicity import benjamini_hochberg
from workbench.stats.survival import log_rank, return_curve

COLUMNS = [
    "channel",
    "day",
    "at_risk_count",
    "repurchase_share",
    "ci_lower",
    "ci_upper",
    "log_rank_p_value",
    "log10_p_value",
    "p_value_adjusted",
]
CURVE_DAYS = 90


def repurchase_table(
    exits: pd.DataFrame, channels: list[str], last_day: int, min_users: int, confidence_level: float
) -> pd.DataFrame:
    """Curves of buyers who paid again, by channel, with tests of whether channels differ.

    Parameters
    ----------
    exits
        Collected from ``metrics.population.channel_repurchase``.
    channels
        Channels in the order of the scorecard.
    last_day
        Curves reach as far, or as far as a buyer is watched.
    min_users
        Channels with fewer buyers are not tested, nor are users without a channel.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        One row per channel, and for all of them together (``(all)``), and ``day`` d from 1: at_risk_count,
        repurchase_share (paid again before d days), ci_lower, ci_upper; the same on every day of a channel:
        log_rank_p_value and log10_p_value of the channel against all others, (all): of all channels against each other;
        p_value_adjusted (Benjamini-Hochberg over the channels tested).
    """
    counted = exits[exits["origin_count"] > 0]
    known = [one for one in channels if one in set(counted["channel"])]
    if not known:
        return pd.DataFrame(columns=COLUMNS)
    returned, left = _by_day(counted, known, last_day)
    buyers = returned.sum(axis=1) + left.sum(axis=1)
    tested = [number for number, count in enumerate(buyers) if count >= min_users and known[number] != UNKNOWN]
    tests = np.full((len(known), 2), np.nan)
    together = np.full(2, np.nan)
    if len(tested) > 1:
        found = log_rank(returned[tested], left[tested])
        together = np.array([found.p_value, found.log10_p_value])
        for number in tested:
            sides = [np.stack([one[number], one.sum(axis=0) - one[number]]) for one in (returned, left)]
            one = log_rank(*sides)
            tests[number] = one.p_value, one.log10_p_value
    adjusted = benjamini_hochberg(tests[:, 0])
    parts = [
        _curve(name, returned[number], left[number], tests[number], adjusted[number], last_day, confidence_level)
        for number, name in enumerate(known)
    ]
    every = _curve(ALL, returned.sum(axis=0), left.sum(axis=0), together, np.nan, last_day, confidence_level)
    return pd.concat([*parts, every], ignore_index=True)[COLUMNS]


def _by_day(exits: pd.DataFrame, channels: list[str], last_day: int) -> tuple[NDArray, NDArray]:
    """Count buyers that came back and that left, shape (channels, last_day + 1); what is beyond the last day leaves after it."""
    days = exits["exit_day"].clip(upper=last_day).to_numpy(dtype=np.int64)
    is_inside = exits["is_repurchase"].astype(bool).to_numpy() & (exits["exit_day"] < last_day).to_numpy()
    place = pd.Index(channels).get_indexer(pd.Index(exits["channel"]))
    counts = np.zeros((2, len(channels), last_day + 1))
    np.add.at(counts, ((~is_inside).astype(int), place, days), exits["origin_count"].to_numpy(dtype=float))
    return counts[0], counts[1]


def _curve(
    channel: str,
    returned: NDArray,
    left: NDArray,
    test: NDArray,
    adjusted: float,
    last_day: int,
    confidence_level: float,
) -> pd.DataFrame:
    found = return_curve(returned, left, confidence_level=confidence_level)
    kept = slice(0, last_day)
    return pd.DataFrame(
        {
            "channel": channel,
            "day": np.arange(1, len(found.share[kept]) + 1),
            "at_risk_count": found.at_risk[kept].astype(int),
            "repurchase_share": found.share[kept],
            "ci_lower": found.lower[kept],
            "ci_upper": found.upper[kept],
            "log_rank_p_value": test[0],
            "log10_p_value": test[1],
            "p_value_adjusted": adjusted,
        }
    )
