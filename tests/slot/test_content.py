"""Contents inside slots: appeal against the planted one, places that mislead, and placement by who the user is."""

import numpy as np
import pandas as pd
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.contract import CLICK, EXPOSURE
from workbench.metrics.contents import PRIOR_EXPOSURES
from workbench.slot.content import COLUMNS, content_metrics, holm_rejects, placement_p_values


@pytest.fixture(scope="module")
def result(sample):
    return content_metrics(sample, sample.period(None, None, "Asia/Shanghai"), credit=None)


@pytest.fixture(scope="module")
def planted(result, truth):
    """Rows whose appeal is free of the place, with the planted appeal on the same scale."""
    table = result.table[result.table["is_separable"]].set_index("content_id")
    appeal = pd.Series({one["content_id"]: one["appeal"] for one in truth["slots"]["contents"]})[table.index]
    return table.assign(planted=appeal / np.average(appeal, weights=table["impression_count"]))


# -- the planted appeal -----------------------------------------------------------------------------------------


def test_planted_appeal_is_found(planted):
    """110 rotating creatives: correlation of the logarithms above 0.97, at least 97 intervals with the truth.

    Of 110 right 95 % intervals fewer than 97 contain the truth once in a thousand times (binomial).
    """
    assert len(planted) == 110
    assert np.corrcoef(np.log(planted["appeal"]), np.log(planted["planted"]))[0, 1] > 0.97
    inside = (planted["appeal_ci_lower"] <= planted["planted"]) & (planted["planted"] <= planted["appeal_ci_upper"])
    assert inside.sum() >= 97


def test_click_through_rate_overstates_contents_of_good_places(planted):
    """Contents in the best quarter of places look 20 % better than they are, in the worst quarter a third worse.

    The error of the raw rate is almost all place (correlation 0.97); the model has none of it.
    """
    weights = planted["impression_count"]
    rate = planted["click_through_rate"] / np.average(planted["click_through_rate"], weights=weights)
    off, off_model = np.log(rate / planted["planted"]), np.log(planted["appeal"] / planted["planted"])
    place = planted["expected_clicks"] / weights
    good, bad = place > place.quantile(0.75), place < place.quantile(0.25)
    assert off[good].mean() > 0.15
    assert off[bad].mean() < -0.3
    assert abs(off_model[good].mean()) < 0.02
    assert np.corrcoef(off, np.log(place))[0, 1] > 0.95
    assert off.std() > 3 * off_model.std()


def test_planted_places_are_found(result, truth):
    """Of 40 slots that anyone may reach at least 34 intervals contain the planted rate, relative to its mean.

    Topic pages are reached by clicking on their entry: their visitors click more than others, and so do the slots
    there. What the model says of them is true of these visitors.
    """
    table = result.position_table.set_index("slot_id")
    table = table[table["position_effect"].notna() & ~table.index.str.startswith("topic")]
    rate = pd.Series({one["slot_id"]: one["click_rate"] for one in truth["slots"]["places"]})[table.index]
    assert len(table) == 40
    assert np.corrcoef(table["position_effect"], rate)[0, 1] > 0.99
    scale = np.exp(np.mean(np.log(table["position_effect"] / rate)))
    assert ((table["ci_lower"] <= rate * scale) & (rate * scale <= table["ci_upper"])).sum() >= 34
    assert result.position_tests["p_value"].item() < 1e-6


def test_contents_that_have_a_slot_to_themselves_are_not_compared(result, truth):
    own = {one["content_id"] for one in truth["slots"]["contents"] if one["slot_id"] is not None}
    table = result.table.set_index("content_id")
    assert set(table.index[table["reason"] == "only_content"]) == own
    assert table.loc[list(own), ["appeal", "expected_clicks", "clicks_over_expected"]].isna().all(axis=None)
    assert result.facts["inseparable_count"] == len(own) == 10


