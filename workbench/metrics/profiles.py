"""How groups of users are made up: counts by what users are, and by what buyers bought."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import UNKNOWN
from workbench.metrics.population import user_key

OTHER = "(other)"
MOST_VALUES = 50
"""As many values of a dimension are told apart, the most frequent ones; a column of free text does not fill the memory."""


def user_cells(members: ir.Table, users: ir.Table, columns: Sequence[str]) -> ir.Table:
    """How many members of each quadrant have which values together?

    Parameters
    ----------
    members
        One row per user: the key (``user_key``, or ``user_id`` alone) and ``quadrant``.
    users
        Users of the shop, keyed alike.
    columns
        Columns of users.

    Returns
    -------
    ibis.Table
        One row per quadrant and combination of ``columns`` (null, and users that ``users`` lacks: ``(unknown)``):
        user_count.
    """
    key = user_key(members, users)
    known = users.select(key, **{name: users[name].cast("string") for name in columns})
    joined = members.select(key, "quadrant").left_join(known, key)
    told = joined.select("quadrant", **{name: joined[name].fill_null(UNKNOWN) for name in columns})
    return told.group_by(["quadrant", *columns]).aggregate(user_count=_.count())


def favourite_categories(lines: ir.Table, orders: ir.Table) -> ir.Table:
    """In which category did each buyer buy most often?

    Parameters
    ----------
    lines
        order_id and category, from ``metrics.coupons.categorised_lines``.
    orders
        The orders that count, with the key.

    Returns
    -------
    ibis.Table
        One row per buyer with lines: the key, category (of the most orders, then of the most lines, then the first by name).
    """
    key = user_key(orders)
    joined = lines.select("order_id", "category").inner_join(orders.select("order_id", key), "order_id")
    by_order = joined.group_by([key, "category", "order_id"]).aggregate(lines=_.count())
    counted = by_order.group_by([key, "category"]).aggregate(orders=_.count(), lines=_.lines.sum())
    order = [counted.orders.desc(), counted.lines.desc(), counted.category]
    placed = counted.mutate(place=ibis.row_number().over(group_by=key, order_by=order))
    return placed.filter(placed.place == 0).select(key, "category")


def coupon_users(orders: ir.Table, grants: ir.Table | None) -> ir.Table:
    """Which buyers used a coupon?

    Parameters
    ----------
    orders
        The orders that count, with the key.
    grants
        Coupons given to users; None: a coupon is seen by what it took off the order alone.

    Returns
    -------
    ibis.Table
        One row per buyer: the key, coupon_use (yes: an order with a coupon's discount, or on which a coupon was
        redeemed; no).
    """
    key = user_key(orders)
    marked = orders.select(key, "order_id", uses=(orders.coupon_discount_amount > 0).fill_null(False).cast("int64"))
    if grants is not None:
        redeemed = grants.filter(grants.order_id.notnull()).select(redeemed_id=grants.order_id).distinct()
        joined = marked.left_join(redeemed, marked.order_id == redeemed.redeemed_id)
        uses = ibis.greatest(joined.uses, joined.redeemed_id.notnull().cast("int64"))
        marked = joined.select(key, uses=uses)
    by_user = marked.group_by(key).aggregate(uses=_.uses.max())
    return by_user.select(key, coupon_use=ibis.cases((by_user.uses > 0, "yes"), else_="no"))


def buyer_cells(members: ir.Table, described: Sequence[ir.Table], orders: ir.Table) -> ir.Table:
    """How many members of each quadrant with an order have which values together?

    Parameters
    ----------
    members
        As for ``user_cells``.
    described
        From ``favourite_categories``, ``coupon_users``: the key and one column each.
    orders
        The orders that count, with the key.

    Returns
    -------
    ibis.Table
        One row per quadrant and combination of the columns (buyers without one: ``(unknown)``): user_count.
    """
    key = user_key(members, orders)
    buyers = orders.filter(orders.user_id.notnull()).select(key).distinct()
    told = buyers.inner_join(members.select(key, "quadrant"), key)
    names = []
    for table in described:
        (name,) = (one for one in table.columns if one != key)
        names.append(name)
        joined = told.left_join(table, key)
        kept = [one for one in told.columns if one != name]
        told = joined.select(*kept, **{name: joined[name].cast("string").fill_null(UNKNOWN)})
    return told.group_by(["quadrant", *names]).aggregate(user_count=_.count())


def value_counts(cells: ir.Table, dimensions: Sequence[str], most: int = MOST_VALUES) -> ir.Table:
    """How many members of each quadrant have each value of each dimension?

    Parameters
    ----------
    cells
        From ``user_cells`` or ``buyer_cells``.
    dimensions
        Columns of it.
    most
        Rarer values are one, ``(other)``; ``(unknown)`` never is.

    Returns
    -------
    ibis.Table
        One row per dimension, value and quadrant with a user: user_count; value_count, how many values the dimension has.
    """
    parts = []
    for name in dimensions:
        # each column under a name of its own: ClickHouse takes a new column for the old one of that name
        summed = cells.group_by(["quadrant", name]).aggregate(users=_.user_count.sum().cast("int64"))
        summed = summed.rename(label=name)
        by_label = summed.group_by("label").aggregate(all_users=_.users.sum())
        order = [by_label.all_users.desc(), by_label.label]
        ranked = by_label.mutate(place=ibis.row_number().over(order_by=order), labels=_.count().over(ibis.window()))
        is_kept = (ranked.place < most) | (ranked.label == UNKNOWN)
        named = ranked.select("label", "labels", value=ibis.cases((is_kept, ranked.label), else_=OTHER))
        joined = summed.inner_join(named, "label")
        counted = joined.group_by(["quadrant", "value"]).aggregate(
            user_count=joined.users.sum().cast("int64"), value_count=joined["labels"].max().cast("int64")
        )
        parts.append(counted.mutate(dimension=ibis.literal(name)))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]
