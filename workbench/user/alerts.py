"""Which group loses more users than its own history explains, ranked by the money at risk."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.metrics.user_states import QUADRANTS, UserPeriods
from workbench.stats.alarms import DAYS_PER_MONTH, ShareAlarms, share_alarms
from workbench.stats.intervals import Floats
from workbench.user.migration import ORIGINS, TARGETS, Moves
from workbench.user.periods import day_of

STOPPED = "stopped"
WATCHED = "high_low"
"""Users who come often and spend little: many, cheap to lose one by one, so that money alone would never ring."""
LEAST_SHARE = 0.001
"""Without a minimum of money, an alarm needs so much of the paid amount in the window before."""
_WATCHED_TARGETS = ("low_low", "gone", STOPPED)
COLUMNS = [
    "rank",
    "period_index",
    "start_date",
    "end_date",
    "from_group",
    "from_name",
    "to_group",
    "to_name",
    "user_count",
    "from_user_count",
    "row_share",
    "expected_share",
    "expected_lower",
    "expected_upper",
    "p_value",
    "excess_users",
    "amount_per_user_lost",
    "amount_at_risk",
    "is_alarm",
    "since_date",
    "is_watched",
    "reason",
]


@dataclass(frozen=True)
class Outflows:
    """Shares of users who leave a quadrant; arrays of shape (periods, outflows).

    Attributes
    ----------
    pairs
        Quadrant and where its users go: another quadrant, ``gone``, or ``stopped`` (no activity in the period's own days,
        wherever their window puts them).
    users, trials
        Users who go, and all users of the quadrant in the period before.
    lost
        Paid amount per user in the window before less that in the window after; of users gone or stopped all of it.
    """

    pairs: tuple[tuple[str, str], ...]
    users: Floats
    trials: Floats
    lost: Floats


def outflows(moves: Moves, *, with_stopped: bool = True) -> Outflows:
    """All ways out of the quadrants.

    Parameters
    ----------
    moves
        From ``moves_of``.
    with_stopped
        Whether users who stopped are watched beside those gone; where the window is the period itself they are the same
        users, and would be judged twice.
    """
    pairs, users, trials, lost = [], [], [], []
    for i, origin in enumerate(QUADRANTS):
        every = moves.users[:, i].sum(axis=1)
        for j, target in enumerate(TARGETS):
            if i == j:
                continue
            pairs.append((origin, target))
            users.append(moves.users[:, i, j])
            after = 0.0 if target == "gone" else moves.paid_after[:, i, j]
            lost.append(_per_user(moves.paid_before[:, i, j] - after, moves.users[:, i, j]))
            trials.append(every)
        if with_stopped:
            pairs.append((origin, STOPPED))
            users.append(moves.stopped[:, i].sum(axis=1))
            lost.append(_per_user(moves.stopped_paid_before[:, i].sum(axis=1), users[-1]))
            trials.append(every)
    return Outflows(tuple(pairs), *(np.stack(one, axis=1) for one in (users, trials, lost)))


def _per_user(amount: Floats, users: Floats) -> Floats:
    return np.divide(amount, users, out=np.zeros(users.shape), where=users > 0)


def judge(
    found: Outflows, *, period_days: int, false_alarms_per_month: float, min_users: int
) -> tuple[ShareAlarms, NDArray[np.object_]]:
    """Judge every outflow in every period by the periods before it; one dial for all together.

    Parameters
    ----------
    found
        From ``outflows``; the first period, which has none before it, is left out here.
    period_days
        Days of a period.
    false_alarms_per_month
        How many alarms a month quiet groups may give on average, over all outflows together.
    min_users
        Groups with fewer users are neither judged nor learned from.

    Returns
    -------
    ShareAlarms, numpy.ndarray
        Without the first period; and why an outflow is not judged, ``few_users`` for small groups.
    """
    users, trials = found.users[1:], found.trials[1:]
    small = trials < min_users
    alarms = share_alarms(
        users,
        trials,
        periods_per_month=DAYS_PER_MONTH / period_days,
        false_alarms_per_month=false_alarms_per_month,
        side="rise",
        annotated=small,
    )
    reason = alarms.reason.copy()
    reason[small] = "few_users"
    return alarms, reason


def is_rise(origin: str, target: str) -> bool:
    """Whether users of a quadrant moved to a better one: no side fell.

    Examples
    --------
    >>> is_rise("low_low", "high_low"), is_rise("high_low", "low_high"), is_rise("low_low", "gone")
    (True, False, False)
    """
    if target not in QUADRANTS:
        return False
    return all((one, other) != ("high", "low") for one, other in zip(origin.split("_"), target.split("_"), strict=True))


def migration_alerts(
    moves: Moves,
    periods: UserPeriods,
    first_in_report: int,
    name_of: Callable[[str], str],
    *,
    has_money: bool,
    with_stopped: bool,
    false_alarms_per_month: float,
    min_users: int,
    least_amount: float | None,
) -> pd.DataFrame:
    """Which ways out of the quadrants took more users than their own history explains?

    Parameters
    ----------
    moves, periods, first_in_report, name_of, has_money
        As for ``migration_table``.
    with_stopped
        As for ``outflows``.
    false_alarms_per_month, min_users
        As for ``judge``; an alarm also needs ``min_users`` users who go.
    least_amount
        Money at risk below which an outflow is no alarm, unless it is watched; None: ``LEAST_SHARE`` of the paid amount
        in the window before.

    Returns
    -------
    pandas.DataFrame
        One row per period of the report and outflow, alarms first, by money at risk (by users where there is no money).
        expected_share is the mean of the earlier periods that did not ring, expected_lower and expected_upper the least
        and the greatest share among them; since_date is where the alarms of this outflow began that lead without a gap to
        this one; excess_users are those above the expected share; amount_at_risk = excess_users ×
        amount_per_user_lost, 0 where either is negative. reason tells why an outflow does not ring: ``no_loss`` (more
        users than usual rose to a better group), ``short_history``, ``few_users``, ``little_money``, ``no_users``, ``no_variation``; null where it could.
    """
    every = outflows(moves, with_stopped=with_stopped)
    if len(periods) < 2:
        return pd.DataFrame(columns=COLUMNS)
    alarms, reasons = judge(
        every, period_days=periods.period_days, false_alarms_per_month=false_alarms_per_month, min_users=min_users
    )
    rows = []
    since: dict[int, str] = {}
    for k in range(1, len(periods)):
        start_date = day_of(periods.own(k)[0]).isoformat()
        paid_before = moves.paid_before[k, : len(QUADRANTS)].sum()
        least = LEAST_SHARE * paid_before if least_amount is None else least_amount
        for cell, (origin, target) in enumerate(every.pairs):
            users, trials, reason = every.users[k, cell], every.trials[k, cell], reasons[k - 1, cell]
            expected = alarms.expected[k - 1, cell]
            excess = users - expected * trials
            lost = max(every.lost[k, cell], 0.0)
            at_risk = max(excess, 0.0) * lost if has_money else np.nan
            is_alarm, is_watched = bool(alarms.is_alarm[k - 1, cell]), origin == WATCHED and target in _WATCHED_TARGETS
            if is_alarm and is_rise(origin, target):
                is_alarm, reason = False, "no_loss"
            elif is_alarm and users < min_users:
                is_alarm, reason = False, "few_users"
            elif is_alarm and has_money and not is_watched and not (at_risk > 0 and at_risk >= least):
                is_alarm, reason = False, "little_money"
            if is_alarm:
                since.setdefault(cell, start_date)
            else:
                since.pop(cell, None)
            if k < first_in_report:
                continue
            learned = np.flatnonzero(alarms.is_learned[: k - 1, cell]) + 1
            earlier = every.users[learned, cell] / every.trials[learned, cell]
            if reason is not None and reason != "little_money":
                earlier = np.array([])
            rows.append(
                {
                    "period_index": k,
                    "start_date": start_date,
                    "end_date": day_of(periods.ends[k]).isoformat(),
                    "from_group": origin,
                    "from_name": name_of(origin),
                    "to_group": target,
                    "to_name": name_of(target),
                    "user_count": int(users),
                    "from_user_count": int(trials),
                    "row_share": users / trials if trials else np.nan,
                    "expected_share": expected,
                    "expected_lower": earlier.min() if earlier.size else np.nan,
                    "expected_upper": earlier.max() if earlier.size else np.nan,
                    "p_value": alarms.p_value[k - 1, cell],
                    "excess_users": excess,
                    "amount_per_user_lost": lost if has_money and trials else np.nan,
                    "amount_at_risk": at_risk,
                    "is_alarm": is_alarm,
                    "since_date": since.get(cell),
                    "is_watched": is_watched,
                    "reason": reason,
                }
            )
    table = pd.DataFrame(rows, columns=COLUMNS[1:])
    size = table["amount_at_risk" if has_money else "excess_users"].fillna(-1.0).round(6)
    place = {name: number for number, name in enumerate((*ORIGINS, "gone", STOPPED))}
    ordered = table.assign(
        _size=size,
        _excess=-table["excess_users"].fillna(0.0).round(6),
        _from=table["from_group"].map(place),
        _to=table["to_group"].map(place),
    ).sort_values(
        ["is_alarm", "_size", "_excess", "period_index", "_from", "_to"],
        ascending=[False, False, True, False, True, True],
        kind="stable",
    )
    ordered = ordered.drop(columns=["_size", "_excess", "_from", "_to"]).reset_index(drop=True)
    rank = pd.Series(np.arange(1, len(ordered) + 1), index=ordered.index).where(ordered["is_alarm"]).astype("Int64")
    return ordered.assign(rank=rank)[COLUMNS]
