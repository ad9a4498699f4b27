"""Slots above and below their position: by hand, reasons, properties, and on the sample shop."""

import numpy as np
import pandas as pd
import pytest
from ibis import _

from workbench.slot.position import COLUMNS, position_misfit

BUCKETS = 256


def draws(replicates=500):
    return np.random.default_rng(1).multinomial(BUCKETS, np.full(BUCKETS, 1 / BUCKETS), replicates)


WEIGHTS = draws()


def slots_of(*rows, columns="slot_id page position"):
    table = pd.DataFrame(list(rows), columns=columns.split())
    return table.assign(slot_name="Name " + table["slot_id"], slot_kind="")


def spread(rng, credit):
    """Sums by bucket around the given credits, of orders of amount 1."""
    return pd.DataFrame(
        {slot: np.bincount(rng.integers(0, BUCKETS, rng.poisson(value)), minlength=BUCKETS) * 1.0
         for slot, value in credit.items()}
    )  # fmt: skip


def page(name, credits, start=1):
    slots = slots_of(*((f"{name}{n}", name, n) for n in range(start, start + len(credits))))
    return slots, dict(zip(slots["slot_id"], credits))


HALVES = [1600.0, 800, 400, 200, 100, 50]


def test_by_hand():
    # home halves from place to place; its fourth has 600 in place of 200
    slots, credit = page("home", [1600.0, 800, 400, 600, 100, 50])
    sums = pd.DataFrame([credit] * 8) / 8
    found = position_misfit(sums, slots, None, confidence_level=0.95).set_index("slot_id")
    assert found["expected_credit"].to_dict() == pytest.approx(dict(zip(credit, HALVES)), rel=1e-3)
    assert found.loc["home4", "ratio"] == pytest.approx(3, rel=1e-3)
    assert found.index[0] == "home4"
    assert found["reason"].isna().all()
    # without replicates nothing is judged
    assert found[["ci_lower", "ci_upper", "usual_lower", "usual_upper", "misfit"]].isna().all().all()
    assert list(found.reset_index().columns) == COLUMNS


