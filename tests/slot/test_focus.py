"""Slots worth a look: named when they differ, hardly ever when all are equal."""

import numpy as np
import pandas as pd
import pytest

from workbench.slot.focus import slot_focus

SLOTS = [f"s{number:02d}" for number in range(30)]


def simulated(rng, selling=None, users=3_000):
    """Clicks and credited orders of equal slots (but for ``selling``), by user and then by bucket."""
    rate = np.full(len(SLOTS), 0.08)
    for slot, value in (selling or {}).items():
        rate[SLOTS.index(slot)] = value
    bucket = rng.integers(0, 256, users)
    clicks = rng.poisson(0.25 * rng.gamma(1, 1, users)[:, None] * np.ones(len(SLOTS)))
    exposures = clicks + rng.poisson(2.0, clicks.shape)
    orders = rng.binomial(clicks, rate)
    sums = np.zeros((256, len(SLOTS), 3))
    np.add.at(sums, bucket, np.stack([exposures, clicks, orders], axis=-1))
    there = np.bincount(bucket, minlength=256) > 0
    counts = pd.DataFrame(
        {
            "user_bucket": np.repeat(np.flatnonzero(there), len(SLOTS)),
            "slot_id": np.tile(SLOTS, there.sum()),
            "impression_count": sums[there, :, 0].astype(int).ravel(),
            "click_count": sums[there, :, 1].astype(int).ravel(),
            "conversion_credit": sums[there, :, 2].ravel(),
            "amount_credit": sums[there, :, 2].ravel() * 50.0,
        }
    )
    metrics = counts.groupby("slot_id")[["impression_count", "click_count"]].sum().reset_index()
    metrics = metrics.assign(
        slot_name=metrics["slot_id"],
        page="home",
        position=np.arange(1, len(metrics) + 1),
        clicker_count=metrics["click_count"],
        click_through_rate=metrics["click_count"] / metrics["impression_count"],
        ci_lower=np.nan,
        ci_upper=np.nan,
    )
    credit = counts.rename(columns={"slot_id": "credited_id"})
    leak = pd.DataFrame({"slot_id": ["s03"], "step": ["view_item"], "is_largest_loss": [True]})
    ranks = pd.DataFrame({"target": "purchase", "credited_id": SLOTS, "rank": 7, "rank_lower": 3.0, "rank_upper": 9.0})
    return slot_focus(metrics, counts, credit, True, leak, ranks, 0.95)


@pytest.mark.slow
def test_equal_slots_are_left_alone():
    """A right 95 % promise names something in at most 21 of 200 shops (99.9 % binomial bound)."""
    rng = np.random.default_rng(11)
    assert sum(len(simulated(rng)) > 0 for _ in range(200)) <= 21


def test_a_slot_that_sells_less_is_named_with_its_stake():
    found = simulated(np.random.default_rng(5), {"s03": 0.02}, users=12_000)
    named = found.set_index("slot_id").loc["s03"]
    assert named["reason"] == "leaks"
    assert named["orders_per_click"] == pytest.approx(0.02, abs=0.01)
    assert named["compared_with"] == pytest.approx(0.08, abs=0.01)
    # 12,000 users click it 0.25 times each; at 0.06 more orders a click of 50 each that is 9,000
    assert named["stake_amount"] == pytest.approx(12_000 * 0.25 * 0.06 * 50, rel=0.25)
    assert named["stake_ci_lower"] < named["stake_amount"] < named["stake_ci_upper"]
    assert (named["step"], named["action"]) == ("view_item", "fix_landing")
    assert named[["rank", "rank_lower", "rank_upper"]].tolist() == [7, 3, 9]


def test_too_few_slots_are_not_compared():
    rng = np.random.default_rng(1)
    assert simulated(rng, users=100).empty
