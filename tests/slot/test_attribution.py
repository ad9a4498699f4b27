"""The slot tables by hand, closing to the cent, on the sample's planted stories, and in the face of bad input."""

import math

import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.slot import attribute_slots, charts


def small(tmp_path, *rows, orders=None, mapping=None):
    tables = {"events": frame("user_id event_at event slot_id", *rows)}
    if orders is not None:
        tables["orders"] = frame("order_id user_id submitted_at paid_at gross_amount", *orders)
    folder = write_shop(tmp_path / "shop", **tables)
    if mapping:
        (folder / "mapping.yml").write_text(mapping)
    return open_shop(folder)


def test_metrics_by_hand(tmp_path):
    shop = small(
        tmp_path,
        ("u1", "2026-03-01 10:00", "view_promotion", "a"),
        ("u1", "2026-03-01 10:01", "view_promotion", "a"),
        ("u2", "2026-03-01 10:01", "view_promotion", "a"),
        ("u1", "2026-03-01 10:02", "select_promotion", "a"),
        ("u1", "2026-03-01 10:03", "select_promotion", "a"),
        ("u3", "2026-03-01 10:03", "select_promotion", "b"),
    )
    metrics = attribute_slots(shop).tables["slot_metrics"].set_index("slot_id")
    a, b = metrics.loc["a"], metrics.loc["b"]
    assert a[["impression_count", "click_count", "viewer_count", "clicker_count"]].tolist() == [3, 2, 2, 1]
    assert a["click_through_rate"] == pytest.approx(2 / 3)
    assert a["clicks_per_clicker"] == 2
    assert (b["impression_count"], b["click_count"], b["reason"]) == (0, 1, "clicks_above_exposures")
    assert math.isnan(b["click_through_rate"])


def test_a_slot_that_nobody_clicked_has_an_upper_bound(tmp_path):
    rows = [(f"u{i}", "2026-03-01 10:00", "view_promotion", "a") for i in range(100)]
    a = attribute_slots(small(tmp_path, *rows)).tables["slot_metrics"].iloc[0]
    assert (a["click_through_rate"], a["ci_lower"]) == (0, 0)
    assert a["ci_upper"] == pytest.approx(0.0362, abs=1e-4)


def test_users_that_cannot_be_told_apart_are_not_counted(tmp_path):
    shop = small(tmp_path, ("u1", "2026-03-01 10:00", "view_promotion", "a"), mapping="user_ids: per_event")
    a = attribute_slots(shop).tables["slot_metrics"].iloc[0]
    assert math.isnan(a["viewer_count"])


def test_credit_closes_to_the_cent_on_the_sample(sample):
    credit = attribute_slots(sample, timezone="Asia/Shanghai").tables["slot_credit"]
    paid = sample.orders.filter(sample.orders.paid_ms.notnull())
    totals = sample.collect(paid.aggregate(orders=paid.count(), amount=paid.paid_amount.sum())).iloc[0]
    carts = sample.events.filter(sample.events.event == "add_to_cart")
    cart_count = sample.collect(carts.aggregate(rows=carts.count())).loc[0, "rows"]
    sums = credit.groupby(["target", "model"])[["conversion_credit", "amount_credit"]].sum()
    for model in ("first", "last", "linear"):
        assert sums.loc[("purchase", model), "conversion_credit"] == pytest.approx(totals["orders"], abs=1e-6)
        assert sums.loc[("purchase", model), "amount_credit"] == pytest.approx(totals["amount"], abs=0.005)
        assert sums.loc[("add_to_cart", model), "conversion_credit"] == pytest.approx(cart_count, abs=1e-6)
    assert (credit[credit["credited_id"] == "(direct)"].groupby(["target", "model"]).size() == 1).all()
    assert credit[credit["target"] == "add_to_cart"]["amount_credit"].isna().all()


def test_the_planted_slots_are_named(sample, truth):
    focus = attribute_slots(sample, timezone="Asia/Shanghai").tables["slot_focus"].set_index("slot_id")
    assert focus.loc[truth["slots"]["topic_page"][0], "reason"] == "leaks"
    hidden = set(focus.index[focus["reason"] == "hidden"])
    assert hidden & set(truth["slots"]["hidden_gems"])


def test_one_large_buyer_gets_no_interval(tmp_path):
    clicks = [(f"u{i}", "2026-03-01 10:00", "select_promotion", "a") for i in range(60)]
    orders = [(i, f"u{i}", "2026-03-01 11:00", "2026-03-01 11:00", 1000.0 if i == 0 else 1.0) for i in range(60)]
    analysis = attribute_slots(small(tmp_path, *clicks, orders=orders))
    credit = analysis.tables["slot_credit"]
    assert credit[credit["target"] == "purchase"]["ci_lower"].isna().all()
    assert any("No intervals for purchase: one buyer carries 94%" in note for note in analysis.notes)


