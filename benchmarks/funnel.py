"""A funnel of four steps by channel of acquisition beside ClickHouse's own `windowFunnel` in this process, in one run.

The shop is that of `attribution.py` with a table of users, of eight channels. Ours counts from the open shop to the data
frame, building and compiling the expression included; the native query reads the same files, groups the events of a user
into `windowFunnel` on time packed with seq and joins the channel to each user. Both use 2 threads. Each figure is the least
of some rounds, each in a process of its own; the tasks take turns.
"""

import json
import shutil
import tempfile
from pathlib import Path

from attribution import open_unchecked, shop_of
from measure import THREADS, Meter, best, event_arguments, fresh, limit, ratio, row, save, tell

STEPS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
WINDOW_HOURS = 168
CHANNELS = ("search", "email", "social", "video", "direct", "partners", "offline", "affiliate")

NATIVE = """
SELECT channel, {counts} FROM (
    SELECT user_id, windowFunnel({window})(toUInt64(toUnixTimestamp64Milli(event_at) * 2048 + seq), {conditions}) AS level
    FROM file('{shop}/events/*.parquet', Parquet) WHERE event IN ({names}) GROUP BY user_id
) AS reached JOIN (SELECT user_id, channel FROM file('{shop}/users.parquet', Parquet)) AS known USING (user_id)
GROUP BY channel ORDER BY channel SETTINGS max_threads = {threads}"""


def native_query(shop):
    """The same funnel in ClickHouse's words; the window's end is inclusive."""
    return NATIVE.format(
        shop=shop,
        counts=", ".join(f"countIf(level >= {number})" for number in range(1, len(STEPS) + 1)),
        window=WINDOW_HOURS * 3_600_000 * 2048 + 1023,
        conditions=", ".join(f"event = '{step}'" for step in STEPS),
        names=", ".join(f"'{step}'" for step in STEPS),
        threads=THREADS,
    )


def with_users(folder, events):
    """The shop of this size with its users in a folder of its own; the events are a link to those that are there."""
    import duckdb
    from events import START_MS, user_name, write

    shop, place = Path(shop_of(folder, events)), Path(folder) / f"funnel-{events}"
    place.mkdir(exist_ok=True)
    if not (place / "events").exists():
        (place / "events").symlink_to((shop / "events").absolute(), target_is_directory=True)
    if not (place / "users.parquet").exists():
        channels = ", ".join(f"'{channel}'" for channel in CHANNELS)
        query = f"""SELECT {user_name("range")} AS user_id, make_timestamptz({START_MS * 1000}) AS first_seen_at,
                           [{channels}][CAST(1 + hash(range + 5) % {len(CHANNELS)} AS BIGINT)] AS channel
                    FROM range({events // 10})"""
        connection = duckdb.connect()
        connection.execute("SET timezone = 'UTC'")
        write(connection, query, place / "users.parquet")
        connection.close()
    return str(place)


def funnel(shop, kind):
    """The lazy funnel: the one place that knows the names of the code measured."""
    from workbench.metrics.funnel import funnel_hours, funnel_reach, funnel_rules

    rules = funnel_rules(STEPS, window_hours=WINDOW_HOURS)
    events, users = shop.events, shop.users
    if kind != "text":
        events, users = shop.keyed(events), shop.keyed(users)
    metric = funnel_hours if kind == "hours" else funnel_reach
    return metric(events, rules, "channel", users)


def do(task):
    """One measurement, in the process that was started for it."""
    if task["kind"] == "native":
        import clickhouse_connect

        client = clickhouse_connect.get_client(interface="chdb")
        client.query("SELECT 1")
        meter = Meter()
        found = [list(line) for line in client.query(native_query(task["shop"])).result_rows]
        return meter.read(found=found)
    import workbench.metrics.funnel  # noqa: F401 - importing is not part of the figure

    shop = open_unchecked(task["shop"])
    meter = Meter()
    found = shop.collect(funnel(shop, task["kind"]))
    cost = meter.read()
    if task["kind"] == "hours":
        return cost
    steps = [f"step_{number}" for number in range(1, len(STEPS) + 1)]
    return cost | {"found": found.sort_values("channel")[["channel", *steps]].values.tolist()}


def compare(results, folder, events, rounds, timeout):
    """Ours beside the native function on a shop of this size."""
    shop = with_users(folder, events)
    found = {kind: [] for kind in ("native", "text", "keyed", "hours")}
    for _ in range(rounds):
        for kind, costs in found.items():
            if None not in costs:
                costs.append(fresh(__file__, {"kind": kind, "shop": shop}, timeout=timeout))
    best_of = {kind: best(costs) for kind, costs in found.items()}
    size = f"{events / 1e6:g}M events"
    row(f"windowFunnel by channel, {size}", best_of["native"])
    names = {
        "text": "funnel_reach, users by their ids",
        "keyed": "funnel_reach, users by a number",
        "hours": "funnel_hours",
    }
    for kind, name in names.items():
        times = ratio(best_of[kind], best_of["native"])
        row(f"{name}, {size}", best_of[kind], f"{times:.2f} × native" if times else "")
    for kind in ("text", "keyed"):
        if best_of["native"] and best_of[kind] and best_of["native"]["found"] != best_of[kind]["found"]:
            raise SystemExit(f"{names[kind]} differs from windowFunnel: {best_of[kind]} {best_of['native']}")
    limit(results, f"funnel, {size}: CPU to windowFunnel", ratio(best_of["keyed"], best_of["native"]), 1.1, " ×")
    limit(results, f"funnel, {size}: peak", best_of["keyed"] and best_of["keyed"]["peak"] / 1000, 2.6, " GB")
    results[size] = best_of
    return best_of


def main():
    arguments = event_arguments(__doc__)
    if arguments.task:
        print(json.dumps(do(json.loads(arguments.task))))
        return
    results = {}
    folder = arguments.folder or tempfile.mkdtemp(prefix="bench-")
    try:
        small = compare(results, folder, arguments.events, arguments.rounds, arguments.timeout)
        if arguments.large:
            large = compare(results, folder, arguments.events * 10, arguments.rounds, arguments.timeout * 10)
            growth = ratio(large["keyed"], small["keyed"])
            limit(results, "funnel: growth with ten times the events", growth, 14, " ×")
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    save("funnel", results)
    tell(results)


if __name__ == "__main__":
    main()
