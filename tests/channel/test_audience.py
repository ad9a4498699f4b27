"""Channel or audience: against loops over users, by hand, and on the sample's young channel."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import frame, write_shop
from statsmodels.stats.multitest import multipletests

from workbench import open_shop
from workbench.channel import charts, compare_channels, why_empty
from workbench.channel.audience import adjusted_table, audience_of, mix_table
from workbench.errors import ParameterError
from workbench.stats.proportions import pairs_by_bucket, pairwise_proportions

AGES = ("young", "old")
RATES = {"young": 0.1, "old": 0.4}


def people(counts, rates, seed=None):
    """Users who came on 1 March, by channel and age; of each cell the share that pays on 2 March, exactly or drawn."""
    rng = np.random.default_rng(seed)
    users, orders = [], []
    for (channel, age), count in counts.items():
        rate = rates[channel, age] if (channel, age) in rates else rates[age]
        buys = np.arange(count) < round(count * rate) if seed is None else rng.random(count) < rate
        for has_bought in buys:
            name = f"u{len(users)}"
            users.append((name, "2026-03-01 08:00", channel, age))
            if has_bought:
                orders.append((len(orders), name, "2026-03-02 08:00", "2026-03-02 08:00", 10.0))
    orders.append((len(orders), "later", "2026-06-01", "2026-06-01", 10.0))
    return users, orders


def shop_of(folder, users, orders):
    return open_shop(
        write_shop(
            folder / "shop",
            users=frame("user_id first_seen_at channel age_group", *users),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        )
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """a is young, b is old, both convert 10 % of the young and 40 % of the old; c alone has users of unknown age."""
    counts = {("a", "young"): 800, ("a", "old"): 200, ("b", "young"): 200, ("b", "old"): 800, ("c", None): 100}
    users, orders = people(counts, {**RATES, None: 0.5})
    return shop_of(tmp_path_factory.mktemp("planted"), users, orders)


def by_channel(analysis, name="channel_adjusted"):
    return analysis.tables[name].set_index("channel")


def test_the_same_rates_by_age_are_all_audience(planted):
    """a converts 16 %, b 34 %: with each other's audience they are equal."""
    found = by_channel(compare_channels(planted, baseline="b"))
    a = found.loc["a"]
    assert a[["conversion_rate", "baseline_rate", "gap"]].tolist() == pytest.approx([0.16, 0.34, -0.18])
    assert a[["mix", "rate", "unsupported", "adjusted_rate"]].tolist() == pytest.approx([-0.18, 0, 0, 0.34])
    assert found.loc["b", "reason"] == "is_baseline"
    # users of unknown age are a cell of their own, and none of b's: nothing of c can be compared like with like
    c = found.loc["c"]
    assert (c["reason"], c["supported_share"]) == ("no_common_cell", 0)
    assert c["unsupported"] == pytest.approx(0.5 - 0.34)
    assert np.isnan(c["mix"])


def test_parts_sum_to_the_gap_and_cells_to_the_parts(planted):
    analysis = compare_channels(planted)
    found, mix = by_channel(analysis), analysis.tables["channel_mix"]
    assert (found["mix"] + found["rate"] + found["unsupported"]).to_numpy() == pytest.approx(found["gap"].to_numpy())
    by_cell = mix.groupby("channel")[["mix", "rate"]].sum()
    for part in ("mix", "rate"):
        assert by_cell[part].to_numpy() == pytest.approx(found[part].reindex(by_cell.index).to_numpy())
    shares = mix.groupby("channel")[["audience_share", "baseline_share"]].sum()
    assert shares.to_numpy() == pytest.approx(1.0)
    assert set(mix["age_group"]) == {"young", "old", "(unknown)"}


