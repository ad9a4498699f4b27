"""Which numbers of a coupon report the next one is held against."""

from collections.abc import Mapping, Sequence

import pandas as pd

from workbench.analysis import Cell, Figure, figures_at
from workbench.language import Language, say
from workbench.stats.tables import shown_window


def coupon_figures(tables: Mapping[str, pd.DataFrame], days: Sequence[int], lang: Language) -> tuple[Figure, ...]:
    """What all coupons together took off, and how they were used."""
    window = shown_window(days)

    def cell(column: str) -> Cell:
        return Cell("coupon_scorecard", {"level": "all"}, column)

    again = (
        ()
        if window is None
        else figures_at(
            tables,
            f"repurchase_rate_{window}",
            say(lang, f"bought again in {window} days", f"{window} 天复购率"),
            cell(f"repurchase_rate_{window}"),
            interval=(f"repurchase_rate_{window}_ci_lower", f"repurchase_rate_{window}_ci_upper"),
            unit="rate",
            better="up",
        )
    )
    return (
        *figures_at(
            tables,
            "subsidy_rate",
            say(lang, "subsidy rate", "补贴率"),
            cell("subsidy_rate"),
            interval=("subsidy_ci_lower", "subsidy_ci_upper"),
            unit="rate",
            better="down",
        ),
        *figures_at(
            tables,
            "redemption_rate",
            say(lang, "redemption rate", "核销率"),
            cell("redemption_rate"),
            interval=("redemption_ci_lower", "redemption_ci_upper"),
            unit="rate",
            better="up",
            kind="open",
        ),
        *again,
        *figures_at(
            tables,
            "coupon_discount_amount",
            say(lang, "coupon discounts", "优惠券优惠金额"),
            cell("coupon_discount_amount"),
            unit="amount",
            kind="sum",
        ),
        *figures_at(
            tables,
            "order_count",
            say(lang, "orders with a coupon", "用券订单"),
            cell("order_count"),
            unit="count",
            kind="sum",
        ),
    )
