"""What a run was made of: versions, code revision, times and status."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench.report.notebook import ROOT

PACKAGES = ("workbench", "pandas", "duckdb", "ibis-framework", "altair", "papermill")


MANIFEST = "manifest.json"


@cache
def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that make a report; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def code_revision(root: Path = ROOT) -> dict[str, object] | None:
    """Commit of the code and whether files were changed since; None outside a git checkout of its own."""
    told = (_git(root, "rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    if len(told) != 2 or Path(told[0]).resolve() != root.resolve():
        return None
    commit = told[1]
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain"))}


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN) under a temporary name and move it in place."""
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote; empty if there is none.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of a run; empty if there is none, or if it is damaged: then nobody knows what lies there."""
    try:
        return read_json(folder / MANIFEST)
    except (ValueError, TypeError):
        return {}


def may_be_shown(folder: Path, mask_below: int) -> bool:
    """Whether the report in a folder shows no smaller groups of people than these."""
    return not mask_below or int(manifest_of(folder).get("mask_below") or 0) >= mask_below
