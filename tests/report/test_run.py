import json
import os
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from report_places import NOTEBOOKS, SECRET

from workbench.errors import ParameterError
from workbench.report.run import run_notebook

FAILS = NOTEBOOKS / "fails.ipynb"


def test_a_run_folder_holds_everything(english):
    files = {path.relative_to(english.folder).as_posix() for path in english.folder.rglob("*") if path.is_file()}
    assert files == {
        "report.html", "notebook.ipynb", "findings.json", "manifest.json",
        "tables/channel_funnel.csv", "tables/daily.csv",
    }  # fmt: skip


def test_the_manifest_tells_parameters_versions_and_times(english):
    manifest = json.loads((english.folder / "manifest.json").read_text())
    assert manifest["notebook"] == manifest["name"] == "demo"
    assert manifest["parameters"]["start_date"] == "2026-01-01"
    assert manifest["parameters"]["windows"] == [7, 30]
    assert (manifest["lang"], manifest["source"]) == ("en", "spring_shop")
    assert re.fullmatch(r"[0-9a-f]{32}", manifest["data_fingerprint"])
    assert (manifest["status"], manifest["error"]) == ("done", None)
    assert {"python", "workbench", "pandas", "duckdb", "ibis-framework", "altair", "papermill"} == set(
        manifest["versions"]
    )
    assert manifest["started_at"] < manifest["finished_at"] or manifest["seconds"] < 1


def test_nothing_names_the_path_of_the_source(english, batch):
    for folder in (english.folder, batch.out):
        for path in folder.rglob("*"):
            assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_nothing_names_this_machine(english):
    for path in english.folder.rglob("*"):
        assert path.is_dir() or str(NOTEBOOKS.parent).encode() not in path.read_bytes(), path


def test_a_password_in_a_url_stays_out_of_the_folder(tmp_path):
    url = "clickhouse://reader:hunter2secret@db.example:9000/shop"
    result = run_notebook(FAILS, url, tmp_path, parameters={"how": "error"})
    assert result.error.endswith("cannot read shop/orders.csv")
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or (b"hunter2secret" not in path.read_bytes() and b"db.example" not in path.read_bytes())


def test_the_executed_notebook_can_be_read_and_carries_its_parameters(english):
    node = nbformat.read(english.folder / "notebook.ipynb", as_version=4)
    nbformat.validate(node)
    assert 'start_date = "2026-01-01"' in "".join(cell.source for cell in node.cells)


def test_tables_are_safe_in_a_spreadsheet_and_exact_for_a_program(english):
    path = english.folder / "tables" / "channel_funnel.csv"
    text = path.read_text(encoding="utf-8")
    table = pd.read_csv(path)
    assert table.columns[0] == "channel"
    assert list(table["note"])[:3] == ["'=1+1", "'-5", "plain"]
    assert pd.isna(table["note"][3])
    assert table["note"][4] == "'@x"
    assert "-12.5," in text
    assert "0.0512345678901," in text
    assert list(table["is_new"]) == [True, False, True, False, True]
    assert table["first_date"][0] == "2026-01-01"
    assert pd.isna(table["conversion_rate"][3])


def test_findings_are_strict_json(english):
    def refuse(word):
        raise AssertionError(word)

    found = json.loads((english.folder / "findings.json").read_text(), parse_constant=refuse)
    assert found["period"]["last_date"] == "2026-03-31"
    assert found["findings"][0] == {
        "name": "best",
        "text": "Live rooms convert best, at 5.1%.",
        "value": 0.0512,
        "table": "channel_funnel",
        "key": {"channel": "live"},
        "column": "conversion_rate",
    }
    assert found["findings"][1]["value"] is None
    assert [action["evidence"] for action in found["actions"]] == ["observed", "randomized", "descriptive"]


@pytest.fixture
def good(tmp_path, source):
    """A folder with a good run of the failing notebook."""
    assert run_notebook(FAILS, source, tmp_path, parameters={}).status == "done"
    return tmp_path


