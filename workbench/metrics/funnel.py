"""How far users get through ordered steps inside a window: the best chain, not only the first."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import ibis
import ibis.expr.types as ir

from workbench.contract import EVENT_RANK, LAST_RANK, UNKNOWN
from workbench.errors import ParameterError
from workbench.parameters import check_choices, check_positive
from workbench.period import HOUR_MS

Count = Literal["users", "sessions"]
End = Literal["first", "last"]

_MINUTE_MS = 60_000
_CODES = 16  # more than the ranks of the contract
_SEQS = 1 << 43  # seq orders an instant exactly as long as it stays below half of this; all fits 63 bits
_ORDERING_IDS = ("slot_id", "content_id", "product_id", "order_id")


def event_rank(event: ir.StringValue) -> ir.IntegerValue:
    """The contract's order of events within the same instant and seq."""
    return ibis.cases(*[(event == name, rank) for name, rank in EVENT_RANK.items()], else_=LAST_RANK).cast("int64")


def total_order(table: ir.Table) -> list[ir.Value]:
    """Sort keys of the contract's total order after ``event_ms``: seq, rank, then the ids (null first)."""
    return [table.seq, event_rank(table.event), *(sortable_id(table[name]) for name in _ORDERING_IDS)]


def sortable_id(value: ir.Value) -> ir.StringValue:
    """An id as text that sorts as the id does: whole numbers by size, null first."""
    text = value.cast("string")
    return (text.lpad(20, "0") if value.type().is_integer() else text).fill_null("")


@dataclass(frozen=True)
class FunnelRules:
    """What counts as getting through a funnel; ``funnel_rules`` reads and checks them as a notebook writes them.

    Attributes
    ----------
    steps
        Event names in order, each once, the first and the last of them required.
    window_ms
        Longest time from step 1 to any later step of a chain, its end included; milliseconds.
    step_window_ms
        Longest time from the required step before, its end included; None: the window alone.
    optional
        Steps that are counted where they happen and that nobody needs for the steps after them.
    excluded
        Event name and the number of required steps before it: a chain breaks if the event lies between that
        required step and whatever step follows, up to the next required one.
    hold
        Column that must have one value through all events of a chain, the excluded ones too (``product_id``);
        events in which it is null do not count.
    count
        ``users``; or ``sessions``, whose chains lie in one session each, and events without a session do not count.
    breakdown
        Column of the events to break down by, beside columns of users; null is ``(unknown)``.
    breakdown_at
        Whose value: of the ``first`` or the ``last`` required event of the chain that gets furthest.
    """

    steps: tuple[str, ...]
    window_ms: int
    step_window_ms: int | None = None
    optional: tuple[str, ...] = ()
    excluded: tuple[tuple[str, int], ...] = ()
    hold: str | None = None
    count: Count = "users"
    breakdown: str | None = None
    breakdown_at: End = "first"

    @property
    def required(self) -> tuple[str, ...]:
        """Steps without which the later ones do not count."""
        return tuple(step for step in self.steps if step not in self.optional)

    @property
    def names(self) -> tuple[str, ...]:
        """All events that matter, in the contract's order within an instant."""
        every = dict.fromkeys((*self.steps, *(name for name, _ in self.excluded)))
        return tuple(sorted(every, key=lambda name: EVENT_RANK.get(name, LAST_RANK)))

    def optional_after(self, number: int) -> tuple[str, ...]:
        """Optional steps between the required step of this number, from 1, and the next."""
        before, after = (self.steps.index(self.required[one]) for one in (number - 1, number))
        return self.steps[before + 1 : after]

    def excluded_after(self, number: int) -> tuple[str, ...]:
        """Events that must not lie between the required step of this number, from 1, and the next."""
        return tuple(name for name, before in self.excluded if before == number)


