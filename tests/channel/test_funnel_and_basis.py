"""What can be asked of the funnel and of whose channel counts, by hand and with helpful refusals."""

import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.channel import charts, compare_channels
from workbench.channel.funnel import funnel_table, read_funnel
from workbench.errors import ParameterError
from workbench.metrics.funnel import funnel_reach, funnel_rules
from workbench.metrics.orders import paid_orders
from workbench.metrics.population import channel_sums, population_users
from workbench.metrics.session_channels import credited_sums, order_credit, sessions

STEPS = ["view_item", "add_to_cart", "purchase"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """u1 (ads, phone) views p1 and p2 in one visit through ads and, 30 hours later through mail, carts p2 and buys p1.

    u2 (ads, no device) views and carts p1 within two hours, in two sessions. u3 (mail, desk) views.
    """
    rows = [
        ("u1", "2026-03-01 08:00", "view_item", "s1", "p1", "ads"),
        ("u1", "2026-03-01 09:00", "view_item", "s1", "p2", "ads"),
        ("u1", "2026-03-02 15:00", "add_to_cart", "s2", "p2", "mail"),
        ("u1", "2026-03-02 16:00", "purchase", "s2", "p1", "mail"),
        ("u2", "2026-03-01 08:00", "view_item", "s3", "p1", "ads"),
        ("u2", "2026-03-01 10:00", "add_to_cart", "s4", "p1", None),
        ("u3", "2026-03-01 08:00", "view_item", "s5", "p1", "mail"),
    ]
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("funnel") / "shop",
            users=frame(
                "user_id first_seen_at channel device",
                ("u1", "2026-03-01 08:00", "ads", "phone"),
                ("u2", "2026-03-01 08:00", "ads", None),
                ("u3", "2026-03-01 08:00", "mail", "desk"),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                (1, "u1", "2026-03-02 16:00", "2026-03-02 16:00", 50.0),
                (2, "x", "2026-05-01", "2026-05-01", 9.0),
            ),
            events=frame("user_id event_at event session_id product_id channel", *rows),
        )
    )


def funnel_of(shop, funnel_steps=STEPS, **asked):
    """The funnel's table alone, with the notebook's defaults."""
    defaults = {"window_hours": 168, "step_window_hours": None, "hold": None, "count": "users", "breakdown": None}
    read = read_funnel(shop, funnel_steps, **defaults | asked)
    period = shop.period(None, None, "UTC")
    members = population_users(shop.tables, "new", period, [read.user_breakdown] if read.user_breakdown else [])
    channels = sorted(shop.collect(members.select("channel").distinct())["channel"])
    return funnel_table(shop, members, period, read, channels, 0.95).table


def reached(shop, **asked):
    table = funnel_of(shop, **asked)
    keys = [name for name in ("channel", "breakdown_value") if name in table]
    return table.pivot(index=keys, columns="step", values="user_count")[STEPS].astype(int).T.to_dict("list")


def test_windows_by_hand(shop):
    assert reached(shop) == {"ads": [2, 2, 1], "mail": [1, 0, 0]}
    assert reached(shop, step_window_hours=29) == {"ads": [2, 1, 0], "mail": [1, 0, 0]}  # u1 carts 30 hours after p2
    assert reached(shop, step_window_hours=30) == {"ads": [2, 2, 1], "mail": [1, 0, 0]}
    assert reached(shop, window_hours=30) == {"ads": [2, 2, 0], "mail": [1, 0, 0]}


def test_the_same_product_through_all_steps(shop):
    assert reached(shop, hold="product_id") == {"ads": [2, 2, 0], "mail": [1, 0, 0]}  # u1 carts p2 and buys p1


def test_orders_hold_the_products_of_their_lines(tmp_path):
    """Checkout and purchase carry an order and no product: u1 ordered p1 and p2, of which p2 was viewed and carted; u2 p9."""
    rows = [
        ("u1", "2026-03-01 08:00", "view_item", "p2", None),
        ("u1", "2026-03-01 09:00", "add_to_cart", "p2", None),
        ("u1", "2026-03-01 10:00", "purchase", None, 1),
        ("u2", "2026-03-01 08:00", "view_item", "p1", None),
        ("u2", "2026-03-01 09:00", "add_to_cart", "p1", None),
        ("u2", "2026-03-01 10:00", "purchase", None, 2),
    ]
    tables = {
        "users": frame(
            "user_id first_seen_at channel", ("u1", "2026-03-01 08:00", "ads"), ("u2", "2026-03-01 08:00", "ads")
        ),
        "orders": frame(
            "order_id user_id submitted_at paid_at gross_amount",
            (1, "u1", "2026-03-01 10:00", "2026-03-01 10:00", 50.0),
            (2, "u2", "2026-03-01 10:00", "2026-03-01 10:00", 9.0),
        ),
        "events": frame("user_id event_at event product_id order_id", *rows).astype({"order_id": "Int64"}),
    }
    lines = frame(
        "order_id line_no product_id quantity amount",
        (1, 1, "p1", 1, 20.0),
        (1, 2, "p2", 1, 30.0),
        (2, 1, "p9", 1, 9.0),
    )
    with_lines = open_shop(write_shop(tmp_path / "lines", **tables, order_lines=lines))
    assert reached(with_lines, hold="product_id") == {"ads": [2, 2, 1]}
    analysis = compare_channels(with_lines, funnel_steps=STEPS, hold="product_id", min_users=1)
    assert any("hold the products of their order's lines: purchase" in note for note in analysis.notes)
    with pytest.raises(ParameterError) as error:
        compare_channels(open_shop(write_shop(tmp_path / "bare", **tables)), funnel_steps=STEPS, hold="product_id")
    assert "hold: purchase never carries product_id" in str(error.value)
    assert "give funnel_steps [view_item, add_to_cart]" in str(error.value)


