"""Which days are compared with which, and what was planned for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from workbench.errors import ParameterError, nearest
from workbench.period import Period, local_date, parse_date, start_of_day_ms

CHOICES = ("previous_period", "previous_year")
YEAR_DAYS = 364
"""A year back is 52 weeks back, so that weekdays meet the same weekdays."""
_TARGET = re.compile(r"^(\d{4}-\d{2}-\d{2}|\d{4}-W\d{2}|\d{4}-\d{2})\s*=\s*(\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class Span:
    """Whole local days, ``first <= day < end``, and the same bounds as UTC milliseconds."""

    first: date
    end: date
    start_ms: int
    end_ms: int

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.first).days

    @property
    def last(self) -> date:
        """The last day."""
        return self.end - timedelta(days=1)

    @property
    def reach(self) -> tuple[int, int]:
        """Bounds in UTC milliseconds."""
        return self.start_ms, self.end_ms


def span(first: date, end: date, timezone: str) -> Span:
    """The days from ``first`` until the day before ``end``."""
    return Span(first, end, start_of_day_ms(first, timezone), start_of_day_ms(end, timezone))


@dataclass(frozen=True)
class Spans:
    """The days of the report and those it is compared with.

    Attributes
    ----------
    data
        All days with data.
    now
        The period as far as there are data; None where there are none.
    before
        What it is compared with; None where the data do not hold all of these days.
    year
        The same days 52 weeks before; None where the data do not reach.
    wanted_first, wanted_end
        The days of the comparison asked for, also where the data lack them.
    compare_to
        ``previous_period``, ``previous_year`` or ``chosen``.
    """

    data: Span
    now: Span | None
    before: Span | None
    year: Span | None
    wanted_first: date
    wanted_end: date
    compare_to: str


def find_spans(period: Period, compare_to: str | Sequence[str]) -> Spans:
    """Find the days to compare.

    Raises
    ------
    ParameterError
        If ``compare_to`` is no choice and no pair of days, or its days overlap the period or are not as many.

    Notes
    -----
    Both spans have the same number of days: totals grow with the days, and so do visitors, who count once, and with
    them everything that is divided by visitors. Where the data hold a part of the period only, the same days of the
    comparison are taken.
    """
    chosen = _chosen_days(compare_to)
    zone = period.timezone
    data = span(local_date(period.data_start_ms, zone), period.data_last_date + timedelta(days=1), zone)
    first, end = max(period.start_date, data.first), min(period.end_date, data.end)
    now = span(first, end, zone) if first < end else None
    if now is None:
        first, end = period.start_date, period.end_date
    length = (end - first).days
    if chosen is not None:
        if chosen[0] < end and first < chosen[1]:
            raise ParameterError(
                f"compare_to: {chosen[0]} to {chosen[1]} overlaps the period {first} to {end}; give days that lie "
                "outside it. Like end_date, the second day is the one after the last."
            )
        _check_length(chosen, period)
        start = chosen[0] + (first - period.start_date)
        wanted = start, start + timedelta(days=length)
    else:
        back = timedelta(days=length if compare_to == "previous_period" else YEAR_DAYS)
        wanted = first - back, end - back
        if length > YEAR_DAYS and compare_to == "previous_year" and data.first <= wanted[0]:
            raise ParameterError(
                f"compare_to: previous_year lies {YEAR_DAYS} days back, and the period {first} to {end} has {length} "
                "days, so that they overlap. Choose a later start_date, or compare_to previous_period."
            )
    before = span(*wanted, zone) if data.first <= wanted[0] and wanted[1] <= data.end else None
    year_back = timedelta(days=YEAR_DAYS)
    year = None
    if now is not None and data.first <= first - year_back:
        year = span(first - year_back, end - year_back, zone)
    kind = "chosen" if chosen is not None else str(compare_to)
    return Spans(data, now, before, year, wanted[0], wanted[1], kind)


def _check_length(chosen: tuple[date, date], period: Period) -> None:
    length, wanted = (chosen[1] - chosen[0]).days, (period.end_date - period.start_date).days
    if length != wanted:
        words = ["1 day" if one == 1 else f"{one} days" for one in (length, wanted)]
        raise ParameterError(
            f"compare_to: {chosen[0]} to {chosen[1]} has {words[0]}, the period {period.start_date} to "
            f"{period.end_date} has {words[1]}; more days bring more visitors, who count once, so that neither totals "
            f'nor conversion could be compared. Give as many days, such as ["{chosen[0]}", '
            f'"{chosen[0] + timedelta(days=wanted)}"]; like end_date, the second is the day after the last one.'
        )


def _chosen_days(compare_to: str | Sequence[str]) -> tuple[date, date] | None:
    if isinstance(compare_to, str):
        if compare_to not in CHOICES:
            raise ParameterError(
                f'compare_to: "{compare_to}" is not known{nearest(compare_to, CHOICES, ".")} Allowed: '
                f'{", ".join(CHOICES)}, or two days such as ["2025-11-01", "2025-11-12"] (the second is the day after '
                "the last)."
            )
        return None
    days = [parse_date(one, "compare_to") for one in compare_to]
    if len(days) != 2 or days[0] is None or days[1] is None or days[0] >= days[1]:
        raise ParameterError(
            f"compare_to: {list(compare_to)} is not a first day and a later day after the last one; write "
            '["2025-11-01", "2025-11-12"].'
        )
    return days[0], days[1]


class Targets:
    """Net sales planned, by day, week or month."""

    def __init__(self, written: Sequence[str] | None) -> None:
        """Read targets such as ``2026-06=100000``, ``2026-W24=25000`` or ``2026-06-11=9000``.

        Raises
        ------
        ParameterError
            If one cannot be read, or a day, week or month has two.
        """
        self.planned: dict[str, float] = {}
        for one in written or ():
            found = _TARGET.match(str(one).strip())
            if found is None or not _is_real(found[1]):
                raise ParameterError(
                    f'sales_targets: "{one}" cannot be read. Write net sales planned for a month, an ISO week or a day: '
                    '"2026-06=100000", "2026-W24=25000", "2026-06-11=9000".'
                )
            if found[1] in self.planned:
                raise ParameterError(f"sales_targets: {found[1]} has two targets; give one.")
            self.planned[found[1]] = float(found[2])

    def amount(self, first: date, end: date) -> float:
        """Planned net sales of the days; NaN where one of them has no plan.

        A day's own target goes before its share of the week's, that before its share of the month's.
        """
        total = 0.0
        for number in range((end - first).days):
            total += self._of(first + timedelta(days=number))
        return total

    def _of(self, day: date) -> float:
        year, week, _ = day.isocalendar()
        if (own := self.planned.get(day.isoformat())) is not None:
            return own
        if (weekly := self.planned.get(f"{year}-W{week:02d}")) is not None:
            return weekly / 7
        if (monthly := self.planned.get(f"{day:%Y-%m}")) is not None:
            following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
            return monthly / (following - day.replace(day=1)).days
        return float("nan")


def _is_real(written: str) -> bool:
    try:
        if "W" in written:
            date.fromisocalendar(int(written[:4]), int(written[6:]), 1)
        else:
            date.fromisoformat(written if len(written) == 10 else f"{written}-01")
    except ValueError:
        return False
    return True
