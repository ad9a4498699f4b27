"""The slot tables by hand, closing to the cent, on the sample's planted stories, and in the face of bad input."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from shops import frame, small, write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.metrics.journeys import JourneyRules, Sales
from workbench.slot import attribute_slots
from workbench.slot.attribution import DEFAULT_MODELS
from workbench.slot.checks import MODELS
from workbench.slot.credit import Weights, collect_target
from workbench.slot.findings import rank_words
from workbench.slot.shares import credit_tables, make_resampling


@pytest.fixture(scope="module")
def little(small_folder):
    """A simulated shop of 1,500 users."""
    return open_shop(small_folder)


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


@pytest.mark.parametrize(
    ("seen", "clicked", "reason"),
    [
        ([1] * 50, [1] * 50, "no_variation"),  # everybody clicked
        ([2] * 50, [1] * 50, "no_variation"),  # everybody clicked every second time
        ([3], [3], "too_few_users"),
        ([4], [1], "too_few_users"),
        ([2, 2], [2, 0], "too_few_users"),  # without the one the rate is 0, without the other 1
    ],
)
def test_why_a_click_through_rate_has_no_interval(tmp_path, seen, clicked, reason):
    rows = [
        (f"u{user}", f"2026-03-01 10:{minute:02d}", event, "a")
        for event, counts in (("view_promotion", seen), ("select_promotion", clicked))
        for user, count in enumerate(counts)
        for minute in range(count)
    ]
    a = attribute_slots(small(tmp_path, *rows)).tables["slot_metrics"].iloc[0]
    assert a["click_through_rate"] == sum(clicked) / sum(seen)
    assert math.isnan(a["ci_lower"])
    assert math.isnan(a["ci_upper"])
    assert a["reason"] == reason


def test_a_slot_without_credit_has_the_share_0_in_its_leak_whatever_gets_the_credit(tmp_path):
    events = frame(
        "user_id event_at event slot_id",
        ("u", "2026-03-01 10:00", "select_promotion", "a"),
        ("v", "2026-03-01 10:00", "select_promotion", "b"),
    )
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, "u", "2026-03-01 11:00", "2026-03-01 11:00", 5.0)
    )
    slots = pd.DataFrame({"slot_id": ["a", "b"], "name": ["A", "B"], "page": "home"})
    tables = {"events": events, "orders": orders, "slots": slots}
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    asked = {"models": ["last", "markov"], "targets": ["purchase"], "bootstrap_replicates": 0}
    for credit_to in ("slot_id", "page"):
        analysis = attribute_slots(shop, credit_to=credit_to, **asked)
        leak = analysis.tables["slot_leak"]
        paid = leak[leak["step"] == "purchase"].set_index("slot_id")["credit_share"]
        assert paid.to_dict() == {"a": 1.0, "b": 0.0}
        told = [note for note in analysis.notes if note.startswith("Credit goes to")]
        assert len(told) == (credit_to == "page")
    assert told[0] == "Credit goes to page: slot_leak has credit shares of slots for purchases alone, under last."
    alone = attribute_slots(shop, credit_to="page", **asked | {"models": ["markov"]})
    assert any("for purchases alone, under linear." in note for note in alone.notes)
    del tables["orders"]
    without = open_shop(write_shop(tmp_path / "without", **tables))
    assert not any("Credit goes to" in note for note in attribute_slots(without, credit_to="page", **asked).notes)


def test_users_that_cannot_be_told_apart_are_not_counted(tmp_path):
    shop = small(tmp_path, ("u1", "2026-03-01 10:00", "view_promotion", "a"), mapping="user_ids: per_event")
    a = attribute_slots(shop).tables["slot_metrics"].iloc[0]
    assert math.isnan(a["viewer_count"])


def test_credit_closes_to_the_cent_on_the_sample(sample, analysed):
    credit = analysed(attribute_slots).tables["slot_credit"]
    paid = sample.orders.filter(sample.orders.paid_ms.notnull())
    totals = sample.collect(paid.aggregate(orders=paid.count(), amount=paid.paid_amount.sum())).iloc[0]
    carts = sample.events.filter(sample.events.event == "add_to_cart")
    cart_count = sample.collect(carts.aggregate(rows=carts.count())).loc[0, "rows"]
    sums = credit.groupby(["target", "model"])[["conversion_credit", "amount_credit"]].sum()
    for model in DEFAULT_MODELS:
        assert sums.loc[("purchase", model), "conversion_credit"] == pytest.approx(totals["orders"], abs=1e-6)
        assert sums.loc[("purchase", model), "amount_credit"] == pytest.approx(totals["amount"], abs=0.005)
        assert sums.loc[("add_to_cart", model), "conversion_credit"] == pytest.approx(cart_count, abs=1e-6)
    assert (credit[credit["credited_id"] == "(direct)"].groupby(["target", "model"]).size() == 1).all()
    assert credit[credit["target"] == "add_to_cart"]["amount_credit"].isna().all()


def test_the_planted_slots_are_named(analysed, truth):
    focus = analysed(attribute_slots).tables["slot_focus"].set_index("slot_id")
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
    assert direct["conversion_credit"].tolist() == [0.0] * 5  # five rule models; markov has no journey without order


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


@pytest.fixture(scope="module")
def one_view(tmp_path_factory):
    """A shop in which one user saw one slot."""
    return small(tmp_path_factory.mktemp("one"), ("u", "2026-03-01", "view_promotion", "s"))


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
        ({"touch": "select_promotio"}, 'touch: "select_promotio" is not known, did you mean "select_promotion"?'),
        ({"credit_to": "slot"}, 'credit_to: "slot" is not known, did you mean "slot_id"?'),
        ({"half_life_hours": 0}, "half_life_hours is 0; it must be above 0 hours"),
        ({"half_life_hours": 0.1}, "an early touch would weigh nothing. Make it at least 0.336"),
        ({"position_weights": [0.5, 0.5, 0.5]}, "position_weights"),
        ({"key_event": "add_to_card"}, 'key_event: "add_to_card" is not known, did you mean "add_to_cart"?'),
        ({"key_event": "view_item"}, 'key_event: no event "view_item" in the data'),
        ({"match_on": "sku"}, 'match_on: "sku" is not known. Allowed: product_id'),
        ({"match_on": "product_id"}, "match_on: product_id needs events.product_id"),
        ({"credit_to": "floor"}, "credit_to: floor needs slots.floor"),
        ({"credit_to": "content_id"}, "credit_to: content_id needs events.content_id"),
        ({"top_n": 0}, "top_n"),
        ({"bootstrap_replicates": 50}, "below 200 draws the ends of an interval are chance"),
        ({"bootstrap_replicates": -1}, "bootstrap_replicates is -1; it must be a whole number of at least 0"),
        ({"seed": -1}, "seed is -1; it must be a whole number of at least 0"),
        ({"targets": "purchase"}, 'targets is the text "purchase"; give a list: ["purchase"]'),
        ({"targets": ["select_promotion"]}, "every touch would earn itself"),
        ({"markov_states": 1}, "markov_states is 1; it must be a whole number of at least 2"),
        ({"markov_states": 5000}, "solved exactly for at most 2000 states"),
    ],
)
def test_bad_arguments(one_view, arguments, words):
    with pytest.raises(ParameterError) as error:
        attribute_slots(one_view, **arguments)
    assert words in str(error.value)


def test_every_model_and_target_closes(little):
    """Credits and (direct) sum to all conversions and to the cent; participation alone goes above."""
    analysis = attribute_slots(little, models=list(MODELS), bootstrap_replicates=0)
    credit = analysis.tables["slot_credit"]
    sums = credit.groupby(["target", "model"])[["conversion_credit", "amount_credit"]].sum()
    assert len(sums) == 4 * len(MODELS)
    for target in ("view_item", "add_to_cart", "begin_checkout", "purchase"):
        last = sums.loc[(target, "last")]
        for model in MODELS:
            mine = sums.loc[(target, model)]
            if model == "participation":
                assert mine["conversion_credit"] > last["conversion_credit"] + 1
            else:
                assert mine["conversion_credit"] == pytest.approx(last["conversion_credit"], abs=1e-6)
                assert mine["amount_credit"] == pytest.approx(last["amount_credit"], abs=0.005)
    shared = credit[credit["model"] != "participation"].groupby(["target", "model"])["conversion_share"].sum()
    assert np.allclose(shared, 1)
    assert credit[["ci_lower", "ci_upper"]].isna().all(axis=None)
    for name, bounds in (
        ("slot_differences", ["ci_lower", "ci_upper", "is_different", "is_order_sure"]),
        ("slot_ranks", ["rank_lower"]),
    ):
        table = analysis.tables[name]
        assert table[bounds].isna().all(axis=None)
        assert set(table["reason"]) == {"not_asked_for"}
        assert set(table["target"]) == set(credit["target"])
    ranked = credit[(credit["model"] == "linear") & (credit["credited_id"] != "(direct)")]
    assert analysis.tables["slot_ranks"]["credited_id"].tolist() == ranked["credited_id"].tolist()
    assert list(dict.fromkeys(credit["target"])) == ["view_item", "add_to_cart", "begin_checkout", "purchase"]
    assert any("participation" in note for note in analysis.notes)
    assert any("equal split over the distinct slots" in note for note in analysis.notes)


CREDITED = ["purchase", "add_to_cart"]


@pytest.fixture(scope="module")
def tables_of(little):
    """The credit of that shop under one model, its differences and its ranks; the engine is asked once for all."""
    sales = Sales(little.events, little.orders, little.order_lines, little.slots)
    period, slots = little.period(None, None, "UTC"), little.collect(little.slots)["slot_id"].tolist()

    @cache
    def sums(by_bucket):
        asked = {"models": MODELS, "weights": Weights(), "by_bucket": by_bucket, "confidence_level": 0.95}
        return [collect_target(little, sales, JourneyRules(), target, period, **asked) for target in CREDITED]

    def tables(model, replicates):
        resampling = make_resampling(replicates, 0, 0.95)
        asked = {"credit_to": "slot_id", "compared_model": model, "most_compared": 30}
        found = credit_tables(sums(replicates > 0), [model], slots, resampling, **asked)
        return dict(zip(("slot_credit", "slot_differences", "slot_ranks"), found, strict=True))

    return tables


@pytest.mark.parametrize(("model", "replicates"), [("markov", 200), ("shapley", 0)])
def test_the_analysis_shows_these_tables(little, tables_of, model, replicates):
    found = attribute_slots(little, models=[model], targets=CREDITED, bootstrap_replicates=replicates).tables
    for name, table in tables_of(model, replicates).items():
        pd.testing.assert_frame_equal(found[name], table, obj=name)


@pytest.mark.parametrize("replicates", [0, 200])
@pytest.mark.parametrize("model", MODELS)
def test_ranks_and_differences_follow_the_shares_of_every_model(tables_of, model, replicates):
    tables = tables_of(model, replicates)
    credit = tables["slot_credit"]
    share = credit["amount_share"].where(credit["amount_share"].notna(), credit["conversion_share"])
    share = credit.assign(share=share).set_index(["target", "credited_id"])["share"]
    for target, ranks in tables["slot_ranks"].groupby("target"):
        ranked = share[target].drop("(direct)")[ranks["credited_id"]]
        assert ranks["rank"].tolist() == list(range(1, len(ranks) + 1))
        assert (ranked.diff().dropna() <= 1e-12).all()
        assert ranked.iloc[0] > ranked.iloc[-1]
        if replicates:
            assert ranks["rank"].between(ranks["rank_lower"], ranks["rank_upper"]).all()
    differences = tables["slot_differences"]
    assert (differences.groupby("target").size() == 30 * 29 / 2).all()
    one, other = (
        share[pd.MultiIndex.from_frame(differences[["target", name]])].to_numpy()
        for name in ("credited_id", "other_id")
    )
    assert differences["difference"].to_numpy() == pytest.approx(one - other, abs=1e-12)
    assert differences["is_order_sure"].notna().all() == bool(replicates)


LINEAR_PURCHASES = {"targets": ["purchase"], "models": ["linear"], "bootstrap_replicates": 0}


@pytest.fixture(scope="module")
def linear_credit(little):
    """Credit of that shop's purchases under the linear model."""
    return attribute_slots(little, **LINEAR_PURCHASES).tables["slot_credit"]


