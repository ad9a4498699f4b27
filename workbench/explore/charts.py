"""Pictures of a panel: those of the rooms with clicks added, and bars of a table where a picture cannot take them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from workbench.analysis import Analysis
from workbench.explore.question import View, imported
from workbench.language import Language, say
from workbench.report.charts import finite
from workbench.report.theme import chart_config
from workbench.report.words import column_heading, column_label, column_unit, column_words

PICK, BRUSH = "pick", "brush"
MOST_BARS = 20
_MARKS = ("point", "circle", "square", "bar", "rect", "tick", "text", "area", "line", "rule")
"""Marks in the order in which they take clicks."""
_NEAREST = {"point", "circle", "square", "tick"}
_FORMATS = {"rate": ".1%", "points": ".1%", "change": "+.0%", "count": ",.0f", "amount": ",.0f"}


@dataclass(frozen=True)
class Picture:
    """A chart, and what clicks on it say.

    Attributes
    ----------
    spec
        The chart with its selections, as Vega-Lite.
    pick_field
        Field of its data whose clicked values are handed over; "" if it takes no clicks.
    has_brush
        Whether days can be brushed.
    """

    spec: dict[str, Any]
    pick_field: str = ""
    has_brush: bool = False

    @property
    def selections(self) -> dict[str, str]:
        """Names and kinds of its selections."""
        kinds = {PICK: "point"} if self.pick_field else {}
        return kinds | ({BRUSH: "interval"} if self.has_brush else {})

    def to_dict(self) -> dict[str, Any]:
        """The chart as Vega-Lite."""
        return self.spec


def draw(
    view: View, analysis: Analysis, frame: pd.DataFrame, pick: str, parameters: Mapping[str, object], lang: Language
) -> Picture | None:
    """Draw a view: the room's picture if it takes the view's clicks, else bars of the table; None where there is nothing.

    Parameters
    ----------
    view
        Which view.
    analysis
        The analysis, its tables already filtered.
    frame
        The view's table, already filtered.
    pick
        Column of the table that clicks pick; "" for none.
    parameters
        Parameters of the analysis, of which some pictures want one.
    lang
        Language of axes.
    """
    chart = None
    if view.picture:
        chart = imported(view.picture)(analysis, *[parameters[name] for name in view.arguments])
    if chart is not None:
        return with_selections(chart, pick_fields(pick), view.brush)
    if not view.measure or view.measure not in frame or pick not in frame:
        return None
    bars = bar_picture(frame, view.table, pick, view.measure, lang)
    return with_selections(bars, [pick], "") if bars is not None else None


def pick_fields(pick: str) -> list[str]:
    """Fields that can stand for a column in a picture: itself, its name, and ``name``."""
    return [pick, f"{pick.removesuffix('_id')}_name", "name"] if pick else []


def bar_picture(frame: pd.DataFrame, table: str, pick: str, measure: str, lang: Language) -> alt.Chart | None:
    """Bars of one number for each value of a column, largest first; None where no row has both."""
    label = next((one for one in pick_fields(pick)[1:] if one in frame), pick)
    rows = frame[[*dict.fromkeys([pick, label, measure])]]
    rows = rows.assign(**{measure: pd.to_numeric(rows[measure], errors="coerce")}).dropna(subset=[pick, measure])
    rows = rows.drop_duplicates(pick).nlargest(MOST_BARS, measure)
    if rows.empty:
        return None
    words = column_words(pick, lang, table)
    said = rows[label].where(rows[label].notna(), rows[pick]).astype(str).map(lambda one: words.get(one, one))
    twice = said.duplicated(keep=False)
    shown = rows.assign(shown=said.where(~twice, said + " · " + rows[pick].astype(str)))
    unit = column_unit(measure, table)
    form = _FORMATS.get(unit, "~g")
    axis = alt.Axis(format=".0%" if unit == "rate" else "~s" if unit in ("count", "amount") else form)
    what = column_heading(measure, lang, table)
    return (
        alt.Chart(shown)
        .mark_bar(height=13)
        .encode(
            y=alt.Y("shown:N", sort=shown["shown"].tolist(), title=None, axis=alt.Axis(labelLimit=190)),
            x=alt.X(f"{measure}:Q", title=what, axis=axis),
            tooltip=[
                alt.Tooltip("shown:N", title=column_label(pick, lang, table)),
                alt.Tooltip(f"{measure}:Q", title=what, format=form),
            ],
        )
        .properties(width="container", height=21 * len(shown), title=_bar_title(what, len(shown), len(frame), lang))
    )


def _bar_title(what: str, shown: int, count: int, lang: Language) -> str:
    return what if shown == count else say(lang, f"{what}: the largest {shown}", f"{what}：最大的 {shown} 项")


def with_selections(chart: Any, fields: Sequence[str], brush: str) -> Picture:
    """Add clicks on the first of these fields that the chart's data have, and a brush over days; rooms stay as they are."""
    spec = chart.to_dict(validate=False)  # the rooms' tests validate; here it would take longer than all the rest
    spec["config"] = {**chart_config("light"), **spec.get("config", {}), "background": "transparent"}
    params, pick_field = spec.setdefault("params", []), ""
    units = list(_units(spec, spec.get("data"), spec.get("datasets", {})))
    for field in fields:
        takers = [one for one in units if field in one.columns and one.mark in _MARKS]
        if takers:
            taker = min(takers, key=lambda one: _MARKS.index(one.mark))
            pick_field = field
            params.append(_click(taker, field))
            break
    brushed = next((one for one in units if brush and one.x_field in (brush, "instant") and one.mark != "rule"), None)
    if brushed is not None:
        select = {"type": "interval", "encodings": ["x"]}
        params.append({"name": BRUSH, "select": select, "views": [_name_of(brushed.unit, "brushed_view")]})
    if not params:
        del spec["params"]
    return Picture(finite(spec), pick_field, brushed is not None)


@dataclass(frozen=True)
class _Unit:
    unit: dict[str, Any]
    mark: str
    columns: frozenset[str]
    x_field: str


def _units(spec: dict[str, Any], data: Any, datasets: Mapping[str, Any]) -> Iterator[_Unit]:
    """The drawn parts of a specification, each with the columns of its data."""
    data = spec.get("data", data)
    if "mark" in spec:
        mark = spec["mark"] if isinstance(spec["mark"], str) else spec["mark"]["type"]
        rows = datasets.get(str(data.get("name")), []) if isinstance(data, dict) else []
        x_field = spec.get("encoding", {}).get("x", {}).get("field", "")
        yield _Unit(spec, mark, frozenset(rows[0] if rows else ()), x_field)
    for part in ("layer", "hconcat", "vconcat", "concat"):
        for one in spec.get(part, []):
            yield from _units(one, data, datasets)
    if "spec" in spec:
        yield from _units(spec["spec"], data, datasets)


def _click(taker: _Unit, field: str) -> dict[str, Any]:
    unit = taker.unit
    mark = {"type": unit["mark"]} if isinstance(unit["mark"], str) else unit["mark"]
    unit["mark"] = {**mark, "cursor": "pointer"}
    select = {"type": "point", "fields": [field], "on": "click", "toggle": "event.shiftKey", "clear": "dblclick"}
    if taker.mark in _NEAREST:
        select["nearest"] = True  # type: ignore[assignment]
    return {"name": PICK, "select": select, "views": [_name_of(unit, "clicked_view")]}


def _name_of(unit: dict[str, Any], otherwise: str) -> str:
    """The name of a part of the chart, given one if it has none."""
    return str(unit.setdefault("name", otherwise))
