import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from workbench.cli import app

NOTEBOOKS = Path(__file__).parent / "report" / "notebooks"
FAILS = str(NOTEBOOKS / "fails.ipynb")
ROOT = Path(__file__).parents[1]


def call(*arguments: str, timeout: int = 120) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "workbench.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_help_names_the_commands():
    answer = invoke("--help")
    assert answer.exit_code == 0
    for command in ("sample", "check", "run", "batch", "lab"):
        assert command in answer.stdout


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['workbench', '--help']\nfrom workbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', sorted({'pandas', 'altair', 'ibis', 'papermill', 'nbformat', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "HEAVY []" in done.stdout


def test_a_run_says_where_its_report_is(tmp_path):
    source = tmp_path / "shop"
    source.mkdir()
    done = call("run", FAILS, str(source), "--out", str(tmp_path / "out"), "-p", "how=not")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out" / "fails" / "report.html")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [("refuse", 2, "orders: order_id repeats in 12 rows"), ("error", 1, "Cell 5: ValueError: cannot read shop")],
)
def test_a_run_that_fails_tells_why_in_one_message(tmp_path, how, code, says):
    source = tmp_path / "shop"
    source.mkdir()
    (tmp_path / "values.yml").write_text(f"how: {how}\nlang: zh\n", encoding="utf-8")
    done = call(
        "run", FAILS, str(source), "--out", str(tmp_path / "out"), "-f", str(tmp_path / "values.yml"), "--lang", "en"
    )
    assert done.returncode == code
    assert says in done.stderr
    assert str(tmp_path / "out" / "fails.failed" / "notebook.ipynb") in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-p", "hov=error"), 'There is no parameter "hov", did you mean "how"?'),
        (("-p", "how=3"), "how is 3. Allowed: text."),
        (("-p", "how"), '"how" is not name=value'),
        (("-p", "how=["), "this is not YAML"),
        (("-f", "nowhere.yml"), 'there is no file "nowhere.yml"'),
    ],
)
def test_wrong_parameters_are_wrong_usage(tmp_path, arguments, says):
    answer = invoke("run", FAILS, str(tmp_path), "--out", str(tmp_path / "out"), *arguments)
    assert answer.exit_code == 2
    assert says in answer.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_usage_is_two(tmp_path):
    assert invoke("run", FAILS).exit_code == 2
    assert invoke("run", FAILS, str(tmp_path), "--out", "x", "--lang", "fr").exit_code == 2
    assert invoke("runn").exit_code == 2
    assert invoke("run", "nope", str(tmp_path), "--out", str(tmp_path / "out")).exit_code == 2
    assert invoke("check", str(tmp_path / "nowhere")).exit_code == 2


