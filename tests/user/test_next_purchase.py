"""Once, twice and more buyers, and when they are due: by hand, against statsmodels, and with known gaps."""

import numpy as np
import pandas as pd
import pytest
from shops import at, frame, write_shop
from statsmodels.duration.survfunc import SurvfuncRight

from workbench import open_shop
from workbench.errors import ParameterError
from workbench.metrics.orders import first_payments, paid_orders
from workbench.metrics.repurchase import next_payments, repurchase_counts
from workbench.period import DAY_MS
from workbench.user.next_purchase import ALL, GROUPS, PHASES, read_buyers, read_next_purchase, read_purchases

SHANGHAI = "Asia/Shanghai"


def open_orders(folder, *rows):
    orders = [(number, user, moment, moment, amount) for number, (user, moment, amount) in enumerate(rows)]
    table = frame("order_id user_id submitted_at paid_at gross_amount", *orders)
    return open_shop(write_shop(folder, orders=table))


def test_buyers_by_hand(tmp_path):
    """UTC, data to 31 March. a once (two orders of one day); b twice, after 10 days; c three times, after 5 and 20 days."""
    shop = open_orders(
        tmp_path / "shop",
        ("a", "2026-03-01 08:00", 10.0),
        ("a", "2026-03-01 20:00", 10.0),
        ("b", "2026-03-02 08:00", 30.0),
        ("b", "2026-03-12 08:00", 30.0),
        ("c", "2026-03-06 08:00", 5.0),
        ("c", "2026-03-11 08:00", 5.0),
        ("c", "2026-03-31 08:00", 10.0),
    )
    period = shop.period(None, None, "UTC")
    found = read_purchases(shop, period, [7, 25])
    table = read_buyers(shop, period, found, min_users=1).set_index("buyer_group")
    assert table.index.tolist() == [*GROUPS, ALL]
    assert table["user_count"].tolist() == [1, 1, 1, 3]
    assert table["order_count"].tolist() == [2, 2, 3, 7]
    assert table["paid_amount"].tolist() == [20, 60, 20, 100]
    assert table["amount_share"].tolist() == pytest.approx([0.2, 0.6, 0.2, 1])
    assert table["amount_share_ci_lower"].isna().all()  # three buyers carry it
    # after a first purchase: c within 7 days, c and b within 25
    assert table.loc["once", ["repurchase_rate_7", "repurchase_rate_25"]].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert table.loc["once", "repurchase_rate_25_eligible_count"] == 3
    # after a second: c after 20 days, b watched for 19 days of 24 hours; only c's 7 days and nobody's 25 are over
    assert table.loc["twice", "repurchase_rate_7"] == 0
    assert table.loc["twice", "repurchase_rate_7_eligible_count"] == 2
    assert np.isnan(table.loc["twice", "repurchase_rate_25"])
    assert table.loc["more", "repurchase_rate_7_eligible_count"] == 0
    # Kaplan-Meier: on day 5 one of three, on day 10 one of two
    assert table.loc["once", "next_purchase_rate_7"] == pytest.approx(1 / 3)
    assert table.loc["once", "next_purchase_rate_25"] == pytest.approx(2 / 3)
    assert np.isnan(table.loc["twice", "next_purchase_rate_25"])


def random_orders(seed, users=400, days=150, timezone="UTC"):
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        moment = float(rng.uniform(0, days))
        speed = rng.choice([10.0, 60.0])
        while moment < days:
            rows.append((f"u{user}", at("2026-01-01") + pd.Timedelta(minutes=round(moment * 1440)), 10.0))
            moment += float(rng.exponential(speed)) + rng.choice([0.0, 0.02])
    return rows


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    rows = random_orders(3)
    return open_orders(tmp_path_factory.mktemp("orders") / "shop", *rows)


@pytest.fixture(scope="module")
def spells(shop):
    """Every purchase by a loop: number, whole days to the next, whole days watched."""
    period = shop.period(None, None, SHANGHAI)
    orders = shop.collect(shop.orders).sort_values("paid_ms")
    rows = []
    for user, own in orders.groupby("user_id"):
        kept = []
        for moment in own["paid_ms"]:
            day = (moment + 8 * 3_600_000) // DAY_MS
            if not kept or day > kept[-1][1]:
                kept.append((moment, day))
        for number, (moment, _) in enumerate(kept):
            after = (kept[number + 1][0] - moment) / DAY_MS if number + 1 < len(kept) else np.inf
            rows.append((user, number + 1, after, (period.data_end_ms - moment) / DAY_MS))
    return pd.DataFrame(rows, columns=["user_id", "number", "after", "watched"])


def of(spells, group):
    if group == ALL:
        return spells
    number = GROUPS.index(group) + 1
    return spells[spells["number"] >= number] if number == 3 else spells[spells["number"] == number]


