"""Who bought again on a later day, and whose window has elapsed."""

from collections.abc import Sequence

import ibis.expr.types as ir
from ibis import _

from workbench.metrics.local_days import local_day
from workbench.period import DAY_MS, Period


def next_payments(origins: ir.Table, paid: ir.Table, period: Period, by: Sequence[str]) -> ir.Table:
    """Find each buyer's next paid order on a later local day.

    Parameters
    ----------
    origins
        One row per buyer (and group): the columns ``by``, ``user_id``, ``origin_ms``.
    paid
        Paid orders.
    period
        Gives the time zone of local days.
    by
        Columns of ``origins`` to keep, such as ``channel``.

    Returns
    -------
    ibis.Table
        One row per row of ``origins``: ``by``, ``user_id``, ``origin_ms``, ``next_ms`` (null: none).
    """
    later = paid.select(later_user_id=paid.user_id, later_ms=paid.paid_ms, later_day=local_day(paid.paid_ms, period))
    dated = origins.mutate(origin_day=local_day(origins.origin_ms, period))
    joined = dated.left_join(
        later,
        [dated.user_id == later.later_user_id, later.later_day > dated.origin_day, later.later_ms > dated.origin_ms],
    )
    return joined.group_by([*by, "user_id", "origin_ms"]).aggregate(next_ms=_.later_ms.min())


def repurchase_counts(next_paid: ir.Table, period: Period, days: Sequence[int], by: Sequence[str]) -> ir.Table:
    """Count buyers whose window has elapsed, and those of them who bought again inside it.

    Returns
    -------
    ibis.Table
        One row per group of ``by``: ``origin_count``, all of its buyers, and ``eligible_<W>`` and ``repurchased_<W>`` for each number of days W.
    """
    counts = {}
    for window in days:
        end = _.origin_ms + window * DAY_MS
        elapsed = end <= period.data_end_ms
        counts[f"eligible_{window}"] = elapsed.cast("int64").sum()
        counts[f"repurchased_{window}"] = (elapsed & (_.next_ms < end)).fill_null(False).cast("int64").sum()
    return next_paid.group_by(list(by)).aggregate(origin_count=_.count(), **counts)
