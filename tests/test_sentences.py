"""Every sentence of every report rests on one cell of one table, and says that cell's number."""

import pytest
from sales_shops import overview_of_the_week
from user_shops import segments_of_weeks

from workbench.channel import compare_channels
from workbench.coupon import evaluate_coupons
from workbench.experiment import read_experiments
from workbench.slot import attribute_slots

ANALYSES = [
    compare_channels,
    overview_of_the_week,
    evaluate_coupons,
    read_experiments,
    attribute_slots,
    segments_of_weeks,
]


def cell_of(analysis, sentence):
    table = analysis.tables[sentence.cell.table]
    for column, value in sentence.cell.key.items():
        table = table[table[column] == value]
    assert len(table) == 1, sentence
    return table[sentence.cell.column].item()


@pytest.mark.parametrize("analyse", ANALYSES)
def test_findings_and_actions_rest_on_cells(analysed, analyse):
    analysis = analysed(analyse)
    assert len(analysis.findings) >= 3
    for finding in analysis.findings:
        assert cell_of(analysis, finding) == pytest.approx(finding.value)
    assert 1 <= len(analysis.headline.actions) <= 3
    for action in analysis.headline.actions:
        assert cell_of(analysis, action) is not None
        assert action.basis
        assert action.amount is None or action.amount > 0


@pytest.mark.parametrize("analyse", ANALYSES)
def test_both_languages_tell_the_same_numbers(analysed, analyse):
    english, chinese = (analysed(analyse, lang) for lang in ("en", "zh"))
    assert [one.name for one in english.findings] == [one.name for one in chinese.findings]
    assert [one.value for one in english.findings] == pytest.approx([one.value for one in chinese.findings])
    amounts = [[one.amount for one in analysis.headline.actions] for analysis in (english, chinese)]
    assert amounts[0] == pytest.approx(amounts[1])
    assert len(english.notes) == len(chinese.notes)