def test_counts_equal_the_events(result, sample_folder):
    events = pd.read_parquet(sample_folder / "events.parquet", columns=["user_id", "event", "slot_id", "content_id"])
    seen, clicked = (events[events["event"] == one] for one in (EXPOSURE, CLICK))
    table = result.table.set_index("content_id").sort_index()
    assert list(result.table.columns) == COLUMNS
    assert table["impression_count"].tolist() == seen.groupby("content_id").size().tolist()
    assert table["click_count"].tolist() == clicked.groupby("content_id").size().tolist()
    assert table["viewer_count"].tolist() == seen.groupby("content_id")["user_id"].nunique().tolist()
    assert table["clicker_count"].tolist() == clicked.groupby("content_id")["user_id"].nunique().tolist()
    assert table["slot_count"].tolist() == seen.groupby("content_id")["slot_id"].nunique().tolist()
    assert result.table["click_count"].is_monotonic_decreasing
    assert (table["ci_lower"] < table["click_through_rate"]).all()
    compared = table[table["appeal"].notna()]
    assert compared["clicks_over_expected"].tolist() == pytest.approx(compared["appeal"].tolist(), rel=1e-9)
    assert (table["placement_reason"] == "one_content_at_a_time").all()


# -- small shops ------------------------------------------------------------------------------------------------


def shown(rows):
    """Events from (slot, content, exposures, clicks): each exposure and click of a user of its own."""
    events = []
    for number, (slot, content, exposures, clicks) in enumerate(rows):
        for event, count in (("view_promotion", exposures), ("select_promotion", clicks)):
            events += [(f"u{number}-{place}", "2026-03-02T10:00:00Z", event, slot, content) for place in range(count)]
    return frame("user_id event_at event slot_id content_id", *events)


def of(folder, events, credit=None, **tables):
    shop = open_shop(write_shop(folder, events=events, **tables))
    return content_metrics(shop, shop.period(None, None, "UTC"), credit=credit)


def test_a_small_shop_by_hand(tmp_path):
    """Average contents are clicked at 20 % in s1 and at 10 % in s2; k2 is twice as good as k1."""
    rows = [("s1", "k1", 300, 40), ("s1", "k2", 75, 20), ("s2", "k1", 75, 5), ("s2", "k2", 300, 40)]
    rows += [("s3", "k3", 50, 5), ("s1", "k4", 0, 7), (None, "k5", 10, 1)]
    credit = pd.DataFrame(
        {"credited_id": ["k1", "(direct)"], "conversion_credit": [2.5, 9], "amount_credit": [10, 90.0]}
    )
    found = of(tmp_path / "shop", shown(rows), credit, contents=frame("content_id name", ("k1", "One"), ("k2", None)))
    table = found.table.set_index("content_id")
    assert table["content_name"].to_dict() == {"k1": "One", "k2": "k2", "k3": "k3", "k4": "k4", "k5": "k5"}
    assert table.loc["k1", "click_through_rate"] == pytest.approx(45 / 375)
    assert table.loc["k2", "appeal"] == pytest.approx(4 / 3)
    assert table.loc["k1", "expected_clicks"] == pytest.approx(300 * 0.2 + 75 * 0.1)
    assert table.loc["k1", ["conversion_credit", "amount_credit"]].tolist() == [2.5, 10]
    assert table.loc["k2", "conversion_credit"] == 0
    reasons = table["reason"].fillna("").to_dict()
    assert reasons == {
        "k1": "",
        "k2": "",
        "k3": "only_content",
        "k4": "clicks_above_exposures",
        "k5": "no_slot",
    }
    assert table.loc["k4", ["click_through_rate", "ci_lower", "appeal"]].isna().all()
    positions = found.position_table.set_index("slot_id")
    assert positions.loc["s1", "average_content_rate"] == pytest.approx(0.2)
    assert positions["content_count"].to_dict() == {"s1": 2, "s2": 2, "s3": 1}
    assert positions["reason"].fillna("").to_dict() == {"s1": "", "s2": "", "s3": "one_slot"}
    assert found.position_tests["p_value"].item() < 0.01


