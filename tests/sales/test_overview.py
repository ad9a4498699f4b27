"""The sales tables by hand, against a loop, on the sample's planted change, and in the face of bad input."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from sales_shops import NOW, days, hand_shop, hand_tables, random_tables
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.glossary import metric
from workbench.language import format_amount
from workbench.sales import charts, overview_sales
from workbench.sales.words import change_text
from workbench.source.simulate import Truth, simulate_shop

PLANTED = {"start_date": "2026-06-07", "end_date": "2026-06-14"}
PICTURES = (
    charts.waterfall_picture,
    charts.segment_picture,
    charts.history_picture,
    charts.composition_picture,
    charts.ranking_picture,
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return open_shop(hand_shop(tmp_path_factory.mktemp("hand") / "shop"))


@pytest.fixture(scope="module")
def by_hand(shop):
    return overview_sales(shop, **NOW, sales_targets=["2026-03=3100", "2026-03-04=50"])


def kpi(analysis, grain="period", start=None):
    table = analysis.tables["sales_kpis"]
    table = table[table["grain"] == grain]
    return (table if start is None else table[table["start_date"] == start]).set_index("metric")


def rows(analysis, table, *key):
    return analysis.tables[table].set_index(list(key))


def without(tables, *names, **columns):
    """Tables without some, and without some of their columns."""
    return {name: table.drop(columns=columns.get(name, [])) for name, table in tables.items() if name not in names}


LESS_WORDS = ["coupons", "other discounts", "refunds"]


def float_of(text):
    """The number of a cell of the first screen."""
    return float(text.replace("−", "-").replace(",", "").replace("k", "e3"))


def opened(folder, tables):
    return open_shop(write_shop(folder / "shop", **tables))


class TestKpis:
    def test_the_period_against_the_two_days_before(self, by_hand):
        now = kpi(by_hand)
        assert now["value"].drop(["spend_amount"]).to_dict() == pytest.approx(
            {
                "net_amount": 150.0,
                "visitor_count": 4,  # u1 comes on both days and counts once
                "conversion_rate": 0.5,
                "buyer_count": 2,
                "orders_per_buyer": 1.0,
                "order_count": 2,
                "gross_per_order": 100.0,
                "gross_amount": 200.0,
                "coupon_discount_amount": 20.0,
                "other_discount_amount": 0.0,
                "refund_amount": 30.0,
                "average_order_value": 90.0,
            }
        )
        assert now.loc[["net_amount", "visitor_count", "orders_per_buyer"], "comparison_value"].tolist() == [
            185,
            4,
            1.5,
        ]
        assert now.loc["net_amount", ["change", "relative_change"]].tolist() == pytest.approx([-35, -35 / 185])
        assert now.loc["spend_amount", ["value", "comparison_value"]].tolist() == [11.0, 4.0]
        assert now["previous_year_value"].isna().all()

    def test_a_day_counts_who_came_on_it(self, by_hand):
        day = kpi(by_hand, "day", "2026-03-03")
        assert day.loc[["visitor_count", "buyer_count", "order_count", "net_amount"], "value"].tolist() == [3, 1, 1, 70]
        assert kpi(by_hand, "day", "2026-03-04").loc["visitor_count", "value"] == 2  # u1, and u2 by the order
        assert day["comparison_value"].drop("spend_amount").isna().all()  # 24 February lies before the data
        assert len(kpi(by_hand, "week")) == 0

    def test_targets_of_days_go_before_those_of_months(self, by_hand):
        assert kpi(by_hand).loc["net_amount", "target_amount"] == 150.0  # a 31st of March's, and the 4th's own
        assert kpi(by_hand)["target_amount"].notna().sum() == 1

    def test_few_buyers_have_no_intervals_and_the_largest_is_named(self, by_hand):
        assert kpi(by_hand)[["ci_lower", "change_ci_upper"]].isna().all().all()
        assert any("one buyer carries 75%" in note for note in by_hand.notes)  # u1 carried 150 of 200 before

    def test_days_of_ones_own_are_compared_in_order(self, shop, by_hand):
        found = overview_sales(shop, **NOW, compare_to=["2026-03-01", "2026-03-03"])
        assert kpi(found)["change"].to_dict() == pytest.approx(kpi(by_hand)["change"].to_dict(), nan_ok=True)
        assert kpi(found, "day", "2026-03-04").loc["order_count", "comparison_value"] == 2  # those of 2 March

    def test_sums_of_random_shops_are_those_of_a_loop(self, tmp_path):
        tables = random_tables(4)
        analysis = overview_sales(opened(tmp_path, tables), start_date="2026-03-15", end_date="2026-03-29")
        orders, events = tables["orders"], tables["events"]
        for column, first in (("value", "2026-03-15"), ("comparison_value", "2026-03-01")):
            begin = pd.Timestamp(first, tz="UTC")
            end = begin + pd.Timedelta(days=14)
            mine = orders[(orders["paid_at"] >= begin) & (orders["paid_at"] < end)]
            seen = events[(events["event_at"] >= begin) & (events["event_at"] < end)]
            visitors = {*seen["user_id"], *mine["user_id"]}
            net = sum(
                row["gross_amount"] - row["coupon_discount_amount"] - row["refund_amount"]
                for row in mine.to_dict("records")
            )
            wanted = [net, len(visitors), mine["user_id"].nunique(), len(mine)]
            names = ["net_amount", "visitor_count", "buyer_count", "order_count"]
            assert kpi(analysis).loc[names, column].tolist() == pytest.approx(wanted)


class TestContribution:
    def test_factors_by_hand(self, by_hand):
        factors = rows(by_hand, "sales_contribution", "part").loc["factor"].set_index("factor")["contribution"]
        assert factors.to_dict() == pytest.approx(
            {
                "visitor_count": 0.0,
                "conversion_rate": 0.0,
                "orders_per_buyer": 200 * math.log(2 / 3),  # 200 before and after
                "gross_per_order": -200 * math.log(2 / 3),
                "coupon_discount_amount": -10.0,
                "other_discount_amount": 5.0,
                "refund_amount": -30.0,
            }
        )
        assert factors.sum() == pytest.approx(-35.0, abs=1e-9)

    def test_the_worked_check_of_the_definitions(self, tmp_path):
        """10,000 visitors at 5 % and 200 become 12,000 at 4 % and 220: a hundredth of them, one order a buyer."""
        visits, orders = [], []
        for day, visitors, buyers, amount in (("2026-03-01", 100, 5, 200.0), ("2026-03-02", 120, 5, 211.2)):
            visits += [(f"{day}-{i}", day, "page_view") for i in range(visitors)]
            orders += [(f"{day}-{i}", f"{day}-{i}", day, day, amount) for i in range(buyers)]
        tables = {
            "events": frame("user_id event_at event", *visits),
            "orders": frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        }
        analysis = overview_sales(opened(tmp_path, tables), start_date="2026-03-02", end_date="2026-03-03")
        found = rows(analysis, "sales_contribution", "part", "factor")["contribution"].loc["factor"]
        mean = 56 / math.log(1056 / 1000)
        assert found["visitor_count"] == pytest.approx(mean * math.log(1.2))
        assert found["conversion_rate"] == pytest.approx(mean * math.log(5 / 120 / 0.05))
        assert found["gross_per_order"] == pytest.approx(mean * math.log(1.056))
        assert found.sum() == pytest.approx(56.0)

    @pytest.mark.parametrize(
        ("seed", "first", "end"),
        [
            (0, "2026-03-15", "2026-03-29"),
            (1, "2026-03-15", "2026-03-29"),
            (2, "2026-03-18", "2026-03-19"),  # nobody came on the 18th
            (3, "2026-03-19", "2026-03-20"),  # nor on the day before the 19th
        ],
    )
    def test_parts_sum_to_the_change_to_the_cent(self, tmp_path, seed, first, end):
        self.closes(overview_sales(opened(tmp_path, random_tables(seed)), start_date=first, end_date=end))

    def test_parts_of_the_sample_sum_to_the_cent(self, analysed):
        for segment_by in ("channel", "region"):
            self.closes(analysed(overview_sales, segment_by=segment_by, **PLANTED))

    def closes(self, analysis):
        table = analysis.tables["sales_contribution"]
        change = kpi(analysis).loc["net_amount", "change"]
        factors = table[table["part"] == "factor"]
        assert factors["segment"].isna().all()
        assert factors["contribution"].sum() == pytest.approx(change, abs=0.005)
        parts = table[table["part"] != "factor"]
        assert parts["segment"].notna().all()
        first, ratios = factors["contribution"].iloc[0], factors["contribution"].iloc[1:4].sum()
        assert parts.loc[parts["part"] == "traffic", "contribution"].sum() == pytest.approx(first, abs=0.005)
        assert parts.loc[parts["part"] != "traffic", "contribution"].sum() == pytest.approx(ratios, abs=0.005)

    def test_equal_rates_everywhere_have_no_mix(self, tmp_path):
        """Each channel: one of two visitors buys for 10; ads doubles, web halves."""
        visits, orders, users = [], [], []
        for day, sizes in (("2026-03-01", {"ads": 4, "web": 8}), ("2026-03-02", {"ads": 8, "web": 4})):
            for channel, size in sizes.items():
                for i in range(size):
                    name = f"{day}{channel}{i}"
                    users.append((name, day, channel))
                    visits.append((name, day, "page_view"))
                    if i % 2:
                        orders.append((name, name, day, day, 10.0))
        tables = {
            "users": frame("user_id first_seen_at channel", *users),
            "events": frame("user_id event_at event", *visits),
            "orders": frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        }
        analysis = overview_sales(opened(tmp_path, tables), start_date="2026-03-02", end_date="2026-03-03")
        table = analysis.tables["sales_contribution"]
        assert table.loc[table["part"].isin(["mix", "within"]), "contribution"].abs().max() < 1e-9
        traffic = table[table["part"] == "traffic"].set_index("segment")["contribution"]
        assert traffic.to_dict() == pytest.approx({"ads": 20.0, "web": -20.0})

    def test_categories_split_into_pieces_price_and_mix(self, by_hand):
        found = rows(by_hand, "category_contribution", "part", "factor")["contribution"]
        # 3 pieces for 200 before, 4 for 200 now
        assert found["factor", "quantity"].item() == pytest.approx(200 * math.log(4 / 3))
        assert found.loc["factor"].sum() == pytest.approx(0.0, abs=1e-9)
        assert found.loc[["mix", "within"]].sum() == pytest.approx(found["factor", "price"].item())


class TestMoney:
    def test_composition_by_hand(self, by_hand):
        table = rows(by_hand, "profit_composition", "dimension", "member")
        north = table.loc[("region", "N")]
        # 120 - 20 coupons + 4 of the platform - 30 back - 60 cost - 5 shipping - 2 fee
        assert north["contribution_amount"] == pytest.approx(7.0)
        assert (
            table.loc[("region", "S"), "gross_amount"] == 80.0
        )  # o5 does not say where it goes; its buyer lives there
        assert math.isnan(table.loc[("region", "S"), "contribution_amount"])  # o5 has no cost
        assert table.loc[("region", "S"), "costless_order_count"] == 1
        assert table.loc[("channel", "tv"), ["spend_amount", "order_count", "contribution_amount"]].tolist() == [
            5,
            0,
            -5,
        ]
        assert table.loc[("all", "all"), ["gross_amount", "spend_amount"]].tolist() == [200.0, 11.0]
        apples = table.loc[("product", "A")]
        assert apples[["gross_amount", "coupon_discount_amount", "refund_amount"]].tolist() == [170.0, 15.0, 22.5]
        assert table.loc["product", "gross_amount"].sum() == 200.0

    def test_every_dimension_sums_to_the_whole(self, analysed):
        table = analysed(overview_sales, **PLANTED).tables["profit_composition"]
        sums = table.groupby("dimension")[["gross_amount", "refund_amount", "cost_amount"]].sum()
        for name in sums.columns:
            assert sums[name].tolist() == pytest.approx([sums.loc["all", name]] * 4, abs=0.01)

    def test_orders_without_lines_are_a_row_of_their_own(self, tmp_path):
        tables = hand_tables()
        tables["order_lines"] = tables["order_lines"].query("order_id != 'o5'")
        table = rows(overview_sales(opened(tmp_path, tables), **NOW), "profit_composition", "dimension", "member")
        assert table.loc[("product", "(unknown)"), "gross_amount"] == pytest.approx(80.0)

    def test_ranking_by_hand(self, by_hand):
        table = rows(by_hand, "product_ranking", "level", "ranking")
        best = table.loc[("product", "best")].set_index("member")
        assert best["net_amount"].to_dict() == pytest.approx({"A": 132.5, "B": 17.5})
        assert best.loc["A", ["member_name", "quantity", "comparison_amount"]].tolist() == ["apples", 3, 90.0]
        falling = table.loc[("product", "falling")].set_index("member")["change"]
        assert falling.to_dict() == pytest.approx({"C": -45.0, "B": -32.5})

    def test_a_page_floor_gets_the_last_click_before_payment(self, by_hand):
        """u1 clicks floor 2, then floor 1, pays, and clicks floor 2 again; on 2 March floor 2 alone."""
        floors = rows(by_hand, "product_ranking", "level", "ranking", "member").loc["page_floor"]
        assert floors.loc[("best", "home 1"), "net_amount"] == 70.0
        assert floors.loc[("falling", "home 2"), "change"] == -50.0


class TestStock:
    def test_days_and_replenishment_by_hand(self, by_hand):
        table = rows(by_hand, "stock_days", "product_id", "region")
        assert list(table.index) == [("A", "N"), ("A", "S"), ("B", "S")]  # most at risk first; B in N has no last day
        north = table.loc[("A", "N")]
        # 3 pieces for 190 in the four days of data, one of them out of stock: one a day, 2 left, 14 wanted
        assert north[["on_hand_quantity", "sold_quantity", "out_of_stock_days"]].tolist() == [2, 3, 1]
        assert north[["demand_per_day", "days_of_stock", "replenish_quantity"]].tolist() == [1.0, 2.0, 12.0]
        assert north["at_risk_amount"] == pytest.approx(12 * 190 / 3)
        assert north["hint"] == "order_now"
        south = table.loc[("A", "S")]
        assert south[["demand_per_day", "days_of_stock", "replenish_quantity"]].tolist() == [0.25, 4.0, 3.0]
        assert table.loc[("B", "S"), ["hint", "replenish_quantity"]].tolist() == ["no_sales", 0.0]


def test_baskets_count_each_order_once(tmp_path):
    """30 orders: A and B together in 10, A alone in 10, C alone in 10; A stands twice in one of them."""
    lines, orders = [], []
    for i in range(30):
        goods = ["A", "B"] if i < 10 else ["A"] if i < 20 else ["C"]
        orders.append((f"o{i}", f"u{i}", "2026-03-01", "2026-03-01", 10.0 * len(goods)))
        lines += [(f"o{i}", number, product, 1, 10.0) for number, product in enumerate(goods)]
    lines.append(("o0", 9, "A", 1, 0.0))
    tables = {
        "orders": frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        "order_lines": frame("order_id line_no product_id quantity amount", *lines),
    }
    [pair] = overview_sales(opened(tmp_path, tables)).tables["bought_together"].to_dict("records")
    assert (pair["product_id"], pair["other_id"], pair["order_count"]) == ("A", "B", 10)
    assert [pair[name] for name in ("support", "confidence", "reverse_confidence", "lift")] == pytest.approx(
        [10 / 30, 10 / 20, 1.0, 10 * 30 / (20 * 10)]
    )


def test_pairs_of_few_orders_are_not_listed(analysed):
    """No pair of the sample stands in more than three orders."""
    analysis = analysed(overview_sales, **PLANTED)
    assert analysis.tables["bought_together"].empty
    assert any("No pair was bought together in 5 orders" in note for note in analysis.notes)


class TestSample:
    def test_the_first_screen_says_conversion(self, analysed):
        analysis = analysed(overview_sales, **PLANTED)
        assert analysis.headline.verdict.startswith("Net sales fell by")
        assert "conversion did most" in analysis.headline.verdict
        assert "none clearly beyond its share" in analysis.headline.verdict  # it fell in all channels alike
        action = analysis.headline.actions[0]
        assert action.cell.key == {"part": "factor", "factor": "conversion_rate"}
        assert action.text == "Find out what moved conversion."
        assert 0 < action.ci_lower < action.amount < action.ci_upper
        assert "net sales" in analysis.headline.table.iloc[0, 0]

    def test_the_interval_of_conversion_holds_what_was_planted(self, analysed, once):
        """The same shop without the planted change: the same visitors come, and their conversion is the truth."""
        plain = Truth.default()
        plain = replace(plain, sales_change=replace(plain.sales_change, factor=1.0))
        twin = once("sample_without_change", lambda folder: simulate_shop(folder, truth=plain))
        unmoved = kpi(overview_sales(open_shop(twin), timezone="Asia/Shanghai", **PLANTED))
        moved = kpi(analysed(overview_sales, **PLANTED))
        assert moved.loc["visitor_count", "value"] == unmoved.loc["visitor_count", "value"]
        planted = moved.loc["conversion_rate", "value"] - unmoved.loc["conversion_rate", "value"]
        row = moved.loc["conversion_rate"]
        assert row["change_ci_lower"] < planted < row["change_ci_upper"] < 0
        assert unmoved.loc["conversion_rate", "change_ci_upper"] > 0 > unmoved.loc["conversion_rate", "change_ci_lower"]

    def test_both_languages_tell_the_same_numbers(self, analysed):
        english, chinese = (analysed(overview_sales, lang=lang, **PLANTED) for lang in ("en", "zh"))
        assert [one.name for one in english.findings] == [one.name for one in chinese.findings]
        assert [one.value for one in english.findings] == pytest.approx([one.value for one in chinese.findings])
        assert [one.amount for one in english.headline.actions] == [one.amount for one in chinese.headline.actions]
        assert len(english.notes) == len(chinese.notes)
        assert "转化率" in chinese.headline.verdict
        for draw in PICTURES:
            assert draw(english).to_dict()["title"]
            assert draw(chinese).to_dict()["title"] != draw(english).to_dict()["title"]

    def test_sentences_rest_on_one_cell_each(self, analysed):
        for asked in (PLANTED, {}):
            analysis = analysed(overview_sales, **asked)
            assert len(analysis.findings) >= 3
            assert 1 <= len(analysis.headline.actions) <= 3
            for sentence in (*analysis.findings, *analysis.headline.actions):
                table = analysis.tables[sentence.cell.table]
                for column, value in sentence.cell.key.items():
                    table = table[table[column] == value]
                assert len(table) == 1, sentence
                number = sentence.value if hasattr(sentence, "value") else sentence.amount
                assert abs(table[sentence.cell.column].item()) == pytest.approx(abs(number))

    def test_every_column_is_in_the_glossary(self, analysed):
        tables = analysed(overview_sales, **PLANTED).tables
        assert not [
            f"{name}.{column}"
            for name, table in tables.items()
            for column in (name, *table.columns)
            if metric(column, name) is None
        ]


class TestWhatIsMissing:
    def test_all_the_data_have_nothing_before_them(self, shop):
        analysis = overview_sales(shop)
        assert "nothing to compare them with" in analysis.headline.verdict
        assert "For the last 2 days against the 2 before, set start_date=2026-03-03." in analysis.headline.verdict
        assert analysis.tables["sales_contribution"].empty
        assert kpi(analysis).loc["net_amount", "value"] == 335.0
        assert kpi(analysis)["change"].isna().all()
        assert any("do not hold all of 2026-02-25" in note for note in analysis.notes)
        assert charts.waterfall_picture(analysis) is None
        assert charts.segment_picture(analysis) is None

    def test_a_period_outside_the_data_says_so(self, shop):
        analysis = overview_sales(shop, start_date="2026-05-01", end_date="2026-05-08")
        assert "No data from 2026-05-01" in analysis.headline.verdict
        assert any("No paid order" in flag for flag in analysis.flags)
        assert all(table.empty for table in analysis.tables.values())
        assert all(draw(analysis) is None for draw in PICTURES)

    def test_a_period_without_orders_says_so(self, tmp_path):
        tables = hand_tables()
        tables["orders"] = tables["orders"].query("order_id in ['o1', 'o2', 'o3', 'o6']")
        analysis = overview_sales(opened(tmp_path, without(tables, "order_lines")), **NOW)
        assert "No paid order" in analysis.headline.verdict
        assert kpi(analysis).loc["visitor_count", "value"] == 3
        factors = rows(analysis, "sales_contribution", "part").loc["factor"]
        assert factors["contribution"].sum() == pytest.approx(-185.0)
        assert factors.set_index("factor").loc["conversion_rate", "contribution"] == pytest.approx(-200.0)

    def test_a_period_that_the_data_do_not_fill_is_compared_with_as_many_days(self, shop, by_hand):
        analysis = overview_sales(shop, start_date="2026-03-03", end_date="2026-03-10")
        assert kpi(analysis)["change"].to_dict() == pytest.approx(kpi(by_hand)["change"].to_dict(), nan_ok=True)
        assert any("up to there" in note for note in analysis.notes)
        assert any("The data end on 2026-03-04" in flag for flag in analysis.flags)

    def test_without_events_the_split_begins_with_buyers(self, tmp_path):
        analysis = overview_sales(opened(tmp_path, without(hand_tables(), "events")), **NOW)
        assert kpi(analysis).loc[["visitor_count", "conversion_rate"], "value"].isna().all()
        factors = rows(analysis, "sales_contribution", "part").loc["factor"].set_index("factor")["contribution"]
        assert list(factors.index[:3]) == ["buyer_count", "orders_per_buyer", "gross_per_order"]
        assert factors.sum() == pytest.approx(-35.0)
        assert any("split from buyers on" in note for note in analysis.notes)

    def test_users_that_cannot_be_told_apart_are_not_counted(self, tmp_path):
        folder = write_shop(tmp_path / "shop", **hand_tables())
        (folder / "mapping.yml").write_text("user_ids: per_event\n")
        analysis = overview_sales(open_shop(folder), **NOW)
        people = ["visitor_count", "conversion_rate", "buyer_count", "orders_per_buyer"]
        assert kpi(analysis).loc[people, ["value", "comparison_value"]].isna().all().all()
        factors = rows(analysis, "sales_contribution", "part").loc["factor"].set_index("factor")["contribution"]
        assert list(factors.index[:2]) == ["order_count", "gross_per_order"]
        assert factors.sum() == pytest.approx(-35.0)
        assert set(analysis.tables["sales_contribution"]["part"]) == {"factor"}

    def test_without_money_counts_remain(self, tmp_path):
        tables = hand_tables()
        tables["orders"] = tables["orders"].drop(columns=["cost_amount"]).assign(gross_amount=None)
        tables["order_lines"] = tables["order_lines"].assign(amount=None)
        analysis = overview_sales(opened(tmp_path, tables), **NOW)
        assert kpi(analysis).loc["order_count", "value"] == 3  # o7 too
        assert kpi(analysis).loc[["net_amount", "gross_per_order", "refund_amount"], "value"].isna().all()
        assert "Orders" in analysis.headline.verdict
        for name in ("sales_contribution", "profit_composition", "sales_alerts", "product_ranking"):
            assert analysis.tables[name].empty, name
        assert any("carry no amounts" in note for note in analysis.notes)

    def test_without_costs_contribution_is_unknown_and_without_stock_no_days_are_told(self, tmp_path):
        analysis = overview_sales(opened(tmp_path, without(hand_tables(), "stock", orders=["cost_amount"])), **NOW)
        assert analysis.tables["stock_days"].empty
        assert any("No stock" in note for note in analysis.notes)
        assert any("no cost_amount" in note for note in analysis.notes)
        assert analysis.tables["profit_composition"][["cost_amount", "contribution_amount"]].isna().all().all()
        assert charts.composition_picture(analysis) is None

    def test_one_segment_says_that_mix_says_nothing(self, tmp_path):
        tables = hand_tables()
        analysis = overview_sales(opened(tmp_path, without(tables, "users")), **NOW)
        assert set(analysis.tables["sales_contribution"]["segment"].dropna()) == {"(unknown)"}
        assert any("one channel only" in note for note in analysis.notes)
        assert any("users carry no channel" in note for note in analysis.notes)

    def test_orders_without_an_amount_are_counted_in_a_note(self, by_hand):
        assert any("1 paid orders of the period have no amount" in note for note in by_hand.notes)

    def test_spend_without_visitors_is_named(self, by_hand):
        assert any("without any order in the period: tv" in note for note in by_hand.notes)

    def test_orders_alone_make_a_report(self, tmp_path):
        analysis = overview_sales(opened(tmp_path, {"orders": hand_tables()["orders"]}), **NOW)
        assert kpi(analysis).loc["net_amount", "change"] == -35.0
        assert analysis.tables["bought_together"].empty
        figures = analysis.headline.table.set_index("Figure")["In net sales"]
        assert list(figures.index) == ["net sales", "buyers", "orders per buyer", "gross per order", *LESS_WORDS]
        assert figures.map(float_of).iloc[1:].sum() == pytest.approx(float_of(figures.iloc[0]), abs=0.02)

    def test_days_after_the_period_are_compared_as_a_whole(self, shop):
        asked = {"start_date": "2026-03-01", "end_date": "2026-03-03", "compare_to": ["2026-03-03", "2026-03-05"]}
        analysis = overview_sales(shop, **asked)
        assert kpi(analysis).loc[["net_amount", "spend_amount"], "comparison_value"].tolist() == [150.0, 11.0]
        assert kpi(analysis, "day")["comparison_value"].isna().all()

    def test_sales_from_nothing_rise_by_an_amount(self, tmp_path, by_hand):
        tables = hand_tables()
        tables["orders"] = tables["orders"].query("order_id in ['o4', 'o5']")
        verdict = overview_sales(opened(tmp_path, without(tables, "order_lines")), **NOW).headline.verdict
        assert verdict.startswith("Net sales rose by +150.00 to 150.00, with too few buyers to be sure.")
        assert by_hand.headline.verdict.startswith(
            "Net sales fell by 18.9% (−35.00) to 150.00, with too few buyers to be sure."
        )

    def test_days_chosen_are_cut_with_a_period_that_the_data_do_not_fill(self, shop, by_hand):
        asked = {"start_date": "2026-03-03", "end_date": "2026-03-06", "compare_to": ["2026-02-27", "2026-03-02"]}
        assert overview_sales(shop, **asked).tables["sales_contribution"].empty  # no data in February
        asked["compare_to"] = ["2026-03-01", "2026-03-03"]
        with pytest.raises(ParameterError, match="has 2 days, the period 2026-03-03 to 2026-03-06 has 3 days"):
            overview_sales(shop, **asked)
        found = overview_sales(
            shop, start_date="2026-03-04", end_date="2026-03-06", compare_to=["2026-03-01", "2026-03-03"]
        )
        assert kpi(found).loc["net_amount", ["value", "comparison_value"]].tolist() == [80.0, 90.0]  # a day each


class TestFirstScreen:
    """What the first screen claims, and what it leaves unsaid."""

    def test_the_net_change_has_its_interval_in_the_verdict(self, analysed):
        verdict = analysed(overview_sales, **PLANTED).headline.verdict
        net = kpi(analysed(overview_sales, **PLANTED)).loc["net_amount"]
        ends = [format_amount(net[one]) for one in ("change", "change_ci_lower", "change_ci_upper")]
        assert f"({ends[0]}; {ends[1]} to {ends[2]})" in verdict

    def test_factors_that_moved_no_more_than_chance_are_not_named(self, analysed):
        analysis = analysed(overview_sales, start_date="2026-05-10", end_date="2026-05-17")
        assert not analysis.tables["sales_contribution"]["is_clear"].any()
        assert "no more than chance moves them; no factor moved clearly beyond chance." in analysis.headline.verdict
        assert not [one for one in analysis.headline.actions if one.name == "find_driver"]
        found = {one.name: one.text for one in analysis.findings}
        assert "No factor moved net sales clearly beyond chance" in found["no_driving_factor"]
        assert not {"driving_factor", "driving_segment", "largest_mix"} & set(found)
        title = charts.waterfall_picture(analysis).to_dict()["title"]["text"]
        assert title.startswith("No factor moved clearly beyond chance")

    def test_without_an_alert_the_screen_says_how_far_sales_would_have_had_to_fall(self, analysed):
        analysis = analysed(overview_sales, **PLANTED)
        watched = analysis.tables["sales_watched"].set_index(["grain", "series"])
        falls = [change_text(watched.loc[(grain, "net_amount"), "least_fall"]) for grain in ("week", "day")]
        assert analysis.tables["sales_alerts"].empty
        assert (
            f"No alert; one would have taken {falls[0]} in a week or {falls[1]} in a day." in analysis.headline.verdict
        )
        week = watched.loc[("week", "net_amount")]
        assert week["value"] == pytest.approx(kpi(analysis).loc["net_amount", "value"])
        assert week["least_fall"] == pytest.approx(week["expected_lower"] / week["expected_value"] - 1)
        assert {"no_alert_week", "no_alert_day"} <= {one.name for one in analysis.findings}
        assert charts.history_picture(analysis).to_dict()["title"]["text"] == ["Net sales by day: no alert"]

    def test_the_picture_of_days_counts_all_alerts_and_says_where_it_is_cut(self, analysed):
        analysis = analysed(overview_sales, false_alarms_per_month=30.0, least_alert_amount=0.0, **PLANTED)
        alerts = analysis.tables["sales_alerts"]
        by = alerts["grain"].value_counts()
        title = " ".join(charts.history_picture(analysis).to_dict()["title"]["text"])
        assert by["week"] > 0
        assert f"{by['week']} alert" in title
        assert f"Alerts: {len(alerts)}." in analysis.headline.verdict
        quiet = charts.history_picture(analysed(overview_sales, **PLANTED)).to_dict()
        assert "The band is cut: its upper end, up to 36.4k" in " ".join(quiet["title"]["subtitle"])

    def test_a_silent_watch_says_so(self, by_hand):
        assert "Alerts are silent: 0 weeks of history; days need 8" in by_hand.headline.verdict

    def test_targets_are_told(self, by_hand, shop):
        assert "150.00 of 150.00 planned (100.0%)." in by_hand.headline.verdict
        assert by_hand.headline.table.iloc[1].tolist() == ["planned net sales", "150.00", "–", "–", "–"]
        assert next(one.value for one in by_hand.findings if one.name == "target") == 150.0
        half = overview_sales(shop, **NOW, sales_targets=["2026-03-04=50"])
        assert "planned" not in half.headline.verdict
        assert any("do not cover every day" in note for note in half.notes)

    @pytest.mark.parametrize("targets", [None, ["2026-03=100"]])
    def test_the_lines_sum_to_the_change_and_are_at_most_seven(self, shop, targets):
        table = overview_sales(shop, **NOW, sales_targets=targets).headline.table
        amounts = [float_of(one) for one in table["In net sales"] if one != "–"]
        assert len(table) <= 7
        assert sum(amounts[1:]) == pytest.approx(amounts[0], abs=0.02)

    def test_amounts_of_nothing_leave_the_orders(self, tmp_path):
        tables = hand_tables()
        money = tables["orders"].select_dtypes("number").columns
        tables["orders"] = tables["orders"].assign(**dict.fromkeys(money, 0.0))
        tables["order_lines"] = tables["order_lines"].assign(amount=0.0)
        analysis = overview_sales(opened(tmp_path, tables), **NOW)
        assert analysis.headline.verdict.startswith("Orders stayed at 3")
        assert "All amounts are 0" in analysis.headline.verdict
        assert "net sales" not in analysis.headline.table["Figure"].tolist()
        assert "net_amount_changed" not in {one.name for one in analysis.findings}

    def test_a_region_that_nobody_knows_is_no_best_region(self, tmp_path):
        tables = without(hand_tables(), "users", "stock", orders=["region"])
        analysis = overview_sales(opened(tmp_path, tables), **NOW)
        assert set(analysis.tables["product_ranking"].query("level == 'region'")["member"]) == {"(unknown)"}
        assert not {"best_region", "falling_region"} & {one.name for one in analysis.findings}
        assert charts.ranking_picture(analysis, "region") is None
        assert "best_product" in {one.name for one in analysis.findings}

    def test_the_mix_without_events_is_one_of_buyers(self, tmp_path):
        """Ads' buyers pay 100 and web's 10; of 600 buyers each day 400 come by web, then 100."""
        users, orders = [], []
        for day, web in (("2026-03-01", 400), ("2026-03-02", 100)):
            for i in range(600):
                name, channel = f"{day}{i}", "web" if i < web else "ads"
                users.append((name, day, channel))
                orders.append((name, name, day, day, 10.0 if i < web else 100.0))
        tables = {
            "users": frame("user_id first_seen_at channel", *users),
            "orders": frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        }
        analysis = overview_sales(opened(tmp_path, tables), start_date="2026-03-02", end_date="2026-03-03")
        mix = next(one.text for one in analysis.findings if one.name == "largest_mix")
        assert "of buyers" in mix
        assert "visitors" not in mix

    def test_no_discount_before_and_now_moved_nothing(self, tmp_path):
        tables = hand_tables()
        tables["orders"] = tables["orders"].assign(other_discount_amount=0.0)
        split = rows(overview_sales(opened(tmp_path, tables), **NOW), "sales_contribution", "part", "factor")
        assert math.copysign(1, split.loc[("factor", "other_discount_amount"), "contribution"].item()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"segment_by": "chanel"}, 'segment_by: "chanel" is not known, did you mean "channel"?'),
        ({"compare_to": "previous_yaer"}, 'compare_to: "previous_yaer" is not known, did you mean "previous_year"?'),
        ({"compare_to": ["2026-03-04", "2026-03-01"]}, "is not a first day and a later day"),
        ({"compare_to": ["2026-03-01"]}, "is not a first day and a later day"),
        ({"compare_to": ["2026-03-02", "2026-03-04"], **NOW}, "overlaps the period"),
        (
            {"compare_to": ["2026-03-01", "2026-03-02"], **NOW},
            "has 1 day, the period 2026-03-03 to 2026-03-05 has 2 days",
        ),
        ({"sales_targets": ["2026-13=5"]}, 'sales_targets: "2026-13=5" cannot be read'),
        ({"sales_targets": ["June=5"]}, "Write net sales planned for a month"),
        ({"sales_targets": ["2026-06=5", "2026-06=6"]}, "2026-06 has two targets"),
        ({"false_alarms_per_month": 0}, "false_alarms_per_month is 0; it must be above 0"),
        ({"annotated_dates": ["18 June"]}, 'annotated_dates: "18 June" is not a day'),
        ({"least_alert_amount": -1.0}, "least_alert_amount is -1.0"),
        ({"confidence_level": 95}, "confidence_level is 95"),
        ({"start_date": "2026-03-05", "end_date": "2026-03-01"}, "is not before end_date"),
    ],
)
def test_bad_arguments(shop, arguments, words):
    with pytest.raises(ParameterError) as error:
        overview_sales(shop, **arguments)
    assert words in str(error.value)


def test_a_shop_without_orders_is_refused(tmp_path):
    visits = frame("user_id event_at event", ("u", "2026-03-01", "page_view"))
    with pytest.raises(TableError, match='sales_overview needs the tables orders; "orders" is missing'):
        overview_sales(opened(tmp_path, {"events": visits}))


@pytest.mark.engine
@pytest.mark.slow
def test_both_engines_give_the_same_tables(tmp_path):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = hand_shop(tmp_path / "shop")
    found = [overview_sales(open_shop(source), **NOW).tables for source in (folder, f"chdb://{folder}")]
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name], rtol=0, atol=1e-9, obj=name)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("segment_by", ["channel", "region"])
def test_both_engines_give_the_same_tables_on_the_sample(small_folder, segment_by):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    asked = {"timezone": "Asia/Shanghai", "segment_by": segment_by, **PLANTED}
    found = [overview_sales(open_shop(source), **asked).tables for source in (small_folder, f"chdb://{small_folder}")]
    assert all(len(table) for name, table in found[0].items() if name not in ("sales_alerts", "bought_together"))
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name], rtol=0, atol=1e-8, obj=name)


def test_dates_of_tables_are_days(by_hand):
    assert days(frame("date", ("2026-03-01",)))["date"].iloc[0].year == 2026
    assert by_hand.tables["sales_kpis"]["start_date"].str.fullmatch(r"\d{4}-\d{2}-\d{2}").all()
