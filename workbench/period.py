"""Days of a shop: instants are UTC milliseconds, days are calendar days in the shop's time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from workbench.errors import ParameterError, nearest

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 4_102_444_800_000
"""Calendars are looked up from 1900 to 2100; an instant outside is a fault of the data."""


@dataclass(frozen=True)
class Period:
    """The days a report speaks of, and how far the data reach.

    Attributes
    ----------
    start_date, end_date
        First local day and the day after the last one.
    timezone
        IANA name of the shop's time zone.
    start_ms, end_ms
        The same bounds as UTC milliseconds; ``start_ms <= instant < end_ms`` is in the period. Where no date
        was given they reach as far as any table does, also beyond the days of events and orders.
    data_start_ms, data_end_ms
        First instant in the source, and the start of the local day after the last event or order.
        Follow-up windows run to ``data_end_ms``, also beyond the period.
    has_start, has_end
        Whether a date was given; without one the period is open on that side.
    """

    start_date: date
    end_date: date
    timezone: str
    start_ms: int
    end_ms: int
    data_start_ms: int
    data_end_ms: int
    has_start: bool = True
    has_end: bool = True

    @property
    def last_date(self) -> date:
        """The last local day inside the period."""
        return self.end_date - timedelta(days=1)

    @property
    def words(self) -> str:
        """First and last day with the time zone, for subtitles."""
        return f"{self.start_date} – {self.last_date}, {self.timezone}"

    @property
    def data_last_date(self) -> date:
        """The last local day with data."""
        return local_date(self.data_end_ms - 1, self.timezone)


def zone(timezone: str) -> ZoneInfo:
    """Open a time zone by its IANA name, or say which name was meant."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        hint = nearest(str(timezone), available_timezones(), ".")
        raise ParameterError(
            f'timezone: "{timezone}" is not a time zone{hint} Use an IANA name such as "Asia/Shanghai" or "UTC".'
        ) from None


def to_ms(instant: datetime) -> int:
    """UTC milliseconds of an aware datetime."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def local_date(instant_ms: int, timezone: str) -> date:
    """The calendar day in ``timezone`` on which an instant lies."""
    return (_EPOCH + timedelta(milliseconds=_clipped(instant_ms))).astimezone(zone(timezone)).date()


def _clipped(instant_ms: int) -> int:
    return min(max(instant_ms, _EARLIEST_MS), _LATEST_MS)


def start_of_day_ms(day: date, timezone: str) -> int:
    """UTC milliseconds of local midnight (the first instant of the day where clocks jump over midnight)."""
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=zone(timezone)).astimezone(UTC))


def utc_offsets(first_ms: int, last_ms: int, timezone: str) -> list[tuple[int, int]]:
    """Offsets from UTC in force between two instants, as ``(from this instant on, offset in ms)``.

    The first pair starts at ``first_ms``. Clock changes are found to the second by bisection, so engines
    need no time zone database of their own: they add a number.

    Examples
    --------
    >>> utc_offsets(0, 1, "Asia/Shanghai")
    [(0, 28800000)]
    """
    place = zone(timezone)

    def offset(instant_ms: int) -> int:
        delta = (_EPOCH + timedelta(milliseconds=_clipped(instant_ms))).astimezone(place).utcoffset() or timedelta()
        return delta // timedelta(milliseconds=1)

    pairs = [(first_ms, offset(first_ms))]
    step = 7 * DAY_MS
    for left in range(_clipped(first_ms), _clipped(last_ms) + 1, step):
        low, high = left, left + step
        if offset(low) == offset(high):
            continue
        while high - low > 1000:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(left) else (low, middle)
        pairs.append((high - high % 1000, offset(high)))
    return pairs


def parse_date(value: object, name: str) -> date | None:
    """Read a day written as ``2026-03-01``; None stays None."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        if not isinstance(value, str) or len(value) != 10:
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise ParameterError(
            f'{name}: "{value}" is not a day. Write it as 2026-03-01, or null for all the data.'
        ) from None


SPANS = (
    "yesterday",
    "last_week",
    "last_month",
    "last_quarter",
    "last_year",
    "last_28_days",
    "2026-W46",
    "2026-11",
    "2026-Q3",
    "2026",
)
"""Spans as one writes them; any number of days, week, month, quarter and year will do."""
_DAYS = re.compile(r"last_([1-9]\d{0,3})_days")
_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_YEAR = re.compile(r"\d{4}")


def today(timezone: str) -> date:
    """The local day that it is now."""
    return datetime.now(UTC).astimezone(zone(timezone)).date()


