"""Tables of a report: numbers as people read them, in HTML that a screen reader can follow."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import pandas as pd

from workbench.language import Language, format_count, format_hours, format_rate, say, with_minus
from workbench.report.block import link

LONG_TABLE = 30
MOST_COLUMNS_ON_PAPER = 14
"""Of wider tables paper shows the first ones, in letters that can be read."""
ROWS_BEFORE_FOLD = 15
LONGEST_ON_ONE_LINE = 26
LONGEST_NAME_ON_ONE_LINE = 16
LONGEST_ON_PAPER = 12
Unit = str
UNIT_BY_ENDING = {
    "_rate": "rate", "_share": "rate", "_amount": "amount", "_revenue": "amount", "_value": "amount",
    "_count": "count", "_credit": "number", "_hours": "hours", "_days": "number",
}  # fmt: skip


def format_column(
    values: pd.Series, unit: Unit, lang: Language, words: Mapping[str, str] | None = None, units: Sequence[Unit] = ()
) -> list[str]:
    """Write a column in its unit: rates as per cent, their differences as points, money with thousands separators.

    Parameters
    ----------
    values
        The column.
    unit
        As in the glossary.
    lang
        Language of words.
    words
        What codes say; other texts stay as they are.
    units
        For each row its unit, where rows have different ones; points then say so in the cell.

    Examples
    --------
    >>> format_column(pd.Series([0.25, None]), "rate", "en"), format_column(pd.Series([1234.5]), "amount", "en")
    (['25.0%', '–'], ['1,234'])
    >>> format_column(pd.Series([-0.021]), "points", "en"), format_column(pd.Series([1e-9]), "p_value", "en")
    (['−2.1'], ['< 0.0001'])
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(values.dtype):
        return ["–" if pd.isna(value) else _day_or_instant(value) for value in values]
    if pd.api.types.is_bool_dtype(values.dtype):
        return [_yes_no(value, lang) for value in values]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        texts = [_text(value, lang) for value in values]
        return [words.get(text, text) for text in texts] if words else texts
    if units:
        return [_by_row(value, own, lang) for value, own in zip(values, units, strict=True)]
    write = _number_writer(values, unit, lang)
    return ["–" if pd.isna(value) else write(float(value)) for value in values]


def _by_row(value: float, unit: Unit, lang: Language) -> str:
    """Write a number among others of other units; so that those of one unit line up, its digits are fixed."""
    if pd.isna(value):
        return "–"
    if unit == "points":
        return with_minus(100 * value, 2) + say(lang, " points", " 个百分点")
    return format_rate(value, 2) if unit == "rate" else _number_writer(pd.Series([value]), unit, lang)(float(value))


def _number_writer(values: pd.Series, unit: Unit, lang: Language) -> Callable[[float], str]:
    largest = float(values.abs().max()) if values.notna().any() else 0.0
    if unit in ("rate", "points"):
        digits = 1 if largest >= 0.01 or largest == 0 else 2 if largest >= 0.001 else 3
        if unit == "rate":
            return lambda value: format_rate(value, digits)
        return lambda value: with_minus(100 * value, digits)
    if unit == "change":
        return lambda value: f"{with_minus(100 * value, 0 if abs(value) >= 10 else 1, signed=True)}%"
    if unit == "p_value":
        return lambda value: "< 0.0001" if value < 0.0001 else with_minus(value, 4 if value < 0.01 else 3)
    if unit == "hours":
        return lambda value: format_hours(value, lang)
    if unit == "count":
        return format_count
    whole = bool((values.dropna() % 1 == 0).all()) and unit != "amount"
    if unit == "amount" or whole or largest == 0:
        digits = 0 if whole or largest >= 1000 or largest == 0 else 2
        return lambda value: with_minus(value, digits)
    # Plain numbers of one column may be of very different size, such as shares beside money.
    return _plain


def _plain(value: float) -> str:
    size = abs(value)
    if size < 0.001 and value:
        return with_minus(value, min(1 - math.floor(math.log10(size)), 12))
    return with_minus(value, 0 if value == 0 or size >= 1000 else 2 if size >= 1 else 4)


def _day_or_instant(value: pd.Timestamp) -> str:
    return value.strftime("%Y-%m-%d" if value == value.normalize() else "%Y-%m-%d %H:%M")


def _yes_no(value: object, lang: Language) -> str:
    return "–" if value is None or value is pd.NA else say(lang, "yes", "是") if value else say(lang, "no", "否")


