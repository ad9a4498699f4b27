"""Pictures of users: they read their tables, hold their numbers, leave words room and suit white and dark paper."""

import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from user_shops import segments_of_weeks

from workbench.metrics.user_states import UserPeriods
from workbench.report.charts import finite
from workbench.report.figure import Figures
from workbench.report.theme import INKS, PALETTES
from workbench.user import charts
from workbench.user.chart_rows import FLOW_HEIGHT, LINE_HEIGHT, two_lines
from workbench.user.migration import migration_table, moves_of
from workbench.user.strategy import load_strategies

PICTURES = [
    charts.quadrant_picture,
    charts.history_picture,
    charts.profile_picture,
    charts.flow_picture,
    charts.migration_picture,
    charts.outflow_picture,
    charts.lifecycle_picture,
    charts.silence_picture,
    charts.next_purchase_picture,
]
PAPERS = {"light": "#fdfcfa", "dark": "#15181c"}  # of the page's style sheet
LONG = {
    "high_high": "High average order value, high days since the last visit",
    "high_low": "High average order value, low days since the last visit",
    "low_high": "Low average order value, high days since the last visit",
    "low_low": "Low average order value, low days since the last visit",
}
NAMES = {
    "high_high": "Frequent and valuable",
    "high_low": "Frequent but low-value",
    "low_high": "Rare but valuable",
    "low_low": "Rare and low-value",
    "new": "New",
    "returned": "Returned",
    "gone": "Gone",
}


def of_tables(lang="en", **tables):
    """All that a picture may ask of an analysis."""
    return SimpleNamespace(lang=lang, tables=tables, findings=())


def moved(*rows, has_money=True, names=NAMES):
    """The migration table of one period: origin and target by number, users, paid before and after."""
    columns = ["origin", "target", "user_count", "paid_before", "paid_amount"]
    rest = {"stopped_count": 0, "stopped_paid_before": 0.0, "order_count": 0, "x_sum": 0.0, "y_sum": 0.0}
    sums = pd.DataFrame(list(rows), columns=columns).assign(period_index=1, **rest)
    periods = UserPeriods((20_000, 20_007), period_days=7, window_days=14)
    name = {**NAMES, **names}.__getitem__
    return migration_table(moves_of(sums, 2), periods, 0, name, has_money=has_money, confidence_level=0.95)


# 100 users before: 60 stay, 15 change groups, 25 are gone; 20 come. 1: high_high, 2: high_low, 3: low_high, 4: low_low.
MOVES = (
    (1, 1, 20, 900.0, 950.0),
    (1, 2, 10, 400.0, 0.0),
    (1, 0, 5, 90.0, 0.0),
    (2, 2, 40, 0.0, 0.0),
    (2, 3, 3, 0.0, 60.0),
    (2, 0, 20, 0.0, 0.0),
    (4, 1, 2, 0.0, 30.0),
    (5, 4, 12, 0.0, 0.0),
    (6, 2, 8, 0.0, 0.0),
)


def quadrants_of(users, names=NAMES, shares=(0.6, 0.2, 0.15, 0.05)):
    """The last period's four groups."""
    users = np.asarray(users, dtype=float)
    return pd.DataFrame(
        {
            "period_index": 3,
            "quadrant": list(NAMES)[:4],
            "name": [names[one] for one in list(NAMES)[:4]],
            "user_count": users,
            "user_share": users / max(users.sum(), 1),
            "amount_share": shares,
            "paid_amount": 1000 * np.asarray(shares, dtype=float),
            "x_mean": 2.0,
            "y_mean": 30.0,
            "x_threshold": 4.0,
            "y_threshold": 1234.0,
            "x_metric": "visit_days",
            "y_metric": "paid_amount",
        }
    )


def profile_of(*rows):
    """Rows of quadrant, dimension, value, share, share of the others, lower, upper, is_different."""
    columns = ["quadrant", "dimension", "value", "user_share", "rest_share", "ci_lower", "ci_upper", "is_different"]
    table = pd.DataFrame(list(rows), columns=columns)
    return table.assign(difference=table["user_share"] - table["rest_share"])


