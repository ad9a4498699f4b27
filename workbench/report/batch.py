"""Run a plan: several notebooks at a time, each on its own, and one page that leads to all reports."""

import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from workbench.errors import ParameterError, SourceError, TableError
from workbench.language import Language
from workbench.report import folder
from workbench.report.index import make_index, why_stale
from workbench.report.kernel import Kernels
from workbench.report.manifest import manifest_of, read_json, write_json
from workbench.report.publish import ALERTS
from workbench.report.request import Request
from workbench.report.reuse import reusable, run_key
from workbench.report.run import PDF, Interrupted, Limits, RunResult, Status, private_places, start_run
from workbench.report.scrub import is_url, scrub
from workbench.source.fingerprint import known_fingerprint

OnCell = Callable[[Request, int, int], None]
OnDone = Callable[[RunResult], None]
OnNote = Callable[[str], None]
MEMORY_LIMIT = "WORKBENCH_MEMORY_LIMIT"
_DEFAULT_MEMORY_GB = 2.0
_PYTHON_GB, _LEAST_GB, _SHARE_OF_MEMORY = 0.4, 0.25, 0.8
_SIZE = re.compile(r"([\d.]+)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """How a batch goes.

    Attributes
    ----------
    jobs
        How many runs at a time.
    only
        Names of the runs to do; empty: all.
    force
        Whether runs are done anew although nothing has changed.
    retries
        How often a failed run is tried again; a refused one is not.
    seconds
        Bound of each run; None for none.
    pdf
        Whether each report is printed to ``report.pdf`` too.
    """

    jobs: int = 2
    only: tuple[str, ...] = ()
    force: bool = False
    retries: int = 0
    seconds: float | None = None
    pdf: bool = False


def run_batch(
    requests: Sequence[Request],
    out: Path,
    *,
    lang: Language = "en",
    options: Options | None = None,
    on_cell: OnCell | None = None,
    on_done: OnDone | None = None,
    on_note: OnNote | None = None,
) -> list[RunResult]:
    """Run what `load_plan` has checked and write ``out/index.html`` and ``out/alerts.json``.

    A run whose notebook, parameters, data and code are those of the one that is there is reused. One that fails, whatever
    the cause, is told in its result and on the page; the others go on. The page and the alerts are written anew after each
    run, so that they are true of the folder whenever the batch ends.

    Parameters
    ----------
    requests
        The runs.
    out
        Folder of the runs and of the index page; it is held while the batch runs.
    lang
        Language of the index page.
    options
        How it goes.
    on_cell, on_done
        Called from the runs' threads after each cell, and from this one after each run.
    on_note
        Called with what else is to be told: a run that is tried again, an index that could not be written.

    Returns
    -------
    list of RunResult
        Those that were done, in the order of the requests.

    Raises
    ------
    ParameterError
        If another batch or run is at work in the folder, or a folder of a run's name is none of a run; nothing was started.
    KeyboardInterrupt
        If it was interrupted; kernels are ended, what was finished stays, what was not leaves nothing behind.
    """
    options = options or Options()
    chosen = [one for one in requests if not options.only or one.name in options.only]
    for one in chosen:
        folder.check_place(out, one.name)
    with folder.locked(out, alone=True), ThreadPoolExecutor(max_workers=options.jobs) as pool:
        batch = _Batch(out, options, on_cell, on_note)
        results: dict[str, RunResult] = {}
        fault = _write_pages(requests, results, out, lang)
        waiting = {pool.submit(batch.run, request): request for request in chosen}
        try:
            results |= batch.as_they_are([one for one in requests if one not in chosen], beside=chosen)
            for future in as_completed(waiting):
                result = _outcome(future, waiting[future], out)
                results[result.name] = result
                fault = _write_pages(requests, results, out, lang)
                if on_done is not None:
                    on_done(result)
            if fault and on_note is not None:
                on_note(f"index.html and {ALERTS} are not those of this batch: {fault}.")
        except KeyboardInterrupt:
            for future in waiting:
                future.cancel()
            while wait(waiting, timeout=0.1).not_done:
                batch.kernels.stop()
            raise
    return [results[request.name] for request in chosen]


def what_would_run(requests: Sequence[Request], out: Path, options: Options) -> list[tuple[Request, bool]]:
    """The runs that a batch would do, each with whether it would be reused; nothing is written."""
    batch, chosen = _Batch(out, options), [one for one in requests if not options.only or one.name in options.only]
    for one in chosen:
        folder.check_place(out, one.name)
    return [(one, batch.last(one) is not None) for one in chosen]


class _Batch:
    """What the runs of a batch share."""

    def __init__(
        self, out: Path, options: Options, on_cell: OnCell | None = None, on_note: OnNote | None = None
    ) -> None:
        self.out, self.options, self.on_cell, self.on_note = out, options, on_cell, on_note
        self.kernels = Kernels()
        self.limits = Limits(options.seconds, memory_of_each(options.jobs))
        self._lock = threading.Lock()
        self._data: dict[tuple[str, str | None], tuple[str, str]] = {}

    def run(self, request: Request) -> RunResult:
        """Reuse the run that is there, or run, and try again as often as asked."""
        if not self.options.force and (kept := self.last(request)) is not None:
            folder.take_away(folder.failed_folder(self.out, request.name))
            return kept
        on_cell = self.on_cell
        count = (lambda done, total: on_cell(request, done, total)) if on_cell is not None else None
        for retries_left in range(self.options.retries, -1, -1):
            result = start_run(
                request,
                self.out,
                count,
                limits=self.limits,
                known_data=self._known_data(request),
                kernels=self.kernels,
                pdf=self.options.pdf,
            )
            if result.status != "failed" or not retries_left:
                break
            if self.on_note is not None:
                self.on_note(f"{request.name}: failed, is tried again: {result.error.splitlines()[0]}")
        return result

    def as_they_are(self, others: Sequence[Request], *, beside: Sequence[Request]) -> dict[str, RunResult]:
        """What lies there of runs that were not asked for: those that are still true, and those that failed.

        No database is asked for their sake that the runs ``beside`` them do not read.
        """
        read, found = {(one.source, one.mapping) for one in beside}, {}
        for one in others:
            with suppress(Exception):  # what is wrong with them is told when they are asked for
                is_known = not is_url(one.source) or (one.source, one.mapping) in read
                if (result := self._as_it_is(one, is_known)) is not None:
                    found[one.name] = result
        return found

    def _as_it_is(self, request: Request, is_known: bool) -> RunResult | None:
        place = folder.failed_folder(self.out, request.name)
        if place.is_dir():
            told = manifest_of(place)
            status: Status = "refused" if told.get("is_refused") else "failed"
            error = str(told.get("error") or "")
            return RunResult(request.name, request.title, status, place, error) if error else None
        return self.last(request, needs_pdf=False) if is_known else None

    def last(self, request: Request, *, needs_pdf: bool | None = None) -> RunResult | None:
        """The run that is there, if it would come out the same."""
        clock, data, place = monotonic(), self._known_data(request)[0], self.out / request.name
        if not data or not (manifest := reusable(place, run_key(request, data))):
            return None
        if (self.options.pdf if needs_pdf is None else needs_pdf) and PDF not in manifest["files"]:
            return None
        return RunResult(
            name=request.name,
            title=request.title,
            status="done",
            folder=place,
            findings=read_json(place / "findings.json"),
            seconds=monotonic() - clock,
            alerts=read_json(place / ALERTS),
            is_reused=True,
        )

    def _known_data(self, request: Request) -> tuple[str, str]:
        """Fingerprint of the data of a run, and what its kernel is told of it; each source is read once."""
        source = (request.source, request.mapping)
        with self._lock:
            if source not in self._data:
                self._data[source] = _fingerprint(*source)
            return self._data[source]


def _fingerprint(source: str, mapping: str | None) -> tuple[str, str]:
    """Of files by their bytes; of a database by names, columns, rows and times of its tables. Empty where it cannot be told."""
    try:
        if is_url(source) and not source.startswith("chdb://"):
            from workbench.source.shop import read_shop

            return read_shop(source, mapping)[0].fingerprint, ""
        path = Path(source.removeprefix("chdb://")).expanduser()
        told = Path(mapping) if mapping else None
        if not path.exists():
            return "", ""
        return known_fingerprint(path, told)
    except (OSError, SourceError, TableError):
        return "", ""  # the run says what is wrong


def memory_of_each(jobs: int) -> str:
    """What the engine of each run may hold so that all of them fit; "" where the limit as it stands does."""
    import psutil

    asked = _SIZE.fullmatch(os.environ.get(MEMORY_LIMIT, "").strip())
    powers = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
    limit_gb = _DEFAULT_MEMORY_GB
    if asked:
        limit_gb = float(asked[1]) * (1024 if asked[3] else 1000) ** powers[asked[2].upper()] / 1e9
    each_gb = _SHARE_OF_MEMORY * psutil.virtual_memory().available / 1e9 / jobs - _PYTHON_GB
    return "" if limit_gb <= each_gb else f"{max(each_gb, _LEAST_GB) * 1000:.0f}MB"


def alerts_of(requests: Sequence[Request], results: dict[str, RunResult]) -> dict[str, Any]:
    """What a scheduler needs of a batch: the status of every run, and the alerts of all, each with the run's name.

    ``rings`` is True if an alert of the newest days of any run rings; ``is_judged`` of a run is null where its notebook
    watches nothing, ``is_stale`` says whether the data of a run are out of date. A run that was not asked for is told as it
    lies there; one that is not yet done, or is no longer true, is ``waiting``.
    """
    done = [results[one.name] for one in requests if one.name in results]
    told = {
        one.name: {
            "name": one.name,
            "status": one.word,
            "rings": one.rings,
            "is_judged": one.alerts.get("is_judged"),
            "is_stale": is_stale(one),
        }
        for one in done
    }
    waits = {"status": "waiting", "rings": False, "is_judged": None, "is_stale": None}
    return {
        "rings": any(one.rings for one in done),
        "runs": [told.get(one.name, {"name": one.name} | waits) for one in requests],
        "alerts": [{"run": one.name} | alert for one in done for alert in one.alerts.get("alerts", [])],
    }


def is_stale(result: RunResult) -> bool | None:
    """Whether the data of a run end before its days do, or long ago; None where it has none."""
    period = result.findings.get("period")
    return bool(why_stale(period, "en")) if period and result.status == "done" else None


def check_only(only: Sequence[str], requests: Sequence[Request]) -> tuple[str, ...]:
    """The names of runs that were asked for.

    Raises
    ------
    ParameterError
        If the plan has no run of that name.
    """
    from workbench.errors import nearest

    names = [one.name for one in requests]
    for asked in only:
        if asked not in names:
            raise ParameterError(
                f'--only: the plan has no run "{asked}"{nearest(asked, names, ".")} It has {", ".join(names)}.'
            )
    return tuple(only)


def _outcome(future: "Future[RunResult]", request: Request, out: Path) -> RunResult:
    """The result of a run; one that broke outside its notebook is a failed run like others."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Interrupted):
        raise KeyboardInterrupt
    kept = folder.failed_folder(out, request.name)
    said = scrub(f"{type(error).__name__}: {error}", *private_places(request), folders={str(out.absolute()): "out"})
    return RunResult(request.name, request.title, "failed", kept, said)


def _write_pages(requests: Sequence[Request], results: dict[str, RunResult], out: Path, lang: Language) -> str:
    """Write the index and the alerts; where that fails those that are there stay, and why is given back."""
    try:
        write_json(out / ALERTS, alerts_of(requests, results))
        temporary = out / f".index.{os.getpid()}.tmp"
        temporary.write_text(make_index(requests, results, out, lang), encoding="utf-8")
        temporary.replace(out / "index.html")
    except OSError as error:
        for left in (out / f".index.{os.getpid()}.tmp", out / f".{ALERTS}.{os.getpid()}"):
            with suppress(OSError):
                left.unlink(missing_ok=True)
        return error.strerror or type(error).__name__
    return ""
