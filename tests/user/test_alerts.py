"""Alarms of groups that lose users: by hand, the planted wave in its week, the dial over quiet shops."""

import numpy as np
import pandas as pd
import pytest
from shops import write_shop

from workbench import open_shop
from workbench.metrics.user_states import QUADRANTS, UserPeriods
from workbench.stats.alarms import DAYS_PER_MONTH, share_alarms
from workbench.user.alerts import COLUMNS, migration_alerts, outflows
from workbench.user.migration import ORIGINS, TARGETS, Moves
from workbench.user.quadrants import QuadrantRules, read_quadrants

HIGH_LOW, GONE = QUADRANTS.index("high_low"), TARGETS.index("gone")
ASKED = {"with_stopped": True, "false_alarms_per_month": 1.0, "min_users": 30, "least_amount": None}


def weeks(count):
    return UserPeriods(tuple(20_000 + 7 * k for k in range(count)), period_days=7, window_days=28)


def steady_moves(count=12, size=2_000, seed=1, paid=50.0):
    """Every week 4 % of each quadrant go to each of the others and 4 % are gone, 20 % stop; each user paid ``paid``."""
    rng = np.random.default_rng(seed)
    shape = (count, len(ORIGINS), len(TARGETS))
    users, stopped = np.zeros(shape), np.zeros(shape)
    for k in range(1, count):
        for i in range(len(QUADRANTS)):
            share = np.full(len(TARGETS), 0.04)
            share[i] = 0.84
            users[k, i] = rng.multinomial(size, share)
            stopped[k, i] = rng.binomial(users[k, i].astype(int), 0.2)
            stopped[k, i, GONE] = users[k, i, GONE]
    zero = np.zeros(shape)
    return Moves(users, stopped, paid * users, 0.4 * paid * users, paid * stopped, zero, zero, zero)


def alerts(moves, first_in_report=0, has_money=True, **asked):
    periods = weeks(len(moves.users))
    return migration_alerts(moves, periods, first_in_report, str, has_money=has_money, **ASKED | asked)


def test_ways_out_and_what_each_user_paid():
    found = outflows(steady_moves())
    assert len(found.pairs) == 4 * 5
    assert found.pairs[:5] == (
        ("high_high", "high_low"),
        ("high_high", "low_high"),
        ("high_high", "low_low"),
        ("high_high", "gone"),
        ("high_high", "stopped"),
    )
    lost = dict(zip(found.pairs, found.lost[-1]))
    # who moves still pays 0.4 of 50; who is gone or has stopped pays nothing
    assert lost["high_low", "low_low"] == pytest.approx(30.0)
    assert lost["high_low", "gone"] == lost["high_low", "stopped"] == pytest.approx(50.0)
    assert (found.trials[1:] == 2_000).all()
    assert ("high_low", "stopped") not in outflows(steady_moves(), with_stopped=False).pairs


def planted(moves, origin, target, more, period=-1):
    """So many users more than there were, taken from those who stay."""
    users = moves.users.copy()
    users[period, origin, target] += more
    users[period, origin, origin] -= more
    paid_before = moves.paid_before * np.divide(users, moves.users, out=np.ones(users.shape), where=moves.users > 0)
    rest = moves.stopped, paid_before, moves.paid_after, moves.stopped_paid_before, moves.orders, moves.x, moves.y
    return Moves(users, *rest)


