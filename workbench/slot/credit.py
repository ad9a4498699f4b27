"""Collect what each slot is credited with, by bucket of users, for one target under all models at once."""

from collections.abc import Callable, Sequence
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
    Measure,
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
    everything = shop.collect(totals(sales, rules, target, period, total_measure(shop, target)))
    way = find_way(shop, touched, converted, rules, target, int(everything["busy_users"].sum()))
    keys = ["credited_id", *(["user_bucket"] if by_bucket else [])]
    cells = shop.collect(credit_cells(way, touched, converted, sales, rules, models, weights, keys))
    found = arranged(shop, target, cells, everything, by_bucket=by_bucket)
    if "markov" not in models:
        return found

    def moves() -> tuple[pd.DataFrame, pd.DataFrame]:
        states = _tail_grouped(shop, touched, weights.markov_states)
        ways = credit_moves(way, states, converted, sales, rules), leaving_moves(states, converted, rules, period)
        return shop.collect(ways[0]), shop.collect(ways[1])

    return with_markov(found, moves, confidence_level)


def total_measure(shop: Shop, target: str) -> Measure:
    """What the size of a buyer is told by: money where the target carries some."""
    return "amount" if target in ORDER_TARGETS and shop.has_money else "conversions"


def find_way(
    shop: Shop, touched: ir.Table, converted: ir.Table, rules: JourneyRules, target: str, busy_users: int
) -> str:
    """How touches and conversions find each other: ``join``, ``nearest`` or ``split``.

    Raises
    ------
    ParameterError
        Users with very many conversions whom no way serves.
    """
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


def credit_cells(
    way: str,
    touched: ir.Table,
    converted: ir.Table,
    sales: Sales,
    rules: JourneyRules,
    models: Sequence[str],
    weights: Weights,
    keys: list[str],
) -> ir.Table:
    """Credit under the rule models among those given, one row per value of the keys; see ``metrics.credit.rule_credit``."""
    people, robots = _split(way, touched, converted)
    asked = {
        "models": [one for one in models if one != "markov"],
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


def credit_moves(way: str, touched: ir.Table, converted: ir.Table, sales: Sales, rules: JourneyRules) -> ir.Table:
    """Moves of all journeys that convert, as ``metrics.transitions.converting_moves`` has them."""
    people, robots = _split(way, touched, converted)
    moves = converting_moves(pairs(*people, rules, by_nearest=way == "nearest"), rules)
    if robots is None:
        return moves
    orders = None if sales.orders is None else sales.orders.semi_join(busy_users(converted), "user_id")
    return ibis.union(moves, robot_moves(*robots, orders, rules).select(moves.columns))


def arranged(shop: Shop, target: str, cells: pd.DataFrame, everything: pd.DataFrame, *, by_bucket: bool) -> TargetSums:
    """Turn collected credit and totals into sums by bucket.

    Parameters
    ----------
    shop
        Whose orders these are; tells whether they carry money.
    target
        What is credited.
    cells
        From ``credit_cells``; the frame is changed.
    everything
        From ``metrics.journeys.totals``.
    by_bucket
        Whether there are 256 buckets or one.

    Raises
    ------
    TableError
        An id that the tables use for something else.
    """
    buckets, has_amount = 256 if by_bucket else 1, total_measure(shop, target) == "amount"
    numbers = [name for name in cells.columns if name not in ("credited_id", "user_bucket")]
    cells[numbers] = cells[numbers].astype("float64").fillna(0.0)
    ids, item = _numbered(cells["credited_id"])
    if DIRECT in ids or OTHER in ids:
        raise TableError(
            f'slot ids: "{DIRECT if DIRECT in ids else OTHER}" is used by the tables of this report for something else. '
            "Rename this id in the source, or with values in a mapping (data/README.md)."
        )
    cells["item"] = item
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


def _numbered(names: pd.Series) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """The names there are, in order, and the place of each row among them; -1 for null."""
    codes, found = pd.factorize(names)
    ids, place = np.unique(np.asarray(found, dtype=str), return_inverse=True)
    return ids, np.append(place, -1)[codes].astype(np.int64)


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


def with_markov(
    found: TargetSums, moves: Callable[[], tuple[pd.DataFrame, pd.DataFrame]], confidence_level: float
) -> TargetSums:
    """Add the Markov shares, or the reason why there are none.

    Parameters
    ----------
    found
        Credit under the rule models.
    moves
        Gives the moves that end in a conversion and those that end in null; asked only where something has a touch.
    confidence_level
        Coverage of intervals.
    """
    if not found.matched["conversions"].sum():
        return replace(found, refusal="no_journeys")
    converting, leaving = moves()
    if leaving.empty:
        return replace(found, refusal="no_null_journeys")
    try:
        states, shares = _solved(converting, leaving, confidence_level)
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
    converting: pd.DataFrame, leaving: pd.DataFrame, confidence_level: float
) -> tuple[NDArray[np.str_], MarkovShares]:
    """Turn the collected moves into arrays by 64 buckets and solve; the states in their order, and their shares."""
    both = (converting, leaving)
    states, place = _numbered(pd.concat([*(one["origin"] for one in both), *(one["destination"] for one in both)]))
    origin, destination = np.split(place, 2)
    bucket, journeys = (
        np.concatenate([one[name].to_numpy(dtype=type_) for one in both])
        for name, type_ in (("bucket", np.int64), ("journeys", np.float64))
    )
    count = len(states)

    def by_bucket(state: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Floats:
        cell = bucket[chosen] * count + state[chosen]
        return np.bincount(cell, journeys[chosen], minlength=64 * count).reshape(64, count).astype(float)

    leaves, converts = destination < 0, np.arange(len(origin)) < len(converting)
    # What starts at a slot is what leaves it less what comes to it.
    starts = by_bucket(origin, np.ones_like(leaves)) - by_bucket(destination, ~leaves)
    moves = BucketMoves(bucket[~leaves], origin[~leaves], destination[~leaves], journeys[~leaves])
    ends = (by_bucket(origin, leaves & one) for one in (converts, ~converts))
    return states, jackknife_shares(starts, moves, *ends, confidence_level=confidence_level)
