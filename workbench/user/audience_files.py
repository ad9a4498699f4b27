"""Audiences as files: written whole or not at all, with a manifest beside them, and read back with every doubt told."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import ibis.expr.types as ir
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ParameterError, TableError
from workbench.language import Language, say
from workbench.metrics.audiences import AUDIENCE, CONTROL, activity, arm, known_users, matched
from workbench.period import local_date, parse_date, start_of_day_ms, zone
from workbench.source.shop import Shop
from workbench.user.audience import ALL, FILE_COLUMNS, Audiences

FORMATS = (".csv", ".parquet")
UNKNOWN_LIMIT = 0.01
"""A file of whose users the shop does not know more than this part is another shop's."""
ABSENT_LIMIT = 0.1
"""A file of whose users more than this part did nothing in the days by which they were chosen is a namesake's."""
_PACKAGES = ("workbench", "duckdb", "ibis-framework")
_FORMAT = "workbench audience 1"


class _Told(BaseModel):
    """What a manifest says of one audience."""

    model_config = ConfigDict(strict=True)
    user_count: int = Field(ge=0)
    control_share: float = Field(gt=0, lt=1)
    control_seed: int
    start_date: str


class _Manifest(BaseModel):
    """What is read of a manifest; it tells more."""

    model_config = ConfigDict(strict=True)
    format: Literal["workbench audience 1"]
    file: str
    file_hash: str
    created_at: str
    shop: str
    timezone: str
    window_start_date: str
    window_last_date: str
    population_count: int
    audiences: dict[str, _Told]


@dataclass(frozen=True)
class AudienceFile:
    """A file of audiences, checked against a shop.

    Attributes
    ----------
    manifest
        What was written beside it.
    rows
        Lazy: ``FILE_COLUMNS`` of the users that the shop knows, user_id as the shop writes it.
    row_count, unknown_count
        Rows of the file, and those of users that the shop does not know.
    is_changed
        Whether the file is no longer what was written, be it in the order of its rows alone.
    altered
        By audience whose users are no longer those that were drawn: how many stand in another arm, and how many more (or,
        below 0, fewer) there are. An audience that is as it was drawn is not in it.
    """

    manifest: Mapping[str, Any]
    rows: ir.Table = field(repr=False)
    row_count: int
    unknown_count: int
    is_changed: bool
    altered: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Raises
    ------
    ParameterError
        If the ending is not known, the folder is not there, or the file is there and ``force`` is not given.
    """
    if path.suffix not in FORMATS:
        raise ParameterError(f'--out: "{path.name}" must end in {" or ".join(FORMATS)}; that decides the format.')
    if set(path.name) & set("*?[]{}"):
        raise ParameterError(
            f'--out: "{path.name}" holds one of * ? [ ] {{ }}, by which engines look for files. Leave it out.'
        )
    if not path.parent.is_dir():
        raise ParameterError(f'--out: there is no folder "{path.parent}". Make it first.')
    if path.is_dir():
        raise ParameterError(f'--out: "{path}" is a folder. Name a file such as audience.csv.')
    for one in (path, manifest_path(path)):
        if one.exists() and not force:
            raise ParameterError(
                f'--out: "{one}" is there already. Its control cannot be read once it is overwritten: name another file, or '
                "give --force."
            )


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file stands."""
    return path.with_name(f"{path.name}.manifest.json")


