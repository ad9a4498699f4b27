"""Which day, week or share is beyond what its own history explains? One dial for the false alarms of all together."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from workbench.errors import ParameterError
from workbench.parameters import check_choices, check_positive
from workbench.stats.intervals import Floats

Flags = NDArray[np.bool_]
Side = Literal["both", "rise", "fall"]
SILENT_WEEKS = 8
"""A series is silent for its first weeks: what is learned from less says little."""
LEAST_PERIODS = 6
"""A share is silent until so many earlier periods are known."""
LASTING_PERIODS = 4
"""An alarm is not learned from, but the fifth in a row is what has become usual."""
DAYS_PER_MONTH = 365.25 / 12
_HISTORY_WEEKS = 26  # of season and spread
_LEAST_SEASON = 3  # of the same weekday
_TAIL = 3.0  # beyond the largest score seen, tails fall like those of Student's t with so many degrees
_BLOCK = 4_000_000  # numbers at a time, so that memory does not grow with the series
_LEAST_SCORED = 4  # earlier periods with scores
_CLIP = 3.0  # so that single scores do not decide how much series move as one
_LIKELY = 0.1  # a p-value above this needs no second way
_STEP = 4096  # terms of a tail at a time
_UNUSUAL = 0.05  # whatever the dial, an alarm above this is learned from
_NORMAL = 1.4826  # standard deviation of a normal distribution by its median absolute deviation
_NORMAL_MEAN = 1.2533  # and by its mean absolute deviation


@dataclass(frozen=True)
class SeriesAlarms:
    """What was expected of each series in each period, and where the value is beyond it; shape (periods, series).

    Attributes
    ----------
    expected
        Level times season from earlier periods; NaN where there is no history for it.
    lower, upper
        The value is an alarm outside; 0 where a fall to nothing would be none. NaN where nothing is judged.
    score
        Deviation in robust standard deviations of the series' own earlier deviations.
    is_alarm
        Beyond the bounds.
    reason
        Why a value is not judged: ``short_history``, ``annotated``, ``missing``, ``too_sparse`` (expected is 0),
        ``no_variation``, ``history`` (before ``judge_last``); None where it is.
    """

    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats
    is_alarm: Flags
    reason: NDArray[np.object_]


@dataclass(frozen=True)
class ShareAlarms:
    """What was expected of each share in each period; shape (periods, shares).

    Attributes
    ----------
    share, expected
        Found, and the mean of the earlier periods, 0-1.
    p_value
        How rarely chance and the usual movement between periods go so far, in the direction asked for.
    is_alarm
        Rarer than the dial allows for each share.
    is_learned
        Later periods are judged by it: known, not annotated and no alarm.
    reason
        Why a share is not judged: ``short_history``, ``annotated``, ``no_users``, ``no_variation`` (always 0 or
        always 1); None where it is.
    """

    share: Floats
    expected: Floats
    p_value: Floats
    is_alarm: Flags
    is_learned: Flags
    reason: NDArray[np.object_]


def series_alarms(
    values: ArrayLike,
    *,
    period: Literal["day", "week"] = "day",
    false_alarms_per_month: float = 1.0,
    annotated: ArrayLike | None = None,
    judge_last: int | None = None,
) -> SeriesAlarms:
    """Which values are beyond what their own history explains?

    Parameters
    ----------
    values
        Shape (periods, series): consecutive days or weeks, the oldest first; counts or amounts of 0 or more, NaN where
        missing. Every value is judged by earlier ones only.
    period
        ``day`` (with a season over the week) or ``week``.
    false_alarms_per_month
        The dial: how many alarms a month quiet series may give on average, over all series together.
    annotated
        Shape (periods,) or (periods, series): True for periods that have an explanation, such as a campaign or an
        outage. They are neither judged nor learned from.
    judge_last
        Judge only so many periods at the end; None: all. What is said of them is the same.

    Returns
    -------
    SeriesAlarms

    Raises
    ------
    ParameterError
        Values that are negative, infinite or not of shape (periods, series); a dial that is not above 0; annotations of
        another shape.

    Notes
    -----
    1. Season: the weekday's values divided by the mean of the seven days around them, mean of the inner half of the
       last 26. Level: mean of the inner half of the last 28 days (8 weeks) without the season. Expected m: level times
       season. The inner half leaves out the outer quarters, so single days move it little.
    2. Deviation e = ln((x + m/2) / (1.5 m)): two thirds of the relative change where that is small, the same for series
       of any size, finite at 0, and less skewed than the logarithm where counts are small.
    3. Score: e divided by 1.4826 times the median absolute e of the last 26 weeks, which holds what goes on between
       periods and not only the chance of counts. (No less than half of the mean absolute e, for series of a few
       values.)
    4. Threshold for falls and for rises: the earlier scores of all series are sorted; it is the score that so many of
       them went beyond as the dial allows, dial / (2 × series judged × periods in a month) of them. Each past value is
       judged as it would have been on its day, so errors of level, season and spread are in it, and so is what one
       day has of the day before. While the history is too short for that, the tail beyond its largest score falls like
       Student's t with 3 degrees, and the threshold is no lower than a normal distribution's; "too short" counts the
       scores divided by √(how many series move as one).

    A week that is weak every day is seen better as one week than as seven days: ask for both ``day`` and ``week``, with
    half of the dial each.

    Misleads where the history holds alarms that nobody annotated: the threshold learns that they are usual. A lasting
    change alarms until the level has followed, after about two weeks. A shock that hits many series at once, and has no
    like in the history, gives many alarms in one day.

    Weeks are judged from the thirteenth on: four for the level, four for the spread, four whose scores are compared.

    Measured over 200 quiet shops and 180 days after the silent weeks, dial 1, series of 3 to 5,000 a day that move by
    14 % between days (heavy tails, correlation 0.5, a part that all share): 0.64 alarms a month for 1 series, 0.64 for
    6, 0.52 for 20; 0.52 with correlation 0.9, 0.21 where all move by 15 % together. With dial 0.2, 0.05. Weeks with
    dial 0.5: 0.32 for 1 series, 0.25 for 6, 0.10 for 20. A week of -30 % in all series after 40 weeks, half of the dial
    for days and half for weeks: something is found in 77 % of shops of 1 series, 94 % of 6, 90 % of 20.

    References
    ----------
    Rousseeuw, P. J. and Croux, C. (1993), doi:10.1080/01621459.1993.10476408. Vovk, V., Gammerman, A. and Shafer, G.
    (2005), doi:10.1007/b106715, for thresholds from ranks of earlier scores.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> visitors = rng.poisson(np.tile([900, 800, 800, 800, 900, 1200, 1300], 20)[:, None] * [1, 2])
    >>> visitors[-1, 1] = 1_500
    >>> found = series_alarms(visitors)
    >>> found.is_alarm[-1].tolist(), found.expected[-1, 1].round(-2).item(), found.reason[0, 0]
    ([False, True], 2600.0, 'short_history')
    """
    check_positive("false_alarms_per_month", false_alarms_per_month, "alarms a month")
    x, excluded = _checked(values, annotated)
    check_choices("period", [period], ("day", "week"))
    week = 7 if period == "day" else 1
    width = max(1, _BLOCK // (max(len(x), 1) * _HISTORY_WEEKS * week))
    blocks = [slice(start, start + width) for start in range(0, max(x.shape[1], 1), width)]
    parts = [_expected_and_scored(x[:, block], excluded[:, block], week) for block in blocks]
    expected, spread, score = (np.concatenate(one, axis=1) for one in zip(*parts))
    reason = np.full(x.shape, None, dtype=object)
    reason[spread == 0] = "no_variation"
    reason[expected == 0] = "too_sparse"
    started = np.cumsum(~np.isnan(x), axis=0) > 0
    age = np.cumsum(started, axis=0) - 1
    reason[(age < SILENT_WEEKS * week) | np.isnan(expected) | (np.isnan(spread) & (expected > 0))] = "short_history"
    reason[np.isnan(x)] = "missing"
    reason[excluded] = "annotated"
    if judge_last is not None:
        reason[: max(len(x) - judge_last, 0)] = "history"
    judged = _without(reason)
    rate = false_alarms_per_month / (DAYS_PER_MONTH * week / 7) / 2
    fall, rise = (one[:, None] for one in _thresholds(np.where(excluded, np.nan, score), rate, judged.sum(axis=1)))
    reason[judged & np.isinf(rise)] = "short_history"
    judged = _without(reason)
    with np.errstate(invalid="ignore", over="ignore"):
        lower, upper = (
            np.where(judged, np.maximum(expected * (1.5 * np.exp(bound * spread) - 0.5), 0.0), np.nan)
            for bound in (-fall, rise)
        )
        is_alarm = judged & ((score < -fall) | (score > rise))
    return SeriesAlarms(expected, lower, upper, score, is_alarm, reason)


def share_alarms(
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    periods_per_month: float,
    false_alarms_per_month: float = 1.0,
    side: Side = "both",
    annotated: ArrayLike | None = None,
    least_periods: int = LEAST_PERIODS,
) -> ShareAlarms:
    """Which share of users, such as those who leave a group, is beyond its own history?

    Parameters
    ----------
    successes, trials
        Counts, shape (periods, shares), the oldest period first; every period is judged by earlier ones only.
    periods_per_month
        How many periods a month has: 30.44 / days of a period.
    false_alarms_per_month
        The dial: how many alarms a month quiet shares may give on average, over all shares together.
    side
        ``rise``, ``fall`` or ``both``.
    annotated
        As in ``series_alarms``.
    least_periods
        Earlier periods that a share needs, at least 3.

    Returns
    -------
    ShareAlarms

    Raises
    ------
    ParameterError
        Counts that are missing, negative or above the trials, shapes that differ, an unknown side, a dial or a number
        of periods out of range.

    Notes
    -----
    Beta-binomial: besides chance, the share itself moves between periods, with intra-class correlation c. From the k
    earlier periods, with weights w = n / (1 + (n - 1) c), the mean p and c by moments (Kleinman), c 0 at least. The
    deviation of the new share's log odds, times p (1 - p), is divided by the square root of p (1 - p) ((1 + (n - 1) c)
    / n + 1 / Σ w) and compared with Student's t with k - 2 degrees: one less than if p were all that is learned. The
    p-value is that or, where that is small, the tail of the beta-binomial (binomial for c = 0) distribution, whichever
    is larger. An alarm is a p-value below dial / (shares judged × periods_per_month), and below the one that so many
    of the earlier p-values of all shares were below as the dial allows: if shares drift, or their movements have
    heavier tails than assumed, the history shows it.

    A period that rang is left out of the mean and the movement that later ones are compared with, its p-value is not: of
    two waves of +40 % in one of 20 shares, six weeks apart, the first rings in 52 % of shops and the second in 60 %,
    where it would in 42 %; quiet shops ring 0.49 times a month where it would be 0.45, dial 1. (Without the p-values of
    alarms too, shares that drift ring 3.5 times a month.) A share that stays where it went is learned from after four
    alarms in a row.

    With many users a plain binomial test calls every movement an alarm.

    References
    ----------
    Kleinman, J. C. (1973), doi:10.1080/01621459.1973.10481332.

    Examples
    --------
    >>> left = [[100], [104], [97], [99], [103], [98], [102], [140]]
    >>> share_alarms(left, [[1_000]] * 8, periods_per_month=1.0, false_alarms_per_month=0.1).is_alarm[-1].item()
    True
    """
    check_positive("false_alarms_per_month", false_alarms_per_month, "alarms a month")
    check_positive("periods_per_month", periods_per_month, "periods a month")
    check_choices("side", [side], ("both", "rise", "fall"))
    if least_periods < 3:
        raise ParameterError(f"least_periods is {least_periods}; a share needs 3 earlier periods at least.")
    (hits, excluded), (users, _) = _checked(successes, annotated), _checked(trials, annotated)
    if hits.shape != users.shape or np.isnan(hits).any() or np.isnan(users).any() or (hits > users).any():
        raise ParameterError(
            f"share_alarms: successes {hits.shape} and trials {users.shape} are counts of one shape, none missing, "
            "and no success without a trial."
        )
    learned = ~excluded & (users > 0)
    share = np.divide(hits, users, out=np.full(hits.shape, np.nan), where=users > 0)
    expected, p_value = np.full(hits.shape, np.nan), np.full(hits.shape, np.nan)
    reason = np.full(hits.shape, None, dtype=object)
    is_alarm, in_a_row = np.zeros(hits.shape, dtype=bool), np.zeros(hits.shape[1], dtype=int)
    for now in range(len(hits)):
        for one in range(hits.shape[1]):
            past = learned[:now, one]
            reason[now, one] = _share_reason(hits[:now, one][past], users[:now, one][past], least_periods)
            if users[now, one] == 0:
                reason[now, one] = "no_users"
            if excluded[now, one]:
                reason[now, one] = "annotated"
            if reason[now, one] is None:
                expected[now, one], p_value[now, one] = _share_p_value(
                    hits[:now, one][past], users[:now, one][past], hits[now, one], users[now, one], side
                )
        judged = ~np.isnan(p_value[now])
        if judged.any():
            limit = _share_limit(p_value[:now], false_alarms_per_month / (periods_per_month * judged.sum()))
            is_alarm[now, judged] = p_value[now, judged] < limit
        in_a_row = np.where(is_alarm[now], in_a_row + 1, 0)
        learned[now] &= ~(is_alarm[now] & (p_value[now] < _UNUSUAL)) | (in_a_row > LASTING_PERIODS)
    return ShareAlarms(share, expected, p_value, is_alarm, learned, reason)


def _share_limit(earlier: Floats, limit: float) -> float:
    """What a p-value has to be below: the limit, or the earlier p-value that so many were below as it allows."""
    pool = np.sort(earlier[~np.isnan(earlier)])
    place = min(int(limit * (pool.size + 1)), pool.size)
    return min(limit, pool[place - 1]) if place else limit


def _checked(values: ArrayLike, annotated: ArrayLike | None) -> tuple[Floats, Flags]:
    x = np.asarray(values, dtype=float)
    if x.ndim != 2 or (x < 0).any() or np.isinf(x).any():
        raise ParameterError(
            f"alarms: values of shape {x.shape}; wanted is (periods, series) of finite numbers of 0 or more, NaN "
            "where missing."
        )
    flags = np.zeros(x.shape, dtype=bool) if annotated is None else np.asarray(annotated, dtype=bool)
    flags = flags[:, None] if flags.ndim == 1 else flags
    if flags.ndim != 2 or flags.shape[0] != x.shape[0] or flags.shape[1] not in (1, x.shape[1]):
        raise ParameterError(
            f"annotated has shape {flags.shape}; wanted is one flag per period (and series) of {x.shape}."
        )
    return x, np.broadcast_to(flags, x.shape)


def _expected_and_scored(x: Floats, excluded: Flags, week: int) -> tuple[Floats, Floats, Floats]:
    """Steps 1 to 3: expected values, spread of the deviations, scores."""
    history = np.where(excluded, np.nan, x)
    lately = _inner_mean(_earlier(history, np.arange(1, max(4 * week, SILENT_WEEKS) + 1)), 2 * week)
    expected = np.where(lately == 0, 0.0, _expected(history, week))
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.where(expected > 0, np.log((x + expected / 2) / (1.5 * expected)), np.nan)
        spread = _spread(np.where(excluded, np.nan, deviation), _HISTORY_WEEKS * week, 2 * week + 2)
        return expected, spread, np.where(spread > 0, deviation / spread, np.nan)


def _expected(history: Floats, week: int) -> Floats:
    """Level times season of each period, from earlier periods only."""
    if week == 1:
        return _inner_mean(_earlier(history, np.arange(1, SILENT_WEEKS + 1)), 4)
    around = _earlier(history, np.arange(-3, 4))
    counted = (~np.isnan(around)).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.where(counted >= 5, np.nansum(around, axis=2) / counted, np.nan)
        ratio = np.where(middle > 0, history / middle, np.nan)
        season = _inner_mean(_earlier(ratio, week * np.arange(1, _HISTORY_WEEKS + 1)), _LEAST_SEASON)
        lags = np.arange(1, 4 * week + 1)
        plain = _earlier(history, lags) / _earlier(season, lags % week)
    return _inner_mean(np.where(np.isfinite(plain), plain, np.nan), 2 * week) * season


def _spread(deviation: Floats, window: int, least: int) -> Floats:
    """Robust standard deviation around 0 of the earlier deviations."""
    size = _earlier(abs(deviation), np.arange(1, window + 1))
    count = (~np.isnan(size)).sum(axis=2)
    size.sort(axis=2)
    at = np.maximum(count - 1, 0)
    middle = sum(np.take_along_axis(size, place[..., None], axis=2)[..., 0] for place in (at // 2, (at + 1) // 2)) / 2
    mean = np.nansum(size, axis=2) / np.maximum(count, 1)
    return np.where(count >= least, np.maximum(_NORMAL * middle, _NORMAL_MEAN * mean / 2), np.nan)


def _thresholds(score: Floats, rate: float, judged: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """For each period the scores of a fall and of a rise that at most ``rate`` values a period went beyond before.

    The rate is over all series together, for each direction; infinite where too few periods have scores.
    """
    found = np.full((2, len(score)), np.inf)
    for now in np.flatnonzero(judged):
        before = score[:now]
        known = ~np.isnan(before)
        if known.any(axis=1).sum() < _LEAST_SCORED:
            continue
        pool = before[known]
        share = rate / judged[now]
        place = int(share * (pool.size + 1))
        allowed = share * (pool.size / _alike(before, known) ** 0.5 + 1)
        for row, sign in enumerate((-1, 1)):
            if allowed >= 1:
                found[row, now] = max(np.partition(sign * pool, pool.size - place)[pool.size - place], 0.0)
            else:
                found[row, now] = max((sign * pool).max() * (1 / allowed) ** (1 / _TAIL), -special.ndtri(share))
    return found[0], found[1]


def _alike(score: Floats, known: Flags) -> float:
    """How many series move as one: 1 when each goes its own way, up to their number when all go together."""
    count = known.sum(axis=1)
    limited = np.where(known, np.clip(score, -_CLIP, _CLIP), 0.0)
    together = (limited.sum(axis=1) ** 2).sum()
    return float(np.clip(together / max((limited**2).sum(), 1e-300), 1.0, count.max()))


def _earlier(values: Floats, lags: NDArray[np.intp]) -> Floats:
    """Values so many periods before, shape (periods, series, lags); NaN before the first and after the last."""
    at = np.arange(len(values))[:, None] - lags
    outside = (at < 0) | (at >= len(values))
    found = values[np.where(outside, 0, at)]
    found[outside] = np.nan
    return np.ascontiguousarray(found.transpose(0, 2, 1))


def _inner_mean(values: Floats, least: int) -> Floats:
    """Mean of the inner half over the last axis, NaN passed over; NaN for fewer than ``least``. Sorts in place."""
    values.sort(axis=2)
    count = (~np.isnan(values)).sum(axis=2)
    cut = (count // 4)[..., None]
    place = np.arange(values.shape[2])
    inside = (place >= cut) & (place < count[..., None] - cut)
    total = np.where(inside, values, 0.0).sum(axis=2)
    return np.where(count >= least, total / np.maximum(inside.sum(axis=2), 1), np.nan)


def _without(reason: NDArray[np.object_]) -> Flags:
    return np.array([one is None for one in reason.ravel()], dtype=bool).reshape(reason.shape)


def _share_reason(hits: Floats, users: Floats, least: int) -> str | None:
    if len(hits) < least:
        return "short_history"
    return "no_variation" if hits.sum() in (0, users.sum()) else None


def _share_p_value(hits: Floats, users: Floats, now: float, count: float, side: Side) -> tuple[float, float]:
    share, periods = hits / users, len(hits)
    correlation = 0.0
    for _ in range(3):
        weight = users / (1 + (users - 1) * correlation)
        mean = (weight * share).sum() / weight.sum()
        part = weight / weight.sum()
        spare = part * (1 - part)
        squares = (part * (share - mean) ** 2).sum() / (mean * (1 - mean))
        room = (spare * (1 - 1 / users)).sum()
        correlation = min(max((squares - (spare / users).sum()) / room, 0.0), 1 - 1e-9) if room > 0 else 0.0
    weight = users / (1 + (users - 1) * correlation)
    mean = (weight * share).sum() / weight.sum()
    variance = mean * (1 - mean) * ((1 + (count - 1) * correlation) / count + 1 / weight.sum())
    odds = np.log((now + 0.5) / (count - now + 0.5)) - np.log(mean / (1 - mean))
    statistic = odds * mean * (1 - mean) / np.sqrt(variance)
    rise, fall = (float(special.stdtr(periods - 2, one)) for one in (-statistic, statistic))
    if min(rise, fall) < _LIKELY:
        rise, fall = (max(pair) for pair in zip((rise, fall), _tails(count, now, mean, correlation), strict=True))
    return mean, float({"rise": rise, "fall": fall, "both": min(2 * min(rise, fall), 1.0)}[side])


def _tails(count: float, now: float, mean: float, correlation: float) -> tuple[float, float]:
    """Chances of so many successes or more, and of so many or fewer: beta-binomial, without correlation binomial."""
    if correlation <= 1e-9:
        above = special.bdtrc(now - 1, int(count), mean) if now > 0 else 1.0
        return float(above), float(special.bdtr(now, int(count), mean))
    alpha, beta = (one * (1 / correlation - 1) for one in (mean, 1 - mean))
    here = _beta_binomial(count, now, alpha, beta)
    if now >= count * mean:
        above = _tail(here, count, now, alpha, beta)
        return above, 1 - above + here
    below = _tail(here, count, count - now, beta, alpha)
    return 1 - below + here, below


def _beta_binomial(count: float, now: float, alpha: float, beta: float) -> float:
    """Chance of exactly so many successes."""
    ways = special.gammaln(count + 1) - special.gammaln(now + 1) - special.gammaln(count - now + 1)
    return float(np.exp(ways + special.betaln(now + alpha, count - now + beta) - special.betaln(alpha, beta)))


def _tail(here: float, count: float, now: float, alpha: float, beta: float) -> float:
    """Chance of so many successes or more, from that of exactly so many: each next one follows by its ratio to the last."""
    total, last = here, here
    for first in range(int(now), int(count), _STEP):
        at = np.arange(first, min(first + _STEP, int(count)), dtype=float)
        terms = last * np.cumprod((count - at) / (at + 1) * (at + alpha) / (count - at - 1 + beta))
        total, last = total + terms.sum(), terms[-1]
        if last < 1e-17 * total:
            break
    return float(total)
