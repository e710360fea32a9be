"""Logs, for a sample of the users, what their answers were ranked with; the pipeline computes it again each night."""

from recommender_api.served_features.log import ServedFeatureLog
from recommender_api.served_features.ranking import ServedRanking
from recommender_api.served_features.sample import NOBODY, UserSample

__all__ = ["NOBODY", "ServedFeatureLog", "ServedRanking", "UserSample"]
