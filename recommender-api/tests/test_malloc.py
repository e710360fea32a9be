"""The memory of a replaced model is returned to the system."""

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


def test_arrow_uses_the_allocator_that_returns_memory() -> None:
    run = subprocess.run([sys.executable, "-c", _POOL], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "system\n"


def test_the_memory_of_a_large_table_does_not_stay_with_the_process() -> None:
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    # Small objects that stay: 6 MB. A model's tables: 110 MB and more.
    assert float(run.stdout) < 20
