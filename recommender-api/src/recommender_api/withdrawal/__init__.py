"""The datasets that no answer may show: followed in Redis, kept in memory and on the disk."""

from recommender_api.withdrawal.datasets import Withdrawn
from recommender_api.withdrawal.file import WithdrawnFile
from recommender_api.withdrawal.watch import WithdrawnWatch

__all__ = ["Withdrawn", "WithdrawnFile", "WithdrawnWatch"]
