"""Moves between groups: margins equal the quadrants, shares and crossings by hand."""

import numpy as np
import pandas as pd
import pytest

from workbench.metrics.user_states import QUADRANTS, UserPeriods
from workbench.stats.intervals import wilson
from workbench.user.migration import ORIGINS, TARGETS, crossed, migration_table, moves_of
from workbench.user.quadrants import QuadrantRules, read_quadrants

TWO = UserPeriods((20_000, 20_007), period_days=7, window_days=14)


def sums(*rows):
    columns = ["period_index", "origin", "target", "user_count", "stopped_count", "paid_before", "paid_amount"]
    rest = {"stopped_paid_before": 0.0, "order_count": 0, "x_sum": 0.0, "y_sum": 0.0}
    return pd.DataFrame(list(rows), columns=columns).assign(**rest)


def test_table_by_hand():
    moves = moves_of(sums((1, 2, 4, 3, 1, 30.0, 6.0), (1, 2, 0, 7, 7, 20.0, 0.0), (1, 5, 2, 4, 0, 0.0, 9.0)), 2)
    table = migration_table(moves, TWO, 0, str.upper, has_money=True, confidence_level=0.95)
    assert len(table) == len(ORIGINS) * len(TARGETS) - 2  # nobody is new, or returns, and is gone
    cells = table.set_index(["from_group", "to_group"])
    row = cells.loc[("high_low", "low_low")]
    assert row[["user_count", "from_user_count", "row_share", "stopped_count"]].tolist() == [3, 10, 0.3, 1]
    assert row[["paid_amount_before", "paid_amount_after", "crossed", "from_name"]].tolist() == [
        30.0,
        6.0,
        "x",
        "HIGH_LOW",
    ]
    assert row["row_share_ci_upper"] == pytest.approx(wilson(3, 10).upper.item())
    assert cells.loc[("high_low", "gone"), ["user_count", "stopped_count"]].tolist() == [7, 7]
    assert cells.loc[("new", "high_low"), "row_share"] == 1.0
    assert pd.isna(cells.loc[("new", "high_low"), "stopped_count"])
    assert cells.loc["low_high", "row_share"].isna().all()
    assert cells["crossed"].dropna().value_counts().to_dict() == {"x": 4, "y": 4, "both": 4}
    assert row[["start_date", "end_date"]].tolist() == ["2024-10-04", "2024-10-11"]


def test_amounts_are_empty_without_money():
    moves = moves_of(sums((1, 2, 4, 3, 1, 0.0, 0.0)), 2)
    table = migration_table(moves, TWO, 0, str, has_money=False, confidence_level=0.95)
    assert table[["paid_amount_before", "paid_amount_after"]].isna().all(axis=None)


def test_which_line_was_crossed():
    assert [crossed("high_high", one) for one in (*QUADRANTS, "gone")] == [None, "y", "x", "both", None]


@pytest.mark.parametrize("with_buyers_only", [False, True])
def test_margins_equal_the_quadrants(sample, with_buyers_only):
    period = sample.period(None, None, "Asia/Shanghai")
    rules = QuadrantRules(window_days=28, period_days=14, include_users_without_orders=not with_buyers_only)
    found = read_quadrants(sample, period, rules)
    stock = found.quadrants.pivot(index="period_index", columns="quadrant", values="user_count")
    money = found.quadrants.pivot(index="period_index", columns="quadrant", values="paid_amount")
    moves = found.migration
    assert len(stock) >= 6
    rows = moves.pivot_table(index="period_index", columns="from_group", values="user_count", aggfunc="sum")
    columns = moves.pivot_table(index="period_index", columns="to_group", values="user_count", aggfunc="sum")
    before = moves.pivot_table(index="period_index", columns="from_group", values="paid_amount_before", aggfunc="sum")
    after = moves.pivot_table(index="period_index", columns="to_group", values="paid_amount_after", aggfunc="sum")
    names = list(QUADRANTS)
    assert (rows[names].to_numpy() == stock[names].to_numpy()[:-1]).all()
    assert (columns[names].to_numpy() == stock[names].to_numpy()[1:]).all()
    assert before[names].to_numpy() == pytest.approx(money[names].to_numpy()[:-1], abs=1e-3)
    assert after[names].to_numpy() == pytest.approx(money[names].to_numpy()[1:], abs=1e-3)
    assert rows["new"].min() > 0
    shares = moves[moves["from_user_count"] > 0].groupby(["period_index", "from_group"])["row_share"].sum()
    assert shares.to_numpy() == pytest.approx(np.ones(len(shares)))
    stopped = moves[moves["from_group"].isin(names)].groupby(["period_index", "from_group"])["stopped_count"].sum()
    shown = found.quadrants.dropna(subset="stopped_count").set_index(["period_index", "quadrant"])["stopped_count"]
    assert stopped.astype(int).to_dict() == shown.astype(int).to_dict()
