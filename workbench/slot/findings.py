"""What the slot tables say, in sentences that name their cell."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.contract import DIRECT
from workbench.glossary import codes
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.period import Period
from workbench.slot.concentration import ALL_PAGES, TopShare, top_share
from workbench.slot.focus import MIN_CLICKS, MIN_PEERS
from workbench.slot.notes import LARGE_BUYER, Facts
from workbench.stats.intervals import MINIMUM_EFFECTIVE

Tables = Mapping[str, pd.DataFrame]
WHY = {
    "leaks": ("few orders", "成交少"),
    "hidden": ("little seen", "曝光少"),
    "not_clicked": ("few clicks", "点击少"),
}
DO = {
    "raise": ("raise", "加曝光"),
    "move": ("move up", "上移"),
    "fix_landing": ("fix landing", "改落地页"),
    "change_content": ("new content", "换内容"),
    "watch": ("watch", "观察"),
}
STEPS = {
    "select_promotion": ("exposure → click", "曝光→点击"),
    "view_item": ("click → detail view", "点击→详情"),
    "add_to_cart": ("detail view → cart", "详情→加购"),
    "begin_checkout": ("cart → submit", "加购→提交"),
    "purchase": ("submit → pay", "提交→支付"),
}
ONE_TOUCH = 0.9
"""From this share of journeys with one touch on, models can hardly differ."""


def shown_model(models: Sequence[str]) -> str:
    """The model that the first screen speaks of: linear if it was run, else the last rule that shares credit out."""
    rules = [one for one in models if one not in ("participation", "markov")]
    rest = [one for one in models if one != "participation"] or list(models)
    return "linear" if "linear" in models else (rules or rest)[-1]


def purchases_of(credit: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Rows of ``slot_credit`` for purchases under the model shown."""
    return credit[(credit["target"] == "purchase") & (credit["model"] == shown_model(models))]


def step_words(step: str, lang: Language) -> str:
    """A step of the funnel in words."""
    return say(lang, *STEPS.get(step, (step, step)))


def weakest_step_words(name: str, row: Mapping[Any, Any] | pd.Series, lang: Language) -> str:
    """The step of ``slot_leak`` at which a slot loses most against comparable slots, as it was observed."""
    step, rate, other = (
        step_words(row["step"], lang),
        format_rate(row["step_rate"]),
        format_rate(row["comparable_rate"]),
    )
    return say(
        lang,
        f"{name}'s weakest step is {step}: {rate} go on, in comparable slots {other}",
        f"{name} 最弱的环节是{step}：{rate} 继续，可比坑位 {other}",
    )


def rank_words(row: Mapping[Any, Any]) -> str:
    """A rank with its interval: ``5 (3–7)``; without one there is nothing to say of the rank."""
    lower, upper = row["rank_lower"], row["rank_upper"]
    if pd.isna(row["rank"]) or pd.isna(lower):
        return "–"
    own = f"{row['rank']:.0f}"
    return own if lower == upper else f"{own} ({lower:.0f}–{upper:.0f})"


# -- first screen ------------------------------------------------------------------------------------------


def slot_headline(
    tables: Tables,
    period: Period,
    lang: Language,
    models: Sequence[str],
    facts: Facts,
    *,
    top_n: int,
    has_orders_table: bool,
) -> Headline:
    """The first screen of the slot report."""
    focus = tables["slot_focus"]
    named = len(focus) > 0
    return Headline(
        verdict=_verdict(tables, period, lang, models, facts, top_n, has_orders_table),
        table=_focus_table(focus, lang) if named else _metrics_table(tables["slot_metrics"], lang),
        source="slot_focus" if named else "slot_metrics",
        actions=tuple(_action(row, lang) for row in focus.head(3).to_dict("records")),
    )


