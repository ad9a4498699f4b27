"""Slots and their credit for any users within a blink: sums are held once by what users are chosen by."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import Protocol

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from workbench.errors import ParameterError
from workbench.metrics.journeys import JourneyRules, Sales, conversions, totals, touches
from workbench.metrics.touches import promotion_counts
from workbench.metrics.transitions import leaving_moves
from workbench.period import Period
from workbench.slot.attribution import (
    attribute_slots,
    core_tables,
    has_purchases,
    possible_targets,
    purchase_model,
    sales_of,
)
from workbench.slot.checks import check_arguments, check_data
from workbench.slot.credit import (
    TargetSums,
    Weights,
    arranged,
    credit_cells,
    credit_moves,
    find_way,
    total_measure,
    with_markov,
)
from workbench.slot.metrics import slot_names
from workbench.slot.purchases import Purchases
from workbench.slot.shares import make_resampling
from workbench.source.restriction import Segments, conditions
from workbench.source.shop import Shop

_SHOWN = ("slot_metrics", "slot_credit", "slot_ranks")
_BUCKETS = 256
_KEYS = ("user_segment", "user_bucket")
_SLOTS = "purchases by slot"  # held beside the targets where their own credit goes elsewhere


class Answer(Protocol):
    """From ``only_users`` to the tables wanted of ``CORE_TABLES``."""

    def __call__(self, only_users: Sequence[str], wanted: Collection[str] = ...) -> dict[str, pd.DataFrame]:
        """Fewer tables are answered sooner; without being told, all but ``slot_differences``, which cost most."""


@dataclass(frozen=True)
class _Part:
    """Credit of one target to be held: under which rules and models."""

    target: str
    rules: JourneyRules
    models: tuple[str, ...]


@dataclass(frozen=True)
class _Held:
    """What stays in the engine; all by ``user_segment``, a number for users alike in all that they are chosen by.

    Attributes
    ----------
    events
        How often each event is there.
    counts
        Exposures and clicks by slot and bucket.
    cells, totals
        Credit by part, id and bucket, and all there is to credit.
    moves
        Of the Markov model, by part and bucket; None where it was not asked for.
    """

    events: ir.Table
    counts: ir.Table
    cells: ir.Table
    totals: ir.Table
    moves: ir.Table | None


def live_tables(shop: Shop, parameters: Mapping[str, object]) -> Answer | None:
    """Hold the sums of an attribution, so that other users cost a look at them instead of a new attribution.

    Parameters
    ----------
    shop
        The shop with all its users.
    parameters
        Those of ``attribute_slots``; ``only_users`` among them does not matter.

    Returns
    -------
    callable or None
        From ``only_users`` and the names ``wanted`` of ``CORE_TABLES`` to these tables, equal to those of
        ``attribute_slots``; it raises its errors too. None without users or events; where the Markov chain merges the less
        touched, as which these are depends on the users; and where users with very many conversions cannot be served all
        together.

    Raises
    ------
    ParameterError, TableError
        Those of ``attribute_slots``, whoever the users are.
    """
    bound = signature(attribute_slots).bind(shop, **parameters)
    bound.apply_defaults()
    given = bound.arguments
    rules = JourneyRules(
        given["touch"],
        given["credit_to"],
        given["lookback_hours"],
        given["key_event"],
        given["match_on"],
        given["reset_after_order"],
        given["net_of_refunds"],
    )
    weights = Weights(given["half_life_hours"], tuple(given["position_weights"]), given["markov_states"])
    targets, models, confidence_level = given["targets"], given["models"], given["confidence_level"]
    replicates, seed, top_n = given["bootstrap_replicates"], given["seed"], given["top_n"]
    check_arguments(rules, weights, models, targets, confidence_level, top_n, replicates, seed)
    if not shop.has("events") or not shop.has("users"):
        return None
    check_data(shop, rules, targets)
    period = shop.period(given["start_date"], given["end_date"], given["timezone"])
    parts = {one: _Part(one, rules, tuple(models)) for one in possible_targets(shop, targets)}
    shown, own = purchase_model(models), has_purchases(rules, targets, models, "slot_id")
    if shop.has("orders") and not own:
        parts[_SLOTS] = _Part("purchase", replace(rules, credit_to="slot_id"), (shown,))
    segments = Segments(shop)
    sales = _by_segment(shop, segments)
    held = _hold(shop, sales, parts, weights, period)
    if held is None:
        return None
    rows, names = _rows(shop, sales), slot_names(shop)
    ask_counts = shop.prepared(lambda: _summed(segments.of(held.counts), ["slot_id", "user_bucket"], "int64"))
    resampling = make_resampling(replicates, seed, confidence_level)

    def answer(only_users: Sequence[str], wanted: Collection[str] = _SHOWN) -> dict[str, pd.DataFrame]:
        chosen, some = segments.choose(asked := conditions(shop, only_users)), shop
        if asked:
            some = _shop_of(shop, rows[rows.index.isin(chosen)])
            some.require("slot_attribution", "events")
            check_data(some, rules, targets, _summed(segments.of(held.events), ["event"], "int64"))
        of_slots = "purchase" if own else _SLOTS
        used = [one for one in parts if set(wanted) - {"slot_metrics"} or one == of_slots]
        sums = _sums(some, held, segments, {one: parts[one] for one in used}, replicates > 0)
        if "markov" in models and set(wanted) - {"slot_metrics"}:
            sums |= _with_markov(shop, held, segments, sums, possible_targets(shop, targets), confidence_level)
        seen = ask_counts()
        seen["slot_id"] = seen["slot_id"].astype(str)
        by_slot = sums[of_slots] if some.has("orders") else None
        return core_tables(
            some,
            names,
            seen,
            {one: sums[one] for one in possible_targets(some, targets) if one in used},
            Purchases(by_slot, shown),
            models,
            resampling,
            credit_to=rules.credit_to,
            top_n=top_n,
            wanted=wanted,
        )

    return answer


# -- Holding -----------------------------------------------------------------------------------------------


def _hold(shop: Shop, sales: Sales, parts: Mapping[str, _Part], weights: Weights, period: Period) -> _Held | None:
    """Compute once whatever an answer is summed from; None where that cannot be held."""
    cells, everything, moves = {}, {}, {}
    for number, (name, part) in enumerate(parts.items()):
        touched = touches(sales, part.rules, period)
        converted = conversions(sales, part.rules, part.target, period)
        found = totals(sales, part.rules, part.target, period, total_measure(shop, part.target))
        everything[name] = shop.hold(f"live_slot_totals_{number}", _split(found))
        busy = shop.collect(everything[name].aggregate(users=_.busy_users.sum().fill_null(0)))["users"].item()
        try:
            way = find_way(shop, touched, converted, part.rules, part.target, int(busy))
        except ParameterError:
            return None
        keys = ["credited_id", "user_bucket"]
        found = credit_cells(way, touched, converted, sales, part.rules, part.models, weights, keys)
        cells[name] = shop.hold(f"live_slot_cells_{number}", _split(found))
        if "markov" not in part.models:
            continue
        ids = shop.collect(touched.aggregate(ids=touched.credited_id.nunique()))["ids"].item()
        if ids > weights.markov_states:
            return None
        ways = {
            "conversion": credit_moves(way, touched, converted, sales, part.rules),
            "null": leaving_moves(touched, converted, part.rules, period),
        }
        for end, found in ways.items():
            kept = shop.hold(f"live_slot_{end}_moves_{number}", _split(found, "bucket", 64))
            moves[f"{name} {end}"] = kept
    events = sales.events.group_by(["event", "user_bucket"]).aggregate(rows=_.count())
    return _Held(
        shop.hold("live_slot_events", _split(events)),
        shop.hold("live_slot_counts", _split(promotion_counts(sales.events, period, "slot_id"))),
        _united(shop, "live_slot_cells", cells),
        _united(shop, "live_slot_totals", everything),
        _united(shop, "live_slot_moves", moves),
    )


def _by_segment(shop: Shop, segments: Segments) -> Sales:
    """The tables of journeys, whose buckets tell segments apart too: bucket + 256 × segment, 0 for users not listed."""

    def split(name: str, table: ir.Table) -> ir.Table:
        numbered = segments.numbered(table)
        number = numbered.user_bucket.cast("int64") + _BUCKETS * numbered.user_segment
        return shop.engine.named(f"live_slot_{name}", numbered.mutate(user_bucket=number).drop("user_segment"))

    sales = sales_of(shop)
    orders = None if sales.orders is None else split("orders", sales.orders)
    return replace(sales, events=split("events", sales.events), orders=orders)


def _split(table: ir.Table, bucket: str = "user_bucket", buckets: int = _BUCKETS) -> ir.Table:
    """Segment and bucket of users as columns of their own; other numbers as floats, which engines sum fastest."""
    both = table[bucket]
    floats = {
        name: table[name].cast("float64")
        for name, type_ in table.schema().items()
        if type_.is_integer() and name != bucket
    }
    return table.mutate(
        user_segment=(both // buckets).cast("int64"), **{bucket: (both % buckets).cast("int64")}, **floats
    )


def _rows(shop: Shop, sales: Sales) -> pd.DataFrame:
    """How many rows of which table are of the users of which segment."""
    kinds = {"events": sales.events}
    if sales.orders is not None:
        kinds["orders"] = sales.orders
    if sales.orders is not None and sales.lines is not None:
        of_orders = sales.orders.select("user_bucket", of_order=sales.orders.order_id)
        kinds["order_lines"] = sales.lines.join(of_orders, sales.lines.order_id == of_orders.of_order)
    counts = {}
    for kind, rows in kinds.items():
        counted = rows.select(segment=rows.user_bucket // _BUCKETS).group_by("segment").aggregate(rows=_.count())
        counts[kind] = shop.collect(counted).dropna().set_index("segment")["rows"]
    return pd.DataFrame(counts).fillna(0).astype("int64")


def _united(shop: Shop, name: str, parts: Mapping[str, ir.Table]) -> ir.Table | None:
    """All parts under one another; numbers that a part does not have are 0."""
    if not parts:
        return None
    types = {column: type_ for one in parts.values() for column, type_ in one.schema().items()}
    rows = [
        table.select(
            part=ibis.literal(part),
            **{one: table[one].cast(types[one]) if one in table.columns else ibis.literal(0.0) for one in types},
        )
        for part, table in parts.items()
    ]
    return shop.engine.named(name, ibis.union(*rows))


# -- Answering ---------------------------------------------------------------------------------------------


def _summed(table: ir.Table, by: Sequence[str], type_: str = "float64") -> ir.Table:
    """Sums by fewer columns."""
    numbers = [name for name, kind in table.schema().items() if kind.is_numeric() and name not in (*by, *_KEYS)]
    # DuckDB keeps a column of 1.0 as decimals.
    return table.group_by(list(by)).aggregate(
        **{name: table[name].cast("float64").sum().cast(type_) for name in numbers}
    )


def _shop_of(shop: Shop, rows: pd.DataFrame) -> Shop:
    """The shop that knows how many rows the users chosen have; its tables are those of all."""
    reach = dict(shop.reach)
    for name in ("events", "orders", "order_lines"):
        if name in reach:
            every, count = reach[name], int(rows[name].sum()) if name in rows else 0
            reach[name] = {"source_row_count": every["row_count"], **every, "row_count": count}
    return replace(shop, reach=reach)


def _sums(
    shop: Shop, held: _Held, segments: Segments, parts: Mapping[str, _Part], by_bucket: bool
) -> dict[str, TargetSums]:
    """Credit of parts under the rule models for some users; ``shop`` tells whether their orders carry money."""
    if not parts or held.cells is None or held.totals is None:
        return {}
    own, all_there_is = (segments.of(one.filter(one.part.isin(list(parts)))) for one in (held.cells, held.totals))
    keys = ["part", "credited_id", *(["user_bucket"] if by_bucket else [])]
    cells = shop.collect(_summed(own, keys))
    totals_by_bucket = all_there_is.group_by(["part", "user_bucket"]).aggregate(
        **{name: all_there_is[name].sum() for name in ("conversions", "amount", "squares")},
        largest=all_there_is.largest.max(),
    )
    everything = shop.collect(totals_by_bucket)
    return {
        name: arranged(
            shop,
            part.target,
            cells[cells["part"] == name].drop(columns="part"),
            everything[everything["part"] == name].drop(columns="part"),
            by_bucket=by_bucket,
        )
        for name, part in parts.items()
    }


def _with_markov(
    shop: Shop,
    held: _Held,
    segments: Segments,
    sums: Mapping[str, TargetSums],
    targets: Sequence[str],
    confidence_level: float,
) -> dict[str, TargetSums]:
    """The sums of these targets with their Markov shares."""
    if held.moves is None:
        return {}
    moves = shop.collect(_summed(segments.of(held.moves), ["part", "bucket", "origin", "destination"]))

    def of(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return moves[moves["part"] == f"{name} conversion"], moves[moves["part"] == f"{name} null"]

    return {name: with_markov(sums[name], partial(of, name), confidence_level) for name in targets}
