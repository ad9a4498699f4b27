"""Slots and creatives with their planted attraction and worth: where a user sees what, and what it leads to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

FIXED_PAGES = ("cart", "profile")
ROTATING_CONTENTS = 110
ROTATION_STEP = 37  # shares no factor with the number of rotating creatives, so each one meets many slots
LAYOUT_SEED = 20260301  # creatives are the same in every sample, so that samples can be compared


@dataclass(frozen=True)
class Slot:
    """A place on a page.

    ``position`` counts from the top of the page, ``column`` from the left of its floor, both from 1.
    ``click_rate`` is the chance that an exposure of an average creative is clicked. The three multipliers scale
    what follows a click: opening a detail page, adding to the cart, ordering what lies in the cart.
    """

    slot_id: str
    name: str
    page: str
    floor: int
    position: int
    column: int
    kind: str
    click_rate: float
    detail_multiplier: float = 1.0
    cart_multiplier: float = 1.0
    checkout_multiplier: float = 1.0
    story: str = ""


@dataclass(frozen=True)
class Content:
    """A creative; ``appeal`` multiplies the click rate of the slot that shows it. Rotating: no slot of its own."""

    content_id: str
    name: str
    appeal: float
    slot_id: str | None
    product_place: int


# page, English name, Chinese name, floors, columns on each floor, kind, click rate of its first place
PAGES = (
    ("home", "Home banner", "首页横幅", 1, 3, "banner", 0.11),
    ("home", "Home icon", "金刚位", 1, 3, "icon", 0.10),
    ("home", "Home pick", "首页商品", 8, 3, "product", 0.11),
    ("category", "Category", "分类页", 8, 1, "product", 0.12),
    ("topic", "Topic", "专题页", 10, 1, "product", 0.08),
    ("cart", "Cart pick", "购物车推荐", 5, 1, "product", 0.07),
    ("profile", "Profile", "个人页", 5, 1, "banner", 0.05),
    ("search", "Search", "搜索推荐", 2, 1, "icon", 0.08),
)
TOPIC_ENTRY = ("home", 2, 1)
HIDDEN_GEMS = (("home", 7, 3), ("home", 9, 2), ("category", 6, 1))


def planted_slots() -> tuple[Slot, ...]:
    """Give all slots of the shop in page order, stories included."""
    slots: list[Slot] = []
    floors_above: dict[str, int] = {}
    for page, english, chinese, floors, columns, kind, first_rate in PAGES:
        above = floors_above.get(page, 0)
        for number in range(floors * columns):
            floor, column = above + number // columns + 1, number % columns + 1
            rate = first_rate * (number // columns + 1) ** -0.25 * column**-0.30
            name = f"{english} {number + 1} {chinese}"
            slot_id = f"{page}_f{floor:02d}_p{column}"
            position = sum(one.page == page for one in slots) + 1
            slots.append(with_story(Slot(slot_id, name, page, floor, position, column, kind, round(rate, 4))))
        floors_above[page] = above + floors
    return tuple(slots)


def with_story(slot: Slot) -> Slot:
    """Plant the topic page that attracts and does not sell, and the low places that earn more than they look."""
    place = (slot.page, slot.floor, slot.column)
    if place == TOPIC_ENTRY:
        name = "Topic entry 专题入口"
        return replace(
            slot,
            name=name,
            kind="entry",
            click_rate=0.26,
            detail_multiplier=0.25,
            cart_multiplier=0.45,
            checkout_multiplier=0.75,
            story="topic_page",
        )
    if slot.page == "topic":
        return replace(slot, cart_multiplier=0.45, checkout_multiplier=0.75)
    if place in HIDDEN_GEMS:
        return replace(slot, detail_multiplier=1.3, cart_multiplier=2.3, checkout_multiplier=1.3, story="hidden_gem")
    return slot


def planted_contents() -> tuple[Content, ...]:
    """Give all creatives: those that rotate over slots, then one for each slot that keeps its own."""
    rng = np.random.default_rng(LAYOUT_SEED)
    fixed = [slot for slot in planted_slots() if slot.page in FIXED_PAGES]
    total = ROTATING_CONTENTS + len(fixed)
    appeal = np.clip(np.exp(rng.normal(-0.06, 0.35, total)), 0.4, 2.2)
    places = rng.integers(0, 200, total)
    owners = [None] * ROTATING_CONTENTS + [slot.slot_id for slot in fixed]
    return tuple(
        Content(
            f"k{place + 1:04d}",
            f"Creative {place + 1} · 素材 {place + 1}",
            round(float(appeal[place]), 3),
            owners[place],
            int(places[place]),
        )
        for place in range(total)
    )


def rotation(slots: tuple[Slot, ...], contents: tuple[Content, ...], weeks: int) -> np.ndarray:
    """Say which creative each slot shows in each week.

    Returns
    -------
    numpy.ndarray
        Shape (weeks, slots), positions in ``contents``. No creative stands in two slots of one week, and over the
        weeks each one stands in several slots, which is what makes slot and creative separable.
    """
    rng = np.random.default_rng(LAYOUT_SEED + 1)
    own = {one.slot_id: place for place, one in enumerate(contents) if one.slot_id is not None}
    rotating = rng.permutation([place for place, one in enumerate(contents) if one.slot_id is None])
    shared = rng.permutation([place for place, slot in enumerate(slots) if slot.slot_id not in own])
    schedule = np.empty((weeks, len(slots)), dtype=np.int64)
    schedule[:] = [own.get(slot.slot_id, 0) for slot in slots]
    for week in range(weeks):
        turn = (np.arange(len(shared)) + week * ROTATION_STEP) % len(rotating)
        schedule[week, shared] = rotating[turn]
    return schedule
