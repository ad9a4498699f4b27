"""The page that leads to the reports of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workbench.language import Language, say
from workbench.report.manifest import read_json
from workbench.report.page import fill_template
from workbench.report.request import Request
from workbench.report.run import PDF, REPORT, RunResult

MOST_FINDINGS = 3
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

    ``link`` leads to its report, or, where it failed, to the last good one; "" if there is none. What the report says is left
    empty unless it is the one of this batch.
    """

    name: str
    title: str
    status: str
    is_done: bool
    is_waiting: bool
    period: str
    freshness: str
    verdict: str
    flags: tuple[str, ...]
    alerts: tuple[str, ...]
    table: Mapping[str, Any]
    findings: tuple[str, ...]
    error: str
    link: str
    link_words: str
    pdf: str
    related: tuple[tuple[str, str], ...]


def make_index(requests: Sequence[Request], results: Mapping[str, RunResult], out: Path, lang: Language) -> str:
    """Build the index page: each run with its answer and the way to its report.

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
        counts=_counts(entries, lang),
        built=say(lang, "built ", "生成于 ") + f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        entries=entries,
        words={
            "related": say(lang, "Same days: ", "同期报告："),
            "pdf": "PDF",
            "overview": say(lang, "Overview", "总览"),
            "report": say(lang, "Report", "报告"),
            "status": say(lang, "Status", "状态"),
            "days": say(lang, "Days", "日期"),
        },
    )


def _counts(entries: Sequence[Entry], lang: Language) -> str:
    done = sum(one.is_done for one in entries)
    waiting = sum(one.is_waiting for one in entries)
    failed = len(entries) - done - waiting
    counts = [say(lang, f"{done} done", f"{done} 份完成")]
    counts += [say(lang, f"{failed} failed", f"{failed} 份失败")] if failed else []
    counts += [say(lang, f"{waiting} not run yet", f"{waiting} 份尚未运行")] if waiting else []
    return say(lang, ", ", "，").join(counts)


def _entry(request: Request, result: RunResult | None, out: Path, lang: Language) -> Entry:
    is_done = result is not None and result.status == "done"
    findings: Mapping[str, Any] = result.findings if result is not None and is_done else {}
    period, place = findings.get("period", {}), out / request.name
    link, link_words = _link(request.name, is_done, out, lang)
    alerts = result.alerts.get("alerts", []) if result is not None and is_done else []
    return Entry(
        name=request.name,
        title=request.title,
        status=say(lang, *_STATUS[result.word if result is not None else "waiting"]),
        is_done=is_done,
        is_waiting=result is None,
        period=f"{period['start_date']} – {period['last_date']}" if period else "",
        freshness=_freshness(period, place, lang) if is_done else "",
        verdict=str(findings.get("verdict", "")),
        flags=tuple(findings.get("flags", ())),
        alerts=tuple(str(one["text"]) for one in alerts if one.get("is_current")),
        table=findings.get("headline", {}),
        findings=tuple(str(one["text"]) for one in findings.get("findings", ())[:MOST_FINDINGS]),
        error=result.error if result is not None else "",
        link=link,
        link_words=link_words,
        pdf=f"{quote(request.name)}/{PDF}" if is_done and (place / PDF).is_file() else "",
        related=request.related,
    )


def _freshness(period: Mapping[str, Any], place: Path, lang: Language) -> str:
    built = str(read_json(place / "manifest.json").get("finished_at", ""))[:16].replace("T", " ")
    reach = (
        say(lang, f"data up to {period['data_last_date']}, ", f"数据截至 {period['data_last_date']}，")
        if period
        else ""
    )
    return reach + say(lang, f"built {built} UTC", f"生成于 {built} UTC")


def _link(name: str, is_done: bool, out: Path, lang: Language) -> tuple[str, str]:
    target = f"{quote(name)}/{REPORT}"
    if not (out / name / REPORT).is_file():
        return "", ""
    if is_done:
        return target, say(lang, "Open the report", "打开报告")
    day = str(read_json(out / name / "manifest.json").get("finished_at", ""))[:10]
    return target, say(lang, f"Open the last good report ({day})", f"打开上一份成功的报告（{day}）")