def test_a_failed_run_is_kept_beside_the_last_good_one(good, source):
    before = (good / "fails" / "manifest.json").read_text()
    result = run_notebook(FAILS, source, good, parameters={"how": "error"})
    assert (result.status, result.exit_code, result.folder.name) == ("failed", 1, "fails.failed")
    assert result.error == "Cell 5: ValueError: cannot read spring_shop/orders.csv"
    assert (good / "fails" / "manifest.json").read_text() == before
    assert json.loads((result.folder / "manifest.json").read_text())["status"] == "failed"
    assert (result.folder / "notebook.ipynb").is_file()
    assert not (result.folder / "report.html").exists()
    again = run_notebook(FAILS, source, good, parameters={})
    assert (again.status, (good / "fails.failed").exists()) == ("done", False)
    assert sorted(path.name for path in good.iterdir()) == ["fails"]


@pytest.mark.parametrize(
    ("how", "status", "says"),
    [
        ("refuse", "refused", "orders: order_id repeats in 12 rows. Fix the source."),
        ("parameter", "refused", "lookback_hours is 0; it must be above 0 hours."),
        ("die", "failed", "The kernel died"),
        ("exit", "failed", "ended early"),
        ("chart", "failed", "cannot be drawn"),
    ],
)
def test_each_way_of_failing_is_told_apart(tmp_path, source, how, status, says):
    result = run_notebook(FAILS, source, tmp_path, parameters={"how": how})
    assert result.status == status
    assert says in result.error
    assert "Traceback" not in result.error
    assert result.exit_code == {"refused": 2, "failed": 1}[status]
    assert json.loads((result.folder / "manifest.json").read_text())["error"] == result.error


def test_a_source_that_is_not_there_is_refused_without_a_kernel(tmp_path):
    result = run_notebook(FAILS, tmp_path / "nowhere", tmp_path / "out", parameters={})
    assert (result.status, result.exit_code) == ("refused", 2)
    assert 'source: there is no "nowhere".' in result.error
    assert not (result.folder / "notebook.ipynb").exists()


def test_a_wrong_parameter_writes_nothing(tmp_path, source):
    with pytest.raises(ParameterError, match='did you mean "how"'):
        run_notebook(FAILS, source, tmp_path / "out", parameters={"hov": "error"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".x", "x.failed", "index.html", "Alerts.json", "", " x", "a..b", "渠" * 41]
)
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path, source, name):
    with pytest.raises(ParameterError, match="cannot name a run"):
        run_notebook(FAILS, source, tmp_path, parameters={}, name=name)


def test_an_unknown_notebook_is_refused(tmp_path, source):
    with pytest.raises(ParameterError, match="there is no notebook"):
        run_notebook("chanel_comparison", source, tmp_path, parameters={})


def test_leftovers_of_dead_runs_are_cleared(tmp_path, source):
    dead = 2**22 + 1  # above the largest process id
    (tmp_path / f".fails.{dead}.tmp").mkdir()
    (tmp_path / f".fails.{os.getppid()}.tmp").mkdir()
    (tmp_path / f".other.{dead}.tmp").mkdir()
    run_notebook(FAILS, source, tmp_path, parameters={})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"fails", f".fails.{os.getppid()}.tmp", f".other.{dead}.tmp"}


def test_the_last_good_run_comes_back_if_a_swap_was_cut(tmp_path, source):
    (tmp_path / f".fails.{2**22 + 1}.old").mkdir()
    (tmp_path / f".fails.{2**22 + 1}.old" / "report.html").write_text("good")
    run_notebook(FAILS, source, tmp_path, parameters={"how": "error"})
    assert (tmp_path / "fails" / "report.html").read_text() == "good"


def test_the_page_escapes_names_and_foreign_html(english):
    page = english.report.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&#34;x&#34;)" in page or "&lt;script&gt;alert(&quot;x&quot;)" in page
    assert "<b>raw HTML</b>" not in page
    assert "javascript:alert" not in page
    assert "enable_charts" not in page  # no code is shown
    assert not re.findall(r"(?:src|href)=.?https?:", page.split("wb-library")[0])


def test_pages_speak_one_language(english, chinese):
    in_english, in_chinese = (run.report.read_text(encoding="utf-8") for run in (english, chinese))
    assert '<html lang="en">' in in_english
    assert '<html lang="zh-CN">' in in_chinese
    assert "哪个渠道" not in in_english.split('id="wb-library"')[0]
    assert "哪个渠道带来订单？" in in_chinese
    assert "Conversion by channel" not in in_chinese
    assert "观察所得" in in_chinese


def test_a_standard_report_is_small(english):
    assert Path(english.report).stat().st_size < 1_000_000
