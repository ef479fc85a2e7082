"""How much one viewer may ask: token buckets, apart for reads, commands and rows brought in.

The buckets stand in Django's default cache. With the in-process cache each worker keeps its own, so a viewer may ask
up to as many times more as there are workers; a shared cache makes the limit exact.
"""

import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache

from aggregator.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Level:
    """What is left in a bucket.

    Attributes:
        quota: tokens a full bucket holds, refilled in ``window_s``.
        left: tokens left; ``wait_s``: until there are enough for what was asked, 0 if there were.
        refill_s: until it is full again.
    """

    bucket: str
    quota: int
    window_s: int
    left: int
    wait_s: float
    refill_s: float

    def headers(self) -> dict[str, str]:
        """``RateLimit`` and ``RateLimit-Policy``."""
        return {
            "RateLimit": f'"{self.bucket}";r={self.left};t={max(0, round(self.refill_s))}',
            "RateLimit-Policy": f'"{self.bucket}";q={self.quota};w={self.window_s}',
        }


def take_tokens(viewer: Viewer, bucket: str, n_token: int = 1) -> Level:
    """Take tokens from a viewer's bucket, if it holds so many; ``wait_s`` above 0 says that it did not.

    Args:
        bucket: a name in settings.API_LIMITS, which gives quota and window.
    """
    quota, window_s = settings.API_LIMITS[bucket]
    per_s, now, key = quota / window_s, time.time(), f"rest:{bucket}:{viewer.organisation.pk}:{viewer.actor}"
    left, seen_at = cache.get(key, (float(quota), now))
    left = min(float(quota), left + max(0.0, now - seen_at) * per_s)
    is_enough = left >= n_token
    if is_enough:
        left -= n_token
    cache.set(key, (left, now), timeout=2 * window_s)
    wait_s = 0.0 if is_enough else (min(n_token, quota) - left) / per_s
    return Level(bucket, quota, window_s, int(left), wait_s, (quota - left) / per_s)
