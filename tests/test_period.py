"""Periods and local days, also where clocks change."""

import datetime as dt

import pytest

from workbench.errors import ParameterError
from workbench.period import make_period, start_of_day_ms, utc_offsets

UTC_2026 = 1_767_225_600_000  # 2026-01-01T00:00Z
DAY = 86_400_000


def period(start=None, end=None, timezone="UTC", first=UTC_2026, last=UTC_2026 + 10 * DAY, **more):
    return make_period(start, end, timezone, data_start_ms=first, data_last_ms=last, **more)


def test_all_the_data_reaches_to_the_end_of_the_last_local_day():
    found = period(timezone="Asia/Shanghai")
    assert found.start_date == dt.date(2026, 1, 1)
    # the last instant is 08:00 on 11 January in Shanghai, so the data end at local midnight after it
    assert found.data_end_ms == UTC_2026 + 11 * DAY - 8 * 3_600_000
    assert found.end_date == dt.date(2026, 1, 12)


def test_all_the_data_includes_what_lies_outside_events_and_orders():
    found = period(earliest_ms=UTC_2026 - 5 * DAY, latest_ms=UTC_2026 + 30 * DAY)
    assert found.start_date == dt.date(2026, 1, 1)
    assert (found.start_ms, found.end_ms) == (UTC_2026 - 5 * DAY, UTC_2026 + 30 * DAY + 1)
    assert period("2026-01-01", earliest_ms=UTC_2026 - 5 * DAY).start_ms == UTC_2026


@pytest.mark.parametrize(
    ("start", "end", "timezone", "words"),
    [
        ("2026-01-05", "2026-01-05", "UTC", "start_date 2026-01-05 is not before end_date 2026-01-05"),
        ("2026-02-30", None, "UTC", 'start_date: "2026-02-30" is not a day'),
        ("1/5/2026", None, "UTC", "Write it as 2026-03-01"),
        (None, None, "Asia/Shangai", 'did you mean "Asia/Shanghai"?'),
    ],
)
def test_faults(start, end, timezone, words):
    with pytest.raises(ParameterError) as error:
        period(start, end, timezone)
    assert words in str(error.value)


@pytest.mark.parametrize("first", [-2_208_988_800_000, -62_135_596_800_000])
def test_an_early_instant_does_not_shift_the_rest(first):
    """Kolkata had another offset before 1945; today's is 5:30."""
    assert utc_offsets(first, UTC_2026, "Asia/Kolkata")[-1][1] == 19_800_000


def test_an_end_before_the_data_is_an_empty_period():
    found = period(None, "2025-06-01")
    assert (found.start_date, found.end_date) == (dt.date(2025, 5, 31), dt.date(2025, 6, 1))


def test_clock_changes_are_found_to_the_second():
    first = start_of_day_ms(dt.date(2026, 1, 1), "America/New_York")
    found = utc_offsets(first, first + 365 * DAY, "America/New_York")
    spring, autumn = (dt.datetime(2026, 3, 8, 7, tzinfo=dt.UTC), dt.datetime(2026, 11, 1, 6, tzinfo=dt.UTC))
    assert [start for start, _ in found[1:]] == [int(one.timestamp() * 1000) for one in (spring, autumn)]
    assert [offset // 3_600_000 for _, offset in found] == [-5, -4, -5]
