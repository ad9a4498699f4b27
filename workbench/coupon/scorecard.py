"""One row per coupon, per kind, and for all: who gets and uses it, what it takes off, what it sells, who comes back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from workbench.contract import UNKNOWN
from workbench.coupon.criteria import CRITERIA, add_criteria
from workbench.errors import ParameterError, nearest
from workbench.metrics import coupons as metrics
from workbench.metrics.coupons import ALL_COUPONS, LEVELS
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import (
    MINIMUM_EFFECTIVE,
    effective_counts,
    entropy_interval,
    ratio_by_bucket,
    zero_share_upper,
)
from workbench.stats.tables import divide, repurchase_columns, shown_window

ACTIVE_WINDOW = 30
"""Days after the first use over which active days are counted."""
_KEY = ["level", "group_id"]
_SUMS = ["order_count", "gross_amount", "coupon_discount_amount", "paid_amount", "refund_amount"]
_USE = ["redeemed_count", "redemption_rate", "redemption_ci_lower", "redemption_ci_upper", "use_rate", "expired_share"]
_OF_ORDERS = [*_SUMS, "buyer_count", "new_buyer_count", "new_buyer_share", "order_share", "amount_share"]
_SUBSIDY = ["subsidy_rate", "subsidy_ci_lower", "subsidy_ci_upper", "subsidy_rate_all_orders", "subsidy_rate_net"]
_VALUE = ["average_order_value", "average_order_ci_lower", "average_order_ci_upper"]
_MONEY = [*_SUMS[1:], *_SUBSIDY, *_VALUE, "amount_share", "profit_amount"]
_CATEGORY = [
    "category_count",
    "category_entropy",
    "category_entropy_ci_lower",
    "category_entropy_ci_upper",
    "largest_category",
    "largest_category_share",
]


@dataclass(frozen=True)
class CouponTables:
    """The lazy tables that the tables of a coupon report are made from.

    Attributes
    ----------
    shop, period
        The shop and the days.
    paid
        Paid orders.
    grants
        Grants of the chosen coupons, coupon_id as text.
    coupons
        Kind and depth of each coupon; None where the source has no coupons.
    used
        One row per coupon and paid order with it, from ``metrics.coupons.followed_orders``.
    is_stacked
        Whether an order may have several coupons.
    names
        coupon_name and coupon_kind by coupon_id, of the chosen coupons.
    has_cost
        Whether the cost of orders is known, so that profit is.
    """

    shop: Shop
    period: Period
    paid: ir.Table
    grants: ir.Table
    coupons: ir.Table | None
    used: ir.Table
    is_stacked: bool
    names: pd.DataFrame
    has_cost: bool

    @property
    def by_level(self) -> ir.Table:
        """Orders by coupon, kind and all."""
        return metrics.orders_by_level(self.used, self.coupons, is_stacked=self.is_stacked)


def coupon_tables(
    shop: Shop, period: Period, coupon_ids: Sequence[str] | None = None, margin_rate: float | None = None
) -> CouponTables:
    """Choose the coupons and describe them.

    Raises
    ------
    ParameterError
        If ``coupon_ids`` is empty, names one twice, or names one that the shop does not have.
    """
    paid, names = paid_orders(shop.orders, margin_rate), coupon_names(shop)
    grants = shop.coupon_grants.mutate(coupon_id=_.coupon_id.cast("string").fill_null(UNKNOWN))
    if coupon_ids is not None:
        granted = shop.collect(grants.select("coupon_id").distinct())["coupon_id"]
        chosen = checked_ids(shop.name, granted, names, coupon_ids)
        grants, names = grants.filter(grants.coupon_id.isin(chosen)), names[names.index.isin(chosen)]
    coupons = metrics.described_coupons(shop.coupons) if shop.has("coupons") else None
    once = shop.hold("coupon_orders", metrics.coupon_orders(grants, paid, coupons))
    counts = shop.collect(once.aggregate(rows=once.count(), orders=once.order_id.nunique())).iloc[0]
    followed = metrics.followed_orders(once, paid, period)
    used = shop.hold("followed_coupon_orders", followed.mutate(user_bucket=shop.engine.user_bucket(followed.user_id)))
    has_cost = margin_rate is not None or shop.has("orders", "cost_amount")
    is_stacked = bool(counts["rows"] > counts["orders"])
    return CouponTables(shop, period, paid, grants, coupons, used, is_stacked, names, has_cost)


def checked_ids(shop_name: str, granted: Iterable[str], names: pd.DataFrame, coupon_ids: Sequence[str]) -> list[str]:
    """The ids asked for, each a coupon of the shop: one that was granted, or one of ``names``."""
    wanted = [str(one) for one in ([coupon_ids] if isinstance(coupon_ids, str) else coupon_ids)]
    if not wanted:
        raise ParameterError("coupon_ids is empty; name at least one coupon, or null for all.")
    if len(set(wanted)) < len(wanted):
        raise ParameterError(f"coupon_ids: {', '.join(wanted)} names one twice.")
    known = sorted({*names.index, *granted})
    by_name = {str(name): one for one, name in names["coupon_name"].items() if name}
    for one in wanted:
        if one not in known:
            hint = f', did you mean "{by_name[one]}"?' if one in by_name else nearest(one, known, ".")
            more = f" and {len(known) - 12} more" if len(known) > 12 else ""
            raise ParameterError(
                f'coupon_ids: "{one}" is not a coupon of {shop_name}{hint} There are {", ".join(known[:12])}{more}.'
            )
    return wanted


def coupon_names(shop: Shop) -> pd.DataFrame:
    """Name and kind of each coupon by its id as text."""
    if not shop.has("coupons"):
        return pd.DataFrame({"coupon_name": [], "coupon_kind": []}, dtype=object, index=pd.Index([], dtype=object))
    found = shop.collect(shop.coupons.select("coupon_id", coupon_name=shop.coupons.name, coupon_kind=shop.coupons.kind))
    return found.assign(coupon_id=found["coupon_id"].astype(str)).set_index("coupon_id")


def coupon_scorecard(
    tables: CouponTables, exits: pd.DataFrame, days: Sequence[int], limit: float, confidence_level: float
) -> pd.DataFrame:
    """The scorecard.

    Parameters
    ----------
    tables
        From ``coupon_tables``.
    exits
        Collected from ``metrics.coupons.buyer_exits`` on the orders by level, with the windows ``days``.
    days
        Windows of repurchase.
    limit
        Share of gross amount that a coupon should not exceed.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        Coupons by redeemed_count, then kinds by redeemed_count, then all together; columns as in the glossary.
    """
    return scorecard_of(tables, collect_sums(tables, exits), days, limit, confidence_level)


@dataclass(frozen=True)
class CardSums:
    """What the scorecard of some users is made from.

    Attributes
    ----------
    totals
        order_count, paid_amount and gross_amount of all orders paid in the period.
    grants
        Collected ``metrics.coupons.grant_counts``, with ``grant_squares``, which adds up to that of ``holder_squares``.
    waits, orders, exits
        Collected ``time_to_use``, ``order_sums`` and ``buyer_exits``.
    categories
        Collected ``category_amounts``: by level, or by coupon where an order has only one; None where the source has no
        categories.
    category_count
        Categories that could have been bought.
    active
        Collected ``active_days``; None where the source has no events.
    """

    totals: pd.Series
    grants: pd.DataFrame
    waits: pd.DataFrame
    orders: pd.DataFrame
    exits: pd.DataFrame
    categories: pd.DataFrame | None
    category_count: int
    active: pd.DataFrame | None


def collect_sums(tables: CouponTables, exits: pd.DataFrame) -> CardSums:
    """Ask the engine for what ``scorecard_of`` needs; ``exits`` as in ``coupon_scorecard``."""
    shop, period = tables.shop, tables.period
    grants = shop.collect(metrics.grant_counts(tables.grants, tables.used, period))
    squares = shop.collect(metrics.holder_squares(tables.grants, period)).set_index("coupon_id")
    is_first = ~grants["coupon_id"].duplicated()  # a coupon's squares stand on one of its rows
    grants["grant_squares"] = grants["coupon_id"].map(squares["grant_squares"]).where(is_first, 0)
    categories, category_count, active = None, 0, None
    if (lines := categorised(shop)) is not None:
        categories = shop.collect(metrics.category_amounts(by_category(tables), lines, period))
        offered = shop.products if shop.has("products", "category") else lines
        category_count = int(shop.collect(offered.aggregate(count=_.category.nunique()))["count"].item())
    if shop.has("events"):
        active = shop.collect(metrics.active_days(tables.by_level, shop.events, period, ACTIVE_WINDOW))
    return CardSums(
        totals=shop.collect(_totals(paid_in_period(tables.paid, period))).iloc[0],
        grants=grants,
        waits=shop.collect(metrics.time_to_use(tables.grants, tables.used, tables.coupons, period)),
        orders=shop.collect(metrics.order_sums(tables.by_level, period)),
        exits=exits,
        categories=categories,
        category_count=category_count,
        active=active,
    )


def _totals(orders: ir.Table) -> ir.Table:
    return orders.aggregate(
        order_count=orders.count(), paid_amount=orders.paid_amount.sum(), gross_amount=orders.gross_amount.sum()
    )


def categorised(shop: Shop) -> ir.Table | None:
    """Order lines with a category each; None where the source has no lines or no categories."""
    products = shop.products if shop.has("products", "category") else None
    if not shop.has("order_lines") or not (shop.has("order_lines", "category") or products is not None):
        return None
    return metrics.categorised_lines(shop.order_lines, products)


def by_category(tables: CouponTables) -> ir.Table:
    """Orders whose categories are asked for: each has one coupon, so that kinds and all are sums, or all levels."""
    if tables.is_stacked:
        return tables.by_level
    return tables.used.mutate(level=ibis.literal("coupon"), group_id=tables.used.coupon_id)


def scorecard_of(
    tables: CouponTables, found: CardSums, days: Sequence[int], limit: float, confidence_level: float
) -> pd.DataFrame:
    """The scorecard of the users whose sums these are; arguments and table as in ``coupon_scorecard``."""
    grants, sums, totals = _at_all_levels(tables, found.grants), found.orders, found.totals
    card = pd.DataFrame(index=_rows(tables, grants, sums))
    holders = _effective_holders(grants)
    card = card.join(_grant_columns(grants, holders, found.waits, confidence_level))
    counts = found.exits.groupby(_KEY).sum(numeric_only=True)
    effective = _effective(sums, counts)
    card = card.join(_order_columns(sums, counts, effective["buyers"], totals, confidence_level))
    filled = ["granted_count", "redeemed_count", *_SUMS, "buyer_count", "new_buyer_count"]
    card[filled] = card[filled].fillna(0)
    for share in ("order_share", "amount_share", "subsidy_rate_all_orders"):
        known = totals["order_count" if share == "order_share" else "paid_amount"]
        card[share] = card[share].fillna(0.0 if known and known == known else np.nan)
    effective, counts = effective.reindex(card.index), counts.reindex(card.index)
    card.loc[(card["order_count"] > 0) & (effective["amount_count"] == 0), _MONEY] = np.nan
    card = card.join(_category_columns(tables, found, effective["buyers"], confidence_level))
    card = card.join(repurchase_columns(counts.astype(float), days, confidence_level))
    card = card.join(_active_columns(found.active))
    card["coupon_reason"] = _reasons(card, effective)
    _blank_unknown(card, tables, totals)
    card = card.reset_index()
    eligible = f"repurchase_rate_{shown_window(days)}_eligible_count"
    enough = pd.DataFrame(
        {
            "holders": holders.reindex(pd.MultiIndex.from_frame(card[_KEY])).to_numpy(),
            "buyers": effective["buyers"].to_numpy(),
            "eligible": card.get(eligible, np.nan),
        }
    )
    return _ordered(add_criteria(card, days, limit, enough), tables.names)


def _rows(tables: CouponTables, grants: pd.DataFrame, sums: pd.DataFrame) -> pd.MultiIndex:
    """Every coupon given, used or described; their kinds; all."""
    coupons = pd.DataFrame({"level": "coupon", "group_id": tables.names.index.astype(str)})
    kinds = tables.names["coupon_kind"].fillna(UNKNOWN) if tables.coupons is not None else pd.Series(dtype=object)
    described = pd.DataFrame({"level": "kind", "group_id": kinds})
    total = pd.DataFrame({"level": ["all"], "group_id": [ALL_COUPONS]})
    found = pd.concat([coupons, described, grants[_KEY], sums[_KEY], total], ignore_index=True)
    return pd.MultiIndex.from_frame(found.astype(str).drop_duplicates())


def _at_all_levels(tables: CouponTables, found: pd.DataFrame) -> pd.DataFrame:
    """Rows by coupon_id once for the coupon, once for its kind, once for all: to be added up."""
    found = found.assign(level="coupon", group_id=found["coupon_id"].astype(str))
    kind = found["group_id"].map(tables.names["coupon_kind"]).astype(object).fillna(UNKNOWN)
    levels = [found, found.assign(level="all", group_id=ALL_COUPONS)]
    if tables.coupons is not None:
        levels.insert(1, found.assign(level="kind", group_id=kind.astype(str)))
    return pd.concat(levels, ignore_index=True)


def _effective_holders(grants: pd.DataFrame) -> pd.Series:
    """How many equal holders a group has; for several coupons at least so many, by Minkowski's inequality."""
    by_coupon = grants.groupby([*_KEY, "coupon_id"])[["granted_count", "grant_squares"]].sum()
    roots = np.sqrt(by_coupon["grant_squares"]).groupby(_KEY).sum()
    given = by_coupon["granted_count"].groupby(_KEY).sum()
    return pd.Series(effective_counts(given, roots**2), index=given.index)


