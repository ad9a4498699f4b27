"""Notebook workbench for e-commerce operators: from a shop's tables to reports a manager can open offline."""

from workbench.source.shop import Shop, open_shop

__all__ = ["Shop", "open_shop"]
