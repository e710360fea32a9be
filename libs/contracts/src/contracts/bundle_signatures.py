"""The signature of a bundle: what is signed, and how it travels beside an upload.

An Ed25519 key signs the SHA-256 of the archive together with the model's name, so that a signed bundle cannot be pushed
as another model. `contracts.bundle_signing` makes and verifies signatures; it needs the package `cryptography`.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple, Self

# A registry of an earlier release ignores it.
HEADER = "X-Bundle-Signature"
# Key id and signature. 64 bytes are 86 characters of base64, and their padding.
HEADER_PATTERN = "^[0-9a-f]{16}:[A-Za-z0-9+/]{86}==$"
_DOMAIN = "recsys-bundle-v1"
_KEY_ID_LENGTH = 16


class BundleSignature(NamedTuple):
    """A signature in base64, and the id of the key that made it."""

    key_id: str
    signature: str

    @classmethod
    def from_header(cls, value: str) -> Self:
        """Return what a header of the form `HEADER_PATTERN` holds."""
        key_id, _, signature = value.partition(":")
        return cls(key_id, signature)

    def to_header(self) -> str:
        """Return the value of the header."""
        return f"{self.key_id}:{self.signature}"


# Gives the signature for a model's name and the SHA-256 of an archive; None: it has none.
Signer = Callable[[str, str], BundleSignature | None]


def signed_bytes(model: str, sha256: str) -> bytes:
    """Return the bytes that are signed: three lines, of which the last is the SHA-256 in small hexadecimal digits."""
    return f"{_DOMAIN}\n{model}\n{sha256.lower()}\n".encode()


def key_id_of(raw_public_key: bytes) -> str:
    """Return the id of a key, from the 32 bytes of its public half."""
    return hashlib.sha256(raw_public_key).hexdigest()[:_KEY_ID_LENGTH]