def _text(value: object, lang: Language) -> str:
    if isinstance(value, bool):
        return _yes_no(value, lang)
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return "–"
    return str(value)


def reads_as_number(column: Sequence[str]) -> bool:
    """Whether the texts of a column are numbers, so that they align right.

    Examples
    --------
    >>> reads_as_number(["−1.5%", "–"]), reads_as_number(["live", "2"])
    (True, False)
    """
    filled = [text for text in column if text not in ("", "–")]
    return bool(filled) and all(text.lstrip("+−-±~≈<>¥$€£ ")[:1].isdigit() for text in filled)


def html_table(
    headers: Sequence[str],
    columns: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    *,
    caption: str,
    lang: Language,
    targets: Sequence[str] | None = None,
    tips: Sequence[str] | None = None,
) -> str:
    """Build a table; a long one shows its first rows and folds the rest, a wide one scrolls in its own box.

    Parameters
    ----------
    headers, columns, numeric
        Heading, cells and whether to align right, for each column.
    caption
        What the table holds, for screen readers.
    lang
        Language of the words around it.
    targets
        For each column the place that defines it, or "".
    tips
        For each column HTML that shows its definition while its heading is pointed at or has the focus, or "".
    """
    rows = list(zip(*columns, strict=True))
    nothing = [""] * len(headers)
    head = _head(headers, numeric, targets or nothing, tips or nothing)
    folded = len(rows) > LONG_TABLE
    shown = _box(head, rows[:ROWS_BEFORE_FOLD] if folded else rows, numeric, caption)
    unseen = len(headers) - MOST_COLUMNS_ON_PAPER
    if unseen > 0:
        words = say(
            lang, f"{unseen} more columns are in the file of this table.", f"其余 {unseen} 列见本表的数据文件。"
        )
        shown += f'<p class="wb-source wb-paper">{words}</p>'
    if not folded:
        return shown
    rest = len(rows) - ROWS_BEFORE_FOLD
    words = say(lang, f"Show {rest} more rows", f"再显示 {rest} 行")
    told = say(lang, f"{rest} more rows are in the file of this table.", f"其余 {rest} 行见本表的数据文件。")
    more = _box(head, rows[ROWS_BEFORE_FOLD:], numeric, caption)
    return f'{shown}<details class="wb-more"><summary><span>{words}</span><span class="wb-paper">{told}</span></summary>{more}</details>'


def _head(headers: Sequence[str], numeric: Sequence[bool], targets: Sequence[str], tips: Sequence[str]) -> str:
    cells = [
        f'<th scope="col"{_side(is_number)}>{link(target, escape(header), tip) if target else escape(header)}</th>'
        for header, is_number, target, tip in zip(headers, numeric, targets, tips, strict=True)
    ]
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _box(head: str, rows: Sequence[Sequence[str]], numeric: Sequence[bool], caption: str) -> str:
    body = "".join(f"<tr>{_row(row, numeric)}</tr>" for row in rows)
    label, columns = escape(caption), f' style="--wb-columns:{min(len(numeric), MOST_COLUMNS_ON_PAPER)}"'
    return (
        f'<div class="wb-scroll" role="region" aria-label="{label}" tabindex="0"><table class="wb-table"{columns}>'
        f'<caption class="wb-unseen">{label}</caption>{head}<tbody>{body}</tbody></table></div>'
    )


def _row(row: Sequence[str], numeric: Sequence[bool]) -> str:
    first = f'<th scope="row"{_side(numeric[0]) or _name(row[0])}>{escape(row[0])}</th>' if row else ""
    return first + "".join(
        f"<td{_side(is_number) or _length(cell)}>{escape(cell)}</td>"
        for cell, is_number in zip(row[1:], numeric[1:], strict=True)
    )


def _side(is_number: bool) -> str:
    return ' class="wb-number"' if is_number else ""


def _name(cell: str) -> str:
    """A short row name stays on one line; a longer one gets room, so that it does not break at each word."""
    return ' class="wb-line"' if len(cell) <= LONGEST_NAME_ON_ONE_LINE else ' class="wb-lines"'


def _length(text: str) -> str:
    """Let sentences wrap, and on paper longer names; dates stay on one line. A Chinese character is as wide as two letters."""
    width = len(text) + sum(character > "\u2e7f" for character in text)
    if width > LONGEST_ON_ONE_LINE:
        return ' class="wb-long"'
    return ' class="wb-some"' if width > LONGEST_ON_PAPER else ""