def test_page_and_floor_add_up_what_their_slots_get(little, linear_credit):
    slots = little.collect(little.slots.select("slot_id", "page", "floor")).set_index("slot_id")
    own = linear_credit.set_index("credited_id")["amount_credit"]
    for name in ("page", "floor"):
        found = attribute_slots(little, credit_to=name, **LINEAR_PURCHASES).tables["slot_credit"]
        assert set(found["credit_to"]) == {name}
        groups = slots[name].astype(str)
        expected = own.drop("(direct)").groupby(lambda slot, groups=groups: groups[slot]).sum()
        found = found.set_index("credited_id")["amount_credit"]
        assert found["(direct)"] == pytest.approx(own["(direct)"])
        assert found.drop("(direct)").to_dict() == pytest.approx(expected[expected > 0].to_dict())


def test_net_of_refunds_takes_them_off(little, linear_credit):
    net_credit = attribute_slots(little, net_of_refunds=True, **LINEAR_PURCHASES).tables["slot_credit"]
    gross, net = (credit["amount_credit"].sum() for credit in (linear_credit, net_credit))
    paid = little.orders.filter(little.orders.paid_ms.notnull())
    refunds = little.collect(paid.aggregate(refunds=paid.refund_amount.sum())).loc[0, "refunds"]
    assert gross - net == pytest.approx(refunds, abs=0.005)


