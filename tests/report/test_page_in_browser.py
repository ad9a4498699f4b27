"""The reports in Debian's Chromium: offline, on a desk and a phone, in both languages, dark, without JavaScript."""

import json
from datetime import date
from importlib.resources import files
from pathlib import Path

import altair as alt
import fake
import nbformat
import pandas as pd
import pytest

from workbench.report.annotations import Annotation
from workbench.report.charts import CHART_MIME
from workbench.report.page import make_page
from workbench.report.show import first_screen, show_definitions, show_table

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def drawn(page) -> int:
    return page.locator("figure .vega-embed svg").count()


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("lang", ["english", "chinese"])
def test_charts_are_drawn_and_nothing_overflows(open_page, request, lang, viewport):
    page = open_page(request.getfixturevalue(lang).report, viewport=viewport)
    assert drawn(page) == page.locator("figure").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    widths = page.evaluate("[...document.querySelectorAll('.wb-view')].map(v => v.scrollWidth - v.clientWidth)")
    assert max(widths) <= 1


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("lang", ["english", "chinese"])
def test_the_whole_answer_is_on_the_first_screen(open_page, request, lang, viewport):
    page = open_page(request.getfixturevalue(lang).report, viewport=viewport)
    bottom = page.evaluate("document.querySelector('.wb-first .wb-actions').getBoundingClientRect().bottom")
    assert bottom <= viewport["height"]
    box = page.locator(".wb-first .wb-scroll")
    assert box.evaluate("one => one.scrollWidth - one.clientWidth") <= 1


def test_without_scripts_the_still_pictures_show(open_page, english):
    page = open_page(english.report, script=False, viewport=PHONE)
    pictures = page.locator("figure .wb-still svg")
    assert pictures.count() == 4
    for number in range(4):
        box = pictures.nth(number).bounding_box()
        assert box is not None
        assert 100 < box["width"] <= 390
    page.get_by_text("Show 45 more rows").click()
    assert page.get_by_text("2026-03-01").is_visible()


def test_dark_paper_has_light_ink_and_charts_follow(open_page, english):
    page = open_page(english.report, viewport=DESK, color_scheme="dark")
    ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    assert (ink, paper) == ("rgb(230, 228, 223)", "rgb(21, 24, 28)")
    label = "document.querySelector('.vega-embed .role-axis-label text').getAttribute('fill')"
    assert page.evaluate(label) == "#a3aab3"
    page.emulate_media(color_scheme="light")
    page.locator('.vega-embed .role-axis-label text[fill="#5c6571"]').first.wait_for(state="attached")


def test_a_chart_gives_its_data_as_csv(open_page, english):
    page = open_page(english.report, viewport=DESK)
    assert page.locator("button.wb-csv").count() == page.locator("figure").count() == 4
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Data (CSV)").first.click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    assert text.splitlines()[0].startswith("channel,")
    assert "'=1+1" in text


def test_names_from_data_are_only_text(open_page, english):
    page = open_page(english.report, viewport=DESK)
    assert page.evaluate("[...document.scripts].filter(one => one.textContent.includes('alert')).length") == 0
    assert page.get_by_text('<script>alert("x")</script>, =1+1').first.is_visible()


def test_links_within_the_page_lead_somewhere(open_page, english):
    page = open_page(english.report, viewport=DESK)
    dead = "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
    assert page.locator("a.wb-ref").count() > 5
    assert page.evaluate(dead) == 0  # the harmful link of the notebook's text is none


def test_the_index_fits_a_phone_and_opens_a_report(open_page, batch):
    page = open_page(batch.out / "index.html", script=False, viewport=PHONE)
    assert page.locator("article").count() == 4
    assert page.locator('a[href="channels/report.html"]').count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


EVIL = (
    '<script src="https://evil.example/x.js"></script><img src="https://evil.example/x.png" onerror="alert(1)">'
    "![x](https://evil.example/y.png) [x](javascript:alert(1))"
)
DAYS = (
    Annotation(date(2026, 1, 10), date(2026, 1, 10), '<script>alert("x")</script>'),
    Annotation(date(2026, 1, 20), date(2026, 2, 5), "春节大促"),
    Annotation(date(2026, 2, 20), date(2026, 2, 20), "Price change"),
)


