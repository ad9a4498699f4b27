"""Run folders: written under a temporary name and swapped in, so that nobody reads half a run."""

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import ParameterError

_NAME = re.compile(r"[^\W_][\w -]*(\.[\w -]+)*")
_TEMPORARY = re.compile(r"\.(?P<kept>.+)\.(?P<process>\d+)\.(?P<kind>tmp|old)")
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux."""


def check_run_name(name: str) -> None:
    """Refuse a run name that cannot be a folder beside the others.

    Raises
    ------
    ParameterError
        If it has slashes, starts with a dot, ends in ``.failed`` or is a file of the index.
    """
    is_taken = name.casefold().endswith(".failed") or name.casefold() == "index.html"
    if len(name) > 100 or name != name.strip() or is_taken or not _NAME.fullmatch(name):
        raise ParameterError(
            f'name: "{name}" cannot name a run. Use letters, digits, "-", "_" and single dots, starting with a '
            'letter or digit, not ending in ".failed".'
        )


@contextmanager
def locked(out: Path, *, alone: bool) -> Iterator[None]:
    """Hold a folder of runs while they are made; a second batch is refused, and a batch and a single run refuse each other.

    Parameters
    ----------
    out
        The folder; it is made if it is not there.
    alone
        Whether nobody else may write into it: true for a batch; single runs go beside each other.

    Raises
    ------
    ParameterError
        If someone else is at work there.

    Notes
    -----
    The lock ends with the process, however it ends. Where the system knows none, nothing is refused.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    place = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            other = "another batch or run" if alone else "a batch"
            raise ParameterError(
                f'--out: {other} is at work in "{out}". Wait until it is done, or give another folder.'
            ) from None
        if alone:
            clear(out)
        yield
    finally:
        os.close(place)


def failed_folder(out: Path, name: str) -> Path:
    """Where a failed run of that name is kept."""
    return out / f"{name}.failed"


def start_folder(out: Path, name: str) -> Path:
    """Make the temporary folder of a run, after clearing what dead runs of that name left behind."""
    out.mkdir(parents=True, exist_ok=True)
    clear(out, name)
    folder = out / f".{name}.{os.getpid()}.tmp"
    folder.mkdir()
    return folder


def keep_done(temporary: Path, out: Path, name: str) -> Path:
    """Put a finished run in the place of the last one; its failed predecessor goes."""
    folder = _swap(temporary, out / name)
    shutil.rmtree(failed_folder(out, name), ignore_errors=True)
    return folder


def keep_failed(temporary: Path, out: Path, name: str) -> Path:
    """Keep a failed run as ``<name>.failed``; the last good one stays where it is."""
    return _swap(temporary, failed_folder(out, name))


def clear(out: Path, name: str | None = None) -> None:
    """Take away what dead processes left half done, of one run or, in a folder that is held alone, of all."""
    import psutil

    for path in out.glob(".*"):
        found = _TEMPORARY.fullmatch(path.name)
        if not found or (name is not None and found["kept"] not in (name, f"{name}.failed")):
            continue
        process, kept = int(found["process"]), out / found["kept"]
        if name is not None and process != os.getpid() and psutil.pid_exists(process):
            continue
        if found["kind"] == "old" and not kept.exists():
            path.rename(kept)  # the run died between the two renames of a swap: this was the last good one
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _swap(temporary: Path, folder: Path) -> Path:
    """Put a folder in the place of another one in one step, or in two where the system cannot."""
    if not folder.exists():
        temporary.rename(folder)
    elif _exchange(temporary, folder):
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        folder.rename(aside)
        temporary.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names, so that at no moment a name is without a folder."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
