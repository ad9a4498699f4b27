"""Slots worth a look: those that chance does not explain, with what is at stake."""

import numpy as np
import pandas as pd

from workbench.contract import CLICK, EXPOSURE
from workbench.stats.intervals import ratio_by_bucket, zero_share_upper

MIN_CLICKS = 100
MIN_PEERS = 4
MOST = 5
REASONS = ("leaks", "hidden", "not_clicked")
COLUMNS = [
    "slot_id",
    "slot_name",
    "reason",
    "action",
    "step",
    "rank",
    "rank_lower",
    "rank_upper",
    "click_count",
    "click_through_rate",
    "orders_per_click",
    "ci_lower",
    "ci_upper",
    "compared_with",
    "stake_orders",
    "stake_amount",
    "stake_ci_lower",
    "stake_ci_upper",
]


def slot_focus(
    metrics: pd.DataFrame,
    counts: pd.DataFrame,
    purchases: pd.DataFrame | None,
    has_money: bool,
    leak: pd.DataFrame,
    ranks: pd.DataFrame,
    confidence_level: float,
) -> pd.DataFrame:
    """Name up to five slots to change, and why.

    Parameters
    ----------
    metrics
        ``slot_metrics``.
    counts
        Exposures and clicks by slot and bucket of users.
    purchases
        Credit of paid orders under the model shown, by slot and bucket; None without orders or buckets.
    has_money
        Whether stakes can be in money.
    leak
        ``slot_leak``: the step at which a slot loses most against comparable slots.
    ranks
        ``slot_ranks``.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        One row per slot and reason, largest stake first. ``reason``: ``leaks`` (many clicks, few orders per
        click), ``hidden`` (many orders per click, few exposures), ``not_clicked`` (many exposures, few clicks).
        ``action``: ``fix_landing`` (leaks most between click and detail view), ``change_content`` (is not clicked, or
        leaks most later), ``watch`` (leaks, but no single step stands out), ``move`` (hidden low on its page),
        ``raise`` (hidden elsewhere: show it more). ``step``: where it leaks most. ``rank`` with its interval: place
        by credited sales.
        ``ci_lower`` and ``ci_upper`` are of the rate that the reason speaks of, at the level asked for.
        ``compared_with`` is the median that it is told apart from: of the same page where it has four slots or
        more, else of all. ``stake_amount``: what the period would gain if the rate (for ``hidden``: the
        exposures) rose to that median and all else stayed; an upper bound.

    Notes
    -----
    A slot is named only if its interval at a level adjusted for all slots and reasons (Bonferroni) lies beyond
    the median, so that where all slots are equal a name appears in at most 1 - ``confidence_level`` of reports.
    """
    if purchases is None or purchases.empty or metrics.empty:
        return pd.DataFrame(columns=COLUMNS)
    credit = purchases
    table = metrics.set_index("slot_id")
    table = table[table["click_count"] >= MIN_CLICKS]
    if len(table) < MIN_PEERS:
        return pd.DataFrame(columns=COLUMNS)
    exposures, clicks = (_wide(counts, "slot_id", name, table.index) for name in ("impression_count", "click_count"))
    orders, amounts = (
        _wide(credit, "credited_id", name, table.index) for name in ("conversion_credit", "amount_credit")
    )
    buckets = clicks.index.union(orders.index)
    clicks, orders = clicks.reindex(buckets, fill_value=0), orders.reindex(buckets, fill_value=0)
    adjusted = 1 - (1 - confidence_level) / (len(REASONS) * len(table))
    _add_bounds(table, orders, clicks, confidence_level, "")
    _add_bounds(table, orders, clicks, adjusted, "sure_")
    seen = ratio_by_bucket(clicks.reindex(exposures.index), exposures, confidence_level=adjusted)
    table["sure_click_upper"] = seen.upper
    total_orders = orders.to_numpy().sum()
    order_value = amounts.to_numpy().sum() / total_orders if has_money and total_orders else np.nan
    found = pd.concat([_leaking(table), _hidden(table), _not_clicked(table)])
    found = found[found["stake_orders"] > 0].sort_values("stake_orders", ascending=False)
    found = found[~found.index.duplicated()].head(MOST).reset_index()
    for name in ("stake_amount", "stake_ci_lower", "stake_ci_upper"):
        found[name] = found[name.replace("stake_amount", "stake_orders")] * order_value
    return _with_reasons(found, metrics, leak, ranks)[COLUMNS] if len(found) else pd.DataFrame(columns=COLUMNS)


