"""Moves the data of an earlier release to the current ids.

An earlier release gave datasets and users its own numbers 1, 2, 3 … in the order of the source. Business tables, event
log and live features have to change together. Each of the three is moved once: the business tables and the event log in
one transaction each, Redis in repeatable phases. After an interruption, run it again.
"""

from pipeline.renumber.command import renumber

__all__ = ["renumber"]
