"""When do buyers with a coupon buy again? The curve over days, also for those not yet watched to the end."""

import numpy as np
import pandas as pd

from workbench.stats.survival import return_curve


def coupon_repurchase(exits: pd.DataFrame, card: pd.DataFrame, last_day: int, confidence_level: float) -> pd.DataFrame:
    """Repurchase by day since the first paid order with the coupon.

    Parameters
    ----------
    exits
        Collected from ``metrics.coupons.buyer_exits``: level, group_id, exit_day, is_repurchase, origin_count.
    card
        The scorecard, for names and order.
    last_day
        The curve reaches as far, or as far as a buyer is watched.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        One row per coupon (``level`` coupon; all together: ``all``) and ``day`` d from 1: at_risk_count,
        ``repurchase_share`` (bought again before d days), ci_lower, ci_upper. Coupons without a buyer who was watched a day have no rows.
    """
    by_group = dict(list(exits.dropna(subset="exit_day").groupby(["level", "group_id"])))
    parts = []
    for row in card[card["level"].isin(("coupon", "all"))].to_dict("records"):
        group = ("all", "(all)") if row["level"] == "all" else ("coupon", row["coupon_id"])
        if group in by_group:
            curve = _curve(by_group[group], last_day, confidence_level)
            parts.append(curve.assign(**{name: row[name] for name in ("level", "coupon_id", "coupon_name")}))
    columns = ["level", "coupon_id", "coupon_name", "day", "at_risk_count", "repurchase_share", "ci_lower", "ci_upper"]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return found[columns]


def _curve(exits: pd.DataFrame, last_day: int, confidence_level: float) -> pd.DataFrame:
    """Whoever is watched beyond the last day leaves after it."""
    days = exits["exit_day"].clip(upper=last_day).astype(int)
    is_inside = exits["is_repurchase"].astype(bool) & (exits["exit_day"] < last_day)
    returned, left = (
        np.bincount(days[chosen], weights=exits.loc[chosen, "origin_count"], minlength=last_day + 1)
        for chosen in (is_inside, ~is_inside)
    )
    found = return_curve(returned, left, confidence_level=confidence_level)
    kept = slice(0, last_day)
    return pd.DataFrame(
        {
            "day": np.arange(1, len(found.share[kept]) + 1),
            "at_risk_count": found.at_risk[kept].astype(int),
            "repurchase_share": found.share[kept],
            "ci_lower": found.lower[kept],
            "ci_upper": found.upper[kept],
        }
    )
