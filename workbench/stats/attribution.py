"""What does each touch of a journey get under the rule models? By hand, journey by journey.

The analysis of a shop shares credit inside the engine. These few lines say the same in a form that anyone can
recompute with a pencil, and tests hold the engine to them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isclose, isfinite
from typing import Literal, get_args

from workbench.contract import DIRECT
from workbench.errors import ParameterError
from workbench.parameters import check_choices, check_positive

RuleModel = Literal["first", "last", "linear", "position_based", "time_decay", "participation", "shapley"]
RULE_MODELS: tuple[RuleModel, ...] = get_args(RuleModel)


@dataclass(frozen=True)
class Journey:
    """Touches that came before the same end, once or many times.

    Attributes
    ----------
    touches
        What was touched, in the total order of events, first touch first; repeats stay.
    hours_before
        Hours from each touch to the conversion; needed for ``time_decay`` only.
    conversion_count
        How often these touches ended in a conversion.
    null_count
        How often they ended without; rule models give nothing for it.
    value
        Value of one conversion: 1, or money.
    """

    touches: Sequence[str]
    hours_before: Sequence[float] | None = None
    conversion_count: float = 1.0
    null_count: float = 0.0
    value: float = 1.0


def check_position_weights(weights: Sequence[float]) -> None:
    """Refuse position weights that are not three numbers of 0 or above with sum 1.

    Examples
    --------
    >>> check_position_weights([0.4, 0.2, 0.4])
    >>> check_position_weights([40, 20, 40])
    Traceback (most recent call last):
    workbench.errors.ParameterError: position_weights: 40, 20, 40 sum to 100; the weights of the first touch, of \