def test_a_jump_is_found_with_its_users_and_money():
    moves = planted(steady_moves(), 0, GONE, 90)
    table = alerts(moves)
    assert table.columns.tolist() == COLUMNS
    row = table.iloc[0]
    assert row[["rank", "from_group", "to_group", "is_alarm", "period_index"]].tolist() == [
        1,
        "high_high",
        "gone",
        True,
        11,
    ]
    assert table["is_alarm"].sum() == 1
    every = outflows(moves)
    place = every.pairs.index(("high_high", "gone"))
    shares = every.users[1:, place] / every.trials[1:, place]
    assert row["row_share"] == shares[-1]
    assert (row["expected_lower"], row["expected_upper"]) == (shares[:-1].min(), shares[:-1].max())
    assert row["excess_users"] == pytest.approx(every.users[-1, place] - row["expected_share"] * 2_000)
    assert row["amount_at_risk"] == pytest.approx(row["excess_users"] * 50.0)
    second = share_alarms(
        every.users[1:], every.trials[1:], periods_per_month=DAYS_PER_MONTH / 7, side="rise"
    )  # the same numbers straight from the test of shares
    assert row["p_value"] == second.p_value[-1, place]
    assert row["expected_share"] == second.expected[-1, place]


def test_alarms_stand_first_by_money_at_risk():
    moves = planted(planted(steady_moves(), 0, GONE, 90), 2, GONE, 200)
    table = alerts(moves)
    assert table["is_alarm"].tolist()[:3] == [True, True, False]
    assert table["from_group"].tolist()[:2] == ["low_high", "high_high"]
    assert table["rank"].tolist()[:2] == [1, 2]
    assert table["rank"].isna().sum() == len(table) - 2
    assert table["amount_at_risk"].iloc[0] > table["amount_at_risk"].iloc[1]


def test_small_money_rings_only_in_the_group_that_is_watched():
    poor = steady_moves(paid=1e-9)
    for origin, rings in ((HIGH_LOW, True), (0, False)):
        moves = planted(poor, origin, GONE, 90)
        moves = Moves(moves.users, moves.stopped, moves.paid_before + 100.0, *list(vars(moves).values())[3:])
        table = alerts(moves, least_amount=1e9)
        cell = table[(table["from_group"] == QUADRANTS[origin]) & (table["to_group"] == "gone")]
        last = cell[cell["period_index"] == 11].iloc[0]
        assert (last["is_alarm"], last["is_watched"]) == (rings, rings)
        assert last["reason"] == (None if rings else "little_money") or (rings and pd.isna(last["reason"]))


def test_without_money_users_rank():
    table = alerts(planted(planted(steady_moves(), 0, GONE, 90), 2, GONE, 200), has_money=False)
    assert table["from_group"].tolist()[:2] == ["low_high", "high_high"]
    assert table["amount_at_risk"].isna().all()


def test_more_users_who_rise_are_no_alarm():
    low_low = QUADRANTS.index("low_low")
    table = alerts(planted(steady_moves(), low_low, QUADRANTS.index("high_high"), 200), has_money=False)
    risen = table[(table["from_group"] == "low_low") & (table["to_group"] == "high_high")].iloc[0]
    assert risen["p_value"] < 0.001
    assert not risen["is_alarm"]
    assert risen["reason"] == "no_loss"


def test_few_users_never_ring():
    assert (alerts(steady_moves(size=20))["reason"] == "few_users").all()
    moves = planted(steady_moves(size=60), 0, GONE, 25)  # 60 users are judged; fewer than 30 who go are no alarm
    table = alerts(moves)
    assert not table["is_alarm"].any()
    assert alerts(moves, min_users=10)["is_alarm"].any()


def test_a_short_history_is_silent_and_says_so():
    table = alerts(planted(steady_moves(count=7), 0, GONE, 500))
    assert set(table["reason"]) == {"short_history"}
    assert not table["is_alarm"].any()
    assert table["expected_share"].isna().all()
    assert alerts(planted(steady_moves(count=8), 0, GONE, 500))["is_alarm"].sum() == 1


