"""Where slots leak: by hand, against a plain second computation, on the planted slots, and silent where all are equal."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import small

from workbench.errors import ParameterError
from workbench.metrics.slot_funnel import FUNNEL_STEPS
from workbench.slot.leak import leak_table, slot_leak, slot_quadrants
from workbench.slot.metrics import slot_names
from workbench.stats.intervals import wilson

NO_CREDIT = pd.DataFrame(columns=["target", "credited_id", "conversion_share"])
NO_SLOTS = pd.DataFrame(columns=["slot_id", "slot_name", "page", "position", "slot_kind"])
RATES = (0.12, 0.6, 0.4, 0.5, 0.93)


def described(count, pages=1, kinds=1):
    """Slots spread over pages and kinds."""
    names = [f"s{number:03d}" for number in range(count)]
    return pd.DataFrame(
        {
            "slot_id": names,
            "slot_name": [f"Slot {name}" for name in names],
            "page": [f"page {number % pages}" for number in range(count)],
            "position": range(count),
            "slot_kind": [f"kind {number // pages % kinds}" for number in range(count)],
        }
    )


def simulated(rng, exposed, rates=RATES):
    """Users by slot and step when each step keeps its share; ``rates`` for all slots or one row per slot."""
    rates = np.broadcast_to(np.atleast_2d(rates), (len(exposed), 5))
    counts = [np.asarray(exposed)]
    for step in range(5):
        counts.append(rng.binomial(counts[-1], rates[:, step]))
    names = [f"s{number:03d}" for number in range(len(exposed))]
    return pd.DataFrame(np.column_stack(counts), index=pd.Index(names, name="slot_id"), columns=list(FUNNEL_STEPS))


def table_of(counts, slots, **options):
    arguments = {"credit": NO_CREDIT, "amount_by_slot": None, "confidence_level": 0.95} | options
    return leak_table(counts, slots, **arguments)


# -- by hand ---------------------------------------------------------------------------------------------------


def four_slots():
    """One page; clicks to views are 80, 80, 80 and 20 of 100, all else is the same."""
    views = np.array([80, 80, 80, 20])
    clicks = np.full(4, 100)
    rows = np.column_stack([clicks * 10, clicks, views, views // 2, views // 4, views // 4])
    names = pd.Index([f"s{number:03d}" for number in range(4)], name="slot_id")
    return pd.DataFrame(rows, index=names, columns=list(FUNNEL_STEPS))


def test_rates_by_hand():
    credit = pd.DataFrame(
        {
            "target": ["view_item", "purchase", "purchase"],
            "credited_id": ["s003", "s003", "s000"],
            "conversion_share": [0.05, 0.02, 0.4],
        }
    )
    amounts = pd.Series({"s003": 1_000.0, "s000": 9_000.0})
    table = table_of(four_slots(), described(4), credit=credit, amount_by_slot=amounts)
    low = table[table["slot_id"] == "s003"].set_index("step")
    assert low["user_count"].tolist() == [1000, 100, 20, 10, 5, 5]
    assert low["step_index"].tolist() == [1, 2, 3, 4, 5, 6]
    assert low["step_rate"].tolist() == [1.0, 0.1, 0.2, 0.5, 0.5, 1.0]
    assert low["overall_rate"].tolist()[1:] == [1.0, 0.2, 0.1, 0.05, 0.05]
    assert math.isnan(low.loc["view_promotion", "overall_rate"])
    bounds = wilson(20, 100)
    assert low.loc["view_item", ["ci_lower", "ci_upper"]].tolist() == pytest.approx([bounds.lower, bounds.upper])
    # moments: p = 260/400 = 0.65, Q = 3 × 100 × 0.15² + 100 × 0.45² = 27, Q/p(1−p) = 118.681;
    # ρ = (118.681 − 3) ÷ (400 − 100 − 3) = 0.389499; s = 1/ρ − 1 = 1.567399; all weigh the same, so m = 0.65
    strength = 297 / (27 / 0.2275 - 3) - 1
    assert strength == pytest.approx(1.567399, abs=1e-6)
    shrunk = (20 + strength * 0.65) / (100 + strength)
    others = (80 + strength * 0.65) / (100 + strength)
    assert low.loc["view_item", "shrunk_rate"] == pytest.approx(shrunk)
    assert low.loc["view_item", "comparable_rate"] == pytest.approx(others)
    assert low.loc["view_item", "loss"] == pytest.approx(math.log(others / shrunk))
    assert low["is_largest_loss"].tolist() == [False, False, True, False, False, False]
    assert table["is_largest_loss"].sum() == 1
    assert low.loc["view_item", "stake_amount"] == pytest.approx(1_000 * (others / shrunk - 1))
    assert table["stake_amount"].notna().sum() == 1
    assert low["credit_share"].dropna().to_dict() == {"view_item": 0.05, "purchase": 0.02}
    # the click step keeps 10 % in all four slots: no more spread than chance, so all are shrunk to it
    clicks = table[table["step"] == "select_promotion"]
    assert clicks["shrunk_rate"].tolist() == pytest.approx([0.1] * 4)
    assert clicks["loss"].tolist() == pytest.approx([0.0] * 4, abs=1e-12)
    assert low.loc["view_promotion", "reason"] == "first_step"
    assert low["reason"].isna().sum() == 5


def test_quadrants_by_hand():
    counts = four_slots()
    counts.loc["s001"] = [9000, 1000, 900, 500, 400, 300]
    counts.loc["s002"] = [9000, 1000, 300, 100, 20, 10]
    found = slot_quadrants(table_of(counts, described(4))).set_index("slot_id")
    # traffic 100, 1000, 1000, 100: median 550. Paid of clickers 20 %, 30 %, 1 %, 5 %: median between 5 % and 20 %
    assert found["quadrant"].to_dict() == {
        "s000": "low_traffic_high_conversion",
        "s001": "high_traffic_high_conversion",
        "s002": "high_traffic_low_conversion",
        "s003": "low_traffic_low_conversion",
    }
    assert found["traffic"].to_dict() == {"s000": 100, "s001": 1000, "s002": 1000, "s003": 100}
    assert found.loc["s000", "conversion"] == pytest.approx(0.2, abs=0.02)
    unpaid = table_of(counts.drop(columns="purchase"), described(4))
    assert slot_quadrants(unpaid).empty


def test_numbers_that_cannot_be_are_empty_with_a_reason():
    counts = four_slots()
    counts.loc["s000"] = [50, 100, 80, 40, 20, 20]  # more clickers than people who saw it
    counts.loc["s001"] = [1000, 0, 0, 0, 0, 0]  # nobody clicked
    counts.loc["s003"] = [1000, 100, 20, 0, 0, 0]  # leaks, and sold nothing
    amounts = pd.Series({"s000": 5.0, "s002": 5.0})
    table = table_of(counts, described(4), amount_by_slot=amounts).set_index(["slot_id", "step"])
    assert table.loc[("s000", "select_promotion"), "reason"] == "clicks_above_exposures"
    assert table.loc[("s000", "select_promotion"), ["step_rate", "ci_lower", "shrunk_rate"]].isna().all()
    assert table.loc[("s001", "select_promotion"), "step_rate"] == 0
    assert table.loc[("s001", "view_item"), "reason"] == "no_users_before"
    assert table.loc["s001"].loc["view_item":, ["step_rate", "ci_lower", "shrunk_rate", "loss"]].isna().all(axis=None)
    assert table.loc["s001", "overall_rate"].isna().all()
    marked = table[table["is_largest_loss"]]
    assert marked["reason"].tolist() == ["no_amount_credited"]
    assert marked["stake_amount"].isna().all()
    alone = table_of(four_slots().iloc[:1], NO_SLOTS)
    assert alone["reason"].tolist() == ["first_step", *["no_comparable_slots"] * 5]
    assert alone["comparable_rate"].isna().all()
    assert not alone["is_largest_loss"].any()
    assert alone["slot_name"].unique().tolist() == ["s000"]


def test_slots_compare_with_their_like():
    """Five slots of page 0 kind 0, three of page 0 kind 1, two of page 1: each compares with the nearest four."""
    slots = described(10)
    slots["page"] = ["home"] * 8 + ["cart"] * 2
    slots["slot_kind"] = ["banner"] * 5 + ["icon"] * 3 + ["banner"] * 2
    rng = np.random.default_rng(4)
    exposed = rng.integers(4_000, 9_000, 10)
    counts = simulated(rng, exposed, np.column_stack([np.linspace(0.05, 0.5, 10), np.tile(RATES[1:], (10, 1))]))
    table = table_of(counts, slots)
    clicks = table[table["step"] == "select_promotion"].set_index("slot_id").sort_index()
    rate, shrunk = clicks["shrunk_rate"], clicks["shrunk_rate"]
    like = {**dict.fromkeys(range(5), range(5)), **dict.fromkeys(range(5, 8), range(8))}
    like |= dict.fromkeys(range(8, 10), range(10))
    for slot, others in like.items():
        members = [f"s{number:03d}" for number in others]
        name = f"s{slot:03d}"
        assert clicks.loc[name, "comparable_rate"] == pytest.approx(rate[members].drop(name).median())
        # second way: the prior of these slots by a plain loop
        users = counts.loc[members, ["view_promotion", "select_promotion"]].to_numpy(dtype=float)
        n, x = users.T
        share, total, k = x.sum() / n.sum(), n.sum(), len(n)
        spread = sum(a * (b / a - share) ** 2 for a, b in zip(n, x, strict=True)) / (share * (1 - share))
        correlation = max((spread - (k - 1)) / (total - sum(n**2) / total - (k - 1)), 0)
        weight = n / (1 + (n - 1) * correlation)
        middle, strength = (weight * x / n).sum() / weight.sum(), 1 / correlation - 1
        mine = counts.loc[name]
        expected = (mine["select_promotion"] + strength * middle) / (mine["view_promotion"] + strength)
        assert shrunk[name] == pytest.approx(expected, rel=1e-9)


# -- properties ------------------------------------------------------------------------------------------------


def test_names_and_order_of_slots_do_not_matter():
    rng = np.random.default_rng(8)
    counts = simulated(rng, rng.integers(100, 9_000, 30), rng.uniform(0.2, 0.8, (30, 5)))
    slots = described(30, pages=3, kinds=2)
    table = table_of(counts, slots).set_index(["slot_id", "step"])
    renamed = {name: f"x{number}" for number, name in enumerate(rng.permutation(counts.index))}
    shuffled = counts.rename(index=renamed).sample(frac=1, random_state=1)
    other = table_of(shuffled, slots.assign(slot_id=slots["slot_id"].map(renamed)).sample(frac=1, random_state=2))
    other = other.assign(slot_id=other["slot_id"].map({new: old for old, new in renamed.items()}))
    other = other.set_index(["slot_id", "step"]).loc[table.index]
    columns = ["step_rate", "shrunk_rate", "comparable_rate", "loss", "is_largest_loss"]
    assert table["is_largest_loss"].any()
    pd.testing.assert_frame_equal(table[columns], other[columns], rtol=1e-9)


def test_the_prior_recovers_how_much_slots_differ():
    """Rates from Beta(6, 4), whose correlation is 1/11: shrunk rates are closer to the truth than raw ones."""
    rng = np.random.default_rng(2)
    true = rng.beta(6, 4, 400)
    rates = np.column_stack([np.full(400, 0.1), true, np.full((400, 3), 0.5)])
    counts = simulated(rng, rng.integers(50, 600, 400), rates)
    table = table_of(counts, described(400))
    views = table[(table["step"] == "view_item") & table["step_rate"].notna()]
    truth = pd.Series(true, index=counts.index)[views["slot_id"]].to_numpy()
    raw, shrunk = (((views[name] - truth) ** 2).mean() for name in ("step_rate", "shrunk_rate"))
    assert shrunk < 0.75 * raw
    # posterior mean under the true prior, of which the fitted one must come close
    clicks = counts.loc[views["slot_id"], "select_promotion"].to_numpy()
    best = (views["user_count"].to_numpy() + 6) / (clicks + 10)
    assert shrunk < 1.05 * ((best - truth) ** 2).mean()


# -- chance ----------------------------------------------------------------------------------------------------


def test_equal_slots_are_not_marked():
    """A right 95 % promise marks a step in at most 21 of 200 shops (99.9 % binomial bound), small and large alike."""
    rng = np.random.default_rng(21)
    slots = described(24, pages=2, kinds=3)
    marked = 0
    for _ in range(200):
        exposed = np.exp(rng.normal(7, 1.5, 24)).astype(int) + 5
        marked += table_of(simulated(rng, exposed), slots)["is_largest_loss"].any()
    assert marked <= 21


def test_four_slots_are_not_marked_either():
    rng = np.random.default_rng(22)
    slots = described(4)
    marked = sum(
        table_of(simulated(rng, rng.integers(20, 3_000, 4)), slots)["is_largest_loss"].any() for _ in range(200)
    )
    assert marked <= 21


def test_a_planted_leak_is_marked_at_its_step():
    """One slot of 48 keeps a quarter fewer at one step: nearly always found, and at that step."""
    rng = np.random.default_rng(23)
    slots = described(48, pages=4, kinds=3)
    found = []
    for trial in range(40):
        step = trial % 4 + 1
        rates = np.tile(RATES, (48, 1))
        rates[5, step] *= 0.75
        table = table_of(simulated(rng, rng.integers(20_000, 40_000, 48), rates), slots)
        marked = table[table["is_largest_loss"]]
        found.append(marked[["slot_id", "step"]].to_numpy().tolist() == [["s005", FUNNEL_STEPS[step + 1]]])
    assert sum(found) >= 36


def test_the_tail_is_that_of_a_binomial_with_an_uncertain_rate():
    """Against 400,000 draws: the rate's logit is normal, then users are binomial."""
    from workbench.slot.leak import _lower_tail

    rng = np.random.default_rng(3)
    for reached, before, share, error in (
        (3, 40, 0.2, 0.3),
        (22, 30, 0.93, 0.2),
        (0, 12, 0.3, 0.05),
        (480, 1000, 0.5, 0.01),
    ):
        rate = 1 / (1 + np.exp(-(math.log(share / (1 - share)) + error * rng.normal(size=400_000))))
        expected = stats.binom.cdf(reached, before, rate)
        one = [np.array([float(value)]) for value in (reached, before, share, error)]
        tolerance = 5 * expected.std() / math.sqrt(len(expected)) + 1e-9
        assert _lower_tail(*one)[0] == pytest.approx(expected.mean(), abs=tolerance)


