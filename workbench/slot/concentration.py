"""How much of the sales lies in the first positions, and how much in the best slots?"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from workbench.errors import ParameterError
from workbench.parameters import check_rate
from workbench.stats.intervals import Floats

ALL_PAGES = "(all)"
TOP_N = 30
BENCHMARK = (0.60, 0.70)
COLUMNS = [
    "page",
    "order_by",
    "place",
    "slot_id",
    "slot_name",
    "position",
    "share",
    "cumulative_share",
    "ci_lower",
    "ci_upper",
    "is_top",
    "benchmark_lower",
    "benchmark_upper",
]
_BLOCK = 1_000  # slots at a time, so that memory does not grow with their number


class TopShare(NamedTuple):
    """The row of ``slot_concentration`` that speaks of the first positions, and whether it says anything."""

    row: pd.Series | None
    """Row of the last of the first ``top_n`` positions; None without a slot that has a position."""
    is_informative: bool
    """False where the first ``top_n`` positions are all there are: their share says nothing of concentration."""


def check_benchmark(given: tuple[float, float]) -> None:
    """Refuse a band of shares that is not 0 < lower < upper <= 1."""
    try:
        lower, upper = (float(one) for one in given)
    except (TypeError, ValueError):
        raise ParameterError(f"benchmark is {given!r}; it is two shares, such as [0.6, 0.7].") from None
    if not 0 < lower < upper <= 1:
        raise ParameterError(
            f"benchmark is {lower:g} to {upper:g}; it must be a band of shares with 0 < lower < upper <= 1, "
            "such as 0.6 to 0.7."
        )


def check_top_n(given: int) -> None:
    """Refuse what is not a whole positive number of positions."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given <= 0:
        raise ParameterError(f"top_n is {given!r}; it is a whole positive number of positions, such as 30.")


