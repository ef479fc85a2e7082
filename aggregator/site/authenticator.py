"""What an authenticator app needs to be set up: a picture to scan, or a secret to type."""

from base64 import b32encode
from binascii import unhexlify
from itertools import groupby

import segno
from django.contrib.auth.models import User
from django_otp.plugins.otp_totp.models import TOTPDevice

QUIET = 4  # modules of empty border that readers need


def authenticator_setup(user: User, secret: str) -> dict[str, object]:
    """A QR code as one SVG path (a template draws it without style attributes), its size, and the secret in fours."""
    code = segno.make(TOTPDevice(user=user, key=secret).config_url, error="m", micro=False)
    text = b32encode(unhexlify(secret)).decode()
    return {
        "path": _path(code.matrix),
        "size": len(code.matrix) + 2 * QUIET,
        "secret": [text[start : start + 4] for start in range(0, len(text), 4)],
    }


def _path(matrix: tuple[bytearray, ...]) -> str:
    """Dark modules as horizontal runs."""
    steps = []
    for row, modules in enumerate(matrix):
        column = 0
        for is_dark, run in groupby(modules):
            width = len(list(run))
            if is_dark:
                steps.append(f"M{column + QUIET} {row + QUIET}h{width}v1h-{width}z")
            column += width
    return "".join(steps)
