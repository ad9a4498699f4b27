"""The funnel's best chain against every chain there is, against ClickHouse's own function, and by hand."""

import dataclasses

import ibis
import numpy as np
import pandas as pd
import pytest
from shops import write_shop

from workbench import open_shop
from workbench.contract import EVENT_RANK, LAST_RANK
from workbench.errors import ParameterError
from workbench.metrics.funnel import FunnelRules, funnel_hours, funnel_reach, funnel_rules
from workbench.period import HOUR_MS

MINUTE = 60_000
START_MS = 1_772_323_200_000
STEPS = ("view_item", "add_to_cart", "purchase")
NAMES = ("view_item", "add_to_cart", "begin_checkout", "purchase", "search", "wish")
RULES = {
    "window": FunnelRules(STEPS, 12 * MINUTE),
    "no time at all": FunnelRules(STEPS, 0),
    "backwards by rank": FunnelRules(("purchase", "add_to_cart", "view_item"), 9 * MINUTE),
    "step window": FunnelRules(STEPS, 20 * MINUTE, step_window_ms=4 * MINUTE),
    "optional": FunnelRules(
        ("view_item", "add_to_cart", "begin_checkout", "purchase"),
        15 * MINUTE,
        optional=("add_to_cart", "begin_checkout"),
    ),
    "excluded": FunnelRules(STEPS, 25 * MINUTE, excluded=(("search", 1), ("begin_checkout", 2))),
    "a later step excluded": FunnelRules(STEPS, 30 * MINUTE, excluded=(("purchase", 1), ("view_item", 2))),
    "unknown names tie": FunnelRules(("search", "view_item", "wish", "search_again"), 25 * MINUTE),
    "hold": FunnelRules(STEPS, 20 * MINUTE, hold="product_id"),
    "sessions": FunnelRules(STEPS, 20 * MINUTE, count="sessions"),
    "all at once": FunnelRules(
        ("view_item", "begin_checkout", "add_to_cart", "wish", "purchase"),
        30 * MINUTE,
        step_window_ms=11 * MINUTE,
        optional=("begin_checkout", "wish"),
        excluded=(("search", 1), ("search", 2)),
        hold="product_id",
        count="sessions",
    ),
}


def random_events(seed, users, most=9, minutes=30):
    """A few events per user on few instants, so that many tie; ties of all columns too."""
    rng = np.random.default_rng(seed)
    count = rng.integers(0, most + 1, users)
    user = np.repeat(np.arange(users), count)
    size = len(user)
    events = pd.DataFrame(
        {
            "user_id": [f"u{one}" for one in user],
            "event_ms": START_MS + rng.integers(0, minutes, size) * MINUTE,
            "event": rng.choice([*NAMES, "search_again"], size, p=[0.22, 0.2, 0.1, 0.2, 0.1, 0.1, 0.08]),
            "seq": rng.integers(0, 3, size) - 1,
            "product_id": rng.choice(["p1", "p2", None], size, p=[0.6, 0.3, 0.1]),
            "session_id": rng.choice(["s1", "s2", None], size, p=[0.6, 0.3, 0.1]),
            "slot_id": None,
            "content_id": rng.choice(["c1", "c2", None], size),
            "order_id": None,
            "page": rng.choice(["home", "list", None], size),
        }
    ).astype(dict.fromkeys(("slot_id", "order_id"), "object"))
    events["everyone"] = "all"
    return events


def lazy(events):
    """The events inside DuckDB."""
    schema = {name: "int64" if name in ("event_ms", "seq") else "string" for name in events.columns}
    return ibis.memtable(events, schema=ibis.schema(schema))


def executed(expression):
    return ibis.duckdb.connect().to_pandas(expression)


def in_order(events):
    """Rows in the contract's total order."""
    keyed = events.assign(rank=events["event"].map(EVENT_RANK).fillna(LAST_RANK))
    ids = ["slot_id", "content_id", "product_id", "order_id"]
    keyed[ids] = keyed[ids].fillna("").astype(str)
    return keyed.sort_values(["event_ms", "seq", "rank", *ids, "event"], kind="stable")


