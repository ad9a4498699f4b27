"""Which goods are bought together?"""

from datetime import timedelta

import numpy as np
import pandas as pd

from workbench.metrics.sales import basket_items, basket_lines, basket_orders, basket_pairs, counted_orders
from workbench.sales.figures import BUCKETS
from workbench.sales.spans import Span, Spans, span
from workbench.source.shop import Shop
from workbench.stats.baskets import bought_together

MOST_PRODUCTS, MOST_PAIRS = 60, 100
"""Pairs are counted among so many products, those of most order lines; so many pairs are listed."""
LOOK_BACK_DAYS = 84
"""What goes together is a habit, not news: a shorter period is filled up with the days before it."""
LEAST_ORDERS = 5
"""A pair seen in fewer orders is not listed."""
COLUMNS = [
    "product_id",
    "product_name",
    "other_id",
    "other_name",
    "order_count",
    "support",
    "support_ci_lower",
    "support_ci_upper",
    "confidence",
    "confidence_ci_lower",
    "confidence_ci_upper",
    "reverse_confidence",
    "lift",
    "lift_ci_lower",
    "lift_ci_upper",
    "p_value_adjusted",
    "reason",
]


def pairs_bought(
    shop: Shop, products: pd.DataFrame, names: dict[str, str], spans: Spans, timezone: str, confidence_level: float
) -> pd.DataFrame:
    """One row per pair of goods in one order; pairs with bounds first, by the lower bound of the lift.

    Parameters
    ----------
    products
        Collected ``product_sums``: among the products of most order lines in the period, pairs are counted.
    names
        Names of products by id.
    spans
        Give the days: the period, or the ``LOOK_BACK_DAYS`` before its end if it is shorter.
    timezone
        Of the days.
    confidence_level
        Coverage of the intervals.
    """
    if spans.now is None or not shop.has("order_lines"):
        return pd.DataFrame(columns=COLUMNS)
    now = basket_days(spans.now, spans.data, timezone)
    orders = counted_orders(shop.orders, has_money=shop.has_money)
    goods = _most_sold(products)
    if len(goods) < 2:
        return pd.DataFrame(columns=COLUMNS)
    place = {name: number for number, name in enumerate(goods)}
    every = shop.collect(basket_orders(orders, now.reach))
    baskets = shop.hold("sales_baskets", basket_lines(dict(shop.tables), orders, now.reach, goods))
    items, pairs = shop.collect(basket_items(baskets)), shop.collect(basket_pairs(baskets))
    if pairs.empty:
        return pd.DataFrame(columns=COLUMNS)
    first, second = (pairs[name].map(place).to_numpy(dtype=int) for name in ("product_id", "other_id"))
    seen, number = np.unique(first * len(goods) + second, return_inverse=True)
    chosen = np.stack([seen // len(goods), seen % len(goods)], axis=1)
    found = bought_together(
        _spread(pairs, number, len(seen)),
        _spread(items, items["product_id"].map(place).to_numpy(dtype=int), len(goods)),
        _spread(every, np.zeros(len(every), dtype=int), 1)[:, 0],
        chosen,
        confidence_level=confidence_level,
    )
    table = pd.DataFrame(
        {
            "product_id": [goods[one] for one in chosen[:, 0]],
            "other_id": [goods[one] for one in chosen[:, 1]],
            "order_count": found.pair_count,
            **_columns("support", found.support),
            **_columns("confidence", found.confidence),
            "reverse_confidence": found.reverse_confidence.estimate,
            **_columns("lift", found.lift),
            "p_value_adjusted": found.p_value_adjusted,
            "reason": found.reason,
        }
    )
    if not shop.user_ids_known:
        table[[one for one in COLUMNS if "_ci_" in one or one == "p_value_adjusted"]] = float("nan")
        table["reason"] = "users_unknown"
    for column in ("product", "other"):
        table[f"{column}_name"] = [names.get(one, one) for one in table[f"{column}_id"]]
    table = table.sort_values(
        ["lift_ci_lower", "order_count", "product_id", "other_id"],
        ascending=[False, False, True, True],
        na_position="last",
        ignore_index=True,
    )
    return table.loc[table["order_count"] >= LEAST_ORDERS, COLUMNS].head(MOST_PAIRS).reset_index(drop=True)


def _most_sold(products: pd.DataFrame) -> list[str]:
    """The products of most order lines of the period, in the order of texts."""
    lines = products[products["span"] == 0].groupby("product_id")["line_count"].sum().reset_index()
    lines = lines.sort_values(["line_count", "product_id"], ascending=[False, True])
    return sorted(lines["product_id"].head(MOST_PRODUCTS))


def basket_days(now: Span, data: Span, timezone: str) -> Span:
    """The days whose orders are looked at."""
    return span(max(min(now.first, now.end - timedelta(days=LOOK_BACK_DAYS)), data.first), now.end, timezone)


def _spread(frame: pd.DataFrame, column: np.ndarray, width: int) -> np.ndarray:
    """Counts by bucket as an array, shape (buckets, width)."""
    found = np.zeros((BUCKETS, width))
    np.add.at(found, (frame["user_bucket"].to_numpy(dtype=int), column), frame["order_count"].to_numpy(dtype=float))
    return found


def _columns(name: str, interval: object) -> dict[str, np.ndarray]:
    return {
        name: interval.estimate,  # type: ignore[attr-defined]
        f"{name}_ci_lower": interval.lower,  # type: ignore[attr-defined]
        f"{name}_ci_upper": interval.upper,  # type: ignore[attr-defined]
    }
