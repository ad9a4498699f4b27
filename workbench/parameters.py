"""Checks of arguments that several analyses share, each with a message that helps."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from workbench.errors import ParameterError, nearest

FOLDER = "WORKBENCH_FOLDER"
"""The folder in which a run was asked for; a notebook's own folder is another."""


def local_path(given: str) -> Path:
    """A file that a parameter names, from the folder in which the run was asked for; in Python from the working folder."""
    path = Path(given)
    with contextlib.suppress(RuntimeError):  # "~sale" is the home of nobody
        path = path.expanduser()
    return Path(os.environ.get(FOLDER, "")) / path


def check_choices(name: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse a value that is not among the allowed ones, and name the nearest."""
    for one in given:
        if one not in allowed:
            raise ParameterError(
                f'{name}: "{one}" is not known{nearest(str(one), allowed, ".")} Allowed: {", ".join(allowed)}.'
            )


def check_days(name: str, given: Iterable[int]) -> None:
    """Refuse windows that are not whole positive numbers of days, or that repeat."""
    days = list(given)
    for one in days:
        if isinstance(one, bool) or not isinstance(one, int) or one <= 0:
            raise ParameterError(f"{name}: {one!r} is not a whole positive number of days, such as 30.")
    if len(set(days)) < len(days):
        raise ParameterError(f"{name}: {days} names a window twice.")


def check_positive(name: str, given: float, unit: str) -> None:
    """Refuse zero and negative lengths."""
    if not 0 < given < float("inf"):
        raise ParameterError(f"{name} is {given}; it must be above 0 {unit}.")


def check_names(name: str, given: Sequence[str]) -> None:
    """Refuse an empty list and repeated names."""
    if not given:
        raise ParameterError(f"{name} is empty; name at least one.")
    if len(set(given)) < len(given):
        raise ParameterError(f"{name}: {', '.join(given)} names one twice.")


def check_rate(name: str, given: float) -> None:
    """Refuse what is not strictly between 0 and 1."""
    if not 0 < given < 1:
        raise ParameterError(f"{name} is {given}; it must lie strictly between 0 and 1, such as 0.95.")
