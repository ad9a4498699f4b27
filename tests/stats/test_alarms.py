"""Alarms: a loop as the second way, what is silent and why, the dial over quiet shops, what is found."""

import warnings
from fractions import Fraction
from math import comb, prod

import numpy as np
import pytest
from scipy import stats

from workbench.errors import ParameterError
from workbench.stats.alarms import DAYS_PER_MONTH, _tails, series_alarms, share_alarms

WEEKDAYS = np.array([900, 800, 800, 800, 900, 1200, 1300.0])


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def steady(weeks, seed=1, series=1):
    return np.random.default_rng(seed).poisson(np.tile(WEEKDAYS, weeks)[:, None], (7 * weeks, series)).astype(float)


def moving(rng, spread, periods, series, correlation):
    """Autocorrelated normal numbers with a constant spread."""
    found = rng.normal(0, spread, (periods, series))
    for now in range(1, periods):
        found[now] = correlation * found[now - 1] + np.sqrt(1 - correlation**2) * found[now]
    return found


def quiet(rng, days, series, *, correlation=0.5, common=0.04):
    """Counts and amounts of 3 to 5,000 a day: weekday season, autocorrelation, a common part, heavy tails."""
    level = rng.uniform(np.log(3), np.log(5_000), series)
    season = rng.normal(0, 0.25, (7, 1)) + rng.normal(0, 0.08, (7, series))
    mean = level + season[np.arange(days) % 7]
    mean = mean + moving(rng, 0.08, days, series, correlation) + moving(rng, common, days, 1, 0.7)
    mean = mean + 0.1 * rng.standard_t(4, (days, series)) / np.sqrt(2)
    count = rng.poisson(np.exp(mean)).astype(float)
    price = 50 * np.exp(rng.normal(0, 0.7, (days, series)) / np.sqrt(np.maximum(count, 1)))
    return np.where(rng.random(series) < 0.5, count, count * price)


def in_weeks(days):
    return days.reshape(-1, 7, days.shape[1]).sum(axis=1)


def keeps(alarms, months, dial):
    """The dial of the simulation criteria: the mean over shops, less 3.09 standard errors over shops, is at most it."""
    rate = np.array(alarms) / months
    return rate.mean() - 3.09 * rate.std(ddof=1) / np.sqrt(len(rate)) <= dial


# --- series -------------------------------------------------------------------------------------------------------


def inner_mean(values):
    values = sorted(value for value in values if not np.isnan(value))
    cut = len(values) // 4
    return np.mean(values[cut : len(values) - cut]) if values else np.nan


def looped(x):
    """Expected, spread and score of one daily series without gaps, day by day as the notes say."""
    days = len(x)
    ratio = [x[day] / np.mean(x[day - 3 : day + 4]) if 3 <= day < days - 3 else np.nan for day in range(days)]
    # the mean around a day may miss two of its days at the ends of the data
    for day in (1, 2, days - 3, days - 2):
        around = x[max(day - 3, 0) : day + 4]
        if len(around) >= 5:
            ratio[day] = x[day] / np.mean(around)
    season, expected, spread, score = (np.full(days, np.nan) for _ in range(4))
    deviation = np.full(days, np.nan)
    for day in range(days):
        same = [ratio[day - 7 * back] for back in range(1, 27) if day >= 7 * back]
        if sum(not np.isnan(one) for one in same) >= 3:
            season[day] = inner_mean(same)
        plain = [x[day - lag] / season[day - lag % 7] for lag in range(1, 29) if day >= lag and day >= lag % 7]
        if sum(not np.isnan(one) for one in plain) >= 14:
            expected[day] = inner_mean(plain) * season[day]
        deviation[day] = np.log((x[day] + expected[day] / 2) / (1.5 * expected[day]))
        past = abs(deviation[max(day - 182, 0) : day])
        past = past[~np.isnan(past)]
        if len(past) >= 16:
            spread[day] = max(1.4826 * np.median(past), 1.2533 / 2 * past.mean())
        score[day] = deviation[day] / spread[day]
    return expected, spread, score


def test_expected_and_scores_equal_a_loop():
    x = steady(34)
    found = series_alarms(x)
    expected, _, score = looped(x[:, 0])
    assert np.isfinite(score).sum() > 180
    assert found.expected[:, 0] == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert found.score[:, 0] == pytest.approx(score, rel=1e-9, nan_ok=True)