def funnel_rules(
    funnel_steps: Sequence[str],
    *,
    window_hours: float,
    step_window_hours: float | None = None,
    hold: str | None = None,
    count: Count = "users",
    breakdown: str | None = None,
    breakdown_at: End = "first",
) -> FunnelRules:
    """Read a funnel as a notebook's parameters write it.

    Parameters
    ----------
    funnel_steps
        Event names in order. ``name?`` is optional; ``!name`` breaks a chain between the two required steps around.
    window_hours, step_window_hours
        Longest time from step 1, and from the required step before (None: no limit of its own); hours above 0.
    hold, count, breakdown, breakdown_at
        As in ``FunnelRules``.

    Raises
    ------
    ParameterError
        A step or an exclusion twice, fewer than two required steps, an optional step or an exclusion at an end, an
        exclusion that is a step beside it, windows that cannot be. Whether the data know the names is not asked here.

    Examples
    --------
    >>> rules = funnel_rules(["view_item", "!search", "add_to_cart?", "purchase"], window_hours=1)
    >>> rules.steps, rules.optional, rules.excluded
    (('view_item', 'add_to_cart', 'purchase'), ('add_to_cart',), (('search', 1),))
    """
    check_positive("window_hours", window_hours, "hours")
    if step_window_hours is not None:
        check_positive("step_window_hours", step_window_hours, "hours")
        if step_window_hours > window_hours:
            raise ParameterError(
                f"step_window_hours is {step_window_hours}, longer than window_hours, {window_hours}, and would never "
                "matter; make it shorter or leave it out (null)."
            )
    check_choices("count", [count], get_args(Count))
    check_choices("breakdown_at", [breakdown_at], get_args(End))
    steps, optional, excluded = _read_steps(funnel_steps)
    rules = FunnelRules(
        steps=steps,
        window_ms=round(window_hours * HOUR_MS),
        step_window_ms=None if step_window_hours is None else round(step_window_hours * HOUR_MS),
        optional=optional,
        excluded=excluded,
        hold=hold,
        count=count,
        breakdown=breakdown,
        breakdown_at=breakdown_at,
    )
    _check_exclusions(rules)
    return rules


