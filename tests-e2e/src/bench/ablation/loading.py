"""What a change of a large model costs with each piece of machinery for it, and with the plain way in its place."""

from dataclasses import replace
from pathlib import Path

from bench import serving_size
from bench.ablation.servers import variant
from bench.ablation.variants import LOADING
from bench.results import Result


def measure(folder: Path) -> list[Result]:
    """Measure what `serving_size` does with each variant."""
    results: list[Result] = []
    for number, name in enumerate(LOADING):
        own = folder / str(number)
        own.mkdir()
        measured = serving_size.measure(own, variant(name))
        results += [replace(each, name=each.name.replace(serving_size.PART, f"{name}: ")) for each in measured]
    return results
