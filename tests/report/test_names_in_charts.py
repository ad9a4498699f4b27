"""Names from data are words in every picture: in axes, legends, labels, tooltips, and on the index page."""

import json
import re
from pathlib import Path

import altair as alt
import nbformat
import pandas as pd
import pytest

import workbench as wb
from workbench.report.charts import CHART_MIME, finite
from workbench.report.index import make_index
from workbench.report.page import make_page
from workbench.report.request import prepare_run
from workbench.report.run import RunResult

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
DESK = {"width": 1280, "height": 800}
SPEAKS = "window.said = []; for (const how of ['alert', 'confirm', 'prompt']) window[how] = text => window.said.push(text); 0"
NAMES = (
    '{"expr":"alert(1)"}',
    "</script><script>alert(2)</script>",
    '<img src=x onerror="alert(3)">',
    "=cmd|' /C calc'!A0",
    "a.b['c']\"d\\",
    "datum['x'] + alert(4)",
    "'+alert(5)+'",
)
FIELDS = ("a.b", "a[0]", 'quoted "twice"', "quoted 'once'", "back\\slash", "</script>")


def spec_of(chart):
    return {CHART_MIME: json.loads(json.dumps(finite(chart.to_dict()), default=str)), "text/plain": "<chart>"}


def page_of(charts, path):
    outputs = [nbformat.v4.new_output("display_data", spec_of(one)) for one in charts]
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    path.write_text(make_page(node, "en", "Names", {}), encoding="utf-8")
    return path


def drawn_texts(page):
    return set(page.locator(".vega-embed svg text").all_text_contents())


def opened(open_page, path):
    """The page, whose dialogs are noted; the fixture fails on a request or a word on the console."""
    page = open_page(path, viewport=DESK)
    page.evaluate(SPEAKS)
    return page


@pytest.fixture
def heard(chromium):
    """Open a page of a small shop, of whose empty columns Vega warns; faults and requests are listed."""
    context, said, requests = chromium.new_context(offline=True), [], []

    def open_it(path):
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if "Infinite extent" not in message.text else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.absolute().as_uri())
        page.locator('html[data-wb-ready="1"]').wait_for(state="attached", timeout=30_000)
        return page

    yield open_it
    context.close()
    assert said == []
    assert len(requests) <= 1


def bars():
    table = pd.DataFrame({"name": NAMES, "value": range(1, len(NAMES) + 1)})
    tips = [alt.Tooltip("name:N", title=NAMES[0]), alt.Tooltip("value:Q", title=NAMES[2])]
    return (
        alt.Chart(table, title=alt.TitleParams(NAMES[0], subtitle=NAMES[1]))
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=NAMES[5]),
            y=alt.Y("name:N", sort=list(NAMES), axis=alt.Axis(labelLimit=600), title=NAMES[0]),
            color=alt.Color("name:N", title=NAMES[2], legend=alt.Legend(labelLimit=600)),
            tooltip=tips,
        )
    )


def test_names_on_axes_and_in_legends_are_read_letter_by_letter(open_page, tmp_path):
    page = opened(open_page, page_of([bars()], tmp_path / "page.html"))
    texts = page.locator(".vega-embed svg text").all_text_contents()
    for name in NAMES:
        assert texts.count(name) >= 2, name  # axis and legend
    assert page.locator("figcaption").inner_text().split() == f"{NAMES[0]} {NAMES[1]}".split()
    assert page.locator("img").count() == 0
    assert page.evaluate("window.said") == []


def test_a_tooltip_shows_names_and_runs_none(open_page, tmp_path):
    page = opened(open_page, page_of([bars()], tmp_path / "page.html"))
    marks = page.locator(".vega-embed svg .mark-rect.role-mark path")
    assert marks.count() == len(NAMES)
    for number, name in enumerate(NAMES):
        marks.nth(number).hover()
        tip = page.locator("#vg-tooltip-element.visible")
        tip.wait_for()
        assert name in tip.inner_text()
        assert tip.locator("img, script").count() == 0
    assert page.evaluate("window.said") == []


def test_columns_of_any_name_are_drawn(open_page, tmp_path):
    def escaped(name):
        return re.sub(r"([\\.\[\]'\"])", r"\\\1", name)

    table = pd.DataFrame({name: ["x", "y"] for name in FIELDS} | {"value": [1, 2]})
    charts = [
        alt.Chart(table)
        .mark_bar()
        .encode(
            x="value:Q",
            y=alt.Y(field=escaped(name), type="nominal", title=name),
            tooltip=alt.Tooltip(field=escaped(name), type="nominal", title=name),
        )
        for name in FIELDS
    ]
    page = opened(open_page, page_of(charts, tmp_path / "page.html"))
    assert page.locator("figure .vega-embed svg").count() == len(FIELDS)
    assert set(FIELDS) <= drawn_texts(page)
    assert {"x", "y"} <= drawn_texts(page)


