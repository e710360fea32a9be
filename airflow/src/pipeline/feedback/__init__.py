"""Learning from what answers have shown: exposures and their outcomes, as examples and as measurements."""
