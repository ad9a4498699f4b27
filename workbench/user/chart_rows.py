"""What the pictures of the user report draw and say beside their tables: the flow's layout, which outflow, titles."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.analysis import Analysis
from workbench.language import Language, format_amount, format_count, format_rate, say, wrap
from workbench.user.alerts import is_rise
from workbench.user.headline import alarm_text
from workbench.user.migration import ORIGINS, TARGETS
from workbench.user.words import alarms_of, counted, marked

QUADRANTS = ["high_high", "high_low", "low_high", "low_low"]
BEFORE, AFTER = list(ORIGINS), list(TARGETS)
LINE_HEIGHT = 13  # pixels of a line of names
FLOW_HEIGHT, _FLOW_GAP = 230, 10  # pixels of all users of the larger side, and between two groups


def two_lines(name: str) -> list[str]:
    """A name in one line or two, as wide as half the picture on a phone; of a longer one the axes tell the rest."""
    lines = wrap(name, 18)
    return lines if len(lines) <= 2 else [lines[0], f"{lines[1]} …"]


def sides(groups: pd.DataFrame, axis: str, lang: Language) -> dict[str, str]:
    """What both sides of a line are called: up to the threshold, and above it."""
    threshold = float(groups[f"{axis}_threshold"].iloc[0])
    if groups[f"{axis}_metric"].iloc[0] in ("paid_amount", "average_order_value"):
        word = format_amount(threshold, lang) if threshold else "0"
    else:
        word = f"{threshold:,.4g}"
    return {"low": f"≤ {word}", "high": f"> {word}"}


def groups_title(analysis: Analysis, groups: pd.DataFrame) -> str:
    """The largest group with its share of users and of the money."""
    lang = analysis.lang
    row = groups.sort_values("user_count", ascending=False).iloc[0]
    told = say(
        lang,
        f"{row['name']} is the largest group: {format_rate(row['user_share'])} of users",
        f"“{row['name']}”人数最多：占 {format_rate(row['user_share'])}",
    )
    if row["amount_share"] == row["amount_share"]:
        told += say(
            lang,
            f", {format_rate(row['amount_share'])} of the money",
            f"，金额占 {format_rate(row['amount_share'])}",
        )
    return told


def profile_title(known: pd.DataFrame, lang: Language) -> str:
    """The largest difference that is drawn as sure."""
    sure = known[known["sure"]]
    if sure.empty:
        return say(lang, "No value marks a group beyond chance", "没有取值在群体间有超出随机的差异")
    row = sure.sort_values("size", ascending=False).iloc[0]
    return marked(row["group"], row.to_dict(), lang)


def value_label(column: str, value: str, lang: Language) -> str:
    """A value with the column that it is one of, in two lines where it is long."""
    told = column[:1].upper() + column[1:] + say(lang, ": ", "：") + value
    return told if len(wrap(told, 24)) == 1 else told[: -len(value)].rstrip() + f"\n{value}"


def laid_out(moves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Where the streams of one period's moves run and their groups stand, in pixels from the top.

    Returns
    -------
    tuple
        The streams, those who stay first: ``top_`` and ``bottom_`` ``before`` and ``after``, ``is_stay``. Both columns of
        groups: ``t`` (0 before, 1 after), ``group``, ``name``, ``user_count``, ``top``, ``bottom``, ``middle``. The height.
    """
    moves = moves.assign(
        is_stay=moves["from_group"] == moves["to_group"],
        place_before=moves["from_group"].map(BEFORE.index),
        place_after=moves["to_group"].map(AFTER.index),
    )
    scale = FLOW_HEIGHT / moves["user_count"].sum()
    ends, heights = [], []
    for t, (side, order) in enumerate(
        (("from", ["place_before", "place_after"]), ("to", ["place_after", "place_before"]))
    ):
        moves = moves.sort_values(order)
        when, y = ("before", "after")[t], 0.0
        tops = pd.Series(0.0, index=moves.index)
        for group, own in moves.groupby(f"{side}_group", sort=False):
            size, name = scale * own["user_count"].sum(), str(own[f"{side}_name"].iloc[0])
            slot = max(size, LINE_HEIGHT * (1 + len(name_lines(name))))  # room for the name and the number below it
            top = y + (slot - size) / 2
            tops[own.index] = top + scale * (own["user_count"].cumsum() - own["user_count"])
            end = {"t": t, "group": group, "name": name, "user_count": int(own["user_count"].sum())}
            ends.append(end | {"top": top, "bottom": top + size, "middle": top + size / 2})
            y += slot + _FLOW_GAP
        moves = moves.assign(**{f"top_{when}": tops, f"bottom_{when}": tops + scale * moves["user_count"]})
        heights.append(y - _FLOW_GAP)
    columns = pd.DataFrame(ends)
    height = int(np.ceil(max(heights)))
    for t, high in enumerate(heights):  # the shorter column stands in the middle of the other
        shift = (height - high) / 2
        columns.loc[columns["t"] == t, ["top", "bottom", "middle"]] += shift
        moves[[f"{edge}_{('before', 'after')[t]}" for edge in ("top", "bottom")]] += shift
    streams = moves.sort_values(["is_stay", "user_count"], ascending=False)
    return streams.drop(columns=["place_before", "place_after"]), columns, height


