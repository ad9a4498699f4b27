"""Credit for users with very many touches and conversions, without a row per pair: linear in the number of events."""

import math
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from workbench.metrics.credit import DISTINCT_MODELS
from workbench.metrics.funnel import sortable_id
from workbench.metrics.journeys import JourneyRules, tie_columns
from workbench.period import HOUR_MS

_TOUCH, _CONVERSION, _PAYMENT = 0, 1, 2


def robot_credit(
    touched: ir.Table,
    converted: ir.Table,
    orders: ir.Table | None,
    rules: JourneyRules,
    *,
    models: Sequence[str],
    half_life_hours: float,
    position_weights: Sequence[float],
    by: Sequence[str] = ("credited_id", "user_bucket"),
) -> ir.Table:
    """The same credit as ``credit.rule_credit`` gives, for users in whom touches times conversions explode.

    Parameters
    ----------
    touched, converted
        Touches and conversions of these users; rules without ``key_event``.
    orders
        Orders of these users, for ``reset_after_order``.

    Notes
    -----
    Touches, conversions and payments stand in one sequence per user; payments cut it into segments. A backward
    window tells each conversion how many touches it has, how much they weigh and which are first and last; a
    forward window hands each touch the sum of what its conversions give. Decaying weights are kept relative to
    blocks of one lookback, of which a window meets two, one even and one odd: nothing overflows as long as
    the lookback is at most 500 half-lives.
    """
    person = ["user_id", *(["product_id"] if rules.match_on else [])]
    sequence = _sequence(touched, converted, orders, rules, person)
    frame = {"group_by": [*person, "segment"], "order_by": "instant_ms"}
    back = ibis.range_window(preceding=rules.lookback_ms, following=0, **frame)
    forward = ibis.range_window(preceding=0, following=rules.lookback_ms, **frame)
    is_touch = sequence.kind == _TOUCH
    place = ibis.cases((is_touch, sequence.place))
    rate = math.log(2) / half_life_hours
    into = (sequence.instant_ms % rules.lookback_ms).cast("float64") / HOUR_MS * rate
    block = rules.lookback_ms / HOUR_MS * rate
    is_odd = (sequence.instant_ms // rules.lookback_ms) % 2 == 1
    weight = {parity: ibis.cases((is_touch & (is_odd == (parity == "odd")), into.exp())) for parity in ("even", "odd")}
    seen = sequence.mutate(
        touches=is_touch.cast("int64").sum().over(back),
        first_place=place.min().over(back),
        last_place=place.max().over(back),
        even_weight=weight["even"].sum().over(back),
        odd_weight=weight["odd"].sum().over(back),
        is_odd=is_odd,
        into=into,
    )
    own = seen.is_odd.ifelse(seen.odd_weight, seen.even_weight).fill_null(0.0)
    other = seen.is_odd.ifelse(seen.even_weight, seen.odd_weight).fill_null(0.0)
    weighs = (-seen.into).exp() * (own + other * math.exp(-block))
    served = (seen.kind == _CONVERSION) & (seen.touches > 0)
    first, middle, last = position_weights
    shares = {
        "linear": 1.0 / seen.touches.nullif(0),
        "position_based": (seen.touches > 2).ifelse(middle / (seen.touches - 2).nullif(0), 0.0),
        "even_decay": (~seen.is_odd).ifelse((-seen.into).exp() / weighs.nullif(0.0), 0.0),
        "odd_decay": seen.is_odd.ifelse((-seen.into).exp() / weighs.nullif(0.0), 0.0),
    }
    given = {
        f"{name}_{measure}": ibis.cases((served, share * seen[column])).sum().over(forward)
        for name, share in shares.items()
        for measure, column in (("conversions", "conversion_count"), ("amount", "amount"))
    }
    handed = seen.mutate(**given)
    parts = [_from_touches(handed.filter(handed.kind == _TOUCH), models, block)]
    converting = seen.filter(served)
    ends = (first / (first + last), last / (first + last)) if first + last else (0.5, 0.5)
    for side, two, many in (("first", ends[0], first), ("last", ends[1], last)):
        parts.append(
            _from_conversions(converting, seen.filter(seen.kind == _TOUCH), person, side, two, many, middle, models)
        )
    if any(model in DISTINCT_MODELS for model in models):
        parts.append(_distinct(touched, converted, rules, models))
    columns = ["credited_id", "user_bucket", *_columns(models)]
    zero = ibis.literal(0.0)
    union = ibis.union(
        *(part.select(**{name: part[name] if name in part.columns else zero for name in columns}) for part in parts)
    )
    return union.group_by(list(by)).aggregate(**{name: union[name].sum() for name in _columns(models)})


def robot_moves(touched: ir.Table, converted: ir.Table, orders: ir.Table | None, rules: JourneyRules) -> ir.Table:
    """The moves of ``transitions.converting_moves`` for these users.

    A move from one touch to the user's next belongs to every journey that holds both: to the conversions ahead of the
    first touch within the lookback, less those that come before the second.
    """
    person = ["user_id", *(["product_id"] if rules.match_on else [])]
    sequence = _sequence(touched, converted, orders, rules, person)
    frame = {"group_by": [*person, "segment"], "order_by": "instant_ms"}
    back = ibis.range_window(preceding=rules.lookback_ms, following=0, **frame)
    forward = ibis.range_window(preceding=0, following=rules.lookback_ms, **frame)
    running = ibis.window(group_by=[*person, "segment"], order_by="place", preceding=None, following=0)
    place = ibis.cases((sequence.kind == _TOUCH, sequence.place))
    seen = sequence.mutate(
        ahead=sequence.journey_count.sum().over(forward).fill_null(0.0),
        before=sequence.journey_count.sum().over(running).fill_null(0.0),
        last_place=place.max().over(back),
    )
    touches = seen.filter(seen.kind == _TOUCH)
    order = {"group_by": person, "order_by": touches.place}
    following = {
        name: touches[name].lead().over(**order) for name in ("credited_id", "segment", "instant_ms", "before")
    }
    paired = touches.mutate(**{f"next_{name}": value for name, value in following.items()})
    together = (paired.next_segment == paired.segment) & (
        paired.next_instant_ms - paired.instant_ms <= rules.lookback_ms
    )
    paired = paired.filter(together).mutate(journeys=paired.ahead - (paired.next_before - paired.before))
    inner = paired.filter(paired.journeys > 0).select(
        "journeys", bucket=paired.user_bucket // 4, origin=paired.credited_id, destination=paired.next_credited_id
    )
    rows = [inner]
    converting = seen.filter(seen.kind == _CONVERSION, seen.last_place.notnull())
    known = touches.select(**{f"touch_{name}": touches[name] for name in (*person, "place", "credited_id")})
    same = [converting[name] == known[f"touch_{name}"] for name in person]
    joined = converting.join(known, [*same, converting.last_place == known.touch_place])
    rows.append(
        joined.select(
            journeys=joined.journey_count,
            bucket=joined.user_bucket // 4,
            origin=joined.touch_credited_id,
            destination=ibis.null("string"),
        )
    )
    union = ibis.union(*(row.select("bucket", "origin", "destination", "journeys") for row in rows))
    return union.group_by(["bucket", "origin", "destination"]).aggregate(journeys=_.journeys.sum())


def _columns(models: Sequence[str]) -> list[str]:
    both = [f"{name}_{measure}" for name in (*models, "matched") for measure in ("conversions", "amount")]
    return [*both, "alone_conversions"]


def _sequence(
    touched: ir.Table, converted: ir.Table, orders: ir.Table | None, rules: JourneyRules, person: list[str]
) -> ir.Table:
    """One row per touch and conversion: its segment between payments and its place in the user's order."""
    if rules.match_on:
        converted = converted.rename(product_id="matched_product_id")
        touched, converted = (one.filter(one.product_id.notnull()) for one in (touched, converted))
    ties = [f"tie_{name}" for name in tie_columns(rules)]
    texts = {tie: sortable_id(touched[name]) for tie, name in zip(ties, tie_columns(rules), strict=True)}
    texts["credited_id"] = touched.credited_id.cast("string")
    blank = dict.fromkeys(ties, ibis.literal(""))
    values = {"conversion_count": "float64", "amount": "float64", "journey_count": "float64"}
    nothing = {name: ibis.null(type_) for name, type_ in values.items()}
    columns = [*person, "user_bucket", "instant_ms", "kind", "seq", *ties, "credited_id", *values]
    rows = [
        touched.mutate(
            instant_ms=touched.touch_ms.cast("int64"),
            kind=ibis.literal(_TOUCH),
            seq=touched.seq.cast("int64"),
            **texts,
            **nothing,
        ).select(columns),
        converted.mutate(
            instant_ms=converted.conversion_ms.cast("int64"),
            kind=ibis.literal(_CONVERSION),
            seq=ibis.literal(0, type="int64"),
            credited_id=ibis.null("string"),
            **blank,
        ).select(columns),
    ]
    if rules.reset_after_order and orders is not None:
        payments = _payments(orders, rows[0], rules)
        empty = {"seq": ibis.literal(0, type="int64"), "credited_id": ibis.null("string"), **blank, **nothing}
        rows.append(payments.mutate(**empty).select(columns))
    union = ibis.union(*rows)
    order = [union.instant_ms, union.kind, union.seq, *(union[tie] for tie in ties)]
    running = ibis.window(group_by=person, order_by=order, preceding=None, following=0)
    numbered = union.mutate(
        segment=(union.kind == _PAYMENT).cast("int64").sum().over(running),
        place=ibis.row_number().over(group_by=person, order_by=order).cast("int64"),
    )
    return numbered.filter(numbered.kind != _PAYMENT)


def _payments(orders: ir.Table, touches: ir.Table, rules: JourneyRules) -> ir.Table:
    """The users' payments; with ``match_on`` once for each product of the user's touches, whose sequence they cut."""
    paid = orders.filter(orders.paid_ms.notnull())
    paid = paid.select("user_id", "user_bucket", instant_ms=paid.paid_ms.cast("int64"), kind=ibis.literal(_PAYMENT))
    if not rules.match_on:
        return paid
    products = touches.select("user_id", "product_id").distinct().view()
    return paid.join(products, "user_id")


def _from_touches(handed: ir.Table, models: Sequence[str], block: float) -> ir.Table:
    """Credit that touches collect from the conversions ahead of them."""
    columns: dict[str, ir.Value] = {}
    for measure in ("conversions", "amount"):
        same = handed.is_odd.ifelse(handed[f"odd_decay_{measure}"], handed[f"even_decay_{measure}"]).fill_null(0.0)
        ahead = handed.is_odd.ifelse(handed[f"even_decay_{measure}"], handed[f"odd_decay_{measure}"]).fill_null(0.0)
        found = {
            "linear": handed[f"linear_{measure}"],
            "position_based": handed[f"position_based_{measure}"],
            "time_decay": handed.into.exp() * (same + ahead * math.exp(-block)),
        }
        columns |= {f"{name}_{measure}": value.fill_null(0.0) for name, value in found.items() if name in models}
    return handed.select("credited_id", "user_bucket", **columns)


def _from_conversions(
    converting: ir.Table,
    touches: ir.Table,
    person: list[str],
    side: str,
    two: float,
    many: float,
    middle: float,
    models: Sequence[str],
) -> ir.Table:
    """Credit of the first or the last touch of each conversion."""
    known = touches.select(**{f"touch_{name}": touches[name] for name in (*person, "place", "credited_id")})
    same = [converting[name] == known[f"touch_{name}"] for name in person]
    joined = converting.join(known, [*same, converting[f"{side}_place"] == known.touch_place])
    count = joined.touches
    # The middle part was handed to every touch of the journey; the ends give it back.
    own = many - middle / (count - 2).nullif(0)
    alone = 1.0 if side == "first" else 0.0
    position = ibis.cases((count == 1, alone), (count == 2, two), else_=own)
    columns: dict[str, ir.Value] = {}
    for measure, column in (("conversions", "conversion_count"), ("amount", "amount")):
        value = joined[column].fill_null(0.0)
        if side in models:
            columns[f"{side}_{measure}"] = value
        if "position_based" in models:
            columns[f"position_based_{measure}"] = value * position
        if side == "first":
            columns[f"matched_{measure}"] = value
    if side == "first":
        columns["alone_conversions"] = (count == 1).cast("float64") * joined.conversion_count
    return joined.select("user_bucket", credited_id=joined.touch_credited_id, **columns)


def _distinct(touched: ir.Table, converted: ir.Table, rules: JourneyRules, models: Sequence[str]) -> ir.Table:
    """Participation and Shapley: each conversion with each slot of its user whose latest touch before it is eligible."""
    person = ["user_id", *(["product_id"] if rules.match_on else [])]
    touched = touched.mutate(credited_id=touched.credited_id.cast("string"))
    if rules.match_on:
        converted = converted.rename(product_id="matched_product_id")
    numbered = converted.mutate(
        journey=ibis.row_number().over(order_by=[converted[name] for name in (*person, "conversion_ms")])
    )
    slots = touched.select(*person, "credited_id").distinct().view()
    offered = numbered.join(slots, [numbered[name] == slots[name] for name in person])
    offered = offered.drop(*[name for name in offered.columns if name.endswith("_right")])
    seen = touched.select(*person, "credited_id", "touch_ms").distinct().view()
    met = offered.asof_join(seen, on=offered.conversion_ms >= seen.touch_ms, predicates=[*person, "credited_id"])
    met = met.filter(met.touch_ms > met.opens_ms)
    counted = met.mutate(distinct_slots=met.count().over(group_by="journey"))
    columns: dict[str, ir.Value] = {}
    for measure, column in (("conversions", "conversion_count"), ("amount", "amount")):
        value = counted[column].fill_null(0.0)
        found = {"participation": value, "shapley": value / counted.distinct_slots.cast("float64")}
        columns |= {f"{name}_{measure}": one for name, one in found.items() if name in models}
    return counted.select("credited_id", "user_bucket", **columns)
