"""How long panels take to show other users: from the click on a filter to the picture, on the sample of 1.2 million events.

Each panel is opened and left until it holds its sums; then users are chosen by one or two columns, one choice after the
other, none twice. What counts is the time until picture and table of these users stand; the findings follow.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from measure import fresh, limit, save, tell

CHOICES = [
    ["region=North"],
    ["device=ios"],
    ["gender=female"],
    ["age_group=18-24", "region=East"],
    ["channel=organic", "channel=direct"],
    ["region=South", "region=West"],
]
PANELS = {
    "slots": {},
    "coupons": {},
    "channels": {},
    "users": {"window_days": 14, "period_days": 7},
    "sales": {},
}
MOST_SECONDS = 0.3


def do(task):
    """One panel, in a process of its own: seconds until the part stands, by choice."""
    from workbench import open_shop
    from workbench.explore.panel import Panel
    from workbench.explore.question import QUESTIONS

    asked = {"timezone": "Asia/Shanghai", **PANELS[task["panel"]]}
    panel = Panel(QUESTIONS[task["panel"]], open_shop(task["shop"]), **asked)
    begun = time.monotonic()
    panel.settle(600, with_live=True)
    ready, shown = time.monotonic() - begun, []
    show = panel._answer_part

    def answer_part(step, tables, seconds):
        show(step, tables, seconds)
        shown.append((time.monotonic(), time.process_time()))

    panel._answer_part = answer_part
    wall, cpu = [], []
    for choice in CHOICES:
        began = time.monotonic(), time.process_time()
        panel.set(only_users=choice)
        while not shown:
            panel._worker.step()
        now, used = shown.pop()
        wall.append(now - began[0])
        cpu.append(used - began[1])
        panel.settle(600)
    panel.close()
    return {"ready": ready, "wall": statistics.median(wall), "slowest": max(wall), "cpu": statistics.median(cpu)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shop", type=Path, help="a shop to explore (default: a sample, removed afterwards)")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        print(json.dumps(do(json.loads(asked.task))))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        shop = asked.shop or Path(folder) / "sample"
        if not asked.shop:
            from workbench.source.simulate import simulate_shop

            simulate_shop(shop)
        for name in PANELS:
            cost = fresh(__file__, {"shop": str(shop), "panel": name}, timeout=900)
            if cost:
                print(
                    f"{name:10} first answer and sums {cost['ready']:5.1f} s   other users {cost['wall']:.2f} s wall (slowest "
                    f"{cost['slowest']:.2f}), {cost['cpu']:.2f} s CPU"
                )
            limit(results, f"{name}: other users", cost and cost["wall"], MOST_SECONDS, " s")
            results[f"{name}, cost"] = cost
    save("panels", results)
    tell(results)


if __name__ == "__main__":
    main()
