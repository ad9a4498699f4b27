"""Draw annotations on the charts that have an axis of days: a line for a day, a light band for a span, and their names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any

from workbench.report.annotations import Annotation

Spec = dict[str, Any]
_NARROW, _NARROW_PANEL = 270, 130
"""Width of a plot on a phone, in pixels: names that do not overlap there do nowhere."""
_LETTER, _WIDE_LETTER, _LONGEST, _GAP = 5.6, 10.5, 110, 8
_ABOVE = 14
_CONCATS, _FACETS = ("hconcat", "vconcat", "concat"), ("row", "column", "facet")
_OF_THE_VIEW = ("data", "transform", "mark", "encoding", "layer", "projection", "resolve", "name")
_KEEP_ROWS = {"calculate", "window", "joinaggregate"}
_PATHS = ("line", "area", "trail")
_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ZONE = re.compile(r"T.*?(Z|[+-]\d{2}:?\d{2})$")
_FLAG = re.compile(r"(!?)(isValid\()?datum\.(\w+)(\))?")


@dataclass(frozen=True)
class Drawn:
    """What was drawn on a chart.

    Attributes
    ----------
    annotations
        Those inside its days, in the order of their numbers.
    is_numbered
        Whether it shows their numbers, because their names would overlap.
    """

    annotations: tuple[Annotation, ...] = ()
    is_numbered: bool = False


@dataclass(frozen=True)
class _Given:
    """What a part of a chart inherits: rows (None if unknown), filters passed (None if one cannot be read), encoding."""

    datasets: Mapping[str, Any]
    rows: list[Any] | None = None
    filters: tuple[str, ...] | None = ()
    encoding: Mapping[str, Any] | None = None

    def below(self, spec: Spec) -> "_Given":
        """What the parts of a specification inherit."""
        given = self
        if "data" in spec:
            given = replace(given, rows=_rows(spec["data"], self.datasets), filters=())
        filters = given.filters
        for one in spec.get("transform", []):
            if isinstance(one.get("filter"), str) and _FLAG.fullmatch(one["filter"]):
                filters = None if filters is None else (*filters, one["filter"])
            elif not _KEEP_ROWS & one.keys():
                filters = None
        return replace(given, filters=filters, encoding={**(self.encoding or {}), **spec.get("encoding", {})})


@dataclass(frozen=True)
class _Axis:
    """The axis of days of a view: how it is encoded, its first and last instant, the zone that its texts carry."""

    x: Mapping[str, Any]
    first: datetime
    last: datetime
    zone: str

    def place(self, at: datetime) -> float:
        """Where an instant lies, from 0 to 1."""
        return (at - self.first) / (self.last - self.first)


@dataclass(frozen=True)
class _Mark:
    """An annotation on an axis, cut at its ends."""

    annotation: Annotation
    start: datetime
    end: datetime


def annotate(spec: Spec, datasets: Mapping[str, Any], annotations: Sequence[Annotation]) -> Drawn:
    """Draw annotations on every view of a chart that has an axis of days; other views stay as they are.

    Only what lies within the days of a view is drawn, so that no axis grows.

    Parameters
    ----------
    spec
        A Vega-Lite specification; changed in place.
    datasets
        Its data by name.
    annotations
        By day.
    """
    views = []
    for view, given in _views(spec, _Given(datasets)) if annotations else ():
        axis = _axis(view, given)
        marks = _marks(axis, annotations) if axis else []
        if axis and marks:
            views.append((view, axis, marks))
    width = _NARROW if all(view is spec for view, _, _ in views) else _NARROW_PANEL
    is_numbered = any(len(_places(marks, axis, _names(marks), width)) < len(marks) for _, axis, marks in views)
    met = sorted({one.annotation for _, _, marks in views for one in marks})
    for view, axis, marks in views:
        texts = [str(met.index(one.annotation) + 1) for one in marks] if is_numbered else _names(marks)
        _wrap(view, axis, marks, _places(marks, axis, texts, width))
    if met:
        _make_room(spec)
    return Drawn(tuple(met), is_numbered)


def read_days_as_local(spec: Spec, datasets: Mapping[str, Any]) -> None:
    """Let a day written as 2026-11-11 be that day for every reader; a browser takes it for midnight in Greenwich.

    Parameters
    ----------
    spec
        A Vega-Lite specification; changed in place.
    datasets
        Its data by name.
    """
    for holder in list(_dictionaries(spec)):
        data = holder.get("data")
        rows = _rows(data, datasets)
        if not rows or not isinstance(data, dict):
            continue
        temporal = {one.get("field") for one in _dictionaries(holder) if one.get("type") == "temporal"}
        days = [name for name in temporal if isinstance(name, str) and _is_date_only(rows, name)]
        if days:
            form = data.get("format", {})
            parse = dict.fromkeys(sorted(days), "date:'%Y-%m-%d'") | (form.get("parse") or {})
            data["format"] = {**form, "parse": parse}


def _is_date_only(rows: Sequence[Any], name: str) -> bool:
    values = [row[name] for row in rows if row.get(name) is not None]
    return bool(values) and all(isinstance(value, str) and _DATE_ONLY.fullmatch(value) for value in values)


def _dictionaries(content: Any) -> Iterator[Spec]:
    """A specification and all that is nested in it, but not its data."""
    if isinstance(content, dict):
        yield content
        for key, value in content.items():
            if key not in ("data", "datasets"):
                yield from _dictionaries(value)
    elif isinstance(content, list):
        for value in content:
            yield from _dictionaries(value)


def _rows(data: Any, datasets: Mapping[str, Any]) -> list[Any] | None:
    if not isinstance(data, dict):
        return None
    rows = data.get("values", datasets.get(data.get("name", "")))
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _views(spec: Spec, given: _Given) -> Iterator[tuple[Spec, _Given]]:
    """The single views of a chart, each with what it inherits."""
    if "repeat" in spec:
        return
    if "mark" in spec and any(channel in spec.get("encoding", {}) for channel in _FACETS):
        _facet_around(spec)
    concat = next((key for key in _CONCATS if key in spec), "")
    if not concat and "facet" not in spec:
        yield spec, given
    elif concat or spec.get("resolve", {}).get("scale", {}).get("x") != "independent":
        for child in spec[concat] if concat else [spec["spec"]]:
            yield from _views(child, given.below(spec))


def _facet_around(spec: Spec) -> None:
    """Write panels that are an encoding as panels around a view: such a view can have layers."""
    encoding = dict(spec.pop("encoding"))
    facets = {channel: dict(encoding.pop(channel)) for channel in _FACETS if channel in encoding}
    inner = {key: spec.pop(key) for key in ("mark", "width", "height", "params", "name", "view") if key in spec}
    if "facet" in facets:
        facet = facets["facet"]
        spec |= {key: facet.pop(key) for key in ("columns", "spacing", "align", "bounds", "center") if key in facet}
        spec["facet"] = facet
    else:
        spec["facet"] = facets
    spec["spec"] = {**inner, "encoding": encoding}


def _axis(view: Spec, given: _Given) -> _Axis | None:
    """The axis of days of a view; None if it has none, or if nobody can tell where it begins and ends."""
    units = [(unit, own) for unit, own in _units(view, given) if "field" in ((own.encoding or {}).get("x") or {})]
    if not units or not all(_is_of_days(own.encoding["x"]) for _, own in units if own.encoding):
        return None
    texts: list[Any] = []
    for unit, own in units:
        texts += _texts(unit, own)
    instants = [_instant(text) for text in texts]
    known = [one for one in instants if one is not None]
    if not known or len(known) < len(instants) or min(known) == max(known):
        return None
    zone = _ZONE.search(str(texts[0]))
    x = (units[0][1].encoding or {})["x"]
    return _Axis(x, min(known), max(known), zone[1] if zone else "")


def _units(spec: Spec, given: _Given) -> Iterator[tuple[Spec, _Given]]:
    """The marks of a view, each with what holds for it."""
    own = given.below(spec)
    for layer in spec.get("layer", []):
        yield from _units(layer, own)
    if "mark" in spec:
        yield spec, own


def _is_of_days(x: Mapping[str, Any]) -> bool:
    is_plain = not x.get("aggregate") and not x.get("bin") and x.get("timeUnit") in (None, "yearmonthdate")
    return x.get("type") == "temporal" and is_plain and (x.get("scale") or {}).get("type", "time") == "time"


def _texts(unit: Spec, given: _Given) -> list[Any]:
    """The instants at which a mark stands, as the data write them; empty where that cannot be told."""
    encoding = given.encoding or {}
    domain = (encoding["x"].get("scale") or {}).get("domain")
    if domain is not None:
        return domain if isinstance(domain, list) else [None]
    if given.rows is None or given.filters is None:
        return []
    rows = [row for row in given.rows if all(_passes(row, one) for one in given.filters)]
    mark, y = unit["mark"], encoding.get("y") or {}
    if (mark if isinstance(mark, str) else mark.get("type")) not in _PATHS and y.get("type") == "quantitative":
        rows = [row for row in rows if y.get("field") not in row or row[y["field"]] is not None]
    fields = [channel["field"] for name in ("x", "x2") if "field" in (channel := encoding.get(name) or {})]
    return [row[name] for row in rows for name in fields if row.get(name) is not None]


def _passes(row: Mapping[str, Any], condition: str) -> bool:
    found = _FLAG.fullmatch(condition)
    assert found is not None, condition
    value = row.get(found[3])
    return (value is not None if found[2] else bool(value)) != bool(found[1])


def _instant(text: Any) -> datetime | None:
    """A time as it stands on the clock of its own zone."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except (TypeError, ValueError):
        return None


