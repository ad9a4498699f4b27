"""Ids, keys of rows, secrets and places of the machine are planted, and looked for in every byte that runs leave."""

import base64
import gzip
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import yaml
from once import Once

from workbench.report.run import run_notebook

ROOT = Path(__file__).parents[2]
USERS, LEAST = 250, 5
IDS = ("user_id", "inviter_id", "order_id", "session_id", "grant_id")
MARK = "zqx_"
OUT_MARK = "zqx_out"
PACKED = re.compile(rb"[A-Za-z0-9+/]{200,}={0,2}")
ALL = ("channel_comparison", "coupon_evaluation", "experiment_readout", "sales_overview", "slot_attribution")


def plant(folder: Path) -> Path:
    """A made-up shop whose users, orders, sessions and grants all carry the mark."""
    from workbench.source.simulate import simulate_shop

    simulate_shop(folder, users=USERS)
    for path in folder.glob("*.parquet"):
        table = pd.read_parquet(path)
        for column in table.columns.intersection(IDS):
            table[column] = f"{MARK}{column}_" + table[column]
        table.to_parquet(path, index=False)
    return folder


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte below a folder, archives and packed parts of pages opened."""
    for one in sorted(path.rglob("*")):
        yield str(one.relative_to(path)), b""
        if one.is_file():
            yield from opened(one.name, one.read_bytes())


def opened(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for inner in archive.namelist():
                yield from opened(f"{name}/{inner}", archive.read(inner))
    for packed in PACKED.findall(content):
        try:
            yield f"{name}, packed", gzip.decompress(base64.b64decode(packed))
        except (ValueError, OSError, EOFError):
            continue  # a picture, or a long word


def leaks(where: Path) -> list[str]:
    return [
        f"{name}: …{content[max(found.start() - 80, 0) : found.end() + 40]!r}"
        for name, content in contents(where)
        for found in re.finditer(MARK.encode(), content or name.encode())
    ]


def leaking_notebook(path: Path) -> Path:
    """A notebook that writes down all that it knows of the machine, and then fails."""
    lines = [
        'how: str = "fail"  # fail or end',
        'note_file: str = ""  # a file',
    ]
    known = (
        "import os, warnings\n"
        "names = ['WORKBENCH_SOURCE', 'WORKBENCH_MAPPING', 'WORKBENCH_OUT', 'WORKBENCH_FOLDER', 'HOME']\n"
        "names += ['SHOP_PASSWORD', 'SHOP_TOKEN']\n"
        "known = [os.environ.get(name, '') for name in names] + [os.getcwd(), note_file]\n"
        "print(known)\n"
        "os.write(2, str(known).encode())\n"
        "warnings.warn(str(known))"
    )
    cells = [
        nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(known),
        nbformat.v4.new_code_cell("if how == 'fail':\n    raise ValueError(f'cannot open {known}')\nknown"),
    ]
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def run_all(place: Path) -> SimpleNamespace:
    """One batch of every notebook and of all ways to fail, as a user starts it from a folder of his own."""
    from workbench import open_shop
    from workbench.user.audience import make_audiences
    from workbench.user.audience_files import write_audiences
    from workbench.user.audience_rules import load_audience_rules

    home = place / "zqx_home"
    source = plant(home / "zqx_folder" / "spring_shop")
    work, other = home / "zqx_work", place / "zqx_other"
    for folder in (work, other):
        folder.mkdir(parents=True)
    mapping, days = other / "names.yml", other / "days.csv"
    mapping.write_text("timezone: UTC\n")
    days.write_text("date,label\n2026-05-01,Holiday\n")
    rules = work / "zqx_rules" / "rules.yml"
    rules.parent.mkdir()
    rules.write_text(
        "timezone: Asia/Shanghai\nend_date: 2026-05-24\nwindow_days: 28\n"
        "audiences: {seen: {start_date: 2026-05-25, where: {visit_days: '>= 2'}}}\n"
    )
    shop = open_shop(source)
    audience = other / "called.csv"
    write_audiences(shop, make_audiences(shop, load_audience_rules(rules)), audience, force=False)
    assert MARK in audience.read_text()  # the one file that is for user ids
    broken = other / "broken_shop"
    broken.mkdir()
    ids = pd.read_parquet(source / "orders.parquet")
    pd.concat([ids, ids.head(9)]).to_parquet(broken / "orders.parquet", index=False)
    notebook = leaking_notebook(other / "zqx_notebooks" / "tells.ipynb")
    url = "clickhouse://zqx_login:${SHOP_PASSWORD}@zqx-host.example:9000/shop"
    runs = [{"name": name.split("_")[0], "notebook": name} for name in ALL]
    runs[0]["mask_below"] = LEAST
    runs += [
        {
            "name": "users",
            "notebook": "user_quadrants",
            "parameters": {
                "end_date": "2026-05-24",
                "window_days": 28,
                "period_days": 7,
                "audience_rules": "zqx_rules/rules.yml",
                "audience_file": str(audience),
            },
        },
        {"name": "tells", "notebook": str(notebook), "parameters": {"how": "end", "note_file": str(days)}},
        {"name": "breaks", "notebook": str(notebook), "parameters": {"note_file": "~/zqx_work/zqx_rules/rules.yml"}},
        {"name": "database", "notebook": str(notebook), "source": url},
        {"name": "away", "notebook": "sales_overview", "source": url},
        {"name": "secret", "notebook": "sales_overview", "source": url.replace("${SHOP_PASSWORD}", "zqx_password")},
        {"name": "refused", "notebook": "channel_comparison", "source": str(broken)},
        {"name": "nowhere", "notebook": "sales_overview", "source": str(place / "zqx_gone" / "shop")},
        {"name": "rules", "notebook": "user_quadrants", "parameters": {"audience_rules": str(other / "gone.yml")}},
    ]
    defaults = {
        "source": str(source),
        "mapping": str(mapping),
        "annotations": str(days),
        "comment": "As every week.",
        "parameters": {"timezone": "Asia/Shanghai"},
    }
    plan, out = work / "plan.yml", place / OUT_MARK
    plan.write_text(yaml.safe_dump({"defaults": defaults, "runs": runs}), encoding="utf-8")
    environment = {
        **os.environ,
        "HOME": str(home),
        "SHOP_PASSWORD": "zqx_password",
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(place / "cache")),
    }
    command = [sys.executable, "-m", "workbench.cli", "batch", str(plan), "--out", str(out), "--jobs", "1"]
    command += ["--bundle", str(out / "bundle.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work, env=environment)
    return SimpleNamespace(out=out, code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(scope="session")
def left(once: Once) -> SimpleNamespace:
    return once("left", run_all)


@pytest.mark.slow
class TestEverythingThatRunsLeave:
    def test_all_notebooks_were_done_and_all_faults_told(self, left):
        status = {one["name"]: one["status"] for one in json.loads((left.out / "alerts.json").read_text())["runs"]}
        done = {name.split("_")[0] for name in ALL} | {"users", "tells"}
        assert {name for name, said in status.items() if said == "done"} == done, left.stderr
        assert {name for name, said in status.items() if said == "failed"} == {"breaks", "database"}
        assert {name for name, said in status.items() if said == "refused"} == {
            "away", "secret", "refused", "nowhere", "rules",
        }  # fmt: skip
        assert left.code == 1
        assert (left.out / "bundle.zip").is_file()

    def test_no_id_no_key_no_secret_and_no_place_is_in_any_byte(self, left):
        assert leaks(left.out) == []

    def test_the_terminal_names_the_folder_of_results_and_nothing_else(self, left):
        said = (left.stdout + left.stderr).replace(OUT_MARK, "")
        assert [line for line in said.splitlines() if MARK in line] == []
        assert "zqx-host" not in said

    def test_the_host_of_a_database_is_not_named_either(self, left):
        assert [name for name, content in contents(left.out) if b"zqx-host" in content] == []

    def test_a_run_with_a_least_size_shows_no_smaller_group(self, left):
        assert json.loads((left.out / "channel" / "manifest.json").read_text())["mask_below"] == LEAST
        table = pd.read_csv(left.out / "channel" / "tables" / "channel_scorecard.csv")
        assert table["user_count"].dropna().min() >= LEAST
        assert table["user_count"].isna().any()
        for run in ("channel", "coupon"):
            page = (left.out / run / "report.html").read_text(encoding="utf-8")
            assert ("fewer than 5 users are not shown" in page) == (run == "channel")

    def test_what_tells_all_it_knows_still_says_something(self, left):
        node = nbformat.read(left.out / "breaks.failed" / "notebook.ipynb", as_version=4)
        printed = json.dumps(node.cells)
        assert "spring_shop" in printed
        assert "cannot open" in printed
        assert (left.out / "breaks.failed" / "kernel.log").read_text()


def test_the_search_finds_what_is_packed_and_zipped(tmp_path):
    packed = base64.b64encode(gzip.compress(f"{os.urandom(300).hex()} {MARK}user".encode()))
    (tmp_path / "page.html").write_bytes(b"<script>" + packed + b"</script>")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("batch/page.html", b"<script>" + packed + b"</script>")
    (tmp_path / f"{MARK}name").mkdir()
    found = leaks(tmp_path)
    assert len(found) == 3
    assert MARK.encode() not in (tmp_path / "page.html").read_bytes()


def test_an_executed_notebook_keeps_no_environment(tmp_path, monkeypatch):
    home, out = tmp_path / "zqx_home", tmp_path / "out"
    source = home / "zqx folder" / "spring_shop"
    source.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHOP_PASSWORD", "zqx_password")
    monkeypatch.setenv("SHOP_TOKEN", "zqx_to'ken")
    monkeypatch.chdir(home)
    notebook = leaking_notebook(home / "zqx_notebooks" / "tells.ipynb")
    assert run_notebook(notebook, source, out, parameters={"how": "end"}).status == "done"
    told = json.dumps(nbformat.read(out / "tells" / "notebook.ipynb", as_version=4).cells)
    assert told.count("spring_shop") >= 3  # printed, warned of and shown, so a place that was not hidden would be seen
    assert leaks(out) == []
