"""Small shops with one experiment, written from a few rows."""

import pandas as pd
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.experiment import read_experiments

MONEY = [
    f"{one}_amount"
    for one in (
        "gross",
        "coupon_discount",
        "other_discount",
        "platform_discount",
        "refund",
        "cost",
        "shipping_cost",
        "platform_fee",
    )
]


@pytest.fixture(scope="session")
def shop_of(tmp_path_factory):
    """Opens a shop with these assignments (user, variant, time) of experiment ``e`` and orders (user, paid, amounts).

    Unpaid orders of nobody begin the data on 1 February and end them on 29 April 2026.
    """

    def opened(assignments, orders, *, users=None, planned=None, ends="2026-04-29", lacks=(), **tables):
        rows = []
        bounds = [("nobody", None, {"gross_amount": None, "submitted_at": one}) for one in ("2026-02-01", ends)]
        for number, (user, paid, *amounts) in enumerate([*orders, *bounds]):
            money = dict.fromkeys(MONEY, 0.0) | (amounts[0] if amounts else {})
            submitted = at(money.pop("submitted_at", paid or "2026-03-01"))
            rows.append(
                {"order_id": number, "user_id": user, "submitted_at": submitted, "paid_at": paid and at(paid)} | money
            )
        table = pd.DataFrame(rows).drop(columns=list(lacks))
        table["paid_at"] = pd.to_datetime(table["paid_at"], utc=True)
        written = {
            "orders": table,
            "experiment_assignments": frame(
                "experiment_id user_id variant assigned_at",
                *(one if len(one) == 4 else ("e", *one) for one in assignments),
            ),
            **tables,
        }
        if users is not None:
            written["users"] = frame("user_id first_seen_at", *users)
        if planned is not None:
            written["experiments"] = frame(
                "experiment_id variant expected_share", *(("e", *one) for one in planned.items())
            )
        return open_shop(write_shop(tmp_path_factory.mktemp("opened") / "shop", **written))

    return opened


@pytest.fixture(scope="session")
def read():
    """Reads with short windows; gives the analysis."""

    def reading(shop, **asked):
        return read_experiments(shop, **({"outcome_days": [7]} | asked))

    return reading


def pick(table, **where):
    """Rows with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table


@pytest.fixture(name="pick")
def _pick():
    return pick
