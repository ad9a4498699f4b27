"""Notebook workbench for e-commerce operators: from a shop's tables to reports a manager can open offline.

In a notebook: ``import workbench as wb``, then ``wb.open_shop()``, an analysis such as
``wb.channel.compare_channels(shop)``, and ``wb.publish``, ``wb.first_screen`` and the ``wb.show_...`` functions.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench import channel, coupon, explore, sales, slot, user
    from workbench.analysis import Analysis
    from workbench.report.charts import enable_charts
    from workbench.report.publish import publish
    from workbench.report.show import (
        first_screen,
        show_chart,
        show_data,
        show_definitions,
        show_findings,
        show_limits,
        show_table,
    )
    from workbench.source.shop import Shop

__all__ = [
    "Analysis",
    "Shop",
    "channel",
    "coupon",
    "enable_charts",
    "experiment",
    "explore",
    "first_screen",
    "open_shop",
    "publish",
    "sales",
    "show_chart",
    "show_data",
    "show_definitions",
    "show_findings",
    "show_limits",
    "show_table",
    "slot",
    "user",
]

_HOMES = {
    "Analysis": "workbench.analysis",
    "Shop": "workbench.source.shop",
    "enable_charts": "workbench.report.charts",
    "publish": "workbench.report.publish",
    **dict.fromkeys([name for name in __all__ if name.startswith(("show_", "first_"))], "workbench.report.show"),
}


def open_shop(source: str | Path | None = None, mapping: str | Path | None = None) -> "Shop":
    """Open and check a shop; in a notebook also make charts draw without a network.

    See ``workbench.source.shop.open_shop`` for sources, mappings and errors.
    """
    from workbench.source import shop

    if "ipykernel" in sys.modules:
        from workbench.report.charts import enable_charts

        enable_charts()
    return shop.open_shop(source, mapping)


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that ``workbench --help`` answers at once."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"workbench.{name}")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")
