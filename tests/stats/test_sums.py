"""Sums over units: moments by a second way, merging of small cells, what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from workbench.errors import ParameterError
from workbench.stats.sums import Sums, merge_small_cells, sums_of


def test_moments_of_each_cell_equal_numpy():
    rng = np.random.default_rng(1)
    y, x, cell = rng.poisson(1, 500).astype(float), rng.normal(3, 2, 500), rng.integers(0, 3, 500)
    found = sums_of(y, x, cell)
    for number in range(3):
        mine = cell == number
        table = np.cov(x[mine], y[mine])
        assert found.mean_y[number] == pytest.approx(y[mine].mean(), abs=1e-12)
        assert found.mean_x[number] == pytest.approx(x[mine].mean(), abs=1e-12)
        assert found.variance_y[number] == pytest.approx(table[1, 1], abs=1e-10)
        assert found.variance_x[number] == pytest.approx(table[0, 0], abs=1e-10)
        assert found.covariance[number] == pytest.approx(table[0, 1], abs=1e-10)
    assert_allclose(found.total().variance_y, np.var(y, ddof=1), atol=1e-10)
    assert_allclose((found[0] + found[1] + found[2]).xy, (x * y).sum())


def test_the_same_amount_for_all_does_not_vary_by_rounding():
    assert sums_of(np.full(1_000, 0.1)).variance_y.item() == 0.0


def test_no_units_have_no_mean_and_one_has_no_variance():
    found = sums_of([5.0], cell=[1], cells=3)
    assert_array_equal(found.count, [0, 1, 0])
    assert_array_equal(np.isnan(found.mean_y), [True, False, True])
    assert np.isnan(found.variance_y).all()


def test_grouping_adds_cells_and_leaves_the_sums_alone():
    found = sums_of([1.0, 2.0, 4.0], cell=[0, 1, 2])
    merged = found.grouped(np.array([0, 1, 0]))
    assert_array_equal(merged.y, [5.0, 2.0])
    assert_array_equal(merged.yy, [17.0, 4.0])
    assert_array_equal(found.y, [1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("treatment", "control", "groups"),
    [
        ([100, 100], [100, 100], [0, 1]),  # nothing is small
        ([100, 5, 3, 40], [90, 30, 2, 60], [0, 1, 1, 1]),  # 8 and 32: still small, so the smallest other joins
        ([100, 15, 15, 40], [90, 15, 15, 60], [0, 1, 1, 2]),  # 30 and 30 are enough among themselves
        ([100, 0, 50], [100, 0, 50], [0, 1, 1]),  # an empty cell
        ([3, 4], [5, 6], [0, 0]),  # nothing helps: one group
        ([30, 19], [30, 400], [0, 0]),  # too few in one arm only
        ([], [], []),
    ],
)
def test_small_cells_are_merged(treatment, control, groups):
    assert merge_small_cells(treatment, control).tolist() == groups


def test_what_is_no_sum_is_refused():
    with pytest.raises(ParameterError, match="y, yy, xy hold what is no finite number"):
        sums_of([1.0, np.nan], [0.0, 0.0], [0, 0])
    with pytest.raises(ParameterError, match="count holds a negative number"):
        Sums(*(np.array([-1.0]) for _ in range(6)))
    with pytest.raises(ParameterError, match="one number per cell"):
        Sums(np.ones(2), *(np.ones(1) for _ in range(5)))
