"""Is a channel's conversion its own, or its audience's? Comparison with one common audience."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from workbench.errors import ParameterError, nearest
from workbench.stats.intervals import Interval, wilson
from workbench.stats.multiplicity import holm
from workbench.stats.proportions import pairs_by_bucket, pairwise_proportions
from workbench.stats.standardisation import StandardisedRates, standardise

Floats = NDArray[np.float64]
ALL = "(all)"
PARTS = ("mix", "rate", "unsupported")
_BUCKETS = 256


@dataclass(frozen=True)
class Audience:
    """Users and those of them who converted, by bucket of users, channel and cell of the audience.

    Attributes
    ----------
    channels, columns
        Channels with users in the order of the scorecard; columns of users that make the cells.
    cells
        One row per cell: the values of ``columns``, ``(unknown)`` where they are null.
    converted, users
        Shape (buckets, channels, cells).
    """

    channels: tuple[str, ...]
    columns: tuple[str, ...]
    cells: pd.DataFrame
    converted: Floats
    users: Floats


def audience_of(sums: pd.DataFrame, channels: Sequence[str], columns: Sequence[str]) -> Audience:
    """Arrange the collected sums of ``metrics.population.channel_sums`` by channel and cell."""
    counted = sums[sums["eligible_count"] > 0]
    with_users = set(counted["channel"])
    known = tuple(one for one in channels if one in with_users)
    cells, number = pd.DataFrame(index=[0]), np.zeros(len(counted), dtype=np.int64)
    if columns:
        cells = counted[list(columns)].drop_duplicates().sort_values(list(columns)).reset_index(drop=True)
        number = pd.MultiIndex.from_frame(cells).get_indexer(pd.MultiIndex.from_frame(counted[list(columns)]))
    shape = (_BUCKETS, len(known), len(cells))
    place = (
        counted["user_bucket"].to_numpy(dtype=np.int64),
        pd.Index(known).get_indexer(pd.Index(counted["channel"])),
        number,
    )
    converted, users = np.zeros(shape), np.zeros(shape)
    np.add.at(converted, place, counted["converted_count"].to_numpy(dtype=float))
    np.add.at(users, place, counted["eligible_count"].to_numpy(dtype=float))
    return Audience(known, tuple(columns), cells, converted, users)


def check_baseline(baseline: str | None, channels: Sequence[str]) -> None:
    """Refuse a channel to compare with that is not among those with users whose window has elapsed."""
    if baseline is not None and baseline not in channels:
        raise ParameterError(
            f'baseline: "{baseline}" is no channel with users whose window has elapsed{nearest(baseline, channels, ".")} '
            f"Allowed: null for all users, or one of {', '.join(channels[:20])}."
        )


def adjusted_table(
    audience: Audience, baseline: str | None, confidence_level: float, ranked: Sequence[str] | None = None
) -> tuple[pd.DataFrame, StandardisedRates | None]:
    """Split each channel's gap to the baseline into audience and rate.

    Parameters
    ----------
    audience, baseline, confidence_level
        The users by cell, the channel compared with (None: all), coverage of intervals.
    ranked
        Channels whose gaps are tested, all together; None: all.

    Returns
    -------
    pandas.DataFrame, StandardisedRates
        One row per channel with users: channel, baseline, conversion_eligible_count, conversion_rate, baseline_rate,
        and with ``_ci_lower`` and ``_ci_upper``: adjusted_rate, gap, mix, rate, unsupported (fractions); p_value (of no
        gap), p_value_adjusted (Holm over the channels tested, as sentences name the furthest of them), is_different;
        supported_share, reason. Without a column that describes the audience the gap is all that is known: its parts
        are NaN, reason ``no_audience``. And what it was made of; None without a cell or without an audience.
    """
    columns = ["channel", "baseline", "conversion_eligible_count", "conversion_rate", "baseline_rate", "adjusted_rate"]
    columns += ["adjusted_rate_ci_lower", "adjusted_rate_ci_upper"]
    columns += [f"{part}{end}" for part in ("gap", *PARTS) for end in ("", "_ci_lower", "_ci_upper")]
    columns += ["p_value", "p_value_adjusted", "is_different", "supported_share", "reason"]
    if not audience.users.size:
        return pd.DataFrame(columns=columns), None
    number = None if baseline is None else audience.channels.index(baseline)
    found = standardise(audience.converted, audience.users, baseline=number, confidence_level=confidence_level)
    table = pd.DataFrame(
        {
            "channel": audience.channels,
            "baseline": ALL if baseline is None else baseline,
            "conversion_eligible_count": audience.users.sum(axis=(0, 2)),
            "conversion_rate": found.crude.estimate,
            "baseline_rate": found.baseline_rate,
            "supported_share": found.supported_share,
            "reason": found.reason,
        }
    )
    for name, one in {
        "adjusted_rate": found.adjusted,
        "gap": found.gap,
        "mix": found.mix,
        "rate": found.rate,
        "unsupported": found.unsupported,
    }.items():
        table[name], table[f"{name}_ci_lower"], table[f"{name}_ci_upper"] = one.estimate, one.lower, one.upper
    is_tested = np.ones(len(table), dtype=bool) if ranked is None else table["channel"].isin(ranked).to_numpy()
    table["p_value"] = np.where(is_tested, _gap_p_values(audience, found.gap, confidence_level), np.nan)
    table["p_value_adjusted"] = holm(table["p_value"])
    table["is_different"] = table["p_value_adjusted"] < 1 - confidence_level
    if audience.columns:
        return table[columns], found
    unknown = [f"{part}{end}" for part in ("adjusted_rate", *PARTS) for end in ("", "_ci_lower", "_ci_upper")]
    table[[*unknown, "supported_share"]] = np.nan
    table["reason"] = table["reason"].where(table["reason"].notna(), "no_audience")
    return table[columns], None


def _gap_p_values(audience: Audience, gap: Interval, confidence_level: float) -> Floats:
    """Of no gap, by Student's t from which the bounds are made; NaN without bounds and for a gap that cannot vary."""
    degrees = np.maximum((audience.users.sum(axis=2) > 0).sum(axis=0) - 1, 1)
    error = (gap.upper - gap.lower) / 2 / stats.t.ppf(0.5 + confidence_level / 2, degrees)
    statistic = np.abs(gap.estimate) / np.where(error > 1e-12, error, np.nan)
    return 2 * stats.t.sf(statistic, degrees)


