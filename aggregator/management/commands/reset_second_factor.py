"""`manage.py reset_second_factor`: for who lost both authenticator and recovery codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.services.people import find_person
from aggregator.services.second_factor import reset_second_factor


class Command(BaseCommand):
    help = "Forget a person's second factor: their sessions end, and the next log-in sets up a new one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *_args: Any, username: str, **_options: Any) -> None:
        had_any = reset_second_factor(user=find_person(username), now=timezone.now())
        self.stdout.write(
            f"{username} sets up a new second factor at the next log-in."
            if had_any
            else f"{username} has no second factor."
        )
