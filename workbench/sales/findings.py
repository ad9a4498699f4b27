"""What the sales tables say, in sentences that name their cell."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from workbench.analysis import Cell, Finding
from workbench.contract import UNKNOWN
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.sales.contribution import OTHER
from workbench.sales.words import change_text, factor_word, figure_text, segment_word

Tables = Mapping[str, pd.DataFrame]
Row = dict[str, Any]


def period_figures(tables: Tables) -> dict[str, Row]:
    """The figures of the whole period by metric."""
    kpis = tables["sales_kpis"]
    return {one["metric"]: one for one in rows_of(kpis[kpis["grain"] == "period"])}


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Rows of a table by column."""
    return [{str(name): value for name, value in one.items()} for one in table.to_dict("records")]


def largest_row(table: pd.DataFrame, column: str, sign: float = 1.0) -> Row:
    """The row with the largest value of a column, or the smallest for sign -1."""
    return rows_of(table.iloc[[int((sign * table[column]).fillna(-float("inf")).argmax())]])[0]


def driver(tables: Tables) -> Row | None:
    """The factor that moved net sales most in the direction in which they went; None without a comparison."""
    factors = tables["sales_contribution"]
    factors = factors[factors["part"] == "factor"]
    if factors.empty or not abs(factors["contribution"].sum()) >= 0.005:
        return None
    sign = 1.0 if factors["contribution"].sum() > 0 else -1.0
    return largest_row(factors, "contribution", sign)


def driving_segment(tables: Tables, factor: Row | None) -> Row | None:
    """The segment in which the driving factor moved most the same way; None where it has no segments."""
    if factor is None:
        return None
    rows = tables["sales_contribution"]
    rows = rows[rows["part"].isin(["traffic", "within"]) & (rows["factor"] == factor["factor"])]
    sign = 1.0 if factor["contribution"] > 0 else -1.0
    if len(rows) < 2 or (sign * rows["contribution"]).max() <= 0:
        return None
    named = rows[~rows["segment"].isin([UNKNOWN, OTHER])]
    counts = {"along": int((sign * named["contribution"] > 0).sum()), "every": len(named)}
    return largest_row(rows, "contribution", sign) | counts


def signed(amount: float, lang: Language) -> str:
    """An amount with its sign."""
    return f"{'+' if amount > 0 else ''}{format_amount(amount, lang)}"


def alert_text(row: Row, lang: Language) -> str:
    """An alert in a sentence."""
    word = factor_word(str(row["metric"]), lang)
    of = f" ({row['segment']})" if isinstance(row["segment"], str) else ""
    when = (
        row["start_date"]
        if row["grain"] == "day"
        else say(lang, f"week of {row['start_date']}", f"{row['start_date']} 起一周")
    )
    drive = row["driving_factor"]
    cause = ""
    if isinstance(drive, str) and drive != row["metric"]:
        cause = say(lang, f", by {factor_word(drive, lang)}", f"，主要因{factor_word(drive, lang)}")
    if isinstance(row["driving_segment"], str) and row["driving_segment"] != row["segment"]:
        cause += say(lang, f", most in {row['driving_segment']}", f"，以 {row['driving_segment']} 为最")
    return say(
        lang,
        f"Alert: {word}{of} {change_text(row['relative_change'])} off its usual, {when}{cause}.",
        f"预警：{when}，{word}{of}偏离常态 {change_text(row['relative_change'])}{cause}。",
    )


def sales_findings(tables: Tables, segment_by: str, lang: Language) -> tuple[Finding, ...]:
    """Sentences on the change, what drove it, alerts, what sells and falls, profit, stock and baskets."""
    if tables["sales_kpis"].empty:
        return ()
    return (
        *_figure_findings(tables, lang),
        *_driver_findings(tables, segment_by, lang),
        *_alert_findings(tables, lang),
        *_ranking_findings(tables, lang),
        *_profit_findings(tables, lang),
        *_stock_findings(tables, lang),
        *_basket_findings(tables, lang),
    )


