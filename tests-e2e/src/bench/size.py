"""The size that the serving claims are made for: about 200 candidates of 30 features, 100 trees of 31 leaves."""

from ranking.testing import Size

FULL_SIZE = Size(datasets=1_000, trees=100, leaves=31, neighbours=80)
