"""Rules of audiences: a YAML file, read and checked as a whole; every fault with its line."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.errors import ParameterError, nearest
from workbench.period import DAY_MS, HOUR_MS, parse_date, zone

NUMBERS = (
    "visit_days",
    "sessions",
    "orders",
    "paid_amount",
    "average_order_value",
    "days_since_last_visit",
    "categories_bought",
)
"""Numbers of a user over the window that a condition may ask for."""
_DEEDS = ("did", "did_not", "within_days", "within_hours")
_SIGNS = (">=", "<=", "between")
_SEED = 2**31
_Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Every:
    """All of these conditions hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of these conditions holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Not:
    """The condition does not hold; where a value is not known it does not hold either, so ``Not`` is true."""

    part: "Condition"


@dataclass(frozen=True)
class OneOf:
    """A quadrant, a tag or a column of users has one of these values."""

    name: str
    values: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Between:
    """A number lies between two bounds, both included; None: no bound."""

    name: str
    lower: float | None
    upper: float | None
    line: int


@dataclass(frozen=True)
class Done:
    """Did all of ``did`` in the last ``within_ms``, and none of ``did_not`` since (without ``did``: in all that time)."""

    did: tuple[str, ...]
    did_not: tuple[str, ...]
    within_ms: int
    line: int


Condition = Every | AnyOf | Not | OneOf | Between | Done


def leaves(condition: Condition) -> Iterator[OneOf | Between | Done]:
    """The single conditions of a rule."""
    if isinstance(condition, Every | AnyOf):
        for part in condition.parts:
            yield from leaves(part)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    else:
        yield condition


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Control(_Strict):
    """Who of an audience is held back: a share of it, drawn by a seed."""

    share: float = 0.1
    seed: int = 1

    @field_validator("share")
    @classmethod
    def _inside(cls, value: float) -> float:
        if not 0 < value < 1:
            if value in (0, 1):
                what = "nobody is held back" if value == 0 else "nobody is left to address"
                raise ValueError(
                    f"it is {value:g}: {what}, and nothing can be told from the audience afterwards. Give 0.1"
                )
            raise ValueError(f"it is {value:g}; it lies strictly between 0 and 1. Give 0.1")
        return value

    @field_validator("seed")
    @classmethod
    def _whole(cls, value: int) -> int:
        if not 0 <= value < _SEED:
            raise ValueError(f"it is {value}; it is a whole number from 0 to {_SEED - 1}")
        return value


class AudienceForm(_Strict):
    """One audience as written; ``where`` is read apart."""

    where: Any
    segment: str | None = None
    start_date: str | None = None
    control: Control = Field(default_factory=Control)

    @field_validator("start_date")
    @classmethod
    def _day(cls, value: str | None) -> str | None:
        parse_date(value, "start_date")
        return value


class Settings(_Strict):
    """Period, window and quadrants of the rules: the same words and defaults as the parameters of the notebook."""

    start_date: str | None = None
    end_date: str | None = None
    timezone: str = "UTC"
    x_metric: str = "visit_days"
    y_metric: str = "paid_amount"
    window_days: int = Field(default=90, ge=1)
    period_days: int = Field(default=28, ge=1)
    threshold: Any = "median"
    reference_end: str | None = None
    include_users_without_orders: bool = True
    hysteresis: float = Field(default=0.05, ge=0, lt=1)

    @field_validator("start_date", "end_date", "reference_end")
    @classmethod
    def _day(cls, value: str | None) -> str | None:
        parse_date(value, "the day")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        zone(value)
        return value


class _File(Settings):
    audiences: dict[str, AudienceForm] = Field(min_length=1)


@dataclass(frozen=True)
class AudienceRule:
    """One audience.

    Attributes
    ----------
    name
        As in the file.
    condition
        Who is in it.
    segment
        What is written beside each user: a tag, a column of users, or ``quadrant``.
    start_date
        First local day on which the audience is addressed; None: the day after the file was made.
    share, seed
        Of the control.
    line
        Where it starts in the file.
    """

    name: str
    condition: Condition
    segment: str
    start_date: str | None
    share: float
    seed: int
    line: int


@dataclass(frozen=True)
class AudienceRules:
    """A rules file.

    Attributes
    ----------
    settings
        Period, window and quadrants.
    audiences
        In the order of the file.
    name
        Name of the file.
    content
        What it says, for the manifest.
    """

    settings: Settings
    audiences: tuple[AudienceRule, ...]
    name: str
    content: Mapping[str, Any] = field(repr=False)

    def only(self, name: str | None) -> "AudienceRules":
        """The same with one audience.

        Raises
        ------
        ParameterError
            If there is none of that name.
        """
        if name is None:
            return self
        known = [one.name for one in self.audiences]
        if name not in known:
            raise ParameterError(
                f'{self.name}: there is no audience "{name}"{nearest(name, known, ".")} There are: {", ".join(known)}.'
            )
        chosen = tuple(one for one in self.audiences if one.name == name)
        content = {**self.content, "audiences": {name: self.content["audiences"][name]}}
        return AudienceRules(self.settings, chosen, self.name, content)


