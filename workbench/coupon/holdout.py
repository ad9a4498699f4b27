"""The experiment that would answer, for coupons that have none: how many users, how many days, which holdout."""

import math
from collections.abc import Sequence

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from workbench.experiment.collect import followed_sums
from workbench.metrics.experiments import followed_units, unit_outcomes, unit_sums
from workbench.metrics.orders import profit_amount
from workbench.period import DAY_MS, Period
from workbench.source.shop import Shop
from workbench.stats.experiment_design import units_needed

HOLDOUTS = (0.1, 0.2, 0.3, 0.5)
"""Shares of users who get no coupon; the smallest that ends within ``PATIENCE_DAYS`` is proposed."""
PATIENCE_DAYS = 28
COLUMNS = [
    "coupon_id",
    "holder_count",
    "discount_per_holder",
    "profit_std",
    "units_needed",
    "days_needed",
    "holdout_share",
]


def holdout_plans(
    shop: Shop, grants: ir.Table, used: ir.Table, period: Period, days: int, margin_rate: float | None
) -> pd.DataFrame:
    """One row per coupon whose holders' windows have elapsed for at least two of them.

    Returns
    -------
    pandas.DataFrame
        ``holder_count``: users granted the coupon in the period, by their first grant; ``discount_per_holder`` and
        ``profit_std``: mean discount of this coupon that the shop bears and standard deviation of profit of a holder in
        ``days`` after it.
        ``units_needed`` users, both arms together, tell with 80 % power a coupon that brings no order from one that
        pays for itself: its profit per holder is lower by the discount per holder. ``days_needed`` at the pace of
        the period, the window included. Infinite numbers are null.
    """
    empty = pd.DataFrame(columns=COLUMNS)
    if not shop.has_money or not (margin_rate is not None or shop.has("orders", "cost_amount")):
        return empty
    given = grants.filter(
        grants.user_id.notnull(), grants.granted_ms >= period.start_ms, grants.granted_ms < period.end_ms
    )
    holders = given.group_by(["coupon_id", "user_id"]).aggregate(assigned_ms=_.granted_ms.min())
    unit_id = holders.coupon_id.cast("string") + "/" + holders.user_id.cast("string")
    holders = holders.mutate(unit_id=unit_id, variant=holders.coupon_id.cast("string"))
    holders = shop.hold("coupon_holders", followed_units(holders, None, period, [days]))
    outcomes = unit_outcomes(
        holders.mutate(member_id=holders.user_id, since_ms=holders.assigned_ms),
        shop.orders,
        period,
        days=[days],
        pre_days=0,
        profit=lambda orders: profit_amount(orders, margin_rate),
        names=["profit"],
    )
    sums = followed_sums(shop.collect(unit_sums(outcomes, holders, ["profit"], [days])), [days])
    numbers = sums.columns.difference(["variant", "week", "is_new", "stratum"])
    sums = sums.groupby("variant")[list(numbers)].sum()
    discount = shop.collect(_own_discount(holders, used, period, days)).set_index("coupon_id")["discount"]
    sums["discount"] = discount.reindex(sums.index).fillna(0.0)
    length = max((min(period.end_ms, period.data_end_ms) - period.start_ms) / DAY_MS, 1)
    rows = [_row(str(coupon), row, days, length) for coupon, row in sums.iterrows() if row[f"n_{days}"] >= 2]
    return pd.DataFrame(rows, columns=COLUMNS) if rows else empty


def _own_discount(holders: ir.Table, used: ir.Table, period: Period, days: int) -> ir.Table:
    """What each coupon itself took off in the windows of its holders at the shop's expense; other coupons apart."""
    own = used.select("borne_discount", "paid_ms", used_coupon_id=used.coupon_id, used_by=used.user_id)
    met = own.inner_join(holders, [own.used_coupon_id == holders.variant, own.used_by == holders.user_id])
    end = met.assigned_ms + days * DAY_MS
    inside = met.filter(met.paid_ms >= met.assigned_ms, met.paid_ms < end, end <= period.data_end_ms)
    return inside.group_by(coupon_id=inside.used_coupon_id).aggregate(
        discount=inside.borne_discount.cast("float64").sum()
    )


def _row(coupon_id: str, row: pd.Series, days: int, length: float) -> dict[str, object]:
    n, y, yy = (float(row[one]) for one in (f"n_{days}", f"profit_{days}_y", f"profit_{days}_yy"))
    discount, variance = float(row["discount"]) / n, max(yy - y * y / n, 0.0) / (n - 1)
    found: dict[str, object] = {
        "coupon_id": coupon_id,
        "holder_count": int(row["unit_count"]),
        "discount_per_holder": discount,
        "profit_std": math.sqrt(variance),
        "units_needed": np.nan,
        "days_needed": np.nan,
        "holdout_share": np.nan,
    }
    return found | plan(discount, variance, float(row["unit_count"]) / length, days)


def plan(
    effect: float, variance: float, units_per_day: float, days: int, holdouts: Sequence[float] = HOLDOUTS
) -> dict[str, object]:
    """Users, days and holdout share that find an effect of this size; empty where none would."""
    if not (effect > 0 and variance > 0 and units_per_day > 0):
        return {}
    for share in holdouts:
        needed = units_needed(effect, variance, share_treatment=1 - share)
        lasts = needed / units_per_day
        if lasts <= PATIENCE_DAYS or share == holdouts[-1]:
            return {"units_needed": needed, "days_needed": math.ceil(lasts) + days, "holdout_share": share}
    return {}
