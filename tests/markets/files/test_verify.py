"""The verifier's own Ed25519 against RFC 8032's vectors and against the library's."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.files.signing import SigningKeyRefused, new_signing_key_pem, read_public_key, read_signing_key
from markets.files.verify import ORDER, is_signed

# RFC 8032, section 7.1: tests 1 to 3.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


class TestIsSigned:
    @pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
    def test_knows_the_published_vectors(self, public, message, signature):
        parts = [bytes.fromhex(part) for part in (public, message, signature)]

        assert is_signed(*parts)
        for at, part in enumerate(parts):
            for byte in range(len(part)):
                wrong = part[:byte] + bytes([part[byte] ^ 4]) + part[byte + 1 :]
                assert not is_signed(*parts[:at], wrong, *parts[at + 1 :])

    @settings(max_examples=30)
    @given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200))
    def test_agrees_with_the_library(self, seed, message):
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = key.public_key().public_bytes_raw()

        assert is_signed(public, message, key.sign(message))
        assert not is_signed(public, message + b"x", key.sign(message))

    def test_takes_one_spelling_of_a_signature_alone(self):
        key = Ed25519PrivateKey.generate()
        public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
        added = (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")

        assert not is_signed(public, b"m", signature[:32] + added)
        assert not is_signed(public, b"m", signature + b"\0")
        assert not is_signed(public[:31], b"m", signature)
        assert not is_signed(b"\xff" * 32, b"m", signature)


class TestReadSigningKey:
    @pytest.mark.parametrize("wrong", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
    def test_refuses_what_is_no_key(self, wrong):
        with pytest.raises(SigningKeyRefused):
            read_signing_key(wrong)

    def test_reads_what_was_made_and_its_public_half(self):
        key = read_signing_key(new_signing_key_pem())

        assert read_public_key(key.public.text) == key.public
        assert is_signed(key.public.raw, b"m", key.sign(b"m"))

    @pytest.mark.parametrize("wrong", ["", "AAAA", "ä", "7f" * 31])
    def test_refuses_what_is_no_public_key(self, wrong):
        with pytest.raises(SigningKeyRefused):
            read_public_key(wrong)
