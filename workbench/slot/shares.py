"""From credit by bucket to the tables: shares with intervals, differences, ranks, and where models disagree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from workbench.contract import DIRECT
from workbench.slot.credit import TargetSums
from workbench.stats.intervals import MINIMUM_EFFECTIVE, zero_share_upper
from workbench.stats.markov import OTHER
from workbench.stats.resampling import (
    MINIMUM_EXPECTED,
    ShareIntervals,
    bucket_weights,
    rank_intervals,
    share_intervals,
    simultaneous_differences,
)

Floats = NDArray[np.float64]
UNSHARED = ("participation",)
"""Models whose credits sum above the conversions: their shares do not sum to 1 and are shown apart."""
MOST_RANKED = 200
_MOST_COLUMNS = 4096  # 8 MB of sums by bucket
_NONE: Floats = np.zeros((0, 0))
CREDIT_COLUMNS = [
    "target",
    "model",
    "credit_to",
    "credited_id",
    "conversion_credit",
    "amount_credit",
    "conversion_share",
    "amount_share",
    "ci_lower",
    "ci_upper",
    "effective_buyers",
    "reason",
]
DIFFERENCE_COLUMNS = [
    "target",
    "model",
    "credited_id",
    "other_id",
    "difference",
    "ci_lower",
    "ci_upper",
    "is_different",
    "is_order_sure",
    "reason",
]
RANK_COLUMNS = ["target", "model", "credited_id", "rank", "rank_lower", "rank_upper", "tied_count", "reason"]
AGREEMENT_COLUMNS = [
    "target",
    "credited_id",
    "lowest_share",
    "lowest_model",
    "highest_share",
    "highest_model",
    "spread",
    "lowest_rank",
    "highest_rank",
]


@dataclass(frozen=True)
class Resampling:
    """Replicates of 256 and of 64 buckets; None: no intervals are wanted."""

    weights: Floats | None
    few_weights: Floats | None
    confidence_level: float


def make_resampling(replicates: int, seed: int, confidence_level: float) -> Resampling:
    """Draw the replicates once, for all tables."""
    if replicates == 0:
        return Resampling(None, None, confidence_level)
    return Resampling(bucket_weights(256, replicates, seed), bucket_weights(64, replicates, seed), confidence_level)


@dataclass(frozen=True)
class _Shares:
    """Shares of one target and model: by bucket over a common total, or as pseudo-values of the jackknife."""

    ids: tuple[str, ...]  # ``count`` that have credit, (direct), and those that have none
    count: int
    sums: Floats
    totals: Floats
    weights: Floats

    def without_direct(self) -> "_Shares":
        kept = [one for one in range(len(self.ids)) if one != self.count]
        ids = tuple(self.ids[one] for one in kept)
        return _Shares(ids, self.count, self.sums[:, kept], self.totals, self.weights)


def credit_tables(
    every: Iterable[TargetSums],
    models: Sequence[str],
    known: Sequence[str],
    resampling: Resampling,
    *,
    credit_to: str,
    compared_model: str,
    most_compared: int,
    with_ranks: bool = True,
    with_differences: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """slot_credit of all targets and models, slot_differences and slot_ranks of one model.

    Parameters
    ----------
    every
        Credit of each target.
    models
        Models in the order wanted.
    known
        Ids that were seen, credited or not: they have rows too.
    resampling
        Replicates of the buckets.
    credit_to
        What the ids are.
    compared_model
        The model whose shares are ranked and compared; of the others ``model_agreement`` tells.
    most_compared
        Pairs are formed among so many, those with most credit.
    with_ranks, with_differences
        Whether these are wanted; else their tables are empty.
    """
    credits, differences, ranks = [], [], []
    for sums in every:
        if not sums.total["conversions"].sum():
            continue
        answerable = [one for one in models if one != "markov" or sums.markov is not None]
        every_share = {model: _shares(sums, model, known, resampling) for model in answerable}
        found = _intervals(sums, every_share, resampling)
        for model, shares in every_share.items():
            names = {"target": sums.target, "model": model}
            credits.append(
                {**names, "credit_to": credit_to, **_credit(sums, model, shares, found.get(model), resampling)}
            )
            if model != compared_model or not (with_ranks or with_differences):
                continue
            slots = shares.without_direct()
            ranking, is_sure = _ranks(sums, slots, resampling)
            ranks.append(ranking.assign(**names))
            if with_differences:
                differences.append(_differences(sums, slots, is_sure, most_compared, resampling).assign(**names))
    return (
        _one_table(credits, CREDIT_COLUMNS),
        _stacked(differences, DIFFERENCE_COLUMNS),
        _stacked(ranks, RANK_COLUMNS),
    )


def _one_table(parts: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """One table of parts whose columns are arrays or one value for all their rows: faster than to join tables."""
    if not parts:
        return pd.DataFrame(columns=columns)
    sizes = [len(one["credited_id"]) for one in parts]
    whole = {}
    for name in columns:
        values = [one[name] for one in parts]
        if any(isinstance(one, np.ndarray) for one in values):
            filled = [np.broadcast_to(one, size) for one, size in zip(values, sizes, strict=True)]
            whole[name] = np.concatenate(filled)
        else:
            whole[name] = np.repeat(np.array(values, dtype=object), sizes)
    return pd.DataFrame(whole)


def _stacked(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    parts = [one for one in parts if len(one)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _shares(sums: TargetSums, model: str, known: Sequence[str], resampling: Resampling) -> _Shares:
    """Columns: what has credit, (direct), and what is known and has none."""
    ids = sums.markov_ids if model == "markov" else sums.ids
    have = set(ids)
    # Where the chain merged its tail, a slot inside (other) has no credit of its own to speak of.
    without = [] if OTHER in have and model == "markov" else [one for one in known if one not in have]
    every = (*ids, DIRECT, *without)
    if model == "markov" and sums.buckets == 1:
        rows, totals, weights = _markov_shares(sums)[None, :], np.ones(1), None
    elif model == "markov":
        rows = _pseudo_values(sums)
        totals, weights = np.ones(len(rows)), resampling.few_weights
        weights = None if weights is None else weights[:, : len(rows)]
    else:
        rows, totals, weights = sums.matrix(model, sums.measure), sums.total[sums.measure], resampling.weights
    rows = np.hstack([rows, np.zeros((len(rows), len(without)))])
    return _Shares(every, len(ids), rows, totals, _NONE if weights is None else weights)


def _intervals(sums: TargetSums, shares: Mapping[str, _Shares], resampling: Resampling) -> dict[str, ShareIntervals]:
    """Intervals of all rule models that share out, some thousand columns at a time: what they share is prepared once."""
    if resampling.weights is None:
        return {}
    rules = [model for model in shares if model not in UNSHARED and model != "markov"]
    found = {}
    together = max(1, _MOST_COLUMNS // max(len(sums.ids), 1))
    for first in range(0, len(rules), together):
        some = rules[first : first + together]
        whole = share_intervals(
            np.hstack([shares[model].sums for model in some]),
            sums.total[sums.measure],
            resampling.weights,
            confidence_level=resampling.confidence_level,
            effective_total=sums.effective,
        )
        ends = np.cumsum([shares[model].sums.shape[1] for model in some])
        for model, end in zip(some, ends, strict=True):
            own = slice(end - shares[model].sums.shape[1], end)
            found[model] = ShareIntervals(**{one.name: getattr(whole, one.name)[own] for one in fields(ShareIntervals)})
    return found


def _credit(
    sums: TargetSums, model: str, shares: _Shares, found: ShareIntervals | None, resampling: Resampling
) -> dict[str, Any]:
    """Columns of one row per id and ``(direct)``, largest credit first, ``(direct)`` and what it leaves last."""
    ids = np.array(shares.ids, dtype=object)
    without = len(ids) - shares.count - 1
    credit = _markov_credit(sums) if model == "markov" else {}
    columns: dict[str, Any] = {"credited_id": ids}
    for name, column in (("conversions", "conversion"), ("amount", "amount")):
        values = credit[name] if model == "markov" else sums.matrix(model, name).sum(axis=0)
        values, total = np.concatenate([values, np.zeros(without)]), sums.total[name].sum()
        has = name == "conversions" or sums.has_amount
        columns[f"{column}_credit"] = values if has else np.full(len(ids), np.nan)
        columns[f"{column}_share"] = values / total if has and total else np.full(len(ids), np.nan)
    if model in UNSHARED or resampling.weights is None:
        none = "sums_above_total" if model in UNSHARED else "not_asked_for"
        columns |= dict.fromkeys(("ci_lower", "ci_upper", "effective_buyers"), np.full(len(ids), np.nan))
        columns["reason"] = np.full(len(ids), none, dtype=object)
    elif found is None:
        columns |= _markov_interval(sums, without, resampling.confidence_level)
    else:
        columns |= {"ci_lower": found.lower, "ci_upper": found.upper}
        columns |= {"effective_buyers": found.effective, "reason": found.reason}
    size = columns["amount_credit" if sums.has_amount else "conversion_credit"]
    order = np.lexsort((np.array(shares.ids), -size.round(9), ids == DIRECT))
    return {name: values[order] for name, values in columns.items()}


def _markov_credit(sums: TargetSums) -> dict[str, Floats]:
    assert sums.markov is not None
    shares = sums.markov.result.shares
    return {
        name: np.append(shares * sums.matched[name].sum(), sums.direct(name).sum())
        for name in ("conversions", "amount")
    }


def _markov_shares(sums: TargetSums) -> Floats:
    """Shares of all there is; ``(direct)`` last."""
    assert sums.markov is not None
    whole = sums.matched[sums.measure].sum() / sums.total[sums.measure].sum()
    return np.append(sums.markov.result.shares * whole, 1 - whole)


def _left_out(sums: TargetSums) -> tuple[Floats, Floats]:
    """Shares of all there is, without one bucket of 64 each, and with all; ``(direct)`` last."""
    assert sums.markov is not None
    total, matched = (one[sums.measure].reshape(64, -1).sum(axis=1) for one in (sums.total, sums.matched))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (matched.sum() - matched) / (total.sum() - total)
    left_out = np.hstack([sums.markov.left_out * part[:, None], 1 - part[:, None]])
    left_out = left_out[np.isfinite(left_out).all(axis=1) & (sums.markov.is_filled | (total > 0))]
    return left_out, _markov_shares(sums)


def _pseudo_values(sums: TargetSums) -> Floats:
    """One row per bucket whose mean is the share and whose spread is the jackknife's (Tukey, without his correction)."""
    left_out, share = _left_out(sums)
    return share - (len(left_out) - 1) * (left_out - left_out.mean(axis=0))


