"""Small random shops full of special cases, and the rules of attribution as plain loops over their rows.

How to use it in a test::

    from random_shops import credit_by_loop, draw_rows, journeys_by_loop, open_case, write_rows

    rows = draw_rows(seed=1)
    case = open_case(rows, write_rows(rows, tmp_path))
    journeys = journeys_by_loop(rows, rules, "purchase", case.period)
    expected = credit_by_loop(journeys, models, 24, (0.4, 0.2, 0.4))

The loops know nothing of the engine: they read the rows that were drawn, one conversion and one touch at a time.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from shops import write_shop

from workbench.contract import EVENT_RANK, LAST_RANK, UNKNOWN
from workbench.metrics.journeys import JourneyRules, Sales
from workbench.period import DAY_MS, HOUR_MS, Period
from workbench.source.shop import Shop, open_shop
from workbench.stats.attribution import credit_journey

FIRST_DAY = pd.Timestamp("2026-03-01", tz="UTC")
START_MS = FIRST_DAY.value // 10**6
DAYS, GRID_HOURS = 4, 3
CUSTOM_EVENT = "share_item"
TARGETS = ("purchase", "begin_checkout", "add_to_cart", "view_item", CUSTOM_EVENT)
MODELS = ("first", "last", "linear", "position_based", "time_decay", "participation", "shapley")
SHORT_HOURS, LONG_HOURS = 3 * GRID_HOURS, 1000
FACTORS: Mapping[str, Sequence] = {
    "target": TARGETS,
    "touch": ("select_promotion", "view_promotion"),
    "credit_to": ("slot_id", "content_id", "page", "floor"),
    "lookback_hours": (SHORT_HOURS, LONG_HOURS),
    "key_event": (None, "view_item", "add_to_cart"),
    "match_on": (None, "product_id"),
    "reset_after_order": (True, False),
    "net_of_refunds": (False, True),
}
"""What can be asked: a target, and the fields of ``JourneyRules``."""


class Event(NamedTuple):
    """One row of events."""

    user_id: Any
    event_ms: int
    event: str
    seq: int
    page: str | None
    slot_id: Any
    content_id: Any
    product_id: Any
    order_id: Any


class Order(NamedTuple):
    """One row of orders; ``user_id``, ``paid_ms`` and ``gross`` may be None."""

    order_id: Any
    user_id: Any
    submitted_ms: int
    paid_ms: int | None
    gross: float | None
    coupon: float
    other: float
    refund: float


class Line(NamedTuple):
    """One row of order_lines; ``product_id`` and ``amount`` may be None."""

    order_id: Any
    line_no: int
    product_id: Any
    amount: float | None


class Slot(NamedTuple):
    """One row of slots."""

    slot_id: Any
    page: str | None
    floor: Any


@dataclass(frozen=True)
class Rows:
    """The rows of a shop."""

    events: tuple[Event, ...]
    orders: tuple[Order, ...]
    lines: tuple[Line, ...]
    slots: tuple[Slot, ...]


def draw_rows(seed: int, *, users: int = 40, distinct_times: bool = False, whole_ids: bool | None = None) -> Rows:
    """Draw a shop of four days.

    Times lie on a grid of three hours, some a millisecond beside it: many ties, touches exactly on the edge of a
    lookback of nine hours, conversions exactly on the bounds of a day. There are users with orders only or events only,
    several orders at one instant, unpaid orders, orders of nobody, without money, without lines, lines of amount 0 or
    null, refunds, coupons that pay the whole order, null slots, contents, products and slots without a description.

    Parameters
    ----------
    seed
        Of the draw; shops of odd seeds have whole numbers as ids, unless ``whole_ids`` says.
    users
        How many.
    distinct_times
        No two rows share an instant.
    """
    rng = np.random.default_rng(seed)
    whole = bool(seed % 2) if whole_ids is None else whole_ids

    def name(letter: str, number: int) -> Any:
        # Numbers above 9 sort otherwise as numbers than as texts.
        return 7 + int(number) if whole else f"{letter}{number}"

    def maybe(letter: str, count: int, chance: float) -> Any:
        return name(letter, int(rng.integers(0, count))) if rng.random() < chance else None

    instants = itertools.count(START_MS, (DAYS * DAY_MS) // (users * 40))

    def grid() -> int:
        hour = int(rng.integers(0, DAYS * 24 // GRID_HOURS)) * GRID_HOURS
        return START_MS + hour * HOUR_MS + int(rng.choice([0, 0, 0, 0, 0, 0, -1, 1]))

    events: list[Event] = []
    orders: list[Order] = []
    lines: list[Line] = []
    names = ["select_promotion", "view_promotion", "view_item", "add_to_cart", CUSTOM_EVENT, "begin_checkout"]
    for user in range(users):
        for _ in range(int(rng.integers(0, rng.choice([6, 30, 70])))):
            event = str(rng.choice(names, p=[0.4, 0.2, 0.16, 0.12, 0.08, 0.04]))
            is_touch = event.endswith("promotion")
            slot = maybe("s", 5, 0.93) if is_touch else maybe("s", 5, 0.2)
            content = maybe("c", 4, 0.7) if is_touch else None
            product = maybe("p", 3, 0.8)
            order = maybe("o", 3, 0.1)
            seq = int(rng.integers(0, 3))
            events.append(Event(name("u", user), grid(), event, seq, _page_seen(slot), slot, content, product, order))
        instant = grid()
        for _ in range(int(rng.integers(0, 7))):
            instant = instant if rng.random() < 0.3 else grid()
            paid = instant + int(rng.choice([0, 0, GRID_HOURS, 24])) * HOUR_MS if rng.random() < 0.8 else None
            amounts = [float(one) for one in rng.choice([0, 0, 5, 20, 33.33], size=rng.integers(0, 4))]
            gross: float | None = sum(amounts) if amounts else float(rng.integers(0, 60))
            order_id = name("o", len(orders))
            for number, amount in enumerate(amounts):
                known = None if rng.random() < 0.06 else amount
                lines.append(Line(order_id, number, maybe("p", 3, 0.9), known))
            coupon = round(gross * float(rng.choice([0, 0, 0.25, 1])), 2)
            refund = round((gross - coupon) * float(rng.choice([0, 0, 0.5, 1])), 2)
            if rng.random() < 0.05:
                gross, coupon, refund = None, 0.0, 0.0
            buyer = name("u", user) if rng.random() < 0.9 else None
            orders.append(Order(order_id, buyer, instant, paid, gross, coupon, 0.0, refund))
    if distinct_times:
        taken = [next(instants) for _ in range(len(events) + 2 * len(orders))]
        rng.shuffle(taken)
        events = [one._replace(event_ms=taken.pop()) for one in events]
        orders = [
            one._replace(submitted_ms=taken.pop(), paid_ms=None if one.paid_ms is None else taken.pop())
            for one in orders
        ]
    slots = [
        Slot(name("s", number), page, floor)
        for number, page, floor in ((0, "home", 1), (1, "home", 2), (2, "sale", None), (3, None, 2))
    ]
    return Rows(tuple(events), tuple(orders), tuple(lines), tuple(slots))


def _page_seen(slot_id: Any) -> str | None:
    """The page that an event names: the same for a slot always, another than the slot's description, or none."""
    number = -1 if slot_id is None else int(str(slot_id).lstrip("s")) % 3
    return {0: "seen", 1: None, 2: "seen too"}.get(number)


