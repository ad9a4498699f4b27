"""Charts in notebooks: drawn live in JupyterLab, handed over as a description when a report is made."""

import math
import os
from typing import Any

from workbench.report.theme import chart_config

CHART_MIME = "application/vnd.workbench.chart+json"
LIVE_WIDTH = 640


def is_report() -> bool:
    """Whether this notebook runs for a report (the runner says so in ``WORKBENCH_MODE``)."""
    return os.environ.get("WORKBENCH_MODE") == "report"


def _hand_over(spec: dict[str, object], **_: object) -> dict[str, object]:
    return {CHART_MIME: finite(spec), "text/plain": "<chart>"}


def finite(content: Any) -> Any:
    """The same nested content with NaN and infinities as None: JSON has no words for them."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _live_theme() -> Any:
    return {"config": {**chart_config("light"), "background": "transparent"}}  # Altair's check refuses None


def _with_a_width(spec: dict[str, Any]) -> dict[str, Any]:
    """The outputs of JupyterLab have no width of their own that a chart could take; it would be drawn with none."""
    return {**spec, "width": LIVE_WIDTH} if spec.get("width") == "container" else spec


def enable_charts() -> None:
    """Choose how Altair shows charts: live and offline in JupyterLab, or handed over to the report.

    JupyterLab's own Vega is older than Altair's, so live charts bring their library along; in a report that
    would repeat it for every chart, so there the specification alone is kept and the page draws it.
    """
    import altair as alt

    if is_report():
        alt.renderers.register("workbench", _hand_over)
        alt.renderers.enable("workbench")
        alt.theme.enable("none")
    else:
        alt.theme.register("workbench", enable=True)(_live_theme)
        alt.renderers.enable("jupyter", offline=True)
        draw: Any = alt.renderers.get()
        alt.renderers.register("workbench-live", lambda spec, **options: draw(_with_a_width(spec), **options))
        alt.renderers.enable("workbench-live")
