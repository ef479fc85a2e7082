"""Smaller pictures: a screenshot's true colours to at most 256, so that a page of text fits in a repository."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from aggregator.core.types import IntArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_COLOURS = 256
N_CHANNEL = 3


def with_palette(png: bytes) -> bytes:
    """The same picture with a palette; colours that differ least become one where there are too many.

    Raises:
        ValueError: not 8-bit RGB without interlacing, which is what Chromium makes.
    """
    pixels = read_rgb(png)
    palette, index = _palette(pixels.reshape(-1, N_CHANNEL))
    height, width = pixels.shape[:2]
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = index.reshape(height, width)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(map(_chunk, *zip(*chunks, strict=True)))


def read_rgb(png: bytes) -> IntArray:
    """(height, width, 3) channels from 0 to 255."""
    chunks = dict[bytes, bytes]()
    for name, body in _chunks(png):
        chunks[name] = chunks.get(name, b"") + body
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if kind != [8, 2, 0, 0, 0]:
        raise ValueError(f"the picture is of kind {kind}, expected 8-bit RGB without interlacing")
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, 1 + width * N_CHANNEL)
    above = np.zeros(width * N_CHANNEL, dtype=np.int64)
    pixels = np.empty((height, width * N_CHANNEL), dtype=np.int64)
    for at, row in enumerate(rows):
        above = pixels[at] = _unfiltered(int(row[0]), row[1:].astype(np.int64), above)
    return pixels.reshape(height, width, N_CHANNEL)


def _unfiltered(kind: int, row: IntArray, above: IntArray) -> IntArray:
    """One row as it was before its filter (0 none, 1 left, 2 above, 3 mean of both, 4 Paeth)."""
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row.reshape(-1, N_CHANNEL), axis=0).reshape(-1) % 256
    if kind == 2:
        return (row + above) % 256
    made = [0] * N_CHANNEL
    over = [0] * N_CHANNEL + above.tolist()
    for at, value in enumerate(row.tolist()):
        left, up, corner = made[at], over[at + N_CHANNEL], over[at]
        made.append((value + ((left + up) // 2 if kind == 3 else _paeth(left, up, corner))) % 256)
    return np.array(made[N_CHANNEL:], dtype=np.int64)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))  # the first of equals, as PNG wants


def _palette(colours: IntArray) -> tuple[np.ndarray, IntArray]:
    """(n, 3) bytes of the palette, and each pixel's place in it."""
    for n_bit in range(8, 0, -1):
        coarse = colours >> (8 - n_bit)
        keys = (coarse[:, 0] << 16) | (coarse[:, 1] << 8) | coarse[:, 2]
        _, index, n_of = np.unique(keys, return_inverse=True, return_counts=True)
        if len(n_of) <= MOST_COLOURS:
            break
    sums = np.stack([np.bincount(index, weights=colours[:, channel]) for channel in range(N_CHANNEL)], axis=1)
    return np.rint(sums / n_of[:, np.newaxis]).astype(np.uint8), index


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
