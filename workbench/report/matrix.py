"""One written run becomes many: a run for each combination of the values of its matrix."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from workbench.errors import nearest

FIELDS = ("notebook", "lang", "source", "mapping", "period", "annotations")
"""Keys of a matrix that set the field of that name; any other key is for ``{key}`` in the run's texts."""
_PLACE = re.compile(r"\{(\w+)\}")


def expand(run: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The runs of a written run, in the order of its matrix, the last key fastest.

    Parameters
    ----------
    run
        As read from YAML. ``{key}`` in any of its texts stands for the key's value; a text that is nothing else becomes the
        value itself, so that numbers stay numbers. Without a matrix the run stays as it is.

    Examples
    --------
    >>> run = {"name": "a-{lang}", "matrix": {"lang": ["en", "zh"], "days": [7]}, "parameters": {"window_days": "{days}"}}
    >>> [(one["name"], one["lang"], one["parameters"]) for one in expand(run)]
    [('a-en', 'en', {'window_days': 7}), ('a-zh', 'zh', {'window_days': 7})]
    """
    matrix = run.get("matrix") or {}
    plain = {name: value for name, value in run.items() if name != "matrix"}
    if not matrix:
        yield plain
        return
    for values in product(*matrix.values()):
        chosen = dict(zip(matrix, values, strict=True))
        fields = {name: value for name, value in chosen.items() if name in FIELDS}
        yield _filled(plain | fields, chosen)


def faults_of_matrix(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the matrix of a run, each with the key that it is about ("" for the whole)."""
    matrix = run.get("matrix")
    if not matrix:
        return
    if not isinstance(matrix, dict) or not all(isinstance(values, list) and values for values in matrix.values()):
        yield "", "matrix: each key has a list of values, such as {region: [North, South]}."
        return
    for key in matrix:
        if not isinstance(key, str):
            yield str(key), f"matrix: YAML reads a key as {str(key).lower()}. Put it in quotes."
            return
    used = set(_places({name: value for name, value in run.items() if name != "matrix"}))
    for key, values in matrix.items():
        if any(isinstance(value, list | dict) or value is None for value in values):
            yield key, f"matrix: {key}: a value is a text, a number, or true or false."
        if len({str(value) for value in values}) < len(values):
            yield key, f"matrix: {key}: a value is there twice."
        if key not in FIELDS and key not in used:
            hint = nearest(str(key), FIELDS, ".")
            yield key, f"matrix: {key} is used nowhere{hint} Write {{{key}}} where its value belongs."
        if key in FIELDS and run.get(key) is not None:
            yield key, f"matrix: {key} is given beside the matrix too. Give it in one of them."
    for place in sorted(used - {str(key) for key in matrix}):
        yield (
            "",
            f"{{{place}}} is no key of the matrix{nearest(place, map(str, matrix), '.')} Allowed: {', '.join(map(str, matrix))}.",
        )
    if not _several_are_told_apart(run, matrix):
        missing = [
            str(key)
            for key, values in matrix.items()
            if len(values) > 1 and str(key) not in set(_places(run.get("name")))
        ]
        yield (
            "",
            f"matrix: its runs would all have one name. Write {' and '.join(f'{{{key}}}' for key in missing)} into the name.",
        )


def _several_are_told_apart(run: Mapping[str, Any], matrix: Mapping[str, list[Any]]) -> bool:
    told = set(_places(run.get("name")))
    return all(len(values) < 2 or str(key) in told for key, values in matrix.items())  # noqa: PLR2004 (one is no choice)


def _places(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield from _PLACE.findall(content)
    elif isinstance(content, dict):
        for value in content.values():
            yield from _places(value)
    elif isinstance(content, list):
        for value in content:
            yield from _places(value)


def _filled(content: Any, chosen: Mapping[str, Any]) -> Any:
    if isinstance(content, dict):
        return {key: _filled(value, chosen) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, chosen) for value in content]
    if not isinstance(content, str):
        return content
    whole = _PLACE.fullmatch(content)
    if whole and whole[1] in chosen:
        return chosen[whole[1]]
    return _PLACE.sub(lambda found: str(chosen.get(found[1], found[0])), content)
