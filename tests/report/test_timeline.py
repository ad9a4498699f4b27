"""Annotations on charts: on every axis of days, nowhere else, and never beyond its days."""

import json
import re
from datetime import date
from itertools import pairwise

import altair as alt
import fake
import pandas as pd
import pytest

from workbench.report.annotations import Annotation
from workbench.report.figure import Figures
from workbench.report.timeline import annotate, read_days_as_local

DAYS = pd.DataFrame(
    {"date": pd.date_range("2026-01-01", periods=60).strftime("%Y-%m-%d"), "n": range(60), "g": ["a", "b"] * 30}
)
LINE = alt.Chart(DAYS).mark_line().encode(x="date:T", y="n:Q")


def on(first, last=None, label="sale"):
    start = date.fromisoformat(first)
    return Annotation(start, date.fromisoformat(last) if last else start, label)


def drawn(chart, *annotations):
    """The specification with annotations, and those that were drawn."""
    spec = json.loads(json.dumps(chart.to_dict(), default=str))
    return spec, annotate(spec, spec["datasets"], annotations)


def marks(spec):
    """Rows of the marks, by their style, wherever they stand in a chart."""
    found = {}
    for match in [spec, *_nested(spec)]:
        if isinstance(match.get("mark"), dict) and str(match["mark"].get("style")).startswith("annotation"):
            found.setdefault(match["mark"]["style"], []).extend(match["data"]["values"])
    return found


def _nested(content):
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, dict):
            yield value
        if isinstance(value, dict | list):
            yield from _nested(value)


def test_a_day_is_a_line_and_a_span_a_band_between_its_first_and_last_point():
    spec, found = drawn(LINE, on("2026-01-10", label="outage"), on("2026-02-01", "2026-02-11", "sale"))
    assert [one.label for one in found.annotations] == ["outage", "sale"]
    rules, bands = (marks(spec)[f"annotation-{kind}"] for kind in ("rule", "band"))
    assert [row["date"] for row in rules] == ["2026-01-10T00:00:00"]
    assert [(row["date"], row["until"]) for row in bands] == [("2026-02-01T00:00:00", "2026-02-11T00:00:00")]
    assert {row["text"] for row in marks(spec)["annotation-name"]} == {"outage", "sale"}


def test_what_lies_outside_is_left_out_and_what_reaches_out_is_cut():
    spec, found = drawn(
        LINE,
        on("2025-12-31"),
        on("2026-03-02"),
        on("2025-12-20", "2025-12-31", "before"),
        on("2025-12-20", "2026-01-05", "into"),
        on("2026-02-20", "2026-03-20", "out of"),
        on("2026-01-01", label="first"),
        on("2026-03-01", label="last"),
    )
    assert sorted(one.label for one in found.annotations) == ["first", "into", "last", "out of"]
    instants = {row[end] for rows in marks(spec).values() for row in rows for end in ("date", "until") if end in row}
    assert (min(instants), max(instants)) == ("2026-01-01T00:00:00", "2026-03-01T00:00:00")


def test_a_chart_without_an_axis_of_days_stays_as_it_is():
    others = [
        fake.bars(fake.analyse("en")),
        LINE.encode(x="n:Q"),
        LINE.encode(x="yearmonth(date):T"),
        LINE.encode(x="n:Q", y="date:T"),
        LINE.transform_filter("datum.n > random()"),  # nobody knows where it ends
        LINE.transform_aggregate(n="sum(n)", groupby=["date"]),
        alt.Chart(DAYS.head(1)).mark_line().encode(x="date:T", y="n:Q"),
    ]
    for chart in others:
        spec = json.loads(json.dumps(chart.to_dict(), default=str))
        before = json.dumps(spec)
        assert annotate(spec, spec["datasets"], (on("2026-01-01", "2026-01-20"),)).annotations == ()
        assert json.dumps(spec) == before


def test_filters_that_hide_the_end_of_the_data_end_the_axis():
    table = DAYS.assign(is_in_period=DAYS["date"] < "2026-02-01")
    chart = alt.Chart(table).transform_filter("datum.is_in_period").mark_point().encode(x="date:T", y="n:Q")
    assert drawn(chart, on("2026-02-01"))[1].annotations == ()
    assert len(drawn(chart, on("2026-01-31"))[1].annotations) == 1


def test_points_without_a_value_do_not_lengthen_the_axis_but_lines_do():
    table = DAYS.assign(n=[None if day > 40 else day for day in range(60)])
    points = alt.Chart(table).mark_point().encode(x="date:T", y="n:Q")
    late = on("2026-02-20")
    assert drawn(points, late)[1].annotations == ()
    assert len(drawn(points.mark_line(), late)[1].annotations) == 1


def test_panels_side_by_side_and_around_each_carry_them():
    day = on("2026-01-10")
    beside = alt.hconcat(LINE, LINE.encode(x="n:Q"))
    for chart, count in (
        (beside, 1),
        (LINE.facet("g:N", columns=1), 1),
        (LINE.encode(column="g:N").properties(width=200), 1),
        (LINE.encode(facet=alt.Facet("g:N", columns=1)), 1),
        (alt.vconcat(LINE, alt.layer(LINE, LINE.mark_point())), 2),
    ):
        spec, found = drawn(chart, day)
        assert found.annotations == (day,)
        assert len(marks(spec)["annotation-rule"]) == count
        Figures("en", (day,)).add(json.loads(json.dumps(chart.to_dict(), default=str)))
    assert drawn(LINE.facet("g:N").resolve_scale(x="independent"), day)[1].annotations == ()


