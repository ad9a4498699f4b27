"""Every number of ``experiment_effect``, computed a second time from the files: pandas, scipy, statsmodels."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from workbench.experiment import read_experiments
from workbench.experiment.collect import followed_sums

DAY = 86_400_000
DAYS = (7, 30, 60)
NAMES = {
    "buyer_rate": "buyers",
    "orders_per_user": "orders",
    "paid_amount_per_user": "paid",
    "net_amount_per_user": "net",
    "profit_per_user": "profit",
}
EXPERIMENTS = ("holdout_c03", "coupon_timing", "invitation_reward")


def milliseconds(times):
    return times.astype("datetime64[ms, UTC]").astype("int64")


# -- the units of an experiment, from the files ----------------------------------------------------------------


def orders_of(folder):
    orders = pd.read_parquet(folder / "orders.parquet")
    orders = orders[orders["paid_at"].notna()].copy()
    orders["at"] = milliseconds(orders["paid_at"])
    orders["paid"] = orders["gross_amount"] - orders["coupon_discount_amount"] - orders["other_discount_amount"]
    orders["net"] = orders["paid"] - orders["refund_amount"]
    costs = orders["cost_amount"] + orders["shipping_cost_amount"] + orders["platform_fee_amount"]
    orders["profit"] = orders["net"] + orders["platform_discount_amount"] - costs
    orders["orders"] = 1.0
    return orders[["user_id", "at", "orders", "paid", "net", "profit"]]


def end_of_data(folder, zone):
    events = pd.read_parquet(folder / "events.parquet", columns=["event_at"])["event_at"].max()
    orders = pd.read_parquet(folder / "orders.parquet", columns=["submitted_at", "paid_at"]).max().max()
    day = max(events, orders).tz_convert(zone).normalize() + pd.Timedelta(days=1)
    return int(day.timestamp() * 1000)


def clusters(assigned, users):
    """Members of each inviter: the user at the top of the chain, and whoever below came later; one by one."""
    above = {user: by for user, by in zip(users["user_id"], users["inviter_id"], strict=True) if isinstance(by, str)}
    seen = dict(zip(users["user_id"], milliseconds(users["first_seen_at"]), strict=True))
    started = dict(zip(assigned["user_id"], assigned["start"], strict=True))
    roots = {}
    for user in seen:
        chain = [user]
        while chain[-1] in above:
            chain.append(above[chain[-1]])
        marked = [one for one in chain if one in started]
        roots[user] = marked[-1] if marked else None
    units = {user for user in started if roots.get(user, user) == user}
    members = [(user, user, started[user]) for user in units]
    members += [
        (root, user, seen[user])
        for user, root in roots.items()
        if root in units and root != user and seen[user] >= started[root]
    ]
    return assigned[assigned["user_id"].isin(units)], members


def units_of(folder, name, zone="Asia/Shanghai"):
    """One row per unit: variant, is_new, followed_<d>, <name>_<d> and <name>_pre."""
    assigned = pd.read_parquet(folder / "experiment_assignments.parquet").query("experiment_id == @name").copy()
    assigned["start"] = milliseconds(assigned["assigned_at"])
    assert not assigned["user_id"].duplicated().any()
    users = pd.read_parquet(folder / "users.parquet", columns=["user_id", "first_seen_at", "inviter_id"])
    members = [(user, user, start) for user, start in zip(assigned["user_id"], assigned["start"], strict=True)]
    if name == "invitation_reward":
        assigned, members = clusters(assigned, users)
    units = assigned[["user_id", "variant", "start"]].merge(users, on="user_id", how="left")
    units["is_new"] = milliseconds(units["first_seen_at"]) >= units["start"]
    end = end_of_data(folder, zone)
    for days in DAYS:
        units[f"followed_{days}"] = units["start"] + days * DAY <= end
    members = pd.DataFrame(members, columns=["unit", "user_id", "since"])
    met = orders_of(folder).merge(members, on="user_id").merge(units, left_on="unit", right_on="user_id")
    met["after"] = met["at"] - met["start"]
    own = (met["unit"] == met["user_id_x"]) & (met["after"] < 0) & ~met["is_new"]
    later = (met["after"] >= 0) & (met["at"] >= met["since"])
    chosen = {str(days): later & (met["after"] < days * DAY) for days in DAYS}
    chosen["pre"] = own & (met["after"] >= -28 * DAY)
    units = units.set_index("user_id")
    for ending, where in chosen.items():
        sums = met[where].groupby("unit")[["orders", "paid", "net", "profit"]].sum().reindex(units.index, fill_value=0)
        for column in sums:
            units[f"{column}_{ending}"] = sums[column]
        units[f"buyers_{ending}"] = (sums["orders"] > 0).astype(float)
    return units


# -- the three estimates, each arm as (value, parts of the variance, degrees of each) --------------------------


def raw(y, t):
    arms = [y[t == one] for one in (1, 0)]
    return [(arm.mean(), [arm.var(ddof=1) / len(arm)], [len(arm) - 1]) for arm in arms]


def post_stratified(y, t, stratum):
    """Strata under 20 in an arm go together, and with the smallest other while that is too few."""
    counts = pd.crosstab(stratum, t)
    small = [one for one in counts.index if counts.loc[one].min() < 20]
    while small and counts.loc[small].sum().min() < 20 and len(small) < len(counts):
        small.append(counts.drop(small).sum(axis=1).idxmin())
    cell = np.where(np.isin(stratum, small), "small", stratum)
    arms = []
    for arm in (1, 0):
        groups = [(np.mean(cell == one), y[(cell == one) & (t == arm)]) for one in np.unique(cell)]
        arms.append(
            (
                sum(share * one.mean() for share, one in groups),
                [share**2 * one.var(ddof=1) / len(one) for share, one in groups],
                [len(one) - 1 for _share, one in groups],
            )
        )
    return arms


def cuped(y, t, x, new):
    """Parts of the arms by one regression each; the whole is checked against the interacted regression below."""
    arms = []
    for arm in (1, 0):
        old = (t == arm) & (new == 0)
        line = sm.OLS(y[old], sm.add_constant(x[old] - x[new == 0].mean())).fit(cov_type="HC2")
        share, fresh = np.mean(new == 0), y[(t == arm) & (new == 1)]
        value, variances, degrees = share * line.params[0], [(share * line.bse[0]) ** 2], [old.sum() - 2]
        if len(fresh):
            value += (1 - share) * fresh.mean()
            variances.append((1 - share) ** 2 * fresh.var(ddof=1) / len(fresh))
            degrees.append(len(fresh) - 1)
        arms.append((value, variances, degrees))
    return arms


def interacted(y, t, x, new):
    """y ~ 1 + t + xc + newc + t:xc + t:newc with HC2 errors: coefficient of t."""
    centred = [one - one.mean() for one in ((x, new) if new.any() else (x,))]
    columns = [np.ones_like(y), t, *centred, *(t * one for one in centred)]
    fit = sm.OLS(y, np.column_stack(columns)).fit(cov_type="HC2")
    return fit.params[1], fit.bse[1]


def whole(arms, base, base_variance, counts, planned):
    """All columns of a row: Welch and Satterthwaite's degrees, the delta method, and the sequential interval."""
    (value_t, parts_t, degrees_t), (value_c, parts_c, degrees_c) = arms
    estimate, parts = value_t - value_c, [*parts_t, *parts_c]
    variance, of_control = sum(parts), sum(parts_c)
    degrees = variance**2 / sum(one**2 / df for one, df in zip(parts, [*degrees_t, *degrees_c], strict=True))
    error, critical = math.sqrt(variance), stats.t.ppf(0.975, degrees)
    # the base is the plain control mean: what adjustment took from its variance is the chance of who is control
    of_base = of_control + max(base_variance - of_control, 0) * counts[0] / sum(counts)
    relative = estimate / base
    spread = math.sqrt((variance + relative**2 * of_base + 2 * relative * of_control) / base**2)
    n = sum(counts)
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / planned
    multiplier = math.sqrt(2 * (n * rho2 + 1) / (n * rho2) * math.log(math.sqrt(n * rho2 + 1) / 0.05))
    p_value = 2 * stats.t.sf(abs(estimate) / error, degrees)
    return {
        "estimate": estimate,
        "std_error": error,
        "ci_lower": estimate - critical * error,
        "ci_upper": estimate + critical * error,
        "p_value": p_value,
        "p_value_adjusted": p_value,  # one treatment: nothing to adjust
        "adjusted_ci_lower": estimate - critical * error,
        "adjusted_ci_upper": estimate + critical * error,
        "sequential_ci_lower": estimate - multiplier * error,
        "sequential_ci_upper": estimate + multiplier * error,
        "mean_treatment": value_t,
        "mean_control": value_c,
        "relative_estimate": relative,
        "relative_ci_lower": relative - critical * spread,
        "relative_ci_upper": relative + critical * spread,
        "n_treatment": counts[0],
        "n_control": counts[1],
    }


