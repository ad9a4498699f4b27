"""Check a shop against the contract and reconcile its tables with each other.

All counting happens in the engine: one aggregate a table for the rules about single rows, one grouped query for
each rule that compares rows. Only counts and, for broken rules, up to three keys come back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd

from workbench.contract import TABLES, Table
from workbench.language import Language, say
from workbench.source.engine import Engine
from workbench.source.faults import MOST_KEYS, Fault
from workbench.source.reconciliation import Reconciliation, reconciliations
from workbench.source.rules import RowRule, row_rules
from workbench.source.standardise import RAW, Standardised


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes
    ----------
    name
        The source.
    faults, warnings
        Refused and warned faults, with keys.
    contents
        One row per table: table, row_count, first_at, last_at.
    strays
        Files or tables of the source that are not read.
    """

    name: str
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    contents: pd.DataFrame
    strays: tuple[str, ...] = ()

    def text(self, lang: Language = "en") -> str:
        """The whole answer for a terminal, keys included."""
        lines = [say(lang, f"{self.name} (days in UTC)", f"{self.name}（日期为 UTC）")]
        for row in self.contents.to_dict("records"):
            reach = "" if pd.isna(row["first_at"]) else f"  {row['first_at']:%Y-%m-%d} – {row['last_at']:%Y-%m-%d}"
            lines.append(f"  {row['table']:<24}{row['row_count']:>12,}{reach}")
        absent = [name for name in TABLES if name not in set(self.contents["table"])]
        if absent:
            lines.append(say(lang, "  not there: ", "  没有：") + ", ".join(absent))
        if self.strays:
            lines.append(say(lang, "  not read: ", "  未读取：") + ", ".join(self.strays))
        for title, found in (
            (say(lang, "refused", "拒绝"), self.faults),
            (say(lang, "warned", "警告"), self.warnings),
        ):
            lines.append(f"{title}: {len(found)}")
            lines += [f"  - {fault.text(lang)}" for fault in found]
        return "\n".join(lines)


def check_source(source: str | Path, mapping: str | Path | None = None) -> CheckReport:
    """Open a source, check everything, and report all faults at once.

    Raises
    ------
    SourceError
        If the source or the mapping cannot be opened at all.
    """
    from workbench.source.shop import read_shop

    shop, faults = read_shop(source, mapping, with_keys=True)
    return CheckReport(
        name=shop.name,
        faults=tuple(fault for fault in faults if fault.level == "refused"),
        warnings=tuple(fault for fault in faults if fault.level == "warned"),
        contents=shop.contents(),
        strays=shop.engine.strays,
    )


def check_tables(
    engine: Engine, standard: Mapping[str, Standardised], zone_known: Mapping[str, frozenset[str]], *, with_keys: bool
) -> tuple[list[Fault], dict[str, dict[str, int]]]:
    """Check standardised tables (which still carry their ``raw__`` columns).

    Parameters
    ----------
    engine
        Runs the counting queries.
    standard
        Standardised tables by name. A column that the source lacks breaks no further rule.
    zone_known
        Columns of each table whose times without a zone are settled by the mapping.
    with_keys
        Whether to fetch up to three keys of each broken rule.

    Returns
    -------
    faults, reach
        All faults, and per table ``row_count``, ``first_ms``, ``last_ms`` of its main time.
    """
    faults: list[Fault] = []
    reach: dict[str, dict[str, int]] = {}
    for name, (table, present) in ((name, (one.table, one.present)) for name, one in standard.items()):
        rules = [
            rule for rule in row_rules(TABLES[name], table, zone_known[name]) if _applies(TABLES[name], rule, present)
        ]
        counts = _count(engine, name, table, rules)
        reach[name] = {key: counts.pop(key) for key in ("row_count", "first_ms", "last_ms") if key in counts}
        if reach[name]["row_count"] == 0:
            faults.append(_empty(name))
            continue
        for number, rule in enumerate(rules):
            if counts[f"rule_{number}"]:
                fault = Fault(rule.rule, name, rule.column, rule.level, counts[f"rule_{number}"], rule.en, rule.zh)
                faults.append(fault.with_keys(_keys(engine, name, table, rule)) if with_keys else fault)
        if _usable_key(TABLES[name], present):
            faults += _duplicates(engine, TABLES[name], table, with_keys)
    unread = {fault.table for one in standard.values() for fault in one.faults if _is_refused(fault)}
    unread |= {fault.table for fault in faults if fault.rule == "type"}
    sound = {name: one.table for name, one in standard.items() if name not in unread}
    for found in reconciliations(sound, engine.row_hash):
        faults += _reconcile(engine, found, with_keys)
    faults = _merge_mixed_zones(faults)
    return sorted(faults, key=lambda one: (one.level != "refused", list(TABLES).index(one.table), one.rule)), reach


def _applies(contract: Table, rule: RowRule, present: frozenset[str]) -> bool:
    """A rule about a column that must be there and is not would only repeat that."""
    return rule.column in present or contract.columns[rule.column].need == "optional"


def _is_refused(fault: Fault) -> bool:
    return fault.level == "refused"


def _usable_key(contract: Table, present: frozenset[str]) -> bool:
    """Whether all columns of the key that must be there are there."""
    return all(name in present for name in contract.key if contract.columns[name].need != "optional")


