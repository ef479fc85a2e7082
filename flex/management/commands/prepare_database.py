"""Make the database where it is missing, then migrate it as its owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg.conninfo
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from psycopg import sql

from aggregator.roles import ensure_app_role


class Command(BaseCommand):
    help = "Make the database and the application's role if they are missing, and apply every migration as the owner."

    def handle(self, *_args: Any, **options: Any) -> None:
        with self.alone() as session:
            self.create_database(session)
            call_command("migrate", interactive=False, verbosity=max(0, int(options["verbosity"]) - 1))
            with connection.cursor() as cursor:  # a new SECRET_KEY is a new password of the application's role
                ensure_app_role(cursor, settings.DATABASE_APP_ROLE, settings.DATABASE_APP_PASSWORD)
        self.stdout.write(f"database {connection.settings_dict['NAME']} is ready")

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection]:
        """Log in beside the database and wait there until nobody else prepares it: two migrations at once collide."""
        maintenance = {**connection.get_connection_params(), "dbname": "postgres"}
        try:
            session = psycopg.connect(psycopg.conninfo.make_conninfo("", **_login(maintenance)), autocommit=True)
        except psycopg.OperationalError as error:
            raise CommandError(
                f"cannot log in to the server of DATABASE_URL: {' '.join(str(error).split())}"
            ) from error
        with session:
            session.execute(
                "SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"prepare {settings.DATABASE_OWNER['NAME']}"]
            )
            yield session

    def create_database(self, session: psycopg.Connection) -> None:
        name = settings.DATABASE_OWNER["NAME"]
        known = session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if known is None:
            session.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
            )
            self.stdout.write(f"made database {name}")


def _login(parameters: dict[str, Any]) -> dict[str, Any]:
    """What libpq understands of Django's connection parameters."""
    return {key: value for key, value in parameters.items() if isinstance(value, str | int) and value != ""}
