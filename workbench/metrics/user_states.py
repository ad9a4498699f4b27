"""What each user did in the window that ends with each of some consecutive periods, and in which quadrant that puts them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.local_days import local_day
from workbench.period import DAY_MS, Period

UserMetric = Literal[
    "visit_days",
    "sessions",
    "orders",
    "paid_amount",
    "average_order_value",
    "days_since_last_visit",
    "categories_bought",
]
QUADRANTS = ("high_high", "high_low", "low_high", "low_low")
"""First word x, second word y; in tables of this module they are the numbers 1 to 4."""
OUT, NEW, RETURNED = 0, 5, 6
"""Numbers of groups beside the quadrants: outside (to: gone), first seen in the period, seen before but not in the last window."""
_AT_ONCE = 4
"""Periods whose moves are counted in one pass; the combinations of groups grow with them."""
_NAMED = 2
"""Periods whose sides are written in one step of ``UserStates.coded``: the engine plans short steps fastest."""
_NO_DAY, _LAST_DAY = -(2**15), 2**15 - 1
_DECIMALS = 4
"""Sums of money are rounded to so many decimals, so that engines that add in another order agree who is on the line."""


@dataclass(frozen=True)
class UserPeriods:
    """Consecutive periods of equal length, each with the window that ends with it.

    Attributes
    ----------
    ends
        The local day after each period, ascending, as days since 1970-01-01; each ``period_days`` after the one before.
    period_days, window_days
        Days of a period, and of the window whose activity counts; the window is no shorter.

    Examples
    --------
    >>> weeks = UserPeriods((28, 35), period_days=7, window_days=28)
    >>> weeks.window(1), weeks.own(1), len(weeks)
    ((7, 35), (28, 35), 2)
    """

    ends: tuple[int, ...]
    period_days: int
    window_days: int

    def __len__(self) -> int:
        return len(self.ends)

    def window(self, number: int) -> tuple[int, int]:
        """First day of the window and the day after it."""
        return self.ends[number] - self.window_days, self.ends[number]

    def own(self, number: int) -> tuple[int, int]:
        """First day of the period itself and the day after it."""
        return self.ends[number] - self.period_days, self.ends[number]


@dataclass(frozen=True)
class Line:
    """Where an axis is cut, the same in all periods.

    Attributes
    ----------
    metric
        One of ``UserMetric``, or a column of users.
    threshold
        A value above it is high.
    hysteresis
        Who was inside in the period before changes side only beyond threshold ± hysteresis × its size, from 0 to 1. At a
        threshold of 0 the band has no width: any value above 0 is high.
    """

    metric: str
    threshold: float
    hysteresis: float


def user_days(tables: Mapping[str, ir.Table], period: Period) -> ir.Table:
    """On which local days did each user do anything?

    Parameters
    ----------
    tables
        ``events`` and ``orders`` with ``user_key``, as far as there are.
    period
        Gives the time zone.

    Returns
    -------
    ibis.Table
        One row per user_key and ``day`` (since 1970-01-01) with an event, or an order submitted or paid: next_day, the next
        such day of the user (null: none).

    Notes
    -----
    One window over all rows finds the next day and leaves one row a day at once: the last of several rows of a day is the
    one that has no other of that day after it. Rows come out with those of a user side by side, which makes it cheaper to
    group them by user later. Days are 16 bits while the data end before 2059; a day beyond these bits, which is far outside
    the data, is the last of them.
    """
    seen = [
        table.filter(table.user_id.notnull(), table[instant].notnull()).select(
            "user_key", day=_narrow(local_day(table[instant], period), period)
        )
        for name, instant in (("events", "event_ms"), ("orders", "submitted_ms"), ("orders", "paid_ms"))
        if name in tables
        for table in [tables[name]]
    ]
    rows = ibis.union(*seen) if len(seen) > 1 else seen[0]
    # lead() says null after the last row only of what can be null itself
    following = rows.day.nullif(_NO_DAY).lead().over(group_by="user_key", order_by="day")
    told = rows.select("user_key", "day", next_day=following)
    return told.filter(told.next_day.isnull() | (told.next_day > told.day))


def _narrow(day: ir.IntegerValue, period: Period) -> ir.IntegerValue:
    """A day in 16 bits if the data end before they do, else in 32."""
    if max(period.data_end_ms, period.end_ms) // DAY_MS + 1 >= _LAST_DAY:
        return day.cast("int32")
    return ibis.least(ibis.greatest(day, _NO_DAY + 1), _LAST_DAY).cast("int16")


def user_windows(
    tables: Mapping[str, ir.Table],
    days: ir.Table,
    period: Period,
    periods: UserPeriods,
    metrics: Sequence[str],
    *,
    has_sessions: bool = False,
) -> ir.Table:
    """What did each user do in each window?

    Parameters
    ----------
    tables
        ``events``, ``orders``, ``users``, ``order_lines`` and ``products`` as far as there are; those of users with
        ``user_key``.
    days
        From ``user_days``.
    period
        Gives the time zone.
    periods
        The periods.
    metrics
        Which metrics are asked for; any other name is a numeric column of ``users``.
    has_sessions
        Whether events name their session; if not, or where one is null, a user's local day is one session.

    Returns
    -------
    ibis.Table
        One row per user_key with activity, be it outside all windows: user_bucket (of buyers, else null), first_day (first seen, or
        first activity in the data if that is earlier), and for each period k: visit_days_k, is_visitor_k (any activity in
        the period's own days, from the second period on), order_count_k, paid_amount_k (paid orders), last_day_k, sessions_k, categories_k where asked for;
        own columns of users as ``own_<column>``; is_told, whether ``users`` has the user (where there is that table).
    """
    every = range(len(periods))
    last_days = {}
    if "days_since_last_visit" in metrics:
        last_days = {f"last_day_{k}": _.day.max(where=_inside(_.day, periods.window(k))) for k in every}
    # No filter: DuckDB would guess that it leaves a fifth, and build its joins on the many users instead of on what is joined.
    found = days.group_by("user_key").aggregate(
        first_day=_.day.min(),
        **{f"visit_days_{k}": _.count(where=_inside(_.day, periods.window(k))).cast("int16") for k in every},
        **{f"is_visitor_{k}": _inside(_.day, periods.own(k)).any() for k in every[1:]},
        **last_days,
    )
    bought = _bought(tables.get("orders"), period, periods)
    parts = [bought] if bought is not None else []
    if "sessions" in metrics:
        parts.append(_sessions(tables["events"], period, periods, has_sessions))
    if "categories_bought" in metrics:
        parts.append(_categories(tables, period, periods))
    filled = [name for part in parts for name in part.columns if name not in ("user_key", "user_bucket")]
    if "users" in tables:
        users = tables["users"]
        own = {
            f"own_{name}": users[name].try_cast("float64") if users[name].type().is_string() else users[name]
            for name in metrics
            if is_own(name)
        }
        seen_day = _narrow(local_day(users.first_seen_ms, period), period)
        parts.append(users.select("user_key", seen_day=seen_day, is_told=ibis.literal(True), **own))
    for part in parts:
        found = found.left_join(part, "user_key").drop("user_key_right")
    changed: dict[str, ir.Value] = {name: found[name].fill_null(0) for name in filled}
    if "users" in tables:
        changed["first_day"] = ibis.least(found.first_day, found.seen_day.fill_null(found.first_day))
        changed["is_told"] = found.is_told.fill_null(False)
        found = found.mutate(**changed).drop("seen_day")
    else:
        found = found.mutate(**changed)
    if bought is None:
        zero = {f"order_count_{k}": ibis.literal(0, "int32") for k in every}
        found = found.mutate(
            user_bucket=ibis.null("int16"), **zero, **{f"paid_amount_{k}": ibis.literal(0.0) for k in every}
        )
    return found


def is_own(metric: str) -> bool:
    """Whether a metric is a column of users and none of ours."""
    return metric not in UserMetric.__args__  # type: ignore[attr-defined]


def _inside(day: ir.IntegerValue, days: tuple[int, int]) -> ir.BooleanValue:
    return (day >= days[0]) & (day < days[1])


def _bought(orders: ir.Table | None, period: Period, periods: UserPeriods) -> ir.Table | None:
    if orders is None:
        return None
    paid = orders.filter(orders.user_id.notnull(), orders.paid_ms.notnull())
    paid = paid.select("user_key", "user_bucket", "paid_amount", day=local_day(paid.paid_ms, period).cast("int32"))
    paid = paid.filter(_inside(paid.day, (periods.window(0)[0], periods.ends[-1])))
    every = range(len(periods))
    return paid.group_by("user_key").aggregate(
        user_bucket=_.user_bucket.max(),
        **{f"order_count_{k}": _.count(where=_inside(_.day, periods.window(k))).cast("int32") for k in every},
        **{
            f"paid_amount_{k}": _.paid_amount.sum(where=_inside(_.day, periods.window(k)))
            .cast("float64")
            .fill_null(0.0)
            .round(_DECIMALS)
            for k in every
        },
    )


def _sessions(events: ir.Table, period: Period, periods: UserPeriods, has_sessions: bool) -> ir.Table:
    """Sessions by the local day on which they began."""
    rows = events.filter(events.user_id.notnull(), events.event_ms.notnull())
    day = local_day(rows.event_ms, period).cast("int32")
    text = day.cast("string")
    session = rows.session_id.cast("string").fill_null(text) if has_sessions else text
    rows = rows.select("user_key", day=day, session=session)
    begun = rows.group_by(["user_key", "session"]).aggregate(day=_.day.min())
    return begun.group_by("user_key").aggregate(
        **{f"sessions_{k}": _.count(where=_inside(_.day, periods.window(k))).cast("int32") for k in range(len(periods))}
    )


def _categories(tables: Mapping[str, ir.Table], period: Period, periods: UserPeriods) -> ir.Table:
    """Different categories in the lines of paid orders; a line without a category counts for none."""
    lines, orders = tables["order_lines"], tables["orders"]
    category = lines.select("order_id", "product_id", "category")
    if "products" in tables:
        products = tables["products"].select("product_id", product_category=tables["products"].category)
        category = category.left_join(products, "product_id")
        category = category.mutate(category=category.category.fill_null(category.product_category))
    category = category.select("order_id", "category").filter(_.category.notnull())
    paid = orders.filter(orders.user_id.notnull(), orders.paid_ms.notnull())
    paid = paid.select("order_id", "user_key", day=local_day(paid.paid_ms, period).cast("int32"))
    joined = paid.inner_join(category, "order_id")
    every = range(len(periods))
    by_category = joined.group_by(["user_key", "category"]).aggregate(
        **{f"lines_{k}": _.count(where=_inside(_.day, periods.window(k))) for k in every}
    )
    return by_category.group_by("user_key").aggregate(
        **{f"categories_{k}": _.count(where=_[f"lines_{k}"] > 0).cast("int32") for k in every}
    )


def metric_value(users: ir.Table, metric: str, periods: UserPeriods, number: int) -> ir.NumericValue:
    """Value of a metric for each user in the window of one period.

    ``average_order_value`` of a user without an order is 0; ``days_since_last_visit`` is 0 on the day of the last visit,
    and null for users without activity in the window.
    """
    if metric == "orders":
        return users[f"order_count_{number}"]
    if metric == "average_order_value":
        orders = users[f"order_count_{number}"]
        return (users[f"paid_amount_{number}"] / orders.nullif(0)).fill_null(0.0).round(_DECIMALS)
    if metric == "days_since_last_visit":
        return periods.ends[number] - 1 - users[f"last_day_{number}"]
    if metric == "categories_bought":
        return users[f"categories_{number}"]
    if is_own(metric):
        return users[f"own_{metric}"]
    return users[f"{metric}_{number}"]


def is_member(users: ir.Table, metrics: Sequence[str], number: int, *, with_buyers_only: bool) -> ir.BooleanValue:
    """Whether a user is in a period: active in its window (or with a paid order in it), and own columns known."""
    inside = users[f"{'order_count' if with_buyers_only else 'visit_days'}_{number}"] > 0
    for metric in metrics:
        if is_own(metric):
            inside = inside & users[f"own_{metric}"].notnull()
    return inside


@dataclass(frozen=True)
class UserStates:
    """In which quadrant is each user in each period? Expressions on one table of users.

    Attributes
    ----------
    users
        From ``user_windows``, lazy.
    periods
        The periods.
    x, y
        The two axes.
    with_buyers_only
        Only users with a paid order in the window are in a period.
    thresholds
        Columns of ``users`` that hold the thresholds of x and y, where they are to be read from there; None: those of the
        lines.
    is_coded
        Whether ``users`` has the quadrants already, as ``code_<k>``.
    """

    users: ir.Table
    periods: UserPeriods
    x: Line
    y: Line
    with_buyers_only: bool = False
    thresholds: tuple[str, str] | None = None
    is_coded: bool = False

    def codes(self) -> list[ir.IntegerValue]:
        """For each period 1 to 4 for ``QUADRANTS``, 0 for users outside."""
        every = range(len(self.periods))
        if self.is_coded:
            return [self.users[f"code_{k}"] for k in every]
        return [_code(x, y) for x, y in zip(*self._sides(every, (None, None)))]

    def coded(self, named: Callable[[str, ir.Table], ir.Table]) -> "UserStates":
        """The same, with the quadrants as columns of the users.

        Parameters
        ----------
        named
            Gives a lazy table a name in the engine, ``Engine.named``. Each side rests on the one before: where a few
            periods have a name the next ones read it, instead of being written with all that went before.
        """
        users, before = self.users, (None, None)
        for first in range(0, len(self.periods), _NAMED):
            numbers = range(first, min(first + _NAMED, len(self.periods)))
            sides = replace(self, users=users)._sides(numbers, before)
            codes = {f"code_{k}": _code(x, y) for k, x, y in zip(numbers, *sides)}
            users = named(f"{first}", users.mutate(**codes, x_side=sides[0][-1], y_side=sides[1][-1]))
            before = (users.x_side, users.y_side)
        return replace(self, users=users.drop("x_side", "y_side"), is_coded=True)

    def _inside(self, number: int) -> ir.BooleanValue:
        metrics = (self.x.metric, self.y.metric)
        return is_member(self.users, metrics, number, with_buyers_only=self.with_buyers_only)

    def _sides(
        self, numbers: Sequence[int], before: tuple[ir.IntegerValue | None, ir.IntegerValue | None]
    ) -> tuple[list[ir.IntegerValue], list[ir.IntegerValue]]:
        """For each period the sides in x and in y: 1 for high, -1 for low, 0 for outside; ``before`` the first of them."""
        at = self.thresholds or (None, None)
        return self._side(self.x, at[0], numbers, before[0]), self._side(self.y, at[1], numbers, before[1])

    def _side(
        self, line: Line, column: str | None, numbers: Sequence[int], before: ir.IntegerValue | None
    ) -> list[ir.IntegerValue]:
        """Each side stands once in the next one's expression, so that expressions grow with the periods and do not double."""
        threshold = ibis.literal(line.threshold) if column is None else self.users[column]
        band = line.hysteresis * (abs(line.threshold) if column is None else threshold.abs())
        has_band = bool(line.hysteresis) if column is not None else bool(band)
        found: list[ir.IntegerValue] = []
        for k in numbers:
            limit = threshold if before is None or not has_band else threshold - band * before
            here, is_high = self._inside(k), metric_value(self.users, line.metric, self.periods, k) > limit
            before = ibis.cases((here & is_high, 1), (here, -1), else_=0).cast("int8")
            found.append(before)
        return found


def _code(x: ir.IntegerValue, y: ir.IntegerValue) -> ir.IntegerValue:
    """1 for high and 3 for low in x, one more for low in y."""
    return ibis.cases((x != 0, (2 - x) + (y < 0).cast("int8")), else_=OUT).cast("int8")


def move_sums(states: UserStates) -> ir.Table:
    """How many users are in which group in each period, where were they in the period before, and what did they do?

    Returns
    -------
    ibis.Table
        One row per period_index, ``origin`` (group in the period before: 1 to 4, or 5 new, 6 returned) and ``target`` (group in
        the period: 1 to 4, or 0 gone): user_count, stopped_count (in a quadrant before, and without any activity in the
        period's own days), order_count, paid_amount, x_sum and y_sum (of the period's window), paid_before (of the window
        before), stopped_paid_before (of those who stopped). In the first period nobody was in a quadrant before.

    Notes
    -----
    New are users first seen on or after the day on which the period begins; who is outside in the period before and was
    seen earlier has returned.
    """
    parts = []
    for first in range(0, len(states.periods), _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, len(states.periods)))
        cells = _cells(states, numbers)
        parts += [_moves(cells, k) for k in numbers]
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _cells(states: UserStates, numbers: Sequence[int]) -> ir.Table:
    """Users who are in the same groups in all of these periods, summed: one pass over the users for several periods.

    One row per combination of ``code_k`` of the periods and the one before them, ``is_new_k`` and ``is_stopped_k``:
    user_count, and orders_k, paid_k, x_k, y_k.
    """
    users, codes = states.users, states.codes()
    by: dict[str, ir.Value] = {}
    sums: dict[str, ir.Value] = {"user_count": _.count()}
    values: dict[str, ir.Value] = {}
    for k in range(max(numbers[0] - 1, 0), numbers[-1] + 1):
        by[f"code_{k}"] = codes[k]
        values[f"paid_{k}"] = users[f"paid_amount_{k}"]
        if k not in numbers:
            continue
        by[f"is_new_{k}"] = users.first_day >= states.periods.own(k)[0]
        if k:
            by[f"is_stopped_{k}"] = ~users[f"is_visitor_{k}"]
        values[f"orders_{k}"] = users[f"order_count_{k}"]
        values[f"x_{k}"] = metric_value(users, states.x.metric, states.periods, k).cast("float64")
        values[f"y_{k}"] = metric_value(users, states.y.metric, states.periods, k).cast("float64")
    sums |= {name: _[name].sum() for name in values}
    return users.select(**by, **values).group_by(list(by)).aggregate(**sums)


