"""Cohorts of users who came in the same week or month: who comes again, who pays, how much."""

from typing import Any

import pandas as pd

from workbench.channel.audience import ALL
from workbench.metrics.cohorts import (
    CohortUnit,
    activity_bits,
    cohort_activity,
    cohort_sales,
    first_day,
    whole_cohorts,
)
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import wilson
from workbench.stats.tables import divide

UNITS: tuple[CohortUnit, ...] = ("week", "month")
_COUNTS = ["active_count", "buyer_count", "order_count", "paid_amount", "last_count"]
COLUMNS = [
    "channel",
    "unit",
    "cohort_date",
    "period_index",
    "cohort_user_count",
    "active_count",
    "retention_rate",
    "ci_lower",
    "ci_upper",
    "on_or_after_rate",
    "buyer_count",
    "order_count",
    "paid_amount",
    "paid_amount_per_user",
]
_KEYS = ["channel", "cohort", "period_index"]


def retention_table(
    shop: Shop, acquired: Any, paid: Any, period: Period, channels: list[str], confidence_level: float
) -> pd.DataFrame:
    """Triangles of cohorts by week and by month.

    Parameters
    ----------
    shop, acquired, paid, period
        Users first seen in the period, from ``population_users``, and paid orders; lazy.
    channels
        Channels in the order of the scorecard.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        One row per channel (and ``(all)``), unit, ``cohort_date`` (first day of the week or month; null: all cohorts of
        which this many periods have elapsed together) and period_index from 0, whole elapsed periods alone:
        cohort_user_count, active_count, retention_rate (active in just this period) with Wilson interval,
        on_or_after_rate (active in it or in a later whole one), buyer_count, order_count, paid_amount (of the period),
        paid_amount_per_user (of the cohort). Empty where no week is whole.
    """
    tables = {name: shop.keyed(shop.tables[name]) for name in ("events", "orders") if name in shop.tables}
    acquired, paid = shop.keyed(acquired), shop.keyed(paid)
    bits = shop.hold("channel_activity", activity_bits(tables, period))  # asked once for each unit
    parts = []
    for unit in UNITS:
        counts = cohort_counts(shop, acquired, bits, paid, period, unit)
        if len(counts):
            parts.append(_triangle(counts, unit, whole_cohorts(period, unit).data_end, confidence_level))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    order = {name: number for number, name in enumerate([*channels, ALL])}
    table = table.assign(
        place=table["channel"].map(order),
        is_week=table["unit"] != "week",
        is_sum=table["cohort_date"].isna(),
    )
    table = table.sort_values(["place", "is_week", "is_sum", "cohort_date", "period_index"], kind="stable")
    if not shop.has_money:
        table[["paid_amount", "paid_amount_per_user"]] = float("nan")
    return table[COLUMNS].reset_index(drop=True)


def cohort_counts(shop: Shop, acquired: Any, bits: Any, paid: Any, period: Period, unit: CohortUnit) -> pd.DataFrame:
    """What cohorts do: one row per channel, cohort and period_index in which anyone was active."""
    whole = whole_cohorts(period, unit)
    if whole.end <= whole.first:
        return pd.DataFrame(columns=[*_KEYS, *_COUNTS])
    wide = shop.collect(cohort_activity(acquired, bits, period, unit))
    parts = []
    for number in range(whole.data_end - whole.first):
        part = wide[["channel", "cohort"]].assign(
            period_index=number + whole.first - wide["cohort"],
            active_count=wide[f"active_{number}"],
            last_count=wide[f"last_{number}"],
        )
        parts.append(part[(part["period_index"] >= 0) & (part["active_count"] > 0)])
    sales = shop.collect(cohort_sales(acquired, paid, period, unit))
    active = pd.concat(parts, ignore_index=True).astype({"period_index": "int64"})
    found = active.merge(sales, how="left", on=_KEYS).fillna(dict.fromkeys(_COUNTS, 0))
    whole_numbers = dict.fromkeys([one for one in _COUNTS if one != "paid_amount"], "int64")
    return found[[*_KEYS, *_COUNTS]].astype(whole_numbers)


def _triangle(counts: pd.DataFrame, unit: CohortUnit, data_end: int, confidence_level: float) -> pd.DataFrame:
    """Fill the triangles of all channels and add sums over channels and cohorts."""
    counts = counts.astype(dict.fromkeys(_COUNTS, "float64"))
    every = counts.groupby(["cohort", "period_index"], as_index=False)[_COUNTS].sum().assign(channel=ALL)
    counts = pd.concat([counts, every], ignore_index=True)
    sizes = counts[counts["period_index"] == 0].set_index(["channel", "cohort"])["active_count"]
    rows = [(channel, cohort, index) for channel, cohort in sizes.index for index in range(data_end - cohort)]
    full = counts.set_index(_KEYS)[_COUNTS].reindex(pd.MultiIndex.from_tuples(rows, names=_KEYS), fill_value=0.0)
    full["cohort_user_count"] = [sizes[channel, cohort] for channel, cohort, _ in rows]
    later = full["last_count"].iloc[::-1].groupby(level=["channel", "cohort"]).cumsum()
    full["on_or_after_count"] = later.reindex(full.index)
    sums = full.groupby(level=["channel", "period_index"]).sum()
    dated = full.reset_index()
    dated["cohort_date"] = pd.to_datetime([first_day(int(one), unit) for one in dated["cohort"]])
    undated = sums.reset_index().drop(columns="cohort", errors="ignore")
    table: pd.DataFrame = pd.concat([dated, undated], ignore_index=True)
    found = wilson(table["active_count"], table["cohort_user_count"], confidence_level=confidence_level)
    return table.assign(
        unit=unit,
        retention_rate=found.estimate,
        ci_lower=found.lower,
        ci_upper=found.upper,
        on_or_after_rate=divide(table["on_or_after_count"], table["cohort_user_count"]),
        paid_amount_per_user=divide(table["paid_amount"], table["cohort_user_count"]),
        **{
            name: table[name].round().astype("int64")
            for name in ("cohort_user_count", "active_count", "buyer_count", "order_count")
        },
        cohort_date=pd.to_datetime(table["cohort_date"]),
    )
