"""The tables that every source is brought to: grain, key, columns and units.

This module is data. ``source/`` reads tables into this shape and checks them, ``metrics/`` computes on it.
``data/README.md`` tells the same to people who export their data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["id", "text", "time", "date", "integer", "amount", "rate"]
Need = Literal["required", "nullable", "optional"]


@dataclass(frozen=True)
class Column:
    """One column of a canonical table.

    Attributes
    ----------
    name
        Name in the contract.
    type
        ``id`` (text or whole number), ``text``, ``time`` (UTC instant), ``date`` (local day), ``integer``,
        ``amount`` (money in the shop's currency), ``rate`` (fraction 0-1).
    need
        ``required`` (there, no nulls), ``nullable`` (there, nulls have a meaning), ``optional`` (may be missing;
        a missing optional amount is 0, any other is null).
    meaning
        What it says, for messages and documentation.
    """

    name: str
    type: ColumnType
    need: Need
    meaning: str


@dataclass(frozen=True)
class Table:
    """One canonical table.

    Attributes
    ----------
    name, grain
        Its name and what one row is.
    key
        Columns that no two rows share; empty for events, which may repeat.
    columns
        All columns of the contract; a source may carry more.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]

    def column_names(self, *types: ColumnType) -> list[str]:
        """Names of the columns of these types, in the order of the contract."""
        return [name for name, column in self.columns.items() if column.type in types]


def _table(name: str, grain: str, key: str, columns: str) -> Table:
    """Read one table from lines ``name type need meaning``."""
    parsed = {}
    for line in columns.strip().splitlines():
        column_name, column_type, need, meaning = line.split(maxsplit=3)
        parsed[column_name] = Column(column_name, column_type, need, meaning)  # type: ignore[arg-type]
    return Table(name, grain, tuple(key.split()), parsed)


_TABLES = (
    _table(
        "events",
        "user action",
        "",
        """
        user_id      id       required  who acted
        event_at     time     required  when
        event        text     required  what, by the GA4 e-commerce names
        seq          integer  optional  order within the same instant; null is 0
        session_id   id       optional  visit
        page         text     optional  page on which it happened
        slot_id      id       optional  place on the page that was shown or clicked
        content_id   id       optional  creative shown in the slot
        product_id   id       optional  product viewed, carted or bought
        order_id     id       optional  order submitted or paid
        channel      text     optional  channel of the visit
        campaign     text     optional  campaign of the visit
        keyword      text     optional  search keyword of the visit
        """,
    ),
    _table(
        "orders",
        "submitted order",
        "order_id",
        """
        order_id                  id      required  key
        user_id                   id      required  buyer
        submitted_at              time    required  when it was submitted
        paid_at                   time    nullable  when it was paid; null: not paid
        gross_amount              amount  nullable  before discounts; null where the source has no money
        coupon_discount_amount    amount  optional  taken off by coupons
        other_discount_amount     amount  optional  taken off otherwise
        platform_discount_amount  amount  optional  part of the two discounts that the platform pays
        refund_amount             amount  optional  paid back
        cost_amount               amount  optional  cost of the goods; empty: not known, counts as 0 and is warned of
        shipping_cost_amount      amount  optional  cost of shipping
        platform_fee_amount       amount  optional  fee of the platform
        channel                   text    optional  channel of the order
        region                    text    optional  where it goes
        """,
    ),
    _table(
        "order_lines",
        "order and line",
        "order_id line_no",
        """
        order_id    id       required  order
        line_no     integer  required  line within the order
        product_id  id       required  product
        category    text     optional  category of the product
        quantity    integer  required  pieces
        amount      amount   nullable  line total before discounts; lines sum to gross_amount
        """,
    ),
    _table(
        "users",
        "user",
        "user_id",
        """
        user_id        id    required  key
        first_seen_at  time  required  first visit ever
        channel        text  optional  channel that acquired the user
        age_group      text  optional  age group
        gender         text  optional  gender
        region         text  optional  region
        device         text  optional  device of the first visit
        inviter_id     id    optional  user who invited this one
        """,
    ),
    _table(
        "coupons",
        "coupon campaign",
        "coupon_id",
        """
        coupon_id   id      required  key
        name        text    optional  name shown in reports
        kind        text    optional  full reduction, percentage, new customer, free order, invitation, ...
        face_value  amount  optional  amount off; of kind percentage: up to 1 the share, above 1 the most it takes off
        min_spend   amount  optional  gross amount from which it may be used
        """,
    ),
    _table(
        "coupon_grants",
        "coupon given to a user (one row for each possible use)",
        "grant_id",
        """
        grant_id         id      required  key
        coupon_id        id      required  coupon
        user_id          id      required  who got it
        granted_at       time    required  when it was given
        grant_source     text    optional  pushed, collected, order, invitation
        collected_at     time    optional  when the user took it
        expires_at       time    optional  end of validity
        redeemed_at      time    optional  when it was used
        order_id         id      optional  order on which it was used
        discount_amount  amount  optional  what it took off that order
        """,
    ),
    _table(
        "slots",
        "place on a page",
        "slot_id",
        """
        slot_id   id       required  key
        name      text     optional  name shown in reports
        page      text     optional  page
        floor     id       optional  floor on the page
        position  integer  optional  position on the page, from 1
        kind      text     optional  banner, icon, product, ...
        """,
    ),
    _table(
        "contents",
        "creative shown in a slot",
        "content_id",
        """
        content_id  id    required  key
        name        text  optional  name shown in reports
        slot_id     id    optional  slot in which it is shown first
        """,
    ),
    _table(
        "products",
        "product",
        "product_id",
        """
        product_id  id    required  key
        name        text  optional  name shown in reports
        category    text  optional  category
        """,
    ),
    _table(
        "experiments",
        "variant of an experiment",
        "experiment_id variant",
        """
        experiment_id   id    required  experiment
        variant         text  required  arm
        expected_share  rate  optional  planned share of the arm
        coupon_id       id    optional  coupon under test
        """,
    ),
    _table(
        "experiment_assignments",
        "user and variant in an experiment",
        "experiment_id user_id variant",
        """
        experiment_id  id    required  experiment
        user_id        id    required  user
        variant        text  required  arm
        assigned_at    time  required  when
        """,
    ),
    _table(
        "channel_spend",
        "day and channel (and campaign, keyword where given)",
        "date channel campaign keyword",
        """
        date          date     required  local day
        channel       text     required  channel
        campaign      text     optional  campaign
        keyword       text     optional  search keyword
        spend_amount  amount   required  what was spent
        impressions   integer  optional  advertisements shown
        clicks        integer  optional  advertisements clicked
        """,
    ),
    _table(
        "stock",
        "day, product and region",
        "date product_id region",
        """
        date              date     required  local day
        product_id        id       required  product
        region            text     required  region
        on_hand_quantity  integer  required  pieces on hand
        """,
    ),
)

TABLES: Mapping[str, Table] = {table.name: table for table in _TABLES}

EXPOSURE, CLICK = "view_promotion", "select_promotion"
EVENT_RANK: Mapping[str, int] = {
    EXPOSURE: 1,
    CLICK: 2,
    "view_item": 3,
    "add_to_cart": 4,
    "begin_checkout": 5,
    "purchase": 6,
}
"""Events with a meaning, in the order in which they follow each other; any other name ranks last."""

LAST_RANK = 9
CENT = 0.005
"""Amounts that differ by less are the same."""

UNKNOWN = "(unknown)"
DIRECT = "(direct)"
