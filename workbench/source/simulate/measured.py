"""The true sizes of the default truth, as found by ``measure_truth`` and kept in ``measured.json``.

They come from 400,000 reference users over 120 days, who went through the day loop once per arm on the same draws.
``make measure-truth`` finds them anew and replaces the file; do so whenever a planted effect or a base rate changes. A
slow test compares.
"""

import json
from pathlib import Path
from typing import Any

MEASURED_DAYS = 120
MEASURED_USERS = 400_000
FILE = Path(__file__).with_name("measured.json")
MEASURED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


def main() -> None:
    """Measure the default truth and write the file."""
    from workbench.source.simulate.measure import measure_truth
    from workbench.source.simulate.truth import Truth

    found = measure_truth(Truth.default(), users=MEASURED_USERS, days=MEASURED_DAYS)
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