# -- the shop --------------------------------------------------------------------------------------------------


def leak_of(shop, **options):
    arguments = {"lookback_hours": 24, "credit": NO_CREDIT, "amount_by_slot": None, "confidence_level": 0.95} | options
    return slot_leak(shop, shop.period(None, None, "UTC"), NO_SLOTS, **arguments)


CLICKED = (
    ("u1", "2026-03-01 10:00", "view_promotion", "a"),
    ("u1", "2026-03-01 10:01", "select_promotion", "a"),
    ("u2", "2026-03-01 10:01", "select_promotion", "b"),
    ("u3", "2026-03-01 10:01", "view_promotion", "c"),
    ("u1", "2026-03-01 10:02", "add_to_cart", None),
)


def test_steps_that_the_source_never_records_are_left_out(tmp_path):
    found = leak_of(small(tmp_path, *CLICKED))
    assert found.missing_steps == ("view_item", "begin_checkout", "purchase")
    assert found.reason is None
    counts = found.table.pivot(index="slot_id", columns="step", values="user_count")[
        ["view_promotion", "select_promotion", "add_to_cart"]
    ]
    assert counts.to_dict("index") == {
        "a": {"view_promotion": 1, "select_promotion": 1, "add_to_cart": 1},
        "b": {"view_promotion": 0, "select_promotion": 1, "add_to_cart": 0},
        "c": {"view_promotion": 1, "select_promotion": 0, "add_to_cart": 0},
    }
    assert found.table["step_index"].max() == 3


