"""Work on what a stranger sent, in processes that may die of it: a warm template, from which each is forked."""
