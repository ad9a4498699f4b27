"""Which touches serve which conversions: against loops over random shops, and by hand."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from random_shops import FACTORS, bucket, covering_cases, draw_rows, journeys_by_loop, open_case, same_cells, write_rows
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics import journeys as module
from workbench.metrics.journeys import (
    JourneyRules,
    Sales,
    busy_users,
    conversions,
    order_days,
    pairs,
    reach,
    totals,
    touches,
    with_touch,
)
from workbench.period import HOUR_MS

ORDER = "order_id user_id submitted_at paid_at gross_amount"
EVENT = "user_id event_at event seq slot_id product_id"
LINE = "order_id line_no product_id quantity amount"


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two random shops, with ids as texts and as numbers."""
    found = []
    for seed in (10, 11):
        rows = draw_rows(seed)
        found.append(open_case(rows, write_rows(rows, tmp_path_factory.mktemp(f"shop{seed}") / "shop")))
    return found


def text(value):
    return "null" if pd.isna(value) else str(value)


@pytest.mark.parametrize(("number", "asked"), list(enumerate(covering_cases(FACTORS, seed=1))))
def test_pairs_equal_the_loop(cases, number, asked):
    """Every journey with every touch that serves it, and ``with_touch`` tells which journeys have any."""
    case = cases[number % 2]
    target = asked["target"]
    rules = JourneyRules(**{name: value for name, value in asked.items() if name != "target"})
    expected, served = Counter(), Counter()
    for one in journeys_by_loop(case.rows, rules, target, case.period):
        journey = (str(one.user_id), one.conversion_ms, text(one.product_id))
        served[journey] += bool(one.touches)
        for slot, instant in one.touches:
            expected[(*journey, slot, instant)] += 1
    assert expected, "a case without touches shows nothing"
    touched, converted = touches(case.sales, rules, case.period), conversions(case.sales, rules, target, case.period)
    is_nearest = target == "purchase" and rules.reset_after_order
    for by_nearest in (False, True) if is_nearest else (False,):
        found = Counter()
        for row in case.shop.collect(pairs(touched, converted, rules, by_nearest=by_nearest)).itertuples():
            product = text(row.matched_product_id) if rules.match_on else "null"
            found[str(row.user_id), row.conversion_ms, product, str(row.credited_id), row.touch_ms] += row.journey_count
        assert found == expected
    found = Counter()
    product = "matched_product_id" if rules.key_event else "product_id"
    for row in case.shop.collect(with_touch(touched, converted, rules)).to_dict("records"):
        found[str(row["user_id"]), row["conversion_ms"], text(row.get(product))] += row["journey_count"]
    assert found == +served


@pytest.mark.parametrize("target", ["purchase", "begin_checkout", "view_item"])
@pytest.mark.parametrize("measure", ["amount", "conversions"])
def test_totals_equal_the_loop(cases, target, measure, monkeypatch):
    monkeypatch.setattr(module, "MANY_CONVERSIONS", 2)
    for case in cases:
        rules = JourneyRules(net_of_refunds=measure == "amount")
        journeys = journeys_by_loop(case.rows, rules, target, case.period)
        by_user = {}
        for one in journeys:
            by_user.setdefault(one.user_id, []).append(one)
        rows = []
        for user, own in by_user.items():
            amount = sum(one.amount for one in own)
            value = amount if measure == "amount" else float(len(own))
            if user is None:
                value = 0.0
            rows.append((bucket(user), len(own), amount, value**2, value, user is not None and len(own) > 2))
        names = ["user_bucket", "conversions", "amount", "squares", "largest", "busy_users"]
        expected = pd.DataFrame(rows, columns=names).groupby("user_bucket", dropna=False)
        expected = expected.agg({name: "max" if name == "largest" else "sum" for name in names[1:]}).reset_index()
        assert expected["busy_users"].sum() > 0
        found = case.shop.collect(totals(case.sales, rules, target, case.period, measure))
        same_cells(found, expected, ["user_bucket"], tolerance=1e-6)
        if target != "view_item":
            assert expected["user_bucket"].isna().any(), "orders of nobody count in totals"


