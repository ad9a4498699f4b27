"""A notebook's parameters as controls, and controls as parameters: values pass ``check_parameters`` unchanged."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from html import escape
from types import MappingProxyType, NoneType
from typing import Any, Literal, get_args, get_origin

import ibis
import ipywidgets as widgets
import pandas as pd
import traitlets

from workbench.contract import UNKNOWN
from workbench.errors import ParameterError
from workbench.explore.words import choice_of, help_of, label_of, offer_of, unit_of, words_of_column
from workbench.language import Language, format_count, say
from workbench.report.parameters import ParameterSpec, check_parameters
from workbench.report.words import column_words
from workbench.source.restriction import COLUMNS
from workbench.source.shop import Shop

FEW_CHOICES = 3
NOTHING = ""
"""Stands for None among choices: of None the widgets think that nothing is chosen."""
MOST_VALUES = 8
"""Values of a column of users shown at once; a search finds the others."""


@dataclass(frozen=True)
class Control:
    """A control of one parameter.

    Attributes
    ----------
    spec
        The parameter.
    widget
        What is shown: control and help.
    inputs
        The widgets whose ``value`` a user changes.
    read
        Gives the value; raises ``ParameterError`` if what is typed cannot be one.
    write
        Shows a value.
    """

    spec: ParameterSpec
    widget: widgets.Widget
    inputs: tuple[traitlets.HasTraits, ...]
    read: Callable[[], object]
    write: Callable[[Any], None]


class Form:
    """The controls of a question.

    Parameters
    ----------
    specs
        Parameters of the notebook.
    notebook
        Its name, for messages and words.
    lang
        Language of the controls.
    main
        Parameters shown first; others fold under "More".
    counts
        Users by value of their columns, as of ``count_users``.
    days
        First and last day of the data, told beside the dates; "" if unknown.
    on_change
        Called after a user changed something.
    lock
        Held while values are shown, so that what a user changes meanwhile in another thread is not passed over.
    offers
        Values to choose from, by parameter, where its kind does not tell them.
    """

    def __init__(
        self,
        specs: Sequence[ParameterSpec],
        notebook: str,
        lang: Language,
        main: Sequence[str],
        counts: Mapping[str, Sequence[tuple[str, int]]],
        days: str,
        on_change: Callable[[], None],
        lock: AbstractContextManager[Any] | None = None,
        offers: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.specs, self.notebook, self.lang = tuple(specs), notebook, lang
        self._on_change, self._is_writing, self._lock = on_change, False, lock or nullcontext()
        self.controls = {spec.name: self._control(spec, counts, days, offers.get(spec.name, ())) for spec in specs}
        self.show({spec.name: spec.default for spec in specs})
        for control in self.controls.values():
            for one in control.inputs:
                one.observe(self._changed, names="value")
        first = [name for name in main if name in self.controls]
        more = [spec.name for spec in specs if spec.name not in first]
        self.users = self.controls["only_users"].widget if "only_users" in self.controls else None
        self.main = _wrapped([self.controls[name].widget for name in first if name != "only_users"])
        self.more = _wrapped([self.controls[name].widget for name in more if name != "only_users"])

    def title(self, name: str) -> str:
        """What a parameter is called."""
        return label_of(self.controls[name].spec, self.notebook, self.lang)

    def values(self) -> dict[str, object]:
        """All parameters, checked.

        Raises
        ------
        ParameterError
            With all that is wrong.
        """
        found, faults = {}, []
        for name, control in self.controls.items():
            try:
                found[name] = control.read()
            except ParameterError as error:
                faults.append(str(error))
        if faults:
            raise ParameterError(" ".join(faults))
        return check_parameters(self.specs, found, self.notebook, self.lang)

    def show(self, values: Mapping[str, object]) -> None:
        """Show these values, without calling ``on_change``."""
        self._is_writing = True
        try:
            for name, value in values.items():
                self.controls[name].write(value)
        finally:
            self._is_writing = False

    def _changed(self, _change: object) -> None:
        with self._lock:
            if not self._is_writing:
                self._on_change()

    def _control(
        self,
        spec: ParameterSpec,
        counts: Mapping[str, Sequence[tuple[str, int]]],
        days: str,
        offers: Sequence[str],
    ) -> Control:
        title, unit = label_of(spec, self.notebook, self.lang), unit_of(spec, self.lang)
        told = help_of(spec, self.notebook, self.lang)
        if spec.name in ("start_date", "end_date") and days:
            told += say(self.lang, f"; data: {days}", f"；数据：{days}")
        shown = f"{title} [{unit}]" if unit else title
        if spec.name == "only_users":
            return _users_control(spec, shown, told, counts, self.lang)
        many = next((one for one in _parts(spec.kind) if get_origin(one) is list), None)
        if many is not None and get_origin(get_args(many)[0]) is Literal and len(_parts(spec.kind)) == 1:
            choices = get_args(get_args(many)[0])
            return _several_control(spec, shown, told, {one: choice_of(spec.name, one, self.lang) for one in choices})
        if any(get_origin(one) is Literal for one in _parts(spec.kind)):
            return _choice_control(spec, shown, told, self.lang)
        named = {one: offer_of(spec.name, one, self.lang) for one in offers}
        if named and many is not None and len(_parts(spec.kind)) == 1:
            return _several_control(spec, shown, told, named)
        if named:
            return _offer_control(spec, shown, told, named, self.lang)
        if spec.kind is bool:
            box = widgets.Checkbox(description=shown, tooltip=told, indent=False)
            return Control(spec, _with_help(box, told), (box,), lambda: bool(box.value), _writer(box))
        return _text_control(spec, shown, told, self.lang)


def count_users(shop: Shop) -> dict[str, list[tuple[str, int]]]:
    """How many users have each value of the columns by which users can be chosen? Most users first; one small query."""
    there = [name for name in COLUMNS if shop.has("users", name)] if shop.user_ids_known else []
    if not there:
        return {}
    users = shop.tables["users"]
    parts = [
        users.group_by(value=users[name].cast("string").fill_null(UNKNOWN))
        .aggregate(user_count=ibis._.count())
        .mutate(column=ibis.literal(name))
        for name in there
    ]
    rows: pd.DataFrame = shop.collect(ibis.union(*parts) if len(parts) > 1 else parts[0])
    rows = rows.sort_values(["user_count", "value"], ascending=[False, True])
    return {
        name: [(str(value), int(count)) for value, count in mine[["value", "user_count"]].itertuples(index=False)]
        for name in there
        if len(mine := rows[rows["column"] == name])
    }


# -- the kinds of controls ---------------------------------------------------------------------------------


def _parts(kind: Any) -> tuple[Any, ...]:
    return (kind,) if get_origin(kind) in (list, Literal) or not get_args(kind) else get_args(kind)


def _wrapped(children: list[widgets.Widget]) -> widgets.Box:
    box = widgets.Box(children)
    box.add_class("wb-explore-form")
    return box


def _with_help(control: widgets.Widget, told: str) -> widgets.Box:
    control.add_class("wb-explore-control")
    note = widgets.HTML(f'<span class="wb-explore-help">{escape(told)}</span>')
    box = widgets.VBox([control, note])
    box.add_class("wb-explore-field")
    return box


def _writer(control: widgets.Widget) -> Callable[[Any], None]:
    def write(value: Any) -> None:
        control.value = value

    return write


def _choice_control(spec: ParameterSpec, shown: str, told: str, lang: Language) -> Control:
    choices: list[tuple[str, object]] = []
    for part in _parts(spec.kind):
        if get_origin(part) is Literal:
            choices += [(choice_of(spec.name, one, lang), one) for one in get_args(part)]
        elif part is NoneType:
            choices.append((say(lang, "(none)", "（无）"), NOTHING))
    kind = widgets.ToggleButtons if len(choices) <= FEW_CHOICES else widgets.Dropdown
    box = kind(options=choices, description=shown, tooltip=told)
    if kind is widgets.ToggleButtons:
        box.style.button_width = "auto"
        box.tooltips = [told] * len(choices)

    def write(value: Any) -> None:
        box.value = NOTHING if value is None else value

    return Control(spec, _with_help(box, told), (box,), lambda: None if box.value == NOTHING else box.value, write)


def _several_control(spec: ParameterSpec, shown: str, told: str, named: Mapping[Any, str]) -> Control:
    """A check box for each choice; what was chosen first stays first, since the order can mean something."""
    boxes = {one: widgets.Checkbox(description=name, tooltip=told, indent=False) for one, name in named.items()}
    order: list[object] = []

    def read() -> object:
        kept = [one for one in order if one not in boxes or boxes[one].value]
        order[:] = kept + [one for one, box in boxes.items() if box.value and one not in kept]
        return list(order)

    def write(value: Any) -> None:
        order[:] = list(value)
        for one, box in boxes.items():
            box.value = one in value

    head = widgets.HTML(f'<span class="wb-explore-label" title="{escape(told)}">{escape(shown)}</span>')
    group = widgets.Box(list(boxes.values()))
    group.add_class("wb-explore-boxes")
    field = widgets.VBox([head, group, widgets.HTML(f'<span class="wb-explore-help">{escape(told)}</span>')])
    field.add_class("wb-explore-field")
    field.add_class("wb-explore-wide")
    return Control(spec, field, tuple(boxes.values()), read, write)


def _offer_control(spec: ParameterSpec, shown: str, told: str, named: Mapping[str, str], lang: Language) -> Control:
    """A list of what is known; a value that is not in it, as of a file, joins it, and where lists are meant one can type."""
    typed = "\0"
    empty = {NOTHING: say(lang, "(none)", "（无）")} if NoneType in _parts(spec.kind) else {}
    other = {typed: say(lang, "other …", "其他…")} if any(get_origin(one) is list for one in _parts(spec.kind)) else {}
    box = widgets.Dropdown(description=shown, tooltip=told)
    line = widgets.Text(placeholder=say(lang, "type here", "请输入"), tooltip=told, continuous_update=False)
    line.add_class("wb-explore-control")

    def options(value: str) -> list[tuple[str, str]]:
        known = {**empty, **named, **other}
        return [(name, one) for one, name in {**known, **({} if value in known else {value: value})}.items()]

    def turn(_change: object = None) -> None:
        line.layout.display = "" if box.value == typed else "none"

    def read() -> object:
        if box.value == typed and not line.value.strip():
            raise ParameterError(f"{shown}: {told}")
        if box.value == typed:
            return read_text(spec, line.value, shown, lang)
        return None if box.value == NOTHING and empty else box.value

    def write(value: Any) -> None:
        is_typed = isinstance(value, list)
        chosen = typed if is_typed else NOTHING if value is None else str(value)
        line.value = as_text(value) if is_typed else ""
        if box.options != tuple(options(chosen)):
            box.options = options(chosen)
        box.value = chosen

    box.observe(turn, names="value")
    write(spec.default)
    turn()
    field = _with_help(box, told)
    field.children = (field.children[0], line, *field.children[1:])
    return Control(spec, field, (box, line), read, write)


def _text_control(spec: ParameterSpec, shown: str, told: str, lang: Language) -> Control:
    """A line of text, read when it is left or Enter is pressed: days, numbers, texts, and lists with commas."""
    hint = "YYYY-MM-DD" if spec.name.endswith(("_date", "_end")) else say(lang, "(empty)", "（空）")
    box = widgets.Text(description=shown, tooltip=told, placeholder=hint, continuous_update=False)

    def read() -> object:
        return read_text(spec, box.value, shown, lang)

    def write(value: Any) -> None:
        box.value = as_text(value)

    return Control(spec, _with_help(box, told), (box,), read, write)


def as_text(value: object) -> str:
    """A value as it stands in a line of text: lists with commas, nothing for None.

    Examples
    --------
    >>> as_text([7, 30]), as_text(None), as_text(168.0), as_text("median")
    ('7, 30', '', '168', 'median')
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(as_text(one) for one in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def read_text(spec: ParameterSpec, text: str, shown: str = "", lang: Language = "en") -> object:
    """Read a line of text as the parameter means it.

    Raises
    ------
    ParameterError
        If it is no number where one is wanted, or nothing where something is.

    Examples
    --------
    >>> from workbench.report.parameters import read_parameters
    >>> [days] = read_parameters("days: list[int] = [7]", "demo")
    >>> read_text(days, "7, 30")
    [7, 30]
    """
    text, parts = text.strip(), _parts(spec.kind)
    many = next((one for one in parts if get_origin(one) is list), None)
    plain = [one for one in parts if one in (str, int, float)]
    if not text:
        if NoneType in parts:
            return None
        if many is not None:
            return []
        if str in plain:
            return ""
        raise ParameterError(_not_read(spec, shown, lang, "nothing is typed", "未填写"))
    if many is not None and (not plain or "," in text):
        one_kind = get_args(many)[0]
        return [_one(spec, [one_kind], one.strip(), shown, lang) for one in text.split(",") if one.strip()]
    return _one(spec, plain, text, shown, lang)


def _one(spec: ParameterSpec, kinds: Sequence[Any], text: str, shown: str, lang: Language) -> object:
    for kind in (int, float):
        if kind in kinds or (kind is int and float in kinds):
            try:
                return kind(text.replace("−", "-"))
            except ValueError:
                continue
    if str in kinds or any(get_origin(one) is Literal for one in kinds):
        return text
    raise ParameterError(_not_read(spec, shown, lang, f'"{text}" is not a number', f"“{text}”不是数字"))


def _not_read(spec: ParameterSpec, shown: str, lang: Language, english: str, chinese: str) -> str:
    name, allowed = shown or spec.name, spec.allowed_in(lang)
    return say(lang, f"{name}: {english}. Allowed: {allowed}.", f"{name}：{chinese}。可填：{allowed}。")


def _users_control(
    spec: ParameterSpec,
    shown: str,
    told: str,
    counts: Mapping[str, Sequence[tuple[str, int]]],
    lang: Language,
) -> Control:
    """Choose users by the values of their columns; each value says how many users have it, and a search finds it."""
    chosen = _Chosen()
    columns = [_UserColumn(name, values, chosen, lang) for name, values in counts.items()]

    def write(value: Any) -> None:
        chosen.value = tuple(tuple(part.strip() for part in str(one).partition("=")[::2]) for one in value)
        for column in columns:
            column.refresh()

    none = say(lang, "This shop has no columns of users to choose by.", "此店铺没有可供选择的用户列。")
    body = _wrapped([one.widget for one in columns]) if columns else widgets.HTML(escape(none))
    field = widgets.VBox([widgets.HTML(f'<span class="wb-explore-help">{escape(told)}</span>'), body])
    return Control(spec, field, (chosen,), lambda: [f"{column}={value}" for column, value in chosen.value], write)


class _Chosen(traitlets.HasTraits):
    """The values chosen, as pairs of column and value in the order of the choice."""

    value = traitlets.Tuple()


class _UserColumn:
    """Search and check boxes of one column of users: those chosen, then those with most users."""

    def __init__(self, name: str, values: Sequence[tuple[str, int]], chosen: _Chosen, lang: Language) -> None:
        self.name, self.values, self.chosen, self.lang = name, list(values), chosen, lang
        title, self._words = words_of_column(name, lang), column_words(name, lang)
        self.boxes = [widgets.Checkbox(indent=False) for _ in self.values[:MOST_VALUES]]
        self.search = widgets.Text(
            placeholder=say(lang, "search", "搜索"),
            tooltip=say(lang, f"search in {title}", f"搜索{title}"),
            layout=widgets.Layout(display="flex" if len(self.values) > MOST_VALUES else "none"),
        )
        self.search.add_class("wb-explore-search")
        self.rest = widgets.HTML()
        self._shown: list[str] = []
        self.search.observe(lambda _change: self.refresh(), names="value")
        for box in self.boxes:
            box.observe(self._ticked, names="value")
        head = widgets.HTML(f'<span class="wb-explore-label">{escape(title)}</span>')
        self.widget = widgets.VBox([head, self.search, *self.boxes, self.rest])
        self.widget.add_class("wb-explore-column")
        self.refresh()

    def refresh(self) -> None:
        """Show what is chosen first, then the values that the search finds."""
        mine = [value for column, value in self.chosen.value if column == self.name]
        counts, asked = dict(self.values), self.search.value.strip().casefold()
        found = [
            value
            for value, _count in self.values
            if value not in mine and asked in self._words.get(value, value).casefold()
        ]
        self._shown = (mine + found)[: len(self.boxes)]
        for place, box in enumerate(self.boxes):
            value = self._shown[place] if place < len(self._shown) else None
            box.layout.display = "none" if value is None else "flex"
            box.value = value in mine
            if value is not None:
                box.description = f"{self._words.get(value, value)} ({format_count(counts.get(value, 0))})"
        hidden = len(mine) + len(found) - len(self._shown)
        more = say(self.lang, f"{hidden} more; search for them", f"另有 {hidden} 项，请搜索")
        self.rest.value = f'<span class="wb-explore-help">{escape(more)}</span>' if hidden else ""

    def _ticked(self, change: Any) -> None:
        place = self.boxes.index(change["owner"])
        pair = (self.name, self._shown[place]) if place < len(self._shown) else None
        if pair is None or (pair in self.chosen.value) == change["new"]:
            return  # it was shown so, nobody ticked it
        others = tuple(one for one in self.chosen.value if one != pair)
        self.chosen.value = (*others, pair) if change["new"] else others
