"""From positions and cents to the tables of the contract: names, ids, instants and yuan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

START_DATE = date(2026, 3, 1)
TIMEZONE = "Asia/Shanghai"
# The shop's midnight in UTC: eight hours earlier, all year round.
START_MS = int((datetime(2026, 3, 1, tzinfo=UTC) - timedelta(hours=8)).timestamp() * 1000)

INSTANT = pa.timestamp("ms", tz="UTC")
WORDS = pa.dictionary(pa.int32(), pa.string())
TYPES: dict[str, pa.DataType] = {
    "t": INSTANT,
    "s": pa.string(),
    "w": WORDS,
    "f": pa.float64(),
    "i": pa.int64(),
    "d": pa.date32(),
}

# name:type for each column; w is text from a short list, stored as plain text all the same
COLUMNS = {
    "events": "user_id:w event_at:t event:w seq:i session_id:s page:w slot_id:w content_id:w product_id:w order_id:s "
    "channel:w campaign:w keyword:w",
    "orders": "order_id:s user_id:w submitted_at:t paid_at:t gross_amount:f coupon_discount_amount:f "
    "other_discount_amount:f platform_discount_amount:f refund_amount:f cost_amount:f shipping_cost_amount:f "
    "platform_fee_amount:f channel:w region:w",
    "order_lines": "order_id:s line_no:i product_id:w category:w quantity:i amount:f",
    "users": "user_id:s first_seen_at:t channel:w age_group:w gender:w region:w device:w inviter_id:s",
    "coupons": "coupon_id:s name:s kind:s face_value:f min_spend:f",
    "coupon_grants": "grant_id:s coupon_id:w user_id:w granted_at:t grant_source:w collected_at:t expires_at:t "
    "redeemed_at:t order_id:s discount_amount:f",
    "slots": "slot_id:s name:s page:s floor:i position:i kind:s",
    "contents": "content_id:s name:s slot_id:s",
    "products": "product_id:s name:s category:s",
    "experiments": "experiment_id:s variant:s expected_share:f coupon_id:s",
    "experiment_assignments": "experiment_id:w user_id:w variant:w assigned_at:t",
    "channel_spend": "date:d channel:w campaign:w keyword:w spend_amount:f impressions:i clicks:i",
    "stock": "date:d product_id:w region:w on_hand_quantity:i",
}
SCHEMAS = {
    name: pa.schema([(one.split(":")[0], TYPES[one.split(":")[1]]) for one in columns.split()])
    for name, columns in COLUMNS.items()
}


def ids(prefix: str, numbers: np.ndarray, width: int) -> pa.Array:
    """Write numbers as ids of one length, null where the number is negative."""
    wanted = pa.array(numbers, type=pa.int64(), mask=numbers < 0)
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(wanted.cast(pa.string()), width, "0"), "")


def user_ids(numbers: np.ndarray) -> pa.Array:
    """Ids of users, counted from 1."""
    return ids("u", np.where(numbers >= 0, numbers + 1, -1), 7)


def order_ids(numbers: np.ndarray) -> pa.Array:
    """Ids of orders, counted from 1."""
    return ids("o", np.where(numbers >= 0, numbers + 1, -1), 8)


def product_ids(numbers: np.ndarray) -> pa.Array:
    """Ids of products, counted from 1."""
    return ids("p", np.where(numbers >= 0, numbers + 1, -1), 4)


def words(places: np.ndarray, names: Sequence[str | None] | pa.Array) -> pa.DictionaryArray:
    """Turn positions into words from a list, null where the position is negative or the word is."""
    if isinstance(names, pa.Array):
        return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32), mask=places < 0), names)
    known = list(dict.fromkeys(one for one in names if one is not None))
    # The last entry serves position -1.
    number = np.array([-1 if one is None else known.index(one) for one in names] + [-1], dtype=np.int32)
    found = number[places]
    return pa.DictionaryArray.from_arrays(pa.array(found, mask=found < 0), pa.array(known, type=pa.string()))


def instants(offsets: np.ndarray) -> pa.Array:
    """Turn milliseconds after the first local midnight into UTC instants, null where negative."""
    return pa.array(offsets + START_MS, type=pa.int64(), mask=offsets < 0).cast(INSTANT)


def yuan(cents: np.ndarray) -> np.ndarray:
    """Turn whole cents into yuan: the nearest float to the decimal amount."""
    return cents / 100.0


def dates(days: np.ndarray) -> pa.Array:
    """Turn day numbers into local dates."""
    return pa.array(days + (START_DATE - date(1970, 1, 1)).days, type=pa.int32()).cast(pa.date32())


def table(name: str, columns: dict[str, Any]) -> pa.Table:
    """Put columns into the contract's order and types."""
    schema = SCHEMAS[name]
    arrays = [
        columns[one.name] if isinstance(columns[one.name], pa.Array) else pa.array(columns[one.name], one.type)
        for one in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
