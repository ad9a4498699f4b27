"""Ask in the background: one question at a time, the newest wins, and every answer is a result or a message."""

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import ibis
import pandas as pd

from workbench.errors import EstimationError, ParameterError, SourceError, TableError
from workbench.language import Language, say
from workbench.source.engine import Engine
from workbench.source.shop import Shop

DEBOUNCE_SECONDS = 0.15
LIVE = "live_"
"""Names with which tables begin that are held for live answers."""
_REPEAT_SECONDS = 0.05
_IDLE_SECONDS = 30.0
_PLAIN = (ParameterError, TableError, EstimationError, SourceError)
_MARKS = itertools.count(1)
_log = logging.getLogger("workbench.explore")
_log.addHandler(logging.NullHandler())  # else tracebacks appear below a cell; whoever wants them sets up logging


class Cancelled(Exception):
    """Somebody asked something newer, or did not want to wait."""


def interrupt(shop: Shop) -> None:
    """Stop the query that runs on a shop's connection; engines that cannot do that finish it, and nobody waits for it."""
    stop = getattr(getattr(shop.engine.backend, "con", None), "interrupt", None)
    if callable(stop):
        stop()


@dataclass(frozen=True)
class _StoppableEngine(Engine):
    """An engine that starts no further query once its question is stopped: between two queries nothing interrupts.

    What is held for live answers has the mark of its panel, so that panels of one shop do not replace each other's.
    """

    stopped: threading.Event = field(default_factory=threading.Event)
    mark: int = 0

    def collect(self, expression: ibis.Table) -> pd.DataFrame:
        """As ``Engine.collect``, unless the question was stopped."""
        self._go_on()
        found = super().collect(expression)
        self._go_on()
        return found

    def held(self, name: str, table: ibis.Table) -> ibis.Table:
        """As ``Engine.held``, unless the question was stopped."""
        self._go_on()
        return super().held(self._own(name), table)

    def holding(
        self, name: str, make: Callable[[], ibis.Table]
    ) -> tuple[Callable[[], ibis.Table], Callable[[], object]]:
        """As ``Engine.holding``, apart from those of other panels."""
        return super().holding(self._own(name), make)

    def named(self, name: str, table: ibis.Table) -> ibis.Table:
        """As ``Engine.named``, apart from those of other panels."""
        return super().named(self._own(name), table)

    def _own(self, name: str) -> str:
        return f"{name}_{self.mark}" if name.startswith(LIVE) else name

    def _go_on(self) -> None:
        if self.stopped.is_set():
            raise Cancelled


def stoppable(shop: Shop, stopped: threading.Event, mark: int = 0) -> Shop:
    """The same shop, whose queries raise ``Cancelled`` once the event is set."""
    own = {one.name: getattr(shop.engine, one.name) for one in fields(Engine)}
    return replace(shop, engine=_StoppableEngine(**own, stopped=stopped, mark=mark))


@dataclass(frozen=True)
class Outcome:
    """What became of a question.

    Attributes
    ----------
    result
        What the work returned; None if it did not succeed.
    error
        Why not, in plain words; "" if it did.
    seconds
        How long it ran.
    is_cancelled
        Whether it was stopped on request.
    """

    result: Any
    error: str
    seconds: float
    is_cancelled: bool = False


@dataclass
class _Job:
    work: Callable[[Shop], Any]
    deliver: Callable[[Outcome], None]
    asked_at: float
    debounce: float = 0.0
    is_later: bool = False
    is_begun: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)


