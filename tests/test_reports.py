"""The notebooks on the sample, whole: tables as promised, and reports that open anywhere."""

import json
import re

import pandas as pd
import pytest

from workbench.report.run import run_notebook

PHONE = {"width": 390, "height": 844}
REPURCHASE = [
    f"repurchase_rate_{days}{part}"
    for days in (30, 60, 90)
    for part in ("", "_eligible_count", "_ci_lower", "_ci_upper")
]
PROMISED = {
    "channel_comparison": {
        "channel_scorecard": [
            "channel",
            "user_count",
            "buyer_count",
            "repeat_buyer_count",
            "order_count",
            "gross_amount",
            "paid_amount",
            "average_order_value",
            "conversion_rate",
            "ci_lower",
            "ci_upper",
            "refund_rate",
            *REPURCHASE,
        ],
        "channel_funnel": [
            "channel",
            "step",
            "step_index",
            "user_count",
            "step_rate",
            "overall_rate",
            "ci_lower",
            "ci_upper",
            "median_hours",
        ],
        "channel_adjusted": [
            "channel",
            "conversion_rate",
            "baseline_rate",
            "adjusted_rate",
            *(
                f"{part}{end}"
                for part in ("gap", "mix", "rate", "unsupported")
                for end in ("", "_ci_lower", "_ci_upper")
            ),
            "supported_share",
            "reason",
        ],
        "channel_mix": ["channel", "age_group", "audience_share", "baseline_share", "conversion_rate", "mix", "rate"],
        "channel_pairs": [
            "channel",
            "other_channel",
            "difference",
            "ci_lower",
            "ci_upper",
            "p_value",
            "p_value_adjusted",
        ],
        "channel_repurchase": ["channel", "day", "at_risk_count", "repurchase_share", "ci_lower", "log10_p_value"],
        "channel_retention": [
            "channel",
            "unit",
            "cohort_date",
            "period_index",
            "cohort_user_count",
            "active_count",
            "retention_rate",
            "on_or_after_rate",
            "order_count",
            "paid_amount",
        ],
        "channel_economics": [
            "channel",
            "spend_amount",
            "cost_per_visitor",
            "cost_per_new_user",
            "cost_per_new_buyer",
            "return_on_ad_spend",
            "contribution_per_new_user",
            "payback_day",
            *(f"paid_amount_per_user_{days}" for days in (30, 60, 90)),
        ],
        "channel_payback": ["channel", "day", "profit_per_user", "balance_per_user"],
        "channel_prices": ["channel", "price_band", "viewed_share", "bought_share"],
    },
    "coupon_evaluation": {
        "coupon_scorecard": [
            "level",
            "coupon_id",
            "granted_count",
            "redeemed_count",
            "redemption_rate",
            "order_count",
            "gross_amount",
            "coupon_discount_amount",
            "subsidy_rate",
            "paid_amount",
            "average_order_value",
            "order_share",
            "amount_share",
            *REPURCHASE,
            "collect_rate",
            "use_rate",
            "median_hours_to_use",
            "expired_share",
            "subsidy_rate_all_orders",
            "subsidy_rate_net",
            "new_buyer_count",
            "category_entropy",
            "largest_category_share",
            "active_days",
            "is_subsidy_ok",
            "is_redeemed_well",
            "sells",
            "is_diverse",
            "brings_back",
        ],
        "coupon_depth": ["dimension", "band", "order_count", "profit_per_order", "repurchase_rate_30", "pays"],
        "coupon_repurchase": ["level", "coupon_id", "day", "at_risk_count", "repurchase_share", "ci_lower", "ci_upper"],
    },
    "experiment_readout": {
        "experiment_verdict": [
            "experiment_id",
            "variant",
            "control_variant",
            "verdict",
            "outcome",
            "outcome_days",
            "estimate",
            "ci_lower",
            "ci_upper",
            "p_value_adjusted",
            "reason",
        ],
        "experiment_effect": [
            "experiment_id",
            "variant",
            "control_variant",
            "outcome",
            "outcome_days",
            "adjustment",
            "is_primary",
            "estimate",
            "std_error",
            "ci_lower",
            "ci_upper",
            "p_value",
            "p_value_adjusted",
            "adjusted_ci_lower",
            "adjusted_ci_upper",
            "sequential_ci_lower",
            "sequential_ci_upper",
            "relative_estimate",
            "relative_ci_lower",
            "relative_ci_upper",
            "n_treatment",
            "n_control",
        ],
        "experiment_curve": ["experiment_id", "variant", "outcome", "day", "estimate", "ci_lower", "ci_upper"],
        "experiment_checks": ["experiment_id", "variant", "check", "statistic", "p_value", "limit", "status"],
    },
    "sales_overview": {
        "sales_kpis": ["grain", "start_date", "metric", "value", "comparison_value", "change", "relative_change"],
        "sales_contribution": ["part", "factor", "segment", "contribution", "ci_lower", "ci_upper"],
        "category_contribution": ["part", "factor", "category", "contribution"],
        "profit_composition": ["dimension", "member", "gross_amount", "spend_amount", "contribution_amount"],
        "product_ranking": ["level", "ranking", "rank", "member", "net_amount", "comparison_amount", "change"],
        "stock_days": ["product_id", "region", "on_hand_quantity", "days_of_stock", "replenish_quantity", "hint"],
        "sales_history": ["date", "net_amount", "expected_value", "expected_lower", "is_alarm"],
    },
    "slot_attribution": {
        "slot_metrics": [
            "slot_id",
            "impression_count",
            "click_count",
            "viewer_count",
            "clicker_count",
            "click_through_rate",
            "ci_lower",
            "ci_upper",
            "clicks_per_clicker",
        ],
        "slot_credit": [
            "target",
            "model",
            "credit_to",
            "credited_id",
            "conversion_credit",
            "amount_credit",
            "conversion_share",
            "amount_share",
            "ci_lower",
            "ci_upper",
        ],
        "slot_differences": ["target", "model", "credited_id", "other_id", "difference", "ci_lower", "ci_upper"],
        "slot_ranks": ["target", "model", "credited_id", "rank", "rank_lower", "rank_upper"],
        "slot_leak": ["slot_id", "step", "user_count", "step_rate", "shrunk_rate", "comparable_rate", "stake_amount"],
        "slot_concentration": ["page", "order_by", "place", "slot_id", "share", "cumulative_share", "benchmark_lower"],
        "position_misfit": ["slot_id", "credit", "expected_credit", "ratio", "ci_lower", "ci_upper", "misfit"],
        "content_metrics": [
            "content_id",
            "click_through_rate",
            "expected_clicks",
            "appeal",
            "is_separable",
            "placement",
        ],
        "slot_retention": ["slot_id", "unit", "period_index", "retention_rate", "site_retention_rate", "is_complete"],
        "model_agreement": ["target", "credited_id", "lowest_share", "highest_share", "spread"],
        "attributable_rate": ["date", "order_count", "attributed_count", "attributable_rate"],
        "model_error": ["target", "model", "misplaced_share"],
    },
    "user_quadrants": {
        "quadrants": ["end_date", "quadrant", "user_count", "user_share", "paid_amount", "amount_share", "x_threshold"],
        "quadrant_profile": ["quadrant", "dimension", "value", "user_share", "rest_share", "difference", "ci_lower"],
        "migration": ["end_date", "from_group", "to_group", "user_count", "row_share", "crossed"],
        "migration_alerts": ["end_date", "from_group", "to_group", "row_share", "expected_share", "amount_at_risk"],
        "lifecycle": ["end_date", "state", "user_count", "user_share", "paid_amount"],
        "buyers": ["buyer_group", "user_count", "next_purchase_rate_30"],
        "next_purchase": ["buyer_group", "median_day", "median_ci_lower", "contact_from_day", "contact_count"],
        "tags": ["tag", "value", "user_count", "paid_amount_per_user"],
    },
}

