"""The page that leads to the reports of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workbench.language import Language, say
from workbench.period import today
from workbench.report.block import TEMPLATES
from workbench.report.comparison import comparison_of
from workbench.report.manifest import manifest_of, may_be_shown
from workbench.report.page import HTML_LANG, fill_template
from workbench.report.request import Request
from workbench.report.run import PDF, REPORT, RunResult
from workbench.report.table import html_table, reads_as_number

MOST_FINDINGS = 3
OLD_DAYS = 3
"""A report up to the newest day of its data is stale when that day is longer ago."""
_STATUS = {
    "done": ("done", "完成"),
    "reused": ("unchanged, kept", "无变化，沿用"),
    "refused": ("refused", "被拒绝"),
    "failed": ("failed", "失败"),
    "waiting": ("not run yet", "尚未运行"),
}


@dataclass(frozen=True)
class Entry:
    """One run on the index page, in words.

    ``link`` leads to its report, or, where it failed, to the last good one; "" if there is none. ``stale`` says why its data
    are out of date, ``signs`` what calls for a look. What the report says is left empty unless it is the one of this batch;
    ``table`` is its short table and ``in_lang`` the attribute of its language where that is not the page's, both as HTML.
    """

    name: str
    title: str
    in_lang: str
    status: str
    look: str
    is_done: bool
    period: str
    data_last_date: str
    built: str
    stale: str
    signs: tuple[str, ...]
    verdict: str
    settings: tuple[str, ...]
    flags: tuple[str, ...]
    alerts: tuple[str, ...]
    table: str
    findings: tuple[str, ...]
    since: str
    error: str
    link: str
    link_words: str
    pdf: str
    related: tuple[tuple[str, str], ...]


def make_index(requests: Sequence[Request], results: Mapping[str, RunResult], out: Path, lang: Language) -> str:
    """Build the index page: all runs at a glance, then each with its answer and the way to its report.

    Parameters
    ----------
    requests
        The runs of the plan, in its order.
    results
        What became of those that were done so far, by name.
    out
        Folder of the runs.
    lang
        Language of the page; what reports say is in their own.
    """
    entries = [_entry(one, results.get(one.name), out, lang) for one in requests]
    return fill_template(
        "index.html.j2",
        lang=lang,
        title=say(lang, "Reports", "报告"),
        own_style=(TEMPLATES / "index.css").read_text(encoding="utf-8"),
        counts=_counts(entries, results, lang),
        built=say(lang, "built ", "生成于 ") + f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        entries=entries,
        words={
            "overview": say(lang, "Overview", "总览"),
            "report": say(lang, "Report", "报告"),
            "status": say(lang, "Status", "状态"),
            "days": say(lang, "Days", "日期"),
            "data": say(lang, "data up to", "数据截至"),
            "open": say(lang, "Open", "打开"),
            "last": say(lang, "Last good", "上一份"),
            "related": say(lang, "Same days: ", "同期报告："),
            "colon": say(lang, ": ", "："),
        },
    )


def _counts(entries: Sequence[Entry], results: Mapping[str, RunResult], lang: Language) -> list[tuple[str, bool]]:
    """How many runs of each kind, and whether that is bad."""
    done = sum(one.is_done for one in entries)
    waiting = sum(one.name not in results for one in entries)
    refused = sum(one.status == "refused" for one in results.values())
    failed = len(entries) - done - waiting - refused
    ringing = sum(bool(one.alerts) for one in entries)
    stale = sum(bool(one.stale) for one in entries)
    counts = [
        (done, say(lang, "done", "份完成"), False),
        (failed, say(lang, "failed", "份失败"), True),
        (refused, say(lang, "refused", "份被拒绝"), True),
        (waiting, say(lang, "not run yet", "份尚未运行"), False),
        (ringing, say(lang, "with alerts", "份有预警"), True),
        (stale, say(lang, "with stale data", "份数据过期"), True),
    ]
    return [(f"{count} {words}", is_bad) for number, (count, words, is_bad) in enumerate(counts) if count or not number]


def _entry(request: Request, result: RunResult | None, out: Path, lang: Language) -> Entry:
    is_done = result is not None and result.status == "done"
    findings: Mapping[str, Any] = result.findings if result is not None and is_done else {}
    period, place = findings.get("period", {}), out / request.name
    link, link_words = _link(request, is_done, out, lang)
    told = result.alerts.get("alerts", []) if result is not None and is_done else []
    alerts = tuple(str(one["text"]) for one in told if one.get("is_current"))
    stale = why_stale(period, lang) if period else ""
    return Entry(
        name=request.name,
        title=request.title,
        in_lang="" if request.lang == lang else f' lang="{HTML_LANG[request.lang]}"',
        status=say(lang, *_STATUS[result.word if result is not None else "waiting"]),
        look="wb-done" if is_done else "wb-waiting" if result is None else "wb-broken",
        is_done=is_done,
        period=f"{period['start_date']} – {period['last_date']}" if period else "",
        data_last_date=str(period.get("data_last_date", "")),
        built=_built(place, lang) if is_done else "",
        stale=stale,
        signs=_signs(len(alerts), stale, bool(findings.get("flags")), lang),
        verdict=str(findings.get("verdict", "")),
        settings=tuple(findings.get("settings", ())),
        flags=tuple(findings.get("flags", ())),
        alerts=alerts,
        table=_table(findings.get("headline") or {}, str(findings.get("verdict", "")), request.lang),
        findings=tuple(str(one["text"]) for one in findings.get("findings", ())[:MOST_FINDINGS]),
        since=_since(place) if is_done else "",
        error=result.error if result is not None else "",
        link=link,
        link_words=link_words,
        pdf=f"{quote(request.name)}/{PDF}" if is_done and (place / PDF).is_file() else "",
        related=request.related or (),
    )


def _signs(alerts: int, stale: str, is_flagged: bool, lang: Language) -> tuple[str, ...]:
    rings = say(lang, f"{alerts} alert{'s' if alerts > 1 else ''}", f"{alerts} 条预警")
    flagged = say(lang, "stale data", "数据过期") if stale else say(lang, "flagged", "有提示")
    return (*([rings] if alerts else []), *([flagged] if stale or is_flagged else []))


def why_stale(period: Mapping[str, Any], lang: Language) -> str:
    """Why the data of a report are out of date; "" if they are not.

    A report of days long gone whose data go on is not stale.
    """
    last, ends = (date.fromisoformat(period[name]) for name in ("data_last_date", "last_date"))
    if last < ends:
        return say(
            lang, f"The data end on {last}, before the days asked for.", f"数据止于 {last}，早于所选日期的末日。"
        )
    age = (today(period["timezone"]) - last).days
    if last == ends and age > OLD_DAYS:
        return say(lang, f"The newest day of the data is {age} days ago.", f"最新数据是 {age} 天前的。")
    return ""


def _since(place: Path) -> str:
    """What changed since the report before, in the words of the report; "" if there was none, or nothing could be judged."""
    found = comparison_of(place)
    is_told = found is not None and (not found.lines or any(one.judged in ("news", "chance") for one in found.lines))
    return f"{found.title}{say(found.lang, ': ', '：')}{found.sentence}" if found and is_told else ""


def _built(place: Path, lang: Language) -> str:
    built = str(manifest_of(place).get("finished_at", ""))[:16].replace("T", " ")
    return say(lang, f"built {built} UTC", f"生成于 {built} UTC")


def _table(headline: Mapping[str, Any], verdict: str, lang: Language) -> str:
    """The headline numbers, as the first screen of the report shows them."""
    headers, rows = headline.get("columns", []), headline.get("rows", [])
    if not headers or not rows:
        return ""
    columns = [[str(row[number]) for row in rows] for number in range(len(headers))]
    numeric = [number > 0 and reads_as_number(column) for number, column in enumerate(columns)]
    return html_table([str(one) for one in headers], columns, numeric, caption=verdict, lang=lang)


def _link(request: Request, is_done: bool, out: Path, lang: Language) -> tuple[str, str]:
    """The way to the report, or to the last good one, unless that shows more than this one may."""
    place, target = out / request.name, f"{quote(request.name)}/{REPORT}"
    if not (place / REPORT).is_file() or not may_be_shown(place, request.mask_below):
        return "", ""
    if is_done:
        return target, say(lang, "Open the report", "打开报告")
    day = str(manifest_of(place).get("finished_at", ""))[:10]
    return target, say(lang, f"Open the last good report ({day})", f"打开上一份成功的报告（{day}）")
