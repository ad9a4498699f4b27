"""The simulated shop: it meets the contract, its data are clean, and what is planted can be found in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from workbench import open_shop
from workbench.contract import TABLES
from workbench.source.checks import check_source
from workbench.source.simulate import Truth, measure_truth, simulate_shop
from workbench.source.simulate.baskets import fill_baskets
from workbench.source.simulate.browsing import Views, browse, make_places
from workbench.source.simulate.buying import buy
from workbench.source.simulate.catalogue import make_advertisements, make_products
from workbench.source.simulate.ledger import Block, Outcome, prepare_block
from workbench.source.simulate.lineage import SHARES, led_by_slots, lineage_summary, lineage_sums
from workbench.source.simulate.measure import reference_block
from workbench.source.simulate.measured import MEASURED
from workbench.source.simulate.placements import rotation
from workbench.source.simulate.users import make_population
from workbench.source.simulate.visits import make_visits

Z_999 = 3.29  # half width of a 99.9 % interval in standard errors
ARROW_TYPES = {
    "id": "string",
    "text": "string",
    "time": "timestamp[ms, tz=UTC]",
    "date": "date32[day]",
    "integer": "int64",
    "amount": "double",
    "rate": "double",
}


@pytest.fixture(scope="module")
def folder(sample_folder: Path) -> Path:
    """The default sample."""
    return sample_folder


@pytest.fixture(scope="module")
def shop(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open every table of the sample."""
    return open_tables(folder)


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Any]:
    """Read what was planted."""
    return json.loads((folder / "truth.json").read_text(encoding="utf-8"))


