"""How much of a click is owed to the place and how much to what is shown there? The position-based click model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, sparse, stats
from scipy.sparse import csgraph

from workbench.errors import ParameterError
from workbench.stats.intervals import Floats, Interval

Ints = NDArray[np.int64]
Matrix = Any  # dense where small, else sparse: both know @, * and .T
_CONVERGED = 1e-10
_MOST_STEPS = 200
_SMALL = 50_000  # entries of a matrix
_BLOCK_CELLS = 4_000_000  # cells times left-out buckets held at a time, so that memory stays bounded


@dataclass(frozen=True)
class PositionTest:
    """Do the slots of one component differ in how much they are clicked?

    Attributes
    ----------
    component
        Its number, text.
    slots
        Codes of the slots compared.
    statistic
        Score statistic over its mean if all slots were alike; about 1 then.
    numerator_df, denominator_df
        Degrees of freedom of F.
    p_value
        Chance of such a statistic or a larger one if all slots were alike.
    """

    component: str
    slots: Ints
    statistic: float
    numerator_df: float
    denominator_df: float
    p_value: float


@dataclass(frozen=True)
class ClickModel:
    """Arrays over contents and slots by their codes.

    Attributes
    ----------
    appeal
        Clicks of a content over those of an average exposure at the same slot and week; NaN where nothing is
        comparable, 0 without clicks.
    expected_clicks
        Sum over slot and week of exposures times the click rate that slot and week give to an average content.
    content_component, slot_component
        Those of one name are comparable with each other; None: not in the model.
    is_separable
        Whether the appeal of the content can be told from the place.
    content_reason
        Why not, or why there is no appeal: ``no_clicks``, ``only_content`` (nothing else stands where it stands),
        ``one_slot`` (comparable with the contents of its slot alone), ``weeks_confounded``, ``no_exposures``.
    slot_effect
        Click rate of a slot over the mean of the exposures of its component, the content and week being equal.
    slot_average_rate
        Click rate that the slot would have with average contents in its own weeks.
    slot_reason
        ``no_clicks``, ``one_slot``, ``only_content`` or ``weeks_confounded`` where there is no effect.
    tests
        One per component with two slots or more, largest component first.
    clicks_left_out
        Clicks of cells without any exposure.
    confounded_weeks
        Number of components in which weeks cannot be told from places or contents.
    """

    appeal: Interval
    expected_clicks: Floats
    content_component: NDArray[np.object_]
    is_separable: NDArray[np.bool_]
    content_reason: NDArray[np.object_]
    slot_effect: Interval
    slot_average_rate: Floats
    slot_component: NDArray[np.object_]
    slot_reason: NDArray[np.object_]
    tests: tuple[PositionTest, ...]
    clicks_left_out: float
    confounded_weeks: int


@dataclass(frozen=True)
class _Cells:
    """Slot, content, week of each cell, its exposures and clicks in all and by bucket of users."""

    slot: Ints
    content: Ints
    week: Ints
    exposures: Floats
    clicks: Floats
    exposures_by_bucket: sparse.csr_array
    clicks_by_bucket: sparse.csr_array

    def take(self, chosen: NDArray[np.bool_] | Ints) -> "_Cells":
        return _Cells(
            self.slot[chosen],
            self.content[chosen],
            self.week[chosen],
            self.exposures[chosen],
            self.clicks[chosen],
            self.exposures_by_bucket[chosen],
            self.clicks_by_bucket[chosen],
        )


def fit_click_model(
    slots: ArrayLike,
    contents: ArrayLike,
    weeks: ArrayLike,
    buckets: ArrayLike,
    exposures: ArrayLike,
    clicks: ArrayLike,
    *,
    slot_count: int,
    content_count: int,
    confidence_level: float = 0.95,
) -> ClickModel:
    """How much of a click is owed to the place, how much to the content?

    Parameters
    ----------
    slots, contents, weeks, buckets
        Codes from 0, one per row; rows of the same codes add up. A user lies in one bucket.
    exposures, clicks
        Counts of the row.
    slot_count, content_count
        Length of the arrays that come back.
    confidence_level
        Coverage of intervals, strictly between 0 and 1.

    Returns
    -------
    ClickModel

    Raises
    ------
    ParameterError
        If the arrays differ in length, counts are negative, or the level is not between 0 and 1.

    Notes
    -----
    Expected clicks of a cell: exposures x theta[slot] x alpha[content] x gamma[week], each connected component of
    the slot x content graph with its own theta, alpha and gamma; Poisson likelihood. Given the clicks of a content,
    alpha has a closed form, clicks / sum(exposures theta gamma): theta and gamma are found by Newton's method on
    what remains. The score equations make *clicks over expected clicks equal to the appeal*.

    Only products are identified. Within a component the mean of alpha over exposures is 1, and so is that of theta.
    The arithmetic mean is defined with contents that nobody clicked; a geometric one is not. Where weeks take
    further freedom away (one content a week in a slot), the component falls into the parts inside which
    contrasts are still determined, named ``1.1``, ``1.2``; likewise for slots.

    Where the likelihood has no maximum, because contents, slots or weeks have no clicks or all clicks stand on one
    side of a divide, the cells that tend to zero are left out (the extended maximum of Fienberg and Rinaldo).

    Intervals: delete-one-bucket jackknife on the logarithm, Student's t on (non-empty buckets - 1). None where a
    content has all its clicks in one bucket. The test of equal slots is a score test whose distribution is set by
    the variation between buckets (Rao and Scott's second-order correction), not by the Poisson variance: a user
    who clicks a lot counts once.

    Misleads where what a user is shown depends on who the user is, and where a slot changes the ranking of
    contents (no interaction of slot and content is in the model).

    References
    ----------
    Richardson, M., Dominowska, E. and Ragno, R. (2007), doi:10.1145/1242572.1242643.
    Fienberg, S. E. and Rinaldo, A. (2012), doi:10.1214/12-AOS986.
    Rao, J. N. K. and Scott, A. J. (1984), doi:10.1214/aos/1176346391.

    Examples
    --------
    Two contents in two slots; the second content is clicked twice as often in both, the second slot half as often.

    >>> found = fit_click_model(
    ...     [0, 0, 1, 1], [0, 1, 0, 1], [0] * 4, [0, 1, 2, 3], [100] * 4, [20, 40, 10, 20], slot_count=2, content_count=2
    ... )
    >>> found.appeal.estimate.round(4).tolist(), found.slot_effect.estimate.round(4).tolist()
    ([0.6667, 1.3333], [1.3333, 0.6667])
    """
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}; it lies strictly between 0 and 1, such as 0.95.")
    every = _cells(slots, contents, weeks, buckets, exposures, clicks)
    seen = every.take(every.exposures > 0)
    kept, component = _where_a_maximum_exists(seen)
    result = _empty(slot_count, content_count, seen, float(every.clicks.sum() - seen.clicks.sum()))
    tests, confounded = [], 0
    names = np.unique(component[kept])
    sizes = np.bincount(component[kept], seen.exposures[kept]) if kept.any() else np.zeros(0)
    silent = _in_one_component(seen, component, kept)
    for number, name in enumerate(sorted(names.tolist(), key=lambda one: (-sizes[one], one)), start=1):
        mine = component == name
        test, is_confounded = _fit_component(str(number), seen, kept & mine, silent & mine, result, confidence_level)
        tests += [test] if test else []
        confounded += is_confounded
    return ClickModel(**result, tests=tuple(tests), confounded_weeks=confounded)


def _cells(*columns: ArrayLike) -> _Cells:
    slot, content, week, bucket = (np.asarray(one, dtype=np.int64) for one in columns[:4])
    exposures, clicks = (np.asarray(one, dtype=float) for one in columns[4:])
    if len({len(one) for one in (slot, content, week, bucket, exposures, clicks)}) > 1:
        raise ParameterError("fit_click_model: the arrays differ in length; give one value of each per row.")
    if (exposures < 0).any() or (clicks < 0).any() or not (np.isfinite(exposures) & np.isfinite(clicks)).all():
        raise ParameterError("fit_click_model: exposures and clicks are counts; some are negative or missing.")
    if not len(slot):
        none = sparse.csr_array((0, 1))
        return _Cells(slot, content, week, exposures, clicks, none, none)
    contents, weeks = content.max() + 1, week.max() + 1
    code, cell = np.unique((slot * contents + content) * weeks + week, return_inverse=True)
    bucket = np.unique(bucket, return_inverse=True)[1]
    shape = (len(code), int(bucket.max()) + 1)
    by_bucket = [sparse.csr_array((one, (cell, bucket)), shape=shape) for one in (exposures, clicks)]
    totals = [np.asarray(one.sum(axis=1)).ravel() for one in by_bucket]
    place = code // weeks
    return _Cells(place // contents, place % contents, code % weeks, totals[0], totals[1], by_bucket[0], by_bucket[1])


def _empty(slot_count: int, content_count: int, seen: _Cells, clicks_left_out: float) -> dict:
    def interval(count: int) -> Interval:
        return Interval(*(np.full(count, np.nan) for _ in range(3)))

    shown = np.bincount(seen.content, minlength=content_count) > 0
    used = np.bincount(seen.slot, minlength=slot_count) > 0
    return {
        "appeal": interval(content_count),
        "expected_clicks": np.full(content_count, np.nan),
        "content_component": np.full(content_count, None, dtype=object),
        "is_separable": np.zeros(content_count, dtype=bool),
        "content_reason": np.where(shown, "no_clicks", "no_exposures").astype(object),
        "slot_effect": interval(slot_count),
        "slot_average_rate": np.full(slot_count, np.nan),
        "slot_component": np.full(slot_count, None, dtype=object),
        "slot_reason": np.where(used, "no_clicks", "no_exposures").astype(object),
        "clicks_left_out": clicks_left_out,
    }


# -- which cells and contrasts the data determine --------------------------------------------------------------


def _where_a_maximum_exists(cells: _Cells) -> tuple[NDArray[np.bool_], Ints]:
    """Which cells stay, and the connected component of each cell that does."""
    keep = cells.clicks >= 0
    while True:
        component = _components(cells.slot, cells.content, keep)
        by_week = component * (cells.week.max(initial=0) + 1) + cells.week
        before = keep.sum()
        for code in (cells.slot, cells.content, by_week):
            clicks = np.bincount(code[keep], cells.clicks[keep], minlength=code.max(initial=0) + 1)
            keep = keep & (clicks[code] > 0)
        if keep.sum() == before:
            for name in np.unique(component[keep]):
                chosen = np.flatnonzero(keep & (component == name))
                keep[chosen[_tends_to_zero(cells.take(chosen))]] = False
        if keep.sum() == before:
            return keep, component


def _components(slot: Ints, content: Ints, keep: NDArray[np.bool_]) -> Ints:
    """Connected component of each cell by its slot; cells that are left out connect nothing."""
    slots, contents = slot.max(initial=-1) + 1, content.max(initial=-1) + 1
    size = slots + contents
    edges = sparse.coo_array((np.ones(keep.sum()), (slot[keep], slots + content[keep])), shape=(size, size))
    return csgraph.connected_components(edges, directed=False)[1][slot].astype(np.int64) if size else slot


def _in_one_component(seen: _Cells, component: Ints, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells of contents without clicks, where all of the content's slots with clicks hang together."""
    if not kept.any():
        return kept
    clicks = np.bincount(seen.content, seen.clicks)
    silent = (clicks[seen.content] == 0) & np.isin(component, component[kept])
    pairs = np.unique(np.stack([seen.content[silent], component[silent]]), axis=1)[0]
    return silent & (np.bincount(pairs, minlength=len(clicks)) == 1)[seen.content]


def _tends_to_zero(cells: _Cells) -> NDArray[np.bool_]:
    """Cells without clicks whose fitted value has no positive limit.

    A direction of the parameters that leaves all clicked cells as they are and lowers others lowers them for ever.
    Without such freedom in the clicked cells there is none, and nothing has to be searched.
    """
    clicked = cells.clicks > 0
    none = np.zeros(len(clicked), dtype=bool)
    if clicked.all():
        return none
    slot, content, week = (np.unique(one, return_inverse=True)[1] for one in (cells.slot, cells.content, cells.week))
    free = _freedom(slot[clicked], content[clicked], week[clicked])
    change = sum(part[code[~clicked]] for part, code in zip(free, (slot, content, week), strict=True))
    change, row = np.unique(np.round(change, 9), axis=0, return_inverse=True)
    if not np.abs(change).max(initial=0) > 1e-8:
        return none
    rows, columns = change.shape
    found = optimize.linprog(
        np.r_[np.zeros(columns), -np.ones(rows)],
        A_ub=sparse.hstack([sparse.csr_array(change), sparse.eye_array(rows)], format="csr"),
        b_ub=np.zeros(rows),
        bounds=[(None, None)] * columns + [(0, 1)] * rows,
    )
    none[~clicked] = found.x[columns:][row.ravel()] > 0.5
    return none


def _freedom(slot: Ints, content: Ints, week: Ints) -> tuple[Floats, Floats, Floats]:
    """All ways to change log theta, alpha, gamma without changing the sum in any cell; one column per way.

    On a spanning tree of the slot x content graph the weeks' changes and that of its root determine all others;
    each further cell is an equation between weeks. So the rank is that of a small table of whole numbers.
    """
    slots, contents, weeks = (int(one.max()) + 1 for one in (slot, content, week))
    size = slots + contents
    first = np.unique(slot * contents + content, return_index=True)[1]
    ends = slot[first], slots + content[first]
    week_of = dict(zip(zip(ends[0].tolist(), ends[1].tolist(), strict=True), week[first].tolist(), strict=True))
    graph = sparse.csr_array((np.ones(len(first)), ends), shape=(size, size))
    count, label = csgraph.connected_components(graph, directed=False)
    by_week, by_root = np.zeros((size, weeks)), np.zeros((size, count))
    for name, root in enumerate(np.unique(label, return_index=True)[1].tolist()):
        nodes, before = csgraph.breadth_first_order(graph, root, directed=False)
        by_root[root, name] = 1.0
        for node in nodes[1:].tolist():
            parent = int(before[node])
            by_week[node], by_root[node] = -by_week[parent], -by_root[parent]
            by_week[node, week_of[min(node, parent), max(node, parent)]] -= 1.0
    triangle = np.zeros((0, weeks))
    for start in range(0, len(slot), 20_000):
        part = slice(start, start + 20_000)
        equation = by_week[slot[part]] + by_week[slots + content[part]]
        equation[np.arange(len(equation)), week[part]] += 1.0
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, equation]), mode="r"))
    _, values, vectors = np.linalg.svd(triangle)
    rank = int((values > 1e-9 * max(1.0, values[0])).sum())
    free_weeks = vectors[rank:].T
    places = np.hstack([by_week @ free_weeks, by_root])
    return places[:slots], places[slots:], np.hstack([free_weeks, np.zeros((weeks, count))])


