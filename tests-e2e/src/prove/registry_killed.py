"""`kill -9` of the registry at random moments inside a request: upload, unpack, check, switch.

After each kill it starts again on what is on the disk. No version is half there, at most one is in service, repeating
the request succeeds, and no file or process is left.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from bench.results import Goal, Result
from contracts.registry.errors import RegistryError
from localservers.waiting import wait_until
from prove.registry_process import RegistryProcess, running_registry
from ranking.testing import Size, tiny_archive

KILLS = 50
_MEASURED = 3
_SIZE = Size(datasets=400)


def prove(folder: Path, seed: int) -> list[Result]:
    """Kill it fifty times."""
    return kill_rounds(folder, seed, KILLS)


def kill_rounds(folder: Path, seed: int, kills: int) -> list[Result]:
    """Kill the registry inside `kills` requests, and check what the next start finds."""
    dice, counts = random.Random(seed), Counter[str]()
    home = folder / "registry"
    with running_registry(home) as registry:
        registry.warm_up(folder / "no-archive")
        durations = [_measure(registry, _archive(folder, number)) for number in range(_MEASURED)]
    number, killed, archive = _MEASURED, False, folder / "0.tar.gz"
    while counts["kills"] < kills:
        with running_registry(home) as registry:
            # Warming up has a folder of its own.
            registry.warm_up(folder / "no-archive")
            _note_start(registry, archive, counts, number - 1 if killed else None)
            archive, number = _archive(folder, number), number + 1
            # Every third one while it deploys, which takes much less time than the upload.
            deploys_only = number % 3 == 0
            if deploys_only:
                registry.client.push(archive)
            killed = _kill(registry, archive, dice.uniform(0, min(each[deploys_only] for each in durations)))
            counts["kills"] += killed
    with running_registry(home) as registry:
        registry.warm_up(folder / "no-archive")
        _note_start(registry, archive, counts, number - 1)
    part = "registry killed: "
    phases = [Result(part + name, count, "kills") for name, count in sorted(counts.items()) if name[:6] == "kills "]
    goals = (
        "half versions",
        "moments with two active",
        "moments with none active",
        "files left",
        "processes left",
        "retries that fail",
        "stored bundles without a version",
    )
    return [
        Result(part + "kills inside a request", counts["kills"], "kills", Goal(least=kills)),
        *phases,
        *(Result(part + name, counts[name], "", Goal(most=0)) for name in goals),
    ]


def _measure(registry: RegistryProcess, archive: Path) -> tuple[float, float]:
    """Return how long (s) it takes to push and deploy a new bundle, and a known one."""
    times = [time.monotonic()]
    for _ in range(2):
        registry.push_and_deploy(archive)
        times.append(time.monotonic())
    return times[1] - times[0], times[2] - times[1]


def _archive(folder: Path, number: int) -> Path:
    return tiny_archive(folder / f"{number}.tar.gz", seed=number, version=str(number), size=_SIZE)


def _note_start(registry: RegistryProcess, archive: Path, counts: Counter[str], killed: int | None) -> None:
    """Check what a start has found; `killed` is the number of earlier archives if the request was killed."""
    _check(registry, counts)
    if killed is not None:
        counts[f"kills {_find_progress(registry, killed)}"] += 1
    counts["retries that fail"] += not _retry(registry, archive)
    _check(registry, counts)
    counts["stored bundles without a version"] += _orphans(registry)


def _kill(registry: RegistryProcess, archive: Path, after: float) -> bool:
    """Push and deploy, and kill the registry meanwhile; return whether it was killed before its answer."""
    finished: list[bool] = []

    def request() -> None:
        try:
            registry.push_and_deploy(archive)
        except RegistryError:
            return
        finished.append(True)

    caller = threading.Thread(target=request)
    caller.start()
    time.sleep(after)
    others = registry.descendants()
    os.kill(registry.pid, signal.SIGKILL)
    caller.join()
    wait_until(
        lambda: not any(_is_running(pid) for pid in others), within=30, what="the registry's processes end with it"
    )
    return not finished


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _find_progress(registry: RegistryProcess, earlier: int) -> str:
    """Return how far the killed request had come, after so many `earlier` ones."""
    versions = registry.client.versions().versions
    if len(versions) == earlier:
        return "before the version"
    newest = max(versions, key=lambda each: int(each.version)).version
    deployed = any(each.version == newest for each in registry.client.history().deployments)
    return "after the switch" if deployed else "before the switch"


def _retry(registry: RegistryProcess, archive: Path) -> bool:
    pushed, deployed = registry.push_and_deploy(archive)
    active = registry.client.active()
    return active is not None and active.primary.version == pushed.version == deployed.version


def _check(registry: RegistryProcess, counts: Counter[str]) -> None:
    for each in registry.client.versions().versions:
        answer = registry.http.get(f"/models/ranker/versions/{each.version}/bundle", headers={"Range": "bytes=-1"})
        # Only a bundle with the right checksum is served.
        counts["half versions"] += answer.status_code != httpx.codes.PARTIAL_CONTENT
    active = [each for each in registry.client.history().deployments if each.state == "active"]
    counts["moments with two active"] += len(active) > 1
    counts["moments with none active"] += not active
    counts["files left"] += len(registry.left_over())
    # The template only: no check runs now.
    counts["processes left"] += len(registry.descendants()) > 1


def _orphans(registry: RegistryProcess) -> int:
    stored = {path.name.partition(".")[0] for path in (registry.folder / "artifacts").rglob("*.tar.gz")}
    return len(stored ^ {each.sha256 for each in registry.client.versions().versions})
