"""The one door to the engines: open a source as lazy tables, and turn lazy tables into data frames.

Nothing outside this module executes a query. DuckDB reads folders of files and DuckDB files, with a memory
limit and a folder to spill into; databases are opened by their Ibis URL; ``chdb://FOLDER`` reads a folder of
Parquet files with ClickHouse inside this process.
"""

import atexit
import itertools
import operator
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd

from workbench.contract import TABLES
from workbench.errors import SourceError, nearest
from workbench.source.address import VARIABLE, why_unreadable
from workbench.source.files import (
    as_utf8,
    csv_delimiter,
    csv_fault,
    csv_header,
    refuse_case_twins,
    settled_columns,
    stray_files,
    table_files,
    zoneless_columns,
)
from workbench.source.mapping import Mapping

EngineKind = Literal["duckdb", "clickhouse", "other"]

MEMORY_LIMIT = "WORKBENCH_MEMORY_LIMIT"
DEFAULT_MEMORY_LIMIT = "2GB"


@dataclass(frozen=True)
class Engine:
    """An open source.

    Attributes
    ----------
    backend
        The Ibis backend that holds the tables.
    kind
        Which dialect it speaks, where that matters.
    tables
        Tables of the source under the contract's names, as they are (nothing renamed or converted).
    text_tables
        Names of tables whose columns are all text (CSV).
    name
        Last part of the source's path or URL; safe to show.
    files
        Files behind the tables, by table (empty for databases).
    strays
        Names of files or tables that are there but are not read.
    zoneless
        Table and column of times without a zone that the engine's own type does not tell apart.
    without_nulls, without_blanks
        Table and column that hold no null, or no empty text, as the files' own statistics say.
    lock
        Held by whoever queries, since threads (panels) share the connection.
    """

    backend: Any
    kind: EngineKind
    tables: MappingOf[str, ibis.Table]
    text_tables: frozenset[str]
    name: str
    files: MappingOf[str, tuple[Path, ...]]
    strays: tuple[str, ...] = ()
    zoneless: frozenset[tuple[str, str]] = frozenset()
    without_nulls: frozenset[tuple[str, str]] = frozenset()
    without_blanks: frozenset[tuple[str, str]] = frozenset()
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def collect(self, expression: ibis.Table) -> pd.DataFrame:
        """Execute a lazy table; decimals come back as floats."""
        import duckdb

        try:
            with self.lock:
                return self.backend.to_pandas(_floats(expression))
        except duckdb.Error as error:
            if "CSV Error" not in str(error):
                raise
            raise SourceError(f"{self.name}: {csv_fault(str(error))}") from None

    def named(self, name: str, table: ibis.Table) -> ibis.Table:
        """The same lazy table under a name of its own where the engine can hold one: what is built on it compiles faster."""
        if self.kind != "duckdb":
            return table
        view = f"workbench_view_of_{name}"
        with self.lock:
            self.backend.raw_sql(f'CREATE OR REPLACE TEMP VIEW "{view}" AS {self.backend.compile(table)}')
            return self.backend.table(view)

    def holding(
        self, name: str, make: Callable[[], ibis.Table]
    ) -> tuple[Callable[[], ibis.Table], Callable[[], object]]:
        """A held table that is computed again as the ``rows`` behind it change: how to get at it, and what computes it.

        On DuckDB it is written once. Where the engine has no tables of a session it is made anew for each question.
        """
        if self.kind == "other":
            return make, lambda: None
        if self.kind == "clickhouse":
            return lambda: self._kept(name, make()), lambda: self.held(name, make())
        table = _floats(make())
        kept, query = self._kept(name, table), self._keep(name, table)

        def compute() -> object:
            with self.lock:
                return self.backend.con.execute(query)

        return lambda: kept, compute

    def _keep(self, name: str, table: ibis.Table) -> str:
        of = " ENGINE = Memory" if self.kind == "clickhouse" else ""
        return f'CREATE OR REPLACE TEMPORARY TABLE "workbench_held_{name}"{of} AS {self.backend.compile(table)}'

    def _kept(self, name: str, table: ibis.Table) -> ibis.Table:
        # Under the types it was asked for: ClickHouse stores truth as a number, and forgets what may be null.
        kept = f"workbench_held_{name}"
        return ibis.expr.operations.DatabaseTable(kept, schema=table.schema(), source=self.backend).to_expr()

    def prepared(self, make: Callable[[], ibis.Table]) -> Callable[[], pd.DataFrame]:
        """A question that is asked again as the ``rows`` behind it change, written for the engine once.

        To write a long question takes longer than to answer it. Other engines than DuckDB have it made anew each time.
        """
        if self.kind != "duckdb":
            return lambda: self.collect(make())
        query = self.backend.compile(_floats(make()))

        def ask() -> pd.DataFrame:
            with self.lock:
                return self.backend.con.execute(query).to_arrow_table().to_pandas()

        return ask

    def rows(self, **types: str) -> "Rows":
        """A few rows that prepared questions read; empty at first."""
        return Rows(self, types)

    def stored(self, name: str, table: ibis.Table) -> ibis.Table:
        """A table of texts (CSV), read and converted once and kept as typed columns in a file of this session.

        To parse texts anew for each question costs ten times what the question does. Other tables stay as they are.
        """
        import duckdb

        if name not in self.text_tables or self.kind != "duckdb":
            return table
        folder = Path(tempfile.mkdtemp(prefix="workbench-"))
        weakref.finalize(self.backend, shutil.rmtree, folder, ignore_errors=True)
        path = folder / f"{name}.parquet"
        try:
            self.backend.raw_sql(f"COPY ({self.backend.compile(table)}) TO '{_quoted(path)}' (FORMAT parquet)")
        except duckdb.Error as error:
            if "CSV Error" not in str(error):
                raise
            raise SourceError(f"{self.name}: {csv_fault(str(error))}") from None
        kept = self.backend.read_parquet(str(path), table_name=f"stored_{name}")
        # Under the types it was asked for: DuckDB writes the 0.0 of an absent amount as a decimal.
        return kept.cast({one: type_ for one, type_ in table.schema().items() if kept[one].type() != type_})

    def held(self, name: str, table: ibis.Table) -> ibis.Table:
        """The table computed once and kept inside the engine, for whoever asks it several times; its rows do not leave.

        Where the engine has no tables of a session it is computed anew each time.
        """
        if self.kind == "other":
            return table
        table = _floats(table)
        with self.lock:
            self.backend.raw_sql(self._keep(name, table))
        return self._kept(name, table)

    def write(self, table: ibis.Table, path: Path) -> None:
        """Write a lazy table to a CSV or Parquet file, as its ending says, row by row from the engine to the disk.

        Other engines than DuckDB hand over batches, of which one at a time is in this process.
        """
        import duckdb

        form = "FORMAT parquet" if path.suffix == ".parquet" else "FORMAT csv, HEADER true"
        target = f"TO '{_quoted(path)}' ({form})"
        if self.kind == "duckdb":
            self.backend.raw_sql(f"COPY ({self.backend.compile(_floats(table))}) {target}")
            return
        with duckdb.connect(config={"memory_limit": os.environ.get(MEMORY_LIMIT, DEFAULT_MEMORY_LIMIT)}) as copy:
            copy.register("batches", self.backend.to_pyarrow_batches(_floats(table)))
            copy.execute(f"COPY (SELECT * FROM batches) {target}")

    def file_rows(self, path: Path, columns: Sequence[str]) -> ibis.Table:
        """The rows of a file of ``write``, whose columns these are, as a lazy table of texts that the engine reads itself.

        Databases that cannot see the files of this machine get its rows from this process.
        """
        form, name = path.suffix == ".parquet", f"workbench_file_{next(_VIEW_NUMBERS)}"
        if self.kind == "duckdb" and form:
            rows = self.backend.read_parquet(str(path), table_name=name)
        elif self.kind == "duckdb":
            texts = dict.fromkeys(columns, "VARCHAR")
            options = {"auto_detect": False, "header": True, "delim": ",", "quote": '"', "escape": '"'}
            rows = self.backend.read_csv(str(path), table_name=name, columns=texts, **options)
        elif self.kind == "clickhouse" and self.files:
            told = "Parquet" if form else "CSVWithNames, '" + ", ".join(f"`{one}` String" for one in columns) + "'"
            self.backend.con.command(f"CREATE VIEW {name} AS SELECT * FROM file('{_quoted(path)}', {told})")
            rows = self.backend.table(name)
        else:
            import pyarrow.csv
            import pyarrow.parquet

            texts = {one: pyarrow.string() for one in columns}
            convert = pyarrow.csv.ConvertOptions(column_types=texts)
            read = pyarrow.parquet.read_table(path) if form else pyarrow.csv.read_csv(path, convert_options=convert)
            rows = ibis.memtable(read)
        return rows.select(**{one: rows[one].cast("string") for one in columns})

    def user_bucket(self, user_id: ir.Value) -> ir.IntegerValue:
        """One of 256 buckets, 0-255: the first byte of the MD5 of the id, the same on every engine."""
        text = user_id.cast("string")
        if self.kind == "clickhouse":
            return _clickhouse_first_byte(_clickhouse_md5(text)).cast("int16")
        two = _hexadecimal_md5(text).substr(0, 2)
        if self.kind == "duckdb":
            return ("0x" + two).cast("int16")
        digits = ibis.literal("0123456789abcdef")
        return (16 * digits.find(two.substr(0, 1)) + digits.find(two.substr(1, 1))).cast("int16")

    def keyed(self, table: ibis.Table) -> ibis.Table:
        """The table with ``user_key``, a whole number that tells users apart and that engines sort faster than a text.

        Whole ids are their own key. Texts get 64 bits of hash: two of ten million users share one with a chance of
        three in a million. On engines without such a hash it is the id itself. A table that has it stays as it is.
        """
        if "user_key" in table.columns:
            return table
        if table.user_id.type().is_integer():
            return table.mutate(user_key=table.user_id.cast("int64"))
        if self.kind == "other":
            return table.mutate(user_key=table.user_id)
        return table.mutate(user_key=self.row_hash([table.user_id, ibis.literal("")]))

    def milliseconds(self, instant: ir.TimestampValue) -> ir.IntegerValue:
        """UTC milliseconds of an instant; DuckDB's own function is thirty times faster than its difference."""
        if self.kind == "duckdb":
            return _duckdb_epoch_ms(instant)
        return instant.delta(ibis.timestamp("1970-01-01 00:00:00"), unit="millisecond")

    def instant(self, milliseconds: ir.IntegerValue) -> ir.TimestampValue:
        """The instant of UTC milliseconds."""
        if self.kind == "clickhouse":
            return _clickhouse_instant(milliseconds)
        return milliseconds.as_timestamp("ms")

    def row_hash(self, values: Sequence[ir.Value]) -> ir.IntegerValue:
        """One number for a whole row; equal rows have equal numbers."""
        if self.kind == "other":
            texts = [value.cast("string").fill_null("") + "\x1f" for value in values]
            return reduce(operator.add, texts).hash()
        pair = _duckdb_hash if self.kind == "duckdb" else _clickhouse_hash
        parts = values if self.kind == "duckdb" else [value.cast("string").fill_null("") for value in values]
        return reduce(pair, parts)


