"""The tiny shops of the coverage tests: right by plain loops, right by the engine, and true to their expectation."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from model_shops import (
    CONVERSION,
    DIRECT,
    FEW_USERS,
    HEAVY_BUYERS,
    LOOKBACK_MS,
    NULL,
    SLOT_IDS,
    SLOTS,
    START_STATE,
    bucket_sums,
    bucket_sums_of_shops,
    draw,
    expected_shares,
    expected_transitions,
    transition_sums,
    transition_sums_of_shops,
    user_buckets,
    write,
)

from workbench import open_shop
from workbench.slot import attribute_slots

# Users who click much and order often, so that journeys are long, end at orders and leave the lookback.
BUSY = replace(HEAVY_BUYERS, users=150, visits=4.0, more_clicks=1.5, direct_orders=0.5)


def by_loops(journeys):
    """Credits and steps, user by user and click by click."""
    sums = {model: np.zeros((2, journeys.shops, SLOTS + 1)) for model in ("first", "last", "linear")}
    steps = np.zeros((journeys.shops, SLOTS + 3, SLOTS + 3))
    clicks, orders = defaultdict(list), defaultdict(list)
    for user, at, slot in zip(journeys.click_user, journeys.click_ms, journeys.click_slot, strict=True):
        clicks[user].append((at, slot))
    for user, at, amount in zip(journeys.order_user, journeys.order_ms, journeys.order_amount, strict=True):
        orders[user].append((at, amount))
    for user in {*clicks, *orders}:
        shop, before = user // journeys.users, -1
        for at, amount in orders[user]:
            mine = [slot for when, slot in clicks[user] if max(before + 1, at - LOOKBACK_MS) <= when <= at]
            shared = {"first": mine[:1], "last": mine[-1:], "linear": mine}
            for model, slots in shared.items():
                for slot in slots or [SLOTS]:
                    sums[model][:, shop, slot] += np.array([1, amount]) / max(len(slots), 1)
            before = at
            path = [START_STATE, *mine, CONVERSION] if mine else []
            np.add.at(steps[shop], (path[:-1], path[1:]), 1)
        rest = [slot for when, slot in clicks[user] if when > before]
        path = [START_STATE, *rest, NULL] if rest else []
        np.add.at(steps[shop], (path[:-1], path[1:]), 1)
    return sums, steps


def test_credits_and_steps_by_plain_loops():
    journeys = draw(BUSY, np.random.default_rng(4), shops=3)
    expected, steps = by_loops(journeys)
    for model, (conversions, amounts) in expected.items():
        found = bucket_sums(journeys, model)
        assert found.conversions.sum(axis=1) == pytest.approx(conversions)
        assert found.amounts.sum(axis=1) == pytest.approx(amounts)
    assert transition_sums(journeys).sum(axis=1) == pytest.approx(steps)
    # What makes this a test: orders with several clicks, with none, and clicks that lie too far back.
    assert 0.1 < expected["linear"][0][:, SLOTS].sum() / len(journeys.order_user) < 0.5
    assert steps[:, :SLOTS, :SLOTS].sum() > 500
    assert steps[:, START_STATE:, :].sum() + steps[:, :SLOTS, :SLOTS].sum() < len(journeys.click_user)


@pytest.mark.parametrize("shop_model", [FEW_USERS, BUSY], ids=["few users", "busy"])
def test_the_engine_gives_the_same(tmp_path, shop_model):
    journeys = draw(shop_model, np.random.default_rng(8), shops=2)
    opened = open_shop(write(tmp_path / "shop", journeys, shop=1))
    models = ("first", "last", "linear")
    credit = attribute_slots(opened, targets=("purchase",), models=models).tables["slot_credit"]
    for model in models:
        mine = credit[credit["model"] == model].set_index("credited_id").reindex([*SLOT_IDS, DIRECT]).fillna(0.0)
        sums = bucket_sums(journeys, model)
        assert mine["conversion_credit"].to_numpy() == pytest.approx(sums.conversions[1].sum(axis=0), abs=1e-9)
        assert mine["amount_credit"].to_numpy() == pytest.approx(sums.amounts[1].sum(axis=0), abs=1e-6)
    orders = opened.collect(opened.orders.select("user_id", "user_bucket").distinct())
    mine = user_buckets(journeys.users)[orders["user_id"].str[1:].astype(int)]
    assert mine.tolist() == orders["user_bucket"].tolist()


def test_buckets_hold_every_order_once():
    journeys = draw(HEAVY_BUYERS, np.random.default_rng(2), shops=5)
    shop = journeys.order_user // journeys.users
    for model in ("first", "last", "linear"):
        for buckets in (256, 64):
            sums = bucket_sums(journeys, model, buckets=buckets)
            assert sums.conversions.sum(axis=(1, 2)) == pytest.approx(np.bincount(shop))
            assert sums.amounts.sum(axis=(1, 2)) == pytest.approx(np.bincount(shop, weights=journeys.order_amount))
    coarse, fine = bucket_sums(journeys, "last", buckets=64), bucket_sums(journeys, "last")
    assert coarse.amounts == pytest.approx(fine.amounts.reshape(5, 64, 4, -1).sum(axis=2))


def test_effective_buyers_by_hand():
    journeys = draw(replace(FEW_USERS, users=50), np.random.default_rng(3))
    # Two users pay 30 and 10: (30 + 10)^2 / (900 + 100) = 1.6
    three = replace(
        journeys,
        order_user=np.array([4, 4, 9]),
        order_ms=np.array([1, 2, 3]),
        order_amount=np.array([10.0, 20.0, 10.0]),
        order_mean_amount=np.array([10.0, 20.0, 10.0]),
    )
    assert bucket_sums(three, "last").effective_buyers.tolist() == [1.6]


@pytest.mark.parametrize(("shop_model", "shops"), [(FEW_USERS, 1_000), (HEAVY_BUYERS, 200)], ids=["few", "heavy"])
@pytest.mark.parametrize("model", ["linear", "last"])
def test_many_shops_together_come_to_the_expectation(shop_model, shops, model):
    """400,000 users against 1,000,000 others: within 4.5 standard errors of both, from the spread between shops."""
    truth = expected_shares(shop_model, model, users=1_000_000)
    sums = bucket_sums_of_shops(shop_model, model, shops=shops, seed=1)
    for name in ("conversions", "amounts"):
        credit, expected = getattr(sums, name).sum(axis=1), getattr(truth, name)
        share = credit.sum(axis=0) / credit.sum()
        error = (credit - share * credit.sum(axis=1, keepdims=True)).std(axis=0) * np.sqrt(shops) / credit.sum()
        assert expected.sum() == pytest.approx(1)
        assert (np.abs(share - expected) < 4.5 * error * np.sqrt(1 + 0.4)).all()


def test_steps_of_many_shops_come_to_the_expectation():
    counts = transition_sums_of_shops(FEW_USERS, shops=500, seed=2).sum(axis=(0, 1))
    expected = expected_transitions(FEW_USERS, users=1_000_000) / 5  # 1,000,000 users against 200,000
    # Steps come in clusters (users with many visits), so counts spread wider than Poisson's; 8 is far and finds faults.
    assert (np.abs(counts - expected) < 8 * np.sqrt(expected + 1)).all()


def test_the_presets_are_what_they_are_for():
    few = bucket_sums_of_shops(FEW_USERS, "linear", shops=300, seed=5)
    heavy = bucket_sums_of_shops(HEAVY_BUYERS, "linear", shops=300, seed=5)
    orders = heavy.conversions.sum(axis=(1, 2))
    # Few: little more than the 50 effective buyers below which there is no interval. Heavy: orders worth a fifth of
    # their number, and heavy buyers who move the money to other slots.
    assert 55 < np.median(few.effective_buyers) < 80
    assert np.median(orders / heavy.effective_buyers) > 4
    expected = expected_shares(HEAVY_BUYERS, "linear", users=1_000_000)
    assert np.abs(expected.conversions - expected.amounts).sum() / 2 > 0.04
    linear, last = (expected_shares(FEW_USERS, one, users=1_000_000) for one in ("linear", "last"))
    assert np.abs(linear.conversions - last.conversions).max() > 0.004
