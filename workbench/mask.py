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
from workbench.language import Language, Setting, format_count, say

if TYPE_CHECKING:
    from workbench.analysis import Analysis, Cell

MASK_BELOW = "WORKBENCH_MASK_BELOW"
"""Environment variable with the least number of people whose numbers are shown; empty: every number is shown."""
NONE = "–"
_FILE = Path(__file__).with_name("people.yml")
_ELIGIBLE = "_eligible_count"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.,])(\d[\d,]*(?:\.\d+)?)\s?(%|k|M|万|亿)?")
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
    hidden = _hidden_cells(analysis.tables, least)
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


def _flag(least: int, lang: Language) -> Setting:
    return Setting(
        say(lang, f"Numbers of fewer than {least} users are not shown.", f"少于 {least} 名用户的数字不予显示。")
    )


def _note(hidden: Hidden, least: int, lang: Language) -> str:
    rows = format_count(sum(int(one.any(axis=1).sum()) for one in hidden.values()))
    return say(
        lang,
        f"Numbers of fewer than {least} users are not shown: {rows} rows of the tables are empty or have empty cells, among "
        "them such from which a hidden one could be worked out. Sentences that rest on them are left out.",
        f"少于 {least} 名用户的数字不予显示：各表共 {rows} 行全部或部分留空，其中包括可据以反推的行；依据这些数字的语句一并略去。",
    )


# -- which cells ---------------------------------------------------------------------------------------------


def _hidden_cells(tables: Mapping[str, pd.DataFrame], least: int) -> Hidden:
    """Cells that rest on fewer people than ``least``, and those from which they could be worked out."""
    parts = {name: _Cells(name, tables, least) for name in tables}
    before = -1
    while before < (now := sum(one.size() for one in parts.values())):
        before = now
        for one in parts.values():
            one.hide_seconds(least)
            one.hide_after()
            one.hide_alike(parts)
    return {
        name: pd.DataFrame(one.hidden, index=one.table.index, columns=one.table.columns) & one.table.notna()
        for name, one in parts.items()
    }


