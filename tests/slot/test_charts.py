"""The slot pictures: each draws in both languages or is None, reads tables only, and says what the tables say."""

import itertools
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from shops import write_shop

from workbench import open_shop
from workbench.report.charts import finite
from workbench.report.figure import Figures
from workbench.slot import attribute_slots, chart_rows, chart_words, charts
from workbench.slot.credit import TargetSums
from workbench.slot.findings import slot_findings
from workbench.slot.shares import credit_tables, make_resampling, model_agreement

PICTURES = [
    charts.traffic_picture,
    charts.ranking_picture,
    charts.error_picture,
    charts.target_picture,
    charts.leak_picture,
    charts.concentration_picture,
    charts.misfit_picture,
    charts.content_picture,
    charts.retention_picture,
    charts.attributable_picture,
    charts.position_picture,
]
FACTS = SimpleNamespace(rules=SimpleNamespace(credit_to="slot_id"), sums={}, has_intervals=True)
HTML = '<script>alert("x")</script> & "quotes"'
LONG = "首页第一屏品牌馆直播间限时秒杀会场入口" * 8


def tables_of_a_shop(users: int = 400, slots: int = 7) -> dict[str, pd.DataFrame]:
    """35 days of a page with some slots, the further down the less clicked; a third of the viewed products are paid."""
    rng = np.random.default_rng(1)
    visits = rng.poisson(3.0, users)
    user = np.repeat(np.arange(users), visits)
    begin = pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(rng.integers(0, 35 * 24 * 60, len(user)), unit="min")
    seen = pd.DataFrame({"user_id": np.char.add("u", user.astype(str)), "event_at": begin})
    seen = seen.loc[np.repeat(seen.index, slots)].reset_index(drop=True)
    place = np.tile(np.arange(slots), len(user))
    seen["slot_id"] = np.char.add("s", (place + 1).astype(str))
    seen["content_id"] = np.char.add("k", rng.integers(1, 6, len(seen)).astype(str))
    is_clicked = rng.random(len(seen)) < 0.5 / (1 + place) * np.where(seen["content_id"] == "k1", 1.5, 1.0)
    clicked = seen[is_clicked]
    parts = [seen.assign(event="view_promotion")]
    for minutes, event, kept in ((1, "select_promotion", 1.0), (2, "view_item", 0.8), (3, "add_to_cart", 0.7)):
        clicked = clicked[rng.random(len(clicked)) < kept]
        parts.append(clicked.assign(event=event, event_at=clicked["event_at"] + pd.Timedelta(minutes=minutes)))
    events = pd.concat(parts, ignore_index=True)
    is_promotion = events["event"].isin(["view_promotion", "select_promotion"])
    events[["slot_id", "content_id"]] = events[["slot_id", "content_id"]].where(is_promotion, None)
    bought = clicked[rng.random(len(clicked)) < 0.7].drop_duplicates(["user_id", "event_at"])
    orders = pd.DataFrame(
        {
            "order_id": [f"o{number}" for number in range(len(bought))],
            "user_id": bought["user_id"].to_numpy(),
            "submitted_at": bought["event_at"].to_numpy() + pd.Timedelta(minutes=9),
            "paid_at": bought["event_at"].to_numpy() + pd.Timedelta(minutes=10),
            "gross_amount": rng.integers(20, 200, len(bought)).astype(float),
        }
    )
    described = pd.DataFrame(
        {
            "slot_id": [f"s{number}" for number in range(1, slots + 1)],
            "name": [f"Banner {number} 横幅" for number in range(1, slots + 1)],
            "page": "home",
            "position": range(1, slots + 1),
            "kind": "banner",
        }
    )
    return {"events": events, "orders": orders, "slots": described}


@pytest.fixture(scope="module")
def analysis_of(tmp_path_factory):
    """Make the analysis of some tables, once each."""
    made = {}

    def make(name: str = "whole", *without: str, **arguments):
        key = (name, without, str(arguments))
        if key not in made:
            tables = tables_of_a_shop(slots=1 if name == "one" else 7)
            if "contents" in without:
                tables["events"] = tables["events"].drop(columns="content_id")
            kept = {table: rows for table, rows in tables.items() if table not in without}
            shop = open_shop(write_shop(tmp_path_factory.mktemp("shop") / name, **kept))
            few = {"bootstrap_replicates": 200, "top_n": 5, "models": ["last", "linear"]}
            made[key] = attribute_slots(shop, **few | arguments)
        return made[key]

    return make


