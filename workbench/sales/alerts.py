"""Which days and weeks are beyond what their own history explains, ranked by money, and what drives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy import stats

from workbench.contract import UNKNOWN
from workbench.errors import ParameterError
from workbench.glossary import label
from workbench.language import Language
from workbench.period import parse_date
from workbench.sales.contribution import chain
from workbench.sales.figures import GROSS, MEASURES, NET, Known, figures
from workbench.sales.spans import Span
from workbench.stats.alarms import SeriesAlarms, series_alarms
from workbench.stats.decomposition import factors_of, lmdi
from workbench.stats.intervals import Floats

MOST_SEGMENTS = 6
"""Net sales of so many segments, the largest, are watched beside the totals."""
SHOWN_DAYS = 84
"""The history shown before the end of the period."""
LEAST_SHARE = 0.01
"""Without a minimum of money, alerts of less than this part of a usual week's net sales are left out."""
_USUAL_WEEKS = 4
_SPREAD_WEEKS = 26
_LEAST_MOVED = 8  # periods before that say how a segment moves beside the others
_RARE = 0.05
COLUMNS = [
    "rank",
    "grain",
    "start_date",
    "end_date",
    "metric",
    "metric_name",
    "segment",
    "value",
    "expected_value",
    "expected_lower",
    "expected_upper",
    "relative_change",
    "amount",
    "driving_factor",
    "driving_segment",
]
WATCHED_COLUMNS = [
    "grain",
    "metric_name",
    "segment",
    "start_date",
    "value",
    "expected_value",
    "expected_lower",
    "expected_upper",
    "least_fall",
    "least_rise",
    "history_count",
    "reason",
    "metric",
    "series",
]
HISTORY_COLUMNS = [
    "date",
    "net_amount",
    "expected_value",
    "expected_lower",
    "expected_upper",
    "is_alarm",
    "is_in_period",
]


