"""Small groups of people keep their numbers to themselves: tables, sentences and headline of an analysis without them."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from workbench.errors import ParameterError
from workbench.glossary import codes
from workbench.language import Language, format_count, say

if TYPE_CHECKING:
    from workbench.analysis import Analysis, Cell

MASK_BELOW = "WORKBENCH_MASK_BELOW"
"""Environment variable with the least number of people whose numbers are shown; empty: every number is shown."""
NONE = "–"
_FILE = Path(__file__).with_name("people.yml")
_ELIGIBLE = "_eligible_count"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"(?<![\w.,])(\d[\d,]*(?:\.\d+)?)\s?(%|k|M|万|亿)?")
_SCALES = {"%": 100.0, "k": 1e-3, "M": 1e-6, "万": 1e-4, "亿": 1e-8}
_TELLING_DIGITS = 4
"""A number of so many digits is known again wherever it stands; a shorter one may be another that is alike."""
_LEAST_NAME = 2
_MONEY_WITHOUT_CENTS = 1000
"""Money below it is written with cents, so that a smaller whole number is a count."""

Hidden = dict[str, pd.DataFrame]
"""For each table which of its cells are hidden: the same rows and columns, of booleans."""


def mask_below() -> int:
    """The least number of people whose numbers are shown, as the environment says; 0: every number is shown.

    Raises
    ------
    ParameterError
        If it is no whole number.
    """
    given = os.environ.get(MASK_BELOW, "").strip()
    if given and not given.isdecimal():
        raise ParameterError(f'{MASK_BELOW} is "{given}"; it must be a whole number of people, such as 10.')
    return int(given or 0)


@cache
def load_people() -> dict[str, dict[str, Any]]:
    """Read who stands behind the numbers of each table."""
    return dict(yaml.safe_load(_FILE.read_text(encoding="utf-8")))


def masked(analysis: "Analysis", least: int) -> "Analysis":
    """Take the numbers of groups of fewer than ``least`` people out of an analysis, wherever they stand.

    Parameters
    ----------
    analysis
        A finished analysis.
    least
        Number of people from which on numbers are shown; 0 and 1 leave the analysis as it is.

    Returns
    -------
    Analysis
        Hidden numbers of its tables are empty, rows stay. Where one row of several that add up to a total is hidden, the
        next smallest is hidden too. Sentences, actions, alerts and figures that rest on a hidden number, or repeat one, are
        left out; cells of the first screen that do are empty. A note says how much is hidden.

    Notes
    -----
    A count of nobody stays: it is of no one. ``people.yml`` says which counts stand behind which columns, and what it
    cannot say. Sums that are hidden in one table may still be worked out from several tables together.
    """
    if least <= 1:
        return analysis
    hidden = {name: _hidden_by_counts(name, analysis.tables, least) for name in analysis.tables}
    _hide_alike(hidden, analysis.tables)
    known = _Known(hidden, analysis.tables, analysis.lang)
    tables = {name: _emptied(table, hidden[name]) for name, table in analysis.tables.items()}
    headline = analysis.headline
    count = sum(bool(one.to_numpy().any()) for one in hidden.values())
    if not count:
        return analysis
    untold = say(
        analysis.lang,
        f"The main sentence rests on fewer than {least} users and is not shown.",
        f"主要结论所依据的用户少于 {least} 人，不予显示。",
    )
    tells = known.in_sentence
    watch = analysis.watch
    return replace(
        analysis,
        mask_below=least,
        tables=tables,
        headline=replace(
            headline,
            verdict=untold if tells(headline.verdict, headline.source) else headline.verdict,
            table=_short_table(headline.table, headline.source, known),
            actions=tuple(one for one in headline.actions if not known.in_any(one.cell, one.text, one.basis)),
        ),
        findings=tuple(one for one in analysis.findings if not known.in_any(one.cell, one.text)),
        notes=(_note(hidden, least, analysis.lang), *(one for one in analysis.notes if not tells(one))),
        flags=(_flag(least, analysis.lang), *(one for one in analysis.flags if not tells(one))),
        watch=watch
        and replace(watch, alerts=tuple(one for one in watch.alerts if not known.in_any(one.cell, one.text))),
        figures=tuple(one for one in analysis.figures if not known.in_any(one.cell)),
    )


def _flag(least: int, lang: Language) -> str:
    return say(lang, f"Numbers of fewer than {least} users are not shown.", f"少于 {least} 名用户的数字不予显示。")


def _note(hidden: Hidden, least: int, lang: Language) -> str:
    rows = format_count(sum(int(one.any(axis=1).sum()) for one in hidden.values()))
    return say(
        lang,
        f"Numbers of fewer than {least} users are not shown: {rows} rows of the tables are empty or have empty cells, among "
        "them such from which a hidden one could be worked out. Sentences that rest on them are left out.",
        f"少于 {least} 名用户的数字不予显示：各表共 {rows} 行全部或部分留空，其中包括可据以反推的行；依据这些数字的语句一并略去。",
    )


# -- which cells ---------------------------------------------------------------------------------------------


def _hidden_by_counts(name: str, tables: Mapping[str, pd.DataFrame], least: int) -> pd.DataFrame:
    """Cells that rest on fewer people than ``least``, by the counts that the table, or another one, has of them."""
    table, told = tables[name], load_people().get(name, {})
    hidden = pd.DataFrame(False, index=table.index, columns=table.columns)
    if "open" in told or table.empty:
        return hidden
    numbers = _numbers(table, told)
    groups = [*told.get("groups", []), *_eligible(table)]
    for group in groups:
        count = _count(group, table, tables)
        if count is None:
            continue
        speaks = (
            ~_where(table, group.get("unless", {}), "any") if group.get("unless") else np.ones(len(table), dtype=bool)
        )
        unknown = np.isnan(count) & (group.get("are_unknown", "hide") == "hide") & ("columns" not in group)
        few = ((count > 0) & (count < least)) | unknown
        hidden.loc[few & speaks, _chosen(group, numbers)] = True
    for keys in told.get("sums", []):
        _hide_second(hidden, table, told, keys, numbers)
    if "before" in told:
        _hide_after(hidden, table, told["before"])
    return hidden


def _numbers(table: pd.DataFrame, told: Mapping[str, Any]) -> list[str]:
    """Columns that hold numbers about people; not those that say which row it is, and no yes or no."""
    return [
        name
        for name in table.columns
        if pd.api.types.is_numeric_dtype(table[name])
        and not pd.api.types.is_bool_dtype(table[name])
        and name not in told.get("keys", [])
    ]


def _eligible(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Counts of those whose window has elapsed, with the columns that they are the people of."""
    names = [str(name) for name in table.columns if str(name).endswith(_ELIGIBLE)]
    return [{"count": name, "columns": [f"{name.removesuffix(_ELIGIBLE)}*"]} for name in names]


