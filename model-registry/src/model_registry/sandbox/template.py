"""`python -m model_registry.sandbox.template MODULE`: a process that has everything loaded, and forks for each job.

It has one thread, so that a fork copies all there is. The module has `warm_up()`, called once, and
`work(arguments, channel)`, called in the fork. Jobs come by standard input, which is a socket: JSON, with a second
socket for the answer.
"""

import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from model_registry.sandbox.channel import Channel
from model_registry.sandbox.limits import NICENESS, Limits, apply

MAX_JOB_BYTES = 2**16
_PR_SET_PDEATHSIG = 1


def main(module: str) -> int:
    """Serve until the service has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work = importlib.import_module(module)
    work.warm_up()
    # Not before: the first upload waits for it. Every fork has it, too.
    os.nice(NICENESS)
    with socket.socket(fileno=0) as jobs, selectors.DefaultSelector() as selector:
        selector.register(jobs, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not jobs:
                    _finish(selector, key)
                elif not _begin(selector, jobs, work):
                    return 0


def _begin(selector: selectors.BaseSelector, jobs: socket.socket, work: ModuleType) -> bool:
    """Fork for the next job; return False if the service has ended."""
    content, descriptors, _, _ = socket.recv_fds(jobs, MAX_JOB_BYTES, 1)
    if not content:
        return False
    answer = socket.socket(fileno=descriptors[0])
    template = os.getpid()
    pid = os.fork()
    if pid == 0:
        _run(json.loads(content), answer, work, template)
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answer))
    return True


def _finish(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Tell the service how a process ended."""
    pid, answer = key.data
    selector.unregister(key.fileobj)
    os.close(key.fd)
    _, status = os.waitpid(pid, 0)
    with answer:
        try:
            # The process may have died in the middle of a line.
            answer.sendall(b"\n%s\n" % json.dumps({"exit": os.waitstatus_to_exitcode(status)}).encode())
        except OSError:
            # The service no longer waits for it.
            return


def _run(job: dict[str, Any], answer: socket.socket, work: ModuleType, template: int) -> None:
    """Do a job and end the process, whatever comes."""
    code = 1
    try:
        # The fork ends with its template, which ends with the service.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == template:
            log = os.open(Path(job["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            limits = Limits(**job["limits"])
            apply(limits)
            work.work(job["arguments"], Channel(answer, limits))
            code = 0
    finally:
        # No clean-up of what was copied from the template: its files and sockets are not this process's.
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
