import pytest
from report_places import NOTEBOOKS

from workbench.errors import ParameterError
from workbench.report.plan import load_plan, read_yaml

DEMO, FAILS = NOTEBOOKS / "demo.ipynb", NOTEBOOKS / "fails.ipynb"


def load(tmp_path, text):
    path = tmp_path / "plan.yml"
    path.write_text(text.replace("DEMO", f"'{DEMO}'").replace("FAILS", f"'{FAILS}'"), encoding="utf-8")
    return load_plan(path)


def test_defaults_reach_the_notebooks_that_have_them(tmp_path):
    requests, lang = load(
        tmp_path,
        "defaults: {source: here, lang: zh, parameters: {lookback_hours: 24, how: refuse}}\n"
        "runs:\n- {name: a, notebook: DEMO, lang: en, parameters: {start_date: 2026-03-01}}\n"
        "- {name: b, notebook: FAILS, source: there}\n",
    )
    first, second = requests
    assert (lang, first.lang, second.lang) == ("zh", "en", "zh")
    assert (first.parameters["lookback_hours"], first.parameters["start_date"]) == (24, "2026-03-01")
    assert (first.parameters["lang"], second.parameters["how"], second.source) == ("en", "refuse", "there")
    assert second.title == "A notebook that fails"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runs: [", "this is not YAML"),
        ("- 1", 'a plan has "runs"'),
        ("runs: []", "runs"),
        ("run: []\nruns: [{name: a, notebook: DEMO, source: x}]", 'plan: there is no "run", did you mean "runs"?'),
        ("runs: [{name: a, notebok: DEMO, source: x}]", 'a: there is no "notebok", did you mean "notebook"?'),
        ("runs: [{name: a, source: x}]", 'a: "notebook" is missing.'),
        ("runs: [{name: a, notebook: nope, source: x}]", 'a: notebook: there is no notebook "nope"'),
        ("runs: [{name: a, notebook: DEMO}]", 'a: "source" is missing.'),
        ("runs: [{name: a, notebook: DEMO, source: x, lang: fr}]", "a: lang: "),
        ("runs: [{name: 3, notebook: DEMO, source: x}]", "3: name: "),
        ("runs: [{name: ../a, notebook: DEMO, source: x}]", "cannot name a run"),
        (
            "runs: [{name: a, notebook: DEMO, source: x, parameters: {lookback_hour: 1}}]",
            'a: demo: There is no parameter "lookback_hour", did you mean "lookback_hours"?',
        ),
        (
            "defaults: {source: x, parameters: {lookback_hour: 1}}\nruns: [{name: a, notebook: DEMO}]",
            'defaults: no notebook of this plan has a parameter "lookback_hour", did you mean "lookback_hours"?',
        ),
        ("defaults: {sorce: x}\nruns: [{name: a, notebook: DEMO}]", 'defaults: there is no "sorce", did you mean'),
        (
            "defaults: {source: x}\nruns: [{name: a, notebook: DEMO}, {name: A, notebook: DEMO}]",
            "the name is used by more than one run",
        ),
    ],
)
def test_each_fault_of_a_plan_says_where_and_what_is_allowed(tmp_path, text, says):
    with pytest.raises(ParameterError) as caught:
        load(tmp_path, text)
    assert says in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path):
    with pytest.raises(ParameterError) as caught:
        load(
            tmp_path,
            "defaults: {source: x}\nruns:\n- {name: a, notebook: DEMO, parameters: {windows: 7}}\n"
            "- {name: b, notebook: nope}\n",
        )
    message = str(caught.value)
    assert "2 faults; nothing was started" in message
    assert "a: demo: windows is 7." in message
    assert "b: notebook:" in message


def test_days_in_yaml_stay_text():
    assert read_yaml("{a: 2026-03-01, b: [1, 2], c: null, d: 2026-03-01 10:00:00}", "x") == {
        "a": "2026-03-01", "b": [1, 2], "c": None, "d": "2026-03-01 10:00:00",
    }  # fmt: skip
