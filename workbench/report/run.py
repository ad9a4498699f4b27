"""Run one notebook on one source: execute, make the page, write the folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from workbench.errors import SourceError
from workbench.language import Language
from workbench.parameters import FOLDER
from workbench.report import folder
from workbench.report.kernel import Failure, OnProgress, execute
from workbench.report.manifest import code_revision, read_json, versions, write_json
from workbench.report.notebook import find_notebook, load_notebook, parameters_of, title_of
from workbench.report.parameters import check_parameters
from workbench.report.publish import ALERTS
from workbench.report.scrub import is_url, safe_name, scrub

Status = Literal["done", "refused", "failed"]
EXIT_CODES: dict[Status, int] = {"done": 0, "failed": 1, "refused": 2}


@dataclass(frozen=True)
class Request:
    """A run that has passed its checks and may start.

    Attributes
    ----------
    name
        Name of the run and of its folder.
    notebook
        Path of the notebook.
    title
        Its heading in the language of the run.
    source, mapping
        Path or URL of the data, and path of their mapping.
    parameters
        All parameters of the notebook, defaults filled in.
    lang
        Language of the report.
    """

    name: str
    notebook: Path
    title: str
    source: str
    mapping: str | None
    parameters: Mapping[str, object]
    lang: Language


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes
    ----------
    name, title
        Name of the run and heading of its notebook.
    status
        ``done``; ``refused`` (the source, its tables or the parameters); ``failed`` (the analysis).
    folder
        Where it was written: ``<name>``, or ``<name>.failed``.
    error
        Why it did not succeed, else "".
    findings
        Content of its ``findings.json``; empty if there is none.
    seconds
        How long it took.
    alerts
        Content of its ``alerts.json``; empty if the notebook watches nothing.
    """

    name: str
    title: str
    status: Status
    folder: Path
    error: str = ""
    findings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    alerts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rings(self) -> bool:
        """Whether it is done and an alert of the newest days rings."""
        return self.status == "done" and bool(self.alerts.get("rings"))

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 2 refused."""
        return EXIT_CODES[self.status]

    @property
    def report(self) -> Path:
        """Path of the report."""
        return self.folder / "report.html"


def prepare_run(
    notebook: Path | str,
    source: str | Path,
    *,
    parameters: Mapping[str, object],
    mapping: str | Path | None = None,
    lang: Language | None = None,
    name: str | None = None,
) -> Request:
    """Check everything about a run that can be known before it starts.

    The language is the one given, else the parameter ``lang``, else the notebook's default, else English.

    Raises
    ------
    ParameterError
        If the notebook, a parameter or the name is wrong.
    """
    path = find_notebook(notebook)
    node = load_notebook(path)
    name = path.stem if name is None else name
    folder.check_run_name(name)
    specs = parameters_of(node, path.stem)
    has_lang = any(spec.name == "lang" for spec in specs)
    given = {**parameters, **({"lang": lang} if lang and has_lang else {})}
    values = check_parameters(specs, given, path.stem)
    chosen: Language = "zh" if (values.get("lang") or lang) == "zh" else "en"
    return Request(
        name=name,
        notebook=path,
        title=title_of(node, chosen) or name,
        source=str(source),
        mapping=str(mapping) if mapping else None,
        parameters=values,
        lang=chosen,
    )


def run_notebook(
    notebook: Path | str,
    source: str | Path,
    out: Path,
    *,
    parameters: Mapping[str, object],
    mapping: str | Path | None = None,
    lang: Language | None = None,
    name: str | None = None,
    on_progress: OnProgress | None = None,
) -> RunResult:
    """Run a notebook on a source and write ``out/<name>/``; a failed run goes to ``out/<name>.failed/``.

    Raises
    ------
    ParameterError
        If the notebook, a parameter or the name is wrong; then nothing was started or written.
    """
    request = prepare_run(notebook, source, parameters=parameters, mapping=mapping, lang=lang, name=name)
    return start_run(request, out, on_progress)


def start_run(request: Request, out: Path, on_progress: OnProgress | None = None) -> RunResult:
    """Run what `prepare_run` has checked."""
    started, out = datetime.now(UTC), out.absolute()
    temporary = folder.start_folder(out, request.name)
    failure = _run_in(temporary, request, on_progress)
    finished = datetime.now(UTC)
    findings, alerts = read_json(temporary / "findings.json"), read_json(temporary / ALERTS)
    manifest = _manifest(request, failure, findings, started, finished)
    write_json(temporary / "manifest.json", manifest)
    keep = folder.keep_failed if failure else folder.keep_done
    status: Status = "done" if failure is None else "refused" if failure.is_refusal else "failed"
    return RunResult(
        name=request.name,
        title=request.title,
        status=status,
        folder=keep(temporary, out, request.name),
        error=failure.message if failure else "",
        findings=findings,
        seconds=(finished - started).total_seconds(),
        alerts=alerts,
    )


def _run_in(temporary: Path, request: Request, on_progress: OnProgress | None) -> Failure | None:
    try:
        environment = _environment(temporary, request)
    except SourceError as error:
        return Failure(scrub(str(error), *_private(request)), True, None)
    executed, log = temporary / "notebook.ipynb", temporary / "kernel.log"
    failure = execute(request.notebook, executed, request.parameters, environment, log, on_progress)
    if executed.is_file():
        _save_scrubbed(executed, request)
    if failure is not None:
        log.write_text(scrub(log.read_text(errors="replace"), *_private(request)), encoding="utf-8")
        return Failure(scrub(failure.message, *_private(request)), failure.is_refusal, failure.cell)
    log.unlink()
    return _make_page(temporary, request)


def _environment(temporary: Path, request: Request) -> dict[str, str]:
    """Environment of the kernel; the source travels here, never in a notebook."""
    environment = {
        "WORKBENCH_SOURCE": _absolute(request.source, "source"),
        "WORKBENCH_MAPPING": "",
        "WORKBENCH_OUT": str(temporary.absolute()),
        FOLDER: os.getcwd(),
        "WORKBENCH_MODE": "report",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if request.mapping:
        environment["WORKBENCH_MAPPING"] = _absolute(request.mapping, "mapping")
    return environment


def _absolute(source: str, what: str) -> str:
    if is_url(source):
        return source
    path = Path(source).absolute()
    if not source or not path.exists():
        raise SourceError(f'{what}: there is no "{source}". Give {_WANTED[what]}.')
    return str(path)


_WANTED = {
    "source": "a folder of Parquet or CSV files, a DuckDB file or a database URL",
    "mapping": "the path of a mapping file, such as data/README.md",
}


def _save_scrubbed(path: Path, request: Request) -> None:
    """Take papermill's paths and every mention of the source out of the executed notebook."""
    import nbformat

    node = load_notebook(path)
    for key in ("input_path", "output_path"):
        node.metadata.get("papermill", {}).pop(key, None)
    nbformat.write(nbformat.from_dict(scrub(node, *_private(request))), path)