@pytest.fixture
def with_truth(analysis_of):
    """The analysis with a truth to hold the models against."""
    analysis = analysis_of()
    error = pd.DataFrame(
        [
            ("purchase", "linear", 0.30, 0.02, 0.20),
            ("purchase", "last", 0.28, 0.02, 0.25),
            ("view_item", "last", 0.9, 0.02, 0.9),
        ],
        columns=[
            "target",
            "model",
            "misplaced_share",
            "misplaced_share_by_chance",
            "misplaced_share_among_slots",
        ],
    )
    return replace(analysis, tables={**analysis.tables, "model_error": error})


def specification(picture, analysis, lang: str = "en") -> dict | None:
    """What the report gets of a picture; None if there is none."""
    chart = picture(replace(analysis, lang=lang))
    return None if chart is None else finite(chart.to_dict())


def html_of(picture, spec: dict, lang: str) -> str:
    """What stands in the report: the caption and the still picture."""
    return Figures(lang).add(spec, on_first_screen=picture is charts.traffic_picture)


def named(pictures: dict) -> set[str]:
    return {picture.__name__ for picture, found in pictures.items() if found is not None}


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("picture", PICTURES, ids=lambda one: one.__name__)
def test_every_picture_draws_in_both_languages(with_truth, picture, lang):
    spec = specification(picture, with_truth, lang)
    html = html_of(picture, spec, lang)
    has_chinese = any("\u4e00" <= one <= "\u9fff" for one in "".join(spec["title"]["text"]))
    text = "".join(spec["title"]["text"]).replace("横幅", "")
    assert has_chinese if lang == "zh" else not any("\u4e00" <= one <= "\u9fff" for one in text)
    assert "NaN" not in html
    assert "undefined" not in html
    if picture is not charts.traffic_picture:
        assert "2026-03-02 – 2026-04-05, UTC" in " ".join(spec["title"]["subtitle"])


@pytest.mark.parametrize("picture", PICTURES, ids=lambda one: one.__name__)
def test_pictures_read_tables_and_nothing_else(with_truth, picture):
    before = {name: table.copy() for name, table in with_truth.tables.items()}
    bare = SimpleNamespace(tables=with_truth.tables, lang="en", period=with_truth.period)
    assert finite(picture(bare).to_dict()) == finite(picture(with_truth).to_dict())
    for name, table in with_truth.tables.items():
        pd.testing.assert_frame_equal(table, before[name])


def test_nothing_is_drawn_of_nothing(analysis_of):
    whole = analysis_of()
    empty = replace(whole, tables={name: table.head(0) for name, table in whole.tables.items()})
    assert named({picture: picture(empty) for picture in PICTURES}) == set()


@pytest.mark.parametrize(
    ("case", "arguments", "missing"),
    [
        (("whole", "slots"), {"targets": ["purchase"]}, {"position_picture", "misfit_picture", "target_picture"}),
        (
            ("whole", "orders"),
            {"targets": ["add_to_cart", "view_item"]},
            {"concentration_picture", "misfit_picture", "attributable_picture"},
        ),
        (
            ("one", "contents"),
            {"targets": ["purchase"]},
            {"misfit_picture", "content_picture", "target_picture"},
        ),
    ],
    ids=["no slots table", "no orders", "one slot without contents"],
)
def test_what_the_data_lack_is_not_drawn(analysis_of, case, arguments, missing):
    analysis = analysis_of(*case, **arguments)
    found = {picture: specification(picture, analysis, lang) for picture in PICTURES for lang in ("en", "zh")}
    assert named(found) == {picture.__name__ for picture in PICTURES} - {"error_picture"} - missing
    if "slots" in case:  # without positions slots can still be counted by contribution
        assert "各坑位贡献的集中程度" in found[charts.concentration_picture]["title"]["text"]


