"""Time and memory of the commands and notebooks, in one run. `make bench`, or with more users: `--users 172000`.

Wall time on a shared machine is noise: CPU seconds and the ratio to the floor (the engine scanning the same
columns) are the numbers to compare. Memory is the peak of the whole process tree.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psutil
from measure import save

NOTEBOOKS = (
    "channel_comparison",
    "coupon_evaluation",
    "experiment_readout",
    "sales_overview",
    "slot_attribution",
    "user_quadrants",
)
WORKBENCH = Path(sys.executable).with_name("workbench")


@dataclass
class Cost:
    """What a command took: wall and CPU seconds (children included) and peak memory in MiB."""

    wall: float
    cpu: float
    peak: float


class Watch:
    """Follow a process and its children, summing memory and CPU until it ends."""

    def __init__(self, process):
        self.process, self.peak, self.cpu = psutil.Process(process.pid), 0.0, {}
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Sample memory and CPU until told to stop."""
        while not self.done.wait(0.05):
            memory = 0
            try:
                family = [self.process, *self.process.children(recursive=True)]
            except psutil.NoSuchProcess:
                break
            for one in family:
                try:
                    memory += one.memory_info().rss
                    times = one.cpu_times()
                    self.cpu[one.pid] = times.user + times.system
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, memory)

    def stop(self):
        """End the watch; CPU seconds and peak MiB."""
        self.done.set()
        self.thread.join()
        return sum(self.cpu.values()), self.peak / 2**20


def measure(*command):
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watch(process)
    _, errors = process.communicate()
    cpu, peak = watch.stop()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors}")
    return Cost(time.perf_counter() - started, cpu, peak)


def floor(shop):
    """CPU seconds of the engine scanning the columns that the slot notebook needs."""
    connection = duckdb.connect()
    connection.execute("SET timezone = 'UTC'")
    started = time.process_time()
    connection.execute(
        f"""SELECT max(user_id), max(event), max(epoch_ms(event_at)), max(seq), max(slot_id), max(content_id),
            max(product_id), max(order_id) FROM read_parquet('{shop}/events.parquet')"""
    ).fetchall()
    return time.process_time() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[20_000])
    arguments = parser.parse_args()
    results = {}
    started = time.perf_counter()
    subprocess.run([WORKBENCH, "--help"], stdout=subprocess.DEVNULL, check=True)
    results["help_seconds"] = round(time.perf_counter() - started, 2)
    print(f"workbench --help                      {results['help_seconds']:6.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        for users in arguments.users:
            shop = Path(folder) / f"shop-{users}"
            show(results, f"sample, {users:,} users", measure(WORKBENCH, "sample", shop, "--users", str(users)))
            events = duckdb.sql(f"SELECT count(*) FROM read_parquet('{shop}/events.parquet')").fetchone()[0]
            base = floor(shop)
            print(f"  {events:,} events; floor (scan of the columns): {base:.2f} CPU s")
            show(results, f"check, {users:,} users", measure(WORKBENCH, "check", shop), base)
            for notebook in NOTEBOOKS:
                cost = measure(
                    WORKBENCH, "run", notebook, shop, "--out", Path(folder) / "out", "-p", "timezone=Asia/Shanghai"
                )
                show(results, f"{notebook}, {users:,} users", cost, base)
    save("commands", results)


def show(results, name, cost, base=None):
    ratio = f"{cost.cpu / base:6.1f} × floor" if base else ""
    print(f"{name:<38}{cost.wall:6.1f} s wall {cost.cpu:6.1f} s CPU {cost.peak:7.0f} MiB {ratio}", flush=True)
    results[name] = vars(cost)


if __name__ == "__main__":
    main()
