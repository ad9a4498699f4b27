"""Progress of runs: one bar over all cells on a terminal, one line a run elsewhere."""

import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench.report.manifest import manifest_of
from workbench.report.request import Request
from workbench.report.run import RunResult

if TYPE_CHECKING:
    from workbench.report.batch import Options


class Progress:
    """Shows how far runs are, on the error stream; use it with ``with``."""

    def __init__(self, requests: Sequence[Request], out: Path | None = None, options: "Options | None" = None) -> None:
        asked = [one for one in requests if options is None or not options.only or one.name in options.only]
        self._jobs = options.jobs if options is not None else 1
        self._left = {one.name: _seconds_before(out, one.name) for one in asked}
        self._total = len(asked)
        self._finished = 0
        self._took: list[float] = []
        self._words: Counter[str] = Counter()
        self._rings = 0
        self._lock = threading.RLock()
        self._rows: dict[str, Any] = {}
        in_notebook = "JPY_PARENT_PID" in os.environ  # whose output cannot be drawn over
        self._bar = _bar() if sys.stderr.isatty() and not in_notebook else None

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
        if self._total > 1 and self._finished:
            counts = [f"{count} {word}" for word, count in self._words.items()]
            rings = [f"{self._rings} with an alarm of the newest days"] if self._rings else []
            print(f"{self._finished} of {self._total} runs: {', '.join(counts + rings)}.", file=sys.stderr, flush=True)

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
            self._words[result.word] += 1
            self._rings += result.rings
            self._left.pop(result.name, None)
            self._took += [] if result.is_reused else [result.seconds]
            if self._bar is not None and result.name in self._rows:
                self._bar.remove_task(self._rows[result.name])
            place = f"[{self._finished}/{self._total}] " if self._total > 1 else ""
            took = f"{result.seconds:.2f}" if result.is_reused else f"{result.seconds:.1f}"
            self.say(f"{place}{result.name}: {result.word} in {took} s{self._time_left()}")
            for line in result.error.splitlines():
                self.say(f"    {line}")
            if result.error and (result.folder / "notebook.ipynb").is_file():
                self.say(f"    executed as far as it came: {result.folder.absolute() / 'notebook.ipynb'}")

    def note(self, line: str) -> None:
        """Say what else is to be told."""
        with self._lock:
            self.say(line)

    def _time_left(self) -> str:
        """What the rest will take, by what the runs took the last time or those that are done took now."""
        typical = sum(self._took) / len(self._took) if self._took else 0.0
        seconds = sum(before or typical for before in self._left.values()) / min(self._jobs, max(len(self._left), 1))
        if not self._left or not seconds or not self._took:  # runs that are kept take no time, and more may follow
            return ""
        return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"  # noqa: PLR2004

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


def run_lines(runs: Sequence[tuple[Request, bool]]) -> list[str]:
    """What a batch would do, one line a run: its name, notebook, days and language."""
    width = max((len(request.name) for request, _ in runs), default=0)
    lines = []
    for request, is_reused in runs:
        days = [str(request.parameters.get(name) or "") for name in ("start_date", "end_date")]
        told = f" {days[0] or '…'} to {days[1] or '…'}" if any(days) else " all days"
        what = "reused" if is_reused else "to run"
        lines.append(f"{request.name:<{width}}  {what}  {request.notebook.stem}{told} {request.lang}")
    return [*lines, f"{len(runs)} runs, {sum(reused for _, reused in runs)} of them reused; nothing was started."]


def _seconds_before(out: Path | None, name: str) -> float:
    """How long a run took the last time; 0 if nobody knows."""
    try:
        return float(manifest_of(out / name).get("seconds", 0)) if out is not None else 0.0
    except (ValueError, TypeError):
        return 0.0


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    name = TextColumn("{task.description}", markup=False)
    return Bar(
        name, BarColumn(), MofNCompleteColumn(), TextColumn("cells"), TimeElapsedColumn(), console=Console(stderr=True)
    )
