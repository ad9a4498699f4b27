"""Files of audiences: whole or not there, told by their manifest, and refused where they are another shop's."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest
from audience_shops import members_of, random_tables, window_of
from shops import write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.user.audience import FILE_COLUMNS, find_audiences
from workbench.user.audience_files import read_audience, write_audiences, written_words
from workbench.user.audience_rules import read_audience_rules

TEXT = """
timezone: Asia/Shanghai
audiences:
  north: {where: {region: north}, segment: age_group, start_date: 2026-05-15}
  back: {where: {visit_days: '>= 2'}, control: {share: 0.3, seed: 5}}
"""
MADE = datetime(2026, 4, 30, 17, tzinfo=UTC)
"""1 May, 01:00, in Shanghai."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return open_shop(write_shop(tmp_path_factory.mktemp("files") / "shop", **random_tables(11)))


def audiences_of(shop, text=TEXT):
    window = window_of(shop, timezone="Asia/Shanghai")
    return find_audiences(shop, read_audience_rules(text, "rules.yml"), members_of(shop, window), window)


def written(shop, path, **more):
    return write_audiences(shop, audiences_of(shop), path, now=MADE, **more)


def read_back(path):
    return pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_written_and_read_back(shop, tmp_path, ending):
    path = tmp_path / f"人群 it's.{ending}"
    manifest = written(shop, path)
    rows = read_back(path)
    assert tuple(rows.columns) == FILE_COLUMNS
    assert rows[["audience", "user_id"]].apply(tuple, axis=1).is_monotonic_increasing
    assert json.loads((tmp_path / f"{path.name}.manifest.json").read_text(encoding="utf-8")) == manifest
    found = read_audience(path, shop)
    assert (found.row_count, found.unknown_count, found.is_changed) == (len(rows), 0, False)
    again = shop.collect(found.rows.select(*FILE_COLUMNS)).sort_values(["audience", "user_id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, rows, check_dtype=False)
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, f"{path.name}.manifest.json"]


def test_the_manifest_tells_all_and_no_id(shop, tmp_path):
    manifest = written(shop, tmp_path / "a.csv")
    rows = read_back(tmp_path / "a.csv")
    text = json.dumps(manifest)
    assert not any(user in text for user in rows["user_id"].unique())
    assert manifest["shop"] == "shop"
    assert manifest["source_fingerprint"] == shop.fingerprint
    assert manifest["created_at"] == "2026-04-30T17:00:00+00:00"
    assert (manifest["timezone"], manifest["rules_file"]) == ("Asia/Shanghai", "rules.yml")
    assert manifest["rules"]["audiences"]["back"]["control"] == {"share": 0.3, "seed": 5}
    north, back = manifest["audiences"]["north"], manifest["audiences"]["back"]
    # made on 1 May local time: addressed from 2 May on; the other says it itself
    assert (north["start_date"], back["start_date"]) == ("2026-05-15", "2026-05-02")
    assert (back["control_share"], back["control_seed"]) == (0.3, 5)
    for name, told in manifest["audiences"].items():
        mine = rows[rows["audience"] == name]
        assert told["audience_count"] == (mine["arm"] == "audience").sum()
        assert told["control_count"] == (mine["arm"] == "control").sum()
        for segment, counts in told["segments"].items():
            arms = mine.loc[mine["segment"] == segment, "arm"].value_counts().to_dict()
            assert counts == {"audience_count": arms.get("audience", 0), "control_count": arms.get("control", 0)}
    words = written_words(manifest, "en")
    assert f"north: {north['user_count']} users" in words
    assert "from 2026-05-02 on" in words
    assert "种子 5" in written_words(manifest, "zh")


def test_the_same_rules_write_the_same_file(shop, tmp_path):
    one, two = (written(shop, tmp_path / f"{name}.csv") for name in "ab")
    assert one["file_hash"] == two["file_hash"]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.engine
def test_the_same_bytes_from_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = write_shop(tmp_path / "shop", **random_tables(12, whole_ids=True))
    shops = [open_shop(source) for source in (folder, f"chdb://{folder}")]
    for place, one in enumerate(shops):
        written(one, tmp_path / f"{place}.csv")
        written(one, tmp_path / f"{place}.parquet")
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    assert read_back(tmp_path / "0.parquet").equals(read_back(tmp_path / "1.parquet"))
    for name in ("0.csv", "0.parquet"):
        found = [read_audience(tmp_path / name, one) for one in shops]
        rows = [
            one.collect(file.rows).sort_values(["audience", "user_id"]) for one, file in zip(shops, found, strict=True)
        ]
        assert rows[0][list(FILE_COLUMNS)].to_numpy().tolist() == rows[1][list(FILE_COLUMNS)].to_numpy().tolist()
        assert found[0].row_count == found[1].row_count == len(rows[0])


@pytest.mark.filterwarnings("ignore:fetch_record_batch")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_same_from_a_database_that_hands_over_batches(shop, tmp_path, ending):
    """Any other engine: its batches are written as they come, and the file is read by this process."""
    other = replace(shop, engine=replace(shop.engine, kind="other"))
    written(shop, tmp_path / f"a.{ending}")
    written(other, tmp_path / f"b.{ending}")
    assert read_back(tmp_path / f"a.{ending}").equals(read_back(tmp_path / f"b.{ending}"))
    found = read_audience(tmp_path / f"b.{ending}", other)
    assert (found.unknown_count, found.is_changed) == (0, False)
    assert len(other.collect(found.rows)) == found.row_count


def test_a_file_that_is_there_stays_unless_forced(shop, tmp_path):
    path = tmp_path / "a.csv"
    written(shop, path)
    before = path.read_bytes()
    with pytest.raises(ParameterError, match="is there already"):
        written(shop, path)
    path.write_text("mine")
    with pytest.raises(ParameterError, match="--force"):
        written(shop, path)
    assert path.read_text() == "mine"
    written(shop, path, force=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.txt", "must end in .csv or .parquet"),
        ("no/a.csv", "there is no folder"),
        ("folder.csv", "is a folder"),
        ("a[1].csv", "by which engines look for files"),
    ],
)
def test_a_target_that_cannot_be_is_refused(shop, tmp_path, name, says):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ParameterError, match=says):
        written(shop, tmp_path / name)


