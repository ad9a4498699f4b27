"""What an analysis hands on: small tables, sentences that rest on them, and limits. Nothing else is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import pandas as pd

from workbench.language import Language
from workbench.period import Period

Evidence = Literal["randomized", "observed", "descriptive"]


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
        Red flags for the first screen: stale data, an empty period, a table that is missing.
    """

    name: str
    lang: Language
    period: Period
    tables: Mapping[str, pd.DataFrame]
    headline: Headline
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Freeze the mapping of tables, so that a chart cannot swap one."""
        object.__setattr__(self, "tables", MappingProxyType(dict(self.tables)))
