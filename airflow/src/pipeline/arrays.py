"""Arrays between steps: one `.npy` file each, without pickle."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.recall import Neighbours


def save_arrays(folder: Path, **arrays: NDArray[Any]) -> None:
    """Write each array below `folder` under its name."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_array(folder: Path, name: str) -> NDArray[Any]:
    """Read one array."""
    array: NDArray[Any] = np.load(folder / f"{name}.npy", allow_pickle=False)
    return array


def save_neighbours(folder: Path, name: str, neighbours: Neighbours) -> None:
    """Write a table of neighbours."""
    save_arrays(folder, **{f"{name}_items": neighbours.items, f"{name}_scores": neighbours.scores})


def load_neighbours(folder: Path, name: str) -> Neighbours:
    """Read a table of neighbours."""
    return Neighbours(load_array(folder, f"{name}_items"), load_array(folder, f"{name}_scores"))
