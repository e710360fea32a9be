"""Ed25519 keys in PEM files: signing bundles, and verifying their signatures. Needs the package `cryptography`."""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from contracts.bundle_signatures import BundleSignature, key_id_of, signed_bytes

PublicKeys = Mapping[str, Ed25519PublicKey]
_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_HOW = "`openssl genpkey -algorithm ed25519` makes one"


class UnusableKeyError(ValueError):
    """A key file can't be used, for the reason in the message, which never shows its content: correct the file."""


class BundleSigner:
    """Signs bundles by a private key; it is a `Signer`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id_of(key.public_key().public_bytes_raw())

    def __call__(self, model: str, sha256: str) -> BundleSignature:
        """Return the signature of an archive under a model's name."""
        signature = self._key.sign(signed_bytes(model, sha256))
        return BundleSignature(self.key_id, base64.b64encode(signature).decode())


def load_signer(path: Path) -> BundleSigner:
    """Read an unencrypted private key from a PEM file; raises `UnusableKeyError`."""
    content = _read(path)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:
        raise UnusableKeyError(f"{path}: the key is encrypted, and there is nobody to ask for its password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError(f"{path}: no private key in PEM; {_HOW}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKeyError(f"{path}: not an Ed25519 key, but of another kind; {_HOW}")
    return BundleSigner(key)


def load_public_keys(path: Path) -> PublicKeys:
    """Read the public keys of a PEM file, or of all files `*.pem` in a folder, by their ids.

    Raises `UnusableKeyError`, also for a file without a public key and for a folder without files.
    """
    try:
        files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    except OSError as error:
        raise UnusableKeyError(f"{path}: {error.strerror}") from error
    if not files:
        raise UnusableKeyError(f"{path}: there is no file *.pem in this folder")
    keys = [key for file in files for key in _public_keys(file)]
    return {key_id_of(key.public_bytes_raw()): key for key in keys}


def is_signed(keys: PublicKeys, model: str, sha256: str, signature: BundleSignature) -> bool:
    """Return whether a signature is that of its key, which is one of `keys`, over the archive under this name."""
    try:
        decoded = base64.b64decode(signature.signature, validate=True)
        keys[signature.key_id].verify(decoded, signed_bytes(model, sha256))
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _public_keys(file: Path) -> list[Ed25519PublicKey]:
    content = _read(file)
    if b"PRIVATE KEY" in content:
        raise UnusableKeyError(f"{file}: a private key; whoever verifies needs the public one (`openssl pkey -pubout`)")
    blocks = _PUBLIC_KEY.findall(content)
    if not blocks:
        raise UnusableKeyError(f"{file}: no public key in PEM")
    return [_public_key(file, block) for block in blocks]


def _public_key(file: Path, block: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError(f"{file}: a public key that can't be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UnusableKeyError(f"{file}: a public key of another kind than Ed25519")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise UnusableKeyError(f"{path}: {reason}") from error
