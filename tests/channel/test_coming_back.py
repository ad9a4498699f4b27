"""Curves, cohorts and money by channel: by hand, against statsmodels, and in the face of bad input."""

import math

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from workbench import open_shop
from workbench.channel import charts, compare_channels
from workbench.channel.findings import _actions
from workbench.channel.repurchase import repurchase_table
from workbench.language import format_amount

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2026-03-01 08:00", tz="UTC")


def written(folder, users, orders, **tables):
    return open_shop(
        write_shop(
            folder / "shop",
            users=frame("user_id first_seen_at channel", *users),
            orders=frame("order_id user_id submitted_at paid_at gross_amount cost_amount", *orders),
            **tables,
        )
    )


def spend(*rows):
    return frame("date channel spend_amount", *rows).assign(date=lambda t: pd.to_datetime(t["date"]).dt.date)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """150 buyers: those of fast pay again after some 10 days, those of slow after some 40; the data end after 60 days."""
    rng = np.random.default_rng(8)
    users, orders, buyers = [], [], []
    for number in range(150):
        channel = "fast" if number % 2 else "slow"
        first = START + DAY * float(rng.uniform(0, 50))
        again = first + DAY * float(1 + rng.exponential(10 if channel == "fast" else 40))
        users.append((f"u{number}", str(first)[:19], channel))
        moments = [first, *([again] if again < START + 58 * DAY else [])]
        for moment in moments:
            orders.append((len(orders), f"u{number}", str(moment)[:19], str(moment)[:19], 10.0, 4.0))
        buyers.append((channel, first.floor("s"), moments[1].floor("s") if len(moments) > 1 else pd.NaT))
    end = "2026-04-29 08:00"
    orders.append((len(orders), "nobody", end, end, 10.0, 4.0))
    analysis = compare_channels(written(tmp_path_factory.mktemp("drawn"), users, orders))
    return analysis, pd.DataFrame(buyers, columns=["channel", "first", "again"])


def watched(buyers):
    """Whole days until each buyer paid again, or until the end of the data."""
    end = pd.Timestamp("2026-04-30", tz="UTC")
    followed = (end - buyers["first"]) // DAY
    again = (buyers["again"] - buyers["first"]) / DAY
    back = again.floordiv(1) < followed
    return np.where(back, again.floordiv(1), followed), back.to_numpy()


def test_curves_equal_statsmodels(drawn):
    analysis, buyers = drawn
    curves = analysis.tables["channel_repurchase"]
    for channel in ("fast", "slow"):
        days, back = watched(buyers[buyers["channel"] == channel])
        # who leaves at the end of the data leaves before the events of that day
        other = SurvfuncRight(np.where(back, days + 0.5, days), back.astype(int))
        own = curves[curves["channel"] == channel].set_index("day")
        for time, survival in zip(other.surv_times, other.surv_prob, strict=True):
            assert own.loc[int(time) + 1, "repurchase_share"] == pytest.approx(1 - survival, abs=1e-12)


def test_the_log_rank_test_equals_statsmodels(drawn):
    analysis, buyers = drawn
    days, back = watched(buyers)
    statistic, p_value = survdiff(np.where(back, days + 0.5, days), back.astype(int), buyers["channel"])
    assert statistic > 10
    curves = analysis.tables["channel_repurchase"].groupby("channel").first()
    assert curves.loc[["(all)", "fast", "slow"], "log_rank_p_value"].tolist() == pytest.approx([p_value] * 3)
    assert curves.loc["(all)", "log10_p_value"] == pytest.approx(math.log10(p_value))
    told = next(one for one in analysis.findings if one.name == "return_speeds")
    assert "come back at different speeds" in told.text


def test_a_p_value_too_small_for_a_number_is_still_told():
    """100,000 buyers come back at once, and as many never do."""
    exits = pd.DataFrame(
        {
            "channel": ["a", "b"],
            "exit_day": [1, 30],
            "is_repurchase": [True, False],
            "origin_count": [100_000, 100_000],
        }
    )
    found = repurchase_table(exits, ["a", "b"], 30, 30, 0.95).groupby("channel").first()
    assert found.loc["(all)", "log_rank_p_value"] == 0
    assert found.loc["(all)", "log10_p_value"] < -20_000


def test_where_all_are_watched_the_rate_is_the_curve(drawn, analysed):
    """The share of the first 30 days, of buyers whose 30 days have elapsed, from a table of them alone."""
    analysis = analysed(compare_channels, start_date="2026-03-01", end_date="2026-05-01", repurchase_days=[30])
    card = analysis.tables["channel_scorecard"].set_index("channel")
    curves = analysis.tables["channel_repurchase"]
    for channel in card.index:
        last = curves[(curves["channel"] == channel) & (curves["day"] == 30)]
        assert last["repurchase_share"].item() == pytest.approx(card.loc[channel, "repurchase_rate_30"], abs=1e-12)


