"""Can an experiment be believed? Its arms' sizes, who is left out, how alike the arms were before, what could be seen."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.experiment.collect import ALLOCATION_ALARM, Collected
from workbench.experiment.costs import COST_LIMIT, CostGap
from workbench.experiment.effects import DECIDING, PRIMARY, group_of_rows, primary_of, week_groups
from workbench.experiment.plan import OUTCOMES, ReadoutRules
from workbench.stats.experiment import non_inferiority, ratio_difference, stratified_difference
from workbench.stats.experiment_design import SAMPLE_RATIO_ALARM, sample_ratio, smallest_detectable_effect
from workbench.stats.sums import Sums

BALANCE_ALARM = 0.001
MANY_CROSSED = 0.01
"""More users in two arms than this part of all say that the assignment itself is broken."""
POWER = 0.8


@dataclass(frozen=True)
class Guardrail:
    """A ratio that may not become worse by more than ``margin``, in its own unit or as a fraction of the control's."""

    margin: float
    is_relative: bool
    is_higher_better: bool


GUARDRAILS = {"refund_rate": Guardrail(0.02, False, False), "average_order_value": Guardrail(0.05, True, True)}
COLUMNS = ["experiment_id", "variant", "check", "statistic", "p_value", "ci_lower", "ci_upper", "limit", "status"]


COSTS_MISSING = "orders_without_cost"


def check_rows(
    found: Collected, effects: pd.DataFrame, rules: ReadoutRules, gap: CostGap | None = None
) -> pd.DataFrame:
    """One row per check, for the whole experiment (``variant`` null) or one treatment.

    Returns
    -------
    pandas.DataFrame
        ``check`` and what ``statistic`` is: ``sample_ratio`` (χ²), ``users_in_two_arms`` (share of assigned users,
        left out), ``orders_without_cost`` (share of paid orders; only where there are some and profit is known),
        ``allocation_by_week`` (p alone), ``crossed_invitees`` (share of invitees with an arm of their own
        that is not their inviter's), ``followed`` (share of units whose primary window has elapsed),
        ``balance_<outcome>`` (t of the pre-period), ``smallest_detectable_effect`` (of the primary outcome, with 80 %
        power), ``guardrail_<ratio>`` (difference, of ``average_order_value`` in per cent, with its interval and ``limit``, the margin).
        ``status``: ``ok``, ``alarm``, ``not_testable``, ``changed``, ``excluded``, ``holds``, ``violated``, ``open``, ``told``.
    """
    rows = [_sample_ratio(found), _crossed(found), _allocation(found)]
    if found.invitees is not None:
        rows.append(_invitees(found))
    is_costed = PRIMARY in found.outcomes or "profit_of_discount" in found.ratios
    if gap is not None and gap.costless_count and is_costed:
        status = "alarm" if gap.is_large else "told"
        rows.append({"check": COSTS_MISSING, "statistic": gap.share, "limit": COST_LIMIT, "status": status})
    outcome, days = primary_of(found, rules)
    rows.append(_followed(found, days))
    for treatment in found.experiment.treatments:
        rows += _balance(found, treatment, rules)
        rows.append(_power(effects, treatment, outcome, days, rules))
        rows += [_guardrail(found, treatment, name, days, rules) for name in GUARDRAILS if name in found.ratios]
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return table.assign(experiment_id=found.experiment.experiment_id)


def is_broken(checks: pd.DataFrame) -> bool:
    """Whether the experiment may not be judged: its arms' sizes are not what was planned, or many users have two arms."""
    chosen = checks[checks["check"].isin(["sample_ratio", "users_in_two_arms"])]
    return bool((chosen["status"] == "alarm").any())


def lacks_costs(checks: pd.DataFrame) -> bool:
    """Whether so many orders have no cost that profit may not decide."""
    return bool(((checks["check"] == COSTS_MISSING) & (checks["status"] == "alarm")).any())


def _sample_ratio(found: Collected) -> dict[str, object]:
    shares = found.experiment.shares
    arms = [found.experiment.control, *found.experiment.treatments]
    counts = [found.units(arm) for arm in arms]
    if shares is None or not sum(counts) or set(shares) != set(arms):
        return {"check": "sample_ratio", "status": "not_testable", "limit": SAMPLE_RATIO_ALARM}
    tested = sample_ratio(counts, [shares[arm] for arm in arms])
    status = "alarm" if tested.p_value < SAMPLE_RATIO_ALARM else "ok"
    row = {"check": "sample_ratio", "statistic": tested.statistic, "p_value": tested.p_value}
    return row | {"limit": SAMPLE_RATIO_ALARM, "status": status}


