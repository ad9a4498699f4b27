"""The analyses under an analyst's hands: panels for JupyterLab, one for each question.

In a notebook: ``wb.explore.slots(shop)``. In a run of the report they are nothing, and nothing is imported for them.
"""

from typing import TYPE_CHECKING

from workbench.report.charts import is_report

if TYPE_CHECKING:
    from workbench.explore.panel import Panel
    from workbench.source.shop import Shop

__all__ = ["channels", "coupons", "sales", "slots", "users"]


def slots(shop: "Shop", **parameters: object) -> "Panel | None":
    """Explore which place on the page really sells; takes the parameters of ``slot_attribution``."""
    return _panel("slots", shop, parameters)


def coupons(shop: "Shop", **parameters: object) -> "Panel | None":
    """Explore which coupon earns more than it costs; takes the parameters of ``coupon_evaluation``."""
    return _panel("coupons", shop, parameters)


def channels(shop: "Shop", **parameters: object) -> "Panel | None":
    """Explore which channel brings users who buy and come back; takes the parameters of ``channel_comparison``."""
    return _panel("channels", shop, parameters)


def users(shop: "Shop", **parameters: object) -> "Panel | None":
    """Explore which users belong to which group, and who moves; takes the parameters of ``user_quadrants``."""
    return _panel("users", shop, parameters)


def sales(shop: "Shop", **parameters: object) -> "Panel | None":
    """Explore what sold, and what changed it; takes the parameters of ``sales_overview``."""
    return _panel("sales", shop, parameters)


def _panel(name: str, shop: "Shop", parameters: dict[str, object]) -> "Panel | None":
    if is_report():
        return None
    from workbench.explore.panel import Panel
    from workbench.explore.question import QUESTIONS

    return Panel(QUESTIONS[name], shop, **parameters)  # type: ignore[arg-type]