def test_the_index_shows_what_reports_say_as_words(open_page, tmp_path):
    demo = Path(__file__).with_name("notebooks") / "demo.ipynb"
    request = prepare_run(demo, "shop", parameters={}, comment=NAMES[1])
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "report.html").write_text("<p>report</p>")
    findings = {
        "verdict": NAMES[1],
        "flags": [NAMES[2]],
        "findings": [{"text": name} for name in NAMES],
        "headline": {"columns": [NAMES[2], NAMES[0]], "rows": [[NAMES[1], NAMES[5]]]},
        "period": {
            "start_date": "2026-01-01",
            "end_date": "2026-02-01",
            "last_date": "2026-01-31",
            "data_last_date": "2026-01-31",
            "timezone": "UTC",
        },
    }
    alert = {"text": NAMES[2], "is_current": True, "name": NAMES[1]}
    result = RunResult(
        "demo", NAMES[2], "done", tmp_path / "demo", findings=findings, alerts={"rings": True, "alerts": [alert]}
    )
    page = tmp_path / "index.html"
    page.write_text(make_index([request], {"demo": result}, tmp_path, "en"), encoding="utf-8")
    shown = open_page(page, script=False, viewport=DESK)
    text = shown.locator("body").inner_text()
    assert NAMES[1] in text
    assert NAMES[2] in text
    assert shown.locator("img").count() == 0


# -- whole rooms ---------------------------------------------------------------------------------------------

RENAMED = {
    "users": ("channel", "region", "age_group", "device"),
    "orders": ("channel", "region"),
    "events": ("channel", "campaign", "keyword"),
    "channel_spend": ("channel", "campaign", "keyword"),
    "products": ("name", "category"),
    "order_lines": ("category",),
    "slots": ("name",),
    "contents": ("name",),
    "coupons": ("name",),
    "stock": ("region",),
}


def renamed(value):
    """Some of the names of a column become harmful ones, in every table alike."""
    if not isinstance(value, str):
        return value
    place = sum(map(ord, value)) % (len(NAMES) * 2)
    return f"{NAMES[place]} {value}" if place < len(NAMES) else value


def harmful_shop(folder: Path) -> Path:
    from workbench.source.simulate import simulate_shop

    simulate_shop(folder, users=400)
    for name, columns in RENAMED.items():
        path = folder / f"{name}.parquet"
        table = pd.read_parquet(path)
        for column in columns:
            table[column] = table[column].map(renamed)
        table.to_parquet(path, index=False)
    return folder


ROOMS = {
    "channel_comparison": (wb.channel.compare_channels, {"breakdown": "region"}),
    "coupon_evaluation": (wb.coupon.evaluate_coupons, {}),
    "sales_overview": (wb.sales.overview_sales, {"start_date": "2026-05-01", "end_date": "2026-06-01"}),
    "slot_attribution": (wb.slot.attribute_slots, {}),
    "user_quadrants": (wb.user.segment_users, {"window_days": 14, "period_days": 7}),
}


@pytest.mark.slow
@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_picture_of_a_shop_with_harmful_names_is_drawn_and_runs_nothing(heard, once, tmp_path, room):
    shop = wb.open_shop(once("harmful", harmful_shop))
    analyse, asked = ROOMS[room]
    analysis = analyse(shop, timezone="Asia/Shanghai", **asked)
    node = json.loads((ROOT / "notebooks" / f"{room}.ipynb").read_text(encoding="utf-8"))
    code = "\n".join("".join(cell["source"]) for cell in node["cells"] if cell["cell_type"] == "code")
    calls = list(dict.fromkeys(re.findall(r"wb\.\w+\.charts\.\w+\(analysis[^()]*\)", code)))
    charts = [eval(call, {"wb": wb, "analysis": analysis, "subsidy_limit": 0.2}) for call in calls]  # noqa: S307
    charts = [one for one in charts if hasattr(one, "to_dict")]
    page = heard(page_of(charts, tmp_path / "page.html"))
    assert page.locator("figure .vega-embed svg").count() == len(charts) >= 3
    assert page.locator("img").count() == 0
    planted = [one for one in NAMES if any(one[:12] in text for text in drawn_texts(page))]
    assert planted or room == "user_quadrants"  # its pictures name groups, not data