def test_a_content_that_nobody_clicks_gets_an_upper_bound(tmp_path):
    rows = [("s1", "k1", 400, 80), ("s2", "k1", 400, 40), ("s1", "k2", 200, 0), ("s2", "k2", 200, 0)]
    table = of(tmp_path / "shop", shown(rows)).table.set_index("content_id")
    none = table.loc["k2"]
    assert (none["click_through_rate"], none["appeal"], none["reason"]) == (0, 0, "no_clicks")
    # an average exposure is clicked at 0.2 x 2/3 in s1 and 0.1 x 2/3 in s2: 40 clicks expected of 400 exposures
    assert none["expected_clicks"] == pytest.approx(40)
    assert none["ci_upper"] == pytest.approx(1 - 0.025 ** (1 / 400))
    assert none["appeal_ci_upper"] == pytest.approx((1 - 0.025 ** (1 / 400)) / 0.1)


def test_without_contents_nothing_is_asked(tmp_path, monkeypatch):
    events = shown([("s1", "k1", 3, 1)])
    shop = open_shop(write_shop(tmp_path / "shop", events=events.drop(columns="content_id")))
    with monkeypatch.context() as patched:
        patched.setattr(type(shop.engine), "collect", lambda *_: pytest.fail("a query was run"))
        found = content_metrics(shop, shop.period(None, None, "UTC"), credit=None)
    assert found.table.empty
    assert list(found.table.columns) == COLUMNS
    empty = of(tmp_path / "empty", events.assign(content_id=None, event="view_item"))
    assert empty.table.empty


def test_without_slots_there_are_rates_but_no_model(tmp_path):
    events = shown([("s1", "k1", 300, 30), ("s1", "k2", 300, 60)]).drop(columns="slot_id")
    found = of(tmp_path / "shop", events)
    assert found.table["reason"].tolist() == ["no_slot"] * 2
    assert found.table["click_through_rate"].tolist() == pytest.approx([0.2, 0.1])
    assert found.table[["appeal", "expected_clicks"]].isna().all(axis=None)
    assert found.position_table.empty


def test_users_who_cannot_be_told_apart_are_not_counted(tmp_path):
    folder = write_shop(tmp_path / "shop", events=shown([("s1", "k1", 300, 30), ("s1", "k2", 300, 60)]))
    (folder / "mapping.yml").write_text("user_ids: per_event\n")
    shop = open_shop(folder)
    table = content_metrics(shop, shop.period(None, None, "UTC"), credit=None).table
    assert table[["viewer_count", "clicker_count", "clicks_per_clicker", "placement"]].isna().all(axis=None)
    assert table["placement_reason"].tolist() == ["users_unknown"] * 2
    assert table["appeal"].tolist() == pytest.approx([4 / 3, 2 / 3])


