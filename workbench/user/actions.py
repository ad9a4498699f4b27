"""What to do next: what a tested audience asks for, who left, who is due, who is overdue."""

import math

import pandas as pd

from workbench.analysis import Action, Cell
from workbench.glossary import codes
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.user.next_purchase import ALL
from workbench.user.quadrants import QuadrantRules, QuadrantsFound
from workbench.user.words import Tables, alarm_key, alarms_of, counted, last_groups

MOST_ACTIONS = 3
_VALUE_METRICS = ("paid_amount", "average_order_value", "orders")
_URGENCY = (
    "call_leavers",
    "audience_stop",
    "audience_distrust",
    "audience_roll_out",
    "contact_due",
    "contact_overdue",
    "audience_go_on",
    "audience_wait",
)
_FIRST = frozenset(_URGENCY[:4])


def user_actions(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> tuple[Action, ...]:
    """At most three: alarms and what a test decided, then the others; by money, then by urgency.

    What a test measured, and what explains the verdict, stand before money that is only described: many buyers together
    have paid much, and no message brings all of that.
    """
    alarms = _of_alarms(tables, lang)
    every = [
        *alarms,
        *_of_results(tables, lang),
        *_of_due(tables, rules, found, lang),
        *_of_overdue(tables, lang),
    ]
    every.sort(key=lambda one: (one.name not in _FIRST, -(one.amount or 0.0), _URGENCY.index(one.name)))
    # An alarm makes the verdict long: with three actions below it a phone's first screen would not hold them.
    return tuple(every[: MOST_ACTIONS - 1 if alarms else MOST_ACTIONS])


def _of_alarms(tables: Tables, lang: Language) -> list[Action]:
    """Call those who left where an alarm rang in the last period; older alarms are findings."""
    alarms = alarms_of(tables)
    if not len(alarms):
        return []
    recent = alarms[alarms["period_index"] == tables["quadrants"]["period_index"].max()]
    found = []
    for row in recent.head(2).to_dict("records"):
        count, is_money = round(row["excess_users"]), row["amount_at_risk"] > 0
        basis = (
            "what those beyond the usual number paid less in the window; not what a call brings back",
            "超出常态部分的用户在窗口内少付的金额，并非联系即可挽回",
        )
        if not is_money:
            basis = ("no money is at risk: they paid nothing in the window", "不涉及金额：窗口内没有实付")
        found.append(
            Action(
                name="call_leavers",
                text=say(
                    lang,
                    f"Find out why {counted(count, 'user')} of “{row['from_name']}” more than usual "
                    f"{'is' if count == 1 else 'are'} lost ({row['to_name'].lower()}); call them with a control held out.",
                    f"查明“{row['from_name']}”为何比通常多流失约 {format_count(count)} 名（{row['to_name']}），联系时保留对照组。",
                ),
                cell=Cell("migration_alerts", alarm_key(row), "amount_at_risk"),
                amount=row["amount_at_risk"] if is_money else None,
                ci_lower=None,
                ci_upper=None,
                basis=say(lang, *basis),
                evidence="descriptive",
            )
        )
    return found


# -- audiences of an earlier run -----------------------------------------------------------------------------


def _of_results(tables: Tables, lang: Language) -> list[Action]:
    """What each audience that was compared with its control asks for."""
    rows = tables.get("audience_action", pd.DataFrame())
    return [_of_result(row, lang) for row in rows.to_dict("records")]


def _of_result(row: dict, lang: Language) -> Action:
    name, action, days = row["audience"], str(row["action"]), format_count(row["followed_days"])
    text = {
        "roll_out": (
            f"Address the rest of “{name}” too: it earns more than its control.",
            f"对“{name}”对照组也开始触达：效果优于对照。",
        ),
        "stop": (
            f"Stop addressing “{name}”: it earns less than its control.",
            f"停止触达“{name}”：效果低于对照。",
        ),
        "distrust": (
            f"Check the file and the sending of “{name}” before its result is read: {format_rate(row['control_share'])} are "
            f"control where {format_rate(row['planned_control_share'])} were drawn, or users stand in both arms.",
            f"先检查“{name}”的文件与发送，再看结果：对照占 {format_rate(row['control_share'])}，"
            f"抽取时为 {format_rate(row['planned_control_share'])}，或有用户同在两组。",
        ),
        "go_on": (
            f"Keep the control of “{name}” held back: no effect can be told yet{_need(row, 'en')}.",
            f"继续保留“{name}”的对照组：尚不能与无效区分{_need(row, 'zh')}。",
        ),
        "wait": (
            f"Read “{name}” again later: {counted(row['followed_days'], 'day is', 'days are')} followed, too little to tell.",
            f"稍后再看“{name}”：已观察 {days} 天，尚不足以判断。",
        ),
    }
    # What is lost by going on is what stopping saves. Buyers and orders are no money.
    sign = {"roll_out": 1.0, "stop": -1.0}.get(action) if is_money(row) else None
    ends = sorted((sign or 1.0) * float(row[one]) for one in ("total_ci_lower", "total_ci_upper"))
    return Action(
        name=f"audience_{action}",
        text=say(lang, *text[action]),
        cell=Cell("audience_action", {"audience": name}, "total_estimate"),
        amount=None if sign is None else sign * float(row["total_estimate"]),
        ci_lower=None if sign is None else ends[0],
        ci_upper=None if sign is None else ends[1],
        basis=_basis(row, lang),
        evidence="randomized",
    )


def is_money(row: dict) -> bool:
    """Whether the total of a row of ``audience_action`` is money, and not a number of buyers."""
    known = codes("outcome", "audience_action").get(str(row["outcome"]))
    return known is not None and known.unit == "amount"


def total_words(row: dict, lang: Language) -> str:
    """The total of a row of ``audience_action`` with its interval; "" where there is none."""
    total, lower, upper = (float(row[f"total_{name}"]) for name in ("estimate", "ci_lower", "ci_upper"))
    if math.isnan(total):
        return ""
    if is_money(row):
        text, bounds = format_amount(total, lang), format_interval(lower, upper, lang, "amount")
    else:
        text, bounds = format_count(round(total)), ""
        if not math.isnan(lower) and not math.isnan(upper):
            bounds = f"{format_count(round(lower))}{say(lang, ' to ', ' 至 ')}{format_count(round(upper))}"
    return f"{text} ({bounds})" if bounds else text


def _need(row: dict, lang: Language) -> str:
    """How many users would tell."""
    if not pd.isna(row["units_needed"]):
        return say(
            lang,
            f"; {counted(row['units_needed'], 'user')} would tell a difference as large",
            f"；约需 {format_count(row['units_needed'])} 名用户",
        )
    if row["reason"] == "difference_too_small":
        return say(lang, "; the shop has too few users for so small a difference", "；差异过小，店铺用户数不足以判断")
    return ""


def _basis(row: dict, lang: Language) -> str:
    """Of what the amount is, or why there is none."""
    if pd.isna(row["outcome_days"]) or pd.isna(row["total_estimate"]):
        known, reason = codes("reason", "audience_action"), str(row["reason"])
        why = f": {known[reason].word('en')}" if reason in known else ""
        why_zh = f"：{known[reason].word('zh')}" if reason in known else ""
        return say(lang, f"no estimate yet{why}", f"尚无估计{why_zh}")
    days = f"{row['outcome_days']:.0f}"
    word = codes("outcome", "audience_action")[str(row["outcome"])].word(lang)
    is_told = row["action"] in ("roll_out", "stop") and is_money(row)  # as the action's amount
    total = "" if is_told else say(lang, ": ", "：") + total_words(row, lang)
    return say(
        lang,
        f"{word}, difference to the control in {days} days, times the audience's users{total}",
        f"{word}：{days} 天内与对照之差 × 触达用户数{total}",
    )


# -- the next purchase ---------------------------------------------------------------------------------------


def valuable_quadrants(rules: QuadrantRules) -> tuple[str, ...]:
    """Groups that are high on what was bought; none where neither metric is of purchases.

    Examples
    --------
    >>> valuable_quadrants(QuadrantRules()), valuable_quadrants(QuadrantRules(x_metric="orders", y_metric="visit_days"))
    (('high_high', 'low_high'), ('high_high', 'high_low'))
    """
    if rules.y_metric in _VALUE_METRICS:
        return ("high_high", "low_high")
    return ("high_high", "high_low") if rules.x_metric in _VALUE_METRICS else ()


def _of_due(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> list[Action]:
    """Users of the valuable groups whose next purchase is due now."""
    contacts = tables.get("contacts", pd.DataFrame())
    if not len(contacts):
        return []
    due = contacts[contacts["buyer_group"] == ALL].set_index("quadrant")["contact_count"].astype(float)
    called = {one: due[one] for one in valuable_quadrants(rules) if one in due and due[one] >= 1}
    if not called:
        return []
    paid = last_groups(tables).set_index("quadrant")["paid_amount_per_user"].astype(float)
    amount = sum(count * paid[one] for one, count in called.items())
    who = [f"{format_count(count)} of “{found.names[one]}”" for one, count in called.items()]
    who_zh = [f"“{found.names[one]}”{format_count(count)} 名" for one, count in called.items()]
    largest = max(called, key=lambda one: called[one])
    return [
        Action(
            name="contact_due",
            text=say(
                lang,
                f"Contact {' and '.join(who)}, in the days when those who buy again usually do.",
                f"联系{'、'.join(who_zh)}：正处于复购者通常再次购买的时段。",
            ),
            cell=Cell("contacts", {"quadrant": largest, "buyer_group": ALL}, "contact_count"),
            amount=amount if amount > 0 else None,
            ci_lower=None,
            ci_upper=None,
            basis=say(
                lang,
                f"what as many of the group paid in {counted(rules.window_days, 'day')}; not what a message adds",
                f"同等数量该群体用户 {rules.window_days} 天的实付金额，并非触达带来的增量",
            )
            if amount > 0
            else say(lang, "the data carry no money", "数据没有金额"),
            evidence="descriptive",
        )
    ]


def _of_overdue(tables: Tables, lang: Language) -> list[Action]:
    """Former buyers who are past the moment at which those who buy again have mostly done so."""
    moments = tables.get("next_purchase", pd.DataFrame())
    rows = moments[moments["buyer_group"] == ALL] if len(moments) else moments
    if not len(rows):
        return []
    row = rows.iloc[0].to_dict()
    count = float(row["overdue_count"])
    if not count >= 1:
        return []
    day, horizon = format_count(row["contact_until_day"]), format_count(row["horizon_days"])
    worth, share, order = _worth_of_overdue(tables, row)
    more = moments[(moments["buyer_group"] == "more") & (moments["overdue_count"].astype(float) >= 1)]
    first = ("", "")
    if len(more) and float(more["overdue_count"].iloc[0]) < count:
        loyal = format_count(more["overdue_count"].iloc[0])
        first = (
            f", first the {loyal} with three purchases or more",
            f"，优先其中购买三次及以上的 {loyal} 名",
        )
    basis = ("the data do not say what their orders would bring", "数据无法说明其订单金额")
    if worth is not None:
        basis = (
            f"as many as usually come from day {day} to day {horizon} ({format_rate(share)}), one average order "
            f"({format_amount(order, 'en')}) each; not what a message adds",
            f"按通常于第 {day} 至 {horizon} 天复购的比例（{format_rate(share)}）、每人一笔平均订单（{format_amount(order, 'zh')}）计，"
            "并非触达带来的增量",
        )
    return [
        Action(
            name="contact_overdue",
            text=say(
                lang,
                f"Remind {counted(count, 'former buyer')} past the days when those who buy again usually do{first[0]}; hold a "
                "control out.",
                f"提醒 {format_count(count)} 名已过通常复购时段的老买家{first[1]}，并留出对照组。",
            ),
            cell=Cell("next_purchase", {"buyer_group": ALL}, "overdue_count"),
            amount=worth,
            ci_lower=None,
            ci_upper=None,
            basis=say(lang, *basis),
            evidence="descriptive",
        )
    ]


def _worth_of_overdue(tables: Tables, row: dict) -> tuple[float | None, float, float]:
    """What the overdue would pay if as many came as usually do, that share, and the average order.

    At the median day half of those who come back within the horizon have done so: of those not back then, half of the
    share r that comes back is left among 1 - r / 2. Later it is less, so this is the most that is usual.
    """
    buyers = tables.get("buyers", pd.DataFrame())
    whole = buyers[buyers["buyer_group"] == ALL] if len(buyers) else buyers
    if not len(whole):
        return None, math.nan, math.nan
    orders, paid = float(whole["order_count"].iloc[0]), float(whole["paid_amount"].iloc[0])
    half = float(row["return_share"]) / 2
    share, order = half / (1 - half) if half < 1 else math.nan, paid / orders if orders else math.nan
    worth = float(row["overdue_count"]) * share * order
    return (worth if worth > 0 else None), share, order