def test_nothing_is_written_half(shop, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    written(shop, path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    def breaks(self, table, target):
        target.write_text("user_id\nu1")
        raise OSError("no space left")

    monkeypatch.setattr(type(shop.engine), "write", breaks)
    with pytest.raises(OSError, match="no space"):
        written(shop, path, force=True)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_ids_stay_exact(tmp_path):
    """Leading zeros, commas, quotes, formulas and Chinese: what a spreadsheet would spoil is kept to the letter."""
    tables = random_tables(13, users=60)
    strange = {
        "u0001": "=1+1",
        "u0002": "007",
        "u0003": 'a,"b"',
        "u0004": "用户 4",
        "u0005": "NULL",
        "u0006": " x",
        "u0007": "-5",
    }
    for table in ("users", "events", "orders"):
        tables[table]["user_id"] = tables[table]["user_id"].replace(strange)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    for name in ("a.csv", "a.parquet"):
        path = tmp_path / name
        manifest = write_audiences(
            shop,
            audiences_of(
                shop,
                "audiences: {a: {where: {not: {loyalty_points: '<= -1'}, visit_days: '<= 99', region: [north, south]}}}",
            ),
            path,
        )
        rows = pd.read_csv(path, dtype=str, keep_default_na=False) if name == "a.csv" else pd.read_parquet(path)
        assert set(strange.values()) & set(rows["user_id"]) >= {"=1+1", "007", 'a,"b"', "NULL"} & set(rows["user_id"])
        assert len(set(strange.values()) & set(rows["user_id"])) > 3
        found = read_audience(path, shop)
        assert found.unknown_count == 0
        assert found.row_count == manifest["audiences"]["a"]["user_count"]


def test_an_edited_file_says_so(shop, tmp_path):
    path = tmp_path / "a.csv"
    written(shop, path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-5]) + "\n")
    found = read_audience(path, shop)
    assert found.is_changed
    assert found.row_count == len(lines) - 6
    path.write_text(
        "\n".join([lines[0], lines[1].replace(",audience", ",vip").replace(",control", ",vip"), *lines[2:]])
    )
    with pytest.raises(TableError, match="1 rows name another audience"):
        read_audience(path, shop)
    path.write_text("\n".join(["id,audience,segment,arm", *lines[1:]]))
    with pytest.raises(TableError, match="user_id is missing"):
        read_audience(path, shop)