def alerts_of(*ways):
    """By way (origin, target, its shares, the periods of alarms, the reason) one row per period; judged from the third."""
    rows = []
    for origin, target, shares, alarms, reason in ways:
        for period, share in enumerate(shares):
            is_judged = reason is None and period >= 2
            rows.append(
                {
                    "period_index": period,
                    "start_date": f"2026-03-{1 + 7 * period:02d}",
                    "end_date": f"2026-03-{8 + 7 * period:02d}",
                    "from_group": origin,
                    "from_name": NAMES[origin],
                    "to_group": target,
                    "to_name": NAMES.get(target, "Stopped coming"),
                    "user_count": round(1000 * share),
                    "from_user_count": 1000,
                    "row_share": share,
                    "expected_share": 0.2 if is_judged else np.nan,
                    "expected_lower": 0.18 if is_judged else np.nan,
                    "expected_upper": 0.22 if is_judged else np.nan,
                    "p_value": 0.001 if period in alarms else 0.5 if is_judged else np.nan,
                    "excess_users": 0.0,
                    "amount_at_risk": 0.0,
                    "is_alarm": period in alarms,
                    "is_watched": origin == "high_low" and target in ("low_low", "gone"),
                    "since_date": f"2026-03-{1 + 7 * period:02d}" if period in alarms else None,
                    "reason": reason or (None if is_judged else "short_history"),
                }
            )
    return pd.DataFrame(rows).sort_values("is_alarm", ascending=False, kind="stable")


def drawn(picture):
    """The specification and its rows by data set."""
    spec = picture.to_dict()
    return spec, list(spec["datasets"].values())


def words_of(picture):
    """Title and subtitle."""
    title = picture.to_dict()["title"]
    return [" ".join(one) if isinstance(one, list) else one for one in (title["text"], title.get("subtitle", ""))]


def rows_with(picture, column):
    return next(rows for rows in drawn(picture)[1] if column in rows[0])


# -- all of them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_picture_of_the_sample_draws_and_brings_no_colours_of_its_own(analysed, lang):
    analysis = replace(analysed(segments_of_weeks), lang=lang)
    figures = Figures(lang)
    for picture in PICTURES:
        spec = finite(picture(analysis).to_dict())
        assert figures.add(spec).count("<svg") == 1
        plain = json.dumps({key: value for key, value in spec.items() if key != "datasets"})
        # An orange and a grey that are read on both papers; all others follow the theme into the dark.
        assert set(re.findall(r"#[0-9a-f]{6}", plain)) <= {charts._ORANGE, charts._GREY}
        assert all(len(lines) <= 4 for lines in (spec["title"]["text"], spec["title"].get("subtitle", [])[:1]))


def test_pictures_of_nothing_are_none(analysed):
    whole = analysed(segments_of_weeks)
    none = {name: table.iloc[:0] for name, table in whole.tables.items()}
    none["quadrants"] = whole.tables["quadrants"].query("period_index == 3").assign(user_count=0)
    for picture in PICTURES:
        assert picture(replace(whole, tables=none)) is None, picture.__name__


# -- the groups ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [NAMES, LONG])
def test_circles_and_words_of_the_groups_keep_apart(names):
    picture = charts.quadrant_picture(of_tables(quadrants=quadrants_of([5000, 90, 0, 3], names)))
    layers = picture.to_dict()["layer"]
    circle = next(one for one in layers if "size" in one["encoding"])
    radius = math.sqrt(circle["encoding"]["size"]["scale"]["range"][1] / math.pi)
    across, down = (circle["encoding"][f"{axis}Offset"]["value"] for axis in "xy")
    texts = [one["mark"] for one in layers if one["mark"]["type"] == "text"]
    beside, above = ([one for one in texts if (one.get("align") == "left") is side] for side in (True, False))
    assert len(beside) == 2
    assert all(across + radius < one["dx"] for one in beside)
    lines = max(len(one["lines"].split("\n")) for one in rows_with(picture, "lines"))
    bottom_of_name = above[0]["dy"] + above[0]["lineHeight"] * (lines - 1) + 6
    assert bottom_of_name < down - radius
    assert bottom_of_name < min(one["dy"] for one in beside) - 5
    half = 29  # of a group's height where the picture has its least, 150 with axis and title
    assert max(down + radius, *(one["dy"] + 6 for one in beside)) <= half
    assert above[0]["dy"] - 6 >= -half


