"""Charts of a report: a still picture for every reader, and what the page needs to draw them live."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from html import escape
from typing import Any, Literal

from workbench.language import Language, say
from workbench.report.annotations import Annotation
from workbench.report.theme import chart_config, merge_config
from workbench.report.timeline import Drawn, annotate, read_days_as_local

SECTION_SIZE = (760, None)
FIRST_SCREEN_SIZE = (480, 190)
_LOCALES: dict[Language, Literal["en-US", "zh-CN"]] = {"en": "en-US", "zh": "zh-CN"}
_TOLD = re.compile(r' (?:role|aria-[a-z]+)="[^"]*"')
_COMPOSED = ("hconcat", "vconcat", "concat", "facet", "repeat", "spec")
_IDS = re.compile(r'(id="|href="#|url\(#)')


class Figures:
    """Collects the charts of one page; charts on the same data share them, those over time carry the annotations."""

    def __init__(self, lang: Language, annotations: Sequence[Annotation] = ()) -> None:
        self.lang = lang
        self.annotations = annotations
        self.specs: list[dict[str, Any]] = []
        self.datasets: dict[str, Any] = {}

    def add(self, spec: dict[str, Any], *, on_first_screen: bool = False) -> str:
        """Take a Vega-Lite specification and return its figure with a still picture.

        The title becomes HTML above the chart, where it wraps on a phone; annotations that are drawn stand below it in
        words.

        Raises
        ------
        ValueError
            If Vega cannot draw it.
        """
        spec = deepcopy(spec)
        title, subtitle = _take_title(spec)
        words = spec.setdefault(
            "description", ". ".join(filter(None, (title, subtitle))) or say(self.lang, "Chart", "图表")
        )
        _fit(spec, *(FIRST_SCREEN_SIZE if on_first_screen else SECTION_SIZE))
        read_days_as_local(spec, spec.get("datasets", {}))
        drawn = annotate(spec, spec.get("datasets", {}), self.annotations)
        number = len(self.specs)
        try:
            still = _still(spec, number, self.lang)
        except ValueError as error:
            reason = " ".join(str(error).split("\n    at ")[0].split())
            raise ValueError(f'the chart "{words}" cannot be drawn: {reason}') from None
        self.datasets.update(spec.pop("datasets", {}))
        self.specs.append(spec)
        caption = f"<b>{escape(title)}</b>" if title else ""
        caption += f" <span>{escape(subtitle)}</span>" if subtitle else ""
        head = f"<figcaption>{caption}</figcaption>" if caption else ""
        label = escape(str(words))
        return (
            f'<figure class="wb-figure" data-chart="{number}" aria-label="{label}">{head}'
            f'<div class="wb-view"><div class="wb-still">{still}</div></div>{self._told(drawn)}</figure>'
        )

    def _told(self, drawn: Drawn) -> str:
        """The annotations of a chart in words: for those who hear it, and where it shows numbers, for all."""
        if not drawn.annotations:
            return ""
        items = "".join(
            f"<li><span>{escape(one.days)}</span> <b>{escape(one.label)}</b></li>" for one in drawn.annotations
        )
        label = say(self.lang, "Marked days", "标注的日期")
        unseen = "" if drawn.is_numbered else " wb-unseen"
        return f'<ol class="wb-marks{unseen}" aria-label="{label}">{items}</ol>'

    def payload(self) -> str:
        """Specifications, data and settings for the page, packed."""
        import vl_convert

        locale = _LOCALES[self.lang]
        content = {
            "specs": self.specs,
            "datasets": self.datasets,
            "config": {shade: chart_config(shade) for shade in ("light", "dark")},
            "formatLocale": vl_convert.get_format_locale(locale),
            "timeFormatLocale": vl_convert.get_time_format_locale(locale),
        }
        return pack(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def pack(text: str) -> str:
    """Compress a text so that it can stand in a script tag."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def library() -> str:
    """Vega and its embedder, packed; the same for every page."""
    import vl_convert

    code = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return pack(code)


def is_composed(spec: dict[str, Any]) -> bool:
    """Whether a chart has several views, which Vega cannot fit to a width."""
    is_faceted = any(channel in spec.get("encoding", {}) for channel in ("row", "column", "facet"))
    return is_faceted or any(key in spec for key in _COMPOSED)


def _take_title(spec: dict[str, Any]) -> tuple[str, str]:
    title = spec.pop("title", None)
    if not isinstance(title, dict):
        return _joined(title), ""
    return _joined(title.get("text")), _joined(title.get("subtitle"))


def _joined(text: Any) -> str:
    """Lines of a title as one; between two Chinese characters there is no space."""
    if not isinstance(text, list):
        return str(text or "")
    whole = ""
    for line in map(str, text):
        is_tight = whole and line and ord(whole[-1]) > 0x2E7F and ord(line[0]) > 0x2E7F
        whole += line if is_tight or not whole else f" {line}"
    return whole


_LEAST_HEIGHT = 150


def _fit(spec: dict[str, Any], width: int, highest: int | None) -> None:
    """Let a chart of one view fill its column, and stay low enough for the first screen.

    Bars whose height follows from their number are filled by the page itself: Vega-Lite fits them too, but
    warns of it on the console.
    """
    spec.get("config", {}).pop("view", None)  # Altair's default size
    if is_composed(spec):
        return
    height = spec.get("height")
    if highest is not None:
        # the height is that of the whole, title and axis included: two rows alone need more than two rows' height
        spec["height"] = min(max(height, _LEAST_HEIGHT), highest) if isinstance(height, int | float) else highest
        spec["width"], spec["autosize"] = width, {"type": "fit", "contains": "padding"}
    elif not isinstance(spec.get("width"), dict):
        spec["width"] = width
        if isinstance(height, int | float):
            spec["autosize"] = {"type": "fit-x", "contains": "padding"}
        else:
            spec["usermeta"] = {"fill": True}


def _still(spec: dict[str, Any], number: int, lang: Language) -> str:
    """Draw a chart as SVG, its ids made unique on the page.

    It is told by its title, its numbers by the table and the file beside it: not mark by mark.
    """
    import vl_convert

    plain = deepcopy(spec)
    plain["params"] = [_without_form(param) for param in plain.get("params", [])]
    plain["config"] = merge_config(chart_config("light"), plain.get("config", {}))
    locale = _LOCALES[lang]
    svg = vl_convert.vegalite_to_svg(plain, vl_version="6.4", format_locale=locale, time_format_locale=locale)
    svg = _IDS.sub(rf"\g<1>c{number}-", _TOLD.sub("", svg))
    label = escape(str(spec["description"]))
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _without_form(param: dict[str, Any]) -> dict[str, Any]:
    bind = param.get("bind")
    is_form = isinstance(bind, dict) and ("input" in bind or any(isinstance(one, dict) for one in bind.values()))
    return {key: value for key, value in param.items() if not (is_form and key == "bind")}
