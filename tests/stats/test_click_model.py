"""Place and content told apart: by hand, against a Poisson regression, and by simulation."""

import numpy as np
import pytest
import statsmodels.api as sm

from workbench.errors import ParameterError
from workbench.stats import click_model
from workbench.stats.click_model import fit_click_model

BUCKETS = 64
SHOPS = 700


def fitted(rows, exposures=100, **options):
    """Fit rows of (slot, content, week, clicks); the clicks are spread over four buckets."""
    slot, content, week, clicks = (np.repeat(np.array(one), 4) for one in zip(*rows, strict=True))
    bucket = np.tile(np.arange(4), len(rows))
    counts = {"slot_count": slot.max() + 1, "content_count": content.max() + 1}
    return fit_click_model(
        slot, content, week, bucket, np.full(len(slot), exposures / 4), clicks / 4, **counts, **options
    )


def random_design(rng, slots=5, contents=8, weeks=4, share=0.35, exposures=400):
    """Cells that are there by chance, with clicks by 64 buckets of users."""
    theta, alpha = np.exp(rng.normal(-2, 0.4, slots)), np.exp(rng.normal(0, 0.4, contents))
    cells = np.argwhere(rng.random((slots, contents, weeks)) < share)
    cells, bucket = np.repeat(cells, BUCKETS, axis=0), np.tile(np.arange(BUCKETS), len(cells))
    seen = rng.poisson(exposures / BUCKETS, len(cells))
    clicks = rng.poisson(seen * theta[cells[:, 0]] * alpha[cells[:, 1]])
    return (*cells.T, bucket, seen, clicks), {"slot_count": slots, "content_count": contents}


def indicators(*codes):
    return np.hstack([np.eye(code.max() + 1)[code] for code in codes])


def test_a_content_in_a_good_place_loses_its_lead():
    """Slot 0 is clicked at 20 %, slot 1 at 10 %, by average contents; content 1 is twice as good as 0.

    Content 0 has 300 exposures in slot 0 and 100 in slot 1, content 1 the other way round. Raw rates: content 0
    (300 x 2/3 x 20 % + 100 x 2/3 x 10 %) / 400 = 11.67 %, content 1 (100 x 4/3 x 20 % + 300 x 4/3 x 10 %) / 400 =
    16.67 %: a ratio of 1.43 where the truth is 2.
    """
    slot, content = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    exposures = np.array([300, 100, 100, 300])
    clicks = exposures * np.array([0.2, 0.1])[slot] * np.array([2 / 3, 4 / 3])[content]
    found = fit_click_model(slot, content, 0 * slot, slot, exposures, clicks, slot_count=2, content_count=2)
    assert found.appeal.estimate == pytest.approx([2 / 3, 4 / 3])
    assert found.slot_average_rate == pytest.approx([0.2, 0.1])
    assert found.slot_effect.estimate == pytest.approx([4 / 3, 2 / 3])  # 0.15 on average
    # 300 x 20 % + 100 x 10 % = 70 clicks for an average content in the places of content 0, 50 in those of 1
    assert found.expected_clicks == pytest.approx([70, 50])
    assert found.content_component.tolist() == ["1", "1"]
    assert found.is_separable.all()


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_a_poisson_regression_on_indicators(seed):
    """Fitted clicks of a content at average appeal, and the ratio of appeals, from statsmodels' IRLS."""
    (slot, content, week, bucket, seen, clicks), counts = random_design(np.random.default_rng(seed))
    found = fit_click_model(slot, content, week, bucket, seen, clicks, **counts)
    cells, row = np.unique(np.stack([slot, content, week]), axis=1, return_inverse=True)
    design, total, offset = (
        np.delete(indicators(*cells), [5, 13], axis=1),
        np.bincount(row, clicks),
        np.log(np.bincount(row, seen)),
    )
    regression = sm.GLM(total, design, family=sm.families.Poisson(), offset=offset).fit(tol=1e-14, maxiter=200)
    alpha = np.exp(np.r_[0, regression.params[5:12]])
    exposures = np.bincount(content, seen)
    assert set(found.content_component) == {"1"}
    assert found.appeal.estimate == pytest.approx(alpha / np.average(alpha, weights=exposures), rel=1e-8)
    theta = np.exp(regression.params[:5])
    assert found.slot_effect.estimate == pytest.approx(
        theta / np.average(theta, weights=np.bincount(slot, seen)), rel=1e-8
    )
    assert found.appeal.estimate == pytest.approx(np.bincount(content, clicks) / found.expected_clicks, rel=1e-9)
    assert np.average(found.appeal.estimate, weights=exposures) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(40))