@pytest.mark.parametrize("at_zero", [False, True])
def test_names_of_groups_fit_half_a_phone_in_two_lines(at_zero):
    words = load_strategies()
    lines = (3.0, 0.0 if at_zero else 20.0)
    for one in NAMES:
        if "_" in one:
            name = words.name("visit_days", "paid_amount", one, "en", lines)
            told = two_lines(name)
            assert len(told) <= 2
            assert " ".join(told) == name  # nothing is cut
            assert max(map(len, told)) <= 18  # some 120 px: half the picture where the axis has long words


def test_lines_are_drawn_and_their_sides_named():
    picture = charts.quadrant_picture(of_tables(quadrants=quadrants_of([50, 30, 20, 10])))
    spec, _ = drawn(picture)
    rules = [one["encoding"] for one in spec["layer"] if one["mark"]["type"] == "rule"]
    assert sorted("".join(one) for one in rules) == ["x", "y"]
    base = next(one["encoding"] for one in spec["layer"] if one["mark"]["type"] == "point")
    assert json.loads(re.search(r'"[^"]*"', base["y"]["axis"]["labelExpr"])[0]) == "≤ 1,234"
    assert base["y"]["title"] == "paid amount"
    assert {one["money"] for one in rows_with(picture, "money")} == {f"{share}% of money" for share in (60, 20, 15, 5)}


def test_without_money_nothing_is_said_of_it():
    groups = quadrants_of([50, 30, 20, 10], shares=[np.nan] * 4)
    spec, _ = drawn(charts.quadrant_picture(of_tables(quadrants=groups)))
    assert "money" not in json.dumps(spec["layer"])
    assert "money" not in " ".join(spec["title"]["text"])


def test_names_keep_their_hyphens_and_falls_have_a_minus():
    groups = quadrants_of([500, 300, 200, 100]).assign(user_count_change=[10, -200, 5, 0])
    both = pd.concat([groups.assign(period_index=2), groups]).assign(end_date="2026-03-08")
    title, _ = words_of(charts.history_picture(of_tables(quadrants=both)))
    assert title == "Frequent but low-value changed most in the last period: −200 users (−40%)"


PROFILE = profile_of(
    ("high_high", "channel", "social_video", 0.30, 0.20, 0.05, 0.15, True),
    ("high_high", "age_group", "18-24", 0.30, 0.21, -0.01, 0.19, False),
    ("high_high", "region", "North", 0.10, 0.02, 0.01, 0.15, False),  # by itself, not among so many
    ("high_high", "coupon_use", "yes", 0.50, 0.30, 0.10, 0.30, True),
    ("high_high", "coupon_use", "no", 0.50, 0.70, -0.30, -0.10, True),
    ("low_low", "category", "stationery and office supplies", 0.05, 0.06, -0.04, 0.02, False),
    ("low_low", "channel", "(unknown)", 0.50, 0.20, 0.20, 0.40, True),
    ("low_low", "device", "web", 0.50, 0.20, np.nan, np.nan, False),
)


@pytest.mark.parametrize(
    ("lang", "labels"),
    [
        ("en", ["Coupon use: yes", "Channel: social_video", "Age group: 18-24", "Region: North"]),
        ("zh", ["用券：是", "渠道：social_video", "年龄段：18-24", "地区：North"]),
    ],
)
def test_values_are_told_with_their_column_and_grey_where_they_may_be_chance(lang, labels):
    analysis = of_tables(lang, quadrant_profile=PROFILE, quadrants=quadrants_of([500, 300, 200, 100]))
    picture = charts.profile_picture(analysis)
    rows = rows_with(picture, "sure")
    assert [one["label"] for one in rows if one["quadrant"] == "high_high"] == labels
    assert [one["sure"] for one in rows if one["quadrant"] == "high_high"] == [True, True, False, False]
    assert not any(one["sure"] for one in rows if one["lower"] <= 0 <= one["upper"])
    (long,) = [one["label"] for one in rows if one["quadrant"] == "low_low"]
    assert long.split("\n")[1] == "stationery and office supplies"
    title, told = words_of(picture)
    assert (
        title.replace(" ", "")
        == {
            "en": "Frequentandvaluable:50.0%ofitsbuyersusedacoupon,against30.0%oftheothers",
            "zh": "Frequentandvaluable的买家中，使用过优惠券的占50.0%，其他群体为30.0%",
        }[lang]
    )
    assert {"en": "grey", "zh": "灰色"}[lang] in told


