"""Every fault has its message, its count, and up to three keys for the terminal only."""

import codecs

import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import SourceError, TableError
from workbench.source.checks import check_source


def sound():
    """A shop without faults: two users, two orders, exposures, clicks, one redeemed coupon."""
    return {
        "events": frame(
            "user_id event_at event seq slot_id order_id",
            ("u1", "2026-03-01 10:00", "view_promotion", 0, "s1", None),
            ("u1", "2026-03-01 10:00", "select_promotion", 1, "s1", None),
            ("u1", "2026-03-01 10:05", "purchase", 0, None, "o1"),
            ("u2", "2026-03-02 10:00", "view_item", 0, None, None),
        ),
        "orders": frame(
            "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount",
            ("o1", "u1", "2026-03-01 10:04", "2026-03-01 10:05", 100.0, 10.0),
            ("o2", "u2", "2026-03-02 10:04", None, 50.0, 0.0),
        ),
        "users": frame(
            "user_id first_seen_at channel", ("u1", "2026-03-01 09:00", "a"), ("u2", "2026-03-02 09:00", None)
        ),
        "coupons": frame("coupon_id name kind", ("c1", "Ten off", "full_reduction")),
        "coupon_grants": frame(
            "grant_id coupon_id user_id granted_at expires_at redeemed_at order_id discount_amount",
            ("g1", "c1", "u1", "2026-03-01 09:00", "2026-03-09", "2026-03-01 10:04", "o1", 10.0),
        ),
        "slots": frame("slot_id name position", ("s1", "Banner", 1)),
    }


def changed(table, **columns):
    """The sound shop with one table's columns replaced."""
    tables = sound()
    tables[table] = tables[table].assign(**columns)
    return tables


def by_rule(report):
    return {(fault.table, fault.column, fault.rule): fault for fault in (*report.faults, *report.warnings)}