def test_lines_go_to_the_slots_of_their_product(tmp_path):
    """One order of goggles for 119 (clicked in a) and a coat for 38 (clicked in b, the later click)."""
    events = frame(
        "user_id event_at event slot_id product_id",
        ("u", "2026-03-01 10:00", "select_promotion", "a", "goggles"),
        ("u", "2026-03-01 10:05", "select_promotion", "b", "coat"),
        ("v", "2026-03-01 10:05", "select_promotion", "b", "hat"),
    )
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, "u", "2026-03-01 11:00", "2026-03-01 11:00", 157.0)
    )
    lines = frame("order_id line_no product_id quantity amount", (1, 1, "goggles", 1, 119.0), (1, 2, "coat", 1, 38.0))
    shop = open_shop(write_shop(tmp_path / "shop", events=events, orders=orders, order_lines=lines))
    asked = {"targets": ["purchase"], "models": ["last"], "bootstrap_replicates": 0}
    whole = attribute_slots(shop, **asked).tables["slot_credit"].set_index("credited_id")["amount_credit"]
    assert whole[["a", "b"]].tolist() == [0, 157]
    matched = attribute_slots(shop, match_on="product_id", **asked).tables["slot_credit"].set_index("credited_id")
    assert matched.loc[["a", "b", "(direct)"], "amount_credit"].tolist() == pytest.approx([119, 38, 0])
    assert matched.loc["a", "conversion_credit"] == pytest.approx(119 / 157)