class Rows:
    """A few rows inside the engine that are replaced again and again, for questions that are written once.

    Parameters
    ----------
    engine
        Where they are.
    types
        Type of each column, such as ``int64``. Of several columns there is one row.
    """

    def __init__(self, engine: Engine, types: MappingOf[str, str]) -> None:
        self._engine, self._schema = engine, ibis.schema(types)
        self._name = f"workbench_rows_{next(_VIEW_NUMBERS)}"
        self.put(**{name: [] for name in types})

    @property
    def table(self) -> ibis.Table:
        """The rows as they are now; on DuckDB as they are whenever a question is asked."""
        if self._engine.kind != "duckdb":
            first, *others = self._schema.items()
            listed = (
                ibis.array(list(self._found[first[0]])).cast(f"array<{first[1]}>").unnest().name(first[0]).as_table()
            )
            return listed.mutate(**{name: ibis.literal(self._found[name][0], type_) for name, type_ in others})
        backend = self._engine.backend
        return ibis.expr.operations.DatabaseTable(self._name, schema=self._schema, source=backend).to_expr()

    def put(self, **columns: Sequence[int] | Sequence[float]) -> None:
        """Replace all rows by these, given column by column."""
        self._found = columns
        if self._engine.kind != "duckdb":
            return
        types = {name: self._engine.backend.compiler.type_mapper.to_string(one) for name, one in self._schema.items()}
        listed = ", ".join(f'unnest(?::{types[name]}[]) AS "{name}"' for name in columns)
        query = f'CREATE OR REPLACE TEMPORARY TABLE "{self._name}" AS SELECT {listed}'
        with self._engine.lock:
            self._engine.backend.con.execute(query, [list(one) for one in columns.values()])