def test_rates_equal_a_loop_and_statsmodels(shop, spells):
    period = shop.period(None, None, SHANGHAI)
    table = read_buyers(shop, period, read_purchases(shop, period), min_users=1).set_index("buyer_group")
    for group in (*GROUPS, ALL):
        own = of(spells, group)
        back = np.floor(own["after"].clip(upper=1e6)) < np.floor(own["watched"])
        times = np.where(back, np.floor(own["after"].clip(upper=1e6)) + 0.5, np.floor(own["watched"]))
        other = SurvfuncRight(times, back.astype(int))
        for window in (30, 60, 90):
            row = table.loc[group]
            place = np.searchsorted(other.surv_times, window) - 1
            survival, error = other.surv_prob[place], other.surv_prob_se[place]
            assert row[f"next_purchase_rate_{window}"] == pytest.approx(1 - survival, abs=1e-12)
            if group in GROUPS[:2]:  # one row per user: Greenwood's, on the scale log(-log)
                half = 1.959963984540054 * error / (survival * abs(np.log(survival)))
                assert row[f"next_purchase_rate_{window}_ci_lower"] == pytest.approx(1 - survival ** np.exp(-half))
                assert row[f"next_purchase_rate_{window}_ci_upper"] == pytest.approx(1 - survival ** np.exp(half))
            else:
                width = row[f"next_purchase_rate_{window}_ci_upper"] - row[f"next_purchase_rate_{window}_ci_lower"]
                assert 0.7 < width / (2 * 1.96 * error) < 2
            elapsed = own[own["watched"] >= window]
            assert row[f"repurchase_rate_{window}_eligible_count"] == len(elapsed)
            assert row[f"repurchase_rate_{window}"] == pytest.approx((elapsed["after"] < window).mean())


def test_once_buyers_are_those_of_the_channel_comparison(shop):
    """The same rule: another paid order on a later local day, over buyers whose days have elapsed."""
    period = shop.period(None, None, SHANGHAI)
    paid = paid_orders(shop.orders)
    first = first_payments(paid)
    origins = first.select("user_id", origin_ms=first.first_paid_ms, one=first.user_id.length() * 0)
    other = shop.collect(repurchase_counts(next_payments(origins, paid, period, ["one"]), period, [30], ["one"])).iloc[
        0
    ]
    table = read_buyers(shop, period, read_purchases(shop, period)).set_index("buyer_group")
    assert table.loc["once", "repurchase_rate_30_eligible_count"] == other["eligible_30"]
    assert table.loc["once", "repurchase_rate_30"] == pytest.approx(other["repurchased_30"] / other["eligible_30"])


def test_days_of_the_next_purchase_equal_a_loop(shop, spells):
    period = shop.period(None, None, SHANGHAI)
    found = read_next_purchase(shop, period, read_purchases(shop, period), horizon_days=40)
    table = found.next_purchase.set_index("buyer_group")
    last = spells.groupby("user_id").agg(number=("number", "max"), since=("watched", "min"))
    totals, calls = np.zeros(len(PHASES)), np.zeros(2)
    called = ["contact_expected_returns", "overdue_expected_returns"]
    for group in (*GROUPS, ALL):
        own, row = of(spells, group), table.loc[group]
        back = np.floor(own["after"].clip(upper=1e6)) < np.floor(own["watched"])
        times = np.where(back, np.floor(own["after"].clip(upper=1e6)) + 0.5, np.floor(own["watched"]))
        other = SurvfuncRight(times, back.astype(int))
        inside = other.surv_times < 40
        gone = 1 - other.surv_prob[inside]
        quartiles = [int(np.ceil(other.surv_times[inside][np.argmax(gone >= q * gone[-1])])) for q in (0.25, 0.5, 0.75)]
        assert row[["lower_quartile_day", "median_day", "upper_quartile_day"]].tolist() == quartiles
        assert row["return_share"] == pytest.approx(gone[-1])
        assert row["median_ci_lower"] <= row["median_day"] <= row["median_ci_upper"]
        assert (row["origin_count"], row["horizon_days"]) == (len(own), 40)
        start, end = quartiles[0], max(quartiles[1], quartiles[0] + 1)
        assert (row["contact_from_day"], row["contact_until_day"]) == (start, end)
        if group != ALL:
            number = GROUPS.index(group) + 1
            since = last.loc[last["number"] >= 3 if number == 3 else last["number"] == number, "since"]
            counts = np.histogram(np.floor(since), [0, start, end, 40, 1e6])[0]
            assert row[[f"{one}_count" for one in PHASES]].tolist() == counts.tolist()
            assert row["user_count"] == len(since)
            totals += counts
            expected = np.zeros(2)
            for days in np.floor(since[(since >= start) & (since < 40)]):
                come = 1 - np.append(other.surv_prob, np.nan)[np.searchsorted(other.surv_times, [days, 40]) - 1]
                expected[int(days >= end)] += (come[1] - come[0]) / (1 - come[0])
            assert row[called].tolist() == pytest.approx(expected.tolist())
            calls += expected
    assert table.loc[ALL, [f"{one}_count" for one in PHASES]].tolist() == totals.tolist()
    assert table.loc[ALL, "user_count"] == len(last)
    assert table.loc[ALL, called].tolist() == pytest.approx(calls.tolist())


