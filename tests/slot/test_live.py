"""What a panel shows of some users at once is what the attribution of these users says."""

import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.slot import attribute_slots
from workbench.slot.attribution import CORE_TABLES
from workbench.slot.live import live_tables

PAGES = {
    "timezone": "Asia/Shanghai",
    "start_date": "2026-04-01",
    "end_date": "2026-05-15",
    "targets": ["purchase", "add_to_cart"],
    "models": ["last", "time_decay", "shapley", "participation"],
    "credit_to": "page",
    "lookback_hours": 48,
    "key_event": "view_item",
    "net_of_refunds": True,
    "confidence_level": 0.9,
    "top_n": 5,
}
PRODUCTS = {"match_on": "product_id", "reset_after_order": False, "bootstrap_replicates": 0, "models": ["markov"]}


def check_equal(shop, asked, choices):
    """The tables of every choice; they are those of the whole attribution."""
    answer = live_tables(shop, asked)
    answers = []
    for only_users in choices:
        whole = attribute_slots(shop, only_users=only_users, **asked).tables
        found = answer(only_users, wanted=CORE_TABLES)
        assert set(found) == set(CORE_TABLES)
        for name, table in found.items():
            told = f"{name} {only_users}"
            pd.testing.assert_frame_equal(table, whole[name], rtol=1e-9, atol=1e-9, obj=told)
        answers.append(found)
    return answers


@pytest.mark.parametrize(
    ("asked", "choices"),
    [
        ({"timezone": "Asia/Shanghai"}, [["channel=(unknown)", "channel=referral", "region=South"]]),
        (PAGES, [["device=ios", "device=android", "age_group=18-24"]]),
        (PRODUCTS, [["channel=paid_search", "channel=organic"]]),
    ],
    ids=["default", "pages", "products"],
)
@pytest.mark.slow
def test_every_choice_is_the_attribution_of_these_users(small_folder, asked, choices):
    found = check_equal(open_shop(small_folder), asked, choices)
    every = found[0]["slot_credit"]
    assert set(every["model"]) == set(asked.get("models", every["model"]))
    assert every["conversion_credit"].sum() > 20


def test_fewer_tables_are_the_same_tables(small_folder):
    answer = live_tables(open_shop(small_folder), {"targets": ["purchase", "view_item"]})
    whole = answer(["region=North"], wanted=CORE_TABLES)
    assert set(answer([])) == {"slot_metrics", "slot_credit", "slot_ranks"}
    for wanted in (["slot_metrics"], ["slot_credit"], ["slot_ranks"], ["slot_differences", "slot_metrics"]):
        found = answer(["region=North"], wanted)
        assert list(found) == [name for name in CORE_TABLES if name in wanted]
        for name, table in found.items():
            pd.testing.assert_frame_equal(table, whole[name], rtol=1e-9, atol=1e-9)


@pytest.fixture
def quiet(tmp_path):
    """North buys, South looks only, West was never seen, and one who buys is not among the users."""
    rows = []
    for user in ("n1", "n2", "s1", "x1"):
        rows.append((user, "2026-03-01 10:00", "view_promotion", "a"))
        rows.append((user, "2026-03-01 10:01", "select_promotion", "a"))
        rows.append((user, "2026-03-01 10:02", "view_item", None))
    rows += [("n2", "2026-03-02 10:00", "select_promotion", "b"), ("n1", "2026-03-02 11:00", "favourite", None)]
    # Somebody with so many views that they take another way to their touches.
    rows += [("n2", f"2026-03-03 {10 + one // 60}:{one % 60:02d}", "view_item", None) for one in range(150)]
    return open_shop(
        write_shop(
            tmp_path / "quiet",
            events=frame("user_id event_at event slot_id", *rows),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                ("o1", "n1", "2026-03-01 12:00", "2026-03-01 12:01", 30.0),
                ("o2", "n2", "2026-03-03 12:00", "2026-03-03 12:01", 50.0),
                ("o3", "x1", "2026-03-03 12:00", "2026-03-03 12:01", 70.0),
            ),
            users=frame(
                "user_id first_seen_at region",
                *[
                    (one, "2026-03-01 09:00", {"n": "North", "s": "South", "w": "West"}[one[0]])
                    for one in ("n1", "n2", "s1", "w1")
                ],
            ),
        )
    )


def test_users_without_orders_and_users_not_listed_count_as_in_the_attribution(quiet):
    every, north, south = check_equal(quiet, {}, [[], ["region=North"], ["region=South"]])
    amounts = [one["slot_credit"].query("target == 'purchase' and model == 'linear'") for one in (every, north)]
    assert [one["amount_credit"].sum() for one in amounts] == pytest.approx([150, 80])
    assert set(south["slot_credit"]["target"]) == {"view_item"}
    assert south["slot_metrics"]["conversion_credit"].isna().all()


def test_what_cannot_be_answered_is_refused_alike(quiet):
    asked = {"targets": ["favourite", "purchase"]}
    answer = live_tables(quiet, asked)
    for only_users, error in (
        (["region=Nort"], ParameterError),
        (["region"], ParameterError),
        (["age_group=3"], ParameterError),
        (["region=West"], TableError),
        (["region=South"], ParameterError),  # where nobody has a favourite
    ):
        with pytest.raises(error) as whole:
            attribute_slots(quiet, only_users=only_users, **asked)
        with pytest.raises(error) as told:
            answer(only_users)
        assert str(told.value) == str(whole.value)


def test_arguments_are_refused_before_anything_is_held(quiet):
    for asked in ({"models": ["best"]}, {"targets": ["favorite"]}, {"start_date": "2026-13-01"}):
        with pytest.raises(ParameterError) as whole:
            attribute_slots(quiet, **asked)
        with pytest.raises(ParameterError) as told:
            live_tables(quiet, asked)
        assert str(told.value) == str(whole.value)


def test_a_merged_chain_and_a_shop_without_users_are_not_held(small_folder, tmp_path):
    shop = open_shop(small_folder)
    assert live_tables(shop, {"markov_states": 5, "targets": ["purchase"]}) is None
    assert live_tables(shop, {"markov_states": 5, "targets": ["purchase"], "models": ["linear"]}) is not None
    events = frame("user_id event_at event slot_id", ("u1", "2026-03-01 10:00", "select_promotion", "a"))
    assert live_tables(open_shop(write_shop(tmp_path / "bare", events=events)), {}) is None


def test_clickhouse_says_the_same(small_folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    asked, only_users = {"timezone": "Asia/Shanghai", "targets": ["purchase"]}, ["region=North"]
    shops = [open_shop(source) for source in (small_folder, f"chdb://{small_folder}")]
    found = [live_tables(shop, asked)(only_users) for shop in shops]
    for name in found[0]:
        pd.testing.assert_frame_equal(found[0][name], found[1][name], check_dtype=False, rtol=1e-9, atol=1e-9)
