"""What the engine brings back of one experiment: sums by arm, week and stratum; never a user's row."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.errors import TableError
from workbench.experiment.plan import OUTCOMES, Experiment, ReadoutRules, measurable_outcomes
from workbench.metrics.experiment_units import (
    assigned_units,
    coupon_orders_within,
    coupon_reach,
    coupon_uses,
    crossings,
    inviter_members,
    inviter_units,
    own_members,
    users_in_two_arms,
)
from workbench.metrics.experiments import (
    NO_ORDERS,
    cuped_squares,
    followed_units,
    unit_outcomes,
    unit_sums,
)
from workbench.metrics.orders import paid_orders, profit_amount
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.cuped import CupedFit
from workbench.stats.sums import Sums

Floats = NDArray[np.float64]
CURVE_OUTCOMES = ("orders_per_user", "profit_per_user")
RATIOS = {
    "refund_rate": ("refund_amount", "paid_amount"),
    "average_order_value": ("paid_amount", "orders"),
    "profit_of_discount": ("profit", "borne_discount_amount"),
}
"""Ratios of two sums over units, numerator and denominator."""
ALLOCATION_ALARM = 0.001
"""Below this p-value the arms' shares changed over the weeks, and weeks are compared within themselves."""


@dataclass(frozen=True)
class Collected:
    """One experiment as it came back.

    Attributes
    ----------
    experiment
        What was planned.
    sums
        From ``followed_sums``: one row per variant, week, is_new and stratum.
    ratios
        Names of ``RATIOS`` that the data can give.
    curve_days
        Days after assignment at which the cumulative effect is known; empty where there is no outcome for it.
    crossed_count, user_count
        Users in two arms, who are left out, and all users assigned.
    invitees
        invitee_count, assigned_invitee_count, crossed_invitee_count; None where users are the units.
    reach
        From ``coupon_reach`` and ``coupon_orders_within``; None without a coupon.
    by_week
        Whether shares of the arms changed over the weeks, and its p-value.
    outcomes
        Outcomes that the data can give: without money only counts.
    """

    experiment: Experiment
    sums: pd.DataFrame
    ratios: tuple[str, ...]
    curve_days: tuple[int, ...]
    crossed_count: int
    user_count: int
    invitees: Mapping[str, int] | None
    reach: pd.DataFrame | None
    by_week: bool
    week_p_value: float
    outcomes: tuple[str, ...]
    lazy: ir.Table = field(repr=False)
    shop: Shop = field(repr=False)

    def units(self, variant: str) -> int:
        """Units of an arm, followed or not."""
        return int(self._numbers["unit_count"][self._labels["variant"] == variant].sum())

    def followed(self, variant: str, days: int) -> int:
        """Units of an arm whose window has elapsed."""
        return int(self._numbers[f"n_{days}"][self._labels["variant"] == variant].sum())

    def cells(
        self,
        variant: str,
        outcome: str,
        days: int,
        code: NDArray[np.intp],
        *,
        is_new: bool | None = None,
        has_past: bool | None = None,
    ) -> Sums:
        """Sums of an arm's followed units by cell; ``code`` is the number of the cell of each row of ``sums``.

        ``outcome`` may be one of ``ratios``: y is its numerator, x its denominator. ``is_new``: only new units, or only
        those with a history; ``has_past``: of the latter only those with orders in the time before, or without.
        """
        chosen = self._labels["variant"] == variant
        if is_new is not None:
            chosen = chosen & (self._labels["is_new"] == is_new)
        if has_past is not None:
            chosen = chosen & ((self._labels["stratum"] != NO_ORDERS) == has_past) & ~self._labels["is_new"]
        stem = f"{OUTCOMES.get(outcome, outcome)}_{days}"
        return self._summed(chosen, code, (f"n_{days}", *(f"{stem}_{part}" for part in ("y", "yy", "x", "xx", "xy"))))

    def before(self, variant: str, outcome: str, code: NDArray[np.intp]) -> Sums:
        """Sums of the outcome before assignment over all units of an arm by cell; ``code`` as for ``cells``."""
        chosen, name = self._labels["variant"] == variant, OUTCOMES[outcome]
        x, xx = f"{name}_pre_x", f"{name}_pre_xx"
        return self._summed(chosen, code, ("unit_count", x, xx, x, xx, xx))

    def grown(self, variant: str, outcome: str, day: int, code: NDArray[np.intp]) -> Sums:
        """Sums of the outcome up to a day by cell, over an arm's units followed to the last of ``curve_days``."""
        chosen, stem = self._labels["variant"] == variant, f"{OUTCOMES[outcome]}_{day}_curve"
        return self._summed(chosen, code, (f"n_{max(self.curve_days)}", f"{stem}_y", f"{stem}_yy"))

    def _summed(self, chosen: NDArray[np.bool_], code: NDArray[np.intp], columns: Sequence[str]) -> Sums:
        """Chosen rows by cell: count, y, yy, x, xx, xy; those not named are 0."""
        cells = int(code.max(initial=0)) + 1
        own, numbers = code[chosen], self._numbers
        sums = [np.bincount(own, numbers[column][chosen], cells).astype(float) for column in columns]
        return Sums(*sums, *[np.zeros(cells)] * (6 - len(sums)))

    @cached_property
    def _labels(self) -> dict[str, NDArray[Any]]:
        """Columns of ``sums`` that say which cell a row is."""
        types = {"variant": object, "stratum": object, "is_new": np.bool_}
        return {name: self.sums[name].to_numpy(dtype=type_) for name, type_ in types.items()}

    @cached_property
    def _numbers(self) -> dict[str, Floats]:
        """Columns of ``sums`` that are numbers."""
        names = self.sums.columns.difference(["variant", "week", "is_new", "stratum"])
        return {str(name): self.sums[name].to_numpy(dtype=float) for name in names}

    def squares(self, fits: Mapping[tuple[str, int | None, str, int], CupedFit]) -> list[dict[Hashable, Any]]:
        """Second pass of CUPED, one row per variant and week (0 where weeks are taken together)."""
        days = sorted({days for _variant, _week, _name, days in fits})
        return self.shop.collect(cuped_squares(self.lazy, fits, days)).to_dict("records")


