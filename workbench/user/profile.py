"""What is special about the users of a quadrant, against all others?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.contract import UNKNOWN
from workbench.metrics.coupons import categorised_lines
from workbench.metrics.orders import paid_orders
from workbench.metrics.population import USER_COLUMNS
from workbench.metrics.profiles import (
    OTHER,
    buyer_cells,
    coupon_users,
    favourite_categories,
    user_cells,
    value_counts,
)
from workbench.metrics.user_states import QUADRANTS
from workbench.parameters import check_rate
from workbench.source.shop import Shop
from workbench.stats.multiplicity import benjamini_hochberg
from workbench.stats.proportions import pairwise_proportions

CATEGORY, COUPON_USE = "category", "coupon_use"
DIMENSIONS = ("channel", *USER_COLUMNS, CATEGORY, COUPON_USE)
COLUMNS = [
    "quadrant",
    "dimension",
    "value",
    "user_count",
    "base_count",
    "user_share",
    "rest_count",
    "rest_share",
    "difference",
    "ci_lower",
    "ci_upper",
    "lift",
    "p_value",
    "p_value_adjusted",
    "is_different",
    "folded_count",
    "reason",
]


def read_profile(
    shop: Shop, members: Any, window: tuple[int, int], *, min_users: int = 30, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Who are the users of each quadrant, compared with the users of the others?

    Parameters
    ----------
    shop
        Dimensions are those that it has: channel, age_group, gender, region and device of ``users``; category (in which a
        buyer bought most often) and coupon_use of the orders.
    members
        One row per user: user_id, quadrant; lazy.
    window
        UTC milliseconds: orders paid in it count, from its start to before its end.
    min_users
        A quadrant, or all others, with fewer users in a dimension is not compared; a value that fewer members have is
        ``(other)`` where there is more than one such value.
    confidence_level
        Coverage of each interval.

    Returns
    -------
    pandas.DataFrame
        By quadrant (those with users) and dimension, the largest difference first, one row per quadrant, ``dimension`` and ``value``
        (``(unknown)``: null): user_count; base_count, users of the quadrant that the dimension speaks of (of category and
        coupon_use those with a paid order in the window); user_share of these; rest_count and rest_share of all other
        quadrants; difference of the shares with ci_lower and ci_upper (Newcombe); lift, the ratio of the shares; p_value,
        p_value_adjusted (Benjamini-Hochberg over the table), is_different; folded_count, values that are ``(other)``;
        reason.

    Notes
    -----
    What users are, not why they are in the quadrant. Users are in one quadrant each, so the two shares are independent.
    """
    check_rate("confidence_level", confidence_level)
    return profile_table(_counts(shop, members, window), min_users, confidence_level)


def profile_table(counts: pd.DataFrame, min_users: int, confidence_level: float) -> pd.DataFrame:
    """Compare each quadrant with the others, from collected counts of ``metrics.profiles.value_counts``."""
    parts = [_compared(one, min_users, confidence_level) for _, one in counts.groupby("dimension", sort=False)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    table["p_value_adjusted"] = benjamini_hochberg(table["p_value"].to_numpy())
    table["is_different"] = table["p_value_adjusted"] < 1 - confidence_level
    order = pd.DataFrame(
        {
            "quadrant": table["quadrant"].map(_place(QUADRANTS)),
            "dimension": table["dimension"].map(_place(DIMENSIONS)),
            "size": -table["difference"].abs().round(12),
            "value": table["value"],
        }
    )
    sorted_index = order.sort_values(["quadrant", "dimension", "size", "value"]).index
    return table.reindex(sorted_index)[COLUMNS].reset_index(drop=True)


def _place(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _counts(shop: Shop, members: Any, window: tuple[int, int]) -> pd.DataFrame:
    """Members by quadrant, dimension and value."""
    keyed = shop.keyed(members)
    asked = []
    columns = [name for name in ("channel", *USER_COLUMNS) if shop.has("users", name)]
    if columns:
        cells = shop.hold("profile_users", user_cells(keyed, shop.keyed(shop.tables["users"]), columns))
        asked.append(value_counts(cells, columns))
    if shop.has("orders"):
        paid = paid_orders(shop.keyed(shop.tables["orders"]))
        inside = paid.filter(paid.user_id.notnull(), paid.paid_ms >= window[0], paid.paid_ms < window[1])
        described, names = [], []
        products = shop.tables["products"] if shop.has("products", "category") else None
        if shop.has("order_lines") and (shop.has("order_lines", "category") or products is not None):
            described.append(favourite_categories(categorised_lines(shop.tables["order_lines"], products), inside))
            names.append(CATEGORY)
        grants = shop.tables["coupon_grants"] if shop.has("coupon_grants", "order_id") else None
        if shop.has("orders", "coupon_discount_amount") or grants is not None:
            described.append(coupon_users(inside, grants))
            names.append(COUPON_USE)
        if described:
            cells = shop.hold("profile_buyers", buyer_cells(keyed, described, inside))
            asked.append(value_counts(cells, names))
    found = [shop.collect(one) for one in asked]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["dimension"])


def _compared(counts: pd.DataFrame, min_users: int, confidence_level: float) -> pd.DataFrame:
    """One dimension, each value of each quadrant against all others."""
    wide = counts.pivot(index="value", columns="quadrant", values="user_count")
    wide = wide.reindex(columns=list(QUADRANTS)).fillna(0.0)
    named = len(wide) - (OTHER in wide.index)
    folded = int(counts["value_count"].max()) - named if OTHER in wide.index else 0
    rare = [one for one in wide.index[wide.sum(axis=1) < min_users] if one not in (UNKNOWN, OTHER)]
    if rare and len(rare) + folded > 1:
        rest = wide.loc[[*rare, *([OTHER] if OTHER in wide.index else [])]].sum()
        wide = pd.concat([wide.drop(index=[*rare, OTHER], errors="ignore"), rest.to_frame(OTHER).T])
        folded += len(rare)
    base, total = wide.sum(), wide.sum(axis=1)
    rows = []
    for quadrant in base.index[base > 0]:
        inside, outside = base[quadrant], base.sum() - base[quadrant]
        is_enough = min(inside, outside) >= min_users
        for value, own in wide[quadrant].items():
            rest = total[value] - own
            found = pairwise_proportions([own, rest], [inside, outside], confidence_level=confidence_level)
            difference, lower, upper, p_value = (
                one[0]
                for one in (found.difference.estimate, found.difference.lower, found.difference.upper, found.p_value)
            )
            share, rest_share = (top / bottom if bottom else np.nan for top, bottom in ((own, inside), (rest, outside)))
            rows.append(
                {
                    "quadrant": quadrant,
                    "dimension": counts["dimension"].iloc[0],
                    "value": value,
                    "user_count": int(own),
                    "base_count": int(inside),
                    "user_share": share,
                    "rest_count": int(rest),
                    "rest_share": rest_share,
                    "difference": difference,
                    "ci_lower": lower if is_enough else np.nan,
                    "ci_upper": upper if is_enough else np.nan,
                    "lift": share / rest_share if rest_share else np.nan,
                    "p_value": p_value if is_enough else np.nan,
                    "folded_count": folded if value == OTHER else np.nan,
                    "reason": None if is_enough else "few_users",
                }
            )
    return pd.DataFrame(rows)
