"""What an analysis hands on: small tables, sentences that rest on them, and limits. Nothing else is shown."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from types import MappingProxyType
from typing import Literal, ParamSpec

import pandas as pd

from workbench.language import Language
from workbench.mask import mask_below, masked
from workbench.period import Period

Evidence = Literal["randomized", "observed", "descriptive"]
Kind = Literal["level", "sum", "distinct", "open"]


@dataclass(frozen=True)
class Cell:
    """The place in a table on which a sentence rests: ``tables[table]`` where ``key`` holds, ``column``."""

    table: str
    key: Mapping[str, object]
    column: str


@dataclass(frozen=True)
class Finding:
    """One sentence with its number.

    Attributes
    ----------
    name
        Stable name, the same in every language and run, such as ``best_channel``.
    text
        The sentence in the report's language.
    cell
        Where the number stands.
    value
        The number itself (None if the sentence says that there is none).
    """

    name: str
    text: str
    cell: Cell
    value: float | None = None


@dataclass(frozen=True)
class Action:
    """What to do next: the advice, its money, the interval of that money, and how strong the evidence is.

    ``amount`` is None where the data carry no money; ``basis`` says in words what the amount is.
    """

    name: str
    text: str
    cell: Cell
    amount: float | None
    ci_lower: float | None
    ci_upper: float | None
    basis: str
    evidence: Evidence = "descriptive"


@dataclass(frozen=True)
class Alert:
    """Something that went beyond its own history, for whoever watches: a person or a scheduler.

    Attributes
    ----------
    name
        Stable name, such as ``high_low_stopped``.
    text
        The sentence in the report's language.
    cell
        Where the number stands.
    value, expected_value
        What was found and what was usual, in the cell's unit.
    amount
        Money of it; None where the data carry none.
    start_date, end_date
        The first of its days and the day after the last one.
    since_date
        Where the alerts began that lead without a gap to this one.
    is_current
        Whether it is of the last days of the report; others are history.
    """

    name: str
    text: str
    cell: Cell
    value: float
    expected_value: float
    amount: float | None
    start_date: str
    end_date: str
    since_date: str
    is_current: bool


@dataclass(frozen=True)
class Watch:
    """What an analysis that watches found.

    Attributes
    ----------
    alerts
        Most money first.
    is_judged
        Whether the newest days had history enough to be judged; without, silence says nothing.
    """

    alerts: tuple[Alert, ...]
    is_judged: bool

    @property
    def rings(self) -> bool:
        """Whether an alert is of the last days of the report."""
        return any(one.is_current for one in self.alerts)


@dataclass(frozen=True)
class Figure:
    """A headline number, to be held against the same one of the report before.

    Which numbers an analysis gives must not depend on how large they are (the best of many falls back by chance alone):
    those of a segment are chosen by its size.

    Attributes
    ----------
    name
        Stable name, the same in every language; figures of two reports are held against each other by it.
    label
        Words in the report's language.
    cell
        Where the number stands.
    value, ci_lower, ci_upper
        The number, and its interval at the report's confidence level; None where the number is exact or its interval unknown.
    unit
        As in the glossary: ``count``, ``amount``, ``rate``, ``points``, ``hours`` or ``number``.
    better
        Which direction is welcome: ``up``, ``down``, or "" where neither is.
    kind
        What more days do to it. ``level``: nothing. ``sum``: it adds up day by day. ``distinct``: it counts each user once,
        so it can be held only against as many days. ``open``: it still grows while the data go on, so it can be held only
        against as many days that were followed as long.
    days
        How many days up to the end of the report it counts; None for those of the report.
    """

    name: str
    label: str
    cell: Cell
    value: float
    ci_lower: float | None = None
    ci_upper: float | None = None
    unit: str = "number"
    better: Literal["up", "down", ""] = ""
    kind: Kind = "level"
    days: int | None = None


def figures_at(
    tables: Mapping[str, pd.DataFrame],
    name: str,
    label: str,
    cell: Cell,
    *,
    interval: tuple[str, str] | None = None,
    unit: str,
    better: Literal["up", "down", ""] = "",
    kind: Kind = "level",
    days: int | None = None,
) -> tuple[Figure, ...]:
    """The figure that stands in a cell; none where the cell is missing, or empty.

    Parameters
    ----------
    tables
        Of the analysis.
    interval
        Columns of its lower and upper end, in the same row; None where the number is exact.
    name, label, cell, unit, better, kind, days
        As in `Figure`.
    """
    table = tables.get(cell.table)
    if table is None or any(one not in table for one in (cell.column, *cell.key)):
        return ()
    for column, wanted in cell.key.items():
        table = table[table[column] == wanted]
    if len(table) != 1:
        return ()
    value = _number(table[cell.column].iloc[0])
    if value is None:
        return ()
    ends = [_number(table[one].iloc[0]) if one in table else None for one in interval or ()]
    lower, upper = ends if len(ends) == 2 and None not in ends else (None, None)
    return (Figure(name, label, cell, value, lower, upper, unit, better, kind, days),)


def _number(value: object) -> float | None:
    """A finite number as it is; None for anything else."""
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Headline:
    """The first screen: one sentence, one short table, and up to three actions.

    Attributes
    ----------
    verdict
        The sentence a manager remembers.
    table
        Short, already in words of the report's language (headers and cells are text), at most seven rows
        and six columns. Its numbers stand in full in ``source``.
    source
        Name of the table it was made from.
    actions
        At most three.
    """

    verdict: str
    table: pd.DataFrame
    source: str
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """A finished analysis.

    Attributes
    ----------
    name
        Name of the notebook's question, such as ``channel_comparison``.
    lang
        Language of all sentences.
    period
        The days it speaks of.
    tables
        Tidy tables by name, rows in a stated order. Charts and reports read only these.
    headline
        The first screen.
    findings
        Sentences with their numbers, most important first.
    notes
        Assumptions made and limits of what can be concluded.
    flags
        For the first screen: red ones such as stale data, an empty period, a table that is missing; and as ``Setting`` what
        was asked for and narrows every number.
    watch
        What was found by watching; None where the analysis watches nothing.
    figures
        Headline numbers that the next report is held against, at most seven.
    parameters
        What it was asked with, defaults included; see `remembers`.
    mask_below
        Numbers of fewer people were taken out of it; 0 where none was.
    """

    name: str
    lang: Language
    period: Period
    tables: Mapping[str, pd.DataFrame]
    headline: Headline
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = field(default=())
    watch: Watch | None = None
    figures: tuple[Figure, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    mask_below: int = 0

    def __post_init__(self) -> None:
        """Freeze the mapping of tables, so that a chart cannot swap one."""
        object.__setattr__(self, "tables", MappingProxyType(dict(self.tables)))


P = ParamSpec("P")


def remembers(analyse: Callable[P, Analysis]) -> Callable[P, Analysis]:
    """Let the answer of an analysis know with what it was asked, the shop aside, and keep to itself what must not be shown.

    What that is, the environment says; see ``workbench.mask``.
    """
    signature = inspect.signature(analyse)

    @wraps(analyse)
    def asked(*given: P.args, **named: P.kwargs) -> Analysis:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        parameters = {name: value for name, value in bound.arguments.items() if name != "shop"}
        least = mask_below()
        answer = replace(analyse(*given, **named), parameters=MappingProxyType(parameters))
        return masked(answer, least)

    return asked
