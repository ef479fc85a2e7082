"""Strong ETags: a read that changed nothing costs nothing, and a write says what it was decided on."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.http import parse_etags

from aggregator.rest.problems import FieldError, Refused

REQUIRED = "This operation changes what is there: say in If-Match which version you saw (its ETag)."
STALE = "It has changed since the version named in If-Match: read it again."


def etag_of(shown: Mapping[str, Any]) -> str:
    """The strong ETag of what is shown of a thing."""
    content = json.dumps(shown, sort_keys=True, default=str)
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def is_known(request: HttpRequest, etag: str) -> bool:
    """Whether If-None-Match says the caller has this version."""
    told = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in told or etag in {one.removeprefix("W/") for one in told}


def demand_match(request: HttpRequest, etag: str) -> None:
    """Go on only where If-Match names this version.

    Raises:
        Refused: 428, there is no If-Match; 412, it names another version.
    """
    header = request.headers.get("If-Match")
    if header is None:
        raise Refused(
            428, "precondition_required", REQUIRED, errors=[FieldError("header", "/If-Match", "required", "")]
        )
    told = parse_etags(header)
    if "*" not in told and etag not in told:
        raise Refused(412, "precondition_failed", STALE, headers={"ETag": etag})
