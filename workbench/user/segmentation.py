"""Group users, follow them from group to group, and say whom to call and what they are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.analysis import Analysis, remembers
from workbench.errors import ParameterError
from workbench.language import Language
from workbench.parameters import local_path
from workbench.period import Period, start_of_day_ms
from workbench.source.shop import Shop
from workbench.user.audience import find_audiences, quadrant_window
from workbench.user.audience_files import read_audience
from workbench.user.audience_result import audience_result
from workbench.user.audience_rules import AudienceRules, load_audience_rules
from workbench.user.findings import user_findings
from workbench.user.headline import user_headline
from workbench.user.headline_figures import user_figures
from workbench.user.lifecycle import read_lifecycle
from workbench.user.next_purchase import read_buyers, read_next_purchase, read_purchases
from workbench.user.notes import user_notes
from workbench.user.periods import day_of
from workbench.user.profile import read_profile
from workbench.user.quadrants import QuadrantRules, QuadrantsFound, Threshold, read_quadrants
from workbench.user.tags import read_tags
from workbench.user.watch import user_watch

_WITHOUT = {
    "lifecycle": "state",
    "lifecycle_gaps": "basis",
    "lifecycle_silence": "basis",
    "buyers": "buyer_group",
    "next_purchase": "buyer_group",
    "contacts": "quadrant",
    "audience_summary": "audience",
    "audience_action": "audience",
    "audience_result": "audience",
}
"""First column of the tables that are empty where the source or the parameters do not give them."""


@remembers
def segment_users(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    only_users: Sequence[str] = (),
    x_metric: str = "visit_days",
    y_metric: str = "paid_amount",
    window_days: int = 90,
    period_days: int = 28,
    threshold: Threshold | Sequence[float] = "median",
    reference_end: str | None = None,
    include_users_without_orders: bool = True,
    hysteresis: float = 0.05,
    false_alarms_per_month: float = 1.0,
    min_users: int = 30,
    least_amount: float | None = None,
    dormant_days: int | None = None,
    gone_days: int | None = None,
    audience_rules: str | None = None,
    audience_file: str | None = None,
) -> Analysis:
    """Which users belong to which group, who moves, and whom to call?

    Parameters
    ----------
    shop
        Needs ``events`` or ``orders``; ``users`` for profiles, ``order_lines`` for categories and price bands.
    start_date, end_date, timezone
        The periods that the report shows, ``start_date <= local day < end_date``; None is all the data. Earlier periods
        are history for the alarms.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    only_users
        Users that it is about, as in ``Shop.only``; empty: all.
    x_metric, y_metric, window_days, period_days, threshold, reference_end, include_users_without_orders, hysteresis
        As in ``QuadrantRules``; two numbers as threshold are the values of x and y.
    false_alarms_per_month, min_users, least_amount
        As in ``QuadrantRules``; groups with fewer users get no interval and no alarm.
    dormant_days, gone_days
        Days without a visit after which a user is dormant, and gone; None: as the data suggest.
    audience_rules
        A rules file of ``workbench audience``: its audiences are counted, no id is written; None: none.
    audience_file
        A file that ``workbench audience`` wrote: its audiences, whole whatever ``only_users`` is, are compared with their
        controls; None: none.

    Returns
    -------
    Analysis
        ``quadrants``, ``quadrant_profile``, ``migration``, ``migration_alerts``, ``lifecycle``, ``lifecycle_gaps``,
        ``lifecycle_silence``, ``buyers``, ``next_purchase``, ``contacts``, ``tags``, ``audience_summary``,
        ``audience_result`` and ``audience_action``.

    Raises
    ------
    ParameterError, TableError, EstimationError
        If an argument or the data cannot be used.
    """
    whole, shop = shop, shop.only(only_users)
    if isinstance(threshold, Sequence) and not isinstance(threshold, str):
        if len(threshold) != 2:
            raise ParameterError(
                f"threshold: {list(threshold)} is no pair; give one value for x and one for y: [6, 200]."
            )
        threshold = dict(zip("xy", threshold, strict=True))
    rules = QuadrantRules(
        x_metric=x_metric,
        y_metric=y_metric,
        window_days=window_days,
        period_days=period_days,
        threshold=threshold,
        reference_end=reference_end,
        include_users_without_orders=include_users_without_orders,
        hysteresis=hysteresis,
        false_alarms_per_month=false_alarms_per_month,
        min_users=min_users,
        least_amount=least_amount,
        confidence_level=confidence_level,
    )
    asked = None if audience_rules is None else load_audience_rules(local_path(audience_rules))
    if asked is not None:
        given = {"start_date": start_date, "end_date": end_date, "timezone": timezone} | vars(rules)
        _check_settings(asked, given)
    file = None if audience_file is None else read_audience(local_path(audience_file), whole)
    period = shop.period(start_date, end_date, timezone)
    quadrants = read_quadrants(shop, period, rules, lang)
    members = shop.hold("members", quadrants.members)
    window = quadrant_window(quadrants, period)
    tags = read_tags(
        shop,
        members,
        window.start_ms,
        window.end_ms,
        reference=window.reference,
        confidence_level=confidence_level,
    )
    profile = read_profile(
        shop, members, (window.start_ms, window.end_ms), min_users=min_users, confidence_level=confidence_level
    )
    limits: dict[str, Any] = {"min_users": min_users, "confidence_level": confidence_level}
    lifecycle, buyers, moment = None, pd.DataFrame(), None
    if shop.has("orders"):
        bought = read_purchases(shop, period)
        buyers = read_buyers(shop, period, bought, **limits)
        moment = read_next_purchase(shop, period, bought, members=members, **limits)
        lifecycle = read_lifecycle(
            shop,
            period,
            _own_days(quadrants, period),
            bought,
            dormant_days=dormant_days,
            gone_days=gone_days,
            days=quadrants.days,
            **limits,
        )
    audiences = None if asked is None else find_audiences(shop, asked, members, window, tags)
    result = None if file is None else audience_result(whole, file, confidence_level=confidence_level)
    tables = {
        "quadrants": quadrants.quadrants.assign(x_metric=x_metric, y_metric=y_metric),
        "quadrant_profile": profile,
        "migration": quadrants.migration,
        "migration_alerts": quadrants.migration_alerts,
    }
    tables |= {name: pd.DataFrame(columns=[first]) for name, first in _WITHOUT.items()}
    if lifecycle is not None and moment is not None:
        tables |= {
            "lifecycle": lifecycle.lifecycle,
            "lifecycle_gaps": lifecycle.gaps,
            "lifecycle_silence": lifecycle.silence,
            "buyers": buyers,
            "next_purchase": moment.next_purchase,
            "contacts": moment.contacts,
        }
    tables["tags"] = tags.table
    if audiences is not None:
        tables["audience_summary"] = audiences.summary
    if result is not None:
        tables |= {"audience_result": result.table, "audience_action": result.actions}
    return Analysis(
        name="user_quadrants",
        lang=lang,
        period=period,
        tables=tables,
        headline=user_headline(
            tables, rules, quadrants, lang, has_money=shop.has_money, has_chosen_users=bool(only_users)
        ),
        findings=user_findings(tables, rules, quadrants, lang),
        notes=user_notes(shop, rules, quadrants, tables, lang),
        flags=shop.flags(period, lang, has_orders=not shop.has("orders") or quadrants.moves.orders.sum() > 0),
        watch=user_watch(tables, lang),
        figures=user_figures(tables, window_days, lang),
    )


def _check_settings(asked: AudienceRules, given: Mapping[str, Any]) -> None:
    """A file of rules that states its own period or groups must state those of the run."""
    written = asked.settings.model_dump(include=asked.settings.model_fields_set)
    other = [
        f"{name} is {value} in the file and {given[name]} in the run"
        for name, value in written.items()
        if str(value) != str(given[name])
    ]
    if other:
        raise ParameterError(
            f"audience_rules: {'; '.join(other)}. Give the run the file's values, or leave them out of the file."
        )


def _own_days(found: QuadrantsFound, period: Period) -> list[tuple[int, int]]:
    """The periods of the report, UTC milliseconds."""
    every = []
    for number in range(found.first_in_report, len(found.periods)):
        first, end = (start_of_day_ms(day_of(day), period.timezone) for day in found.periods.own(number))
        every.append((first, end))
    return every