def parse_span(text: object, name: str, as_of: date) -> tuple[date, date]:
    """First day of a span, and the day after its last one.

    Parameters
    ----------
    text
        ``yesterday``, ``last_week`` (Monday to Sunday), ``last_month``, ``last_quarter``, ``last_year``, ``last_28_days`` (whole
        days up to yesterday), an ISO week ``2026-W46``, a month ``2026-11``, a quarter ``2026-Q3`` or a year ``2026``.
    name
        Of the parameter, for the message.
    as_of
        The local day from which ``last`` is told; that day itself is in none of them.

    Raises
    ------
    ParameterError
        If it is no span.

    Examples
    --------
    >>> [str(day) for day in parse_span("last_week", "period", date(2026, 11, 23))]
    ['2026-11-16', '2026-11-23']
    """
    span = _span(str(text), as_of)
    if span is None:
        hint = nearest(str(text), [one for one in SPANS if one[0].isalpha()], ".")
        raise ParameterError(f'{name}: "{text}" is not a span of days{hint} Write one such as {", ".join(SPANS)}.')
    return span


def _span(text: str, as_of: date) -> tuple[date, date] | None:
    month, quarter = as_of.replace(day=1), as_of.replace(month=(as_of.month - 1) // 3 * 3 + 1, day=1)
    monday, year = as_of - timedelta(days=as_of.weekday()), as_of.replace(month=1, day=1)
    ends = {
        "yesterday": (as_of - timedelta(days=1), as_of),
        "last_week": (monday - timedelta(days=7), monday),
        "last_month": (_months_on(month, -1), month),
        "last_quarter": (_months_on(quarter, -3), quarter),
        "last_year": (_months_on(year, -12), year),
    }
    if text in ends:
        return ends[text]
    try:
        if found := _DAYS.fullmatch(text):
            return as_of - timedelta(days=int(found[1])), as_of
        if found := _WEEK.fullmatch(text):
            first = date.fromisocalendar(int(found[1]), int(found[2]), 1)
            return first, first + timedelta(days=7)
        if found := _QUARTER.fullmatch(text):
            first = date(int(found[1]), int(found[2]) * 3 - 2, 1)
            return first, _months_on(first, 3)
        if found := _MONTH.fullmatch(text):
            first = date(int(found[1]), int(found[2]), 1)
            return first, _months_on(first, 1)
        if _YEAR.fullmatch(text):
            return date(int(text), 1, 1), date(int(text) + 1, 1, 1)
    except (ValueError, OverflowError):  # a week 60, a month 13, a year 0
        return None
    return None


def _months_on(first: date, count: int) -> date:
    """The first day of a month some months later."""
    months = first.year * 12 + first.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


def make_period(
    start_date: object,
    end_date: object,
    timezone: str,
    *,
    data_start_ms: int,
    data_last_ms: int,
    earliest_ms: int | None = None,
    latest_ms: int | None = None,
) -> Period:
    """Build the period of a report from its parameters and the reach of the data.

    Parameters
    ----------
    start_date, end_date
        Local days as text, or None for all the data.
    timezone
        IANA name.
    data_start_ms, data_last_ms
        First and last event or order.
    earliest_ms, latest_ms
        First and last instant of any table (first visits and grants may lie outside events and orders).

    Raises
    ------
    ParameterError
        If a day cannot be read, the start is not before the end, or the time zone is unknown.
    """
    given_first, given_end = parse_date(start_date, "start_date"), parse_date(end_date, "end_date")
    data_end = local_date(data_last_ms, timezone) + timedelta(days=1)
    first = given_first or local_date(data_start_ms, timezone)
    if given_first is None and given_end is not None and given_end <= first:
        first = given_end - timedelta(days=1)  # the period lies before the data: empty, and said so
    end = given_end or max(data_end, first + timedelta(days=1))
    if first >= end:
        raise ParameterError(
            f"start_date {first} is not before end_date {end}. The period includes its start and excludes its end: "
            f"for one day write {first} and {first + timedelta(days=1)}."
        )
    start_ms, end_ms = start_of_day_ms(first, timezone), start_of_day_ms(end, timezone)
    if given_first is None and earliest_ms is not None:
        start_ms = min(start_ms, earliest_ms)
    if given_end is None and latest_ms is not None:
        end_ms = max(end_ms, latest_ms + 1)
    return Period(
        start_date=first,
        end_date=end,
        timezone=timezone,
        start_ms=start_ms,
        end_ms=end_ms,
        data_start_ms=data_start_ms,
        data_end_ms=start_of_day_ms(data_end, timezone),
        has_start=given_first is not None,
        has_end=given_end is not None,
    )
