"""Trending datasets: the sliding counts in Redis, filled up from the bundle."""

from recommender_api.trending.main_path import TrendingPath

__all__ = ["TrendingPath"]
