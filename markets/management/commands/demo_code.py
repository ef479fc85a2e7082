"""`manage.py demo_code`: what a demo person's authenticator would show, for who has no such app at hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from markets.management.commands.seed_demo import log_ins_path
from markets.services.demo_people import demo_code


class Command(BaseCommand):
    help = "Print the code a demo person logs in with now; for the names in var/demo-logins.txt only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="user name, as amber.operator")

    def handle(self, *_args: Any, name: str, **_options: Any) -> None:
        code, seconds = demo_code(name=name, path=log_ins_path(), now=timezone.now())
        self.stdout.write(f"{code} (for {seconds} s)")
