"""A panel in a real JupyterLab, walked through once: what the browser showed is read by the tests."""

import html
import os
import re
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from lab_in_browser import LABS_OWN, PATIENCE, TITLE, lab_on, running_lab, write_notebook, write_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PICTURE = ".wb-explore-picture svg.marks"
MARKS = f"{PICTURE} .clicked_view_marks path"
"""What can be clicked: points or bars."""
ASKING = re.compile("asking")
ANSWERED = re.compile(r"^answered in [\d.]+ s$")


@pytest.fixture(scope="module")
def walk(once, request, small_folder):
    """What happened on the way; one server, one page and one kernel for all processes of a test run."""
    pytest.importorskip("jupyterlab")
    return once("lab_walk", lambda folder: walked(folder, small_folder, request.getfixturevalue("chromium")))


@pytest.fixture
def seen(walk, request):
    """What one step showed; fails with what went wrong on it."""

    def step(name):
        found = walk.steps[name]
        if isinstance(found, str):
            pytest.fail(f"{found}\npicture: {walk.root.parent / name}.png")
        return found

    return step


def walked(folder: Path, shop: Path, chromium) -> SimpleNamespace:
    root = folder / "root"
    write_notebook(root / "notebooks" / "walk.ipynb", shop)
    write_run(root / "out" / "may")
    heard, outside, steps = [], [], {}
    with pytest.MonkeyPatch.context() as patch:
        command = lab_on(root, root / "out", patch)
    context = chromium.new_context(viewport={"width": 1100, "height": 1500})
    with running_lab(root, command) as (address, token):
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda one: heard.append((one.type, one.text)))
        page.on("pageerror", lambda error: heard.append(("error", str(error))))
        context.on("request", lambda one: outside.append(one.url))
        page.goto(f"{address}/?token={token}")
        for step in STEPS:
            try:
                steps[step.__name__] = step(page, root)
            except Exception:
                steps[step.__name__] = traceback.format_exc()
                page.screenshot(path=folder / f"{step.__name__}.png")
                if step in NEEDED:
                    break
        context.close()
    outside = [one for one in outside if not one.startswith((f"{address}/", "data:", "blob:"))]
    return SimpleNamespace(root=root, steps=steps, heard=heard, outside=outside)


# -- the steps ---------------------------------------------------------------------------------------------


def expect(locator):
    from playwright.sync_api import expect

    return expect(locator)


def answered(page):
    """Wait for the whole answer, findings and all."""
    expect(page.locator(".wb-explore-status").first).to_have_text(ANSWERED, timeout=PATIENCE)


def drawn(page, is_wanted, than=()):
    """Wait for a picture; charts are drawn a little after all else is shown."""
    page.wait_for_function(f"""than => {{
        const labels = [...document.querySelectorAll({MARKS!r})].map(one => one.getAttribute("aria-label")).join("\\n");
        return ({is_wanted})(labels, than.join("\\n"));
    }}""", arg=list(than))  # fmt: skip


def changed(page, before):
    """Wait for an answer with another table and picture; gives what the panel shows then."""
    table = page.locator(".wb-explore table").first
    expect(table).not_to_have_text(before["table"], timeout=PATIENCE, use_inner_text=True)
    answered(page)
    drawn(page, "(labels, than) => labels !== '' && labels !== than", before["picture"])
    return state(page)


def state(page):
    """What the panel shows, once all of it is there."""
    before, now = None, _state(page)
    while now != before:
        page.wait_for_timeout(150)
        before, now = now, _state(page)
    return now


def _state(page):
    trail = page.locator(".wb-explore-row", has=page.get_by_role("button", name="← Back"))
    return {
        "view": page.locator(".wb-explore-views .mod-active").inner_text(),
        "trail": trail.locator("button").all_inner_texts()[2:],
        "picture": page.locator(MARKS).evaluate_all("marks => marks.map(one => one.getAttribute('aria-label'))"),
        "table": page.locator(".wb-explore table").first.inner_text(),
        "verdict": page.locator(".wb-explore .wb-verdict").first.inner_text(),
        "findings": page.locator(".wb-explore .wb-findings").all_inner_texts(),
    }


