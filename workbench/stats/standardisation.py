"""How would groups compare with the same audience, and how much of a gap does the audience explain?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from workbench.errors import ParameterError
from workbench.parameters import check_rate
from workbench.stats.intervals import MINIMUM_EFFECTIVE, Floats, Interval
from workbench.stats.resampling import MINIMUM_OWN, effective_by_bucket


@dataclass(frozen=True)
class StandardisedRates:
    """Rates of groups with a common audience, and each gap to the baseline in parts; one entry per group.

    ``mix`` + ``rate`` + ``unsupported`` is ``gap``, to rounding. Bounds are NaN where ``reason`` says why.

    Attributes
    ----------
    crude
        Numerator per denominator of the group as it is.
    adjusted
        The group's rates by cell, weighted with the baseline's audience over the cells that the group has.
    gap
        ``crude`` less the baseline's.
    mix
        Part of the gap explained by the measured audience; NaN without a common cell.
    rate
        Part that remains between users of the same cell; NaN without a common cell.
    unsupported
        Part of cells that one side lacks, which no comparison of like with like can explain.
    supported_share, baseline_supported_share
        Which part of the group's, of the baseline's audience lies in cells that both have, 0-1.
    mix_by_cell, rate_by_cell
        ``mix`` and ``rate`` by cell, shape (groups, cells); 0 in cells without a comparison.
    effective
        Effective users behind the numerator, estimated from the buckets.
    baseline_rate
        Numerator per denominator of the baseline.
    reason
        ``few_own_buyers``, ``few_other_buyers`` (of the group, below ``MINIMUM_OWN`` effective ones who buy, or who do
        not; for amounts below ``MINIMUM_EFFECTIVE`` who buy) or ``few_effective_buyers`` (of the baseline, below
        ``MINIMUM_EFFECTIVE``): no bounds at all;
        ``no_common_cell``: no bounds of what compares cells; else None. The baseline group itself has the parts 0 and
        ``is_baseline``.
    """

    crude: Interval
    adjusted: Interval
    gap: Interval
    mix: Interval
    rate: Interval
    unsupported: Interval
    supported_share: Floats
    baseline_supported_share: Floats
    mix_by_cell: Floats
    rate_by_cell: Floats
    effective: Floats
    baseline_rate: float
    reason: NDArray[np.object_]


@dataclass(frozen=True)
class _Parts:
    """What one group and one baseline give, for any leading axes of their sums (..., cells)."""

    crude: Floats
    adjusted: Floats
    gap: Floats
    mix: Floats
    rate: Floats
    unsupported: Floats
    supported: Floats
    baseline_supported: Floats
    mix_by_cell: Floats
    rate_by_cell: Floats


def standardise(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    baseline: int | None = None,
    confidence_level: float = 0.95,
    is_share: bool = True,
    weights: ArrayLike | None = None,
) -> StandardisedRates:
    """Is a group's rate its own, or its audience's?

    Parameters
    ----------
    numerators, denominators
        Sums by bucket of users, shape (buckets, groups, cells): buyers and users (or amounts and users) by channel and
        by cell of the audience, such as age group by device, as of acquisition; unknown is a cell of its own.
    baseline
        Number of the group to compare with; None: all groups together, the group itself among them.
    confidence_level
        Coverage wanted, strictly between 0 and 1.
    is_share
        True for rates between 0 and 1, whose own intervals are built on the logit scale and stay inside.
    weights
        Counts (replicates, buckets) from ``bucket_weights``, wanted for amounts, whose sums are skewed; None uses
        Student's t.

    Returns
    -------
    StandardisedRates

    Raises
    ------
    ParameterError
        Shapes that do not fit, a negative or missing denominator, a numerator in a cell without denominator, a baseline
        that is no group.

    Notes
    -----
    For group g and baseline b let S be the cells in which both have users, u the share of a side's users outside S, m
    the shares of cells among its users inside S, r the rates by cell, mean() that of both sides:

        mix = Σ_S (m_g - m_b) mean(r)          rate = Σ_S mean(m) (r_g - r_b)
        unsupported = u_g (r_g outside - r_g inside) - u_b (r_b outside - r_b inside)

    The first two are Kitagawa's with symmetric weights, so nobody's audience is preferred; exchanging the sides changes
    the signs only. With the same rates in all common cells, rate is 0; with the same shares of cells, mix is 0. By
    cell, mix is (m_g - m_b) (mean(r) - mean of the averages inside S).

    Intervals: delete-one-bucket jackknife of each number as a whole, with Student's t on the filled buckets of the
    group less 1; with ``weights``, with the critical value of a symmetric bootstrap-t in which each number moves as its
    jackknife says. The baseline is summed again without the bucket, so a group inside it is no comparison of
    independent samples. Which cells are common is decided again too: a cell that rests on one bucket makes the interval
    wide.

    Explained by the measured audience is not caused by it: cells not measured may differ as well. Many cells with a
    user or two each make the split a matter of luck; the intervals show it, fewer cells cure it.

    Measured at 95 %, 2,000 shops, 256 buckets, groups of 1,000 to 3,000 users with conversions of 3 % to 12 %, against
    all users or another group, with and without a cell that a group lacks: every part held the truth in 94.3-96.2 %,
    the group's own rates in 94.6-97.0 %. A group of 14 buyers had 92.8-94.1 % and so has no bounds. Amounts
    with a lognormal sigma of 1 and ``weights``: 92.7-96.3 % from 60 effective buyers on (Student's t: 91.8-93.9 %);
    with a sigma of 1.5, 89.7-93.8 % at 130 and 93.5-95.8 % at 290: where a few orders carry a cell, its rate is less
    sure than its bounds say.

    References
    ----------
    Kitagawa, E. M. (1955), doi:10.1080/01621459.1955.10501299. Ñopo, H. (2008), doi:10.1162/rest.90.2.290, for the
    cells that one side lacks. Efron, B. and Stein, C. (1981), doi:10.1214/aos/1176345462.

    Examples
    --------
    Two channels, young and old users. Both convert 10 % of the young and 30 % of the old; the first has more young.

    >>> users = np.array([[[300, 100], [100, 300]]] * 2)
    >>> found = standardise(users * [[[0.1, 0.3]]], users, baseline=1)
    >>> [one.estimate[0].round(3).item() for one in (found.crude, found.gap, found.mix, found.rate, found.adjusted)]
    [0.15, -0.1, -0.1, 0.0, 0.25]
    """
    check_rate("confidence_level", confidence_level)
    top, bottom = _checked(numerators, denominators, baseline)
    drawn = None if weights is None else np.asarray(weights, dtype=float)
    if drawn is not None and (drawn.ndim != 2 or drawn.shape[1] != len(top) or not len(drawn)):
        raise ParameterError(
            f"standardise: weights {drawn.shape} do not fit {len(top)} buckets; take them from bucket_weights."
        )
    groups, cells = top.shape[1:]
    base_top, base_bottom = (one.sum(axis=1) if baseline is None else one[:, baseline] for one in (top, bottom))
    names = ("crude", "adjusted", "gap", "mix", "rate", "unsupported")
    intervals = {name: np.full((3, groups), np.nan) for name in names}
    shares, by_cell = np.full((2, groups), np.nan), np.zeros((2, groups, cells))
    reason = np.full(groups, None, dtype=object)
    for group in range(groups):
        sums = (top[:, group], bottom[:, group], base_top, base_bottom)
        whole = _parts(*(one.sum(axis=0) for one in sums))
        left_out = _parts(*(one.sum(axis=0) - one for one in sums))
        own, base_own = (np.asarray(one.any(axis=1), dtype=bool) for one in (bottom[:, group], base_bottom))
        degrees = int(own.sum()) - 1
        reason[group] = "is_baseline" if group == baseline else _reason(sums, whole, is_share)
        shares[:, group] = whole.supported, whole.baseline_supported
        by_cell[:, group] = whole.mix_by_cell, whole.rate_by_cell
        for name in names:
            logit = is_share and name in ("crude", "adjusted")
            intervals[name][:, group] = _jackknife(
                getattr(whole, name),
                getattr(left_out, name),
                own | base_own,
                degrees if reason[group] in ("is_baseline", "no_common_cell", None) else 0,
                confidence_level,
                logit,
                drawn,
            )
    base = base_bottom.sum()
    return StandardisedRates(
        crude=Interval(*intervals["crude"]),
        adjusted=Interval(*intervals["adjusted"]),
        gap=Interval(*intervals["gap"]),
        mix=Interval(*intervals["mix"]),
        rate=Interval(*intervals["rate"]),
        unsupported=Interval(*intervals["unsupported"]),
        supported_share=shares[0],
        baseline_supported_share=shares[1],
        mix_by_cell=by_cell[0],
        rate_by_cell=by_cell[1],
        effective=effective_by_bucket(top.sum(axis=2)),
        baseline_rate=float(base_top.sum() / base) if base else float("nan"),
        reason=reason,
    )


def _checked(numerators: ArrayLike, denominators: ArrayLike, baseline: int | None) -> tuple[Floats, Floats]:
    top, bottom = (np.asarray(one, dtype=float) for one in (numerators, denominators))
    if top.ndim != 3 or top.shape != bottom.shape or not top.size:
        raise ParameterError(
            f"standardise: shapes {top.shape} and {bottom.shape}; wanted is (buckets, groups, cells) twice, none empty."
        )
    if not (np.isfinite(top).all() and np.isfinite(bottom).all() and (bottom >= 0).all()):
        raise ParameterError(
            "standardise: sums hold missing numbers or a negative denominator; sum over users, nulls as 0."
        )
    if (top[bottom == 0] != 0).any():
        raise ParameterError(
            "standardise: a bucket has a numerator where its denominator is 0; count every buyer among the users."
        )
    if baseline is not None and not 0 <= baseline < top.shape[1]:
        raise ParameterError(f"baseline is {baseline}; it is the number of a group, 0 to {top.shape[1] - 1}, or None.")
    return top, bottom


def _parts(top: Floats, bottom: Floats, base_top: Floats, base_bottom: Floats) -> _Parts:
    """All parts for sums of shape (..., cells); NaN where they do not exist."""
    common = (bottom > 0) & (base_bottom > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, share, rate, crude, supported = _side(top, bottom, common)
        base_inside, base_share, base_rate, base_crude, base_supported = _side(base_top, base_bottom, common)
        middle = ((inside + base_inside) / 2)[..., None]
        mix_by_cell = np.where(common, (share - base_share) * ((rate + base_rate) / 2 - middle), 0.0)
        rate_by_cell = np.where(common, (share + base_share) / 2 * (rate - base_rate), 0.0)
        adjusted = np.where(common, base_share * rate, 0.0).sum(axis=-1)
        has_common = common.any(axis=-1)
        gap = crude - base_crude
        mix, rest = (np.where(has_common, one, np.nan) for one in (mix_by_cell.sum(axis=-1), rate_by_cell.sum(axis=-1)))
        # r - r inside is u (r outside - r inside)
        unsupported = np.where(has_common, (crude - inside) - (base_crude - base_inside), gap)
        adjusted = np.where(has_common, adjusted, np.nan)
    return _Parts(crude, adjusted, gap, mix, rest, unsupported, supported, base_supported, mix_by_cell, rate_by_cell)


def _side(top: Floats, bottom: Floats, common: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Rate inside the common cells, shares and rates of cells there, rate of all, share of users inside."""
    users = np.where(common, bottom, 0.0)
    count, everyone = users.sum(axis=-1), bottom.sum(axis=-1)
    inside = np.where(common, top, 0.0).sum(axis=-1) / count
    return inside, users / count[..., None], top / bottom, top.sum(axis=-1) / everyone, count / everyone


def _reason(sums: tuple[Floats, Floats, Floats, Floats], whole: _Parts, is_share: bool) -> str | None:
    top, bottom, base_top, _ = (one.sum(axis=1) for one in sums)
    own, others, base = effective_by_bucket(np.column_stack([top, bottom - top, base_top]))
    if own < (MINIMUM_OWN if is_share else MINIMUM_EFFECTIVE):
        return "few_own_buyers"
    if is_share and others < MINIMUM_OWN:
        return "few_other_buyers"
    if base < MINIMUM_EFFECTIVE:
        return "few_effective_buyers"
    return "no_common_cell" if np.isnan(whole.mix) else None


def _jackknife(
    estimate: Floats,
    deleted: Floats,
    filled: NDArray[np.bool_],
    degrees: int,
    confidence_level: float,
    logit: bool,
    drawn: Floats | None,
) -> tuple[float, float, float]:
    """Estimate and bounds from the estimates without each bucket; no bounds where one of them does not exist."""
    point = float(estimate)
    values = deleted[filled]
    if degrees < 1 or np.isnan(point) or np.isnan(values).any():
        return point, np.nan, np.nan
    if logit and not (min(point, values.min()) > 0 and max(point, values.max()) < 1):
        return point, np.nan, np.nan
    middle, values = (np.log(one / (1 - one)) if logit else one for one in (np.asarray(point), values))
    count = len(values)
    error = np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum())
    if drawn is None or not error > 0:
        half = stats.t.ppf(0.5 + confidence_level / 2, degrees) * error
    else:
        half = _critical(values.mean() - values, drawn[:, filled], confidence_level) * error
    lower, upper = (1 / (1 + np.exp(-bound)) if logit else bound for bound in (middle - half, middle + half))
    return point, float(lower), float(upper)


def _critical(influence: Floats, drawn: Floats, confidence_level: float) -> float:
    """The quantile over replicates of |t|: t = Σ w e / √(Σ w e² - (Σ w e)² / Σ w), e the influence of a bucket."""
    moved, count = drawn @ influence, np.maximum(drawn.sum(axis=1), 1)
    square = drawn @ influence**2 - moved**2 / count
    statistic = np.divide(abs(moved), np.sqrt(np.maximum(square, 0)), out=np.full(len(moved), np.inf), where=square > 0)
    return float(np.quantile(statistic, confidence_level, method="higher"))