def _grant_columns(
    grants: pd.DataFrame, holders: pd.Series, waits: pd.DataFrame, confidence_level: float
) -> pd.DataFrame:
    counts = grants.groupby(_KEY).sum(numeric_only=True)
    found = pd.DataFrame(
        {
            "granted_count": counts["granted_count"],
            "redeemed_count": counts["redeemed_count"],
            "redemption_rate": divide(counts["redeemed_count"], counts["granted_count"]),
        }
    )
    found = found.join(_interval(grants, "redeemed_count", "granted_count", "redemption", confidence_level))
    never = (found["redeemed_count"] == 0) & (found["granted_count"] > 0)
    holders = holders.reindex(found.index)
    found.loc[never, "redemption_ci_lower"] = 0.0
    found.loc[never, "redemption_ci_upper"] = zero_share_upper(holders[never], confidence_level=confidence_level)
    collecting = grants[grants.groupby("coupon_id")["collected_count"].transform("sum") > 0]
    collected = collecting.groupby(_KEY).sum(numeric_only=True).reindex(found.index)
    found["collect_rate"] = divide(collected["collected_count"], collected["granted_count"])
    found["use_rate"] = divide(collected["collected_redeemed_count"], collected["collected_count"])
    found = found.join(waits.set_index(_KEY)["median_hours_to_use"])
    found["expired_share"] = divide(counts["expired_count"], counts["ended_count"])
    return found