def every_chain(rows, rules):
    """All chains of one unit: for each step the pairs (place of the end, place of the start, place before the end).

    Tries every choice of one event per step, one after the other, without keeping only the best.
    """
    names, times = rows["event"].tolist(), rows["event_ms"].tolist()
    required = [step for step in rules.steps if step not in rules.optional]
    found = {step: [] for step in rules.steps}

    def go(chain):
        number, here = len(chain), chain[-1]
        found[required[number - 1]].append((here, chain[0], chain[-2] if number > 1 else None))
        if number == len(required):
            return
        low, high = (rules.steps.index(required[one]) for one in (number - 1, number))
        barred = {name for name, before in rules.excluded if before == number}
        for there in range(here + 1, len(names)):
            if names[there] not in rules.steps[low + 1 : high + 1]:
                continue
            too_late = times[there] - times[chain[0]] > rules.window_ms
            too_slow = rules.step_window_ms is not None and times[there] - times[here] > rules.step_window_ms
            if too_late or too_slow or barred & set(names[here + 1 : there]):
                continue
            if names[there] == required[number]:
                go([*chain, there])
            else:
                found[names[there]].append((there, chain[0], here))

    for place in range(len(names)):
        if names[place] == required[0]:
            go([place])
    return found


def units(events, rules):
    """(user or session, its chains' rows) by loops; with ``hold`` one for each value."""
    counted = ["user_id", *(["session_id"] if rules.count == "sessions" else [])]
    held = [rules.hold] if rules.hold else []
    for key, rows in in_order(events[events[counted + held].notna().all(axis=1)]).groupby([*counted, *held]):
        yield key[: len(counted)], rows


def reach_by_loops(events, rules):
    reached = {step: set() for step in rules.steps}
    for key, rows in units(events, rules):
        for step, chains in every_chain(rows, rules).items():
            if chains:
                reached[step].add(key)
    return [len(reached[step]) for step in rules.steps]


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("seed", range(2))
def test_equals_every_chain_tried(rules, seed):
    """2 x 1,500 users with up to 9 events each, over 30 minutes and over 8, for each set of rules."""
    events = random_events(seed, users=1_500, minutes=(30, 8)[seed])
    found = executed(funnel_reach(lazy(events), rules, "everyone")).iloc[0]
    expected = reach_by_loops(events, rules)
    assert [found[f"step_{k}"] for k in range(1, len(rules.steps) + 1)] == expected
    assert min(expected[: None if seed else 2]) > 0


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_hours_equal_every_chain_tried(rules):
    """The first event that reaches a step, from the latest start and the latest step before that get there."""
    events = random_events(7, users=400)
    rows = []
    best = {}
    for key, one in units(events, rules):
        times = one["event_ms"].tolist()
        for step, chains in every_chain(one, rules).items():
            if chains and step != rules.steps[0]:
                end = min(chain[0] for chain in chains)
                start = max(start for stop, start, _ in chains if stop == end)
                before = max(before for stop, start_, before in chains if stop == end and start_ == start)
                mine = (times[end], -times[start], -times[before])
                best[key, step] = min(best.get((key, step), mine), mine)
    for (_, step), (end, start, before) in best.items():
        rows.append((rules.steps.index(step) + 1, (end + start) / HOUR_MS, (end + before) / HOUR_MS))
    expected = pd.DataFrame(rows, columns=["step", "hours", "step_hours"]).groupby("step")
    found = executed(funnel_hours(lazy(events), rules, "everyone")).set_index("step").sort_index()
    assert found["reached_count"].tolist() == expected.size().tolist()
    for name in ("hours", "step_hours"):
        for word, level in (("lower", 0.25), ("median", 0.5), ("upper", 0.75)):
            quantiles = expected[name].quantile(level)
            np.testing.assert_allclose(found[f"{word}_{name}"], quantiles, rtol=0, atol=1e-12)


