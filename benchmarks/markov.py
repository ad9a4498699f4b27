"""Markov attribution of 1M journeys over 100 slots, beside ChannelAttribution and marketing_attribution_models.

The journeys have 3.6 clicks on average and 6 % convert. They are compared twice, each time from the same input:

from clicks   Parquet of 3.6M clicks in the order of time and of orders, as a shop exports them. Ours opens the shop,
              finds the journeys, counts transitions and solves the chain; it is timed without the contract's checks, which
              the peers do not have; lines of their own give the figure with them, and with the intervals of
              the report, which the peers do not have either. marketing_attribution_models
              takes clicks as they are ("session"); ChannelAttribution takes paths only, which polars makes of the
              clicks here (the fastest of the usual ways).
from paths    a file of paths that somebody has already made of the clicks ("s001 > s005", conversions, value, nulls;
              one row for each distinct path). ChannelAttribution reads CSV with pandas as its documentation does, the
              others read Parquet. marketing_attribution_models also gets one row for each journey; the faster counts.

Each figure is the least of some rounds, each in a process of its own; starting Python and importing is not counted.
The peers live in an environment of their own, made once by pip; ChannelAttribution is compiled there and needs a C++
compiler (g++).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import THREADS, Meter, at_least, best, fresh, limit, ratio, row, save, tell

JOURNEYS, SLOTS, MEAN_TOUCHES = 1_000_000, 100, 3.6
PEERS = (
    "ChannelAttribution==2.2.5",
    "marketing_attribution_models==2.1.1",
    "matplotlib==3.11.2",  # ChannelAttribution imports it without asking for it
    "numpy==2.4.6",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "scipy>=1.14",
)
SEPARATOR = " > "


# -- the journeys --------------------------------------------------------------------------------------------


def make_journeys(folder, journeys):
    """Write the shop (events, orders) and the same journeys as paths for the peers."""
    import duckdb
    from events import START_MS, skewed, slot_name, user_name, write

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '2GB'; SET threads = {THREADS}; SET timezone = 'UTC'")
    stop = 1 - 1 / MEAN_TOUCHES  # after each touch another one follows with this chance
    connection.execute(f"""
        CREATE TABLE touches AS
        SELECT journey, step, {skewed("hash(journey * 64 + step)", SLOTS)} AS slot,
               {START_MS} + journey * {6 * 86_400_000} // {journeys} + step * 60000 AS touch_ms
        FROM (SELECT range AS journey, unnest(range(1 + least(40,
                  floor(ln((hash(range + 11) % 1000003 + 1) / 1000004.0) / ln({stop}))::BIGINT))) AS step
              FROM range({journeys}))""")
    # Each slot has a chance of its own to convince, from 0 to 3.6 %; a journey converts if any touch did.
    connection.execute("""
        CREATE TABLE ended AS
        SELECT journey, max(touch_ms) + 30000 AS end_ms,
               (hash(journey + 777) % 1000003) / 1000003.0
                   < 1 - exp(sum(ln(1 - 0.036 * (hash(slot) % 101) / 101.0))) AS is_converted
        FROM touches GROUP BY journey""")
    write(
        connection,
        f"""SELECT {user_name("journey")} AS user_id, make_timestamptz(touch_ms * 1000) AS event_at,
                   'select_promotion' AS event, {slot_name("slot")} AS slot_id FROM touches ORDER BY touch_ms""",
        folder / "events.parquet",
    )
    write(
        connection,
        f"""SELECT 'o' || journey AS order_id, {user_name("journey")} AS user_id,
                   make_timestamptz(end_ms * 1000) AS submitted_at, make_timestamptz(end_ms * 1000) AS paid_at,
                   100.0 AS gross_amount FROM ended WHERE is_converted""",
        folder / "orders.parquet",
    )
    connection.execute(f"""
        CREATE TABLE journeys AS
        SELECT any_value(is_converted) AS is_converted, string_agg({slot_name("slot")}, '{SEPARATOR}' ORDER BY step) AS path,
               string_agg('0.0', '{SEPARATOR}') AS hours
        FROM touches JOIN ended USING (journey) GROUP BY journey""")
    (folder / "paths").mkdir(exist_ok=True)  # a folder that is no table of the shop
    write(
        connection,
        "SELECT row_number() OVER () AS journey_id, path, is_converted, hours FROM journeys",
        folder / "paths" / "journeys.parquet",
    )
    grouped = """SELECT path, count(*) FILTER (is_converted) AS conversions,
                        100.0 * count(*) FILTER (is_converted) AS value,
                        count(*) FILTER (NOT is_converted) AS nulls FROM journeys GROUP BY path"""
    write(connection, grouped, folder / "paths" / "paths.parquet")
    connection.execute(f"COPY ({grouped}) TO '{folder}/paths/paths.csv' (HEADER)")
    touched, converted, distinct = connection.execute(
        f"""SELECT (SELECT count(*) FROM touches), (SELECT count(*) FROM ended WHERE is_converted),
                   (SELECT count(*) FROM '{folder}/paths/paths.parquet')"""
    ).fetchone()
    print(
        f"{journeys:,} journeys of {SLOTS} slots: {touched / journeys:.2f} touches each, "
        f"{converted / journeys:.1%} convert, {distinct:,} distinct paths"
    )


# -- the three ways ------------------------------------------------------------------------------------------


def transition_counts(shop):
    """States, starts, moves, conversions and nulls of the shop's journeys: the one place that knows the metrics' names."""
    import numpy as np
    import pandas as pd

    from workbench.metrics.journeys import JourneyRules, Sales, conversions, pairs, touches
    from workbench.metrics.transitions import converting_moves, leaving_moves

    rules, period = JourneyRules(), shop.period(None, None, "UTC")
    sales = Sales(shop.events, shop.orders)
    touched, converted = touches(sales, rules, period), conversions(sales, rules, "purchase", period)
    found = []
    for kind, moves in (
        ("conversion", converting_moves(pairs(touched, converted, rules), rules, by_bucket=False)),
        ("null", leaving_moves(touched, converted, rules, period, by_bucket=False)),
    ):
        found.append(shop.collect(moves).assign(end=kind))
    counted = pd.concat(found)
    codes, states = pd.factorize(counted["origin"], sort=True)
    weight, size = counted["journeys"].to_numpy(dtype=float), len(states)
    is_last = counted["destination"].isna().to_numpy()
    is_converting = is_last & (counted["end"] == "conversion").to_numpy()

    def summed(chosen):
        return np.bincount(codes[chosen], weight[chosen], minlength=size)

    destination = pd.Index(states).get_indexer(counted["destination"][~is_last])
    moves = np.bincount(codes[~is_last] * size + destination, weight[~is_last], minlength=size * size)
    moves, ends = moves.reshape(size, size), (summed(is_converting), summed(is_last & ~is_converting))
    starts = moves.sum(axis=1) + ends[0] + ends[1] - moves.sum(axis=0)
    return list(states), starts, moves, *ends


def ours(task):
    """Removal effects of the shop, or of its paths."""
    import pyarrow.compute
    import pyarrow.parquet
    from attribution import open_unchecked

    import workbench.metrics.transitions  # noqa: F401 - importing is not part of the figure
    from workbench.metrics.journeys import JourneyRules, Sales
    from workbench.slot.credit import Weights, collect_target
    from workbench.source.shop import open_shop
    from workbench.stats.markov import removal_effects, transitions_of_codes

    meter = Meter()
    if task["input"] == "paths":
        needed = ["path", "conversions", "nulls"]
        read = pyarrow.parquet.read_table(f"{task['shop']}/paths/paths.parquet", columns=needed)
        split = pyarrow.compute.split_pattern(read["path"], SEPARATOR).combine_chunks()
        coded = split.values.dictionary_encode()
        lengths = pyarrow.compute.list_value_length(split).to_numpy()
        counts = read["conversions"].to_numpy(), read["nulls"].to_numpy()
        counted = transitions_of_codes(coded.indices.to_numpy(), lengths, coded.dictionary.to_pylist(), *counts)
        states, counts = counted.states, (counted.starts, counted.moves, counted.conversions, counted.nulls)
    elif task["input"] == "report":
        shop = open_unchecked(task["shop"])
        sales, period = Sales(shop.events, shop.orders), shop.period(None, None, "UTC")
        asked = {"models": ["markov"], "weights": Weights(), "by_bucket": True, "confidence_level": 0.95}
        found = collect_target(shop, sales, JourneyRules(), "purchase", period, **asked)
        return meter.read(shares=dict(zip(found.markov_ids, found.markov.result.shares.tolist(), strict=True)))
    else:
        shop = open_shop(task["shop"]) if task["is_checked"] else open_unchecked(task["shop"])
        states, *counts = transition_counts(shop)
    found = removal_effects(*counts)
    return meter.read(shares=dict(zip(states, found.shares.tolist(), strict=True)))


def channel_attribution(task):
    """Removal effects by ChannelAttribution at its defaults."""
    import ChannelAttribution
    import pandas as pd
    import polars as pl

    meter = Meter()
    if task["input"] == "paths":
        paths = pd.read_csv(f"{task['shop']}/paths/paths.csv")
    else:
        clicks = pl.read_parquet(f"{task['shop']}/events.parquet", columns=["user_id", "event_at", "slot_id"])
        buyers = pl.read_parquet(f"{task['shop']}/orders.parquet", columns=["user_id", "gross_amount"])
        journeys = clicks.sort("event_at").group_by("user_id").agg(path=pl.col("slot_id").str.join(SEPARATOR))
        ended = journeys.join(buyers, on="user_id", how="left")
        grouped = ended.group_by("path").agg(
            conversions=pl.col("gross_amount").count(),
            value=pl.col("gross_amount").sum(),
            nulls=pl.col("gross_amount").null_count(),
        )
        paths = grouped.to_pandas()
    found = ChannelAttribution.markov_model(
        paths, "path", "conversions", var_value="value", var_null="nulls", out_more=True, verbose=False, flg_pro=False
    )
    cost = meter.read()
    effects = found["removal_effects"].set_index("channel_name")["removal_effects_conversion"]
    return cost | {"shares": (effects / effects.sum()).to_dict()}


def marketing_attribution_models(task):
    """Removal effects by marketing_attribution_models, which goes on to credit each journey."""
    import polars as pl
    from mam.core import MAM

    meter = Meter()
    if task["input"] == "clicks":
        clicks = pl.read_parquet(f"{task['shop']}/events.parquet", columns=["user_id", "event_at", "slot_id"])
        buyers = pl.read_parquet(f"{task['shop']}/orders.parquet", columns=["user_id"])
        sessions = clicks.with_columns(is_converted=pl.col("user_id").is_in(buyers["user_id"].implode()))
        names = {"datetime_colname": "event_at", "user_id_colname": "user_id"}
        model = MAM(sessions, "session", "slot_id", "is_converted", **names)
    elif task["input"] == "journeys":
        journeys = pl.read_parquet(f"{task['shop']}/paths/journeys.parquet")
        names = {"time_till_conv_colname": "hours", "user_id_colname": "journey_id"}
        model = MAM(journeys, "journey", "path", "is_converted", **names)
    else:
        paths = pl.read_parquet(f"{task['shop']}/paths/paths.parquet")
        kinds = [
            paths.filter(pl.col(name) > 0).select("path", occurrences=name, is_converted=pl.lit(name == "conversions"))
            for name in ("conversions", "nulls")
        ]
        model = MAM(pl.concat(kinds), "grouped_journey", "path", "is_converted", occurrences_colname="occurrences")
    effects = model.run_markov().metadata["removal_effect"]["removal_effect"]
    cost = meter.read()
    return cost | {"shares": (effects / effects.sum()).to_dict()}


WAYS = {"ours": ours, "ChannelAttribution": channel_attribution, "MAM": marketing_attribution_models}


# -- the run -------------------------------------------------------------------------------------------------


def peers_python(cache):
    """Python of the peers' environment, made if it is not there."""
    place = Path(cache).expanduser() / "peers"
    python, ready = place / "bin" / "python", place / "ready.json"
    if ready.exists() and json.loads(ready.read_text(encoding="utf-8")) == list(PEERS):
        return str(python)
    if not shutil.which("g++") and not shutil.which("c++"):
        sys.exit("ChannelAttribution has to be compiled and there is no C++ compiler; install g++ and try again.")
    print(f"setting up the peers in {place} (once, about two minutes)", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS], check=True)
    ready.write_text(json.dumps(PEERS), encoding="utf-8")
    return str(python)


