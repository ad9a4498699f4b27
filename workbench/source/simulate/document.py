"""truth.json: what was planted and how large it truly is, for people and for tests."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import numpy as np

from workbench.source.simulate.measured import MEASURED, MEASURED_DAYS, MEASURED_USERS
from workbench.source.simulate.tables import START_DATE, TIMEZONE
from workbench.source.simulate.truth import Truth


def truth_document(truth: Truth, *, seed: int, users: int, days: int) -> dict[str, Any]:
    """Say everything that is planted in one shop.

    Measured sizes belong to the default truth and its length of period; for any other they are null, and
    ``measure_truth`` finds them.
    """
    is_measured = truth == Truth.default() and days == MEASURED_DAYS
    measured = MEASURED if is_measured else {"experiments": {}, "coupons": {}, "channels": {}, "slots": None}
    return {
        "seed": seed,
        "users": users,
        "days": days,
        "start_date": START_DATE.isoformat(),
        "end_date": (START_DATE + timedelta(days=days)).isoformat(),
        "timezone": TIMEZONE,
        "is_measured": is_measured,
        "age_groups": [asdict(one) for one in truth.age_groups],
        "channels": channel_document(truth, measured["channels"]),
        "coupons": {
            one.coupon_id: {**asdict(one), "measured": measured["coupons"].get(one.coupon_id)} for one in truth.coupons
        },
        "experiments": {
            one.experiment_id: {
                **asdict(one),
                "measured_30_days": measured["experiments"].get(one.experiment_id),
            }
            for one in truth.experiments
        },
        "slots": {
            "topic_page": [one.slot_id for one in truth.slots if one.story == "topic_page"],
            "hidden_gems": [one.slot_id for one in truth.slots if one.story == "hidden_gem"],
            "places": [asdict(one) for one in truth.slots],
            "contents": [asdict(one) for one in truth.contents],
            "measured": measured["slots"],
            "measured_users": MEASURED_USERS if is_measured else None,
        },
        "activity": {
            "leaver_wave": {
                "start_date": local_date(truth.leaver_wave.first_day),
                "end_date": local_date(truth.leaver_wave.first_day + truth.leaver_wave.days),
                "share_of_frequent_low_spenders": truth.leaver_wave.share,
            },
        },
        "sales_change": {
            "start_date": local_date(truth.sales_change.first_day),
            "end_date": local_date(truth.sales_change.first_day + truth.sales_change.days),
            "factor": "orders per visit with a filled cart",
            "multiplier": truth.sales_change.factor,
        },
        "timing": asdict(truth.timing),
        "invitation": asdict(truth.invitation),
        "behaviour": asdict(truth.behaviour),
    }


def local_date(day: int) -> str:
    """Write a day number as a local date."""
    return (START_DATE + timedelta(days=day)).isoformat()


def channel_document(truth: Truth, measured: dict[str, Any]) -> dict[str, Any]:
    """State each channel's audience, own multiplier and gap to the shop, split into audience and rate.

    The gap is the one of the order index: the mean over the channel's ages of cart multiplier times checkout
    multiplier, times the channel's own multiplier. It is what a product view is worth in orders before saturation,
    and it follows from the planted numbers alone. The split weighs audience differences with the mean of both rates
    and rate differences with the mean of both audiences (Kitagawa), so the two parts sum to the gap.
    """
    ages = np.array([one.age_shares for one in truth.channels])
    by_age = np.array([one.cart_multiplier * one.checkout_multiplier for one in truth.age_groups])
    weight = channel_weights(truth)
    rates = np.outer([one.checkout_multiplier for one in truth.channels], by_age)
    shop_ages = weight @ ages
    shop_rates = (weight[:, None] * ages * rates).sum(axis=0) / shop_ages
    shop = float(shop_ages @ shop_rates)
    found = {}
    for place, one in enumerate(truth.channels):
        index = float(ages[place] @ rates[place])
        audience = float((ages[place] - shop_ages) @ (rates[place] + shop_rates) / 2)
        found[one.name] = {
            "expected_share": round(float(weight[place]), 4),
            "age_shares": dict(zip([group.name for group in truth.age_groups], one.age_shares, strict=True)),
            "checkout_multiplier": one.checkout_multiplier,
            "repeat_multiplier": one.repeat_multiplier,
            "cost_per_click": one.cost_per_click,
            "order_index": round(index, 5),
            "gap_to_shop": round(index - shop, 5),
            "gap_from_audience": round(audience, 5),
            "gap_from_rate": round(index - shop - audience, 5),
            "measured": measured.get(one.name),
        }
    return found


def channel_weights(truth: Truth) -> np.ndarray:
    """Expected share of each channel's users, if every friend arrives before the period ends."""
    invitation = truth.invitation
    friends = invitation.asked_rate * (invitation.control_invitees + invitation.treatment_invitees) / 2
    weight = np.array([one.share for one in truth.channels]) / (1.0 + friends)
    weight[[one.name for one in truth.channels].index("referral")] = friends / (1.0 + friends)
    return weight / weight.sum()
