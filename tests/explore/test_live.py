"""Other users are answered at once, from what is held, and then as a whole: both say the same."""

import pandas as pd
import pytest

from workbench.explore.question import QUESTIONS

NORTH = ["region=North"]


def record(panel):
    """The tables of each answer that was shown at once."""
    shown = []
    before = panel._answer_part

    def answer_part(step, tables, seconds):
        before(step, tables, seconds)
        shown.append((dict(tables), panel.frame.copy(), panel.findings.value, panel.chart))

    panel._answer_part = answer_part
    return shown


def check_both(panel):
    panel.settle(with_live=True)
    shown = record(panel)
    panel.set(only_users=NORTH)
    panel.settle()
    [(tables, frame, findings, chart)] = shown
    assert panel.view.table in tables
    assert findings == ""
    assert panel.findings.value
    assert not panel.is_part
    assert (chart is None) == (panel.chart is None)
    pd.testing.assert_frame_equal(frame, panel.frame, check_dtype=False, rtol=1e-9, atol=1e-9)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(
            table, panel.analysis.tables[name], check_dtype=False, rtol=1e-9, atol=1e-9, obj=name
        )


@pytest.mark.parametrize("name", ["channels", "users"])
def test_what_is_shown_at_once_is_what_the_whole_says(panels, name):
    check_both(panels(QUESTIONS[name], timezone="Asia/Shanghai"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slots", "coupons", "sales"])
def test_what_is_shown_at_once_is_what_the_whole_says_of_the_others(panels, name):
    check_both(panels(QUESTIONS[name], timezone="Asia/Shanghai"))


def fake_live(log):
    def live_tables(shop, parameters):
        log.append(("prepared", parameters["days"]))

        def answer(only_users):
            log.append(("answered", tuple(only_users)))
            if "gone" in only_users:
                raise RuntimeError("the table is gone")
            return {
                "things": pd.DataFrame({"thing_id": ["a"], "thing_name": ["Ant"], "user_count": [parameters["days"]]})
            }

        return answer

    return live_tables


def test_it_is_prepared_when_nothing_is_asked_and_anew_for_other_parameters(panels, fake):
    log = []
    panel = panels(fake(live=fake_live(log)))
    panel.settle(with_live=True)
    assert log == [("prepared", 7), ("answered", ())]
    shown = record(panel)
    panel.set(only_users=["x=1"])
    panel.settle(with_live=True)
    assert log[2:] == [("answered", ("x=1",))]
    assert len(shown) == 1
    panel.set(days=9)
    panel.settle(with_live=True)
    assert log[3:] == [("prepared", 9), ("answered", ())]
    assert len(shown) == 1


def test_an_answer_at_once_that_fails_leaves_it_to_the_whole(panels, fake):
    panel = panels(fake(live=fake_live([])))
    panel.settle(with_live=True)
    panel.set(only_users=["gone"])
    panel.settle()
    assert panel.error == ""
    assert len(panel.frame) == 3


def test_a_view_without_such_tables_waits_for_the_whole(panels, fake):
    panel = panels(fake(live=fake_live([])))
    panel.settle(with_live=True)
    shown = record(panel)
    panel.show("parts")
    panel.settle()
    panel.set(only_users=["x=1"])
    panel.settle()
    assert shown == []
    assert len(panel.frame) == 3


def test_panels_of_one_shop_keep_their_own(panels):
    """Both hold sums under the same names; the second must not answer for the first."""
    first = panels(QUESTIONS["channels"], timezone="Asia/Shanghai", conversion_days=30)
    first.settle(with_live=True)
    second = panels(QUESTIONS["channels"], timezone="Asia/Shanghai", conversion_days=7)
    second.settle(with_live=True)
    check_both(first)
