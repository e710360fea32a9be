"""What an answer is and how the main path makes it: the query, its time budget, recall, ranking and the items."""
