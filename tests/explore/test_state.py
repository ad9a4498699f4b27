"""From a panel to files that the command line takes, and back."""

import shlex
from dataclasses import replace

import pytest
import yaml

from workbench import open_shop
from workbench.cli import _parameters
from workbench.errors import ParameterError, SourceError
from workbench.explore.question import QUESTIONS
from workbench.explore.state import (
    add_to_plan,
    command_line,
    load_parameters,
    parameters_text,
    save_parameters,
    source_of,
)
from workbench.report.manifest import versions
from workbench.report.plan import load_plan

NOTEBOOK = "slot_attribution"
SPECS = QUESTIONS["slots"].specs()
DEFAULTS = {spec.name: spec.default for spec in SPECS}
ASKED = DEFAULTS | {
    "start_date": "2026-03-05",
    "timezone": "Asia/Shanghai",
    "only_users": ["region=North", "gender=(unknown)"],
    "models": ["last", "first"],
    "lookback_hours": 48.5,
    "key_event": "view_item",
    "reset_after_order": False,
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.yml"


@pytest.fixture
def source(tmp_path):
    (tmp_path / "shop").mkdir()
    return str(tmp_path / "shop")


def add(file, name, values, source="", mapping=""):
    return add_to_plan(file, name, NOTEBOOK, SPECS, values, source, mapping, "en")


class TestParametersFile:
    def test_it_holds_what_differs_and_says_of_what_it_is(self):
        head, *lines = parameters_text(NOTEBOOK, SPECS, ASKED).splitlines()
        assert head == f"# workbench parameters of slot_attribution, version {versions()['workbench']}"
        assert [line.split(":")[0] for line in lines] == [name for name in ASKED if ASKED[name] != DEFAULTS[name]]

    def test_the_command_line_reads_it_as_it_was(self, file):
        save_parameters(file, NOTEBOOK, SPECS, ASKED, "en")
        assert DEFAULTS | _parameters(None, file) == ASKED

    def test_it_comes_back_as_it_was(self, file):
        for values in (ASKED, DEFAULTS):
            save_parameters(file, NOTEBOOK, SPECS, values, "en")
            assert load_parameters(file, NOTEBOOK, SPECS, "en") == values

    def test_another_file_is_not_overwritten(self, file):
        file.write_text("price list\n")
        with pytest.raises(ParameterError, match="another file and was left as it is"):
            save_parameters(file, NOTEBOOK, SPECS, ASKED, "en")
        assert file.read_text() == "price list\n"

    def test_that_of_another_notebook_is_refused(self, file):
        save_parameters(file, "coupon_evaluation", QUESTIONS["coupons"].specs(), QUESTIONS_DEFAULTS, "en")
        with pytest.raises(ParameterError, match="parameters of coupon_evaluation, this panel is of slot_attribution"):
            load_parameters(file, NOTEBOOK, SPECS, "en")
        with pytest.raises(ParameterError, match="本面板属于 slot_attribution"):
            load_parameters(file, NOTEBOOK, SPECS, "zh")

    def test_that_of_another_version_is_refused(self, file):
        file.write_text("# workbench parameters of slot_attribution, version 0.0.1\nlookback_hours: 24\n")
        with pytest.raises(ParameterError, match=r"written by version 0\.0\.1"):
            load_parameters(file, NOTEBOOK, SPECS, "en")

    def test_an_unknown_parameter_is_refused_with_a_hint(self, file):
        file.write_text("lookback_hour: 24\n")
        with pytest.raises(ParameterError, match='no parameter "lookback_hour", did you mean "lookback_hours"'):
            load_parameters(file, NOTEBOOK, SPECS, "en")

    def test_what_is_no_parameters_file_is_refused(self, file):
        with pytest.raises(ParameterError, match="There is no file"):
            load_parameters(file, NOTEBOOK, SPECS, "en")
        for content, words in ((b"a: [", "not YAML"), (b"- 1\n", "one name: value a line"), (b"\xff\xfe", "not UTF-8")):
            file.write_bytes(content)
            with pytest.raises(ParameterError, match=words):
                load_parameters(file, NOTEBOOK, SPECS, "en")

    def test_a_folder_that_is_not_there_is_told(self, tmp_path):
        with pytest.raises(SourceError, match="cannot be written"):
            save_parameters(tmp_path / "no" / "mine.yml", NOTEBOOK, SPECS, ASKED, "en")


QUESTIONS_DEFAULTS = {spec.name: spec.default for spec in QUESTIONS["coupons"].specs()}


class TestPlan:
    def test_a_new_plan_can_be_run_and_loaded(self, file, source):
        assert add(file, "north", ASKED, source) == "north"
        [request], _lang = load_plan(file)
        assert (request.name, request.notebook.stem, request.source) == ("north", NOTEBOOK, source)
        assert request.parameters == ASKED
        assert load_parameters(file, NOTEBOOK, SPECS, "en") == ASKED

    def test_every_line_that_is_there_stays(self, file, source):
        text = (
            f"# weekly\ndefaults:\n  source: {source}  # the shop\n  parameters: {{timezone: Asia/Shanghai}}\n"
            "runs:\n  # the first\n  - name: slots  # old\n    notebook: slot_attribution\n\n# the end"
        )
        file.write_text(text)
        assert add(file, "Slots", ASKED) == "Slots-2"
        assert add(file, "slots", DEFAULTS) == "slots-3"
        kept = file.read_text().splitlines()
        assert [line for line in kept if line in text.splitlines()] == text.splitlines()
        assert len(kept) == len(text.splitlines()) + 2
        requests, _lang = load_plan(file)
        assert [one.parameters for one in requests[1:]] == [ASKED, DEFAULTS]  # the plan's time zone must not creep in

    def test_a_default_of_the_plan_is_not_written_again(self, file, source):
        file.write_text(
            f"defaults: {{source: {source}, lang: zh, parameters: {{lookback_hours: 24}}}}\nruns:\n"
            "- {name: a, notebook: slot_attribution}\nother: 1\n".replace("other: 1\n", "")
        )
        add(file, "b", DEFAULTS | {"lang": "zh", "lookback_hours": 24})
        assert yaml.safe_load(file.read_text())["runs"][1] == {"name": "b", "notebook": NOTEBOOK}

    def test_the_mapping_goes_with_the_source(self, file, source):
        mapping = f"{source}.yml"
        add(file, "first", ASKED, source, mapping)
        add(file, "second", ASKED, source)
        requests, _lang = load_plan(file)
        assert [(one.source, one.mapping) for one in requests] == [(source, mapping), (source, None)]

    @pytest.mark.parametrize(
        ("shared", "mine", "written"),
        [
            ("m.yml", "m.yml", set()),  # those of the plan, which are meant from its folder
            ("m.yml", "", {"source"}),
            ("", "m.yml", {"source", "mapping"}),
            ("m.yml", "n.yml", {"source", "mapping"}),
        ],
    )
    def test_a_mapping_of_the_plan_reaches_no_data_that_have_another(self, file, source, shared, mine, written):
        mapping = f", mapping: {shared}" if shared else ""
        file.write_text(f"defaults: {{source: shop{mapping}}}\nruns:\n- {{name: a, notebook: slot_attribution}}\n")
        add(file, "b", DEFAULTS, source, mine and str(file.parent / mine))
        assert set(yaml.safe_load(file.read_text())["runs"][1]) == {"name", "notebook"} | written
        requests, _lang = load_plan(file)
        assert (requests[1].mapping or "").rpartition("/")[2] == mine

    def test_days_of_the_plan_do_not_creep_in(self, file, source):
        file.write_text(
            f"defaults: {{source: {source}, period: last_week}}\nruns:\n- {{name: a, notebook: {NOTEBOOK}}}\n"
        )
        add(file, "all", DEFAULTS)
        add(file, "since", ASKED)
        requests, _lang = load_plan(file)
        assert requests[0].parameters["start_date"] is not None
        assert [one.parameters for one in requests[1:]] == [DEFAULTS, ASKED]

    def test_runs_may_stand_before_the_defaults(self, file, source):
        file.write_text(f"runs:\n- name: a\n  notebook: slot_attribution\ndefaults:\n  source: {source}\n")
        add(file, "b", ASKED)
        assert [run["name"] for run in yaml.safe_load(file.read_text())["runs"]] == ["a", "b"]
        assert file.read_text().endswith(f"defaults:\n  source: {source}\n")

    @pytest.mark.parametrize(
        "runs",
        ["runs: [{name: a, notebook: slot_attribution}]\n", "runs:\n  [{name: a, notebook: slot_attribution}]\n"],
    )
    def test_a_plan_that_cannot_be_kept_is_left_alone(self, file, source, runs):
        text = f"defaults: {{source: {source}}}\n{runs}"
        file.write_text(text)
        with pytest.raises(ParameterError, match="It was left as it is") as caught:
            add(file, "b", ASKED)
        assert "notebook: slot_attribution" in str(caught.value)
        assert file.read_text() == text

    def test_what_is_no_plan_is_left_alone(self, file, source):
        file.write_text("lookback_hours: 3\n")
        with pytest.raises(ParameterError, match="not a plan"):
            add(file, "b", ASKED, source)

    def test_a_plan_with_faults_is_left_alone(self, file, source):
        text = f"runs:\n  - {{name: a, notebook: slot_atribution, source: {source}}}\n"
        file.write_text(text)
        with pytest.raises(ParameterError, match='no notebook "slot_atribution"'):
            add(file, "b", ASKED, source)
        assert file.read_text() == text
        assert [one.name for one in file.parent.glob("*.yml")] + [one.name for one in file.parent.glob(".*")] == [
            file.name
        ]

    def test_without_a_source_nothing_is_written(self, file):
        with pytest.raises(ParameterError, match="where the data of this shop are"):
            add(file, "b", ASKED)
        assert not file.exists()

    def test_a_name_that_cannot_be_a_folder_is_refused(self, file, source):
        with pytest.raises(ParameterError):
            add(file, "../up", ASKED, source)

    def test_of_several_runs_one_must_be_named(self, file, source):
        add(file, "one", ASKED, source)
        add(file, "two", DEFAULTS, source)
        with pytest.raises(ParameterError, match="which run"):
            load_parameters(file, NOTEBOOK, SPECS, "en")
        assert load_parameters(file, NOTEBOOK, SPECS, "en", "two") == DEFAULTS
        with pytest.raises(ParameterError, match="one, two"):
            load_parameters(file, NOTEBOOK, SPECS, "en", "three")

    def test_a_plan_without_a_run_of_the_notebook_is_refused(self, file, source):
        add(file, "one", ASKED, source)
        with pytest.raises(ParameterError, match="no run of coupon_evaluation"):
            load_parameters(file, "coupon_evaluation", QUESTIONS["coupons"].specs(), "en")


def test_the_command_says_the_same():
    words = shlex.split(command_line(NOTEBOOK, SPECS, ASKED, "my shop"))
    assert words[:6] == ["workbench", "run", NOTEBOOK, "my shop", "--out", "out"]
    assert set(words[6::2]) == {"-p"}
    assert DEFAULTS | _parameters(words[7::2], None) == ASKED


def test_the_command_names_the_mapping():
    words = shlex.split(command_line(NOTEBOOK, SPECS, DEFAULTS, "my shop", "my mapping.yml"))
    assert words == ["workbench", "run", NOTEBOOK, "my shop", "--out", "out", "--mapping", "my mapping.yml"]


def test_a_shop_is_found_again_from_any_folder(small_folder, tmp_path, monkeypatch):
    (tmp_path / "m.yml").write_text("timezone: Asia/Shanghai\n", encoding="utf-8")
    monkeypatch.chdir(small_folder.parent)
    shop = open_shop(small_folder.name, tmp_path / "m.yml")
    assert source_of(shop) == (str(small_folder), str(tmp_path / "m.yml"))
    assert source_of(replace(shop, source="clickhouse://me@host/shop", mapping="")) == ("clickhouse://me@host/shop", "")
