"""What a channel costs and what its users bring: spend against what acquired users pay and earn, as far as observed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.metrics.cohorts import daily_profit, early_sums, followed_days
from workbench.metrics.session_channels import visitors
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_counts, ratio_by_bucket
from workbench.stats.tables import divide


def payback_table(
    shop: Shop, acquired: Any, paid: Any, period: Period, costs: pd.Series, last_day: int, min_users: int
) -> pd.DataFrame:
    """What has an acquired user earned by each day since the first visit?

    Parameters
    ----------
    shop, acquired, paid, period
        Users first seen in the period and paid orders; lazy.
    costs
        Spend per new user by channel; null where there is no spend.
    last_day
        As far as the curve reaches at most.
    min_users
        The curve ends where fewer users of the channel are watched.

    Returns
    -------
    pandas.DataFrame
        One row per channel and ``day`` d from 1, as long as enough users are watched: at_risk_count (users watched
        through day d), profit_per_user (sum over the days before d of the profit of that day per user watched on it;
        Nelson's mean cumulative function), balance_per_user (the same less the cost of winning the user).
    """
    columns = ["channel", "day", "at_risk_count", "profit_per_user", "balance_per_user"]
    if not shop.has("orders", "cost_amount") or not shop.has_money:
        return pd.DataFrame(columns=columns)
    profits = shop.collect(daily_profit(acquired, paid, period))
    followed = shop.collect(followed_days(acquired, period))
    days = np.arange(last_day)
    parts = []
    for channel in costs.index:
        own = followed[followed["channel"] == channel]
        lengths = own["followed_days"].to_numpy()[:, None]
        at_risk = ((lengths > days) * own["user_count"].to_numpy()[:, None]).sum(axis=0)
        watched = int((at_risk >= max(min_users, 1)).sum())
        earned = profits[(profits["channel"] == channel) & (profits["day"] < watched)]
        daily = np.bincount(
            earned["day"].to_numpy(dtype=np.int64), weights=earned["profit_amount"].fillna(0), minlength=watched
        )
        per_user = np.cumsum(daily[:watched] / at_risk[:watched])
        cost = costs[channel]
        parts.append(
            pd.DataFrame(
                {
                    "channel": channel,
                    "day": days[:watched] + 1,
                    "at_risk_count": at_risk[:watched],
                    "profit_per_user": per_user,
                    "balance_per_user": per_user - (0.0 if np.isnan(cost) else cost),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def economics_table(
    shop: Shop,
    acquired: Any,
    paid: Any,
    period: Period,
    own: pd.DataFrame,
    payback: pd.DataFrame,
    days: Sequence[int],
    confidence_level: float,
) -> pd.DataFrame:
    """What does a channel cost, and what does it bring?

    Parameters
    ----------
    own
        By channel, of users first seen in the period by the channel that acquired them: user_count, buyer_count,
        paid_amount, spend_amount, contribution_per_new_user, contribution_ci_lower, contribution_ci_upper.
    payback
        From ``payback_table``.
    days
        Windows after the first visit.

    Returns
    -------
    pandas.DataFrame
        One row per channel: spend_amount, visitor_count, cost_per_visitor, new_user_count, cost_per_new_user,
        new_buyer_count, cost_per_new_buyer, new_user_paid_amount, return_on_ad_spend, contribution_per_new_user and
        its bounds, payback_day, payback_reason (``no_spend``, ``no_costs``, ``no_new_users``, ``not_yet``),
        watched_days, and for each W paid_amount_per_user_W with _eligible_count, _ci_lower, _ci_upper.
    """
    card = own[["spend_amount"]]
    table = card.assign(
        visitor_count=_visitors(shop, period).reindex(card.index),
        new_user_count=own["user_count"].fillna(0),
        new_buyer_count=own["buyer_count"].fillna(0),
        new_user_paid_amount=own["paid_amount"] if shop.has_money else np.nan,
    )
    spend = table["spend_amount"]
    for name, count in {
        "cost_per_visitor": "visitor_count",
        "cost_per_new_user": "new_user_count",
        "cost_per_new_buyer": "new_buyer_count",
    }.items():
        table[name] = divide(spend, table[count])
    table["return_on_ad_spend"] = divide(table["new_user_paid_amount"], spend)
    contribution = ["contribution_per_new_user", "contribution_ci_lower", "contribution_ci_upper"]
    table[contribution] = own[contribution]
    table["payback_day"], table["watched_days"], table["payback_reason"] = _payback(payback, table, shop)
    table = table.join(_paid_by_day(shop, acquired, paid, period, card.index, days, confidence_level))
    first = ["spend_amount", "visitor_count", "cost_per_visitor", "new_user_count", "cost_per_new_user"]
    first += ["new_buyer_count", "cost_per_new_buyer", "new_user_paid_amount", "return_on_ad_spend", *contribution]
    first += ["payback_day", "payback_reason", "watched_days"]
    return table[[*first, *[name for name in table.columns if name not in first]]].reset_index()


def _visitors(shop: Shop, period: Period) -> pd.Series:
    if not shop.has("events", "channel"):
        return pd.Series(dtype=float)
    return shop.collect(visitors(shop.tables, period)).set_index("channel")["visitor_count"].astype(float)


def _payback(payback: pd.DataFrame, table: pd.DataFrame, shop: Shop) -> tuple[list, list, list]:
    """The first day from which on the curve stays at or above the cost, how far it is watched, and why there is none."""
    found, watched, reasons = [], [], []
    curves = dict(list(payback.groupby("channel")))
    for channel, row in table.iterrows():
        curve = curves.get(str(channel))
        watched.append(0 if curve is None else int(curve["day"].max()))
        reason, day = None, np.nan
        if not row["spend_amount"] > 0:
            reason = "no_spend"
        elif not row["new_user_count"]:
            reason = "no_new_users"
        elif not shop.has("orders", "cost_amount") or not shop.has_money:
            reason = "no_costs"
        elif curve is None:
            reason = "few_users"
        else:
            below = curve.loc[curve["balance_per_user"] < 0, "day"]
            day = 1 if below.empty else int(below.max()) + 1
            if day > curve["day"].max():
                reason, day = "not_yet", np.nan
        found.append(day)
        reasons.append(reason)
    return found, watched, reasons


def _paid_by_day(
    shop: Shop,
    acquired: Any,
    paid: Any,
    period: Period,
    channels: pd.Index,
    days: Sequence[int],
    confidence_level: float,
) -> pd.DataFrame:
    """Paid amount per acquired user whose days have elapsed, with intervals over buckets of users."""
    columns: dict[str, Any] = {}
    if not days or not shop.has_money:
        return pd.DataFrame(columns, index=channels)
    sums = shop.collect(early_sums(acquired, paid, period, days))
    for window in days:
        wide = {
            name: sums.pivot(index="user_bucket", columns="channel", values=f"{name}_{window}")
            .reindex(columns=channels)
            .fillna(0.0)
            for name in ("paid", "eligible", "squares")
        }
        found = ratio_by_bucket(wide["paid"], wide["eligible"], confidence_level=confidence_level, is_share=False)
        few = effective_counts(wide["paid"].sum(), wide["squares"].sum()) < MINIMUM_EFFECTIVE
        name = f"paid_amount_per_user_{window}"
        columns |= {
            name: found.estimate,
            f"{name}_eligible_count": wide["eligible"].sum().to_numpy(),
            f"{name}_ci_lower": np.where(few, np.nan, found.lower),
            f"{name}_ci_upper": np.where(few, np.nan, found.upper),
        }
    return pd.DataFrame(columns, index=channels)
