"""What changed since the report before, so that what chance moves is not painted as news."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from html import escape
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from workbench.language import Language, format_amount, format_count, format_hours, format_rate, say, with_minus
from workbench.report.dates import DATES
from workbench.report.manifest import MANIFEST, read_json, write_json

PREVIOUS = "previous.json"
LEVEL = 0.95
MOST_TOLD = 3
Judged = Literal["news", "chance", "exact", "overlap", "length", "follow_up"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_NUMBERS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"]


@dataclass(frozen=True)
class Line:
    """One figure now and before.

    Attributes
    ----------
    name, label, unit, better
        As in ``workbench.analysis.Figure``.
    now, before
        The number in each report.
    change
        Their difference in the figure's unit, or, of counts and amounts of the period, the relative change (per day where
        they add up day by day); None where the two cannot be held against each other, or the relative change has no base.
    judged
        ``news`` (beyond chance) or ``chance``; ``exact`` (no interval, so nothing tells what chance does), ``overlap`` (days
        in common), ``length`` (another number of days), ``follow_up`` (followed for another time).
    is_relative
        Whether ``change`` is relative.
    direction
        1 up, −1 down, 0 neither.
    days
        Of a total, over how many days each number adds up; else 1 and 1.
    """

    name: str
    label: str
    unit: str
    better: str
    now: float
    before: float
    change: float | None
    judged: Judged
    is_relative: bool
    direction: int
    days: tuple[int, int] = (1, 1)

    @property
    def is_news(self) -> bool:
        """Whether it moved beyond chance."""
        return self.judged == "news"

    @property
    def digits(self) -> int:
        """Digits of rates: small ones need two, so that what moved is seen to move."""
        return 2 if max(abs(self.now), abs(self.before)) < 0.1 else 1

    @property
    def verdict(self) -> Literal["better", "worse", ""]:
        """Whether news is welcome; "" where neither direction is, or nothing is news."""
        if not self.is_news or not self.better:
            return ""
        return "better" if (self.direction > 0) == (self.better == "up") else "worse"


@dataclass(frozen=True)
class Comparison:
    """A report against the one before.

    Attributes
    ----------
    lang
        Language of its words.
    title
        With the days of the report before: ``Since the last report (16–22 Nov)``.
    sentence
        What was found, such as ``Nothing moved beyond chance.``
    lines
        The figures that both have, as the report gives them; empty where the two are not comparable.
    notes
        How to read them.
    """

    lang: Language
    title: str
    sentence: str
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()


# -- what is kept of a report -------------------------------------------------------------------------------


def record_of(findings: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a later report needs of this one; empty where it gives no figures.

    Parameters
    ----------
    findings
        Content of its ``findings.json``.
    manifest
        Of its manifest: notebook, parameters and source as they may be shown, mask_below, and finished_at if it has finished.
    """
    period, figures = findings.get("period"), findings.get("figures")
    if not period or not figures:
        return {}
    kept = ("name", "label", "value", "ci_lower", "ci_upper", "unit", "better", "kind", "days")
    return {
        "notebook": manifest.get("notebook"),
        "source": manifest.get("source"),
        "source_key": manifest.get("source_key"),
        "parameters": json.loads(json.dumps(manifest.get("parameters", {}), default=str)),
        "mask_below": manifest.get("mask_below") or 0,
        "finished_at": manifest.get("finished_at"),
        "lang": findings.get("lang", "en"),
        "period": dict(period),
        "figures": [{name: one.get(name) for name in kept} for one in figures],
    }


