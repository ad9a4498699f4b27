"""What the split of gaps into audience and rate says, in sentences that name their cell."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from workbench.analysis import Cell, Finding
from workbench.channel.apart import clearest_gap
from workbench.channel.audience import ALL
from workbench.channel.wishes import Wishes
from workbench.language import Language, format_rate, say

MOST = 0.5
"""A part that carries more than this share of a gap carries most of it."""


def points(value: float, lang: Language, *, signed: bool = True) -> str:
    """A difference of rates in percentage points.

    Examples
    --------
    >>> points(-0.0465, "en"), points(0.012, "zh", signed=False)
    ('−4.7 points', '1.2 个百分点')
    """
    text = f"{100 * value:{'+' if signed else ''}.1f}".replace("-", "−")
    return text + say(lang, " points", " 个百分点")


def told_by(row: pd.Series) -> str:
    """What makes up most of a gap: ``audience``, ``rate``, ``unsupported``, or ``open`` where no part surely does."""
    shares = {name: row[name] / row["gap"] for name in ("mix", "rate", "unsupported")}
    largest = max(shares, key=lambda name: shares[name])
    sure = np.sign(row[f"{largest}_ci_lower"]) == np.sign(row[f"{largest}_ci_upper"])
    if shares[largest] <= MOST or not sure:
        return "open"
    return "audience" if largest == "mix" else largest


def span(row: pd.Series, name: str) -> str:
    """The interval of a part of a gap, in points."""
    low, high = (f"{100 * row[f'{name}_ci_{end}']:+.1f}".replace("-", "−") for end in ("lower", "upper"))
    return f"{low} … {high}"


def audience_findings(tables: Mapping[str, pd.DataFrame], wishes: Wishes, lang: Language) -> list[Finding]:
    """Sentences on the clearest gap, on what it is made of, and on the clearest pair of channels."""
    found = []
    row = clearest_gap(tables)
    if row is not None and not wishes.is_credit:  # whom a rule credits is no question of the audience
        key = {"channel": row["channel"]}
        found.append(
            Finding(
                "gap_explained_by_audience",
                say(
                    lang,
                    f"Of {row['channel']}'s gap of {points(row['gap'], lang)} to {wishes.baseline_words(lang)}, "
                    f"{points(row['mix'], lang)} ({span(row, 'mix')}) are explained by the measured audience "
                    f"({wishes.audience_words(lang)}).",
                    f"{row['channel']} 与{wishes.baseline_words(lang)}相差 {points(row['gap'], lang)}，其中 "
                    f"{points(row['mix'], lang)}（{span(row, 'mix')}）由可测受众（{wishes.audience_words(lang)}）解释。",
                ),
                Cell("channel_adjusted", key, "mix"),
                row["mix"],
            )
        )
        found.append(
            Finding(
                "gap_with_same_audience",
                say(
                    lang,
                    f"Between users of the same group {row['channel']} differs by {points(row['rate'], lang)} "
                    f"({span(row, 'rate')}); with the audience of {wishes.baseline_words(lang)} it would convert "
                    f"{format_rate(row['adjusted_rate'])}.",
                    f"同组用户之间，{row['channel']} 相差 {points(row['rate'], lang)}（{span(row, 'rate')}）；若受众与"
                    f"{wishes.baseline_words(lang)}相同，其转化率为 {format_rate(row['adjusted_rate'])}。",
                ),
                Cell("channel_adjusted", key, "rate"),
                row["rate"],
            )
        )
    if row is not None:
        found += _segment_findings(row, tables["channel_mix"], wishes, lang)
    return found + _pair_findings(tables["channel_pairs"], wishes, lang)


def _segment_findings(row: pd.Series, mix: pd.DataFrame, wishes: Wishes, lang: Language) -> list[Finding]:
    """The part of the audience by which the channel's gap moves most, if it is one that moves it the gap's way."""
    own = mix[mix["channel"] == row["channel"]]
    column = "mix" if abs(row["mix"]) >= abs(row["rate"]) else "rate"
    own = own[np.sign(own[column]) == np.sign(row["gap"])]
    if own.empty or not wishes.standardise_by:
        return []
    one = own.assign(size=own[column].abs()).sort_values("size", ascending=False, kind="stable").iloc[0]
    names = " · ".join(str(one[name]) for name in wishes.standardise_by)
    cell = {"channel": row["channel"], **{name: one[name] for name in wishes.standardise_by}}
    verb, verb_zh = ("is credited with", "归功") if wishes.is_credit else ("converts", "转化")
    if column == "mix":
        text = say(
            lang,
            f"{names} makes up {format_rate(one['audience_share'])} of {row['channel']}'s users and "
            f"{format_rate(one['baseline_share'])} of {wishes.baseline_words(lang)}, and converts at "
            f"{format_rate(one['baseline_rate'])}: {points(one['mix'], lang)} of the gap.",
            f"{names} 占 {row['channel']} 用户的 {format_rate(one['audience_share'])}，占"
            f"{wishes.baseline_words(lang)}的 {format_rate(one['baseline_share'])}，转化率 "
            f"{format_rate(one['baseline_rate'])}：贡献差距 {points(one['mix'], lang)}。",
        )
    else:
        text = say(
            lang,
            f"Within {names}, {row['channel']} {verb} {format_rate(one['conversion_rate'])} against "
            f"{format_rate(one['baseline_rate'])}: {points(one['rate'], lang)} of the gap.",
            f"在 {names} 中，{row['channel']} {verb_zh} {format_rate(one['conversion_rate'])}，对照 "
            f"{format_rate(one['baseline_rate'])}：贡献差距 {points(one['rate'], lang)}。",
        )
    return [Finding("segment_behind_gap", text, Cell("channel_mix", cell, column), one[column])]


def _pair_findings(pairs: pd.DataFrame, wishes: Wishes, lang: Language) -> list[Finding]:
    if pairs.empty:
        return []
    one, count = pairs.iloc[0], int(pairs["is_different"].sum())
    if not one["is_different"]:
        return []
    tested = int(pairs["p_value"].notna().sum())
    what, what_zh = ("in what they are credited with", "归功比例") if wishes.is_credit else ("in conversion", "转化")
    return [
        Finding(
            "clearest_pair",
            say(
                lang,
                f"{count} of {tested} pairs of channels differ {what} beyond chance (Benjamini–Hochberg); most clearly "
                f"{one['channel']} over {one['other_channel']}: {points(one['difference'], lang)}.",
                f"{tested} 对渠道中 {count} 对{what_zh}差异超出随机（Benjamini–Hochberg 校正）；最明显的是 {one['channel']} 高于 "
                f"{one['other_channel']}：{points(one['difference'], lang)}。",
            ),
            Cell("channel_pairs", {"channel": one["channel"], "other_channel": one["other_channel"]}, "difference"),
            one["difference"],
        )
    ]


def curve_findings(
    curves: pd.DataFrame, economics: pd.DataFrame, lang: Language, confidence_level: float
) -> list[Finding]:
    """Sentences on whether channels differ in coming back, and on which spend came back."""
    found = []
    every = curves[(curves["channel"] == ALL) & (curves["day"] == 1)]
    for one in every[every["log10_p_value"].notna()].to_dict("records"):
        differs = one["log_rank_p_value"] < 1 - confidence_level
        power = one["log10_p_value"]
        value = f"{one['log_rank_p_value']:.2g}" if power > -4 else f"10^{power:.0f}".replace("-", "−")
        found.append(
            Finding(
                "return_speeds",
                say(
                    lang,
                    f"Buyers of the channels {'come' if differs else 'do not surely come'} back at different speeds "
                    f"(log-rank p = {value}).",
                    f"各渠道买家回头速度{'不同' if differs else '没有确定差异'}（log-rank p = {value}）。",
                ),
                Cell("channel_repurchase", {"channel": ALL, "day": 1}, "log10_p_value"),
                power,
            )
        )
    paid = economics[(economics["spend_amount"] > 0) & economics["return_on_ad_spend"].notna()]
    paid = paid[paid["new_user_count"] > 0]  # spend under another name than the users' brings none
    for one in paid.sort_values("return_on_ad_spend", kind="stable").head(1).to_dict("records"):
        back = one["payback_day"]
        told = (
            say(lang, f"paid back on day {back:.0f}", f"第 {back:.0f} 天回本")
            if back == back
            else say(lang, f"not paid back in {one['watched_days']:.0f} days", f"{one['watched_days']:.0f} 天内未回本")
        )
        reason = one["payback_reason"]
        known = "" if reason not in (None, "not_yet") and back != back else say(lang, f"; {told}", f"；{told}")
        found.append(
            Finding(
                "lowest_return_on_ad_spend",
                say(
                    lang,
                    f"{one['channel']} brought least for its spend: new users paid {one['return_on_ad_spend']:.2f} for each 1 "
                    f"spent{known}.",
                    f"{one['channel']} 的投放回报最低：每花 1，新客实付 {one['return_on_ad_spend']:.2f}{known}。",
                ),
                Cell("channel_economics", {"channel": one["channel"]}, "return_on_ad_spend"),
                one["return_on_ad_spend"],
            )
        )
    return found


def price_findings(prices: pd.DataFrame, lang: Language) -> list[Finding]:
    """The channel whose users most clearly look at dearer goods than they buy."""
    if prices.empty:
        return []
    top = prices[prices["price_band"] == prices["price_band"].max()]
    top = top[(top["bought_ci_upper"] < top["viewed_ci_lower"]) & (top["channel"] != "(unknown)")]
    found = []
    top = top.assign(fall=top["viewed_share"] - top["bought_share"])
    for one in top.sort_values("fall", ascending=False, kind="stable").head(1).to_dict("records"):
        found.append(
            Finding(
                "looks_dearer_than_buys",
                say(
                    lang,
                    f"Users of {one['channel']} look at dear goods and buy cheaper ones: the dearest quarter is "
                    f"{format_rate(one['viewed_share'])} of what they view and {format_rate(one['bought_share'])} of what "
                    "they buy.",
                    f"{one['channel']} 的用户看贵买便宜：最贵四分之一的商品占浏览的 {format_rate(one['viewed_share'])}，占购买的 "
                    f"{format_rate(one['bought_share'])}。",
                ),
                Cell("channel_prices", {"channel": one["channel"], "price_band": one["price_band"]}, "bought_share"),
                one["bought_share"],
            )
        )
    return found
