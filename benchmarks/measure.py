"""What the benchmarks share: a measurement in a process of its own, the verdict on a limit, the file of results."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path("out/bench.json")
SECTIONS = ("commands", "attribution", "markov", "funnel", "coupons", "rooms", "streams", "users", "panels", "batch")
MEMORY_LIMIT, THREADS = "2GB", 2


class Meter:
    """CPU and wall seconds since it was made, and the peak memory of this process."""

    def __init__(self):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def read(self, **more):
        """Seconds since the start and the peak in MB, with whatever else is to be told."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        return {"cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall, "peak": peak, **more}


def fresh(script, task, *, python=sys.executable, timeout=600):
    """Let a script do one task in a new process and give what its last line says.

    The peak memory of a process counts what its parent held when it began, so whoever calls this stays small. Files
    that the task spills go into a folder that is removed with it; a task that takes too long gives None.
    """
    with tempfile.TemporaryDirectory() as spill:
        # One thread for numpy, as the reports' kernels have it; DuckDB sets its own.
        environment = os.environ | {
            "TMPDIR": spill,
            "WORKBENCH_MEMORY_LIMIT": MEMORY_LIMIT,
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [python, script, "--task", json.dumps(task)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
        except subprocess.TimeoutExpired:
            return None
    if done.returncode:
        sys.exit(f"{Path(script).name} {json.dumps(task)} failed:\n{done.stderr or done.stdout}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def event_arguments(description):
    """What the benchmarks on events are asked for on the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="events of the shop (10000000)")
    parser.add_argument("--large", action="store_true", help="also ten times as many events, and the growth")
    parser.add_argument("--rounds", type=int, default=3, help="times that each task is measured; the least counts (3)")
    parser.add_argument("--timeout", type=int, default=300, help="seconds after which a task is given up (300)")
    parser.add_argument("--folder", type=Path, help="where shops are made and kept (default: temporary, removed)")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser.parse_args()


def best(rounds):
    """Least seconds and most memory of several measurements of the same task; None if none ended."""
    ended = [one for one in rounds if one]
    if not ended:
        return None
    least = min(ended, key=lambda one: one["cpu"])
    return least | {"peak": max(one["peak"] for one in ended)}


def row(name, cost, note=""):
    """Print one measurement."""
    if cost is None:
        print(f"  {name:<58} did not end in time", flush=True)
        return
    print(
        f"  {name:<58}{cost['cpu']:8.2f} s CPU{cost['wall']:8.2f} s wall{cost['peak']:7.0f} MB  {note}".rstrip(),
        flush=True,
    )


def limit(results, name, value, most, unit=""):
    """Print a figure beside its limit, and keep both."""
    is_met = value is not None and value <= most
    shown = "none" if value is None else f"{value:.2f}{unit}"
    print(f"  {name:<58}{shown:>12}   limit {most:g}{unit}   {'ok' if is_met else 'OVER'}", flush=True)
    results[name] = {"value": value, "limit": most, "is_met": is_met}


def at_least(results, name, value, least, unit=""):
    """Print a figure beside the least that is asked of it, and keep both."""
    is_met = value is not None and value >= least
    shown = "none" if value is None else f"{value:.2f}{unit}"
    print(f"  {name:<58}{shown:>12}   at least {least:g}{unit}   {'ok' if is_met else 'OVER'}", flush=True)
    results[name] = {"value": value, "at_least": least, "is_met": is_met}


def ratio(cost, base):
    """CPU of one to CPU of the other; None if either did not end."""
    return cost["cpu"] / base["cpu"] if cost and base else None


def save(section, results):
    """Put one benchmark's results into the common file, beside those of the others."""
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept = {name: known[name] for name in SECTIONS if name in known}
    RESULTS.write_text(json.dumps(kept | {section: results}, indent=1), encoding="utf-8")


def tell(results):
    """Say how many limits are met."""
    over = [name for name, one in results.items() if isinstance(one, dict) and one.get("is_met") is False]
    count = sum(isinstance(one, dict) and "is_met" in one for one in results.values())
    print(f"{count - len(over)} of {count} limits are met" + (f"; over: {'; '.join(over)}" if over else ""), flush=True)
