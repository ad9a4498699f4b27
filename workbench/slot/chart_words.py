"""What the pictures of the slot report say above them: the finding, and what is drawn; from the rows drawn."""

import pandas as pd

from workbench.language import Language, format_count, format_rate, say, wrap
from workbench.metrics.slot_funnel import FUNNEL_STEPS
from workbench.slot.chart_rows import Tables, in_funnel_order, tied_pairs
from workbench.slot.findings import weakest_step_words

Words = tuple[str, str]
"""Title and subtitle."""
TARGETS = {
    "view_item": ("detail views", "详情浏览"),
    "add_to_cart": ("cart adds", "加购"),
    "begin_checkout": ("submitted orders", "提交订单"),
    "purchase": ("paid orders", "支付订单"),
}


def short_name(name: object, longest: int = 36) -> str:
    """A name that leaves a title readable; a Chinese character is as wide as two letters.

    Examples
    --------
    >>> short_name("Home banner 1"), short_name("spring sale " * 9, 20)
    ('Home banner 1', 'spring sale spring…')
    """
    text = " ".join(str(name).split())
    first = wrap(text, longest)[0]
    return text if first == text and len(text) <= longest else f"{first[:longest]}…"


def target_words(target: str, lang: Language) -> str:
    """A target in words; an event that the contract does not know by its name."""
    return say(lang, *TARGETS.get(target, (target, target)))


def share_words(measure: str, target: str, lang: Language) -> str:
    """What a share is of."""
    if measure == "amount_share":
        return say(lang, "of the paid amount", "占支付金额")
    return say(lang, f"of {target_words(target, lang)}", f"占{target_words(target, lang)}")


def traffic_words(rows: pd.DataFrame, lang: Language) -> str:
    """How many slots stand out; the first screen has room for a title only."""
    named = int((rows["role"] == "to_change").sum())
    if not named:
        return say(lang, "Traffic × conversion, cut at the medians", "流量 × 转化，以中位数划分")
    return say(
        lang,
        f"Traffic × conversion: {named} of {len(rows)} slots to change",
        f"流量 × 转化：{len(rows)} 个坑位中 {named} 个需调整",
    )


def ranking_words(tables: Tables, rows: pd.DataFrame, runs: pd.DataFrame, lang: Language) -> Words:
    """Who leads, and whether that is sure: what its rank says, in words."""
    top, model = rows.iloc[0], rows["model"].iloc[0]
    name, of = short_name(top["name"]), share_words(top["measure"], top["target"], lang)
    share = format_rate(top["share"])
    title = say(lang, f"{name} earns most, {share} {of}", f"{name} 贡献最多，{of} {share}")
    if top["places"] and len(rows) > 1:
        title += _sure(tables, rows, lang)
    told = [_point_words(rows, (model, f"{model} "), lang)]
    if (rows["highest_share"] > rows["lowest_share"]).any():
        told.append(say(lang, "grey: lowest to highest model", "灰带：各模型的最低至最高"))
    if rows["places"].ne("").any():
        told.append(say(lang, "before the name: rank", "名称前：排名"))
    if len(runs):
        told.append(say(lang, "joined on the right: order not sure", "右侧竖线相连：次序不能确定"))
    return title, _joined(told, lang)


def _sure(tables: Tables, rows: pd.DataFrame, lang: Language) -> str:
    count = int(rows["rank_upper"].iloc[0]) - 1
    if not count:
        return say(lang, ", surely ahead of the rest", "，明确领先其余")
    if count > 1:
        return say(lang, f", tied with up to {count} others", f"，与至多 {count} 个难分先后")
    pairs, top = tied_pairs(tables, rows), rows["credited_id"].iloc[0]
    tied = [name for one, name in zip(rows["credited_id"], rows["name"], strict=True) if frozenset((top, one)) in pairs]
    other = short_name(tied[0]) if tied else say(lang, "one other", "另一个")
    return say(lang, f", tied with {other}", f"，与 {other} 难分先后")


def _point_words(rows: pd.DataFrame, what: tuple[str, str], lang: Language) -> str:
    """What points are, and their lines where there are any."""
    if rows["ci_lower"].notna().any():
        return say(lang, f"point and line: {what[0]} with interval", f"点与线：{what[1]}及区间")
    return say(lang, f"point: {what[0]}", f"点：{what[1].strip()}")


