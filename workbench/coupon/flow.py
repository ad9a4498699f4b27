"""A coupon given before payment or after it: what decides is who comes back and what is earned, per assigned user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.experiment.collect import Collected
from workbench.experiment.effects import DECIDING, primary_of, week_groups
from workbench.experiment.plan import ReadoutRules
from workbench.experiment.readout import Readout
from workbench.metrics.coupon_flow import flow_sums, flow_units
from workbench.metrics.experiment_units import assigned_units
from workbench.metrics.experiments import followed_units
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.experiment import Effect, mean_difference, non_inferiority, stratified_difference
from workbench.stats.experiment_design import SAMPLE_RATIO_ALARM, sample_ratio
from workbench.stats.sums import Sums

Arm = Mapping[str, NDArray[np.float64]]
BOTH_ARMS = 0.2
"""Where at least this part of both arms is given the coupon, the experiment is about when, not whether."""
PAY_MARGIN, HOURS_MARGIN = 0.02, 0.25
"""Guardrails: the share paid may fall by two points, the hours to pay may rise by a quarter of an hour."""
FUNNEL = (
    ("assigned", "followed_count"),
    ("submitted", "submitted_count"),
    ("paid", "paid_any_count"),
    ("paid_again", "paid_again_count"),
)
COLUMNS = [
    "experiment_id",
    "coupon_id",
    "variant",
    "control_variant",
    "outcome_days",
    "measure",
    "role",
    "estimate",
    "ci_lower",
    "ci_upper",
    "p_value",
    "mean_treatment",
    "mean_control",
    "n_treatment",
    "n_control",
    "status",
]
FUNNEL_COLUMNS = ["experiment_id", "variant", "outcome_days", "step", "step_index", "user_count", "overall_rate"]


@dataclass(frozen=True)
class Flow:
    """``flow_experiment`` and ``flow_funnel``."""

    table: pd.DataFrame
    funnel: pd.DataFrame


def is_flow(found: Collected) -> bool:
    """Whether both arms get the coupon, so that the arms differ in when."""
    reach = found.reach
    arms = [found.experiment.control, *found.experiment.treatments]
    if reach is None or found.experiment.by_inviter or not set(arms) <= set(reach.index):
        return False
    given = reach["granted_unit_count"] / reach["unit_count"]
    return bool((given[arms] >= BOTH_ARMS).all())


def flow_tables(shop: Shop, period: Period, readout: Readout, names: Sequence[str], rules: ReadoutRules) -> Flow:
    """Funnel over all assigned users, guardrails, and what decides.

    Parameters
    ----------
    names
        Experiments that ``is_flow`` is true of. Their users are followed for the primary window.

    Returns
    -------
    Flow
        ``flow_experiment``: one row per treatment and measure. ``role`` says what it is for: ``decides`` (buyers who
        paid again on a later day, and profit, both per assigned user), ``guardrail`` (share of first submitted
        orders that were paid; hours from submitting to paying), ``check`` (whether the arms reach checkout alike: if
        not, what happens after it compares different users), ``description`` (coupon users and how many of them paid
        again: users choose to use it, so arms cannot be compared by it).
    """
    rows: list[dict[str, object]] = []
    funnels: list[dict[str, object]] = []
    for name in names:
        found = readout.collected[name]
        days_again = primary_of(found, rules)[1]
        table = shop.experiment_assignments
        units = assigned_units(table.filter(table.experiment_id.cast("string") == name), period)
        units = shop.hold("flow_units", followed_units(units, None, period, [days_again]))
        grants = shop.coupon_grants
        own = grants.filter(grants.coupon_id.cast("string") == str(found.experiment.coupon_id))
        flow = flow_units(units, shop.orders, period, days_again, grants=own)
        sums = shop.collect(flow_sums(flow))
        arms = sums.drop(columns="week").groupby("variant").sum().to_dict("index")
        for arm in (found.experiment.control, *found.experiment.treatments):
            funnels += [
                {
                    "experiment_id": name,
                    "variant": arm,
                    "outcome_days": days_again,
                    "step": step,
                    "step_index": place,
                    "user_count": int(arms[arm][column]),
                    "overall_rate": arms[arm][column] / arms[arm]["followed_count"],
                }
                for place, (step, column) in enumerate(FUNNEL)
                if arm in arms and arms[arm]["followed_count"]
            ]
        for treatment in found.experiment.treatments:
            if {treatment, found.experiment.control} <= set(arms):
                rows += _measures(found, treatment, sums, readout.effects, rules, days_again)
    return Flow(pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(funnels, columns=FUNNEL_COLUMNS))


def _measures(
    found: Collected, treatment: str, sums: pd.DataFrame, effects: pd.DataFrame, rules: ReadoutRules, days: int
) -> list[dict[str, object]]:
    """The measures of one treatment; where the arms' shares changed over the weeks, weeks are compared within themselves."""
    weeks, groups = week_groups(found, treatment, days)
    pair = [_arm(sums[sums["variant"] == one], weeks, groups) for one in (treatment, found.experiment.control)]
    level = rules.confidence_level
    again = _rates(pair, "paid_again_count", "followed_count", level)
    paid = _rates(pair, "paid_count", "submitted_count", level)
    hours = _difference([_hours(one) for one in pair], level)
    reached = _rates(pair, "submitted_count", "followed_count", level)
    alike = _alike(pair)
    used = _rates(pair, "used_count", "followed_count", level)
    used_again = _rates(pair, "used_again_count", "used_count", level)
    rows = [
        ("repurchase_per_assigned", "decides", again, _sign(again)),
        ("pay_rate", "guardrail", paid, _kept(paid, PAY_MARGIN, higher_is_better=True)),
        ("pay_hours", "guardrail", hours, _kept(hours, HOURS_MARGIN, higher_is_better=False)),
        ("reached_checkout", "check", reached, _reached(alike)),
        ("used_per_assigned", "description", used, "told"),
        ("repurchase_among_users", "description", used_again, "not_comparable"),
    ]
    head = {
        "experiment_id": found.experiment.experiment_id,
        "coupon_id": found.experiment.coupon_id,
        "variant": treatment,
        "control_variant": found.experiment.control,
    }
    told = [
        head | {"outcome_days": days, "measure": name, "role": role, "status": status} | _numbers(effect)
        for name, role, effect, status in rows
    ]
    told[3]["p_value"] = alike
    return [_primary(found, treatment, effects, rules), *told]


