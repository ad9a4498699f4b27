"""Questions in the background: the newest wins, stopped queries stop, errors are words."""

import asyncio
import threading
import time

import duckdb
import ibis
import pytest
from fake_question import SLOW, run_apart, until

from workbench.errors import EstimationError, ParameterError
from workbench.explore.worker import Worker, error_words


@pytest.fixture
def worker(shop):
    made = Worker(shop, "en", debounce=0.02)
    yield made
    made.close()


def slow(shop):
    return shop.collect(shop.engine.backend.sql(SLOW))


def test_an_answer_is_delivered_by_settle_where_no_loop_runs(worker):
    got = []
    worker.ask(lambda shop: shop.name, got.append)
    assert worker.is_busy
    worker.settle()
    assert [one.result for one in got] == [worker.shop.name]
    assert got[0].error == ""
    assert not worker.is_busy


def test_answers_arrive_on_the_loop_of_whoever_asked(shop):
    async def ask():
        loop, got = asyncio.get_running_loop(), asyncio.Event()
        threads, worker = [], Worker(shop, "en", loop, debounce=0)
        worker.ask(lambda _shop: 5, lambda outcome: (threads.append(threading.get_ident()), got.set()))
        await asyncio.wait_for(got.wait(), 20)
        worker.close()
        return threads

    async def told():
        return await ask(), threading.get_ident()

    threads, mine = run_apart(told())
    assert threads == [mine]


def test_fast_typing_asks_once_and_the_last_question(shop):
    worker, done, got = Worker(shop, "en", debounce=0.15), [], []
    for number in range(30):
        worker.ask(lambda _shop, number=number: done.append(number) or number, got.append)
        time.sleep(0.005)
    worker.settle()
    worker.close()
    assert done == [29]
    assert [one.result for one in got] == [29]


def test_the_newest_wins_over_one_that_cannot_be_stopped(worker):
    begun, go, got = threading.Event(), threading.Event(), []

    def stubborn(_shop):
        begun.set()
        go.wait(20)
        return "old"

    worker.ask(stubborn, got.append)
    assert begun.wait(20)
    worker.ask(lambda _shop: "new", got.append)
    go.set()
    worker.settle()
    time.sleep(0.1)
    assert [one.result for one in got] == ["new"]


def test_a_running_query_is_interrupted_by_a_newer_question(worker):
    got = []
    worker.ask(slow, lambda outcome: got.append("old"))
    until(lambda: worker._holds_engine)
    time.sleep(0.2)
    begun = time.monotonic()
    worker.ask(lambda shop: shop.collect(shop.users.count().as_table()).iloc[0, 0], got.append)
    worker.settle()
    assert time.monotonic() - begun < 5
    assert [one.result for one in got] == [1_500]


def test_cancel_stops_the_query_and_the_next_question_is_answered(worker):
    got = []
    worker.ask(slow, got.append)
    until(lambda: worker._holds_engine)
    time.sleep(0.2)
    worker.cancel()
    assert got[0].is_cancelled
    assert got[0].error == ""
    until(lambda: not worker._holds_engine, 5)
    worker.ask(lambda shop: 1, got.append)
    worker.settle()
    assert [one.result for one in got] == [None, 1]


def test_a_stopped_question_starts_no_further_query(worker):
    begun, go, asked = threading.Event(), threading.Event(), []

    def many(shop):
        begun.set()
        go.wait(20)
        shop.collect(shop.users.count().as_table())
        asked.append("a query after the stop")

    worker.ask(many, lambda outcome: None)
    assert begun.wait(20)
    worker.cancel()
    go.set()
    until(lambda: not worker._holds_engine, 5)
    assert asked == []


def test_two_panels_of_one_shop_never_ask_at_once(shop):
    inside, most = [], []

    def watch(_shop):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()

    workers = [Worker(shop, "en", debounce=0) for _ in range(3)]
    for one in workers:
        one.ask(watch, lambda outcome: None)
    for one in workers:
        one.settle()
        one.close()
    assert most == [1, 1, 1]


def test_cancelling_one_panel_leaves_the_query_of_another_alone(shop):
    first, second, got = Worker(shop, "en", debounce=0), Worker(shop, "en", debounce=0), []
    go = threading.Event()

    def work(of):
        go.wait(20)
        numbers = of.engine.backend.sql("SELECT count(*) AS n FROM range(30000000) WHERE hash(range) % 2 = 0")
        return len(of.collect(numbers))

    first.ask(work, got.append)
    until(lambda: first._holds_engine)
    second.ask(slow, got.append)
    time.sleep(0.1)
    go.set()
    second.cancel()
    first.settle()
    first.close()
    second.close()
    assert [(one.result, one.is_cancelled) for one in got] == [(None, True), (1, False)]


class TestErrorWords:
    @pytest.mark.parametrize("error", [ParameterError("days is 0."), EstimationError("too few users")])
    def test_own_errors_stay_as_they_are(self, error):
        assert error_words(error, "shop", "en") == str(error)

    def test_in_chinese_what_to_do_comes_first(self):
        assert error_words(ParameterError("only_users: no user"), "shop", "zh") == (
            "没有符合所选条件的用户，或所选条件无法使用；请调整“用户”。（only_users: no user）"
        )
        assert error_words(EstimationError("too few"), "shop", "zh").startswith("这些参数或数据无法给出结果")

    def test_others_say_that_the_analysis_failed(self):
        assert error_words(ZeroDivisionError("division by zero"), "shop", "en") == (
            "The analysis failed: ZeroDivisionError: division by zero"
        )
        assert error_words(KeyError("x"), "shop", "zh").startswith("分析失败：KeyError")
        assert error_words(RuntimeError(), "shop", "en") == "The analysis failed: RuntimeError"

    @pytest.mark.parametrize(
        "error", [duckdb.IOException("No files found"), ibis.common.exceptions.TableNotFound("x"), FileNotFoundError()]
    )
    def test_data_that_vanished_are_told_so(self, error):
        assert "can no longer be read" in error_words(error, "spring", "en")
        assert "spring" in error_words(error, "spring", "zh")

    def test_an_error_of_the_work_is_an_outcome_and_the_worker_goes_on(self, worker):
        got = []
        worker.ask(lambda _shop: 1 / 0, got.append)
        worker.settle()
        worker.ask(lambda _shop: 2, got.append)
        worker.settle()
        assert [one.error for one in got] == ["The analysis failed: ZeroDivisionError: division by zero", ""]
