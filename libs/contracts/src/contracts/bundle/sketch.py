"""Whether two bundles come from the same marketplace: a small sketch of each catalogue's titles.

Source: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

SIZE = 256


def catalogue_sketch(titles: Iterable[str]) -> list[str]:
    """Return the `SIZE` smallest hashes (12 hex digits, ascending) of the distinct titles."""
    return sorted({sha256(title.encode()).hexdigest()[:12] for title in titles})[:SIZE]


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Estimate from two sketches what share of all their titles both catalogues have, 0 to 1."""
    smallest = sorted({*one, *other})[:SIZE]
    both = {*one} & {*other}
    return sum(title in both for title in smallest) / len(smallest)
