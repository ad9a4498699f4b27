"""Which users belong to which group, who moves, and whom to call?"""

from workbench.user import charts
from workbench.user.segmentation import segment_users

__all__ = ["charts", "segment_users"]