def _markov_interval(sums: TargetSums, without: int, confidence_level: float) -> dict[str, Any]:
    """Delete-one-bucket jackknife on the logit scale, over 64 buckets."""
    left_out, share = _left_out(sums)
    count = len(left_out)
    with np.errstate(all="ignore"):
        deleted, middle = np.log(left_out / (1 - left_out)), np.log(share / (1 - share))
        squares = ((deleted - deleted.mean(axis=0)) ** 2).sum(axis=0)
        half = stats.t.ppf(0.5 + confidence_level / 2, max(count - 1, 1)) * np.sqrt((count - 1) / count * squares)
        good = np.isfinite(half) & (half > 1e-12) & np.isfinite(middle) & (sums.effective >= MINIMUM_EFFECTIVE)
        few_own = sums.effective * np.minimum(share, 1 - share) < MINIMUM_EXPECTED
        good &= ~few_own
        bounds = [np.where(good, 1 / (1 + np.exp(-(middle + side * half))), np.nan) for side in (-1, 1)]
    many = sums.effective >= MINIMUM_EFFECTIVE
    none = np.concatenate([share == 0, np.ones(without, dtype=bool)])
    never = zero_share_upper(sums.effective, confidence_level=confidence_level) if many else np.nan
    rest = np.full(without, np.nan)
    lower, upper = (
        np.where(none, at_zero, np.concatenate([bound, rest]))
        for bound, at_zero in zip(bounds, (0.0 if many else np.nan, never), strict=True)
    )
    reason = np.full(len(none), "no_variation" if many else "few_effective_buyers", dtype=object)
    reason[np.concatenate([few_own, rest > 0]) & many] = "few_own_buyers"
    reason[np.concatenate([good, rest > 0])] = None
    reason[none & many] = "no_credit_upper_bound"
    return {"ci_lower": lower, "ci_upper": upper, "effective_buyers": np.full(len(none), np.nan), "reason": reason}


