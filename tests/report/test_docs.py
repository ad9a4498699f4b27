"""What the documents tell to type works: every command is parsed and run or rehearsed, every plan is checked."""

import configparser
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from workbench.cli import app
from workbench.report import run as runs
from workbench.report.plan import WrittenPlan, load_plan
from workbench.report.run import RunResult

ROOT = Path(__file__).parents[2]
PAGES = ("docs/batch.md", "README.md", "README.zh.md", "docs/audiences.md")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"(?:\.venv/bin/|/srv/shop/\.venv/bin/)?\bworkbench (run|batch|check|sample|audience|lab)\b([^\n]*)"
)
NAMED = re.compile(r"\A *# (\S+\.ya?ml)\n")


def blocks(page, *languages):
    return [text for kind, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")) if kind in languages]


def commands(page):
    """Commands of the blocks of a page as words; what follows them on the line (a comment, a log) is cut off."""
    for text in blocks(page, "", "ini", "yaml", "sh"):
        for name, rest in COMMAND.findall(text):
            yield name, re.split(r"  +#|\s{2,}[^-\s\[]|>>|&&", rest)[0].strip()


WHOLE = [
    (page, name, rest)
    for page in PAGES
    for name, rest in dict.fromkeys(commands(page))
    if not re.search(r"\b[A-Z]{3,}\b|\[", rest) or "only_users" in rest
]
SKETCHES = [
    (page, name, rest)
    for page in PAGES
    for name, rest in dict.fromkeys(commands(page))
    if (page, name, rest) not in WHOLE
]


def options_of(name):
    command = get_command(app).commands[name]
    return {one for parameter in command.params for one in parameter.opts}


@pytest.fixture
def desk(tmp_path, small_folder, monkeypatch):
    """A folder as the documents suppose: a shop, plans, holidays, an export of one's own."""
    (tmp_path / "data").mkdir()
    for place in (tmp_path / "data" / "sample", *(tmp_path / one for one in ("path/to/folder", "文件夹"))):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(small_folder)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "holidays.csv").write_text(
        "date,label,end_date\n2026-06-01,Children's day,\n2026-06-08,Sale,2026-06-10\n"
    )
    for page in PAGES:
        for text in blocks(page, "yaml"):
            if named := NAMED.match(text):
                (tmp_path / named[1]).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_have_commands_and_few_are_mere_sketches():
    assert len([one for one in WHOLE if one[0] == "docs/batch.md"]) >= 9
    assert {one[0] for one in SKETCHES} <= {"README.md", "README.zh.md"}


@pytest.mark.parametrize(("page", "name", "rest"), WHOLE)
def test_a_command_of_a_page_works(desk, monkeypatch, page, name, rest):
    asked = shlex.split(rest)
    if name in ("lab", "audience"):
        get_command(app).commands[name].make_context(name, asked)
        return
    if name == "batch":
        asked += ["--dry-run"]
    if name == "sample":
        asked += ["--users", "50"]
    if name == "run":
        monkeypatch.setattr(runs, "start_run", rehearse)
    done = CliRunner().invoke(app, [name, *asked])
    assert done.exit_code == 0, done.output


def rehearse(request, out, on_progress=None, **_):
    return RunResult(request.name, request.title, "done", out / request.name)


@pytest.mark.parametrize(("page", "name", "rest"), SKETCHES)
def test_a_sketch_names_options_that_exist(page, name, rest):
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest))
    assert told <= options_of(name), told - options_of(name)


def test_every_option_of_a_batch_is_told():
    page = (ROOT / "docs/batch.md").read_text(encoding="utf-8")
    assert [one for one in sorted(options_of("batch") - {"--out", "plan"}) if f"`{one}" not in page] == []


def test_every_key_of_a_plan_is_told():
    page = (ROOT / "docs/batch.md").read_text(encoding="utf-8")
    schema = json.loads((ROOT / "docs/plan.schema.json").read_text(encoding="utf-8"))
    assert schema["properties"].keys() == WrittenPlan.model_fields.keys()
    keys = {key for part in schema["$defs"].values() for key in part.get("properties", {})}
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert keys - told == set()


def test_plans_of_the_page_expand_as_it_says(desk):
    requests, lang = load_plan(desk / "weekly.yml")
    assert lang == "en"
    assert [one.name for one in requests] == [
        "channels-North-en", "channels-North-zh", "channels-South-en", "channels-South-zh", "sales", "users",
    ]  # fmt: skip
    assert {one.mask_below for one in requests} == {10}
    assert requests[1].parameters["only_users"] == ["region=North"]
    days = [one.parameters["end_date"] for one in requests]
    assert len(set(days[:4])) == 1
    assert days[5] >= days[0]


def test_shipped_plans_are_plans(desk):
    for path in sorted((ROOT / "notebooks").glob("*.yml")):
        assert load_plan(path)[0]


def test_units_and_workflows_can_be_read():
    units = blocks("docs/batch.md", "ini")
    sections = set()
    for text in units:
        parser = configparser.ConfigParser(strict=True)
        parser.optionxform = str
        parser.read_string(text)
        sections |= set(parser.sections())
    assert sections == {"Unit", "Service", "Timer", "Install"}
    flow = next(yaml.safe_load(text) for text in blocks("docs/batch.md", "yaml") if "runs-on" in text)
    assert next(step.get("uses", step.get("run")) for step in flow["jobs"]["reports"]["steps"]).startswith(
        "actions/checkout"
    )
    for text in blocks("docs/batch.md", "json"):
        json.loads(text)


def test_links_of_the_pages_lead_somewhere():
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((ROOT / page).parent / link).exists(), (page, link)
    assert "docs/batch.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/batch.md" in (ROOT / "README.zh.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_of_the_page_is_made_kept_and_bundled(desk):
    asked = ["batch", "weekly.yml", "--out", "reports", "--as-of", "2026-06-15", "--only", "channels-North-zh"]
    first = CliRunner().invoke(app, [*asked, "--bundle", "reports/week.zip"])
    assert first.exit_code == 0, first.output
    found = {one.name for one in (desk / "reports" / "channels-North-zh").iterdir()}
    assert {"report.html", "tables", "findings.json", "notebook.ipynb", "manifest.json"} <= found
    again = CliRunner().invoke(app, [*asked, "--dry-run"])
    assert "reused" in again.output
    assert (desk / "reports" / "week.zip").is_file()
    status = json.loads((desk / "reports" / "alerts.json").read_text())["runs"]
    assert {one["status"] for one in status} == {"done", "waiting"}


def test_a_wrong_option_is_found():
    done = CliRunner().invoke(app, ["batch", "weekly.yml", "--out", "x", "--job", "2"])
    assert (done.exit_code, "No such option" in done.output) == (2, True)
