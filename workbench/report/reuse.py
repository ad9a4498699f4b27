"""Whether a run that is there would come out the same again: then it is kept as it is."""

import hashlib
import json
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

from workbench.parameters import local_path
from workbench.report.manifest import read_json
from workbench.report.notebook import ROOT
from workbench.report.request import Request
from workbench.report.scrub import is_url

MANIFEST = "manifest.json"


def run_key(request: Request, data_fingerprint: str) -> str:
    """Hash of all that a report is made of.

    Those are the notebook's cells and modules beside it, this package with its templates, the installed packages, the
    parameters, files that they name, what the plan adds to the page, and the data.
    """
    cells = [(cell.cell_type, cell.source) for cell in request.node().cells]
    parts: list[Any] = [
        request.name,
        cells,
        _modules(request.notebook.parent),
        _package(),
        _installed(),
        sorted(request.parameters.items()),
        [_named_file(value) for value in request.parameters.values()],
        [request.lang, request.comment, request.mask_below, _named_file(request.annotations)],
        data_fingerprint,
    ]
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16).hexdigest()


def reusable(folder: Path, key: str) -> dict[str, Any]:
    """The manifest of a finished run if it has this key and all its files; else empty."""
    try:
        manifest = read_json(folder / MANIFEST)
    except ValueError:
        return {}
    same = manifest.get("status") == "done" and manifest.get("key") == key
    return manifest if same and sizes(folder) == manifest.get("files") else {}


def sizes(folder: Path) -> dict[str, int]:
    """Size of each file of a run but its manifest, by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(files)}


def _named_file(value: object) -> str:
    """Hash of a file that a value names; "" if it names none."""
    if not isinstance(value, str) or not value or is_url(value) or "\n" in value:
        return ""
    try:
        path = local_path(value)
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.is_file() else ""
    except OSError:
        return ""


@cache
def _package() -> str:
    """Hash of every file of this package."""
    return _hash_of(path for path in sorted((ROOT / "workbench").rglob("*")) if "__pycache__" not in path.parts)


def _modules(folder: Path) -> str:
    """Hash of the modules that lie beside a notebook, which it can import."""
    return _hash_of(sorted(folder.glob("*.py")))


def _hash_of(paths: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        if path.is_file():
            digest.update(f"{path.name}:".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def _installed() -> list[str]:
    """Name and version of every package that is installed, as their folders tell them."""
    places = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return sorted(one.name for place in places if place.is_dir() for one in place.glob("*.dist-info"))