def test_journeys_by_hand(tmp_path):
    """Ten rows of u, hours after midnight; lookback 4 hours, reset, key event view_item.

    click a (0) · view p (1) · click b (2) · click c (3) · view q (3, seq 1) · order 1 (4) · click d (4) ·
    view p (5) · order 2 (6) · order 3 (8, never paid).
    Order 1 takes clicks of [0, 4] that a view follows: a, b, c; d at the instant of the order comes before it, but no
    view follows d in time. Order 2 takes what lies after hour 4: nothing, for d belongs to order 1. Order 3 is no
    purchase.
    """
    hour = lambda h: at("2026-03-01") + pd.Timedelta(hours=h)  # noqa: E731
    click, view = "select_promotion", "view_item"
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame(
                EVENT,
                ("u", hour(0), click, 0, "a", None),
                ("u", hour(1), view, 0, None, "p"),
                ("u", hour(2), click, 0, "b", None),
                ("u", hour(3), click, 0, "c", None),
                ("u", hour(3), view, 1, None, "q"),
                ("u", hour(4), click, 5, "d", None),
                ("u", hour(5), view, 0, None, "p"),
            ),
            orders=frame(
                ORDER,
                (1, "u", hour(4), hour(4), 10.0),
                (2, "u", hour(6), hour(6), 20.0),
                (3, "u", hour(8), None, 40.0),
            ),
        )
    )
    period = shop.period(None, None, "UTC")
    sales = Sales(shop.events, shop.orders)

    def served(target="purchase", **rules):
        asked = JourneyRules(lookback_hours=4, **rules)
        found = shop.collect(
            pairs(touches(sales, asked, period), conversions(sales, asked, target, period), asked)
        ).sort_values(["conversion_ms", "touch_ms"])
        times = (found["conversion_ms"] - period.start_ms) // HOUR_MS
        return list(zip(times, found["credited_id"], strict=True))

    assert served(key_event="view_item") == [(4, "a"), (4, "b"), (4, "c")]
    # without a key event d serves order 1 as well
    assert served() == [(4, "a"), (4, "b"), (4, "c"), (4, "d")]
    # without the reset order 2 reaches back to hour 2, and the view at 5 serves d
    assert served(key_event="view_item", reset_after_order=False) == [
        *((4, slot) for slot in "abc"),
        *((6, slot) for slot in "bcd"),
    ]
    # checkouts: order 2 and order 3 (8) lie after payments at 4 and 6; d lies at 4, not after it
    assert served("begin_checkout") == [(4, "a"), (4, "b"), (4, "c"), (4, "d")]
    # a view is no key event of its own: view 3 has the view at 1 behind a; view 5 lies after the payment at 4
    assert served("view_item", key_event="view_item") == [(3, "a")]
    assert served("view_item", reset_after_order=False)[-3:] == [(5, "b"), (5, "c"), (5, "d")]


def test_edges_of_the_lookback_are_included(tmp_path):
    """An order at hour 10 with lookback 2: touches at 8:00 and 10:00 count, a millisecond beside they do not."""
    ms = pd.Timedelta(milliseconds=1)
    ten = at("2026-03-01 10:00")
    slots = {"before": ten - pd.Timedelta(hours=2) - ms, "first": ten - pd.Timedelta(hours=2), "last": ten}
    slots["after"] = ten + ms
    events = [("u", time, "select_promotion", 0, slot, None) for slot, time in slots.items()]
    shop = open_shop(write_shop(tmp_path, events=frame(EVENT, *events), orders=frame(ORDER, (1, "u", ten, ten, 1.0))))
    period, sales = shop.period(None, None, "UTC"), Sales(shop.events, shop.orders)
    for reset in (True, False):
        rules = JourneyRules(lookback_hours=2, reset_after_order=reset)
        touched, converted = touches(sales, rules, period), conversions(sales, rules, "purchase", period)
        found = shop.collect(pairs(touched, converted, rules))
        assert sorted(found["credited_id"]) == ["first", "last"]


