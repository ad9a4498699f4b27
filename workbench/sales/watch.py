"""The alerts of sales, as whoever watches them needs them."""

from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd

from workbench.analysis import Alert, Cell, Watch
from workbench.language import Language
from workbench.sales.findings import alert_text
from workbench.sales.spans import Span

CURRENT_DAYS = 7
"""An alert that ends in so many last days of the period is news; earlier ones are history."""
_DAYS = {"day": 1, "week": 7}


def sales_watch(tables: Mapping[str, pd.DataFrame], now: Span | None, lang: Language) -> Watch:
    """Alerts of the period, most money first.

    Parameters
    ----------
    tables
        ``sales_alerts`` and ``sales_watched``.
    now
        The period; None where there is none, and nothing was watched.
    lang
        Language of the sentences.
    """
    rows = tables["sales_alerts"].to_dict("records")
    rang = {_key(row) for row in rows}
    return Watch(
        alerts=tuple(_alert(row, rang, now, lang) for row in rows if now is not None),
        is_judged=bool(tables["sales_watched"]["reason"].isna().any()),
    )


def _key(row: dict) -> tuple[str, str, str | None, str]:
    segment = row["segment"] if isinstance(row["segment"], str) else None
    return row["grain"], row["metric"], segment, row["start_date"]


def _alert(row: dict, rang: set, now: Span, lang: Language) -> Alert:
    grain, metric, segment, start_date = _key(row)
    since = date.fromisoformat(start_date)
    while (grain, metric, segment, (before := since - timedelta(days=_DAYS[grain])).isoformat()) in rang:
        since = before
    return Alert(
        name="_".join(one for one in (grain, metric, segment) if one),
        text=alert_text(row, lang),
        cell=Cell("sales_alerts", {"rank": int(row["rank"])}, "value"),
        value=float(row["value"]),
        expected_value=float(row["expected_value"]),
        amount=float(row["amount"]),
        start_date=start_date,
        end_date=str(row["end_date"]),
        since_date=since.isoformat(),
        is_current=date.fromisoformat(str(row["end_date"])) > now.end - timedelta(days=CURRENT_DAYS),
    )
