"""Every number that a report shows is defined, in both languages."""

import re
from collections import Counter
from pathlib import Path

import pytest
from sales_shops import overview_of_the_week
from user_shops import segments_of_weeks

import workbench
from workbench.channel import compare_channels
from workbench.coupon import evaluate_coupons
from workbench.experiment import read_experiments
from workbench.glossary import codes, has_codes, label, load_codes, load_glossary, metric
from workbench.slot import attribute_slots

ANALYSES = [
    compare_channels,
    overview_of_the_week,
    evaluate_coupons,
    read_experiments,
    attribute_slots,
    segments_of_weeks,
]


UNITS = {"count", "amount", "rate", "points", "change", "p_value", "hours", "number"}
FROM_DATA = re.compile(
    r"channel|segment|variant|page$|kind$|category|region|series$|(_id|_name|_date)$|^(member|component|date|age_group|name|value)$"
)
"""Columns of text whose cells are names of the shop's own, or days."""
OWN_NUMBERS = {"0-5%", "5-10%", "10-15%", "15-20%", "20-30%", "30-50%", "50-100%"}
"""Bands of discount say their bounds themselves."""


def test_entries_are_whole():
    for name, one in load_glossary().items():
        assert one.unit in UNITS | {"text"}, name
        for lang in ("en", "zh"):
            assert one.name(lang), name
            assert one.formula(lang), name
            assert bool(one.window("en")) == bool(one.window("zh"))
            assert bool(one.denominator("en")) == bool(one.denominator("zh"))
        if one.unit == "rate" and name.endswith(("_rate", "_share")):
            assert one.denominator("en"), f"{name} is a ratio: of what?"


@pytest.mark.parametrize("analyse", ANALYSES)
def test_every_column_of_every_table_is_defined(analysed, analyse):
    tables = analysed(analyse).tables
    missing = {
        f"{name}.{column}"
        for name, table in tables.items()
        for column in (name, *table.columns)
        if metric(column, name) is None
    }
    assert not missing


def test_rates_lie_between_0_and_1(analysed):
    beyond = {"orders_per_click", "compared_with", "incremental_share"}
    for analyse in ANALYSES:
        for name, table in analysed(analyse).tables.items():
            for column in table.columns:
                known = metric(column, name)
                if known is None or known.unit != "rate" or column in beyond or column.startswith("cannibalisation"):
                    continue
                if name == "slot_focus" and column.startswith("ci_"):  # of orders per click
                    continue
                assert table[column].dropna().between(0, 1).all(), (name, column)


@pytest.mark.parametrize("file", ["glossary.yml", "codes.yml"])
def test_nothing_is_said_twice(file):
    text = (Path(workbench.__file__).parent / file).read_text(encoding="utf-8")
    names = re.findall(r"^([\w.<>]+):", text, re.M)
    assert not [name for name, times in Counter(names).items() if times > 1]


def test_codes_are_whole():
    for column, known in load_codes().items():
        for code, said in known.items():
            texts = (code, said.en, said.zh)
            assert all(isinstance(text, str) and text for text in texts), (column, code)
            assert said.unit in UNITS | {""}, (column, code)
    for name, one in load_glossary().items():
        for told_by in one.unit_of:
            own = codes(told_by, name.partition(".")[0])
            assert any(said.unit for said in own.values()), f"{name}: no unit stands in {told_by}"


@pytest.mark.parametrize("analyse", ANALYSES)
def test_every_code_of_every_table_has_words(analysed, analyse):
    for name, table in analysed(analyse).tables.items():
        for column in table.columns:
            known = metric(column, name)
            is_named = FROM_DATA.search(column) and (
                column.startswith(("member", "value")) or not has_codes(column, name)
            )
            if known is None or known.unit != "text" or is_named:
                continue
            cells = {one for one in table[column].dropna() if isinstance(one, str)}
            assert cells <= codes(column, name).keys() | OWN_NUMBERS, (name, column)


def test_unknown_columns_read_as_words():
    assert label("some_new_column", "en") == "some new column"
