"""Each sentence about the dashboards, held against a browser on a stack that has lived through ten scripted minutes."""

from prove.dashboards.proof import prove

__all__ = ["prove"]