def _moves(cells: ir.Table, k: int) -> ir.Table:
    """The rows of ``move_sums`` of one period, from ``_cells``."""
    outside = ibis.literal(OUT, "int8")
    chosen = cells.select(
        before=cells[f"code_{k - 1}"] if k else outside,
        target=cells[f"code_{k}"],
        arrival=ibis.ifelse(cells[f"is_new_{k}"], NEW, RETURNED).cast("int8"),
        stopped=cells[f"is_stopped_{k}"] if k else ibis.literal(False),
        users=cells.user_count,
        orders=cells[f"orders_{k}"],
        paid=cells[f"paid_{k}"],
        paid_before=cells[f"paid_{k - 1}"] if k else ibis.literal(0.0),
        x=cells[f"x_{k}"],
        y=cells[f"y_{k}"],
    )
    chosen = chosen.filter((chosen.before != OUT) | (chosen.target != OUT))
    chosen = chosen.mutate(origin=ibis.ifelse(chosen.before == OUT, chosen.arrival, chosen.before).cast("int8"))
    is_stopped = (chosen.before != OUT) & chosen.stopped
    return chosen.group_by(["origin", "target"]).aggregate(
        period_index=ibis.literal(k, "int64"),
        user_count=chosen.users.sum(),
        stopped_count=chosen.users.sum(where=is_stopped).fill_null(0),
        order_count=chosen.orders.sum().cast("int64"),
        paid_amount=chosen.paid.sum(),
        x_sum=chosen.x.sum().fill_null(0.0),
        y_sum=chosen.y.sum().fill_null(0.0),
        paid_before=chosen.paid_before.sum(),
        stopped_paid_before=chosen.paid_before.sum(where=is_stopped).fill_null(0.0),
    )


