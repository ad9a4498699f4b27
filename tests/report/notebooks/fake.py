"""An analysis and a shop that are made up, for the test notebooks beside this file."""

import os
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from workbench.analysis import Action, Alert, Analysis, Cell, Finding, Headline, Watch
from workbench.errors import ParameterError, TableError
from workbench.period import Period
from workbench.report.publish import publish
from workbench.source.fingerprint import fingerprint_of_files

BAD_NAME = '<script>alert("x")</script>, =1+1'


@dataclass(frozen=True)
class FakeWarning:
    table: str
    count: int

    def message(self, lang: Literal["en", "zh"]) -> str:
        return "有订单没有渠道。" if lang == "zh" else "Orders have no channel."


@dataclass(frozen=True)
class FakeShop:
    name: str = "spring_shop"
    warnings: tuple[FakeWarning, ...] = (FakeWarning("orders", 1234),)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of_files(Path(os.environ.get("WORKBENCH_SOURCE", "no such shop")))

    def contents(self) -> pd.DataFrame:
        rows = [
            ("events", 1_200_345, pd.Timestamp("2025-12-31 17:00"), pd.Timestamp("2026-03-31 15:59")),
            ("users", 80_000, pd.NaT, pd.NaT),
        ]
        return pd.DataFrame(rows, columns=["table", "row_count", "first_at", "last_at"])


def refuse() -> None:
    raise TableError("orders: order_id repeats in 12 rows. Fix the source.")


def refuse_parameter() -> None:
    raise ParameterError("lookback_hours is 0; it must be above 0 hours.")


def ring(lang: Literal["en", "zh"]) -> None:
    """Publish an analysis that watches, with an alert of the newest days and one of days before."""
    cell = Cell("daily", {"date": "2026-03-01"}, "order_count")
    days = {"start_date": "2026-03-25", "end_date": "2026-04-01", "since_date": "2026-03-18"}
    now = Alert("orders", "Orders fell.", cell, 60.0, 120.0, None, **days, is_current=True)
    publish(replace(analyse(lang), watch=Watch((now, replace(now, name="old", is_current=False)), True)), FakeShop())


def sleep() -> None:
    """Long enough that whoever waits for it gives up."""
    Path(os.environ["WORKBENCH_SOURCE"], "asleep").write_text(str(os.getpid()))
    time.sleep(120)


def fail_once() -> None:
    """Fail the first time, and then no more."""
    mark = Path(os.environ["WORKBENCH_SOURCE"]).parent / "failed_once"
    if not mark.exists():
        mark.touch()
        raise ValueError("the network was away")


def change_data() -> None:
    """Write to the data while they are read, as a job that ends late does."""
    Path(os.environ["WORKBENCH_SOURCE"], "orders.csv").write_text(f"order_id\n{time.time()}\n")


def publish_demo(lang: Literal["en", "zh"]) -> None:
    publish(analyse(lang), FakeShop())


def source() -> str:
    return os.environ["WORKBENCH_SOURCE"]


def period() -> Period:
    return Period(date(2026, 1, 1), date(2026, 4, 1), "Asia/Shanghai", 0, 1, 0, 1_774_972_800_000)


def tables(shops: int = 5) -> dict[str, pd.DataFrame]:
    channels = ["live", "search", "app_push", "wechat", BAD_NAME][:shops]
    funnel = pd.DataFrame(
        {
            "channel": channels,
            "order_count": [1200, 900, 450, 300, 12],
            "conversion_rate": [0.0512345678901234, 0.041, 0.033, np.nan, 0.01],
            "paid_amount": [1234567.891, 800000.0, 99999.5, 3000.0, -12.5],
            "session_count": [23437, 21951, 13636, 10000, 1200],
            "is_new": [True, False, True, False, True],
            "first_date": [date(2026, 1, day) for day in range(1, 6)],
            "note": ["=1+1", "-5", "plain", None, "@x"],
        }
    )
    days = pd.date_range("2026-01-01", periods=60, freq="D")
    daily = pd.DataFrame({"date": days, "order_count": [100 + (day * 37) % 50 for day in range(60)]})
    return {"channel_funnel": funnel, "daily": daily}