def load_audience_rules(path: str | Path) -> AudienceRules:
    """Read and check a rules file; names that only the shop knows are checked against it later.

    Raises
    ------
    ParameterError
        With all faults of the file, each with its line.
    """
    file = Path(path)
    if not file.is_file():
        raise ParameterError(f'rules: there is no file "{path}". Give a YAML file of audiences (docs/audiences.md).')
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ParameterError(f"{file.name}: this is not UTF-8 text.") from None
    return read_audience_rules(text, file.name)


def read_audience_rules(text: str, name: str = "rules") -> AudienceRules:
    """Read rules from their text; see ``load_audience_rules``."""
    content, lines = _content(text, name)
    if not isinstance(content, dict) or "audiences" not in content:
        raise ParameterError(f'{name}: a rules file has "audiences", each with "where"; this one has none.')
    faults: list[tuple[int, str]] = []
    form = None
    try:
        form = _File.model_validate(content)
    except ValidationError as error:
        faults += [_fault(one, lines) for one in error.errors()]
    rules = []
    named = content["audiences"] if isinstance(content["audiences"], dict) else {}
    for title, body in named.items():
        place: _Place = ("audiences", title)
        if not isinstance(body, dict) or "where" not in body:
            continue  # told above
        reader = _Reader(lines, str(title))
        condition = reader.every(body["where"], (*place, "where"))
        faults += reader.faults
        if form is not None and not faults:
            one = form.audiences[title]
            rules.append(
                AudienceRule(
                    name=title,
                    condition=condition,
                    segment=one.segment or "quadrant",
                    start_date=one.start_date,
                    share=one.control.share,
                    seed=one.control.seed,
                    line=_line(lines, place),
                )
            )
    if faults:
        raise ParameterError(listed(name, faults))
    assert form is not None
    settings = Settings.model_validate(form.model_dump(exclude={"audiences"}, exclude_unset=True))
    return AudienceRules(settings, tuple(rules), name, content)


def listed(name: str, faults: Iterable[tuple[int, str]]) -> str:
    """All faults of a rules file in one message, by line."""
    told = [f"line {line}: {text}" for line, text in sorted(set(faults))]
    return "\n".join([f"{name}: {len(told)} fault{'s' if len(told) > 1 else ''}; nothing was written.", *told])