@cache
def recomputed(folder, name):
    units = units_of(folder, name)
    rows = []
    for days in DAYS:
        here = units[units[f"followed_{days}"]]
        t = (here["variant"] == "treatment").to_numpy(dtype=float)
        new = here["is_new"].to_numpy(dtype=float)
        stratum = np.where(new == 1, "new", np.minimum(here["orders_pre"], 2).astype(str))
        counts = int(t.sum()), int((1 - t).sum())
        for outcome, column in NAMES.items():
            y, x = (here[f"{column}_{ending}"].to_numpy(dtype=float) for ending in (days, "pre"))
            control = y[t == 0]
            adjusted = cuped(y, t, x, new)
            # ours is one regression per arm; the interacted regression on both must say the same
            estimate, error = interacted(y, t, x, new)
            variance = sum(sum(parts) for _value, parts, _degrees in adjusted)
            assert adjusted[0][0] - adjusted[1][0] == pytest.approx(estimate, rel=1e-9, abs=1e-9 * error)
            assert math.sqrt(variance) == pytest.approx(error, rel=1e-9)
            for kind, arms in {
                "none": raw(y, t),
                "cuped": adjusted,
                "post_stratified": post_stratified(y, t, stratum),
            }.items():
                found = whole(arms, control.mean(), control.var(ddof=1) / len(control), counts, len(units))
                rows.append({"outcome": outcome, "outcome_days": days, "adjustment": kind} | found)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_number_agrees_with_a_second_computation(analysed, sample_folder, name):
    table = analysed(read_experiments).tables["experiment_effect"]
    keys = ["outcome", "outcome_days", "adjustment"]
    ours = table[table["experiment_id"] == name].set_index(keys)
    theirs = recomputed(sample_folder, name).set_index(keys).reindex(ours.index)
    assert len(ours) == 3 * len(NAMES) * len(DAYS)
    for column in theirs:
        scale = 1e-9 * (theirs["std_error"] if "ci" in column or "estimate" in column else 0)
        if column.startswith("relative"):
            scale = scale / theirs["mean_control"].abs()
        off = (ours[column] - theirs[column]).abs() - (1e-9 * theirs[column].abs() + scale)
        assert (off <= 0).all(), (column, ours[column][off > 0], theirs[column][off > 0])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_scipys_welch_says_the_same(analysed, sample_folder, name):
    table = analysed(read_experiments).tables["experiment_effect"]
    units = units_of(sample_folder, name)
    here = units[units["followed_30"]]
    for outcome, column in NAMES.items():
        arms = [here.loc[here["variant"] == one, f"{column}_30"] for one in ("treatment", "control")]
        test = stats.ttest_ind(*arms, equal_var=False)
        row = table[(table["experiment_id"] == name) & (table["outcome"] == outcome)]
        row = row[(row["outcome_days"] == 30) & (row["adjustment"] == "none")]
        assert row["p_value"].item() == pytest.approx(test.pvalue, rel=1e-9)
        interval = test.confidence_interval(0.95)
        assert row[["ci_lower", "ci_upper"]].to_numpy()[0] == pytest.approx([interval.low, interval.high], rel=1e-8)


