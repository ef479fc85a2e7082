"""`manage.py serve` and `manage.py stop`, as processes of their own."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from flex import serve_lock
from flex.management.commands.serve import listen

PROJECT = Path(__file__).resolve().parents[2]
NO_SERVER = "postgres://nobody@127.0.0.1:9/none"  # serving itself asks no database anything


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A site being served without a terminal, and its port."""
    (tmp_path / "demo-logins.txt").write_text("operator / correct-horse\n")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", "0"],
        cwd=PROJECT,
        env=os.environ | {"HEADROOM_VAR": str(tmp_path), "DATABASE_URL": NO_SERVER, "PLAIN_HTTP": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert process.stdout.readline() == "operator / correct-horse\n"
        yield process, int(address[1])
        process.kill()


def status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


class TestServe:
    def test_answers_over_plain_http_and_stops_on_sigterm(self, serving):
        process, port = serving
        assert status_of(port, "/no-such-page/") == 404  # with PLAIN_HTTP off it would redirect to HTTPS
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0

    def test_is_ended_by_stop_server_and_only_once(self, serving, tmp_path):
        process, port = serving
        assert serve_lock.stop_server(tmp_path / "serve.pid")
        assert process.wait(timeout=30) in {0, -signal.SIGTERM}  # the latter: before gunicorn took over
        assert not serve_lock.stop_server(tmp_path / "serve.pid")
        with pytest.raises(ConnectionRefusedError):
            status_of(port, "/")

    def test_is_refused_twice_from_one_folder(self, serving, tmp_path):
        process, _ = serving
        with pytest.raises(serve_lock.AlreadyServed, match=f"by process {process.pid};"):
            serve_lock.hold(tmp_path / "serve.pid")


class TestListen:
    def test_says_in_one_sentence_that_a_port_is_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(CommandError, match=f"^port {port} of 127.0.0.1 is in use; [^\n]*$"):
                listen(port)


class TestStopServer:
    def test_leaves_a_process_alone_whose_number_a_dead_server_left_behind(self, tmp_path):
        with subprocess.Popen(["sleep", "300"]) as stranger:
            try:
                (tmp_path / "serve.pid").write_text(f"{stranger.pid}\n")
                assert not serve_lock.stop_server(tmp_path / "serve.pid")
                assert stranger.poll() is None
            finally:
                stranger.kill()

    def test_finds_nothing_where_nothing_was_ever_served(self, tmp_path):
        assert not serve_lock.stop_server(tmp_path / "serve.pid")