def open_tables(folder: Path) -> duckdb.DuckDBPyConnection:
    """Give a connection with one view per table; sessions run in the shop's time zone."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Shanghai'")
    for name in TABLES:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{folder / name}.parquet'")
    return connection


def rows(shop: duckdb.DuckDBPyConnection, query: str) -> dict[Any, Any]:
    """Map the first column to the others."""
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in shop.execute(query).fetchall()}


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# The contract


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_exactly_the_columns_of_the_contract(folder: Path, name: str) -> None:
    schema = pq.read_schema(folder / f"{name}.parquet")
    expected = {column.name: ARROW_TYPES[column.type] for column in TABLES[name].columns.values()}
    assert schema.names == list(expected)
    if name == "slots":
        expected["floor"] = "int64"  # the contract allows text, too
    assert {field.name: str(field.type) for field in schema} == expected


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.key])
def test_keys_are_unique(shop: duckdb.DuckDBPyConnection, name: str) -> None:
    key = ", ".join(TABLES[name].key)
    total, distinct = shop.execute(
        f"SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT {key} FROM {name})) FROM {name}"
    ).fetchone()
    assert total == distinct > 0


def test_required_columns_have_no_nulls(shop: duckdb.DuckDBPyConnection) -> None:
    for name, table in TABLES.items():
        for column in table.columns.values():
            if column.need == "required":
                query = f"SELECT count(*) FROM {name} WHERE {column.name} IS NULL"
                assert shop.execute(query).fetchone() == (0,), f"{name}.{column.name}"


def test_the_sample_has_the_promised_size(shop: duckdb.DuckDBPyConnection) -> None:
    events, paid, order_value = shop.execute(
        "SELECT (SELECT count(*) FROM events), count(paid_at), "
        "avg(gross_amount - coupon_discount_amount - other_discount_amount) FROM orders WHERE paid_at IS NOT NULL"
    ).fetchone()
    assert 1_000_000 < events < 1_500_000
    assert 9_000 < paid < 14_000
    assert 120 < order_value < 200


# Same bytes


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = contents(simulate_shop(tmp_path / "first", users=500, seed=3))
    again = contents(simulate_shop(tmp_path / "again", users=500, seed=3))
    other = contents(simulate_shop(tmp_path / "other", users=500, seed=4))
    assert first == again
    assert all(first[f"{name}.parquet"] != other[f"{name}.parquet"] for name in ("events", "orders", "users"))


def test_a_population_of_several_blocks_keeps_ids_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.source.simulate.write.BLOCK_USERS", 150)
    shop = open_tables(simulate_shop(tmp_path / "blocks", users=451, seed=2))
    assert shop.execute("SELECT count(*), count(DISTINCT user_id) FROM users").fetchone() == (451, 451)
    for name, key in (("orders", "order_id"), ("coupon_grants", "grant_id")):
        assert shop.execute(f"SELECT count(*) = count(DISTINCT {key}) FROM {name}").fetchone() == (True,)
    assert all(count == 0 for count in fault_counts(shop).values())


# Clean data

FAULTS = {
    "event of unknown user": "SELECT count(*) FROM events ANTI JOIN users USING (user_id)",
    "order of unknown user": "SELECT count(*) FROM orders ANTI JOIN users USING (user_id)",
    "grant of unknown user": "SELECT count(*) FROM coupon_grants ANTI JOIN users USING (user_id)",
    "assignment of unknown user": "SELECT count(*) FROM experiment_assignments ANTI JOIN users USING (user_id)",
    "assignment to unknown variant": "SELECT count(*) FROM experiment_assignments "
    "ANTI JOIN experiments USING (experiment_id, variant)",
    "line of unknown order": "SELECT count(*) FROM order_lines ANTI JOIN orders USING (order_id)",
    "line of unknown product": "SELECT count(*) FROM order_lines ANTI JOIN products USING (product_id)",
    "line in another category": "SELECT count(*) FROM order_lines l JOIN products p USING (product_id) "
    "WHERE l.category <> p.category",
    "stock of unknown product": "SELECT count(*) FROM stock ANTI JOIN products USING (product_id)",
    "grant of unknown coupon": "SELECT count(*) FROM coupon_grants ANTI JOIN coupons USING (coupon_id)",
    "event at unknown slot": "SELECT count(*) FROM events ANTI JOIN slots USING (slot_id) WHERE slot_id IS NOT NULL",
    "event with unknown content": "SELECT count(*) FROM events ANTI JOIN contents USING (content_id) "
    "WHERE content_id IS NOT NULL",
    "content in the slot of another": "SELECT count(*) FROM events e JOIN contents c USING (content_id) "
    "WHERE c.slot_id IS NOT NULL AND c.slot_id <> e.slot_id",
    "event before first seen": "SELECT count(*) FROM events JOIN users USING (user_id) WHERE event_at < first_seen_at",
    "order before first seen": "SELECT count(*) FROM orders JOIN users USING (user_id) "
    "WHERE submitted_at < first_seen_at",
    "grant before first seen": "SELECT count(*) FROM coupon_grants JOIN users USING (user_id) "
    "WHERE granted_at < first_seen_at",
    "paid before submitted": "SELECT count(*) FROM orders WHERE paid_at < submitted_at",
    "inviter not seen before": "SELECT count(*) FROM users u LEFT JOIN users i ON i.user_id = u.inviter_id "
    "WHERE u.inviter_id IS NOT NULL AND NOT coalesce(i.first_seen_at < u.first_seen_at, false)",
    "orders not equal to their lines": "SELECT count(*) FROM orders o LEFT JOIN (SELECT order_id, "
    "sum(round(amount * 100)::BIGINT) AS cents FROM order_lines GROUP BY 1) USING (order_id) "
    "WHERE cents IS DISTINCT FROM round(gross_amount * 100)::BIGINT",
    "discounts above gross": "SELECT count(*) FROM orders "
    "WHERE round(100 * (coupon_discount_amount + other_discount_amount - gross_amount)) > 0 "
    "OR round(100 * (platform_discount_amount - coupon_discount_amount - other_discount_amount)) > 0",
    "refund above paid": "SELECT count(*) FROM orders WHERE round(100 * (refund_amount + coupon_discount_amount "
    "+ other_discount_amount - gross_amount)) > 0",
    "money back without payment": "SELECT count(*) FROM orders WHERE paid_at IS NULL AND refund_amount > 0",
    "amount with more than two decimals": "SELECT count(*) FROM orders WHERE gross_amount <> round(gross_amount, 2) "
    "OR coupon_discount_amount <> round(coupon_discount_amount, 2) OR cost_amount <> round(cost_amount, 2)",
    "checkouts that match no order": "SELECT count(*) FROM (SELECT * FROM events WHERE event = 'begin_checkout') e "
    "FULL JOIN orders o ON e.order_id = o.order_id AND e.user_id = o.user_id AND e.event_at = o.submitted_at "
    "WHERE e.order_id IS NULL OR o.order_id IS NULL",
    "purchases that match no paid order": "SELECT count(*) FROM (SELECT * FROM events WHERE event = 'purchase') e "
    "FULL JOIN (SELECT * FROM orders WHERE paid_at IS NOT NULL) o "
    "ON e.order_id = o.order_id AND e.user_id = o.user_id AND e.event_at = o.paid_at "
    "WHERE e.order_id IS NULL OR o.order_id IS NULL",
    "checkouts and purchases that repeat": "SELECT count(*) - count(DISTINCT (event, order_id)) FROM events "
    "WHERE order_id IS NOT NULL",
    "clicks without an exposure before": "SELECT count(*) FROM events c ANTI JOIN events s "
    "ON s.event = 'view_promotion' AND s.session_id = c.session_id AND s.slot_id = c.slot_id "
    "AND s.content_id = c.content_id AND s.event_at < c.event_at WHERE c.event = 'select_promotion'",
    "more clicks than exposures": "SELECT count(*) FROM (SELECT session_id, slot_id FROM events GROUP BY 1, 2 "
    "HAVING count(*) FILTER (event = 'select_promotion') > count(*) FILTER (event = 'view_promotion'))",
    "carts without a view before": "SELECT count(*) FROM events c ANTI JOIN events v ON v.event = 'view_item' "
    "AND v.session_id = c.session_id AND v.product_id = c.product_id AND v.event_at < c.event_at "
    "WHERE c.event = 'add_to_cart'",
    "ordered products never put into the cart": "SELECT count(*) FROM order_lines l JOIN orders o USING (order_id) "
    "ANTI JOIN events c ON c.event = 'add_to_cart' AND c.user_id = o.user_id AND c.product_id = l.product_id "
    "AND c.event_at < o.submitted_at",
    "redeemed before given or after expiry": "SELECT count(*) FROM coupon_grants "
    "WHERE redeemed_at < granted_at OR redeemed_at > expires_at OR redeemed_at < collected_at",
    "redeemed without being collected": "SELECT count(*) FROM coupon_grants "
    "WHERE redeemed_at IS NOT NULL AND grant_source = 'collected' AND collected_at IS NULL",
    "grants and orders that disagree": "SELECT count(*) FROM (SELECT * FROM coupon_grants WHERE order_id IS NOT NULL) "
    "g FULL JOIN (SELECT * FROM orders WHERE coupon_discount_amount > 0) o ON g.order_id = o.order_id "
    "AND g.user_id = o.user_id AND g.redeemed_at = o.submitted_at AND g.discount_amount = o.coupon_discount_amount "
    "WHERE g.order_id IS NULL OR o.order_id IS NULL",
    "orders with two grants": "SELECT count(order_id) - count(DISTINCT order_id) FROM coupon_grants",
    "coupons used below their minimum": "SELECT count(*) FROM coupon_grants g JOIN orders o USING (order_id) "
    "JOIN coupons c USING (coupon_id) WHERE o.gross_amount < c.min_spend",
    "coupon given to the control of the holdout": "SELECT count(*) FROM coupon_grants g "
    "JOIN experiment_assignments a USING (user_id) WHERE g.coupon_id = 'c03' "
    "AND a.experiment_id = 'holdout_c03' AND a.variant = 'control'",
    "invitation coupon to friends of the control": "SELECT count(*) FROM coupon_grants g JOIN users u USING (user_id) "
    "JOIN experiment_assignments a ON a.user_id = u.inviter_id AND a.experiment_id = 'invitation_reward' "
    "WHERE g.coupon_id = 'c01' AND a.variant = 'control'",
    "stock or spend below zero": "SELECT (SELECT count(*) FROM stock WHERE on_hand_quantity < 0) "
    "+ (SELECT count(*) FROM channel_spend WHERE clicks < 0 OR impressions < clicks OR spend_amount < 0)",
    "rows outside the period": "SELECT count(*) FROM events "
    "WHERE event_at < '2026-03-01 00:00:00+08' OR event_at >= '2026-06-29 00:00:00+08'",
}


def fault_counts(shop: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count the rows of every kind of fault."""
    return {name: shop.execute(query).fetchone()[0] for name, query in FAULTS.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_data_are_clean(shop: duckdb.DuckDBPyConnection, fault: str) -> None:
    assert shop.execute(FAULTS[fault]).fetchone() == (0,)


def test_spend_has_at_least_as_many_clicks_as_visits(shop: duckdb.DuckDBPyConnection) -> None:
    missing = shop.execute(
        "SELECT count(*) FROM (SELECT event_at::DATE AS date, channel, campaign, keyword, count(*) AS visits "
        "FROM events WHERE event = 'page_view' AND campaign IS NOT NULL GROUP BY ALL) v LEFT JOIN channel_spend s "
        "ON s.date = v.date AND s.channel = v.channel AND s.campaign = v.campaign "
        "AND s.keyword IS NOT DISTINCT FROM v.keyword WHERE s.clicks IS NULL OR s.clicks < v.visits"
    ).fetchone()
    assert missing == (0,)


# The planted stories


def test_the_young_channel_fills_carts_and_sells_little(shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]) -> None:
    shop.execute(
        "CREATE OR REPLACE TEMP VIEW user_funnel AS SELECT u.channel, u.age_group, u.user_id, "
        "bool_or(event = 'add_to_cart') AS has_cart, bool_or(event = 'purchase') AS has_order "
        "FROM users u JOIN events e USING (user_id) GROUP BY ALL"
    )
    by_channel = rows(
        shop,
        "SELECT channel, avg(has_cart::INT), avg(has_order::INT) FILTER (has_cart) FROM user_funnel "
        "WHERE channel IS NOT NULL GROUP BY 1",
    )
    young = by_channel.pop("social_video")
    assert young[0] > max(rate[0] for rate in by_channel.values())
    assert young[1] < 0.85 * min(rate[1] for rate in by_channel.values())
    total, within = shop.execute(
        "WITH rates AS (SELECT age_group, channel = 'social_video' AS is_young, count(*) AS users, "
        "avg(has_order::INT) AS rate FROM user_funnel WHERE age_group IS NOT NULL AND channel IS NOT NULL GROUP BY ALL) "
        "SELECT sum(y.users * y.rate) / sum(y.users) - sum(o.users * o.rate) / sum(o.users), "
        "sum(y.users * (y.rate - o.rate)) / sum(y.users) "
        "FROM (FROM rates WHERE is_young) y JOIN (FROM rates WHERE NOT is_young) o USING (age_group)"
    ).fetchone()
    assert total < -0.06
    assert abs(within) < 0.5 * abs(total)
    planted = truth["channels"]["social_video"]
    assert abs(planted["gap_from_audience"]) > 4 * abs(planted["gap_from_rate"])
    assert planted["gap_from_audience"] + planted["gap_from_rate"] == pytest.approx(planted["gap_to_shop"], abs=2e-5)


