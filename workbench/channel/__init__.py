"""Which channel brings users who buy and come back?"""

from workbench.channel import charts
from workbench.channel.absent import why_empty
from workbench.channel.comparison import compare_channels

__all__ = ["charts", "compare_channels", "why_empty"]