def test_small_channels_are_drawn_and_not_tested():
    exits = pd.DataFrame(
        {
            "channel": list("abc"),
            "exit_day": [5, 9, 5],
            "is_repurchase": [True, False, True],
            "origin_count": [40, 40, 29],
        }
    )
    found = repurchase_table(exits, list("abc"), 10, 30, 0.95).groupby("channel")["log_rank_p_value"].first()
    assert found.isna().to_dict() == {"(all)": False, "a": False, "b": False, "c": True}


def test_triangles_sum_over_channels_and_cohorts(analysed):
    table = analysed(compare_channels).tables["channel_retention"]
    dated, sums = table[table["cohort_date"].notna()], table[table["cohort_date"].isna()]
    keys, counts = ["unit", "cohort_date", "period_index"], ["cohort_user_count", "active_count", "order_count"]
    one = dated[dated["channel"] == "(all)"].set_index(keys)[counts]
    many = dated[dated["channel"] != "(all)"].groupby(keys)[counts].sum()
    pd.testing.assert_frame_equal(many, one.loc[many.index], check_like=True)
    by = ["channel", "unit", "period_index"]
    over_cohorts = dated.groupby(by)[counts].sum()
    pd.testing.assert_frame_equal(over_cohorts, sums.set_index(by)[counts].loc[over_cohorts.index], check_dtype=False)
    assert (table["on_or_after_rate"] >= table["retention_rate"] - 1e-12).all()
    assert table.loc[table["period_index"] == 0, "retention_rate"].eq(1).all()


def test_only_whole_elapsed_periods_are_told(analysed):
    """The data reach from Sunday 1 March to Sunday 28 June: weeks from 2 March to 22 June, months March to May."""
    table = analysed(compare_channels).tables["channel_retention"]
    every = table[(table["channel"] == "(all)") & table["cohort_date"].notna()]
    longest = every.groupby(["unit", "cohort_date"])["period_index"].max()
    assert longest["week"].tolist() == list(range(16, -1, -1))
    assert {str(one.date()): last for one, last in longest["month"].items()} == {
        "2026-03-01": 2,
        "2026-04-01": 1,
        "2026-05-01": 0,
    }


@pytest.fixture(scope="module")
def paying(tmp_path_factory):
    """Three users of ads came on 1 March for 30 spent; each pays 20 on day 3 (cost 8), one 40 more on day 10 (cost 4).

    tv has spend and no user; mail has a user and no spend. The data end after 30 days.
    """
    users = [(f"u{number}", "2026-03-01 08:00", "ads") for number in range(3)] + [("m", "2026-03-01 08:00", "mail")]
    orders = [(number, f"u{number}", "2026-03-04 09:00", "2026-03-04 09:00", 20.0, 8.0) for number in range(3)]
    orders += [(3, "u0", "2026-03-11 09:00", "2026-03-11 09:00", 40.0, 4.0)]
    orders += [(4, "x", "2026-03-30 09:00", "2026-03-30 09:00", 5.0, 1.0)]
    events = frame(
        "user_id event_at event channel",
        ("u0", "2026-03-01 08:00", "view_item", "ads"),
        ("u1", "2026-03-01 08:00", "view_item", "ads"),
        ("x", "2026-03-02 08:00", "view_item", "ads"),
        ("u0", "2026-03-05 08:00", "view_item", "ads"),
    )
    money = spend(("2026-03-01", "ads", 30.0), ("2026-03-01", "tv", 12.0))
    return written(tmp_path_factory.mktemp("paying"), users, orders, events=events, channel_spend=money)


def test_economics_by_hand(paying):
    analysis = compare_channels(paying, min_users=1, repurchase_days=[7, 20], conversion_days=20)
    card = analysis.tables["channel_economics"].set_index("channel")
    ads = card.loc["ads"]
    assert ads[["spend_amount", "visitor_count", "cost_per_visitor"]].tolist() == [30.0, 3, 10.0]
    assert ads[["new_user_count", "cost_per_new_user"]].tolist() == [3, 10.0]
    assert ads[["new_buyer_count", "cost_per_new_buyer"]].tolist() == [3, 10.0]
    assert ads["return_on_ad_spend"] == pytest.approx(100 / 30)
    assert ads[["paid_amount_per_user_7", "paid_amount_per_user_20"]].tolist() == pytest.approx([20, 100 / 3])
    # profit by user and day: 12 on day 3 (from 72 hours on), and for one of three 36 on day 10: 12, then 24
    assert ads["contribution_per_new_user"] == pytest.approx(24 - 10)
    assert (ads["payback_day"], ads["watched_days"]) == (4, 20)
    curve = analysis.tables["channel_payback"].set_index(["channel", "day"])["balance_per_user"]
    assert curve["ads"].loc[[3, 4, 10, 11]].tolist() == pytest.approx([-10, 2, 2, 14])
    assert card["payback_reason"].dropna().to_dict() == {"mail": "no_spend", "tv": "no_new_users"}
    assert any("Spend without a new user: tv" in note for note in analysis.notes)
    assert card.loc["tv", ["new_user_count", "spend_amount"]].tolist() == [0, 12.0]
    assert math.isnan(card.loc["tv", "cost_per_new_user"])
    # tv's spend stands under a name that no user has: it is not the channel that brought least
    least = next(one for one in analysis.findings if one.name == "lowest_return_on_ad_spend")
    assert least.cell.key == {"channel": "ads"}
    assert any("within 7 and within 20 days are of different users" in note for note in analysis.notes)
    told = compare_channels(paying, min_users=1, repurchase_days=[7]).notes
    assert not any("are of different users" in note for note in told)


