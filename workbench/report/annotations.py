"""Days that a reader should know of when looking at a line: a sale, a price change, an outage; read from a CSV file."""

import csv
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from workbench.errors import ParameterError, nearest
from workbench.parameters import local_path

MOST = 100
LONGEST_LABEL = 60
MOST_BYTES = 200_000
COLUMNS = ("date", "label", "end_date")
_MOST_FAULTS = 10
_ENCODINGS = ("utf-8-sig", "gb18030")
_DAY = re.compile(r"(\d{4})([-/.年])(\d{1,2})(?:\2|月)(\d{1,2})日?(?:[ T]0{1,2}:00(?::00)?)?")
_EUROPEAN = re.compile("[\u00a0-\u017f\u0370-\u045f]")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, order=True)
class Annotation:
    """A day or a span of days with its name.

    Attributes
    ----------
    start_date, last_date
        Its first and its last day, both included; the same for a single day.
    label
        Its name, text of at most ``LONGEST_LABEL`` characters.
    """

    start_date: date
    last_date: date
    label: str

    @property
    def days(self) -> str:
        """The day, or the first and the last, as they are written in reports."""
        one = self.start_date == self.last_date
        return f"{self.start_date}" if one else f"{self.start_date} – {self.last_date}"


def load_annotations(path: str) -> tuple[Annotation, ...]:
    """Read a CSV file with the columns ``date``, ``label`` and maybe ``end_date`` (the last day of a span, included).

    Spreadsheets may have written it: UTF-8 with or without a mark at its start, UTF-16 or GBK; commas, semicolons or tabs;
    days as 2026-11-11, 2026/11/11, 2026.11.11 or 2026年11月11日. Empty rows are passed over, repeated ones are drawn once.

    Parameters
    ----------
    path
        The file, from the folder in which the run was asked for; "" for none.

    Returns
    -------
    tuple of Annotation
        By day.

    Raises
    ------
    ParameterError
        With all faults of the file, each with its line.
    """
    if not path:
        return ()
    file = local_path(path)
    where = f"annotations: {file.name}"
    rows = _rows(_text(file, where), where)
    columns = _columns(rows[0][1] if rows else [], where)
    found, faults = set(), []
    for line, cells in rows[1:]:
        if not any(cells):
            continue
        values = dict(zip(columns, cells, strict=False))
        try:
            if any(cells[len(columns) :]):
                raise ValueError(f"it has {len(cells)} fields, the header has {len(columns)}; quote labels with commas")
            found.add(_annotation(values))
        except ValueError as error:
            faults.append(f"line {line}: {error}.")
    if len(found) > MOST:
        faults.append(f"it has {len(found)} rows; at most {MOST} can be drawn. Keep the days that matter.")
    if faults:
        more = len(faults) - _MOST_FAULTS
        rest = [f"and {more} more."] if more > 0 else []
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise ParameterError("\n".join([f"{where} has {count}; nothing was started.", *faults[:_MOST_FAULTS], *rest]))
    return tuple(sorted(found))


def _text(file: Path, where: str) -> str:
    if not file.is_file():
        raise ParameterError(f"{where} is not there. Give a CSV file with the columns date and label.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ParameterError(f"{where} cannot be read: {error.strerror}. Check that you may read it.") from None
    if len(content) > MOST_BYTES:
        raise ParameterError(f"{where} has {len(content):,} bytes; at most {MOST_BYTES:,}. Keep the days that matter.")
    encodings = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else _ENCODINGS
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text and not (encoding == "utf-8-sig" and _looks_like_gbk(text)):
            return text
    raise ParameterError(f"{where} is not text in UTF-8 or GBK. Save it as CSV (UTF-8).")


def _looks_like_gbk(text: str) -> bool:
    """Whether UTF-8 gives letters that nobody writes: 双11 of GBK is, as UTF-8, a modifier letter before 11."""
    others = {letter for letter in text if letter > "\x7f"}
    return bool(others) and max(others) < "\u0800" and any(not _EUROPEAN.match(letter) for letter in others)


def _rows(text: str, where: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line it ends in."""
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
    try:
        return [(line, cells) for line, cells in rows if any(cells)]
    except csv.Error as error:
        raise ParameterError(f"{where}, line {reader.line_num}: {error}. Check the quotes before it.") from None


def _columns(header: list[str], where: str) -> list[str]:
    while header and not header[-1]:
        header = header[:-1]
    names = [name.casefold() for name in header]
    allowed = "Allowed: date, label, end_date."
    for name, given in zip(names, header, strict=True):
        if name not in COLUMNS:
            raise ParameterError(
                f'{where}, line 1: there is no column "{_cut(given)}"{nearest(given, COLUMNS, ".")} {allowed}'
            )
    missing = [name for name in ("date", "label") if name not in names]
    if missing:
        raise ParameterError(f'{where}, line 1: the column "{missing[0]}" is missing. {allowed}')
    if len(set(names)) < len(names):
        raise ParameterError(f"{where}, line 1: a column stands there twice. {allowed}")
    return names


def _annotation(values: dict[str, str]) -> Annotation:
    label = _UNSEEN.sub("", " ".join(values.get("label", "").split()))
    if not label:
        raise ValueError("the label is empty; write what happened")
    if len(label) > LONGEST_LABEL:
        raise ValueError(f'the label "{_cut(label)}" has {len(label)} characters; at most {LONGEST_LABEL}')
    start = _day(values["date"], "date")
    last = _day(values["end_date"], "end_date") if values.get("end_date") else start
    if last < start:
        raise ValueError(f"end_date {last} is before date {start}; it is the last day of the span")
    return Annotation(start, last, label)


def _day(text: str, column: str) -> date:
    written = _DAY.fullmatch(text)
    try:
        if written is None:
            raise ValueError
        return date(int(written[1]), int(written[3]), int(written[4]))
    except ValueError:
        raise ValueError(f'{column} "{_cut(text)}" is not a day; write it as 2026-11-11 or 2026/11/11') from None


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004
