"""Contents inside slots: how well each is clicked, how much of that is its place, and to whom it is shown."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats

from workbench.metrics.contents import content_audience, content_cells, content_slots, content_users
from workbench.period import Period
from workbench.source.shop import Shop
from workbench.stats.click_model import ClickModel, fit_click_model
from workbench.stats.intervals import ratio_by_bucket, zero_share_upper
from workbench.stats.tables import divide

CONTENT_LIMIT, SLOT_LIMIT = 2_000, 500
"""So many contents and slots, by exposures, enter the click model."""
AUDIENCE_EXPOSURES, AUDIENCE_BUCKETS = 300_000, 32
"""Placement is judged on the users of as many buckets as hold so many exposures, but no fewer buckets."""
MIN_BUCKETS = 30
"""Below this many buckets of viewers a content's placement is not judged."""
COLUMNS = [
    "content_id",
    "content_name",
    "slot_count",
    "impression_count",
    "click_count",
    "viewer_count",
    "clicker_count",
    "clicks_per_clicker",
    "click_through_rate",
    "ci_lower",
    "ci_upper",
    "expected_clicks",
    "clicks_over_expected",
    "appeal",
    "appeal_ci_lower",
    "appeal_ci_upper",
    "component",
    "is_separable",
    "placement",
    "placement_reason",
    "conversion_credit",
    "amount_credit",
    "reason",
]
POSITION_COLUMNS = [
    "slot_id",
    "component",
    "content_count",
    "impression_count",
    "click_count",
    "click_through_rate",
    "average_content_rate",
    "position_effect",
    "ci_lower",
    "ci_upper",
    "reason",
]
TEST_COLUMNS = ["component", "slot_count", "statistic", "numerator_df", "denominator_df", "p_value"]


@dataclass(frozen=True)
class ContentResult:
    """What contents and places contribute to clicks.

    Attributes
    ----------
    table
        ``content_metrics``: one row per content, most clicks first.
    position_table
        One row per slot that showed a content: its click-through rate, the rate that it would have with average
        contents (average_content_rate), and position_effect, its click rate over the mean of its component, the
        content and week being equal, with interval. Where the component's test does not tell its slots apart, the
        reason is not_told_apart: no single slot's interval may then be read as an effect.
    position_tests
        One row per component with two slots or more: whether its slots differ (p_value).
    facts
        Numbers for the notes: contents_beyond_limit, slots_beyond_limit, clicks_without_exposures (in cells of the
        model), component_count, confounded_components (weeks cannot be told from places or contents),
        inseparable_count, judged_count and personalised_count (placement).
    """

    table: pd.DataFrame
    position_table: pd.DataFrame
    position_tests: pd.DataFrame
    facts: dict[str, int]


def content_metrics(
    shop: Shop, period: Period, *, credit: pd.DataFrame | None, confidence_level: float = 0.95
) -> ContentResult:
    """Which content is clicked for its own sake, and which for its place?

    Parameters
    ----------
    shop
        Needs ``events`` with content_id; slot_id for the click model.
    period
        Exposures and clicks that count.
    credit
        Credits by content: credited_id (text), conversion_credit, amount_credit. None: these columns are NaN.
    confidence_level
        Coverage of intervals; one minus it is the chance to call any placement personalised where none is.

    Returns
    -------
    ContentResult
        Its table has one row per content_id seen or clicked, by click_count. ``appeal`` compares contents of one
        ``component`` at equal slot and week: 1 is an average exposure of the component. ``expected_clicks`` is what
        average contents would have had in the same slots and weeks; by the model's own equations clicks over
        expected clicks are the appeal. ``is_separable``: whether the appeal is free of the place. ``placement``:
        ``personalised`` where viewers click more, or less, in other slots on other days than those who saw another
        content in the same slot on the same day; ``random`` where no such difference shows; None with ``placement_reason``
        (``users_unknown``, ``one_content_at_a_time``, ``too_few_users``). ``reason``: why appeal or intervals are
        missing or limited (clicks_above_exposures, beyond_limit, no_slot, no_clicks, only_content, one_slot,
        weeks_confounded, too_few_users).

    Notes
    -----
    Placement: content_audience's surplus by bucket of users, Student's t on (buckets - 1), Holm over contents; on
    a part of the users where there are many.
    Where placement is personalised, appeal compares different people and is not to be trusted.
    """
    if not shop.has("events", "content_id"):
        return _nothing()
    pairs = shop.collect(content_slots(shop.events, period))
    if pairs.empty:
        return _nothing()
    slots, contents, beyond = _within_limits(pairs)
    cells = shop.collect(content_cells(shop.events, period, slots=slots, contents=contents))
    table = _counts(shop, period, pairs, cells, confidence_level)
    inside = cells[cells["slot_id"].notna() & ~cells["content_id"].isin(table.index[table["is_impossible"]])]
    model, slot_ids, content_ids = _model(inside, confidence_level)
    table = _with_model(table, model, content_ids, contents)
    table = _with_placement(shop, period, table, pairs, confidence_level)
    table = _with_names_and_credit(shop, table, credit).rename_axis("content_id").reset_index()
    table = table.sort_values(["click_count", "content_id"], ascending=[False, True], ignore_index=True)[COLUMNS]
    facts = beyond | {
        "clicks_without_exposures": round(model.clicks_left_out),
        "component_count": len({str(one).split(".")[0] for one in model.slot_component if one}),
        "confounded_components": model.confounded_weeks,
        "inseparable_count": int((~table["is_separable"]).sum()),
        "judged_count": int(table["placement"].notna().sum()),
        "personalised_count": int((table["placement"] == "personalised").sum()),
    }
    tests = [
        (one.component, len(one.slots), one.statistic, one.numerator_df, one.denominator_df, one.p_value)
        for one in model.tests
    ]
    return ContentResult(
        table,
        _positions(inside, model, slot_ids, confidence_level),
        pd.DataFrame(tests, columns=TEST_COLUMNS),
        dict(facts),
    )