def name_lines(name: str) -> list[str]:
    """A name in lines that fit beside the flows."""
    return wrap(name, 17)


def end_lines(ends: pd.DataFrame) -> pd.DataFrame:
    """The lines beside both columns: the name of each group, its users below."""
    rows = []
    for end in ends.to_dict("records"):
        lines = [*name_lines(end["name"]), format_count(end["user_count"])]
        for number, text in enumerate(lines):
            y = end["middle"] + LINE_HEIGHT * (number - (len(lines) - 1) / 2)
            rows.append({"t": end["t"], "y": y, "text": text, "is_number": number == len(lines) - 1})
    return pd.DataFrame(rows)


def flow_title(moves: pd.DataFrame, lang: Language) -> str:
    """How many stayed, moved, left and came in one period."""
    before = moves[moves["from_group"].isin(QUADRANTS)]
    count, came = before["user_count"].sum(), moves["user_count"].sum() - before["user_count"].sum()
    if not count:
        return say(
            lang,
            f"{counted(came, 'user')} came; nobody was there before",
            f"新增与回流 {format_count(came)} 人，此前没有用户",
        )
    stayed = before.loc[before["from_group"] == before["to_group"], "user_count"].sum()
    gone = before.loc[before["to_group"] == "gone", "user_count"].sum()
    kept, left, moved = (format_rate(one / count) for one in (stayed, gone, count - stayed - gone))
    return say(
        lang,
        f"Of {counted(count, 'user')} {kept} stayed in their group, {moved} changed it and {left} are gone; "
        f"{format_count(came)} are new or returned",
        f"{format_count(count)} 名用户中，{kept} 留在原群体，{moved} 换组，{left} 流失；新增与回流 {format_count(came)} 名",
    )


def in_lines(names: Sequence[str], width: int) -> str:
    """An expression that breaks the labels of an axis into lines."""
    return f"{json.dumps({name: wrap(name, width) for name in names}, ensure_ascii=False)}[datum.label]"


def days_of(rows: pd.DataFrame) -> tuple[str, str]:
    """First and last day of a period."""
    return str(rows["start_date"].iloc[0]), str((pd.Timestamp(rows["end_date"].iloc[0]) - pd.Timedelta(days=1)).date())


def chosen_outflow(alerts: pd.DataFrame) -> pd.Series:
    """The newest alarm; without one the largest loss that is judged, of the watched group if it is."""
    alarms = alarms_of({"migration_alerts": alerts})
    if len(alarms):
        return alarms[alarms["period_index"] == alarms["period_index"].max()].iloc[0]
    told = alerts.assign(judged=alerts["p_value"].notna())
    ways = told.groupby(["from_group", "to_group"], as_index=False).agg(
        judged=("judged", "any"), watched=("is_watched", "any"), users=("user_count", "sum")
    )
    ways["falls"] = [not is_rise(*one) for one in zip(ways["from_group"], ways["to_group"], strict=True)]
    first = ways.sort_values(["falls", "judged", "watched", "users"], ascending=False).iloc[0]
    own = alerts[(alerts["from_group"] == first["from_group"]) & (alerts["to_group"] == first["to_group"])]
    return own.sort_values("period_index").iloc[-1]


def outflow_title(rows: pd.DataFrame, chosen: pd.Series, lang: Language) -> str:
    """The alarm, or why there is none."""
    if chosen["is_alarm"]:
        return alarm_text(chosen.to_dict(), lang)
    way = say(
        lang, f"“{chosen['from_name']}” to “{chosen['to_name']}”", f"“{chosen['from_name']}”→“{chosen['to_name']}”"
    )
    if rows["p_value"].notna().any():
        return way + say(lang, ": no period beyond what the history explains", "：没有周期超出历史水平")
    if chosen["reason"] == "few_users":
        return way + say(lang, ": too few users for alarms", "：人数过少，无法预警")
    return way + say(lang, ": too short a history for alarms", "：历史不足以预警")


def band_words(rows: pd.DataFrame, lang: Language) -> str:
    """What bands and marks are, as far as there are any."""
    has_band = rows["expected_lower"].notna()
    told = []
    if has_band.any():
        told.append(
            say(
                lang,
                "grey: range of the earlier periods without alarm, dash: their mean",
                "灰色为此前未预警周期的范围，短线为其均值",
            )
        )
    if not has_band.all():
        told.append(say(lang, "without grey: not judged", "无灰色：未判断"))
    if rows["is_alarm"].any():
        told.append(say(lang, "diamond: alarm", "菱形：预警"))
    return say(lang, "; ", "；").join(told) + say(lang, ".", "。")
