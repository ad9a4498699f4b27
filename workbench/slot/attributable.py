"""Which part of each day's orders had a slot before it: a signal of data quality first, of business second."""

from datetime import date, timedelta

import pandas as pd
from ibis import _

from workbench.metrics.journeys import JourneyRules, Sales, conversions, order_days, touches, with_touch
from workbench.metrics.local_days import local_day
from workbench.period import Period
from workbench.source.shop import Shop

COLUMNS = ["date", "order_count", "attributed_count", "attributable_rate"]


def attributable_rate(shop: Shop, sales: Sales, rules: JourneyRules, period: Period) -> pd.DataFrame:
    """How many of a day's paid orders have an eligible touch? One row per local day with a paid order.

    Returns
    -------
    pandas.DataFrame
        date, order_count, attributed_count (with ``match_on`` orders count by their lines) and attributable_rate,
        their ratio. A day on which it falls to nothing is a day on which clicks were not recorded.
    """
    if sales.orders is None:
        return pd.DataFrame(columns=COLUMNS)
    found = with_touch(touches(sales, rules, period), conversions(sales, rules, "purchase", period), rules)
    found = found.mutate(day=local_day(found.conversion_ms, period))
    attributed = shop.collect(found.group_by("day").aggregate(attributed_count=_.conversion_count.sum()))
    orders = order_days(sales, period)
    every = shop.collect(orders.group_by("day").aggregate(order_count=orders.count()))
    table = every.merge(attributed, on="day", how="left").sort_values("day", ignore_index=True)
    table["attributed_count"] = table["attributed_count"].fillna(0.0)
    table["attributable_rate"] = table["attributed_count"] / table["order_count"]
    table["date"] = [(date(1970, 1, 1) + timedelta(days=int(day))).isoformat() for day in table["day"]]
    return table[COLUMNS]