def test_buyers_with_the_invitation_coupon_return_least(shop: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        shop,
        "WITH used AS (SELECT o.user_id, g.coupon_id, min(paid_at) AS first_at FROM coupon_grants g "
        "JOIN orders o USING (order_id) WHERE paid_at IS NOT NULL GROUP BY 1, 2) "
        "SELECT coupon_id, count(*), avg(EXISTS (SELECT 1 FROM orders o WHERE o.user_id = used.user_id "
        "AND o.paid_at::DATE > first_at::DATE AND o.paid_at < first_at + INTERVAL 60 DAY)::INT) "
        "FROM used WHERE first_at < '2026-04-30 00:00:00+08' GROUP BY 1",
    )
    buyers, lowest = found.pop("c01")
    assert buyers >= 80
    assert lowest < 0.6 * min(rate for count, rate in found.values() if count >= 80)


def test_the_invitation_coupon_is_used_often(shop: duckdb.DuckDBPyConnection) -> None:
    found = rows(shop, "SELECT coupon_id, count(redeemed_at) / count(*) FROM coupon_grants GROUP BY 1")
    assert found["c01"] > 0.15
    assert found["c01"] > 2.5 * found["c05"]


def effect(shop: duckdb.DuckDBPyConnection, experiment: str, outcome: str = "count(o.order_id)") -> tuple[float, float]:
    """Difference of means per assigned user over 30 days, treatment less control, and its standard error."""
    arms = rows(
        shop,
        f"WITH per_user AS (SELECT a.user_id, variant, coalesce({outcome}, 0) AS y "
        "FROM experiment_assignments a LEFT JOIN orders o ON o.user_id = a.user_id AND o.paid_at >= assigned_at "
        f"AND o.paid_at < assigned_at + INTERVAL 30 DAY WHERE experiment_id = '{experiment}' "
        "AND assigned_at <= '2026-05-30 00:00:00+08' GROUP BY 1, 2) "
        "SELECT variant, avg(y), var_samp(y) / count(*) FROM per_user GROUP BY 1",
    )
    difference = arms["treatment"][0] - arms["control"][0]
    return difference, float(np.sqrt(arms["treatment"][1] + arms["control"][1]))


