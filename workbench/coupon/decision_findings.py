"""What to do with each coupon, in sentences that name their cell; the first screen of the coupon report."""

from collections.abc import Mapping

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.coupon.evidence import Evidence
from workbench.experiment.words import interval_words, number_words, outcome_words
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say

DECISION_WORDS: Mapping[str, tuple[str, str]] = {
    "keep": ("keep", "保留"),
    "change": ("change", "调整"),
    "stop": ("stop", "停止"),
    "test": ("test", "试验"),
}


def decision_headline(evidence: Evidence, verdict: str, window: int | None, lang: Language) -> Headline:
    """The first screen: what the coupons cost, and what to do with each.

    Parameters
    ----------
    evidence
        Decisions and money.
    verdict
        What the coupons took off, against the limit.
    window
        Days of the repurchase rate shown.
    """
    decisions = evidence.decisions
    counts = decisions["decision"].value_counts()
    told = [
        say(lang, f"{DECISION_WORDS[one][0]} {counts[one]}", f"{DECISION_WORDS[one][1]} {counts[one]} 张")
        for one in DECISION_WORDS
        if counts.get(one, 0)
    ]
    text = f"{verdict}{say(lang, ' Decisions', '决策')}{say(lang, ': ', '：')}{say(lang, ', ', '，').join(told)}"
    text += say(lang, ".", "。") if told else ""
    selling = decisions[decisions["reason"] == "sells_profit_open"]
    if len(selling):
        name = selling["coupon_name"].iloc[0]
        text += say(
            lang, f" {name} surely sells more; whether it pays is open.", f"{name} 明确带来增量订单，是否盈利未定。"
        )
    return Headline(
        verdict=text if told else verdict,
        table=_table(decisions, window, lang),
        source="coupon_decision",
        actions=tuple(_action(row, lang) for row in _shown(decisions).head(3).to_dict("records")),
    )


def _shown(decisions: pd.DataFrame) -> pd.DataFrame:
    """What is decided first, then what experiments have begun to tell, then the coupons that cost most."""
    place = decisions["decision"].map({"stop": 0, "change": 1, "keep": 2, "test": 3})
    place += decisions["evidence"].map({"randomized": 0, "descriptive": 1})
    return decisions.assign(place=place).sort_values("place", kind="stable")


def _table(decisions: pd.DataFrame, window: int | None, lang: Language) -> pd.DataFrame:
    rows = []
    for row in _shown(decisions).head(4).to_dict("records"):
        span = format_interval(row["ci_lower"], row["ci_upper"], lang, "amount")
        profit = format_amount(row["incremental_profit"], lang)
        cells = {
            say(lang, "Coupon", "优惠券"): row["coupon_name"],
            say(lang, "Decision", "决策"): say(lang, *DECISION_WORDS[row["decision"]]),
            say(lang, "Adds profit", "增量利润"): f"{profit} ({span})" if span else "–",
            say(lang, "Used", "核销率"): format_rate(row["redemption_rate"]),
        }
        if window:
            cells[say(lang, f"Again {window} d", f"{window} 天复购")] = format_rate(row["repurchase_rate"])
        rows.append(cells)
    return pd.DataFrame(rows)


def _key(row: Mapping[str, object]) -> dict[str, object]:
    return {"coupon_id": row["coupon_id"]}


def _action(row: dict, lang: Language) -> Action:
    is_random = row["evidence"] == "randomized"
    known = is_random and row["incremental_profit"] == row["incremental_profit"]
    return Action(
        name=f"coupon_{row['decision']}",
        text=_advice(row, lang),
        cell=Cell("coupon_decision", _key(row), "incremental_profit" if known else "coupon_discount_amount"),
        amount=row["incremental_profit"] if known else row["coupon_discount_amount"],
        ci_lower=row["ci_lower"] if known else None,
        ci_upper=row["ci_upper"] if known else None,
        basis=say(lang, "incremental profit", "增量利润") if known else say(lang, "discount given", "已减免"),
        evidence="randomized" if is_random else "descriptive",
    )


