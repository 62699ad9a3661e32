"""Who made a bundle: an Ed25519 signature of its manifest, which holds the hash of everything else."""

import base64
import binascii
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from churnops.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE_FILE = "manifest.sig"


def sign(manifest: Path, key_file: Path) -> Path:
    """Write the signature of `manifest` beside it, with the private key in `key_file` (PEM, no password)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(str(key_file), [f"cannot be read: {error.strerror}"]) from error
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        made_by = "openssl genpkey -algorithm ed25519"
        raise ConfigError(
            str(key_file), [f"is no private Ed25519 key without a password, as `{made_by}` makes it"]
        )
    signature = manifest.with_name(SIGNATURE_FILE)
    signature.write_bytes(base64.b64encode(key.sign(manifest.read_bytes())) + b"\n")
    return signature


def read_public_key(pem: str) -> "Ed25519PublicKey":
    """The key; raises ValueError for text that is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with suppress(ValueError, UnsupportedAlgorithm):
        key = load_pem_public_key(pem.encode())
        if isinstance(key, Ed25519PublicKey):
            return key
    raise ValueError("is no Ed25519 public key in PEM, as `openssl pkey -pubout` writes it")


def check_signature(manifest: Path, content: bytes, public_key: str) -> None:
    """Raise BundleError unless the owner of `public_key` (PEM) signed `content`, which `manifest` held."""
    from cryptography.exceptions import InvalidSignature

    try:
        key = read_public_key(public_key)
    except ValueError as error:
        raise ConfigError("signed_by", [str(error)]) from None
    try:
        signature = base64.b64decode(manifest.with_name(SIGNATURE_FILE).read_bytes(), validate=False)
        key.verify(signature, content)
    except FileNotFoundError:
        raise BundleError(f"{manifest.parent}: is not signed; `churnops sign` signs it") from None
    except OSError as error:
        raise BundleError(f"{manifest.parent}: {SIGNATURE_FILE} cannot be read: {error.strerror}") from error
    except (InvalidSignature, binascii.Error):
        raise BundleError(f"{manifest.parent}: is not signed by whom this server trusts") from None