def spec_of(chart):
    return {CHART_MIME: json.loads(json.dumps(chart.to_dict(), default=str))}


@pytest.fixture
def planted(tmp_path):
    """A report with an annotated chart of two data sets, and with what must not run in its title, comment and marks."""
    analysis = fake.analyse("en")
    screen = first_screen(analysis, fake.lines(analysis))
    blocks = [
        (screen.kind, {"text/html": screen.html, "text/plain": "", **spec_of(screen.chart)}),
        *((one.kind, {"text/html": one.html}) for one in [show_table(analysis, "channel_funnel")]),
        *((one.kind, {"text/html": one.html}) for one in [show_definitions(analysis)]),
    ]
    rule = alt.Chart(pd.DataFrame({"level": [120]})).mark_rule().encode(y="level:Q")
    line = alt.Chart(analysis.tables["daily"]).mark_line().encode(x="date:T", y="order_count:Q")
    outputs = [nbformat.v4.new_output("display_data", data, metadata={"workbench": kind}) for kind, data in blocks]
    outputs.append(nbformat.v4.new_output("display_data", spec_of(alt.layer(line, rule).properties(title=EVIL))))
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    path = tmp_path / "report.html"
    related = [("a & b", EVIL)]
    path.write_text(
        make_page(node, "en", EVIL, {"x": EVIL}, annotations=DAYS, comment=EVIL, related=related), encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_what_is_planted_in_texts_neither_runs_nor_asks_the_network(open_page, planted, viewport, scheme):
    page = open_page(planted, viewport=viewport, color_scheme=scheme)  # fails on a request or a word on the console
    assert page.locator("img").count() == 0
    assert page.locator("aside.wb-comment").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_annotations_are_drawn_live_and_still_and_told_in_words(open_page, planted):
    page = open_page(planted, viewport=PHONE)
    figure = page.locator("main figure")
    for picture in (".wb-live-view", ".wb-still"):
        texts = figure.locator(f"{picture} text").all_text_contents()
        assert {"1", "2", "3"} <= set(texts), picture
    assert figure.locator(".wb-marks li").nth(1).inner_text().split() == ["2026-01-20", "–", "2026-02-05", "春节大促"]
    end = "document.querySelector('main .wb-live-view .mark-rect path').getBoundingClientRect()"
    box = page.evaluate(end)
    plot = figure.locator(".wb-live-view").bounding_box()
    assert plot is not None
    assert 0.2 < (box["left"] - plot["x"]) / plot["width"] < 0.6


def test_a_chart_of_two_data_sets_gives_both(open_page, planted):
    page = open_page(planted, viewport=DESK)
    buttons = page.locator("main figure button.wb-csv")
    assert buttons.all_inner_texts() == ["Data (CSV) 1", "Data (CSV) 2"]
    heads = []
    for number in range(2):
        with page.expect_download() as waiting:
            buttons.nth(number).click()
        assert waiting.value.suggested_filename == f"chart-2-{number + 1}.csv"
        heads.append(Path(waiting.value.path()).read_text(encoding="utf-8-sig").splitlines()[0])
    assert sorted(heads) == ["date,order_count", "level"]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_heading_shows_its_definition_to_pointer_and_keyboard(open_page, planted, script):
    page = open_page(planted, viewport=DESK, script=script)
    heading = page.locator('th a.wb-ref[href="#def-conversion_rate"]')
    tip = page.locator('th a.wb-ref[href="#def-conversion_rate"] + .wb-tip')
    assert not tip.is_visible()
    heading.hover()
    assert tip.is_visible()
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= DESK["width"]
    assert 0 <= box["y"] <= DESK["height"] - box["height"]
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    page.locator("th a.wb-ref").first.focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if heading.evaluate("one => one === document.activeElement"):
            break
    assert tip.is_visible()
    if script:
        page.keyboard.press("Escape")
        assert not tip.is_visible()


def test_a_tap_on_a_heading_leads_to_its_definition(open_page, planted):
    page = open_page(planted, viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator('th a.wb-ref[href="#def-order_count"]').first.tap()
    assert page.locator("#def-order_count").is_visible()
    assert page.url.endswith("#def-order_count")
    assert page.locator(".wb-tip").first.is_hidden()


def test_on_paper_the_pictures_are_light_whatever_the_screen_is(open_page, planted):
    page = open_page(planted, viewport=DESK, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".wb-live-view").first.is_hidden()
    label = page.locator("main .wb-still .role-axis-label text").first
    assert label.is_visible()
    assert label.evaluate("one => getComputedStyle(one).fill") == "rgb(92, 101, 113)"
    for hidden in (".wb-data", ".wb-related", ".wb-contents"):
        assert all(one.is_hidden() for one in page.locator(hidden).all()), hidden


def test_on_paper_a_folded_table_says_where_the_rest_of_it_is(open_page, english):
    page = open_page(english.report, viewport=DESK)
    folded = page.locator("details.wb-more > summary")
    on_screen = folded.all_inner_texts()
    assert on_screen
    assert all(one.startswith("Show ") for one in on_screen)
    page.emulate_media(media="print")
    assert all(one.endswith(" more rows are in the file of this table.") for one in folded.all_inner_texts())


AXE = {"resultTypes": ["violations"]}


def serious(page) -> list[str]:
    """What axe-core finds that keeps people out."""
    axe = pytest.importorskip("axe_playwright_python")
    page.evaluate((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("options => axe.run(document, options)", AXE)
    assert len(found["passes"]) > 20
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("lang", ["english", "chinese"])
def test_nobody_is_kept_out_of_a_report(open_page, request, lang, scheme):
    page = open_page(request.getfixturevalue(lang).report, viewport=DESK, color_scheme=scheme)
    assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out_of_an_annotated_report_or_of_the_index(open_page, planted, batch, scheme):
    assert serious(open_page(planted, viewport=PHONE, color_scheme=scheme)) == []
    index = open_page(batch.out / "index.html", script=False, viewport=DESK, color_scheme=scheme)
    index.close()
    copy = planted.with_name("index.html")
    copy.write_text(
        (batch.out / "index.html").read_text(encoding="utf-8").replace("<html ", '<html data-wb-ready="1" '),
        encoding="utf-8",
    )
    assert serious(open_page(copy, viewport=DESK, color_scheme=scheme)) == []


def test_the_first_picture_shows_within_a_second(open_page, english):
    shown = []
    for _ in range(3):  # the machine may be busy with other tests
        page = open_page(english.report, viewport=DESK)
        picture = "document.querySelector('.wb-first .wb-still svg') !== null"
        assert page.evaluate(picture), "it is in the page, so it shows with the first paint"
        shown.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(shown) < 1000


@pytest.mark.parametrize("timezone", ["America/Los_Angeles", "Asia/Shanghai", "Pacific/Auckland"])
def test_a_day_is_the_same_day_wherever_the_reader_is(open_page, tmp_path, timezone):
    """The point of a day, the mark of that day and its name on the axis stand above each other."""
    days = pd.DataFrame({"date": [f"2026-03-{day:02}" for day in range(1, 12)], "n": range(11)})
    axis = alt.Axis(format="%m-%d", values=[{"year": 2026, "month": 3, "date": 6}])
    chart = alt.Chart(days).mark_point(size=40).encode(x=alt.X("date:T", axis=axis), y="n:Q")
    output = nbformat.v4.new_output("display_data", spec_of(chart))
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])
    path, sixth = tmp_path / "report.html", (Annotation(date(2026, 3, 6), date(2026, 3, 6), "sale"),)
    path.write_text(make_page(node, "en", "T", {}, annotations=sixth), encoding="utf-8")
    page = open_page(path, viewport=DESK, timezone_id=timezone)
    middle = "one => { const box = one.getBoundingClientRect(); return box.left + box.width / 2; }"
    live = page.locator(".wb-live-view")
    places = [
        live.locator(".mark-symbol.role-mark path").nth(5).evaluate(middle),
        live.locator(".mark-rule.role-mark line").first.evaluate(middle),
        live.get_by_text("03-06").evaluate(middle),
    ]
    assert max(places) - min(places) < 1.5, places
