"""Panels: what is set is asked, what is clicked leads on, what fails is told in words, and the way back is there."""

import asyncio
import os
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest
from fake_question import SLOW, answer_of, run_apart

from workbench import explore, open_shop
from workbench.errors import ParameterError
from workbench.explore import charts
from workbench.explore.panel import Pick
from workbench.explore.question import QUESTIONS
from workbench.report.manifest import versions


def type_days(panel, text):
    panel.form.controls["days"].inputs[0].value = text


def views(panel):
    return [step.view for step in panel.steps]


def clicked(panel, **value):
    """What the front end sends after a click."""
    panel.picture._vl_selections = {charts.PICK: {"value": {"vlPoint": {"or": [value]}}, "store": [{}]}}


def brushed(panel, first, last):
    days = [pd.Timestamp(one).timestamp() * 1000 for one in (first, last)]
    panel.picture._vl_selections = {charts.BRUSH: {"value": {"date": days}, "store": [{}]}}


class TestAsking:
    def test_the_first_answer_shows_picture_table_verdict_and_findings(self, panels, fake):
        panel = panels(fake()).settle()
        assert panel.frame["user_count"].tolist() == [7, 14, 21]
        [rows] = panel.chart.to_dict()["datasets"].values()
        assert [row["user_count"] for row in rows] == [21, 14, 7]
        assert "Bee" in panel.table.value
        assert "7 days asked" in panel.verdict.value
        assert "found 7" in panel.findings.value
        assert "answered in" in panel.status.value

    def test_a_control_asks_anew(self, panels, fake):
        panel = panels(fake()).settle()
        type_days(panel, "30")
        assert "asking" in panel.status.value
        panel.settle()
        assert panel.parameters["days"] == 30
        assert panel.frame["user_count"].tolist() == [30, 60, 90]
        assert "30 days asked" in panel.verdict.value

    def test_parameters_given_are_set_and_wrong_ones_refused_at_once(self, panels, fake):
        assert panels(fake(), days=3).settle().frame["user_count"].tolist() == [3, 6, 9]
        with pytest.raises(ParameterError, match='no parameter "day", did you mean "days"'):
            panels(fake(), day=3)

    def test_answers_arrive_on_the_event_loop(self, panels, fake):
        async def ask():
            panel = panels(fake())
            for _ in range(1000):
                await asyncio.sleep(0.02)
                if not panel.is_busy:
                    return panel
            raise TimeoutError

        assert "7 days asked" in run_apart(ask()).verdict.value

    def test_a_control_that_is_told_of_in_another_thread_keeps_telling_how_long_it_takes(self, panels, fake):
        """JupyterLab hands over what is done to controls in a thread of its own, beside the loop of the cells."""

        def query(parameters):
            if parameters["days"] == 30:
                parameters["shop"].collect(parameters["shop"].engine.backend.sql(SLOW))
            return answer_of(parameters)

        async def ask():
            panel = panels(fake(query))
            for words, act in (
                ("answered in", lambda: type_days(panel, "30")),
                ("asking … 1 s", panel.stop.click),
                ("Cancelled", lambda: None),
            ):
                for _ in range(2000):
                    if words in panel.status.value:
                        break
                    await asyncio.sleep(0.01)
                else:
                    raise TimeoutError(f"{words}: {panel.status.value}")
                await asyncio.to_thread(act)

        run_apart(ask())

    def test_fast_typing_asks_once_and_leaves_one_step(self, panels, fake):
        asked = []
        panel = panels(fake(lambda p: asked.append(p["days"]) or answer_of(p))).settle()
        for number in range(10, 25):
            type_days(panel, str(number))
        panel.settle()
        assert asked == [7, 24]
        assert [step.parameters["days"] for step in panel.steps] == [7, 24]

    def test_the_newest_question_wins_over_a_slow_one(self, panels, fake):
        def slow_with_thirty(parameters):
            if parameters["days"] == 30:
                time.sleep(0.6)
            return answer_of(parameters)

        panel = panels(fake(slow_with_thirty)).settle()
        type_days(panel, "30")
        time.sleep(0.3)
        type_days(panel, "31")
        panel.settle()
        time.sleep(0.5)
        assert panel.verdict.value.count("31 days asked") == 1
        assert [step.parameters["days"] for step in panel.steps] == [7, 31]

    def test_a_slow_query_is_cancelled_and_tried_again(self, panels, fake):
        be_slow = [True]

        def query(parameters):
            if parameters["days"] == 30 and be_slow[0]:
                parameters["shop"].collect(parameters["shop"].engine.backend.sql(SLOW))
            return answer_of(parameters)

        panel = panels(fake(query)).settle()
        type_days(panel, "30")
        time.sleep(0.6)
        panel.stop.click()
        assert "Cancelled. What is shown is the answer before." in panel.status.value
        assert "7 days asked" in panel.verdict.value
        assert panel.again.layout.display == ""
        be_slow[0] = False
        begun = time.monotonic()
        panel.again.click()
        panel.settle()
        assert time.monotonic() - begun < 5
        assert "30 days asked" in panel.verdict.value
        assert panel.again.layout.display == "none"


