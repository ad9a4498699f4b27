"""The questions that can be explored: which notebook, which analysis, which views and what leads from one to the next."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from workbench.errors import ParameterError, nearest
from workbench.language import Language, say
from workbench.report.notebook import find_notebook, load_notebook, parameters_of, title_of
from workbench.report.parameters import ParameterSpec


@dataclass(frozen=True)
class View:
    """One picture with its table.

    Attributes
    ----------
    name
        Stable name.
    title_en, title_zh
        What the chooser calls it.
    table
        Table of the analysis, or the name that a table of ``query`` gets.
    picture
        Dotted path of the function that draws it from the analysis; "" for bars of the table, or the table alone.
    pick
        Column whose clicked values filter the other views; "" for none. A name after ``=`` is that of a parameter which
        tells the column.
    leads_to
        Views that a pick opens, the first of them at once.
    measure
        Column that bars show where the picture cannot take clicks or there is none.
    rows
        What must hold in rows whose values can be picked, such as ``level`` being ``product``.
    brush
        Column of days on the x axis; days brushed there become the period.
    arguments
        Parameters that the picture wants besides the analysis.
    query
        Name of the function in ``drill.py`` that makes the table from the shop, if the analysis does not hold it.
    needs
        Tables beside its own that its picture reads.
    narrows
        Whether a pick asks the analysis anew, for the users picked alone.
    """

    name: str
    title_en: str
    title_zh: str
    table: str
    picture: str = ""
    pick: str = ""
    leads_to: tuple[str, ...] = ()
    measure: str = ""
    rows: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    brush: str = ""
    arguments: tuple[str, ...] = ()
    query: str = ""
    needs: tuple[str, ...] = ()
    narrows: bool = False

    def title(self, lang: Language) -> str:
        """What the chooser calls it."""
        return say(lang, self.title_en, self.title_zh)


@dataclass(frozen=True)
class Question:
    """A question of a notebook, as a panel asks it.

    Attributes
    ----------
    name
        Name of the panel, such as ``slots``.
    notebook
        Name of the notebook whose parameters it has, or its path.
    analyse
        Dotted path of the analysis, or the function itself.
    main
        Parameters shown first; the others fold under "More".
    views
        In the order of the chooser.
    live
        Dotted path of the function that answers for other users at once from held sums; "" for none.
    same
        Columns that hold what another name filters: ``from_group`` the ``quadrant``. A name after ``=`` is that of
        a parameter which tells the column.
    offers
        Where the values to choose of a parameter stand, if its kind does not tell them: dotted path of a tuple, or
        ``=`` and a column of users whose values they are.
    """

    name: str
    notebook: str
    analyse: str | Callable[..., Any]
    main: tuple[str, ...]
    views: tuple[View, ...]
    live: str | Callable[..., Any] = ""
    same: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    offers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def view(self, name: str) -> View:
        """The view of that name.

        Raises
        ------
        ParameterError
            If there is none.
        """
        for one in self.views:
            if one.name == name:
                return one
        names = [one.name for one in self.views]
        raise ParameterError(f'view: there is no "{name}"{nearest(name, names, ".")} Allowed: {", ".join(names)}.')

    def specs(self) -> tuple[ParameterSpec, ...]:
        """The parameters of its notebook."""
        path = find_notebook(self.notebook)
        return parameters_of(load_notebook(path), path.stem)

    def title(self, lang: Language) -> str:
        """The heading of its notebook."""
        return title_of(load_notebook(find_notebook(self.notebook)), lang) or self.name

    @property
    def stem(self) -> str:
        """Name of the notebook without folder and ending."""
        return find_notebook(self.notebook).stem

    def function(self) -> Callable[..., Any]:
        """The analysis."""
        return imported(self.analyse) if isinstance(self.analyse, str) else self.analyse

    def live_function(self) -> Callable[..., Any] | None:
        """What answers for other users at once."""
        return (imported(self.live) if self.live else None) if isinstance(self.live, str) else self.live

    def offered(self, counts: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, list[str]]:
        """Values to choose from by parameter, those of columns of users as counted."""
        return {
            name: [value for value, _count in counts.get(path[1:], ())] if path[0] == "=" else list(imported(path))
            for name, path in self.offers.items()
        }

    def column_of(self, column: str, parameters: Mapping[str, object]) -> str:
        """The name under which the values of a column filter other tables."""
        name = self.same.get(column, column)
        if not name.startswith("="):
            return name
        told = parameters.get(name[1:]) or column
        return str(told[0] if isinstance(told, list) else told)


def imported(path: str) -> Any:
    """Import ``workbench.slot:attribute_slots`` or ``workbench.slot.charts:leak_picture`` when it is needed."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _slots() -> Question:
    charts = "workbench.slot.charts"
    deeper = ("leak", "contents", "retention", "metrics")
    return Question(
        name="slots",
        notebook="slot_attribution",
        analyse="workbench.slot:attribute_slots",
        live="workbench.slot.live:live_tables",
        main=("start_date", "end_date", "only_users", "models", "credit_to", "lookback_hours"),
        same=MappingProxyType({"credited_id": "=credit_to"}),
        views=(
            View("traffic", "Traffic and orders", "流量与成交", "slot_metrics", f"{charts}:traffic_picture", "slot_id", deeper, "click_count"),
            View("credit", "Credit", "归因", "slot_credit", f"{charts}:ranking_picture", "credited_id", deeper, "conversion_share", needs=("slot_ranks",)),
            View("leak", "Where users leave", "流失环节", "slot_leak", f"{charts}:leak_picture", "slot_id", ("contents", "retention"), "user_count"),
            View("contents", "Contents of slots", "坑位内容", "slot_contents", "", "content_id", ("products",), "click_count", query="slot_contents"),
            View("products", "Products seen next", "随后浏览的商品", "content_products", "", "product_id", (), "click_count", query="content_products"),
            View("appeal", "Appeal of contents", "内容吸引力", "content_metrics", f"{charts}:content_picture", "content_id", ("products",), "click_count"),
            View("positions", "Positions", "位置", "slot_metrics", f"{charts}:position_picture", "slot_id", deeper, "click_through_rate"),
            View("misfit", "Beyond the position", "超出位置的贡献", "position_misfit", f"{charts}:misfit_picture", "slot_id", deeper, "ratio"),
            View("retention", "Who comes back", "回访", "slot_retention", f"{charts}:retention_picture"),
            View("days", "Orders that slots explain", "可归因订单", "attributable_rate", f"{charts}:attributable_picture", brush="date"),
            View("models", "Agreement of models", "模型一致性", "model_agreement", "", "credited_id", deeper, "spread"),
            View("metrics", "All slots", "全部坑位", "slot_metrics", "", "slot_id", deeper, "amount_credit"),
        ),
    )  # fmt: skip