def test_what_was_planted_lies_inside_the_intervals_of_30_days(analysed, truth):
    table = analysed(read_experiments).tables["experiment_effect"].query("outcome_days == 30")
    for name, planted in truth["experiments"].items():
        for outcome in ("orders_per_user", "profit_per_user"):
            effect = planted["measured_30_days"][outcome]["effect"]
            rows = table[(table["experiment_id"] == name) & (table["outcome"] == outcome)]
            assert len(rows) == 3
            assert ((rows["ci_lower"] < effect) & (effect < rows["ci_upper"])).all(), (name, outcome)


def test_the_longest_window_that_half_of_the_units_have_is_primary(analysed, sample_folder):
    table = analysed(read_experiments).tables["experiment_effect"]
    primary = table[table["is_primary"].astype(bool)].set_index("experiment_id")
    assert set(primary["adjustment"]) == {"cuped"}
    assert set(primary["outcome"]) == {"profit_per_user"}
    for name in EXPERIMENTS:
        units = units_of(sample_folder, name)
        longest = max(days for days in DAYS if units[f"followed_{days}"].mean() >= 0.5)
        assert primary.loc[name, "outcome_days"] == longest


# -- weeks with different shares of the arms -------------------------------------------------------------------


@pytest.fixture
def changed(shop_of):
    """Treatment has a fifth of a rich first week and four fifths of a poor second one; each unit gains 10 by it.

    A third week has not been followed for 7 days. Everybody bought once in the time before.
    """
    rng = np.random.default_rng(4)
    plan = [("2026-03-02", 100, 60, 240), ("2026-03-09", 0, 240, 60), ("2026-04-20", 50, 40, 40)]
    assigned, orders, units = [], [], []
    for monday, base, *sizes in plan:
        day = pd.Timestamp(monday)
        for arm, size in zip(("treatment", "control"), sizes, strict=True):
            for number in range(size):
                user = f"{monday}-{arm}-{number}"
                before, noise = base / 2 + rng.gamma(2, 10), rng.normal(0, 5)
                after = 50 + base + 10 * (arm == "treatment") + before / 2 + noise
                assigned.append((user, arm, day))
                orders.append((user, day - pd.Timedelta(days=3), {"gross_amount": before}))
                orders.append((user, day + pd.Timedelta(days=2), {"gross_amount": after}))
                units.append((monday, arm, before, after))
    orders = [(user, str(paid), amounts) for user, paid, amounts in orders]
    shop = shop_of(assigned, orders, ends="2026-04-22")
    return shop, pd.DataFrame(units, columns=["week", "variant", "x", "y"]).query("week < '2026-04'")


