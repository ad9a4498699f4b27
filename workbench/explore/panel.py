"""A panel: a question's parameters as a form, its answer as pictures and tables that lead to each other."""

import asyncio
import inspect
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial, wraps
from html import escape
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import altair as alt
import anywidget
import ipywidgets as widgets
import pandas as pd
import traitlets
from altair.jupyter.jupyter_chart import Selections
from altair.utils.selection import IntervalSelection, PointSelection, Store

from workbench.analysis import Analysis, Headline
from workbench.errors import ParameterError, SourceError, TableError
from workbench.explore import charts, drill, state
from workbench.explore.form import Form, count_users
from workbench.explore.question import Question, View
from workbench.explore.style import style
from workbench.explore.words import offer_of, words_of_column
from workbench.explore.worker import Outcome, Worker
from workbench.language import Language, format_count, say
from workbench.report.block import Block, without_links
from workbench.report.charts import enable_charts
from workbench.report.parameters import check_parameters
from workbench.report.show import show_findings, show_table
from workbench.report.words import column_words
from workbench.source.restriction import COLUMNS
from workbench.source.shop import Shop

MOST_ROWS = 50
MOST_CHOICES = 400
KEPT_ANSWERS = 12
STEPS_SHOWN = 6
LIVE_DEBOUNCE_SECONDS = 0.03
"""Live answers are cheap: they wait no longer for a newer question."""
TOTALS = ("(all)", "all")
_log = logging.getLogger("workbench.explore")