def _private(request: Request) -> list[str]:
    """The source, and files that parameters name by their whole path."""
    given = [one for one in request.parameters.values() if isinstance(one, str) and Path(one).is_absolute()]
    return [request.source, *given]


def _make_page(temporary: Path, request: Request) -> Failure | None:
    from workbench.report.page import facts_of_run, make_page

    node, code = load_notebook(temporary / "notebook.ipynb"), code_revision()
    facts = facts_of_run(
        notebook=request.notebook.stem,
        source=safe_name(request.source),
        parameters=scrub(dict(request.parameters), *_private(request)),
        version=versions()["workbench"],
        commit=str(code["commit"]) if code else None,
        lang=request.lang,
    )
    try:
        page = make_page(node, request.lang, request.title, facts)
    except ValueError as error:
        return Failure(f"The page was not made: {error}", False, None)
    (temporary / "report.html").write_text(page, encoding="utf-8")
    return None


def _manifest(
    request: Request, failure: Failure | None, findings: Mapping[str, Any], started: datetime, finished: datetime
) -> dict[str, Any]:
    return {
        "notebook": request.notebook.stem,
        "name": request.name,
        "title": request.title,
        "parameters": scrub(dict(request.parameters), *_private(request)),
        "lang": request.lang,
        "source": safe_name(request.source),
        "data_fingerprint": findings.get("data", {}).get("fingerprint"),
        "versions": versions(),
        "code": code_revision(),
        "started_at": started.isoformat(timespec="seconds"),
        "finished_at": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 2),
        "status": "failed" if failure else "done",
        "error": failure.message if failure else None,
    }
