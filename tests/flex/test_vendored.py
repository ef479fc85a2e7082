import hashlib

import pytest
from django.conf import settings

VENDOR = settings.BASE_DIR / "flex/static/vendor"


def listed() -> list[list[str]]:
    """Columns of checksums.txt: SHA-256, file, package, version, licence, its text."""
    lines = (VENDOR / "checksums.txt").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


class TestVendoredFiles:
    @pytest.mark.parametrize("row", listed(), ids=lambda row: row[1])
    def test_are_as_published(self, row):
        sha256, name, _package, _version, _licence, licence_text = row

        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == sha256
        assert (VENDOR / licence_text).read_text().strip()

    def test_are_all_listed(self):
        files = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}

        assert files == {"checksums.txt", *(row[1] for row in listed()), *(row[5] for row in listed())}

    def test_ask_for_nothing_from_elsewhere(self):
        for _, name, *_ in listed():
            assert "sourceMappingURL" not in (VENDOR / name).read_text()
