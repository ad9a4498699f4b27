"""Speed and memory of the coupon scorecard and the experiment read-out, and of the read-out beside tea-tasting.

Each figure is the least of some rounds, each round in a process of its own with 2 threads and DuckDB's memory_limit at
2 GB; the tasks take turns. CPU seconds (user and system) count from the open shop to the last data frame.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from attribution import open_unchecked
from measure import MEMORY_LIMIT, THREADS, Meter, best, fresh, limit, ratio, row, save, tell

ORDERS, USERS = 10_000_000, 2_000_000
GRANTED, USED = 2_000_000, 1_000_000
DAYS = (7, 30, 60)
PERIOD = ("2026-02-01", None, "Asia/Shanghai")


# -- the shop ------------------------------------------------------------------------------------------------


def make_shop(folder, orders, users):
    """A shop of half a year, every value a hash of its row's number: 5 orders a user on average, nine of ten paid.

    A tenth of the orders carry one of eight coupons, as many grants again stay unused; every user is assigned to one
    of two arms in the four weeks from 20 March, and nothing differs between them.
    """
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = {THREADS}; SET timezone = 'UTC'")
    start, day = "TIMESTAMPTZ '2026-01-01 00:00:00+00'", 86_400_000
    # a fifth of the users places four fifths of the orders
    user = (
        f"'u' || lpad((CASE WHEN hash({{0}} + 1) % 5 < 4 THEN hash({{0}}) % {users // 5} * 5 "
        f"ELSE hash({{0}}) % {users} END)::VARCHAR, 7, '0')"
    )
    tables = {
        "users": f"""
            SELECT 'u' || lpad(i::VARCHAR, 7, '0') AS user_id,
                {start} + to_milliseconds((hash(i) % {100 * day})::BIGINT) AS first_seen_at
            FROM range({users}) t(i)""",
        "orders": f"""
            SELECT 'o' || i AS order_id, {user.format("i * 11")} AS user_id, submitted_at,
                CASE WHEN hash(i * 5) % 10 < 9
                    THEN submitted_at + to_milliseconds((hash(i * 17) % 3600000)::BIGINT) END AS paid_at,
                20 + (hash(i * 13) % 10000) / 100.0 AS gross_amount,
                CASE WHEN i % 10 = 0 THEN (hash(i * 19) % 500) / 100.0 ELSE 0.0 END AS coupon_discount_amount,
                CASE WHEN hash(i * 23) % 20 = 0 THEN 10.0::DOUBLE ELSE 0.0 END AS refund_amount,
                10.0::DOUBLE AS cost_amount, 3.0::DOUBLE AS shipping_cost_amount, 1.0::DOUBLE AS platform_fee_amount
            FROM (SELECT i, {start} + to_milliseconds((hash(i * 29) % {180 * day})::BIGINT) AS submitted_at
                  FROM range({orders}) t(i))""",
        "order_lines": f"""
            SELECT 'o' || i AS order_id, line AS line_no, 'p' || (hash(i * 3 + line) % 5000) AS product_id,
                1 AS quantity, (20 + (hash(i * 13) % 10000) / 100.0) / 2 AS amount
            FROM range({orders}) t(i), range(2) l(line)""",
        "products": "SELECT 'p' || i AS product_id, 'category ' || i % 40 AS category FROM range(5000) t(i)",
        "coupons": """
            SELECT 'c' || i AS coupon_id, 'coupon ' || i AS name,
                CASE WHEN i % 2 = 0 THEN 'threshold' ELSE 'percentage' END AS kind, 5.0 AS face_value, 50.0 AS min_spend
            FROM range(8) t(i)""",
        "coupon_grants": f"""
            SELECT 'g' || i AS grant_id, 'c' || hash(i * 31) % 8 AS coupon_id, {user.format("i * 110")} AS user_id,
                granted_at, granted_at + INTERVAL 14 DAY AS expires_at, 'o' || i * 10 AS order_id,
                (hash(i * 190) % 500) / 100.0 AS discount_amount
            FROM (SELECT i, {start} + to_milliseconds((hash(i * 290) % {180 * day})::BIGINT
                    - (hash(i * 37) % {3 * day})::BIGINT) AS granted_at FROM range({orders // 10}) t(i))
            UNION ALL
            SELECT 'h' || i, 'c' || hash(i * 31) % 8, {user.format("i * 7")}, granted_at,
                granted_at + INTERVAL 14 DAY, NULL, NULL
            FROM (SELECT i, {start} + to_milliseconds((hash(i * 41) % {150 * day})::BIGINT) AS granted_at
                FROM range({orders // 10}) t(i))""",
        "experiments": "SELECT 'e' AS experiment_id, unnest(['control', 'test']) AS variant, 0.5 AS expected_share",
        "experiment_assignments": f"""
            SELECT 'e' AS experiment_id, 'u' || lpad(i::VARCHAR, 7, '0') AS user_id,
                CASE WHEN hash(i * 31) % 2 = 0 THEN 'control' ELSE 'test' END AS variant,
                TIMESTAMPTZ '2026-03-20 00:00:00+00' + to_milliseconds((hash(i * 37) % {28 * day})::BIGINT)
                    AS assigned_at
            FROM range({users}) t(i)""",
    }
    for name, query in tables.items():
        connection.execute(f"COPY ({query}) TO '{folder / name}.parquet' (FORMAT parquet)")


def write_units(shop, folder):
    """One row per user with the outcomes before and after, for both sides of the comparison with tea-tasting."""
    from workbench.metrics.experiment_units import assigned_units, own_members
    from workbench.metrics.experiments import followed_units, unit_outcomes
    from workbench.metrics.orders import profit_amount

    period = shop.period(*PERIOD)
    units = shop.hold(
        "units", followed_units(assigned_units(shop.experiment_assignments, period), shop.users, period, DAYS)
    )
    found = shop.hold(
        "outcomes",
        unit_outcomes(own_members(units), shop.orders, period, days=DAYS, pre_days=28, profit=profit_amount),
    )
    joined = units.left_join(found.drop("variant", "week", "is_new", "elapsed"), "unit_id")
    numbers = {
        name: joined[name].fill_null(0) for name in found.columns if name.endswith(("_pre", *(f"_{d}" for d in DAYS)))
    }
    stratum = joined.stratum.fill_null(joined.is_new.ifelse("new", "0"))
    whole = joined.select("unit_id", "variant", "week", "is_new", "elapsed", stratum=stratum, **numbers)
    query = shop.engine.backend.compile(whole)
    shop.engine.backend.raw_sql(f"COPY ({query}) TO '{folder / 'units.parquet'}' (FORMAT parquet)")


# -- what is measured ----------------------------------------------------------------------------------------


def scorecard(shop, *, with_depth):
    """The scorecard with its curve; the names of the code measured stand here and in the next functions alone."""
    from workbench.coupon.depth import coupon_depth
    from workbench.coupon.repurchase import coupon_repurchase
    from workbench.coupon.scorecard import coupon_scorecard, coupon_tables
    from workbench.metrics.coupons import buyer_exits

    days, period = (30, 60, 90), shop.period(*PERIOD)
    tables = coupon_tables(shop, period)
    exits = shop.collect(buyer_exits(tables.by_level, period, days))
    card = coupon_scorecard(tables, exits, days, 0.2, 0.95)
    coupon_repurchase(exits, card, max(days), 0.95)
    if with_depth:
        coupon_depth(tables, days, 0.95)
    return card


def read_out(shop):
    """Five outcomes in three windows, each raw, adjusted and stratified, with all checks and the curve."""
    from workbench.experiment.readout import read_experiments

    return read_experiments(shop, start_date=PERIOD[0], timezone=PERIOD[2]).tables["experiment_effect"]


def effects_of_units(path):
    """Our effects from a table with one row per user: raw, adjusted and stratified."""
    from workbench.experiment.collect import Collected, followed_sums
    from workbench.experiment.effects import effect_rows
    from workbench.experiment.plan import OUTCOMES, Experiment, make_rules
    from workbench.metrics.experiments import unit_sums

    class Shop:
        """As much of a shop as the read-out asks for."""

        def collect(self, table):
            return table.to_pandas()

    backend = _duckdb()
    units, shop = backend.read_parquet(path), Shop()
    lazy = units.filter(units[f"orders_{max(DAYS)}"] + units.orders_pre > 0)
    rules = make_rules(
        control_variant="control",
        outcomes=list(OUTCOMES),
        outcome_days=list(DAYS),
        pre_period_days=28,
        margin_rate=None,
        expected_shares=None,
        multiple_testing="holm",
        confidence_level=0.95,
    )
    sums = followed_sums(shop.collect(unit_sums(lazy, units, list(OUTCOMES.values()), DAYS)), DAYS)
    experiment = Experiment("e", None, "control", ("test",), None, False)
    kept = {"ratios": (), "curve_days": (), "crossed_count": 0, "user_count": 0, "invitees": None, "reach": None}
    found = Collected(
        experiment=experiment,
        sums=sums,
        by_week=False,
        week_p_value=1.0,
        outcomes=tuple(OUTCOMES),
        lazy=lazy,
        shop=shop,
        **kept,
    )
    return effect_rows(found, rules)


def effects_of_tea_tasting(path):
    """Its means with a covariate each, from the same table in the same engine."""
    import tea_tasting

    from workbench.experiment.plan import OUTCOMES

    names = [f"{name}_{d}" for name in OUTCOMES.values() for d in DAYS]
    metrics = {name: tea_tasting.Mean(name, f"{name.rsplit('_', 1)[0]}_pre") for name in names}
    return tea_tasting.Experiment(metrics).analyze(_duckdb().read_parquet(path), control="control").to_pandas()


def _duckdb():
    import ibis

    backend = ibis.duckdb.connect()
    backend.raw_sql(f"SET memory_limit = '{MEMORY_LIMIT}'")
    backend.raw_sql(f"SET threads = {THREADS}")
    return backend


def do(task):
    """One measurement, in the process that was started for it."""
    import workbench.coupon.evaluation
    import workbench.experiment.readout  # noqa: F401 - importing is not part of the figure

    folder = Path(task["shop"])
    if task["kind"] == "shop":
        meter = Meter()
        make_shop(folder, task["orders"], task["orders"] // 5)
        write_units(open_unchecked(folder), folder)
        return meter.read()
    if task["kind"] in ("ours", "tea-tasting"):
        import tea_tasting  # noqa: F401

        _duckdb()  # what a first connection imports is counted for neither side
        meter = Meter()
        found = (effects_of_units if task["kind"] == "ours" else effects_of_tea_tasting)(folder / "units.parquet")
        return meter.read(rows=len(found))
    shop = open_unchecked(folder)
    meter = Meter()
    if task["kind"] == "read-out":
        found = read_out(shop)
    else:
        found = scorecard(shop, with_depth=task["kind"] == "scorecard and depth")
    return meter.read(rows=len(found))


# -- the run -------------------------------------------------------------------------------------------------


def main():
    """Make the shop, let the tasks take turns, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--folder", type=Path, help="where the shop is kept; else it is removed")
    asked = parser.parse_args()
    if asked.task:
        print(json.dumps(do(json.loads(asked.task))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.folder or Path(scratch)) / f"coupon-shop-{asked.orders}"
        if not (folder / "units.parquet").exists():
            print(f"making a shop of {asked.orders:,} orders", flush=True)
            fresh(__file__, {"kind": "shop", "shop": str(folder), "orders": asked.orders})
        kinds = ("scorecard", "scorecard and depth", "read-out", "ours", "tea-tasting")
        found = {kind: [] for kind in kinds}
        for _ in range(asked.rounds):
            for kind in kinds:
                found[kind].append(fresh(__file__, {"kind": kind, "shop": str(folder)}))
    costs = {kind: best(rounds) for kind, rounds in found.items()}
    results = {"shop": {"orders": asked.orders, "users": asked.orders // 5}}
    for kind, cost in costs.items():
        words = {"ours": "15 effects from one row per user: ours", "tea-tasting": "the same: tea-tasting"}
        row(words.get(kind, kind), cost)
    limit(results, "scorecard", costs["scorecard"]["cpu"], 10, " s")
    limit(results, "read-out", costs["read-out"]["cpu"], 10, " s")
    limit(results, "effects beside tea-tasting", ratio(costs["ours"], costs["tea-tasting"]), 1.5, " x")
    results |= {kind: cost for kind, cost in costs.items() if cost and kind not in results}
    save("coupons", results)
    tell(results)


if __name__ == "__main__":
    sys.exit(main())
