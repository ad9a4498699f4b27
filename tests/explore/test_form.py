"""Controls read from the notebooks: values pass the check of the command line unchanged, words are in both languages."""

from pathlib import Path

import ipywidgets as widgets
import pytest

from workbench.errors import ParameterError
from workbench.explore.form import Form, count_users, read_text
from workbench.explore.question import QUESTIONS
from workbench.explore.words import help_of, label_of, load_words
from workbench.report.notebook import load_notebook, parameters_of
from workbench.report.parameters import read_parameters

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
KINDS = """
from typing import Literal
start_date: str | None = None  # first day [day]
how: Literal["one", "two", "three"] = "one"  # a few
which: Literal["a", "b", "c", "d"] | None = None  # more
many: list[Literal["first", "last", "markov"]] = ["last", "first"]  # several
whole: int = 7  # a number [days]
some: float | None = None  # a number or nothing
yes: bool = True  # yes or no
names: list[str] | None = None  # names
days_list: list[int] = [30, 60]  # numbers
threshold: str | float | list[float] = "median"  # any of these
only_users: list[str] = []  # users
"""
COUNTS = {"region": [("North", 50), ("South", 30)], "channel": [(f"c{one}", 20 - one) for one in range(20)]}


@pytest.fixture
def changes():
    return []


@pytest.fixture
def form(changes):
    specs = read_parameters(KINDS, "demo")
    return Form(
        specs, "demo", "en", ("start_date", "many"), COUNTS, "2026-01-01 – 2026-02-01", lambda: changes.append(1)
    )


def type_into(form, name, value):
    form.controls[name].inputs[0].value = value


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_form_shows_the_defaults_of_its_notebook_and_gives_them_back(question, lang):
    form = Form(question.specs(), question.stem, lang, question.main, {}, "", lambda: None)
    assert form.values() == {spec.name: spec.default for spec in question.specs()}
    assert set(question.main) <= set(form.controls)


class TestKinds:
    def test_few_choices_are_buttons_and_many_a_list(self, form):
        assert isinstance(form.controls["how"].inputs[0], widgets.ToggleButtons)
        assert isinstance(form.controls["which"].inputs[0], widgets.Dropdown)
        assert form.controls["which"].inputs[0].options[-1][0] == "(none)"
        assert form.controls["which"].inputs[0].label == "(none)"
        assert form.values()["which"] is None
        type_into(form, "which", "c")
        assert form.values()["which"] == "c"

    def test_a_list_of_choices_keeps_the_order_in_which_they_stood(self, form):
        boxes = form.controls["many"].inputs
        assert form.values()["many"] == ["last", "first"]
        boxes[2].value = True
        assert form.values()["many"] == ["last", "first", "markov"]
        boxes[0].value = False
        assert form.values()["many"] == ["last", "markov"]

    def test_lines_of_text_are_read_when_left_not_with_each_key(self, form):
        texts = [one.inputs[0] for one in form.controls.values() if isinstance(one.inputs[0], widgets.Text)]
        assert len(texts) == 6
        assert not any(one.continuous_update for one in texts)

    def test_numbers_lists_and_nothing(self, form):
        for name, text, value in (
            ("whole", "14", 14),
            ("some", "0.5", 0.5),
            ("some", "", None),
            ("names", "a, b", ["a", "b"]),
            ("names", "", None),
            ("days_list", "7,  14", [7, 14]),
            ("threshold", "0.75", 0.75),
            ("threshold", "mean", "mean"),
            ("threshold", "6, 200", [6, 200]),
            ("start_date", "2026-01-05", "2026-01-05"),
        ):
            type_into(form, name, text)
            assert form.values()[name] == value, name

    def test_what_is_typed_wrong_is_said_with_the_control_s_name(self, form):
        type_into(form, "whole", "seven")
        with pytest.raises(ParameterError, match=r'Whole \[days\]: "seven" is not a number. Allowed: a whole number'):
            form.values()
        type_into(form, "whole", "")
        with pytest.raises(ParameterError, match="nothing is typed"):
            form.values()

    def test_what_the_command_line_refuses_the_form_refuses_with_the_same_words(self, form):
        type_into(form, "start_date", "5 January")
        with pytest.raises(ParameterError, match='start_date: "5 January" is not a day'):
            form.values()

    def test_dates_tell_how_far_the_data_reach(self, form):
        assert "2026-01-01 – 2026-02-01" in form.controls["start_date"].inputs[0].tooltip

    def test_showing_values_changes_nothing_by_itself(self, form, changes):
        form.show({**form.values(), "whole": 30, "only_users": ["region=South"], "many": ["markov"]})
        assert changes == []
        assert form.values()["whole"] == 30
        type_into(form, "whole", "31")
        assert changes == [1]

    def test_every_control_has_label_and_help(self, form):
        for name in ("start_date", "how", "which", "whole", "yes"):
            box = form.controls[name].inputs[0]
            assert box.description
            assert box.tooltip
            assert form.controls[name].spec.help in form.controls[name].widget.children[-1].value


