"""Score coupons: who gets and uses them, what they take off, what is sold with them, who comes back."""

from collections.abc import Sequence

import pandas as pd
from ibis import _

from workbench.analysis import Analysis
from workbench.contract import UNKNOWN
from workbench.coupon.findings import coupon_findings, coupon_headline
from workbench.language import Language, say
from workbench.metrics.coupons import (
    ALL_COUPONS,
    any_coupon_orders,
    coupon_orders,
    coupon_repurchase,
    coupon_sums,
    grant_counts,
)
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.parameters import check_days, check_rate
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_counts, ratio_by_bucket
from workbench.stats.tables import divide, repurchase_columns

_SUMS = ["order_count", "gross_amount", "coupon_discount_amount", "paid_amount", "refund_amount"]
_MONEY = [
    "gross_amount",
    "coupon_discount_amount",
    "paid_amount",
    "refund_amount",
    "average_order_value",
    "subsidy_rate",
    "amount_share",
]


def evaluate_coupons(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    repurchase_days: Sequence[int] = (30, 60, 90),
    subsidy_limit: float = 0.20,
) -> Analysis:
    """Does a coupon earn more than it costs? The scorecard; its numbers are not causal.

    Parameters
    ----------
    shop
        Needs ``orders`` and ``coupon_grants``; ``coupons`` for names.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``; None is all the data. Grants count by when they
        were given, orders by when they were paid.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    repurchase_days
        Windows after a user's first paid order with the coupon in which another paid order counts.
    subsidy_limit
        Share of gross amount that a coupon should not exceed.

    Returns
    -------
    Analysis
        ``coupon_scorecard``: one row per coupon (``level`` coupon) by redeemed_count, and one for all
        coupons together (``level`` all, ``coupon_id`` null).

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    check_rate("confidence_level", confidence_level)
    check_rate("subsidy_limit", subsidy_limit)
    check_days("repurchase_days", repurchase_days)
    shop.require("coupon_evaluation", "orders", "coupon_grants")
    period = shop.period(start_date, end_date, timezone)
    paid = paid_orders(shop.orders)
    grants_table = shop.coupon_grants.mutate(coupon_id=_.coupon_id.cast("string").fill_null(UNKNOWN))
    used = coupon_orders(grants_table, paid)
    every = any_coupon_orders(used)
    inside = paid_in_period(paid, period)
    totals = shop.collect(inside.aggregate(order_count=inside.count(), paid_amount=inside.paid_amount.sum())).iloc[0]
    sums = pd.concat([shop.collect(coupon_sums(one, period)) for one in (used, every)], ignore_index=True)
    repeats = pd.concat([shop.collect(coupon_repurchase(one, paid, period, repurchase_days)) for one in (used, every)])
    grants = _with_total(shop.collect(grant_counts(grants_table, paid, period)))
    card = _scorecard(shop, grants, sums, repeats, totals, repurchase_days, confidence_level)
    return Analysis(
        name="coupon_evaluation",
        lang=lang,
        period=period,
        tables={"coupon_scorecard": card},
        headline=coupon_headline(card, period, lang, subsidy_limit, repurchase_days, shop),
        findings=coupon_findings(card, lang, subsidy_limit, repurchase_days),
        notes=_notes(shop, lang, card),
        flags=shop.flags(period, lang, has_orders=bool(totals["order_count"])),
    )


def _with_total(grants: pd.DataFrame) -> pd.DataFrame:
    """Add the row of all coupons; users of several coupons cannot be added, so holders are left out of it."""
    total = grants[["granted_count", "redeemed_count"]].sum().to_frame().T.assign(coupon_id=ALL_COUPONS)
    return pd.concat([grants[["coupon_id", "granted_count", "redeemed_count"]], total], ignore_index=True)


def _scorecard(
    shop: Shop,
    grants: pd.DataFrame,
    sums: pd.DataFrame,
    repeats: pd.DataFrame,
    totals: pd.Series,
    days: Sequence[int],
    confidence_level: float,
) -> pd.DataFrame:
    """One row per coupon and one for all together."""
    names = _names(shop)
    everything = [grants["coupon_id"], sums["coupon_id"], repeats["coupon_id"], pd.Series(names.index)]
    ids = pd.concat([one.astype(str) for one in everything]).drop_duplicates()
    for table in (grants, sums, repeats):
        table["coupon_id"] = table["coupon_id"].astype(str)
    card = pd.DataFrame(index=pd.Index(ids, name="coupon_id")).join(names)
    card["level"] = ["all" if one == ALL_COUPONS else "coupon" for one in card.index]
    card = card.join(grants.set_index("coupon_id"))
    card[["granted_count", "redeemed_count"]] = card[["granted_count", "redeemed_count"]].fillna(0)
    card["redemption_rate"] = divide(card["redeemed_count"], card["granted_count"])
    card = card.join(sums.groupby("coupon_id")[_SUMS].sum())
    card[_SUMS] = card[_SUMS].fillna(0)
    card["subsidy_rate"] = divide(card["coupon_discount_amount"], card["gross_amount"])
    card = card.join(_subsidy_interval(sums, confidence_level))
    amount_count = sums.groupby("coupon_id")["amount_count"].sum().reindex(card.index).fillna(0)
    card.loc[(amount_count == 0) & (card["order_count"] > 0), ["gross_amount", "paid_amount"]] = float("nan")
    card["average_order_value"] = divide(card["paid_amount"], amount_count)
    counts = repeats.set_index("coupon_id").reindex(card.index)
    card = card.join(repurchase_columns(counts.astype(float), days, confidence_level))
    no_orders = not totals["order_count"]
    card["order_share"] = float("nan") if no_orders else card["order_count"] / totals["order_count"]
    money = totals["paid_amount"]
    card["amount_share"] = card["paid_amount"] / money if money == money and money else float("nan")
    if not shop.has("coupon_grants", "order_id"):
        unknown = ["redeemed_count", "redemption_rate", "order_share", "amount_share", *_SUMS, "subsidy_rate"]
        card[unknown] = float("nan")
    if no_orders:
        card[[*_SUMS, "subsidy_rate"]] = float("nan")
    if not shop.has_money:
        card[[*_MONEY, "subsidy_ci_lower", "subsidy_ci_upper"]] = float("nan")
    return _ordered(card.reset_index())


def _names(shop: Shop) -> pd.DataFrame:
    """Name and kind of each coupon by its id as text; a coupon without a name is shown by its id."""
    if not shop.has("coupons"):
        return pd.DataFrame({"coupon_name": [], "coupon_kind": []}, dtype=object)
    found = shop.collect(shop.coupons.select("coupon_id", coupon_name=shop.coupons.name, coupon_kind=shop.coupons.kind))
    return found.assign(coupon_id=found["coupon_id"].astype(str)).set_index("coupon_id")


def _subsidy_interval(sums: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    if sums.empty:
        return pd.DataFrame({"subsidy_ci_lower": [], "subsidy_ci_upper": []}, dtype=float)
    wide = {
        name: sums.pivot(index="user_bucket", columns="coupon_id", values=name).fillna(0)
        for name in ("coupon_discount_amount", "gross_amount")
    }
    found = ratio_by_bucket(wide["coupon_discount_amount"], wide["gross_amount"], confidence_level=confidence_level)
    bounds = pd.DataFrame(
        {"subsidy_ci_lower": found.lower, "subsidy_ci_upper": found.upper}, index=wide["gross_amount"].columns
    )
    by_coupon = sums.groupby("coupon_id")[["gross_amount", "gross_squares"]].sum().reindex(bounds.index)
    few = effective_counts(by_coupon["gross_amount"], by_coupon["gross_squares"]) < MINIMUM_EFFECTIVE
    bounds.loc[few] = float("nan")
    return bounds


def _ordered(card: pd.DataFrame) -> pd.DataFrame:
    """Coupons by redemptions, then all together; the id of the row for all is null."""
    card["coupon_name"] = card["coupon_name"].fillna(card["coupon_id"])
    card["is_all"] = card["level"] == "all"
    card = card.sort_values(["is_all", "redeemed_count", "coupon_id"], ascending=[True, False, True])
    card.loc[card["is_all"], ["coupon_id", "coupon_name"]] = None
    first = ["level", "coupon_id", "coupon_name", "coupon_kind"]
    return card[[*first, *[name for name in card.columns if name not in (*first, "is_all")]]].reset_index(drop=True)


def _notes(shop: Shop, lang: Language, card: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        say(
            lang,
            "Nothing here is causal: orders with a coupon include those that would have come without it. "
            "A redemption is not an effect.",
            "本页数字均非因果：用券订单包含没有券也会发生的订单。核销不等于效果。",
        ),
        say(
            lang,
            "Redemption counts grants given in the period and used on a paid order up to the end of the data; grants "
            "whose validity has not ended may still be used.",
            "核销率统计期内发放、截至数据末已用于支付订单的券；尚在有效期内的券仍可能被使用。",
        ),
        say(
            lang,
            "Repurchase counts another paid order on a later local day after a user's first paid order with the coupon.",
            "复购指用户首个用券支付订单之后，在更晚的自然日再次支付。",
        ),
    ]
    if shop.has("experiments"):
        notes.append(
            say(
                lang,
                "Randomized experiments are in the data; their read-out is not part of this scorecard.",
                "数据中有随机实验，其结果不在本评分卡内。",
            )
        )
    else:
        notes.append(
            say(
                lang,
                "No experiments table: hold the coupon back from a random share of users to learn what it adds.",
                "没有 experiments 表：对随机一部分用户不发券，才能知道券带来多少增量。",
            )
        )
    single = card[card["subsidy_rate"].notna() & card["subsidy_ci_lower"].isna() & (card["order_count"] > 1)]
    if len(single):
        notes.append(
            say(
                lang,
                f"{len(single)} subsidy rates have no interval: fewer than {MINIMUM_EFFECTIVE} effective buyers, or no spread.",
                f"{len(single)} 个补贴率没有区间：有效买家不足 {MINIMUM_EFFECTIVE} 人，或没有差异。",
            )
        )
    if not shop.has("coupons"):
        notes.append(say(lang, "No coupons table: ids stand for names.", "没有 coupons 表，以编号代替名称。"))
    if not shop.has_money:
        notes.append(say(lang, "orders carry no amounts: money columns are empty.", "订单没有金额，金额列为空。"))
    if not shop.has("coupon_grants", "order_id"):
        notes.append(
            say(
                lang,
                "coupon_grants has no order_id: redemptions and coupon orders cannot be counted. Add it.",
                "coupon_grants 没有 order_id，无法统计核销与用券订单，请补充。",
            )
        )
    return tuple(notes)