def test_without_replicates_there_are_points_and_no_intervals(analysis_of):
    analysis = analysis_of(bootstrap_replicates=0, targets=["purchase"])
    rows = chart_rows.ranking_rows(analysis.tables)
    assert rows["ci_lower"].isna().all()
    assert (rows["places"] == "").all()
    assert chart_rows.tied_runs(analysis.tables, rows).empty
    found = {picture: specification(picture, analysis) for picture in PICTURES}
    assert {"ranking_picture", "traffic_picture", "concentration_picture", "content_picture"} <= named(found)
    for picture in (charts.ranking_picture, charts.concentration_picture, charts.traffic_picture):
        html_of(picture, found[picture], "en")
    assert len(found[charts.ranking_picture]["layer"]) == 3
    title = found[charts.ranking_picture]["title"]
    assert "surely" not in title["text"][0]
    assert "interval" not in " ".join(title["subtitle"])
    assert "point: linear" in " ".join(title["subtitle"])
    assert "interval" in " ".join(specification(charts.ranking_picture, analysis_of())["title"]["subtitle"])


def test_harmful_long_and_equal_names_are_only_text(with_truth):
    names = {"s1": HTML, "s2": LONG, "s3": "Banner", "s4": "Banner"}

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        if "slot_name" not in table or "slot_id" not in table:
            return table
        return table.assign(slot_name=table["slot_id"].map(names).fillna(table["slot_name"]))

    other = replace(with_truth, tables={name: renamed(table) for name, table in with_truth.tables.items()})
    for picture in PICTURES:
        spec = specification(picture, other, "zh")
        assert len("".join(spec["title"]["text"])) < 200
        assert "<script" not in html_of(picture, spec, "zh")
    labels = set(chart_rows.ranking_rows(other.tables)["name"])
    assert {"Banner (s3)", "Banner (s4)"} <= labels


# -- ties --------------------------------------------------------------------------------------------------


def ranking_tables(shares: dict[str, float], sure: set[str]) -> dict:
    """Tables with one target and model; ``sure`` holds pairs such as "ac" that are told apart, larger share first."""
    ids = list(shares)
    both = {"target": "purchase", "model": "linear"}
    credit = pd.DataFrame(
        {
            **both,
            "credit_to": "slot_id",
            "credited_id": [*ids, "(direct)"],
            "conversion_credit": [*shares.values(), 1.0],
            "conversion_share": [*shares.values(), 0.2],
            "amount_share": np.nan,
            "ci_lower": 0.01,
            "ci_upper": 0.5,
        }
    )
    pairs = list(itertools.combinations(ids, 2))
    differences = pd.DataFrame(
        {
            **both,
            "credited_id": [one for one, _ in pairs],
            "other_id": [other for _, other in pairs],
            "is_order_sure": ["".join(pair) in sure for pair in pairs],
        }
    )
    ranks = [
        {
            **both,
            "credited_id": one,
            "rank_lower": 1 + sum(pair[1] == one for pair in sure),
            "rank_upper": len(ids) - sum(pair[0] == one for pair in sure),
        }
        for one in ids
    ]
    band = ["lowest_share", "lowest_model", "highest_share", "highest_model"]
    return {
        "slot_credit": credit,
        "slot_differences": differences,
        "slot_ranks": pd.DataFrame(ranks),
        "slot_metrics": pd.DataFrame({"slot_id": ids, "slot_name": [one.upper() for one in ids]}),
        "model_agreement": pd.DataFrame(columns=["target", "credited_id", *band]),
    }


def title_of(tables: dict, lang: str = "en") -> str:
    rows = chart_rows.ranking_rows(tables)
    return chart_words.ranking_words(tables, rows, chart_rows.tied_runs(tables, rows), lang)[0]


# a > b ~ c ~ d > e with b > d: a alone, (b, c) and (c, d) tied, e alone. The two runs share c, so they need two lanes.
CHAIN = ranking_tables(
    {"a": 0.3, "b": 0.2, "c": 0.15, "d": 0.1, "e": 0.05}, {"ab", "ac", "ad", "ae", "bd", "be", "ce", "de"}
)