def test_clicks_without_a_slot_are_counted_in_a_note(tmp_path):
    rows = [("u", "2026-03-01 10:00", "select_promotion", None), ("u", "2026-03-01 10:01", "select_promotion", "a")]
    analysis = attribute_slots(small(tmp_path, *rows))
    assert any(note.startswith("1 touches name no slot") for note in analysis.notes)


def test_markov_refuses_where_everybody_buys(tmp_path):
    clicks = [(f"u{i}", "2026-03-01 10:00", "select_promotion", "ab"[i % 2]) for i in range(60)]
    orders = [(i, f"u{i}", "2026-03-01 11:00", "2026-03-01 11:00", 1.0) for i in range(60)]
    analysis = attribute_slots(small(tmp_path, *clicks, orders=orders), targets=["purchase"])
    assert "markov" not in set(analysis.tables["slot_credit"]["model"])
    assert any("markov refuses purchase: no journey ends without one" in note for note in analysis.notes)
    assert (
        any("100% of attributed orders have one touch: all rule models" in one.text for one in analysis.findings)
        or (analysis.tables["model_agreement"]["spread"] == 0).all()
    )


def test_the_markov_tail_is_grouped_where_there_are_too_many_slots(little):
    credit = attribute_slots(
        little, targets=["purchase"], models=["linear", "markov"], markov_states=10, bootstrap_replicates=0
    ).tables["slot_credit"]
    markov = credit[(credit["model"] == "markov") & (credit["conversion_credit"] > 0)]
    assert len(markov) == 11  # nine slots, (other), (direct)
    assert "(other)" in set(markov["credited_id"])


def test_the_topic_page_leaks_at_the_detail_view(analysed, truth):
    tables = analysed(attribute_slots).tables
    topic = truth["slots"]["topic_page"][0]
    focus = tables["slot_focus"].set_index("slot_id").loc[topic]
    assert (focus["action"], focus["step"]) == ("fix_landing", "view_item")
    assert tables["slot_quadrants"].set_index("slot_id").loc[topic, "quadrant"] == "high_traffic_low_conversion"


