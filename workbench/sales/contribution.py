"""What moved net sales: factors, discounts and refunds that sum to the change, and mix and behaviour of segments."""

import numpy as np
import pandas as pd

from workbench.glossary import label
from workbench.language import Language
from workbench.sales.figures import (
    BUYERS,
    COUPONS,
    GROSS,
    ORDERS,
    OTHERS,
    REFUNDS,
    VISITORS,
    Known,
    Sums,
    has_enough,
    jackknife,
)
from workbench.stats.decomposition import change_by_segment, factors_of, lmdi
from workbench.stats.intervals import Floats
from workbench.stats.multiplicity import benjamini_hochberg

COLUMNS = [
    "part",
    "factor_name",
    "segment",
    "contribution",
    "ci_lower",
    "ci_upper",
    "p_value_adjusted",
    "is_clear",
    "value",
    "comparison_value",
    "proportional_contribution",
    "factor",
    "segment_by",
]
CATEGORY_COLUMNS = ["part", "factor_name", "category", "contribution", "factor"]
LESS = ((COUPONS, "coupon_discount_amount"), (OTHERS, "other_discount_amount"), (REFUNDS, "refund_amount"))
MIX = "mix"
_MOST_SEGMENTS = 60
"""So many segments, largest first, are told apart; the rest are one."""
OTHER = "(other)"


def chain(known: Known) -> tuple[list[int], list[str]]:
    """Levels from visitors to gross amount as far as the source knows them, and the factors between them."""
    levels, names = [ORDERS, GROSS], ["order_count", "gross_per_order"]
    if known.people:
        levels, names = [BUYERS, *levels], ["buyer_count", "orders_per_buyer", "gross_per_order"]
        if known.visitors:
            levels, names = (
                [VISITORS, *levels],
                ["visitor_count", "conversion_rate", "orders_per_buyer", "gross_per_order"],
            )
    return levels, names


def sales_contribution(
    now: Sums, before: Sums, segment_by: str, known: Known, confidence_level: float, lang: Language
) -> pd.DataFrame:
    """Split the change of net sales.

    Returns
    -------
    pandas.DataFrame
        Rows of part ``factor`` have no segment and sum to the change of net sales: LMDI of the gross amount over
        ``chain``, then discounts and refunds. Rows of part ``traffic``, ``mix`` and ``within`` carry a segment:
        ``traffic`` sums to the first factor, the other two together to the ratios. Empty where the shop has no money.

    Notes
    -----
    Bounds by ``figures.jackknife``; none with fewer than 50 effective buyers in a span. ``p_value_adjusted``, by
    Benjamini and Hochberg, is of a contribution of 0, over all factors or over the mix of all segments; in ``traffic``
    and ``within`` of ``proportional_contribution``, over the segments of a factor: that the segment did no more than
    its share, as when all segments grow or fall at one rate. ``is_clear`` is where it is below 1 - confidence_level,
    so that a shop in which nothing changed has a clear factor in 5 % of its reports and not in one of three.
    """
    if not known.money:
        return pd.DataFrame(columns=COLUMNS)
    levels, names = chain(known)
    totals = now.by_bucket.sum(axis=1), before.by_bucket.sum(axis=1)
    parts = _factor_parts(now.total, before.total, levels)
    sure = known.people and has_enough(now, before)
    found = jackknife(*totals, lambda x, y: _factor_parts(x, y, levels))
    low, high = found.bounds(confidence_level)
    p_values = benjamini_hochberg(found.p_value)
    values, earlier = (factors_of(_clean(one.total)[levels]) for one in (now, before))
    rows = []
    for place, name in enumerate([*names, *[name for _, name in LESS]]):
        is_factor = place < len(names)
        less = None if is_factor else LESS[place - len(names)][0]
        rows.append(
            {
                "part": "factor",
                "factor": name,
                "segment": None,
                "value": values[place] if less is None else now.total[less],
                "comparison_value": earlier[place] if less is None else before.total[less],
                "contribution": parts[place],
                "ci_lower": low[place] if sure else np.nan,
                "ci_upper": high[place] if sure else np.nan,
                "p_value_adjusted": p_values[place] if sure else np.nan,
                "proportional_contribution": np.nan,
            }
        )
    if known.people:
        rows += _segment_rows(now, before, levels, names, confidence_level if sure else None)
    table = pd.DataFrame(rows).assign(segment_by=segment_by)
    table["is_clear"] = table["p_value_adjusted"] < 1 - confidence_level
    table["factor_name"] = [label(one, lang, "sales_contribution") for one in table["factor"]]
    return table.reindex(columns=COLUMNS)


def _factor_parts(now: Floats, before: Floats | None, levels: list[int]) -> Floats:
    assert before is not None
    new, old = _clean(now), _clean(before)
    moved = lmdi(factors_of(old[..., levels]), factors_of(new[..., levels]))
    less = [old[..., place] - new[..., place] + 0.0 for place, _ in LESS]  # no less than before is 0, not -0
    return np.concatenate([moved, np.stack(less, axis=-1)], axis=-1)


def _clean(sums: Floats) -> Floats:
    """Orders without money stay; what floating point leaves below 0 does not."""
    return np.where(np.abs(sums) < 1e-9, 0.0, sums)


