"""One row per slot: how often it was seen and clicked, and what it is credited with."""

import numpy as np
import pandas as pd

from workbench.slot.purchases import Purchases
from workbench.source.shop import Shop
from workbench.stats.intervals import ratio_by_bucket, zero_share_upper
from workbench.stats.tables import divide


def slot_names(shop: Shop) -> pd.DataFrame:
    """slot_id (text), slot_name, page, floor, position, slot_kind of the slots that the source describes."""
    columns = ["slot_id", "slot_name", "page", "floor", "position", "slot_kind"]
    if not shop.has("slots"):
        return pd.DataFrame(columns=columns)
    slots = shop.slots
    wanted = slots.select("slot_id", "page", "floor", "position", slot_name=slots.name, slot_kind=slots.kind)
    found = shop.collect(wanted)
    return found.assign(slot_id=found["slot_id"].astype(str))[columns]


def count_metrics(shop: Shop, counts: pd.DataFrame, names: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """One row per slot that was seen or clicked in the period."""
    sums = counts.drop(columns="user_bucket").groupby("slot_id").sum()
    table = sums.join(names.set_index("slot_id").drop(columns="floor"))
    table["slot_name"] = table["slot_name"].fillna(pd.Series(table.index, index=table.index))
    wide = {
        name: counts.pivot(index="user_bucket", columns="slot_id", values=name).fillna(0)[table.index]
        for name in ("click_count", "impression_count")
    }
    impossible = table["click_count"] > table["impression_count"]
    with np.errstate(all="ignore"):
        found = ratio_by_bucket(wide["click_count"], wide["impression_count"], confidence_level=confidence_level)
    none = (table["click_count"] == 0) & (table["impression_count"] > 0)
    seen, clicked = wide["impression_count"], wide["click_count"]
    is_even = (clicked * seen.sum() == seen * clicked.sum()).all() & ((seen > 0).sum() > 1)  # the same in all buckets
    upper = np.where(none, zero_share_upper(table["viewer_count"], confidence_level=confidence_level), found.upper)
    lower = np.where(none, 0.0, found.lower)
    lower, upper = (np.where(is_even & ~none, np.nan, bound) for bound in (lower, upper))
    table["click_through_rate"] = divide(table["click_count"], table["impression_count"]).mask(impossible)
    table["ci_lower"] = pd.Series(lower, index=table.index).mask(impossible)
    table["ci_upper"] = pd.Series(upper, index=table.index).mask(impossible)
    table["viewer_click_rate"] = divide(table["clicker_count"], table["viewer_count"])
    table["viewer_click_rate"] = table["viewer_click_rate"].mask(table["clicker_count"] > table["viewer_count"])
    table["clicks_per_clicker"] = divide(table["click_count"], table["clicker_count"])
    table["reason"] = pd.Series(None, index=table.index, dtype=object).mask(table["ci_lower"].isna(), "too_few_users")
    table["reason"] = table["reason"].mask(table["ci_lower"].isna() & is_even, "no_variation")
    table["reason"] = table["reason"].mask(impossible, "clicks_above_exposures")
    if not shop.user_ids_known:
        table[["viewer_count", "clicker_count", "viewer_click_rate", "clicks_per_clicker"]] = float("nan")
    return table.reset_index().sort_values(["click_count", "slot_id"], ascending=[False, True], ignore_index=True)


def with_sales(metrics: pd.DataFrame, purchases: Purchases) -> pd.DataFrame:
    """Add what the model shown credits each slot with: per clicker, per thousand exposures, as shares."""
    orders, amounts = (
        purchases.credit(name).reindex(metrics["slot_id"], fill_value=0.0).to_numpy()
        for name in ("conversions", "amount")
    )
    total = {name: purchases.all_there_is(name) for name in ("conversions", "amount")}
    table = metrics.assign(
        conversion_credit=orders if purchases.sums is not None else np.nan,
        amount_credit=amounts if purchases.has_amount else np.nan,
    )
    table["orders_per_clicker"] = divide(table["conversion_credit"], table["clicker_count"])
    table["amount_per_thousand_exposures"] = 1000 * divide(table["amount_credit"], table["impression_count"])
    table["conversion_share"] = table["conversion_credit"] / total["conversions"] if total["conversions"] else np.nan
    table["amount_share"] = table["amount_credit"] / total["amount"] if total["amount"] else np.nan
    first = ["slot_id", "slot_name", "page", "position", "slot_kind", "impression_count", "click_count"]
    first += ["viewer_count", "clicker_count", "click_through_rate", "ci_lower", "ci_upper", "viewer_click_rate"]
    first += ["clicks_per_clicker", "conversion_credit", "amount_credit", "conversion_share", "amount_share"]
    return table[[*first, "orders_per_clicker", "amount_per_thousand_exposures", "reason"]]
