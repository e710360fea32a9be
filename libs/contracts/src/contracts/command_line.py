"""What the command-line tools have in common: exit codes, output that survives any terminal, no traceback."""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
# EX_SOFTWARE of sysexits.h, and 128 + SIGINT as shells say it.
FAULT, INTERRUPTED = 70, 130
EXIT_CODES = frozenset({OK, REFUSED, USAGE, UNREACHABLE, FAULT, INTERRUPTED})
# Shorter ones would blacken ordinary words.
_MIN_SECRET = 6
_PLACES = 4


class CommandError(Exception):
    """A command didn't do what was asked; `code` is the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Commands:
    """The commands of a parser; each takes `--json` after its name, too."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._commands = parser.add_subparsers(required=True, metavar="command")

    def add(self, name: str, run: Callable[..., object], text: str) -> argparse.ArgumentParser:
        """Add a command; `run` is what the parsed arguments have as `run`."""
        added = self._commands.add_parser(name, help=text)
        added.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the answer as JSON")
        added.set_defaults(run=run)
        return added

    def group(self, name: str, text: str) -> "Commands":
        """Add a command that has commands of its own."""
        return Commands(self._commands.add_parser(name, help=text))


def run_command(program: str, command: Callable[[], int]) -> int:
    """Run a tool's command and return its exit code; whatever it raises becomes one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal can't show is better escaped than fatal.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return command()
    except CommandError as error:
        complain(program, str(error))
        return error.code
    except KeyboardInterrupt:
        complain(program, "interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary of the process: an unexpected error is one line
        # Without its message: that may quote a token.
        complain(program, f"unexpected {type(error).__name__} at {_places(error.__traceback__)}; please report this")
        return FAULT
    finally:
        _flush(sys.stdout)


def say(text: str) -> None:
    """Print a result; a reader that has gone (`| head -1`) is no error."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        raise CommandError(FAULT, f"the output can't be written: {error.strerror}") from error


def complain(program: str, text: str) -> None:
    """Print what went wrong on stderr; what can't be printed is lost."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{program}: {text}\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def printable(text: str, *secrets: str) -> str:
    """Return foreign text as a terminal may show it: control characters escaped, `secrets` taken out."""
    for secret in secrets:
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, "[redacted]")
    return "".join(each if each.isprintable() or each == "\n" else f"\\x{ord(each):02x}" for each in text)


def _places(at: TracebackType | None) -> str:
    frames = traceback.extract_tb(at)[-_PLACES:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} ({frame.name})" for frame in reversed(frames))


def _flush(stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, or the interpreter complains when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
