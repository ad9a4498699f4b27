"""Thousands of tiny shops with known shares of slots: users, clicks and orders as arrays, for tests of coverage.

How to use it in a test of intervals::

    from model_shops import FEW_USERS, bucket_sums_of_shops, expected_shares

    sums = bucket_sums_of_shops(FEW_USERS, "linear", shops=2_000, seed=1)
    sums.conversions[7]          # shop 7: (256 buckets, 9): eight slots, then (direct)
    sums.amounts[7], sums.effective_buyers[7]
    truth = expected_shares(FEW_USERS, "linear")
    truth.conversions            # (9,), sums to 1: what the shares of ever larger shops come to
    truth.amounts

``draw`` gives the clicks and orders themselves, ``transition_sums`` the steps of a Markov chain, ``write`` a folder
that ``open_shop`` reads. The rules are those of the defaults: a touch is a click, lookback 168 hours with both ends
included, reset after each paid order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from shops import write_shop

HOUR_MS = 3_600_000
DAYS, LOOKBACK_MS = 28, 168 * HOUR_MS
SPAN_MS = 100 * 24 * HOUR_MS  # longer than any shop's time; keeps users apart in sorted keys
START = pd.Timestamp("2026-03-01", tz="UTC")
SLOT_IDS = tuple(f"s{number}" for number in range(1, 9))
SLOTS = len(SLOT_IDS)
DIRECT = "(direct)"
SHOPS_AT_A_TIME = 250

RuleModel = Literal["first", "last", "linear"]


@dataclass(frozen=True)
class ShopModel:
    """How a shop comes about. All users are independent of each other.

    A user makes a Poisson number of visits with a gamma rate (shape ``visit_shape``; small: few users make most of the
    visits), at uniform times in 28 days, and clicks 1 + Poisson(``more_clicks``) slots in each. After a click an order
    follows with the slot's ``order_chances``, on average two hours later; ``direct_orders`` more per user come without
    any. Amounts are lognormal, around a level of the user that is lognormal itself. A ``heavy_share`` of users visits
    ``heavy_visits`` times as often, spends ``heavy_amounts`` times as much, and clicks by ``heavy_clicks``.
    """

    users: int
    visits: float = 1.2
    visit_shape: float = 1.0
    more_clicks: float = 0.9
    clicks: tuple[float, ...] = (0.28, 0.22, 0.16, 0.12, 0.09, 0.07, 0.04, 0.02)
    order_chances: tuple[float, ...] = (0.06, 0.15, 0.10, 0.20, 0.05, 0.12, 0.25, 0.15)
    direct_orders: float = 0.06
    order_spread: float = 0.4
    level_spread: float = 0.3
    heavy_share: float = 0.0
    heavy_visits: float = 1.0
    heavy_amounts: float = 1.0
    heavy_clicks: tuple[float, ...] = (0.10, 0.10, 0.10, 0.10, 0.15, 0.25, 0.10, 0.10)


FEW_USERS = ShopModel(users=400)
HEAVY_BUYERS = ShopModel(
    users=2_000,
    visit_shape=0.6,
    order_spread=0.6,
    level_spread=0.7,
    heavy_share=0.03,
    heavy_visits=4.0,
    heavy_amounts=2.5,
)
"""3 % of the users bring nearly a quarter of the money, by other slots than the rest."""


@dataclass(frozen=True)
class Journeys:
    """Clicks and orders of several shops, each sorted by user and time. Users count through all shops.

    Attributes
    ----------
    users, shops
        Users per shop; number of shops. User u is number ``u % users`` of shop ``u // users``.
    click_user, click_slot, click_ms
        One position per click; times in ms after ``START``.
    order_user, order_ms, order_amount, order_mean_amount
        One position per paid order; its amount, and the mean amount of orders of such users.
    """

    users: int
    shops: int
    click_user: np.ndarray
    click_slot: np.ndarray
    click_ms: np.ndarray
    order_user: np.ndarray
    order_ms: np.ndarray
    order_amount: np.ndarray
    order_mean_amount: np.ndarray


@dataclass(frozen=True)
class BucketSums:
    """Credits by shop, bucket of users and slot; the last slot is ``(direct)``.

    Attributes
    ----------
    conversions, amounts
        Shape (shops, buckets, slots + 1).
    effective_buyers
        Shape (shops,): (sum x)^2 / sum x^2 of what users pay.
    """

    conversions: np.ndarray
    amounts: np.ndarray
    effective_buyers: np.ndarray


@dataclass(frozen=True)
class Shares:
    """Expected shares, shape (slots + 1,), the last for ``(direct)``; each sums to 1."""

    conversions: np.ndarray
    amounts: np.ndarray


def draw(model: ShopModel, rng: np.random.Generator, shops: int = 1) -> Journeys:
    """Draw the clicks and orders of some shops at once."""
    total = shops * model.users
    heavy = rng.random(total) < model.heavy_share
    rate = rng.gamma(model.visit_shape, model.visits / model.visit_shape, total)
    visits = rng.poisson(rate * np.where(heavy, model.heavy_visits, 1.0))
    level = np.exp(rng.normal(0, model.level_spread, total)) * np.where(heavy, model.heavy_amounts, 1.0)
    visit_user = np.repeat(np.arange(total), visits)
    visit_ms = rng.integers(0, DAYS * 24 * HOUR_MS, len(visit_user))
    count = 1 + rng.poisson(model.more_clicks, len(visit_user))
    click_user = np.repeat(visit_user, count)
    number = np.arange(len(click_user)) - np.repeat(np.cumsum(count) - count, count)
    click_ms = np.repeat(visit_ms, count) + number * 40_000 + rng.integers(0, 30_000, len(click_user))
    bounds = np.cumsum([model.clicks, model.heavy_clicks], axis=1)[:, :-1]
    chance = rng.random(len(click_user))
    click_slot = np.where(heavy[click_user], np.searchsorted(bounds[1], chance), np.searchsorted(bounds[0], chance))
    follows = rng.random(len(click_user)) < np.array(model.order_chances)[click_slot]
    after = click_ms[follows] + 60_000 + rng.exponential(2 * HOUR_MS, follows.sum()).astype(np.int64)
    direct_user = np.repeat(np.arange(total), rng.poisson(model.direct_orders, total))
    order_user = np.concatenate([click_user[follows], direct_user])
    order_ms = np.concatenate([after, rng.integers(0, DAYS * 24 * HOUR_MS, len(direct_user))])
    clicks = np.argsort(click_user * SPAN_MS + click_ms, kind="stable")
    orders = np.argsort(order_user * SPAN_MS + order_ms, kind="stable")
    order_user = order_user[orders]
    spread = np.exp(rng.normal(0, model.order_spread, len(order_user)))
    mean = 60 * np.exp((model.level_spread**2 + model.order_spread**2) / 2)
    return Journeys(
        users=model.users,
        shops=shops,
        click_user=click_user[clicks],
        click_slot=click_slot[clicks],
        click_ms=click_ms[clicks],
        order_user=order_user,
        order_ms=order_ms[orders],
        order_amount=np.round(60 * level[order_user] * spread, 2),
        order_mean_amount=mean * np.where(heavy[order_user], model.heavy_amounts, 1.0),
    )


def next_orders(journeys: Journeys) -> tuple[np.ndarray, np.ndarray]:
    """Say for each click which order of the user comes next (-1: none), and whether the lookback reaches it.

    With the reset a click serves no other order. At the same instant the click comes first, and of two orders the first.
    """
    keys = journeys.order_user * SPAN_MS + journeys.order_ms
    place = np.searchsorted(keys, journeys.click_user * SPAN_MS + journeys.click_ms, side="left")
    found = np.minimum(place, len(keys) - 1)
    is_there = (place < len(keys)) & (journeys.order_user[found] == journeys.click_user)
    reaches = is_there & (journeys.order_ms[found] - journeys.click_ms <= LOOKBACK_MS)
    return np.where(is_there, found, -1), reaches


def order_parts(journeys: Journeys, model: RuleModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share every order out: arrays of order, slot (``SLOTS`` for direct) and the part of the order."""
    order, reaches = next_orders(journeys)
    order, slot = order[reaches], journeys.click_slot[reaches]
    touches = np.bincount(order, minlength=len(journeys.order_user))
    # Clicks are sorted by user and time, so those of one order stand together, the earliest first.
    changes = np.flatnonzero(np.diff(order, prepend=-1, append=-1))
    kept = {"first": changes[:-1], "last": changes[1:] - 1, "linear": np.arange(len(order))}[model]
    direct = np.flatnonzero(touches == 0)
    part = 1 / touches[order[kept]] if model == "linear" else np.ones(len(kept))
    return (
        np.concatenate([order[kept], direct]),
        np.concatenate([slot[kept], np.full(len(direct), SLOTS)]),
        np.concatenate([part, np.ones(len(direct))]),
    )