def test_the_threshold_is_the_score_that_so_many_went_beyond():
    """One series, dial 2: a part of 1/30.44 for each side. Of some 250 earlier scores the 8th largest."""
    x = steady(45)
    found = series_alarms(x, false_alarms_per_month=2)
    expected, spread, score = looped(x[:, 0])
    for day in (290, 314):
        earlier = score[:day][~np.isnan(score[:day])]
        place = int((len(earlier) + 1) / DAYS_PER_MONTH)
        assert place >= 7
        for bound, edge in ((found.upper, np.sort(earlier)[-place]), (found.lower, np.sort(earlier)[place - 1])):
            assert bound[day, 0] == pytest.approx(expected[day] * (1.5 * np.exp(edge * spread[day]) - 0.5), rel=1e-9)
    outside = (x < found.lower) | (x > found.upper)
    assert outside.sum() > 5
    assert (found.is_alarm == outside).all()


def test_a_short_history_goes_beyond_its_largest_score():
    """Dial 0.1, one series: allowed 1/609 for each side; of N scores the largest times (609 / (N + 1)) to 1/3."""
    x = steady(20)
    found = series_alarms(x, false_alarms_per_month=0.1)
    expected, spread, score = looped(x[:, 0])
    earlier = score[:-1][~np.isnan(score[:-1])]
    allowed = 0.1 / DAYS_PER_MONTH / 2
    edge = earlier.max() * (1 / (allowed * (len(earlier) + 1))) ** (1 / 3)
    edge = max(edge, stats.norm.isf(allowed))
    assert found.upper[-1, 0] == pytest.approx(expected[-1] * (1.5 * np.exp(edge * spread[-1]) - 0.5), rel=1e-9)


def test_series_that_move_as_one_are_less_evidence():
    """Four copies of one series: the scores of N days count as N √4 and not 4 N."""
    x = steady(20)
    found = series_alarms(np.repeat(x, 4, axis=1), false_alarms_per_month=0.4)
    expected, spread, score = looped(x[:, 0])
    earlier = score[:-1][~np.isnan(score[:-1])]
    allowed = 0.1 / DAYS_PER_MONTH / 2
    edge = earlier.max() * (1 / (allowed * (2 * len(earlier) + 1))) ** (1 / 3)
    assert found.upper[-1] == pytest.approx([expected[-1] * (1.5 * np.exp(edge * spread[-1]) - 0.5)] * 4, rel=1e-9)


def test_a_series_that_only_fell_does_not_alarm_when_it_falls_a_little_less():
    """All scores before are below 0; without a floor every score above 0 would be an unheard-of rise."""
    x = 1_000 * 0.97 ** np.arange(16.0)[:, None]
    found = series_alarms(x, period="week")
    assert (found.score[8:] < 0).all()
    x[-1] = found.expected[-1] * 1.05
    assert series_alarms(x, period="week").score[-1, 0] > 0
    assert not series_alarms(x, period="week").is_alarm[-1, 0]


def test_weeks_are_judged_from_the_thirteenth_on():
    found = series_alarms(in_weeks(steady(20)), period="week")
    assert set(found.reason[:12, 0]) == {"short_history"}
    assert set(found.reason[12:, 0]) == {None}


def test_a_drop_and_a_rise_are_alarms_and_a_busy_sunday_is_none():
    x = steady(20, series=3)
    x[-1, 0] *= 0.7
    x[-1, 1] *= 1.4
    found = series_alarms(x)
    assert found.is_alarm[-1].tolist() == [True, True, False]
    assert np.sign(found.score[-1, :2]).tolist() == [-1, 1]
    assert found.expected[-1] == pytest.approx([1_300] * 3, rel=0.05)


def test_what_comes_later_changes_nothing():
    x = steady(30, series=2)
    whole, part = series_alarms(x), series_alarms(x[:150])
    assert (whole.is_alarm[:150] == part.is_alarm).all()
    assert whole.upper[:140] == pytest.approx(part.upper[:140], nan_ok=True)
    assert whole.upper[149] == pytest.approx(part.upper[149])


def test_silent_under_eight_weeks():
    found = series_alarms(steady(9))
    assert set(found.reason[:56, 0]) == {"short_history"}
    assert set(found.reason[56:, 0]) == {None}
    assert not series_alarms(np.vstack([steady(7), np.zeros((3, 1))])).is_alarm.any()


def test_a_series_that_begins_later_is_silent_for_its_own_first_weeks():
    x = steady(30, series=2)
    x[:70, 1] = np.nan
    found = series_alarms(x)
    assert set(found.reason[:70, 1]) == {"missing"}
    assert set(found.reason[70:126, 1]) == {"short_history"}
    assert set(found.reason[126:, 1]) == {None}


