"""Profiles of quadrants: by hand, against scipy, with planted and with no differences."""

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError
from workbench.metrics.user_states import QUADRANTS
from workbench.stats.intervals import wilson
from workbench.user.profile import COLUMNS, profile_table, read_profile


def counts(dimension, wide, value_count=None):
    """Collected counts from a table of value by quadrant."""
    rows = [
        (quadrant, value, count, value_count or len(wide), dimension)
        for value, row in wide.items()
        for quadrant, count in zip(QUADRANTS, row, strict=True)
        if count
    ]
    return pd.DataFrame(rows, columns=["quadrant", "value", "user_count", "value_count", "dimension"])


def test_shares_differences_and_lift_by_hand():
    table = profile_table(counts("channel", {"ads": (60, 10, 20, 10), "mail": (40, 90, 180, 90)}), 30, 0.95)
    row = table.iloc[0]
    assert table.columns.tolist() == COLUMNS
    assert (row["quadrant"], row["value"], row["user_count"], row["base_count"]) == ("high_high", "ads", 60, 100)
    assert (row["user_share"], row["rest_count"], row["rest_share"]) == (0.6, 40, 0.1)
    assert (row["difference"], row["lift"]) == (pytest.approx(0.5), pytest.approx(6))
    own, rest = wilson(60, 100), wilson(40, 400)
    assert row["ci_lower"] == pytest.approx(0.5 - np.hypot(0.6 - own.lower, rest.upper - 0.1))
    assert row["ci_upper"] == pytest.approx(0.5 + np.hypot(own.upper - 0.6, 0.1 - rest.lower))
    chi = stats.chi2_contingency([[60, 40], [40, 360]], correction=False)
    assert row["p_value"] == pytest.approx(chi.pvalue)
    assert table["is_different"].tolist() == [True] * len(table)
    assert table["p_value_adjusted"].to_numpy() == pytest.approx(stats.false_discovery_control(table["p_value"]))


def test_order_is_quadrant_dimension_difference():
    both = [
        counts("region", {"x": (50, 50, 10, 10), "y": (50, 40, 10, 10), "z": (0, 10, 80, 80)}),
        counts("channel", {"ads": (60, 50, 50, 50), "mail": (40, 50, 50, 50)}),
    ]
    table = profile_table(pd.concat(both, ignore_index=True), 30, 0.95)
    assert table.drop_duplicates(["quadrant", "dimension"])[["quadrant", "dimension"]].to_numpy().tolist() == [
        [quadrant, dimension] for quadrant in QUADRANTS for dimension in ("channel", "region")
    ]
    first = table[(table["quadrant"] == "high_high") & (table["dimension"] == "region")]
    assert first["value"].tolist() == ["z", "y", "x"]
    assert first["difference"].abs().is_monotonic_decreasing


def test_rare_values_are_one_and_say_how_many():
    wide = {"a": (50, 50, 50, 50), "b": (5, 5, 5, 5), "c": (1, 2, 3, 4), "(unknown)": (1, 0, 0, 0)}
    table = profile_table(counts("region", wide), 30, 0.95)
    own = table[table["quadrant"] == "high_high"].set_index("value")
    assert own["user_count"].to_dict() == {"a": 50, "(other)": 6, "(unknown)": 1}
    assert own.loc["(other)", "folded_count"] == 2
    assert own["folded_count"].isna().sum() == 2
    # 40 values that the engine had folded, and one more
    already = counts("region", {"a": (50, 50, 50, 50), "(other)": (9, 9, 9, 9), "c": (1, 2, 3, 4)}, value_count=42)
    assert profile_table(already, 30, 0.95)["folded_count"].dropna().tolist() == [41] * 4
    # a single rare value keeps its name
    alone = profile_table(counts("region", {"a": (50, 50, 50, 50), "c": (1, 2, 3, 4)}), 30, 0.95)
    assert set(alone["value"]) == {"a", "c"}


def test_small_quadrants_are_not_compared_and_empty_ones_not_shown():
    table = profile_table(counts("channel", {"ads": (5, 50, 50, 0), "mail": (5, 50, 60, 0)}), 30, 0.95)
    assert table["quadrant"].drop_duplicates().tolist() == ["high_high", "high_low", "low_high"]
    small = table[table["quadrant"] == "high_high"]
    assert small["reason"].tolist() == ["few_users"] * 2
    assert small[["ci_lower", "p_value", "p_value_adjusted"]].isna().all(axis=None)
    assert not small["is_different"].any()
    assert small["user_share"].tolist() == [0.5, 0.5]


