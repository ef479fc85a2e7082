"""The key that signs evidence: read from where the settings say, made once where they say nothing."""

import contextlib
import os
from pathlib import Path

from django.conf import settings

from markets.files.pack import published_keys
from markets.files.signing import PublicKey, SigningKey, SigningKeyRefused, new_signing_key_pem, read_public_key
from markets.files.signing import read_signing_key as read_pem


def signing_key() -> SigningKey:
    """The key in force.

    Raises:
        SigningKeyRefused: the file that is named is not there, or holds no key.
    """
    path = Path(settings.SIGNING_KEY_FILE)
    if settings.SIGNING_KEY_IS_GENERATED and not path.is_file():
        with contextlib.suppress(FileExistsError):  # another process was first: its key stands
            write_new_key(path)
    if not path.is_file():
        raise SigningKeyRefused(f"SIGNING_KEY_FILE names {path}, which is not there")
    return read_pem(path.read_bytes())


def retired_keys() -> tuple[PublicKey, ...]:
    """Public keys that signed before, still published so that their packs can be verified."""
    return tuple(read_public_key(text) for text in settings.SIGNING_RETIRED_KEYS)


def key_set() -> bytes:
    """What is published of the keys."""
    return published_keys(signing_key().public, retired_keys())


def write_new_key(path: Path) -> None:
    """Make a key in a new file that only its owner can read.

    Raises:
        FileExistsError: there is a file already; a key is never written over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        draft.write_bytes(new_signing_key_pem())
        path.hardlink_to(draft)
    finally:
        draft.unlink()