PROFIT = (
    "sum(gross_amount - coupon_discount_amount - other_discount_amount - refund_amount + platform_discount_amount "
    "- cost_amount - shipping_cost_amount - platform_fee_amount)"
)


def test_the_holdout_shows_the_planted_effect(shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]) -> None:
    planted = truth["experiments"]["holdout_c03"]["measured_30_days"]["orders_per_user"]["effect"]
    difference, error = effect(shop, "holdout_c03")
    assert difference > 1.96 * error
    assert abs(difference - planted) < Z_999 * error


@pytest.mark.parametrize("experiment", ["holdout_c03", "coupon_timing"])
@pytest.mark.parametrize("outcome", ["orders_per_user", "profit_per_user"])
def test_experiments_agree_with_the_truth(
    shop: duckdb.DuckDBPyConnection, truth: dict[str, Any], experiment: str, outcome: str
) -> None:
    planted = truth["experiments"][experiment]["measured_30_days"][outcome]["effect"]
    counted = PROFIT if outcome == "profit_per_user" else "count(o.order_id)"
    difference, error = effect(shop, experiment, counted)
    assert abs(difference - planted) < Z_999 * error


def test_the_reward_brings_more_friends(shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]) -> None:
    planted = truth["experiments"]["invitation_reward"]["measured_30_days"]["invitees_per_user"]
    arms = rows(
        shop,
        "WITH brought AS (SELECT a.user_id, variant, count(f.user_id) AS y FROM experiment_assignments a "
        "LEFT JOIN users f ON f.inviter_id = a.user_id AND f.first_seen_at < assigned_at + INTERVAL 30 DAY "
        "WHERE experiment_id = 'invitation_reward' AND assigned_at <= '2026-05-30 00:00:00+08' GROUP BY 1, 2) "
        "SELECT variant, avg(y), var_samp(y) / count(*) FROM brought GROUP BY 1",
    )
    error = np.sqrt(arms["treatment"][1] + arms["control"][1])
    difference = arms["treatment"][0] - arms["control"][0]
    assert difference > 1.96 * error
    assert abs(difference - planted["effect"]) < Z_999 * error


def test_later_coupons_are_used_less_and_pay_rates_drop(shop: duckdb.DuckDBPyConnection) -> None:
    used = rows(
        shop,
        "SELECT variant, count(redeemed_at) / count(*) FROM coupon_grants g JOIN experiment_assignments a "
        "ON a.user_id = g.user_id AND a.experiment_id = 'coupon_timing' WHERE g.coupon_id = 'c08' GROUP BY 1",
    )
    assert used["treatment"] < 0.7 * used["control"]
    paid = rows(
        shop,
        "SELECT variant, avg((paid_at IS NOT NULL)::INT) FROM orders o JOIN experiment_assignments a "
        "ON a.user_id = o.user_id AND a.experiment_id = 'coupon_timing' AND o.submitted_at >= a.assigned_at GROUP BY 1",
    )
    assert paid["treatment"] < paid["control"]


