"""Does a coupon earn more than it costs?"""

from workbench.coupon import charts
from workbench.coupon.evaluation import evaluate_coupons

__all__ = ["charts", "evaluate_coupons"]
