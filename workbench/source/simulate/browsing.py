"""What happens inside visits before any order: slots seen, slots clicked, products viewed, carts filled."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from workbench.source.simulate.catalogue import Products, draw_place
from workbench.source.simulate.placements import rotation
from workbench.source.simulate.truth import Truth
from workbench.source.simulate.users import UNKNOWN, Population
from workbench.source.simulate.visits import Visits

# page: share of visits that open it, chance to scroll on to the next floor, seconds after the start of the visit
READING = {
    "home": (0.78, 0.72, 4.0),
    "search": (0.22, 0.50, 120.0),
    "category": (0.30, 0.62, 180.0),
    "profile": (0.07, 0.50, 330.0),
    "topic": (0.05, 0.60, 480.0),
    "cart": (0.80, 0.50, 900.0),
}
FIRST_PAGES = ("home", "search", "category", "profile")
BROWSE_SECONDS = 660.0
FLOORS_PER_SCREEN, SCREEN_SECONDS = 2, 9.0
POSITION_CHANCES = {1: (1.0,), 3: (0.55, 0.27, 0.18)}
CREATIVE_PRODUCT_SHARE = 0.7
SECOND = 1000


@dataclass(frozen=True)
class Exposures:
    """One position per slot seen. Slots of one screen share the instant and differ in ``seq``.

    ``product`` is what a click leads to, -1 without a click.
    """

    visit: np.ndarray
    slot: np.ndarray
    content: np.ndarray
    at_ms: np.ndarray
    seq: np.ndarray
    is_clicked: np.ndarray
    click_at_ms: np.ndarray
    product: np.ndarray


@dataclass(frozen=True)
class Views:
    """One position per product viewed; ``slot`` is -1 where no slot led to it."""

    visit: np.ndarray
    slot: np.ndarray
    product: np.ndarray
    at_ms: np.ndarray
    is_carted: np.ndarray
    cart_at_ms: np.ndarray


@dataclass(frozen=True)
class Browsing:
    """Everything seen, clicked, viewed and put into carts in the visits of a block."""

    exposures: Exposures
    views: Views


@dataclass(frozen=True)
class Places:
    """The planted slots as arrays, and the creative each shows in each week."""

    click_rate: np.ndarray
    detail: np.ndarray
    cart: np.ndarray
    appeal: np.ndarray
    content_product: np.ndarray
    schedule: np.ndarray
    by_page: dict[str, np.ndarray]
    topic_entry: int


@dataclass(frozen=True)
class World:
    """What every step of browsing reads."""

    population: Population
    visits: Visits
    places: Places
    products: Products
    truth: Truth


def make_places(truth: Truth, days: int) -> Places:
    """Turn the planted slots and creatives into lookup arrays; a page is a matrix of floors by columns."""
    slots = truth.slots
    by_page = {}
    for page in READING:
        own = [place for place, slot in enumerate(slots) if slot.page == page]
        width = max(slots[place].column for place in own)
        by_page[page] = np.array(own).reshape(-1, width)
    return Places(
        click_rate=np.array([slot.click_rate for slot in slots]),
        detail=np.array([slot.detail_multiplier for slot in slots]),
        cart=np.array([slot.cart_multiplier for slot in slots]),
        appeal=np.array([one.appeal for one in truth.contents]),
        content_product=np.array([one.product_place for one in truth.contents]),
        schedule=rotation(slots, truth.contents, -(-days // 7)),
        by_page=by_page,
        topic_entry=next(place for place, slot in enumerate(slots) if slot.story == "topic_page"),
    )


def browse(
    population: Population,
    visits: Visits,
    places: Places,
    products: Products,
    truth: Truth,
    rng: np.random.Generator,
) -> Browsing:
    """Simulate all visits of a block at once.

    Three rounds: the pages anyone may open; the topic page, which most reach through its entry; the cart page, which
    takes a filled cart. What a later round shows depends on what was clicked or put into the cart before.
    """
    world = World(population, visits, places, products, truth)
    everyone = np.arange(len(visits))
    exposures = [see_page(page, some(everyone, READING[page][0], rng), world, rng) for page in FIRST_PAGES]
    entered = exposures[0].visit[exposures[0].is_clicked & (exposures[0].slot == places.topic_entry)]
    topic_visits = np.union1d(entered, some(everyone, READING["topic"][0], rng))
    exposures.append(see_page("topic", topic_visits, world, rng))
    views = [follow_clicks(one, world, rng) for one in exposures]
    views.append(browse_products(world, rng))
    with_cart = np.unique(np.concatenate([one.visit[one.is_carted] for one in views]))
    exposures.append(see_page("cart", some(with_cart, READING["cart"][0], rng), world, rng))
    views.append(follow_clicks(exposures[-1], world, rng))
    return Browsing(Exposures(**joined(exposures)), Views(**joined(views)))


def joined(parts: list[Any]) -> dict[str, np.ndarray]:
    """Put the rounds one after the other, column by column."""
    return {one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(parts[0])}


def some(visits: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Keep a random share of the visits."""
    return visits[rng.random(len(visits), dtype=np.float32) < share]


