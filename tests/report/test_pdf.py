"""A printed report: light, whole, selectable, and without a word of where it was printed."""

import re
import shutil
import unicodedata
import zlib

import nbformat
import pytest

from workbench.report import pdf
from workbench.report.page import make_page
from workbench.report.pdf import print_pdf

needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, pdf.BROWSERS)), reason="no browser to print with (apt-get install chromium)"
)


def streams(content: bytes) -> str:
    """The uncompressed streams of a PDF, joined."""
    found = []
    for part in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
        try:
            found.append(zlib.decompress(part).decode("latin-1"))
        except zlib.error:
            continue
    return "\n".join(found)


def selectable(text: str) -> str:
    """The letters that the fonts of a PDF give to what is drawn; radicals that look alike as the letters they stand for."""
    letters = []
    for block in re.findall(r"beginbfchar(.*?)endbfchar", text, re.DOTALL):
        letters += re.findall(r"<[0-9A-Fa-f]+>\s*<([0-9A-Fa-f]+)>", block)
    for block in re.findall(r"beginbfrange(.*?)endbfrange", text, re.DOTALL):
        for first, last, start in re.findall(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            count = int(last, 16) - int(first, 16) + 1
            letters += [f"{int(start, 16) + number:04x}" for number in range(count)]
    return unicodedata.normalize("NFKC", "".join(bytes.fromhex(one).decode("utf-16-be", "replace") for one in letters))


@needs_browser
@pytest.mark.browser
def test_a_printed_report_can_be_selected_and_is_whole(chinese, tmp_path):
    printed = tmp_path / "report.pdf"
    print_pdf(chinese.report, printed)
    content = printed.read_bytes()
    text = streams(content)
    assert set("直播的会话转化率最高") <= set(selectable(text))
    pages = [tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", content)]
    assert pages
    assert {(round(page[2]), round(page[3])) for page in pages} == {(595, 842)}, "A4"
    assert len(pages) < 12
    assert b"file:" not in content
    assert str(tmp_path).encode() not in content
    assert len(content) < 3_000_000


@needs_browser
@pytest.mark.browser
def test_ways_to_other_reports_are_not_printed_as_places_of_this_machine(tmp_path):
    report, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    comment = "See [the note](https://example.org/note)."
    page = make_page(nbformat.v4.new_notebook(), "en", "T", {}, comment=comment, related=[("sales", "Sales")])
    report.write_text(page, encoding="utf-8")
    print_pdf(report, printed)
    content = printed.read_bytes()
    assert b"https://example.org/note" in content, "links stand in the file as they are"
    assert b"index.html" not in content
    assert tmp_path.name.encode() not in content


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize("lang", ["english", "chinese"])
def test_nothing_is_wider_than_the_paper(open_page, request, lang):
    width = round((210 - 28) / 25.4 * 96)
    page = open_page(request.getfixturevalue(lang).report, viewport={"width": width, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = """width => [...document.querySelectorAll('figure .wb-still svg, table.wb-table')]
        .map(one => one.getBoundingClientRect()).filter(box => box.right > width + 1).length"""
    assert page.evaluate(wide, width) == 0


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ("no-such-browser",))
    with pytest.raises(pdf.ParameterError, match=r"no browser to print with\. Install Chromium"):
        pdf.find_browser()
