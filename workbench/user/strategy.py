"""What the four groups are called, and what is advised for them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ParameterError, nearest
from workbench.language import Language, say
from workbench.metrics.user_states import QUADRANTS

QUADRANTS_FILE = Path(__file__).with_name("quadrants.yml")
Lines = tuple[float | None, float | None]
"""Where x and y are cut; None: not told."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Words(_Strict):
    """One text in both languages."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def of(self, lang: Language) -> str:
        """The text in the language wanted."""
        return say(lang, self.en, self.zh)


class Group(_Strict):
    """Name and advice of one group."""

    name: Words
    strategy: Words


class Four(_Strict):
    """The four groups of a pair."""

    high_high: Group
    high_low: Group
    low_high: Group
    low_low: Group


class Pair(_Strict):
    """Words for one pair of metrics; with ``y_line`` for a line of y at that value alone."""

    x: str
    y: str
    y_line: float | None = None
    quadrants: Four


class Sides(_Strict):
    """What lies above a line, and what does not."""

    high: Words
    low: Words


class Strategies(_Strict):
    """All words about groups."""

    metrics: dict[str, Words]
    at_zero: dict[str, Sides] = Field(default_factory=dict)
    pairs: list[Pair]
    other: Words

    def metric(self, name: str, lang: Language) -> str:
        """Name of a metric; a column of users is called by its own name."""
        return self.metrics[name].of(lang) if name in self.metrics else name.replace("_", " ")

    def only_tells_who(self, metric: str, line: float | None) -> bool:
        """Whether a line of this metric parts those who have any of it from those who have none, not much from little.

        Examples
        --------
        >>> load_strategies().only_tells_who("paid_amount", 0.0), load_strategies().only_tells_who("paid_amount", 9.5)
        (True, False)
        """
        return line == 0 and metric in self.at_zero

    def _group(self, x: str, y: str, quadrant: str, lines: Lines) -> Group | None:
        of_pair = [one for one in self.pairs if (one.x, one.y) == (x, y)]
        at_line = [one for one in of_pair if one.y_line is not None and one.y_line == lines[1]]
        if self.only_tells_who(x, lines[0]):
            return None  # no pair has words for a line of x at 0
        found = at_line or [one for one in of_pair if one.y_line is None]
        return getattr(found[0].quadrants, quadrant) if found else None

    def _side(self, metric: str, side: str, line: float | None, lang: Language) -> str:
        if self.only_tells_who(metric, line):
            sides = self.at_zero[metric]
            return (sides.high if side == "high" else sides.low).of(lang)
        return say(lang, f"{side} ", {"high": "高", "low": "低"}[side]) + self.metric(metric, lang)

    def name(self, x: str, y: str, quadrant: str, lang: Language, lines: Lines = (None, None)) -> str:
        """Name of a quadrant of two metrics.

        Parameters
        ----------
        x, y
            Metrics.
        quadrant
            One of ``QUADRANTS``.
        lang
            Language of the name.
        lines
            Where x and y are cut; None: not told. At 0 "high" is whoever has any, and the name says so.

        Examples
        --------
        >>> words = load_strategies()
        >>> words.name("visit_days", "paid_amount", "high_low", "en")
        'Frequent but low-value'
        >>> words.name("visit_days", "paid_amount", "high_low", "en", lines=(3.0, 0.0))
        'Frequent, did not buy'
        >>> words.name("orders", "sessions", "high_low", "en"), words.name("sessions", "orders", "high_low", "en", (2.0, 0.0))
        ('High orders, low sessions', 'High sessions, did not buy')
        """
        group = self._group(x, y, quadrant, lines)
        if group is not None:
            return group.name.of(lang)
        parts = [
            self._side(metric, side, line, lang)
            for metric, side, line in zip((x, y), quadrant.split("_"), lines, strict=True)
        ]
        text = say(lang, ", ", "、").join(parts)
        return text[0].upper() + text[1:]

    def strategy(self, x: str, y: str, quadrant: str, lang: Language, lines: Lines = (None, None)) -> str:
        """What is advised for a quadrant of two metrics; parameters as of ``name``."""
        group = self._group(x, y, quadrant, lines)
        return (self.other if group is None else group.strategy).of(lang)


@cache
def load_strategies(path: Path = QUADRANTS_FILE) -> Strategies:
    """Read the words about groups.

    Parameters
    ----------
    path
        A YAML file of the form of ``quadrants.yml``.

    Raises
    ------
    ParameterError
        All faults of the file in one message.
    """
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ParameterError(f"{path.name}: this is not YAML{f' in line {mark.line + 1}' if mark else ''}.") from None
    try:
        return Strategies.model_validate(written)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc'])) or 'the file'}: {_fault(one)}" for one in error.errors()]
        raise ParameterError(f"{path.name}: {'; '.join(faults)}. Every text needs en and zh.") from None


def _fault(one: Any) -> str:
    if one["type"] == "extra_forbidden":
        known = [*Strategies.model_fields, *Pair.model_fields, *Group.model_fields, *QUADRANTS, *Words.model_fields]
        known += Sides.model_fields
        return f"is not known{nearest(str(one['loc'][-1]), known)}"
    return {"missing": "is missing"}.get(one["type"], one["msg"].lower())