def _figure_findings(tables: Tables, lang: Language) -> list[Finding]:
    found = []
    for name in ("net_amount", "order_count", "visitor_count"):
        row = period_figures(tables)[name]
        if row["value"] != row["value"]:
            continue
        word, value = factor_word(name, lang), figure_text(name, row["value"], lang)
        has_change = row["change"] == row["change"]
        key = {"grain": "period", "metric": name}
        if not has_change:
            text = say(lang, f"{word.capitalize()}: {value}.", f"{word}：{value}。")
            found.append(Finding(f"{name}_of_period", text, Cell("sales_kpis", key, "value"), float(row["value"])))
            continue
        kind = "amount" if name == "net_amount" else "count"
        ends = [row["change_ci_lower"], row["change_ci_upper"]]
        between = ""
        if ends[0] == ends[0]:
            texts = [format_amount(one, lang) if kind == "amount" else f"{one:,.0f}".replace("-", "−") for one in ends]
            between = say(lang, f" ({texts[0]} to {texts[1]})", f"（{texts[0]} 至 {texts[1]}）")
        moved = signed(row["change"], lang) if kind == "amount" else f"{row['change']:+,.0f}".replace("-", "−")
        text = say(
            lang,
            f"{word.capitalize()}: {value}, {moved}{between} against the comparison, {change_text(row['relative_change'])}.",
            f"{word}：{value}，较对比期 {moved}{between}，{change_text(row['relative_change'])}。",
        )
        found.append(Finding(f"{name}_changed", text, Cell("sales_kpis", key, "change"), float(row["change"])))
    return found


def _driver_findings(tables: Tables, segment_by: str, lang: Language) -> list[Finding]:
    factor = driver(tables)
    if factor is None:
        return []
    name = str(factor["factor"])
    word = factor_word(name, lang)
    between = format_interval(factor["ci_lower"], factor["ci_upper"], lang, "amount")
    inside = f" ({between})" if between else ""
    text = say(
        lang,
        f"The driving factor is {word}: {signed(factor['contribution'], lang)}{inside} of the change of net sales.",
        f"主导因素是{word}：净销售额变化中的 {signed(factor['contribution'], lang)}{inside}。",
    )
    cell = Cell("sales_contribution", {"part": "factor", "factor": name}, "contribution")
    found = [Finding("driving_factor", text, cell, float(factor["contribution"]))]
    where = driving_segment(tables, factor)
    if where is not None:
        text = say(
            lang,
            f"By {segment_word(segment_by, lang)}, {word} moved most in {where['segment']}: "
            f"{signed(where['contribution'], lang)}, {figure_text(name, where['comparison_value'], lang)} → "
            f"{figure_text(name, where['value'], lang)}.",
            f"按{segment_word(segment_by, lang)}看，{word}变化最大的是 {where['segment']}："
            f"{signed(where['contribution'], lang)}，{figure_text(name, where['comparison_value'], lang)} → "
            f"{figure_text(name, where['value'], lang)}。",
        )
        key = {"part": where["part"], "factor": name, "segment": where["segment"]}
        cell = Cell("sales_contribution", key, "contribution")
        found.append(Finding("driving_segment", text, cell, float(where["contribution"])))
    rows = tables["sales_contribution"]
    mix = rows[rows["part"] == "mix"]
    if len(mix) > 1:
        row = largest_row(mix.assign(_size=mix["contribution"].abs()), "_size")
        text = say(
            lang,
            f"The mix of {segment_word(segment_by, lang)}s explains {signed(mix['contribution'].sum(), lang)} in all, most "
            f"by {row['segment']} ({signed(row['contribution'], lang)}; "
            f"{format_rate(row['comparison_value'])} → {format_rate(row['value'])} of visitors).",
            f"{segment_word(segment_by, lang)}结构共解释 {signed(mix['contribution'].sum(), lang)}，最大的是 {row['segment']}"
            f"（{signed(row['contribution'], lang)}；占访客 {format_rate(row['comparison_value'])} → {format_rate(row['value'])}）。",
        )
        key = {"part": "mix", "segment": row["segment"]}
        cell = Cell("sales_contribution", key, "contribution")
        found.append(Finding("largest_mix", text, cell, float(row["contribution"])))
    return found


def _alert_findings(tables: Tables, lang: Language) -> list[Finding]:
    return [
        Finding(
            "alert",
            alert_text(row, lang),
            Cell("sales_alerts", {"rank": int(row["rank"])}, "amount"),
            float(row["amount"]),
        )
        for row in rows_of(tables["sales_alerts"].head(3))
    ]


