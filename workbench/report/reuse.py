"""Whether a run that is there would come out the same again: then it is kept as it is."""

import hashlib
import json
import re
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from workbench.parameters import local_path
from workbench.report.manifest import MANIFEST, manifest_of
from workbench.report.notebook import ROOT
from workbench.report.request import Request
from workbench.report.scrub import is_url, safe_name
from workbench.source.address import without_secrets

_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+([^#\n]+)", re.MULTILINE)


def run_key(request: Request, data_fingerprint: str) -> str:
    """Hash of all that a report is made of.

    Those are the notebook's cells and the modules beside it, this package with its templates, the installed packages, the
    parameters, files that they name, what the plan adds to the page, and the data: the name of their source, or of a
    database where it is, their mapping, and their fingerprint.
    """
    cells = [(cell.cell_type, cell.source) for cell in request.node().cells]
    parts: list[Any] = [
        request.name,
        cells,
        _modules(request.notebook.parent, [source for kind, source in cells if kind == "code"]),
        _package(),
        _installed(),
        sorted(request.parameters.items()),
        [_named_file(value) for value in request.parameters.values()],
        without_secrets(request.source) if is_url(request.source) else safe_name(request.source),
        _named_file(request.mapping),
        [request.lang, request.comment, request.mask_below, _named_file(request.annotations)],
        data_fingerprint,
    ]
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16).hexdigest()


def reusable(folder: Path, key: str) -> dict[str, Any]:
    """The manifest of a finished run if it has this key and all its files; else empty."""
    manifest = manifest_of(folder)
    same = manifest.get("status") == "done" and manifest.get("key") == key
    return manifest if same and sizes(folder) == manifest.get("files") else {}


def sizes(folder: Path) -> dict[str, int]:
    """Size of each file of a run but its manifest, by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(files)}


def source_key(request: Request) -> str:
    """A hash that tells sources of one name apart, without telling where they are."""
    places = [one if is_url(one) else str(Path(one).absolute()) for one in (request.source, request.mapping) if one]
    return hashlib.blake2b("\n".join(map(without_secrets, places)).encode(), digest_size=8).hexdigest()


def _named_file(value: object) -> str:
    """Hash of a file that a value names; "" if it names none."""
    if not isinstance(value, str) or not value or is_url(value) or "\n" in value:
        return ""
    path = local_path(value)
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.is_file() else ""
    except OSError:
        return ""


@cache
def _package() -> str:
    """Hash of every file of this package."""
    return _hash_of(path for path in sorted((ROOT / "workbench").rglob("*")) if "__pycache__" not in path.parts)


def _modules(folder: Path, cells: Sequence[str]) -> str:
    """Hash of the modules that lie beside a notebook, and of the folders of modules there that it, or one of them, imports."""
    found = set(folder.glob("*.py"))
    texts, seen = [*cells, *map(_text, found)], set()
    while texts:
        for line in _IMPORT.findall(texts.pop()):
            for name in re.findall(r"[A-Za-z_]\w*", line):
                place = folder / name
                if name not in seen and place.is_dir():
                    seen.add(name)
                    inside = set(place.rglob("*.py")) - found
                    found |= inside
                    texts += map(_text, inside)
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(found):
        digest.update(f"{path.relative_to(folder).as_posix()}:{_text(path)}".encode())
    return digest.hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


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
