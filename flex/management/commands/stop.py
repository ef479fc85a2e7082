"""`manage.py stop`: end what `make run` leaves running."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from flex import postgres, serve_lock


class Command(BaseCommand):
    help = "Stop the site served from this folder and its embedded PostgreSQL."
    requires_system_checks = []  # it must work whatever the settings are

    def handle(self, *_args: Any, **_options: Any) -> None:
        was_served = serve_lock.stop_server(settings.VAR_DIR / "serve.pid")
        was_running = postgres.stop()
        self.stdout.write(f"the site: {'stopped' if was_served else 'was not served'}")
        self.stdout.write(f"embedded PostgreSQL: {'stopped' if was_running else 'was not running'}")
