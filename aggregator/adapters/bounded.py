"""Bytes of a file from outside, under a cap: a small archive that unpacks to gigabytes is refused on the way."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from aggregator.core.errors import Detail, FlexError

MAX_BYTES = 2**30
MAX_RATIO = 200
FREE_BYTES = 2**20  # the ratio says nothing about a file this small
MAX_LINE_BYTES = 2**20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class CellError:
    """One value that can't be taken: where it stands, what was found and what was expected."""

    line: int
    column: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: found {self.found!r}, expected {self.expected}"


class FileRefused(FlexError):
    """A file of which nothing is taken; ``errors`` names every bad value found before reading stopped."""

    code = "file.refused"

    def __init__(self, message: str, *, errors: tuple[CellError, ...] = (), **details: Detail) -> None:
        super().__init__(message, **details)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read of one file: unpacked bytes, and unpacked bytes a packed one."""

    max_bytes: int = MAX_BYTES
    max_ratio: int = MAX_RATIO
    free_bytes: int = FREE_BYTES


class _Hashed(io.RawIOBase):
    """The file as received, hashed and counted as it passes."""

    def __init__(self, source: BinaryIO, on_bytes: Callable[[int], None] | None) -> None:
        self._source, self._on_bytes = source, on_bytes
        self.sha256, self.n_byte = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        view = memoryview(into)
        piece = self._source.read(len(view))
        view[: len(piece)] = piece
        self.sha256.update(piece)
        self.n_byte += len(piece)
        if self._on_bytes and piece:
            self._on_bytes(len(piece))
        return len(piece)


class BoundedFile:
    """A plain or gzipped file, told apart by its first bytes, as lines or as a whole.

    Args:
        on_bytes: told the number of packed bytes as they are read.
    """

    def __init__(
        self,
        source: BinaryIO,
        name: str,
        *,
        limits: Limits | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self._limits = limits or Limits()
        self._packed = _Hashed(source, on_bytes)
        buffered = io.BufferedReader(self._packed, 2**16)
        self._is_packed = buffered.peek(2)[:2] == GZIP_MAGIC
        unpacked: Any = gzip.GzipFile(fileobj=buffered) if self._is_packed else buffered
        self._stream = io.BufferedReader(unpacked, 2**16) if self._is_packed else buffered
        self._n_byte = 0

    def sha256(self) -> str:
        """Hash of the file as received; whole once everything was read."""
        return self._packed.sha256.hexdigest()

    def lines(self) -> Iterator[str]:
        """Lines with their ends, the byte order mark of the first dropped.

        Raises:
            FileRefused: over a cap, a damaged archive, no UTF-8, or a line of more than ``MAX_LINE_BYTES``.
        """
        number, rest, piece = 1, b"", b" "
        while piece:
            piece = self._guarded(lambda: self._stream.read(2**16))
            block = rest + piece
            cut = block.rfind(b"\n") + 1 if piece else len(block)
            block, rest = block[:cut], block[cut:]
            if block:
                lines = self._decoded(block, number).split("\n")
                yield from (f"{line}\n" for line in lines[:-1])
                if lines[-1]:
                    yield lines[-1]
                number += len(lines) - 1
            if len(rest) > MAX_LINE_BYTES:
                raise FileRefused(f"{self.name}: line {number} is longer than {MAX_LINE_BYTES:,} bytes", line=number)

    def text(self) -> str:
        """The whole content.

        Raises:
            FileRefused: as ``lines`` does.
        """
        pieces = []
        while piece := self._guarded(lambda: self._stream.read(2**16)):
            pieces.append(piece)
        return self._decoded(b"".join(pieces), 1)

    def _guarded(self, read: Callable[[], bytes]) -> bytes:
        try:
            piece = read()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileRefused(f"{self.name}: the gzip archive is damaged ({error})") from error
        self._n_byte += len(piece)
        limits = self._limits
        if self._n_byte > limits.max_bytes:
            raise FileRefused(f"{self.name}: holds more than the {limits.max_bytes:,} bytes that are read of one file")
        allowed = max(limits.free_bytes, limits.max_ratio * self._packed.n_byte)
        if self._is_packed and self._n_byte > allowed:
            raise FileRefused(f"{self.name}: unpacks to more than {limits.max_ratio} times its size")
        return piece

    def _decoded(self, piece: bytes, number: int) -> str:
        try:
            return piece.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            line = number + piece[: error.start].count(b"\n")
            raise FileRefused(
                f"{self.name}: line {line} is not UTF-8 (byte 0x{piece[error.start]:02x})", line=line
            ) from error
