"""Compare channels: who comes, who buys, who comes back, and what each new user costs and earns."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import pandas as pd

from workbench.analysis import Analysis, remembers
from workbench.channel.audience import adjusted_table, audience_of, check_baseline, mix_table, pairs_table
from workbench.channel.economics import economics_table, payback_table
from workbench.channel.findings import channel_findings, channel_headline
from workbench.channel.funnel import funnel_table, read_funnel
from workbench.channel.headline_figures import channel_figures
from workbench.channel.notes import channel_notes
from workbench.channel.prices import price_table
from workbench.channel.repurchase import CURVE_DAYS, repurchase_table
from workbench.channel.retention import retention_table
from workbench.channel.wishes import Wishes
from workbench.contract import UNKNOWN
from workbench.errors import ParameterError
from workbench.language import Language
from workbench.metrics.funnel import Count, End
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.population import (
    USER_COLUMNS,
    Population,
    channel_repurchase,
    channel_sums,
    population_users,
)
from workbench.metrics.session_channels import credited_sums, order_credit, sessions
from workbench.parameters import check_choices, check_days, check_rate
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_counts, ratio_by_bucket, wilson
from workbench.stats.tables import divide, repurchase_columns

ChannelBasis = Literal["acquisition", "session", "first", "last", "linear"]
FUNNEL_STEPS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
_MONEY = [
    "gross_amount",
    "paid_amount",
    "refund_amount",
    "average_order_value",
    "refund_rate",
    "contribution_per_new_user",
]
_SQUARES = ["paid_amount", "paid_squares"]
_SUMS = ["buyer_count", "repeat_buyer_count", "order_count", "gross_amount", "paid_amount", "refund_amount"]


@remembers
def compare_channels(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    only_users: Sequence[str] = (),
    population: Population = "new",
    conversion_days: int = 30,
    channel_basis: ChannelBasis = "acquisition",
    funnel_steps: Sequence[str] = FUNNEL_STEPS,
    window_hours: float = 168,
    step_window_hours: float | None = None,
    hold: str | None = None,
    count: Count = "users",
    breakdown: str | None = None,
    breakdown_at: End = "first",
    repurchase_days: Sequence[int] = (30, 60, 90),
    standardise_by: Sequence[str] = ("age_group",),
    baseline: str | None = None,
    min_users: int = 30,
) -> Analysis:
    """Which channel brings users who buy and come back?

    Parameters
    ----------
    shop
        Needs ``orders`` and ``users``; ``events`` for the funnel, ``channel_spend`` for cost, ``order_lines`` for price
        bands.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``; None is all the data.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    only_users
        Users that it is about, as in ``Shop.only``; empty: all.
    population
        ``new``: users first seen in the period. ``active``: users with an event or order in it.
    conversion_days
        Days after the first visit in which a first paid order counts as conversion (``new``); also how far back a
        session may lie before an order that it is credited with (``channel_basis`` first, last, linear).
    channel_basis
        ``acquisition``: a user has the channel that brought the first visit. ``session``: an order has the channel of its
        own session. ``first``, ``last``, ``linear``: an order's credit is shared among the channels of the user's
        sessions before it, as slots share credit. Scorecard, gaps and their split follow it; the funnel, repurchase,
        retention and economics follow users and always use the channel of acquisition.
    funnel_steps, window_hours, step_window_hours, hold, count
        Events in order (``name?`` optional, ``!name`` excluded), the longest time from the first to the last of them
        and from each to the next (None: no limit of its own), a column of events that must have one value through all
        steps (such as ``product_id``: events that carry an order in its place hold the products of the order's lines),
        and whether ``users`` or ``sessions`` count. The first step lies in the period, later ones are followed to the
        end of the data.
    breakdown, breakdown_at
        Column of users or events to break the funnel down by; of events the value at the ``first`` or the ``last``
        required step that the user gets to.
    repurchase_days
        Windows after the first paid order in which another counts, and after the first visit for what users pay.
    standardise_by
        Columns of users that describe the audience as of acquisition; null is a group of its own. Empty, or none of them
        there: gaps are tested and not split.
    baseline
        Channel to compare with; None: all users together, the channel itself among them.
    min_users
        Channels with fewer users whose window has elapsed are neither ranked nor tested.

    Returns
    -------
    Analysis
        ``channel_scorecard`` (one row per channel, by user_count), ``channel_adjusted`` (the gap of each channel to the
        baseline, split into audience and rate), ``channel_mix`` (the same by part of the audience), ``channel_pairs``
        (tests of each pair), ``channel_funnel``, ``channel_repurchase``, ``channel_retention``, ``channel_economics``,
        ``channel_payback`` and ``channel_prices``.

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    shop = shop.only(only_users)
    check_choices("population", [population], ("new", "active"))
    check_choices("channel_basis", [channel_basis], get_args(ChannelBasis))
    check_rate("confidence_level", confidence_level)
    check_days("conversion_days", [conversion_days])
    check_days("repurchase_days", repurchase_days)
    _check_count("min_users", min_users)
    check_choices("standardise_by", standardise_by, USER_COLUMNS)
    if len(set(standardise_by)) < len(standardise_by):
        raise ParameterError(f"standardise_by: {', '.join(standardise_by)} names a column twice; name each once.")
    asked = read_funnel(
        shop,
        funnel_steps,
        window_hours=window_hours,
        step_window_hours=step_window_hours,
        hold=hold,
        count=count,
        breakdown=breakdown,
        breakdown_at=breakdown_at,
    )
    shop.require("channel_comparison", "orders", "users")
    if channel_basis != "acquisition" and not shop.has("events", "channel"):
        raise ParameterError(
            f'channel_basis: "{channel_basis}" needs events with a channel of the visit; there are none. '
            "Add the column, or use acquisition."
        )
    period = shop.period(start_date, end_date, timezone)
    columns = described_by(shop, standardise_by)
    asked_for = Wishes(
        population,
        channel_basis,
        conversion_days,
        tuple(repurchase_days),
        columns,
        baseline,
        min_users,
        confidence_level,
        count,
        breakdown_at,
        asked.rules.optional if asked.rules else (),
    )
    extra = [one for one in (asked.user_breakdown,) if one is not None and one not in columns]
    members = population_users(shop.tables, population, period, [*columns, *extra])
    paid = paid_orders(shop.tables["orders"])
    inside = paid_in_period(paid, period)
    paid_count = int(shop.collect(inside.aggregate(orders=inside.count()))["orders"].item())
    cells, mixed_sessions = _cells(shop, members, paid, population, period, conversion_days, channel_basis, columns)
    exits, spend = (
        shop.collect(channel_repurchase(members, paid, period, repurchase_days)),
        spend_by_channel(shop, period),
    )
    core = core_tables(shop, cells, exits, spend, asked_for, has_orders=bool(paid_count))
    sums, is_fixed = by_channel(cells, columns), channel_basis == "acquisition"
    followed = core["channel_scorecard"]["channel"].tolist() if is_fixed else _acquiring(shop, members)
    if population == "new":
        acquired, own_sums = members, sums if is_fixed else None
    else:
        acquired, own_sums = population_users(shop.tables, "new", period), None
    if own_sums is None:
        own_sums = shop.collect(channel_sums(acquired, paid, "new", period, conversion_days))
    own = _acquired(shop, own_sums, spend, confidence_level)
    last_day = max(repurchase_days, default=CURVE_DAYS)
    payback = payback_table(shop, acquired, paid, period, own["cost_per_new_user"], last_day, min_users)
    funnel = funnel_table(shop, members, period, asked, followed, confidence_level)
    tables = {
        **core,
        "channel_funnel": funnel.table,
        "channel_prices": price_table(shop, members, paid, period, followed, confidence_level),
        "channel_repurchase": repurchase_table(exits, followed, last_day, min_users, confidence_level),
        "channel_retention": retention_table(shop, acquired, paid, period, followed, confidence_level),
        "channel_economics": economics_table(
            shop, acquired, paid, period, own, payback, repurchase_days, confidence_level
        ),
        "channel_payback": payback,
    }
    return Analysis(
        name="channel_comparison",
        lang=lang,
        period=period,
        tables=tables,
        headline=channel_headline(tables, period, asked_for, lang, paid_count),
        findings=channel_findings(tables, asked_for, lang),
        notes=channel_notes(
            shop,
            lang,
            asked_for,
            tables,
            asked,
            funnel,
            [one for one in standardise_by if one not in columns],
            mixed_sessions,
        ),
        flags=shop.flags(period, lang, has_orders=bool(paid_count)),
        figures=channel_figures(tables, population, channel_basis, confidence_level, lang),
    )


def described_by(shop: Shop, standardise_by: Sequence[str]) -> tuple[str, ...]:
    """The columns asked for that users have."""
    return tuple(name for name in standardise_by if shop.has("users", name))


def by_channel(cells: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Sums by channel and bucket, of those by parts of the audience too."""
    return cells.drop(columns=list(columns)).groupby(["channel", "user_bucket"], as_index=False).sum(min_count=1)


def core_tables(
    shop: Shop, cells: pd.DataFrame, exits: pd.DataFrame, spend: pd.Series, asked: Wishes, *, has_orders: bool
) -> dict[str, pd.DataFrame]:
    """Scorecard, gaps, their parts and pairs: what rests on the users compared alone.

    Parameters
    ----------
    shop
        Tells which columns there are.
    cells
        Sums by channel, the columns of the audience and user_bucket.
    exits
        Collected from ``metrics.population.channel_repurchase``.
    spend
        By channel.
    asked
        Wishes.
    has_orders
        Whether anybody at all paid in the period.

    Returns
    -------
    dict
        ``channel_scorecard``, ``channel_adjusted``, ``channel_mix``, ``channel_pairs``.
    """
    sums = by_channel(cells, asked.standardise_by)
    scorecard = _scorecard(shop, sums, exits, spend, asked)
    if not has_orders:
        scorecard = _without_orders(scorecard, asked.population)
    audience = audience_of(cells, scorecard["channel"].tolist(), asked.standardise_by)
    check_baseline(asked.baseline, audience.channels)
    ranked = scorecard.loc[scorecard["unranked_reason"].isna(), "channel"]
    adjusted, split = adjusted_table(audience, asked.baseline, asked.confidence_level, ranked.tolist())
    converted = sums.groupby("channel")["converted_count"].sum()
    shared = None if asked.channel_basis == "acquisition" else audience  # a user may count under several channels
    return {
        "channel_scorecard": scorecard,
        "channel_adjusted": adjusted,
        "channel_mix": mix_table(audience, asked.baseline, split, asked.confidence_level),
        "channel_pairs": pairs_table(scorecard, converted, asked.confidence_level, shared),
    }


def _check_count(name: str, given: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ParameterError(f"{name} is {given!r}; it is a whole number of users from 1 on, such as 30.")


def _cells(
    shop: Shop,
    members: Any,
    paid: Any,
    population: Population,
    period: Period,
    conversion_days: int,
    basis: ChannelBasis,
    columns: Sequence[str],
) -> tuple[pd.DataFrame, int]:
    """Sums by channel, part of the audience and bucket; and how many sessions name more than one channel."""
    if basis == "acquisition":
        by = ("channel", *columns)
        return shop.collect(channel_sums(members, paid, population, period, conversion_days, by=by)), 0
    visits = sessions(shop.events, period, has_sessions=shop.has("events", "session_id"))
    visits = shop.hold("channel_sessions", visits)  # asked for touches, for visitors and for mixed sessions
    weights = order_credit(
        visits,
        shop.orders,
        period,
        basis,
        lookback_days=conversion_days,
        has_channel=shop.has("orders", "channel"),
    )
    weights = shop.hold("channel_credit", weights)
    found = shop.collect(credited_sums(members, visits, paid, weights, population, period, conversion_days, by=columns))
    mixed = shop.collect(visits.aggregate(sessions=(visits.channel_count > 1).cast("int64").sum().fill_null(0)))
    return found, int(mixed["sessions"].item())


def _acquiring(shop: Shop, members: Any) -> list[str]:
    """Channels that acquired the users compared, largest first."""
    counted = shop.collect(members.group_by("channel").aggregate(users=members.count()))
    return counted.sort_values(["users", "channel"], ascending=[False, True])["channel"].tolist()


def spend_by_channel(shop: Shop, period: Period) -> pd.Series:
    """Spend in the period by channel; empty where the source has none."""
    if not shop.has("channel_spend"):
        return pd.Series(dtype=float)
    table = shop.channel_spend
    if period.has_start:
        table = table.filter(table.date >= period.start_date)
    if period.has_end:
        table = table.filter(table.date < period.end_date)
    spent = shop.collect(table.group_by("channel").aggregate(spend_amount=table.spend_amount.sum()))
    return spent.set_index("channel")["spend_amount"]


def _scorecard(shop: Shop, sums: pd.DataFrame, exits: pd.DataFrame, spend: pd.Series, asked: Wishes) -> pd.DataFrame:
    """One row per channel, largest first; channels with spend and no user included."""
    basis, confidence_level = asked.channel_basis, asked.confidence_level
    total = sums.drop(columns="user_bucket").groupby("channel").sum()
    total = total.reindex(total.index.union(spend.index[spend > 0]), fill_value=0).rename_axis("channel")
    total = total.assign(order=-total["user_count"]).sort_values(["order", "channel"]).drop(columns="order")
    card = total[["user_count", *_SUMS]].copy()
    unknown = (total["amount_count"] == 0) & (total["order_count"] > 0)
    card.loc[unknown, ["gross_amount", "paid_amount"]] = float("nan")
    card["average_order_value"] = divide(card["paid_amount"], total["amount_count"])
    card["refund_rate"] = divide(card["refund_amount"], card["paid_amount"])
    card["conversion_eligible_count"] = total["eligible_count"]
    converted = wilson(total["converted_count"], total["eligible_count"], confidence_level=confidence_level)
    if basis == "linear":  # a user's conversion lies in several channels: rows are no whole users
        wide = _wide(sums, ("converted_count", "eligible_count"), card.index)
        converted = ratio_by_bucket(wide["converted_count"], wide["eligible_count"], confidence_level=confidence_level)
    card["conversion_rate"], card["ci_lower"], card["ci_upper"] = converted.estimate, converted.lower, converted.upper
    counts = exits.drop(columns=["exit_day", "is_repurchase"]).groupby("channel").sum()
    returns = repurchase_columns(counts.reindex(card.index).astype(float), asked.repurchase_days, confidence_level)
    if basis != "acquisition":
        returns[:] = float("nan")  # buyers are followed by the channel that acquired them
    card = card.join(returns)
    card["spend_amount"] = spend.reindex(card.index)
    if asked.population == "new" and basis == "acquisition":
        card["cost_per_new_user"] = divide(card["spend_amount"], card["user_count"])
        card = card.join(_contribution(shop, sums, card["cost_per_new_user"], confidence_level))
    if not shop.has_money:
        card[[name for name in _MONEY if name in card]] = float("nan")
    card["unranked_reason"] = _unranked(card, asked.min_users)
    return card.reset_index()


def _unranked(card: pd.DataFrame, min_users: int) -> pd.Series:
    """Why a channel is in no ranking; null where it is."""
    reason = pd.Series(None, index=card.index, dtype=object)
    reason[card["conversion_eligible_count"] < min_users] = "few_users"
    reason[card["conversion_eligible_count"] == 0] = "no_elapsed_window"
    reason[card["user_count"] == 0] = "no_users"
    reason[card.index == UNKNOWN] = "unknown_channel"
    return reason


def _wide(sums: pd.DataFrame, names: Sequence[str], channels: pd.Index) -> dict[str, pd.DataFrame]:
    """Sums with one row per bucket and one column per channel."""
    return {
        name: sums.pivot(index="user_bucket", columns="channel", values=name).reindex(columns=channels).fillna(0)
        for name in names
    }


def _acquired(shop: Shop, sums: pd.DataFrame, spend: pd.Series, confidence_level: float) -> pd.DataFrame:
    """Users first seen in the period by the channel that acquired them, largest first, and channels with spend alone."""
    total = sums.drop(columns="user_bucket").groupby("channel").sum()
    total = total.reindex(total.index.union(spend.index[spend > 0]), fill_value=0).rename_axis("channel")
    total = total.assign(order=-total["user_count"]).sort_values(["order", "channel"]).drop(columns="order")
    card = total[["user_count", "buyer_count", "paid_amount"]].copy()
    card["spend_amount"] = spend.reindex(card.index)
    card["cost_per_new_user"] = divide(card["spend_amount"], card["user_count"])
    return card.join(_contribution(shop, sums, card["cost_per_new_user"], confidence_level))


def _without_orders(scorecard: pd.DataFrame, population: Population) -> pd.DataFrame:
    """Where nobody at all paid in the period, what rests on its orders is unknown rather than 0."""
    blank = [*_SUMS, *(["conversion_rate", "ci_lower", "ci_upper"] if population == "active" else [])]
    return scorecard.assign(**dict.fromkeys(blank, float("nan")))


def _contribution(shop: Shop, sums: pd.DataFrame, cost: pd.Series, confidence_level: float) -> pd.DataFrame:
    """Profit of a new user's first ``conversion_days`` less the cost of winning the user, by resampled buckets."""
    wide = _wide(sums, ("early_profit_amount", "eligible_count"), cost.index)
    found = ratio_by_bucket(
        wide["early_profit_amount"], wide["eligible_count"], confidence_level=confidence_level, is_share=False
    )
    known = shop.has("orders", "cost_amount")
    spent = cost.fillna(0.0)
    bounds = {
        "contribution_per_new_user": found.estimate,
        "contribution_ci_lower": found.lower,
        "contribution_ci_upper": found.upper,
    }
    table = pd.DataFrame(
        {name: values - spent if known and shop.has_money else float("nan") for name, values in bounds.items()},
        index=cost.index,
    )
    few = effective_counts(*(sums.groupby("channel")[one].sum().reindex(cost.index) for one in _SQUARES))
    table.loc[few < MINIMUM_EFFECTIVE, ["contribution_ci_lower", "contribution_ci_upper"]] = float("nan")
    return table
