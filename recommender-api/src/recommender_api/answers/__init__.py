"""Answers and the main path that makes them: the query, its time budget, recall, ranking and the items."""
