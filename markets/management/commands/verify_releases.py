"""Check the chain of released runs: every link, and what each covers. Ends with 1 where something does not hold."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from markets.services.release_chain import release_faults, release_links


class Command(BaseCommand):
    help = "Check that the chain of released runs holds and that each release covers the statements stored now."

    def handle(self, *_args: Any, **_options: Any) -> None:
        faults = release_faults()
        if faults:
            raise CommandError("\n".join(faults))
        self.stdout.write(f"{len(release_links())} releases hold.")
