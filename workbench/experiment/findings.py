"""What the read-out says, in sentences that name their cell."""

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.experiment.plan import OUTCOMES
from workbench.experiment.words import (
    REASON_WORDS,
    VERDICT_WORDS,
    count_words,
    interval_words,
    number_words,
    outcome_words,
)
from workbench.language import Language, format_rate, say
from workbench.period import Period


def experiment_headline(tables: dict[str, pd.DataFrame], period: Period, lang: Language) -> Headline:
    """The first screen: what each experiment decided."""
    verdicts = tables["experiment_verdict"]
    counts = verdicts["verdict"].value_counts()
    told = ", ".join(
        f"{counts[name]} {say(lang, *VERDICT_WORDS[name])}" for name in VERDICT_WORDS if counts.get(name, 0)
    )
    if verdicts.empty:
        text = say(
            lang,
            f"No user was assigned to an experiment from {period.start_date} to {period.last_date}.",
            f"{period.start_date} 至 {period.last_date} 没有用户被分入实验。",
        )
    else:
        text = say(
            lang,
            f"{len(verdicts)} arm{'s' if len(verdicts) > 1 else ''} held against control: {told}.",
            f"{len(verdicts)} 个实验组与对照组相比：{told}。",
        )
        best = verdicts[verdicts["verdict"] == "better"].sort_values("estimate", ascending=False)
        if len(best):
            text += " " * (lang == "en") + _effect_words(best.iloc[0].to_dict(), lang)
        reasons = verdicts.loc[verdicts["verdict"] == "none", "reason"].dropna().unique()
        if len(reasons) and reasons[0] in REASON_WORDS:
            why = say(lang, *REASON_WORDS[reasons[0]])
            text += say(lang, f" Reason: {why}.", f"原因：{why}。")
    return Headline(
        verdict=text,
        table=_headline_table(verdicts, lang),
        source="experiment_verdict",
        actions=_actions(verdicts, tables["experiment_checks"], lang),
    )


def _effect_words(row: dict, lang: Language) -> str:
    change = number_words(row["estimate"], row["outcome"], lang, signed=True)
    span = interval_words(row["ci_lower"], row["ci_upper"], row["outcome"], lang)
    what = outcome_words(row["outcome"], lang)
    return say(
        lang,
        f"{row['experiment_id']}: {change} {what} in {row['outcome_days']} days ({span}).",
        f"{row['experiment_id']}：{row['outcome_days']} 天内{what} {change}（{span}）。",
    )


def _headline_table(verdicts: pd.DataFrame, lang: Language) -> pd.DataFrame:
    rows = []
    for row in verdicts.head(6).to_dict("records"):
        judged = row["verdict"] not in ("broken", "none")
        change = number_words(row["estimate"], row["outcome"], lang, signed=True) if judged else "–"
        span = interval_words(row["ci_lower"], row["ci_upper"], row["outcome"], lang) if judged else ""
        rows.append(
            {
                say(lang, "Experiment", "实验"): _arm(row),
                say(lang, "Change", "变化"): change,
                say(lang, "From – to", "区间"): span or "–",
                say(lang, "Verdict", "结论"): say(lang, *VERDICT_WORDS[row["verdict"]]),
            }
        )
    return pd.DataFrame(rows)


def _arm(row: dict) -> str:
    plain = row["variant"] == "treatment"
    return str(row["experiment_id"]) if plain else f"{row['experiment_id']} · {row['variant']}"


def _actions(verdicts: pd.DataFrame, checks: pd.DataFrame, lang: Language) -> tuple[Action, ...]:
    found = []
    order = {"broken": 0, "worse": 1, "better": 2, "open": 3}
    lacks_costs = (verdicts["verdict"] == "none") & (verdicts["reason"] == "costs_missing")
    chosen = pd.concat([verdicts[verdicts["verdict"].isin(order)], verdicts[lacks_costs].head(1)])
    chosen = chosen.assign(place=chosen["verdict"].map(order)).sort_values("place", kind="stable", na_position="first")
    for row in chosen.head(3).to_dict("records"):
        arm, is_money = _arm(row), row["outcome"] not in ("buyer_rate", "orders_per_user")
        texts = {
            "broken": (
                f"Find out why the arms of {arm} are not what was planned, and run it again.",
                f"查明 {arm} 分组异常的原因后重做。",
            ),
            "worse": (f"End the treatment of {arm}.", f"结束 {arm} 的实验组方案。"),
            "better": (f"Give the treatment of {arm} to all.", f"将 {arm} 的实验组方案推广到全部用户。"),
            "open": (f"Let {arm} run on: its interval includes 0.", f"让 {arm} 继续：区间包含 0。"),
            "none": ("Fill in the cost of orders, or give margin_rate.", "补齐订单成本，或给出 margin_rate。"),
        }
        mine = checks[(checks["experiment_id"] == row["experiment_id"]) & (checks["variant"] == row["variant"])]
        if row["verdict"] == "better" and (mine["status"] == "violated").any():
            texts["better"] = (
                f"{arm} is better, but a guardrail is violated: look at it before giving it to all.",
                f"{arm} 更好，但有护栏被突破：推广前先核查。",
            )
        shown = is_money and row["verdict"] not in ("broken", "none")
        found.append(
            Action(
                name=f"experiment_{row['verdict']}",
                text=say(lang, *texts[row["verdict"]]),
                cell=Cell("experiment_verdict", _key(row), "estimate"),
                amount=row["estimate"] if shown else None,
                ci_lower=row["ci_lower"] if shown else None,
                ci_upper=row["ci_upper"] if shown else None,
                basis=say(
                    lang,
                    f"{outcome_words(row['outcome'], lang)} in {row['outcome_days']} days",
                    f"{row['outcome_days']} 天内{outcome_words(row['outcome'], lang)}",
                ),
                evidence="randomized",
            )
        )
    return tuple(found)