def error_words(rows: pd.DataFrame, lang: Language) -> Words:
    """Which model is nearest to the truth."""
    among = rows[rows["of"] == "misplaced_share_among_slots"]
    title = say(lang, "How far the models are from the planted truth", "各模型与模拟真值的差距")
    if len(among) > 1:
        best, worst = (among.iloc[place] for place in (0, -1))
        low, high = format_rate(best["share"]), format_rate(worst["share"])
        title = say(
            lang,
            f"Simulated shop: {best['model']} misplaces least between slots, {low} of orders; {worst['model']} most, {high}",
            f"模拟店铺：{best['model']} 在坑位间错配最少（{low}），{worst['model']} 最多（{high}）",
        )
    return title, say(lang, "dashed: what chance alone would misplace", "虚线：仅随机所致的错配")


def target_share_words(rows: pd.DataFrame, lang: Language) -> Words:
    """Which slot's share changes most from the first step of the funnel to the last, usually the purchase."""
    targets = in_funnel_order(rows["target"])
    steps = [target for target in targets if target in FUNNEL_STEPS]
    start, end = (steps if len(steps) > 1 else targets)[0], targets[-1]
    wide = rows.pivot(index="name", columns="target", values="conversion_share")
    change = (wide[end] - wide[start]).dropna().abs()
    title = say(lang, "Shares of the top slots by target", "头部坑位在各目标中的占比")
    if len(change):
        name = change.index[int(change.to_numpy().argmax())]
        first, last = (format_rate(wide[target].to_dict()[name]) for target in (start, end))
        one, other = (target_words(target, lang) for target in (start, end))
        title = say(
            lang,
            f"{short_name(name)} brings {first} of {one} and {last} of {other}: the largest change",
            f"{short_name(name)} 带来 {first} 的{one}、{last} 的{other}，变化最大",
        )
    model = rows["model"].iloc[0]
    return title, say(lang, f"share of each target's conversions, {model}", f"占各目标转化的比例，{model}")


def leak_words(rows: pd.DataFrame, lang: Language) -> Words:
    """The weakest step of the slot with the most at stake."""
    title = say(lang, "No slot loses more at a step than comparable slots do", "没有坑位在某环节的流失超出可比坑位")
    worst = rows[rows["role"] == "loses_most"]
    if len(worst):
        one = worst.iloc[0]
        title = weakest_step_words(short_name(one["name"]), one, lang)
    told = [
        say(lang, "point: users of the step before that go on, shrunk", "点：上一步用户中继续的比例（收缩后）"),
        say(lang, "tick: comparable slots", "竖线：可比坑位"),
        say(lang, "orange: loses more than chance allows", "橙色：流失超出随机波动"),
        say(lang, "on the right: the slot's share of all such conversions", "右侧：占全部该转化的比例"),
    ]
    return title, _joined(told if len(worst) else [*told[:2], told[3]], lang)


def concentration_words(placed: pd.DataFrame, lang: Language) -> Words:
    """The share of the first positions; without a comparison, why there is none."""
    top = placed[placed["is_top"]].tail(1)
    if top.empty:
        title = say(lang, "How uneven slots are, by contribution", "各坑位贡献的集中程度")
        return title, say(lang, "no slot has a position, so there is no benchmark", "坑位没有位置信息，无基准可比")
    one = top.iloc[0]
    place, share = int(one["place"]), format_rate(one["cumulative_share"])
    if placed["is_top"].all():
        return (
            say(
                lang,
                f"There are only {place} positions: nothing to hold against a benchmark",
                f"仅有 {place} 个位置，无法与基准比较",
            ),
            "",
        )
    low, high, value = one["benchmark_lower"], one["benchmark_upper"], one["cumulative_share"]
    side = say(lang, *(("below", "低于") if value < low else ("above", "高于") if value > high else ("within", "处于")))
    return (
        say(
            lang,
            f"The first {place} positions earn {share} of slot sales, {side} the usual {low:.0%}–{high:.0%}",
            f"前 {place} 个位置占坑位贡献的 {share}，{side}常见的 {low:.0%}–{high:.0%}",
        ),
        say(
            lang,
            f"grey bar: usual for the first {place}; shaded: interval",
            f"灰柱：前 {place} 位的常见占比；浅色：区间",
        ),
    )


