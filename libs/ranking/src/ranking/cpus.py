"""The levels of CPUs for which loops are compiled, so that code compiled on one machine runs on others too.

The levels of x86-64 are those of its psABI (https://gitlab.com/x86-psABIs/x86-64-ABI).
"""

from typing import NamedTuple

from llvmlite.binding import get_host_cpu_features


class Cpu(NamedTuple):
    """A kind of CPU, and its features by LLVM's names; the CPU's name implies more features."""

    name: str
    features: str


_V3 = {"avx", "avx2", "bmi", "bmi2", "cx16", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sahf", "sse4.2", "xsave"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# Best first. Servers without the second level are older than 2013.
_LEVELS = {Cpu("x86-64-v4", "+avx512f"): _V4, Cpu("x86-64-v3", ""): _V3}
LEVELS = tuple(_LEVELS)


def host() -> Cpu | None:
    """Return the best level of this machine's CPU, None if it has none of them."""
    found = {feature for feature, has in get_host_cpu_features().items() if has}
    return next((cpu for cpu, needs in _LEVELS.items() if needs <= found), None)
