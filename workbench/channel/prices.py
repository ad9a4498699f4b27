"""Price bands in which users of a channel look, against those in which they buy."""

from typing import Any

import numpy as np
import pandas as pd

from workbench.metrics.prices import band_limits, price_bands, viewed_and_bought
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import ratio_by_bucket

COLUMNS = ["channel", "price_band", "lowest_price", "highest_price", "product_count"]
COLUMNS += [f"{kind}_{end}" for kind in ("viewed", "bought") for end in ("count", "share", "ci_lower", "ci_upper")]


def price_table(
    shop: Shop, members: Any, paid: Any, period: Period, channels: list[str], confidence_level: float
) -> pd.DataFrame:
    """In which price bands do users of each channel look, and in which do they buy?

    Returns
    -------
    pandas.DataFrame
        One row per channel and price_band (number from 1, the cheapest quarter of the products sold): lowest_price and
        highest_price of a piece, product_count, viewed_count (products viewed in the period, each once per user),
        viewed_share of them with interval over buckets of users, and the same for bought. Products without a price, as
        they were never sold, are left out. Empty without events, lines or prices.
    """
    if not (shop.has("events", "product_id") and shop.has("order_lines") and shop.has_money):
        return pd.DataFrame(columns=COLUMNS)
    bands = price_bands(shop.order_lines)
    limits = shop.collect(band_limits(bands)).set_index("band").sort_index()
    counts = shop.collect(viewed_and_bought(members, shop.events, shop.order_lines, paid, bands, period))
    counts = counts[counts["band"] >= 0]
    if limits.empty or counts.empty:
        return pd.DataFrame(columns=COLUMNS)
    parts = []
    for channel in channels:
        own = counts[counts["channel"] == channel]
        if own.empty:
            continue
        part = pd.DataFrame(
            {
                "channel": channel,
                "price_band": limits.index + 1,
                "lowest_price": limits["lowest_cents"] / 100,
                "highest_price": limits["highest_cents"] / 100,
                "product_count": limits["product_count"],
            }
        )
        for kind in ("viewed", "bought"):
            wide = own.pivot(index="user_bucket", columns="band", values=f"{kind}_count")
            sums = wide.reindex(columns=limits.index).fillna(0).to_numpy(dtype=float)
            found = ratio_by_bucket(sums, sums.sum(axis=1, keepdims=True), confidence_level=confidence_level)
            part[f"{kind}_count"] = sums.sum(axis=0).astype(np.int64)
            part[f"{kind}_share"], part[f"{kind}_ci_lower"], part[f"{kind}_ci_upper"] = (
                found.estimate,
                found.lower,
                found.upper,
            )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[COLUMNS]
