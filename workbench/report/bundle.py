"""One zip file of a batch, for mailing: the index, the reports, their tables."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from workbench.report.publish import ALERTS
from workbench.report.request import Request
from workbench.report.run import PDF, REPORT


def write_bundle(requests: Sequence[Request], out: Path, bundle: Path) -> None:
    """Zip the index with the reports and tables of the runs of a plan, and nothing else that lies in the folder.

    Executed notebooks, manifests and failed runs stay at home. The same reports give the same bytes.
    """
    files = [out / "index.html", out / ALERTS]
    for request in requests:
        place = out / request.name
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