def _ranking_findings(tables: Tables, lang: Language) -> list[Finding]:
    table = tables["product_ranking"]
    found = []
    for level in ("product", "category", "region"):
        for ranking in ("best", "falling"):
            rows = table[(table["level"] == level) & (table["ranking"] == ranking)] if len(table) else table
            if rows.empty:
                continue
            row = rows_of(rows)[0]
            word = {"product": ("Product", "商品"), "category": ("Category", "品类"), "region": ("Region", "地区")}[
                level
            ]
            column = "net_amount" if ranking == "best" else "change"
            key = {"level": level, "ranking": ranking, "member": row["member"]}
            amount = format_amount(row[column], lang)
            en = f"{word[0]} with most net sales: {row['member_name']}, {amount}."
            zh = f"净销售额最高的{word[1]}：{row['member_name']}，{amount}。"
            if ranking == "falling":
                en = (
                    f"{word[0]} that lost most: {row['member_name']}, {amount} ({change_text(row['relative_change'])})."
                )
                zh = f"下降最多的{word[1]}：{row['member_name']}，{amount}（{change_text(row['relative_change'])}）。"
            cell = Cell("product_ranking", key, column)
            found.append(Finding(f"{ranking}_{level}", say(lang, en, zh), cell, float(row[column])))
    return found


def _profit_findings(tables: Tables, lang: Language) -> list[Finding]:
    table = tables["profit_composition"]
    whole = table[table["dimension"] == "all"] if len(table) else table
    if whole.empty or whole["contribution_amount"].isna().all() or not whole["gross_amount"].iloc[0] > 0:
        return []
    row = rows_of(whole)[0]
    left, gross = row["contribution_amount"], row["gross_amount"]
    text = say(
        lang,
        f"Of {format_amount(gross, lang)} before discounts, {format_amount(left, lang)} is left as contribution "
        f"({format_amount(100 * left / gross, lang)} of 100).",
        f"优惠前金额 {format_amount(gross, lang)} 中，最终贡献为 {format_amount(left, lang)}"
        f"（每 100 剩 {format_amount(100 * left / gross, lang)}）。",
    )
    cell = Cell("profit_composition", {"dimension": "all", "member": "all"}, "contribution_amount")
    return [Finding("contribution", text, cell, float(left))]


def _stock_findings(tables: Tables, lang: Language) -> list[Finding]:
    stock = tables["stock_days"]
    urgent = stock[stock["hint"] == "order_now"] if len(stock) else stock
    if urgent.empty:
        return []
    row = rows_of(urgent)[0]
    text = say(
        lang,
        f"{format_count(len(urgent))} products and regions have stock for less than a week; most is at stake with "
        f"{row['product_name']} in {row['region']}: {row['days_of_stock']:.1f} days left.",
        f"{format_count(len(urgent))} 个商品与地区的库存不足一周；风险最大的是 {row['product_name']}（{row['region']}），"
        f"仅够 {row['days_of_stock']:.1f} 天。",
    )
    cell = Cell("stock_days", {"product_id": row["product_id"], "region": row["region"]}, "days_of_stock")
    return [Finding("short_stock", text, cell, float(row["days_of_stock"]))]


def _basket_findings(tables: Tables, lang: Language) -> list[Finding]:
    pairs = tables["bought_together"]
    sure = pairs[(pairs["lift_ci_lower"] > 1) & (pairs["p_value_adjusted"] < 0.05)] if len(pairs) else pairs
    if sure.empty:
        return []
    row = rows_of(sure)[0]
    text = say(
        lang,
        f"{row['product_name']} and {row['other_name']} are bought together {row['lift']:.1f} times as often as chance "
        f"would ({row['lift_ci_lower']:.1f}–{row['lift_ci_upper']:.1f}).",
        f"{row['product_name']} 与 {row['other_name']} 同单购买为随机水平的 {row['lift']:.1f} 倍"
        f"（{row['lift_ci_lower']:.1f}–{row['lift_ci_upper']:.1f}）。",
    )
    cell = Cell("bought_together", {"product_id": row["product_id"], "other_id": row["other_id"]}, "lift")
    return [Finding("bought_together", text, cell, float(row["lift"]))]