def test_ties_by_hand():
    rows = chart_rows.ranking_rows(CHAIN)
    assert rows["label"].tolist() == ["1 · A", "2–3 · B", "2–4 · C", "3–4 · D", "5 · E"]
    runs = chart_rows.tied_runs(CHAIN, rows)
    assert runs.to_dict("records") == [{"first": 1, "last": 2, "lane": 0}, {"first": 2, "last": 3, "lane": 1}]
    title, told = chart_words.ranking_words(CHAIN, rows, runs, "en")
    assert title == "A earns most, 30.0% of paid orders, surely ahead of the rest"
    assert told.startswith("point and line: linear with interval")
    assert "joined on the right: order not sure" in told


def test_a_tie_at_the_top_is_said():
    shares = {"a": 0.3, "b": 0.2, "c": 0.1}
    # nothing is sure: one run over all three
    tables = ranking_tables(shares, set())
    rows = chart_rows.ranking_rows(tables)
    assert chart_rows.tied_runs(tables, rows).to_dict("records") == [{"first": 0, "last": 2, "lane": 0}]
    assert title_of(tables).endswith("tied with up to 2 others")
    assert title_of(tables, "zh").endswith("与至多 2 个难分先后")
    # one is not: it is named, also where it is not the next
    assert title_of(ranking_tables(shares, {"ac", "bc"})).endswith("tied with B")
    assert title_of(ranking_tables(shares, {"ab"})).endswith("tied with C")
    assert title_of(ranking_tables(shares, {"ab"}), "zh").endswith("与 C 难分先后")
    # the one that is not sure was not compared, so it is not in the picture
    tables = ranking_tables(shares, {"ab"})
    pairs = tables["slot_differences"]
    tables["slot_differences"] = pairs[pairs["other_id"] == "b"]
    assert chart_rows.ranking_rows(tables)["label"].tolist() == ["1–2 · A", "2–3 · B"]
    assert title_of(tables).endswith("tied with one other")


def test_tied_runs_are_those_of_a_search_through_all():
    """Against every run of neighbours, tried one by one."""
    rng = np.random.default_rng(5)
    ids = "abcdefgh"
    for _ in range(30):
        sure = {one + other for one, other in itertools.combinations(ids, 2) if rng.random() < 0.4}
        tables = ranking_tables({one: 0.2 - 0.01 * place for place, one in enumerate(ids)}, sure)
        runs = chart_rows.tied_runs(tables, chart_rows.ranking_rows(tables))
        spans = [(first, last) for first, last in itertools.combinations(range(8), 2)]
        good = [
            span
            for span in spans
            if not any("".join(pair) in sure for pair in itertools.combinations(ids[span[0] : span[1] + 1], 2))
        ]
        longest = [one for one in good if not any(two != one and two[0] <= one[0] and one[1] <= two[1] for two in good)]
        assert sorted(zip(runs["first"], runs["last"], strict=True)) == sorted(longest)
        for _, lane in runs.groupby("lane"):
            assert (lane["first"].to_numpy()[1:] > lane["last"].to_numpy()[:-1]).all()


def target_sums(rng: np.random.Generator, slots: int, users: int) -> TargetSums:
    """Credit of purchases in a random shop, as it comes from the engine: money where the number of slots is even."""
    bucket, item = rng.integers(0, 256, users), rng.choice(slots, users, p=rng.dirichlet(np.full(slots, 3.0)))
    value = rng.lognormal(0, rng.choice([0.1, 1.0]), users)
    cells = pd.DataFrame({"bucket": bucket, "item": item, "linear_conversions": 1.0, "linear_amount": value})
    cells = cells.groupby(["bucket", "item"], as_index=False).sum()
    total = {
        name: np.bincount(bucket, weights, minlength=256).astype(float)
        for name, weights in (("conversions", np.ones(users)), ("amount", value))
    }
    has_amount = slots % 2 == 0
    effective = value.sum() ** 2 / (value**2).sum() if has_amount else float(users)
    ids = tuple(f"s{number:02d}" for number in rng.permutation(slots))
    return TargetSums("purchase", ids, 256, has_amount, cells, total, total, float(users), effective, 0.01)


