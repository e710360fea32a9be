"""`python -m provisioning.compose_backup`: back up and restore a stack in containers, from the host."""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from provisioning import environment_file
from provisioning.backup import BackupError, Stores, back_up, restore
from provisioning.variables import DATABASE_USER

_CHECKOUT = Path(__file__).parents[4]
_RUN = ["docker", "compose", "run", "--rm", "--no-deps", "-T", "--entrypoint"]
_SETTINGS = "/programs/setup/env"


def compose_stores() -> Stores:
    """Return the stores of the checkout's containers; PostgreSQL's must run."""

    def postgres(program: str) -> list[str]:
        # By the socket inside of the container, which needs no password.
        return ["docker", "compose", "exec", "-T", "postgres", program, "--username", DATABASE_USER]

    made: Stores

    def read_settings() -> dict[str, str]:
        read = f"if [ -e {_SETTINGS} ]; then exec cat {_SETTINGS}; fi"
        return environment_file.parse(made.run([*_RUN, "sh", "setup", "-c", read]))

    def write_settings(settings: Mapping[str, str]) -> None:
        keep = f"umask 077 && cat >{_SETTINGS}.new && mv {_SETTINGS}.new {_SETTINGS}"
        restored = {**read_settings(), **settings}
        made.run([*_RUN, "sh", "setup", "-c", keep], given=environment_file.render(restored))

    made = Stores(
        postgres,
        [*_RUN, "sh", "model-registry", "-c", 'cd "$0" && eval "$1"', "/var/lib/artifacts"],
        read_settings,
        write_settings,
        _CHECKOUT / "deploy" / "alerts.yaml",
    )
    return made


def main() -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="compose_backup", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    commands.add_parser("backup", help="make a backup below a folder").add_argument("folder", type=Path)
    commands.add_parser("restore", help="replace the data by that of a backup").add_argument("folder", type=Path)
    given = parser.parse_args()
    try:
        if given.command == "backup":
            sys.stdout.write(f"{back_up(compose_stores(), given.folder, datetime.now(UTC))}\n")
        else:
            restore(compose_stores(), given.folder)
    except (BackupError, environment_file.UnreadableFileError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
