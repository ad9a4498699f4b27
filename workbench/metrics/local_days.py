"""Local calendar days as whole numbers, the same on every engine."""

import ibis.expr.types as ir

from workbench.period import DAY_MS, Period, utc_offsets


def local_day(instant_ms: ir.IntegerValue, period: Period) -> ir.IntegerValue:
    """Number of the local day (1970-01-01 is 0) on which an instant lies.

    Parameters
    ----------
    instant_ms
        UTC milliseconds.
    period
        Gives the time zone and the reach of the data, over which clock changes are looked up.
    """
    first, *changes = utc_offsets(period.data_start_ms, max(period.data_end_ms, period.end_ms), period.timezone)
    local = instant_ms + first[1]
    for start, offset in changes:
        local = (instant_ms >= start).ifelse(instant_ms + offset, local)
    return (local // DAY_MS).cast("int64")
