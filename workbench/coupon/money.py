"""What a coupon earns beyond what would have been earned anyway, in money; only from randomized experiments."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.experiment.checks import is_broken, lacks_costs, ratio_cells
from workbench.experiment.collect import Collected
from workbench.experiment.effects import DECIDING, week_groups
from workbench.experiment.readout import Readout
from workbench.stats.experiment import cells_reason
from workbench.stats.multiplicity import Method, adjusted_intervals, adjusted_p_values
from workbench.stats.ratio import fieller

COLUMNS = [
    "coupon_id",
    "experiment_id",
    "variant",
    "outcome_days",
    "treated_count",
    "control_count",
    "coupon_order_count",
    "borne_discount_amount",
    "incremental_order_count",
    "incremental_order_count_ci_lower",
    "incremental_order_count_ci_upper",
    "incremental_paid_amount",
    "incremental_paid_amount_ci_lower",
    "incremental_paid_amount_ci_upper",
    "incremental_profit",
    "incremental_profit_ci_lower",
    "incremental_profit_ci_upper",
    "p_value",
    "p_value_adjusted",
    "incremental_share",
    "cannibalisation_rate",
    "cannibalisation_ci_lower",
    "cannibalisation_ci_upper",
    "naive_roi",
    "incremental_roi",
    "incremental_roi_ci_lower",
    "incremental_roi_ci_upper",
    "break_even_incrementality",
    "break_even_face_value",
    "reason",
]
INCREMENTS = {
    "incremental_order_count": "orders_per_user",
    "incremental_paid_amount": "paid_amount_per_user",
    "incremental_profit": "profit_per_user",
}


@dataclass(frozen=True)
class CouponSales:
    """What a coupon's own orders came to, as the scorecard has it; NaN where it is not known.

    ``borne_discount_amount`` is the part of ``discount_amount`` that the shop bears, and not the platform.
    """

    order_count: float
    paid_amount: float
    discount_amount: float
    borne_discount_amount: float
    profit_amount: float


def money_rows(
    readout: Readout, sales: Mapping[str, CouponSales], confidence_level: float, method: Method = "holm"
) -> pd.DataFrame:
    """One row per coupon, experiment and treatment that tests it.

    Parameters
    ----------
    readout
        Of the experiments whose treatment gives the coupon and whose control does not.
    sales
        By coupon id.
    confidence_level
        Coverage of intervals.
    method
        How profit is adjusted over the arms of one experiment.

    Returns
    -------
    pandas.DataFrame
        Increments are totals over the treated units followed for ``outcome_days``: treatment less control scaled to
        the treatment's size, adjusted by the time before; those of profit have intervals adjusted by ``method`` over
        the arms of an experiment and by Benjamini-Hochberg over all coupons. ``cannibalisation_rate`` is 1 - incremental orders / coupon orders and is
        not clipped: above 1 the coupon drove orders away, below 0 it brought more than used it.
        ``incremental_roi`` is incremental profit over the discount beyond the control's that the shop bears, with
        Fieller's bounds (NaN where they are no interval), week by week where the arms' shares changed; ``naive_roi``
        what back-offices print. ``break_even_incrementality``: share of the coupon's orders that would have to be new
        for it to pay. ``break_even_face_value``: the discount per order at which it would, if users did the same and the
        platform went on to pay its part. Nothing rests on profit where too many orders have no cost
        (``costs_missing``).
    """
    rows = []
    for name, found in readout.collected.items():
        mine = readout.effects[readout.effects["experiment_id"] == name]
        checks = readout.checks[readout.checks["experiment_id"] == name]
        for treatment, coupon_id in found.experiment.coupons.items():
            arm = mine[(mine["variant"] == treatment) & (mine["adjustment"] == DECIDING)]
            if len(arm):
                rows.append(_row(found, arm, sales.get(coupon_id), confidence_level, checks))
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "std_error", "degrees"])
    return over_coupons(table, confidence_level, method)[COLUMNS]


def _row(
    found: Collected, arm: pd.DataFrame, sales: CouponSales | None, confidence_level: float, checks: pd.DataFrame
) -> dict[str, object]:
    days = int(arm.loc[arm["is_primary"].astype(bool), "outcome_days"].iloc[0])
    effects = {str(one["outcome"]): one for one in arm[arm["outcome_days"] == days].to_dict("records")}
    treatment = str(arm["variant"].iloc[0])
    treated = found.followed(treatment, days)
    used = _coupon_orders(found, treatment, days)
    row: dict[str, object] = {
        "coupon_id": found.experiment.coupons[treatment],
        "experiment_id": found.experiment.experiment_id,
        "variant": treatment,
        "outcome_days": days,
        "treated_count": treated,
        "control_count": found.followed(found.experiment.control, days),
        "coupon_order_count": used,
    }
    if is_broken(checks):
        return row | {"reason": "experiment_not_valid"}
    is_costed = not lacks_costs(checks)
    if not is_costed:
        effects.pop("profit_per_user", None)
    for name, outcome in INCREMENTS.items():
        if outcome in effects:
            for column, part in (("", "estimate"), ("_ci_lower", "ci_lower"), ("_ci_upper", "ci_upper")):
                row[f"{name}{column}"] = treated * float(effects[outcome][part])
    if "orders_per_user" in effects and used > 0:
        orders = effects["orders_per_user"]
        share, lower, upper = (treated * float(orders[one]) / used for one in ("estimate", "ci_lower", "ci_upper"))
        row |= {"incremental_share": share, "cannibalisation_rate": 1 - share}
        row |= {"cannibalisation_ci_lower": 1 - upper, "cannibalisation_ci_upper": 1 - lower}
    profit = effects.get("profit_per_user")
    if profit is not None:
        row |= {"p_value": profit["p_value"], "std_error": treated * float(profit["std_error"])}
        row |= {"degrees": profit["degrees"], "reason": profit["reason"]}
    elif not is_costed:
        row["reason"] = "costs_missing"
    else:
        row["reason"] = "no_costs" if "profit_of_discount" not in found.ratios else "profit_not_asked_for"
    if "profit_of_discount" in found.ratios:
        row |= _return(found, treatment, days, confidence_level, is_costed=is_costed)
    if sales is not None:
        gained = treated * float(profit["estimate"]) if profit is not None else np.nan
        row |= _naive(sales) | (_break_even(sales, used, gained) if is_costed else {})
    return row


def _coupon_orders(found: Collected, treatment: str, days: int) -> float:
    """Paid orders with the coupon of the treated units, inside their window."""
    if found.reach is None or treatment not in found.reach.index:
        return float("nan")
    return float(found.reach[f"coupon_order_count_{days}"].to_dict()[treatment])


def _return(
    found: Collected, treatment: str, days: int, confidence_level: float, *, is_costed: bool
) -> dict[str, object]:
    """Profit beyond the control's over borne discount beyond the control's, over all treated units.

    In each group of weeks the control is scaled to its treated units; one group where the arms' shares kept.
    """
    weeks = week_groups(found, treatment, days)
    arms = [
        ratio_cells(found, "profit_of_discount", one, days, *weeks) for one in (treatment, found.experiment.control)
    ]
    row: dict[str, object] = {"borne_discount_amount": float(arms[0].x.sum())}
    if not is_costed or cells_reason(arms[0].count, arms[1].count):
        return row
    treated = arms[0].count
    here = treated > 0
    profit, discount = (
        float(((getattr(arms[0], name) - getattr(arms[1], name)) * treated)[here].sum())
        for name in ("mean_y", "mean_x")
    )
    spread = [
        float(sum((treated**2 * getattr(one, name) / one.count)[here].sum() for one in arms))
        for name in ("variance_y", "variance_x", "covariance")
    ]
    ratio = fieller(profit, discount, *spread, confidence_level=confidence_level)
    bounds = [one if np.isfinite(one) else np.nan for one in (ratio.lower, ratio.upper)]
    return row | {
        "incremental_roi": ratio.estimate if discount > 0 else np.nan,
        "incremental_roi_ci_lower": bounds[0] if discount > 0 else np.nan,
        "incremental_roi_ci_upper": bounds[1] if discount > 0 else np.nan,
    }


def _naive(sales: CouponSales | None) -> dict[str, object]:
    if sales is None or not sales.discount_amount > 0:
        return {}
    return {"naive_roi": sales.paid_amount / sales.discount_amount}


def _break_even(sales: CouponSales, used: float, gained: float) -> dict[str, object]:
    """What part of the orders would have to be new, and the face value at which the coupon would pay.

    Of a lower face value the shop saves only the part that it bears.
    """
    found: dict[str, object] = {}
    if not sales.discount_amount > 0:
        return found
    borne, margin = sales.borne_discount_amount, sales.profit_amount + sales.borne_discount_amount
    if margin > 0:
        found["break_even_incrementality"] = borne / margin
    if borne > 0 and sales.order_count > 0 and used > 0 and np.isfinite(gained):
        saved = borne / sales.discount_amount
        found["break_even_face_value"] = max(sales.discount_amount / sales.order_count + gained / used / saved, 0.0)
    return found


def over_coupons(table: pd.DataFrame, confidence_level: float, method: Method) -> pd.DataFrame:
    """Adjust the intervals of profit over the arms of each experiment, and these by Benjamini-Hochberg over all.

    Parameters
    ----------
    table
        With experiment_id, p_value, incremental_profit, std_error and degrees.
    confidence_level
        Coverage of intervals.
    method
        Over the arms of an experiment.

    Returns
    -------
    pandas.DataFrame
        With p_value_adjusted and the interval of incremental_profit.

    Notes
    -----
    Benjamini-Hochberg sees the p-values adjusted over arms. Each experiment's intervals are then adjusted over its arms
    at the level that Benjamini-Hochberg leaves, so that 0 is outside exactly where ``p_value_adjusted`` is small.
    """
    table = table.assign(p_value_adjusted=np.nan)
    if table.empty:
        return table
    p, gained, errors, degrees = (
        table[name].to_numpy(dtype=float) for name in ("p_value", "incremental_profit", "std_error", "degrees")
    )
    experiments = table["experiment_id"].to_numpy(dtype=str)
    arms = [experiments == one for one in dict.fromkeys(experiments)]
    over_arms = p.copy()
    for rows in arms:
        over_arms[rows] = adjusted_p_values(p[rows], method)
    adjusted = adjusted_p_values(over_arms, "benjamini_hochberg")
    compared = max(int(np.isfinite(over_arms).sum()), 1)
    found = max(int((adjusted < 1 - confidence_level).sum()), 1)
    level = 1 - (1 - confidence_level) * found / compared
    bounds = np.full((2, len(table)), np.nan)
    for rows in arms:
        bounds[:, rows] = adjusted_intervals(
            gained[rows], errors[rows], p[rows], method, degrees=degrees[rows], confidence_level=level
        )
    return table.assign(
        p_value_adjusted=adjusted, incremental_profit_ci_lower=bounds[0], incremental_profit_ci_upper=bounds[1]
    )
