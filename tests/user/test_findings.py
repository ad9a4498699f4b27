"""First screen, actions and sentences from tables written by hand: right words, right numbers, 0 and 1 among them."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench.glossary import metric
from workbench.metrics.user_states import QUADRANTS, Line, UserPeriods
from workbench.stats.alarms import share_alarms
from workbench.user.actions import user_actions
from workbench.user.findings import user_findings
from workbench.user.headline import NEEDED_PERIODS, shorter_periods, user_headline, value_hint
from workbench.user.notes import user_notes
from workbench.user.quadrants import QuadrantRules
from workbench.user.strategy import load_strategies
from workbench.user.watch import user_watch
from workbench.user.words import marked

NAMES = dict(zip(QUADRANTS, ("Best", "Lookers", "Rare", "Rest"), strict=True))
USERS = (20, 50, 10, 20)
PAID = (2_000.0, 0.0, 500.0, 0.0)
NONE = pd.DataFrame()
USUAL = QuadrantRules()


def found_of(periods=12, window_days=14, period_days=7, y_line=0.0):
    """What the sentences read of the groups."""
    ends = tuple(20_000 + period_days * one for one in range(periods))
    return SimpleNamespace(
        names=NAMES,
        strategies=dict.fromkeys(QUADRANTS, "Advice."),
        periods=UserPeriods(ends, period_days, window_days),
        x=Line("visit_days", 2.0, 0.05),
        y=Line("paid_amount", y_line, 0.05),
    )


def quadrants(users=USERS, paid=PAID, period=11):
    every = pd.DataFrame(
        {
            "period_index": period,
            "end_date": "2026-06-29",
            "quadrant": QUADRANTS,
            "name": [NAMES[one] for one in QUADRANTS],
            "user_count": users,
            "user_count_change": 1,
            "paid_amount": paid,
        }
    )
    every["user_share"] = every["user_count"] / every["user_count"].sum()
    every["user_share_ci_lower"], every["user_share_ci_upper"] = every["user_share"], every["user_share"]
    every["amount_share"] = every["paid_amount"] / every["paid_amount"].sum()
    every["paid_amount_per_user"] = every["paid_amount"] / every["user_count"]
    every["x_mean"], every["y_mean"] = 3.0, every["paid_amount_per_user"]
    return every


def alerts(*rows, reason=None, p_value=0.5, **more):
    """One quiet outflow of the last period, or the alarms given as (from_group, excess_users, amount_at_risk)."""
    columns = ["from_group", "excess_users", "amount_at_risk"]
    table = pd.DataFrame(list(rows) or [("high_high", 0.0, 0.0)], columns=columns)
    return table.assign(
        from_name=table["from_group"].map(NAMES),
        period_index=11,
        start_date="2026-06-22",
        end_date="2026-06-29",
        since_date="2026-06-22",
        to_group="stopped",
        to_name="Stopped coming",
        user_count=40,
        from_user_count=100,
        row_share=0.4,
        expected_share=0.3,
        p_value=p_value,
        is_alarm=bool(rows),
        is_watched=False,
        reason=reason,
    ).assign(**more)


BEFORE = {"period_index": 10, "start_date": "2026-06-15", "end_date": "2026-06-22", "since_date": "2026-06-15"}
"""Of an alarm of the period before the newest."""


def both(*parts):
    """Alarms of several periods as the analysis has them: the newest period among them, alarms by money."""
    rows = pd.concat(parts, ignore_index=True)
    return rows.sort_values(["is_alarm", "amount_at_risk"], ascending=False, kind="stable", ignore_index=True)


def tables_of(**more):
    empty = {"quadrant_profile": NONE, "migration": NONE, "tags": NONE}
    return {"quadrants": quadrants(), "migration_alerts": alerts()} | empty | more


def verdict(tables, rules=USUAL, found=None, lang="en"):
    return user_headline(tables, rules, found or found_of(y_line=9.0), lang, has_money=True).verdict


def actions(tables, rules=USUAL, lang="en"):
    return user_actions(tables, rules, found_of(), lang)


# -- lines at 0 ----------------------------------------------------------------------------------------------


def test_a_line_at_0_names_who_bought():
    words = load_strategies()
    pair = ("visit_days", "paid_amount")
    for lang, expected in (
        ("en", ["Frequent buyers", "Frequent, did not buy", "Rare buyers", "Rare, did not buy"]),
        ("zh", ["高频已购", "高频未购", "低频已购", "低频未购"]),
    ):
        assert [words.name(*pair, one, lang, (3.0, 0.0)) for one in QUADRANTS] == expected
        for one in QUADRANTS:
            usual = words.name(*pair, one, lang, (3.0, 20.0)), words.strategy(*pair, one, lang, (3.0, 20.0))
            assert usual == (words.name(*pair, one, lang), words.strategy(*pair, one, lang))
            assert words.strategy(*pair, one, lang, (3.0, 0.0)) not in (usual[1], words.other.of(lang))
    assert "paid nothing" in words.strategy(*pair, "low_low", "en", (3.0, 0.0))


def test_a_line_at_0_of_another_pair_says_so_too():
    words = load_strategies()
    assert words.name("sessions", "orders", "low_low", "en", (4.0, 0.0)) == "Low sessions, did not buy"
    assert words.name("paid_amount", "visit_days", "high_low", "en", (0.0, 3.0)) == "Bought, low visit days"
    assert words.name("paid_amount", "visit_days", "low_high", "zh", (0.0, 3.0)) == "未购、高访问天数"
    # days since the last visit may well be 0: that is no purchase
    assert words.name("orders", "days_since_last_visit", "low_low", "en", (1.0, 0.0)).endswith(
        "low days since the last visit"
    )


def test_a_line_at_0_has_a_hint_how_to_split_by_value():
    # 70 of 100 users paid nothing; the 30 others paid 2,500: 83.3 each, written with two digits
    assert "threshold" not in verdict(tables_of(), found=found_of())  # a manager is told by the groups' names
    whole = value_hint(tables_of(), USUAL, found_of(), "en")
    assert "The line of paid amount is 0 (70.0% of users have none)" in whole
    assert "threshold=[2, 83] or include_users_without_orders=false" in whole
    assert "threshold=[2, 83] 或 include_users_without_orders=false" in value_hint(tables_of(), USUAL, found_of(), "zh")
    buyers_alone = QuadrantRules(include_users_without_orders=False)
    assert "include_users" not in value_hint(tables_of(), buyers_alone, found_of(), "en")


def test_who_set_the_line_at_0_gets_no_hint():
    own = QuadrantRules(threshold={"x": 2, "y": 0})
    assert value_hint(tables_of(), own, found_of(), "en") == ""


# -- why nothing rings ---------------------------------------------------------------------------------------


def silent(reason="short_history"):
    return tables_of(migration_alerts=alerts(reason=reason, p_value=np.nan))


def test_periods_too_few_for_an_alarm_are_told_shortly_and_the_days_that_would_do_among_the_limits():
    rules, two = QuadrantRules(), found_of(2, 90, 28, 9.0)
    assert verdict(silent(), rules, two).endswith("; no alarm is possible yet: 2 of 8 periods needed.")
    assert verdict(silent(), rules, two, "zh").endswith("；尚无法预警：需 8 个周期，现有 2 个。")
    hint = "An alarm needs 8 periods; here are 2. window_days=14, period_days=7 would do."
    assert shorter_periods(rules, two, "en") == hint
    assert "现有 2 个；可改用 window_days=14, period_days=7。" in shorter_periods(rules, two, "zh")
    assert "here is 1." in shorter_periods(rules, found_of(1, 90, 28, 9.0), "en")
    assert shorter_periods(rules, found_of(8, 90, 28, 9.0), "en") == ""


@pytest.mark.parametrize(("days", "is_enough"), [(62, False), (63, True)])
def test_shorter_periods_are_proposed_only_where_the_data_reach(days, is_enough):
    # one window of so many days: 14 + 7 × 7 = 63 days hold eight periods of a week
    told = shorter_periods(QuadrantRules(window_days=days), found_of(1, days, 28, 9.0), "en")
    assert ("window_days=14" in told) is is_enough


def test_whoever_asked_for_short_periods_is_not_told_to():
    rules = QuadrantRules(window_days=14, period_days=7)
    assert verdict(silent(), rules, found_of(5, 14, 7, 9.0)).endswith("5 of 8 periods needed.")
    assert shorter_periods(rules, found_of(5, 14, 7, 9.0), "en") == ""


def test_so_many_periods_are_needed_and_no_more():
    users = np.array([[300.0, 310, 290, 305, 295, 302, 299, 301, 298]] * 5).T
    every = np.full(users.shape, 1_000.0)
    for periods, is_judged in ((NEEDED_PERIODS - 1, False), (NEEDED_PERIODS, True)):
        moves = periods - 1  # the first period has none before it
        found = share_alarms(users[:moves], every[:moves], periods_per_month=4.0)
        assert np.isfinite(found.p_value).any() == is_judged


def test_groups_that_are_always_too_small_are_told_once():
    rules = QuadrantRules(min_users=30)
    small = silent("few_users")
    assert "no alarm is possible: no group had 30 users (min_users)" in verdict(small, rules)
    assert "各群体均不足 30 名用户（min_users）" in verdict(small, rules, lang="zh")
    # more history would not help them, so that nothing is said of it
    assert "needed" not in verdict(small, rules, found_of(2, 90, 28, 9.0))
    assert "min_users" not in verdict(silent(), rules, found_of(2, 90, 28, 9.0))


def test_a_quiet_shop_is_told_to_be_quiet():
    assert "no group lost more users than its history explains" in verdict(tables_of())


# -- what rings now and what rang before ---------------------------------------------------------------------


def heard(rows, lang="en"):
    """Verdict, names of actions, sentences of current alerts: what is told as now."""
    tables = tables_of(migration_alerts=rows)
    current = [one.text for one in user_watch(tables, lang).alerts if one.is_current]
    return verdict(tables, lang=lang), [one.name for one in actions(tables, lang=lang)], current


def test_an_alarm_of_the_period_before_is_told_as_past():
    rows = both(alerts(("high_high", 12.0, 70.0), **BEFORE), alerts())
    told, names, current = heard(rows)
    assert told == (
        "“Best” are 20.0% of users and 80.0% of the paid amount. The period before (from 2026-06-15) rang: 40 in “Best” did "
        "not come at all (40.0%, usual 30.0%); nothing since."
    )
    assert (names, current) == ([], [])
    assert not user_watch(tables_of(migration_alerts=rows), "en").rings
    chinese = heard(rows, "zh")[0]
    assert chinese.endswith(
        "。上一周期（自 2026-06-15 起）曾预警：“Best”40 名未访问（40.0%，通常 30.0%）；其后无异常。"
    )
    older = rows.assign(period_index=rows["period_index"].replace(10, 9))
    assert heard(older)[0].endswith("paid amount; 1 earlier period rang, the last from 2026-06-15; nothing since.")
    unknown = both(alerts(("high_high", 12.0, 70.0), **BEFORE), alerts(reason="few_users", p_value=np.nan))
    assert heard(unknown)[0].endswith("; the last cannot be judged.")


def test_the_newest_alarm_is_the_verdict_though_an_older_one_was_dearer():
    rows = both(alerts(("high_high", 12.0, 700.0), **BEFORE), alerts(("low_high", 5.0, 20.0)))
    told, names, current = heard(rows)
    assert told.startswith("2026-06-22 to 2026-06-28: 40 of 100 users in “Rare” did not come")
    assert "Best" not in told
    assert names == ["call_leavers"]
    assert current == [told]
    findings = user_findings(tables_of(migration_alerts=rows), USUAL, found_of(), "en")[:2]
    assert [("“Rare”" in one.text, one.name) for one in findings] == [(True, "alarm"), (False, "alarm")]


def test_an_alarm_that_goes_on_says_since_when():
    older = alerts(("high_high", 12.0, 700.0), **BEFORE)
    rows = both(older, alerts(("high_high", 9.0, 50.0), since_date="2026-06-15"))
    told, names, current = heard(rows)
    assert told.endswith("40.0% where 30.0% are usual, rings since 2026-06-15; 50.00 at risk.")
    assert (names, current) == (["call_leavers"], [told])
    assert "，自 2026-06-15 起持续预警，涉及金额" in heard(rows, "zh")[0]
    assert "since" not in heard(both(older, alerts(("high_high", 9.0, 50.0))))[0]


def test_a_second_alarm_of_another_kind_says_its_own():
    second = alerts(("high_low", 30.0, 0.0), is_watched=True, to_group="gone", to_name="Gone")
    told = heard(both(alerts(("high_high", 12.0, 70.0)), second))[0]
    assert "in “Best” did not come at all" in told
    assert told.endswith(" Also, 40 in “Lookers” are gone (40.0%, usual 30.0%).")
    chinese = heard(both(alerts(("high_high", 12.0, 70.0)), second), "zh")[0]
    assert chinese.endswith("。同期“Lookers”40 名流失（40.0%，通常 30.0%）。")


def test_leavers_are_told_by_what_they_did():
    for kind, says, says_zh in (
        ({}, "12 users of “Best” more than usual did not come at all;", "12 名未访问，"),
        ({"to_group": "gone"}, "more than usual are gone;", "12 名流失，"),
        ({"to_group": "low_low", "to_name": "Rest"}, "more than usual became “Rest”;", "12 名转为“Rest”，"),
    ):
        tables = tables_of(migration_alerts=alerts(("high_high", 12.0, 70.0), **kind))
        assert says in actions(tables)[0].text
        assert says_zh in actions(tables, lang="zh")[0].text


def test_why_no_money_is_at_risk_is_told_as_it_is():
    for amount, kind, says, says_zh in (
        (math.nan, {}, "the data carry no money", "数据没有金额"),
        (0.0, {}, "they paid nothing in the window before", "此前窗口内没有实付"),
        (0.0, {"to_group": "low_low"}, "they paid no less than in the window before", "实付不少于此前窗口"),
    ):
        tables = tables_of(migration_alerts=alerts(("high_low", 12.0, amount), **kind))
        (action,) = actions(tables)
        assert action.amount is None
        assert action.basis.endswith(says)
        assert actions(tables, lang="zh")[0].basis.endswith(says_zh)
        assert "nan" not in verdict(tables)


@pytest.mark.parametrize(
    ("dial", "says"), [(1.0, "at most 1 false alarm a month"), (0.25, "at most 0.25 false alarms")]
)
def test_the_dial_is_told_in_its_number(dial, says):
    shop = SimpleNamespace(has=lambda *_: True, has_money=True)
    found = found_of(2, 90, 28, 9.0)
    found.reference, found.one_sided, found.unknown_count = 0, (), 0
    notes = user_notes(shop, QuadrantRules(false_alarms_per_month=dial), found, tables_of(), "en")
    assert any(says in one for one in notes)
    assert "An alarm needs 8 periods; here are 2. window_days=14, period_days=7 would do." in notes


@pytest.mark.parametrize(
    ("lang", "headers"),
    [
        ("en", ["Group", "Users, 14\xa0d", "Share", "Change, 1\xa0d", "Paid, 14\xa0d", "Per user"]),
        ("zh", ["群体", "用户 14\xa0天", "占比", "变化 1\xa0天", "实付 14\xa0天", "人均"]),
    ],
)
def test_the_first_table_says_of_which_days_it_is(lang, headers):
    rules = QuadrantRules(window_days=14, period_days=1)
    table = user_headline(tables_of(), rules, found_of(y_line=9.0), lang, has_money=True).table
    assert table.columns.tolist() == headers


# -- who is due, who is overdue ------------------------------------------------------------------------------


def moments(overdue, returns=2.0, more=0.0):
    return pd.DataFrame(
        {
            "buyer_group": ["more", "(all)"],
            "overdue_count": [more, overdue],
            "overdue_expected_returns": [0.0, returns],
            "contact_until_day": 16.0,
            "horizon_days": 90,
            "median_day": math.nan,
            "user_share": math.nan,
        }
    )


def buyers(paid=500.0):
    share = {"user_share": [0.6, 1.0], "user_count": [6, 10], "order_count": [5, 10], "paid_amount": [paid / 2, paid]}
    return pd.DataFrame({"buyer_group": ["once", "(all)"], **share})


def contacts(*counts):
    table = pd.DataFrame({"quadrant": QUADRANTS, "buyer_group": "(all)", "contact_count": counts})
    return table.assign(contact_expected_returns=table["contact_count"] * 0.4)


def only(found, name):
    return [one for one in found if one.name == name]


def test_overdue_buyers_are_worth_what_as_many_usually_still_pay():
    # 2 of the 8 usually still buy, an average order is 500 / 10 = 50
    tables = tables_of(next_purchase=moments(8.0, more=3.0), buyers=buyers())
    (action,) = only(actions(tables), "contact_overdue")
    assert action.amount == pytest.approx(100)
    assert action.evidence == "descriptive"
    assert "8 former buyers past the days" in action.text
    assert "first the 3 with three purchases or more" in action.text
    assert action.basis == "about 2 usually still buy by day 90, an average order (50.00) each; not what a message adds"
    assert action.cell.column == "overdue_count"
    (chinese,) = only(actions(tables, lang="zh"), "contact_overdue")
    assert "8 名" in chinese.text
    assert chinese.basis == "通常仍有约 2 名在第 90 天前复购，每人一笔平均订单（50.00）；并非触达带来的增量"


def test_one_overdue_buyer_none_and_unknown():
    (one,) = only(actions(tables_of(next_purchase=moments(1.0), buyers=buyers())), "contact_overdue")
    assert "1 former buyer past" in one.text
    assert "first the" not in one.text
    for count in (0.0, math.nan):
        assert not actions(tables_of(next_purchase=moments(count), buyers=buyers()))


@pytest.mark.parametrize("shop", [{"buyers": buyers(math.nan)}, {}, {"next_purchase": moments(8.0, math.nan)}])
def test_overdue_buyers_without_money_are_called_all_the_same(shop):
    (action,) = actions(tables_of(**{"next_purchase": moments(8.0), "buyers": buyers(math.nan)} | shop))
    assert (action.name, action.amount) == ("contact_overdue", None)
    assert "do not say" in action.basis


def test_those_due_of_all_valuable_groups_are_one_action():
    # 0.4 × (5 + 2) usually still buy, for the same 50 each as those overdue
    shop = {"contacts": contacts(5, 7, 2, 0), "buyers": buyers(), "next_purchase": moments(0.0)}
    (action,) = actions(tables_of(**shop))
    assert action.text.startswith("Contact 5 of “Best” and 2 of “Rare”, in the days")
    assert action.amount == pytest.approx(2.8 * 50)
    assert action.basis.startswith("about 3 usually still buy by day 90, an average order (50.00) each")
    assert actions(tables_of(**shop | {"buyers": buyers(math.nan)}))[0].amount is None
    turned = QuadrantRules(x_metric="paid_amount", y_metric="visit_days")
    assert actions(tables_of(contacts=contacts(5, 7, 2, 0)), turned)[0].text.startswith(
        "Contact 5 of “Best” and 7 of “Lookers”"
    )
    assert not actions(tables_of(contacts=contacts(0, 7, 0, 9)))
    assert not actions(tables_of(contacts=contacts(5, 7, 2, 0)), QuadrantRules(y_metric="sessions"))


# -- audiences of an earlier run -----------------------------------------------------------------------------


def result(action, **more):
    row = {
        "audience": "carted",
        "action": action,
        "outcome": "profit_per_user",
        "outcome_days": 14.0,
        "total_estimate": 120.0,
        "total_ci_lower": -40.0,
        "total_ci_upper": 280.0,
        "units_needed": math.nan,
        "planned_control_share": 0.2,
        "control_share": 0.3,
        "followed_days": 20,
        "reason": None,
    }
    return row | more


def of_results(*rows, **more):
    return tables_of(audience_action=pd.DataFrame(list(rows)), **more)


def test_what_a_test_says_next_is_among_what_to_do():
    for row, says, says_zh in (
        (result("go_on", units_needed=1.0), "no effect can be told yet; 1 user would tell", "约需 1 名用户"),
        (result("go_on", reason="difference_too_small"), "too few users for so small a difference", "差异过小"),
        (result("wait", followed_days=1), "Read “carted” again later: 1 day is followed", "已观察 1 天"),
        (result("wait", followed_days=0), "0 days are followed", "已观察 0 天"),
        (result("distrust"), "30.0% are control where 20.0% were drawn", "抽取时为 20.0%"),
    ):
        (action,) = actions(of_results(row))
        assert action.name == f"audience_{row['action']}"
        assert says in action.text
        assert says_zh in actions(of_results(row), lang="zh")[0].text
        assert action.amount is None
        assert action.evidence == "randomized"
        assert "−40.00 to 280.00" in action.basis
    (waits,) = actions(of_results(result("wait", outcome_days=math.nan, total_estimate=math.nan, reason="no_units")))
    assert waits.basis == "no estimate yet: nobody followed in an arm"


def test_what_stopping_saves_is_what_the_audience_lost():
    row = result("stop", total_estimate=-300.0, total_ci_lower=-500.0, total_ci_upper=-100.0)
    (action,) = actions(of_results(row))
    assert (action.amount, action.ci_lower, action.ci_upper) == (300.0, 100.0, 500.0)


def test_more_buyers_are_no_money():
    row = result("roll_out", outcome="buyer_rate", total_estimate=31.6, total_ci_lower=4.0, total_ci_upper=60.0)
    (action,) = actions(of_results(row))
    assert action.amount is None
    assert (
        action.basis
        == "buyers per user, difference to the control in 14 days, times the audience's users: 32 (4 to 60)"
    )
    told = [one.text for one in user_findings(of_results(row), QuadrantRules(), found_of(), "en")]
    assert any("times the users addressed: 32 (4 to 60); address the control too." in one for one in told)


def test_an_audience_is_of_the_whole_shop_though_users_were_chosen():
    tables = of_results(result("go_on"))
    for lang, says in (("en", "; of the whole shop, not of the users chosen"), ("zh", "；口径为全店，而非所选用户")):
        (part,) = user_actions(tables, USUAL, found_of(), lang, has_chosen_users=True)
        assert part.basis == actions(tables, lang=lang)[0].basis + says


def test_at_most_three_by_money_then_by_urgency():
    due = {"contacts": contacts(5, 0, 0, 0), "next_purchase": moments(8.0), "buyers": buyers()}
    tables = of_results(result("wait"), result("go_on"), **due)
    assert [one.name for one in actions(tables)] == ["contact_due", "contact_overdue", "audience_go_on"]
    more = due | {"next_purchase": moments(8.0, 2.1)}  # 2.1 returns of those overdue, 2 of those due
    assert [one.name for one in actions(tables_of(**more))] == ["contact_overdue", "contact_due"]
    fewer = due | {"next_purchase": moments(8.0, 1.9)}
    assert [one.name for one in actions(tables_of(**fewer))] == ["contact_due", "contact_overdue"]
    # what was measured stands before what is only described, though it is less
    tables = of_results(result("roll_out", total_estimate=9.0), **due)
    assert [one.name for one in actions(tables)] == ["audience_roll_out", "contact_due", "contact_overdue"]
    # with an alarm two at most, the alarm among them
    rings = alerts(("high_high", 12.0, 70.0))
    found = actions(tables | {"migration_alerts": rings})
    assert [one.name for one in found] == ["call_leavers", "audience_roll_out"]
    assert "12 users of “Best” more than usual did not come at all" in found[0].text
    past = tables | {"migration_alerts": both(alerts(("high_high", 12.0, 70.0), **BEFORE), alerts())}
    assert [one.name for one in actions(past)] == ["audience_roll_out", "contact_due"]  # the verdict tells it at length
    (one,) = actions(tables_of(migration_alerts=alerts(("high_low", 1.0, 0.0), to_group="gone")))
    assert "1 user of “Lookers” more than usual is gone" in one.text
    assert one.amount is None


# -- sentences -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "value", "en", "zh"),
    [
        (
            "category",
            "toys",
            "30.0% of its buyers bought most often in the category toys, ",
            "的买家中，最常购买品类 toys 的占",
        ),
        ("channel", "mail", "30.0% came by the channel mail, ", "中，来自渠道 mail 的占"),
        ("age_group", "18-24", "30.0% are of the age group 18-24, ", "中，年龄段为 18-24 的占"),
        ("gender", "f", "30.0% are of the gender f, ", "中，性别为 f 的占"),
        ("region", "North", "30.0% are of the region North, ", "中，地区为 North 的占"),
        ("device", "web", "30.0% use the device web, ", "中，使用设备 web 的占"),
        ("coupon_use", "yes", "30.0% of its buyers used a coupon, ", "的买家中，使用过优惠券的占"),
        ("coupon_use", "no", "30.0% of its buyers used no coupon, ", "的买家中，未使用优惠券的占"),
        ("shoe_size", "42", "30.0% have shoe size 42, ", "中，shoe size为 42 的占"),
    ],
)
def test_what_marks_a_group_is_a_sentence(dimension, value, en, zh):
    row = {"dimension": dimension, "value": value, "user_share": 0.3, "rest_share": 0.2}
    assert marked("Best", row, "en") == f"Best: {en}against 20.0% of the others"
    assert marked("Best", row, "zh") == f"Best{zh} 30.0%，其他群体为 20.0%"


def test_a_mark_is_told_with_how_much_more_or_fewer():
    rows = pd.DataFrame({"quadrant": ["high_high", "low_low"], "dimension": "channel", "value": "mail"}).assign(
        user_share=[0.3, 0.1], rest_share=0.2, difference=[0.1, -0.1], is_different=True
    )
    rows = rows.assign(ci_lower=[0.05, -0.15], ci_upper=[0.15, -0.05])
    found = sentences(tables_of(quadrant_profile=rows))
    assert found["profile_high_high"].text.endswith("20.0% of the others (more by 5.0%–15.0%).")
    assert found["profile_low_low"].text.endswith("(fewer by 5.0%–15.0%).")


def sentences(tables, lang="en"):
    return {one.name: one for one in user_findings(tables, QuadrantRules(), found_of(), lang)}


def tags(**counts):
    """``tag__value`` to users; ``no_orders`` to those without."""
    rows = [
        {"tag": name.partition("__")[0], "value": name.partition("__")[2].replace("_", " "), "user_count": count}
        for name, count in counts.items()
    ]
    table = pd.DataFrame(rows)
    table["value"] = table["value"].replace({"no orders": "(no orders)", "none at all": "(none)"})
    return table.assign(share=table["user_count"] / 100).sort_values(["tag", "user_count"], ascending=[True, False])


def test_buyers_who_do_not_differ_are_said_not_to():
    found = sentences(
        tables_of(
            tags=tags(
                category__no_orders=90,
                category__none_at_all=10,
                coupon_sensitivity__no_orders=90,
                coupon_sensitivity__normal=8,
                coupon_sensitivity__none=2,
                price_band__low=3,
                channel__mail=50,
            )
        )
    )
    assert found["tag_category"].text == "Among 10 buyers of the window nobody prefers a category beyond chance."
    assert (found["tag_category"].cell.key["value"], found["tag_category"].value) == ("(none)", 0.1)
    assert found["tag_coupon_sensitivity"].text.startswith("Among 10 buyers of the window nobody leans on coupons")
    assert not {"tag_price_band", "tag_channel"} & set(found)


def test_one_marked_buyer_is_named_and_no_buyer_is_not_judged():
    marked = tables_of(tags=tags(category__no_orders=90, category__none_at_all=9, category__toys=1))
    assert sentences(marked)["tag_category"].text == "1 user (1.0%) prefers the category toys."
    assert sentences(marked, "zh")["tag_category"].text == "1 名用户（1.0%）偏好品类 toys。"
    two = tables_of(tags=tags(coupon_sensitivity__high=2, coupon_sensitivity__normal=1))
    assert sentences(two)["tag_coupon_sensitivity"].text.startswith("2 users (2.0%) buy with coupons more than others")
    assert "tag_category" not in sentences(tables_of(tags=tags(category__no_orders=90)))


def test_nothing_is_said_of_coupons_that_nobody_used():
    unused = pd.DataFrame({"quadrant": ["high_high"], "dimension": "coupon_use", "value": "no", "user_share": 1.0})
    unused = unused.assign(is_different=False)
    table = tags(coupon_sensitivity__normal=9)
    assert "tag_coupon_sensitivity" not in sentences(tables_of(tags=table, quadrant_profile=unused))
    used = pd.concat([unused.assign(user_share=0.9), unused.assign(value="yes", user_share=0.1)])
    assert "tag_coupon_sensitivity" in sentences(tables_of(tags=table, quadrant_profile=used))


def test_who_bought_once_is_told_apart_from_first_purchases():
    rates = {
        "next_purchase_rate_30": 0.25,
        "next_purchase_rate_30_ci_lower": 0.2,
        "next_purchase_rate_30_ci_upper": 0.3,
    }
    table = buyers().assign(**rates)
    told = sentences(tables_of(buyers=table))["bought_once"].text
    assert told.startswith(
        "Of 10 buyers at the end 60.0% have bought once so far; of all first purchases, also of those"
    )
    assert "25.0% (20.0%–30.0%)" in told
    chinese = sentences(tables_of(buyers=table), "zh")["bought_once"].text
    assert "期末 10 名买家中，60.0%" in chinese
    assert "全部首次购买中（含其后已复购者），25.0%" in chinese


def test_the_glossary_says_of_what_each_rate_of_buyers_is():
    share, again = metric("user_share", "buyers"), metric("next_purchase_rate_30", "buyers")
    assert (share.denominator("en"), share.denominator("zh")) == ("all buyers at the end", "期末全部买家")
    for one in (again, metric("repurchase_rate_60", "buyers")):
        assert "not the buyers of the row" in one.denominator("en")
        assert "而非该行买家" in one.denominator("zh")
        assert "first purchase of every buyer" in one.formula("en")
        assert "全部买家的首次购买" in one.formula("zh")


def test_one_user_is_one_user():
    one = quadrants(users=(1, 0, 1, 1), paid=(5.0, 0.0, 0.0, 0.0))
    found = sentences(tables_of(quadrants=one))
    assert "Best: 1 user, 33.3%" in found["group_high_high"].text
    assert "group_high_low" not in found