def kitagawa_by_loop(users, bought, channel):
    """The split of one channel against everybody, user by user."""
    everybody = [(one[3], one[0] in bought) for one in users]
    own = [(one[3], one[0] in bought) for one in users if one[2] == channel]

    def of(rows):
        shares, rates = {}, {}
        for age in {one[0] for one in rows}:
            cell = [pays for name, pays in rows if name == age]
            shares[age], rates[age] = len(cell) / len(rows), sum(cell) / len(cell)
        return shares, rates

    (share, rate), (base_share, base_rate) = of(own), of(everybody)
    assert share.keys() == base_share.keys(), "every age is in every channel of this test"
    mix = sum((share[age] - base_share[age]) * (rate[age] + base_rate[age]) / 2 for age in share)
    rest = sum((share[age] + base_share[age]) / 2 * (rate[age] - base_rate[age]) for age in share)
    adjusted = sum(base_share[age] * rate[age] for age in share)
    return mix, rest, adjusted


def test_equals_a_loop_over_users(tmp_path):
    rng = np.random.default_rng(2)
    cells = itertools.product("abc", ("young", "middle", "old"))
    counts = {cell: int(rng.integers(40, 300)) for cell in cells}
    users, orders = people(counts, {cell: rng.uniform(0.05, 0.5) for cell in counts}, seed=3)
    found = by_channel(compare_channels(shop_of(tmp_path, users, orders)))
    bought = {one[1] for one in orders}
    for channel in "abc":
        expected = kitagawa_by_loop(users, bought, channel)
        assert found.loc[channel, ["mix", "rate", "adjusted_rate"]].tolist() == pytest.approx(expected, abs=1e-12)


def test_one_channel_has_no_gap_and_no_pairs(tmp_path):
    users, orders = people({("a", "young"): 200, ("a", "old"): 200}, RATES)
    analysis = compare_channels(shop_of(tmp_path, users, orders))
    assert by_channel(analysis).loc["a", ["gap", "mix", "rate"]].tolist() == [0, 0, 0]
    assert analysis.tables["channel_pairs"].empty
    assert analysis.headline.verdict == "a is the only channel: there is no other to compare it with."
    assert why_empty(analysis, "channel_pairs") == "There is no second channel to compare with."
    assert charts.segment_picture(analysis) is None


def test_without_age_groups_the_rest_stands_with_a_note(tmp_path):
    users, orders = people({("a", "young"): 400, ("b", "old"): 400}, RATES)
    bare = [one[:3] for one in users]
    shop = open_shop(
        write_shop(
            tmp_path / "bare",
            users=frame("user_id first_seen_at channel", *bare),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        )
    )
    analysis = compare_channels(shop)
    assert any("users carry no age_group" in note for note in analysis.notes)
    for bare in (analysis, compare_channels(shop, standardise_by=[])):
        found = by_channel(bare)
        assert found.loc["a", "gap"] == pytest.approx(-0.15)
        unknown = ["adjusted_rate", "mix", "rate", "unsupported", "mix_ci_lower", "rate_ci_upper", "supported_share"]
        assert found[unknown].isna().all().all()
        assert found["reason"].tolist() == ["no_audience"] * 2
        assert bare.tables["channel_mix"].empty
        assert "Nothing describes the audience" in why_empty(bare, "channel_mix")
        assert any("how much of a gap it explains is unknown" in note for note in bare.notes)
        assert "b converts best" in bare.headline.verdict
        assert charts.gap_picture(bare).to_dict()["title"]["text"] == "b converts more than a: 40.0% against 10.0%"


def test_pairs_leave_out_small_channels_and_say_why(tmp_path):
    counts = {("a", "old"): 200, ("b", "young"): 200, ("c", "old"): 29, (None, "old"): 90}
    users, orders = people(counts, RATES)
    analysis = compare_channels(shop_of(tmp_path, users, orders))
    card = by_channel(analysis, "channel_scorecard")["unranked_reason"]
    assert card.dropna().to_dict() == {"c": "few_users", "(unknown)": "unknown_channel"}
    pairs = analysis.tables["channel_pairs"]
    assert pairs[["channel", "other_channel", "is_different"]].to_numpy().tolist() == [["a", "b", True]]
    assert pairs["difference"].item() == pytest.approx(0.3)
    assert any(one.name == "small_channel" and "only 29 users" in one.text for one in analysis.findings)
    assert len(compare_channels(shop_of(tmp_path / "all", users, orders), min_users=29).tables["channel_pairs"]) == 3


