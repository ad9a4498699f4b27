"""What the sales tables say, in sentences that name their cell."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from workbench.analysis import Cell, Finding
from workbench.contract import UNKNOWN
from workbench.language import Language, format_amount, format_count, format_rate, say
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


def factors_moved(tables: Tables) -> pd.DataFrame:
    """The rows of the factors, discounts and refunds, largest first; empty without a comparison."""
    rows = tables["sales_contribution"]
    rows = rows[rows["part"] == "factor"]
    return rows.reindex(rows["contribution"].abs().sort_values(ascending=False, kind="stable").index)


def is_net_clear(tables: Tables) -> bool:
    """Whether the interval of the change of net sales excludes 0."""
    net = period_figures(tables)["net_amount"]
    return bool(net["change_ci_lower"] > 0 or net["change_ci_upper"] < 0)


def driver(tables: Tables) -> Row | None:
    """The factor that moved net sales most beyond chance, all factors judged together; None where there is none.

    In the direction of net sales where these moved beyond chance themselves, else in either.
    """
    clear = factors_moved(tables)
    clear = clear[clear["is_clear"].astype(bool)]
    if len(clear) and is_net_clear(tables):
        clear = clear[(clear["contribution"] > 0) == (period_figures(tables)["net_amount"]["change"] > 0)]
    return rows_of(clear.head(1))[0] if len(clear) else None


def factor_segments(tables: Tables, factor: Row) -> pd.DataFrame:
    """What a factor did in each segment, most beyond its share in the factor's direction first; empty for fewer than 2."""
    rows = tables["sales_contribution"]
    rows = rows[rows["part"].isin(["traffic", "within"]) & (rows["factor"] == factor["factor"])]
    named = rows[~rows["segment"].isin([UNKNOWN, OTHER])]
    if len(named) < 2:
        return rows.head(0)
    sign = 1.0 if factor["contribution"] > 0 else -1.0
    along = sign * named["contribution"]
    beyond = along - sign * named["proportional_contribution"]
    named = named.assign(_along=along > 0, _beyond=beyond, _clear=named["is_clear"].astype(bool) & (beyond > 0))
    return named.sort_values(["_clear", "_beyond"], ascending=False, kind="stable")


def driving_segment(tables: Tables, factor: Row | None) -> Row | None:
    """The segment in which the driving factor moved beyond its share; None where no segment clearly did."""
    rows = factor_segments(tables, factor) if factor is not None else pd.DataFrame()
    return rows_of(rows.head(1))[0] if len(rows) and rows["_clear"].iloc[0] else None


def between(low: float, high: float, metric: str, lang: Language) -> str:
    """Bounds as people say them; empty where they are unknown."""
    if low != low or high != high:
        return ""
    texts = [figure_text(metric, one, lang).replace("-", "−") for one in (low, high)]
    return say(lang, f"{texts[0]} to {texts[1]}", f"{texts[0]} 至 {texts[1]}")


def has_amounts(tables: Tables) -> bool:
    """Whether there is money: some gross amount now or before."""
    gross = period_figures(tables)["gross_amount"]
    return bool(gross["value"] > 0 or gross["comparison_value"] > 0)


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
        where = row["driving_segment"]
        cause += say(lang, f", beyond its share in {where}", f"，{where} 超出其份额")
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
        *_target_findings(tables, lang),
        *_last_week_findings(tables, lang),
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
        if row["value"] != row["value"] or (name == "net_amount" and not has_amounts(tables)):
            continue
        word, value = factor_word(name, lang), figure_text(name, row["value"], lang)
        has_change = row["change"] == row["change"]
        key = {"grain": "period", "metric": name}
        if not has_change:
            text = say(lang, f"{word.capitalize()}: {value}.", f"{word}：{value}。")
            found.append(Finding(f"{name}_of_period", text, Cell("sales_kpis", key, "value"), float(row["value"])))
            continue
        kind = "amount" if name == "net_amount" else "count"
        ends = between(row["change_ci_lower"], row["change_ci_upper"], name, lang)
        inside = say(lang, f" ({ends})", f"（{ends}）") if ends else ""
        moved = signed(row["change"], lang) if kind == "amount" else f"{row['change']:+,.0f}".replace("-", "−")
        text = say(
            lang,
            f"{word.capitalize()}: {value}, {moved}{inside} against the comparison, {change_text(row['relative_change'])}.",
            f"{word}：{value}，较对比期 {moved}{inside}，{change_text(row['relative_change'])}。",
        )
        found.append(Finding(f"{name}_changed", text, Cell("sales_kpis", key, "change"), float(row["change"])))
    return found


