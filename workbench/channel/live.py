"""The scorecard of channels for any users within a blink: sums are held once by what users are chosen by."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from workbench.channel.comparison import core_tables, described_by, spend_by_channel
from workbench.channel.wishes import Wishes
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.population import channel_repurchase, channel_sums, population_users
from workbench.source.restriction import Segments, conditions
from workbench.source.shop import Shop

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]


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
    segments, paid = Segments(shop), paid_orders(shop.tables["orders"])
    described = [name for name in asked.standardise_by if name != "channel"]
    by = ["channel", *described, "user_segment"]
    members = segments.numbered(population_users(shop.tables, asked.population, period, described))
    cells = shop.hold(
        "live_channel_cells", channel_sums(members, paid, asked.population, period, asked.conversion_days, by=by)
    )
    exits = shop.hold("live_channel_exits", channel_repurchase(members, paid, period, asked.repurchase_days, by=by))
    orders, spend = segments.counted(paid_in_period(paid, period)), spend_by_channel(shop, period)
    ask_cells = shop.prepared(lambda: segments.summed(cells, ["channel", *asked.standardise_by, "user_bucket"]))
    ask_exits = shop.prepared(lambda: segments.summed(exits, ["channel", "exit_day", "is_repurchase"]))

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        numbers = segments.choose(chosen := conditions(shop, only_users))
        of_channels = not set(chosen) - {"channel"}
        known = spend[spend.index.isin(chosen["channel"])] if "channel" in chosen else spend
        return core_tables(
            shop,
            ask_cells(),
            ask_exits(),
            known if of_channels else spend.head(0),
            asked,
            has_orders=bool(orders.loc[orders["user_segment"].isin(numbers), "row_count"].sum()),
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
