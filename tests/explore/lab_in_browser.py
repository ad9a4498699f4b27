"""A real JupyterLab with a panel in a notebook, its start page, and what a browser meets there."""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

from workbench.explore import lab

PATIENCE = 90_000
"""Milliseconds until a state that is waited for counts as failed; a loaded machine is slow."""
LABS_OWN = ("Connection lost, reconnecting", "WebSocket connection to 'ws://127.0.0.1", "Failed to load resource")
"""What JupyterLab itself says when a kernel is killed."""
TITLE = "Which channel is worth it?"
CODE = """
import os, sys
from dataclasses import replace
from pathlib import Path

import workbench as wb
from workbench.channel import compare_channels
from workbench.explore.panel import Panel
from workbench.explore.question import QUESTIONS
from workbench.report.publish import write_csv

sys.path.append({tests!r})
from fake_question import SLOW


def analyse(shop, **parameters):
    if parameters["conversion_days"] == 29:
        shop.collect(shop.engine.backend.sql(SLOW))
    analysis = compare_channels(shop, **parameters)
    Path("shown").mkdir(exist_ok=True)
    for name, frame in analysis.tables.items():
        write_csv(frame, Path("shown") / f"{{name}}.csv")
    return analysis


Path("kernel.pid").write_text(str(os.getpid()))
panel = Panel(replace(QUESTIONS["channels"], analyse=analyse), wb.open_shop({shop!r}), timezone="Asia/Shanghai")
panel
"""


def write_notebook(path: Path, shop: Path) -> None:
    """One question whose panel keeps the tables it was given, and that is slow when 29 days are asked."""
    code = CODE.format(tests=str(Path(__file__).parent), shop=str(shop)).strip()
    cells = [nbformat.v4.new_markdown_cell(f"# {TITLE}"), nbformat.v4.new_code_cell(code)]
    node = nbformat.v4.new_notebook(cells=cells)
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    path.parent.mkdir(parents=True)
    nbformat.write(node, path)


def write_run(folder: Path) -> None:
    """A report of an earlier run."""
    folder.mkdir(parents=True)
    told = {"title": "Channels of May", "status": "done", "finished_at": "2026-06-01T08:00:00+00:00"}
    (folder / "manifest.json").write_text(json.dumps(told))
    (folder / "report.html").write_text("<!doctype html><title>Channels of May</title><p>the report of May")


@contextmanager
def running_lab(root: Path, command: list[str]):
    """Start a command of ``lab_command`` without a browser of its own; gives its address and token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, kept = secrets.token_hex(16), root.parent / "jupyter"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "WORKBENCH_"))}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(kept / "config"),
        "JUPYTER_RUNTIME_DIR": str(kept / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(kept / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(kept / "settings"),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    options = ["--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    kept.mkdir()
    with (kept / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, *options, f"--IdentityProvider.token={token}"], env=environment, stdout=log, stderr=log
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/api?token={token}", server)
            yield address, token
        finally:
            server.send_signal(signal.SIGTERM)  # it ends its kernels too
            server.wait(timeout=60)


def wait_for(url: str, server: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while True:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)


def lab_on(root: Path, out: Path, monkeypatch) -> list[str]:
    """The command of ``workbench lab`` for another folder of notebooks than the shipped one."""
    monkeypatch.setattr(lab, "notebooks_folder", lambda: root / "notebooks")
    return lab.lab_command("en", out, root)