def test_where_shares_change_arms_are_compared_within_weeks(changed, read, pick):
    """The plain difference says that the treatment costs much; within weeks it gains 10 (Simpson)."""
    shop, units = changed
    plain = units.groupby("variant")["y"].mean()
    assert plain["treatment"] - plain["control"] < -40
    analysis = read(shop, margin_rate=1)
    table = pick(analysis.tables["experiment_effect"], outcome="profit_per_user").set_index("adjustment")
    assert table["estimate"].between(8, 12).all()
    assert (table["n_treatment"].tolist(), table["n_control"].tolist()) == ([300] * 3, [300] * 3)
    weeks = [one for _week, one in units.groupby("week")]
    arms = [[one.loc[one["variant"] == arm, "y"] for one in weeks] for arm in ("treatment", "control")]
    within = np.mean([t.mean() - c.mean() for t, c in zip(*arms, strict=True)])  # each week has half of the units
    error = math.sqrt(sum(one.var() / len(one) for arm in arms for one in arm) / 4)
    for kind in ("none", "post_stratified"):
        assert table.loc[kind, ["estimate", "std_error"]].tolist() == pytest.approx([within, error], rel=1e-9)
    fits = [
        interacted(
            one["y"].to_numpy(), (one["variant"] == "treatment").to_numpy(float), one["x"].to_numpy(), np.zeros(1)
        )
        for one in weeks
    ]
    adjusted = np.mean([one for one, _error in fits]), math.hypot(*(one for _effect, one in fits)) / 2
    assert table.loc["cuped", ["estimate", "std_error"]].tolist() == pytest.approx(adjusted, rel=1e-9)
    assert analysis.tables["experiment_verdict"]["verdict"].tolist() == ["better"]
    # checks too: the arms differ by their weeks, not before assignment, and the average order did not fall
    assert [one.name for one in analysis.findings] == ["experiment_better", "allocation_changed"]
    checks = analysis.tables["experiment_checks"].set_index("check")
    assert checks.loc["balance_profit", "p_value"] > 0.01
    order = checks.loc["guardrail_average_order_value"]
    assert (order["status"], order["statistic"]) == (
        "holds",
        pytest.approx(within / np.mean([one.mean() for one in arms[1]])),
    )
    curve = pick(analysis.tables["experiment_curve"], outcome="profit_per_user").set_index("day")
    assert curve.loc[1, "estimate"] == 0
    assert curve["estimate"].iloc[-1] == pytest.approx(within, rel=1e-9)


def test_sums_of_the_followed_worked_by_hand():
    """One cell, units by how many of the windows of 7 and 30 days have elapsed: 0, 1 and 2 of them; a cell without orders."""
    rows = pd.DataFrame(
        {
            "variant": ["control", "control", "control", "treatment"],
            "week": 5,
            "is_new": False,
            "stratum": "0",
            "elapsed": [0, 1, 2, 2],
            "unit_count": [1, 10, 100, 7],
            "orders_pre_x": [1.0, 2.0, 4.0, np.nan],
            "orders_7_y": [8.0, 16.0, 32.0, np.nan],
            "orders_30_y": [1.0, 2.0, 4.0, np.nan],
            "orders_3_curve_y": [1.0, 2.0, 4.0, np.nan],
        }
    )
    found = followed_sums(rows, (30, 7)).set_index("variant")
    assert found.loc["control", ["unit_count", "n_7", "n_30"]].to_list() == [111, 110, 100]
    assert found.loc["control", ["orders_pre_x", "orders_7_x", "orders_30_x"]].to_list() == [7, 6, 4]
    assert found.loc["control", ["orders_7_y", "orders_30_y", "orders_3_curve_y"]].to_list() == [48, 4, 4]
    assert found.loc["treatment", ["unit_count", "n_30", "orders_7_y"]].to_list() == [7, 7, 0]
