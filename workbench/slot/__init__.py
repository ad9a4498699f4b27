"""Which place on the page really sells?"""

from workbench.slot import charts
from workbench.slot.attribution import attribute_slots

__all__ = ["attribute_slots", "charts"]
