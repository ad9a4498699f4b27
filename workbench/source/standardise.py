"""Bring one table of a source to the contract: names, types, times, missing columns. Lazy; done once, here."""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir

from workbench.contract import TABLES, Column, Table
from workbench.errors import nearest
from workbench.period import utc_offsets
from workbench.source.engine import Engine
from workbench.source.faults import Fault
from workbench.source.mapping import Mapping, TableMapping

RAW = "raw__"
"""Prefix under which the text of a converted column stays until it has been checked."""

_EPOCH_MS: dict[str | None, float] = {"epoch_s": 1000, "epoch_ms": 1, "epoch_us": 0.001}
_OFFSET = r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_WANTED = {
    "time": ("a time such as 2026-03-01 10:00:00 or 2026-03-01T10:00:00+08:00", "时间（如 2026-03-01 10:00:00）"),
    "date": ("a day such as 2026-03-01", "日期（如 2026-03-01）"),
    "integer": ("a whole number", "整数"),
    "amount": ("a number such as 1234.50", "数字（如 1234.50）"),
    "rate": ("a number between 0 and 1", "0 到 1 之间的数字"),
    "id": ("text or a whole number", "文本或整数"),
    "text": ("text", "文本"),
}


@ibis.udf.scalar.builtin(name="try_strptime")
def _try_strptime(text: str, format: str) -> ibis.expr.datatypes.timestamp: ...


@dataclass(frozen=True)
class Standardised:
    """A table on the contract's names, and what was found on the way.

    ``table`` still has the ``raw__`` text of converted columns; ``present`` are the contract columns that the
    source really has; ``filled`` those of them that are known to hold a value in every row.
    """

    table: ir.Table
    present: frozenset[str]
    faults: tuple[Fault, ...] = field(default=())
    filled: frozenset[str] = frozenset()


def standardise(engine: Engine, name: str, mapping: Mapping, id_types: MappingOf[str, str]) -> Standardised:
    """Bring the table ``name`` to the contract.

    Parameters
    ----------
    engine, mapping
        The open source and how it is read.
    name
        A table of the contract that the source has.
    id_types
        Column name to ``string`` or ``int64``: ids that join must have one type everywhere.
    """
    contract, mapped, raw = TABLES[name], mapping.table(name), engine.tables[name]
    raw, sources, faults = _named(raw, contract, mapped)
    columns: dict[str, ir.Value] = {}
    for column in contract.columns.values():
        if column.name not in sources:
            columns[column.name] = _absent(column, id_types)
            continue
        value = raw[sources[column.name]]
        if column.name in mapped.values:
            pairs = list(mapped.values[column.name].items())
            text = value.cast("string")
            value = text.cases(*pairs, else_=text)
        converted, found = _converted(engine, contract, column, value, mapping, id_types)
        faults += found
        columns[column.name] = converted
        if value.type().is_string() and column.type not in ("id", "text") and name not in engine.text_tables:
            faults.append(
                _fault(
                    "read_from_text",
                    contract,
                    column.name,
                    "is text in a source with types; it was read as a " + column.type + ". Write it with its type.",
                    "在带类型的数据源中为文本，已按类型读取；请以正确类型保存。",
                    "warned",
                )
            )
        if value.type().is_string() and column.type not in ("id", "text"):
            columns[RAW + column.name] = value
        if value.type().is_floating() and column.type == "id":
            columns[RAW + column.name] = value
    extras = [one for one in raw.columns if one not in sources.values() and one not in contract.columns]
    table = raw.select(**columns, **{extra: raw[extra] for extra in extras})
    table = table.mutate(**_instants(engine, table, contract))
    return Standardised(table, frozenset(sources), tuple(faults), _filled(engine, contract, mapped, raw, sources))


def _filled(
    engine: Engine, contract: Table, mapped: TableMapping, raw: ir.Table, sources: MappingOf[str, str]
) -> frozenset[str]:
    """Columns whose every row holds a value: nothing is null, and what is read as it is stays so."""
    found = set()
    for name, source in sources.items():
        type_, place = raw[source].type(), (contract.name, source)
        is_text = type_.is_string() and contract.columns[name].type in ("id", "text")
        as_it_is = type_.is_timestamp() or type_.is_integer() or (is_text and place in engine.without_blanks)
        if as_it_is and place in engine.without_nulls and name not in mapped.values and name not in mapped.formats:
            found.add(name)
    return frozenset(found)


