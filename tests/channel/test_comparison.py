"""The channel tables by hand, on the sample's planted stories, and in the face of bad input."""

import math

import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.channel import charts, compare_channels
from workbench.errors import ParameterError, TableError


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Data reach from 1 March to 9 April 2026 (its last order), so 30 days have elapsed for who came by 11 March.

    u1 (ads, 1 March): buys on day 2 and day 12          u2 (ads, 2 March): buys on day 35, after its 30 days
    u3 (ads, 20 March): buys at once, not yet elapsed    u4 (no channel, 1 March): submits, never pays
    """
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("made") / "shop",
            users=frame(
                "user_id first_seen_at channel",
                ("u1", "2026-03-01 08:00", "ads"),
                ("u2", "2026-03-02 08:00", "ads"),
                ("u3", "2026-03-20 08:00", "ads"),
                ("u4", "2026-03-01 08:00", None),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount refund_amount cost_amount",
                (1, "u1", "2026-03-03 08:00", "2026-03-03 08:00", 100.0, 10.0, 0.0, 40.0),
                (2, "u1", "2026-03-13 08:00", "2026-03-13 08:00", 50.0, 0.0, 45.0, 20.0),
                (3, "u2", "2026-04-06 08:00", "2026-04-06 08:00", 80.0, 0.0, 0.0, 30.0),
                (4, "u3", "2026-03-20 09:00", "2026-03-20 09:00", 60.0, 0.0, 0.0, 30.0),
                (5, "u4", "2026-03-01 09:00", None, 70.0, 0.0, 0.0, 30.0),
                (6, "u9", "2026-04-09 09:00", "2026-04-09 09:00", 7.0, 0.0, 0.0, 3.0),
            ),
            events=frame(
                "user_id event_at event",
                ("u1", "2026-03-01 08:00", "view_item"),
                ("u1", "2026-03-01 09:00", "add_to_cart"),
                ("u2", "2026-03-02 08:00", "view_item"),
                ("u4", "2026-03-01 08:00", "add_to_cart"),
            ),
            channel_spend=frame("date channel spend_amount", ("2026-03-01", "ads", 6.0)).assign(
                date=lambda t: __import__("pandas").to_datetime(t["date"]).dt.date
            ),
        )
    )


def by_channel(analysis):
    return analysis.tables["channel_scorecard"].set_index("channel")


def test_new_users_by_hand(shop):
    card = by_channel(compare_channels(shop, funnel_steps=["view_item", "add_to_cart"]))
    ads = card.loc["ads"]
    assert list(card.index) == ["ads", "(unknown)"]
    assert ads[["user_count", "buyer_count", "repeat_buyer_count", "order_count"]].tolist() == [3, 3, 1, 4]
    assert ads[["gross_amount", "paid_amount"]].tolist() == [290.0, 280.0]
    assert ads["average_order_value"] == 70.0
    assert ads["refund_rate"] == pytest.approx(45 / 280)
    # elapsed: u1 and u2 (u3 not); converted within 30 days: u1
    assert (ads["conversion_eligible_count"], ads["conversion_rate"]) == (2, 0.5)
    # first orders followed 30 days to the end of 9 April: u1 (3 March); u3 (20 March) and u2 (6 April) not
    assert (ads["repurchase_rate_30_eligible_count"], ads["repurchase_rate_30"]) == (1, 1.0)
    assert math.isnan(ads["repurchase_rate_60"])
    # profit of u1's first 30 days: 90 - 40 + (50 - 45 - 20) = 35, over two elapsed users, less spend 6 / 3
    assert ads["contribution_per_new_user"] == pytest.approx(35 / 2 - 2)
    unknown = card.loc["(unknown)"]
    assert unknown[["user_count", "buyer_count", "order_count", "conversion_rate"]].tolist() == [1, 0, 0, 0.0]


def test_active_users_by_hand(shop):
    card = by_channel(compare_channels(shop, population="active", start_date="2026-04-01", end_date="2026-05-01"))
    assert card["user_count"].to_dict() == {"(unknown)": 1, "ads": 1}  # u9 is not in users
    assert card.loc["ads", "conversion_rate"] == 1.0
    assert math.isnan(card.loc["ads", "repurchase_rate_30"])  # u2's first order is followed for three days only


def test_funnel_by_hand(shop):
    funnel = compare_channels(shop, funnel_steps=["view_item", "add_to_cart"]).tables["channel_funnel"]
    ads = funnel[funnel["channel"] == "ads"]
    assert ads[["step", "step_index", "user_count", "step_rate", "overall_rate"]].to_numpy().tolist() == [
        ["view_item", 1, 2.0, 1.0, 1.0],
        ["add_to_cart", 2, 1.0, 0.5, 0.5],
    ]


def test_a_period_without_orders_says_so_and_prints_no_zeros(shop):
    analysis = compare_channels(shop, start_date="2026-03-02", end_date="2026-03-03")
    assert "No paid order from 2026-03-02 to 2026-03-02" in analysis.headline.verdict
    assert any("No paid order" in flag for flag in analysis.flags)
    card = by_channel(analysis)
    assert card.loc["ads", "user_count"] == 1
    assert card[["order_count", "paid_amount"]].isna().all().all()
    assert card.loc["ads", "conversion_rate"] == 0  # u2 has been followed for 30 days and did not buy in them


def test_orders_of_others_and_later_orders_count_where_they_belong(shop):
    """On 3 March only an old user pays; the day's users are counted, and their later orders convert them."""
    analysis = compare_channels(shop, start_date="2026-03-20", end_date="2026-03-21", conversion_days=1)
    assert analysis.flags == ("1 warning about the data; see the data section.",)
    card = by_channel(compare_channels(shop, start_date="2026-03-01", end_date="2026-03-02", conversion_days=10))
    assert card.loc["ads", "conversion_rate"] == 1.0  # u1 came on 1 March and paid on the 3rd, after the period


