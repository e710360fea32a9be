"""How fast the machine is: the CPU time of a fixed piece of work, again and again."""

import threading

from testkit.fixed_work import fixed_work

_EVERY_SECONDS = 1.0


class Yardstick:
    """Does the work once a second in a thread of its own, from `start` to `stop`."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yardstick", daemon=True)
        self._done = (0, 0.0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the piece of work that is under way."""
        self._stopped.set()
        self._thread.join()

    def counts(self) -> dict[str, float]:
        """Return how often the work was done, and its CPU time in all (s)."""
        done, seconds = self._done
        return {"done": done, "cpu": seconds}

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            done, seconds = self._done
            self._done = (done + 1, seconds + fixed_work())
