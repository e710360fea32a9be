"""The command line of the one-shot containers: `python -m provisioning --help`."""

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path

from provisioning import environment_file, pages
from provisioning.containers import Containers
from provisioning.demo import why_no_demo
from provisioning.generated import simulates_email, simulates_weixin

_PROGRAMS = Path("/programs")


def main() -> int:
    """Run one command; return the exit code: 1 for a failure, 2 for unusable settings, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="provisioning", description="Prepares the containers of a stack.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, command, text in (
        ("setup", _setup, "generate missing secrets and write each program's settings"),
        (
            "simulate-weixin",
            _simulate_weixin,
            "connect notification-gateway to the simulator of WeChat Work and mail, unless you have set your own",
        ),
        ("demo", _demo, "make the stack the demo, unless DEMO=0 or a setting of your own prevents it"),
        ("env", _env, "print the addresses, as seen from the host, and the secrets"),
        ("pages", _pages, "print the addresses of the pages"),
        ("first-model", _first_model, "train and deploy a model through Airflow, unless one is in service"),
    ):
        commands.add_parser(name, help=text).set_defaults(command=command)
    given = parser.parse_args()
    try:
        return int(given.command())
    except KeyError as error:
        return _fail(f"{error.args[0]} is not set", 2)
    except environment_file.UnreadableFileError as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"provisioning: {text}\n")
    return code


def _setup() -> int:
    Containers(_PROGRAMS, os.environ).set_up()
    return 0


def _simulate_weixin() -> int:
    containers = Containers(_PROGRAMS, os.environ)
    if simulates_weixin(os.environ):
        containers.simulate_weixin()
    if simulates_email(os.environ):
        containers.simulate_email()
    return 0


def _demo() -> int:
    reason = why_no_demo(os.environ)
    Containers(_PROGRAMS, os.environ).mark_demo(reason)
    if reason is None:
        return _simulate_weixin()
    _say(f"no demo data, training or simulator, because {reason}")
    return 0


def _env() -> int:
    _say(environment_file.render(Containers(_PROGRAMS, os.environ).seen_from_host()))
    return 0


def _pages() -> int:
    _say(pages.table(Containers(_PROGRAMS, os.environ).pages()))
    return 0


def _first_model() -> int:
    # Imported here: the image of the other commands only has the standard library.
    from provisioning import first_model

    registry_url, airflow_url = os.environ["REGISTRY_URL"], os.environ["AIRFLOW_URL"]
    try:
        if first_model.has_active_model(registry_url, os.environ.get("REGISTRY_CI_TOKEN", "")):
            return 0
        with closing(first_model.AirflowClient(airflow_url)) as airflow:
            airflow.train(_say)
    except first_model.TrainingFailedError as error:
        return _fail(str(error), 1)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