def test_the_same_product_is_held_on_the_sample(small_folder):
    table = funnel_of(
        open_shop(small_folder), ["view_item", "add_to_cart", "begin_checkout", "purchase"], hold="product_id"
    )
    counts = table.groupby("step_index")["user_count"].sum()
    assert counts.is_monotonic_decreasing
    assert counts.iloc[-1] > 100


@pytest.mark.engine
def test_held_products_of_orders_agree_on_clickhouse(small_folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    steps = ["view_item", "add_to_cart", "begin_checkout", "purchase"]
    found = []
    for source in (small_folder, f"chdb://{small_folder}"):
        shop = open_shop(source)
        read = read_funnel(
            shop,
            steps,
            window_hours=48,
            step_window_hours=None,
            hold="product_id",
            count="users",
            breakdown="channel",
            breakdown_at="last",
        )
        period = shop.period("2026-04-01", "2026-05-01", "UTC")
        members = population_users(shop.tables, "active", period)
        channels = sorted(shop.collect(members.select("channel").distinct())["channel"])
        found.append(funnel_table(shop, members, period, read, channels, 0.95))
    pd.testing.assert_frame_equal(found[0].table, found[1].table, rtol=0, atol=1e-9)
    assert found[0].waiting_count == found[1].waiting_count == 0
    assert found[0].started_count == found[1].started_count > 100


def test_steps_are_followed_beyond_the_period_and_who_still_waits_is_counted(shop):
    """On 1 March u1, u2 and u3 view; u1 carts and buys on 2 March. Data end on 1 May."""
    march = compare_channels(shop, funnel_steps=STEPS, start_date="2026-03-01", end_date="2026-03-02")
    ads = march.tables["channel_funnel"].query("channel == 'ads'")
    assert ads["user_count"].tolist() == [2, 2, 1]
    assert not any("later steps may still come" in note for note in march.notes)
    long = compare_channels(shop, funnel_steps=STEPS, window_hours=24 * 90)
    assert any("Of 3 users who begin the funnel, 3 (100.0%) began less than 2160 hours" in note for note in long.notes)
    # one of two who begin has waited: the window of the first elapsed on 3 March, the end of that day's data
    barred = compare_channels(
        shop,
        funnel_steps=["view_item", "add_to_cart", "!view_item", "purchase"],
        start_date="2026-03-01",
        end_date="2026-03-02",
    )
    assert barred.tables["channel_funnel"].query("channel == 'ads'")["user_count"].tolist() == [2, 1, 0]


def test_sessions_instead_of_users(shop):
    assert reached(shop, count="sessions") == {"ads": [2, 0, 0], "mail": [1, 0, 0]}


def test_an_optional_step_is_not_needed(shop):
    steps = ["view_item", "add_to_cart?", "purchase"]
    table = funnel_of(shop, steps, step_window_hours=29)
    ads = table[table["channel"] == "ads"]
    assert ads["user_count"].tolist() == [2, 1, 0]
    table = funnel_of(shop, steps)
    assert table.loc[(table["channel"] == "ads") & (table["step"] == "purchase"), "step_rate"].item() == 0.5


def test_time_to_convert(shop):
    table = funnel_of(shop)
    ads = table[table["channel"] == "ads"].set_index("step")
    # u1 takes 30 hours from p2, u2 two
    assert ads.loc["add_to_cart", ["lower_hours", "median_hours", "upper_hours"]].tolist() == [9.0, 16.0, 23.0]
    assert ads.loc["purchase", ["lower_hours", "median_hours", "upper_hours"]].tolist() == [31.0] * 3
    told = [compare_channels(shop, funnel_steps=STEPS, lang=lang, min_users=1).findings for lang in ("en", "zh")]
    words = [next(one.text for one in findings if one.name == "time_to_convert") for findings in told]
    assert words[0].startswith("From view_item to purchase users of ads take 31.0 h in the middle")
    assert "31.0 小时" in words[1]


def test_broken_down_by_a_column_of_users_or_events(shop):
    by_device = reached(shop, breakdown="device")
    assert by_device == {
        ("ads", "(unknown)"): [1, 1, 0],
        ("ads", "phone"): [1, 1, 1],
        ("mail", "desk"): [1, 0, 0],
    }
    by_visit = reached(shop, breakdown="channel")  # the visit's channel at the first step
    assert by_visit == {("ads", "ads"): [2, 2, 1], ("mail", "mail"): [1, 0, 0]}
    at_last = reached(shop, breakdown="channel", breakdown_at="last")  # u1 bought through mail, u2 carted through none
    assert at_last == {("ads", "(unknown)"): [1, 1, 0], ("ads", "mail"): [1, 1, 1], ("mail", "mail"): [1, 0, 0]}
    analysis = compare_channels(shop, funnel_steps=STEPS, breakdown="device")
    drawn = charts.funnel_picture(analysis).to_dict()["datasets"]
    ads = [row for rows in drawn.values() for row in rows if row.get("channel") == "ads"]
    assert [row["user_count"] for row in ads] == [2, 2, 1]


def test_steps_never_recorded_are_left_out_and_exclusions_stay_between(shop):
    steps = ["view_item", "add_to_cart", "!view_item", "begin_checkout", "purchase"]
    analysis = compare_channels(shop, funnel_steps=["view_item", "add_to_cart", "begin_checkout", "purchase"])
    assert analysis.tables["channel_funnel"]["step"].drop_duplicates().tolist() == STEPS
    assert any("never records begin_checkout" in note for note in analysis.notes)
    assert funnel_of(shop, steps)["user_count"].sum() == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hold": "produkt_id"}, 'hold: "produkt_id" is no column to use, did you mean "product_id"?'),
        ({"hold": "content_id"}, 'hold: events carry no "content_id"'),
        ({"breakdown": "devise"}, 'breakdown: "devise" is no column to use, did you mean "device"?'),
        ({"breakdown": "age_group"}, 'breakdown: users carry no "age_group"'),
        ({"breakdown": "keyword"}, 'breakdown: events carry no "keyword"'),
        ({"count": "visits"}, 'count: "visits" is not known'),
        ({"breakdown_at": "end"}, 'breakdown_at: "end" is not known'),
        ({"step_window_hours": 200}, "step_window_hours is 200, longer than window_hours"),
        ({"step_window_hours": 0}, "step_window_hours is 0; it must be above 0 hours"),
    ],
)
def test_bad_arguments(shop, arguments, words):
    with pytest.raises(ParameterError) as error:
        compare_channels(shop, **arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("basis", "orders"),
    [
        ("acquisition", {"ads": 1, "mail": 0}),
        ("session", {"ads": 0, "mail": 1, "(unknown)": 0}),
        ("first", {"ads": 1, "mail": 0, "(unknown)": 0}),
        ("last", {"ads": 0, "mail": 1, "(unknown)": 0}),
        ("linear", {"ads": 0.5, "mail": 0.5, "(unknown)": 0}),
    ],
)
def test_whose_channel_counts(shop, basis, orders):
    """u1's order: came by ads, then by mail, in whose session it was paid. u2's session without a channel is (unknown)."""
    analysis = compare_channels(shop, funnel_steps=STEPS, channel_basis=basis, min_users=1)
    card = analysis.tables["channel_scorecard"].set_index("channel")
    assert card["order_count"].to_dict() == orders
    assert card["paid_amount"].fillna(0).to_dict() == {name: 50.0 * part for name, part in orders.items()}
    if basis != "acquisition":
        assert card.loc["mail", ["user_count", "conversion_rate"]].tolist() == [2, orders["mail"] / 2]
        assert analysis.tables["channel_pairs"]["p_value"].isna().all()  # of three users nothing is tested
        assert any(f"channel_basis {basis}" in note for note in analysis.notes)
    # who is followed over time keeps the channel of acquisition
    followed = analysis.tables["channel_funnel"].groupby("channel")["user_count"].apply(list).to_dict()
    assert followed == {"ads": [2, 2, 1], "mail": [1, 0, 0]}


