"""Days told from today: ``last_week`` becomes a first day and the day after the last one, before anything runs."""

from collections.abc import Mapping, Sequence
from datetime import date

from workbench.errors import ParameterError, nearest
from workbench.period import SPANS, parse_date, parse_span, today
from workbench.report.parameters import ParameterSpec

START, END = DATES = ("start_date", "end_date")


def absolute_dates(
    specs: Sequence[ParameterSpec], given: Mapping[str, object], as_of: date | None, period: str | None = None
) -> dict[str, object]:
    """Write spans among the parameters as days.

    Parameters
    ----------
    specs
        Parameters of the notebook.
    given
        Values given; of those whose name ends in ``_date`` or ``_end`` a span is taken: its first day for names that begin with
        ``start``, the day after its last one for others. Anything else stays as it is.
    as_of
        The local day from which spans are told; None: today in the shop's time zone.
    period
        A span for ``start_date`` and ``end_date`` together.

    Raises
    ------
    ParameterError
        If ``period`` is no span, or stands beside one of the two.
    """
    values = dict(given)
    day = as_of or _today(specs, given)
    if period is not None:
        both = [name for name in (START, END) if values.get(name) is not None]
        if both:
            raise ParameterError(f'"period" and {" and ".join(both)} are both given. Give one of them.')
        values[START], values[END] = (one.isoformat() for one in parse_span(period, "period", day))
    for name, value in values.items():
        if name.endswith(("_date", "_end")) and isinstance(value, str) and _is_span(value, name):
            values[name] = parse_span(value, name, day)[0 if name.startswith("start") else 1].isoformat()
    return values


def _today(specs: Sequence[ParameterSpec], given: Mapping[str, object]) -> date:
    default = next((spec.default for spec in specs if spec.name == "timezone"), "UTC")
    return today(str(given.get("timezone", default)))


def _is_span(value: str, name: str) -> bool:
    """Whether a text is meant as a span; a day is none, and what is neither is told as a wrong day."""
    try:
        parse_date(value, name)
    except ParameterError:
        is_whole = value[:4].isdigit() and len(value) in (len("2026"), len("2026-11"), len("2026-W46"))
        return is_whole or value.startswith("last") or bool(nearest(value, SPANS))
    return False