class _Reader:
    """Reads ``where`` of one audience and gathers what is wrong with it."""

    def __init__(self, lines: Mapping[_Place, int], audience: str) -> None:
        self.lines, self.audience = lines, audience
        self.faults: list[tuple[int, str]] = []

    def every(self, body: Any, place: _Place) -> Condition:
        """A mapping or a list: all of its conditions hold."""
        if isinstance(body, list):
            return _together(tuple(self.every(one, (*place, number)) for number, one in enumerate(body)))
        if not isinstance(body, dict):
            self._add(place, f"{body!r} is not a condition such as visit_days: '>= 3'.")
            return Every(())
        if not body and len(place) == 3:
            return Every(())  # everybody; refused as such when the shop is there
        parts: list[Condition] = []
        for key, value in body.items():
            here = (*place, key)
            if key == "any":
                parts.append(self._any(value, here))
            elif key == "not":
                parts.append(Not(self.every(value, here)))
            elif key not in _DEEDS:
                parts.append(self._single(str(key), value, here))
        if set(body) & set(_DEEDS):
            parts.append(self._done(body, place))
        return _together(tuple(parts))

    def _any(self, value: Any, place: _Place) -> Condition:
        if not isinstance(value, list) or not value:
            self._add(place, '"any" holds a list of conditions, of which one must hold.')
            return AnyOf(())
        return AnyOf(tuple(self.every(one, (*place, number)) for number, one in enumerate(value)))

    def _single(self, name: str, value: Any, place: _Place) -> Condition:
        line = _line(self.lines, place)
        is_bounds = isinstance(value, dict) or (isinstance(value, str) and value.lstrip().startswith((">", "<")))
        if name in NUMBERS or is_bounds:
            lower, upper = self._bounds(name, value, place)
            return Between(name, lower, upper, line)
        values = value if isinstance(value, list) else [value]
        if not values:
            self._add(place, f"{name} names no value.")
        for one in values:
            if isinstance(one, bool) or not isinstance(one, str | int | float):
                self._add(place, f"{name}: {one!r} is not a value. Write texts such as yes, no and null in quotes.")
        return OneOf(name, tuple(str(one) for one in values), line)

    def _bounds(self, name: str, value: Any, place: _Place) -> tuple[float | None, float | None]:
        """``'>= 3'``, ``{between: [3, 8]}``, ``{'>=': 3, '<=': 8}`` or a number."""
        if isinstance(value, str):
            found = re.fullmatch(r"\s*(>=|<=)\s*(-?\d+(?:\.\d+)?)\s*", value)
            if not found:
                self._add(place, f"{name}: \"{value}\" is not a bound. Write '>= 3', '<= 8' or between: [3, 8].")
                return None, None
            value = {found[1]: float(found[2])}
        if _is_number(value):
            return float(value), float(value)
        if not isinstance(value, dict):
            self._add(place, f"{name}: {value!r} is not a bound. Write '>= 3', '<= 8' or between: [3, 8].")
            return None, None
        lower, upper = None, None
        for sign, bound in value.items():
            pair = bound if isinstance(bound, list) and len(bound) == 2 else None
            if sign not in _SIGNS:
                self._add(
                    (*place, sign),
                    f'{name}: there is no "{sign}"{nearest(str(sign), _SIGNS, ".")} Allowed: {_listed(_SIGNS)}.',
                )
            elif sign == "between" and pair and _is_number(pair[0]) and _is_number(pair[1]):
                lower, upper = float(pair[0]), float(pair[1])
            elif sign != "between" and _is_number(bound):
                lower, upper = (float(bound), upper) if sign == ">=" else (lower, float(bound))
            else:
                self._add((*place, sign), f"{name}: {sign} takes {'two numbers' if sign == 'between' else 'a number'}.")
        if lower is not None and upper is not None and lower > upper:
            self._add(place, f"{name}: no number is at least {lower:g} and at most {upper:g}.")
        return lower, upper

    def _done(self, body: Mapping[str, Any], place: _Place) -> Condition:
        names = {}
        for key in ("did", "did_not"):
            given = body.get(key, [])
            names[key] = tuple(given if isinstance(given, list) else [given])
            if not all(isinstance(one, str) and one for one in names[key]):
                self._add((*place, key), f"{key} names events, such as add_to_cart.")
        line = _line(self.lines, (*place, next(key for key in body if key in _DEEDS)))
        if not names["did"] and not names["did_not"]:
            self.faults.append((line, f"{self.audience}: within_days and within_hours stand beside did or did_not."))
        spans = [key for key in ("within_days", "within_hours") if key in body]
        if len(spans) != 1 or not _is_number(body[spans[0]]) or not 0 < float(body[spans[0]]) <= 36_500:
            self.faults.append(
                (line, f"{self.audience}: did and did_not need one of within_days and within_hours, a number above 0.")
            )
            return Done(names["did"], names["did_not"], DAY_MS, line)
        unit = DAY_MS if spans[0] == "within_days" else HOUR_MS
        return Done(names["did"], names["did_not"], round(float(body[spans[0]]) * unit), line)

    def _add(self, place: _Place, text: str) -> None:
        self.faults.append((_line(self.lines, place), f"{self.audience}: {text}"))


def _together(parts: tuple[Condition, ...]) -> Condition:
    return parts[0] if len(parts) == 1 else Every(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _line(lines: Mapping[_Place, int], place: _Place) -> int:
    """Line of a place, or of the nearest one around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _fault(error: Any, lines: Mapping[_Place, int]) -> tuple[int, str]:
    """Say one fault of pydantic's in our words."""
    steps: _Place = tuple(error["loc"])
    line = _line(lines, steps)
    where = ".".join(str(step) for step in steps[1:] if step != "audiences") if len(steps) > 1 else str(steps[0])
    if error["type"] == "extra_forbidden":
        allowed = list(_File.model_fields)
        if len(steps) > 2:
            allowed = list((Control if steps[2:3] == ("control",) else AudienceForm).model_fields)
        key = str(steps[-1])
        place = f"{'.'.join(map(str, steps[:-1]))}: " if len(steps) > 1 else ""
        return line, f'{place}there is no "{key}"{nearest(key, allowed, ".")} Allowed: {_listed(allowed)}.'
    if error["type"] == "missing":
        return line, f'{where.removesuffix(f".{steps[-1]}")}: "{steps[-1]}" is missing.'
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    given = f" (given: {error['input']!r})" if error["type"] != "value_error" else ""
    return line, f"{where}: {message}{given}."


def _content(text: str, name: str) -> tuple[Any, dict[_Place, int]]:
    """What the YAML says, with days as text, and the line of every key and item."""
    try:
        root = yaml.compose(text, _Loader)  # noqa: S506 (a safe loader)
        content = yaml.load(text, _Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable characters"
        raise ParameterError(
            f"{name}: this is not YAML{place}: {problem}. Bounds such as '>= 3' stand in quotes."
        ) from None
    lines: dict[_Place, int] = {}
    faults: list[tuple[int, str]] = []

    def walk(node: Any, place: _Place) -> None:
        lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                here = (*place, key.value)
                lines[here] = key.start_mark.line + 1
                if key.value in seen:
                    faults.append(
                        (lines[here], f'"{key.value}" stands twice in one place; the second would hide the first.')
                    )
                seen.add(key.value)
                walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                walk(value, (*place, number))

    if root is not None:
        walk(root, ())
    if faults:
        raise ParameterError(listed(name, faults))
    return content, lines


class _Loader(yaml.SafeLoader):
    """YAML in which days stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