def mix_table(
    audience: Audience, baseline: str | None, found: StandardisedRates | None, confidence_level: float
) -> pd.DataFrame:
    """Which parts of the audience make up a channel's gap?

    Returns
    -------
    pandas.DataFrame
        One row per channel and cell that the channel or the baseline has, those that move the channel's gap most first:
        channel, the columns of the cell, conversion_eligible_count, audience_share, baseline_share, conversion_rate with
        its Wilson interval, baseline_rate (of the cell), mix, rate (parts of the gap; 0 in cells that one side lacks).
        No row without a column that describes the audience.
    """
    columns = ["channel", *audience.columns, "conversion_eligible_count", "audience_share", "baseline_share"]
    columns += ["conversion_rate", "ci_lower", "ci_upper", "baseline_rate", "mix", "rate"]
    if found is None:
        return pd.DataFrame(columns=columns)
    users, converted = audience.users.sum(axis=0), audience.converted.sum(axis=0)
    place = None if baseline is None else audience.channels.index(baseline)
    base_users, base_converted = (one.sum(axis=0) if place is None else one[place] for one in (users, converted))
    with np.errstate(divide="ignore", invalid="ignore"):
        base_rate = base_converted / base_users
        base_share = base_users / base_users.sum()
    parts = []
    for number, channel in enumerate(audience.channels):
        single = wilson(converted[number], users[number], confidence_level=confidence_level)
        part = audience.cells.assign(
            channel=channel,
            conversion_eligible_count=users[number],
            audience_share=users[number] / users[number].sum(),
            baseline_share=base_share,
            conversion_rate=single.estimate,
            ci_lower=single.lower,
            ci_upper=single.upper,
            baseline_rate=base_rate,
            mix=found.mix_by_cell[number],
            rate=found.rate_by_cell[number],
        )
        size = (part["mix"] + part["rate"]).abs().round(12)
        part = part[(part["conversion_eligible_count"] > 0) | (base_users > 0)]
        parts.append(part.assign(size=-size).sort_values(["size", *audience.columns]))
    return pd.concat(parts, ignore_index=True)[columns]


def pairs_table(
    scorecard: pd.DataFrame, converted: pd.Series, confidence_level: float, shared: Audience | None = None
) -> pd.DataFrame:
    """Which channels differ in conversion?

    Parameters
    ----------
    scorecard
        With ``unranked_reason``: channels that have one are not compared.
    converted
        Users who converted, by channel.
    confidence_level
        Coverage of each interval.
    shared
        The users by bucket, where one may count under several channels: pairs are then compared by
        ``pairs_by_bucket``. None: each user is in one channel alone, ``pairwise_proportions``.

    Returns
    -------
    pandas.DataFrame
        One row per pair of ranked channels, clearest difference first: channel and other_channel (of the two the one
        that converts better first), conversion_rate, other_rate, difference, ci_lower, ci_upper, statistic, p_value,
        p_value_adjusted (Benjamini-Hochberg), is_different.
    """
    ranked = scorecard[scorecard["unranked_reason"].isna()]
    ranked = ranked.sort_values(["conversion_rate", "channel"], ascending=[False, True])
    names, rates = ranked["channel"].to_numpy(), ranked["conversion_rate"].to_numpy(dtype=float)
    if shared is None:
        found = pairwise_proportions(
            converted.reindex(names).to_numpy(dtype=float),
            ranked["conversion_eligible_count"].to_numpy(dtype=float),
            confidence_level=confidence_level,
        )
    else:
        place = [shared.channels.index(name) for name in names]
        sums = (one.sum(axis=2)[:, place] for one in (shared.converted, shared.users))
        found = pairs_by_bucket(*sums, confidence_level=confidence_level)
    table = pd.DataFrame(
        {
            "channel": names[found.first],
            "other_channel": names[found.other],
            "conversion_rate": rates[found.first],
            "other_rate": rates[found.other],
            "difference": found.difference.estimate,
            "ci_lower": found.difference.lower,
            "ci_upper": found.difference.upper,
            "statistic": found.statistic,
            "p_value": found.p_value,
            "p_value_adjusted": found.p_value_adjusted,
            "is_different": found.p_value_adjusted < 1 - confidence_level,
        }
    )
    size = -table["statistic"].abs().round(9)
    order = ["is_different", "size", "channel", "other_channel"]
    ordered = table.assign(size=size).sort_values(order, ascending=[False, True, True, True], kind="stable")
    return ordered.drop(columns="size").reset_index(drop=True)
