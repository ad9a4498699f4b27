"""What the engine brings back of one experiment: sums by arm, week and stratum; never a user's row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.errors import TableError
from workbench.experiment.plan import OUTCOMES, Experiment, ReadoutRules
from workbench.metrics.experiment_units import (
    assigned_units,
    coupon_orders_within,
    coupon_reach,
    crossings,
    inviter_members,
    inviter_units,
    own_members,
    users_in_two_arms,
)
from workbench.metrics.experiments import (
    cuped_squares,
    curve_sums,
    ratio_sums,
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
        From ``unit_sums``: one row per variant, week, is_new and stratum.
    ratios
        From ``ratio_sums`` by name of the ratio: refunds of the paid amount, profit of the discount.
    curve
        From ``curve_sums``.
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
    ratios: Mapping[str, pd.DataFrame]
    curve: pd.DataFrame
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
        return int(self.sums.loc[self.sums["variant"] == variant, "unit_count"].sum())

    def followed(self, variant: str, days: int, *, week: int | None = None, is_new: bool | None = None) -> int:
        """Units of an arm whose window has elapsed; of one week, or only new ones or those with a history."""
        chosen = self.sums["variant"] == variant
        if week is not None:
            chosen = chosen & (self.sums["week"] == week)
        if is_new is not None:
            chosen = chosen & (self.sums["is_new"] == is_new)
        return int(self.sums.loc[chosen, f"n_{days}"].sum())

    def cells(
        self, variant: str, outcome: str, days: int, code: NDArray[np.intp], *, is_new: bool | None = None
    ) -> Sums:
        """Sums of an arm's followed units by cell; ``code`` is the number of the cell of each row of ``sums``."""
        name = OUTCOMES[outcome]
        chosen = (self.sums["variant"] == variant).to_numpy()
        if is_new is not None:
            chosen = chosen & (self.sums["is_new"] == is_new).to_numpy()
        columns = (f"n_{days}", *(f"{name}_{days}_{part}" for part in ("y", "yy", "x", "xx", "xy")))
        count = int(code.max(initial=0)) + 1
        weights = (self.sums[column].to_numpy(dtype=float)[chosen] for column in columns)
        return Sums(*(np.bincount(code[chosen], one, count).astype(float) for one in weights))

    def before(self, variant: str, outcome: str, code: NDArray[np.intp]) -> Sums:
        """Sums of the outcome before assignment over all units of an arm by cell; ``code`` as for ``cells``."""
        name = OUTCOMES[outcome]
        chosen = (self.sums["variant"] == variant).to_numpy()
        cells = int(code.max(initial=0)) + 1
        count, x, xx = (
            np.bincount(code[chosen], self.sums[column].to_numpy(dtype=float)[chosen], cells).astype(float)
            for column in ("unit_count", f"{name}_pre_x", f"{name}_pre_xx")
        )
        return Sums(count, x, xx, x, xx, xx)

    def squares(self, fits: Mapping[tuple[str, int | None, str, int], CupedFit]) -> list[dict[str, Any]]:
        """Second pass of CUPED, one row per variant and week (0 where weeks are taken together)."""
        return self.shop.collect(cuped_squares(self.lazy, fits)).to_dict("records")  # type: ignore[return-value]


def collect_experiment(shop: Shop, experiment: Experiment, period: Period, rules: ReadoutRules) -> Collected:
    """Bring back the sums of one experiment."""
    table = shop.experiment_assignments
    assignments = table.filter(table.experiment_id.cast("string") == experiment.experiment_id)
    users = shop.users if shop.has("users") else None
    invitees = None
    if experiment.by_inviter:
        units = shop.hold("experiment_units", inviter_units(assignments, shop.users, period))
        members = shop.hold("experiment_members", inviter_members(units, shop.users, assignments))
        counted = shop.collect(crossings(assignments, units, members)).iloc[0]
        invitees = {str(name): int(value) for name, value in counted.items()}
    else:
        units = shop.hold("experiment_units", assigned_units(assignments, period))
        members = own_members(units)
    has_cost = rules.margin_rate is not None or shop.has("orders", "cost_amount")
    has_profit = shop.has_money and has_cost
    outcomes = tuple(
        one
        for one in rules.outcomes
        if one in ("buyer_rate", "orders_per_user") or (shop.has_money and (one != "profit_per_user" or has_profit))
    )

    if not outcomes:
        raise TableError(
            f"{shop.name}: {', '.join(rules.outcomes)} cannot be measured: orders have no amounts or no costs. Give "
            "cost_amount or margin_rate, or ask for buyer_rate and orders_per_user too."
        )

    def outcomes_within(days: Sequence[int]) -> ir.Table:
        return unit_outcomes(
            units,
            members,
            shop.orders,
            users,
            period,
            days=days,
            pre_days=rules.pre_period_days,
            profit=(lambda orders: profit_amount(orders, rules.margin_rate)) if has_profit else None,
        )

    lazy = shop.hold("experiment_outcomes", outcomes_within(rules.outcome_days))
    names = list(dict.fromkeys(["orders", "buyers", *(OUTCOMES[one] for one in outcomes)]))
    sums = shop.collect(unit_sums(lazy, names, rules.outcome_days))
    ratios = {}
    if shop.has_money:
        ratios["refund_rate"] = shop.collect(ratio_sums(lazy, "refund_amount", "paid_amount", rules.outcome_days))
        ratios["average_order_value"] = shop.collect(ratio_sums(lazy, "paid_amount", "orders", rules.outcome_days))
        if has_profit:
            ratios["profit_of_discount"] = shop.collect(
                ratio_sums(lazy, "profit", "discount_amount", rules.outcome_days)
            )
    days = curve_days(max(rules.outcome_days))
    drawn = [OUTCOMES[one] for one in CURVE_OUTCOMES if one in outcomes]
    curve = shop.collect(curve_sums(outcomes_within(days), drawn, days)) if drawn else pd.DataFrame()
    crossed = shop.collect(users_in_two_arms(assignments)).iloc[0]
    reach = None
    if experiment.coupon_id is not None and shop.has("coupon_grants"):
        grants = shop.coupon_grants
        own = grants.filter(grants.coupon_id.cast("string") == experiment.coupon_id)
        own = own.mutate(coupon_id=own.coupon_id.cast("string"))
        reached = coupon_reach(
            units, own, experiment.coupon_id, paid=paid_orders(shop.orders), days=max(rules.outcome_days)
        )
        within = coupon_orders_within(units, members, own, paid_orders(shop.orders), period, rules.outcome_days)
        reach = shop.collect(reached).merge(shop.collect(within), on="variant", how="left").fillna(0)
        reach = reach.set_index("variant")
    changed = _allocation(sums)
    return Collected(
        experiment=experiment,
        sums=sums,
        ratios=ratios,
        curve=curve,
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


def curve_days(longest: int) -> tuple[int, ...]:
    """Some seven days after assignment at which the cumulative effect is shown, the longest window last."""
    steps = np.unique(np.round(np.geomspace(1, longest, 7)).astype(int))
    return tuple(int(one) for one in steps)


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