def largest_difference(cost, exact):
    """Largest difference of shares, in percentage points."""
    return max(abs(cost["shares"].get(name, 0.0) - share) for name, share in exact.items()) * 100


def compare(results, shop, python, rounds, timeout):
    """Run all in turns and print figures, ratios and differences."""
    tasks = {
        "ours, from clicks": {"way": "ours", "input": "clicks", "is_checked": False},
        "ours, from clicks, with the contract's checks": {"way": "ours", "input": "clicks", "is_checked": True},
        "ours, from clicks, with the report's jackknife": {"way": "ours", "input": "report"},
        "ChannelAttribution, from clicks": {"way": "ChannelAttribution", "input": "clicks"},
        "marketing_attribution_models, from clicks": {"way": "MAM", "input": "clicks"},
        "ours, from paths": {"way": "ours", "input": "paths"},
        "ChannelAttribution, from paths": {"way": "ChannelAttribution", "input": "paths"},
        "marketing_attribution_models, from grouped paths": {"way": "MAM", "input": "paths"},
        "marketing_attribution_models, from journeys": {"way": "MAM", "input": "journeys"},
    }
    found = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            own = sys.executable if task["way"] == "ours" else python
            found[name].append(fresh(__file__, task | {"shop": shop}, python=own, timeout=timeout))
    costs = {name: best(those) for name, those in found.items()}
    exact = costs["ours, from paths"]["shares"]
    for name, cost in costs.items():
        apart = cost and largest_difference(cost, exact)
        row(name, cost, "" if cost is None else f"largest difference of shares {apart:.1g} points")
        if cost and tasks[name]["way"] == "ours":
            limit(results, f"{name}: largest difference, points", apart, 1e-9)
    for peer in ("ChannelAttribution", "marketing_attribution_models"):
        times = ratio(costs[f"{peer}, from clicks"], costs["ours, from clicks"])
        print(f"  from clicks, where finding the journeys decides: {peer} to ours, CPU: {times:.1f} ×" if times else "")
    journeys = costs["ours, from paths"]
    mam = best([costs[f"marketing_attribution_models, from {one}"] for one in ("grouped paths", "journeys")])
    sampled = ratio(costs["ChannelAttribution, from paths"], journeys)
    at_least(results, "from paths: ChannelAttribution to ours, CPU", sampled, 10, " ×")
    at_least(results, "from paths: marketing_attribution_models to ours, CPU", ratio(mam, journeys), 6, " ×")
    results["costs"] = {
        name: {key: value for key, value in cost.items() if key != "shares"} for name, cost in costs.items() if cost
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journeys", type=int, default=JOURNEYS, help=f"journeys ({JOURNEYS})")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way is measured; the least counts (3)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds after which a way is given up (600)")
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/workbench-benchmarks"
    parser.add_argument("--cache", default=cache, help=f"folder of the peers' environment ({cache})")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        task = json.loads(arguments.task)
        print(json.dumps(WAYS[task["way"]](task)))
        return
    if arguments.make:
        make_journeys(arguments.make, arguments.journeys)
        return
    python, results = peers_python(arguments.cache), {}
    print("Markov attribution (removal effects, order 1)")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        subprocess.run([sys.executable, __file__, "--make", folder, "--journeys", str(arguments.journeys)], check=True)
        compare(results, folder, python, arguments.rounds, arguments.timeout)
    save("markov", results)
    tell(results)


if __name__ == "__main__":
    main()