def _segment_rows(
    now: Sums, before: Sums, levels: list[int], names: list[str], confidence_level: float | None
) -> list[dict]:
    segments, new, old = _bounded(now, before)

    def split(x: Floats, y: Floats | None) -> Floats:
        assert y is not None
        if x.ndim == 3:
            return np.stack([split(one, other) for one, other in zip(x, y, strict=True)])
        old, new = _clean(y)[:, levels], _clean(x)[:, levels]
        found = change_by_segment(old, new)
        traffic = _traffic(old, new, found.factors[0])
        own = np.concatenate([traffic[:, None], found.mix[:, None], found.within], axis=1)
        beyond = own - _proportional(old, new, own)
        return np.stack([own, beyond], axis=-1)

    parts, beyond = np.moveaxis(split(new.sum(axis=0), old.sum(axis=0)), -1, 0)
    low = high = p_values = np.full(parts.shape, np.nan)
    if confidence_level is not None:
        found = jackknife(new, old, split)
        low, high = (one[..., 0] for one in found.bounds(confidence_level))
        p_values = np.apply_along_axis(benjamini_hochberg, 0, found.p_value[..., 1])
    size, earlier = (one.sum(axis=0) for one in (new, old))
    ratios = [factors_of(_clean(one)[:, levels]) for one in (size, earlier)]
    shares = [one[:, levels[0]] / max(one[:, levels[0]].sum(), 1e-300) for one in (size, earlier)]
    rows = []
    for column, name in enumerate([names[0], MIX, *names[1:]]):
        for place, segment in enumerate(segments):
            level = max(column - 1, 0)
            value, was = (one[place] for one in shares) if name == MIX else (one[place, level] for one in ratios)
            rows.append(
                {
                    "part": ("traffic", "mix")[column] if column < 2 else "within",
                    "factor": name,
                    "segment": segment,
                    "value": value,
                    "comparison_value": was,
                    "contribution": parts[place, column],
                    "ci_lower": low[place, column],
                    "ci_upper": high[place, column],
                    "p_value_adjusted": p_values[place, column],
                    "proportional_contribution": parts[place, column] - beyond[place, column],
                }
            )
    return rows


def _proportional(before: Floats, after: Floats, own: Floats) -> Floats:
    """What each segment's parts would be if all segments had moved at one rate; 0 for the mix, which then is none.

    Shape (segments, columns) as ``own``: traffic by shares of visitors, what happened within by shares of the weights
    that ``change_by_segment`` gives to the logarithms of the segments' ratios.
    """
    shares = sum(one[:, 0] / max(one[:, 0].sum(), 1e-300) for one in (before, after)) / 2
    rates = [np.divide(one[:, -1], one[:, 0], out=np.zeros(len(one)), where=one[:, 0] > 0) for one in (before, after)]
    both = (rates[0] > 0) & (rates[1] > 0)
    moved = np.log(np.divide(rates[1], rates[0], out=np.ones(len(shares)), where=both))
    mean = rates[0] * np.divide(np.expm1(moved), moved, out=np.ones(len(shares)), where=moved != 0)
    weights = np.where(both, shares * mean, 0.0)
    within = own[:, 2:].sum(axis=0) * (weights / max(weights.sum(), 1e-300))[:, None]
    return np.column_stack([own[:, 0].sum() * shares, np.zeros(len(shares)), within])


def _traffic(before: Floats, after: Floats, moved: float) -> Floats:
    """What more visitors brought, by the segments they came by: all at the same worth."""
    gained = after[:, 0] - before[:, 0]
    whole = gained.sum()
    if whole == 0:
        each = before[:, -1].sum() / max(before[:, 0].sum(), 1.0)
        return gained * each
    return gained * (moved / whole)


def _bounded(now: Sums, before: Sums) -> tuple[tuple[str, ...], Floats, Floats]:
    """The largest segments, and all others as one."""
    if len(now.segments) <= _MOST_SEGMENTS:
        return now.segments, now.by_bucket, before.by_bucket
    kept = _MOST_SEGMENTS - 1
    new, old = (
        np.concatenate([one.by_bucket[:, :kept], one.by_bucket[:, kept:].sum(axis=1, keepdims=True)], axis=1)
        for one in (now, before)
    )
    return (*now.segments[:kept], OTHER), new, old


def category_contribution(products: pd.DataFrame, lang: Language) -> pd.DataFrame:
    """Split the change of the lines' gross amount into quantity, price and mix of categories.

    Parameters
    ----------
    products
        Collected ``product_sums`` of two spans, 0 the later one.

    Returns
    -------
    pandas.DataFrame
        Part ``factor``: quantity and price per piece over all, which sum to the change; ``mix`` and ``within`` (the
        price) by category, which sum to the price. Empty without two spans with lines, and where a category has amounts without pieces.
    """
    if not {0, 1} <= set(products["span"]):
        return pd.DataFrame(columns=CATEGORY_COLUMNS)
    names = sorted(set(products["category"]))
    sides = []
    for number in (0, 1):
        summed = products[products["span"] == number].groupby("category")[["quantity", "gross_amount"]].sum()
        sides.append(summed.reindex(names, fill_value=0.0).to_numpy(dtype=float))
    new, old = sides
    if min(new.min(), old.min()) < 0 or any(((one[:, 0] == 0) & (one[:, 1] > 0)).any() for one in sides):
        return pd.DataFrame(columns=CATEGORY_COLUMNS)
    found = change_by_segment(old, new)
    rows = [("factor", "quantity", None, found.factors[0]), ("factor", "price", None, found.factors[1])]
    rows += [("mix", MIX, name, amount) for name, amount in zip(names, found.mix, strict=True)]
    rows += [("within", "price", name, amount) for name, amount in zip(names, found.within[:, 0], strict=True)]
    table = pd.DataFrame(rows, columns=["part", "factor", "category", "contribution"])
    table["factor_name"] = [label(one, lang, "category_contribution") for one in table["factor"]]
    return table[CATEGORY_COLUMNS]
