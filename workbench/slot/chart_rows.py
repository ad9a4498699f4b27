"""What the pictures of the slot report draw: few rows, each taken from the tables of an analysis and nothing else."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from workbench.contract import CLICK, DIRECT
from workbench.metrics.slot_funnel import FUNNEL_STEPS
from workbench.slot.concentration import ALL_PAGES
from workbench.slot.findings import shown_model

Tables = Mapping[str, pd.DataFrame]
MOST_POINTS = 400
"""So many slots are drawn at most as points, and so many places as a line, so that a report stays small."""


def distinct_names(ids: Iterable[object], names: Iterable[object]) -> dict[object, str]:
    """The name beside each id, without a name the id; where several have one name, with the id.

    Examples
    --------
    >>> distinct_names(["a", "b", "c"], ["Banner", "Banner", None])
    {'a': 'Banner (a)', 'b': 'Banner (b)', 'c': 'c'}
    """
    known = {one: str(one if name is None or name != name else name) for one, name in zip(ids, names, strict=True)}
    often = Counter(known.values())
    return {one: name if often[name] == 1 else f"{name} ({one})" for one, name in known.items()}


def credited_names(tables: Tables) -> pd.Series:
    """Names of what credit went to, by credited_id: of slots and contents; pages and floors are named by themselves."""
    credit = tables["slot_credit"]
    ids = pd.Series(credit.loc[credit["credited_id"] != DIRECT, "credited_id"].unique(), dtype=object)
    to = credit["credit_to"].iloc[0] if len(credit) else ""
    names = pd.Series(dtype=object)
    if to in ("slot_id", "content_id"):
        table, column = ("slot_metrics", "slot_name") if to == "slot_id" else ("content_metrics", "content_name")
        names = tables[table].drop_duplicates(to).set_index(to)[column]
    return pd.Series(distinct_names(ids, ids.map(names)), dtype=object)


def traffic_rows(tables: Tables) -> pd.DataFrame:
    """Clicks and orders per click of each clicked slot; ``label`` numbers those to change. Empty without orders."""
    table = tables["slot_metrics"]
    table = table[(table["click_count"] > 0) & table["conversion_credit"].notna()]
    table = table.assign(orders_per_click=table["conversion_credit"] / table["click_count"])
    if not table["conversion_credit"].sum() > 0:
        table = table.head(0)
    numbers = {slot: str(number) for number, slot in enumerate(tables["slot_focus"]["slot_id"], start=1)}
    table["label"] = [numbers.get(slot, "") for slot in table["slot_id"]]
    table["role"] = np.where(table["label"] == "", "other", "to_change")
    columns = ["slot_name", "page", "position", "click_count", "conversion_credit", "orders_per_click", "label", "role"]
    return table[columns]


def shown_credit(tables: Tables) -> tuple[pd.DataFrame, str]:
    """Credit of purchases (without any: of the last target) under the model shown, and which share it is measured by.

    One row per credited id with credit, the largest first, without ``(direct)``; with ``name``.
    """
    credit = tables["slot_credit"]
    target = "purchase" if (credit["target"] == "purchase").any() else credit["target"].iloc[-1] if len(credit) else ""
    mine = credit[credit["target"] == target]
    mine = mine[mine["model"] == (shown_model(mine["model"].unique().tolist()) if len(mine) else "")]
    measure = "amount_share" if mine["amount_share"].notna().any() else "conversion_share"
    mine = mine[(mine["credited_id"] != DIRECT) & (mine["conversion_credit"] > 0)]
    mine = mine.sort_values(measure, ascending=False, kind="stable")
    return mine.assign(name=mine["credited_id"].map(credited_names(tables)), share=mine[measure]), measure


def click_through_rows(tables: Tables, most: int = 7) -> pd.DataFrame:
    """Click-through rate of the most clicked slots."""
    table = tables["slot_metrics"].head(most)
    columns = ["impression_count", "click_count", "click_through_rate", "ci_lower", "ci_upper"]
    return table.assign(name=_named(table, "slot"))[["name", *columns]]


def ranking_rows(tables: Tables, most: int = 15) -> pd.DataFrame:
    """The slots with most credit: share with interval, rank interval, and the band of the other models.

    ``label`` leads with the rank interval. Where pairs were compared, slots that were not are left out.
    """
    rows, measure = shown_credit(tables)
    rows = rows.head(most)
    keys = ["target", "model", "credited_id"]
    pairs = _pairs(tables, rows)
    compared = set(pairs["credited_id"]) | set(pairs["other_id"])
    rows = rows[rows["credited_id"].isin(compared)] if compared else rows
    rows = rows.merge(tables["slot_ranks"][[*keys, "rank_lower", "rank_upper"]], on=keys, how="left")
    band = ["lowest_share", "lowest_model", "highest_share", "highest_model"]
    rows = rows.merge(tables["model_agreement"][["target", "credited_id", *band]], on=keys[::2], how="left")
    places = [
        "" if pd.isna(lower) else f"{lower:.0f}" if lower == upper else f"{lower:.0f}–{upper:.0f}"
        for lower, upper in zip(rows["rank_lower"], rows["rank_upper"], strict=True)
    ]
    rows["places"] = places
    rows["label"] = [f"{place} · {name}" if place else name for place, name in zip(places, rows["name"], strict=True)]
    rows["measure"] = measure
    columns = ["label", "name", "places", "rank_lower", "rank_upper", "conversion_credit", "share"]
    columns += ["ci_lower", "ci_upper", *band]
    return rows[[*keys, "measure", *columns]]


def _pairs(tables: Tables, rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs compared of the target and model of these rows."""
    return tables["slot_differences"].merge(rows[["target", "model"]].drop_duplicates())