def test_the_zone_that_the_data_carry_is_that_of_the_marks():
    at = pd.date_range("2026-01-01", periods=48, freq="h", tz="Asia/Shanghai")
    chart = alt.Chart(pd.DataFrame({"at": [one.isoformat() for one in at], "n": range(48)})).mark_line()
    spec, _ = drawn(chart.encode(x="at:T", y="n:Q"), on("2026-01-02"))
    assert marks(spec)["annotation-rule"][0]["at"] == "2026-01-02T00:00:00+08:00"
    spec, _ = drawn(chart.encode(x="at:T", y="n:Q"), on("2026-01-01", "2026-01-02"))
    assert marks(spec)["annotation-band"][0]["until"] == "2026-01-02T23:00:00+08:00"


def test_names_that_would_overlap_become_numbers_and_numbers_that_would_share_a_place():
    far = (on("2026-01-05", label="one"), on("2026-02-20", label="two"))
    assert not drawn(LINE, *far)[1].is_numbered
    near = tuple(on(f"2026-01-{10 + day}", label=f"event number {day}") for day in range(9))
    spec, found = drawn(LINE, *near)
    assert found.is_numbered
    texts = [row["text"] for row in marks(spec)["annotation-name"]]
    told = [int(end) for text in texts for end in text.split("–")]
    assert (min(told), max(told)) == (1, 9)
    assert len(texts) < 9
    assert len(marks(spec)["annotation-rule"]) == 9


@pytest.mark.parametrize("count", [1, 2, 5, 30, 100])
def test_the_texts_on_a_phone_are_apart(count):
    days = pd.date_range("2026-01-01", periods=60)
    many = tuple(sorted({on(f"{days[one * 59 // count]:%Y-%m-%d}", label=f"事件 {one}") for one in range(count)}))
    spec, found = drawn(LINE, *many)
    assert len(found.annotations) == len(many)
    spans = []
    for layer in spec["layer"]:
        if isinstance(layer["mark"], dict) and layer["mark"]["type"] == "text":
            for row in layer["data"]["values"]:
                at = 270 * (pd.Timestamp(row["date"]) - days[0]) / (days[-1] - days[0])
                wide = sum(10 if letter > "\u2e7f" else 5.5 for letter in row["text"])
                begin = at - {"left": 0, "center": wide / 2, "right": wide}[layer["mark"]["align"]]
                spans.append((begin, begin + wide))
    assert spans
    assert all(one[1] <= other[0] for one, other in pairwise(sorted(spans))), spans


def test_the_annotations_of_a_chart_are_told_in_words():
    numbered = Figures("en", (on("2026-01-10", label="<b>x</b> " * 4), on("2026-01-11", label="second one")))
    html = numbered.add(json.loads(json.dumps(LINE.to_dict(), default=str)))
    assert '<ol class="wb-marks" aria-label="Marked days"><li><span>2026-01-10</span> <b>&lt;b&gt;x' in html
    assert "<b>x</b>" not in html
    named = Figures("zh", (on("2026-01-10", "2026-01-12", "大促"),))
    html = named.add(json.loads(json.dumps(LINE.to_dict(), default=str)))
    assert '<ol class="wb-marks wb-unseen" aria-label="标注的日期"><li><span>2026-01-10 – 2026-01-12</span>' in html
    assert "大促</text>" in html


def test_the_axis_is_named_as_before():
    for chart in (LINE, LINE.encode(x=alt.X("date:T", title=None)), LINE.encode(x=alt.X("date:T", title="Day"))):
        one = json.loads(json.dumps(chart.to_dict(), default=str))
        titles = [
            re.findall(r"role-axis-title[^>]*>(.*?)</g>", Figures("en", days).add(one), re.DOTALL)
            for days in ((), (on("2026-01-10"), on("2026-02-01", "2026-02-05", "other")))
        ]
        assert [re.findall(r">([^<]+)</text>", text) for text in titles[0]] == [
            re.findall(r">([^<]+)</text>", text) for text in titles[1]
        ]


def test_a_written_day_is_that_day_west_of_greenwich_too():
    spec = json.loads(json.dumps(LINE.to_dict(), default=str))
    read_days_as_local(spec, spec["datasets"])
    assert spec["data"]["format"]["parse"] == {"date": "date:'%Y-%m-%d'"}
    other = json.loads(json.dumps(fake.lines(fake.analyse("en")).to_dict(), default=str))  # instants, not days
    read_days_as_local(other, other["datasets"])
    assert "format" not in other["data"]


def height(html):
    return float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', html)[1])


@pytest.mark.parametrize(
    "chart",
    [LINE.encode(color="g:N").properties(height=200), LINE.properties(height=90).facet("g:N", columns=1)],
    ids=["legend", "headings of panels"],
)
def test_names_have_a_room_of_their_own_above_the_plot(chart):
    one = json.loads(json.dumps(chart.to_dict(), default=str))
    bare, marked = (height(Figures("en", days).add(one)) for days in ((), (on("2026-01-10"),)))
    assert marked - bare >= 13


def test_charts_on_the_page_read_days_as_local():
    figures = Figures("en")
    figures.add(json.loads(json.dumps(LINE.to_dict(), default=str)))
    assert figures.specs[0]["data"]["format"]["parse"] == {"date": "date:'%Y-%m-%d'"}
