"""Which experiments are read, against which arm, and by which rules."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from workbench.errors import ParameterError, nearest
from workbench.parameters import check_choices, check_days, check_names, check_rate
from workbench.source.shop import Shop
from workbench.stats.multiplicity import Method

OUTCOMES: Mapping[str, str] = {
    "buyer_rate": "buyers",
    "orders_per_user": "orders",
    "paid_amount_per_user": "paid_amount",
    "net_amount_per_user": "net_amount",
    "profit_per_user": "profit",
}
"""Outcomes of a user, and the sums of ``metrics.experiments`` that they are means of."""
MULTIPLE_TESTING = ("holm", "benjamini_hochberg", "none")


@dataclass(frozen=True)
class ReadoutRules:
    """How experiments are read; the same for all of them.

    Attributes
    ----------
    control_variant
        The arm that the others are held against.
    outcomes, outcome_days
        What is measured, and in how many days after assignment.
    pre_period_days
        Days before assignment whose sums adjust the outcome.
    margin_rate
        Margin before discounts, where the source has no costs; None: from ``orders.cost_amount``.
    expected_shares
        Planned share of each arm; None: from the ``experiments`` table.
    multiple_testing
        Over the arms of one experiment: ``holm``, ``benjamini_hochberg`` or ``none``.
    confidence_level
        Coverage of intervals.
    """

    control_variant: str = "control"
    outcomes: tuple[str, ...] = tuple(OUTCOMES)
    outcome_days: tuple[int, ...] = (7, 30, 60)
    pre_period_days: int = 28
    margin_rate: float | None = None
    expected_shares: Mapping[str, float] | None = None
    multiple_testing: Method = "holm"
    confidence_level: float = 0.95


@dataclass(frozen=True)
class Experiment:
    """One experiment as planned.

    Attributes
    ----------
    experiment_id, coupon_id
        As text; ``coupon_id`` is None where no coupon is tested, or arms test different ones.
    coupons
        The coupon that each treatment tests, by its name; empty where none does. A treatment whose coupon is not the
        control's is no test of it: the control has another one.
    control, treatments
        Arms.
    shares
        Planned share by arm, summing to 1; None where they are not known.
    by_inviter
        Whether inviters with all whom they bring are the units.
    """

    experiment_id: str
    coupon_id: str | None
    control: str
    treatments: tuple[str, ...]
    shares: Mapping[str, float] | None
    by_inviter: bool
    coupons: Mapping[str, str] = field(default_factory=dict)


def make_rules(
    *,
    control_variant: str,
    outcomes: Sequence[str],
    outcome_days: Sequence[int],
    pre_period_days: int,
    margin_rate: float | None,
    expected_shares: Sequence[str] | None,
    multiple_testing: Method,
    confidence_level: float,
) -> ReadoutRules:
    """Check the arguments of a read-out and put them together.

    Raises
    ------
    ParameterError
        If one of them cannot be used.
    """
    for name, words in (("outcomes", outcomes), ("expected_shares", expected_shares or [])):
        if isinstance(words, str):
            raise ParameterError(f'{name} is the text "{words}"; give a list: ["{words}"].')
    check_names("outcomes", outcomes)
    check_choices("outcomes", outcomes, tuple(OUTCOMES))
    check_days("outcome_days", outcome_days)
    check_days("pre_period_days", [pre_period_days])
    if not outcome_days:
        raise ParameterError("outcome_days is empty; name at least one window, such as [30].")
    check_choices("multiple_testing", [multiple_testing], MULTIPLE_TESTING)
    check_rate("confidence_level", confidence_level)
    if margin_rate is not None and not 0 <= margin_rate <= 1:
        raise ParameterError(
            f"margin_rate is {margin_rate}; it is the part of the gross amount left after the cost of goods, from 0 to 1, "
            "such as 0.3. Leave it null where orders have cost_amount."
        )
    return ReadoutRules(
        control_variant=str(control_variant),
        outcomes=tuple(outcomes),
        outcome_days=tuple(sorted(outcome_days)),
        pre_period_days=pre_period_days,
        margin_rate=margin_rate,
        expected_shares=None if expected_shares is None else _shares(expected_shares),
        multiple_testing=multiple_testing,
        confidence_level=confidence_level,
    )


def _shares(given: Sequence[str]) -> dict[str, float]:
    """Read ``["control=0.1", "treatment=0.9"]``."""
    found: dict[str, float] = {}
    for one in given:
        name, sign, value = str(one).partition("=")
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if not sign or not 0 < share < 1 or name.strip() in found:
            raise ParameterError(
                f'expected_shares: "{one}" is not an arm with its share. Give each arm once, such as ["control=0.1", '
                '"treatment=0.9"], or null to take them from the experiments table.'
            )
        found[name.strip()] = share
    if abs(sum(found.values()) - 1) > 1e-6:
        raise ParameterError(f"expected_shares sum to {sum(found.values()):g}; the shares of all arms sum to 1.")
    return found


def find_experiments(
    shop: Shop, experiment_ids: Sequence[str] | None, rules: ReadoutRules, coupon_ids: Collection[str] | None = None
) -> tuple[Experiment, ...]:
    """What is planned for each experiment that has assignments, in the order of their ids.

    With ``coupon_ids`` only those that test one of these coupons.

    Raises
    ------
    ParameterError
        If an id is not there, or no experiment has the control arm or one of ``expected_shares``.
    """
    assigned = shop.experiment_assignments
    named = assigned.select("variant", experiment_id=assigned.experiment_id.cast("string"))
    arms = shop.collect(named.distinct()).dropna().astype(str)
    known = sorted(arms["experiment_id"].unique())
    if experiment_ids is not None:
        if isinstance(experiment_ids, str):
            raise ParameterError(f'experiment_ids is the text "{experiment_ids}"; give a list: ["{experiment_ids}"].')
        check_names("experiment_ids", experiment_ids)
        check_choices("experiment_ids", [str(one) for one in experiment_ids], known)
        known = [one for one in known if one in {str(given) for given in experiment_ids}]
    table = _planned(shop)
    found = tuple(_experiment(one, arms, table, shop, rules) for one in known)
    if coupon_ids is not None:
        found = tuple(one for one in found if set(one.coupons.values()) & set(coupon_ids))
        known = [one.experiment_id for one in found]
    if found:
        rows = [one[one["experiment_id"].isin(known)] for one in (arms, table)]
        there = sorted({arm for one in rows for arm in one["variant"].dropna()})
        _check_arms("control_variant", [rules.control_variant], there)
        _check_arms("expected_shares", rules.expected_shares or (), there)
    return found


def _check_arms(name: str, given: Iterable[str], there: Sequence[str]) -> None:
    """Refuse arms that no experiment has."""
    for arm in given:
        if arm not in there:
            raise ParameterError(
                f'{name}: no experiment has an arm "{arm}"{nearest(arm, there, ".")} There are: {", ".join(there[:12])}.'
            )


def _planned(shop: Shop) -> pd.DataFrame:
    """experiment_id, variant, expected_share, coupon_id, coupon_kind as text; empty without the table."""
    columns = ["experiment_id", "variant", "expected_share", "coupon_id", "coupon_kind"]
    if not shop.has("experiments"):
        return pd.DataFrame(columns=columns)
    # As text in the engine: whole numbers beside a null would come back as fractions.
    texts = {name: shop.experiments[name].cast("string") for name in ("experiment_id", "variant", "coupon_id")}
    table = shop.collect(shop.experiments.select("expected_share", **texts))
    table["coupon_kind"] = None
    if shop.has("coupons", "kind"):
        coupons = shop.collect(shop.coupons.select("kind", coupon_id=shop.coupons.coupon_id.cast("string")))
        kinds = dict(zip(coupons["coupon_id"], coupons["kind"], strict=True))
        table["coupon_kind"] = [kinds.get(one) for one in table["coupon_id"]]
    return table[columns]


def _experiment(name: str, arms: pd.DataFrame, table: pd.DataFrame, shop: Shop, rules: ReadoutRules) -> Experiment:
    planned = table[table["experiment_id"] == name]
    there = set(arms.loc[arms["experiment_id"] == name, "variant"]) | set(planned["variant"].dropna())
    shares = rules.expected_shares or dict(zip(planned["variant"], planned["expected_share"], strict=True))
    shares = {arm: float(share) for arm, share in shares.items() if arm in there and share == share}
    is_whole = bool(shares) and set(shares) == there and sum(shares.values()) > 0
    coupons = _tested(planned, rules.control_variant)
    kinds = planned["coupon_kind"].dropna().unique()
    total = sum(shares.values())
    return Experiment(
        experiment_id=name,
        coupon_id=next(iter(coupons.values())) if len(set(coupons.values())) == 1 else None,
        control=rules.control_variant,
        treatments=tuple(sorted(there - {rules.control_variant})),
        shares={arm: share / total for arm, share in sorted(shares.items())} if is_whole else None,
        by_inviter="invitation" in set(kinds) and shop.has("users", "inviter_id"),
        coupons=coupons,
    )


def _tested(planned: pd.DataFrame, control: str) -> dict[str, str]:
    """The coupon of each treatment that has one, where the control has none or is named with the same."""
    named = planned.dropna(subset=["variant", "coupon_id"])
    coupons = dict(zip(named["variant"].astype(str), named["coupon_id"].astype(str), strict=True))
    beside = coupons.pop(control, None)
    return {arm: coupon for arm, coupon in coupons.items() if beside in (None, coupon)}


def measurable_outcomes(shop: Shop, rules: ReadoutRules) -> tuple[str, ...]:
    """Outcomes asked for that the source can give: without amounts only counts, without costs no profit."""
    has_cost = rules.margin_rate is not None or shop.has("orders", "cost_amount")
    off = set(OUTCOMES) - {"buyer_rate", "orders_per_user"} if not shop.has_money else set()
    off |= set() if has_cost else {"profit_per_user"}
    return tuple(one for one in rules.outcomes if one not in off)