def _coupons() -> Question:
    charts = "workbench.coupon.charts"
    deeper = ("decision", "repurchase", "money", "flow")
    coupons = MappingProxyType({"level": "coupon"})
    return Question(
        name="coupons",
        notebook="coupon_evaluation",
        analyse="workbench.coupon:evaluate_coupons",
        live="workbench.coupon.live:live_tables",
        main=("start_date", "end_date", "only_users", "coupon_ids", "subsidy_limit", "confidence_level"),
        views=(
            View("subsidy", "Subsidy", "补贴率", "coupon_scorecard", f"{charts}:subsidy_picture", "coupon_id", deeper, "subsidy_rate", coupons, arguments=("subsidy_limit",)),
            View("usage", "Used, and coming back", "使用与复购", "coupon_scorecard", f"{charts}:usage_picture", "coupon_id", deeper, "redemption_rate", coupons),
            View("criteria", "Five criteria", "五项标准", "coupon_scorecard", f"{charts}:criteria_picture", "coupon_id", deeper, "subsidy_rate", coupons),
            View("decision", "Keep, change, stop, or test", "保留、调整、停止或试验", "coupon_decision", "", "coupon_id", ("repurchase", "money", "flow"), "coupon_discount_amount"),
            View("repurchase", "Who buys again", "复购", "coupon_repurchase", f"{charts}:repurchase_picture"),
            View("money", "What tested coupons add", "试验带来的增量", "coupon_money", f"{charts}:money_picture"),
            View("flow", "Before payment or after", "支付前或支付后", "flow_experiment", f"{charts}:flow_picture"),
            View("depth", "How deep it cuts", "优惠深度", "coupon_depth", f"{charts}:depth_picture"),
        ),
    )  # fmt: skip


