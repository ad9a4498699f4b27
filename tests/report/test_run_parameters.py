import re

import pytest

from workbench.errors import ParameterError
from workbench.report.parameters import check_parameters, read_parameters

CELL = """from typing import Literal

start_date: str | None = None  # first day [local date]
end_date: str | None = None  # day after the last
timezone: str = "Asia/Shanghai"
lang: Literal["en", "zh"] = "en"
model: Literal["last_click", "markov"] = "markov"  # how credit is shared
hours: float = 72  # how far back [hours]
top: int = 10
is_exact: bool = False
windows: list[int] = [7, 30]  # repurchase [days]
shares: list[float] | None = None
confidence_level: float = 0.95
targets: list[str] | None = None  # planned, such as 2026-06=100000 (month or day)
by: list[str] = ["age_group"]
rules: list[Literal["first", "last"]] = ["first"]
compare_to: str | list[str] = "before"
"""
SPECS = read_parameters(CELL, "demo")


def fault(**given: object) -> str:
    with pytest.raises(ParameterError) as caught:
        check_parameters(SPECS, given, "demo")
    return str(caught.value)


def test_every_line_is_read_with_help_and_unit():
    hours = next(spec for spec in SPECS if spec.name == "hours")
    assert (hours.annotation, hours.default, hours.help, hours.unit) == ("float", 72, "how far back", "hours")
    assert [spec.name for spec in SPECS][:3] == ["start_date", "end_date", "timezone"]


def test_defaults_fill_in_and_whole_numbers_pass_as_numbers():
    values = check_parameters(SPECS, {"hours": 24, "shares": [1, 0.5], "windows": []}, "demo")
    assert (values["hours"], values["shares"], values["windows"], values["top"]) == (24, [1, 0.5], [], 10)


def test_an_unknown_name_is_answered_with_the_nearest_and_all_allowed():
    message = fault(modle="markov")
    assert 'There is no parameter "modle", did you mean "model"?' in message
    assert "Allowed: start_date, end_date, timezone, lang, model" in message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"hours": "three"}, 'hours is "three". Allowed: a number.'),
        ({"hours": True}, "hours is true. Allowed: a number."),
        ({"hours": float("nan")}, "hours is nan. Allowed: a number."),
        ({"top": 2.5}, "top is 2.5. Allowed: a whole number."),
        ({"top": True}, "top is true. Allowed: a whole number."),
        ({"top": None}, "top is null. Allowed: a whole number."),
        ({"is_exact": 1}, "is_exact is 1. Allowed: true or false."),
        ({"timezone": 8}, "timezone is 8. Allowed: text."),
        (
            {"windows": 7},
            "windows is 7. Allowed: a list of whole numbers such as [7, 30]. On the command line: -p 'windows=[7, 30]'.",
        ),
        ({"windows": [7, "30"]}, 'windows is [7, "30"]. Allowed: a list of whole numbers'),
        ({"shares": "x"}, "Allowed: a list of numbers such as [0.25, 0.75] or null."),
        ({"targets": [None]}, 'targets is [null]. Allowed: a list of texts such as ["2026-06=100000"] or null.'),
        ({"targets": 7}, """-p 'targets=["2026-06=100000"]'."""),
        ({"by": [3]}, """-p 'by=["age_group"]'."""),
        ({"rules": "frist"}, 'rules is ["frist"], did you mean "first"? Allowed: a list with any of "first", "last"'),
        ({"compare_to": 3}, 'compare_to is 3. Allowed: text or a list of texts such as ["a", "b"].'),
        ({"model": "markow"}, 'model is "markow", did you mean "markov"? Allowed: "last_click" or "markov".'),
        ({"start_date": "2026/03/01"}, 'start_date: "2026/03/01" is not a day. Write it as 2026-03-01'),
        ({"start_date": "2026-02-30"}, "is not a day"),
        ({"timezone": "Asia/Shangai"}, 'did you mean "Asia/Shanghai"?'),
        ({"confidence_level": 1}, "confidence_level is 1. Allowed: a number between 0 and 1"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-02"}, "start_date 2026-03-02 is not before end_date"),
        ({"lang": "fr"}, 'lang is "fr". Allowed: "en" or "zh".'),
    ],
)
def test_a_value_that_is_none_says_what_was_given_and_what_is_allowed(given, says):
    assert says in fault(**given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"hours": "three"}, 'demo：hours 为 "three"。应为：数字。'),
        ({"windows": 7}, "windows 为 7。应为：整数的列表（如 [7, 30]）。"),
        ({"shares": "x"}, "应为：数字的列表（如 [0.25, 0.75]） 或 null。"),
        (
            {"rules": "frist"},
            'rules 为 ["frist"]，是否为“first”？应为：由 "first"、"last" 组成的列表（如 ["first"]）。',
        ),
        ({"model": "markow"}, 'model 为 "markow"，是否为“markov”？应为："last_click" 或 "markov"。'),
        ({"modle": 1}, "没有参数“modle”，是否为“model”？可用参数：start_date、end_date、timezone"),
        ({"start_date": "2026/03/01"}, 'start_date："2026/03/01" 不是日期。请写成 2026-03-01 的形式'),
        ({"timezone": "Asia/Shangai"}, "不是时区，是否为“Asia/Shanghai”？"),
        ({"confidence_level": 1}, "confidence_level 为 1。应为 0 到 1 之间的数"),
        ({"lookback_hours": 0}, "lookback_hours：0 不大于 0。"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-02"}, "start_date 2026-03-02 不早于 end_date 2026-03-02。"),
        ({"lang": "fr"}, 'lang 为 "fr"。应为："en" 或 "zh"。'),
    ],
)
def test_faults_are_told_in_chinese_too(given, says):
    specs = (*SPECS, *read_parameters("lookback_hours: float = 72", "demo"))
    with pytest.raises(ParameterError) as caught:
        check_parameters(specs, given, "demo", "zh")
    assert says in str(caught.value)
    assert not re.search("[a-z] [a-z]+ [a-z]", str(caught.value))  # nothing of an English sentence


def test_one_text_is_a_list_of_one_where_only_a_list_of_texts_fits():
    given = {"targets": "2026-06=100000", "by": "region", "rules": "last", "compare_to": "year"}
    values = check_parameters(SPECS, given, "demo")
    assert {name: values[name] for name in given} == {
        "targets": ["2026-06=100000"],
        "by": ["region"],
        "rules": ["last"],
        "compare_to": "year",
    }


def test_all_faults_are_told_at_once():
    message = fault(top="x", hours="y", z=1)
    assert all(part in message for part in ('top is "x"', 'hours is "y"', 'no parameter "z"'))


@pytest.mark.parametrize("cell", ["x = 1", "x: int", "x: int = len('a')", "x: dict = {}", "import os", "x: int = ("])
def test_a_cell_with_anything_else_is_refused(cell):
    with pytest.raises(ParameterError, match="demo: "):
        read_parameters(cell, "demo")