def _target_findings(tables: Tables, lang: Language) -> list[Finding]:
    text = target_text(tables, lang)
    if not text:
        return []
    net = period_figures(tables)["net_amount"]
    cell = Cell("sales_kpis", {"grain": "period", "metric": "net_amount"}, "target_amount")
    return [Finding("target", text, cell, float(net["target_amount"]))]


def target_text(tables: Tables, lang: Language) -> str:
    """Net sales against what was planned; empty without a plan of the whole period."""
    net = period_figures(tables)["net_amount"]
    if net["target_amount"] != net["target_amount"] or net["value"] != net["value"]:
        return ""
    value, planned = (format_amount(net[one], lang) for one in ("value", "target_amount"))
    part = format_rate(net["value"] / net["target_amount"]) if net["target_amount"] > 0 else "–"
    return say(lang, f"{value} of {planned} planned ({part}).", f"计划 {planned}，实际 {value}（完成 {part}）。")


def _last_week_findings(tables: Tables, lang: Language) -> list[Finding]:
    """Where the period has nothing before it: its last week against the one before that."""
    kpis = tables["sales_kpis"]
    name = "net_amount" if has_amounts(tables) else "order_count"
    if period_figures(tables)["order_count"]["change"] == period_figures(tables)["order_count"]["change"]:
        return []
    weeks = kpis[(kpis["grain"] == "week") & (kpis["metric"] == name) & kpis["relative_change"].notna()]
    if weeks.empty:
        return []
    row = rows_of(weeks.tail(1))[0]
    word, moved = factor_word(name, lang), change_text(row["relative_change"])
    texts = [figure_text(name, row[one], lang) for one in ("value", "comparison_value")]
    text = say(
        lang,
        f"The last week, from {row['start_date']} on: {word} {texts[0]} after {texts[1]} in the week compared with ({moved}).",
        f"最后一周（{row['start_date']} 起）：{word} {texts[0]}，对比周为 {texts[1]}（{moved}）。",
    )
    key = {"grain": "week", "start_date": row["start_date"], "metric": name}
    return [Finding("last_week", text, Cell("sales_kpis", key, "change"), float(row["change"]))]


def _driver_findings(tables: Tables, segment_by: str, lang: Language) -> list[Finding]:
    factors = factors_moved(tables)
    if factors.empty or not has_amounts(tables):
        return []
    factor = driver(tables)
    row = rows_of(factors.head(1))[0] if factor is None else factor
    name, amount = str(row["factor"]), float(row["contribution"])
    word, moved = factor_word(name, lang), signed(amount, lang)
    ends = between(row["ci_lower"], row["ci_upper"], "net_amount", lang)
    inside = say(lang, f" ({ends})", f"（{ends}）") if ends else ""
    cell = Cell("sales_contribution", {"part": "factor", "factor": name}, "contribution")
    if factor is None:
        text = say(
            lang,
            f"No factor moved net sales clearly beyond chance; the largest part of the change is that of {word}: "
            f"{moved}{inside}.",
            f"没有因素使净销售额的变化明显超出随机波动；变化中最大的一项是{word}：{moved}{inside}。",
        )
        return [Finding("no_driving_factor", text, cell, amount)]
    text = say(
        lang,
        f"The driving factor is {word}: {moved}{inside} of the change of net sales.",
        f"主导因素是{word}：净销售额变化中的 {moved}{inside}。",
    )
    found = [Finding("driving_factor", text, cell, amount)]
    return [*found, *_segment_findings(tables, factor, segment_by, lang), *_mix_findings(tables, segment_by, lang)]


