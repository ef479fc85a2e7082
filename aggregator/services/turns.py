"""Turns: work that two processes could start at once is stored by one after the other."""

import hashlib

from django.db import connection


def take_turn(*work: object) -> None:
    """Wait until no other transaction has this turn and keep it to the end of this one; look again what is stored.

    Args:
        work: what names the work: a word and the keys of what it is done for.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [turn_key(*work)])


def turn_key(*work: object) -> int:
    """The server's number of a turn, the same for the same work."""
    name = "|".join(str(part) for part in work)
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
