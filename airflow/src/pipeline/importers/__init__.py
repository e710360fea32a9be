"""Sources that can be put into the business database in place of what is there."""
