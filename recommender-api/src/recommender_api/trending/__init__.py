"""What is hot right now: the sliding counts in Redis, topped up from the bundle."""

from recommender_api.trending.main_path import TrendingPath

__all__ = ["TrendingPath"]