def test_users_in_another_arm_than_was_drawn_are_counted(shop, tmp_path):
    """An edit may keep all numbers of the arms: each user is drawn anew."""
    path = tmp_path / "a.csv"
    written(shop, path)
    rows = read_back(path)
    back = rows[rows["audience"] == "back"]
    one, other = (back[back["arm"] == arm].index[0] for arm in ("audience", "control"))
    rows.loc[one, "arm"], rows.loc[other, "arm"] = "control", "audience"
    rows.to_csv(path, index=False)
    assert read_audience(path, shop).altered == {"back": (2, 0)}
    rows = rows.drop(back.index[-3:])
    rows.to_csv(path, index=False)
    assert read_audience(path, shop).altered["back"][1] == -3
    assert "north" not in read_audience(path, shop).altered


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_in_another_order_is_as_it_was_drawn(shop, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    written(shop, path)
    rows = read_back(path).sample(frac=1, random_state=1)
    rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path, index=False)
    found = read_audience(path, shop)
    assert found.is_changed
    assert found.altered == {}


def test_what_a_spreadsheet_made_of_a_file_is_told(shop, tmp_path):
    path = tmp_path / "a.csv"
    written(shop, path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(",", ";"), encoding="utf-8")
    with pytest.raises(TableError, match="columns stand apart by ;"):
        read_audience(path, shop)
    path.write_bytes((text + "é,back,x,control\n").encode("latin-1"))
    with pytest.raises(TableError, match="is not UTF-8"):
        read_audience(path, shop)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told["audiences"]["back"].update(control_share="30%"), "audiences.back.control_share"),
        (lambda told: told["audiences"]["back"].update(control_share=1.5), "audiences.back.control_share"),
        (lambda told: told["audiences"]["north"].pop("start_date"), "audiences.north.start_date"),
        (lambda told: told.pop("window_last_date"), "window_last_date"),
        (lambda told: told.update(audiences=["back"]), "audiences"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(shop, tmp_path, change, said):
    path = tmp_path / "a.csv"
    manifest = written(shop, path)
    change(manifest)
    (tmp_path / "a.csv.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ParameterError) as told:
        read_audience(path, shop)
    assert f"has been changed: {said}: " in str(told.value)


def test_a_file_of_another_shop_is_refused(shop, tmp_path):
    path = tmp_path / "a.csv"
    written(shop, path)
    tables = random_tables(14)
    other = open_shop(write_shop(tmp_path / "elsewhere", **tables))
    with pytest.raises(TableError, match='made from the shop "shop", and this one is "elsewhere"'):
        read_audience(path, other)
    # the same name, and other people
    for table in ("users", "events", "orders"):
        tables[table]["user_id"] = "x" + tables[table]["user_id"]
    namesake = open_shop(write_shop(tmp_path / "deep" / "shop", **tables))
    with pytest.raises(TableError, match=r"of its [\d,]+ users are not known to shop"):
        read_audience(path, namesake)
    # the same people, under a new name
    moved = open_shop(write_shop(tmp_path / "moved", **random_tables(11)))
    assert read_audience(path, moved, is_same_shop=True).unknown_count == 0


def test_a_few_unknown_users_are_told_and_left_out(shop, tmp_path):
    path = tmp_path / "a.parquet"
    written(shop, path)
    rows = pd.read_parquet(path)
    rows.loc[0, "user_id"] = "nobody"
    rows.to_parquet(path, index=False)
    found = read_audience(path, shop)
    assert (found.unknown_count, found.is_changed) == (1, True)
    assert len(shop.collect(found.rows)) == len(rows) - 1


def test_missing_files_and_strange_manifests(shop, tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(ParameterError, match="there is no file"):
        read_audience(path, shop)
    path.write_text("user_id\n1")
    with pytest.raises(ParameterError, match=r"a\.csv\.manifest\.json"):
        read_audience(path, shop)
    for text in ("{", "[]", '{"format": "other"}'):
        (tmp_path / "a.csv.manifest.json").write_text(text)
        with pytest.raises(ParameterError, match="is not a manifest"):
            read_audience(path, shop)
    written(shop, tmp_path / "b.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        read_audience(tmp_path / "b.parquet", shop)
