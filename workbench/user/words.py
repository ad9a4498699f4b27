"""What the sentences of the user report share: tables at the end of the report, alarms, counts in words."""

from collections.abc import Mapping

import pandas as pd

from workbench.language import format_count

Tables = Mapping[str, pd.DataFrame]


def counted(value: float, one: str, many: str = "") -> str:
    """A count with its noun, in English.

    Examples
    --------
    >>> counted(1, "user"), counted(0, "user"), counted(1234, "has come", "have come")
    ('1 user', '0 users', '1,234 have come')
    """
    return f"{format_count(value)} {one if value == 1 else many or f'{one}s'}"


def alarms_of(tables: Tables) -> pd.DataFrame:
    """Alarms, most money first."""
    alerts = tables["migration_alerts"]
    return alerts[alerts["is_alarm"].astype(bool)] if len(alerts) else alerts


def alarm_key(row: Mapping) -> dict[str, object]:
    """What names a row of ``migration`` and ``migration_alerts``."""
    return {name: row[name] for name in ("end_date", "from_group", "to_group")}


def last_groups(tables: Tables) -> pd.DataFrame:
    """The quadrants at the end of the last period."""
    quadrants = tables["quadrants"]
    return quadrants[quadrants["period_index"] == quadrants["period_index"].max()]