def test_where_nothing_is_sure_the_title_says_so():
    analysis = of_tables(
        quadrant_profile=PROFILE.assign(is_different=False), quadrants=quadrants_of([500, 300, 200, 100])
    )
    assert "beyond chance" in words_of(charts.profile_picture(analysis))[0]


# -- moves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [NAMES, LONG], ids=["short", "long"])
def test_streams_are_as_wide_as_their_users_and_fill_their_groups(names):
    picture = charts.flow_picture(of_tables(migration=moved(*MOVES, names=names)))  # no other table is asked
    spec, _ = drawn(picture)
    streams, ends = (pd.DataFrame(rows_with(picture, column)) for column in ("is_stay", "middle"))
    assert streams["user_count"].sum() == 120
    assert list(streams["is_stay"]) == [True] * 2 + [False] * 7
    width = FLOW_HEIGHT / 120
    for t, (side, when) in enumerate((("from", "before"), ("to", "after"))):
        np.testing.assert_allclose(streams[f"bottom_{when}"] - streams[f"top_{when}"], width * streams["user_count"])
        column = ends[ends["t"] == t].set_index("group")
        assert column["user_count"].sum() == 120
        for group, own in streams.groupby(f"{side}_group"):
            own = own.sort_values(f"top_{when}")
            edges = [column["top"][group], *own[f"bottom_{when}"]]
            np.testing.assert_allclose(own[f"top_{when}"], edges[:-1])  # side by side, without a gap
            assert edges[-1] == pytest.approx(column["bottom"][group])
    assert list(ends.loc[ends["t"] == 0, "group"]) == ["high_high", "high_low", "low_low", "new", "returned"]
    assert list(ends.loc[ends["t"] == 1, "group"]) == ["high_high", "high_low", "low_high", "low_low", "gone"]
    lines = pd.DataFrame(rows_with(picture, "is_number"))
    for _, column in lines.groupby("t"):
        assert all(later - first >= LINE_HEIGHT - 1e-9 for first, later in pairwise(column["y"]))
    assert lines["y"].min() >= 0
    assert lines["y"].max() <= spec["height"]
    assert lines["text"].str.len().max() <= 17


def test_the_flow_tells_its_numbers():
    table = moved(*MOVES)
    picture = charts.flow_picture(of_tables(migration=table))
    title, told = words_of(picture)
    assert (
        title == "Of 100 users 60.0% stayed in their group, 15.0% changed it and 25.0% are gone; 20 are new or returned"
    )
    assert "2024-10-04 – 2024-10-10" in told
    stream = next(one for one in rows_with(picture, "is_stay") if (one["from_group"], one["to_group"]) == MOVED)
    assert [stream[one] for one in ("users", "share", "before", "after")] == ["10", "28.6%", "400.00", "0.00"]
    tips = [one["field"] for one in picture.to_dict()["layer"][0]["encoding"]["tooltip"]]
    assert tips == ["from_name", "to_name", "users", "share", "before", "after"]
    poor = charts.flow_picture(of_tables(migration=moved(*MOVES, has_money=False)))
    assert "before" not in [one["field"] for one in poor.to_dict()["layer"][0]["encoding"]["tooltip"]]


MOVED = ("high_high", "high_low")


