#!/usr/bin/env python
"""Django's command line, with the embedded PostgreSQL started for the commands that need a database."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aggregator.core.errors import FlexError

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
NO_DATABASE = frozenset(
    {
        "check",  # with --database it needs one
        "collectstatic",
        "demo_code",
        "diffsettings",
        "findstatic",
        "help",
        "makemessages",
        "solve",
        "startapp",
        "stop",
        "version",
    }
)
AS_OWNER = frozenset(
    {
        "flush",
        "makemigrations",
        "migrate",
        "optimizemigration",
        "prepare_database",
        "showmigrations",
        "sqlflush",
        "sqlmigrate",
        "squashmigrations",
    }
)
AS_NOBODY = frozenset({"runserver", "serve", "testserver"})  # they answer requests, each its viewer's


def needs_database(arguments: list[str]) -> bool:
    """Say whether the command named by ``arguments`` (without the program's name) reaches a database."""
    if not arguments or arguments[0].startswith("-") or {"-h", "--help", "--version"} & set(arguments):
        return False
    if arguments[0] == "check":
        return any(argument.startswith("--database") for argument in arguments)
    return arguments[0] not in NO_DATABASE


def start_database() -> None:
    """Start the embedded server unless the settings name another."""
    from django.conf import settings

    from flex import postgres

    if not settings.DATABASE_URL:
        postgres.ensure_running()


@contextmanager
def as_command(arguments: list[str]) -> Iterator[None]:
    """Run a command that reaches the database as the platform's own work, known by its name."""
    if not needs_database(arguments) or arguments[0] in AS_NOBODY:
        yield
        return
    import django

    django.setup()
    from aggregator.models import known_as, work_as_platform

    work_as_platform()
    with known_as(f"command:{arguments[0]}"):
        yield


def main() -> None:
    """Run one command; an anticipated failure is one sentence and exit code 1, not a traceback."""
    arguments = sys.argv[1:]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flex.settings")
    if arguments and arguments[0] in AS_OWNER:
        os.environ.setdefault("HEADROOM_DB_ROLE", "owner")
    try:
        if needs_database(arguments):
            start_database()
        from django.core.management import execute_from_command_line

        with as_command(arguments):
            execute_from_command_line(sys.argv)
    except FlexError as error:
        sys.exit(f"error: {error.message}")
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command again goes on from what was stored\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