def test_collectors_look_better_although_the_coupon_does_nothing(
    shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]
) -> None:
    assert truth["coupons"]["c04"]["order_multiplier"] == 1.0
    found = rows(
        shop,
        "WITH offered AS (SELECT user_id, min(granted_at) AS since, bool_or(collected_at IS NOT NULL) AS collected "
        "FROM coupon_grants WHERE coupon_id = 'c04' GROUP BY 1) "
        "SELECT collected, avg((SELECT count(*) FROM orders o WHERE o.user_id = offered.user_id "
        "AND paid_at >= since AND paid_at < since + INTERVAL 14 DAY)) FROM offered GROUP BY 1",
    )
    assert found[True] > 1.25 * found[False]


def test_stated_coupon_effects_tell_their_stories(truth: dict[str, Any]) -> None:
    incremental = {
        name: coupon["measured"]["incremental_orders_per_coupon_order"] for name, coupon in truth["coupons"].items()
    }
    assert incremental["c02"] < 0.10  # pays people who would have bought anyway
    assert incremental["c03"] > 0.80  # really adds sales
    assert abs(incremental["c04"]) < 0.05  # no effect of its own


def test_the_topic_page_draws_clicks_and_sells_least(shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]) -> None:
    found = rows(
        shop,
        "WITH clicks AS (SELECT DISTINCT slot_id, session_id, product_id FROM events "
        "WHERE event = 'select_promotion' AND page = 'home'), "
        "orders_in AS (SELECT DISTINCT session_id FROM events WHERE event = 'purchase') "
        "SELECT slot_id, count(*), avg((o.session_id IS NOT NULL)::INT) FROM clicks LEFT JOIN orders_in o "
        "USING (session_id) GROUP BY 1",
    )
    (topic,) = truth["slots"]["topic_page"]
    clicks, rate = found.pop(topic)
    assert clicks > max(other for other, _ in found.values())
    assert rate < min(other for count, other in found.values() if count >= 1_000)
    gems = [found[slot] for slot in truth["slots"]["hidden_gems"] if slot in found]
    rate_of_gems, usual = (
        sum(count * sold for count, sold in slots) / sum(count for count, _ in slots)
        for slots in (gems, list(found.values()))
    )
    assert rate_of_gems > 1.5 * usual


def test_click_rates_follow_slot_and_creative(shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]) -> None:
    found = rows(
        shop,
        "SELECT slot_id, count(*) FILTER (event = 'view_promotion'), count(*) FILTER (event = 'select_promotion') "
        "FROM events WHERE slot_id IS NOT NULL GROUP BY 1",
    )
    shown = {place["slot_id"]: place["click_rate"] for place in truth["slots"]["places"]}
    rates = np.array([found[slot][1] / found[slot][0] for slot in found if found[slot][0] > 5_000])
    planted = np.array([shown[slot] for slot in found if found[slot][0] > 5_000])
    assert np.corrcoef(rates, planted)[0, 1] > 0.95


def test_each_rotating_creative_stands_in_several_slots() -> None:
    planted = Truth.default()
    schedule = rotation(planted.slots, planted.contents, 18)
    slots_of = [len(set(np.nonzero(schedule == place)[1])) for place in range(len(planted.contents))]
    own = [one.slot_id is not None for one in planted.contents]
    assert all(count == 1 for count, is_own in zip(slots_of, own, strict=True) if is_own)
    assert min(count for count, is_own in zip(slots_of, own, strict=True) if not is_own) >= 3
    assert all(len(set(week)) == len(week) for week in schedule)


def gone_shares(shop: duckdb.DuckDBPyConnection) -> dict[int, float]:
    """Of users with 4 visit days and no order in three weeks, the share unseen in the second week after, by week."""
    return rows(
        shop,
        "WITH visit_days AS (SELECT DISTINCT user_id, event_at::DATE - DATE '2026-03-01' AS day FROM events), "
        "order_days AS (SELECT user_id, submitted_at::DATE - DATE '2026-03-01' AS day FROM orders), "
        "weeks AS (SELECT unnest(range(4, 15)) AS week), "
        "frequent AS (SELECT week, user_id FROM visit_days JOIN weeks ON day // 7 BETWEEN week - 3 AND week - 1 "
        "GROUP BY 1, 2 HAVING count(*) >= 4), "
        "bought AS (SELECT DISTINCT week, user_id FROM order_days JOIN weeks ON day // 7 BETWEEN week - 3 AND week - 1), "
        "later AS (SELECT DISTINCT user_id, day // 7 - 1 AS week FROM visit_days) "
        "SELECT week, avg((l.user_id IS NULL)::INT) FROM (FROM frequent ANTI JOIN bought USING (week, user_id)) "
        "LEFT JOIN later l USING (week, user_id) GROUP BY 1",
    )


def test_the_wave_of_leavers_shows_in_its_week(shop: duckdb.DuckDBPyConnection) -> None:
    gone = gone_shares(shop)
    quiet = [share for week, share in gone.items() if week <= 7]
    assert gone[9] > max(quiet) + 0.08
    assert gone[9] == max(gone.values())


