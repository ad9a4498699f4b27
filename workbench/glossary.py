"""Every metric once: its names, formula, unit, window and denominator in both languages."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from workbench.language import Language

_FILE = Path(__file__).with_name("glossary.yml")


@dataclass(frozen=True)
class Metric:
    """One entry of ``glossary.yml``; windows written as ``<W>`` are already filled in.

    Attributes
    ----------
    id
        Column name.
    unit
        ``count``, ``amount``, ``rate``, ``number`` or ``text``.
    """

    id: str
    unit: str
    _words: dict[str, dict[str, str]]

    def name(self, lang: Language) -> str:
        """Name shown to readers."""
        return self._words["name"][lang]

    def formula(self, lang: Language) -> str:
        """How it is computed."""
        return self._words["formula"][lang]

    def window(self, lang: Language) -> str:
        """Over which time; empty where that is clear."""
        return self._words.get("window", {}).get(lang, "")

    def denominator(self, lang: Language) -> str:
        """Of what; empty where it is not a ratio."""
        return self._words.get("denominator", {}).get(lang, "")


@cache
def load_glossary() -> dict[str, Metric]:
    """Read the glossary; names with ``<W>`` are kept as patterns."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {
        name: Metric(name, entry["unit"], {key: value for key, value in entry.items() if key != "unit"})
        for name, entry in entries.items()
    }


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
    return Metric(column, pattern.unit, filled)


def label(column: str, lang: Language, table: str = "") -> str:
    """Name of a column for readers; its own name with spaces where the glossary has none."""
    found = metric(column, table)
    return found.name(lang) if found else column.replace("_", " ")
