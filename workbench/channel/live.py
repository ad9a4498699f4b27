"""The scorecard of channels for any users within a blink: sums are held once by what users are chosen by."""

from collections.abc import Callable, Mapping, Sequence

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from workbench.channel.comparison import core_tables, described_by, spend_by_channel
from workbench.channel.wishes import Wishes
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.population import channel_repurchase, channel_sums, population_users
from workbench.source.restriction import COLUMNS, check_conditions, conditions, is_chosen, user_counts
from workbench.source.shop import Shop

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]
_ROW = "has_row"  # of users that a table of users tells of; only these can be chosen


def live_tables(shop: Shop, parameters: Mapping[str, object]) -> Answer | None:
    """Hold the sums of a comparison, so that other users cost a look at them instead of a new comparison.

    Parameters
    ----------
    shop
        The shop with all its users.
    parameters
        Those of ``compare_channels``; ``only_users`` among them does not matter.

    Returns
    -------
    callable or None
        From ``only_users`` to the tables of ``core_tables``, equal to those of ``compare_channels``; it raises its errors
        too. None where channels are not those that acquired users: their credit is not held.
    """
    asked = _wishes(shop, parameters)
    if asked.is_credit or not shop.has("orders") or not shop.has("users"):
        return None
    period = shop.period(
        parameters.get("start_date"), parameters.get("end_date"), str(parameters.get("timezone", "UTC"))
    )
    there = [name for name in COLUMNS if name != "channel" and shop.has("users", name)]
    by = ["channel", *there, _ROW]
    users = shop.tables["users"].mutate(**{_ROW: ibis.literal("yes")})
    members = population_users({**shop.tables, "users": users}, asked.population, period, by[1:])
    paid = paid_orders(shop.tables["orders"])
    inside = paid_in_period(paid, period).inner_join(
        users.select("user_id", **{name: users[name].cast("string") for name in by}), "user_id"
    )
    cells = shop.hold(
        "live_channel_cells", channel_sums(members, paid, asked.population, period, asked.conversion_days, by=by)
    )
    exits = shop.hold("live_channel_exits", channel_repurchase(members, paid, period, asked.repurchase_days, by=by))
    orders = shop.hold("live_channel_orders", inside.group_by(by).aggregate(orders=_.count()))
    every = int(shop.collect(paid_in_period(paid, period).aggregate(orders=_.count()))["orders"].item())
    spend, counts = spend_by_channel(shop, period), user_counts(shop)

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        chosen = conditions(shop, only_users)
        counted = every
        if chosen:
            check_conditions(shop, chosen, counts)
            inside_chosen = _chosen(orders, chosen)
            counted = int(shop.collect(inside_chosen.aggregate(orders=_.orders.sum().fill_null(0)))["orders"].item())
        of_channels = not set(chosen) - {"channel"}
        known = spend[spend.index.isin(chosen["channel"])] if "channel" in chosen else spend
        return core_tables(
            shop,
            _summed(shop, cells, chosen, ["channel", *asked.standardise_by, "user_bucket"]),
            _summed(shop, exits, chosen, ["channel", "exit_day", "is_repurchase"]),
            known if of_channels else spend.head(0),
            asked,
            has_orders=bool(counted),
        )

    return answer


def _wishes(shop: Shop, parameters: Mapping[str, object]) -> Wishes:
    names = (
        "population",
        "channel_basis",
        "conversion_days",
        "repurchase_days",
        "baseline",
        "min_users",
        "confidence_level",
    )
    given = {name: parameters[name] for name in names if name in parameters}
    if "repurchase_days" in given:
        given["repurchase_days"] = tuple(given["repurchase_days"])  # type: ignore[arg-type]
    standardise_by = parameters.get("standardise_by", Wishes.standardise_by)
    return Wishes(standardise_by=described_by(shop, standardise_by), **given)  # type: ignore[arg-type]


def _chosen(table: ir.Table, chosen: Mapping[str, list[str]]) -> ir.Table:
    return table.filter(table[_ROW] == "yes", *is_chosen(table, chosen)) if chosen else table


def _summed(shop: Shop, held: ir.Table, chosen: Mapping[str, list[str]], by: Sequence[str]) -> pd.DataFrame:
    """The sums of some users by fewer columns."""
    table = _chosen(held, chosen)
    numbers = [
        name for name, type_ in held.schema().items() if name not in by and type_.is_numeric() and name not in COLUMNS
    ]
    return shop.collect(table.group_by(list(by)).aggregate(**{name: table[name].sum() for name in numbers}))
