"""One zip file of a batch, for mailing: the index, the reports, their tables."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import ParameterError
from workbench.report.manifest import may_be_shown
from workbench.report.publish import ALERTS
from workbench.report.request import Request
from workbench.report.run import PDF, REPORT


def check_bundle(bundle: Path) -> None:
    """Refuse a bundle that would take the place of something else.

    Raises
    ------
    ParameterError
        If its name does not end in ``.zip``, or what has that name is no zip file.
    """
    if bundle.suffix.lower() != ".zip":
        raise ParameterError(f'--bundle: "{bundle}" is no name of a zip file. Give one such as reports/week.zip.')
    if bundle.exists() and not (bundle.is_file() and zipfile.is_zipfile(bundle)):
        raise ParameterError(
            f'--bundle: "{bundle}" is there and is no zip file. Nothing was started; give another name.'
        )


def write_bundle(requests: Sequence[Request], out: Path, bundle: Path) -> None:
    """Zip the index with the reports and tables of the runs of a plan, and nothing else that lies in the folder.

    Executed notebooks, manifests and failed runs stay at home, and so does a report of an earlier batch that shows smaller
    groups of people than the plan lets it. The same reports give the same bytes.
    """
    files = [out / "index.html", out / ALERTS]
    for request in requests:
        place = out / request.name
        if not may_be_shown(place, request.mask_below):
            continue
        files += [place / REPORT, place / PDF, place / ALERTS, *sorted((place / "tables").glob("*.csv"))]
    bundle.parent.mkdir(parents=True, exist_ok=True)
    temporary = bundle.with_name(f".{bundle.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                if path.is_file():
                    name = zipfile.ZipInfo(f"{bundle.stem}/{path.relative_to(out).as_posix()}")
                    name.compress_type, name.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(name, path.read_bytes())
        temporary.replace(bundle)
    finally:
        temporary.unlink(missing_ok=True)
