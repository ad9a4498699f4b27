"""The parameters of a notebook: read from its tagged cell, checked before anything runs."""

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import NoneType
from typing import Any, Literal, Union
from zoneinfo import available_timezones

from workbench.errors import ParameterError, nearest
from workbench.language import Language, say
from workbench.period import parse_date, zone

_SCALARS: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}
_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
_WORDS_ZH = {"str": "文本", "int": "整数", "float": "数字", "bool": "true 或 false"}
_MANY = {"str": "texts", "int": "whole numbers", "float": "numbers", "bool": "true or false"}
_EXAMPLES = {"str": ["a", "b"], "int": [7, 30], "float": [0.25, 0.75], "bool": [True, False]}
_UNIT = re.compile(r"\s*\[([^\[\]]+)\]\s*$")
_SUCH_AS = re.compile(r"such as ([^\s;,()]+)")


@dataclass(frozen=True)
class ParameterSpec:
    """One line of a notebook's parameters cell.

    Attributes
    ----------
    name
        Name of the parameter.
    annotation
        Its type as written, such as ``list[int] | None``.
    default
        The value it has if none is given.
    help
        The comment of its line without the unit.
    unit
        The unit named in square brackets at the end of the comment, or "".
    kind
        The type itself.
    """

    name: str
    annotation: str
    default: object
    help: str
    unit: str
    kind: Any

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        return self.allowed_in("en")

    def allowed_in(self, lang: Language) -> str:
        """What may be given, in words of a language."""
        return _allowed(self.kind, self.list_example, lang)

    @property
    def list_example(self) -> str:
        """A list as one would type it: the default, one that the help tells of, or letters and numbers."""
        if isinstance(self.default, list) and self.default:
            return json.dumps(self.default, ensure_ascii=False)
        parts = [part.__args__[0] for part in _parts(self.kind) if _is(part, list)]
        if not parts:
            return ""
        told = _SUCH_AS.search(self.help)
        if told and parts[0] is str:
            return json.dumps([told[1]], ensure_ascii=False)
        return json.dumps(_EXAMPLES.get(getattr(parts[0], "__name__", ""), list(getattr(parts[0], "__args__", ("a",)))))


