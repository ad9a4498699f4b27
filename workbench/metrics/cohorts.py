"""What users who came in the same week or month do later, and what they pay day by day."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.local_days import local_day
from workbench.metrics.retention import WholePeriods, period_number, whole_periods
from workbench.period import DAY_MS, Period, local_date

CohortUnit = Literal["week", "month"]
_EPOCH = date(1970, 1, 1)
_FIRST_OF_MARCH_0000 = 719_468
"""Days from 0000-03-01 to 1970-01-01."""


def month_number(day: ir.IntegerValue) -> ir.IntegerValue:
    """Number of the month in which a day lies: January 1970 is 0.

    The day is its number since 1970-01-01. Whole numbers alone, so that every engine gives the same.

    References
    ----------
    Hinnant, H. (2013), chrono-compatible low-level date algorithms, civil_from_days.
    """
    since = day + _FIRST_OF_MARCH_0000
    of_era = since % 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    day_of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * day_of_year + 2) // 153
    years = year_of_era + (since // 146_097) * 400
    return (years * 12 + from_march + 2 - 1_970 * 12).cast("int64")


def first_day(number: int, unit: CohortUnit) -> date:
    """First day of a week or month by its number.

    Examples
    --------
    >>> first_day(0, "week"), first_day(674, "month")
    (datetime.date(1969, 12, 29), datetime.date(2026, 3, 1))
    """
    if unit == "week":
        return _EPOCH + timedelta(days=7 * number - 3)
    return date(1970 + number // 12, number % 12 + 1, 1)


def whole_cohorts(period: Period, unit: CohortUnit) -> WholePeriods:
    """Which weeks or months lie whole in the report's period and in the data?

    Examples
    --------
    >>> from workbench.period import make_period
    >>> spring = make_period("2026-03-01", "2026-05-20", "UTC", data_start_ms=0, data_last_ms=1774569600000)
    >>> whole_cohorts(spring, "month")  # the data end on 2026-03-27: not even March is whole
    WholePeriods(first=674, end=674, data_end=674)
    """
    if unit == "week":
        return whole_periods(period, "week")
    start = max(period.start_date, local_date(period.data_start_ms, period.timezone))
    data_end = local_date(period.data_end_ms, period.timezone)
    end = min(period.end_date, data_end)
    first = _month(start) + (start.day > 1)
    return WholePeriods(first, max(_month(end), first), max(_month(data_end), first))


def _month(day: date) -> int:
    return (day.year - 1970) * 12 + day.month - 1


def active_days(tables: Mapping[str, ir.Table], paid: ir.Table, period: Period) -> ir.Table:
    """On which local days was each user active, and what did the user pay?

    Parameters
    ----------
    tables
        ``events`` where there are some, ``orders``.
    paid
        Paid orders.
    period
        Gives the time zone of local days.

    Returns
    -------
    ibis.Table
        One row per user_id and ``day`` with an event or an order submitted or paid: order_count, paid_amount.
    """
    zero = {"order_count": ibis.literal(0, type="int64"), "paid_amount": ibis.literal(0.0)}
    seen = [
        table.filter(table.user_id.notnull(), table[instant].notnull())
        .select("user_id", day=local_day(table[instant], period))
        .distinct()
        .mutate(**zero)
        for name, instant in (("events", "event_ms"), ("orders", "submitted_ms"))
        if name in tables
        for table in [tables[name]]
    ]
    bought = paid.filter(paid.user_id.notnull()).select("user_id", "paid_amount", day=local_day(paid.paid_ms, period))
    sums = bought.group_by(["user_id", "day"]).aggregate(
        order_count=bought.count().cast("int64"), paid_amount=bought.paid_amount.sum().cast("float64").fill_null(0.0)
    )
    union = ibis.union(*seen, sums)
    return union.group_by(["user_id", "day"]).aggregate(
        order_count=union.order_count.sum().cast("int64"), paid_amount=union.paid_amount.sum()
    )


def cohort_counts(acquired: ir.Table, days: ir.Table, period: Period, unit: CohortUnit) -> ir.Table:
    """What do users of one channel who came in the same week (month) do in the weeks (months) after?

    Parameters
    ----------
    acquired
        Users first seen in the period, from ``population_users``: user_id, first_seen_ms, channel.
    days
        From ``active_days``.
    period
        Cohorts lie whole in it and in the data; what they do lies in whole weeks (months) of the data.
    unit
        ``week`` from Monday or calendar ``month``, in the shop's time zone.

    Returns
    -------
    ibis.Table
        One row per channel, ``cohort`` (number of the week or month) and ``period_index`` (how many later, from 0) with
        anyone: active_count (users with an event or an order; in the first one all), buyer_count and order_count (paid
        in it), paid_amount, last_count (active users for whom it is the last one).
    """
    whole = whole_cohorts(period, unit)

    def numbered(day: ir.IntegerValue) -> ir.IntegerValue:
        return period_number(day, "week") if unit == "week" else month_number(day)

    came = acquired.select("user_id", "channel", cohort=numbered(local_day(acquired.first_seen_ms, period)))
    came = came.filter(came.cohort >= whole.first, came.cohort < whole.end)
    active = days.select("user_id", "order_count", "paid_amount", number=numbered(days.day))
    # whoever is counted in the cohort came in its first week, whatever events and orders say
    first = came.select(
        "user_id", order_count=ibis.literal(0, type="int64"), paid_amount=ibis.literal(0.0), number=came.cohort
    )
    union = ibis.union(active, first)
    by_user = union.group_by(["user_id", "number"]).aggregate(
        orders=union.order_count.sum().cast("int64"), paid=union.paid_amount.sum()
    )
    joined = by_user.inner_join(came.view(), "user_id")
    joined = joined.filter(joined.number >= joined.cohort, joined.number < whole.data_end)
    last = joined.number.max().over(group_by="user_id")
    told = joined.mutate(period_index=(joined.number - joined.cohort).cast("int64"), is_last=joined.number == last)
    return told.group_by(["channel", "cohort", "period_index"]).aggregate(
        active_count=told.count(),
        buyer_count=(told.orders > 0).cast("int64").sum(),
        order_count=told.orders.sum(),
        paid_amount=told.paid.sum(),
        last_count=told.is_last.cast("int64").sum(),
    )


def early_sums(acquired: ir.Table, paid: ir.Table, period: Period, days: Sequence[int]) -> ir.Table:
    """What have acquired users paid by so many days after their first visit?

    Returns
    -------
    ibis.Table
        One row per channel and user_bucket: for each W of ``days``, of users whose W days have elapsed: eligible_W,
        paid_W (paid amount before origin + W days) and squares_W (sum over users of its square).
    """
    since = {
        f"paid_{window}": ibis.cases((_.since_ms < window * DAY_MS, _.paid_amount)).sum().fill_null(0.0)
        for window in days
    }
    came = acquired.select("user_id", "first_seen_ms")
    joined = paid.inner_join(came, "user_id")
    joined = joined.mutate(since_ms=joined.paid_ms - joined.first_seen_ms)
    spent = joined.filter(joined.since_ms >= 0).group_by("user_id").aggregate(**since)
    users = acquired.left_join(spent, "user_id").drop("user_id_right")
    counts = {}
    for window in days:
        elapsed = _.first_seen_ms + window * DAY_MS <= period.data_end_ms
        amount = ibis.cases((elapsed, _[f"paid_{window}"].fill_null(0.0))).cast("float64")
        counts[f"eligible_{window}"] = elapsed.cast("int64").sum()
        counts[f"paid_{window}"] = amount.sum().fill_null(0.0)
        counts[f"squares_{window}"] = (amount * amount).sum().fill_null(0.0)
    return users.group_by(["channel", "user_bucket"]).aggregate(**counts)


def daily_profit(acquired: ir.Table, paid: ir.Table, period: Period) -> ir.Table:
    """What do acquired users earn on each day since their first visit, as far as all of the day was watched?

    Returns
    -------
    ibis.Table
        One row per channel and ``day`` from 0 (24 hours each from the first visit) with a paid order:
        profit_amount, order_count.
    """
    came = acquired.select("user_id", "channel", "first_seen_ms", followed=_followed(acquired, period))
    joined = paid.drop("channel").inner_join(came, "user_id")
    day = ((joined.paid_ms - joined.first_seen_ms) // DAY_MS).cast("int64")
    inside = joined.filter(joined.paid_ms >= joined.first_seen_ms, day < joined.followed).mutate(day=day)
    return inside.group_by(["channel", "day"]).aggregate(
        profit_amount=inside.profit_amount.sum(), order_count=inside.count()
    )


def followed_days(acquired: ir.Table, period: Period) -> ir.Table:
    """How long could acquired users be watched? One row per channel and ``followed_days``, whole days: user_count."""
    told = acquired.select("channel", followed_days=_followed(acquired, period))
    return told.group_by(["channel", "followed_days"]).aggregate(user_count=told.count())


def _followed(acquired: ir.Table, period: Period) -> ir.IntegerValue:
    whole = ((period.data_end_ms - acquired.first_seen_ms) // DAY_MS).cast("int64")
    return ibis.greatest(whole, ibis.literal(0, type="int64"))
