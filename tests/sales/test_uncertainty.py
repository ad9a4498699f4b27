"""Intervals that hold what they promise, and alerts that find what fell and stay silent otherwise."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from workbench.analysis import Watch
from workbench.sales.alerts import find_alerts
from workbench.sales.contribution import sales_contribution
from workbench.sales.figures import BUCKETS, GROSS, MEASURES, NET, Known, Sums, bounds, figures, left_out
from workbench.sales.findings import driver, driving_segment
from workbench.sales.headline import sales_headline
from workbench.sales.kpis import sales_kpis
from workbench.sales.spans import Span, Spans, Targets
from workbench.sales.watch import sales_watch

EVERYTHING = Known(visitors=True, people=True, money=True)
END = date(2026, 6, 1)
DIAL = {"false_alarms_per_month": 1.0, "annotated": frozenset(), "minimum": 0.0, "lang": "en"}


def span(days):
    return Span(END - timedelta(days=days), END, 0, 0)


def sums(visitors, buyers, amounts):
    """Sums by measure of arrays by day and segment; one order a buyer."""
    found = np.zeros((*visitors.shape, len(MEASURES)))
    found[..., 0], found[..., 1], found[..., 2] = visitors, buyers, buyers
    found[..., GROSS] = found[..., NET] = amounts
    return found


def blocks(daily):
    """Frames of days and weeks, as collected, of sums by day, segment and measure, the last day before ``END``."""
    frames = {}
    for size in (1, 7):
        whole = daily[len(daily) % size :].reshape(-1, size, *daily.shape[1:]).sum(axis=1)
        rows = [
            {"first": END - timedelta(days=size * (len(whole) - number)), "segment": f"s{segment}"}
            | dict(zip(MEASURES, one, strict=True))
            for number, block in enumerate(whole)
            for segment, one in enumerate(block)
        ]
        frames[size] = pd.DataFrame(rows)
    return frames


def quiet_shop(rng, days=280, segments=3):
    """Days that move by 14 % more than counts do, alike and on their own; weekends are stronger."""
    week = np.array([1.0, 0.95, 0.9, 0.95, 1.0, 1.2, 1.25])[np.arange(days) % 7][:, None]
    shared, own = rng.normal(0, 0.1, (days, 1)), rng.normal(0, 0.1, (days, segments))
    visitors = rng.poisson(800 / segments * week * np.exp(shared + own))
    buyers = rng.binomial(visitors, 0.06 * np.exp(np.minimum(rng.normal(0, 0.1, (days, 1)), 0.5)))
    return sums(visitors, buyers, rng.gamma(2.0 * np.maximum(buyers, 1e-9), 50.0))


@pytest.fixture(scope="module")
def fallen():
    """Conversion of the last week falls to a half, in segment s1 to a tenth."""
    daily = quiet_shop(np.random.default_rng(3))
    lost = np.array([0.5, 0.1, 0.5])
    daily[-7:, :, 1:] = np.round(daily[-7:, :, 1:] * lost[:, None])
    return daily


class TestAlerts:
    def test_a_fall_is_found_and_ranked_by_money(self, fallen):
        table = find_alerts(blocks(fallen), span(7), EVERYTHING, **DIAL).table
        weeks = table[(table["grain"] == "week") & table["segment"].isna()].set_index("metric")
        net, conversion = weeks.loc["net_amount"], weeks.loc["conversion_rate"]
        assert net[["driving_factor", "driving_segment"]].tolist() == ["conversion_rate", "s1"]
        assert net["value"] == pytest.approx(fallen[-7:, :, NET].sum())
        assert net["amount"] == pytest.approx(net["value"] - net["expected_value"])
        assert conversion["amount"] == pytest.approx(conversion["relative_change"] * net["expected_value"])
        assert set(table.head(2)["metric"]) == {"net_amount", "conversion_rate"}
        assert table["amount"].abs().is_monotonic_decreasing
        assert table["rank"].tolist() == list(range(1, len(table) + 1))

    def test_a_minimum_of_money_leaves_the_small_ones_out(self, fallen):
        every = find_alerts(blocks(fallen), span(7), EVERYTHING, **DIAL).table["amount"].abs()
        least = every.median()
        found = find_alerts(blocks(fallen), span(7), EVERYTHING, **DIAL | {"minimum": least})
        assert found.table["amount"].abs().tolist() == every[every >= least].tolist()
        assert found.minimum == least

    def test_days_with_a_reason_are_passed_over(self, fallen):
        known = frozenset(END - timedelta(days=one) for one in range(1, 8))
        assert find_alerts(blocks(fallen), span(7), EVERYTHING, **DIAL | {"annotated": known}).table.empty

    def test_silent_under_eight_weeks(self, fallen):
        found = find_alerts(blocks(fallen[-55:]), span(7), EVERYTHING, **DIAL)
        assert found.table.empty
        assert found.silent == ("week", "day")

    def test_only_days_of_the_period_are_alerts_and_the_history_is_shown(self, fallen):
        found = find_alerts(blocks(fallen), span(2), EVERYTHING, **DIAL)
        assert set(found.table["grain"]) <= {"day"}
        assert all(one >= "2026-05-30" for one in found.table["start_date"])
        assert found.history["is_in_period"].sum() == 2
        assert found.history["net_amount"].iloc[-7:].tolist() == pytest.approx(fallen[-7:, :, NET].sum(axis=1))

    def test_without_money_nothing_is_watched(self, fallen):
        blind = Known(visitors=True, people=True, money=False)
        assert find_alerts(blocks(fallen), span(7), blind, **DIAL).table.empty

    @pytest.mark.slow
    def test_quiet_shops_give_no_more_than_the_dial_and_falls_are_found(self):
        """200 shops watched for twelve weeks after 28: alerts a month, less 3.09 standard errors, are at most one."""
        rng = np.random.default_rng(11)
        months = 84 / (365.25 / 12)
        per_month, seen = [], []
        for _ in range(200):
            daily = quiet_shop(rng)
            per_month.append(len(find_alerts(blocks(daily), span(84), EVERYTHING, **DIAL).table) / months)
            daily[-7:, :, 1:] = np.round(daily[-7:, :, 1:] * 0.65)
            seen.append(len(find_alerts(blocks(daily), span(7), EVERYTHING, **DIAL).table) > 0)
        mean, error = np.mean(per_month), np.std(per_month, ddof=1) / np.sqrt(200)
        assert mean - 3.09 * error <= 1.0, (mean, error)
        assert np.mean(seen) >= 0.8, np.mean(seen)


def shop_sums(rng, rate=0.2):
    """Sums by bucket of some 3,000 users who come (half of them), buy once or twice, and pay a gamma amount."""
    users = rng.poisson(3_000)
    bucket = rng.integers(0, BUCKETS, users)
    comes = rng.random(users) < 0.5
    orders = comes * (rng.random(users) < rate) * (1 + (rng.random(users) < 0.2))
    amounts = np.where(orders > 0, rng.gamma(2.0 * np.maximum(orders, 1), 50.0), 0.0)
    cube = np.zeros((BUCKETS, len(MEASURES)))
    for place, values in ((0, comes), (1, orders > 0), (2, orders), (GROSS, amounts), (NET, amounts)):
        np.add.at(cube[:, place], bucket, values)
    return cube


def difference(now, before):
    new, old = figures(now), figures(before)
    names = ("net_amount", "visitor_count", "conversion_rate", "gross_per_order")
    return np.stack([new[name] - old[name] for name in names], axis=-1)


class TestBounds:
    def test_the_change_of_a_total_has_the_plain_variance_of_its_buckets(self):
        rng = np.random.default_rng(2)
        now, before = shop_sums(rng), shop_sums(rng)
        low, high = bounds(now, before, difference, 0.95)
        moved = now[:, NET] - before[:, NET]
        half = 1.9693 * np.sqrt(BUCKETS) * moved.std(ddof=1)  # Student's t on 255 degrees
        assert high[0] - moved.sum() == pytest.approx(half, rel=1e-4)
        assert low[0] + high[0] == pytest.approx(2 * moved.sum())

    def test_a_bucket_left_out_leaves_no_cents_of_nobody(self):
        cube = np.zeros((BUCKETS, len(MEASURES)))
        cube[3] = [1, 1, 1, 0.3, 0.1, 0, 0, 0.2]
        assert (left_out(cube)[3] == 0).all()

    @pytest.mark.slow
    def test_intervals_of_the_change_hold_the_truth(self):
        """2,000 pairs of spans with nothing changed: each of four figures holds 0 in 93.4 to 96.6 %."""
        rng = np.random.default_rng(5)
        held = np.zeros(4)
        for _ in range(2_000):
            low, high = bounds(shop_sums(rng), shop_sums(rng), difference, 0.95)
            held += (low <= 0) & (high >= 0)
        assert ((held / 2_000 > 0.934) & (held / 2_000 < 0.966)).all(), held / 2_000


CHANNELS = ("s0", "s1", "s2", "s3")


def span_of_users(rng, factor=(1.0, 1.0, 1.0, 1.0)):
    """Sums of a span of some 6,000 users in four channels of unlike size and conversion, which ``factor`` multiplies.

    64 buckets, a quarter of the engine's, so that 430 pairs of spans take seconds.
    """
    users = rng.poisson(6_000)
    bucket, segment = rng.integers(0, 64, users), rng.choice(4, users, p=[0.4, 0.3, 0.2, 0.1])
    comes = rng.random(users) < 0.5
    rate = np.array([0.1, 0.15, 0.2, 0.12]) * factor
    orders = comes * (rng.random(users) < rate[segment]) * (1 + (rng.random(users) < 0.1))
    gross = np.where(orders > 0, rng.gamma(2.0 * np.maximum(orders, 1), 50.0), 0.0)
    coupons = gross * 0.1 * (rng.random(users) < 0.3)
    refunds = gross * (rng.random(users) < 0.05)
    cube = np.zeros((64, 4, len(MEASURES)))
    values = (comes, orders > 0, orders, gross, coupons, np.zeros(users), refunds, gross - coupons - refunds)
    for place, one in enumerate(values):
        np.add.at(cube[:, :, place], (bucket, segment), one)
    return Sums(CHANNELS, cube, gross.sum() ** 2 / (gross**2).sum(), gross.max() / gross.sum())


def told(now, before):
    """The driving factor, the segment named with it, and the first screen of two spans."""
    week = Span(END - timedelta(days=7), END, 0, 0)
    spans = Spans(week, week, week, None, week.first, week.end, "previous_period")
    nothing = pd.DataFrame(columns=list(MEASURES))
    kpis = sales_kpis(
        spans, {"now": now, "before": before}, {1: nothing, 7: nothing}, None, Targets(None), EVERYTHING, 0.95, "en"
    )
    tables = {
        **{name: pd.DataFrame() for name in ("sales_alerts", "sales_watched", "stock_days", "profit_composition")},
        "sales_kpis": kpis,
        "sales_contribution": sales_contribution(now, before, "channel", EVERYTHING, 0.95, "en"),
    }
    factor = driver(tables)
    return factor, driving_segment(tables, factor), sales_headline(tables, spans, "channel", "en", "a week")


@pytest.mark.slow
def test_quiet_shops_are_told_no_driver_and_an_even_fall_no_segment():
    """200 shops: at most 21 with a driver or an action where nothing changed (99.9 % bound of a 5 % test), at most 21
    with a segment where conversion fell by a fifth in all of them; but where it fell in the second alone, that is told.

    Measured: a driver in 10, a segment in 2 (conversion was the driver in 145); the second channel in 20 of 30.
    """
    rng = np.random.default_rng(8)
    named, segments, drivers = 0, 0, 0
    for _ in range(200):
        before = span_of_users(rng)
        factor, _, screen = told(span_of_users(rng), before)
        named += factor is not None
        assert (len(screen.actions) > 0) == (factor is not None)
        assert ("beyond chance." in screen.verdict) == (factor is None)
        factor, segment, _ = told(span_of_users(rng, factor=(0.8,) * 4), before)
        drivers += factor is not None and factor["factor"] == "conversion_rate"
        segments += segment is not None
    assert named <= 21, named
    assert segments <= 21, segments
    assert drivers >= 130, drivers
    alone = [told(span_of_users(rng, factor=(1.0, 0.4, 1.0, 1.0)), span_of_users(rng))[1] for _ in range(30)]
    seen = [one["segment"] for one in alone if one is not None]
    assert set(seen) == {"s1"}
    assert len(seen) >= 15


def test_an_alert_names_a_segment_only_if_it_moved_beyond_its_share(fallen):
    daily = fallen.copy()
    daily[-7:, :, 1:] = np.round(quiet_shop(np.random.default_rng(3))[-7:, :, 1:] * 0.4)
    table = find_alerts(blocks(daily), span(7), EVERYTHING, **DIAL).table
    alone, together = table[table["segment"].notna()], table[table["segment"].isna()]
    assert len(together)
    assert together["driving_segment"].isna().all()
    assert (alone["driving_segment"] == alone["segment"]).all()


def test_who_watches_is_told_the_alerts_of_the_last_week_as_current(fallen):
    found = find_alerts(blocks(fallen), span(28), EVERYTHING, **DIAL)
    tables = {"sales_alerts": found.table, "sales_watched": found.watched}
    watch = sales_watch(tables, span(28), "en")
    assert watch.rings
    assert watch.is_judged
    assert len(watch.alerts) == len(found.table)
    by_name = {(one.name, one.start_date): one for one in watch.alerts}
    week = by_name["week_net_amount", (END - timedelta(days=7)).isoformat()]
    row = found.table[found.table["rank"] == week.cell.key["rank"]].iloc[0]
    assert (week.value, week.expected_value, week.amount) == (row["value"], row["expected_value"], row["amount"])
    assert week.since_date == week.start_date
    for one in watch.alerts:
        assert one.is_current == (one.end_date > (END - timedelta(days=7)).isoformat())
    later = Span(END, END + timedelta(days=30), 0, 0)
    assert not sales_watch(tables, later, "en").rings
    silent = {"sales_alerts": found.table.head(0), "sales_watched": found.watched.assign(reason="short_history")}
    assert sales_watch(silent, span(28), "en") == Watch((), is_judged=False)


def test_alerts_of_weeks_in_a_row_began_with_the_first(fallen):
    found = find_alerts(blocks(fallen), span(7), EVERYTHING, **DIAL)
    first = found.table[found.table["grain"] == "week"].iloc[0]
    days = [END - timedelta(days=back) for back in (35, 21, 14, 7)]
    rows = [
        {**first, "rank": rank, "start_date": day.isoformat(), "end_date": (day + timedelta(days=7)).isoformat()}
        for rank, day in enumerate(days, 1)
    ]
    watch = sales_watch({"sales_alerts": pd.DataFrame(rows), "sales_watched": found.watched}, span(28), "zh")
    assert [one.since_date for one in watch.alerts] == [days[0].isoformat()] + [days[1].isoformat()] * 3
    assert [one.is_current for one in watch.alerts] == [False, False, False, True]


def test_what_would_have_been_an_alert_is_the_edge_of_one(fallen):
    """A last week at the bound is no alert, and one a little below it is."""
    quiet = quiet_shop(np.random.default_rng(3))
    watched = find_alerts(blocks(quiet), span(7), EVERYTHING, **DIAL).watched.set_index(["grain", "series"])
    week = watched.loc[("week", "net_amount")]
    assert week["least_fall"] == pytest.approx(week["expected_lower"] / week["expected_value"] - 1)
    for factor, seen in ((1.02, 0), (0.98, 1)):
        daily = quiet.copy()
        daily[-7:, :, NET] *= factor * week["expected_lower"] / daily[-7:, :, NET].sum()
        table = find_alerts(blocks(daily), span(7), EVERYTHING, **DIAL).table
        of_weeks = table[(table["grain"] == "week") & (table["metric"] == "net_amount") & table["segment"].isna()]
        assert len(of_weeks) == seen
    assert watched["history_count"].tolist() == [39] * 7 + [279] * 7


def test_targets_of_weeks_and_months_share_their_days():
    targets = Targets(["2026-06=3000", "2026-W24=700", "2026-06-11=150"])
    assert targets.amount(date(2026, 6, 8), date(2026, 6, 15)) == pytest.approx(6 * 100 + 150)  # week 24
    assert targets.amount(date(2026, 6, 1), date(2026, 6, 2)) == pytest.approx(100.0)
    assert np.isnan(targets.amount(date(2026, 6, 30), date(2026, 7, 2)))