def read_parameters(source: str, notebook: str) -> tuple[ParameterSpec, ...]:
    """Read the source of a parameters cell, one ``name: annotation = literal  # help [unit]`` per line.

    Raises
    ------
    ParameterError
        If a line is anything else (imports from ``typing`` are passed over).

    Examples
    --------
    >>> [spec] = read_parameters("days: int | None = 7  # look back [days]", "demo")
    >>> spec.name, spec.default, spec.help, spec.unit, spec.allowed
    ('days', 7, 'look back', 'days', 'a whole number or null')
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(f"{notebook}: the parameters cell is not Python: {error.msg}.") from None
    lines = source.splitlines()
    return tuple(_read_line(node, lines, notebook) for node in body if not _is_passed_over(node))


def check_parameters(
    specs: tuple[ParameterSpec, ...], given: Mapping[str, object], notebook: str, lang: Language = "en"
) -> dict[str, object]:
    """Check the values given against the parameters a notebook declares; messages are in the language of whoever reads them.

    Returns
    -------
    dict
        Every parameter of the notebook in its order, defaults filled in; one text where a list of texts is wanted
        is a list of one.

    Raises
    ------
    ParameterError
        With all faults at once: unknown names, wrong types, days that are none, a start after its end.
    """
    by_name = {spec.name: spec for spec in specs}
    faults = [_unknown(name, by_name, lang) for name in given if name not in by_name]
    values: dict[str, object] = {}
    for spec in specs:
        values[spec.name] = spec.default
        if spec.name in given:
            values[spec.name] = _as_typed(spec, given[spec.name])
            faults += _faults_of_value(spec, values[spec.name], lang)
    if not faults:
        faults += _faults_between(values, lang)
    if faults:
        raise ParameterError(say(lang, f"{notebook}: {' '.join(faults)}", f"{notebook}：{''.join(faults)}"))
    return values


def _as_typed(spec: ParameterSpec, value: object) -> object:
    """The value as meant: a day as its text, one text as a list of one where only a list of texts fits."""
    if type(value) is date:
        return value.isoformat()
    parts = _parts(spec.kind)
    is_one_of = isinstance(value, str) and str not in parts and not any(_is(part, Literal) for part in parts)
    if is_one_of and any(_is(part, list) and _is_text(part.__args__[0]) for part in parts):
        return [value]
    return value


def _is_text(kind: Any) -> bool:
    return kind is str or (_is(kind, Literal) and all(isinstance(one, str) for one in kind.__args__))


def _is_passed_over(node: ast.stmt) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or (isinstance(node, ast.ImportFrom) and node.module == "typing")


def _read_line(node: ast.stmt, lines: list[str], notebook: str) -> ParameterSpec:
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.value is None:
        raise ParameterError(
            f'{notebook}: "{lines[node.lineno - 1].strip()}" in the parameters cell is not a parameter. '
            "Write each as: name: type = value  # help [unit]"
        )
    name, annotation = node.target.id, ast.unparse(node.annotation)
    try:
        kind, default = _kind(node.annotation), ast.literal_eval(node.value)
    except ValueError:
        raise ParameterError(
            f'{notebook}: parameter {name} is declared as "{annotation} = {ast.unparse(node.value)}". Allowed are str, '
            "int, float, bool, list[...] of these and Literal[...], each with | None, and a literal as its default."
        ) from None
    comment = _comment(lines[(node.end_lineno or node.lineno) - 1], node.end_col_offset or 0)
    unit = _UNIT.search(comment)
    spec_help = _UNIT.sub("", comment)
    return ParameterSpec(name, annotation, default, spec_help, unit[1] if unit else "", kind)


def _comment(line: str, end_column: int) -> str:
    rest = line.encode()[end_column:].decode().strip()
    return rest.lstrip("#").strip() if rest.startswith("#") else ""


def _kind(node: ast.expr) -> Any:
    """Turn an annotation into its type, for the few forms that parameters may have."""
    if isinstance(node, ast.Name) and node.id in _SCALARS:
        return _SCALARS[node.id]
    if isinstance(node, ast.Constant) and node.value is None:
        return NoneType
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_kind(node.left), _kind(node.right)]  # noqa: UP007 (built from values, not written)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id == "Literal":
            choices = ast.literal_eval(node.slice)
            return Literal[choices if isinstance(choices, tuple) else (choices,)]
        if node.value.id == "list":
            return list[_kind(node.slice)]  # type: ignore[misc]
    raise ValueError(ast.unparse(node))


def _parts(kind: Any) -> tuple[Any, ...]:
    return kind.__args__ if getattr(kind, "__args__", None) and not _is(kind, list, Literal) else (kind,)


def _is(kind: Any, *origins: Any) -> bool:
    return getattr(kind, "__origin__", None) in origins


def _allowed(kind: Any, list_example: str, lang: Language) -> str:
    words = []
    for part in _parts(kind):
        if _is(part, Literal):
            words += _choices(part)
        elif _is(part, list):
            words.append(_allowed_list(part.__args__[0], list_example, lang))
        else:
            words.append("null" if part is NoneType else say(lang, _WORDS[part.__name__], _WORDS_ZH[part.__name__]))
    if len(words) == 1:
        return words[0]
    return say(lang, f"{', '.join(words[:-1])} or {words[-1]}", f"{'、'.join(words[:-1])} 或 {words[-1]}")


def _allowed_list(one: Any, example: str, lang: Language) -> str:
    if one in _SCALARS.values():
        of, of_zh = f"of {_MANY[one.__name__]}", _WORDS_ZH[one.__name__]
    else:
        of, of_zh = f"with any of {', '.join(_choices(one))}", f"由 {'、'.join(_choices(one))} 组成"
    return say(lang, f"a list {of} such as {example}", f"{of_zh}的列表（如 {example}）")


def _choices(kind: Any) -> list[str]:
    return [f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in kind.__args__]


def _shown(value: object) -> str:
    """The value as one types it: [7, null], not Python's [7, None]."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)


