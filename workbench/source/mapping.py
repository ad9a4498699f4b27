"""Mappings: a YAML file that says how a source's tables, columns, values and times become the contract's."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workbench.contract import TABLES
from workbench.errors import ParameterError, SourceError, nearest
from workbench.period import zone

SHOP_FILE = "mapping.yml"
"""A folder that holds a file of this name is read through it when no other mapping is given."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableMapping(_Strict):
    """How one table of the source becomes a table of the contract.

    Attributes
    ----------
    source
        Name of the table or file in the source (without its ending); the contract's name if not given.
    columns
        Contract column to source column.
    values
        Contract column to {value in the source: value of the contract}, such as event names.
    formats
        Column to ``strptime`` format, for times and dates written as text that is not ISO 8601; or ``epoch_s``,
        ``epoch_ms``, ``epoch_us`` for times that count from 1970 (UTC).
    timezone
        Zone of this table's times without one; the mapping's own ``timezone`` if not given.
    """

    source: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    formats: dict[str, str] = Field(default_factory=dict)
    timezone: str | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            zone(value)
        return value


class Mapping(_Strict):
    """A whole mapping file.

    Attributes
    ----------
    timezone
        Time zone of times that carry none (None: UTC, with a warning).
    encoding
        Encoding of CSV files, such as ``gb18030``; UTF-8 if not given.
    user_ids
        ``known``: one id is one person. ``per_event``: the source cannot tell people apart and every row has
        an id of its own, so counts of people are null.
    tables
        Contract table to how it is read. Tables that need no change are left out.
    """

    timezone: str | None = None
    encoding: str | None = None
    user_ids: Literal["known", "per_event"] = "known"
    tables: dict[str, TableMapping] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            zone(value)
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except LookupError:
                raise ValueError(f'"{value}" is not an encoding that Python knows; try gb18030 or utf-16') from None
        return value

    @model_validator(mode="after")
    def _known_names(self) -> "Mapping":
        faults = []
        for table, mapped in self.tables.items():
            if table not in TABLES:
                faults.append(f'tables: "{table}" is not a table of the contract{nearest(table, TABLES)}')
                continue
            allowed = TABLES[table].columns
            named = {part: list(getattr(mapped, part)) for part in ("values", "formats", "columns")}
            for part, keys in named.items():
                faults += [
                    f'tables.{table}.{part}: "{key}" is not a column of the contract{nearest(key, allowed)}'
                    for key in keys
                    if key not in allowed
                ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def table(self, name: str) -> TableMapping:
        """The mapping of one table; an empty one if the file does not mention it."""
        return self.tables.get(name) or TableMapping()


def load_mapping(path: str | Path | None) -> Mapping:
    """Read and validate a mapping file; None gives the empty mapping.

    Raises
    ------
    SourceError
        With all faults of the file: unknown keys with the nearest allowed one, unknown tables and columns.
    """
    if path is None:
        return Mapping()
    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig")) or {}
    except FileNotFoundError:
        raise SourceError(f"mapping {file.name}: there is no such file. Give the path of a YAML mapping.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"mapping {file.name}: cannot be read as YAML in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise SourceError(f"mapping {file.name}: is not a YAML mapping with keys such as tables and timezone.")
    try:
        return Mapping.model_validate(content)
    except ParameterError as error:
        raise SourceError(f"mapping {file.name}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(_words(fault) for fault in error.errors())
        raise SourceError(f"mapping {file.name}: {faults}. See data/README.md for the form of a mapping.") from None


def _words(fault: Any) -> str:
    """Say one fault of pydantic in our words."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        inside_table = len(fault["loc"]) > 1
        allowed = list((TableMapping if inside_table else Mapping).model_fields)
        key = str(fault["loc"][-1])
        return f'unknown key "{where}"{nearest(key, allowed)} (allowed: {", ".join(allowed)})'
    message = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    message = message.removeprefix(f"{where}: ")
    return f"{where}: {message}" if where else message