def see_page(page: str, opened: np.ndarray, world: World, rng: np.random.Generator) -> Exposures:
    """Scroll down a page, see one position of each floor reached, and click by slot and creative.

    The chance to reach the next floor is constant (geometric depth). The click chance is the slot's rate times the
    creative's appeal times a trait of the user with mean 1, so slot and creative rates hold on average.
    """
    places, visits = world.places, world.visits
    grid = places.by_page[page]
    depth = np.minimum(rng.geometric(1.0 - READING[page][1], len(opened)), len(grid))
    visit = np.repeat(opened, depth)
    floor = np.arange(len(visit)) - np.repeat(np.cumsum(depth) - depth, depth)
    chances = np.cumsum(POSITION_CHANCES[grid.shape[1]])
    slot = grid[floor, draw_place(rng.random(len(visit)), chances)]
    content = places.schedule[visits.day[visit] // 7, slot]
    seconds = READING[page][2] + (floor // FLOORS_PER_SCREEN) * SCREEN_SECONDS
    at = visits.start_ms[visit] + (seconds * SECOND).astype(np.int64)
    chance = places.click_rate[slot] * places.appeal[content]
    chance *= world.population.click_factor[visits.user[visit]]
    is_clicked = rng.random(len(visit)) < np.minimum(chance, 0.95)
    return Exposures(
        visit=visit,
        slot=slot,
        content=content,
        at_ms=at,
        seq=floor % FLOORS_PER_SCREEN,
        is_clicked=is_clicked,
        click_at_ms=at + 1500 + (rng.random(len(visit)) * 5000).astype(np.int64),
        product=clicked_products(visit, content, is_clicked, world, rng),
    )


def clicked_products(
    visit: np.ndarray, content: np.ndarray, is_clicked: np.ndarray, world: World, rng: np.random.Generator
) -> np.ndarray:
    """Say which product each click leads to: mostly the one the creative shows."""
    chosen = np.flatnonzero(is_clicked)
    shown = world.places.content_product[content[chosen]]
    is_shown = rng.random(len(chosen)) < CREATIVE_PRODUCT_SHARE
    product = np.full(len(visit), UNKNOWN)
    product[chosen] = np.where(is_shown, shown, pick_products(visit[chosen], world, rng))
    return product


def follow_clicks(exposures: Exposures, world: World, rng: np.random.Generator) -> Views:
    """Open the detail page after some clicks."""
    places = world.places
    chance = world.truth.behaviour.detail_rate * places.detail[exposures.slot]
    opens = exposures.is_clicked & (rng.random(len(chance)) < np.minimum(chance, 0.95))
    visit, slot = exposures.visit[opens], exposures.slot[opens]
    return fill_cart(visit, slot, exposures.product[opens], exposures.click_at_ms[opens] + 800, world, rng)


def browse_products(world: World, rng: np.random.Generator) -> Views:
    """Open detail pages from search and categories, without any slot."""
    counts = np.minimum(rng.poisson(world.truth.behaviour.browse_views, len(world.visits)), 3)
    visit = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = world.visits.start_ms[visit] + ((BROWSE_SECONDS + number * 45.0) * SECOND).astype(np.int64)
    slot = np.full(len(visit), UNKNOWN)
    return fill_cart(visit, slot, pick_products(visit, world, rng), at, world, rng)


def pick_products(visit: np.ndarray, world: World, rng: np.random.Generator) -> np.ndarray:
    """Pick products by popularity; users who spend little look at the cheaper half more."""
    draw = rng.random(len(visit))
    thrifty = world.population.is_thrifty[world.visits.user[visit]]
    usual = draw_place(draw, world.products.cumulative_chance)
    return np.where(thrifty, draw_place(draw, world.products.cumulative_thrifty_chance), usual)


def fill_cart(
    visit: np.ndarray,
    slot: np.ndarray,
    product: np.ndarray,
    at_ms: np.ndarray,
    world: World,
    rng: np.random.Generator,
) -> Views:
    """Put some viewed products into the cart; the slot that led there and the user's age count."""
    by_age = np.array([group.cart_multiplier for group in world.truth.age_groups])
    chance = world.truth.behaviour.cart_rate * by_age[world.population.age[world.visits.user[visit]]]
    chance *= np.where(slot >= 0, world.places.cart[slot], 1.0)
    return Views(
        visit=visit,
        slot=slot,
        product=product,
        at_ms=at_ms,
        is_carted=rng.random(len(visit)) < np.minimum(chance, 0.95),
        cart_at_ms=at_ms + 8000 + (rng.random(len(visit)) * 25_000).astype(np.int64),
    )
