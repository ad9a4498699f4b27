"""JupyterLab on the notebooks: its start page, and the command that opens it on this machine alone."""

import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from workbench.language import Language, say
from workbench.report.manifest import read_json
from workbench.report.notebook import ROOT, load_notebook, notebooks_folder, title_of

START_PAGE = "start.md"
MOST_RUNS = 12
FIRST_NOTEBOOK = {"en": "getting_started/getting_started.ipynb", "zh": "getting_started/getting_started.zh.ipynb"}
_SETTINGS = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


def lab_command(lang: Language = "en", out: Path | None = None, root: Path = ROOT) -> list[str]:
    """Write the start page and give the command that opens JupyterLab on it.

    Parameters
    ----------
    lang
        Language of the start page.
    out
        Folder of runs whose reports are linked; None: ``out`` beside the notebooks.
    root
        The folder that JupyterLab shows; ``notebooks`` lies in it.

    Notes
    -----
    The server listens on 127.0.0.1 alone and asks for a token, which the address that it prints and opens carries. Where
    the start page cannot be written, JupyterLab opens without it.
    """
    options = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        f"--LabApp.app_settings_dir={_settings()}",
    ]
    if _written(root, start_page(root, out or root / "out", lang)):
        options.append(f"--LabApp.default_url=/lab/tree/{START_PAGE}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    return [sys.executable, "-m", "jupyterlab", *options]


def lab_environment() -> dict[str, str]:
    """The environment of JupyterLab: its notebooks and terminals find the command ``workbench`` of this environment."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([here, *filter(None, [os.environ.get("PATH")])])}


def start_page(root: Path, out: Path, lang: Language) -> str:
    """The start page as Markdown: where to begin, the notebooks, the last runs, the sample.

    Parameters
    ----------
    root
        The folder that links start from.
    out
        Folder of runs; those outside of ``root`` cannot be linked and are named alone.
    lang
        Language.
    """
    parts = [
        say(lang, "# Workbench", "# Workbench 分析工作台"),
        _beginning(root, lang),
        say(lang, "## Notebooks", "## Notebook"),
        "\n".join(_notebooks(root, lang)),
        say(lang, "## Last runs", "## 最近运行"),
        "\n".join(_runs(root, out, lang)),
        say(lang, "## Data", "## 数据"),
        _data(root, lang),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _settings() -> str:
    """A folder of settings of this start alone; the user's own still count."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-lab-"))
    (folder / "overrides.json").write_text(json.dumps(_SETTINGS), encoding="utf-8")
    return str(folder)


def _written(root: Path, text: str) -> bool:
    try:
        (root / START_PAGE).write_text(text, encoding="utf-8")
    except OSError:
        return False
    return True


def _beginning(root: Path, lang: Language) -> str:
    path = notebooks_folder() / FIRST_NOTEBOOK[lang]
    if not path.is_file() or not path.is_relative_to(root):
        return ""
    link = _link(path, root)
    return say(
        lang,
        f"New here? [Ten minutes from your own CSV to a first finding]({link}).",
        f"第一次使用？[十分钟：从自己的 CSV 到第一个发现]({link})。",
    )


def _notebooks(root: Path, lang: Language) -> list[str]:
    return [
        f"- [{_plain(title_of(load_notebook(path), lang) or path.stem)}]({_link(path, root)}) `{path.stem}`"
        for path in sorted(notebooks_folder().glob("*.ipynb"))
        if path.is_relative_to(root)
    ]


def _runs(root: Path, out: Path, lang: Language) -> list[str]:
    manifests = [(read_json(path), path.parent) for path in out.glob("*/manifest.json")] if out.is_dir() else []
    manifests.sort(key=lambda one: str(one[0].get("finished_at", "")), reverse=True)
    if not manifests:
        return [
            say(
                lang,
                "None yet. In a terminal, `make report` makes the reports of the sample; `workbench run` those of your shop.",
                "暂无。在终端运行 `make report` 可生成示例店铺的报告；`workbench run` 生成自己店铺的报告。",
            )
        ]
    words = {"done": say(lang, "done", "完成"), "failed": say(lang, "failed", "失败")}
    lines = []
    for manifest, folder in manifests[:MOST_RUNS]:
        title = _plain(str(manifest.get("title") or folder.name))
        report = folder / "report.html"
        name = f"[{title}]({_link(report, root)})" if report.is_file() and report.is_relative_to(root) else title
        status = words.get(str(manifest.get("status")), str(manifest.get("status")))
        when = str(manifest.get("finished_at", ""))[:16].replace("T", " ")
        lines.append(f"- {name} `{folder.name}`: {status}, {when} UTC")
    return lines


def _data(root: Path, lang: Language) -> str:
    sample, contract = root / "data" / "sample", root / "data" / "README.md"
    told = say(
        lang,
        "`wb.open_shop()` opens the sample shop." if sample.is_dir() else "`make report` makes the sample shop.",
        "`wb.open_shop()` 打开示例店铺。" if sample.is_dir() else "`make report` 生成示例店铺。",
    )
    own = say(
        lang,
        "`wb.open_shop('path/to/folder')` opens yours",
        "`wb.open_shop('文件夹路径')` 打开自己的数据",
    )
    tables = ""
    if contract.is_file():
        link = _link(contract, root)
        tables = say(lang, f": [what its tables look like]({link})", f"：[表的约定]({link})")
    return f"{told} {own}{tables}{say(lang, '.', '。')}"


def _link(path: Path, root: Path) -> str:
    return quote(path.relative_to(root).as_posix())


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, also inside of a link."""
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>()#!|~&" else one for one in text.replace("\n", " "))
