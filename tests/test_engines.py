"""One analysis, on DuckDB and on ClickHouse in this process, gives the same tables; so do whole notebooks."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.channel import compare_channels
from workbench.coupon import evaluate_coupons
from workbench.experiment import read_experiments
from workbench.report.run import run_notebook
from workbench.sales import overview_sales
from workbench.slot import attribute_slots

NEEDS_CHDB = "chdb is not installed: pip install 'workbench[engines-test]'"


def same_tables(duckdb, clickhouse, where):
    assert duckdb.keys() == clickhouse.keys()
    assert any(len(table) for table in duckdb.values())
    for name, table in duckdb.items():
        pd.testing.assert_frame_equal(table, clickhouse[name], rtol=0, atol=1e-9, obj=f"{where}/{name}")


def sales_with_alerts(shop, **asked):
    """Four weeks beside the four before, and a dial so high that dozens of alerts are compared too."""
    dial = {"false_alarms_per_month": 60.0, "least_alert_amount": 0.0}
    return overview_sales(shop, start_date="2026-06-01", end_date="2026-06-29", **dial, **asked)


@pytest.mark.engine
@pytest.mark.parametrize(
    "analyse",
    [
        attribute_slots,
        compare_channels,
        evaluate_coupons,
        sales_with_alerts,
        pytest.param(read_experiments, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_same_tables_on_duckdb_and_clickhouse(small_folder, analyse):
    pytest.importorskip("chdb", reason=NEEDS_CHDB)
    tables = [
        analyse(open_shop(source), timezone="Asia/Shanghai").tables
        for source in (small_folder, f"chdb://{small_folder}")
    ]
    same_tables(*tables, analyse.__name__)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("notebook", ["slot_attribution", "user_quadrants"])
def test_a_whole_notebook_writes_the_same_tables_on_both(small_folder, tmp_path, notebook):
    """The analyses of the others are compared above; here the way through kernel and files is."""
    pytest.importorskip("chdb", reason=NEEDS_CHDB)
    written = []
    for name, source in {"duckdb": small_folder, "clickhouse": f"chdb://{small_folder}"}.items():
        result = run_notebook(notebook, source, tmp_path / name, parameters={"timezone": "Asia/Shanghai"})
        assert result.status == "done", result.error
        written.append({path.name: pd.read_csv(path) for path in sorted((result.folder / "tables").glob("*.csv"))})
    same_tables(*written, notebook)


@pytest.fixture
def on_both(tmp_path):
    """Opens the same folder on both engines."""
    pytest.importorskip("chdb", reason=NEEDS_CHDB)

    def opened(folder, mapping=None):
        return [open_shop(source, mapping) for source in (folder, f"chdb://{folder}")]

    return opened


def required(folder, **tables):
    """Write tables whose columns are all declared to hold no nulls, as databases often do."""
    folder.mkdir()
    for name, table in tables.items():
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        schema = pa.schema([pa.field(one.name, one.type, nullable=False) for one in arrow.schema])
        pq.write_table(arrow.cast(schema), folder / f"{name}.parquet")
    return folder


@pytest.mark.engine
def test_what_does_not_match_is_null_on_both(on_both, tmp_path):
    """Nobody buys again; u9 is not in users: columns without nulls must not turn into zeros and empty texts."""
    users = [(f"u{i}", "2026-01-01", "ads") for i in range(3)]
    orders = [(i, f"u{i if i < 3 else 9}", "2026-01-02", "2026-01-02", 10.0) for i in range(4)]
    orders.append((9, "u0", "2026-05-01", "2026-05-01", 1.0))
    folder = required(
        tmp_path / "shop",
        users=frame("user_id first_seen_at channel", *users),
        orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
    )
    cards = [compare_channels(shop, population="active").tables["channel_scorecard"] for shop in on_both(folder)]
    pd.testing.assert_frame_equal(*cards)
    card = cards[0].set_index("channel")
    assert card["user_count"].to_dict() == {"ads": 3, "(unknown)": 1}
    assert card.loc["ads", "repurchase_rate_30"] == 0


@pytest.mark.engine
def test_times_without_a_zone_are_read_alike(on_both, tmp_path):
    slots = frame("user_id event_at event slot_id", ("u", "2026-03-01 03:00", "view_promotion", "s"))
    slots["event_at"] = slots["event_at"].dt.tz_localize(None)
    folder = write_shop(tmp_path / "shop", events=slots)
    (folder / "mapping.yml").write_text("timezone: Asia/Shanghai")
    found = [shop.collect(shop.events)["event_ms"].tolist() for shop in on_both(folder)]
    assert found[0] == found[1] == [pd.Timestamp("2026-02-28 19:00", tz="UTC").value // 10**6]
    (folder / "mapping.yml").unlink()
    assert [[one.rule for one in shop.warnings] for shop in on_both(folder)] == [["no_timezone"]] * 2


@pytest.mark.engine
def test_two_shops_stay_apart(on_both, tmp_path):
    counts = []
    shops = []
    for number in (1, 2):
        rows = [("u", "2026-03-01 03:00", "view_promotion", "s")] * number
        shops.append(
            on_both(write_shop(tmp_path / str(number), events=frame("user_id event_at event slot_id", *rows)))[1]
        )
    counts = [len(shop.collect(shop.events)) for shop in shops]
    assert counts == [1, 2]


@pytest.mark.engine
def test_a_long_lookback_holds_on_both_but_for_robots(on_both, tmp_path):
    """A click 29 days before two carts counts on both engines; for a user with 101 carts ClickHouse has no window so long."""
    rows = [("u", "2026-03-01", "select_promotion", "s"), ("u", "2026-03-30", "add_to_cart", None)]
    asked = {"lookback_hours": 720, "targets": ["add_to_cart"], "models": ["linear"], "bootstrap_replicates": 0}
    folder = write_shop(tmp_path / "people", events=frame("user_id event_at event slot_id", *rows))
    for shop in on_both(folder):
        credit = attribute_slots(shop, **asked).tables["slot_credit"].set_index("credited_id")
        assert credit["conversion_credit"].to_dict() == {"s": 1.0, "(direct)": 0.0}
    rows += [("u", f"2026-03-30 01:{number // 60:02d}:{number % 60:02d}", "add_to_cart", None) for number in range(101)]
    folder = write_shop(tmp_path / "robots", events=frame("user_id event_at event slot_id", *rows))
    duckdb, clickhouse = on_both(folder)
    assert attribute_slots(duckdb, **asked).tables["slot_credit"]["conversion_credit"].tolist() == [102.0, 0.0]
    with pytest.raises(ValueError, match="1 users have more than 100 add_to_cart"):
        attribute_slots(clickhouse, **asked)