def _arm(sums: pd.DataFrame, weeks: NDArray[np.int64], groups: NDArray[np.intp]) -> Arm:
    """Sums of one arm by group of weeks."""
    code, cells = groups[np.searchsorted(weeks, sums["week"].to_numpy(dtype=np.int64))], int(groups.max(initial=0)) + 1
    names = [one for one in sums.columns if one not in ("variant", "week")]
    return {one: np.bincount(code, sums[one].to_numpy(dtype=float), cells).astype(float) for one in names}


def _alike(pair: Sequence[Arm]) -> float:
    """p-value of both arms reaching checkout alike, within each group of weeks."""
    tests = [
        sample_ratio([one["submitted_count"][cell] for one in pair], [one["followed_count"][cell] for one in pair])
        for cell in range(len(pair[0]["followed_count"]))
        if all(one["followed_count"][cell] > 0 for one in pair)
    ]
    known = [one.statistic for one in tests if np.isfinite(one.p_value)]
    if not known:
        return float("nan")
    from scipy.stats import chi2

    return float(chi2.sf(sum(known), len(known)))


def _reached(p_value: float) -> str:
    return "not_testable" if not np.isfinite(p_value) else "alarm" if p_value < SAMPLE_RATIO_ALARM else "ok"


def _primary(found: Collected, treatment: str, effects: pd.DataFrame, rules: ReadoutRules) -> dict[str, object]:
    """The primary outcome of the read-out, which decides."""
    outcome, primary_days = primary_of(found, rules)
    mine = effects[
        (effects["experiment_id"] == found.experiment.experiment_id)
        & (effects["variant"] == treatment)
        & (effects["outcome"] == outcome)
        & (effects["outcome_days"] == primary_days)
        & (effects["adjustment"] == DECIDING)
    ].iloc[0]
    numbers = {name: mine[name] for name in COLUMNS[7:-1]}
    numbers |= {"ci_lower": mine["adjusted_ci_lower"], "ci_upper": mine["adjusted_ci_upper"]}
    return {
        "experiment_id": found.experiment.experiment_id,
        "coupon_id": found.experiment.coupon_id,
        "variant": treatment,
        "control_variant": found.experiment.control,
        "outcome_days": primary_days,
        "measure": outcome,
        "role": "decides",
        **numbers,
        "status": _sign_of(numbers["ci_lower"], numbers["ci_upper"]),
    }


def _rates(pair: Sequence[Arm], part: str, whole: str, level: float) -> Effect:
    zero = np.zeros_like(pair[0][whole])
    return _difference([Sums(one[whole], one[part], one[part], zero, zero, zero) for one in pair], level)


def _difference(arms: Sequence[Sums], level: float) -> Effect:
    compare = mean_difference if len(arms[0].count) == 1 else stratified_difference
    return compare(arms[0], arms[1], confidence_level=level)


def _hours(one: Arm) -> Sums:
    zero = np.zeros_like(one["paid_count"])
    return Sums(one["paid_count"], one["pay_hours_sum"], one["pay_hours_squares"], zero, zero, zero)


def _kept(effect: Effect, margin: float, *, higher_is_better: bool) -> str:
    if not np.isfinite(effect.ci_lower):
        return "not_testable"
    return non_inferiority(effect, margin, higher_is_better=higher_is_better)


def _sign(effect: Effect) -> str:
    return _sign_of(effect.ci_lower, effect.ci_upper)


def _sign_of(lower: float, upper: float) -> str:
    if not np.isfinite([lower, upper]).all():
        return "none"
    return "better" if lower > 0 else "worse" if upper < 0 else "open"


def _numbers(effect: Effect) -> dict[str, object]:
    return {name: getattr(effect, name) for name in COLUMNS[7:-1]}