def test_freedom_is_the_null_space_of_the_indicators(seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, [5, 6, 4], (rng.integers(6, 18), 3))
    slot, content, week = (np.unique(one, return_inverse=True)[1] for one in cells.T)
    design = indicators(slot, content, week)
    free = np.vstack(click_model._freedom(slot, content, week))
    assert free.shape[1] == design.shape[1] - np.linalg.matrix_rank(design)
    assert np.linalg.matrix_rank(free) == free.shape[1]
    assert np.abs(design @ free).max() < 1e-9


def test_shuffled_and_renamed_rows_and_a_second_component_change_nothing():
    rng = np.random.default_rng(3)
    (slot, content, week, bucket, seen, clicks), _ = random_design(rng)
    counts = {"slot_count": 10, "content_count": 16}
    once = fit_click_model(slot, content, week, bucket, seen, clicks, **counts)
    order, names = rng.permutation(len(slot)), rng.permutation(8)
    again = fit_click_model(
        *(np.concatenate([one[order], one + more]) for one, more in ((slot, 5), (names[content], 8), (week, 0))),
        *(np.concatenate([one[order], one]) for one in (bucket, seen, clicks)),
        **counts,
    )
    for name in ("estimate", "lower", "upper"):
        expected = getattr(once.appeal, name)[:8]
        assert getattr(again.appeal, name)[names] == pytest.approx(expected, rel=1e-8)
        assert np.sort(getattr(again.appeal, name)[8:]) == pytest.approx(np.sort(expected), rel=1e-8)
    assert sorted(set(again.content_component)) == ["1", "2"]


def test_intervals_are_those_of_fits_without_each_bucket():
    (slot, content, week, bucket, seen, clicks), counts = random_design(np.random.default_rng(8))
    found = fit_click_model(slot, content, week, bucket, seen, clicks, **counts)
    logs = []
    for left_out in range(BUCKETS):
        one = fit_click_model(
            *(column[bucket != left_out] for column in (slot, content, week, bucket, seen, clicks)), **counts
        )
        # the same weights throughout: the exposures of all buckets
        logs.append(np.log(one.appeal.estimate / np.average(one.appeal.estimate, weights=np.bincount(content, seen))))
    logs = np.array(logs)
    error = np.sqrt(63 / 64 * ((logs - logs.mean(axis=0)) ** 2).sum(axis=0))
    assert np.log(found.appeal.upper / found.appeal.estimate) == pytest.approx(1.998341 * error, rel=1e-6)  # t(63)
    assert found.appeal.lower * found.appeal.upper == pytest.approx(found.appeal.estimate**2)


def test_contents_of_a_single_slot_are_comparable_and_the_place_is_not():
    found = fitted([(0, 0, 0, 10), (0, 1, 0, 30), (1, 2, 0, 50)])
    assert found.appeal.estimate[:2] == pytest.approx([0.5, 1.5])
    assert np.isnan(found.appeal.estimate[2])
    assert found.content_reason.tolist() == ["one_slot", "one_slot", "only_content"]
    assert not found.is_separable.any()
    assert found.slot_reason.tolist() == ["one_slot", "one_slot"]
    assert np.isnan(found.slot_effect.estimate).all()
    assert found.tests == ()


def test_one_content_a_week_cannot_be_told_from_the_week():
    found = fitted([(0, 0, 0, 10), (0, 1, 1, 30)])
    assert found.content_reason.tolist() == ["weeks_confounded"] * 2
    assert found.content_component.tolist() == ["1.1", "1.2"]
    assert np.isnan(found.appeal.estimate).all()
    assert found.confounded_weeks == 1
    # a content that stays through both weeks tells: week 1 is twice as good, so content 1 is 1.5 times content 0
    found = fitted([(0, 0, 0, 10), (0, 1, 1, 30), (0, 2, 0, 10), (0, 2, 1, 20)])
    assert found.confounded_weeks == 0
    assert found.appeal.estimate[1] / found.appeal.estimate[0] == pytest.approx(1.5)


