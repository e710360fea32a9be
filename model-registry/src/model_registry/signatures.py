"""Which signatures of bundles the registry accepts, at an upload and at a deployment."""

from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Row

from contracts.bundle_signatures import BundleSignature
from contracts.bundle_signing import PublicKeys, is_signed, load_public_keys
from model_registry.errors import UnsignedVersionError, UnusableUploadError
from model_registry.settings import Settings


@dataclass(frozen=True)
class SignaturePolicy:
    """The trusted keys, by their ids, and whether a bundle must be signed by one of them."""

    keys: PublicKeys = field(default_factory=dict)
    is_required: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read the keys; raises `UnusableKeyError`."""
        keys = {} if settings.trusted_keys is None else load_public_keys(settings.trusted_keys)
        return cls(keys, settings.require_signature)

    def check_upload(self, model: str, sha256: str, signature: BundleSignature | None) -> None:
        """Raise `UnusableUploadError` for a wrong signature and, if one is required, for none by a trusted key.

        A signature by another key can't be verified, and is accepted if none is required.
        """
        problem = self._problem(model, sha256, signature)
        is_wrong = signature is not None and signature.key_id in self.keys
        if problem is not None and (is_wrong or self.is_required):
            raise UnusableUploadError(f"signature: {problem}")

    def check_deployable(self, version: Row[Any]) -> None:
        """Raise `UnsignedVersionError` if a signature is required, and the version has none by a key trusted now."""
        if not self.is_required:
            return
        problem = self._problem(version.model, version.sha256, signature_of(version))
        if problem is not None:
            raise UnsignedVersionError(
                f"signature: {version.model} {version.version}: {problem}; push the same bundle again, signed"
            )

    def replaces(self, version: Row[Any], signature: BundleSignature) -> bool:
        """Return whether a signature takes the place of the version's: none that is unverified replaces a verified."""
        model, sha256 = version.model, version.sha256
        return (
            self._problem(model, sha256, signature_of(version)) is not None
            or self._problem(model, sha256, signature) is None
        )

    def _problem(self, model: str, sha256: str, signature: BundleSignature | None) -> str | None:
        if signature is None:
            return "the bundle is not signed, and REQUIRE_SIGNATURE is set"
        if signature.key_id not in self.keys:
            return f"the key {signature.key_id} is not one of TRUSTED_KEYS"
        if not is_signed(self.keys, model, sha256, signature):
            return f"not that of the key {signature.key_id} over this archive and the name {model!r}"
        return None


# Without keys and without the duty to sign.
NOTHING_REQUIRED = SignaturePolicy()


def signature_of(version: Row[Any]) -> BundleSignature | None:
    """Return the signature that was pushed with a version, None if there is none."""
    if version.signature is None:
        return None
    return BundleSignature(version.signature_key_id, version.signature)
