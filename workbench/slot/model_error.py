"""How far each model's credit lies from what the slots of a simulated shop truly bring."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from workbench.contract import DIRECT

TRUE_SHARES = {
    "view_item": "view_share",
    "add_to_cart": "cart_share",
    "begin_checkout": "checkout_share",
    "purchase": "order_share",
}
"""Which true share a target's conversions are held against."""
TRUE_AMOUNT_SHARES = {"purchase": "amount_share"}
NO_SLOT = "none"
UNSHARED = frozenset({"participation"})
"""Models whose credits do not sum to the conversions: they have no shares."""
COLUMNS = [
    "target",
    "model",
    "misplaced_share",
    "misplaced_share_by_chance",
    "misplaced_amount_share",
    "misplaced_share_among_slots",
    "direct_error",
    "largest_error_slot_id",
    "largest_error",
    "rank_correlation",
    "topic_error",
    "hidden_gem_error",
]


def model_error(credit: pd.DataFrame, truth: Mapping[str, Any] | None) -> pd.DataFrame:
    """How much of the sales does each model give to the wrong slot?

    Only a simulated shop can tell: it knows for each order line which slot's click opened the product view from which
    the line came, or that none did.

    Parameters
    ----------
    credit
        ``slot_credit`` with its ``(direct)`` rows, over the whole period of the shop.
    truth
        ``Shop.truth``; None for any other shop.

    Returns
    -------
    pandas.DataFrame
        One row per target and model, by target and misplaced_share; empty without a measured truth, and where credit
        went to something else than slots. Left out: targets without conversions or without a true share, and
        ``participation``, whose credits do not share the conversions out.

        ``misplaced_share``: fraction of all conversions that would have to be moved to another slot, or to or from
        ``(direct)``, to make the model right; ``misplaced_amount_share`` the same for money (``purchase`` only,
        null where orders carry no amounts).
        ``misplaced_share_by_chance``: what a shop of this size shows on average when its own true shares are held
        against the expected ones. ``misplaced_share_among_slots``: as the first, but of what slots get, each side
        divided by its sum. ``direct_error``, ``largest_error`` (of the slot ``largest_error_slot_id``),
        ``topic_error`` (the entry of the large topic page) and ``hidden_gem_error`` (the low slots that sell well,
        together): the model's share less the true one, as fractions of all conversions. ``rank_correlation``: Spearman's,
        between credit and truth over slots; null where one of them is the same for all slots.

    Notes
    -----
    With shares m of the model and t of the truth, misplaced is ``sum |m - t| / 2`` over the slots and ``(direct)``: the
    total variation distance. By chance it is ``sum sd / sqrt(2 pi)``, as ``E|x| = sd sqrt(2 / pi)`` for a normal x with
    mean 0; sd is the standard error of the true share, taken from the reference users to the users of the shop.

    The truth is an expectation over the whole simulated period. Held against a part of it, a model also shows as error
    what differs between that part and the whole. A slot without a row in ``credit`` has share 0.

    A rule that gives credit to every recent click cannot know which view a click led to, so part of the error is common to
    all models. It is measured in a simulated shop and need not be the same in a real one.
    """
    measured = _measured(truth)
    if truth is None or measured is None or credit.empty:
        return _empty()
    targets = [target for target, share in TRUE_SHARES.items() if share in measured]
    known = credit["target"].isin(targets) & ~credit["model"].isin(UNSHARED) & (credit["credit_to"] == "slot_id")
    known &= credit["conversion_share"].notna()
    rows = [
        {"target": target, "model": model, **_errors(str(target), mine.set_index("credited_id"), measured, truth)}
        for (target, model), mine in credit[known].groupby(["target", "model"], sort=False)
    ]
    if not rows:
        return _empty()
    return pd.DataFrame(rows)[COLUMNS].sort_values(["target", "misplaced_share", "model"], ignore_index=True)


def _measured(truth: Mapping[str, Any] | None) -> pd.DataFrame | None:
    """True shares and their standard errors, one row per slot and one for ``(direct)``; None where there are none."""
    slots = truth.get("slots") if truth is not None else None
    found = slots.get("measured") if isinstance(slots, Mapping) else None
    if not found:
        return None
    return pd.DataFrame.from_dict(found, orient="index").rename(index={NO_SLOT: DIRECT})


def _errors(target: str, mine: pd.DataFrame, measured: pd.DataFrame, truth: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is said of one model and target."""
    share = TRUE_SHARES[target]
    both = _beside(mine["conversion_share"], measured[share])
    slots = both.drop(index=DIRECT)
    error = both["model"] - both["true"]
    largest = str(error.drop(index=DIRECT).abs().idxmax())
    money = TRUE_AMOUNT_SHARES.get(target)
    return {
        "misplaced_share": _misplaced(both),
        "misplaced_share_by_chance": _by_chance(measured, share, truth),
        "misplaced_amount_share": _misplaced(_beside(mine["amount_share"], measured[money])) if money else np.nan,
        "misplaced_share_among_slots": _misplaced(slots / slots.sum().replace(0.0, np.nan)),
        "direct_error": error[DIRECT],
        "largest_error_slot_id": largest,
        "largest_error": error[largest],
        "rank_correlation": _rank_correlation(slots),
        "topic_error": error[_planted(truth, "topic_page", error)].sum(),
        "hidden_gem_error": error[_planted(truth, "hidden_gems", error)].sum(),
    }


def _beside(credited: pd.Series, true: pd.Series) -> pd.DataFrame:
    """Both shares of every slot that either of them knows."""
    shares = pd.DataFrame({"model": credited, "true": true})
    # Shares that are all null mean that orders carry no amounts; a slot that one side alone lacks has a share of 0.
    return shares if credited.isna().all() else shares.fillna(0.0)


def _misplaced(both: pd.DataFrame) -> float:
    return float((both["model"] - both["true"]).abs().sum(skipna=False) / 2)


def _by_chance(measured: pd.DataFrame, share: str, truth: Mapping[str, Any]) -> float:
    """Mean distance between the true shares of one shop of this size and their expectation."""
    error, reference, users = f"{share}_std_error", truth["slots"].get("measured_users"), truth.get("users")
    if error not in measured or not reference or not users:
        return float("nan")
    return float(measured[error].sum() * np.sqrt(reference / users) / np.sqrt(2 * np.pi))


def _rank_correlation(slots: pd.DataFrame) -> float:
    if (slots.nunique() < 2).any():
        return float("nan")
    shares = slots.round(12)  # equal shares differ by rounding, which must not rank them
    return float(stats.spearmanr(shares["model"], shares["true"]).statistic)


def _planted(truth: Mapping[str, Any], story: str, error: pd.Series) -> list[str]:
    return [one for one in truth["slots"].get(story, []) if one in error.index]


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=COLUMNS)
