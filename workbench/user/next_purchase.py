"""Who bought once, twice or more often, whether they buy again, and when to contact them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.metrics.lifecycle import (
    BUCKETS,
    LONGEST_DAYS,
    MOST_PURCHASES,
    buyer_sums,
    days_since_purchase,
    purchase_gaps,
    purchases,
)
from workbench.metrics.orders import paid_orders
from workbench.parameters import check_days, check_rate
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_count, ratio_by_bucket, wilson
from workbench.stats.survival import ReturnCurve, return_curve, return_curve_by_bucket, return_quantiles

ALL = "(all)"
GROUPS = ("once", "twice", "more")
"""Buyers by the number of their purchases, days with a paid order: 1, 2, 3 and more."""
PHASES = ("waiting", "contact", "overdue", "lapsed")
WINDOWS = (30, 60, 90)
HORIZON_DAYS = 90
MINIMUM_RETURNS = 20
"""With fewer returns inside the horizon no day is named."""
_QUARTILES = (0.25, 0.5, 0.75)
_CALLED = ("contact", "overdue")
_PHASE_COLUMNS = [*[f"{one}_count" for one in PHASES], *[f"{one}_expected_returns" for one in _CALLED]]


@dataclass(frozen=True)
class Purchases:
    """What both tables of purchases, and the gaps between them, are made of.

    Attributes
    ----------
    table
        Lazy, from ``metrics.lifecycle.purchases``, held in the engine.
    gaps
        Collected from ``metrics.lifecycle.purchase_gaps``.
    windows
        Days within which another purchase is counted in ``gaps``.
    """

    table: Any
    gaps: pd.DataFrame
    windows: tuple[int, ...]


def read_purchases(shop: Shop, period: Period, windows: Sequence[int] = WINDOWS) -> Purchases:
    """Read all purchases of the data once, for ``read_buyers``, ``read_next_purchase`` and ``read_lifecycle``."""
    check_days("repurchase_days", windows)
    shop.require("user_quadrants", "orders")
    orders = shop.keyed(shop.tables["orders"])
    table = shop.hold("user_purchases", purchases(paid_orders(orders), period))
    return Purchases(table, shop.collect(purchase_gaps(table, period, windows)), tuple(windows))


def read_buyers(
    shop: Shop, period: Period, found: Purchases, *, min_users: int = 30, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Who bought once, twice or more often, what do they pay, and how probable is another purchase?

    Parameters
    ----------
    shop, period
        Buyers are counted at the end of the period, or of the data if that is earlier; purchases are followed to the end
        of the data.
    found
        From ``read_purchases``.
    min_users
        A curve is read only as far as so many purchases could be followed.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        One row per ``buyer_group`` (once, twice, more: days with a paid order in the data so far; ``(all)``): user_count,
        user_share with ci_lower and ci_upper, order_count, paid_amount, amount_share with amount_share_ci_lower and
        _ci_upper (null where few buyers carry it); for each W next_purchase_rate_W (Kaplan-Meier over all who came so far:
        another paid order on a later local day before W days) with _ci_lower and _ci_upper, and repurchase_rate_W over
        those whose W days have elapsed, with _eligible_count, _ci_lower and _ci_upper.

    Notes
    -----
    The rates of ``once`` are those after the first purchase of all buyers, also of those who have bought again since;
    of ``more`` after each purchase from the third on, where a user counts several times: intervals by buckets of users.
    Purchases before the data are not known: the number of purchases so far is one of the data. After a second or later
    purchase the curve reads somewhat high where buyers differ much: those who could be followed longest had come to it
    early, and are the quick ones (Wang, M.-C. and Chang, S.-H., 1999, doi:10.1080/01621459.1999.10473831).
    """
    check_rate("confidence_level", confidence_level)
    sums = shop.collect(buyer_sums(found.table, min(period.end_ms, period.data_end_ms)))
    table = _sizes(sums, confidence_level)
    if not shop.has_money:
        table[["paid_amount", "amount_share", "amount_share_ci_lower", "amount_share_ci_upper"]] = np.nan
    returned, left = counts_by_bucket(found.gaps, "is_repurchase")
    parts = []
    for group in (*GROUPS, ALL):
        chosen = _of(found.gaps, group)
        curve = _curve(returned, left, group, confidence_level)
        parts.append(_rates(chosen, curve, found.windows, group, min_users, confidence_level))
    return pd.concat([table, pd.DataFrame(parts)], axis=1)