def collect_experiment(shop: Shop, experiment: Experiment, period: Period, rules: ReadoutRules) -> Collected:
    """Bring back the sums of one experiment."""
    table = shop.experiment_assignments
    assignments = table.filter(table.experiment_id.cast("string") == experiment.experiment_id)
    outcomes = measurable_outcomes(shop, rules)
    if not outcomes:
        raise TableError(
            f"{shop.name}: {', '.join(rules.outcomes)} cannot be measured: orders have no amounts or no costs. Give "
            "cost_amount or margin_rate, or ask for buyer_rate and orders_per_user too."
        )
    users = shop.users if shop.has("users") else None
    chosen = (
        inviter_units(assignments, shop.users, period) if experiment.by_inviter else assigned_units(assignments, period)
    )
    units = shop.hold("experiment_units", followed_units(chosen, users, period, rules.outcome_days))
    members, invitees = own_members(units), None
    if experiment.by_inviter:
        members = shop.hold("experiment_members", inviter_members(units, shop.users, assignments))
        counted = shop.collect(crossings(assignments, units, members)).iloc[0]
        invitees = {str(name): int(value) for name, value in counted.items()}
    has_reach = bool(experiment.coupons) and shop.has("coupon_grants")
    has_profit = shop.has_money and (rules.margin_rate is not None or shop.has("orders", "cost_amount"))
    ratios = _ratios(shop, has_profit=has_profit, has_coupon=bool(experiment.coupons))
    names = list(dict.fromkeys(["orders", "buyers", *(OUTCOMES[one] for one in outcomes)]))
    drawn = [OUTCOMES[one] for one in CURVE_OUTCOMES if one in outcomes]
    grid = curve_days(rules.outcome_days) if drawn else ()
    lazy = shop.hold(
        "experiment_outcomes",
        unit_outcomes(
            members,
            shop.orders,
            period,
            days=rules.outcome_days,
            pre_days=rules.pre_period_days,
            profit=(lambda orders: profit_amount(orders, rules.margin_rate)) if has_profit else None,
            names=[*names, *(name for pair in ratios.values() for name in pair)],
            curve_days=grid,
        ),
    )
    curve = [(name, day) for name in drawn for day in grid]
    sums = followed_sums(
        shop.collect(unit_sums(lazy, units, names, rules.outcome_days, ratios=ratios, curve=curve)), rules.outcome_days
    )
    crossed = shop.collect(users_in_two_arms(assignments)).iloc[0]
    reach = _reach(shop, experiment, units, members, period, rules.outcome_days) if has_reach else None
    changed = _allocation(sums)
    return Collected(
        experiment=experiment,
        sums=sums,
        ratios=tuple(ratios),
        curve_days=grid,
        crossed_count=int(crossed["crossed_user_count"] or 0),
        user_count=int(crossed["user_count"] or 0),
        invitees=invitees,
        reach=reach,
        by_week=changed < ALLOCATION_ALARM,
        week_p_value=changed,
        outcomes=outcomes,
        lazy=lazy,
        shop=shop,
    )


