"""Which effects of a read-out the next one is held against."""

from collections.abc import Mapping

import pandas as pd

from workbench.analysis import Cell, Figure, figures_at
from workbench.experiment.words import outcome_words
from workbench.language import Language, say

MOST_ARMS = 6
_UNITS = {"buyer_rate": "points", "orders_per_user": "number"}
_VALID = ("better", "worse", "open")


def experiment_figures(tables: Mapping[str, pd.DataFrame], lang: Language) -> tuple[Figure, ...]:
    """The effect of each arm on the outcome that decides, of the arms with most users.

    Intervals are those of one arm, as the comparison of reports adjusts for many figures itself.
    """
    arms = tables["experiment_verdict"]
    arms = arms[arms["verdict"].isin(_VALID)]
    arms = arms.sort_values(["n_treatment", "experiment_id", "variant"], ascending=[False, True, True])
    effects = tables["experiment_effect"]
    found: tuple[Figure, ...] = ()
    for arm in arms.head(MOST_ARMS).to_dict("records"):
        named = {name: arm[name] for name in ("experiment_id", "variant", "outcome", "outcome_days")}
        mine = effects[effects["is_primary"].astype(bool)]
        for column, wanted in named.items():
            mine = mine[mine[column] == wanted]
        key = {**named, "adjustment": mine["adjustment"].iloc[0] if len(mine) else ""}
        words, days = outcome_words(arm["outcome"], lang), arm["outcome_days"]
        who = f"{arm['experiment_id']} · {arm['variant']}"
        found += figures_at(
            tables,
            " ".join(["effect", *(str(one) for one in named.values())]),
            say(lang, f"{who}: effect on {words}, {days} days", f"{who}：对 {days} 天{words}的影响"),
            Cell("experiment_effect", key, "estimate"),
            interval=("ci_lower", "ci_upper"),
            unit=_UNITS.get(arm["outcome"], "amount"),
            better="up",
        )
    return found
