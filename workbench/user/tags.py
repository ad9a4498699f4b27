"""What marks the users of a shop, how many bear each mark, and what they are worth."""

from dataclasses import dataclass, field

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from workbench.metrics.population import user_key
from workbench.metrics.tags import (
    WITH_COUPON,
    acquisition_channel,
    base_shares,
    bought,
    category_choices,
    choice_agreement,
    choice_counts,
    coupon_choices,
    coupon_sensitivity,
    preferred_category,
    price_bands_of_users,
    price_cuts,
    price_indices,
    price_levels,
    tag_sums,
    tagged_members,
    with_category,
)
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, Floats, effective_counts, ratio_by_bucket

TAGS = ("category", "coupon_sensitivity", "price_band", "channel")
COLUMNS = [
    "tag",
    "value",
    "user_count",
    "share",
    "order_count",
    "paid_amount",
    "paid_amount_per_user",
    "ci_lower",
    "ci_upper",
]
STRENGTHS = (1.0, 1_000_000.0)
_BUCKETS = 256


@dataclass(frozen=True)
class TagsFound:
    """Tags of members.

    Attributes
    ----------
    tagged
        Lazy: the members with one text column per tag of ``names``, never null.
    table
        ``tags``: one row per tag and value, by tag in the order of ``TAGS``, most users first: user_count, share (of
        all members),
        order_count, paid_amount, paid_amount_per_user with ci_lower and ci_upper (empty below 50 effective buyers);
        ``(no orders)`` are members without a paid order in the window, ``(none)`` buyers whom the tag does not mark.
    names
        Tags that the source can give.
    strengths
        Orders of average behaviour that the prior of a tag counts for, learnt from how alike a user's own orders are.
    price_cuts
        Price index below which a user is ``low``, and above which ``high`` (1: as expensive as usual); None without
        prices.
    categories
        Categories bought in the window, preferred by someone or not.
    """

    tagged: ir.Table = field(repr=False)
    table: pd.DataFrame
    names: tuple[str, ...]
    strengths: dict[str, float]
    price_cuts: tuple[float, float] | None
    categories: tuple[str, ...] = ()


def read_tags(
    shop: Shop,
    members: ir.Table,
    start_ms: int,
    end_ms: int,
    *,
    reference: tuple[int, int] | None = None,
    confidence_level: float = 0.95,
) -> TagsFound:
    """Which category, coupons, prices and channel mark each user?

    Parameters
    ----------
    shop
        ``orders`` and ``order_lines`` give category and price band, ``coupon_discount_amount`` the sensitivity to
        coupons, ``users`` the channel; what is missing is left out.
    members
        One row per user: user_id, user_bucket, order_count, paid_amount of the window; user_key, where it is there.
    start_ms, end_ms
        The window whose paid orders count, UTC milliseconds.
    reference
        Window of price levels and cuts, so that bands stay the same from one report to the next; None: the window.
    confidence_level
        Coverage of the intervals.
    """
    lazy: dict[str, ir.Table] = {}
    strengths: dict[str, float] = {}
    categories: tuple[str, ...] = ()
    cuts = None
    has_key = "user_key" in members.columns
    lines = _lines(shop)
    if shop.has("orders") and (lines is not None or shop.has("orders", "coupon_discount_amount")):
        every = shop.keyed(shop.orders) if has_key else shop.orders
        orders = shop.hold("tag_orders", bought(every, members, start_ms, end_ms))
        if lines is not None and _has_category(shop):
            choices = shop.hold("tag_categories", category_choices(orders, lines))
            counts = shop.hold("tag_category_counts", choice_counts(choices))
            base, strength, shares = _base(shop, choices, counts)
            strengths["category"], categories = strength, tuple(sorted(shares))
            lazy["category"] = shop.hold("tag_category", preferred_category(counts, base, strength))
        if shop.has("orders", "coupon_discount_amount"):
            choices = coupon_choices(orders)
            counts = shop.hold("tag_coupon_counts", choice_counts(choices))
            _lazy, strength, shares = _base(shop, choices, counts)
            strengths["coupon_sensitivity"] = strength
            with_coupon = shares.get(WITH_COUPON, 0.0)
            lazy["coupon_sensitivity"] = shop.hold("tag_coupon", coupon_sensitivity(counts, with_coupon, strength))
        if lines is not None and shop.has("order_lines", "quantity", "amount"):
            before = orders
            if reference is not None and reference != (start_ms, end_ms):
                everyone = every.filter(every.user_id.notnull()).select(user_key(every)).distinct()
                before = shop.hold("tag_reference", bought(every, everyone, *reference))
            levels = shop.hold("tag_price_levels", price_levels(lines, before))
            found = shop.collect(price_cuts(price_indices(lines, before, levels))).iloc[0]
            if found["user_count"] and not pd.isna(found["low_cut"]):
                low, high = int(found["low_cut"]), int(found["high_cut"])
                indices = price_indices(lines, orders, levels)
                lazy["price_band"] = shop.hold("tag_price_band", price_bands_of_users(indices, low, high))
                cuts = (low / 1e6, high / 1e6)
    if shop.has("users", "channel"):
        lazy["channel"] = acquisition_channel(shop.keyed(shop.users) if has_key else shop.users)
    names = tuple(one for one in TAGS if one in lazy)
    values = {name: lazy[name] for name in names}
    tagged = tagged_members(members, values)
    sums = shop.collect(tag_sums(members, values)) if names else pd.DataFrame()
    return TagsFound(tagged, tag_rows(sums, names, confidence_level), names, strengths, cuts, categories)


