"""Who moves between quadrants from one period to the next, who is new, who is gone and who has stopped coming."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.metrics.user_states import NEW, OUT, QUADRANTS, RETURNED, UserPeriods
from workbench.stats.intervals import Floats, wilson
from workbench.user.periods import day_of

ORIGINS = (*QUADRANTS, "new", "returned")
TARGETS = (*QUADRANTS, "gone")
_ORIGIN_CODES = (1, 2, 3, 4, NEW, RETURNED)
_TARGET_CODES = (1, 2, 3, 4, OUT)
COLUMNS = [
    "period_index",
    "from_group",
    "from_name",
    "to_group",
    "to_name",
    "user_count",
    "row_share",
    "start_date",
    "end_date",
    "from_user_count",
    "row_share_ci_lower",
    "row_share_ci_upper",
    "stopped_count",
    "paid_amount_before",
    "paid_amount_after",
    "crossed",
]


@dataclass(frozen=True)
class Moves:
    """Users and their moves, by period, origin and target; arrays of shape (periods, 6, 5).

    Attributes
    ----------
    users
        Users; origins in the order of ``ORIGINS``, targets in that of ``TARGETS``. In the first period all are new or have
        returned.
    stopped
        Of them, users of a quadrant without any activity in the period's own days.
    paid_before, paid_after
        Paid amount in the window before and in that of the period.
    stopped_paid_before
        Paid amount in the window before, of those who stopped.
    orders, x, y
        Sums over the window of the period.
    """

    users: Floats
    stopped: Floats
    paid_before: Floats
    paid_after: Floats
    stopped_paid_before: Floats
    orders: Floats
    x: Floats
    y: Floats


def moves_of(sums: pd.DataFrame, count: int) -> Moves:
    """Sums collected from ``metrics.user_states.move_sums`` over so many periods, as arrays."""
    names = ["user_count", "stopped_count", "paid_before", "paid_amount", "stopped_paid_before", "order_count"]
    found = np.zeros((len(names) + 2, count, len(ORIGINS), len(TARGETS)))
    place = (
        sums["period_index"].to_numpy(dtype=int),
        pd.Index(_ORIGIN_CODES).get_indexer(pd.Index(sums["origin"].astype(int))),
        pd.Index(_TARGET_CODES).get_indexer(pd.Index(sums["target"].astype(int))),
    )
    for number, name in enumerate([*names, "x_sum", "y_sum"]):
        found[number][place] = sums[name].to_numpy(dtype=float)
    return Moves(*found)


def crossed(origin: str, target: str) -> str | None:
    """Which line was crossed on the way: x, y or both; None for users who stay, come or go.

    Examples
    --------
    >>> crossed("high_low", "low_low"), crossed("high_low", "low_high"), crossed("new", "low_low")
    ('x', 'both', None)
    """
    if origin not in QUADRANTS or target not in QUADRANTS:
        return None
    is_x, is_y = (one != other for one, other in zip(origin.split("_"), target.split("_")))
    return {(True, True): "both", (True, False): "x", (False, True): "y"}.get((is_x, is_y))


def migration_table(
    moves: Moves,
    periods: UserPeriods,
    first_in_report: int,
    name_of: Callable[[str], str],
    *,
    has_money: bool,
    confidence_level: float,
) -> pd.DataFrame:
    """Every move between groups, with its part of the group it comes from.

    Returns
    -------
    pandas.DataFrame
        One row per period of the report that has one before it, the newest first, from_group and to_group (28 rows a
        period): the user_count of a quadrant's rows sums to the quadrant's users in the period before, that of its columns to its users
        in the period. row_share of from_user_count with its Wilson interval, stopped_count, paid_amount_before and
        paid_amount_after (null without money), crossed (``x``, ``y``, ``both``, null).
    """
    rows = []
    cells = [
        (i, j) for i in range(len(ORIGINS)) for j in range(len(TARGETS)) if i < len(QUADRANTS) or j < len(QUADRANTS)
    ]
    for k in reversed(range(max(first_in_report, 1), len(periods))):
        for i, j in cells:
            rows.append(
                {
                    "period_index": k,
                    "start_date": day_of(periods.own(k)[0]).isoformat(),
                    "end_date": day_of(periods.ends[k]).isoformat(),
                    "from_group": ORIGINS[i],
                    "from_name": name_of(ORIGINS[i]),
                    "to_group": TARGETS[j],
                    "to_name": name_of(TARGETS[j]),
                    "user_count": int(moves.users[k, i, j]),
                    "from_user_count": int(moves.users[k, i].sum()),
                    "stopped_count": int(moves.stopped[k, i, j]) if i < len(QUADRANTS) else None,
                    "paid_amount_before": moves.paid_before[k, i, j] if has_money else np.nan,
                    "paid_amount_after": moves.paid_after[k, i, j] if has_money else np.nan,
                    "crossed": crossed(ORIGINS[i], TARGETS[j]),
                }
            )
    table = pd.DataFrame(rows, columns=[one for one in COLUMNS if not one.startswith("row_share")])
    found = wilson(
        table["user_count"].to_numpy(dtype=float),
        table["from_user_count"].to_numpy(dtype=float),
        confidence_level=confidence_level,
    )
    table = table.assign(
        row_share=found.estimate,
        row_share_ci_lower=found.lower,
        row_share_ci_upper=found.upper,
        stopped_count=table["stopped_count"].astype("Int64"),
    )
    return table[COLUMNS]
