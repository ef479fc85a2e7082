"""The API as it is served: no static files needed, limits that generated requests do not meet."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def api(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.API_LIMITS = dict.fromkeys(settings.API_LIMITS, (10**9, 60))
    cache.clear()