def _largest_first(shares: _Shares) -> NDArray[np.intp]:
    """Columns, the largest share first; equal ones by their id, as in the credit table."""
    return np.lexsort((np.array(shares.ids), -shares.sums.sum(axis=0).round(9)))


def _differences(
    sums: TargetSums, shares: _Shares, is_sure: NDArray[np.bool_] | None, most: int, resampling: Resampling
) -> pd.DataFrame:
    """All pairs among the largest, the larger first; ``is_sure`` as ``_ranks`` gives it."""
    size = shares.sums.sum(axis=0)
    largest = _largest_first(shares)[:most]
    largest = largest[size[largest] > 0]
    places = np.column_stack(np.triu_indices(len(largest), 1))
    if not len(places):
        return pd.DataFrame(columns=DIFFERENCE_COLUMNS)
    pairs = largest[places]
    ids = np.array(shares.ids, dtype=object)
    names = {"credited_id": ids[pairs[:, 0]], "other_id": ids[pairs[:, 1]]}
    if resampling.weights is None:
        share = size / shares.totals.sum()
        none = {"ci_lower": np.nan, "ci_upper": np.nan, "is_different": None, "is_order_sure": None}
        difference = share[pairs[:, 0]] - share[pairs[:, 1]]
        return pd.DataFrame({**names, "difference": difference, **none, "reason": "not_asked_for"})
    found = simultaneous_differences(
        shares.sums,
        shares.totals,
        pairs,
        shares.weights,
        confidence_level=resampling.confidence_level,
        effective_total=sums.effective,
    )
    return pd.DataFrame(
        {
            **names,
            "difference": found.estimate,
            "ci_lower": found.lower,
            "ci_upper": found.upper,
            "is_different": found.is_different,
            "is_order_sure": None if is_sure is None else is_sure[places[:, 0], places[:, 1]],
            "reason": found.reason,
        }
    )


