"""Which slot truly led to each view, cart and sale: the lineage that the simulator knows and events do not tell."""

from __future__ import annotations

import numpy as np

from workbench.source.simulate.block_tables import order_lines
from workbench.source.simulate.browsing import Views
from workbench.source.simulate.ledger import Block, Outcome
from workbench.source.simulate.money import order_amounts
from workbench.source.simulate.truth import Truth

NO_SLOT = "none"
SHARES = ("view_share", "cart_share", "checkout_share", "order_share", "amount_share")


def led_by_slots(block: Block, views: Views, outcome: Outcome, truth: Truth) -> dict[str, np.ndarray]:
    """How much did the clicks of each slot lead to, user by user?

    A view belongs to the slot whose click opened it, a cart to its view, an order line to its cart. An order is split
    over its lines in proportion to their amount, and so is what was paid for it.

    Returns
    -------
    dict
        One array by name of share, each of shape (users, slots + 1): views, carts, submitted orders, paid orders, paid
        amount in yuan. The last column is what no slot led to.
    """
    shape = (len(block.population), len(truth.slots) + 1)

    def table(user: np.ndarray, slot: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        # The remainder sends -1, no slot, to the last column.
        cell = user * shape[1] + slot % shape[1]
        return np.bincount(cell, weights=weights, minlength=shape[0] * shape[1]).reshape(shape).astype(float)

    orders, amounts = outcome.orders, order_amounts(block, outcome, truth)
    paid = (amounts["gross"] - amounts["coupon_discount"] - amounts["other_discount"]) / 100
    lines = order_lines(block, outcome)
    order, slot = lines["order"], lines["slot"]
    user, part = orders["user"][order], lines["cents"] / amounts["gross"][order]
    is_paid = orders["is_paid"][order]
    viewer = block.visits.user[views.visit]
    return {
        "view_share": table(viewer, views.slot),
        "cart_share": table(viewer[views.is_carted], views.slot[views.is_carted]),
        "checkout_share": table(user, slot, part),
        "order_share": table(user, slot, part * is_paid),
        "amount_share": table(user, slot, part * is_paid * paid[order]),
    }


def lineage_sums(led: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sum over users what shares and their standard errors need; sums of several blocks add up.

    Returns
    -------
    dict
        By name of share an array of shape (4, slots + 1): what each slot led to, its square, its product with the user's
        total, and the square of that total.
    """
    found = {}
    for name, values in led.items():
        total = values.sum(axis=1, keepdims=True)
        parts = (values, values**2, values * total, total**2 * np.ones_like(values))
        found[name] = np.array([one.sum(axis=0) for one in parts])
    return found


def lineage_summary(sums: dict[str, np.ndarray], truth: Truth) -> dict[str, dict[str, float]]:
    """Give each slot's shares of all views, carts, orders and money, each followed by its standard error.

    The error is that of a ratio of sums over independent users (delta method).
    """
    names = [*(one.slot_id for one in truth.slots), NO_SLOT]
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for share in SHARES:
        values, squares, products, totals = sums[share]
        total = values.sum()
        estimate = values / total
        error = np.sqrt(np.maximum(squares - 2 * estimate * products + estimate**2 * totals, 0)) / total
        for name, one, its_error in zip(names, estimate, error, strict=True):
            found[name][share] = round(float(one), 6)
            found[name][f"{share}_std_error"] = round(float(its_error), 7)
    return found