def test_a_flow_of_newcomers_alone_divides_by_nobody():
    picture = charts.flow_picture(of_tables("zh", migration=moved((5, 4, 12, 0.0, 0.0))))
    assert words_of(picture)[0] == "新增与回流 12 人，此前没有用户"
    assert charts.flow_picture(of_tables(migration=moved((5, 4, 0, 0.0, 0.0)))) is None


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_the_matrix_is_read_on_white_and_dark_paper(shade):
    spec, _ = drawn(charts.migration_picture(of_tables(migration=moved(*MOVES))))
    cells, texts = spec["layer"]
    assert "color" not in cells["encoding"]
    assert texts["mark"] == {"type": "text"}  # both in the theme's colours
    ink, paper, cell = (INKS[shade]["ink"], PAPERS[shade], PALETTES[shade][0])
    for share in cells["encoding"]["opacity"]["scale"]["range"]:
        mixed = [
            round(share * int(cell[place : place + 2], 16) + (1 - share) * int(paper[place : place + 2], 16))
            for place in (1, 3, 5)
        ]
        high, low = sorted((luminance(ink), luminance("#" + "".join(f"{one:02x}" for one in mixed))), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2.2, success criterion 1.4.3


def test_the_matrix_holds_the_moves_that_nobody_made_of_groups_that_were():
    rows = rows_with(charts.migration_picture(of_tables(migration=moved(*MOVES))), "row_share")
    cells = {(one["from_group"], one["to_group"]): one["text"] for one in rows}
    assert cells["high_high", "high_low"] == "29%"
    assert cells["high_high", "low_low"] == "0%"
    assert cells["new", "low_low"] == "100%"
    assert not [one for one in cells if one[0] == "low_high"]  # nobody was there


FALL, RISE = ("high_low", "low_low"), ("low_low", "high_low")


def test_alarms_are_marked_and_the_range_of_the_history_drawn():
    table = alerts_of((*FALL, [0.2, 0.19, 0.21, 0.3, 0.2], [3], None), (*RISE, [0.5] * 5, [], None))
    picture = charts.outflow_picture(of_tables(migration_alerts=table))
    spec, (rows,) = drawn(picture)
    assert [one["start_date"] for one in rows] == [f"2026-03-{day:02d}" for day in (1, 8, 15, 22, 29)]
    assert [one["is_alarm"] for one in rows] == [False, False, False, True, False]
    marks = [one["mark"] for one in spec["layer"]]
    assert [one["type"] for one in marks] == ["bar", "tick", "line", "point", "text"]
    assert marks[3]["shape"] == "diamond"  # told by its shape, not by its colour alone
    low, high = spec["layer"][2]["encoding"]["y"]["scale"]["domain"]
    assert 0 <= low < 0.18
    assert 0.3 < high <= 1
    title, told = words_of(picture)
    assert "300 of 1,000" in title
    assert "diamond: alarm" in told
    assert "not judged" in told


def test_the_newest_alarm_is_drawn_though_an_older_one_was_dearer():
    table = alerts_of(("high_high", "gone", [0.2, 0.2, 0.4, 0.2], [2], None), (*FALL, [0.2] * 3 + [0.3], [3], None))
    table["amount_at_risk"] = table["from_group"].map({"high_high": 900.0, "high_low": 1.0})
    table = table.sort_values(["is_alarm", "amount_at_risk"], ascending=False)
    title, _ = words_of(charts.outflow_picture(of_tables(migration_alerts=table)))
    assert "300 of 1,000 users in “Frequent but low-value”" in title


@pytest.mark.parametrize(
    ("ways", "way", "words"),
    [
        # a loss that is judged goes before a larger rise, and before a watched one that is not judged
        (
            [
                (*RISE, [0.5] * 4, [], None),
                ("high_high", "gone", [0.2] * 4, [], None),
                (*FALL, [0.3] * 4, [], "few_users"),
            ],
            "“Frequent and valuable” to “Gone”",
            "no period beyond what the history explains",
        ),
        (
            [("high_high", "gone", [0.4] * 4, [], None), (*FALL, [0.2] * 4, [], None)],
            "“Frequent but low-value” to “Rare and low-value”",
            "no period beyond what the history explains",
        ),
        ([(*FALL, [0.2] * 2, [], None)], "“Frequent but low-value” to", "too short a history for alarms"),
        ([(*FALL, [0.2], [], "few_users")], "“Frequent but low-value” to", "too few users for alarms"),
    ],
)
def test_without_an_alarm_the_largest_judged_loss_is_shown_and_why_nothing_rang(ways, way, words):
    picture = charts.outflow_picture(of_tables(migration_alerts=alerts_of(*ways)))
    title, told = words_of(picture)
    assert title.startswith(way)
    assert title.endswith(words)
    assert "alarm" not in told or "without alarm" in told


# -- lifecycle and the next purchase ---------------------------------------------------------------------------


def test_counts_are_written_as_each_language_counts():
    assert "~s" in charts._counts("en").to_dict()["labelExpr"]
    assert "万" in charts._counts("zh").to_dict()["labelExpr"]