def test_spend_of_a_channel_without_users_is_not_lost(shop, tmp_path):
    import pandas as pd

    tables = {name: shop.collect(shop.tables[name])[list(shop.present[name])] for name in ("users", "orders")}
    spend = pd.DataFrame(
        {"date": pd.to_datetime(["2026-02-01", "2026-03-01"]).date, "channel": "tv", "spend_amount": [3.0, 4.0]}
    )
    other = open_shop(write_shop(tmp_path / "other", channel_spend=spend, **tables))
    assert by_channel(compare_channels(other)).loc["tv", ["user_count", "spend_amount"]].tolist() == [0, 7.0]
    only_march = compare_channels(other, start_date="2026-03-01", end_date="2026-04-01")
    assert by_channel(only_march).loc["tv", "spend_amount"] == 4.0


def test_orders_without_amounts_are_left_out_of_averages(tmp_path):
    rows = [
        (1, "u", "2026-03-01", "2026-03-01", 100.0),
        (2, "u", "2026-03-02", "2026-03-02", None),
        (3, "v", "2026-03-02", "2026-03-02", None),
    ]
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            users=frame("user_id first_seen_at channel", ("u", "2026-03-01", "a"), ("v", "2026-03-01", "b")),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *rows),
        )
    )
    card = by_channel(compare_channels(shop))
    assert card.loc["a", ["order_count", "average_order_value"]].tolist() == [2, 100.0]
    assert math.isnan(card.loc["b", "paid_amount"])


def test_a_shop_of_orders_and_users_alone_has_a_report(shop, tmp_path):
    tables = {name: shop.collect(shop.tables[name])[list(shop.present[name])] for name in ("users", "orders")}
    analysis = compare_channels(open_shop(write_shop(tmp_path / "two", **tables)))
    assert analysis.tables["channel_funnel"].empty
    assert charts.funnel_picture(analysis) is None


def test_events_that_are_never_recorded_are_no_zeros(shop):
    analysis = compare_channels(shop)
    assert set(analysis.tables["channel_funnel"]["step"]) == {"view_item", "add_to_cart"}
    assert any("never records begin_checkout, purchase" in note for note in analysis.notes)


def test_the_young_channel_has_many_carts_and_few_orders(analysed, truth):
    analysis = analysed(compare_channels)
    card = by_channel(analysis).drop("(unknown)")
    assert card["conversion_rate"].idxmin() == "social_video"
    leak = next(one for one in analysis.findings if one.name == "leakiest_step")
    assert leak.cell.key == {"channel": "social_video", "step": "begin_checkout"}
    assert card["order_count"].sum() + 28 == pytest.approx(truth["users"] * 0.5, rel=0.1)


def test_chinese_and_english_tell_the_same_numbers(analysed):
    english, chinese = (analysed(compare_channels, lang) for lang in ("en", "zh"))
    assert [one.name for one in english.findings] == [one.name for one in chinese.findings]
    assert [one.value for one in english.findings] == pytest.approx([one.value for one in chinese.findings])
    assert "转化" in chinese.headline.verdict
    for draw in (charts.conversion_picture, charts.funnel_picture, charts.repurchase_picture):
        assert draw(chinese).to_dict()["title"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"population": "nwe"}, 'population: "nwe" is not known, did you mean "new"?'),
        ({"funnel_steps": ["view_item"]}, "fewer than two required steps"),
        ({"funnel_steps": ["view_item", "view_item"]}, "has view_item twice; name each step once"),
        (
            {"funnel_steps": ["view_item", "ad_to_cart"]},
            'no event "ad_to_cart" in the data, did you mean "add_to_cart"?',
        ),
        ({"window_hours": 0}, "window_hours is 0; it must be above 0 hours"),
        ({"repurchase_days": [30, 0]}, "repurchase_days: 0 is not a whole positive number"),
        ({"conversion_days": 1.5}, "conversion_days: 1.5 is not a whole positive number"),
        ({"confidence_level": 95}, "confidence_level is 95"),
        ({"start_date": "2026-03-05", "end_date": "2026-03-01"}, "is not before end_date"),
    ],
)
def test_bad_arguments(shop, arguments, words):
    with pytest.raises(ParameterError) as error:
        compare_channels(shop, **arguments)
    assert words in str(error.value)


def test_missing_tables_are_named(tmp_path):
    shop = open_shop(write_shop(tmp_path / "shop", users=frame("user_id first_seen_at", ("u", "2026-03-01"))))
    with pytest.raises(TableError, match='channel_comparison needs the tables orders, users; "orders" is missing'):
        compare_channels(shop)


def test_without_repurchase_windows_the_rest_stands(shop):
    analysis = compare_channels(shop, repurchase_days=[])
    assert by_channel(analysis).loc["ads", "conversion_rate"] == 0.5
    assert charts.repurchase_picture(analysis) is None
