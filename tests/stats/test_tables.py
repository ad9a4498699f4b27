"""Columns that scorecards share."""

import math

import pandas as pd

from workbench.stats.tables import divide, repurchase_columns


def test_a_window_that_elapsed_for_nobody_has_no_rate():
    found = repurchase_columns(pd.DataFrame({"eligible_30": [10, 0], "repurchased_30": [3, 0]}), [30], 0.95)
    assert found.columns.tolist() == [
        f"repurchase_rate_30{part}" for part in ("", "_eligible_count", "_ci_lower", "_ci_upper")
    ]
    assert found.loc[0, "repurchase_rate_30"] == 0.3
    assert found.loc[0, "repurchase_rate_30_ci_lower"] < 0.3 < found.loc[0, "repurchase_rate_30_ci_upper"]
    assert found.loc[1, "repurchase_rate_30_eligible_count"] == 0
    assert math.isnan(found.loc[1, "repurchase_rate_30"])


def test_dividing_by_nothing_gives_nothing():
    found = divide(pd.Series([1.0, 0.0, 2.0]), pd.Series([2.0, 0.0, None]))
    assert found[0] == 0.5
    assert found[1:].isna().all()
