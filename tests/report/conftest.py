"""Runs that many tests look at, made once."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from once import Once

from workbench.report.run import RunResult, run_notebook

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).with_name("notebooks"))]
from report_places import NOTEBOOKS, SECRET  # noqa: E402 (found on the path just set)


@pytest.fixture(scope="session")
def source(once: Once) -> Path:
    def make(folder: Path) -> Path:
        (folder / "spring_shop").mkdir(parents=True)
        return folder / "spring_shop"

    return once(SECRET, make)


def demo(source: Path, out: Path, **asked: object) -> RunResult:
    result = run_notebook(NOTEBOOKS / "demo.ipynb", source, out, **asked)
    assert result.status == "done", result.error
    return result


@pytest.fixture(scope="session")
def english(once: Once, source: Path) -> RunResult:
    return once("english", lambda out: demo(source, out, parameters={"start_date": "2026-01-01"}))


@pytest.fixture(scope="session")
def chinese(once: Once, source: Path) -> RunResult:
    return once("chinese", lambda out: demo(source, out, parameters={}, lang="zh"))


@pytest.fixture(scope="session")
def batch(once: Once, source: Path) -> SimpleNamespace:
    """A batch of four from the command line; "twice" failed after an earlier good run."""
    return once("batch", lambda out: run_batch(source, out))


def run_batch(source: Path, out: Path) -> SimpleNamespace:
    out.mkdir()
    fails = NOTEBOOKS / "fails.ipynb"
    run_notebook(fails, source, out, parameters={"how": "not"}, name="twice")
    plan = out / "plan.yml"
    plan.write_text(
        f"defaults: {{source: '{source}', lang: zh, parameters: {{lookback_hours: 24}}}}\n"
        "runs:\n"
        f"  - {{name: channels, notebook: '{NOTEBOOKS / 'demo.ipynb'}', parameters: {{start_date: 2026-01-01}}}}\n"
        f"  - {{name: twice, notebook: '{fails}', parameters: {{how: error}}}}\n"
        f"  - {{name: dead, notebook: '{fails}', parameters: {{how: die}}}}\n"
        f"  - {{name: gone, notebook: '{fails}', source: '{source}-not-there'}}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "workbench.cli", "batch", str(plan), "--out", str(out / "runs")]
    (out / "runs").mkdir()
    (out / "twice").rename(out / "runs" / "twice")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    return SimpleNamespace(out=out / "runs", code=done.returncode, stdout=done.stdout, stderr=done.stderr)
