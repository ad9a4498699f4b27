import json
from dataclasses import replace

import fake
import pandas as pd
import pytest

from workbench.errors import ParameterError
from workbench.report.charts import enable_charts
from workbench.report.publish import plain_value, publish, write_csv
from workbench.report.show import (
    first_screen,
    show_data,
    show_definitions,
    show_findings,
    show_limits,
    show_table,
)
from workbench.report.table import format_column, html_table


def test_the_first_screen_says_verdict_flags_and_worth():
    block = first_screen(fake.analyse("en"))
    assert "Live rooms convert best" in block.html
    assert "The data are 12 days old." in block.html
    assert "<strong>123.5k</strong> <span>(98.0k – 150.0k)</span>" in block.html
    assert "randomized test" in block.html
    assert "data up to 2026-03-31" in block.html
    assert fake.BAD_NAME not in block.html
    assert "Live rooms convert best" in repr(block)


def test_blocks_show_in_jupyterlab_without_the_reports_style():
    html = show_findings(fake.analyse("zh"))._repr_html_()
    assert "<style>" in html
    assert "直播最好。" in html
    assert "<a " not in html  # there is no page to lead through


def test_tables_are_named_and_written_as_the_glossary_says():
    html = show_table(fake.analyse("zh"), "channel_funnel").html
    assert "转化率" in html
    assert '<td class="wb-number">5.1%</td>' in html
    assert '<td class="wb-number">1,234,568</td>' in html
    assert '<th scope="row">live</th>' in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert 'href="#def-conversion_rate"' in html


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(ParameterError, match='did you mean "channel_funnel"'):
        show_table(fake.analyse("en"), "channel_funel")


def test_a_long_table_folds_its_tail():
    html = show_table(fake.analyse("en"), "daily").html
    head, tail = html.split("<details", 1)
    assert head.count("<tr>") == 1 + 15
    assert tail.count("<tr>") == 1 + 45
    assert "Show 45 more rows" in tail
    assert "more rows are in" not in html


def test_a_very_long_table_is_cut_and_says_where_the_rest_is():
    analysis = fake.analyse("en")
    daily = pd.concat([analysis.tables["daily"]] * 20, ignore_index=True)
    long = replace(analysis, tables={**analysis.tables, "daily": daily})
    html = show_table(long, "daily").html
    assert html.count("<tr>") == 2 + 200  # a heading for the rows shown and one for those folded
    assert "1,000 more rows are in tables/daily.csv." in html
    assert "其余 1,000 行见 tables/daily.csv。" in show_table(replace(long, lang="zh"), "daily").html


def test_an_empty_table_still_has_its_headings():
    html = html_table(["a"], [[]], [False], caption="nothing", lang="en")
    assert '<th scope="col">a</th>' in html


def test_numbers_are_written_in_their_unit():
    assert format_column(pd.Series([0.5, float("nan")]), "rate", "en") == ["50.0%", "–"]
    assert format_column(pd.Series([1234567, 3]), "count", "en") == ["1,234,567", "3"]
    assert format_column(pd.Series([-1.5, 0.25]), "amount", "en") == ["−1.50", "0.25"]
    assert format_column(pd.Series([True, False]), "number", "zh") == ["是", "否"]
    assert format_column(pd.Series([None, "a"]), "number", "en") == ["–", "a"]


def test_data_definitions_and_limits():
    analysis, shop = fake.analyse("en"), fake.FakeShop()
    data = show_data(analysis, shop).html
    assert "1,200,345" in data
    assert "2026-01-01" in data  # 31 December 17:00 UTC is the next day in Shanghai
    assert "Orders have no channel." in data
    definitions = show_definitions(analysis).html
    assert definitions.count('id="def-order_count"') == 1  # it stands in two tables
    assert "does not prove a cause" in show_limits(analysis).html
    assert "No limits" in show_limits(replace(analysis, notes=())).html


def test_publish_outside_a_run_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_OUT", raising=False)
    publish(fake.analyse("en"), fake.FakeShop())
    assert list(tmp_path.iterdir()) == []


def test_publish_leaves_the_analysis_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_OUT", str(tmp_path))
    analysis = fake.analyse("en")
    before = analysis.tables["channel_funnel"].copy()
    publish(analysis, fake.FakeShop())
    pd.testing.assert_frame_equal(analysis.tables["channel_funnel"], before)
    assert json.loads((tmp_path / "findings.json").read_text())["name"] == "demo"


def test_csv_cells(tmp_path):
    table = pd.DataFrame(
        {
            "=name": ["\tx", "+1", 'a"b,c', "line\nbreak", "\rx"],
            "number": [-1.0, 1 / 3, 1e20, float("inf"), 0.0],
            "at": pd.to_datetime(["2026-01-01 10:00"] * 4 + [None], utc=True),
        }
    )
    write_csv(table, tmp_path / "x.csv")
    back = pd.read_csv(tmp_path / "x.csv", keep_default_na=True)
    assert list(back.columns) == ["'=name", "number", "at"]
    assert list(back["'=name"]) == ["'\tx", "'+1", 'a"b,c', "line\nbreak", "'\rx"]
    assert back["number"][0] == -1
    assert back["number"][1] == 0.333333333333
    assert pd.isna(back["number"][3])
    assert back["at"][0] == "2026-01-01T10:00:00+00:00"


def test_plain_values_are_json():
    values = [pd.NA, pd.NaT, float("nan"), float("inf"), pd.Timestamp("2026-01-02"), pd.Series([1])[0], True]
    assert [plain_value(value) for value in values] == [None, None, None, None, "2026-01-02", 1, True]


def test_charts_are_handed_over_in_a_report_and_live_elsewhere(monkeypatch):
    alt = pytest.importorskip("altair")
    monkeypatch.setenv("WORKBENCH_MODE", "report")
    enable_charts()
    shown = fake.lines(fake.analyse("en"))._repr_mimebundle_()
    assert set(shown) == {"application/vnd.workbench.chart+json", "text/plain"}
    monkeypatch.delenv("WORKBENCH_MODE")
    enable_charts()
    assert (alt.renderers.active, alt.renderers.options) == ("jupyter", {"offline": True})
    alt.renderers.enable("default")
    alt.theme.enable("default")
