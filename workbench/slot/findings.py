"""What the slot tables say, in sentences that name their cell."""

from collections.abc import Sequence

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.contract import DIRECT
from workbench.language import Language, format_count, format_interval, format_rate, say
from workbench.period import Period
from workbench.slot.focus import MIN_CLICKS, MIN_PEERS

_WHY = {
    "leaks": ("few orders", "成交少"),
    "hidden": ("little seen", "曝光少"),
    "not_clicked": ("few clicks", "点击少"),
}


def shown_model(models: Sequence[str]) -> str:
    """The model that the first screen speaks of: linear if it was run, else the last one named."""
    return "linear" if "linear" in models else models[-1]


def purchases_of(credit: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Rows of ``slot_credit`` for purchases under the model shown."""
    return credit[(credit["target"] == "purchase") & (credit["model"] == shown_model(models))]


def slot_headline(
    metrics: pd.DataFrame,
    credit: pd.DataFrame,
    focus: pd.DataFrame,
    period: Period,
    lang: Language,
    models: Sequence[str],
    *,
    has_orders_table: bool,
) -> Headline:
    """The first screen of the slot report."""
    source = "slot_focus" if len(focus) else "slot_metrics"
    table = _focus_table(focus, lang) if len(focus) else _metrics_table(metrics, lang)
    return Headline(
        verdict=_verdict(metrics, credit, focus, period, lang, models, has_orders_table),
        table=table,
        source=source,
        actions=tuple(_action(row, lang) for row in focus.head(3).to_dict("records")),
    )


def _verdict(
    metrics: pd.DataFrame,
    credit: pd.DataFrame,
    focus: pd.DataFrame,
    period: Period,
    lang: Language,
    models: Sequence[str],
    has_orders_table: bool,
) -> str:
    if metrics.empty:
        return say(
            lang,
            f"No slot was shown or clicked from {period.start_date} to {period.last_date}.",
            f"{period.start_date} 至 {period.last_date} 没有坑位曝光或点击。",
        )
    purchases = purchases_of(credit, models)
    if purchases.empty:
        seen = metrics["impression_count"].sum()
        clicked = metrics["click_count"].sum()
        rate = format_rate(clicked / seen if seen >= clicked and seen else None, 2)
        why = (
            say(lang, "no paid order to attribute", "没有可归因的已支付订单")
            if has_orders_table
            else say(lang, "without an orders table nothing is attributed", "没有 orders 表，无法归因")
        )
        return say(
            lang,
            f"{format_count(seen)} exposures and {format_count(clicked)} clicks ({rate}); {why}.",
            f"曝光 {format_count(seen)} 次，点击 {format_count(clicked)} 次（{rate}）；{why}。",
        )
    share = 1 - purchases.loc[purchases["credited_id"] == DIRECT, "conversion_share"].sum()
    orders = format_count(purchases["conversion_credit"].sum())
    return say(
        lang,
        f"Clicks on slots came before {format_rate(share)} of {orders} paid orders. {_looks(metrics, focus, lang)} "
        "Attribution is not incrementality.",
        f"{orders} 笔支付订单中 {format_rate(share)} 之前有坑位点击。{_looks(metrics, focus, lang)}归因不等于增量。",
    )


def _looks(metrics: pd.DataFrame, focus: pd.DataFrame, lang: Language) -> str:
    """How many slots are worth a look, or why none is named."""
    if len(focus) == 1:
        return say(lang, "1 slot is worth a look.", "1 个坑位值得关注。")
    if len(focus):
        return say(lang, f"{len(focus)} slots are worth a look.", f"{len(focus)} 个坑位值得关注。")
    if (metrics["click_count"] >= MIN_CLICKS).sum() < MIN_PEERS:
        return say(lang, "Too few clicks to compare slots.", "点击太少，无法比较坑位。")
    return say(lang, "No slot stands out beyond chance.", "没有坑位超出随机波动。")


def _focus_table(focus: pd.DataFrame, lang: Language) -> pd.DataFrame:
    """Rows are numbered as the points of the picture beside it."""
    return pd.DataFrame(
        [
            {
                say(lang, "Slot", "坑位"): f"{number} {row['slot_name']}",
                say(lang, "Clicks", "点击"): format_count(row["click_count"]),
                say(lang, "CTR", "点击率"): format_rate(row["click_through_rate"]),
                say(lang, "Orders / click", "订单/点击"): format_rate(row["orders_per_click"]),
                say(lang, "Why", "原因"): say(lang, *_WHY[row["reason"]]),
            }
            for number, row in enumerate(focus.to_dict("records"), start=1)
        ]
    )


def _metrics_table(metrics: pd.DataFrame, lang: Language) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                say(lang, "Slot", "坑位"): row["slot_name"],
                say(lang, "Exposures", "曝光"): format_count(row["impression_count"]),
                say(lang, "Clicks", "点击"): format_count(row["click_count"]),
                say(lang, "CTR", "点击率"): format_rate(row["click_through_rate"], 2),
                say(lang, "Interval", "区间"): format_interval(row["ci_lower"], row["ci_upper"]) or "–",
            }
            for row in metrics.head(5).to_dict("records")
        ]
    )


def _action(row: dict, lang: Language) -> Action:
    told = {
        "leaks": (
            f"Fix what {row['slot_name']} leads to: {format_rate(row['orders_per_click'], 2)} orders per click, "
            f"comparable slots {format_rate(row['compared_with'], 2)}.",
            f"改进 {row['slot_name']} 的落地页：每次点击成交 {format_rate(row['orders_per_click'], 2)}，"
            f"可比坑位中位 {format_rate(row['compared_with'], 2)}。",
        ),
        "hidden": (
            f"Move {row['slot_name']} up: {format_rate(row['orders_per_click'], 2)} orders per click "
            f"(median {format_rate(row['compared_with'], 2)}), but few see it.",
            f"上移 {row['slot_name']}：每次点击成交 {format_rate(row['orders_per_click'], 2)}"
            f"（中位 {format_rate(row['compared_with'], 2)}），但曝光少。",
        ),
        "not_clicked": (
            f"Change the content of {row['slot_name']}: {format_rate(row['click_through_rate'])} click, "
            f"comparable slots {format_rate(row['compared_with'])}.",
            f"更换 {row['slot_name']} 的内容：点击率 {format_rate(row['click_through_rate'])}，"
            f"同页中位 {format_rate(row['compared_with'])}。",
        ),
    }
    upper = row["reason"] != "hidden"
    return Action(
        name=f"slot_{row['reason']}",
        text=say(lang, *told[row["reason"]]),
        cell=Cell("slot_focus", {"slot_id": row["slot_id"]}, "stake_amount"),
        amount=None if pd.isna(row["stake_amount"]) else row["stake_amount"],
        ci_lower=None if pd.isna(row["stake_amount"]) else row["stake_ci_lower"],
        ci_upper=None if pd.isna(row["stake_amount"]) else row["stake_ci_upper"],
        basis=say(
            lang,
            "paid amount in the period if it rose to the median"
            if upper
            else "paid amount in the period if it were seen as often as comparable slots",
            "若升至中位水平，期内支付金额的变化" if upper else "若曝光达到中位水平，期内支付金额的变化",
        )
        + say(lang, "; an upper bound", "；为上限"),
        evidence="descriptive",
    )


def slot_findings(
    metrics: pd.DataFrame, credit: pd.DataFrame, focus: pd.DataFrame, lang: Language, models: Sequence[str]
) -> tuple[Finding, ...]:
    """Sentences on the attributable share, the slots with most credit and those worth a look."""
    found = []
    names = metrics.set_index("slot_id")["slot_name"]
    purchases = purchases_of(credit, models)
    slots = purchases[(purchases["credited_id"] != DIRECT) & (purchases["conversion_credit"] > 0)]
    if len(purchases):
        model = shown_model(models)
        direct = purchases.loc[purchases["credited_id"] == DIRECT, "conversion_share"].sum()
        key = {"target": "purchase", "model": model}
        found.append(
            Finding(
                "untouched_share",
                say(
                    lang,
                    f"{format_rate(direct)} of paid orders had no click on a slot before them; {format_rate(1 - direct)} had one.",
                    f"{format_rate(direct)} 的支付订单之前没有坑位点击，{format_rate(1 - direct)} 有。",
                ),
                Cell("slot_credit", {**key, "credited_id": DIRECT}, "conversion_share"),
                direct,
            )
        )
        for row in slots.head(3).to_dict("records"):
            measure = "amount_share" if not pd.isna(row["amount_share"]) else "conversion_share"
            span = format_interval(row["ci_lower"], row["ci_upper"])
            of = say(lang, "paid amount", "支付金额") if measure == "amount_share" else say(lang, "orders", "订单")
            found.append(
                Finding(
                    "most_credit",
                    say(
                        lang,
                        f"{names.get(row['credited_id'], row['credited_id'])} gets {format_rate(row[measure])} of the {of}"
                        f"{f' ({span})' if span else ''} under {model}.",
                        f"{names.get(row['credited_id'], row['credited_id'])} 在 {model} 模型下获得 {format_rate(row[measure])} 的{of}"
                        f"{f'（{span}）' if span else ''}。",
                    ),
                    Cell("slot_credit", {**key, "credited_id": row["credited_id"]}, measure),
                    row[measure],
                )
            )
    for row in focus.to_dict("records"):
        found.append(
            Finding(
                f"slot_{row['reason']}",
                _action(row, lang).text,
                Cell(
                    "slot_focus",
                    {"slot_id": row["slot_id"]},
                    "orders_per_click" if row["reason"] != "not_clicked" else "click_through_rate",
                ),
                row["orders_per_click"] if row["reason"] != "not_clicked" else row["click_through_rate"],
            )
        )
    if len(purchases) and focus.empty:
        found.append(
            Finding(
                "nothing_stands_out",
                _looks(metrics, focus, lang),
                Cell("slot_focus", {}, "slot_id"),
            )
        )
    return tuple(found)