def test_orders_decide_and_events_stand_in_for_them(tmp_path):
    paid = ("u1", "2026-03-01 11:00", "purchase", None)
    unpaid = ("o1", "u1", "2026-03-01 11:00", None, 5.0)
    with_orders = leak_of(small(tmp_path / "1", *CLICKED, paid, orders=[unpaid]))
    assert with_orders.missing_steps == ("view_item", "purchase")
    steps = with_orders.table[with_orders.table["slot_id"] == "a"].set_index("step")["user_count"]
    assert steps["begin_checkout"] == 1
    without = leak_of(small(tmp_path / "2", *CLICKED, paid))
    assert without.missing_steps == ("view_item", "begin_checkout")
    assert without.table[without.table["slot_id"] == "a"].set_index("step")["user_count"]["purchase"] == 1


def test_data_that_cannot_answer_give_an_empty_table_and_a_reason(tmp_path):
    unknown = leak_of(small(tmp_path / "1", *CLICKED, mapping="user_ids: per_event"))
    assert (len(unknown.table), unknown.reason) == (0, "users_unknown")
    for number, rows in enumerate((CLICKED[:1], [*CLICKED[:1], ("u1", "2026-03-01 10:01", "select_promotion", None)])):
        found = leak_of(small(tmp_path / f"2{number}", *rows))
        assert (len(found.table), found.reason) == (0, "no_clicks")
    assert list(found.table.columns) == list(unknown.table.columns)
    assert slot_quadrants(found.table).empty


