"""Panels without a front end: values are set, answers awaited, charts and tables read."""

import sys
from pathlib import Path

import pytest

from workbench import open_shop
from workbench.explore.question import Question, View

sys.path[:0] = [str(Path(__file__).parent)]
from fake_question import NOTEBOOK, answer_of  # noqa: E402 (found on the path just set)


@pytest.fixture(scope="session")
def shop(small_folder):
    return open_shop(small_folder)


@pytest.fixture(scope="session")
def fake(tmp_path_factory):
    """Makes a question over ``answer_of``, or over another function of shop and parameters."""
    path = tmp_path_factory.mktemp("fake") / "fake.ipynb"
    path.write_text(NOTEBOOK, encoding="utf-8")

    def make(analyse=None, live=""):
        def asked(shop, **parameters):
            return (analyse or answer_of)({**parameters, "shop": shop})

        views = (
            View("things", "Things", "东西", "things", pick="thing_id", leads_to=("parts",), measure="user_count"),
            View("parts", "Parts", "部件", "parts", pick="part", measure="user_count"),
            View("apart", "Apart", "无关", "apart"),
        )
        return Question("fake", str(path), asked, ("days",), views, live)

    return make


@pytest.fixture
def panels(shop):
    """Makes panels and closes them afterwards."""
    from workbench.explore.panel import Panel

    made = []

    def make(question, on=shop, **parameters):
        made.append(Panel(question, on, **parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()
