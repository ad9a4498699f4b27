"""What a panel shows of some users at once is what the report on these users says."""

import pandas as pd
import pytest

from workbench import open_shop
from workbench.errors import ParameterError
from workbench.user.live import live_tables
from workbench.user.quadrants import QuadrantRules, read_quadrants
from workbench.user.segmentation import segment_users

WEEKS = {"window_days": 14, "period_days": 7, "timezone": "Asia/Shanghai"}
CHOICES = [
    [],
    ["region=North"],
    ["device=ios", "device=android", "age_group=18-24"],
    ["channel=(unknown)", "channel=email"],
]
ASKED = [
    WEEKS,
    {
        **WEEKS,
        "x_metric": "days_since_last_visit",
        "y_metric": "orders",
        "threshold": [3.0, 0.0],
        "start_date": "2026-05-01",
        "end_date": "2026-06-01",
        "min_users": 5,
        "lang": "zh",
    },
]


def groups_of(shop, asked):
    """The tables of groups as the report has them."""
    given = {name: value for name, value in asked.items() if name in QuadrantRules.__dataclass_fields__}
    if isinstance(given.get("threshold"), list):
        given["threshold"] = dict(zip("xy", given["threshold"], strict=True))
    rules = QuadrantRules(**given)
    period = shop.period(asked.get("start_date"), asked.get("end_date"), asked["timezone"])
    found = read_quadrants(shop, period, rules, asked.get("lang", "en"))
    return {
        "quadrants": found.quadrants.assign(x_metric=rules.x_metric, y_metric=rules.y_metric),
        "migration": found.migration,
        "migration_alerts": found.migration_alerts,
    }


@pytest.mark.parametrize("asked", ASKED, ids=["defaults", "own"])
@pytest.mark.slow
def test_every_choice_is_the_report_on_these_users(small_folder, asked):
    shop = open_shop(small_folder)
    answer = live_tables(shop, asked)
    found = {tuple(only_users): answer(only_users) for only_users in CHOICES}
    for number, (only_users, tables) in enumerate(found.items()):
        if number == 1:  # the report as a whole; of the others its groups alone, which are a tenth of it
            whole = segment_users(shop, only_users=only_users, **asked).tables
        else:
            whole = groups_of(shop.only(only_users), asked)
        assert set(tables) == {"quadrants", "migration", "migration_alerts"}
        for name, table in tables.items():
            told = f"{name} {only_users}"
            pd.testing.assert_frame_equal(table, whole[name], check_dtype=False, rtol=1e-9, atol=1e-9, obj=told)


def test_what_cannot_be_chosen_or_divided_is_refused_alike(small_folder):
    shop = open_shop(small_folder)
    answer = live_tables(shop, WEEKS)
    for only_users in (["region=Nort"], ["region"], ["channel=(unknown)", "device=ios", "region=North"]):
        try:
            segment_users(shop, only_users=only_users, **WEEKS)
        except ParameterError as error:
            expected = str(error)
        else:
            expected = ""
        if expected:
            with pytest.raises(ParameterError) as told:
                answer(only_users)
            assert str(told.value) == expected
    with pytest.raises(ParameterError, match="x_metric"):
        live_tables(shop, {**WEEKS, "x_metric": "visit_dayz"})


@pytest.mark.engine
@pytest.mark.parametrize("only_users", [["region=North"], []])
@pytest.mark.slow
def test_clickhouse_answers_alike(small_folder, only_users):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    asked = {**WEEKS, "start_date": "2026-05-01", "end_date": "2026-06-01"}
    answers = [live_tables(open_shop(source), asked) for source in (small_folder, f"chdb://{small_folder}")]
    for answer in answers:
        answer(["device=ios"])
    found = [answer(only_users) for answer in answers]
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name], check_dtype=False, rtol=1e-9, atol=1e-9, obj=name)
