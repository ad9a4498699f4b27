"""A shop of some of its users: the same tables, with the rows of these users alone."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from workbench.contract import UNKNOWN
from workbench.errors import ParameterError, nearest
from workbench.language import format_count

if TYPE_CHECKING:
    from workbench.source.shop import Shop

COLUMNS = ("channel", "age_group", "gender", "region", "device")
"""Columns of ``users`` by which users can be chosen."""
_KEYS = ("user_segment", "user_bucket")
_MOST_SHOWN = 12
_USER_TABLES = ("events", "orders", "users", "coupon_grants", "experiment_assignments")


def restrict(shop: "Shop", only_users: Sequence[str]) -> "Shop":
    """The shop with the rows of some users alone; see ``Shop.only``."""
    asked = conditions(shop, only_users)
    if not asked:
        return shop
    users, engine = shop.tables["users"], shop.engine
    only_count = check_conditions(shop, asked, user_counts(shop))
    mark = hashlib.blake2b(repr(sorted(asked.items())).encode(), digest_size=6).hexdigest()
    chosen = engine.held(f"chosen_{mark}", users.filter(is_chosen(users, asked)).select("user_id"))
    tables = dict(shop.tables)
    for name in set(_USER_TABLES) & set(tables):
        tables[name] = tables[name].semi_join(chosen, "user_id")
    if "order_lines" in tables and "orders" in tables:
        tables["order_lines"] = tables["order_lines"].semi_join(tables["orders"], "order_id")
    if "stock" in tables and "region" in asked:
        tables["stock"] = _of_values(tables["stock"], "region", asked["region"])
    dropped = _spend(tables, asked)
    changed = [name for name in tables if tables[name] is not shop.tables[name]]
    tables |= {name: engine.named(f"{name}_{mark}", tables[name]) for name in changed}
    rows = shop.collect(ibis.union(*[_counted(name, tables[name]) for name in changed]))
    counts = dict(zip(rows["name"], rows["row_count"].astype(int), strict=True))
    return replace(
        shop,
        tables=MappingProxyType(tables),
        reach=MappingProxyType({name: _reach(shop.reach[name], counts.get(name)) for name in tables}),
        folder=None,  # what is planted in a simulated shop is true of all its users
        only_users=tuple(_words(asked)),
        only_count=only_count,
        without_spend=dropped,
    )


def conditions(shop: "Shop", only_users: Sequence[str]) -> dict[str, list[str]]:
    """Values by column, in the order of the contract; an empty mapping for all users.

    Raises
    ------
    ParameterError
        A text that is no ``column=value``, a column that users do not have, or a source that has no users.
    """
    found: dict[str, list[str]] = {}
    for one in [only_users] if isinstance(only_users, str) else only_users:
        column, sign, value = str(one).partition("=")
        column, value = column.strip(), value.strip()
        if not sign or not column or not value:
            raise ParameterError(f'only_users: "{one}" is not column=value, such as region=North.')
        if not shop.has("users"):
            raise ParameterError(f"only_users: {shop.name} has no table of users; leave only_users empty.")
        there = [name for name in COLUMNS if shop.has("users", name)]
        if column not in there:
            raise ParameterError(
                f'only_users: users have no column "{column}"{nearest(column, there, ".")} Allowed here: '
                f"{', '.join(there) or 'none'}."
            )
        if not shop.user_ids_known:
            raise ParameterError(f"only_users: {shop.name} cannot tell users apart (user_ids: per_event).")
        if value not in found.setdefault(column, []):
            found[column].append(value)
    return {name: sorted(found[name]) for name in COLUMNS if name in found}


def user_counts(shop: "Shop") -> pd.DataFrame:
    """How many users have which values: one row per combination of the columns of ``users`` there are, and user_count."""
    users = shop.tables["users"]
    values = {name: _text(users, name) for name in COLUMNS if shop.has("users", name)}
    return shop.collect(users.group_by(**values).aggregate(user_count=ibis._.count()))


def check_conditions(shop: "Shop", asked: Mapping[str, list[str]], counts: pd.DataFrame) -> tuple[int, int]:
    """Refuse values that no user has, and conditions that leave nobody; the users chosen, and all.

    Parameters
    ----------
    shop
        Named in messages.
    asked
        From ``conditions``.
    counts
        From ``user_counts``.
    """
    for column, values in asked.items():
        held = counts.groupby(column)["user_count"].sum().reset_index()
        there = held.sort_values(["user_count", column], ascending=[False, True])[column].tolist()
        for value in values:
            if value not in there:
                more = f" and {len(there) - _MOST_SHOWN} more" if len(there) > _MOST_SHOWN else ""
                raise ParameterError(
                    f'only_users: no user has {column} "{value}"{nearest(value, there, ".")} There are: '
                    f"{', '.join(there[:_MOST_SHOWN])}{more}."
                )
    chosen = counts
    for column, values in asked.items():
        chosen = chosen[chosen[column].isin(values)]
    if chosen.empty:
        raise ParameterError(
            f"only_users: no user of {shop.name} has {' and '.join(_words(asked))} at once. Choose fewer conditions."
        )
    return int(chosen["user_count"].sum()), int(counts["user_count"].sum())


class Segments:
    """Users alike in all that they can be chosen by have one number: sums held by it are those of any users chosen.

    Parameters
    ----------
    shop
        With a table of users.

    Attributes
    ----------
    values
        One row per segment: ``user_segment`` from 1 on, the values as in ``user_counts``, user_count.
    members
        One row per user of ``users``, lazy: member_id and user_segment.
    """

    def __init__(self, shop: "Shop") -> None:
        self._shop, users = shop, shop.tables["users"]
        texts = {name: _text(users, name) for name in COLUMNS if shop.has("users", name)}
        counted = users.group_by(**texts).aggregate(user_count=ibis._.count())
        number = (ibis.row_number().over(order_by=list(texts)) + 1) if texts else ibis.literal(1)
        counted = shop.hold("live_segments", counted.mutate(user_segment=number.cast("int64")))
        self.values = shop.collect(counted)
        self._held = counted
        self.members = shop.hold("live_members", self.of_people(users).select("user_segment", member_id=ibis._.user_id))
        self._chosen = shop.engine.rows(user_segment="int64")

    def of_people(self, users: ir.Table) -> ir.Table:
        """The table of users, or one with its columns, with their ``user_segment``."""
        texts = {name: _text(users, name) for name in self._held.columns if name in COLUMNS}
        if not texts:
            return users.mutate(user_segment=ibis.literal(1, "int64"))
        keys = [name for name in users.columns if name in ("user_id", "user_key")]
        return users.select(*keys, **texts).join(self._held, list(texts)).select(*keys, "user_segment")

    def numbered(self, table: ir.Table) -> ir.Table:
        """Rows of users with their ``user_segment``; 0 where ``users`` does not tell of the user."""
        members = self.members.view()
        joined = table.left_join(members, table.user_id == members.member_id)
        return joined.mutate(user_segment=joined.user_segment.fill_null(0)).drop("member_id")

    def hold(self, name: str, table: ir.Table) -> ir.Table:
        """Compute a table with ``user_segment`` once; null, for users of whom ``users`` does not tell, becomes 0."""
        return self._shop.hold(name, table.mutate(user_segment=table.user_segment.fill_null(0)))

    def counted(self, table: ir.Table, *amounts: str, apart: Sequence[str] = ()) -> pd.DataFrame:
        """How many rows are of which segment (row_count), what amounts add up to, and ``apart`` from each other."""
        sums = {name: table[name].sum() for name in amounts}
        by_user = self.numbered(table.group_by(["user_id", *apart]).aggregate(row_count=table.count(), **sums))
        added = {name: by_user[name].sum().cast("float64") for name in ("row_count", *amounts)}
        return self._shop.collect(by_user.group_by(["user_segment", *apart]).aggregate(**added))

    def choose(self, asked: Mapping[str, list[str]]) -> pd.Index:
        """Choose users, and give their segments: those of ``users`` with these values, or everybody; errors as of ``only``."""
        found = self.values
        if asked:
            check_conditions(self._shop, asked, found)
        for column, values in asked.items():
            found = found[found[column].isin(values)]
        numbers = found["user_segment"].tolist() + ([] if asked else [0])
        self._chosen.put(user_segment=numbers)
        return pd.Index(numbers)

    def of(self, held: ir.Table) -> ir.Table:
        """The rows of the users chosen; written once, it holds for whoever is chosen later (``Engine.prepared``)."""
        return held.semi_join(self._chosen.table, "user_segment")

    def summed(self, held: ir.Table, by: Sequence[str]) -> ir.Table:
        """The sums of the users chosen by fewer columns; of a number named ``..._largest`` the largest."""
        table = self.of(held)
        names = [name for name, type_ in held.schema().items() if type_.is_numeric() and name not in (*by, *_KEYS)]
        wide = {name: table[name].cast("float64") for name in names}  # sums of whole numbers reach pandas as objects
        return table.group_by(list(by)).aggregate(
            **{name: one.max() if name.endswith("_largest") else one.sum() for name, one in wide.items()}
        )


def _text(table: ir.Table, column: str) -> ir.StringValue:
    return table[column].cast("string").fill_null(UNKNOWN)


def _of_values(table: ir.Table, column: str, values: Sequence[str]) -> ir.Table:
    return table.filter(_text(table, column).isin(list(values)))


def is_chosen(users: ir.Table, asked: Mapping[str, list[str]]) -> list[ir.BooleanValue]:
    """What must hold of users, or of any table with their columns."""
    return [_text(users, column).isin(values) for column, values in asked.items()]


def _spend(tables: dict[str, ir.Table], asked: Mapping[str, list[str]]) -> bool:
    """Keep the spend of the chosen channels; of other conditions nobody knows their part, so it is left out."""
    if "channel_spend" not in tables:
        return False
    if set(asked) == {"channel"}:
        tables["channel_spend"] = _of_values(tables["channel_spend"], "channel", asked["channel"])
        return False
    del tables["channel_spend"]
    return True


def _counted(name: str, table: ir.Table) -> ir.Table:
    return table.aggregate(row_count=ibis._.count()).mutate(name=ibis.literal(name))


def _reach(reach: Mapping[str, Any], count: int | None) -> Mapping[str, Any]:
    """Days of the data stay those of the shop: where they end is a fact of the source, not of some users."""
    return reach if count is None else {"source_row_count": reach["row_count"], **reach, "row_count": count}


def _words(asked: Mapping[str, list[str]]) -> list[str]:
    return [f"{column} {' or '.join(values)}" for column, values in asked.items()]


def only_words(shop: "Shop") -> tuple[str, str]:
    """Whom a restricted shop is about, English and Chinese."""
    chosen, every = (format_count(one) for one in shop.only_count)
    of = "; ".join(shop.only_users)
    spend = " Spend cannot be divided by these and is left out." if shop.without_spend else ""
    spend_zh = "投放花费无法按此拆分，未计入。" if shop.without_spend else ""
    return (
        f"Only users with {of}: {chosen} of {every}.{spend}",
        f"仅含以下用户：{of.replace(' or ', ' 或 ')}，共 {chosen} / {every} 名。{spend_zh}",
    )
