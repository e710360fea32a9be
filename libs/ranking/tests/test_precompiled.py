"""Code that was compiled on one machine is used on another."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ranking import cpus
from ranking.cpus import LEVELS, Cpu, host
from ranking.prebuilt_cache import install_prebuilt_cache
from ranking.testing import tiny_bundle

# Installs the prebuilt cache, loads a bundle, and prints the cache hits and misses of all loops.
_SERVICE = """
import os, sys
from pathlib import Path
from ranking.bundle import load
from ranking.engine import Engine
from ranking.json_items import compile_json_items
from ranking.precompiled import loops
from ranking.prebuilt_cache import install_prebuilt_cache
from ranking.verification import verify

install_prebuilt_cache(Path(os.environ["NUMBA_CACHE_DIR"]), Path(sys.argv[1]))
verify(Engine(load(Path(sys.argv[2]))))
compile_json_items()
stats = [loop.stats for loop in loops().values()]
for counts in ([each.cache_hits for each in stats], [each.cache_misses for each in stats]):
    print(sum(sum(each.values()) for each in counts))
"""


def run(*command: object, settings: Mapping[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment | settings,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=220,
    ).stdout


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an image's build leaves it."""
    folder = tmp_path_factory.mktemp("prebuilt")
    run("-m", "ranking.precompiled", settings={"NUMBA_CACHE_DIR": str(folder)})
    return folder


@pytest.mark.parametrize("level", [level for level in LEVELS if host() in LEVELS[: LEVELS.index(level) + 1]])
def test_a_service_that_installs_the_cache_of_its_image_compiles_nothing(
    prebuilt: Path, level: Cpu, tmp_path: Path
) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    settings = {
        "NUMBA_CPU_NAME": level.name,
        "NUMBA_CPU_FEATURES": level.features,
        "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
    }
    found, compiled = map(int, run("-c", _SERVICE, prebuilt, bundle, settings=settings).split())
    assert found > 0
    assert compiled == 0


def ship(folder: Path, content: bytes) -> None:
    (folder / "ranking_1").mkdir(parents=True, exist_ok=True)
    for name in ("loop.nbi", "loop.1.nbc"):
        (folder / "ranking_1" / name).write_bytes(content)


def test_a_prebuilt_cache_is_installed_once_and_again_for_another_image(tmp_path: Path) -> None:
    prebuilt, kept = tmp_path / "prebuilt", tmp_path / "kept"
    install_prebuilt_cache(kept, prebuilt)
    assert not kept.exists()

    ship(prebuilt, b"first")
    install_prebuilt_cache(kept, prebuilt)
    index = kept / "ranking_1" / "loop.nbi"
    assert index.read_bytes() == (kept / "ranking_1" / "loop.1.nbc").read_bytes() == b"first"
    # Code that is compiled later is not lost at a new start.
    index.write_bytes(b"more")
    install_prebuilt_cache(kept, prebuilt)
    assert index.read_bytes() == b"more"

    ship(prebuilt, b"second")
    install_prebuilt_cache(kept, prebuilt)
    assert index.read_bytes() == b"second"
    assert sorted(path.name for path in kept.rglob("*")) == ["loop.1.nbc", "loop.nbi", "ranking_1", "taken"]


def test_a_folder_that_is_not_writable_is_logged_and_does_not_prevent_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ship(tmp_path / "prebuilt", b"code")
    kept = tmp_path / "kept"
    kept.write_text("no folder")
    install_prebuilt_cache(kept, tmp_path / "prebuilt")
    assert f"can't be installed in {kept}" in caplog.text


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        (set(), Cpu("x86-64-v4", "+avx512f")),
        ({"avx512vl"}, Cpu("x86-64-v3", "")),
        ({"avx512f", "bmi2"}, None),
    ],
)
def test_a_cpu_has_the_best_level_whose_features_it_all_has(
    missing: set[str], level: Cpu | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = set().union(*cpus._LEVELS.values())
    monkeypatch.setattr(cpus, "get_host_cpu_features", lambda: {name: name not in missing for name in everything})
    assert host() == level
