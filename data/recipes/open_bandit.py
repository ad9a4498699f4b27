"""Open Bandit Dataset: fashion items shown in three places of a page, and clicks on them, as tables.

Usage: ``python data/recipes/open_bandit.py RAW_FOLDER OUT_FOLDER --policy random --campaign men``, where
``RAW_FOLDER`` holds ``<policy>_<campaign>.csv.gz``. Every pair of policy (``random``: each item equally
likely; ``bts``: Thompson sampling) and campaign is a shop of its own.

- A row of the source, an impression, becomes ``view_promotion``; if it was clicked, ``select_promotion``
  follows at the same instant with ``seq`` 1.
- The source knows no users. Each impression is given one of its own, ``impression-<row>``, because the
  contract wants a user. **Numbers of viewers, clickers or visits cannot be had from this shop**: they
  would only repeat the numbers of impressions and clicks. A ``mapping.yml`` beside the tables says so
  (``user_ids: per_event``). Clicks, impressions and click-through rates can.
- The item that was shown is the content; the same items are shown in all three slots, so a content has no
  slot.
- No orders.
"""

import argparse
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

Policy = Literal["random", "bts"]
Campaign = Literal["men", "women", "all"]
SYNTHETIC_USER_PREFIX = "impression-"
POSITIONS = {1: "left", 2: "centre", 3: "right"}
PAGE = "recommendations"
MAPPING = "# Every impression has a user of its own, so people cannot be counted.\nuser_ids: per_event\n"


def build(raw: Path, out: Path, *, policy: Policy = "random", campaign: Campaign = "men") -> None:
    """Write the tables made from ``raw/<policy>_<campaign>.csv.gz``, and their mapping, into ``out``."""
    tables = convert(load_source(raw, policy=policy, campaign=campaign))
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)
    (out / "mapping.yml").write_text(MAPPING, encoding="utf-8")


def load_source(raw: Path, *, policy: Policy, campaign: Campaign) -> pd.DataFrame:
    """The impressions in the order of the file: timestamp (UTC), item_id, position, click."""
    path = raw / f"{policy}_{campaign}.csv.gz"
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in raw.glob("*.csv.gz"))) or "no csv.gz file"
        raise FileNotFoundError(f"{path} is missing: RAW_FOLDER has {there}; name one of them by policy and campaign")
    impressions = pd.read_csv(path, usecols=["timestamp", "item_id", "position", "click"])
    impressions["timestamp"] = pd.to_datetime(impressions["timestamp"], utc=True).dt.as_unit("us")
    return impressions


def convert(impressions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Contract tables by name, from the source's impressions."""
    views = pd.DataFrame(
        {
            "user_id": SYNTHETIC_USER_PREFIX + impressions.index.astype("str").str.zfill(8),
            "event_at": impressions["timestamp"],
            "event": "view_promotion",
            "seq": 0,
            "page": PAGE,
            "slot_id": "position-" + impressions["position"].astype("str"),
            "content_id": impressions["item_id"].astype("str"),
        }
    )
    clicks = views[impressions["click"] == 1].assign(event="select_promotion", seq=1)
    users = views[["user_id", "event_at"]].rename(columns={"event_at": "first_seen_at"})
    return {
        "events": pd.concat([views, clicks]).sort_values(["event_at", "user_id", "seq"], ignore_index=True),
        "users": users,
        "slots": _slots(),
        "contents": _contents(impressions["item_id"]),
    }


def _slots() -> pd.DataFrame:
    """One row per position of the recommendation box."""
    return pd.DataFrame(
        {
            "slot_id": [f"position-{position}" for position in POSITIONS],
            "name": list(POSITIONS.values()),
            "page": PAGE,
            "position": list(POSITIONS),
        }
    )


def _contents(item_ids: pd.Series) -> pd.DataFrame:
    """One row per item that was shown."""
    items = pd.Series(sorted(item_ids.unique())).astype("str")
    return pd.DataFrame({"content_id": items, "name": "Item " + items})


def main() -> None:
    """Read the command line, build, print the folder."""
    parser = argparse.ArgumentParser(description="Turn the Open Bandit Dataset into contract tables.")
    parser.add_argument("raw", type=Path, metavar="RAW_FOLDER", help="folder with <policy>_<campaign>.csv.gz")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="folder for the tables, made if missing")
    parser.add_argument("--policy", choices=get_args(Policy), default="random")
    parser.add_argument("--campaign", choices=get_args(Campaign), default="men")
    arguments = parser.parse_args()
    try:
        build(arguments.raw, arguments.out, policy=arguments.policy, campaign=arguments.campaign)
    except FileNotFoundError as error:
        parser.error(str(error))
    print(arguments.out)


if __name__ == "__main__":
    main()
