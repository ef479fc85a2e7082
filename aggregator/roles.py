"""The two database roles: the owner migrates; the application owns nothing and cannot bypass row-level security."""

from typing import Protocol

from psycopg import sql

ATTRIBUTES = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")

UNLESS_MADE_MEANWHILE = """
DO $make$ BEGIN
    {};
EXCEPTION WHEN duplicate_object OR unique_violation THEN
END $make$
"""

# Two that set it at once stand in each other's way ("tuple concurrently updated"): the later one sets it after all.
UNTIL_NOBODY_ELSE_SETS_IT = """
DO $set$ BEGIN
    FOR attempt IN 1..20 LOOP
        BEGIN
            {};
            RETURN;
        EXCEPTION WHEN internal_error THEN
            IF attempt = 20 THEN RAISE; END IF;
        END;
    END LOOP;
END $set$
"""


class Cursor(Protocol):
    def execute(self, query: sql.Composable, params: None = None) -> object: ...

    def fetchone(self) -> tuple[object, ...] | None: ...


def ensure_app_role(cursor: Cursor, role: str, password: str) -> None:
    """Make the application's login if it is missing; where it has a password, set it anew."""
    cursor.execute(sql.SQL("SELECT 1 FROM pg_roles WHERE rolname = {}").format(sql.Literal(role)))
    secret = sql.SQL(" PASSWORD {}").format(sql.Literal(password)) if password else sql.SQL("")
    if cursor.fetchone() is None:
        # Roles are the whole server's, so two databases prepared at once may both find it missing.
        make = sql.SQL("CREATE ROLE {} ").format(sql.Identifier(role)) + ATTRIBUTES + secret
        cursor.execute(sql.SQL(UNLESS_MADE_MEANWHILE).format(make))
    elif password:
        change = sql.SQL("ALTER ROLE {}").format(sql.Identifier(role)) + secret
        cursor.execute(sql.SQL(UNTIL_NOBODY_ELSE_SETS_IT).format(change))


def grant_app_role(cursor: Cursor, role: str) -> None:
    """Let the application read and write rows of every table its owner makes from here on, and nothing else."""
    name = sql.Identifier(role)
    for statement in (
        "GRANT USAGE ON SCHEMA public TO {}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
        "REVOKE ALL ON TABLE public.django_migrations FROM {}",
        "GRANT SELECT ON TABLE public.django_migrations TO {}",
    ):
        cursor.execute(sql.SQL(statement).format(name))
