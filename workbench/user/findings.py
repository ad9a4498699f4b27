"""What the tables of users say, in sentences that name their cell."""

import pandas as pd

from workbench.analysis import Cell, Finding
from workbench.glossary import codes
from workbench.language import Language, format_count, format_interval, format_rate, say
from workbench.user.actions import total_words
from workbench.user.headline import alarm_text
from workbench.user.next_purchase import ALL
from workbench.user.quadrants import QuadrantRules, QuadrantsFound
from workbench.user.words import Tables, alarm_key, alarms_of, counted, current_alarms, last_groups, marked

MOST_ALERTS = 3
_BUYERS = {
    "once": ("who bought once", "购买过一次"),
    "twice": ("who bought twice", "购买过两次"),
    "more": ("who bought three times or more", "购买过三次及以上"),
}
# Of a tag: what one and several marked users do, and that nobody is marked. Price bands are thirds by their making.
_MARKS = {
    "category": (
        ("prefers the category", "prefer the category", "偏好品类"),
        ("nobody prefers a category beyond chance", "无人对某一品类的偏好超出偶然"),
    ),
    "coupon_sensitivity": (
        ("buys with coupons more than others", "buy with coupons more than others", "更依赖优惠券"),
        ("nobody leans on coupons more than others do beyond chance", "无人对优惠券的依赖超出偶然"),
    ),
}
_UNMARKED = ("(no orders)", "(none)", "(unknown)", "none", "normal", "middle")