@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("name", ["window", "optional", "sessions"])
def test_breakdown_equals_every_chain_tried(name, end):
    """The value of the furthest chain, there first, from the latest start; null is (unknown)."""
    rules = dataclasses.replace(RULES[name], breakdown="content_id", breakdown_at=end)
    # An id is part of the total order only where names tie; the breakdown orders what ties else.
    events = random_events(3, users=800).drop_duplicates(["user_id", "event_ms", "seq", "event"])
    required = [step for step in rules.steps if step not in rules.optional]
    counts = {}
    for _, rows in units(events, rules):
        chains = every_chain(rows, rules)
        reached = [step for step in required if chains[step]]
        if not reached:
            continue
        last = min(chain[0] for chain in chains[reached[-1]])
        start = max(chain[1] for chain in chains[reached[-1]] if chain[0] == last)
        value = rows["content_id"].iloc[start if end == "first" else last] or "(unknown)"
        for step in rules.steps:
            counts[value, step] = counts.get((value, step), 0) + bool(chains[step])
    found = executed(funnel_reach(lazy(events), rules, "everyone")).set_index("content_id")
    for (value, step), count in counts.items():
        assert found.loc[value, f"step_{rules.steps.index(step) + 1}"] == count
    assert set(found.index) == {"c1", "c2", "(unknown)"}


def test_breakdown_adds_up_and_needs_no_one_value_for_all_held_ones():
    rules = dataclasses.replace(RULES["all at once"], breakdown="page", breakdown_at="last")
    events = lazy(random_events(11, users=1_500))
    whole = executed(funnel_reach(events, dataclasses.replace(rules, breakdown=None), "everyone"))
    parts = executed(funnel_reach(events, rules, "everyone"))
    assert len(parts) == 3
    assert parts.filter(like="step_").sum().tolist() == whole.filter(like="step_").iloc[0].tolist()


def test_members_and_keys_change_nothing_but_who_counts():
    events = random_events(5, users=600)
    events["channel"] = np.where(events["user_id"].str[-1] < "5", "ads", "mail")
    members = events[["user_id", "channel"]].drop_duplicates()
    rules = RULES["optional"]
    columns = ["channel", *[f"step_{k}" for k in range(1, 5)]]

    def found(events, members=None):
        known = None if members is None else ibis.memtable(members)
        return executed(funnel_reach(events, rules, "channel", known)).sort_values("channel")[columns].values.tolist()

    rows, without = lazy(events), lazy(events.drop(columns="channel"))
    assert found(rows) == found(without, members)
    numbers = members.assign(user_key=members["user_id"].str[1:].astype(int))
    keyed = without.mutate(user_key=without.user_id.substr(1).cast("int64"))
    assert found(rows) == found(keyed, numbers)
    ads = members[members["channel"] == "ads"]
    assert found(without, ads) == found(rows)[:1]


# -- by hand -------------------------------------------------------------------------------------------------


def by_hand(*rows, columns="user_id minute event"):
    """Events of page (unknown) and product p unless said."""
    table = pd.DataFrame(list(rows), columns=columns.split())
    blank = {"seq": 0, "product_id": "p", "session_id": "s", "slot_id": "", "content_id": "", "order_id": ""}
    table = table.assign(**{name: value for name, value in blank.items() if name not in table})
    table["event_ms"] = (START_MS + table.pop("minute") * MINUTE).round().astype("int64")
    return lazy(table.assign(everyone="all"))


def steps_of(events, rules):
    found = executed(funnel_reach(events, rules, "everyone")).iloc[0]
    return [found[f"step_{k}"] for k in range(1, len(rules.steps) + 1)]


def test_the_best_chain_counts_not_that_of_the_first_view():
    events = by_hand(("u", 0, "view_item"), ("u", 20, "view_item"), ("u", 25, "add_to_cart"), ("u", 30, "purchase"))
    assert steps_of(events, FunnelRules(STEPS, 10 * MINUTE)) == [1, 1, 1]
    assert steps_of(events, FunnelRules(STEPS, 10 * MINUTE - 1)) == [1, 1, 0]