def analyse(lang: Literal["en", "zh"]) -> Analysis:
    is_zh = lang == "zh"
    cell = Cell("channel_funnel", {"channel": "live"}, "conversion_rate")
    texts = (
        [
            "把付费搜索预算的 10% 移到直播：同样的花费下，直播每千次会话多带来 10 笔已付订单，先小范围试两周。",
            "暂停低频推送：打开率高但几乎没有带来订单，占用了用户的注意力，建议改为按兴趣推送。",
            "核对微信渠道的参数：三成会话没有渠道，转化率因此被低估，请先修复埋点再比较。",
        ]
        if is_zh
        else [
            "Move a tenth of the paid search budget to live rooms: per visit they bring more paid orders.",
            "Pause low-frequency push: it is opened often but brings almost no orders to the shop.",
            "Mend the WeChat links: three in ten sessions lack a channel, so its rate is too low.",
        ]
    )
    evidence: tuple = ("observed", "randomized", "descriptive")
    actions = tuple(
        Action(f"a{i}", text, cell, amount, low, high, "每月净实付金额" if is_zh else "net paid amount a month", kind)
        for i, (text, kind, amount, low, high) in enumerate(
            zip(
                texts,
                evidence,
                (123456.0, 20500.0, None),
                (98000.0, 8000.0, None),
                (150000.0, 33000.0, None),
                strict=True,
            )
        )
    )
    headers = "渠道 订单 转化率 实付金额 差异" if is_zh else "Channel Orders Conversion Paid Difference"
    rows = [
        ("直播" if is_zh else "Live rooms", "1,200", "5.1%", "123.5万" if is_zh else "1.23M", "+1.0%"),
        ("付费搜索" if is_zh else "Paid search", "900", "4.1%", "80.0万" if is_zh else "800k", "–"),
        ("推送" if is_zh else "App push", "450", "3.3%", "10.0万" if is_zh else "100k", "−0.8%"),
        ("微信" if is_zh else "WeChat", "300", "–", "3,000", "–"),
        (BAD_NAME, "12", "1.0%", "−12.50", "−3.1%"),
    ]
    verdict = (
        "直播的会话转化率最高（5.1%），比付费搜索高 1.0 个百分点；差距在三个月中每周都成立。"
        if is_zh
        else "Live rooms convert best (5.1% of sessions), one point above paid search, in every week of the quarter."
    )
    return Analysis(
        name="demo",
        lang=lang,
        period=period(),
        tables=tables(),
        headline=Headline(verdict, pd.DataFrame(rows, columns=headers.split()), "channel_funnel", actions),
        findings=(
            Finding("best", "直播最好。" if is_zh else "Live rooms convert best, at 5.1%.", cell, 0.0512),
            Finding("none", "微信没有数。" if is_zh else "WeChat has no rate.", cell, float("nan")),
        ),
        notes=("仅描述，不是因果。" if is_zh else "This describes; it does not prove a cause.",),
        flags=("数据已有 12 天未更新。",) if is_zh else ("The data are 12 days old.",),
    )


def bars(analysis: Analysis) -> Any:
    import altair as alt

    is_zh = analysis.lang == "zh"
    title = alt.TitleParams(
        "直播领先一个百分点" if is_zh else "Live rooms lead by one point",
        subtitle="会话转化率，2026-01 至 2026-03" if is_zh else "Paid orders per session, January to March 2026",
    )
    return (
        alt.Chart(analysis.tables["channel_funnel"], title=title)
        .mark_bar()
        .encode(
            x=alt.X("conversion_rate:Q", axis=alt.Axis(format="%"), title="转化率" if is_zh else "Conversion rate"),
            y=alt.Y("channel:N", sort="-x", title=None),
            tooltip=["channel:N", alt.Tooltip("conversion_rate:Q", format=".1%")],
        )
    )


def lines(analysis: Analysis) -> Any:
    import altair as alt

    x = alt.X("date:T", axis=alt.Axis(format="%m-%d"), title=None)
    return (
        alt.Chart(analysis.tables["daily"], title="每天的订单" if analysis.lang == "zh" else "Orders a day")
        .mark_line()
        .encode(x=x, y=alt.Y("order_count:Q", title=None))
        .properties(height=220)
    )


def linked(analysis: Analysis) -> Any:
    import altair as alt

    brush = alt.selection_interval(encodings=["x"])
    base = alt.Chart(analysis.tables["daily"]).mark_bar().encode(x="date:T", y="order_count:Q")
    left = base.properties(width=420, height=160).add_params(brush)
    right = base.encode(x=alt.X("order_count:Q", bin=True), y="count()").transform_filter(brush)
    return alt.hconcat(left, right.properties(width=420, height=160)).properties(title="Drag over days to choose them")
