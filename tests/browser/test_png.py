import struct
import zlib

import numpy as np
import pytest

from tests.browser.png import SIGNATURE, _chunk, _chunks, read_rgb, with_palette

HEIGHT, WIDTH = 6, 5


def filtered(kind: int, row: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One row (3 × n,) as PNG's filters write it, by the letter of the standard."""
    left = np.concatenate([np.zeros(3, dtype=np.int64), row[:-3]])
    corner = np.concatenate([np.zeros(3, dtype=np.int64), above[:-3]])
    guess = left + above - corner
    off_left, off_up, off_corner = (np.abs(guess - one) for one in (left, above, corner))
    paeth = np.where(
        (off_left <= off_up) & (off_left <= off_corner), left, np.where(off_up <= off_corner, above, corner)
    )
    return (row - (0 * row, left, above, (left + above) // 2, paeth)[kind]) % 256


def png_of(pixels: np.ndarray, kinds: list[int]) -> bytes:
    rows = pixels.reshape(len(pixels), -1).astype(np.int64)
    above = np.vstack([np.zeros((1, rows.shape[1]), dtype=np.int64), rows[:-1]])
    lines = [
        bytes([kind, *filtered(kind, *pair)]) for kind, pair in zip(kinds, zip(rows, above, strict=True), strict=True)
    ]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 0)
    content = zlib.compress(b"".join(lines))
    parts = ((b"IHDR", header), (b"IDAT", content[:7]), (b"IDAT", content[7:]), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, body) for name, body in parts)


def picture(n_colour: int) -> np.ndarray:
    draw = np.random.default_rng(3)
    return draw.integers(0, 256, (n_colour, 3))[draw.integers(0, n_colour, (HEIGHT, WIDTH))]


class TestReadRgb:
    @pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
    def test_undoes_every_filter(self, kind):
        pixels = picture(30)

        np.testing.assert_array_equal(read_rgb(png_of(pixels, [kind] * HEIGHT)), pixels)

    def test_undoes_them_mixed(self):
        pixels = picture(30)

        np.testing.assert_array_equal(read_rgb(png_of(pixels, [0, 4, 3, 2, 1, 4])), pixels)

    def test_refuses_another_kind_of_picture(self):
        with pytest.raises(ValueError, match="expected 8-bit RGB"):
            read_rgb(with_palette(png_of(picture(4), [0] * HEIGHT)))


class TestWithPalette:
    def test_keeps_every_colour_where_they_are_few(self):
        pixels = picture(9)
        chunks = dict(_chunks(with_palette(png_of(pixels, [4] * HEIGHT))))
        palette = np.frombuffer(chunks[b"PLTE"], dtype=np.uint8).reshape(-1, 3)
        index = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(HEIGHT, WIDTH + 1)

        assert set(index[:, 0]) == {0}
        np.testing.assert_array_equal(palette[index[:, 1:]], pixels)

    def test_has_at_most_256_of_many_and_none_far_off(self):
        draw = np.random.default_rng(5)
        pixels = draw.integers(0, 256, (60, 60, 3))
        chunks = dict(_chunks(with_palette(png_of(pixels, [0] * 60))))
        palette = np.frombuffer(chunks[b"PLTE"], dtype=np.uint8).reshape(-1, 3).astype(int)
        index = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(60, 61)[:, 1:]

        assert len(palette) <= 256
        assert np.abs(palette[index] - pixels).max() < 64
