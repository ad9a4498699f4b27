"""Which slots earn more or less than where they stand explains?"""

import numpy as np
import pandas as pd

from workbench.parameters import check_rate
from workbench.stats.intervals import Floats
from workbench.stats.position_curve import MINIMUM_BUCKETS, fit_position_curve

MIN_SLOTS = 5
MISFITS = ("above", "below")
REASONS = ("no_position", "few_slots", "no_credit", "no_comparison", "few_buyers")
COLUMNS = [
    "slot_id",
    "slot_name",
    "page",
    "position",
    "credit",
    "expected_credit",
    "ratio",
    "ci_lower",
    "ci_upper",
    "usual_lower",
    "usual_upper",
    "misfit",
    "reason",
]
_MIN_FLOORS = 3


def position_misfit(
    sums: pd.DataFrame, slots: pd.DataFrame, weights: np.ndarray | None, *, confidence_level: float
) -> pd.DataFrame:
    """Which slots earn above or below what their position explains?

    Parameters
    ----------
    sums
        Credit of one target and model, one row per bucket of users, one column per slot; without what was
        credited to no slot.
    slots
        One row per slot: slot_id, slot_name, page, position (from 1, may be null) and, where known, floor. A slot
        that is not here has no position.
    weights
        How often each replicate draws each bucket, shape (replicates, buckets); None for no intervals, and then
        no slot is judged.
    confidence_level
        Coverage of the interval of one ratio, and of the range of usual ratios over all slots at once.

    Returns
    -------
    pandas.DataFrame
        One row per slot; flagged ones first, then by how far they are off. ``credit``; ``expected_credit``: of a
        slot standing there, by the other slots; ``ratio`` of the two with ``ci_lower`` and ``ci_upper``;
        ``usual_lower`` to ``usual_upper``: ratios that chance and the scatter of the page explain; ``misfit``:
        "above", "below" or None; ``reason`` why a slot is not judged: "no_position", "few_slots" (fewer than five
        slots of the page have a position and credit), "no_credit" (ratio 0, with an upper bound where the page
        has a curve), "no_comparison" (the other slots say nothing of this position), "few_buyers" (credit from
        fewer than five buckets of users).

    Raises
    ------
    ParameterError
        For a ``confidence_level`` that cannot be.

    Notes
    -----
    ``expected_credit`` is read off a curve over the page's other slots, each page with its own level and slope,
    fitted so that one extreme slot does not bend it (``fit_position_curve``): pages are scrolled to different
    depths, and one slope for all makes the far slots of the long pages look bad. Where the page has floors of
    several slots, depth is the floor's, and the place on the floor counts by itself, alike on all pages: the
    second slot of a row is not the start of the next screen. Without floors depth is the position.

    Rule: a slot is "above" or "below" if its ratio lies outside its usual range. The range is built to hold the
    ratios of all slots at once with ``confidence_level``. It is never narrower than the chance of who came, so a
    flagged slot's interval at that simultaneous level excludes 1, and it grows with how far the page's other slots
    lie off the curve anyway, as no position explains sales exactly. Where slots follow their curves up to a like
    scatter, at most about 1 - ``confidence_level`` of reports flag any slot; where a page of few slots scatters
    several times as much as the others, more do, as so few slots cannot show that they do.

    A misfit is not an effect of moving the slot: content, kind and audience differ between slots as well.

    Examples
    --------
    >>> sums = pd.DataFrame([[800.0, 400.0, 200.0, 300.0, 50.0, 25.0]], columns=list("abcdef"))
    >>> slots = pd.DataFrame({"slot_id": list("abcdef"), "slot_name": "", "page": "home", "position": range(1, 7)})
    >>> found = position_misfit(sums, slots, None, confidence_level=0.95).set_index("slot_id")
    >>> found.loc["d", ["credit", "expected_credit", "ratio"]].astype(float).round(2).to_list()
    [300.0, 100.0, 3.0]
    """
    check_rate("confidence_level", confidence_level)
    table = _every_slot(sums, slots)
    table[COLUMNS[5:11]] = np.nan
    table[["misfit", "reason"]] = None
    if table.empty:
        return table[COLUMNS]
    placed, credited = table["position"].notna(), table["credit"] > 0
    size = (placed & credited).groupby(table["page_key"]).transform("sum")
    table["reason"] = np.select(
        [~placed, ~credited, size < MIN_SLOTS], ["no_position", "no_credit", "few_slots"], default=""
    )
    chosen = table[placed & (size >= MIN_SLOTS)]
    if not chosen.empty:
        depth, place = _depth_and_place(chosen)
        curve = fit_position_curve(
            sums.reindex(columns=chosen["slot_id"]).fillna(0.0).to_numpy(),
            pd.factorize(chosen["page_key"])[0].astype(np.int64),
            depth,
            place,
            weights,
            confidence_level=confidence_level,
        )
        outside = [curve.ratio > curve.usual_upper, curve.ratio < curve.usual_lower]
        for name, values in (
            ("expected_credit", curve.expected),
            ("ratio", curve.ratio),
            ("ci_lower", curve.lower),
            ("ci_upper", curve.upper),
            ("usual_lower", curve.usual_lower),
            ("usual_upper", curve.usual_upper),
            ("misfit", np.select(outside, MISFITS, default="")),
        ):
            table.loc[chosen.index, name] = values
        unknown = chosen.index[np.isnan(curve.ratio) & credited.loc[chosen.index].to_numpy()]
        table.loc[unknown, "reason"] = "no_comparison"
        bucket_count = (sums.reindex(columns=chosen["slot_id"]).fillna(0.0) != 0).sum().to_numpy()
        few = chosen.index[(bucket_count < MINIMUM_BUCKETS) & credited.loc[chosen.index].to_numpy()]
        table.loc[few.difference(unknown), "reason"] = "few_buyers"
    for name in ("misfit", "reason"):
        table[name] = table[name].astype("object").where(table[name].notna() & (table[name] != ""), None)
    with np.errstate(divide="ignore"):
        off = np.abs(np.log(table["ratio"].to_numpy(dtype=float)))
    order = pd.DataFrame(
        {"flagged": table["misfit"].isna(), "zero": np.isinf(off), "off": -np.where(np.isinf(off), 0, off)}
    )
    return table.loc[order.sort_values(["flagged", "zero", "off"], kind="stable").index, COLUMNS].reset_index(drop=True)