def test_slots_of_different_weeks_are_not_compared_though_their_contents_are():
    found = fitted([(0, 0, 0, 10), (0, 1, 0, 20), (1, 0, 1, 30), (1, 1, 1, 60)])
    assert found.appeal.estimate == pytest.approx([2 / 3, 4 / 3])
    assert found.content_reason.tolist() == [None, None]
    assert found.slot_component.tolist() == ["1.1", "1.2"]
    assert found.slot_reason.tolist() == ["weeks_confounded"] * 2
    assert found.tests == ()


def test_contents_without_clicks_have_no_appeal_but_count_as_exposures():
    found = fitted([(0, 0, 0, 20), (0, 1, 0, 0), (1, 0, 0, 10), (1, 1, 0, 0), (2, 2, 0, 0)])
    assert found.appeal.estimate[:2] == pytest.approx([2, 0])  # 1 on average over exposures
    assert found.expected_clicks[:2] == pytest.approx([15, 15])
    assert found.content_reason.tolist() == [None, "no_clicks", "no_clicks"]
    assert np.isnan(found.appeal.estimate[2])  # no click in its slot at all: nothing to compare with
    assert np.isnan(found.appeal.lower).all()


def test_a_divide_without_clicks_across_it_parts_the_component():
    """Slot 0 shows contents 0 and 1, slot 1 content 1 alone; nobody clicked content 1 in slot 0.

    The likelihood grows for ever as theta 0 falls against theta 1 and alpha 0 rises against alpha 1.
    """
    found = fitted([(0, 0, 0, 10), (0, 1, 0, 0), (1, 1, 0, 10)])
    assert found.content_component.tolist() == ["1", "2"]
    assert found.content_reason.tolist() == ["only_content", "only_content"]
    # one click across the divide, and they are comparable: content 1 has 1 of 11 clicks in slot 0
    found = fitted([(0, 0, 0, 10), (0, 1, 0, 1), (1, 1, 0, 10)])
    assert found.appeal.estimate[0] / found.appeal.estimate[1] == pytest.approx(10)


