"""Channel or audience: against loops over users, by hand, and on the sample's young channel."""

import itertools

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.channel import charts, compare_channels
from workbench.channel.audience import adjusted_table, audience_of, mix_table
from workbench.errors import ParameterError

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
    assert "Fewer than two channels" in analysis.headline.verdict
    assert charts.segment_picture(analysis) is None


def test_without_age_groups_the_rest_stands_with_a_note(tmp_path):
    users, orders = people({("a", "young"): 200, ("b", "old"): 200}, RATES)
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
    found = by_channel(analysis)
    assert found.loc["a", ["gap", "mix", "rate"]].tolist() == pytest.approx([-0.15, 0, -0.15])
    assert "b converts best" in analysis.headline.verdict


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


def test_a_channel_without_anyone_followed_is_said_so(tmp_path):
    users, orders = people({("a", "old"): 50, ("b", "young"): 50}, RATES)
    analysis = compare_channels(shop_of(tmp_path, users, orders), conversion_days=365)
    assert (by_channel(analysis, "channel_scorecard")["unranked_reason"] == "no_elapsed_window").all()
    assert analysis.tables["channel_adjusted"].empty
    assert any("No user's 365 days have elapsed" in note for note in analysis.notes)
    assert charts.gap_picture(analysis) is None


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
