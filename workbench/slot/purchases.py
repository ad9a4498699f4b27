"""What purchases credit slots or contents with under the model shown, for the tables that set it beside something else."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.slot.credit import TargetSums
from workbench.stats.intervals import MINIMUM_EFFECTIVE


@dataclass(frozen=True)
class Purchases:
    """Credit of paid orders under one model.

    Attributes
    ----------
    sums
        None where the source has no orders.
    model
        A rule model: the Markov model has no sums by bucket.
    """

    sums: TargetSums | None
    model: str

    @property
    def has_amount(self) -> bool:
        """Whether there is money to share."""
        return self.sums is not None and self.sums.has_amount

    @property
    def measure(self) -> str:
        """What shares are of: ``amount`` where there is money, else ``conversions``."""
        return self.sums.measure if self.sums is not None else "conversions"

    @property
    def are_enough(self) -> bool:
        """Whether enough buyers stand behind them for intervals."""
        return self.sums is not None and self.sums.effective >= MINIMUM_EFFECTIVE

    def by_bucket(self, measure: str) -> pd.DataFrame:
        """Credit by bucket of users, one column per id with credit, without ``(direct)``."""
        if self.sums is None:
            return pd.DataFrame(index=pd.RangeIndex(1))
        return pd.DataFrame(self.sums.matrix(self.model, measure)[:, :-1], columns=list(self.sums.ids))

    def credit(self, measure: str) -> pd.Series:
        """Credit by id."""
        return self.by_bucket(measure).sum()

    def all_there_is(self, measure: str) -> float:
        """Orders or money, with or without a touch."""
        return float(self.sums.total[measure].sum()) if self.sums is not None else 0.0

    def table(self) -> pd.DataFrame | None:
        """credited_id, conversion_credit, amount_credit; None without orders."""
        if self.sums is None:
            return None
        orders = self.credit("conversions")
        amounts = self.credit("amount").to_numpy() if self.has_amount else np.nan
        return pd.DataFrame(
            {"credited_id": orders.index, "conversion_credit": orders.to_numpy(), "amount_credit": amounts}
        )

    def cells(self) -> pd.DataFrame | None:
        """The same by user_bucket, one row per id and bucket with credit; None without orders or without buckets."""
        if self.sums is None or self.sums.buckets == 1:
            return None
        found = self.sums.cells
        return pd.DataFrame(
            {
                "credited_id": np.array(self.sums.ids, dtype=object)[found["item"]],
                "user_bucket": found["bucket"].to_numpy(),
                "conversion_credit": found[f"{self.model}_conversions"],
                "amount_credit": found[f"{self.model}_amount"],
            }
        )