def _read_steps(written: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Steps, the optional ones among them, and exclusions with the number of required steps before."""
    where = f"funnel_steps: {written!r}" if isinstance(written, str) else f"funnel_steps: {list(written)}"
    if isinstance(written, str):
        raise ParameterError(f"{where} is one text; write a list of event names in order.")
    steps: list[str] = []
    optional: list[str] = []
    excluded: list[tuple[str, int]] = []
    for one in written:
        name = one.strip() if isinstance(one, str) else ""
        is_excluded, is_optional = name.startswith("!"), name.endswith("?")
        name = name.removeprefix("!").removesuffix("?").strip()
        if not name or (is_excluded and is_optional):
            raise ParameterError(
                f'{where}: {one!r} is no step; write an event name, "name?" for an optional step, or "!name" for an '
                "event that must not lie between its neighbours."
            )
        if is_excluded:
            excluded.append((name, len(steps) - len(optional)))
        else:
            steps.append(name)
            optional += [name] if is_optional else []
    required = len(steps) - len(optional)
    twice = sorted({step for step in steps if steps.count(step) > 1})
    if twice:
        raise ParameterError(f"{where} has {', '.join(twice)} twice; name each step once.")
    if required < 2:
        raise ParameterError(f"{where} has fewer than two required steps; name at least two events in order.")
    if steps[0] in optional or steps[-1] in optional:
        end = "first" if steps[0] in optional else "last"
        raise ParameterError(f'{where}: the {end} step is optional; take off the "?" or put a required step beyond it.')
    if outside := [name for name, before in excluded if before in (0, required)]:
        raise ParameterError(
            f'{where}: "!{outside[0]}" stands at an end; an exclusion belongs between two required steps.'
        )
    return tuple(steps), tuple(optional), tuple(excluded)


def _check_exclusions(rules: FunnelRules) -> None:
    for number, (before, after) in enumerate(itertools.pairwise(rules.required), start=1):
        inside = rules.excluded_after(number)
        place = f"funnel_steps: between {before} and {after}"
        if len(set(inside)) < len(inside):
            raise ParameterError(f"{place} an event is excluded twice ({', '.join(inside)}); name it once.")
        if wrong := [name for name in inside if name in (before, after, *rules.optional_after(number))]:
            raise ParameterError(
                f'{place} "!{wrong[0]}" is itself a step; exclude another event, or leave the exclusion out.'
            )


def funnel_reach(
    events: ir.Table, rules: FunnelRules, by: str | Sequence[str], members: ir.Table | None = None
) -> ir.Table:
    """Count users, or sessions, by the steps that they reach.

    Parameters
    ----------
    events
        Events of the period wanted; without ``members`` also with the columns ``by``, constant for a user. Where
        they (and ``members``) carry ``user_key``, a whole number, that tells users apart in place of ``user_id``:
        numbers sort faster than texts. A 64-bit hash will do: two of ten million users share one with a chance of
        three in a million.
    rules
        The funnel.
    by
        Column or columns of users to break down by.
    members
        The users who count, one row each: user_id and the columns ``by``. None: all users of ``events``. The
        cheaper of the two: who gets how far is found first, and only then joined.

    Returns
    -------
    ibis.Table
        One row per value of ``by`` (and of ``rules.breakdown``): ``step_1``, ``step_2``, ... counts in the order of
        ``rules.steps``. Values whose users never reach step 1 are not there.

    Notes
    -----
    Step k counts when a chain of its required steps in the contract's total order fits all rules, for the best such
    chain: the same number as ClickHouse's ``windowFunnel`` on time packed with seq, which knows the window alone. With
    ``hold`` a user reaches a step when the chain of any one value does. A breakdown puts each user, or session,
    under one value: that of the chain that gets furthest, there first, and starts latest.

    *Why one pass per step is enough.* All rules but the window say that the step before must lie after some point:
    within the step window, behind the last excluded event. If any earlier event of the step before does, the latest
    does. By induction the latest possible start S of a chain up to an event never decreases from one event of a step
    to the next: the first step's S is its own time, and a later event's latest predecessor is no earlier than an
    earlier event's. So the latest valid predecessor also carries the best start, and a maximum that runs over the
    valid predecessors finds both. Dropping chains that have left the window loses nothing, as later events are
    further from their start.

    Each step sorts only what still matters: the events that reached the step before, and those that may follow.
    """
    found = _Chains(events, rules, by, members)
    reached = found.records().select(*found.counted, *found.carried, "step")
    broken = found.broken_down(reached.distinct() if rules.hold else reached)
    counts = {
        f"step_{number}": (broken.step == number).cast("int64").sum() for number in range(1, len(rules.steps) + 1)
    }
    return broken.group_by(list(found.groups)).aggregate(**counts).rename(found.named)


def funnel_hours(
    events: ir.Table, rules: FunnelRules, by: str | Sequence[str], members: ir.Table | None = None
) -> ir.Table:
    """How long do users, or sessions, take to each step?

    Parameters
    ----------
    events, rules, by, members
        As for ``funnel_reach``.

    Returns
    -------
    ibis.Table
        One row per value of ``by`` (and of ``rules.breakdown``) and ``step``, its number in ``rules.steps`` from 2:
        reached_count; lower_hours, median_hours, upper_hours: quartiles of the hours from step 1;
        lower_step_hours, median_step_hours, upper_step_hours: from the required step before.

    Notes
    -----
    A user's one number is that of the first event that reaches the step, from the latest start that gets there; with
    ``hold`` over all values. Quartiles interpolate between the two values around position (n − 1) · q, in whole
    milliseconds up to the last division, so every engine gives the same.
    """
    found = _Chains(events, rules, by, members)
    reached = found.records(with_times=True)
    reached = reached.filter(reached.step > 1)
    if rules.hold:
        earliest = [reached.event_ms, reached.start_ms.desc(), reached.previous_ms.desc()]
        reached = _first(reached, [*found.counted, "step"], earliest)
    broken = found.broken_down(reached)
    groups = [*found.groups, "step"]
    spans = {"hours": broken.event_ms - broken.start_ms, "step_hours": broken.event_ms - broken.previous_ms}
    timed = broken.select(*groups, **spans)
    ranked = timed.mutate(
        reached_count=timed.count().over(group_by=groups),
        **{f"{name}_place": ibis.row_number().over(group_by=groups, order_by=timed[name]) for name in spans},
    )
    quartiles = {
        f"{word}_{name}": _quartile(ranked, name, quarter)
        for name in spans
        for quarter, word in ((1, "lower"), (2, "median"), (3, "upper"))
    }
    return ranked.group_by(groups).aggregate(reached_count=ranked.count(), **quartiles).rename(found.named)


def _quartile(ranked: ir.Table, name: str, quarter: int) -> ir.FloatingValue:
    position = (ranked.reached_count - 1) * quarter
    low, rest = position // 4, position % 4
    place = ranked[f"{name}_place"]
    weight = ibis.cases((place == low, 4 - rest), (place == low + 1, rest), else_=0)
    return (ranked[name] * weight).sum().cast("float64") / (4 * HOUR_MS)


def _first(table: ir.Table, group: Sequence[str], order: Sequence[ir.Value]) -> ir.Table:
    """The first row of each group."""
    numbered = table.mutate(row_number=ibis.row_number().over(group_by=group, order_by=order))
    return numbered.filter(numbered.row_number == 0).drop("row_number")


class _Chains:
    """The events of a funnel, and what is found in them step by step.

    A unit is what a chain lies in: a user, or a session, or those with one value of the held column; ``counted`` are
    the columns of what is counted.
    """

    def __init__(self, events: ir.Table, rules: FunnelRules, by: str | Sequence[str], members: ir.Table | None) -> None:
        self.rules, self.members = rules, members
        wanted = [by] if isinstance(by, str) else list(by)
        if rules.breakdown in wanted:
            raise ParameterError(f'breakdown: "{rules.breakdown}" is there for users already; name another column.')
        self.by = {f"by_{number}": name for number, name in enumerate(wanted)}
        self.groups = [*self.by, *(["value"] if rules.breakdown else [])]
        self.named = {name: group for group, name in self.by.items()}
        if rules.breakdown:
            self.named[rules.breakdown] = "value"
        is_keyed = "user_key" in events.columns and (members is None or "user_key" in members.columns)
        self.key = "user_key" if is_keyed else "user_id"
        self.counted = ["user", *(["session"] if rules.count == "sessions" else [])]
        self.unit = [*self.counted, *(["held"] if rules.hold else [])]
        self.carried = list(self.by) if members is None else []
        ranks = [EVENT_RANK.get(name, LAST_RANK) for name in rules.names]
        self.is_tied = len(set(ranks)) < len(ranks)
        # Where time, seq and the event do not order rows enough, or places are compared, rows are numbered first.
        self.is_placed = self.is_tied or bool(rules.excluded) or rules.breakdown is not None
        self.order = ["place"] if self.is_placed else ["minute", "within_minute"]
        self.code = {name: number for number, name in enumerate(rules.names)}
        self.rows = self._rows(events)
        self.kept = list(dict.fromkeys([*self.unit, *self.carried, "code", "event_ms", *self.order]))

    def _rows(self, events: ir.Table) -> ir.Table:
        """One row per event that matters: unit, columns carried along, event, event_ms and what orders."""
        rules = self.rules
        units = {"user": self.key, "session": "session_id", "held": rules.hold}
        known = [events[units[name]].notnull() for name in self.unit if name != "user"]
        rows = events.filter(events.event.isin(list(rules.names)), *known)
        columns: dict[str, ir.Value] = {name: rows[units[name]] for name in self.unit}
        columns |= {name: rows[self.by[name]] for name in self.carried}
        columns |= {"event": rows.event, "event_ms": rows.event_ms, "seq": rows.seq}
        if rules.breakdown:
            columns["value"] = rows[rules.breakdown].cast("string").fill_null(UNKNOWN)
        if self.is_placed:
            # The contract ranks its own names; others tie, and then the ids and the name order them.
            order = [
                rows.event_ms,
                *(total_order(rows) if self.is_tied else [rows.seq]),
                self._code(rows.event, rules.names),
            ]
            order += [columns["value"]] if rules.breakdown else []
            group = [columns[name] for name in self.unit]
            columns["place"] = ibis.row_number().over(group_by=group, order_by=order)
            del columns["seq"]
        return rows.select(**columns)

    def _code(self, event: ir.Value, names: Sequence[str]) -> ir.IntegerValue:
        """The number of an event's name, ascending in the contract's order; one small number sorts faster than a text."""
        return ibis.cases(*[(event == name, ibis.literal(self.code[name], type="int8")) for name in names])

    def _named(self, *names: str) -> ir.Table:
        """Rows of the events of these names."""
        rows = self.rows.filter(self.rows.event.isin(names))
        columns = {name: rows[name] for name in self.kept if name in rows.columns}
        columns["code"] = self._code(rows.event, names)
        if not self.is_placed:
            # The whole order in twelve bytes, which with a number for the user sort at once: wider keys take detours.
            minute = rows.event_ms // _MINUTE_MS
            rest = (rows.event_ms - minute * _MINUTE_MS) * _SEQS + rows.seq
            columns["minute"] = minute.cast("int32")
            columns["within_minute"] = rest * _CODES + columns["code"].cast("int64")
        return rows.select(**{name: columns[name] for name in self.kept})

    def _is(self, rows: ir.Table, *names: str) -> ir.BooleanValue:
        """Whether rows are events of these names."""
        codes = [self.code[name] for name in names]
        return rows.code == codes[0] if len(codes) == 1 else rows.code.isin(codes)

    def records(self, *, with_times: bool = False) -> ir.Table:
        """The first event of each unit that reaches each step.

        Columns: the unit and what it carries, step; with times event_ms, start_ms and previous_ms; with a breakdown
        event_ms, start_ms, place and start_place.
        """
        rules, required = self.rules, self.rules.required
        chained = ["start_ms", *(["previous_ms"] if with_times else []), *(["start_place"] if rules.breakdown else [])]
        told = ["event_ms", *(["place"] if rules.breakdown else []), *chained] if len(chained) > 1 else []
        standing, found = None, []
        for number, (before, after) in enumerate(itertools.pairwise(required), start=1):
            optional, barred = rules.optional_after(number), rules.excluded_after(number)
            if standing is None:
                both = self._named(before, after, *optional, *barred)
                if told:
                    # The first step's events start the chains.
                    own = {"start_ms": both.event_ms, "previous_ms": ibis.null("int64")}
                    own |= {"start_place": both.place} if rules.breakdown else {}
                    both = both.mutate(**{name: own[name] for name in chained})
            else:
                coming = self._named(after, *optional, *barred)
                both = standing.union(coming.mutate(**{name: ibis.null("int64") for name in chained}))
            seen = self._seen(both, before, barred, chained)
            is_first = self._is(seen, before) & seen.latest_start_ms.isnull()
            found.append(self._record(seen.filter(is_first), before, told))
            fits = self._fitting(seen, barred)
            fits = fits.select(*self.kept, **{name: fits[f"latest_{name}"] for name in chained})
            found += [self._first_record(fits, name, told) for name in optional]
            standing = fits.filter(self._is(fits, after))
        found.append(self._first_record(standing, required[-1], told))
        return ibis.union(*found)

    def _seen(self, both: ir.Table, before: str, barred: Sequence[str], chained: Sequence[str]) -> ir.Table:
        """Each row with what its latest predecessor of the step ``before`` carries, as ``latest_`` columns."""
        wanted = {f"latest_{name}": name if name in both.columns else "event_ms" for name in chained}
        wanted["latest_previous_ms"] = "event_ms"
        if "previous_ms" not in chained and self.rules.step_window_ms is None:
            del wanted["latest_previous_ms"]
        if barred:
            wanted["latest_place"] = "place"
        window = ibis.window(group_by=self.unit, order_by=self.order, preceding=(None, 1))
        is_before = self._is(both, before)
        latest = {name: ibis.cases((is_before, both[column])).max().over(window) for name, column in wanted.items()}
        if barred:
            latest["barred_place"] = ibis.cases((self._is(both, *barred), both.place)).max().over(window)
        return both.mutate(**latest)

    def _fitting(self, seen: ir.Table, barred: Sequence[str]) -> ir.Table:
        """Events that continue a chain by the rules; a caller picks the steps that it looks for."""
        fits = [seen.event_ms - seen.latest_start_ms <= self.rules.window_ms]
        if self.rules.step_window_ms is not None:
            fits.append(seen.event_ms - seen.latest_previous_ms <= self.rules.step_window_ms)
        if barred:
            fits.append(seen.barred_place.isnull() | (seen.barred_place < seen.latest_place))
        return seen.filter(*fits)

    def _first_record(self, fits: ir.Table, name: str, told: Sequence[str]) -> ir.Table:
        of_step = fits.filter(self._is(fits, name))
        if not told:
            return self._record(of_step, name, told).distinct()
        return self._record(_first(of_step, self.unit, [of_step[one] for one in self.order]), name, told)

    def _record(self, reached: ir.Table, name: str, told: Sequence[str]) -> ir.Table:
        step = ibis.literal(self.rules.steps.index(name) + 1, type="int16")
        return reached.select(*self.unit, *self.carried, *told, step=step)

    def broken_down(self, reached: ir.Table) -> ir.Table:
        """Records with the columns to group by."""
        if self.rules.breakdown:
            reached = reached.inner_join(self._values(), self.counted)
        if self.members is None:
            return reached
        groups = {group: self.members[name] for group, name in self.by.items()}
        known = self.members.select(member=self.members[self.key], **groups)
        return reached.inner_join(known, reached.user == known.member)

    def _values(self) -> ir.Table:
        """The breakdown's value of each user or session that counts, as ``value``."""
        rules = self.rules
        records = self.records()
        optional = [rules.steps.index(name) + 1 for name in rules.optional]
        records = records.filter(records.step.notin(optional)) if optional else records
        order = [records.step.desc(), records.event_ms, records.start_ms.desc()]
        order += [sortable_id(records.held)] if rules.hold else []
        furthest = _first(records, self.counted, order)
        place = "start_place" if rules.breakdown_at == "first" else "place"
        chosen = furthest.select(*self.unit, place=furthest[place])
        valued = chosen.inner_join(self.rows.select(*self.unit, "place", "value").view(), [*self.unit, "place"])
        return valued.select(*self.counted, "value").view()
