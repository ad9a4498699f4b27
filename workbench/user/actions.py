"""What to do next: what a tested audience asks for, who left, who is due, who is overdue."""

import math

import pandas as pd

from workbench.analysis import Action, Cell
from workbench.glossary import codes
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.user.alerts import STOPPED
from workbench.user.next_purchase import ALL
from workbench.user.quadrants import QuadrantRules, QuadrantsFound
from workbench.user.words import Tables, alarm_key, alarms_of, counted, current_alarms, newest_period, went

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


def user_actions(
    tables: Tables,
    rules: QuadrantRules,
    found: QuadrantsFound,
    lang: Language,
    *,
    has_chosen_users: bool = False,
) -> tuple[Action, ...]:
    """At most three: alarms and what a test decided, then the others; by money, then by urgency.

    What a test measured, and what explains the verdict, stand before money that is only described: many buyers together
    have paid much, and no message brings all of that.
    """
    every = [
        *_of_alarms(tables, lang),
        *_of_results(tables, lang, has_chosen_users=has_chosen_users),
        *_of_due(tables, rules, found, lang),
        *_of_overdue(tables, lang),
    ]
    every.sort(key=lambda one: (one.name not in _FIRST, -(one.amount or 0.0), _URGENCY.index(one.name)))
    # An alarm makes the verdict long: with three actions below it a phone's first screen would not hold them.
    told = alarms_of(tables)
    is_long = bool(len(told)) and told["period_index"].max() >= newest_period(tables) - 1
    return tuple(every[: MOST_ACTIONS - 1 if is_long else MOST_ACTIONS])


def _of_alarms(tables: Tables, lang: Language) -> list[Action]:
    """Call those who left where an alarm rings in the newest period; older alarms are findings."""
    found = []
    for row in current_alarms(tables).head(2).to_dict("records"):
        count, is_money = round(row["excess_users"]), row["amount_at_risk"] > 0
        basis = (
            "what those beyond the usual number paid less in the window; not what a call brings back",
            "超出常态部分的用户在窗口内少付的金额，并非联系即可挽回",
        )
        if pd.isna(row["amount_at_risk"]):
            basis = ("the data carry no money", "数据没有金额")
        elif not is_money and row["to_group"] in ("gone", STOPPED):
            basis = ("no money is at risk: they paid nothing in the window before", "不涉及金额：此前窗口内没有实付")
        elif not is_money:
            basis = (
                "no money is at risk: they paid no less than in the window before",
                "不涉及金额：实付不少于此前窗口",
            )
        did = went(row, count, lang)
        found.append(
            Action(
                name="call_leavers",
                text=say(
                    lang,
                    f"Find out why {counted(count, 'user')} of “{row['from_name']}” more than usual {did}; call them with a "
                    "control held out.",
                    f"查明“{row['from_name']}”为何比通常多约 {format_count(count)} 名{did}，联系时保留对照组。",
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


def _of_results(tables: Tables, lang: Language, *, has_chosen_users: bool) -> list[Action]:
    """What each audience that was compared with its control asks for."""
    rows = tables.get("audience_action", pd.DataFrame())
    whole_shop = say(lang, "; of the whole shop, not of the users chosen", "；口径为全店，而非所选用户")
    reach = whole_shop if has_chosen_users else ""
    return [_of_result(row, reach, lang) for row in rows.to_dict("records")]


def _of_result(row: dict, reach: str, lang: Language) -> Action:
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
        basis=_basis(row, lang) + reach,
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
    returns = contacts[contacts["buyer_group"] == ALL].set_index("quadrant")["contact_expected_returns"].astype(float)
    worth, basis = _worth_of_returns(tables, sum(returns[one] for one in called))
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
            amount=worth,
            ci_lower=None,
            ci_upper=None,
            basis=say(lang, *basis),
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
    worth, basis = _worth_of_returns(tables, float(row["overdue_expected_returns"]))
    more = moments[(moments["buyer_group"] == "more") & (moments["overdue_count"].astype(float) >= 1)]
    first = ("", "")
    if len(more) and float(more["overdue_count"].iloc[0]) < count:
        loyal = format_count(more["overdue_count"].iloc[0])
        first = (
            f", first the {loyal} with three purchases or more",
            f"，优先其中购买三次及以上的 {loyal} 名",
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


def _worth_of_returns(tables: Tables, returns: float) -> tuple[float | None, tuple[str, str]]:
    """What so many who are expected to buy again would pay, one average order of the shop each; and the basis.

    The same for those due and those overdue, so that both stand in one order.
    """
    rows = {name: tables.get(name, pd.DataFrame()) for name in ("buyers", "next_purchase")}
    whole, moments = (rows[name][rows[name]["buyer_group"] == ALL] if len(rows[name]) else rows[name] for name in rows)
    orders, paid = (float(whole[name].iloc[0]) if len(whole) else math.nan for name in ("order_count", "paid_amount"))
    worth = returns * paid / orders if orders else math.nan
    if not worth > 0:
        return None, ("the data do not say what their orders would bring", "数据无法说明其订单金额")
    horizon, count = format_count(moments["horizon_days"].iloc[0]), format_count(round(returns))
    return worth, (
        f"about {count} usually still buy by day {horizon}, an average order ({format_amount(paid / orders, 'en')}) each; not "
        "what a message adds",
        f"通常仍有约 {count} 名在第 {horizon} 天前复购，每人一笔平均订单（{format_amount(paid / orders, 'zh')}）；"
        "并非触达带来的增量",
    )
