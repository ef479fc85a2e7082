"""`manage.py give_role`: make a person act for an organisation, as the first admin of a new one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.core.permissions import Role
from aggregator.management.importing import batch_organisation
from aggregator.services.people import give_role


class Command(BaseCommand):
    help = "Give a person a role at an organisation, or another one than they have."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("organisation", help="code of the organisation")
        parser.add_argument("role", choices=[role.value for role in Role])

    def handle(self, *_args: Any, username: str, organisation: str, role: str, **_options: Any) -> None:
        found = batch_organisation(organisation)
        given = give_role(username=username, organisation=found, role=role, manager=None, now=timezone.now())
        self.stdout.write(f"{username} is {given.get_role_display()} of {found.code} now.")
