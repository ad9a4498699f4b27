"""The groups of any users within a blink: what each did in each window is held once, with what users are chosen by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from workbench.contract import UNKNOWN
from workbench.language import Language
from workbench.source.restriction import COLUMNS, check_conditions, conditions, is_chosen, user_counts
from workbench.source.shop import Shop
from workbench.user.quadrants import QuadrantRules, divide, hold_users

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]


def live_tables(shop: Shop, parameters: Mapping[str, object]) -> Answer:
    """Hold what users did, so that other users cost the drawing of lines instead of a new count.

    Parameters
    ----------
    shop
        The shop with all its users.
    parameters
        Those of ``segment_users``; ``only_users`` among them does not matter.

    Returns
    -------
    callable
        From ``only_users`` to ``quadrants``, ``migration`` and ``migration_alerts``, equal to those of ``segment_users``;
        it raises its errors too.
    """
    names = set(QuadrantRules.__dataclass_fields__)
    given: dict[str, Any] = {name: value for name, value in parameters.items() if name in names}
    if isinstance(given.get("threshold"), list | tuple):
        given["threshold"] = dict(zip("xy", given["threshold"], strict=True))
    rules, lang = QuadrantRules(**given), cast(Language, parameters.get("lang", "en"))
    period = shop.period(
        parameters.get("start_date"), parameters.get("end_date"), str(parameters.get("timezone", "UTC"))
    )
    held, counts = hold_users(shop, period, rules), None
    every = held.users
    if shop.has("users"):
        people = held.tables["users"]
        texts = {name: people[name].cast("string").fill_null(UNKNOWN) for name in COLUMNS if shop.has("users", name)}
        every = every.left_join(people.select("user_key", **texts), "user_key").drop("user_key_right")
        counts = user_counts(shop)
    every = shop.hold("live_user_windows", every)

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        chosen, users = conditions(shop, only_users), every
        if chosen and counts is not None:
            check_conditions(shop, chosen, counts)
            users = every.filter(every.is_told, *is_chosen(every, chosen))
        found = divide(shop, replace(held, users=users), rules, lang)
        metrics = {"x_metric": rules.x_metric, "y_metric": rules.y_metric}
        return {
            "quadrants": found.quadrants.assign(**metrics),
            "migration": found.migration,
            "migration_alerts": found.migration_alerts,
        }

    return answer
