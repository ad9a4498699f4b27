"""What a notebook shows besides charts: HTML of our own making, with words for where HTML is not shown."""

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from workbench.report.charts import CHART_MIME, enable_charts, finite, is_report

TEMPLATES = Path(__file__).with_name("template")
CHART_PLACE = "<!--wb-chart-->"
_LINK = re.compile(r'<a class="wb-ref" href="#([^"]*)">(.*?)</a>(<span class="wb-tip"[^>]*>.*?</span>)?', re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A piece of a report.

    Attributes
    ----------
    kind
        What it is, such as ``table``; the page treats ``first-screen`` apart.
    html
        Its HTML; every text in it is escaped.
    text
        The same in plain words.
    chart
        An Altair chart that belongs into it, or None.
    """

    kind: str
    html: str
    text: str
    chart: Any = None

    def __repr__(self) -> str:
        """The plain words."""
        return self.text

    def _repr_html_(self) -> str:
        """HTML that looks right without the report's style sheet."""
        html = without_links(self.html, set())
        return f'<style>{live_style()}</style><div class="wb wb-live">{html}</div>'

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if is_report():
            data: dict[str, object] = {"text/html": self.html, "text/plain": self.text}
            if self.chart is not None:
                data[CHART_MIME] = finite(self.chart.to_dict())
            display(data, metadata={"workbench": self.kind}, raw=True)
            return
        display({"text/html": self._repr_html_(), "text/plain": self.text}, raw=True)
        if self.chart is not None:
            enable_charts()
            display(self.chart)


@cache
def live_style() -> str:
    """Style of the blocks inside JupyterLab, in its own colours."""
    return (TEMPLATES / "live.css").read_text(encoding="utf-8") + block_style()


@cache
def block_style() -> str:
    """Style of the blocks, the same in JupyterLab and in reports."""
    return (TEMPLATES / "block.css").read_text(encoding="utf-8")


def link(target: str, html: str, tip: str = "") -> str:
    """A link to another place of the report; `without_links` takes it out where that place is not shown.

    Parameters
    ----------
    target
        Id of the place.
    html
        What the link says.
    tip
        HTML without spans that shows while the link is pointed at or has the focus.
    """
    shown = f'<span class="wb-tip" role="tooltip">{tip}</span>' if tip else ""
    return f'<a class="wb-ref" href="#{escape(target)}">{html}</a>{shown}'


def without_links(html: str, targets: set[str]) -> str:
    """Turn links to places that are not among ``targets`` into plain words."""
    return _LINK.sub(lambda found: found[0] if found[1] in targets else found[2], html)
