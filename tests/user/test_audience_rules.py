"""Rules are read as they are meant, and every fault is told with its line and the nearest name."""

import re
from pathlib import Path

import pytest

from workbench.errors import ParameterError
from workbench.period import DAY_MS, HOUR_MS
from workbench.user.audience_rules import (
    AnyOf,
    Between,
    Done,
    Every,
    Not,
    OneOf,
    leaves,
    load_audience_rules,
    read_audience_rules,
)

WHOLE = """\
timezone: Asia/Shanghai
end_date: 2026-05-01
window_days: 28
audiences:
  back:
    segment: region
    start_date: 2026-05-04
    control: {share: 0.25, seed: 7}
    where:
      - quadrant: [high_low, low_low]
      - visit_days: '>= 3'
        days_since_last_visit: {between: [1, 14]}
      - any:
          - age_group: 18-24
          - not: {region: north}
      - did: add_to_cart
        did_not: [purchase, begin_checkout]
        within_hours: 36
  spenders:
    where: {paid_amount: {'>=': 100, '<=': 200}, orders: 2}
"""


def test_a_whole_file():
    rules = read_audience_rules(WHOLE)
    assert rules.settings.timezone == "Asia/Shanghai"
    assert (rules.settings.end_date, rules.settings.window_days, rules.settings.period_days) == ("2026-05-01", 28, 28)
    back, spenders = rules.audiences
    assert (back.name, back.segment, back.start_date, back.share, back.seed, back.line) == (
        "back", "region", "2026-05-04", 0.25, 7, 5,
    )  # fmt: skip
    assert back.condition == Every(
        (
            OneOf("quadrant", ("high_low", "low_low"), 10),
            Every((Between("visit_days", 3, None, 11), Between("days_since_last_visit", 1, 14, 12))),
            AnyOf((OneOf("age_group", ("18-24",), 14), Not(OneOf("region", ("north",), 15)))),
            Done(("add_to_cart",), ("purchase", "begin_checkout"), 36 * HOUR_MS, 16),
        )
    )
    assert spenders.condition == Every((Between("paid_amount", 100, 200, 20), Between("orders", 2, 2, 20)))
    assert (spenders.segment, spenders.share, spenders.seed, spenders.start_date) == ("quadrant", 0.1, 1, None)
    assert len(list(leaves(back.condition))) == 6


def test_only_one():
    rules = read_audience_rules(WHOLE).only("spenders")
    assert [one.name for one in rules.audiences] == ["spenders"]
    assert list(rules.content["audiences"]) == ["spenders"]
    with pytest.raises(ParameterError, match='no audience "spender", did you mean "spenders"'):
        rules.only("spender")


def test_days_are_days():
    rules = read_audience_rules("audiences: {a: {where: {did_not: purchase, within_days: 2.5}}}")
    assert rules.audiences[0].condition == Done((), ("purchase",), round(2.5 * DAY_MS), 1)