@ibis.udf.scalar.builtin(name="epoch_ms")
def _duckdb_epoch_ms(instant) -> int: ...  # type: ignore[no-untyped-def,empty-body]  # noqa: ANN001


@ibis.udf.scalar.builtin(name="fromUnixTimestamp64Milli")
def _clickhouse_instant(milliseconds: int) -> dt.Timestamp("UTC", 3): ...  # type: ignore[valid-type]  # noqa: F821


@ibis.udf.scalar.builtin(name="hash")
def _duckdb_hash(left, right) -> dt.uint64: ...  # type: ignore[no-untyped-def]  # noqa: ANN001


@ibis.udf.scalar.builtin(name="cityHash64")
def _clickhouse_hash(left, right) -> dt.uint64: ...  # type: ignore[no-untyped-def]  # noqa: ANN001


@ibis.udf.scalar.builtin(name="md5")
def _hexadecimal_md5(text: str) -> str: ...  # type: ignore[empty-body]


@ibis.udf.scalar.builtin(name="MD5")
def _clickhouse_md5(text: str) -> bytes: ...  # type: ignore[empty-body]


@ibis.udf.scalar.builtin(name="reinterpretAsUInt8")
def _clickhouse_first_byte(digest: bytes) -> int: ...  # type: ignore[empty-body]


