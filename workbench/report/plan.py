"""The plan of a batch: YAML, checked as a whole before anything starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ParameterError, nearest
from workbench.language import Language
from workbench.report.notebook import declared_parameters
from workbench.report.run import Request, prepare_run


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    source: str | None = None
    mapping: str | None = None
    lang: Language | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Defaults(_Part):
    """What holds for every run that does not say otherwise."""


class Run(_Part):
    """One run of a plan."""

    name: str
    notebook: str


class Plan(BaseModel):
    """A plan: defaults and at least one run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    defaults: Defaults = Field(default_factory=Defaults)
    runs: list[Run] = Field(min_length=1)


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
        return yaml.load(text, Loader)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable characters"
        raise ParameterError(f"{where}: this is not YAML{place}: {problem}.") from None


def load_plan(path: Path) -> tuple[list[Request], Language]:
    """Read a plan and check every run of it, parameters included.

    Paths of sources and mappings are relative to the folder in which the command is run, those of notebooks
    too; a notebook is usually given by its name. Parameters under defaults go to the notebooks that have them;
    the mapping under defaults goes with the source there, not with a source that a run names itself.

    Returns
    -------
    list of Request
        One per run, in the plan's order.
    str
        Language of the index page: the one of the defaults, else English.

    Raises
    ------
    ParameterError
        With all faults of the plan, each with the name of its run.
    """
    if not path.is_file():
        raise ParameterError(f'plan: there is no file "{path}". Give the path of a plan such as notebooks/plan.yml.')
    try:
        content = read_yaml(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError:
        raise ParameterError(f"{path.name}: this is not UTF-8 text.") from None
    plan = _parse(content, path.name)
    faults, requests, declared = _repeated_names(plan), [], set()
    for run in plan.runs:
        try:
            names = declared_parameters(run.notebook)
            declared |= names
            requests.append(_request(run, plan.defaults, names))
        except ParameterError as error:
            faults.append(f"{run.name}: {error}")
    faults += _unused_defaults(plan.defaults, declared)
    if faults:
        raise ParameterError(_listed(path.name, faults))
    return requests, plan.defaults.lang or "en"


def _parse(content: Any, name: str) -> Plan:
    if not isinstance(content, dict):
        raise ParameterError(f'{name}: a plan has "runs" and may have "defaults"; this file has neither.')
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise ParameterError(_listed(name, [_fault(one, content) for one in error.errors()])) from None


def _fault(error: Any, content: Mapping[str, Any]) -> str:
    """Say one fault of pydantic's in our words, with the name of the run it is in."""
    steps = list(error["loc"])
    where, model = "plan", Plan.model_fields
    if steps[:1] == ["defaults"] and len(steps) > 1:
        where, model, steps = "defaults", Defaults.model_fields, steps[1:]
    elif steps[:1] == ["runs"] and len(steps) > 2:
        entry = content["runs"][steps[1]]
        where = str(entry.get("name", f"run {steps[1] + 1}")) if isinstance(entry, dict) else f"run {steps[1] + 1}"
        model, steps = Run.model_fields, steps[2:]
    field = ".".join(str(step) for step in steps)
    if error["type"] == "extra_forbidden":
        return f'{where}: there is no "{field}"{nearest(field, model, ".")} Allowed: {", ".join(model)}.'
    if error["type"] == "missing":
        return f'{where}: "{field}" is missing.'
    given = f" (given: {str(error['input'])[:60]!r})" if not isinstance(error["input"], dict | list) else ""
    return f"{where}: {field}: {error['msg']}{given}."


def _repeated_names(plan: Plan) -> list[str]:
    names = [run.name.casefold() for run in plan.runs]
    repeated = sorted({run.name for run in plan.runs if names.count(run.name.casefold()) > 1})
    return [f"{name}: the name is used by more than one run. Give each its own." for name in repeated]


def _unused_defaults(defaults: Defaults, declared: set[str]) -> list[str]:
    """A parameter under defaults reaches the notebooks that declare it; one that none declares is a mistake."""
    return [
        f'defaults: no notebook of this plan has a parameter "{name}"{nearest(name, declared, ".")}'
        for name in defaults.parameters
        if declared and name not in declared
    ]


def _request(run: Run, defaults: Defaults, declared: set[str]) -> Request:
    source = run.source or defaults.source
    if source is None:
        raise ParameterError('"source" is missing. Give it here or under defaults.')
    shared = {name: value for name, value in defaults.parameters.items() if name in declared}
    return prepare_run(
        run.notebook,
        source,
        parameters={**shared, **run.parameters},
        mapping=run.mapping or (None if run.source else defaults.mapping),
        lang=run.lang or (None if "lang" in run.parameters else defaults.lang),
        name=run.name,
    )


def _listed(name: str, faults: list[str]) -> str:
    return "\n".join([f"{name}: {len(faults)} fault{'s' if len(faults) > 1 else ''}; nothing was started.", *faults])
