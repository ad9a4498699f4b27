"""Which numbers of a sales report the next one is held against."""

from collections.abc import Mapping

import pandas as pd

from workbench.analysis import Cell, Figure, Kind, figures_at
from workbench.language import Language
from workbench.sales.findings import has_amounts
from workbench.sales.words import factor_word

_FIGURES: tuple[tuple[str, str, Kind], ...] = (
    ("net_amount", "amount", "sum"),
    ("order_count", "count", "sum"),
    ("conversion_rate", "rate", "distinct"),
    ("visitor_count", "count", "distinct"),
    ("average_order_value", "amount", "level"),
)
_OF_MONEY = ("net_amount", "average_order_value")


def sales_figures(tables: Mapping[str, pd.DataFrame], lang: Language) -> tuple[Figure, ...]:
    """Net sales, orders, conversion, visitors and the average order of the report's days."""
    if tables["sales_kpis"].empty:
        return ()
    wanted = [one for one in _FIGURES if one[0] not in _OF_MONEY or has_amounts(tables)]
    found: tuple[Figure, ...] = ()
    for name, unit, kind in wanted:
        found += figures_at(
            tables,
            name,
            factor_word(name, lang),
            Cell("sales_kpis", {"grain": "period", "metric": name}, "value"),
            interval=("ci_lower", "ci_upper"),
            unit=unit,
            better="up",
            kind=kind,
        )
    return found
