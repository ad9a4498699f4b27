import json
import re
from datetime import date, timedelta

import nbformat
import numpy as np
import pytest
from report_places import SECRET
from scipy import stats

from workbench.report.comparison import (
    PREVIOUS,
    compare,
    comparison_html,
    comparison_of,
    days_words,
    previous_of,
    record_of,
)
from workbench.report.index import make_index
from workbench.report.manifest import write_json
from workbench.report.request import prepare_run
from workbench.report.run import RunResult, run_notebook
from workbench.stats.intervals import wilson
from workbench.stats.multiplicity import holm

Z = stats.norm.ppf(0.975)


def figure(name, value, half=None, **asked):
    """A figure with an interval that reaches so far to both sides."""
    ends = {} if half is None else {"ci_lower": value - half, "ci_upper": value + half}
    return {
        "name": name,
        "label": name,
        "value": value,
        "unit": "rate",
        "better": "up",
        "kind": "level",
        **ends,
        **asked,
    }


def report(start, end, *figures, lang="en", data_last=None, notebook="sales_overview", **parameters):
    """What is kept of a report of these days, the last one excluded."""
    last = data_last or (date.fromisoformat(end) - timedelta(days=1)).isoformat()
    period = {"start_date": start, "end_date": end, "data_last_date": last}
    findings = {"lang": lang, "period": period, "figures": list(figures)}
    asked = {"start_date": start, "end_date": end, "lang": lang, "confidence_level": 0.95, **parameters}
    return record_of(findings, {"notebook": notebook, "source": "shop", "parameters": asked, "finished_at": "then"})


def week(number, *figures, **asked):
    first = date(2026, 11, 2) + timedelta(days=7 * number)
    return report(first.isoformat(), (first + timedelta(days=7)).isoformat(), *figures, **asked)


def judged(found):
    return {one.name: one.judged for one in found.lines}


def test_a_change_is_news_only_if_it_passes_among_all_figures():
    # Standard error of each number: half ÷ 1.96. a: difference −0.030, error √(0.010² + 0.015²) ÷ 1.96 = 0.009198,
    # z = 3.26, p = 0.0011; b: difference 0.020, error 0.02 √2 ÷ 1.96 = 0.01443, z = 1.386, p = 0.166;
    # c: difference 0.031, error 0.014434, z = 2.148, p = 0.0317, which alone would pass, but 2 p = 0.063 does not.
    before = week(0, figure("a", 0.130, 0.015), figure("b", 0.300, 0.02), figure("c", 0.500, 0.02))
    now = week(1, figure("a", 0.100, 0.010), figure("b", 0.320, 0.02), figure("c", 0.531, 0.02))
    found = compare(now, before)
    assert judged(found) == {"a": "news", "b": "chance", "c": "chance"}
    assert found.title == "Since the last report (2–8 Nov)"
    assert found.sentence == "One of three figures moved beyond chance: a fell to 10.0% from 13.0%."
    assert [one.verdict for one in found.lines] == ["worse", "", ""]
    assert found.lines[0].change == pytest.approx(-0.03)
    alone = compare(week(1, figure("c", 0.531, 0.02)), week(0, figure("c", 0.500, 0.02)))
    assert alone.sentence == "C rose to 53.1% from 50.0%, beyond chance."
    assert alone.lines[0].verdict == "better"


def test_what_is_news_agrees_with_holm_on_many_reports():
    generator = np.random.default_rng(1)
    for _ in range(200):
        count = int(generator.integers(1, 8))
        now, before = generator.normal(0.4, 0.02, (2, count))
        halves = generator.uniform(0.005, 0.03, (2, count))
        error = np.hypot(*halves) / Z
        expected = holm(2 * stats.norm.sf(abs(now - before) / error)) < 0.05
        here, there = (
            week(place, *(figure(f"f{i}", value, half) for i, (value, half) in enumerate(zip(*of, strict=True))))
            for place, of in ((1, (now, halves[0])), (0, (before, halves[1])))
        )
        assert [one.is_news for one in compare(here, there).lines] == expected.tolist()


