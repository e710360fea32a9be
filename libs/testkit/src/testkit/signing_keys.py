"""An Ed25519 key pair in files, to sign bundles with."""

from pathlib import Path
from typing import NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from contracts.bundle_signing import BundleSigner, load_signer


class SigningKey(NamedTuple):
    """A key with its two files."""

    private: Path
    public: Path
    sign: BundleSigner

    @classmethod
    def new(cls, folder: Path) -> Self:
        """Make a key in a new folder."""
        key = Ed25519PrivateKey.generate()
        folder.mkdir()
        private, public = folder / "key.pem", folder / "public.pem"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return cls(private, public, load_signer(private))

    @property
    def key_id(self) -> str:
        """The id that signatures name."""
        return self.sign.key_id
