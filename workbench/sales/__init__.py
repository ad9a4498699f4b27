"""What sold, which factor and which segment changed it, and what is out of the ordinary."""

from workbench.sales import charts
from workbench.sales.overview import overview_sales

__all__ = ["charts", "overview_sales"]
