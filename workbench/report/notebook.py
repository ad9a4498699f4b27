"""Find a notebook by its name, and read what the report needs to know of it."""

import sys
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError, nearest
from workbench.report.parameters import ParameterSpec, read_parameters

ROOT = Path(__file__).resolve().parents[2]


def notebooks_folder() -> Path:
    """The folder of the shipped notebooks."""
    return ROOT / "notebooks"


def find_notebook(notebook: Path | str) -> Path:
    """Find a notebook by the name of a shipped one (``slot_attribution``) or by its path (``mine/new.ipynb``).

    Raises
    ------
    ParameterError
        If there is none; the message lists the shipped ones.
    """
    text = str(notebook)
    path = Path(text)
    if path.suffix == ".ipynb" or len(path.parts) > 1:
        if path.is_file():
            return path.resolve()
        raise ParameterError(f'notebook: there is no file "{text}". Give a path to an .ipynb or one of: {_shipped()}.')
    found = notebooks_folder() / f"{text}.ipynb"
    if found.is_file():
        return found
    hint = nearest(text, _names(), ".")
    raise ParameterError(
        f'notebook: there is no notebook "{text}"{hint} Allowed: {_shipped()}, or a path to an .ipynb.'
    )


def _names() -> list[str]:
    return sorted(path.stem for path in notebooks_folder().glob("*.ipynb"))


def _shipped() -> str:
    return ", ".join(_names()) or "(none shipped)"


def skip_slow_grammar() -> None:
    """Spare each process a second: jsonschema compiles a grammar at import that only checks foreign URLs."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def load_notebook(path: Path) -> Any:
    """Read a notebook file as an nbformat node.

    Raises
    ------
    ParameterError
        If the file is not a notebook.
    """
    skip_slow_grammar()
    import nbformat
    from nbformat.reader import NotJSONError

    try:
        return nbformat.read(path, as_version=4)
    except (NotJSONError, nbformat.ValidationError, UnicodeDecodeError, AttributeError, KeyError) as error:
        raise ParameterError(f"notebook: {path.name} is not a Jupyter notebook ({type(error).__name__}).") from None


def tags(cell: Any) -> set[str]:
    """Tags of a cell."""
    return set(cell.get("metadata", {}).get("tags", []))


def parameters_of(node: Any, name: str) -> tuple[ParameterSpec, ...]:
    """The parameters that a notebook declares.

    Raises
    ------
    ParameterError
        If not exactly one cell is tagged ``parameters``, or what it holds is no list of parameters.
    """
    sources = [cell.source for cell in node.cells if cell.cell_type == "code" and "parameters" in tags(cell)]
    if len(sources) > 1:
        raise ParameterError(f'{name}: {len(sources)} cells are tagged "parameters"; one is allowed.')
    if not sources:
        raise ParameterError(
            f'{name}: no cell is tagged "parameters", so that nothing could be asked of it. Give one cell of the notebook '
            "that tag; it holds one `name: type = value  # help` for each parameter, or only a comment if it has none."
        )
    return read_parameters(sources[0], name)


def declared_parameters(notebook: Path | str) -> set[str]:
    """Names of the parameters that a notebook, given by name or path, declares."""
    path = find_notebook(notebook)
    return {spec.name for spec in parameters_of(load_notebook(path), path.stem)}


def cells_in(node: Any, lang: str) -> list[Any]:
    """The cells of a notebook without those written for another language."""
    other = "lang-zh" if lang == "en" else "lang-en"
    return [cell for cell in node.cells if other not in tags(cell)]


def title_of(node: Any, lang: str) -> str:
    """The first heading of a notebook, or "" if it has none."""
    for cell in cells_in(node, lang):
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return str(line[2:].strip())
    return ""