def _verdict(
    tables: Tables,
    period: Period,
    lang: Language,
    models: Sequence[str],
    facts: Facts,
    top_n: int,
    has_orders_table: bool,
) -> str:
    metrics = tables["slot_metrics"]
    if metrics.empty:
        return say(
            lang,
            f"No slot was shown or clicked from {period.start_date} to {period.last_date}."
            if not facts.unnamed_count
            else f"{format_count(facts.unnamed_count)} touches name no slot: fill slot_id at the source.",
            f"{period.start_date} 至 {period.last_date} 没有坑位曝光或点击。"
            if not facts.unnamed_count
            else f"{format_count(facts.unnamed_count)} 次触点没有坑位编号：请在数据源补全 slot_id。",
        )
    purchases = purchases_of(tables["slot_credit"], models)
    if purchases.empty:
        seen = metrics["impression_count"].sum()
        clicked = metrics["click_count"].sum()
        rate = format_rate(clicked / seen if seen >= clicked and seen else None, 2)
        asked = "purchase" in facts.targets
        why = say(lang, "no paid order to attribute", "没有可归因的已支付订单")
        if not has_orders_table:
            why = say(lang, "without an orders table nothing is attributed", "没有 orders 表，无法归因")
        elif not asked:
            why = say(lang, "purchase is not among the targets", "目标中没有 purchase")
        elif facts.sums["purchase"].total["conversions"].sum():
            why = say(lang, "markov refuses to attribute them; add another model", "markov 无法归因，请加选其他模型")
        return say(
            lang,
            f"{format_count(seen)} exposures and {format_count(clicked)} clicks ({rate}); {why}.",
            f"曝光 {format_count(seen)} 次，点击 {format_count(clicked)} 次（{rate}）；{why}。",
        )
    sums = facts.sums["purchase"]
    paid, matched = sums.total["conversions"].sum(), sums.matched["conversions"].sum()
    if not matched:
        count = format_count(paid)
        return say(
            lang,
            f"None of {count} paid orders can be traced to a slot: {_why_untraced(facts)[0]}.",
            f"{count} 笔支付订单均无法追溯到坑位：{_why_untraced(facts)[1]}。",
        )
    share, orders = matched / paid, format_count(paid)
    touch = say(lang, *(("click", "点击") if facts.rules.touch == "select_promotion" else ("exposure", "曝光")))
    top = _top_sentence(tables, lang, top_n)
    none = _why_none(metrics, facts, lang) if tables["slot_focus"].empty else ""
    none = _why_no_intervals(facts, lang) or none
    return say(
        lang,
        f"{format_rate(share)} of {orders} paid orders followed a slot {touch}. {top}"
        f"{none}{' ' if none else ''}Attribution is not incrementality.",
        f"{orders} 笔支付订单中 {format_rate(share)} 之前有坑位{touch}。{top}{none}归因不等于增量。",
    )


def _why_untraced(facts: Facts) -> tuple[str, str]:
    """Why no order has a touch."""
    rules = facts.rules
    if not facts.user_ids_known:
        return (
            "the source cannot tell people apart, so that no click leads to an order",
            "数据源无法区分用户，点击与订单无法关联",
        )
    if rules.match_on and not rules.key_event:
        return (
            "no touch carries the product of an order line; key_event view_item may link them",
            "触点没有与订单行一致的商品；可设 key_event 为 view_item",
        )
    return (
        "no buyer has a touch that counts; are the user ids of events and orders the same, is the lookback too short",
        "没有买家有符合规则的触点；请核对行为与订单的用户编号及回溯时长",
    )


def _top(tables: Tables, top_n: int) -> TopShare:
    return top_share(tables["slot_concentration"], top_n)


