"""The index of a batch: what every run came to, at a glance and in its own words."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from workbench.report.index import make_index
from workbench.report.request import Request
from workbench.report.run import RunResult

EVIL = '<script>alert("x")</script>'


def request(name="sales", **asked):
    given = {"title": "What sold?", "lang": "en"} | asked
    return Request(name, Path("x.ipynb"), given.pop("title"), "shop", None, {}, given.pop("lang"), **given)


def findings(last="2026-06-14", data_last="2026-06-28", **more):
    period = {"start_date": "2026-06-07", "last_date": last, "timezone": "Asia/Shanghai", "data_last_date": data_last}
    return {
        "period": period,
        "verdict": "Sales fell.",
        "headline": {"columns": ["Figure", "Now"], "rows": [["net sales", "67.3k"], [EVIL, "−1%"]]},
        "findings": [{"text": f"Finding {number}."} for number in range(5)],
        "flags": [],
    } | more


def result(name="sales", status="done", **more):
    return RunResult(name, "What sold?", status, Path("out") / name, **({"findings": findings()} | more))


def made(tmp_path, *results, requests=None, lang="en"):
    for one in results:
        if one.status == "done":
            (tmp_path / one.name).mkdir()
            (tmp_path / one.name / "report.html").touch()
    asked = requests or [request(one.name) for one in results]
    html = make_index(asked, {one.name: one for one in results}, tmp_path, lang)
    return html.split("</style>")[1]


def article(html, name):
    return re.search(rf'<article[^>]*id="{name}">.*?</article>', html, re.DOTALL)[0]


def test_each_run_has_its_answer_numbers_and_three_findings(tmp_path):
    html = article(made(tmp_path, result()), "sales")
    for words in ("Sales fell.", "67.3k", "Finding 2.", "2026-06-07 – 2026-06-14", "data up to 2026-06-28"):
        assert words in html
    assert "Finding 3." not in html
    assert '<a href="sales/report.html">What sold?</a>' in html
    assert '<td class="wb-number">67.3k</td>' in html


def test_names_from_the_data_are_only_text(tmp_path):
    html = made(tmp_path, result(findings=findings(verdict=EVIL, flags=[EVIL], findings=[{"text": EVIL}])))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4


def test_every_run_is_in_the_overview_whatever_became_of_it(tmp_path):
    runs = [result(f"run-{number}") for number in range(120)]
    asked = [*(request(one.name) for one in runs), request("broken"), request("later")]
    broken = RunResult("broken", "What sold?", "refused", Path("x"), error="orders: order_id repeats.")
    html = made(tmp_path, *runs, broken, requests=asked)
    table = re.search(r'<table class="wb-runs">.*?</table>', html, re.DOTALL)[0]
    assert table.count("<tr class=") == 122
    assert 'href="#run-119"' in table
    assert 'href="run-119/report.html"' in table
    assert '<tr class="wb-broken">' in table
    assert '<tr class="wb-waiting">' in table
    assert "<span>120 done</span>" in html
    assert '<span class="wb-bad">1 refused</span>' in html
    assert "<span>1 not run yet</span>" in html
    assert "orders: order_id repeats." in article(html, "broken")


TODAY = date.today()  # noqa: DTZ011 (a day or two do not matter)


@pytest.mark.parametrize(
    ("last", "data_last", "said"),
    [
        ("2026-06-14", "2026-06-28", ""),  # days long gone, in data that go on
        ("2026-06-14", "2026-06-12", "The data end on 2026-06-12, before the days asked for."),
        ("2026-06-14", "2026-06-14", "The newest day of the data is "),
        (str(TODAY - timedelta(days=1)), str(TODAY - timedelta(days=1)), ""),
    ],
)
def test_data_that_end_early_or_are_old_are_told_in_red(tmp_path, last, data_last, said):
    html = made(tmp_path, result(findings=findings(last, data_last)))
    assert (said in article(html, "sales")) if said else ('class="wb-flag"' not in html)
    assert (f'<span class="wb-bad">data up to {data_last}</span>' in html) == bool(said)
    assert ('<span class="wb-bad">1 with stale data</span>' in html) == bool(said)


def test_only_alerts_of_the_newest_days_are_told(tmp_path):
    alerts = {"alerts": [{"text": "Orders fell.", "is_current": True}, {"text": "Long ago.", "is_current": False}]}
    html = made(tmp_path, result(alerts=alerts), result("other"))
    assert '<span class="wb-bad">1 alert</span>' in html
    assert "Orders fell." in article(html, "sales")
    assert "Long ago." not in html
    assert "1 with alerts" in html


def test_a_failed_run_leads_to_the_last_good_report(tmp_path):
    (tmp_path / "sales").mkdir()
    (tmp_path / "sales" / "report.html").touch()
    html = made(tmp_path, RunResult("sales", "What sold?", "failed", tmp_path / "sales.failed", error="It died."))
    assert "Open the last good report" in html
    assert "It died." in html
    assert "Sales fell." not in html


def test_related_runs_and_the_pdf_are_linked(tmp_path):
    asked = [request("sales", related=(("slots north", "Which slot?"),)), request("slots north", title="Which slot?")]
    (tmp_path / "sales").mkdir()
    for name in ("report.html", "report.pdf"):
        (tmp_path / "sales" / name).touch()
    html = make_index(asked, {"sales": result()}, tmp_path, "en")
    assert '<a href="#slots%20north">Which slot?</a>' in article(html, "sales")
    assert 'id="slots north"' in html
    assert 'href="sales/report.pdf"' in html


def test_what_a_report_says_in_its_own_language_is_marked(tmp_path):
    html = made(tmp_path, result(), requests=[request(lang="zh", title="卖得怎样？")])
    assert '<h2 lang="zh-CN">' in html
    assert "<span>0 份完成</span><span>1 份尚未运行</span>" in made(tmp_path, requests=[request()], lang="zh")