def test_label_line_and_title_never_contradict_each_other():
    """Over random shops, from the sums by bucket to the words of the picture."""
    rng = np.random.default_rng(29)
    resampling = make_resampling(300, 1, 0.95)
    said = Counter()
    for _ in range(80):
        sums = target_sums(rng, int(rng.integers(2, 9)), int(rng.choice([45, 300, 2_500])))
        most = int(rng.integers(2, 9))
        credit, differences, ranks = credit_tables(
            [sums],
            ["linear"],
            ["never"],
            resampling,
            credit_to="slot_id",
            compared_model="linear",
            most_compared=most,
        )
        tables = {
            "slot_credit": credit,
            "slot_differences": differences,
            "slot_ranks": ranks,
            "slot_metrics": pd.DataFrame({"slot_id": [*sums.ids, "never"], "slot_name": [*sums.ids, "never"]}),
            "model_agreement": model_agreement(credit),
        }
        rows = chart_rows.ranking_rows(tables)
        runs = chart_rows.tied_runs(tables, rows)
        title, _ = chart_words.ranking_words(tables, rows, runs, "en")
        tied = runs.loc[runs["first"] == 0, "last"]
        assert len(rows) == min(most, (credit["conversion_credit"] > 0).sum())
        if rows["rank_lower"].isna().any():
            assert rows["rank_lower"].isna().all()
            assert runs.empty
            assert title.endswith("of the paid amount" if sums.has_amount else "of paid orders")
            assert differences["is_order_sure"].isna().all()
            said["nothing"] += 1
            continue
        pairs = {
            (one, other): sure
            for one, other, sure in differences[["credited_id", "other_id", "is_order_sure"]].itertuples(index=False)
        }
        ids, label = rows["credited_id"].tolist(), rows.set_index("credited_id")[["rank_lower", "rank_upper"]]
        for one, other in itertools.combinations(ids, 2):  # labels count the verdicts
            if not pairs[one, other]:
                assert label.loc[one, "rank_upper"] >= 2
                assert label.loc[other, "rank_lower"] <= ids.index(other)
        for place, one in enumerate(ids):
            assert label.loc[one, "rank_lower"] == 1 + sum(pairs[two, one] for two in ids[:place])
        if most >= len(sums.ids):  # all were compared; one more slot was seen and has no credit
            lost = len(ids) + 1 - sum(pairs[ids[0], other] for other in ids[1:])
            assert label.iloc[0]["rank_upper"] in (lost, lost - 1)
        for run in runs.itertuples():  # a line joins only pairs that are not told apart
            assert not any(pairs[pair] for pair in itertools.combinations(ids[run.first : run.last + 1], 2))
        worst = int(label.iloc[0]["rank_upper"])
        if "surely ahead" in title:
            assert worst == 1
            assert tied.empty
            said["sure"] += 1
        elif "tied with up to" in title:
            assert title.endswith(f"tied with up to {worst - 1} others")
            assert tied.empty or tied.iloc[0] <= worst - 1
            said["several"] += 1
        else:
            name = title.rsplit("tied with ", 1)[1]
            assert worst == 2
            unsure = [other for other in ids[1:] if not pairs[ids[0], other]]
            assert [name] == (unsure or ["one other"])
            assert tied.empty or (tied.iloc[0] == 1 and name == ids[1])
            said["one"] += 1
    assert min(said[one] for one in ("nothing", "sure", "several", "one")) >= 3, said


# -- what the rows and words say ---------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "names"), [("content_id", ["Creative 1", "b"]), ("page", ["a", "b"])])
def test_other_things_than_slots_are_ranked_by_their_own_names(to, names):
    tables = ranking_tables({"a": 0.3, "b": 0.2}, {"ab"})
    tables["slot_credit"]["credit_to"] = to
    tables["content_metrics"] = pd.DataFrame({"content_id": ["a"], "content_name": ["Creative 1"]})
    assert chart_rows.ranking_rows(tables)["name"].tolist() == names


