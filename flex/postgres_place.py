"""Where the embedded PostgreSQL of one installation lives and as whom it runs; starts nothing."""

import contextlib
import fcntl
import hashlib
import os
import pwd
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TypedDict

from aggregator.core.errors import FlexError

PORT = 5432  # only the last part of the socket's name; nothing listens on the network
SOCKET_PATH_BYTES = 107  # sockaddr_un holds 108 with the closing zero
OTHER_SERVER = "DATABASE_URL names a PostgreSQL (15 to 18) of your own instead."
PROJECT = Path(__file__).resolve().parent.parent


class PostgresNotStarted(FlexError):
    code = "flex.postgres_not_started"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one installation's cluster lives and who runs it.

    ``user`` is a uid; ``home`` holds the cluster and its log, ``sockets`` the socket, both of mode 0700 and
    owned by ``user``; ``is_moved`` says that the project folder is closed to ``user`` and home is elsewhere.
    """

    user: int
    home: Path
    sockets: Path
    is_moved: bool

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"


def var_folder() -> Path:
    """Return the folder of everything this installation writes: HEADROOM_VAR, or ``var`` in the project."""
    return Path(os.environ.get("HEADROOM_VAR") or PROJECT / "var").resolve()


def find_place() -> Place:
    """Work out the place from HEADROOM_VAR, who we are and what the kernel lets the server's user reach."""
    var = var_folder()
    user = _server_user(var / "postgres")
    is_moved = not may(user, "-x", _nearest_existing(var))
    moved = temporary_folder(var)
    sockets = moved / "s" if is_moved else var / "s"
    path = os.fsencode(sockets / f".s.PGSQL.{PORT}")
    if len(path) > SOCKET_PATH_BYTES or b"," in path:  # a client reads a comma as between two hosts
        sockets = moved / "s"
    return Place(user=user, home=moved if is_moved else var / "postgres", sockets=sockets, is_moved=is_moved)


def _server_user(home: Path) -> int:
    """Return the uid that runs the server: ourselves, or for root (which PostgreSQL refuses) nobody."""
    if os.geteuid() != 0:
        return os.geteuid()
    with contextlib.suppress(OSError):
        if (owner := home.stat().st_uid) != 0:
            return owner  # an ordinary user's cluster stays that user's under sudo
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("nobody").pw_uid
    return 65534


def temporary_folder(var: Path) -> Path:
    # /tmp before TMPDIR: two shells with different TMPDIRs must find the same server.
    base = Path("/tmp")  # noqa: S108 - owner and mode are checked before use
    if not os.access(base, os.W_OK | os.X_OK):
        base = Path(gettempdir())
    return base / f"headroom-{hashlib.sha256(os.fsencode(var)).hexdigest()[:12]}"


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def may(user: int, test: str, *paths: Path) -> bool:
    """Ask the kernel, as ``user``, whether ``test`` (-x, -r) holds for every path."""
    if user == os.geteuid():
        return True
    script = f'for path; do test {test} "$path" || exit 1; done'
    return run(user, "/bin/sh", "-c", script, "sh", *paths).returncode == 0


class Identity(TypedDict):
    user: int | None
    group: int | None
    extra_groups: list[int] | None


def _identity(user: int) -> Identity:
    """Return what subprocess needs to become ``user``: nothing where we are that user already."""
    if user == os.geteuid():
        return Identity(user=None, group=None, extra_groups=None)
    group = user
    with contextlib.suppress(KeyError):
        group = pwd.getpwuid(user).pw_gid
    return Identity(user=user, group=group, extra_groups=[])


def run(user: int, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command as ``user`` with nothing of the caller's streams, folder or environment."""
    return subprocess.run(
        command,
        check=False,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **_identity(user),
    )


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Turn the machine's refusals (a read-only folder, a root that may not change user) into one sentence."""
    try:
        yield
    except OSError as error:
        raise PostgresNotStarted(f"the embedded PostgreSQL cannot run here: {error}. {OTHER_SERVER}") from error


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the installation's lock, so that of several first starts one does the work."""
    var = var_folder()
    if not var.is_dir():
        var.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            var.chmod(0o755)  # made here; a tight umask would close it to the server's user
    descriptor = os.open(var / "postgres.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_private(folder: Path, user: int) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077


def make_private(folder: Path, user: int) -> None:
    """Make a folder of mode 0700 for ``user``; one that exists must already be that."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        os.chown(folder, user, -1, follow_symlinks=False)
    if not is_private(folder, user):
        raise PostgresNotStarted(f"{folder} must be a folder of mode 0700 owned by uid {user}: remove it and try again")


def copy_as(user: int, sources: list[Path], root: Path, target: Path) -> None:
    """Copy folders, written by ``user`` itself: root writes nothing into a folder another user owns."""
    draft = target.with_suffix(".draft")
    run(user, "rm", "-rf", draft)
    run(user, "mkdir", draft)
    with subprocess.Popen(
        ["tar", "-xf", "-", "-C", draft], stdin=subprocess.PIPE, cwd="/", **_identity(user)
    ) as unpack:
        with tarfile.open(fileobj=unpack.stdin, mode="w|") as archive:
            for source in filter(Path.is_dir, sources):
                archive.add(source, source.relative_to(root))
        unpack.communicate()
    if unpack.returncode or run(user, "mv", draft, target).returncode:
        raise PostgresNotStarted(f"could not copy the server's binaries to {target}. {OTHER_SERVER}")
