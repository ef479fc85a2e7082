"""What the demo has not and a walk needs, put into the scratch database: `python -m tests.browser.more`."""

import json
import secrets
from datetime import UTC, date, datetime

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
    _nominate(northmoor)
    people = (
        ("autumn.control", autumn, Membership.Role.CONTROL_ROOM_OPERATOR),
        ("second.supervisor", northmoor, Membership.Role.CONTROL_ROOM_SUPERVISOR),
        ("fresh.control", northmoor, Membership.Role.CONTROL_ROOM_OPERATOR),
    )
    return {name: _add_person(name, organisation, role) for name, organisation, role in people}


def _nominate(buyer: object) -> None:
    """A product whose baseline is nominated, and a nomination of amber's that came late."""
    from aggregator.models import NetworkNode, Organisation
    from markets.models import Nomination, Product

    product = Product.objects.create(
        code="nominated",
        name="Scheduled, nominated",
        buyer=buyer,
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        baseline_method="nomination",
    )
    for hour, kw in ((9, 12.5), (13, 20.25)):
        at = datetime(2026, 1, 13, hour, tzinfo=UTC)
        Nomination(
            organisation=Organisation.objects.filter(kind="dsrsp").order_by("code").first(),
            product=product,
            node=NetworkNode.objects.filter(organisation=buyer).order_by("pk").first(),
            settlement_date=date(2026, 1, 14),
            power_kw=[kw] * 47 + [None],
            submitted_at=at,
            recorded_at=at,
        ).save()


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
