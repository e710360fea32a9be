"""The table of addresses at the end of a start."""

from collections.abc import Sequence

COLLECTOR_LOGIN = "(admin@recsys.local, COLLECTOR_PASSWORD of `make env`)"


def table(pages: Sequence[tuple[str, str]]) -> str:
    """Return the lines `name  address`, aligned."""
    width = max(len(name) for name, _ in pages)
    return "\n".join(f"  {name:<{width}}  {address}" for name, address in pages)
