"""The rows of one block in the tables of the contract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from workbench.source.simulate.catalogue import (
    CATEGORIES,
    DEVICES,
    GENDERS,
    PRODUCT_COUNT,
    REGIONS,
    Advertisement,
    Products,
)
from workbench.source.simulate.events import EVENT_NAMES, PAGE_NAMES
from workbench.source.simulate.ledger import SOURCES, Block, Outcome
from workbench.source.simulate.money import order_amounts
from workbench.source.simulate.tables import (
    ids,
    instants,
    order_ids,
    product_ids,
    table,
    user_ids,
    words,
    yuan,
)
from workbench.source.simulate.truth import HOLDOUT, INVITATION, TIMING, Truth

VARIANTS = ("control", "treatment")


@dataclass(frozen=True)
class Names:
    """What stands behind positions, and where this block's own numbers start."""

    users: pa.Array
    first_user: int
    first_visit: int
    first_order: int
    first_grant: int
    ads: list[Advertisement]
    truth: Truth

    @property
    def channels(self) -> list[str]:
        """Names of the channels in the order of their positions."""
        return [one.name for one in self.truth.channels]


def event_table(events: dict[str, np.ndarray], block: Block, names: Names) -> pa.Table:
    """One row per user action."""
    visits, visit = block.visits, events["visit"]
    ad = visits.advertisement[visit]
    return table(
        "events",
        {
            "user_id": words(visits.user[visit], names.users),
            "event_at": instants(events["at_ms"]),
            "event": words(events["event"], EVENT_NAMES),
            "seq": events["seq"].astype(np.int64),
            "session_id": ids("s", visit + names.first_visit + 1, 9),
            "page": words(events["page"], PAGE_NAMES),
            "slot_id": words(events["slot"], [one.slot_id for one in names.truth.slots]),
            "content_id": words(events["content"], [one.content_id for one in names.truth.contents]),
            "product_id": words(events["product"], product_ids(np.arange(PRODUCT_COUNT))),
            "order_id": order_ids(np.where(events["order"] >= 0, events["order"] + names.first_order, -1)),
            "channel": words(visits.channel[visit], names.channels),
            "campaign": words(ad, [one.campaign for one in names.ads]),
            "keyword": words(ad, [one.keyword for one in names.ads]),
        },
    )


def order_table(block: Block, outcome: Outcome, names: Names) -> pa.Table:
    """One row per submitted order."""
    orders = outcome.orders
    amounts = order_amounts(block, outcome, names.truth)
    del amounts["profit"]
    user = orders["user"]
    return table(
        "orders",
        {
            "order_id": order_ids(np.arange(len(user)) + names.first_order),
            "user_id": words(user, names.users),
            "submitted_at": instants(orders["submitted_ms"]),
            "paid_at": instants(orders["paid_ms"]),
            **{f"{name}_amount": yuan(cents) for name, cents in amounts.items()},
            "channel": words(block.visits.channel[orders["visit"]], names.channels),
            "region": words(block.population.region[user], REGIONS),
        },
    )


def order_lines(block: Block, outcome: Outcome) -> dict[str, np.ndarray]:
    """Give the lines of all orders as positions: order, line number, product, slot that led to it, quantity, cents."""
    baskets, cart = block.baskets, outcome.orders["cart"]
    count = baskets.line_count[cart]
    order = np.repeat(np.arange(len(cart)), count)
    number = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    line = baskets.first_line[cart][order] + number
    return {
        "order": order,
        "line_no": number + 1,
        "product": baskets.line_product[line],
        "slot": baskets.line_slot[line],
        "quantity": baskets.line_quantity[line],
        "cents": baskets.line_cents[line],
    }


def line_table(lines: dict[str, np.ndarray], products: Products, names: Names) -> pa.Table:
    """One row per order and line."""
    return table(
        "order_lines",
        {
            "order_id": order_ids(lines["order"] + names.first_order),
            "line_no": lines["line_no"],
            "product_id": words(lines["product"], product_ids(np.arange(PRODUCT_COUNT))),
            "category": words(products.category[lines["product"]], [one[0] for one in CATEGORIES]),
            "quantity": lines["quantity"],
            "amount": yuan(lines["cents"]),
        },
    )


def user_table(block: Block, names: Names) -> pa.Table:
    """One row per user."""
    people = block.population
    inviter = np.where(people.inviter >= 0, people.inviter + names.first_user, -1)
    return table(
        "users",
        {
            "user_id": names.users,
            "first_seen_at": instants(people.arrival_ms),
            "channel": words(people.channel, names.channels),
            "age_group": words(people.shown_age, [one.name for one in names.truth.age_groups]),
            "gender": words(people.gender, GENDERS),
            "region": words(people.region, REGIONS),
            "device": words(people.device, DEVICES),
            "inviter_id": user_ids(inviter),
        },
    )


def grant_table(outcome: Outcome, names: Names) -> pa.Table:
    """One row per coupon given to a user, with the order that redeemed it."""
    grants, orders = outcome.grants, outcome.orders
    used = np.flatnonzero(orders["grant"] >= 0)
    order = np.full(len(grants["user"]), -1)
    order[orders["grant"][used]] = used
    is_used = order >= 0
    redeemed = np.full(len(order), -1)
    redeemed[is_used] = orders["submitted_ms"][order[is_used]]
    discount = np.zeros(len(order))
    discount[is_used] = yuan(orders["coupon_cents"][order[is_used]])
    return table(
        "coupon_grants",
        {
            "grant_id": ids("g", np.arange(len(order)) + names.first_grant + 1, 8),
            "coupon_id": words(grants["coupon"], [one.coupon_id for one in names.truth.coupons]),
            "user_id": words(grants["user"], names.users),
            "granted_at": instants(grants["granted_ms"]),
            "grant_source": words(grants["source"], SOURCES),
            "collected_at": instants(grants["collected_ms"]),
            "expires_at": instants(grants["expires_ms"]),
            "redeemed_at": instants(redeemed),
            "order_id": order_ids(np.where(is_used, order + names.first_order, -1)),
            "discount_amount": pa.array(discount, mask=~is_used),
        },
    )


def assignment_table(block: Block, outcome: Outcome, names: Names) -> pa.Table:
    """One row per experiment and user assigned in it."""
    assigned = {
        HOLDOUT: outcome.holdout_assigned_ms,
        TIMING: outcome.timing_assigned_ms,
        INVITATION: block.population.invite_assigned_ms,
    }
    users = {place: np.flatnonzero(at >= 0) for place, at in assigned.items()}
    place = np.concatenate([np.full(len(users[one]), one) for one in assigned])
    user = np.concatenate(list(users.values()))
    return table(
        "experiment_assignments",
        {
            "experiment_id": words(place, [one.experiment_id for one in names.truth.experiments]),
            "user_id": words(user, names.users),
            "variant": words(block.population.arms[user, place], VARIANTS),
            "assigned_at": instants(np.concatenate([assigned[one][users[one]] for one in assigned])),
        },
    )