class _Cells:
    """The cells of one table: which are hidden, and which of these may not be worked out from others either."""

    def __init__(self, name: str, tables: Mapping[str, pd.DataFrame], least: int) -> None:
        self.table, self.told = tables[name], load_people().get(name, {})
        self.hidden = np.zeros(self.table.shape, dtype=bool)
        self.secret = self.hidden.copy()
        self.people = np.full(self.table.shape, math.inf)
        """How many people stand behind a cell; not a number where nobody knows, infinite where none do."""
        self.order = np.full(len(self.table), math.nan)
        """What tells which row is the next smallest."""
        self.numbers = [] if "open" in self.told or self.table.empty else _numbers(self.table, self.told)
        self.places = self._at(self.numbers)
        self.same = (
            _keys(self.table, self.told["row"])
            if "row" in self.told
            else [(str(one),) for one in range(len(self.table))]
        )
        if self.numbers:
            self._count(tables, least)
            self.sums = [*self._sums()]

    def size(self) -> int:
        return int(self.hidden.sum() + self.secret.sum())

    def _at(self, names: Iterable[str]) -> list[int]:
        names = set(names)
        return [place for place, name in enumerate(self.table.columns) if name in names]

    def hide(self, rows: Iterable[int], columns: Iterable[int]) -> None:
        where = np.array([*rows], dtype=np.intp)[:, None], np.array([*columns], dtype=np.intp)
        self.hidden[where] = True
        self.secret[where] |= self.people[where] != 0

    def _count(self, tables: Mapping[str, pd.DataFrame], least: int) -> None:
        for group in [*self.told.get("groups", []), *_eligible(self.table)]:
            count = _count(group, self.table, tables)
            speaks = ~_where(self.table, group.get("unless", {}), "any") if group.get("unless") else True
            speaks = speaks & _where(self.table, group.get("only", {}), "all")
            self.order = np.where(np.isnan(self.order) & speaks, count, self.order)
            columns = self._at(_chosen(group, self.numbers))
            is_unknown = np.isnan(count)
            if group.get("are_unknown") == "smallest" and not is_unknown.all():
                count = np.where(is_unknown, np.nanmin(count), count)
            elif group.get("are_unknown", "hide") != "hide":
                speaks = speaks & ~is_unknown
            rows = np.flatnonzero(speaks)
            where = rows[:, None], np.array(columns, dtype=np.intp)
            self.people[where] = np.minimum(self.people[where], count[rows][:, None])  # what is not known stays so
            self.hide(np.flatnonzero(speaks & ~(count >= least) & (count != 0)), columns)

    def _sums(self) -> Iterable[tuple[list[str], list[int], int | None]]:
        """Rows that add up: by which columns, which they are, and the row of their total where the table has it."""
        for told in self.told.get("sums", []):
            one = told if isinstance(told, Mapping) else {"by": told, "total": self.told.get("totals", {})}
            by, total = one["by"], one.get("total", {})
            if any(name not in self.table for name in [*by, *one.get("within", [])]):
                continue
            is_total = _where(self.table, total, "all") if total else np.zeros(len(self.table), dtype=bool)
            is_part = _where(self.table, one["parts"], "all") if "parts" in one else ~is_total
            keys = _keys(self.table, by)
            rows: dict[tuple[str, ...], list[int]] = {}
            for place in np.flatnonzero(is_part):
                rows.setdefault(keys[place], []).append(int(place))
            totals = [int(place) for place in np.flatnonzero(is_total)]
            if "within" in one:
                first, last = ([key[0] for key in _keys(self.table, [name])] for name in one["within"])
                for all_ in totals:
                    parts = [
                        place
                        for place in rows.get(keys[all_], [])
                        if first[place] >= first[all_] and last[place] <= last[all_]
                    ]
                    yield by, parts, all_
                continue
            total_of = {keys[place]: place for place in totals}
            yield from ((by, parts, total_of.get(key)) for key, parts in rows.items())

    def hide_seconds(self, least: int) -> None:
        """Hide the next smallest rows, whole, until those hidden of a sum are several and together ``least`` people."""
        if not self.numbers:
            return
        for by, parts, total in self.sums:
            for column in self.places:
                repeated = self.told.get("repeated", {}).get(self.table.columns[column])
                if repeated and set(repeated) <= set(by):
                    continue  # one number in all of these rows, which do not add up in it
                sizes = np.nan_to_num(self.people[:, column] if repeated else self.order, nan=math.inf)
                secret = [one for one in parts if self.secret[one, column]]
                is_total_hidden = total is not None and bool(self.secret[total, column])
                if not secret and not is_total_hidden:
                    continue
                others = [one for one in parts if not self.secret[one, column] and self.people[one, column] > 0]
                for one in sorted(others, key=sizes.tolist().__getitem__):
                    together = np.nansum(self.people[secret, column])
                    if (secret and is_total_hidden) or (len(secret) > 1 and together >= least):
                        break
                    self._hide_row(one, column, repeated)
                    secret.append(one)

    def _hide_row(self, row: int, column: int, repeated: list[str] | None) -> None:
        """Hide all numbers of a row, and of the others that speak of the same; they keep one column secret."""
        if repeated:
            keys = _keys(self.table, repeated)
            self.hide([one for one, key in enumerate(keys) if key == keys[row]], self.places)
            return
        rows = [one for one, key in enumerate(self.same) if key == self.same[row]]
        for one in rows:
            places = [place for place in self.places if one == row or np.isfinite(self.people[one, place])]
            self.hidden[one, places] = True
        self.hide(rows, [column])

    def hide_after(self) -> None:
        """Hide changes against a row that is hidden: with the row itself they would tell it."""
        if "before" not in self.told or not self.numbers:
            return
        told = self.told["before"]
        steps, same = _floats(self.table[told["by"]]), _keys(self.table, told["same"])
        covered = {(same[row], steps[row]) for row in np.flatnonzero(self.hidden.any(axis=1))}
        after = [place for place, (key, step) in enumerate(zip(same, steps, strict=True)) if (key, step - 1) in covered]
        self.hide(
            after,
            [
                place
                for place in self.places
                if any(fnmatchcase(self.table.columns[place], one) for one in told["columns"])
            ],
        )

    def hide_alike(self, others: Mapping[str, "_Cells"]) -> None:
        """Hide rows with those of another table that they speak of too."""
        for like in self.told.get("like", []):
            other = others.get(like["table"])
            if other is None or not self.numbers or other.table.empty:
                continue
            on = {mine: its for mine, its in like["match"].items() if mine in self.table and its in other.table}
            names = [one for one in like.get("any") or other.numbers if one in other.table]
            cells = other.hidden[:, other._at(names)]
            is_hidden = cells.any(axis=1) if "any" in like else cells.all(axis=1) & bool(names)
            keys = _keys(other.table, list(on.values()))
            covered = {keys[row] for row in np.flatnonzero(is_hidden)}
            rows = [place for place, key in enumerate(_keys(self.table, list(on))) if key in covered]
            self.hide(rows, self.places)


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


