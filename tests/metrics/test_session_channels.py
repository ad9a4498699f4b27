"""Channels of visits and the credit of orders among them: by hand, and against the rule models journey by journey."""

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.contract import UNKNOWN
from workbench.metrics.orders import paid_orders
from workbench.metrics.population import population_users
from workbench.metrics.session_channels import credited_sums, order_credit, sessions, visitors
from workbench.stats.attribution import credit_journey


def opened(folder, events, orders, users=None, **columns):
    tables = {"events": frame("user_id event_at event session_id channel", *events)}
    tables["orders"] = frame(f"order_id user_id submitted_at paid_at gross_amount{columns.get('more', '')}", *orders)
    people = users or [(one, "2026-03-01", "own") for one in sorted({row[0] for row in events})]
    tables["users"] = frame("user_id first_seen_at channel", *people)
    return open_shop(write_shop(folder / "shop", **tables))


def weights_of(shop, basis, days=30, **dates):
    period = shop.period(dates.get("start_date"), dates.get("end_date"), "UTC")
    visits = sessions(shop.events, period, has_sessions=shop.has("events", "session_id"))
    credit = order_credit(
        visits, shop.orders, period, basis, lookback_days=days, has_channel=shop.has("orders", "channel")
    )
    found = shop.collect(credit)
    found["day"] = pd.to_datetime(found["paid_ms"], unit="ms").dt.strftime("%m-%d")
    return {(row["user_id"], row["day"], row["channel"]): row["weight"] for row in found.to_dict("records")}


EVENTS = [
    ("u", "2026-03-01 08:00", "page_view", "s1", "ads"),
    ("u", "2026-03-01 08:05", "page_view", "s1", "mail"),  # a second channel in one session: the first counts
    ("u", "2026-03-02 08:00", "page_view", "s2", None),
    ("u", "2026-03-02 08:01", "page_view", "s2", "search"),  # the first one named
    ("u", "2026-03-03 08:00", "page_view", "s3", None),
    ("u", "2026-03-10 08:00", "page_view", "s4", "mail"),
    ("v", "2026-03-05 08:00", "page_view", "s5", None),
]
ORDERS = [
    (1, "u", "2026-03-03 08:30", "2026-03-03 09:00", 10.0),
    (2, "u", "2026-03-11 08:30", "2026-03-11 09:00", 20.0),
    (3, "v", "2026-03-05 08:30", "2026-03-05 09:00", 30.0),
    (4, "u", "2026-03-12 08:30", None, 40.0),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("sessions"), EVENTS, ORDERS)


def test_sessions_have_the_channel_named_first(shop):
    period = shop.period(None, None, "UTC")
    found = shop.collect(sessions(shop.events, period, has_sessions=True)).sort_values("start_ms")
    assert found["channel"].fillna("-").tolist() == ["ads", "search", "-", "-", "mail"]
    assert found["channel_count"].tolist() == [2, 1, 0, 0, 1]


def test_without_sessions_a_local_day_is_one(shop):
    period = shop.period(None, None, "Asia/Shanghai")
    found = shop.collect(sessions(shop.events, period, has_sessions=False))
    assert len(found) == 5


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        ("first", {("u", "03-03", "ads"): 1, ("u", "03-11", "mail"): 1, ("v", "03-05", UNKNOWN): 1}),
        ("last", {("u", "03-03", "search"): 1, ("u", "03-11", "mail"): 1, ("v", "03-05", UNKNOWN): 1}),
        (
            "linear",
            {
                ("u", "03-03", "ads"): 0.5,
                ("u", "03-03", "search"): 0.5,
                ("u", "03-11", "mail"): 1,
                ("v", "03-05", UNKNOWN): 1,
            },
        ),
        # without orders.channel: the last session that began, whatever its channel
        ("session", {("u", "03-03", UNKNOWN): 1, ("u", "03-11", "mail"): 1, ("v", "03-05", UNKNOWN): 1}),
    ],
)
def test_credit_by_hand(shop, basis, expected):
    assert weights_of(shop, basis) == expected


def test_a_session_too_long_ago_does_not_count(shop):
    assert weights_of(shop, "first", days=1)["u", "03-03", UNKNOWN] == 1  # search began 25 hours before
    assert weights_of(shop, "first", days=2)["u", "03-03", "search"] == 1  # ads lies 49 hours before


