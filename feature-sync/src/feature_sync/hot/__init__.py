"""Trending datasets: sliding windows of weighted interactions."""
