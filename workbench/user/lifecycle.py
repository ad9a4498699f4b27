"""Who is new, active, dormant, gone or back, and after how many silent days few return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.errors import ParameterError
from workbench.metrics.lifecycle import STATES, key_buckets, state_counts, user_lives, visit_gaps
from workbench.metrics.local_days import local_day
from workbench.metrics.user_states import user_days
from workbench.parameters import check_days, check_rate
from workbench.period import Period, local_date
from workbench.source.shop import Shop
from workbench.stats.intervals import wilson
from workbench.stats.survival import ReturnCurve, return_curve_by_bucket, returns_after_silence, silence_until
from workbench.user.next_purchase import HORIZON_DAYS, Purchases, counts_by_bucket

DORMANT_SHARE, GONE_SHARE = 0.2, 0.05
"""Dormant (gone): of those silent so long, fewer come back within the horizon."""
DORMANT_DAYS, GONE_DAYS = 30, 90
"""Where neither the user nor the data say."""
NOT_KNOWN = "none"
MOST_PERIODS = 13
"""So many periods at most, the latest."""
_SOURCES = ("set", "data", "default")
_EPOCH = date(1970, 1, 1)
_SUMS = ["user_count", "order_count", "paid_amount"]
_GAPS = [
    "basis",
    "state",
    "share_limit",
    "suggested_days",
    "ci_lower",
    "ci_upper",
    "return_share",
    "horizon_days",
    "reach_days",
    "origin_count",
    "used_days",
    "source",
    "reason",
]
_SILENCE = ["basis", "silent_days", "at_risk_count", "return_share", "ci_lower", "ci_upper", "horizon_days"]


@dataclass(frozen=True)
class LifecycleFound:
    """What users are at the end of each period.

    Attributes
    ----------
    lifecycle
        One row per period and ``state``, in their order: period_index, start_date, end_date (the day after the last one),
        state, user_count, user_share (of all users known by then) with ci_lower and ci_upper, order_count, paid_amount
        (of orders paid in the period), watched_days (of data before the end), is_complete (watched for ``gone_days``:
        before, nobody can be told to be gone, nor back from it).
    moves
        One row per period from the second on, from_state (``none``: not known before) and to_state: user_count, row_share
        with ci_lower and ci_upper, order_count, paid_amount.
    gaps
        One row per ``basis`` (visit, purchase) and state (dormant, gone): share_limit; suggested_days with ci_lower and
        ci_upper, return_share there, horizon_days, reach_days (how long enough silences were watched), origin_count;
        used_days and source (set, data, default; of visits alone), reason.
    silence
        One row per basis and ``silent_days``: at_risk_count, return_share (come back within horizon_days more) with
        ci_lower and ci_upper.
    dormant_days, gone_days
        Used.
    """

    lifecycle: pd.DataFrame
    moves: pd.DataFrame
    gaps: pd.DataFrame
    silence: pd.DataFrame
    dormant_days: int
    gone_days: int


def read_lifecycle(
    shop: Shop,
    period: Period,
    periods: Sequence[tuple[int, int]],
    found: Purchases,
    *,
    dormant_days: int | None = None,
    gone_days: int | None = None,
    horizon_days: int = HORIZON_DAYS,
    min_users: int = 30,
    confidence_level: float = 0.95,
    days: Any = None,
) -> LifecycleFound:
    """How many users are new, active, quiet, dormant, gone and back at the end of each period?

    Parameters
    ----------
    shop, period
        Needs ``orders``; ``events`` and ``users`` where there are some. Silences are read from all the data.
    periods
        UTC milliseconds of the starts of the first local day and of the day after the last one of each period, ascending.
        A period that ends before the data is left out, and one that begins before them starts with them; of more than
        ``MOST_PERIODS`` the latest are taken.
    found
        From ``next_purchase.read_purchases``.
    dormant_days, gone_days
        Whole days without a visit after which a user is dormant, and gone; None: as the data suggest, else
        ``DORMANT_DAYS`` and ``GONE_DAYS``.
    horizon_days
        How long a silence is followed to see who comes back; at most half of what the data reach.
    min_users
        As many silences must be watched.
    confidence_level
        Coverage of intervals.
    days
        From ``metrics.user_states.user_days``, lazy, where it is there already; None: made anew.

    Returns
    -------
    LifecycleFound

    Raises
    ------
    ParameterError
        If gaps are no whole days, or gone is not after dormant.

    Notes
    -----
    A visit is a local day with an event, or an order submitted or paid. ``new``: first visit, as users tell or as seen,
    inside the period. ``back``: there in it after ``dormant_days`` or more days without a visit. ``active``: there in it,
    else. Not there: ``quiet`` before ``dormant_days`` of silence, ``dormant`` before ``gone_days``, then ``gone``. Silence
    counts from the day before the data on at the earliest: what was before is not known.
    """
    _check_gaps(dormant_days, gone_days)
    check_days("horizon_days", [horizon_days])
    check_rate("confidence_level", confidence_level)
    shop.require("user_quadrants", "orders")
    tables = {name: shop.keyed(shop.tables[name]) for name in ("events", "orders", "users") if shop.has(name)}
    reach = _day(period.data_start_ms, period), _day(period.data_end_ms, period)
    seen = shop.hold("user_visits", user_days(tables, period)) if days is None else days
    gaps, silence = [], []
    visited = _visit_gaps(shop, tables, seen, reach)
    for basis, collected, name in (("visit", visited, "is_return"), ("purchase", found.gaps, "is_repurchase")):
        returned, left = (one.sum(axis=1) for one in counts_by_bucket(collected, name))
        rows, curve = _suggestions(basis, returned, left, horizon_days, min_users, confidence_level)
        gaps += rows
        silence.append(curve)
    used = _used(gaps, dormant_days, gone_days)
    bounds = [(_day(start, period), _day(end, period)) for start, end in periods]
    bounds = [(max(start, reach[0]), end) for start, end in bounds if end > reach[0]][-MOST_PERIODS:]
    users = tables.get("users")
    if users is not None:
        users = users.filter(users.first_seen_ms.notnull())
        users = users.select("user_key", first_seen_day=local_day(users.first_seen_ms, period))
    counts = pd.DataFrame(columns=["period_index", "from_state", "to_state", *_SUMS])
    if bounds:
        lives = shop.hold("user_lives", user_lives(seen, users, reach[0], bounds, *used))
        counts = shop.collect(state_counts(lives, found.table, bounds))
    lifecycle, moves = _states(counts, bounds, used[1], reach[0], confidence_level)
    for one in (lifecycle, moves):
        if not shop.has_money:
            one["paid_amount"] = np.nan
    return LifecycleFound(
        lifecycle=lifecycle,
        moves=moves,
        gaps=pd.DataFrame(gaps)[_GAPS],
        silence=pd.concat(silence, ignore_index=True)[_SILENCE],
        dormant_days=used[0],
        gone_days=used[1],
    )


def _visit_gaps(shop: Shop, tables: Mapping[str, ir.Table], seen: ir.Table, reach: tuple[int, int]) -> pd.DataFrame:
    """Silences after visits, by bucket: that of an id is read from ``users``, and from the rows of whom they lack alone."""
    others = [one for name, one in tables.items() if name != "users"]
    if "users" not in tables:
        return shop.collect(visit_gaps(seen, reach, key_buckets(others)))
    users = tables["users"].select("user_key", "user_bucket")
    found = shop.collect(visit_gaps(seen, reach, users))
    if not found["bucket"].isna().any():
        return found
    lacking = seen.anti_join(users, "user_key")
    rest = shop.collect(visit_gaps(lacking, reach, key_buckets(others, lacking)))
    return pd.concat([found[found["bucket"].notna()], rest], ignore_index=True)


def _check_gaps(dormant_days: int | None, gone_days: int | None) -> None:
    for name, given in (("dormant_days", dormant_days), ("gone_days", gone_days)):
        if given is not None:
            check_days(name, [given])
    if dormant_days is not None and gone_days is not None and gone_days <= dormant_days:
        raise ParameterError(
            f"gone_days is {gone_days} and dormant_days {dormant_days}; a user is dormant before gone: make gone_days "
            "larger, or leave one of them out and the data suggest it."
        )
    if gone_days == 1:
        raise ParameterError("gone_days is 1; a user is dormant for at least a day before: give 2 or more.")


def _day(instant_ms: int, period: Period) -> int:
    return (local_date(instant_ms, period.timezone) - _EPOCH).days


def _suggestions(
    basis: str, returned: NDArray, left: NDArray, horizon_days: int, min_users: int, confidence_level: float
) -> tuple[list[dict], pd.DataFrame]:
    """After how many silent days few come back; returned and left of shape (buckets, days)."""
    reach = int((return_curve_by_bucket(returned, left).at_risk >= min_users).sum())
    horizon = min(horizon_days, reach // 2)
    origins = int(returned.sum() + left.sum())
    rows = []
    silence = ReturnCurve(*[np.empty(0)] * 4)
    if horizon:
        every = returns_after_silence(returned, left, horizon, confidence_level=confidence_level)
        watched = slice(0, reach - horizon + 1)
        silence = ReturnCurve(*[one[watched] for one in (every.share, every.lower, every.upper, every.at_risk)])
    for state, limit in (("dormant", DORMANT_SHARE), ("gone", GONE_SHARE)):
        day, lower, upper = silence_until(silence, limit)
        if not horizon:
            reason: str | None = "few_users"
        elif day == 0:
            reason, day, lower, upper = "few_return_at_all", np.nan, np.nan, np.nan
        else:
            reason = "beyond_reach" if np.isnan(day) else None
        rows.append(
            {
                "basis": basis,
                "state": state,
                "share_limit": limit,
                "suggested_days": day,
                "ci_lower": lower,
                "ci_upper": upper,
                "return_share": np.nan if np.isnan(day) else silence.share[int(day)],
                "horizon_days": horizon,
                "reach_days": reach,
                "origin_count": origins,
                "used_days": np.nan,
                "source": None,
                "reason": reason,
            }
        )
    curve = pd.DataFrame(
        {
            "basis": basis,
            "silent_days": np.arange(len(silence.share)),
            "at_risk_count": silence.at_risk.astype(np.int64),
            "return_share": silence.share,
            "ci_lower": silence.lower,
            "ci_upper": silence.upper,
            "horizon_days": horizon,
        }
    )
    return rows, curve


def _used(gaps: list[dict], dormant_days: int | None, gone_days: int | None) -> tuple[int, int]:
    """Days in force, noted in the rows of visits: what the user set, else what the data suggest, else the usual ones."""
    dormant, gone = (
        next(one for one in gaps if (one["basis"], one["state"]) == ("visit", name)) for name in STATES[4:]
    )
    for row, given, usual in ((dormant, dormant_days, DORMANT_DAYS), (gone, gone_days, GONE_DAYS)):
        if given is not None:
            row["used_days"], row["source"] = given, "set"
        elif not np.isnan(row["suggested_days"]):
            row["used_days"], row["source"] = int(row["suggested_days"]), "data"
        else:
            row["used_days"], row["source"] = usual, "default"
    if gone["used_days"] <= dormant["used_days"]:  # what the user set stands, then what the data say
        if _SOURCES.index(gone["source"]) < _SOURCES.index(dormant["source"]):
            gone["used_days"] = max(gone["used_days"], 2)
            dormant["used_days"], dormant["source"] = gone["used_days"] // 2, "default"
        else:
            gone["used_days"], gone["source"] = max(2 * dormant["used_days"], GONE_DAYS), "default"
    return dormant["used_days"], gone["used_days"]


def _states(
    counts: pd.DataFrame, bounds: list[tuple[int, int]], gone_days: int, first_day: int, confidence_level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables from the collected counts of ``metrics.lifecycle.state_counts``."""
    keys = ["period_index", "from_state", "to_state"]
    every = pd.MultiIndex.from_product([range(len(bounds)), range(len(STATES))], names=["period_index", "to_state"])
    table = counts.groupby(["period_index", "to_state"])[_SUMS].sum().reindex(every, fill_value=0).reset_index()
    total = table.groupby("period_index")["user_count"].transform("sum")
    share = wilson(table["user_count"], total, confidence_level=confidence_level)
    lifecycle = _dated(table, bounds).assign(
        state=[STATES[one] for one in table["to_state"]],
        user_share=share.estimate,
        ci_lower=share.lower,
        ci_upper=share.upper,
        watched_days=[bounds[one][1] - first_day for one in table["period_index"]],
    )
    lifecycle["is_complete"] = lifecycle["watched_days"] >= gone_days
    moves = counts[counts["period_index"] > 0].sort_values(keys).reset_index(drop=True)
    row_total = moves.groupby(["period_index", "from_state"])["user_count"].transform("sum")
    part = wilson(moves["user_count"].astype(float), row_total.astype(float), confidence_level=confidence_level)
    moves = _dated(moves, bounds).assign(
        from_state=[NOT_KNOWN if one < 0 else STATES[int(one)] for one in moves["from_state"]],
        to_state=[STATES[int(one)] for one in moves["to_state"]],
        row_share=part.estimate,
        ci_lower=part.lower,
        ci_upper=part.upper,
    )
    shown = ["user_share", "ci_lower", "ci_upper", "order_count", "paid_amount", "watched_days", "is_complete"]
    dates = ["period_index", "start_date", "end_date"]
    return (
        lifecycle[[*dates, "state", "user_count", *shown]],
        moves[[*dates, "from_state", "to_state", "user_count", "row_share", *shown[1:5]]],
    )


def _dated(table: pd.DataFrame, bounds: list[tuple[int, int]]) -> pd.DataFrame:
    places = [int(one) for one in table["period_index"]]
    start, end = ([_EPOCH + timedelta(days=bounds[one][side]) for one in places] for side in (0, 1))
    return table.assign(
        period_index=places,
        start_date=start,
        end_date=end,
        user_count=table["user_count"].astype("int64"),
        order_count=table["order_count"].astype("int64"),
        paid_amount=table["paid_amount"].astype(float),
    )