FAULTS = [
    (
        "windowdays: 3\naudiences: {a: {where: {orders: 1}}}",
        'line 1: there is no "windowdays", did you mean "window_days"?',
    ),
    ("audiences:\n  a:\n    wher: {orders: 1}", 'line 3: audiences.a: there is no "wher", did you mean "where"?'),
    ("audiences:\n  a:\n    segment: region", 'line 2: a: "where" is missing'),
    (
        "audiences:\n  a:\n    where: {orders: 1}\n    control:\n      sede: 1",
        'line 5: audiences.a.control: there is no "sede", did you mean "seed"?',
    ),
    (
        "audiences:\n  a:\n    where: {orders: 1}\n    control: {share: 0}",
        "line 4: a.control.share: it is 0: nobody is held back",
    ),
    ("audiences:\n  a:\n    where: {orders: 1}\n    control: {share: 1}", "nobody is left to address"),
    ("audiences:\n  a:\n    where: {orders: 1}\n    control: {share: 1.5}", "strictly between 0 and 1"),
    ("audiences:\n  a:\n    where: {orders: 1}\n    control: {seed: -1}", "line 4: a.control.seed: it is -1"),
    ("audiences:\n  a:\n    where: {orders: 1}\n    control: {seed: one}", "line 4: a.control.seed"),
    ("audiences:\n  a:\n    where:\n      visit_days: many", 'line 4: a: visit_days: "many" is not a bound'),
    ("audiences:\n  a:\n    where:\n      visit_days: '>= 1.2.3'", 'visit_days: ">= 1.2.3" is not a bound'),
    ("audiences:\n  a:\n    where:\n      visit_days: '>= .'", 'visit_days: ">= ." is not a bound'),
    ("audiences:\n  a:\n    where:\n      visit_days: {above: 3}", 'there is no "above". Allowed: >=, <=, between'),
    ("audiences:\n  a:\n    where:\n      visit_days: {between: 3}", "between takes two numbers"),
    ("audiences:\n  a:\n    where:\n      visit_days: {between: [9, 3]}", "no number is at least 9 and at most 3"),
    ("audiences:\n  a:\n    where:\n      any: {orders: 1}", '"any" holds a list of conditions'),
    ("audiences:\n  a:\n    where:\n      region: yes", "Write texts such as yes, no and null in quotes"),
    (
        "audiences:\n  a:\n    where:\n      did: add_to_cart",
        "line 4: a: did and did_not need one of within_days and within_hours",
    ),
    ("audiences:\n  a:\n    where:\n      did: x\n      within_days: 0", "a number above 0"),
    ("audiences:\n  a:\n    where:\n      within_days: 3", "stand beside did or did_not"),
    ("audiences:\n  a:\n    where: some", "line 3: a: 'some' is not a condition"),
    ("timezone: Shanghai\naudiences: {a: {where: {orders: 1}}}", "is not a time zone"),
    ("end_date: May\naudiences: {a: {where: {orders: 1}}}", "line 1: end_date"),
    ("audiences:\n  a: {where: {orders: 1}}\n  a: {where: {orders: 2}}", 'line 3: "a" stands twice'),
    ("audiences:\n  a:\n    where:\n      visit_days: >= 3", "not YAML in line 4"),
    ("audience: {a: {where: {orders: 1}}}", 'has "audiences"'),
    ("audiences: {}", "audiences"),
    ("- a", 'has "audiences"'),
    ("", 'has "audiences"'),
]


@pytest.mark.parametrize(("text", "says"), FAULTS)
def test_faults_are_told_with_their_line(text, says):
    with pytest.raises(ParameterError) as told:
        read_audience_rules(text, "rules.yml")
    assert says in str(told.value)
    assert str(told.value).startswith("rules.yml: ")


def test_all_faults_at_once():
    with pytest.raises(ParameterError) as told:
        read_audience_rules("windowdays: 1\naudiences:\n  a:\n    where: {visit_days: x}\n  b:\n    where: {any: 1}")
    assert str(told.value).startswith("rules: 3 faults; nothing was written.")


def test_files(tmp_path):
    with pytest.raises(ParameterError, match="there is no file"):
        load_audience_rules(tmp_path / "rules.yml")
    (tmp_path / "rules.yml").write_bytes("audiences: {人群: {where: {orders: 1}}}".encode("gb18030"))
    with pytest.raises(ParameterError, match="not UTF-8"):
        load_audience_rules(tmp_path / "rules.yml")
    (tmp_path / "rules.yml").write_text("audiences: {人群: {where: {orders: 1}}}", encoding="utf-8-sig")
    assert load_audience_rules(tmp_path / "rules.yml").audiences[0].name == "人群"


def test_the_example_of_the_guide_is_read():
    guide = Path(__file__).parents[2] / "docs" / "audiences.md"
    example = re.search(r"```yaml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    rules = read_audience_rules(example[1])
    assert [one.name for one in rules.audiences] == ["carted", "watch"]
    assert len(list(leaves(rules.audiences[1].condition))) == 5
