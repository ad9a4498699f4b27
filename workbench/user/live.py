"""The groups of any users within a blink: what each did in each window is held once, with what users are chosen by."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import ibis
import ibis.expr.types as ir
import pandas as pd

from workbench.contract import UNKNOWN
from workbench.language import Language
from workbench.metrics.user_states import Line, UserStates, bucket_sums, move_sums, value_range
from workbench.source.restriction import COLUMNS, check_conditions, conditions, is_chosen, user_counts
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
_NUMBERS = itertools.count(1)


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
    written once, over a view that holds the users chosen and their thresholds.
    """
    names = set(QuadrantRules.__dataclass_fields__)
    given: dict[str, Any] = {name: value for name, value in parameters.items() if name in names}
    if isinstance(given.get("threshold"), list | tuple):
        given["threshold"] = dict(zip("xy", given["threshold"], strict=True))
    rules, lang = QuadrantRules(**given), cast(Language, parameters.get("lang", "en"))
    period = shop.period(
        parameters.get("start_date"), parameters.get("end_date"), str(parameters.get("timezone", "UTC"))
    )
    held, counts = hold_users(shop, period, rules), None
    every = held.users
    if shop.has("users"):
        people = held.tables["users"]
        texts = {name: people[name].cast("string").fill_null(UNKNOWN) for name in COLUMNS if shop.has("users", name)}
        every = every.left_join(people.select("user_key", **texts), "user_key").drop("user_key_right")
        counts = user_counts(shop)
    every = shop.hold("live_user_windows", every)
    asked = _Asked(shop, held, rules, every)

    def answer(only_users: Sequence[str], wanted: Sequence[str] = GROUP_TABLES) -> dict[str, pd.DataFrame]:
        chosen, users = conditions(shop, only_users), every
        if chosen and counts is not None:
            check_conditions(shop, chosen, counts)
            users = every.filter(every.is_told, *is_chosen(every, chosen))
        x, y, _unknown, _one_sided = find_lines(shop, users, held, rules, asked.ranges(users))
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
    """The long questions, written once; each answer puts other users and thresholds behind them."""

    def __init__(self, shop: Shop, held: HeldUsers, rules: QuadrantRules, every: ir.Table) -> None:
        self._shop, self._name = shop, f"live_users_{next(_NUMBERS)}"
        metrics, only = (rules.x_metric, rules.y_metric), not rules.include_users_without_orders
        view = self._chosen(every).cross_join(self._lines(0.0, 0.0))
        x, y = (Line(metric, 0.0, rules.hysteresis) for metric in metrics)
        states = UserStates(view, held.periods, x, y, with_buyers_only=only, thresholds=("x_line", "y_line"))
        codes = {f"code_{k}": code for k, code in enumerate(states.codes())}
        coded, self._code = shop.engine.holding(self._name, view.mutate(**codes).drop(*_unread(view)))
        states = replace(states, users=coded, is_coded=True)
        ranges = value_range(view, metrics, held.periods, held.reference, with_buyers_only=only)
        self._ranges, self._moves = shop.engine.prepared(ranges), shop.engine.prepared(move_sums(states))
        self._buckets = shop.engine.prepared(bucket_sums(states)) if shop.has_money else None

    def _chosen(self, users: ir.Table) -> ir.Table:
        return self._shop.engine.named(self._name, users)

    def _lines(self, x: float, y: float) -> ir.Table:
        row = ibis.literal(x, "float64").name("x_line").as_table().mutate(y_line=ibis.literal(y, "float64"))
        return self._shop.engine.named(f"{self._name}_lines", row)

    def ranges(self, users: ir.Table) -> pd.DataFrame:
        """From ``value_range``."""
        self._chosen(users)
        return self._ranges()

    def sums(self, x: Line, y: Line) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """From ``move_sums`` and, where there is money, ``bucket_sums``, of the users whose ranges were asked last."""
        self._lines(x.threshold, y.threshold)
        self._code()
        return self._moves(), self._buckets() if self._buckets is not None else None


def _unread(users: ir.Table) -> list[str]:
    """Columns that no question reads once users have their quadrants."""
    return [name for name in (*COLUMNS, "is_told") if name in users.columns]