def test_who_is_due_by_quadrant(shop):
    period = shop.period(None, None, SHANGHAI)
    users = shop.orders.select("user_id", "user_bucket").distinct()
    members = users.mutate(quadrant=(users.user_bucket < 100).ifelse("high_high", "low_high"))
    members = members.filter(members.user_bucket < 200)
    bought = read_purchases(shop, period)
    found = read_next_purchase(shop, period, bought, members=members)
    counts = found.contacts
    assert counts[["quadrant", "buyer_group"]].to_numpy().tolist() == [
        [quadrant, group] for quadrant in ("high_high", "low_high") for group in (*GROUPS, ALL)
    ]
    whole = counts["buyer_group"] == ALL
    assert counts.loc[whole, "user_count"].sum() == len(shop.collect(members))
    for name in ("contact_expected_returns", "overdue_expected_returns"):
        parts, sums = counts[~whole].groupby("quadrant")[name].sum(), counts.loc[whole, name]
        assert parts.tolist() == pytest.approx(sums.tolist())
        assert 0 < sums.sum() < found.next_purchase.set_index("buyer_group").loc[ALL, name]
    assert (
        counts[~whole].groupby("quadrant")["contact_count"].sum().tolist()
        == counts.loc[whole, "contact_count"].tolist()
    )
    assert (counts[[f"{one}_count" for one in PHASES]].sum(axis=1) == counts["user_count"]).all()
    everyone = read_next_purchase(shop, period, bought)
    assert everyone.contacts.empty
    pd.testing.assert_frame_equal(everyone.next_purchase, found.next_purchase)


def test_known_gaps_are_found(tmp_path):
    """All buy again after 10, 20 or 30 days, a third each: quartiles 11, 21 and 31 (a day of 24 hours that has begun)."""
    rng = np.random.default_rng(4)
    rows = []
    for user in range(300):
        day = int(rng.integers(0, 60))
        for _ in range(3):
            rows.append((f"u{user}", at("2026-01-01 08:00") + pd.Timedelta(days=day), 10.0))
            day += int(rng.choice([10, 20, 30]))
    shop = open_orders(tmp_path / "shop", *rows, ("z", at("2026-06-30 08:00"), 1.0))
    period = shop.period(None, None, "UTC")
    table = read_next_purchase(shop, period, read_purchases(shop, period)).next_purchase.set_index("buyer_group")
    once = table.loc["once"]
    assert once[["lower_quartile_day", "median_day", "upper_quartile_day"]].tolist() == [11, 21, 31]
    assert once[["contact_from_day", "contact_until_day"]].tolist() == [11, 21]
    assert (once["return_share"], once["horizon_days"]) == (1, 31)  # after 31 days nobody is left to wait for
    # nobody buys a fourth time: no days of their own, so that they are judged by those of all
    more = table.loc["more"]
    assert more["reason"] == "few_returns"
    assert np.isnan(more["median_day"])
    assert more["lapsed_count"] + more["overdue_count"] == 300


def test_too_few_say_nothing(tmp_path):
    shop = open_orders(tmp_path / "shop", ("a", "2026-03-01 08:00", 10.0), ("b", "2026-03-20 08:00", 10.0))
    period = shop.period(None, None, "UTC")
    bought = read_purchases(shop, period)
    table = read_next_purchase(shop, period, bought).next_purchase
    assert table["reason"].tolist() == ["few_users"] * 4
    assert table["user_count"].tolist() == [2, 0, 0, 2]
    assert table["contact_count"].isna()[[0, 3]].all()
    assert table[["contact_expected_returns", "overdue_expected_returns"]].isna().loc[[0, 3]].all(axis=None)
    assert table["return_share"].isna().all()
    buyers = read_buyers(shop, period, bought)
    assert buyers["next_purchase_rate_30"].isna().all()
    with pytest.raises(ParameterError, match="horizon_days: 0"):
        read_next_purchase(shop, period, bought, horizon_days=0)


def test_no_paid_order_at_all(tmp_path):
    orders = frame("order_id user_id submitted_at paid_at gross_amount", (1, "a", "2026-03-01 08:00", None, 5.0))
    orders["paid_at"] = pd.to_datetime(orders["paid_at"], utc=True)
    shop = open_shop(write_shop(tmp_path / "shop", orders=orders))
    period = shop.period(None, None, "UTC")
    bought = read_purchases(shop, period)
    assert read_buyers(shop, period, bought)["user_count"].tolist() == [0, 0, 0, 0]
    assert read_next_purchase(shop, period, bought).next_purchase["user_count"].tolist() == [0, 0, 0, 0]


@pytest.mark.engine
def test_the_same_on_clickhouse(shop):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    tables = []
    for one in (shop, open_shop(f"chdb://{shop.folder}")):
        period = one.period(None, None, SHANGHAI)
        users = one.orders.select("user_id", "user_bucket").distinct()
        members = users.mutate(quadrant=(users.user_bucket < 100).ifelse("high_high", "low_high"))
        bought = read_purchases(one, period)
        found = read_next_purchase(one, period, bought, members=members)
        tables.append((read_buyers(one, period, bought), found.next_purchase, found.contacts))
    for one, other in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-9)
