"""The channel comparison on 10 (and 100) million events, and the sales picture of 10 million orders, whole.

Both with all their tables and findings. Opening counts the contract's checks; the analysis counts from the open shop to
the finished tables. Each figure is the least of some rounds, each in a process of its own with 2 threads and DuckDB's
memory_limit at 2 GB.

The channel comparison reads the shop of `events.py` with users of eight channels, five age groups and four regions, first
seen at their first event, and the daily spend of each channel. The sales picture reads the shop of `coupons.py`: two lines
an order, 5,000 products; orders alone, so that buyers are the visitors; 30 days against the 30 before, with half a year
of history for its alerts.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from attribution import shop_of
from coupons import make_shop
from funnel import CHANNELS
from measure import MEMORY_LIMIT, THREADS, Meter, best, event_arguments, fresh, limit, ratio, row, save, tell

ORDERS = 10_000_000
CHANNEL = {"conversion_days": 7, "repurchase_days": [7, 14], "standardise_by": ["age_group", "region"]}
SALES = {"start_date": "2026-05-01", "end_date": "2026-05-31"}
MOST_CHANNEL_SECONDS, MOST_SALES_SECONDS = {10_000_000: 12, 100_000_000: 120}, 20
MOST_GB = 2.8  # memory_limit, and Python with what the checks of opening left behind


def make_users(shop):
    """Users and spend beside the events of a shop: acquired by a channel on the day of their first event."""
    import duckdb
    from events import DAYS, START_MS, write

    shop = Path(shop)
    channel = f"[{', '.join(repr(one) for one in CHANNELS)}][CAST(1 + hash({{}} + 5) % {len(CHANNELS)} AS BIGINT)]"
    users = f"""
        SELECT user_id, min(event_at) AS first_seen_at, {channel.format("number")} AS channel,
               ['18-24', '25-34', '35-44', '45-54', '55+'][CAST(1 + hash(number + 1) % 5 AS BIGINT)] AS age_group,
               ['north', 'south', 'east', 'west'][CAST(1 + hash(number + 2) % 4 AS BIGINT)] AS region
        FROM (SELECT CAST(regexp_extract(user_id, '[0-9]+') AS BIGINT) AS number, user_id, event_at
              FROM read_parquet('{shop}/events/*.parquet'))
        GROUP BY user_id, number"""
    spend = f"""
        SELECT CAST(make_timestamp({START_MS * 1000}) AS DATE) + CAST(day AS INTEGER) AS date, channel,
               100.0 + hash(day) % 50 AS spend_amount
        FROM range({DAYS}) AS days (day), (SELECT unnest([{", ".join(repr(one) for one in CHANNELS)}]) AS channel)"""
    with tempfile.TemporaryDirectory() as spill:
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = {THREADS}; SET timezone = 'UTC'")
        connection.execute(f"SET temp_directory = '{spill}'")
        write(connection, users, shop / "users.parquet")
        write(connection, spend, shop / "channel_spend.parquet")
        connection.close()


def event_shop(folder, events):
    """A folder with links to the events and orders of `events.py`, and users and spend of its own."""
    shop, place = Path(shop_of(folder, events)), Path(folder) / f"channels-{events}"
    place.mkdir(exist_ok=True)
    for name in ("events", "orders", "slots.parquet"):
        if not (place / name).exists():
            (place / name).symlink_to((shop / name).absolute())
    if not (place / "channel_spend.parquet").exists():
        make_users(place)
    return str(place)


def order_shop(folder, orders):
    """The shop of `coupons.py`, without what the sales picture does not read."""
    place = Path(folder) / f"sales-{orders}"
    if not (place / "orders.parquet").exists():
        make_shop(place, orders, orders // 5)
    for name in ("coupon_grants", "coupons", "experiments", "experiment_assignments", "units"):
        (place / f"{name}.parquet").unlink(missing_ok=True)
    return str(place)


def do(task):
    """One measurement, in the process that was started for it."""
    import workbench.channel.comparison
    import workbench.sales.overview  # noqa: F401 - importing is not part of the figure
    from workbench.source.shop import open_shop

    meter = Meter()
    shop = open_shop(task["shop"])
    opened = meter.read()
    shop.engine.backend.raw_sql(f"SET threads = {THREADS}")
    meter = Meter()
    if task["room"] == "channel":
        found = workbench.channel.comparison.compare_channels(shop, **CHANNEL)
    else:
        found = workbench.sales.overview.overview_sales(shop, **SALES)
    return meter.read(opened=opened["cpu"], rows=sum(len(one) for one in found.tables.values()))


def measure(results, room, shop, size, most, rounds, timeout):
    """One room on one shop, beside its limit."""
    cost = best([fresh(__file__, {"room": room, "shop": shop}, timeout=timeout) for _ in range(rounds)])
    row(f"{room}, {size}", cost, f"opening {cost['opened']:.1f} s CPU more" if cost else "")
    limit(results, f"{room}, {size}", cost and cost["cpu"], most, " s")
    limit(results, f"{room}, {size}: peak", cost and cost["peak"] / 1000, MOST_GB, " GB")
    results[f"{room}, {size}, cost"] = cost
    return cost


def main():
    arguments = event_arguments(__doc__)
    if arguments.task:
        print(json.dumps(do(json.loads(arguments.task))))
        return
    results, rounds, timeout = {}, arguments.rounds, arguments.timeout
    folder = arguments.folder or tempfile.mkdtemp(prefix="bench-")
    try:
        sales = order_shop(folder, ORDERS)
        measure(results, "sales", sales, f"{ORDERS / 1e6:g}M orders", MOST_SALES_SECONDS, rounds, timeout)
        sizes = [arguments.events, *([arguments.events * 10] if arguments.large else [])]
        costs = []
        for events in sizes:
            most = MOST_CHANNEL_SECONDS.get(events, events * 1.2e-6)
            shop = event_shop(folder, events)
            costs.append(measure(results, "channel", shop, f"{events / 1e6:g}M events", most, rounds, timeout * 4))
        if len(costs) == 2:
            limit(results, "channel: growth with ten times the events", ratio(costs[1], costs[0]), 14, " ×")
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    save("rooms", results)
    tell(results)


if __name__ == "__main__":
    sys.exit(main())
