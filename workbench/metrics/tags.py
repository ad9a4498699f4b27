"""What marks a user: the category preferred, use of coupons, price band, channel.

Users are told apart by ``user_key`` where the tables carry it, which engines group and join faster, else by ``user_id``; this
is called the key below.
"""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.contract import UNKNOWN
from workbench.metrics.population import user_key

LIFT = 1.5
"""A category is preferred from this many times its base share on, after shrinkage."""
LEAST_ORDERS = 2
"""Orders with the category, or with a coupon, from which a user may be tagged for it."""
ODDS = 2.0
"""A user is sensitive to coupons from this many times the base odds on, and indifferent below their reverse."""
HIGH, NORMAL, NONE = "high", "normal", "none"
LOW, MIDDLE = "low", "middle"
NO_ORDERS, NO_TAG = "(no orders)", "(none)"
"""Of users without a paid order in the window, and of buyers whom a tag does not mark."""
WITH_COUPON, WITHOUT_COUPON = "coupon", "none"
_MILLION = 1_000_000


def bought(orders: ir.Table, members: ir.Table, start_ms: int, end_ms: int) -> ir.Table:
    """Paid orders of members in ``start_ms <= paid < end_ms``, one row per order: the key, order_id, has_coupon."""
    key = user_key(orders, members)
    inside = orders.filter(orders.paid_ms >= start_ms, orders.paid_ms < end_ms, orders.user_id.notnull())
    has_coupon = (inside.coupon_discount_amount > 0).fill_null(False)
    return inside.select(key, "order_id", has_coupon=has_coupon).semi_join(members.select(key), key)


def with_category(lines: ir.Table, products: ir.Table | None) -> ir.Table:
    """Order lines with the category of the line, else that of the product (as text); one row per line.

    Returns
    -------
    ibis.Table
        order_id, category (null: not known), quantity, amount.
    """
    own = lines.category.cast("string").nullif("")
    named = lines.select("order_id", "product_id", "quantity", category=own, amount=lines.amount.cast("float64"))
    if products is None:
        return named.drop("product_id")
    known = products.select(
        product_key=products.product_id.cast("string"), other=products.category.cast("string").nullif("")
    )
    named = named.mutate(product_id=named.product_id.cast("string"))
    joined = named.left_join(known, named.product_id == known.product_key)
    category = ibis.coalesce(joined.category, joined.other)
    return joined.select("order_id", "quantity", "amount", category=category)


def category_choices(orders: ir.Table, lines: ir.Table) -> ir.Table:
    """Which categories stand in which order? Several lines of one category in one order are one choice.

    Parameters
    ----------
    orders
        From ``bought``.
    lines
        From ``with_category``.

    Returns
    -------
    ibis.Table
        One row per order and category: the key, order_id, value.
    """
    key = user_key(orders)
    named = lines.filter(lines.category.notnull()).select("order_id", value=lines.category)
    return named.inner_join(orders.select("order_id", key), "order_id").distinct().select(key, "order_id", "value")


def coupon_choices(orders: ir.Table) -> ir.Table:
    """Was a coupon used? One row per order of ``bought``: the key, order_id, value (``coupon`` or ``none``)."""
    return orders.select(user_key(orders), "order_id", value=orders.has_coupon.ifelse(WITH_COUPON, WITHOUT_COUPON))


def choice_counts(choices: ir.Table) -> ir.Table:
    """How often did each user choose each value?

    Parameters
    ----------
    choices
        One row per order and value.

    Returns
    -------
    ibis.Table
        One row per key and value: choice_count, total_count (over all values of the user).
    """
    key = user_key(choices)
    counted = choices.group_by([key, "value"]).aggregate(choice_count=_.count())
    return counted.mutate(total_count=counted.choice_count.sum().over(ibis.window(group_by=key)))


def base_shares(counts: ir.Table) -> ir.Table:
    """Base share of each value: the mean of the users' own shares, so that one large buyer counts as one user.

    Returns
    -------
    ibis.Table
        One row per value: base_share (they sum to 1).
    """
    share = counts.choice_count.cast("float64") / counts.total_count.cast("float64")
    by_value = counts.select("value", share=share).group_by("value").aggregate(shares=_.share.sum())
    return by_value.select("value", base_share=by_value.shares / by_value.shares.sum().over(ibis.window()))