def view_is(page, title):
    expect(page.locator(".wb-explore-views .mod-active")).to_have_text(title, timeout=PATIENCE)


def click_mark(page):
    """Click the first point or bar as a mouse does: what lies over it gets the click."""
    x, y = page.locator(MARKS).first.evaluate("""one => {
        one.scrollIntoView({block: "center"});
        const box = one.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }""")
    page.mouse.click(x, y)


def type_into(page, label, text):
    page.get_by_label(label, exact=True).fill(text)
    page.keyboard.press("Tab")


def reset(page):
    button = page.get_by_role("button", name="Reset", exact=True)
    if button.is_enabled():
        button.click()
    expect(button).to_be_disabled(timeout=PATIENCE)
    view_is(page, "Conversion")
    answered(page)
    drawn(page, "labels => labels === (window.first ??= labels) && labels !== ''")  # the first call is the first answer
    return state(page)


def open_start_page(page, root):
    page.get_by_role("heading", name="Workbench", exact=True).wait_for()
    page.get_by_role("link", name="Channels of May").click()
    report = page.frame_locator("iframe").get_by_text("the report of May")
    report.wait_for()
    said = report.inner_text()
    page.get_by_role("tab", name="start.md").click()
    page.get_by_role("link", name=TITLE).click()
    page.get_by_role("heading", name=TITLE).wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
    return {"report": said, "tab": page.locator(".lm-TabBar-tab.jp-mod-current").last.inner_text()}


def run_all(page, root):
    from playwright import sync_api as playwright

    for _ in range(3):  # a kernel that is just ready may pass over the first wish
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            page.locator(".wb-explore-status").first.wait_for(timeout=PATIENCE / 3)
            break
        except playwright.TimeoutError:
            continue
    answered(page)
    page.locator(MARKS).first.wait_for()
    if page.locator(".jp-SideBar .lm-mod-current").count():
        page.keyboard.press("Control+b")
    return reset(page)


def choose_users(page, root):
    before = reset(page)
    page.get_by_role("button", name="▸ Users").click()
    page.get_by_label(re.compile(r"^female \(")).check()
    after = changed(page, before)
    fold = page.get_by_role("button", name=re.compile("^▾ Users")).inner_text()
    page.get_by_role("button", name=fold).click()
    return {"before": before, "after": after, "fold": fold}


def click_down_and_come_back(page, root):
    stops = [reset(page)]
    for title in ("Segments", "Cohorts"):
        click_mark(page)
        view_is(page, title)
        answered(page)
        drawn(page, "(labels, than) => labels !== than", stops[-1]["picture"])
        stops.append(state(page))
    page.get_by_role("button", name="← Back").click()
    view_is(page, "Segments")
    answered(page)
    drawn(page, "(labels, than) => labels === than", stops[1]["picture"])
    return {"stops": stops, "back": state(page), "reset": reset(page)}


def save_and_run(page, root):
    before = reset(page)
    type_into(page, "Conversion window [days]", "14")
    shown = changed(page, before)
    tables = {path.stem: pd.read_csv(path) for path in (root / "notebooks" / "shown").glob("*.csv")}
    page.get_by_role("button", name="▸ Keep and rerun").click()
    page.get_by_role("button", name="Save parameters").click()
    page.get_by_text("Saved:").wait_for()
    page.get_by_role("button", name="▾ Keep and rerun").click()
    kept, shop = root / "notebooks" / "channel_comparison.parameters.yml", root.parent.parent / "small"
    words = ["run", "channel_comparison", str(shop), "-f", str(kept), "--out", str(root / "out")]
    done = subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = [one for one in (root / "out").iterdir() if one.name != "may"]
    written = {path.stem: pd.read_csv(path) for path in (folder / "tables").glob("*.csv")}
    return {"shown": shown, "tables": tables, "written": written, "report": (folder / "report.html").read_text("utf-8")}


