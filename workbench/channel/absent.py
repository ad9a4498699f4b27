"""Why a table of the channel report has no rows."""

from workbench.analysis import Analysis
from workbench.contract import UNKNOWN
from workbench.language import say


def why_empty(analysis: Analysis, table: str) -> str:
    """The reason in one sentence, for a table of the analysis that is empty; nothing where it is not.

    Parameters
    ----------
    analysis
        From ``compare_channels``.
    table
        Name of one of its tables.
    """
    lang = analysis.lang
    if len(analysis.tables[table]):
        return ""
    card = analysis.tables["channel_scorecard"]
    if card.empty or not card["user_count"].sum():
        return say(lang, "No user in this period.", "本期没有用户。")
    followed = card["conversion_eligible_count"].sum() > 0
    if not followed and table in ("channel_adjusted", "channel_mix", "channel_pairs"):
        return say(
            lang,
            "Nobody has been followed for conversion_days: there is no conversion to compare yet.",
            "没有用户观察满 conversion_days，暂无可比较的转化。",
        )
    if table == "channel_pairs":
        named = card[(card["channel"] != UNKNOWN) & (card["user_count"] > 0)]
        if len(named) < 2:
            return say(lang, "There is no second channel to compare with.", "没有第二个渠道可供比较。")
        return say(
            lang,
            "Fewer than two channels have enough users to be compared (min_users).",
            "用户数达到 min_users 的渠道不足两个。",
        )
    reasons = {
        "channel_mix": (
            "Nothing describes the audience: users carry none of the columns of standardise_by.",
            "没有描述受众的列：users 中没有 standardise_by 所列的列。",
        ),
        "channel_funnel": (
            "No funnel: these users have no events of at least two of its steps.",
            "没有漏斗：这些用户没有至少两个步骤的事件。",
        ),
        "channel_repurchase": ("Nobody made a first order in this period.", "本期没有首单。"),
        "channel_payback": (
            "No profit is known: orders need amounts and cost_amount, and enough users watched.",
            "利润未知：订单需要金额与 cost_amount，并有足够的观察用户。",
        ),
        "channel_prices": (
            "No prices: events with product_id and order lines with amounts are needed.",
            "没有价格：需要带 product_id 的事件和带金额的订单明细。",
        ),
    }
    return say(lang, *reasons.get(table, ("No rows in this period.", "本期没有数据行。")))
