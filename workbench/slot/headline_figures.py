"""Which numbers of a slot report the next one is held against."""

from collections.abc import Mapping, Sequence

import pandas as pd

from workbench.analysis import Cell, Figure, figures_at
from workbench.contract import DIRECT
from workbench.language import Language, say
from workbench.slot.concentration import ALL_PAGES
from workbench.slot.findings import purchases_of, shown_model

MOST_SLOTS = 2


def slot_figures(
    tables: Mapping[str, pd.DataFrame], models: Sequence[str], top_n: int, lang: Language
) -> tuple[Figure, ...]:
    """How much slots have a part in, how much the first positions earn, and clicks on the slots shown most.

    Slots are chosen by how often they are shown, not by what they earn: the best of a month is often not the best of the
    next.
    """
    return (*_untouched(tables, models, lang), *_first_positions(tables, top_n, lang), *_shown_most(tables, lang))


def _untouched(tables: Mapping[str, pd.DataFrame], models: Sequence[str], lang: Language) -> tuple[Figure, ...]:
    """What no slot had a part in, in money where orders carry amounts."""
    direct = purchases_of(tables["slot_credit"], models)
    direct = direct[direct["credited_id"] == DIRECT]
    has_money = bool(direct["amount_share"].notna().any())
    column = "amount_share" if has_money else "conversion_share"
    key = {"target": "purchase", "model": shown_model(models), "credited_id": DIRECT}
    what = (
        ("paid amount after no slot", "无坑位触点的支付金额占比")
        if has_money
        else (
            "orders after no slot",
            "无坑位触点的订单占比",
        )
    )
    return figures_at(
        tables,
        f"untouched_{column}",
        say(lang, *what),
        Cell("slot_credit", key, column),
        interval=("ci_lower", "ci_upper"),
        unit="rate",
        better="down",
    )


def _first_positions(tables: Mapping[str, pd.DataFrame], top_n: int, lang: Language) -> tuple[Figure, ...]:
    table = tables["slot_concentration"]
    mine = table[(table["page"] == ALL_PAGES) & (table["order_by"] == "position") & table["is_top"].astype(bool)]
    if mine.empty:
        return ()
    count = int(mine["place"].max())
    return figures_at(
        tables,
        f"first_positions {top_n}",
        say(lang, f"share of the first {count} positions", f"前 {count} 个坑位的占比"),
        Cell("slot_concentration", {"page": ALL_PAGES, "order_by": "position", "place": count}, "cumulative_share"),
        interval=("ci_lower", "ci_upper"),
        unit="rate",
    )


def _shown_most(tables: Mapping[str, pd.DataFrame], lang: Language) -> tuple[Figure, ...]:
    slots = tables["slot_metrics"].sort_values(["impression_count", "slot_id"], ascending=[False, True])
    shown = slots.head(MOST_SLOTS).to_dict("records")
    found: tuple[Figure, ...] = ()
    for one in shown:
        found += figures_at(
            tables,
            f"click_through_rate {one['slot_id']}",
            say(lang, f"click rate, {one['slot_name']}", f"{one['slot_name']}点击率"),
            Cell("slot_metrics", {"slot_id": one["slot_id"]}, "click_through_rate"),
            interval=("ci_lower", "ci_upper"),
            unit="rate",
            better="up",
        )
    for one in shown:
        found += figures_at(
            tables,
            f"amount_credit {one['slot_id']}",
            say(lang, f"credited amount, {one['slot_name']}", f"{one['slot_name']}归因金额"),
            Cell("slot_metrics", {"slot_id": one["slot_id"]}, "amount_credit"),
            unit="amount",
            better="up",
            kind="sum",
        )
    return found
