"""Shared fixtures; helpers for building shops are in ``shops.py`` beside this file."""

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory) -> Path:
    """The sample shop, made once."""
    from workbench.source.simulate import simulate_shop

    return simulate_shop(tmp_path_factory.mktemp("sample") / "sample")


@pytest.fixture(scope="session")
def truth(sample_folder) -> dict:
    """What was planted in the sample shop."""
    return json.loads((sample_folder / "truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def sample(sample_folder):
    """The sample shop, opened."""
    from workbench import open_shop

    return open_shop(sample_folder)


@pytest.fixture(scope="session")
def analysed(sample):
    """Runs an analysis of the sample shop with its defaults, once for each language."""
    found = {}

    def run(analyse, lang="en"):
        if (analyse, lang) not in found:
            found[analyse, lang] = analyse(sample, timezone="Asia/Shanghai", lang=lang)
        return found[analyse, lang]

    return run


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium, started once; skips where it is absent."""
    if CHROMIUM is None:
        pytest.skip('no "chromium" on the path (apt-get install chromium)')
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as start:
        browser = start.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open a file as a reader does; fail on any request but the file's and on any word on the console."""
    contexts, heard, requests = [], [], []

    def opened(path: Path, *, script: bool = True, **options):
        context = chromium.new_context(offline=True, java_script_enabled=script, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.absolute().as_uri())
        if script:
            page.locator('html[data-wb-ready="1"]').wait_for(state="attached", timeout=20_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
    assert all(url.startswith("file:") for url in requests)
    assert len(requests) == len(contexts)