def _count(group: Mapping[str, Any], table: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """How many people, for each row; NaN where nobody knows."""
    column, unknown = group["count"], np.full(len(table), math.nan)
    if "from" not in group:
        return _floats(table[column]) if column in table else unknown
    other = tables.get(group["from"])
    on: dict[str, str] = group.get("match", {})
    if other is None or column not in other or any(a not in table or b not in other for a, b in on.items()):
        return unknown

    def found(where: Mapping[str, Any]) -> np.ndarray:
        rows = other[_where(other, where, "all")]
        known = dict(zip(_keys(rows, list(on.values())), _floats(rows[column]), strict=True))
        return np.array([known.get(key, math.nan) for key in _keys(table, list(on))])

    count = found(group.get("where", {}))
    return np.round(count * found(group["times"]), 6) if "times" in group else count


def _floats(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").astype("Float64").to_numpy(dtype=float, na_value=math.nan)


def _where(table: pd.DataFrame, wanted: Mapping[str, Any], how: str) -> np.ndarray:
    """Rows whose columns have the values wanted: in all columns, or in any."""
    found = [
        _is_one_of(table[column], value if isinstance(value, list) else [value])
        if column in table
        else np.zeros(len(table), dtype=bool)
        for column, value in wanted.items()
    ]
    if not found:
        return np.ones(len(table), dtype=bool)
    return np.logical_and.reduce(found) if how == "all" else np.logical_or.reduce(found)


def _is_one_of(values: pd.Series, wanted: list[Any]) -> np.ndarray:
    found: np.ndarray = (values.isin(wanted) | (values.isna() & (None in wanted))).to_numpy(dtype=bool)
    return found


def _keys(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    """The values of columns, as text: days and text of days are the same, and what is missing equals what is missing."""
    if not columns:
        return [()] * len(table)
    texts = [["" if pd.isna(one) else str(one).removesuffix(" 00:00:00") for one in table[name]] for name in columns]
    return list(zip(*texts, strict=True))


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
        shown = [
            _floats(table[one])[~hidden[name][one].to_numpy()]
            for name, table in tables.items()
            for one in table
            if pd.api.types.is_numeric_dtype(table[one])
        ]
        self._shown = _real(np.abs(np.concatenate(shown))) if shown else np.empty(0)
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

    def in_cell(self, row: str, text: str, table: str) -> bool:
        """Whether a cell of the first screen says what its table hides; what the table shows of that row, it may say."""
        said = [*_said(self._plain(text))]
        shown, hidden = self._of_row(row, table)
        if all(is_said(shown).any() and not (digits and is_said(hidden).any()) for digits, is_said in said):
            return False
        return self.in_sentence(f"{row}: {text}", table) or not all(is_said(self._shown).any() for _, is_said in said)

    def _of_row(self, name: str, table: str) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of rows of a table that have a name: those shown, and those hidden."""
        if table not in self._tables:
            return np.empty(0), np.empty(0)
        rows = self._tables[table]
        texts = [one for one in rows if not pd.api.types.is_numeric_dtype(rows[one])]
        is_of = (
            (rows[texts].astype(str).apply(lambda one: one.str.casefold()) == name.casefold()).any(axis=1).to_numpy()
        )
        numbers = _numbers(rows, load_people().get(table, {}))
        if not numbers:
            return np.empty(0), np.empty(0)
        found = np.abs(np.column_stack([_floats(rows[one])[is_of] for one in numbers]))
        is_hidden = self._hidden[table].loc[is_of, numbers].to_numpy()
        return _real(found[~is_hidden]), _real(found[is_hidden])

    def _plain(self, text: str) -> str:
        for name in self._with_digits:  # "Banner 3" says no number
            text = text.replace(name, " ")
        return text

    def in_sentence(self, text: str, table: str = "") -> bool:
        """Whether a sentence says a hidden number that no table shows: of its own table, of a row that it names, or a long one."""
        said = [*_said(self._plain(text))]
        if not said:
            return False
        named = [numbers for name, rows in self._of.items() if name in text for numbers in rows]
        near = [self._numbers[table]] if table in self._numbers else []
        return any(
            any(is_said(numbers).any() for numbers in [*(near if digits else []), *named])
            or (digits >= _TELLING_DIGITS and is_said(self._all).any())
            for digits, is_said in said
            if digits < _TELLING_DIGITS or not is_said(self._shown).any()  # what a table shows to the cent is no secret
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
    """The numbers of a text: how many digits tell it from others (0: it is one of many), and how to see it among numbers; days are none."""
    for found in _NUMBER.finditer(_DAY.sub(" ", text)):
        number, unit = float(found[1].replace(",", "")), found[2] or ""
        if not number:
            continue
        decimals = len(found[1].partition(".")[2])
        digits = len(found[1].replace(",", "").replace(".", "").strip("0"))
        if number == 1 and decimals:
            digits = 0  # one order for each buyer is alike to many
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
        [text if number == 0 or not known.in_cell(row[0], text, source) else NONE for number, text in enumerate(row)]
        for row in ([str(one) for one in row] for row in table.itertuples(index=False))
    ]
    return pd.DataFrame(rows, columns=table.columns, index=table.index)
