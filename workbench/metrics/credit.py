"""How the rule models share each conversion among the touches that serve it, summed by slot and bucket of users."""

import math
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench.metrics.journeys import JourneyRules, journey_columns, touch_order
from workbench.period import HOUR_MS

DISTINCT_MODELS = ("participation", "shapley")


def rule_credit(
    served: ir.Table,
    rules: JourneyRules,
    *,
    models: Sequence[str],
    half_life_hours: float,
    position_weights: Sequence[float],
    by: Sequence[str] = ("credited_id", "user_bucket"),
) -> ir.Table:
    """Share each conversion among its touches under each rule model.

    Parameters
    ----------
    served
        One row per journey and touch, from ``journeys.pairs``.
    rules
        The rules of these pairs.
    models
        Rule models wanted.
    half_life_hours
        ``time_decay``: a touch this much earlier weighs half.
    position_weights
        ``position_based``: weights of the first touch, of all middle touches, of the last.
    by
        Columns to sum by.

    Returns
    -------
    ibis.Table
        One row per value of ``by``: ``<model>_conversions`` and ``<model>_amount``, and ``matched_conversions``
        and ``matched_amount``, what the journeys that start here carry: over all rows they sum to what has a touch;
        ``alone_conversions``, those with this one touch only.
    """
    journey = journey_columns(served, rules)
    weighed = served
    if "time_decay" in models:
        hours = (served.conversion_ms - served.touch_ms).cast("float64") / HOUR_MS
        weighed = served.mutate(decay=(hours * (-math.log(2) / half_life_hours)).exp())
    order = touch_order(weighed, rules)
    whole = ibis.window(group_by=journey)
    numbers: dict[str, ir.Value] = {
        "touches": weighed.count().over(whole),
        "place": ibis.row_number().over(group_by=journey, order_by=order) + 1,
    }
    if "time_decay" in models:
        numbers["decay_sum"] = weighed.decay.sum().over(whole)
    if any(model in DISTINCT_MODELS for model in models):
        numbers["repeat"] = ibis.row_number().over(group_by=[*journey, "credited_id"], order_by=order)
    numbered = weighed.mutate(**numbers)
    if any(model in DISTINCT_MODELS for model in models):
        numbered = numbered.mutate(distinct_slots=(numbered.repeat == 0).cast("int64").sum().over(whole))
    weights = {model: _weight(numbered, model, position_weights) for model in models}
    weights["matched"] = (numbered.place == 1).cast("float64")
    sums = {}
    for name, weight in weights.items():
        sums[f"{name}_conversions"] = (weight * numbered.conversion_count).sum()
        sums[f"{name}_amount"] = (weight * numbered.amount).sum()
    sums["alone_conversions"] = ((numbered.touches == 1).cast("float64") * numbered.conversion_count).sum()
    summed = numbered.group_by(list(by)).aggregate(**sums)
    return summed.mutate(credited_id=summed.credited_id.cast("string")) if "credited_id" in by else summed


def _weight(numbered: ir.Table, model: str, position_weights: Sequence[float]) -> ir.FloatingValue:
    """What one touch gets of its conversion."""
    count = numbered.touches.cast("float64")
    is_first, is_last = numbered.place == 1, numbered.place == numbered.touches
    if model == "first":
        return is_first.cast("float64")
    if model == "last":
        return is_last.cast("float64")
    if model == "linear":
        return 1.0 / count
    if model == "time_decay":
        return numbered.decay / numbered.decay_sum
    if model == "participation":
        return (numbered.repeat == 0).cast("float64")
    if model == "shapley":
        return (numbered.repeat == 0).cast("float64") / numbered.distinct_slots.cast("float64")
    first, middle, last = position_weights
    ends = first + last
    return ibis.cases(
        (numbered.touches == 1, 1.0),
        ((numbered.touches == 2) & is_first, first / ends if ends else 0.5),
        (numbered.touches == 2, last / ends if ends else 0.5),
        (is_first, float(first)),
        (is_last, float(last)),
        else_=middle / (count - 2.0).nullif(0.0),
    )
