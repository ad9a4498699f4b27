"""Do orders carry their cost? Without it they seem to earn too much, and more orders seem to earn more."""

from dataclasses import dataclass

from workbench.experiment.plan import ReadoutRules
from workbench.language import Language, format_count, format_rate, say
from workbench.metrics.orders import cost_counts
from workbench.period import Period
from workbench.source.shop import Shop

COST_LIMIT = 0.01
"""With more paid orders than this part without a cost nothing is decided by profit."""


@dataclass(frozen=True)
class CostGap:
    """Paid orders without a cost, whose cost counts as 0.

    Attributes
    ----------
    order_count
        Paid orders with an amount since the start of the period; 0 where costs do not matter: there are none at all,
        a margin is given, or every order has one.
    costless_count
        Those of them without a cost.
    """

    order_count: int = 0
    costless_count: int = 0

    @property
    def share(self) -> float:
        """Of the orders; 0 where there are none."""
        return self.costless_count / self.order_count if self.order_count else 0.0

    @property
    def is_large(self) -> bool:
        """Whether profits are too high to decide by."""
        return self.share > COST_LIMIT


def cost_gap(shop: Shop, period: Period, rules: ReadoutRules) -> CostGap:
    """Count the paid orders without a cost from the start of the period to the end of the data.

    The engine is asked only where the check of the source has warned of such orders.
    """
    is_warned = any(one.rule == "no_cost" for one in shop.warnings)
    if rules.margin_rate is not None or not is_warned or not shop.has("orders", "cost_amount"):
        return CostGap()
    row = shop.collect(cost_counts(shop.orders, period.start_ms)).iloc[0]
    return CostGap(int(row["order_count"]), int(row["costless_count"])) if row["costless_count"] else CostGap()


def cost_note(gap: CostGap, lang: Language) -> str | None:
    """How many paid orders have no cost, and what follows; None where all have one."""
    if not gap.costless_count:
        return None
    count, orders, limit = format_count(gap.costless_count), format_count(gap.order_count), format_rate(COST_LIMIT, 0)
    share = format_rate(gap.share, 2)
    told = say(
        lang,
        f"{count} of {orders} paid orders ({share}) have no cost_amount: their cost counts as 0, and profits are too high.",
        f"{orders} 笔已支付订单中 {count} 笔（{share}）没有 cost_amount：成本按 0 计，利润偏高。",
    )
    if not gap.is_large:
        return told
    return told + say(
        lang,
        f" Above {limit} nothing is decided by profit: fill in the costs, or give margin_rate.",
        f"超过 {limit} 时不据利润作决定：请补齐成本，或给出 margin_rate。",
    )
