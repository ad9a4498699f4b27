"""Keep, change, stop, or test: one decision per coupon, by rules that are stated, from randomized evidence alone."""

from collections.abc import Collection

import numpy as np
import pandas as pd

COLUMNS = [
    "coupon_id",
    "coupon_name",
    "decision",
    "reason",
    "evidence",
    "experiment_id",
    "variant",
    "incremental_profit",
    "ci_lower",
    "ci_upper",
    "break_even_face_value",
    "subsidy_rate",
    "redemption_rate",
    "repurchase_rate",
    "coupon_discount_amount",
    "units_needed",
    "days_needed",
    "holdout_share",
]


def decision_rows(
    card: pd.DataFrame,
    money: pd.DataFrame,
    plans: pd.DataFrame,
    window: int | None,
    subsidy_limit: float,
    about_when: Collection[str] = (),
    unread: Collection[str] = (),
    unmeasured: Collection[str] = (),
) -> pd.DataFrame:
    """One row per coupon, the most discount first.

    Parameters
    ----------
    card
        ``coupon_scorecard``.
    money
        ``coupon_money``.
    plans
        From ``holdout_plans``.
    window
        Days of the repurchase rate shown.
    subsidy_limit
        Share of the gross amount that a coupon should not exceed.
    about_when
        Coupons whose only experiment gives them to both arms, at different moments.
    unread
        Coupons whose experiment has no control or no treatment in the period.
    unmeasured
        Coupons whose experiments are not read, because the source has none of the outcomes asked for.

    Returns
    -------
    pandas.DataFrame
        ``decision`` and ``reason``:

        - ``keep``: the interval of incremental profit lies above 0 (``profit_up``; ``profit_up_subsidy_high`` where the
          subsidy is above the limit all the same);
        - ``change``: it lies below 0, but orders surely rose, and there is a face value at which it would pay
          (``lower_face_value``);
        - ``stop``: it lies below 0 otherwise (``profit_down``);
        - ``test``: it includes 0 (``sells_profit_open`` where orders surely rose, else ``not_settled``), the experiment
          is not valid (``experiment_not_valid``), has no profit (``no_profit``), or one that is too high, as too many
          orders have no cost (``costs_missing``); there is none (``no_experiment``), or only one that gives it to both
          arms (``about_when``) or cannot be read (``experiment_unread``); experiments contradict each other
          (``conflicting``). Never keep or stop without an experiment.
          ``units_needed`` users (both arms), in ``days_needed``, of whom ``holdout_share`` get no coupon.
    """
    coupons = card[card["level"] == "coupon"]
    column = f"repurchase_rate_{window}"
    planned = plans.set_index("coupon_id") if len(plans) else pd.DataFrame(index=pd.Index([]))
    rows = []
    for coupon in coupons.to_dict("records"):
        tested = money[money["coupon_id"] == str(coupon["coupon_id"])]
        row: dict[str, object] = {
            "coupon_id": coupon["coupon_id"],
            "coupon_name": coupon["coupon_name"],
            "subsidy_rate": coupon["subsidy_rate"],
            "redemption_rate": coupon["redemption_rate"],
            "repurchase_rate": coupon.get(column, np.nan),
            "coupon_discount_amount": coupon["coupon_discount_amount"],
        }
        plan = planned.loc[str(coupon["coupon_id"])].to_dict() if str(coupon["coupon_id"]) in planned.index else {}
        plan = {name: plan.get(name, np.nan) for name in ("units_needed", "days_needed", "holdout_share")}
        if tested.empty:
            own = str(coupon["coupon_id"])
            groups = {"about_when": about_when, "experiment_unread": unread, "no_profit": unmeasured}
            reason = next((name for name, group in groups.items() if own in group), "no_experiment")
            rows.append(row | plan | {"decision": "test", "reason": reason, "evidence": "descriptive"})
            continue
        best = _clearest(tested)
        decision, reason = _decided(best, coupon, subsidy_limit)
        more = (
            _more_units(best) if reason in ("not_settled", "sells_profit_open") else plan if decision == "test" else {}
        )
        rows.append(
            row
            | more
            | {
                "decision": decision,
                "reason": reason,
                "evidence": "randomized",
                "experiment_id": best["experiment_id"],
                "variant": best["variant"],
                "incremental_profit": best["incremental_profit"],
                "ci_lower": best["incremental_profit_ci_lower"],
                "ci_upper": best["incremental_profit_ci_upper"],
                "break_even_face_value": best["break_even_face_value"],
            }
        )
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return table.sort_values("coupon_discount_amount", ascending=False, kind="stable", ignore_index=True)


def _clearest(tested: pd.DataFrame) -> dict:
    """The experiment and arm that tells most: a settled one before one that is not, then the narrowest per user."""
    lower, upper = tested["incremental_profit_ci_lower"], tested["incremental_profit_ci_upper"]
    rank = np.select([lower > 0, upper < 0, lower.notna()], [0, 0, 1], 2)
    width = (upper - lower) / tested["treated_count"]
    keys = tested.assign(rank=rank, width=width).sort_values(["rank", "width"], na_position="last", kind="stable")
    best: dict = keys.iloc[0].to_dict()
    settled = keys[keys["rank"] == 0]
    if (settled["incremental_profit_ci_lower"] > 0).any() and (settled["incremental_profit_ci_upper"] < 0).any():
        best["reason"] = "conflicting"
    return best


def _decided(money: dict, coupon: dict, subsidy_limit: float) -> tuple[str, str]:
    if money["reason"] in ("experiment_not_valid", "conflicting", "costs_missing"):
        return "test", money["reason"]
    lower, upper = money["incremental_profit_ci_lower"], money["incremental_profit_ci_upper"]
    if not np.isfinite([lower, upper]).all():
        return "test", "no_profit"
    if lower > 0:
        return "keep", "profit_up_subsidy_high" if coupon["subsidy_rate"] > subsidy_limit else "profit_up"
    if upper < 0:
        sells = money["incremental_order_count_ci_lower"] > 0 and money["break_even_face_value"] > 0
        return ("change", "lower_face_value") if sells else ("stop", "profit_down")
    return "test", "sells_profit_open" if money["incremental_order_count_ci_lower"] > 0 else "not_settled"


def _more_units(money: dict) -> dict[str, object]:
    """How many units would settle it: four times as many halve the interval."""
    units = float(money["treated_count"]) + float(money["control_count"])
    return {"units_needed": 4 * units, "days_needed": np.nan, "holdout_share": float(money["control_count"]) / units}
