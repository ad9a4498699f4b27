"""The house as drawn: imports go down the floors, one door executes, the map and the locks tell the truth."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "workbench"
FLOORS = {
    **dict.fromkeys(["contract", "glossary", "period", "language", "errors", "parameters", "mask", "analysis"], 0),
    **dict.fromkeys(["stats", "source"], 1),
    "metrics": 2,
    "experiment": 3,
    **dict.fromkeys(["channel", "coupon", "sales", "slot", "user"], 4),
    "report": 5,
    "explore": 6,
    "cli": 7,
}
DOMAINS = {"channel", "coupon", "sales", "slot", "user"}
SIDEWAYS = {("source", "stats"), ("stats", "source")}  # same floor, and neither may lean on the other


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Every module imported anywhere in the file, with names imported from a package appended."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_has_a_floor():
    rooms = {room(path) for path in modules()} - {"__init__"}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize(
    "path", [path for path in modules() if room(path) != "__init__"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_go_down(path):
    mine = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "workbench" or len(parts) < 2 or parts[1] not in FLOORS or parts[1] == mine:
            continue
        other = parts[1]
        assert FLOORS[other] <= FLOORS[mine], f"{mine} imports {name} from a higher floor"
        assert not (other in DOMAINS and mine in DOMAINS), f"{mine} imports the domain {other}"
        assert (mine, other) not in SIDEWAYS, f"{mine} and {other} stand side by side"
        assert not (mine == "report" and other in DOMAINS), "the report knows no domain"


EXECUTES = re.compile(r"\.(to_pandas|to_pyarrow|to_polars|execute|raw_sql|fetchall|fetchdf|to_parquet|to_csv)\(")


def test_one_door_to_the_engines():
    for path in modules():
        parts = path.relative_to(PACKAGE).parts
        if parts == ("source", "engine.py") or parts[:2] == ("source", "simulate") or parts[0] == "report":
            continue
        assert not EXECUTES.search(path.read_text(encoding="utf-8")), f"{path} executes a query or writes a table"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("altair", lambda parts: parts[-1] == "charts.py" or parts[0] == "explore"),
        ("papermill", lambda parts: parts[0] == "report"),
        ("nbconvert", lambda parts: parts[0] == "report"),
    ],
)
def test_heavy_libraries_stay_in_their_rooms(library, allowed):
    users = [path for path in modules() if any(name.split(".")[0] == library for name in imports(path))]
    assert all(allowed(path.relative_to(PACKAGE).parts) for path in users), users


def test_the_map_names_the_rooms_and_notebooks_there_are():
    text = (ROOT / "docs/map.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `workbench/([a-z_]+)(?:\.py|/)` \|", text, re.M)
    rooms = {name: int(floor) for floor, name in rows}
    assert rooms == FLOORS
    notebooks = set(re.findall(r"^\| `([a-z_]+)` \| `workbench/", text, re.M))
    assert notebooks == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    for path in re.findall(r"`((?:workbench|tests)/[a-z_/]+(?:\.py)?)`", text):
        assert (ROOT / path).exists(), path


def test_conda_and_pip_have_the_same_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(one["pip"] for one in conda if isinstance(one, dict))
    assert sorted(pip) == sorted(project["dependencies"])
    assert f"python{project['requires-python']}" in conda


def test_locks_hold_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for lock, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-test.lock", project["dependencies"] + project["optional-dependencies"]["test"]),
    ):
        locked = {
            re.sub(r"[-_.]+", "-", line.split("==")[0].split("[")[0].lower())
            for line in (ROOT / lock).read_text(encoding="utf-8").splitlines()
            if "==" in line and not line.startswith((" ", "#"))
        }
        names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ]", one)[0].lower()) for one in wanted}
        assert names <= locked, names - locked


def test_the_plan_runs_every_notebook():
    plan = yaml.safe_load((ROOT / "notebooks/plan.yml").read_text(encoding="utf-8"))
    assert {run["notebook"] for run in plan["runs"]} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
