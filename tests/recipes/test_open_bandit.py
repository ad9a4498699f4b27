"""The Open Bandit Dataset as tables: impressions and clicks by position and item, for each shop."""

import csv
import gzip
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

Tables = dict[str, pd.DataFrame]
Row = dict[str, str]
SHOPS = [(policy, campaign) for policy in ("random", "bts") for campaign in ("men", "women")]
CLICKS = {("random", "men"): 46, ("random", "women"): 46, ("bts", "men"): 69, ("bts", "women"): 46}
RANDOM_MEN = {"position-1": (3_284, 10), "position-2": (3_388, 22), "position-3": (3_328, 14)}


@pytest.fixture(scope="session")
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("open_bandit")


@pytest.fixture(scope="session", params=SHOPS, ids="-".join)
def shop(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="session")
def rows(shop: tuple[str, str], real_data: Callable[[str], Path]) -> list[Row]:
    """The source's impressions, read with the standard library alone."""
    with gzip.open(real_data("open_bandit") / "{}_{}.csv.gz".format(*shop), "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def out(
    recipe: ModuleType,
    shop: tuple[str, str],
    real_data: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("open_bandit") / "shop"
    recipe.build(real_data("open_bandit"), out, policy=shop[0], campaign=shop[1])
    return out


@pytest.fixture(scope="session")
def tables(out: Path) -> Tables:
    return {file.stem: pd.read_parquet(file) for file in out.glob("*.parquet")}


def test_tables_keep_the_contract(tables: Tables, contract_faults: Callable[[Tables], list[str]]) -> None:
    assert set(tables) == {"events", "users", "slots", "contents"}
    assert contract_faults(tables) == []


@pytest.mark.parametrize(("event", "counted"), [("view_promotion", {"0", "1"}), ("select_promotion", {"1"})])
def test_events_by_slot_and_content(tables: Tables, rows: list[Row], event: str, counted: set[str]) -> None:
    expected = Counter((f"position-{row['position']}", row["item_id"]) for row in rows if row["click"] in counted)
    events = tables["events"].query("event == @event")
    assert Counter(zip(events["slot_id"], events["content_id"], strict=True)) == expected


def test_totals(tables: Tables, shop: tuple[str, str]) -> None:
    events = tables["events"]
    by_slot = events.groupby("slot_id")["event"].value_counts().unstack()
    assert by_slot["view_promotion"].sum() == 10_000
    assert by_slot["select_promotion"].sum() == CLICKS[shop]
    if shop == ("random", "men"):
        pairs = zip(by_slot["view_promotion"], by_slot["select_promotion"], strict=True)
        assert dict(zip(by_slot.index, pairs, strict=True)) == RANDOM_MEN


def test_each_impression_is_a_user_at_its_instant(tables: Tables, rows: list[Row]) -> None:
    views = tables["events"].query("event == 'view_promotion'").sort_values("user_id")
    assert views["user_id"].is_unique
    assert views["user_id"].str.startswith("impression-").all()
    assert views["event_at"].tolist() == [datetime.fromisoformat(row["timestamp"]) for row in rows]
    users = tables["users"].sort_values("user_id")
    assert users["user_id"].tolist() == views["user_id"].tolist()
    assert users["first_seen_at"].tolist() == views["event_at"].tolist()


def test_the_mapping_says_that_people_cannot_be_counted(out: Path) -> None:
    assert yaml.safe_load((out / "mapping.yml").read_text(encoding="utf-8")) == {"user_ids": "per_event"}


def test_a_click_follows_its_impression(tables: Tables) -> None:
    events = tables["events"]
    views, clicks = events[events["event"] == "view_promotion"], events[events["event"] == "select_promotion"]
    merged = clicks.merge(views, on=["user_id", "event_at", "page", "slot_id", "content_id"])
    assert len(merged) == len(clicks)
    assert set(views["seq"]) == {0}
    assert set(clicks["seq"]) == {1}


def test_slots_and_contents_are_known(tables: Tables, shop: tuple[str, str]) -> None:
    assert tables["slots"]["position"].tolist() == [1, 2, 3]
    assert set(tables["events"]["slot_id"]) == set(tables["slots"]["slot_id"])
    assert set(tables["events"]["content_id"]) == set(tables["contents"]["content_id"])
    assert len(tables["contents"]) == {"men": 34, "women": 46}[shop[1]]


def test_missing_file_is_named_with_those_there(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bts_men.csv.gz").touch()
    argv = [
        "open_bandit.py",
        str(tmp_path),
        str(tmp_path / "shop"),
        "--policy",
        "random",
        "--campaign",
        "women",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as stopped:
        recipe.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "random_women.csv.gz is missing" in message
    assert "RAW_FOLDER has bts_men.csv.gz" in message
