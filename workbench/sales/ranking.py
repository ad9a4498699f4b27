"""What sells best and what fell: products, categories, regions and page floors."""

import pandas as pd

COLUMNS = [
    "level",
    "ranking",
    "rank",
    "member",
    "member_name",
    "quantity",
    "net_amount",
    "comparison_amount",
    "change",
    "relative_change",
]
MOST_MEMBERS = 10
"""So many members of each ranking are listed."""


def product_ranking(
    products: pd.DataFrame, groups: pd.DataFrame, floors: pd.DataFrame, names: dict[str, str], *, has_before: bool
) -> pd.DataFrame:
    """One row per level (``product``, ``category``, ``region``, ``page_floor``), ranking and member.

    Parameters
    ----------
    products, groups, floors
        Collected ``product_sums``, ``order_groups`` and ``floor_sums``; span 0 is the period, 1 the comparison.
    names
        Names of products by id.
    has_before
        Whether there is a comparison; without one nothing falls.

    Notes
    -----
    ``best``: the most net sales; ``falling``: the largest loss of net sales against the comparison, losses of less than
    a cent left out. Regression to the mean: what stood high by chance falls next time; a fall of few orders says little.
    """
    frames = {
        "product": products.rename(columns={"product_id": "member"}),
        "category": products.rename(columns={"category": "member"}),
        "region": groups.rename(columns={"region": "member"}),
        "page_floor": floors.assign(member=[_place(*one) for one in zip(floors["page"], floors["floor"], strict=True)]),
    }
    tables = []
    for level, frame in frames.items():
        if len(frame):
            tables += _rankings(level, frame, names if level == "product" else {}, has_before=has_before)
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def _place(page: object, floor: object) -> str:
    return str(page) if floor is None or floor != floor else f"{page} {floor}"


def _rankings(level: str, frame: pd.DataFrame, names: dict[str, str], *, has_before: bool) -> list[pd.DataFrame]:
    measures = ["net_amount", *(["quantity"] if "quantity" in frame else [])]
    now, before = (frame[frame["span"] == number].groupby("member")[measures].sum() for number in (0, 1))
    members = now.index.union(before.index)
    now, before = (one.reindex(members, fill_value=0.0) for one in (now, before))
    table = pd.DataFrame({"net_amount": now["net_amount"], "comparison_amount": before["net_amount"]})
    table["quantity"] = now["quantity"] if "quantity" in measures else float("nan")
    if not has_before:
        table["comparison_amount"] = float("nan")
    table["change"] = table["net_amount"] - table["comparison_amount"]
    table["relative_change"] = table["change"] / table["comparison_amount"].where(table["comparison_amount"] > 0)
    table = table.rename_axis("member").reset_index()
    table["member_name"] = [names.get(one, one) for one in table["member"]]
    best = table[table["net_amount"] > 0].sort_values(["net_amount", "member"], ascending=[False, True])
    falling = table[table["change"] <= -0.01].sort_values(["change", "member"])
    found = []
    for ranking, rows in (("best", best), ("falling", falling)):
        rows = rows.head(MOST_MEMBERS)
        found.append(rows.assign(level=level, ranking=ranking, rank=range(1, len(rows) + 1)))
    return found
