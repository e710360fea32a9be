"""From business data to a deployed model: extract, features, recall, ranker, bundle."""
