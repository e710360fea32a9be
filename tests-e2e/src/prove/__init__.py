"""`make prove`: checks of claims that take longer than a test may."""
