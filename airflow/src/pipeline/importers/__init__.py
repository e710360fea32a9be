"""Sources that can be put into the business database in place of what is there."""

from collections.abc import Callable
from pathlib import Path

from pipeline.business.content import Content
from pipeline.importers import csv_files, movietweetings

IMPORTERS: dict[str, Callable[[Path], Content]] = {
    "movietweetings": movietweetings.read,
    "csv": csv_files.read,
}