def bucket_sums(states: UserStates) -> ir.Table:
    """What did the users of each quadrant pay in each period, by bucket of users?

    Returns
    -------
    ibis.Table
        One row per period_index, ``code`` (1 to 4) and user_bucket with a payment: paid_amount, paid_squares (sum over users
        of their squared paid amount).
    """
    parts = []
    for k, code in enumerate(states.codes()):
        buyers = states.users.filter(states.users[f"paid_amount_{k}"] > 0)
        chosen = buyers.select("user_bucket", code=code, paid=buyers[f"paid_amount_{k}"]).filter(_.code != OUT)
        parts.append(
            chosen.group_by(["code", "user_bucket"]).aggregate(
                period_index=ibis.literal(k, "int64"),
                paid_amount=_.paid.sum(),
                paid_squares=(_.paid * _.paid).sum(),
            )
        )
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def value_range(
    users: ir.Table, metrics: Sequence[str], periods: UserPeriods, number: int, *, with_buyers_only: bool
) -> ir.Table:
    """Which values have the metrics over the users in one period?

    Returns
    -------
    ibis.Table
        One row: user_count, unknown_count (users left out because an own column is empty), and for each place i among
        the metrics least_i, most_i, mean_i.
    """
    inside = is_member(users, metrics, number, with_buyers_only=with_buyers_only)
    active = users[f"{'order_count' if with_buyers_only else 'visit_days'}_{number}"] > 0
    values = {f"v{i}": metric_value(users, metric, periods, number) for i, metric in enumerate(metrics)}
    chosen = users.select(inside=inside, active=active, **values)
    kept = chosen.inside
    parts: dict[str, ir.Value] = {}
    for i in range(len(metrics)):
        value = chosen[f"v{i}"].cast("float64")
        parts |= {
            f"least_{i}": value.min(where=kept),
            f"most_{i}": value.max(where=kept),
            f"mean_{i}": value.mean(where=kept),
        }
    return chosen.aggregate(
        user_count=chosen.count(where=kept), unknown_count=chosen.count(where=chosen.active & ~kept), **parts
    )


