"""What a panel shows of some users at once is what the comparison of these users says."""

import pandas as pd
import pytest

from workbench import open_shop
from workbench.channel import compare_channels
from workbench.channel.live import live_tables
from workbench.errors import ParameterError

CHOICES = [
    [],
    ["region=North"],
    ["device=ios", "device=android", "age_group=18-24"],
    ["channel=paid_search", "channel=organic"],
    ["channel=(unknown)", "channel=referral", "region=South"],
]
ASKED = [
    {"timezone": "Asia/Shanghai"},
    {
        "timezone": "Asia/Shanghai",
        "population": "active",
        "start_date": "2026-04-01",
        "end_date": "2026-05-01",
        "standardise_by": ["age_group", "device"],
        "repurchase_days": [14],
        "confidence_level": 0.9,
        "min_users": 5,
    },
]


@pytest.mark.parametrize("asked", ASKED, ids=["new", "active"])
@pytest.mark.slow
def test_every_choice_is_the_comparison_of_these_users(small_folder, asked):
    shop = open_shop(small_folder)
    answer = live_tables(shop, asked)
    for only_users in CHOICES:
        whole = compare_channels(shop, only_users=only_users, **asked).tables
        found = answer(only_users)
        assert {"channel_scorecard", "channel_adjusted", "channel_mix", "channel_pairs"} == set(found)
        for name, table in found.items():
            told = f"{name} {only_users}"
            pd.testing.assert_frame_equal(table, whole[name], check_dtype=False, rtol=1e-9, atol=1e-9, obj=told)


def test_what_cannot_be_chosen_is_refused_alike(small_folder):
    shop = open_shop(small_folder)
    answer = live_tables(shop, {})
    for only_users in (["region=Nort"], ["region"], ["age=3"]):
        with pytest.raises(ParameterError) as whole:
            compare_channels(shop, only_users=only_users)
        with pytest.raises(ParameterError) as told:
            answer(only_users)
        assert str(told.value) == str(whole.value)


def test_credit_is_not_held(small_folder):
    assert live_tables(open_shop(small_folder), {"channel_basis": "last"}) is None
