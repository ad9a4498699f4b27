"""From exploring to rerunning: parameters as a file, as a run of a plan, as a command; and back."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.analysis import Analysis
from workbench.errors import ParameterError, SourceError
from workbench.language import Language, say
from workbench.report.dates import DATES
from workbench.report.folder import check_run_name
from workbench.report.manifest import versions
from workbench.report.parameters import ParameterSpec, check_parameters
from workbench.report.plan import load_plan, read_yaml
from workbench.source.shop import Shop

_FIRST_LINE = re.compile(r"^# workbench parameters of (\S+), version (\S+)")
_OTHER = object()
_RUNS = re.compile(r"^runs:[ \t]*(#.*)?$")


def differing(
    specs: Sequence[ParameterSpec], values: Mapping[str, object], otherwise: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The values that differ from the defaults of the notebook, or from what would hold ``otherwise``."""
    given = {spec.name: spec.default for spec in specs} | dict(otherwise or {})
    return {spec.name: values[spec.name] for spec in specs if values[spec.name] != given[spec.name]}


def parameters_of(analysis: Analysis, notebook: str, specs: Sequence[ParameterSpec]) -> dict[str, object]:
    """All parameters with which an analysis was asked, as its notebook declares them.

    Raises
    ------
    ParameterError
        If it is the analysis of another notebook, does not know its parameters (see ``workbench.analysis.remembers``), or
        was asked with what the notebook cannot have.
    """
    if analysis.name != notebook:
        raise ParameterError(
            say(
                analysis.lang,
                f"analysis: this is one of {analysis.name}, this panel is of {notebook}.",
                f"analysis：这是 {analysis.name} 的分析，本面板属于 {notebook}。",
            )
        )
    if not analysis.parameters:
        raise ParameterError(
            say(
                analysis.lang,
                "analysis: it does not know what it was asked with; leave it out, and the panel asks for itself.",
                "analysis：无法得知它是用哪些参数得到的；请不要传入，由面板自行分析。",
            )
        )
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in analysis.parameters.items()}
    return check_parameters(tuple(specs), plain, notebook, analysis.lang)


def parameters_text(notebook: str, specs: Sequence[ParameterSpec], values: Mapping[str, object]) -> str:
    """A parameters file as ``workbench run -f`` reads it: what differs from the defaults, and of which notebook it is."""
    head = f"# workbench parameters of {notebook}, version {versions()['workbench']}\n"
    return head + "".join(f"{name}: {_flow(value)}\n" for name, value in differing(specs, values).items())


def save_parameters(
    path: Path, notebook: str, specs: Sequence[ParameterSpec], values: Mapping[str, object], lang: Language
) -> None:
    """Write the parameters file; a file that is there is replaced only if it is one of this notebook's.

    Raises
    ------
    ParameterError
        If another file is there, or the folder is not.
    """
    if path.exists():
        found = _FIRST_LINE.match(_read(path, lang)) if path.is_file() else None
        if found is None or found[1] != notebook:
            raise ParameterError(
                say(
                    lang,
                    f"{path}: this is another file and was left as it is. Give another name.",
                    f"{path}：这是另一个文件，未作改动。请换一个名称。",
                )
            )
    _write(path, parameters_text(notebook, specs, values), lang)


def load_parameters(
    path: Path, notebook: str, specs: Sequence[ParameterSpec], lang: Language, run: str = ""
) -> dict[str, object]:
    """All parameters of a parameters file, or of a run of a plan.

    Raises
    ------
    ParameterError
        If the file is none of these, of another notebook or another version, or holds what the notebook does not know.
    """
    text = _read(path, lang)
    content = read_yaml(text, path.name)
    if isinstance(content, dict) and "runs" in content:
        return _of_plan(path, notebook, lang, run)
    head, version = _FIRST_LINE.match(text), versions()["workbench"]
    if head and head[1] != notebook:
        raise ParameterError(
            say(
                lang,
                f"{path.name}: these are parameters of {head[1]}, this panel is of {notebook}.",
                f"{path.name}：这是 {head[1]} 的参数，本面板属于 {notebook}。",
            )
        )
    if head and head[2] != version:
        raise ParameterError(
            say(
                lang,
                f"{path.name}: written by version {head[2]}, this is version {version}; parameters may mean something else. "
                "Compare them with the notebook, then correct the version in the first line.",
                f"{path.name}：由版本 {head[2]} 写出，当前为版本 {version}，参数含义可能不同。请与笔记本核对后修改首行的版本号。",
            )
        )
    if content is not None and not isinstance(content, dict):
        raise ParameterError(
            say(lang, f"{path.name}: must hold one name: value a line.", f"{path.name}：每行应为“名称: 值”。")
        )
    given = {str(name): value for name, value in (content or {}).items()}
    return check_parameters(tuple(specs), given, path.name, lang)