@dataclass(frozen=True)
class Alerts:
    """Alerts of the period, the history of net sales that the picture shows, and what the search could not judge.

    Attributes
    ----------
    table, history, watched
        ``sales_alerts``, ``sales_history`` and ``sales_watched``.
    silent
        Grains (``day``, ``week``) of which nothing could be judged for want of history.
    minimum
        Alerts of less money were left out.
    series_count
        Series watched together.
    """

    table: pd.DataFrame
    history: pd.DataFrame
    watched: pd.DataFrame
    silent: tuple[str, ...]
    minimum: float
    series_count: int

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by their names in the report."""
        return {"sales_alerts": self.table, "sales_watched": self.watched, "sales_history": self.history}


def annotated_days(written: Sequence[str]) -> frozenset[date]:
    """Days with a known reason, read from their texts."""
    days = [parse_date(one, "annotated_dates") for one in written]
    if None in days:
        raise ParameterError("annotated_dates: null is not a day. Write each as 2026-06-18.")
    return frozenset(one for one in days if one is not None)


def no_alerts() -> Alerts:
    """Where there is nothing to watch."""
    table, history, watched = (pd.DataFrame(columns=one) for one in (COLUMNS, HISTORY_COLUMNS, WATCHED_COLUMNS))
    return Alerts(table, history, watched, (), float("nan"), 0)


def find_alerts(
    blocks: dict[int, pd.DataFrame],
    now: Span,
    known: Known,
    *,
    false_alarms_per_month: float,
    annotated: frozenset[date],
    minimum: float | None,
    lang: Language,
) -> Alerts:
    """Watch net sales, its factors, and the net sales of the largest segments, by day and by week.

    Parameters
    ----------
    blocks
        For 1 and 7 days: sums by first day and segment, up to the end of the period.
    now
        The period; only its days and weeks are alerts.
    known
        What the source can tell; without money nothing is watched.
    false_alarms_per_month
        The dial over all series together; days and weeks take half of it each.
    annotated
        Days neither judged nor learned from; a week with such a day is left out whole.
    minimum
        Money below which an alert is left out; None: ``LEAST_SHARE`` of the usual week.
    lang
        Language of the names.
    """
    if not known.money or blocks[1].empty:
        return no_alerts()
    cubes = {days: _cube(blocks[days], now, days) for days in (1, 7)}
    daily_net = cubes[1].sums[:, :, NET].sum(axis=1)
    usual = 7 * float(np.median(daily_net[-8 * 7 :]))
    least = minimum if minimum is not None else max(LEAST_SHARE * usual, 0.0)
    rows: list[dict] = []
    watched: list[dict] = []
    silent, history, count = [], pd.DataFrame(columns=HISTORY_COLUMNS), 0
    for days, grain in ((7, "week"), (1, "day")):
        cube = cubes[days]
        judged = min(now.days // days, len(cube.firsts))
        if not judged:
            continue
        names, values = _series(cube, known)
        count = max(count, len(names))
        excluded = np.array(
            [any(first + timedelta(days=one) in annotated for one in range(days)) for first in cube.firsts], dtype=bool
        )
        found = series_alarms(
            values,
            period="day" if days == 1 else "week",
            false_alarms_per_month=false_alarms_per_month / 2,
            annotated=excluded,
            judge_last=judged if days == 7 else max(judged, SHOWN_DAYS),
        )
        if np.isnan(found.lower[-judged:]).all():
            silent.append(grain)
        watched += _watched(cube, found, values, names, judged, grain)
        for period, series in np.argwhere(found.is_alarm):
            if period >= len(values) - judged:
                rows.append(_alert(cube, found, values, names, period, series, grain, known, excluded))
        if days == 1:
            history = _history(cube, found, now, values)
    table = pd.DataFrame(rows)
    if len(table):
        table = table[table["amount"].abs() >= least]
        table = table.assign(_size=-table["amount"].abs(), _segment=table["segment"].fillna(""))
        table = table.sort_values(["_size", "grain", "start_date", "metric", "_segment"], ignore_index=True)
        table = table.assign(rank=range(1, len(table) + 1))
        table["metric_name"] = [label(one, lang, "sales_alerts") for one in table["metric"]]
    seen = pd.DataFrame(watched)
    if len(seen):
        seen["metric_name"] = [label(one, lang, "sales_alerts") for one in seen["metric"]]
    seen = seen.reindex(columns=WATCHED_COLUMNS)
    return Alerts(table.reindex(columns=COLUMNS), history, seen, tuple(silent), least, count)


@dataclass(frozen=True)
class _Cube:
    """Sums by block, segment and measure; ``firsts`` are the first days of the blocks, all of them."""

    firsts: list[date]
    segments: list[str]
    sums: Floats
    days: int


def _cube(blocks: pd.DataFrame, now: Span, days: int) -> _Cube:
    start = blocks["first"].min() if len(blocks) else now.end
    count = (now.end - start).days // days
    firsts = [now.end - timedelta(days=days * (count - number)) for number in range(count)]
    size = blocks.groupby("segment")["net_amount"].sum().reset_index()
    segments = list(size.sort_values(["net_amount", "segment"], ascending=[False, True])["segment"])
    place = {name: number for number, name in enumerate(segments)}
    row = {first: number for number, first in enumerate(firsts)}
    sums = np.zeros((count, len(segments), len(MEASURES)))
    at = blocks["first"].map(row).to_numpy(dtype=int), blocks["segment"].map(place).to_numpy(dtype=int)
    sums[at] = blocks[list(MEASURES)].to_numpy(dtype=float)
    return _Cube(firsts, segments, sums, days)


def _series(cube: _Cube, known: Known) -> tuple[list[tuple[str, str | None]], Floats]:
    """Names (metric, segment) and values of the series watched; the first is net sales."""
    total = figures(cube.sums.sum(axis=1))
    watched = [
        "net_amount",
        *[name for name in ("visitor_count", "conversion_rate", "gross_per_order") if known.figure(name)],
    ]
    names: list[tuple[str, str | None]] = [(name, None) for name in watched]
    values = [total[name] for name in watched]
    if len(cube.segments) > 1:
        for place, segment in enumerate(cube.segments[:MOST_SEGMENTS]):
            names.append(("net_amount", segment))
            values.append(cube.sums[:, place, NET])
    return names, np.maximum(np.stack(values, axis=1), 0.0)


def _alert(
    cube: _Cube,
    found: SeriesAlarms,
    values: Floats,
    names: list[tuple[str, str | None]],
    period: int,
    series: int,
    grain: str,
    known: Known,
    excluded: Floats,
) -> dict:
    metric, segment = names[series]
    value, expected = values[period, series], found.expected[period, series]
    relative = value / expected - 1 if expected > 0 else np.nan
    amount = value - expected if metric == "net_amount" else relative * found.expected[period, 0]
    factor, where = _driver(cube, period, segment, amount, known, excluded)
    first = cube.firsts[period]
    return {
        "grain": grain,
        "start_date": first.isoformat(),
        "end_date": (first + timedelta(days=cube.days)).isoformat(),
        "metric": metric,
        "segment": segment,
        "value": value,
        "expected_value": expected,
        "expected_lower": found.lower[period, series],
        "expected_upper": found.upper[period, series],
        "relative_change": relative,
        "amount": amount,
        "driving_factor": factor if metric == "net_amount" else metric,
        "driving_segment": where,
    }


def _driver(
    cube: _Cube, period: int, segment: str | None, amount: float, known: Known, excluded: Floats
) -> tuple[str | None, str | None]:
    """The factor that moved most in the alert's direction, and a segment that did beyond its share, if any.

    Both against the mean of the periods of ``_usual``.
    """
    usual = _usual(cube, period, excluded)
    if not usual:
        return None, segment
    new, old = cube.sums[period], cube.sums[usual].mean(axis=0)
    chosen = slice(None) if segment is None else slice(cube.segments.index(segment), cube.segments.index(segment) + 1)
    levels, names = chain(known)
    parts = lmdi(factors_of(old[chosen].sum(axis=0)[levels]), factors_of(new[chosen].sum(axis=0)[levels]))
    sign = 1.0 if amount >= 0 else -1.0
    factor = names[int(np.argmax(sign * parts))] if (sign * parts).max() > 0 else None
    if segment is not None or len(cube.segments) < 2:
        return factor, segment
    return factor, _beyond_share(cube, period, sign, excluded)


def _usual(cube: _Cube, period: int, excluded: Floats) -> list[int]:
    """For a day the same weekdays of the four weeks before, for a week these four; not those with a known reason."""
    step = 7 // cube.days
    last = max(period - step * _USUAL_WEEKS, 0)
    return [one for one in range(period - step, last - 1, -step) if not excluded[one]]


def _beyond_share(cube: _Cube, period: int, sign: float, excluded: Floats) -> str | None:
    """The segment that moved beyond its share of what all did, and beyond what it ever does; None where none did.

    What is judged is the change of the segment's share of the gross amount since the weeks before, less where the whole
    has fallen: shares of few orders move more. It is compared with those of the periods before by Student's t, their
    spread taken robustly, at 5 % over all segments together.
    """
    kept = [one for one, name in enumerate(cube.segments[:MOST_SEGMENTS]) if name != UNKNOWN]
    gross = cube.sums[:, :, GROSS]
    found = []
    for one in range(max(period - _SPREAD_WEEKS * 7 // cube.days, 0), period + 1):
        before = _usual(cube, one, excluded)
        if (excluded[one] and one != period) or not before:
            continue
        old, new = gross[before].mean(axis=0), gross[one]
        if old.sum() > 0 and new.sum() > 0:
            smaller = min(1.0, new.sum() / old.sum()) ** 0.5
            found.append(smaller * (new / new.sum() - old / old.sum())[kept])
    if len(found) <= _LEAST_MOVED or not kept:
        return None
    past, size = np.array(found[:-1]), np.abs(found[:-1])
    spread = np.maximum(1.4826 * np.median(size, axis=0), 1.2533 / 2 * size.mean(axis=0))
    score = np.divide(sign * found[-1], spread, out=np.zeros(len(kept)), where=spread > 0)
    limit = stats.t.isf(_RARE / len(kept), len(past) - 1)
    clear = np.where(score > limit, sign * found[-1], 0.0)
    return cube.segments[kept[int(np.argmax(clear))]] if clear.max() > 0 else None


def _watched(
    cube: _Cube, found: SeriesAlarms, values: Floats, names: list[tuple[str, str | None]], judged: int, grain: str
) -> list[dict]:
    """What each series would have had to do for an alert, in the last period that was judged."""
    rows = []
    for series, (metric, segment) in enumerate(names):
        known = np.flatnonzero(~np.isnan(found.lower[-judged:, series])) + len(values) - judged
        at = int(known[-1]) if len(known) else len(values) - 1
        expected, lower, upper = (one[at, series] for one in (found.expected, found.lower, found.upper))
        rows.append(
            {
                "grain": grain,
                "metric": metric,
                "segment": segment,
                "series": metric if segment is None else f"{metric} {segment}",
                "start_date": cube.firsts[at].isoformat(),
                "value": values[at, series],
                "expected_value": expected,
                "expected_lower": lower,
                "expected_upper": upper,
                "least_fall": lower / expected - 1 if expected > 0 and lower > 0 else np.nan,
                "least_rise": upper / expected - 1 if expected > 0 else np.nan,
                "history_count": at,
                "reason": found.reason[at, series],
            }
        )
    return rows


def _history(cube: _Cube, found: SeriesAlarms, now: Span, values: Floats) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "date": [one.isoformat() for one in cube.firsts],
            "net_amount": cube.sums[:, :, NET].sum(axis=1),
            "expected_value": found.expected[:, 0],
            "expected_lower": found.lower[:, 0],
            "expected_upper": found.upper[:, 0],
            "is_alarm": found.is_alarm[:, 0],
            "is_in_period": [one >= now.first for one in cube.firsts],
        }
    )
    return table.tail(max(SHOWN_DAYS, now.days)).reset_index(drop=True)
