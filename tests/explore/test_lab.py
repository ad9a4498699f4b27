"""The start page of JupyterLab, and the command that opens it on this machine alone."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from workbench.explore.lab import MOST_RUNS, START_PAGE, lab_command, lab_environment, start_page
from workbench.report.manifest import write_json
from workbench.report.notebook import ROOT


def links(page):
    return re.findall(r"\]\(([^)]+)\)", page)


def ran(out, name, *, title="Which <b>channel</b>?", status="done", at="2026-11-20T08:00:00+00:00", has_report=True):
    folder = out / name
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"title": title, "status": status, "finished_at": at})
    if has_report:
        (folder / "report.html").write_text("<p>", encoding="utf-8")


def test_every_notebook_is_linked_with_its_question():
    for lang, question in (("en", "Which coupon earns more than it costs?"), ("zh", "哪张优惠券的收益高于成本？")):
        page = start_page(ROOT, ROOT / "nothing-here", lang)
        assert f"[{question}](notebooks/coupon_evaluation.ipynb)" in page
        for path in (ROOT / "notebooks").glob("*.ipynb"):
            assert f"(notebooks/{path.name})" in page
        assert all((ROOT / link).exists() for link in links(page))


def test_a_newcomer_is_led_to_the_notebook_of_the_language():
    for lang, name in (("en", "getting_started.ipynb"), ("zh", "getting_started.zh.ipynb")):
        page = start_page(ROOT, ROOT / "nothing-here", lang)
        assert links(page)[0] == f"notebooks/getting_started/{name}"


def test_notebooks_and_terminals_find_the_command(monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", "/bin"]))
    found = shutil.which("workbench", path=lab_environment()["PATH"])
    assert found is not None
    assert Path(found).parent == Path(sys.executable).parent
    assert os.environ["PATH"] == os.pathsep.join(["/usr/bin", "/bin"])
    monkeypatch.delenv("PATH")
    assert lab_environment()["PATH"] == str(Path(sys.executable).parent)


def test_the_last_runs_come_first_and_titles_from_data_stay_text(tmp_path):
    out = tmp_path / "my reports"
    ran(out, "old", at="2026-11-19T08:00:00+00:00")
    ran(out, "new", at="2026-11-21T08:00:00+00:00", title="[x](javascript:1) <i>")
    ran(out, "bad.failed", status="failed", has_report=False)
    page = start_page(tmp_path, out, "en")
    runs = [line for line in page.splitlines() if line.startswith("- ")]
    assert runs == [
        r"- [\[x\]\(javascript:1\) \<i\>](my%20reports/new/report.html) `new`: done, 2026-11-21 08:00 UTC",
        r"- Which \<b\>channel\</b\>? `bad.failed`: failed, 2026-11-20 08:00 UTC",
        r"- [Which \<b\>channel\</b\>?](my%20reports/old/report.html) `old`: done, 2026-11-19 08:00 UTC",
    ]
    for number in range(MOST_RUNS + 5):
        ran(out, f"run{number}", at="2026-11-22T08:00:00+00:00")
    assert start_page(tmp_path, out, "zh").count("- ") >= MOST_RUNS
    assert len([line for line in start_page(tmp_path, out, "zh").splitlines() if " UTC" in line]) == MOST_RUNS


def test_runs_outside_are_named_without_a_link_and_none_are_told(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    ran(tmp_path / "out", "slots")
    page = start_page(root, tmp_path / "out", "en")
    assert "- Which \\<b\\>channel\\</b\\>? `slots`: done" in page
    assert "None yet." in start_page(root, root / "out", "en")
    assert "暂无" in start_page(root, root / "out", "zh")


def test_the_server_is_of_this_machine_alone_and_asks_for_a_token(tmp_path):
    command = lab_command("en", root=tmp_path)
    assert "--ServerApp.ip=127.0.0.1" in command
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert not any("token" in one or "password" in one for one in command)  # the server draws its own
    assert f"--LabApp.default_url=/lab/tree/{START_PAGE}" in command
    assert (tmp_path / START_PAGE).read_text(encoding="utf-8").startswith("# Workbench")
    settings = next(one.split("=", 1)[1] for one in command if one.startswith("--LabApp.app_settings_dir="))
    told = json.loads((Path(settings) / "overrides.json").read_text(encoding="utf-8"))
    assert told["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"] == {"markdown": "Markdown Preview"}


def test_where_no_page_can_be_written_lab_opens_without_it(tmp_path):
    (tmp_path / START_PAGE).mkdir()  # a folder stands in its way
    assert not any("default_url" in one for one in lab_command("en", root=tmp_path))
