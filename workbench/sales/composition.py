"""Where the money goes: from gross amount to contribution, by channel, region and product."""

import pandas as pd

from workbench.contract import UNKNOWN
from workbench.sales.spans import Span

PARTS = (
    "gross_amount",
    "coupon_discount_amount",
    "other_discount_amount",
    "platform_discount_amount",
    "refund_amount",
    "cost_amount",
    "shipping_cost_amount",
    "platform_fee_amount",
)
SIGNS = dict(zip(PARTS, (1, -1, -1, 1, -1, -1, -1, -1), strict=True))
COLUMNS = [
    "dimension",
    "member",
    "member_name",
    "order_count",
    *PARTS,
    "spend_amount",
    "contribution_amount",
    "costless_order_count",
]
MOST_PRODUCTS = 30
OTHER = "(other)"


def profit_composition(
    orders: pd.DataFrame,
    products: pd.DataFrame,
    names: dict[str, str],
    spend: pd.DataFrame | None,
    now: Span,
    *,
    has_cost: bool,
    has_money: bool,
) -> pd.DataFrame:
    """One row per dimension (``all``, ``channel``, ``region``, ``product``) and member, largest gross amount first.

    Parameters
    ----------
    orders, products
        Collected ``order_groups`` and ``product_sums``; span 0 is the period.
    names
        Names of products by id.
    spend
        Ad spend by date and channel, None where the shop has none.
    now
        The period.
    has_cost, has_money
        Whether orders carry costs, and amounts.

    Notes
    -----
    Contribution = gross amount - coupons - other discounts + the platform's part - refunds - cost - shipping - fees -
    ad spend. Ad spend belongs to channels: regions and products are before it. Where an order of the group has no cost,
    its cost and contribution are unknown.
    """
    if not has_money:
        return pd.DataFrame(columns=COLUMNS)
    mine = orders[orders["span"] == 0]
    by_channel = _summed(mine, "channel")
    spent = pd.Series(dtype=float)
    if spend is not None:
        inside = spend[(spend["date"] >= now.first) & (spend["date"] < now.end)]
        spent = inside.groupby("channel")["spend_amount"].sum()
        by_channel = by_channel.reindex(by_channel.index.union(spent.index[spent > 0]), fill_value=0.0)
        by_channel["spend_amount"] = spent.reindex(by_channel.index).fillna(0.0)
    whole = _summed(mine.assign(everything="all"), "everything")
    if spend is not None:
        whole["spend_amount"] = spent.sum()
    frames = {"all": whole, "channel": by_channel, "region": _summed(mine, "region")}
    if len(products):
        frames["product"] = _by_product(products[products["span"] == 0], whole)
    tables = []
    for dimension, frame in frames.items():
        table = frame.rename_axis("member").reset_index().assign(dimension=dimension)
        table["_last"] = table["member"].isin([OTHER, UNKNOWN])
        table = table.sort_values(["_last", "gross_amount", "member"], ascending=[True, False, True])
        known = names if dimension == "product" else {}
        table["member_name"] = [known.get(one, one) for one in table["member"]]
        tables.append(table.drop(columns="_last"))
    found = pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS)
    costless = found["costless_order_count"] > 0 if has_cost else pd.Series(True, index=found.index)
    found.loc[costless, "cost_amount"] = float("nan")
    signed = sum(sign * found[name] for name, sign in SIGNS.items())
    found["contribution_amount"] = signed - found["spend_amount"].fillna(0.0)
    return found


def _summed(orders: pd.DataFrame, by: str) -> pd.DataFrame:
    found = orders.groupby(by)[["order_count", "costless_count", *PARTS]].sum()
    return found.rename(columns={"costless_count": "costless_order_count"}).astype(float)


def _by_product(products: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """The largest products, the rest as one, and what no line carries, so that products sum to the orders."""
    found = products.groupby("product_id")[["costless_count", *PARTS]].sum().astype(float)
    found = found.rename(columns={"costless_count": "costless_order_count"})
    found = (
        found.assign(_id=found.index).sort_values(["gross_amount", "_id"], ascending=[False, True]).drop(columns="_id")
    )
    kept, rest = found.iloc[:MOST_PRODUCTS], found.iloc[MOST_PRODUCTS:]
    parts = [kept]
    if len(rest):
        parts.append(rest.sum().to_frame(OTHER).T)
    gap = whole.iloc[0][list(PARTS)] - found[list(PARTS)].sum()
    if (gap.abs() >= 0.01).any():
        parts.append(gap.to_frame(UNKNOWN).T.assign(costless_order_count=whole["costless_order_count"].iloc[0]))
    return pd.concat(parts)
