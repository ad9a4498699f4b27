"""Small random shops with an experiment, full of special cases, and its rules as plain loops over the rows.

The loops know nothing of the engine: they read the rows that were drawn, one unit and one order at a time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import Shop, open_shop
from workbench.period import DAY_MS, HOUR_MS

ZONE = "Europe/Berlin"
PERIOD = ("2026-03-20", "2026-03-31")
DAYS, PRE_DAYS = (2, 5), 3
ON_CLICKHOUSE = [pytest.mark.engine, pytest.mark.slow]
WAYS = ["", pytest.param("chdb://", marks=ON_CLICKHOUSE)]
"""On DuckDB; on ClickHouse, which plans long chains of joins for seconds, with the slow tests."""
MIDNIGHT = int(pd.Timestamp("2026-03-23", tz=ZONE).value // 10**6)
"""A Monday; clocks change on the Sunday after."""
END = MIDNIGHT + 9 * DAY_MS - HOUR_MS
"""The data end with the last day of March."""
AMOUNTS = ("gross", "coupon", "other", "platform", "refund", "cost", "shipping", "fee")
MEASURES = ("buyers", "orders", "paid_amount", "net_amount", "profit", "refund_amount", "borne_discount_amount")


@dataclass(frozen=True)
class Rows:
    """Rows of a shop; times are UTC milliseconds."""

    assignments: list[tuple]  # user_id, variant, assigned_ms
    users: dict  # user_id: (first_seen_ms, inviter_id)
    orders: list[dict]  # order_id, user_id, submitted_ms, paid_ms, AMOUNTS
    grants: list[tuple]  # coupon_id, user_id, granted_ms, order_id, discount


def instant(ms):
    return None if ms is None else pd.Timestamp(ms, unit="ms", tz="UTC")


def draw_rows(seed: int, *, days, pre_days, users: int = 100, whole_ids: bool = False) -> Rows:
    """Draw two weeks: many instants lie exactly on a bound of a window, or a millisecond before it."""
    rng = np.random.default_rng(seed)
    ids = [number if whole_ids else f"u{number}" for number in range(users)]
    assigned, first_seen, rows = {}, {}, []
    for user in ids:
        start = MIDNIGHT + int(rng.integers(-8, 18)) * 12 * HOUR_MS - int(rng.integers(0, 2)) * HOUR_MS
        assigned[user] = start
        first_seen[user] = start + int(rng.choice([-9 * DAY_MS, -DAY_MS, -1, 0, 1, 6 * HOUR_MS]))
        if rng.random() < 0.75:
            rows.append((user, str(rng.choice(["control", "test", "other"])), start))
        if rng.random() < 0.08:
            rows.append((user, str(rng.choice(["control", "test"])), start + int(rng.integers(-3, 3)) * DAY_MS))
    rows = list({(user, variant): (user, variant, ms) for user, variant, ms in rows}.values())
    known = {user: [first_seen[user], None] for user in ids if rng.random() < 0.85}
    for number, user in enumerate(ids):
        if user in known and rng.random() < 0.6:
            known[user][1] = ids[int(rng.integers(0, max(number, 1)))]
            if rng.random() < 0.7 and number:
                known[user][1] = ids[number - 1]  # long chains
    for first, length in ((0, 2), (users // 2, 3), (users - 1, 1)):  # circles, and a user who invites himself
        for step in range(length):
            known[ids[first + step]] = [first_seen[ids[first + step]], ids[first + (step + 1) % length]]
    orders, grants = [], []
    edges = [0, -1, -pre_days * DAY_MS, -pre_days * DAY_MS - 1, *(d * DAY_MS - one for d in days for one in (0, 1))]
    owners = [*rng.permutation(np.array(ids * 4, dtype=object)), None, None]
    for number, user in enumerate(owners):
        if number and user is not None and ids.index(user) % 7 == 3:
            continue  # users without orders
        start = assigned.get(user, MIDNIGHT)
        paid = (
            start + int(rng.choice(edges)) if rng.random() < 0.6 else start + int(rng.integers(-20, 20)) * 6 * HOUR_MS
        )
        submitted = paid - int(rng.choice([0, 0, 1, HOUR_MS, 30 * HOUR_MS]))
        if number == 0:
            submitted = paid = END - 1
        elif paid >= END:
            continue
        drawn = np.round(rng.random(len(AMOUNTS)) * [90, 9, 3, 2, 9, 40, 5, 3] + [20, *[0] * 7], 2)
        amounts = dict(zip(AMOUNTS, drawn.tolist(), strict=True))
        amounts["refund"] *= rng.random() < 0.4
        if rng.random() < 0.05:
            amounts["gross"] = None
        is_paid = rng.random() < 0.8 or number == 0
        orders.append(
            {
                "order_id": number if whole_ids else f"o{number}",
                "user_id": user,
                "submitted_ms": submitted,
                "paid_ms": paid if is_paid else None,
                **amounts,
            }
        )
        if user is not None and rng.random() < 0.6:
            given = start + int(rng.choice([-1, 0, HOUR_MS, days[-1] * DAY_MS - 1, days[-1] * DAY_MS]))
            used = orders[-1]["order_id"] if rng.random() < 0.6 else None
            discount = None if used is None or rng.random() < 0.3 else 5.0
            grants.append((str(rng.choice(["c1", "c2"])), user, given, used, discount))
    return Rows(rows, {user: tuple(one) for user, one in known.items()}, orders, grants)


def random_shops(parent: Path, count: int) -> list[tuple[Rows, Path]]:
    """So many shops, as rows and as folders; ids are texts, in the second shop whole numbers."""
    found = []
    for seed in range(count):
        rows = draw_rows(seed, days=DAYS, pre_days=PRE_DAYS, whole_ids=seed == 1)
        found.append((rows, write_rows(rows, parent / str(seed))))
    return found


def opened(way: str, folder: Path) -> Shop:
    """The folder, opened one of the ``WAYS``."""
    if way:
        pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    return open_shop(f"{way}{folder}")


def write_rows(rows: Rows, folder: Path) -> Path:
    orders = [
        (
            *(one[name] for name in ("order_id", "user_id")),
            *(instant(one[name]) for name in ("submitted_ms", "paid_ms")),
            *(one[name] for name in AMOUNTS),
        )
        for one in rows.orders
    ]
    money = (
        "gross_amount coupon_discount_amount other_discount_amount platform_discount_amount refund_amount cost_amount"
        " shipping_cost_amount platform_fee_amount"
    )
    grants = [
        (f"g{number}", coupon, user, instant(given), order, discount)
        for number, (coupon, user, given, order, discount) in enumerate(rows.grants)
    ]
    users = frame(
        "user_id first_seen_at inviter_id", *((user, instant(seen), by) for user, (seen, by) in rows.users.items())
    )
    tables = {
        "orders": frame(f"order_id user_id submitted_at paid_at {money}", *orders),
        "users": users,
        "coupon_grants": frame("grant_id coupon_id user_id granted_at order_id discount_amount", *grants),
        "experiment_assignments": frame(
            "experiment_id user_id variant assigned_at",
            *(("e", user, variant, instant(ms)) for user, variant, ms in rows.assignments),
        ),
    }
    if any(isinstance(user, int) for user in rows.users):
        for name, column in (("users", "inviter_id"), ("orders", "user_id"), ("coupon_grants", "order_id")):
            tables[name][column] = tables[name][column].astype("Int64")
    return write_shop(folder, **tables)


# -- the rules, one row at a time ------------------------------------------------------------------------------


def arms_of(rows):
    """Variants and first instant of each assigned user."""
    arms = {}
    for user, variant, ms in rows.assignments:
        variants, first = arms.get(user, (set(), ms))
        arms[user] = (variants | {variant}, min(first, ms))
    return arms


def units_of(rows, period):
    return {
        user: (next(iter(variants)), ms)
        for user, (variants, ms) in arms_of(rows).items()
        if len(variants) == 1 and period.start_ms <= ms < period.end_ms
    }


def root_of(user, rows):
    """The topmost assigned user at or above; in a circle the assigned one with the smallest id."""
    assigned = {one for one, _variant, _ms in rows.assignments}
    chain = [user]
    while True:
        above = rows.users.get(chain[-1], (0, None))[1]
        if above is None or above == chain[-1]:
            marked = [one for one in chain if one in assigned]
            return marked[-1] if marked else None
        if above in chain:
            circle = [one for one in chain[chain.index(above) :] if one in assigned]
            marked = [one for one in chain if one in assigned]
            return min(circle) if circle else (marked[-1] if marked else None)
        chain.append(above)


def clusters_of(rows, period):
    """Units that are their own root, and their members: (unit, member, since)."""
    units = {user: one for user, one in units_of(rows, period).items() if root_of(user, rows) == user}
    members = [(user, user, ms) for user, (_variant, ms) in units.items()]
    for user, (seen, _by) in rows.users.items():
        root = root_of(user, rows)
        if root in units and root != user and seen >= units[root][1]:
            members.append((root, user, seen))
    return units, members


def money_of(order, margin_rate=None):
    if order["gross"] is None:
        return {}
    given = order["coupon"] + order["other"]
    paid = order["gross"] - given
    cost = order["cost"] if margin_rate is None else order["gross"] * (1 - margin_rate)
    net = paid - order["refund"]
    return {
        "paid_amount": paid,
        "net_amount": net,
        "profit": net + order["platform"] - cost - order["shipping"] - order["fee"],
        "refund_amount": order["refund"],
        "borne_discount_amount": order["coupon"] * (1 - (min(order["platform"] / given, 1) if given else 0)),
    }


def outcomes_of(rows, units, members, period, *, days, pre_days, margin_rate=None):
    """One row per unit, as ``unit_outcomes`` gives them for those with orders; its columns and ``followed_<d>``."""
    found = []
    for unit, (variant, start) in units.items():
        since = {member: ms for one, member, ms in members if one == unit}
        seen = rows.users.get(unit, (None, None))[0]
        is_new = seen is not None and seen >= start
        past, row = 0, {}
        for ending in (*days, "pre"):
            row |= {f"{name}_{ending}": 0.0 for name in MEASURES}
        for order in rows.orders:
            paid = order["paid_ms"]
            if paid is None or order["user_id"] not in since:
                continue
            endings = [d for d in days if start <= paid < start + d * DAY_MS and paid >= since[order["user_id"]]]
            if order["user_id"] == unit and start - pre_days * DAY_MS <= paid < start and not is_new:
                past += 1
                endings.append("pre")
            for ending in endings:
                row[f"buyers_{ending}"] = 1.0
                row[f"orders_{ending}"] += 1
                for name, value in money_of(order, margin_rate).items():
                    row[f"{name}_{ending}"] += value
        day = datetime.fromtimestamp(start / 1000, tz=UTC).astimezone(ZoneInfo(ZONE)).date()
        week = (day.toordinal() - datetime(1969, 12, 29).toordinal()) // 7
        stratum = "new" if is_new else ("0", "1", "2+")[min(past, 2)]
        followed = {f"followed_{d}": start + d * DAY_MS <= period.data_end_ms for d in days}
        fixed = {"unit_id": unit, "variant": variant, "is_new": is_new, "elapsed": sum(followed.values())}
        found.append(fixed | {"week": week, "stratum": stratum} | followed | row)
    return pd.DataFrame(found)
