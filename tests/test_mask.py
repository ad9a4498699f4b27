"""Groups below a size that the user sets: their numbers are in no table, sentence, first screen or picture."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.analysis import Action, Alert, Analysis, Cell, Figure, Finding, Headline, Watch, remembers
from workbench.errors import ParameterError
from workbench.mask import MASK_BELOW, NONE, _Known, load_people, mask_below, masked
from workbench.period import Period

ROOT = Path(__file__).parents[1]
PERIOD = Period(date(2026, 1, 1), date(2026, 4, 1), "Asia/Shanghai", 0, 1, 0, 1_774_972_800_000)
NAN = math.nan


def card(*rows):
    columns = ["channel", "user_count", "buyer_count", "paid_amount", "conversion_eligible_count", "conversion_rate"]
    return pd.DataFrame(list(rows), columns=columns)


def analysis(tables, texts=("One says 3.",), **more):
    cell = Cell("channel_scorecard", {"channel": "big"}, "user_count")
    return Analysis(
        name="channel_comparison",
        lang="en",
        period=PERIOD,
        tables=tables,
        headline=Headline(more.pop("verdict", "All is well."), more.pop("short", pd.DataFrame()), "channel_scorecard"),
        findings=tuple(Finding(f"f{number}", text, cell, 1.0) for number, text in enumerate(texts)),
        **more,
    )


FOUR = card(
    ("big", 200, 50, 5000.0, 180, 0.25),
    ("middle", 80, 20, 1500.0, 75, 0.2),
    ("small", 40, 12, 900.0, 35, 0.3),
    ("(unknown)", 4, 2, 77.5, 3, 1 / 3),
)


def numbers(table, *names):
    return table.set_index(table.columns[0]).loc[list(names)].astype(float)


class TestTables:
    def test_a_small_group_loses_its_numbers_and_keeps_its_name(self):
        table = masked(analysis({"channel_scorecard": FOUR}), 10).tables["channel_scorecard"]
        assert table["channel"].tolist() == FOUR["channel"].tolist()
        assert numbers(table, "(unknown)").isna().all(axis=None)

    def test_the_next_smallest_goes_with_a_lone_one_since_the_total_would_tell_it(self):
        table = masked(analysis({"channel_scorecard": FOUR}), 10).tables["channel_scorecard"]
        assert numbers(table, "small").isna().all(axis=None)
        assert numbers(table, "big", "middle").equals(numbers(FOUR, "big", "middle"))

    def test_two_small_ones_are_not_told_together_either(self):
        rows = pd.concat([FOUR, card(("other", 5, 1, 20.0, 5, 0.2))], ignore_index=True)
        table = masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"]
        assert numbers(table, "small").isna().all(axis=None)  # 4 and 5 are 9, which the total would tell
        assert numbers(table, "big", "middle").equals(numbers(FOUR, "big", "middle"))

    def test_two_small_ones_that_are_enough_together_cover_each_other(self):
        rows = pd.concat([FOUR, card(("other", 9, 8, 20.0, 9, 0.9))], ignore_index=True)
        table = masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"]
        assert numbers(table, "small").equals(numbers(FOUR, "small"))

    def test_a_second_row_goes_whole_since_its_ratios_would_tell_it(self):
        rows = FOUR.head(3).assign(buyer_count=[50, 20, 3], amount_share=[0.5, 0.3, 0.2])
        table = masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"]
        assert numbers(table, "middle").isna().all(axis=None)
        assert numbers(table, "small")[["user_count", "conversion_eligible_count"]].notna().all(axis=None)

    def test_a_row_hidden_for_one_margin_is_covered_in_the_other(self):
        people = {("a", 1): 30, ("a", 2): 50, ("b", 1): 40, ("b", 2): 60, ("c", 1): 45, ("c", 2): 4}
        rows = pd.DataFrame(
            [(*key, size, size / 100) for key, size in people.items()],
            columns=["channel", "age_group", "conversion_eligible_count", "audience_share"],
        ).astype({"age_group": str})
        table = masked(analysis({"channel_mix": rows}), 10).tables["channel_mix"]
        hidden = table["conversion_eligible_count"].isna()
        for margin in ("channel", "age_group"):
            assert set(hidden.groupby(table[margin]).sum()) <= {0, 2, 3}
        assert hidden.sum() == 4

    def test_coupons_add_up_within_their_kind_and_kinds_to_all(self):
        rows = [
            ("coupon", "c1", "gift", 200), ("coupon", "c2", "gift", 90), ("coupon", "c3", "lottery", 4),
            ("coupon", "c4", "lottery", 80), ("coupon", "c5", "alone", 7), ("coupon", "c6", "both", 40),
            ("coupon", "c7", "both", 30), ("kind", None, "gift", 290), ("kind", None, "lottery", 84),
            ("kind", None, "alone", 7), ("kind", None, "both", 70), ("all", None, None, 451),
        ]  # fmt: skip
        card = pd.DataFrame(rows, columns=["level", "coupon_id", "coupon_kind", "granted_count"])
        table = masked(analysis({"coupon_scorecard": card}), 10).tables["coupon_scorecard"]
        hidden = [key[1] or key[2] for key, one in zip(rows, table["granted_count"].isna(), strict=True) if one]
        assert hidden == ["c3", "c4", "c5", "c7", "alone", "both"]  # "both" would tell "alone", and c6 with c7 "both"

    def test_goods_are_hidden_by_their_pieces_and_what_nobody_counted_always(self):
        ranking = pd.DataFrame(
            [("product", "p1", 3.0, 340.9, 90.0), ("product", "p2", 30.0, 900.0, 90.0), ("product", "p3", 0.0, 0.0, 51.0),
             ("region", "East", NAN, 909.92, 500.0), ("region", "West", NAN, 2000.0, 500.0),
             ("region", "North", NAN, 3000.0, 500.0), ("page_floor", "home 1", NAN, 70.0, 60.0)],
            columns=["level", "member", "quantity", "net_amount", "comparison_amount"],
        ).assign(ranking="best")  # fmt: skip
        orders = pd.DataFrame(
            [("region", "East", 6.0, 950.0), ("region", "West", 40.0, 2100.0), ("region", "North", 60.0, 3100.0),
             ("product", "p1", NAN, 350.0), ("product", "p2", NAN, 950.0), ("product", "p4", NAN, 20.0)],
            columns=["dimension", "member", "order_count", "gross_amount"],
        )  # fmt: skip
        after = masked(analysis({"product_ranking": ranking, "profit_composition": orders}), 10).tables
        shown = after["product_ranking"].dropna(subset="net_amount")
        assert shown["member"].tolist() == ["p3", "North"]  # p2 would tell p1, West East; of p3 nobody bought
        assert after["product_ranking"]["comparison_amount"].isna().all()
        assert after["profit_composition"].dropna(subset="gross_amount")["member"].tolist() == ["North"]

    def test_a_day_is_not_told_by_its_week(self):
        rows = [("week", "2026-06-01", "2026-06-08", 300), ("day", "2026-06-01", "2026-06-02", 4)]
        rows += [("day", f"2026-06-0{day}", f"2026-06-0{day + 1}", 30 + day) for day in range(2, 8)]
        kpis = pd.DataFrame(
            [(*row[:3], one, row[3] * by, NAN) for row in rows for one, by in (("buyer_count", 1.0), ("net_amount", 7.5), ("visitor_count", 9.0))],
            columns=["grain", "start_date", "end_date", "metric", "value", "comparison_value"],
        )  # fmt: skip
        table = masked(analysis({"sales_kpis": kpis}), 10).tables["sales_kpis"]
        hidden = table[table["value"].isna() & (table["metric"] == "net_amount")]
        assert hidden["start_date"].tolist() == ["2026-06-01", "2026-06-02"]

    def test_days_that_nobody_counted_are_as_small_as_the_smallest_known(self):
        kpis = pd.DataFrame(
            [("day", f"2026-06-0{day}", one, people, NAN) for day, people in ((2, 30.0), (3, 40.0)) for one in ("visitor_count", "buyer_count")],
            columns=["grain", "start_date", "metric", "value", "comparison_value"],
        )  # fmt: skip
        days = pd.DataFrame({"date": [f"2026-06-0{day}" for day in (1, 2, 3)], "net_amount": [5.5, 60.0, 70.0]})
        tables = {"sales_kpis": kpis, "sales_history": days}
        assert masked(analysis(tables), 10).mask_below == 0
        assert masked(analysis(tables), 35).tables["sales_history"]["net_amount"].isna().tolist() == [True, True, False]

    def test_numbers_of_a_small_part_go_where_the_group_itself_is_large(self):
        rows = card(
            ("big", 200, 50, 5000.0, 180, 0.25), ("poor", 90, 3, 60.0, 80, 0.0375), ("thin", 70, 4, 9.0, 60, 0.05)
        )
        table = masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"]
        poor = numbers(table, "poor").iloc[0]
        assert poor[["buyer_count", "paid_amount", "conversion_rate"]].isna().all()
        assert poor[["user_count", "conversion_eligible_count"]].tolist() == [90, 80]

    def test_nobody_is_no_group_to_hide(self):
        rows = card(("big", 200, 50, 5000.0, 180, 0.25), ("none", 0, 0, 0.0, 0, NAN))
        assert masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"] is not None
        assert masked(analysis({"channel_scorecard": rows}), 10).mask_below == 0

    def test_a_group_of_the_least_size_is_shown(self):
        rows = card(("big", 200, 50, 5000.0, 180, 0.25), ("ten", 10, 10, 5.0, 10, 1.0))
        assert masked(analysis({"channel_scorecard": rows}), 10).mask_below == 0
        assert masked(analysis({"channel_scorecard": rows}), 11).mask_below == 11

    def test_a_count_that_is_missing_hides_its_row(self):
        rows = card(
            ("big", 200, 50, 5000.0, 180, 0.25), ("strange", NAN, 20, 5.0, 15, 1.0), ("odd", 30, 20, 1.0, 20, 0.5)
        )
        table = masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"]
        assert numbers(table, "strange").isna().all(axis=None)

    def test_windows_count_their_own_people(self):
        rows = FOUR.head(3).assign(repurchase_rate_30=[0.1, 0.2, 0.5], repurchase_rate_30_eligible_count=[40, 15, 4])
        table = masked(analysis({"channel_scorecard": rows}), 10).tables["channel_scorecard"]
        assert table["repurchase_rate_30"].isna().tolist() == [False, True, True]
        assert table["conversion_rate"].isna().tolist() == [False, True, False]  # the second row goes whole

    def test_tables_without_people_follow_the_one_that_has_them(self):
        pairs = pd.DataFrame(
            [("big", "middle", 0.05, 0.01), ("big", "(unknown)", 0.08, 0.9)],
            columns=["channel", "other_channel", "difference", "p_value"],
        )
        table = masked(analysis({"channel_scorecard": FOUR, "channel_pairs": pairs}), 10).tables["channel_pairs"]
        assert table["difference"].isna().tolist() == [False, True]

    def test_a_change_against_a_hidden_row_is_hidden_with_it(self):
        rows = [("high_low", 1, 50, -2.0), ("high_low", 0, 52, NAN), ("low_low", 1, 20, 11.0), ("low_low", 0, 9, NAN)]
        rows += [("low_high", 1, 60, 1.0), ("low_high", 0, 59, NAN)]
        groups = pd.DataFrame(rows, columns=["quadrant", "period_index", "user_count", "user_count_change"])
        table = masked(analysis({"quadrants": groups}), 10).tables["quadrants"]
        hidden = table[table["user_count_change"].isna() & (table["period_index"] == 1)]
        assert hidden["quadrant"].tolist() == ["high_low", "low_low"]  # 52 was hidden with 9, so −2 would tell it

    def test_sales_are_hidden_by_the_buyers_of_their_own_days(self):
        rows = [
            (grain, day, one, value, 100.0)
            for grain, day, buyers in (
                ("period", "2026-06-01", 40.0),
                ("day", "2026-06-01", 3.0),
                ("day", "2026-06-02", 37.0),
            )
            for one, value in (
                ("net_amount", buyers * 7),
                ("visitor_count", 500.0),
                ("buyer_count", buyers),
                ("spend_amount", 9.0),
            )
        ]
        kpis = pd.DataFrame(rows, columns=["grain", "start_date", "metric", "value", "comparison_value"])
        table = masked(analysis({"sales_kpis": kpis}), 10).tables["sales_kpis"]
        hidden = table[table["value"].isna()]
        assert set(zip(hidden["grain"], hidden["start_date"], hidden["metric"], strict=True)) == {
            ("day", "2026-06-01", "net_amount"), ("day", "2026-06-01", "buyer_count"),
        }  # fmt: skip

    @pytest.mark.parametrize("least", [0, 1])
    def test_without_a_least_size_nothing_is_touched(self, least):
        before = analysis({"channel_scorecard": FOUR})
        assert masked(before, least) is before

    def test_the_tables_given_are_not_changed(self):
        before = FOUR.copy()
        masked(analysis({"channel_scorecard": FOUR}), 10)
        pd.testing.assert_frame_equal(FOUR, before)


class TestSentences:
    def test_what_rests_on_a_hidden_cell_is_left_out(self):
        cell = Cell("channel_scorecard", {"channel": "(unknown)"}, "user_count")
        alert = Alert("a", "Look.", cell, 1.0, 2.0, None, "2026-01-01", "2026-01-08", "2026-01-01", True)
        big = replace(alert, cell=Cell("channel_scorecard", {"channel": "big"}, "user_count"))
        before = analysis(
            {"channel_scorecard": FOUR}, figures=(Figure("f", "Users", cell, 4.0),), watch=Watch((alert, big), True)
        )
        action = Action("x", "Do it.", cell, None, None, None, "basis")
        before = replace(before, headline=replace(before.headline, actions=(action, replace(action, cell=big.cell))))
        after = masked(before, 10)
        assert after.figures == ()
        assert [one.cell for one in after.watch.alerts] == [big.cell]
        assert [one.cell for one in after.headline.actions] == [big.cell]

    @pytest.mark.parametrize(
        ("text", "stays"),
        [
            ("big has 200 users.", True),
            ("big is before middle, by 25.0% to 20.0%.", True),
            ("big has 200 users, (unknown) has 4.", False),
            ("big paid 5,000, the rest 77.50.", False),
            ("Of small 30.0% buy, of big 25.0%.", False),
            ("big has 50 buyers, a third one 12.", False),
            ("大渠道共4人。", False),
            ("用户4人，另有200人", False),
            ("大渠道共200人", True),
        ],
    )
    def test_a_hidden_number_is_not_repeated_beside_a_shown_one(self, text, stays):
        after = masked(analysis({"channel_scorecard": FOUR}, [text]), 10)
        assert [one.text for one in after.findings] == ([text] if stays else [])

    def test_the_verdict_notes_and_flags_repeat_none_either(self):
        before = analysis(
            {"channel_scorecard": FOUR},
            verdict="(unknown) converts best, at 33.3%.",
            notes=("(unknown) are 4 users without a channel.", "Windows last 30 days."),
            flags=("The data are 4 days old.",),
        )
        after = masked(before, 10)
        assert after.headline.verdict == "The main sentence rests on fewer than 10 users and is not shown."
        assert after.notes[0].startswith("Numbers of fewer than 10 users are not shown: 2 rows")
        assert after.notes[1:] == ("Windows last 30 days.",)
        assert after.flags == ("Numbers of fewer than 10 users are not shown.", "The data are 4 days old.")

    def test_the_first_screen_keeps_names_and_shown_numbers(self):
        short = pd.DataFrame(
            [("big", "200", "25.0%"), ("(unknown)", "4", "33.3%")], columns=["Channel", "Users", "Rate"]
        )
        table = masked(analysis({"channel_scorecard": FOUR}, short=short), 10).headline.table
        assert table.to_numpy().tolist() == [["big", "200", "25.0%"], ["(unknown)", NONE, NONE]]

    def test_the_first_screen_says_what_the_table_shows_of_a_row_and_no_sum_of_hidden_numbers(self):
        rows = pd.concat([FOUR, card(("alike", 200, 3, 6.0, 180, 1.0))], ignore_index=True)
        short = pd.DataFrame(
            [("big", "200"), ("Alike", "200"), ("both small", "44"), ("middle", "12"), ("big", "1.000")],
            columns=["Channel", "Users"],
        )
        table = masked(analysis({"channel_scorecard": rows}, short=short), 10).headline.table
        assert table["Users"].tolist() == ["200", "200", NONE, NONE, NONE]

    def test_the_first_screen_takes_a_hidden_count_for_no_other_number_of_its_row(self):
        rows = pd.DataFrame(
            [("rare", "Rare", 3, 0, 3, 60.0), ("rare", "Rare", 2, 1, 30, 500.0), ("often", "Often", 1, 0, 50, 900.0)],
            columns=["quadrant", "name", "x_mean", "period_index", "user_count", "paid_amount"],
        ).assign(user_count_change=[3, 3, 3])
        short = pd.DataFrame([("Rare", "3", "60.00"), ("Often", "50", "900.00")], columns=["Group", "Users", "Paid"])
        before = analysis({"quadrants": rows}, short=short)
        before = replace(before, headline=replace(before.headline, source="quadrants"))
        assert masked(before, 10).headline.table.iloc[0].tolist() == ["Rare", NONE, NONE]

    def test_a_digit_in_a_name_is_no_number(self):
        rows = pd.concat([FOUR.head(3), card(("Banner 4", 90, 30, 100.0, 80, 0.4), ("x", 4, 4, 1.0, 4, 1.0))])
        after = masked(analysis({"channel_scorecard": rows.reset_index(drop=True)}, ["Banner 4 sells."]), 10)
        assert len(after.findings) == 1


class TestAsked:
    def test_an_analysis_reads_the_least_size_from_the_environment(self, monkeypatch):
        asked = remembers(lambda shop, lang="en": analysis({"channel_scorecard": FOUR}))
        monkeypatch.delenv(MASK_BELOW, raising=False)
        assert asked(None).mask_below == mask_below() == 0
        monkeypatch.setenv(MASK_BELOW, "10")
        assert asked(None).mask_below == 10
        assert asked(None).tables["channel_scorecard"]["user_count"].isna().sum() == 2

    @pytest.mark.parametrize("given", ["-3", "few", "2.5"])
    def test_what_is_no_number_of_people_is_refused(self, monkeypatch, given):
        monkeypatch.setenv(MASK_BELOW, given)
        with pytest.raises(ParameterError, match="must be a whole number of people"):
            mask_below()


# -- the six rooms -------------------------------------------------------------------------------------------

ROOMS = {
    "channel_comparison": (wb.channel.compare_channels, {}),
    "coupon_evaluation": (wb.coupon.evaluate_coupons, {}),
    "experiment_readout": (wb.experiment.read_experiments, {}),
    "sales_overview": (wb.sales.overview_sales, {"start_date": "2026-06-07", "end_date": "2026-06-14"}),
    "slot_attribution": (wb.slot.attribute_slots, {}),
    "user_quadrants": (wb.user.segment_users, {"window_days": 14, "period_days": 7}),
}
PEOPLE = {
    "channel_scorecard": "user_count", "channel_mix": "conversion_eligible_count", "channel_funnel": "user_count",
    "channel_retention": "cohort_user_count", "channel_repurchase": "at_risk_count", "channel_payback": "at_risk_count",
    "coupon_depth": "order_count", "coupon_repurchase": "at_risk_count", "coupon_money": "treated_count",
    "experiment_verdict": "n_control", "experiment_effect": "n_control", "experiment_curve": "n_control",
    "flow_funnel": "user_count", "slot_metrics": "viewer_count", "slot_leak": "user_count", "slot_retention": "user_count",
    "content_metrics": "viewer_count", "attributable_rate": "order_count", "quadrants": "user_count",
    "lifecycle": "user_count", "lifecycle_silence": "at_risk_count", "buyers": "user_count", "contacts": "user_count",
    "next_purchase": "user_count", "tags": "user_count",
}  # fmt: skip
SAYS_WHICH = {
    "day", "period_index", "step_index", "position", "slot_count", "silent_days", "horizon_days", "outcome_days",
    "x_threshold", "y_threshold", "watched_days",
}  # fmt: skip


@pytest.fixture(scope="session")
def few(once):
    """A shop of 400 users, in which most groups are small."""
    from workbench.source.simulate import simulate_shop

    return once("few", lambda folder: simulate_shop(folder, users=400))


@pytest.fixture(params=sorted(ROOMS))
def room(request, few, once):
    analyse, asked = ROOMS[request.param]
    return once(f"few {request.param}", lambda _: analyse(wb.open_shop(few), timezone="Asia/Shanghai", **asked))


def is_number(values):
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def floats(values):
    return pd.to_numeric(values, errors="coerce").astype("Float64").to_numpy(dtype=float, na_value=NAN)


def secret_numbers(before, after):
    """Fractions and sums that stood in hidden cells and in no other."""
    hidden, shown = set(), set()
    for name, table in before.tables.items():
        for column in (one for one in table if is_number(table[one])):
            was, is_ = floats(table[column]), floats(after.tables[name][column])
            hidden |= set(np.abs(was[np.isnan(is_) & ~np.isnan(was)]).round(9))
            shown |= set(np.abs(is_[~np.isnan(is_)]).round(9))
    return {one for one in hidden - shown if one % 1 and one * 10_000 % 1}


def pictures(analysis):
    node = json.loads((ROOT / "notebooks" / f"{analysis.name}.ipynb").read_text(encoding="utf-8"))
    code = "\n".join("".join(cell["source"]) for cell in node["cells"] if cell["cell_type"] == "code")
    calls = re.findall(r"wb\.\w+\.charts\.\w+\(analysis[^()]*\)", code)
    assert len(calls) >= 3
    for call in dict.fromkeys(calls):
        yield call, eval(call, {"wb": wb, "analysis": analysis, "subsidy_limit": 0.2})  # noqa: S307 (our own notebooks)


SAME = {  # one number in several rows
    "channel_retention": (["channel", "unit", "cohort_date"], ["cohort_user_count"]),
    "migration": (["period_index", "from_group"], ["from_user_count"]),
    "quadrant_profile": (["quadrant", "dimension"], ["base_count"]),
    "product_ranking": (["level", "member"], ["quantity", "net_amount", "comparison_amount"]),
}


class Attacker:
    """Works out what it can from what one table shows, and from the totals of its sums, which it knows from elsewhere."""

    def __init__(self, name, before, after, least):
        self.name, self.table, self.told = name, before, load_people()[name]
        self.columns = [one for one in before if is_number(before[one]) and one not in self.told.get("keys", [])]
        self.was = {one: floats(before[one]) for one in self.columns}
        self.sees = {one: floats(after[one]) for one in self.columns}
        self.hidden = {one: np.isnan(self.sees[one]) & ~np.isnan(self.was[one]) for one in self.columns}
        adds = re.compile(r"(?!expected|p_)\w*(_count|_amount|_credit|_share|quantity|value)")
        self.adds = [one for one in self.columns if adds.fullmatch(one)]
        self.products, self.sums = [*self.find_products()], [*self.find_sums()]
        self.small = self.find_small(least)

    def find_small(self, least):
        """Cells of few people, by the counts in the table itself."""
        small = {one: np.zeros(len(self.table), dtype=bool) for one in self.columns}
        for group in self.told.get("groups", []):
            if "from" in group or group["count"] not in self.was:
                continue
            few = (self.was[group["count"]] > 0) & (self.was[group["count"]] < least)
            for one in self.columns:
                if (
                    "columns" not in group
                    or one == group["count"]
                    or any(fnmatchcase(one, like) for like in group["columns"])
                ):
                    small[one] |= few
        if self.name == "sales_kpis":
            for column in ("value", "comparison_value"):
                people = self.table[self.table["metric"] == "buyer_count"].set_index(["grain", "start_date"])[column]
                on = pd.MultiIndex.from_frame(self.table[["grain", "start_date"]])
                few = people.reindex(on).between(1, least - 1).to_numpy()
                small[column] |= few & ~self.table["metric"].isin(["visitor_count", "spend_amount"]).to_numpy()
        return small

    def find_products(self):
        """Columns of which one is the product of two others, in every row."""
        ratios = [one for one in self.columns if re.search("share|rate|_per_|average", one)]
        for whole, ratio, part in product(self.adds, ratios, self.adds):
            if len({whole, ratio, part}) < 3:
                continue
            of = self.was[whole] * self.was[ratio]
            both = np.isfinite(of) & np.isfinite(self.was[part]) & (of != 0)
            if both.sum() > 2 and np.allclose(of[both], self.was[part][both], rtol=1e-9):
                yield whole, ratio, part

    def find_sums(self):
        table = self.table
        for one in self.told.get("sums", []):
            if not isinstance(one, Mapping):
                one = {"by": one, "total": self.told.get("totals", {})}
            total = np.full(len(table), bool(one.get("total")))
            for column, value in one.get("total", {}).items():
                total &= (table[column] == value).to_numpy()
            parts = ~total
            for column, value in one.get("parts", {}).items():
                parts &= (table[column] == value).to_numpy()
            keys = (
                table[one["by"]].astype(str).fillna("").agg("|".join, axis=1)
                if one["by"]
                else pd.Series("", table.index)
            )
            if "within" in one:
                start, end = (table[column].astype(str) for column in one["within"])
                for place in np.flatnonzero(total):
                    inside = (keys == keys.iloc[place]) & (start >= start.iloc[place]) & (end <= end.iloc[place])
                    yield np.flatnonzero(parts & inside.to_numpy()), place
                continue
            for key in keys[parts].unique():
                whole = np.flatnonzero(total & (keys == key).to_numpy())
                yield np.flatnonzero(parts & (keys == key).to_numpy()), whole[0] if len(whole) else None

    def unknown(self, column):
        return np.isnan(self.sees[column]) & ~np.isnan(self.was[column])

    def by_sums(self):
        for column, (parts, total) in product(self.adds, self.sums):
            missing = parts[self.unknown(column)[parts]]
            is_total_known = total is None or not self.unknown(column)[total]
            others = np.setdiff1d(parts, missing)
            if len(missing) == 1 and is_total_known and np.nansum(np.abs(self.was[column][others])):
                yield column, missing
            if not len(missing) and not is_total_known:
                yield column, [total]

    def by_products(self):
        for three in self.products:
            for column in three:
                others = np.all(
                    [~np.isnan(self.sees[one]) & (self.was[one] != 0) for one in three if one != column], axis=0
                )
                yield column, np.flatnonzero(others & self.unknown(column))

    def by_repetition(self):
        keys, columns = SAME.get(self.name, ([], []))
        for column in columns:
            seen = pd.Series(self.sees[column]).groupby([self.table[one].to_numpy() for one in keys]).transform("first")
            yield column, np.flatnonzero(self.unknown(column) & seen.notna().to_numpy())

    def recovered(self):
        """Numbers of few people that were hidden and can be told."""
        found = True
        while found:
            found = False
            for column, rows in [*self.by_sums(), *self.by_products(), *self.by_repetition()]:
                for row in rows:
                    found |= bool(np.isnan(self.sees[column][row]))
                    self.sees[column][row] = self.was[column][row]
        return [
            (self.name, column, int(row))
            for column in self.columns
            for row in np.flatnonzero(self.hidden[column] & self.small[column] & ~np.isnan(self.sees[column]) & (self.was[column] != 0))
        ]  # fmt: skip


@pytest.mark.slow
class TestRooms:
    @pytest.mark.parametrize("least", [5, 10, 30])
    def test_nothing_hidden_can_be_worked_out_of_its_table(self, room, least):
        after = masked(room, least)
        told = []
        for name, table in room.tables.items():
            if len(table):
                attacker = Attacker(name, table, after.tables[name], least)
                shown = {
                    one: attacker.small[one] & ~np.isnan(attacker.sees[one]) & (attacker.was[one] != 0)
                    for one in attacker.columns
                }
                told += [(name, one, "shown") for one in attacker.columns if shown[one].any()]
                told += attacker.recovered()
        assert told == []

    def test_the_attacker_succeeds_where_only_small_groups_are_hidden(self, room):
        """Else the test above would guard nothing."""
        found = 0
        for name, table in room.tables.items():
            if not len(table) or not load_people()[name].get("sums"):
                continue
            for least in (3, 10):
                attacker = Attacker(name, table, table, least)
                for column in attacker.columns:
                    attacker.hidden[column] = attacker.small[column]
                    attacker.sees[column][attacker.small[column]] = NAN
                found += len(attacker.recovered())
        assert found or room.name not in {"channel_comparison", "coupon_evaluation", "user_quadrants"}

    def test_every_table_says_who_stands_behind_it(self, room):
        told = load_people()
        assert [name for name in room.tables if name not in told] == []
        for name, table in room.tables.items():
            names = [
                *told[name].get("keys", []),
                *(one["count"] for one in told[name].get("groups", []) if "from" not in one),
            ]
            uncounted = {
                "comparison_quantity",
                "segment_buyer_count",
            }  # in no table, so that what rests on them is hidden
            names = [one for one in names if one not in uncounted]
            for keys in told[name].get("sums", []):
                names += [*keys["by"], *keys.get("parts", []), *keys["total"]] if isinstance(keys, Mapping) else keys
            names += told[name].get("row", [])
            assert [one for one in names if len(table) and one not in table] == [], name

    @pytest.mark.parametrize("least", [5, 30])
    def test_no_row_of_few_people_shows_a_number(self, room, least):
        after = masked(room, least)
        for name, column in PEOPLE.items():
            if name not in room.tables or room.tables[name].empty:
                continue
            people = floats(room.tables[name][column])
            rows = after.tables[name][(people > 0) & (people < least)]
            for one in rows:
                if is_number(rows[one]) and one not in SAYS_WHICH:
                    assert rows[one].isna().all(), (name, one)

    @pytest.mark.parametrize("least", [5, 30])
    def test_no_sentence_or_picture_says_a_hidden_number(self, room, least):
        after = masked(room, least)
        secrets = secret_numbers(room, after)
        told = [after.headline.verdict, *after.notes, *after.flags, after.headline.table.to_string()]
        told += [one.text for one in (*after.findings, *after.headline.actions)]
        written = {f"{one:,.2f}" for one in secrets if one >= 100}
        assert [
            text for text in told if any(re.search(rf"(?<![\d,]){re.escape(one)}(?!\d)", text) for one in written)
        ] == []
        for finding in after.findings:
            table = after.tables[finding.cell.table]
            for column, value in finding.cell.key.items():
                table = table[table[column] == value]
            if finding.value is not None:
                assert table[finding.cell.column].notna().all()
        for call, chart in pictures(after):
            if not hasattr(chart, "to_dict"):
                continue
            drawn = chart.to_dict()
            values = {
                round(abs(value), 9)
                for rows in drawn.get("datasets", {}).values()
                for row in rows
                for value in row.values()
                if isinstance(value, float) and math.isfinite(value)
            }
            assert values & secrets == set(), call

    def test_where_every_group_is_small_all_pictures_and_tables_still_show(self, room):
        after = masked(room, 10**6)
        for _, chart in pictures(after):
            wb.show_chart(after, chart)
        for name in after.tables:
            assert "nan" not in wb.show_table(after, name).html.lower().replace("banner", "").replace("finance", "")
        assert wb.first_screen(after).html

    def test_without_a_least_size_every_byte_stays(self, room):
        assert masked(room, 0) is room

    def test_a_picture_says_that_groups_are_left_out_of_it(self, room):
        after = masked(room, 5)
        if not after.mask_below:
            pytest.skip("no small group in these tables")
        shown = [wb.show_chart(after, chart).to_dict() for _, chart in pictures(after) if hasattr(chart, "to_dict")]
        assert shown
        assert all("fewer than 5 users" in str(one["title"]["subtitle"]) for one in shown)


def test_a_shop_without_visitors_keeps_the_numbers_of_its_buyers(small_folder, tmp_path):
    for name in ("orders", "order_lines", "users"):
        (tmp_path / f"{name}.parquet").symlink_to(small_folder / f"{name}.parquet")
    days = {"start_date": "2026-05-01", "end_date": "2026-06-01", "timezone": "Asia/Shanghai"}
    found = masked(wb.sales.overview_sales(wb.open_shop(tmp_path), **days), 15)
    whole = found.tables["sales_kpis"].query("grain == 'period'").set_index("metric")
    assert whole.loc[["net_amount", "buyer_count", "order_count"], ["value", "change"]].notna().all(axis=None)
    parts = found.tables["sales_contribution"]
    assert parts.loc[parts["segment"].isna() & parts["factor"].eq("buyer_count"), "contribution"].notna().all()
    segments = parts.dropna(subset=["segment"]).query("factor == 'buyer_count'")
    few = segments["value"].isna()
    assert 0 < few.sum() < len(few)
    assert "fewer than 15" not in found.headline.verdict


def test_what_a_table_shows_to_the_cent_may_be_said():
    """The change of the whole shop may also be that of a segment whose number is hidden."""
    tables = {
        "whole": pd.DataFrame({"metric": ["Net sales"], "change": [861.16]}),
        "parts": pd.DataFrame({"segment": ["referral", "email"], "change": [861.16, 432.15]}),
    }
    hidden = {name: pd.DataFrame(False, index=one.index, columns=one.columns) for name, one in tables.items()}
    hidden["parts"]["change"] = True
    known = _Known(hidden, tables, "en")
    assert not known.in_sentence("Net sales fell by 861.16.", "whole")
    assert known.in_sentence("Net sales fell by 432.15.", "whole")
