"""The plan of a batch: YAML, checked as a whole before anything starts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ParameterError, nearest
from workbench.language import Language, format_count
from workbench.report.dates import DATES
from workbench.report.matrix import FIELDS, expand, faults_of_matrix
from workbench.report.notebook import declared_parameters
from workbench.report.request import Request, prepare_run

MANY_RUNS = 200
"""A plan of more runs than these asks for ``--yes``: it is more often a slip than meant."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    source: str | None = Field(
        default=None, description="Folder of Parquet or CSV files, DuckDB file, or database URL."
    )
    mapping: str | None = Field(default=None, description="YAML file that maps the source to the contract.")
    lang: Language | None = Field(default=None, description="Language of the report.")
    period: str | int | None = Field(
        default=None,
        description="The days: yesterday, last_week, last_month, last_28_days, 2026-W46, 2026-11, ... Sets start_date and end_date.",
    )
    annotations: str | None = Field(
        default=None, description="CSV file with the columns date, label and maybe end_date, drawn on charts over time."
    )
    comment: str | None = Field(default=None, description="What you have to say, at the top of the report.")
    mask_below: int | None = Field(default=None, ge=0, description="Numbers of fewer people than these are not shown.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters of the notebook, by name.")


class Defaults(_Part):
    """What holds for every run that does not say otherwise."""


class Run(_Part):
    """One run of a plan, or one for each combination of a matrix."""

    name: str = Field(description="Name of the run and of its folder; {key} stands for a value of the matrix.")
    notebook: str = Field(description="Name of a shipped notebook, or path to an .ipynb.")


class _WrittenRun(Run):
    """A run as it is written: what it is without may come from its matrix."""

    notebook: str = Field(
        default="", description="Name of a shipped notebook, or path to an .ipynb; or a key of the matrix."
    )
    matrix: dict[str, list[Any]] = Field(
        default_factory=dict,
        description=f"Values by key: one run for each combination. Keys are {', '.join(FIELDS)}, or your own to write as {{key}}.",
    )


