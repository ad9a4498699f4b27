"""How charts look, in light and dark: one place, so that charts themselves carry no style."""

from collections.abc import Mapping
from typing import Any, Literal

Shade = Literal["light", "dark"]
# Browsers take the first. What draws the still pictures does not know it and measures with the next that it has: a small
# one of usual widths, since each text opens its file anew and the Chinese ones have 20 MB.
FONT = 'system-ui, "Liberation Sans", Arial, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif'

INKS: dict[Shade, dict[str, str]] = {
    "light": {"ink": "#1c2127", "soft": "#5c6571", "grid": "#e4e1da", "axis": "#a9a69f"},
    "dark": {"ink": "#e6e4df", "soft": "#a3aab3", "grid": "#32373e", "axis": "#69707a"},
}
# Okabe and Ito's colours, which people with any colour vision tell apart, darkened or lightened for the paper.
PALETTES: dict[Shade, list[str]] = {
    "light": ["#1f6fa5", "#d97a06", "#12876a", "#b3568f", "#6b6f76", "#4aa3d8", "#c44e13", "#8a7a12"],
    "dark": ["#6cb6e6", "#efa63c", "#3fc09b", "#de93c0", "#a7adb6", "#a3d3f2", "#f0845a", "#d8c94e"],
}


def chart_config(shade: Shade) -> dict[str, Any]:
    """Vega-Lite configuration of all charts."""
    ink, palette = INKS[shade], PALETTES[shade]
    words = {"labelColor": ink["soft"], "titleColor": ink["soft"], "titleFontWeight": "normal"}
    sizes = {"labelFontSize": 11, "titleFontSize": 11, "labelLimit": 150}
    return {
        "background": None,
        "font": FONT,
        "padding": 2,
        "view": {"stroke": None},
        "axis": {
            **words,
            **sizes,
            "gridColor": ink["grid"],
            "domainColor": ink["axis"],
            "tickColor": ink["axis"],
            "labelOverlap": True,
            "tickSize": 4,
        },
        "axisQuantitative": {"domain": False, "ticks": False, "tickCount": 5},
        "axisBand": {"grid": False},
        "legend": {**words, **sizes, "orient": "top", "symbolSize": 70, "columnPadding": 12, "offset": 6},
        "header": {**words, **sizes, "labelFontWeight": "bold", "labelColor": ink["ink"]},
        "title": {"color": ink["ink"], "subtitleColor": ink["soft"], "anchor": "start", "fontSize": 13},
        "range": {
            "category": palette,
            "ramp": [ink["grid"], palette[0]],
            "heatmap": [ink["grid"], palette[0]],
            "diverging": [palette[1], ink["grid"], palette[0]],
            "ordinal": [ink["grid"], palette[0]],
        },
        "mark": {"color": palette[0]},
        "text": {"color": ink["ink"], "fontSize": 11},
        "rule": {"color": ink["soft"]},
        "line": {"strokeWidth": 2},
        "point": {"filled": True, "size": 50},
        "bar": {"color": palette[0]},
        "style": {
            "annotation-band": {"color": ink["soft"], "opacity": 0.13},
            "annotation-rule": {"color": ink["soft"], "strokeDash": [3, 2], "strokeWidth": 1},
            "annotation-name": {"color": ink["soft"], "fontSize": 10},
        },
    }


def merge_config(theme: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The theme with what a chart says of its own, part by part."""
    parts = {key: {**theme[key], **value} for key, value in own.items() if isinstance(theme.get(key), dict)}
    return {**theme, **own, **parts}


def recolour(of: str, shade: Shade) -> str:
    """CSS that gives the charts under a selector, drawn in the other shade, the colours of this one."""
    other: Shade = "light" if shade == "dark" else "dark"
    pairs = [*zip(INKS[other].values(), INKS[shade].values(), strict=True)]
    pairs += zip(PALETTES[other], PALETTES[shade], strict=True)
    sides = ("fill", "stroke")
    return "".join(f'{of} [{side}="{old}"]{{{side}:{new}}}' for old, new in pairs for side in sides)
