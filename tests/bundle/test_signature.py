"""A bundle that must be signed is loaded only when it is, by the right hand."""

from pathlib import Path

import pytest
from builders import rewrite_manifest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from churnops.bundle.bundle import MANIFEST_FILE, read_bundle, write_bundle
from churnops.bundle.signature import SIGNATURE_FILE, sign
from churnops.errors import BundleError, ConfigError


def _private(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


OURS, THEIRS = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    return write_bundle(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(_private(OURS))
    return path


def test_a_signed_bundle_is_loaded(folder, key_file, tiny_bundle):
    sign(folder / MANIFEST_FILE, key_file)
    assert read_bundle(folder, signed_by=_public(OURS)) == tiny_bundle
    assert read_bundle(folder) == tiny_bundle


def test_another_hand_is_not_trusted(folder, key_file):
    sign(folder / MANIFEST_FILE, key_file)
    with pytest.raises(BundleError, match="trusts"):
        read_bundle(folder, signed_by=_public(THEIRS))


@pytest.mark.parametrize("signature", [b"", b"AAAA", b"not base64 !", b"A", b"\xff" * 64])
def test_what_is_no_signature_is_refused(folder, signature):
    (folder / SIGNATURE_FILE).write_bytes(signature)
    with pytest.raises(BundleError, match="trusts"):
        read_bundle(folder, signed_by=_public(OURS))


def test_an_unsigned_bundle_is_refused(folder):
    with pytest.raises(BundleError, match="is not signed; `churnops sign`"):
        read_bundle(folder, signed_by=_public(OURS))


def test_a_signature_is_of_one_bundle(folder, key_file):
    sign(folder / MANIFEST_FILE, key_file)
    manifest = folder / MANIFEST_FILE
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(BundleError, match="trusts"):
        read_bundle(folder, signed_by=_public(OURS))


def test_a_signature_that_cannot_be_read_is_named(folder):
    (folder / SIGNATURE_FILE).mkdir()
    with pytest.raises(BundleError, match=r"manifest\.sig cannot be read: Is a directory"):
        read_bundle(folder, signed_by=_public(OURS))


def test_a_manifest_that_is_replaced_after_its_signature_was_checked_is_not_read(
    folder, key_file, tiny_bundle, monkeypatch
):
    sign(folder / MANIFEST_FILE, key_file)
    read = Path.read_bytes

    def then_replaced(path):
        content = read(path)
        if path.name == MANIFEST_FILE:
            rewrite_manifest(folder, threshold=0.125)
        return content

    monkeypatch.setattr(Path, "read_bytes", then_replaced)
    assert read_bundle(folder, signed_by=_public(OURS)) == tiny_bundle


@pytest.mark.parametrize("content", [b"", b"secret", _private(ec.generate_private_key(ec.SECP256R1()))])
def test_a_key_that_cannot_sign_is_named(folder, tmp_path, content):
    path = tmp_path / "other.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="openssl genpkey"):
        sign(folder / MANIFEST_FILE, path)
    with pytest.raises(ConfigError, match="signed_by"):
        read_bundle(folder, signed_by="no key")