def _crossed(found: Collected) -> dict[str, object]:
    share = found.crossed_count / found.user_count if found.user_count else 0.0
    status = "ok" if not found.crossed_count else "alarm" if share > MANY_CROSSED else "excluded"
    return {"check": "users_in_two_arms", "statistic": share, "limit": MANY_CROSSED, "status": status}


def _allocation(found: Collected) -> dict[str, object]:
    known = found.week_p_value == found.week_p_value
    status = "changed" if found.by_week else "ok" if known else "not_testable"
    row = {"check": "allocation_by_week", "p_value": found.week_p_value}
    return row | {"limit": ALLOCATION_ALARM, "status": status}


def _invitees(found: Collected) -> dict[str, object]:
    assert found.invitees is not None
    own = found.invitees["assigned_invitee_count"]
    share = found.invitees["crossed_invitee_count"] / own if own else 0.0
    return {"check": "crossed_invitees", "statistic": share, "status": "told"}


def _followed(found: Collected, days: int) -> dict[str, object]:
    arms = (found.experiment.control, *found.experiment.treatments)
    units = sum(found.units(arm) for arm in arms)
    share = sum(found.followed(arm, days) for arm in arms) / units if units else 0.0
    return {"check": "followed", "statistic": share, "status": "ok" if share >= 0.5 else "told"}


def _balance(found: Collected, treatment: str, rules: ReadoutRules) -> list[dict[str, object]]:
    """Welch's t of the same outcome before assignment, within weeks where shares changed; Bonferroni over outcomes and arms."""
    rows = []
    code = group_of_rows(found.sums, *week_groups(found, treatment, None))
    tests = len(found.outcomes) * len(found.experiment.treatments)
    for outcome in found.outcomes:
        before = [found.before(arm, outcome, code) for arm in (treatment, found.experiment.control)]
        effect = stratified_difference(before[0], before[1], confidence_level=rules.confidence_level)
        testable = np.isfinite(effect.p_value)
        status = "not_testable" if not testable else "alarm" if effect.p_value < BALANCE_ALARM / tests else "ok"
        rows.append(
            {
                "variant": treatment,
                "check": f"balance_{OUTCOMES[outcome]}",
                "statistic": effect.estimate / effect.std_error if testable else np.nan,
                "p_value": effect.p_value,
                "limit": BALANCE_ALARM / tests,
                "status": status,
            }
        )
    return rows


def _power(effects: pd.DataFrame, treatment: str, outcome: str, days: int, rules: ReadoutRules) -> dict[str, object]:
    row = effects[
        (effects["variant"] == treatment)
        & (effects["outcome"] == outcome)
        & (effects["outcome_days"] == days)
        & (effects["adjustment"] == DECIDING)
    ].iloc[0]
    error = float(row["std_error"])
    least = float(smallest_detectable_effect(error, power=POWER, confidence_level=rules.confidence_level))
    status = "told" if np.isfinite(least) else "not_testable"
    return {"variant": treatment, "check": "smallest_detectable_effect", "statistic": least, "status": status}


def _guardrail(found: Collected, treatment: str, name: str, days: int, rules: ReadoutRules) -> dict[str, object]:
    """Is the ratio not worse by more than its margin? By the two-sided interval, within weeks where shares changed."""
    guardrail = GUARDRAILS[name]
    weeks, groups = week_groups(found, treatment, days)
    effect = ratio_difference(
        *(ratio_cells(found, name, arm, days, weeks, groups) for arm in (treatment, found.experiment.control)),
        confidence_level=rules.confidence_level,
    )
    status = non_inferiority(
        effect,
        guardrail.margin,
        higher_is_better=guardrail.is_higher_better,
        is_relative=guardrail.is_relative,
    )
    bounds = (effect.ci_lower, effect.ci_upper)
    shown = (effect.relative_estimate, effect.relative_ci_lower, effect.relative_ci_upper)
    statistic, lower, upper = shown if guardrail.is_relative else (effect.estimate, *bounds)
    return {
        "variant": treatment,
        "check": f"guardrail_{name}",
        "statistic": statistic,
        "ci_lower": lower,
        "ci_upper": upper,
        "limit": guardrail.margin,
        "status": status if np.isfinite([lower, upper]).all() else "not_testable",
    }


def ratio_cells(
    found: Collected,
    name: str,
    arm: str,
    days: int,
    weeks: NDArray[np.int64] | None = None,
    groups: NDArray[np.intp] | None = None,
) -> Sums:
    """Sums of numerator (y) and denominator (x) of a ratio over an arm's followed units, by group of weeks, or one cell."""
    code = np.zeros(len(found.sums), dtype=np.intp)
    if weeks is not None and groups is not None:
        code = group_of_rows(found.sums, weeks, groups)
    return found.cells(arm, name, days, code)
