"""Print a report to PDF, through a Chromium that is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from workbench.errors import ParameterError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_SECONDS = 120
_OPTIONS = (
    "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-pdf-header-footer",
    "--virtual-time-budget=8000",
)  # fmt: skip


def find_browser() -> str:
    """Path of a browser that can print.

    Raises
    ------
    ParameterError
        If there is none.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise ParameterError(
            f"--pdf: no browser to print with. Install Chromium (on Debian: apt install chromium), so that one of "
            f"{', '.join(BROWSERS)} is found, or leave --pdf out."
        )
    return found


def print_pdf(report: Path, pdf: Path) -> None:
    """Print a report on paper of the size A4.

    Raises
    ------
    ParameterError
        If no browser is installed.
    OSError
        If the browser printed nothing.
    """
    import os

    browser = find_browser()
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="workbench-pdf-", ignore_cleanup_errors=True) as profile:
        command = [browser, *_OPTIONS, *as_root, f"--user-data-dir={profile}", f"--print-to-pdf={pdf.absolute()}"]
        try:
            subprocess.run([*command, report.absolute().as_uri()], capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            pdf.unlink(missing_ok=True)
    if not pdf.is_file():
        raise OSError(0, f"{Path(browser).name} printed no PDF")
