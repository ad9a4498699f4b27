"""Shared fixtures; helpers for building shops are in ``shops.py`` beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
