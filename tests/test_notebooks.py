"""Notebooks are thin: one question, one parameters cell, no logic, no outputs, both languages."""

import ast
import json
from pathlib import Path

import pytest

from workbench.explore.question import QUESTIONS
from workbench.report.parameters import read_parameters

ROOT = Path(__file__).resolve().parents[1]
COMMON = ["start_date", "end_date", "timezone", "lang", "confidence_level", "only_users"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def tags(cell):
    return cell["metadata"].get("tags", [])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_no_outputs(self, path):
        assert all(
            not cell["outputs"] and cell["execution_count"] is None
            for cell in cells(path)
            if cell["cell_type"] == "code"
        )

    def test_one_question_in_each_language(self, path):
        for lang in ("lang-en", "lang-zh"):
            titles = [cell for cell in cells(path) if lang in tags(cell) and "".join(cell["source"]).startswith("# ")]
            assert len(titles) == 1
        english = [cell for cell in cells(path) if "lang-en" in tags(cell)]
        chinese = [cell for cell in cells(path) if "lang-zh" in tags(cell)]
        assert len(english) == len(chinese)
        assert all(cell["cell_type"] != "markdown" or tags(cell) for cell in cells(path))

    def test_code_is_thin(self, path):
        code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
        assert len(code) <= 21
        for cell in code:
            text = "".join(cell["source"])
            tree = ast.parse(text)
            forbidden = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda)
            assert not any(isinstance(node, forbidden) for node in ast.walk(tree))
            listed = "parameters" in tags(cell) or "wb.publish(" in text  # a line for each parameter
            assert text.count("\n") <= (30 if listed else 16)

    def test_parameters_are_documented_and_common_ones_come_first(self, path):
        source = next("".join(cell["source"]) for cell in cells(path) if "parameters" in tags(cell))
        assert sum("parameters" in tags(cell) for cell in cells(path)) == 1
        specs = read_parameters(source, path.stem)
        specs = list(specs.values()) if isinstance(specs, dict) else list(specs)
        assert [spec.name for spec in specs][: len(COMMON)] == COMMON
        assert all(spec.help for spec in specs)

    def test_every_parameter_reaches_the_analysis(self, path):
        text = "".join(
            "".join(cell["source"])
            for cell in cells(path)
            if cell["cell_type"] == "code" and "parameters" not in tags(cell)
        )
        source = next("".join(cell["source"]) for cell in cells(path) if "parameters" in tags(cell))
        specs = read_parameters(source, path.stem)
        for spec in specs.values() if isinstance(specs, dict) else specs:
            assert f"{spec.name}={spec.name}" in text, spec.name

    def test_a_panel_goes_on_from_the_analysis_and_has_no_section_of_its_own(self, path):
        """It begins with the notebook's parameters as they stand; in a report it is nothing, so no heading may lead to it."""
        panels = {one.stem: name for name, one in QUESTIONS.items()}
        sources = ["".join(cell["source"]) for cell in cells(path)]
        found = [number for number, source in enumerate(sources) if "wb.explore." in source]
        assert len(found) == (path.stem in panels)
        for number in found:
            assert sources[number].startswith(f"wb.explore.{panels[path.stem]}(shop, analysis)")
            assert sources[number - 1] == "wb.show_findings(analysis)"

    def test_the_last_section_says_what_it_cannot_show(self, path):
        assert "".join(cells(path)[-1]["source"]) == "wb.show_limits(analysis)"
