"""Sentences rest on cells, in both languages; pictures are there, or None where there is nothing to draw."""

import typing

import pandas as pd
import pytest
from shops import at

from workbench.experiment import charts, read_experiments
from workbench.experiment.plan import OUTCOMES
from workbench.experiment.verdicts import verdict_rows
from workbench.experiment.words import (
    OUTCOME_WORDS,
    REASON_WORDS,
    VERDICT_WORDS,
    interval_words,
    number_words,
    outcome_words,
)
from workbench.stats.experiment import Reason

PICTURES = [charts.verdict_picture, charts.outcome_picture, charts.curve_picture]
LANGS = ["en", "zh"]


def cell_of(analysis, sentence):
    table = analysis.tables[sentence.cell.table]
    for column, value in sentence.cell.key.items():
        table = table[table[column] == value]
    assert len(table) == 1, sentence
    return table[sentence.cell.column].item()


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """Both languages of a read-out with one of everything: too many crossed users, alarms, an arm that does harm."""
    from shops import frame, write_shop

    from workbench import open_shop

    arms, orders, start = [], [], pd.Timestamp("2026-03-10")
    sizes = {
        "a": {"control": 60, "treatment": 120},
        "b": {"control": 60, "low": 60, "off": 0},
        "c": {"control": 9, "d": 9},
    }
    for experiment, planned in sizes.items():
        for arm, size in planned.items():
            for number in range(size):
                user = f"{experiment}{arm}{number}"
                arms.append((experiment, user, arm, start))
                if experiment == "c":
                    continue
                worth = (20 if arm == "low" else 50) + number % 9
                orders.append((user, "2026-03-12", worth, 20.0 if arm == "low" else 0.0))
                if arm != "control":
                    orders.append((user, "2026-03-02", worth, 0.0))
    arms += [("b", "blow0", "control", start)]
    orders.append(("x", "2026-02-01", 1, 0.0))
    orders.append(("x", "2026-04-29", 1, 0.0))
    folder = write_shop(
        tmp_path_factory.mktemp("troubled") / "shop",
        orders=frame(
            "order_id user_id submitted_at paid_at gross_amount refund_amount cost_amount",
            *((n, user, paid, paid, float(worth), refund, 0.0) for n, (user, paid, worth, refund) in enumerate(orders)),
        ),
        experiments=frame(
            "experiment_id variant expected_share",
            *(("a", arm, 0.5) for arm in sizes["a"]),
            *(("b", arm, None) for arm in sizes["b"]),
        ),
        experiment_assignments=frame("experiment_id user_id variant assigned_at", *arms),
    )
    shop = open_shop(folder)
    return {lang: read_experiments(shop, outcome_days=[7], lang=lang) for lang in LANGS}


def test_every_kind_of_sentence_is_there(troubled):
    names = [one.name for one in troubled["en"].findings]
    assert names[:4] == [
        "experiment_broken",
        "experiment_worse",
        "experiment_not_answerable",
        "experiment_not_answerable",
    ]
    assert {"sample_ratio_alarm", "users_in_two_arms", "unbalanced_before", "guardrail_violated"} <= set(names)
    assert (
        troubled["en"].headline.verdict
        == "4 arms held against control: 1 worse, 1 not valid, 2 cannot say. Reason: an arm has no users whose window has elapsed."
    )
    texts = [one.text for one in troubled["en"].findings]
    assert len(set(texts)) == len(texts)
    assert "b · low: refunds rose by more than the margin allowed." in texts


@pytest.mark.parametrize("lang", LANGS)
def test_every_sentence_says_its_cell(troubled, lang):
    analysis = troubled[lang]
    for finding in analysis.findings:
        assert cell_of(analysis, finding) == pytest.approx(finding.value, nan_ok=True)
        assert "nan" not in finding.text.lower(), finding.text
        assert not any(reason in finding.text for reason in typing.get_args(Reason)), finding.text
    for action in analysis.headline.actions:
        value = cell_of(analysis, action)
        assert action.amount is None or action.amount == value
    assert [one.name for one in analysis.headline.actions] == ["experiment_broken", "experiment_worse"]


def test_both_languages_say_the_same(troubled):
    english, chinese = (troubled[lang] for lang in LANGS)
    for one, other in zip(english.findings, chinese.findings, strict=True):
        assert (one.name, one.cell) == (other.name, other.cell)
        assert one.text != other.text
        assert one.value == pytest.approx(other.value, nan_ok=True)
    assert len(english.notes) == len(chinese.notes)
    assert english.headline.table.shape == chinese.headline.table.shape
    for name, table in english.tables.items():
        pd.testing.assert_frame_equal(table, chinese.tables[name])


def test_what_is_not_valid_shows_no_change(troubled):
    table = troubled["en"].headline.table
    broken = table[table["Verdict"].isin(["not valid", "cannot say"])]
    assert len(broken) == 3
    assert set(broken["Change"]) == {"–"}
    assert set(broken["From – to"]) == {"–"}


def test_the_sentence_of_the_sample(analysed):
    """The words carry the table's numbers."""
    analysis = analysed(read_experiments)
    row = analysis.tables["experiment_verdict"].set_index("experiment_id").loc["holdout_c03"]
    text = next(one.text for one in analysis.findings if one.cell.key["experiment_id"] == "holdout_c03")
    assert text.startswith(f"holdout_c03: +{row['estimate']:.2f} profit per user in {row['outcome_days']:.0f} days")
    assert f"{row['n_treatment']:,.0f} against {row['n_control']:,.0f} users" in text


# -- words ------------------------------------------------------------------------------------------------------