def _lines(shop: Shop) -> ir.Table | None:
    if not shop.has("order_lines"):
        return None
    return with_category(shop.order_lines, shop.products if shop.has("products", "category") else None)


def _has_category(shop: Shop) -> bool:
    return shop.has("order_lines", "category") or shop.has("products", "category")


def _base(shop: Shop, choices: ir.Table, counts: ir.Table) -> tuple[ir.Table, float, dict[str, float]]:
    """Base shares, lazy and by value, and the strength of the prior around them."""
    base = shop.hold("tag_base", base_shares(counts))
    shares = shop.collect(base)
    known = dict(zip(shares["value"].astype(str), shares["base_share"].astype(float), strict=True))
    sums = shop.collect(choice_agreement(choices, counts)).iloc[0]
    strength = prior_strength(
        float(sums["user_count"] or 0),
        float(sums["square_sum"] or 0),
        float(sums["pair_user_count"] or 0),
        float(sums["agreement_sum"] or 0),
        np.array(list(known.values())),
    )
    return base, strength, known


def prior_strength(users: float, square_sum: float, pair_users: float, agreement_sum: float, base: Floats) -> float:
    """For how many orders does the average behaviour count beside a user's own?

    Parameters
    ----------
    users, square_sum
        Users, and the sum over them of the sum of squares of their shares.
    pair_users, agreement_sum
        Users with two orders or more, and the sum over them of the part of their pairs of orders that agree.
    base
        Base shares, shape (values,).

    Returns
    -------
    float
        The strength a of a Dirichlet prior, between ``STRENGTHS``: the upper one, with which nobody is told from the
        average, where users' own orders agree no more than those of different users.

    Notes
    -----
    Under a Dirichlet distribution of users' shares around the base q, two orders of one user agree with probability
    S + (1 - S) / (a + 1), S = sum q², that of two users. The moment estimator; S from pairs of different users.

    Examples
    --------
    >>> prior_strength(100.0, 100.0, 100.0, 60.0, np.array([0.5, 0.5])) > 1
    True
    """
    if users < 2 or pair_users < 1:
        return STRENGTHS[1]
    between = (users**2 * float((base**2).sum()) - square_sum) / (users * (users - 1))
    if not 0 < between < 1:
        return STRENGTHS[1]
    correlation = (agreement_sum / pair_users - between) / (1 - between)
    if correlation <= 0:
        return STRENGTHS[1]
    strength = (1 - correlation) / correlation
    # the same on every engine, though they add up in different orders
    return float(np.clip(float(f"{strength:.6g}"), *STRENGTHS))


def tag_rows(sums: pd.DataFrame, names: tuple[str, ...], confidence_level: float) -> pd.DataFrame:
    """The table ``tags`` from the sums by bucket of ``metrics.tags.tag_sums``."""
    parts = []
    for name in names:
        table = _rows_of_tag(sums[sums["tag"] == name], confidence_level)
        parts.append(table.assign(tag=name).sort_values(["user_count", "value"], ascending=[False, True]))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _rows_of_tag(mine: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """One row per value of one tag."""
    values, code = np.unique(mine["value"].to_numpy(dtype=str), return_inverse=True)
    place = (mine["user_bucket"].to_numpy(dtype=int), code)

    def by_bucket(column: str) -> Floats:
        found = np.zeros((_BUCKETS, len(values)))
        np.add.at(found, place, np.nan_to_num(mine[column].to_numpy(dtype=float)))
        return found

    users, paid = by_bucket("user_count"), by_bucket("paid_amount")
    each = ratio_by_bucket(paid, users, confidence_level=confidence_level, is_share=False)
    few = effective_counts(paid.sum(axis=0), by_bucket("paid_squares").sum(axis=0)) < MINIMUM_EFFECTIVE
    amounts = {
        "paid_amount": paid.sum(axis=0),
        "paid_amount_per_user": each.estimate,
        "ci_lower": np.where(few, np.nan, each.lower),
        "ci_upper": np.where(few, np.nan, each.upper),
    }
    if not mine["paid_amount"].notna().any():
        amounts = dict.fromkeys(amounts, np.full(len(values), np.nan))
    return pd.DataFrame(
        {
            "value": values,
            "user_count": users.sum(axis=0).astype(np.int64),
            "share": users.sum(axis=0) / max(users.sum(), 1),
            "order_count": by_bucket("order_count").sum(axis=0).astype(np.int64),
            **amounts,
        }
    )
