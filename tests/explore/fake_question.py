"""A question whose answer tells what was asked, and a way to wait."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from workbench.analysis import Analysis, Cell, Finding, Headline

SLOW = "SELECT sum(hash(a.range + b.range)) AS total FROM range(3000000) a, range(3000000) b"
"""A query that takes hours."""


def answer_of(parameters, lang="en"):
    """A small analysis whose numbers tell what was asked."""
    days = parameters["days"]
    things = pd.DataFrame(
        {"thing_id": ["a", "b", "c"], "thing_name": ["Ant", "Bee", "Cat"], "user_count": [days, 2 * days, 3 * days]}
    )
    parts = pd.DataFrame({"thing_id": ["a", "a", "b"], "part": ["x", "y", "x"], "user_count": [days, 1, 2]})
    shop = parameters["shop"]
    return Analysis(
        name="fake",
        lang=lang,
        period=shop.period(None, None, "UTC"),
        tables={"things": things, "parts": parts, "apart": pd.DataFrame({"other": [1]})},
        headline=Headline(f"{days} days asked", pd.DataFrame({"n": [str(days)]}), "things"),
        findings=(Finding("days", f"found {days}", Cell("things", {"thing_id": "a"}, "user_count"), days),),
    )


NOTEBOOK = """{"cells": [
 {"cell_type": "markdown", "id": "a", "metadata": {"tags": ["lang-en"]}, "source": "# A fake question"},
 {"cell_type": "markdown", "id": "b", "metadata": {"tags": ["lang-zh"]}, "source": "# 假问题"},
 {"cell_type": "code", "execution_count": null, "id": "c", "metadata": {"tags": ["parameters"]}, "outputs": [],
  "source": "from typing import Literal\\n\\nlang: Literal[\\"en\\", \\"zh\\"] = \\"en\\"  # language\\ndays: int = 7  # window [days]\\nonly_users: list[str] = []  # users, such as region=North\\nnote: str | None = None  # a note"}
], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}"""


def until(true, seconds=20):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def run_apart(coroutine):
    """Run a coroutine in a thread of its own: a browser of other tests may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