@cache
def user_buckets(users: int, buckets: int = 256) -> np.ndarray:
    """Bucket of each user of a shop: the first two hexadecimal digits of the MD5 of the id, as the engine has it.

    With fewer buckets, a divisor of 256, neighbours are put together.
    """
    digests = [hashlib.md5(one.encode()).hexdigest() for one in user_ids(np.arange(users))]
    return np.array([int(one[:2], 16) for one in digests]) * buckets // 256


def user_ids(numbers: np.ndarray) -> list[str]:
    """Ids of the users of one shop."""
    return [f"u{number:06d}" for number in numbers]


def bucket_sums(journeys: Journeys, model: RuleModel, *, buckets: int = 256) -> BucketSums:
    """Sum credits as the engine hands them over: by bucket of users and slot, for each shop."""
    order, slot, part = order_parts(journeys, model)
    shape = (journeys.shops, buckets, SLOTS + 1)
    user = journeys.order_user[order]
    bucket = user_buckets(journeys.users, buckets)[user % journeys.users]
    cell = ((user // journeys.users) * buckets + bucket) * shape[2] + slot
    conversions, amounts = (
        np.bincount(cell, weights=weights, minlength=int(np.prod(shape))).reshape(shape)
        for weights in (part, part * journeys.order_amount[order])
    )
    paid = np.bincount(journeys.order_user, weights=journeys.order_amount, minlength=journeys.shops * journeys.users)
    paid = paid.reshape(journeys.shops, journeys.users)
    return BucketSums(conversions, amounts, paid.sum(axis=1) ** 2 / np.maximum((paid**2).sum(axis=1), 1e-9))


def bucket_sums_of_shops(
    shop_model: ShopModel, model: RuleModel, *, shops: int, seed: int, buckets: int = 256
) -> BucketSums:
    """Draw many shops and sum their credits: 2,000 of ``FEW_USERS`` take one second, of ``HEAVY_BUYERS`` three."""
    rng = np.random.default_rng(seed)
    sizes = [min(SHOPS_AT_A_TIME, shops - start) for start in range(0, shops, SHOPS_AT_A_TIME)]
    parts = [bucket_sums(draw(shop_model, rng, size), model, buckets=buckets) for size in sizes]
    return BucketSums(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in BucketSums.__dataclass_fields__)
    )


@cache
def expected_shares(shop_model: ShopModel, model: RuleModel, *, users: int = 2_000_000, seed: int = 20_260) -> Shares:
    """What the shares of slots come to in a shop without end: one very large draw of the same model.

    Amounts count by their mean given the kind of user, not as drawn, so that no large buyer moves the result.
    The standard error of a share of conversions is a seventieth of what one shop of ``FEW_USERS`` has and a thirtieth of
    one of ``HEAVY_BUYERS`` (the square root of the ratio of users), which moves coverage by less than 0.02 points.
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros((2, SLOTS + 1))
    block = replace(shop_model, users=250_000)
    for _ in range(users // block.users):
        journeys = draw(block, rng)
        order, slot, part = order_parts(journeys, model)
        sums[0] += np.bincount(slot, weights=part, minlength=SLOTS + 1)
        sums[1] += np.bincount(slot, weights=part * journeys.order_mean_amount[order], minlength=SLOTS + 1)
    return Shares(*(sums / sums.sum(axis=1, keepdims=True)))


START_STATE, CONVERSION, NULL = SLOTS, SLOTS + 1, SLOTS + 2


def transition_sums(journeys: Journeys, *, buckets: int = 64) -> np.ndarray:
    """Count the steps of a Markov chain of order 1 by shop and bucket.

    The touches of each order end in conversion; a user's touches after the last order, or without any, end in null.
    Touches that the lookback leaves out of an order make no step.

    Returns
    -------
    numpy.ndarray
        Shape (shops, buckets, slots + 3, slots + 3), from row to column; states are the slots, then ``START_STATE``,
        ``CONVERSION``, ``NULL``.
    """
    order, reaches = next_orders(journeys)
    kept = reaches | (order < 0)
    user, slot = journeys.click_user[kept], journeys.click_slot[kept]
    journey = np.where(order[kept] >= 0, order[kept], len(journeys.order_user) + user)
    is_first = np.diff(journey, prepend=-1) != 0
    is_last = np.diff(journey, append=-1) != 0
    end = np.where(order[kept] >= 0, CONVERSION, NULL)
    steps = [
        (user[is_first], np.full(is_first.sum(), START_STATE), slot[is_first]),
        (user[~is_last], slot[~is_last], slot[np.flatnonzero(~is_last) + 1]),
        (user[is_last], slot[is_last], end[is_last]),
    ]
    whose, start, stop = (np.concatenate(one) for one in zip(*steps, strict=True))
    states = SLOTS + 3
    bucket = user_buckets(journeys.users, buckets)[whose % journeys.users]
    cell = (((whose // journeys.users) * buckets + bucket) * states + start) * states + stop
    shape = (journeys.shops, buckets, states, states)
    return np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)


def transition_sums_of_shops(shop_model: ShopModel, *, shops: int, seed: int, buckets: int = 64) -> np.ndarray:
    """Draw many shops and count their steps."""
    rng = np.random.default_rng(seed)
    sizes = [min(SHOPS_AT_A_TIME, shops - start) for start in range(0, shops, SHOPS_AT_A_TIME)]
    return np.concatenate([transition_sums(draw(shop_model, rng, size), buckets=buckets) for size in sizes])


@cache
def expected_transitions(shop_model: ShopModel, *, users: int = 2_000_000, seed: int = 20_260) -> np.ndarray:
    """Steps of one very large draw, shape (slots + 3, slots + 3); a Markov model of them is the truth for each shop."""
    rng = np.random.default_rng(seed)
    block = replace(shop_model, users=250_000)
    return sum(transition_sums(draw(block, rng), buckets=1)[0, 0].astype(float) for _ in range(users // block.users))


def write(folder: Path, journeys: Journeys, shop: int = 0) -> Path:
    """Write one of the shops as a folder with events (clicks) and orders."""
    clicks = np.flatnonzero(journeys.click_user // journeys.users == shop)
    orders = np.flatnonzero(journeys.order_user // journeys.users == shop)
    paid_at = START + pd.to_timedelta(journeys.order_ms[orders], unit="ms")
    return write_shop(
        folder,
        events=pd.DataFrame(
            {
                "user_id": user_ids(journeys.click_user[clicks] % journeys.users),
                "event_at": START + pd.to_timedelta(journeys.click_ms[clicks], unit="ms"),
                "event": "select_promotion",
                "slot_id": np.array(SLOT_IDS)[journeys.click_slot[clicks]],
            }
        ),
        orders=pd.DataFrame(
            {
                "order_id": [f"o{number:07d}" for number in range(len(orders))],
                "user_id": user_ids(journeys.order_user[orders] % journeys.users),
                "submitted_at": paid_at,
                "paid_at": paid_at,
                "gross_amount": journeys.order_amount[orders],
            }
        ),
    )