def _advice(row: dict, lang: Language) -> str:
    name = row["coupon_name"]
    if row["decision"] == "keep":
        return say(lang, f"Keep {name}: it earns more than it costs.", f"保留 {name}：收益高于成本。")
    if row["decision"] == "change":
        face = format_amount(row["break_even_face_value"], lang)
        return say(
            lang,
            f"Lower the face value of {name}: it sells, but pays for itself only up to {face} an order.",
            f"降低 {name} 面值：有增量订单，但单均减免需不超过 {face} 才能回本。",
        )
    if row["decision"] == "stop":
        return say(lang, f"Stop {name}: it costs more than it brings.", f"停止 {name}：成本高于收益。")
    if row["reason"] == "costs_missing":
        return say(
            lang,
            f"Fill in the cost of orders, or give margin_rate, before deciding on {name}.",
            f"先补齐订单成本或给出 margin_rate，再决定 {name}。",
        )
    if row["reason"] == "no_profit":
        return say(
            lang,
            f"{name} has an experiment, but no profit from it: give cost_amount or margin_rate, or let more windows elapse.",
            f"{name} 已有实验但得不出利润：请提供 cost_amount 或 margin_rate，或等待更多用户观察期满。",
        )
    if row["units_needed"] != row["units_needed"]:
        return say(
            lang,
            f"Test {name}: hold it back from a random half of the users.",
            f"试验 {name}：随机对一半用户不发券。",
        )
    users, share = format_count(row["units_needed"]), format_rate(row["holdout_share"], 0)
    days = row["days_needed"]
    lasts = "" if days != days else say(lang, f" for {days:.0f} days", f"、{days:.0f} 天")
    return say(
        lang,
        f"Test {name}: {users} users{lasts}, {share} of them without it.",
        f"试验 {name}：{users} 名用户{lasts}，其中 {share} 不发券。",
    )


def decision_findings(evidence: Evidence, lang: Language) -> tuple[Finding, ...]:
    """Decisions on what was tested, the money behind them, and the experiments about when."""
    found = [_decided(row, lang) for row in _shown(evidence.decisions).to_dict("records")]
    found += [one for row in evidence.money.to_dict("records") for one in _money(row, evidence.decisions, lang)]
    for _, rows in evidence.flow.table.groupby(["experiment_id", "variant"], sort=False):
        found.append(_timing(rows, lang))
    return tuple(found)


def _decided(row: dict, lang: Language) -> Finding:
    cell = Cell("coupon_decision", _key(row), "incremental_profit")
    reasons = {
        "profit_up": ("its incremental profit is surely above 0", "增量利润明确大于 0"),
        "profit_up_subsidy_high": (
            "its incremental profit is surely above 0, though its subsidy exceeds the limit",
            "增量利润明确大于 0，但补贴率超限",
        ),
        "lower_face_value": ("it brings orders, but loses money at this face value", "有增量订单，但按当前面值亏损"),
        "profit_down": ("its incremental profit is surely below 0", "增量利润明确小于 0"),
        "sells_profit_open": (
            "it surely brings orders, but the interval of its incremental profit includes 0",
            "明确带来订单，但增量利润区间包含 0",
        ),
        "not_settled": ("the intervals of its incremental orders and profit include 0", "增量订单与利润区间均包含 0"),
        "experiment_not_valid": ("its experiment failed a check", "其实验未通过检查"),
        "no_profit": ("its experiment gives no profit with an interval", "其实验无法给出利润区间"),
        "costs_missing": (
            "too many paid orders have no cost, which makes profits too high",
            "过多已支付订单没有成本，利润偏高",
        ),
        "no_experiment": ("nothing says what would have happened without it", "无从知道没有它会怎样"),
        "experiment_unread": (
            "its experiment has no control or no treatment in the period",
            "其实验在期内缺少对照组或实验组",
        ),
        "conflicting": ("its experiments contradict each other", "多个实验结论相反"),
        "about_when": (
            "its experiment gives it to both arms, which says when to give it, not whether",
            "其实验两组都发券，只说明何时发，不说明该不该发",
        ),
    }
    decision, why = say(lang, *DECISION_WORDS[row["decision"]]), say(lang, *reasons[row["reason"]])
    span = format_interval(row["ci_lower"], row["ci_upper"], lang, "amount")
    profit = format_amount(row["incremental_profit"], lang)
    shown = f" ({profit}; {span})" if span else ""
    text = say(
        lang, f"{row['coupon_name']}: {decision} – {why}{shown}.", f"{row['coupon_name']}：{decision}——{why}{shown}。"
    )
    if row["incremental_profit"] != row["incremental_profit"]:
        cell = Cell("coupon_decision", _key(row), "coupon_discount_amount")
    return Finding(f"coupon_{row['decision']}", text, cell, row[cell.column])