class TestErrors:
    def test_what_cannot_be_a_value_is_told_and_the_panel_goes_on(self, panels, fake):
        panel = panels(fake()).settle()
        type_days(panel, "many")
        assert "is not a number" in panel.status.value
        assert "wb-explore-error" in panel.status.value
        assert "7 days asked" in panel.verdict.value
        type_days(panel, "9")
        panel.settle()
        assert "9 days asked" in panel.verdict.value

    def test_back_to_the_value_shown_takes_the_message_away(self, panels, fake):
        panel = panels(fake()).settle()
        type_days(panel, "many")
        type_days(panel, "7")
        panel.settle()
        assert "answered in" in panel.status.value
        assert panel.error == ""
        assert len(panel.steps) == 1

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (ParameterError("days is too long for these data."), "days is too long for these data."),
            (ZeroDivisionError("division by zero"), "The analysis failed: ZeroDivisionError: division by zero"),
        ],
    )
    def test_an_error_of_the_analysis_is_words_and_the_panel_goes_on(self, panels, fake, error, words):
        def fails(parameters):
            if parameters["days"] == 30:
                raise error
            return answer_of(parameters)

        panel = panels(fake(fails)).settle()
        type_days(panel, "30")
        panel.settle()
        assert panel.error == words
        assert "What is shown is the answer before." in panel.status.value
        assert "Traceback" not in panel.status.value
        type_days(panel, "8")
        panel.settle()
        assert "8 days asked" in panel.verdict.value
        assert [step.parameters["days"] for step in panel.steps] == [7, 8]

    def test_a_table_that_vanished_is_told_and_the_panel_goes_on(self, panels, tmp_path, small_folder):
        folder = shutil.copytree(small_folder, tmp_path / "spring")
        panel = panels(QUESTIONS["channels"], open_shop(folder)).settle()
        (folder / "events.parquet").rename(folder / "away")
        panel.set(conversion_days=14)
        panel.settle()
        assert panel.error.startswith("The data of spring can no longer be read")
        assert not panel.frame.empty
        panel.set(lang="zh")
        panel.settle()
        assert panel.error.startswith("无法再读取 spring 的数据：文件或表已不存在或被替换")
        (folder / "away").rename(folder / "events.parquet")
        panel.again.click()
        panel.settle()
        assert panel.error == ""

    @pytest.mark.parametrize(
        ("lang", "words"), [("en", 'only_users: no user has region "Nowhere"'), ("zh", "没有符合所选条件的用户")]
    )
    def test_nobody_left_is_told(self, panels, lang, words):
        panel = panels(QUESTIONS["users"], lang=lang).settle()
        panel.set(only_users=["region=Nowhere"])
        panel.settle()
        assert panel.error.startswith(words)
        assert words.split(":")[0] in panel.status.value

    @pytest.mark.parametrize(
        ("lang", "words"),
        [
            ("en", "No paid order from 2031-01-01 to 2031-01-31; the data reach from"),
            ("zh", "2031-01-01 至 2031-01-31"),
        ],
    )
    def test_a_date_outside_the_data_is_told(self, panels, lang, words):
        panel = panels(QUESTIONS["sales"], lang=lang).settle()
        panel.set(start_date="2031-01-01", end_date="2031-02-01")
        panel.settle()
        assert words in panel.verdict.value
        assert panel.error == ""
        assert panel.chart is None

    @pytest.mark.parametrize(
        ("head", "en", "zh"),
        [
            ("other, version {now}", "these are parameters of other, this panel is of fake", "本面板属于 fake"),
            ("fake, version 0.0.1", "written by version 0.0.1", "由版本 0.0.1 写出"),
        ],
    )
    def test_a_file_of_another_notebook_or_version_is_told_and_changes_nothing(
        self, panels, fake, tmp_path, head, en, zh
    ):
        file = tmp_path / "kept.yml"
        file.write_text(f"# workbench parameters of {head.format(now=versions()['workbench'])}\ndays: 30\n")
        for lang, words in (("en", en), ("zh", zh)):
            panel = panels(fake(), lang=lang).settle()
            panel.file.value = str(file)
            panel._load()
            assert words in panel.kept.value
            assert "wb-explore-error" in panel.kept.value
            assert panel.parameters["days"] == 7
            assert not panel.is_busy


