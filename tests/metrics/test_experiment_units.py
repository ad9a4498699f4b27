"""Who is compared: arms, clusters of inviters, crossings and the reach of a coupon, by loops and by hand."""

from itertools import pairwise

import pandas as pd
import pytest
from experiment_shops import PERIOD, WAYS, ZONE, arms_of, clusters_of, opened, random_shops, units_of
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics.experiment_units import (
    assigned_units,
    coupon_orders_within,
    coupon_reach,
    coupon_uses,
    crossings,
    inviter_members,
    inviter_units,
    own_members,
    users_in_two_arms,
)
from workbench.metrics.orders import paid_orders

NOON, DAY, HOUR = at("2026-03-10 12:00"), pd.Timedelta(days=1), pd.Timedelta(hours=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return random_shops(tmp_path_factory.mktemp("shops"), 4)


def counts(shop, table):
    found = shop.collect(table)
    assert len(found) == 1
    return found.iloc[0].astype(int).to_dict()


@pytest.mark.parametrize("way", WAYS)
def test_units_and_arms_equal_the_loop(folders, way):
    for rows, folder in folders:
        shop = opened(way, folder)
        period = shop.period(*PERIOD, ZONE)
        found = shop.collect(assigned_units(shop.experiment_assignments, period))
        expected = units_of(rows, period)
        assert {row.unit_id: (row.variant, row.assigned_ms) for row in found.itertuples()} == expected
        assert len(found) == len(expected)
        arms = arms_of(rows)
        crossed = sum(len(variants) > 1 for variants, _first in arms.values())
        assert crossed > 0
        assert counts(shop, users_in_two_arms(shop.experiment_assignments)) == {
            "crossed_user_count": crossed,
            "user_count": len(arms),
        }


def test_clusters_and_crossings_equal_the_loop(folders):
    deepest = crossed = 0
    for rows, folder in folders:
        shop = open_shop(folder)
        period = shop.period(*PERIOD, ZONE)
        assigned = shop.experiment_assignments
        units = inviter_units(assigned, shop.users, period)
        members = inviter_members(units, shop.users, assigned)
        expected, belong = clusters_of(rows, period)
        found = shop.collect(members)
        assert sorted(found[["unit_id", "member_id", "since_ms"]].itertuples(index=False, name=None)) == sorted(belong)
        assert found["assigned_ms"].to_list() == [expected[unit][1] for unit in found["unit_id"]]
        arms = arms_of(rows)
        below = [(unit, member) for unit, member, _since in belong if unit != member]
        own = [(unit, member) for unit, member in below if member in arms]
        here = sum(arms[member][0] != {expected[unit][0]} for unit, member in own)
        assert counts(shop, crossings(assigned, units, members)) == {
            "invitee_count": len(below),
            "assigned_invitee_count": len(own),
            "crossed_invitee_count": here,
        }
        crossed += here
        deepest = max([deepest, *(depth(rows, unit, member) for unit, member in below)])
    assert deepest >= 4
    assert crossed > 0


def depth(rows, unit, member):
    steps = 0
    while member != unit:
        member, steps = rows.users[member][1], steps + 1
    return steps


def invited(folder, links, assigned, seen=None):
    """A shop of users who were seen a day after the experiment began unless said otherwise, and who invited them."""
    users = {user for link in links.items() for user in link} | set(assigned)
    rows = [(user, (seen or {}).get(user, NOON + DAY), links.get(user)) for user in sorted(users)]
    return write_shop(
        folder,
        users=frame("user_id first_seen_at inviter_id", *rows),
        orders=frame("order_id user_id submitted_at paid_at gross_amount", ("o", "x", NOON, NOON + 9 * DAY, 1.0)),
        experiment_assignments=frame(
            "experiment_id user_id variant assigned_at", *(("e", *one) for one in assigned.values())
        ),
    )


def clusters(shop):
    period = shop.period("2026-03-08", None, "UTC")
    units = inviter_units(shop.experiment_assignments, shop.users, period)
    found = shop.collect(inviter_members(units, shop.users, shop.experiment_assignments))
    invitees = found[found["unit_id"] != found["member_id"]]
    assert sorted(shop.collect(units)["unit_id"]) == sorted(found["unit_id"].unique())
    return {unit: sorted(invitees.loc[invitees["unit_id"] == unit, "member_id"]) for unit in found["unit_id"]}


@pytest.mark.parametrize("way", WAYS)
def test_clusters_worked_by_hand(tmp_path, way):
    """a invited b, b invited c, c invited d, d invited e: all of a's cluster, five deep, though only a, c are assigned.

    f is below a too, but came before the assignment of a. g is below e, at the very instant of the assignment.
    p and q invited each other and r is below q: the circle's top is p, the assigned one of the smallest id.
    s and t invited each other, neither is assigned: u below them is a unit of its own.
    y is in two arms: neither y nor z below it is compared. i invited itself. k, below j who was assigned too early,
    belongs to j and is not compared.
    """
    links = {"b": "a", "c": "b", "d": "c", "e": "d", "f": "b", "g": "e", "p": "q", "q": "p", "r": "q"}
    links |= {"s": "t", "t": "s", "u": "s", "z": "y", "i": "i", "k": "j"}
    assigned = {user: (user, "test", NOON) for user in "acpqruzik"}
    assigned |= {"c": ("c", "control", NOON), "j": ("j", "test", NOON - 5 * DAY)}
    assigned |= {"y": ("y", "test", NOON), "y2": ("y", "control", NOON)}
    folder = invited(tmp_path, links, assigned, {"f": NOON - DAY, "g": NOON})
    assert clusters(opened(way, folder)) == {"a": ["b", "c", "d", "e", "g"], "p": ["q", "r"], "u": [], "i": []}


@pytest.mark.parametrize("length", [2, 7, 32])
def test_circles_have_one_top_wherever_one_enters(tmp_path, length):
    """u00 invited u01 and so on, and the last invited u00; all assigned but the first, and x hangs below the last."""
    names = [f"u{number:02}" for number in range(length)]
    links = {after: name for name, after in zip(names, [*names[1:], names[0]], strict=True)} | {"x": names[-1]}
    shop = open_shop(invited(tmp_path, links, {name: (name, "test", NOON) for name in [*names[1:], "x"]}))
    assert clusters(shop) == {"u01": sorted({*names, "x"} - {"u01"})}


def test_a_chain_is_followed_over_64_steps(tmp_path):
    names = [f"u{number:02}" for number in range(65)]
    links = {after: name for name, after in pairwise(names)}
    shop = open_shop(invited(tmp_path, links, {"u00": ("u00", "test", NOON), "u40": ("u40", "test", NOON)}))
    assert clusters(shop) == {"u00": names[1:]}


@pytest.mark.parametrize("way", WAYS)
def test_an_experiment_of_nobody_counts_nothing(tmp_path, way):
    shop = opened(way, invited(tmp_path, {"b": "a"}, {"a": ("a", "test", NOON)}))
    none = shop.experiment_assignments.filter(shop.experiment_assignments.variant == "absent")
    period = shop.period(None, None, "UTC")
    units = assigned_units(none, period)
    assert counts(shop, users_in_two_arms(none)) == {"crossed_user_count": 0, "user_count": 0}
    found = counts(shop, crossings(none, units, own_members(units)))
    assert set(found.values()) == {0}


@pytest.mark.parametrize("way", WAYS)
def test_reach_of_a_coupon_worked_by_hand(tmp_path, way):
    """Coupon c in arm test: a has it twice and used one, b had it before the assignment, d used one on an unpaid order.

    e used two on one paid order, 2 and 1 off. f of the control got it all the
    same, used without a word on its discount: the order's 7. g was never granted; h has another coupon.
    """
    arms = {user: "control" if user in "fg" else "test" for user in "abdefgh"}
    grants = [
        ("c", "a", NOON, "o1", 3.0),
        ("c", "a", NOON, None, None),
        ("c", "b", NOON - DAY, "o2", 3.0),
        ("c", "d", NOON + DAY, "o3", 3.0),
        ("c", "e", NOON + DAY, "o4", 2.0),
        ("c", "e", NOON + DAY, "o4", 1.0),
        ("c", "f", NOON + DAY, "o5", None),
        ("other", "h", NOON + DAY, "o6", 9.0),
    ]
    orders = [(f"o{number}", user, NOON, NOON + 23 * HOUR, 50.0, 7.0) for number, user in enumerate("abdefh", start=1)]
    orders[2] = (*orders[2][:3], None, *orders[2][4:])
    folder = write_shop(
        tmp_path,
        orders=frame("order_id user_id submitted_at paid_at gross_amount coupon_discount_amount", *orders),
        coupon_grants=frame(
            "grant_id coupon_id user_id granted_at order_id discount_amount",
            *((number, *one) for number, one in enumerate(grants)),
        ),
        experiment_assignments=frame(
            "experiment_id user_id variant assigned_at", *(("x", user, arm, NOON) for user, arm in arms.items())
        ),
    )
    shop = opened(way, folder)
    period = shop.period(None, None, "UTC")
    units = assigned_units(shop.experiment_assignments, period)
    grants = shop.coupon_grants
    uses = coupon_uses(grants.filter(grants.coupon_id == "c"), paid_orders(shop.orders))
    found = shop.collect(coupon_reach(units, uses, 2))
    expected = frame(
        "variant unit_count granted_unit_count used_unit_count coupon_order_count discount_amount",
        ("control", 2, 1, 1, 1, 7.0),
        ("test", 5, 3, 2, 2, 6.0),
    )
    found = found.sort_values("variant").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    # grants on the assignment sharp count, those a day later no more; orders count for who paid within a day, b's o2
    # too; data end on 12 March, before two days have elapsed
    found = shop.collect(coupon_reach(units, uses, 1)).set_index("variant").sort_index()
    assert found["granted_unit_count"].to_list() == [0, 1]
    within = shop.collect(coupon_orders_within(own_members(units), uses, period, (1, 2, 3))).set_index("variant")
    assert within.loc["test"].to_list() == [3, 0, 0]
    assert within.loc["control"].to_list() == [1, 0, 0]
