"""Withdrawn datasets, which no answer may show: the list is read from Redis, cached in memory and saved on the disk."""

from recommender_api.withdrawal.datasets import Withdrawn
from recommender_api.withdrawal.file import WithdrawnFile
from recommender_api.withdrawal.watch import WithdrawnWatch

__all__ = ["Withdrawn", "WithdrawnFile", "WithdrawnWatch"]