def _order_columns(
    sums: pd.DataFrame, counts: pd.DataFrame, buyers: pd.Series, totals: pd.Series, confidence_level: float
) -> pd.DataFrame:
    by_group = sums.groupby(_KEY).sum(numeric_only=True)
    found = by_group[_SUMS].join(counts[["buyer_count", "new_buyer_count"]])
    discount, gross = found["coupon_discount_amount"], found["gross_amount"]
    found["new_buyer_share"] = divide(found["new_buyer_count"], found["buyer_count"])
    found["subsidy_rate"] = divide(discount, gross)
    few = buyers.reindex(found.index) < MINIMUM_EFFECTIVE
    bounds = _interval(sums, "coupon_discount_amount", "gross_amount", "subsidy", confidence_level)
    found = found.join(bounds)
    found["subsidy_rate_all_orders"] = discount / (totals["gross_amount"] or np.nan)
    found["subsidy_rate_net"] = discount / (gross - found["refund_amount"]).where(lambda net: net > 0)
    found["average_order_value"] = divide(found["paid_amount"], by_group["amount_count"])
    bounds = _interval(sums, "paid_amount", "amount_count", "average_order", confidence_level, is_share=False)
    found = found.join(bounds)
    found.loc[few, ["subsidy_ci_lower", "subsidy_ci_upper", *_VALUE[1:]]] = np.nan
    found["profit_amount"] = by_group["profit_amount"]
    found["order_share"] = found["order_count"] / (totals["order_count"] or np.nan)
    found["amount_share"] = found["paid_amount"] / (totals["paid_amount"] or np.nan)
    return found


