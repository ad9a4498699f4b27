"""Alerts as a scheduler reads them: the file of a run and of a batch, and exit codes on request."""

import json

import pytest
from report_places import NOTEBOOKS
from typer.testing import CliRunner

from workbench.analysis import Alert, Cell, Watch
from workbench.cli import app

FAILS = str(NOTEBOOKS / "fails.ipynb")


@pytest.fixture(scope="module")
def rang(tmp_path_factory, source):
    """A run that rings, with the exit code that was asked for."""
    out = tmp_path_factory.mktemp("rang")
    return out, CliRunner().invoke(
        app, ["run", FAILS, str(source), "--out", str(out), "-p", "how=ring", "--fail-on-alarm"]
    )


def test_a_run_that_rings_is_done_and_leaves_with_three(rang):
    out, answer = rang
    assert answer.exit_code == 3, answer.stderr
    assert answer.stdout.splitlines()[-1] == str(out / "fails" / "report.html")
    assert json.loads((out / "fails" / "manifest.json").read_text())["status"] == "done"


def test_the_file_tells_each_alert_with_its_days_its_cell_and_what_was_usual(rang):
    told = json.loads((rang[0] / "fails" / "alerts.json").read_text())
    assert (told["rings"], told["is_judged"], told["lang"]) == (True, True, "en")
    assert told["data"]["source"] == "spring_shop"
    assert told["period"]["last_date"] == "2026-03-31"
    assert told["alerts"][0] == {
        "name": "orders",
        "text": "Orders fell.",
        "start_date": "2026-03-25",
        "end_date": "2026-04-01",
        "since_date": "2026-03-18",
        "is_current": True,
        "value": 60.0,
        "expected_value": 120.0,
        "amount": None,
        "table": "daily",
        "key": {"date": "2026-03-01"},
        "column": "order_count",
    }
    assert [one["is_current"] for one in told["alerts"]] == [True, False]


def test_a_notebook_that_watches_nothing_writes_no_file(english):
    assert not (english.folder / "alerts.json").exists()
    assert not english.rings


def test_only_alerts_of_the_newest_days_ring():
    days = {"start_date": "2026-01-01", "end_date": "2026-01-08", "since_date": "2026-01-01"}
    old = Alert("orders", "", Cell("daily", {}, "order_count"), 1.0, 2.0, None, **days, is_current=False)
    assert not Watch((old,), is_judged=True).rings
    assert not Watch((), is_judged=True).rings


@pytest.mark.parametrize(
    ("hows", "asked", "code"),
    [
        (["ring", "not"], ["--fail-on-alarm"], 3),
        (["ring", "not"], [], 0),
        (["ring", "error"], ["--fail-on-alarm"], 1),
        (["not"], ["--fail-on-alarm"], 0),
    ],
)
def test_a_batch_gathers_the_alerts_of_its_runs(tmp_path, source, hows, asked, code):
    plan, out = tmp_path / "plan.yml", tmp_path / "out"
    runs = [f"  - {{name: {how}, notebook: '{FAILS}', parameters: {{how: '{how}'}}}}\n" for how in hows]
    plan.write_text(f"defaults: {{source: '{source}'}}\nruns:\n{''.join(runs)}", encoding="utf-8")
    answer = CliRunner().invoke(app, ["batch", str(plan), "--out", str(out), *asked])
    assert answer.exit_code == code, answer.stderr
    told = json.loads((out / "alerts.json").read_text())
    assert told["rings"] == ("ring" in hows)
    assert [one["run"] for one in told["alerts"]] == ["ring", "ring"] * ("ring" in hows)
    by_name = {one["name"]: one for one in told["runs"]}
    assert list(by_name) == hows
    for how in hows:
        assert by_name[how]["status"] == ("failed" if how == "error" else "done")
        assert by_name[how]["is_judged"] == (True if how == "ring" else None)
