"""Where a slot leaks: its users step by step, against comparable slots, and the traffic × conversion picture."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from workbench.contract import CLICK, EXPOSURE
from workbench.metrics.slot_funnel import FUNNEL_STEPS, exposed_users, recorded_steps, slot_funnel
from workbench.parameters import check_positive, check_rate
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import wilson

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Groups = list[tuple[Places, Places]]
MIN_PEERS = 4
MOST_CORRELATION = 0.5
"""Of users within slots: the prior then weighs as much as one user, so that no rate is shrunk to exactly 0 or 1."""
_NODES, _GAUSS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _GAUSS / _GAUSS.sum()
COLUMNS = [
    "slot_id",
    "slot_name",
    "page",
    "slot_kind",
    "step",
    "step_index",
    "user_count",
    "step_rate",
    "ci_lower",
    "ci_upper",
    "overall_rate",
    "shrunk_rate",
    "comparable_rate",
    "loss",
    "is_largest_loss",
    "stake_amount",
    "credit_share",
    "reason",
]
QUADRANT_COLUMNS = ["slot_id", "slot_name", "page", "slot_kind", "traffic", "conversion", "quadrant"]


@dataclass(frozen=True)
class SlotLeak:
    """Where slots leak.

    Attributes
    ----------
    table
        One row per slot and step; see ``slot_leak``.
    reason
        Why the table is empty: ``users_unknown`` (the source cannot tell people apart) or ``no_clicks`` (nobody
        clicked a slot in the period); None if it is not.
    missing_steps
        Events of steps that the source never records; they are not in the table.
    """

    table: pd.DataFrame
    reason: str | None
    missing_steps: tuple[str, ...]


def slot_leak(
    shop: Shop,
    period: Period,
    slots: pd.DataFrame,
    *,
    lookback_hours: float,
    credit: pd.DataFrame,
    amount_by_slot: pd.Series | None,
    confidence_level: float,
) -> SlotLeak:
    """At which step does each slot lose more users than comparable slots do?

    Parameters
    ----------
    shop
        Needs ``events``. Submitted and paid orders are of ``orders``; without that table the events
        ``begin_checkout`` and ``purchase`` stand in, and without those the funnel ends at the cart.
    period
        In which exposures and clicks count.
    slots
        What the source knows of slots: slot_id (text), slot_name, page, slot_kind; may be empty.
    lookback_hours
        A step counts up to this long after the click, its end included.
    credit
        Credit of one model: target, credited_id, conversion_share.
    amount_by_slot
        Credited amount by slot_id; None without money.
    confidence_level
        Coverage of intervals, and of the promise that no step is marked where all slots are equal.

    Returns
    -------
    SlotLeak
        ``table`` as ``leak_table`` gives it.
    """
    check_rate("confidence_level", confidence_level)
    check_positive("lookback_hours", lookback_hours, "hours")
    if not shop.user_ids_known:
        return SlotLeak(pd.DataFrame(columns=COLUMNS), "users_unknown", ())
    recorded = _recorded(shop)
    steps = [step for step in FUNNEL_STEPS if step in recorded]
    missing = tuple(step for step in FUNNEL_STEPS if step not in recorded)
    orders = shop.orders if shop.has("orders") else None
    if CLICK not in steps:
        return SlotLeak(pd.DataFrame(columns=COLUMNS), "no_clicks", missing)
    after_click = [step for step in FUNNEL_STEPS[2:] if step in recorded]
    counts = shop.collect(
        slot_funnel(shop.events, orders, steps=after_click, period=period, lookback_hours=lookback_hours)
    ).set_index("slot_id")
    if counts.empty:
        return SlotLeak(pd.DataFrame(columns=COLUMNS), "no_clicks", missing)
    if EXPOSURE in steps:
        counts = counts.join(shop.collect(exposed_users(shop.events, period)).set_index("slot_id"), how="outer")
    counts = counts[steps].fillna(0).astype("int64")
    counts.index = counts.index.astype(str)
    table = leak_table(counts, slots, credit=credit, amount_by_slot=amount_by_slot, confidence_level=confidence_level)
    return SlotLeak(table, None, missing)


def _recorded(shop: Shop) -> set[str]:
    """Steps that the source records at all, in the period or not."""
    recorded = set(shop.collect(recorded_steps(shop.events))["event"])
    if not shop.has("orders"):
        return recorded
    known = shop.orders.aggregate(
        begin_checkout=shop.orders.submitted_ms.notnull().any(), purchase=shop.orders.paid_ms.notnull().any()
    )
    ordered = shop.collect(known).iloc[0]
    return recorded - set(ordered.index) | {step for step in ordered.index if ordered[step]}


def leak_table(
    counts: pd.DataFrame,
    slots: pd.DataFrame,
    *,
    credit: pd.DataFrame,
    amount_by_slot: pd.Series | None,
    confidence_level: float,
) -> pd.DataFrame:
    """Rates of each step, shrunk towards comparable slots, and the step that loses most.

    Parameters
    ----------
    counts
        Users by slot_id (index, text) and step (columns, in the order of ``FUNNEL_STEPS``).
    slots, credit, amount_by_slot, confidence_level
        As in ``slot_leak``.

    Returns
    -------
    pandas.DataFrame
        One row per slot and step, slots with the most clickers first:

        - slot_id, slot_name, page, slot_kind, step (its event), step_index (from 1), user_count;
        - step_rate, of the users of the step before, with its Wilson interval ci_lower, ci_upper (one row is one
          user); 1 for the first step;
        - overall_rate, of the clickers; null for the exposure;
        - shrunk_rate and comparable_rate: see the notes;
        - loss = ln(comparable_rate ÷ shrunk_rate), above 0 where the slot keeps fewer users than its like;
        - is_largest_loss: the step with the largest loss among those beyond chance, at most one for a slot;
        - stake_amount, on that step: the slot's credited amount × (comparable_rate ÷ shrunk_rate − 1), an upper
          bound, since it takes all else as it is and the amount as caused by the slot;
        - credit_share: the slot's share of all conversions of the step's own target;
        - reason: why a number is empty: ``first_step``, ``no_users_before``, ``clicks_above_exposures``,
          ``no_comparable_slots``, ``nobody_reached`` (neither in this slot nor in comparable ones),
          ``no_amount_credited`` (nothing to scale: the slot sold nothing).

    Notes
    -----
    Comparable slots are those of the same page and kind where there are at least four with clickers (the slot
    itself counted), else those of the same page, else all.

    ``shrunk_rate`` is the mean of a beta-binomial posterior, ``(x + s·m) / (n + s)`` with x of n users. The prior
    is fitted by moments to the comparable slots, the slot itself among them: with ``p = Σx ÷ Σn``, k slots and
    ``Q = Σ n (x/n − p)²``, the correlation within slots is ``ρ = (Q ÷ p(1−p) − (k−1)) ÷ (N − Σn²/N − (k−1))`` with
    ``N = Σn``, between 0 and 0.5; the mean m weighs slots by ``n ÷ (1 + (n−1)ρ)``; ``s = 1/ρ − 1``. Where slots differ no
    more than chance lets them, ρ is 0 and every rate is m.

    ``comparable_rate`` is the median of the shrunk rates of the comparable slots, the slot itself left out.

    Beyond chance: the one-sided tail of the binomial distribution at the comparable rate, that rate being uncertain
    itself (normal on the logit scale, with the variance of the others' pooled rate under their own ρ, times π/2 for
    a median), below ``1 − confidence_level`` divided by the number of slots × steps tested (Bonferroni). So where
    all slots are equal any step is marked in at most ``1 − confidence_level`` of shops.

    It misleads where comparable slots are not: places further down are clicked less by their position alone.

    References
    ----------
    Kleinman, J. C. (1973), doi:10.1080/01621459.1973.10481332 (moments of the beta-binomial).
    """
    steps = list(counts.columns)
    names = slots.drop_duplicates("slot_id").set_index("slot_id")[["slot_name", "page", "slot_kind"]]
    described = names.reindex(counts.index)
    order = counts.sort_index().sort_values(CLICK, ascending=False, kind="stable").index
    counts, described = counts.loc[order], described.loc[order]
    users = counts.to_numpy(dtype=float)
    reached, before = users[:, 1:], users[:, :-1]
    impossible = reached > before
    before = np.where(impossible, 0.0, before)
    reached = np.where(impossible, 0.0, reached)
    groups = _comparable_groups(described, users[:, steps.index(CLICK)])
    shrunk, comparable, error = (np.full(reached.shape, np.nan) for _ in range(3))
    for step in range(reached.shape[1]):
        shrunk[:, step] = _shrunk(reached[:, step], before[:, step], groups)
        comparable[:, step], error[:, step] = _compared(reached[:, step], before[:, step], shrunk[:, step], groups)
    tail = _lower_tail(reached, before, comparable, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = np.where(shrunk > 0, np.log(comparable / shrunk), np.nan)
    largest = _largest_loss(loss, tail, confidence_level)
    interval = wilson(reached, before, confidence_level=confidence_level)
    first = np.full((len(users), 1), np.nan)
    clickers = users[:, [steps.index(CLICK)]]
    overall = np.where(clickers > 0, users / np.where(clickers > 0, clickers, np.nan), np.nan)
    overall[:, : steps.index(CLICK)] = np.nan
    table = pd.DataFrame(
        {
            "slot_id": np.repeat(counts.index.to_numpy(dtype=object), len(steps)),
            "slot_name": np.repeat(described["slot_name"].to_numpy(dtype=object), len(steps)),
            "page": np.repeat(described["page"].to_numpy(dtype=object), len(steps)),
            "slot_kind": np.repeat(described["slot_kind"].to_numpy(dtype=object), len(steps)),
            "step": np.tile(np.array(steps, dtype=object), len(users)),
            "step_index": np.tile(np.arange(1, len(steps) + 1), len(users)),
            "user_count": users.astype("int64").ravel(),
            "step_rate": np.hstack([np.where(users[:, :1] > 0, 1.0, np.nan), interval.estimate]).ravel(),
            "ci_lower": np.hstack([first, interval.lower]).ravel(),
            "ci_upper": np.hstack([first, interval.upper]).ravel(),
            "overall_rate": overall.ravel(),
            "shrunk_rate": np.hstack([first, shrunk]).ravel(),
            "comparable_rate": np.hstack([first, comparable]).ravel(),
            "loss": np.hstack([first, loss]).ravel(),
            "is_largest_loss": np.hstack([np.zeros((len(users), 1), dtype=bool), largest]).ravel(),
        }
    )
    table["slot_name"] = table["slot_name"].where(table["slot_name"].notna(), table["slot_id"])
    credited = np.nan if amount_by_slot is None else table["slot_id"].map(amount_by_slot).fillna(0.0)
    nothing = table["is_largest_loss"] & (credited == 0)
    stake = credited * np.expm1(table["loss"])
    table["stake_amount"] = stake.where(table["is_largest_loss"] & ~nothing) if amount_by_slot is not None else np.nan
    shares = credit.drop_duplicates(["target", "credited_id"]).set_index(["target", "credited_id"])["conversion_share"]
    wanted = pd.MultiIndex.from_arrays([table["step"], table["slot_id"]])
    table["credit_share"] = shares.reindex(wanted).to_numpy(dtype=float)
    reasons = np.full(users.shape, None, dtype=object)
    reasons[:, 1:][comparable == 0] = "nobody_reached"
    reasons[:, 1:][np.isnan(comparable)] = "no_comparable_slots"
    reasons[:, 1:][before == 0] = "no_users_before"
    reasons[:, 1:][impossible] = "clicks_above_exposures"
    reasons[:, 0] = "first_step"
    table["reason"] = pd.Series(reasons.ravel(), dtype=object).mask(nothing.to_numpy(), "no_amount_credited")
    return table[COLUMNS]


def slot_quadrants(leak: pd.DataFrame) -> pd.DataFrame:
    """Which slots are visited much and sell little, and the other way round?

    Parameters
    ----------
    leak
        Table of ``slot_leak``.

    Returns
    -------
    pandas.DataFrame
        One row per slot with clickers: slot_id, slot_name, page, slot_kind, traffic (clickers), conversion (of the
        clickers, those who reach ``purchase``; shrunk as in ``leak_table``) and quadrant, such as
        ``high_traffic_low_conversion``. At or above the median of the slots is high. Empty where the source
        records no payment.
    """
    wide = leak.pivot(index="slot_id", columns="step", values="user_count")
    if not {CLICK, "purchase"} <= set(wide.columns):
        return pd.DataFrame(columns=QUADRANT_COLUMNS)
    described = leak.drop_duplicates("slot_id").set_index("slot_id")[["slot_name", "page", "slot_kind"]]
    described = described.assign(traffic=wide[CLICK], paid=wide["purchase"])
    described = described[described["traffic"] > 0]
    traffic = described["traffic"].to_numpy(dtype=float)
    groups = _comparable_groups(described, traffic)
    described["conversion"] = _shrunk(described["paid"].to_numpy(dtype=float), traffic, groups)
    high_traffic = described["traffic"] >= described["traffic"].median()
    high_conversion = described["conversion"] >= described["conversion"].median()
    described["quadrant"] = [
        f"{'high' if much else 'low'}_traffic_{'high' if well else 'low'}_conversion"
        for much, well in zip(high_traffic, high_conversion)
    ]
    return described.reset_index()[QUADRANT_COLUMNS]


def _comparable_groups(described: pd.DataFrame, clickers: Floats) -> Groups:
    """Give (slots that compare, the slots they compare with) as positions, each slot comparing once."""
    active = clickers > 0
    place = np.arange(len(described))
    open_slots = np.ones(len(described), dtype=bool)
    groups = []
    page, kind = (described[name].astype(object).where(described[name].notna(), None) for name in ("page", "slot_kind"))
    for keys in (pd.Series(list(zip(page, kind)), dtype=object), pd.Series(list(page), dtype=object)):
        known = np.array([one is not None and (not isinstance(one, tuple) or None not in one) for one in keys], bool)
        codes = pd.factorize(keys)[0]
        for code in np.unique(codes[known & open_slots]):
            members = place[(codes == code) & active]
            if len(members) >= MIN_PEERS:
                mine = place[(codes == code) & open_slots]
                groups.append((mine, members))
                open_slots[mine] = False
    if open_slots.any():
        groups.append((place[open_slots], place[active]))
    return groups


def _correlation(successes: Floats, trials: Floats, squares: Floats, pairs: Floats, slots: Floats) -> Floats:
    """Correlation of users within slots by moments, from sums over slots of x, n, x²/n, n² and 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = successes / trials
        spread = (squares - successes * share) / (share * (1 - share))
        found = (spread - (slots - 1)) / (trials - pairs / trials - (slots - 1))
    return np.where(np.isfinite(found), np.clip(found, 0.0, MOST_CORRELATION), 0.0)