def _money(row: dict, decisions: pd.DataFrame, lang: Language) -> list[Finding]:
    """How much of a tested coupon's orders is new, and what back-offices would have printed."""
    name = decisions.loc[decisions["coupon_id"].astype(str) == row["coupon_id"], "coupon_name"].iloc[0]
    key = {"coupon_id": row["coupon_id"], "experiment_id": row["experiment_id"], "variant": row["variant"]}
    found = []
    if row["cannibalisation_rate"] == row["cannibalisation_rate"]:
        span = format_interval(row["cannibalisation_ci_lower"], row["cannibalisation_ci_upper"], lang)
        rate = format_rate(row["cannibalisation_rate"])
        test = f"{row['experiment_id']}, {row['variant']}"
        if row["cannibalisation_ci_lower"] > 1:
            text = say(
                lang,
                f"{name} ({test}): its users ordered less in all than the control; cannibalisation {rate} ({span}).",
                f"{name}（{test}）：实验组总订单反而少于对照组，蚕食率 {rate}（{span}）。",
            )
        elif 0 <= row["cannibalisation_rate"] <= 1:
            text = say(
                lang,
                f"{name} ({test}): of its orders {rate} would have come anyway ({span}).",
                f"{name}（{test}）：用券订单中 {rate} 原本就会发生（{span}）。",
            )
        else:
            text = say(
                lang,
                f"{name} ({test}): how many of its orders are new is not settled; cannibalisation {rate} ({span}).",
                f"{name}（{test}）：用券订单有多少是新增尚不能确定，蚕食率 {rate}（{span}）。",
            )
        found.append(
            Finding(
                "cannibalisation", text, Cell("coupon_money", key, "cannibalisation_rate"), row["cannibalisation_rate"]
            )
        )
    if row["naive_roi"] == row["naive_roi"] and row["incremental_roi"] == row["incremental_roi"]:
        naive, real = (f"{row[one]:.2f}".replace("-", "−") for one in ("naive_roi", "incremental_roi"))
        text = say(
            lang,
            f"{name} ({row['experiment_id']}, {row['variant']}): each unit of discount that the shop bore brought {real} of profit beyond the control's; "
            f"revenue by discount, {naive}, counts orders that would have come anyway.",
            f"{name}（{row['experiment_id']}，{row['variant']}）：店铺承担的每 1 元减免带来 {real} 元增量利润；用券实付 ÷ 减免的 {naive} 包含原本就会发生的订单。",
        )
        found.append(
            Finding("incremental_roi", text, Cell("coupon_money", key, "incremental_roi"), row["incremental_roi"])
        )
    return found


def _timing(rows: pd.DataFrame, lang: Language) -> Finding:
    """Verdict on giving before or after payment: profit and repurchase per assigned user, with guardrails named."""
    by_measure = {str(one["measure"]): one for one in rows.to_dict("records")}
    first = rows.iloc[0].to_dict()
    again = by_measure.get("repurchase_per_assigned")
    words = {
        "better": ("better", "更好"),
        "worse": ("worse", "更差"),
        "open": ("not settled", "未定"),
        "none": ("unknown", "未知"),
    }
    what = outcome_words(first["measure"], lang)
    change = number_words(first["estimate"], first["measure"], lang, signed=True)
    span = interval_words(first["ci_lower"], first["ci_upper"], first["measure"], lang)
    arms = f"{first['experiment_id']}, {first['variant']} – {first['control_variant']}"
    known = first["status"] != "none"
    text = say(lang, f"{arms}: {what} ", f"{arms}：{what} ")
    text += (
        f"{change} ({span}) – {say(lang, *words[first['status']])}"
        if known
        else say(lang, "cannot be said", "无法判断")
    )
    if again is not None and again["status"] != "none":
        points = f"{100 * again['estimate']:+.2f}".replace("-", "−")
        limits = f"{100 * again['ci_lower']:.2f} – {100 * again['ci_upper']:.2f}".replace("-", "−")
        status = say(lang, *words[again["status"]])
        text += say(
            lang,
            f"; paid again per assigned user {points} points ({limits}) – {status}",
            f"；每位被分组用户的再次支付率 {points} 个百分点（{limits}）——{status}",
        )
    text += say(lang, ".", "。")
    broken = any(by_measure.get(one, {}).get("status") == "violated" for one in ("pay_rate", "pay_hours"))
    if broken or by_measure.get("reached_checkout", {}).get("status") == "alarm":
        text += say(lang, " A guardrail is violated: see the table.", "护栏被突破，见表。")
    key = {"experiment_id": first["experiment_id"], "variant": first["variant"], "measure": first["measure"]}
    return Finding("coupon_timing", text, Cell("flow_experiment", key, "estimate"), first["estimate"])