def tied_pairs(tables: Tables, rows: pd.DataFrame) -> set[frozenset[str]]:
    """Pairs of the slots of ``ranking_rows`` whose order is not sure; none without intervals."""
    pairs = _pairs(tables, rows)
    pairs = pairs[pairs["is_order_sure"].notna()]
    unsure = pairs.loc[~pairs["is_order_sure"].astype(bool), ["credited_id", "other_id"]]
    shown = set(rows["credited_id"])
    return {frozenset(pair) for pair in unsure.to_numpy().tolist() if shown.issuperset(pair)}


def tied_runs(tables: Tables, rows: pd.DataFrame) -> pd.DataFrame:
    """Which slots of ``ranking_rows`` are tied: runs in which the order of no two is sure.

    Returns
    -------
    pandas.DataFrame
        One row per run of two or more that lies in no longer one: first and last place (from 0), and ``lane``, such
        that runs of one lane share no slot.
    """
    ids, tied = rows["credited_id"].tolist(), tied_pairs(tables, rows)
    runs: list[dict[str, int]] = []
    ends: list[int] = []
    for first in range(len(ids)):
        last = first
        while last + 1 < len(ids) and all(frozenset((one, ids[last + 1])) in tied for one in ids[first : last + 1]):
            last += 1
        if last == first or (runs and last <= runs[-1]["last"]):
            continue
        lane = next((number for number, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        runs.append({"first": first, "last": last, "lane": lane})
    return pd.DataFrame(runs, columns=["first", "last", "lane"])


def in_funnel_order(targets: Iterable[str]) -> list[str]:
    """Each target once, from the first step of the funnel to the last; other events before them, as they come.

    Examples
    --------
    >>> in_funnel_order(["purchase", "search", "view_item", "purchase"])
    ['search', 'view_item', 'purchase']
    """
    step = {target: place for place, target in enumerate(FUNNEL_STEPS)}
    return sorted(dict.fromkeys(targets), key=lambda target: step.get(target, -1))


def target_rows(tables: Tables, most: int = 12) -> pd.DataFrame:
    """Share of conversions of the slots with most credit, by target, under the model shown."""
    top, _ = shown_credit(tables)
    top = top.head(most)
    credit = tables["slot_credit"]
    rows = credit[credit["credited_id"].isin(top["credited_id"]) & credit["model"].isin(top["model"])]
    rows = rows[rows["conversion_share"].notna()]
    rows = rows.assign(name=rows["credited_id"].map(dict(zip(top["credited_id"], top["name"], strict=True))))
    order = {name: place for place, name in enumerate(top["name"])}
    rows = rows.sort_values("name", key=lambda names: names.map(order), kind="stable")
    return rows[["name", "target", "model", "conversion_credit", "conversion_share"]]


def leak_rows(tables: Tables, most: int = 6) -> pd.DataFrame:
    """Steps of the slots that leak (largest stake first), that are to change, and that are clicked most."""
    leak = tables["slot_leak"]
    marked = leak[leak["is_largest_loss"].fillna(False).astype(bool)].sort_values(
        "stake_amount", ascending=False, kind="stable"
    )
    clicked = leak[leak["step"] == CLICK].sort_values("user_count", ascending=False, kind="stable")
    wanted = [*marked["slot_id"].head(most // 2), *tables["slot_focus"]["slot_id"].head(most - 2), *clicked["slot_id"]]
    chosen = [one for one in dict.fromkeys(wanted) if one in set(leak["slot_id"])][:most]
    rows = leak[leak["slot_id"].isin(chosen) & leak["shrunk_rate"].notna() & (leak["step_index"] > 1)]
    place = {slot: number for number, slot in enumerate(chosen)}
    rows = rows.assign(name=_named(rows, "slot"), place=rows["slot_id"].map(place))
    rows["role"] = np.where(rows["is_largest_loss"].fillna(False).astype(bool), "loses_most", "step")
    columns = ["name", "step", "user_count", "step_rate", "ci_lower", "ci_upper", "shrunk_rate", "comparable_rate"]
    return rows.sort_values(["place", "step_index"])[[*columns, "stake_amount", "credit_share", "role"]]


def concentration_rows(tables: Tables) -> pd.DataFrame:
    """Cumulative share over all pages, by position and by rank; of very many places those that a line needs."""
    table = tables["slot_concentration"]
    table = table[table["page"] == ALL_PAGES]
    longest = table["place"].max() if len(table) else 0
    every = max(1, int(np.ceil(longest / MOST_POINTS)))
    last_of_top = table["is_top"] & ~table.groupby("order_by")["is_top"].shift(-1, fill_value=False)
    kept = (table["place"] % every == 0) | (table["place"] == longest) | (table["place"] <= 50) | last_of_top
    return table[kept].drop(columns=["page", "slot_id"])


def misfit_rows(tables: Tables, most: int = 15) -> pd.DataFrame:
    """Slots that are farthest from what their position explains, the flagged ones first."""
    table = tables["position_misfit"]
    table = table[(table["ratio"] > 0) & table["usual_lower"].notna()].head(most)
    table = table.assign(name=_named(table, "slot"), role=table["misfit"].fillna("usual"))
    table = _with_axis(table, ["ratio", "ci_lower", "ci_upper"], least=2.5)
    for drawn, shown in (("band", "usual"), ("line", "ci")):
        for side in ("lower", "upper"):
            table[f"{drawn}_{side}"] = table[f"{shown}_{side}"].clip(table["axis_lower"], table["axis_upper"])
    columns = ["name", "page", "position", "credit", "expected_credit", "ratio", "ci_lower", "ci_upper"]
    columns += ["usual_lower", "usual_upper", "band_lower", "band_upper", "line_lower", "line_upper"]
    return table[[*columns, "role", "axis_lower", "axis_upper"]]


def content_rows(tables: Tables, most: int = 7) -> pd.DataFrame:
    """Contents with the best and worst appeal, and those that their place makes look otherwise.

    ``raw_ratio`` is the click-through rate ÷ that of all contents compared; ``is_trap`` where it says the opposite of
    the appeal's interval. Of contents that cannot be compared with each other, the most seen component is taken.
    """
    table = tables["content_metrics"]
    table = table[table["is_separable"].fillna(False).astype(bool) & table["appeal_ci_lower"].notna()]
    table = table[(table["appeal"] > 0) & (table["appeal_ci_lower"] > 0) & (table["click_through_rate"] > 0)]
    if table.empty:
        return table
    size = table.groupby("component")["impression_count"].sum()
    table = table[table["component"] == size.idxmax()]
    average = table["click_count"].sum() / table["impression_count"].sum()
    table = table.assign(raw_ratio=table["click_through_rate"] / average)
    flattered = (table["raw_ratio"] > 1) & (table["appeal_ci_upper"] < 1)
    wronged = (table["raw_ratio"] < 1) & (table["appeal_ci_lower"] > 1)
    table["is_trap"] = flattered | wronged
    table = table.sort_values("appeal", ascending=False, kind="stable")
    off = (table["raw_ratio"] / table["appeal"])[table["is_trap"]].map(lambda times: max(times, 1 / times))
    traps = off.sort_values(ascending=False).index[:3]
    chosen = {*table.index[:most], *table.index[-most:], *traps}
    table = table[table.index.isin(chosen)]
    role = np.where(table["placement"] == "personalised", "personalised", "compared")
    table = table.assign(name=_named(table, "content"), role=role)
    table = _with_axis(table, ["raw_ratio", "appeal", "appeal_ci_lower", "appeal_ci_upper"], least=1.5)
    for side in ("lower", "upper"):
        table[f"line_{side}"] = table[f"appeal_ci_{side}"].clip(table["axis_lower"], table["axis_upper"])
    columns = ["name", "impression_count", "click_count", "click_through_rate", "raw_ratio", "appeal"]
    columns += ["appeal_ci_lower", "appeal_ci_upper", "line_lower", "line_upper", "axis_lower", "axis_upper"]
    return table[[*columns, "is_trap", "role"]]


def retention_rows(tables: Tables, most: int = 6) -> tuple[pd.DataFrame, str]:
    """Retention of the most used slots and of the site, one row per slot, period and ``series``; and its unit.

    By week if at least three weeks can be followed, else by day.
    """
    table = tables["slot_retention"]
    table = table[table["retention_rate"].notna()]
    weeks = table[table["unit"] == "week"]
    unit = "week" if weeks["period_index"].nunique() >= 3 else "day"
    table = table[table["unit"] == unit]
    chosen = table["slot_id"].unique()[:most].tolist()
    table = table[table["slot_id"].isin(chosen)]
    shared = table.assign(name=_named(table, "slot"))[["name", "period_index", "user_count", "is_complete"]]
    slot = shared.assign(series="slot", rate=table["retention_rate"], lower=table["ci_lower"], upper=table["ci_upper"])
    site = shared.assign(series="site", rate=table["site_retention_rate"], lower=np.nan, upper=np.nan)
    return pd.concat([slot, site], ignore_index=True), unit


def error_rows(tables: Tables) -> pd.DataFrame:
    """Misplaced share of each model for purchases, of all and among slots; the best among slots first."""
    table = tables["model_error"]
    table = table[table["target"] == "purchase"].sort_values(["misplaced_share_among_slots", "model"])
    long = table.melt(
        id_vars=["model", "misplaced_share_by_chance"],
        value_vars=["misplaced_share", "misplaced_share_among_slots"],
        var_name="of",
        value_name="share",
    )
    return long[long["share"].notna()]


def position_rows(tables: Tables) -> pd.DataFrame:
    """Click-through rate of the slots whose position is known, the page seen most first."""
    table = tables["slot_metrics"]
    table = table[table["position"].notna() & table["click_through_rate"].notna()].head(MOST_POINTS)
    table = table.assign(page=table["page"].astype(object).where(table["page"].notna(), "–"))
    seen = table.groupby("page")["impression_count"].transform("sum")
    table = table.assign(seen=-seen).sort_values(["seen", "page", "position"], kind="stable")
    columns = ["slot_name", "page", "position", "impression_count", "click_through_rate", "ci_lower", "ci_upper"]
    return table[columns]


def attributable_rows(tables: Tables) -> pd.DataFrame:
    """Each day's share with the share of all days; ``instant`` is the day as a browser of any time zone reads it."""
    table = tables["attributable_rate"]
    orders = table["order_count"].sum()
    whole = table["attributed_count"].sum() / orders if orders else np.nan
    return table.assign(instant=table["date"] + "T00:00:00", whole=whole)


def _named(table: pd.DataFrame, what: str) -> pd.Series:
    """Distinct name of each row's slot or content."""
    one = table.drop_duplicates(f"{what}_id")
    return table[f"{what}_id"].map(distinct_names(one[f"{what}_id"], one[f"{what}_name"]))


def _with_axis(table: pd.DataFrame, columns: list[str], least: float) -> pd.DataFrame:
    """Add the ends of a logarithmic axis that holds these columns, from 1 ÷ least to least at least, 50 at most."""
    low, high = table[columns].min().min(), table[columns].max().max()
    return table.assign(
        axis_lower=max(min(low / 1.15, 1 / least), 1 / 50), axis_upper=min(max(high * 1.15, least), 50.0)
    )
