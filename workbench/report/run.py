"""Run one notebook on one source: execute, make the page, write the folder."""

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from workbench.errors import SourceError
from workbench.language import Language
from workbench.mask import MASK_BELOW
from workbench.parameters import FOLDER, local_path
from workbench.report import folder
from workbench.report.kernel import Failure, Kernels, OnProgress, execute
from workbench.report.manifest import MANIFEST, code_revision, read_json, versions, write_json
from workbench.report.notebook import load_notebook
from workbench.report.pdf import print_pdf
from workbench.report.publish import ALERTS
from workbench.report.request import Request, prepare_run
from workbench.report.reuse import run_key, sizes, source_key
from workbench.report.scrub import is_url, safe_name, scrub
from workbench.source.fingerprint import KNOWN

Status = Literal["done", "refused", "failed"]
REPORT, PDF = "report.html", "report.pdf"
EXIT_CODES: dict[Status, int] = {"done": 0, "failed": 1, "refused": 2}


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
        Why it did not succeed, or of a run that is done why its PDF is missing; else "".
    findings
        Content of its ``findings.json``; empty if there is none.
    seconds
        How long it took.
    alerts
        Content of its ``alerts.json``; empty if the notebook watches nothing.
    is_reused
        Whether it was done before and nothing has changed since.
    """

    name: str
    title: str
    status: Status
    folder: Path
    error: str = ""
    findings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    alerts: Mapping[str, Any] = field(default_factory=dict)
    is_reused: bool = False

    @property
    def word(self) -> str:
        """Its status, or ``reused``."""
        return "reused" if self.is_reused else self.status

    @property
    def rings(self) -> bool:
        """Whether it is done and an alert of the newest days rings."""
        return self.status == "done" and bool(self.alerts.get("rings"))

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed or not all of it written, 2 refused."""
        return EXIT_CODES["failed" if self.status == "done" and self.error else self.status]

    @property
    def report(self) -> Path:
        """Path of the report."""
        return self.folder / REPORT


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


@dataclass(frozen=True)
class Limits:
    """What a run may take.

    Attributes
    ----------
    seconds
        Of all its cells together; None for as long as it takes.
    memory
        What its engine may hold in memory, such as ``1.5GB``; "" for what the environment says.
    """

    seconds: float | None = None
    memory: str = ""


class Interrupted(Exception):  # noqa: N818 (it is no error)
    """The run was ended because the whole is being ended; it left nothing behind."""


def start_run(
    request: Request,
    out: Path,
    on_progress: OnProgress | None = None,
    *,
    limits: Limits | None = None,
    known_data: tuple[str, str] = ("", ""),
    kernels: Kernels | None = None,
    pdf: bool = False,
) -> RunResult:
    """Run what `prepare_run` has checked.

    Parameters
    ----------
    request
        The run.
    out
        Folder that gets the folder of the run.
    on_progress
        Called after each cell.
    limits
        What it may take.
    known_data
        Fingerprint of the data just before, and what its kernel is told of it (``source.fingerprint.KNOWN``). Only with it
        can the run be reused later: data that change while it runs are told by the two.
    kernels
        Gets to know the kernel.
    pdf
        Whether the report is printed to ``report.pdf`` too.

    Raises
    ------
    ParameterError
        If its folder is there and is none of a run; then nothing was started.
    Interrupted
        If the kernels were stopped; the folder of the run is as it was before.
    """
    folder.check_place(out, request.name)
    started, clock, out = datetime.now(UTC), monotonic(), out.absolute()
    limits, kernels = limits or Limits(), kernels or Kernels()
    temporary = folder.start_folder(out, request.name)
    try:
        failure = _run_in(temporary, request, on_progress, limits, known_data[1], kernels)
        if kernels.is_stopped:
            raise Interrupted
        not_printed = _print(temporary) if pdf and failure is None else ""
        findings, alerts = read_json(temporary / "findings.json"), read_json(temporary / ALERTS)
        seconds = monotonic() - clock
        manifest = _manifest(request, failure, findings, started, seconds)
        same_data = known_data[0] and findings.get("data", {}).get("fingerprint") == known_data[0]
        manifest["key"] = run_key(request, known_data[0]) if same_data and failure is None else None
        manifest["files"] = sizes(temporary)
        write_json(temporary / MANIFEST, manifest)
        keep = folder.keep_failed if failure else folder.keep_done
        kept = keep(temporary, out, request.name)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if kernels.is_stopped:
            raise Interrupted from None
        return _not_written(request, out, error, monotonic() - clock)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    status: Status = "done" if failure is None else "refused" if failure.is_refusal else "failed"
    return RunResult(
        name=request.name,
        title=request.title,
        status=status,
        folder=kept,
        error=failure.message if failure else not_printed,
        findings=findings,
        seconds=seconds,
        alerts=alerts,
    )


def _print(temporary: Path) -> str:
    """Print the report beside it; why that failed, if it did: the report is good all the same."""
    try:
        print_pdf(temporary / REPORT, temporary / PDF)
    except OSError as error:
        (temporary / PDF).unlink(missing_ok=True)
        return f"report.pdf is missing: {error.strerror}. The report itself is done."
    return ""