def test_floors_tell_the_second_of_a_row_from_the_next_screen():
    # rows of three: 1, 1/2, 1/3 of the first of the row; rows halve; the second of the fourth row sells threefold
    rows = [(f"s{n:02d}", "home", n + 1, f"floor {9 - n // 3}") for n in range(15)]
    slots = slots_of(*rows, columns="slot_id page position floor")
    credit = {f"s{n:02d}": 3000 * 0.5 ** (n // 3) / (n % 3 + 1) for n in range(15)}
    credit["s10"] *= 3
    sums = spread(np.random.default_rng(2), credit)
    found = position_misfit(sums, slots, WEIGHTS, confidence_level=0.95)
    assert found.loc[found["misfit"].notna(), ["slot_id", "misfit"]].to_numpy().tolist() == [["s10", "above"]]
    assert found["ratio"][0] == pytest.approx(3, rel=0.2)
    # by positions alone the rows are scatter, in which a threefold slot is nothing special
    blind = position_misfit(sums, slots.drop(columns="floor"), WEIGHTS, confidence_level=0.95)
    assert blind["misfit"].isna().all()


def test_above_and_below_are_told_and_come_first():
    home, credit = page("home", [800 * 0.85**n for n in range(20)])
    cart, more = page("cart", HALVES)
    credit |= more | {"home8": credit["home8"] * 4, "home12": credit["home12"] / 4}
    found = position_misfit(
        spread(np.random.default_rng(4), credit), pd.concat([cart, home]), WEIGHTS, confidence_level=0.95
    )
    assert found["misfit"].iloc[:2].notna().all()
    assert found["misfit"].iloc[2:].isna().all()
    assert found.set_index("slot_id")["misfit"].dropna().to_dict() == {"home8": "above", "home12": "below"}
    rest = np.abs(np.log(found["ratio"].iloc[2:]))
    assert rest.is_monotonic_decreasing
    inside = found["ci_lower"].lt(found["ratio"]) & found["ci_upper"].gt(found["ratio"])
    assert inside.all()
    # the usual range is never narrower than chance: a flagged slot's interval excludes 1
    assert (found.loc[found["misfit"] == "above", "ci_lower"] > 1).all()
    assert (found.loc[found["misfit"] == "below", "ci_upper"] < 1).all()


def test_a_page_that_scatters_anyway_is_not_flagged():
    """The same fourfold slot on a page whose slots lie threefold up and down says nothing."""
    rng = np.random.default_rng(6)
    slots, credit = page("home", [3000 * 0.9**n * 3.0 ** rng.choice([-1, 1]) for n in range(20)])
    credit["home8"] = 3000 * 0.9**7 * 4
    found = position_misfit(spread(rng, credit), slots, WEIGHTS, confidence_level=0.95)
    assert found["misfit"].isna().all()


def test_reasons():
    home, credit = page("home", [*HALVES, 0.0])
    few, more = page("few", HALVES[:4])
    lost = slots_of(("lost", "home", None), ("empty", None, None))
    credit |= more | {"lost": 70.0, "unlisted": 30.0}
    sums = spread(np.random.default_rng(3), credit).drop(columns="home7")
    sums["rare"] = 0.0
    sums.loc[5, "rare"] = 30.0  # one bucket of users
    slots = pd.concat([home, few, lost, slots_of(("rare", "home", 8))])
    found = position_misfit(sums, slots, WEIGHTS, confidence_level=0.95).set_index("slot_id")
    expected = {f"few{n}": "few_slots" for n in range(1, 5)}
    expected |= {"lost": "no_position", "empty": "no_position", "unlisted": "no_position"}
    expected |= {"home7": "no_credit", "rare": "few_buyers"}
    assert found["reason"].dropna().to_dict() == expected
    assert found.loc[found["reason"].notna(), "misfit"].isna().all()
    unknown = found["reason"].isin(["few_slots", "no_position"])
    assert found.loc[unknown, ["expected_credit", "ratio", "ci_upper", "usual_upper"]].isna().all().all()
    assert found.loc["lost", "credit"] == sums["lost"].sum()
    # the page's next would be 25 at 1 an order: with none, at most -ln(0.025) = 3.69 of 25 orders are expected
    none = found.loc["home7"]
    assert (none["credit"], none["ratio"], none["ci_lower"]) == (0, 0, 0)
    assert none["expected_credit"] == pytest.approx(25, rel=0.35)
    assert none["ci_upper"] == pytest.approx(3.69 / none["expected_credit"], rel=0.1)


def test_the_only_slot_at_its_depth_cannot_be_compared():
    slots = slots_of(*((f"s{n}", "home", 1) for n in range(5)), ("deep", "home", 9))
    sums = spread(np.random.default_rng(3), dict.fromkeys(slots["slot_id"], 100.0))
    found = position_misfit(sums, slots, WEIGHTS, confidence_level=0.95).set_index("slot_id")
    assert found["reason"].dropna().to_dict() == {"deep": "no_comparison"}
    # several slots at one position: the level of the others, near 100
    assert found["expected_credit"].drop("deep").to_numpy() == pytest.approx(np.full(5, 100), rel=0.15)


def test_no_positions_no_slots_no_credit():
    slots, credit = page("home", HALVES)
    sums = spread(np.random.default_rng(1), credit)
    found = position_misfit(sums, slots.assign(position=None), WEIGHTS, confidence_level=0.95)
    assert set(found["reason"]) == {"no_position"}
    assert found[["ratio", "expected_credit"]].isna().all().all()
    nothing = position_misfit(sums[[]], slots.iloc[:0], WEIGHTS, confidence_level=0.95)
    assert nothing.empty
    assert list(nothing.columns) == COLUMNS
    for none in (sums * 0, sums[[]], sums.iloc[:0]):
        found = position_misfit(none, slots, None, confidence_level=0.95)
        assert set(found["reason"]) == {"no_credit"}
        assert found["ratio"].isna().all()


def test_shuffling_slots_changes_nothing_and_inputs_stay():
    home, credit = page("home", [800 * 0.85**n for n in range(20)])
    cart, more = page("cart", HALVES)
    slots, sums = pd.concat([home, cart]), spread(np.random.default_rng(4), credit | more)
    before = slots.copy(), sums.copy()
    one = position_misfit(sums, slots, WEIGHTS, confidence_level=0.95)
    turned = sums[sums.columns[::-1]]
    other = position_misfit(turned, slots.sample(frac=1, random_state=1), WEIGHTS, confidence_level=0.95)
    pd.testing.assert_frame_equal(one, other, rtol=1e-7)
    pd.testing.assert_frame_equal(slots, before[0])
    pd.testing.assert_frame_equal(sums, before[1])
    # another unit of money changes no ratio
    cents = position_misfit(sums * 100, slots, WEIGHTS, confidence_level=0.95)
    assert cents["ratio"].to_numpy() == pytest.approx(one["ratio"].to_numpy(), rel=1e-7)


def test_positions_from_0_and_a_page_without_a_name():
    slots, credit = page("home", HALVES)
    sums = pd.DataFrame([credit])
    one = position_misfit(sums, slots, None, confidence_level=0.95)
    other = position_misfit(sums, slots.assign(position=slots["position"] - 1, page=None), None, confidence_level=0.95)
    assert other["ratio"].to_numpy() == pytest.approx(one["ratio"].to_numpy())


@pytest.fixture(scope="module")
def last_clicks(sample):
    """Paid orders of the sample by the slot clicked last in the seven days before, and its slots."""
    clicks = sample.collect(
        sample.events.filter(_.event == "select_promotion", _.slot_id.notnull()).select(
            "user_id", "slot_id", "seq", instant=_.event_ms
        )
    )
    orders = sample.collect(
        sample.orders.filter(_.paid_ms.notnull()).select("user_id", "user_bucket", instant=_.paid_ms)
    )
    clicks = clicks.sort_values(["instant", "seq"], kind="stable").drop(columns="seq")
    joined = pd.merge_asof(
        orders.sort_values("instant"), clicks, on="instant", by="user_id", tolerance=7 * 24 * 3_600_000
    )
    joined = joined.dropna(subset="slot_id")
    sums = joined.groupby(["user_bucket", "slot_id"]).size().unstack(fill_value=0).astype(float)
    buckets = range(BUCKETS)
    slots = sample.collect(sample.slots.select("slot_id", "page", "position", "floor", slot_name=_.name))
    return sums.reindex(buckets, fill_value=0.0), slots


def test_on_the_sample_the_hidden_gems_lead(last_clicks, truth):
    found = position_misfit(*last_clicks, draws(2_000), confidence_level=0.95).set_index("slot_id")
    gems = found.loc[truth["slots"]["hidden_gems"]]
    # all three earn more than their place explains, by intervals of chance alone
    assert (gems["ci_lower"] > 1).all()
    assert (gems["ratio"] > 1.5).all()
    # over all slots at once only what exceeds the scatter of creatives is told: at least one, and nothing else
    above = set(found.index[found["misfit"] == "above"])
    assert above
    assert above <= set(truth["slots"]["hidden_gems"])
    judged = found[found["usual_upper"].notna() & (found["credit"] >= 30)]
    assert set(judged["ratio"].nlargest(3).index) == set(truth["slots"]["hidden_gems"])


def test_on_the_sample_the_topic_page_is_not_above(last_clicks, truth):
    found = position_misfit(*last_clicks, draws(2_000), confidence_level=0.95)
    topic = found["slot_id"].isin(truth["slots"]["topic_page"]) | (found["page"] == "topic")
    assert topic.sum() == 11
    assert not (found.loc[topic, "misfit"] == "above").any()
    assert (found.loc[found["page"] == "search", "reason"] == "few_slots").all()
