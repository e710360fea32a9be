"""Work in a subprocess: it returns, raises, and ends with the service."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.registry.errors import RegistryUnreachableError
from recommender_api.models.bundle_fetch import fetch_bundle
from recommender_api.models.subprocess_runner import NICENESS, run_in_subprocess

pytestmark = pytest.mark.anyio


async def test_it_returns_what_the_function_does_and_raises_what_it_raises(tmp_path: Path) -> None:
    assert await run_in_subprocess(os.path.join, "a", "b") == "a/b"
    assert await run_in_subprocess(Path, Path("a"), "b") == Path("a/b")
    with pytest.raises(FileNotFoundError) as caught:
        await run_in_subprocess(os.listdir, "/nowhere")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "/nowhere")
    with pytest.raises(RegistryUnreachableError, match="9/bundle"):
        await run_in_subprocess(fetch_bundle, "http://127.0.0.1:9/bundle", {}, "0" * 64, tmp_path)


async def test_it_has_a_lower_priority_than_answers() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert await run_in_subprocess(os.getpriority, os.PRIO_PROCESS, 0) == max(own, NICENESS)


def test_it_never_has_a_higher_priority_than_the_service() -> None:
    """Only the superuser may raise a priority; otherwise no bundle would ever be downloaded."""
    code = (
        "import asyncio, os; from recommender_api.models.subprocess_runner import run_in_subprocess;"
        "print(asyncio.run(run_in_subprocess(os.getpriority, os.PRIO_PROCESS, 0)))"
    )
    command = ["nice", "-n", "15", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) >= 15


async def test_output_of_the_function_does_not_affect_its_result() -> None:
    assert await run_in_subprocess(os.system, "echo printed") == 0
    await run_in_subprocess(print, "printed")


async def test_it_is_ended_when_its_caller_gives_up() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await run_in_subprocess(time.sleep, 30)
    # The thread that waits for it is joined when the service ends.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - began < 10


async def test_a_process_that_dies_is_an_os_error() -> None:
    with pytest.raises(OSError, match="died"):
        await run_in_subprocess(os._exit, 1)


def test_it_ends_when_the_service_is_killed(tmp_path: Path) -> None:
    mark, script = tmp_path / "mark", tmp_path / "worker.sh"
    script.write_text(f"echo $PPID > {mark}.new; mv {mark}.new {mark}; sleep 5\n", encoding="utf-8")
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, os\n"
        "from recommender_api.models.subprocess_runner import run_in_subprocess\n"
        "if __name__ == '__main__':\n"
        f"    asyncio.run(run_in_subprocess(os.system, 'sh {script}'))\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(program)]) as service:
        while not mark.exists():
            assert service.poll() is None
            time.sleep(0.05)
        shell = int(mark.read_text())
        # `os.system` runs a shell, and that shell runs the script.
        worker = int(Path(f"/proc/{shell}/stat").read_text().split()[3])
        service.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{worker}").exists() and "zombie" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < deadline, "it is still running"
        time.sleep(0.05)