def cancel(page, root):
    before, status = reset(page), page.locator(".wb-explore-status").first
    type_into(page, "Conversion window [days]", "29")
    expect(status).to_have_text(re.compile(r"^asking … [1-9]"), timeout=PATIENCE)
    asking = state(page)
    page.get_by_role("button", name="Cancel").click()
    expect(status).to_have_text(re.compile("^Cancelled"), timeout=PATIENCE)
    cancelled = status.inner_text()
    type_into(page, "Conversion window [days]", "28")
    return {"before": before, "asking": asking, "status": cancelled, "after": changed(page, before)}


def ask_for_what_is_not_there(page, root):
    before, status = reset(page), page.locator(".wb-explore-status").first
    type_into(page, "First day [day]", "2031-01-01")
    page.locator(".wb-explore .wb-flag").first.wait_for()
    answered(page)
    far = page.locator(".wb-explore .wb-flag").first.inner_text()
    expect(page.locator(".wb-explore-picture")).to_be_hidden(timeout=PATIENCE)
    type_into(page, "First day [day]", "soon")
    expect(status).to_contain_text("soon", timeout=PATIENCE)
    wrong, trail = status.inner_text(), page.get_by_role("button", name="First day 2031-01-01")
    expect(trail).to_be_disabled(timeout=PATIENCE)
    return {"far": far, "wrong": wrong, "before": before, "reset": reset(page)}


