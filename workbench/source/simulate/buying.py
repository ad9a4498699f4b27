"""The day loop: coupons given, carts ordered, orders paid, coupons redeemed."""

from __future__ import annotations

import numpy as np

from workbench.source.simulate.granting import give, give_at_visit
from workbench.source.simulate.ledger import (
    CHECKOUT,
    ORDER,
    PAY,
    PUSHED,
    USE,
    Block,
    Outcome,
    State,
    applied_arm,
    stacked,
    start_state,
)
from workbench.source.simulate.truth import TIMING, Truth
from workbench.source.simulate.users import UNKNOWN

OPEN_CART_DAYS = 3
MAX_ORDER_CHANCE = 0.95
WEEKDAY_FACTORS = (1.00, 0.97, 0.97, 0.98, 1.05, 1.08, 1.07)  # Monday first
FIRST_WEEKDAY = 6  # 2026-03-01 is a Sunday


def buy(block: Block, truth: Truth, withheld: frozenset[str] = frozenset()) -> Outcome:
    """Walk the days.

    Parameters
    ----------
    block, truth
        Visits with their carts and draws; planted effects.
    withheld
        Coupons that are never given: the world without them.
    """
    state = start_state(len(block.population), len(truth.coupons))
    bounds = block.visits.day_start
    for day in range(len(bounds) - 1):
        visit = np.arange(bounds[day], bounds[day + 1])
        give_at_visit(visit, day, block, truth, state, withheld)
        order_visit, cart_visit = decide_orders(visit, day, block, truth, state)
        check_out(order_visit, cart_visit, day, block, truth, state, withheld)
    return Outcome(
        grants=stacked(state.grants),
        orders=stacked(state.orders),
        holdout_assigned_ms=state.holdout_assigned_ms,
        timing_assigned_ms=state.timing_assigned_ms,
    )


def decide_orders(
    visit: np.ndarray, day: int, block: Block, truth: Truth, state: State
) -> tuple[np.ndarray, np.ndarray]:
    """Decide which visits order, and from the cart of which visit: their own or one left open some days ago."""
    user = block.visits.user[visit]
    has_cart = block.baskets.line_count[visit] > 0
    left = state.cart_visit[user]
    is_reopened = ~has_cart & (left >= 0) & (day - block.visits.day[left] <= OPEN_CART_DAYS)
    cart = np.where(has_cart, visit, np.where(is_reopened, left, UNKNOWN))
    chance = order_chance(visit, user, cart, day, block, truth, state)
    chance *= np.where(is_reopened, truth.behaviour.reopened_cart_multiplier, 1.0)
    # The sales change comes after the ceiling, so that its factor holds exactly.
    chance = np.minimum(chance, MAX_ORDER_CHANCE) * sales_factor(day, truth)
    orders = (cart >= 0) & (block.draws[visit, CHECKOUT] < chance)
    state.cart_visit[user[has_cart]] = visit[has_cart]
    state.cart_visit[user[orders]] = UNKNOWN
    return visit[orders], cart[orders]


def order_chance(
    visit: np.ndarray, user: np.ndarray, cart: np.ndarray, day: int, block: Block, truth: Truth, state: State
) -> np.ndarray:
    """Multiply all that moves the chance of ordering a filled cart: the planted effects meet here."""
    people, base = block.population, truth.behaviour
    by_age = np.array([group.checkout_multiplier for group in truth.age_groups])
    # The last entry serves users of unknown channel, whose position is -1.
    by_channel = np.array([one.checkout_multiplier for one in truth.channels] + [1.0])
    repeat_by_channel = np.array([one.repeat_multiplier for one in truth.channels] + [1.0])
    lift = np.array([one.order_multiplier for one in truth.coupons])
    has_valid = state.valid_until[user] >= block.checkout_ms[visit][:, None]
    repeat = base.repeat_multiplier * repeat_by_channel[people.channel[user]] * state.repeat_factor[user]
    chance = base.checkout_rate * WEEKDAY_FACTORS[(FIRST_WEEKDAY + day) % 7] * people.propensity[user]
    chance *= by_age[people.age[user]] * by_channel[people.channel[user]]
    chance *= np.where(people.is_thrifty[user], base.thrifty_checkout_multiplier, 1.0)
    chance *= block.baskets.checkout_multiplier[cart]
    chance *= np.where(has_valid, lift, 1.0).prod(axis=1)
    chance *= np.where(state.order_count[user] > 0, repeat, 1.0)
    return chance


def sales_factor(day: int, truth: Truth) -> float:
    """Give what the planted change in sales leaves of the chance to order."""
    change = truth.sales_change
    return change.factor if change.first_day <= day < change.first_day + change.days else 1.0