def test_the_orders_own_channel_goes_first(tmp_path):
    orders = [(*row, channel) for row, channel in zip(ORDERS, ("tv", None, "mail", "tv"), strict=True)]
    found = weights_of(opened(tmp_path, EVENTS, orders, more=" channel"), "session")
    assert found == {("u", "03-03", "tv"): 1, ("u", "03-11", UNKNOWN): 1, ("v", "03-05", "mail"): 1}


@pytest.mark.parametrize("basis", ["first", "last", "linear"])
def test_equals_the_rule_models_journey_by_journey(tmp_path, basis):
    """Random sessions: at most one instant apart, so that lookback and earlier orders matter; every payment by hand."""
    rng = np.random.default_rng(5)
    start, days = pd.Timestamp("2026-03-01", tz="UTC"), 4
    events, orders = [], []
    for user in range(60):
        for number in range(rng.integers(0, 7)):
            moment = start + pd.Timedelta(hours=int(rng.integers(0, 400)))
            channel = str(rng.choice(["ads", "mail", "search"])) if rng.random() < 0.8 else None
            events.append((f"u{user}", str(moment)[:19], "page_view", f"{user}-{number}", channel))
        for _ in range(rng.integers(0, 3)):
            moment = str(start + pd.Timedelta(hours=int(rng.integers(0, 400)), minutes=30))[:19]
            orders.append((len(orders), f"u{user}", moment, moment, 1.0))
    shop = opened(tmp_path, events, orders)
    found = weights_of_instants(shop, basis, days)
    seen = pd.DataFrame(events, columns=["user_id", "at", "event", "session", "channel"]).dropna()
    seen["at"] = pd.to_datetime(seen["at"], utc=True)
    expected = {}
    paid = pd.DataFrame(orders, columns=["order_id", "user_id", "at", "paid", "amount"])
    paid["at"] = pd.to_datetime(paid["at"], utc=True)
    for order in paid.to_dict("records"):
        before = paid.loc[(paid["user_id"] == order["user_id"]) & (paid["at"] < order["at"]), "at"].max()
        own = seen[(seen["user_id"] == order["user_id"]) & (seen["at"] <= order["at"])]
        own = own[own["at"] >= order["at"] - pd.Timedelta(days=days)]
        own = own[own["at"] > before] if before == before else own
        path = own.sort_values(["at", "channel"])["channel"].tolist()
        credit = credit_journey(path, None, basis) if path else {UNKNOWN: 1.0}
        for channel, part in credit.items():
            if part:
                expected[order["user_id"], order["at"].value // 10**6, channel] = part
    assert len(expected) > 40
    assert found == pytest.approx(expected)


def weights_of_instants(shop, basis, days):
    period = shop.period(None, None, "UTC")
    visits = sessions(shop.events, period, has_sessions=True)
    found = shop.collect(order_credit(visits, shop.orders, period, basis, lookback_days=days, has_channel=False))
    return {(row["user_id"], row["paid_ms"], row["channel"]): row["weight"] for row in found.to_dict("records")}


def test_sums_by_hand(shop):
    """Everybody came on 1 March; 5 days have elapsed for both, and u's first payment lies in them, v's too."""
    period = shop.period(None, None, "UTC")
    visits = sessions(shop.events, period, has_sessions=True)
    weights = order_credit(visits, shop.orders, period, "linear", lookback_days=5, has_channel=False)
    members = population_users(shop.tables, "new", period)
    sums = shop.collect(credited_sums(members, visits, paid_orders(shop.orders), weights, "new", period, 5))
    card = sums.drop(columns="user_bucket").groupby("channel").sum().astype(float)
    columns = ["user_count", "buyer_count", "order_count", "paid_amount", "eligible_count", "converted_count"]
    assert card[columns].to_dict("index") == {
        "ads": dict(zip(columns, [1, 1, 0.5, 5.0, 1, 0.5], strict=True)),
        "search": dict(zip(columns, [1, 1, 0.5, 5.0, 1, 0.5], strict=True)),
        "mail": dict(zip(columns, [1, 1, 1.0, 20.0, 1, 0.0], strict=True)),
        UNKNOWN: dict(zip(columns, [2, 1, 1.0, 30.0, 2, 1.0], strict=True)),
    }
    assert card["order_count"].sum() == 3
    assert card["paid_amount"].sum() == 60.0


def test_visitors_by_hand(shop):
    found = shop.collect(visitors(shop.tables, shop.period("2026-03-01", "2026-03-03", "UTC")))
    assert found.set_index("channel")["visitor_count"].to_dict() == {"ads": 1, "mail": 1, "search": 1}