def test_step_window_runs_from_the_required_step_before():
    """Cart 5 after the view, checkout (optional) 9 and purchase 10 after the cart."""
    events = by_hand(("u", 0, "view_item"), ("u", 5, "add_to_cart"), ("u", 14, "begin_checkout"), ("u", 15, "purchase"))
    rules = FunnelRules(
        ("view_item", "add_to_cart", "begin_checkout", "purchase"),
        60 * MINUTE,
        9 * MINUTE,
        optional=("begin_checkout",),
    )
    assert steps_of(events, rules) == [1, 1, 1, 0]
    assert steps_of(events, dataclasses.replace(rules, step_window_ms=10 * MINUTE)) == [1, 1, 1, 1]


def test_an_excluded_event_breaks_only_between_its_neighbours():
    """u removes between cart and purchase; v before the cart; w carts again after removing."""
    events = by_hand(
        *[("u", 0, "view_item"), ("u", 1, "add_to_cart"), ("u", 2, "remove"), ("u", 3, "purchase")],
        *[("v", 0, "view_item"), ("v", 1, "remove"), ("v", 2, "add_to_cart"), ("v", 3, "purchase")],
        *[("w", 0, "view_item"), ("w", 1, "add_to_cart"), ("w", 2, "remove"), ("w", 3, "add_to_cart")],
        ("w", 4, "purchase"),
    )
    rules = funnel_rules(["view_item", "add_to_cart", "!remove", "purchase"], window_hours=1)
    assert steps_of(events, rules) == [3, 3, 2]


def test_hold_wants_the_same_product_and_counts_the_user_once():
    """u views p, q and carts both, buys q; v carts another product than viewed; w has no product."""
    events = by_hand(
        *[("u", 0, "view_item", "p"), ("u", 1, "view_item", "q"), ("u", 2, "add_to_cart", "p")],
        *[("u", 3, "add_to_cart", "q"), ("u", 4, "purchase", "q")],
        *[("v", 0, "view_item", "p"), ("v", 1, "add_to_cart", "q"), ("v", 2, "purchase", "q")],
        *[("w", 0, "view_item", None), ("w", 1, "add_to_cart", None)],
        columns="user_id minute event product_id",
    )
    assert steps_of(events, FunnelRules(STEPS, 60 * MINUTE)) == [3, 3, 2]
    assert steps_of(events, FunnelRules(STEPS, 60 * MINUTE, hold="product_id")) == [2, 1, 1]


def test_sessions_are_counted_each_and_hold_their_own_chains():
    events = by_hand(
        *[("u", 0, "view_item", "a"), ("u", 1, "add_to_cart", "a"), ("u", 2, "view_item", "b")],
        *[("u", 3, "purchase", "b"), ("u", 4, "view_item", None), ("v", 0, "view_item", "a")],
        columns="user_id minute event session_id",
    )
    assert steps_of(events, FunnelRules(STEPS, 60 * MINUTE, count="sessions")) == [3, 1, 0]


def test_ties_follow_seq_then_rank():
    """At one instant: u carts before viewing by seq; v by rank views, carts and buys."""
    events = by_hand(
        *[("u", 0, "view_item", 1), ("u", 0, "add_to_cart", 0)],
        *[("v", 0, "purchase", 0), ("v", 0, "add_to_cart", 0), ("v", 0, "view_item", 0)],
        columns="user_id minute event seq",
    )
    assert steps_of(events, FunnelRules(STEPS, 0)) == [2, 1, 1]


