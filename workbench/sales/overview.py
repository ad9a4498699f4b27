"""The sales picture: what sold, what changed it, where the money goes, and what is out of the ordinary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from workbench.analysis import Analysis, remembers
from workbench.errors import ParameterError
from workbench.language import Language, say
from workbench.parameters import check_choices, check_positive, check_rate
from workbench.sales.alerts import Alerts, annotated_days, find_alerts, no_alerts
from workbench.sales.baskets import COLUMNS as BASKET_COLUMNS
from workbench.sales.baskets import pairs_bought
from workbench.sales.collect import Collected, Totals, collect_sales
from workbench.sales.composition import COLUMNS as COMPOSITION_COLUMNS
from workbench.sales.composition import profit_composition
from workbench.sales.contribution import CATEGORY_COLUMNS, COLUMNS, category_contribution, sales_contribution
from workbench.sales.figures import ORDERS
from workbench.sales.findings import sales_findings
from workbench.sales.headline import sales_headline
from workbench.sales.headline_figures import sales_figures
from workbench.sales.kpis import COLUMNS as KPI_COLUMNS
from workbench.sales.kpis import sales_kpis
from workbench.sales.notes import sales_notes
from workbench.sales.ranking import COLUMNS as RANKING_COLUMNS
from workbench.sales.ranking import product_ranking
from workbench.sales.spans import Spans, Targets, find_spans
from workbench.sales.stock import stock_days
from workbench.sales.watch import sales_watch
from workbench.source.shop import Shop

QUESTION = "sales_overview"
SEGMENTS = ("channel", "region", "age_group", "gender", "device")


@remembers
def overview_sales(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    only_users: Sequence[str] = (),
    compare_to: str | Sequence[str] = "previous_period",
    segment_by: str = "channel",
    sales_targets: Sequence[str] | None = None,
    false_alarms_per_month: float = 1.0,
    annotated_dates: Sequence[str] = (),
    least_alert_amount: float | None = None,
) -> Analysis:
    """What sold, which factor and which segment changed it, and what is out of the ordinary?

    Parameters
    ----------
    shop
        Needs ``orders``; ``events`` for visitors, ``users`` for segments, ``order_lines`` for goods, ``channel_spend``,
        ``slots`` and ``stock`` for what they say.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``; None is all the data, which leaves nothing to compare with.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    only_users
        Users that it is about, as in ``Shop.only``; empty: all.
    compare_to
        ``previous_period``: as many days just before. ``previous_year``: 52 weeks before. Or a first day and the day
        after the last one, such as those of the last promotion; as many days as the period has.
    segment_by
        Column of users that divides visitors: ``channel``, ``region``, ``age_group``, ``gender``, ``device``.
    sales_targets
        Net sales planned for months, ISO weeks or days: ``["2026-06=100000", "2026-W24=25000", "2026-06-11=9000"]``.
    false_alarms_per_month
        How many alerts a month a quiet shop may get, over all series together.
    annotated_dates
        Days with a known reason, such as a promotion: alerts neither judge them nor learn from them.
    least_alert_amount
        Alerts of less money are left out; None: 1 % of a usual week's net sales.

    Returns
    -------
    Analysis
        ``sales_kpis`` (one row per grain, start_date and metric), ``sales_contribution`` (per part, factor and segment),
        ``category_contribution`` (per part, factor and category), ``profit_composition`` (per dimension and member),
        ``product_ranking`` (per level, ranking and member), ``stock_days`` (per product and region),
        ``bought_together`` (per pair of products), ``sales_alerts`` (per grain, start_date, metric and segment),
        ``sales_watched`` (per grain and series: what would have been an alert) and ``sales_history`` (per day).

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    shop = shop.only(only_users)
    asked = read_wishes(
        lang=lang,
        confidence_level=confidence_level,
        segment_by=segment_by,
        sales_targets=sales_targets,
        false_alarms_per_month=false_alarms_per_month,
        annotated_dates=annotated_dates,
        least_alert_amount=least_alert_amount,
    )
    shop.require(QUESTION, "orders")
    period = shop.period(start_date, end_date, timezone)
    spans = find_spans(period, compare_to)
    found = collect_sales(shop, period, spans, segment_by) if spans.now is not None else None
    alerts = watched_alerts(found, spans, asked)
    names = _product_names(shop)
    tables = {
        **changes(found, spans, asked),
        "category_contribution": _categories(found, lang),
        **_money(shop, found, spans, names),
        "stock_days": stock_days(shop, period, spans, names),
        "bought_together": _baskets(shop, found, names, spans, timezone, confidence_level),
        **alerts.tables,
    }
    has_orders = found is not None and bool(found.sums["now"].total[ORDERS])
    days = say(lang, f"{period.start_date} to {period.last_date}", f"{period.start_date} 至 {period.last_date}")
    return Analysis(
        name="sales_overview",
        lang=lang,
        period=period,
        tables=tables,
        headline=sales_headline(tables, spans, segment_by, lang, days),
        findings=sales_findings(tables, segment_by, lang) if has_orders else (),
        notes=sales_notes(shop, period, spans, found, alerts, tables, segment_by, lang),
        flags=shop.flags(period, lang, has_orders=has_orders),
        watch=sales_watch(tables, spans.now, lang),
        figures=sales_figures(tables, lang) if has_orders else (),
    )