def _unknown(name: str, by_name: Mapping[str, ParameterSpec], lang: Language) -> str:
    return say(
        lang,
        f'There is no parameter "{name}"{nearest(name, by_name, ".")} Allowed: {", ".join(by_name) or "none"}.',
        f"没有参数“{name}”{nearest(name, by_name, '。', 'zh')}可用参数：{'、'.join(by_name) or '无'}。",
    )


def _faults_of_value(spec: ParameterSpec, value: object, lang: Language) -> list[str]:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    config = ConfigDict(strict=True, allow_inf_nan=False)
    try:
        TypeAdapter(spec.kind, config=config).validate_python(value)
    except ValidationError:
        kinds = [part.__args__[0] if _is(part, list) else part for part in _parts(spec.kind)]
        choices = [str(one) for kind in kinds if _is(kind, Literal) for one in kind.__args__]
        wrong = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
        hint = next((nearest(one, choices, lang=lang) for one in wrong if one not in choices), "") if choices else ""
        typed = f" On the command line: -p '{spec.name}={spec.list_example}'." if spec.list_example else ""
        return [
            say(
                lang,
                f"{spec.name} is {_shown(value)}{hint or '.'} Allowed: {spec.allowed}.{typed}",
                f"{spec.name} 为 {_shown(value)}{hint or '。'}应为：{spec.allowed_in(lang)}。",
            )
        ]
    return _faults_of_meaning(spec, value, lang)


def _faults_of_meaning(spec: ParameterSpec, value: object, lang: Language) -> list[str]:
    """Check what the name of a parameter says about its value."""
    name = spec.name
    if name.endswith("_date"):
        zh = f"{name}：{_shown(value)} 不是日期。请写成 2026-03-01 的形式，留空表示全部数据。"
        return _refused(lambda: parse_date(value, name), lang, zh)
    if name == "timezone" and isinstance(value, str):
        hint = nearest(value, available_timezones(), "。", "zh") if lang == "zh" else ""
        zh = f'{name}：“{value}”不是时区{hint}请使用 IANA 名称，如 "Asia/Shanghai" 或 "UTC"。'
        return _refused(lambda: zone(value), lang, zh)
    if name == "confidence_level" and isinstance(value, int | float) and not 0 < value < 1:
        en = f"confidence_level is {value}. Allowed: a number between 0 and 1, such as 0.95."
        return [say(lang, en, f"confidence_level 为 {value}。应为 0 到 1 之间的数，如 0.95。")]
    if name.endswith(("_days", "_hours")):
        unusable = [one for one in (value if isinstance(value, list) else [value]) if _is_length(one) is False]
        return [
            say(lang, f"{name}: {_shown(one)} is not above 0.", f"{name}：{_shown(one)} 不大于 0。") for one in unusable
        ]
    if name == "lang" and value not in ("en", "zh"):
        return [
            say(
                lang,
                f'lang is {_shown(value)}. Allowed: "en" or "zh".',
                f'lang 为 {_shown(value)}。应为："en" 或 "zh"。',
            )
        ]
    return []


def _refused(check: Callable[[], object], lang: Language, zh: str) -> list[str]:
    """What a check says against a value, in English; or ``zh``."""
    try:
        check()
    except ParameterError as error:
        return [say(lang, str(error), zh)]
    return []


def _is_length(value: object) -> bool | None:
    """Whether a number can be a length of time; None if it is no number."""
    return 0 < value < float("inf") if isinstance(value, int | float) and not isinstance(value, bool) else None


def _faults_between(values: Mapping[str, object], lang: Language) -> list[str]:
    start = parse_date(values.get("start_date"), "start_date")
    end = parse_date(values.get("end_date"), "end_date")
    if start is None or end is None or start < end:
        return []
    return [
        say(
            lang,
            f"start_date {start} is not before end_date {end}. The period includes its start and excludes its end: "
            "give an end_date after the start_date.",
            f"start_date {start} 不早于 end_date {end}。统计期含起始日、不含结束日：请让 end_date 晚于 start_date。",
        )
    ]
