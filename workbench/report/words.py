"""Words and units of columns, from the glossary and from how columns are named."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from workbench.glossary import Metric, codes, has_codes, label, metric
from workbench.language import Language, say
from workbench.report.table import UNIT_BY_ENDING

_WINDOW = re.compile(r"_\d+$")


def column_label(column: str, lang: Language, table: str = "") -> str:
    """The name of a column or table in words."""
    return label(column, lang, table)


def column_unit(column: str, table: str = "") -> str:
    """How to write a column: ``rate``, ``amount``, ``count``, ``number``, or another unit of the glossary."""
    known = metric(column, table)
    if known is not None and known.unit != "text":
        return known.unit
    name = _WINDOW.sub("", column)
    return next((unit for ending, unit in UNIT_BY_ENDING.items() if name.endswith(ending)), "number")


def column_heading(column: str, lang: Language, table: str = "") -> str:
    """The name of a column above its cells; of differences of rates with their unit."""
    name = column_label(column, lang, table)
    return name + say(lang, " (points)", "（百分点）") if column_unit(column, table) == "points" else name


def column_words(column: str, lang: Language, table: str = "") -> dict[str, str]:
    """What the codes of a column say."""
    return {code: said.word(lang) for code, said in codes(column, table).items()}


def column_units(frame: pd.DataFrame, column: str, table: str = "") -> list[str]:
    """The unit of each row, where the glossary says that another column tells it; else empty."""
    known = metric(column, table)
    told_by = next((one for one in known.unit_of if one in frame), None) if known else None
    if known is None or told_by is None:
        return []
    said = codes(told_by, table)
    units = [said[code].unit if code in said else known.unit for code in frame[told_by]]
    return ["points" if known.is_difference and unit == "rate" else unit or known.unit for unit in units]


def columns_shown(frame: pd.DataFrame, table: str = "") -> list[str]:
    """Columns of a report's table.

    Left to the CSV file are codes whose words stand beside them (``metric_name``), and what the glossary says is for it
    alone.
    """
    names = [str(name) for name in frame.columns]
    detail = {name for name in names if (known := metric(name, table)) is not None and known.is_csv_only}
    return [
        name
        for name in names
        if name not in detail
        and not (
            f"{name}_name" in names and has_codes(name, table) and frame[name].isin(list(codes(name, table))).all()
        )
    ]


def metrics_of(tables: Mapping[str, Iterable[object]]) -> list[Metric]:
    """The metrics among the columns of tables, each once, in the order they are met."""
    met = (metric(str(column), table) for table, columns in tables.items() for column in columns)
    return list({found.id: found for found in met if found is not None}.values())


def told_codes(entry: str, tables: Mapping[str, pd.DataFrame], lang: Language) -> str:
    """The codes that stand in the CSV files under an entry of the glossary, each with its words; "" for none."""
    met: dict[str, str] = {}
    for table, frame in tables.items():
        for column in map(str, frame.columns):
            found = metric(column, table)
            if found is not None and found.id == entry and has_codes(column, table):
                own = codes(column, table)
                met |= {code: own[code].word(lang) for code in frame[column].dropna().unique() if code in own}
    pairs = [f"{code} {words}" if lang == "zh" else f"{code}: {words}" for code, words in met.items()]
    return say(lang, "; ", "，").join(pairs)
