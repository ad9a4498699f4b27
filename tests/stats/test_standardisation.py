"""Gaps between groups in parts: hand cases, a loop as the second way, exact properties, coverage by simulation."""

import warnings

import numpy as np
import pytest
from scipy import stats

from workbench.errors import ParameterError
from workbench.stats.resampling import bucket_weights
from workbench.stats.standardisation import standardise

PARTS = ("mix", "rate", "unsupported")
OF_A_GAP = ("gap", *PARTS)
ALL = ("crude", "adjusted", *OF_A_GAP)
LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def estimates(found, group=0):
    return {name: getattr(found, name).estimate[group].item() for name in ALL}


def in_two(users, rates):
    """Two equal buckets of shape (2, groups, cells)."""
    return np.stack([np.multiply(users, rates)] * 2), np.stack([np.asarray(users, dtype=float)] * 2)


def looped(top, bottom, baseline):
    """The parts of each group, cell by cell, from sums over buckets (groups, cells); only additions and divisions."""
    groups, cells = top.shape
    found = []
    for group in range(groups):
        both = []
        for number in (group, baseline):
            rows = range(groups) if number is None else [number]
            both.append(
                [(sum(top[row, cell] for row in rows), sum(bottom[row, cell] for row in rows)) for cell in range(cells)]
            )
        mine, base = both
        inside = [cell for cell in range(cells) if mine[cell][1] > 0 and base[cell][1] > 0]

        def rate(side, over):
            return sum(side[cell][0] for cell in over) / sum(side[cell][1] for cell in over)

        one = dict.fromkeys(ALL, 0.0)
        one["crude"], one["gap"] = rate(mine, range(cells)), rate(mine, range(cells)) - rate(base, range(cells))
        mine_users, base_users = (sum(side[cell][1] for cell in inside) for side in (mine, base))
        for cell in inside:
            share, base_share = mine[cell][1] / mine_users, base[cell][1] / base_users
            high, low = mine[cell][0] / mine[cell][1], base[cell][0] / base[cell][1]
            one["mix"] += (share - base_share) * (high + low) / 2
            one["rate"] += (share + base_share) / 2 * (high - low)
            one["adjusted"] += base_share * high
        for side, users, sign in ((mine, mine_users, 1), (base, base_users, -1)):
            outside = [cell for cell in range(cells) if cell not in inside and side[cell][1] > 0]
            if outside:
                everyone = sum(side[cell][1] for cell in range(cells))
                one["unsupported"] += sign * (1 - users / everyone) * (rate(side, outside) - rate(side, inside))
        found.append(one)
    return found


def random_sums(rng, buckets=64, groups=4, cells=5):
    bottom = rng.integers(0, 40, (buckets, groups, cells))
    bottom[:, 0, 1] = 0
    bottom[:, 2, 4] = 0
    bottom[:, 3, 0] = 0
    return rng.binomial(bottom, rng.uniform(0.1, 0.6, (groups, cells))), bottom


def test_a_young_channel_by_hand():
    """Young 10 %, old 30 % everywhere. Channel: 800 young, 200 old: 14 %. Baseline 200, 800: 26 %. All is mix."""
    found = standardise(*in_two([[400, 100], [100, 400]], [0.1, 0.3]), baseline=1)
    assert estimates(found) == pytest.approx(
        {"crude": 0.14, "adjusted": 0.26, "gap": -0.12, "mix": -0.12, "rate": 0, "unsupported": 0}
    )
    assert found.baseline_rate == pytest.approx(0.26)
    # Shares 0.8 - 0.2 = 0.6 of young, 10 below the middle of 20 %; the old the other way round
    assert found.mix_by_cell[0] == pytest.approx([-0.06, -0.06])