all touches between and of the last touch sum to 1, such as 0.4, 0.2, 0.4.
    """
    allowed = "the weights of the first touch, of all touches between and of the last touch"
    example = "such as 0.4, 0.2, 0.4."
    if isinstance(weights, str) or not isinstance(weights, Sequence):
        raise ParameterError(f"position_weights is {weights!r}; it is a list of three numbers, {allowed}, {example}")
    shown = ", ".join(str(one) for one in weights)
    if len(weights) != 3:
        raise ParameterError(
            f"position_weights has {len(weights)} values ({shown}); it has three, {allowed}, {example}"
        )
    for one in weights:
        if isinstance(one, bool) or not isinstance(one, int | float) or not isfinite(one) or one < 0:
            raise ParameterError(f"position_weights: {one!r} is not a number of 0 or above; give {allowed}, {example}")
    if not isclose(sum(weights), 1.0, abs_tol=1e-9):
        raise ParameterError(f"position_weights: {shown} sum to {sum(weights):g}; {allowed} sum to 1, {example}")


def credit_journey(
    touches: Sequence[str],
    hours_before: Sequence[float] | None,
    model: RuleModel,
    *,
    value: float = 1.0,
    half_life_hours: float = 24.0,
    position_weights: Sequence[float] = (0.4, 0.2, 0.4),
) -> dict[str, float]:
    """How much of one conversion does each slot get?

    Parameters
    ----------
    touches
        Eligible touches in the total order of events, first touch first; any name, not only slots.
    hours_before
        Hours from each touch to the conversion, 0 or above and never rising; None unless ``time_decay``.
    model
        One of ``RULE_MODELS``.
    value
        What the conversion is worth: 1, or its amount.
    half_life_hours
        ``time_decay``: a touch this many hours earlier weighs half.
    position_weights
        ``position_based``: weight of the first touch, of all touches between, of the last touch.

    Returns
    -------
    dict
        Credit by slot in the order of first touch, in the unit of ``value``; a touched slot without credit has
        0. Without touches, ``(direct)`` has everything.

    Raises
    ------
    ParameterError
        If the model is unknown, a touch is not a text, the weights or the half-life cannot be used, or hours are
        missing, negative or out of order.

    Notes
    -----
    With touches 1..n and value V:

    - ``first``, ``last``: V to touch 1, to touch n.
    - ``linear``: V/n to each touch.
    - ``position_based`` with weights f, m, l: n = 1: V. n = 2: V f/(f + l) and V l/(f + l), halves where f + l
      is 0. From n = 3: V f, V m/(n - 2) for each touch between, V l.
    - ``time_decay``: V w_i / sum(w) with w_i = 2^(-(t_i - t_n)/half-life), t hours before the conversion. Taking
      the last touch as the origin changes no share, and its weight is 1 however long ago it was.
    - ``participation``: V to every distinct slot, so credits sum to more than V. Not a share.
    - ``shapley``: V/d to each of the d distinct slots. This is the Shapley value of the game in which a set S
      of slots is worth the conversions of the journeys whose slots all lie in S: each journey is a game of
      unanimity among its slots. So it is linear over distinct slots and knows nothing of journeys without
      conversion.

    References
    ----------
    Shapley, L. S. (1953), doi:10.1515/9781400881970-018 (games of unanimity).

    Examples
    --------
    >>> credit_journey(["home", "search", "home"], None, "linear", value=90)
    {'home': 60.0, 'search': 30.0}
    >>> credit_journey(["home", "search"], [48, 24], "time_decay", value=90)
    {'home': 30.0, 'search': 60.0}
    """
    check_choices("model", [model], RULE_MODELS)
    if isinstance(touches, str) or any(not isinstance(one, str) for one in touches):
        raise ParameterError(f"touches is {touches!r}; it is a list of names, without nulls, in order of time.")
    if not touches:
        return {DIRECT: float(value)}
    distinct = dict.fromkeys(touches)
    if model == "participation":
        return {one: float(value) for one in distinct}
    if model == "shapley":
        return {one: value / len(distinct) for one in distinct}
    weights = _weights(touches, hours_before, model, half_life_hours, position_weights)
    total = sum(weights)
    credit = dict.fromkeys(touches, 0.0)
    for touch, weight in zip(touches, weights, strict=True):
        credit[touch] += value * weight / total
    return credit


def credit_journeys(
    journeys: Iterable[Journey],
    model: RuleModel,
    *,
    half_life_hours: float = 24.0,
    position_weights: Sequence[float] = (0.4, 0.2, 0.4),
) -> dict[str, float]:
    """How much do all conversions together give to each slot?

    Parameters
    ----------
    journeys
        Any number of them, each with its counts.
    model, half_life_hours, position_weights
        As for ``credit_journey``.

    Returns
    -------
    dict
        Sum over journeys of conversion_count x the credit of one conversion, by slot, in the order in which slots
        appear. Slots of journeys that never convert are there with 0. For every model but ``participation`` the
        values sum to sum(conversion_count x value).

    Raises
    ------
    ParameterError
        As ``credit_journey``, and if a count is negative or no number.

    Examples
    --------
    >>> seen = [Journey(["a"], conversion_count=2, null_count=1), Journey(["a", "b"])]
    >>> credit_journeys(seen, "linear")
    {'a': 2.5, 'b': 0.5}
    """
    check_choices("model", [model], RULE_MODELS)
    total: dict[str, float] = {}
    for one in journeys:
        for name in ("conversion_count", "null_count"):
            if not 0 <= getattr(one, name) < float("inf"):
                raise ParameterError(f"{name} of the journey {one.touches!r} is {getattr(one, name)}; it is 0 or more.")
        credit = credit_journey(
            one.touches,
            one.hours_before,
            model,
            value=one.value,
            half_life_hours=half_life_hours,
            position_weights=position_weights,
        )
        if not one.touches and not one.conversion_count:
            continue  # no touch and no conversion: nothing happened
        for slot, part in credit.items():
            total[slot] = total.get(slot, 0.0) + one.conversion_count * part
    return total


def _weights(
    touches: Sequence[str],
    hours_before: Sequence[float] | None,
    model: RuleModel,
    half_life_hours: float,
    position_weights: Sequence[float],
) -> list[float]:
    """Weights of the touches for the models that weigh touches; they need not sum to 1."""
    n = len(touches)
    if model == "first":
        return [1.0] + [0.0] * (n - 1)
    if model == "last":
        return [0.0] * (n - 1) + [1.0]
    if model == "linear":
        return [1.0] * n
    if model == "position_based":
        check_position_weights(position_weights)
        first, between, last = position_weights
        if n == 1:
            return [1.0]
        if n == 2:
            return [first, last] if first + last > 0 else [0.5, 0.5]
        return [first, *[between / (n - 2)] * (n - 2), last]
    check_positive("half_life_hours", half_life_hours, "hours")
    hours = _checked_hours(hours_before, n)
    return [2.0 ** (-(one - hours[-1]) / half_life_hours) for one in hours]


def _checked_hours(hours_before: Sequence[float] | None, n: int) -> Sequence[float]:
    if hours_before is None or len(hours_before) != n:
        found = "missing" if hours_before is None else f"{len(hours_before)} numbers"
        raise ParameterError(f"hours_before is {found}; time_decay needs one number for each of the {n} touches.")
    if any(not 0 <= one < float("inf") for one in hours_before):
        raise ParameterError(
            f"hours_before is {list(hours_before)}; a touch lies 0 or more hours before its conversion."
        )
    if any(later > earlier for earlier, later in pairwise(hours_before)):
        raise ParameterError(f"hours_before is {list(hours_before)}; touches come in order of time, earliest first.")
    return hours_before