def drawn_shop(rng, planted):
    """2,000 users in quadrants of unlike sizes, 9 values in 2 dimensions; one value of high_low has so much more."""
    users = rng.multinomial(2_000, [0.15, 0.35, 0.1, 0.4])
    shares = {"channel": np.array([0.5, 0.2, 0.15, 0.1, 0.05]), "region": np.array([0.4, 0.3, 0.2, 0.1])}
    parts = []
    for name, share in shares.items():
        drawn = np.array([rng.multinomial(count, share) for count in users])
        if name == "channel":
            drawn[1] = rng.multinomial(users[1], share + planted * np.array([-1, 1, 0, 0, 0]))
        parts.append(counts(name, {f"v{number}": drawn[:, number] for number in range(len(share))}))
    return profile_table(pd.concat(parts, ignore_index=True), 30, 0.95)


@pytest.mark.slow
def test_alike_quadrants_are_called_different_as_often_as_allowed():
    """Of 200 shops at most 21 have any value that is called different."""
    rng = np.random.default_rng(13)
    assert sum(drawn_shop(rng, 0.0)["is_different"].any() for _ in range(200)) <= 21


def test_ten_points_more_of_a_channel_are_found():
    rng = np.random.default_rng(14)
    found = 0
    for _ in range(20):
        first = drawn_shop(rng, 0.1).query("quadrant == 'high_low' and dimension == 'channel'")
        found += first.set_index("value").loc["v1", "is_different"]
    assert found >= 19


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """200 users, half of them from ads; those with even numbers buy: with a coupon if they came from ads."""
    ids = [f"u{number:03}" for number in range(200)]
    users = pd.DataFrame({"user_id": ids, "first_seen_at": pd.Timestamp("2026-03-01", tz="UTC")})
    users["channel"] = ["ads" if number < 100 else "mail" for number in range(200)]
    moment = "2026-03-10 08:00"
    buyers = [number for number in range(200) if number % 2 == 0]
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount",
        *[(number, ids[number], moment, moment, 10.0, 1.0 if number < 100 else 0.0) for number in buyers],
        (1001, ids[1], "2026-03-20 08:00", "2026-03-20 08:00", 10.0, 0.0),
    )
    lines = frame(
        "order_id line_no product_id quantity amount category",
        *[(number, 1, "p", 1, 10.0, "tea" if number % 4 else "cups") for number in buyers],
        (1001, 1, "p", 1, 10.0, "tea"),
    )
    return open_shop(
        write_shop(tmp_path_factory.mktemp("profile") / "shop", users=users, orders=orders, order_lines=lines)
    )


def members_of(shop):
    users = shop.users
    return users.select("user_id", "user_bucket", quadrant=(users.channel == "ads").ifelse("high_high", "low_low"))


def window(shop):
    start, end = (int(pd.Timestamp(day, tz="UTC").value // 10**6) for day in ("2026-03-01", "2026-03-20"))
    return start, end


def test_dimensions_are_those_that_the_source_has(shop):
    table = read_profile(shop, members_of(shop), window(shop))
    assert table["dimension"].drop_duplicates().tolist() == ["channel", "category", "coupon_use"]
    own = table[table["quadrant"] == "high_high"].set_index(["dimension", "value"])
    assert own.loc[("channel", "ads"), ["user_count", "base_count", "user_share", "rest_share"]].tolist() == [
        100,
        100,
        1,
        0,
    ]
    assert np.isnan(own.loc[("channel", "ads"), "lift"])
    # of the 50 buyers in the window, the order on its end left out
    assert own.loc[("coupon_use", "yes"), ["user_count", "base_count", "rest_count"]].tolist() == [50, 50, 0]
    assert own.loc[("category", "cups"), ["user_count", "base_count"]].tolist() == [25, 50]
    assert not own.loc[("category", "cups"), "is_different"]
    assert own.loc[("coupon_use", "yes"), "is_different"]


def test_a_source_without_users_or_lines(tmp_path):
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, "a", "2026-03-09 08:00", "2026-03-09 08:00", 30.0)
    )
    shop = open_shop(write_shop(tmp_path / "shop", orders=orders))
    members = shop.orders.select("user_id", "user_bucket", quadrant=ibis.literal("low_low"))
    table = read_profile(shop, members, window(shop))
    assert table.empty
    assert table.columns.tolist() == COLUMNS
    with pytest.raises(ParameterError, match="confidence_level"):
        read_profile(shop, members, window(shop), confidence_level=95)


@pytest.mark.engine
def test_the_same_on_clickhouse(shop):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    found = [read_profile(one, members_of(one), window(one)) for one in (shop, open_shop(f"chdb://{shop.folder}"))]
    pd.testing.assert_frame_equal(*found, check_dtype=False)