def _quoted(path: Path) -> str:
    """A path inside single quotes of a query."""
    return str(path.absolute()).replace("'", "''")


def _floats(expression: ibis.Table) -> ibis.Table:
    decimals = {
        name: expression[name].cast("float64") for name, type_ in expression.schema().items() if type_.is_decimal()
    }
    return expression.mutate(**decimals) if decimals else expression


def connect(source: str | Path, mapping: Mapping) -> Engine:
    """Open a folder, a DuckDB file or a database URL.

    Raises
    ------
    SourceError
        If there is nothing there, nothing readable, or no table of the contract in it.
    """
    text = str(source)
    if "://" in text:
        engine = _connect_chdb(text, mapping) if text.startswith("chdb://") else _connect_url(text, mapping)
    else:
        path = Path(text).expanduser()
        if not path.exists():
            raise SourceError(_no_such_source(path))
        engine = _connect_folder(path, mapping) if path.is_dir() else _connect_duckdb_file(path, mapping)
    if not engine.tables:
        raise SourceError(
            f"{engine.name}: holds no table of the contract. Expected at least one of {', '.join(TABLES)} "
            f"as NAME.parquet, NAME.csv or a table of that name; other names go into a mapping (data/README.md)."
            + _stray_words(engine.strays)
        )
    return engine


def _stray_words(strays: tuple[str, ...]) -> str:
    return f" Found: {', '.join(strays[:10])}." if strays else ""


def _no_such_source(path: Path) -> str:
    siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    return (
        f'source "{path.name}": there is no such folder or file{nearest(path.name, siblings, ".")} '
        "Give a folder of Parquet or CSV files, a DuckDB file or a database URL; "
        "`workbench sample DIR` makes a shop to try."
    )


# -- DuckDB ------------------------------------------------------------------------------------------------


def _duckdb(path: Path | None = None) -> Any:
    spill = tempfile.mkdtemp(prefix="workbench-spill-")
    atexit.register(shutil.rmtree, spill, ignore_errors=True)
    options = {
        "memory_limit": os.environ.get(MEMORY_LIMIT, DEFAULT_MEMORY_LIMIT),
        "temp_directory": spill,
        "preserve_insertion_order": False,
        "TimeZone": "UTC",
        "enable_progress_bar": False,  # in notebooks DuckDB leaves a black bar below the cell
    }
    backend = ibis.duckdb.connect(str(path), read_only=True) if path else ibis.duckdb.connect()
    for name, value in options.items():
        backend.raw_sql(f"SET {name} = '{value}'")
    return backend


def _connect_duckdb_file(path: Path, mapping: Mapping) -> Engine:
    import duckdb

    if path.suffix in {".csv", ".parquet", ".gz"}:
        raise SourceError(
            f'source "{path.name}": is a single file. Give the folder that holds it: each table of the contract '
            "is one file named after it, such as events.parquet."
        )
    try:
        backend = _duckdb(path)
    except (duckdb.IOException, duckdb.CatalogException) as error:
        raise SourceError(f'source "{path.name}": cannot be opened as a DuckDB file: {_first_line(error)}') from None
    return _from_database(backend, "duckdb", path.name, mapping, files={"database": (path,)})


