"""What a coupon earns beyond what would have been earned anyway, in money; only from randomized experiments."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.experiment.checks import is_broken, ratio_cells
from workbench.experiment.collect import Collected
from workbench.experiment.effects import DECIDING
from workbench.experiment.readout import Readout
from workbench.stats.multiplicity import adjusted_intervals, adjusted_p_values
from workbench.stats.ratio import fieller

COLUMNS = [
    "coupon_id",
    "experiment_id",
    "variant",
    "outcome_days",
    "treated_count",
    "control_count",
    "coupon_order_count",
    "discount_amount",
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
    """What a coupon's own orders came to, as the scorecard has it; NaN where it is not known."""

    order_count: float
    paid_amount: float
    discount_amount: float
    profit_amount: float


def money_rows(readout: Readout, sales: Mapping[str, CouponSales], confidence_level: float) -> pd.DataFrame:
    """One row per coupon, experiment and treatment that tests it.

    Parameters
    ----------
    readout
        Of the experiments whose treatment gives the coupon and whose control does not.
    sales
        By coupon id.
    confidence_level
        Coverage of intervals.

    Returns
    -------
    pandas.DataFrame
        Increments are totals over the treated units followed for ``outcome_days``: treatment less control scaled to
        the treatment's size, adjusted by the time before; those of profit have intervals adjusted by
        Benjamini-Hochberg over all coupons. ``cannibalisation_rate`` is 1 - incremental orders / coupon orders and is
        not clipped: above 1 the coupon drove orders away, below 0 it brought more than used it.
        ``incremental_roi`` is incremental profit over the discount given beyond the control's, with Fieller's bounds
        (NaN where they are no interval); ``naive_roi`` what back-offices print. ``break_even_incrementality``: share of
        the coupon's orders that would have to be new for it to pay. ``break_even_face_value``: the discount per
        order at which it would, if users did the same.
    """
    rows = []
    for name, found in readout.collected.items():
        coupon_id = found.experiment.coupon_id
        if coupon_id is None:
            continue
        mine = readout.effects[readout.effects["experiment_id"] == name]
        is_valid = not is_broken(readout.checks[readout.checks["experiment_id"] == name])
        for treatment in found.experiment.treatments:
            arm = mine[(mine["variant"] == treatment) & (mine["adjustment"] == DECIDING)]
            if len(arm):
                rows.append(_row(found, arm, sales.get(coupon_id), confidence_level, is_valid=is_valid))
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "std_error", "degrees"])
    return _over_coupons(table, confidence_level)[COLUMNS]


def _row(
    found: Collected, arm: pd.DataFrame, sales: CouponSales | None, confidence_level: float, *, is_valid: bool
) -> dict[str, object]:
    days = int(arm.loc[arm["is_primary"].astype(bool), "outcome_days"].iloc[0])
    effects = {str(one["outcome"]): one for one in arm[arm["outcome_days"] == days].to_dict("records")}
    treatment = str(arm["variant"].iloc[0])
    treated = found.followed(treatment, days)
    used = _coupon_orders(found, treatment, days)
    row: dict[str, object] = {
        "coupon_id": found.experiment.coupon_id,
        "experiment_id": found.experiment.experiment_id,
        "variant": treatment,
        "outcome_days": days,
        "treated_count": treated,
        "control_count": found.followed(found.experiment.control, days),
        "coupon_order_count": used,
    }
    if not is_valid:
        return row | {"reason": "experiment_not_valid"}
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
    if profit is None:
        row["reason"] = "no_costs" if "profit_of_discount" not in found.ratios else "profit_not_asked_for"
    else:
        row |= {"p_value": profit["p_value"], "std_error": treated * float(profit["std_error"])}
        row |= {"degrees": profit["degrees"], "reason": profit["reason"]}
    if "profit_of_discount" in found.ratios:
        row |= _return(found, treatment, days, confidence_level)
    if sales is not None:
        gained = treated * float(profit["estimate"]) if profit is not None else np.nan
        row |= _break_even(sales, used, gained)
    return row


def _coupon_orders(found: Collected, treatment: str, days: int) -> float:
    """Paid orders with the coupon of the treated units, inside their window."""
    if found.reach is None or treatment not in found.reach.index:
        return float("nan")
    return float(found.reach[f"coupon_order_count_{days}"].to_dict()[treatment])


def _return(found: Collected, treatment: str, days: int, confidence_level: float) -> dict[str, object]:
    """Profit beyond the control's over discount beyond the control's; both per unit, so that sizes cancel."""
    arms = [ratio_cells(found, "profit_of_discount", one, days) for one in (treatment, found.experiment.control)]
    if found.by_week:  # the arms' shares changed: sums over all weeks would compare different weeks
        return {"discount_amount": float(arms[0].x.sum())}
    if min(one.count.item() for one in arms) < 2:
        return {}
    profit, discount = (
        arms[0].mean_y.item() - arms[1].mean_y.item(),
        arms[0].mean_x.item() - arms[1].mean_x.item(),
    )
    spread = [
        sum(getattr(one, name).item() / one.count.item() for one in arms)
        for name in ("variance_y", "variance_x", "covariance")
    ]
    found_ratio = fieller(profit, discount, *spread, confidence_level=confidence_level)
    bounds = [one if np.isfinite(one) else np.nan for one in (found_ratio.lower, found_ratio.upper)]
    return {
        "discount_amount": float(arms[0].x.item()),
        "incremental_roi": found_ratio.estimate if discount > 0 else np.nan,
        "incremental_roi_ci_lower": bounds[0] if discount > 0 else np.nan,
        "incremental_roi_ci_upper": bounds[1] if discount > 0 else np.nan,
    }


def _break_even(sales: CouponSales, used: float, gained: float) -> dict[str, object]:
    found: dict[str, object] = {}
    if sales.discount_amount > 0:
        found["naive_roi"] = sales.paid_amount / sales.discount_amount
        margin = sales.profit_amount + sales.discount_amount
        if margin > 0:
            found["break_even_incrementality"] = sales.discount_amount / margin
    if sales.order_count > 0 and used > 0 and np.isfinite(gained):
        found["break_even_face_value"] = max(sales.discount_amount / sales.order_count + gained / used, 0.0)
    return found


def _over_coupons(table: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """Adjust the intervals of profit over all coupons by Benjamini-Hochberg."""
    if table.empty:
        return table.assign(p_value_adjusted=np.nan)
    p_values = table["p_value"].to_numpy(dtype=float)
    lower, upper = adjusted_intervals(
        table["incremental_profit"].to_numpy(dtype=float),
        table["std_error"].to_numpy(dtype=float),
        p_values,
        "benjamini_hochberg",
        degrees=table["degrees"].to_numpy(dtype=float),
        confidence_level=confidence_level,
    )
    return table.assign(
        p_value_adjusted=adjusted_p_values(p_values, "benjamini_hochberg"),
        incremental_profit_ci_lower=lower,
        incremental_profit_ci_upper=upper,
    )
