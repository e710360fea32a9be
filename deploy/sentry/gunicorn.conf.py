"""The collector's web server; its address is on the command line."""

import ctypes
import os
import signal

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

_PR_SET_PDEATHSIG = 1  # prctl(2)

wsgi_app = "bugsink.wsgi"
# An event that is digested within the request is written to the database there.
workers = 1 if os.environ.get("COLLECTOR_EAGER") == "1" else 2
timeout = 60
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a heartbeat on disk would wait for the disk
loglevel = "warning"


def post_fork(server: Arbiter, worker: Worker) -> None:  # noqa: ARG001 - as gunicorn calls it
    """End a worker with its master: otherwise it would occupy the port of the next master for half a minute."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server.pid:
        os.kill(os.getpid(), signal.SIGKILL)
