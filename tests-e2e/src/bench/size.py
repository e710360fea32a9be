"""The size of the model in the serving claims: 200 candidates of 46 features, 100 trees of 31 leaves."""

from ranking.recall import RecallSettings
from ranking.testing import Size

# With these a query has 200 candidates on average; with a bundle's defaults it has 316.
_CHANNEL_SIZES = {
    "behavior": 46,
    "content": 23,
    "vector": 23,
    "history": 35,
    "popular": 58,
    "recent": 46,
    "transition": 46,
    "popular_30d": 58,
}
FULL_SIZE = Size(
    datasets=1_000, trees=100, leaves=31, neighbours=80, recall=RecallSettings(channel_sizes=_CHANNEL_SIZES)
)