def id_types(engine: Engine, mapping: Mapping) -> dict[str, str]:
    """Decide for each id column whether it is text or a whole number: whole only if it is so in every table."""
    seen: dict[str, set[str]] = {}
    for name, raw in engine.tables.items():
        for column in TABLES[name].column_names("id"):
            source = mapping.table(name).columns.get(column, column)
            if source in raw.columns:
                type_ = raw[source].type()
                whole = (type_.is_integer() or type_.is_floating()) and column not in mapping.table(name).values
                seen.setdefault("user_id" if column == "inviter_id" else column, set()).add(
                    "int64" if whole else "string"
                )
    types = {column: "int64" if kinds == {"int64"} else "string" for column, kinds in seen.items()}
    return types | {"inviter_id": types.get("user_id", "string")}


def _named(raw: ir.Table, contract: Table, mapped: TableMapping) -> tuple[ir.Table, dict[str, str], list[Fault]]:
    """Find the source column of each contract column; complain of what is missing or nearly there."""
    faults = []
    sources = {}
    for column in contract.columns.values():
        source = mapped.columns.get(column.name, column.name)
        if source in raw.columns:
            sources[column.name] = source
        elif column.name in mapped.columns:
            hint = nearest(source, raw.columns, ".")
            faults.append(
                _fault(
                    "missing_column",
                    contract,
                    column.name,
                    f'the mapping reads it from "{source}", which the source does not have{hint}',
                    f"映射指向的列“{source}”在数据源中不存在。",
                )
            )
    unknown = [one for one in raw.columns if one not in sources.values()]
    missing = [
        column
        for column in contract.columns.values()
        if column.name not in sources and column.name not in mapped.columns
    ]
    return raw, sources, faults + _missing(contract, missing, unknown)


def _missing(contract: Table, missing: list[Column], unknown: list[str]) -> list[Fault]:
    """Complain of columns that must be there, and of unknown ones that are nearly an optional column."""
    faults = []
    names = [column.name for column in missing]
    meant = {}
    for one in unknown:
        hint = "" if one in contract.columns else nearest(one, names)
        if hint:
            meant[hint.split('"')[1]] = one
    for column in missing:
        other = meant.get(column.name)
        if column.need != "optional":
            hint = f', did you mean "{other}"?' if other else "."
            faults.append(
                _fault(
                    "missing_column",
                    contract,
                    column.name,
                    f"the column is missing ({column.meaning}){hint} Add it, or name its source in the mapping.",
                    f"缺少该列{f'，是否为“{other}”？' if other else '。'}请补上，或在映射中指明来源列。",
                )
            )
        elif other:
            faults.append(
                _fault(
                    "near_miss",
                    contract,
                    other,
                    f'the column is not in the contract and is not read; if it is "{column.name}", rename or map it.',
                    f"该列不在约定中，未读取；如果它是“{column.name}”，请改名或映射。",
                    "warned",
                )
            )
    return faults


def _fault(rule: str, contract: Table, column: str, en: str, zh: str, level: str = "refused", count: int = 0) -> Fault:
    return Fault(rule, contract.name, column, level, count, en, zh)  # type: ignore[arg-type]


def _absent(column: Column, types: MappingOf[str, str]) -> ir.Value:
    if column.type == "amount" and column.name not in ("face_value", "min_spend", "discount_amount"):
        return ibis.literal(0.0, type="float64")
    kinds = {
        "id": types.get(column.name, "string"),
        "text": "string",
        "time": "timestamp",
        "date": "date",
        "integer": "int64",
    }
    return ibis.null(kinds.get(column.type, "float64"))


def _converted(
    engine: Engine, contract: Table, column: Column, value: ir.Value, mapping: Mapping, types: MappingOf[str, str]
) -> tuple[ir.Value, list[Fault]]:
    """Convert one column to its contract type."""
    mapped = mapping.table(contract.name)
    type_ = value.type()
    source = mapped.columns.get(column.name, column.name)
    is_filled = (contract.name, source) in engine.without_blanks and column.name not in mapped.values
    if column.type == "id":
        value = _trimmed(engine, contract, value, is_id=True)
        return _identifier(value, types.get(column.name, "string"), is_filled), []
    if column.type == "text":
        value = _trimmed(engine, contract, value).cast("string")
        return (value if is_filled else value.nullif("")), []
    text = type_.is_string()
    format_ = mapped.formats.get(column.name)
    if column.type == "time" and format_ in _EPOCH_MS and (text or type_.is_integer()):
        number = value.try_cast("int64") if text else value.cast("int64")
        return engine.instant((number * _EPOCH_MS[format_]).floor().cast("int64")), []
    if column.type == "time" and (text or type_.is_timestamp() or type_.is_date()):
        return _instant(engine, contract, column, value, mapped, mapping.timezone)
    if column.type == "date" and (text or type_.is_timestamp() or type_.is_date()):
        if text:
            value = _try_strptime(value, format_) if format_ else value.try_cast("timestamp")
        return value.cast("date"), []
    if column.type == "integer" and type_.is_integer():
        return value.cast("int64"), []
    if column.type in ("integer", "amount", "rate") and (text or type_.is_numeric()) and not type_.is_boolean():
        number = value.try_cast("float64") if text else value.cast("float64")
        number = number.isnan().ifelse(ibis.null("float64"), number)
        if (
            column.need == "optional"
            and column.type == "amount"
            and column.name not in ("face_value", "min_spend", "discount_amount", "cost_amount")
        ):
            number = number.fill_null(0.0)
        return (number.round().cast("int64") if column.type == "integer" else number), []
    wanted = _WANTED[column.type]
    fault = _fault(
        "type", contract, column.name, f"is {type_}, wanted is {wanted[0]}.", f"类型为 {type_}，应为{wanted[1]}。"
    )
    return _absent(column, types), [fault]