def check_out(
    visit: np.ndarray,
    cart: np.ndarray,
    day: int,
    block: Block,
    truth: Truth,
    state: State,
    withheld: frozenset[str],
) -> None:
    """Submit the orders of a day: coupon before payment, choice of coupon, payment, coupons after payment."""
    user, at = block.visits.user[visit], block.checkout_ms[visit]
    arm = timing_arms(user, at, day, block, truth, state)
    timing = truth.coupon_index("timing")
    if truth.coupons[timing].coupon_id not in withheld:
        before = (arm == 0) & (state.valid_until[user, timing] < at)
        give(timing, user[before], at[before] - 1_000, PUSHED, truth, state)
    coupon, discount = choose_coupons(visit, cart, user, at, block, truth, state)
    is_paid = block.draws[visit, PAY] < pay_rates(truth)[arm]
    record_orders(visit, cart, coupon, discount, is_paid, block, state)
    used = coupon >= 0
    state.valid_until[user[used], coupon[used]] = UNKNOWN
    repeat = np.array([one.repeat_multiplier for one in truth.coupons] + [1.0])
    state.repeat_factor[user] *= np.where(is_paid, repeat[coupon], 1.0)
    state.order_count[user] += is_paid
    lottery = truth.coupon_index("lottery")
    wins = block.draws[visit, lottery] < truth.coupons[lottery].offer_rate
    for place, is_given in ((timing, arm == 1), (lottery, wins)):
        if truth.coupons[place].coupon_id not in withheld:
            give_after_payment(place, is_given & is_paid, visit, user, block, truth, state)


def timing_arms(user: np.ndarray, at_ms: np.ndarray, day: int, block: Block, truth: Truth, state: State) -> np.ndarray:
    """Assign users at their first checkout since the experiment began; -1 for orders before it."""
    if day >= truth.experiments[TIMING].first_day:
        new = state.timing_assigned_ms[user] < 0
        state.timing_assigned_ms[user[new]] = at_ms[new] - 2_000
    is_assigned = state.timing_assigned_ms[user] >= 0
    return np.where(is_assigned, applied_arm(TIMING, user, block, truth), UNKNOWN)


def pay_rates(truth: Truth) -> np.ndarray:
    """Chance to pay in control, in treatment and, last, outside the timing experiment."""
    timing = truth.timing
    if truth.experiments[TIMING].is_active:
        return np.array([timing.control_pay_rate, timing.treatment_pay_rate, timing.pay_rate])
    return np.full(3, timing.pay_rate)


def choose_coupons(
    visit: np.ndarray,
    cart: np.ndarray,
    user: np.ndarray,
    at_ms: np.ndarray,
    block: Block,
    truth: Truth,
    state: State,
) -> tuple[np.ndarray, np.ndarray]:
    """Use the one valid coupon that saves most; -1 where none fits or the user forgets it."""
    gross = block.baskets.gross_cents[cart]
    savings = np.zeros((len(visit), len(truth.coupons)), dtype=np.int64)
    for place, one in enumerate(truth.coupons):
        saving = np.round(gross * one.face_value) if one.kind == "percentage" else round(one.face_value * 100)
        fits = (state.valid_until[user, place] >= at_ms) & (gross >= one.min_spend * 100)
        fits &= block.draws[visit, USE] < one.use_rate
        savings[:, place] = np.where(fits, np.minimum(saving, gross), 0)
    best = savings.argmax(axis=1)
    discount = savings.max(axis=1)
    return np.where(discount > 0, best, UNKNOWN), discount


def record_orders(
    visit: np.ndarray,
    cart: np.ndarray,
    coupon: np.ndarray,
    discount: np.ndarray,
    is_paid: np.ndarray,
    block: Block,
    state: State,
) -> None:
    """Write the orders of a day down, with the grant each one redeems."""
    user = block.visits.user[visit]
    state.orders.append(
        {
            "visit": visit,
            "cart": cart,
            "user": user,
            "coupon": coupon,
            "grant": np.where(coupon >= 0, state.open_grant[user, coupon], UNKNOWN),
            "coupon_cents": discount,
            "is_paid": is_paid,
            "submitted_ms": block.checkout_ms[visit],
            "paid_ms": np.where(is_paid, block.paid_ms[visit], UNKNOWN),
        }
    )


def give_after_payment(
    place: int,
    is_given: np.ndarray,
    visit: np.ndarray,
    user: np.ndarray,
    block: Block,
    truth: Truth,
    state: State,
) -> None:
    """Give a coupon for the next order, unless the user still holds one."""
    at = block.paid_ms[visit] + 1_000
    given = is_given & (state.valid_until[user, place] < at)
    give(place, user[given], at[given], ORDER, truth, state)
