"""Thirty small runs with two at a time beside what their notebooks take, what runs cost that are kept, and papermill alone.

Three notebooks about five regions in two languages, on a shop of 2,000 users. The time of a notebook is that of its cells,
imports included, as papermill writes it into the executed notebook; what is beyond are kernels that start and end, pages and
folders. Papermill alone runs the same notebooks one after another in one process, and makes no page.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Meter, limit, save, tell

WORKBENCH = Path(sys.executable).with_name("workbench")
NOTEBOOKS = ("channel_comparison", "sales_overview", "coupon_evaluation")
REGIONS = ("East", "North", "South", "West", "Central")
LANGUAGES = ("en", "zh")
JOBS = 2
PLAN = """\
defaults: {{source: "{source}", parameters: {{timezone: Asia/Shanghai}}}}
runs:
  - name: "{{notebook}}-{{region}}-{{lang}}"
    matrix: {{notebook: [{notebooks}], region: [{regions}], lang: [{languages}]}}
    parameters: {{only_users: ["region={{region}}"]}}
"""
MOST_RATIO, MOST_SECONDS_REUSED = 1.5, 0.1


def batch(plan, out, *more):
    """Run the command and give its wall seconds."""
    meter = Meter()
    command = [WORKBENCH, "batch", plan, "--out", out, "--jobs", str(JOBS), *more]
    subprocess.run(command, check=True, capture_output=True)
    return meter.read()["wall"]


def notebook_seconds(out):
    """What the cells of all executed notebooks took together."""
    seconds = 0.0
    for path in out.glob("*/notebook.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        seconds += sum(cell["metadata"].get("papermill", {}).get("duration") or 0 for cell in cells)
    return seconds


def papermill_alone(source, requests, folder):
    """Wall seconds of papermill for the same notebooks and parameters, one after another."""
    import papermill

    os.environ |= {"WORKBENCH_SOURCE": str(source), "WORKBENCH_MODE": "report", "OPENBLAS_NUM_THREADS": "1"}
    meter = Meter()
    for number, request in enumerate(requests):
        papermill.execute_notebook(
            str(request.notebook),
            str(folder / f"{number}.ipynb"),
            dict(request.parameters),
            kernel_name="python3",
            progress_bar=False,
        )
    return meter.read()["wall"]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000, help="users of the shop (2000)")
    asked = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, plan, out = folder / "shop", folder / "plan.yml", folder / "out"
        subprocess.run([WORKBENCH, "sample", source, "--users", str(asked.users)], check=True, capture_output=True)
        lists = {"notebooks": NOTEBOOKS, "regions": REGIONS, "languages": LANGUAGES}
        plan.write_text(PLAN.format(source=source, **{key: ", ".join(values) for key, values in lists.items()}))
        from workbench.report.plan import load_plan

        requests, _ = load_plan(plan)
        print(f"{len(requests)} runs, {JOBS} at a time, shop of {asked.users} users")
        first = batch(plan, out)
        cells = notebook_seconds(out)
        print(f"  {'batch':<58}{first:8.1f} s wall; its notebooks {cells:.1f} s")
        limit(results, "wall seconds to the notebooks' divided by two", first / (cells / JOBS), MOST_RATIO, "x")
        start = Meter()
        subprocess.run(
            [WORKBENCH, "batch", plan, "--out", folder / "none", "--only", requests[0].name, "--dry-run"], check=True
        )
        floor = start.read()["wall"]
        again = batch(plan, out)
        limit(results, "a run that is kept", (again - floor) / len(requests), MOST_SECONDS_REUSED, " s")
        alone = papermill_alone(source, requests, folder)
        print(
            f"  {'papermill alone, one after another, no pages':<58}{alone:8.1f} s wall, {alone / first:.2f} x of the batch"
        )
        results["papermill_alone"] = {"wall": alone, "batch": first}
    save("batch", results)
    tell(results)


if __name__ == "__main__":
    main()
