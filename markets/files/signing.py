"""Ed25519 signatures over evidence: keys as PEM, names of keys, and their public halves as published."""

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aggregator.core.errors import FlexError

PUBLIC_BYTES = 32


class SigningKeyRefused(FlexError):
    code = "evidence.signing_key_refused"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key; its id is the beginning of its SHA-256, so that nobody has to hand out numbers."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_BYTES:
            raise SigningKeyRefused(f"a public key has {PUBLIC_BYTES} bytes, found {len(self.raw)}")

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Base64 for addresses, without padding, as JSON Web Keys have it."""
        return base64.urlsafe_b64encode(self.raw).rstrip(b"=").decode()

    def as_jwk(self, *, is_current: bool) -> dict[str, str]:
        """The key as RFC 8037 writes it."""
        status = "current" if is_current else "retired"
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.key_id, "x": self.text,
                "status": status}  # fmt: skip


class SigningKey:
    """A private key; only its signatures leave it."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> PublicKey:
        return PublicKey(self._private.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """64 bytes; the same data and key give the same."""
        return self._private.sign(data)


def read_signing_key(pem: bytes) -> SigningKey:
    """Read a private key in PKCS#8 PEM, without a password.

    Raises:
        SigningKeyRefused: it is none, or none of Ed25519.
    """
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyRefused("the signing key is no private key in PEM without a password") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SigningKeyRefused("the signing key is not of Ed25519")
    return SigningKey(private)


def new_signing_key_pem() -> bytes:
    """A new private key in PKCS#8 PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_public_key(text: str) -> PublicKey:
    """Read a public key as ``PublicKey.text`` writes it.

    Raises:
        SigningKeyRefused: other text.
    """
    try:
        return PublicKey(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except ValueError as error:
        raise SigningKeyRefused(f"a public key is 32 bytes in base64 for addresses, found {text[:60]!r}") from error