def test_the_ranking_stops_where_pairs_were_not_compared(analysis_of):
    """``top_n`` is 5 and seven slots have credit: nobody compared a sixth."""
    analysis = analysis_of()
    assert (analysis.tables["slot_credit"]["credited_id"] == "s7").any()
    assert len(chart_rows.ranking_rows(analysis.tables)) == 5


def shares_by_target(**shares: list[float]) -> pd.DataFrame:
    """Rows of the target picture: shares of the slots A and B by target, in the order given."""
    return pd.DataFrame(
        [
            {"name": name, "target": target, "model": "linear", "conversion_share": values[place]}
            for place, name in enumerate("AB")
            for target, values in shares.items()
        ]
    )


@pytest.mark.parametrize("order", list(itertools.permutations(["view_item", "add_to_cart", "purchase"])))
def test_the_purchase_is_held_against_the_first_step_in_whatever_order_targets_are_asked(order):
    shares = {"view_item": [0.5, 0.1], "add_to_cart": [0.1, 0.1], "purchase": [0.4, 0.3]}
    rows = shares_by_target(**{target: shares[target] for target in order})
    # A changes by 0.1 and B by 0.2; from add_to_cart on A would change by 0.3
    assert chart_words.target_share_words(rows, "en")[0] == (
        "B brings 10.0% of detail views and 30.0% of paid orders: the largest change"
    )
    assert chart_rows.in_funnel_order(rows["target"]) == ["view_item", "add_to_cart", "purchase"]


def test_an_event_outside_the_funnel_is_held_against_the_purchase_only_where_there_is_no_step():
    shares = {"purchase": [0.4, 0.3], "search": [0.1, 0.1]}
    assert (
        "10.0% of search and 40.0% of paid orders"
        in chart_words.target_share_words(shares_by_target(**shares), "en")[0]
    )
    rows = shares_by_target(**shares, begin_checkout=[0.4, 0.4])
    assert "40.0% of submitted orders and 30.0% of paid" in chart_words.target_share_words(rows, "en")[0]


def test_traffic_is_cut_at_the_medians_and_numbers_the_slots_to_change():
    metrics = pd.DataFrame(
        {
            "slot_id": list("abc"),
            "slot_name": list("ABC"),
            "page": "home",
            "position": [1.0, 2.0, 3.0],
            "click_count": [100, 50, 0],
            "conversion_credit": [5.0, 5.0, 0.0],
        }
    )
    focus = pd.DataFrame({"slot_id": ["a"]})
    rows = chart_rows.traffic_rows({"slot_metrics": metrics, "slot_focus": focus})
    # c was not clicked; 5 orders of 100 clicks, 5 of 50
    assert rows["orders_per_click"].tolist() == [0.05, 0.1]
    assert rows["label"].tolist() == ["1", ""]
    assert chart_words.traffic_words(rows, "en") == "Traffic × conversion: 1 of 2 slots to change"


def test_first_screen_picture_is_low(analysis_of):
    assert specification(charts.traffic_picture, analysis_of())["height"] <= 200


def contents(**columns) -> dict[str, pd.DataFrame]:
    base = {
        "content_id": ["good", "flattered", "bad", "alone"],
        "content_name": ["Good", "Flattered", "Bad", "Alone"],
        "impression_count": [1000, 1000, 1000, 500],
        "click_count": [100, 130, 40, 50],
        "click_through_rate": [0.10, 0.13, 0.04, 0.10],
        "appeal": [1.6, 0.7, 0.5, np.nan],
        "appeal_ci_lower": [1.4, 0.6, 0.4, np.nan],
        "appeal_ci_upper": [1.8, 0.8, 0.6, np.nan],
        "component": [1, 1, 1, 2],
        "is_separable": [True, True, True, False],
        "placement": [None, None, "personalised", None],
    }
    return {"content_metrics": pd.DataFrame(base | columns)}