def previous_of(last: Path, now: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the report before this one, from the folder of the last run of its name.

    A last run of earlier days is the report before. One of the same days was this report made before: what it was held
    against holds for this one too. One of later days, or of days that end alike, is none; nor is one that shows smaller
    groups of people than this one may.
    """
    try:
        found = record_of(read_json(last / "findings.json"), read_json(last / MANIFEST))
        if not found:
            return {}
        mine, other = ([date.fromisoformat(one["period"][name]) for name in DATES] for one in (now, found))
        if mine == other:
            found = read_json(last / PREVIOUS)
        elif other[1] >= mine[1]:
            return {}
        return found if found and found["mask_below"] >= now["mask_below"] else {}
    except (ValueError, KeyError, TypeError, AttributeError):  # written by another version, or by hand
        return {}


def keep_previous(folder: Path, last: Path, manifest: Mapping[str, Any]) -> Comparison | None:
    """Write ``previous.json`` into the folder of a run, and hold the run against it; None where nothing was before.

    Parameters
    ----------
    folder
        Of the run, with its findings.
    last
        Folder of the last good run of the same name; it need not be there.
    manifest
        See ``record_of``.
    """
    now = record_of(read_json(folder / "findings.json"), manifest)
    before = previous_of(last, now) if now else {}
    if not before:
        return None
    write_json(folder / PREVIOUS, before)
    return compare(now, before)


def comparison_of(folder: Path) -> Comparison | None:
    """The comparison that the report in a folder shows; None where there was no report before."""
    try:
        before = read_json(folder / PREVIOUS)
        now = record_of(read_json(folder / "findings.json"), read_json(folder / MANIFEST)) if before else {}
    except ValueError:
        return None
    return compare(now, before) if now and before else None


# -- comparing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Report:
    """The days of a report that have data, and its figures by name."""

    start: date
    end: date
    data_end: date
    figures: dict[str, Mapping[str, Any]]

    @property
    def day_count(self) -> int:
        return max((self.end - self.start).days, 1)

    @property
    def followed_days(self) -> int:
        return (self.data_end - self.end).days

    def begin(self, figure: Mapping[str, Any]) -> date:
        """The first day that a figure counts."""
        return self.end - timedelta(days=int(figure["days"])) if figure.get("days") else self.start


def _report(record: Mapping[str, Any]) -> _Report:
    start, end, last = (date.fromisoformat(record["period"][name]) for name in (*DATES, "data_last_date"))
    data_end = last + timedelta(days=1)
    figures = {one["name"]: one for one in record["figures"] if isinstance(one["value"], int | float)}
    return _Report(start, max(min(end, data_end), start), data_end, figures)


def compare(now: Mapping[str, Any], before: Mapping[str, Any]) -> Comparison | None:
    """Hold the figures of a report against those of the one before.

    Parameters
    ----------
    now, before
        Records of ``record_of``.

    Returns
    -------
    Comparison or None
        None if a record cannot be read.

    Notes
    -----
    Two figures with intervals differ beyond chance if their difference, with the standard errors that the widths of the
    intervals tell (half the width over the normal quantile of the reports' confidence level), passes a two-sided normal
    test; the figures are judged together by Holm's method, so that any of them is false news in at most 5 of 100 pairs of
    reports of a shop in which nothing changes (confidence level 0.95). Both reports are taken as independent: users who are
    in both make their figures alike, so that the test says too little rather than too much. Reports with days in common
    are not judged. A figure without an interval is shown, and never news.
    """
    try:
        mine, other = _report(now), _report(before)
        lang: Language = "zh" if now["lang"] == "zh" else "en"
        title = _title(now, before, lang)
        refused = _not_comparable(now, before, lang)
        if refused:
            return Comparison(lang, title, refused)
        level = _level(now)
        lines = _judge([_line(mine, other, name, level) for name in mine.figures if name in other.figures], level)
    except (ValueError, KeyError, TypeError):
        return None
    notes = _notes(lines, mine, other, level, lang)
    if now["source"] != before["source"] and before["source"]:
        notes.append(say(lang, f"The data were {before['source']} then.", f"上期数据：{before['source']}。"))
    elif before.get("source_key") and now.get("source_key") != before["source_key"]:
        notes.append(
            say(lang, "The data lay elsewhere, or had another mapping, then.", "上期数据来自别处，或映射不同。")
        )
    return Comparison(lang, title, _sentence(lines, lang), lines, tuple(notes))


def _level(record: Mapping[str, Any]) -> float:
    level = record["parameters"].get("confidence_level", LEVEL)
    return float(level) if isinstance(level, int | float) and 0 < level < 1 else LEVEL


def _not_comparable(now: Mapping[str, Any], before: Mapping[str, Any], lang: Language) -> str:
    """Why two reports are not held against each other; "" where they are."""
    if now["notebook"] != before["notebook"]:
        return say(
            lang,
            "Not compared: the last report of this name came from another notebook.",
            "未对比：同名的上期报告来自另一个笔记本。",
        )
    mine, other = now["parameters"], before["parameters"]
    names = [one for one in mine if one in other and mine[one] != other[one] and not _is_about_days(one)]
    if not names:
        return ""
    told = say(lang, ", ", "、").join(names)
    return say(
        lang,
        f"Not compared: the last report was asked otherwise ({told}).",
        f"未对比：上期报告的参数不同（{told}）。",
    )


def _is_about_days(name: str) -> bool:
    """Whether a parameter is the language, or says of which days a report is: the period, known days, days with targets."""
    return name in ("lang", "compare_to") or name.endswith(("_date", "_end", "_dates", "_targets"))


def _line(mine: _Report, other: _Report, name: str, level: float) -> tuple[Line, float | None]:
    """A figure in both reports, and the p-value of its change where it can be tested."""
    here, there = mine.figures[name], other.figures[name]
    kind, now, before = here.get("kind", "level"), float(here["value"]), float(there["value"])
    days = (mine.day_count, other.day_count) if kind == "sum" else (1, 1)
    base, difference = before / days[1], now / days[0] - before / days[1]
    is_relative = kind in ("sum", "distinct") and here["unit"] in ("count", "amount")
    change: float | None = difference
    if is_relative:
        change = difference / base if base > 0 else None
    error = _std_error([_width(one, count) for one, count in zip((here, there), days, strict=True)], level)
    judged: Judged = "chance"
    if kind in ("distinct", "open") and mine.day_count != other.day_count:
        judged, change = "length", None
    elif kind == "open" and mine.followed_days != other.followed_days:
        judged, change = "follow_up", None
    elif mine.begin(here) < other.end:
        judged = "overlap"
    elif error is None:
        judged = "exact"
    line = Line(
        name=name,
        label=str(here["label"]),
        unit=str(here["unit"]),
        better=str(here.get("better") or ""),
        now=now,
        before=before,
        change=change,
        judged=judged,
        is_relative=is_relative,
        direction=(difference > 0) - (difference < 0),
        days=days,
    )
    return line, math.erfc(abs(difference) / error / math.sqrt(2)) if judged == "chance" and error else None


def _width(figure: Mapping[str, Any], days: int) -> float | None:
    """Width of an interval, per day of what adds up; None where there is no interval."""
    lower, upper = figure.get("ci_lower"), figure.get("ci_upper")
    return (float(upper) - float(lower)) / days if lower is not None and upper is not None else None


def _std_error(widths: Sequence[float | None], level: float) -> float | None:
    """Standard error of a difference from the widths of two intervals; None where one is missing or both are points."""
    known = [one for one in widths if one is not None]
    error = math.hypot(*known) / (2 * NormalDist().inv_cdf((1 + level) / 2))
    return error if len(known) == len(widths) and error > 0 else None


def _judge(tested: Sequence[tuple[Line, float | None]], level: float) -> tuple[Line, ...]:
    """The lines, those that pass by Holm's method among all that were tested being news.

    It is ``stats.multiplicity.holm`` written out, whose imports take the processor time of a batch of reused runs.
    """
    ranked = sorted((p, place) for place, (_, p) in enumerate(tested) if p is not None)
    news = set()
    for step, (p, place) in enumerate(ranked):
        if p * (len(ranked) - step) >= 1 - level:
            break
        news.add(place)
    return tuple(replace(line, judged="news") if place in news else line for place, (line, _) in enumerate(tested))


# -- in words -----------------------------------------------------------------------------------------------


def _title(now: Mapping[str, Any], before: Mapping[str, Any], lang: Language) -> str:
    start, end, mine = (
        date.fromisoformat(one)
        for one in (before["period"]["start_date"], before["period"]["end_date"], now["period"]["end_date"])
    )
    days = days_words(start, end - timedelta(days=1), lang, of_year=(mine - timedelta(days=1)).year)
    return say(lang, f"Since the last report ({days})", f"与上期报告相比（{days}）")


def days_words(first: date, last: date, lang: Language, *, of_year: int) -> str:
    """First and last day as people write them; the year only where it is not the one given.

    Examples
    --------
    >>> days_words(date(2026, 11, 16), date(2026, 11, 22), "en", of_year=2026)
    '16–22 Nov'
    >>> days_words(date(2025, 12, 29), date(2026, 1, 4), "en", of_year=2026)
    '29 Dec 2025 – 4 Jan 2026'
    >>> days_words(date(2026, 10, 28), date(2026, 11, 3), "zh", of_year=2026)
    '10月28日–11月3日'
    """
    has_year = {first.year, last.year} != {of_year}
    same_month = (first.year, first.month) == (last.year, last.month)
    if lang == "zh":
        begin = f"{first.year}年{first.month}月{first.day}" if has_year else f"{first.month}月{first.day}"
        year = f"{last.year}年" if has_year and first.year != last.year else ""
        end = f"{last.day}日" if same_month else f"{year}{last.month}月{last.day}日"
        return f"{begin}日" if first == last else f"{begin}{'' if same_month else '日'}–{end}"

    def written(day: date) -> str:
        return f"{day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if has_year else "")

    if first == last:
        return written(last)
    return f"{first.day}–{written(last)}" if same_month else f"{written(first)} – {written(last)}"


def _sentence(lines: Sequence[Line], lang: Language) -> str:
    news = [one for one in lines if one.is_news]
    tested = len(news) + sum(one.judged == "chance" for one in lines)
    if news:
        told = say(lang, "; ", "；").join(_moved(one, lang) for one in news[:MOST_TOLD])
        left = len(news) - MOST_TOLD
        more = say(lang, f"; and {left} more", f"；另有 {left} 项") if left > 0 else ""
        if tested == 1:
            return say(lang, f"{told[:1].upper()}{told[1:]}, beyond chance.", f"{told}，超出随机波动。")
        return say(
            lang,
            f"{_number(len(news))} of {_number(tested).lower()} figures moved beyond chance: {told}{more}.",
            f"{tested} 项指标中有 {len(news)} 项的变化超出随机波动：{told}{more}。",
        )
    if tested:
        return say(lang, "Nothing moved beyond chance.", "没有指标的变化超出随机波动。")
    if not lines:
        return say(lang, "The two reports have no figure in common.", "两期报告没有相同的指标。")
    if any(one.judged == "overlap" for one in lines):
        return say(
            lang,
            "The two reports have days in common, so only the changes are shown: chance cannot be told.",
            "两期报告的日期有重叠，无法判断随机波动，仅列出变化。",
        )
    return say(
        lang,
        "The changes are shown as they are: nothing tells how far chance moves these numbers.",
        "仅列出变化：无法判断这些数字的随机波动有多大。",
    )


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _moved(line: Line, lang: Language) -> str:
    """What became of a figure; totals of unequal numbers of days are told per day, as they are judged."""
    is_daily = line.days[0] != line.days[1]
    if is_daily:
        line = replace(line, now=line.now / line.days[0], before=line.before / line.days[1])
    now, before = _both_words(line, lang)
    if is_daily:
        now, before = say(lang, f"{now} a day", now), say(lang, before, f"日均 {before}")
    verb = say(lang, "rose", "升至") if line.direction > 0 else say(lang, "fell", "降至")
    return say(lang, f"{line.label} {verb} to {now} from {before}", f"{line.label}由 {before} {verb} {now}")


def _notes(lines: Sequence[Line], mine: _Report, other: _Report, level: float, lang: Language) -> list[str]:
    judged, count = {one.judged for one in lines}, (mine.day_count, other.day_count)
    told = [
        (
            bool(judged & {"news", "chance"}),
            f"Beyond chance: judged by the intervals of both reports, all figures together, at {format_rate(level, 0)}.",
            f"超出随机波动：依据两期的置信区间，对全部指标一并检验（{format_rate(level, 0)}）。",
        ),
        (
            "exact" in judged,
            "“–”: a plain count or sum; nothing tells how far chance moves it.",
            "“–”：直接计数或求和，无法判断其随机波动。",
        ),
        (
            "overlap" in judged and judged != {"overlap"},
            "“–” also where the numbers of both reports have days in common.",
            "两期数字的日期有重叠时也记为“–”。",
        ),
        (
            count[0] != count[1] and any(one.is_relative and one.judged != "length" for one in lines),
            f"Changes of totals are per day: {count[0]} days now, {count[1]} before.",
            f"总量的变化按日均计算：本期 {count[0]} 天，上期 {count[1]} 天。",
        ),
        (
            "length" in judged,
            "What counts each user once is not compared between periods of different length.",
            "按用户去重的数字不在长度不同的周期之间对比。",
        ),
        (
            "follow_up" in judged,
            "What still grows after the period is not compared: it was followed for another time.",
            "仍会增长的数字因观察时长不同而不作对比。",
        ),
    ]
    return [say(lang, en, zh) for holds, en, zh in told if holds]


def number_words(value: float, unit: str, lang: Language, *, digits: int = 1, is_change: bool = False) -> str:
    """A figure, or its change with its sign, in its unit; ``digits`` are those of rates.

    Examples
    --------
    >>> number_words(0.0739, "rate", "en"), number_words(-0.0235, "rate", "en", digits=2, is_change=True)
    ('7.4%', '−2.35 points')
    >>> number_words(67274.4, "amount", "zh"), number_words(2.1, "amount", "en", is_change=True)
    ('6.73万', '+2.10')
    """
    sign = "+" if is_change and value > 0 else ""
    if unit == "points" or (unit == "rate" and is_change):
        return with_minus(100 * value, digits, signed=True) + say(lang, " points", " 个百分点")
    if unit == "rate":
        return format_rate(value, digits)
    if unit == "amount":
        return sign + format_amount(value, lang)
    if unit == "count":
        return sign + format_count(value)
    return sign + (format_hours(value, lang) if unit == "hours" else with_minus(value, 0 if abs(value) >= 1000 else 3))


def _both_words(line: Line, lang: Language) -> tuple[str, str]:
    """The number now and before."""
    now, before = (number_words(one, line.unit, lang, digits=line.digits) for one in (line.now, line.before))
    return now, before


def _change(line: Line, lang: Language) -> str:
    if line.change is None:
        return "–"
    if line.is_relative:
        return f"{with_minus(100 * line.change, 1, signed=True)}%"
    return number_words(line.change, line.unit, lang, digits=line.digits, is_change=True)


# -- on the page --------------------------------------------------------------------------------------------


def comparison_html(comparison: Comparison) -> str:
    """The block that follows the first screen of a report; every text in it is escaped."""
    lang = comparison.lang
    table = _table(comparison, lang) if comparison.lines else ""
    notes = "".join(f"<span>{escape(one)}</span> " for one in comparison.notes)
    return (
        f'<section class="wb-since" aria-labelledby="since"><h2 id="since">{escape(comparison.title)}</h2>'
        f'<p class="wb-said">{escape(comparison.sentence)}</p>{table}'
        + (f'<p class="wb-source">{notes.strip()}</p>' if notes else "")
        + "</section>"
    )


def _table(comparison: Comparison, lang: Language) -> str:
    heads = say(lang, "Figure|Now|Before|Change|Beyond chance", "指标|本期|上期|变化|超出随机").split("|")
    head = "".join(
        f'<th scope="col"{_RIGHT if 0 < place < 4 else ""}>{escape(one)}</th>' for place, one in enumerate(heads)
    )
    rows = "".join(_row(line, lang) for line in comparison.lines)
    label = say(lang, "Figures now and before", "本期与上期指标")
    return (
        f'<div class="wb-scroll" role="region" aria-label="{label}" tabindex="0"><table class="wb-table">'
        f'<caption class="wb-unseen">{label}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


_RIGHT = ' class="wb-number"'


def _row(line: Line, lang: Language) -> str:
    cells = "".join(f"<td{_RIGHT}>{escape(one)}</td>" for one in (*_both_words(line, lang), _change(line, lang)))
    news = ' class="wb-news"' if line.is_news else ""
    return (
        f'<tr{news}><th scope="row" class="wb-lines">{escape(line.label)}</th>{cells}<td>{_told(line, lang)}</td></tr>'
    )


def _told(line: Line, lang: Language) -> str:
    if line.judged == "chance":
        return say(lang, "no", "否")
    if not line.is_news:
        return "–"
    yes, arrow = say(lang, "yes", "是"), "▲" if line.direction > 0 else "▼"
    if not line.verdict:
        return f"{arrow} {yes}"
    word = say(lang, line.verdict, "向好" if line.verdict == "better" else "变差")
    return f'<span class="wb-{line.verdict}">{arrow} {yes}{say(lang, ", ", "，")}{word}</span>'
