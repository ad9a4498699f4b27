"""A shop of some of its users is the shop that was written with these users alone."""

import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.channel import compare_channels
from workbench.coupon import evaluate_coupons
from workbench.errors import ParameterError
from workbench.experiment import read_experiments
from workbench.sales import overview_sales
from workbench.slot import attribute_slots
from workbench.user.segmentation import segment_users

ASKED = ["region=North", "region=South", "device=ios", "device=android"]
USER_TABLES = ("events", "orders", "users", "coupon_grants", "experiment_assignments")
LOCAL = {"timezone": "Asia/Shanghai"}
ANALYSES = {
    "slots": lambda shop, **more: attribute_slots(shop, bootstrap_replicates=200, **LOCAL, **more),
    "channels": lambda shop, **more: compare_channels(shop, **LOCAL, **more),
    "coupons": lambda shop, **more: evaluate_coupons(shop, **LOCAL, **more),
    "experiments": lambda shop, **more: read_experiments(shop, **LOCAL, **more),
    "sales": lambda shop, **more: overview_sales(shop, start_date="2026-05-01", end_date="2026-06-01", **LOCAL, **more),
    "users": lambda shop, **more: segment_users(shop, window_days=14, period_days=7, **LOCAL, **more),
}


@pytest.fixture(scope="module")
def written(small_folder, tmp_path_factory):
    """The rows of the users asked for, chosen by pandas and written as a shop of their own."""
    tables = {one.stem: pd.read_parquet(one) for one in small_folder.glob("*.parquet")}
    users = tables["users"]
    kept = set(users[users["region"].isin(["North", "South"]) & users["device"].isin(["ios", "android"])]["user_id"])
    assert 50 < len(kept) < 700
    for name in USER_TABLES:
        tables[name] = tables[name][tables[name]["user_id"].isin(kept)]
    tables["order_lines"] = tables["order_lines"][tables["order_lines"]["order_id"].isin(tables["orders"]["order_id"])]
    tables["stock"] = tables["stock"][tables["stock"]["region"].isin(["North", "South"])]
    del tables["channel_spend"]
    return write_shop(tmp_path_factory.mktemp("only") / "shop", **tables)


@pytest.mark.parametrize("name", ANALYSES)
@pytest.mark.slow
def test_every_analysis_is_that_of_the_users_alone(small_folder, written, name):
    alone, whole = open_shop(written), open_shop(small_folder)
    days = [shop.period(None, None, LOCAL["timezone"]) for shop in (alone, whole)]
    assert days[0].start_date == days[1].start_date
    assert days[0].data_last_date == days[1].data_last_date
    mine, theirs = ANALYSES[name](whole, only_users=ASKED), ANALYSES[name](alone)
    assert set(mine.tables) == set(theirs.tables)
    for table, frame_ in theirs.tables.items():
        pd.testing.assert_frame_equal(mine.tables[table], frame_, check_dtype=False, rtol=1e-9, atol=1e-9, obj=table)
    assert mine.headline.verdict == theirs.headline.verdict
    said = next(flag for flag in mine.flags if "Only users" in flag)
    assert said.startswith("Only users with region North or South; device android or ios: ")
    assert "Spend cannot be divided by these" in said


def test_several_restrictions_stand_beside_each_other(small_folder):
    whole = open_shop(small_folder)
    north, south, both = (
        whole.only([f"region={one}" for one in names]) for names in (["North"], ["South"], ["North", "South"])
    )
    counts = [shop.collect(shop.orders.count().as_table()).iloc[0, 0] for shop in (north, south, both)]
    assert counts[0] + counts[1] == counts[2] > 0
    assert (north.only_count[0] + south.only_count[0], north.only_count[1]) == (both.only_count[0], 1_500)
    assert whole.only([]) is whole
    assert whole.only_users == ()


def test_spend_of_chosen_channels_stays(small_folder):
    whole = open_shop(small_folder)
    some = whole.only(["channel=paid_search"])
    assert set(some.collect(some.tables["channel_spend"].select("channel").distinct())["channel"]) == {"paid_search"}
    assert not some.without_spend
    assert "channel_spend" not in whole.only(["channel=paid_search", "device=ios"]).tables


def people(tmp_path, **options):
    return write_shop(
        tmp_path / "shop",
        users=frame(
            "user_id first_seen_at region", ("a", "2026-01-01", "North"), ("b", "2026-01-01", None), ("c", "2026-01-01", "x")
        ),
        orders=frame(
            "order_id user_id submitted_at paid_at gross_amount",
            ("1", "a", "2026-01-02", "2026-01-02", 10.0),
            ("2", "b", "2026-01-03", "2026-01-03", 20.0),
            ("3", "d", "2026-01-04", "2026-01-04", 40.0),
        ),
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("csv", [False, True])
def test_users_without_a_value_can_be_chosen_and_those_without_a_row_are_in_none(tmp_path, csv):
    shop = open_shop(people(tmp_path, csv=csv))
    some = shop.only("region=(unknown)")
    assert some.collect(some.orders.select("order_id"))["order_id"].astype(str).tolist() == ["2"]
    every = shop.only(["region=(unknown)", "region=North", "region=x"])
    assert sorted(every.collect(every.orders.select("order_id"))["order_id"].astype(str)) == ["1", "2"]
    # the data still end with the order of the user without a row
    assert some.period(None, None, "UTC").data_last_date == shop.period(None, None, "UTC").data_last_date


def test_clickhouse_restricts_alike(small_folder):
    pytest.importorskip("chdb")
    for shop in (open_shop(small_folder), open_shop(f"chdb://{small_folder}")):
        some = shop.only(ASKED)
        found = some.collect(some.orders.aggregate(orders=some.orders.count(), paid=some.orders.paid_amount.sum()))
        assert some.reach["orders"]["row_count"] == found["orders"].item()
        if shop.engine.kind == "duckdb":
            first = found
    pd.testing.assert_frame_equal(found, first, check_dtype=False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["region"], '"region" is not column=value, such as region=North'),
        (["=North"], "is not column=value"),
        (["regoin=North"], 'no column "regoin", did you mean "region"? Allowed here: region.'),
        (["age_group=18-24"], 'no column "age_group"'),
        (["region=Nort"], 'no user has region "Nort", did you mean "North"? There are: (unknown), North, x.'),
    ],
)
def test_what_cannot_be_chosen_is_refused(tmp_path, asked, said):
    with pytest.raises(ParameterError) as told:
        open_shop(people(tmp_path)).only(asked)
    assert said in str(told.value)


def test_nobody_left_is_refused(small_folder):
    users = pd.read_parquet(small_folder / "users.parquet")
    pairs = users.groupby(["region", "channel", "device", "gender", "age_group"]).size()
    every = pd.MultiIndex.from_product(pairs.index.levels)
    empty = dict(zip(pairs.index.names, every.difference(pairs.index)[0], strict=True))
    with pytest.raises(ParameterError, match="at once\\. Choose fewer conditions"):
        open_shop(small_folder).only([f"{column}={value}" for column, value in empty.items()])


def test_a_shop_without_users_cannot_be_restricted(tmp_path):
    orders = frame("order_id user_id submitted_at paid_at gross_amount", ("1", "a", "2026-01-02", "2026-01-02", 10.0))
    with pytest.raises(ParameterError, match="has no table of users"):
        open_shop(write_shop(tmp_path / "shop", orders=orders)).only(["region=North"])
