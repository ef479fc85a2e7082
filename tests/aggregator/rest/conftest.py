"""The API needs no static files; the folder for them is there, and empty."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def api(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    cache.clear()
