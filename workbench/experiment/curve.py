"""The effect day by day after assignment, over the same units throughout."""

import numpy as np
import pandas as pd

from workbench.experiment.collect import CURVE_OUTCOMES, Collected
from workbench.experiment.effects import group_of_rows, week_groups
from workbench.experiment.plan import ReadoutRules
from workbench.stats.experiment import mean_difference, stratified_difference

COLUMNS = [
    "experiment_id",
    "variant",
    "control_variant",
    "outcome",
    "day",
    "estimate",
    "ci_lower",
    "ci_upper",
    "mean_treatment",
    "mean_control",
    "n_treatment",
    "n_control",
]


def curve_rows(found: Collected, rules: ReadoutRules) -> pd.DataFrame:
    """Cumulative difference of the means per unit at some days; only units followed to the last of them.

    Returns
    -------
    pandas.DataFrame
        One row per treatment, outcome (orders and profit) and day. Sales that are only pulled forward rise and fall
        again; an effect that fades stops rising. Not adjusted by the time before, and each day's interval stands for
        itself. Where the arms' shares changed over the weeks, weeks are compared within themselves.
    """
    rows = []
    control = found.experiment.control
    for treatment in found.experiment.treatments:
        code = np.zeros(len(found.sums), dtype=np.intp)
        if found.curve_days:
            code = group_of_rows(found.sums, *week_groups(found, treatment, max(found.curve_days)))
        compare = stratified_difference if found.by_week else mean_difference
        for outcome in CURVE_OUTCOMES:
            for day in found.curve_days if outcome in found.outcomes else ():
                arms = [found.grown(arm, outcome, day, code) for arm in (treatment, control)]
                effect = compare(arms[0], arms[1], confidence_level=rules.confidence_level)
                rows.append(
                    {
                        "experiment_id": found.experiment.experiment_id,
                        "variant": treatment,
                        "control_variant": control,
                        "outcome": outcome,
                        "day": day,
                        **{name: getattr(effect, name) for name in COLUMNS[5:]},
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)