def write_rows(rows: Rows, folder: Path, *, seed: int = 0, declared: bool = False) -> Path:
    """Write a shop as Parquet, its rows shuffled; ``declared``: columns without nulls say that they hold none."""
    utc = {"event_ms": "event_at", "submitted_ms": "submitted_at", "paid_ms": "paid_at"}
    amounts = {
        "gross": "gross_amount",
        "coupon": "coupon_discount_amount",
        "other": "other_discount_amount",
        "refund": "refund_amount",
    }
    tables = {}
    for name, kind, found in (
        ("events", Event, rows.events),
        ("orders", Order, rows.orders),
        ("order_lines", Line, rows.lines),
        ("slots", Slot, rows.slots),
    ):
        table = pd.DataFrame(list(found), columns=list(kind._fields), dtype=object).rename(columns=utc | amounts)
        for column in table.columns:
            if column.endswith("_at"):
                table[column] = pd.to_datetime(table[column].astype("Int64"), unit="ms", utc=True)
            elif column.endswith("_id"):
                whole = all(isinstance(one, int) for one in table[column].dropna())
                table[column] = table[column].astype("Int64" if whole else "string")
            elif column.endswith("amount"):
                table[column] = table[column].astype("float64")
        if name == "order_lines":
            table["quantity"] = 1
        tables[name] = table.sample(frac=1, random_state=seed)
    write_shop(folder, **tables)
    for file in folder.glob("*.parquet") if declared else ():
        arrow = pq.read_table(file)
        fields = [pa.field(one.name, one.type, nullable=arrow[one.name].null_count > 0) for one in arrow.schema]
        pq.write_table(arrow.cast(pa.schema(fields)), file)
    return folder