def test_the_confidence_level_of_the_reports_is_that_of_the_test():
    # At 90 % half an interval is 1.645 errors: z = 0.03 ÷ (0.02 √2 ÷ 1.645) = 1.745, p = 0.081 < 0.1.
    here, there = (week(n, figure("a", v, 0.02), confidence_level=0.9) for n, v in ((1, 0.33), (0, 0.30)))
    assert judged(compare(here, there)) == {"a": "news"}
    here, there = (week(n, figure("a", v, 0.02), confidence_level=0.95) for n, v in ((1, 0.326), (0, 0.30)))
    assert judged(compare(here, there)) == {"a": "chance"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_count_without_an_interval_is_shown_and_never_news(lang):
    count = {"unit": "count", "kind": "sum"}
    found = compare(week(1, figure("n", 400.0, **count), lang=lang), week(0, figure("n", 200.0, **count), lang="en"))
    assert judged(found) == {"n": "exact"}
    assert found.lines[0].change == pytest.approx(1.0)
    says = {"en": "nothing tells how far chance moves these numbers", "zh": "无法判断这些数字的随机波动有多大"}
    assert says[lang] in found.sentence
    assert "+100.0%" in comparison_html(found)
    assert "wb-news" not in comparison_html(found)


def test_an_interval_without_width_tells_nothing_of_chance():
    assert judged(compare(week(1, figure("a", 0.1, 0.0)), week(0, figure("a", 0.2, 0.0)))) == {"a": "exact"}


def test_reports_with_days_in_common_are_not_judged():
    before = report("2026-11-01", "2026-11-15", figure("a", 0.1, 0.001))
    found = compare(report("2026-11-14", "2026-11-28", figure("a", 0.3, 0.001)), before)
    assert judged(found) == {"a": "overlap"}
    assert found.sentence.startswith("The two reports have days in common, so only the changes are shown")
    assert judged(compare(report("2026-11-15", "2026-11-28", figure("a", 0.3, 0.001)), before)) == {"a": "news"}


def test_a_figure_that_looks_back_further_than_the_report_overlaps_too():
    far, near = {"days": 14}, {"days": 7}
    found = compare(
        week(1, figure("far", 0.3, 0.001, **far), figure("near", 0.3, 0.001, **near)),
        week(0, figure("far", 0.1, 0.001, **far), figure("near", 0.1, 0.001, **near)),
    )
    assert judged(found) == {"far": "overlap", "near": "news"}


def test_totals_of_months_are_compared_per_day():
    # 310 in 31 days and 300 in 30 days are 10 a day; intervals of ±31 and ±30 are ±1 a day.
    total = {"unit": "amount", "kind": "sum"}
    october = report("2026-10-01", "2026-11-01", figure("a", 310.0, 31.0, **total))
    november = report("2026-11-01", "2026-12-01", figure("a", 300.0, 30.0, **total))
    found = compare(november, october)
    assert found.lines[0].change == pytest.approx(0.0)
    assert judged(found) == {"a": "chance"}
    assert found.notes[-1] == "Changes of totals are per day: 30 days now, 31 before."
    more = compare(report("2026-11-01", "2026-12-01", figure("a", 345.0, 30.0, **total)), october)
    assert more.lines[0].change == pytest.approx(0.15)  # 11.5 a day; z = 1.5 ÷ (√2 ÷ 1.96) = 2.08
    assert judged(more) == {"a": "news"}
    assert more.sentence == "A rose to 11.50 a day from 10.00, beyond chance."
    fewer = compare(report("2026-02-01", "2026-03-01", figure("a", 305.0, 9.0, **total), lang="zh"), october)
    assert fewer.lines[0].direction == 1  # 10.9 a day, although the total is smaller
    assert (fewer.lines[0].now, fewer.lines[0].before) == (305.0, 310.0)


def test_a_period_that_is_not_over_counts_the_days_that_have_data():
    total = {"unit": "count", "kind": "sum"}
    whole = week(0, figure("a", 700.0, **total))
    begun = week(1, figure("a", 300.0, **total), data_last="2026-11-11")  # 9, 10 and 11 November
    assert compare(begun, whole).lines[0].change == pytest.approx(0.0)


def test_distinct_users_are_compared_between_as_many_days_only():
    kind = {"unit": "count", "kind": "distinct"}
    october = report("2026-10-01", "2026-11-01", figure("a", 310.0, 3.0, **kind))
    found = compare(report("2026-11-01", "2026-12-01", figure("a", 400.0, 3.0, **kind)), october)
    assert (judged(found), found.lines[0].change) == ({"a": "length"}, None)
    assert judged(compare(week(1, figure("a", 400.0, 3.0, **kind)), week(0, figure("a", 310.0, 3.0, **kind)))) == {
        "a": "news"
    }


def test_what_still_grows_is_compared_only_where_it_was_followed_as_long():
    first, second = figure("a", 0.05, 0.001, kind="open"), figure("a", 0.07, 0.001, kind="open")
    assert judged(compare(week(1, second), week(0, first))) == {"a": "news"}
    late = compare(week(1, second, data_last="2026-12-24"), week(0, first))
    assert (judged(late), late.lines[0].change) == ({"a": "follow_up"}, None)


def test_other_parameters_are_not_compared_and_other_days_are():
    here = week(1, figure("a", 0.1, 0.001), window_days=30, annotated_dates=["2026-11-11"], sales_targets=None)
    other = week(0, figure("a", 0.1, 0.001), window_days=90, annotated_dates=[], sales_targets=["2026-11=500"])
    found = compare(here, other)
    assert found.lines == ()
    assert found.sentence == "Not compared: the last report was asked otherwise (window_days)."
    same = week(0, figure("a", 0.1, 0.001), window_days=30, annotated_dates=[], sales_targets=["2026-11=500"])
    assert len(compare(here, same).lines) == 1
    elsewhere = compare(here, week(0, figure("a", 0.1, 0.001), notebook="coupon_evaluation"))
    assert elsewhere.sentence == "Not compared: the last report of this name came from another notebook."


def test_ids_that_look_like_years_are_no_days():
    here, there = (week(place, figure("a", 0.1, 0.001), coupon_ids=[one]) for place, one in ((1, "1001"), (0, "1002")))
    assert compare(here, there).sentence == "Not compared: the last report was asked otherwise (coupon_ids)."


def test_data_of_one_name_from_elsewhere_are_told():
    here, there = (week(place, figure("a", 0.1, 0.001)) | {"source_key": str(place)} for place in (1, 0))
    assert compare(here, there).notes[-1] == "The data lay elsewhere, or had another mapping, then."
    assert "elsewhere" not in "".join(compare(here, there | {"source_key": "1"}).notes)


def test_figures_that_only_one_report_has_are_left_out():
    found = compare(week(1, figure("a", 0.1, 0.01)), week(0, figure("b", 0.1, 0.01)))
    assert (found.lines, found.sentence) == ((), "The two reports have no figure in common.")
    assert compare(week(1, figure("a", 0.1, 0.01)), week(0, figure("a", None))).lines == ()


def records_of_a_shop(generator, count, users, buying):
    """Records of so many weeks of a shop: conversion, orders, amount, amount per buyer and a group's share, dependent."""
    bought = generator.random((count, users)) < buying
    orders = bought * (1 + generator.poisson(0.3, (count, users)))
    amount = orders * generator.lognormal(4, 0.8, (count, users))
    grouped = generator.random((count, users)) < np.where(bought, 0.6, 0.2)
    shares = [wilson(one.sum(axis=1), users) for one in (bought, grouped)]
    buyers = bought.sum(axis=1)
    mean = amount.sum(axis=1) / buyers
    spread = np.sqrt(np.where(bought, (amount - mean[:, None]) ** 2, 0).sum(axis=1) / (buyers - 1) / buyers)
    found = []
    for i in range(count):
        figures = [
            figure(
                "conversion", float(shares[0].estimate[i]), ci_lower=shares[0].lower[i], ci_upper=shares[0].upper[i]
            ),
            figure("group", float(shares[1].estimate[i]), ci_lower=shares[1].lower[i], ci_upper=shares[1].upper[i]),
            figure("per_buyer", float(mean[i]), Z * float(spread[i])),
        ]
        for name, one in (("orders", orders[i]), ("amount", amount[i])):
            figures.append(figure(name, float(one.sum()), Z * float(one.std(ddof=1)) * np.sqrt(users), kind="sum"))
        found.append(figures)
    return found


def test_two_reports_of_an_unchanged_shop_are_news_in_at_most_five_of_a_hundred_pairs():
    generator, pairs, limit = np.random.default_rng(8), 1_000, int(stats.binom.ppf(0.999, 1_000, 0.05))
    before, now = (records_of_a_shop(generator, pairs, 600, 0.15) for _ in range(2))
    news = [
        any(one.is_news for one in compare(week(1, *here), week(0, *there)).lines)
        for here, there in zip(now, before, strict=True)
    ]
    assert 5 <= sum(news) <= limit  # 34 to 39 with other seeds


def test_a_true_change_is_found():
    generator = np.random.default_rng(9)
    before, now = (records_of_a_shop(generator, 100, 1_500, buying) for buying in (0.12, 0.18))
    found = [
        judged(compare(week(1, *here), week(0, *there)))["conversion"] for here, there in zip(now, before, strict=True)
    ]
    assert found.count("news") >= 95  # z is about 4.6 on average


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_names_from_data_are_text_in_the_block(lang):
    bad = '<script>alert("x")</script>'
    here, there = (week(n, figure("a", v, 0.001, label=bad), lang=lang) for n, v in ((1, 0.2), (0, 0.1)))
    html = comparison_html(compare(here, there))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2  # in the sentence and in the table
    assert ("▲ yes, better" if lang == "en" else "▲ 是，向好") in html


def test_small_rates_show_that_they_moved():
    found = compare(week(1, figure("a", 0.0740, 0.001)), week(0, figure("a", 0.0975, 0.001)))
    assert found.sentence.startswith("A fell to 7.40% from 9.75%,")
    assert "−2.35 points" in comparison_html(found)


@pytest.mark.parametrize(
    ("first", "last", "lang", "says"),
    [
        ("2026-11-16", "2026-11-22", "zh", "11月16–22日"),
        ("2026-11-30", "2026-12-06", "en", "30 Nov – 6 Dec"),
        ("2026-11-16", "2026-11-16", "en", "16 Nov"),
        ("2026-11-16", "2026-11-16", "zh", "11月16日"),
        ("2025-11-16", "2025-11-22", "en", "16–22 Nov 2025"),
        ("2025-12-29", "2026-01-04", "zh", "2025年12月29日–2026年1月4日"),
    ],
)
def test_days_are_written_as_people_write_them(first, last, lang, says):
    assert days_words(date.fromisoformat(first), date.fromisoformat(last), lang, of_year=2026) == says


def kept_run(folder, record, previous=None):
    """The files of a run of which ``record`` is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "findings.json", {name: record[name] for name in ("lang", "period", "figures")})
    write_json(
        folder / "manifest.json", {name: record[name] for name in ("notebook", "source", "parameters", "mask_below")}
    )
    if previous is not None:
        write_json(folder / PREVIOUS, previous)
    return folder


def test_the_report_before_is_the_last_one_of_earlier_days(tmp_path):
    weeks = [week(number, figure("a", 0.1, 0.01)) for number in range(3)]
    assert previous_of(tmp_path / "none", weeks[1]) == {}
    last = kept_run(tmp_path / "run", weeks[1], previous=weeks[0])
    assert previous_of(last, weeks[2])["period"] == weeks[1]["period"]
    assert previous_of(last, weeks[1])["period"] == weeks[0]["period"]  # made once more: what it was held against holds
    assert previous_of(last, weeks[0]) == {}  # an old week made late
    (last / PREVIOUS).unlink()
    assert previous_of(last, weeks[1]) == {}


def test_a_last_run_that_shows_smaller_groups_than_this_one_may_is_none(tmp_path):
    shown, now = week(0, figure("a", 0.1, 0.01)), week(1, figure("a", 0.1, 0.01))
    last = kept_run(tmp_path / "run", shown)
    assert previous_of(last, now)
    assert previous_of(last, {**now, "mask_below": 10}) == {}
    assert previous_of(kept_run(tmp_path / "run", {**shown, "mask_below": 10}), {**now, "mask_below": 10})
    redone = kept_run(tmp_path / "again", now, previous=shown)
    assert previous_of(redone, {**now, "mask_below": 10}) == {}


def test_a_last_run_that_cannot_be_read_is_none(tmp_path):
    last = kept_run(tmp_path / "run", week(0, figure("a", 0.1, 0.01)))
    assert comparison_of(last) is None
    (last / PREVIOUS).write_text('{"period": 3}')
    assert comparison_of(last) is None
    (last / "findings.json").write_text("{")
    assert previous_of(last, week(1, figure("a", 0.1, 0.01))) == {}
    assert comparison_of(last) is None


NOTEBOOK = """
import os
from datetime import date
import pandas as pd
import fake
import workbench.report.show as wb
from dataclasses import replace
from workbench.analysis import Cell, Figure
from workbench.period import start_of_day_ms
from workbench.report.publish import publish
"""
ANALYSE = """
rate = {"2026-11-02": 0.10, "2026-11-09": 0.20, "2026-11-16": 0.21}[start_date]
first, end = date.fromisoformat(start_date), date.fromisoformat(end_date)
period = replace(fake.period(), start_date=first, end_date=end, data_end_ms=start_of_day_ms(end, "Asia/Shanghai"))
cell = Cell("channel_funnel", {"channel": "live"}, "conversion_rate")
figures = (Figure("rate", "conversion", cell, rate, rate - 0.02, rate + 0.02, "rate", "up"),)
analysis = replace(fake.analyse(lang), period=period, figures=figures)
publish(analysis, fake.FakeShop())
"""
PARAMETERS = """
from typing import Literal

start_date: str | None = None  # first day [day]
end_date: str | None = None  # day after the last one [day]
lang: Literal["en", "zh"] = "en"  # language of the report
"""


def weekly_runs(out, source):
    """Week 0, week 1, and week 1 again in Chinese, each into the same folder: pages and what each kept."""
    from report_places import NOTEBOOKS

    cells = [
        nbformat.v4.new_markdown_cell("# What changed?"),
        nbformat.v4.new_code_cell(PARAMETERS.strip(), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            f"import sys\nsys.path.insert(0, {str(NOTEBOOKS)!r}){NOTEBOOK}", metadata={"tags": ["setup"]}
        ),
        nbformat.v4.new_code_cell(ANALYSE.strip()),
        nbformat.v4.new_code_cell("wb.first_screen(analysis)", metadata={"tags": ["first-screen"]}),
    ]
    notebook = out / "weekly.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    found = []
    for number, lang in ((0, "en"), (1, "en"), (1, "zh")):
        first = date(2026, 11, 2) + timedelta(days=7 * number)
        days = {"start_date": first.isoformat(), "end_date": (first + timedelta(days=7)).isoformat()}
        result = run_notebook(notebook, source, out / "runs", parameters=days, lang=lang)
        assert result.status == "done", result.error
        page = result.report.read_text(encoding="utf-8")
        kept = result.folder / PREVIOUS
        found.append((page, json.loads(kept.read_text()) if kept.is_file() else None, comparison_of(result.folder)))
    return found


@pytest.fixture(scope="session")
def weekly(once, source):
    def make(out):
        out.mkdir()
        return weekly_runs(out, source)

    return once("weekly", make)


def test_a_report_tells_what_changed_since_the_last_one_and_a_redo_keeps_it(weekly):
    (first, none, nothing), (second, kept, found), (redone, still, _) = weekly
    assert (none, nothing) == (None, None)
    assert 'class="wb-since"' not in first
    assert "Since the last report (2–8 Nov)</h2>" in second
    assert "Conversion rose to 20.0% from 10.0%, beyond chance." in second
    assert second.index("wb-verdict") < second.index('class="wb-since"') < second.index("<main>")
    assert found.sentence in second
    assert "与上期报告相比（11月2–8日）" in redone
    assert still == kept
    asked = {"notebook", "source", "source_key", "parameters", "mask_below"}
    assert set(kept) == asked | {"finished_at", "lang", "period", "figures"}


def test_the_index_says_in_one_line_what_changed(tmp_path, source):
    request = prepare_run("sales_overview", source, parameters={}, name="sales")
    kept_run(tmp_path / "sales", week(1, figure("a", 0.2, 0.01)), previous=week(0, figure("a", 0.1, 0.01)))
    done = RunResult("sales", "Sales", "done", tmp_path / "sales")
    page = make_index([request], {"sales": done}, tmp_path, "en")
    assert "Since the last report (2–8 Nov): A rose to 20.0% from 10.0%, beyond chance." in page
    assert "Since the last report" not in make_index([request], {}, tmp_path, "en")


def test_what_is_kept_of_a_report_names_no_place(weekly):
    for _, kept, _ in weekly:
        assert SECRET not in json.dumps(kept)
        assert not re.search(r'"[~/]', json.dumps(kept))


@pytest.mark.browser
@pytest.mark.parametrize("look", [("light", 390), ("dark", 390), ("light", 1280)], ids=str)
def test_the_block_is_read_without_javascript_on_phone_and_desk(weekly, tmp_path, open_page, look):
    scheme, width = look
    page_file = tmp_path / "report.html"
    page_file.write_text(weekly[1][0], encoding="utf-8")
    page = open_page(page_file, script=False, color_scheme=scheme, viewport={"width": width, "height": 844})
    block = page.get_by_role("region", name="Since the last report (2–8 Nov)")
    assert block.get_by_role("heading", level=2).is_visible()
    assert block.get_by_role("row").nth(1).inner_text().split("\t")[-1] == "▲ yes, better"
    box = block.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
