"""The getting-started notebooks, word for word: from a folder of CSV to a first finding and a plan that runs."""

import json
import re
import shutil

import pytest

from workbench.channel import compare_channels
from workbench.explore.lab import FIRST_NOTEBOOK, lab_environment
from workbench.report.manifest import read_json
from workbench.report.notebook import load_notebook, notebooks_folder
from workbench.report.plan import load_plan
from workbench.source.checks import check_source
from workbench.source.shop import open_shop

FOLDER = (notebooks_folder() / FIRST_NOTEBOOK["en"]).parent


def cells(lang):
    return json.loads((notebooks_folder() / FIRST_NOTEBOOK[lang]).read_text(encoding="utf-8"))["cells"]


@pytest.fixture
def copy(tmp_path):
    """The folder as somebody gets it who has never run it."""
    files = shutil.ignore_patterns("mapping.yml", "my_plan.yml", "out", ".ipynb_checkpoints")
    return shutil.copytree(FOLDER, tmp_path / "getting_started", ignore=files)


def said(cell):
    """All that a cell printed or showed as text."""
    shown = [one.get("text", "") + one.get("data", {}).get("text/plain", "") for one in cell["outputs"]]
    return "".join(shown)


def test_both_languages_have_the_same_steps_and_no_outputs():
    steps = [[(one["id"], one["cell_type"]) for one in cells(lang)] for lang in ("en", "zh")]
    assert steps[0] == steps[1]
    for lang in ("en", "zh"):
        code = [one for one in cells(lang) if one["cell_type"] == "code"]
        assert all(not one["outputs"] and one["execution_count"] is None for one in code)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_link_leads_somewhere(lang):
    text = "".join("".join(one["source"]) for one in cells(lang) if one["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) >= 5
    assert all((FOLDER / link).is_file() for link in links)


@pytest.mark.slow
def test_from_top_to_bottom_it_ends_in_a_plan_that_ran(copy, monkeypatch):
    client = pytest.importorskip("nbclient")
    monkeypatch.setenv("PATH", lab_environment()["PATH"])  # where `workbench lab` lets notebooks find the command
    node = load_notebook(copy / "getting_started.ipynb")
    client.NotebookClient(
        node, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(copy)}}
    ).execute()
    gave = {one["id"]: one for one in node.cells}
    assert "holds no table of the contract" in said(gave["check0"])
    assert "refused: 3" in said(gave["check1"])
    assert "formats" in said(gave["check1"])
    assert "refused: 0\nwarned: 0" in said(gave["check2"]).replace("\r", "")
    assert "newsletter converts highest: 52.9%" in said(gave["first"])
    heard = [one for cell in node.cells for one in cell.get("outputs", []) if one.get("name") == "stderr"]
    assert heard == []

    [request], _lang = load_plan(copy / "my_plan.yml")
    assert (request.source, request.mapping) == (str(copy / "export"), str(copy / "mapping.yml"))
    run = read_json(copy / "out/young_users/manifest.json")
    assert run["status"] == "done"
    assert (run["parameters"]["only_users"], run["parameters"]["conversion_days"]) == (["age_group=18-24"], 14)
    assert (copy / "out/young_users/report.html").is_file()
    assert (copy / "out/index.html").is_file()


def test_a_chinese_export_in_gbk_is_read_as_told(copy, monkeypatch):
    monkeypatch.chdir(copy)
    code = {one["id"]: "".join(one["source"]) for one in cells("zh") if one["cell_type"] == "code"}
    assert code["check0"] == "!workbench check export_zh --lang zh"
    refused, warned = [], []
    for step in ("map1", "map2"):
        magic, _line, mapping = code[step].partition("\n")
        assert magic == "%%writefile mapping.yml"
        (copy / "mapping.yml").write_text(mapping, encoding="utf-8")
        report = check_source("export_zh", "mapping.yml")
        refused.append(len(report.faults))
        warned.append(report.text("zh").count("时间不带时区"))
    assert (refused, warned) == ([0, 0], [3, 0])
    shop = open_shop("export_zh", "mapping.yml")
    analysis = compare_channels(shop, timezone="Asia/Shanghai", lang="zh")
    assert analysis.headline.verdict.startswith("会员短信 转化最高：52.9%")
