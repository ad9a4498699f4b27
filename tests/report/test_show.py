import json
from dataclasses import replace

import fake
import pandas as pd
import pytest

from workbench.errors import ParameterError
from workbench.language import format_amount, format_count, format_interval, format_rate
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
    assert '<th scope="row" class="wb-line">live</th>' in html
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
    assert '<span class="wb-paper">45 more rows are in the file of this table.</span>' in tail
    assert "more rows are in tables/" not in html


def test_a_wide_table_says_what_paper_leaves_out():
    analysis = fake.analyse("en")
    wide = pd.concat(
        [analysis.tables["daily"].head(3)] + [pd.Series([1, 2, 3], name=f"x{n}") for n in range(20)], axis=1
    )
    left = len(wide.columns) - 14
    shown = replace(analysis, tables={**analysis.tables, "daily": wide})
    assert f'<p class="wb-source wb-paper">{left} more columns are in the file' in show_table(shown, "daily").html
    assert "more columns" not in show_table(analysis, "daily").html


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


def test_times_are_written_in_the_unit_that_fits():
    assert format_column(pd.Series([0.0055, 0.1737, 5.0, 72.0, None]), "hours", "en") == [
        "20 s",
        "10 min",
        "5.0 h",
        "3.0 days",
        "–",
    ]
    assert format_column(pd.Series([5.0]), "hours", "zh") == ["5.0 小时"]


def test_nothing_is_written_as_minus_zero():
    for unit in ("rate", "points", "change", "amount", "count", "number", "p_value"):
        for value in (-0.0, -1e-9) if unit not in ("number", "count") else (-0.0,):
            [cell] = format_column(pd.Series([value]), unit, "en")
            assert not cell.startswith(("-", "−", "+")), (unit, value, cell)
    for text in (format_rate(-1e-9), format_count(-0.0), format_amount(-0.004), format_amount(-0.0, "zh")):
        assert not text.startswith(("-", "−"))


def test_differences_of_rates_are_points_and_relative_changes_per_cent():
    assert format_column(pd.Series([0.056, -0.092, 0.0]), "points", "en") == ["5.6", "−9.2", "0.0"]
    assert format_column(pd.Series([-0.241, 0.0468, 12.94]), "change", "en") == ["−24.1%", "+4.7%", "+1,294%"]


def test_small_p_values_and_small_rates_are_not_written_as_zero():
    assert format_column(pd.Series([0.0, 1e-19, 0.0025, 0.0371, 0.924]), "p_value", "en") == [
        "< 0.0001",
        "< 0.0001",
        "0.0025",
        "0.037",
        "0.924",
    ]
    assert format_column(pd.Series([0.0003, 0.0004]), "rate", "en") == ["0.030%", "0.040%"]
    assert format_column(pd.Series([0.00002, 5.5]), "number", "en") == ["0.000020", "5.50"]


@pytest.mark.parametrize(
    ("value", "en", "zh"),
    [
        (15_234, "15.2k", "1.52万"),
        (-14_740, "−14.7k", "−1.47万"),
        (123_456, "123.5k", "12.35万"),
        (999_960, "1.00M", "100.0万"),
        (1_234_567, "1.23M", "123.5万"),
        (99_999_900, "100.00M", "1.00亿"),
        (9_999, "9,999", "9,999"),
    ],
)
def test_money_keeps_three_digits(value, en, zh):
    assert (format_amount(value, "en"), format_amount(value, "zh")) == (en, zh)


def test_a_range_with_a_minus_has_no_dash_in_between():
    assert format_interval(-33_535, -14_849, "en", "amount") == "−33.5k to −14.8k"
    assert format_interval(-33_535, -14_849, "zh", "amount") == "−3.35万 至 −1.48万"
    assert format_interval(-0.059, 0.01, "zh") == "−5.9% 至 1.0%"
    assert format_interval(0.02, 0.03, "zh") == "2.0%–3.0%"


def shown(name, table, lang="en", **asked):
    return show_table(replace(fake.analyse(lang), tables={name: table}), name, **asked).html


def test_the_header_says_points_and_the_code_is_said_in_words():
    table = pd.DataFrame({"channel": ["a", "(unknown)"], "gap": [-0.092, 0.01], "reason": ["few_own_buyers", None]})
    english, chinese = (shown("channel_adjusted", table, lang) for lang in ("en", "zh"))
    assert "Gap (points)" in english
    assert '<td class="wb-number">−9.2</td>' in english
    assert "too few buyers of its own" in english
    assert "few_own_buyers" not in english.split("<tbody>")[1], "its definition tells the code"
    assert "差距（百分点）" in chinese
    assert "自身买家太少" in chinese
    assert "（未知）" in chinese


def test_each_row_is_written_in_the_unit_of_its_figure():
    table = pd.DataFrame(
        {
            "metric": ["conversion_rate", "buyer_count", "net_amount"],
            "metric_name": ["Conversion rate", "Buyers", "Net sales"],
            "value": [0.0740, 593.0, 67_274.4],
            "change": [-0.0235, -127.0, -15_368.2],
        }
    )
    html = shown("sales_kpis", table)
    for cell in ("7.40%", "593", "67,274", "−2.35 points", "−127", "−15,368"):
        assert f'<td class="wb-number">{cell}</td>' in html
    assert "conversion_rate" not in html, "its words stand beside it"
    assert "−2.35 个百分点" in shown("sales_kpis", table, "zh")


def test_a_name_from_the_data_is_left_as_it_is():
    table = pd.DataFrame({"channel": ["few_users"], "unranked_reason": ["few_users"]})
    assert '<th scope="row" class="wb-line">few_users</th><td class="wb-some">too few users</td>' in shown(
        "channel_scorecard", table
    )


def test_texts_that_are_numbers_align_as_numbers_and_days_do_not():
    table = pd.DataFrame({"name": ["a", "b"], "now": ["−1.54万", "–"], "day": ["2026-01-02", "2026-01-03"]})
    html = shown("daily", table)
    assert '<td class="wb-number">−1.54万</td>' in html
    assert "<td>2026-01-02</td>" in html


def test_an_empty_table_says_why():
    nothing = pd.DataFrame({"metric": []})
    assert "No alert: " in shown("sales_alerts", nothing)
    assert "没有警报：" in shown("sales_alerts", nothing, "zh")
    assert "Only &lt;one&gt; channel." in shown("channel_pairs", nothing, empty="Only <one> channel.")
    assert "daily: the data give no row for these days." in shown("daily", nothing)


def test_definitions_tell_which_code_of_the_csv_file_is_meant():
    table = pd.DataFrame({"channel": ["a"], "unranked_reason": ["few_users"]})
    html = show_definitions(replace(fake.analyse("en"), tables={"channel_scorecard": table})).html
    assert "<b>In the CSV</b> few_users: too few users</span>" in html


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
    assert str(plain_value(-0.0)) == "0.0"


def test_charts_are_handed_over_in_a_report_and_live_elsewhere(monkeypatch):
    alt = pytest.importorskip("altair")
    monkeypatch.setenv("WORKBENCH_MODE", "report")
    enable_charts()
    shown = fake.lines(fake.analyse("en"))._repr_mimebundle_()
    assert set(shown) == {"application/vnd.workbench.chart+json", "text/plain"}
    monkeypatch.delenv("WORKBENCH_MODE")
    enable_charts()
    assert alt.renderers.active == "workbench-live"
    alt.renderers.enable("default")
    alt.theme.enable("default")