def write_audiences(
    shop: Shop, audiences: Audiences, path: str | Path, *, force: bool = False, now: datetime | None = None
) -> dict[str, Any]:
    """Write who is in each audience and who is held back, and a manifest.

    Parameters
    ----------
    shop
        The shop from which the audiences come.
    audiences
        From ``find_audiences``.
    path
        Ends in ``.csv`` or ``.parquet``; columns are ``FILE_COLUMNS``, one row per audience and user, in their order.
    force
        Overwrite a file that is there.
    now
        When the file is made; None: now.

    Returns
    -------
    dict
        The manifest, as it stands in ``<path>.manifest.json``.

    Raises
    ------
    ParameterError
        As ``check_target``.
    """
    target = Path(path)
    check_target(target, force=force)
    made = now or datetime.now(UTC)
    rows = audiences.rows.select(*FILE_COLUMNS).order_by(["audience", "user_id"])
    drafts = [target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")]
    drafts.append(manifest_path(drafts[0]))
    try:
        shop.engine.write(rows, drafts[0])
        manifest = _manifest(shop, audiences, made, _hash(drafts[0]), target.name)
        text = json.dumps(manifest, ensure_ascii=False, indent=2, allow_nan=False)
        drafts[1].write_text(text + "\n", encoding="utf-8")
        # The rows first: an old manifest beside new rows is told by their hash.
        drafts[0].replace(target)
        drafts[1].replace(manifest_path(target))
    finally:
        for one in drafts:
            one.unlink(missing_ok=True)
    return manifest


def _manifest(shop: Shop, audiences: Audiences, made: datetime, file_hash: str, name: str) -> dict[str, Any]:
    period = audiences.window.period
    here = zone(period.timezone)
    tomorrow = made.astimezone(here).date() + timedelta(days=1)
    told = {}
    for rule in audiences.rules.audiences:
        mine = audiences.summary[audiences.summary["audience"] == rule.name]
        total = mine[mine["segment"] == ALL].iloc[0]
        told[rule.name] = {
            "user_count": int(total["user_count"]),
            "audience_count": int(total["audience_count"]),
            "control_count": int(total["control_count"]),
            "control_share": rule.share,
            "control_seed": rule.seed,
            "start_date": rule.start_date or str(tomorrow),
            "segment": rule.segment,
            "segments": {
                str(row["segment"]): {
                    "audience_count": int(row["audience_count"]),
                    "control_count": int(row["control_count"]),
                }
                for row in mine[mine["segment"] != ALL].to_dict("records")
            },
        }
    return {
        "format": _FORMAT,
        "file": name,
        "file_hash": file_hash,
        "created_at": made.astimezone(UTC).isoformat(timespec="seconds"),
        "shop": shop.name,
        "source_fingerprint": shop.fingerprint,
        "data_last_date": str(period.data_last_date),
        "timezone": period.timezone,
        "window_start_date": str(local_date(audiences.window.start_ms, period.timezone)),
        "window_last_date": str(local_date(audiences.window.end_ms - 1, period.timezone)),
        "population_count": audiences.population_count,
        "columns": list(FILE_COLUMNS),
        "audiences": told,
        "rules_file": audiences.rules.name,
        "rules": audiences.rules.content,
        "versions": _versions(),
    }


def written_words(manifest: Mapping[str, Any], lang: Language) -> str:
    """What was written, one line per audience: counts and shares, never an id."""
    lines = []
    for name, one in manifest["audiences"].items():
        users, addressed, control = (f"{one[key]:,}" for key in ("user_count", "audience_count", "control_count"))
        share, seed, start = f"{one['control_share']:.0%}", one["control_seed"], one["start_date"]
        part = f"{one['user_count'] / manifest['population_count']:.1%}"
        lines.append(
            say(
                lang,
                f"{name}: {users} users, {part} of those from {manifest['window_start_date']} to {manifest['window_last_date']}; "
                f"{addressed} to address from {start} on, {control} held back as control ({share}, seed {seed}).",
                f"{name}：{users} 名用户，占 {manifest['window_start_date']} 至 {manifest['window_last_date']} 用户的 {part}；"
                f"自 {start} 起触达 {addressed} 名，{control} 名留作对照（{share}，种子 {seed}）。",
            )
        )
    return "\n".join(lines)


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def read_audience(path: str | Path, shop: Shop, *, is_same_shop: bool = False) -> AudienceFile:
    """Read a file of audiences back, and check that it is this shop's.

    Parameters
    ----------
    path
        Of ``write_audiences``; its manifest stands beside it.
    shop
        Whose later events and orders are to be read.
    is_same_shop
        The shop is the one of the file, though its folder or database has another name now. Without Python the same is said
        by writing the new name as ``shop`` into the manifest.

    Raises
    ------
    ParameterError
        If file or manifest are missing, or another program's.
    TableError
        If the file is from another shop, or its columns are not those that were written.

    Notes
    -----
    Newer data change nothing: what is compared are the name, the ids, and whether these users were there in the days by
    which they were chosen, since ids from 1 on are found in every shop.
    """
    file = Path(path)
    manifest = _read_manifest(file)
    if manifest["shop"] != shop.name and not is_same_shop:
        raise TableError(
            f'{file.name}: was made from the shop "{manifest["shop"]}", and this one is "{shop.name}". Give the source from which it '
            f'was made; if that has only got a new name, write "shop": "{shop.name}" into {manifest_path(file).name}.'
        )
    columns = _columns(file)
    missing = [one for one in FILE_COLUMNS if one not in columns]
    if missing:
        raise TableError(
            f"{file.name}: has the columns {', '.join(columns)}, and {', '.join(missing)} is missing. Give the file as it was written."
        )
    rows = shop.engine.file_rows(file, columns).select(*FILE_COLUMNS)
    known = shop.hold("known_users", known_users(shop.tables))
    found = shop.hold("audience_file", matched(rows, known))
    is_ours = rows.audience.isin(list(manifest["audiences"])) & rows.arm.isin([AUDIENCE, CONTROL])
    counted = shop.collect(
        rows.aggregate(rows=rows.count(), strange=(~is_ours).fill_null(True).cast("int64").sum().fill_null(0))
    ).iloc[0]
    there = int(counted["rows"])
    if int(counted["strange"]):
        raise TableError(
            f"{file.name}: {int(counted['strange']):,} rows name another audience than {', '.join(manifest['audiences'])} or another arm "
            f"than {AUDIENCE} and {CONTROL}. Give the file as it was written."
        )
    unknown = there - int(shop.collect(found.aggregate(rows=found.count()))["rows"].iloc[0])
    if not there or unknown > UNKNOWN_LIMIT * there:
        raise TableError(
            f"{file.name}: {unknown:,} of its {there:,} users are not known to {shop.name}. The file is from another shop, or the "
            "source no longer holds the users of that time. Give the source from which it was made, with all its users."
        )
    if not is_same_shop:
        _check_presence(shop, file, manifest, found)
    altered = _altered(shop, manifest, rows)
    return AudienceFile(manifest, found, there, unknown, _hash(file) != manifest["file_hash"], altered)


def _altered(shop: Shop, manifest: Mapping[str, Any], rows: ir.Table) -> dict[str, tuple[int, int]]:
    """Draw every user anew: who stands elsewhere, and how many came or went."""
    found = {}
    for name, told in manifest["audiences"].items():
        mine = rows.filter(rows.audience == name)
        as_drawn = arm(mine.user_id, told["control_share"], told["control_seed"], shop.engine.user_bucket)
        counted = shop.collect(
            mine.aggregate(users=mine.count(), moved=(mine.arm != as_drawn).cast("int64").sum().fill_null(0))
        ).iloc[0]
        moved, more = int(counted["moved"]), int(counted["users"]) - told["user_count"]
        if moved or more:
            found[name] = (moved, more)
    return found


def _check_presence(shop: Shop, file: Path, manifest: Mapping[str, Any], rows: ir.Table) -> None:
    """Refuse users who were not there in the days by which they were chosen, as far as the shop still has these days."""
    first, last = (parse_date(manifest.get(name), name) for name in ("window_start_date", "window_last_date"))
    timezone = str(manifest["timezone"])
    if first is None or last is None or local_date(shop.period(None, None, timezone).data_start_ms, timezone) > first:
        return
    start_ms, end_ms = (start_of_day_ms(day, timezone) for day in (first, last + timedelta(days=1)))
    users = rows.select("user_id").distinct()
    seen = activity(shop.tables, start_ms, end_ms).select("user_id").distinct()
    there, present = (
        int(shop.collect(one.aggregate(users=one.count()))["users"].iloc[0])
        for one in (users, users.semi_join(seen, "user_id"))
    )
    if there - present > ABSENT_LIMIT * there:
        raise TableError(
            f"{file.name}: {there - present:,} of its {there:,} users did nothing in {shop.name} from {first} to {last}, the "
            "days by which they were chosen. The file is from another shop of that name. Give the source from which it was "
            "made; if those days were since taken out of it, read the file with is_same_shop=True (docs/audiences.md)."
        )


def _read_manifest(file: Path) -> dict[str, Any]:
    beside = manifest_path(file)
    for one in (file, beside):
        if not one.is_file():
            raise ParameterError(
                f'audience: there is no file "{one}". A file of audiences and its manifest stand beside each other; '
                "`workbench audience` writes both."
            )
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ParameterError(
            f"audience: {beside.name} is not a manifest of `workbench audience`. Give the one written with the file."
        )
    try:
        _Manifest.model_validate(found)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()]
        raise ParameterError(
            f"audience: {beside.name} has been changed: {'; '.join(faults)}. Give the one written with the file."
        ) from None
    return found


def _columns(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        import pyarrow.lib
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_schema(file).names)
        except pyarrow.lib.ArrowException:
            raise TableError(f"{file.name}: cannot be read as Parquet. Give the file as it was written.") from None
    try:
        with file.open(encoding="utf-8-sig") as stream:
            while stream.read(1 << 22):
                pass
    except UnicodeDecodeError:
        raise TableError(
            f"{file.name}: is not UTF-8; a spreadsheet has saved it anew, perhaps as GBK. Give the file as it was written."
        ) from None
    with file.open(encoding="utf-8-sig") as stream:
        header = stream.readline().strip()
    if "," not in header and ";" in header:
        raise TableError(
            f"{file.name}: its columns stand apart by ;, not by commas; a spreadsheet has saved it anew. Give the file as it was "
            "written."
        )
    return [one.strip().strip('"') for one in header.split(",")]