def _alike(rows: Floats) -> Ints:
    """Number those rows alike that are equal: their difference is determined by the data."""
    return np.unique(np.round(rows, 7) + 0.0, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


# -- one component ---------------------------------------------------------------------------------------------


def _fit_component(
    name: str,
    seen: _Cells,
    clicked: NDArray[np.bool_],
    silent: NDArray[np.bool_],
    result: dict,
    confidence_level: float,
) -> tuple[PositionTest | None, bool]:
    """Fill in what one component says; its test of equal slots, and whether weeks are confounded in it.

    ``silent`` are the cells of contents without clicks in its slots: they have appeal 0, and their exposures count
    for what an average exposure is.
    """
    cells = seen.take(clicked)
    slot_codes, slot = np.unique(cells.slot, return_inverse=True)
    content_codes, content = np.unique(cells.content, return_inverse=True)
    week_codes, week = np.unique(cells.week, return_inverse=True)
    free = _freedom(slot, content, week)
    slot_class, content_class = _alike(free[0]), _alike(free[1])
    design = _Design.of(slot, content, week, np.vstack([free[0], free[2]]))
    effects, inverse = _newton(design, cells.exposures, cells.clicks)
    deleted = _left_out(design, cells, effects, inverse)
    place = slot * len(week_codes) + week
    class_of_place = np.full(len(slot_codes) * len(week_codes), 0 if content_class.max() == 0 else -1)
    class_of_place[place] = content_class[content]

    more = seen.take(silent & np.isin(seen.week, week_codes))
    more_slot, more_week = np.searchsorted(slot_codes, more.slot), np.searchsorted(week_codes, more.week)
    more = more.take(known := class_of_place[more_slot * len(week_codes) + more_week] >= 0)
    more_place = (more_slot * len(week_codes) + more_week)[known]
    more_codes, more_content = np.unique(more.content, return_inverse=True)
    owner, other = np.full(len(more_codes), -1), np.full(len(more_codes), -1)
    np.maximum.at(owner, more_content, class_of_place[more_place])
    np.maximum.at(other, more_content, content_class.max() - class_of_place[more_place])
    single = owner == content_class.max() - other  # all its exposures are compared with the same contents
    inside = single[more_content]

    place = np.r_[place, more_place[inside]]
    content = np.r_[content, len(content_codes) + (np.cumsum(single) - 1)[more_content[inside]]]
    content_codes = np.r_[content_codes, more_codes[single]]
    content_class = np.r_[content_class, owner[single]]
    exposures = np.r_[cells.exposures, more.exposures[inside]]
    slot, week = place // len(week_codes), place % len(week_codes)
    rate = np.exp(effects[slot] + effects[len(slot_codes) + week])
    clicks = np.bincount(content[: len(cells.clicks)], cells.clicks, minlength=len(content_codes))
    expected = np.bincount(content, exposures * rate)
    weight = np.bincount(content, exposures).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _class_mean(clicks / expected, weight, content_class)
        appeal = clicks / expected / mean
        draws = np.vstack([deleted.appeal, np.zeros((single.sum(), deleted.appeal.shape[1]))])
        found = _jackknife(appeal, draws / _class_mean(draws, weight, content_class), deleted.used, confidence_level)
    comparable = (np.bincount(content_class) > 1)[content_class]
    pairs = np.unique(content_class[content] * len(slot_codes) + slot) // len(slot_codes)
    in_places = (np.bincount(pairs) > 1)[content_class]
    for into, value in zip(_bounds(result["appeal"]), _bounds(found), strict=True):
        into[content_codes] = np.where(comparable, value, np.nan)
    result["expected_clicks"][content_codes] = np.where(comparable, expected * mean, np.nan)
    result["content_component"][content_codes] = _labels(name, content_class)
    result["is_separable"][content_codes] = comparable & in_places
    alone = "weeks_confounded" if len(content_codes) > 1 else "only_content"
    result["content_reason"][content_codes] = _chosen(
        (comparable & (clicks == 0), "no_clicks"), (comparable & ~in_places, "one_slot"), (~comparable, alone)
    )

    ordinary = np.bincount(slot, exposures * rate * mean[content]) / np.bincount(slot, exposures)
    has_average = np.bincount(slot, exposures * comparable[content]) > 0
    result["slot_average_rate"][slot_codes] = np.where(has_average, ordinary, np.nan)
    weight = np.bincount(slot, exposures).astype(float)
    theta, draws = np.exp(effects[: len(slot_codes)]), deleted.theta[: len(slot_codes)]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _jackknife(
            theta / _class_mean(theta, weight, slot_class),
            draws / _class_mean(draws, weight, slot_class),
            deleted.used,
            confidence_level,
        )
    comparable = (np.bincount(slot_class) > 1)[slot_class]
    for into, value in zip(_bounds(result["slot_effect"]), _bounds(found), strict=True):
        into[slot_codes] = np.where(comparable, value, np.nan)
    result["slot_component"][slot_codes] = _labels(name, slot_class)
    alone = "weeks_confounded" if len(slot_codes) > 1 else "one_slot"
    result["slot_reason"][slot_codes] = _chosen((~comparable, alone))
    return _position_test(name, design, cells, slot_codes), free[0].shape[1] > 2


def _chosen(*cases: tuple[NDArray[np.bool_], str]) -> NDArray[np.object_]:
    """The first word whose case holds; None where none does."""
    result = np.full(len(cases[0][0]), None, dtype=object)
    for holds, word in reversed(cases):
        result[holds] = word
    return result


def _bounds(interval: Interval) -> tuple[Floats, Floats, Floats]:
    return interval.estimate, interval.lower, interval.upper


def _class_mean(values: Floats, weight: Floats, label: Ints) -> Floats:
    """Mean over the members of each row's class, by weight; one row per row."""
    member = _sums(label, int(label.max()) + 1)
    total = member @ weight
    with np.errstate(divide="ignore", invalid="ignore"):
        if values.ndim == 1:
            return ((member @ (weight * values)) / total)[label]
        return ((member @ (weight[:, None] * values)) / total[:, None])[label]


def _labels(name: str, label: Ints) -> NDArray[np.object_]:
    return np.array([name if label.max() == 0 else f"{name}.{one + 1}" for one in label], dtype=object)


def _sums(code: Ints, size: int) -> Matrix:
    """Matrix that sums rows by code; dense where it is small, which is much faster."""
    if size * len(code) < _SMALL:
        return (code == np.arange(size)[:, None]).astype(float)
    return sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=(size, len(code)))


