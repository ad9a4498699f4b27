"""Words and units of columns, from the glossary and from how columns are named."""

import re
from collections.abc import Iterable, Mapping

from workbench.glossary import Metric, label, metric
from workbench.language import Language
from workbench.report.table import UNIT_BY_ENDING

_WINDOW = re.compile(r"_\d+$")


def column_label(column: str, lang: Language, table: str = "") -> str:
    """The name of a column or table in words."""
    return label(column, lang, table)


def column_unit(column: str, table: str = "") -> str:
    """How to write a column: ``rate``, ``amount``, ``count`` or ``number``."""
    known = metric(column, table)
    if known is not None and known.unit != "text":
        return known.unit
    name = _WINDOW.sub("", column)
    return next((unit for ending, unit in UNIT_BY_ENDING.items() if name.endswith(ending)), "number")


def metrics_of(tables: Mapping[str, Iterable[object]]) -> list[Metric]:
    """The metrics among the columns of tables, each once, in the order they are met."""
    met = (metric(str(column), table) for table, columns in tables.items() for column in columns)
    return list({found.id: found for found in met if found is not None}.values())
