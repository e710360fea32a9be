"""`make prove`: claims of the product that take longer to show than a test may."""
