"""The files of a source: which belong to a table, and what their bytes and headers say. Reads no rows into tables."""

import atexit
import codecs
import csv
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.errors import SourceError


def table_files(folder: Path, name: str) -> list[Path]:
    """Files of a table: NAME.parquet, NAME.csv, NAME.csv.gz, or a folder NAME of such parts."""
    candidates = {
        "parquet": [folder / f"{name}.parquet", *sorted((folder / name).glob("**/*.parquet"))],
        "csv": [folder / f"{name}.csv", folder / f"{name}.csv.gz", *sorted((folder / name).glob("**/*.csv*"))],
    }
    found = {ending: [one for one in paths if one.is_file()] for ending, paths in candidates.items()}
    if found["parquet"] and found["csv"]:
        both = ", ".join(one.name for one in found["parquet"][:1] + found["csv"][:1])
        raise SourceError(f"{folder.name}: table {name} is there twice ({both}). Keep one of them.")
    return found["parquet"] or found["csv"]


def stray_files(folder: Path, wanted: set[str]) -> tuple[str, ...]:
    """Files of the folder that belong to no table wanted."""
    return tuple(
        sorted(
            one.name
            for one in folder.iterdir()
            if one.suffix in {".parquet", ".csv", ".gz"} and one.name.split(".")[0] not in wanted
        )
    )


def refuse_case_twins(name: str, file: Path, columns: list[str]) -> None:
    """DuckDB would silently rename one of two columns that differ only by case."""
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.casefold(), column)
        if other is not column:
            raise SourceError(
                f'{name}: {file.name} has the columns "{other}" and "{column}", which differ at most by case. Rename one.'
            )


def _first_csv_line(file: Path) -> str:
    with _open_bytes(file) as stream:
        return stream.readline().decode("utf-8-sig").rstrip("\r\n")


def csv_delimiter(file: Path) -> str:
    """The separator that stands most often in the header."""
    return max(",;\t|", key=_first_csv_line(file).count)


def csv_header(file: Path) -> list[str]:
    """Column names in the first line."""
    return next(csv.reader([_first_csv_line(file)], delimiter=csv_delimiter(file)), [])


def csv_fault(message: str) -> str:
    """Say what DuckDB found wrong in a CSV file, with its line."""
    file = re.search(r"^\s*file = (.+)$", message, re.MULTILINE)
    line = re.search(r"Line: (\d+)", message)
    columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    where = f"{Path(file[1]).name} " if file else ""
    where += f"line {line[1]} " if line else ""
    if columns:
        return f"{where}has {columns[2]} fields, the header has {columns[1]}. Correct the line, or quote fields that hold the separator."
    return f"{where}cannot be read as CSV: {message.splitlines()[0]}"


def as_utf8(file: Path, name: str, encoding: str | None) -> Path:
    """Return a UTF-8 file: the file itself, or a converted copy where the mapping names another encoding."""
    if encoding and codecs.lookup(encoding).name not in {"utf-8", "utf-8-sig"}:
        return _converted(file, name, encoding)
    with _open_bytes(file) as stream:
        head = stream.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(
            f"{name}: {file.name} is UTF-16, UTF-8 is expected. Save it as UTF-8, or write `encoding: utf-16` "
            "into the mapping."
        )
    if not _decodes(file, "utf-8"):
        likely = "gb18030" if _decodes(file, "gb18030") else "latin-1"
        words = "GBK (GB18030)" if likely == "gb18030" else "a Western encoding such as Latin-1"
        raise SourceError(
            f"{name}: {file.name} is not UTF-8; it looks like {words}. Save it as UTF-8, or write "
            f"`encoding: {likely}` into the mapping."
        )
    return file


def _open_bytes(file: Path) -> Any:
    import gzip

    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def _decodes(file: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with _open_bytes(file) as stream:
        try:
            while chunk := stream.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _converted(file: Path, name: str, encoding: str) -> Path:
    folder = tempfile.mkdtemp(prefix="workbench-utf8-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = Path(folder) / f"{name}.csv"
    try:
        with (
            codecs.getreader(encoding)(_open_bytes(file)) as reader,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            while chunk := reader.read(1 << 20):
                out.write(chunk)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{name}: {file.name} is not {encoding} at byte {error.start}. Correct `encoding` in the mapping."
        ) from None
    return copy


def zoneless_columns(file: Path) -> list[str]:
    """Columns of a Parquet file that hold times without a zone; ClickHouse reads them as UTC."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(file)
    return [one.name for one in schema if pyarrow.types.is_timestamp(one.type) and one.type.tz is None]


def settled_columns(files: Sequence[Path]) -> tuple[frozenset[str], frozenset[str]]:
    """Columns of Parquet files that hold no null, and text columns that hold no empty text, by the files' statistics.

    What is settled here needs no test row by row. A column without statistics is in neither set.
    """
    import pyarrow.parquet

    no_null: set[str] | None = None
    no_blank: set[str] | None = None
    for file in files:
        metadata = pyarrow.parquet.read_metadata(file)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            found = {
                one.path_in_schema: one.statistics
                for one in (group.column(place) for place in range(group.num_columns))
                if one.statistics is not None
            }
            nulls = {name for name, one in found.items() if one.has_null_count and one.null_count == 0}
            blanks = {name for name, one in found.items() if _has_no_blank(one)}
            no_null = nulls if no_null is None else no_null & nulls
            no_blank = blanks if no_blank is None else no_blank & blanks
    return frozenset(no_null or ()), frozenset(no_blank or ())


def _has_no_blank(statistics: Any) -> bool:
    """The smallest text is not empty; where all are null there is none."""
    if statistics.has_min_max:
        return statistics.min not in ("", b"")
    return bool(statistics.has_null_count and statistics.num_values == 0)
