"""Four groups of users: lines, shares and money by hand, the sample, what is refused and how."""

import json

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.metrics.user_states import QUADRANTS
from workbench.stats.intervals import wilson
from workbench.user.quadrants import QuadrantRules, own_columns, read_quadrants
from workbench.user.strategy import QUADRANTS_FILE, load_strategies

WEEKLY = {"window_days": 7, "period_days": 7, "min_users": 1}


def read(shop, start_date=None, end_date=None, timezone="UTC", lang="en", **rules):
    return read_quadrants(shop, shop.period(start_date, end_date, timezone), QuadrantRules(**rules), lang)


def shop_of(folder, **tables):
    return open_shop(write_shop(folder / "shop", **tables))


def events_of(*rows):
    return frame("user_id event_at event", *[(user, f"2026-03-{day:02d} 08:00", "view_item") for user, day in rows])


@pytest.fixture(scope="module")
def two_weeks(tmp_path_factory):
    """Two weeks from 1 March 2026, windows of 7 days; the data end on the 14th.

    first week: a 3 days and 30 of money, b 2 days, c 1 day and 10, d 1 day; second: a 1 day, b 3 days and 50, d 1 day, e 2 days
    """
    days = {"a": [1, 2, 3, 8], "b": [1, 2, 8, 9, 10], "c": [4], "d": [5, 14], "e": [12, 13]}
    orders = [("a", 3, 30.0), ("c", 4, 10.0), ("b", 10, 50.0)]
    return shop_of(
        tmp_path_factory.mktemp("quadrants"),
        events=events_of(*[(user, day) for user, every in days.items() for day in every]),
        orders=frame(
            "order_id user_id submitted_at paid_at gross_amount",
            *[(i, user, *[f"2026-03-{day:02d} 09:00"] * 2, amount) for i, (user, day, amount) in enumerate(orders)],
        ),
        users=frame(
            "user_id first_seen_at points",
            *[(one, "2026-02-01", float(i)) for i, one in enumerate("abcd")],
            ("e", "2026-03-12", np.nan),
        ),
    )


def test_tables_by_hand(two_weeks):
    """Medians of the first week: days 3, 2, 1, 1 give 1.5; money 30, 10, 0, 0 gives 5."""
    found = read(two_weeks, **WEEKLY)
    assert (found.x.threshold, found.y.threshold) == (1.5, 5.0)
    table = found.quadrants.set_index(["period_index", "quadrant"])
    columns = ["user_count", "order_count", "paid_amount", "x_mean"]
    assert {key: tuple(row) for key, row in zip(table.index, table[columns].to_numpy()) if row[0]} == {
        (0, "high_high"): (1, 1, 30.0, 3.0),
        (0, "high_low"): (1, 0, 0.0, 2.0),
        (0, "low_high"): (1, 1, 10.0, 1.0),
        (0, "low_low"): (1, 0, 0.0, 1.0),
        (1, "high_high"): (1, 1, 50.0, 3.0),
        (1, "high_low"): (1, 0, 0.0, 2.0),
        (1, "low_low"): (2, 0, 0.0, 1.0),
    }
    assert table.loc[(1, "low_low"), ["user_count_change", "paid_amount_change", "user_share"]].tolist() == [1, 0, 0.5]
    assert table.loc[(1, "low_high"), ["stopped_count", "stopped_share"]].tolist() == [1, 1.0]
    assert table.loc[(0, "high_high"), "amount_share"] == 0.75
    assert table.loc[(0, "high_high"), ["start_date", "end_date"]].tolist() == ["2026-03-01", "2026-03-08"]
    interval = wilson(2, 4)
    assert table.loc[(1, "low_low"), "user_share_ci_lower"] == pytest.approx(interval.lower.item())
    assert table["amount_share_ci_lower"].isna().all()  # one buyer carries all
    members = two_weeks.collect(found.members).set_index("user_id")["quadrant"].to_dict()
    assert members == {"a": "low_low", "b": "high_high", "d": "low_low", "e": "high_low"}


@pytest.mark.parametrize(
    ("threshold", "lines"),
    [
        ("mean", (1.75, 10.0)),
        (0.75, (2.25, 15.0)),
        ({"x": 2, "y": 20}, (2.0, 20.0)),
        ({"x": "median", "y": 9.5}, (1.5, 9.5)),
    ],
)
def test_lines_by_hand(two_weeks, threshold, lines):
    found = read(two_weeks, threshold=threshold, **WEEKLY)
    assert (found.x.threshold, found.y.threshold) == lines


def test_lines_of_another_reference_hold_for_all_periods(two_weeks):
    """Second week: days 1, 3, 1, 2; money 0, 50, 0, 0."""
    found = read(two_weeks, reference_end="2026-03-15", threshold="mean", **WEEKLY)
    assert found.reference == 1
    assert found.quadrants[["x_threshold", "y_threshold"]].drop_duplicates().to_numpy().tolist() == [[1.75, 12.5]]


