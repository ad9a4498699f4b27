"""The demonstration shop of retentioneering: six months of clicks of 600 users, as contract tables.

Usage: ``python data/recipes/retentioneering_ecom.py RAW_FOLDER OUT_FOLDER``, where ``RAW_FOLDER`` holds
``ecom.csv.gz``. The source is generated, and says so; see the README beside this file.

- 30 rows repeat another one exactly and are dropped.
- The times carry no zone and are taken as UTC.
- ``product_view`` becomes ``view_item``, ``payment_details`` becomes ``begin_checkout``; ``add_to_cart``
  and ``purchase`` keep their names, all others keep theirs too and count as activity. In the contract
  ``begin_checkout`` is an order submitted, and the page with the payment details is the last step before
  paying; ``cart`` and ``shipping_details`` come too early for it.
- Each purchase is made an order, submitted and paid at that instant. There is no money in the source, so
  ``gross_amount`` is null. Payments that were begun and not completed are events without an order.
- Events of a user at the same instant are numbered by ``seq`` in the order of the file.
- ``device`` is the platform of the user's first event: 180 users come with more than one.
"""

import argparse
from pathlib import Path

import pandas as pd

EVENT_NAMES = {"product_view": "view_item", "payment_details": "begin_checkout"}


def build(raw: Path, out: Path) -> None:
    """Write the tables made from ``raw/ecom.csv.gz`` into ``out``, one Parquet file each."""
    tables = convert(load_source(raw))
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)


def load_source(raw: Path) -> pd.DataFrame:
    """The rows of the source in their order, without exact repeats, times in UTC."""
    path = raw / "ecom.csv.gz"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: RAW_FOLDER must hold ecom.csv.gz")
    clicks = pd.read_csv(path, parse_dates=["timestamp"]).drop_duplicates(ignore_index=True)
    clicks["timestamp"] = clicks["timestamp"].dt.tz_localize("UTC")
    return clicks


def convert(clicks: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Contract tables by name, from the source's rows."""
    is_purchase = clicks["event"] == "purchase"
    order_number = is_purchase.cumsum().astype("str").str.zfill(6)
    events = pd.DataFrame(
        {
            "user_id": clicks["user_id"],
            "event_at": clicks["timestamp"],
            "event": clicks["event"].replace(EVENT_NAMES),
            "seq": clicks.groupby(["user_id", "timestamp"]).cumcount(),
            "session_id": clicks["session_id"],
            "order_id": ("order_" + order_number).where(is_purchase),
        }
    )
    return {"events": events, "orders": _orders(events[is_purchase]), "users": _users(clicks)}


def _orders(purchases: pd.DataFrame) -> pd.DataFrame:
    """One row per purchase."""
    return pd.DataFrame(
        {
            "order_id": purchases["order_id"],
            "user_id": purchases["user_id"],
            "submitted_at": purchases["event_at"],
            "paid_at": purchases["event_at"],
            "gross_amount": pd.Series(float("nan"), index=purchases.index, dtype="float64"),
        }
    )


def _users(clicks: pd.DataFrame) -> pd.DataFrame:
    """One row per user, as seen at the first event."""
    first = clicks.sort_values("timestamp", kind="stable").drop_duplicates("user_id").sort_values("user_id")
    return pd.DataFrame(
        {
            "user_id": first["user_id"],
            "first_seen_at": first["timestamp"],
            "channel": first["acquisition_channel"],
            "device": first["platform"],
        }
    )


def main() -> None:
    """Read the command line, build, print the folder."""
    parser = argparse.ArgumentParser(description="Turn retentioneering's ecom.csv.gz into contract tables.")
    parser.add_argument("raw", type=Path, metavar="RAW_FOLDER", help="folder with ecom.csv.gz")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="folder for the tables, made if missing")
    arguments = parser.parse_args()
    try:
        build(arguments.raw, arguments.out)
    except FileNotFoundError as error:
        parser.error(str(error))
    print(arguments.out)


if __name__ == "__main__":
    main()