def choice_agreement(choices: ir.Table, counts: ir.Table) -> ir.Table:
    """How alike are a user's own orders? What ``stats`` of the prior's strength need.

    Returns
    -------
    ibis.Table
        One row: user_count; square_sum (over users, of the sum of squares of their shares); pair_user_count (users with
        two orders or more) and agreement_sum (over these, the part of pairs of choices from two different orders that
        are of one value).
    """
    share = counts.choice_count.cast("float64") / counts.total_count.cast("float64")
    numbered = counts.mutate(square=share * share, same=counts.choice_count * (counts.choice_count - 1))
    key = user_key(choices, counts)
    by_user = numbered.group_by(key).aggregate(total=_.total_count.max(), square=_.square.sum(), same=_.same.sum())
    by_order = choices.group_by([key, "order_id"]).aggregate(size=_.count())
    within = by_order.mutate(square=by_order["size"] * by_order["size"]).group_by(key).aggregate(within=_.square.sum())
    users = by_user.inner_join(within, key)
    pairs = users.total * users.total - users.within
    agreement = users.same.cast("float64") / pairs.cast("float64").nullif(0.0)
    told = users.select(square=users.square, agreement=agreement)
    return told.aggregate(
        user_count=told.count(),
        square_sum=told.square.sum().fill_null(0.0),
        pair_user_count=told.agreement.count(),
        agreement_sum=told.agreement.sum().fill_null(0.0),
    )


def preferred_category(counts: ir.Table, base: ir.Table, strength: float) -> ir.Table:
    """Which category does a user buy more than others do?

    Parameters
    ----------
    counts, base
        From ``choice_counts`` and ``base_shares``.
    strength
        Orders' worth of average behaviour that are added to each user's own.

    Returns
    -------
    ibis.Table
        One row per user with a preference: the key, value. Of several the one with the highest lift, then the more
        frequent, then the first by name.

    Notes
    -----
    The share of category c is the posterior mean (n_c + a q_c) / (n + a) under a Dirichlet prior of strength a around
    the base shares q. Preferred is c where that share is at least ``LIFT`` times q_c and n_c at least ``LEAST_ORDERS``.
    """
    met = counts.filter(counts.choice_count >= LEAST_ORDERS).inner_join(base, "value")
    prior = _float(strength)
    posterior = (met.choice_count.cast("float64") + prior * met.base_share) / (met.total_count.cast("float64") + prior)
    lifted = met.mutate(lift=(posterior / met.base_share * _MILLION).round().cast("int64"))
    lifted = lifted.filter(lifted.lift >= round(LIFT * _MILLION))
    key = user_key(counts)
    order = [lifted.lift.desc(), lifted.choice_count.desc(), lifted.value.asc()]
    ranked = lifted.mutate(place=ibis.row_number().over(ibis.window(group_by=key, order_by=order)))
    return ranked.filter(ranked.place == 0).select(key, "value")


def coupon_sensitivity(counts: ir.Table, base_share: float, strength: float) -> ir.Table:
    """Does a user buy with coupons more than others do, or never?

    Parameters
    ----------
    counts
        From ``choice_counts`` of ``coupon_choices``.
    base_share
        Mean share of orders with a coupon.
    strength
        Orders' worth of average behaviour that are added to each user's own.

    Returns
    -------
    ibis.Table
        One row per buyer: the key, value: ``high`` where the posterior odds of a coupon are at least ``ODDS`` times the
        base odds, with ``LEAST_ORDERS`` such orders; ``none`` where no order had one and the odds are at most one
        ``ODDS``-th; else ``normal``.
    """
    used = (counts.value == WITH_COUPON).ifelse(counts.choice_count, 0)
    key = user_key(counts)
    users = counts.mutate(used=used).group_by(key).aggregate(used=_.used.sum(), total=_.total_count.max())
    with_it = users.used.cast("float64") + _float(strength * base_share)
    without = (users.total - users.used).cast("float64") + _float(strength * (1 - base_share))
    ratio = with_it * _float(1 - base_share) / (without * _float(base_share)).nullif(0.0)
    millionths = (ratio * _MILLION).round()  # so that the bounds are the same on every engine
    mixed = 0 < base_share < 1
    value = ibis.cases(
        ((millionths >= round(ODDS * _MILLION)) & (users.used >= LEAST_ORDERS) & mixed, HIGH),
        ((millionths <= round(_MILLION / ODDS)) & (users.used == 0) & mixed, NONE),
        else_=NORMAL,
    )
    return users.select(key, value=value)


def _float(value: float) -> ir.FloatingValue:
    """A number that DuckDB does not take for a decimal."""
    return ibis.literal(value, "float64")


def price_levels(lines: ir.Table, orders: ir.Table) -> ir.Table:
    """What does a piece cost on average? One row per category (null: lines without one): level (amount per piece)."""
    sold = _priced(lines, orders).group_by("category").aggregate(amount=_.amount.sum(), pieces=_.quantity.sum())
    return sold.filter(sold.amount > 0).select("category", level=sold.amount / sold.pieces.cast("float64"))


