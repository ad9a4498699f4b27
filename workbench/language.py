"""Words and numbers in the two languages of the reports."""

import math
import re
from typing import Literal

Language = Literal["en", "zh"]


def say(lang: Language, en: str, zh: str) -> str:
    """Return the sentence in the language wanted."""
    return zh if lang == "zh" else en


def _missing(value: object) -> bool:
    return value is None or value != value


def format_rate(value: float | None, digits: int = 1) -> str:
    """Write a fraction as per cent; a missing one as a dash.

    Examples
    --------
    >>> format_rate(0.1234), format_rate(None)
    ('12.3%', '–')
    """
    return "–" if _missing(value) else f"{100 * float(value or 0):.{digits}f}%"


def format_count(value: float | None) -> str:
    """Write a count with thousands separators; fractions of a credit keep one digit below 100.

    Examples
    --------
    >>> format_count(1234567), format_count(12.25)
    ('1,234,567', '12.2')
    """
    if value is None or value != value:
        return "–"
    whole = float(value).is_integer() or abs(value) >= 100
    return f"{value:,.0f}" if whole else f"{value:,.1f}"


def format_amount(value: float | None, lang: Language = "en") -> str:
    """Write money short enough for a phone: thousands in English as k and M, in Chinese by 万 and 亿.

    Examples
    --------
    >>> format_amount(1234567), format_amount(1234567, "zh"), format_amount(-8.5)
    ('1.23M', '123.5万', '−8.50')
    """
    if value is None or value != value:
        return "–"
    sign = "−" if value < 0 and round(value, 2) != 0 else ""
    size = abs(value)
    units = [(1e8, "亿", 2), (1e4, "万", 1)] if lang == "zh" else [(1e6, "M", 2), (1e4, "k", 1)]
    for limit, unit, digits in units:
        if size >= limit:
            return f"{sign}{size / (1e3 if unit == 'k' else limit):,.{digits}f}{unit}"
    return f"{sign}{size:,.0f}" if size >= 1000 else f"{sign}{size:,.2f}"


def format_interval(lower: float | None, upper: float | None, lang: Language = "en", kind: str = "rate") -> str:
    """Write an interval as ``12.1%–14.0%`` (``kind`` rate) or in money (``kind`` amount); empty if unknown."""
    if lower is None or upper is None or math.isnan(lower) or math.isnan(upper):
        return ""
    if kind == "amount":
        return f"{format_amount(lower, lang)} – {format_amount(upper, lang)}"
    return f"{format_rate(lower)}–{format_rate(upper)}"


def wrap(text: str, width: int = 60) -> list[str]:
    """Break a title into lines; a Chinese character counts as two.

    Examples
    --------
    >>> wrap("one two three", 8)
    ['one two', 'three']
    """
    lines, line, used = [], "", 0
    for word in _words(text):
        size = sum(2 if ord(one) > 0x2E7F else 1 for one in word)
        if line and used + size > width:
            lines.append(line.rstrip())
            line, used = word.lstrip(), size
        else:
            line, used = line + word, used + size
    return [*lines, line.rstrip()]


def _words(text: str) -> list[str]:
    """Words with their trailing space; each Chinese character is a word, its closing mark stays with it."""
    return re.findall(r"[\u2e80-\uffef][，。；：、）！？]*|[^\s\u2e80-\uffef]+\s*|\s+", text)
