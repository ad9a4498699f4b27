"""Where the test notebooks are, and a word that must not leak."""

from pathlib import Path

NOTEBOOKS = Path(__file__).with_name("notebooks")
SECRET = "planted_secret_path"