@dataclass(frozen=True)
class Case:
    """A random shop that is open, with the period of its two middle days."""

    rows: Rows
    shop: Shop
    sales: Sales
    period: Period


def open_case(rows: Rows, source: Path | str) -> Case:
    """Open a folder written by ``write_rows``, or ``chdb://`` and it."""
    shop = open_shop(source)
    sales = Sales(shop.events, shop.orders, shop.order_lines, shop.slots)
    return Case(rows, shop, sales, shop.period("2026-03-02", "2026-03-04", "UTC"))


class Journey(NamedTuple):
    """One order, order line or event with the touches that serve it, in order: what is credited, and when."""

    user_id: Any
    conversion_ms: int
    product_id: Any
    count: float
    amount: float
    touches: tuple[tuple[str, int], ...]


def bucket(user_id: Any) -> int | None:
    """The first byte of the MD5 of the id; None for nobody."""
    return None if user_id is None else hashlib.md5(str(user_id).encode()).digest()[0]


def place_in_order(event: Event) -> tuple:
    """The contract's total order of one user's events; null ids come first."""
    ids = (event.slot_id, event.content_id, event.product_id, event.order_id)
    rank = EVENT_RANK.get(event.event, LAST_RANK)
    return (event.event_ms, event.seq, rank, *((one is not None, one) for one in ids))


def journeys_by_loop(rows: Rows, rules: JourneyRules, target: str, period: Period) -> list[Journey]:
    """The rules word for word: all conversions of the period, also those without a touch or a user."""
    found = []
    for user, instant, product, count, amount, place, previous in _conversions(rows, rules, target):
        if not period.start_ms <= instant < period.end_ms:
            continue
        own = [one for one in rows.events if one.user_id == user] if user is not None else []
        served = []
        for touch in own:
            if touch.event != rules.touch or not _named(touch, rules):
                continue
            eligible = instant - rules.lookback_hours * HOUR_MS <= touch.event_ms <= instant
            if rules.reset_after_order and previous is not None:
                eligible = eligible and touch.event_ms > previous
            if rules.key_event is not None:
                eligible = eligible and any(
                    place_in_order(touch) < place_in_order(key) < place
                    for key in own
                    if key.event == rules.key_event and (rules.match_on is None or _same(key.product_id, product))
                )
            elif rules.match_on is not None:
                eligible = eligible and _same(touch.product_id, product)
            if eligible:
                served.append(touch)
        served.sort(key=place_in_order)
        touches = tuple((_credited(one, rows, rules), one.event_ms) for one in served)
        found.append(Journey(user, instant, product, count, amount, touches))
    return found


