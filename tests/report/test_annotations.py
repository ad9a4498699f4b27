"""Days to be drawn on charts: what a spreadsheet may write, and what is refused before anything starts."""

from datetime import date

import pytest
from report_places import NOTEBOOKS
from typer.testing import CliRunner

from workbench.cli import app
from workbench.errors import ParameterError
from workbench.report.annotations import Annotation, load_annotations
from workbench.report.request import prepare_run

SALE = Annotation(date(2026, 11, 1), date(2026, 11, 11), "双11")
PRICE = Annotation(date(2026, 11, 20), date(2026, 11, 20), "Price, up")
TEXT = 'date,label,end_date\n2026-11-20,"Price, up",\n2026-11-01,双11,2026-11-11\n'


def saved(tmp_path, content, name="days.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_encodings_of_spreadsheets_are_read(tmp_path, encoding, line_end):
    path = saved(tmp_path, TEXT.replace("\n", line_end).encode(encoding))
    assert load_annotations(path) == (SALE, PRICE)


@pytest.mark.parametrize(
    "day", ["2026-11-11", "2026/11/11", "2026.11.11", "2026年11月11日", "2026/11/11 0:00", "2026-11-11 00:00:00"]
)
def test_the_days_of_spreadsheets_are_read(tmp_path, day):
    [found] = load_annotations(saved(tmp_path, f"Date;Label\n{day};x\n"))
    assert (found.start_date, found.days) == (date(2026, 11, 11), "2026-11-11")


@pytest.mark.parametrize("label", ["Fête de l’été", "Überraschung", "Распродажа", "double 双", "联通"])
def test_labels_in_utf_8_are_not_taken_for_gbk(tmp_path, label):
    [found] = load_annotations(saved(tmp_path, f"date,label\n2026-11-11,{label}\n"))
    assert found.label == label


def test_a_day_without_leading_zeros_is_read(tmp_path):
    [found] = load_annotations(saved(tmp_path, "date\tlabel\n2026/6/1\tx\n"))
    assert found.start_date == date(2026, 6, 1)


def test_empty_rows_are_passed_over_and_repeated_ones_kept_once(tmp_path):
    text = "label,date\n\nx,2026-11-11\n,,\nx,2026-11-11\n"
    assert len(load_annotations(saved(tmp_path, text))) == 1
    assert load_annotations(saved(tmp_path, "date,label\n")) == ()
    assert load_annotations("") == ()


def test_labels_lose_what_cannot_be_seen(tmp_path):
    [found] = load_annotations(saved(tmp_path, "date,label\n2026-11-11,a\u202eb  c\n"))
    assert found.label == "ab c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dat,label\n", 'line 1: there is no column "dat", did you mean "date"? Allowed: date, label, end_date.'),
        ("date\n", 'line 1: the column "label" is missing.'),
        ("date,label,label\n", "line 1: a column stands there twice."),
        ("", 'line 1: the column "date" is missing.'),
        ("date,label\n11/11/2026,x\n", 'line 2: date "11/11/2026" is not a day; write it as 2026-11-11 or 2026/11/11.'),
        ("date,label\n\n2026-02-30,x\n", 'line 3: date "2026-02-30" is not a day'),
        ("date,label\n,x\n", 'line 2: date "" is not a day'),
        ("date,label\n2026-11-11,\n", "line 2: the label is empty"),
        (f"date,label\n2026-11-11,{'x' * 61}\n", "has 61 characters; at most 60."),
        ("date,label,end_date\n2026-11-11,x,2026-11-10\n", "end_date 2026-11-10 is before date 2026-11-11"),
        ("date,label\n2026-11-11,Price, up\n", "line 2: it has 3 fields, the header has 2; quote labels with commas."),
        (b"date,label\n2026-11-11,\xff\xff\n", "is not text in UTF-8 or GBK. Save it as CSV (UTF-8)."),
        ("date,label\n" + "x" * 200_001, "at most 200,000"),
        (
            "date,label\n" + "".join(f"2026-{1 + day // 28:02}-{1 + day % 28:02},x\n" for day in range(101)),
            "it has 101 rows; at most 100 can be drawn.",
        ),
    ],
)
def test_a_fault_says_where_it_is_and_what_is_allowed(tmp_path, text, said):
    path = saved(tmp_path, text)
    with pytest.raises(ParameterError) as refused:
        load_annotations(path)
    assert said in str(refused.value)
    assert str(refused.value).startswith("annotations: days.csv")
    assert str(tmp_path) not in str(refused.value)


def test_all_faults_of_a_file_are_told_together(tmp_path):
    text = "date,label\n" + "nonsense,x\n" * 12
    with pytest.raises(ParameterError) as refused:
        load_annotations(saved(tmp_path, text))
    lines = str(refused.value).splitlines()
    assert lines[0] == "annotations: days.csv has 12 faults; nothing was started."
    assert lines[1].startswith("line 2: ")
    assert lines[-1] == "and 2 more."


def test_a_wrong_file_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ParameterError, match=r"days\.csv has 1 fault; nothing was started\.\nline 2: "):
        prepare_run(
            "sales_overview", tmp_path, parameters={}, annotations=saved(tmp_path, "date,label\n2026-13-01,x\n")
        )
    with pytest.raises(ParameterError, match=r"gone\.csv is not there"):
        prepare_run("sales_overview", tmp_path, parameters={}, annotations=str(tmp_path / "gone.csv"))


def run(source, out, *options):
    return CliRunner().invoke(app, ["run", str(NOTEBOOKS / "demo.ipynb"), str(source), "--out", str(out), *options])


def test_the_command_refuses_wrong_days_and_draws_right_ones(source, tmp_path):
    out = tmp_path / "out"
    wrong = run(source, out, "--annotations", saved(tmp_path, "date,label\nsoon,x\n"))
    assert wrong.exit_code == 2
    assert 'line 2: date "soon" is not a day' in wrong.output
    assert not out.exists()
    days = saved(tmp_path, "date,label\n2026-01-20,Price change\n")
    assert run(source, out, "--annotations", days, "--comment", "Read **this**.").exit_code == 0
    page = (out / "demo" / "report.html").read_text(encoding="utf-8")
    assert "Read <strong>this</strong>." in page
    # charts over time: one of a single view, and the one of two beside each other, of which one has days
    assert page.count('<ol class="wb-marks wb-unseen"') == 2
    assert str(tmp_path) not in page
