"""Run a plan: several notebooks at a time, each on its own, then one page that leads to all reports."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from workbench.language import Language
from workbench.report import folder
from workbench.report.index import make_index
from workbench.report.manifest import write_json
from workbench.report.publish import ALERTS
from workbench.report.run import Request, RunResult, start_run

OnCell = Callable[[Request, int, int], None]
OnDone = Callable[[RunResult], None]


def run_batch(
    requests: list[Request],
    out: Path,
    *,
    lang: Language = "en",
    jobs: int = 2,
    on_cell: OnCell | None = None,
    on_done: OnDone | None = None,
) -> list[RunResult]:
    """Run what `load_plan` has checked and write ``out/index.html`` and ``out/alerts.json``.

    A run that fails, whatever the cause, is told in its result and on the page; the others go on.

    Parameters
    ----------
    requests
        The runs.
    out
        Folder of the runs and of the index page.
    lang
        Language of the index page.
    jobs
        How many runs at a time.
    on_cell, on_done
        Called from the runs' threads after each cell, and after each run.

    Returns
    -------
    list of RunResult
        In the order of the requests.
    """
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, RunResult] = {}
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = {pool.submit(_start, request, out, on_cell): request for request in requests}
        try:
            for future in as_completed(waiting):
                result = _outcome(future, waiting[future], out)
                results[result.name] = result
                if on_done is not None:
                    on_done(result)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)  # runs that have not started stay so
            raise
    ordered = [results[request.name] for request in requests]
    write_json(out / ALERTS, alerts_of(ordered))
    _write_index(make_index(ordered, out, lang), out)
    return ordered


def alerts_of(results: list[RunResult]) -> dict[str, Any]:
    """What a scheduler needs of a batch: the status of every run, and the alerts of all, each with the run's name.

    ``rings`` is True if an alert of the newest days of any run rings; ``is_judged`` of a run is null where its notebook
    watches nothing.
    """
    return {
        "rings": any(one.rings for one in results),
        "runs": [
            {"name": one.name, "status": one.status, "rings": one.rings, "is_judged": one.alerts.get("is_judged")}
            for one in results
        ],
        "alerts": [{"run": one.name} | alert for one in results for alert in one.alerts.get("alerts", [])],
    }


def _start(request: Request, out: Path, on_cell: OnCell | None) -> RunResult:
    count = (lambda done, total: on_cell(request, done, total)) if on_cell is not None else None
    return start_run(request, out, count)


def _outcome(future: "Future[RunResult]", request: Request, out: Path) -> RunResult:
    """The result of a run; one that broke outside its notebook (a full disk) is a failed run like others."""
    error = future.exception()
    if error is None:
        return future.result()
    kept = folder.failed_folder(out, request.name)
    message = f"{type(error).__name__}: {error}"
    return RunResult(request.name, request.title, "failed", kept, message)


def _write_index(page: str, out: Path) -> None:
    temporary = out / f".index.{os.getpid()}.tmp"
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(out / "index.html")