def _sizes(sums: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    total = (
        sums.drop(columns="user_bucket")
        .groupby("purchase_number")
        .sum()
        .astype(float)
        .reindex(range(1, MOST_PURCHASES + 1), fill_value=0)
    )
    total.loc[0] = total.sum()
    users, amount = total["user_count"].to_numpy(dtype=float), total["paid_amount"].to_numpy(dtype=float)
    share = wilson(users, users[-1], confidence_level=confidence_level)
    wide = sums.pivot(index="user_bucket", columns="purchase_number", values="paid_amount")
    wide = wide.reindex(columns=range(1, MOST_PURCHASES + 1)).fillna(0.0)
    paid = np.column_stack([wide.to_numpy(dtype=float), wide.sum(axis=1).to_numpy(dtype=float)])
    money = ratio_by_bucket(paid, paid[:, -1:], confidence_level=confidence_level)
    carried = [effective_count(one, square) for one, square in zip(amount, total["paid_squares"], strict=True)]
    is_sure = np.array(carried) >= MINIMUM_EFFECTIVE
    return pd.DataFrame(
        {
            "buyer_group": [*GROUPS, ALL],
            "user_count": total["user_count"].to_numpy(dtype=np.int64),
            "user_share": share.estimate,
            "ci_lower": np.where(np.arange(len(users)) < len(GROUPS), share.lower, np.nan),
            "ci_upper": np.where(np.arange(len(users)) < len(GROUPS), share.upper, np.nan),
            "order_count": total["order_count"].to_numpy(dtype=np.int64),
            "paid_amount": amount,
            "amount_share": money.estimate,
            "amount_share_ci_lower": np.where(is_sure, money.lower, np.nan),
            "amount_share_ci_upper": np.where(is_sure, money.upper, np.nan),
        }
    )


def _rates(
    gaps: pd.DataFrame, curve: ReturnCurve, windows: Sequence[int], group: str, min_users: int, confidence_level: float
) -> dict[str, float]:
    """Both rates of each window for one group."""
    row: dict[str, float] = {}
    for window in windows:
        name = f"next_purchase_rate_{window}"
        at = window - 1 if window <= int((curve.at_risk >= min_users).sum()) else None
        for end, one in (("", curve.share), ("_ci_lower", curve.lower), ("_ci_upper", curve.upper)):
            row[f"{name}{end}"] = np.nan if at is None else float(one[at])
        columns = [f"repurchased_{window}", f"eligible_{window}"]
        by_bucket = gaps.groupby("bucket")[columns].sum()
        top, bottom = (by_bucket[one].to_numpy(dtype=float) for one in columns)
        plain = wilson(top.sum(), bottom.sum(), confidence_level=confidence_level)
        if group in GROUPS[:2]:
            lower, upper = plain.lower.item(), plain.upper.item()
        else:
            found = ratio_by_bucket(top[:, None], bottom[:, None], confidence_level=confidence_level)
            lower, upper = found.lower[0], found.upper[0]
        name = f"repurchase_rate_{window}"
        row |= {name: plain.estimate.item(), f"{name}_eligible_count": int(bottom.sum())}
        row |= {f"{name}_ci_lower": lower, f"{name}_ci_upper": upper}
    return row


@dataclass(frozen=True)
class NextPurchaseFound:
    """When users buy next.

    Attributes
    ----------
    next_purchase
        One row per ``buyer_group`` (once, twice, more, ``(all)``): origin_count (purchases followed), horizon_days,
        return_share (buy again within the horizon) with ci_lower and ci_upper; lower_quartile_day, median_day with
        median_ci_lower and median_ci_upper, upper_quartile_day (by which so many of those who buy again within the horizon
        have done so); contact_from_day, contact_until_day (days since the last purchase); user_count (buyers with so many
        purchases at the end of the data) and of them waiting_count, contact_count, overdue_count, lapsed_count;
        contact_expected_returns and overdue_expected_returns, as many of those due and of those overdue as usually still buy
        before the horizon ends; reason.
    contacts
        One row per quadrant and buyer_group, ``(all)`` last: user_count, waiting_count, contact_count, overdue_count,
        lapsed_count, contact_expected_returns, overdue_expected_returns; empty without members.
    """

    next_purchase: pd.DataFrame
    contacts: pd.DataFrame


def read_next_purchase(
    shop: Shop,
    period: Period,
    found: Purchases,
    *,
    horizon_days: int = HORIZON_DAYS,
    min_users: int = 30,
    confidence_level: float = 0.95,
    members: Any = None,
) -> NextPurchaseFound:
    """When do buyers buy next, and how many are due now?

    Parameters
    ----------
    shop, period
        Purchases of all the data; who is due is counted at the end of the period, or of the data if that is earlier.
    found
        From ``read_purchases``.
    horizon_days
        A purchase after more days is not waited for; shorter where fewer than ``min_users`` purchases could be followed
        as long.
    min_users
        Groups with fewer purchases get no days.
    confidence_level
        Coverage of intervals.
    members
        Users with ``quadrant``, lazy; None: no table by quadrant.

    Returns
    -------
    NextPurchaseFound

    Notes
    -----
    Contact from the lower quartile of the gap of those who buy again to its median: before it most are not yet ready,
    after it most who will buy have bought. ``waiting``: the range has not begun; ``contact``: inside; ``overdue``: after
    it, inside the horizon; ``lapsed``: beyond. A group without days of its own is judged by those of all; the counts of
    ``(all)`` are the sums of the groups'. Of a user whose last purchase was d whole days ago,
    (F(H) - F(d)) / (1 - F(d)) of a return are expected, with F the curve and H the horizon of the group that the user is
    judged by: it speaks of those who have not come so far. It assumes that buyers of now are like those of then. By quadrant only who is due is counted: gaps by quadrant would be judged by
    hindsight, since those who bought again are in the quadrants of buyers for that very reason.
    """
    check_days("horizon_days", [horizon_days])
    check_rate("confidence_level", confidence_level)
    returned, left = counts_by_bucket(found.gaps, "is_repurchase")
    rows = [_moments(returned, left, group, horizon_days, min_users, confidence_level) for group in (*GROUPS, ALL)]
    every = rows[-1]
    elapsed = shop.collect(days_since_purchase(found.table, period, None if members is None else shop.keyed(members)))
    elapsed["buyer_group"] = [GROUPS[int(one) - 1] for one in elapsed["purchase_number"]]
    elapsed = elapsed.assign(phase="unknown", expected_returns=np.nan)
    for group, row in zip(GROUPS, rows, strict=False):
        judged = row if not np.isnan(row["contact_from_day"]) else every
        chosen = elapsed["buyer_group"] == group
        days, users = (elapsed.loc[chosen, name].to_numpy(dtype=float) for name in ("elapsed_days", "user_count"))
        elapsed.loc[chosen, "phase"] = _phases(days, judged)
        if not np.isnan(judged["contact_from_day"]):
            share = _curve(returned, left, judged["buyer_group"], confidence_level).share[: judged["horizon_days"]]
            elapsed.loc[chosen, "expected_returns"] = users * still_expected(share, days)
    by_group = _phase_counts(elapsed, ["buyer_group"]).reindex(GROUPS, fill_value=0)
    by_group.loc[ALL] = by_group.sum()
    table = pd.DataFrame(rows).merge(by_group.reset_index(), on="buyer_group", how="left")
    if np.isnan(every["contact_from_day"]):
        table.loc[table["buyer_group"] == ALL, _PHASE_COLUMNS] = np.nan
    contacts = pd.DataFrame(columns=["quadrant", "buyer_group", "user_count", *_PHASE_COLUMNS])
    if members is not None:
        named = elapsed[elapsed["quadrant"].notna()]
        contacts = _phase_counts(named, ["quadrant", "buyer_group"]).reset_index()
        summed = {
            name: contacts.groupby("quadrant")[name].agg(lambda one: one.sum(skipna=False))
            for name in contacts.columns[2:]
        }
        whole = pd.DataFrame(summed).reset_index().assign(buyer_group=ALL)
        contacts = pd.concat([contacts, whole[contacts.columns]], ignore_index=True)
        place = contacts["buyer_group"].map([*GROUPS, ALL].index)
        contacts = contacts.assign(place=place).sort_values(["quadrant", "place"]).drop(columns="place")
    columns = [one for one in table.columns if one != "reason"]
    return NextPurchaseFound(table[[*columns, "reason"]], contacts.reset_index(drop=True))


def _moments(
    returned: NDArray, left: NDArray, group: str, horizon_days: int, min_users: int, confidence_level: float
) -> dict[str, Any]:
    """The days of one group."""
    own_returned, own_left = (one[:, _places(group)].sum(axis=1) for one in (returned, left))
    curve = _curve(returned, left, group, confidence_level)
    origins = int(own_returned.sum() + own_left.sum())
    reach = int((curve.at_risk >= min_users).sum())
    horizon = min(horizon_days, reach)
    days = dict.fromkeys(
        ["lower_quartile_day", "median_day", "median_ci_lower", "median_ci_upper", "upper_quartile_day"], np.nan
    )
    share, lower, upper = (one[horizon - 1] if horizon else np.nan for one in (curve.share, curve.lower, curve.upper))
    reason = None
    if origins < min_users or not horizon:
        reason, share, lower, upper = "few_users", np.nan, np.nan, np.nan
    elif own_returned[:, :horizon].sum() < MINIMUM_RETURNS:
        reason = "few_returns"
    else:
        found = return_quantiles(own_returned, own_left, _QUARTILES, horizon, confidence_level=confidence_level)
        days = {
            "lower_quartile_day": found.day[0],
            "median_day": found.day[1],
            "median_ci_lower": found.lower[1],
            "median_ci_upper": found.upper[1],
            "upper_quartile_day": found.day[2],
        }
    return {
        "buyer_group": group,
        "origin_count": origins,
        "horizon_days": horizon,
        "return_share": share,
        "ci_lower": lower,
        "ci_upper": upper,
        **days,
        "contact_from_day": days["lower_quartile_day"],
        "contact_until_day": max(days["median_day"], days["lower_quartile_day"] + 1),
        "reason": reason,
    }


def _phases(elapsed: NDArray, row: dict[str, Any]) -> NDArray:
    """Where each user stands; unknown if there are no days."""
    if np.isnan(row["contact_from_day"]):
        return np.full(len(elapsed), "unknown", dtype=object)
    bounds = [row["contact_from_day"], row["contact_until_day"], max(row["horizon_days"], row["contact_until_day"])]
    return np.array(PHASES, dtype=object)[np.searchsorted(bounds, elapsed, side="right")]


def still_expected(share: NDArray, elapsed: NDArray) -> NDArray:
    """How probable is it that somebody who has not come back for so many days does before the horizon ends?

    Parameters
    ----------
    share
        Share that has come back by the end of day 0, 1, ... up to the horizon's last, shape (horizon,).
    elapsed
        Whole days without coming back, any shape.

    Returns
    -------
    numpy.ndarray
        (F(H) - F(d)) / (1 - F(d)); 0 beyond the horizon.

    Examples
    --------
    >>> still_expected(np.array([0.0, 0.2, 0.6]), np.array([0.0, 2.0, 3.0])).round(2).tolist()  # 0.4 of the 0.8 left on day 2
    [0.6, 0.5, 0.0]
    """
    before = np.concatenate([[0.0], share])[np.minimum(elapsed, len(share)).astype(np.int64)]
    left = 1 - before
    return np.divide(share[-1] - before, left, out=np.zeros(before.shape), where=left > 0)


def _phase_counts(elapsed: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Users in each phase by group, and how many of those to call usually buy; null where the phases are not known."""
    wide = elapsed.pivot_table(index=by, columns="phase", values="user_count", aggfunc="sum", fill_value=0)
    wide.columns = pd.Index([str(one) for one in wide.columns])
    known = wide.reindex(columns=list(PHASES), fill_value=0).rename(columns=lambda one: f"{one}_count")
    known.insert(0, "user_count", wide.sum(axis=1))
    for phase in _CALLED:
        of_phase = elapsed["expected_returns"].where(elapsed["phase"] == phase, 0.0)
        known[f"{phase}_expected_returns"] = of_phase.groupby([elapsed[one] for one in by]).sum()
    if "unknown" in wide.columns:
        known = known.astype(dict.fromkeys(_PHASE_COLUMNS, float))
        known.loc[wide["unknown"] > 0, _PHASE_COLUMNS] = np.nan
    return known


def counts_by_bucket(gaps: pd.DataFrame, is_return: str) -> tuple[NDArray, NDArray]:
    """Count returns and losses by bucket (and number of the purchase, where there is one) and day.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Shape (buckets, groups, days), the groups being purchase 1, 2 and 3 or later, or one for all.
    """
    has_groups = "purchase_number" in gaps.columns
    groups = MOST_PURCHASES if has_groups else 1
    last = int(gaps["exit_day"].max()) if len(gaps) else 0
    counts = np.zeros((2, BUCKETS, groups, min(last, LONGEST_DAYS) + 1))
    number = gaps["purchase_number"].to_numpy(dtype=np.int64) - 1 if has_groups else np.zeros(len(gaps), dtype=np.int64)
    place = (
        (~gaps[is_return].astype(bool)).to_numpy(dtype=np.int64),
        gaps["bucket"].to_numpy(dtype=np.int64),
        number,
        gaps["exit_day"].to_numpy(dtype=np.int64),
    )
    np.add.at(counts, place, gaps["origin_count"].to_numpy(dtype=float))
    return counts[0], counts[1]


def _places(group: str) -> slice:
    return slice(None) if group == ALL else slice(GROUPS.index(group), GROUPS.index(group) + 1)


def _of(gaps: pd.DataFrame, group: str) -> pd.DataFrame:
    return gaps if group == ALL else gaps[gaps["purchase_number"] == GROUPS.index(group) + 1]


def _curve(returned: NDArray, left: NDArray, group: str, confidence_level: float) -> ReturnCurve:
    """After a first or second purchase a user counts once; after later ones, and over all, several times."""
    own = [one[:, _places(group)].sum(axis=1) for one in (returned, left)]
    if group in GROUPS[:2]:
        return return_curve(*[one.sum(axis=0) for one in own], confidence_level=confidence_level)
    return return_curve_by_bucket(*own, confidence_level=confidence_level)