def test_one_person_with_most_of_the_carts_gets_no_interval_either(tmp_path):
    rows = [(f"u{i}", "2026-03-01 10:00", "select_promotion", "a") for i in range(60)]
    rows += [("u0", f"2026-03-01 11:{i:02d}", "add_to_cart", None) for i in range(60)]
    rows += [(f"u{i}", "2026-03-01 11:00", "add_to_cart", None) for i in range(1, 10)]
    analysis = attribute_slots(small(tmp_path, *rows), targets=["add_to_cart"])
    assert analysis.tables["slot_credit"]["ci_lower"].isna().all()
    assert any("No intervals for add_to_cart: one buyer carries 87%" in note for note in analysis.notes)


def test_a_direct_row_stands_there_even_at_zero(tmp_path):
    orders = [(1, "u", "2026-03-01 11:00", "2026-03-01 11:00", 5.0)]
    credit = attribute_slots(small(tmp_path, ("u", "2026-03-01 10:00", "select_promotion", "a"), orders=orders)).tables[
        "slot_credit"
    ]
    direct = credit[(credit["target"] == "purchase") & (credit["credited_id"] == "(direct)")]
    assert direct["conversion_credit"].tolist() == [0.0, 0.0, 0.0]


def test_whole_number_ids_order_by_size(tmp_path):
    """At one instant slot 9 is clicked before slot 10, and order 9 is paid before order 10."""
    import pandas as pd

    noon = pd.Timestamp("2026-03-01 12:00", tz="UTC")
    events = pd.DataFrame({"user_id": "u", "event_at": noon, "event": "select_promotion", "slot_id": [10, 9]})
    orders = pd.DataFrame(
        {"order_id": [10, 9], "user_id": "u", "submitted_at": noon, "paid_at": noon, "gross_amount": [1.0, 100.0]}
    )
    shop = open_shop(write_shop(tmp_path / "shop", events=events, orders=orders))
    credit = (
        attribute_slots(shop, targets=["purchase"])
        .tables["slot_credit"]
        .set_index(["model", "credited_id"])["amount_credit"]
    )
    assert credit[("first", "9")] == 100.0
    assert credit[("last", "10")] == 100.0
    assert credit[("linear", "(direct)")] == 1.0


def test_names_are_text(tmp_path):
    folder = write_shop(
        tmp_path / "shop",
        events=frame("user_id event_at event slot_id", ("u", "2026-03-01", "view_promotion", "s")),
        slots=pd.DataFrame({"slot_id": ["s"], "name": ['=cmd|"<script>alert(1)</script>, 首页']}),
    )
    metrics = attribute_slots(open_shop(folder)).tables["slot_metrics"]
    assert metrics.loc[0, "slot_name"] == '=cmd|"<script>alert(1)</script>, 首页'


def test_without_events_or_orders(tmp_path):
    shop = small(tmp_path, ("u", "2026-03-01", "view_promotion", "s"))
    analysis = attribute_slots(shop)
    assert analysis.tables["slot_credit"].empty
    assert "without an orders table nothing is attributed" in analysis.headline.verdict
    assert any("purchase is credited from orders, which are not there" in note for note in analysis.notes)
    users_only = open_shop(write_shop(tmp_path / "users", users=frame("user_id first_seen_at", ("u", "2026-03-01"))))
    with pytest.raises(TableError, match='slot_attribution needs the tables events; "events" is missing'):
        attribute_slots(users_only)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lookback_hours": 0}, "lookback_hours is 0; it must be above 0 hours"),
        ({"lookback_hours": -5}, "lookback_hours is -5"),
        ({"models": ["linaer"]}, 'models: "linaer" is not known, did you mean "linear"?'),
        ({"lookback_hours": float("inf")}, "lookback_hours is inf"),
        ({"models": []}, "models is empty"),
        ({"models": ["linear", "linear"]}, "names one twice"),
        ({"targets": ["purchas"]}, 'targets: no event "purchas" in the data, did you mean "purchase"?'),
    ],
)
def test_bad_arguments(tmp_path, arguments, words):
    shop = small(tmp_path, ("u", "2026-03-01", "view_promotion", "s"))
    with pytest.raises(ParameterError) as error:
        attribute_slots(shop, **arguments)
    assert words in str(error.value)


def test_both_languages_draw(sample):
    for lang in ("en", "zh"):
        analysis = attribute_slots(sample, lang=lang)
        for draw in (charts.traffic_picture, charts.credit_picture, charts.position_picture):
            assert draw(analysis).to_dict()["title"]
