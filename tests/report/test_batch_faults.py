"""What a batch keeps, and what it leaves behind when it is disturbed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import psutil
import pytest
from nbclient.exceptions import CellTimeoutError
from report_places import NOTEBOOKS

from workbench.errors import ParameterError
from workbench.report.batch import Options, check_only, memory_of_each, run_batch, what_would_run
from workbench.report.bundle import write_bundle
from workbench.report.folder import locked
from workbench.report.kernel import _seconds_left
from workbench.report.plan import load_plan
from workbench.report.request import prepare_run
from workbench.report.reuse import run_key
from workbench.report.run import start_run
from workbench.source.fingerprint import fingerprint_of_files

FAILS = NOTEBOOKS / "fails.ipynb"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "orders.csv").write_text("order_id\n1\n")
    return folder


def plan_of(tmp_path, shop, hows):
    """A plan of one run for each way of failing; ``publish`` writes tables."""
    runs = "".join(
        f"- {{name: {name}, notebook: '{FAILS}', parameters: {{how: {how}}}}}\n" for name, how in hows.items()
    )
    path = tmp_path / "plan.yml"
    path.write_text(f"defaults: {{source: '{shop}'}}\nruns:\n{runs}")
    return path


def run(plan, out, **options):
    requests, _ = load_plan(plan)
    return {one.name: one for one in run_batch(requests, out, options=Options(**options))}


def command(plan, out, *more):
    return [sys.executable, "-m", "workbench.cli", "batch", str(plan), "--out", str(out), *more]


def words(results):
    return {name: one.word for name, one in results.items()}


class TestReuse:
    def test_what_has_not_changed_is_kept_and_what_has_is_done_anew(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish", "b": "not"})
        assert words(run(plan, out)) == {"a": "done", "b": "done"}
        first = (out / "a" / "manifest.json").read_bytes()
        again = run(plan, out)
        # the notebook of b publishes nothing, so that nobody can say which data it read
        assert words(again) == {"a": "reused", "b": "done"}
        assert (out / "a" / "manifest.json").read_bytes() == first
        assert again["a"].seconds < 0.1
        assert "unchanged, kept" in (out / "index.html").read_text()
        told = json.loads((out / "alerts.json").read_text())["runs"]
        assert [(one["name"], one["status"]) for one in told] == [("a", "reused"), ("b", "done")]

        (shop / "orders.csv").touch()  # the same bytes
        assert words(run(plan, out, only=("a",))) == {"a": "reused"}
        (shop / "orders.csv").write_text("order_id\n2\n")
        assert words(run(plan, out, only=("a",))) == {"a": "done"}
        assert words(run(plan_of(tmp_path, shop, {"a": "publish", "c": "not"}), out, only=("a",))) == {"a": "reused"}
        assert words(run(plan, out, only=("a",), force=True)) == {"a": "done"}
        (out / "a" / "tables" / "daily.csv").unlink()
        assert words(run(plan, out, only=("a",))) == {"a": "done"}

    def test_a_dry_run_tells_what_would_be_kept_and_writes_nothing(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish", "b": "publish"})
        requests, _ = load_plan(plan)
        assert [reused for _, reused in what_would_run(requests, out, Options())] == [False, False]
        assert not out.exists()
        run(plan, out, only=("a",))
        before = sorted(out.rglob("*"))
        done = subprocess.run(command(plan, out, "--dry-run"), capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout.splitlines() == [
            "a  reused  fails all days en",
            "b  to run  fails all days en",
            "2 runs, 1 of them reused; nothing was started.",
        ]
        assert sorted(out.rglob("*")) == before

    def test_data_that_change_while_a_run_reads_them_are_not_taken_for_the_new_ones(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "change"})
        assert words(run(plan, out)) == {"a": "done"}
        assert json.loads((out / "a" / "manifest.json").read_text())["key"] is None
        assert words(run(plan, out)) == {"a": "done"}

    def test_a_run_that_is_not_in_the_plan(self, tmp_path, shop):
        requests, _ = load_plan(plan_of(tmp_path, shop, {"slots": "not", "sales": "not"}))
        with pytest.raises(ParameterError, match='the plan has no run "slot", did you mean "slots"'):
            check_only(["slot"], requests)

    def test_another_mapping_place_or_module_of_a_notebook_is_seen(self, tmp_path, shop):
        notebooks = tmp_path / "notebooks"
        (notebooks / "helpers").mkdir(parents=True)
        (notebooks / ".venv").mkdir()
        copied = notebooks / "fails.ipynb"
        copied.write_text(FAILS.read_text().replace("import fake", "from helpers import sums"))
        mapping, module = tmp_path / "mapping.yml", notebooks / "helpers" / "sums.py"
        mapping.write_text("timezone: UTC\n")

        def key(source="duckdb:///shop.duckdb"):
            return run_key(prepare_run(copied, source, mapping=mapping, parameters={}), "the data")

        first = key()
        assert key() == first
        for other in (".venv", "helpful"):  # nothing of it is imported
            (notebooks / other).mkdir(exist_ok=True)
            (notebooks / other / "other.py").write_text("x = 1\n")
        assert key() == first
        seen = [key("duckdb:///shop2.duckdb"), key("shop"), key("copy_of_shop")]
        mapping.write_text("timezone: Asia/Shanghai\n")
        seen.append(key())
        module.write_text("x = 1\n")
        seen.append(key())
        assert len({first, *seen}) == 6

    def test_of_a_plan_of_which_some_are_done_the_others_are_told_as_they_lie_there(self, tmp_path, shop):
        out, plan = (
            tmp_path / "out",
            plan_of(tmp_path, shop, {"a": "publish", "b": "error", "c": "publish", "d": "not"}),
        )
        run(plan, out, only=("a", "b"))
        run(plan, out, only=("d",))
        told = {one["name"]: one["status"] for one in json.loads((out / "alerts.json").read_text())["runs"]}
        assert told == {"a": "reused", "b": "failed", "c": "waiting", "d": "done"}
        page = (out / "index.html").read_text()
        assert ("unchanged, kept" in page, "cannot read" in page, "1 not run yet" in page) == (True, True, True)
        assert [one.name for one in out.iterdir() if one.name.endswith(".failed")] == ["b.failed"]

    def test_to_ask_what_would_run_takes_nothing_away(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish"})
        run(plan, out)
        (out / "a.failed").mkdir()
        (out / "a.failed" / "manifest.json").write_text('{"error": "It failed."}')
        before = sorted(out.rglob("*"))
        requests, _ = load_plan(plan)
        assert [is_kept for _, is_kept in what_would_run(requests, out, Options())] == [True]
        assert sorted(out.rglob("*")) == before
        run(plan, out)
        assert not (out / "a.failed").exists()

    def test_a_folder_that_is_no_run_is_not_replaced(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish", "b": "publish"})
        (out / "b").mkdir(parents=True)
        (out / "b" / "precious.txt").write_text("mine")
        for more in ((), ("--dry-run",)):
            done = subprocess.run(command(plan, out, *more), capture_output=True, text=True, check=False, cwd=ROOT)
            assert (done.returncode, "is no earlier run" in done.stderr) == (2, True)
        assert sorted(one.name for one in out.rglob("*")) == ["b", "precious.txt"]
        with pytest.raises(ParameterError, match="is no earlier run"):
            start_run(load_plan(plan)[0][1], out)

    def test_a_damaged_manifest_costs_its_run_alone(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish", "b": "publish"})
        run(plan, out)
        (out / "a" / "manifest.json").write_bytes(b"")
        assert words(run(plan, out)) == {"a": "done", "b": "reused"}

    def test_a_report_that_shows_more_than_the_plan_lets_it_stays_at_home(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish"})
        run(plan, out)
        plan.write_text(
            plan.read_text().replace("publish", "error").replace("defaults: {", "defaults: {mask_below: 10, ")
        )
        requests, _ = load_plan(plan)
        assert words(run(plan, out)) == {"a": "failed"}
        assert "a/report.html" not in (out / "index.html").read_text()
        write_bundle(requests, out, tmp_path / "week.zip")
        with zipfile.ZipFile(tmp_path / "week.zip") as bundle:
            assert bundle.namelist() == ["week/index.html", "week/alerts.json"]

    def test_a_bundle_takes_the_place_of_nothing_else(self, tmp_path, shop):
        plan = plan_of(tmp_path, shop, {"a": "publish"})
        (tmp_path / "folder.zip").mkdir()
        (tmp_path / "text.zip").write_text("no zip")
        for name in ("plan.yml", "folder.zip", "text.zip"):
            asked = command(plan, tmp_path / "out", "--bundle", str(tmp_path / name))
            done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=ROOT)
            assert (done.returncode, done.stderr.startswith("--bundle: ")) == (2, True)
        assert not (tmp_path / "out").exists()
        assert "runs:" in plan.read_text()


class TestLimits:
    def test_a_run_that_takes_too_long_is_ended_and_the_others_go_on(self, tmp_path, shop):
        plan = plan_of(tmp_path, shop, {"a": "sleep", "b": "not"})
        found = run(plan, tmp_path / "out", seconds=6)
        assert words(found) == {"a": "failed", "b": "done"}
        assert found["a"].error == "It took longer than 6 s and was ended."
        assert not psutil.pid_exists(int((shop / "asleep").read_text()))

    def test_no_cell_starts_after_the_time_is_over(self):
        assert _seconds_left(None) is None
        assert _seconds_left(time.monotonic() + 3600) in range(3590, 3601)
        with pytest.raises(CellTimeoutError):
            _seconds_left(time.monotonic() - 0.1)

    def test_a_report_that_cannot_be_printed_is_kept(self, tmp_path, shop, monkeypatch):
        def fails(_report, _pdf):
            raise OSError(0, "chromium printed no PDF")

        monkeypatch.setattr("workbench.report.run.print_pdf", fails)
        found = run(plan_of(tmp_path, shop, {"a": "publish"}), tmp_path / "out", pdf=True)["a"]
        assert (found.word, found.exit_code) == ("done", 1)
        assert found.error == "report.pdf is missing: chromium printed no PDF. The report itself is done."
        assert (tmp_path / "out" / "a" / "report.html").is_file()
        assert "report.pdf is missing" in (tmp_path / "out" / "index.html").read_text()

    def test_a_failed_run_is_tried_again_as_often_as_asked(self, tmp_path, shop):
        plan = plan_of(tmp_path, shop, {"a": "once"})
        told = []
        requests, _ = load_plan(plan)
        results = run_batch(requests, tmp_path / "out", options=Options(retries=1), on_note=told.append)
        assert [one.word for one in results] == ["done"]
        assert [one.startswith("a: failed, is tried again: Cell ") for one in told] == [True]
        assert not (tmp_path / "out" / "a.failed").exists()

    def test_what_is_refused_is_not_tried_again(self, tmp_path, shop):
        begun = []
        requests, _ = load_plan(plan_of(tmp_path, shop, {"a": "refuse"}))
        results = run_batch(
            requests, tmp_path / "out", options=Options(retries=3), on_cell=lambda _r, done, _t: begun.append(done == 1)
        )
        assert (results[0].status, sum(begun)) == ("refused", 1)

    def test_the_memory_of_all_runs_together_fits_the_machine(self, monkeypatch):
        memory = type("Memory", (), {"available": 4e9})
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
        monkeypatch.delenv("WORKBENCH_MEMORY_LIMIT", raising=False)
        assert memory_of_each(1) == ""  # 2 GB and Python fit into 80 % of 4 GB
        assert memory_of_each(2) == "1200MB"
        assert memory_of_each(8) == "250MB"
        monkeypatch.setenv("WORKBENCH_MEMORY_LIMIT", "512MiB")
        assert memory_of_each(2) == ""


class TestAlone:
    def test_a_second_batch_on_a_folder_is_refused_and_so_is_a_run(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "not"})
        with locked(out, alone=True):
            for asked in (
                command(plan, out),
                [*command(plan, out)[:3], "run", str(FAILS), str(shop), "--out", str(out)],
            ):
                done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=ROOT)
                assert done.returncode == 2
                assert "is at work in" in done.stderr
        assert not (out / "a").exists()

    def test_single_runs_go_beside_each_other_but_not_beside_a_batch(self, tmp_path):
        refused = pytest.raises(ParameterError, match="another batch or run is at work")
        with locked(tmp_path, alone=False), locked(tmp_path, alone=False), refused, locked(tmp_path, alone=True):
            pass
        with locked(tmp_path, alone=True):
            pass

    def test_what_a_dead_batch_left_is_taken_away_and_the_last_good_run_put_back(self, tmp_path):
        (tmp_path / ".a.1.tmp").mkdir()  # number 1 lives always
        (tmp_path / ".a.1.old").mkdir()
        (tmp_path / ".a.1.old" / "report.html").write_text("good")
        (tmp_path / ".index.1.tmp").write_text("half a page")
        with locked(tmp_path, alone=True):
            assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a" / "report.html").read_text() == "good"


def missing(folder):
    """What a reader of this run would miss, in words."""
    try:
        told = json.loads((folder / "manifest.json").read_text())
        sizes = {name: (folder / name).stat().st_size for name in told["files"]}
    except FileNotFoundError as error:
        return str(error)
    wanted = "failed" if folder.name.endswith(".failed") else "done"
    return "" if (sizes, told["status"]) == (told["files"], wanted) else f"{folder.name}: {sizes} of {told}"


def inode(folder):
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_ino


def whole(out):
    """Every run that a reader sees has all the files that it says it has.

    A folder that was exchanged for a new one, or taken away, while it was looked at is looked at again.
    """
    for folder in out.glob("[!.]*/"):
        while (seen := inode(folder)) and (what := missing(folder)):
            assert inode(folder) != seen, what


def done_on(shop, out):
    """How many runs are there that read the data as they are now."""
    now = fingerprint_of_files(shop)
    return sum(json.loads(path.read_text())["data_fingerprint"] == now for path in out.glob("[!.]*/manifest.json"))


def kernels_of(process):
    """The kernels that a batch has started and that have not ended by themselves meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [one for one in process.children(recursive=True) if "ipykernel" in command_line(one)]
    return []


