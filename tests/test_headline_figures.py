"""The figures that the next report is held against: each stands in a table of its report, the same in both languages."""

import pytest
from test_sentences import ANALYSES, cell_of

from workbench.analysis import Cell, figures_at
from workbench.report.comparison import compare, record_of

UNITS = {"count", "amount", "rate", "points", "hours", "number"}


@pytest.mark.parametrize("analyse", ANALYSES)
def test_figures_rest_on_cells_and_lie_in_their_intervals(analysed, analyse):
    figures = analysed(analyse).figures
    assert 3 <= len(figures) <= 6
    assert len({one.name for one in figures}) == len(figures)
    for one in figures:
        assert cell_of(analysed(analyse), one) == pytest.approx(one.value)
        assert (one.ci_lower is None) == (one.ci_upper is None)
        assert one.ci_lower is None or one.ci_lower <= one.value <= one.ci_upper
        assert one.unit in UNITS
    assert any(one.ci_lower is not None for one in figures)


@pytest.mark.parametrize("analyse", ANALYSES)
def test_figures_are_the_same_in_both_languages_but_for_their_words(analysed, analyse):
    english, chinese = (analysed(analyse, lang).figures for lang in ("en", "zh"))
    assert [one.name for one in english] == [one.name for one in chinese]
    assert [one.value for one in english] == pytest.approx([one.value for one in chinese])
    for here, there in zip(english, chinese, strict=True):
        assert here.label != there.label
        assert any(character > "\u2e7f" for character in there.label)


@pytest.mark.parametrize("analyse", ANALYSES)
def test_a_report_held_against_itself_has_no_news(analysed, analyse):
    analysis = analysed(analyse)
    figures = [vars(one) for one in analysis.figures]
    records = [
        record_of(
            {"lang": "en", "period": {"start_date": day, "end_date": end, "data_last_date": end}, "figures": figures},
            {"notebook": analysis.name, "source": "shop", "parameters": {}},
        )
        for day, end in (("2026-06-08", "2026-06-15"), ("2026-01-05", "2026-01-12"))
    ]
    found = compare(*records)
    assert found.sentence == "Nothing moved beyond chance."
    assert len(found.lines) == len(figures)
    assert all(not one.change for one in found.lines)


def test_a_figure_is_left_out_where_its_cell_is_not_one_number(analysed):
    tables = analysed(ANALYSES[0]).tables

    def found(cell):
        return figures_at(tables, "name", "label", cell, unit="rate")

    assert len(found(Cell("channel_scorecard", {"channel": "organic"}, "conversion_rate"))) == 1
    for cell in (
        Cell("nothing", {}, "conversion_rate"),
        Cell("channel_scorecard", {"channel": "nobody"}, "conversion_rate"),
        Cell("channel_scorecard", {}, "conversion_rate"),
        Cell("channel_scorecard", {"channel": "organic"}, "unranked_reason"),
        Cell("channel_scorecard", {"channel": "organic"}, "nothing"),
    ):
        assert found(cell) == ()
