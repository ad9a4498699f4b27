"""Who is given which coupon, and when."""

from __future__ import annotations

import numpy as np

from workbench.source.simulate.ledger import (
    COLLECT,
    COLLECTED,
    INVITED,
    PUSHED,
    Block,
    State,
    applied_arm,
)
from workbench.source.simulate.truth import HOLDOUT, INVITATION, CouponTrigger, Truth
from workbench.source.simulate.users import DAY_MS, UNKNOWN

CAMPAIGN_DAYS = ((34, 41), (76, 83))
HOLDOUT_TENURE_DAYS = 2
LOYAL_PROPENSITY = 1.1
GIFT_LEAD_MS = 90_000
# The chance to collect grows with the user's readiness to buy: the reason why collectors look better.
COLLECT_RATE, COLLECT_SELECTION = 0.25, 2.0


def give_at_visit(
    visit: np.ndarray, day: int, block: Block, truth: Truth, state: State, withheld: frozenset[str]
) -> None:
    """Give every coupon that comes with a visit: on arrival, in a campaign, at the cart, in the coupon centre."""
    user = block.visits.user[visit]
    assign_holdout(visit, user, day, block, truth, state)
    for trigger, is_eligible, source in visit_rules(visit, user, day, block, truth, state):
        place = truth.coupon_index(trigger)
        coupon = truth.coupons[place]
        at = block.visits.start_ms[visit] + 2_000
        if trigger == "cart":
            at = block.checkout_ms[visit] - GIFT_LEAD_MS
        given = is_eligible & (block.draws[visit, place] < coupon.offer_rate)
        given &= (state.valid_until[user, place] < at) & (state.next_offer[user, place] <= at)
        collected = None
        if trigger == "centre":
            chance = np.minimum(COLLECT_RATE * block.population.propensity[user] ** COLLECT_SELECTION, 0.92)
            collected = np.where(block.draws[visit, COLLECT] < chance, at + 15_000, UNKNOWN)[given]
        if coupon.coupon_id not in withheld:
            give(place, user[given], at[given], source, truth, state, collected)


def visit_rules(
    visit: np.ndarray, user: np.ndarray, day: int, block: Block, truth: Truth, state: State
) -> list[tuple[CouponTrigger, np.ndarray, int]]:
    """List the coupons of a visit: how they are given, which visits are eligible, the source they carry."""
    people, is_first = block.population, block.visits.is_first[visit]
    inviter = people.inviter[user]
    has_reward = (inviter >= 0) & (applied_arm(INVITATION, np.maximum(inviter, 0), block, truth) == 1)
    in_campaign = any(first <= day < last for first, last in CAMPAIGN_DAYS)
    is_loyal = (block.baskets.line_count[visit] > 0) & (people.propensity[user] > LOYAL_PROPENSITY)
    is_boosted = (state.holdout_assigned_ms[user] >= 0) & (applied_arm(HOLDOUT, user, block, truth) == 1)
    everyone = np.ones(len(visit), dtype=bool)
    return [
        ("invited", is_first & has_reward, INVITED),
        ("arrival", is_first & ~has_reward, PUSHED),
        ("cart", is_loyal, PUSHED),
        ("holdout", is_boosted, PUSHED),
        ("centre", everyone, COLLECTED),
        ("campaign", everyone & in_campaign, PUSHED),
    ]


def assign_holdout(visit: np.ndarray, user: np.ndarray, day: int, block: Block, truth: Truth, state: State) -> None:
    """Assign users at their first visit that could have brought the coupon, whatever their arm."""
    if day < truth.experiments[HOLDOUT].first_day:
        return
    tenure = day - block.population.arrival_ms[user] // DAY_MS
    new = (tenure >= HOLDOUT_TENURE_DAYS) & (state.holdout_assigned_ms[user] < 0)
    state.holdout_assigned_ms[user[new]] = block.visits.start_ms[visit[new]] + 1_000


def give(
    place: int,
    user: np.ndarray,
    at_ms: np.ndarray,
    source: int,
    truth: Truth,
    state: State,
    collected_ms: np.ndarray | None = None,
) -> None:
    """Record grants and open them for use; a grant that must be collected opens only if it was."""
    coupon = truth.coupons[place]
    expires = at_ms + coupon.valid_days * DAY_MS
    number = state.grant_count + np.arange(len(user))
    state.grant_count += len(user)
    is_open = np.ones(len(user), dtype=bool) if collected_ms is None else collected_ms >= 0
    state.open_grant[user[is_open], place] = number[is_open]
    state.valid_until[user[is_open], place] = expires[is_open]
    state.next_offer[user, place] = at_ms + coupon.cooldown_days * DAY_MS
    state.grants.append(
        {
            "coupon": np.full(len(user), place),
            "user": user,
            "granted_ms": at_ms,
            "source": np.full(len(user), source),
            "collected_ms": np.full(len(user), UNKNOWN) if collected_ms is None else collected_ms,
            "expires_ms": expires,
        }
    )