def orders_at_one_instant(folder, *gross):
    """Orders 9, 10, ... of u at one instant, after a click a minute before."""
    noon = at("2026-03-01 12:00")
    click = ("u", noon - pd.Timedelta(minutes=1), "select_promotion", 0, "a", None)
    orders = [(9 + number, "u", noon, noon, amount) for number, amount in enumerate(gross)]
    shop = open_shop(write_shop(folder, events=frame(EVENT, click), orders=frame(ORDER, *orders)))
    return shop, shop.period(None, None, "UTC"), Sales(shop.events, shop.orders)


def test_the_first_of_orders_paid_at_one_instant_takes_the_touches(tmp_path):
    """Order 9 comes before order 10, as numbers; without the reset both have the click."""
    shop, period, sales = orders_at_one_instant(tmp_path, 5.0, 70.0)
    found = shop.collect(conversions(sales, JourneyRules(), "purchase", period))
    assert found[["conversion_count", "amount"]].to_numpy().tolist() == [[1.0, 5.0]]
    found = shop.collect(conversions(sales, JourneyRules(reset_after_order=False), "purchase", period))
    assert found[["conversion_count", "amount", "journey_count"]].to_numpy().tolist() == [[2.0, 75.0, 2.0]]
    everything = shop.collect(totals(sales, JourneyRules(), "purchase", period, "amount"))
    assert everything[["conversions", "amount", "largest"]].to_numpy().tolist() == [[2.0, 75.0, 75.0]]


def test_an_order_without_money_does_not_take_the_next_ones(tmp_path):
    """Order 9 has no amount: its journey carries none, and order 10 stays direct with its 70."""
    shop, period, sales = orders_at_one_instant(tmp_path, None, 70.0)
    found = shop.collect(conversions(sales, JourneyRules(), "purchase", period))
    assert found["amount"].fillna(0).tolist() == [0.0]


def test_orders_are_spread_over_lines_by_amount(tmp_path):
    """Order 1 pays 30 for lines of 10, 0, null and 30: parts 1/4, 0, 0, 3/4. Order 2 has lines of nothing: halves.

    Order 3 has no line and stays whole, of no product: under match_on no touch serves it, not even one that has no
    product itself, nor a key event without one.
    """
    time = at("2026-03-01 12:00")
    users = ("u", "v", "w")
    clicks = [(user, time, "select_promotion", 0, "a", product) for user in users for product in ("p", "q", None)]
    views = [(user, time, "view_item", 1, None, None) for user in users]
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame(EVENT, *clicks, *views),
            orders=frame(ORDER, *((n + 1, user, time, time, 30.0) for n, user in enumerate(users))),
            order_lines=frame(
                LINE,
                (1, 1, "p", 1, 10.0),
                (1, 2, "q", 1, 0.0),
                (1, 3, "q", 1, None),
                (1, 4, "r", 1, 30.0),
                (2, 1, "p", 1, 0.0),
                (2, 2, None, 1, 0.0),
            ),
        )
    )
    period, sales = shop.period(None, None, "UTC"), Sales(shop.events, shop.orders, shop.order_lines)
    rules = JourneyRules(match_on="product_id")
    found = shop.collect(conversions(sales, rules, "purchase", period)).fillna({"matched_product_id": "none"})
    columns = ["user_id", "matched_product_id", "conversion_count", "amount", "journey_count"]
    assert found.sort_values(columns[:2])[columns].to_numpy().tolist() == [
        ["u", "p", 0.25, 7.5, 1.0],
        ["u", "q", 0.0, 0.0, 2.0],
        ["u", "r", 0.75, 22.5, 1.0],
        ["v", "none", 0.5, 15.0, 1.0],
        ["v", "p", 0.5, 15.0, 1.0],
        ["w", "none", 1.0, 30.0, 1.0],
    ]
    for key_event, expected in ((None, ["u", "u", "v"]), ("view_item", [])):
        rules = JourneyRules(match_on="product_id", key_event=key_event)
        touched, converted = touches(sales, rules, period), conversions(sales, rules, "purchase", period)
        assert sorted(shop.collect(pairs(touched, converted, rules))["user_id"]) == expected
        assert sorted(shop.collect(with_touch(touched, converted, rules))["user_id"]) == expected


