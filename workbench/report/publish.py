"""Write what an analysis says into the folder of its run."""

import math
import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.analysis import Analysis, Cell, Watch
from workbench.language import Setting
from workbench.report.manifest import write_json
from workbench.report.shop import OpenShop

OUT = "WORKBENCH_OUT"
ALERTS = "alerts.json"
# At the start of a text, or after a semicolon, at which some spreadsheets part cells.
_RUN_BY_SPREADSHEETS = re.compile(r"(^|;)(?=[\t\r]|[\s\u3000]*[=+\-@＝＋－＠])")  # noqa: RUF001 (as wide as Chinese)
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def publish(analysis: Analysis, shop: OpenShop) -> None:
    """Write ``tables/<name>.csv``, ``findings.json`` and ``alerts.json`` into the run's folder; outside a run do nothing.

    Notes
    -----
    Tables are UTF-8 with rows as they are and numbers with 12 significant digits; nulls are empty. A text
    that a spreadsheet would run as a formula gets one ``'`` in front. An analysis that watches nothing writes no alerts.
    """
    out = os.environ.get(OUT)
    if not out:
        return
    tables = Path(out) / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    for name, table in analysis.tables.items():
        write_csv(table, tables / f"{name}.csv")
    write_json(Path(out) / "findings.json", _about(analysis, shop) | _findings(analysis))
    if analysis.watch is not None:
        write_json(Path(out) / ALERTS, _about(analysis, shop) | _alerts(analysis.watch))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table so that programs read it exactly and spreadsheets run nothing of it."""
    columns = [[_csv_cell(value) for value in [str(name), *table[name].tolist()]] for name in table.columns]
    lines = [",".join(row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="")


def _csv_cell(value: object) -> str:
    plain = plain_value(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, float):
        return f"{plain:.12g}"
    if isinstance(plain, int):
        return str(plain)
    text = _RUN_BY_SPREADSHEETS.sub(r"\1'", plain)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def plain_value(value: object) -> str | int | float | bool | None:
    """Turn a value of a table into one that JSON knows; missing and infinite ones are None."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None  # -0.0 + 0.0 is 0.0
    if isinstance(value, datetime):
        is_day = value.tzinfo is None and value.time() == datetime.min.time()
        return value.date().isoformat() if is_day else value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _cell(cell: Cell) -> dict[str, Any]:
    key = {str(name): plain_value(value) for name, value in cell.key.items()}
    return {"table": cell.table, "key": key, "column": cell.column}


def _about(analysis: Analysis, shop: OpenShop) -> dict[str, Any]:
    """Which question, days and data."""
    period = analysis.period
    return {
        "name": analysis.name,
        "lang": analysis.lang,
        "period": {
            "start_date": period.start_date.isoformat(),
            "end_date": period.end_date.isoformat(),
            "last_date": period.last_date.isoformat(),
            "timezone": period.timezone,
            "data_last_date": period.data_last_date.isoformat(),
        },
        "data": {"source": shop.name, "fingerprint": shop.fingerprint},
    }


def _alerts(watch: Watch) -> dict[str, Any]:
    return {
        "rings": watch.rings,
        "is_judged": watch.is_judged,
        "alerts": [
            {
                "name": one.name,
                "text": one.text,
                "start_date": one.start_date,
                "end_date": one.end_date,
                "since_date": one.since_date,
                "is_current": one.is_current,
                "value": plain_value(one.value),
                "expected_value": plain_value(one.expected_value),
                "amount": plain_value(one.amount),
                **_cell(one.cell),
            }
            for one in watch.alerts
        ],
    }


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """The short table of the first screen, as it is read there."""
    rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
    return {"columns": [str(name) for name in table.columns], "rows": rows}


def _findings(analysis: Analysis) -> dict[str, Any]:
    return {
        "verdict": analysis.headline.verdict,
        "headline": _table(analysis.headline.table),
        "findings": [
            {"name": one.name, "text": one.text, "value": plain_value(one.value), **_cell(one.cell)}
            for one in analysis.findings
        ],
        "actions": [
            {
                "name": one.name,
                "text": one.text,
                "amount": plain_value(one.amount),
                "ci_lower": plain_value(one.ci_lower),
                "ci_upper": plain_value(one.ci_upper),
                "basis": one.basis,
                "evidence": one.evidence,
                **_cell(one.cell),
            }
            for one in analysis.headline.actions
        ],
        "figures": [
            {
                "name": one.name,
                "label": one.label,
                "value": plain_value(one.value),
                "ci_lower": plain_value(one.ci_lower),
                "ci_upper": plain_value(one.ci_upper),
                "unit": one.unit,
                "better": one.better,
                "kind": one.kind,
                "days": one.days,
                **_cell(one.cell),
            }
            for one in analysis.figures
        ],
        "notes": list(analysis.notes),
        "flags": [one for one in analysis.flags if not isinstance(one, Setting)],
        "settings": [one for one in analysis.flags if isinstance(one, Setting)],
    }
