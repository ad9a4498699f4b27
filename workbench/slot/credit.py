"""Collect what each slot is credited with, by bucket of users, for one target under all models at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contract import CENT, DIRECT
from workbench.errors import EstimationError, ParameterError, TableError
from workbench.metrics.credit import rule_credit
from workbench.metrics.journeys import (
    MANY_CONVERSIONS,
    ORDER_TARGETS,
    JourneyRules,
    Sales,
    busy_users,
    conversions,
    pairs,
    reach,
    totals,
    touches,
)
from workbench.metrics.robots import robot_credit, robot_moves
from workbench.metrics.transitions import converting_moves, leaving_moves
from workbench.period import HOUR_MS, Period
from workbench.source.shop import Shop
from workbench.stats.intervals import effective_count
from workbench.stats.markov import (
    OTHER,
    BucketMoves,
    MarkovShares,
    group_tail,
    jackknife_shares,
)

Floats = NDArray[np.float64]
MOST_PAIRS = 100_000_000
"""So many touches times conversions of busy users are tried one by one; only ``key_event`` needs it."""


@dataclass(frozen=True)
class Weights:
    """What the models need to be told: hours, three weights, and the number of states of the Markov chain."""

    half_life_hours: float = 24
    position_weights: tuple[float, float, float] = (0.4, 0.2, 0.4)
    markov_states: int = 500


@dataclass(frozen=True)
class TargetSums:
    """Credit of one target by bucket of users.

    Attributes
    ----------
    target
        What is credited.
    ids
        What has credit, as text, without ``(direct)``.
    buckets
        Number of buckets of users; 1 where no intervals are wanted.
    has_amount
        Whether the target carries money.
    cells
        One row per credited id (``item``, a position in ``ids``) and ``bucket``: ``<model>_conversions`` and
        ``<model>_amount``.
    total, matched
        Per measure (``conversions``, ``amount``) all there is and what has a touch, shape (buckets,).
    alone_count
        Conversions with one touch only.
    effective, largest_share
        Effective buyers behind the target, and the share that the largest of them carries.
    markov
        Shares over ``ids`` of what has a touch; None if not asked for or not answerable, then ``refusal`` says why.
    """

    target: str
    ids: tuple[str, ...]
    buckets: int
    has_amount: bool
    cells: pd.DataFrame
    total: dict[str, Floats]
    matched: dict[str, Floats]
    alone_count: float
    effective: float
    largest_share: float
    markov: MarkovShares | None = None
    markov_ids: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def measure(self) -> str:
        """What shares and intervals are of: money where there is some."""
        return "amount" if self.has_amount else "conversions"

    def direct(self, measure: str) -> Floats:
        """What has no touch, by bucket; differences that are rounding alone are 0."""
        left = self.total[measure] - self.matched[measure]
        none = self.total["conversions"] - self.matched["conversions"] < 1e-9
        return np.where(none | (np.abs(left) < 1e-7), 0.0, left)

    def matrix(self, model: str, measure: str) -> Floats:
        """Credit by bucket, shape (buckets, ids + 1), ``(direct)`` last."""
        found = np.zeros((self.buckets, len(self.ids) + 1))
        found[self.cells["bucket"], self.cells["item"]] = self.cells[f"{model}_{measure}"]
        found[:, -1] = self.direct(measure)
        return found


def collect_target(
    shop: Shop,
    sales: Sales,
    rules: JourneyRules,
    target: str,
    period: Period,
    *,
    models: Sequence[str],
    weights: Weights,
    by_bucket: bool,
    confidence_level: float,
) -> TargetSums:
    """Bring back the credit of one target under all models.

    Users with very many conversions, robots mostly, take another way to the same numbers: their touches are not
    tried against all their conversions.
    """
    touched, converted = touches(sales, rules, period), conversions(sales, rules, target, period)
    has_amount = target in ORDER_TARGETS and shop.has_money
    everything = shop.collect(totals(sales, rules, target, period, "amount" if has_amount else "conversions"))
    way = _way(shop, touched, converted, rules, target, int(everything["busy_users"].sum()))
    keys = ["credited_id", *(["user_bucket"] if by_bucket else [])]
    cells = shop.collect(
        _credit(way, touched, converted, sales, rules, [one for one in models if one != "markov"], weights, keys)
    )
    found = _arranged(target, cells, everything, by_bucket, has_amount)
    if "markov" not in models:
        return found
    return _with_markov(shop, found, way, touched, converted, sales, rules, period, weights, confidence_level)


def _way(shop: Shop, touched: ir.Table, converted: ir.Table, rules: JourneyRules, target: str, busy_users: int) -> str:
    """How touches and conversions find each other: ``join``, ``nearest`` or ``split``."""
    if not busy_users:
        return "join"
    if target == "purchase" and rules.reset_after_order:
        return "nearest"
    if rules.key_event is None:
        longest = 2**31 // HOUR_MS
        if shop.engine.kind == "clickhouse" and rules.lookback_hours > longest:
            raise ParameterError(
                f"lookback_hours is {rules.lookback_hours:g}; {busy_users:,} users have more than {MANY_CONVERSIONS} "
                f"{target}, and for them ClickHouse's windows reach {longest} hours. Shorten it, leave {target} out of the "
                "targets, or open the same data with DuckDB."
            )
        return "split"
    met = shop.collect(reach(touched, converted)).iloc[0]
    if met["pairs"] > MOST_PAIRS:
        raise ParameterError(
            f"key_event: {met['users']:,.0f} users have so many touches and {target} that {met['pairs']:,.0f} pairs would "
            f"have to be tried; at most {MOST_PAIRS:,} are. Set key_event to null for this target, attribute purchase "
            "with reset_after_order, or drop these users, who are likely robots, from the source."
        )
    return "join"


def _split(
    way: str, touched: ir.Table, converted: ir.Table
) -> tuple[tuple[ir.Table, ir.Table], tuple[ir.Table, ir.Table] | None]:
    if way != "split":
        return (touched, converted), None
    busy = busy_users(converted)
    people = touched.anti_join(busy, "user_id"), converted.anti_join(busy, "user_id")
    return people, (touched.semi_join(busy, "user_id"), converted.semi_join(busy, "user_id"))


def _credit(
    way: str,
    touched: ir.Table,
    converted: ir.Table,
    sales: Sales,
    rules: JourneyRules,
    models: Sequence[str],
    weights: Weights,
    keys: list[str],
) -> ir.Table:
    people, robots = _split(way, touched, converted)
    asked = {
        "models": models,
        "half_life_hours": weights.half_life_hours,
        "position_weights": weights.position_weights,
        "by": keys,
    }
    found = rule_credit(pairs(*people, rules, by_nearest=way == "nearest"), rules, **asked)  # type: ignore[arg-type]
    if robots is None:
        return found
    orders = None if sales.orders is None else sales.orders.semi_join(busy_users(converted), "user_id")
    other = robot_credit(*robots, orders, rules, **asked).select(found.columns)  # type: ignore[arg-type]
    union = ibis.union(found, other)
    return union.group_by(keys).aggregate(**{name: union[name].sum() for name in found.columns if name not in keys})


def _arranged(
    target: str, cells: pd.DataFrame, everything: pd.DataFrame, by_bucket: bool, has_amount: bool
) -> TargetSums:
    buckets = 256 if by_bucket else 1
    numbers = [name for name in cells.columns if name not in ("credited_id", "user_bucket")]
    cells[numbers] = cells[numbers].astype("float64").fillna(0.0)
    ids = np.sort(cells["credited_id"].unique().astype(str))
    if DIRECT in ids or OTHER in ids:
        raise TableError(
            f'slot ids: "{DIRECT if DIRECT in ids else OTHER}" is used by the tables of this report for something else. '
            "Rename this id in the source, or with values in a mapping (data/README.md)."
        )
    cells["item"] = np.searchsorted(ids, cells["credited_id"].astype(str))
    cells["bucket"] = cells["user_bucket"].astype("int64") if by_bucket else 0
    # Shares of a total that refunds have eaten up mean nothing: then conversions are shared.
    has_amount = has_amount and everything["amount"].fillna(0.0).sum() > CENT / 2
    measures, measure = ("conversions", "amount"), "amount" if has_amount else "conversions"
    known = everything[everything["user_bucket"].notna()]
    carried = known[measure].sum()
    everything = _spread(everything) if by_bucket and everything["user_bucket"].isna().any() else everything
    everything["bucket"] = everything["user_bucket"].astype("int64") if by_bucket else 0
    return TargetSums(
        target=target,
        ids=tuple(ids),
        buckets=buckets,
        has_amount=has_amount,
        cells=cells.drop(columns=["credited_id", *(["user_bucket"] if by_bucket else [])]),
        total={name: _by_bucket(everything, name, buckets) for name in measures},
        matched={name: _by_bucket(cells, f"matched_{name}", buckets) for name in measures},
        alone_count=float(cells["alone_conversions"].sum()),
        effective=effective_count(carried, known["squares"].sum()),
        largest_share=known["largest"].max() / carried if carried else float("nan"),
    )


def _spread(everything: pd.DataFrame) -> pd.DataFrame:
    """Conversions without a user are many unknown people, not one: spread them evenly over the buckets."""
    nobody = everything["user_bucket"].isna()
    every = pd.DataFrame({"user_bucket": range(256)})
    spread = everything[~nobody].merge(every, on="user_bucket", how="right").fillna(0.0)
    for name in ("conversions", "amount"):
        spread[name] += everything.loc[nobody, name].fillna(0.0).sum() / 256
    return spread


def _by_bucket(table: pd.DataFrame, column: str, buckets: int) -> Floats:
    values = table[column].astype("float64").fillna(0.0).to_numpy()
    return np.bincount(table["bucket"].to_numpy(dtype=np.int64), weights=values, minlength=buckets).astype(float)


# -- Markov ------------------------------------------------------------------------------------------------


def _with_markov(
    shop: Shop,
    found: TargetSums,
    way: str,
    touched: ir.Table,
    converted: ir.Table,
    sales: Sales,
    rules: JourneyRules,
    period: Period,
    weights: Weights,
    confidence_level: float,
) -> TargetSums:
    """Add the Markov shares, or the reason why there are none."""
    if not found.matched["conversions"].sum():
        return replace(found, refusal="no_journeys")
    touched = _tail_grouped(shop, touched, weights.markov_states)
    people, robots = _split(way, touched, converted)
    moves = converting_moves(pairs(*people, rules, by_nearest=way == "nearest"), rules)
    if robots is not None:
        orders = None if sales.orders is None else sales.orders.semi_join(busy_users(converted), "user_id")
        moves = ibis.union(moves, robot_moves(*robots, orders, rules).select(moves.columns))
    converting = shop.collect(moves)
    leaving = shop.collect(leaving_moves(touched, converted, rules, period))
    if leaving.empty:
        return replace(found, refusal="no_null_journeys")
    every = [one[side] for one in (converting, leaving) for side in ("origin", "destination")]
    states = np.sort(pd.concat(every).dropna().unique().astype(str))
    try:
        shares = _solved(states, converting, leaving, confidence_level)
    except EstimationError:
        return replace(found, refusal="not_answerable")
    return replace(found, markov=shares, markov_ids=tuple(states))


def _tail_grouped(shop: Shop, touched: ir.Table, states: int) -> ir.Table:
    """Make one state of the less touched, where there are more than the chain may hold."""
    counted = shop.collect(touched.group_by("credited_id").aggregate(rows=touched.count()))
    if len(counted) <= states:
        return touched
    groups = group_tail(dict(zip(counted["credited_id"].astype(str), counted["rows"], strict=True)), states)
    kept = counted["credited_id"].iloc[groups.kept].tolist()
    text = touched.credited_id.cast("string")
    return touched.mutate(credited_id=touched.credited_id.isin(kept).ifelse(text, OTHER))


def _solved(
    states: NDArray[np.str_], converting: pd.DataFrame, leaving: pd.DataFrame, confidence_level: float
) -> MarkovShares:
    """Turn the collected moves into arrays by 64 buckets and solve."""
    place = {name: number for number, name in enumerate(states)}
    count = len(states)
    starts, ends = np.zeros((64, count)), {"conversion": np.zeros((64, count)), "null": np.zeros((64, count))}
    parts = []
    for kind, table in (("conversion", converting), ("null", leaving)):
        bucket = table["bucket"].to_numpy(dtype=np.int64)
        journeys = table["journeys"].to_numpy(dtype=float)
        origin = table["origin"].map(place).to_numpy(dtype=np.int64)
        destination = table["destination"].map(place).fillna(-1).to_numpy(dtype=np.int64)
        leaves = destination < 0
        # What starts at a slot is what leaves it less what comes to it.
        np.add.at(starts, (bucket, origin), journeys)
        np.add.at(starts, (bucket[~leaves], destination[~leaves]), -journeys[~leaves])
        np.add.at(ends[kind], (bucket[leaves], origin[leaves]), journeys[leaves])
        parts.append((bucket[~leaves], origin[~leaves], destination[~leaves], journeys[~leaves]))
    moves = BucketMoves(*(np.concatenate(one) for one in zip(*parts, strict=True)))
    return jackknife_shares(starts, moves, ends["conversion"], ends["null"], confidence_level=confidence_level)
