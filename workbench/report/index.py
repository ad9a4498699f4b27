"""The page that leads to the reports of a batch."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from workbench.language import Language, say
from workbench.report.manifest import read_json
from workbench.report.page import fill_template
from workbench.report.run import RunResult


@dataclass(frozen=True)
class Entry:
    """One run on the index page, in words.

    ``link`` leads to its report, or, where it failed, to the last good one; "" if there is none.
    """

    name: str
    title: str
    is_done: bool
    status: str
    period: str
    verdict: str
    flags: tuple[str, ...]
    error: str
    link: str
    link_words: str


def make_index(results: list[RunResult], out: Path, lang: Language) -> str:
    """Build the index page: each run with its answer and the way to its report."""
    entries = [_entry(result, out, lang) for result in results]
    failed = sum(not entry.is_done for entry in entries)
    counts = say(lang, f"{len(entries) - failed} done", f"{len(entries) - failed} 份完成")
    if failed:
        counts += say(lang, f", {failed} failed", f"，{failed} 份失败")
    return fill_template(
        "index.html.j2",
        lang=lang,
        title=say(lang, "Reports", "报告"),
        counts=counts,
        built=say(lang, "built ", "生成于 ") + f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        entries=entries,
    )


def _entry(result: RunResult, out: Path, lang: Language) -> Entry:
    is_done, findings = result.status == "done", result.findings
    period = findings.get("period", {})
    names = {"done": ("done", "完成"), "refused": ("refused", "被拒绝"), "failed": ("failed", "失败")}
    link, link_words = _link(result, out, lang)
    return Entry(
        name=result.name,
        title=result.title,
        is_done=is_done,
        status=say(lang, *names[result.status]),
        period=f"{period['start_date']} – {period['last_date']}" if is_done and period else "",
        verdict=str(findings.get("verdict", "")) if is_done else "",
        flags=tuple(findings.get("flags", ())) if is_done else (),
        error=result.error,
        link=link,
        link_words=link_words,
    )


def _link(result: RunResult, out: Path, lang: Language) -> tuple[str, str]:
    target = f"{quote(result.name)}/report.html"
    if not (out / result.name / "report.html").is_file():
        return "", ""
    if result.status == "done":
        return target, say(lang, "Open the report", "打开报告")
    day = str(read_json(out / result.name / "manifest.json").get("finished_at", ""))[:10]
    return target, say(lang, f"Open the last good report ({day})", f"打开上一份成功的报告（{day}）")
