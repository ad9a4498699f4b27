"""What users who came in the same week or month do later, and what they pay day by day."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.local_days import local_day
from workbench.metrics.population import user_key
from workbench.metrics.retention import WholePeriods, period_number, whole_periods
from workbench.period import DAY_MS, Period, local_date

CohortUnit = Literal["week", "month"]
_UNITS: tuple[CohortUnit, ...] = ("week", "month")
_BITS = 62  # of a whole number that engines shift without a sign
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


def activity_bits(tables: Mapping[str, ir.Table], period: Period) -> ir.Table:
    """In which weeks and months was each user active? One pass, one row per user, one bit per week and month.

    Parameters
    ----------
    tables
        ``events`` where there are some, ``orders``; keyed (``user_key``) or with ``user_id`` alone.
    period
        Gives the time zone and the whole weeks and months.

    Returns
    -------
    ibis.Table
        One row per user with an event or an order submitted or paid: the key, and ``week_0``, ``month_0``, ... whose bit
        b is 1 if the user was active in week (month) 62 w + b, counted from the first whole one, w the word's number.
    """
    key = user_key(*tables.values())
    instants = (("events", "event_ms"), ("orders", "submitted_ms"), ("orders", "paid_ms"))
    seen = [
        table.filter(table.user_id.notnull(), table[instant].notnull()).select(
            key, day=local_day(table[instant], period)
        )
        for name, instant in instants
        if name in tables
        for table in [tables[name]]
    ]
    rows = ibis.union(*seen)
    bits = {}
    for unit in _UNITS:
        whole = whole_cohorts(period, unit)
        place = _number(rows.day, unit) - whole.first
        bit = _bit(ibis.greatest(place, 0))
        for word in range(_words(whole)):
            inside = (place >= word * _BITS) & (place < min((word + 1) * _BITS, whole.data_end - whole.first))
            bits[f"{unit}_{word}"] = ibis.cases((inside, bit)).bit_or().fill_null(0).cast("int64")
    return rows.group_by(key).aggregate(**bits)


def cohort_activity(acquired: ir.Table, bits: ir.Table, period: Period, unit: CohortUnit) -> ir.Table:
    """Of users of one channel who came in the same week (month): how many are active in which, and for the last time?

    Parameters
    ----------
    acquired
        Users first seen in the period, from ``population_users``: the key of ``bits``, first_seen_ms, channel.
    bits
        From ``activity_bits``.
    period
        Cohorts lie whole in it and in the data; what they do lies in whole weeks (months) of the data.
    unit
        ``week`` from Monday or calendar ``month``, in the shop's time zone.

    Returns
    -------
    ibis.Table
        One row per channel and ``cohort`` (number of the week or month): ``active_<n>`` and ``last_<n>`` for the n-th
        whole week (month) from 0, in the one of the cohort all its users. Those before the cohort mean nothing.
    """
    whole, key = whole_cohorts(period, unit), user_key(acquired, bits)
    came = _came(acquired, period, unit, key)
    joined = came.left_join(bits, key)
    own = _bit(joined.cohort - whole.first)
    words = {}
    for word in range(_words(whole)):
        # whoever is counted in the cohort came in its first week, whatever events and orders say
        first = ibis.cases(((joined.cohort - whole.first) // _BITS == word, own), else_=0)
        words[f"word_{word}"] = (joined[f"{unit}_{word}"].fill_null(0) | first).cast("int64")
    told = joined.select("channel", "cohort", **words)
    counts = {}
    for number in range(whole.data_end - whole.first):
        word, place = divmod(number, _BITS)
        rest = told[f"word_{word}"] >> place
        later = [told[f"word_{one}"] == 0 for one in range(word + 1, _words(whole))]
        counts[f"active_{number}"] = (rest & 1).sum()
        counts[f"last_{number}"] = ibis.and_(rest == 1, *later).cast("int64").sum()
    return told.group_by(["channel", "cohort"]).aggregate(**counts)


def cohort_sales(acquired: ir.Table, paid: ir.Table, period: Period, unit: CohortUnit) -> ir.Table:
    """What do users of one channel who came in the same week (month) pay in the weeks (months) after?

    Returns
    -------
    ibis.Table
        One row per channel, ``cohort`` and ``period_index`` (how many later, from 0) with a paid order: buyer_count,
        order_count, paid_amount. Arguments as in ``cohort_activity``; ``paid`` are paid orders.
    """
    whole, key = whole_cohorts(period, unit), user_key(acquired, paid)
    bought = paid.filter(paid.user_id.notnull())
    bought = bought.select(key, "paid_amount", number=_number(local_day(bought.paid_ms, period), unit))
    by_user = bought.group_by([key, "number"]).aggregate(orders=_.count().cast("int64"), paid=_.paid_amount.sum())
    joined = by_user.inner_join(_came(acquired, period, unit, key), key)
    joined = joined.filter(joined.number >= joined.cohort, joined.number < whole.data_end)
    told = joined.mutate(period_index=(joined.number - joined.cohort).cast("int64"))
    return told.group_by(["channel", "cohort", "period_index"]).aggregate(
        buyer_count=told.count(),
        order_count=told.orders.sum().cast("int64"),
        paid_amount=told.paid.sum().cast("float64").fill_null(0.0),
    )


def _came(acquired: ir.Table, period: Period, unit: CohortUnit, key: str) -> ir.Table:
    """Users whose first week (month) is whole in the period and the data: key, channel, cohort."""
    whole = whole_cohorts(period, unit)
    came = acquired.select(key, "channel", cohort=_number(local_day(acquired.first_seen_ms, period), unit))
    return came.filter(came.cohort >= whole.first, came.cohort < whole.end)


def _number(day: ir.IntegerValue, unit: CohortUnit) -> ir.IntegerValue:
    return period_number(day, "week") if unit == "week" else month_number(day)


def _bit(place: ir.IntegerValue) -> ir.IntegerValue:
    """One bit of a word; the cast holds ClickHouse from shifting a number of eight bits."""
    return ibis.literal(1, type="int8").cast("int64") << (place % _BITS).cast("int64")


def _words(whole: WholePeriods) -> int:
    return -(-(whole.data_end - whole.first) // _BITS)


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