def visits_of(seed, count):
    """Channels of each user's visits on 1 March, in their order, and the one that the buyer paid in, or None.

    b and c are alike, a is better.
    """
    rng = np.random.default_rng(seed)
    people = []
    for place in range(count):
        came = [channel for channel, share in zip("abc", (0.7, 0.45, 0.45), strict=True) if rng.random() < share]
        rng.shuffle(came)
        rate = 0.4 if came == ["a"] else 0.2
        bought = str(rng.choice(came)) if came and rng.random() < rate else None
        people.append((f"u{place}", came, bought))
    return people


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """1,200 users who come through one to three channels, as ``visits_of`` draws them."""
    people = visits_of(4, 1_200)
    events = [
        (name, f"2026-03-01 {8 + place:02d}:00", "page_view", f"{name}{channel}", channel)
        for name, came, _ in people
        for place, channel in enumerate(came)
    ]
    orders = [
        (place, name, "2026-03-02", "2026-03-02", 10.0, bought)
        for place, (name, _, bought) in enumerate(people)
        if bought is not None
    ]
    orders.append((len(people), "later", "2026-06-01", "2026-06-01", 10.0, None))
    folder = write_shop(
        tmp_path_factory.mktemp("shared") / "shop",
        users=frame("user_id first_seen_at channel", *[(name, "2026-03-01", "a") for name, _, _ in people]),
        orders=frame("order_id user_id submitted_at paid_at gross_amount channel", *orders),
        events=frame("user_id event_at event session_id channel", *events),
    )
    return open_shop(folder), people


def pairs_by_loop(people, bucket_of):
    """Difference, its error and its p-value by pair, from one user after the other."""
    rate, fills = {}, {}
    for channel in "abc":
        members = [one for one in people if channel in one[1]]
        rate[channel] = sum(one[2] == channel for one in members) / len(members), len(members)
        fills[channel] = len({bucket_of[one[0]] for one in members})
    found = {}
    for first, other in itertools.permutations("abc", 2):
        by_bucket = {}
        for name, came, bought in people:
            moved = 0.0
            for channel, sign in ((first, 1), (other, -1)):
                if channel in came:
                    moved += sign * ((bought == channel) - rate[channel][0]) / rate[channel][1]
            by_bucket[bucket_of[name]] = by_bucket.get(bucket_of[name], 0.0) + moved
        count = min(fills[first], fills[other])
        error = np.sqrt(sum(one**2 for one in by_bucket.values()) * count / (count - 1))
        difference = rate[first][0] - rate[other][0]
        half = stats.t.ppf(0.975, count - 1) * error
        p_value = 2 * stats.t.cdf(-abs(difference) / error, count - 1)
        found[first, other] = (difference, difference - half, difference + half, difference / error, p_value)
    return found


def test_pairs_of_channels_that_share_users_equal_a_loop_over_users(shared):
    shop, people = shared
    buckets = shop.collect(shop.users.select("user_id", "user_bucket"))
    expected = pairs_by_loop(people, dict(zip(buckets["user_id"], buckets["user_bucket"], strict=True)))
    analysis = compare_channels(shop, channel_basis="session")
    pairs = analysis.tables["channel_pairs"]
    assert len(pairs) == 3
    assert {frozenset(one) for one in pairs[["channel", "other_channel"]].to_numpy().tolist()} == {
        frozenset(one) for one in itertools.combinations("abc", 2)
    }
    columns = ["difference", "ci_lower", "ci_upper", "statistic", "p_value"]
    for row in pairs.to_dict("records"):
        assert [row[one] for one in columns] == pytest.approx(expected[row["channel"], row["other_channel"]], abs=1e-12)
        assert row["difference"] == pytest.approx(row["conversion_rate"] - row["other_rate"])
        assert row["difference"] >= 0
    assert pairs["p_value_adjusted"].tolist() == pytest.approx(multipletests(pairs["p_value"], method="fdr_bh")[1])
    assert pairs["is_different"].tolist() == [True, True, False]
    assert pairs["p_value"].is_monotonic_increasing
    assert any("compared by buckets of users" in note for note in analysis.notes)
    assert any(one.name == "clearest_pair" and "2 of 3 pairs" in one.text for one in analysis.findings)