def _conversions(rows: Rows, rules: JourneyRules, target: str) -> Iterable[tuple]:
    """User, instant, product, part of a conversion, amount, place in the total order, previous payment."""
    payments: dict[Any, list[tuple]] = defaultdict(list)
    for order in rows.orders:
        if order.paid_ms is not None:
            payments[order.user_id].append((order.paid_ms, order.order_id))
    if target not in ("purchase", "begin_checkout"):
        for event in rows.events:
            if event.event == target:
                before = [paid for paid, _ in payments[event.user_id] if paid < event.event_ms]
                product = event.product_id if rules.match_on else None
                yield event.user_id, event.event_ms, product, 1.0, 0.0, place_in_order(event), max(before, default=None)
        return
    for order in rows.orders:
        gross = order.gross or 0.0
        paid = gross - order.coupon - order.other
        if target == "begin_checkout":
            instant, amount = order.submitted_ms, gross
            before = [paid_ms for paid_ms, _ in payments[order.user_id] if paid_ms < instant]
        else:
            if order.paid_ms is None:
                continue
            instant, amount = order.paid_ms, paid - order.refund if rules.net_of_refunds else paid
            before = [one[0] for one in payments[order.user_id] if one < (instant, order.order_id)]
        after_all_events = (instant, np.inf)
        for product, part in _parts(rows, order) if rules.match_on else [(None, 1.0)]:
            previous = max(before, default=None)
            yield order.user_id, instant, product, part, amount * part, after_all_events, previous


def _parts(rows: Rows, order: Order) -> list[tuple[Any, float]]:
    """Products of an order's lines with each line's part of the order."""
    own = [one for one in rows.lines if one.order_id == order.order_id]
    total = sum(one.amount or 0.0 for one in own)
    if not own:
        return [(None, 1.0)]
    return [(one.product_id, (one.amount or 0.0) / total if total else 1 / len(own)) for one in own]


def _same(one: Any, other: Any) -> bool:
    return one is not None and one == other


def _named(touch: Event, rules: JourneyRules) -> bool:
    if rules.credit_to == "content_id":
        return touch.slot_id is not None or touch.content_id is not None
    return touch.slot_id is not None


def _credited(touch: Event, rows: Rows, rules: JourneyRules) -> str:
    if rules.credit_to in ("slot_id", "content_id"):
        found = getattr(touch, rules.credit_to)
    else:
        described = {one.slot_id: one for one in rows.slots}.get(touch.slot_id)
        found = getattr(described, rules.credit_to) if described else None
        if found is None and rules.credit_to == "page":
            found = touch.page
    return UNKNOWN if found is None else str(found)