def test_ids_decide_between_a_view_and_the_key_view_of_its_instant(tmp_path):
    """Two views at one instant and seq, products p and q: p comes first, so it lies between the click and q.

    For p no view lies between; and of two views that are the same in all, none is the other's key event.
    """
    noon = at("2026-03-01 12:00")
    click = lambda user: (user, noon, "select_promotion", 0, "a", None)  # noqa: E731
    view = lambda user, product: (user, noon, "view_item", 0, None, product)  # noqa: E731
    events = frame(EVENT, click("u"), view("u", "p"), view("u", "q"), click("v"), view("v", "p"), view("v", "p"))
    shop = open_shop(write_shop(tmp_path, events=events))
    period, sales = shop.period(None, None, "UTC"), Sales(shop.events)
    rules = JourneyRules(key_event="view_item")
    touched, converted = touches(sales, rules, period), conversions(sales, rules, "view_item", period)
    found = shop.collect(pairs(touched, converted, rules))
    assert found[["user_id", "journey_count"]].to_numpy().tolist() == [["u", 1.0]]


def test_busy_users_and_their_reach(tmp_path, monkeypatch):
    """With more than 2 conversions a user is busy: u has 3 carts and 2 clicks, 6 pairs; v has 3 carts, no click."""
    monkeypatch.setattr(module, "MANY_CONVERSIONS", 2)
    hours = [at(f"2026-03-01 {hour:02}:00") for hour in range(4)]
    carts = [(user, hour, "add_to_cart", 0, None, None) for user in "uvw" for hour in hours[: 2 if user == "w" else 3]]
    clicks = [(user, hour, "select_promotion", 0, "a", None) for user in "uw" for hour in hours[:2]]
    shop = open_shop(write_shop(tmp_path, events=frame(EVENT, *carts, *clicks)))
    period, sales, rules = shop.period(None, None, "UTC"), Sales(shop.events), JourneyRules()
    converted = conversions(sales, rules, "add_to_cart", period)
    assert sorted(shop.collect(busy_users(converted))["user_id"]) == ["u", "v"]
    found = shop.collect(reach(touches(sales, rules, period), converted)).iloc[0]
    assert found.to_dict() == {"users": 1, "pairs": 6}
    everything = shop.collect(totals(sales, rules, "add_to_cart", period, "conversions"))
    assert everything["busy_users"].sum() == 2
    assert everything["squares"].sum() == 9 + 9 + 4
    monkeypatch.setattr(module, "MANY_CONVERSIONS", 3)
    found = shop.collect(reach(touches(sales, rules, period), converted)).iloc[0]
    assert found.to_dict() == {"users": 0, "pairs": 0}


def test_orders_lie_on_local_days(cases):
    """Every paid order of the period once, also those of nobody, on its day in Shanghai (UTC + 8)."""
    case = cases[0]
    period = case.shop.period("2026-03-02", "2026-03-04", "Asia/Shanghai")
    paid = [one.paid_ms for one in case.rows.orders if one.paid_ms is not None]
    expected = Counter((one + 8 * HOUR_MS) // (24 * HOUR_MS) for one in paid if period.start_ms <= one < period.end_ms)
    found = case.shop.collect(order_days(case.sales, period))
    assert Counter(found["day"]) == expected
    assert len(expected) == 2


def test_a_shop_of_events_only(tmp_path, cases):
    """Without orders there is no payment to reset by, and without slots there is no floor."""
    rows = replace(cases[0].rows, orders=(), lines=(), slots=())
    folder = write_shop(tmp_path, events=pd.read_parquet(cases[0].shop.folder / "events.parquet"))
    shop = open_shop(folder)
    period, sales = shop.period("2026-03-02", "2026-03-04", "UTC"), Sales(shop.events)
    for credit_to in ("page", "floor"):
        rules = JourneyRules(credit_to=credit_to)
        expected = Counter()
        for one in journeys_by_loop(rows, rules, "view_item", period):
            expected.update(slot for slot, _ in one.touches)
        touched, converted = touches(sales, rules, period), conversions(sales, rules, "view_item", period)
        found = shop.collect(pairs(touched, converted, rules))
        assert found.groupby("credited_id")["journey_count"].sum().to_dict() == dict(expected)