@pytest.mark.parametrize("basis", ["linear", *(pytest.param(one, marks=pytest.mark.slow) for one in ("first", "last"))])
def test_pairs_stand_on_every_credit(shared, basis):
    pairs = compare_channels(shared[0], channel_basis=basis).tables["channel_pairs"]
    assert len(pairs) == 3
    assert (pairs["ci_lower"] < pairs["difference"]).all()
    assert (pairs["difference"] < pairs["ci_upper"]).all()
    assert pairs["p_value"].between(0, 1).all()


def test_pairs_of_few_buyers_are_named_and_not_tested(shared):
    analysis = compare_channels(shared[0], channel_basis="session", end_date="2026-03-02", conversion_days=1)
    pairs = analysis.tables["channel_pairs"]  # nobody paid on the day of the first visit
    assert len(pairs) == 3
    assert pairs[["ci_lower", "statistic", "p_value", "p_value_adjusted"]].isna().all().all()
    assert not pairs["is_different"].any()
    assert any("Too few buyers, or too few others, to compare" in note for note in analysis.notes)


def counts_by_bucket(rng, users, shares, kinds):
    """Users and conversions by bucket and channel; kinds: (chance, channels of the user, chance to convert in each)."""
    kind = rng.choice(len(kinds), size=users, p=[one[0] for one in kinds])
    bucket = rng.integers(0, 256, users)
    came = np.array([one[1] for one in kinds], dtype=float)[kind]
    chance = np.array([one[2] for one in kinds])[kind]
    drawn = rng.random(users)[:, None]
    above = np.cumsum(chance, axis=1)
    converts = ((drawn < above) & (drawn >= above - chance)).astype(float) * shares
    return tuple(
        np.stack([np.bincount(bucket, one[:, place], 256) for place in range(came.shape[1])], axis=1)
        for one in (converts, came)
    )


