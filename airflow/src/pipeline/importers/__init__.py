"""Sources that can replace the content of the business database."""
