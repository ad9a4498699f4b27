"""How far users of each channel get, and how long they take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from workbench.contract import EVENT_RANK, TABLES
from workbench.errors import ParameterError, nearest
from workbench.metrics.funnel import Count, End, FunnelRules, funnel_hours, funnel_reach, funnel_rules
from workbench.metrics.population import USER_COLUMNS, user_key
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import ratio_by_bucket, wilson
from workbench.stats.tables import divide

SESSION_CHANNEL = "session_channel"
"""The channel of an event, as a breakdown beside the channel that acquired the user."""
COLUMNS = [
    "channel",
    "step",
    "step_index",
    "user_count",
    "step_rate",
    "overall_rate",
    "ci_lower",
    "ci_upper",
    "lower_hours",
    "median_hours",
    "upper_hours",
]
_HOURS = ["lower_hours", "median_hours", "upper_hours"]
_EVENT_COLUMNS = tuple(name for name in TABLES["events"].column_names("id", "text") if name not in ("user_id", "event"))


@dataclass(frozen=True)
class ChannelFunnel:
    """A funnel as asked for.

    Attributes
    ----------
    rules
        Steps that the source records, windows and what is held; None where fewer than two steps are recorded.
    absent
        Steps of the contract that the source never records; left out.
    user_breakdown
        Column of users to break down by; None: none, or one of events, which ``rules`` has.
    ordered
        Events without the held product of their own, which hold the products of their order's lines.
    """

    rules: FunnelRules | None
    absent: tuple[str, ...] = ()
    user_breakdown: str | None = None
    ordered: tuple[str, ...] = ()

    @property
    def has_breakdown(self) -> bool:
        """Whether rows are broken down beside the channel."""
        return self.user_breakdown is not None or (self.rules is not None and self.rules.breakdown is not None)


@dataclass(frozen=True)
class FunnelCounts:
    """How far users, or sessions, get.

    Attributes
    ----------
    table
        ``channel_funnel``, see ``channel_funnel``.
    started_count, waiting_count
        Users with an event of the first step, and those of them whose window from the first such event has not
        elapsed: their later steps may still come.
    """

    table: pd.DataFrame
    started_count: int = 0
    waiting_count: int = 0


def read_funnel(
    shop: Shop,
    funnel_steps: Sequence[str],
    *,
    window_hours: float,
    step_window_hours: float | None,
    hold: str | None,
    count: Count,
    breakdown: str | None,
    breakdown_at: End = "first",
) -> ChannelFunnel:
    """Read and check what is asked of the funnel.

    Raises
    ------
    ParameterError
        A fault of the steps or windows; a column that there is not; a step that is neither recorded nor an event of the
        contract; a step that never carries what is held.
    """
    rules = funnel_rules(
        funnel_steps,
        window_hours=window_hours,
        step_window_hours=step_window_hours,
        hold=hold,
        count=count,
        breakdown_at=breakdown_at,
    )
    if hold is not None:
        _check_event_column(shop, "hold", hold, _EVENT_COLUMNS)
    if count == "sessions":
        _check_event_column(shop, "count", "session_id", _EVENT_COLUMNS)
    of_users = breakdown if breakdown in USER_COLUMNS else None
    if breakdown is not None and of_users is None:
        _check_event_column(shop, "breakdown", breakdown, (*USER_COLUMNS, *_EVENT_COLUMNS))
        rules = replace(rules, breakdown=SESSION_CHANNEL if breakdown == "channel" else breakdown)
    elif of_users is not None and not shop.has("users", of_users):
        raise ParameterError(f'breakdown: users carry no "{of_users}"; add it, or name another column.')
    if not shop.has("events"):
        return ChannelFunnel(None, (), of_users)
    recorded = _recorded(shop, rules.names, hold)
    ordered = _ordered(shop, recorded, rules)
    absent = tuple(step for step in rules.steps if step not in recorded)
    steps = tuple(step for step in rules.steps if step in recorded)
    required = [step for step in steps if step not in rules.optional]
    if len(required) < 2:
        return ChannelFunnel(None, absent, of_users)
    if not absent:
        return ChannelFunnel(rules, (), of_users, ordered)
    return ChannelFunnel(_without(rules, set(absent)), absent, of_users, ordered)


def _without(rules: FunnelRules, absent: set[str]) -> FunnelRules:
    """The same funnel without steps; exclusions and optional steps move to the required steps that stay around them."""
    kept = [step for step in rules.required if step not in absent]
    moved = []
    for name, before in rules.excluded:
        number = sum(step in kept for step in rules.required[:before])
        if 0 < number < len(kept):
            moved.append((name, number))
    first, last = (rules.steps.index(one) for one in (kept[0], kept[-1]))
    steps = tuple(step for step in rules.steps[first : last + 1] if step not in absent)
    optional = tuple(step for step in rules.optional if step in steps)
    return replace(rules, steps=steps, optional=optional, excluded=tuple(dict.fromkeys(moved)))


def _check_event_column(shop: Shop, parameter: str, name: str, allowed: Sequence[str]) -> None:
    if name not in allowed:
        raise ParameterError(
            f'{parameter}: "{name}" is no column to use{nearest(name, allowed, ".")} Allowed: {", ".join(allowed)}.'
        )
    if shop.has("events") and not shop.has("events", name):
        raise ParameterError(f'{parameter}: events carry no "{name}"; add it to the source, or leave {parameter} out.')


def _recorded(shop: Shop, names: Sequence[str], hold: str | None) -> dict[str, dict[str, int]]:
    """Events by name: how many, how many with what is held, how many with an order; names without events are missing."""
    events = shop.events
    own = events.filter(events.event.isin(list(names)))
    counted = own.group_by("event").aggregate(
        event_count=own.count(), held_count=own[hold or "event"].count(), order_count=own.order_id.count()
    )
    found = shop.collect(counted).to_dict("records")
    recorded = {str(row["event"]): {str(one): int(row[one]) for one in row if one != "event"} for row in found}
    for name in names:
        if name not in recorded and name not in EVENT_RANK:
            known = shop.collect(events.select("event").distinct().order_by("event").limit(200))["event"].tolist()
            raise ParameterError(
                f'funnel_steps: no event "{name}" in the data{nearest(name, [*known, *EVENT_RANK], ".")} '
                f"There are: {', '.join(known[:12])}."
            )
    return recorded


def _ordered(shop: Shop, recorded: dict[str, dict[str, int]], rules: FunnelRules) -> tuple[str, ...]:
    """Events that hold the products of their order; refuses those that carry neither these nor a value of their own."""
    if rules.hold is None:
        return ()
    lines = rules.hold == "product_id" and shop.has("order_lines", "product_id")
    ordered = [
        name
        for name, counts in recorded.items()
        if lines and counts["order_count"] and counts["held_count"] < counts["event_count"]
    ]
    lacking = [name for name, counts in recorded.items() if not counts["held_count"] and name not in ordered]
    if lacking:
        able = [step for step in rules.steps if step in recorded and step not in lacking]
        hint = f"give funnel_steps [{', '.join(able)}]" if len(able) > 1 else "hold another column"
        source = "; or add it to the source"
        if rules.hold == "product_id":
            source += ", or order_id to these events and product_id to order_lines"
        raise ParameterError(
            f"hold: {', '.join(sorted(lacking))} never {'carry' if len(lacking) > 1 else 'carries'} {rules.hold}, so that "
            f"nobody could get there with one {rules.hold} through all steps; {hint}{source}."
        )
    return tuple(sorted(ordered))


def funnel_table(
    shop: Shop, members: Any, period: Period, asked: ChannelFunnel, channels: Sequence[str], confidence_level: float
) -> FunnelCounts:
    """How far do users, or sessions, of each channel get?

    The first step lies in the period; the steps after it are followed to the end of the window or of the data.

    Returns
    -------
    FunnelCounts
        Its table has one row per channel (and ``breakdown_value`` where asked for) and step, channels in the order
        given: step_index, user_count (or sessions), step_rate (of the required step before), overall_rate of step 1 with
        its interval (Wilson; for sessions over buckets of users), and lower_hours, median_hours, upper_hours: quartiles of
        the hours from step 1.
    """
    rules = asked.rules
    columns = [COLUMNS[0], *(["breakdown_value"] if asked.has_breakdown else []), *COLUMNS[1:]]
    if rules is None:
        return FunnelCounts(pd.DataFrame(columns=columns))
    events, last_ms = _followed(shop, period, rules)
    events = _with_products(shop, events, asked.ordered).rename({SESSION_CHANNEL: "channel"})
    broken = asked.user_breakdown or rules.breakdown
    groups = ["channel", *([asked.user_breakdown] if asked.user_breakdown else [])]
    by_bucket = rules.count == "sessions"
    wanted = [*groups, *(["user_bucket"] if by_bucket else [])]
    known = shop.keyed(members.select("user_id", *wanted))
    events = shop.keyed(events)
    hours = shop.collect(funnel_hours(events, rules, groups, known))
    starters = shop.collect(_starters(events, rules, groups, known, last_ms - rules.window_ms))
    started, waiting = (int(starters[name].sum()) for name in ("step_1", "waiting_count"))
    if by_bucket or rules.breakdown:
        reached = shop.collect(funnel_reach(events, rules, wanted, known))
    else:  # who reaches later steps is counted with their hours: only the first step is left to count
        reached = _by_step(starters.drop(columns="waiting_count"), hours, groups, len(rules.steps))
    keys = ["channel", *(["breakdown_value"] if broken else [])]
    if broken:
        reached, hours = (one.rename(columns={broken: "breakdown_value"}) for one in (reached, hours))
    steps = [f"step_{number}" for number in range(1, len(rules.steps) + 1)]
    counts = reached.groupby(keys)[steps].sum()
    if not counts.to_numpy().sum():
        return FunnelCounts(pd.DataFrame(columns=columns))
    if broken:
        order = {name: number for number, name in enumerate(channels)}
        counts = counts.assign(
            place=[order[one] for one in counts.index.get_level_values("channel")], size=-counts["step_1"]
        )
        counts = counts.sort_values(["place", "size", "breakdown_value"])[steps]
    else:
        counts = counts.reindex(pd.Index(channels, name="channel"), fill_value=0)
    table = _long(counts, keys, rules, reached if by_bucket else None, confidence_level)
    hours = hours.rename(columns={"step": "step_index"})[[*keys, "step_index", *_HOURS]]
    hours["step_index"] = hours["step_index"].astype("int64")
    return FunnelCounts(table.merge(hours, how="left", on=[*keys, "step_index"])[columns], started, waiting)


def _followed(shop: Shop, period: Period, rules: FunnelRules) -> tuple[Any, int]:
    """Events of the period and those that may follow its first steps, and the instant up to which they are followed."""
    events = shop.events
    last_ms = max(period.end_ms, period.data_end_ms)
    if rules.steps[0] in dict(rules.excluded):  # later ones start no chain, but break one: both cannot be told apart
        last_ms = period.end_ms
    events = events.filter(events.event_ms >= period.start_ms)
    if last_ms == period.end_ms:
        return events.filter(events.event_ms < period.end_ms), min(last_ms, period.data_end_ms)
    is_inside, is_later = events.event_ms < period.end_ms, events.event_ms < period.end_ms + rules.window_ms
    return events.filter(is_later, is_inside | (events.event != rules.steps[0])), last_ms


def _with_products(shop: Shop, events: Any, ordered: Sequence[str]) -> Any:
    """The same events, of those named that have no product one for each product of their order."""
    if not ordered:
        return events
    lacks = events.event.isin(list(ordered)) & events.product_id.isnull()
    of_orders, lines = events.filter(lacks), shop.order_lines
    lines = lines.filter(lines.product_id.notnull())
    lines = lines.select(line_order=lines.order_id, line_product=lines.product_id).distinct()
    joined = of_orders.inner_join(lines, of_orders.order_id == lines.line_order)
    columns = {name: joined[name] for name in events.columns}
    columns["product_id"] = joined.line_product
    return events.filter(~lacks).union(joined.select(**columns))


def _starters(events: Any, rules: FunnelRules, groups: list[str], known: Any, elapsed_ms: int) -> Any:
    """Users with an event of the first step, by group, and how many of them have none so early that its window has elapsed."""
    first = events.filter(events.event == rules.steps[0])
    if rules.hold:
        first = first.filter(first[rules.hold].notnull())
    key = user_key(first, known)
    users = first.group_by(key).aggregate(earliest_ms=first.event_ms.min()).inner_join(known, key)
    is_waiting = (users.earliest_ms > elapsed_ms).cast("int64")
    return users.group_by(groups).aggregate(step_1=users.count(), waiting_count=is_waiting.sum())


def _by_step(starters: pd.DataFrame, hours: pd.DataFrame, groups: list[str], steps: int) -> pd.DataFrame:
    """Counts of users by group, one column per step."""
    later = hours.pivot(index=groups, columns="step", values="reached_count")
    later = later.reindex(columns=range(2, steps + 1)).rename(columns=lambda step: f"step_{step}")
    return starters.set_index(groups).join(later).fillna(0).astype("int64").reset_index()


def _long(
    counts: pd.DataFrame, keys: list[str], rules: FunnelRules, by_bucket: pd.DataFrame | None, confidence_level: float
) -> pd.DataFrame:
    """One row per group and step, with rates."""
    before = [
        max((rules.steps.index(one) for one in rules.required if rules.steps.index(one) < number), default=0)
        for number in range(len(rules.steps))
    ]
    parts = []
    for number, step in enumerate(rules.steps):
        reached, first = counts[f"step_{number + 1}"], counts["step_1"]
        if by_bucket is None:
            found = wilson(reached, first, confidence_level=confidence_level)
        else:
            wide = {
                one: by_bucket.pivot_table(index="user_bucket", columns=keys, values=one, aggfunc="sum", fill_value=0)
                .reindex(columns=counts.index, fill_value=0)
                .to_numpy(dtype=float)
                for one in (f"step_{number + 1}", "step_1")
            }
            found = ratio_by_bucket(wide[f"step_{number + 1}"], wide["step_1"], confidence_level=confidence_level)
        part = counts.index.to_frame(index=False).assign(
            step=step,
            step_index=number + 1,
            user_count=reached.to_numpy(),
            step_rate=divide(reached, counts[f"step_{before[number] + 1}"]).to_numpy(),
            overall_rate=found.estimate,
            ci_lower=found.lower,
            ci_upper=found.upper,
            place=range(len(counts)),
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True).sort_values(["place", "step_index"]).drop(columns="place")