def _of_plan(path: Path, notebook: str, lang: Language, run: str) -> dict[str, object]:
    requests, _index_lang = load_plan(path)
    mine = {one.name: one for one in requests if one.notebook.stem == notebook}
    if not mine:
        raise ParameterError(
            say(lang, f"{path.name}: has no run of {notebook}.", f"{path.name}：其中没有 {notebook} 的运行。")
        )
    if run in mine:
        return dict(mine[run].parameters)
    if run or len(mine) > 1:
        names = ", ".join(mine)
        raise ParameterError(
            say(
                lang,
                f"{path.name}: which run? Those of {notebook} are {names}. Write one into the name of the run.",
                f"{path.name}：哪一个运行？{notebook} 的运行有 {names}。请填写运行名称。",
            )
        )
    return dict(next(iter(mine.values())).parameters)


def add_to_plan(
    path: Path,
    name: str,
    notebook: str,
    specs: Sequence[ParameterSpec],
    values: Mapping[str, object],
    source: str,
    mapping: str,
    lang: Language,
) -> str:
    """Add a run to a plan, or begin one; every line that is there stays as it is.

    Parameters
    ----------
    path
        The plan.
    name
        Name of the run; a number is added if it is taken.
    notebook, specs, values
        What is run.
    source
        Path or URL of the data; "" if it is not known, which is enough where the plan names one.
    mapping
        Path of their mapping; "" for none.
    lang
        Language of messages.

    Returns
    -------
    str
        The name that the run got.

    Raises
    ------
    ParameterError
        If there is no source, or the file is no plan that a run can be added to without writing it anew.
    """
    check_run_name(name)
    if not path.exists():
        if not source:
            raise ParameterError(_no_source(path, lang))
        given = {"name": name, "notebook": notebook, "source": source, "mapping": mapping}
        first = {key: value for key, value in given.items() if value} | {"parameters": differing(specs, values)}
        _write_checked(path, f"# Run it: workbench batch {path.name} --out out\nruns:\n{_run_line('  ', first)}", lang)
        return name
    text = _read(path, lang)
    content = read_yaml(text, path.name)
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
        raise ParameterError(
            say(
                lang,
                f"{path.name}: this is not a plan; it was left as it is.",
                f"{path.name}：这不是计划文件，未作改动。",
            )
        )
    defaults = content.get("defaults") or {}
    shared = {spec.name: spec.default for spec in specs}
    shared |= {one: value for one, value in (defaults.get("parameters") or {}).items() if one in shared}
    shared |= {"lang": defaults["lang"]} if defaults.get("lang") and "lang" in shared else {}
    if defaults.get("period"):  # days of its own keep it off, also where they are null
        shared |= dict.fromkeys(DATES, _OTHER)
    taken = {str(one.get("name", "")).casefold() for one in content["runs"] if isinstance(one, dict)}
    unique = _unique(name, taken)
    run: dict[str, object] = {"name": unique, "notebook": notebook}
    if not source and not defaults.get("source"):
        raise ParameterError(_no_source(path, lang))
    if source and not _same_data((source, mapping), (defaults.get("source"), defaults.get("mapping")), path):
        run |= {"source": source, "mapping": mapping} if mapping else {"source": source}
    parameters = differing(specs, values, shared)
    run |= {"parameters": parameters} if parameters else {}
    new = _inserted(text, run)
    expected = content | {"runs": [*content["runs"], run]}
    if new is None or read_yaml(new, path.name) != expected:
        raise ParameterError(
            say(
                lang,
                f"{path.name}: its runs are not one below the other, so that none can be added without writing the file anew. "
                f"It was left as it is. Add this line yourself: {_run_line('', run).strip()}",
                f"{path.name}：其中的运行不是逐行书写，无法在保留原文的情况下添加。文件未作改动。请自行添加：{_run_line('', run).strip()}",
            )
        )
    _write_checked(path, new, lang)
    return unique