def _with_reasons(found: pd.DataFrame, metrics: pd.DataFrame, leak: pd.DataFrame, ranks: pd.DataFrame) -> pd.DataFrame:
    """Add the step that loses most, the rank with its interval, and what to do."""
    marked = leak[leak["is_largest_loss"].fillna(False).astype(bool)].drop_duplicates("slot_id")
    found["step"] = found["slot_id"].map(marked.set_index("slot_id")["step"]).astype(object)
    found["step"] = found["step"].where(found["step"].notna(), None)
    mine = ranks[ranks["target"] == "purchase"].drop_duplicates("credited_id", keep="first").set_index("credited_id")
    for name in ("rank", "rank_lower", "rank_upper"):
        found[name] = found["slot_id"].map(mine[name]).astype("float64")
    middle = metrics.groupby(metrics["page"].fillna(""))["position"].median()
    is_low = found["position"] > found["page"].fillna("").map(middle)
    after = leak.loc[~leak["step"].isin([EXPOSURE, CLICK])]
    landing = after["step"].iloc[:1].tolist()  # the first step that the source records after the click
    lands = found["step"].isin(landing)
    found["action"] = np.select(
        [
            found["reason"] == "not_clicked",
            (found["reason"] == "hidden") & is_low,
            found["reason"] == "hidden",
            lands,
            found["step"].notna(),
        ],
        ["change_content", "move", "raise", "fix_landing", "change_content"],
        "watch",
    )
    return found


def _add_bounds(table: pd.DataFrame, orders: pd.DataFrame, clicks: pd.DataFrame, level: float, prefix: str) -> None:
    """Add orders per click and its bounds; a slot without an order gets the bound of a share that was never seen."""
    selling = ratio_by_bucket(orders, clicks, confidence_level=level, is_share=False)
    none = (orders.sum() == 0).to_numpy()
    units = table["clicker_count"].fillna(table["click_count"])
    table["orders_per_click"] = selling.estimate
    table[f"{prefix}lower"] = np.where(none, 0.0, np.clip(selling.lower, 0, None))
    table[f"{prefix}upper"] = np.where(none, zero_share_upper(units, confidence_level=level), selling.upper)


def _wide(table: pd.DataFrame, slot: str, value: str, slots: pd.Index) -> pd.DataFrame:
    return table.pivot(index="user_bucket", columns=slot, values=value).reindex(columns=slots).fillna(0.0)


def _peer_median(table: pd.DataFrame, column: str) -> pd.Series:
    """Median over the slots of the same page; over all slots where the page has fewer than four."""
    peers = table.groupby(table["page"].fillna(""))[column]
    return peers.transform("median").where(peers.transform("size") >= MIN_PEERS, table[column].median())


def _leaking(table: pd.DataFrame) -> pd.DataFrame:
    """Clicked at least as much as the median of its page, and surely fewer orders per click."""
    middle = _peer_median(table, "orders_per_click")
    chosen = table[(table["click_count"] >= _peer_median(table, "click_count")) & (table["sure_upper"] < middle)]
    middle, worth = middle.loc[chosen.index], chosen["click_count"]
    return chosen.assign(
        reason="leaks",
        ci_lower=chosen["lower"],
        ci_upper=chosen["upper"],
        compared_with=middle,
        stake_orders=(middle - chosen["orders_per_click"]) * worth,
        stake_ci_lower=(middle - chosen["upper"]) * worth,
        stake_ci_upper=(middle - chosen["lower"]) * worth,
    )


def _hidden(table: pd.DataFrame) -> pd.DataFrame:
    """Seen less than the median of its page, and surely more orders per click."""
    middle, exposures = _peer_median(table, "orders_per_click"), _peer_median(table, "impression_count")
    chosen = table[(table["impression_count"] < exposures) & (table["sure_lower"] > middle)]
    more = exposures.loc[chosen.index] - chosen["impression_count"]
    worth = more * chosen["click_through_rate"]
    return chosen.assign(
        reason="hidden",
        ci_lower=chosen["lower"],
        ci_upper=chosen["upper"],
        compared_with=middle.loc[chosen.index],
        stake_orders=worth * chosen["orders_per_click"],
        stake_ci_lower=worth * chosen["lower"],
        stake_ci_upper=worth * chosen["upper"],
    )


def _not_clicked(table: pd.DataFrame) -> pd.DataFrame:
    """Seen at least as much as the median of its page, and surely clicked less."""
    middle = _peer_median(table, "click_through_rate")
    many = table["impression_count"] >= _peer_median(table, "impression_count")
    chosen = table[many & (table["sure_click_upper"] < middle)]
    middle = middle.loc[chosen.index]
    worth = chosen["impression_count"] * chosen["orders_per_click"]
    return chosen.assign(
        reason="not_clicked",
        compared_with=middle,
        stake_orders=(middle - chosen["click_through_rate"]) * worth,
        stake_ci_lower=(middle - chosen["ci_upper"]) * worth,
        stake_ci_upper=(middle - chosen["ci_lower"]) * worth,
    )