def credit_by_loop(
    journeys: Sequence[Journey],
    models: Sequence[str],
    half_life_hours: float,
    position_weights: Sequence[float],
) -> pd.DataFrame:
    """What ``rule_credit`` should return, indexed by credited_id and user_bucket."""
    cells: dict[tuple, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in journeys:
        if not one.touches:
            continue
        slots = [slot for slot, _ in one.touches]
        hours = [(one.conversion_ms - instant) / HOUR_MS for _, instant in one.touches]
        credit = {
            model: credit_journey(
                slots, hours, model, half_life_hours=half_life_hours, position_weights=position_weights
            )
            for model in models
        }
        credit["matched"] = {slots[0]: 1.0}
        for model, parts in credit.items():
            for slot, part in parts.items():
                cell = cells[slot, bucket(one.user_id)]
                cell[f"{model}_conversions"] += part * one.count
                cell[f"{model}_amount"] += part * one.amount
        cells[slots[0], bucket(one.user_id)]["alone_conversions"] += one.count * (len(slots) == 1)
    names = [f"{model}_{measure}" for model in (*models, "matched") for measure in ("conversions", "amount")]
    index = pd.MultiIndex.from_tuples(cells, names=["credited_id", "user_bucket"])
    if not cells:
        index = pd.MultiIndex.from_arrays([[], []], names=["credited_id", "user_bucket"])
    return pd.DataFrame(list(cells.values()), index=index, columns=[*names, "alone_conversions"]).fillna(0.0)


def moves_by_loop(journeys: Sequence[Journey]) -> pd.DataFrame:
    """What ``converting_moves`` should return: each journey's touches end in the conversion."""
    return _moves((one.user_id, [slot for slot, _ in one.touches]) for one in journeys)


def leaving_by_loop(rows: Rows, rules: JourneyRules, journeys: Sequence[Journey], period: Period) -> pd.DataFrame:
    """What ``leaving_moves`` should return: a user's touches in the period after the last conversion, or all."""
    paths = []
    for user in sorted({one.user_id for one in rows.events}):
        ends = [one.conversion_ms for one in journeys if one.user_id == user]
        left = [
            one
            for one in rows.events
            if one.user_id == user
            and one.event == rules.touch
            and _named(one, rules)
            and period.start_ms <= one.event_ms < period.end_ms
            and (not ends or one.event_ms > max(ends))
        ]
        paths.append((user, [_credited(one, rows, rules) for one in sorted(left, key=place_in_order)]))
    return _moves(paths)


MOVE_KEYS = ("bucket", "origin", "destination")


def _moves(paths: Iterable[tuple[Any, list[str]]]) -> pd.DataFrame:
    counts: dict[tuple, float] = defaultdict(float)
    for user, slots in paths:
        for place, slot in enumerate(slots):
            following = slots[place + 1] if place + 1 < len(slots) else None
            counts[bucket(user) // 4, slot, following] += 1
    return pd.DataFrame([(*key, count) for key, count in counts.items()], columns=[*MOVE_KEYS, "journeys"])


def same_cells(found: pd.DataFrame, expected: pd.DataFrame, keys: Sequence[str], tolerance: float = 1e-9) -> None:
    """Raise if two tables of sums differ; a row that is missing is a row of zeros."""
    tables = []
    for one in (found, expected):
        table = one.reset_index() if one.index.names[0] else one
        named = table.assign(**{key: ["null" if pd.isna(one) else str(one) for one in table[key]] for key in keys})
        tables.append(named.groupby(list(keys)).sum().astype(float).fillna(0.0))
    assert set(tables[0].columns) == set(tables[1].columns)
    left, right = tables[0].align(tables[1][tables[0].columns], join="outer", fill_value=0.0)
    far = (left - right).abs() > tolerance
    shown = [
        f"{row} {name}: found {left.loc[row, name]}, expected {right.loc[row, name]}"
        for name in left.columns
        for row in left.index[far[name]]
    ]
    assert not shown, "\n".join(shown)


def covering_cases(factors: Mapping[str, Sequence], seed: int = 0, strength: int = 2) -> list[dict[str, Any]]:
    """A short list of combinations in which every combination of any ``strength`` factors occurs."""
    rng = np.random.default_rng(seed)
    wanted = {
        tuple(zip(names, values, strict=True))
        for names in itertools.combinations(factors, strength)
        for values in itertools.product(*(range(len(factors[one])) for one in names))
    }
    cases = []
    while wanted:
        needed = dict(sorted(wanted)[int(rng.integers(0, len(wanted)))])
        drawn = [
            {name: int(rng.integers(0, len(values))) for name, values in factors.items()} | needed for _ in range(40)
        ]
        covered = [set(itertools.combinations(one.items(), strength)) & wanted for one in drawn]
        best = max(range(len(drawn)), key=lambda number: len(covered[number]))
        wanted -= covered[best]
        cases.append({name: factors[name][place] for name, place in drawn[best].items()})
    return cases