@pytest.mark.parametrize(
    "basis", ["session", "linear", *(pytest.param(one, marks=pytest.mark.slow) for one in ("first", "last"))]
)
def test_credit_closes_to_all_orders(small_folder, basis):
    """Whoever the credit goes to, orders and money of the period's new users are the same in all."""
    shop = open_shop(small_folder)
    period = shop.period("2026-03-01", "2026-04-01", "Asia/Shanghai")
    members, paid = population_users(shop.tables, "new", period), paid_orders(shop.orders)
    visits = sessions(shop.events, period, has_sessions=True)
    weights = order_credit(visits, shop.orders, period, basis, lookback_days=30, has_channel=True)
    credited = shop.collect(credited_sums(members, visits, paid, weights, "new", period, 30))
    fixed = shop.collect(channel_sums(members, paid, "new", period, 30))
    sums = ["order_count", "gross_amount", "paid_amount", "refund_amount", "converted_count"]
    assert credited[sums].sum().tolist() == pytest.approx(fixed[sums].sum().tolist())
    assert fixed["order_count"].sum() > 50


@pytest.mark.parametrize("hold", [pytest.param(None, marks=pytest.mark.slow), "session_id"])
def test_counts_are_those_of_the_funnel(small_folder, hold):
    """The table counts later steps with their hours; the metric that counts users alone says the same."""
    shop = open_shop(small_folder)
    steps = ["view_item", "add_to_cart?", "begin_checkout", "purchase"]
    table = funnel_of(shop, steps, hold=hold, breakdown="device")
    period = shop.period(None, None, "UTC")
    members = population_users(shop.tables, "new", period, ["device"])
    rules = funnel_rules(steps, window_hours=168, hold=hold)
    found = shop.collect(funnel_reach(shop.events, rules, ["channel", "device"], members))
    expected = found.set_index(["channel", "device"]).stack()
    own = table.set_index(["channel", "breakdown_value"])
    own = own.set_index("step_" + own["step_index"].astype(str), append=True)["user_count"]
    assert own.to_dict() == expected.to_dict()
    assert len(own) > 50