def slot_concentration(
    sums: pd.DataFrame,
    slots: pd.DataFrame,
    weights: np.ndarray | None,
    *,
    top_n: int = TOP_N,
    benchmark: tuple[float, float] = BENCHMARK,
    confidence_level: float,
) -> pd.DataFrame:
    """How much of the credited sales do the first positions hold, and how much the best slots?

    Parameters
    ----------
    sums
        Credit of one target and model, one row per bucket of users, one column per slot; without what was
        credited to no slot.
    slots
        One row per slot: slot_id, slot_name, page, position (from 1, may be null). A slot that is not here has
        neither page nor position; one that is not in ``sums`` has no credit and still takes its place.
    weights
        How often each replicate draws each bucket, shape (replicates, buckets); None for no intervals.
    top_n
        Number of first positions to mark.
    benchmark
        Share that the first ``top_n`` positions usually hold, lower and upper end.
    confidence_level
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per page, order and slot. ``page``: "(all)" or a page with credit. ``order_by``: "position" or
        "rank" of contribution. ``place``: 1 to n along that order. ``share`` of the credit of the page (of all
        slots for "(all)"), ``cumulative_share`` up to this place with ``ci_lower`` and ``ci_upper``. ``is_top``:
        among the first ``top_n`` (by position: and has one). ``benchmark_lower`` and ``benchmark_upper`` stand
        only where they can be compared, at "(all)" by position.

    Raises
    ------
    ParameterError
        For a ``top_n``, ``benchmark`` or ``confidence_level`` that cannot be.

    Notes
    -----
    By position: slots in order of position, then page, then slot_id; those without a position come last and
    count in the denominator. Slots at one position are in alphabetical order, so a place inside such a tie has
    no meaning of its own.

    By rank: the order is that of the estimates. The best N of noisy estimates are in part the luckiest, so their
    share is biased up, and the interval, which holds the order fixed, does not know of it. Use it to see how
    uneven slots are, not to compare with a band.

    Intervals are symmetric on the logit scale with the standard deviation of the replicates, Student's t on
    (buckets with credit - 1) degrees of freedom; NaN where the cumulative share is 0 or 1.

    Examples
    --------
    >>> sums = pd.DataFrame({"a": [60.0], "b": [10.0], "c": [30.0]})
    >>> slots = pd.DataFrame({"slot_id": ["a", "b", "c"], "slot_name": "", "page": "home", "position": [1, 2, 3]})
    >>> found = slot_concentration(sums, slots, None, top_n=2, confidence_level=0.95)
    >>> found[found["page"] == "(all)"].groupby("order_by")["cumulative_share"].apply(list).to_dict()
    {'position': [0.6, 0.7, 1.0], 'rank': [0.6, 0.9, 1.0]}
    """
    check_top_n(top_n)
    check_benchmark(benchmark)
    check_rate("confidence_level", confidence_level)
    listed = _every_slot(sums, slots)
    parts = []
    for page, chosen in _pages(listed):
        total = chosen["credit"].sum()
        if not total > 0:
            continue
        for order_by, columns, ascending in (
            ("position", ["position", "page", "slot_id"], True),
            ("rank", ["credit", "position", "page", "slot_id"], [False, True, True, True]),
        ):
            part = chosen.sort_values(columns, ascending=ascending, na_position="last").reset_index(drop=True)
            part = part.assign(page=page, order_by=order_by, place=np.arange(1, len(part) + 1))
            part["share"] = part["credit"] / total
            # the last sum is 1 by definition, whatever rounding made of it
            part["cumulative_share"] = (part["credit"].cumsum() / total).clip(upper=1.0)
            part.loc[part["credit"][::-1].cumsum()[::-1].shift(-1, fill_value=0.0) == 0, "cumulative_share"] = 1.0
            values = sums.reindex(columns=part["slot_id"]).fillna(0.0).to_numpy(dtype=float)
            part["ci_lower"], part["ci_upper"] = _bounds(values, weights, confidence_level)
            part["is_top"] = part["place"] <= top_n
            if order_by == "position":
                part["is_top"] &= part["position"].notna()
            compared = page == ALL_PAGES and order_by == "position"
            part["benchmark_lower"], part["benchmark_upper"] = benchmark if compared else (np.nan, np.nan)
            parts.append(part[COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def top_share(table: pd.DataFrame, top_n: int) -> TopShare:
    """Which row of ``slot_concentration`` says what the first ``top_n`` positions of all pages hold?

    With fewer slots that have a position, the last of these; then, and with exactly ``top_n``, the share is not
    informative: whatever the shop, all positions hold all the credit that has a position.
    """
    check_top_n(top_n)
    rows = table[(table["page"] == ALL_PAGES) & (table["order_by"] == "position") & table["position"].notna()]
    if rows.empty:
        return TopShare(None, False)
    rows = rows.sort_values("place")
    return TopShare(rows.iloc[min(top_n, len(rows)) - 1], len(rows) > top_n)


def _every_slot(sums: pd.DataFrame, slots: pd.DataFrame) -> pd.DataFrame:
    """One row per slot of either table with its credit."""
    known = slots.set_index("slot_id")[["slot_name", "page", "position"]]
    listed = known.reindex(known.index.union(sums.columns.astype(known.index.dtype), sort=False))
    listed["position"] = pd.to_numeric(listed["position"]).astype("float64")
    listed["page"] = listed["page"].astype("object").where(listed["page"].notna(), None)
    listed["credit"] = sums.sum().reindex(listed.index).fillna(0.0)
    return listed.rename_axis("slot_id").reset_index()


def _pages(listed: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield ALL_PAGES, listed
    yield from ((str(page), chosen) for page, chosen in listed.groupby("page", sort=True))


def _bounds(values: Floats, weights: np.ndarray | None, confidence_level: float) -> tuple[Floats, Floats]:
    """Bounds of the cumulative share of the columns of ``values``, shape (buckets, slots), in their order."""
    none = np.full(values.shape[1], np.nan)
    if weights is None:
        return none, none
    counts = np.asarray(weights, dtype=float)
    total = counts @ values.sum(axis=1)
    total[total == 0] = np.nan
    so_far = np.zeros(len(counts))
    error = np.empty(values.shape[1])
    for start in range(0, values.shape[1], _BLOCK):
        block = np.cumsum(counts @ values[:, start : start + _BLOCK], axis=1) + so_far[:, None]
        so_far = block[:, -1]
        error[start : start + _BLOCK] = np.nanstd(block / total[:, None], axis=0, ddof=1)
    sums = values.sum(axis=0)
    share = np.cumsum(sums) / sums.sum()
    filled = np.count_nonzero(values.any(axis=1))
    # nothing before, or nothing after: the share is 0 or 1 whoever came
    inside = (np.cumsum(sums) > 0) & (np.cumsum(sums[::-1])[::-1] - sums > 1e-12 * sums.sum()) & (filled >= 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # spread of logit(share) to first order, which stays finite where a replicate's share is 0 or 1
        half = stats.t.ppf(0.5 + confidence_level / 2, max(filled - 1, 1)) * error / (share * (1 - share))
        lower, upper = (1 / (1 + (1 - share) / share * np.exp(-sign * half)) for sign in (-1, 1))
    inside &= error > 0
    return np.where(inside, lower, np.nan), np.where(inside, upper, np.nan)
