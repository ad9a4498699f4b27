"""What a notebook shows of an analysis: the first screen, tables, findings, data, definitions, limits."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

import pandas as pd

from workbench.analysis import Action, Analysis
from workbench.errors import ParameterError, nearest
from workbench.glossary import Metric, metric
from workbench.language import Language, Setting, format_amount, format_count, format_interval, say
from workbench.period import zone
from workbench.report.block import CHART_PLACE, Block, link
from workbench.report.shop import OpenShop
from workbench.report.table import format_column, html_table, reads_as_number
from workbench.report.words import (
    column_heading,
    column_label,
    column_unit,
    column_units,
    column_words,
    columns_shown,
    metrics_of,
    told_codes,
)

MOST_ROWS = 200
"""A report shows so many rows of a table; all are in the CSV file beside it. A mail attachment must stay small."""
_RANGE = re.compile(r"\d+-\d")
EVIDENCE = {
    "randomized": ("randomized test", "随机实验"),
    "observed": ("observed, not tested", "观察所得，未经实验"),
    "descriptive": ("description only", "仅为描述"),
}


def first_screen(analysis: Analysis, chart: Any = None) -> Block:
    """Show the answer before anything else: verdict, short table, chart, and what to do.

    Parameters
    ----------
    analysis
        The finished analysis.
    chart
        An Altair chart of its tables, drawn at most 200 px high; None for none.
    """
    lang, headline = analysis.lang, analysis.headline
    frame = headline.table
    columns = [[str(value) for value in frame[name]] for name in frame.columns]
    numeric = [number > 0 and reads_as_number(column) for number, column in enumerate(columns)]
    table = html_table([str(name) for name in frame.columns], columns, numeric, caption=headline.verdict, lang=lang)
    flags = "".join(
        f'<p class="wb-flag{" wb-setting" if isinstance(flag, Setting) else ""}" role="note">{escape(flag)}</p>'
        for flag in analysis.flags
    )
    html = (
        f'<p class="wb-meta">{_reach(analysis)}</p>{flags}<p class="wb-verdict">{escape(headline.verdict)}</p>'
        f'<div class="wb-grid"><div class="wb-short">{table}</div>{CHART_PLACE if chart is not None else ""}</div>'
        f"{_actions(headline.actions, lang)}"
    )
    lines = [headline.verdict, *analysis.flags, frame.to_string(index=False)]
    lines += [f"- {action.text}" for action in headline.actions]
    return Block("first-screen", html, "\n".join(lines), _of_what_is_shown(chart, analysis))


def show_table(analysis: Analysis, name: str, *, empty: str | None = None) -> Block:
    """Show the first rows of a table of the analysis, its columns named and written as the glossary says.

    Parameters
    ----------
    analysis
        The finished analysis.
    name
        Name of the table.
    empty
        What to say where it has no rows; None for what the glossary says of the table.

    Raises
    ------
    ParameterError
        If the analysis has no such table.
    """
    if name not in analysis.tables:
        hint = nearest(name, analysis.tables, ".")
        raise ParameterError(f'show_table: there is no table "{name}"{hint} Allowed: {", ".join(analysis.tables)}.')
    frame, lang = analysis.tables[name], analysis.lang
    if frame.empty:
        why = empty or _why_empty(name, lang)
        return Block("table", f'<div class="wb-block" id="table-{escape(name)}"><p>{escape(why)}</p></div>', why)
    html = _frame(frame.head(MOST_ROWS), name, lang)
    left = len(frame) - MOST_ROWS
    if left > 0:
        rest = say(
            lang,
            f"{format_count(left)} more rows are in tables/{name}.csv.",
            f"其余 {format_count(left)} 行见 tables/{name}.csv。",
        )
        html += f'<p class="wb-source">{escape(rest)}</p>'
    return Block("table", f'<div class="wb-block" id="table-{escape(name)}">{html}</div>', frame.to_string(index=False))


def _why_empty(table: str, lang: Language) -> str:
    known, words = metric(table), column_label(table, lang)
    none = say(lang, f"{words}: the data give no row for these days.", f"{words}：这些日期的数据得不出任何一行。")
    return (known.empty(lang) if known else "") or none


def show_chart(analysis: Analysis, chart: Any) -> Any:
    """Show a chart, or say that the data give none (charts of nothing are None)."""
    if chart is not None:
        return _of_what_is_shown(chart, analysis)
    none = say(
        analysis.lang, "Nothing to draw: the data of this period give no such picture.", "本期数据不足以绘制此图。"
    )
    return Block("note", f"<p>{none}</p>", none)


def _of_what_is_shown(chart: Any, analysis: Analysis) -> Any:
    """A chart that says below its title that small groups are left out of it, and of what its title counts."""
    if chart is None or not analysis.mask_below:
        return chart
    given: Any = getattr(chart, "title", None)
    title = given.to_dict() if hasattr(given, "to_dict") else {"text": given if isinstance(given, str | list) else ""}
    lines = title.get("subtitle") or []
    left_out = say(
        analysis.lang,
        f"Groups of fewer than {analysis.mask_below} users are left out, also where the title counts.",
        f"少于 {analysis.mask_below} 名用户的群体未计入，标题中的计数亦然。",
    )
    told = [*(lines if isinstance(lines, list) else [lines])]
    if told and str(told[-1])[-1:] not in ".。":
        told[-1] = f"{told[-1]}{say(analysis.lang, '.', '。')}"
    below = [*told, left_out]
    return chart.properties(title={**title, "subtitle": below})


def show_findings(analysis: Analysis) -> Block:
    """Show the findings, each with a way to the table it rests on."""
    lang = analysis.lang
    items = "".join(
        f"<li>{escape(finding.text)} "
        f'<small class="wb-source">{link(f"table-{finding.cell.table}", _cell_words(finding.cell, lang))}</small></li>'
        for finding in analysis.findings
    )
    none = say(lang, "Nothing stands out in these data.", "这些数据中没有突出的发现。")
    html = f'<ol class="wb-findings">{items}</ol>' if items else f"<p>{none}</p>"
    return Block("findings", html, "\n".join(finding.text for finding in analysis.findings) or none)


def show_data(analysis: Analysis, shop: OpenShop) -> Block:
    """Show what the report was made from: tables with rows and reach, and what the check let pass."""
    lang, contents = analysis.lang, shop.contents()
    days = [_local_days(contents[name], analysis.period.timezone) for name in ("first_at", "last_at")]
    columns = [
        [str(table) for table in contents["table"]],
        [format_count(float(count)) for count in contents["row_count"]],
        *days,
    ]
    headers = say(lang, "Table|Rows|First day|Last day", "表|行数|首日|末日").split("|")
    caption = say(lang, f"Data of {shop.name}", f"{shop.name} 的数据")
    table = html_table(headers, columns, [False, True, True, True], caption=caption, lang=lang)
    found = [warning.message(lang) for warning in shop.warnings]
    title = say(lang, "What the check let pass", "检查放行的问题")
    none = say(lang, "The check found nothing to warn of.", "检查没有发现需要提醒的问题。")
    notes = f'<p class="wb-lead">{title}</p>{_bullets(found)}' if found else f"<p>{none}</p>"
    source = f'<p class="wb-lead">{escape(say(lang, f"Source: {shop.name}", f"数据来源：{shop.name}"))}</p>'
    text = f"{shop.name}\n{contents.to_string(index=False)}\n" + "\n".join(found or [none])
    return Block("data", f"{source}{table}{notes}", text)


def show_definitions(analysis: Analysis) -> Block:
    """Show what each metric in the tables means, once."""
    lang = analysis.lang
    items, lines = [], []
    for one in metrics_of({name: list(table.columns) for name, table in analysis.tables.items()}):
        facts = [*_facts(one, lang), (say(lang, "In the CSV", "CSV 中"), told_codes(one.id, analysis.tables, lang))]
        body = "".join(f"<span><b>{escape(name)}</b> {escape(text)}</span>" for name, text in facts if text)
        items.append(f'<dt id="def-{escape(one.id)}">{escape(one.name(lang))}</dt><dd>{body}</dd>')
        lines.append(f"{one.name(lang)}: {one.formula(lang)}")
    return Block("definitions", f'<dl class="wb-definitions">{"".join(items)}</dl>', "\n".join(lines))


def _facts(known: Metric, lang: Language) -> list[tuple[str, str]]:
    """What the glossary says of a metric, each with its name."""
    return [
        (say(lang, "Formula", "公式"), known.formula(lang)),
        (say(lang, "Window", "窗口"), known.window(lang)),
        (say(lang, "Of", "分母"), known.denominator(lang)),
    ]


def _tip(known: Metric, lang: Language) -> str:
    """The definition of a metric, short."""
    return "<br>".join(f"<b>{escape(name)}</b> {escape(text)}" for name, text in _facts(known, lang) if text)


def show_limits(analysis: Analysis) -> Block:
    """Show assumptions made and what the analysis cannot say."""
    none = say(analysis.lang, "No limits are noted.", "没有记录局限。")
    html = _bullets(analysis.notes) if analysis.notes else f"<p>{none}</p>"
    return Block("limits", html, "\n".join(analysis.notes) or none)


def _reach(analysis: Analysis) -> str:
    period, lang = analysis.period, analysis.lang
    built = datetime.now(UTC).astimezone(zone(period.timezone))
    parts = [
        f"{period.start_date} – {period.last_date} ({period.timezone})",
        say(lang, f"data up to {period.data_last_date}", f"数据截至 {period.data_last_date}"),
        say(lang, f"built {built:%Y-%m-%d %H:%M}", f"生成于 {built:%Y-%m-%d %H:%M}"),
    ]
    return "".join(f"<span>{escape(part)}</span>" for part in parts)


def _actions(actions: Iterable[Action], lang: Language) -> str:
    items = "".join(f"<li>{_action(action, lang)}</li>" for action in actions)
    title = say(lang, "What to do", "建议")
    return f'<p class="wb-lead wb-actions-lead">{title}</p><ol class="wb-actions">{items}</ol>' if items else ""


def _action(action: Action, lang: Language) -> str:
    evidence = say(lang, *EVIDENCE[action.evidence])
    worth = ""
    if action.amount is not None:
        interval = format_interval(action.ci_lower, action.ci_upper, lang, "amount")
        between = f" <span>({interval})</span>" if interval else ""
        worth = f"<strong>{format_amount(action.amount, lang)}</strong>{between} "
    return (
        f'<span class="wb-advice">{escape(action.text)}</span> <span class="wb-worth">{worth}<small>'
        f'{escape(action.basis)}</small> <span class="wb-evidence wb-{action.evidence}">{evidence}</span></span>'
    )


def _frame(frame: pd.DataFrame, table: str, lang: Language) -> str:
    names = columns_shown(frame, table)
    defined = [metric(name, table) for name in names]
    cells = [
        format_column(
            frame[name],
            column_unit(name, table),
            lang,
            column_words(name, lang, table),
            column_units(frame, name, table),
        )
        for name in names
    ]
    numeric = [
        _is_number(frame[name]) or (number > 0 and reads_as_number(texts) and not _holds_days(texts))
        for number, (name, texts) in enumerate(zip(names, cells, strict=True))
    ]
    return html_table(
        [column_heading(name, lang, table) for name in names],
        cells,
        numeric,
        caption=column_label(table, lang),
        lang=lang,
        targets=[f"def-{one.id}" if one else "" for one in defined],
        tips=[_tip(one, lang) if one else "" for one in defined],
    )


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _holds_days(texts: list[str]) -> bool:
    """Whether the texts of a column are days or ranges such as 18-24, which are names."""
    return any(_RANGE.match(text) for text in texts)


def _cell_words(cell: Any, lang: Language) -> str:
    return escape(f"{column_label(cell.table, lang)} · {column_label(cell.column, lang, cell.table)}")


def _bullets(sentences: Iterable[str]) -> str:
    return f'<ul class="wb-notes">{"".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)}</ul>'


def _local_days(instants: pd.Series, timezone: str) -> list[str]:
    local = pd.to_datetime(instants, utc=True).dt.tz_convert(timezone)
    return ["–" if pd.isna(instant) else instant.strftime("%Y-%m-%d") for instant in local]
