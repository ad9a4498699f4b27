"""Make a large synthetic shop in the contract's tables, with DuckDB alone: `events.py --events 10000000 --folder F`.

N events of N/10 users over 30 days: 45 % exposures and 20 % clicks of 200 slots, 20 % detail views, 9 % carts, 3 %
checkouts and 3 % payments, which agree with the orders. A seventh of the users pays, most of them once, few very
often. Every value is a hash of its row's number, so the same arguments give the same shop.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import duckdb

START_MS, DAYS = 1_772_323_200_000, 30  # 2026-03-01 00:00 UTC
SPAN_MS = DAYS * 86_400_000
SLOTS = 200
ROWS_PER_FILE = 2_500_000
BOT_CLICKS, BOT_ORDERS = 20_000, 2_000
BYTES_PER_EVENT = 40  # on disk, generously; to refuse before the disk is full
VERSION = 1  # of the data made here; a folder of another version is made anew

EVENT_COLUMNS = "user_id, event_at, event, seq, slot_id, content_id, product_id, order_id"


def make_shop(folder, events, bots=0):
    """Write the shop into a folder, unless it is there already; the folder."""
    folder, wanted = Path(folder), {"events": events, "bots": bots, "version": VERSION}
    note = folder / "made.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) == wanted:
        return folder
    if folder.exists() and any(folder.iterdir()) and not note.exists():
        sys.exit(f"{folder} is not empty and was not made here; give another --folder.")
    _refuse_full_disk(folder, events)
    for name in ("events", "orders"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as spill:
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '2GB'; SET threads = 2; SET temp_directory = '{spill}'")
        connection.execute("SET timezone = 'UTC'; SET preserve_insertion_order = true")
        for part, first in enumerate(range(0, events, ROWS_PER_FILE)):
            last = min(first + ROWS_PER_FILE, events)
            write(connection, event_rows(events, first, last), folder / "events" / f"part-{part:03}.parquet")
        write(connection, order_rows(events), folder / "orders" / "part-000.parquet")
        write(connection, slot_rows(), folder / "slots.parquet")
        if bots:
            write(connection, bot_event_rows(bots), folder / "events" / "bots.parquet")
            write(connection, bot_order_rows(bots), folder / "orders" / "bots.parquet")
        connection.close()
    note.write_text(json.dumps(wanted), encoding="utf-8")
    return folder


def event_rows(events, first, last):
    """SQL of the events numbered first to last.

    Events stand in the order of time, as a log does. In each hundred three rows are checkouts and the rows fifty
    later pay these orders; the others draw what they are.
    """
    return f"""
        WITH numbered AS (
            SELECT range AS i, hash(range) AS h, hash(range + 1000000000007) AS g FROM range({first}, {last})
        ), drawn AS (
            SELECT i, h, g,
                   {_instant("i", events)} AS event_at,
                   CASE WHEN i % 100 IN (10, 20, 30) THEN 'begin_checkout'
                        WHEN i % 100 IN (60, 70, 80) THEN 'purchase'
                        WHEN h % 94 < 45 THEN 'view_promotion'
                        WHEN h % 94 < 65 THEN 'select_promotion'
                        WHEN h % 94 < 85 THEN 'view_item'
                        ELSE 'add_to_cart' END AS event,
                   CASE WHEN i % 100 IN (10, 20, 30) THEN i // 100 * 3 + i % 100 // 10 - 1
                        WHEN i % 100 IN (60, 70, 80) THEN i // 100 * 3 + i % 100 // 10 - 6 END AS order_number,
                   {skewed("g", SLOTS)} AS slot
            FROM numbered
        )
        SELECT {
        user_name(
            "CASE WHEN order_number IS NULL THEN "
            + _visitor("h", events // 10)
            + " ELSE "
            + _buyer("order_number", events // 10)
            + " END"
        )
    } AS user_id,
               event_at,
               event,
               CAST(i % 3 AS INTEGER) AS seq,
               CASE WHEN event IN ('view_promotion', 'select_promotion') THEN {slot_name("slot")} END AS slot_id,
               CASE WHEN event IN ('view_promotion', 'select_promotion')
                    THEN 'c' || lpad(CAST(slot * 5 + g // 65536 % 5 AS VARCHAR), 4, '0') END AS content_id,
               CASE WHEN event NOT IN ('view_promotion', 'begin_checkout')
                    THEN 'p' || lpad(CAST(h // 1048576 % 5000 AS VARCHAR), 4, '0') END AS product_id,
               {_order("order_number")} AS order_id
        FROM drawn ORDER BY i"""


def order_rows(events):
    """SQL of the orders; each has its checkout and its payment among the events."""
    return f"""
        SELECT {_order("number")} AS order_id, {user_name(_buyer("number", events // 10))} AS user_id,
               {_instant("number // 3 * 100 + number % 3 * 10 + 10", events)} AS submitted_at,
               {_instant("number // 3 * 100 + number % 3 * 10 + 60", events)} AS paid_at,
               CAST(500 + hash(number + 13) % 30000 AS DOUBLE) / 100 AS gross_amount
        FROM (SELECT range AS number FROM range({events // 100 * 3}))"""


def bot_event_rows(bots):
    """SQL of the bots' clicks, checkouts and payments, evenly over the days."""
    return f"""
        SELECT {EVENT_COLUMNS} FROM (
            SELECT 'bot' || bot AS user_id, {_bot_instant("i", BOT_CLICKS, 0)} AS event_at,
                   'select_promotion' AS event, 0 AS seq, {slot_name(skewed("hash(bot * 1000003 + i)", SLOTS))} AS slot_id,
                   NULL::VARCHAR AS content_id, NULL::VARCHAR AS product_id, NULL::VARCHAR AS order_id
            FROM (SELECT range AS bot FROM range({bots})), (SELECT range AS i FROM range({BOT_CLICKS}))
            UNION ALL
            SELECT 'bot' || bot, {_bot_instant("i", BOT_ORDERS, "delay")}, event, seq, NULL, NULL, NULL,
                   'bot' || bot || '-' || i
            FROM (SELECT range AS bot FROM range({bots})), (SELECT range AS i FROM range({BOT_ORDERS})),
                 (VALUES ('begin_checkout', 1, 40000), ('purchase', 2, 60000)) AS step (event, seq, delay)
        ) ORDER BY event_at, user_id"""


def bot_order_rows(bots):
    """SQL of the bots' orders."""
    return f"""
        SELECT 'bot' || bot || '-' || i AS order_id, 'bot' || bot AS user_id,
               {_bot_instant("i", BOT_ORDERS, 40_000)} AS submitted_at,
               {_bot_instant("i", BOT_ORDERS, 60_000)} AS paid_at,
               CAST(500 + hash(bot * 1000003 + i) % 30000 AS DOUBLE) / 100 AS gross_amount
        FROM (SELECT range AS bot FROM range({bots})), (SELECT range AS i FROM range({BOT_ORDERS}))"""


def slot_rows():
    """SQL of the slots: ten pages of twenty positions."""
    return f"""
        SELECT {slot_name("range")} AS slot_id, 'Slot ' || range AS name, 'page ' || (range // 20 + 1) AS page,
               CAST(range % 20 + 1 AS INTEGER) AS position, 'banner' AS kind
        FROM range({SLOTS})"""


def _instant(row, events):
    return f"make_timestamptz(({START_MS} + CAST({row} AS BIGINT) * {SPAN_MS} // {events})::BIGINT * 1000)"


def _bot_instant(row, count, delay):
    return f"make_timestamptz(({START_MS} + {row} * {SPAN_MS // count} + {delay})::BIGINT * 1000)"


def _buyer(number, users):
    """Number of the user who places an order.

    Half of the orders come from a quarter of the users, a quarter from a sixteenth, an eighth from a sixty-fourth
    and so on down to one user in 4096: some 14 % of all users pay, the keenest some sixty times.
    """
    return _tier(f"hash({number} + 77777777777)", users)


def _visitor(draw, users):
    """Number of the user who acts: three times in four anyone, else one drawn as buyers are."""
    anyone = f"{draw} // 1024 % {users}"
    return f"(CASE WHEN {draw} // 128 % 4 < 3 THEN {anyone} ELSE {_tier(f'hash({draw})', users)} END)"


def _tier(draw, users):
    sizes = [max(users // 4 ** (tier + 1), 1) for tier in range(6)]
    steps = "".join(
        f" WHEN {draw} % 64 < {64 - 64 // 2 ** (tier + 1)} THEN {draw} // 64 % {size}"
        for tier, size in enumerate(sizes[:-1])
    )
    return f"(CASE{steps} ELSE {draw} // 64 % {sizes[-1]} END)"


def skewed(draw, count):
    """A number below count; low ones are drawn more often (the first of 200 in 7 % of draws)."""
    return f"CAST(floor({count} * pow({draw} // 256 % 1000003 / 1000003.0, 2)) AS BIGINT)"


def user_name(number):
    return f"'u' || lpad(CAST({number} AS VARCHAR), 8, '0')"


def slot_name(number):
    return f"'s' || lpad(CAST({number} AS VARCHAR), 3, '0')"


def _order(number):
    return f"'o' || lpad(CAST({number} AS VARCHAR), 8, '0')"


def write(connection, query, file):
    connection.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")


def _refuse_full_disk(folder, events):
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    needed, free = events * BYTES_PER_EVENT, shutil.disk_usage(place).free
    if free < 2 * needed:
        sys.exit(f"{events:,} events need up to {needed / 1e9:.1f} GB in {place}; {free / 1e9:.1f} GB are free.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="number of events, in hundreds (10000000)")
    parser.add_argument(
        "--bots", type=int, default=0, help=f"users of {BOT_CLICKS:,} clicks and {BOT_ORDERS:,} orders each (0)"
    )
    parser.add_argument("--folder", type=Path, help="where to write; kept and reused (default: a temporary folder)")
    arguments = parser.parse_args()
    if arguments.events < 10_000 or arguments.events % 100:
        parser.error("--events: a multiple of 100, at least 10000")
    folder = arguments.folder or Path(tempfile.gettempdir()) / f"bench-{arguments.events}-{arguments.bots}"
    started = time.perf_counter()
    make_shop(folder, arguments.events, arguments.bots)
    print(f"{folder}: {time.perf_counter() - started:.0f} s")
    for table in ("events", "orders"):
        files = f"'{folder}/{table}/*.parquet'"
        rows, users = duckdb.sql(f"SELECT count(*), count(DISTINCT user_id) FROM read_parquet({files})").fetchone()
        size = sum(file.stat().st_size for file in (folder / table).iterdir())
        print(f"  {table}: {rows:,} rows of {users:,} users, {size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
