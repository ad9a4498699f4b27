"""The effect day by day after assignment, over the same units throughout."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from workbench.experiment.collect import CURVE_OUTCOMES, Collected, curve_days
from workbench.experiment.plan import OUTCOMES, ReadoutRules
from workbench.stats.experiment import mean_difference
from workbench.stats.sums import Sums

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
    """Cumulative difference of the means per unit at some seven days; only units followed to the last of them.

    Returns
    -------
    pandas.DataFrame
        One row per treatment, outcome (orders and profit) and day. Sales that are only pulled forward rise and fall
        again; an effect that fades stops rising. Not adjusted, and each day's interval stands for itself. None where
        the arms' shares changed over the weeks: the plain difference may then have the wrong sign.
    """
    if found.curve.empty or found.by_week:
        return pd.DataFrame(columns=COLUMNS)
    arms = {str(one["variant"]): one for one in found.curve.to_dict("records")}
    control = found.experiment.control
    rows = []
    for treatment in found.experiment.treatments:
        for outcome in CURVE_OUTCOMES:
            for day in curve_days(max(rules.outcome_days)):
                if outcome not in found.outcomes or treatment not in arms or control not in arms:
                    continue
                effect = mean_difference(
                    *(_cell(arms[arm], OUTCOMES[outcome], day) for arm in (treatment, control)),
                    confidence_level=rules.confidence_level,
                )
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


def _cell(row: Mapping[Hashable, Any], name: str, day: int) -> Sums:
    zero = np.zeros(1)
    y, yy = (np.array([float(row[f"{name}_{day}_{part}"] or 0.0)]) for part in ("y", "yy"))
    return Sums(np.array([float(row["n"])]), y, yy, zero, zero, zero)