def test_clicks_alone_are_a_funnel_of_one_step(tmp_path):
    found = leak_of(small(tmp_path, CLICKED[1], CLICKED[2]))
    assert found.table[["slot_id", "step", "user_count", "reason"]].to_numpy().tolist() == [
        ["a", "select_promotion", 1, "first_step"],
        ["b", "select_promotion", 1, "first_step"],
    ]
    assert len(found.missing_steps) == 5
    assert not found.table["is_largest_loss"].any()


def test_a_step_that_nobody_takes_is_said_so():
    counts = four_slots()
    counts["purchase"] = 0
    paid = table_of(counts, described(4)).query("step == 'purchase'")
    assert paid["reason"].tolist() == ["nobody_reached"] * 4
    assert paid["step_rate"].tolist() == [0.0] * 4
    assert paid["loss"].isna().all()


def test_a_dead_slot_is_marked():
    """All clickers of three slots open a page, none of the fourth: rates of exactly 1 and 0."""
    counts = four_slots()
    counts["view_item"] = [100, 100, 100, 0]
    counts.loc["s003", ["add_to_cart", "begin_checkout", "purchase"]] = 0
    table = table_of(counts, described(4))
    assert table.loc[table["is_largest_loss"], ["slot_id", "step"]].to_numpy().tolist() == [["s003", "view_item"]]
    assert np.isfinite(table.loc[table["is_largest_loss"], "loss"]).all()