def test_annotated_days_are_neither_judged_nor_learned_from():
    x = steady(20, series=2)
    campaign = np.zeros(140, dtype=bool)
    campaign[100:110] = campaign[-1] = True
    busy = x.copy()
    busy[campaign] *= 3
    found, plain = series_alarms(busy, annotated=campaign), series_alarms(x, annotated=campaign)
    assert set(found.reason[campaign].ravel()) == {"annotated"}
    assert not found.is_alarm[campaign].any()
    assert found.expected == pytest.approx(plain.expected, nan_ok=True)
    assert found.upper == pytest.approx(plain.upper, nan_ok=True)
    one = series_alarms(busy, annotated=np.column_stack([campaign, np.zeros(140, dtype=bool)]))
    assert set(one.reason[campaign, 1]) == {None}
    assert one.is_alarm[100, 1]


def test_missing_days_are_passed_over():
    x = steady(20)
    x[60:64] = np.nan
    found = series_alarms(x)
    assert set(found.reason[60:64, 0]) == {"missing"}
    assert set(found.reason[64:, 0]) == {None}
    assert found.expected[64:, 0] == pytest.approx(series_alarms(steady(20)).expected[64:, 0], rel=0.05)


def test_a_series_that_never_moves_or_never_sells_says_why_it_is_silent():
    x = np.column_stack([np.full(100, 5.0), np.zeros(100)])
    x[-1] = 3, 7
    found = series_alarms(x)
    assert found.reason[-1].tolist() == ["no_variation", "too_sparse"]
    assert not found.is_alarm.any()


def test_a_series_of_a_few_values_has_a_spread_from_those_that_differ():
    """Five in most weeks and six in every fifth: the median deviation is 0, the mean is not."""
    x = np.full((41, 1), 5.0)
    x[::5] = 6
    found = series_alarms(x, period="week")
    assert found.reason[-1, 0] is None
    assert 0 < found.score[-1, 0] < 20


def test_only_the_last_days_on_request_and_the_same_is_said_of_them():
    x = steady(30, series=3)
    whole, last = series_alarms(x), series_alarms(x, judge_last=10)
    assert set(last.reason[:-10].ravel()) == {"history"}
    assert last.upper[-10:] == pytest.approx(whole.upper[-10:])
    assert not last.is_alarm[:-10].any()


@pytest.mark.parametrize("shape", [(0, 3), (100, 0), (1, 1)])
def test_nothing_to_judge_is_no_error(shape):
    found = series_alarms(np.ones(shape))
    assert found.is_alarm.shape == found.reason.shape == shape
    assert not found.is_alarm.any()


def test_many_series_in_blocks_are_the_same(monkeypatch):
    x = steady(20, series=5)
    whole = series_alarms(x)
    monkeypatch.setattr("workbench.stats.alarms._BLOCK", 1)
    assert series_alarms(x).score == pytest.approx(whole.score, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([1, 2], {}, r"wanted is \(periods, series\)"),
        ([[-1.0]], {}, "of 0 or more"),
        ([[np.inf]], {}, "finite numbers"),
        ([[1.0]], {"false_alarms_per_month": 0}, "false_alarms_per_month is 0"),
        ([[1.0]], {"period": "month"}, "Allowed: day, week"),
        ([[1.0]], {"annotated": [True, False]}, "one flag per period"),
    ],
)
def test_what_is_no_series_is_refused(values, options, said):
    with pytest.raises(ParameterError, match=said):
        series_alarms(values, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "dial", "options"),
    [(1, 1.0, {}), (12, 1.0, {}), (12, 1.0, {"correlation": 0.9}), (12, 1.0, {"common": 0.15}), (12, 0.2, {})],
)
def test_quiet_days_keep_the_dial(series, dial, options):
    rng = np.random.default_rng(4)
    alarms = [
        series_alarms(quiet(rng, 56 + 120, series, **options), false_alarms_per_month=dial).is_alarm.sum()
        for _ in range(200)
    ]
    assert keeps(alarms, 120 / DAYS_PER_MONTH, dial)
    assert np.mean(alarms) > 0


@pytest.mark.slow
def test_days_and_weeks_with_half_the_dial_each_keep_it_and_find_a_week_of_minus_30_per_cent():
    """200 shops of six series for 40 weeks. The drop is of all series in the last week; found is a fall in it."""
    rng = np.random.default_rng(5)
    alarms, found = [], []
    for _ in range(200):
        days = quiet(rng, 280, 6)
        half = {"false_alarms_per_month": 0.5}
        alarms.append(
            series_alarms(days, **half).is_alarm.sum()
            + series_alarms(in_weeks(days), period="week", **half).is_alarm.sum()
        )
        days[-7:] *= 0.7
        by_day = series_alarms(days, **half, judge_last=7)
        by_week = series_alarms(in_weeks(days), period="week", **half, judge_last=1)
        found.append(any((one.is_alarm & (one.score < 0)).any() for one in (by_day, by_week)))
    assert keeps(alarms, 32 * 7 / DAYS_PER_MONTH, 1.0)
    assert np.mean(found) > 0.8


