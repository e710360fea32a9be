"""What each piece of special machinery buys: the recommender with it, and with the plain alternative in its place."""
