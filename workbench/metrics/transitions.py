"""How users move from slot to slot until they convert or leave: the counts behind the Markov model."""

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.journeys import JourneyRules, journey_columns, touch_order
from workbench.period import Period


def converting_moves(served: ir.Table, rules: JourneyRules, *, by_bucket: bool = True) -> ir.Table:
    """Moves inside journeys that end in a conversion.

    Parameters
    ----------
    served
        One row per journey and touch, from ``journeys.pairs``.

    Returns
    -------
    ibis.Table
        One row per bucket (four of the 256 are one of these 64; without ``by_bucket`` all are one), origin and destination (null: the
        conversion): ``journeys``, how many made this move. Every touch is the origin of one move, so what starts
        at a slot is what leaves it less what comes to it.
    """
    journey, order = journey_columns(served, rules), touch_order(served, rules)
    moved = served.select(
        "journey_count",
        bucket=served.user_bucket // 4 if by_bucket else ibis.literal(0, "int16"),
        origin=served.credited_id.cast("string"),
        destination=_next(served).over(group_by=journey, order_by=order),
    )
    return _counted(moved, moved.journey_count)


def leaving_moves(
    touched: ir.Table, converted: ir.Table, rules: JourneyRules, period: Period, *, by_bucket: bool = True
) -> ir.Table:
    """Moves of each user's touches in the period after the last conversion, or of all without any: they end in null.

    ``converted`` are all conversions of the period: user_id, conversion_ms. The same columns as ``converting_moves``,
    where a destination that is null means that the user left.
    """
    last = converted.group_by("user_id").aggregate(last_ms=_.conversion_ms.max())
    inside = touched.filter(touched.touch_ms >= period.start_ms)
    joined = inside.left_join(last, "user_id")
    left = joined.filter(joined.last_ms.isnull() | (joined.touch_ms > joined.last_ms))
    order = touch_order(left, rules)
    moved = left.select(
        bucket=left.user_bucket // 4 if by_bucket else ibis.literal(0, "int16"),
        origin=left.credited_id.cast("string"),
        destination=_next(left).over(group_by="user_id", order_by=order),
    )
    return _counted(moved, ibis.literal(1.0))


def _next(touched: ir.Table) -> ir.StringColumn:
    """What the following touch is credited to; null after the last: ClickHouse says so only of what can be null."""
    return touched.credited_id.cast("string").nullif("").lead()


def _counted(moved: ir.Table, journeys: ir.Value) -> ir.Table:
    keys = ["bucket", "origin", "destination"]
    return moved.mutate(journeys=journeys).group_by(keys).aggregate(journeys=_.journeys.sum())