def user_findings(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> tuple[Finding, ...]:
    """Sentences on alarms, groups, their profiles, flows, lifecycle, the next purchase, tags and audiences."""
    every = [
        *_alarm_findings(tables, lang),
        *_group_findings(tables, found, lang),
        *_flow_findings(tables, lang),
        *_profile_findings(tables, found, lang),
        *_lifecycle_findings(tables, lang),
        *_purchase_findings(tables, lang),
        *_tag_findings(tables, lang),
        *_audience_findings(tables, lang),
    ]
    return tuple(every)


def _alarm_findings(tables: Tables, lang: Language) -> list[Finding]:
    """What rings now, then what rang before; each by money."""
    every, now = alarms_of(tables), current_alarms(tables)
    alarms = pd.concat([now, every.drop(index=now.index)])
    return [
        Finding(
            "alarm",
            alarm_text(row, lang),
            Cell("migration_alerts", alarm_key(row), "row_share"),
            float(row["row_share"]),
        )
        for row in alarms.head(MOST_ALERTS).to_dict("records")
    ]


def _group_findings(tables: Tables, found: QuadrantsFound, lang: Language) -> list[Finding]:
    """What each group is of users and money, with its advice; the one that is watched always."""
    groups = last_groups(tables)
    findings = []
    for row in groups.to_dict("records"):
        if not row["user_count"]:
            continue
        users = f"{format_rate(row['user_share'])} ({format_interval(row['user_share_ci_lower'], row['user_share_ci_upper'])})"
        money = ""
        if row["amount_share"] == row["amount_share"]:
            money = say(
                lang,
                f" and {format_rate(row['amount_share'])} of the paid amount",
                f"，实付金额占 {format_rate(row['amount_share'])}",
            )
        advice = found.strategies[row["quadrant"]]
        findings.append(
            Finding(
                f"group_{row['quadrant']}",
                say(
                    lang,
                    f"{row['name']}: {counted(row['user_count'], 'user')}, {users} of all{money}. {advice}",
                    f"{row['name']}：{format_count(row['user_count'])} 名用户，占 {users}{money}。{advice}",
                ),
                Cell("quadrants", {"end_date": row["end_date"], "quadrant": row["quadrant"]}, "user_share"),
                float(row["user_share"]),
            )
        )
    return findings


def _flow_findings(tables: Tables, lang: Language) -> list[Finding]:
    """The largest move between two groups in the last period."""
    moves = tables["migration"]
    last = moves[moves["period_index"] == moves["period_index"].max()] if len(moves) else moves
    last = last[last["crossed"].notna() & (last["user_count"] > 0)] if len(last) else last
    if not len(last):
        return []
    row = last.sort_values("user_count", ascending=False).iloc[0]
    text = say(
        lang,
        f"Most who changed groups in the last period went from “{row['from_name']}” to “{row['to_name']}”: "
        f"{counted(row['user_count'], 'user')}, {format_rate(row['row_share'])} of the group left.",
        f"上一周期人数最多的迁移：“{row['from_name']}”→“{row['to_name']}” {format_count(row['user_count'])} 人，"
        f"占原群体 {format_rate(row['row_share'])}。",
    )
    return [
        Finding("largest_flow", text, Cell("migration", alarm_key(row.to_dict()), "row_share"), float(row["row_share"]))
    ]


def _profile_findings(tables: Tables, found: QuadrantsFound, lang: Language) -> list[Finding]:
    """What marks each group most among what is beyond chance."""
    profile = tables["quadrant_profile"]
    if not len(profile):
        return []
    different = profile[profile["is_different"].astype(bool)]
    # Who buys more often uses a coupon more often: that marks no group.
    different = different[~different["value"].isin(["(unknown)", "(other)"]) & (different["dimension"] != "coupon_use")]
    findings = []
    for quadrant, rows in different.groupby("quadrant", sort=False):
        row = rows.iloc[int(rows["difference"].abs().to_numpy().argmax())]
        more = row["difference"] > 0
        nearer, further = (abs(row[one]) for one in (("ci_lower", "ci_upper") if more else ("ci_upper", "ci_lower")))
        told, by = marked(found.names[str(quadrant)], row.to_dict(), lang), format_interval(nearer, further)
        text = say(
            lang,
            f"{told} ({'more' if more else 'fewer'} by {by}).",
            f"{told}（{'高' if more else '低'} {by}）。",
        )
        key = {"quadrant": quadrant, "dimension": row["dimension"], "value": row["value"]}
        findings.append(
            Finding(f"profile_{quadrant}", text, Cell("quadrant_profile", key, "difference"), float(row["difference"]))
        )
    return findings


def _lifecycle_findings(tables: Tables, lang: Language) -> list[Finding]:
    states = tables.get("lifecycle", pd.DataFrame())
    if not len(states):
        return []
    last = states[states["period_index"] == states["period_index"].max()].set_index("state")
    findings = []
    gaps = tables["lifecycle_gaps"]
    used = {row["state"]: row for row in gaps[gaps["basis"] == "visit"].to_dict("records")}
    dormant, gone = (int(used[state]["used_days"]) for state in ("dormant", "gone"))
    is_told = all(used[state]["source"] != "default" for state in ("dormant", "gone"))
    silent = ("user was silent", "users were silent")
    words = {
        "back": (
            ("user came back", "users came back"),
            f" in the last period after {counted(dormant, 'silent day')} or more",
            f"在上一周期沉默 {dormant} 天以上后回归",
        ),
        "dormant": (("user is dormant", "users are dormant"), "", "处于沉睡"),
        "gone": (("user is gone", "users are gone"), "", "已流失"),
    }
    if not is_told:  # nothing says that they are: the days alone are told
        words["dormant"] = (silent, f" for {dormant} to {gone - 1} days", f"已沉默 {dormant}–{gone - 1} 天")
        words["gone"] = (silent, f" for {counted(gone, 'day')} or more", f"已沉默 {gone} 天以上")
    for state, (forms, en, zh) in words.items():
        row = last.loc[state]
        if not row["user_count"] or (state == "gone" and not row["is_complete"]):
            continue
        text = say(
            lang,
            f"{counted(row['user_count'], *forms)}{en}: {format_rate(row['user_share'])} of all known by {row['end_date']}.",
            f"{format_count(row['user_count'])} 名用户{zh}，占截至 {row['end_date']} 已知用户的 {format_rate(row['user_share'])}。",
        )
        key = {"end_date": row["end_date"], "state": state}
        findings.append(
            Finding(f"lifecycle_{state}", text, Cell("lifecycle", key, "user_count"), float(row["user_count"]))
        )
    gaps = gaps[(gaps["basis"] == "visit") & gaps["suggested_days"].notna() & (gaps["state"] == "dormant")]
    for row in gaps.to_dict("records"):
        days, limit = f"{row['suggested_days']:.0f}", format_rate(row["share_limit"], 0)
        text = say(
            lang,
            f"After {counted(float(days), 'day')} without a visit fewer than {limit} come back within "
            f"{counted(round(row['horizon_days']), 'more day')}.",
            f"连续 {days} 天未访问后，{row['horizon_days']:.0f} 天内回访的不足 {limit}。",
        )
        key = {"basis": "visit", "state": "dormant"}
        findings.append(
            Finding("silence", text, Cell("lifecycle_gaps", key, "suggested_days"), float(row["suggested_days"]))
        )
    return findings


def _purchase_findings(tables: Tables, lang: Language) -> list[Finding]:
    buyers, moments = (tables.get(name, pd.DataFrame()) for name in ("buyers", "next_purchase"))
    findings = []
    once = buyers[buyers["buyer_group"] == "once"] if len(buyers) else buyers
    for row in once.to_dict("records"):
        if row["user_share"] != row["user_share"] or not row["user_count"]:
            continue
        again = row.get("next_purchase_rate_30", float("nan"))
        later = ""
        if again == again:
            bounds = format_interval(row["next_purchase_rate_30_ci_lower"], row["next_purchase_rate_30_ci_upper"])
            later = say(
                lang,
                f"; of all first purchases, also of those who have come again since, {format_rate(again)} ({bounds}) are "
                "followed by another within 30 days",
                f"；而在全部首次购买中（含其后已复购者），{format_rate(again)}（{bounds}）在 30 天内再次购买",
            )
        every = float(buyers.loc[buyers["buyer_group"] == ALL, "user_count"].sum())
        text = say(
            lang,
            f"Of {counted(every, 'buyer')} at the end {format_rate(row['user_share'])} have bought once so far{later}.",
            f"期末 {format_count(every)} 名买家中，{format_rate(row['user_share'])} 至今只购买过一次{later}。",
        )
        findings.append(
            Finding(
                "bought_once", text, Cell("buyers", {"buyer_group": "once"}, "user_share"), float(row["user_share"])
            )
        )
    for row in moments.to_dict("records"):
        if row["buyer_group"] not in _BUYERS or row["median_day"] != row["median_day"]:
            continue
        who = say(lang, *_BUYERS[row["buyer_group"]])
        first, last = f"{row['contact_from_day']:.0f}", f"{row['contact_until_day']:.0f}"
        text = say(
            lang,
            f"Contact buyers {who} from day {first} to day {last} after it: half of those who buy again within "
            f"{row['horizon_days']:.0f} days have done so by day {row['median_day']:.0f} "
            f"({row['median_ci_lower']:.0f}–{row['median_ci_upper']:.0f}); {counted(row['contact_count'], 'was', 'were')} there at "
            "the end.",
            f"对{who}的买家，宜在购买后第 {first} 至 {last} 天联系：{row['horizon_days']:.0f} 天内复购者中，半数在第 "
            f"{row['median_day']:.0f} 天（{row['median_ci_lower']:.0f}–{row['median_ci_upper']:.0f}）前再次购买；期末有 "
            f"{format_count(row['contact_count'])} 人处于该区间。",
        )
        findings.append(
            Finding(
                f"next_purchase_{row['buyer_group']}",
                text,
                Cell("next_purchase", {"buyer_group": row["buyer_group"]}, "median_day"),
                float(row["median_day"]),
            )
        )
    return findings


def _tag_findings(tables: Tables, lang: Language) -> list[Finding]:
    """The most common mark of each kind; where it marks no buyer, that buyers do not differ beyond chance."""
    tags = tables["tags"]
    findings = []
    for tag, rows in ((str(one), part) for one, part in tags.groupby("tag", sort=False)) if len(tags) else ():
        if tag not in _MARKS:
            continue
        (one, many, zh), (nobody, nobody_zh) = _MARKS[tag]
        marked, bought = rows[~rows["value"].isin(_UNMARKED)], rows[rows["value"] != "(no orders)"]
        if len(marked):
            row = marked.iloc[0]
            value, share = "" if tag == "coupon_sensitivity" else f" {row['value']}", format_rate(row["share"])
            text = say(
                lang,
                counted(row["user_count"], f"user ({share}) {one}", f"users ({share}) {many}") + f"{value}.",
                f"{format_count(row['user_count'])} 名用户（{share}）{zh}{value}。",
            )
        elif len(bought) and (tag != "coupon_sensitivity" or _has_coupons(tables)):
            row, buyers = bought.iloc[0], float(bought["user_count"].sum())
            text = say(
                lang,
                f"Among {counted(buyers, 'buyer')} of the window {nobody}.",
                f"窗口内 {format_count(buyers)} 名买家中，{nobody_zh}。",
            )
        else:
            continue
        key = {"tag": tag, "value": row["value"]}
        findings.append(Finding(f"tag_{tag}", text, Cell("tags", key, "share"), float(row["share"])))
    return findings


def _has_coupons(tables: Tables) -> bool:
    """Whether anybody used a coupon, as far as the profile of the groups tells."""
    profile = tables["quadrant_profile"]
    use = profile[profile["dimension"] == "coupon_use"] if len(profile) else profile
    return not len(use) or bool((use.loc[use["value"] == "yes", "user_share"] > 0).any())


def _audience_findings(tables: Tables, lang: Language) -> list[Finding]:
    findings = []
    summary = tables.get("audience_summary", pd.DataFrame())
    for row in summary[summary["segment"] == "(all)"].to_dict("records") if len(summary) else ():
        text = say(
            lang,
            f"Audience “{row['audience']}”: {counted(row['user_count'], 'user')} ({format_rate(row['user_share'])} of those "
            f"of the window), {format_count(row['control_count'])} of them held back as control.",
            f"人群“{row['audience']}”：{format_count(row['user_count'])} 名用户（占窗口内用户 {format_rate(row['user_share'])}），其中 "
            f"{format_count(row['control_count'])} 名留作对照。",
        )
        key = {"audience": row["audience"], "segment": "(all)"}
        findings.append(
            Finding("audience", text, Cell("audience_summary", key, "user_count"), float(row["user_count"]))
        )
    actions = tables.get("audience_action", pd.DataFrame())
    words = {
        "roll_out": ("address the control too", "对照组也可触达"),
        "stop": ("stop", "停止"),
        "go_on": ("go on: it cannot be told from no effect yet", "继续观察：尚不能与无效区分"),
        "wait": ("wait: too little is followed yet", "等待：观察期尚不足"),
        "distrust": ("do not trust it: the groups have not the sizes that were drawn", "不可信：分组规模与抽取不符"),
    }
    for row in actions.to_dict("records"):
        estimate, what, need = row["total_estimate"], "", ""
        if not pd.isna(row["outcome"]):
            outcome = codes("outcome", "audience_action")[str(row["outcome"])].word(lang)
            what = say(
                lang,
                f", {outcome} in {row['outcome_days']:.0f} days times the users addressed",
                f"（{row['outcome_days']:.0f} 天，{outcome} × 触达人数）",
            )
        if row["action"] == "go_on" and not pd.isna(row["units_needed"]):
            need = say(
                lang,
                f"; {counted(row['units_needed'], 'user')} would tell",
                f"，需 {format_count(row['units_needed'])} 名用户才能判断",
            )
        total = total_words(row, lang)
        total = f" {total}" if total else ""
        text = say(
            lang,
            f"Audience “{row['audience']}” against its control{what}:{total or ' no estimate'}; {words[row['action']][0]}{need}.",
            f"人群“{row['audience']}”与对照相比{what}：{total or '无估计'}；{words[row['action']][1]}{need}。",
        )
        key = {"audience": row["audience"]}
        value = None if estimate != estimate else float(estimate)
        findings.append(Finding("audience_result", text, Cell("audience_action", key, "total_estimate"), value))
    return findings