@pytest.mark.parametrize("minute", [0, -START_MS // MINUTE - 3])
@pytest.mark.parametrize("seq", [-(10**11), 10**11])
def test_seq_orders_within_the_millisecond_however_large(minute, seq):
    """Also before 1970: u carts by seq after the view, v before it, w a millisecond later in spite of its seq."""
    later = 1 / MINUTE
    events = by_hand(
        *[("u", minute, "view_item", seq), ("u", minute, "add_to_cart", seq + 1), ("u", minute, "purchase", seq + 2)],
        *[("v", minute, "view_item", seq + 1), ("v", minute, "add_to_cart", seq), ("v", minute, "purchase", seq + 2)],
        *[("w", minute, "view_item", seq), ("w", minute + later, "add_to_cart", -seq), ("w", minute, "purchase", seq)],
        columns="user_id minute event seq",
    )
    assert steps_of(events, FunnelRules(STEPS, 1)) == [3, 2, 1]


def test_hours_by_hand():
    """Carts after 1, 2, 3, 5 hours: quartiles 1.75, 2.5, 3.5; the one purchase 4 hours after its cart, 5 after the view."""
    rows = [(f"u{hours}", 0, "view_item") for hours in (1, 2, 3, 5)]
    rows += [(f"u{hours}", hours * 60, "add_to_cart") for hours in (1, 2, 3, 5)]
    found = executed(funnel_hours(by_hand(*rows, ("u1", 300, "purchase")), FunnelRules(STEPS, 9 * HOUR_MS), "everyone"))
    found = found.set_index("step").sort_index()
    assert found.loc[2, ["lower_hours", "median_hours", "upper_hours"]].tolist() == [1.75, 2.5, 3.5]
    assert found.loc[3, ["reached_count", "median_hours", "median_step_hours"]].tolist() == [1, 5, 4]


@pytest.mark.parametrize("first", ["p", "q"])
def test_hours_of_a_user_who_holds_two_products_to_the_same_instant(first):
    """Both are carted at minute 60; the one viewed later, at minute 30, gives the user's half hour."""
    second = "q" if first == "p" else "p"
    events = by_hand(
        *[("u", 0, "view_item", first), ("u", 30, "view_item", second)],
        *[("u", 60, "add_to_cart", first), ("u", 60, "add_to_cart", second)],
        columns="user_id minute event product_id",
    )
    found = executed(funnel_hours(events, FunnelRules(STEPS, 9 * HOUR_MS, hold="product_id"), "everyone"))
    assert found[["step", "reached_count", "median_hours"]].values.tolist() == [[2, 1, 0.5]]


# -- the same on both engines, and ClickHouse's own function -----------------------------------------------------


@pytest.fixture(scope="module")
def on_both(tmp_path_factory):
    """One random shop, opened on DuckDB and on ClickHouse in this process."""
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    events = random_events(99, users=400)
    events["event_at"] = pd.to_datetime(events["event_ms"], unit="ms", utc=True)
    events = events.drop(columns=["event_ms", "everyone"])
    users = events[["user_id"]].drop_duplicates()
    users["channel"] = np.where(users["user_id"].str[-1] < "5", "ads", "mail")
    users["first_seen_at"] = pd.Timestamp(START_MS, unit="ms", tz="UTC")
    folder = write_shop(tmp_path_factory.mktemp("funnel") / "shop", events=events, users=users)
    return [open_shop(source) for source in (folder, f"chdb://{folder}")]


@pytest.mark.engine
@pytest.mark.parametrize("name", ["window", "optional", "excluded", "unknown names tie", "all at once"])
def test_same_on_duckdb_and_clickhouse(on_both, name):
    broken = dataclasses.replace(RULES[name], breakdown="page")
    for metric, rules in ((funnel_reach, broken), (funnel_hours, RULES[name])):
        tables = [shop.collect(metric(shop.events, rules, "channel", shop.users)) for shop in on_both]
        keys = [one for one in ("channel", "page", "step") if one in tables[0]]
        one, other = (table.sort_values(keys).reset_index(drop=True) for table in tables)
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=0, atol=0)
        assert len(one) >= 2


@pytest.mark.engine
def test_users_told_apart_by_the_engines_hash_count_the_same(on_both):
    for shop in on_both:
        keyed = [
            table.mutate(user_key=shop.engine.row_hash([table.user_id, ibis.literal("")]))
            for table in (shop.events, shop.users)
        ]
        one, other = (
            shop.collect(funnel_reach(events, RULES["window"], "channel", users)).sort_values("channel")
            for events, users in ((shop.events, shop.users), keyed)
        )
        assert one.to_dict("list") == other.to_dict("list")


@pytest.mark.engine
@pytest.mark.parametrize("minutes", [0, 3, 7, 25])
def test_equals_window_funnel_of_clickhouse(tmp_path, minutes):
    """windowFunnel on time packed with seq: ms * 2048 + seq, window * 2048 + 1023 (inclusive); seq with the rank in it."""
    client = pytest.importorskip("clickhouse_connect").get_client(interface="chdb")
    events = random_events(int(minutes), users=3_000)
    events["seq"] = (events["seq"] + 1) * 8 + events["event"].map(EVENT_RANK).fillna(7).astype(int)
    write_shop(tmp_path, events=events)
    conditions = ", ".join(f"event = '{step}'" for step in STEPS)
    window = minutes * MINUTE * 2048 + 1023
    query = f"""
        SELECT countIf(level >= 1), countIf(level >= 2), countIf(level >= 3) FROM (
            SELECT user_id, windowFunnel({window})(toUInt64(event_ms * 2048 + seq), {conditions}) AS level
            FROM file('{tmp_path}/events.parquet', Parquet) GROUP BY user_id)"""
    theirs = client.query(query).result_rows[0]
    assert steps_of(lazy(events), FunnelRules(STEPS, minutes * MINUTE)) == list(theirs)
    assert theirs[2] > 0


# -- how a notebook writes it --------------------------------------------------------------------------------


def test_rules_are_read_as_written():
    rules = funnel_rules(
        ["view_item", "!search", "add_to_cart?", "begin_checkout", "!search", "purchase"],
        window_hours=2,
        step_window_hours=0.5,
        hold="product_id",
        count="sessions",
        breakdown="page",
        breakdown_at="last",
    )
    assert rules.required == ("view_item", "begin_checkout", "purchase")
    assert rules.excluded == (("search", 1), ("search", 2))
    assert (rules.window_ms, rules.step_window_ms) == (2 * HOUR_MS, HOUR_MS // 2)
    assert (rules.optional_after(1), rules.optional_after(2)) == (("add_to_cart",), ())


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (["view_item", "purchase", "view_item"], "view_item twice"),
        (["view_item", "view_item?", "purchase"], "view_item twice"),
        (["view_item"], "fewer than two required"),
        (["view_item?", "purchase?"], "fewer than two required"),
        ([], "fewer than two required"),
        (["view_item?", "add_to_cart", "purchase"], "the first step is optional"),
        (["view_item", "add_to_cart", "purchase?"], "the last step is optional"),
        (["!search", "view_item", "purchase"], '"!search" stands at an end'),
        (["view_item", "purchase", "!search"], '"!search" stands at an end'),
        (["view_item", "!search", "!search", "purchase"], "excluded twice"),
        (["view_item", "!purchase", "purchase"], "is itself a step"),
        (["view_item", "search?", "!search", "purchase"], "is itself a step"),
        (["view_item", "!", "purchase"], "'!' is no step"),
        (["view_item", "!search?", "purchase"], "is no step"),
        (["view_item", None, "purchase"], "None is no step"),
        ("view_item", "is one text"),
    ],
)
def test_steps_that_cannot_be_are_refused(steps, told):
    with pytest.raises(ParameterError, match=r"funnel_steps.*" + told.replace("!", r"\!")):
        funnel_rules(steps, window_hours=1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"window_hours": 0}, "window_hours is 0; it must be above 0 hours"),
        ({"window_hours": 1, "step_window_hours": 0}, "step_window_hours is 0"),
        ({"window_hours": 1, "step_window_hours": 2}, "would never matter"),
        ({"window_hours": 1, "count": "session"}, 'did you mean "sessions"'),
        ({"window_hours": 1, "breakdown_at": "lst"}, 'did you mean "last"'),
    ],
)
def test_arguments_that_cannot_be_are_refused(given, told):
    with pytest.raises(ParameterError, match=told):
        funnel_rules(["view_item", "purchase"], **given)


def test_a_breakdown_that_is_there_already_is_refused():
    with pytest.raises(ParameterError, match='breakdown: "everyone" is there'):
        funnel_reach(lazy(random_events(0, 2)), FunnelRules(STEPS, 1, breakdown="everyone"), "everyone")
