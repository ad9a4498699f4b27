"""Small shops for tests, written as folders of Parquet or CSV files."""

from pathlib import Path

import pandas as pd

from workbench import Shop, open_shop


def at(text: str) -> pd.Timestamp:
    """A UTC instant."""
    return pd.Timestamp(text, tz="UTC")


def frame(columns: str, *rows: tuple, times: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table from its column names and rows; columns ending in ``_at`` become UTC times."""
    table = pd.DataFrame(list(rows), columns=columns.split())
    for name in table.columns:
        if name.endswith("_at") or name in times:
            table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    return table


def write_shop(folder: Path, *, csv: bool = False, **tables: pd.DataFrame) -> Path:
    """Write the tables as one file each and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if csv:
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def small(folder: Path, *rows: tuple, orders: list[tuple] | None = None, mapping: str | None = None) -> Shop:
    """A shop of these events (user_id, event_at, event, slot_id) and orders, opened."""
    tables = {"events": frame("user_id event_at event slot_id", *rows)}
    if orders is not None:
        tables["orders"] = frame("order_id user_id submitted_at paid_at gross_amount", *orders)
    written = write_shop(folder / "shop", **tables)
    if mapping:
        (written / "mapping.yml").write_text(mapping)
    return open_shop(written)
