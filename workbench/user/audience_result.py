"""What an audience of an earlier run did beside its control, and what follows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from workbench.errors import EstimationError, TableError
from workbench.experiment.plan import ReadoutRules
from workbench.experiment.readout import Readout, read_out
from workbench.metrics.audiences import AUDIENCE, CONTROL, RESPONSES, responses
from workbench.parameters import check_days, check_rate
from workbench.period import DAY_MS, Period, parse_date
from workbench.source.shop import Shop
from workbench.stats.experiment import mean_difference
from workbench.stats.experiment_design import units_needed
from workbench.stats.sums import Sums
from workbench.user.audience_files import AudienceFile

OUTCOMES = ("buyer_rate", "orders_per_user", "paid_amount_per_user", "profit_per_user")
ACTIONS = ("roll_out", "stop", "go_on", "wait", "distrust")
TOO_SMALL = "difference_too_small"
"""Reason of ``go_on`` without ``units_needed``: more users than the shop had in the window of the file."""
FILE_CHANGED = "file_changed"
"""Reason of ``distrust``: users of the file stand in another arm than was drawn, or some came or went."""
COLUMNS = [
    "audience",
    "outcome",
    "outcome_days",
    "adjustment",
    "is_primary",
    "mean_treatment",
    "mean_control",
    "estimate",
    "ci_lower",
    "ci_upper",
    "p_value",
    "relative_estimate",
    "relative_ci_lower",
    "relative_ci_upper",
    "n_treatment",
    "n_control",
    "reason",
]
ACTION_COLUMNS = [
    "audience",
    "start_date",
    "action",
    "outcome",
    "outcome_days",
    "estimate",
    "ci_lower",
    "ci_upper",
    "p_value",
    "total_estimate",
    "total_ci_lower",
    "total_ci_upper",
    "n_treatment",
    "n_control",
    "units_needed",
    "planned_control_share",
    "control_share",
    "sample_ratio_p_value",
    "followed_days",
    "reason",
]


@dataclass(frozen=True)
class AudienceResult:
    """Audiences beside their controls.

    Attributes
    ----------
    table
        ``audience_result``: one row per audience, outcome and window. Outcomes: ``returned_rate`` (an event or an order),
        ``clicked_rate`` (a ``select_promotion``), ``buyer_rate``, ``orders_per_user``, ``paid_amount_per_user``,
        ``profit_per_user``; everyone in the file counts, whether reached or not. ``mean_treatment`` is the audience's;
        ``adjustment`` ``cuped`` by the orders before, ``none`` where there is no such past.
    actions
        ``audience_action``: one row per audience: ``action`` is ``roll_out`` (address the control too: the interval of
        the primary outcome lies above 0), ``stop`` (below), ``go_on`` (it holds 0), ``wait`` (no window has elapsed, or
        no interval), ``distrust`` (the arms have not the sizes that were drawn, or the file is not as it was written:
        ``reason`` is ``file_changed``). ``total_estimate``: estimate times the
        audience's users.
        ``units_needed``: users, both arms together, with whom a difference as large as the one seen is told from chance
        with 80 % power; empty where the shop has not so many (``reason`` is ``difference_too_small``).
    checks
        ``experiment_checks`` of the read-out.
    file
        What was read.
    """

    table: pd.DataFrame
    actions: pd.DataFrame
    checks: pd.DataFrame
    file: AudienceFile = field(repr=False)


def audience_result(
    shop: Shop,
    file: AudienceFile,
    *,
    outcome_days: Sequence[int] = (7, 14, 30),
    pre_period_days: int = 28,
    margin_rate: float | None = None,
    start_date: str | None = None,
    confidence_level: float = 0.95,
) -> AudienceResult:
    """What did addressing an audience change, and what should be done next?

    Parameters
    ----------
    shop
        With the events and orders since the file was made.
    file
        From ``read_audience``.
    outcome_days
        Windows from the start on.
    pre_period_days
        Days before the start by which outcomes are adjusted.
    margin_rate
        Margin before discounts where orders have no cost.
    start_date
        First local day on which the audience was addressed; None: as in the manifest.
    confidence_level
        Coverage of the intervals.

    Raises
    ------
    EstimationError
        If the data end before the first start.
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    check_days("outcome_days", outcome_days)
    check_rate("confidence_level", confidence_level)
    shop.require("audience_result", "orders")
    days, timezone = tuple(sorted(outcome_days)), str(file.manifest["timezone"])
    starts = {
        name: str(parse_date(start_date or one["start_date"], "start_date"))
        for name, one in file.manifest["audiences"].items()
    }
    _check_reach(shop, starts, timezone, file)
    _check_arms(shop, file)
    population = float(file.manifest.get("population_count", math.inf))
    tables, actions, checks = [], [], []
    for name, told in file.manifest["audiences"].items():
        rules = ReadoutRules(
            control_variant=CONTROL,
            outcomes=OUTCOMES,
            outcome_days=days,
            pre_period_days=pre_period_days,
            margin_rate=margin_rate,
            expected_shares={CONTROL: float(told["control_share"]), AUDIENCE: 1 - float(told["control_share"])},
            confidence_level=confidence_level,
        )
        rows = file.rows.filter(file.rows.audience == name)
        day = parse_date(starts[name], "start_date")
        assert day is not None
        period = shop.period(str(day), str(day + timedelta(days=1)), timezone)
        found = read_out(_with_assignments(shop, name, rows, period.start_ms), period, [name], rules)
        bought = found.effects[found.effects["adjustment"] == "cuped"].assign(audience=name)
        answered = _responses(shop, rows, period, days, confidence_level).assign(audience=name)
        parts = [one.dropna(axis=1, how="all") for one in (answered, bought)]
        tables.append(pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS))
        checks.append(found.checks.rename(columns={"experiment_id": "audience", "variant": "arm"}))
        actions.append(_action(name, starts[name], told, found, period, population, confidence_level))
        if name in file.altered:  # what was compared is not what was drawn, whatever the numbers say
            actions[-1] |= {"action": "distrust", "reason": FILE_CHANGED, "units_needed": math.nan}
    return AudienceResult(
        pd.concat(tables, ignore_index=True),
        pd.DataFrame(actions).reindex(columns=ACTION_COLUMNS),
        pd.concat(checks, ignore_index=True),
        file,
    )