class Plan(BaseModel):
    """A plan: defaults and at least one run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    defaults: Defaults = Defaults()
    runs: list[Run] = Field(min_length=1)


class WrittenPlan(Plan):
    """A plan as it is written; editors check it by ``docs/plan.schema.json``."""

    runs: list[_WrittenRun] = Field(min_length=1)  # type: ignore[assignment]


@dataclass(frozen=True)
class _Fault:
    """A fault with the line it is in and the run it is about."""

    line: int
    where: str
    text: str


def read_yaml(text: str, where: str) -> Any:
    """Read YAML in which days stay text (``2026-03-01``).

    Raises
    ------
    ParameterError
        If it is not YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML without timestamps."""

    Loader.yaml_implicit_resolvers = {
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        if twice := next(_repeated_keys(yaml.compose(text, Loader)), None):
            raise ParameterError(
                f'{where}: "{twice.value}" stands twice in line {twice.start_mark.line + 1}; keep one.'
            )
        return yaml.load(text, Loader)  # noqa: S506 (a safe loader)
    except ValueError as error:
        raise ParameterError(f"{where}: a number cannot be read ({error}). Put it in quotes if it is a text.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable characters"
        raise ParameterError(f"{where}: this is not YAML{place}: {problem}.") from None


def _repeated_keys(node: Any) -> Iterator[Any]:
    """Keys that stand in their mapping before: YAML lets the last win, in silence."""
    if getattr(node, "id", "") == "sequence":
        for one in node.value:
            yield from _repeated_keys(one)
    elif getattr(node, "id", "") == "mapping":
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                yield key
            seen.add(str(key.value))
            yield from _repeated_keys(value)


def load_plan(path: Path, *, as_of: date | None = None, allow_many: bool = False) -> tuple[list[Request], Language]:
    """Read a plan and check every run of it, parameters included.

    Paths of sources, mappings and annotations are relative to the folder in which the command is run, those of notebooks
    too; a notebook is usually given by its name. Parameters under defaults go to the notebooks that have them;
    the mapping under defaults goes with the source there, not with a source that a run names itself.

    Parameters
    ----------
    path
        The file.
    as_of
        The day from which spans such as ``last_week`` are told; None: today in the time zone of each run.
    allow_many
        Whether more than ``MANY_RUNS`` runs are meant.

    Returns
    -------
    list of Request
        One per run, in the plan's order, those of a matrix in the order of its values.
    str
        Language of the index page: the one of the defaults, else English.

    Raises
    ------
    ParameterError
        With all faults of the plan, each with its line and the name of its run.
    """
    if not path.is_file():
        raise ParameterError(f'plan: there is no file "{path}". Give the path of a plan such as notebooks/plan.yml.')
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ParameterError(f"{path.name}: this is not UTF-8 text.") from None
    content, lines = read_yaml(text, path.name), Lines(text)
    written = _expanded(content, path.name, lines, allow_many)
    plan = _parse(content, written, path.name, lines)
    faults, requests, declared = _repeated_names(plan, written, lines), [], set()
    for run, place in zip(plan.runs, written.places, strict=True):
        try:
            names = declared_parameters(run.notebook)
            declared |= names
            requests.append(_request(run, plan.defaults, names, as_of))
        except ParameterError as error:
            faults.append(_Fault(_line_of_error(str(error), run, place, lines), run.name, str(error)))
    faults += _unused_defaults(plan.defaults, declared, lines)
    if faults:
        raise ParameterError(_listed(path.name, faults))
    return _related(requests), plan.defaults.lang or "en"


class Lines:
    """In which line of a YAML text something stands."""

    def __init__(self, text: str) -> None:
        import yaml

        self._root = yaml.compose(text, yaml.SafeLoader)

    def of(self, *place: str | int) -> int:
        """The line of a place, counted from 1; of what is missing there, the line of what it would be in."""
        node, line = self._root, 1
        for step in place:
            found = self._within(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return line

    def misread(self, value: object, *place: str | int) -> str:
        """How a bare text was read as something that is written otherwise (NO as false, 010 as 8); "" if it was not."""
        node: Any = self._root
        for step in place:
            found = self._within(node, step)
            if found is None:
                return ""
            node = found[1]
        text = str(node.value)
        is_plain = isinstance(value, bool | int) and node.id == "scalar"
        is_same = text.lower() in ("true", "false") if isinstance(value, bool) else str(value) == text
        if not is_plain or is_same:
            return ""
        return f'YAML reads {text} as {str(value).lower()}. If it is a text, put it in quotes: "{text}".'

    @staticmethod
    def _within(node: Any, step: str | int) -> tuple[Any, Any] | None:
        """The node that carries the line of a step, and what the step leads to."""
        if isinstance(step, int):
            inside = isinstance(getattr(node, "value", None), list) and node.id == "sequence" and step < len(node.value)
            return (node.value[step], node.value[step]) if inside else None
        pairs = node.value if getattr(node, "id", "") == "mapping" else []
        return next(((key, value) for key, value in pairs if key.value == str(step)), None)


@dataclass(frozen=True)
class _Written:
    """The runs of a plan after their matrices, and from which written run each comes."""

    runs: list[Any]
    places: list[int]


def _expanded(content: Any, name: str, lines: Lines, allow_many: bool) -> _Written:
    if not isinstance(content, dict):
        raise ParameterError(f'{name}: a plan has "runs" and may have "defaults"; this file has neither.')
    entries = content.get("runs")
    if not isinstance(entries, list):
        return _Written([], [])
    faults = [
        _Fault(lines.of("runs", number, *(("matrix", key) if key else ())), _name_of(entry, number), said)
        for number, entry in enumerate(entries)
        if isinstance(entry, dict)
        for key, said in faults_of_matrix(entry)
    ]
    faults = faults or list(_misread(content, lines))
    if faults:
        raise ParameterError(_listed(name, faults))
    count = sum(prod(map(len, _matrix_of(entry).values())) for entry in entries)
    if count > MANY_RUNS and not allow_many:
        raise ParameterError(
            f"{name}: this plan has {format_count(count)} runs; nothing was started. If they are meant, add --yes; "
            "else shorten a matrix."
        )
    runs, places = [], []
    for number, entry in enumerate(entries):
        for run in expand(entry) if isinstance(entry, dict) else [entry]:
            runs.append(run)
            places.append(number)
    return _Written(runs, places)


def _misread(content: Mapping[str, Any], lines: Lines) -> Iterator[_Fault]:
    """Periods and values of matrices that YAML takes for something else than what is written."""
    for number, entry in enumerate(content["runs"]):
        places: list[tuple[tuple[str | int, ...], Any]] = []
        if isinstance(entry, dict):
            places = [(("runs", number, "period"), entry.get("period"))] if "period" in entry else []
            for key, values in _matrix_of(entry).items():
                places += [(("runs", number, "matrix", key, place), one) for place, one in enumerate(values)]
        for place, value in places:
            if said := lines.misread(value, *place):
                yield _Fault(
                    lines.of(*place), _name_of(entry, number), f"{place[3] if len(place) > 3 else place[2]}: {said}"
                )


def _matrix_of(entry: Any) -> Mapping[str, list[Any]]:
    return (entry.get("matrix") or {}) if isinstance(entry, dict) else {}


def _name_of(entry: Any, number: int) -> str:
    return str(entry.get("name", f"run {number + 1}")) if isinstance(entry, dict) else f"run {number + 1}"


def _parse(content: Mapping[str, Any], written: _Written, name: str, lines: Lines) -> Plan:
    try:
        runs = {"runs": written.runs} if isinstance(content.get("runs"), list) else {}
        return Plan.model_validate({**content, **runs})
    except ValidationError as error:
        raise ParameterError(_listed(name, [_fault(one, written, lines) for one in error.errors()])) from None


def _fault(error: Any, written: _Written, lines: Lines) -> _Fault:
    """Say one fault of pydantic's in our words, with its line and the name of the run it is in."""
    steps, place = list(error["loc"]), list(error["loc"])
    where, allowed = "plan", list(Plan.model_fields)
    if steps[:1] == ["defaults"] and len(steps) > 1:
        where, allowed, steps = "defaults", list(Defaults.model_fields), steps[1:]
    elif steps[:1] == ["runs"] and len(steps) > 1:
        place[1] = written.places[steps[1]]
        where, allowed = _name_of(written.runs[steps[1]], place[1]), list(_WrittenRun.model_fields)
        steps = steps[2:]
    line, field = lines.of(*place), ".".join(str(step) for step in steps)
    if error["type"] == "extra_forbidden":
        return _Fault(
            line, where, f'there is no "{field}"{nearest(field, allowed, ".")} Allowed: {", ".join(allowed)}.'
        )
    if error["type"] == "missing":
        return _Fault(line, where, f'"{field}" is missing.')
    given = f" (given: {str(error['input'])[:60]!r})" if not isinstance(error["input"], dict | list) else ""
    return _Fault(line, where, f"{field + ': ' if field else ''}{error['msg']}{given}.")