def test_what_lies_beyond_the_limit_keeps_its_rates(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.slot.content.CONTENT_LIMIT", 2)
    rows = [("s1", "k1", 300, 30), ("s2", "k1", 300, 30), ("s1", "k2", 300, 60), ("s1", "k3", 100, 60)]
    found = of(tmp_path / "shop", shown(rows))
    table = found.table.set_index("content_id")
    assert found.facts["contents_beyond_limit"] == 1
    assert table.loc["k3", "reason"] == "beyond_limit"
    assert table.loc["k3", "click_through_rate"] == pytest.approx(0.6)
    assert table.loc["k3", "ci_upper"] > 0.6
    assert np.isnan(table.loc["k3", "appeal"])
    assert table.loc["k2", "appeal"] / table.loc["k1", "appeal"] == pytest.approx(2)


# -- placement --------------------------------------------------------------------------------------------------


def visits_of_users(rng, *, sticky, personalised=0.0, users=600, slots=4, contents=5, days=10):
    """Exposures of users who differ in how often they come and how readily they click.

    A content is drawn for each exposure, or (sticky) for each user and slot once and for all. Personalised: in
    the first slot content 0 is the likelier the more readily the user clicks.
    """
    often, ready = rng.gamma(1.0, 1.0, users), rng.gamma(1.0, 1.0, users)
    user = np.repeat(np.arange(users), rng.poisson(often * 12))
    slot, day = rng.integers(0, slots, len(user)), rng.integers(0, days, len(user))
    content = rng.integers(0, contents, (users, slots))[user, slot] if sticky else rng.integers(0, contents, len(user))
    wanted = (slot == 0) & (rng.random(len(user)) < personalised * np.minimum(ready[user], 2) / 2)
    content = np.where(wanted, 0, content)
    appeal = np.array([2.2, 1.4, 1.0, 0.7, 0.4])[content]
    clicked = rng.random(len(user)) < np.minimum(0.1 * ready[user] * appeal, 0.95)
    return pd.DataFrame({"user": user, "slot": slot, "day": day, "content_id": content, "clicked": clicked})


def audience(seen):
    """What content_audience gives, by numpy; tests/metrics checks that against its definition."""

    def of_key(columns):
        code = np.unique(seen[list(columns)].to_numpy(), axis=0, return_inverse=True)[1].ravel()
        return np.bincount(code)[code], np.bincount(code, seen["clicked"])[code]

    user, slot, day = {"user": 10_000}, {"slot": 100}, {"day": 1}
    sums = [of_key(columns) for columns in (user, user | slot, user | day, user | slot | day)]
    exposures, clicks = (one - two - three + four for one, two, three, four in zip(*sums, strict=True))
    rate = (clicks + PRIOR_EXPOSURES * seen["clicked"].mean()) / (exposures + PRIOR_EXPOSURES)
    stratum = seen["slot"].to_numpy() * 100 + seen["day"].to_numpy()
    surplus = rate - (np.bincount(stratum, rate) / np.maximum(np.bincount(stratum), 1))[stratum]
    table = seen.assign(exposures=1, rate_surplus=surplus, user_bucket=seen["user"] * 7919 % 256)
    table = table.assign(slot_id=seen["slot"], week=seen["day"] // 7)
    keys = ["slot_id", "week", "content_id", "user_bucket"]
    return table.groupby(keys, as_index=False)[["exposures", "rate_surplus"]].sum()


@pytest.mark.parametrize("sticky", [False, True], ids=["by exposure", "by user"])
def test_random_placement_is_left_alone(sticky):
    """A shop is flagged if any content is: at most 21 of 200 (99.9 % bound of a 5 % promise)."""
    rng = np.random.default_rng(12)
    found = [placement_p_values(audience(visits_of_users(rng, sticky=sticky))) for _ in range(200)]
    assert sum(holm_rejects(one, 0.05).any() for one in found) <= 21
    assert 0.3 < np.mean(np.concatenate(found) < 0.5) < 0.6  # the p values are not idle


def test_placement_by_who_the_user_is_is_flagged(tmp_path):
    rng = np.random.default_rng(3)
    for _ in range(10):
        p_values = placement_p_values(audience(visits_of_users(rng, sticky=False, personalised=0.8)))
        assert holm_rejects(p_values, 0.05)[p_values.index.get_loc(0)]
    seen = visits_of_users(rng, sticky=False, personalised=0.8)
    instant = at("2026-03-02") + pd.to_timedelta(seen["day"], unit="D")
    views = pd.DataFrame(
        {
            "user_id": "u" + seen["user"].astype(str),
            "event_at": instant,
            "event": "view_promotion",
            "slot_id": "s" + seen["slot"].astype(str),
            "content_id": "k" + seen["content_id"].astype(str),
        }
    )
    clicks = views[seen["clicked"]].assign(event="select_promotion")
    found = of(tmp_path / "shop", pd.concat([views, clicks]))
    placement = found.table.set_index("content_id")["placement"]
    assert placement["k0"] == "personalised"
    assert set(placement) <= {"random", "personalised"}
    assert found.facts["personalised_count"] >= 1
    assert found.facts["judged_count"] == 5
