"""What a model took goes back to the system with it."""

import subprocess
import sys

_PROGRAM = """
from pathlib import Path
import numpy as np
from recommender_api.models.malloc import configure_malloc

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

configure_malloc()
kept = []
before = resident()
for model in range(6):
    tables = []
    for table in range(10):
        tables.append(np.ones((16 - model) * 2**17))
        kept.append(bytearray(100_000))
    del tables
print(resident() - before)
"""

_POOL = "from recommender_api.models.malloc import configure_malloc; import pyarrow; configure_malloc(); "
_POOL += "print(pyarrow.default_memory_pool().backend_name)"


def test_arrow_has_its_memory_where_it_is_given_back_from() -> None:
    run = subprocess.run([sys.executable, "-c", _POOL], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "system\n"


def test_the_place_of_a_large_table_does_not_stay_with_the_process() -> None:
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    # Small things that are kept: 6 MB. A model's tables: 110 MB and more.
    assert float(run.stdout) < 20