def test_a_missing_source_is_refused(tmp_path):
    answer = invoke("run", FAILS, str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert answer.exit_code == 2
    assert 'source: there is no "nowhere"' in answer.stderr


def test_a_bad_plan_starts_nothing(tmp_path):
    plan = tmp_path / "plan.yml"
    plan.write_text(f"runs: [{{name: a, notebook: '{FAILS}', source: x, parameters: {{hov: 1}}}}]", encoding="utf-8")
    answer = invoke("batch", str(plan), "--out", str(tmp_path / "out"))
    assert answer.exit_code == 2
    assert 'a: fails: There is no parameter "hov"' in answer.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made_is_told_plainly(tmp_path):
    (tmp_path / "file").write_text("")
    answer = invoke("run", FAILS, str(tmp_path), "--out", str(tmp_path / "file" / "out"))
    assert answer.exit_code == 2
    assert "Check the path" in answer.stderr


AUDIENCES = """
timezone: Asia/Shanghai
end_date: 2026-05-24
window_days: 28
audiences:
  carted: {where: {did: add_to_cart, did_not: purchase, within_days: 14}, control: {share: 0.2, seed: 3}}
  north: {where: {region: North}, segment: age_group}
"""


def test_an_audience_is_written_with_its_control(small_folder, tmp_path):
    (tmp_path / "rules.yml").write_text(AUDIENCES, encoding="utf-8")
    out = tmp_path / "audience.csv"
    done = call("audience", str(tmp_path / "rules.yml"), str(small_folder), "--out", str(out))
    assert done.returncode == 0, done.stderr
    carted, north, path = done.stdout.splitlines()
    assert carted.startswith("carted: ")
    assert "held back as control (20%, seed 3)" in carted
    assert "(10%, seed 1)" in north
    assert path == str(out)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "user_id,audience,segment,arm"
    assert not any(line.split(",")[0] in done.stdout for line in lines[1:])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["audience.csv", "audience.csv.manifest.json", "rules.yml"]


@pytest.mark.slow
def test_the_loop_of_an_audience_closes_on_the_command_line(small_folder, tmp_path):
    """From the folder of the files, by their names alone; one user moved to the control by hand is not believed."""
    rules = "timezone: Asia/Shanghai\nend_date: 2026-05-24\nwindow_days: 28\naudiences:\n"
    carted = "{start_date: 2026-05-25, where: {did: add_to_cart, did_not: purchase, within_days: 14}}"
    (tmp_path / "rules.yml").write_text(f"{rules}  carted: {carted}\n", encoding="utf-8")

    def asked(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "workbench.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)

    assert asked("audience", "rules.yml", str(small_folder), "--out", "carted.csv").returncode == 0
    again = ("run", "user_quadrants", str(small_folder), "--out", "out", "-p", "window_days=28", "-p")
    done = asked(*again, "audience_file=carted.csv")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out" / "user_quadrants"
    action = pd.read_csv(out / "tables" / "audience_action.csv").iloc[0]
    assert action["action"] in ("roll_out", "stop", "go_on")
    assert action["outcome"] == "profit_per_user"
    lines = (tmp_path / "carted.csv").read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if line.endswith(",audience"))
    lines[place] = lines[place].removesuffix("audience") + "control"
    (tmp_path / "carted.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    done = asked(*again, f"audience_file={tmp_path / 'carted.csv'}")
    assert done.returncode == 0, done.stderr
    action = pd.read_csv(out / "tables" / "audience_action.csv").iloc[0]
    assert action[["action", "reason"]].tolist() == ["distrust", "file_changed"]
    for path in out.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_the_planted_wave_leaves_a_scheduler_with_three(sample_folder, tmp_path):
    """Frequent users who spend little leave in the week to 10 May: that week's report rings; two weeks before, none does."""
    weeks = ("-p", "window_days=14", "-p", "period_days=7", "-p", "timezone=Asia/Shanghai", "--fail-on-alarm")
    for end_date, code in (("2026-05-11", 3), ("2026-05-04", 0)):
        out = tmp_path / end_date
        done = call(
            "run", "user_quadrants", str(sample_folder), "--out", str(out), "-p", f"end_date={end_date}", *weeks
        )
        assert done.returncode == code, done.stderr
        told = json.loads((out / "user_quadrants" / "alerts.json").read_text(encoding="utf-8"))
        assert told["rings"] == (code == 3)
        assert told["is_judged"]
        current = [one for one in told["alerts"] if one["is_current"]]
        assert ("high_low_stopped" in {one["name"] for one in current}) == (code == 3)
        if current:
            table = pd.read_csv(out / "user_quadrants" / "tables" / "migration_alerts.csv")
            row = table.loc[(table[list(current[0]["key"])] == pd.Series(current[0]["key"])).all(axis=1)]
            assert row[current[0]["column"]].tolist() == pytest.approx([current[0]["value"]])


def test_audiences_are_refused_in_one_message(small_folder, tmp_path):
    rules, out = tmp_path / "rules.yml", tmp_path / "audience.parquet"
    rules.write_text(AUDIENCES, encoding="utf-8")
    asked = ("audience", str(rules), str(small_folder), "--out", str(out))
    assert invoke(*asked, "--only", "south").exit_code == 2
    assert invoke("audience", str(rules), str(small_folder), "--out", str(tmp_path / "audience.xlsx")).exit_code == 2
    answer = invoke(*asked, "--only", "north", "--lang", "zh")
    assert answer.exit_code == 0, answer.stderr
    assert "留作对照" in answer.stdout
    again = invoke(*asked, "--only", "north")
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert invoke(*asked, "--only", "north", "--force").exit_code == 0
    rules.write_text(AUDIENCES.replace("North", "Nort"), encoding="utf-8")
    wrong = invoke(*asked, "--force")
    assert wrong.exit_code == 2
    assert 'line 7: north: no region "Nort", did you mean "North"?' in wrong.stderr
    nothing = invoke("audience", str(tmp_path / "no.yml"), str(small_folder), "--out", str(out), "--force")
    assert nothing.exit_code == 2
    assert "there is no file" in nothing.stderr