@pytest.mark.parametrize(
    ("users", "kinds"),
    [
        # most users come through both channels, and one of them gets the credit
        (1_500, [(0.1, (1, 0), (0.2, 0)), (0.1, (0, 1), (0, 0.2)), (0.8, (1, 1), (0.2, 0.2))]),
        # one channel has a tenth of the other's users, half of them its own
        pytest.param(
            8_000,
            [(0.9, (1, 0), (0.12, 0)), (0.05, (0, 1), (0, 0.12)), (0.05, (1, 1), (0.12, 0.12))],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_level_of_pairs_that_share_users(users, kinds):
    """Equal rates, 2,000 replicates: 5 % rejected within the 99.9 % binomial bounds, coverage the rest."""
    rng = np.random.default_rng(11)
    rejected, held, naive = [], [], []
    for _ in range(2_000):
        converted, came = counts_by_bucket(rng, users, 1.0, kinds)
        found = pairs_by_bucket(converted, came)
        rejected.append(found.p_value[0] < 0.05)
        held.append(found.difference.lower[0] <= 0 <= found.difference.upper[0])
        naive.append(pairwise_proportions(converted.sum(axis=0), came.sum(axis=0)).p_value[0] < 0.05)
    assert np.isfinite(found.p_value).all()
    assert 0.034 <= np.mean(rejected) <= 0.066
    assert np.mean(held) == pytest.approx(1 - np.mean(rejected))
    if kinds[-1][0] > 0.5:  # credit of one channel is none of the other's: samples are not independent
        assert not 0.034 <= np.mean(naive) <= 0.066


def test_power_and_coverage_of_pairs_that_share_users():
    """a converts 14 % of its users, b 9 %: the interval holds the 5 points, and most shops find them."""
    kinds = [(0.3, (1, 0), (0.16, 0)), (0.3, (0, 1), (0, 0.11)), (0.4, (1, 1), (0.125, 0.075))]
    truth = (0.3 * 0.16 + 0.4 * 0.125 - 0.3 * 0.11 - 0.4 * 0.075) / 0.7
    assert truth == pytest.approx(0.05)
    rng = np.random.default_rng(12)
    found = [pairs_by_bucket(*counts_by_bucket(rng, 3_000, 1.0, kinds)) for _ in range(2_000)]
    held = np.mean([one.difference.lower[0] <= truth <= one.difference.upper[0] for one in found])
    assert 0.934 <= held <= 0.966
    assert np.mean([one.p_value[0] < 0.05 for one in found]) > 0.9


def test_a_pair_without_enough_on_one_side_is_not_tested_and_the_same_users_do_not_differ():
    rng = np.random.default_rng(13)
    users = rng.integers(1, 6, (256, 1)) * np.ones(4)
    converted = rng.binomial(users.astype(int), 0.3).astype(float)
    converted[:, 1] = converted[:, 0]  # the same users convert
    converted[:, 2] = 0  # nobody does
    converted[:, 3] = users[:, 3]  # everybody does
    found = pairs_by_bucket(converted, users)
    assert np.isnan(found.p_value).all()
    assert found.difference.estimate[0] == 0
    assert np.isnan(found.difference.lower).all()
    assert len(pairs_by_bucket(converted[:, :1], users[:, :1]).p_value) == 0


def test_a_few_among_evenly_many_are_still_few():
    """Others so even over buckets that their number cannot be told do not make five buyers enough."""
    converted = np.zeros((256, 2))
    converted[:5, 0] = 1
    converted[:, 1] = np.arange(256) % 4
    assert np.isnan(pairs_by_bucket(converted, converted + 10).p_value).all()
    converted[:40, 0] = 1
    assert np.isfinite(pairs_by_bucket(converted, converted + 10).p_value).all()


def test_a_channel_without_anyone_followed_is_said_so(tmp_path):
    users, orders = people({("a", "old"): 50, ("b", "young"): 50}, RATES)
    analysis = compare_channels(shop_of(tmp_path, users, orders), conversion_days=365)
    assert (by_channel(analysis, "channel_scorecard")["unranked_reason"] == "no_elapsed_window").all()
    assert analysis.tables["channel_adjusted"].empty
    assert any("No user's 365 days have elapsed" in note for note in analysis.notes)
    assert charts.gap_picture(analysis) is None
    assert analysis.headline.verdict == (
        "None of the 100 new users has been followed for 365 days: from the start of the period the data reach over 92 "
        "days. Take an earlier period, or set conversion_days=46."
    )
    followed = [one for one in analysis.findings if one.name in ("small_channel", "nobody_followed")]
    assert [one.name for one in followed] == ["nobody_followed"]
    assert "Nobody has been followed" in why_empty(analysis, "channel_pairs")
    assert (
        "设定 conversion_days=46"
        in compare_channels(shop_of(tmp_path / "zh", users, orders), conversion_days=365, lang="zh").headline.verdict
    )
    late = compare_channels(shop_of(tmp_path / "late", users, [(0, "u0", "2026-03-01", "2026-03-01", 1.0)]))
    assert "the data reach over 1 day. Load more days" in late.headline.verdict


def test_too_few_users_say_what_to_give(tmp_path):
    users, orders = people({("a", "old"): 50, ("b", "young"): 20, (None, "old"): 40}, RATES)
    verdict = compare_channels(shop_of(tmp_path, users, orders)).headline.verdict
    assert verdict == (
        "Only a has 30 users followed for 30 days: nothing to compare yet. Take a longer period, or set min_users=20."
    )
    users, orders = people({("a", "old"): 50, (None, "old"): 40}, RATES)
    alone = compare_channels(shop_of(tmp_path / "alone", users, orders)).headline.verdict
    assert alone == "a is the only channel beside 40 users without a channel: there is no other to compare it with."


def test_words_never_contradict_the_pairs(tmp_path):
    """a converts 22 % and b 17 % of 400: below 5 % as one pair, not as one of three."""
    rates = {(channel, age): rate for channel, rate in (("a", 0.22), ("b", 0.17), ("c", 0.2)) for age in AGES}
    users, orders = people(dict.fromkeys(rates, 200), rates)
    analysis = compare_channels(shop_of(tmp_path, users, orders))
    assert not analysis.tables["channel_pairs"]["is_different"].any()
    assert analysis.headline.verdict.startswith("No clear difference: the highest conversion (a, 22.0%")
    assert analysis.findings[0].name == "conversions_alike"
    title = charts.conversion_picture(analysis).to_dict()["title"]["text"]
    assert title == "No channel converts more than another beyond chance"
    assert (
        charts.gap_picture(analysis).to_dict()["title"]["text"]
        == "No channel is beyond chance apart from the whole shop"
    )


def test_the_segment_picture_says_what_carries_the_gap(tmp_path):
    """a and b have the same ages and a converts half as often: the rate, not the share of an age, is its title."""
    rates = {("a", "young"): 0.05, ("a", "old"): 0.2, ("b", "young"): 0.1, ("b", "old"): 0.4}
    users, orders = people(dict.fromkeys(rates, 600), rates)
    analysis = compare_channels(shop_of(tmp_path, users, orders))
    title = " ".join(charts.segment_picture(analysis).to_dict()["title"]["text"])
    assert title.startswith("Within old, a converts 20.0% against 30.0%")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"baseline": "B"}, 'baseline: "B" is no channel with users whose window has elapsed, did you mean "b"?'),
        ({"standardise_by": ["age_grup"]}, 'standardise_by: "age_grup" is not known, did you mean "age_group"?'),
        ({"standardise_by": ["age_group", "age_group"]}, "names a column twice"),
        ({"min_users": 0}, "min_users is 0; it is a whole number of users from 1 on"),
        ({"channel_basis": "lst"}, 'channel_basis: "lst" is not known, did you mean "last"?'),
        ({"channel_basis": "last"}, 'channel_basis: "last" needs events with a channel of the visit'),
    ],
)
def test_bad_arguments(planted, arguments, words):
    with pytest.raises(ParameterError) as error:
        compare_channels(planted, **arguments)
    assert words in str(error.value)


