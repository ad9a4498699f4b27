"""What the statistics of Parquet files settle, so that no row needs a test."""

import pandas as pd
from shops import frame, write_shop

from workbench import open_shop
from workbench.source.files import settled_columns


def written(folder, **columns):
    path = folder / "table.parquet"
    pd.DataFrame(columns).to_parquet(path, index=False)
    return path


def test_nulls_and_empty_texts_are_told_apart(tmp_path):
    path = written(tmp_path, whole=["a", "b"], gap=["a", None], blank=["", "b"], number=[1, 2], none=[None, None])
    no_null, no_blank = settled_columns([path])
    assert no_null == {"whole", "blank", "number"}
    assert {"whole", "gap", "number"} <= no_blank
    assert "blank" not in no_blank


def test_all_files_must_agree(tmp_path):
    (tmp_path / "b").mkdir()
    first, second = written(tmp_path, x=["a"], y=["a"]), written(tmp_path / "b", x=[""], y=[None])
    no_null, no_blank = settled_columns([first, second])
    assert no_null == {"x"}
    assert "x" not in no_blank


def test_empty_texts_are_still_nulls(tmp_path):
    """One empty user and one empty slot among others: the event without a user is left out, the slot is null."""
    events = frame(
        "user_id event_at event slot_id",
        ("u", "2026-03-01", "view_promotion", "s"),
        ("u", "2026-03-01", "view_promotion", ""),
        ("", "2026-03-01", "view_promotion", "s"),
    )
    shop = open_shop(write_shop(tmp_path / "shop", events=events))
    found = shop.collect(shop.events)
    assert len(found) == 2
    assert found["slot_id"].isna().sum() == 1