def test_payback_is_observed_and_not_extrapolated(paying):
    """Within three days nothing is earned: no payback day, however soon it would come."""
    analysis = compare_channels(paying, min_users=1, repurchase_days=[3])
    card = analysis.tables["channel_economics"].set_index("channel")
    assert math.isnan(card.loc["ads", "payback_day"])
    assert (card.loc["ads", "payback_reason"], card.loc["ads", "watched_days"]) == ("not_yet", 3)
    assert "No channel's spend has come back yet" in charts.payback_picture(analysis).to_dict()["title"]["text"]


def test_without_costs_there_is_no_payback(tmp_path):
    users = [("u", "2026-03-01", "ads")]
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            users=frame("user_id first_seen_at channel", *users),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount", (1, "u", "2026-03-02", "2026-03-02", 9.0)
            ),
            channel_spend=spend(("2026-03-01", "ads", 3.0)),
        )
    )
    analysis = compare_channels(shop, min_users=1)
    card = analysis.tables["channel_economics"].iloc[0]
    assert (card["payback_reason"], card["return_on_ad_spend"]) == ("no_costs", 3.0)
    assert analysis.tables["channel_payback"].empty
    assert charts.payback_picture(analysis) is None


def test_active_users_have_the_economics_of_new_ones(paying):
    cards = [
        compare_channels(paying, min_users=1, population=population, conversion_days=20).tables["channel_economics"]
        for population in ("new", "active")
    ]
    pd.testing.assert_frame_equal(*cards)


def test_the_sample_pays_back(analysed):
    analysis = analysed(compare_channels)
    card = analysis.tables["channel_economics"].set_index("channel")
    paid = card[card["spend_amount"] > 0]
    assert paid["payback_day"].notna().all()
    assert paid["payback_day"].idxmax() == "paid_search", "the dearest clicks take longest"
    assert (card["paid_amount_per_user_30"] <= card["paid_amount_per_user_60"]).all()


def test_more_budget_is_a_test_without_a_promised_amount(analysed):
    """What users already won have earned is not what more budget brings."""
    for lang, words in (("en", "Test 10–20% more budget on"), ("zh", "预算增加 10–20%")):
        analysis = analysed(compare_channels, lang)
        action = next(one for one in analysis.headline.actions if one.name == "grow_earning_channel")
        assert words in action.text
        assert action.amount is None
        row = analysis.tables["channel_scorecard"].set_index("channel").loc[action.cell.key["channel"]]
        assert format_amount(row["contribution_per_new_user"] * row["user_count"], lang) in action.text


def test_a_channel_that_loses_has_what_it_lost():
    row = {"channel": "ads", "contribution_per_new_user": -2.0, "contribution_ci_lower": -3.0, "spend_amount": 9.0}
    card = pd.DataFrame([{**row, "contribution_ci_upper": -1.0, "user_count": 100}])
    (action,) = _actions(card, "en", 30)
    assert (action.amount, action.ci_lower, action.ci_upper) == (200.0, 100.0, 300.0)


def test_numbers_of_cells_and_curves_are_read(analysed):
    """Numbers of the heat map stand in one dark ink on cells that stay light; a curve's number off the grey line."""
    analysis = analysed(compare_channels)
    heat = charts.retention_picture(analysis).to_dict()["layer"]
    darkest, ink = heat[0]["encoding"]["color"]["scale"]["range"][1], heat[1]["mark"]["color"]

    def light(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
        return np.dot([0.2126, 0.7152, 0.0722], linear)

    assert (light(darkest) + 0.05) / (light(ink) + 0.05) > 7
    curves = charts.curve_picture(analysis).to_dict()["spec"]["layer"]
    shifts = [(one["transform"][0]["filter"], one["mark"]["dy"]) for one in curves if one["mark"]["type"] == "text"]
    assert shifts == [
        ("isValid(datum.text) && datum.is_above", -9),
        ("isValid(datum.text) && !datum.is_above", 12),
    ]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_picture_is_drawn(analysed, lang):
    analysis = analysed(compare_channels, lang)
    for draw in (
        charts.gap_picture,
        charts.segment_picture,
        charts.curve_picture,
        charts.retention_picture,
        charts.payback_picture,
        charts.price_picture,
    ):
        spec = draw(analysis).to_dict()
        assert spec["title"]["text"], draw.__name__
