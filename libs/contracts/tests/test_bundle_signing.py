"""Keys in PEM files, and what they sign."""

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from contracts.bundle_signatures import BundleSignature
from contracts.bundle_signing import UnusableKeyError, is_signed, load_public_keys, load_signer

SHA256 = "ab" * 32
RSA = generate_private_key(65537, 2048)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_documented_bytes_are_signed_by_the_key_of_the_documented_id(tmp_path: Path) -> None:
    signature = load_signer(_file(tmp_path / "key.pem", PRIVATE))("ranker", SHA256)
    KEY.public_key().verify(base64.b64decode(signature.signature), f"recsys-bundle-v1\nranker\n{SHA256}\n".encode())
    assert signature.key_id == hashlib.sha256(KEY.public_key().public_bytes_raw()).hexdigest()[:16]
    assert BundleSignature.from_header(signature.to_header()) == signature


@pytest.mark.parametrize(
    ("model", "sha256", "expected"),
    [
        ("ranker", SHA256, True),
        ("ranker", SHA256.upper(), True),
        ("other", SHA256, False),
        ("ranker", "cd" * 32, False),
    ],
)
def test_a_signature_holds_for_one_archive_under_one_name(
    tmp_path: Path, model: str, sha256: str, expected: bool
) -> None:
    keys = load_public_keys(_file(tmp_path / "public.pem", PUBLIC))
    signature = load_signer(_file(tmp_path / "key.pem", PRIVATE))("ranker", SHA256)
    assert is_signed(keys, model, sha256, signature) is expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "not an Ed25519 key"),
        (KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")), "encrypted"),
        (PUBLIC, "no private key in PEM"),
        (b"\xff\x00", "no private key in PEM"),
        (b"", "no private key in PEM"),
    ],
    ids=["rsa", "encrypted", "public", "binary", "empty"],
)
def test_a_key_that_cannot_sign_is_rejected_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = _file(tmp_path / "key.pem", content)
    with pytest.raises(UnusableKeyError, match=reason) as caught:
        load_signer(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "another kind"),
        (PRIVATE + PUBLIC, "a private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "can't be read"),
        (b"", "no public key"),
    ],
    ids=["rsa", "private", "damaged", "empty"],
)
def test_a_file_of_another_content_is_no_trusted_key(tmp_path: Path, content: bytes, reason: str) -> None:
    _file(tmp_path / "good.pem", PUBLIC)
    _file(tmp_path / "key.pem", content)
    with pytest.raises(UnusableKeyError, match=reason):
        load_public_keys(tmp_path)


def test_trusted_keys_are_those_of_a_folder_or_of_one_file(tmp_path: Path) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    second = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    folder = tmp_path / "keys"
    folder.mkdir()
    with pytest.raises(UnusableKeyError, match="no file"):
        load_public_keys(folder)
    _file(folder / "1.pem", PUBLIC)
    _file(folder / "2.pem", second)
    _file(folder / "README", b"not a key")
    keys = load_public_keys(folder)
    assert len(keys) == 2
    assert load_public_keys(_file(tmp_path / "both.pem", PUBLIC + second)).keys() == keys.keys()
    for load in (load_public_keys, load_signer):
        with pytest.raises(UnusableKeyError, match="No such file"):
            load(tmp_path / "absent.pem")
