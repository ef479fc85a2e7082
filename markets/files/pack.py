"""An evidence pack: files in one zip, a manifest of their digests, and a signature over the manifest.

Equal files and key give equal bytes: names are sorted and every time in the zip is the first a zip can tell. A file
that may be withheld is in the manifest either way, so one signature serves who gets it and who does not.
"""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markets.files.signing import PublicKey, SigningKey
from markets.files.verify import FORMAT, MANIFEST, SIGNATURE

MEDIA_TYPE = "application/zip"
VERIFIER, KEYS, README = "verify.py", "keys.json", "README.txt"
FIRST_TIME = (1980, 1, 1, 0, 0, 0)
READ_ME = """Evidence for one statement of settlement.

Verify it with Python 3.9 or later, which is all that is needed:

    python3 verify.py THIS.zip --key KEYS.json

KEYS.json is published by the operator of the platform at /.well-known/headroom-signing-keys.json. verify.py is in this
pack for convenience; take it from a source you trust if you do not trust the pack. manifest.json lists every file with
its SHA-256, manifest.sig signs the manifest. A file listed there and absent here was withheld from this reader.
docs/formats.md of the platform says what each file holds.
"""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """One file of a pack."""

    content: bytes
    said: str
    may_be_withheld: bool = False


def json_bytes(value: Any) -> bytes:
    """JSON with sorted keys, one spelling for one value."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def build_pack(
    enclosures: Mapping[str, Enclosure],
    *,
    facts: Mapping[str, Any],
    key: SigningKey,
    retired: tuple[PublicKey, ...] = (),
    withhold: frozenset[str] = frozenset(),
) -> bytes:
    """Sign and zip.

    Args:
        facts: what the manifest states beside its files.
        retired: keys that signed before, published still.
        withhold: names to leave out of the zip, of those that may be.
    """
    whole = {
        **enclosures,
        VERIFIER: Enclosure(Path(__file__).with_name("verify.py").read_bytes(), "checks this pack, needs Python alone"),
        KEYS: Enclosure(published_keys(key.public, retired), "public keys as published"),
        README: Enclosure(READ_ME.encode(), "how to verify this pack"),
    }
    manifest = json_bytes(
        {
            **facts,
            "format": FORMAT,
            "key_id": key.public.key_id,
            "files": {
                name: {
                    "sha256": hashlib.sha256(one.content).hexdigest(),
                    "size": len(one.content),
                    "said": one.said,
                    "may_be_withheld": one.may_be_withheld,
                }
                for name, one in whole.items()
            },
        }
    )
    sent = {name: one.content for name, one in whole.items() if not (one.may_be_withheld and name in withhold)}
    return zipped({**sent, MANIFEST: manifest, SIGNATURE: signature_bytes(manifest, key)})


def signature_bytes(manifest: bytes, key: SigningKey) -> bytes:
    """The detached signature: which key, and 64 bytes in base64 for addresses."""
    signature = base64.urlsafe_b64encode(key.sign(manifest)).rstrip(b"=").decode()
    return json_bytes({"algorithm": "Ed25519", "key_id": key.public.key_id, "signature": signature})


def published_keys(current: PublicKey, retired: tuple[PublicKey, ...]) -> bytes:
    """The public keys as they stand at /.well-known/headroom-signing-keys.json: a JSON Web Key set."""
    older = [one.as_jwk(is_current=False) for one in retired if one != current]
    return json_bytes({"keys": [current.as_jwk(is_current=True), *older]})


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Zip files by name."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, FIRST_TIME)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, files[name])
    return target.getvalue()
