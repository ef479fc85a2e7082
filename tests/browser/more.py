"""What the demo has not and a walk needs, put into the scratch database: `python -m tests.browser.more`."""

import json
import secrets
from datetime import date

import django
from django.conf import settings

AUTUMN = date(2026, 10, 24)  # the clocks go back in its night


def add_more() -> dict[str, str]:
    """Add rows and people; give their passwords by user name."""
    from aggregator.models import Membership, Organisation, work_as_platform
    from tests.factories import make_dno
    from tests.markets.builders import make_cycle

    work_as_platform()
    autumn = make_dno("autumn-networks")
    make_cycle(AUTUMN, dno=autumn)
    northmoor = Organisation.objects.get(code="northmoor-networks")
    people = (
        ("autumn.control", autumn, Membership.Role.CONTROL_ROOM_OPERATOR),
        ("second.supervisor", northmoor, Membership.Role.CONTROL_ROOM_SUPERVISOR),
        ("fresh.control", northmoor, Membership.Role.CONTROL_ROOM_OPERATOR),
    )
    return {name: _add_person(name, organisation, role) for name, organisation, role in people}


def _add_person(name: str, organisation: object, role: str) -> str:
    from django.contrib.auth import get_user_model

    from aggregator.models import Membership

    password = secrets.token_urlsafe(12)
    user = get_user_model().objects.create_user(name, password=password)
    Membership.objects.create(user=user, organisation=organisation, role=role)
    return password


if __name__ == "__main__":
    django.setup()
    (settings.VAR_DIR / "more-logins.json").write_text(json.dumps(add_more()))
