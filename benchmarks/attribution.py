"""Speed and memory of the slots' credit beside the partition floor, in one run.

Each figure is the least of some rounds, each round in a process of its own with 2 threads and DuckDB's memory_limit at
2 GB; the tasks take turns, so that noise hits all of them. CPU seconds (user and system) count from the open shop to
the last data frame; the peak is that of the whole process.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import MEMORY_LIMIT, THREADS, Meter, best, event_arguments, fresh, limit, ratio, row, save, tell

MODELS = ("first", "last", "linear", "position_based", "time_decay")
TARGETS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
BOTS = 20
REPLICATES = 2_000

FLOOR = """
SELECT sum(place), max(slot_id) FROM (
    SELECT slot_id, row_number() OVER (PARTITION BY user_id ORDER BY epoch_ms(event_at), seq) AS place
    FROM read_parquet('{shop}/events/*.parquet')
    WHERE event = 'select_promotion' AND slot_id IS NOT NULL
      AND user_id IN (SELECT user_id FROM read_parquet('{shop}/orders/*.parquet') WHERE paid_at IS NOT NULL)
)"""


# -- what is measured ----------------------------------------------------------------------------------------


def credit_matrix(shop, targets, models, reset, *, replicates=0, formulation=None):
    """Credit of each slot for each target under each model: the one place that knows the names of the code measured.

    With ``replicates`` sums come back by buckets of users and every share has its interval, rank and differences;
    ``formulation`` is ``"windows"`` for the join-free form for all users instead of robots alone.
    """
    from workbench.metrics.journeys import JourneyRules, Sales, conversions, touches
    from workbench.metrics.robots import robot_credit
    from workbench.slot.credit import Weights, collect_target
    from workbench.slot.shares import credit_tables, make_resampling

    period, rules = shop.period(None, None, "UTC"), JourneyRules(reset_after_order=reset)
    sales = Sales(shop.events, shop.orders, None, shop.slots)
    if formulation == "windows":
        for target in targets:
            pair = touches(sales, rules, period), conversions(sales, rules, target, period)
            asked = {
                "models": models,
                "half_life_hours": 24,
                "position_weights": (0.4, 0.2, 0.4),
                "by": ["credited_id"],
            }
            shop.collect(robot_credit(*pair, shop.orders, rules, **asked))
        return
    asked = {"models": models, "weights": Weights(), "by_bucket": replicates > 0, "confidence_level": 0.95}
    every = [collect_target(shop, sales, rules, target, period, **asked) for target in targets]
    resampling = make_resampling(replicates, 1, 0.95)
    credit_tables(every, models, [], resampling, credit_to="slot_id", compared_model="linear", most_compared=30)


def open_unchecked(folder):
    """Open a shop without the contract's checks: `run.py` measures them, and here they would hide the peak."""
    from unittest.mock import patch

    from workbench.source.checks import TIMES
    from workbench.source.shop import open_shop

    def reach_only(engine, standard, known, with_keys):
        reach = {}
        for name, (table, _) in ((name, (one.table, one.present)) for name, one in standard.items()):
            wanted = {"row_count": table.count()}
            for column in TIMES.get(name, ())[:1]:
                wanted |= {"first_ms": table[column].min(), "last_ms": table[column].max()}
            reach[name] = {key: int(value) for key, value in engine.collect(table.aggregate(**wanted)).iloc[0].items()}
        return [], reach

    with (
        patch("workbench.source.shop.check_tables", reach_only),
        patch("workbench.source.shop._out_of_range", lambda *_: []),
    ):
        shop = open_shop(folder)
    shop.engine.backend.raw_sql(f"SET threads = {THREADS}")
    return shop


def do(task):
    """One measurement, in the process that was started for it."""
    if task["kind"] == "floor":
        import duckdb

        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = {THREADS}; SET timezone = 'UTC'")
        meter = Meter()
        connection.execute(FLOOR.format(shop=task["shop"])).fetchall()
        return meter.read()
    import workbench.metrics.robots
    import workbench.slot.shares  # noqa: F401 - importing is not part of the figure

    shop = open_unchecked(task["shop"])
    meter = Meter()
    credit_matrix(
        shop,
        task.get("targets", ["purchase"]),
        MODELS,
        task["reset"],
        replicates=task.get("replicates", 0),
        formulation=task.get("formulation"),
    )
    return meter.read()


# -- the run -------------------------------------------------------------------------------------------------


def in_turns(tasks, rounds, timeout):
    """The best of each task; every round does each of them once. A task that did not end in time is not tried again."""
    found = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            if None not in found[name]:
                found[name].append(fresh(__file__, task, timeout=timeout))
    return {name: best(costs) for name, costs in found.items()}