def weekly_checkout(shop: duckdb.DuckDBPyConnection) -> dict[int, tuple[float, float, int]]:
    """Orders per visit that fills a cart, carts per visit, and visits, by week."""
    return rows(
        shop,
        "WITH visits AS (SELECT session_id, (min(event_at)::DATE - DATE '2026-03-01') // 7 AS week, "
        "bool_or(event = 'add_to_cart') AS has_cart, bool_or(event = 'begin_checkout') AS has_order "
        "FROM events GROUP BY 1) SELECT week, avg(has_order::INT) FILTER (has_cart), avg(has_cart::INT), count(*) "
        "FROM visits WHERE week < 17 GROUP BY 1",
    )


def test_checkout_alone_drops_in_the_week_of_the_sales_change(
    shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]
) -> None:
    weeks = weekly_checkout(shop)
    drop = weeks[14][0] / np.mean([weeks[13][0], weeks[15][0]])
    assert drop == pytest.approx(truth["sales_change"]["multiplier"], abs=0.12)
    assert weeks[14][0] == min(rate for rate, _, _ in weeks.values())
    usual = np.mean([weeks[13][1], weeks[15][1]])
    error = np.sqrt(usual * (1 - usual) * 1.5 / weeks[14][2])  # one week against the mean of two
    assert abs(weeks[14][1] - usual) < Z_999 * error


def test_shares_of_repurchase_and_conversion_are_plausible(shop: duckdb.DuckDBPyConnection) -> None:
    conversion = shop.execute(
        "SELECT avg(EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.user_id "
        "AND paid_at < first_seen_at + INTERVAL 30 DAY)::INT) FROM users u WHERE first_seen_at < '2026-05-30'"
    ).fetchone()[0]
    repurchase = shop.execute(
        "WITH first AS (SELECT user_id, min(paid_at) AS since FROM orders GROUP BY 1 HAVING since < '2026-05-30') "
        "SELECT avg(EXISTS (SELECT 1 FROM orders o WHERE o.user_id = first.user_id AND paid_at::DATE > since::DATE "
        "AND paid_at < since + INTERVAL 30 DAY)::INT) FROM first"
    ).fetchone()[0]
    assert 0.20 < conversion < 0.30
    assert 0.15 < repurchase < 0.35


# Effects switched off


def test_without_effects_experiments_show_nothing(tmp_path: Path) -> None:
    quiet = Truth.default().without_effects()
    shop = open_tables(simulate_shop(tmp_path / "quiet", seed=5, truth=quiet))
    for experiment in ("holdout_c03", "coupon_timing"):
        for outcome in ("count(o.order_id)", PROFIT):
            difference, error = effect(shop, experiment, outcome)
            assert abs(difference) < Z_999 * error
    weeks = weekly_checkout(shop)
    assert weeks[14][0] / np.mean([weeks[13][0], weeks[15][0]]) == pytest.approx(1.0, abs=0.1)
    gone = gone_shares(shop)
    assert abs(gone[9] - np.mean([gone[week] for week in (7, 8, 10, 11)])) < 0.06


def test_without_effects_the_document_claims_no_measured_size(tmp_path: Path) -> None:
    quiet = Truth.default().without_effects()
    folder = simulate_shop(tmp_path / "quiet", users=200, truth=quiet)
    document = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert document["is_measured"] is False
    assert document["experiments"]["holdout_c03"]["measured_30_days"] is None


def test_one_effect_can_be_switched_off_alone() -> None:
    planted = Truth.default()
    calm = replace(planted, leaver_wave=replace(planted.leaver_wave, share=0.0))
    assert planted.leaver_wave.share > 0
    assert calm.sales_change == planted.sales_change


@pytest.mark.slow
def test_the_stated_sizes_can_be_measured_again() -> None:
    """A smaller reference population agrees within 4 standard errors of both measurements."""
    again = measure_truth(Truth.default(), users=100_000)
    for experiment, outcomes in again["experiments"].items():
        for outcome, found in outcomes.items():
            stated = MEASURED["experiments"][experiment][outcome]
            error = np.hypot(found["std_error"], stated["std_error"])
            assert abs(found["effect"] - stated["effect"]) < 4 * error, (experiment, outcome)


@pytest.mark.slow
def test_without_effects_nothing_is_measured() -> None:
    """The same draws in both arms leave no difference at all."""
    found = measure_truth(Truth.default().without_effects(), users=20_000)
    for outcomes in found["experiments"].values():
        assert all(outcome["effect"] == 0 for outcome in outcomes.values())


@pytest.mark.slow
def test_intervals_cover_the_truth_over_many_shops(tmp_path: Path) -> None:
    """Of 40 shops at most 8 miss the stated effect with a 95 % interval (99.9 % binomial bound)."""
    planted = MEASURED["experiments"]["holdout_c03"]["orders_per_user"]["effect"]
    missed = 0
    for seed in range(100, 140):
        shop = open_tables(simulate_shop(tmp_path / "shop", seed=seed))
        difference, error = effect(shop, "holdout_c03")
        missed += abs(difference - planted) > 1.96 * error
    assert missed <= 8


# Refusals


