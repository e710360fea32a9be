"""One contract for both stores, and what only the disk can do: survive its process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitoring.spool import DiskStore
from monitoring.store import Item, MemoryStore, Store


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "events")
    yield made
    made.close()


def test_what_is_written_is_read(store: Store) -> None:
    store.write("1-a", b"one")
    store.write("2-b", b"two")
    assert (store.read("1-a"), store.read("2-b")) == (b"one", b"two")


def test_writing_again_replaces_the_whole(store: Store) -> None:
    store.write("1-a", b"a longer payload")
    store.write("1-a", b"short")
    assert store.read("1-a") == b"short"


def test_what_is_removed_is_gone_and_may_be_removed_again(store: Store) -> None:
    store.write("1-a", b"one")
    store.remove("1-a")
    store.remove("1-a")
    assert store.read("1-a") is None


def test_nothing_of_a_living_process_is_adopted(store: Store, tmp_path: Path) -> None:
    store.write("1-a", b"one")
    other = DiskStore(tmp_path / "events")
    assert other.adopt() == []
    assert store.adopt() == []
    assert store.read("1-a") == b"one"
    other.close()


def test_what_a_closed_store_left_is_adopted_by_one_oldest_first(tmp_path: Path) -> None:
    first = DiskStore(tmp_path)
    first.write("2-b", b"two")
    first.write("1-a", b"one")
    first.close()
    second, third = DiskStore(tmp_path), DiskStore(tmp_path)
    assert second.adopt() == [Item("1-a", 3), Item("2-b", 3)]
    assert third.adopt() == []
    assert second.read("1-a") == b"one"
    second.remove("1-a")
    second.remove("2-b")
    second.close()
    third.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_adopted_without_its_unfinished_files(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from monitoring.spool import DiskStore\n"
        "store = DiskStore(Path(sys.argv[1])); store.write('1-a', b'one')\n"
        "folder = next(Path(sys.argv[1]).iterdir())\n"
        "(folder / '.1-a.tmp').write_bytes(b'half'); (folder / '2-b').write_bytes(b'')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = DiskStore(tmp_path)
    assert store.adopt() == [Item("1-a", 3)]
    assert len(list(tmp_path.iterdir())) == 1
    store.close()


def test_a_folder_that_is_just_being_made_is_left_alone(tmp_path: Path) -> None:
    unborn = tmp_path / ".123-abc"
    unborn.mkdir()
    (unborn / ".lock").touch()
    store = DiskStore(tmp_path)
    store.adopt()
    assert unborn.exists()
    os.utime(unborn, (0, 0))
    store.adopt()
    assert not unborn.exists()
    store.close()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "events")
    store.write("1-a", b"one")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "events").rglob("*") if path.is_file()}
    assert modes == {0o600}
    store.close()


def test_a_full_disk_leaves_no_half_payload(tmp_path: Path, run_with_file_size_limit: Callable[[str], str]) -> None:
    said = run_with_file_size_limit(
        "from pathlib import Path; from monitoring.spool import DiskStore\n"
        f"store = DiskStore(Path({str(tmp_path)!r}))\n"
        "try: store.write('1-a', b'x' * 5000)\n"
        "except OSError as error: print(error, store.read('1-a'))"
    )
    assert said == "[Errno 28] 4096 of 5000 bytes fitted on the disk None\n"


@pytest.fixture
def run_with_file_size_limit() -> Callable[[str], str]:
    """Run code in a process that can write 4,096 bytes to a file and no more."""

    def run(code: str) -> str:
        limit = (
            "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        )
        command = [sys.executable, "-B", "-c", limit + code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run
