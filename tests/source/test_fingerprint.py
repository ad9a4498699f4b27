"""What tells data apart: every byte of files, and of databases what is cheap to know."""

import os
import time
from pathlib import Path

import duckdb
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.source import fingerprint
from workbench.source.fingerprint import KNOWN, fingerprint_of_files, fingerprint_of_tables, known_fingerprint


@pytest.fixture
def folder(tmp_path):
    return write_shop(tmp_path / "shop", slots=frame("slot_id page", ("home", "Home"), ("cart", "Cart")))


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files whose bytes were read."""
    names, read = [], fingerprint._hash
    monkeypatch.setattr(fingerprint, "_hash", lambda path: names.append(Path(path).name) or read(path))
    return names


class TestFiles:
    def test_one_other_byte_is_seen_and_another_time_is_not(self, folder):
        first, [file] = fingerprint_of_files(folder), list(folder.glob("slots.*"))
        os.utime(file, (1e9, 1e9))
        assert fingerprint_of_files(folder) == first
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(bytes(content))
        assert fingerprint_of_files(folder) != first

    def test_a_file_of_another_name_or_a_mapping_is_seen(self, folder, tmp_path):
        first, [file] = fingerprint_of_files(folder), list(folder.glob("slots.*"))
        mapping = tmp_path / "mapping.yml"
        mapping.write_text("timezone: UTC\n")
        assert fingerprint_of_files(folder, mapping) != first
        file.rename(file.with_stem("places"))
        assert fingerprint_of_files(folder) != first

    def test_reports_and_hidden_files_in_the_folder_are_no_data(self, folder):
        first = fingerprint_of_files(folder)
        run = folder / "out" / "slots"
        run.mkdir(parents=True)
        for name in ("manifest.json", "findings.json", "slots.csv"):
            (run / name).write_text("{}")
        (folder / ".slots.csv").write_text("a\n")
        (folder / "notes.txt").write_text("a\n")
        assert fingerprint_of_files(folder) == first
        (run / "manifest.json").unlink()
        assert fingerprint_of_files(folder) != first

    def test_what_a_batch_has_read_is_not_read_again_until_it_changes(self, folder, monkeypatch, hashed):
        first, [file] = fingerprint_of_files(folder), list(folder.glob("slots.*"))
        found, known = known_fingerprint(folder)
        assert found == first
        monkeypatch.setenv(KNOWN, known)
        hashed.clear()
        assert (fingerprint_of_files(folder), hashed) == (first, [])
        changed = bytes(reversed(file.read_bytes()))
        before = file.stat()
        time.sleep(0.02)  # clocks of file systems tick in milliseconds
        file.write_bytes(changed)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size, and of the same time as it says
        assert fingerprint_of_files(folder) != first
        assert hashed == [file.name]

    def test_files_that_change_while_they_are_read_are_not_known(self, folder, monkeypatch):
        [file] = folder.glob("slots.*")
        read = fingerprint._hash
        monkeypatch.setattr(fingerprint, "_hash", lambda path: file.touch() or read(path))
        assert known_fingerprint(folder) == ("", "")

    def test_what_a_link_leads_to_is_seen_and_a_circle_ends(self, folder, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "part.csv").write_text("order_id\n1\n")
        (folder / "orders").symlink_to(elsewhere)
        (folder / "circle").symlink_to(folder)
        first = fingerprint_of_files(folder)
        (elsewhere / "part.csv").write_text("order_id\n2\n")
        assert fingerprint_of_files(folder) != first

    def test_what_duckdb_has_not_yet_written_into_its_file_is_seen(self, tmp_path):
        file = tmp_path / "shop.duckdb"
        with duckdb.connect(file) as database:
            database.execute("SET checkpoint_threshold = '1GB'; SET wal_autocheckpoint = '1GB'")
            database.execute("CREATE TABLE slots AS SELECT 'home' AS slot_id; CHECKPOINT")
            first = fingerprint_of_files(file)
            database.execute("INSERT INTO slots VALUES ('cart')")
            assert fingerprint_of_files(file) != first


class TestTables:
    """Of a database names, columns, rows and times are told; what was changed in place is not seen, and so it is said."""

    ORDERS = "order_id user_id submitted_at paid_at gross_amount"
    ROWS = (
        ("o1", "u1", "2026-03-02 10:00", "2026-03-02 10:00", 10.0),
        ("o2", "u1", "2026-03-03 10:00", "2026-03-03 10:00", 20.0),
    )

    def of(self, folder, *rows, columns=ORDERS):
        shop = open_shop(write_shop(folder, orders=frame(columns, *rows)))
        return fingerprint_of_tables(shop.engine.tables, shop.reach)

    def test_a_new_order_a_later_one_and_a_new_column_are_seen(self, tmp_path):
        first = self.of(tmp_path / "a", *self.ROWS)
        assert self.of(tmp_path / "b", *self.ROWS) == first
        assert self.of(tmp_path / "c", *self.ROWS, ("o3", "u1", "2026-03-02 11:00", "2026-03-02 11:00", 5.0)) != first
        later = (self.ROWS[0], ("o2", "u1", "2026-03-04 10:00", "2026-03-04 10:00", 20.0))
        assert self.of(tmp_path / "d", *later) != first
        wider = [(*row, 1.0) for row in self.ROWS]
        assert self.of(tmp_path / "e", *wider, columns=f"{self.ORDERS} shipping_cost_amount") != first

    def test_a_value_that_was_changed_in_place_is_not(self, tmp_path):
        changed = (self.ROWS[0], ("o2", "u1", "2026-03-03 10:00", "2026-03-03 10:00", 99.0))
        assert self.of(tmp_path / "a", *self.ROWS) == self.of(tmp_path / "b", *changed)