def _not_written(request: Request, out: Path, error: OSError, seconds: float) -> RunResult:
    """A run whose folder could not be written is a failed one; what was there stays."""
    why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or type(error).__name__)
    return RunResult(
        name=request.name,
        title=request.title,
        status="failed",
        folder=folder.failed_folder(out, request.name),
        error=f"Its folder could not be written: {why}. The last good run stays.",
        seconds=seconds,
    )


def _run_in(
    temporary: Path,
    request: Request,
    on_progress: OnProgress | None,
    limits: Limits,
    known: str,
    kernels: Kernels,
) -> Failure | None:
    try:
        environment = _environment(temporary, request) | {KNOWN: known}
    except SourceError as error:
        return Failure(_scrubbed(str(error), request, temporary), True, None)
    if limits.memory:
        environment["WORKBENCH_MEMORY_LIMIT"] = limits.memory
    executed, log = temporary / "notebook.ipynb", temporary / "kernel.log"
    failure = execute(
        request.notebook,
        executed,
        request.parameters,
        environment,
        log,
        on_progress,
        seconds=limits.seconds,
        kernels=kernels,
    )
    if executed.is_file():
        _save_scrubbed(executed, request)
    if failure is not None:
        log.write_text(_scrubbed(log.read_text(errors="replace"), request, temporary), encoding="utf-8")
        return Failure(_scrubbed(failure.message, request, temporary), failure.is_refusal, failure.cell)
    log.unlink()
    return _make_page(temporary, request)


def _environment(temporary: Path, request: Request) -> dict[str, str]:
    """Environment of the kernel; the source travels here, never in a notebook."""
    environment = {
        MASK_BELOW: str(request.mask_below or ""),
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
    "mapping": "the path of a mapping file; data/README.md shows one",
}


def _save_scrubbed(path: Path, request: Request) -> None:
    """Take papermill's paths and every mention of the source out of the executed notebook."""
    import nbformat

    node = load_notebook(path)
    for key in ("input_path", "output_path"):
        node.metadata.get("papermill", {}).pop(key, None)
    nbformat.write(nbformat.from_dict(_scrubbed(node, request, path.parent)), path)


def _scrubbed(content: Any, request: Request, temporary: Path) -> Any:
    """The same without the places that a run knows of: its source, its files, and where it is at work."""
    folders = {str(temporary): "out", str(request.notebook.parent): "notebooks"}
    here = Path.cwd()
    if len(here.parts) > _LEAST_PARTS:  # "/data" tells nothing, and is part of other words
        folders[str(here)] = "."
    return scrub(content, *private_places(request), folders=folders)


_LEAST_PARTS = 2


def private_places(request: Request) -> list[str]:
    """The source, its mapping, annotations, and files that parameters name by a path."""
    given = [one for one in request.parameters.values() if isinstance(one, str) and _is_path(one)]
    return [request.source, *given, *filter(None, [request.mapping, request.annotations])]


def _is_path(value: str) -> bool:
    """Whether a parameter names a file: the page ``/home`` is none, although there is such a folder."""
    if is_url(value) or "\n" in value or len(Path(value).parts) == 1:
        return False
    path = Path(value)
    return (
        (path.is_absolute() and len(path.parts) > _LEAST_PARTS) or value.startswith("~") or local_path(value).is_file()
    )


def _make_page(temporary: Path, request: Request) -> Failure | None:
    from workbench.report.annotations import load_annotations
    from workbench.report.comparison import comparison_html, keep_previous
    from workbench.report.page import facts_of_run, make_page

    node, code = load_notebook(temporary / "notebook.ipynb"), code_revision()
    facts = facts_of_run(
        notebook=request.notebook.stem,
        source=safe_name(request.source),
        parameters=_scrubbed(dict(request.parameters), request, temporary),
        version=versions()["workbench"],
        commit=str(code["commit"]) if code else None,
        lang=request.lang,
    )
    since = keep_previous(temporary, temporary.parent / request.name, _asked(request))
    try:
        page = make_page(
            node,
            request.lang,
            request.title,
            facts,
            annotations=load_annotations(request.annotations),
            comment=request.comment,
            related=request.related,
            since=comparison_html(since) if since else "",
        )
    except ValueError as error:
        return Failure(_scrubbed(f"The page was not made: {error}", request, temporary), False, None)
    (temporary / REPORT).write_text(page, encoding="utf-8")
    return None


def _asked(request: Request) -> dict[str, Any]:
    """What was asked, as it may be shown."""
    return {
        "notebook": request.notebook.stem,
        "parameters": scrub(dict(request.parameters), *private_places(request)),
        "source": safe_name(request.source),
        "source_key": source_key(request),
        "mask_below": request.mask_below,
    }


def _manifest(
    request: Request, failure: Failure | None, findings: Mapping[str, Any], started: datetime, seconds: float
) -> dict[str, Any]:
    return {
        "name": request.name,
        "title": request.title,
        **_asked(request),
        "lang": request.lang,
        "data_fingerprint": findings.get("data", {}).get("fingerprint"),
        "versions": versions(),
        "code": code_revision(),
        "started_at": started.isoformat(timespec="seconds"),
        "finished_at": (started + timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "status": "failed" if failure else "done",
        "is_refused": bool(failure and failure.is_refusal),
        "error": failure.message if failure else None,
    }
