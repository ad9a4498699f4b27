"""Faults of a source: what was found, where, how often, and what to do. All of them are told at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.errors import TableError
from workbench.language import Language, say

Level = Literal["refused", "warned"]
MOST_KEYS = 3


@dataclass(frozen=True)
class Fault:
    """One broken rule.

    Attributes
    ----------
    rule
        Stable name, such as ``negative_amount``.
    table, column
        Where (column empty where the rule is about the table).
    level
        ``refused``: nothing is computed on such data. ``warned``: counted in the report.
    count
        Rows concerned (0: the rule is about the table, not rows).
    en, zh
        What is wrong and what to do, without keys.
    keys
        Up to three keys of rows, for the terminal only.
    """

    rule: str
    table: str
    column: str
    level: Level
    count: int
    en: str
    zh: str
    keys: tuple[str, ...] = ()

    def message(self, lang: Language = "en") -> str:
        """Say it without keys, fit for a report."""
        where = f"{self.table}.{self.column}" if self.column else self.table
        rows = (
            say(lang, f"{self.count:,} row{'s' if self.count != 1 else ''}: ", f"{self.count:,} 行：")
            if self.count
            else ""
        )
        return f"{where}: {rows}{say(lang, self.en, self.zh)}"

    def text(self, lang: Language = "en") -> str:
        """Say it with keys, for the terminal of the person who owns the data."""
        keys = say(lang, f" (e.g. {', '.join(self.keys)})", f"（例如 {'、'.join(self.keys)}）") if self.keys else ""
        return self.message(lang) + keys

    def with_keys(self, keys: Iterable[object]) -> "Fault":
        """The same fault with examples."""
        return replace(self, keys=tuple("null" if key is None or key != key else str(key) for key in keys)[:MOST_KEYS])


def refuse(name: str, faults: Sequence[Fault]) -> None:
    """Raise one error with all refused faults, if there are any."""
    refused = [fault for fault in faults if fault.level == "refused"]
    if refused:
        noun = "fault breaks" if len(refused) == 1 else "faults break"
        lines = "\n".join(f"  - {fault.message()}" for fault in refused)
        raise TableError(
            f"{name}: {len(refused)} {noun} the contract.\n{lines}\n"
            f"Mend the source or its mapping; `workbench check` shows keys of the rows."
        )