def price_indices(lines: ir.Table, orders: ir.Table, levels: ir.Table) -> ir.Table:
    """How expensive are a user's pieces beside others of the same category?

    Parameters
    ----------
    lines
        From ``with_category``.
    orders
        From ``bought``.
    levels
        From ``price_levels``, of the reference window; categories that it lacks are left out.

    Returns
    -------
    ibis.Table
        One row per user with priced pieces: the key, price_index, in millionths: what was paid before discounts ÷ what
        as many pieces of these categories cost at the levels.
    """
    named = levels.select("level", known=levels.category.fill_null(UNKNOWN))
    priced = _priced(lines, orders)
    priced = priced.mutate(known=priced.category.fill_null(UNKNOWN)).inner_join(named, "known")
    priced = priced.mutate(usual=priced.level * priced.quantity.cast("float64"))
    key = user_key(orders)
    users = priced.group_by(key).aggregate(amount=_.amount.sum(), usual=_.usual.sum())
    return users.select(key, price_index=(users.amount / users.usual * _MILLION).round().cast("int64"))


def price_cuts(indices: ir.Table) -> ir.Table:
    """Terciles of the price index over users, exact: one row: user_count, low_cut, high_cut (null without users).

    Without ties a third of the users lies below the lower cut, and a third above the upper one.
    """
    placed = indices.mutate(
        place=ibis.row_number().over(ibis.window(order_by=[indices.price_index, indices[user_key(indices)]])),
        users=indices.count().over(ibis.window()),
    )
    third = placed.users // 3
    return placed.aggregate(
        user_count=placed.count(),
        low_cut=placed.price_index.max(where=placed.place == third),
        high_cut=placed.price_index.max(where=placed.place == placed.users - third - 1),
    )


def price_bands_of_users(indices: ir.Table, low_cut: int, high_cut: int) -> ir.Table:
    """One row per user: the key, value: ``low`` below the lower cut, ``high`` above the upper one, else ``middle``."""
    index = indices.price_index
    return indices.select(
        user_key(indices), value=ibis.cases((index < low_cut, LOW), (index > high_cut, HIGH), else_=MIDDLE)
    )


def _priced(lines: ir.Table, orders: ir.Table) -> ir.Table:
    """Lines of these orders with pieces and an amount: the key, category, quantity, amount."""
    known = lines.filter(lines.quantity > 0, lines.amount.notnull(), lines.amount >= 0)
    key = user_key(orders)
    met = known.inner_join(orders.select("order_id", key), "order_id")
    return met.select(key, "category", "quantity", "amount")


def acquisition_channel(users: ir.Table) -> ir.Table:
    """One row per user: the key, value (the channel that acquired the user; ``(unknown)`` where it is null)."""
    return users.select(user_key(users), value=users.channel.cast("string").nullif("").fill_null(UNKNOWN))


def tagged_members(members: ir.Table, values: Mapping[str, ir.Table]) -> ir.Table:
    """Members with one column per tag; one row per member.

    Whoever has no such tag has ``(no orders)`` without a paid order in the window, else ``(none)``; without a channel
    ``(unknown)``.

    Parameters
    ----------
    members
        One row per user.
    values
        Name of the tag to the key and value, a user at most once.
    """
    table = members
    for name, tag in values.items():
        key = user_key(tag, members)
        part = tag.select(tagged_key=tag[key], found=tag.value)
        joined = table.left_join(part, table[key] == part.tagged_key)
        missing = joined.order_count.fill_null(0).cast("int64") == 0
        otherwise = ibis.literal(UNKNOWN) if name == "channel" else missing.ifelse(NO_ORDERS, NO_TAG)
        table = joined.select(*table.columns, **{name: joined.found.fill_null(otherwise)})
    return table


def tag_sums(members: ir.Table, values: Mapping[str, ir.Table]) -> ir.Table:
    """How many members have each tag, and what did they spend?

    Parameters
    ----------
    members, values
        As for ``tagged_members``; members with user_bucket, order_count and paid_amount.

    Returns
    -------
    ibis.Table
        One row per tag, value and user_bucket: user_count, order_count, paid_amount, paid_squares
        (sum over users of their squared paid amount).
    """
    keys = [name for name in ("user_key", "user_id") if name in members.columns]
    parts = []
    for name, tag in values.items():
        tagged = tagged_members(members.select(*keys, "user_bucket", "order_count", "paid_amount"), {name: tag})
        rows = tagged.select(
            "user_bucket",
            tag=ibis.literal(name),
            value=tagged[name],
            orders=tagged.order_count.cast("int64"),
            paid=tagged.paid_amount.cast("float64"),
        )
        parts.append(
            rows.group_by(["tag", "value", "user_bucket"]).aggregate(
                user_count=_.count(),
                order_count=_.orders.sum(),
                paid_amount=_.paid.sum(),
                paid_squares=(_.paid * _.paid).sum(),
            )
        )
    return parts[0] if len(parts) == 1 else ibis.union(*parts)
