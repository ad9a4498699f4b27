"""The small tables of the whole shop: what is for sale, where it is shown, what was spent and what lay in store."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from workbench.source.simulate.block_tables import VARIANTS
from workbench.source.simulate.catalogue import (
    CATEGORIES,
    PRODUCT_COUNT,
    REGION_SHARES,
    REGIONS,
    Advertisement,
    Products,
)
from workbench.source.simulate.tables import dates, product_ids, table, words
from workbench.source.simulate.truth import Truth

CLICKS_PER_VISIT = 1.12
CLICK_RATE = 0.018
COVER_DAYS = 7
COVER_FACTOR = 1.4
FIRST_MONDAY = 1  # the shop opens on a Sunday


def fixed_tables(products: Products, truth: Truth) -> dict[str, pa.Table]:
    """Give the tables that do not depend on chance, by name."""
    categories = [CATEGORIES[place][0] for place in products.category]
    numbers = np.arange(PRODUCT_COUNT)
    names = [
        f"{one.split(' · ')[0].title()} {number + 1} · {one.split(' · ')[1]} {number + 1}"
        for number, one in enumerate(categories)
    ]
    slot_columns = ("slot_id", "name", "page", "floor", "position", "kind")
    coupon_columns = ("coupon_id", "name", "kind", "face_value", "min_spend")
    content_columns = ("content_id", "name", "slot_id")
    arms = [(one, variant) for one in truth.experiments for variant in VARIANTS]
    shares = [one.treatment_share if name == "treatment" else 1.0 - one.treatment_share for one, name in arms]
    return {
        "products": table("products", {"product_id": product_ids(numbers), "name": names, "category": categories}),
        "slots": table("slots", {name: [getattr(one, name) for one in truth.slots] for name in slot_columns}),
        "contents": table(
            "contents", {name: [getattr(one, name) for one in truth.contents] for name in content_columns}
        ),
        "coupons": table("coupons", {name: [getattr(one, name) for one in truth.coupons] for name in coupon_columns}),
        "experiments": table(
            "experiments",
            {
                "experiment_id": [one.experiment_id for one, _ in arms],
                "variant": [variant for _, variant in arms],
                "expected_share": np.round(shares, 6),
                "coupon_id": [one.coupon_id for one, _ in arms],
            },
        ),
    }


def spend_table(visit_counts: np.ndarray, ads: list[Advertisement], truth: Truth, rng: np.random.Generator) -> pa.Table:
    """One row per day and paid placement.

    Parameters
    ----------
    visit_counts
        Visits by day and placement; a placement is paid for a little more clicks than arrive.
    """
    days, width = visit_counts.shape
    price = np.array([one.cost_per_click for one in ads])
    clicks = visit_counts + rng.poisson(visit_counts * (CLICKS_PER_VISIT - 1.0))
    impressions = clicks + rng.poisson(clicks / CLICK_RATE)
    spend = np.round(clicks * price * np.exp(rng.normal(0.0, 0.08, visit_counts.shape)), 2)
    place = np.tile(np.arange(width), days)
    return table(
        "channel_spend",
        {
            "date": dates(np.repeat(np.arange(days), width)),
            "channel": words(place, [truth.channels[one.channel].name for one in ads]),
            "campaign": words(place, [one.campaign for one in ads]),
            "keyword": words(place, [one.keyword for one in ads]),
            "spend_amount": spend.ravel(),
            "impressions": impressions.ravel(),
            "clicks": clicks.ravel(),
        },
    )


def stock_table(sold: np.ndarray, products: Products) -> pa.Table:
    """One row per day, product and region, at the end of the day; every Monday fills up to the usual cover.

    Parameters
    ----------
    sold
        Pieces sold by day, stocked product and region.
    """
    days, kinds, regions = sold.shape
    weekly = sold.sum(axis=(0, 2))[:, None] / days * COVER_DAYS * np.array(REGION_SHARES)
    target = np.ceil(weekly * COVER_FACTOR) + 3
    held, on_hand = target.copy(), np.empty_like(sold)
    for day in range(days):
        if day % 7 == FIRST_MONDAY:
            held = target.copy()
        held = np.maximum(held - sold[day], 0)
        on_hand[day] = held
    product = np.tile(np.repeat(np.arange(kinds), regions), days)
    return table(
        "stock",
        {
            "date": dates(np.repeat(np.arange(days), kinds * regions)),
            "product_id": words(product, product_ids(products.best)),
            "region": words(np.tile(np.arange(regions), days * kinds), REGIONS),
            "on_hand_quantity": on_hand.ravel(),
        },
    )