def test_a_second_wave_is_judged_by_the_periods_that_did_not_ring():
    """The first one is usual for nobody: without it the second has the expected share and the range of quiet weeks."""
    once = planted(steady_moves(count=16), 0, GONE, 90, period=10)
    twice = planted(once, 0, GONE, 120, period=14)
    cell = alerts(twice).query("from_group == 'high_high' and to_group == 'gone'").set_index("period_index")
    assert cell.index[cell["is_alarm"]].sort_values().tolist() == [10, 14]
    assert cell["since_date"][14] == cell["start_date"][14]
    quiet = alerts(steady_moves(count=16))
    quiet = quiet.query("from_group == 'high_high' and to_group == 'gone'").set_index("period_index")
    assert cell["expected_upper"][14] == pytest.approx(quiet["row_share"][[*range(1, 10), 11, 12, 13]].max())
    weeks_before = [*range(1, 10), 11, 12, 13]
    assert cell["expected_share"][14] == pytest.approx(quiet["row_share"][weeks_before].mean(), rel=0.02)


def test_a_share_that_stays_where_it_went_rings_four_weeks_at_most():
    moves = steady_moves(count=20)
    for period in range(10, 20):
        moves = planted(moves, 0, GONE, 90 + 30 * (period - 10 if period < 14 else 0), period=period)
    cell = (
        alerts(moves).query("from_group == 'high_high' and to_group == 'gone'").set_index("period_index").sort_index()
    )
    rings = cell.index[cell["is_alarm"]].tolist()
    assert rings == [10, 11, 12, 13]
    assert set(cell["since_date"].dropna()) == {cell["start_date"][10]}
    late = alerts(moves, first_in_report=12).query("from_group == 'high_high' and to_group == 'gone'")
    assert late[late["period_index"] == 12]["since_date"].item() == cell["start_date"][10]


def test_only_periods_of_the_report_are_told():
    moves = planted(steady_moves(), 0, GONE, 90, period=9)
    assert alerts(moves)["is_alarm"].sum() == 1
    late = alerts(moves, first_in_report=10)
    assert set(late["period_index"]) == {10, 11}
    assert not late["is_alarm"].any()


WAVE = [
    # the data end on 28 June, so weeks end before 11 and 18 May; nothing else is found
    {"window_days": 14, "period_days": 7},
    {"window_days": 7, "period_days": 7},
    {"window_days": 7, "period_days": 7, "threshold": {"x": 3, "y": 100}},
]


@pytest.mark.parametrize("rules", WAVE, ids=["14 days", "7 days", "7 days, own lines"])
def test_the_planted_wave_is_found_in_its_week(sample, truth, rules):
    """Frequent users who spend little leave for good between 3 and 9 May; the week to 10 May holds six of the seven days."""
    wave = truth["activity"]["leaver_wave"]
    assert (wave["start_date"], wave["end_date"]) == ("2026-05-03", "2026-05-10")
    found = read_quadrants(sample, sample.period(None, None, "Asia/Shanghai"), QuadrantRules(**rules))
    table = found.migration_alerts
    alarms = table[table["is_alarm"]]
    mine = alarms[(alarms["from_group"] == "high_low") & alarms["is_watched"]]
    assert "2026-05-11" in set(mine["end_date"])
    # a window of two weeks holds the days before they left until 23 May
    told = {"2026-05-11", "2026-05-18"} | ({"2026-05-25"} if rules["window_days"] > 7 else set())
    assert set(alarms["end_date"]) <= told
    assert set(mine["since_date"]) == {"2026-05-04"}
    first = mine[mine["end_date"] == "2026-05-11"].iloc[0]
    assert first["to_group"] == ("stopped" if rules["window_days"] > 7 else "gone")
    assert first["row_share"] > 1.1 * first["expected_share"]


def quiet_moves(rng, count):
    """Groups of 100 to a million users whose shares move between weeks, overdispersed and without trend."""
    shape = (count, len(ORIGINS), len(TARGETS))
    users, stopped = np.zeros(shape), np.zeros(shape)
    movement = 10 ** rng.uniform(-4.5, -2.5)  # intra-class correlation
    for i in range(len(QUADRANTS)):
        size = 10 ** rng.uniform(2, 6)
        stay = rng.uniform(0.5, 0.9)
        share = rng.dirichlet(np.full(len(TARGETS) - 1, 3.0)) * (1 - stay)
        share = np.insert(share, i, stay)
        stops = rng.uniform(0.05, 0.6)
        for k in range(1, count):
            trials = rng.poisson(size * np.exp(rng.normal(0, 0.05)))
            users[k, i] = rng.multinomial(trials, rng.dirichlet(share / movement))
            stopped[k, i, i] = rng.binomial(trials, rng.beta(stops / movement, (1 - stops) / movement))
    zero = np.zeros(shape)
    return Moves(users, stopped, zero, zero, zero, zero, zero, zero)


