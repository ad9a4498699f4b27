"""Things that take long and that no test changes, made once for all processes of a test run."""

import copyreg
import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any


def read_only(of: dict) -> MappingProxyType:
    """Found again by name when a pickle is read."""
    return MappingProxyType(of)


copyreg.pickle(MappingProxyType, lambda one: (read_only, (dict(one),)))


class Once:
    """``once(name, make)`` gives what ``make(folder)`` gave; the folder is its own, and not there yet.

    The first process that asks makes it while the others wait; all get a copy. If it fails, the next one tries anew.
    """

    def __init__(self, base: Path) -> None:
        workers = "PYTEST_XDIST_WORKER" in os.environ  # each has a folder of its own below the one of the run
        self.place = (base.parent if workers else base) / "made_once"
        self.place.mkdir(exist_ok=True)
        self.known: dict[str, Any] = {}

    def __call__(self, name: str, make: Callable[[Path], Any]) -> Any:
        if name not in self.known:
            kept = self.place / f"{name}.pickle"
            with (self.place / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not kept.is_file():
                    kept.write_bytes(pickle.dumps(make(self.place / name)))
            self.known[name] = pickle.loads(kept.read_bytes())
        return self.known[name]
