"""How deep may a coupon cut? The same numbers by band of discount, and where orders stop paying."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.coupon.scorecard import CouponTables
from workbench.metrics import coupons as metrics
from workbench.metrics.coupons import DEPTH_EDGES, NO_MINIMUM
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_counts, ratio_by_bucket
from workbench.stats.tables import divide, repurchase_columns, shown_window

NO_MINIMUM_BAND = "no_minimum"
_KEY = ["level", "group_id"]


def band_name(place: int) -> str:
    """What a band holds.

    Examples
    --------
    >>> band_name(1), band_name(6), band_name(-1)
    ('5-10%', '50-100%', 'no_minimum')
    """
    if place == NO_MINIMUM:
        return NO_MINIMUM_BAND
    return f"{100 * DEPTH_EDGES[place]:.0f}-{100 * DEPTH_EDGES[place + 1]:.0f}%"


def coupon_depth(tables: CouponTables, days: Sequence[int], confidence_level: float) -> pd.DataFrame:
    """Orders with a coupon by how deep it cuts.

    Parameters
    ----------
    tables
        From ``coupon_tables``; profit is ``profit_amount`` of its paid orders.
    days
        Windows of repurchase; the table holds the one that is shown.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        One row per dimension and band with orders, shallow first: order_count, gross_amount, coupon_discount_amount,
        paid_amount, subsidy_rate, average_order_value, profit_per_order with interval, repurchase of the shown window,
        and ``pays``: yes (the interval of the profit lies above 0), no (at or below 0), unsure, unknown (no cost, or
        fewer than 50 effective buyers).

    Notes
    -----
    Without an experiment nobody knows which of these orders would have come anyway: a band that pays may still cost
    more than it adds.
    """
    shop, window = tables.shop, shown_window(days)
    columns = ["dimension", "band", "pays"]
    orders = metrics.orders_by_depth(tables.used, tables.coupons, is_stacked=tables.is_stacked)
    sums = shop.collect(metrics.order_sums(orders, tables.period))
    if not shop.has_money or sums.empty:
        return pd.DataFrame(columns=columns, dtype=object)
    by_band = sums.groupby(_KEY).sum(numeric_only=True)
    found = by_band[["order_count", "gross_amount", "coupon_discount_amount", "paid_amount"]].copy()
    found["subsidy_rate"] = divide(found["coupon_discount_amount"], found["gross_amount"])
    found["average_order_value"] = divide(found["paid_amount"], by_band["amount_count"])
    exits = shop.collect(metrics.buyer_exits(orders, tables.period, [window] if window else []))
    counts = exits.groupby(_KEY).sum(numeric_only=True).reindex(found.index)
    few = effective_counts(counts["buyer_amount"].fillna(0), counts["buyer_squares"].fillna(0)) < MINIMUM_EFFECTIVE
    found = found.join(_profit(sums, by_band, few, confidence_level, is_known=tables.has_cost))
    if window:
        found = found.join(repurchase_columns(counts.astype(float), [window], confidence_level))
    found = found.reset_index()
    found["dimension"] = found["level"]
    found["place"] = found["group_id"].astype(int)
    found["band"] = [band_name(place) for place in found["place"]]
    found = found.sort_values(["level", "place"])
    rest = [name for name in found.columns if name not in (*_KEY, "place", *columns)]
    return found[["dimension", "band", *rest, "pays"]].reset_index(drop=True)


def _profit(
    sums: pd.DataFrame, by_band: pd.DataFrame, few: NDArray[np.bool_], confidence_level: float, *, is_known: bool
) -> pd.DataFrame:
    names = ["profit_per_order", "profit_ci_lower", "profit_ci_upper"]
    if not is_known:
        return pd.DataFrame(np.nan, index=by_band.index, columns=names).assign(pays="unknown")
    by_bucket = sums.assign(user_bucket=sums["user_bucket"].fillna(-1)).groupby(["user_bucket", *_KEY])
    wide = by_bucket[["profit_amount", "amount_count"]].sum().unstack(_KEY).fillna(0.0)  # noqa: PD010
    interval = ratio_by_bucket(
        wide["profit_amount"], wide["amount_count"], confidence_level=confidence_level, is_share=False
    )
    bounds = pd.DataFrame({names[1]: interval.lower, names[2]: interval.upper}, index=wide["amount_count"].columns)
    found = divide(by_band["profit_amount"], by_band["amount_count"]).to_frame(names[0]).join(bounds)
    found.loc[few, names[1:]] = np.nan
    pays = pd.Series("unsure", index=found.index).mask(found[names[1]] > 0, "yes").mask(found[names[2]] <= 0, "no")
    return found.assign(pays=pays.mask(found[names[1]].isna(), "unknown"))
