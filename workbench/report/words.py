"""Words and units of columns, from the glossary and from how columns are named."""

import re
from collections.abc import Iterable

from workbench.glossary import Metric, label, metric
from workbench.language import Language
from workbench.report.table import UNIT_BY_ENDING

_WINDOW = re.compile(r"_\d+$")


def column_label(column: str, lang: Language) -> str:
    """The name of a column or table in words."""
    return label(column, lang)


def column_unit(column: str) -> str:
    """How to write a column: ``rate``, ``amount``, ``count`` or ``number``."""
    known = metric(column)
    if known is not None and known.unit != "text":
        return known.unit
    name = _WINDOW.sub("", column)
    return next((unit for ending, unit in UNIT_BY_ENDING.items() if name.endswith(ending)), "number")


def metrics_of(columns: Iterable[object]) -> list[Metric]:
    """The metrics among columns, each once, in the order they are met."""
    known = {column: metric(column) for column in dict.fromkeys(str(column) for column in columns)}
    return [found for found in known.values() if found is not None]