def _marks(axis: _Axis, annotations: Sequence[Annotation]) -> list[_Mark]:
    """The annotations within the days of an axis; a span ends with its last point, on an axis of hours with its day."""
    hours = axis.first.time() != time.min or axis.last.time() != time.min
    marks = []
    for one in annotations:
        start, last = (datetime.combine(day, time.min) for day in (one.start_date, one.last_date))
        end = last + timedelta(days=1) if hours else last
        if start <= axis.last and end >= axis.first and not (hours and end == axis.first):
            is_day = one.start_date == one.last_date
            start = max(start, axis.first)
            marks.append(_Mark(one, start, start if is_day else min(end, axis.last)))
    return marks


def _names(marks: Sequence[_Mark]) -> list[str]:
    return [one.annotation.label for one in marks]


def _width(text: str) -> float:
    """About how wide a text is drawn, in pixels."""
    return min(sum(_WIDE_LETTER if letter > "\u2e7f" else _LETTER for letter in text), _LONGEST) + _GAP


@dataclass(frozen=True)
class _Name:
    """A text above a plot: a number in the middle of its mark, a name from its start or, in the right half, to its end."""

    text: str
    at: datetime
    align: str


def _places(marks: Sequence[_Mark], axis: _Axis, texts: Sequence[str], width: int) -> list[_Name]:
    """Where texts stand on a plot of that width; those that would overlap share a place: ``2–5``."""
    names: list[_Name] = []
    until = -float("inf")
    for mark, text in zip(marks, texts, strict=True):
        wide, middle = _width(text), mark.start + (mark.end - mark.start) / 2
        align = "center" if text.isdigit() else "left" if axis.place(middle) < 0.5 else "right"  # noqa: PLR2004 (half)
        at = {"center": middle, "left": mark.start, "right": mark.end}[align]
        begin = axis.place(at) * width - {"center": wide / 2, "left": 0, "right": wide}[align]
        if begin < until:
            last = names.pop()
            joined = f"{last.text.split('–')[0]}–{text}"
            until += _width(joined) - _width(last.text)
            names.append(replace(last, text=joined))
        else:
            names.append(_Name(text, at, align))
            until = begin + wide
    return names