def _ranks(sums: TargetSums, shares: _Shares, resampling: Resampling) -> tuple[pd.DataFrame, NDArray[np.bool_] | None]:
    """Ranks of the largest; where there are very many ids, the others may lie anywhere below.

    And which pairs of ranks are told apart, shape (ids ranked, ids ranked); None without intervals.
    """
    largest = _largest_first(shares)[:MOST_RANKED]
    table = pd.DataFrame(
        {"credited_id": np.array(shares.ids, dtype=object)[largest], "rank": np.arange(1, len(largest) + 1)}
    )
    why = "not_asked_for" if resampling.weights is None else "few_effective_buyers"
    if resampling.weights is None or not sums.effective >= MINIMUM_EFFECTIVE:
        none = dict.fromkeys(("rank_lower", "rank_upper", "tied_count"), np.nan)
        return table.assign(**none, reason=why), None
    found = rank_intervals(
        shares.sums[:, largest],
        shares.totals,
        shares.weights,
        confidence_level=resampling.confidence_level,
        effective_total=sums.effective,
    )
    upper = found.upper + len(shares.ids) - len(largest)
    bounds = {"rank_lower": found.lower, "rank_upper": upper, "tied_count": upper - found.lower}
    return table.assign(**{name: one.astype(float) for name, one in bounds.items()}, reason=None), found.is_sure


def model_agreement(credit: pd.DataFrame) -> pd.DataFrame:
    """How far apart are the models for each slot? One row per target and credited id, widest band first.

    Returns
    -------
    pandas.DataFrame
        ``lowest_share`` and ``highest_share`` over the models that share out (participation does not), of money
        where there is some, with the model that gives each; ``spread``, their difference; ``lowest_rank`` and
        ``highest_rank``, the best and the worst place among the slots that a model gives.
    """
    shared = credit[~credit["model"].isin(UNSHARED) & (credit["credited_id"] != DIRECT)]
    merged = shared.loc[shared["credited_id"] == OTHER, ["target", "model"]].drop_duplicates()
    for target, model in merged.itertuples(index=False):
        shared = shared[(shared["target"] != target) | (shared["model"] != model)]
    if shared.empty:
        return pd.DataFrame(columns=AGREEMENT_COLUMNS)
    share = shared["amount_share"].where(shared["amount_share"].notna(), shared["conversion_share"])
    shared = shared.assign(share=share)
    shared["rank"] = shared.groupby(["target", "model"])["share"].rank(ascending=False, method="min")
    order = {target: place for place, target in enumerate(shared["target"].unique())}
    wide, ranks = (
        shared.pivot(index=["target", "credited_id"], columns="model", values=name) for name in ("share", "rank")
    )
    wide = wide[wide.notna().any(axis=1)]
    table = pd.DataFrame(
        {
            "lowest_share": wide.min(axis=1),
            "lowest_model": wide.idxmin(axis=1),
            "highest_share": wide.max(axis=1),
            "highest_model": wide.idxmax(axis=1),
            "spread": wide.max(axis=1) - wide.min(axis=1),
            "lowest_rank": ranks.min(axis=1),
            "highest_rank": ranks.max(axis=1),
        }
    ).reset_index()
    keys = table.assign(place=table["target"].map(order), wide=-table["spread"].round(12))
    return table.loc[keys.sort_values(["place", "wide", "credited_id"]).index].reset_index(drop=True)[AGREEMENT_COLUMNS]
