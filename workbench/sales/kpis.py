"""The picture: every figure of the period, its weeks and days, beside what it is compared with."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from workbench.glossary import label
from workbench.language import Language
from workbench.sales.figures import FIGURES, MEASURES, Known, Sums, bounds, figures, has_enough
from workbench.sales.spans import YEAR_DAYS, Span, Spans, Targets
from workbench.stats.intervals import Floats

COLUMNS = [
    "grain",
    "start_date",
    "metric_name",
    "value",
    "comparison_value",
    "change",
    "relative_change",
    "change_ci_lower",
    "change_ci_upper",
    "ci_lower",
    "ci_upper",
    "previous_year_value",
    "target_amount",
    "metric",
    "end_date",
]
_VALUES = [one for one in COLUMNS if one not in ("grain", "start_date", "metric_name", "metric", "end_date")]
SPEND = "spend_amount"


def sales_kpis(
    spans: Spans,
    sums: dict[str, Sums],
    blocks: dict[int, pd.DataFrame],
    spend: pd.DataFrame | None,
    targets: Targets,
    known: Known,
    confidence_level: float,
    lang: Language,
) -> pd.DataFrame:
    """One row per grain, start_date and metric.

    Parameters
    ----------
    spans
        Days of the report and of its comparison.
    sums
        ``now``, and ``before`` and ``year`` where the data reach.
    blocks
        For 1 and 7 days: sums of all segments of each day or week, by its first day.
    spend
        ``date``, ``channel``, ``spend_amount``; None where the shop has none.
    targets
        Net sales planned.
    known
        What the source can tell.
    confidence_level, lang
        Of the report.
    """
    assert spans.now is not None
    rows = _period_rows(spans.now, spans, sums, spend, targets, known, confidence_level)
    sums_of = {
        days: dict(zip(one.index, one[list(MEASURES)].to_numpy(dtype=float), strict=True))
        for days, one in blocks.items()
    }
    for grain, days in (("week", 7), ("day", 1)):
        for first in _starts(spans.now, days):
            rows += _block_rows(grain, first, days, spans, sums_of[days], spend, targets, known)
    table = pd.DataFrame(rows)
    table["metric_name"] = [label(one, lang, "sales_kpis") for one in table["metric"]]
    table["change"] = table["value"] - table["comparison_value"]
    table["relative_change"] = table["change"] / table["comparison_value"].where(table["comparison_value"] > 0)
    return table.reindex(columns=COLUMNS)


def _starts(now: Span, days: int) -> list[date]:
    """First days of the whole blocks of a span, counted back from its end."""
    return [now.end - timedelta(days=days * number) for number in range(now.days // days, 0, -1)]


def _period_rows(
    now: Span,
    spans: Spans,
    sums: dict[str, Sums],
    spend: pd.DataFrame | None,
    targets: Targets,
    known: Known,
    confidence_level: float,
) -> list[dict]:
    values = {name: figures(one.total) for name, one in sums.items()}
    mine, theirs = sums["now"], sums.get("before")
    own = bounds(mine.by_bucket.sum(axis=1), None, _stacked, confidence_level)
    moved = None
    if theirs is not None:
        pair = mine.by_bucket.sum(axis=1), theirs.by_bucket.sum(axis=1)
        moved = bounds(*pair, _difference, confidence_level)
    rows = []
    for place, name in enumerate(FIGURES):
        row = _row("period", now.first, now.end, name)
        if known.figure(name):
            sure = known.people and has_enough(mine)
            sure_change = known.people and theirs is not None and has_enough(mine, theirs)
            row["value"] = float(values["now"][name])
            row["ci_lower"], row["ci_upper"] = (one[place] if sure else np.nan for one in own)
            if "before" in values:
                row["comparison_value"] = float(values["before"][name])
            if moved is not None and sure_change:
                row["change_ci_lower"], row["change_ci_upper"] = (one[place] for one in moved)
            if "year" in values:
                row["previous_year_value"] = float(values["year"][name])
            if name == "net_amount":
                row["target_amount"] = targets.amount(now.first, now.end)
        rows.append(row)
    wanted = {"value": now, "comparison_value": spans.before, "previous_year_value": spans.year}
    spent = {column: _spent(spend, one.first, one.end) for column, one in wanted.items() if one is not None}
    return [*rows, _row("period", now.first, now.end, SPEND) | spent]


def _stacked(now: Floats, _before: Floats | None) -> Floats:
    found = figures(now)
    return np.stack([found[name] for name in FIGURES], axis=-1)


def _difference(now: Floats, before: Floats | None) -> Floats:
    assert before is not None
    return _stacked(now, None) - _stacked(before, None)


def _block_rows(
    grain: str,
    first: date,
    days: int,
    spans: Spans,
    blocks: dict[date, Floats],
    spend: pd.DataFrame | None,
    targets: Targets,
    known: Known,
) -> list[dict]:
    end = first + timedelta(days=days)
    firsts = {
        "value": first,
        "comparison_value": _compared(first, days, spans),
        "previous_year_value": first - timedelta(days=YEAR_DAYS),
    }
    values = {column: figures(_sums_of(blocks, one, spans.data)) for column, one in firsts.items() if one is not None}
    rows = []
    for name in FIGURES:
        row = _row(grain, first, end, name)
        if known.figure(name):
            row |= {column: float(found[name]) for column, found in values.items()}
            if name == "net_amount":
                row["target_amount"] = targets.amount(first, end)
        rows.append(row)
    spent = {
        column: _spent(spend, one, one + timedelta(days=days))
        for column, one in firsts.items()
        if one is not None and spans.data.first <= one
    }
    return [*rows, _row(grain, first, end, SPEND) | spent]


def _compared(first: date, days: int, spans: Spans) -> date | None:
    """The day or week that one is compared with; a chosen comparison is gone through in order, from its first day."""
    assert spans.now is not None
    if spans.compare_to == "previous_period":
        return first - timedelta(days=7)
    if spans.compare_to == "previous_year":
        return first - timedelta(days=YEAR_DAYS)
    moved = spans.wanted_first + (first - spans.now.first)
    is_whole = (spans.now.end - moved).days % days == 0
    last = min(spans.wanted_end, spans.now.end)  # days after the period are compared as a whole only
    return moved if is_whole and moved + timedelta(days=days) <= last else None


def _sums_of(blocks: dict[date, Floats], first: date, data: Span) -> Floats:
    """Sums of the day or week that begins on a day: 0 where nobody came, NaN outside the data."""
    if first in blocks:
        return blocks[first]
    return np.full(len(MEASURES), 0.0 if data.first <= first < data.end else np.nan)


def _row(grain: str, first: date, end: date, name: str) -> dict:
    empty = dict.fromkeys(_VALUES, np.nan)
    return {"grain": grain, "start_date": first.isoformat(), "end_date": end.isoformat(), "metric": name} | empty


def _spent(spend: pd.DataFrame | None, first: date, end: date) -> float:
    if spend is None:
        return float("nan")
    return float(spend.loc[(spend["date"] >= first) & (spend["date"] < end), SPEND].sum())