def _chosen(group: Mapping[str, Any], numbers: list[str]) -> list[str]:
    if "columns" not in group:
        return numbers
    return [
        name
        for name in numbers
        if (name == group["count"] and "from" not in group) or any(fnmatchcase(name, one) for one in group["columns"])
    ]


def _count(group: Mapping[str, Any], table: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> np.ndarray | None:
    """How many people, for each row; NaN where nobody knows; None where the table is not there."""
    column = group["count"]
    if "from" not in group:
        return _floats(table[column]) if column in table else None
    other = tables.get(group["from"])
    if other is None or column not in other:
        return None
    rows = other[_where(other, group.get("where", {}), "all")]
    on: dict[str, str] = group.get("match", {})
    if any(mine not in table or its not in rows for mine, its in on.items()):
        return None
    known = dict(zip(_keys(rows, list(on.values())), _floats(rows[column]), strict=True))
    return np.array([known.get(key, math.nan) for key in _keys(table, list(on))])


def _floats(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").astype("Float64").to_numpy(dtype=float, na_value=math.nan)


def _where(table: pd.DataFrame, wanted: Mapping[str, Any], how: str) -> np.ndarray:
    """Rows whose columns have the values wanted: in all columns, or in any."""
    found = [
        table[column].isin(value if isinstance(value, list) else [value]).to_numpy()
        if column in table
        else np.zeros(len(table), dtype=bool)
        for column, value in wanted.items()
    ]
    if not found:
        return np.ones(len(table), dtype=bool)
    return np.logical_and.reduce(found) if how == "all" else np.logical_or.reduce(found)


def _keys(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    """The values of columns, as text: days and text of days are the same, and what is missing equals what is missing."""
    if not columns:
        return [()] * len(table)
    texts = [["" if pd.isna(one) else str(one).removesuffix(" 00:00:00") for one in table[name]] for name in columns]
    return list(zip(*texts, strict=True))


def _hide_second(
    hidden: pd.DataFrame, table: pd.DataFrame, told: Mapping[str, Any], keys: list[str], numbers: list[str]
) -> None:
    """Where one row alone of those that add up is hidden in a column, hide that of the next smallest too."""
    if any(one not in table for one in keys):
        return
    is_total = _where(table, told.get("totals", {}), "all") if told.get("totals") else np.zeros(len(table), dtype=bool)
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, key in enumerate(_keys(table, keys)):
        if not is_total[place]:
            groups.setdefault(key, []).append(place)
    size = _floats(table[told["groups"][0]["count"]]) if told["groups"][0]["count"] in table else np.zeros(len(table))
    cells, columns = hidden.to_numpy(copy=True), [hidden.columns.get_loc(one) for one in numbers]
    for places in groups.values():
        for column in columns:
            covered = [one for one in places if cells[one, column]]
            others = [one for one in places if not cells[one, column] and size[one] > 0]
            if len(covered) == 1 and others:
                cells[min(others, key=lambda one: size[one]), column] = True
    hidden.iloc[:, :] = cells


def _hide_after(hidden: pd.DataFrame, table: pd.DataFrame, told: Mapping[str, Any]) -> None:
    """Hide changes against a row that is hidden: with the row itself they would tell it."""
    count = hidden.any(axis=1).to_numpy()
    steps = _floats(table[told["by"]])
    same = _keys(table, told["same"])
    covered = {(key, step) for key, step, is_hidden in zip(same, steps, count, strict=True) if is_hidden}
    after = np.array([(key, step - 1) in covered for key, step in zip(same, steps, strict=True)])
    hidden.loc[after, [one for one in table if any(fnmatchcase(str(one), wanted) for wanted in told["columns"])]] = True


def _hide_alike(hidden: Hidden, tables: Mapping[str, pd.DataFrame]) -> None:
    """Hide rows with those of another table that they speak of too."""
    for name, table in tables.items():
        told = load_people().get(name, {})
        for like in told.get("like", []):
            other = tables.get(like["table"])
            if other is None or table.empty or other.empty:
                continue
            on = {mine: its for mine, its in like["match"].items() if mine in table and its in other}
            numbers = like.get("any") or _numbers(other, load_people().get(like["table"], {}))
            cells = hidden[like["table"]].reindex(columns=[one for one in numbers if one in other])
            is_hidden = (
                cells.any(axis=1) if "any" in like else cells.all(axis=1) & bool(len(cells.columns))
            ).to_numpy()
            covered = {key for key, one in zip(_keys(other, list(on.values())), is_hidden, strict=True) if one}
            rows = np.array([key in covered for key in _keys(table, list(on))])
            hidden[name].loc[rows, _numbers(table, told)] = True


def _emptied(table: pd.DataFrame, hidden: pd.DataFrame) -> pd.DataFrame:
    """The table without the hidden numbers; whole numbers among them become numbers that may be missing."""
    columns = [one for one in table.columns if hidden[one].any()]
    if not columns:
        return table
    emptied = table.copy()
    for one in columns:
        emptied[one] = pd.Series(_floats(table[one]), index=table.index).mask(hidden[one])
    return emptied


# -- which sentences -----------------------------------------------------------------------------------------


class _Known:
    """What is hidden, to find it again in sentences."""

    def __init__(self, hidden: Hidden, tables: Mapping[str, pd.DataFrame], lang: Language) -> None:
        self._hidden, self._tables = hidden, tables
        self._numbers: dict[str, np.ndarray] = {}
        self._of: dict[str, list[np.ndarray]] = {}
        for name, table in tables.items():
            rows = np.flatnonzero(hidden[name].any(axis=1).to_numpy())
            values = [_floats(table[one]) * hidden[name][one].to_numpy() for one in table if hidden[name][one].any()]
            found = np.abs(np.column_stack(values)) if values else np.empty((len(table), 0))
            self._numbers[name] = _real(found)
            for row in rows:
                for text in self._names(name, table.iloc[row], lang):
                    self._of.setdefault(text, []).append(_real(found[row]))
        texts = {one for table in tables.values() for name in table for one in _texts(table[name])}
        self._with_digits = sorted((one for one in texts if any(map(str.isdigit, one))), key=len, reverse=True)
        self._all = np.concatenate(list(self._numbers.values())) if self._numbers else np.empty(0)

    def in_any(self, cell: "Cell", *texts: str) -> bool:
        """Whether a sentence rests on a hidden number, or repeats one."""
        return self.is_hidden(cell) or any(self.in_sentence(text, cell.table) for text in texts)

    def is_hidden(self, cell: "Cell") -> bool:
        """Whether a cell is hidden; of a column that holds no number, whether anything of its row is."""
        table = self._tables.get(cell.table)
        if table is None:
            return False
        wanted = tuple("" if pd.isna(one) else str(one).removesuffix(" 00:00:00") for one in cell.key.values())  # type: ignore[call-overload]
        rows = np.array([key == wanted for key in _keys(table, list(cell.key))], dtype=bool)
        cells = self._hidden[cell.table][rows]
        is_number = cell.column in table and pd.api.types.is_numeric_dtype(table[cell.column])
        return bool(cells[cell.column].any() if is_number else cells.to_numpy().any())

    def in_sentence(self, text: str, table: str = "") -> bool:
        """Whether a sentence says a hidden number: one of its own table, one of a row that it names, or a long one."""
        plain = text
        for name in self._with_digits:  # "Banner 3" says no number
            plain = plain.replace(name, " ")
        said = [*_said(plain)]
        if not said:
            return False
        named = [numbers for name, rows in self._of.items() if name in text for numbers in rows]
        near = [self._numbers[table]] if table in self._numbers else []
        return any(
            any(is_said(numbers).any() for numbers in [*near, *named])
            or (digits >= _TELLING_DIGITS and is_said(self._all).any())
            for digits, is_said in said
        )

    @staticmethod
    def _names(table: str, row: pd.Series, lang: Language) -> Iterable[str]:
        for column, value in row.items():
            if isinstance(value, str) and len(value) >= _LEAST_NAME:
                yield value
                code = codes(str(column), table).get(value)
                if code is not None:
                    yield code.word(lang)


def _texts(values: pd.Series) -> Iterable[str]:
    """What stands in a column of texts, each once; a text that is a number is none."""
    if pd.api.types.is_numeric_dtype(values):
        return []
    found = values.dropna().unique()
    return [one for one in found if isinstance(one, str) and len(one) >= _LEAST_NAME and not one.isdigit()]


def _real(numbers: np.ndarray) -> np.ndarray:
    flat = numbers[np.isfinite(numbers) & (numbers > 0)]
    return np.unique(flat)


def _said(text: str) -> Iterable[tuple[int, Callable[[np.ndarray], np.ndarray]]]:
    """The numbers of a text: how many digits tell it from others, and how to see it among numbers; days are none."""
    for found in _NUMBER.finditer(_DAY.sub(" ", text)):
        number, unit = float(found[1].replace(",", "")), found[2] or ""
        if not number:
            continue
        decimals = len(found[1].partition(".")[2])
        digits = len(found[1].replace(",", "").replace(".", "").strip("0"))
        scales = [_SCALES.get(unit, 1.0)] + ([100.0] if not unit and decimals else [])

        is_count = not unit and not decimals and number < _MONEY_WITHOUT_CENTS

        def is_said(
            numbers: np.ndarray,
            number: float = number,
            scales: list[float] = scales,
            decimals: int = decimals,
            is_count: bool = is_count,
        ) -> np.ndarray:
            near = 1e-9 if is_count else 0.5 * 10**-decimals * (1 + 1e-9)
            return np.logical_or.reduce([np.abs(numbers * scale - number) <= near for scale in scales])

        yield digits, is_said


def _short_table(table: pd.DataFrame, source: str, known: _Known) -> pd.DataFrame:
    """The short table of the first screen, with hidden numbers left out."""
    rows = [
        [
            text if number == 0 or not known.in_sentence(f"{row[0]}: {text}", source) else NONE
            for number, text in enumerate(row)
        ]
        for row in ([str(one) for one in row] for row in table.itertuples(index=False))
    ]
    return pd.DataFrame(rows, columns=table.columns, index=table.index)
