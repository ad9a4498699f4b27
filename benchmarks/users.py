"""Quadrants, migration and alarms of 10 million users over four periods of 28 days, with windows of 90 days, and beside
them the whole report on users: tags, profiles, purchases and lifecycle too.

Each user of the shop is active on some five of 180 days; a fifth of them buy, twice on average. From the open shop to the
finished tables, thresholds, intervals and alarms included, and beside it the last period's members counted by group, ids
included, as audiences need them. Each figure is the least of some rounds, each in a process of its own with 2 threads and
DuckDB's memory_limit at 2 GB.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from funnel import CHANNELS
from measure import MEMORY_LIMIT, THREADS, Meter, best, fresh, limit, row, save, tell

USERS = 10_000_000
DAYS, ACTIVE_DAYS, ORDERS_PER_BUYER, PERIODS = 180, 5, 2, 4
MOST_SECONDS, MOST_MEMORY = 60, 2.8
ASKED = {"window_days": 90, "period_days": 28}


def make_shop(folder, users):
    """Events, orders and users as Parquet files in the folder."""
    import duckdb
    from events import START_MS, user_name, write

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "users.parquet").exists():
        return str(folder)

    def instant(draw):
        return f"make_timestamptz(({START_MS} + CAST({draw} % {DAYS * 86_400_000} AS BIGINT)) * 1000)"

    channels = f"[{', '.join(repr(one) for one in CHANNELS)}]"
    events = f"""
        SELECT {user_name(f"range % {users}")} AS user_id, {instant("hash(range)")} AS event_at, 'view_item' AS event
        FROM range({users * ACTIVE_DAYS})"""
    orders = f"""
        SELECT 'o' || range AS order_id, {user_name(f"hash(range + 1) % {users // 5} * 5")} AS user_id,
               {instant("hash(range + 2)")} AS submitted_at, {instant("hash(range + 2)")} AS paid_at,
               CAST(500 + hash(range + 3) % 30000 AS DOUBLE) / 100 AS gross_amount
        FROM range({users // 5 * ORDERS_PER_BUYER})"""
    people = f"""
        SELECT {user_name("range")} AS user_id, make_timestamptz({START_MS}::BIGINT * 1000) AS first_seen_at,
               {channels}[CAST(1 + hash(range + 5) % {len(CHANNELS)} AS BIGINT)] AS channel
        FROM range({users})"""
    with tempfile.TemporaryDirectory() as spill:
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = {THREADS}; SET timezone = 'UTC'")
        connection.execute(f"SET temp_directory = '{spill}'")
        for name, query in (("events", events), ("orders", orders), ("users", people)):
            write(connection, query, folder / f"{name}.parquet")
        connection.close()
    return str(folder)


def do(task):
    """One measurement, in the process that was started for it."""
    from workbench.source.shop import open_shop
    from workbench.user.quadrants import QuadrantRules, read_quadrants
    from workbench.user.segmentation import segment_users

    meter = Meter()
    shop = open_shop(task["shop"])
    opened = meter.read()
    shop.engine.backend.raw_sql(f"SET threads = {THREADS}")
    if task["whole"]:
        meter = Meter()
        analysis = segment_users(shop, **ASKED)
        periods = analysis.tables["quadrants"]["period_index"].nunique()
        return meter.read(opened=opened["cpu"], periods=periods)
    meter = Meter()
    found = read_quadrants(shop, shop.period(None, None, "UTC"), QuadrantRules(**ASKED))
    cost = meter.read(opened=opened["cpu"], periods=len(found.periods))
    meter = Meter()
    members = found.members
    counted = shop.collect(members.group_by("quadrant").aggregate(users=members.user_id.nunique()))
    last = found.quadrants[found.quadrants["period_index"] == len(found.periods) - 1].set_index("quadrant")[
        "user_count"
    ]
    if counted.set_index("quadrant")["users"].to_dict() != last[last > 0].to_dict():
        raise SystemExit(f"members differ from the quadrants: {counted.to_dict()} {last.to_dict()}")
    named = meter.read()
    return cost | {"members": named["cpu"], "peak": named["peak"]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=USERS, help=f"users of the shop ({USERS})")
    parser.add_argument("--rounds", type=int, default=3, help="times that it is measured; the least counts (3)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds after which a round is given up (600)")
    parser.add_argument("--folder", type=Path, help="where shops are made and kept (default: temporary, removed)")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    asked = arguments()
    if asked.task:
        print(json.dumps(do(json.loads(asked.task))))
        return
    results = {}
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        shop = make_shop(Path(folder) / f"users-{asked.users}", asked.users)
        cost, whole = (
            best([fresh(__file__, {"shop": shop, "whole": one}, timeout=asked.timeout) for _ in range(asked.rounds)])
            for one in (False, True)
        )
        size = f"{asked.users / 1e6:g}M users × {cost['periods'] if cost else PERIODS} periods"
        note = f"opening {cost['opened']:.1f} s, ids of members {cost['members']:.1f} s CPU more" if cost else ""
        row(f"quadrants, {size}", cost, note)
        limit(results, f"quadrants, {size}", cost and cost["cpu"], MOST_SECONDS, " s")
        limit(results, f"quadrants, {size}: peak", cost and cost["peak"] / 1000, MOST_MEMORY, " GB")
        results[f"quadrants, {size}, cost"] = cost
        row(f"whole report on users, {size}", whole)
        results[f"whole report on users, {size}, cost"] = whole
    finally:
        if not asked.folder:
            shutil.rmtree(folder, ignore_errors=True)
    save("users", results)
    tell(results)


if __name__ == "__main__":
    main()