def test_bad_arguments_are_refused(tmp_path):
    shop = small(tmp_path, *CLICKED)
    with pytest.raises(ParameterError, match="lookback_hours is 0; it must be above 0 hours"):
        leak_of(shop, lookback_hours=0)
    with pytest.raises(ParameterError, match="confidence_level is 95"):
        leak_of(shop, confidence_level=95)


def test_the_planted_slots_of_the_sample(sample, truth):
    """The topic entry attracts and does not sell, and loses at a step planted low; hidden gems sell well."""
    slots = slot_names(sample)
    found = slot_leak(
        sample,
        sample.period(None, None, "Asia/Shanghai"),
        slots,
        lookback_hours=168,
        credit=NO_CREDIT,
        amount_by_slot=pd.Series(100.0, index=slots["slot_id"]),
        confidence_level=0.95,
    )
    assert found.missing_steps == ()
    topic = truth["slots"]["topic_page"][0]
    marked = found.table[found.table["is_largest_loss"]].set_index("slot_id")
    assert marked.loc[topic, "step"] == "view_item"
    assert marked.loc[topic, "stake_amount"] > 0
    assert not found.table.groupby("slot_id")["is_largest_loss"].sum().gt(1).any()
    quadrants = slot_quadrants(found.table).set_index("slot_id")["quadrant"]
    assert quadrants[topic] == "high_traffic_low_conversion"
    gems = quadrants[truth["slots"]["hidden_gems"]]
    assert gems.str.endswith("high_conversion").sum() > len(gems) / 2