def _nothing() -> ContentResult:
    return ContentResult(
        pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=POSITION_COLUMNS), pd.DataFrame(columns=TEST_COLUMNS), {}
    )


def _within_limits(pairs: pd.DataFrame) -> tuple[list[str] | None, list[str] | None, dict[str, int]]:
    """Ids that enter the model, None for all; how many stay outside."""
    chosen, beyond = [], {}
    for column, limit, name in (
        ("slot_id", SLOT_LIMIT, "slots_beyond_limit"),
        ("content_id", CONTENT_LIMIT, "contents_beyond_limit"),
    ):
        totals = pairs.groupby(column)["impression_count"].sum().reset_index()
        totals = totals.sort_values(["impression_count", column], ascending=[False, True])
        chosen.append(totals[column].head(limit).tolist() if len(totals) > limit else None)
        beyond[name] = max(len(totals) - limit, 0)
    return chosen[0], chosen[1], beyond


def _counts(
    shop: Shop, period: Period, pairs: pd.DataFrame, cells: pd.DataFrame, confidence_level: float
) -> pd.DataFrame:
    """Counts and click-through rates by content."""
    table = pairs.groupby("content_id")[["impression_count", "click_count"]].sum()
    table["slot_count"] = pairs.groupby("content_id")["slot_id"].nunique()
    table[["viewer_count", "clicker_count"]] = float("nan")
    units = table["impression_count"]
    if shop.user_ids_known:
        users = shop.collect(content_users(shop.events, period)).set_index("content_id")
        table[["viewer_count", "clicker_count"]] = users.reindex(table.index)
        units = table["viewer_count"]
    table["clicks_per_clicker"] = divide(table["click_count"], table["clicker_count"])
    table["is_impossible"] = table["click_count"] > table["impression_count"]
    by_bucket = cells.groupby(["bucket", "content_id"])[["click_count", "impression_count"]].sum()
    clicks, exposures = (
        by_bucket[name].unstack(fill_value=0).reindex(columns=table.index, fill_value=0)
        for name in ("click_count", "impression_count")
    )
    with np.errstate(all="ignore"):
        found = ratio_by_bucket(clicks, exposures, confidence_level=confidence_level)
    none = (table["click_count"] == 0) & (units > 0)
    table["upper_without_clicks"] = pd.Series(
        zero_share_upper(units, confidence_level=confidence_level), index=table.index
    ).where(none)
    table["click_through_rate"] = divide(table["click_count"], table["impression_count"]).mask(table["is_impossible"])
    table["ci_lower"] = pd.Series(found.lower, index=table.index).mask(table["is_impossible"]).mask(none, 0.0)
    table["ci_upper"] = pd.Series(found.upper, index=table.index).mask(table["is_impossible"])
    table["ci_upper"] = table["ci_upper"].mask(none, table["upper_without_clicks"])
    return table