class TestDrilling:
    def test_a_click_opens_the_next_view_of_what_was_clicked(self, panels, fake):
        panel = panels(fake()).settle()
        clicked(panel, thing_id="a")
        panel.settle()
        assert panel.step.view == "parts"
        assert panel.step.picks == (Pick("thing_id", ("a",)),)
        assert panel.frame["part"].tolist() == ["x", "y"]
        assert "Ant ✕" in panel.picks.children[0].description

    def test_several_can_be_clicked(self, panels, fake):
        panel = panels(fake()).settle()
        panel.pick("a", "b")
        panel.settle()
        assert panel.frame["part"].tolist() == ["x", "y", "x"]

    def test_the_keyboard_picks_from_a_list(self, panels, fake):
        panel = panels(fake()).settle()
        assert panel.choose.options[1:] == (("Ant · a", "a"), ("Bee · b", "b"), ("Cat · c", "c"))
        panel.choose.value = "b"
        panel.settle()
        assert panel.frame["part"].tolist() == ["x"]

    def test_nothing_left_is_told_and_no_picture_shown(self, panels, fake):
        panel = panels(fake()).settle()
        panel.pick("c")
        panel.settle()
        assert panel.frame.empty
        assert panel.chart is None
        assert "Nothing is left" in panel.note.value

    def test_a_view_that_the_pick_does_not_divide_says_so(self, panels, fake):
        panel = panels(fake()).settle()
        panel.pick("a")
        panel.settle()
        panel.show("apart")
        panel.settle()
        assert len(panel.frame) == 1
        assert "cannot be divided" in panel.note.value

    def test_back_and_reset_and_dropping_a_pick(self, panels, fake):
        panel = panels(fake()).settle()
        assert panel.back_button.disabled
        type_days(panel, "5")
        panel.settle()
        panel.pick("a")
        panel.settle()
        assert [one.description for one in panel.trail.children[2:]] == ["Things", "Days 5", "a → Parts"]
        panel.picks.children[0].click()
        panel.settle()
        assert len(panel.frame) == 3
        assert panel.frame["user_count"].tolist() == [5, 1, 2]
        panel.back_button.click()
        panel.settle()
        assert panel.step.picks == (Pick("thing_id", ("a",)),)
        assert panel.frame["part"].tolist() == ["x", "y"]
        panel.back()
        panel.back()
        panel.settle()
        assert panel.form.controls["days"].inputs[0].value == "7"
        assert views(panel) == ["things"]
        panel.pick("b")
        panel.settle()
        panel.reset_button.click()
        panel.settle()
        assert len(panel.steps) == 1
        assert panel.frame["user_count"].tolist() == [7, 14, 21]

    def test_the_way_back_asks_no_query(self, panels, fake):
        asked = []
        panel = panels(fake(lambda p: asked.append(p["days"]) or answer_of(p))).settle()
        type_days(panel, "5")
        panel.settle()
        panel.pick("a")
        panel.settle()
        panel.back()
        panel.back()
        assert not panel.is_busy
        assert asked == [7, 5]

    def test_a_late_click_on_a_chart_that_is_gone_is_nothing(self, panels, fake):
        panel = panels(fake()).settle()
        panel.show("apart")
        panel.settle()
        clicked(panel, thing_id="a")
        assert panel.step.view == "apart"


class TestLanguage:
    def test_a_panel_speaks_chinese(self, panels):
        panel = panels(QUESTIONS["channels"], lang="zh").settle()
        assert "用时" in panel.status.value
        assert panel.form.controls["conversion_days"].inputs[0].description == "转化窗口 [天]"
        assert panel.views.options[0][0] == "转化率"
        assert panel.back_button.description == "← 返回"
        panel.form.controls["channel_basis"].inputs[0].value = "session"
        assert panel.trail.children[-1].description == "渠道口径 会话"

    def test_the_language_can_be_changed_in_the_form(self, panels, fake):
        panel = panels(fake()).settle()
        panel.form.controls["lang"].inputs[0].value = "zh"
        panel.settle()
        assert panel.views.options[0][0] == "东西"
        assert "用时" in panel.status.value
        assert "Bee" in panel.table.value


