"""What the day loop reads and writes: settled visits, open coupons, the grants and orders it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.source.simulate.baskets import Baskets
from workbench.source.simulate.truth import Truth
from workbench.source.simulate.users import UNKNOWN, Population
from workbench.source.simulate.visits import Visits

SOURCES = ("pushed", "collected", "order", "invitation")
PUSHED, COLLECTED, ORDER, INVITED = range(4)
# Columns of the draws; the first eight belong to the coupons in their order.
COLLECT, CHECKOUT, PAY, USE, CHECKOUT_TIME, PAY_TIME, PROMOTION, PROMOTION_SIZE, REFUND, REFUND_SIZE = range(8, 18)
DRAW_COUNT = 18


@dataclass(frozen=True)
class Block:
    """Everything that is settled before the first order."""

    population: Population
    visits: Visits
    baskets: Baskets
    draws: np.ndarray
    checkout_ms: np.ndarray
    paid_ms: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What the day loop leaves behind. Grants and orders in time order; -1 means none."""

    grants: dict[str, np.ndarray]
    orders: dict[str, np.ndarray]
    holdout_assigned_ms: np.ndarray
    timing_assigned_ms: np.ndarray


@dataclass
class State:
    """What the loop carries from day to day: one row per user, one column per coupon."""

    valid_until: np.ndarray
    open_grant: np.ndarray
    next_offer: np.ndarray
    order_count: np.ndarray
    repeat_factor: np.ndarray
    cart_visit: np.ndarray
    holdout_assigned_ms: np.ndarray
    timing_assigned_ms: np.ndarray
    grant_count: int = 0
    grants: list[dict[str, np.ndarray]] = field(default_factory=list)
    orders: list[dict[str, np.ndarray]] = field(default_factory=list)


def prepare_block(population: Population, visits: Visits, baskets: Baskets, rng: np.random.Generator) -> Block:
    """Draw the uniforms of all visits and the times at which they would order and pay.

    All chance is drawn here, one row of uniforms per visit. Two runs of the day loop that differ in an arm or in a
    withheld coupon therefore meet the same luck, and their difference is the effect.
    """
    draws = rng.random((len(visits), DRAW_COUNT), dtype=np.float32)
    checkout = visits.start_ms + 1_080_000 + (draws[:, CHECKOUT_TIME] * 240_000).astype(np.int64)
    delay = np.minimum(20_000 - 90_000 * np.log1p(-draws[:, PAY_TIME].astype(np.float64)), 600_000)
    return Block(population, visits, baskets, draws, checkout, checkout + delay.astype(np.int64))


def start_state(users: int, coupons: int) -> State:
    """Nobody holds a coupon, nobody has ordered."""
    return State(
        valid_until=np.full((users, coupons), UNKNOWN, dtype=np.int64),
        open_grant=np.full((users, coupons), UNKNOWN, dtype=np.int64),
        next_offer=np.zeros((users, coupons), dtype=np.int64),
        order_count=np.zeros(users, dtype=np.int64),
        repeat_factor=np.ones(users),
        cart_visit=np.full(users, UNKNOWN, dtype=np.int64),
        holdout_assigned_ms=np.full(users, UNKNOWN, dtype=np.int64),
        timing_assigned_ms=np.full(users, UNKNOWN, dtype=np.int64),
    )


def stacked(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put the days one after the other, column by column."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def applied_arm(place: int, users: np.ndarray, block: Block, truth: Truth) -> np.ndarray:
    """Say how users are treated: by their arm, or all alike where the experiment is switched off."""
    experiment = truth.experiments[place]
    arm = block.population.arms[users, place]
    return arm if experiment.is_active else np.full_like(arm, experiment.default_arm)
