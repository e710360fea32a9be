"""The checks of a bundle's content: made in a sandbox when it is pushed, and remembered."""
