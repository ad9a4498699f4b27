from datetime import date

import pytest

from workbench.errors import ParameterError
from workbench.period import parse_span
from workbench.report.dates import absolute_dates
from workbench.report.parameters import read_parameters

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("yesterday", "2026-11-22", "2026-11-23"),
        ("last_week", "2026-11-16", "2026-11-23"),
        ("last_month", "2026-10-01", "2026-11-01"),
        ("last_quarter", "2026-07-01", "2026-10-01"),
        ("last_year", "2025-01-01", "2026-01-01"),
        ("last_28_days", "2026-10-26", "2026-11-23"),
        ("2026-W46", "2026-11-09", "2026-11-16"),
        ("2026-W01", "2025-12-29", "2026-01-05"),  # ISO weeks begin on the Monday of the week with 4 January
        ("2020-W53", "2020-12-28", "2021-01-04"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026", "2026-01-01", "2027-01-01"),
    ],
)
def test_spans(text, first, end):
    assert [day.isoformat() for day in parse_span(text, "period", MONDAY)] == [first, end]


def test_last_week_is_the_whole_week_before_on_each_day_of_this_one():
    for day in range(23, 30):
        assert parse_span("last_week", "period", date(2026, 11, day)) == (date(2026, 11, 16), MONDAY)


@pytest.mark.parametrize("text", ["lst_week", "2026-W54", "2026-13", "2026-Q5", "last_0_days", "0000", ""])
def test_what_is_no_span_is_told_with_those_there_are(text):
    with pytest.raises(ParameterError, match=r'period: ".*" is not a span of days.*last_week.*2026-W46'):
        parse_span(text, "period", MONDAY)


def test_spans_among_parameters_become_days():
    given = {"start_date": "last_week", "end_date": "last_week", "reference_end": "2026-10", "name": "last_week"}
    assert absolute_dates((), given, MONDAY) == {
        "start_date": "2026-11-16", "end_date": "2026-11-23", "reference_end": "2026-11-01", "name": "last_week",
    }  # fmt: skip


def test_a_period_sets_both_days_and_stands_beside_neither():
    assert absolute_dates((), {}, MONDAY, "2026-W46") == {"start_date": "2026-11-09", "end_date": "2026-11-16"}
    with pytest.raises(ParameterError, match='"period" and start_date are both given'):
        absolute_dates((), {"start_date": "2026-01-01"}, MONDAY, "last_week")


def test_today_is_that_of_the_shop(monkeypatch):
    """At 20:00 UTC on Sunday it is Monday in Shanghai, and the week that just ended is another one."""
    from datetime import UTC, datetime

    import workbench.period as module

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 22, 20, 0, tzinfo=UTC)

    monkeypatch.setattr(module, "datetime", Clock)
    [spec] = read_parameters('timezone: str = "UTC"', "demo")
    assert absolute_dates((spec,), {"start_date": "last_week"}, None)["start_date"] == "2026-11-09"
    there = {"start_date": "last_week", "timezone": "Asia/Shanghai"}
    assert absolute_dates((spec,), there, None)["start_date"] == "2026-11-16"
