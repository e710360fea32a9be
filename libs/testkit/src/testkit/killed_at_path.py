"""`python -m testkit.killed_at_path TEXT MODULE …`: run a module, and kill it when it reaches a path.

The process gets SIGKILL when it opens, creates or renames a file or folder whose path contains TEXT; `$` is the path's
end.
"""

import os
import runpy
import signal
import sys
from typing import Any

_EVENTS = {"open", "os.rename", "os.mkdir"}


def main() -> None:
    """Run the module as a program of its own."""
    _, text, module, *arguments = sys.argv

    def kill(event: str, values: tuple[Any, ...]) -> None:
        if event in _EVENTS and any(text in f"{value}$" for value in values[:2]):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