def command_line(
    notebook: str, specs: Sequence[ParameterSpec], values: Mapping[str, object], source: str, mapping: str = ""
) -> str:
    """The command that writes the report of these parameters."""
    words = ["workbench", "run", notebook, source or "SOURCE", "--out", "out"]
    words += ["--mapping", mapping] if mapping else []
    for name, value in differing(specs, values).items():
        words += ["-p", f"{name}={_flow(value)}"]
    return shlex.join(words)


def source_of(shop: Shop) -> tuple[str, str]:
    """Path or URL of a shop's data and path of their mapping, as a run in any folder finds them; "" where none is known."""
    return _from_anywhere(shop.source), _from_anywhere(shop.mapping)


def _from_anywhere(path: str) -> str:
    return path if not path or "://" in path else str(Path(path).expanduser().absolute())


def _same_data(mine: tuple[str, str], others: tuple[object, object], plan: Path) -> bool:
    """Whether a plan's source and mapping are these; its paths are meant from the folder of the command, mostly the plan's."""
    bases = (Path.cwd(), plan.absolute().parent, plan.absolute().parent.parent)

    def same(one: str, other: object, base: Path) -> bool:
        if not one or not isinstance(other, str) or "://" in one:
            return (one or None) == (other or None)
        return Path(one).resolve() == (base / other).resolve()

    return any(all(same(one, other, base) for one, other in zip(mine, others, strict=True)) for base in bases)


def _unique(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found.casefold() in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def _inserted(text: str, run: Mapping[str, object]) -> str | None:
    """The text of a plan with one more line below its last run; None if its runs are not a list of lines."""
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if _RUNS.match(line)), None)
    if start is None:
        return None
    end = next((number for number in range(start + 1, len(lines)) if re.match(r"[^\s#-]", lines[number])), len(lines))
    block = [number for number in range(start + 1, end) if re.match(r"\s*[^\s#]", lines[number])]
    items = [re.match(r"([ ]*)- ", lines[number]) for number in block]
    if not block or items[0] is None:
        return None
    lines[block[-1]] = lines[block[-1]].rstrip("\r\n") + "\n"
    lines.insert(block[-1] + 1, _run_line(items[0][1], run))
    return "".join(lines)


def _run_line(indent: str, run: Mapping[str, object]) -> str:
    return f"{indent}- {_flow(run)}\n"


def _flow(value: object) -> str:
    """A value as YAML on one line."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf"))
    return str(text).strip().removesuffix("...").strip()


def _read(path: Path, lang: Language) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        raise ParameterError(say(lang, f'There is no file "{path}".', f"没有文件“{path}”。")) from None
    except UnicodeDecodeError:
        raise ParameterError(
            say(lang, f"{path.name}: this is not UTF-8 text.", f"{path.name}：不是 UTF-8 文本。")
        ) from None


def _write(path: Path, text: str, lang: Language) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SourceError(say(lang, f"{path}: cannot be written: {why}.", f"{path}：无法写入：{why}。")) from None


def _write_checked(path: Path, text: str, lang: Language) -> None:
    """Write a plan if it can be run, and leave what is there else."""
    trial = path.with_name(f".{path.name}.{os.getpid()}.yml")
    _write(trial, text, lang)
    try:
        load_plan(trial)
    except ParameterError as error:
        raise ParameterError(str(error).replace(trial.name, path.name)) from None
    finally:
        trial.unlink(missing_ok=True)
    _write(path, text, lang)


def _no_source(path: Path, lang: Language) -> str:
    return say(
        lang,
        f"{path.name}: where the data of this shop are is not known here. Write their folder or URL into the source.",
        f"{path.name}：此处不知道店铺数据的位置。请在“数据来源”中填写文件夹或 URL。",
    )