@dataclass(frozen=True)
class Wishes:
    """What was asked of the sales picture beside its days; see ``overview_sales``."""

    lang: Language
    confidence_level: float
    segment_by: str
    targets: Targets
    false_alarms_per_month: float
    annotated: frozenset[date]
    least_alert_amount: float | None


def read_wishes(
    *,
    lang: Language,
    confidence_level: float,
    segment_by: str,
    sales_targets: Sequence[str] | None,
    false_alarms_per_month: float,
    annotated_dates: Sequence[str],
    least_alert_amount: float | None,
) -> Wishes:
    """Check the arguments of ``overview_sales`` and read those that are texts.

    Raises
    ------
    ParameterError
        If one of them cannot be used.
    """
    check_rate("confidence_level", confidence_level)
    check_choices("segment_by", [segment_by], SEGMENTS)
    check_positive("false_alarms_per_month", false_alarms_per_month, "alarms a month")
    if least_alert_amount is not None and not 0 <= least_alert_amount < float("inf"):
        raise ParameterError(f"least_alert_amount is {least_alert_amount}; it is an amount of money, 0 or more.")
    targets, annotated = Targets(sales_targets), annotated_days(annotated_dates)
    return Wishes(lang, confidence_level, segment_by, targets, false_alarms_per_month, annotated, least_alert_amount)


def changes(found: Totals | None, spans: Spans, asked: Wishes) -> dict[str, pd.DataFrame]:
    """``sales_kpis`` and ``sales_contribution``; empty where there is no period, the latter also without a comparison."""
    kpis, contribution = pd.DataFrame(columns=KPI_COLUMNS), pd.DataFrame(columns=COLUMNS)
    if found is not None:
        blocks = {days: found.whole_blocks(days) for days in (1, 7)}
        level, lang = asked.confidence_level, asked.lang
        kpis = sales_kpis(spans, found.sums, blocks, found.spend, asked.targets, found.known, level, lang)
        if "before" in found.sums:
            now, before = found.sums["now"], found.sums["before"]
            contribution = sales_contribution(now, before, asked.segment_by, found.known, level, lang)
    return {"sales_kpis": kpis, "sales_contribution": contribution}


def watched_alerts(found: Totals | None, spans: Spans, asked: Wishes) -> Alerts:
    """Alerts of the period; none where there is no period."""
    if found is None or spans.now is None:
        return no_alerts()
    return find_alerts(
        found.blocks,
        spans.now,
        found.known,
        false_alarms_per_month=asked.false_alarms_per_month,
        annotated=asked.annotated,
        minimum=asked.least_alert_amount,
        lang=asked.lang,
    )


def _categories(found: Collected | None, lang: Language) -> pd.DataFrame:
    if found is None or "before" not in found.sums:
        return pd.DataFrame(columns=CATEGORY_COLUMNS)
    return category_contribution(found.products, lang)


def _money(shop: Shop, found: Collected | None, spans: Spans, names: dict[str, str]) -> dict[str, pd.DataFrame]:
    if found is None or spans.now is None:
        return {
            "profit_composition": pd.DataFrame(columns=COMPOSITION_COLUMNS),
            "product_ranking": pd.DataFrame(columns=RANKING_COLUMNS),
        }
    has_cost = shop.has("orders", "cost_amount")
    composition = profit_composition(
        found.groups, found.products, names, found.spend, spans.now, has_cost=has_cost, has_money=shop.has_money
    )
    ranking = pd.DataFrame(columns=RANKING_COLUMNS)
    if shop.has_money:
        ranking = product_ranking(found.products, found.groups, found.floors, names, has_before="before" in found.sums)
    return {"profit_composition": composition, "product_ranking": ranking}


def _baskets(
    shop: Shop, found: Collected | None, names: dict[str, str], spans: Spans, timezone: str, confidence_level: float
) -> pd.DataFrame:
    if found is None:
        return pd.DataFrame(columns=BASKET_COLUMNS)
    return pairs_bought(shop, found.products, names, spans, timezone, confidence_level)


def _product_names(shop: Shop) -> dict[str, str]:
    """Names of products by id, where the shop has them."""
    if not shop.has("products", "name"):
        return {}
    products = shop.products
    named = shop.collect(products.select(id=products.product_id.cast("string"), name=products.name.cast("string")))
    named = named.dropna(subset=["name"])
    return dict(zip(named["id"], named["name"], strict=True))
