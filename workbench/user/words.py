"""What the sentences of the user report share: tables at the end of the report, alarms, counts and marks in words."""

from collections.abc import Mapping

import pandas as pd

from workbench.glossary import codes
from workbench.language import Language, format_count, format_rate, say
from workbench.user.alerts import STOPPED
from workbench.user.profile import CATEGORY, COUPON_USE

Tables = Mapping[str, pd.DataFrame]
_MARKS = {
    "channel": ("came by the channel", "来自渠道"),
    "age_group": ("are of the age group", "年龄段为"),
    "gender": ("are of the gender", "性别为"),
    "region": ("are of the region", "地区为"),
    "device": ("use the device", "使用设备"),
    CATEGORY: ("bought most often in the category", "最常购买品类"),
}
_COUPON_MARKS = {"yes": ("used a coupon", "使用过优惠券"), "no": ("used no coupon", "未使用优惠券")}


def counted(value: float, one: str, many: str = "") -> str:
    """A count with its noun, in English.

    Examples
    --------
    >>> counted(1, "user"), counted(0, "user"), counted(1234, "has come", "have come")
    ('1 user', '0 users', '1,234 have come')
    """
    return f"{format_count(value)} {one if value == 1 else many or f'{one}s'}"


def alarms_of(tables: Tables) -> pd.DataFrame:
    """Alarms, most money first."""
    alerts = tables["migration_alerts"]
    return alerts[alerts["is_alarm"].astype(bool)] if len(alerts) else alerts


def current_alarms(tables: Tables) -> pd.DataFrame:
    """Alarms of the newest period, most money first: what rings now. All others are past."""
    alarms = alarms_of(tables)
    return alarms[alarms["period_index"] == newest_period(tables)] if len(alarms) else alarms


def newest_period(tables: Tables) -> int:
    """Number of the last period."""
    return int(tables["quadrants"]["period_index"].max())


def went(row: Mapping, count: float, lang: Language) -> str:
    """What so many users of a row of ``migration_alerts`` did, as the end of a sentence that begins with their number."""
    if row["to_group"] == STOPPED:
        return say(lang, "did not come at all", "未访问")
    if row["to_group"] == "gone":
        return say(lang, "is gone" if count == 1 else "are gone", "流失")
    return say(lang, f"became “{row['to_name']}”", f"转为“{row['to_name']}”")


def marked(name: str, row: Mapping, lang: Language) -> str:
    """What a row of ``quadrant_profile`` says of a group, against the others; without an end."""
    dimension, value = str(row["dimension"]), str(row["value"])
    own, rest = format_rate(row["user_share"]), format_rate(row["rest_share"])
    known, words = codes("value", "quadrant_profile"), codes("dimension", "quadrant_profile")
    told = known[value].word(lang) if value in known else value
    if dimension == COUPON_USE and value in _COUPON_MARKS:
        mark = say(lang, *_COUPON_MARKS[value])
    elif dimension in _MARKS:
        mark = f"{say(lang, *_MARKS[dimension])} {told}{say(lang, '', ' ')}"
    else:
        word = words[dimension].word(lang) if dimension in words else dimension.replace("_", " ")
        mark = say(lang, f"have {word} {told}", f"{word}为 {told} ")
    is_of_buyers = dimension in (CATEGORY, COUPON_USE)
    return say(
        lang,
        f"{name}: {own}{' of its buyers' if is_of_buyers else ''} {mark}, against {rest} of the others",
        f"{name}{'的买家' if is_of_buyers else ''}中，{mark}的占 {own}，其他群体为 {rest}",
    )


def alarm_key(row: Mapping) -> dict[str, object]:
    """What names a row of ``migration`` and ``migration_alerts``."""
    return {name: row[name] for name in ("end_date", "from_group", "to_group")}


def last_groups(tables: Tables) -> pd.DataFrame:
    """The quadrants at the end of the last period."""
    quadrants = tables["quadrants"]
    return quadrants[quadrants["period_index"] == newest_period(tables)]
