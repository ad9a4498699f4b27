"""What each arm turned out to be, by rules fixed before looking."""

import numpy as np
import pandas as pd

from workbench.experiment.checks import is_broken, lacks_costs
from workbench.experiment.effects import PRIMARY

COLUMNS = [
    "experiment_id",
    "variant",
    "control_variant",
    "verdict",
    "outcome",
    "outcome_days",
    "estimate",
    "ci_lower",
    "ci_upper",
    "p_value_adjusted",
    "relative_estimate",
    "mean_control",
    "n_treatment",
    "n_control",
    "reason",
]


def verdict_rows(effects: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment and treatment, from the primary outcome.

    Returns
    -------
    pandas.DataFrame
        ``verdict``: ``broken`` (the arms' sizes are not what was planned, or many users have two arms: nothing is
        said), ``better`` or ``worse`` (the interval adjusted for several arms excludes 0), ``open`` (it does not),
        ``none`` (there is no interval, or it is one of profit and too many orders have no cost; ``reason`` says why).
        The interval is the adjusted one.
    """
    primary = effects[effects["is_primary"].astype(bool)]
    rows = []
    for row in primary.to_dict("records"):
        mine = checks[checks["experiment_id"] == row["experiment_id"]]
        lower, upper = row["adjusted_ci_lower"], row["adjusted_ci_upper"]
        verdict = "open"
        if is_broken(mine):
            verdict = "broken"
        elif not np.isfinite([lower, upper]).all():
            verdict = "none"
        elif row.get("outcome") == PRIMARY and lacks_costs(mine):
            verdict, row["reason"] = "none", "costs_missing"
        elif lower > 0:
            verdict = "better"
        elif upper < 0:
            verdict = "worse"
        rows.append({**row, "verdict": verdict, "ci_lower": lower, "ci_upper": upper})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
