"""Each treatment against the control: raw, adjusted by the time before, and by strata."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.experiment.collect import Collected
from workbench.experiment.plan import OUTCOMES, ReadoutRules
from workbench.stats.cuped import CupedFit, cuped_difference, fit_cuped, squares_at
from workbench.stats.experiment import Effect, mean_difference, stratified_difference
from workbench.stats.experiment_design import sequential_interval
from workbench.stats.multiplicity import adjusted_intervals, adjusted_p_values
from workbench.stats.sums import Sums, merge_small_cells

ADJUSTMENTS = ("none", "cuped", "post_stratified")
PRIMARY = "profit_per_user"
DECIDING = "cuped"
"""The adjustment that verdicts rest on; stated before anything is looked at."""
COLUMNS = [
    "experiment_id",
    "variant",
    "control_variant",
    "outcome",
    "outcome_days",
    "adjustment",
    "is_primary",
    "estimate",
    "std_error",
    "degrees",
    "ci_lower",
    "ci_upper",
    "p_value",
    "p_value_adjusted",
    "adjusted_ci_lower",
    "adjusted_ci_upper",
    "sequential_ci_lower",
    "sequential_ci_upper",
    "mean_treatment",
    "mean_control",
    "relative_estimate",
    "relative_ci_lower",
    "relative_ci_upper",
    "n_treatment",
    "n_control",
    "reason",
]
_FitKey = tuple[str, int | None, str, int]


def primary_of(found: Collected, rules: ReadoutRules) -> tuple[str, int]:
    """The one outcome and window that decide.

    Profit, or the first outcome asked for where there is none; in the longest window that has elapsed for at least half
    of all units, else in the shortest. Neither looks at any outcome.
    """
    outcome = PRIMARY if PRIMARY in found.outcomes else found.outcomes[0]
    arms = (found.experiment.control, *found.experiment.treatments)
    units = sum(found.units(one) for one in arms)
    enough = [
        days for days in rules.outcome_days if 2 * sum(found.followed(one, days) for one in arms) >= max(units, 1)
    ]
    return outcome, max(enough, default=min(rules.outcome_days))


def effect_rows(found: Collected, rules: ReadoutRules) -> pd.DataFrame:
    """One row per treatment, outcome, window and adjustment.

    Returns
    -------
    pandas.DataFrame
        ``estimate`` is the difference of the means per assigned unit, treatment less control, with its standard error and
        interval; ``relative_...`` the same as a fraction of the control's unadjusted mean; ``p_value_adjusted`` and
        ``adjusted_ci_...`` over the arms of the experiment; ``sequential_ci_...`` hold however often one looks;
        ``is_primary`` marks what decides; ``reason`` says why numbers are empty.
    """
    primary = primary_of(found, rules)
    rows = []
    for treatment in found.experiment.treatments:
        cuped = _cuped(found, treatment, rules)
        for outcome in found.outcomes:
            for days in rules.outcome_days:
                raw = _raw(found, treatment, outcome, days, rules)
                effects = {
                    "none": raw,
                    "cuped": cuped[outcome, days],
                    "post_stratified": _stratified(found, treatment, outcome, days, raw.mean_control, rules),
                }
                rows += [
                    _row(found, treatment, outcome, days, name, effects[name], rules)
                    | {"is_primary": (outcome, days) == primary and name == DECIDING}
                    for name in ADJUSTMENTS
                ]
    return _over_arms(pd.DataFrame(rows), rules)[COLUMNS]


def _row(
    found: Collected, treatment: str, outcome: str, days: int, adjustment: str, effect: Effect, rules: ReadoutRules
) -> dict[str, object]:
    control = found.experiment.control
    lower, upper = sequential_interval(
        effect.estimate,
        effect.std_error,
        effect.n_treatment + effect.n_control,
        max(found.units(treatment) + found.units(control), 1),
        confidence_level=rules.confidence_level,
    )
    return {
        "experiment_id": found.experiment.experiment_id,
        "variant": treatment,
        "control_variant": control,
        "outcome": outcome,
        "outcome_days": days,
        "adjustment": adjustment,
        "estimate": effect.estimate,
        "std_error": effect.std_error,
        "ci_lower": effect.ci_lower,
        "ci_upper": effect.ci_upper,
        "p_value": effect.p_value,
        "sequential_ci_lower": float(lower),
        "sequential_ci_upper": float(upper),
        "degrees": effect.degrees,
        "mean_treatment": effect.mean_treatment,
        "mean_control": effect.mean_control,
        "relative_estimate": effect.relative_estimate,
        "relative_ci_lower": effect.relative_ci_lower,
        "relative_ci_upper": effect.relative_ci_upper,
        "n_treatment": effect.n_treatment,
        "n_control": effect.n_control,
        "reason": effect.reason,
    }


def week_groups(found: Collected, treatment: str, days: int | None) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Weeks, and the group of each: weeks with few followed units (``days`` None: all units) in an arm go together.

    One group where the arms' shares kept through the weeks.
    """
    weeks, code = np.unique(found.sums["week"].to_numpy(dtype=np.int64), return_inverse=True)
    if not found.by_week:
        return weeks, np.zeros(len(weeks), dtype=np.intp)
    column = found.sums["unit_count" if days is None else f"n_{days}"].to_numpy(dtype=float)
    treated, control = (
        np.bincount(code, np.where(found.sums["variant"] == arm, column, 0.0), len(weeks))
        for arm in (treatment, found.experiment.control)
    )
    return weeks, merge_small_cells(treated, control)