def _segment_findings(tables: Tables, factor: Row, segment_by: str, lang: Language) -> list[Finding]:
    rows = factor_segments(tables, factor)
    if rows.empty:
        return []
    row, along, every = rows_of(rows.head(1))[0], int(rows["_along"].sum()), len(rows)
    name, by = str(factor["factor"]), segment_word(segment_by, lang)
    word, moved, share = (
        factor_word(name, lang),
        signed(row["contribution"], lang),
        signed(row["proportional_contribution"], lang),
    )
    was, now = (figure_text(name, row[one], lang) for one in ("comparison_value", "value"))
    if row["_clear"]:
        kind = "driving_segment"
        text = say(
            lang,
            f"By {by}, {word} moved clearly beyond its share in {row['segment']}: {moved} where {share} would be its "
            f"share ({was} → {now}).",
            f"按{by}看，{row['segment']} 的{word}变动明显超出其份额：{moved}，按份额应为 {share}（{was} → {now}）。",
        )
    else:
        kind = "no_driving_segment"
        text = say(
            lang,
            f"By {by}, {word} moved the same way in {along} of {every}, in none clearly beyond its share; furthest is "
            f"{row['segment']}: {moved} where {share} would be its share.",
            f"按{by}看，{every} 个中 {along} 个的{word}同向变动，没有一个明显超出其份额；偏离最大的是 {row['segment']}："
            f"{moved}，按份额应为 {share}。",
        )
    key = {"part": row["part"], "factor": name, "segment": row["segment"]}
    return [Finding(kind, text, Cell("sales_contribution", key, "contribution"), float(row["contribution"]))]


def _mix_findings(tables: Tables, segment_by: str, lang: Language) -> list[Finding]:
    rows = tables["sales_contribution"]
    mix = rows[rows["part"] == "mix"]
    clear = mix[mix["is_clear"].astype(bool)]
    if clear.empty:
        return []
    row = largest_row(clear.assign(_size=clear["contribution"].abs()), "_size")
    of = factor_word(str(rows.loc[rows["part"] == "traffic", "factor"].iloc[0]), lang)
    whole, own = (signed(one, lang) for one in (mix["contribution"].sum(), row["contribution"]))
    shares = f"{format_rate(row['comparison_value'])} → {format_rate(row['value'])}"
    by = segment_word(segment_by, lang)
    text = say(
        lang,
        f"The mix of {by}s explains {whole} in all, most by {row['segment']} ({own}; {shares} of {of}).",
        f"{by}结构共解释 {whole}，最大的是 {row['segment']}（{own}；占{of} {shares}）。",
    )
    cell = Cell("sales_contribution", {"part": "mix", "segment": row["segment"]}, "contribution")
    return [Finding("largest_mix", text, cell, float(row["contribution"]))]


def _alert_findings(tables: Tables, lang: Language) -> list[Finding]:
    if tables["sales_alerts"].empty:
        return _no_alert_findings(tables, lang)
    return [
        Finding(
            "alert",
            alert_text(row, lang),
            Cell("sales_alerts", {"rank": int(row["rank"])}, "amount"),
            float(row["amount"]),
        )
        for row in rows_of(tables["sales_alerts"].head(3))
    ]


def net_watched(tables: Tables) -> list[Row]:
    """The rows of the shop's net sales among the series watched, weeks first."""
    table = tables["sales_watched"]
    table = table[(table["metric"] == "net_amount") & table["segment"].isna()] if len(table) else table
    return rows_of(table)


def _no_alert_findings(tables: Tables, lang: Language) -> list[Finding]:
    found = []
    for row in net_watched(tables):
        if row["least_fall"] != row["least_fall"]:
            continue
        word = say(lang, *{"day": ("day", "日"), "week": ("week", "周")}[row["grain"]])
        bound, usual = (format_amount(row[one], lang) for one in ("expected_lower", "expected_value"))
        text = say(
            lang,
            f"No alert. For the {word} from {row['start_date']} on, {usual} of net sales were expected; below {bound} "
            f"({change_text(row['least_fall'])}) there would have been one.",
            f"没有预警。{row['start_date']} 起的一{word}预期净销售额 {usual}，低于 {bound}"
            f"（{change_text(row['least_fall'])}）才会报警。",
        )
        key = {"grain": row["grain"], "series": row["series"]}
        found.append(
            Finding(
                f"no_alert_{row['grain']}",
                text,
                Cell("sales_watched", key, "expected_lower"),
                float(row["expected_lower"]),
            )
        )
    return found


def _ranking_findings(tables: Tables, lang: Language) -> list[Finding]:
    table = tables["product_ranking"]
    if len(table):
        table = table[~table["member"].isin([UNKNOWN, OTHER])]
        table = table[table.groupby("level")["member"].transform("nunique") > 1]  # the best of one says nothing
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