def _check_reach(shop: Shop, starts: Mapping[str, str], timezone: str, file: AudienceFile) -> None:
    """Refuse where nothing can have happened yet, or the start lies before the choice."""
    period = shop.period(None, None, timezone)
    first = min(starts.values())
    if first > str(period.data_last_date):
        raise EstimationError(
            f"{file.manifest['file']}: the audience is addressed from {first} on, and the data of {shop.name} end on "
            f"{period.data_last_date}. Read it again when they reach further, or give start_date."
        )
    if first <= file.manifest["window_last_date"]:
        raise EstimationError(
            f"{file.manifest['file']}: start_date {first} lies in the window by which users were chosen, which ends on "
            f"{file.manifest['window_last_date']}. Give a later one."
        )


def _check_arms(shop: Shop, file: AudienceFile) -> None:
    """Refuse a file that lacks an audience of its manifest, or one of its arms."""
    arms = shop.collect(file.rows.select("audience", "arm").distinct())
    there = set(zip(arms["audience"], arms["arm"], strict=True))
    for name in file.manifest["audiences"]:
        missing = [one for one in (AUDIENCE, CONTROL) if (name, one) not in there]
        if missing:
            raise TableError(
                f"{file.manifest['file']}: no user of {name} stands in the arm {' or '.join(missing)}. Give the file as it was written."
            )


def _with_assignments(shop: Shop, name: str, rows: ir.Table, start_ms: int) -> Shop:
    """The shop with the file as its one experiment: every user of it is assigned at the start."""
    assigned = rows.select(
        "user_id",
        experiment_id=ibis.literal(name),
        variant=rows.arm,
        assigned_ms=ibis.literal(start_ms, "int64"),
    )
    others = {one: table for one, table in shop.tables.items() if one != "experiments"}
    reach = {one: told for one, told in shop.reach.items() if one != "experiments"}
    told = {"row_count": 1, "first_ms": start_ms, "last_ms": start_ms}
    return replace(
        shop,
        tables=MappingProxyType({**others, "experiment_assignments": assigned}),
        reach=MappingProxyType({**reach, "experiment_assignments": told}),
    )


