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
    """Words for one pair of metrics."""

    x: str
    y: str
    quadrants: Four


class Strategies(_Strict):
    """All words about groups."""

    metrics: dict[str, Words]
    pairs: list[Pair]
    other: Words

    def metric(self, name: str, lang: Language) -> str:
        """Name of a metric; a column of users is called by its own name."""
        return self.metrics[name].of(lang) if name in self.metrics else name.replace("_", " ")

    def _group(self, x: str, y: str, quadrant: str) -> Group | None:
        found = [one for one in self.pairs if (one.x, one.y) == (x, y)]
        return getattr(found[0].quadrants, quadrant) if found else None

    def name(self, x: str, y: str, quadrant: str, lang: Language) -> str:
        """Name of a quadrant of two metrics.

        Examples
        --------
        >>> load_strategies().name("visit_days", "paid_amount", "high_low", "en")
        'Frequent but low-value'
        >>> load_strategies().name("orders", "sessions", "high_low", "en")
        'High orders, low sessions'
        """
        group = self._group(x, y, quadrant)
        if group is not None:
            return group.name.of(lang)
        first, second = quadrant.split("_")
        words = {"high": say(lang, "high ", "高"), "low": say(lang, "low ", "低")}
        text = words[first] + self.metric(x, lang) + say(lang, ", ", "、") + words[second] + self.metric(y, lang)
        return text[0].upper() + text[1:]

    def strategy(self, x: str, y: str, quadrant: str, lang: Language) -> str:
        """What is advised for a quadrant of two metrics."""
        group = self._group(x, y, quadrant)
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
        return f"is not known{nearest(str(one['loc'][-1]), known)}"
    return {"missing": "is missing"}.get(one["type"], one["msg"].lower())
