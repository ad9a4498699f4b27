"""The analysis of users of the sample that several tests look at."""

from workbench.user import segment_users


def segments_of_weeks(shop, **asked):
    """Groups over two weeks, from week to week: the sample is too short for the notebook's defaults."""
    return segment_users(shop, **{"window_days": 14, "period_days": 7} | asked)
