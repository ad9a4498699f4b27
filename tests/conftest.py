"""Shared fixtures; helpers for building shops are in ``shops.py`` beside this file."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory) -> Path:
    """The sample shop, made once."""
    from workbench.source.simulate import simulate_shop

    return simulate_shop(tmp_path_factory.mktemp("sample") / "sample")


@pytest.fixture(scope="session")
def truth(sample_folder) -> dict:
    """What was planted in the sample shop."""
    return json.loads((sample_folder / "truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def sample(sample_folder):
    """The sample shop, opened."""
    from workbench import open_shop

    return open_shop(sample_folder)
