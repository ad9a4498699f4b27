"""Run folders: written under a temporary name and swapped in, so that nobody reads half a run."""

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.errors import ParameterError
from workbench.report.manifest import MANIFEST

_NAME = re.compile(r"[^\W_][\w -]*(\.[\w -]+)*")
_TEMPORARY = re.compile(r"\.(?P<kept>.+)\.(?P<process>\d+)\.(?P<kind>tmp|old)")
_MOST_BYTES = 120
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux."""


def check_run_name(name: str) -> None:
    """Refuse a run name that cannot be a folder beside the others.

    Raises
    ------
    ParameterError
        If it has slashes, starts with a dot, ends in ``.failed``, is a file of the index, or is longer than file systems take.
    """
    is_taken = name.casefold().endswith(".failed") or name.casefold() in ("index.html", "alerts.json")
    if len(os.fsencode(name)) > _MOST_BYTES or name != name.strip() or is_taken or not _NAME.fullmatch(name):
        raise ParameterError(
            f'name: "{name}" cannot name a run. Use letters, digits, "-", "_" and single dots, starting with a '
            f'letter or digit, not ending in ".failed", of at most {_MOST_BYTES} bytes ({_MOST_BYTES // 3} Chinese characters).'
        )


def check_place(out: Path, name: str) -> None:
    """Refuse a folder that is there and is none of a run: a run takes the place of the last one.

    Raises
    ------
    ParameterError
        If it holds something and has no manifest, or is a file.
    """
    place = out / name
    is_foreign = place.is_dir() and any(place.iterdir()) and not (place / MANIFEST).exists()
    if is_foreign or (place.exists() and not place.is_dir()):
        raise ParameterError(
            f'--out: "{place}" is there and is no earlier run (it has no {MANIFEST}). Nothing was started or touched; '
            "give another --out, or the run another name."
        )


def take_away(folder: Path) -> None:
    """Remove the folder of a run; whenever that is cut short, what is left is taken for half done."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def locked(out: Path, *, alone: bool, waits: bool = False) -> Iterator[None]:
    """Hold a folder of runs while they are made; a second batch is refused, and a batch and a single run refuse each other.

    Parameters
    ----------
    out
        The folder; it is made if it is not there.
    alone
        Whether nobody else may write into it: true for a batch; single runs go beside each other.
    waits
        Whether to wait for whoever is at work there.

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
            fcntl.flock(place, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if waits else fcntl.LOCK_NB))
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
    take_away(failed_folder(out, name))
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
    _settle(temporary)
    if not folder.exists():
        try:
            temporary.rename(folder)
            return folder
        except OSError:
            if not folder.exists():
                raise  # else another run of the name was first
    if _exchange(temporary, folder):
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        folder.rename(aside)
        temporary.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _settle(folder: Path) -> None:
    """Have the disk hold what was written before others see it: a power cut leaves the run before, not an empty file."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names, so that at no moment a name is without a folder."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
