"""What the controls of a panel say, in both languages."""

from functools import cache
from pathlib import Path
from typing import Any

from workbench.glossary import label
from workbench.language import Language, say
from workbench.report.parameters import ParameterSpec

_FILE = Path(__file__).with_name("words.yml")


@cache
def load_words() -> dict[str, Any]:
    """Read the file of words: parameters, units, choices, columns."""
    import yaml

    return dict(yaml.safe_load(_FILE.read_text(encoding="utf-8")))


def label_of(spec: ParameterSpec, notebook: str, lang: Language) -> str:
    """A parameter's name in words, its own name with spaces where the file has none."""
    return _told(spec.name, notebook, "label", lang) or spec.name.replace("_", " ").capitalize()


def help_of(spec: ParameterSpec, notebook: str, lang: Language) -> str:
    """What a parameter means; the comment of the notebook where the file says nothing."""
    return _told(spec.name, notebook, "help", lang) or spec.help


def unit_of(spec: ParameterSpec, lang: Language) -> str:
    """The unit of a parameter; "" for none."""
    said = load_words()["units"].get(spec.unit)
    return say(lang, *said) if said else spec.unit


def choice_of(parameter: str, choice: object, lang: Language) -> str:
    """What one choice of a parameter is called."""
    said = load_words()["choices"].get(parameter, {}).get(choice)
    return say(lang, *said) if said else str(choice)


def offer_of(parameter: str, value: str, lang: Language) -> str:
    """What a value to choose is called that may be the name of a column."""
    named = choice_of(parameter, value, lang)
    return words_of_column(value, lang) if named == value and value in load_words()["columns"] else named


def words_of_column(column: str, lang: Language) -> str:
    """What a column is called by which users are chosen or views are filtered."""
    said = load_words()["columns"].get(column)
    return say(lang, *said) if said else label(column, lang)


def _told(name: str, notebook: str, part: str, lang: Language) -> str:
    known = load_words()["parameters"]
    entry = known.get(f"{notebook}.{name}") or known.get(name)
    return say(lang, *entry[part]) if entry else ""
