"""In which price bands users look, and in which they buy."""

import ibis
import ibis.expr.types as ir

from workbench.contract import UNKNOWN
from workbench.period import Period

BANDS = 4


def price_bands(lines: ir.Table) -> ir.Table:
    """Put products that were sold into bands with equally many products each, by the price of a piece.

    Parameters
    ----------
    lines
        Order lines.

    Returns
    -------
    ibis.Table
        One row per product with pieces and an amount: product_id, price_cents (amount ÷ quantity of all its lines, to
        the cent), band from 0, the cheapest, to ``BANDS`` - 1. Products of one price may lie in two bands.
    """
    known = lines.filter(lines.product_id.notnull(), lines.amount.notnull(), lines.quantity > 0)
    sold = known.group_by("product_id").aggregate(amount=known.amount.sum(), quantity=known.quantity.sum())
    price = sold.amount.cast("float64") * 100 / sold.quantity.cast("float64")
    priced = sold.select("product_id", price_cents=price.round().cast("int64"))
    ranked = priced.mutate(
        place=ibis.row_number().over(order_by=[priced.price_cents, priced.product_id]),
        products=priced.count().over(ibis.window()),
    )
    return ranked.select("product_id", "price_cents", band=(ranked.place * BANDS // ranked.products).cast("int64"))


def band_limits(bands: ir.Table) -> ir.Table:
    """Lowest and highest price of each band: band, lowest_cents, highest_cents, product_count."""
    return bands.group_by("band").aggregate(
        lowest_cents=bands.price_cents.min(), highest_cents=bands.price_cents.max(), product_count=bands.count()
    )


def viewed_and_bought(
    members: ir.Table, events: ir.Table, lines: ir.Table, paid: ir.Table, bands: ir.Table, period: Period
) -> ir.Table:
    """What do users of each channel look at, and what do they buy, by price band?

    A product that a user viewed (bought) several times in the period counts once for the user.

    Returns
    -------
    ibis.Table
        One row per channel, user_bucket and band (-1: products without a price): viewed_count, bought_count.
    """
    inside = events.filter(
        events.event == "view_item",
        events.product_id.notnull(),
        events.event_ms >= period.start_ms,
        events.event_ms < period.end_ms,
    )
    viewed = inside.select("user_id", "product_id").distinct()
    in_period = paid.filter(paid.paid_ms >= period.start_ms, paid.paid_ms < period.end_ms)
    bought = lines.filter(lines.product_id.notnull()).select("order_id", "product_id")
    bought = bought.inner_join(in_period.select("order_id", "user_id"), "order_id").select("user_id", "product_id")
    one, none = ibis.literal(1, type="int64"), ibis.literal(0, type="int64")
    both = ibis.union(viewed.mutate(viewed=one, bought=none), bought.distinct().mutate(viewed=none, bought=one))
    known = members.select("user_id", "user_bucket", channel=members.channel.fill_null(UNKNOWN))
    told = both.inner_join(known, "user_id")
    priced = bands.select(priced_id=bands.product_id, band=bands.band)
    told = told.left_join(priced, told.product_id == priced.priced_id)
    told = told.mutate(band=told.band.fill_null(-1))
    return told.group_by(["channel", "user_bucket", "band"]).aggregate(
        viewed_count=told.viewed.sum(), bought_count=told.bought.sum()
    )
