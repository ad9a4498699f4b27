"""What the report asks of an open shop."""

from typing import Protocol

import pandas as pd

from workbench.language import Language


class SourceWarning(Protocol):
    """Something the check of the source found and let pass."""

    @property
    def table(self) -> str:
        """Name of the table."""

    @property
    def count(self) -> int:
        """Number of rows."""

    def message(self, lang: Language) -> str:
        """The sentence, without keys of rows."""


class OpenShop(Protocol):
    """A shop as the report sees it: what is in it, not how it is read."""

    @property
    def name(self) -> str:
        """Last part of its path, safe to show."""

    @property
    def warnings(self) -> tuple[SourceWarning, ...]:
        """What the check found and let pass."""

    @property
    def fingerprint(self) -> str:
        """Hash of the data."""

    def contents(self) -> pd.DataFrame:
        """One row per table: table, row_count, first_at, last_at."""
