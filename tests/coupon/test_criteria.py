"""When a coupon fails a criterion: only where it is surely far behind."""

import pandas as pd
import pytest

from workbench.coupon.criteria import add_criteria


def judged(rates, uppers, *, users=200.0, subsidy=(0.1, 0.08, 0.12)):
    """Coupons with these redemption rates and upper ends; all else is alike."""
    card = pd.DataFrame({"redemption_rate": rates, "redemption_ci_upper": uppers})
    card["level"] = "coupon"
    card[["subsidy_rate", "subsidy_ci_lower", "subsidy_ci_upper"]] = subsidy
    for name in ("average_order", "category_entropy", "repurchase_rate_30"):
        card[f"{name}_ci_upper"] = 0.6
    card[["average_order_value", "category_entropy", "repurchase_rate_30"]] = 0.5
    enough = pd.DataFrame({"holders": users, "buyers": users, "eligible": users}, index=card.index)
    return add_criteria(card, [30], 0.2, enough)


def test_far_behind_the_others_is_the_whole_interval():
    """The median of the others is 0.40 for the last: half is 0.20."""
    assert judged([0.4, 0.4, 0.1], [0.5, 0.5, 0.199])["is_redeemed_well"].tolist() == ["pass", "pass", "fail"]
    assert judged([0.4, 0.4, 0.1], [0.5, 0.5, 0.2])["is_redeemed_well"].tolist() == ["pass"] * 3


def test_without_an_interval_a_number_stands_for_itself():
    assert judged([0.4, 0.4, 0.0], [0.5, 0.5, None])["is_redeemed_well"].tolist() == ["pass", "pass", "fail"]


@pytest.mark.parametrize(("rates", "users"), [([0.4, 0.1], 200.0), ([0.4, 0.4, 0.1], 49.0)])
def test_too_few_coupons_or_users_are_not_judged(rates, users):
    found = judged(rates, rates, users=users)
    assert found[["is_redeemed_well", "sells", "is_diverse", "brings_back"]].eq("unknown").all().all()


@pytest.mark.parametrize(
    ("subsidy", "word"),
    [
        ((0.1, 0.08, 0.2), "ok"),
        ((0.21, 0.19, 0.23), "unsure"),
        ((0.3, 0.21, 0.4), "over"),
        ((0.25, None, None), "over"),
        ((None, None, None), "unknown"),
    ],
)
def test_the_limit_against_the_interval(subsidy, word):
    assert judged([0.4], [0.5], subsidy=subsidy)["is_subsidy_ok"].tolist() == [word]
    assert judged([0.4], [0.5], subsidy=(0.3, 0.21, 0.4), users=10.0)["is_subsidy_ok"].tolist() == ["unknown"]


def test_one_level_is_not_compared_with_another():
    card = judged([0.4, 0.4, 0.1], [0.5, 0.5, 0.11])
    card["level"] = ["coupon", "coupon", "kind"]
    enough = pd.DataFrame({"holders": 200.0, "buyers": 200.0, "eligible": 200.0}, index=card.index)
    assert add_criteria(card, [30], 0.2, enough)["is_redeemed_well"].tolist() == ["unknown"] * 3