OPEN_KINDS = """
segment: str = "channel"  # one of those
than: str | None = None  # one or none
by: list[str] = ["region"]  # some
span: str | list[str] = "previous_year"  # one, or days
"""
OFFERS = {
    "segment": ["channel", "region"],
    "than": ["email", "direct"],
    "by": ["age_group", "region"],
    "span": ["previous_period", "previous_year"],
}


class TestOffers:
    """Parameters whose kind is open, and whose values the room knows."""

    def form(self, lang="en"):
        specs = read_parameters(OPEN_KINDS, "demo")
        return Form(specs, "demo", lang, (), {}, "", lambda: None, offers=OFFERS)

    def test_they_are_lists_and_give_back_the_defaults(self):
        form = self.form()
        assert form.values() == {name: control.spec.default for name, control in form.controls.items()}
        assert form.controls["segment"].inputs[0].options == (("Channel", "channel"), ("Region", "region"))
        assert self.form("zh").controls["segment"].inputs[0].options[1] == ("地区", "region")
        assert [name for name, _value in form.controls["than"].inputs[0].options] == ["(none)", "email", "direct"]

    def test_what_is_chosen_is_the_value(self):
        form = self.form()
        type_into(form, "segment", "region")
        type_into(form, "than", "direct")
        form.controls["by"].inputs[0].value = True
        assert [form.values()[name] for name in ("segment", "than", "by")] == [
            "region",
            "direct",
            ["region", "age_group"],
        ]

    def test_a_value_of_a_file_that_is_not_offered_stays(self):
        form = self.form()
        asked = {"segment": "city", "than": "gone", "by": ["city", "region"], "span": ["2025-11-01", "2025-11-12"]}
        form.show(asked)
        assert form.values() == asked
        form.show({"segment": "channel"})
        assert len(form.controls["segment"].inputs[0].options) == 2

    def test_what_is_not_in_the_list_can_be_typed_where_lists_are_meant(self):
        form = self.form()
        box, line = form.controls["span"].inputs
        assert line.layout.display == "none"
        box.value = box.options[-1][1]
        assert box.label == "other …"
        assert line.layout.display == ""
        with pytest.raises(ParameterError, match="Span: one, or days"):
            form.values()
        line.value = "2025-11-01, 2025-11-12"
        assert form.values()["span"] == ["2025-11-01", "2025-11-12"]

    @pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
    def test_every_offer_is_of_a_parameter_and_can_be_asked_for(self, question, shop):
        specs = {spec.name for spec in question.specs()}
        offered = question.offered(count_users(shop))
        assert set(offered) <= specs
        assert all(offered.values())