def _every_slot(sums: pd.DataFrame, slots: pd.DataFrame) -> pd.DataFrame:
    """One row per slot of either table, in an order that does not depend on theirs."""
    known = slots.set_index("slot_id")
    known = known.assign(floor=known.get("floor"))[["slot_name", "page", "position", "floor"]]
    table = known.reindex(known.index.union(sums.columns.astype(known.index.dtype), sort=False))
    table["position"] = pd.to_numeric(table["position"]).astype("float64")
    table["credit"] = sums.sum().reindex(table.index).fillna(0.0)
    table = table.rename_axis("slot_id").reset_index()
    table["page_key"] = table["page"].astype("object").where(table["page"].notna(), "")
    return table.sort_values(["page_key", "position", "slot_id"]).reset_index(drop=True)


def _depth_and_place(chosen: pd.DataFrame) -> tuple[Floats, Floats]:
    """How far down each slot stands, and how far to the side: by floors where the page has them, else by position."""
    parts = []
    for _, page in chosen.groupby("page_key", sort=False):
        # positions count from 1; where a source counts from 0 the first becomes 1
        depth = page["position"] + max(0.0, 1 - page["position"].min())
        place = pd.Series(1.0, index=page.index)
        floors = page["floor"]
        if floors.notna().all() and _MIN_FLOORS <= floors.nunique() < len(page):
            depth = page["position"].groupby(floors).transform("min").rank(method="dense")
            place = page["position"].groupby(floors).rank(method="dense")
        parts.append(pd.DataFrame({"depth": depth, "place": place}))
    both = pd.concat(parts).loc[chosen.index]
    return both["depth"].to_numpy(dtype=float), both["place"].to_numpy(dtype=float)