def _top_sentence(tables: Tables, lang: Language, top_n: int) -> str:
    """Share of the first positions beside the benchmark; empty where there are no positions."""
    top = _top(tables, top_n)
    if top.row is None:
        return ""
    place, share = int(top.row["place"]), format_rate(top.row["cumulative_share"])
    if not top.is_informative:
        return say(
            lang,
            f"There are only {place} positions, no more than the first {top_n}. ",
            f"共 {place} 个位置，不足前 {top_n} 位。",
        )
    span = format_interval(top.row["ci_lower"], top.row["ci_upper"])
    low, high = top.row["benchmark_lower"], top.row["benchmark_upper"]
    band = f"{low:.0%}–{high:.0%}"
    value = top.row["cumulative_share"]
    where = ("below", "低于") if value < low else ("above", "高于") if value > high else ("within", "处于")
    return say(
        lang,
        f"The first {place} positions earn {share}{f' ({span})' if span else ''} of slot sales, {where[0]} the usual {band}. ",
        f"前 {place} 个位置占坑位贡献的 {share}{f'（{span}）' if span else ''}，{where[1]}常见的 {band}。",
    )


def _why_no_intervals(facts: Facts, lang: Language) -> str:
    """That one buyer carries so much of purchases that nothing about shares is sure."""
    sums = facts.sums["purchase"]
    if not facts.has_intervals or sums.effective >= MINIMUM_EFFECTIVE or not sums.largest_share > LARGE_BUYER:
        return ""
    share = format_rate(sums.largest_share, 0)
    of = ("the paid amount", "支付金额") if sums.has_amount else ("orders", "订单")
    return say(
        lang,
        f"One buyer carries {share} of {of[0]}: no intervals, ranks are not sure.",
        f"单个买家占{of[1]}的 {share}：不给区间，排名不可靠。",
    )


def _why_none(metrics: pd.DataFrame, facts: Facts, lang: Language) -> str:
    """Why no slot is to change."""
    if not facts.has_intervals:
        return say(lang, "Without intervals no slot is named.", "未计算区间，不点名坑位。")
    if (metrics["click_count"] >= MIN_CLICKS).sum() < MIN_PEERS:
        return say(lang, "Too few clicks to compare slots.", "点击太少，无法比较坑位。")
    return say(lang, "No slot stands out beyond chance.", "没有坑位超出随机波动。")