def test_one_large_buyer_is_told_and_ranks_are_empty(tmp_path):
    clicks = [(f"u{i}", "2026-03-01 10:00", "select_promotion", "abc"[i % 3]) for i in range(90)]
    orders = [(i, f"u{i}", "2026-03-01 11:00", "2026-03-01 11:00", 1000.0 if i == 0 else 1.0) for i in range(60)]
    shop = small(tmp_path, *clicks, orders=orders)
    analysis = attribute_slots(shop, targets=["purchase"])
    tables = analysis.tables
    assert set(tables["slot_credit"]["reason"]) == {"few_effective_buyers"}
    assert tables["slot_ranks"]["rank_lower"].isna().all()
    assert not tables["slot_differences"]["is_different"].any()
    assert tables["slot_differences"]["is_order_sure"].isna().all()
    assert {rank_words(row) for row in tables["slot_ranks"].to_dict("records")} == {"–"}
    # 1,000 of 1,059
    assert "One buyer carries 94% of the paid amount: no intervals, ranks are not sure." in analysis.headline.verdict
    chinese = attribute_slots(shop, targets=["purchase"], lang="zh").headline.verdict
    assert "单个买家占支付金额的 94%：不给区间，排名不可靠。" in chinese
    assert "One buyer" not in attribute_slots(shop, targets=["purchase"], bootstrap_replicates=0).headline.verdict


def test_refunds_that_eat_everything_leave_shares_of_orders(tmp_path):
    """Every order is refunded whole: there is no amount to share, so conversions are shared."""
    clicks = [(f"u{i}", "2026-03-01 10:00", "select_promotion", "ab"[i % 2]) for i in range(60)]
    orders = [(i, f"u{i}", "2026-03-01 11:00", "2026-03-01 11:00", 9.99, 9.99) for i in range(60)]
    tables = {
        "events": frame("user_id event_at event slot_id", *clicks),
        "orders": frame("order_id user_id submitted_at paid_at gross_amount refund_amount", *orders),
    }
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    credit = attribute_slots(shop, targets=["purchase"], net_of_refunds=True).tables["slot_credit"]
    assert credit["amount_share"].isna().all()
    assert credit[credit["model"] == "linear"].set_index("credited_id")["conversion_share"]["a"] == 0.5


def test_orders_of_nobody_are_many_people(tmp_path):
    """A third of the orders name no user: (direct) has an interval, and a note says so."""
    clicks = [(f"u{i}", "2026-03-01 10:00", "select_promotion", "ab"[i % 2]) for i in range(400)]
    orders = [(i, f"u{i}", "2026-03-01 11:00", "2026-03-01 11:00", 10.0) for i in range(400)]
    orders += [(i, None, "2026-03-01 11:00", "2026-03-01 11:00", 10.0) for i in range(400, 600)]
    analysis = attribute_slots(small(tmp_path, *clicks, orders=orders), targets=["purchase"], models=["linear"])
    credit = analysis.tables["slot_credit"].set_index("credited_id")
    assert credit.loc["(direct)", "conversion_credit"] == pytest.approx(200)
    assert credit["ci_lower"].notna().all()
    assert any("33.3% of paid orders name no user" in note for note in analysis.notes)


def test_participation_alone_counts_orders_as_they_are(tmp_path):
    clicks = [("u", f"2026-03-01 10:0{i}", "select_promotion", "abc"[i]) for i in range(3)]
    orders = [(1, "u", "2026-03-01 11:00", "2026-03-01 11:00", 10.0)]
    analysis = attribute_slots(small(tmp_path, *clicks, orders=orders), models=["participation"], targets=["purchase"])
    assert analysis.headline.verdict.startswith("100.0% of 1 paid orders followed a slot click")


def test_orders_that_no_click_leads_to_are_told_why(tmp_path):
    clicks = [("u", "2026-03-01 10:00", "select_promotion", "a")]
    orders = [(1, "someone else", "2026-03-01 11:00", "2026-03-01 11:00", 10.0)]
    verdict = attribute_slots(small(tmp_path, *clicks, orders=orders)).headline.verdict
    assert "None of 1 paid orders can be traced to a slot: no buyer has a touch that counts" in verdict


def test_reserved_ids_are_refused(tmp_path):
    clicks = [("u", "2026-03-01 10:00", "select_promotion", "(direct)")]
    orders = [(1, "u", "2026-03-01 11:00", "2026-03-01 11:00", 10.0)]
    with pytest.raises(TableError, match="Rename this id in the source"):
        attribute_slots(small(tmp_path, *clicks, orders=orders))


def test_many_positions_do_not_mean_many_pairs(little):
    """top_n is how many positions the benchmark speaks of; at most 60 slots are compared in pairs."""
    asked = {"targets": ["purchase"], "models": ["linear"], "bootstrap_replicates": 200}
    pairs = [len(attribute_slots(little, top_n=one, **asked).tables["slot_differences"]) for one in (1, 5_000)]
    assert pairs[0] == 1
    assert pairs[1] <= 60 * 59 / 2
