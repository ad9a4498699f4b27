"""A checked shop: lazy tables on the contract's names, what is in them, and the door to collect from them."""

import json
import os
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from workbench.contract import TABLES
from workbench.errors import SourceError, TableError
from workbench.language import Language, Setting, say
from workbench.period import DAY_MS, Period, local_date, make_period
from workbench.source.address import without_secrets
from workbench.source.checks import TIMES, check_tables
from workbench.source.engine import Engine, connect
from workbench.source.faults import Fault, refuse
from workbench.source.fingerprint import fingerprint_of_files, fingerprint_of_tables
from workbench.source.mapping import SHOP_FILE, Mapping, load_mapping
from workbench.source.restriction import only_words, restrict
from workbench.source.standardise import RAW, Standardised, id_types, ms_name, standardise

SOURCE, MAPPING = "WORKBENCH_SOURCE", "WORKBENCH_MAPPING"
TRUTH_FILE = "truth.json"
TRUTH_KEYS = frozenset({"seed", "users", "days", "is_measured", "slots"})


@dataclass(frozen=True)
class Shop:
    """A shop opened by ``open_shop``.

    Attributes
    ----------
    name
        Last part of the source's path or URL; safe to show.
    tables
        Lazy Ibis tables on the contract's names. Beside the contract's columns each time is there as whole UTC
        milliseconds (``event_at`` as ``event_ms``), tables of users carry ``user_bucket``, orders carry
        ``paid_amount`` and ``net_amount``. Columns that the source lacks are null, amounts 0.
    present
        Contract columns that the source really has, by table.
    warnings
        What the check found and let pass.
    user_ids_known
        False if the source cannot tell people apart; counts of people are then null.
    folder
        The folder of files that was opened; None for databases.
    source, mapping
        Path or URL of the data and path of their mapping, as ``open_shop`` was given them, so that they can be opened again:
        without passwords, and "" where none was given. They name places of this machine and are not for reports.
    only_users
        Conditions of ``only`` in words; empty where all users are in.
    only_count
        Users chosen by them, and all.
    without_spend
        Whether ``only`` left out ``channel_spend``.
    """

    name: str
    tables: MappingOf[str, ir.Table]
    present: MappingOf[str, frozenset[str]]
    warnings: tuple[Fault, ...]
    user_ids_known: bool
    engine: Engine = field(repr=False)
    reach: MappingOf[str, MappingOf[str, int]] = field(repr=False)
    folder: Path | None = field(default=None, repr=False)
    source: str = field(default="", repr=False)
    mapping: str = field(default="", repr=False)
    only_users: tuple[str, ...] = ()
    only_count: tuple[int, int] = (0, 0)
    without_spend: bool = False

    def only(self, only_users: Sequence[str]) -> "Shop":
        """The same shop with the rows of some users alone.

        Parameters
        ----------
        only_users
            Texts ``column=value``, such as ``region=North``, of the columns channel, age_group, gender, region and device of
            users; ``(unknown)`` for users without a value. Values of one column are alternatives, columns narrow each other.
            Empty: all users. Users without a row in ``users`` are in no such shop.

        Returns
        -------
        Shop
            Whose events, orders, lines, users, grants and assignments are those of these users; stock is that of the chosen
            regions; spend is that of the chosen channels, and is left out if anything else was asked. When the data begin and
            end stays as it is.

        Raises
        ------
        ParameterError
            A condition that cannot be read, an unknown column or value, or nobody left.
        """
        return restrict(self, only_users)

    def __getattr__(self, name: str) -> ir.Table:
        """``shop.orders`` is the lazy table of that name."""
        if name in TABLES:
            if name in self.tables:
                return self.tables[name]
            raise AttributeError(f'{self.name} has no table "{name}"; it has {", ".join(self.tables)}.')
        raise AttributeError(name)

    def has(self, table: str, *columns: str) -> bool:
        """Whether the source has this table, with rows and these columns."""
        if not self.reach.get(table, {}).get("row_count"):
            return False
        return set(columns) <= self.present[table]

    @property
    def has_money(self) -> bool:
        """Whether orders carry amounts."""
        empty = sum(one.count for one in self.warnings if one.rule == "no_amount" and one.table == "orders")
        checked = self.reach.get("orders", {})
        return self.has("orders") and empty < checked.get("source_row_count", checked["row_count"])

    def require(self, question: str, *tables: str) -> None:
        """Refuse to go on without these tables.

        Raises
        ------
        TableError
            Naming all of them that are missing or empty.
        """
        faults = [
            f'"{table}" {"is empty" if table in self.tables else "is missing"} ({TABLES[table].grain} per row)'
            for table in tables
            if not self.has(table)
        ]
        if faults:
            raise TableError(
                f"{self.name}: {question} needs the tables {', '.join(tables)}; {' and '.join(faults)}. "
                f"There are: {', '.join(self.tables)}. Add the table, or name its source in a mapping (data/README.md)."
            )

    def collect(self, expression: ir.Table) -> pd.DataFrame:
        """Execute a lazy table: the one way from the engine to data frames."""
        return self.engine.collect(expression)

    def hold(self, name: str, expression: ir.Table) -> ir.Table:
        """Compute a lazy table once, for several questions; it stays in the engine, and a later one of that name replaces it."""
        return self.engine.held(name, expression)

    def prepared(self, make: Callable[[], ir.Table]) -> Callable[[], pd.DataFrame]:
        """A question that is asked again and again; see ``Engine.prepared``."""
        return self.engine.prepared(make)

    def keyed(self, table: ir.Table) -> ir.Table:
        """A table of users with ``user_key``, by which users are told apart fast; see ``Engine.keyed``."""
        return self.engine.keyed(table)

    @property
    def truth(self) -> dict[str, Any] | None:
        """What is planted in a shop that ``workbench sample`` wrote, read from its ``truth.json``; None for any other.

        A file of that name that is someone else's, or cannot be read, is no fault: it says nothing about the data.
        """
        if self.folder is None:
            return None
        try:
            found = json.loads((self.folder / TRUTH_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        ours = isinstance(found, dict) and found.keys() >= TRUTH_KEYS and isinstance(found["slots"], dict)
        return found if ours else None

    def period(self, start_date: object, end_date: object, timezone: str) -> Period:
        """The period of a report on this shop; see ``workbench.period.make_period``."""
        every = [one for one in self.reach.values() if "last_ms" in one]
        reach = [one for name in ("events", "orders") if "last_ms" in (one := self.reach.get(name, {}))] or every
        if not reach:
            raise TableError(f"{self.name}: no event and no order has a time; there is nothing to report on.")
        last = max(one["last_ms"] for one in reach)
        # Whoever was assigned to an experiment before the first order is part of all the data too.
        assigned = self.reach.get("experiment_assignments", {})
        first = min(one["first_ms"] for one in (*reach, assigned) if "first_ms" in one)
        return make_period(
            start_date,
            end_date,
            timezone,
            data_start_ms=first,
            data_last_ms=last,
            earliest_ms=min(one["first_ms"] for one in every),
            latest_ms=max(one["last_ms"] for one in every),
        )

    def contents(self) -> pd.DataFrame:
        """What the source holds: table, row_count, first_at, last_at (UTC), in the contract's order."""
        rows = []
        for name in TABLES:
            if name in self.reach:
                found = self.reach[name]
                times = [
                    pd.Timestamp(found[key], unit="ms") if key in found else pd.NaT for key in ("first_ms", "last_ms")
                ]
                rows.append((name, found["row_count"], *times))
        return pd.DataFrame(rows, columns=["table", "row_count", "first_at", "last_at"])

    def flags(self, period: Period, lang: Language, *, has_orders: bool) -> tuple[str, ...]:
        """Flags of the first screen: users left out, an empty period, data that stop inside it, warnings of the check."""
        flags: list[str] = [Setting(say(lang, *only_words(self)))] if self.only_users else []
        if not has_orders and self.has("orders"):
            flags.append(
                say(
                    lang,
                    f"No paid order from {period.start_date} to {period.last_date}; the data reach from "
                    f"{local_date(period.data_start_ms, period.timezone)} to {period.data_last_date}.",
                    f"{period.start_date} 至 {period.last_date} 没有已支付订单；数据范围为 "
                    f"{local_date(period.data_start_ms, period.timezone)} 至 {period.data_last_date}。",
                )
            )
        elif period.data_last_date < period.last_date:
            flags.append(
                say(
                    lang,
                    f"The data end on {period.data_last_date}, before the period does.",
                    f"数据截至 {period.data_last_date}，早于统计期结束。",
                )
            )
        if self.warnings:
            count = len(self.warnings)
            flags.append(
                say(
                    lang,
                    f"{count} warning{'s' if count > 1 else ''} about the data; see the data section.",
                    f"数据有 {count} 条警告，见数据部分。",
                )
            )
        return tuple(flags)

    @property
    def fingerprint(self) -> str:
        """Hash of the data: bytes of files; for databases names, columns, row counts, first and last times."""
        place = Path(self.source.removeprefix("chdb://")).expanduser()
        if self.source and place.exists():
            return fingerprint_of_files(place, Path(self.mapping) if self.mapping else None)
        return fingerprint_of_tables(self.engine.tables, self.reach)


def open_shop(source: str | Path | None = None, mapping: str | Path | None = None) -> Shop:
    """Open and check a source.

    Parameters
    ----------
    source
        A folder of Parquet or CSV files, a DuckDB file, or a database URL. Without one: the run's source
        (environment variable ``WORKBENCH_SOURCE``), else the sample shop in ``data/sample``.
    mapping
        YAML file that maps the source to the contract; without one ``mapping.yml`` in the source folder.

    Returns
    -------
    Shop
        With lazy tables; nothing but counts has been read.

    Raises
    ------
    SourceError
        If source or mapping cannot be opened.
    TableError
        If tables break the contract: all faults of all tables in one message.
    """
    if source is None:
        source, mapping = os.environ.get(SOURCE) or _sample(), mapping or os.environ.get(MAPPING) or None
    shop, faults = read_shop(source, mapping)
    refuse(shop.name, faults)
    return shop


def _sample() -> Path:
    sample = Path(__file__).resolve().parents[2] / "data" / "sample"
    if not sample.exists():
        raise SourceError(
            "no source was given and there is no sample shop. Make one with `workbench sample data/sample`, or give "
            "a folder: open_shop('path/to/folder')."
        )
    return sample


def read_shop(source: str | Path, mapping: str | Path | None, *, with_keys: bool = False) -> tuple[Shop, list[Fault]]:
    """Open a source and check it, without refusing anything yet."""
    folder = Path(str(source).removeprefix("chdb://")).expanduser()
    beside = folder / SHOP_FILE
    rules = load_mapping(mapping or (beside if beside.is_file() else None))
    engine = connect(source, rules)
    types = id_types(engine, rules)
    standard = {name: standardise(engine, name, rules, types) for name in engine.tables}
    standard = {name: replace(one, table=engine.stored(name, one.table)) for name, one in standard.items()}
    faults = [fault for one in standard.values() for fault in one.faults]
    known = {name: _zone_known(rules, name) for name in standard}
    found, reach = check_tables(engine, standard, known, with_keys=with_keys)
    tables = {name: one.table for name, one in standard.items()}
    faults += found + _out_of_range(engine, tables, reach)
    shop = Shop(
        name=engine.name,
        tables=MappingProxyType({name: engine.named(name, _finished(engine, one)) for name, one in standard.items()}),
        present=MappingProxyType({name: one.present for name, one in standard.items()}),
        warnings=tuple(fault for fault in faults if fault.level == "warned"),
        user_ids_known=rules.user_ids == "known",
        engine=engine,
        reach=MappingProxyType(reach),
        folder=folder if folder.is_dir() else None,
        source=without_secrets(str(source)),
        mapping=str(mapping or ""),
    )
    return shop, faults


def _zone_known(rules: Mapping, name: str) -> frozenset[str]:
    """Time columns for which the mapping settles what a time without a zone means."""
    mapped = rules.table(name)
    return frozenset(TABLES[name].column_names("time") if mapped.timezone or rules.timezone else mapped.formats)


def _finished(engine: Engine, standard: Standardised) -> ir.Table:
    """Drop the checked text and add what every analysis needs."""
    table = standard.table.drop(*[name for name in standard.table.columns if name.startswith(RAW)])
    if "event_ms" in table.columns:
        whole = [
            table[ms_name(name)].notnull() if name == "event_at" else table[name].notnull()
            for name in ("user_id", "event_at", "event")
            if name not in standard.filled
        ]
        table = (table.filter(*whole) if whole else table).mutate(seq=table.seq.fill_null(0))
    if "user_id" in table.columns:
        table = table.mutate(user_bucket=engine.user_bucket(table.user_id))
    if "coupon_discount_amount" in table.columns:
        paid = table.gross_amount - table.coupon_discount_amount - table.other_discount_amount
        table = table.mutate(paid_amount=paid, net_amount=paid - table.refund_amount)
    return table


def _out_of_range(
    engine: Engine, tables: MappingOf[str, ir.Table], reach: MappingOf[str, MappingOf[str, int]]
) -> list[Fault]:
    """Warn of times far outside the rest.

    Outside is what lies beyond the middle 98 % by more than its own length and 30 days, or further from the median
    than ten times the middle half and a year.
    """
    faults = []
    for name, column in ((name, column) for name, columns in TIMES.items() for column in columns):
        if not reach.get(name, {}).get("row_count"):
            continue
        days = (tables[name][column] // DAY_MS).cast("int64")
        counted = engine.collect(
            tables[name].select(day=days).filter(ibis._.day.notnull()).group_by("day").aggregate(rows=ibis._.count())
        ).sort_values("day")
        if counted.empty:
            continue
        share = counted["rows"].cumsum() / counted["rows"].sum()
        low, lower, middle, upper, high = (
            int(counted["day"].iloc[int(np.searchsorted(share, one))]) for one in (0.01, 0.25, 0.5, 0.75, 0.99)
        )
        margin, far = max(high - low, 30), max(10 * (upper - lower), 365)
        outside = (counted["day"] < low - margin) | (counted["day"] > high + margin)
        outside |= (counted["day"] - middle).abs() > far
        rows = int(counted.loc[outside, "rows"].sum())
        if rows:
            en = "lies far outside the range of the rest; a clock or an export may be wrong. It counts for the end of the data: drop or mend it."
            zh = "远在其余数据的时间范围之外，可能是时钟或导出错误；它会影响数据截止日，请删除或更正。"
            faults.append(Fault("out_of_range", name, column.replace("_ms", "_at"), "warned", rows, en, zh))
    return faults
