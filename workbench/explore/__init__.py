"""The analyses under an analyst's hands: panels for JupyterLab, one for each question.

In a notebook: ``wb.explore.slots(shop, analysis)`` goes on from an analysis as it was asked, ``wb.explore.slots(shop)``
asks for itself. In a run of the report they are nothing, and nothing is imported for them.
"""

from typing import TYPE_CHECKING

from workbench.report.charts import is_report

if TYPE_CHECKING:
    from workbench.analysis import Analysis
    from workbench.explore.panel import Panel
    from workbench.source.shop import Shop

__all__ = ["channels", "coupons", "sales", "slots", "users"]


def slots(shop: "Shop", analysis: "Analysis | None" = None, **parameters: object) -> "Panel | None":
    """Explore which place on the page really sells; takes the parameters of ``slot_attribution``."""
    return _panel("slots", shop, analysis, parameters)


def coupons(shop: "Shop", analysis: "Analysis | None" = None, **parameters: object) -> "Panel | None":
    """Explore which coupon earns more than it costs; takes the parameters of ``coupon_evaluation``."""
    return _panel("coupons", shop, analysis, parameters)


def channels(shop: "Shop", analysis: "Analysis | None" = None, **parameters: object) -> "Panel | None":
    """Explore which channel brings users who buy and come back; takes the parameters of ``channel_comparison``."""
    return _panel("channels", shop, analysis, parameters)


def users(shop: "Shop", analysis: "Analysis | None" = None, **parameters: object) -> "Panel | None":
    """Explore which users belong to which group, and who moves; takes the parameters of ``user_quadrants``."""
    return _panel("users", shop, analysis, parameters)


def sales(shop: "Shop", analysis: "Analysis | None" = None, **parameters: object) -> "Panel | None":
    """Explore what sold, and what changed it; takes the parameters of ``sales_overview``."""
    return _panel("sales", shop, analysis, parameters)


def _panel(name: str, shop: "Shop", analysis: "Analysis | None", parameters: dict[str, object]) -> "Panel | None":
    if is_report():
        return None
    from workbench.explore.panel import Panel
    from workbench.explore.question import QUESTIONS

    return Panel(QUESTIONS[name], shop, analysis, **parameters)  # type: ignore[arg-type]