@pytest.mark.parametrize("csv", [False, True])
def test_a_sound_shop_has_no_faults(tmp_path, csv):
    mapping = None
    tables = sound()
    if csv:
        for table in tables.values():
            for name in table.columns:
                if name.endswith("_at"):
                    table[name] = table[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    report = check_source(write_shop(tmp_path / "shop", csv=csv, **tables), mapping)
    assert report.faults == ()
    assert report.warnings == ()
    assert report.contents.set_index("table")["row_count"].to_dict() == {
        "events": 4,
        "orders": 2,
        "users": 2,
        "coupons": 1,
        "coupon_grants": 1,
        "slots": 1,
    }


REFUSED = [
    ("orders", {"order_id": ["o1", "o1"]}, ("orders", "order_id", "duplicate_key"), 2, "share 1 keys", ["o1"]),
    ("orders", {"order_id": ["o1", None]}, ("orders", "order_id", "null"), 1, "is null", ["null"]),
    (
        "orders",
        {"gross_amount": [100.0, -5.0]},
        ("orders", "gross_amount", "negative_amount"),
        1,
        "is negative",
        ["o2"],
    ),
    (
        "orders",
        {"coupon_discount_amount": [100.01, 0]},
        ("orders", "coupon_discount_amount", "discount_above_gross"),
        1,
        "above gross_amount",
        ["o1"],
    ),
    (
        "orders",
        {"gross_amount": ["100", "about 50"]},
        ("orders", "gross_amount", "type"),
        1,
        "is not a number such as 1234.50",
        ['o2 "about 50"'],
    ),
    (
        "orders",
        {"submitted_at": ["2026-03-01T10:00:00Z", "03/01/2026 10:00"]},
        ("orders", "submitted_at", "type"),
        1,
        "is not a time such as 2026-03-01 10:00:00",
        ['o2 "03/01/2026 10:00"'],
    ),
    (
        "orders",
        {"submitted_at": ["2026-03-01T10:00:00+08:00", "2026-03-02 10:00:00"]},
        ("orders", "submitted_at", "mixed_timezones"),
        1,
        "no time zone, while 1 other rows carry one",
        ["o2"],
    ),
    (
        "orders",
        {"gross_amount": [float("inf"), 5.0]},
        ("orders", "gross_amount", "not_finite"),
        1,
        "is infinite",
        ["o1"],
    ),
    (
        "orders",
        {"paid_at": ["2026-03-01T10:05:00Z", "9999-12-31T00:00:00Z"]},
        ("orders", "paid_at", "no_calendar_time"),
        1,
        "leave it empty if there is no such time",
        ["o2"],
    ),
    ("orders", {"order_id": [1.5, 2.0]}, ("orders", "order_id", "type"), 1, "is not a whole number", None),
    (
        "orders",
        {"gross_amount": pd.to_datetime(["2026-03-01", "2026-03-02"], utc=True)},
        ("orders", "gross_amount", "type"),
        0,
        "wanted is a number",
        [],
    ),
]


@pytest.mark.parametrize(("table", "columns", "where", "count", "words", "keys"), REFUSED)
def test_refused(tmp_path, table, columns, where, count, words, keys):
    source = write_shop(tmp_path / "shop", **{table: changed(table, **columns)[table]})
    fault = by_rule(check_source(source))[where]
    assert (fault.level, fault.count) == ("refused", count)
    if keys is not None:
        assert list(fault.keys) == keys
    assert words in fault.en
    with pytest.raises(TableError) as error:
        open_shop(source)
    assert words in str(error.value)
    assert "(e.g." not in str(error.value), "keys are for the terminal only"


WARNED = [
    ("orders", {"user_id": ["u1", "u9"]}, ("orders", "user_id", "unknown_user_id"), 1, ["o2"]),
    (
        "orders",
        {"paid_at": pd.to_datetime(["2026-03-01 10:03", None], utc=True)},
        ("orders", "paid_at", "paid_before_submitted"),
        1,
        ["o1"],
    ),
    ("orders", {"refund_amount": [95.0, 0.0]}, ("orders", "refund_amount", "refund_above_paid"), 1, ["o1"]),
    ("events", {"slot_id": ["s1", "s2", None, None]}, ("events", "slot_id", "click_without_exposure"), 1, ["s2"]),
    ("events", {"slot_id": ["s1", "s2", None, None]}, ("events", "slot_id", "more_clicks_than_exposures"), 1, ["s2"]),
    ("events", {"slot_id": ["s1", None, None, None]}, ("events", "slot_id", "no_slot"), 1, None),
    ("events", {"order_id": [None, None, "o7", None]}, ("events", "order_id", "purchase_without_order"), 1, ["o7"]),
    ("events", {"order_id": [None, None, "o7", None]}, ("orders", "order_id", "order_without_purchase"), 1, ["o1"]),
    (
        "coupon_grants",
        {"granted_at": pd.to_datetime(["2026-03-01 11:00"], utc=True)},
        ("coupon_grants", "redeemed_at", "redeemed_before_granted"),
        1,
        ["g1"],
    ),
    (
        "coupon_grants",
        {"expires_at": pd.to_datetime(["2026-03-01 09:30"], utc=True)},
        ("coupon_grants", "redeemed_at", "redeemed_after_expiry"),
        1,
        ["g1"],
    ),
    ("coupon_grants", {"order_id": ["o8"]}, ("coupon_grants", "order_id", "unknown_order_id"), 1, ["g1"]),
    ("coupon_grants", {"discount_amount": [9.0]}, ("coupon_grants", "discount_amount", "discount_differs"), 1, ["o1"]),
    ("users", {"chanel": ["a", "b"], "channel": None}, None, 0, []),
]


@pytest.mark.parametrize(("table", "columns", "where", "count", "keys"), WARNED)
def test_warned(tmp_path, table, columns, where, count, keys):
    tables = changed(table, **columns)
    if where is None:
        tables["users"] = tables["users"].drop(columns="channel")
        where = ("users", "chanel", "near_miss")
    source = write_shop(tmp_path / "shop", **tables)
    fault = by_rule(check_source(source))[where]
    assert (fault.level, fault.count) == ("warned", count)
    if keys is not None:
        assert list(fault.keys) == keys
    shop = open_shop(source)
    assert where[2] in {one.rule for one in shop.warnings}
    assert all(one.keys == () for one in shop.warnings)


@pytest.mark.parametrize("scheme", ["", pytest.param("chdb://", marks=pytest.mark.engine)])
def test_channels_that_differ_by_case_or_blanks_alone_are_warned(tmp_path, scheme):
    tables = sound()
    tables["users"]["channel"] = ["TikTok", "Paid Search"]
    tables["events"]["channel"] = ["TikTok", "paid search", "\u3000Paid Search", None]
    tables["channel_spend"] = frame(
        "date channel spend_amount", ("2026-03-01", "tiktok", 5.0), ("2026-03-01", "Email", 5.0)
    )
    source = write_shop(tmp_path / "shop", **tables)
    fault = by_rule(check_source(f"{scheme}{source}"))[("users", "channel", "channel_spellings")]
    assert (fault.level, fault.count) == ("warned", 2)
    assert fault.keys == ("Paid Search = \u3000Paid Search", "TikTok = tiktok")
    assert "TikTok" not in fault.message(), "names are for the terminal only"


def test_channels_spelt_one_way_are_not_warned(tmp_path):
    tables = sound()
    tables["events"]["channel"] = ["a", "b", "a", None]
    assert check_source(write_shop(tmp_path / "shop", **tables)).warnings == ()


def test_all_faults_of_all_tables_at_once(tmp_path):
    tables = sound()
    tables["orders"] = tables["orders"].assign(gross_amount=[-1.0, 50.0], order_id=["o1", "o1"])
    tables["users"] = tables["users"].drop(columns="first_seen_at").assign(first_seen="2026-03-01", user_id="u1")
    with pytest.raises(TableError) as error:
        open_shop(write_shop(tmp_path / "shop", **tables))
    message = str(error.value)
    assert 'users.first_seen_at: the column is missing (first visit ever), did you mean "first_seen"?' in message
    assert "orders.gross_amount: 1 row: is negative" in message
    assert "orders.order_id: 2 rows: share 1 keys" in message
    assert "users.user_id: 2 rows: share 1 keys" in message
    assert "5 faults break the contract" in message  # the discounts are above the negative amount, too
    assert "Mend the source or its mapping" in message


def test_stacked_grants_need_their_amounts(tmp_path):
    tables = sound()
    grants = tables["coupon_grants"]
    tables["coupon_grants"] = pd.concat([grants, grants.assign(grant_id="g2", discount_amount=None)])
    fault = by_rule(check_source(write_shop(tmp_path / "shop", **tables)))[
        ("coupon_grants", "discount_amount", "stacked_without_amount")
    ]
    assert (fault.level, fault.keys) == ("refused", ("o1",))


def test_repeated_events_are_counted(tmp_path):
    tables = sound()
    tables["events"] = pd.concat([tables["events"], tables["events"].tail(1)])
    fault = by_rule(check_source(write_shop(tmp_path / "shop", **tables)))[("events", "", "repeated_event")]
    assert (fault.level, fault.count) == ("warned", 1)


def test_times_far_outside_are_warned(tmp_path):
    tables = sound()
    rows = [("u2", f"2026-03-{day:02d} 10:00", "view_item", 0, None, None) for day in range(1, 29)] * 4
    rows.append(("u2", "1970-01-01 00:00", "view_item", 0, None, None))
    tables["events"] = pd.concat([tables["events"], frame("user_id event_at event seq slot_id order_id", *rows)])
    fault = by_rule(check_source(write_shop(tmp_path / "shop", **tables)))[("events", "event_at", "out_of_range")]
    assert (fault.level, fault.count) == ("warned", 1)


def test_empty_table_is_named_when_it_is_needed(tmp_path):
    tables = sound()
    tables["orders"] = tables["orders"].head(0)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    assert ("orders", "empty_table") in {(one.table, one.rule) for one in shop.warnings}
    with pytest.raises(TableError, match='needs the tables orders, users; "orders" is empty'):
        shop.require("channel_comparison", "orders", "users")


def test_naive_times_are_utc_with_a_warning_or_in_the_zone_named(tmp_path):
    tables = sound()
    tables["users"]["first_seen_at"] = tables["users"]["first_seen_at"].dt.tz_localize(None)
    source = write_shop(tmp_path / "shop", **tables)
    assert ("users", "first_seen_at", "no_timezone") in by_rule(check_source(source))
    mapping = tmp_path / "m.yml"
    mapping.write_text("tables: {users: {timezone: Asia/Shanghai}}")
    report = check_source(source, mapping)
    assert report.warnings == ()
    shop = open_shop(source, mapping)
    first = shop.collect(shop.users.aggregate(first=shop.users.first_seen_ms.min())).loc[0, "first"]
    assert pd.Timestamp(first, unit="ms") == pd.Timestamp("2026-03-01 01:00")


@pytest.mark.parametrize("csv", [False, True])
def test_columns_that_differ_by_case_are_refused(tmp_path, csv):
    source = write_shop(tmp_path / "shop", csv=csv, **changed("slots", NAME=["x"]))
    with pytest.raises(SourceError, match='has the columns "name" and "NAME", which differ at most by case'):
        open_shop(source)


@pytest.mark.parametrize("line", ["o9,u1,2026-03-01T10:00:00Z,,5,0,extra", "o9,u1"])
def test_a_ragged_line_is_named_by_its_number(tmp_path, line):
    folder = tmp_path / "shop"
    folder.mkdir()
    header = "order_id,user_id,submitted_at,paid_at,gross_amount,coupon_discount_amount"
    (folder / "orders.csv").write_text(f"{header}\no1,u1,2026-03-01T10:00:00Z,,5,0\n{line}\n")
    found = len(line.split(","))
    with pytest.raises(SourceError, match=rf"orders\.csv line 3 has {found} fields, the header has 6"):
        open_shop(folder)


def test_a_time_far_outside_is_found_among_few_rows_and_in_every_table(tmp_path):
    tables = sound()
    rows = [("c1", f"u{i}", f"2026-03-{i + 1:02d}") for i in range(20)] + [("c1", "u20", "2099-01-01")]
    tables["coupon_grants"] = frame("grant_id coupon_id user_id granted_at", *((i, *row) for i, row in enumerate(rows)))
    fault = by_rule(check_source(write_shop(tmp_path / "shop", **tables)))[
        ("coupon_grants", "granted_at", "out_of_range")
    ]
    assert (fault.level, fault.count) == ("warned", 1)


class TestFiles:
    """Sources that cannot be opened say why."""

    def test_missing_folder(self, tmp_path):
        write_shop(tmp_path / "shop", **sound())
        with pytest.raises(SourceError, match=r'source "shp": there is no such folder or file, did you mean "shop"\?'):
            open_shop(tmp_path / "shp")

    def test_folder_without_tables(self, tmp_path):
        write_shop(tmp_path / "shop", order=sound()["orders"])
        with pytest.raises(SourceError, match=r"holds no table of the contract.*Found: order\.parquet"):
            open_shop(tmp_path / "shop")

    @pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
    def test_other_encodings_are_named_and_then_read(self, tmp_path, encoding):
        folder = tmp_path / "shop"
        folder.mkdir()
        text = "slot_id,name\ns1,首页横幅\n"
        (folder / "slots.csv").write_bytes(text.encode(encoding))
        with pytest.raises(SourceError, match=f"slots.csv is .*encoding: {encoding}"):
            open_shop(folder)
        mapping = tmp_path / "m.yml"
        mapping.write_text(f"encoding: {encoding}")
        shop = open_shop(folder, mapping)
        assert shop.collect(shop.slots)["name"].tolist() == ["首页横幅"]

    def test_utf8_with_a_bom_is_read(self, tmp_path):
        folder = tmp_path / "shop"
        folder.mkdir()
        (folder / "slots.csv").write_bytes(codecs.BOM_UTF8 + "slot_id,name\ns1,首页\n".encode())
        shop = open_shop(folder)
        assert shop.collect(shop.slots)["slot_id"].tolist() == ["s1"]

    def test_empty_file(self, tmp_path):
        folder = tmp_path / "shop"
        folder.mkdir()
        (folder / "slots.csv").touch()
        with pytest.raises(SourceError, match=r"slots\.csv is empty, without even a header"):
            open_shop(folder)

    def test_the_same_table_twice(self, tmp_path):
        folder = write_shop(tmp_path / "shop", **sound())
        write_shop(folder, csv=True, slots=sound()["slots"])
        with pytest.raises(SourceError, match="table slots is there twice"):
            open_shop(folder)

    def test_a_password_in_the_url_is_refused_and_not_repeated(self):
        with pytest.raises(SourceError) as error:
            open_shop("clickhouse://reader:hunter2@db.example/shop")
        assert "hunter2" not in str(error.value)
        assert "${SHOP_PASSWORD}" in str(error.value)