def _line_of_error(text: str, run: Run, place: int, lines: Lines) -> int:
    """The line of the parameter or field that a message names first, else that of the run."""
    fields = [("parameters", name) for name in run.parameters] + [(name,) for name in type(run).model_fields]
    named = re.compile(r'(?:^|[ "])(' + "|".join(re.escape(one[-1]) for one in fields) + r')(?:"| is |:)').search(text)
    inside = next((one for one in fields if named and one[-1] == named[1]), ())
    return lines.of("runs", place, *inside)


def _repeated_names(plan: Plan, written: _Written, lines: Lines) -> list[_Fault]:
    faults = []
    for number, run in enumerate(plan.runs):
        earlier = next((one for one in range(number) if plan.runs[one].name.casefold() == run.name.casefold()), None)
        if earlier is not None:
            line = lines.of("runs", written.places[earlier], "name")
            said = f"the name is used by more than one run (line {line}). Give each its own."
            faults.append(_Fault(lines.of("runs", written.places[number], "name"), run.name, said))
    return faults


def _unused_defaults(defaults: Defaults, declared: set[str], lines: Lines) -> list[_Fault]:
    """A parameter under defaults reaches the notebooks that declare it; one that none declares is a mistake."""
    return [
        _Fault(
            lines.of("defaults", "parameters", name),
            "defaults",
            f'no notebook of this plan has a parameter "{name}"{nearest(name, declared, ".")}',
        )
        for name in defaults.parameters
        if declared and name not in declared
    ]


def _request(run: Run, defaults: Defaults, declared: set[str], as_of: date | None) -> Request:
    source = run.source or defaults.source
    if source is None:
        raise ParameterError('"source" is missing. Give it here or under defaults.')
    shared = {name: value for name, value in defaults.parameters.items() if name in declared}
    period = run.period if run.period is not None else defaults.period
    if run.period is not None:
        shared = {name: value for name, value in shared.items() if name not in DATES}
    elif any(name in run.parameters for name in DATES):
        period = None  # the run's own days hold
    return prepare_run(
        run.notebook,
        source,
        parameters={**shared, **run.parameters},
        mapping=run.mapping or (None if run.source else defaults.mapping),
        lang=run.lang or (None if "lang" in run.parameters else defaults.lang),
        name=run.name,
        period=None if period is None else str(period),
        as_of=as_of,
        annotations=run.annotations or defaults.annotations,
        comment=run.comment if run.comment is not None else defaults.comment or "",
        mask_below=run.mask_below if run.mask_below is not None else defaults.mask_below or 0,
    )


def _related(requests: list[Request]) -> list[Request]:
    """Let reports on the same data, days and users, in the same language, lead to each other, and all to the index."""

    def about(request: Request) -> list[object]:
        same = [request.parameters.get(name) for name in (*DATES, "timezone", "only_users")]
        return [request.source, request.mapping, request.lang, *same]

    return [
        replace(
            one,
            related=tuple(
                (other.name, other.title) for other in requests if other is not one and about(other) == about(one)
            ),
        )
        for one in requests
    ]


def _listed(name: str, faults: list[_Fault]) -> str:
    """All faults, those of one line that say the same once."""
    told: dict[tuple[int, str], list[str]] = {}
    for one in faults:
        told.setdefault((one.line, one.text), []).append(one.where)
    rows = [
        f"line {line}: {where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: {text}"
        for (line, text), where in sorted(told.items(), key=lambda item: item[0][0])
    ]
    return "\n".join([f"{name}: {len(rows)} fault{'s' if len(rows) > 1 else ''}; nothing was started.", *rows])


def plan_schema() -> dict[str, Any]:
    """JSON schema of plans, by which editors complete and check them."""
    schema = WrittenPlan.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Plan of workbench batch"}


if __name__ == "__main__":
    import json

    print(json.dumps(plan_schema(), indent=2))