@pytest.mark.parametrize(
    ("arguments", "found"), [({"users": 99}, "users=99"), ({"days": 59}, "days=59"), ({"seed": -1}, "seed=-1")]
)
def test_too_small_a_shop_is_refused(tmp_path: Path, arguments: dict[str, int], found: str) -> None:
    with pytest.raises(ValueError, match=rf"simulate_shop: {found} is too small; at least \d+ is allowed. Pass"):
        simulate_shop(tmp_path / "shop", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_shop_is_written(tmp_path: Path) -> None:
    folder = simulate_shop(tmp_path / "shop", users=100, days=60)
    assert {path.stem for path in folder.iterdir()} == {*TABLES, "truth"}


def test_an_earlier_sample_is_replaced(tmp_path: Path) -> None:
    folder = simulate_shop(tmp_path / "shop", users=100, seed=1)
    (folder / "stray.txt").write_text("left over")
    simulate_shop(folder, users=120, seed=1)
    assert not (folder / "stray.txt").exists()
    assert pq.read_metadata(folder / "users.parquet").num_rows == 120
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "work"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds no truth\.json.*Name another folder or empty this one"):
        simulate_shop(foreign, users=100)
    assert (foreign / "notes.txt").read_text() == "mine"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = contents(simulate_shop(tmp_path / "shop", users=100, seed=1))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.source.simulate.write.stock_table", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate_shop(tmp_path / "shop", users=100, seed=2)
    assert contents(tmp_path / "shop") == earlier
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


# The lineage of slots


def reference(number: int, truth: Truth, days: int = 120) -> tuple[Block, Views, Outcome]:
    """Simulate one block of reference users."""
    products, ads, places = make_products(), make_advertisements(truth), make_places(truth, days)
    block, views = reference_block(number, days, truth, products, ads, places, None)
    return block, views, buy(block, truth)


def test_the_lineage_follows_each_order_back_to_its_clicks() -> None:
    """Independent way: walk the orders one by one, from the line to the view that put it into the cart."""
    planted, prices = Truth.default(), make_products().price_cents
    block, views, outcome = reference(3, planted)
    chosen = np.flatnonzero(outcome.orders["is_paid"])[:2_000]
    some = replace(outcome, orders={name: values[chosen] for name, values in outcome.orders.items()})
    carted: dict[int, list[int]] = {}
    for view in np.flatnonzero(views.is_carted):
        carted.setdefault(int(views.visit[view]), []).append(int(view))
    expected = np.zeros(len(planted.slots) + 1)
    before_promotions = 0.0
    for cart, coupon in zip(some.orders["cart"], some.orders["coupon_cents"], strict=True):
        lines = sorted(carted[int(cart)], key=lambda view: views.cart_at_ms[view])
        first = block.baskets.first_line[cart]
        cents = [prices[views.product[view]] * block.baskets.line_quantity[first + n] for n, view in enumerate(lines)]
        for view, one in zip(lines, cents, strict=True):
            expected[views.slot[view]] += one / sum(cents)
        before_promotions += (sum(cents) - coupon) / 100
    led = led_by_slots(block, views, some, planted)
    assert led["order_share"].sum(axis=0) == pytest.approx(expected)
    assert led["order_share"].sum() == pytest.approx(2_000)
    # Some 12 % of the orders get 4 to 10 % off what coupons leave: less than 2 % of all.
    assert 0.98 * before_promotions < led["amount_share"].sum() < before_promotions


def test_the_lineage_sums_to_the_paid_amount_of_the_tables(
    folder: Path, shop: duckdb.DuckDBPyConnection, truth: dict[str, Any]
) -> None:
    planted, ads = Truth.default(), make_advertisements(Truth.default())
    rng = np.random.default_rng([truth["seed"], 0])
    population = make_population(truth["users"], truth["days"], planted, rng)
    visits = make_visits(population, truth["days"], planted, ads, rng)
    views = browse(population, visits, make_places(planted, truth["days"]), make_products(), planted, rng).views
    block = prepare_block(population, visits, fill_baskets(views, len(visits), make_products(), planted, rng), rng)
    led = led_by_slots(block, views, buy(block, planted), planted)
    orders, amount = shop.execute(
        "SELECT count(*), sum(gross_amount - coupon_discount_amount - other_discount_amount) "
        "FROM orders WHERE paid_at IS NOT NULL"
    ).fetchone()
    assert led["order_share"].sum() == pytest.approx(orders)
    assert led["amount_share"].sum() == pytest.approx(amount, abs=0.005)
    counts = rows(shop, "SELECT event, count(*) FROM events GROUP BY event")
    assert led["view_share"].sum() == counts["view_item"]
    assert led["cart_share"].sum() == counts["add_to_cart"]


def test_stated_shares_of_slots_sum_to_one_and_tell_their_stories(truth: dict[str, Any]) -> None:
    measured = truth["slots"]["measured"]
    assert set(measured) == {one["slot_id"] for one in truth["slots"]["places"]} | {"none"}
    assert truth["slots"]["measured_users"] == 400_000
    for share in SHARES:
        assert sum(one[share] for one in measured.values()) == pytest.approx(1, abs=1e-5)
        assert all(one[share] > 0 and one[f"{share}_std_error"] > 0 for one in measured.values())
    # Of the views that a hidden gem leads to many more end in orders than of the others; of the topic page's, few.
    worth = {name: one["order_share"] / one["view_share"] for name, one in measured.items()}
    assert all(worth[one] > 2 for one in truth["slots"]["hidden_gems"])
    assert all(worth[one] < 0.5 for one in truth["slots"]["topic_page"])


def test_stated_shares_of_slots_can_be_measured_again() -> None:
    """Two other blocks of users agree within 4 standard errors (4.5 for the largest of 300 comparisons)."""
    planted = Truth.default()
    parts = [lineage_sums(led_by_slots(*reference(number, planted), planted)) for number in (500, 501)]
    again = lineage_summary({name: parts[0][name] + parts[1][name] for name in SHARES}, planted)
    distances = []
    for slot, stated in MEASURED["slots"].items():
        for share in SHARES:
            # The error of 40,000 users follows from the one of 400,000.
            error = np.hypot(stated[f"{share}_std_error"], stated[f"{share}_std_error"] * np.sqrt(10))
            distances.append((again[slot][share] - stated[share]) / error)
    assert np.abs(distances).max() < 4.5
    assert np.mean(np.square(distances)) == pytest.approx(1, abs=0.4)


def test_the_errors_of_shares_are_those_of_independent_users() -> None:
    """Against a bootstrap over users, 400 replicates: the spread of a spread is 1 / sqrt(800), 4 of them are 14 %."""
    planted = Truth.default()
    led = led_by_slots(*reference(7, planted), planted)
    stated = lineage_summary(lineage_sums(led), planted)
    weights = np.random.default_rng(1).poisson(1.0, (400, len(led["order_share"])))
    resampled = weights @ led["order_share"][:, [0, 10, -1]]
    spread = (resampled / (weights @ led["order_share"].sum(axis=1))[:, None]).std(axis=0)
    for name, found in zip((planted.slots[0].slot_id, planted.slots[10].slot_id, "none"), spread, strict=True):
        assert stated[name]["order_share_std_error"] == pytest.approx(found, rel=0.15)


def test_without_effects_sales_of_slots_follow_traffic() -> None:
    quiet, planted = Truth.default().without_effects(), Truth.default()
    special = [place for place, one in enumerate(planted.slots) if one.story]
    # Slots on the cart page are seen by full carts only, so their lines share orders with others.
    plain = [place for place, one in enumerate(planted.slots) if not one.story and one.page not in ("topic", "cart")]

    def carts_per_view(truth: Truth, places: list[int]) -> float:
        led = led_by_slots(*reference(2, truth), truth)
        return led["cart_share"][:, places].sum() / led["view_share"][:, places].sum()

    assert carts_per_view(quiet, special) == pytest.approx(carts_per_view(quiet, plain), rel=0.1)
    gems = [place for place in special if planted.slots[place].story == "hidden_gem"]
    assert carts_per_view(planted, gems) > 2 * carts_per_view(planted, plain)


@pytest.mark.parametrize("change", [{"truth": Truth.default().without_effects()}, {"days": 90}])
def test_other_truths_state_no_shares_of_slots(tmp_path: Path, change: dict[str, Any]) -> None:
    document = json.loads((simulate_shop(tmp_path / "other", users=100, **change) / "truth.json").read_text("utf-8"))
    assert document["slots"]["measured"] is None
    assert document["slots"]["measured_users"] is None


# The truth of an open shop


@pytest.mark.parametrize("way", ["", pytest.param("chdb://", marks=pytest.mark.engine)])
def test_an_open_sample_knows_its_truth(tmp_path: Path, way: str) -> None:
    if way:
        pytest.importorskip("chdb")
    small = simulate_shop(tmp_path / "small", users=100)
    written = json.loads((small / "truth.json").read_text(encoding="utf-8"))
    shop = open_shop(f"{way}{small}")
    assert shop.truth == written
    shop.truth["slots"].clear()  # whoever changes the answer changes no one else's
    assert shop.truth == written
    report = check_source(f"{way}{small}")
    assert report.strays == ()
    assert "truth" not in report.text("en")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{not json",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'"seed"',
        b'{"truth": "theirs"}',
        b'{"seed": 1, "users": 2, "days": 3, "is_measured": true, "slots": []}',
        b"[" * 100_000,
    ],
    ids=["missing", "empty", "broken", "binary", "list", "text", "theirs", "no slots", "deep"],
)
def test_a_truth_that_is_not_ours_is_no_fault(tmp_path: Path, folder: Path, content: bytes | None) -> None:
    foreign = tmp_path / "shop"
    foreign.mkdir()
    (foreign / "orders.parquet").write_bytes((folder / "orders.parquet").read_bytes())
    if content is not None:
        (foreign / "truth.json").write_bytes(content)
    shop = open_shop(foreign)
    assert shop.truth is None
    assert shop.warnings == ()


def test_a_truth_that_cannot_be_read_is_no_fault(tmp_path: Path, folder: Path) -> None:
    foreign = tmp_path / "shop"
    (foreign / "truth.json").mkdir(parents=True)
    (foreign / "orders.parquet").write_bytes((folder / "orders.parquet").read_bytes())
    assert open_shop(foreign).truth is None


def test_a_database_has_no_truth(tmp_path: Path, folder: Path) -> None:
    """Not even with a truth.json beside it: that belongs to the folder."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"CREATE TABLE orders AS SELECT * FROM '{folder}/orders.parquet'")
    (tmp_path / "truth.json").write_bytes((folder / "truth.json").read_bytes())
    assert open_shop(tmp_path / "shop.duckdb").truth is None
