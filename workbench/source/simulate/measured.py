"""The true sizes of the default truth, as found by ``measure_truth(Truth.default())``.

They come from 400,000 reference users over 120 days, who went through the day loop once per arm on the same draws. Run
the function again and replace these numbers whenever a planted effect or a base rate changes; a slow test compares.
"""

from typing import Any

MEASURED_DAYS = 120
MEASURED: dict[str, Any] = {
    "experiments": {
        "holdout_c03": {
            "orders_per_user": {"control": 0.27161, "treatment": 0.35822, "effect": 0.08661, "std_error": 0.0006},
            "profit_per_user": {"control": 7.55888, "treatment": 9.43884, "effect": 1.87997, "std_error": 0.03826},
        },
        "coupon_timing": {
            "orders_per_user": {"control": 1.30876, "treatment": 1.32236, "effect": 0.0136, "std_error": 0.0009},
            "profit_per_user": {"control": 33.19084, "treatment": 36.54062, "effect": 3.34978, "std_error": 0.05884},
        },
        "invitation_reward": {
            "orders_per_user": {"control": 0.06547, "treatment": 0.11943, "effect": 0.05396, "std_error": 0.00078},
            "profit_per_user": {"control": 1.80886, "treatment": 2.26824, "effect": 0.45938, "std_error": 0.04716},
            "invitees_per_user": {"control": 0.28728, "treatment": 0.40174, "effect": 0.11446, "std_error": 0.00096},
        },
    },
    "coupons": {
        "c01": {
            "incremental_orders_per_grant": 0.05151,
            "incremental_orders_per_coupon_order": 0.1959,
            "incremental_profit_per_grant": -1.863,
        },
        "c02": {
            "incremental_orders_per_grant": 0.01729,
            "incremental_orders_per_coupon_order": 0.0531,
            "incremental_profit_per_grant": -4.021,
        },
        "c03": {
            "incremental_orders_per_grant": 0.05091,
            "incremental_orders_per_coupon_order": 0.9574,
            "incremental_profit_per_grant": 1.1236,
        },
        "c04": {
            "incremental_orders_per_grant": 0.00049,
            "incremental_orders_per_coupon_order": 0.0303,
            "incremental_profit_per_grant": -0.0582,
        },
        "c05": {
            "incremental_orders_per_grant": 0.01338,
            "incremental_orders_per_coupon_order": 0.3182,
            "incremental_profit_per_grant": 0.24,
        },
        "c06": {
            "incremental_orders_per_grant": 0.00973,
            "incremental_orders_per_coupon_order": 0.3177,
            "incremental_profit_per_grant": -0.1844,
        },
        "c07": {
            "incremental_orders_per_grant": 0.06439,
            "incremental_orders_per_coupon_order": 0.237,
            "incremental_profit_per_grant": -11.9449,
        },
        "c08": {
            "incremental_orders_per_grant": 0.09969,
            "incremental_orders_per_coupon_order": 0.4913,
            "incremental_profit_per_grant": 0.4967,
        },
    },
    "channels": {
        "organic": {
            "share": 0.2265,
            "conversion_rate_30": 0.2425,
            "conversion_rate_30_by_age": [0.1532, 0.2565, 0.2788, 0.258, 0.2393],
        },
        "paid_search": {
            "share": 0.1574,
            "conversion_rate_30": 0.2485,
            "conversion_rate_30_by_age": [0.1636, 0.2604, 0.272, 0.266, 0.2356],
        },
        "social_video": {
            "share": 0.2181,
            "conversion_rate_30": 0.1784,
            "conversion_rate_30_by_age": [0.1501, 0.2559, 0.268, 0.2686, 0.2249],
        },
        "app_store": {
            "share": 0.114,
            "conversion_rate_30": 0.2289,
            "conversion_rate_30_by_age": [0.1551, 0.2543, 0.2655, 0.2464, 0.2417],
        },
        "email": {
            "share": 0.0787,
            "conversion_rate_30": 0.2592,
            "conversion_rate_30_by_age": [0.1555, 0.263, 0.2823, 0.2659, 0.2412],
        },
        "referral": {
            "share": 0.1267,
            "conversion_rate_30": 0.2797,
            "conversion_rate_30_by_age": [0.2237, 0.3013, 0.3086, 0.3035, 0.2645],
        },
        "direct": {
            "share": 0.0786,
            "conversion_rate_30": 0.246,
            "conversion_rate_30_by_age": [0.1583, 0.26, 0.2734, 0.2615, 0.2208],
        },
    },
}
