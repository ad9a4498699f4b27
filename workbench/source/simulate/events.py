"""From visits, views and orders to one row per user action."""

from __future__ import annotations

import numpy as np

from workbench.source.simulate.browsing import Browsing
from workbench.source.simulate.ledger import Block, Outcome
from workbench.source.simulate.placements import Slot
from workbench.source.simulate.users import UNKNOWN

EVENT_NAMES = (
    "page_view",
    "search",
    "view_promotion",
    "select_promotion",
    "view_item",
    "add_to_cart",
    "begin_checkout",
    "purchase",
)
PAGE_NAMES = ("home", "search", "category", "profile", "topic", "cart", "product", "checkout")
SEARCH_RATE = 0.20
COLUMNS = ("event", "visit", "at_ms", "seq", "page", "slot", "content", "product", "order")


def make_events(
    block: Block, browsing: Browsing, outcome: Outcome, slots: tuple[Slot, ...], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Give all actions of a block, sorted by time, as positions (-1 for none).

    Returns
    -------
    dict
        Arrays of one length: ``event`` (position in ``EVENT_NAMES``), ``visit``, ``at_ms`` (after the first local
        midnight), ``seq``, ``page``, ``slot``, ``content``, ``product``, ``order``.
    """
    slot_page = np.array([PAGE_NAMES.index(one.page) for one in slots])
    is_product_slot = np.array([one.kind == "product" for one in slots])
    parts = [
        *activity_events(block, rng),
        *promotion_events(browsing, slot_page, is_product_slot),
        *product_events(browsing),
        *order_events(outcome),
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    order = np.argsort(columns["at_ms"] * 16 + columns["seq"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def rows(event: str, visit: np.ndarray, at_ms: np.ndarray, **given: np.ndarray | str) -> dict[str, np.ndarray]:
    """Make the rows of one kind of event; what is not given is unknown, and seq is 0."""
    size = len(visit)
    found: dict[str, np.ndarray] = {name: np.full(size, UNKNOWN, dtype=np.int32) for name in COLUMNS}
    found["event"] = np.full(size, EVENT_NAMES.index(event), dtype=np.int32)
    found["seq"] = np.zeros(size, dtype=np.int32)
    found["visit"], found["at_ms"] = visit, at_ms
    for name, values in given.items():
        found[name] = np.full(size, PAGE_NAMES.index(values)) if isinstance(values, str) else values
    return found


def activity_events(block: Block, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Every visit opens with a page view; some search."""
    start = block.visits.start_ms
    everyone = np.arange(len(start))
    searching = np.flatnonzero(rng.random(len(start)) < SEARCH_RATE)
    return [
        rows("page_view", everyone, start, page="home"),
        rows("search", searching, start[searching] + 118_000, page="search"),
    ]


def promotion_events(
    browsing: Browsing, slot_page: np.ndarray, is_product_slot: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Slots seen and slots clicked; clicks on product slots name the product they lead to."""
    seen = browsing.exposures
    clicked = np.flatnonzero(seen.is_clicked)
    slot, content, page = seen.slot, seen.content, slot_page[seen.slot]
    product = np.where(is_product_slot[slot], seen.product, UNKNOWN)
    seen_rows = rows("view_promotion", seen.visit, seen.at_ms, seq=seen.seq, slot=slot, content=content, page=page)
    clicked_rows = rows(
        "select_promotion",
        seen.visit[clicked],
        seen.click_at_ms[clicked],
        slot=slot[clicked],
        content=content[clicked],
        page=page[clicked],
        product=product[clicked],
    )
    return [seen_rows, clicked_rows]


def product_events(browsing: Browsing) -> list[dict[str, np.ndarray]]:
    """Detail pages and carts."""
    views = browsing.views
    carted = np.flatnonzero(views.is_carted)
    cart_product = views.product[carted]
    return [
        rows("view_item", views.visit, views.at_ms, product=views.product, page="product"),
        rows("add_to_cart", views.visit[carted], views.cart_at_ms[carted], product=cart_product, page="product"),
    ]


def order_events(outcome: Outcome) -> list[dict[str, np.ndarray]]:
    """Every submitted order begins a checkout, every paid one is a purchase at the moment of payment."""
    orders = outcome.orders
    number = np.arange(len(orders["visit"]))
    paid = np.flatnonzero(orders["is_paid"])
    return [
        rows("begin_checkout", orders["visit"], orders["submitted_ms"], order=number, page="checkout"),
        rows("purchase", orders["visit"][paid], orders["paid_ms"][paid], order=paid, page="checkout"),
    ]