def shop_of(folder, events, bots=0):
    """A shop of this size, made in a process of its own unless it is there."""
    place = Path(folder) / f"shop-{events}-{bots}"
    command = [sys.executable, Path(__file__).with_name("events.py"), "--events", str(events), "--bots", str(bots)]
    subprocess.run([*command, "--folder", place], check=True)
    return str(place)


def against_floor(results, folder, events, rounds, timeout):
    """Five models beside the floor, with the reset and without it, and with intervals beside without."""
    shop = shop_of(folder, events)
    tasks = {
        "floor": {"kind": "floor", "shop": shop},
        "with reset": {"kind": "credit", "shop": shop, "reset": True},
        "without reset": {"kind": "credit", "shop": shop, "reset": False},
        "with intervals": {"kind": "credit", "shop": shop, "reset": True, "replicates": REPLICATES},
    }
    found = in_turns(tasks, rounds, timeout)
    size = f"{events / 1e6:g}M events"
    row(f"partition floor, {size}", found["floor"])
    for name, most in (("with reset", 1.6), ("without reset", 1.9)):
        times = ratio(found[name], found["floor"])
        row(f"five models, {name}, {size}", found[name], f"{times:.2f} × floor" if times else "")
        limit(results, f"{name}, {size}: CPU to floor", times, most, " ×")
        limit(results, f"{name}, {size}: peak", found[name] and found[name]["peak"] / 1000, 2.6, " GB")
    row(f"five models, with reset, intervals of {REPLICATES:,} replicates", found["with intervals"])
    limit(results, f"intervals, {size}: CPU to without", ratio(found["with intervals"], found["with reset"]), 1.5, " ×")
    results[size] = found
    return shop, found


def with_bots(results, folder, events, shop, found, rounds, timeout):
    """The same with a few users who click and buy without end."""
    crowd = shop_of(folder, events, BOTS)
    tasks = {
        "with reset": {"kind": "credit", "shop": crowd, "reset": True},
        "without reset": {"kind": "credit", "shop": crowd, "reset": False},
        "windows": {"kind": "credit", "shop": shop, "reset": False, "formulation": "windows"},
    }
    bots = in_turns(tasks, rounds, timeout)
    row(f"window formulation without reset, no bots ({BOTS} bots below)", bots["windows"])
    for name, base, most in (("with reset", found["with reset"], 1.5), ("without reset", bots["windows"], 3.0)):
        row(f"five models, {name}, with bots", bots[name])
        of = "without bots" if name == "with reset" else "windows without bots"
        limit(results, f"{name}, with bots: CPU to {of}", ratio(bots[name], base), most, " ×")
        limit(results, f"{name}, with bots: peak", bots[name] and bots[name]["peak"] / 1000, 1.0, " GB")
    results["bots"] = bots


def all_targets(results, shop, rounds, timeout):
    """Four targets in one process."""
    tasks = {"four targets": {"kind": "credit", "shop": shop, "reset": True, "targets": TARGETS}}
    found = in_turns(tasks, rounds, timeout)["four targets"]
    row("four targets, five models", found)
    limit(results, "four targets: CPU", found and found["cpu"], 30, " s")
    limit(results, "four targets: peak", found and found["peak"] / 1000, 2.0, " GB")
    results["four targets"] = found


def main():
    arguments = event_arguments(__doc__)
    if arguments.task:
        print(json.dumps(do(json.loads(arguments.task))))
        return
    results, rounds = {}, arguments.rounds
    print(f"Credit of slots; the floor scans the columns needed and partitions the payers' touches:{FLOOR}\n")
    folder = arguments.folder or tempfile.mkdtemp(prefix="bench-")
    try:
        tiny = shop_of(folder, 10_000)
        fixed = fresh(__file__, {"kind": "credit", "shop": tiny, "reset": True})
        row("five models on 10,000 events (building and compiling)", fixed)
        shop, found = against_floor(results, folder, arguments.events, rounds, arguments.timeout)
        with_bots(results, folder, arguments.events, shop, found, rounds, arguments.timeout)
        all_targets(results, shop, rounds, arguments.timeout)
        if arguments.large:
            _, large = against_floor(results, folder, arguments.events * 10, rounds, arguments.timeout * 10)
            for name in ("floor", "with reset", "without reset"):
                growth = ratio(large[name], found[name])
                if name == "floor":
                    print(f"  the floor grows {growth:.1f} × with ten times the events")
                else:
                    limit(results, f"{name}: growth with ten times the events", growth, 12, " ×")
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    results["fixed"] = fixed
    save("attribution", results)
    tell(results)


if __name__ == "__main__":
    main()
