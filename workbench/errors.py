"""The errors a user can meet, each with a message that says where, what was found, what is allowed, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

from workbench.language import Language, say


class ParameterError(ValueError):
    """An argument or a notebook parameter is not one that can be used."""


class SourceError(ValueError):
    """The source or its mapping cannot be opened."""


class TableError(ValueError):
    """Tables break the contract; the message lists all faults of all tables."""


class EstimationError(ValueError):
    """The data cannot answer the question that was asked."""


def nearest(name: str, allowed: Iterable[str], otherwise: str = "", lang: Language = "en") -> str:
    """Return ``, did you mean "x"?`` for the allowed name closest to ``name``, else ``otherwise``.

    Examples
    --------
    >>> nearest("chanel", ["channel", "region"])
    ', did you mean "channel"?'
    >>> nearest("xyz", ["channel"]), nearest("chanel", ["channel"], "。", "zh")
    ('', '，是否为“channel”？')
    """
    by_folded = {str(one).casefold(): str(one) for one in allowed}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    if not close:
        return otherwise
    return say(lang, f', did you mean "{by_folded[close[0]]}"?', f"，是否为“{by_folded[close[0]]}”？")
