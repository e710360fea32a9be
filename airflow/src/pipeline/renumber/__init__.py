"""Moving everything that an earlier release numbered to the ids of today.

An earlier release gave datasets and users numbers of its own, 1, 2, 3 … in the order of the source. Business tables,
event log and live features have to change together. Each of the three is moved once: the business tables and the event
log in one transaction each, Redis in phases that may be repeated. Who broke off runs it again.
"""

from pipeline.renumber.command import renumber

__all__ = ["renumber"]