def misfit_words(rows: pd.DataFrame, lang: Language) -> Words:
    """The slot farthest off, or that none is."""
    count = int((rows["role"] != "usual").sum())
    title = say(
        lang, "No slot earns more or less than its position can explain", "没有坑位的贡献超出其位置所能解释的范围"
    )
    if count:
        one = rows.iloc[0]
        title = say(
            lang,
            f"{short_name(one['name'])} earns {one['ratio']:.1f} times what its position explains; {count} out of the usual",
            f"{short_name(one['name'])} 的贡献为位置所能解释的 {one['ratio']:.1f} 倍；共 {count} 个超出常见范围",
        )
    told = [
        _point_words(rows, ("slot", "坑位"), lang),
        say(lang, "grey: usual range", "灰带：常见范围"),
    ]
    if count:
        told.append(say(lang, "green above, orange below it", "绿色高于、橙色低于该范围"))
    return title, _joined(told, lang)


def content_words(rows: pd.DataFrame, lang: Language) -> Words:
    """The content whose place misleads most, else the best."""
    traps, one = rows[rows["is_trap"]], rows.iloc[0]
    if len(traps):
        one = traps.iloc[int((traps["raw_ratio"] / traps["appeal"]).map(lambda times: max(times, 1 / times)).argmax())]
    name, raw, appeal = short_name(one["name"]), f"{one['raw_ratio']:.2f}", f"{one['appeal']:.2f}"
    title = say(
        lang,
        f"At equal place {name} is clicked {appeal} times as often as the average content",
        f"同等位置下，{name} 的点击为平均素材的 {appeal} 倍",
    )
    if len(traps):
        title = say(
            lang,
            f"{name} is clicked {raw} times as often as the average, at equal place {appeal} times",
            f"{name} 的点击率为平均的 {raw} 倍，同等位置下为 {appeal} 倍",
        )
    told = [
        say(lang, "point and line: at equal place, with interval", "实心点与线：同等位置及区间"),
        say(lang, "ring: click-through rate as it is", "空心圈：实际点击率"),
    ]
    if (rows["role"] == "personalised").any():
        told.append(say(lang, "orange: shown to other people than its neighbours", "橙色：展示因人而异"))
    return title, _joined(told, lang)


def retention_words(rows: pd.DataFrame, unit: str, lang: Language) -> Words:
    """How many of the most used slot's users come back, to it and to the site."""
    first = rows[(rows["name"] == rows["name"].iloc[0])].sort_values("period_index").drop_duplicates("series")
    rates = first.set_index("series")["rate"]
    again, back = format_rate(rates["slot"]), format_rate(rates["site"])
    name, number = short_name(first["name"].iloc[0]), int(first["period_index"].iloc[0])
    after = say(lang, f"{number} {unit}{'s' if number > 1 else ''}", f"{number} {'周' if unit == 'week' else '天'}")
    title = say(
        lang,
        f"After {after} {again} of the users of {name} use it again, {back} come back to the site",
        f"{after}后，{name} 的用户中 {again} 再次使用它，{back} 回到站内",
    )
    hollow = say(lang, "hollow: only part of the users could be followed so far", "空心：仅部分用户可观察到该期")
    return title, "" if rows["is_complete"].all() else hollow


def attributable_words(table: pd.DataFrame, lang: Language) -> Words:
    """Share of all orders, and from which day to which it goes."""
    orders, rate = format_count(table["order_count"].sum()), format_rate(table["whole"].iloc[0])
    low, high = (format_rate(one, 0) for one in (table["attributable_rate"].min(), table["attributable_rate"].max()))
    title = say(
        lang,
        f"{rate} of {orders} paid orders have a slot before them, {low} to {high} by day",
        f"{orders} 笔支付订单中 {rate} 有坑位触点，各日 {low} 至 {high}",
    )
    return title, say(lang, "near 0: touches were probably not recorded that day", "接近 0：当日触点可能未被记录")


def position_words(rows: pd.DataFrame, lang: Language) -> Words:
    """Click-through rate at the top and at the bottom of the page seen most, if their intervals lie apart."""
    page = rows.groupby("page")["impression_count"].sum().idxmax()
    mine = rows[rows["page"] == page].sort_values("position")
    first, last = mine.iloc[0], mine.iloc[-1]
    if not (first["ci_lower"] > last["ci_upper"] or first["ci_upper"] < last["ci_lower"]):
        return say(lang, "Click-through rate by position", "各位置的点击率"), ""
    top, bottom = (format_rate(one["click_through_rate"]) for one in (first, last))
    return (
        say(
            lang,
            f"On page {short_name(page)} the click-through rate goes from {top} at the top to {bottom} at the bottom",
            f"页面 {short_name(page)} 的点击率从顶部 {top} 到底部 {bottom}",
        ),
        "",
    )


def _joined(told: list[str], lang: Language) -> str:
    return say(lang, "; ", "；").join(told)