ASKED = {
    "sales_overview": {"start_date": "2026-06-07", "end_date": "2026-06-14"},
    "user_quadrants": {"window_days": 14, "period_days": 7},
}
"""Parameters without which a report of all the data has nothing to say."""

SECTIONS_WITHOUT_CONTENT = """() => [...document.querySelectorAll("main h2")].filter(heading => {
    const next = heading.parentElement.nextElementSibling;
    return heading.nextElementSibling === null && (next === null || next.querySelector("h2") || !next.offsetHeight);
}).map(heading => heading.textContent)"""


@pytest.mark.browser
@pytest.mark.parametrize("lang", ["en", pytest.param("zh", marks=pytest.mark.slow)])
@pytest.mark.parametrize("notebook", PROMISED)
def test_a_report_on_the_sample(sample_folder, tmp_path, open_page, notebook, lang):
    result = run_notebook(
        notebook,
        sample_folder,
        tmp_path,
        parameters={"timezone": "Asia/Shanghai", **ASKED.get(notebook, {})},
        lang=lang,
    )
    assert result.status == "done", result.error
    for table, columns in PROMISED[notebook].items():
        written = pd.read_csv(result.folder / "tables" / f"{table}.csv")
        assert not set(columns) - set(written.columns)
        assert len(written)
    manifest = json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["notebook"] == notebook
    assert manifest["status"] == "done"
    assert manifest["parameters"]["timezone"] == "Asia/Shanghai"
    for name in ("report.html", "notebook.ipynb", "manifest.json", "findings.json"):
        text = (result.folder / name).read_text(encoding="utf-8")
        assert str(sample_folder.parent) not in text, f"{name} tells where the data lie"
        assert not re.search(r"\bu\d{7}\b", text), f"{name} holds a user id"
    assert (result.folder / "report.html").stat().st_size < 1_500_000
    executed = json.loads((result.folder / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    panels = [cell for cell in executed if "wb.explore." in "".join(cell["source"])]
    assert len(panels) == (notebook != "experiment_readout")
    assert all(cell["outputs"] == [] for cell in panels)

    page = open_page(result.report, viewport=PHONE)
    charts = page.locator("figure").count()
    assert charts >= 2
    assert page.locator("figure .vega-embed svg").count() == charts
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(SECTIONS_WITHOUT_CONTENT) == []
    assert (
        page.evaluate("document.querySelector('.wb-first .wb-actions').getBoundingClientRect().bottom")
        <= PHONE["height"]
    )
    assert page.locator("html").get_attribute("lang").startswith(lang)

    page.emulate_media(media="print")  # what is wider than paper would be printed with all letters smaller
    page.set_viewport_size({"width": 680, "height": 960})
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    wide = page.locator("main .wb-table").evaluate_all("all => all.filter(one => one.offsetWidth > 680 + 24).length")
    assert wide == 0, "columns are cut on paper"