def test_a_channel_that_differs_itself_is_not_told_as_audience(tmp_path):
    """a and b have the same ages, a half the rates: nothing of the gap is audience, and the verdict says so."""
    counts = {(channel, age): 600 for channel in "ab" for age in AGES}
    rates = {(channel, age): RATES[age] * (0.5 if channel == "a" else 1) for channel, age in counts}
    users, orders = people(counts, rates)
    analysis = compare_channels(shop_of(tmp_path, users, orders), baseline="b")
    assert by_channel(analysis).loc["a", ["mix", "rate"]].tolist() == pytest.approx([0, -0.125])
    assert "explains none of the 12.5 points" in analysis.headline.verdict
    zh = compare_channels(shop_of(tmp_path / "zh", users, orders), baseline="b", lang="zh")
    assert "可测受众仅解释 0" in zh.headline.verdict


def planted_split(truth, channel):
    """The true split of a channel's gap, from shares and rates by age that were measured on 400,000 users.

    Of 4 % of the users the shop does not know the age: they are a cell of their own, in every channel alike.
    """
    ages, channels = [one["name"] for one in truth["age_groups"]], truth["channels"]
    size = np.array([one["measured"]["share"] for one in channels.values()])
    size = size / size.sum()
    rates = np.array([one["measured"]["conversion_rate_30_by_age"] for one in channels.values()])
    shares = np.array([[one["age_shares"][age] for age in ages] for one in channels.values()])
    crude = (shares * rates).sum(axis=1)
    shares, rates = np.column_stack([0.96 * shares, np.full(len(size), 0.04)]), np.column_stack([rates, crude])
    base = size @ shares
    base_rate = (size[:, None] * shares * rates).sum(axis=0) / base
    number = list(channels).index(channel)
    mix = ((shares[number] - base) * (rates[number] + base_rate) / 2).sum()
    return mix, ((shares[number] + base) / 2 * (rates[number] - base_rate)).sum()


