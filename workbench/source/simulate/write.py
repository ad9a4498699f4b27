"""The public door: simulate a shop into a folder, block by block, and put it in place only when it is whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.source.simulate.baskets import fill_baskets
from workbench.source.simulate.block_tables import (
    Names,
    assignment_table,
    event_table,
    grant_table,
    line_table,
    order_lines,
    order_table,
    user_table,
)
from workbench.source.simulate.browsing import Places, browse, make_places
from workbench.source.simulate.buying import buy
from workbench.source.simulate.catalogue import (
    PRODUCT_COUNT,
    REGIONS,
    Advertisement,
    Products,
    make_advertisements,
    make_products,
)
from workbench.source.simulate.document import truth_document
from workbench.source.simulate.events import make_events
from workbench.source.simulate.ledger import Block, Outcome, prepare_block
from workbench.source.simulate.shop_tables import fixed_tables, spend_table, stock_table
from workbench.source.simulate.tables import SCHEMAS, user_ids
from workbench.source.simulate.truth import Truth
from workbench.source.simulate.users import make_population
from workbench.source.simulate.visits import make_visits

BLOCK_USERS = 20_000
ROW_GROUP_ROWS = 250_000
MIN_USERS, MIN_DAYS = 100, 60
SHOP_STREAM = 1_000_000_007  # the generator of shop-wide tables; no block has this number


def simulate_shop(
    directory: Path, *, users: int = 20_000, seed: int = 1, days: int = 120, truth: Truth | None = None
) -> Path:
    """Write a shop whose true effects are known.

    Parameters
    ----------
    directory
        Folder to write. A folder that holds an earlier sample is replaced.
    users
        Number of users, at least 100. Some 60 events for each.
    seed
        The same seed, size and truth give the same bytes.
    days
        Length of the period from 2026-03-01, at least 60. The planted weeks lie on days 63-69 and 98-104.
    truth
        Planted effects; null plants the default ones.

    Returns
    -------
    Path
        ``directory``, with one Parquet file per table of the contract and ``truth.json``, which states every planted
        effect and its true size.

    Raises
    ------
    ValueError
        Too few users or days, or a negative seed.
    FileExistsError
        The folder holds something else than an earlier sample.

    Notes
    -----
    Users live in blocks of 20,000 that know nothing of each other, so memory does not grow with their number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = simulate_shop(Path(parent) / "sample", users=100, days=60)
    ...     len(list(folder.glob("*.parquet"))), (folder / "truth.json").exists()
    (13, True)
    """
    target = Path(directory)
    check_arguments(target, users, seed, days)
    planted = Truth.default() if truth is None else truth
    target.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        building = workplace / "new"
        building.mkdir()
        write_tables(building, users, seed, days, planted)
        document = truth_document(planted, seed=seed, users=users, days=days)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (building / "truth.json").write_text(text, encoding="utf-8")
        put_in_place(building, target, workplace / "old")
    finally:
        shutil.rmtree(workplace)
    return target


def check_arguments(target: Path, users: int, seed: int, days: int) -> None:
    """Refuse sizes that cannot carry the planted effects, and folders that are not ours to replace."""
    for name, found, least in (("users", users, MIN_USERS), ("days", days, MIN_DAYS), ("seed", seed, 0)):
        if found < least:
            raise ValueError(
                f"simulate_shop: {name}={found} is too small; at least {least} is allowed. Pass {name}={least} or more."
            )
    if target.is_file():
        raise FileExistsError(f"simulate_shop: {target} is a file; a folder is needed. Name another path.")
    if target.is_dir() and any(target.iterdir()) and not (target / "truth.json").exists():
        raise FileExistsError(
            f"simulate_shop: {target} is not empty and holds no truth.json, so it is no earlier sample; only an "
            "empty folder or an earlier sample is replaced. Name another folder or empty this one."
        )


def put_in_place(building: Path, target: Path, aside: Path) -> None:
    """Move the finished folder in; what stood there is moved aside first and comes back if that fails."""
    stood = target.exists()
    if stood:
        target.rename(aside)
    try:
        building.rename(target)
    except OSError:
        if stood:
            aside.rename(target)
        raise


def write_tables(folder: Path, users: int, seed: int, days: int, truth: Truth) -> None:
    """Simulate block after block and append its rows; shop-wide tables come last."""
    products, ads, places = make_products(), make_advertisements(truth), make_places(truth, days)
    writers = {name: open_writer(folder, name) for name in SCHEMAS}
    counts = Counts(days, len(ads))
    try:
        for number, first_user in enumerate(range(0, users, BLOCK_USERS)):
            size = min(BLOCK_USERS, users - first_user)
            rng = np.random.default_rng([seed, number])
            for name, rows in block_tables(size, days, truth, products, ads, places, counts, rng).items():
                writers[name].write_table(rows, row_group_size=ROW_GROUP_ROWS)
        rng = np.random.default_rng([seed, SHOP_STREAM])
        shop = fixed_tables(products, truth)
        shop["channel_spend"] = spend_table(counts.visits, ads, truth, rng)
        shop["stock"] = stock_table(counts.sold[:, products.best, :], products)
        for name, rows in shop.items():
            writers[name].write_table(rows)
    finally:
        for writer in writers.values():
            writer.close()


class Counts:
    """What the blocks add up to: ids given so far, visits by day and placement, pieces sold."""

    def __init__(self, days: int, ads: int) -> None:
        self.users = self.visit_count = self.orders = self.grants = 0
        self.visits = np.zeros((days, ads), dtype=np.int64)
        self.sold = np.zeros((days, PRODUCT_COUNT, len(REGIONS)), dtype=np.int64)

    def add(self, block: Block, outcome: Outcome, lines: dict[str, np.ndarray]) -> None:
        """Add one block."""
        visits, orders = block.visits, outcome.orders
        paid_ad = visits.advertisement >= 0
        np.add.at(self.visits, (visits.day[paid_ad], visits.advertisement[paid_ad]), 1)
        day, region = visits.day[orders["visit"]], block.population.region[orders["user"]]
        order = lines["order"]
        pieces = lines["quantity"] * orders["is_paid"][order]
        np.add.at(self.sold, (day[order], lines["product"], region[order]), pieces)
        self.users += len(block.population)
        self.visit_count += len(visits)
        self.orders += len(orders["visit"])
        self.grants += len(outcome.grants["user"])


def block_tables(
    size: int,
    days: int,
    truth: Truth,
    products: Products,
    ads: list[Advertisement],
    places: Places,
    counts: Counts,
    rng: np.random.Generator,
) -> dict[str, pa.Table]:
    """Simulate one block of users and give its rows by table."""
    population = make_population(size, days, truth, rng)
    visits = make_visits(population, days, truth, ads, rng)
    browsing = browse(population, visits, places, products, truth, rng)
    baskets = fill_baskets(browsing.views, len(visits), products, truth, rng)
    block = prepare_block(population, visits, baskets, rng)
    outcome = buy(block, truth)
    events = make_events(block, browsing, outcome, truth.slots, rng)
    lines = order_lines(block, outcome)
    names = Names(
        users=user_ids(counts.users + np.arange(size)),
        first_user=counts.users,
        first_visit=counts.visit_count,
        first_order=counts.orders,
        first_grant=counts.grants,
        ads=ads,
        truth=truth,
    )
    counts.add(block, outcome, lines)
    return {
        "events": event_table(events, block, names),
        "orders": order_table(block, outcome, names),
        "order_lines": line_table(lines, products, names),
        "users": user_table(block, names),
        "coupon_grants": grant_table(outcome, names),
        "experiment_assignments": assignment_table(block, outcome, names),
    }


def open_writer(folder: Path, table_name: str) -> pq.ParquetWriter:
    """Open a Parquet file whose bytes depend on its rows alone."""
    return pq.ParquetWriter(
        folder / f"{table_name}.parquet",
        SCHEMAS[table_name],
        compression="zstd",
        compression_level=1,
        store_schema=False,
        version="2.6",
    )
