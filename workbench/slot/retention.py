"""Do users of a slot use it again, and do they come back to the site at all?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contract import CLICK, EXPOSURE
from workbench.metrics.retention import RetentionUnit, retention_counts, touch_counts
from workbench.parameters import check_choices, check_rate
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import ratio_by_bucket

LONGEST: dict[RetentionUnit, int] = {"day": 14, "week": 8}
MOST_SLOTS = 500
COLUMNS = [
    "slot_id",
    "slot_name",
    "unit",
    "period_index",
    "user_count",
    "retained_count",
    "retention_rate",
    "ci_lower",
    "ci_upper",
    "site_retained_count",
    "site_retention_rate",
    "is_complete",
    "reason",
]


@dataclass(frozen=True)
class SlotRetention:
    """Who comes back to slots.

    Attributes
    ----------
    table
        One row per slot, unit and number of days or weeks later; see ``slot_retention``.
    reason
        Why the table is empty: ``users_unknown`` (the source cannot tell people apart) or ``no_starts`` (no slot
        was used on a whole day of the period); None if it is not.
    slots_left_out
        Slots beyond the 500 most used, which are not in the table.
    """

    table: pd.DataFrame
    reason: str | None
    slots_left_out: int


def slot_retention(
    shop: Shop, period: Period, slots: pd.DataFrame, *, touch: str = CLICK, confidence_level: float = 0.95
) -> SlotRetention:
    """How many users of a slot use it again 1 to 14 days or 1 to 8 weeks later?

    Parameters
    ----------
    shop
        Needs ``events``.
    period
        A start is a user, a slot and a local day (or a week from Monday) on which the user used the slot. The day or
        week must lie whole in the period and in the data: the weeks that the period's ends cut are left out. Uses are
        followed to the end of the data, also beyond the period.
    slots
        What the source knows of slots: slot_id (text) and slot_name; may be empty.
    touch
        How a slot is used: ``select_promotion`` (clicked) or ``view_promotion`` (seen).
    confidence_level
        Coverage of intervals.

    Returns
    -------
    SlotRetention
        ``table`` has one row per slot, unit and k, the most used slot first, for slots with a start in that unit:

        - slot_id, slot_name, unit (``day``, ``week``), period_index (k days or weeks later);
        - user_count: starts whose k-th day or week lies whole in the data (a user counts once for each start);
        - retained_count and retention_rate: of those, the user used the slot in it;
        - ci_lower, ci_upper: jackknife over buckets of users, since one user gives several starts;
        - site_retained_count, site_retention_rate: of the same starts, the user had any event in it;
        - is_complete: False where some starts could not be followed that far; they are not counted;
        - reason: why a number is empty: ``not_elapsed`` (no start could be followed), ``none_returned`` (a rate of 0
          has no interval here), ``too_few_users``.

    Notes
    -----
    Retention "on" the k-th period, not "on or after", pooled over starts: each start weighs the same. A rate of later
    k is taken over earlier starts only, so compare rows of one k, or look where ``is_complete`` holds.
    """
    check_rate("confidence_level", confidence_level)
    check_choices("touch", [touch], [CLICK, EXPOSURE])
    empty = pd.DataFrame(columns=COLUMNS)
    if not shop.user_ids_known:
        return SlotRetention(empty, "users_unknown", 0)
    used = shop.collect(touch_counts(shop.events, period, touch))
    used = used.assign(name=used["slot_id"].astype(str))
    used = used.sort_values(["touch_count", "name"], ascending=[False, True])
    kept = used.head(MOST_SLOTS)
    chosen = kept["slot_id"].tolist() if len(used) > MOST_SLOTS else None
    counts = shop.collect(retention_counts(shop.events, period, LONGEST, touch=touch, slot_ids=chosen))
    counts["slot_id"] = counts["slot_id"].astype(str)
    names = slots.drop_duplicates("slot_id").set_index("slot_id")["slot_name"]
    parts = [
        _unit_table(counts[counts["unit"] == unit], unit, kept["name"].tolist(), confidence_level) for unit in LONGEST
    ]
    parts = [part for part in parts if len(part)]
    if not parts:
        return SlotRetention(empty, "no_starts", 0)
    table = pd.concat(parts, ignore_index=True)
    table["slot_name"] = table["slot_id"].map(names).where(lambda name: name.notna(), table["slot_id"])
    place = table["slot_id"].map({slot: number for number, slot in enumerate(kept["name"])})
    table = table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)
    return SlotRetention(table[COLUMNS], None, len(used) - len(kept))


def _unit_table(counts: pd.DataFrame, unit: RetentionUnit, order: list[str], confidence_level: float) -> pd.DataFrame:
    """One row per slot with a start and k."""
    starts = counts.groupby("slot_id")["start_count"].sum()
    slots = [slot for slot in order if starts.get(slot, 0) > 0]
    counts = counts[counts["slot_id"].isin(slots)]
    if not slots:
        return pd.DataFrame(columns=COLUMNS)
    longest = LONGEST[unit]
    buckets = pd.factorize(counts["user_bucket"])[0]
    places = pd.Index(slots).get_indexer(pd.Index(counts["slot_id"]))

    def by_bucket(name: str) -> NDArray[np.float64]:
        sums = np.zeros((buckets.max() + 1, len(slots), longest))
        sums[buckets, places] = counts[[f"{name}_{k}" for k in range(1, longest + 1)]].to_numpy(dtype=float)
        return sums.reshape(len(sums), -1)

    followed, retained, site = (by_bucket(name) for name in ("followed", "retained", "site_retained"))
    found = ratio_by_bucket(retained, followed, confidence_level=confidence_level)
    trials, returned, came = (one.sum(axis=0) for one in (followed, retained, site))
    reason = np.full(len(trials), None, dtype=object)
    reason[np.isnan(found.lower)] = "too_few_users"
    reason[returned == 0] = "none_returned"
    reason[trials == 0] = "not_elapsed"
    with np.errstate(divide="ignore", invalid="ignore"):
        site_rate = came / trials
    return pd.DataFrame(
        {
            "slot_id": np.repeat(np.array(slots, dtype=object), longest),
            "unit": unit,
            "period_index": np.tile(np.arange(1, longest + 1), len(slots)),
            "user_count": trials.astype("int64"),
            "retained_count": returned.astype("int64"),
            "retention_rate": found.estimate,
            "ci_lower": found.lower,
            "ci_upper": found.upper,
            "site_retained_count": came.astype("int64"),
            "site_retention_rate": site_rate,
            "is_complete": trials == np.repeat(starts.loc[slots].to_numpy(), longest),
            "reason": reason,
        }
    )
