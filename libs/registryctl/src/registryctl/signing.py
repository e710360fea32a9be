"""`--sign`: the key by which a bundle is signed before it is pushed."""

import argparse
from pathlib import Path

from contracts.bundle_signatures import Signer
from contracts.command_line import USAGE, CommandError


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument("--sign", type=Path, metavar="KEYFILE", help="sign it by this Ed25519 private key, a PEM file")


def signer_of(given: argparse.Namespace) -> Signer | None:
    """Return what signs, None without `--sign`; raises `CommandError`."""
    if given.sign is None:
        return None
    try:
        from contracts.bundle_signing import UnusableKeyError, load_signer
    except ModuleNotFoundError as error:
        raise CommandError(
            USAGE, "--sign needs the package cryptography: install registryctl with its extra `sign`"
        ) from error
    try:
        return load_signer(given.sign)
    except UnusableKeyError as error:
        raise CommandError(USAGE, f"--sign: {error}") from error