def test_the_young_channel_is_told_as_audience(analysed, truth):
    analysis = analysed(compare_channels)
    mix, rate = planted_split(truth, "social_video")
    assert mix / (mix + rate) > 0.75, "most of the planted gap is audience"
    row = by_channel(analysis).loc["social_video"]
    assert row["mix_ci_lower"] < mix < row["mix_ci_upper"] < 0
    assert row["rate_ci_lower"] < rate < row["rate_ci_upper"]
    assert analysis.headline.verdict.startswith("social_video converts lowest")
    assert "Its measured audience explains" in analysis.headline.verdict
    segment = next(one for one in analysis.findings if one.name == "segment_behind_gap")
    assert segment.cell.key == {"channel": "social_video", "age_group": "18-24"}
    assert "受众" in analysed(compare_channels, "zh").headline.verdict
    assert "social_video" in charts.gap_picture(analysis).to_dict()["title"]["text"]


def test_every_planted_channel_lies_in_its_interval(analysed, truth):
    """14 intervals of 95 %: more than two outside would be a fault (chance 3 %)."""
    found = by_channel(analysed(compare_channels))
    outside = [
        (channel, part)
        for channel in truth["channels"]
        for part, value in zip(("mix", "rate"), planted_split(truth, channel), strict=True)
        if not found.loc[channel, f"{part}_ci_lower"] < value < found.loc[channel, f"{part}_ci_upper"]
    ]
    assert len(outside) <= 2, outside


@pytest.mark.slow
def test_intervals_of_the_parts_hold_the_truth_over_200_shops():
    """Buyers drawn by user; the truth from the cells' rates and the audience drawn: at most 21 of 200 outside."""
    rng = np.random.default_rng(7)
    counts = np.array([[700, 300, 60], [300, 800, 500], [200, 300, 400]])
    rates = np.array([[0.06, 0.2, 0.3], [0.08, 0.22, 0.25], [0.1, 0.2, 0.2]])
    cells = [(channel, age) for channel in range(3) for age in range(3)]
    share, base = counts / counts.sum(axis=1, keepdims=True), counts.sum(axis=0) / counts.sum()
    base_rate = (counts * rates).sum(axis=0) / counts.sum(axis=0)
    truth = {
        "mix": ((share - base) * (rates + base_rate) / 2).sum(axis=1),
        "rate": ((share + base) / 2 * (rates - base_rate)).sum(axis=1),
    }
    outside = dict.fromkeys(truth, 0)
    for _ in range(200):
        size = rng.multinomial(counts.sum(), counts.ravel() / counts.sum())
        rows = []
        for (channel, age), count in zip(cells, size, strict=True):
            buckets = rng.integers(0, 256, count)
            bought = rng.random(count) < rates[channel, age]
            table = pd.DataFrame({"user_bucket": buckets, "converted_count": bought, "eligible_count": 1})
            rows.append(table.assign(channel=str(channel), age_group=str(age)))
        sums = pd.concat(rows).groupby(["channel", "age_group", "user_bucket"], as_index=False).sum()
        audience = audience_of(sums, ["0", "1", "2"], ["age_group"])
        found, split = adjusted_table(audience, None, 0.95)
        assert len(mix_table(audience, None, split, 0.95)) == 9
        for part, values in truth.items():
            row = found.iloc[0]
            outside[part] += not row[f"{part}_ci_lower"] < values[0] < row[f"{part}_ci_upper"]
    assert max(outside.values()) <= 21, outside
