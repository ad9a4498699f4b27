import json
from pathlib import Path

import pytest
from report_places import NOTEBOOKS

from workbench.errors import ParameterError
from workbench.report.plan import load_plan, plan_schema, read_yaml

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
        (
            "runs: [{name: a, name: b, notebook: DEMO, source: x}]",
            '"name" stands twice in line 1; keep one.',
        ),
        ("runs: []\nruns: [{name: b, notebook: DEMO, source: x}]", '"runs" stands twice in line 2; keep one.'),
        (
            'runs:\n- name: "{region}"\n  notebook: DEMO\n  source: x\n  matrix: {region: [SE, NO]}',
            'line 5: {region}: region: YAML reads NO as false. If it is a text, put it in quotes: "NO".',
        ),
        (
            'runs:\n- name: "{region}"\n  notebook: DEMO\n  source: x\n  matrix: {region: [7, 010]}',
            'YAML reads 010 as 8. If it is a text, put it in quotes: "010".',
        ),
        ('runs: [{name: "{on}", notebook: DEMO, source: x, matrix: {on: [1]}}]', "YAML reads a key as true."),
        ("runs: [{name: a, notebook: DEMO, source: x, matrix: [x, y]}]", "each key has a list of values"),
        ("runs: [{name: a, notebook: DEMO, source: x, matrix: {region: 5}}]", "each key has a list of values"),
        ("runs: [{name: a, notebook: DEMO, source: x, period: [1]}]", "a: period"),
        ("runs: [{name: a, notebook: DEMO, source: x, period: 03742}]", "period: YAML reads 03742 as 2018."),
        ("runs: [{name: a, notebook: DEMO, source: x, period: 0b_}]", "a number cannot be read"),
        ("runs: [{name: a, notebook: DEMO, source: 'db://me:p[ss@host/shop'}]", "the URL db://… cannot be read"),
        ("runs: [{name: a, notebook: DEMO, source: x, annotations: '~nobody-at-all/x.csv'}]", "is not there"),
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


def test_a_matrix_becomes_runs_and_defaults_reach_them(tmp_path):
    requests, _ = load(
        tmp_path,
        "defaults: {source: here, period: 2026-W46}\n"
        "runs:\n- name: 'a-{days}-{lang}'\n  notebook: DEMO\n  matrix: {days: [24, 48], lang: [en, zh]}\n"
        "  parameters: {lookback_hours: '{days}'}\n",
    )
    assert [one.name for one in requests] == ["a-24-en", "a-24-zh", "a-48-en", "a-48-zh"]
    assert [one.parameters["lookback_hours"] for one in requests] == [24, 24, 48, 48]
    assert {one.parameters["start_date"] for one in requests} == {"2026-11-09"}
    assert [one.lang for one in requests] == ["en", "zh"] * 2


def test_a_run_s_own_days_hold_against_the_period_of_the_defaults(tmp_path):
    requests, _ = load(
        tmp_path,
        "defaults: {source: here, period: 2026-W46, parameters: {lookback_hours: 24}}\nruns:\n"
        "- {name: a, notebook: DEMO, parameters: {start_date: 2026-01-01}}\n- {name: b, notebook: DEMO, period: 2026}\n",
    )
    assert [one.parameters["start_date"] for one in requests] == ["2026-01-01", "2026-01-01"]
    assert [one.parameters["end_date"] for one in requests] == [None, "2027-01-01"]


def test_reports_on_the_same_days_and_users_lead_to_each_other(tmp_path):
    requests, _ = load(
        tmp_path,
        "defaults: {source: here, period: 2026-W46}\nruns:\n- {name: a, notebook: DEMO}\n- {name: b, notebook: DEMO}\n"
        "- {name: c, notebook: DEMO, period: 2026-W45}\n- {name: d, notebook: DEMO, lang: zh}\n",
    )
    assert [[name for name, _ in one.related] for one in requests] == [["b"], ["a"], [], []]


def test_each_fault_names_its_line(tmp_path):
    with pytest.raises(ParameterError) as caught:
        load(
            tmp_path,
            "defaults:\n  source: x\n  parameters:\n    lookback_hour: 1\n"
            "runs:\n  - name: a\n    notebook: DEMO\n    parameters:\n      windows: 7\n      lookback_hour: 2\n"
            "  - {name: b, notebook: nope}\n",
        )
    rows = str(caught.value).splitlines()[1:]
    assert [row.split(":")[0] for row in rows] == ["line 4", "line 10", "line 11"]


def test_the_same_fault_of_a_matrix_is_told_once(tmp_path):
    with pytest.raises(ParameterError) as caught:
        load(
            tmp_path,
            "runs:\n- {name: 'a-{lang}', notebook: DEMO, source: x, matrix: {lang: [en, zh]},\n"
            "   parameters: {lookback_hour: 1}}\n",
        )
    assert "1 fault;" in str(caught.value)
    assert "line 3: a-en and 1 more: demo: There is no parameter" in str(caught.value)


def test_thousands_of_runs_are_asked_for_twice(tmp_path):
    text = (
        "runs: [{name: 'a-{one}-{two}', notebook: DEMO, source: x, matrix: "
        f"{{one: {list(range(40))}, two: {list(range(30))}}}}}]\n"
    )
    with pytest.raises(ParameterError, match=r"this plan has 1,200 runs; nothing was started.*--yes"):
        load(tmp_path, text)


def test_the_schema_for_editors_is_that_of_the_plan():
    path = Path(__file__).parents[2] / "docs" / "plan.schema.json"
    assert json.loads(path.read_text()) == plan_schema(), "run: python -m workbench.report.plan > docs/plan.schema.json"


@pytest.mark.parametrize(
    ("plan", "is_valid"),
    [
        ({"runs": [{"name": "a", "notebook": "slot_attribution"}]}, True),
        (
            {"runs": [{"name": "{lang}", "matrix": {"lang": ["en"], "notebook": ["a"]}}], "defaults": {"period": 2026}},
            True,
        ),
        ({"runs": [{"name": "a", "notebok": "slot_attribution"}]}, False),
        ({"runs": []}, False),
        ({"runs": [{"name": "a", "lang": "fr"}]}, False),
    ],
)
def test_an_editor_tells_good_plans_from_bad_ones(plan, is_valid):
    import jsonschema

    assert jsonschema.Draft202012Validator(plan_schema()).is_valid(plan) == is_valid


def test_what_yaml_allows_stays_allowed(tmp_path):
    [one] = load(tmp_path, "runs: [{name: a, notebook: DEMO, source: x, period: }]")[0]
    assert one.name == "a"
    several, _ = load(
        tmp_path,
        'runs: [{name: "a-{level}", notebook: DEMO, source: x, matrix: {level: [0.10, 0.20]}, comment: "above {level}"}]',
    )
    assert [one.name for one in several] == ["a-0.1", "a-0.2"]
    merged = "x: &p {a: 1, b: &q {c: 1}}\ny: {b: {<<: *q, c: 2}, <<: *p}\n"
    assert read_yaml(merged, "x")["y"] == {"a": 1, "b": {"c": 2}}