def _responses(
    shop: Shop, rows: ir.Table, period: Period, days: Sequence[int], confidence_level: float
) -> pd.DataFrame:
    """Returned and clicked: shares of users of each arm, without adjustment, for windows that have elapsed."""
    units = rows.select("user_id", "arm").distinct()
    found = shop.collect(responses(units, shop.tables, period.start_ms, days))
    counts = {str(row["arm"]): row for row in found.to_dict("records")}
    names = RESPONSES if shop.has("events") else RESPONSES[:1]
    table = []
    for name in names:
        for one in days:
            row: dict[str, Any] = {
                "outcome": f"{name}_rate",
                "outcome_days": one,
                "adjustment": "none",
                "is_primary": False,
            }
            if period.start_ms + one * DAY_MS > period.data_end_ms:
                table.append(row | {"n_treatment": 0, "n_control": 0, "reason": "no_units"})
                continue
            arms = []
            for side in (AUDIENCE, CONTROL):
                n, y = float(counts[side]["unit_count"]), float(counts[side][f"{name}_{one}"])
                none = np.zeros(1)
                arms.append(Sums(np.array([n]), np.array([y]), np.array([y]), none, none, none))
            effect = mean_difference(arms[0], arms[1], confidence_level=confidence_level)
            told = {key: getattr(effect, key) for key in COLUMNS if hasattr(effect, key)}
            table.append(row | told)
    return pd.DataFrame(table)


def _action(
    name: str,
    start_date: str,
    told: Mapping[str, Any],
    found: Readout,
    period: Period,
    population: float,
    confidence_level: float,
) -> dict[str, Any]:
    """What follows, from the verdict of the read-out on profit."""
    verdict = found.verdicts.iloc[0]
    effects = found.effects
    primary = effects[effects["is_primary"].astype(bool)].iloc[0]
    ratio = found.checks[found.checks["check"] == "sample_ratio"].iloc[0]
    arms = found.collected[name]
    units = {side: arms.units(side) for side in (AUDIENCE, CONTROL)}
    action = {"better": "roll_out", "worse": "stop", "open": "go_on", "broken": "distrust", "none": "wait"}
    row = {
        "audience": name,
        "start_date": start_date,
        "action": action[str(verdict["verdict"])],
        **{key: primary[key] for key in ("outcome", "outcome_days", "p_value", "n_treatment", "n_control", "reason")},
        **{key: verdict[key] for key in ("estimate", "ci_lower", "ci_upper")},
        "planned_control_share": float(told["control_share"]),
        "control_share": units[CONTROL] / max(sum(units.values()), 1),
        "sample_ratio_p_value": ratio["p_value"],
        "followed_days": max(0, (period.data_end_ms - period.start_ms) // DAY_MS),
    }
    for key in ("estimate", "ci_lower", "ci_upper"):
        row[f"total_{key}"] = float(verdict[key]) * units[AUDIENCE]
    if row["action"] == "go_on":
        needed = _needed(primary, float(told["control_share"]), confidence_level)
        if needed > population:
            row["reason"] = TOO_SMALL
        else:
            row["units_needed"] = needed
    return row


def _needed(primary: pd.Series, control_share: float, confidence_level: float) -> float:
    """Users with whom a difference as large as the one seen would be told from chance, from its standard error."""
    estimate, error = float(primary["estimate"]), float(primary["std_error"])
    treated, control = float(primary["n_treatment"]), float(primary["n_control"])
    if not (
        math.isfinite(estimate) and estimate != 0 and math.isfinite(error) and error > 0 and min(treated, control) > 0
    ):
        return math.nan
    variance = error**2 / (1 / treated + 1 / control)
    return float(units_needed(estimate, variance, share_treatment=1 - control_share, confidence_level=confidence_level))