def group_of_rows(sums: pd.DataFrame, weeks: NDArray[np.int64], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Group of weeks of each row of sums by cell."""
    return groups[np.searchsorted(weeks, sums["week"].to_numpy(dtype=np.int64))]


def _raw(found: Collected, treatment: str, outcome: str, days: int, rules: ReadoutRules) -> Effect:
    code = group_of_rows(found.sums, *week_groups(found, treatment, days))
    arms = [found.cells(arm, outcome, days, code) for arm in (treatment, found.experiment.control)]
    if found.by_week:
        return stratified_difference(arms[0], arms[1], confidence_level=rules.confidence_level)
    return mean_difference(arms[0], arms[1], confidence_level=rules.confidence_level)


def _stratified(
    found: Collected, treatment: str, outcome: str, days: int, unadjusted_control_mean: float, rules: ReadoutRules
) -> Effect:
    """Strata fixed before assignment, within groups of weeks; those with few units in an arm are merged."""
    week = group_of_rows(found.sums, *week_groups(found, treatment, days))
    stratum = np.unique(found.sums["stratum"].to_numpy(dtype=str), return_inverse=True)[1]
    code = stratum * (week.max(initial=0) + 1) + week
    arms = [found.cells(arm, outcome, days, code) for arm in (treatment, found.experiment.control)]
    merged = _within_weeks(arms[0], arms[1], int(week.max(initial=0)) + 1)
    return stratified_difference(
        arms[0].grouped(merged),
        arms[1].grouped(merged),
        confidence_level=rules.confidence_level,
        unadjusted_control_mean=unadjusted_control_mean,
    )


def _within_weeks(treatment: Sums, control: Sums, weeks: int) -> NDArray[np.intp]:
    """Merge small strata of one group of weeks with each other, never across: there the arms' shares differ."""
    merged, groups = np.zeros(len(treatment.count), dtype=np.intp), 0
    for week in range(weeks):
        own = np.arange(week, len(merged), weeks)
        merged[own] = groups + merge_small_cells(treatment.count[own], control.count[own])
        groups = int(merged[own].max(initial=groups - 1)) + 1
    return merged


def _cuped(found: Collected, treatment: str, rules: ReadoutRules) -> dict[tuple[str, int], Effect]:
    """Regression on the time before, by one second pass over the units for all outcomes and windows.

    Units that stand at one x need none: those without orders before at 0, and all others at 1 where x is having bought.
    """
    arms = (treatment, found.experiment.control)
    fits: dict[_FitKey, CupedFit] = {}
    kept: dict[tuple[str, int], tuple[list[tuple[CupedFit, CupedFit]], dict[int, int], NDArray[np.float64]]] = {}
    for days in rules.outcome_days:
        weeks, groups = week_groups(found, treatment, days)
        code = group_of_rows(found.sums, weeks, groups)
        group_of = (
            {int(week): int(group) for week, group in zip(weeks, groups, strict=True)} if found.by_week else {0: 0}
        )
        for outcome in found.outcomes:
            old = [found.cells(arm, outcome, days, code, is_new=False) for arm in arms]
            new = [found.cells(arm, outcome, days, code, is_new=True) for arm in arms]
            pairs = [
                fit_cuped(old[0][place], old[1][place], new[0][place], new[1][place])
                for place in range(int(groups.max(initial=0)) + 1)
            ]
            squares = np.zeros((2, len(pairs)))
            for x, has_past in ((0.0, False), (1.0, True)) if outcome == "buyer_rate" else ((0.0, False),):
                for side, arm in enumerate(arms):
                    own = found.cells(arm, outcome, days, code, has_past=has_past)
                    squares[side] += [
                        squares_at(x, own[place], pair[side]) if pair[side].sxx > 0 else 0.0
                        for place, pair in enumerate(pairs)
                    ]
            kept[outcome, days] = pairs, group_of, squares
            if outcome == "buyer_rate":
                continue
            for week, group in group_of.items():
                for arm, fit in zip(arms, pairs[group], strict=True):
                    fits[arm, week if found.by_week else None, OUTCOMES[outcome], days] = fit
    rows = {(str(one["variant"]), int(one["week"])): one for one in found.squares(fits)} if fits else {}
    effects = {}
    for (outcome, days), (pairs, group_of, squares) in kept.items():
        for week, group in group_of.items():
            for place, arm in enumerate(arms):
                # no row: no unit of this week had orders before
                squares[place, group] += float(
                    rows.get((arm, week), {}).get(f"{OUTCOMES[outcome]}_{days}_squares", 0.0)
                )
        effects[outcome, days] = cuped_difference(
            pairs, squares[0], squares[1], confidence_level=rules.confidence_level
        )
    return effects


def _over_arms(table: pd.DataFrame, rules: ReadoutRules) -> pd.DataFrame:
    """Adjust p-values and intervals over the arms of one experiment, by outcome, window and adjustment."""
    estimates, errors, p_values, degrees = (
        table[name].to_numpy(dtype=float) for name in ("estimate", "std_error", "p_value", "degrees")
    )
    adjusted, lower, upper = np.full((3, len(table)), np.nan)
    for rows in table.groupby(["outcome", "outcome_days", "adjustment"], sort=False).indices.values():
        adjusted[rows] = adjusted_p_values(p_values[rows], rules.multiple_testing)
        lower[rows], upper[rows] = adjusted_intervals(
            estimates[rows],
            errors[rows],
            p_values[rows],
            rules.multiple_testing,
            degrees=degrees[rows],
            confidence_level=rules.confidence_level,
        )
    return table.assign(p_value_adjusted=adjusted, adjusted_ci_lower=lower, adjusted_ci_upper=upper)
