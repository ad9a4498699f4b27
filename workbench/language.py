"""Words and numbers in the two languages of the reports."""

import math
import re
from typing import Literal

Language = Literal["en", "zh"]


class Setting(str):
    """A flag that says what was asked for, such as some users alone; nothing is wrong."""

    __slots__ = ()


def say(lang: Language, en: str, zh: str) -> str:
    """Return the sentence in the language wanted."""
    return zh if lang == "zh" else en


def _missing(value: object) -> bool:
    return value is None or value != value


def format_rate(value: float | None, digits: int = 1) -> str:
    """Write a fraction as per cent; a missing one as a dash.

    Examples
    --------
    >>> format_rate(0.1234), format_rate(-0.00001), format_rate(None)
    ('12.3%', '0.0%', '–')
    """
    return "–" if _missing(value) else f"{with_minus(100 * float(value or 0), digits)}%"


def with_minus(value: float, digits: int, *, signed: bool = False) -> str:
    """Write a number with thousands separators and a true minus; what rounds to zero has no sign.

    Examples
    --------
    >>> with_minus(-1234.5, 1), with_minus(-0.04, 1), with_minus(2, 0, signed=True)
    ('−1,234.5', '0.0', '+2')
    """
    text = f"{value:z,.{digits}f}".replace("-", "−")
    return f"+{text}" if signed and value > 0 and text.strip("0.") else text


def format_count(value: float | None) -> str:
    """Write a count with thousands separators; fractions of a credit keep one digit below 100.

    Examples
    --------
    >>> format_count(1234567), format_count(12.25), format_count(-0.0)
    ('1,234,567', '12.2', '0')
    """
    if value is None or value != value:
        return "–"
    whole = float(value).is_integer() or abs(value) >= 100
    return with_minus(value, 0 if whole else 1)


def format_amount(value: float | None, lang: Language = "en") -> str:
    """Write money short enough for a phone: thousands in English as k and M, in Chinese by 万 and 亿.

    Examples
    --------
    >>> format_amount(1234567), format_amount(1234567, "zh"), format_amount(15234, "zh"), format_amount(-8.5)
    ('1.23M', '123.5万', '1.52万', '−8.50')
    """
    if value is None or value != value:
        return "–"
    # above this size, divided by, unit, digits; what would round up to the next size is written in it
    sizes = [(99_999_500, 1e8, "亿", 2), (999_950, 1e4, "万", 1), (1e4, 1e4, "万", 2)]
    if lang == "en":
        sizes = [(999_950, 1e6, "M", 2), (1e4, 1e3, "k", 1)]
    for size, divisor, unit, digits in sizes:
        if abs(value) >= size:
            return f"{with_minus(value / divisor, digits)}{unit}"
    return with_minus(value, 0 if abs(value) >= 1000 else 2)


def format_hours(value: float | None, lang: Language = "en") -> str:
    """Write a length of time given in hours in the unit that fits it; days from two of them on.

    Examples
    --------
    >>> [format_hours(one) for one in (0.0056, 0.25, 5.34, 51, -0.0005, 0)], format_hours(51, "zh")
    (['20 s', '15 min', '5.3 h', '2.1 days', '−1.8 s', '0 s'], '2.1 天')
    """
    if value is None or value != value:
        return "–"
    seconds = 3600 * value
    if abs(seconds) < 59.5:
        return with_minus(seconds, 1 if 0 < abs(seconds) < 9.95 else 0) + say(lang, " s", " 秒")
    if abs(seconds) < 59.5 * 60:
        return with_minus(seconds / 60, 0) + say(lang, " min", " 分钟")
    if abs(value) < 48:
        return with_minus(value, 1) + say(lang, " h", " 小时")
    return with_minus(value / 24, 1) + say(lang, " days", " 天")


def format_interval(lower: float | None, upper: float | None, lang: Language = "en", kind: str = "rate") -> str:
    """Write an interval in rates (``kind`` rate) or money (``kind`` amount); empty if unknown.

    A dash between two numbers reads as a minus where one of them has one, so that "to" stands there.

    Examples
    --------
    >>> format_interval(0.121, 0.14), format_interval(-33500, -14800, "en", "amount")
    ('12.1%–14.0%', '−33.5k to −14.8k')
    """
    if lower is None or upper is None or math.isnan(lower) or math.isnan(upper):
        return ""
    ends = [format_amount(end, lang) if kind == "amount" else format_rate(end) for end in (lower, upper)]
    if any(end.startswith("−") for end in ends):
        return say(lang, " to ", " 至 ").join(ends)
    return (" – " if kind == "amount" else "–").join(ends)


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
