"""Run folders: written under a temporary name and swapped in, so that nobody reads half a run."""

import os
import re
import shutil
from pathlib import Path

from workbench.errors import ParameterError

_NAME = re.compile(r"[^\W_][\w -]*(\.[\w -]+)*")


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


def failed_folder(out: Path, name: str) -> Path:
    """Where a failed run of that name is kept."""
    return out / f"{name}.failed"


def start_folder(out: Path, name: str) -> Path:
    """Make the temporary folder of a run, after clearing what dead runs of that name left behind."""
    out.mkdir(parents=True, exist_ok=True)
    _clear(out, name)
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


def _swap(temporary: Path, folder: Path) -> Path:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(aside)
    temporary.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    return folder


def _clear(out: Path, name: str) -> None:
    import psutil

    for path in out.glob(f".{_literal(name)}.*"):
        match = re.fullmatch(rf"\.{re.escape(name)}(\.failed)?\.(\d+)\.(tmp|old)", path.name)
        if not match or (int(match[2]) != os.getpid() and psutil.pid_exists(int(match[2]))):
            continue
        kept = out / (name + (match[1] or ""))
        if match[3] == "old" and not kept.exists():
            path.rename(kept)  # the run died between the two renames of a swap: this was the last good one
        else:
            shutil.rmtree(path, ignore_errors=True)


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)