TIMES = {
    "events": ("event_ms",),
    "orders": ("submitted_ms", "paid_ms"),
    "users": ("first_seen_ms",),
    "coupon_grants": ("granted_ms",),
    "experiment_assignments": ("assigned_ms",),
}
"""The times that say when a row of the table came about."""


def _count(engine: Engine, name: str, table: ir.Table, rules: list[RowRule]) -> dict[str, int]:
    wanted = {f"rule_{number}": rule.broken.fill_null(False).cast("int64").sum() for number, rule in enumerate(rules)}
    wanted["row_count"] = table.count()
    for number, column in enumerate(TIMES.get(name, ())):
        wanted |= {f"first_{number}": table[column].min(), f"last_{number}": table[column].max()}
    row = engine.collect(table.aggregate(**wanted)).iloc[0].dropna()
    counts = {key: 0 for key in wanted if not key.startswith(("first_", "last_"))}
    counts |= {str(key): int(value) for key, value in row.items() if key in counts}
    firsts = [int(value) for key, value in row.items() if str(key).startswith("first_")]
    lasts = [int(value) for key, value in row.items() if str(key).startswith("last_")]
    return counts | ({"first_ms": min(firsts), "last_ms": max(lasts)} if firsts else {})


def _empty(name: str) -> Fault:
    return Fault("empty_table", name, "", "warned", 0, "the table is there but has no rows.", "表存在但没有数据行。")


def _key_text(name: str, table: ir.Table) -> ir.StringValue:
    columns = TABLES[name].key or ("user_id", "event_at", "event")
    text = table[columns[0]].cast("string").fill_null("null")
    for column in columns[1:]:
        text = text + " / " + table[column].cast("string").fill_null("null")
    return text


def _keys(engine: Engine, name: str, table: ir.Table, rule: RowRule) -> list[str]:
    """Up to three keys; where a value could not be read, with what stands there."""
    key = _key_text(name, table)
    if rule.rule == "type":
        key = key + ' "' + table[RAW + rule.column].cast("string") + '"'
    chosen = table.filter(rule.broken.fill_null(False)).select(key=key).distinct()
    return engine.collect(chosen.order_by("key").limit(MOST_KEYS))["key"].tolist()


def _merge_mixed_zones(faults: list[Fault]) -> list[Fault]:
    """Refuse a column in which some times carry an offset and others do not; forget the helper count."""
    given = {(one.table, one.column): one.count for one in faults if one.rule == "zone_given"}
    merged = []
    for fault in faults:
        if fault.rule == "zone_given":
            continue
        offsets = given.get((fault.table, fault.column), 0)
        if fault.rule == "no_timezone" and offsets:
            fault = Fault(
                "mixed_timezones",
                fault.table,
                fault.column,
                "refused",
                fault.count,
                f"no time zone, while {offsets:,} other rows carry one; name the zone of the rest in the mapping "
                "(timezone: Asia/Shanghai) or write all times with their offset.",
                f"不带时区，而另有 {offsets:,} 行带时区；请在映射中写明其余行的时区，或统一写出偏移量。",
                fault.keys,
            )
        merged.append(fault)
    return merged


def _duplicates(engine: Engine, contract: Table, table: ir.Table, with_keys: bool) -> list[Fault]:
    if not contract.key:
        return _repeated_rows(engine, contract, table)
    grouped = table.group_by(list(contract.key)).aggregate(times=ibis._.count()).filter(ibis._.times > 1)
    row = engine.collect(grouped.aggregate(rows=grouped.times.sum(), keys=grouped.count())).iloc[0]
    if not row["keys"]:
        return []
    fault = Fault(
        "duplicate_key",
        contract.name,
        " + ".join(contract.key),
        "refused",
        int(row["rows"]),
        f"share {int(row['keys']):,} keys that should be unique; keep one row for each.",
        f"共有 {int(row['keys']):,} 个重复主键，每个主键只能有一行。",
    )
    if not with_keys:
        return [fault]
    text = grouped.select(key=_key_text(contract.name, grouped)).order_by("key").limit(MOST_KEYS)
    return [fault.with_keys(engine.collect(text)["key"])]


def _repeated_rows(engine: Engine, contract: Table, table: ir.Table) -> list[Fault]:
    """Events that repeat another one in every column of the contract: counted, kept."""
    columns = [name for name in contract.columns if not table[name].type().is_null()]
    hashed = table.select(row_hash=engine.row_hash([table[name] for name in columns]))
    row = engine.collect(hashed.aggregate(total=hashed.count(), different=hashed.row_hash.nunique())).iloc[0]
    repeated = int(row["total"] - row["different"])
    if not repeated:
        return []
    en = "repeat another event in every column; they are counted as often as they stand there. Drop repeats that an export made."
    zh = "与另一事件逐列相同，按出现次数计数；若由导出造成，请去重。"
    return [Fault("repeated_event", contract.name, "", "warned", repeated, en, zh)]


def _reconcile(engine: Engine, found: Reconciliation, with_keys: bool) -> list[Fault]:
    counted = engine.collect(found.broken.aggregate(rows=found.broken.count()))["rows"].item()
    if not counted:
        return []
    fault = Fault(found.rule, found.table, found.column, found.level, int(counted), found.en, found.zh)
    if not with_keys:
        return [fault]
    keys = found.broken.select(key=found.broken[found.key].cast("string")).distinct().order_by("key").limit(MOST_KEYS)
    return [fault.with_keys(engine.collect(keys)["key"])]
