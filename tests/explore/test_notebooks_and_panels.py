"""The notebooks by hand: every cell shows what it should, and their panels go on with the same numbers."""

import json
from dataclasses import replace

import altair as alt
import ipywidgets
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from workbench import explore
from workbench.cli import _parameters
from workbench.errors import ParameterError
from workbench.explore.drill import content_products, slot_contents
from workbench.explore.question import QUESTIONS
from workbench.glossary import metric
from workbench.report.charts import LIVE_WIDTH, enable_charts
from workbench.report.notebook import find_notebook
from workbench.report.parameters import read_parameters
from workbench.report.publish import write_csv

ASKED = {
    "slots": {
        "start_date": "2026-03-10",
        "only_users": ["gender=female"],
        "models": ["last", "linear"],
        "targets": ["purchase"],
        "bootstrap_replicates": 200,
    },
    "coupons": {"end_date": "2026-05-20", "outcomes": ["buyer_rate"], "outcome_days": [30], "subsidy_limit": 0.15},
    "channels": {"conversion_days": 14, "confidence_level": 0.9, "only_users": ["region=North", "region=South"]},
    "users": {"window_days": 28, "period_days": 14, "only_users": ["device=ios"]},
    "sales": {"start_date": "2026-06-07", "end_date": "2026-06-14", "segment_by": "region"},
}


def by_hand(notebook, parameters):
    """Run the code cells as somebody in JupyterLab does; gives their names and what each cell gave."""
    shell, gave = InteractiveShell(), {}
    shell.colors = "nocolor"
    for cell in json.loads(find_notebook(notebook).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        with capture_output() as heard:
            done = shell.run_cell(source)
        assert done.success, (source, done.error_in_exec)
        assert "Traceback" not in heard.stdout + heard.stderr, (source, heard.stdout + heard.stderr)
        gave[source] = done.result
        if "parameters" in cell["metadata"].get("tags", []):
            shell.user_ns |= {one.name: one.default for one in read_parameters(source, notebook)} | parameters
    return shell.user_ns, gave


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.slow
def test_a_panel_its_parameters_file_and_the_notebook_say_the_same(name, panels, small_folder, tmp_path, monkeypatch):
    """The panel's own answer, what the notebook writes with the saved file, and the panel that the notebook shows."""
    question = QUESTIONS[name]
    panel = panels(question, timezone="Asia/Shanghai", **ASKED[name]).settle()
    assert panel.error == ""
    panel.save(tmp_path / "kept.yml")
    kept = _parameters(None, tmp_path / "kept.yml")  # as ``workbench run -f`` reads it
    assert kept == {"timezone": "Asia/Shanghai", **ASKED[name]}

    monkeypatch.setenv("WORKBENCH_SOURCE", str(small_folder))
    monkeypatch.setenv("WORKBENCH_OUT", str(tmp_path / "out"))
    names, gave = by_hand(question.notebook, kept)

    assert len(panel.analysis.tables) >= 7
    for table, frame in panel.analysis.tables.items():
        write_csv(frame, tmp_path / "shown.csv")
        shown, written = (pd.read_csv(one) for one in (tmp_path / "shown.csv", tmp_path / f"out/tables/{table}.csv"))
        pd.testing.assert_frame_equal(shown, written, rtol=1e-9, atol=1e-9)
    findings = json.loads((tmp_path / "out/findings.json").read_text(encoding="utf-8"))
    assert panel.analysis.headline.verdict == findings["verdict"]
    assert [one.text for one in panel.analysis.findings] == [one["text"] for one in findings["findings"]]

    goes_on = gave[next(source for source in gave if source.startswith("wb.explore."))]
    assert not goes_on.is_busy  # nothing was asked a second time
    assert goes_on.analysis is names["analysis"]
    assert goes_on.parameters == panel.parameters
    goes_on.close()


def test_a_panel_takes_what_an_analysis_was_asked_with_unless_told_otherwise(panels, shop):
    channel = pytest.importorskip("workbench.channel")
    asked = {"timezone": "Asia/Shanghai", "repurchase_days": (7, 30), "lang": "zh"}
    analysis = channel.compare_channels(shop, **asked, only_users=("device=ios",))
    assert analysis.parameters["repurchase_days"] == (7, 30)
    assert analysis.parameters["conversion_days"] == 30  # its default
    assert "shop" not in analysis.parameters
    panel = explore.channels(shop, analysis)
    assert panel.analysis is analysis
    assert panel.lang == "zh"
    assert {name: panel.parameters[name] for name in ("repurchase_days", "only_users")} == {
        "repurchase_days": [7, 30],
        "only_users": ["device=ios"],
    }
    other = explore.channels(shop, analysis, view="segments", conversion_days=14)
    assert other.is_busy
    assert other.settle().analysis is not analysis
    assert (other.parameters["conversion_days"], other.parameters["repurchase_days"]) == (14, [7, 30])
    for one in (panel, other):
        one.close()
    with pytest.raises(ParameterError, match="这是 channel_comparison 的分析，本面板属于 sales_overview"):
        explore.sales(shop, analysis)
    with pytest.raises(ParameterError, match="无法得知它是用哪些参数得到的"):
        explore.channels(shop, replace(analysis, parameters={}))


def test_a_chart_in_a_notebook_has_a_width_and_passes_altairs_own_check():
    """What takes the width of its page would be drawn with none in JupyterLab, and a refused one leaves a traceback."""
    enable_charts()
    of_page = alt.Chart(pd.DataFrame({"a": [1]}), width="container").mark_point().encode(x="a:Q")
    bundle, _metadata = of_page.properties(height=80)._repr_mimebundle_()
    model = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    drawn = ipywidgets.widgets.widget._instances[model].chart.to_dict()
    assert (drawn["width"], drawn["height"]) == (LIVE_WIDTH, 80)
    assert drawn["config"]["background"] == "transparent"


def test_tables_that_only_panels_show_are_defined(shop):
    parameters = {spec.name: spec.default for spec in QUESTIONS["slots"].specs()}
    for make in (slot_contents, content_products):
        table = make(shop, parameters, {})
        assert len(table)
        assert [one for one in (make.__name__, *table.columns) if metric(one, make.__name__) is None] == []
