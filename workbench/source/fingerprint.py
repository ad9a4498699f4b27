"""What data a source holds, told by its bytes: the same bytes give the same text, any other byte another one."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

KNOWN = "WORKBENCH_FINGERPRINT"
"""Environment variable by which a batch tells its runs what it has hashed already: state, ``=``, fingerprint."""
SUFFIXES = frozenset({".parquet", ".csv", ".tsv", ".gz", ".yml", ".yaml", ".json", ".duckdb", ".db", ".ddb"})
_CHUNK_BYTES = 1 << 22
_THREADS = 4


def fingerprint_of_files(source: Path, mapping: Path | None = None) -> str:
    """Hash the bytes of a source of files, of a folder those that can be data.

    Parameters
    ----------
    source
        A folder of files, or one file such as a DuckDB database.
    mapping
        The mapping beside it, if there is one.

    Notes
    -----
    Reads every byte, at the speed of the disk. Folders of finished runs inside of a source are no data and are passed over.
    What a batch has hashed is taken from the environment as long as no file's size, times or inode changed since.
    """
    files = _all_files(source, mapping)
    state = _state(files)
    known, _, found = os.environ.get(KNOWN, "").partition("=")
    if found and known == state:
        return found
    with ThreadPoolExecutor(_THREADS) as pool:
        hashes = list(pool.map(lambda one: _hash(one[1]), files))
    lines = [f"{name}:{one}" for (name, _), one in zip(files, hashes, strict=True)]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def fingerprint_of_tables(tables: "Mapping[str, ir.Table]", reach: Mapping[str, Mapping[str, int]]) -> str:
    """Hash what is cheap to know of the tables of a database: names, columns, row counts, first and last times.

    A value that was changed in place, with no row more or less, is not seen by it.
    """
    lines = [f"{name}:{tables[name].schema()}:{sorted(reach.get(name, {}).items())}" for name in sorted(tables)]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def known_fingerprint(source: Path, mapping: Path | None = None) -> tuple[str, str]:
    """Hash a source of files, and say what to put into the environment of runs so that they need not hash it again.

    Both are empty where a file changed meanwhile: nobody knows then what was read.
    """
    before = _state(_all_files(source, mapping))
    found = fingerprint_of_files(source, mapping)
    return (found, f"{before}={found}") if _state(_all_files(source, mapping)) == before else ("", "")


def _all_files(source: Path, mapping: Path | None) -> list[tuple[str, Path]]:
    return _files(source) + ([("mapping", mapping)] if mapping is not None else [])


def _files(source: Path) -> list[tuple[str, Path]]:
    if source.is_file():
        log = source.with_name(f"{source.name}.wal")  # what DuckDB has not yet written into its file
        return [(one.name, one) for one in (source, log) if one.is_file()]
    found, seen = [], set()
    for folder, inner, names in os.walk(source, followlinks=True):  # the engine reads through links too
        inner[:] = sorted(one for one in inner if not one.startswith("."))
        if os.path.realpath(folder) in seen:
            inner.clear()  # a link that leads back
            continue
        seen.add(os.path.realpath(folder))
        if {"manifest.json", "findings.json"} <= set(names):
            inner.clear()  # a finished run
            continue
        found += [
            Path(folder, one) for one in names if not one.startswith(".") and Path(one).suffix.lower() in SUFFIXES
        ]
    return sorted((path.relative_to(source).as_posix(), path) for path in found)


def _state(files: Sequence[tuple[str, Path]]) -> str:
    """What the file system says of files; a change of their bytes cannot leave it as it is."""
    lines = []
    for name, path in files:
        one = path.stat()
        lines.append(f"{name}:{one.st_size}:{one.st_mtime_ns}:{one.st_ctime_ns}:{one.st_ino}")
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