def keeps(alarms, months, dial):
    """The dial of the simulation criteria: the mean over shops, less 3.09 standard errors over shops, is at most it."""
    rate = np.array(alarms) / months
    return rate.mean() - 3.09 * rate.std(ddof=1) / np.sqrt(len(rate)) <= dial


@pytest.mark.slow
def test_200_quiet_shops_keep_the_dial():
    """26 weeks, of which 19 are judged; no minimum of users or money hides an alarm."""
    judged = 19
    rates = []
    for seed in range(200):
        moves = quiet_moves(np.random.default_rng(seed), 26)
        table = alerts(moves, has_money=False, min_users=1)
        assert table["p_value"].notna().any()
        rates.append(int(table["is_alarm"].sum()))
    months = judged * 7 / DAYS_PER_MONTH
    print(f"mean alarms per shop and month {np.mean(rates) / months:.3f}")
    assert keeps(rates, months, 1.0)
    assert np.mean(rates) / months > 0.05  # not silent


def quiet_shop(folder, seed, users=1_200, days=182):
    """Users who come and buy at rates of their own; the rate of all moves by 10 % between weeks; a tenth are new each month."""
    rng = np.random.default_rng(seed)
    rate, spends = rng.beta(0.6, 3.0, users), rng.random(users) < 0.4
    arrival = np.where(rng.random(users) < 0.4, rng.integers(0, days, users), 0)
    week = np.exp(rng.normal(0, 0.1, days // 7 + 1))
    chance = np.minimum(rate[:, None] * week[np.arange(days) // 7], 0.95)
    is_there = (rng.random((users, days)) < chance) & (np.arange(days) >= arrival[:, None])
    who, when = np.nonzero(is_there)
    start = pd.Timestamp("2026-01-01 12:00", tz="UTC")
    moment = start + pd.to_timedelta(when, unit="D")
    buys = spends[who] & (rng.random(len(who)) < 0.25)
    orders = pd.DataFrame({"user_id": who[buys], "submitted_at": moment[buys], "paid_at": moment[buys]})
    orders["order_id"], orders["gross_amount"] = range(len(orders)), rng.integers(500, 20_000, len(orders)) / 100
    people = {"user_id": range(users), "first_seen_at": start + pd.to_timedelta(arrival, unit="D")}
    events = pd.DataFrame({"user_id": who, "event_at": moment, "event": "view_item"})
    return open_shop(write_shop(folder, users=pd.DataFrame(people), events=events, orders=orders))


@pytest.mark.slow
def test_quiet_shops_keep_the_dial_from_their_tables(tmp_path):
    """The whole way, with windows that overlap, users who stay themselves and newcomers."""
    rates = {7: [], 14: [], 28: []}
    for seed in range(6):
        shop = quiet_shop(tmp_path / str(seed), seed)
        for window_days, counts in rates.items():
            rules = QuadrantRules(window_days=window_days, period_days=7, least_amount=0.0)
            found = read_quadrants(shop, shop.period(None, None, "UTC"), rules)
            table = found.migration_alerts
            months = table.loc[table["p_value"].notna(), "period_index"].nunique() * 7 / DAYS_PER_MONTH
            assert months > 3.5
            counts.append(int(table["is_alarm"].sum()) / months)
    for window_days, counts in rates.items():
        print(f"window {window_days}: mean alarms per shop and month {np.mean(counts):.3f}")
        assert keeps(counts, 1.0, 1.0), window_days