# --- shares -------------------------------------------------------------------------------------------------------


def leavers(rng, periods, cells, *, spread=0.3, correlation=0.0, tails=None, users=2_000):
    """Users of each cell and those who leave; log odds move between periods by ``spread``."""
    base = rng.uniform(0.02, 0.4, cells)
    trials = rng.integers(users // 20 + 30, users, (periods, cells))
    noise = moving(rng, 1.0, periods, cells, correlation)
    if tails:
        noise = rng.standard_t(tails, (periods, cells)) / np.sqrt(tails / (tails - 2))
    odds = np.log(base / (1 - base)) + spread * noise
    return rng.binomial(trials, 1 / (1 + np.exp(-odds))), trials


def test_equal_periods_by_hand():
    """Seven earlier periods of 1,000 users: shares with mean 10 % and s² = Σ(x - mean)² / 6; the new one is 16 %.

    With equal periods p (1 - p) ((1 + (n - 1) c) / n) is s², and 1 / Σ w adds a seventh of it.
    """
    left = np.array([90, 110, 95, 105, 80, 120, 100])
    found = share_alarms(np.append(left, 160)[:, None], np.full((8, 1), 1_000), periods_per_month=1)
    odds = np.log(160.5 / 840.5) - np.log(0.1 / 0.9)
    statistic = odds * 0.09 / np.sqrt(np.var(left / 1_000, ddof=1) * 8 / 7)
    assert found.expected[-1, 0] == pytest.approx(0.1)
    assert found.share[-1, 0] == 0.16
    assert found.p_value[-1, 0] == pytest.approx(2 * stats.t.sf(statistic, 5), rel=1e-3)
    assert found.reason[:, 0].tolist() == ["short_history"] * 6 + [None] * 2


def test_few_users_are_judged_by_the_exact_tail():
    """2 of 20 in each of eight periods, no movement beyond chance; then none: 0.9^20, which Student's t puts at 5 %."""
    hits = np.array([2, 1, 3, 2, 2, 1, 3, 2, 0])[:, None]
    found = share_alarms(hits, np.full((9, 1), 20), periods_per_month=1, side="fall")
    assert found.p_value[-1, 0] == pytest.approx(0.9**20, rel=1e-9)


def test_a_share_rises_as_its_complement_falls():
    rng = np.random.default_rng(7)
    for spread in (0.0, 0.3, 2.0):
        hits, trials = leavers(rng, 12, 20, spread=spread, users=60)
        rise = share_alarms(hits, trials, periods_per_month=1, side="rise")
        fall = share_alarms(trials - hits, trials, periods_per_month=1, side="fall")
        assert rise.p_value == pytest.approx(fall.p_value, rel=1e-6, nan_ok=True)
        assert (rise.reason == fall.reason).all()


def test_a_history_of_too_many_small_p_values_lowers_the_limit():
    """Shares that drift: of the earlier p-values the one that so many were below as the dial allows is the limit."""
    rng = np.random.default_rng(8)
    hits, trials = leavers(rng, 16, 10, spread=0.6, correlation=0.97, users=50_000)
    found = share_alarms(hits, trials, periods_per_month=1)
    lowered = 0
    for now in range(6, 16):
        limit = 1.0 / 10
        earlier = sorted(found.p_value[6:now].ravel())
        place = int(limit * (len(earlier) + 1))
        if place:
            lowered += earlier[place - 1] < limit
            limit = min(limit, earlier[place - 1])
        assert (found.is_alarm[now] == (found.p_value[now] < limit)).all()
    assert lowered >= 5
    assert found.is_alarm.sum() < (found.p_value < 0.1).sum()


def test_a_movement_that_is_usual_is_no_alarm_where_a_binomial_test_calls_it_one():
    rng = np.random.default_rng(3)
    hits, trials = leavers(rng, 30, 10, spread=0.2, users=100_000)
    found = share_alarms(hits, trials, periods_per_month=1)
    now, pooled = hits[-1] / trials[-1], hits[:-1].sum(axis=0) / trials[:-1].sum(axis=0)
    z = (now - pooled) / np.sqrt(pooled * (1 - pooled) / trials[-1])
    assert (2 * stats.norm.sf(abs(z)) < 0.001).mean() >= 0.8
    assert found.is_alarm[-1].sum() <= 1


def test_the_side_asked_for():
    left = np.array([100, 110, 95, 105, 90, 104, 96, 101])
    for last, alarms in ((200, {"rise", "both"}), (30, {"fall", "both"})):
        hits = np.append(left, last)[:, None]
        for side in ("rise", "fall", "both"):
            found = share_alarms(hits, np.full((9, 1), 1_000), periods_per_month=1, side=side)
            assert found.is_alarm[-1, 0] == (side in alarms)


def test_shares_that_cannot_be_judged_say_why():
    hits, trials = np.full((10, 4), 50), np.full((10, 4), 500)
    hits[:, 0], trials[-1, 1], hits[-1, 1] = 0, 0, 0
    hits[::2, 2:] += 9
    flags = np.zeros((10, 4), dtype=bool)
    flags[-1, 2] = flags[3:7, 3] = True
    found = share_alarms(hits, trials, periods_per_month=1, annotated=flags)
    assert found.reason[-1].tolist() == ["no_variation", "no_users", "annotated", "short_history"]
    assert not found.is_alarm[-1].any()


@pytest.mark.parametrize(
    ("hits", "trials", "options", "said"),
    [
        ([[3]], [[2]], {}, "no success without a trial"),
        ([[3]], [[2, 3]], {}, "counts of one shape"),
        ([[np.nan]], [[2]], {}, "none missing"),
        ([[1]], [[2]], {"side": "up"}, "Allowed: both, rise, fall"),
        ([[1]], [[2]], {"least_periods": 2}, "needs 3 earlier periods"),
        ([[1]], [[2]], {"false_alarms_per_month": -1}, "false_alarms_per_month is -1"),
    ],
)
def test_what_is_no_share_is_refused(hits, trials, options, said):
    with pytest.raises(ParameterError, match=said):
        share_alarms(hits, trials, **{"periods_per_month": 1, **options})


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"correlation": 0.6}, {"tails": 5}, {"spread": 0.0}])
@pytest.mark.parametrize("side", ["rise", "both"])
def test_quiet_shares_keep_the_dial_and_half_as_many_again_are_found(options, side):
    """200 shops of twelve cells in 14 periods of four weeks."""
    rng = np.random.default_rng(6)
    alarms, found = [], []
    for _ in range(200):
        hits, trials = leavers(rng, 14, 12, **options)
        alarms.append(share_alarms(hits, trials, periods_per_month=DAYS_PER_MONTH / 28, side=side).is_alarm.sum())
        hits[-1] = np.minimum(hits[-1] * 2, trials[-1])
        last = share_alarms(hits, trials, periods_per_month=DAYS_PER_MONTH / 28, side=side)
        found.append(last.is_alarm[-1].mean())
    assert keeps(alarms, 8 * 28 / DAYS_PER_MONTH, 1.0)
    assert np.mean(found) > 0.5


