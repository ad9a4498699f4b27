"""A run that was asked for, checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError
from workbench.language import Language
from workbench.report import folder
from workbench.report.annotations import load_annotations
from workbench.report.dates import absolute_dates
from workbench.report.notebook import find_notebook, load_notebook, parameters_of, title_of
from workbench.report.parameters import check_parameters
from workbench.source.address import why_unreadable


@dataclass(frozen=True)
class Request:
    """A run that has passed its checks and may start.

    Attributes
    ----------
    name
        Name of the run and of its folder.
    notebook
        Path of the notebook.
    title
        Its heading in the language of the run.
    source, mapping
        Path or URL of the data, and path of their mapping.
    parameters
        All parameters of the notebook, defaults filled in, days told from today written as days.
    lang
        Language of the report.
    annotations
        CSV file of days to draw on charts over time; "" for none.
    comment
        What the analyst says at the top of the report; "" for nothing.
    related
        Name and title of runs beside it, to which the report leads by the index of their batch; None for a run on its own.
    mask_below
        Numbers of fewer people are not shown; 0: every number is.
    """

    name: str
    notebook: Path
    title: str
    source: str
    mapping: str | None
    parameters: Mapping[str, object]
    lang: Language
    annotations: str = ""
    comment: str = ""
    related: tuple[tuple[str, str], ...] | None = None
    mask_below: int = 0

    def node(self) -> Any:
        """The notebook, read anew."""
        return load_notebook(self.notebook)


def prepare_run(
    notebook: Path | str,
    source: str | Path,
    *,
    parameters: Mapping[str, object],
    mapping: str | Path | None = None,
    lang: Language | None = None,
    name: str | None = None,
    period: str | None = None,
    as_of: date | None = None,
    annotations: str | None = None,
    comment: str = "",
    mask_below: int = 0,
) -> Request:
    """Check everything about a run that can be known before it starts.

    The language is the one given, else the parameter ``lang``, else the notebook's default, else English. Days may be told
    from ``as_of``, as ``last_week``; see ``workbench.period.parse_span``.

    Raises
    ------
    ParameterError
        If the notebook, a parameter, the name, the URL of the source, the annotations or the least size of groups are wrong.
    """
    if mask_below < 0:
        raise ParameterError(
            f"mask_below is {mask_below}; it must be a number of people, such as 10, or 0 to show all."
        )
    if said := why_unreadable(str(source)):
        raise ParameterError(f"source: {said}")
    path = find_notebook(notebook)
    node = load_notebook(path)
    name = path.stem if name is None else name
    folder.check_run_name(name)
    specs = parameters_of(node, path.stem)
    has_lang = any(spec.name == "lang" for spec in specs)
    given = {**parameters, **({"lang": lang} if lang and has_lang else {})}
    values = check_parameters(specs, absolute_dates(specs, given, as_of, period), path.stem)
    chosen: Language = "zh" if (values.get("lang") or lang) == "zh" else "en"
    load_annotations(annotations or "")
    return Request(
        name=name,
        notebook=path,
        title=title_of(node, chosen) or name,
        source=str(source),
        mapping=str(mapping) if mapping else None,
        parameters=values,
        lang=chosen,
        annotations=annotations or "",
        comment=comment.strip(),
        mask_below=mask_below,
    )