def test_a_session_of_two_channels_is_counted_and_has_the_first(tmp_path):
    rows = [("u", "2026-03-01 08:00", "s", "ads"), ("u", "2026-03-01 08:01", "s", "mail")]
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            users=frame("user_id first_seen_at channel", ("u", "2026-03-01 08:00", "ads")),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount", (1, "u", "2026-03-02", "2026-03-02", 5.0)
            ),
            events=frame("user_id event_at session_id channel", *rows).assign(event="view_item"),
        )
    )
    analysis = compare_channels(shop, channel_basis="last", min_users=1)
    assert analysis.tables["channel_scorecard"].set_index("channel")["order_count"].to_dict() == {"ads": 1.0}
    assert any("more than one channel: 1; the first one named counts" in note for note in analysis.notes)


def test_active_users_are_told_of_what_is_followed(shop):
    analysis = compare_channels(shop, population="active", funnel_steps=STEPS)
    assert any("of users first seen in the period" in note for note in analysis.notes)


@pytest.fixture(scope="module")
def credited(tmp_path_factory):
    """400 users come through ads, then mail, and 160 of them buy; 200 more come through mail alone, and 60 buy."""
    users, events, orders = [], [], []
    for number in range(600):
        name = f"u{number}"
        users.append((name, "2026-03-01 08:00", "ads" if number < 400 else "mail", "18-24" if number % 2 else "25-34"))
        if number < 400:
            events.append((name, "2026-03-01 08:00", "view_item", f"{name}a", "ads"))
        events.append((name, "2026-03-01 12:00", "view_item", f"{name}b", "mail"))
        if number < 160 or 400 <= number < 460:
            orders.append((number, name, "2026-03-01 13:00", "2026-03-01 13:00", 10.0))
    orders.append((600, "later", "2026-06-01", "2026-06-01", 10.0))
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("credited") / "shop",
            users=frame("user_id first_seen_at channel age_group", *users),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
            events=frame("user_id event_at event session_id channel", *events),
        )
    )


def test_credit_is_told_as_credit_and_not_as_channel_or_audience(credited):
    """By first, ads gets all 160 orders of its 400 users, mail 60 of 600: that follows from the rule."""
    analysis = compare_channels(credited, channel_basis="first")
    verdict = analysis.headline.verdict
    assert verdict.startswith("ads is credited with the first order within 30 days of 40.0%")
    assert "mail of 10.0%" in verdict
    assert "follows from who gets the credit (channel_basis first)" in verdict
    names = {one.name for one in analysis.findings}
    assert not names & {
        "gap_explained_by_audience",
        "gap_with_same_audience",
        "highest_conversion",
        "lowest_conversion",
    }
    card = analysis.tables["channel_scorecard"]
    assert card[[name for name in card if name.startswith("repurchase_rate")]].isna().all().all()
    assert "Credited with" in analysis.headline.table
    assert "mostly" not in str(charts.gap_picture(analysis).to_dict()["title"]["text"])


def test_first_and_acquisition_differ_in_words(credited):
    analysis = compare_channels(credited)
    assert "converts" in analysis.headline.verdict
    assert "credited" not in analysis.headline.verdict
    assert "归功" in compare_channels(credited, channel_basis="first", lang="zh").headline.verdict
