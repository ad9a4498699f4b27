"""Refuse arguments and data that cannot be used, before any long query, with what to do instead."""

from collections.abc import Sequence

import ibis.expr.types as ir
from ibis import _

from workbench.contract import CLICK, EVENT_RANK, EXPOSURE
from workbench.errors import ParameterError, nearest
from workbench.metrics.journeys import JourneyRules
from workbench.parameters import check_choices, check_names, check_positive, check_rate
from workbench.slot.concentration import check_top_n
from workbench.slot.credit import Weights
from workbench.source.shop import Shop
from workbench.stats.attribution import check_position_weights

MODELS: tuple[str, ...] = (
    "first",
    "last",
    "linear",
    "position_based",
    "time_decay",
    "participation",
    "shapley",
    "markov",
)
CREDIT_TO = ("slot_id", "content_id", "page", "floor")
KEY_EVENTS = ("view_item", "add_to_cart")
MOST_HALF_LIVES = 500
"""In a lookback of more half-lives than this, weights of early touches fall below what numbers hold."""


def check_arguments(
    rules: JourneyRules,
    weights: Weights,
    models: Sequence[str],
    targets: Sequence[str],
    confidence_level: float,
    top_n: int,
    bootstrap_replicates: int,
    seed: int,
) -> None:
    """Refuse arguments that cannot be used, before any query."""
    for name, words in (("targets", targets), ("models", models)):
        if isinstance(words, str):
            raise ParameterError(f'{name} is the text "{words}"; give a list: ["{words}"].')
    if rules.touch in targets:
        raise ParameterError(
            f"targets: {rules.touch} is what touches are; every touch would earn itself. Leave it out of the targets."
        )
    check_rate("confidence_level", confidence_level)
    check_positive("lookback_hours", rules.lookback_hours, "hours")
    check_positive("half_life_hours", weights.half_life_hours, "hours")
    check_position_weights(weights.position_weights)
    check_choices("models", models, MODELS)
    check_names("models", models)
    check_names("targets", targets)
    check_choices("touch", [rules.touch], (CLICK, EXPOSURE))
    check_choices("credit_to", [rules.credit_to], CREDIT_TO)
    check_top_n(top_n)
    if rules.key_event is not None:
        check_choices("key_event", [rules.key_event], KEY_EVENTS)
    if rules.match_on is not None:
        check_choices("match_on", [rules.match_on], ("product_id",))
    for name, given, least in (
        ("seed", seed, 0),
        ("bootstrap_replicates", bootstrap_replicates, 0),
        ("markov_states", weights.markov_states, 2),
    ):
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            raise ParameterError(f"{name} is {given!r}; it must be a whole number of at least {least}.")
    if 0 < bootstrap_replicates < 200:
        raise ParameterError(
            f"bootstrap_replicates is {bootstrap_replicates}; below 200 draws the ends of an interval are chance. "
            "Use 2000, or 0 for no intervals."
        )
    if weights.markov_states > 2000:
        raise ParameterError(
            f"markov_states is {weights.markov_states}; the chain is solved exactly for at most 2000 states. "
            "Those less touched become one, (other)."
        )
    if "time_decay" in models and rules.lookback_hours > MOST_HALF_LIVES * weights.half_life_hours:
        raise ParameterError(
            f"half_life_hours is {weights.half_life_hours:g} with lookback_hours {rules.lookback_hours:g}; an early "
            f"touch would weigh nothing. Make it at least {rules.lookback_hours / MOST_HALF_LIVES:g}, or use the model last."
        )


def check_data(shop: Shop, rules: JourneyRules, targets: Sequence[str], counted: ir.Table | None = None) -> None:
    """Refuse what the shop does not hold.

    Parameters
    ----------
    shop
        The shop.
    rules, targets
        What is asked for.
    counted
        How often each event is there (event, rows), lazy; None: to be counted if need be.
    """
    if counted is None:
        counted = shop.events.group_by("event").aggregate(rows=_.count())
    _check_targets(shop, counted, targets)
    if rules.touch == EXPOSURE and not _events_there(shop, counted, [EXPOSURE]):
        raise ParameterError(
            f'touch: no event "{EXPOSURE}" in the data, so that no touch could ever count. Use {CLICK}.'
        )
    if rules.match_on:
        missing = [] if shop.has("events", "product_id") else ["events.product_id"]
        missing += [] if shop.has("order_lines", "product_id") or not shop.has("orders") else ["order_lines.product_id"]
        if missing:
            raise ParameterError(
                f"match_on: product_id needs {' and '.join(missing)}, which {shop.name} does not have. "
                "Add it, name its source in a mapping (data/README.md), or set match_on to null."
            )
    if rules.key_event and rules.key_event not in _events_there(shop, counted, [rules.key_event]):
        raise ParameterError(
            f'key_event: no event "{rules.key_event}" in the data, so that no touch could ever count. '
            "Set key_event to null."
        )
    if rules.credit_to == "floor" and not shop.has("slots", "floor"):
        raise ParameterError(
            f"credit_to: floor needs slots.floor, which {shop.name} does not have. Use slot_id or page."
        )
    if rules.credit_to == "page" and not (shop.has("slots", "page") or shop.has("events", "page")):
        raise ParameterError(f"credit_to: page needs slots.page or events.page; {shop.name} has neither. Use slot_id.")
    if rules.credit_to == "content_id" and not shop.has("events", "content_id"):
        raise ParameterError(
            f"credit_to: content_id needs events.content_id, which {shop.name} does not have. Use slot_id."
        )


def _events_there(shop: Shop, counted: ir.Table, names: Sequence[str]) -> set[str]:
    return set(shop.collect(counted.filter(counted.event.isin(list(names))))["event"])


def _check_targets(shop: Shop, counted: ir.Table, targets: Sequence[str]) -> None:
    """Refuse a target that neither the contract nor the data know."""
    unknown = [target for target in targets if target not in EVENT_RANK]
    if not unknown:
        return
    found = _events_there(shop, counted, unknown)
    for target in unknown:
        if target not in found:
            names = shop.collect(counted.order_by([_.rows.desc(), "event"]).limit(200))["event"].tolist()
            raise ParameterError(
                f'targets: no event "{target}" in the data{nearest(target, [*names, *EVENT_RANK], ".")} '
                f"There are: {', '.join(names[:12])}."
            )