class Worker:
    """One background thread of a panel.

    Parameters
    ----------
    shop
        Whose tables the work asks.
    lang
        Language of messages.
    loop
        Event loop on which answers are delivered; without one ``settle`` delivers them.
    debounce
        Seconds that a question waits for a newer one.
    """

    def __init__(
        self,
        shop: Shop,
        lang: Language,
        loop: asyncio.AbstractEventLoop | None = None,
        debounce: float = DEBOUNCE_SECONDS,
    ) -> None:
        self.shop, self.lang, self._loop, self._debounce = shop, lang, loop, debounce
        self._outcomes: queue.SimpleQueue[tuple[_Job, Outcome]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._waiting: _Job | None = None
        self._running: _Job | None = None
        self._newest: _Job | None = None
        self._later: _Job | None = None
        self._mark = next(_MARKS)
        self._holds_engine = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the newest question has no answer yet."""
        return self._newest is not None

    def ask(
        self, work: Callable[[Shop], Any], deliver: Callable[[Outcome], None], debounce: float | None = None
    ) -> None:
        """Do ``work(shop)`` in the background and hand its outcome to ``deliver``; whatever was asked before is dropped."""
        job = _Job(work, deliver, time.monotonic(), self._debounce if debounce is None else debounce)
        with self._changed:
            self._stop_running()
            self._waiting, self._newest, self._later = job, job, None
            self._wake()

    def later(self, work: Callable[[Shop], Any], deliver: Callable[[Outcome], None]) -> None:
        """Do ``work(shop)`` when nothing else is asked; a question that comes meanwhile stops it, and it is not done."""
        job = _Job(work, deliver, time.monotonic(), is_later=True)
        with self._changed:
            if self._running is not None and self._running.is_later:
                self._stop_running()
            self._later = job
            self._wake()

    @property
    def _begins_later(self) -> bool:
        return self._later is not None and not self._later.is_begun

    @property
    def has_later(self) -> bool:
        """Whether work for later is waited for."""
        return self._later is not None

    def _wake(self) -> None:
        """See that a thread runs; call with the lock held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="workbench explore", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def cancel(self) -> None:
        """Stop what runs, and answer that it was cancelled."""
        with self._changed:
            job, self._waiting, self._newest = self._newest, None, None
            self._stop_question()
        if job is not None:
            job.deliver(Outcome(None, "", time.monotonic() - job.asked_at, is_cancelled=True))

    def drop(self) -> None:
        """Stop what runs and answer nothing: the question was taken back."""
        with self._changed:
            self._waiting = self._newest = None
            self._stop_question()

    def close(self) -> None:
        """Stop what runs and end the thread; nothing more is delivered."""
        with self._changed:
            self._waiting = self._newest = self._later = None
            self._is_closed = True
            self._stop_running()
            self._changed.notify_all()

    def settle(self, timeout: float = 60, *, with_later: bool = False) -> None:
        """Wait for the answer to the newest question and deliver it here, for callers without an event loop.

        ``with_later`` waits for what was left for later too.

        Raises
        ------
        TimeoutError
            If there is none in time.
        """
        end = time.monotonic() + timeout
        while self.is_busy or (with_later and self.has_later):
            self.step(max(end - time.monotonic(), 0.001))

    def step(self, timeout: float = 60) -> None:
        """Wait for the next outcome and deliver it here; a whole answer may come in two.

        Raises
        ------
        TimeoutError
            If there is none in time.
        """
        try:
            job, outcome = self._outcomes.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no answer within {timeout:.0f} s") from None
        self._deliver(job, outcome)

    def _stop_question(self) -> None:
        """Stop the question that runs, not what is done for later; call with the lock held."""
        if self._running is not None and not self._running.is_later:
            self._stop_running()

    def _stop_running(self) -> None:
        """Stop the job that runs; call with the lock held."""
        running = self._running
        if running is not None and not running.stopped.is_set():
            running.stopped.set()
            threading.Thread(target=self._interrupt, args=(running,), daemon=True).start()

    def _interrupt(self, job: _Job) -> None:
        """Interrupt until the job has ended: a query that begins just now would not hear the first call."""
        while True:
            with self._changed:
                if self._running is not job:
                    return
                if self._holds_engine:
                    interrupt(self.shop)
            time.sleep(_REPEAT_SECONDS)

    def _work(self) -> None:
        while True:
            job = self._next()
            if job is None:
                return
            outcome = self._outcome(job)
            with self._changed:
                self._running = None
                job_is_wanted = job is self._newest or job is self._later
            if job_is_wanted:
                self._hand_over(job, outcome)

    def _next(self) -> _Job | None:
        """Wait for a question that no newer one replaces for a moment; None at the end."""
        with self._changed:
            while True:
                if self._is_closed:
                    return None
                later = self._later
                if self._waiting is None and later is not None and not later.is_begun:
                    later.is_begun, self._running = True, later
                    return later
                if self._waiting is None:
                    if not self._changed.wait(_IDLE_SECONDS) and self._waiting is None and not self._begins_later:
                        self._thread = None  # the next question starts another; a panel nobody uses costs nothing
                        return None
                    continue
                left = self._waiting.asked_at + self._waiting.debounce - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._running, self._waiting = self._waiting, None
                return self._running

    def _outcome(self, job: _Job) -> Outcome:
        begun = time.monotonic()
        try:
            with self.shop.engine.lock:  # what is held for one analysis must not be replaced by another's
                with self._changed:
                    self._holds_engine = True
                try:
                    if job.stopped.is_set():
                        raise Cancelled
                    result = job.work(stoppable(self.shop, job.stopped, self._mark))
                finally:
                    with self._changed:
                        self._holds_engine = False
            return Outcome(result, "", time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001 (a panel goes on, whatever an analysis meets)
            message = "" if job.stopped.is_set() else error_words(error, self.shop.name, self.lang)
            return Outcome(None, message, time.monotonic() - begun, is_cancelled=job.stopped.is_set())

    def _hand_over(self, job: _Job, outcome: Outcome) -> None:
        self._outcomes.put((job, outcome))
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver_all)

    def _deliver_all(self) -> None:
        while True:
            try:
                self._deliver(*self._outcomes.get_nowait())
            except queue.Empty:
                return

    def _deliver(self, job: _Job, outcome: Outcome) -> None:
        """Hand over the answer to the newest question; older ones that arrive late are dropped."""
        with self._changed:
            if job is self._newest:
                self._newest = None
            elif job is self._later:
                self._later = None
            else:
                return
        job.deliver(outcome)


def error_words(error: BaseException, source: str, lang: Language) -> str:
    """An error in plain words: those of the workbench as they are, data that vanished by name, others with their first line.

    What analyses refuse they say in English alone; in Chinese it follows what to do.
    """
    if isinstance(error, _PLAIN):
        is_of_users = str(error).startswith("only_users:")
        users = "没有符合所选条件的用户，或所选条件无法使用；请调整“用户”。"
        told = users if is_of_users else "这些参数或数据无法给出结果；请修改参数后重试。"
        return say(lang, str(error), f"{told}（{error}）")
    first = (str(error).strip().splitlines() or [""])[0]
    if is_vanished(error):
        _log.warning("the data of %s cannot be read: %s", source, error)
        return say(
            lang,
            f"The data of {source} can no longer be read; a file or table is gone or was replaced. "
            "Put it back, or open the shop anew with open_shop and make a new panel.",
            f"无法再读取 {source} 的数据：文件或表已不存在或被替换。请恢复数据，或用 open_shop 重新打开店铺并新建面板。",
        )
    _log.error("an analysis failed", exc_info=error)
    what = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return say(lang, f"The analysis failed: {what}", f"分析失败：{what}")


def is_vanished(error: BaseException) -> bool:
    """Whether an error says that a file or table is not there any more, or is not what it was."""
    import duckdb

    gone = (duckdb.IOException, duckdb.CatalogException, duckdb.ConnectionException, FileNotFoundError)
    return isinstance(error, (*gone, ibis.common.exceptions.TableNotFound))
