"""The true size of experiments, coupons and slots, found by running the same users through several worlds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.source.simulate.baskets import fill_baskets
from workbench.source.simulate.browsing import Places, Views, browse, make_places
from workbench.source.simulate.buying import buy
from workbench.source.simulate.catalogue import Advertisement, Products, make_advertisements, make_products
from workbench.source.simulate.ledger import Block, Outcome, prepare_block
from workbench.source.simulate.lineage import SHARES, led_by_slots, lineage_summary, lineage_sums
from workbench.source.simulate.money import order_amounts
from workbench.source.simulate.truth import HOLDOUT, INVITATION, TIMING, Truth
from workbench.source.simulate.users import DAY_MS, make_population
from workbench.source.simulate.visits import make_visits

REFERENCE_SEED = 7_777
REFERENCE_BLOCK = 20_000
OUTCOME_DAYS = 30
HOLDERS = {HOLDOUT: "holdout_assigned_ms", TIMING: "timing_assigned_ms"}


def measure_truth(truth: Truth, *, users: int = 400_000, days: int = 120) -> dict[str, Any]:
    """How large are the planted effects, in orders and profit per user?

    A reference population with a seed of its own goes through the day loop several times on the same draws: once
    with everyone in the control arm and once in the treatment arm of an experiment, all else unchanged, and once
    without each coupon. The mean difference per user is the effect.

    Parameters
    ----------
    truth
        Planted effects.
    users, days
        Size of the reference population; length of the period.

    Returns
    -------
    dict
        ``experiments``: per experiment and outcome the mean in both arms, the effect and its standard error, over
        users whose 30 days after assignment have elapsed; for invitations the friends' orders and profit count for
        their inviter. ``coupons``: per coupon what its grants changed in paid orders and profit over the whole
        period, per grant and per order that used it; a coupon without effect of its own moves them a little,
        because using it leaves another one unused. ``channels``: share of users
        and, by age group, the share that pays a first order within 30 days of arrival. ``slots``: per slot, and for
        ``none``, the share of all product views, carts, submitted orders, paid orders and paid amount to which its
        clicks led, each with its standard error.
    """
    products, ads, places = make_products(), make_advertisements(truth), make_places(truth, days)
    sums: dict[str, Any] = defaultdict(lambda: np.zeros(1))
    for number in range(-(-users // REFERENCE_BLOCK)):
        block, views = reference_block(number, days, truth, products, ads, places, None)
        base = buy(block, truth)
        add_channels(sums, block, base, days, len(truth.age_groups))
        add_slots(sums, block, views, base, truth)
        for place in (HOLDOUT, TIMING):
            add_experiment(sums, place, block, truth, days)
        for one in truth.coupons:
            add_coupon(sums, one.coupon_id, block, base, truth)
        invited, _ = reference_block(number, days, truth, products, ads, places, 1)
        add_invitation(sums, invited, truth, days)
    return summary(sums, truth)


def reference_block(
    number: int,
    days: int,
    truth: Truth,
    products: Products,
    ads: list[Advertisement],
    places: Places,
    invite_arm: int | None,
) -> tuple[Block, Views]:
    """Simulate one block of the reference population up to the first order, and what it viewed."""
    rng = np.random.default_rng([REFERENCE_SEED, number])
    population = make_population(REFERENCE_BLOCK, days, truth, rng, invite_arm)
    visits = make_visits(population, days, truth, ads, rng)
    views = browse(population, visits, places, products, truth, rng).views
    return prepare_block(population, visits, fill_baskets(views, len(visits), products, truth, rng), rng), views


def with_arm(block: Block, place: int, arm: int) -> Block:
    """Put everyone into one arm of one experiment."""
    arms = block.population.arms.copy()
    arms[:, place] = arm
    return replace(block, population=replace(block.population, arms=arms))


def per_user(
    block: Block, outcome: Outcome, truth: Truth, owner: np.ndarray, start: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """Sum paid orders and profit in yuan in the 30 days after each owner's start.

    ``owner`` says for every user to whom the orders count, ``keep`` whether they count at all.
    """
    user, paid_ms = outcome.orders["user"], outcome.orders["paid_ms"]
    origin = start[owner[user]]
    counts = outcome.orders["is_paid"] & keep[user] & (origin >= 0)
    counts &= (paid_ms >= origin) & (paid_ms < origin + OUTCOME_DAYS * DAY_MS)
    profit = order_amounts(block, outcome, truth)["profit"] / 100
    size = len(start)
    orders = np.bincount(owner[user[counts]], minlength=size)
    return np.column_stack([orders, np.bincount(owner[user[counts]], weights=profit[counts], minlength=size)])


def add_experiment(sums: dict[str, Any], place: int, block: Block, truth: Truth, days: int) -> None:
    """Compare both arms of an experiment in which users answer for themselves."""
    everyone = np.arange(len(block.population))
    arms = []
    for arm in (0, 1):
        world = with_arm(block, place, arm)
        outcome = buy(world, truth)
        start = getattr(outcome, HOLDERS[place])
        arms.append(per_user(world, outcome, truth, everyone, start, np.ones(len(everyone), dtype=bool)))
    elapsed = (start >= 0) & (start <= (days - OUTCOME_DAYS) * DAY_MS)
    add_arms(sums, truth.experiments[place].experiment_id, arms[0][elapsed], arms[1][elapsed])


def add_invitation(sums: dict[str, Any], block: Block, truth: Truth, days: int) -> None:
    """Compare the arms of the invitation experiment: friends brought, their orders and their profit.

    The block is drawn with everyone in treatment; the control world keeps the friends who would have come there.
    """
    people, experiment = block.population, truth.experiments[INVITATION]
    rates = truth.invitation.control_invitees / truth.invitation.treatment_invitees
    start = people.invite_assigned_ms
    owner = np.maximum(people.inviter, 0)
    is_friend = people.inviter >= 0
    in_time = is_friend & (people.arrival_ms < start[owner] + OUTCOME_DAYS * DAY_MS)
    arms = []
    for arm in (0, 1):
        stays = is_friend & ((people.control_draw < rates) | (arm == 1) | (not experiment.is_active))
        world = with_arm(block, INVITATION, arm)
        value = per_user(world, buy(world, truth), truth, owner, start, stays)
        friends = np.bincount(owner[in_time & stays], minlength=len(start))
        arms.append(np.column_stack([value, friends]))
    elapsed = (start >= 0) & (start <= (days - OUTCOME_DAYS) * DAY_MS)
    add_arms(sums, experiment.experiment_id, arms[0][elapsed], arms[1][elapsed])


def add_arms(sums: dict[str, Any], name: str, control: np.ndarray, treatment: np.ndarray) -> None:
    """Add users, outcomes and squared differences of one block."""
    difference = treatment - control
    sums[f"{name}/users"] = sums[f"{name}/users"] + len(control)
    for part, values in (("control", control), ("treatment", treatment), ("squares", difference**2)):
        sums[f"{name}/{part}"] = sums[f"{name}/{part}"] + values.sum(axis=0)


def add_coupon(sums: dict[str, Any], coupon_id: str, block: Block, base: Outcome, truth: Truth) -> None:
    """Compare the world with a coupon to the one in which it is never given."""
    place = [one.coupon_id for one in truth.coupons].index(coupon_id)
    without = buy(block, truth, frozenset({coupon_id}))
    change = order_totals(block, base, truth) - order_totals(block, without, truth)
    granted = (base.grants["coupon"] == place).sum()
    used = ((base.orders["coupon"] == place) & base.orders["is_paid"]).sum()
    sums[f"coupon/{coupon_id}"] = sums[f"coupon/{coupon_id}"] + np.array([granted, used, *change])


def order_totals(block: Block, outcome: Outcome, truth: Truth) -> np.ndarray:
    """Paid orders and profit in yuan over the whole period."""
    return np.array([outcome.orders["is_paid"].sum(), order_amounts(block, outcome, truth)["profit"].sum() / 100])


def add_channels(sums: dict[str, Any], block: Block, base: Outcome, days: int, ages: int) -> None:
    """Count users whose 30 days have elapsed and first orders inside them, by channel and age group."""
    people = block.population
    first = np.full(len(people), np.iinfo(np.int64).max)
    paid = base.orders["is_paid"]
    np.minimum.at(first, base.orders["user"][paid], base.orders["paid_ms"][paid])
    elapsed = (people.arrival_ms <= (days - OUTCOME_DAYS) * DAY_MS) & (people.channel >= 0)
    converts = elapsed & (first < people.arrival_ms + OUTCOME_DAYS * DAY_MS)
    for name, chosen in (("users", elapsed), ("buyers", converts)):
        table = np.zeros((int(people.channel.max()) + 1, ages))
        np.add.at(table, (people.channel[chosen], people.age[chosen]), 1)
        sums[f"channel/{name}"] = sums[f"channel/{name}"] + table


def add_slots(sums: dict[str, Any], block: Block, views: Views, base: Outcome, truth: Truth) -> None:
    """Add what the clicks of each slot led to."""
    for name, values in lineage_sums(led_by_slots(block, views, base, truth)).items():
        sums[f"slot/{name}"] = sums[f"slot/{name}"] + values


def summary(sums: dict[str, Any], truth: Truth) -> dict[str, Any]:
    """Turn the sums into means, effects and standard errors."""
    # For invitations, orders and profit are those of the friends, per inviter.
    outcomes = ("orders_per_user", "profit_per_user", "invitees_per_user")
    experiments: dict[str, Any] = {}
    for one in truth.experiments:
        name = one.experiment_id
        users = float(sums[f"{name}/users"][0])
        control, treatment = sums[f"{name}/control"] / users, sums[f"{name}/treatment"] / users
        spread = np.sqrt((sums[f"{name}/squares"] / users - (treatment - control) ** 2) / users)
        experiments[name] = {
            outcome: {
                "control": round(float(control[place]), 5),
                "treatment": round(float(treatment[place]), 5),
                "effect": round(float(treatment[place] - control[place]), 5),
                "std_error": round(float(spread[place]), 5),
            }
            for place, outcome in enumerate(outcomes[: len(control)])
        }
    return {
        "experiments": experiments,
        "coupons": coupon_summary(sums, truth),
        **channel_summary(sums, truth),
        "slots": lineage_summary({name: sums[f"slot/{name}"] for name in SHARES}, truth),
    }


def coupon_summary(sums: dict[str, Any], truth: Truth) -> dict[str, dict[str, float | None]]:
    """Say what each coupon changed, per grant and per order that used it; null where there is none."""
    found = {}
    for one in truth.coupons:
        granted, used, orders, profit = (float(value) for value in sums[f"coupon/{one.coupon_id}"])
        found[one.coupon_id] = {
            "incremental_orders_per_grant": round(orders / granted, 5) if granted else None,
            "incremental_orders_per_coupon_order": round(orders / used, 4) if used else None,
            "incremental_profit_per_grant": round(profit / granted, 4) if granted else None,
        }
    return found


def channel_summary(sums: dict[str, Any], truth: Truth) -> dict[str, Any]:
    """Give shares and conversion by channel and age group."""
    users, buyers = sums["channel/users"], sums["channel/buyers"]
    return {
        "channels": {
            one.name: {
                "share": round(float(users[place].sum() / users.sum()), 4),
                "conversion_rate_30": round(float(buyers[place].sum() / users[place].sum()), 4),
                "conversion_rate_30_by_age": [round(float(x), 4) for x in buyers[place] / users[place]],
            }
            for place, one in enumerate(truth.channels)
        }
    }
