"""Make a key that signs evidence packs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from markets.files.signing import read_signing_key
from markets.services.signing import write_new_key


class Command(BaseCommand):
    help = "Make an Ed25519 key for evidence packs in FILE, which must not exist; its public half is printed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            write_new_key(path)
        except FileExistsError:
            raise CommandError(f"{path} is there already; a key is never written over") from None
        public = read_signing_key(path.read_bytes()).public
        self.stdout.write(f"key {public.key_id}, public half {public.text}\nName the file in SIGNING_KEY_FILE.")