def _model(inside: pd.DataFrame, confidence_level: float) -> tuple[ClickModel, pd.Index, pd.Index]:
    """The click model with the ids behind its codes."""
    slot, slot_ids = pd.factorize(inside["slot_id"], sort=True)
    content, content_ids = pd.factorize(inside["content_id"], sort=True)
    model = fit_click_model(
        slot,
        content,
        pd.factorize(inside["week"], sort=True)[0],
        pd.factorize(inside["bucket"], sort=True)[0],
        inside["impression_count"],
        inside["click_count"],
        slot_count=len(slot_ids),
        content_count=len(content_ids),
        confidence_level=confidence_level,
    )
    return model, pd.Index(slot_ids), pd.Index(content_ids)


def _with_model(
    table: pd.DataFrame,
    model: ClickModel,
    content_ids: pd.Index,
    contents: list[str] | None,
) -> pd.DataFrame:
    """Add what the model says of each content, and why it says nothing."""
    said = pd.DataFrame(
        {
            "appeal": model.appeal.estimate,
            "appeal_ci_lower": model.appeal.lower,
            "appeal_ci_upper": model.appeal.upper,
            "expected_clicks": model.expected_clicks,
            "component": model.content_component,
            "is_separable": model.is_separable,
            "reason": model.content_reason,
        },
        index=content_ids,
    )
    table = table.join(said)
    table["is_separable"] = table["is_separable"].eq(True)
    table["clicks_over_expected"] = divide(
        table["click_count"].where(table["appeal"].notna()), table["expected_clicks"]
    )
    # nobody clicked: the bound of the click-through rate, over the rate that was to be expected
    none = (table["appeal"] == 0) & (table["expected_clicks"] > 0)
    bound = table["upper_without_clicks"] * divide(table["impression_count"], table["expected_clicks"])
    table["appeal_ci_lower"] = table["appeal_ci_lower"].mask(none, 0.0)
    table["appeal_ci_upper"] = table["appeal_ci_upper"].mask(none, bound)
    few = table["reason"].isna() & (table["appeal_ci_lower"].isna() | table["ci_lower"].isna())
    reason = table["reason"].astype(object).where(table["reason"].notna(), None).mask(few, "too_few_users")
    reason = reason.mask(table["slot_count"] == 0, "no_slot")
    if contents is not None:
        reason = reason.mask(~table.index.isin(contents), "beyond_limit")
    else:
        outside = (table["slot_count"] > 0) & ~table.index.isin(content_ids)
        reason = reason.mask(outside, "beyond_limit")
    table["reason"] = reason.mask(table["is_impossible"], "clicks_above_exposures")
    table["component"] = table["component"].astype(object).where(table["component"].notna(), None)
    return table


def _with_placement(
    shop: Shop, period: Period, table: pd.DataFrame, pairs: pd.DataFrame, confidence_level: float
) -> pd.DataFrame:
    """Add whether who is shown a content has to do with who clicks."""
    shared = pairs.groupby("content_id")["shared_day_count"].sum().reindex(table.index).fillna(0) > 0
    table["placement"] = pd.Series(None, index=table.index, dtype=object)
    if not shop.user_ids_known:
        return table.assign(placement_reason="users_unknown")
    table["placement_reason"] = pd.Series(None, index=table.index, dtype=object).mask(~shared, "one_content_at_a_time")
    exposures = table["impression_count"].sum()
    if not shared.any() or not exposures:
        return table
    audience = shop.collect(
        content_audience(
            shop.events,
            period,
            float(table["click_count"].sum() / exposures),
            buckets=max(AUDIENCE_BUCKETS, min(256, round(256 * AUDIENCE_EXPOSURES / exposures))),
        )
    )
    p_values = placement_p_values(audience)
    table["placement_reason"] = table["placement_reason"].mask(
        shared & ~shared.index.isin(p_values.index), "too_few_users"
    )
    judged = p_values.index[holm_rejects(p_values, 1 - confidence_level)]
    table.loc[p_values.index, "placement"] = "random"
    table.loc[judged, "placement"] = "personalised"
    return table


