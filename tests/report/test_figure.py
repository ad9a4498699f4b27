import base64
import gzip
import json

import fake
import pytest

from workbench.report.block import link, without_links
from workbench.report.figure import Figures, _joined, is_composed
from workbench.report.scrub import safe_name, scrub


def spec(chart):
    return json.loads(json.dumps(chart.to_dict(), default=str))


def unpacked(figures):
    return json.loads(gzip.decompress(base64.b64decode(figures.payload())))


def test_charts_on_the_same_data_share_it():
    figures, analysis = Figures("en"), fake.analyse("en")
    figures.add(spec(fake.lines(analysis)))
    figures.add(spec(fake.linked(analysis)))
    content = unpacked(figures)
    assert len(content["specs"]) == 2
    assert len(content["datasets"]) == 1
    assert "datasets" not in content["specs"][0]


def test_title_and_subtitle_become_words_that_wrap():
    html = Figures("en").add(spec(fake.bars(fake.analyse("en"))))
    assert "<figcaption><b>Live rooms lead by one point</b>" in html
    assert 'aria-label="Live rooms lead by one point. Paid orders per session, January to March 2026"' in html
    assert "<svg" in html
    assert "<script>alert" not in html


def test_ids_of_still_pictures_do_not_meet():
    figures, one = Figures("en"), spec(fake.lines(fake.analyse("en")))
    pages = [figures.add(one) for _ in range(2)]
    ids = [{part.split('"')[0] for part in page.split(' id="')[1:]} for page in pages]
    assert not ids[0] & ids[1]


def test_the_same_chart_is_not_changed_by_adding_it():
    one = spec(fake.bars(fake.analyse("en")))
    before = json.dumps(one)
    Figures("en").add(one, on_first_screen=True)
    assert json.dumps(one) == before


def test_a_chart_on_the_first_screen_is_low():
    figures = Figures("zh")
    figures.add(spec(fake.lines(fake.analyse("zh"))), on_first_screen=True)
    assert unpacked(figures)["specs"][0]["height"] == 190


@pytest.mark.parametrize(("asked", "given"), [(40, 150), (170, 170), (400, 190)])
def test_rows_on_the_first_screen_do_not_overlap_and_leave_room_for_what_to_do(asked, given):
    figures = Figures("en")
    figures.add(spec(fake.lines(fake.analyse("en"))) | {"height": asked}, on_first_screen=True)
    assert unpacked(figures)["specs"][0]["height"] == given


def test_composed_charts_are_told_apart():
    analysis = fake.analyse("en")
    assert is_composed(spec(fake.linked(analysis)))
    assert not is_composed(spec(fake.lines(analysis)))


def test_a_chart_that_cannot_be_drawn_says_so():
    with pytest.raises(ValueError, match="cannot be drawn"):
        Figures("en").add({"mark": "nonsense"})


def test_links_lead_only_to_what_is_there():
    html = link("def-a", "A") + link("def-b", "B")
    assert without_links(html, {"def-a"}) == '<a class="wb-ref" href="#def-a">A</a>B'


def test_the_safe_name_of_a_source():
    assert safe_name("postgres://u:p@h/db?x=1") == "db"
    assert safe_name("pyspark://") == "pyspark database"
    assert safe_name("data/sample/") == "sample"


def test_passwords_are_replaced_also_when_quoted():
    url = "postgres://me:hunter%40two@host.example:5432/db"
    texts = ["password hunter@two at host.example", f"cannot open {url}", {"a": [1, None, "hunter%40two"]}]
    assert "two" not in json.dumps(scrub(texts, url))


def test_lines_of_a_chinese_title_join_without_a_space():
    assert _joined(["前三十个位置占", "坑位贡献的七成"]) == "前三十个位置占坑位贡献的七成"
    assert _joined(["one line", "and 另一行"]) == "one line and 另一行"