class TestKeeping:
    def test_saved_parameters_put_the_panel_back(self, panels, fake, tmp_path):
        panel = panels(fake()).settle()
        type_days(panel, "5")
        panel.settle()
        panel.save(tmp_path / "kept.yml")
        panel.reset()
        panel.load(tmp_path / "kept.yml")
        panel.settle()
        assert panel.parameters["days"] == 5
        assert panel.frame["user_count"].tolist() == [5, 10, 15]

    def test_buttons_say_what_happened(self, panels, fake, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        panel = panels(fake()).settle()
        panel._load()
        assert "There is no file" in panel.kept.value
        assert "wb-explore-error" in panel.kept.value
        panel._save()
        assert "Saved" in panel.kept.value
        panel._load()
        assert "Loaded: fake.parameters.yml" in panel.kept.value

    def test_the_command_line_follows_the_form(self, panels, shop):
        panel = panels(QUESTIONS["channels"]).settle()
        panel.set(conversion_days=14)
        assert panel.command.value.endswith("-p conversion_days=14</code>")
        assert str(shop.folder) in panel.command.value


@pytest.mark.parametrize("name", ["channels", "users", "sales"])
def test_every_view_and_every_way_down_shows_something(panels, name):
    check_every_way(panels(QUESTIONS[name]).settle())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slots", "coupons"])
def test_every_view_and_every_way_down_of_the_others_shows_something(panels, name):
    check_every_way(panels(QUESTIONS[name]).settle(120))


def check_every_way(panel):
    ways = set()
    for view in panel.question.views:
        panel.reset()
        panel.settle()
        panel.show(view.name)
        panel.settle()
        assert panel.error == "", view.name
        assert view.query or view.table in panel.analysis.tables
        if not view.pick or len(panel.choose.options) < 2:
            continue
        value = panel.choose.options[1][1]
        panel.choose.value = value
        panel.settle()
        assert panel.step.view == (view.leads_to[0] if view.leads_to else view.name)
        column = panel.question.column_of(view.pick, panel.parameters)
        narrowed = panel.parameters["only_users"] == [f"{column}={value}"]
        assert narrowed or panel.step.picks == (Pick(column, (value,)),)
        if (column, view.leads_to) in ways:
            continue
        ways.add((column, view.leads_to))
        for target in view.leads_to:
            panel.show(target)
            panel.settle()
            assert panel.error == "", (view.name, target)
            assert "cannot be divided" not in panel.note.value or narrowed, (view.name, target)


class TestChannels:
    def test_channel_to_segment_to_cohort_asks_for_these_users(self, panels):
        panel = panels(QUESTIONS["channels"]).settle()
        channel, whole = panel.choose.options[1][1], len(panel.frame)
        clicked(panel, channel=channel)
        panel.settle()
        assert panel.step.view == "segments"
        assert set(panel.frame["channel"]) == {channel}
        segment = panel.choose.options[1][1]
        clicked(panel, age_group=segment)
        panel.settle()
        assert panel.step.view == "cohorts"
        assert panel.parameters["only_users"] == [f"channel={channel}", f"age_group={segment}"]
        assert set(panel.frame["channel"]) <= {channel, "(all)"}
        assert segment in panel.users_fold.button.description
        panel.reset()
        panel.settle()
        assert len(panel.frame) == whole

    def test_a_channel_of_visits_does_not_narrow_users(self, panels):
        panel = panels(QUESTIONS["channels"], channel_basis="last").settle()
        panel.pick(panel.choose.options[1][1])
        panel.settle()
        assert "Ask again for these users alone" not in [
            getattr(one, "description", "") for one in panel.picks.children
        ]


def test_days_brushed_become_the_period(panels):
    panel = panels(QUESTIONS["sales"]).settle()
    assert charts.BRUSH in panel.picture._selection_types
    panel.picture.local_tz = "UTC"
    brushed(panel, "2026-04-01T09:00", "2026-04-10T15:00")
    panel.settle()
    assert (panel.parameters["start_date"], panel.parameters["end_date"]) == ("2026-04-02", "2026-04-11")
    assert panel.error == ""


def test_in_a_report_a_panel_is_nothing_and_imports_nothing():
    code = (
        "import sys\nfrom workbench import explore\n"
        "assert all(getattr(explore, name)(None) is None for name in explore.__all__)\n"
        "heavy = {'ipywidgets', 'altair', 'anywidget', 'ibis', 'pandas', 'workbench.explore.panel'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "WORKBENCH_MODE": "report"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_to_import_explore_costs_nothing():
    code = "import sys, workbench.explore\nassert not {'ipywidgets', 'altair', 'pandas'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_functions_make_the_panels(shop):
    panel = explore.sales(shop)
    assert panel.settle().question.name == "sales"
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()
    panel.close()