def placement_p_values(audience: pd.DataFrame) -> pd.Series:
    """For each content with viewers in enough buckets: the chance of such a surplus if users played no part.

    Parameters
    ----------
    audience
        One row per slot_id, week, content_id and user_bucket: exposures, rate_surplus.

    Returns
    -------
    pandas.Series
        By content_id; without those that cannot be judged.

    Notes
    -----
    A bucket's surplus at a content is held against what it has at all contents of the slot and week, times the
    content's share of their exposures: users who click a lot raise all contents alike, and that says nothing.
    These differences are independent between buckets and sum to the content's surplus;
    t = sum / (standard deviation between buckets x sqrt(buckets)).
    """
    place = audience.groupby(["slot_id", "week"]).ngroup().to_numpy()
    content, contents = pd.factorize(audience["content_id"], sort=True)
    bucket, buckets = pd.factorize(audience["user_bucket"], sort=True)
    exposures, surplus = (audience[name].to_numpy(dtype=float) for name in ("exposures", "rate_surplus"))
    places = place.max(initial=-1) + 1
    by_place = sparse.csr_array((surplus, (place, bucket)), shape=(places, len(buckets)))
    share = sparse.csr_array((exposures / np.bincount(place, exposures)[place], (content, place)))
    by_content = sparse.csr_array((surplus, (content, bucket)), shape=(len(contents), len(buckets)))
    difference = (by_content - share @ by_place).toarray()
    filled = pd.Series(bucket).groupby(content).nunique().to_numpy()
    # users without exposures elsewhere all have the average rate: what is left then is rounding
    judged = (filled >= MIN_BUCKETS) & (np.abs(difference).max(axis=1, initial=0) > 1e-9)
    difference = difference[judged]
    statistic = difference.sum(axis=1) / (difference.std(axis=1, ddof=1) * np.sqrt(len(buckets)))
    return pd.Series(2 * stats.t.sf(np.abs(statistic), max(len(buckets) - 1, 1)), index=contents[judged])


def holm_rejects(p_values: pd.Series, level: float) -> np.ndarray:
    """Which hypotheses fall when at most ``level`` of families may lose a true one?

    References
    ----------
    Holm, S. (1979), https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> holm_rejects(pd.Series([0.03, 0.01, 0.04]), 0.05).tolist(), holm_rejects(pd.Series([0.03, 0.02]), 0.05).tolist()
    ([False, True, False], [True, True])
    """
    order = np.argsort(p_values.to_numpy(), kind="stable")
    kept = np.minimum.accumulate(p_values.to_numpy()[order] <= level / (len(order) - np.arange(len(order))))
    result = np.zeros(len(order), dtype=bool)
    result[order] = kept
    return result


def _with_names_and_credit(shop: Shop, table: pd.DataFrame, credit: pd.DataFrame | None) -> pd.DataFrame:
    """Add names, or ids where there is none, and credits; a content without credit has 0 where credit was given."""
    names = pd.Series(dtype=object)
    if shop.has("contents", "name"):
        contents = shop.tables["contents"]
        found = shop.collect(contents.select(content_id=contents.content_id.cast("string"), name=contents.name))
        names = found.set_index("content_id")["name"]
    table["content_name"] = names.reindex(table.index).astype(object)
    table["content_name"] = table["content_name"].where(table["content_name"].notna(), table.index.to_series())
    for name in ("conversion_credit", "amount_credit"):
        given = None if credit is None else credit.set_index(credit["credited_id"].astype(str))[name]
        has_any = given is not None and not (len(given) and given.isna().all())
        table[name] = given.reindex(table.index, fill_value=0.0) if given is not None and has_any else float("nan")
    return table


def _positions(inside: pd.DataFrame, model: ClickModel, slot_ids: pd.Index, confidence_level: float) -> pd.DataFrame:
    """One row per slot, by exposures."""
    by_slot = inside.groupby("slot_id")
    table = by_slot[["impression_count", "click_count"]].sum().reindex(slot_ids)
    table["content_count"] = by_slot["content_id"].nunique()
    table["click_through_rate"] = divide(table["click_count"], table["impression_count"])
    table["click_through_rate"] = table["click_through_rate"].mask(table["click_count"] > table["impression_count"])
    table["component"] = model.slot_component
    table["average_content_rate"] = model.slot_average_rate
    table["position_effect"] = model.slot_effect.estimate
    table["ci_lower"], table["ci_upper"] = model.slot_effect.lower, model.slot_effect.upper
    few = pd.isna(model.slot_reason) & np.isnan(model.slot_effect.lower)
    reason = pd.Series(model.slot_reason, index=slot_ids, dtype=object)
    alike = {one.component for one in model.tests if one.p_value >= 1 - confidence_level}
    is_alike = np.array([bool(one) and one.split(".")[0] in alike for one in model.slot_component], dtype=bool)
    table["reason"] = reason.mask(few, "too_few_users").mask(reason.isna() & is_alike, "not_told_apart")
    table = table.rename_axis("slot_id").reset_index()
    return table.sort_values(["impression_count", "slot_id"], ascending=[False, True], ignore_index=True)[
        POSITION_COLUMNS
    ]