def test_the_content_that_its_place_flatters_is_named():
    rows = chart_rows.content_rows(contents())
    # 270 clicks of 3,000: 0.09 on average; alone cannot be compared
    assert rows["name"].tolist() == ["Good", "Flattered", "Bad"]
    assert rows["raw_ratio"].round(2).tolist() == [1.11, 1.44, 0.44]
    assert rows["is_trap"].tolist() == [False, True, False]
    title, told = chart_words.content_words(rows, "en")
    assert title == "Flattered is clicked 1.44 times as often as the average, at equal place 0.70 times"
    assert "orange: shown to other people" in told


def test_without_a_trap_the_best_content_is_named():
    rows = chart_rows.content_rows(contents(appeal_ci_upper=[1.8, 1.1, 0.6, np.nan]))
    assert chart_words.content_words(rows, "en")[0].startswith("At equal place Good is clicked 1.60 times")


def test_ranges_beyond_the_axis_are_cut_at_it():
    misfit = pd.DataFrame(
        {
            "slot_id": list("abc"),
            "slot_name": list("ABC"),
            "page": "home",
            "position": [1.0, 2.0, 3.0],
            "credit": [9.0, 1.0, 1.0],
            "expected_credit": [3.0, 1.0, 1.0],
            "ratio": [3.0, 1.0, 0.0],
            "ci_lower": [2.0, 0.5, np.nan],
            "ci_upper": [4.0, 2.0, 1.0],
            "usual_lower": [0.5, 1e-9, 0.5],
            "usual_upper": [2.0, 1e9, 2.0],
            "misfit": ["above", None, None],
        }
    )
    rows = chart_rows.misfit_rows({"position_misfit": misfit})
    assert rows["name"].tolist() == ["A", "B"]  # a ratio of 0 has no place on a logarithmic axis
    low, high = rows[["axis_lower", "axis_upper"]].iloc[0]
    assert (low, high) == (pytest.approx(1 / 2.5), pytest.approx(4 * 1.15))
    assert rows.loc[1, ["band_lower", "band_upper"]].tolist() == [low, high]
    assert chart_words.misfit_words(rows, "en")[0] == (
        "A earns 3.0 times what its position explains; 1 out of the usual"
    )


def concentration(places: int, top_n: int, value: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "order_by": "position",
            "place": range(1, places + 1),
            "position": range(1, places + 1),
            "is_top": [place <= top_n for place in range(1, places + 1)],
            "cumulative_share": value,
            "benchmark_lower": 0.6,
            "benchmark_upper": 0.7,
        }
    )


@pytest.mark.parametrize(("value", "side"), [(0.5, "below"), (0.6, "within"), (0.7, "within"), (0.71, "above")])
def test_the_first_positions_are_held_against_the_band(value, side):
    title, _ = chart_words.concentration_words(concentration(40, 30, value), "en")
    assert title == f"The first 30 positions earn {value:.1%} of slot sales, {side} the usual 60%–70%"


def test_few_positions_are_not_held_against_the_band():
    title, _ = chart_words.concentration_words(concentration(8, 30), "en")
    assert title == "There are only 8 positions: nothing to hold against a benchmark"


def test_a_long_line_keeps_its_ends_and_the_place_that_counts():
    table = concentration(5_000, 1_003).assign(page="(all)", slot_id="s", slot_name="S", share=0.0)
    rows = chart_rows.concentration_rows({"slot_concentration": pd.concat([table, table.assign(page="home")])})
    assert len(rows) < 600
    assert {1, 1_003, 5_000} <= set(rows["place"])


def test_retention_is_weekly_only_if_weeks_were_followed():
    def tables(weeks: int) -> dict[str, pd.DataFrame]:
        days, steps = list(range(1, 15)), list(range(1, weeks + 1))
        rows = pd.DataFrame(
            {
                "slot_id": "a",
                "slot_name": "A",
                "unit": ["day"] * 14 + ["week"] * weeks,
                "period_index": days + steps,
                "user_count": 100,
                "retention_rate": 0.1,
                "ci_lower": np.nan,
                "ci_upper": np.nan,
                "site_retention_rate": 0.4,
                "is_complete": [place <= 3 for place in days + steps],
            }
        )
        return {"slot_retention": rows}

    rows, unit = chart_rows.retention_rows(tables(2))
    assert (unit, len(rows)) == ("day", 28)
    rows, unit = chart_rows.retention_rows(tables(4))
    assert (unit, len(rows)) == ("week", 8)
    assert chart_words.retention_words(rows, unit, "en") == (
        "After 1 week 10.0% of the users of A use it again, 40.0% come back to the site",
        "hollow: only part of the users could be followed so far",
    )