def _connect_folder(folder: Path, mapping: Mapping) -> Engine:
    backend = _duckdb()
    tables, texts, files, wanted = {}, set(), {}, set()
    no_nulls: set[tuple[str, str]] = set()
    no_blanks: set[tuple[str, str]] = set()
    for name in TABLES:
        source_name = mapping.table(name).source or name
        wanted.add(source_name)
        found = table_files(folder, source_name)
        if not found:
            continue
        files[name] = tuple(found)
        if found[0].suffix == ".parquet":
            tables[name] = _read_parquet(backend, found, name)
            _note_settled(name, found, no_nulls, no_blanks)
        else:
            tables[name] = _read_csv(backend, found, name, mapping.encoding)
            texts.add(name)
    strays = stray_files(folder, wanted)
    _refuse_unknown_sources(folder.name, mapping, tables, strays)
    return Engine(
        backend,
        "duckdb",
        tables,
        frozenset(texts),
        folder.name,
        files,
        strays,
        without_nulls=frozenset(no_nulls),
        without_blanks=frozenset(no_blanks),
    )


def _note_settled(
    name: str, files: Sequence[Path], no_nulls: set[tuple[str, str]], no_blanks: set[tuple[str, str]]
) -> None:
    nulls, blanks = settled_columns(files)
    no_nulls |= {(name, column) for column in nulls}
    no_blanks |= {(name, column) for column in blanks}


def _refuse_unknown_sources(
    name: str, mapping: Mapping, tables: MappingOf[str, ir.Table], there: Sequence[str]
) -> None:
    """Refuse a mapping that reads a table from a file that is not there: a typo must not lose a table."""
    for table, mapped in mapping.tables.items():
        if mapped.source and table not in tables:
            hint = nearest(mapped.source, [one.split(".")[0] for one in there], ".")
            raise SourceError(
                f'{name}: the mapping reads {table} from "{mapped.source}", which is not there{hint} '
                f"There are: {', '.join(there) or 'no other files'}. Correct the mapping."
            )


def _read_parquet(backend: Any, files: list[Path], name: str) -> ibis.Table:
    import duckdb
    import pyarrow.lib
    import pyarrow.parquet

    try:
        refuse_case_twins(name, files[0], pyarrow.parquet.read_schema(files[0]).names)
        return backend.read_parquet([str(one) for one in files], table_name=f"source_{name}", union_by_name=True)
    except (duckdb.Error, pyarrow.lib.ArrowException) as error:
        raise SourceError(f"{name}: {files[0].name} cannot be read as Parquet: {_first_line(error)}") from None


def _read_csv(backend: Any, files: list[Path], name: str, encoding: str | None) -> ibis.Table:
    import duckdb

    for file in files:
        if file.stat().st_size == 0:
            raise SourceError(f"{name}: {file.name} is empty, without even a header. Write the column names first.")
    readable = [as_utf8(file, name, encoding) for file in files]
    header = csv_header(readable[0])
    refuse_case_twins(name, files[0], header)
    for file, other in zip(files[1:], readable[1:], strict=True):
        if csv_header(other) != header:
            raise SourceError(f"{name}: {file.name} has other columns than {files[0].name}. Parts need one header.")
    try:
        return backend.read_csv(
            [str(one) for one in readable],
            table_name=f"source_{name}",
            columns=dict.fromkeys(header, "VARCHAR"),
            auto_detect=False,
            header=True,
            delim=csv_delimiter(readable[0]),
            quote='"',
            escape='"',
        )
    except duckdb.Error as error:
        raise SourceError(f"{name}: {files[0].name} cannot be read as CSV: {csv_fault(str(error))}") from None


# -- databases ---------------------------------------------------------------------------------------------