def rising(start, count):
    """The rising factorial."""
    return prod((start + step for step in range(count)), start=Fraction(1))


@pytest.mark.parametrize(
    ("count", "now", "mean", "correlation"),
    [(13, 10, 0.079, 2.4e-6), (98, 82, 0.642, 1.25e-5), (40, 3, 0.5, 0.3), (60, 0, 0.05, 0.02), (60, 60, 0.9, 0.02), (50, 20, 0.05, 0.7)],
)  # fmt: skip
def test_tails_are_those_of_fractions_without_rounding(count, now, mean, correlation):
    """SciPy's, taken from 1, are wrong by 29 % in the first of them."""
    first = Fraction(mean) * (1 / Fraction(correlation) - 1)
    second = (1 - Fraction(mean)) * (1 / Fraction(correlation) - 1)
    chances = [
        comb(count, one) * rising(first, one) * rising(second, count - one) / rising(first + second, count)
        for one in range(count + 1)
    ]
    exact = [float(sum(chances[now:])), float(sum(chances[: now + 1]))]
    assert _tails(count, now, mean, correlation) == pytest.approx(exact, rel=1e-8)


def test_tails_of_many_users_are_those_of_scipy():
    count, mean, correlation = 300_000, 0.2, 1e-4
    law = stats.betabinom(count, mean * (1 / correlation - 1), (1 - mean) * (1 / correlation - 1))
    for now in (58_000, 60_000, 62_500):
        expected = [law.sf(now - 1), law.cdf(now)]
        assert _tails(count, now, mean, correlation) == pytest.approx(expected, rel=1e-6)
    assert _tails(count, 62_500, mean, 0.0) == pytest.approx([stats.binom.sf(62_499, count, mean), 1.0], rel=1e-6)