def test_the_step_that_loses_most_comes_first_and_is_said(analysis_of):
    leak = analysis_of().tables["slot_leak"].assign(is_largest_loss=False, stake_amount=np.nan)
    rows = chart_rows.leak_rows({**analysis_of().tables, "slot_leak": leak})
    assert chart_words.leak_words(rows, "en")[0].startswith("No slot loses more")
    where = (leak["slot_id"] == "s5") & (leak["step"] == "add_to_cart")
    leak.loc[where, ["is_largest_loss", "step_rate", "shrunk_rate", "comparable_rate"]] = [True, 0.2, 0.25, 0.5]
    rows = chart_rows.leak_rows({**analysis_of().tables, "slot_leak": leak})
    assert rows["name"].iloc[0] == "Banner 5 横幅"
    assert rows["name"].nunique() == 6
    title = "Banner 5 横幅's weakest step is detail view → cart: 20.0% go on, in comparable slots 50.0%"
    assert chart_words.leak_words(rows, "en")[0] == title
    assert chart_words.leak_words(rows, "zh")[0] == "Banner 5 横幅 最弱的环节是详情→加购：20.0% 继续，可比坑位 50.0%"
    tables = {**analysis_of().tables, "slot_leak": leak}
    found = {
        lang: [one for one in slot_findings(tables, lang, ["linear"], FACTS, top_n=5) if one.name == "leaking_step"]
        for lang in ("en", "zh")
    }
    assert [one.text for one in found["en"]] == [f"{title}."]
    assert found["zh"][0].text == "Banner 5 横幅 最弱的环节是详情→加购：20.0% 继续，可比坑位 50.0%。"
    assert (found["en"][0].cell.column, found["en"][0].value) == ("step_rate", 0.2)


def test_models_are_held_against_chance_between_slots(with_truth):
    rows = chart_rows.error_rows(with_truth.tables)
    assert set(rows["model"]) == {"linear", "last"}
    assert chart_words.error_words(rows, "en")[0] == (
        "Simulated shop: linear misplaces least between slots, 20.0% of orders; last most, 25.0%"
    )


def test_days_read_the_same_in_every_time_zone():
    """A bare day would be midnight in UTC, the evening before in America."""
    table = pd.DataFrame(
        {"date": ["2026-03-01"], "order_count": [4], "attributed_count": [3.0], "attributable_rate": 0.75}
    )
    rows = chart_rows.attributable_rows({"attributable_rate": table})
    assert rows["instant"].tolist() == ["2026-03-01T00:00:00"]
    assert chart_words.attributable_words(rows, "en")[0].startswith("75.0% of 4 paid orders")


def test_no_effect_of_the_position_is_claimed_that_may_be_chance():
    """The Open Bandit Dataset: 30 clicks at the first place and 18 at the last, and the intervals overlap."""
    rows = pd.DataFrame(
        {
            "page": "home",
            "position": [1.0, 2.0, 3.0],
            "impression_count": [3339, 3262, 3399],
            "click_through_rate": [0.0090, 0.0064, 0.0053],
            "ci_lower": [0.0062, 0.0042, 0.0034],
            "ci_upper": [0.0130, 0.0097, 0.0083],
        }
    )
    assert chart_words.position_words(rows, "en")[0] == "Click-through rate by position"
    apart = rows.assign(ci_upper=[0.0130, 0.0097, 0.0060])
    assert chart_words.position_words(apart, "en")[0] == (
        "On page home the click-through rate goes from 0.9% at the top to 0.5% at the bottom"
    )
    unknown = rows.assign(ci_lower=np.nan, ci_upper=np.nan)
    assert chart_words.position_words(unknown, "en")[0] == "Click-through rate by position"
