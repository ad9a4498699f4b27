"""Mappings rename, convert and are themselves checked."""

import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import SourceError
from workbench.source.mapping import load_mapping


def write(tmp_path, text):
    path = tmp_path / "mapping.yml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tabels: {}", 'unknown key "tabels", did you mean "tables"?'),
        ("tables: {events: {colums: {}}}", 'unknown key "tables.events.colums", did you mean "columns"?'),
        ("tables: {event: {}}", '"event" is not a table of the contract, did you mean "events"?'),
        ("tables: {events: {columns: {user: uid}}}", 'tables.events.columns: "user" is not a column of the contract'),
        ("timezone: Asia/Shanghia", '"Asia/Shanghia" is not a time zone, did you mean "Asia/Shanghai"?'),
        ("encoding: gbk-18", '"gbk-18" is not an encoding'),
        ("- a\n- b", "is not a YAML mapping"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_faults_of_a_mapping(tmp_path, text, words):
    with pytest.raises(SourceError) as error:
        load_mapping(write(tmp_path, text))
    assert words in str(error.value)
    assert "mapping.yml" in str(error.value)


def test_no_such_mapping(tmp_path):
    with pytest.raises(SourceError, match="there is no such file"):
        load_mapping(tmp_path / "nothing.yml")


def test_tables_columns_values_and_formats_are_mapped(tmp_path):
    log = pd.DataFrame(
        {
            "uid": ["7", "8"],
            "ts": ["01/03/2026 18:00", "02/03/2026 08:30"],
            "what": ["click", "show"],
            "position": ["s1", "s1"],
        }
    )
    source = write_shop(tmp_path / "shop", csv=True, log=log)
    mapping = write(
        tmp_path,
        """
timezone: Asia/Shanghai
tables:
  events:
    source: log
    columns: {user_id: uid, event_at: ts, event: what, slot_id: position}
    values: {event: {click: select_promotion, show: view_promotion}}
    formats: {event_at: "%d/%m/%Y %H:%M"}
""",
    )
    shop = open_shop(source, mapping)
    events = shop.collect(shop.events.order_by("event_ms"))
    assert events["event"].tolist() == ["select_promotion", "view_promotion"]
    assert pd.to_datetime(events["event_ms"], unit="ms").dt.strftime("%Y-%m-%d %H:%M").tolist() == [
        "2026-03-01 10:00",
        "2026-03-02 00:30",
    ]


def test_a_mapped_column_that_is_not_there(tmp_path):
    source = write_shop(tmp_path / "shop", slots=frame("slot_id name", ("s1", "x")))
    mapping = write(tmp_path, "tables: {slots: {columns: {name: nam}}}")
    with pytest.raises(ValueError, match=r'reads it from "nam", which the source does not have, did you mean "name"\?'):
        open_shop(source, mapping)


def test_a_folder_may_bring_its_own_mapping(tmp_path):
    source = write_shop(tmp_path / "shop", slots=frame("slot_id name", ("s1", "x")))
    (source / "mapping.yml").write_text("user_ids: per_event")
    assert not open_shop(source).user_ids_known


def test_ids_join_whatever_their_type(tmp_path):
    """Order ids that are whole numbers in one table and text in another become text in both."""
    source = write_shop(
        tmp_path / "shop",
        orders=frame("order_id user_id submitted_at paid_at gross_amount", (1, 5, "2026-03-01", "2026-03-01", 9.0)),
        users=frame("user_id first_seen_at", (5, "2026-03-01")),
        coupon_grants=frame("grant_id coupon_id user_id granted_at order_id", (1, "c", 5.0, "2026-03-01", "1")),
    )
    shop = open_shop(source)
    assert "unknown_order_id" not in {one.rule for one in shop.warnings}
    assert shop.orders.order_id.type().is_string()
    assert shop.users.user_id.type().is_integer()
    assert shop.coupon_grants.user_id.type().is_integer()


def test_ids_that_pandas_wrote_with_a_point_are_whole(tmp_path):
    source = write_shop(
        tmp_path / "shop",
        csv=True,
        orders=frame("order_id user_id submitted_at paid_at gross_amount", (9, 5, "2026-03-01", "2026-03-01", 9.0)),
        coupon_grants=frame(
            "grant_id coupon_id user_id granted_at order_id",
            (1, "c", 5, "2026-03-01", 9),
            (2, "c", 5, "2026-03-01", None),
        ),
    )
    assert "9.0" in (source / "coupon_grants.csv").read_text()
    assert "unknown_order_id" not in {one.rule for one in open_shop(source).warnings}


def test_a_table_read_from_nowhere_is_refused(tmp_path):
    source = write_shop(tmp_path / "shop", slots=frame("slot_id name", ("s1", "x")), user_log=frame("a", ("b",)))
    mapping = write(tmp_path, "tables: {events: {source: usr_log}}")
    with pytest.raises(SourceError, match='reads events from "usr_log", which is not there, did you mean "user_log"'):
        open_shop(source, mapping)


@pytest.mark.parametrize("csv", [False, True])
def test_times_counted_from_1970(tmp_path, csv):
    log = pd.DataFrame({"user_id": ["u"], "event_at": [1_772_359_200_123_000], "event": ["view_item"]})
    mapping = write(tmp_path, "tables: {events: {formats: {event_at: epoch_us}}}")
    shop = open_shop(write_shop(tmp_path / "shop", csv=csv, events=log), mapping)
    assert shop.collect(shop.events)["event_ms"].tolist() == [1_772_359_200_123]
    assert shop.warnings == ()