class TestUsers:
    def column(self, form, number):
        return form.controls["only_users"].widget.children[1].children[number].children

    def test_values_are_shown_with_their_users_and_chosen_ones_first(self, form, changes):
        _head, _search, north, south, _rest = self.column(form, 0)
        assert [north.description, south.description] == ["North (50)", "South (30)"]
        south.value = True
        assert form.values()["only_users"] == ["region=South"]
        assert changes == [1]
        north.value = True
        assert form.values()["only_users"] == ["region=South", "region=North"]
        south.value = False
        assert form.values()["only_users"] == ["region=North"]

    def test_a_search_finds_values_that_are_not_shown_and_keeps_those_chosen(self, form):
        _head, search, *boxes, rest = self.column(form, 1)
        assert len(boxes) == 8
        assert "12 more" in rest.value
        boxes[0].value = True
        search.value = "19"
        shown = [one.description for one in boxes if one.layout.display != "none"]
        assert shown == ["c0 (20)", "c19 (1)"]
        boxes[1].value = True
        assert form.values()["only_users"] == ["channel=c0", "channel=c19"]

    def test_unknown_values_are_told_in_the_language_of_the_form_and_asked_for_by_their_own_name(self):
        specs, counts = read_parameters(KINDS, "demo"), {"region": [("(unknown)", 5)]}
        form = Form(specs, "demo", "zh", (), counts, "", lambda: None)
        _head, _search, box, _rest = self.column(form, 0)
        assert box.description == "（未知） (5)"
        box.value = True
        assert form.values()["only_users"] == ["region=(unknown)"]

    def test_counts_are_those_of_the_shop(self, shop):
        users = shop.collect(shop.users)
        counts = count_users(shop)
        assert list(counts) == ["channel", "age_group", "gender", "region", "device"]
        for column, pairs in counts.items():
            expected = users[column].fillna("(unknown)").value_counts().to_dict()
            assert dict(pairs) == expected
            assert [count for _value, count in pairs] == sorted(expected.values(), reverse=True)

    def test_every_value_offered_can_be_asked_for(self, shop):
        for column, pairs in count_users(shop).items():
            value, count = pairs[-1]
            assert shop.only([f"{column}={value}"]).only_count == (count, 1_500)


class TestWords:
    def every_spec(self):
        for path in NOTEBOOKS:
            for spec in parameters_of(load_notebook(path), path.stem):
                yield path.stem, spec

    def test_every_parameter_of_every_notebook_has_words_in_both_languages(self):
        for notebook, spec in self.every_spec():
            known = load_words()["parameters"]
            entry = known.get(f"{notebook}.{spec.name}") or known.get(spec.name)
            assert entry, f"{notebook}: {spec.name} has no words"
            assert all(len(entry[part]) == 2 and all(entry[part]) for part in ("label", "help"))

    def test_no_word_is_left_of_a_parameter_that_is_gone(self):
        named = {spec.name for _notebook, spec in self.every_spec()}
        own = {f"{notebook}.{spec.name}" for notebook, spec in self.every_spec()}
        assert set(load_words()["parameters"]) <= named | own
        assert set(load_words()["choices"]) <= named

    def test_units_and_choices_of_the_notebooks_have_words(self):
        units = {spec.unit for _notebook, spec in self.every_spec() if spec.unit}
        assert units == set(load_words()["units"])
        for notebook, spec in self.every_spec():
            for choice in choices_of(spec.kind):
                assert choice in load_words()["choices"][spec.name], (notebook, spec.name)

    def test_unknown_parameters_speak_for_themselves(self):
        [spec] = read_parameters("how_many: int = 1  # so many", "mine")
        assert label_of(spec, "mine", "zh") == "How many"
        assert help_of(spec, "mine", "zh") == "so many"


def choices_of(kind):
    args = getattr(kind, "__args__", ())
    if str(getattr(kind, "__origin__", "")) == "typing.Literal":
        return list(args)
    return [choice for one in args for choice in choices_of(one)]


def test_a_negative_number_may_be_typed_with_a_true_minus():
    [spec] = read_parameters("change: float = 0  # change", "demo")
    assert read_text(spec, "−0.5") == -0.5


def test_what_cannot_be_read_is_told_in_the_panel_s_language():
    [spec] = read_parameters("days: int = 7", "demo")
    with pytest.raises(ParameterError, match=r"^天数：“x”不是数字。可填：整数。$"):
        read_text(spec, "x", "天数", "zh")
    with pytest.raises(ParameterError, match=r"^days: nothing is typed\. Allowed: a whole number\.$"):
        read_text(spec, " ")