def _focus_table(focus: pd.DataFrame, lang: Language) -> pd.DataFrame:
    """Rows are numbered as the points of the picture beside it."""
    return pd.DataFrame(
        [
            {
                say(lang, "Slot", "坑位"): f"{number} {row['slot_name']}",
                say(lang, "Rank", "排名"): rank_words(row),
                say(lang, "Why", "原因"): say(lang, *WHY[row["reason"]]),
                say(lang, "Do", "建议"): say(lang, *DO[row["action"]]),
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
    name, rate, middle = row["slot_name"], format_rate(row["orders_per_click"], 2), format_rate(row["compared_with"], 2)
    step = f" ({step_words(row['step'], lang)})" if row["step"] else ""
    sells = (
        f"{rate} orders per click, peers {middle}",
        f"每次点击成交 {rate}，可比坑位中位 {middle}",
    )
    told = {
        "fix_landing": (f"Fix what {name} leads to{step}: {sells[0]}.", f"改进 {name} 的落地页{step}：{sells[1]}。"),
        "watch": (
            f"Watch {name}: {sells[0]}; no single step stands out.",
            f"观察 {name}：{sells[1]}；没有突出的环节。",
        ),
        "move": (f"Move {name} up: {sells[0]}, but few see it.", f"上移 {name}：{sells[1]}，但曝光少。"),
        "raise": (f"Show {name} more: {sells[0]}, but few see it.", f"增加 {name} 的曝光：{sells[1]}，但曝光少。"),
        "change_content": (f"Change what {name} shows{step}: {sells[0]}.", f"更换 {name} 的内容{step}：{sells[1]}。"),
    }[row["action"]]
    if row["reason"] == "not_clicked":
        clicked, usual = format_rate(row["click_through_rate"]), format_rate(row["compared_with"])
        told = (
            f"Change the content of {name}: {clicked} click, peers {usual}.",
            f"更换 {name} 的内容：点击率 {clicked}，同页中位 {usual}。",
        )
    upper = row["reason"] != "hidden"
    missing = pd.isna(row["stake_amount"])
    return Action(
        name=f"slot_{row['reason']}",
        text=say(lang, *told),
        cell=Cell("slot_focus", {"slot_id": row["slot_id"]}, "stake_amount"),
        amount=None if missing else row["stake_amount"],
        ci_lower=None if missing else row["stake_ci_lower"],
        ci_upper=None if missing else row["stake_ci_upper"],
        basis=say(
            lang,
            f"more paid at most, if {'it rose to the median' if upper else 'it were seen as often as its like'}",
            f"至多多支付，若{'升至中位水平' if upper else '曝光达到中位水平'}",
        ),
        evidence="descriptive",
    )


# -- findings ----------------------------------------------------------------------------------------------


def slot_findings(
    tables: Tables, lang: Language, models: Sequence[str], facts: Facts, *, top_n: int
) -> tuple[Finding, ...]:
    """Sentences on the attributable share, the leading slots, and each table that says something beyond chance."""
    purchases = purchases_of(tables["slot_credit"], models)
    return (
        *(_attributable(purchases, lang, models) if len(purchases) else ()),
        *(_leaders(tables, purchases, lang, models) if len(purchases) else ()),
        *_concentrated(tables, lang, top_n),
        *_to_change(tables, lang, len(purchases) > 0, facts),
        *_leaks(tables, lang),
        *_misfits(tables, lang),
        *_contents(tables, lang),
        *_chooser(tables, lang, facts),
        *_errors(tables, lang),
    )


def _attributable(purchases: pd.DataFrame, lang: Language, models: Sequence[str]) -> list[Finding]:
    direct = purchases.loc[purchases["credited_id"] == DIRECT, "conversion_share"].sum()
    key = {"target": "purchase", "model": shown_model(models), "credited_id": DIRECT}
    text = say(
        lang,
        f"{format_rate(direct)} of paid orders had no touch that counts before them; {format_rate(1 - direct)} had one.",
        f"{format_rate(direct)} 的支付订单之前没有符合规则的坑位触点，{format_rate(1 - direct)} 有。",
    )
    return [Finding("untouched_share", text, Cell("slot_credit", key, "conversion_share"), direct)]


def _leaders(tables: Tables, purchases: pd.DataFrame, lang: Language, models: Sequence[str]) -> list[Finding]:
    """The three with most credit, each with the interval of its share and of its rank."""
    names = _names(tables, purchases["credit_to"].iloc[0])
    model = shown_model(models)
    told = _model_word(model, lang)
    ranks = tables["slot_ranks"]
    ranks = ranks[(ranks["target"] == "purchase") & (ranks["model"] == model)].set_index("credited_id")
    slots = purchases[(purchases["credited_id"] != DIRECT) & (purchases["conversion_credit"] > 0)]
    found = []
    for row in slots.head(3).to_dict("records"):
        measure = "amount_share" if not pd.isna(row["amount_share"]) else "conversion_share"
        span = format_interval(row["ci_lower"], row["ci_upper"])
        of = say(lang, "paid amount", "支付金额") if measure == "amount_share" else say(lang, "orders", "订单")
        name, own = names.get(row["credited_id"], row["credited_id"]), ""
        if row["credited_id"] in ranks.index and not pd.isna(ranks.loc[row["credited_id"], "rank_lower"]):
            lower, upper = (int(ranks.loc[row["credited_id"], side]) for side in ("rank_lower", "rank_upper"))
            places = str(lower) if lower == upper else f"{lower}–{upper}"
            own = say(lang, f"; its rank is {places}", f"；排名 {places}")
        text = say(
            lang,
            f"{name} gets {format_rate(row[measure])} of the {of}{f' ({span})' if span else ''} under “{told}”{own}.",
            f"{name} 在“{told}”模型下获得 {format_rate(row[measure])} 的{of}{f'（{span}）' if span else ''}{own}。",
        )
        key = {"target": "purchase", "model": model, "credited_id": row["credited_id"]}
        found.append(Finding("most_credit", text, Cell("slot_credit", key, measure), row[measure]))
    return found


def _model_word(model: str, lang: Language) -> str:
    return codes("model")[model].word(lang)


def _names(tables: Tables, credit_to: str) -> dict[str, str]:
    """Names of what is credited; a page or a floor is its own."""
    if credit_to == "slot_id":
        table, key, name = tables["slot_metrics"], "slot_id", "slot_name"
    elif credit_to == "content_id":
        table, key, name = tables["content_metrics"], "content_id", "content_name"
    else:
        return {}
    return dict(zip(table[key].astype(str), table[name].astype(str), strict=True))


def _concentrated(tables: Tables, lang: Language, top_n: int) -> list[Finding]:
    top = _top(tables, top_n)
    if top.row is None or not top.is_informative:
        return []
    key = {"page": ALL_PAGES, "order_by": "position", "place": int(top.row["place"])}
    cell = Cell("slot_concentration", key, "cumulative_share")
    return [Finding("top_positions", _top_sentence(tables, lang, top_n).strip(), cell, top.row["cumulative_share"])]


def _to_change(tables: Tables, lang: Language, has_purchases: bool, facts: Facts) -> list[Finding]:
    focus = tables["slot_focus"]
    found = []
    for row in focus.to_dict("records"):
        column = "orders_per_click" if row["reason"] != "not_clicked" else "click_through_rate"
        cell = Cell("slot_focus", {"slot_id": row["slot_id"]}, column)
        found.append(Finding(f"slot_{row['reason']}", _action(row, lang).text, cell, row[column]))
    if has_purchases and focus.empty:
        text = _why_none(tables["slot_metrics"], facts, lang)
        found.append(Finding("nothing_stands_out", text, Cell("slot_focus", {}, "slot_id")))
    return found


def _leaks(tables: Tables, lang: Language) -> list[Finding]:
    """The weakest steps against comparable slots, the largest stakes first."""
    leak = tables["slot_leak"]
    marked = leak[leak["is_largest_loss"].fillna(False).astype(bool)]
    found = []
    for row in marked.sort_values("stake_amount", ascending=False).head(3).to_dict("records"):
        stake = "" if pd.isna(row["stake_amount"]) else format_amount(row["stake_amount"], lang)
        at_stake = say(lang, f"; at most {stake} at stake", f"；至多影响 {stake}") if stake else ""
        text = weakest_step_words(row["slot_name"], row, lang) + at_stake + say(lang, ".", "。")
        cell = Cell("slot_leak", {"slot_id": row["slot_id"], "step": row["step"]}, "step_rate")
        found.append(Finding("leaking_step", text, cell, row["step_rate"]))
    return found


def _misfits(tables: Tables, lang: Language) -> list[Finding]:
    misfit = tables["position_misfit"]
    flagged = misfit[misfit["misfit"].notna()]
    found = []
    for row in flagged.head(3).to_dict("records"):
        span = f"{row['ci_lower']:.1f}–{row['ci_upper']:.1f}"
        more = say(lang, *(("more", "多") if row["misfit"] == "above" else ("less", "少")))
        text = say(
            lang,
            f"{row['slot_name']} sells {more} than its position explains: {row['ratio']:.1f} times what is expected ({span}).",
            f"{row['slot_name']} 的成交比其位置所能解释的{more}：为预期的 {row['ratio']:.1f} 倍（{span}）。",
        )
        found.append(
            Finding(
                "position_misfit", text, Cell("position_misfit", {"slot_id": row["slot_id"]}, "ratio"), row["ratio"]
            )
        )
    return found


def _contents(tables: Tables, lang: Language) -> list[Finding]:
    """The content most and least clicked for its own sake, and placements that depend on the viewer."""
    content = tables["content_metrics"]
    sure = content[content["appeal_ci_lower"].notna() & content["is_separable"].fillna(False).astype(bool)]
    found = []
    sides = (
        ("best_content", sure[sure["appeal_ci_lower"] > 1], False),
        ("worst_content", sure[sure["appeal_ci_upper"] < 1], True),
    )
    for name, chosen, ascending in sides:
        for row in chosen.sort_values("appeal", ascending=ascending).head(1).to_dict("records"):
            span = f"{row['appeal_ci_lower']:.2f}–{row['appeal_ci_upper']:.2f}"
            text = say(
                lang,
                f"At equal place {row['content_name']} is clicked {row['appeal']:.2f} times as often as the average content ({span}).",
                f"同等位置下，{row['content_name']} 的点击为平均素材的 {row['appeal']:.2f} 倍（{span}）。",
            )
            cell = Cell("content_metrics", {"content_id": row["content_id"]}, "appeal")
            found.append(Finding(name, text, cell, row["appeal"]))
    shown = content[content["placement"] == "personalised"]
    for row in shown.head(1).to_dict("records"):
        count = len(shown)
        text = say(
            lang,
            f"{count} contents are shown to other people than their neighbours, {row['content_name']} first: their appeal "
            "compares people, not contents.",
            f"{count} 个素材的展示因人而异（如 {row['content_name']}）：其吸引力比较的是人群而非素材。",
        )
        found.append(
            Finding(
                "personalised",
                text,
                Cell("content_metrics", {"content_id": row["content_id"]}, "click_count"),
                row["click_count"],
            )
        )
    return found


def _chooser(tables: Tables, lang: Language, facts: Facts) -> list[Finding]:
    """Where the models cannot differ, and where they differ most."""
    agreement = tables["model_agreement"]
    mine = agreement[agreement["target"] == "purchase"]
    if mine.empty or "purchase" not in facts.sums or mine["lowest_model"].iloc[0] == mine["highest_model"].iloc[0]:
        return []
    row = mine.iloc[0]
    if row["spread"] < 1e-9:
        return []
    names = _names(tables, facts.rules.credit_to)
    name = names.get(row["credited_id"], row["credited_id"])
    sums = facts.sums["purchase"]
    matched = sums.matched["conversions"].sum()
    alone = sums.alone_count / matched if matched else 0.0
    few = format_rate(alone, 0)
    lead = say(lang, f"{few} of attributed orders have one touch", f"{few} 的已归因订单只有一个触点")
    low, high = (
        f"{format_rate(row[f'{end}_share'])} ({_model_word(row[f'{end}_model'], lang)})"
        for end in ("lowest", "highest")
    )
    apart = say(
        lang,
        f"the models differ most on {name}, {low} to {high}",
        f"各模型对 {name} 分歧最大：{low} 至 {high}",
    )
    agree = alone >= ONE_TOUCH
    text = say(
        lang,
        f"{lead}{': all rule models nearly agree; ' if agree else '; '}{apart}.",
        f"{lead}{'，规则模型几乎一致；' if agree else '；'}{apart}。",
    )
    key = {"target": "purchase", "credited_id": row["credited_id"]}
    return [Finding("model_band", text, Cell("model_agreement", key, "spread"), row["spread"])]


def _errors(tables: Tables, lang: Language) -> list[Finding]:
    """On a simulated shop: which model comes nearest to what slots truly bring."""
    error = tables["model_error"]
    mine = error[error["target"] == "purchase"]
    if len(mine) < 2:
        return []
    mine = mine.sort_values("misplaced_share_among_slots")
    best, worst = mine.iloc[0], mine.iloc[-1]
    text = say(
        lang,
        f"Against the planted truth {best['model']} misplaces least among slots ({format_rate(best['misplaced_share_among_slots'])} "
        f"of orders), {worst['model']} most ({format_rate(worst['misplaced_share_among_slots'])}).",
        f"对照模拟真值，{best['model']} 在坑位间的错配最少（订单的 {format_rate(best['misplaced_share_among_slots'])}），"
        f"{worst['model']} 最多（{format_rate(worst['misplaced_share_among_slots'])}）。",
    )
    cell = Cell("model_error", {"target": "purchase", "model": best["model"]}, "misplaced_share_among_slots")
    return [Finding("model_error", text, cell, best["misplaced_share_among_slots"])]
