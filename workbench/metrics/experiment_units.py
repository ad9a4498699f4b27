"""Who is compared in an experiment: its units, whose orders count for a unit, and whom a coupon reached."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.period import DAY_MS, Period

_DOUBLINGS = 6
"""Chains of inviters are followed over 2 to this power steps."""


def assigned_units(assignments: ir.Table, period: Period) -> ir.Table:
    """Which users are compared?

    Parameters
    ----------
    assignments
        Assignments of one experiment.
    period
        In which the first assignment lies.

    Returns
    -------
    ibis.Table
        One row per user assigned in the period, and to one variant only over all the data: unit_id, variant,
        assigned_ms (the earliest).
    """
    by_user = _by_user(assignments)
    single = by_user.filter(
        by_user.variant == by_user.last_variant,
        by_user.assigned_ms >= period.start_ms,
        by_user.assigned_ms < period.end_ms,
    )
    return single.select("unit_id", "variant", "assigned_ms")


def _by_user(assignments: ir.Table) -> ir.Table:
    """One row per user: the first and the last of the variants by name (equal: it is one), the first instant."""
    return assignments.group_by(unit_id=assignments.user_id).aggregate(
        variant=_.variant.min(),
        last_variant=_.variant.max(),
        assigned_ms=_.assigned_ms.min(),
    )


def users_in_two_arms(assignments: ir.Table) -> ir.Table:
    """How many users of an experiment are in more than one arm?

    Parameters
    ----------
    assignments
        Assignments of one experiment, over all the data.

    Returns
    -------
    ibis.Table
        One row: crossed_user_count, user_count (0 where there are no assignments).
    """
    by_user = _by_user(assignments)
    return by_user.aggregate(
        crossed_user_count=(by_user.variant != by_user.last_variant).cast("int64").sum().fill_null(0),
        user_count=by_user.count(),
    )


def own_members(units: ir.Table) -> ir.Table:
    """Each unit is a user, and only the own orders count.

    Returns
    -------
    ibis.Table
        One row per unit: its columns, member_id (the unit), since_ms (the assignment).
    """
    return units.mutate(member_id=units.unit_id, since_ms=units.assigned_ms)


def inviter_units(assignments: ir.Table, users: ir.Table, period: Period) -> ir.Table:
    """Which inviters are compared, where users invite each other?

    Parameters
    ----------
    assignments
        Assignments of one experiment.
    users
        Users with their ``inviter_id``.
    period
        In which the inviter's first assignment lies.

    Returns
    -------
    ibis.Table
        The rows of ``assigned_units`` of users above whom nobody in the chain of inviters is assigned.

    Notes
    -----
    An assigned user below another assigned one belongs to that one's cluster, also where the upper one is left out
    because of two arms or of an assignment outside the period: what the invitee does is not independent of it. Users
    in between without an assignment only hand the chain on. Where inviters form a circle, its assigned user with the
    smallest id is the top. Chains are followed over 64 steps, circles over 32 users.
    """
    units = assigned_units(assignments, period)
    roots = _roots(assignments, users)
    joined = units.left_join(roots, units.unit_id == roots.user_id)
    top = joined.root_id.isnull() | (joined.root_id == joined.unit_id)
    return joined.filter(top).select("unit_id", "variant", "assigned_ms")


def inviter_members(units: ir.Table, users: ir.Table, assignments: ir.Table) -> ir.Table:
    """Whose orders count for an inviter?

    Parameters
    ----------
    units
        From ``inviter_units``.
    users, assignments
        Those from which the units come.

    Returns
    -------
    ibis.Table
        One row per unit and member: the columns of the unit, member_id, since_ms. Members are the unit itself since
        its assignment, and every user below it in the chain of inviters, at any depth, who was first
        seen at or after the unit's assignment, since then. A user is a member of one unit at most.
    """
    roots = _roots(assignments, users)
    seen = users.select(seen_id=users.user_id, since_ms=users.first_seen_ms)
    below = roots.inner_join(seen, roots.user_id == seen.seen_id)
    above = units.view()
    joined = below.inner_join(above, below.root_id == above.unit_id)
    later = joined.filter(joined.user_id != joined.unit_id, joined.since_ms >= joined.assigned_ms)
    invitees = later.select(*units.columns, member_id=later.user_id, since_ms=later.since_ms)
    return ibis.union(own_members(units), invitees)


def _roots(assignments: ir.Table, users: ir.Table) -> ir.Table:
    """One row per invited user: user_id, root_id (the topmost assigned user above; null: there is none).

    Every round joins the table with itself and doubles the length of the chain that a row has seen: ``above`` is the
    user at its end, ``top`` the last assigned one in it, ``low`` the assigned one with the smallest id. A chain that
    has not ended after all rounds runs in a circle, and ``low`` of its later half is the same for all in the circle.
    Rows are distinct as they are; saying so makes Ibis name the table of each round once in the query, where it would
    otherwise write it out twice, and 64 times in all.
    """
    assigned = assignments.select(assigned_id=assignments.user_id).distinct()
    invited = users.filter(users.inviter_id.notnull(), users.inviter_id != users.user_id)
    links = invited.select("user_id", above=invited.inviter_id)
    marked = links.left_join(assigned, links.above == assigned.assigned_id)
    chain = marked.select("user_id", "above", top=marked.assigned_id, low=marked.assigned_id, tail=marked.assigned_id)
    for _round in range(_DOUBLINGS):
        ahead = chain.view()
        joined = chain.left_join(ahead, chain.above == ahead.user_id, rname="ahead_{name}")
        chain = joined.select(
            "user_id",
            above=joined.ahead_above,
            top=ibis.coalesce(joined.ahead_top, joined.top),
            low=ibis.coalesce(ibis.least(joined.low, joined.ahead_low), joined.low, joined.ahead_low),
            tail=joined.ahead_low,
        ).distinct()
    return chain.select("user_id", root_id=chain.above.isnull().ifelse(chain.top, ibis.coalesce(chain.tail, chain.top)))


def crossings(assignments: ir.Table, units: ir.Table, members: ir.Table) -> ir.Table:
    """How many invitees were assigned to another arm than the inviter for whom they count?

    Returns
    -------
    ibis.Table
        One row: invitee_count (members beside the units), assigned_invitee_count (of them with an assignment of
        their own), crossed_invitee_count (of those with one to another arm than the unit's).
    """
    own = _by_user(assignments).select(assigned_id=_.unit_id, first_variant=_.variant, last_variant=_.last_variant)
    arms = units.select(inviter_id=units.unit_id, arm=units.variant).view()
    invitees = members.filter(members.member_id != members.unit_id).select("unit_id", "member_id")
    joined = invitees.inner_join(arms, invitees.unit_id == arms.inviter_id)
    joined = joined.left_join(own, joined.member_id == own.assigned_id)
    crossed = (joined.first_variant != joined.arm) | (joined.last_variant != joined.arm)
    return joined.aggregate(
        invitee_count=joined.count(),
        assigned_invitee_count=joined.assigned_id.notnull().cast("int64").sum().fill_null(0),
        crossed_invitee_count=crossed.fill_null(False).cast("int64").sum().fill_null(0),
    )


def coupon_uses(grants: ir.Table, paid: ir.Table) -> ir.Table:
    """Which grants were used, on which paid order?

    Parameters
    ----------
    grants
        Coupon grants.
    paid
        Paid orders.

    Returns
    -------
    ibis.Table
        One row per grant: coupon_id, holder_id, granted_ms, order_id, discount; is_used (the order was paid), and of
        that order buyer_id, paid_ms and order_discount, its coupon discount.
    """
    known = paid.select(
        paid_order_id=paid.order_id,
        buyer_id=paid.user_id,
        paid_ms=paid.paid_ms,
        order_discount=paid.coupon_discount_amount,
    )
    joined = grants.left_join(known, grants.order_id == known.paid_order_id)
    return joined.select(
        "coupon_id",
        "granted_ms",
        "order_id",
        "buyer_id",
        "paid_ms",
        "order_discount",
        holder_id=joined.user_id,
        discount=joined.discount_amount,
        is_used=joined.paid_order_id.notnull(),
    )


def coupon_reach(units: ir.Table, uses: ir.Table, days: int) -> ir.Table:
    """How many units of each arm got the coupon under test, and how many used it?

    Parameters
    ----------
    units
        From ``assigned_units`` or ``inviter_units``.
    uses
        From ``coupon_uses``, of the coupon under test; grants given to a unit in so many days from its assignment count.
    days
        Length of the window after the assignment.

    Returns
    -------
    ibis.Table
        One row per variant: unit_count, granted_unit_count, used_unit_count, coupon_order_count, discount_amount (what
        the grants say; of an order on which they do not say it, its coupon discount).
    """
    given = uses.inner_join(units, uses.holder_id == units.unit_id)
    given = given.filter(given.granted_ms >= given.assigned_ms, given.granted_ms < given.assigned_ms + days * DAY_MS)
    by_order = given.group_by(["variant", "unit_id", "order_id"]).aggregate(
        is_used=_.is_used.max(), discount=_.discount.sum(), order_discount=_.order_discount.max()
    )
    holders = by_order.group_by(["variant", "unit_id"]).aggregate(
        orders=_.is_used.cast("int64").sum(),
        discount=ibis.coalesce(_.discount, _.order_discount).sum(where=_.is_used),
    )
    reached = holders.group_by("variant").aggregate(
        granted_unit_count=_.count(),
        used_unit_count=(_.orders > 0).cast("int64").sum(),
        coupon_order_count=_.orders.sum(),
        discount_amount=_.discount.cast("float64").sum(),
    )
    arms = units.group_by("variant").aggregate(unit_count=_.count())
    counts = ("granted_unit_count", "used_unit_count", "coupon_order_count")
    joined = arms.left_join(reached, "variant")
    return joined.select(
        "variant",
        "unit_count",
        **{name: joined[name].fill_null(0) for name in counts},
        discount_amount=joined.discount_amount.fill_null(0.0),
    )


def coupon_orders_within(members: ir.Table, uses: ir.Table, period: Period, days: Sequence[int]) -> ir.Table:
    """How many paid orders carried the coupon in the windows of the units' outcomes?

    Parameters
    ----------
    members
        As for ``experiments.unit_outcomes``.
    uses
        From ``coupon_uses``, of the coupon under test.
    period
        Gives the end of the data.
    days
        Lengths of the windows after the assignment.

    Returns
    -------
    ibis.Table
        One row per variant that has such an order: for each of ``days`` coupon_order_count_<d>, over units whose window
        has elapsed.
    """
    bought = uses.filter(uses.is_used).select("order_id", "buyer_id", "paid_ms").distinct()
    met = bought.inner_join(members, bought.buyer_id == members.member_id)
    met = met.filter(met.paid_ms >= met.since_ms)
    counts = {}
    for one in days:
        end = met.assigned_ms + one * DAY_MS
        counts[f"coupon_order_count_{one}"] = met.count(where=(met.paid_ms < end) & (end <= period.data_end_ms))
    return met.group_by("variant").aggregate(**counts)
