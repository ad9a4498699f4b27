"""A shop with planted, known effects, in the tables of the contract."""

from workbench.source.simulate.measure import measure_truth
from workbench.source.simulate.truth import Truth
from workbench.source.simulate.write import simulate_shop

__all__ = ["Truth", "measure_truth", "simulate_shop"]