def test_only_buyers_are_in_if_users_without_orders_are_not(two_weeks):
    found = read(two_weeks, include_users_without_orders=False, threshold={"x": 2, "y": 20}, **WEEKLY)
    table = found.quadrants.set_index(["period_index", "quadrant"])["user_count"]
    assert table[table > 0].to_dict() == {(0, "high_high"): 1, (0, "low_low"): 1, (1, "high_high"): 1}
    moves = found.migration.set_index(["from_group", "to_group"])["user_count"]
    assert moves[moves > 0].to_dict() == {
        ("high_high", "gone"): 1,
        ("low_low", "gone"): 1,
        ("returned", "high_high"): 1,
    }


def test_a_column_of_users_can_be_an_axis(two_weeks):
    """Points 0 to 3 of a to d; e has none and is left out, and counted where it would be in the reference."""
    assert own_columns(two_weeks) == ["points"]
    found = read(two_weeks, x_metric="points", threshold={"x": 1, "y": 5}, **WEEKLY)
    members = two_weeks.collect(found.members).set_index("user_id")["quadrant"].to_dict()
    assert members == {"a": "low_low", "b": "low_high", "d": "high_low"}
    late = read(two_weeks, x_metric="points", threshold={"x": 1, "y": 5}, reference_end="2026-03-15", **WEEKLY)
    assert (found.unknown_count, late.unknown_count) == (0, 1)


def test_a_column_of_a_csv_file_is_read_as_numbers(tmp_path):
    tables = {
        "events": events_of(("a", 1), ("a", 2), ("b", 7)),
        "users": frame("user_id first_seen_at points", ("a", "2026-03-01", 3.5), ("b", "2026-03-01", 10.0)),
    }
    tables = {
        name: table.assign(**{one: table[one].astype(str) for one in table.columns if one.endswith("_at")})
        for name, table in tables.items()
    }
    shop = open_shop(write_shop(tmp_path / "csv", csv=True, **tables))
    rules = {"x_metric": "points", "y_metric": "visit_days", "threshold": {"x": 4, "y": 1}}
    found = read(shop, **rules, **WEEKLY)
    assert shop.collect(found.members).set_index("user_id")["quadrant"].to_dict() == {"a": "low_high", "b": "high_low"}


def test_one_period_has_quadrants_and_no_migration(two_weeks):
    found = read(two_weeks, end_date="2026-03-08", **WEEKLY)
    assert len(found.quadrants) == 4
    assert found.migration.empty
    assert found.migration_alerts.empty
    assert {"period_index", "from_group", "to_group", "start_date", "end_date"} <= set(found.migration.columns)
    assert found.quadrants["user_count_change"].isna().all()