def _dense(matrix: Matrix) -> Floats:
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


@dataclass(frozen=True)
class _Design:
    """Which slot and week (columns of ``effects``) and which content each cell has, and what is not determined."""

    effects: Matrix
    by_effect: Matrix
    by_content: Matrix
    content: Ints
    gauge: Floats

    @staticmethod
    def of(slot: Ints, content: Ints, week: Ints, free: Floats) -> "_Design":
        slots = int(slot.max()) + 1
        rows, size = np.r_[slot, slots + week], slots + int(week.max()) + 1
        cells = np.arange(len(slot))
        both = sparse.csr_array((np.ones(len(rows)), (rows, np.r_[cells, cells])), shape=(size, len(slot)))
        sums: Matrix = both.toarray() if size * len(slot) < _SMALL else both
        effects: Matrix = sums.T if isinstance(sums, np.ndarray) else both.T.tocsr()
        return _Design(effects, sums, _sums(content, int(content.max()) + 1), content, np.linalg.qr(free)[0])

    def fitted(self, effects: Floats, exposures: Floats, clicks: Floats) -> Floats:
        """Fitted clicks; each content keeps its sum. One column per set of effects."""
        rate = exposures * np.exp(self.effects @ effects)
        with np.errstate(divide="ignore", invalid="ignore"):
            appeal = np.nan_to_num((self.by_content @ clicks) / (self.by_content @ rate), posinf=0.0)
        return rate * appeal[self.content]

    def information(self, fitted: Floats) -> Floats:
        """Information about slots and weeks that is left once the contents' appeal is fitted."""
        weighted = self.by_effect * fitted[None, :]
        by_content = _dense(self.by_content @ weighted.T)
        clicks = self.by_content @ fitted
        return _dense(weighted @ self.effects) - by_content.T @ (by_content / clicks[:, None])