def _moments(reached: Floats, before: Floats) -> list[Floats]:
    """Each slot's part of the sums that ``_correlation`` takes."""
    squares = np.divide(reached**2, before, out=np.zeros_like(before), where=before > 0)
    return [reached, before, squares, before**2, (before > 0).astype(float)]


def _shrunk(reached: Floats, before: Floats, groups: Groups) -> Floats:
    """Posterior means of the rates; NaN without users."""
    found = np.full(len(before), np.nan)
    for mine, members in groups:
        x, n = reached[members], before[members]
        correlation = _correlation(*(np.asarray(one.sum()) for one in _moments(x, n))).item()
        weight = 1 / (1 + (np.maximum(n, 1) - 1) * correlation)
        total = (weight * n).sum()
        if total == 0:
            continue
        mean = (weight * x).sum() / total
        x, n = reached[mine], before[mine]
        # (x + s·m) ÷ (n + s) with s = 1/ρ − 1, written so that it also holds at ρ = 0
        value = (correlation * x + (1 - correlation) * mean) / (correlation * n + 1 - correlation)
        found[mine] = np.where(n > 0, value, np.nan)
    return found


def _compared(reached: Floats, before: Floats, shrunk: Floats, groups: Groups) -> tuple[Floats, Floats]:
    """Median of the other comparable slots' shrunk rates, and its standard error on the logit scale."""
    middle, error = (np.full(len(before), np.nan) for _ in range(2))
    for mine, members in groups:
        members = members[before[members] > 0]
        mine = mine[before[mine] > 0]
        is_member = np.isin(mine, members)
        own = np.where(is_member, np.searchsorted(members, mine), -1)
        share = middle[mine] = _median_of_others(shrunk[members], own)
        others = [one[members].sum() - one[mine] * is_member for one in _moments(reached, before)]
        correlation, total, pairs = _correlation(*others), others[1], others[3]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = (1 + correlation * (pairs / total - 1)) / total
            error[mine] = np.sqrt(np.pi / 2 * relative / (share * (1 - share)))
    return middle, error