def ordered_values(
    users: ir.Table,
    metric: str,
    inside: ir.BooleanValue,
    periods: UserPeriods,
    number: int,
    places: Sequence[int] | Sequence[ir.IntegerScalar],
) -> ir.Table:
    """Which values stand at these places when the users' values are sorted? Exact on every engine.

    Parameters
    ----------
    users, metric, periods, number
        As for ``metric_value``.
    inside
        Users that count.
    places
        From 0 for the least.

    Returns
    -------
    ibis.Table
        One row: value_0, value_1, ... in the order of the places.
    """
    value = metric_value(users, metric, periods, number).cast("float64")
    counted = users.select(value=value, inside=inside).filter(_.inside).group_by("value").aggregate(rows=_.count())
    running = counted.mutate(upto=counted.rows.sum().over(ibis.cumulative_window(order_by=counted.value)))
    return running.aggregate(
        **{f"value_{i}": running.value.min(where=running.upto > place) for i, place in enumerate(places)}
    )


def _ids(users: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """One row per user_key: user_id, from ``users`` of the shop, and from the many rows of the others for whom they lack."""
    others = [
        table.filter(table.user_id.notnull()).select("user_key", "user_id")
        for name in ("orders", "events")
        if name in tables
        for table in [tables[name]]
    ]
    parts = []
    if "users" in tables:
        told = tables["users"]
        parts.append(told.filter(told.user_id.notnull()).select("user_key", "user_id"))
        lacking = users.filter(~users.is_told).select("user_key")
        others = [one.semi_join(lacking, "user_key") for one in others]
    union = ibis.union(*others) if len(others) > 1 else others[0]
    parts.append(union.group_by("user_key").aggregate(user_id=_.user_id.arbitrary()))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def quadrant_members(
    states: UserStates, tables: Mapping[str, ir.Table], user_bucket: Callable[[ir.Value], ir.IntegerValue]
) -> ir.Table:
    """Who is in which quadrant in the last period?

    Parameters
    ----------
    states
        The quadrants.
    tables
        Tables with user_key and user_id, for the ids.
    user_bucket
        Gives the bucket of an id, ``Engine.user_bucket``.

    Returns
    -------
    ibis.Table
        One row per user in the last period: user_key, user_id, user_bucket, quadrant, x_value, y_value, order_count,
        paid_amount (of its window).
    """
    last = len(states.periods) - 1
    users = states.users
    members = users.mutate(code=states.codes()[last])
    joined = members.filter(members.code != OUT).inner_join(_ids(users, tables), "user_key")
    quadrant = ibis.cases(
        *[(joined.code == code, name) for code, name in enumerate(QUADRANTS, 1)], else_=ibis.null("string")
    )
    return joined.select(
        "user_key",
        "user_id",
        user_bucket=user_bucket(joined.user_id),
        quadrant=quadrant,
        x_value=metric_value(joined, states.x.metric, states.periods, last).cast("float64"),
        y_value=metric_value(joined, states.y.metric, states.periods, last).cast("float64"),
        order_count=joined[f"order_count_{last}"].cast("int64"),
        paid_amount=joined[f"paid_amount_{last}"],
    )
