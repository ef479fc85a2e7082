"""Make the database where it is missing, then migrate it as its owner."""

from typing import Any

import psycopg.conninfo
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from psycopg import sql

from aggregator.roles import ensure_app_role


class Command(BaseCommand):
    help = "Make the database and the application's role if they are missing, and apply every migration as the owner."

    def handle(self, *_args: Any, **options: Any) -> None:
        if settings.DATABASE_URL:
            self.create_database()
        call_command("migrate", interactive=False, verbosity=max(0, int(options["verbosity"]) - 1))
        with connection.cursor() as cursor:  # a new SECRET_KEY is a new password of the application's role
            ensure_app_role(cursor, settings.DATABASE_APP_ROLE, settings.DATABASE_APP_PASSWORD)
        self.stdout.write(f"database {connection.settings_dict['NAME']} is ready")

    def create_database(self) -> None:
        name = settings.DATABASE_OWNER["NAME"]
        maintenance = {**connection.get_connection_params(), "dbname": "postgres"}
        with psycopg.connect(psycopg.conninfo.make_conninfo("", **_login(maintenance)), autocommit=True) as session:
            known = session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                session.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
                )
                self.stdout.write(f"made database {name}")


def _login(parameters: dict[str, Any]) -> dict[str, Any]:
    """What libpq understands of Django's connection parameters."""
    return {key: value for key, value in parameters.items() if isinstance(value, str | int) and value != ""}