def _median_of_others(values: Floats, own: Places) -> Floats:
    """Median of ``values`` without the one at position ``own`` (-1: none left out)."""
    if not len(values):
        return np.full(len(own), np.nan)
    order = np.argsort(values, kind="stable")
    rank = np.empty(len(values), dtype=np.intp)
    rank[order] = np.arange(len(values))
    left_out = np.where(own >= 0, rank[own], len(values))
    count = len(values) - (own >= 0)
    middles = []
    for place in ((count - 1) // 2, count // 2):
        place = np.where(place >= left_out, place + 1, place)
        middles.append(values[order][np.clip(place, 0, len(values) - 1)])
    return np.where(count > 0, (middles[0] + middles[1]) / 2, np.nan)


def _lower_tail(reached: Floats, before: Floats, share: Floats, error: Floats) -> Floats:
    """P(at most ``reached`` of ``before``) at a rate whose logit is normal around that of ``share``.

    NaN where it cannot be had; 1 where the slot keeps no smaller share, since nothing is lost there.
    """
    usable = np.isfinite(share) & np.isfinite(error) & (share > 0) & (share < 1) & (before > 0)
    tail = np.where(usable, 1.0, np.nan)
    below = usable & (reached < share * before)
    rates = special.expit(special.logit(share[below])[:, None] + error[below][:, None] * _NODES)
    x, n = (one[below][:, None] for one in (reached, before))
    tail[below] = special.betainc(n - x, x + 1, 1 - rates) @ _WEIGHTS  # the binomial distribution function
    return tail


def _largest_loss(loss: Floats, tail: Floats, confidence_level: float) -> NDArray[np.bool_]:
    """Mark each slot's largest loss among those beyond chance."""
    tested = np.isfinite(tail)
    sure = tested & (tail < (1 - confidence_level) / max(tested.sum(), 1)) & (loss > 0)
    if not loss.shape[1]:
        return sure
    largest = np.where(sure, loss, -np.inf)
    return sure & (largest == largest.max(axis=1, keepdims=True))