def test_sparse_counts_always_come_to_an_end():
    """With a few clicks the maximum often lies at infinity; what remains still satisfies the score equations."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        (slot, content, week, bucket, seen, clicks), counts = random_design(rng, share=0.4, exposures=12)
        found = fit_click_model(slot, content, week, bucket, seen, clicks, **counts)
        some = np.isfinite(found.appeal.estimate)
        assert found.appeal.estimate[some] * found.expected_clicks[some] == pytest.approx(
            np.bincount(content, clicks * (seen > 0), minlength=8)[some], abs=1e-6
        )
        assert (found.appeal.estimate[some] < 1e4).all()


def clicks_of_users(rng, theta, alpha, users=1_000, mean=6.0):
    """Sums by bucket of users who differ much in how often they come and how readily they click."""
    slots, contents = len(theta), len(alpha)
    often, ready = rng.gamma(0.7, 1 / 0.7, users), rng.gamma(1.0, 1.0, users)
    cell = np.arange(slots * contents)
    # good contents stand in good places: raw rates mislead
    plan = np.exp(2.5 * np.outer(np.argsort(np.argsort(theta)), np.argsort(np.argsort(alpha))) / (slots * contents))
    seen = rng.poisson(often[:, None] * mean * (plan / plan.mean()).ravel() / 4)
    rate = np.outer(theta, alpha).ravel()
    clicks = rng.binomial(seen, np.minimum(ready[:, None] * rate, 1))
    bucket = rng.integers(0, BUCKETS, users)
    sums = [np.zeros((BUCKETS, len(cell))) for _ in range(2)]
    for total, one in zip(sums, (seen, clicks), strict=True):
        np.add.at(total, bucket, one)
    rows = np.tile(cell, BUCKETS)
    arrays = (rows // contents, rows % contents, 0 * rows, np.repeat(np.arange(BUCKETS), len(cell)))
    return (*arrays, sums[0].ravel(), sums[1].ravel()), {"slot_count": slots, "content_count": contents}


def test_coverage_of_appeal_and_of_places():
    """Of 2,100 intervals between 93.4 and 96.6 % contain the truth, while raw rates overstate the good content."""
    theta, alpha = np.array([0.03, 0.06, 0.12]), np.array([0.6, 1.0, 1.7])
    rng = np.random.default_rng(20)
    inside, inside_slot, raw = [], [], []
    for _ in range(SHOPS):
        (slot, content, week, bucket, seen, clicks), counts = clicks_of_users(rng, theta, alpha, users=500)
        found = fit_click_model(slot, content, week, bucket, seen, clicks, **counts)
        truth = alpha / np.average(alpha, weights=np.bincount(content, seen))
        inside.append((found.appeal.lower <= truth) & (truth <= found.appeal.upper))
        place = theta / np.average(theta, weights=np.bincount(slot, seen))
        inside_slot.append((found.slot_effect.lower <= place) & (place <= found.slot_effect.upper))
        rate = np.bincount(content, clicks) / np.bincount(content, seen)
        raw.append(rate[2] / rate[0])
    coverage = [np.mean(inside), np.mean(inside_slot)]
    assert np.min(coverage) >= 0.934
    assert np.max(coverage) <= 0.966
    assert np.median(raw) > 1.15 * alpha[2] / alpha[0]


def test_equal_places_are_called_different_in_five_of_a_hundred():
    """At most 21 of 200 (99.9 % bound of a 5 % test); places that differ by a half are found."""
    rng = np.random.default_rng(4)
    alpha = np.array([0.6, 1.0, 1.4, 0.8])

    def p_value(theta):
        rows, counts = clicks_of_users(rng, np.array(theta), alpha)
        return fit_click_model(*rows, **counts).tests[0].p_value

    equal = np.array([p_value([0.08] * 6) for _ in range(200)])
    assert (equal < 0.05).sum() <= 21
    assert (equal < 0.5).sum() >= 70  # and it is not idle: half of the p values lie below a half
    assert sum(p_value([0.08] * 5 + [0.12]) < 0.05 for _ in range(20)) >= 18


def test_users_who_click_in_one_place_alone_do_not_make_a_position_effect():
    """One user of 2,000 clicks a slot 60 times; a test that counts clicks sees an effect, one of users does not."""
    rng = np.random.default_rng(6)
    rows, counts = clicks_of_users(rng, np.array([0.05] * 3), np.ones(3))
    slot, content, week, bucket, seen, clicks = rows
    clicks = clicks + 60 * ((slot == 0) & (content == 0) & (bucket == 7))
    seen = seen + 80 * ((slot == 0) & (content == 0) & (bucket == 7))
    assert fit_click_model(slot, content, week, bucket, seen, clicks, **counts).tests[0].p_value > 0.05


def test_nothing_at_all():
    none = np.zeros(0)
    found = fit_click_model(none, none, none, none, none, none, slot_count=0, content_count=0)
    assert len(found.appeal.estimate) == 0
    found = fitted([(0, 0, 0, 0), (0, 1, 0, 0)])
    assert found.content_reason.tolist() == ["no_clicks"] * 2
    assert np.isnan(found.appeal.estimate).all()


def test_clicks_without_exposures_are_left_out_and_counted():
    found = fit_click_model(
        [0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 1, 2], [10, 10, 0], [2, 4, 3], slot_count=1, content_count=2
    )
    assert found.clicks_left_out == 3
    assert found.appeal.estimate == pytest.approx([2 / 3, 4 / 3])


def test_bad_input():
    with pytest.raises(ParameterError, match="strictly between 0 and 1"):
        fitted([(0, 0, 0, 1)], confidence_level=1.0)
    with pytest.raises(ParameterError, match="differ in length"):
        fit_click_model([0], [0, 1], [0], [0], [1], [1], slot_count=1, content_count=2)
    with pytest.raises(ParameterError, match="negative or missing"):
        fit_click_model([0], [0], [0], [0], [-1], [1], slot_count=1, content_count=1)
