"""Retentioneering's demonstration shop as tables: counts by channel, repeats, ties and orders."""

import csv
import gzip
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

Tables = dict[str, pd.DataFrame]
Row = dict[str, str]


@pytest.fixture(scope="session")
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("retentioneering_ecom")


@pytest.fixture(scope="session")
def rows(real_data: Callable[[str], Path]) -> list[Row]:
    """The source's rows without exact repeats, read with the standard library alone."""
    with gzip.open(real_data("retentioneering_ecom") / "ecom.csv.gz", "rt") as file:
        raw = list(csv.DictReader(file))
    kept = list({tuple(row.values()): row for row in raw}.values())
    assert (len(raw), len(raw) - len(kept)) == (31_106, 30)
    return kept


@pytest.fixture(scope="session")
def tables(recipe: ModuleType, real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    out = tmp_path_factory.mktemp("retentioneering_ecom") / "shop"
    recipe.build(real_data("retentioneering_ecom"), out)
    return {file.stem: pd.read_parquet(file) for file in out.glob("*.parquet")}


def test_tables_keep_the_contract(tables: Tables, contract_faults: Callable[[Tables], list[str]]) -> None:
    assert set(tables) == {"events", "orders", "users"}
    assert contract_faults(tables) == []


def test_channels(tables: Tables, rows: list[Row]) -> None:
    purchases, users = defaultdict(Counter), defaultdict(set)
    for row in rows:
        users[row["acquisition_channel"]].add(row["user_id"])
        purchases[row["acquisition_channel"]][row["user_id"]] += row["event"] == "purchase"
    expected = {
        channel: (
            len(users[channel]),
            sum(count > 0 for count in counts.values()),
            counts.total(),
            sum(count > 1 for count in counts.values()),
        )
        for channel, counts in purchases.items()
    }
    counts = tables["orders"].groupby("user_id").size()
    bought = tables["users"].set_index("user_id").assign(orders=counts).fillna({"orders": 0})
    mine = {
        channel: (len(group), (group > 0).sum(), group.sum(), (group > 1).sum())
        for channel, group in bought.groupby("channel")["orders"]
    }
    assert mine == expected
    assert mine == {
        "organic": (219, 115, 161, 32),
        "paid_search": (169, 105, 161, 40),
        "email": (95, 51, 75, 18),
        "social": (87, 42, 55, 11),
        "direct": (30, 15, 18, 3),
    }


def test_events_are_renamed_and_none_is_lost(tables: Tables, rows: list[Row]) -> None:
    names = {"product_view": "view_item", "payment_details": "begin_checkout"}
    expected = Counter(names.get(row["event"], row["event"]) for row in rows)
    mine = Counter(tables["events"]["event"])
    assert mine == expected
    assert mine.total() == 31_076
    assert {name: mine[name] for name in ["view_item", "add_to_cart", "begin_checkout", "purchase"]} == {
        "view_item": 6_841,
        "add_to_cart": 1_346,
        "begin_checkout": 708,
        "purchase": 470,
    }


def test_every_purchase_is_an_order_without_money(tables: Tables) -> None:
    events, orders = tables["events"], tables["orders"]
    bought = events[events["event"] == "purchase"]
    assert events["order_id"].notna().equals(events["event"] == "purchase")
    merged = bought.merge(orders, on=["order_id", "user_id"], validate="one_to_one")
    assert len(merged) == len(orders) == 470
    assert (merged["event_at"] == merged["paid_at"]).all()
    assert (orders["paid_at"] == orders["submitted_at"]).all()
    assert orders["gross_amount"].isna().all()
    assert str(orders["gross_amount"].dtype) == "float64"


def test_ties_keep_the_order_of_the_file(tables: Tables, rows: list[Row]) -> None:
    by_user = defaultdict(list)
    for row in rows:
        name = {"product_view": "view_item", "payment_details": "begin_checkout"}.get(row["event"], row["event"])
        by_user[row["user_id"]].append((row["timestamp"], name))
    events = tables["events"].sort_values(["user_id", "event_at", "seq"])
    assert not events.duplicated(["user_id", "event_at", "seq"]).any()
    assert (events["seq"] > 0).sum() == 133
    stamps = events["event_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    mine = pd.Series(list(zip(stamps, events["event"], strict=True))).groupby(events["user_id"].to_numpy()).agg(list)
    assert mine.to_dict() == {user: sorted(told, key=lambda pair: pair[0]) for user, told in by_user.items()}


def test_users_are_as_first_seen(tables: Tables, rows: list[Row]) -> None:
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        first.setdefault(row["user_id"], row)
    users = tables["users"].set_index("user_id")
    assert len(users) == len(first) == 600
    assert users["first_seen_at"].dt.strftime("%Y-%m-%d %H:%M:%S").to_dict() == {
        user: row["timestamp"] for user, row in first.items()
    }
    assert users["device"].to_dict() == {user: row["platform"] for user, row in first.items()}


def test_missing_file_is_named(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["retentioneering_ecom.py", str(tmp_path), str(tmp_path / "shop")])
    with pytest.raises(SystemExit) as stopped:
        recipe.main()
    assert stopped.value.code == 2
    assert "RAW_FOLDER must hold ecom.csv.gz" in capsys.readouterr().err
    assert not (tmp_path / "shop").exists()
