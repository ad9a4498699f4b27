"""Clicks on the rooms' pictures, and bars where a picture takes none."""

import altair as alt
import pandas as pd
import pytest

from workbench.explore.charts import BRUSH, PICK, bar_picture, pick_fields, with_selections

ROWS = pd.DataFrame(
    {"slot_id": ["a", "b"], "slot_name": ["Ant", "Bee"], "x": [1, 2], "date": ["2026-01-01", "2026-01-02"]}
)


def params(picture):
    return {one["name"]: one for one in picture.to_dict().get("params", [])}


def layered():
    rule = alt.Chart(pd.DataFrame({"limit": [1]})).mark_rule().encode(x="limit:Q")
    points = alt.Chart(ROWS).mark_point().encode(x="x:Q", y="slot_name:N")
    texts = alt.Chart(ROWS).mark_text().encode(x="x:Q", y="slot_name:N")
    return alt.layer(rule, texts, points)


class TestClicks:
    def test_they_go_to_the_points_that_carry_the_field(self):
        picture = with_selections(layered(), ["slot_id"], "")
        spec = picture.to_dict()
        assert picture.pick_field == "slot_id"
        select = params(picture)[PICK]["select"]
        assert select["fields"] == ["slot_id"]
        assert select["nearest"] is True
        named = [one.get("name") for one in spec["layer"]]
        assert params(picture)[PICK]["views"] == ["clicked_view"]
        assert named.index("clicked_view") == 2
        assert spec["layer"][2]["mark"]["cursor"] == "pointer"

    def test_a_name_stands_for_an_id_that_the_picture_lacks(self):
        rows = ROWS.drop(columns="slot_id")
        picture = with_selections(
            alt.Chart(rows).mark_bar().encode(x="x:Q", y="slot_name:N"), pick_fields("slot_id"), ""
        )
        assert picture.pick_field == "slot_name"
        assert "nearest" not in params(picture)[PICK]["select"]

    def test_a_picture_without_the_field_takes_none(self):
        picture = with_selections(layered(), ["coupon_id"], "")
        assert picture.pick_field == ""
        assert params(picture) == {}

    def test_panels_of_a_facet_take_them(self):
        facet = alt.Chart(ROWS).mark_bar().encode(x="x:Q").facet("slot_name:N")
        picture = with_selections(facet, ["slot_name"], "")
        assert params(picture)[PICK]["views"] == [picture.to_dict()["spec"]["name"]]

    def test_the_picture_of_the_room_stays_as_it_is(self):
        chart = layered()
        before = chart.to_dict()
        with_selections(chart, ["slot_id"], "")
        assert chart.to_dict() == before

    def test_the_data_are_all_there(self):
        spec = with_selections(layered(), ["slot_id"], "").to_dict()
        assert sorted(map(len, spec["datasets"].values())) == [1, 2]


def test_days_can_be_brushed():
    picture = with_selections(alt.Chart(ROWS).mark_line().encode(x="date:T", y="x:Q"), [], "date")
    assert picture.has_brush
    assert params(picture)[BRUSH]["select"] == {"type": "interval", "encodings": ["x"]}


class TestBars:
    def bars(self, frame, lang="en"):
        return bar_picture(frame, "demo", "slot_id", "click_count", lang)

    def test_largest_first_each_value_once_named(self):
        frame = pd.DataFrame(
            {
                "slot_id": ["a", "b", "c", "a", None],
                "slot_name": ["Ant", "Bee", "Bee", "Ant", "Nobody"],
                "click_count": [5, 9, 7, 5, 99],
            }
        )
        spec = self.bars(frame).to_dict()
        assert spec["encoding"]["y"]["sort"] == ["Bee · b", "Bee · c", "Ant"]
        assert spec["title"] == "Clicks: the largest 3"
        [rows] = spec["datasets"].values()
        assert [row["click_count"] for row in rows] == [9, 7, 5]

    def test_at_most_twenty(self):
        frame = pd.DataFrame({"slot_id": [str(one) for one in range(50)], "click_count": range(50)})
        spec = self.bars(frame, "zh").to_dict()
        assert len(spec["encoding"]["y"]["sort"]) == 20
        assert "最大的 20 项" in spec["title"]

    @pytest.mark.parametrize("values", [[], [None]])
    def test_nothing_gives_none(self, values):
        assert self.bars(pd.DataFrame({"slot_id": ["a"] * len(values), "click_count": values})) is None
