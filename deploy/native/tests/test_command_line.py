"""The commands of the Makefile, as `python -m native` reads them."""

import re
from pathlib import Path

import pytest

from native.__main__ import command_line

MAKEFILE = Path(__file__).parents[2] / "native.mk"
# The values of variables that a rule passes on only if they are given.
GIVEN = {"ONLY": "redis.connection_failed", "DIR": "data", "APPLY": "1"}


def commands() -> list[str]:
    """Return the calls in the Makefile, each with all its optional parts."""
    found = re.findall(r"\$\(NATIVE\) (.+)", MAKEFILE.read_text(encoding="utf-8"))
    with_optional = (re.sub(r"\$\(if \$\((\w+)\),(.*)\)$", r"\2", line) for line in found)
    return [re.sub(r"\$\((\w+)\)", lambda name: GIVEN.get(name[1], "x"), line) for line in with_optional]


@pytest.mark.parametrize("command", commands())
def test_each_command_of_the_makefile_can_be_parsed(command: str) -> None:
    given = command_line().parse_args(command.split())
    assert callable(given.command)
    assert "--only" not in command or given.only == GIVEN["ONLY"]
