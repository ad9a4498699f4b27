"""Pictures of the read-out say what the verdict says, also at the edge where two kinds of intervals part."""

import math

import pytest
from shops import at

from workbench.experiment import charts
from workbench.experiment.effects import DECIDING

USERS = 60
SPREAD = 95.0
PICTURES = (charts.verdict_picture, charts.outcome_picture)
ASKED = {"outcomes": ["paid_amount_per_user"], "outcome_days": [7]}


@pytest.fixture
def arms_of(shop_of):
    """A shop with 60 users an arm who pay their arm's mean, half of them 95 more and half 95 less."""

    def opened(means, planned=None):
        assigned, orders = [], []
        for arm, mean in means.items():
            for number in range(USERS):
                user = f"{arm}{number}"
                assigned.append((user, arm, at("2026-03-10")))
                orders.append((user, "2026-03-12", {"gross_amount": mean + SPREAD * (-1) ** number}))
        return shop_of(assigned, orders, planned=planned)

    return opened


def std_errors(count):
    """So many standard errors of the difference of two arms."""
    return count * SPREAD * math.sqrt(2 / (USERS - 1))


def drawn_rows(picture):
    document = picture.to_dict()
    return [row for rows in document["datasets"].values() for row in rows]


@pytest.mark.parametrize(
    ("control", "shift", "verdict", "lang"),
    [
        (100.0, 2.05, "better", "en"),  # 2.05 errors above; the relative interval knows the control's chance: holds 0
        (200.0, -1.90, "open", "zh"),  # 1.90 errors below; the relative interval, here the narrower, does not hold 0
        (100.0, 1.90, "open", "zh"),
        (200.0, -2.05, "worse", "en"),
    ],
)
def test_what_is_drawn_holds_zero_where_the_verdict_is_open(arms_of, read, control, shift, verdict, lang):
    analysis = read(arms_of({"control": control, "treatment": control + std_errors(shift)}), lang=lang, **ASKED)
    row = analysis.tables["experiment_verdict"].iloc[0]
    assert row["verdict"] == verdict
    for picture in PICTURES:
        for one in drawn_rows(picture(analysis)):
            assert (one["lower"] > 0, one["upper"] < 0) == (verdict == "better", verdict == "worse")
            assert one["lower"] == pytest.approx(row["ci_lower"] / control)
            assert one["upper"] == pytest.approx(row["ci_upper"] / control)
            assert (one["lower"] + one["upper"]) / 2 == pytest.approx(one["relative_estimate"])
    if shift in (2.05, -1.90):  # else this test could not fail
        raw = analysis.tables["experiment_effect"].query("adjustment == 'none'").iloc[0]
        holds_zero = raw["relative_ci_lower"] <= 0 <= raw["relative_ci_upper"]
        assert holds_zero == (verdict != "open")


def test_with_three_arms_the_picture_allows_for_them_as_the_verdict_does(arms_of, read):
    """2.2 errors settle one arm, and not one of two: Holm asks for 2.26."""
    analysis = read(arms_of({"control": 100.0, "a": 100.0 + std_errors(2.2), "b": 100.0 + std_errors(1.0)}), **ASKED)
    table = analysis.tables["experiment_effect"].set_index(["variant", "adjustment"])
    assert table.loc[("a", DECIDING), "ci_lower"] > 0
    assert set(analysis.tables["experiment_verdict"]["verdict"]) == {"open"}
    assert all(one["lower"] < 0 < one["upper"] for one in drawn_rows(charts.verdict_picture(analysis)))


@pytest.mark.parametrize(
    ("lang", "words", "interval"),
    [("en", "e (not valid)", "intervals of the difference"), ("zh", "e（无效）", "差值区间")],
)
def test_pictures_name_a_broken_experiment_and_the_interval_they_draw(arms_of, read, lang, words, interval):
    shop = arms_of({"control": 100.0, "treatment": 180.0}, planned={"control": 0.9, "treatment": 0.1})
    analysis = read(shop, lang=lang, **ASKED)
    assert analysis.tables["experiment_verdict"]["verdict"].tolist() == ["broken"]
    for picture in PICTURES:
        drawn = picture(analysis)
        assert {one["arm"] for one in drawn_rows(drawn)} == {words}
        below = drawn.to_dict()["title"]["subtitle"]
        assert interval in (below if isinstance(below, str) else "".join(below))