@dataclass(frozen=True)
class Pick:
    """Values of a column that were clicked; the other views show these alone."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Live:
    """What answers for other users at once.

    Attributes
    ----------
    basis
        The parameters but ``only_users`` for which it was made.
    answer
        From ``only_users`` to tables; None where these parameters have no such way.
    tables
        Names of its tables.
    """

    basis: str
    answer: Callable[[Sequence[str]], Mapping[str, pd.DataFrame]] | None
    tables: frozenset[str]


@dataclass(frozen=True)
class Step:
    """One stop of the trail: parameters, view and picks."""

    parameters: Mapping[str, object]
    view: str
    picks: tuple[Pick, ...] = ()

    @property
    def key(self) -> str:
        """What the analysis depends on, as text."""
        return json.dumps(self.parameters, sort_keys=True, default=str)

    @property
    def basis(self) -> str:
        """All of it but whom it is about."""
        rest = {name: value for name, value in self.parameters.items() if name != "only_users"}
        return json.dumps(rest, sort_keys=True, default=str)


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _alone(method: "Callable[Concatenate[Panel, _P], _R]") -> "Callable[Concatenate[Panel, _P], _R]":
    """Let one thread at a time change the panel: JupyterLab tells of controls in another thread than that of answers."""

    @wraps(method)
    def run(self: "Panel", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._lock:
            return method(self, *args, **kwargs)

    return run


class Panel:
    """A question under an analyst's hands.

    Parameters
    ----------
    question
        What is asked; one of ``workbench.explore.question.QUESTIONS`` or one's own.
    shop
        An open shop.
    analysis
        An answer of this shop to begin with, as it was asked; without it the panel asks for itself.
    view
        The view to begin with; the first one if not given.
    parameters
        Parameters of the question's notebook that differ from its defaults, or from what ``analysis`` was asked with.

    Raises
    ------
    ParameterError
        A parameter that the notebook does not know or cannot have; an analysis of another question.

    Notes
    -----
    The analysis runs in a thread of its own, so that a cell returns at once. ``settle()`` waits for the answer.
    """

    def __init__(
        self, question: Question, shop: Shop, analysis: Analysis | None = None, *, view: str = "", **parameters: object
    ) -> None:
        enable_charts()
        _Picture.enable_offline()
        self.question, self.shop, self.notebook = question, shop, question.stem
        self.specs = question.specs()
        known = state.parameters_of(analysis, self.notebook, self.specs) if analysis is not None else {}
        asked = {**known, **parameters}
        values = check_parameters(self.specs, asked, self.notebook, "zh" if asked.get("lang") == "zh" else "en")
        first = question.view(view).name if view else question.views[0].name
        self.steps = [Step(values, first)]
        self.analysis: Analysis | None = None
        self.frame: pd.DataFrame = pd.DataFrame()
        self.chart: charts.Picture | None = None
        self.error = ""
        self._answers: OrderedDict[str, Analysis] = OrderedDict()
        if analysis is not None and values == known:
            self._answers[self.steps[0].key] = analysis
        self._queried: OrderedDict[str, pd.DataFrame] = OrderedDict()
        self._live: Live | None = None
        self.is_part, self.part_seconds = False, 0.0
        self._is_answered = self._is_writing = False
        self._shown_step: Step | None = None
        self._asked_at = 0.0
        self._tick: asyncio.TimerHandle | None = None
        self._lock = threading.RLock()
        self._counts = count_users(shop)
        self._loop = _running_loop()
        self._worker = Worker(shop, self.lang, self._loop)
        self.widget = widgets.VBox()
        self.widget.add_class("wb-explore")
        self.widget.add_class("wb")
        self.widget.add_class("wb-live")
        self._build()
        self._ask()

    # -- what a user of the panel reads ---------------------------------------------------------------------

    @property
    def step(self) -> Step:
        """Where the panel stands."""
        return self.steps[-1]

    @property
    def lang(self) -> Language:
        """Language of the panel."""
        return "zh" if self.step.parameters.get("lang") == "zh" else "en"

    @property
    def parameters(self) -> dict[str, object]:
        """All parameters as they stand."""
        return dict(self.step.parameters)

    @property
    def view(self) -> View:
        """The view shown."""
        return self.question.view(self.step.view)

    @property
    def is_busy(self) -> bool:
        """Whether the answer to the newest question is still awaited."""
        return self._worker.is_busy

    def settle(self, timeout: float = 60, *, with_live: bool = False) -> "Panel":
        """Wait for the answer, for scripts and tests; gives the panel.

        ``with_live`` waits too until other users would be answered at once.
        """
        self._worker.settle(timeout, with_later=with_live)
        return self

    def close(self) -> None:
        """Stop what runs and take the panel away."""
        self._worker.close()
        self.widget.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    # -- what a user of the panel does ----------------------------------------------------------------------

    @_alone
    def set(self, **parameters: object) -> None:
        """Change parameters, as the form does."""
        values = check_parameters(self.specs, {**self.step.parameters, **parameters}, self.notebook, self.lang)
        self._go(replace(self.step, parameters=values))

    @_alone
    def show(self, view: str) -> None:
        """Go to a view; what was picked stays picked."""
        self._go(replace(self.step, view=self.question.view(view).name))

    @_alone
    def pick(self, *values: object) -> None:
        """Pick values of the view's column, as a click does: the other views show these alone, and the next one opens."""
        view, column = self.view, self._pick_column
        if not column or not values:
            return
        pick = Pick(column, tuple(str(one) for one in values))
        others = tuple(one for one in self.step.picks if one.column != column)
        target = view.leads_to[0] if view.leads_to else view.name
        step = replace(self.step, view=target, picks=(*others, pick))
        self._go(self._narrowed(step) if view.narrows else step)

    @_alone
    def unpick(self, column: str) -> None:
        """Drop what was picked of a column."""
        self._go(replace(self.step, picks=tuple(one for one in self.step.picks if one.column != column)))

    @_alone
    def narrow(self) -> None:
        """Ask the analysis anew, for the users who were picked alone."""
        self._go(self._narrowed(self.step))

    def back(self) -> None:
        """Go one step back; where the panel began it stays."""
        self.jump(len(self.steps) - 2)

    def reset(self) -> None:
        """Go back to where the panel began."""
        self.jump(0)

    @_alone
    def jump(self, number: int) -> None:
        """Go back to a step of the trail."""
        if 0 <= number < len(self.steps) - 1:
            del self.steps[number + 1 :]
            self._arrive()

    @_alone
    def cancel(self) -> None:
        """Stop what runs; the last answer stays."""
        self._worker.cancel()

    def save(self, path: str | Path) -> None:
        """Write the parameters as a file that ``workbench run -f`` takes; see ``state.save_parameters``."""
        state.save_parameters(Path(path), self.notebook, self.specs, self.parameters, self.lang)

    def add_to_plan(self, path: str | Path, name: str = "") -> str:
        """Add a run with these parameters to a plan; gives its name. See ``state.add_to_plan``."""
        source, mapping = self.source.value.strip(), self.mapping.value.strip()
        name = name or self.question.name
        return state.add_to_plan(
            Path(path), name, self.notebook, self.specs, self.parameters, source, mapping, self.lang
        )

    @_alone
    def load(self, path: str | Path, run: str = "") -> None:
        """Set the parameters of a file, or of a run of a plan; see ``state.load_parameters``."""
        values = state.load_parameters(Path(path), self.notebook, self.specs, self.lang, run)
        self._go(replace(self.step, parameters=values, picks=()))

    # -- steps ----------------------------------------------------------------------------------------------

    @property
    def _pick_column(self) -> str:
        """Column of the view's table that is picked; "" for none."""
        pick = self.view.pick
        return self.question.column_of(pick, self.step.parameters) if pick else ""

    def _own_column(self, frame: pd.DataFrame) -> str:
        """The name that the picked column has in a table; "" if it is not there."""
        if self.view.pick in frame.columns:
            return self.view.pick
        return self._pick_column if self._pick_column in frame.columns else ""

    def _narrowed(self, step: Step) -> Step:
        """Turn picks of columns of users into conditions of ``only_users``."""
        basis = step.parameters.get("channel_basis", "acquisition")
        able = [one for one in step.picks if self._can_narrow(one.column, basis)]
        asked = step.parameters.get("only_users")
        conditions = [str(one) for one in asked] if isinstance(asked, list) else []
        columns = {one.column for one in able}
        kept = [one for one in conditions if one.partition("=")[0].strip() not in columns]
        added = [f"{one.column}={value}" for one in able for value in one.values]
        picks = tuple(one for one in step.picks if one not in able)
        return replace(step, parameters={**step.parameters, "only_users": kept + added}, picks=picks)

    def _can_narrow(self, column: str, basis: object) -> bool:
        """Whether a picked column is one of users; a channel of visits says nothing of who acquired the user."""
        there = column in COLUMNS and column in self._counts and "only_users" in self.step.parameters
        return there and (column != "channel" or basis == "acquisition")

    def _go(self, step: Step) -> None:
        if step == self.step and self._is_answered:
            return
        if self._is_answered:
            self.steps.append(step)
        else:
            self.steps[-1] = step  # what was never answered is no stop of the trail
            if len(self.steps) > 1 and self.steps[-2] == step:
                del self.steps[-1]
        self._arrive()

    def _arrive(self) -> None:
        """Show the form of the step and ask for its answer."""
        if self._worker.lang != self.lang:
            self._worker.lang = self.lang
            self._build()
        else:
            self._show_controls()
        self._ask()

    # -- asking ---------------------------------------------------------------------------------------------

    def _query_key(self, step: Step) -> str:
        return f"{step.view} {step.picks} {step.key}" if self.question.view(step.view).query else ""

    @_alone
    def _ask(self) -> None:
        step, view, self.error = self.step, self.view, ""
        self._is_answered = self.is_part = False
        known, query = self._answers.get(step.key), self._query_key(step)
        table = self._queried.get(query)
        if known is not None and (not query or table is not None):
            self._worker.drop()
            self._answer(step, known, table, None)
            return
        self._asked_at = time.monotonic()
        if known is None and not query and self._is_live(step, view):
            self._ask_live(step)
            return
        self._ask_whole(step, view, known)

    def _is_live(self, step: Step, view: View) -> bool:
        """Whether the view's table can be answered at once."""
        live = self._live
        return live is not None and live.answer is not None and live.basis == step.basis and view.table in live.tables

    def _ask_live(self, step: Step) -> None:
        """Show the view's own tables at once; the whole analysis, with its findings, follows."""
        live = self._live
        assert live is not None
        assert live.answer is not None
        view, users = self.question.view(step.view), step.parameters.get("only_users") or []
        answer: Callable[..., Mapping[str, pd.DataFrame]] = live.answer
        if "wanted" in inspect.signature(answer).parameters:
            answer = partial(answer, wanted=(view.table, *view.needs))

        def deliver(outcome: Outcome) -> None:
            if outcome.is_cancelled:
                self._failed(outcome)
                return
            if not outcome.error:  # else the whole analysis says it, or manages what this way could not
                self._answer_part(step, outcome.result, outcome.seconds)
            self._ask_whole(step, view, None)

        self._worker.ask(lambda _shop: answer(users), deliver, debounce=LIVE_DEBOUNCE_SECONDS)

    def _prepare_live(self, step: Step) -> None:
        """Hold what other users are answered from, once nothing else is asked."""
        function = self.question.live_function()
        if function is None or (self._live is not None and self._live.basis == step.basis):
            return
        parameters, basis = dict(step.parameters), step.basis

        def work(shop: Shop) -> Live:
            answer = function(shop, parameters)
            return Live(basis, answer, frozenset(answer([]) if answer is not None else ()))

        def deliver(outcome: Outcome) -> None:
            if not outcome.is_cancelled:
                self._live = outcome.result or Live(basis, None, frozenset())

        self._worker.later(work, deliver)

    def _ask_whole(self, step: Step, view: View, known: Analysis | None) -> None:
        function, parameters = self.question.function(), dict(step.parameters)
        picked = {one.column: one.values for one in step.picks}

        def work(shop: Shop) -> tuple[Analysis, pd.DataFrame | None]:
            analysis = known if known is not None else function(shop, **parameters)
            return analysis, getattr(drill, view.query)(shop, parameters, picked) if view.query else None

        def deliver(outcome: Outcome) -> None:
            if outcome.is_cancelled or outcome.error:
                self._failed(outcome)
            else:
                analysis, found = outcome.result
                self._answer(step, analysis, found, outcome.seconds)

        self._worker.ask(work, deliver)
        self._tell_running()

    @_alone
    def _failed(self, outcome: Outcome) -> None:
        self.error = outcome.error
        earlier = say(self.lang, " What is shown is the answer before.", " 下方为上一次的结果。")
        told = outcome.error or say(self.lang, "Cancelled.", "已取消。")
        self._say(told + (earlier if self.analysis is not None else ""), is_error=bool(outcome.error))
        self.again.layout.display = ""

    @_alone
    def _answer(self, step: Step, analysis: Analysis, table: pd.DataFrame | None, seconds: float | None) -> None:
        _keep(self._answers, step.key, analysis)
        if table is not None:
            _keep(self._queried, self._query_key(step), table)
        self._is_answered, self._shown_step, self.is_part = True, step, False
        view = self.view
        self.analysis = filtered(analysis, self.question, step)
        whole = table if table is not None else self.analysis.tables.get(view.table, pd.DataFrame())
        self.frame = of_picks(whole, view.table, self.question, step, with_totals=False)
        if table is not None:
            self.analysis = replace(self.analysis, tables={**self.analysis.tables, view.table: self.frame})
        begun = time.monotonic()
        self._show_answer(analysis)
        took = (seconds or 0) + time.monotonic() - begun
        self._say(say(self.lang, f"answered in {took:.1f} s", f"用时 {took:.1f} 秒"))
        self._prepare_live(step)

    @_alone
    def _answer_part(self, step: Step, tables: Mapping[str, pd.DataFrame], seconds: float) -> None:
        """Show what was answered at once: the view's picture and table, without findings."""
        lang = self.lang
        follow = say(lang, "The findings follow.", "结论随后给出。")
        period = self.shop.period(
            step.parameters.get("start_date"),
            step.parameters.get("end_date"),
            str(step.parameters.get("timezone", "UTC")),
        )
        part = Analysis(self.question.notebook, lang, period, tables, Headline(follow, pd.DataFrame(), self.view.table))
        self._shown_step, self.is_part = step, True
        self.analysis = filtered(part, self.question, step)
        self.frame = of_picks(
            self.analysis.tables[self.view.table], self.view.table, self.question, step, with_totals=False
        )
        begun = time.monotonic()
        self._show_answer(part)
        self.part_seconds = seconds + time.monotonic() - begun

    # -- what is shown --------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Make all controls, in the language of the panel."""
        lang = self.lang
        (self.widget.add_class if lang == "zh" else self.widget.remove_class)("wb-explore-zh")
        self.form = Form(
            self.specs,
            self.notebook,
            lang,
            self.question.main,
            self._counts,
            self._days(),
            self._form_changed,
            self._lock,
            self.question.offered(self._counts),
        )
        self.status = widgets.HTML()
        self.stop = _button(say(lang, "Cancel", "取消"), self.cancel)
        self.again = _button(say(lang, "Try again", "重试"), self._ask)
        self.views = widgets.ToggleButtons(
            options=[(one.title(lang), one.name) for one in self.question.views], value=self.step.view
        )
        self.views.style.button_width = "auto"
        self.views.add_class("wb-explore-views")
        self.views.observe(self._view_chosen, names="value")
        self.trail, self.picks = _row(), _row()
        self.back_button = _button(say(lang, "← Back", "← 返回"), self.back)
        self.reset_button = _button(say(lang, "Reset", "重置"), self.reset)
        self.choose = widgets.Dropdown(options=[("", "")])
        self.choose.observe(self._chosen, names="value")
        self.picture = _Picture(None, debounce_wait=250, max_wait=False, embed_options=dict(_EMBED))  # type: ignore[arg-type]
        self.picture_box = widgets.VBox([_Width(), self.picture])
        self.picture_box.add_class("wb-explore-picture")
        self.verdict, self.note, self.table, self.findings = (widgets.HTML() for _ in range(4))
        title = widgets.HTML(f'<div class="wb-explore-title">{escape(self.question.title(lang))}</div>')
        self.users_fold, self.more_fold, self.keep_fold = _Fold(), _Fold(), _Fold()
        folds = [self.more_fold.fill(say(lang, "More parameters", "更多参数"), self.form.more)]
        if self.form.users is not None:
            folds.insert(0, self.users_fold.fill(say(lang, "Users", "用户"), self.form.users))
        folds.append(self.keep_fold.fill(say(lang, "Keep and rerun", "保存与重跑"), self._keep_box()))
        self.widget.children = [
            widgets.HTML(style()),
            _Keys(),
            title,
            self.form.main,
            _row([one.button for one in (self.users_fold, self.more_fold, self.keep_fold) if one.button]),
            _row([self.status, self.stop, self.again]),
            *folds,
            self.trail,
            self.views,
            self.picks,
            self.verdict,
            self.picture_box,
            self.note,
            self.table,
            self.findings,
        ]
        self.chart = None
        self._show_controls()

    def _days(self) -> str:
        try:
            period = self.shop.period(None, None, str(self.step.parameters.get("timezone", "UTC")))
        except (TableError, ParameterError):
            return ""
        return f"{period.start_date} – {period.data_last_date}"

    @_alone
    def _show_controls(self) -> None:
        """Make the form, the chooser, the trail and the picks show the step."""
        self._is_writing = True
        try:
            self.form.show(self.step.parameters)
            self.views.value = self.step.view
        finally:
            self._is_writing = False
        self._show_trail()
        self._show_picks()
        users = self.step.parameters.get("only_users")
        count = len(users) if isinstance(users, list) else 0
        name = say(self.lang, "Users", "用户")
        self.users_fold.name(f"{name}: {', '.join(map(str, users))}" if count and isinstance(users, list) else name)
        self.command.value = f"<code>{escape(self.command_line)}</code>"

    @property
    def command_line(self) -> str:
        """The command that writes the report of these parameters."""
        source, mapping = self.source.value.strip(), self.mapping.value.strip()
        return state.command_line(self.notebook, self.specs, self.step.parameters, source, mapping)

    def _show_trail(self) -> None:
        buttons = []
        first = max(0, len(self.steps) - STEPS_SHOWN)
        for number, step in enumerate(self.steps):
            if number and number < first:
                continue
            before = self.steps[number - 1] if number else None
            button = _button(self._step_words(step, before), lambda to=number: self.jump(to))
            button.disabled = number == len(self.steps) - 1
            buttons.append(button)
        self.back_button.disabled = self.reset_button.disabled = len(self.steps) < 2
        self.trail.children = [self.back_button, self.reset_button, *buttons]

    def _step_words(self, step: Step, before: Step | None) -> str:
        """What a step changed, short enough for a button."""
        view = self.question.view(step.view).title(self.lang)
        if before is None:
            return view
        picked = [one for one in step.picks if one not in before.picks]
        if picked:
            return f"{' + '.join(', '.join(one.values[:2]) for one in picked)} → {view}"
        changed = [name for name, value in step.parameters.items() if before.parameters.get(name) != value]
        if changed:
            named = [self.form.title(name) for name in changed[:2]]
            values = [_short(self._in_words(name, step.parameters[name])) for name in changed[:2]]
            words = ", ".join(f"{name} {value}" for name, value in zip(named, values, strict=True))
            return words if step.view == before.view else f"{words} → {view}"
        return view

    def _in_words(self, name: str, value: object) -> object:
        """A value of a parameter as its control calls it."""
        if isinstance(value, list):
            return [self._in_words(name, one) for one in value]
        return offer_of(name, value, self.lang) if isinstance(value, str) else value

    def _show_picks(self) -> None:
        lang, children = self.lang, []
        for one in self.step.picks:
            words = f"{words_of_column(one.column, lang)}: {', '.join(self._names(one))} ✕"
            button = _button(words, lambda column=one.column: self.unpick(column))
            button.tooltip = say(lang, "show all again", "恢复显示全部")
            children.append(button)
        basis = self.step.parameters.get("channel_basis", "acquisition")
        if any(self._can_narrow(one.column, basis) for one in self.step.picks):
            children.append(_button(say(lang, "Ask again for these users alone", "只对这些用户重新分析"), self.narrow))
        if self.choose.options and len(self.choose.options) > 1:
            children.append(self.choose)
        self.picks.children = children

    def _names(self, pick: Pick) -> list[str]:
        """What was picked, by name where a table knows it."""
        named = name_of_values(self.analysis, pick.column) if self.analysis is not None else {}
        words = column_words(pick.column, self.lang)
        return [named.get(one, words.get(one, one)) for one in pick.values[:3]]

    def _show_answer(self, whole: Analysis) -> None:
        analysis, view, lang = self.analysis, self.view, self.lang
        if analysis is None:
            return
        flags = "".join(f'<p class="wb-flag" role="note">{escape(one)}</p>' for one in whole.flags)
        self.verdict.value = f'{flags}<p class="wb-verdict">{escape(whole.headline.verdict)}</p>'
        drawn = self._drawn(analysis)
        self._show_picture(drawn)
        notes = []
        divides = any(divided_by(self.frame, one.column, self.question, self.step) for one in self.step.picks)
        if self.step.picks and not divides:
            notes.append(
                say(
                    lang,
                    "This view cannot be divided by what was picked; it shows all.",
                    "此视图无法按所选项拆分，显示全部。",
                )
            )
        if self.frame.empty and self.step.picks and divides:
            notes.append(
                say(
                    lang,
                    "Nothing is left: no row of this view has what was picked.",
                    "没有剩余数据：此视图中没有所选项。",
                )
            )
        elif drawn is None and view.picture:
            notes.append(say(lang, "Nothing to draw: these data give no such picture.", "数据不足以绘制此图。"))
        elif drawn is not None and drawn.pick_field and view.leads_to:
            into = self.question.view(view.leads_to[0]).title(lang)
            notes.append(
                say(
                    lang,
                    f"Click to see {into} of what you click; Shift adds, double click clears.",
                    f"点击查看对应的“{into}”；Shift 多选，双击清除。",
                )
            )
        elif drawn is not None and drawn.has_brush:
            notes.append(say(lang, "Drag over days to look at these alone.", "拖选日期可只看这些日子。"))
        self.note.value = "".join(f'<p class="wb-explore-help">{escape(one)}</p>' for one in notes)
        self.table.value = self._table_html(analysis)
        self.findings.value = "" if self.is_part else _html(show_findings(whole))
        self._show_choices()
        self._show_picks()

    def _drawn(self, analysis: Analysis) -> charts.Picture | None:
        pick = self._own_column(self.frame) if self.view.pick else ""
        try:
            return charts.draw(self.view, analysis, self.frame, pick, self.step.parameters, self.lang)
        except Exception as error:  # a picture made for all rows may not manage with few; the table tells them
            if self.is_part and isinstance(error, KeyError):  # a table that follows with the whole
                plain = replace(self.view, picture="")
                return charts.draw(plain, analysis, self.frame, pick, self.step.parameters, self.lang)
            _log.exception("the picture %s of %s was not drawn", self.view.name, self.question.name)
            return None

    def _show_picture(self, drawn: charts.Picture | None) -> None:
        self.chart = drawn
        self.picture.draw(drawn)
        self.picture_box.layout.display = "none" if drawn is None else ""
        if drawn is not None and drawn.pick_field:
            field = drawn.pick_field
            self.picture.selections.observe(lambda change: self._clicked(field, change["new"].value), charts.PICK)
        if drawn is not None and drawn.has_brush:
            self.picture.selections.observe(lambda change: self._brushed(change["new"].value), charts.BRUSH)

    def _table_html(self, analysis: Analysis) -> str:
        name, frame = self.view.table, self.frame
        if frame.empty and self.step.picks:
            return ""
        cut = replace(analysis, tables={**analysis.tables, name: frame.head(MOST_ROWS)})
        left = len(frame) - MOST_ROWS
        rest = say(self.lang, f"{format_count(left)} more rows are not shown.", f"其余 {format_count(left)} 行未显示。")
        return _html(show_table(cut, name)) + (f'<p class="wb-source">{escape(rest)}</p>' if left > 0 else "")

    def _show_choices(self) -> None:
        """Offer the values that can be picked, for the keyboard."""
        column = self._own_column(self.frame) if self.view.pick else ""
        options: list[tuple[str, str]] = []
        if column:
            rows = self.frame
            for name, value in self.view.rows.items():
                rows = rows[rows[name] == value] if name in rows else rows
            named, words = name_of_values(self.analysis, column, rows), column_words(column, self.lang, self.view.table)
            values = [str(one) for one in rows[column].dropna().unique() if str(one) not in TOTALS][:MOST_CHOICES]
            options = [(_choice(one, named.get(one) or words.get(one, one)), one) for one in values]
        what = words_of_column(column, self.lang)
        first = say(self.lang, f"Look into one: {what} …", f"查看某个{what} …")
        self._is_writing = True
        self.choose.options, self.choose.tooltip = [(first, ""), *options], first
        self.choose.value = ""
        self._is_writing = False

    def _say(self, words: str, *, is_error: bool = False) -> None:
        kind = "wb-explore-status wb-explore-error" if is_error else "wb-explore-status"
        self.status.value = f'<div class="{kind}" role="{"alert" if is_error else "status"}">{escape(words)}</div>'
        self.stop.layout.display = self.again.layout.display = "none"

    @_alone
    def _tell_running(self) -> None:
        """Say how long the answer takes already, once a second."""
        if not self._worker.is_busy:
            return
        passed = time.monotonic() - self._asked_at
        words = say(self.lang, f"asking … {passed:.0f} s", f"分析中 … {passed:.0f} 秒")
        if self.is_part:
            first = f"{self.part_seconds:.1f}"
            words = say(
                self.lang,
                f"answered in {first} s; asking for the findings … {passed:.0f} s",
                f"用时 {first} 秒；正在得出结论 … {passed:.0f} 秒",
            )
        self._say(words)
        self.stop.layout.display = ""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell_after, self._loop, 1 if passed > 0.9 else 0.5)

    def _tell_after(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._tick = loop.call_later(seconds, self._tell_running)

    # -- what is done to the controls -----------------------------------------------------------------------

    @_alone
    def _form_changed(self) -> None:
        if self._is_writing:
            return
        try:
            values = self.form.values()
        except ParameterError as error:
            self._worker.drop()
            self._is_answered, self.error = self._shown_step == self.step, str(error)
            self._say(str(error), is_error=True)
            return
        if values == self.step.parameters and self._is_answered:
            self._ask()
            return
        self._go(replace(self.step, parameters=values))

    @_alone
    def _view_chosen(self, change: Any) -> None:
        if not self._is_writing and change["new"] is not None:
            self.show(change["new"])

    @_alone
    def _chosen(self, change: Any) -> None:
        if not self._is_writing and change["new"]:
            self.pick(change["new"])

    @_alone
    def _clicked(self, field: str, points: Sequence[Mapping[str, object]]) -> None:
        """Turn what was clicked in the picture into values of the picked column."""
        clicked = [str(one[field]) for one in points if one.get(field) is not None]
        own = self._own_column(self.frame)
        if field != own:
            named = name_of_values(self.analysis, own or self._pick_column, self.frame)
            clicked = [value for value, name in named.items() if name in clicked]
        clicked = [one for one in clicked if one not in TOTALS]
        if clicked:
            self.pick(*clicked)

    @_alone
    def _brushed(self, ranges: Mapping[str, Sequence[float]]) -> None:
        """Make the days that were brushed the period."""
        days = next(iter(ranges.values()), None)
        if not days or "start_date" not in self.step.parameters:
            return
        place = ZoneInfo(self.picture.local_tz or "UTC")
        first, last = (datetime.fromtimestamp(one / 1000, place) for one in (min(days), max(days)))
        begin: date = first.date() + timedelta(days=1 if first.hour or first.minute else 0)
        end = max(last.date(), begin) + timedelta(days=1)
        self.set(start_date=begin.isoformat(), end_date=end.isoformat())

    # -- keep and rerun -------------------------------------------------------------------------------------

    def _keep_box(self) -> widgets.Widget:
        lang = self.lang
        self.file = _text(say(lang, "Parameters file", "参数文件"), f"{self.notebook}.parameters.yml")
        self.plan = _text(say(lang, "Plan", "计划文件"), "my_plan.yml")
        self.run_name = _text(say(lang, "Name of the run", "运行名称"), self.question.name)
        source, mapping = state.source_of(self.shop)
        self.source = _text(say(lang, "Source of the data", "数据来源"), source)
        self.mapping = _text(say(lang, "Mapping", "映射文件"), mapping)
        for one in (self.source, self.mapping):
            one.observe(lambda _change: self._show_controls(), names="value")
        self.kept, self.command = widgets.HTML(), widgets.HTML()
        buttons = [
            _button(say(lang, "Save parameters", "保存参数"), self._save),
            _button(say(lang, "Load parameters", "载入参数"), self._load),
            _button(say(lang, "Add to plan", "加入计划"), self._add),
            _button(say(lang, "Load from plan", "从计划载入"), self._load_run),
        ]
        fields = widgets.Box([self.file, self.plan, self.run_name, self.source, self.mapping])
        fields.add_class("wb-explore-form")
        told = say(lang, "The same from the command line:", "对应的命令行：")
        head = widgets.HTML(f'<span class="wb-explore-help">{escape(told)}</span>')
        return widgets.VBox([fields, _row(buttons), self.kept, head, self.command])

    @_alone
    def _kept(self, what: Any) -> None:
        try:
            words, is_error = what(), False
        except (ParameterError, SourceError) as error:
            words, is_error = str(error), True
        kind = "wb-explore-status wb-explore-error" if is_error else "wb-explore-status"
        self.kept.value = f'<div class="{kind}" role="{"alert" if is_error else "status"}">{escape(words)}</div>'

    def _save(self) -> None:
        def save() -> str:
            path = Path(self.file.value.strip())
            self.save(path)
            return say(self.lang, f"Saved: {path.absolute()}", f"已保存：{path.absolute()}")

        self._kept(save)

    def _load(self) -> None:
        def load() -> str:
            path = Path(self.file.value.strip())
            self.load(path)
            return say(self.lang, f"Loaded: {path.name}", f"已载入：{path.name}")

        self._kept(load)

    def _load_run(self) -> None:
        def load() -> str:
            path = Path(self.plan.value.strip())
            self.load(path, self.run_name.value.strip())
            return say(self.lang, f"Loaded from {path.name}", f"已从 {path.name} 载入")

        self._kept(load)

    def _add(self) -> None:
        def add() -> str:
            path = Path(self.plan.value.strip())
            name = self.add_to_plan(path, self.run_name.value.strip())
            return say(
                self.lang,
                f'Added as "{name}". Run it: workbench batch {path} --out out',
                f"已加入，名称为“{name}”。运行：workbench batch {path} --out out",
            )

        self._kept(add)


# -- filters -----------------------------------------------------------------------------------------------


def filtered(analysis: Analysis, question: Question, step: Step) -> Analysis:
    """The analysis with what was picked alone in every table that has its column; rows of totals stay for comparison."""
    if not step.picks:
        return analysis
    tables = {name: of_picks(one, name, question, step, with_totals=True) for name, one in analysis.tables.items()}
    return replace(analysis, tables=tables)


def of_picks(frame: pd.DataFrame, table: str, question: Question, step: Step, *, with_totals: bool) -> pd.DataFrame:
    """The rows of a table that have what was picked."""
    for pick in step.picks:
        for column in divided_by(frame, pick.column, question, step):
            texts = frame[column].astype("string")
            wanted = texts.isin(pick.values)
            if with_totals:
                wanted |= texts.isin(TOTALS)
                if "level" in frame:
                    wanted |= frame["level"].isin(TOTALS)
            frame = frame[wanted.fillna(False).astype(bool)]
    return frame


def divided_by(frame: pd.DataFrame, column: str, question: Question, step: Step) -> list[str]:
    """Columns of a table that hold what was picked under a name."""
    return [one for one in map(str, frame.columns) if question.column_of(one, step.parameters) == column]


def name_of_values(analysis: Analysis | None, column: str, frame: pd.DataFrame | None = None) -> dict[str, str]:
    """Names of the values of a column, from the first table that holds both."""
    tables = [*([] if frame is None else [frame]), *(analysis.tables.values() if analysis is not None else [])]
    for table in tables:
        name = next((one for one in charts.pick_fields(column)[1:] if one in table), None)
        if column in table and name is not None and len(table):
            pairs = table[[column, name]].dropna().drop_duplicates(column).astype(str)
            return dict(pairs.itertuples(index=False, name=None))
    return {}


# -- small parts -------------------------------------------------------------------------------------------

_EMBED = {"renderer": "svg", "actions": False, "ast": True}


class _Picture(alt.JupyterChart):
    """A chart widget that takes a specification as it is, without the half second that Altair needs to validate it."""

    def draw(self, drawn: charts.Picture | None) -> None:
        """Show a picture; observers of selections are to be attached anew."""
        kinds = drawn.selections if drawn is not None else {}
        self.selections = Selections(
            {
                name: PointSelection(name, [], Store([])) if kind == "point" else IntervalSelection(name, {}, Store([]))
                for name, kind in kinds.items()
            }
        )
        with self.hold_sync():
            self.spec = drawn.spec if drawn is not None else None  # type: ignore[assignment]
            self._selection_types = kinds
            self._vl_selections = {name: {"value": None, "store": []} for name in kinds}
            self._params = {}

    @traitlets.observe("_vl_selections")
    def _on_change_selections(self, change: Any) -> None:
        """Pass over a late click on a chart that is gone meanwhile."""
        known = {name: one for name, one in change.new.items() if name in self._selection_types}
        super()._on_change_selections(traitlets.Bunch({**change, "new": known}))


class _Width(anywidget.AnyWidget):
    """Draws nothing; tells the chart when the panel gets wider or narrower: charts listen to the window alone."""

    _esm = """
    function render({ el }) {
        let waiting;
        const tell = () => window.dispatchEvent(new Event("resize"));
        const observer = new ResizeObserver(() => { clearTimeout(waiting); waiting = setTimeout(tell, 150); });
        observer.observe(el);
        return () => observer.disconnect();
    }
    export default { render };
    """


class _Keys(anywidget.AnyWidget):
    """Draws nothing; keeps keys and focus in the panel.

    JupyterLab takes arrows and letters for its own shortcuts wherever nothing is typed; those with Ctrl, Meta or Alt
    stay its own. A button that goes or can no longer be pressed while it has the focus hands it to the view's button.
    """

    _esm = """
    function render({ el }) {
        let panel = null, last = null, frame = 0;
        const held = "data-lm-suppress-shortcuts";
        const hold = ({ target, ctrlKey, metaKey, altKey }) => {
            if (panel.contains(target)) target.toggleAttribute(held, !(ctrlKey || metaKey || altKey));
        };
        const isGone = () => last !== null && (!last.isConnected || last.disabled);
        const came = (event) => { last = event.target; };
        const left = () => setTimeout(() => { if (!isGone() && !panel.contains(document.activeElement)) last = null; });
        const keep = () => {
            if (!isGone() || ![document.body, null, last].includes(document.activeElement)) return;
            last = null;
            panel.querySelector(".wb-explore-views .mod-active")?.focus({ preventScroll: true });
        };
        const observer = new MutationObserver(keep);
        const begin = () => {
            panel = el.closest(".wb-explore");
            if (panel === null) { frame = requestAnimationFrame(begin); return; }
            window.addEventListener("keydown", hold, true);
            panel.addEventListener("focusin", came);
            panel.addEventListener("focusout", left);
            observer.observe(panel, { subtree: true, childList: true, attributeFilter: ["disabled"] });
        };
        begin();
        return () => {
            cancelAnimationFrame(frame);
            observer.disconnect();
            window.removeEventListener("keydown", hold, true);
        };
    }
    export default { render };
    """


class _Fold:
    """A button that shows and hides what belongs to it; a native button, so that keys reach it."""

    def __init__(self) -> None:
        self.button: widgets.ToggleButton | None = None
        self.title = ""

    def fill(self, title: str, child: widgets.Widget) -> widgets.Widget:
        """Make the button and the box; gives the box."""
        self.button = widgets.ToggleButton(value=False)
        box = widgets.VBox([child], layout=widgets.Layout(display="none"))
        box.add_class("wb-explore-fold")
        self.button.observe(lambda _change: self._turn(box), names="value")
        self.name(title)
        return box

    def name(self, title: str) -> None:
        """Write the button's title anew."""
        self.title = title
        if self.button is not None:
            self.button.description = f"{'▾' if self.button.value else '▸'} {title}"

    def _turn(self, box: widgets.Widget) -> None:
        if self.button is not None:
            box.layout.display = "" if self.button.value else "none"
        self.name(self.title)


def _row(children: Sequence[widgets.Widget] = ()) -> widgets.Box:
    box = widgets.Box(list(children))
    box.add_class("wb-explore-row")
    return box


def _button(words: str, act: Any) -> widgets.Button:
    button = widgets.Button(description=words)
    button.on_click(lambda _button: act())
    return button


def _text(words: str, value: str) -> widgets.Text:
    box = widgets.Text(value=value, description=words, continuous_update=False)
    box.add_class("wb-explore-control")
    box.add_class("wb-explore-field")
    return box


def _html(block: Block) -> str:
    """A block's HTML; the panel has its style sheet already."""
    return f'<div class="wb wb-live">{without_links(block.html, set())}</div>'


def _short(value: object) -> str:
    text = "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 28 else f"{text[:27]}…"


def _choice(value: str, name: str) -> str:
    return name if name == value else f"{name} · {value}"


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    """Keep the newest answers, so that the way back needs no query."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT_ANSWERS:
        kept.popitem(last=False)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
