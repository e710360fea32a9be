"""What takes up the memory of Redis, and whether there is room."""