def _connect_url(url: str, mapping: Mapping) -> Engine:
    if said := why_unreadable(url):
        raise SourceError(f"source: {said}")
    parts = urlsplit(url)
    if parts.password and not VARIABLE.fullmatch(parts.password):
        raise SourceError(
            f"source {parts.scheme}://…: a password stands in the URL. Put it into the environment and write its "
            f"name instead: {parts.scheme}://{parts.username}:${{SHOP_PASSWORD}}@{parts.hostname}/…"
        )
    name = parts.path.strip("/").split("/")[-1] or parts.hostname or parts.scheme
    opened = _with_environment(url)
    try:
        backend = ibis.connect(opened)
    except ImportError as error:
        raise SourceError(
            f"source {parts.scheme}://…/{name}: its driver is not installed ({_first_line(error)}). "
            f'Install it with: pip install "workbench[{parts.scheme}]".'
        ) from None
    except (OSError, ValueError, ibis.common.exceptions.IbisError, *_errors_of_drivers()) as error:
        raise SourceError(f"source {parts.scheme}://…/{name}: cannot be opened ({type(error).__name__}).") from None
    if backend.name == "clickhouse":
        _prepare_clickhouse(backend.con)
    kind: EngineKind = {"duckdb": "duckdb", "clickhouse": "clickhouse"}.get(backend.name, "other")  # type: ignore[assignment]
    return _from_database(backend, kind, name, mapping)


def _errors_of_drivers() -> list[type[Exception]]:
    """What drivers raise of their own kind when a server is away; it names the host, and the user at times."""
    known = [("clickhouse_connect.driver.exceptions", "ClickHouseError"), ("psycopg", "Error"), ("duckdb", "Error")]
    return [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]


def _with_environment(url: str) -> str:
    parts = urlsplit(url)
    if not parts.password:
        return url
    variable = parts.password.strip("${}")
    if variable not in os.environ:
        raise SourceError(f"source {parts.scheme}://…: the environment variable {variable} of its password is not set.")
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{quote(os.environ[variable], safe='')}@{host}"))


def _connect_chdb(url: str, mapping: Mapping) -> Engine:
    folder = Path(url.removeprefix("chdb://")).expanduser()
    if not folder.is_dir():
        raise SourceError(_no_such_source(folder))
    try:
        import clickhouse_connect

        client = clickhouse_connect.get_client(interface="chdb")
    except ImportError as error:
        raise SourceError(
            f'source chdb://…/{folder.name}: {_first_line(error)}. Install it with: pip install "workbench[engines-test]".'
        ) from None
    _prepare_clickhouse(client)
    backend = ibis.clickhouse.from_connection(client)
    tables, files, zoneless = {}, {}, set()
    no_nulls: set[tuple[str, str]] = set()
    no_blanks: set[tuple[str, str]] = set()
    for name in TABLES:
        source_name = mapping.table(name).source or name
        found = table_files(folder, source_name)
        if not found:
            continue
        if found[0].suffix != ".parquet":
            raise SourceError(
                f"{folder.name}: {found[0].name} is CSV; chdb:// reads Parquet. Open the folder without chdb://."
            )
        pattern = str(found[0]) if len(found) == 1 else str(folder / source_name / "**.parquet")
        view = f"source_{next(_VIEW_NUMBERS)}_{name}"
        client.command(f"CREATE VIEW {view} AS SELECT * FROM file('{pattern}', Parquet)")
        tables[name] = backend.table(view)
        files[name] = tuple(found)
        zoneless |= {(name, column) for column in zoneless_columns(found[0])}
        _note_settled(name, found, no_nulls, no_blanks)
    _refuse_unknown_sources(folder.name, mapping, tables, [one.name for one in folder.iterdir()])
    return Engine(
        backend,
        "clickhouse",
        tables,
        frozenset(),
        folder.name,
        files,
        zoneless=frozenset(zoneless),
        without_nulls=frozenset(no_nulls),
        without_blanks=frozenset(no_blanks),
    )


_VIEW_NUMBERS = itertools.count(1)
"""All sources opened with ClickHouse in this process share one database; numbers keep their views apart, and rows."""


def _prepare_clickhouse(client: Any) -> None:
    """Make ClickHouse join and tell times as the other engines do: nulls where nothing matches, and UTC."""
    client.set_client_setting("join_use_nulls", 1)
    client.set_client_setting("session_timezone", "UTC")


def _from_database(
    backend: Any, kind: EngineKind, name: str, mapping: Mapping, files: MappingOf[str, tuple[Path, ...]] | None = None
) -> Engine:
    present = set(backend.list_tables())
    tables, wanted = {}, set()
    for table in TABLES:
        source_name = mapping.table(table).source or table
        wanted.add(source_name)
        if source_name in present:
            tables[table] = backend.table(source_name)
        elif mapping.table(table).source:
            raise SourceError(
                f'{name}: has no table "{source_name}"{nearest(source_name, present, ".")} Correct the mapping.'
            )
    return Engine(backend, kind, tables, frozenset(), name, files or {}, tuple(sorted(present - wanted)))


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