def command_line(process):
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""


def wait_for(is_there, seconds=60):
    end = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.02)


class TestInterruption:
    @pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
    def test_who_interrupts_leaves_a_folder_in_order(self, tmp_path, shop, by):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish", "b": "sleep", "c": "publish"})
        process = subprocess.Popen(command(plan, out, "--jobs", "1"), stderr=subprocess.PIPE, text=True, cwd=ROOT)
        wait_for((shop / "asleep").exists)
        process.send_signal(by)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted; what was finished before stays as it was. The same command goes on." in said
        assert "Traceback" not in said
        assert sorted(one.name for one in out.iterdir()) == ["a", "alerts.json", "index.html"]
        wait_for(lambda: not psutil.pid_exists(int((shop / "asleep").read_text())), 10)
        page = (out / "index.html").read_text()
        assert ("1 done" in page, "2 not run yet" in page) == (True, True)
        whole(out)

    @pytest.mark.slow
    def test_killed_at_any_moment_a_batch_of_thirty_can_go_on(self, tmp_path, shop):
        """Killed again and again, then left alone: the tables of an undisturbed batch, at no moment half a run."""
        hows = {f"run{number}": "publish" for number in range(30)}
        plan, calm, out = plan_of(tmp_path, shop, hows), tmp_path / "calm", tmp_path / "out"
        begun, draw, orphans = time.monotonic(), random.Random(7), []
        subprocess.run(command(plan, calm, "--only", "run0"), check=True, capture_output=True, cwd=ROOT)
        a_run = time.monotonic() - begun
        for number in range(12):
            if number == 4:
                (shop / "orders.csv").write_text("order_id\n2\n")  # from here on all is to be done anew
            process = psutil.Popen(command(plan, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
            end = time.monotonic() + draw.uniform(0.1, 2.5) * a_run
            while (time.monotonic() < end or (number == 11 and done_on(shop, out) < 10)) and process.poll() is None:
                whole(out)
                time.sleep(0.01)
            orphans += kernels_of(process)
            process.kill()
            process.wait()
            whole(out)
        _, left = psutil.wait_procs(orphans, timeout=30)
        assert not left, "kernels whose batch is dead end by themselves"
        already = done_on(shop, out)
        found = words(run(plan, out))
        assert found.keys() == hows.keys()
        assert Counter(found.values()) == Counter(reused=already, done=30 - already)
        assert not list(out.glob(".*"))
        tables = sorted((calm / "run0" / "tables").iterdir())
        assert tables
        for name in hows:
            for path in tables:
                assert path.read_bytes() == (out / name / "tables" / path.name).read_bytes()

    def test_a_full_disk_stops_only_what_does_not_fit(self, tmp_path, shop):
        small = tmp_path / "small"
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a small file system cannot be mounted here; it needs the rights of root")
        try:
            out, plan = small / "out", plan_of(tmp_path, shop, {"a": "publish", "b": "not"})
            assert words(run(plan, out, only=("b",))) == {"b": "done"}
            good = (out / "b" / "report.html").read_bytes()
            free = os.statvfs(small)
            (small / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 12_000))
            found = run(plan, out)
            assert words(found) == {"a": "failed", "b": "failed"}
            assert "the disk is full. The last good run stays." in found["a"].error
            assert (out / "b" / "report.html").read_bytes() == good
            assert sorted(one.name for one in out.iterdir()) == ["alerts.json", "b", "index.html"]
            whole(out)
            (small / "filler").unlink()
            assert words(run(plan, out)) == {"a": "done", "b": "done"}
        finally:
            subprocess.run(["umount", str(small)], check=False)

    def test_a_clock_that_jumps_back_changes_nothing(self, tmp_path, shop):
        out, plan = tmp_path / "out", plan_of(tmp_path, shop, {"a": "publish"})
        run(plan, out)
        path = out / "a" / "manifest.json"
        manifest = json.loads(path.read_text())
        assert manifest["started_at"] <= manifest["finished_at"]
        later = {"started_at": "2099-01-01T00:00:00+00:00", "finished_at": "2099-01-01T00:00:01+00:00"}
        path.write_text(json.dumps(manifest | later))
        os.utime(out / "a", (4e9, 4e9))
        os.utime(shop / "orders.csv", (1e9, 1e9))
        assert words(run(plan, out)) == {"a": "reused"}
        assert words(run(plan, out, force=True)) == {"a": "done"}

    def test_a_place_that_cannot_be_written_is_told_and_nothing_starts(self, tmp_path, shop):
        (tmp_path / "out").write_text("a file")
        done = subprocess.run(
            command(plan_of(tmp_path, shop, {"a": "not"}), tmp_path / "out"),
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert "Check the path and that you may write there" in done.stderr
