"""The coupon scorecard by hand, on the sample's planted stories, and in the face of bad input."""

import math

import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.coupon import charts, evaluate_coupons
from workbench.errors import ParameterError


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Coupon a: three grants, two used on paid orders, one on an unpaid order; order 2 stacks a and b.

    Order 4 carries no coupon. Data end after 15 April 2026.
    """
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("made") / "shop",
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount",
                (1, "u1", "2026-03-02", "2026-03-02", 100.0, 20.0, 0.0),
                (2, "u2", "2026-03-03", "2026-03-03", 200.0, 30.0, 10.0),
                (3, "u3", "2026-03-04", None, 100.0, 20.0, 0.0),
                (4, "u1", "2026-03-20", "2026-03-20", 60.0, 0.0, 0.0),
                (5, "u4", "2026-04-15", "2026-04-15", 40.0, 0.0, 0.0),
            ),
            coupons=frame(
                "coupon_id name kind",
                ("a", "=Ten <b>off</b>", "full_reduction"),
                ("b", "", None),
                ("z", "Unused", None),
            ),
            coupon_grants=frame(
                "grant_id coupon_id user_id granted_at redeemed_at order_id discount_amount",
                (1, "a", "u1", "2026-03-01", "2026-03-02", 1, 20.0),
                (2, "a", "u2", "2026-03-01", "2026-03-03", 2, 25.0),
                (3, "a", "u3", "2026-03-01", "2026-03-04", 3, 20.0),
                (4, "b", "u2", "2026-03-01", "2026-03-03", 2, 5.0),
                (5, "b", "u5", "2026-03-01", None, None, None),
            ),
        )
    )


def test_by_hand(shop):
    card = evaluate_coupons(shop).tables["coupon_scorecard"]
    assert card["level"].tolist() == ["coupon"] * 3 + ["kind"] * 2 + ["all"]
    a, b, z, reduction, _unknown, every = (card.iloc[i] for i in range(6))
    assert card["coupon_id"].tolist()[:3] == ["a", "b", "z"]
    assert card["coupon_id"].isna().tolist() == [False] * 3 + [True] * 3
    assert card["coupon_kind"].tolist()[3:5] == ["full_reduction", "(unknown)"]
    assert reduction[["granted_count", "order_count", "gross_amount"]].tolist() == [3, 2, 300.0]
    assert a[["granted_count", "redeemed_count", "order_count"]].tolist() == [3, 2, 2]
    assert a["redemption_rate"] == pytest.approx(2 / 3)
    assert a[["gross_amount", "coupon_discount_amount", "paid_amount"]].tolist() == [300.0, 45.0, 240.0]
    assert a["subsidy_rate"] == pytest.approx(45 / 300)
    assert a["average_order_value"] == 120.0
    # u1's first order with a, on 2 March, is followed 30 days and repeated on 20 March; u2's is not repeated
    assert (a["repurchase_rate_30_eligible_count"], a["repurchase_rate_30"]) == (2, 0.5)
    assert math.isnan(a["repurchase_rate_60"])
    assert b[["granted_count", "redeemed_count", "coupon_discount_amount"]].tolist() == [2, 1, 5.0]
    assert (b["coupon_name"], z["granted_count"]) == ("b", 0)
    assert math.isnan(z["redemption_rate"])
    # all together: each order once, both discounts; of four paid orders and 80 + 160 + 60 + 40 paid
    assert every[["granted_count", "redeemed_count", "order_count"]].tolist() == [5, 3, 2]
    assert every[["gross_amount", "coupon_discount_amount"]].tolist() == [300.0, 50.0]
    assert (every["order_share"], every["amount_share"]) == (2 / 4, pytest.approx(240 / 340))
    # one grant of a was used after 24 hours and one after 48; all paid orders are worth 400 before discounts
    assert a["median_hours_to_use"] == 36.0
    assert a["subsidy_rate_all_orders"] == pytest.approx(45 / 400)
    assert (a["new_buyer_count"], a["new_buyer_share"]) == (2, 1.0)
    assert math.isnan(a["collect_rate"])
    assert math.isnan(a["expired_share"])
    assert card.loc[:2, "coupon_reason"].tolist() == ["few_buyers", "used_once", "never_given"]
    assert card[["is_subsidy_ok", "is_redeemed_well", "sells", "is_diverse", "brings_back"]].eq("unknown").all().all()


def test_grants_count_by_their_day_and_orders_by_theirs(shop):
    card = (
        evaluate_coupons(shop, start_date="2026-03-03", end_date="2026-03-04")
        .tables["coupon_scorecard"]
        .set_index("coupon_id")
    )
    assert card.loc["a", ["granted_count", "order_count", "gross_amount"]].tolist() == [0, 1, 200.0]


def test_without_order_ids_use_is_unknown_rather_than_zero(shop, tmp_path):
    tables = {name: shop.collect(shop.tables[name])[list(shop.present[name])] for name in ("orders", "coupon_grants")}
    tables["coupon_grants"] = tables["coupon_grants"].drop(columns=["order_id", "discount_amount"])
    analysis = evaluate_coupons(open_shop(write_shop(tmp_path / "other", **tables)))
    card = analysis.tables["coupon_scorecard"]
    assert card[["redeemed_count", "redemption_rate", "order_count", "order_share"]].isna().all().all()
    assert card["granted_count"].tolist() == [3, 2, 5]
    assert set(card["coupon_reason"]) == {"use_unknown"}
    assert charts.criteria_picture(analysis) is None
    assert "nothing says how they were used" in analysis.headline.verdict


def test_few_buyers_have_no_subsidy_interval(shop):
    analysis = evaluate_coupons(shop)
    assert analysis.tables["coupon_scorecard"]["subsidy_ci_lower"].isna().all()
    assert any("have no interval" in note for note in analysis.notes)


def test_a_period_without_orders_prints_no_zeros(shop):
    analysis = evaluate_coupons(shop, start_date="2026-02-01", end_date="2026-02-10")
    assert "No paid order with a coupon" in analysis.headline.verdict
    assert analysis.tables["coupon_scorecard"][["order_count", "subsidy_rate"]].isna().all().all()


def test_the_invitation_coupon_stands_out(analysed, truth):
    analysis = analysed(evaluate_coupons)
    lowest = next(one for one in analysis.findings if one.name == "lowest_repurchase")
    card = analysis.tables["coupon_scorecard"].set_index("coupon_id")
    assert card.loc[lowest.cell.key["coupon_id"], "coupon_kind"] == "invitation"
    every = card[card["level"] == "all"].iloc[0]
    coupons = card[card["level"] == "coupon"]
    assert coupons["coupon_discount_amount"].sum() == pytest.approx(every["coupon_discount_amount"], abs=0.01)
    assert coupons["granted_count"].sum() == every["granted_count"]
    # c01 is used often and few come back; only the free order costs more than the limit, and sells little
    planted = {key for key, one in truth["coupons"].items() if one["repeat_multiplier"] < 0.5}
    assert set(coupons.index[coupons["brings_back"] == "fail"]) == planted == {"c01"}
    assert (
        coupons.loc["c01", ["is_subsidy_ok", "is_redeemed_well", "sells", "is_diverse"]].tolist()
        == ["ok"] + ["pass"] * 3
    )
    assert coupons.index[coupons["is_subsidy_ok"] == "over"].tolist() == ["c07"]
    assert coupons.index[coupons["sells"] == "fail"].tolist() == ["c07"]
    assert coupons.loc["c04", ["collect_rate", "use_rate"]].notna().all()
    assert "Decisions: " in analysis.headline.verdict


def test_both_languages_draw(analysed):
    for lang in ("en", "zh"):
        analysis = analysed(evaluate_coupons, lang)
        assert charts.subsidy_picture(analysis, 0.2).to_dict()["title"]
        assert charts.usage_picture(analysis).to_dict()["title"]
        for picture in (charts.criteria_picture, charts.repurchase_picture, charts.depth_picture):
            assert picture(analysis).to_dict()["title"]


@pytest.mark.parametrize("limit", [0, 1, -0.2])
def test_subsidy_limit_is_checked(shop, limit):
    with pytest.raises(ParameterError, match="subsidy_limit"):
        evaluate_coupons(shop, subsidy_limit=limit)


def test_without_repurchase_windows_the_rest_stands(small_folder):
    analysis = evaluate_coupons(open_shop(small_folder), repurchase_days=[])
    assert not [name for name in analysis.tables["coupon_scorecard"] if name.startswith("repurchase")]
    assert "Again" not in " ".join(analysis.headline.table.columns)
    assert charts.usage_picture(analysis) is None
    assert set(analysis.tables["coupon_scorecard"]["brings_back"]) == {"unknown"}
    assert analysis.tables["coupon_repurchase"]["day"].max() == 90
    assert charts.criteria_picture(analysis).to_dict()["title"]