def _newton(design: _Design, exposures: Floats, clicks: Floats) -> tuple[Floats, Floats]:
    """Log theta and gamma at the maximum, and the inverse of the information there."""
    effects = np.zeros(design.by_effect.shape[0])
    gauge = design.gauge @ design.gauge.T

    def height(at: Floats) -> float:
        fitted = design.fitted(at, exposures, clicks)
        some = clicks > 0
        return float(clicks[some] @ np.log(fitted[some]))

    best = height(effects)
    for _ in range(_MOST_STEPS):
        fitted = design.fitted(effects, exposures, clicks)
        information = design.information(fitted)
        inverse = np.linalg.inv(information + gauge * clicks.sum())
        step = inverse @ (design.by_effect @ (clicks - fitted))
        while not (there := height(effects + step)) >= best - 1e-9 * abs(best) and np.abs(step).max() > _CONVERGED:
            step = step / 2
        effects, best = effects + step, there
        if np.abs(step).max() < _CONVERGED:
            break
    return effects, inverse


@dataclass(frozen=True)
class _Deleted:
    """Theta and appeal without each bucket, NaN where they did not settle; buckets that hold anything."""

    theta: Floats  # slots, then weeks
    appeal: Floats
    used: NDArray[np.bool_]


def _left_out(design: _Design, cells: _Cells, effects: Floats, inverse: Floats) -> _Deleted:
    """Fit again without each bucket, from the whole fit on, with the whole fit's information throughout."""
    buckets = cells.exposures_by_bucket.shape[1]
    slots = design.by_effect.shape[0]
    theta, appeal = np.full((slots, buckets), np.nan), np.full((design.by_content.shape[0], buckets), np.nan)
    block = max(1, _BLOCK_CELLS // len(cells.clicks))
    for start in range(0, buckets, block):
        part = slice(start, min(start + block, buckets))
        exposures = cells.exposures[:, None] - cells.exposures_by_bucket[:, part].toarray()
        clicks = cells.clicks[:, None] - cells.clicks_by_bucket[:, part].toarray()
        alive = design.by_effect @ clicks > 0
        exposures = exposures * ((design.effects @ ~alive) == 0)
        connected = _still_connected(cells, exposures)
        at = np.repeat(effects[:, None], exposures.shape[1], axis=1)
        for _ in range(_MOST_STEPS):
            step = inverse @ (design.by_effect @ (clicks - design.fitted(at, exposures, clicks)) * alive)
            at += step * alive
            if not (np.abs(step) > _CONVERGED).any():
                break
        rate = exposures * np.exp(design.effects @ at)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.nan_to_num(design.by_content @ clicks / (design.by_content @ rate), nan=0.0, posinf=0.0)
        settled = connected & (np.abs(step) * alive < 1e-6).all(axis=0)
        theta[:, part] = np.where(settled, np.where(alive, np.exp(at), 0.0), np.nan)
        appeal[:, part] = np.where(settled, found, np.nan)
    return _Deleted(theta, appeal, _held(cells))


def _held(cells: _Cells) -> NDArray[np.bool_]:
    """Buckets that hold anything."""
    return np.asarray(cells.exposures_by_bucket.sum(axis=0) + cells.clicks_by_bucket.sum(axis=0)).ravel() > 0


def _still_connected(cells: _Cells, exposures: Floats) -> NDArray[np.bool_]:
    """Whether slots and contents with exposures still hang together; without it their scale is arbitrary."""
    result = np.ones(exposures.shape[1], dtype=bool)
    for column in np.flatnonzero((exposures == 0).any(axis=0)):
        left = exposures[:, column] > 0
        result[column] = len(np.unique(_components(cells.slot[left], cells.content[left], left[left]))) <= 1
    return result


def _jackknife(estimate: Floats, deleted: Floats, used: NDArray[np.bool_], confidence_level: float) -> Interval:
    """Delete-one-bucket interval on the logarithm; NaN where a deleted fit has none or nothing varies."""
    count = int(used.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(deleted[:, used])
        error = np.sqrt((count - 1) / max(count, 1) * ((logs - logs.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
        half = stats.t.ppf(0.5 + confidence_level / 2, max(count - 1, 1)) * error
        half = np.where(np.isfinite(error) & (error > 1e-9), half, np.nan)
        return Interval(estimate, estimate * np.exp(-half), estimate * np.exp(half))


def _position_test(name: str, design: _Design, cells: _Cells, slot_codes: Ints) -> PositionTest | None:
    """Score test of one theta for all slots, with the variation that the buckets show."""
    slots = len(slot_codes)
    if slots < 2:
        return None
    week = np.unique(cells.week, return_inverse=True)[1]
    one = np.zeros_like(week)
    free = _freedom(one, design.content, week)
    alike = _Design.of(one, design.content, week, np.vstack([free[0], free[2]]))
    fitted = alike.fitted(_newton(alike, cells.exposures, cells.clicks)[0], cells.exposures, cells.clicks)
    information = design.information(fitted)
    used = _held(cells)
    rate = fitted / cells.exposures
    kept = np.flatnonzero(used)
    by_effect, by_content = (
        sums @ cells.clicks_by_bucket[:, kept] - sums * rate[None, :] @ cells.exposures_by_bucket[:, kept]
        for sums in (design.by_effect, design.by_content)
    )
    shared = _dense(design.by_content @ (design.by_effect * fitted[None, :]).T)
    share = shared / (design.by_content @ cells.clicks)[:, None]
    scores = _dense(by_effect) - share.T @ _dense(by_content)
    project = information[:slots, slots:] @ np.linalg.pinv(information[slots:, slots:], rcond=1e-10, hermitian=True)
    scores = scores[:slots] - project @ scores[slots:]
    values, vectors = np.linalg.eigh(information[:slots, :slots] - project @ information[slots:, :slots])
    compared = values > 1e-9 * values[-1]
    if not compared.any() or used.sum() < 3:
        return None
    scores = (vectors[:, compared] / np.sqrt(values[compared])).T @ scores
    freedom = float(used.sum() - 1)
    spread = scores - scores.mean(axis=1, keepdims=True)
    variance = spread @ spread.T * (used.sum() / freedom)
    mean = np.trace(variance)
    # sum of squared eigenvalues, free of what the few buckets alone add to it
    squares = (np.sum(variance**2) - mean**2 / freedom) * freedom**2 / ((freedom - 1) * (freedom + 2))
    if not mean > 0:
        return None
    degrees = float(np.clip(mean**2 / max(squares, 1e-300), 1.0, compared.sum()))
    statistic = float(np.sum(scores.sum(axis=1) ** 2) / mean)
    p_value = float(stats.f.sf(statistic, degrees, degrees * freedom))
    return PositionTest(name, slot_codes, statistic, degrees, degrees * freedom, p_value)
