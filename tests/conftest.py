"""Shared fixtures; helpers for building shops are in ``shops.py`` beside this file."""

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).parent))
CHROMIUM = shutil.which("chromium")
# What libraries tell each other with every query; to write it down 116,000 times takes a run some 20 seconds.
LIBRARIES_TALK = (
    "ignore:fetch_arrow_table\\(\\) is deprecated:DeprecationWarning:ibis",
    "ignore:The 'future.infer_string' option is deprecated:DeprecationWarning:ibis",
)


def pytest_configure(config):
    for one in LIBRARIES_TALK:
        config.addinivalue_line("filterwarnings", one)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Makes a thing once for all processes of a test run: ``once(name, make)`` gives what ``make(folder)`` gave."""
    from once import Once

    return Once(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def sample_folder(once) -> Path:
    """The sample shop, made once."""
    from workbench.source.simulate import simulate_shop

    return once("sample", simulate_shop)


@pytest.fixture(scope="session")
def small_folder(once) -> Path:
    """The same story told by 1,500 users."""
    from workbench.source.simulate import simulate_shop

    return once("small", lambda folder: simulate_shop(folder, users=1_500))


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
def analysed(sample, once):
    """Runs an analysis of the sample shop, with its defaults or as asked, once for each language and each wish."""

    def run(analyse, lang="en", **asked):
        name = quote(f"{analyse.__name__} {lang} {asked}", safe="")
        return once(name, lambda _folder: analyse(sample, timezone="Asia/Shanghai", lang=lang, **asked))

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
