"""Every metric once: its names, formula, unit, window and denominator in both languages; codes in words."""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

from workbench.language import Language

_FILE, _CODES = (Path(__file__).with_name(name) for name in ("glossary.yml", "codes.yml"))


@dataclass(frozen=True)
class Metric:
    """One entry of ``glossary.yml``; windows written as ``<W>`` are already filled in.

    Attributes
    ----------
    id
        Column name.
    unit
        ``count``, ``amount``, ``rate``, ``points`` (difference of rates), ``change`` (relative), ``p_value``,
        ``hours``, ``number`` or ``text``.
    unit_of
        Columns of which the first that a table has says, by its code, the unit of each row; empty where the unit is one.
    is_difference
        Whether the numbers are differences of what ``unit_of`` names: of rates these are points.
    is_csv_only
        Whether a report leaves the column to the CSV file beside it.
    """

    id: str
    unit: str
    _words: dict[str, dict[str, str]]
    unit_of: tuple[str, ...] = ()
    is_difference: bool = False
    is_csv_only: bool = False

    def name(self, lang: Language) -> str:
        """Name shown to readers."""
        return self._words["name"][lang]

    def formula(self, lang: Language) -> str:
        """How it is computed."""
        return self._words["formula"][lang]

    def window(self, lang: Language) -> str:
        """Over which time; empty where that is clear."""
        return self._words.get("window", {}).get(lang, "")

    def empty(self, lang: Language) -> str:
        """Why a table has no rows, for tables that say it; else empty."""
        return self._words.get("empty", {}).get(lang, "")

    def denominator(self, lang: Language) -> str:
        """Of what; empty where it is not a ratio."""
        return self._words.get("denominator", {}).get(lang, "")


@cache
def load_glossary() -> dict[str, Metric]:
    """Read the glossary; names with ``<W>`` are kept as patterns."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    plain = ("unit", "unit_of", "is_difference", "is_csv_only")
    return {
        name: Metric(
            name,
            entry["unit"],
            {key: value for key, value in entry.items() if key not in plain},
            tuple(entry.get("unit_of", ())),
            entry.get("is_difference", False),
            entry.get("is_csv_only", False),
        )
        for name, entry in entries.items()
    }


@dataclass(frozen=True)
class Code:
    """What a code says: its words, and the unit of the numbers in its row ("" where it has none)."""

    en: str
    zh: str
    unit: str = ""

    def word(self, lang: Language) -> str:
        """The code in words."""
        return self.zh if lang == "zh" else self.en


@cache
def load_codes() -> dict[str, dict[str, Code]]:
    """Read the codes of each column."""
    columns = yaml.safe_load(_CODES.read_text(encoding="utf-8"))
    return {name: {code: Code(*said) for code, said in codes.items()} for name, codes in columns.items()}


def codes(column: str, table: str = "") -> dict[str, Code]:
    """The codes of a column that have words: those of every column, of the column, of the table's own.

    Examples
    --------
    >>> codes("reason")["few_users"].word("en"), codes("step")["purchase"].word("zh")
    ('too few users', '支付订单')
    """
    known = load_codes()
    return known["names"] | known.get(column, {}) | known.get(f"{table}.{column}", {})


def has_codes(column: str, table: str = "") -> bool:
    """Whether what stands in a column are codes, not names from the data."""
    return column in load_codes() or f"{table}.{column}" in load_codes()


def metric(column: str, table: str = "") -> Metric | None:
    """Look up a column; ``repurchase_rate_30`` is found under ``repurchase_rate_<W>``.

    A column that means something of its own in one table has an entry ``table.column``, which goes first.

    Examples
    --------
    >>> metric("repurchase_rate_30").name("en")
    'Repurchase 30 d'
    """
    entries = load_glossary()
    own = entries.get(f"{table}.{column}")
    if own is not None:
        return own
    if column in entries:
        return entries[column]
    pattern = entries.get(re.sub(r"_\d+(?=_|$)", "_<W>", column))
    found = re.search(r"_(\d+)(?=_|$)", column)
    if pattern is None or found is None:
        return None
    filled = {
        part: {lang: text.replace("<W>", found[1]) for lang, text in words.items()}
        for part, words in pattern._words.items()
    }
    return replace(pattern, id=column, _words=filled)


def label(column: str, lang: Language, table: str = "") -> str:
    """Name of a column for readers; its own name with spaces where the glossary has none."""
    found = metric(column, table)
    return found.name(lang) if found else column.replace("_", " ")
