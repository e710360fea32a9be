"""What comes of exposures: clicks, favourites and purchases, attributed to what a user was shown."""