def test_words_are_whole():
    assert set(OUTCOME_WORDS) == set(OUTCOMES)
    only_relative = {"control_mean_zero", "control_mean_negative"}
    assert set(REASON_WORDS) >= set(typing.get_args(Reason)) - only_relative - {"no_denominator"}
    for words in (OUTCOME_WORDS, VERDICT_WORDS, REASON_WORDS):
        assert all(len(pair) == 2 and pair[0] != pair[1] for pair in words.values())
    assert outcome_words("profit_per_user", "zh") == "人均利润"


def test_numbers_carry_their_unit():
    """Differences of rates are points, never per cent (rivals.md, fault 2)."""
    assert number_words(0.0123, "buyer_rate", "en", signed=True) == "+1.23 points"
    assert number_words(-0.0123, "buyer_rate", "en", signed=True) == "−1.23 points"
    assert number_words(0.5, "buyer_rate", "en") == "50.00%"
    assert number_words(-0.25, "orders_per_user", "en", signed=True) == "−0.2500"
    assert interval_words(-0.01, 0.02, "buyer_rate", "en") == "−1.00 – 2.00"
    assert interval_words(float("nan"), 1.0, "profit_per_user", "en") == ""


def test_verdicts_follow_the_adjusted_interval():
    effects = pd.DataFrame(
        {
            "experiment_id": "e",
            "variant": ["up", "down", "both", "none", "not primary"],
            "is_primary": [True] * 4 + [False],
            "adjusted_ci_lower": [0.1, -2.0, -1.0, float("nan"), 1.0],
            "adjusted_ci_upper": [2.0, -0.1, 1.0, float("nan"), 2.0],
            "ci_lower": 5.0,
            "ci_upper": 6.0,
        }
    )
    checks = pd.DataFrame({"experiment_id": ["e", "f"], "check": "sample_ratio", "status": ["ok", "alarm"]})
    rows = verdict_rows(effects, checks)
    assert rows["verdict"].tolist() == ["better", "worse", "open", "none"]
    assert rows["ci_lower"].tolist()[:3] == [0.1, -2.0, -1.0]
    assert set(verdict_rows(effects.assign(experiment_id="f"), checks)["verdict"]) == {"broken"}
    crossed = checks.assign(check="users_in_two_arms")
    assert set(verdict_rows(effects.assign(experiment_id="f"), crossed)["verdict"]) == {"broken"}
    other = checks.assign(check="balance_orders")  # told, but no stop
    assert "broken" not in set(verdict_rows(effects.assign(experiment_id="f"), other)["verdict"])


# -- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_of_the_sample(analysed, picture, lang):
    drawn = picture(analysed(read_experiments, lang)).to_dict()
    title = drawn["title"]["text"]
    title = title if isinstance(title, str) else "".join(title)
    assert title
    assert any("\u4e00" <= one <= "\u9fff" for one in title) == (lang == "zh")


def rows_of(drawn):
    data = [drawn["data"], *(layer.get("data") for layer in drawn.get("layer", []))]
    names = {one["name"] for one in data if one and "name" in one}
    return [row for name in names for row in drawn["datasets"].get(name, [])]


def test_pictures_draw_the_tables_numbers(analysed):
    analysis = analysed(read_experiments)
    effects = analysis.tables["experiment_effect"]
    drawn = rows_of(charts.verdict_picture(analysis).to_dict())
    assert {one["kind"] for one in drawn} == {"raw", "adjusted"}
    assert {one["arm"] for one in drawn} == set(effects["experiment_id"])
    known = set(effects["relative_estimate"])
    assert {one["relative_estimate"] for one in drawn} <= known
    curve = charts.curve_picture(analysis).to_dict()
    table = analysis.tables["experiment_curve"].query("outcome == 'profit_per_user'")
    assert sorted(one["estimate"] for one in rows_of(curve)) == pytest.approx(sorted(table["estimate"]))


def test_the_curve_ends_at_the_raw_effect(analysed):
    """The last day of the curve is the plain difference of the longest window."""
    tables = analysed(read_experiments).tables
    curve = tables["experiment_curve"]
    last = curve[curve["day"] == 60].set_index(["experiment_id", "outcome"]).sort_index()
    raw = tables["experiment_effect"].query("outcome_days == 60 and adjustment == 'none'")
    raw = raw.set_index(["experiment_id", "outcome"]).reindex(last.index)
    for column in ("estimate", "ci_lower", "ci_upper", "mean_treatment", "mean_control", "n_treatment", "n_control"):
        assert last[column].tolist() == pytest.approx(raw[column].tolist(), rel=1e-9), column
    for _, rows in curve.groupby(["experiment_id", "outcome"]):
        assert rows["day"].is_monotonic_increasing
        assert rows[["n_treatment", "n_control"]].nunique().tolist() == [1, 1]  # the same units throughout
    orders = curve[curve["outcome"] == "orders_per_user"]
    assert (orders.groupby("experiment_id")["mean_control"].diff().dropna() >= 0).all()  # orders add up


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_of_trouble(troubled, picture, lang):
    assert picture(troubled[lang]).to_dict()["title"]


@pytest.mark.parametrize("picture", PICTURES)
def test_nothing_to_draw(shop_of, read, picture):
    assigned = [(f"{arm}{one}", arm, at("2026-03-10")) for arm in ("control", "treatment") for one in range(3)]
    shop = shop_of(assigned, [("control0", "2026-03-12", {})])
    assert picture(read(shop, start_date="2026-04-01", end_date="2026-04-10", lang="zh")) is None
    assert picture(read(shop, outcome_days=[90])) is None  # no window has elapsed
