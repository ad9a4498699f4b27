"""Execute a notebook in a kernel of this interpreter, with an environment of its own."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.report.notebook import ROOT, skip_slow_grammar

REFUSALS = ("ParameterError", "SourceError", "TableError")
OnProgress = Callable[[int, int], None]
_LAUNCH = (
    "import gc, sys; gc.set_threshold(20_000, 20, 50); "  # libraries bring a million objects that stay
    "sys.path[:] = [path for path in sys.path if path]; sys.modules['rfc3987_syntax'] = None; "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance(); "
    "import atexit, os; atexit._run_exitfuncs(); os._exit(0)"
)


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not run to its end.

    Attributes
    ----------
    message
        The sentence to show.
    is_refusal
        Whether the parameters, the source or its tables were refused; anything else is a failed analysis.
    cell
        Number of the failing cell, counted from 1 as in the executed notebook; None if the kernel died.
    """

    message: str
    is_refusal: bool
    cell: int | None


class Kernels:
    """The kernels that run, so that all of them can be ended at once.

    Attributes
    ----------
    is_stopped
        Whether they were ended; then nothing new is to be started.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._managers: list[Any] = []
        self.is_stopped = False

    def add(self, manager: Any) -> None:
        """Take note of a kernel that is about to start."""
        with self._lock:
            self._managers.append(manager)

    def stop(self) -> None:
        """End every kernel that runs now; asked again, those that were about to start."""
        self.is_stopped = True
        with self._lock:
            managers = list(self._managers)
        for manager in managers:
            process = getattr(manager.provisioner, "process", None)
            if process is not None and process.poll() is None:
                process.kill()


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    log: Path,
    on_progress: OnProgress | None = None,
    *,
    seconds: float | None = None,
    kernels: Kernels | None = None,
) -> Failure | None:
    """Run a notebook and save what it wrote, also if it fails.

    ``seconds`` bounds the time of all cells together; ``kernels`` gets to know the kernel.

    The environment is the kernel's alone, so runs in threads do not see each other's. The kernel's own
    messages go to ``log``. Success and failure are told by exceptions: the notebook's metadata call a cell
    completed even if its kernel died.
    """
    skip_slow_grammar()
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it takes "str | None" for an unknown parameter
    _register()
    deadline = time.monotonic() + seconds if seconds else None
    with log.open("wb") as errors:
        try:
            executed = papermill.execute_notebook(
                notebook.as_posix().replace("{", "{{").replace("}", "}}"),
                output.as_posix().replace("{", "{{").replace("}", "}}"),
                parameters=dict(parameters),
                engine_name="workbench",
                kernel_name="python3",
                language="python",
                progress_bar=False,
                request_save_on_cell_execute=False,  # writing all charts anew around each cell took a second a run
                autosave_cell_every=0,
                start_timeout=180,
                iopub_timeout=60,
                kernel_environment=_environment(environment),
                kernel_folder=str(notebook.parent),
                kernel_output=output,
                kernel_errors=errors,
                kernel_deadline=deadline,
                kernels=kernels or Kernels(),
                on_cell_executed=_counter(notebook, on_progress),
            )
        except PapermillExecutionError as error:
            return _failure(error)
        except DeadKernelError:
            return Failure("The kernel died: out of memory, or ended from outside.", False, None)
        except CellTimeoutError:
            return Failure(f"It took longer than {seconds:g} s and was ended.", False, None)
        except RuntimeError as error:
            return Failure(f"The kernel did not answer: {_first_line(str(error))}", False, None)
    return _ended_early(executed)


def _ended_early(executed: Any) -> Failure | None:
    """Tell of a cell that left the notebook with ``exit()``: papermill counts that as success."""
    for number, cell in enumerate(executed.cells, start=1):
        if cell.cell_type == "code" and cell.source.strip() and not cell.execution_count:
            return Failure(f"The notebook ended early: cell {number} was not run.", False, number)
    return None


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    merged = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), **own}
    return {key: value for key, value in merged.items() if value or key not in own}


def _seconds_left(deadline: float | None) -> int | None:
    """What the next cell may take; nothing starts after the deadline."""
    from nbclient.exceptions import CellTimeoutError

    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise CellTimeoutError
    return max(1, round(left))


def _counter(notebook: Path, on_progress: OnProgress | None) -> Callable[..., None] | None:
    if on_progress is None:
        return None
    from workbench.report.notebook import load_notebook

    total = sum(cell.cell_type == "code" for cell in load_notebook(notebook).cells)
    done = 0

    def count(**_: object) -> None:
        nonlocal done
        done = min(done + 1, total)  # the cell of injected parameters is one more than the notebook has
        on_progress(done, total)

    return count


def _failure(error: Any) -> Failure:
    cell = error.cell_index + 1
    text = str(error.evalue).strip()
    if error.ename in REFUSALS:
        return Failure(text or error.ename, True, cell)
    return Failure(f"Cell {cell}: {error.ename}: {text}" if text else f"Cell {cell}: {error.ename}", False, cell)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"


def _register() -> None:
    """Teach papermill an engine that starts this interpreter, whatever kernels are registered on the machine."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines
    from papermill.iorw import write_ipynb

    quiet = logging.getLogger("workbench.kernel")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())

    class OwnKernelManager(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            argv = [sys.executable, "-c", _LAUNCH, "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python")

    class OwnEngine(Engine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            deadline = options["kernel_deadline"]
            client = PapermillNotebookClient(
                nb_man,
                kernel_manager_class=OwnKernelManager,
                kernel_name=kernel_name,
                log=quiet,
                extra_arguments=["--HistoryManager.hist_file=:memory:"],
                startup_timeout=options["start_timeout"],
                iopub_timeout=options["iopub_timeout"],
                on_cell_executed=options["on_cell_executed"],
                timeout_func=lambda _cell: _seconds_left(deadline),
            )
            options["kernels"].add(client.create_kernel_manager())
            start = {"env": options["kernel_environment"], "cwd": options["kernel_folder"]}
            try:
                client.execute(**start, stdout=options["kernel_errors"], stderr=options["kernel_errors"])
            except Exception:
                write_ipynb(nb_man.nb, str(options["kernel_output"]))  # a kernel died: papermill would write nothing
                raise

    papermill_engines.register("workbench", OwnEngine)
