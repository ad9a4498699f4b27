"""What a run adds to its page: the analyst's comment, the way to reports beside it, definitions at the headings."""

import re

import fake
import nbformat
import pytest

from workbench.report.block import link, without_links
from workbench.report.page import make_page
from workbench.report.show import show_definitions, show_table

EVIL = '<img src="https://evil.example/x.png"><script src="https://evil.example/x.js"></script>'


def output(block):
    data = {"text/html": block.html, "text/plain": block.text}
    return nbformat.v4.new_output("display_data", data, metadata={"workbench": block.kind})


def page(*cells, lang="en", **asked):
    given = {"title": "Title", "facts": {}} | asked
    return make_page(nbformat.v4.new_notebook(cells=list(cells)), lang, given.pop("title"), given.pop("facts"), **given)


def shown(*blocks):
    return nbformat.v4.new_code_cell("", outputs=[output(one) for one in blocks])


def words(html):
    return html.split("</style>")[1].split("<script>")[0]


def test_the_comment_stands_at_the_top_and_is_marked_as_one():
    html = words(page(comment="**Read** this.\n\n# Big\n\n- one\n- two"))
    aside = re.search(r"<h1>Title</h1>\s*<aside class=.wb-comment.*?</aside>", html, re.DOTALL)
    assert aside
    assert "The analyst&#39;s comment" in aside[0]
    assert "<strong>Read</strong>" in aside[0]
    assert '<p class="wb-lead">Big</p>' in aside[0]
    assert "<li>one</li>" in aside[0]
    assert "分析师的话" in words(page(comment="x", lang="zh"))
    assert "<aside" not in words(page())


@pytest.mark.parametrize(
    "markdown",
    [
        EVIL,
        f"**{EVIL}**",
        "![x](https://evil.example/x.png)",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](file:///etc/passwd)",
        "[x](JaVaScRiPt:alert(1))",
        "[x][1]\n\n[1]: vbscript:x",
        "<a href='https://evil.example' onclick='alert(1)'>x</a>",
        "![x](data:image/svg+xml;base64,PHN2Zz4=)",
        "[![x](https://evil.example/x.png)](https://evil.example)",
    ],
)
def test_a_comment_brings_no_code_and_asks_the_network_for_nothing(markdown):
    html = words(page(nbformat.v4.new_markdown_cell(markdown), comment=markdown))
    assert not re.search(r"<(img|script|iframe|object|link)\b", html)
    links = re.findall(r"<[^>]*\shref=[\"']([^\"']*)", html)
    assert all(one.startswith(("https://evil.example", "#")) for one in links), links
    assert not re.search(r"<[^>]*\son\w+=", html)


def test_links_of_a_comment_lead_to_pages_and_tell_nothing():
    html = words(page(comment="[note](https://example.org/a?b=1&c=2) and [mail](mailto:x@example.org)"))
    assert '<a href="https://example.org/a?b=1&amp;c=2" rel="noopener noreferrer">note</a>' in html
    assert 'href="mailto:x@example.org"' in html


def test_a_title_is_only_text():
    html = page(title=EVIL)
    assert "<title>&lt;img" in html
    assert "<h1>&lt;img" in html


def test_reports_beside_it_are_reached_through_the_index():
    html = words(page(related=[("slots north", "Which slot & why?"), ("sales", "Sales")]))
    nav = re.search(r"<nav class=.wb-related.*?</nav>", html)[0]
    assert '<a href="../index.html">All reports</a> · Same days: <a' in nav
    assert '<a href="../index.html#slots%20north">Which slot &amp; why?</a>' in nav
    assert '<a href="../index.html">All reports</a></nav>' in words(page(related=[]))
    assert "wb-related" not in words(page())


def test_a_heading_shows_its_definition_without_leaving_the_table():
    analysis = fake.analyse("en")
    html = words(page(shown(show_table(analysis, "channel_funnel")), shown(show_definitions(analysis))))
    found = re.search(
        r'<a class="wb-ref" href="#def-conversion_rate">[^<]+</a><span class="wb-tip" role="tooltip">(.*?)</span>', html
    )
    assert found
    assert "<b>Formula</b>" in found[1]
    definition = re.search(r'<dt id="def-conversion_rate">.*?<b>Formula</b> ([^<]+)', html)[1]
    assert definition in found[1]


def test_without_a_place_to_lead_to_there_is_no_definition_to_show():
    assert without_links(link("def-a", "A", "<b>x</b> y") + " z", set()) == "A z"
    html = words(page(shown(show_table(fake.analyse("en"), "channel_funnel"))))
    assert "wb-tip" not in html.replace("</style>", "")
