"""The channel comparison beside retentioneering on 10 million events: load, funnel, conversion within 7 days, segments.

The shop is that of `rooms.py`. Theirs reads events with the user's channel from one CSV file into memory, its only way in;
ours opens the same events as CSV (checks included), and as Parquet. Then each answers from what it has opened:

funnel        who gets from view_item through add_to_cart and begin_checkout to purchase. Theirs has no window and takes
              the whole shop; ours is within 168 hours, by channel.
conversion    view_item to purchase within 7 days. Theirs starts at the first view; ours is the best chain, by channel.
segments      by channel. Theirs: number of events, duration, purchases and carts for each user, their means. Ours: the
              whole channel comparison with intervals, tests, cohorts, equal audiences and money.

Each figure is the least of some rounds, each in a process of its own; starting Python and importing is not counted. The
peer lives in an environment of its own, made once by pip. Nothing here has a limit: the two do not compute the same.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import MEMORY_LIMIT, THREADS, Meter, best, event_arguments, fresh, ratio, row, save

PEER = "retentioneering==5.2.4"
STEPS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
CACHE = os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/workbench-benchmarks"


def csv_shop(folder, events):
    """The shop as CSV beside its Parquet: the folder of both, and the one file that the peer reads."""
    import duckdb
    from rooms import event_shop

    shop, place = Path(event_shop(folder, events)), Path(folder) / f"csv-{events}"
    place.mkdir(exist_ok=True)
    peer = place / "peer" / "events.csv"
    if not peer.exists():
        peer.parent.mkdir(exist_ok=True)
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = {THREADS}; SET timezone = 'UTC'")
        for name in ("events", "orders", "users", "channel_spend"):
            source = shop / name / "*.parquet" if name in ("events", "orders") else shop / f"{name}.parquet"
            connection.execute(f"COPY (FROM read_parquet('{source}')) TO '{place / name}.csv' (HEADER)")
        connection.execute(f"""
            COPY (SELECT user_id, event, strftime(event_at, '%Y-%m-%d %H:%M:%S.%g') AS timestamp, channel
                  FROM read_parquet('{shop}/events/*.parquet') AS happened
                  JOIN read_parquet('{shop}/users.parquet') AS known USING (user_id))
            TO '{peer}' (HEADER)""")
        connection.close()
    return str(shop), str(place), str(peer)


def theirs(task):
    """Load, then one question, with retentioneering."""
    import retentioneering

    meter = Meter()
    stream = retentioneering.Eventstream(task["peer"], schema={"segment_cols": ["channel"]})
    if task["question"] == "load":
        return meter.read(rows=len(stream.df))
    meter = Meter()
    if task["question"] == "funnel":
        found = [one["unique_paths"] for one in stream.funnel_data(list(STEPS))["steps"]]
    elif task["question"] == "conversion":
        found = stream.get_conversion_rate("view_item", "purchase", within="7d")["converted"].tolist()
    else:
        metrics = [{"metric": name, "agg": "mean"} for name in ("length", "duration")]
        metrics += [
            {"metric": "event_count", "metric_args": {"event": name}, "agg": "mean"} for name in (STEPS[-1], STEPS[1])
        ]
        found = stream.segment_overview_data("channel", metrics).shape
    return meter.read(found=list(found))


def ours(task):
    """Open, then one question, with the workbench: the one place that knows the names of the code measured."""
    import workbench.channel.comparison
    from workbench.metrics.funnel import funnel_reach, funnel_rules
    from workbench.source.shop import open_shop

    meter = Meter()
    shop = open_shop(task["shop"])
    if task["question"] == "load":
        return meter.read()
    shop.engine.backend.raw_sql(f"SET threads = {THREADS}")
    meter = Meter()
    if task["question"] == "segments":
        from rooms import CHANNEL

        found = workbench.channel.comparison.compare_channels(shop, **CHANNEL).tables["channel_scorecard"].shape
    else:
        steps = STEPS if task["question"] == "funnel" else (STEPS[0], STEPS[-1])
        rules = funnel_rules(steps, window_hours=168)
        reached = shop.collect(funnel_reach(shop.keyed(shop.events), rules, "channel", shop.keyed(shop.users)))
        found = reached.drop(columns="channel").sum().tolist()
    return meter.read(found=list(found))


def peer_python(cache):
    """Python of the peer's environment, made if it is not there."""
    place = Path(cache).expanduser() / "streams"
    python, ready = place / "bin" / "python", place / "ready.json"
    if ready.exists() and json.loads(ready.read_text(encoding="utf-8")) == PEER:
        return str(python)
    print(f"setting up {PEER} in {place} (once, about a minute)", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PEER, "psutil"], check=True
    )
    ready.write_text(json.dumps(PEER), encoding="utf-8")
    return str(python)


def main():
    """Let the three sides take turns at each question and print them beside each other."""
    arguments = event_arguments(__doc__)
    if arguments.task:
        task = json.loads(arguments.task)
        print(json.dumps((theirs if task["side"] == "theirs" else ours)(task)))
        return
    results, python = {}, peer_python(CACHE)
    folder = arguments.folder or tempfile.mkdtemp(prefix="bench-")
    try:
        parquet, csv, peer = csv_shop(folder, arguments.events)
        sides = {
            "retentioneering, CSV": {"side": "theirs", "peer": peer},
            "ours, CSV": {"side": "ours", "shop": csv},
            "ours, Parquet": {"side": "ours", "shop": parquet},
        }
        for question in ("load", "funnel", "conversion", "segments"):
            found = {name: [] for name in sides}
            for _ in range(arguments.rounds):
                for name, side in sides.items():
                    own = python if side["side"] == "theirs" else sys.executable
                    task = side | {"question": question}
                    found[name].append(fresh(__file__, task, python=own, timeout=arguments.timeout * 4))
            costs = {name: best(rounds) for name, rounds in found.items()}
            for name, cost in costs.items():
                times = ratio(cost, costs["retentioneering, CSV"])
                row(f"{question}: {name}", cost, f"{times:.2f} × theirs" if times else "")
            results[question] = costs
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    save("streams", results)


if __name__ == "__main__":
    main()