def _wrap(view: Spec, axis: _Axis, marks: Sequence[_Mark], names: Sequence[_Name]) -> None:
    """Make a view the middle one of layers: bands below it, lines and names above it."""
    inner = {key: view.pop(key) for key in _OF_THE_VIEW if key in view}
    if "mark" in inner and any("views" not in one for one in view.get("params", [])):
        inner["params"] = view.pop("params")
    field = axis.x["field"]
    is_named = "title" in axis.x or "title" in (axis.x.get("axis") or {})
    x = {"x": {**axis.x, **({} if is_named else {"title": field})}}

    def row(mark: _Mark) -> Spec:
        told = {"label": mark.annotation.label, "days": mark.annotation.days}
        return {field: _written(mark.start, axis), "until": _written(mark.end, axis), **told}

    def layer(rows: list[Spec], mark: Spec, **encoding: Any) -> Spec:
        return {"data": {"values": rows}, "mark": {**mark, "aria": False}, "encoding": {**x, **encoding}}

    told = [{"field": name, "type": "nominal", "title": ""} for name in ("label", "days")]
    spans = [row(mark) for mark in marks if mark.end > mark.start]
    days = [row(mark) for mark in marks if mark.end <= mark.start]
    band = {"type": "rect", "style": "annotation-band", "clip": True}
    rule = {"type": "rule", "style": "annotation-rule", "clip": True}
    below = [layer(spans, band, x2={"field": "until"}, tooltip=told)] if spans else []
    above = [layer(days, rule, tooltip=told)] if days else []
    for align in ("left", "center", "right"):
        rows = [{field: _written(one.at, axis), "text": one.text} for one in names if one.align == align]
        text = {"type": "text", "style": "annotation-name", "baseline": "bottom", "limit": _LONGEST, "align": align}
        shown = {"text": {"field": "text", "type": "nominal"}, "y": {"value": -3}}
        above += [layer(rows, text, **shown)] if rows else []
    view["layer"] = [*below, inner, *above]


def _written(at: datetime, axis: _Axis) -> str:
    return at.isoformat(timespec="seconds") + axis.zone


def _make_room(spec: Spec) -> None:
    """Keep legends, headings of panels and titles, which stand above a plot, off the names."""
    legends = [one["legend"] for one in _dictionaries(spec) if isinstance(one.get("legend"), dict)]
    if all(legend.get("orient", "top") == "top" for legend in legends):
        spec.setdefault("config", {}).setdefault("legend", {})["offset"] = 6 + _ABOVE
    spec.setdefault("config", {}).setdefault("header", {})["labelPadding"] = 6 + _ABOVE
    spec["config"].setdefault("title", {})["offset"] = 4 + _ABOVE
