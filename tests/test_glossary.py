"""Every number that a report shows is defined, in both languages."""

import pytest
from sales_shops import overview_of_the_week

from workbench.channel import compare_channels
from workbench.coupon import evaluate_coupons
from workbench.experiment import read_experiments
from workbench.glossary import label, load_glossary, metric
from workbench.slot import attribute_slots

ANALYSES = [compare_channels, overview_of_the_week, evaluate_coupons, read_experiments, attribute_slots]


def test_entries_are_whole():
    for name, one in load_glossary().items():
        assert one.unit in {"count", "amount", "rate", "number", "text"}, name
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
    for analyse in ANALYSES:
        for name, table in analysed(analyse).tables.items():
            for column in table.columns:
                signed = name == "channel_adjusted" and column.startswith(("gap", "mix", "rate", "unsupported"))
                signed |= name == "channel_mix" and column in ("mix", "rate")
                if (
                    metric(column, name).unit == "rate"
                    and not signed
                    and column
                    not in (
                        "orders_per_click",
                        "ci_lower",
                        "ci_upper",
                        "compared_with",
                        "direct_error",
                        "largest_error",
                        "topic_error",
                        "hidden_gem_error",
                    )
                ):
                    values = table[column].dropna()
                    assert values.between(0, 1).all(), column


def test_unknown_columns_read_as_words():
    assert label("some_new_column", "en") == "some new column"
