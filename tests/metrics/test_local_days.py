"""Local days as whole numbers, against the standard library, also over a change of clocks."""

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from shops import write_shop

from workbench import open_shop
from workbench.metrics.local_days import local_day


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"])
def test_days_equal_the_standard_library(tmp_path, timezone):
    instants = pd.date_range("2026-01-01", "2026-12-31", freq="5h17min", tz="UTC")
    events = pd.DataFrame({"user_id": "u", "event_at": instants, "event": "view_item"})
    shop = open_shop(write_shop(tmp_path / "shop", events=events))
    period = shop.period(None, None, timezone)
    found = shop.collect(
        shop.events.select("event_ms", day=local_day(shop.events.event_ms, period)).order_by("event_ms")
    )
    zone = ZoneInfo(timezone)
    expected = [(one.to_pydatetime().astimezone(zone).date() - dt.date(1970, 1, 1)).days for one in instants]
    assert found["day"].tolist() == expected
