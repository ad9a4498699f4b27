"""What did a randomized change do?"""

from workbench.experiment import charts
from workbench.experiment.readout import read_experiments

__all__ = ["charts", "read_experiments"]