def _channels() -> Question:
    charts = "workbench.channel.charts"
    deeper = ("segments", "cohorts", "funnel", "payback", "prices")
    return Question(
        name="channels",
        notebook="channel_comparison",
        analyse="workbench.channel:compare_channels",
        live="workbench.channel.live:live_tables",
        main=("start_date", "end_date", "only_users", "population", "channel_basis", "conversion_days"),
        offers=MappingProxyType({"standardise_by": "workbench.metrics.population:USER_COLUMNS", "baseline": "=channel"}),
        views=(
            View("conversion", "Conversion", "转化率", "channel_scorecard", f"{charts}:conversion_picture", "channel", deeper, "conversion_rate"),
            View("gap", "Channel or audience", "渠道还是受众", "channel_adjusted", f"{charts}:gap_picture", "channel", deeper, "gap"),
            View("segments", "Segments", "细分人群", "channel_mix", "", "=standardise_by", ("cohorts",), "conversion_rate", narrows=True),
            View("cohorts", "Cohorts", "同期群", "channel_retention", f"{charts}:retention_picture"),
            View("funnel", "Where users are lost", "流失环节", "channel_funnel", f"{charts}:funnel_picture", "channel", deeper, "overall_rate"),
            View("repurchase", "Who buys again", "复购", "channel_scorecard", f"{charts}:repurchase_picture", "channel", deeper, "repurchase_rate_30"),
            View("curves", "Days to the next order", "再次购买的天数", "channel_repurchase", f"{charts}:curve_picture"),
            View("payback", "When it comes back", "回本", "channel_payback", f"{charts}:payback_picture", "channel", deeper, "balance_per_user"),
            View("economics", "What it costs", "成本", "channel_economics", "", "channel", deeper, "cost_per_new_user"),
            View("prices", "Prices", "价位", "channel_prices", f"{charts}:price_picture", "channel", deeper, "bought_share"),
            View("pairs", "Which channels differ", "哪些渠道有差异", "channel_pairs"),
        ),
    )  # fmt: skip


def _users() -> Question:
    charts = "workbench.user.charts"
    deeper = ("profile", "migration", "outflow", "contacts")
    return Question(
        name="users",
        notebook="user_quadrants",
        analyse="workbench.user:segment_users",
        live="workbench.user.live:live_tables",
        main=("start_date", "end_date", "only_users", "x_metric", "y_metric", "window_days", "period_days"),
        same=MappingProxyType({"from_group": "quadrant"}),
        views=(
            View("quadrants", "Groups", "分组", "quadrants", f"{charts}:quadrant_picture", "quadrant", deeper, "user_count"),
            View("history", "Groups over time", "分组变化", "quadrants", f"{charts}:history_picture", "quadrant", deeper, "user_count"),
            View("profile", "Who they are", "人群画像", "quadrant_profile", f"{charts}:profile_picture"),
            View("migration", "Who moves", "迁移", "migration", f"{charts}:migration_picture", "from_group", ("outflow", "profile"), "user_count"),
            View("outflow", "Alarms", "警报", "migration_alerts", f"{charts}:outflow_picture"),
            View("lifecycle", "Lifecycle", "生命周期", "lifecycle", f"{charts}:lifecycle_picture"),
            View("silence", "Silence", "沉默", "lifecycle_silence", f"{charts}:silence_picture"),
            View("next", "Next purchase", "下次购买", "next_purchase", f"{charts}:next_purchase_picture", "buyer_group", ("contacts",), "user_count"),
            View("contacts", "Whom to contact", "联系谁", "contacts", "", "quadrant", ("profile",), "contact_count"),
            View("tags", "Tags", "标签", "tags"),
        ),
    )  # fmt: skip


def _sales() -> Question:
    charts = "workbench.sales.charts"
    products = MappingProxyType({"level": "product"})
    return Question(
        name="sales",
        notebook="sales_overview",
        analyse="workbench.sales:overview_sales",
        live="workbench.sales.live:live_tables",
        main=("start_date", "end_date", "only_users", "compare_to", "segment_by"),
        offers=MappingProxyType(
            {"compare_to": "workbench.sales.spans:CHOICES", "segment_by": "workbench.sales.overview:SEGMENTS"}
        ),
        same=MappingProxyType({"member": "product_id"}),
        views=(
            View("history", "Day by day", "逐日", "sales_history", f"{charts}:history_picture", brush="date"),
            View("factors", "What changed it", "变化来源", "sales_contribution", f"{charts}:waterfall_picture"),
            View("segments", "Segments", "细分", "sales_contribution", f"{charts}:segment_picture", "segment", ("watched",), "contribution"),
            View("watched", "Watched series", "监测序列", "sales_watched"),
            View("alerts", "Alerts", "预警", "sales_alerts"),
            View("kpis", "Figures", "指标", "sales_kpis"),
            View("composition", "Profit", "利润构成", "profit_composition", f"{charts}:composition_picture"),
            View("ranking", "Products", "商品排行", "product_ranking", f"{charts}:ranking_picture", "member", ("stock", "together"), "net_amount", products),
            View("stock", "Stock", "库存", "stock_days", "", "product_id", ("together",), "days_of_stock"),
            View("together", "Bought together", "连带购买", "bought_together"),
        ),
    )  # fmt: skip


QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {one.name: one for one in (_slots(), _coupons(), _channels(), _users(), _sales())}
)