def test_a_cell_that_one_side_lacks_by_hand():
    """The baseline has a third of its users in a cell of 90 % that the channel lacks: 0.9 against 0.2 inside.

    Channel 10 % and 30 % half and half: 20 %. Baseline inside: the same. Gap 0.2 - (0.4 + 0.9) / 3 = -0.2333, all of it
    unsupported: -1/3 (0.9 - 0.2).
    """
    found = standardise(*in_two([[100, 100, 0], [100, 100, 100]], [0.1, 0.3, 0.9]), baseline=1)
    assert estimates(found) == pytest.approx(
        {"crude": 0.2, "adjusted": 0.2, "gap": -0.7 / 3, "mix": 0, "rate": 0, "unsupported": -0.7 / 3}
    )
    assert found.supported_share[0] == 1
    assert found.baseline_supported_share[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize("baseline", [None, 1, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equals_a_loop_over_cells(baseline, seed):
    top, bottom = random_sums(np.random.default_rng(seed))
    found = standardise(top, bottom, baseline=baseline)
    for group, expected in enumerate(looped(top.sum(axis=0), bottom.sum(axis=0), baseline)):
        assert estimates(found, group) == pytest.approx(expected, abs=1e-12)
        assert found.mix_by_cell[group].sum() == pytest.approx(expected["mix"], abs=1e-12)
        assert found.rate_by_cell[group].sum() == pytest.approx(expected["rate"], abs=1e-12)


@pytest.mark.parametrize("baseline", [None, 1])
def test_bounds_equal_a_jackknife_of_the_loop(baseline):
    top, bottom = random_sums(np.random.default_rng(4), buckets=32)
    bottom[:, 1, 2] = np.where(np.arange(32) == 5, 7, 0)  # a cell that only one bucket has
    top = np.minimum(top, bottom)
    found = standardise(top, bottom, baseline=baseline, confidence_level=0.9)
    left_out = [looped(*(one.sum(axis=0) - one[bucket] for one in (top, bottom)), baseline) for bucket in range(32)]
    whole = looped(top.sum(axis=0), bottom.sum(axis=0), baseline)
    for group in range(4):
        for name in ALL:
            values = np.array([one[group][name] for one in left_out])
            middle = whole[group][name]
            if name in ("crude", "adjusted"):
                values, middle = np.log(values / (1 - values)), np.log(middle / (1 - middle))
            half = stats.t.ppf(0.95, 31) * np.sqrt(31 * values.var())
            bounds = np.array([middle - half, middle + half])
            if name in ("crude", "adjusted"):
                bounds = 1 / (1 + np.exp(-bounds))
            interval = getattr(found, name)
            assert [interval.lower[group], interval.upper[group]] == pytest.approx(bounds, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_parts_sum_to_the_gap_and_exchange_with_the_sides(seed):
    rng = np.random.default_rng(seed)
    bottom = rng.integers(0, 4, (3, 2, 6)) * rng.integers(0, 2, (1, 2, 6)) + np.array([1, 0, 0, 0, 0, 0])
    top = rng.binomial(bottom, 0.5)
    one, other = standardise(top, bottom, baseline=1), standardise(top, bottom, baseline=0)
    assert sum(getattr(one, name).estimate[0] for name in PARTS) == pytest.approx(one.gap.estimate[0], abs=1e-14)
    for name in OF_A_GAP:
        assert getattr(one, name).estimate[0] == pytest.approx(-getattr(other, name).estimate[1], abs=1e-14)
        assert getattr(one, name).estimate[1] == 0


def test_the_same_rates_leave_no_rate_and_the_same_audience_leaves_no_mix():
    rng = np.random.default_rng(6)
    users, rates = rng.integers(1, 900, (3, 4)), rng.uniform(0, 1, (3, 4))
    same_rates = standardise(*in_two(users, rates[0]))
    assert same_rates.rate.estimate == pytest.approx(np.zeros(3), abs=1e-14)
    assert same_rates.mix.estimate == pytest.approx(same_rates.gap.estimate)
    assert abs(same_rates.gap.estimate).max() > 0.01
    same_audience = standardise(*in_two(users[0] * np.array([[1], [7], [3]]), rates))
    assert same_audience.mix.estimate == pytest.approx(np.zeros(3), abs=1e-14)
    assert same_audience.rate.estimate == pytest.approx(same_audience.gap.estimate)
    assert same_audience.adjusted.estimate == pytest.approx(same_audience.crude.estimate)


def test_bounds_of_amounts_equal_a_bootstrap_written_plainly():
    rng = np.random.default_rng(9)
    top, bottom = random_sums(rng)
    top = top * rng.lognormal(0, 0.7, top.shape)
    weights = bucket_weights(64, 300, seed=2)
    found = standardise(top, bottom, baseline=1, is_share=False, weights=weights)
    sums = (top.sum(axis=0), bottom.sum(axis=0))
    left_out = [looped(sums[0] - top[bucket], sums[1] - bottom[bucket], 1) for bucket in range(64)]
    for group in (0, 2, 3):
        for name in ALL:
            values = np.array([one[group][name] for one in left_out])
            influence = values.mean() - values
            statistics = []
            for weight in weights:
                drawn = np.repeat(influence, weight.astype(int))
                statistics.append(abs(drawn.sum()) / np.sqrt(len(drawn) * drawn.var()))
            half = sorted(statistics)[int(np.ceil(0.95 * 299))] * np.sqrt(63 * values.var())
            interval = getattr(found, name)
            middle = interval.estimate[group]
            assert [interval.lower[group], interval.upper[group]] == pytest.approx([middle - half, middle + half])


def test_without_a_common_cell_all_of_the_gap_is_unsupported():
    found = standardise(*in_two([[500, 0], [0, 500]], [0.1, 0.3]), baseline=1)
    assert found.reason.tolist() == ["no_common_cell", "is_baseline"]
    assert found.unsupported.estimate[0] == pytest.approx(found.gap.estimate[0]) == pytest.approx(-0.2)
    assert np.isnan([found.mix.estimate[0], found.rate.estimate[0], found.adjusted.estimate[0]]).all()


@pytest.mark.parametrize(
    ("users", "rates", "reasons"),
    [
        ([200, 5_000], [0.1, 0.1], ["few_own_buyers", "is_baseline"]),  # 20 buyers
        ([0, 5_000], [0.1, 0.1], ["few_own_buyers", "is_baseline"]),
        ([5_000, 5_000], [0.0, 0.1], ["few_own_buyers", "is_baseline"]),
        ([5_000, 5_000], [1.0, 0.1], ["few_other_buyers", "is_baseline"]),
        ([5_000, 300], [0.1, 0.1], ["few_effective_buyers", "is_baseline"]),
        ([5_000, 5_000], [0.1, 0.1], [None, "is_baseline"]),
    ],
)
def test_no_bounds_from_a_handful_of_buyers(users, rates, reasons):
    rng = np.random.default_rng(1)
    bottom = np.zeros((256, 2, 1), dtype=int)
    for group, count in enumerate(users):
        np.add.at(bottom, (np.arange(count) % 256, group, 0), 1)
    top = np.zeros_like(bottom)
    for group, rate in enumerate(rates):
        buyers = rng.permutation(users[group])[: round(users[group] * rate)]
        np.add.at(top, (buyers % 256, group, 0), 1)
    found = standardise(top, bottom, baseline=1)
    assert found.reason.tolist() == reasons
    assert np.isnan(found.gap.lower[0]) == (reasons[0] is not None)
    if not users[0]:
        assert np.isnan([found.crude.estimate[0], found.gap.estimate[0]]).all()


def test_amounts_need_more_buyers_than_shares():
    bottom = np.full((256, 2, 1), 4)
    top = np.zeros((256, 2, 1))
    top[:40, 0], top[:200, 1] = 1, 1
    for is_share, reason in ((True, None), (False, "few_own_buyers")):
        found = standardise(top, bottom, baseline=1, is_share=is_share)
        assert found.reason[0] == reason
        assert found.effective[0] == pytest.approx(47, abs=1)


def test_inputs_are_left_as_they_are():
    top, bottom = random_sums(np.random.default_rng(2))
    before = top.copy(), bottom.copy()
    standardise(top, bottom)
    assert (top == before[0]).all()
    assert (bottom == before[1]).all()


@pytest.mark.parametrize(
    ("top", "bottom", "options", "said"),
    [
        (np.ones((2, 2)), np.ones((2, 2)), {}, r"wanted is \(buckets, groups, cells\) twice"),
        (np.ones((2, 2, 1)), np.ones((2, 2, 2)), {}, r"wanted is \(buckets, groups, cells\) twice"),
        (np.ones((2, 1, 1)), -np.ones((2, 1, 1)), {}, "negative denominator"),
        (np.full((2, 1, 1), np.nan), np.ones((2, 1, 1)), {}, "missing numbers"),
        (np.ones((2, 1, 1)), np.zeros((2, 1, 1)), {}, "count every buyer among the users"),
        (
            np.ones((2, 1, 1)),
            np.ones((2, 1, 1)),
            {"weights": np.ones((5, 3))},
            r"weights \(5, 3\) do not fit 2 buckets",
        ),
        (np.ones((2, 1, 1)), np.ones((2, 1, 1)), {"baseline": 1}, "baseline is 1; it is the number of a group, 0 to 0"),
        (np.ones((2, 1, 1)), np.ones((2, 1, 1)), {"confidence_level": 95}, "confidence_level is 95"),
    ],
)
def test_what_cannot_be_compared_is_refused(top, bottom, options, said):
    with pytest.raises(ParameterError, match=said):
        standardise(top, bottom, **options)


@pytest.mark.parametrize(
    ("lacking", "baseline", "heavy"),
    [
        (True, None, False),
        pytest.param(False, None, False, marks=pytest.mark.slow),
        pytest.param(True, 1, False, marks=pytest.mark.slow),
        pytest.param(True, None, True, marks=pytest.mark.slow),
    ],
)
def test_bounds_hold_the_truth(lacking, baseline, heavy):
    """2,000 shops of three channels and three age groups, by users; the baseline holds the channel, or is another.

    With a cell that the first channel lacks: in 97 % of shops and more it has the buyers that an interval needs.
    """
    rng = np.random.default_rng(1)
    groups, cells, buckets, shops = 3, 3, 256, 2_000
    audience = np.array([[0.7, 0.3, 0.0] if lacking else [0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.3, 0.4, 0.3]])
    rates = np.array([[0.03, 0.06, 0.12], [0.03, 0.07, 0.10], [0.04, 0.06, 0.12]]) * (4 if heavy else 1)
    people = np.array([[1_100 if lacking else 1_000], [3_000], [1_500]]) * audience * (3 if heavy else 1)
    weights = bucket_weights(buckets, 500, seed=3)
    truth = looped(people * rates, people, baseline)
    held, given = {name: np.zeros(groups) for name in ALL}, np.zeros(groups)
    for _ in range(shops):
        who = rng.choice(groups * cells, int(people.sum()), p=people.ravel() / people.sum())
        bought = (rng.random(who.size) < rates.ravel()[who]).astype(float)
        if heavy:
            bought *= rng.lognormal(-0.5, 1.0, who.size)
        at = rng.integers(0, buckets, who.size) * groups * cells + who
        top, bottom = (
            np.bincount(at, weight, buckets * groups * cells).reshape(buckets, groups, cells)
            for weight in (bought, None)
        )
        found = standardise(top, bottom, baseline=baseline, is_share=not heavy, weights=weights if heavy else None)
        has = ~np.isnan(found.gap.lower)
        given += has
        for name in ALL:
            true = np.array([one[name] for one in truth])
            interval = getattr(found, name)
            with np.errstate(invalid="ignore"):
                held[name] += has & (interval.lower <= true + 1e-12) & (true - 1e-12 <= interval.upper)
    assert (given / shops > 0.95).all(), given
    for name in ALL:
        moving = ~np.isclose(getattr(found, name).estimate, 0, atol=1e-12)
        share = (held[name] / given)[moving]
        assert (share >= LOWEST).all(), (name, share)
        if name != "crude":  # the logit of a rate with 40 buyers holds up to 97 %
            assert (share <= HIGHEST).all(), (name, share)
