"""What lies in the cart of each visit: lines, amounts and the chance factors that come with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.source.simulate.browsing import Views
from workbench.source.simulate.catalogue import Products
from workbench.source.simulate.truth import Truth

QUANTITY_BOUNDS = (0.84, 0.96)


@dataclass(frozen=True)
class Baskets:
    """Lines sorted by visit; ``first_line`` and ``line_count`` have one position per visit, as the totals have.

    ``line_slot`` is the slot that led to a line, -1 for none; ``checkout_multiplier`` is the mean over the lines of what
    the slots behind them plant.
    """

    line_product: np.ndarray
    line_slot: np.ndarray
    line_quantity: np.ndarray
    line_cents: np.ndarray
    first_line: np.ndarray
    line_count: np.ndarray
    gross_cents: np.ndarray
    cost_cents: np.ndarray
    refund_rate: np.ndarray
    checkout_multiplier: np.ndarray
    cart_at_ms: np.ndarray


def fill_baskets(views: Views, visit_count: int, products: Products, truth: Truth, rng: np.random.Generator) -> Baskets:
    """Collect what each visit put into the cart, with quantities and amounts in cents."""
    carted = np.flatnonzero(views.is_carted)
    carted = carted[np.lexsort((views.cart_at_ms[carted], views.visit[carted]))]
    visit, product, slot = views.visit[carted], views.product[carted], views.slot[carted]
    quantity = 1 + np.searchsorted(QUANTITY_BOUNDS, rng.random(len(visit)), side="right")
    cents = quantity * products.price_cents[product]
    cost = np.round(cents * (1.0 - products.margin[product]))
    by_slot = np.array([one.checkout_multiplier for one in truth.slots])
    count = np.bincount(visit, minlength=visit_count)
    cart_at = np.zeros(visit_count, dtype=np.int64)
    np.maximum.at(cart_at, visit, views.cart_at_ms[carted])

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(visit, weights=weights, minlength=visit_count)

    return Baskets(
        line_product=product,
        line_slot=slot,
        line_quantity=quantity,
        line_cents=cents,
        first_line=np.cumsum(count) - count,
        line_count=count,
        gross_cents=total(cents).astype(np.int64),
        cost_cents=total(cost).astype(np.int64),
        refund_rate=total(products.refund_rate[product]) / np.maximum(count, 1),
        checkout_multiplier=total(np.where(slot >= 0, by_slot[slot], 1.0)) / np.maximum(count, 1),
        cart_at_ms=cart_at,
    )