def _key(row: dict) -> dict[str, object]:
    return {"experiment_id": row["experiment_id"], "variant": row["variant"]}


def experiment_findings(tables: dict[str, pd.DataFrame], lang: Language) -> tuple[Finding, ...]:
    """Verdicts, alarms of the checks, and guardrails."""
    found = [_verdict(row, lang) for row in tables["experiment_verdict"].to_dict("records")]
    for row in tables["experiment_checks"].to_dict("records"):
        one = _check(row, lang)
        if one is not None:
            found.append(one)
    return tuple(found)


def _verdict(row: dict, lang: Language) -> Finding:
    what = outcome_words(row["outcome"], lang)
    users = count_words(row["n_treatment"], row["n_control"], lang)
    cell = Cell("experiment_verdict", _key(row), "estimate")
    if row["verdict"] == "broken":
        text = say(
            lang,
            f"{_arm(row)} is not judged: see its checks. Whatever broke the arms may also make the difference.",
            f"{_arm(row)} 不作判断，见检查表：分组异常本身就可能造成差异。",
        )
        return Finding("experiment_broken", text, cell, row["estimate"])
    if row["verdict"] == "none":
        why = say(lang, *REASON_WORDS.get(row["reason"], (str(row["reason"]), str(row["reason"]))))
        text = say(lang, f"{_arm(row)} cannot be judged: {why}.", f"{_arm(row)} 无法判断：{why}。")
        return Finding("experiment_not_answerable", text, cell, row["estimate"])
    span = interval_words(row["ci_lower"], row["ci_upper"], row["outcome"], lang)
    change = number_words(row["estimate"], row["outcome"], lang, signed=True)
    base = number_words(row["mean_control"], row["outcome"], lang)
    sure = "" if row["verdict"] != "open" else say(lang, " It is not settled whether it helps or harms.", "好坏未定。")
    text = say(
        lang,
        f"{_arm(row)}: {change} {what} in {row['outcome_days']} days ({span}; control {base}; {users}).{sure}",
        f"{_arm(row)}：{row['outcome_days']} 天内{what} {change}（{span}；对照组 {base}；{users}）。{sure}",
    )
    return Finding(f"experiment_{row['verdict']}", text, cell, row["estimate"])


def _check(row: dict, lang: Language) -> Finding | None:
    key = {"experiment_id": row["experiment_id"], "check": row["check"]}
    key |= {"variant": row["variant"]} if isinstance(row["variant"], str) else {}
    name, status = str(row["check"]), row["status"]
    cell = Cell("experiment_checks", key, "statistic")
    share = format_rate(row["statistic"], 2)
    if name == "sample_ratio" and status == "alarm":
        text = say(
            lang,
            f"{row['experiment_id']}: the arms' sizes are not what was planned (p {row['p_value']:.1g}); its numbers may not be used.",
            f"{row['experiment_id']}：各组人数与计划不符（p {row['p_value']:.1g}），其数字不可用。",
        )
        return Finding("sample_ratio_alarm", text, cell, row["statistic"])
    if name == "users_in_two_arms" and status in ("alarm", "excluded"):
        text = say(
            lang,
            f"{row['experiment_id']}: {share} of the assigned users stand in two arms and are left out.",
            f"{row['experiment_id']}：{share} 的已分组用户同时在两组，已剔除。",
        )
        return Finding("users_in_two_arms", text, cell, row["statistic"])
    if name == "allocation_by_week" and status == "changed":
        text = say(
            lang,
            f"{row['experiment_id']}: the arms' shares changed over the weeks, so arms are compared within weeks.",
            f"{row['experiment_id']}：各组占比随周变化，因此在周内比较。",
        )
        return Finding("allocation_changed", text, Cell("experiment_checks", key, "p_value"), row["p_value"])
    if name.startswith("balance_") and status == "alarm":
        measure = name.removeprefix("balance_")
        what = outcome_words(next(one for one, short in OUTCOMES.items() if short == measure), lang)
        text = say(
            lang,
            f"{_arm(row)}: {what} differed already before assignment (p {row['p_value']:.1g}).",
            f"{_arm(row)}：分组前{what}已有差异（p {row['p_value']:.1g}）。",
        )
        return Finding("unbalanced_before", text, cell, row["statistic"])
    if name.startswith("guardrail_") and status == "violated":
        ratio = {
            "guardrail_refund_rate": ("refunds rose", "退款率上升"),
            "guardrail_average_order_value": ("the average order fell", "客单价下降"),
        }[name]
        text = say(
            lang,
            f"{_arm(row)}: {ratio[0]} by more than the margin allowed.",
            f"{_arm(row)}：{ratio[1]}，超过允许的界限。",
        )
        return Finding("guardrail_violated", text, cell, row["statistic"])
    if name == "crossed_invitees" and row["statistic"] > 0:
        text = say(
            lang,
            f"{row['experiment_id']}: {share} of invitees with an arm of their own have another one than their inviter; they count for the inviter.",
            f"{row['experiment_id']}：自有分组的被邀请人中 {share} 与邀请人不同组，按邀请人计。",
        )
        return Finding("crossed_invitees", text, cell, row["statistic"])
    return None
