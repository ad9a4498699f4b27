"""Into which periods the data are cut, and which of them freezes the lines."""

from datetime import date, timedelta

from workbench.errors import ParameterError
from workbench.metrics.user_states import UserPeriods
from workbench.parameters import check_days
from workbench.period import Period, local_date, parse_date

MOST_PERIODS = 60
"""So many periods at most, the latest; what lies before tells little about now."""
_EPOCH = date(1970, 1, 1)


def day_of(number: int) -> date:
    """The local day of a number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=number)


def find_periods(period: Period, *, window_days: int, period_days: int) -> tuple[UserPeriods, int]:
    """Cut the data into consecutive periods, the last of which ends with the report or, where that is earlier, with the data.

    Parameters
    ----------
    period
        Of the report.
    window_days, period_days
        Days of the window whose activity counts, and of a period.

    Returns
    -------
    UserPeriods, int
        As many as there are whole windows in the data, those before the report among them: they are the history of its
        alarms. And the number of the first one that lies whole in the report.

    Raises
    ------
    ParameterError
        Days that are no whole positive numbers, a window shorter than a period or longer than the data, a report shorter
        than a period.
    """
    check_days("window_days", [window_days])
    check_days("period_days", [period_days])
    if window_days < period_days:
        raise ParameterError(
            f"window_days {window_days} is shorter than period_days {period_days}: what users do in between would count "
            f"nowhere. Allowed: windows of {period_days} days and more."
        )
    first = (local_date(period.data_start_ms, period.timezone) - _EPOCH).days
    last = (local_date(period.data_end_ms, period.timezone) - _EPOCH).days
    end = min((period.end_date - _EPOCH).days, last)
    start = (period.start_date - _EPOCH).days if period.has_start else first
    reach = f"they reach from {day_of(first)} to {day_of(last - 1)}"
    if start >= last:
        raise ParameterError(
            f"start_date {period.start_date}: the report begins after the data end; {reach}. Allowed: up to "
            f"{day_of(last - period_days)}, so that one period of {period_days} days lies in the report."
        )
    if end <= first:
        raise ParameterError(f"end_date {period.end_date}: the report ends before the data begin; {reach}.")
    if end - first < window_days:
        raise ParameterError(
            f"window_days {window_days} is longer than the data up to the end of the report: {end - first} days, "
            f"from {day_of(first)} to {day_of(end - 1)}. Choose a shorter window or a later end_date."
        )
    count = min((end - first - window_days) // period_days + 1, MOST_PERIODS)
    ends = tuple(end - period_days * back for back in range(count - 1, -1, -1))
    inside = [number for number, one in enumerate(ends) if one - period_days >= start]
    if not inside:
        raise ParameterError(
            f"period_days {period_days} is longer than the report: {end - start} days, from {period.start_date} to "
            f"{day_of(end - 1)}. Choose a start_date up to {day_of(end - period_days)}, or shorter periods."
        )
    return UserPeriods(ends, period_days, window_days), inside[0]


def find_reference(periods: UserPeriods, first_in_report: int, reference_end: object) -> int:
    """Number of the period whose users decide where the lines are.

    Parameters
    ----------
    periods, first_in_report
        From ``find_periods``.
    reference_end
        The day after the last one of the period, as text; None: the first period of the report.

    Raises
    ------
    ParameterError
        If no period ends there, with the nearest that does.
    """
    wanted = parse_date(reference_end, "reference_end")
    if wanted is None:
        return first_in_report
    number = (wanted - _EPOCH).days
    if number in periods.ends:
        return periods.ends.index(number)
    nearest = min(periods.ends, key=lambda one: (abs(one - number), one))
    shown = ", ".join(str(day_of(one)) for one in periods.ends[-12:])
    raise ParameterError(
        f"reference_end: no period ends on {wanted}; the nearest end is {day_of(nearest)}. Allowed: null for the first "
        f"period of the report, or one of {shown} (the day after the last one)."
    )