def _effective(sums: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Effective buyers of each group and its orders with an amount."""
    amounts = sums.groupby(_KEY)["amount_count"].sum()
    bought = counts.reindex(amounts.index).fillna(0)
    buyers = effective_counts(bought["buyer_amount"], bought["buyer_squares"])
    return pd.DataFrame({"buyers": buyers, "amount_count": amounts}, index=amounts.index)


def _interval(
    rows: pd.DataFrame, top: str, bottom: str, name: str, confidence_level: float, *, is_share: bool = True
) -> pd.DataFrame:
    """Interval of a ratio of sums over buckets of users, for each group: ``<name>_ci_lower``, ``<name>_ci_upper``."""
    if rows.empty:
        index = pd.MultiIndex.from_frame(rows[_KEY])
        return pd.DataFrame({f"{name}_ci_lower": np.nan, f"{name}_ci_upper": np.nan}, index=index)
    level, group_id = (rows[one].to_numpy(dtype=object) for one in _KEY)
    group, keys = pd.factorize(level + "\n" + group_id)  # one key of two, which is found far sooner
    index = pd.MultiIndex.from_tuples([tuple(one.split("\n", 1)) for one in keys], names=_KEY)
    bucket, buckets = pd.factorize(rows["user_bucket"].fillna(-1), sort=True)
    wide = np.zeros((2, len(buckets), len(index)))
    for place, column in enumerate((top, bottom)):
        np.add.at(wide[place], (bucket, group), rows[column].fillna(0).to_numpy(dtype=float))
    found = ratio_by_bucket(wide[0], wide[1], confidence_level=confidence_level, is_share=is_share)
    return pd.DataFrame({f"{name}_ci_lower": found.lower, f"{name}_ci_upper": found.upper}, index=index)


def _category_columns(tables: CouponTables, sums: CardSums, buyers: pd.Series, confidence_level: float) -> pd.DataFrame:
    """Diversity of use. The interval takes each effective buyer as one draw of a category."""
    index, amounts = buyers.index, sums.categories
    if amounts is None:
        return pd.DataFrame(index=index, columns=_CATEGORY, dtype=float).astype({"largest_category": object})
    if not tables.is_stacked:
        every = _at_all_levels(tables, amounts.drop(columns="level").rename(columns={"group_id": "coupon_id"}))
        amounts = every.groupby([*_KEY, "category"])["amount"].sum().reset_index()
    amounts = amounts.assign(size=amounts["amount"].round(6))  # the order of adding up makes none the larger
    amounts = amounts.sort_values([*_KEY, "size", "category"], ascending=[True, True, False, True])
    part = amounts["amount"] / amounts.groupby(_KEY)["amount"].transform("sum")
    logs = np.log(part)
    terms = amounts.assign(entropy=-part * logs, squares=part * logs**2, largest_category_share=part)
    by_group = terms.groupby(_KEY)
    found = by_group.agg(
        category_count=("category", "size"),
        entropy=("entropy", "sum"),
        squares=("squares", "sum"),
        largest_category=("category", "first"),
        largest_category_share=("largest_category_share", "first"),
    ).reindex(index)
    count = max(sums.category_count, found["category_count"].max(skipna=True))
    most = np.log(count) if count > 1 else np.nan
    lower, upper = entropy_interval(
        found["entropy"], found["squares"], found["category_count"], buyers, confidence_level=confidence_level
    )
    for name, value in (("", found["entropy"]), ("_ci_lower", lower), ("_ci_upper", upper)):
        found[f"category_entropy{name}"] = (value / most).clip(0, 1)
    return found[_CATEGORY]


def _active_columns(active: pd.DataFrame | None) -> pd.DataFrame:
    if active is None:
        return pd.DataFrame({"active_days": []}, index=pd.MultiIndex.from_arrays([[], []], names=_KEY), dtype=float)
    found = active.set_index(_KEY)
    return divide(found["active_day_count"].astype(float), found["active_user_count"]).to_frame("active_days")


def _reasons(card: pd.DataFrame, effective: pd.DataFrame) -> pd.Series:
    """Why numbers of a row are empty or rest on little; the first that holds."""
    orders, paid = card["order_count"], card["paid_amount"]
    reasons = pd.Series(None, index=card.index, dtype=object)
    for reason, holds in reversed(
        [
            ("never_given", (card["granted_count"] == 0) & (orders == 0)),
            ("never_used", orders == 0),
            ("used_once", orders == 1),
            ("nothing_paid", (paid == 0) & (orders > 0)),
            ("all_refunded", (card["refund_amount"] >= paid) & (paid > 0)),
            ("few_buyers", effective["buyers"] < MINIMUM_EFFECTIVE),
        ]
    ):
        reasons[holds] = reason
    return reasons


def _blank_unknown(card: pd.DataFrame, tables: CouponTables, totals: pd.Series) -> None:
    """Empty what the source cannot tell, rather than print zeros."""
    shop = tables.shop
    if not shop.has("coupon_grants", "order_id"):
        card[[*_USE, "median_hours_to_use", *_OF_ORDERS, *_SUBSIDY, *_VALUE]] = np.nan
        card["coupon_reason"] = "use_unknown"
    if not totals["order_count"]:
        card[[*_OF_ORDERS, *_SUBSIDY, *_VALUE]] = np.nan
        card["coupon_reason"] = "no_orders"
    if not tables.has_cost or not totals["order_count"]:
        card["profit_amount"] = np.nan
    if not shop.user_ids_known:
        card[["buyer_count", "new_buyer_count", "new_buyer_share"]] = np.nan
    if not shop.has_money:
        card[_MONEY] = np.nan


def _ordered(card: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Coupons by redemptions, then kinds, then all; ids and names only where they are one coupon's."""
    is_coupon, is_kind = card["level"] == "coupon", card["level"] == "kind"
    own = card["group_id"].map(names["coupon_name"]).astype(object).replace("", None).fillna(card["group_id"])
    kind = card["group_id"].map(names["coupon_kind"]).astype(object)
    card["coupon_id"] = card["group_id"].where(is_coupon, None)
    card["coupon_name"] = own.where(is_coupon, None)
    card["coupon_kind"] = kind.where(is_coupon, card["group_id"].where(is_kind, None))
    card["place"] = card["level"].map({level: place for place, level in enumerate(LEVELS)})
    card = card.sort_values(["place", "redeemed_count", "group_id"], ascending=[True, False, True])
    first = ["level", "coupon_id", "coupon_name", "coupon_kind", *CRITERIA, "coupon_reason"]
    dropped = {*first, "group_id", "place"}
    return card[[*first, *[name for name in card.columns if name not in dropped]]].reset_index(drop=True)
