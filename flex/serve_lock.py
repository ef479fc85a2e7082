"""The lock on ``var/serve.pid``: held while the site is served, so that the number in it can be believed."""

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

from aggregator.core.errors import FlexError

STOP_S = 40.0  # the server lets requests finish for up to 30 s


class AlreadyServed(FlexError):
    code = "flex.already_served"


class ServerNotStopped(FlexError):
    code = "flex.server_not_stopped"


def hold(pid_file: Path) -> int:
    """Lock the file for this process and the program it becomes, write its pid, return the descriptor.

    Raises:
        AlreadyServed: another process holds the lock.
    """
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(pid_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyServed(
            f"the site is already served from this folder, by process {_number(pid_file)}; `make stop` stops it"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    os.set_inheritable(descriptor, True)
    return descriptor


def stop_server(pid_file: Path) -> bool:
    """Stop the process that holds the lock and wait until it lets go; say whether there was one.

    Raises:
        ServerNotStopped: the lock is still held after STOP_S.
    """
    deadline = time.monotonic() + STOP_S
    was_held = False
    while _is_held(pid_file):
        pid = _number(pid_file)
        if not was_held and pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            was_held = True
        if time.monotonic() > deadline:
            raise ServerNotStopped(f"asked process {pid} to stop serving, found it at it {STOP_S:.0f} s later")
        time.sleep(0.05)
    return was_held


def _is_held(pid_file: Path) -> bool:
    try:
        descriptor = os.open(pid_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _number(pid_file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(pid_file.read_text())
    return None
