"""One HTML file from an executed notebook: opens offline, asks the network for nothing."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

from workbench.language import Language, say
from workbench.report.annotations import Annotation
from workbench.report.block import CHART_PLACE, TEMPLATES, block_style, without_links
from workbench.report.charts import CHART_MIME
from workbench.report.figure import Figures, library
from workbench.report.notebook import cells_in, tags
from workbench.report.theme import recolour

HTML_LANG: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
_SILENT = {"parameters", "injected-parameters", "setup"}
_IMAGES = ("image/png", "image/jpeg")
_HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.DOTALL)
_FIRST_HEADING = re.compile(r"<h1[^>]*>.*?</h1>\s*", re.DOTALL)
_ANY_HEADING = re.compile(r"<h[1-6]>(.*?)</h[1-6]>", re.DOTALL)
_IDS = re.compile(r'\bid="([^"]*)"')


def make_page(
    node: Any,
    lang: Language,
    title: str,
    facts: Mapping[str, str],
    *,
    annotations: Sequence[Annotation] = (),
    comment: str = "",
    related: Sequence[tuple[str, str]] | None = None,
    since: str = "",
) -> str:
    """Build the report of an executed notebook.

    Parameters
    ----------
    node
        The notebook, with outputs.
    lang
        Language of the page; cells written for another one are left out.
    title
        Heading of the page; the notebook's own first heading is left out.
    facts
        What the run was made of, shown at the end of the page.
    annotations
        Days to draw on the charts over time.
    comment
        What the analyst says at the top, Markdown.
    related
        Name and title of reports beside it, to which the index of their batch leads; None where there is no index.
    since
        HTML that follows the first screen: what changed since the report before.

    Raises
    ------
    ValueError
        If a chart cannot be drawn.
    """
    figures = Figures(lang, annotations)
    first_screen, parts = "", []
    for cell in cells_in(node, lang):
        for kind, html in _parts_of(cell, figures):
            if kind == "first-screen" and not first_screen:
                first_screen = html
            else:
                parts.append(html)
    body = _FIRST_HEADING.sub("", _number_headings("\n".join(parts)), count=1)
    targets = set(_IDS.findall(body))
    return fill_template(
        "page.html.j2",
        lang=lang,
        title=title,
        first_screen=without_links(first_screen, targets),
        contents=_HEADING.findall(body),
        body=without_links(body, targets),
        facts=facts,
        since=since,
        comment=_comment(comment) if comment else "",
        related=None if related is None else [(quote(name), said) for name, said in related],
        words=_words(lang),
        library=library() if figures.specs else "",
        payload=figures.payload() if figures.specs else "",
    )


def fill_template(name: str, *, lang: Language, **content: Any) -> str:
    """Fill a page template; every text that is not ours is escaped by it."""
    return (
        _templates()
        .get_template(name)
        .render(
            html_lang=HTML_LANG[lang],
            style=page_style(),
            script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
            **content,
        )
    )


@cache
def page_style() -> str:
    """Style of reports and of the index."""
    own = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    dark = f"@media screen and (prefers-color-scheme:dark){{{recolour('.wb-still', 'dark')}}}"
    return f"{block_style()}{own}{dark}"


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _words(lang: Language) -> dict[str, str]:
    return {
        "contents": say(lang, "Contents", "目录"),
        "facts": say(lang, "How this report was made", "本报告如何生成"),
        "data": say(lang, "Data (CSV)", "数据 (CSV)"),
        "scroll": say(lang, "Scroll for more columns →", "左右滑动查看更多列 →"),
        "comment": say(lang, "The analyst's comment", "分析师的话"),
        "others": say(lang, "Other reports", "其他报告"),
        "overview": say(lang, "All reports", "全部报告"),
        "related": say(lang, "Same days: ", "同期："),
    }


def _parts_of(cell: Any, figures: Figures) -> list[tuple[str, str]]:
    if cell.cell_type == "markdown":
        return [("text", f'<div class="wb-text">{_markdown(cell.source)}</div>')]
    if cell.cell_type != "code" or tags(cell) & _SILENT:
        return []
    return [part for output in cell.outputs if (part := _part_of(output, figures))]


def _part_of(output: Any, figures: Figures) -> tuple[str, str] | None:
    """Show an output: HTML of our own blocks as it is, charts as figures, the rest as plain text."""
    if output.output_type == "stream":
        return ("printed", f"<pre>{escape(output.text)}</pre>") if output.name == "stdout" else None
    if output.output_type not in ("display_data", "execute_result"):
        return None
    data, kind = output.data, output.get("metadata", {}).get("workbench")
    if kind:
        return str(kind), _with_chart(data, figures, str(kind))
    if CHART_MIME in data:
        return "chart", figures.add(data[CHART_MIME])
    for mime in _IMAGES:
        if mime in data:
            return "image", f'<img alt="" src="data:{mime};base64,{escape("".join(data[mime].split()))}">'
    return ("printed", f"<pre>{escape(data['text/plain'])}</pre>") if "text/plain" in data else None


def _with_chart(data: Any, figures: Figures, kind: str) -> str:
    html = str(data["text/html"])
    if CHART_MIME not in data:
        return html
    figure = figures.add(data[CHART_MIME], on_first_screen=kind == "first-screen")
    return html.replace(CHART_PLACE, figure)


@cache
def _renderer() -> Any:
    import mistune

    class Renderer(mistune.HTMLRenderer):
        """HTML that cannot harm: links lead to pages or within this one, pictures are part of the text."""

        def link(self, text: str, url: str, title: str | None = None) -> str:
            """A link to a page, which is not told where one came from; of other kinds the words."""
            if url.startswith("#"):
                return f'<a href="{escape(url)}">{text}</a>'
            if urlsplit(url).scheme.lower() not in ("http", "https", "mailto"):
                return text
            return f'<a href="{escape(url)}" rel="noopener noreferrer">{text}</a>'

        def image(self, text: str, url: str, title: str | None = None) -> str:
            """A picture that is in the text itself; of others, which would ask the network, the words."""
            if not url.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")):
                return text
            return str(super().image(text, url, title))

    return mistune.create_markdown(renderer=Renderer(escape=True), plugins=["table", "strikethrough"])


def _markdown(source: str) -> str:
    return str(_renderer()(source))


def _comment(source: str) -> str:
    """The comment; its headings are not those of the report."""
    return _ANY_HEADING.sub(r'<p class="wb-lead">\1</p>', _markdown(source))


def _number_headings(html: str) -> str:
    count = 0

    def number(_: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f'<h2 id="section-{count}">'

    return re.sub(r"<h2>", number, html)


def facts_of_run(
    *,
    notebook: str,
    source: str,
    parameters: Mapping[str, object],
    version: str | None,
    commit: str | None,
    lang: Language,
) -> dict[str, str]:
    """Words for the end of the page: from which notebook, data, parameters and code it comes."""
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in parameters.items()}
    facts = {
        say(lang, "Notebook", "笔记本"): notebook,
        say(lang, "Data", "数据"): source,
        say(lang, "Program", "程序"): " ".join(filter(None, ("workbench", version, commit and commit[:10]))),
    }
    return facts | shown
