"""The reports in Debian's Chromium: offline, on a desk and a phone, in both languages, dark, without JavaScript."""

from pathlib import Path

import pytest

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
    label = "document.querySelector('.wb-view .role-axis-label text').getAttribute('fill')"
    assert page.evaluate(label) == "#a3aab3"
    page.emulate_media(color_scheme="light")
    page.locator('.wb-view .role-axis-label text[fill="#5c6571"]').first.wait_for(state="attached")


def test_a_chart_gives_its_data_as_csv(open_page, english):
    page = open_page(english.report, viewport=DESK)
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
    assert page.evaluate(dead) == 1  # the harmful link of the notebook's text, made harmless


def test_the_index_fits_a_phone_and_opens_a_report(open_page, batch):
    page = open_page(batch.out / "index.html", script=False, viewport=PHONE)
    assert page.locator("article").count() == 4
    assert page.locator('a[href="channels/report.html"]').count() == 2