def test_periods_before_the_report_are_history(two_weeks):
    found = read(two_weeks, start_date="2026-03-08", **WEEKLY)
    assert (len(found.periods), found.first_in_report, found.reference) == (2, 1, 1)
    assert found.quadrants["period_index"].unique().tolist() == [1]
    assert found.migration["from_user_count"].sum() > 0


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"x_metric": "visitdays"}, ParameterError, 'did you mean "visit_days"'),
        ({"x_metric": "point"}, ParameterError, 'did you mean "points"'),
        ({"y_metric": "categories_bought"}, ParameterError, "needs order_lines with a category"),
        ({"x_metric": "orders", "y_metric": "orders"}, ParameterError, "two different metrics"),
        ({"threshold": "medium"}, ParameterError, 'did you mean "median"'),
        ({"threshold": 1}, ParameterError, "strictly between 0 and 1"),
        ({"threshold": {"x": 1}}, ParameterError, "does not name x and y"),
        ({"threshold": {"x": 1, "y": "lots"}}, ParameterError, "'lots' for y is no number"),
        ({"threshold": {"x": 100, "y": 1000}}, ParameterError, "visit_days from 1 to 3 with the line at 100"),
        ({"hysteresis": 1.0}, ParameterError, "from 0 to below 1"),
        ({"min_users": 0}, ParameterError, "whole number of users from 1 on"),
        ({"false_alarms_per_month": 0}, ParameterError, "above 0 alarms a month"),
        ({"window_days": 5}, ParameterError, "shorter than period_days 7"),
        ({"window_days": 90}, ParameterError, "longer than the data up to the end of the report: 14 days"),
        ({"start_date": "2026-03-12"}, ParameterError, "longer than the report: 3 days"),
        ({"reference_end": "2026-03-13"}, ParameterError, "nearest end is 2026-03-15"),
        ({"reference_end": "soon"}, ParameterError, "is not a day"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(two_weeks, asked, error, words):
    with pytest.raises(error, match=words):
        read(two_weeks, **WEEKLY | asked)


def test_a_constant_metric_is_refused(tmp_path):
    shop = shop_of(tmp_path, events=events_of(("a", 1), ("b", 2), ("a", 7), ("b", 7)))
    with pytest.raises(ParameterError, match=r"x_metric visit_days: all 2 users .* have 2; no line divides them"):
        read(shop, y_metric="days_since_last_visit", **WEEKLY)


def test_metrics_that_the_source_cannot_give_are_refused_with_those_it_can(tmp_path):
    shop = shop_of(tmp_path, events=events_of(("a", 1), ("b", 2), ("b", 7)))
    with pytest.raises(
        ParameterError, match=r"needs orders with amounts; shop has none\. Allowed here: visit_days, sess"
    ):
        read(shop, **WEEKLY)
    (tmp_path / "shop" / "mapping.yml").write_text("user_ids: per_event")
    with pytest.raises(TableError, match="cannot tell users apart"):
        read(open_shop(tmp_path / "shop"), **WEEKLY)


def test_one_side_empty_is_allowed_and_said(two_weeks):
    found = read(two_weeks, threshold={"x": 100, "y": 5}, **WEEKLY)
    assert found.one_sided == ("x",)


def test_without_money_amounts_are_empty(tmp_path):
    shop = shop_of(tmp_path, events=events_of(("a", 1), ("a", 6), ("b", 2), ("b", 7), ("c", 3), ("c", 8)))
    found = read(shop, y_metric="days_since_last_visit", threshold={"x": 1, "y": 2}, **WEEKLY)
    assert found.quadrants[["paid_amount", "amount_share", "paid_amount_per_user"]].isna().all(axis=None)
    assert shop.collect(found.members)["paid_amount"].isna().all()


def test_the_sample_adds_up(sample):
    """Shares sum to 1, and the money is that of the orders paid in the window."""
    found = read(sample, timezone="Asia/Shanghai")
    table = found.quadrants
    assert len(found.periods) == 2
    sums = table.groupby("period_index")[["user_share", "amount_share"]].sum()
    assert sums.to_numpy() == pytest.approx(np.ones((2, 2)))
    orders = sample.collect(sample.orders.select("user_id", "paid_at", "paid_amount")).dropna(subset="paid_at")
    local = pd.to_datetime(orders["paid_at"], utc=True).dt.tz_convert("Asia/Shanghai").dt.tz_localize(None)
    for k, end in enumerate(["2026-06-01", "2026-06-29"]):
        last = pd.Timestamp(end)
        inside = orders[(local >= last - pd.Timedelta(days=90)) & (local < last)]
        mine = table[table["period_index"] == k]
        assert mine["order_count"].sum() == len(inside)
        assert mine["paid_amount"].sum() == pytest.approx(inside["paid_amount"].sum(), abs=0.05)
    filled = table["quadrant"].isin(["high_high", "low_high"])  # the line of money is at 0
    assert table.loc[filled, "amount_share_ci_lower"].notna().all()
    members = sample.collect(found.members)
    last = table[table["period_index"] == 1].set_index("quadrant")["user_count"]
    assert members["quadrant"].value_counts().to_dict() == last.to_dict()
    assert members["user_id"].is_unique


@pytest.mark.engine
def test_the_same_tables_on_clickhouse(small_folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    asked = {"window_days": 56, "period_days": 28, "threshold": "mean", "timezone": "Asia/Shanghai"}
    duckdb, clickhouse = (read(open_shop(source), **asked) for source in (small_folder, f"chdb://{small_folder}"))
    assert len(duckdb.quadrants) == 12
    for name in ("quadrants", "migration", "migration_alerts"):
        pd.testing.assert_frame_equal(getattr(duckdb, name), getattr(clickhouse, name), rtol=1e-9, atol=1e-9)


def test_names_and_advice_in_both_languages():
    words = load_strategies()
    for lang in ("en", "zh"):
        for quadrant in QUADRANTS:
            assert words.name("visit_days", "paid_amount", quadrant, lang)
            assert words.strategy("visit_days", "paid_amount", quadrant, lang) != words.other.of(lang)
    assert words.name("orders", "points_of_2025", "low_high", "zh") == "低订单数、高points of 2025"
    assert words.strategy("orders", "points", "low_high", "en") == words.other.en


def test_a_file_of_words_with_faults_is_refused_whole(tmp_path):
    text = QUADRANTS_FILE.read_text(encoding="utf-8").replace("strategy:", "stratgy:", 1).replace("other:", "others:")
    (tmp_path / "words.yml").write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError) as error:
        load_strategies(tmp_path / "words.yml")
    for part in ("words.yml", "high_high.strategy: is missing", 'did you mean "strategy"', 'did you mean "other"'):
        assert part in str(error.value)
    assert json.dumps(str(error.value))  # one line of text
