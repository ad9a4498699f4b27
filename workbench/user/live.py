"""The groups of any users within a blink: what each did in each window is held once, with what users are chosen by."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import ibis.expr.types as ir
import pandas as pd

from workbench.language import Language
from workbench.metrics.user_states import (
    Line,
    UserStates,
    bucket_sums,
    is_member,
    move_sums,
    ordered_values,
    value_range,
)
from workbench.source.restriction import Segments, conditions
from workbench.source.shop import Shop
from workbench.user.migration import moves_of
from workbench.user.quadrants import (
    GROUP_TABLES,
    HeldUsers,
    QuadrantRules,
    find_lines,
    group_tables,
    hold_users,
    names_of,
)

Answer = Callable[..., dict[str, pd.DataFrame]]


def live_tables(shop: Shop, parameters: Mapping[str, object]) -> Answer:
    """Hold what users did, so that other users cost the drawing of lines instead of a new count.

    Parameters
    ----------
    shop
        The shop with all its users.
    parameters
        Those of ``segment_users``; ``only_users`` among them does not matter.

    Returns
    -------
    callable
        From ``only_users`` (and ``wanted``, names of tables) to ``quadrants``, ``migration`` and ``migration_alerts``, equal
        to those of ``segment_users``; it raises its errors too.

    Notes
    -----
    The questions over all periods are long, and to write them for the engine takes longer than to answer them. They are
    written once, over rows that tell the users chosen and their thresholds.
    """
    names = set(QuadrantRules.__dataclass_fields__)
    given: dict[str, Any] = {name: value for name, value in parameters.items() if name in names}
    if isinstance(given.get("threshold"), list | tuple):
        given["threshold"] = dict(zip("xy", given["threshold"], strict=True))
    rules, lang = QuadrantRules(**given), cast(Language, parameters.get("lang", "en"))
    period = shop.period(
        parameters.get("start_date"), parameters.get("end_date"), str(parameters.get("timezone", "UTC"))
    )
    held = hold_users(shop, period, rules)
    segments = Segments(shop) if shop.has("users") else None
    asked = _Asked(shop, held, rules, segments)

    def answer(only_users: Sequence[str], wanted: Sequence[str] = GROUP_TABLES) -> dict[str, pd.DataFrame]:
        chosen = conditions(shop, only_users)
        if segments is not None:
            segments.choose(chosen)
        x, y, _unknown, _one_sided = find_lines(shop, held, rules, asked.ranges, asked.values_at)
        moves, buckets = asked.sums(x, y)
        named = names_of(rules, x, y, lang)
        tables = group_tables(
            shop, held, rules, moves_of(moves, len(held.periods)), buckets, named, x, y, wanted=wanted
        )
        if "quadrants" in tables:
            tables["quadrants"] = tables["quadrants"].assign(x_metric=rules.x_metric, y_metric=rules.y_metric)
        return tables

    return answer


class _Asked:
    """The long questions, written once; each answer puts other users, places and thresholds behind them."""

    def __init__(self, shop: Shop, held: HeldUsers, rules: QuadrantRules, segments: Segments | None) -> None:
        engine, every = shop.engine, held.users
        if segments is not None:
            people = segments.of_people(held.tables["users"]).select("user_key", "user_segment")
            every = every.left_join(people, "user_key").drop("user_key_right")
            every = shop.hold("live_user_windows", every.mutate(user_segment=every.user_segment.fill_null(0)))
        metrics, only = (rules.x_metric, rules.y_metric), not rules.include_users_without_orders
        self._lines = engine.rows(x_line="float64", y_line="float64")
        self._places = engine.rows(low="int64", high="int64")

        def users() -> ir.Table:
            return every if segments is None else segments.of(every)

        def states(of: ir.Table, **more: Any) -> UserStates:
            x, y = (Line(metric, 0.0, rules.hysteresis) for metric in metrics)
            return UserStates(of, held.periods, x, y, with_buyers_only=only, **more)

        def coded() -> ir.Table:
            known = states(users().cross_join(self._lines.table), thresholds=("x_line", "y_line"))
            return known.coded(lambda part, table: engine.named(f"live_users_{part}", table)).users

        kept, self._code = engine.holding("live_users", coded)

        def values(metric: str) -> ir.Table:
            some, at = users(), self._places.table
            inside = is_member(some, metrics, held.reference, with_buyers_only=only)
            places = [at.low.as_scalar(), at.high.as_scalar()]
            return ordered_values(some, metric, inside, held.periods, held.reference, places)

        self.ranges = engine.prepared(
            lambda: value_range(users(), metrics, held.periods, held.reference, with_buyers_only=only)
        )
        self._values = {one: engine.prepared(partial(values, one)) for one in metrics}
        self._moves = engine.prepared(lambda: move_sums(states(kept(), is_coded=True)))
        self._buckets = engine.prepared(lambda: bucket_sums(states(kept(), is_coded=True))) if shop.has_money else None

    def values_at(self, metric: str, places: Sequence[int]) -> pd.DataFrame:
        """From ``ordered_values``, of the users chosen."""
        low, high = places
        self._places.put(low=[low], high=[high])
        return self._values[metric]()

    def sums(self, x: Line, y: Line) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """From ``move_sums`` and, where there is money, ``bucket_sums``, of the users chosen."""
        self._lines.put(x_line=[x.threshold], y_line=[y.threshold])
        self._code()
        return self._moves(), self._buckets() if self._buckets is not None else None
