"""Progress of runs: one bar over all cells on a terminal, one line a run elsewhere."""

import sys
import threading
from types import TracebackType
from typing import Any

from workbench.report.run import Request, RunResult


class Progress:
    """Shows how far runs are, on the error stream; use it with ``with``."""

    def __init__(self, requests: list[Request]) -> None:
        self._total = len(requests)
        self._finished = 0
        self._lock = threading.Lock()
        self._rows: dict[str, Any] = {}
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        """Start the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar, whatever happened."""
        if self._bar is not None:
            self._bar.stop()

    def cell(self, request: Request, done: int, total: int) -> None:
        """Take note of a finished cell."""
        if self._bar is None:
            return
        with self._lock:
            if request.name not in self._rows:
                self._rows[request.name] = self._bar.add_task(request.name, total=total)
            self._bar.update(self._rows[request.name], completed=done)

    def done(self, result: RunResult) -> None:
        """Say what became of a run."""
        with self._lock:
            self._finished += 1
            if self._bar is not None and result.name in self._rows:
                self._bar.remove_task(self._rows[result.name])
            place = f"[{self._finished}/{self._total}] " if self._total > 1 else ""
            self._say(f"{place}{result.name}: {result.status} in {result.seconds:.1f} s")
            for line in result.error.splitlines():
                self._say(f"    {line}")
            if result.error and (result.folder / "notebook.ipynb").is_file():
                self._say(f"    executed as far as it came: {result.folder.absolute() / 'notebook.ipynb'}")

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    name = TextColumn("{task.description}", markup=False)
    return Bar(
        name, BarColumn(), MofNCompleteColumn(), TextColumn("cells"), TimeElapsedColumn(), console=Console(stderr=True)
    )