WHERE = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const names = [one.labels?.[0]?.innerText, one.tagName === "SELECT" ? one.title : one.innerText];
    const name = names.map(one => (one || "").trim()).find(one => one !== "") || "";
    return {name, ring, inside: one.closest(".wb-explore") !== null};
}"""


def walk_by_keyboard(page, root):
    before = reset(page)
    page.locator(".jp-Cell").last.focus()
    page.keyboard.press("Escape")
    stops = []

    def go(name):
        """Press Tab until a control has the focus."""
        for _ in range(60):
            if page.evaluate(WHERE)["name"].startswith(name):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{name} is not reached")

    go("First day")
    while page.evaluate(WHERE)["inside"]:
        stops.append(page.evaluate(WHERE))
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    for _ in stops:
        page.keyboard.press("Shift+Tab")
    go("Whose channel")
    page.keyboard.press("ArrowDown")
    session = changed(page, before)
    chosen = page.evaluate("document.activeElement.value")
    go("▸ Users")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="▾ Users").wait_for()
    go("female (")
    page.keyboard.press("Space")
    women = changed(page, session)
    go("← Back")
    page.keyboard.press("Enter")
    back = changed(page, women)
    after_back = page.evaluate(WHERE)
    go("▾ Users")
    page.keyboard.press("Space")
    go("Look into one")
    for key in ("Space", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    view_is(page, "Segments")
    answered(page)
    picked, after_pick = state(page), page.evaluate(WHERE)
    page.keyboard.press("d")
    page.keyboard.press("d")  # deletes a cell where no panel holds the key
    cells = page.locator(".jp-Cell").count()
    return {
        "stops": stops, "chosen": chosen, "before": before, "session": session, "women": women, "back": back,
        "picked": picked, "after_back": after_back, "after_pick": after_pick, "cells": cells,
    }  # fmt: skip


def kill_the_kernel(page, root):
    panel = page.locator(".wb-explore").first
    os.kill(int((root / "notebooks" / "kernel.pid").read_text()), signal.SIGKILL)
    expect(panel).to_have_class(re.compile("jupyter-widgets-disconnected"), timeout=PATIENCE)
    told = panel.evaluate("one => getComputedStyle(one, '::before').content")
    return {"told": told, "shown": state(page)}


NEEDED = (open_start_page, run_all)
STEPS = (
    *NEEDED, choose_users, click_down_and_come_back, save_and_run, cancel, ask_for_what_is_not_there, walk_by_keyboard,
    kill_the_kernel,
)  # fmt: skip


# -- what the tests read -----------------------------------------------------------------------------------


def test_the_start_page_leads_to_reports_and_notebooks(seen):
    assert seen("open_start_page") == {"report": "the report of May", "tab": "walk.ipynb"}


def test_a_panel_shows_picture_table_verdict_and_findings(seen):
    shown = seen("run_all")
    assert shown["view"] == "Conversion"
    assert len(shown["picture"]) == 7
    assert all(shown[part] for part in ("table", "verdict", "findings"))


def test_a_filter_changes_the_picture(seen):
    found = seen("choose_users")
    assert found["before"]["picture"] != found["after"]["picture"]
    assert found["before"]["findings"] != found["after"]["findings"]
    assert found["fold"] == "▾ Users: gender=female"
    assert found["after"]["trail"] == ["Conversion", "Users gender=female"]


def test_clicks_lead_down_and_the_way_back_shows_what_was_there(seen):
    found = seen("click_down_and_come_back")
    first, segments, cohorts = found["stops"]
    channel = re.search("channel: ([^;]+)", first["picture"][0])[1]
    rows = segments["table"].splitlines()[2:]
    assert rows
    assert all(row.startswith(channel) for row in rows)
    assert cohorts["trail"][:2] == ["Conversion", f"{channel} → Segments"]
    assert cohorts["trail"][2].startswith("Users ")
    assert {**found["back"], "findings": []} == {**segments, "findings": []}
    assert found["reset"] == first


def test_what_the_panel_showed_is_what_the_command_line_writes(seen):
    found = seen("save_and_run")
    assert set(found["tables"]) == set(found["written"])
    for name, table in found["tables"].items():
        pd.testing.assert_frame_equal(table, found["written"][name], rtol=1e-9, atol=1e-9, obj=name)
    rates = found["written"]["channel_scorecard"].set_index("channel")["conversion_rate"]
    drawn = {re.search("channel: ([^;]+)", one)[1]: one for one in found["shown"]["picture"]}
    assert len(drawn) == 7
    for channel, label in drawn.items():
        assert float(re.search(r"conversion_rate: ([\d.]+)", label)[1]) == pytest.approx(rates[channel], abs=1e-9)
    assert found["shown"]["verdict"] in html.unescape(found["report"])


def test_a_long_query_is_cancelled_and_the_panel_goes_on(seen):
    found = seen("cancel")
    assert found["asking"]["table"] == found["before"]["table"]
    assert found["status"] == "Cancelled. What is shown is the answer before."
    assert found["after"]["trail"] == ["Conversion", "Conversion window 28"]


def test_what_is_not_there_is_told_in_words(seen):
    found = seen("ask_for_what_is_not_there")
    assert found["far"].startswith("No paid order from 2031-01-01")
    assert "the data reach from 2026-03-01 to" in found["far"]
    assert 'start_date: "soon" is not a day' in found["wrong"]
    assert "Traceback" not in found["far"] + found["wrong"]
    assert found["reset"] == found["before"]


def test_the_keyboard_alone_is_enough(seen):
    found = seen("walk_by_keyboard")
    names = [one["name"].split(" [")[0].strip() for one in found["stops"]]
    assert names[:2] == ["First day", "Day after the last"]
    order = ["Whose channel", "▸ Users", "▸ Keep and rerun", "Conversion", "Prices", "Look into one: Channel …"]
    assert [name for name in names if name in order] == order
    assert all(one["ring"] for one in found["stops"]), [one["name"] for one in found["stops"] if not one["ring"]]
    assert all(names)
    assert found["chosen"] == "session"
    assert found["women"]["trail"][-1] == "Users gender=female"
    assert found["back"]["table"] == found["session"]["table"]
    assert found["after_back"]["name"] == "← Back"
    assert found["picked"]["view"] == found["after_pick"]["name"] == "Segments"
    assert found["cells"] == 2


def test_a_killed_kernel_is_told(seen):
    found = seen("kill_the_kernel")
    assert "The kernel is gone" in found["told"]
    assert found["shown"]["table"]


def test_nothing_is_said_on_the_console(walk):
    loud = [text for kind, text in walk.heard if kind in ("error", "warning")]
    assert [one for one in loud if not one.startswith(LABS_OWN)] == []


def test_nothing_is_asked_of_another_machine(walk):
    assert walk.outside == []