def _reach(
    shop: Shop, experiment: Experiment, units: ir.Table, members: ir.Table, period: Period, days: Sequence[int]
) -> pd.DataFrame:
    """Who got and used the coupon, by arm; where arms test different coupons, each treatment by its own."""
    grants = shop.coupon_grants.mutate(coupon_id=shop.coupon_grants.coupon_id.cast("string"))
    parts = []
    for coupon_id in sorted(set(experiment.coupons.values())):
        own = coupon_uses(grants.filter(grants.coupon_id == coupon_id), paid_orders(shop.orders))
        uses = shop.hold("experiment_coupon_uses", own)
        reached = shop.collect(coupon_reach(units, uses, max(days)))
        within = shop.collect(coupon_orders_within(members, uses, period, days))
        table = reached.merge(within, on="variant", how="left").fillna(0)
        if experiment.coupon_id is None:
            table = table[[experiment.coupons.get(arm) == coupon_id for arm in table["variant"]]]
        parts.append(table)
    return pd.concat(parts).set_index("variant")


def followed_sums(sums: pd.DataFrame, days: Sequence[int]) -> pd.DataFrame:
    """Sums over the units followed long enough, from the rows of ``unit_sums``.

    Returns
    -------
    pandas.DataFrame
        One row per variant, week, is_new and stratum: unit_count; for d of ``days`` n_<d>, the units followed for d days,
        and over these the columns <name>_<d>_... of the same name; for each name also <name>_<d>_x and _xx, those before
        the assignment over the same units. The columns <name>_pre_... hold all units, those of the curve the units
        followed for the longest of ``days``.
    """
    cell = ["variant", "week", "is_new", "stratum"]
    grouped = sums.groupby(cell)
    code, keys = grouped.ngroup().to_numpy(), grouped.size().reset_index()[cell]
    numbers = {
        str(name): np.nan_to_num(sums[name].to_numpy(dtype=float))
        for name in sums.columns
        if name not in (*cell, "elapsed")
    }
    elapsed, steps = sums["elapsed"].to_numpy(dtype=int), sorted(set(days))

    def added(column: str, least: int) -> Floats:
        return np.bincount(code, np.where(elapsed >= least, numbers[column], 0.0), len(keys)).astype(float)

    found = {"unit_count": added("unit_count", 0).astype(int)}
    found |= {f"n_{one}": added("unit_count", place).astype(int) for place, one in enumerate(steps, 1)}
    for column in numbers:
        name, _, ending = column.rpartition("_")
        if name.endswith("_pre"):
            found[column] = added(column, 0)
            stem = name.removesuffix("_pre")
            found |= {f"{stem}_{one}_{ending}": added(column, place) for place, one in enumerate(steps, 1)}
        elif name.endswith("_curve"):
            found[column] = added(column, len(steps))
        elif column != "unit_count":
            found[column] = added(column, steps.index(int(name.rpartition("_")[2])) + 1)
    return pd.concat([keys, pd.DataFrame(found)], axis=1)


def curve_days(outcome_days: Sequence[int]) -> tuple[int, ...]:
    """Days after assignment at which the cumulative effect is shown: those of the outcomes, the first, and between them.

    Examples
    --------
    >>> curve_days([7, 30, 60])
    (1, 3, 7, 14, 30, 60)
    """
    days = sorted({1, *outcome_days})
    while wide := [(low, high) for low, high in pairwise(days) if high > 3 * low]:
        days = sorted({*days, *(round(math.sqrt(low * high)) for low, high in wide)})
    return tuple(days)


def _ratios(shop: Shop, *, has_profit: bool, has_coupon: bool) -> dict[str, tuple[str, str]]:
    """Ratios that the data can give; those of the discount only where a coupon is tested."""
    off = {"profit_of_discount"} if not (has_profit and has_coupon) else set()
    return {name: pair for name, pair in RATIOS.items() if shop.has_money and name not in off}


def _allocation(sums: pd.DataFrame) -> float:
    """p-value of the weeks having equal shares of the arms; weeks with few units are put together."""
    table = sums.pivot_table(index="week", columns="variant", values="unit_count", aggfunc="sum", fill_value=0)
    if table.shape[0] < 2 or table.shape[1] < 2:
        return float("nan")
    expected = table.sum(axis=0) / table.to_numpy().sum()
    few = (table.sum(axis=1).to_numpy()[:, None] * expected.to_numpy()).min(axis=1) < 5
    if few.any():
        table = pd.concat([table[~few], table[few].sum().to_frame().T])
    if len(table) < 2:
        return float("nan")
    from scipy.stats import chi2_contingency

    with np.errstate(all="ignore"):
        return float(chi2_contingency(table.to_numpy(dtype=float), correction=False).pvalue)
