"""The small tables that do not depend on chance: products, advertisements, regions, and their lookup arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.source.simulate.placements import LAYOUT_SEED
from workbench.source.simulate.truth import Truth

REGIONS = ("East", "South", "North", "Central", "West", "Northeast")
REGION_SHARES = (0.28, 0.22, 0.18, 0.14, 0.11, 0.07)
REGION_SHIPPING_CENTS = np.array([600, 650, 700, 700, 950, 900])
GENDERS = ("female", "male")
DEVICES = ("android", "ios", "web", "mini_program")
DEVICE_SHARES = (0.44, 0.30, 0.08, 0.18)

# name, mean price in yuan, margin before discounts, share of paid orders with a refund
CATEGORIES = (
    ("food · 食品", 52.0, 0.32, 0.02),
    ("beauty · 美妆", 132.0, 0.52, 0.04),
    ("clothing · 服饰", 165.0, 0.50, 0.19),
    ("home · 家居", 112.0, 0.42, 0.05),
    ("electronics · 数码", 270.0, 0.20, 0.06),
    ("baby · 母婴", 140.0, 0.35, 0.04),
    ("sports · 运动", 152.0, 0.40, 0.07),
    ("stationery · 文具", 40.0, 0.45, 0.02),
)
PRODUCT_COUNT = 200
STOCKED_PRODUCT_COUNT = 40


@dataclass(frozen=True)
class Products:
    """One position per product; money in cents. The two chances are cumulative, for drawing by ``searchsorted``."""

    category: np.ndarray
    price_cents: np.ndarray
    margin: np.ndarray
    refund_rate: np.ndarray
    cumulative_chance: np.ndarray
    cumulative_thrifty_chance: np.ndarray
    best: np.ndarray


@dataclass(frozen=True)
class Advertisement:
    """A paid placement: the key of ``channel_spend`` apart from the day."""

    channel: int
    campaign: str
    keyword: str | None
    cost_per_click: float


def make_products() -> Products:
    """Draw the fixed assortment: prices spread around each category's mean, popularity falling by rank."""
    rng = np.random.default_rng(LAYOUT_SEED + 2)
    category = np.arange(PRODUCT_COUNT) % len(CATEGORIES)
    mean_price = np.array([one[1] for one in CATEGORIES])[category]
    price = np.maximum(np.round(mean_price * np.exp(rng.normal(-0.12, 0.5, PRODUCT_COUNT))), 6.0) - 0.10
    chance = (rng.permutation(PRODUCT_COUNT) + 4.0) ** -0.8
    thrifty = chance * np.where(price < np.median(price), 4.0, 1.0)
    return Products(
        category=category,
        price_cents=np.round(price * 100).astype(np.int64),
        margin=np.array([one[2] for one in CATEGORIES])[category],
        refund_rate=np.array([one[3] for one in CATEGORIES])[category],
        cumulative_chance=np.cumsum(chance / chance.sum()),
        cumulative_thrifty_chance=np.cumsum(thrifty / thrifty.sum()),
        best=np.argsort(-chance, kind="stable")[:STOCKED_PRODUCT_COUNT],
    )


def make_advertisements(truth: Truth) -> list[Advertisement]:
    """List every paid placement: keywords are shared out over the campaigns of a channel that has them."""
    found: list[Advertisement] = []
    for place, channel in enumerate(truth.channels):
        for number, campaign in enumerate(channel.campaigns):
            own = channel.keywords[number % len(channel.keywords) :: 2][:3] if channel.keywords else (None,)
            found.extend(Advertisement(place, campaign, word, channel.cost_per_click) for word in own)
    return found


def draw_place(draws: np.ndarray, cumulative: np.ndarray) -> np.ndarray:
    """Turn uniform draws into positions with the given cumulative chances."""
    return np.minimum(np.searchsorted(cumulative, draws, side="right"), len(cumulative) - 1)