def _trimmed(engine: Engine, contract: Table, value: ir.Value, *, is_id: bool = False) -> ir.Value:
    """Take blanks off text of CSV files, and the ``.0`` off ids: pandas writes whole numbers with gaps as ``7.0``."""
    if contract.name not in engine.text_tables or not value.type().is_string():
        return value
    value = value.strip()
    return value.re_replace(r"^([0-9]+)\.0$", r"\1") if is_id else value


def _identifier(value: ir.Value, wanted: str, is_filled: bool) -> ir.Value:
    if value.type().is_floating():
        value = value.isnan().ifelse(ibis.null(value.type()), value).cast("int64")
    if wanted == "int64":
        return value.cast("int64")
    value = value.cast("string")
    return value if is_filled else value.nullif("")


def _instant(
    engine: Engine, contract: Table, column: Column, value: ir.Value, mapped: TableMapping, timezone: str | None
) -> tuple[ir.Value, list[Fault]]:
    """Turn times into UTC timestamps; times without a zone are read in ``timezone`` (UTC with a warning if None)."""
    type_, format_ = value.type(), mapped.formats.get(column.name)
    timezone = mapped.timezone or timezone
    zoneless = (contract.name, mapped.columns.get(column.name, column.name)) in engine.zoneless
    if type_.is_timestamp() and type_.timezone is not None and not zoneless:
        return value, []
    if type_.is_string() and not format_:
        value = value.strip().re_replace(r"^(.{10}[T ][0-9]{2}:[0-9]{2})([Zz+-].*)$", r"\1:00\2")
        has_offset = value.re_search(_OFFSET) & (value.length() > 10)
        local = value.try_cast("timestamp")
        zoned = value.try_cast("timestamp('UTC')").cast("timestamp")
        return has_offset.ifelse(zoned, _to_utc(engine, local, timezone)), []
    if type_.is_string():
        value = _try_strptime(value, format_)
    elif type_.is_date():
        value = value.cast("timestamp")
    faults = []
    if timezone is None:
        faults.append(
            _fault(
                "no_timezone",
                contract,
                column.name,
                "times carry no time zone and are read as UTC; name the zone in the mapping (timezone: Asia/Shanghai).",
                "时间不带时区，按 UTC 读取；请在映射中写明时区（timezone: Asia/Shanghai）。",
                "warned",
            )
        )
    return _to_utc(engine, value, timezone), faults


def _to_utc(engine: Engine, local: ir.TimestampValue, timezone: str | None) -> ir.TimestampValue:
    """Shift wall-clock times of a zone to UTC; where clocks go back, the earlier of the two instants."""
    if timezone in (None, "UTC"):
        return local
    milliseconds = engine.milliseconds(local)
    table = milliseconds.name("ms").as_table()
    reach = engine.collect(table.aggregate(low=table.ms.min(), high=table.ms.max()))
    if reach["low"].isna().any():
        return local
    low, high = reach["low"].item(), reach["high"].item()
    day = 86_400_000
    changes = utc_offsets(int(low) - day, int(high) + day, str(timezone))
    shift = ibis.literal(changes[0][1], type="int64")
    for (start, offset), (_, before) in zip(changes[1:], changes, strict=False):
        shift = (milliseconds >= start + max(offset, before)).ifelse(offset, shift)
    return engine.instant(milliseconds - shift)


def _instants(engine: Engine, table: ir.Table, contract: Table) -> dict[str, ir.Value]:
    """Each time also as whole UTC milliseconds, ``event_at`` as ``event_ms``: numbers order alike on every engine."""
    return {ms_name(name): engine.milliseconds(table[name]) for name in contract.column_names("time")}


def ms_name(column: str) -> str:
    """Name of the milliseconds beside a time: ``event_at`` has ``event_ms``."""
    return column.removesuffix("_at") + "_ms"


def wanted_words(type_: str) -> tuple[str, str]:
    """What a column of this type should hold, in English and Chinese."""
    return _WANTED[type_]


OFFSET_PATTERN = _OFFSET
