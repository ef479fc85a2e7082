"""`manage.py serve`: gunicorn on the loopback address, over plain HTTP."""

import errno
import os
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from flex import serve_lock
from markets.services.demo_file import people_part

HOST = "127.0.0.1"
THREADS = 8
CODE = ".venv/bin/python manage.py demo_code NAME"


def port_number(text: str) -> int:
    """Read a TCP port; 0 lets the system choose one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"a port is a number up to 65535, found {text!r}")
    return int(text)


def listen(port: int) -> socket.socket:
    """Bind before gunicorn does, so that a port in use is one sentence and the address printed is true."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
        raise CommandError(f"port {port} of {HOST} {why}; `make run PORT=8123` takes another") from error
    listener.set_inheritable(True)
    return listener


class Command(BaseCommand):
    help = f"Serve the site on {HOST} until it is told to stop (make stop, Ctrl-C, SIGTERM)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=port_number, default=8000)

    def handle(self, *_args: Any, port: int, **_options: Any) -> None:
        serve_lock.hold(settings.VAR_DIR / "serve.pid")
        listener = listen(port)
        call_command("collectstatic", interactive=False, verbosity=0)
        self.stdout.write(f"Headroom is served at http://{HOST}:{listener.getsockname()[1]}/ (Ctrl-C stops it)")
        log_ins = settings.VAR_DIR / "demo-logins.txt"
        if log_ins.is_file():
            self.stdout.write(people_part(log_ins.read_text()))
            self.stdout.write(f"Each asks for a code too: `{CODE}` shows it. API clients: {log_ins}")
        sys.stdout.flush()
        # The process becomes gunicorn: same pid, same lock, none of the threads imported so far.
        os.chdir(settings.BASE_DIR)
        os.execve(sys.executable, _gunicorn(listener.fileno()), _environment())  # noqa: S606 - a fixed program


def _gunicorn(descriptor: int) -> list[str]:
    options = ["--bind", f"fd://{descriptor}", "--worker-class", "gthread", "--workers", "1"]
    options += ["--threads", str(THREADS), "--timeout", "120", "--no-control-socket", "--log-level", "warning"]
    return [sys.executable, "-m", "gunicorn", *options, "flex.wsgi:application"]


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in {"GUNICORN_CMD_ARGS", "HEADROOM_DB_ROLE"}}
    return ours | {"PLAIN_HTTP": "true"}  # loopback only: the address answers nobody else
