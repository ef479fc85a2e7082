"""Somebody in a role, logged in; and what pages of these tests share."""

from datetime import timedelta

from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from aggregator.models import Organisation
from aggregator.viewer import CONFIRMED_AT
from tests.factories import make_organisation
from tests.markets.builders import make_person
from tests.people import log_in

PAYLOADS = ("<script>alert(1)</script>", '=HYPERLINK("http://evil.example","x")')
ROLES = {
    "operator": "dsrsp",
    "admin": "dsrsp",
    "control_room_operator": "dno",
    "control_room_supervisor": "dno",
    "market_operator": "market_operator",
    "platform_admin": "platform",
}


def client_of(organisation: Organisation, role: str, name: str = "", **options: bool) -> Client:
    """A new person's client, with a fresh proof of who they are."""
    return log_in(Client(**options), make_person(name or f"{organisation.code}.{role}", organisation, role))


def client_as(role: str, kind: str = "", name: str = "") -> Client:
    """A new person in a role, of an organisation of the role's usual kind, or of ``kind``."""
    kind = kind or ROLES[role]
    return client_of(make_organisation(f"some-{kind}".replace("_", "-"), kind), role, name)


def let_proof_age(client: Client) -> Client:
    """Make the last proof an hour old."""
    session = client.session
    session[CONFIRMED_AT] = (timezone.now() - timedelta(hours=1)).isoformat()
    session.save()
    return client


def text_of(response: HttpResponse) -> str:
    return response.content.decode()


def statuses(address: str, method: str = "get") -> dict[str, int]:
    """What an address answers to each role, and to auditors of each kind."""
    found = {role: getattr(client_as(role), method)(address).status_code for role in ROLES}
    for kind in sorted(set(ROLES.values())):
        client = client_as("auditor", kind, f"auditor.{kind}")
        found[f"auditor of {kind}"] = getattr(client, method)(address).status_code
    return found
